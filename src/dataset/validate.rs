//! Whether a dataset is sound, and where it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crossbook_engine::book::BookSide;
use crossbook_engine::book::sync::Verdict;
use crossbook_engine::event::{EventKind, Kind};
use crossbook_engine::units::TimestampNs;
use serde::Serialize;

use super::DatasetError;
use super::columns::RawRow;
use super::manifest::{EventTime, MANIFEST_FILE, Manifest, rfc3339, seal};
use super::reader::{Dataset, read_manifest};
use super::scan::{Seen, scan};
use super::writer::write_text;

/// No market data are older or younger: 2009-01-01 (the year of the first block) and 2100-01-01, in seconds.
const YEARS_S: (i64, i64) = (1_230_768_000, 4_102_444_800);
const HOUR_NS: i64 = 3_600_000_000_000;
/// How many findings of one kind are kept with their place; all are counted.
const KEPT: usize = 20;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// A file is missing, damaged, or of another schema; nothing else can be said then.
    Unreadable,
    /// No message at all.
    Empty,
    /// A row whose columns contradict each other, or a price that is not positive.
    Shape,
    /// Time of receipt goes back.
    Unsorted,
    /// A stamp outside 2009 to 2100: milliseconds, microseconds and nanoseconds mixed, or no time at all.
    Units,
    /// Exchange time and time of receipt are whole hours apart: a local time was read as UTC.
    Zone,
    /// Exchange time after time of receipt, even with the manifest's clock offset.
    Ahead,
    /// The manifest's span or counts are not those of the data.
    Manifest,
    /// At least one message of the venue is missing.
    Gap,
    /// Best bid at or above best ask.
    Crossed,
    /// The same message again, or one that is older than the book.
    Duplicate,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub check: Check,
    /// Which row of the data file, from zero; `None` for the dataset as a whole.
    pub row: Option<u64>,
    /// When that row was received.
    pub ts_recv: Option<String>,
    /// What was found.
    pub detail: String,
}

/// What validation came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Validation {
    /// The folder.
    pub dataset: String,
    /// Whether nothing was found but what was allowed.
    pub sound: bool,
    /// Messages looked at.
    pub messages: u64,
    /// All findings by check, allowed ones too.
    pub counts: BTreeMap<Check, u64>,
    /// The checks whose findings are allowed.
    pub allowed: BTreeSet<Check>,
    /// The first findings of each check.
    pub findings: Vec<Finding>,
}

/// Checks a dataset from the first byte to the last; `progress` is told the rows done and says whether to go on.
///
/// # Errors
/// Only when the system refuses to read, or [`DatasetError::Stopped`]; damage is a finding.
pub fn validate(
    dir: &Path,
    allowed: &BTreeSet<Check>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Validation, DatasetError> {
    let mut checker = Checker::default();
    match Dataset::open(dir) {
        Ok(dataset) => match scan(&dataset, progress, |seen| checker.row(dataset.manifest(), seen)) {
            Ok(()) => checker.whole(dataset.manifest()),
            Err(error) => checker.unreadable(error)?,
        },
        Err(error) => checker.unreadable(error)?,
    }
    Ok(Validation {
        dataset: dir.display().to_string(),
        sound: checker.counts.keys().all(|check| allowed.contains(check)),
        messages: checker.messages,
        counts: checker.counts,
        allowed: allowed.clone(),
        findings: checker.findings,
    })
}

/// Accepts a manifest that was edited by hand: checks it and seals it anew.
///
/// # Errors
/// The manifest does not parse, or the system refuses.
pub fn reseal(dir: &Path) -> Result<Manifest, DatasetError> {
    let path = dir.join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).map_err(DatasetError::io("read", &path))?;
    let sealed = seal(&text);
    let manifest = Manifest::parse(&sealed, &path)?;
    write_text(dir, MANIFEST_FILE, &sealed)?;
    read_manifest(dir)?;
    Ok(manifest)
}

#[derive(Default)]
struct Checker {
    counts: BTreeMap<Check, u64>,
    findings: Vec<Finding>,
    messages: u64,
    rows: u64,
    recv: Option<(i64, i64)>,
    event: Option<(i64, i64)>,
    crossed: u64,
    last_trade: Option<(i64, i64, i64)>,
    last: LastRow,
}

impl Checker {
    fn found(&mut self, check: Check, seen: Option<&Seen<'_>>, detail: impl FnOnce() -> String) {
        let count = self.counts.entry(check).or_default();
        *count += 1;
        if *count <= KEPT as u64 {
            self.findings.push(Finding {
                check,
                row: seen.map(|seen| seen.row),
                ts_recv: seen.map(|seen| rfc3339(TimestampNs(seen.raw.ts_recv))),
                detail: detail(),
            });
        }
    }

    fn unreadable(&mut self, error: DatasetError) -> Result<(), DatasetError> {
        if error.outside().is_some() || matches!(error, DatasetError::Stopped) {
            return Err(error);
        }
        self.found(Check::Unreadable, None, || error.to_string());
        Ok(())
    }

    fn row(&mut self, manifest: &Manifest, seen: &Seen<'_>) {
        self.messages += 1;
        match &seen.event {
            Ok(event) => self.rows += rows(event),
            Err(fault) => self.found(Check::Shape, Some(seen), || fault.to_string()),
        }
        self.stamps(manifest, seen);
        match seen.verdict {
            Some(Verdict::Gap { expected, found }) => {
                self.found(Check::Gap, Some(seen), || {
                    format!("{found} does not continue the book, {expected} was due")
                });
            }
            Some(Verdict::Old) => self.found(Check::Duplicate, Some(seen), || {
                "already contained in the book, or older than it".to_owned()
            }),
            _ => {}
        }
        if seen.book.crossed_count() > self.crossed {
            self.crossed = seen.book.crossed_count();
            self.found(Check::Crossed, Some(seen), || {
                let best = |side| {
                    seen.book
                        .best(side)
                        .map_or("none".to_owned(), |level| level.price.to_string())
                };
                format!(
                    "best bid {} is not below best ask {}",
                    best(BookSide::Bid),
                    best(BookSide::Ask)
                )
            });
        }
        if self.last.replace(seen.raw) && seen.verdict != Some(Verdict::Old) {
            self.found(Check::Duplicate, Some(seen), || {
                "the same as the row before it".to_owned()
            });
        }
        if let (Ok(EventKind::Trade { price, .. }), Some(id)) = (&seen.event, seen.raw.seq_last) {
            let trade = (id, price.raw(), seen.raw.ts_event);
            if self.last_trade == Some(trade) {
                self.found(Check::Duplicate, Some(seen), || format!("trade {id} again"));
            }
            self.last_trade = Some(trade);
        }
    }

    fn stamps(&mut self, manifest: &Manifest, seen: &Seen<'_>) {
        let (recv, event) = (seen.raw.ts_recv, seen.raw.ts_event);
        if let Some((_, last)) = self.recv
            && recv < last
        {
            self.found(Check::Unsorted, Some(seen), || {
                format!("received before the row before it ({})", rfc3339(TimestampNs(last)))
            });
        }
        let mut plausible = true;
        for (column, ns) in [("ts_recv", recv), ("ts_event", event)] {
            if let Some(what) = misread(ns) {
                plausible = false;
                self.found(Check::Units, Some(seen), || format!("{column} {ns}: {what}"));
            }
        }
        if plausible && manifest.event_time == EventTime::Exchange {
            let ahead = seen.ts_event.0.saturating_sub(recv);
            // A day of travel is absurd too, but hours that are whole to within five minutes have a better explanation.
            let hours = (ahead as f64 / HOUR_NS as f64).round() as i64;
            let off = ahead.abs_diff(hours.saturating_mul(HOUR_NS));
            if hours != 0 && hours.abs() <= 14 && off <= HOUR_NS.unsigned_abs() / 12 {
                self.found(Check::Zone, Some(seen), || {
                    format!(
                        "ts_event is {hours:+} h from ts_recv: one of them is a local time read as UTC{}",
                        if hours.abs() == 9 { " (Korea is UTC+9)" } else { "" }
                    )
                });
            } else if ahead > 0 {
                self.found(Check::Ahead, Some(seen), || {
                    format!(
                        "ts_event is {:.3} ms after ts_recv; see `crossbook dataset inspect` for a clock offset",
                        ahead as f64 / 1e6
                    )
                });
            }
        }
        let widen = |range: Option<(i64, i64)>, ns: i64| {
            Some(range.map_or((ns, ns), |(low, high)| (low.min(ns), high.max(ns))))
        };
        self.recv = widen(self.recv, recv);
        self.event = widen(self.event, event);
    }

    fn whole(&mut self, manifest: &Manifest) {
        if self.messages == 0 {
            self.found(Check::Empty, None, || "there is no message in it".to_owned());
        }
        if (self.messages, self.rows) != (manifest.counts.messages, manifest.counts.rows) {
            let (messages, rows) = (self.messages, self.rows);
            self.found(Check::Manifest, None, || {
                format!(
                    "counts say {} messages and {} rows, there are {messages} and {rows}",
                    manifest.counts.messages, manifest.counts.rows
                )
            });
        }
        let said = manifest
            .span
            .as_ref()
            .map(|s| ((s.first_recv_ns, s.last_recv_ns), (s.first_event_ns, s.last_event_ns)));
        let (recv, event) = (self.recv, self.event);
        for (what, said, seen) in [
            ("receipt", said.map(|s| s.0), recv),
            ("exchange time", said.map(|s| s.1), event),
        ] {
            if said != seen {
                self.found(Check::Manifest, None, || differs(what, said, seen));
            }
        }
    }
}

/// The row before, to know it again.
#[derive(Default)]
struct LastRow {
    stamps: Option<(i64, i64, u8, u32)>,
    price: Vec<i64>,
    qty: Vec<i64>,
}

impl LastRow {
    /// Whether the new row says the same of a book at the same time. Trades may well come in equal pairs.
    fn replace(&mut self, raw: &RawRow<'_>) -> bool {
        let stamps = Some((raw.ts_event, raw.ts_recv, raw.kind, raw.bids));
        let same = self.stamps == stamps && self.price == raw.price && self.qty == raw.qty;
        self.stamps = stamps;
        self.price.clear();
        self.price.extend_from_slice(raw.price);
        self.qty.clear();
        self.qty.extend_from_slice(raw.qty);
        same && raw.kind != Kind::Trade as u8
    }
}

fn differs(what: &str, said: Option<(i64, i64)>, seen: Option<(i64, i64)>) -> String {
    let text = |range: Option<(i64, i64)>| match range {
        Some((first, last)) => format!("{} to {}", rfc3339(TimestampNs(first)), rfc3339(TimestampNs(last))),
        None => "nothing".to_owned(),
    };
    let shift = match (said, seen) {
        (Some(said), Some(seen)) if said.0 - seen.0 == said.1 - seen.1 && (said.0 - seen.0) % HOUR_NS == 0 => {
            format!(
                " ({:+} h, so one of them is a local time read as UTC)",
                (seen.0 - said.0) / HOUR_NS
            )
        }
        _ => String::new(),
    };
    format!(
        "span of {what} says {}, the data go from {}{shift}",
        text(said),
        text(seen)
    )
}

/// Nanoseconds in the unit that a stamp seems to count; `None` when it is plausible in none.
fn unit_ns(stamp: i64) -> Option<i64> {
    let (first, last) = YEARS_S;
    [1, 1_000, 1_000_000, 1_000_000_000].into_iter().find(|unit_ns| {
        let per_second = i128::from(1_000_000_000 / unit_ns);
        (i128::from(first) * per_second..i128::from(last) * per_second).contains(&i128::from(stamp))
    })
}

/// What a stamp that is no plausible number of nanoseconds may be.
fn misread(stamp: i64) -> Option<&'static str> {
    match unit_ns(stamp) {
        Some(1) => None,
        Some(1_000) => Some("outside 2009 to 2100; looks like microseconds"),
        Some(1_000_000) => Some("outside 2009 to 2100; looks like milliseconds"),
        Some(_) => Some("outside 2009 to 2100; looks like seconds"),
        None => Some("outside 2009 to 2100"),
    }
}

/// A stamp in the unit that it seems to have, in nanoseconds; as it is when it is plausible in none.
pub(super) fn in_nanoseconds(stamp: TimestampNs) -> TimestampNs {
    TimestampNs(stamp.0.saturating_mul(unit_ns(stamp.0).unwrap_or(1)))
}

fn rows(event: &EventKind<'_>) -> u64 {
    match event {
        EventKind::Snapshot { bids, asks, .. } | EventKind::Update { bids, asks } => {
            (bids.len() + asks.len()).max(1) as u64
        }
        _ => 1,
    }
}
