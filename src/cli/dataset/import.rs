//! `crossbook dataset import`

use std::path::PathBuf;

use anyhow::{Context, bail};
use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::units::{Amount, Price, Qty};
use crossbook_feed::journal::segments_in;

use super::failed;
use crate::cli::{Common, Fault, Outcome, interrupt, progress, say};
use crate::dataset::DatasetError;
use crate::dataset::import::time::parse_zone;
use crate::dataset::import::{
    Channels, ClockOffset, Format, FxColumns, ImportError, Interrupted, Options, PublishedAt, Recording, Report,
    RowsMean, Target, describe, detect, import_into,
};
use crate::dataset::manifest::{MarketRules, Tick};

/// Arguments of `crossbook dataset import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  crossbook dataset import spot_btcusdt_20240808.gz --out data
  crossbook dataset import --format raw-upbit capture.gz --stream depth,trade --symbol KRW-BTC --out data
  crossbook dataset import --format tardis binance_incremental_book_L2_2024-09-01_BTCUSDT.csv.gz --out data
  crossbook dataset import --format wide-csv book.csv.gz --venue binance --timezone UTC --out data
  crossbook dataset import ecb.csv.gz --preset ecb --out data
  crossbook dataset import --format hftbacktest day.npz --venue binance-usdm --symbol BTCUSDT --tick 0.1 --lot 0.001 --out data
  crossbook dataset import recordings/kimchi --out data

Each format, its options and its limits: docs/datasets.md

Exit codes: 0 done, 2 bad input (says file, line or column), 3 interrupted (nothing is left), 4 a fault outside.")]
pub struct Args {
    /// Files, read in this order as one recording; gzip, zstd and zip are read as they are. Or the folder of a
    /// `crossbook record`.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Folder in which a folder for each instrument is made (`binance-btcusdt`).
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the inputs are; told by their first bytes when left away.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Name of the dataset, when the import makes only one.
    #[arg(long)]
    name: Option<String>,
    /// Only this symbol, in the venue's spelling (may be repeated).
    #[arg(long, value_name = "SYMBOL")]
    symbol: Vec<String>,
    /// Venue, where the inputs do not name it.
    #[arg(long)]
    venue: Option<String>,
    /// Streams of a raw capture. Trades go beside the book, or make a dataset of their own without `depth`.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Channel::Depth])]
    stream: Vec<Channel>,
    /// Zone of local times: an IANA name, UTC, or +09:00.
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    timezone: Option<String>,
    /// Latency to assume, in ms, where the inputs have no time of receipt.
    #[arg(long, value_name = "MS", default_value = "0")]
    assume_latency_ms: String,
    /// What to add to exchange times: `auto` (only when one lies after its receipt), or a span (`-1272.5ms`).
    #[arg(long, value_name = "SPAN", default_value = "auto", allow_hyphen_values = true)]
    clock_offset: String,
    /// The smallest latency, in ms, that an estimated clock offset leaves.
    #[arg(long, value_name = "MS", default_value = "0")]
    min_latency_ms: String,
    /// Put rows in order that come at most this much too late, in ms; without it they are refused.
    #[arg(long, value_name = "MS", default_value = "0")]
    reorder_ms: String,
    /// Snapshots hold everything there is: nothing rests beyond them.
    #[arg(long)]
    complete: bool,
    /// A book that starts without a snapshot starts empty (hftbacktest).
    #[arg(long)]
    start_empty: bool,
    /// Cut sizes of CSV files that are finer than 1e-8, and count them, instead of refusing the file.
    #[arg(long)]
    cut_sizes: bool,
    /// What rows of a plain CSV are, when no column says so.
    #[arg(long, value_enum)]
    rows: Option<RowsMean>,
    /// How messages of a plain CSV are numbered.
    #[arg(long, value_enum)]
    sequence: Option<Sequence>,
    /// An exchange rate: NAME, NAME=COLUMN or NAME=COLUMN/COLUMN (may be repeated).
    #[arg(long, value_name = "RATE")]
    column: Vec<String>,
    /// When a rate of a date becomes known: `16:00@Europe/Berlin`.
    #[arg(long, value_name = "TIME@ZONE")]
    published_at: Option<String>,
    /// A set of options under one name.
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// What is bought and sold; guessed from the symbol when left away.
    #[arg(long)]
    base: Option<String>,
    /// What is paid; guessed from the symbol when left away.
    #[arg(long)]
    quote: Option<String>,
    /// Price step, also the grid of float prices (hftbacktest); `upbit_krw` for that venue's ladder.
    #[arg(long)]
    tick: Option<String>,
    /// Quantity step, also the grid of float quantities (hftbacktest).
    #[arg(long)]
    lot: Option<String>,
    /// Smallest quantity of an order.
    #[arg(long)]
    min_qty: Option<String>,
    /// Smallest value of an order.
    #[arg(long)]
    min_notional: Option<String>,
    /// Who recorded the data, for the manifest.
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// Where the data can be had, for the manifest.
    #[arg(long, default_value = "")]
    url: String,
    /// Licence of the data, for the manifest.
    #[arg(long, default_value = "none stated")]
    licence: String,
    /// Replace datasets that are there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Channel {
    /// The order book.
    Depth,
    /// Best bid and ask as the venue's own stream gives them.
    #[value(name = "bookTicker", alias = "book-ticker", alias = "ticker")]
    BookTicker,
    /// Trades.
    Trade,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sequence {
    /// Not at all.
    None,
    /// One after the other.
    Contiguous,
    /// Binance spot.
    BinanceSpot,
    /// Binance futures.
    BinanceFutures,
    /// Upbit, by exchange time.
    UpbitTimestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Preset {
    /// The ECB's euro reference rates: `USDKRW = eurkrw / eurusd`, known from 16:00 Frankfurt time on.
    Ecb,
}

/// Imports the inputs.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let args = preset(args);
    let format = match args.format {
        Some(format) => format,
        None => detected(&args.inputs)?,
    };
    let options = options(&args)?;
    let target = target(&args)?;
    interrupt::watch();
    let bytes = |path: &PathBuf| match segments_in(path) {
        Ok(segments) => segments.iter().map(|(_, bytes)| bytes).sum(),
        Err(_) => path.metadata().map_or(0, |found| found.len()),
    };
    let total = args.inputs.iter().map(bytes).sum();
    let bar = progress::bar(common, total, "bytes");
    let result = import_into(
        &target,
        format,
        &args.inputs,
        &options,
        &|bytes| bar.inc(bytes),
        &interrupt::asked,
    );
    bar.finish_and_clear();
    let report = result.map_err(refused)?;
    if !common.quiet {
        print_report(&report);
    }
    if common.json {
        say!("{}", as_json(format, &report));
    }
    Ok(Outcome::Done)
}

fn preset(mut args: Args) -> Args {
    let Some(Preset::Ecb) = args.preset else { return args };
    args.format.get_or_insert(Format::FxCsv);
    args.venue.get_or_insert_with(|| "ecb".to_owned());
    args.published_at
        .get_or_insert_with(|| "16:00@Europe/Berlin".to_owned());
    args.source
        .get_or_insert_with(|| "European Central Bank, euro foreign exchange reference rates".to_owned());
    if args.column.is_empty() {
        args.column.push("usdkrw=eurkrw/eurusd".to_owned());
    }
    if args.licence == "none stated" {
        args.licence = "free to reuse with the source named".to_owned();
    }
    args
}

fn detected(inputs: &[PathBuf]) -> anyhow::Result<Format> {
    let mut found: Option<Format> = None;
    for path in inputs {
        let format = detect(path).map_err(refused)?.with_context(|| {
            format!(
                "{}: cannot tell what it is; say so with --format (--help lists them). Of minute candles, which have no book, \
                 `crossbook dataset synth SPEC.toml --from-candles DIR` makes books",
                path.display()
            )
        })?;
        match found {
            Some(first) if first != format => bail!(
                "{}: looks like {}, the files before like {}; import them one by one, or say --format",
                path.display(),
                format.name(),
                first.name()
            ),
            _ => found = Some(format),
        }
    }
    found.context("no input")
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let zone = args.timezone.as_deref().map(|text| {
        parse_zone(text)
            .with_context(|| format!("--timezone `{text}`: allowed are UTC, an IANA name (Asia/Seoul) or +09:00"))
    });
    let columns = args.column.iter().map(|text| {
        FxColumns::parse(text)
            .with_context(|| format!("--column `{text}`: allowed are NAME, NAME=COLUMN, NAME=COLUMN/COLUMN"))
    });
    let published = args.published_at.as_deref().map(|text| {
        PublishedAt::parse(text)
            .with_context(|| format!("--published-at `{text}`: allowed is a time and a zone, 16:00@Europe/Berlin"))
    });
    let has = |channel| args.stream.contains(&channel);
    let tick = match args.tick.as_deref() {
        Some("upbit_krw") | None => None,
        Some(text) => Some(Price::parse(text).with_context(|| format!("--tick `{text}`"))?),
    };
    Ok(Options {
        symbols: args.symbol.clone(),
        venue: args.venue.clone(),
        channels: Channels {
            depth: has(Channel::Depth),
            ticker: has(Channel::BookTicker),
            trade: has(Channel::Trade),
        },
        zone: zone.transpose()?,
        assumed_latency_ns: span_ns("--assume-latency-ms", &args.assume_latency_ms, 1_000_000)?,
        reorder_ns: span_ns("--reorder-ms", &args.reorder_ms, 1_000_000)?,
        complete: args.complete,
        start_empty: args.start_empty,
        cut_sizes: args.cut_sizes,
        tick,
        lot: amount("--lot", args.lot.as_deref(), Qty::parse)?,
        rows: args.rows,
        sequence: args.sequence.map(|sequence| match sequence {
            Sequence::None => SequenceRule::None,
            Sequence::Contiguous => SequenceRule::Contiguous,
            Sequence::BinanceSpot => SequenceRule::BinanceSpot,
            Sequence::BinanceFutures => SequenceRule::BinanceFutures,
            Sequence::UpbitTimestamp => SequenceRule::UpbitTimestamp,
        }),
        fx_columns: columns.collect::<anyhow::Result<_>>()?,
        published_at: published.transpose()?,
    })
}

fn target(args: &Args) -> anyhow::Result<Target> {
    let tick = match args.tick.as_deref() {
        Some("upbit_krw") => Some(Tick::UpbitKrw),
        Some(text) => Some(Tick::Fixed(
            Price::parse(text).with_context(|| format!("--tick `{text}`"))?,
        )),
        None => None,
    };
    let clock = match args.clock_offset.as_str() {
        "auto" => ClockOffset::Auto,
        text => {
            let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
            let scale = match unit {
                "ns" => 1,
                "us" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                _ => bail!("--clock-offset `{text}`: allowed are auto, or a number with ns, us, ms or s"),
            };
            ClockOffset::Fixed(signed_ns("--clock-offset", number, scale)?)
        }
    };
    Ok(Target {
        name: args.name.clone(),
        force: args.force,
        base: args.base.clone(),
        quote: args.quote.clone(),
        rules: MarketRules {
            tick,
            lot: amount("--lot", args.lot.as_deref(), Qty::parse)?,
            min_qty: amount("--min-qty", args.min_qty.as_deref(), Qty::parse)?,
            min_notional: amount("--min-notional", args.min_notional.as_deref(), Amount::parse)?,
        },
        source: args.source.clone(),
        url: args.url.clone(),
        licence: args.licence.clone(),
        clock,
        min_latency_ns: span_ns("--min-latency-ms", &args.min_latency_ms, 1_000_000)?,
        ..Target::new(&args.out)
    })
}

fn amount<T, E: std::error::Error + Send + Sync + 'static>(
    option: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> anyhow::Result<Option<T>> {
    text.map(|text| parse(text).with_context(|| format!("{option} `{text}`")))
        .transpose()
}

/// A span that is not negative, exact to the nanosecond.
fn span_ns(option: &str, text: &str, unit_ns: i64) -> anyhow::Result<i64> {
    match signed_ns(option, text, unit_ns)? {
        ns @ 0.. => Ok(ns),
        _ => bail!("{option} `{text}`: must not be negative"),
    }
}

fn signed_ns(option: &str, text: &str, unit_ns: i64) -> anyhow::Result<i64> {
    const STEPS: i128 = 100_000_000;
    let raw = crossbook_engine::units::parse_decimal(text).with_context(|| format!("{option} `{text}`"))?;
    i64::try_from(i128::from(raw) * i128::from(unit_ns) / STEPS).with_context(|| format!("{option} `{text}`: too long"))
}

/// The command's error for an importer's: what the system refused is a fault outside, all else is bad input.
pub fn refused(error: ImportError) -> anyhow::Error {
    use std::io::ErrorKind::{IsADirectory, NotFound, PermissionDenied};
    match error {
        ImportError::Sink(source) => match source.downcast::<DatasetError>() {
            Ok(error) => failed(*error),
            Err(source) if source.is::<Interrupted>() => Fault::Interrupted.into(),
            Err(source) => anyhow::Error::from_boxed(source),
        },
        ImportError::Read { path, source } if !matches!(source.kind(), NotFound | PermissionDenied | IsADirectory) => {
            Fault::Outside {
                what: format!("read {}", path.display()),
                source,
            }
            .into()
        }
        other => other.into(),
    }
}

fn print_report(report: &Report) {
    for made in &report.made {
        let manifest = &made.manifest;
        let span = manifest.span.as_ref().map_or(String::new(), |span| {
            format!(", {} to {}", span.first_recv, span.last_recv)
        });
        say!("{}: {} messages{span}", made.dir.display(), manifest.counts.messages);
        match (made.min_latency_ns, manifest.clock_offset_ns) {
            (Some(least), 0) => say!("  smallest latency {:.3} ms", least as f64 / 1e6),
            (Some(least), offset) => say!(
                "  clock offset {:.3} ms: the smallest raw latency was {:.3} ms",
                offset as f64 / 1e6,
                least as f64 / 1e6
            ),
            (None, _) => {}
        }
    }
    let account = &report.account;
    say!(
        "received {} = applied {} + ignored {} + quarantined {}",
        account.received,
        account.applied,
        account.ignored.values().sum::<u64>(),
        account.quarantined
    );
    if !account.ignored.is_empty() {
        say!("  ignored: {}", describe(account));
    }
    if account.cut_sizes > 0 {
        say!("  sizes cut to 1e-8: {}", account.cut_sizes);
    }
    if let Some(path) = &report.quarantine {
        say!("  quarantined: {}", path.display());
    }
    if let Some(recording) = &report.recording {
        print_recording(recording);
    }
}

/// The gaps of a recording and what is wrong with its files; of a long list, the first few.
pub fn print_recording(recording: &Recording) {
    const SHOWN: usize = 10;
    let totals = &recording.totals;
    let minutes = |ns: i64| ns as f64 / 60e9;
    say!(
        "runs {}; market minutes with a live book {:.1}, without {:.1} ({} gaps)",
        recording.runs,
        minutes(totals.live_ns),
        minutes(totals.gap_ns),
        recording.gaps.len() as u64 + recording.gaps_not_listed
    );
    for gap in recording.gaps.iter().filter(|gap| gap.cause != "starting").take(SHOWN) {
        say!(
            "  {} {}: {:.3} s without a live book ({})",
            gap.venue,
            gap.market,
            gap.length_ns as f64 / 1e9,
            gap.cause
        );
    }
    for cut in &recording.journal.cuts {
        say!(
            "  {}: {} bytes behind byte {} cut (torn tail)",
            cut.file,
            cut.bytes,
            cut.at
        );
    }
    for damage in recording.journal.damages.iter().take(SHOWN) {
        say!(
            "  DAMAGED {}: bytes {} to {}: {}",
            damage.file,
            damage.from,
            damage.to,
            damage.what
        );
    }
    if recording.journal.doubtful() {
        say!("  this recording is doubtful: what was made of it may be wrong");
    }
}

/// The report for programs.
pub fn as_json(format: Format, report: &Report) -> serde_json::Value {
    let datasets: Vec<_> = report
        .made
        .iter()
        .map(|made| {
            serde_json::json!({
                "dir": made.dir,
                "name": made.manifest.name,
                "venue": made.manifest.venue,
                "symbol": made.manifest.symbol,
                "messages": made.manifest.counts.messages,
                "rows": made.manifest.counts.rows,
                "clock_offset_ns": made.manifest.clock_offset_ns,
                "min_latency_ns": made.min_latency_ns,
                "reordered": made.reordered,
                "blake3": made.manifest.data.blake3,
            })
        })
        .collect();
    let account = &report.account;
    serde_json::json!({
        "format": format.name(),
        "datasets": datasets,
        "received": account.received,
        "applied": account.applied,
        "ignored": account.ignored,
        "quarantined": account.quarantined,
        "cut_sizes": account.cut_sizes,
        "quarantine": report.quarantine,
        "recording": report.recording,
    })
}
