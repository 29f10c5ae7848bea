//! Changes of a book gathered over a period, as Binance's diff streams send them.
//!
//! What always holds: the diffs of one period follow each other without a hole in their ids.

use std::collections::BTreeMap;

use crossbook_engine::event::Level;
use crossbook_engine::units::{Price, Qty, TimestampNs};

use crate::binance::wire::Diff;

/// Changes since the last diff of this period.
#[derive(Debug, Default)]
pub struct Batch {
    ids: Option<(u64, u64)>,
    /// Last id of the diff that was sent before.
    before: u64,
    bids: BTreeMap<Price, Qty>,
    asks: BTreeMap<Price, Qty>,
}

impl Batch {
    /// Takes a change in.
    pub fn add(&mut self, first: u64, last: u64, bids: &[Level], asks: &[Level]) {
        let begin = self.ids.map_or(first, |(begin, _)| begin);
        if self.ids.is_none() && self.before == 0 {
            self.before = first.saturating_sub(1);
        }
        self.ids = Some((begin, last));
        self.bids.extend(bids.iter().map(|level| (level.price, level.qty)));
        self.asks.extend(asks.iter().map(|level| (level.price, level.qty)));
    }

    /// The diff to send now; `None` when nothing changed.
    pub fn take(&mut self, ts: TimestampNs) -> Option<Diff> {
        let (first, last) = self.ids.take()?;
        let levels = |side: BTreeMap<Price, Qty>| side.into_iter().map(|(price, qty)| Level { price, qty }).collect();
        let diff = Diff {
            ts,
            first,
            last,
            before: self.before,
            bids: levels(std::mem::take(&mut self.bids)),
            asks: levels(std::mem::take(&mut self.asks)),
        };
        self.before = last;
        Some(diff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(price: i64, qty: i64) -> Level {
        Level {
            price: Price::from_raw(price).unwrap(),
            qty: Qty::from_raw(qty).unwrap(),
        }
    }

    #[test]
    fn diffs_follow_each_other_and_the_last_quantity_wins() {
        let mut batch = Batch::default();
        assert_eq!(batch.take(TimestampNs(0)), None);
        batch.add(11, 12, &[level(5, 1), level(4, 2)], &[]);
        batch.add(13, 13, &[level(5, 0)], &[level(7, 3)]);
        let diff = batch.take(TimestampNs(1)).unwrap();
        assert_eq!((diff.first, diff.last, diff.before), (11, 13, 10));
        assert_eq!(diff.bids, [level(4, 2), level(5, 0)]);
        assert_eq!(diff.asks, [level(7, 3)]);
        batch.add(14, 20, &[], &[level(7, 1)]);
        let diff = batch.take(TimestampNs(2)).unwrap();
        assert_eq!((diff.first, diff.last, diff.before), (14, 20, 13));
        assert_eq!(diff.bids, []);
    }
}
