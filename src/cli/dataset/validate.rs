//! `crossbook dataset validate`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{failed, step};
use crate::cli::{Common, Outcome, interrupt, progress, say};
use crate::dataset::reader::{find, read_manifest};
use crate::dataset::validate::{Check, Validation, reseal, validate};

/// Arguments of `crossbook dataset validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  crossbook dataset validate datasets/demo-upbit-krw-btc datasets/demo-binance-btcusdt
  crossbook dataset validate --allow gap --allow duplicate binance-btcusdt
  crossbook dataset validate --seal datasets/mine    # after editing its dataset.toml by hand

Exit code: 0 sound, 1 something was found that is not allowed, 2 no such dataset, 4 the system refused to read.")]
pub struct Args {
    /// Folders of datasets, or their names under the data root.
    #[arg(required = true, value_name = "DIR")]
    datasets: Vec<String>,
    /// Report findings of this kind without calling the dataset broken (may be repeated).
    #[arg(long, value_enum, value_name = "CHECK")]
    allow: Vec<Check>,
    /// First accept the manifest as it stands, edited by hand, and seal it anew.
    #[arg(long)]
    seal: bool,
}

/// Checks each dataset and says what breaks, and where.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    interrupt::watch();
    let allowed: BTreeSet<Check> = args.allow.into_iter().collect();
    let mut dirs: Vec<PathBuf> = Vec::new();
    for name in &args.datasets {
        dirs.push(find(name, common.data_root.as_deref()).map_err(failed)?);
    }
    let mut results = Vec::new();
    for dir in &dirs {
        if args.seal {
            reseal(dir).map_err(failed)?;
        }
        let total = read_manifest(dir).map_or(0, |manifest| manifest.counts.messages);
        let bar = progress::bar(common, total, "rows");
        let result = validate(dir, &allowed, &mut |done| step(&bar, done));
        bar.finish_and_clear();
        let result = result.map_err(failed)?;
        if !common.quiet {
            print(dir, &result);
        }
        results.push(result);
    }
    let sound = results.iter().all(|result| result.sound);
    if common.json {
        #[derive(Serialize)]
        struct Json {
            sound: bool,
            datasets: Vec<Validation>,
        }
        say!(
            "{}",
            serde_json::to_string(&Json {
                sound,
                datasets: results
            })?
        );
    }
    Ok(if sound { Outcome::Done } else { Outcome::No })
}

fn print(dir: &Path, result: &Validation) {
    let verdict = if result.sound { "sound" } else { "broken" };
    say!("{}: {verdict}, {} messages", dir.display(), result.messages);
    for finding in &result.findings {
        let place = match (finding.row, &finding.ts_recv) {
            (Some(row), Some(ts)) => format!("row {row} ({ts}): "),
            _ => String::new(),
        };
        let allowed = if result.allowed.contains(&finding.check) {
            " (allowed)"
        } else {
            ""
        };
        say!("  {}{allowed}: {place}{}", name(finding.check), finding.detail);
    }
    for (&check, &count) in &result.counts {
        let shown = result.findings.iter().filter(|finding| finding.check == check).count() as u64;
        if count > shown {
            say!("  {}: {} more like this", name(check), count - shown);
        }
    }
}

fn name(check: Check) -> String {
    clap::ValueEnum::to_possible_value(&check).map_or_else(String::new, |value| value.get_name().to_owned())
}
