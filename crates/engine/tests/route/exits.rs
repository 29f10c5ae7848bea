//! Entries at the threshold, and every reason to leave.

use crossbook_engine::engine::Target;
use crossbook_engine::event::FeedStatus;
use crossbook_engine::records::NoRecorder;
use crossbook_engine::strategy::{LegPolicy, State};
use crossbook_engine::units::TimestampNs;

use crate::dsl::*;

#[test]
fn an_entry_needs_the_whole_edge() {
    // 50 bps are asked for, and 20 bps of fees: 100,700 is just that, and 1e-8 of the ratio less is not.
    let cases = [("100700", 1), ("100699.999", 0), ("100700.001", 1)];
    for (bid, entries) in cases {
        let ran = World::pair()
            .fees(4.0, 6.0)
            .tapes(tape(0).top(0, bid, "102000"), wide_b(0))
            .run();
        assert_eq!(ran.engine.counts().entries, entries, "bid {bid}");
    }
    // The other way: the edge is `1 - ask A / (bid B * fx)`.
    for (ask, entries) in [("99500", 1), ("99500.001", 0)] {
        let ran = World::pair()
            .strategy(|s| (s.sell_a, s.buy_a) = (false, true))
            .tapes(tape(0).top(0, "98000", ask), tape(0).top(0, "100", "100.1"))
            .run();
        assert_eq!(ran.engine.counts().entries, entries, "ask {ask}");
    }
}

#[test]
fn a_direction_that_is_not_allowed_is_not_taken() {
    let ran = World::pair()
        .strategy(|s| (s.sell_a, s.buy_a) = (false, true))
        .tapes(wide_a(0), wide_b(0))
        .run();
    assert!(ran.orders().is_empty());
}

#[test]
fn the_best_level_alone_is_not_enough_for_the_size() {
    // Half at 100,600 and half at 100,300 is 45 bps on average.
    let thin = tape(0).book(0, &[("100600", "0.5"), ("100300", "10")], &[("101000", "10")]);
    let ran = World::pair().tapes(thin.clone(), wide_b(0)).run();
    assert!(ran.orders().is_empty());
    // Half the size gets 60.
    let ran = World::pair()
        .strategy(|s| s.size = crossbook_engine::strategy::Size::Quantity(qty("0.5")))
        .tapes(thin, wide_b(0))
        .run();
    assert_eq!(ran.fills(), ["10 A sell 0.5 @ 100600", "20 B buy 0.5 @ 100"]);
}

#[test]
fn converged_after_selling_a() {
    let ran = World::pair()
        .tapes(
            wide_a(0).top(1000, "99900", "100000"),
            wide_b(0).top(1000, "100", "100.1"),
        )
        .run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 market -> filled 1 at 20",
            "0 B entry buy 1 market -> filled 1 at 40",
            "1000 A exit buy 1 market -> filled 1 at 1020",
            "1000 B exit sell 1 market -> filled 1 at 1040",
        ]
    );
    assert_eq!(
        ran.fills(),
        [
            "10 A sell 1 @ 101000",
            "20 B buy 1 @ 100",
            "1010 A buy 1 @ 100000",
            "1020 B sell 1 @ 100",
        ]
    );
    // Mids 101,050 | 99.95 and 99,950 | 100.05: the premium gave 1,100 + 100, four half spreads took 50 each.
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 1000 = 1200 + 0 - 200 - 0 - 0"]
    );
    let trip = &ran.log.trips[0];
    assert_eq!((trip.open, trip.close), (bps(100.0), bps(0.0)));
    let balances = [(HOME, KRW), (HOME, BTC), (AWAY, USDT), (AWAY, BTC)];
    assert_eq!(
        balances.map(|(venue, currency)| ran.balance(venue, currency)),
        ["10001000", "10", "10000000", "10"]
    );
}

#[test]
fn converged_after_buying_a() {
    let ran = World::pair()
        .strategy(|s| (s.sell_a, s.buy_a) = (false, true))
        .tapes(
            tape(0).top(0, "98900", "99000").top(1000, "100000", "100100"),
            tape(0).top(0, "100", "100.1").top(1000, "99.9", "100"),
        )
        .run();
    assert_eq!(
        ran.fills(),
        [
            "10 A buy 1 @ 99000",
            "20 B sell 1 @ 100",
            "1010 A sell 1 @ 100000",
            "1020 B buy 1 @ 100",
        ]
    );
    // Mids 98,950 | 100.05 and 100,050 | 99.95.
    assert_eq!(
        ran.trips(),
        ["buy_a converged 1: 0>1000>1040 1000 = 1200 + 0 - 200 - 0 - 0"]
    );
}

#[test]
fn exits_wait_for_their_threshold_too() {
    // `close - fair <= 10 bps`: 100,100 is 10 bps above 100 * 1000.
    for (ask, exits) in [("100100", 1), ("100100.001", 0)] {
        let ran = World::pair()
            .tapes(wide_a(0).top(1000, "99900", ask), wide_b(0).top(1000, "100", "100.1"))
            .run();
        assert_eq!(ran.engine.counts().exits, exits, "ask {ask}");
    }
}

#[test]
fn fees_are_paid_and_kept_apart() {
    // 4 bps at A: 40.4 and 40; 6 bps at B: 0.06 USDT twice, 60 KRW each.
    let ran = World::pair()
        .fees(4.0, 6.0)
        .tapes(
            wide_a(0).top(1000, "99900", "100000"),
            wide_b(0).top(1000, "100", "100.1"),
        )
        .run();
    assert_eq!(
        ran.fills(),
        [
            "10 A sell 1 @ 101000 fee 40.4",
            "20 B buy 1 @ 100 fee 0.06",
            "1010 A buy 1 @ 100000 fee 40",
            "1020 B sell 1 @ 100 fee 0.06",
        ]
    );
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 799.6 = 1200 + 0 - 200 - 200.4 - 0"]
    );
    assert_eq!(ran.balance(HOME, KRW), "10000919.6");
    assert_eq!(ran.balance(AWAY, USDT), "9999999.88");
}

#[test]
fn the_rate_moves_the_foreign_leg() {
    // B was bought for 100 USDT and sold for 100, A closes 1,000 lower; the rate rises by 1 %: 1 BTC * 100.05 USDT * 10
    // KRW are owed to the rate, less the 99.95 * 10 that the purchase owed.
    let ran = World::pair()
        .tape(A, wide_a(0).top(1000, "99900", "100000"))
        .tape(B, wide_b(0).top(1000, "100", "100.1"))
        .tape(Target::Fx, tape(0).fx(0, "1000").fx(1000, "1010").fx(9000, "1010"))
        .run();
    // fx = (-99.95 + 100.05) * 1010 - (-99.95 * 1000 + 100.05 * 1010) = 99.95 * (1000 - 1010) = -999.5
    // premium = 101,050 - 99,950 - 99,950 + 100.05 * 1010 = 2,200.5;  slippage = 50 + 50 + (0.05 + 0.05) * 1010 = 201
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 1000 = 2200.5 + -999.5 - 201 - 0 - 0"]
    );
}

#[test]
fn take_profit_is_net_of_fees_and_exact() {
    // (101,000 - 100,495) / 101,000 = 50 bps.
    let ran = World::pair()
        .strategy(|s| s.take_profit = Some(bps(50.0)))
        .tapes(
            wide_a(0)
                .top(1000, "100300", "100496")
                .top(2000, "100300", "100495")
                .top(3000, "100300", "100495"),
            wide_b(0).top(1000, "100", "100.1"),
        )
        .run();
    assert_eq!(ran.log.trips.len(), 1);
    assert!(ran.trips()[0].starts_with("sell_a take_profit 1: 0>2000>2040 505 ="));
    // With 20 bps of fees in all, the same market is worth only 30.
    let ran = World::pair()
        .fees(4.0, 6.0)
        .strategy(|s| s.take_profit = Some(bps(50.0)))
        .tapes(
            wide_a(0).top(1000, "100300", "100495"),
            wide_b(0).top(1000, "100", "100.1"),
        )
        .run();
    assert!(ran.trips().is_empty());
}

#[test]
fn stop_is_exact() {
    // (101,000 - 101,505) / 101,000 = -50 bps.
    let ran = World::pair()
        .strategy(|s| s.stop = Some(bps(50.0)))
        .tapes(
            wide_a(0).top(1000, "100300", "101504").top(2000, "100300", "101505"),
            wide_b(0).top(1000, "100", "100.1"),
        )
        .run();
    assert_eq!(ran.log.trips.len(), 1);
    assert!(ran.trips()[0].starts_with("sell_a stop 1: 0>2000>2040 -505 ="));
}

#[test]
fn max_hold_comes_by_timer_without_any_market_event() {
    let ran = World::pair()
        .strategy(|s| s.max_hold_ns = Some(3000 * MS))
        .tapes(wide_a(0), wide_b(0))
        .run();
    assert_eq!(
        ran.trips(),
        ["sell_a max_hold 1: 0>3000>3040 -200 = 0 + 0 - 200 - 0 - 0"]
    );
    assert_eq!(ran.fills()[2..], ["3010 A buy 1 @ 101100", "3020 B sell 1 @ 99.9"]);
    // The spread is as wide as ever, but nothing wakes the engine again.
    assert_eq!(ran.engine.counts().entries, 1);
}

#[test]
fn the_loss_of_the_day_closes_and_stops_until_the_next_day() {
    // Marked at mid: sold at 101,000, bought at 100 * 1000.
    // 1000: 101,449 | 99.95 is -449 - 50; 2000: 101,451 is -501.
    let ran = World::pair()
        .with(|w| {
            w.config.limits.global.max_daily_loss = Some(amount("500"));
            w.config.days = vec![TimestampNs(5000 * MS)];
        })
        .tapes(
            wide_a(0)
                .top(1000, "101399", "101499")
                .top(2000, "101401", "101501")
                .top(3000, "101401", "101501")
                .top(4999, "101401", "101501")
                .top(5000, "101401", "101501"),
            wide_b(0),
        )
        .run();
    // 101,000 - 101,501 and 99.9 - 100 USDT.
    assert!(
        ran.trips()[0].starts_with("sell_a risk 1: 0>2000>2040 -601 ="),
        "{:?}",
        ran.trips()
    );
    assert_eq!(ran.risk(), ["2000 all Halt DailyLoss", "3000 0 Halt DailyLoss"]);
    assert_eq!(ran.engine.counts().entries, 2);
    assert_eq!(ran.log.sent.last().unwrap().ts_sent, TimestampNs(5000 * MS));
}

#[test]
fn a_drawdown_closes_and_stops_for_good() {
    // At 1000 A is worth 98,000: up 3,000 - 50 on the pair as marked; from there 1,000 down is a drawdown although still a gain.
    let ran = World::pair()
        .with(|w| {
            w.config.limits.global.max_drawdown = Some(amount("1000"));
            w.config.days = vec![TimestampNs(5000 * MS)];
        })
        .strategy(|s| s.exit = bps(-1000.0))
        .tapes(
            wide_a(0)
                .top(1000, "97950", "98050")
                .top(2000, "98949", "99049")
                .top(3000, "98951", "99051")
                .top(6000, "101000", "101100"),
            wide_b(0),
        )
        .run();
    // 101,000 - 99,051 and 99.9 - 100 USDT.
    assert!(
        ran.trips()[0].starts_with("sell_a risk 1: 0>3000>3040 1849 ="),
        "{:?}",
        ran.trips()
    );
    assert_eq!(ran.risk(), ["3000 all Halt Drawdown", "6000 0 Halt Drawdown"]);
    assert_eq!(ran.engine.counts().entries, 1);
}

#[test]
fn the_kill_switch_closes_and_stops() {
    let mut ran = World::pair().start().unwrap();
    ran.go(vec![
        (A, wide_a(0).top(500, "101000", "101100")),
        (B, wide_b(0).top(500, "99.9", "100")),
        (Target::Fx, tape(0).fx(0, "1000")),
    ])
    .unwrap();
    assert_eq!(ran.engine.routes()[0].state(), State::Open);
    ran.engine.kill(TimestampNs(900 * MS), &mut ran.log);
    // The next event of all, even of no use, is the moment.
    ran.go(vec![
        (A, tape(0).top(2000, "101000", "101100").top(3000, "101000", "101100")),
        (Target::Fx, tape(0).fx(1000, "1000").fx(5000, "1000")),
    ])
    .unwrap();
    assert_eq!(ran.risk(), ["900 all Halt Kill", "2000 0 Halt Kill"]);
    assert!(
        ran.trips()[0].starts_with("sell_a risk 1: 0>1000>1040 -200 ="),
        "{:?}",
        ran.trips()
    );
    assert_eq!(ran.engine.counts().entries, 1);
    ran.engine.finish(TimestampNs(4000 * MS), &mut NoRecorder).unwrap();
}

#[test]
fn a_broken_entry_is_told_as_such() {
    // B goes down at 15, before the order is there at 20; we hear of it at 65.
    let ran = World::pair()
        .strategy(|s| s.leg_policy = LegPolicy::Unwind)
        .tapes(
            wide_a(0).top(1000, "99900", "100000"),
            wide_b(50).status(65, FeedStatus::Disconnected),
        )
        .run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 market -> filled 1 at 20",
            "0 B entry buy 1 market -> VenueDown at 40",
            "40 A unwind buy 1 market -> filled 1 at 60",
        ]
    );
    assert_eq!(
        ran.trips(),
        ["sell_a broken_entry 0: 0>0>60 -100 = 0 + 0 - 0 - 0 - 100"]
    );
}

#[test]
fn an_exit_into_thin_books_goes_in_parts_with_pauses() {
    // 0.4 on either side. What we took is gone until the level is named again.
    let thin_a = |tape: Tape, t| tape.book(t, &[("101000", "10")], &[("101100", "0.4")]);
    let thin_b = |tape: Tape, t| tape.book(t, &[("99.9", "0.4")], &[("100", "10")]);
    let a = thin_a(thin_a(tape(0), 0), 4000).top(4400, "101000", "101100");
    let b = thin_b(thin_b(tape(0), 0), 4000).top(4400, "99.9", "100");
    let ran = World::pair()
        .strategy(|s| s.max_hold_ns = Some(3000 * MS))
        .tapes(a, b)
        .run();
    // Heard at 3040: again at 3540, when nothing is there; heard at 3580: again at 4080, and at 4620.
    assert_eq!(
        ran.orders()[2..],
        [
            "3000 A exit buy 1 market -> expired 0.4 at 3020",
            "3000 B exit sell 1 market -> expired 0.4 at 3040",
            "3540 A exit buy 0.6 market -> expired 0 at 3560",
            "3540 B exit sell 0.6 market -> expired 0 at 3580",
            "4080 A exit buy 0.6 market -> expired 0.4 at 4100",
            "4080 B exit sell 0.6 market -> expired 0.4 at 4120",
            "4620 A exit buy 0.2 market -> filled 0.2 at 4640",
            "4620 B exit sell 0.2 market -> filled 0.2 at 4660",
        ]
    );
    assert_eq!(
        ran.trips(),
        ["sell_a max_hold 1: 0>4620>4660 -200 = 0 + 0 - 200 - 0 - 0"]
    );
}
