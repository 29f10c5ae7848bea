//! `crossbook replay SCENARIO.toml`

use std::path::PathBuf;

use anyhow::Context;
use crossbook_engine::replay::ReplayError;

use super::{Common, Fault, Outcome, interrupt, progress, run_dir_error, say};
use crate::config;
use crate::dataset::DatasetError;
use crate::report::{self, Formats, Run, Summary};
use crate::runner::replay::{DEFAULT_MEMORY, RunError, run as run_scenario};
use crate::runner::setup::SetupError;
use crate::sink::run_dir::{Existing, Extras, RunDirWriter};

/// Arguments of `crossbook replay`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook replay scenarios/demo.toml
  crossbook replay scenarios/demo.toml --set strategy.entry_bps=15 --id entry-15
  crossbook replay scenarios/real/kimchi.toml --data-root /data --memory 32M --json

Exit codes: 0 done, 2 bad input (says file, line or key), 3 interrupted (nothing is left), 4 a fault outside.")]
pub struct Args {
    /// The scenario file.
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// Changes one value of the scenario.
    ///
    /// The path is written with dots, the value as TOML; a word that is not TOML is taken as text. May be repeated:
    /// `--set strategy.entry_bps=15 --set execution.fill_model=top`.
    #[arg(long, value_name = "PATH.TO.KEY=VALUE")]
    set: Vec<String>,
    /// Folder in which the run's directory is made.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,
    /// Name of the run's directory; the scenario's name when absent. A taken name is numbered (`demo-2`).
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Replace a run of the same name instead of numbering the new one.
    #[arg(long)]
    force: bool,
    /// Memory that decoding of the datasets may take at a time (`64M`, `1G`).
    ///
    /// The replay reads on as it goes, so datasets may be much larger than this.
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    memory: Option<usize>,
    /// Write the tables as CSV, too.
    #[arg(long)]
    csv: bool,
    /// No pictures and no HTML report.
    #[arg(long)]
    no_plots: bool,
}

/// Bytes from `4096`, `64K`, `64M`, `2G`.
fn parse_bytes(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let count: usize = digits
        .parse()
        .map_err(|_| "a whole number with K, M or G is allowed".to_owned())?;
    let bytes = count.checked_mul(1 << shift).ok_or("too large")?;
    if bytes < 1 << 20 {
        Err("at least 1M is needed".to_owned())
    } else {
        Ok(bytes)
    }
}

/// Replays and writes the run.
///
/// # Errors
/// Bad input, with file, line or key; [`Fault`] when interrupted or when the system refuses to read or write.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let scenario = config::load(&args.scenario, &args.set)?;
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let writer = RunDirWriter::begin(&args.out, args.id.as_deref().unwrap_or(&scenario.name), existing)
        .map_err(run_dir_error)?;
    interrupt::watch();
    let bar = progress::bar(common, 0, "rows");
    let run = run_scenario(
        &args.scenario,
        &scenario,
        writer.run_id(),
        common.data_root.as_deref(),
        args.memory.unwrap_or(DEFAULT_MEMORY),
        &mut |total, now| {
            bar.set_length(total);
            bar.set_position(now.rows);
            !interrupt::asked()
        },
    );
    bar.finish_and_clear();
    let run = run.map_err(explain)?;
    let files = if args.no_plots {
        Vec::new()
    } else {
        report::files(&run, Formats::ALL).context("cannot draw")?
    };
    if interrupt::asked() {
        return Err(Fault::Interrupted.into());
    }
    let out_dir = writer
        .finish(&run, &Extras { csv: args.csv, files })
        .map_err(run_dir_error)?;
    if !common.quiet {
        print(&run);
        say!("written to {}", out_dir.display());
    }
    if common.json {
        say!("{}", serde_json::to_string(&Summary::new(&run, &out_dir))?);
    }
    Ok(Outcome::Done)
}

/// The command's error for a run's: what the system refused and interruptions are told apart from bad input.
pub(super) fn explain(error: RunError) -> anyhow::Error {
    match error {
        RunError::Replay(ReplayError::Interrupted) => Fault::Interrupted.into(),
        RunError::Replay(ReplayError::Source(source)) => match source.downcast::<DatasetError>() {
            Ok(error) => super::dataset::failed(*error),
            Err(source) => anyhow::anyhow!(source),
        },
        RunError::Setup(SetupError::Dataset(error)) => super::dataset::failed(error),
        error => error.into(),
    }
}

fn print(run: &Run) {
    let statistics = &run.statistics;
    let currency = &run.meta.base_currency;
    let money = |amount: report::Money| format!("{} {currency}", report::plots::number(amount.to_f64(), 2));
    let optional = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    say!(
        "{}  ({} {}, seed {})",
        run.run_id,
        run.meta.scenario,
        run.meta.version,
        run.meta.seed
    );
    for warning in &run.meta.warnings {
        say!("  note: {warning}");
    }
    if let Some(window) = run.meta.window {
        let utc = crate::report::plots::utc;
        say!("  window       {} to {} UTC", utc(window.from), utc(window.to));
    }
    let rate = if run.seconds > 0.0 {
        run.meta.rows as f64 / run.seconds / 1e6
    } else {
        0.0
    };
    say!(
        "  replayed     {} messages, {} rows in {:.2} s ({rate:.1} M rows/s)",
        run.meta.events,
        run.meta.rows,
        run.seconds
    );
    say!(
        "  pnl          {}   against holding {}",
        money(statistics.pnl),
        money(statistics.pnl_vs_hold)
    );
    if statistics.round_trips == 0 {
        say!("  round trips  none");
    } else {
        say!(
            "  round trips  {}, {} won ({})",
            statistics.round_trips,
            statistics.wins,
            statistics
                .win_rate
                .map_or("-".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
        );
    }
    if let Some(fees) = statistics.fees {
        say!("  fees         {}", money(fees));
    }
    say!(
        "  sharpe       {} (standard error {})   sortino {}",
        optional(statistics.sharpe),
        optional(statistics.sharpe_error),
        optional(statistics.sortino)
    );
    if let Some(fall) = &statistics.drawdown {
        say!("  drawdown     {}", money(fall.amount));
    }
    say!("  digest       {}", run.meta.digest);
}
