//! One venue's feed: turns "the market is here now" into the messages that a recorder would have received.
//!
//! What always holds: receive times never go back, the book is never crossed and lies on the grid, a diff continues the
//! message before it, nothing but status and funding is sent during an outage, and a snapshot follows every outage.

use crossbook_engine::book::BookSide;
use crossbook_engine::event::{FeedStatus, Kind, Level};
use crossbook_engine::instrument::{Side, VenueKind};
use crossbook_engine::rng::Rng;
use crossbook_engine::units::{Price, TimestampNs};

use super::ladder::{Ladder, Shape, whole_steps};
use super::spec::{FeedKind, FundingSpec, LatencySpec, MarketSpec, OutageSpec, TradesSpec};
use super::{Sink, SynthError};
use crate::dataset::message::Message;

const NS_PER_MS: f64 = 1e6;
const NS_PER_S: i64 = 1_000_000_000;

/// The best prices of a market; the ask is above the bid, both on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) bid: Price,
    pub(super) ask: Price,
}

/// One venue's feed.
pub(super) struct Publisher {
    stream: usize,
    feed: FeedKind,
    kind: VenueKind,
    clock_offset_ns: i64,
    spread_ratio: f64,
    spread_sigma: f64,
    spread_factor: f64,
    shape: Shape,
    bids: Ladder,
    asks: Ladder,
    latency: Latency,
    trades: Option<Trades>,
    outages: Outages,
    /// The connection is down by an outage, until this instant.
    down_until_ns: Option<i64>,
    /// There is no market at all (a hole in the candles).
    closed: bool,
    needs_snapshot: bool,
    last_id: u64,
    funding: Option<Funding>,
    message: Message,
}

impl Publisher {
    /// `key` names its random streams, `from_ns` is the first instant of the market.
    pub(super) fn new(stream: usize, key: &str, spec: &MarketSpec, from_ns: i64, seed: u64) -> Publisher {
        let random = |use_: &str| Rng::stream(seed, &format!("{key}.{use_}"));
        Publisher {
            stream,
            feed: spec.feed,
            kind: spec.kind,
            clock_offset_ns: spec.clock_offset_ms * 1_000_000,
            spread_ratio: spec.book.spread_bps * 1e-4,
            spread_sigma: spec.book.spread_sigma,
            spread_factor: 1.0,
            shape: Shape::new(&spec.book, spec.tick.rule(), random("book")),
            bids: Ladder::new(BookSide::Bid),
            asks: Ladder::new(BookSide::Ask),
            latency: Latency::new(&spec.latency, random("latency")),
            trades: spec
                .trades
                .as_ref()
                .filter(|trades| trades.per_s > 0.0)
                .map(|trades| Trades::new(trades, spec.book.qty_step.raw(), from_ns, random("trades"))),
            outages: Outages::new(spec.outages.as_ref(), from_ns, random("outages")),
            down_until_ns: None,
            closed: false,
            needs_snapshot: true,
            last_id: 1_000_000,
            funding: spec.funding.clone().map(|spec| Funding {
                next_ns: next_multiple(from_ns, spec.every_s as i64 * NS_PER_S),
                spec,
                rng: random("funding"),
            }),
            message: Message::new(Kind::Snapshot, TimestampNs(0), TimestampNs(0)),
        }
    }

    /// Best prices around a mid (in quote): half the spread to each side, rounded outwards to the grid.
    pub(super) fn touch_around(&mut self, mid: f64) -> Option<Touch> {
        if self.shape.refreshes() {
            self.spread_factor = self.shape.factor(self.spread_sigma);
        }
        let half = mid * (0.5 * self.spread_ratio * self.spread_factor);
        let scale = crossbook_engine::units::SCALE as f64;
        if (mid + half) * scale >= i64::MAX as f64 {
            return None;
        }
        let tick = self.shape.tick();
        let bid = tick.round_limit(Price::from_raw(((mid - half) * scale) as i64).ok()?, Side::Buy)?;
        let mut ask = tick.round_limit(Price::from_raw(((mid + half) * scale) as i64).ok()?, Side::Sell)?;
        if ask <= bid {
            ask = Price::from_raw(bid.raw().checked_add(tick.tick_at(bid).raw())?).ok()?;
        }
        Some(Touch { bid, ask })
    }

    /// Best prices whose mid is exactly this price on the grid.
    pub(super) fn touch_exactly(&mut self, mid: Price) -> Option<Touch> {
        if self.shape.refreshes() {
            self.spread_factor = self.shape.factor(self.spread_sigma);
        }
        let tick = self.shape.tick();
        let size = tick.tick_at(mid).raw();
        let half_raw = mid.raw() as f64 * (0.5 * self.spread_ratio * self.spread_factor);
        let ticks = ((half_raw / size as f64 + 0.5) as i64).max(1);
        let at = |half: i64| {
            let bid = Price::from_raw(mid.raw() - half).ok()?;
            let ask = Price::from_raw(mid.raw().checked_add(half)?).ok()?;
            (tick.is_on_grid(bid) && tick.is_on_grid(ask)).then_some(Touch { bid, ask })
        };
        // Where a wider band of the ladder begins just above, one tick to each side still lies on both grids.
        at(ticks.checked_mul(size)?).or_else(|| at(size))
    }

    /// What happens without a book message up to and including `now_ns`: outages, trades, funding.
    pub(super) fn advance<E>(
        &mut self,
        now_ns: i64,
        rate_multiplier: u64,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), SynthError<E>> {
        // Stretch by stretch between payments, so that exchange times never go back.
        while let Some(due_ns) = self.funding_due(now_ns) {
            self.advance_outages(due_ns, sink)?;
            self.advance_trades(due_ns, rate_multiplier, sink)?;
            self.pay_funding(sink)?;
        }
        self.advance_outages(now_ns, sink)?;
        self.advance_trades(now_ns, rate_multiplier, sink)
    }

    /// Sends the book as of `now_ns`, unless the connection is down. Call [`Publisher::advance`] first.
    pub(super) fn publish<E>(
        &mut self,
        now_ns: i64,
        touch: Touch,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), SynthError<E>> {
        self.bids.move_to(touch.bid, &mut self.shape);
        self.asks.move_to(touch.ask, &mut self.shape);
        self.bids.refresh(&mut self.shape);
        self.asks.refresh(&mut self.shape);
        if self.down_until_ns.is_some() || self.closed {
            return Ok(());
        }
        let message = &mut self.message;
        (message.seq_first, message.seq_last, message.seq_prev) = (None, None, None);
        message.bids.clear();
        message.asks.clear();
        message.values.clear();
        if self.feed == FeedKind::Snapshots || self.needs_snapshot {
            message.bids.extend_from_slice(self.bids.levels());
            message.asks.extend_from_slice(self.asks.levels());
            self.bids.mark_sent();
            self.asks.mark_sent();
            message.kind = match self.feed {
                FeedKind::Snapshots => Kind::Snapshot,
                // The synthetic venue has no level outside of what it sends.
                FeedKind::Diffs => Kind::CompleteSnapshot,
            };
            if self.feed == FeedKind::Diffs {
                message.seq_last = Some(self.last_id);
            }
            self.needs_snapshot = false;
        } else {
            self.bids.changes(&mut message.bids);
            self.asks.changes(&mut message.asks);
            let changes = (message.bids.len() + message.asks.len()) as u64;
            if changes == 0 {
                return Ok(());
            }
            message.kind = Kind::Update;
            message.seq_first = Some(self.last_id + 1);
            message.seq_prev = (self.kind == VenueKind::Perpetual).then_some(self.last_id);
            self.last_id += changes;
            message.seq_last = Some(self.last_id);
        }
        self.message.ts_event = TimestampNs(now_ns);
        self.message.ts_recv = TimestampNs(self.latency.arrival(now_ns) + self.clock_offset_ns);
        sink(self.stream, &self.message).map_err(SynthError::Sink)
    }

    /// The market stops (a hole in the data): nothing is sent until [`Publisher::open`].
    pub(super) fn close<E>(&mut self, now_ns: i64, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
        if !std::mem::replace(&mut self.closed, true) && self.down_until_ns.is_none() {
            self.status(now_ns, FeedStatus::Disconnected, sink)?;
        }
        Ok(())
    }

    /// The market is there again; a snapshot comes next.
    pub(super) fn open<E>(&mut self, now_ns: i64, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
        if std::mem::replace(&mut self.closed, false) && self.down_until_ns.is_none() {
            self.reconnect(now_ns, sink)?;
        }
        Ok(())
    }

    fn advance_outages<E>(&mut self, now_ns: i64, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
        loop {
            match self.down_until_ns {
                Some(until_ns) if until_ns <= now_ns => {
                    self.down_until_ns = None;
                    self.outages.next_after(until_ns);
                    if !self.closed {
                        self.reconnect(until_ns, sink)?;
                    }
                }
                None if self.outages.next.is_some_and(|(from_ns, _)| from_ns <= now_ns) => {
                    if let Some((from_ns, until_ns)) = self.outages.next {
                        self.down_until_ns = Some(until_ns);
                        if !self.closed {
                            self.status(from_ns, FeedStatus::Disconnected, sink)?;
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn reconnect<E>(&mut self, now_ns: i64, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
        self.needs_snapshot = true;
        // The venue went on counting while nobody listened.
        self.last_id += 1_000;
        self.status(now_ns, FeedStatus::Connected, sink)
    }

    fn advance_trades<E>(
        &mut self,
        now_ns: i64,
        rate_multiplier: u64,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), SynthError<E>> {
        let Some(trades) = &mut self.trades else { return Ok(()) };
        while trades.next_ns <= now_ns {
            let at_ns = trades.next_ns;
            let taker = if trades.rng.next_u64() >> 63 == 0 {
                Side::Buy
            } else {
                Side::Sell
            };
            let wanted = whole_steps(trades.median * trades.factor(), trades.qty_step);
            trades.wait(rate_multiplier);
            if self.down_until_ns.is_some() || self.closed || self.needs_snapshot {
                continue;
            }
            let ladder = match taker {
                Side::Buy => &mut self.asks,
                Side::Sell => &mut self.bids,
            };
            let Some(Level { price, qty }) = ladder.take(wanted, &self.shape) else {
                continue;
            };
            let ts_recv = TimestampNs(self.latency.arrival(at_ns) + self.clock_offset_ns);
            let message = Message::trade(TimestampNs(at_ns), ts_recv, price, qty, taker);
            sink(self.stream, &message).map_err(SynthError::Sink)?;
        }
        Ok(())
    }

    /// When the next payment is due, if by now and there is a book to take its mark price from.
    fn funding_due(&self, now_ns: i64) -> Option<i64> {
        let due_ns = self.funding.as_ref()?.next_ns;
        (due_ns <= now_ns && !self.bids.levels().is_empty()).then_some(due_ns)
    }

    /// Funding falls due whether or not anybody listens, so an outage does not swallow it.
    fn pay_funding<E>(&mut self, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
        let (Some(funding), Some(bid), Some(ask)) = (
            &mut self.funding,
            self.bids.levels().first(),
            self.asks.levels().first(),
        ) else {
            return Ok(());
        };
        let mark = bid.price.raw() + (ask.price.raw() - bid.price.raw()) / 2;
        let bps = funding.spec.mean_bps + funding.spec.sd_bps * funding.rng.normal();
        let at_ns = funding.next_ns;
        funding.next_ns += funding.spec.every_s as i64 * NS_PER_S;
        let ts_recv = TimestampNs(self.latency.arrival(at_ns) + self.clock_offset_ns);
        let mut message = Message::new(Kind::Funding, TimestampNs(at_ns), ts_recv);
        message.values = vec![libm::round(bps * 1e4) as i64, mark];
        sink(self.stream, &message).map_err(SynthError::Sink)
    }

    fn status<E>(&mut self, now_ns: i64, status: FeedStatus, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
        // Seen by the recorder itself, so without a delay, but never before what has already arrived.
        let arrival_ns = self.latency.not_before(now_ns);
        let mut message = Message::status(TimestampNs(arrival_ns + self.clock_offset_ns), status);
        message.ts_event = TimestampNs(arrival_ns);
        sink(self.stream, &message).map_err(SynthError::Sink)
    }
}

/// Log-normal delay that keeps the order of messages: one held up holds up those behind it.
pub(super) struct Latency {
    median_ns: f64,
    sigma: f64,
    last_ns: i64,
    rng: Rng,
}

impl Latency {
    pub(super) fn new(spec: &LatencySpec, rng: Rng) -> Latency {
        Latency {
            median_ns: spec.median_ms * NS_PER_MS,
            sigma: spec.sigma,
            last_ns: i64::MIN,
            rng,
        }
    }

    pub(super) fn arrival(&mut self, sent_ns: i64) -> i64 {
        let delay_ns = match self.sigma {
            0.0 => self.median_ns,
            sigma => self.rng.lognormal(self.median_ns, sigma),
        };
        self.not_before(sent_ns.saturating_add(delay_ns as i64))
    }

    fn not_before(&mut self, at_ns: i64) -> i64 {
        self.last_ns = self.last_ns.max(at_ns);
        self.last_ns
    }
}

struct Trades {
    mean_gap_ns: f64,
    median: f64,
    sigma: f64,
    qty_step: i64,
    next_ns: i64,
    rng: Rng,
}

impl Trades {
    fn new(spec: &TradesSpec, qty_step: i64, from_ns: i64, rng: Rng) -> Trades {
        let mut trades = Trades {
            mean_gap_ns: NS_PER_S as f64 / spec.per_s,
            median: spec.median_qty.raw() as f64,
            sigma: spec.sigma,
            qty_step,
            next_ns: from_ns,
            rng,
        };
        trades.wait(1);
        trades
    }

    fn wait(&mut self, rate_multiplier: u64) {
        let gap_ns = self.rng.exponential(self.mean_gap_ns / rate_multiplier as f64) as i64;
        self.next_ns = self.next_ns.saturating_add(gap_ns.max(1));
    }

    fn factor(&mut self) -> f64 {
        if self.sigma == 0.0 {
            1.0
        } else {
            self.rng.lognormal(1.0, self.sigma)
        }
    }
}

struct Funding {
    spec: FundingSpec,
    next_ns: i64,
    rng: Rng,
}

/// When the connection is down: drawn and given by hand, merged; those that begin during another are left out.
struct Outages {
    next: Option<(i64, i64)>,
    given: std::vec::IntoIter<(i64, i64)>,
    next_given: Option<(i64, i64)>,
    drawn: Option<(i64, i64)>,
    mean_gap_ns: f64,
    mean_ns: f64,
    rng: Rng,
}

impl Outages {
    fn new(spec: Option<&OutageSpec>, from_ns: i64, rng: Rng) -> Outages {
        let at = |outage: &super::spec::OutageAt| {
            let start = from_ns + outage.at_s as i64 * NS_PER_S;
            (start, start + outage.for_s as i64 * NS_PER_S)
        };
        let given: Vec<_> = spec.map(|spec| spec.at.iter().map(at).collect()).unwrap_or_default();
        let per_day = spec.map_or(0.0, |spec| spec.per_day);
        let mut outages = Outages {
            next: None,
            given: given.into_iter(),
            next_given: None,
            drawn: None,
            mean_gap_ns: if per_day > 0.0 { 86_400e9 / per_day } else { 0.0 },
            mean_ns: spec.map_or(0.0, |spec| spec.mean_s) * 1e9,
            rng,
        };
        outages.next_after(from_ns);
        outages
    }

    /// Chooses the first outage that begins at or after this instant.
    fn next_after(&mut self, after_ns: i64) {
        while self.next_given.is_none_or(|(from_ns, _)| from_ns < after_ns) {
            self.next_given = self.given.next();
            if self.next_given.is_none() {
                break;
            }
        }
        if self.mean_gap_ns > 0.0 && self.drawn.is_none_or(|(from_ns, _)| from_ns < after_ns) {
            // Exponential times have no memory, so drawing anew from here loses nothing.
            let from_ns = after_ns.saturating_add(self.rng.exponential(self.mean_gap_ns) as i64);
            let until_ns = from_ns.saturating_add(self.rng.exponential(self.mean_ns) as i64 + 1);
            self.drawn = Some((from_ns, until_ns));
        }
        self.next = match (self.next_given, self.drawn) {
            (Some(given), Some(drawn)) => Some(given.min(drawn)),
            (given, drawn) => given.or(drawn),
        };
    }
}

/// The first multiple of `every` after `from`.
fn next_multiple(from: i64, every: i64) -> i64 {
    (from.div_euclid(every) + 1) * every
}
