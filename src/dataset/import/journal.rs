//! Journals of `crossbook record`: the inputs go through the code that took them live, and what it made of them becomes
//! messages.
//!
//! A folder may hold several runs, one after the other. Between two of them nothing is known, so every book is given up
//! at the end of the first. What always holds: the same journal gives the same messages, and its account is the recorder's.

use std::path::Path;

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{EventKind, FeedStatus, Kind};
use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::TimestampNs;
use crossbook_feed::book::{LiveEvent, MarketIx};
use crossbook_feed::clock::Stamp;
use crossbook_feed::journal::{Item, Mark, ReadError, Reader, Report as Damages};
use crossbook_feed::run::{GapRecord, Run, Setup, SetupError, Told, Totals};
use crossbook_feed::venue::{Protocol, StreamKind, VenueConfig};
use serde::Serialize;

use super::Options;
use super::error::{ImportError, Place, Problem};
use super::input::Progress;
use super::output::{Channel, Output, Quarantined, Stream, Traits};
use crate::dataset::manifest::{EventTime, MarketRules, Tick};
use crate::dataset::message::Message;

/// What is known of a recording beside its messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Recording {
    /// Runs in it.
    pub runs: u64,
    /// What became of the frames, over all runs.
    pub totals: Totals,
    /// Stretches without a live book, as far as they are listed.
    pub gaps: Vec<GapRecord>,
    /// More of them.
    pub gaps_not_listed: u64,
    /// What reading the files came to.
    pub journal: Damages,
}

/// Reads the journal in a folder.
///
/// # Errors
/// When it cannot be read at all, or the output fails. Damage is told in the [`Recording`].
pub fn read(
    dir: &Path,
    options: &Options,
    output: &mut Output<'_>,
    progress: Progress<'_>,
) -> Result<Recording, ImportError> {
    let mut reader = Reader::open(dir).map_err(|error| refused(dir, error))?;
    let mut recording = Recording::default();
    let mut current: Option<Current> = None;
    let mut told_bytes = 0;
    while let Some(record) = reader.next_record().map_err(|error| refused(dir, error))? {
        let bytes = reader.bytes_read();
        progress(bytes - told_bytes);
        told_bytes = bytes;
        match record.item {
            Item::Input { .. } => {
                let Some(current) = &mut current else {
                    // The table of venues was in what is damaged.
                    output.account.received += 1;
                    output.account.ignore("before the first readable table of venues");
                    continue;
                };
                if let Some(input) = record.into_input() {
                    current.step(output, |run, out| run.input(&input, out))?;
                }
            }
            Item::Mark(Mark::Segment(segment)) => {
                if current.as_ref().is_some_and(|current| current.name == segment.run) {
                    continue;
                }
                if let Some(ended) = current.take() {
                    ended.end(output, &mut recording, Some(record.stamp))?;
                }
                recording.runs += 1;
                current = Some(Current::begin(dir, segment.run, &segment.setup, options)?);
            }
            Item::Mark(Mark::End { .. } | Mark::Stop { .. }) => {}
        }
    }
    if let Some(ended) = current.take() {
        ended.end(output, &mut recording, None)?;
    }
    if recording.runs == 0 {
        return Err(unreadable(dir, reader.report()));
    }
    recording.journal = reader.report().clone();
    Ok(recording)
}

/// Not one run could be read: why, by the first segment that does not fit.
fn unreadable(dir: &Path, report: &Damages) -> ImportError {
    let (file, what) = match (report.damages.first(), report.cuts.first()) {
        (Some(damage), _) => (
            &damage.file,
            format!(
                "no segment of a journal, or damaged: bytes {} to {} ({})",
                damage.from, damage.to, damage.what
            ),
        ),
        (None, Some(cut)) => (
            &cut.file,
            format!(
                "ends after {} bytes, before its first block is whole",
                cut.at + cut.bytes
            ),
        ),
        (None, None) => return bad(&dir.display(), "has segments, and no run in them".to_owned()),
    };
    bad(
        &dir.join(file).display(),
        format!("{what}; no run of `crossbook record` can be read here"),
    )
}

fn bad(file: &dyn std::fmt::Display, what: String) -> ImportError {
    ImportError::Bad {
        place: Place {
            file: file.to_string(),
            line: 0,
        },
        problem: Problem::Journal(what),
    }
}

fn refused(dir: &Path, error: ReadError) -> ImportError {
    match error {
        ReadError::Io { path, source } => ImportError::Read { path, source },
        other => bad(&dir.display(), other.to_string()),
    }
}

/// The run that is being read.
struct Current {
    name: String,
    file: String,
    run: Run,
    /// Where messages go, by market.
    streams: Vec<(Stream, Traits, bool)>,
    fx: (Stream, Traits, bool),
    venues: Vec<String>,
    message: Message,
    records: u64,
}

impl Current {
    fn begin(dir: &Path, name: String, setup: &str, options: &Options) -> Result<Current, ImportError> {
        let refused = |error: SetupError| bad(&dir.display(), error.to_string());
        let setup = Setup::parse(setup).map_err(refused)?;
        let run = Run::new(&setup).map_err(refused)?;
        let wanted = |symbol: &str| {
            options.symbols.is_empty() || options.symbols.iter().any(|wanted| wanted.eq_ignore_ascii_case(symbol))
        };
        let mut streams = Vec::new();
        for venue in &setup.venues {
            for market in &venue.markets {
                let stream = Stream {
                    venue: venue.config.name.clone(),
                    symbol: market.clone(),
                    channel: Channel::Book,
                };
                let traits = Traits {
                    sequence: sequence(&venue.config),
                    event_time: EventTime::Exchange,
                };
                streams.push((stream, traits, wanted(market)));
            }
        }
        let rate = Stream {
            venue: "fx".to_owned(),
            symbol: "USDKRW".to_owned(),
            channel: Channel::Fx,
        };
        let traits = Traits {
            sequence: SequenceRule::None,
            event_time: EventTime::Exchange,
        };
        Ok(Current {
            name,
            file: dir.display().to_string(),
            run,
            streams,
            fx: (rate, traits, wanted("USDKRW")),
            venues: setup.venues.into_iter().map(|venue| venue.config.name).collect(),
            message: Message::new(Kind::Update, TimestampNs(0), TimestampNs(0)),
            records: 0,
        })
    }

    /// One step of the run, and everything that it tells to the output.
    fn step(
        &mut self,
        output: &mut Output<'_>,
        step: impl FnOnce(&mut Run, &mut crossbook_feed::run::Out<'_>),
    ) -> Result<(), ImportError> {
        self.records += 1;
        let Current {
            run,
            streams,
            fx,
            message,
            file,
            records,
            venues,
            ..
        } = self;
        let place = Place {
            file: file.clone(),
            line: *records,
        };
        let mut failed = None;
        step(run, &mut |told| {
            if failed.is_some() {
                return;
            }
            let result = match told {
                Told::Event(market, event) => {
                    let target = match market {
                        Some(MarketIx(at)) => streams.get(usize::from(at)),
                        None => Some(&*fx),
                    };
                    match target {
                        Some((stream, traits, true)) => {
                            fill(message, &event);
                            output.emit(stream, *traits, message, true, || place.clone())
                        }
                        _ => Ok(()),
                    }
                }
                Told::Quarantined {
                    venue,
                    stamp,
                    bytes,
                    reason,
                } => {
                    let venue = venues.get(usize::from(venue.0)).map_or("", String::as_str);
                    output.quarantine(&Quarantined {
                        place: place.clone(),
                        ts_recv: Some(stamp.ts),
                        reason: format!("{venue}: {reason}"),
                        raw: bytes,
                    })
                }
                Told::Command(_) | Told::Said(_) => Ok(()),
            };
            failed = result.err();
        });
        failed.map_or(Ok(()), Err)
    }

    /// The run is over; `next` is when another begins.
    fn end(
        mut self,
        output: &mut Output<'_>,
        recording: &mut Recording,
        next: Option<Stamp>,
    ) -> Result<(), ImportError> {
        if let Some(last) = self.run.last() {
            self.step(output, |run, out| run.finish(last, out))?;
            if let Some(next) = next {
                for (stream, traits, wanted) in &self.streams {
                    if !wanted {
                        continue;
                    }
                    let message = Message::status(last.ts, FeedStatus::Disconnected);
                    output.emit(stream, *traits, &message, false, || Place {
                        file: self.file.clone(),
                        line: self.records,
                    })?;
                    recording.gaps.push(GapRecord {
                        venue: stream.venue.clone(),
                        market: stream.symbol.clone(),
                        from: last.ts.0,
                        to: next.ts.0,
                        length_ns: next.ts.since(last.ts),
                        cause: "not_recorded".to_owned(),
                    });
                }
            }
        }
        let totals = self.run.totals();
        let account = &mut output.account;
        account.received += totals.received;
        account.applied += totals.applied;
        for (reason, count) in &totals.ignored {
            account.ignore_many(reason, *count);
        }
        for (stream, _, _) in &self.streams {
            if let Some(rules) = self.run.rules(&stream.venue, &stream.symbol) {
                output.set_rules(stream, manifest_rules(rules));
            }
        }
        let (gaps, more) = self.run.gaps();
        recording.gaps.extend_from_slice(gaps);
        recording.gaps_not_listed += more;
        recording.totals.add(&totals);
        Ok(())
    }
}

/// How the messages of a venue's books are numbered, as a validator may check it.
fn sequence(config: &VenueConfig) -> SequenceRule {
    let diffs = config.streams().contains(&StreamKind::Book);
    match config.protocol {
        Protocol::Upbit => SequenceRule::UpbitTimestamp,
        Protocol::BinanceSpot if diffs => SequenceRule::BinanceSpot,
        Protocol::BinanceUsdm if diffs => SequenceRule::BinanceFutures,
        Protocol::BinanceSpot | Protocol::BinanceUsdm => SequenceRule::None,
    }
}

fn fill(message: &mut Message, event: &LiveEvent<'_>) {
    message.ts_event = event.ts_event;
    message.ts_recv = event.stamp.ts;
    message.seq_first = event.ids.first;
    message.seq_last = event.ids.last;
    message.seq_prev = event.ids.prev;
    message.bids.clear();
    message.asks.clear();
    message.values.clear();
    match event.kind {
        EventKind::Snapshot { bids, asks, complete } => {
            message.kind = if complete {
                Kind::CompleteSnapshot
            } else {
                Kind::Snapshot
            };
            message.bids.extend_from_slice(bids);
            message.asks.extend_from_slice(asks);
        }
        EventKind::Update { bids, asks } => {
            message.kind = Kind::Update;
            message.bids.extend_from_slice(bids);
            message.asks.extend_from_slice(asks);
        }
        EventKind::Trade { price, qty, taker } => {
            *message = Message::trade(event.ts_event, event.stamp.ts, price, qty, taker);
        }
        EventKind::Fx(rate) => {
            message.kind = Kind::Fx;
            message.values.push(rate.raw());
        }
        EventKind::Funding { rate, mark } => {
            message.kind = Kind::Funding;
            message.values.extend([rate, mark.raw()]);
        }
        EventKind::Status(status) => {
            message.kind = Kind::Status;
            message.values.push(status as i64);
        }
    }
}

fn manifest_rules(rules: &crossbook_feed::rules::MarketRules) -> MarketRules {
    let tick = match &rules.tick {
        TickRule::Fixed(tick) => Some(Tick::Fixed(*tick)),
        ladder if *ladder == TickRule::upbit_krw() => Some(Tick::UpbitKrw),
        // A ladder that a manifest has no name for.
        _ => None,
    };
    MarketRules {
        tick,
        lot: Some(rules.qty.step).filter(|step| !step.is_zero()),
        min_qty: Some(rules.qty.min).filter(|min| !min.is_zero()),
        min_notional: Some(rules.min_notional).filter(|min| min.raw() > 0),
    }
}
