//! `dataset.toml`: what a dataset is, where it came from, and how to read it.
//!
//! The first line is a seal, the blake3 hash of everything below it, so that any other change to the file is found.
//! Nothing in it depends on when or where it was written: the same import gives the same bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::Kind;
use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::{Amount, Price, Qty, TimestampNs};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::DatasetError;

/// Version of the manifest and of the Parquet columns.
pub const SCHEMA: i64 = 1;
/// Name of the manifest in its folder.
pub const MANIFEST_FILE: &str = "dataset.toml";
/// Name of the data in its folder.
pub const DATA_FILE: &str = "data.parquet";

/// What a dataset is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasetKind {
    /// An order book: snapshots and updates, perhaps trades, funding and status among them.
    Book,
    /// Top of book only.
    Quotes,
    /// Trades only.
    Trades,
    /// A series of exchange rates: `quote` per `base`.
    Fx,
}

/// Where `ts_event` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventTime {
    /// From the exchange's own clock.
    #[default]
    Exchange,
    /// The source has no exchange time: `ts_event` repeats `ts_recv`. A negative `clock_offset_ns` then stands for an
    /// assumed latency of the feed.
    Recv,
}

/// Grid of prices, as it is spelled in files: a decimal, or the name of a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// One tick at every price.
    Fixed(Price),
    /// Upbit's banded ladder for KRW markets.
    UpbitKrw,
}

impl Tick {
    /// The engine's rule.
    pub fn rule(self) -> TickRule {
        match self {
            Tick::Fixed(tick) => TickRule::Fixed(tick),
            Tick::UpbitKrw => TickRule::upbit_krw(),
        }
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tick::Fixed(tick) => tick.fmt(f),
            Tick::UpbitKrw => f.write_str("upbit_krw"),
        }
    }
}

impl Serialize for Tick {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tick {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tick, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "upbit_krw" {
            return Ok(Tick::UpbitKrw);
        }
        Price::parse(&text).map(Tick::Fixed).map_err(|error| {
            serde::de::Error::custom(format!("tick `{text}`: {error}; a decimal or \"upbit_krw\" is allowed"))
        })
    }
}

/// Rules of the market that was recorded, as far as known; a scenario may take them as defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketRules {
    /// Grid of prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<Tick>,
    /// Step of quantities, in base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<Qty>,
    /// Smallest quantity of an order, in base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_qty: Option<Qty>,
    /// Smallest value of an order, in quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_notional: Option<Amount>,
}

/// Where the data came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Who recorded it, and what was done to it since.
    pub text: String,
    /// Where it can be had; may be empty.
    #[serde(default)]
    pub url: String,
}

/// What the maker of a dataset says of it; the rest of the manifest is counted while writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Name, by which scenarios ask for it.
    pub name: String,
    /// Venue in lower case (`upbit`, `binance`).
    pub venue: String,
    /// The venue's own spelling (`KRW-BTC`).
    pub symbol: String,
    /// What it is made of.
    pub kind: DatasetKind,
    /// What is bought and sold.
    pub base: String,
    /// What is paid.
    pub quote: String,
    /// How its messages are numbered.
    pub sequence: SequenceRule,
    /// Where `ts_event` comes from.
    pub event_time: EventTime,
    /// Recorder's clock minus the exchange's, in ns; added to `ts_event` on reading.
    pub clock_offset_ns: i64,
    /// Rules of the market, as far as known.
    pub rules: MarketRules,
    /// Where it came from.
    pub source: Source,
    /// Under which licence; "none stated" when there is none.
    pub licence: String,
}

impl Draft {
    /// A draft with everything unknown left open: no sequence numbers, exchange time, no clock offset, no rules.
    pub fn new(name: &str, venue: &str, symbol: &str, kind: DatasetKind, base: &str, quote: &str) -> Draft {
        Draft {
            name: name.to_owned(),
            venue: venue.to_owned(),
            symbol: symbol.to_owned(),
            kind,
            base: base.to_owned(),
            quote: quote.to_owned(),
            sequence: SequenceRule::None,
            event_time: EventTime::Exchange,
            clock_offset_ns: 0,
            rules: MarketRules::default(),
            source: Source::default(),
            licence: String::new(),
        }
    }
}

/// From when to when, by both clocks; the text repeats the number for human readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Receipt of the first message.
    pub first_recv: String,
    /// The same in ns since the epoch.
    pub first_recv_ns: i64,
    /// Receipt of the last message.
    pub last_recv: String,
    /// The same in ns since the epoch.
    pub last_recv_ns: i64,
    /// Earliest exchange time, before any correction.
    pub first_event: String,
    /// The same in ns since the epoch.
    pub first_event_ns: i64,
    /// Latest exchange time, before any correction.
    pub last_event: String,
    /// The same in ns since the epoch.
    pub last_event_ns: i64,
}

impl Span {
    /// From the four instants.
    pub fn new(recv: (TimestampNs, TimestampNs), event: (TimestampNs, TimestampNs)) -> Span {
        Span {
            first_recv: rfc3339(recv.0),
            first_recv_ns: recv.0.0,
            last_recv: rfc3339(recv.1),
            last_recv_ns: recv.1.0,
            first_event: rfc3339(event.0),
            first_event_ns: event.0.0,
            last_event: rfc3339(event.1),
            last_event_ns: event.1.0,
        }
    }
}

/// How much there is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Messages, one Parquet row each.
    pub messages: u64,
    /// Level changes; a message without levels counts as one.
    pub rows: u64,
    /// Messages by kind.
    #[serde(default)]
    pub kinds: BTreeMap<Kind, u64>,
}

/// The data file and its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Its name in the dataset's folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// blake3 of its bytes, in hex.
    pub blake3: String,
}

/// The whole of `dataset.toml`, less its seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format, [`SCHEMA`].
    pub schema: i64,
    /// Name, by which scenarios ask for it.
    pub name: String,
    /// Venue in lower case.
    pub venue: String,
    /// The venue's own spelling.
    pub symbol: String,
    /// What it is made of.
    pub kind: DatasetKind,
    /// What is bought and sold.
    pub base: String,
    /// What is paid.
    pub quote: String,
    /// How its messages are numbered.
    pub sequence: SequenceRule,
    /// Where `ts_event` comes from.
    pub event_time: EventTime,
    /// Recorder's clock minus the exchange's, in ns; added to `ts_event` on reading.
    pub clock_offset_ns: i64,
    /// Under which licence.
    pub licence: String,
    /// Name and version of the program that wrote it.
    pub created_by: String,
    /// Where it came from.
    pub source: Source,
    /// Rules of the market, as far as known.
    #[serde(default)]
    pub rules: MarketRules,
    /// From when to when; absent when there is no message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// How much there is.
    pub counts: Counts,
    /// What the import left out, by reason.
    #[serde(default)]
    pub dropped: BTreeMap<String, u64>,
    /// The data file.
    pub data: DataFile,
}

impl Manifest {
    /// Parses and checks the text of a manifest.
    ///
    /// # Errors
    /// Another schema, a broken seal, an unknown key, or values that contradict each other.
    pub fn parse(text: &str, path: &Path) -> Result<Manifest, DatasetError> {
        Self::check_schema(text, path)?;
        let refused = |detail: String| DatasetError::Manifest {
            path: path.to_owned(),
            detail,
        };
        let (seal, body) = split_seal(text).ok_or_else(|| {
            refused("the first line must be `seal = \"…\"`; `crossbook dataset validate --seal` writes it".to_owned())
        })?;
        if seal != seal_of(body) {
            return Err(DatasetError::Seal { path: path.to_owned() });
        }
        let manifest: Manifest = toml::from_str(body).map_err(|error| refused(error.to_string()))?;
        manifest.check().map_err(refused)?;
        Ok(manifest)
    }

    /// Its text, sealed.
    ///
    /// # Errors
    /// When a value has no TOML form.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self).map(|body| seal(&body))
    }

    /// What its maker said of it, to make another dataset like it.
    pub fn draft(&self) -> Draft {
        Draft {
            name: self.name.clone(),
            venue: self.venue.clone(),
            symbol: self.symbol.clone(),
            kind: self.kind,
            base: self.base.clone(),
            quote: self.quote.clone(),
            sequence: self.sequence,
            event_time: self.event_time,
            clock_offset_ns: self.clock_offset_ns,
            rules: self.rules,
            source: self.source.clone(),
            licence: self.licence.clone(),
        }
    }

    /// Another version may have other keys and another seal, so its number is looked at before anything else.
    fn check_schema(text: &str, path: &Path) -> Result<(), DatasetError> {
        let found = text
            .lines()
            .take_while(|line| !line.starts_with('['))
            .find_map(|line| line.strip_prefix("schema = "))
            .and_then(|value| value.trim().parse::<i64>().ok());
        match found {
            Some(SCHEMA) => Ok(()),
            Some(found) => Err(DatasetError::Schema {
                path: path.to_owned(),
                found,
            }),
            None => Err(DatasetError::Manifest {
                path: path.to_owned(),
                detail: format!("no line `schema = {SCHEMA}`: not a dataset manifest"),
            }),
        }
    }

    fn check(&self) -> Result<(), String> {
        let named = [
            ("name", &self.name),
            ("venue", &self.venue),
            ("symbol", &self.symbol),
            ("base", &self.base),
            ("quote", &self.quote),
        ];
        if let Some((key, _)) = named.iter().find(|(_, value)| value.trim().is_empty()) {
            return Err(format!("{key} must not be empty"));
        }
        if self.data.file != DATA_FILE {
            return Err(format!(
                "data.file must be \"{DATA_FILE}\", found \"{}\"",
                self.data.file
            ));
        }
        if self.counts.kinds.values().sum::<u64>() != self.counts.messages {
            return Err("counts.kinds do not add up to counts.messages".to_owned());
        }
        match &self.span {
            None if self.counts.messages > 0 => Err("span is missing although there are messages".to_owned()),
            Some(span) => {
                let stamps = [
                    ("first_recv", &span.first_recv, span.first_recv_ns),
                    ("last_recv", &span.last_recv, span.last_recv_ns),
                    ("first_event", &span.first_event, span.first_event_ns),
                    ("last_event", &span.last_event, span.last_event_ns),
                ];
                match stamps.iter().find(|(_, text, ns)| **text != rfc3339(TimestampNs(*ns))) {
                    Some((key, text, ns)) => Err(format!("span.{key} \"{text}\" is not {ns} ns")),
                    None => Ok(()),
                }
            }
            None => Ok(()),
        }
    }
}

/// Puts the seal in front of a manifest's text, or replaces the one that is there.
pub fn seal(text: &str) -> String {
    let body = match text.strip_prefix("seal = ") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, body)| body),
        None => text,
    };
    format!("seal = \"{}\"\n{body}", seal_of(body))
}

fn seal_of(body: &str) -> String {
    blake3::hash(body.as_bytes()).to_hex().to_string()
}

fn split_seal(text: &str) -> Option<(&str, &str)> {
    let (first, body) = text.split_once('\n')?;
    let seal = first.strip_prefix("seal = \"")?.strip_suffix('"')?;
    Some((seal, body))
}

/// An instant as RFC 3339 with nine decimals, in UTC; a plain number when the calendar does not reach that far.
pub fn rfc3339(ts: TimestampNs) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(ts.0)) {
        Ok(stamp) => format!("{stamp:.9}"),
        Err(_) => format!("{} ns", ts.0),
    }
}
