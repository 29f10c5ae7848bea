//! Premium, fair premium, and executable spreads between two books.
//!
//! Spreads are ratios of exact integers, computed in `f64` by basic IEEE operations in a fixed order and rounded to
//! [`Bps`] before anything is compared, so every machine decides alike. With `sell A, buy B` as the direction:
//! `open = sellA / (buyB * fx) - 1` and `close = buyA / (sellB * fx) - 1`; for the other direction both change their sign,
//! so that a larger `open` is always better to enter and a smaller `close` always better to leave.

use crate::book::{Book, BookSide};
use crate::event::Level;
use crate::instrument::Side;
use crate::order::Leg;
use crate::records::Direction;
use crate::units::{Bps, Price, Qty, TimestampNs};

/// Which price counts as executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FillModel {
    /// Walk the book for the size: what the size really gets.
    #[default]
    Walk,
    /// The best price for any size, as naive back-testers do. For comparison only.
    Top,
}

/// The best prices of both books and the exchange rate between their quote currencies, at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tops {
    bid_a: f64,
    ask_a: f64,
    bid_b: f64,
    ask_b: f64,
    /// Units of A's quote currency per unit of B's.
    fx: f64,
}

impl Tops {
    /// From `(bid, ask)` of both books; `fx` in units of A's quote per unit of B's.
    #[inline]
    pub fn new(a: (Level, Level), b: (Level, Level), fx: f64) -> Tops {
        Tops {
            bid_a: a.0.price.raw() as f64,
            ask_a: a.1.price.raw() as f64,
            bid_b: b.0.price.raw() as f64,
            ask_b: b.1.price.raw() as f64,
            fx,
        }
    }

    /// Mid of A over mid of B, converted, minus one.
    #[inline]
    pub fn premium_ratio(&self) -> f64 {
        (self.bid_a + self.ask_a) / ((self.bid_b + self.ask_b) * self.fx) - 1.0
    }

    /// The spread at best prices for entering: no size gets a better one.
    #[inline]
    pub fn open_bound(&self, direction: Direction) -> Bps {
        match direction {
            Direction::SellA => Bps::from_ratio(self.bid_a / (self.ask_b * self.fx) - 1.0),
            Direction::BuyA => -Bps::from_ratio(self.ask_a / (self.bid_b * self.fx) - 1.0),
        }
    }

    /// The spread for entering when one leg rests at the best price of its own side and the other takes.
    #[inline]
    pub fn open_resting(&self, direction: Direction, maker: Leg) -> Bps {
        let ratio = match (direction, maker) {
            (Direction::SellA, Leg::A) => self.ask_a / (self.ask_b * self.fx),
            (Direction::SellA, Leg::B) => self.bid_a / (self.bid_b * self.fx),
            (Direction::BuyA, Leg::A) => self.bid_a / (self.bid_b * self.fx),
            (Direction::BuyA, Leg::B) => self.ask_a / (self.ask_b * self.fx),
        };
        signed(direction, ratio)
    }

    /// The same when the resting leg was posted at this price.
    #[inline]
    pub fn open_posted(&self, direction: Direction, maker: Leg, posted: Price) -> Bps {
        let posted = posted.raw() as f64;
        let ratio = match (direction, maker) {
            (Direction::SellA, Leg::A) => posted / (self.ask_b * self.fx),
            (Direction::SellA, Leg::B) => self.bid_a / (posted * self.fx),
            (Direction::BuyA, Leg::A) => posted / (self.bid_b * self.fx),
            (Direction::BuyA, Leg::B) => self.ask_a / (posted * self.fx),
        };
        signed(direction, ratio)
    }

    /// Best prices of A and B for leaving, and units of A's quote currency per unit of B's.
    #[inline]
    pub(crate) fn closing(&self, direction: Direction) -> ((f64, f64), f64) {
        let best = match direction {
            Direction::SellA => (self.ask_a, self.bid_b),
            Direction::BuyA => (self.bid_a, self.ask_b),
        };
        (best, self.fx)
    }

    /// The spread at best prices for leaving: no size gets a better (smaller) one.
    #[inline]
    pub fn close_bound(&self, direction: Direction) -> Bps {
        match direction {
            Direction::SellA => Bps::from_ratio(self.ask_a / (self.bid_b * self.fx) - 1.0),
            Direction::BuyA => -Bps::from_ratio(self.bid_a / (self.ask_b * self.fx) - 1.0),
        }
    }
}

fn signed(direction: Direction, ratio: f64) -> Bps {
    match direction {
        Direction::SellA => Bps::from_ratio(ratio - 1.0),
        Direction::BuyA => -Bps::from_ratio(ratio - 1.0),
    }
}

/// Which way each leg trades to enter in this direction: A, then B. To leave, both turn round.
#[inline]
pub const fn entry_sides(direction: Direction) -> (Side, Side) {
    match direction {
        Direction::SellA => (Side::Sell, Side::Buy),
        Direction::BuyA => (Side::Buy, Side::Sell),
    }
}

/// Average prices at which both legs can trade a quantity now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Executable {
    /// Quantity that both books hold, at most what was asked for.
    pub qty: Qty,
    /// Average price on A, in 1e-8 of its quote currency.
    pub a: f64,
    /// Average price on B, in 1e-8 of its quote currency.
    pub b: f64,
}

impl Executable {
    /// The spread in the direction's own sign: `±(a / (b * fx) - 1)`.
    #[inline]
    pub fn spread(&self, direction: Direction, fx: f64) -> Bps {
        let bps = Bps::from_ratio(self.a / (self.b * fx) - 1.0);
        match direction {
            Direction::SellA => bps,
            Direction::BuyA => -bps,
        }
    }
}

/// Average prices of trading `qty` on both books now; with [`FillModel::Walk`] for as much of it as both hold.
/// `None` when one side is empty.
pub fn executable(a: &Book, side_a: Side, b: &Book, side_b: Side, qty: Qty, model: FillModel) -> Option<Executable> {
    if model == FillModel::Top {
        let best = |book: &Book, side| {
            book.best(BookSide::taken_by(side))
                .map(|level| level.price.raw() as f64)
        };
        return Some(Executable {
            qty,
            a: best(a, side_a)?,
            b: best(b, side_b)?,
        });
    }
    let whole_a = a.walk(side_a, qty, None)?;
    let whole_b = b.walk(side_b, qty, None)?;
    let there = whole_a.filled.min(whole_b.filled);
    let cost_a = if whole_a.filled == there {
        whole_a.cost
    } else {
        a.walk(side_a, there, None)?.cost
    };
    let cost_b = if whole_b.filled == there {
        whole_b.cost
    } else {
        b.walk(side_b, there, None)?.cost
    };
    let units = there.raw() as f64;
    Some(Executable {
        qty: there,
        a: cost_a as f64 / units,
        b: cost_b as f64 / units,
    })
}

/// How the reference is found to which the premium is expected to return.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FairModel {
    /// Always zero.
    Zero,
    /// A constant.
    Constant(Bps),
    /// Exponentially weighted mean of the premium.
    Ewma {
        /// Time after which an observation has lost half its weight, in nanoseconds.
        half_life_ns: i64,
    },
}

/// The fair premium of one route.
#[derive(Debug, Clone)]
pub struct FairPremium {
    model: FairModel,
    /// The EWMA as a ratio; only used by that model.
    mean: f64,
    tau_ns: f64,
    seen: Option<TimestampNs>,
    value: Bps,
}

impl FairPremium {
    /// Before any observation.
    pub fn new(model: FairModel) -> FairPremium {
        let tau_ns = match model {
            FairModel::Ewma { half_life_ns } => half_life_ns as f64 / std::f64::consts::LN_2,
            FairModel::Zero | FairModel::Constant(_) => 0.0,
        };
        let value = match model {
            FairModel::Constant(value) => value,
            FairModel::Zero | FairModel::Ewma { .. } => Bps::ZERO,
        };
        FairPremium {
            model,
            mean: 0.0,
            tau_ns,
            seen: None,
            value,
        }
    }

    /// Takes in the premium of this instant and gives the fair premium.
    ///
    /// The EWMA moves by `dt / (tau + dt)` of the difference, `tau = half life / ln 2`: the implicit Euler step of
    /// `df = (p - f) dt / tau`. It needs only basic operations, never overshoots, and is the exponential for small steps.
    #[inline]
    pub fn update(&mut self, now: TimestampNs, tops: &Tops) -> Bps {
        if let FairModel::Ewma { .. } = self.model {
            self.observe(now, tops.premium_ratio());
        }
        self.value
    }

    /// The same for a premium that is known already.
    #[inline]
    pub(crate) fn observe(&mut self, now: TimestampNs, premium: f64) -> Bps {
        if let FairModel::Ewma { .. } = self.model {
            match self.seen {
                Some(before) => {
                    let dt = now.since(before) as f64;
                    self.mean += (premium - self.mean) * (dt / (self.tau_ns + dt));
                }
                None => self.mean = premium,
            }
            self.seen = Some(now);
            self.value = Bps::from_ratio(self.mean);
        }
        self.value
    }

    /// The newest value.
    #[inline]
    pub fn value(&self) -> Bps {
        self.value
    }

    /// Where the mean stands, as a ratio, and since when.
    #[inline]
    pub(crate) fn mean(&self) -> (f64, Option<TimestampNs>) {
        (self.mean, self.seen)
    }

    /// Puts it where [`FairPremium::mean`] found another of the same model.
    #[inline]
    pub(crate) fn set_mean(&mut self, mean: f64, seen: Option<TimestampNs>) {
        (self.mean, self.seen) = (mean, seen);
        if seen.is_some() {
            self.value = Bps::from_ratio(mean);
        }
    }

    /// The half-life, if it has one.
    pub(crate) fn half_life_ns(&self) -> Option<i64> {
        match self.model {
            FairModel::Ewma { half_life_ns } => Some(half_life_ns),
            FairModel::Zero | FairModel::Constant(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: Price::from_raw(price).unwrap(),
            qty: Qty::from_raw(qty).unwrap(),
        }
    }

    fn book(bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Book {
        let of = |rows: &[(i64, i64)]| rows.iter().map(|&(p, q)| level(p, q)).collect::<Vec<_>>();
        let mut book = Book::default();
        let (bids, asks) = (of(bids), of(asks));
        let kind = EventKind::Snapshot {
            bids: &bids,
            asks: &asks,
            complete: true,
        };
        book.apply(TimestampNs(0), TimestampNs(0), &kind);
        book
    }

    #[test]
    fn both_directions_are_better_when_larger_to_open_and_smaller_to_close() {
        // A trades 1 % above B at a rate of 2.
        let a = book(&[(202_000, 10)], &[(202_200, 10)]);
        let b = book(&[(99_900, 10)], &[(100_000, 10)]);
        let tops = Tops::new(a.top().unwrap(), b.top().unwrap(), 2.0);
        assert_eq!(tops.open_bound(Direction::SellA), Bps::from_bps(100.0));
        assert_eq!(tops.close_bound(Direction::BuyA), -Bps::from_bps(100.0));
        let undo = 202_200.0 / (99_900.0 * 2.0) - 1.0;
        assert_eq!(tops.close_bound(Direction::SellA), Bps::from_ratio(undo));
        assert_eq!(tops.open_bound(Direction::BuyA), -Bps::from_ratio(undo));
        let premium = (202_000.0 + 202_200.0) / ((99_900.0 + 100_000.0) * 2.0) - 1.0;
        assert_eq!(tops.premium_ratio(), premium);
    }

    #[test]
    fn the_size_walks_both_books_and_the_thinner_one_caps_it() {
        let a = book(&[(200, 10), (190, 10)], &[(210, 10)]);
        let b = book(&[(90, 5)], &[(100, 5), (110, 5), (120, 20)]);
        let qty = Qty::from_raw(20).unwrap();
        let got = executable(&a, Side::Sell, &b, Side::Buy, qty, FillModel::Walk).unwrap();
        assert_eq!(got.qty.raw(), 20);
        assert_eq!(got.a, 195.0);
        assert_eq!(got.b, (500.0 + 550.0 + 1200.0) / 20.0);
        let top = executable(&a, Side::Sell, &b, Side::Buy, qty, FillModel::Top).unwrap();
        assert_eq!((top.qty.raw(), top.a, top.b), (20, 200.0, 100.0));
        let capped = executable(&a, Side::Buy, &b, Side::Sell, qty, FillModel::Walk).unwrap();
        assert_eq!((capped.qty.raw(), capped.a, capped.b), (5, 210.0, 90.0));
    }

    #[test]
    fn the_ewma_halves_its_distance_about_every_half_life() {
        let book = book(&[(99, 1)], &[(101, 1)]);
        let top = book.top().unwrap();
        let flat = |fx: f64| Tops::new(top, top, fx);
        let mut fair = FairPremium::new(FairModel::Ewma {
            half_life_ns: 1_000_000,
        });
        assert_eq!(fair.update(TimestampNs(0), &flat(1.0)), Bps::ZERO);
        for step in 1..=1_000 {
            fair.update(TimestampNs(step * 1_000), &flat(0.5)); // premium 1.0
        }
        assert!((fair.value().to_ratio() - 0.5).abs() < 1e-3, "{}", fair.value());
        assert_eq!(
            FairPremium::new(FairModel::Zero).update(TimestampNs(9), &flat(0.5)),
            Bps::ZERO
        );
        let constant = Bps::from_bps(12.5);
        assert_eq!(
            FairPremium::new(FairModel::Constant(constant)).update(TimestampNs(9), &flat(0.5)),
            constant
        );
    }
}
