//! `crossbook dataset convert`

use std::path::PathBuf;

use anyhow::Context;
use crossbook_engine::units::TimestampNs;

use super::{failed, step};
use crate::cli::{Common, Outcome, interrupt, progress, say};
use crate::dataset::convert::{Csv, Repair, Rewrite, rewrite, to_csv};
use crate::dataset::reader::Dataset;

const HOUR_NS: f64 = 3.6e12;

/// Arguments of `crossbook dataset convert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  crossbook dataset convert binance-btcusdt one-hour --from 2024-08-08T23:00:00Z --to 2024-08-09T00:00:00Z
  crossbook dataset convert binance-btcusdt levels.csv --format csv
  crossbook dataset convert binance-btcusdt top.csv --format top-csv
  crossbook dataset convert broken mended --repair sort --repair units
  crossbook dataset convert kst utc --shift-event-hours=-9

Exit codes: 0 done, 2 bad input (says file or row), 3 interrupted (nothing is left), 4 a fault outside.")]
pub struct Args {
    /// Folder of a dataset, or its name under the data root.
    #[arg(value_name = "DIR")]
    dataset: String,
    /// What to make: the folder of a new dataset, or a CSV file.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// As what.
    #[arg(long, value_enum, default_value_t = Format::Dataset)]
    format: Format,
    /// Only what was received at this time or later (RFC 3339). A dataset then begins with the book that held before.
    #[arg(long, value_name = "TIME")]
    from: Option<jiff::Timestamp>,
    /// Only what was received before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    to: Option<jiff::Timestamp>,
    /// Mend this (may be repeated); says how often it did.
    #[arg(long, value_enum, value_name = "WHAT")]
    repair: Vec<Repair>,
    /// Add hours to every exchange time (-9 for Korean local time that was read as UTC).
    #[arg(long, value_name = "H", default_value_t = 0.0, allow_hyphen_values = true)]
    shift_event_hours: f64,
    /// Add hours to every time of receipt.
    #[arg(long, value_name = "H", default_value_t = 0.0, allow_hyphen_values = true)]
    shift_recv_hours: f64,
    /// Name of the new dataset; the old one's by default.
    #[arg(long)]
    name: Option<String>,
    /// Replace what is there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A new dataset.
    Dataset,
    /// One line a level; nothing is lost.
    Csv,
    /// One line a change of the best prices.
    TopCsv,
}

/// Converts one dataset.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    interrupt::watch();
    let from = args.from.map(nanoseconds).transpose()?;
    let to = args.to.map(nanoseconds).transpose()?;
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        anyhow::bail!("--from must be before --to");
    }
    let mends = !args.repair.is_empty() || args.shift_event_hours != 0.0 || args.shift_recv_hours != 0.0;
    if mends && (from.is_some() || to.is_some()) {
        anyhow::bail!(
            "mend the whole dataset first, then cut it: --repair and --shift… do not go with --from and --to"
        );
    }
    if (mends || args.name.is_some()) && args.format != Format::Dataset {
        anyhow::bail!("--repair, --shift… and --name need --format dataset");
    }
    let dataset = Dataset::resolve(&args.dataset, common.data_root.as_deref()).map_err(failed)?;
    let bar = progress::bar(common, dataset.manifest().counts.messages, "rows");
    let mut step = |done| step(&bar, done);
    let csv = match args.format {
        Format::Csv => Some(Csv::Levels),
        Format::TopCsv => Some(Csv::Top),
        Format::Dataset => None,
    };
    let (text, json) = match csv {
        Some(csv) => {
            let lines = to_csv(&dataset, &args.out, csv, (from, to), args.force, &mut step).map_err(failed)?;
            (
                format!("{lines} lines"),
                serde_json::json!({ "out": args.out, "lines": lines }),
            )
        }
        None => {
            let options = Rewrite {
                from,
                to,
                repair: args.repair.into_iter().collect(),
                shift_recv_ns: hours(args.shift_recv_hours)?,
                shift_event_ns: hours(args.shift_event_hours)?,
                name: args.name,
                force: args.force,
            };
            let (manifest, done) = rewrite(&dataset, &args.out, &options, &mut step).map_err(failed)?;
            let mut text = format!("{} messages", done.messages);
            for (count, what) in [
                (done.carried, "of them carried into the window"),
                (done.moved, "moved by sorting"),
                (done.units, "stamps brought to nanoseconds"),
            ] {
                if count > 0 {
                    text.push_str(&format!(", {count} {what}"));
                }
            }
            let json = serde_json::json!({ "out": args.out, "name": manifest.name, "blake3": manifest.data.blake3,
                "messages": done.messages, "carried": done.carried, "moved": done.moved, "units": done.units });
            (text, json)
        }
    };
    bar.finish_and_clear();
    if !common.quiet {
        say!("{}: {text}", args.out.display());
    }
    if common.json {
        say!("{json}");
    }
    Ok(Outcome::Done)
}

fn nanoseconds(stamp: jiff::Timestamp) -> anyhow::Result<TimestampNs> {
    let ns =
        i64::try_from(stamp.as_nanosecond()).with_context(|| format!("{stamp} is beyond the years 1677 to 2262"))?;
    Ok(TimestampNs(ns))
}

fn hours(hours: f64) -> anyhow::Result<i64> {
    if hours.abs() > 24.0 {
        anyhow::bail!("a shift of {hours} h is no time zone; at most 24");
    }
    Ok((hours * HOUR_NS) as i64)
}
