//! Where a resting order stands in the queue at its price, as far as aggregated data can tell.
//!
//! The two models are those of the field: hftbacktest's `RiskAdverseQueueModel` and `ProbQueueModel` with a power
//! function (its documentation, "Queue Models", read 2026-11-21; the idea is from quant.stackexchange.com/questions/3782).

use super::config::QueueModel;
use crate::units::Qty;

/// A place in a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queue {
    /// Quantity ahead of us; `None` while the quantity at our price is unknown.
    ahead: Option<Qty>,
    /// Trades at our price since the last book message: its decrease contains them, so they must not count twice.
    traded: Qty,
    /// Quantity at our price before the message being applied, if known.
    before: Option<Qty>,
}

impl Queue {
    /// Behind everything that rests at the price.
    pub(super) fn behind(resting: Option<Qty>) -> Queue {
        Queue {
            ahead: resting,
            traded: Qty::ZERO,
            before: None,
        }
    }

    /// A trade at our price: what of it reaches past the queue ahead. Nothing, while the queue is unknown.
    pub(super) fn trade(&mut self, qty: Qty) -> Qty {
        self.traded = self.traded.checked_add(qty).unwrap_or(self.traded);
        match self.ahead {
            None => Qty::ZERO,
            Some(ahead) => {
                self.ahead = Some(ahead.saturating_sub(qty));
                qty.saturating_sub(ahead)
            }
        }
    }

    /// The quantity at our price before a book message; `None` when it was not known.
    pub(super) fn before(&mut self, qty: Option<Qty>) {
        self.before = qty;
    }

    /// The quantity at our price after it.
    pub(super) fn after(&mut self, qty: Qty, model: QueueModel) {
        let traded = std::mem::replace(&mut self.traded, Qty::ZERO);
        let Some(ahead) = self.ahead else {
            self.ahead = Some(qty);
            return;
        };
        let ahead = match (model, self.before) {
            (QueueModel::Prob { exponent }, Some(before)) => {
                let decrease = before.saturating_sub(qty).saturating_sub(traded);
                ahead.saturating_sub(ahead_of_us(exponent, ahead, before, decrease))
            }
            _ => ahead,
        };
        // Nobody can stand ahead of us beyond what is there at all.
        self.ahead = Some(ahead.min(qty));
    }
}

/// How much of a decrease was ahead of us: `decrease * front^n / (back^n + front^n)`, and what the quantity behind
/// cannot account for. Rounded down, so that we never stand too far in front.
fn ahead_of_us(exponent: f64, front: Qty, total: Qty, decrease: Qty) -> Qty {
    if decrease.is_zero() || front.is_zero() {
        return Qty::ZERO;
    }
    let back = total.saturating_sub(front);
    // Ratios of the total keep the powers in range; fixed operations on fixed inputs give the same bits everywhere.
    let scale = front.raw().max(total.raw()) as f64;
    let power = |qty: Qty| libm::pow(qty.raw() as f64 / scale, exponent);
    let (front_power, back_power) = (power(front), power(back));
    let sum = front_power + back_power;
    let share = if sum > 0.0 { front_power / sum } else { 1.0 };
    let shared = ((decrease.raw() as f64 * share) as i64).clamp(0, decrease.raw());
    let behind = decrease.raw() - shared;
    let excess = (behind - back.raw()).max(0);
    Qty::from_raw(shared.saturating_add(excess).min(decrease.raw())).unwrap_or(Qty::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qty(raw: i64) -> Qty {
        Qty::from_raw(raw).unwrap()
    }

    #[test]
    fn a_decrease_is_shared_by_the_power_of_front_and_back() {
        let cases = [
            // exponent, front, total, decrease, of it ahead
            (1.0, 50, 100, 20, 10),
            (1.0, 25, 100, 20, 5),
            (2.0, 25, 100, 20, 2),   // 625 / (5625 + 625) = 0.1
            (3.0, 50, 100, 20, 10),  // the middle stays the middle
            (1.0, 100, 100, 30, 30), // nothing behind us: all of it was ahead
            (1.0, 0, 100, 30, 0),    // at the front
            (3.0, 90, 100, 60, 59),  // 729/730 of it ahead: 59.9, rounded down
            (8.0, 40, 100, 90, 30),  // 0.4^8 / (0.4^8 + 0.6^8) = 0.0376: 3 by share, and 87 - 60 that cannot be behind
        ];
        for (exponent, front, total, decrease, want) in cases {
            let got = ahead_of_us(exponent, qty(front), qty(total), qty(decrease));
            assert_eq!(got, qty(want), "n {exponent} front {front} of {total}, -{decrease}");
        }
    }

    #[test]
    fn trades_and_decreases_are_not_counted_twice() {
        let model = QueueModel::Prob { exponent: 1.0 };
        let mut queue = Queue::behind(Some(qty(40)));
        assert_eq!(queue.trade(qty(10)), Qty::ZERO);
        assert_eq!(queue.ahead, Some(qty(30)));
        // 100 -> 84: 10 of the 16 are the trade; of the 6 left, 30 / 100 were ahead: 1.8, so 1.
        queue.before(Some(qty(100)));
        queue.after(qty(84), model);
        assert_eq!(queue.ahead, Some(qty(29)));
        // An increase joins behind us.
        queue.before(Some(qty(84)));
        queue.after(qty(200), model);
        assert_eq!(queue.ahead, Some(qty(29)));
        // The level shrank below what we thought was ahead.
        queue.before(None);
        queue.after(qty(5), model);
        assert_eq!(queue.ahead, Some(qty(5)));
        assert_eq!(queue.trade(qty(7)), qty(2));
    }

    #[test]
    fn the_risk_adverse_queue_moves_by_trades_alone() {
        let mut queue = Queue::behind(Some(qty(40)));
        queue.before(Some(qty(40)));
        queue.after(qty(100), QueueModel::RiskAdverse);
        queue.before(Some(qty(100)));
        queue.after(qty(60), QueueModel::RiskAdverse);
        assert_eq!(queue.ahead, Some(qty(40)));
        assert_eq!(queue.trade(qty(41)), qty(1));
    }

    #[test]
    fn an_unknown_queue_gives_nothing_until_it_is_seen() {
        let mut queue = Queue::behind(None);
        assert_eq!(queue.trade(qty(1_000)), Qty::ZERO);
        queue.after(qty(30), QueueModel::RiskAdverse);
        assert_eq!(queue.trade(qty(31)), qty(1));
    }
}
