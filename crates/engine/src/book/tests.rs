use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn level(price: i64, qty: i64) -> Level {
    Level {
        price: Price::from_raw(price).unwrap(),
        qty: Qty::from_raw(qty).unwrap(),
    }
}

fn at(ts: i64) -> TimestampNs {
    TimestampNs(ts)
}

fn snapshot(bids: &[(i64, i64)], asks: &[(i64, i64)], complete: bool) -> Book {
    let mut book = Book::default();
    let bids: Vec<_> = bids.iter().map(|&(p, q)| level(p, q)).collect();
    let asks: Vec<_> = asks.iter().map(|&(p, q)| level(p, q)).collect();
    book.apply(
        at(1),
        at(2),
        &EventKind::Snapshot {
            bids: &bids,
            asks: &asks,
            complete,
        },
    );
    book
}

fn update(book: &mut Book, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
    let bids: Vec<_> = bids.iter().map(|&(p, q)| level(p, q)).collect();
    let asks: Vec<_> = asks.iter().map(|&(p, q)| level(p, q)).collect();
    book.apply(
        at(3),
        at(4),
        &EventKind::Update {
            bids: &bids,
            asks: &asks,
        },
    );
}

#[test]
fn a_book_is_doubtful_until_a_snapshot_and_after_a_gap() {
    let mut book = Book::default();
    update(&mut book, &[(100, 1)], &[(101, 1)]);
    assert_eq!(book.top(), Err(Doubt::NotSynced));
    let mut book = snapshot(&[(100, 1)], &[(101, 1)], true);
    assert!(book.top().is_ok());
    book.apply(at(5), at(6), &EventKind::Status(FeedStatus::Gap));
    assert_eq!(book.top(), Err(Doubt::NotSynced));
    book.apply(at(7), at(8), &EventKind::Status(FeedStatus::Connected));
    assert_eq!(book.top(), Err(Doubt::NotSynced), "a connection alone mends nothing");
    let fresh = snapshot(&[(100, 1)], &[(101, 1)], true);
    book.copy_from(&fresh);
    book.apply(at(9), at(10), &EventKind::Status(FeedStatus::Stale));
    assert_eq!(book.top(), Err(Doubt::FeedDown));
    book.apply(at(9), at(10), &EventKind::Status(FeedStatus::Connected));
    assert!(book.top().is_ok());
}

#[test]
fn crossed_locked_and_empty_books_price_nothing_and_are_counted() {
    type Side = &'static [(i64, i64)];
    let cases: [(Side, Side, Doubt, u64); 4] = [
        (&[(101, 1)], &[(101, 1)], Doubt::Crossed, 1),
        (&[(102, 1)], &[(101, 1)], Doubt::Crossed, 1),
        (&[], &[(101, 1)], Doubt::EmptySide, 0),
        (&[(100, 1)], &[], Doubt::EmptySide, 0),
    ];
    for (bids, asks, doubt, count) in cases {
        let book = snapshot(bids, asks, true);
        assert_eq!(book.top(), Err(doubt), "{bids:?} {asks:?}");
        assert_eq!(book.crossed_count(), count);
    }
}

#[test]
fn one_to_thirty_levels_walk_without_a_panic() {
    for depth in 1..=30 {
        let bids: Vec<_> = (0..depth).map(|k| (1_000 - k, 10)).collect();
        let asks: Vec<_> = (0..depth).map(|k| (1_001 + k, 10)).collect();
        let book = snapshot(&bids, &asks, false);
        let walk = book.walk(Side::Buy, Qty::from_raw(1_000).unwrap(), None).unwrap();
        assert_eq!(walk.filled.raw(), depth * 10);
        assert_eq!(walk.worst.raw(), 1_000 + depth);
    }
}

#[test]
fn size_outside_the_snapshots_range_is_not_executable() {
    let mut book = snapshot(&[(100, 1), (99, 1)], &[(101, 1), (102, 1)], false);
    update(&mut book, &[(98, 50)], &[(103, 50)]);
    let all = Qty::from_raw(100).unwrap();
    assert_eq!(book.walk(Side::Buy, all, None).unwrap().filled.raw(), 2);
    assert_eq!(book.walk(Side::Sell, all, None).unwrap().filled.raw(), 2);
    // The price walks out of the range: what is there now was never seen whole.
    update(&mut book, &[], &[(101, 0), (102, 0)]);
    assert_eq!(book.walk(Side::Buy, all, None), None);
    assert_eq!(book.top(), Err(Doubt::EmptySide));
    // A complete snapshot lifts the bound.
    let mut book = snapshot(&[(100, 1)], &[(101, 1)], true);
    update(&mut book, &[], &[(103, 50)]);
    assert_eq!(book.walk(Side::Buy, all, None).unwrap().filled.raw(), 51);
}

#[test]
fn what_the_other_side_has_swept_is_known() {
    let mut book = snapshot(&[(100, 1), (99, 1)], &[(101, 1), (102, 1)], false);
    // The market falls out of the bids that were seen, ...
    update(&mut book, &[(100, 0), (99, 0), (95, 3)], &[(97, 5)]);
    assert_eq!(book.top(), Err(Doubt::EmptySide), "98 to 96 have never been seen");
    // ... and comes back: bids from 97 on were none when the ask stood there, and the diffs have told all since.
    update(&mut book, &[(97, 2), (98, 7)], &[(97, 0), (101, 1)]);
    assert_eq!(book.top().unwrap().0, level(98, 7));
    let all = Qty::from_raw(100).unwrap();
    assert_eq!(
        book.walk(Side::Sell, all, None).unwrap().filled.raw(),
        9,
        "95 is still beyond what is known"
    );
    // The same on the other side; a crossed book teaches nothing.
    update(&mut book, &[(105, 1)], &[(106, 1)]);
    assert_eq!(book.top(), Err(Doubt::Crossed));
    update(&mut book, &[(105, 0)], &[(101, 0), (102, 0)]);
    assert_eq!(book.top(), Err(Doubt::EmptySide));
    update(&mut book, &[(105, 1)], &[]);
    update(&mut book, &[(105, 0)], &[(104, 2)]);
    assert_eq!(book.top().unwrap(), (level(98, 7), level(104, 2)));
    // A new snapshot begins anew.
    let fresh = snapshot(&[(100, 1)], &[(101, 1)], false);
    book.copy_from(&fresh);
    update(&mut book, &[(100, 0), (98, 7)], &[]);
    assert_eq!(book.top(), Err(Doubt::EmptySide));
}

#[test]
fn a_walk_stops_at_the_limit() {
    let book = snapshot(&[(100, 1)], &[(101, 1), (102, 1), (103, 1)], true);
    let walk = book
        .walk(
            Side::Buy,
            Qty::from_raw(3).unwrap(),
            Some(Price::from_raw(102).unwrap()),
        )
        .unwrap();
    assert_eq!((walk.filled.raw(), walk.cost, walk.worst.raw()), (2, 203, 102));
}

proptest! {
    /// Removals of unknown levels, zero quantities, the same level twice in a message and duplicates of a message:
    /// the book is what a map of last words says.
    #[test]
    fn book_equals_a_map_of_last_words(
        messages in prop::collection::vec(
            (prop::collection::vec((1i64..60, 0i64..4), 0..12), prop::collection::vec((61i64..120, 0i64..4), 0..12), any::<bool>()),
            1..40,
        )
    ) {
        let mut book = snapshot(&[], &[], true);
        let mut model: [BTreeMap<i64, i64>; 2] = Default::default();
        for (bids, asks, twice) in messages {
            for _ in 0..=usize::from(twice) {
                update(&mut book, &bids, &asks);
            }
            for (side, rows) in [(0, &bids), (1, &asks)] {
                for &(price, qty) in rows {
                    if qty == 0 { model[side].remove(&price); } else { model[side].insert(price, qty); }
                }
            }
            let seen: Vec<_> = book.levels(BookSide::Bid).map(|l| (l.price.raw(), l.qty.raw())).collect();
            let want: Vec<_> = model[0].iter().rev().map(|(&p, &q)| (p, q)).collect();
            prop_assert_eq!(seen, want);
            let seen: Vec<_> = book.levels(BookSide::Ask).map(|l| (l.price.raw(), l.qty.raw())).collect();
            let want: Vec<_> = model[1].iter().map(|(&p, &q)| (p, q)).collect();
            prop_assert_eq!(seen, want);
        }
    }

    /// A snapshot in any order is the same book, and a walk adds up level by level.
    #[test]
    fn snapshots_sort_and_walks_add_up(mut rows in prop::collection::btree_map(1i64..500, 1i64..50, 1..60), qty in 1i64..3_000) {
        let sorted: Vec<_> = rows.iter().map(|(&p, &q)| (p, q)).collect();
        let mut shuffled = sorted.clone();
        shuffled.reverse();
        shuffled.rotate_left(sorted.len() / 3);
        let a = snapshot(&[], &sorted, true);
        let b = snapshot(&[], &shuffled, true);
        prop_assert!(a.levels(BookSide::Ask).eq(b.levels(BookSide::Ask)));
        let walk = a.walk(Side::Buy, Qty::from_raw(qty).unwrap(), None).unwrap();
        let (mut left, mut cost) = (qty, 0i128);
        while left > 0 && let Some((price, there)) = rows.pop_first() {
            let take = left.min(there);
            cost += i128::from(price) * i128::from(take);
            left -= take;
        }
        prop_assert_eq!(walk.filled.raw(), qty - left);
        prop_assert_eq!(walk.cost, cost);
    }
}
