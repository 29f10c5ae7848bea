//! Books laid over real minute candles.
//!
//! Within a minute both venues walk the same shape: open, the two extremes in one order, close, at the same instants and
//! with the same progress in between, each between its own four prices. So nothing but the candles themselves makes a
//! premium inside the minute. A minute without a candle has no quotes: the feed is disconnected, nothing is
//! interpolated. `docs/synthetic.md` says what of this is real.

use std::iter::Peekable;

use crossbook_engine::instrument::TickRule;
use crossbook_engine::rng::Rng;
use crossbook_engine::units::{Price, TimestampNs};

use super::candle_files::{Candle, CandleError, MINUTE_NS};
use super::publisher::Publisher;
use super::spec::{MarketSpec, Spec, SpecError};
use super::{Sink, SynthError};

/// Progress within a leg of the path counts from zero to this.
const WHOLE: i128 = 1 << 20;

/// Makes books over the minute candles of A and B and hands their messages to the sink.
///
/// # Errors
/// A specification out of range or without `candles`, a candle that cannot be read or is off the grid of prices, or
/// whatever the sink returns.
pub fn lay_over_candles<E>(
    spec: &Spec,
    a: &mut dyn Iterator<Item = Result<Candle, CandleError>>,
    b: &mut dyn Iterator<Item = Result<Candle, CandleError>>,
    sink: &mut Sink<'_, E>,
) -> Result<(), SynthError<E>> {
    spec.check()?;
    if spec.candles.is_none() {
        return Err(SynthError::Spec(SpecError::Rule {
            key: "candles".to_owned(),
            rule: "missing: books over candles need it".to_owned(),
        }));
    }
    let from_ns = spec.from_ns()?.unwrap_or(i64::MIN);
    let to_ns = match spec.duration_s {
        Some(duration_s) => from_ns.saturating_add_unsigned(duration_s * 1_000_000_000),
        None => i64::MAX,
    };
    let inside = |candle: &Result<Candle, CandleError>| match candle {
        Ok(candle) => (from_ns..to_ns).contains(&candle.minute.0),
        Err(_) => true,
    };
    let mut a = Venue::new(0, "a", &spec.a, spec.seed, a.filter(inside).peekable());
    let mut b = Venue::new(1, "b", &spec.b, spec.seed, b.filter(inside).peekable());
    let slow_ms = spec.a.every_ms.max(spec.b.every_ms);

    while let Some(minute) = [a.next_minute()?, b.next_minute()?].into_iter().flatten().min() {
        let candles = (a.take(minute)?, b.take(minute)?);
        // B's candle says which extreme comes first, for both: it is the venue that the other follows.
        if let Some(guide) = candles.1.or(candles.0) {
            let shape = MinuteShape::draw(60_000 / slow_ms, guide.close >= guide.open, minute, spec.seed);
            a.minute(minute, candles.0, &shape, slow_ms, sink)?;
            b.minute(minute, candles.1, &shape, slow_ms, sink)?;
        }
    }
    Ok(())
}

/// When a minute's extremes come, and how the path gets from one price to the next: the same for both venues.
struct MinuteShape {
    low_first: bool,
    /// For each instant of the slower venue: which leg of the path (0, 1, 2), and how much of it is done.
    points: Vec<(usize, i128)>,
}

impl MinuteShape {
    /// `count` instants, at least four; the extremes fall on two of those between the first and the last.
    fn draw(count: u64, low_first: bool, minute: TimestampNs, seed: u64) -> MinuteShape {
        let mut rng = Rng::stream(seed, &format!("candles.{}", minute.0 / MINUTE_NS));
        let one = 1 + rng.below(count - 2);
        let other = 1 + rng.below(count - 3);
        let other = if other >= one { other + 1 } else { other };
        let anchors = [0, one.min(other), one.max(other), count - 1];
        let mut points = vec![(0, 0)];
        for (leg, ends) in anchors.windows(2).enumerate() {
            let steps: Vec<u64> = (ends[0]..ends[1]).map(|_| 1 + rng.below(1_000)).collect();
            let total: u64 = steps.iter().sum();
            let mut done = 0;
            for step in steps {
                done += step;
                points.push((leg, WHOLE * i128::from(done) / i128::from(total)));
            }
        }
        MinuteShape { low_first, points }
    }

    /// The price at an instant, before it is put on the grid, and whether it is one of the candle's own four.
    fn price(&self, index: usize, candle: &Candle) -> (i64, bool) {
        let (first, second) = if self.low_first {
            (candle.low, candle.high)
        } else {
            (candle.high, candle.low)
        };
        let path = [candle.open, first, second, candle.close].map(Price::raw);
        let (leg, done) = self.points[index.min(self.points.len() - 1)];
        let raw = i128::from(path[leg]) + (i128::from(path[leg + 1]) - i128::from(path[leg])) * done / WHOLE;
        // Between two prices that fit, so it fits.
        (raw as i64, done == 0 || done == WHOLE)
    }
}

struct Venue<I: Iterator> {
    key: &'static str,
    publisher: Publisher,
    tick: TickRule,
    every_ms: u64,
    seed: u64,
    candles: Peekable<I>,
    /// The first instant without data, once there were some.
    end_ns: Option<i64>,
}

impl<I: Iterator<Item = Result<Candle, CandleError>>> Venue<I> {
    fn new(stream: usize, key: &'static str, spec: &MarketSpec, seed: u64, mut candles: Peekable<I>) -> Venue<I> {
        let from_ns = match candles.peek() {
            Some(Ok(first)) => first.minute.0,
            _ => 0,
        };
        Venue {
            key,
            publisher: Publisher::new(stream, key, spec, from_ns, seed),
            tick: spec.tick.rule(),
            every_ms: spec.every_ms,
            seed,
            candles,
            end_ns: None,
        }
    }

    fn next_minute(&mut self) -> Result<Option<TimestampNs>, CandleError> {
        match self.candles.next_if(Result::is_err) {
            Some(Err(error)) => Err(error),
            _ => Ok(match self.candles.peek() {
                Some(Ok(candle)) => Some(candle.minute),
                _ => None,
            }),
        }
    }

    fn take(&mut self, minute: TimestampNs) -> Result<Option<Candle>, CandleError> {
        self.candles
            .next_if(|next| next.as_ref().is_ok_and(|candle| candle.minute == minute))
            .transpose()
    }

    fn minute<E>(
        &mut self,
        minute: TimestampNs,
        candle: Option<Candle>,
        shape: &MinuteShape,
        slow_ms: u64,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), SynthError<E>> {
        if let Some(end_ns) = self.end_ns.filter(|&end_ns| end_ns < minute.0 || candle.is_none()) {
            self.publisher.advance(end_ns, 1, sink)?;
            self.publisher.close(end_ns, sink)?;
        }
        let Some(candle) = candle else { return Ok(()) };
        for price in [candle.open, candle.high, candle.low, candle.close] {
            if !self.tick.is_on_grid(price) {
                return Err(SynthError::Candles(CandleError::OffGrid {
                    key: self.key,
                    minute,
                    price,
                    tick: self.tick.tick_at(price),
                }));
            }
        }
        self.publisher.advance(minute.0, 1, sink)?;
        self.publisher.open(minute.0, sink)?;
        let mut rng = Rng::stream(self.seed, &format!("{}.candles.{}", self.key, minute.0 / MINUTE_NS));
        let per_slow = slow_ms / self.every_ms;
        for point in 0..60_000 / self.every_ms {
            let now_ns = minute.0 + (point * self.every_ms) as i64 * 1_000_000;
            let mid = self.mid(&candle, shape, point, per_slow, &mut rng);
            self.publisher.advance(now_ns, 1, sink)?;
            let touch = self.publisher.touch_exactly(mid).ok_or_else(|| SynthError::Price {
                key: self.key,
                at: TimestampNs(now_ns),
                price: mid.to_string(),
            })?;
            self.publisher.publish(now_ns, touch, sink)?;
        }
        self.end_ns = Some(minute.0 + MINUTE_NS);
        Ok(())
    }

    /// The mid at an instant of this venue, on the grid. The candle's own prices are met exactly; what lies between is
    /// rounded to one of its two neighbours by chance, nearer ones more likely, so that rounding has no bias.
    fn mid(&self, candle: &Candle, shape: &MinuteShape, point: u64, per_slow: u64, rng: &mut Rng) -> Price {
        let (index, part) = ((point / per_slow) as usize, (point % per_slow) as i64);
        let (here, exact) = shape.price(index, candle);
        let chance = rng.next_u64();
        let raw = if part == 0 {
            if exact {
                return Price::from_raw(here).unwrap_or(candle.open);
            }
            here
        } else {
            let (next, _) = shape.price(index + 1, candle);
            here + ((next - here) as i128 * i128::from(part) / i128::from(per_slow)) as i64
        };
        let tick = Price::from_raw(raw).map_or(1, |price| self.tick.tick_at(price).raw());
        let noise = ((u128::from(chance) * tick as u128) >> 64) as i64;
        let rounded = raw + noise - (raw + noise) % tick;
        Price::from_raw(rounded.clamp(candle.low.raw(), candle.high.raw())).unwrap_or(candle.open)
    }
}
