//! Several routes over several instruments: shared wallets, shared limits, rows that say whose they are.

use crossbook_engine::engine::Target;
use crossbook_engine::instrument::{InstrumentId, RouteId};

use crate::dsl::*;

const ETH_A: Target = Target::Instrument(InstrumentId(2));
const ETH_B: Target = Target::Instrument(InstrumentId(3));

/// Routes 0 and 2 trade BTC (2 for half a coin), route 1 trades ETH at a tenth of the price.
fn three_routes() -> World {
    World::pair()
        .with(|w| {
            w.config.instruments.push(instrument(HOME, "KRW-ETH", ETH, KRW, "1"));
            w.config
                .instruments
                .push(instrument(AWAY, "ETHUSDT", ETH, USDT, "0.001"));
            w.config.routes = vec![route(0, 1), route(2, 3), route(0, 1)];
            w.config.routes[2].strategy.size = crossbook_engine::strategy::Size::Quantity(qty("0.5"));
        })
        .balance(HOME, ETH, "10")
        .balance(AWAY, ETH, "10")
}

fn eth_a() -> Tape {
    tape(0).top(0, "10100", "10110")
}

fn eth_b() -> Tape {
    tape(0).top(0, "9.99", "10")
}

#[test]
fn every_row_carries_its_route() {
    let mut ran = three_routes()
        .tape(ETH_A, eth_a().top(2000, "9990", "10000"))
        .tape(ETH_B, eth_b().top(2000, "10", "10.01"))
        .tapes(
            wide_a(0).top(1000, "99900", "100000"),
            wide_b(0).top(1000, "100", "100.1"),
        )
        .run();
    assert_eq!(
        ran.orders(),
        [
            "0 A entry sell 1 market -> filled 1 at 20",
            "0 A1 entry sell 1 market -> filled 1 at 20",
            "0 A2 entry sell 0.5 market -> filled 0.5 at 20",
            "0 B entry buy 1 market -> filled 1 at 40",
            "0 B1 entry buy 1 market -> filled 1 at 40",
            "0 B2 entry buy 0.5 market -> filled 0.5 at 40",
            "1000 A exit buy 1 market -> filled 1 at 1020",
            "1000 A2 exit buy 0.5 market -> filled 0.5 at 1020",
            "1000 B exit sell 1 market -> filled 1 at 1040",
            "1000 B2 exit sell 0.5 market -> filled 0.5 at 1040",
            "2000 A1 exit buy 1 market -> filled 1 at 2020",
            "2000 B1 exit sell 1 market -> filled 1 at 2040",
        ]
    );
    assert_eq!(
        ran.trips(),
        [
            "sell_a converged 1: 0>1000>1040 1000 = 1200 + 0 - 200 - 0 - 0",
            "sell_a converged 0.5: 0>1000>1040 500 = 600 + 0 - 100 - 0 - 0",
            "sell_a converged 1: 0>2000>2040 100 = 120 + 0 - 20 - 0 - 0",
        ]
    );
    let routes: Vec<_> = ran.log.trips.iter().map(|trip| trip.route).collect();
    assert_eq!(routes, [RouteId(0), RouteId(2), RouteId(1)]);
    assert_eq!(ran.balance(HOME, KRW), "10001600");
    assert_eq!(ran.pnl_vs_hold(), amount("1600").raw());
}

fn all_at_once(world: World) -> Ran {
    world
        .tape(ETH_A, eth_a())
        .tape(ETH_B, eth_b())
        .tapes(wide_a(0), wide_b(0))
        .run()
}

fn entered(ran: &Ran) -> Vec<u16> {
    ran.log.sent.iter().step_by(2).map(|order| order.route.0).collect()
}

#[test]
fn so_many_open_at_once_and_no_more() {
    let ran = all_at_once(three_routes().with(|w| w.config.limits.global.max_open_trades = Some(2)));
    assert_eq!(entered(&ran), [0, 1]);
    assert_eq!(ran.risk(), ["0 2 Reduce OpenTrades"]);
}

#[test]
fn exposure_is_counted_by_coin_and_over_all_with_what_is_in_flight() {
    // Route 0 counts 101,050 (A's mid), route 2 half of it, route 1 10,105.
    let limited =
        |limit: &str| all_at_once(three_routes().with(|w| w.config.limits.symbol.max_exposure = Some(amount(limit))));
    assert_eq!(entered(&limited("151575")), [0, 1, 2]);
    let ran = limited("151574.99999999");
    assert_eq!(entered(&ran), [0, 1]);
    assert_eq!(ran.risk(), ["0 2 Reduce SymbolExposure"]);
    let limited =
        |limit: &str| all_at_once(three_routes().with(|w| w.config.limits.global.max_exposure = Some(amount(limit))));
    assert_eq!(entered(&limited("161680")), [0, 1, 2]);
    assert_eq!(entered(&limited("161679")), [0, 1]);
    assert_eq!(
        entered(&limited("111154")),
        [0],
        "the second would be 111,155, the third 151,575"
    );
}

#[test]
fn the_order_of_the_streams_changes_nothing_when_times_differ() {
    let mut tapes = vec![
        (A, tape(3).top(1, "101000", "101100").top(1001, "99900", "100000")),
        (B, tape(7).top(2, "99.9", "100").top(1502, "100", "100.1")),
        (ETH_A, tape(3).top(3, "10100", "10110").top(1603, "9990", "10000")),
        (ETH_B, tape(7).top(4, "9.99", "10").top(1204, "10", "10.01")),
        (Target::Fx, tape(0).fx(0, "1000").fx(1105, "1003").fx(9000, "1001")),
    ];
    let mut digests = Vec::new();
    for turn in 0..10 {
        tapes.rotate_left(1);
        if turn == 5 {
            tapes.swap(0, 2);
        }
        let ran = three_routes().with(|w| w.tapes = tapes.clone()).run();
        assert_eq!(ran.log.trips.len(), 3);
        digests.push(ran.engine.digest());
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}
