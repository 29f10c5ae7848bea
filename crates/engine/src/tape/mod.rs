//! Many replays of the same streams: a record of what every decision would see, made once, and trials that leap over the
//! stretches in which they would do nothing.
//!
//! A [`Tape`] holds the streams themselves and, per decision of a route, the spreads at best prices; it depends on the
//! streams and on the rules by which routes are priced, and on nothing that a trial may vary: strategy, sizes, fees,
//! latencies, balances, limits, matching. [`replay_tape`] runs the real engine and the real venues of one parameter set:
//! while orders are out by the ordinary loop of [`crate::replay`], in between by leaps to the next instant at which a route
//! may want something, a limit may be reached or a timer is due.
//!
//! What always holds: [`replay_tape`] gives what [`crate::replay::replay`] gives over the same streams: the same rows in the
//! same order, the same counts, the same digest. A tape is read-only and shared by threads; what it keeps for later trials
//! (fair premiums of a half-life, walked prices of a size) is a function of the tape alone, so no trial can be told from it which others ran before.
//!
//! It is no shortcut for what a trial does while it trades, and none for streams from disk: a tape is in memory, with its
//! streams.

mod build;
mod depth;
mod fair;
mod lane;
mod leap;
mod logs;
mod reel;

use std::sync::Arc;

use crate::engine::{Class, Engine, EngineConfig, FxConfig, FxState, Target};
use crate::event::{Chunk, EventKind, Header};
use crate::instrument::{CurrencyId, InstrumentId};
use crate::records::Recorder;
use crate::replay::{Outcome, ReplayError, Streams, Turned, Turns, finish};
use crate::sim::{Sim, SimConfig};
use crate::units::{Price, TimestampNs};

use depth::Depths;
use fair::Fairs;
use lane::Lane;
use leap::{Leap, Leaper};
use logs::{RateLog, TopLog};
use reel::{Mark, Reel};

/// What every decision over some streams would see. See the module.
#[derive(Debug)]
pub struct Tape {
    rules: Rules,
    reels: Vec<Reel>,
    /// Receive times at which some route is looked at.
    awake: Arc<[TimestampNs]>,
    /// Per stream, how many messages come before each [`STOP`]th of those instants.
    stops: Vec<Vec<usize>>,
    lanes: Vec<Lane>,
    tops: Vec<TopLog>,
    rates: RateLog,
    /// The rate before the first event.
    fx: FxState,
    fundings: Vec<Funding>,
    /// Books to start from, per instrument.
    marks: Vec<Vec<Mark>>,
    fairs: Fairs,
    depths: Depths,
    span: Option<(TimestampNs, TimestampNs)>,
    totals: (u64, u64),
}

/// Instants between two entries of [`Tape::stops`].
const STOP: usize = 64;

/// The rules by which routes are priced: what a tape was made for.
#[derive(Debug, Clone, PartialEq)]
struct Rules {
    quotes: Vec<CurrencyId>,
    classes: Vec<Class>,
    base_currency: CurrencyId,
    fx: FxConfig,
    max_book_age_ns: i64,
    routes: Vec<(InstrumentId, InstrumentId)>,
}

impl Rules {
    fn of(config: &EngineConfig) -> Rules {
        Rules {
            quotes: config.instruments.iter().map(|instrument| instrument.quote).collect(),
            classes: config.classes.clone(),
            base_currency: config.base_currency,
            fx: config.fx,
            max_book_age_ns: config.limits.venue.max_book_age_ns,
            routes: config.routes.iter().map(|route| (route.a, route.b)).collect(),
        }
    }
}

/// Funding that falls due.
#[derive(Debug, Clone, Copy)]
struct Funding {
    ts_recv: TimestampNs,
    ts_event: TimestampNs,
    instrument: InstrumentId,
    rate: i64,
    mark: Price,
}

impl Tape {
    /// Records what the decisions of any engine with the price rules of `config` see over these streams: its instruments'
    /// moneys, the legs of its routes, its exchange rate and the greatest age of a book. The order of the streams breaks ties
    /// between equal receive times, as in [`Streams::new`].
    ///
    /// # Errors
    /// [`ReplayError::Ledger`] when the opening balances do not fit.
    pub fn new(streams: Vec<(Target, Vec<Arc<Chunk>>)>, config: &EngineConfig) -> Result<Tape, ReplayError> {
        build::build(streams, config)
    }

    /// Whether an engine of this configuration prices its routes as the tape did. All else may differ.
    pub fn fits(&self, config: &EngineConfig) -> bool {
        Rules::of(config) == self.rules
    }

    /// Distinct receive times at which a route is looked at.
    pub fn instants(&self) -> usize {
        self.awake.len()
    }

    /// Receive time of the first and of the last event; `None` when there is none.
    pub fn span(&self) -> Option<(TimestampNs, TimestampNs)> {
        self.span
    }

    /// Bytes of memory that the tape takes beside its streams, without what it keeps for later trials.
    pub fn bytes(&self) -> usize {
        let times = self.awake.len() * size_of::<TimestampNs>();
        let stops: usize = self.stops.iter().map(|stops| stops.len() * size_of::<usize>()).sum();
        let lanes: usize = self.lanes.iter().map(|lane| lane.bytes(&self.awake)).sum();
        let tops: usize = self.tops.iter().map(TopLog::bytes).sum();
        let marks: usize = self.marks.iter().flatten().map(Mark::bytes).sum();
        let fundings = self.fundings.len() * size_of::<Funding>();
        times + stops + lanes + tops + self.rates.bytes() + marks + fundings
    }

    /// The streams of an instrument, in their order.
    fn streams_of(&self, id: InstrumentId) -> Vec<usize> {
        let own = |&stream: &usize| self.reels[stream].target() == Target::Instrument(id);
        (0..self.reels.len()).filter(own).collect()
    }

    /// The messages of some streams of one instrument between two places, as they were received.
    fn each_of(&self, own: &[usize], from: &[usize], to: &[usize], mut each: impl FnMut(&Header, &EventKind<'_>)) {
        if let ([stream], [from], [to]) = (own, from, to) {
            self.reels[*stream].each(*from, *to, |header, event| {
                each(header, event);
                true
            });
            return;
        }
        let mut at = from.to_vec();
        loop {
            let next = (0..own.len()).filter(|&slot| at[slot] < to[slot]).min_by_key(|&slot| {
                let header = self.reels[own[slot]].header(at[slot]);
                (header.map_or(TimestampNs::MAX, |header| header.ts_recv), slot)
            });
            let Some(slot) = next else { return };
            self.reels[own[slot]].each(at[slot], at[slot] + 1, |header, event| {
                each(header, event);
                true
            });
            at[slot] += 1;
        }
    }
}

/// Replays one parameter set over a tape. `look` is asked after every sample of equity with what the recorder has by then,
/// and stops the replay by answering `false`.
///
/// # Errors
/// [`ReplayError::Unfit`] when the tape was made by other price rules, [`ReplayError::Interrupted`] when `look` said so, and
/// what [`crate::replay::replay`] may fail with; what the recorder has heard by then must not be taken for a whole run.
pub fn replay_tape<R: Recorder>(
    tape: &Tape,
    config: EngineConfig,
    sim: SimConfig,
    recorder: &mut R,
    look: &mut impl FnMut(&R, TimestampNs) -> bool,
) -> Result<(Engine, Outcome), ReplayError> {
    if !tape.fits(&config) {
        return Err(ReplayError::Unfit);
    }
    let mut sim = Sim::new(sim, &config.opening)?;
    let mut engine = Engine::new(config)?;
    let sources = tape.reels.iter().map(|reel| (reel.target(), reel.chunks()));
    let mut streams = Streams::whole(sources, tape.rules.quotes.len())?;
    let mut turns = Turns::new();
    let mut leaper = Leaper::new(tape);
    // Everything before this has been taken in.
    let mut at = TimestampNs::MIN;
    loop {
        if at >= leaper.not_before() && engine.is_quiet() && sim.is_idle() {
            let leap = leaper.leap(at, &mut engine, &mut sim, &mut streams, recorder, look)?;
            if let Leap::To(to) = leap {
                at = to;
            }
        }
        let before = engine.next_sample();
        match turns.turn(&mut engine, &mut sim, &mut streams, recorder)? {
            Turned::End => break,
            Turned::Venues => {}
            Turned::Timer(now) | Turned::Events(now) => {
                at = now.plus(1);
                if engine.next_sample() != before && !look(recorder, now) {
                    return Err(ReplayError::Interrupted);
                }
            }
        }
    }
    let outcome = finish(&mut engine, &sim, tape.span, tape.totals, recorder)?;
    Ok((engine, outcome))
}
