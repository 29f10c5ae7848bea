//! Imports into dataset folders: one a stream, each whole or not at all, with broken frames kept beside them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crossbook_engine::units::{Price, Qty};
use crossbook_feed::run::GapRecord;
use serde::Serialize;

use super::error::{ImportError, OptionsError};
use super::input::Progress;
use super::output::{Account, Quarantined, Sink, Stream, Summary};
use super::{Format, Imported, Options, Recording, import};
use crate::dataset::DatasetError;
use crate::dataset::manifest::{Draft, EventTime, Manifest, MarketRules, Source, Tick};
use crate::dataset::message::Message;
use crate::dataset::writer::Writer;

/// What is added to exchange times to bring them to the recorder's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockOffset {
    /// Nothing, unless an exchange time lies after its receipt: then what makes the smallest latency the one that
    /// [`Target::min_latency_ns`] says.
    Auto,
    /// This much, in ns.
    Fixed(i64),
}

/// Where datasets go and what is said of them.
#[derive(Debug, Clone)]
pub struct Target {
    /// Folder in which the dataset folders are made.
    pub out: PathBuf,
    /// Name of the one dataset; by default venue and symbol.
    pub name: Option<String>,
    /// Replace datasets that are there.
    pub force: bool,
    /// What is bought and sold; by default guessed from the symbol.
    pub base: Option<String>,
    /// What is paid; by default guessed from the symbol.
    pub quote: Option<String>,
    /// Rules of the market, as far as known.
    pub rules: MarketRules,
    /// Who recorded it.
    pub source: Option<String>,
    /// Where it can be had.
    pub url: String,
    /// Under which licence.
    pub licence: String,
    /// How the clocks are brought together.
    pub clock: ClockOffset,
    /// The smallest latency that an estimated clock offset leaves, in ns.
    pub min_latency_ns: i64,
}

impl Target {
    /// With nothing known of the market.
    pub fn new(out: &Path) -> Target {
        Target {
            out: out.to_owned(),
            name: None,
            force: false,
            base: None,
            quote: None,
            rules: MarketRules::default(),
            source: None,
            url: String::new(),
            licence: "none stated".to_owned(),
            clock: ClockOffset::Auto,
            min_latency_ns: 0,
        }
    }
}

/// A dataset that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its folder.
    pub dir: PathBuf,
    /// What its manifest says.
    pub manifest: Manifest,
    /// Smallest latency before any correction, where exchange times are known.
    pub min_latency_ns: Option<i64>,
    /// Messages that came out of order and were put in order.
    pub reordered: u64,
}

/// What an import came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The datasets, by name of their stream.
    pub made: Vec<Made>,
    /// What became of everything that came in.
    pub account: Account,
    /// Where broken frames were put, if there were any.
    pub quarantine: Option<PathBuf>,
    /// Of a journal: its gaps and damages.
    pub recording: Option<Recording>,
}

/// Imports files into dataset folders. `interrupted` is asked between messages; when it says yes, the import stops and
/// leaves nothing.
///
/// # Errors
/// [`ImportError`]; no dataset of this import is left then, unless writing failed after others were complete.
pub fn import_into(
    target: &Target,
    format: Format,
    inputs: &[PathBuf],
    options: &Options,
    progress: Progress<'_>,
    interrupted: &dyn Fn() -> bool,
) -> Result<Report, ImportError> {
    let first = inputs
        .first()
        .and_then(|path| path.file_name())
        .unwrap_or_default()
        .to_string_lossy();
    let quarantine_path = target.out.join(format!("{first}.quarantine.jsonl"));
    if !target.force && quarantine_path.exists() {
        return Err(sink_error(DatasetError::Exists { path: quarantine_path }));
    }
    let mut folders = Folders {
        target,
        format,
        writers: BTreeMap::new(),
        quarantine: Quarantine {
            path: quarantine_path,
            file: None,
        },
        interrupted,
    };
    let imported = import(format, inputs, options, &mut folders, progress)?;
    let Imported {
        streams: summaries,
        account,
        recording,
    } = imported;
    assert!(
        account.balances(),
        "received = applied + ignored + quarantined must hold: {account:?}"
    );
    if summaries.is_empty() {
        return Err(ImportError::Options(OptionsError::Nothing {
            received: account.received,
            ignored: describe(&account),
        }));
    }
    let names: Vec<String> = inputs
        .iter()
        .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let alone = summaries.len() == 1;
    let mut made = Vec::new();
    for summary in summaries {
        let Some((dir, mut writer)) = folders.writers.remove(&summary.stream) else {
            continue;
        };
        if alone {
            for (reason, &count) in &account.ignored {
                writer.count_dropped(reason, count);
            }
        }
        writer.count_dropped("quarantined, over all datasets of the import", account.quarantined);
        writer.count_dropped(
            "sizes cut to 1e-8, over all datasets of the import (kept)",
            account.cut_sizes,
        );
        writer.count_dropped("put in order (kept)", summary.reordered);
        let (offset, said) = clock_offset(target, &summary);
        if let Some(recording) = &recording {
            let of_stream = |gap: &&GapRecord| gap.venue == summary.stream.venue && gap.market == summary.stream.symbol;
            let gaps = recording.gaps.iter().filter(of_stream).count() as u64;
            writer.count_dropped("stretches without a live book (kept as status)", gaps);
            let damages = recording.journal.damages.len() as u64 + recording.journal.damages_not_listed;
            writer.count_dropped(
                "damaged ranges of the journal, over all datasets of the import",
                damages,
            );
        }
        let draft = writer.draft_mut();
        draft.clock_offset_ns = offset;
        draft.sequence = summary.traits.sequence;
        draft.event_time = summary.traits.event_time;
        if let Some(rules) = summary.rules {
            let given = target.rules;
            draft.rules = MarketRules {
                tick: given.tick.or(rules.tick),
                lot: given.lot.or(rules.lot),
                min_qty: given.min_qty.or(rules.min_qty),
                min_notional: given.min_notional.or(rules.min_notional),
            };
        }
        let recorded = target.source.as_deref().unwrap_or("source not stated");
        draft.source.text = format!(
            "{recorded}; imported as {} from {}; {said}",
            format.name(),
            names.join(", ")
        );
        let manifest = writer.finish().map_err(sink_error)?;
        made.push(Made {
            dir,
            manifest,
            min_latency_ns: summary.min_latency_ns,
            reordered: summary.reordered,
        });
    }
    let quarantine = folders.quarantine.finish()?;
    Ok(Report {
        made,
        account,
        quarantine,
        recording,
    })
}

/// The offset to be added to exchange times, and a sentence about it for the manifest.
fn clock_offset(target: &Target, summary: &Summary) -> (i64, String) {
    let ms = |ns: i64| format!("{:.3} ms", ns as f64 / 1e6);
    match (target.clock, summary.min_latency_ns, summary.traits.event_time) {
        (ClockOffset::Fixed(ns), ..) => (ns, format!("clock offset given: {}", ms(ns))),
        (ClockOffset::Auto, Some(least), EventTime::Exchange) if least < 0 => {
            let offset = least - target.min_latency_ns;
            let left = ms(target.min_latency_ns);
            (
                offset,
                format!(
                    "clock offset estimated: the smallest raw latency {} was made {left}",
                    ms(least)
                ),
            )
        }
        (ClockOffset::Auto, Some(least), _) => (
            0,
            format!("clocks left as they are: smallest raw latency {}", ms(least)),
        ),
        (ClockOffset::Auto, None, _) => (0, "clocks left as they are: one time only".to_owned()),
    }
}

/// `ignored` of an account in one line.
pub fn describe(account: &Account) -> String {
    let reasons: Vec<String> = account
        .ignored
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    reasons.join(", ")
}

struct Folders<'a> {
    target: &'a Target,
    format: Format,
    writers: BTreeMap<Stream, (PathBuf, Writer)>,
    quarantine: Quarantine,
    interrupted: &'a dyn Fn() -> bool,
}

/// An import that was stopped from outside.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

fn sink_error(error: impl std::error::Error + Send + std::marker::Sync + 'static) -> ImportError {
    ImportError::Sink(Box::new(error))
}

impl Folders<'_> {
    fn create(&self, stream: &Stream) -> Result<(PathBuf, Writer), ImportError> {
        let name = match &self.target.name {
            Some(_) if !self.writers.is_empty() => {
                return Err(ImportError::Options(OptionsError::Value {
                    option: "--name",
                    value: stream.dataset_name(),
                    allowed: "an import of one instrument; choose it with --symbol, or leave --name away",
                }));
            }
            Some(name) => name.clone(),
            None => stream.dataset_name(),
        };
        let guess = guess_currencies(&stream.symbol);
        let currency = |given: &Option<String>, guessed: Option<&str>, option| {
            given
                .clone()
                .or(guessed.map(str::to_owned))
                .ok_or(ImportError::Options(OptionsError::Value {
                    option,
                    value: stream.symbol.clone(),
                    allowed: "a symbol that does not tell its currencies: give --base and --quote",
                }))
        };
        let base = currency(&self.target.base, guess.map(|(base, _)| base), "--base")?;
        let quote = currency(&self.target.quote, guess.map(|(_, quote)| quote), "--quote")?;
        let dir = self.target.out.join(&name);
        let draft = Draft {
            rules: self.rules(stream),
            source: Source {
                text: String::new(),
                url: self.target.url.clone(),
            },
            licence: self.target.licence.clone(),
            ..Draft::new(
                &name,
                &stream.venue,
                &stream.symbol,
                stream.channel.dataset_kind(),
                &base,
                &quote,
            )
        };
        Writer::create(&dir, draft, self.target.force)
            .map(|writer| (dir, writer))
            .map_err(sink_error)
    }

    /// What was given; the parity feed states its own.
    fn rules(&self, stream: &Stream) -> MarketRules {
        let given = self.target.rules;
        let tick = match (self.format, stream.symbol.as_str()) {
            (Format::Parity, "KRW-BTC") => "1000",
            (Format::Parity, "BTCUSDT") => "0.1",
            _ => return given,
        };
        MarketRules {
            tick: given.tick.or(Price::parse(tick).ok().map(Tick::Fixed)),
            lot: given.lot.or(Qty::parse("0.001").ok()),
            ..given
        }
    }
}

impl Sink for Folders<'_> {
    fn message(&mut self, stream: &Stream, message: &Message) -> Result<(), ImportError> {
        if (self.interrupted)() {
            return Err(sink_error(Interrupted));
        }
        if !self.writers.contains_key(stream) {
            let made = self.create(stream)?;
            self.writers.insert(stream.clone(), made);
        }
        match self.writers.get_mut(stream) {
            Some((_, writer)) => writer.push(message).map_err(sink_error),
            None => unreachable!("it was just added"),
        }
    }

    fn quarantine(&mut self, frame: &Quarantined<'_>) -> Result<(), ImportError> {
        self.quarantine.add(frame)
    }
}

/// Broken frames, one JSON object a line; the file takes its name when the import is complete.
struct Quarantine {
    path: PathBuf,
    file: Option<(PathBuf, BufWriter<File>)>,
}

#[derive(Serialize)]
struct QuarantineLine<'a> {
    file: &'a str,
    line: u64,
    ts_recv: Option<i64>,
    reason: &'a str,
    /// As it came, when it is UTF-8.
    raw: Option<&'a str>,
    /// Its bytes in hex, when it is not.
    raw_hex: Option<String>,
}

impl Quarantine {
    fn add(&mut self, frame: &Quarantined<'_>) -> Result<(), ImportError> {
        let text = std::str::from_utf8(frame.raw).ok();
        let line = QuarantineLine {
            file: &frame.place.file,
            line: frame.place.line,
            ts_recv: frame.ts_recv.map(|ts| ts.0),
            reason: &frame.reason,
            raw: text,
            raw_hex: text
                .is_none()
                .then(|| frame.raw.iter().map(|byte| format!("{byte:02x}")).collect()),
        };
        let mut json = serde_json::to_vec(&line).map_err(sink_error)?;
        json.push(b'\n');
        let failed = |action| io_error(action, &self.path);
        if self.file.is_none() {
            let mut name = std::ffi::OsString::from(".");
            name.push(self.path.file_name().unwrap_or_default());
            name.push(".partial");
            let temporary = self.path.with_file_name(name);
            if let Some(parent) = self.path.parent() {
                fs::create_dir_all(parent).map_err(failed("create"))?;
            }
            let file = File::create(&temporary).map_err(failed("create"))?;
            self.file = Some((temporary, BufWriter::new(file)));
        }
        match &mut self.file {
            Some((_, file)) => file.write_all(&json).map_err(failed("write")),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<Option<PathBuf>, ImportError> {
        let Some((temporary, mut file)) = self.file.take() else {
            return Ok(None);
        };
        let written = file
            .flush()
            .and_then(|()| file.get_ref().sync_all())
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // Best effort: the error that matters is the one that is returned.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(io_error("write", &self.path))?;
        Ok(Some(self.path.clone()))
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        if let Some((temporary, _)) = self.file.take() {
            let _ = fs::remove_file(temporary);
        }
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| sink_error(DatasetError::Io { action, path, source })
}

/// Base and quote of a symbol in the spellings of the venues: `KRW-BTC`, `BTC/USDT`, `BTCUSDT`, `BTCUSD_PERP`, `USDKRW`.
fn guess_currencies(symbol: &str) -> Option<(&str, &str)> {
    /// The stronger quote first, and before any that it ends in.
    const QUOTES: [&str; 16] = [
        "KRW", "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "JPY", "GBP", "AUD", "BRL", "TRY", "BTC", "ETH",
        "BNB",
    ];
    if let Some((base, quote)) = symbol.split_once('/') {
        return Some((base, quote));
    }
    if let Some((left, right)) = symbol.split_once('-') {
        // Upbit writes the quote first, others who use a dash write it last: the stronger quote of the two it is.
        let rank = |text| QUOTES.iter().position(|quote| *quote == text).unwrap_or(QUOTES.len());
        return if rank(left) < rank(right) {
            Some((right, left))
        } else {
            Some((left, right))
        };
    }
    let plain = symbol.split_once('_').map_or(symbol, |(plain, _)| plain);
    let quote = QUOTES
        .into_iter()
        .find(|quote| plain.len() > quote.len() && plain.ends_with(quote))?;
    Some(plain.split_at(plain.len() - quote.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_guessed_from_the_venues_spellings() {
        let cases = [
            ("KRW-BTC", Some(("BTC", "KRW"))),
            ("BTC-CHZ", Some(("CHZ", "BTC"))),
            ("KRW-USDT", Some(("USDT", "KRW"))),
            ("BTC-USDT", Some(("BTC", "USDT"))),
            ("BTC/USDT", Some(("BTC", "USDT"))),
            ("BTCUSDT", Some(("BTC", "USDT"))),
            ("BTCUSD_PERP", Some(("BTC", "USD"))),
            ("NEOUSDC", Some(("NEO", "USDC"))),
            ("QTUMETH", Some(("QTUM", "ETH"))),
            ("USDKRW", Some(("USD", "KRW"))),
            ("XYZ", None),
            ("USDT", None),
        ];
        for (symbol, want) in cases {
            assert_eq!(guess_currencies(symbol), want, "{symbol}");
        }
    }
}
