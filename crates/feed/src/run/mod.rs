//! A run of the feed, as it is while it listens and as its journal gives it back: one pipeline, one book of rates, one
//! account.
//!
//! Both feed their inputs, in order, to [`Run::input`]; nothing else enters, so both see the same events, the same gaps and
//! the same counts. It does no I/O and keeps no events. [`Live`] is the loop around it while it listens.

mod listen;
mod setup;
mod totals;

use std::collections::BTreeMap;

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::EventKind;

pub use listen::{Closing, Live, LiveError, Providers, providers};
pub use setup::{Setup, SetupError, VenueSetup};
pub use totals::{GapRecord, Totals};

use crate::book::{Gap, LiveEvent, MarketIx, Output};
use crate::clock::Stamp;
use crate::fx::{FxBook, FxDesk, FxEvent, SourceIx, SwitchReason};
use crate::input::{Body, Command, Input, LinkEvent, Note, VenueIx, Via};
use crate::live::{Options, Pipeline};
use crate::rules::{MarketRules, RuleBook, RuleChange, RuleKind, RulesNote};

/// What leaves a run.
#[derive(Debug)]
pub enum Told<'a> {
    /// Something for the engine: of a market, or a rate, which has none.
    Event(Option<MarketIx>, LiveEvent<'a>),
    /// Something for the sockets.
    Command(Command),
    /// A frame or an answer that could not be read.
    Quarantined {
        /// Whose.
        venue: VenueIx,
        /// When it was read.
        stamp: Stamp,
        /// All of it.
        bytes: &'a [u8],
        /// Why not.
        reason: String,
    },
    /// Something that a person should hear of.
    Said(Remark),
}

/// Something that a person should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Whether it is bad news.
    pub level: Level,
    /// What.
    pub text: String,
}

/// How much a remark matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It is as it should be.
    Info,
    /// Somebody may have to do something, or no longer has to.
    Warn,
}

impl Remark {
    fn told<'a>(level: Level, text: String) -> Told<'a> {
        Told::Said(Remark { level, text })
    }
}

/// Where it goes.
pub type Out<'s> = dyn FnMut(Told<'_>) + 's;

/// A run.
#[derive(Debug)]
pub struct Run {
    pipeline: Pipeline,
    desk: Option<FxDesk>,
    fx_events: Vec<FxEvent>,
    /// A loss of the rate was told as a warning, and not yet its end.
    rate_lost: bool,
    rules: BTreeMap<String, RuleBook>,
    venues: usize,
    gaps: Vec<GapRecord>,
    gaps_not_listed: u64,
    first: Option<Stamp>,
    last: Option<Stamp>,
}

/// Gaps beyond this are counted, not listed.
const MOST_GAPS: usize = 100_000;

impl Run {
    /// A run that has not begun.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(setup: &Setup) -> Result<Run, SetupError> {
        let venues: Vec<_> = setup
            .venues
            .iter()
            .map(|venue| (venue.config.clone(), venue.markets.clone()))
            .collect();
        let pipeline = Pipeline::new(&venues, Options::default())?;
        let desk = setup.fx.clone().map(|fx| FxDesk::new(fx, &pipeline)).transpose()?;
        Ok(Run {
            pipeline,
            desk,
            fx_events: Vec::new(),
            rate_lost: false,
            rules: BTreeMap::new(),
            venues: venues.len(),
            gaps: Vec::new(),
            gaps_not_listed: 0,
            first: None,
            last: None,
        })
    }

    /// Takes an input; all that follows from it goes to `out` before this returns.
    pub fn input(&mut self, input: &Input, out: &mut Out<'_>) {
        self.through(input.stamp, out, |pipeline, out| pipeline.input(input, out));
        self.rates(input, out);
        let Body::Note(note) = &input.body else { return };
        match note.as_ref() {
            Note::Fx(_) => {}
            Note::Rules(RulesNote::Update(update)) => {
                let book = self.rules.entry(update.venue.clone()).or_default();
                for change in book.apply(update, input.stamp) {
                    if change.what != RuleKind::Listed {
                        out(Remark::told(Level::Warn, describe_change(&change)));
                    }
                }
            }
            Note::Rules(RulesNote::Failed { venue, attempt, reason }) => {
                let text = format!("{venue}: market rules not fetched (attempt {attempt}): {reason}");
                out(Remark::told(Level::Warn, text));
            }
        }
    }

    /// The run is over: gaps that last are told up to now, and frames that wait are given up.
    pub fn finish(&mut self, stamp: Stamp, out: &mut Out<'_>) {
        self.through(stamp, out, |pipeline, out| pipeline.finish(stamp, out));
    }

    /// The books.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The rates.
    pub fn fx(&self) -> Option<&FxBook> {
        self.desk.as_ref().map(FxDesk::book)
    }

    /// What is known of a market's rules.
    pub fn rules(&self, venue: &str, market: &str) -> Option<&MarketRules> {
        self.rules.get(venue)?.get(market)
    }

    /// When the newest input came.
    pub fn last(&self) -> Option<Stamp> {
        self.last
    }

    /// Whether live time and gaps make up the length of the run, for every market (law C2). Only once it is finished.
    pub fn covers(&self) -> bool {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return true;
        };
        let covered = |(live, gaps): (i64, i64)| live + gaps == last.mono_ns - first.mono_ns;
        self.pipeline
            .markets()
            .all(|(_, market)| covered(market.covered_and_gaps_ns()))
    }

    /// Gaps that have ended, in the order of their ends, and how many more there were than are listed.
    pub fn gaps(&self) -> (&[GapRecord], u64) {
        (&self.gaps, self.gaps_not_listed)
    }

    /// The account so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for at in 0..self.venues {
            let Some(account) = u8::try_from(at).ok().and_then(|at| self.pipeline.account(VenueIx(at))) else {
                continue;
            };
            totals.add(&Totals::from(account));
        }
        for (_, market) in self.pipeline.markets() {
            let (live, gaps) = market.covered_and_gaps_ns();
            totals.live_ns += live;
            totals.gap_ns += gaps;
        }
        totals
    }

    fn through(
        &mut self,
        stamp: Stamp,
        out: &mut Out<'_>,
        step: impl FnOnce(&mut Pipeline, &mut crate::book::Out<'_>),
    ) {
        let last = self.last.unwrap_or(stamp);
        self.first.get_or_insert(stamp);
        self.last = Some(Stamp {
            mono_ns: last.mono_ns.max(stamp.mono_ns),
            ts: last.ts.max(stamp.ts),
        });
        let mut ended: Vec<Gap> = Vec::new();
        let mut flagged = Vec::new();
        let desk = &mut self.desk;
        step(&mut self.pipeline, &mut |output| {
            if let Some(desk) = desk {
                desk.output(&output);
            }
            match output {
                Output::Event(event) => out(Told::Event(Some(event.market), event)),
                Output::Command(command) => out(Told::Command(command)),
                Output::Health(..) => {}
                Output::Gap(gap) => ended.push(gap),
                Output::Quarantined {
                    venue,
                    stamp,
                    bytes,
                    error,
                } => out(Told::Quarantined {
                    venue,
                    stamp,
                    bytes,
                    reason: error.to_string(),
                }),
                Output::Flag { venue, flag, on } => flagged.push((venue, flag, on)),
            }
        });
        for gap in ended {
            self.list(&gap);
        }
        for (venue, flag, on) in flagged {
            let name = self.pipeline.venue_name(venue).unwrap_or("our own clock");
            let state = if on { "doubtful" } else { "in order again" };
            out(Remark::told(Level::Warn, format!("{name}: clock {state} ({flag:?})")));
        }
    }

    fn list(&mut self, gap: &Gap) {
        if self.gaps.len() >= MOST_GAPS {
            self.gaps_not_listed += 1;
            return;
        }
        let Some(market) = self.pipeline.market(gap.market) else {
            return;
        };
        self.gaps.push(GapRecord {
            venue: self.pipeline.venue_name(market.venue()).unwrap_or_default().to_owned(),
            market: market.symbol().to_owned(),
            from: gap.from.ts.0,
            to: gap.to.ts.0,
            length_ns: gap.length_ns(),
            cause: gap.cause.name().to_owned(),
        });
    }

    fn rates(&mut self, input: &Input, out: &mut Out<'_>) {
        let Some(desk) = &mut self.desk else { return };
        desk.input(input, &self.pipeline, &mut self.fx_events);
        let name = |source: SourceIx| desk.book().name(source);
        for event in self.fx_events.drain(..) {
            match event {
                FxEvent::Rate { rate, ts_event, .. } => out(Told::Event(
                    None,
                    LiveEvent {
                        market: MarketIx(u16::MAX),
                        stamp: self.last.unwrap_or(input.stamp),
                        via: Via::Rest,
                        ts_event,
                        ids: MessageIds::default(),
                        kind: EventKind::Fx(rate),
                    },
                )),
                FxEvent::Switch { from, to, reason, .. } => {
                    let (to, from) = (to.map_or("none", name), from.map_or("none", name));
                    let text = format!("fx: {to} instead of {from} ({reason:?})");
                    out(Remark::told(switch_level(reason, input, &mut self.rate_lost), text));
                }
                FxEvent::Refused { source, value, reason } => {
                    let value = value.map_or_else(String::new, |value| format!(" {value}"));
                    let text = format!("fx: quote{value} of {} refused: {reason}", name(source));
                    out(Remark::told(Level::Info, text));
                }
            }
        }
    }
}

/// A rate that is found, or found at a better source, is as it should be. Losing one is not, unless with it a connection
/// ended that we closed ourselves: that is how a recording ends. Who was warned of a loss (`lost`) is told of its end as
/// loudly.
fn switch_level(reason: SwitchReason, input: &Input, lost: &mut bool) -> Level {
    let closed_by_us = matches!(
        &input.body,
        Body::Link {
            event: LinkEvent::Closed { error: None },
            ..
        }
    );
    let bad = match reason {
        SwitchReason::Found | SwitchReason::Preferred => std::mem::take(lost),
        SwitchReason::NotLive if closed_by_us => false,
        SwitchReason::NotLive | SwitchReason::Aged => {
            *lost = true;
            true
        }
    };
    if bad { Level::Warn } else { Level::Info }
}

fn describe_change(change: &RuleChange) -> String {
    let word = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
    format!(
        "{} {}: {:?} was {}, is {}",
        change.venue,
        change.market,
        change.what,
        word(&change.old),
        word(&change.new)
    )
}

#[cfg(test)]
mod tests;
