//! Legs that fill unequally: completing, undoing, dust, and giving up.
//!
//! B's messages take 50 ms to us, so that the venue's book can change before an order arrives without our knowing.

use crossbook_engine::event::FeedStatus;
use crossbook_engine::strategy::{LegPolicy, MAX_REPAIRS, OrderStyle, State};
use crossbook_engine::units::Bps;

use crate::dsl::*;

/// At the venue, 0.4 are left at 100 when the order arrives at 20, and the next are at 100.5.
fn thin_b() -> Tape {
    wide_b(50).book(65, &[("99.9", "10")], &[("100", "0.4"), ("100.5", "10")])
}

fn limits(world: World) -> World {
    world.strategy(|s| s.style = OrderStyle::Limit { collar: Bps::ZERO })
}

fn converge(a: Tape, b: Tape) -> World {
    World::pair().tapes(a.top(1000, "99900", "100000"), b.top(1000, "100", "100.1"))
}

#[test]
fn what_is_missing_is_completed_at_market() {
    let ran = limits(converge(wide_a(0), thin_b())).run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 limit 101000 -> filled 1 at 20",
            "0 B entry buy 1 limit 100 -> expired 0.4 at 40",
            "40 B unwind buy 0.6 market -> filled 0.6 at 80",
            "1000 A exit buy 1 limit 100000 -> filled 1 at 1020",
            "1000 B exit sell 1 limit 100 -> filled 1 at 1040",
        ]
    );
    assert_eq!(ran.fills()[1..3], ["20 B buy 0.4 @ 100", "60 B buy 0.6 @ 100.5"]);
    // Legging: 0.6 * (100.5 - the mid of 99.95) * 1000; slippage of B's entry: 0.4 * 0.05 * 1000.
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 700 = 1200 + 0 - 170 - 0 - 330"]
    );
    assert_eq!(ran.engine.counts().repairs, 1);
}

#[test]
fn a_pair_older_than_max_hold_when_it_is_whole_is_left_then_not_before() {
    let ran = limits(converge(wide_a(0), thin_b()))
        .strategy(|s| s.max_hold_ns = Some(50 * MS))
        .run();
    assert!(ran.orders()[2].ends_with("at 80"), "{:?}", ran.orders());
    assert!(
        ran.trips()[0].starts_with("sell_a max_hold 1: 0>80>120"),
        "{:?}",
        ran.trips()
    );
}

#[test]
fn a_collar_reaches_as_far_as_it_says() {
    // 50 bps through 100 is 100.5: the limit takes both levels, and nothing is left to mend.
    let ran = converge(wide_a(0), thin_b())
        .strategy(|s| s.style = OrderStyle::Limit { collar: bps(50.0) })
        .run();
    assert_eq!(
        ran.orders()[..2],
        [
            "0 A entry sell 1 limit 100495 -> filled 1 at 20",
            "0 B entry buy 1 limit 100.5 -> filled 1 at 40",
        ]
    );
    // The same fills as slippage now: 170 + 330.
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 700 = 1200 + 0 - 500 - 0 - 0"]
    );
}

#[test]
fn what_is_too_much_is_undone() {
    let ran = limits(converge(wide_a(0), thin_b()))
        .strategy(|s| s.leg_policy = LegPolicy::Unwind)
        .run();
    assert_eq!(
        ran.orders()[2..],
        [
            "40 A unwind buy 0.6 market -> filled 0.6 at 60",
            "1000 A exit buy 0.4 limit 100000 -> filled 0.4 at 1020",
            "1000 B exit sell 0.4 limit 100 -> filled 0.4 at 1040",
        ]
    );
    // 101,000 - 0.6 * 101,100 - 0.4 * 100,000; legging 0.6 * (101,100 - 101,000).
    assert_eq!(
        ran.trips(),
        ["sell_a converged 0.4: 0>1000>1040 340 = 480 + 0 - 80 - 0 - 60"]
    );
}

#[test]
fn an_exit_that_falls_short_is_finished_never_undone() {
    // 0.4 at 100 when B's exit arrives at 1020, more at 99.
    let b = wide_b(50)
        .top(1000, "100", "100.1")
        .book(1065, &[("100", "0.4"), ("99", "10")], &[("100.1", "10")]);
    let ran = World::pair()
        .strategy(|s| s.style = OrderStyle::Limit { collar: Bps::ZERO })
        .tapes(wide_a(0).top(1000, "99900", "100000"), b)
        .run();
    assert_eq!(
        ran.orders()[2..],
        [
            "1000 A exit buy 1 limit 100000 -> filled 1 at 1020",
            "1000 B exit sell 1 limit 100 -> expired 0.4 at 1040",
            "1040 B unwind sell 0.6 market -> filled 0.6 at 1080",
        ]
    );
    // Legging: 0.6 * (100.05 - 99) * 1000 = 630.
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1080 400 = 1200 + 0 - 170 - 0 - 630"]
    );
}

#[test]
fn a_leg_refused_for_funds_is_tried_once_more_and_then_the_other_is_undone() {
    // 100.2 USDT do for 1 BTC at 99.95 and 10 bps, but not for the 100.5 at which the venue stands by then.
    let b = wide_b(50).top(65, "99.9", "100.5");
    let ran = World::pair().balance(AWAY, USDT, "100.2").tapes(wide_a(0), b).run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 market -> filled 1 at 20",
            "0 B entry buy 1 market -> InsufficientBalance at 40",
            "40 B unwind buy 1 market -> InsufficientBalance at 80",
            "580 A unwind buy 1 market -> filled 1 at 600",
        ]
    );
    assert_eq!(
        ran.trips(),
        ["sell_a broken_entry 0: 0>0>600 -100 = 0 + 0 - 0 - 0 - 100"]
    );
    assert_eq!(ran.balance(AWAY, USDT), "100.2");
    assert_eq!(ran.balance(HOME, BTC), "10");
}

#[test]
fn without_a_book_mending_waits() {
    // Both venues are gone by 580; A is back at 1000.
    let a = wide_a(0)
        .status(30, FeedStatus::Disconnected)
        .top(1000, "100900", "101000");
    let ran = World::pair()
        .tapes(a, wide_b(50).status(65, FeedStatus::Disconnected))
        .run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 market -> filled 1 at 20",
            "0 B entry buy 1 market -> VenueDown at 40",
            "40 B unwind buy 1 market -> VenueDown at 80",
            "1080 A unwind buy 1 market -> filled 1 at 1100",
        ]
    );
    assert_eq!(ran.trips(), ["sell_a broken_entry 0: 0>0>1100 0 = 0 + 0 - 0 - 0 - 0"]);
}

#[test]
fn a_leg_that_cannot_be_undone_is_hedged_on_the_other_venue() {
    // The policy is to undo A, but A is gone: what can be done is to buy B.
    let ran = World::pair()
        .strategy(|s| s.leg_policy = LegPolicy::Unwind)
        .with(|w| w.venues[1].order_latency = crossbook_engine::sim::Latency::Constant { ns: 40 * MS })
        .tapes(
            wide_a(0).status(35, FeedStatus::Disconnected),
            // No book when the order arrives at 40, a good one again before the report at 60.
            wide_b(0).status(38, FeedStatus::Gap).top(45, "99.9", "100.2"),
        )
        .run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 market -> filled 1 at 20",
            "0 B entry buy 1 market -> NoBook at 60",
            "60 B unwind buy 1 market -> filled 1 at 120",
        ]
    );
    assert_eq!(ran.engine.routes()[0].state(), State::Open);
}

#[test]
fn after_too_many_attempts_the_route_stops_and_says_nothing_more() {
    let a = wide_a(0)
        .status(30, FeedStatus::Disconnected)
        .top(15_000, "101000", "101100");
    let b = wide_b(50)
        .status(65, FeedStatus::Disconnected)
        .top(15_000, "99.9", "100");
    let ran = World::pair().tapes(a, b).run();
    let route = &ran.engine.routes()[0];
    assert_eq!(route.state(), State::Halted);
    assert_eq!(route.position(), [-qty("1").raw(), 0]);
    assert_eq!(ran.log.sent.len(), 3, "{:?}", ran.orders());
    // 1 order and 19 looks without a book: the last at 580 + 18 * 500.
    assert_eq!(MAX_REPAIRS, 20);
    assert_eq!(ran.balance(HOME, BTC), "9");
}

#[test]
fn dust_stays_in_the_inventory_and_the_route_moves_on() {
    // Nobody takes less than half a coin. The exit on B leaves 0.2.
    let b = wide_b(50)
        .top(1000, "100", "100.1")
        .book(1065, &[("100", "0.8")], &[("100.1", "10")])
        .top(2000, "99.9", "100");
    let ran = World::pair()
        .with(|w| w.config.instruments.iter_mut().for_each(|i| i.min_qty = qty("0.5")))
        .tapes(wide_a(0).top(1000, "99900", "100000").top(2000, "101000", "101100"), b)
        .run();
    assert_eq!(
        ran.orders()[2..],
        [
            "1000 A exit buy 1 market -> filled 1 at 1020",
            "1000 B exit sell 1 market -> expired 0.8 at 1040",
            "2000 A entry sell 1 market -> filled 1 at 2020",
            "2000 B entry buy 1 market -> filled 1 at 2040",
        ]
    );
    // The 0.2 still held are worth their mid at the exit: 1000 + (80 - 100) * 1000 + 0.2 * 100.05 * 1000.
    // Premium 1,200; slippage 50 * 3 + 0.8 * 0.05 * 1000.
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 1010 = 1200 + 0 - 190 - 0 - 0"]
    );
    assert_eq!(ran.balance(AWAY, BTC), "11.2");
}

#[test]
fn a_pair_too_small_to_close_is_dust_too() {
    // Both entries find 0.4 and half a coin is the least: neither venue would take the exit.
    let thin_a = wide_a(50).book(55, &[("101000", "0.4")], &[("101100", "10")]);
    let thin_b = wide_b(50).book(65, &[("99.9", "10")], &[("100", "0.4")]);
    for away_too in [true, false] {
        let ran = World::pair()
            .with(|w| {
                w.config.instruments[0].min_qty = qty("0.5");
                if away_too {
                    w.config.instruments[1].min_qty = qty("0.5");
                }
            })
            .tapes(
                thin_a
                    .clone()
                    .top(1000, "99900", "100000")
                    .top(3000, "101000", "101100"),
                thin_b.clone().top(1000, "100", "100.1").top(3000, "99.9", "100"),
            )
            .run();
        assert_eq!(
            ran.orders(),
            [
                "0 A entry sell 1 market -> expired 0.4 at 20",
                "0 B entry buy 1 market -> expired 0.4 at 40",
                "3000 A entry sell 1 market -> filled 1 at 3020",
                "3000 B entry buy 1 market -> filled 1 at 3040",
            ]
        );
        // What the entry brought, 0.4 * (101,000 - 100,000), and the pair at the mids of the exit, 0.4 * (100,050 - 99,950);
        // premium 0.4 * (1,100 + 100), slippage 0.4 * 100.
        assert_eq!(
            ran.trips(),
            ["sell_a converged 0.4: 0>1000>1000 440 = 480 + 0 - 40 - 0 - 0"]
        );
        assert_eq!(
            (ran.balance(HOME, BTC), ran.balance(AWAY, BTC)),
            ("8.6".into(), "11.4".into())
        );
    }
}
