//! `crossbook record CONFIG.toml`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use crossbook_feed::journal::JournalError;
use indicatif::{ProgressBar, ProgressStyle};

use super::dataset::import::{print_recording, refused};
use super::span::span;
use super::{Common, Fault, Outcome, interrupt, progress, say};
use crate::config::record::{RecordConfig, load};
use crate::dataset::import::{Format, Options, Target, import_into};
use crate::runner::record::{Plan, PlanError, Progress, RecordError, Summary, plan, record, stop_after};

/// Arguments of `crossbook record`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook record config/record/kimchi.toml
  crossbook record config/record/kimchi.toml --duration 10m --symbols BTC,ETH,XRP
  crossbook record config/record/simex.toml --duration 1m --out recordings/try --dataset data/try
  crossbook dataset import recordings/try --out data/try

Every frame goes to the journal before anything is made of it; docs/recording.md has its format and what it survives.
Ctrl-C or TERM ends a recording in order, with a summary. Logs go to standard error; CROSSBOOK_LOG=info tells of every connection.

Exit codes: 0 done, 1 the account does not balance, 2 bad input (says file, line or key; nothing is left), 4 a fault outside
(what was journaled until then is there).")]
pub struct Args {
    /// What to record: venues, markets, rates.
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Ends after this long (`90s`, `10m`, `1h30m`); without it, at Ctrl-C.
    #[arg(long, value_parser = span, value_name = "SPAN")]
    duration: Option<Duration>,
    /// Only these coins or markets (`BTC,ETH` or `KRW-BTC`), whatever the file chooses.
    #[arg(long, value_delimiter = ',', value_name = "COINS")]
    symbols: Vec<String>,
    /// Changes one value of the file: `--set venue.0.rest_url=http://127.0.0.1:8080`. May be repeated.
    #[arg(long, value_name = "PATH.TO.KEY=VALUE")]
    set: Vec<String>,
    /// Folder of the recording, instead of the file's. One that has a recording gets another run; nothing is overwritten.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Makes datasets in this folder when the recording ends, as `crossbook dataset import` does.
    #[arg(long, value_name = "DIR")]
    dataset: Option<PathBuf>,
}

/// Records.
///
/// # Errors
/// Bad input, with file, line or key; [`Fault`] when the system refuses to write.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let mut config = load(&args.config, &args.set)?;
    if let Some(out) = &args.out {
        config.out.clone_from(out);
    }
    log_to_stderr();
    interrupt::watch();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| Fault::Outside {
            what: "start the runtime".to_owned(),
            source,
        })?;
    let summary = runtime.block_on(async {
        let plan = tokio::select! {
            biased;
            () = interrupted() => return Err(Fault::Interrupted.into()),
            plan = plan(&config, &args.symbols) => plan.map_err(unplanned).with_context(|| args.config.display().to_string())?,
        };
        announce(common, &config, &plan);
        recorded(common, &plan, args.duration).await
    })?;
    // Whoever still runs there has nothing more to say.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if !common.quiet {
        for line in summary.lines() {
            say!("{line}");
        }
    }
    let mut json = serde_json::to_value(&summary)?;
    if let Some(out) = &args.dataset {
        json["dataset"] = convert(common, &config, out, &summary)?;
    }
    if common.json {
        say!("{json}");
    }
    Ok(if summary.balanced { Outcome::Done } else { Outcome::No })
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CROSSBOOK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second subscriber in one process (tests) changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

/// Returns when Ctrl-C was pressed or TERM sent.
async fn interrupted() {
    while !interrupt::asked() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn announce(common: &Common, config: &RecordConfig, plan: &Plan) {
    if common.quiet {
        return;
    }
    for venue in &plan.setup.venues {
        let shown = venue.markets.iter().take(8).cloned().collect::<Vec<_>>().join(" ");
        let more = venue.markets.len().saturating_sub(8);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        say!("{}: {} markets: {shown}{more}", venue.config.name, venue.markets.len());
    }
    say!("recording to {}; Ctrl-C ends it", config.out.display());
}

async fn recorded(common: &Common, plan: &Plan, duration: Option<Duration>) -> anyhow::Result<Summary> {
    let terminal = std::io::stderr().is_terminal() && !common.quiet;
    let bar = if terminal {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    let quiet = common.quiet;
    let mut shown = |progress: &Progress| {
        if terminal {
            bar.set_message(progress.line());
            bar.tick();
        } else if !quiet {
            eprintln!("{}", progress.line());
        }
    };
    // On a terminal one line is drawn over and over, so it may be fresh.
    let every = if terminal {
        Duration::from_secs(1)
    } else {
        plan.progress
    };
    let stop = stop_after(duration, Box::pin(interrupted()));
    let result = record(plan, every, stop, &mut shown).await;
    bar.finish_and_clear();
    result.map_err(failed)
}

/// A venue that does not answer is no fault of the file.
fn unplanned(error: PlanError) -> anyhow::Error {
    match error {
        PlanError::Lists { venue, source } => Fault::Outside {
            what: format!("{venue}: market lists"),
            source: std::io::Error::other(source),
        }
        .into(),
        other => other.into(),
    }
}

/// What the system refused is a fault outside, all else is bad input.
fn failed(error: RecordError) -> anyhow::Error {
    match error {
        RecordError::Journal(JournalError::Io { action, path, source }) => Fault::Outside {
            what: format!("{action} {}", path.display()),
            source: std::io::Error::new(source.kind(), source.to_string()),
        }
        .into(),
        RecordError::Summary { path, source } => Fault::Outside {
            what: format!("write {}", path.display()),
            source,
        }
        .into(),
        other => other.into(),
    }
}

/// Datasets of the whole folder, and whether their account is the recorder's.
fn convert(common: &Common, config: &RecordConfig, out: &Path, summary: &Summary) -> anyhow::Result<serde_json::Value> {
    let bar = progress::bar(common, summary.file_bytes, "bytes");
    let target = Target {
        source: Some(format!("crossbook record, {}", config.out.display())),
        ..Target::new(out)
    };
    let result = import_into(
        &target,
        Format::Journal,
        std::slice::from_ref(&config.out),
        &Options::default(),
        &|bytes| bar.inc(bytes),
        &interrupt::asked,
    );
    bar.finish_and_clear();
    let report = result.map_err(refused)?;
    if !common.quiet {
        say!("{} datasets in {}", report.made.len(), out.display());
        if let Some(recording) = &report.recording {
            print_recording(recording);
        }
    }
    Ok(super::dataset::import::as_json(Format::Journal, &report))
}
