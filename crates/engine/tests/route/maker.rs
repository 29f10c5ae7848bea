//! Entries that rest on one leg: filled, hedged, taken back.

use crossbook_engine::engine::Target;
use crossbook_engine::event::FeedStatus;
use crossbook_engine::instrument::Side;
use crossbook_engine::order::Leg;
use crossbook_engine::strategy::{LegPolicy, State};
use crossbook_engine::units::{Bps, TimestampNs};

use crate::dsl::*;

/// Sells A from the ask of 101,100, behind the 10 that stand there; buys B.
fn resting_a(a: Tape, b: Tape) -> World {
    World::pair().strategy(|s| s.maker = Some(Leg::A)).tapes(a, b)
}

#[test]
fn a_whole_fill_is_hedged_at_once() {
    let ran = resting_a(
        wide_a(0)
            .trade(100, Side::Buy, "101200", "0.001")
            .top(1000, "99900", "100000"),
        wide_b(0).top(1000, "100", "100.1"),
    )
    .with(|w| {
        w.venues[0].maker_fee = bps(1.0);
        w.venues[0].taker_fee = bps(4.0);
    })
    .run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 post 101100 -> filled 1 at 110",
            "110 B entry buy 1 market -> filled 1 at 150",
            "1000 A exit buy 1 market -> filled 1 at 1020",
            "1000 B exit sell 1 market -> filled 1 at 1040",
        ]
    );
    assert_eq!(
        ran.fills(),
        [
            "100 A sell 1 @ 101100 fee 10.11 maker",
            "130 B buy 1 @ 100",
            "1010 A buy 1 @ 100000 fee 40",
            "1020 B sell 1 @ 100",
        ]
    );
    // The resting leg earned its half spread: slippage -50 + 50 + 50 + 50.
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 1049.89 = 1200 + 0 - 100 - 50.11 - 0"]
    );
    assert!(ran.cancels().is_empty());
}

#[test]
fn each_leg_may_rest_in_either_direction() {
    // (maker, buys A) and the resting order.
    let cases = [
        (Leg::A, false, "0 A entry sell 1 post 101100", "A 101200", Side::Buy),
        (Leg::B, false, "0 B entry buy 1 post 99.9", "B 99.8", Side::Sell),
        (Leg::A, true, "0 A entry buy 1 post 98900", "A 98800", Side::Sell),
        (Leg::B, true, "0 B entry sell 1 post 100.1", "B 100.2", Side::Buy),
    ];
    for (maker, buys_a, resting, through, taker) in cases {
        let (mut a, mut b) = if buys_a {
            (tape(0).top(0, "98900", "99000"), tape(0).top(0, "100", "100.1"))
        } else {
            (wide_a(0), wide_b(0))
        };
        match through.split_once(' ').unwrap() {
            ("A", at) => a = a.trade(100, taker, at, "1"),
            (_, at) => b = b.trade(100, taker, at, "1"),
        }
        let ran = World::pair()
            .strategy(|s| {
                (s.sell_a, s.buy_a) = (!buys_a, buys_a);
                s.maker = Some(maker);
            })
            .tapes(a, b)
            .run();
        let orders = ran.orders();
        assert!(orders[0].starts_with(resting), "{maker:?} {buys_a}: {orders:?}");
        assert!(orders[0].contains("filled 1"), "{orders:?}");
        let hedge = if buys_a == (maker == Leg::B) { "buy" } else { "sell" };
        let other = if maker == Leg::A { "B" } else { "A" };
        let hedge = if maker == Leg::A && !buys_a { "buy" } else { hedge };
        assert!(
            orders[1].contains(&format!("{other} entry {hedge} 1 market -> filled 1")),
            "{orders:?}"
        );
        assert_eq!(ran.engine.routes()[0].state(), State::Open);
        assert_eq!(orders.len(), 2);
    }
}

#[test]
fn the_hurdle_is_that_of_the_resting_price() {
    // Selling at the ask of 101,100 against 100 * 1000 is 110 bps: 60 of fees leave just the 50 asked for.
    for (fees, entries) in [(bps(60.0), 1), (bps(60.0) + Bps::from_raw(1), 0)] {
        let ran = resting_a(wide_a(0), wide_b(0))
            .with(|w| w.config.routes[0].fees = fees)
            .run();
        assert_eq!(ran.engine.counts().entries, entries);
    }
}

#[test]
fn a_rebate_is_booked_as_income() {
    let ran = resting_a(wide_a(0).trade(100, Side::Buy, "101200", "1"), wide_b(0))
        .with(|w| w.venues[0].maker_fee = bps(-1.0))
        .run();
    assert_eq!(ran.fills()[0], "100 A sell 1 @ 101100 fee -10.11 maker");
    assert_eq!(ran.balance(HOME, KRW), "10101110.11");
}

#[test]
fn partial_fills_are_hedged_as_they_come() {
    // 10 stand ahead: a trade of 10.4 reaches 0.4 of ours, the next 0.6 the rest.
    let a = wide_a(0)
        .trade(100, Side::Buy, "101100", "10.4")
        .trade(200, Side::Buy, "101100", "0.6");
    let ran = resting_a(a, wide_b(0)).run();
    assert_eq!(
        ran.orders(),
        [
            "110 B entry buy 0.4 market -> filled 0.4 at 150",
            "0 A entry sell 1 post 101100 -> filled 1 at 210",
            "210 B entry buy 0.6 market -> filled 0.6 at 250",
        ]
    );
    assert!(ran.cancels().is_empty());
    assert_eq!(ran.engine.routes()[0].position(), [-qty("1").raw(), qty("1").raw()]);
}

#[test]
fn a_fill_during_a_hedge_waits_for_it_and_the_rest_keeps_resting() {
    let a = wide_a(0)
        .trade(100, Side::Buy, "101100", "10.4")
        .trade(110, Side::Buy, "101100", "0.3")
        .trade(300, Side::Buy, "101100", "0.3");
    let ran = resting_a(a, wide_b(0)).run();
    assert!(ran.cancels().is_empty(), "{:?}", ran.cancels());
    assert_eq!(
        ran.orders(),
        [
            "110 B entry buy 0.4 market -> filled 0.4 at 150",
            "150 B entry buy 0.3 market -> filled 0.3 at 190",
            "0 A entry sell 1 post 101100 -> filled 1 at 310",
            "310 B entry buy 0.3 market -> filled 0.3 at 350",
        ]
    );
}

#[test]
fn the_last_fill_during_a_hedge_is_hedged_not_undone() {
    let a = wide_a(0)
        .trade(100, Side::Buy, "101100", "10.4")
        .trade(110, Side::Buy, "101100", "0.6");
    for policy in [LegPolicy::Complete, LegPolicy::Unwind] {
        let ran = resting_a(a.clone(), wide_b(0))
            .strategy(|s| s.leg_policy = policy)
            .run();
        assert_eq!(
            ran.orders(),
            [
                "0 A entry sell 1 post 101100 -> filled 1 at 120",
                "110 B entry buy 0.4 market -> filled 0.4 at 150",
                "150 B entry buy 0.6 market -> filled 0.6 at 190",
            ]
        );
        assert_eq!(ran.engine.routes()[0].state(), State::Open);
    }
}

#[test]
fn what_is_too_little_to_hedge_waits_and_is_mended_at_the_end() {
    let a = wide_a(0)
        .trade(100, Side::Buy, "101100", "10.4")
        .trade(200, Side::Buy, "101100", "0.3")
        .trade(300, Side::Buy, "101100", "0.3");
    let ran = resting_a(a, wide_b(0))
        .with(|w| w.config.instruments[1].min_qty = qty("0.5"))
        .run();
    // 0.4 wait, 0.7 are hedged; the last 0.3 can only be bought back where they were sold.
    assert_eq!(
        ran.orders(),
        [
            "210 B entry buy 0.7 market -> filled 0.7 at 250",
            "0 A entry sell 1 post 101100 -> filled 1 at 310",
            "310 A unwind buy 0.3 market -> filled 0.3 at 330",
        ]
    );
    assert_eq!(ran.engine.routes()[0].position(), [-qty("0.7").raw(), qty("0.7").raw()]);
}

#[test]
fn too_little_to_hedge_does_not_outlive_the_timeout() {
    let a = wide_a(0).trade(100, Side::Buy, "101100", "10.4");
    let ran = resting_a(a, wide_b(0))
        .with(|w| w.config.instruments[1].min_qty = qty("0.5"))
        .run();
    assert_eq!(ran.cancels(), ["500 #1"]);
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 post 101100 -> cancelled 0.4 at 520",
            "520 A unwind buy 0.4 market -> filled 0.4 at 540",
        ]
    );
    // Sold at the ask and bought back at it.
    assert_eq!(ran.trips(), ["sell_a broken_entry 0: 0>0>540 0 = 0 + 0 - 0 - 0 - 0"]);
    assert!(ran.engine.counts().decisions < 20, "{:?}", ran.engine.counts());
}

#[test]
fn an_entry_whose_edge_is_gone_is_withdrawn() {
    // 101,100 against 100.5 * 1000 is 59.7 bps: still good. Against 101 it is 9.9.
    let b = wide_b(0).top(100, "100.4", "100.5").top(200, "100.9", "101");
    let ran = resting_a(wide_a(0), b).run();
    assert_eq!(ran.cancels(), ["200 #1"]);
    assert_eq!(ran.orders(), ["0 A entry sell 1 post 101100 -> cancelled 0 at 220"]);
    assert!(ran.trips().is_empty());
    assert_eq!(ran.engine.routes()[0].state(), State::Flat);
}

#[test]
fn an_entry_that_nobody_takes_is_withdrawn_in_time() {
    // The next entry only when the market says something again.
    let ran = resting_a(wide_a(0).top(1000, "101000", "101100"), wide_b(0)).run();
    assert_eq!(ran.cancels(), ["500 #1", "1500 #2"]);
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 post 101100 -> cancelled 0 at 520",
            "1000 A entry sell 1 post 101100 -> cancelled 0 at 1520",
        ]
    );
}

#[test]
fn an_edge_lost_to_the_rate_is_seen_at_the_timeout() {
    // A rate wakes nobody; by the timer 101,100 against 100 * 1010 is 9.9 bps.
    let ran = World::pair()
        .strategy(|s| s.maker = Some(Leg::A))
        .tape(A, wide_a(0))
        .tape(B, wide_b(0))
        .tape(Target::Fx, tape(0).fx(0, "1000").fx(400, "1010").fx(9000, "1010"))
        .run();
    assert_eq!(ran.cancels(), ["500 #1"]);
    assert_eq!(ran.orders(), ["0 A entry sell 1 post 101100 -> cancelled 0 at 520"]);
}

#[test]
fn what_would_take_is_refused_and_tried_anew() {
    // At 10 the bid stands at our price.
    let a = wide_a(0).top(5, "101100", "101200").top(600, "101100", "101200");
    let ran = resting_a(a, wide_b(0)).run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 post 101100 -> WouldTake at 20",
            "600 A entry sell 1 post 101200 -> cancelled 0 at 1120",
        ]
    );
    assert!(ran.trips().is_empty());
}

#[test]
fn a_fill_that_races_the_cancel_is_hedged() {
    // Taken back at 200, there at 210; somebody trades through it at 205.
    let a = wide_a(0).trade(205, Side::Buy, "101200", "1");
    let ran = resting_a(a, wide_b(0).top(200, "100.9", "101")).run();
    assert_eq!(ran.cancels(), ["200 #1"]);
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 post 101100 -> filled 1 at 215",
            "215 B entry buy 1 market -> filled 1 at 255",
        ]
    );
    assert_eq!(ran.engine.routes()[0].state(), State::Open);
}

#[test]
fn a_partial_fill_that_races_the_cancel_is_hedged() {
    let a = wide_a(0).trade(205, Side::Buy, "101100", "10.4");
    let ran = resting_a(a, wide_b(0).top(200, "100.9", "101")).run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 post 101100 -> cancelled 0.4 at 220",
            "215 B entry buy 0.4 market -> filled 0.4 at 255",
        ]
    );
    assert_eq!(ran.engine.routes()[0].state(), State::Open);
    assert_eq!(ran.engine.routes()[0].position(), [-qty("0.4").raw(), qty("0.4").raw()]);
}

#[test]
fn a_hedge_that_falls_short_is_mended() {
    // 0.4 are left at B when the hedge arrives at 130, and they are not refilled.
    let b = wide_b(50).book(165, &[("99.9", "10")], &[("100", "0.4")]);
    let a = wide_a(0).trade(100, Side::Buy, "101200", "1");
    let ran = resting_a(a, b).run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 post 101100 -> filled 1 at 110",
            "110 B entry buy 1 market -> expired 0.4 at 150",
            "150 B unwind buy 0.6 market -> expired 0 at 190",
            "690 A unwind buy 0.6 market -> filled 0.6 at 710",
        ]
    );
    assert_eq!(ran.engine.routes()[0].position(), [-qty("0.4").raw(), qty("0.4").raw()]);
}

#[test]
fn without_a_book_to_hedge_the_timeout_ends_it() {
    // B is lost before the first fill; at 500 the rest is taken back, then A is undone.
    let a = wide_a(0).trade(100, Side::Buy, "101100", "10.4");
    let ran = resting_a(a, wide_b(0).status(50, FeedStatus::Disconnected)).run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 post 101100 -> cancelled 0.4 at 520",
            "520 A unwind buy 0.4 market -> filled 0.4 at 540",
        ]
    );
    assert_eq!(ran.engine.routes()[0].state(), State::Flat);
}

#[test]
fn a_halt_takes_a_resting_entry_back() {
    let mut ran = resting_a(wide_a(0), wide_b(0)).start().unwrap();
    ran.go(vec![
        (A, wide_a(0)),
        (B, wide_b(0)),
        (Target::Fx, tape(0).fx(0, "1000").fx(100, "1000")),
    ])
    .unwrap();
    ran.engine.kill(TimestampNs(150 * MS), &mut ran.log);
    ran.log.done.clear(); // told as open when the first half ended
    ran.go(vec![(Target::Fx, tape(0).fx(200, "1000").fx(400, "1000"))])
        .unwrap();
    assert_eq!(ran.cancels(), ["200 #1"]);
    assert_eq!(ran.orders(), ["0 A entry sell 1 post 101100 -> cancelled 0 at 220"]);
}
