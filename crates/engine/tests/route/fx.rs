//! The exchange rate: where it comes from, on which side of it the books stand, and what wakes the engine.

use crossbook_engine::engine::{FxSource, Target};
use crossbook_engine::instrument::{InstrumentId, Side};

use crate::dsl::*;

const WHOLE_TRIP: &str = "sell_a converged 1: 0>1000>1040 1000 = 1200 + 0 - 200 - 0 - 0";

/// In at 0, out at 1000.
fn there_and_back() -> World {
    World::pair()
        .tape(A, wide_a(0).top(1000, "99900", "100000"))
        .tape(B, wide_b(0).top(1000, "100", "100.1"))
}

/// Keeps the clock going.
fn idle() -> Tape {
    tape(0).fx(20_000, "1000")
}

#[test]
fn a_constant_is_always_fresh() {
    let ran = there_and_back()
        .with(|w| {
            w.config.fx.source = FxSource::Constant(rate("1000"));
            w.config.fx.max_age_ns = 1;
        })
        .tape(
            Target::Instrument(InstrumentId(0)),
            tape(0).trade(20_000, Side::Buy, "1", "1"),
        )
        .run();
    assert_eq!(ran.trips(), [WHOLE_TRIP]);
}

#[test]
fn the_mid_of_a_book_is_a_rate_and_wakes_nobody() {
    let usdt = Target::Instrument(InstrumentId(2));
    let ran = World::pair()
        .with(|w| {
            w.config.fx.source = FxSource::Instrument(InstrumentId(2));
            w.config
                .instruments
                .push(instrument(HOME, "KRW-USDT", USDT, KRW, "0.1"));
        })
        .tape(A, wide_a(0).top(200, "101000", "101100"))
        .tape(B, wide_b(0))
        .tape(usdt, tape(0).top(100, "999.5", "1000.5").top(9000, "999.5", "1000.5"))
        .run();
    assert_eq!(ran.risk(), ["0 0 Block NoFx"]);
    assert_eq!(
        ran.orders(),
        [
            "200 A entry sell 1 market -> filled 1 at 220",
            "200 B entry buy 1 market -> filled 1 at 240",
        ]
    );
    assert_eq!(ran.engine.fx_rate(), Some(rate("1000")));
    assert_eq!(ran.engine.blocked_time().no_fx_ns, 200 * MS);
}

#[test]
fn one_money_needs_no_rate() {
    let ran = World::pair()
        .with(|w| {
            w.config.fx.source = FxSource::NotNeeded;
            w.config.base_currency = USDT;
            w.config.instruments[0] = instrument(HOME, "BTCUSDT", BTC, USDT, "0.001");
        })
        .tape(A, tape(0).top(0, "101", "101.1").top(1000, "99.9", "100"))
        .tape(
            B,
            wide_b(0).top(1000, "100", "100.1").trade(9000, Side::Buy, "100", "1"),
        )
        .run();
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 1 = 1.2 + 0 - 0.2 - 0 - 0"]
    );
    assert_eq!(ran.balance(HOME, USDT), "10000001");
}

/// Both legs are paid in USDT, results are in KRW: the rate may be old, but there must have been one.
#[test]
fn legs_in_one_money_are_not_stopped_by_an_old_rate() {
    let world = |rates: Tape| {
        World::pair()
            .with(|w| {
                w.config.fx.max_age_ns = 1;
                w.config.instruments[0] = instrument(HOME, "BTCUSDT", BTC, USDT, "0.001");
            })
            .tape(Target::Fx, rates)
            .tape(A, tape(0).top(100, "101", "101.1").top(1000, "99.9", "100"))
            .tape(
                B,
                wide_b(100).top(1000, "100", "100.1").trade(9000, Side::Buy, "100", "1"),
            )
            .run()
    };
    assert_eq!(world(tape(0).fx(0, "1000")).trips().len(), 1);
    let without = world(tape(0).fx(9000, "1000"));
    assert!(without.trips().is_empty());
    assert!(without.engine.blocked_time().no_fx_ns > 0);
}

#[test]
fn results_may_be_in_the_foreign_money() {
    let mut ran = there_and_back()
        .with(|w| w.config.base_currency = USDT)
        .tape(Target::Fx, thousand())
        .run();
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 1 = 1.2 + 0 - 0.2 - 0 - 0"]
    );
    assert_eq!(ran.pnl_vs_hold(), amount("1").raw());
}

#[test]
fn the_foreign_book_may_be_a() {
    // The same prices, told the other way: 101 USDT against 100,000 KRW.
    let ran = World::pair()
        .with(|w| {
            w.config.instruments[0] = instrument(HOME, "BTCUSDT", BTC, USDT, "0.001");
            w.config.instruments[1] = instrument(AWAY, "KRW-BTC", BTC, KRW, "1");
        })
        .tapes(
            tape(0).top(0, "101", "101.1").top(1000, "99.9", "100"),
            tape(0).top(0, "99900", "100000").top(1000, "100000", "100100"),
        )
        .run();
    assert_eq!(ran.trips(), [WHOLE_TRIP]);
    assert_eq!(ran.log.trips[0].open, bps(100.0));
    assert_eq!(
        (ran.balance(HOME, USDT), ran.balance(AWAY, KRW)),
        ("10000001".into(), "10000000".into())
    );
}

#[test]
fn an_old_rate_is_no_rate() {
    for (t, sent) in [(500, 2), (501, 0)] {
        let ran = World::pair()
            .with(|w| w.config.fx.max_age_ns = 500 * MS)
            .tapes(tape(0).top(t, "101000", "101100"), tape(0).top(t, "99.9", "100"))
            .run();
        assert_eq!(ran.log.sent.len(), sent, "at {t}");
        if sent == 0 {
            assert_eq!(ran.risk(), ["501 0 Block NoFx"]);
        }
    }
}

#[test]
fn a_rate_outside_its_band_blocks_until_the_next_good_one() {
    let ran = World::pair()
        .with(|w| w.config.fx.band = Some((rate("900"), rate("1100"))))
        .tape(
            A,
            tape(0)
                .top(200, "101000", "101100")
                .top(250, "101000", "101100")
                .top(400, "101000", "101100"),
        )
        .tape(B, wide_b(0))
        .tape(
            Target::Fx,
            tape(0).fx(0, "1000").fx(100, "1100.00000001").fx(300, "1000"),
        )
        .tape(Target::Fx, idle())
        .run();
    assert_eq!(ran.engine.counts().fx_rejected, 1);
    // At 0 there is no book of A.
    assert_eq!(ran.risk(), ["0 0 Block VenueDown", "200 0 Block FxBand"]);
    assert!(ran.orders()[0].starts_with("400 A entry"), "{:?}", ran.orders());
    // The bounds themselves are in.
    let ran = World::pair()
        .with(|w| w.config.fx.band = Some((rate("1000"), rate("1000"))))
        .tapes(wide_a(0), wide_b(0))
        .run();
    assert_eq!(ran.engine.counts().fx_rejected, 0);
    assert_eq!(ran.log.sent.len(), 2);
}

#[test]
fn rates_trades_and_funding_alone_decide_nothing() {
    let ran = World::pair()
        .tape(
            A,
            tape(0).top(0, "99900", "100000").trade(150, Side::Buy, "100000", "1"),
        )
        .tape(B, tape(0).top(0, "99.9", "100").funding(160, 1.0, "100"))
        .tape(
            Target::Fx,
            tape(0).fx(0, "1000").fx(100, "900").fx(200, "901").fx(9000, "902"),
        )
        .run();
    // From 100 on the premium is far above what is asked for.
    assert_eq!(ran.engine.counts().decisions, 1);
    assert!(ran.log.sent.is_empty());
}

#[test]
fn one_decision_an_instant_after_all_of_it() {
    // At 1000 both books rise by 1 %; whoever looked in between would see 100 bps.
    let a = tape(0).top(0, "99900", "100000").top(1000, "101000", "101100");
    let b = tape(0)
        .top(0, "99.9", "100")
        .top(1000, "95", "95.1") // said and unsaid in the same instant
        .top(1000, "101", "101.1");
    let world = || World::pair().strategy(|s| s.buy_a = true);
    let orders = [
        vec![(A, a.clone()), (B, b.clone()), (Target::Fx, thousand())],
        vec![(B, b.clone()), (Target::Fx, thousand()), (A, a.clone())],
        vec![(Target::Fx, thousand()), (B, b), (A, a)],
    ];
    let mut digests = Vec::new();
    for tapes in orders {
        let ran = world().with(|w| w.tapes = tapes).run();
        assert_eq!(ran.engine.counts().decisions, 2);
        assert!(ran.log.sent.is_empty());
        digests.push(ran.engine.digest());
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    // And the edge that is there only when all of it is in, is seen in either order.
    let a = tape(0).top(0, "99900", "100000").top(1000, "101000", "101100");
    let b = tape(0).top(0, "99.9", "100").top(1000, "99.9", "100.01");
    let runs = [
        vec![(A, a.clone()), (B, b.clone()), (Target::Fx, thousand())],
        vec![(Target::Fx, thousand()), (B, b), (A, a)],
    ]
    .map(|tapes| world().with(|w| w.tapes = tapes).run());
    assert_eq!(runs[0].orders(), runs[1].orders());
    assert_eq!(runs[0].log.sent.len(), 2);
    assert_eq!(runs[0].engine.digest(), runs[1].engine.digest());
}
