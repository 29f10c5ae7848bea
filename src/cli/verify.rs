//! `crossbook verify RUN`

use std::path::PathBuf;

use serde::Serialize;

use super::replay::explain;
use super::{Common, Outcome, interrupt, progress, run_dir_error, say};
use crate::config;
use crate::runner::replay::{DEFAULT_MEMORY, run as run_scenario};
use crate::sink::run_dir;

/// Arguments of `crossbook verify`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  crossbook verify runs/demo
  crossbook verify runs/kimchi --data-root /data --json

Exit codes: 0 the same in every decision, 1 something differs (says what), 2 not a run directory or a damaged one.")]
pub struct Args {
    /// The run directory. Its files are checked against their checksums, its scenario is replayed, and digests and tables
    /// are compared.
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

#[derive(Serialize)]
struct Printed {
    run_id: String,
    verified: bool,
    digest: String,
    recorded_digest: String,
    differences: Vec<String>,
}

/// Replays a run and compares.
///
/// # Errors
/// A damaged run, a dataset that is gone, bad input.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let recorded = run_dir::open(&args.run).map_err(run_dir_error)?;
    let path = args.run.join("config.toml");
    let scenario = config::parse(&recorded.config, &path, &[])?;
    interrupt::watch();
    let bar = progress::bar(common, 0, "rows");
    let again = run_scenario(
        &path,
        &scenario,
        &recorded.run_id,
        common.data_root.as_deref(),
        DEFAULT_MEMORY,
        &mut |total, now| {
            bar.set_length(total);
            bar.set_position(now.rows);
            !interrupt::asked()
        },
    );
    bar.finish_and_clear();
    let again = again.map_err(explain)?;

    let mut differences = Vec::new();
    if recorded.meta.version != again.meta.version {
        let (then, now) = (&recorded.meta.version, &again.meta.version);
        differences.push(format!("made by version {then}, replayed by {now}"));
    }
    for (then, now) in recorded.meta.inputs.iter().zip(&again.meta.inputs) {
        if then != now {
            differences.push(format!("dataset {}: {} then, {} now", then.name, then.hash, now.hash));
        }
    }
    if recorded.meta.digest != again.meta.digest {
        differences.push("digest".to_owned());
    }
    let (then, now) = (&recorded.rows, &again.rows);
    let tables = [
        ("orders", then.orders == now.orders),
        ("fills", then.fills == now.fills),
        ("trades", then.round_trips == now.round_trips),
        ("equity", then.equity == now.equity),
        ("spread", then.spread == now.spread),
        ("risk", then.risk == now.risk),
    ];
    differences.extend(
        tables
            .iter()
            .filter(|(_, same)| !same)
            .map(|(name, _)| format!("table {name}")),
    );
    let verified = differences.is_empty();
    if !common.quiet {
        match verified {
            true => say!(
                "{}: the same in every decision, digest {}",
                args.run.display(),
                again.meta.digest
            ),
            false => say!("{}: differs in: {}", args.run.display(), differences.join("; ")),
        }
    }
    if common.json {
        let printed = Printed {
            run_id: recorded.run_id,
            verified,
            digest: again.meta.digest,
            recorded_digest: recorded.meta.digest,
            differences,
        };
        say!("{}", serde_json::to_string(&printed)?);
    }
    Ok(if verified { Outcome::Done } else { Outcome::No })
}
