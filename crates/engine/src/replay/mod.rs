//! Replay: recorded streams, the engine and the simulated venues, driven by event time alone.
//!
//! At each step the earliest thing happens: a report that reaches us, a timer, or all events received at one instant,
//! after which the engine decides. It is pure: where the chunks come from is the caller's [`ChunkSource`].

mod streams;

use crate::engine::{Command, Engine, Target};
use crate::event::EventKind;
use crate::instrument::VenueKind;
use crate::ledger::LedgerError;
use crate::records::Recorder;
use crate::sim::{Sim, SimError};
use crate::units::TimestampNs;

pub use streams::{Ahead, ChunkSource, InMemory, Streams};

/// Why a replay stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A stream could not be read on.
    #[error("{0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Money did not fit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The matching model refused.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The engine asks again and again to be woken at one and the same instant: a bug, stopped before it lasts for ever.
    #[error("the engine's timer does not leave {}", now.0)]
    Stuck {
        /// The instant, nanoseconds since the Unix epoch.
        now: TimestampNs,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A tape was made by other rules of pricing than the configuration has, or for other routes.
    #[error("the tape was made for other routes, instruments or rules of pricing than this configuration's")]
    Unfit,
    /// The venues' balances and the ledger differ although every report has been heard: a bug, so nothing is reported.
    #[error("venue {venue}, currency {currency}: the venue holds {venue_holds}, the ledger says {ledger_says}")]
    Differs {
        /// Venue.
        venue: u8,
        /// Currency.
        currency: u16,
        /// What the simulated venue holds, in 1e-8.
        venue_holds: i64,
        /// What the ledger says, in 1e-8.
        ledger_says: i64,
    },
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Receive time reached.
    pub now: TimestampNs,
    /// Rows of the chunks opened so far.
    pub rows: u64,
}

/// What a replay came to, beside what its recorder heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Rows (level changes) replayed.
    pub rows: u64,
    /// Messages replayed.
    pub events: u64,
    /// Receive time of the first and of the last event; `None` when there was none.
    pub span: Option<(TimestampNs, TimestampNs)>,
    /// Orders that had not come to their end when the data did.
    pub open_orders: usize,
}

/// How often a timer may be due at one instant; it takes one for each step of a route at most.
const MAX_TIMERS: u32 = 1 << 16;

/// How many instants pass between two looks at `progress`.
const PROGRESS_EVERY: u32 = 1 << 12;

/// What one turn of the loop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// The data have ended.
    End,
    /// The venues worked, or a report was heard.
    Venues,
    /// A timer was due.
    Timer(TimestampNs),
    /// All events received at this instant were taken in.
    Events(TimestampNs),
}

/// The loop of a replay, one turn at a time.
pub(crate) struct Turns {
    commands: Vec<Command>,
    /// When a timer was due last without any event, and how often at that instant.
    timers: (TimestampNs, u32),
}

impl Turns {
    pub(crate) fn new() -> Turns {
        Turns {
            commands: Vec::with_capacity(16),
            timers: (TimestampNs::MIN, 0),
        }
    }

    /// Lets the earliest thing happen.
    #[inline]
    pub(crate) fn turn(
        &mut self,
        engine: &mut Engine,
        sim: &mut Sim,
        streams: &mut Streams,
        recorder: &mut impl Recorder,
    ) -> Result<Turned, ReplayError> {
        let next = streams.next_recv();
        if next == TimestampNs::MAX {
            return Ok(Turned::End);
        }
        let due = next.min(engine.next_timer());
        if sim.next_due().is_some_and(|at| at <= due) {
            let mut ahead = Ahead { streams, engine };
            let report = sim.poll(due, &mut ahead)?;
            if let Some(report) = report {
                engine.on_report(&report, recorder)?;
                streams.check()?;
                return Ok(Turned::Venues);
            }
            streams.check()?;
            if sim.next_due().is_some_and(|at| at <= due) {
                return Ok(Turned::Venues);
            }
        }
        let now = due;
        let turned = if now == next {
            streams.take(now, |target, ts_event, event| {
                take(engine, sim, target, ts_event, now, event)
            })?;
            Turned::Events(now)
        } else {
            if self.timers.0 < now {
                self.timers = (now, 0);
            } else {
                self.timers.1 += 1;
                if self.timers.1 > MAX_TIMERS {
                    return Err(ReplayError::Stuck { now });
                }
            }
            Turned::Timer(now)
        };
        if engine.is_awake(now) {
            engine.decide(now, &mut self.commands, recorder)?;
            for command in self.commands.drain(..) {
                match command {
                    Command::Send(order) => sim.submit(&order, &mut Ahead { streams, engine }),
                    Command::Cancel(order) => sim.cancel(order, now),
                }
            }
        }
        Ok(turned)
    }
}

/// Replays the streams to their end. `progress` is asked now and then and stops the replay by answering `false`.
///
/// # Errors
/// [`ReplayError`]; what the recorder has heard by then must not be taken for a whole run.
pub fn replay(
    engine: &mut Engine,
    sim: &mut Sim,
    streams: &mut Streams,
    recorder: &mut impl Recorder,
    progress: &mut impl FnMut(Progress) -> bool,
) -> Result<Outcome, ReplayError> {
    let mut turns = Turns::new();
    let mut span: Option<(TimestampNs, TimestampNs)> = None;
    let mut until_progress = PROGRESS_EVERY;
    loop {
        let now = match turns.turn(engine, sim, streams, recorder)? {
            Turned::End => break,
            Turned::Venues => continue,
            Turned::Timer(now) => now,
            Turned::Events(now) => {
                span = Some((span.map_or(now, |(first, _)| first), now));
                now
            }
        };
        until_progress -= 1;
        if until_progress == 0 {
            until_progress = PROGRESS_EVERY;
            if !progress(Progress {
                now,
                rows: streams.totals().0,
            }) {
                return Err(ReplayError::Interrupted);
            }
        }
    }
    finish(engine, sim, span, streams.totals(), recorder)
}

/// Ends a run whose data have ended: `totals` are their rows and messages.
pub(crate) fn finish(
    engine: &mut Engine,
    sim: &Sim,
    span: Option<(TimestampNs, TimestampNs)>,
    (rows, events): (u64, u64),
    recorder: &mut impl Recorder,
) -> Result<Outcome, ReplayError> {
    let last = span.map_or(TimestampNs::MIN, |(_, last)| last);
    engine.finish(last, recorder)?;
    if sim.is_idle() {
        agree(engine, sim)?;
    }
    Ok(Outcome {
        rows,
        events,
        span,
        open_orders: engine.open_orders(),
    })
}

/// Takes in one event: funding moves the venue's wallet and the ledger, the rest is the engine's.
#[inline]
pub(crate) fn take(
    engine: &mut Engine,
    sim: &mut Sim,
    target: Target,
    ts_event: TimestampNs,
    now: TimestampNs,
    event: &EventKind<'_>,
) -> Result<(), ReplayError> {
    if let (Target::Instrument(id), EventKind::Funding { rate, mark }) = (target, event) {
        let instrument = &engine.config().instruments[id.index()];
        let (venue, quote) = (instrument.venue, instrument.quote);
        if engine.config().venues[venue.index()].kind == VenueKind::Perpetual {
            let received = sim.funding(id, ts_event, *rate, *mark)?;
            engine.on_funding(venue, quote, received)?;
        }
    }
    engine.apply(target, ts_event, now, event);
    Ok(())
}

/// The venues' own books and the ledger must agree once every report has been heard.
fn agree(engine: &Engine, sim: &Sim) -> Result<(), ReplayError> {
    for venue in 0..engine.config().venues.len() {
        for currency in 0..engine.config().classes.len() {
            let venue_id = crate::instrument::VenueId(venue as u8);
            let currency_id = crate::instrument::CurrencyId(currency as u16);
            let venue_holds = sim.balance(venue_id, currency_id).raw();
            let ledger_says = engine.ledger().balance(venue_id, currency_id).raw();
            if venue_holds != ledger_says {
                return Err(ReplayError::Differs {
                    venue: venue_id.0,
                    currency: currency_id.0,
                    venue_holds,
                    ledger_says,
                });
            }
        }
    }
    Ok(())
}
