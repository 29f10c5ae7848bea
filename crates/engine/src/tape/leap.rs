//! The leaps of one trial: how far nothing can happen, what happens on the way all the same, and how to land.
//!
//! On the way happen: samples, funding, changes of the reason for which a route is not priced, and the marks of a result
//! that has limits. Everything else ends a leap: the ordinary loop goes on there with the books of that instant.

use std::sync::Arc;

use super::depth::{Ask, Depth};
use super::fair::Track;
use super::lane::{BLOCK, Lane};
use super::logs::{gallop, levels, mid};
use super::{STOP, Tape};
use crate::engine::{Engine, FxState};
use crate::instrument::{InstrumentId, RouteId};
use crate::order::OrderId;
use crate::records::{Direction, Recorder};
use crate::replay::{Ahead, ReplayError, Streams, take};
use crate::sim::Sim;
use crate::spread::{FillModel, Tops};
use crate::strategy::{Bounds, Closing, Range, Route};
use crate::units::{FxRate, Price, TimestampNs};

/// What came of the wish to leap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leap {
    /// Everything before this instant has been passed.
    To(TimestampNs),
    /// Not worth it, or not possible, here.
    Stay,
}

/// A leap over fewer instants than this is not worth its landing.
const SHORT: usize = 4;

/// Instants that are looked through at a time where routes may stop each other.
const WINDOW: usize = 1 << 13;

/// At most so many instants, as a power of two, are left to the ordinary loop when leaps lead nowhere.
const MOST_MISSES: u32 = 6;

/// Where one trial stands on a tape.
pub(super) struct Leaper<'t> {
    tape: &'t Tape,
    /// Per lane, its first decision that has not been passed.
    at: Vec<usize>,
    tracks: Vec<Option<(i64, Arc<Track>)>>,
    depths: Vec<Option<(Ask, Arc<Depth>)>>,
    /// Per lane, from which decision on (a block's first) the fair premium is the track's.
    joined: Vec<Option<usize>>,
    awake: usize,
    funding: usize,
    /// Changes passed, per instrument and of the rate.
    tops: Vec<usize>,
    rate: usize,
    not_before: TimestampNs,
    /// The next order's number at the last landing, and how often in a row nothing came of it.
    order: OrderId,
    misses: u32,
}

impl<'t> Leaper<'t> {
    pub(super) fn new(tape: &'t Tape) -> Leaper<'t> {
        Leaper {
            at: vec![0; tape.lanes.len()],
            tracks: vec![None; tape.lanes.len()],
            depths: vec![None; tape.lanes.len()],
            joined: vec![None; tape.lanes.len()],
            awake: 0,
            funding: 0,
            tops: vec![0; tape.tops.len()],
            rate: 0,
            not_before: TimestampNs::MIN,
            order: OrderId(0),
            misses: 0,
            tape,
        }
    }

    /// No leap is worth trying before.
    #[inline]
    pub(super) fn not_before(&self) -> TimestampNs {
        self.not_before
    }

    /// From a quiet engine and idle venues that have taken in everything before `from`: as far as nothing can happen.
    pub(super) fn leap<R: Recorder>(
        &mut self,
        from: TimestampNs,
        engine: &mut Engine,
        sim: &mut Sim,
        streams: &mut Streams,
        recorder: &mut R,
        look: &mut impl FnMut(&R, TimestampNs) -> bool,
    ) -> Result<Leap, ReplayError> {
        let tape = self.tape;
        for (at, lane) in self.at.iter_mut().zip(&tape.lanes) {
            *at = lane.at(from, *at);
        }
        self.awake = gallop(&tape.awake, self.awake, |&instant| instant < from);
        self.funding = gallop(&tape.fundings, self.funding, |funding| funding.ts_recv < from);
        self.joined.fill(None);
        // A venue's book that is followed can only be moved on if one stream tells all of it.
        if sim.followed().any(|id| streams.of_instrument(id).len() != 1) {
            self.stay(1);
            return Ok(Leap::Stay);
        }
        let began = self.awake;
        let mut passed = false;
        let to = loop {
            let (mut to, goes_on) = self.stop(engine);
            let end = gallop(&tape.awake, self.awake, |&instant| instant < to);
            if !passed && end - self.awake < SHORT {
                self.wait(to, engine);
                return Ok(Leap::Stay);
            }
            passed = true;
            let halted = self.pass(&mut to, engine, sim, recorder, look)?;
            if !goes_on || halted {
                break to;
            }
        };
        self.land(to, engine, sim, streams)?;
        if self.awake - began >= 1 << MOST_MISSES {
            self.misses = 0;
        }
        self.wait(to, engine);
        Ok(Leap::To(to))
    }

    /// Leaves some instants to the ordinary loop.
    fn stay(&mut self, instants: usize) {
        let next = self.tape.awake.get(self.awake + instants);
        self.not_before = next.copied().unwrap_or(TimestampNs::MAX);
    }

    /// Leaves everything up to the decisions at `to` to the ordinary loop, and more if landings lead nowhere.
    fn wait(&mut self, to: TimestampNs, engine: &Engine) {
        let order = engine.next_order();
        self.misses = if order == self.order {
            (self.misses + 1).min(MOST_MISSES)
        } else {
            0
        };
        self.order = order;
        let landed = gallop(&self.tape.awake, self.awake, |&instant| instant < to);
        let next = self.tape.awake.get(landed + (1 << self.misses) - 1);
        self.not_before = next.copied().unwrap_or(TimestampNs::MAX).max(to).plus(1);
    }

    /// The next instant that the ordinary loop must see, and whether that is only the end of a window.
    fn stop(&mut self, engine: &Engine) -> (TimestampNs, bool) {
        let tape = self.tape;
        let mut to = engine.next_timer();
        if let Some(day) = engine.marks_until() {
            let funding = tape.fundings.get(self.funding);
            to = to
                .min(day)
                .min(funding.map_or(TimestampNs::MAX, |funding| funding.ts_recv));
        }
        let mut window = None;
        if tape.lanes.len() > 1
            && let Some(&end) = tape.awake.get(self.awake + WINDOW)
            && end < to
        {
            (to, window) = (end, Some(end));
        }
        for index in 0..tape.lanes.len() {
            to = to.min(self.stop_of(index, engine, to));
        }
        (to, Some(to) == window)
    }

    /// The first decision of a lane before `to` at which its route may want something.
    fn stop_of(&mut self, index: usize, engine: &Engine, to: TimestampNs) -> TimestampNs {
        let (tape, at) = (self.tape, self.at[index]);
        let lane = &tape.lanes[index];
        let route = &engine.routes()[index];
        let first = lane.time(lane.next_priced(at));
        let Some(bounds) = route.bounds(first) else {
            return lane.time(at);
        };
        let to = to.min(lane.time(lane.at(bounds.at_latest, at)));
        let end = lane.at(to, at);
        let from = lane.at(bounds.not_before, at);
        if from >= end {
            return to;
        }
        let tops = self.tops_of(index, engine);
        let Some(spreads) = lane.spreads(bounds.resting, tops) else {
            return lane.time(at);
        };
        let fair = route.fair_premium();
        let mut stop = match fair.half_life_ns() {
            None => lane.scan(spreads, &bounds, fair.value(), from, end),
            Some(half_life_ns) => {
                let track = self.track(index, half_life_ns);
                let mut fair = fair.clone();
                let mut joined = self.joined[index];
                // What is fed before the first decision that counts.
                if from > at {
                    let none = Bounds {
                        upper: i64::MAX / 2,
                        lower: i64::MIN / 2,
                        ..bounds
                    };
                    lane.scan_moving(spreads, &none, &fair, &track, &mut joined, at, from);
                    feed(lane, Some(&track), joined, &mut fair, at, from);
                }
                let stop = lane.scan_moving(spreads, &bounds, &fair, &track, &mut joined, from, end);
                self.joined[index] = joined;
                stop
            }
        };
        if bounds.closes {
            stop = self.stop_closing(index, engine, at, stop);
        }
        if stop < end { lane.time(stop) } else { to }
    }

    /// The first decision in a stretch at which an open pair may reach its take-profit or its stop.
    fn stop_closing(&mut self, index: usize, engine: &Engine, from: usize, to: usize) -> usize {
        if from >= to {
            return to;
        }
        let lane = &self.tape.lanes[index];
        let route = &engine.routes()[index];
        let strategy = &route.config().strategy;
        let sells = route.direction() == Direction::SellA;
        let depth = (strategy.stop.is_some() && strategy.pricing == FillModel::Walk).then(|| self.depth(index, route));
        let mut tops = self.tops_of(index, engine);
        let mut at = from;
        while at < to {
            let block = at / BLOCK;
            let end = (block * BLOCK + BLOCK).min(to);
            let ranges = lane.ranges(block);
            if ranges.fx.low <= ranges.fx.high {
                let [bid_a, ask_a, bid_b, ask_b] = ranges.prices;
                let (best, worst) = if sells {
                    ((ask_a.low, bid_b.high), (ask_a.high, bid_b.low))
                } else {
                    ((bid_a.high, ask_b.low), (bid_a.low, ask_b.high))
                };
                let closing = Closing {
                    best,
                    worst: depth.as_ref().map_or(Some(worst), |depth| depth.block(block)),
                    fx: ranges.fx,
                };
                if route.may_close(&closing) {
                    for at in at..end {
                        let Some(tops) = tops(lane.time(at)).filter(|_| lane.is_priced(at)) else {
                            continue;
                        };
                        let (best, fx) = tops.closing(route.direction());
                        let closing = Closing {
                            best,
                            worst: depth.as_ref().map_or(Some(best), |depth| depth.at(at)),
                            fx: Range { low: fx, high: fx },
                        };
                        if route.may_close(&closing) {
                            return at;
                        }
                    }
                }
            }
            at = end;
        }
        to
    }

    /// What closing the pair that a route holds walks to.
    fn depth(&mut self, index: usize, route: &Route) -> Arc<Depth> {
        let ask = Ask::new(index, route.direction(), route.held());
        if let Some((of, depth)) = &self.depths[index]
            && *of == ask
        {
            return Arc::clone(depth);
        }
        let legs = (route.config().a, route.config().b);
        let depth = self.tape.depths.get(self.tape, legs, &ask);
        self.depths[index] = Some((ask, Arc::clone(&depth)));
        depth
    }

    /// Best prices and rate of a lane's route by time, for times that do not go back.
    fn tops_of<'a>(&self, index: usize, engine: &'a Engine) -> impl FnMut(TimestampNs) -> Option<Tops> + use<'a, 't> {
        let tape = self.tape;
        let id = RouteId(index as u16);
        let config = engine.routes()[index].config();
        let (a, b) = (config.a.index(), config.b.index());
        let (mut changes_a, mut changes_b, mut changes) = (0, 0, 0);
        let mut known: Option<(FxRate, f64)> = None;
        move |ts| {
            changes_a = tape.tops[a].until(ts, changes_a);
            changes_b = tape.tops[b].until(ts, changes_b);
            changes = tape.rates.until(ts, changes);
            let state = tape.rates.after(changes).unwrap_or(tape.fx);
            let rate = state.rate.unwrap_or(FxRate::ONE);
            let fx = match known {
                Some((of, fx)) if of == rate => fx,
                _ => engine.route_fx(id, rate),
            };
            known = Some((rate, fx));
            let a = levels(tape.tops[a].prices(changes_a))?;
            let b = levels(tape.tops[b].prices(changes_b))?;
            Some(Tops::new(a, b, fx))
        }
    }

    fn track(&mut self, index: usize, half_life_ns: i64) -> Arc<Track> {
        if let Some((of, track)) = &self.tracks[index]
            && *of == half_life_ns
        {
            return Arc::clone(track);
        }
        let track = self.tape.fairs.get(index, &self.tape.lanes[index], half_life_ns);
        self.tracks[index] = Some((half_life_ns, Arc::clone(&track)));
        track
    }

    /// Does everything that happens before `to`. Whether it ended earlier, since a limit would be reached: `to` is that
    /// instant then.
    fn pass<R: Recorder>(
        &mut self,
        to: &mut TimestampNs,
        engine: &mut Engine,
        sim: &mut Sim,
        recorder: &mut R,
        look: &mut impl FnMut(&R, TimestampNs) -> bool,
    ) -> Result<bool, ReplayError> {
        let tape = self.tape;
        let marks = engine.marks_until().is_some();
        let mut halted = false;
        // The first instant whose mark has not been made.
        let mut marked = self.awake;
        loop {
            let sampled = gallop(&tape.awake, self.awake, |&instant| instant < engine.next_sample());
            let sample = tape.awake.get(sampled).copied().unwrap_or(TimestampNs::MAX);
            let funding = tape.fundings.get(self.funding);
            let mut next = sample.min(funding.map_or(TimestampNs::MAX, |funding| funding.ts_recv));
            for (index, lane) in tape.lanes.iter().enumerate() {
                next = next.min(lane.time(change(lane, self.at[index], engine, index)));
            }
            let until = next.min(*to);
            if marks {
                // The mark of an instant comes before all else of it.
                while let Some(&instant) = tape.awake.get(marked)
                    && (instant < until || (instant == until && until < *to))
                {
                    if !self.mark(instant, engine) {
                        (*to, halted) = (instant, true);
                        break;
                    }
                    // The same mids and rate would give the same mark.
                    let next = self.next_change();
                    marked = gallop(&tape.awake, marked + 1, |&instant| instant < next);
                }
            }
            let until = next.min(*to);
            for index in 0..tape.lanes.len() {
                let end = tape.lanes[index].at(until, self.at[index]);
                self.pass_lane(index, end, engine, recorder);
            }
            self.awake = gallop(&tape.awake, self.awake, |&instant| instant < until);
            if next >= *to {
                return Ok(halted);
            }
            while let Some(funding) = tape.fundings.get(self.funding)
                && funding.ts_recv == next
            {
                self.funding += 1;
                let event = crate::event::EventKind::Funding {
                    rate: funding.rate,
                    mark: funding.mark,
                };
                let target = crate::engine::Target::Instrument(funding.instrument);
                take(engine, sim, target, funding.ts_event, next, &event)?;
            }
            for index in 0..tape.lanes.len() {
                let end = tape.lanes[index].at(next.plus(1), self.at[index]);
                self.pass_lane(index, end, engine, recorder);
            }
            if next == sample {
                self.sample(next, engine, recorder)?;
                if !look(recorder, next) {
                    return Err(ReplayError::Interrupted);
                }
            }
            self.awake = gallop(&tape.awake, self.awake, |&instant| instant <= next);
        }
    }

    /// Passes the decisions of a lane up to `end`.
    fn pass_lane(&mut self, index: usize, end: usize, engine: &mut Engine, recorder: &mut impl Recorder) {
        let lane = &self.tape.lanes[index];
        let id = RouteId(index as u16);
        let from = self.at[index];
        let mut at = from;
        while at < end {
            let (reason, run) = lane.run(at);
            let stop = run.min(end);
            let times = (lane.ts[at], lane.ts[stop - 1]);
            let decisions = (stop - at) as u64;
            match reason {
                Some(reason) => engine.pass_blocked(id, reason, times, decisions, recorder),
                None => {
                    engine.pass_priced(id, times, decisions, recorder);
                    self.pass_moves(index, at, stop, engine);
                }
            }
            at = stop;
        }
        let route = engine.route_mut(id);
        if route.fair_premium().half_life_ns().is_some() {
            let track = self.tracks[index].as_ref().map(|(_, track)| &**track);
            feed(lane, track, self.joined[index], route.fair_premium_mut(), from, end);
        }
        self.at[index] = from.max(end);
    }

    /// Shows the volatility limit the mids of priced decisions, as far back as it looks.
    fn pass_moves(&mut self, index: usize, from: usize, to: usize, engine: &mut Engine) {
        let Some(window_ns) = engine.move_window_ns() else {
            return;
        };
        let lane = &self.tape.lanes[index];
        let begin = |ts: TimestampNs| TimestampNs(ts.0 - ts.0.rem_euclid(window_ns));
        // The newest window, and the one before it: what came earlier is forgotten. Of each only the extremes count.
        let first = |end: usize| from.max(lane.ts[..end].partition_point(|&ts| ts < begin(lane.ts[end - 1])));
        let newest = first(to);
        let earlier = if newest > from { first(newest) } else { newest };
        let instrument = engine.routes()[index].config().a;
        let log = &self.tape.tops[instrument.index()];
        let mut changes = 0;
        for (first, end) in [(earlier, newest), (newest, to)] {
            if first == end {
                continue;
            }
            let last = lane.ts[end - 1];
            // Every change of the best prices is a decision.
            changes = log.until(lane.ts[first], changes);
            let until = log.until(last, changes);
            let mids = (changes..=until).filter_map(|changes| mid(log.prices(changes)));
            let extremes = mids.fold(None, |extremes: Option<(Price, Price)>, mid| {
                Some(extremes.map_or((mid, mid), |(low, high)| (low.min(mid), high.max(mid))))
            });
            for mid in extremes.into_iter().flat_map(|(low, high)| [low, high]) {
                engine.pass_mid(RouteId(index as u16), last, mid);
            }
        }
    }

    /// What was observed of the rate up to and with an instant, for instants that do not go back.
    fn fx(&mut self, instant: TimestampNs) -> FxState {
        self.rate = self.tape.rates.until(instant, self.rate);
        self.tape.rates.after(self.rate).unwrap_or(self.tape.fx)
    }

    /// Takes the mids of all books that can be priced at an instant.
    fn value(&mut self, instant: TimestampNs, engine: &mut Engine) {
        for (index, log) in self.tape.tops.iter().enumerate() {
            self.tops[index] = log.until(instant, self.tops[index]);
            if let Some(mid) = mid(log.prices(self.tops[index])) {
                engine.pass_valued(InstrumentId(index as u16), mid);
            }
        }
    }

    /// When a best price or the rate changes next after what was last looked at.
    fn next_change(&self) -> TimestampNs {
        let tops = self.tape.tops.iter().zip(&self.tops);
        let next = tops.map(|(log, &changes)| log.next(changes)).min();
        let rate = self.tape.rates.next(self.rate);
        next.map_or(rate, |next| next.min(rate))
    }

    /// Marks the result at an instant; `false` when that would halt.
    fn mark(&mut self, instant: TimestampNs, engine: &mut Engine) -> bool {
        self.value(instant, engine);
        let rate = self.fx(instant).rate;
        engine.pass_mark(rate)
    }

    fn sample(
        &mut self,
        instant: TimestampNs,
        engine: &mut Engine,
        recorder: &mut impl Recorder,
    ) -> Result<(), ReplayError> {
        self.value(instant, engine);
        let rate = self.fx(instant).rate;
        let (tape, changes) = (self.tape, &self.tops);
        let top = |id: InstrumentId| levels(tape.tops[id.index()].prices(changes[id.index()]));
        engine.pass_sample(instant, rate, top, recorder)?;
        Ok(())
    }

    /// Sets books, rate and streams to what has been received before an instant.
    fn land(
        &mut self,
        to: TimestampNs,
        engine: &mut Engine,
        sim: &mut Sim,
        streams: &mut Streams,
    ) -> Result<(), ReplayError> {
        let tape = self.tape;
        let before = TimestampNs(to.0.saturating_sub(1));
        engine.set_fx_state(self.fx(before));
        let stop = self.awake / STOP;
        let goal = |stream: usize| {
            let stops = &tape.stops[stream];
            let len = tape.reels[stream].len();
            let low = stops.get(stop).copied().unwrap_or(0);
            let high = stops.get(stop + 1).copied().unwrap_or(len);
            // Between two instants at which routes are looked at others may lie.
            let low = if tape.reels[stream].header(low).is_some_and(|header| header.ts_recv < to) || low == 0 {
                low
            } else {
                stops.get(stop.saturating_sub(1)).copied().unwrap_or(0)
            };
            tape.reels[stream].before(to, low, high)
        };
        for index in 0..tape.tops.len() {
            let id = InstrumentId(index as u16);
            let own = streams.of_instrument(id).to_vec();
            let goals: Vec<usize> = own.iter().map(|&stream| goal(stream)).collect();
            let here: Vec<usize> = own
                .iter()
                .map(|&stream| tape.reels[stream].number(streams.place(stream)))
                .collect();
            let marks = &tape.marks[index];
            let mark = &marks[marks.partition_point(|mark| mark.ts <= to).saturating_sub(1)];
            let sum = |numbers: &[usize]| numbers.iter().sum::<usize>();
            let from = if sum(&mark.taken) > sum(&here) {
                mark.restore(engine.book_mut(id));
                &mark.taken[..]
            } else {
                &here
            };
            let book = engine.book_mut(id);
            tape.each_of(&own, from, &goals, |header, event| {
                book.apply(header.ts_event, header.ts_recv, event);
            });
            let newest = own.iter().zip(&goals).filter_map(|(&stream, &goal)| {
                let header = tape.reels[stream].header(goal.checked_sub(1)?)?;
                Some((header.ts_recv, stream, header.ts_recv.since(header.ts_event)))
            });
            if let Some((_, _, delay_ns)) = newest.max() {
                streams.set_delay(id, delay_ns);
            }
        }
        for (stream, reel) in tape.reels.iter().enumerate() {
            streams.seek(stream, reel.place(goal(stream)))?;
        }
        let followed: Vec<InstrumentId> = sim.followed().collect();
        for id in followed {
            let stream = streams.of_instrument(id)[0];
            let reel = &tape.reels[stream];
            let Some(venue) = streams.venue_place(stream).map(|place| reel.number(place)) else {
                continue;
            };
            let here = goal(stream);
            // A venue may be ahead of us; then its book is good as it is.
            if venue < here {
                reel.each(venue, here, |_, event| sim.pass(id, event));
                sim.follow_on(id, before, &mut Ahead { streams, engine });
            }
        }
        Ok(())
    }
}

/// The first decision of a lane, from `at` on, that finds another answer than the engine's last to whether its route may be
/// priced.
fn change(lane: &Lane, at: usize, engine: &Engine, index: usize) -> usize {
    if at >= lane.len() {
        return at;
    }
    let (reason, end) = lane.run(at);
    if reason == engine.blocked(RouteId(index as u16)) {
        end
    } else {
        at
    }
}

/// Feeds a fair premium with the priced decisions of a stretch; from the track where it is known to be the same.
fn feed(
    lane: &Lane,
    track: Option<&Track>,
    joined: Option<usize>,
    fair: &mut crate::spread::FairPremium,
    from: usize,
    to: usize,
) {
    let mut at = from;
    let block = to - to % BLOCK;
    if let (Some(track), Some(joined)) = (track, joined)
        && block >= joined
        && block > from
    {
        track.set(lane, block, fair);
        at = block;
    }
    for at in at..to {
        if lane.is_priced(at) {
            fair.observe(lane.ts[at], lane.premium(at));
        }
    }
}
