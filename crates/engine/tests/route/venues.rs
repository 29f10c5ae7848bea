//! What venues do besides filling: funding, latency that follows the feed, outages.

use crossbook_engine::engine::Target;
use crossbook_engine::event::FeedStatus;
use crossbook_engine::instrument::VenueKind;
use crossbook_engine::sim::Latency;

use crate::dsl::*;

#[test]
fn funding_is_paid_by_the_wallet_of_the_perpetual() {
    let mut ran = World::pair()
        .with(|w| {
            w.venues[1].kind = VenueKind::Perpetual;
            w.config.instruments[1].base = ETH; // its own unit of position
        })
        .balance(AWAY, BTC, "0")
        .tapes(
            wide_a(0).top(1000, "99900", "100000"),
            wide_b(0)
                .funding(19, 5.0, "100") // before the order is there, at 20
                .funding(500, 1.0, "100") // longs pay 1 bps of 100
                .funding(700, -2.0, "101") // shorts pay 2 bps of 101
                .top(1000, "100", "100.1")
                .funding(2000, 5.0, "100"), // nothing is held any more
        )
        .run();
    // 1 * 101 * 2 bps - 1 * 100 * 1 bps = 0.0202 - 0.01
    assert_eq!(ran.balance(AWAY, USDT), "10000000.0102");
    assert_eq!(ran.balance(AWAY, ETH), "0");
    // A round trip is its fills and fees; funding is the venue's own account.
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>1000>1040 1000 = 1200 + 0 - 200 - 0 - 0"]
    );
    assert_eq!(ran.pnl_vs_hold(), amount("1010.2").raw());
}

#[test]
fn funding_falls_due_when_it_happened_not_when_it_is_heard() {
    // Due at 400, heard at 900; the position is closed at 620 in between, but it was held at 400.
    let ran = World::pair()
        .with(|w| {
            w.venues[1].kind = VenueKind::Perpetual;
            w.config.instruments[1].base = ETH;
        })
        .balance(AWAY, BTC, "0")
        .tape(A, wide_a(0).top(600, "99900", "100000"))
        .tape(
            B,
            wide_b(0).top(300, "100", "100.1").late(
                900,
                500,
                crossbook_engine::event::EventKind::Funding {
                    rate: bps(1.0).raw(),
                    mark: price("100"),
                },
            ),
        )
        .tape(Target::Fx, thousand())
        .run();
    assert!(ran.fills()[3].starts_with("620 B sell 1"), "{:?}", ran.fills());
    assert_eq!(ran.balance(AWAY, USDT), "9999999.99");
}

#[test]
fn recorded_latency_follows_the_feed() {
    // B's messages take 30 ms, at 700 one takes 45.
    let b = wide_b(30).late(
        700,
        45,
        crossbook_engine::event::EventKind::Update { bids: &[], asks: &[] },
    );
    let ran = World::pair()
        .with(|w| {
            w.venues[1].order_latency = Latency::Recorded { multiple: 2.0 };
            w.venues[1].report_latency = Latency::Recorded { multiple: 1.0 };
        })
        .tapes(wide_a(0).top(1000, "99900", "100000"), b.top(990, "100", "100.1"))
        .run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 market -> filled 1 at 20",
            "0 B entry buy 1 market -> filled 1 at 90",
            "1000 A exit buy 1 market -> filled 1 at 1020",
            "1000 B exit sell 1 market -> filled 1 at 1090",
        ]
    );
    assert_eq!(ran.fills()[1], "60 B buy 1 @ 100");
    // With the slower message as the newest one.
    let b = wide_b(30).late(
        700,
        45,
        crossbook_engine::event::EventKind::Snapshot {
            bids: &[crossbook_engine::event::Level {
                price: price("100"),
                qty: qty("5"),
            }],
            asks: &[crossbook_engine::event::Level {
                price: price("100.1"),
                qty: qty("5"),
            }],
            complete: true,
        },
    );
    let ran = World::pair()
        .with(|w| {
            w.venues[1].order_latency = Latency::Recorded { multiple: 2.0 };
            w.venues[1].report_latency = Latency::Recorded { multiple: 1.0 };
        })
        .tapes(wide_a(0).top(1000, "99900", "100000"), b)
        .run();
    assert_eq!(ran.orders()[3], "1000 B exit sell 1 market -> filled 1 at 1135");
}

#[test]
fn an_outage_holds_the_exit_until_the_book_is_whole_again() {
    let b = wide_b(0)
        .status(500, FeedStatus::Disconnected)
        .status(900, FeedStatus::Connected)
        .update(950, &[("100", "10")], &[("100.1", "10")]) // no snapshot yet: not believed
        .book(2000, &[("100", "10")], &[("100.1", "10")]);
    let ran = World::pair().tapes(wide_a(0).top(600, "99900", "100000"), b).run();
    assert_eq!(ran.risk(), ["500 0 Block VenueDown"]);
    assert_eq!(
        ran.trips(),
        ["sell_a converged 1: 0>2000>2040 1000 = 1200 + 0 - 200 - 0 - 0"]
    );
    assert_eq!(ran.engine.blocked_time().venue_down_ns, 1500 * MS);
}

#[test]
fn max_hold_during_an_outage_comes_with_the_first_good_book() {
    let b = wide_b(0).status(500, FeedStatus::Stale).top(2300, "99.9", "100");
    let ran = World::pair()
        .strategy(|s| s.max_hold_ns = Some(1000 * MS))
        .tapes(wide_a(0), b)
        .run();
    assert_eq!(
        ran.trips(),
        ["sell_a max_hold 1: 0>2300>2340 -200 = 0 + 0 - 200 - 0 - 0"]
    );
}

#[test]
fn a_book_too_old_is_not_traded_on() {
    let ran = World::pair()
        .with(|w| w.config.limits.venue.max_book_age_ns = 300 * MS)
        .tapes(
            wide_a(0).top(200, "101000", "101100").top(301, "101000", "101100"),
            tape(0).top(0, "99.9", "100.9").top(400, "99.9", "100"),
        )
        .run();
    // B is of 0: at 301 it is too old, at 400 it is new.
    assert_eq!(ran.risk(), ["301 0 Block StaleBook"]);
    assert_eq!(ran.log.sent.len(), 2);
    assert!(ran.orders()[0].starts_with("400 A"));
    assert_eq!(ran.engine.blocked_time().stale_ns, 99 * MS);
}
