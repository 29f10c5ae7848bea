//! One instrument as its venue has it: the recorded book, what we took from it, and our resting orders.

use super::config::QueueModel;
use super::queue::Queue;
use crate::book::{Book, BookSide};
use crate::event::{EventKind, Level};
use crate::instrument::Side;
use crate::order::{Order, Reject};
use crate::units::{Price, Qty, TimestampNs};

/// The venue's side of an instrument.
#[derive(Debug, Default)]
pub(super) struct Market {
    pub(super) book: Book,
    /// Whether the book follows the venue's timeline; a cold one is started again from the receiver's when needed.
    pub(super) hot: bool,
    /// Up to when it has followed.
    pub(super) tracked_to: TimestampNs,
    /// The venue's next event, as far as known; only kept while orders rest.
    pub(super) next_event: Option<TimestampNs>,
    /// Orders on their way here.
    pub(super) inbound: usize,
    /// What we took, per level, until the level is refreshed.
    taken: Vec<Taken>,
    /// Our resting orders, by arrival.
    pub(super) resting: Vec<Resting>,
    /// Fills of resting orders that are still to be settled, in the order in which they happened.
    pub(super) executions: Vec<Execution>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    side: BookSide,
    price: Price,
    qty: Qty,
}

/// An order on the book.
#[derive(Debug, Clone)]
pub(super) struct Resting {
    pub(super) order: Order,
    pub(super) price: Price,
    pub(super) left: Qty,
    pub(super) queue: Queue,
    pub(super) report_normal: f64,
    pub(super) cancel_ns: i64,
}

/// A fill of a resting order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Execution {
    pub(super) order: Order,
    pub(super) price: Price,
    pub(super) qty: Qty,
    pub(super) ts: TimestampNs,
    /// Whether that was all of it.
    pub(super) done: bool,
    pub(super) report_normal: f64,
}

impl Resting {
    pub(super) fn side(&self) -> BookSide {
        match self.order.side {
            Side::Buy => BookSide::Bid,
            Side::Sell => BookSide::Ask,
        }
    }

    /// Whether a price of the other side reaches ours, or goes beyond it.
    fn is_reached_by(&self, price: Price) -> bool {
        match self.order.side {
            Side::Buy => price <= self.price,
            Side::Sell => price >= self.price,
        }
    }
}

impl Market {
    /// Applies the venue's next event.
    pub(super) fn apply(
        &mut self,
        ts_event: TimestampNs,
        ts_recv: TimestampNs,
        event: &EventKind<'_>,
        model: QueueModel,
        lot: Qty,
    ) {
        match *event {
            EventKind::Update { .. } | EventKind::Snapshot { .. } => self.pass(event),
            EventKind::Trade { price, qty, taker } => {
                self.trade(ts_event, price, qty, taker, lot);
                return;
            }
            EventKind::Status(_) | EventKind::Fx(_) | EventKind::Funding { .. } => {
                self.book.apply(ts_event, ts_recv, event);
                return;
            }
        }
        for resting in &mut self.resting {
            let side = resting.side();
            let known = self.book.is_trusted(side, resting.price);
            let before = known.then(|| self.book.qty_at(side, resting.price));
            resting.queue.before(before);
        }
        self.book.apply(ts_event, ts_recv, event);
        for resting in &mut self.resting {
            let side = resting.side();
            if self.book.is_trusted(side, resting.price) {
                resting.queue.after(self.book.qty_at(side, resting.price), model);
            }
        }
        self.fill_crossed(ts_event);
    }

    /// Forgets what was taken from the levels that a book message names.
    #[inline]
    pub(super) fn pass(&mut self, event: &EventKind<'_>) {
        match *event {
            EventKind::Update { bids, asks } => self.refresh(bids, asks),
            EventKind::Snapshot { .. } => self.taken.clear(),
            EventKind::Trade { .. } | EventKind::Status(_) | EventKind::Fx(_) | EventKind::Funding { .. } => {}
        }
    }

    /// Forgets what was taken from the levels that an update names.
    fn refresh(&mut self, bids: &[Level], asks: &[Level]) {
        if self.taken.is_empty() {
            return;
        }
        self.taken.retain(|taken| {
            let named = match taken.side {
                BookSide::Bid => bids,
                BookSide::Ask => asks,
            };
            named.iter().all(|level| level.price != taken.price)
        });
    }

    /// A trade between others: through our price it fills us, at our price it works off the queue first.
    fn trade(&mut self, ts: TimestampNs, price: Price, qty: Qty, taker: Side, lot: Qty) {
        // What this trade has already given to our earlier orders at its price.
        let mut given = Qty::ZERO;
        for resting in &mut self.resting {
            if resting.order.side == taker || !resting.is_reached_by(price) {
                continue;
            }
            let fill = if price == resting.price {
                let reached = resting.queue.trade(qty).saturating_sub(given);
                let fill = resting.left.min(reached.floor_to(lot));
                given = given.checked_add(fill).unwrap_or(qty);
                fill
            } else {
                resting.left
            };
            execute(&mut self.executions, resting, fill, ts);
        }
        self.resting.retain(|resting| !resting.left.is_zero());
    }

    /// The other side has come to our price: whoever quotes there would have met us first.
    fn fill_crossed(&mut self, ts: TimestampNs) {
        if self.resting.is_empty() || self.book.is_crossed() || !self.book.is_synced() {
            return;
        }
        for resting in &mut self.resting {
            let opposite = BookSide::taken_by(resting.order.side);
            let crossed = self
                .book
                .best(opposite)
                .is_some_and(|best| self.book.is_trusted(opposite, best.price) && resting.is_reached_by(best.price));
            if crossed {
                let left = resting.left;
                execute(&mut self.executions, resting, left, ts);
            }
        }
        self.resting.retain(|resting| !resting.left.is_zero());
    }

    /// Whether the venue can match now; if not, how it refuses.
    pub(super) fn refusal(&self) -> Option<Reject> {
        match (self.book.is_synced(), self.book.is_feed_up()) {
            (false, false) => Some(Reject::VenueDown),
            (true, true) if !self.book.is_crossed() => None,
            _ => Some(Reject::NoBook),
        }
    }

    /// Best level of a side that can be trusted, as recorded.
    pub(super) fn best(&self, side: BookSide) -> Option<Level> {
        self.book.levels(side).next()
    }

    /// Mid of a book that can be priced, rounded down to 1e-8.
    pub(super) fn mid(&self) -> Option<Price> {
        let (bid, ask) = self.book.top().ok()?;
        let sum = i128::from(bid.price.raw()) + i128::from(ask.price.raw());
        i64::try_from(sum / 2).ok().and_then(|raw| Price::from_raw(raw).ok())
    }

    /// Walks what is left for a taker after what we took before; `fill` is told each level's price and our share.
    pub(super) fn walk(&self, taker: Side, qty: Qty, limit: Option<Price>, mut fill: impl FnMut(Price, Qty)) -> Qty {
        let side = BookSide::taken_by(taker);
        let mut left = qty;
        for level in self.book.levels(side) {
            let beyond = limit.is_some_and(|limit| match taker {
                Side::Buy => level.price > limit,
                Side::Sell => level.price < limit,
            });
            if left.is_zero() || beyond {
                break;
            }
            let share = left.min(level.qty.saturating_sub(self.taken_at(side, level.price)));
            if !share.is_zero() {
                fill(level.price, share);
                left = left.saturating_sub(share);
            }
        }
        left
    }

    fn taken_at(&self, side: BookSide, price: Price) -> Qty {
        self.taken
            .iter()
            .find(|taken| taken.side == side && taken.price == price)
            .map_or(Qty::ZERO, |taken| taken.qty)
    }

    /// Remembers that we took this much of a level.
    pub(super) fn take(&mut self, taker: Side, price: Price, qty: Qty) {
        let side = BookSide::taken_by(taker);
        match self
            .taken
            .iter_mut()
            .find(|taken| taken.side == side && taken.price == price)
        {
            // A walk never takes more than is there, so the sum is a quantity that the book holds.
            Some(taken) => taken.qty = taken.qty.checked_add(qty).unwrap_or(taken.qty),
            None => self.taken.push(Taken { side, price, qty }),
        }
    }

    /// Whether something that we took has not been refreshed yet.
    pub(super) fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// How old the newest book message was when it was received.
    pub(super) fn delay_ns(&self) -> i64 {
        if self.book.ts_event() == TimestampNs::MIN {
            0
        } else {
            self.book.ts_recv().since(self.book.ts_event()).max(0)
        }
    }
}

fn execute(executions: &mut Vec<Execution>, resting: &mut Resting, qty: Qty, ts: TimestampNs) {
    if qty.is_zero() {
        return;
    }
    resting.left = resting.left.saturating_sub(qty);
    executions.push(Execution {
        order: resting.order,
        price: resting.price,
        qty,
        ts,
        done: resting.left.is_zero(),
        report_normal: resting.report_normal,
    });
}
