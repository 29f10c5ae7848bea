//! `crossbook dataset inspect`

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{failed, step};
use crate::cli::{Common, Fault, Outcome, interrupt, progress, say};
use crate::dataset::inspect::{Inspection, Quantiles, inspect};
use crate::dataset::manifest::DatasetKind;
use crate::dataset::reader::Dataset;
use crate::dataset::writer::write_manifest;
use crate::report::plots::{Series, Stretch, series_png, series_svg};
use crate::sink::file::write_whole;

/// Arguments of `crossbook dataset inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  crossbook dataset inspect datasets/demo-upbit-krw-btc
  crossbook dataset inspect binance-btcusdt --plot spread.png
  crossbook dataset inspect binance-btcusdt --shortest-latency-ms 0.5 --write-clock-offset

Exit codes: 0 done, 2 no such dataset or a damaged one, 3 interrupted, 4 a fault outside.")]
pub struct Args {
    /// Folders of datasets, or their names under the data root.
    #[arg(required = true, value_name = "DIR")]
    datasets: Vec<String>,
    /// Draw the spread (or the rate) over time into this file; the ending says how.
    #[arg(long, value_name = "OUT.png|OUT.svg")]
    plot: Option<PathBuf>,
    /// Replace the picture that is there.
    #[arg(long)]
    force: bool,
    /// What the fastest message is taken to have travelled, for the estimate of the clock offset.
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    shortest_latency_ms: f64,
    /// Write the estimated clock offset into the manifest.
    #[arg(long)]
    write_clock_offset: bool,
}

/// Looks at each dataset.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    interrupt::watch();
    if args.plot.is_some() && args.datasets.len() > 1 {
        anyhow::bail!("--plot draws one dataset at a time");
    }
    let shortest_ns = args.shortest_latency_ms * 1e6;
    if !(0.0..=1e12).contains(&shortest_ns) {
        anyhow::bail!("--shortest-latency-ms must be between 0 and 1000000");
    }
    let mut results = Vec::new();
    for name in &args.datasets {
        let dataset = Dataset::resolve(name, common.data_root.as_deref()).map_err(failed)?;
        let bar = progress::bar(common, dataset.manifest().counts.messages, "rows");
        let result = inspect(&dataset, shortest_ns as i64, &mut |done| step(&bar, done));
        bar.finish_and_clear();
        let result = result.map_err(failed)?;
        if !common.quiet {
            print(&result);
        }
        if let Some(path) = &args.plot {
            draw(&dataset, &result, path, args.force)?;
        }
        if args.write_clock_offset {
            write_offset(common, &dataset, &result)?;
        }
        results.push(result);
    }
    if common.json {
        say!("{}", serde_json::json!({ "datasets": results }));
    }
    Ok(Outcome::Done)
}

fn draw(dataset: &Dataset, result: &Inspection, path: &Path, force: bool) -> anyhow::Result<()> {
    let manifest = dataset.manifest();
    let what = match manifest.kind {
        DatasetKind::Fx => format!("{} per {}", manifest.quote, manifest.base),
        _ => "spread, bps".to_owned(),
    };
    if result.picture.is_empty() {
        anyhow::bail!(
            "{}: no spread and no rate in it, so there is nothing to draw",
            result.dataset
        );
    }
    let stretches = result.picture.iter().map(|column| Stretch {
        ts: column.at,
        low: column.low,
        mean: column.mean,
        high: column.high,
    });
    let series = Series {
        title: format!("{}: {what}", result.market),
        unit: what,
        stretches: stretches.collect(),
    };
    let bytes = match path.extension().and_then(|ending| ending.to_str()) {
        Some("png") => series_png(&series)?,
        Some("svg") => series_svg(&series)?.into_bytes(),
        _ => anyhow::bail!("{}: a picture must end in .png or .svg", path.display()),
    };
    write_whole(path, &bytes, force).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => anyhow::anyhow!("{}: exists already; --force replaces it", path.display()),
        ErrorKind::NotFound => anyhow::anyhow!("{}: {source}", path.display()),
        _ => Fault::Outside {
            what: format!("write {}", path.display()),
            source,
        }
        .into(),
    })
}

fn write_offset(common: &Common, dataset: &Dataset, result: &Inspection) -> anyhow::Result<()> {
    let clock = result
        .clock
        .as_ref()
        .with_context(|| format!("{}: no exchange time in it, so no clock offset either", result.dataset))?;
    let mut manifest = dataset.manifest().clone();
    manifest.clock_offset_ns = clock.offset_ns;
    write_manifest(dataset.dir(), &manifest).map_err(failed)?;
    if !common.quiet {
        say!("  wrote {} into its dataset.toml", clock.line);
    }
    Ok(())
}

fn print(result: &Inspection) {
    say!("{}: {}", result.dataset, result.market);
    match &result.span {
        Some(span) => say!("  received     {} to {}", span.first_recv, span.last_recv),
        None => say!("  received     nothing"),
    }
    let kinds: Vec<String> = result
        .kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind:?}").to_lowercase())
        .collect();
    say!(
        "  messages     {} ({}), {} rows",
        result.messages,
        kinds.join(", "),
        result.rows
    );
    for (reason, count) in &result.dropped {
        say!("  left out     {count} on import: {reason}");
    }
    if result.bad_rows + result.out_of_order_recv > 0 {
        say!(
            "  BROKEN       {} rows that say nothing, {} received before the row before: see `crossbook dataset validate`",
            result.bad_rows,
            result.out_of_order_recv
        );
    }
    say!(
        "  sequence     {} gaps, {} old, {} before a snapshot; exchange time goes back {} times",
        result.gaps,
        result.old,
        result.before_snapshot,
        result.out_of_order_event
    );
    for gap in &result.first_gaps {
        say!(
            "               gap at row {} ({}): {} due, {} came",
            gap.row,
            gap.at,
            gap.expected,
            gap.found
        );
    }
    say!("  crossed      {} times", result.crossed);
    for silence in &result.silences {
        say!(
            "  silence      {:.3} s since {}",
            silence.ns as f64 / 1e9,
            silence.since
        );
    }
    quantiles("latency, ms", result.latency_ms.as_ref());
    quantiles("spread, bps", result.spread_bps.as_ref());
    let Some(clock) = &result.clock else { return };
    say!(
        "  clock        fastest message: {:.3} ms (first tenth {:.3}, last tenth {:.3}); dataset.toml says {:.3}",
        clock.offset_ns as f64 / 1e6,
        clock.first_tenth_ns as f64 / 1e6,
        clock.last_tenth_ns as f64 / 1e6,
        clock.manifest_ns as f64 / 1e6,
    );
    if clock.needed {
        say!(
            "               {} messages arrive before they happened. Receipt minus exchange time is latency plus the offset of\n               \
             the recorder's clock, and no latency is below zero, so the offset is at most that of the fastest message.\n               \
             Put this line into dataset.toml (--write-clock-offset does it):\n               {}",
            clock.ahead,
            clock.line
        );
    }
}

fn quantiles(what: &str, quantiles: Option<&Quantiles>) {
    match quantiles {
        Some(q) => say!(
            "  {what:<12} min {:.4}  p1 {:.4}  p50 {:.4}  p95 {:.4}  p99 {:.4}  max {:.4}  mean {:.4}  (n {})",
            q.min,
            q.p1,
            q.p50,
            q.p95,
            q.p99,
            q.max,
            q.mean,
            q.count
        ),
        None => say!("  {what:<12} none"),
    }
}
