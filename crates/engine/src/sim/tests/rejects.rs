use super::*;
use crate::order::Reject;

fn book() -> Stream {
    Stream::default().snapshot(0, "99x100 98x100", "101x100 102x100")
}

/// What a spot account with 1,000 quote and 2 base hears of one order.
fn hears(side: Side, size: &str, order_type: OrderType) -> OrderStatus {
    let mut config = config(VenueKind::Spot);
    config.venues[0].taker_fee = Bps::from_bps(10.0);
    config.venues[0].maker_fee = Bps::from_bps(10.0);
    let opening = [(VENUE, QUOTE, money("1000")), (VENUE, BASE, money("2"))];
    let mut world = World::new(config, vec![book()], &opening);
    world.send(100, side, size, order_type);
    world.run(200);
    world.holds();
    assert_eq!(world.heard.len(), 1);
    if matches!(world.heard[0].status, OrderStatus::Rejected(_)) {
        assert!(world.heard[0].fills.is_empty());
        assert_eq!(
            world.holds(),
            (money("1000"), money("2")),
            "a refused order costs nothing"
        );
    }
    world.heard[0].status
}

#[test]
fn each_rule_refuses_below_its_bound_and_not_at_it() {
    use OrderStatus::{Expired, Filled, Rejected, Resting};
    use OrderType::{Limit, Market, PostOnly};
    use Reject::{BelowMinNotional, BelowMinQty, InsufficientBalance, OffLot, OffTick, WouldTake};
    let limit = |at| Limit(price(at));
    let post = |at| PostOnly(price(at));
    let cases = [
        // The grid of prices is 0.5.
        (Side::Buy, "1", limit("101.5"), Filled),
        (Side::Buy, "1", limit("101.6"), Rejected(OffTick)),
        (Side::Buy, "1", limit("100.99999999"), Rejected(OffTick)),
        (Side::Buy, "1", limit("100.5"), Expired),
        (Side::Sell, "1", post("102.25"), Rejected(OffTick)),
        // Lots are 0.001.
        (Side::Buy, "1.001", Market, Filled),
        (Side::Buy, "1.0005", Market, Rejected(OffLot)),
        (Side::Buy, "0", Market, Rejected(OffLot)),
        // At least 0.01, and at least 5 of notional.
        (Side::Sell, "0.009", Market, Rejected(BelowMinQty)),
        (Side::Sell, "0.01", Market, Rejected(BelowMinNotional)),
        (Side::Sell, "0.05", Market, Rejected(BelowMinNotional)), // 0.05 * 99 = 4.95
        (Side::Sell, "0.051", Market, Filled),                    // 5.049
        (Side::Sell, "0.05", limit("100"), Expired),              // 5 exactly
        (Side::Sell, "0.05", limit("99.5"), Rejected(BelowMinNotional)),
        (Side::Buy, "0.05", post("100"), Resting),
        // A sale needs the whole quantity.
        (Side::Sell, "2", Market, Filled),
        (Side::Sell, "2.001", Market, Rejected(InsufficientBalance)),
        (Side::Sell, "2.001", limit("120"), Rejected(InsufficientBalance)),
        (Side::Sell, "2", post("120"), Resting),
        (Side::Sell, "2.001", post("120"), Rejected(InsufficientBalance)),
        // A market buy costs what it takes and the fee: 9.891 * 101 * 1.001 = 999.99999…, 9.892 is 1000.09.
        (Side::Buy, "9.891", Market, Filled),
        (Side::Buy, "9.892", Market, Rejected(InsufficientBalance)),
        // A limit buy is locked at its limit: 8.325 * 120 * 1.001 = 999.999, 8.326 is 1000.119.
        (Side::Buy, "8.325", limit("120"), Filled),
        (Side::Buy, "8.326", limit("120"), Rejected(InsufficientBalance)),
        // 9.99 * 100 * 1.001 = 999.999; 9.991 is 1000.0991.
        (Side::Buy, "9.99", post("100"), Resting),
        (Side::Buy, "9.991", post("100"), Rejected(InsufficientBalance)),
        // Post-only must not take, not even at the same price.
        (Side::Buy, "1", post("100.5"), Resting),
        (Side::Buy, "1", post("101"), Rejected(WouldTake)),
        (Side::Buy, "1", post("101.5"), Rejected(WouldTake)),
        (Side::Sell, "1", post("99.5"), Resting),
        (Side::Sell, "1", post("99"), Rejected(WouldTake)),
    ];
    for (side, size, order_type, want) in cases {
        assert_eq!(hears(side, size, order_type), want, "{side:?} {size} {order_type:?}");
    }
}

#[test]
fn money_is_spent_once() {
    let config = config(VenueKind::Spot);
    let opening = [(VENUE, QUOTE, money("1000"))];
    let mut world = World::new(config, vec![book()], &opening);
    // Two orders in flight, each of which the account could afford alone.
    world.send(100, Side::Buy, "6", OrderType::Market);
    world.send(100, Side::Buy, "6", OrderType::Market);
    // What rests is locked: 3 * 100 of the 394 left.
    world.send(200, Side::Buy, "3", OrderType::PostOnly(price("100")));
    world.send(300, Side::Buy, "0.94", OrderType::PostOnly(price("100")));
    world.send(400, Side::Buy, "0.1", OrderType::PostOnly(price("100")));
    let third = OrderId(3);
    world.cancel(500, third);
    world.send(600, Side::Buy, "3", OrderType::Market);
    world.run(1_000);
    let reject = OrderStatus::Rejected(Reject::InsufficientBalance);
    assert_eq!(
        world.statuses(),
        [
            (1, OrderStatus::Filled),
            (2, reject),
            (3, OrderStatus::Resting),
            (4, OrderStatus::Resting),
            (5, reject),
            (3, OrderStatus::Cancelled),
            (6, reject), // 303 of 394 - 94 = 300
        ]
    );
}

#[test]
fn a_venue_without_a_book_or_a_connection_refuses() {
    let refused = |reason| OrderStatus::Rejected(reason);
    let stream = book()
        .status(1_000, FeedStatus::Gap)
        .snapshot(2_000, "99x1", "101x1")
        .status(3_000, FeedStatus::Disconnected)
        .status(4_000, FeedStatus::Connected)
        .snapshot(5_000, "99x1", "101x1")
        .status(6_000, FeedStatus::Stale)
        .status(7_000, FeedStatus::Connected)
        .update(8_000, "101x1", "");
    let mut world = World::spot(stream);
    let times = [-500, 500, 995, 1_500, 2_500, 2_995, 4_500, 5_500, 6_500, 7_500, 8_500];
    for ms in times {
        world.send(ms, Side::Buy, "0.1", OrderType::Market);
    }
    world.run(10_000);
    let want = [
        refused(Reject::NoBook), // before the first snapshot
        OrderStatus::Filled,
        refused(Reject::NoBook), // the gap is at the venue at 1,000 when the order arrives at 1,005
        refused(Reject::NoBook),
        OrderStatus::Filled,
        refused(Reject::VenueDown),
        refused(Reject::NoBook), // connected, but no snapshot yet
        OrderStatus::Filled,
        refused(Reject::NoBook), // stale: what is recorded is not what the venue has
        OrderStatus::Filled,
        refused(Reject::NoBook), // crossed: the record is broken
    ];
    let got: Vec<_> = world.heard.iter().map(|heard| heard.status).collect();
    assert_eq!(got, want);
}

#[test]
fn margin_bounds_exposure_but_not_its_reduction() {
    let mut config = config(VenueKind::Perpetual);
    config.venues[0].max_leverage = Some(2);
    let opening = [(VENUE, QUOTE, money("100"))];
    // Mid 100: the order of 2 is 200 of exposure on 100 of equity.
    let cases = [
        ("2", OrderStatus::Filled),
        ("2.001", OrderStatus::Rejected(Reject::InsufficientBalance)),
    ];
    for (size, want) in cases {
        let mut world = World::new(config.clone(), vec![book()], &opening);
        world.send(100, Side::Sell, size, OrderType::Market);
        world.run(200);
        assert_eq!(world.heard[0].status, want, "{size}");
    }
    let mut world = World::new(config, vec![book().snapshot(500, "149x9", "151x9")], &opening);
    world.send(100, Side::Sell, "2", OrderType::Market);
    // Equity is now 100 + 2 * 99 - 2 * 150 = -2: nothing new, but the way out is open.
    world.send(600, Side::Sell, "0.05", OrderType::Market);
    world.send(700, Side::Buy, "1", OrderType::Market);
    world.send(800, Side::Buy, "1", OrderType::Market);
    world.run(1_000);
    let got: Vec<_> = world.heard.iter().map(|heard| heard.status).collect();
    assert_eq!(
        got,
        [
            OrderStatus::Filled,
            OrderStatus::Rejected(Reject::InsufficientBalance),
            OrderStatus::Filled,
            OrderStatus::Filled
        ]
    );
    assert_eq!(world.holds(), (money("-4"), money("0")));
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused() {
    type Change = fn(&mut SimConfig);
    let refused = |change: Change, opening: &[(VenueId, CurrencyId, Amount)]| {
        let mut config = config(VenueKind::Spot);
        change(&mut config);
        Sim::new(config, opening).err()
    };
    let cases: [(Change, ConfigError); 8] = [
        (
            |config| config.venues[0].order_latency = Latency::Constant { ns: -1 },
            ConfigError::Latency(VENUE),
        ),
        (
            |config| {
                config.venues[0].report_latency = Latency::LogNormal {
                    median_ns: 1,
                    sigma: f64::NAN,
                }
            },
            ConfigError::Latency(VENUE),
        ),
        (
            |config| config.venues[0].order_latency = Latency::Recorded { multiple: -1.0 },
            ConfigError::Latency(VENUE),
        ),
        (
            |config| config.venues[0].maker_fee = Bps::from_bps(-10_001.0),
            ConfigError::Fee(VENUE),
        ),
        (
            |config| {
                config.venues[0].kind = VenueKind::Perpetual;
                config.venues[0].fee_rule = FeeRule::Received;
            },
            ConfigError::FeeCurrency(VENUE),
        ),
        (
            |config| config.venues[0].max_leverage = Some(3),
            ConfigError::Leverage(VENUE),
        ),
        (
            |config| config.venues[0].queue_model = QueueModel::Prob { exponent: 0.0 },
            ConfigError::Exponent(VENUE),
        ),
        (
            |config| config.instruments[0].venue = VenueId(1),
            ConfigError::Instrument(X),
        ),
    ];
    for (change, want) in cases {
        assert_eq!(refused(change, &[]), Some(SimError::Config(want)));
    }
    assert_eq!(refused(|_| (), &[]), None);
    assert!(matches!(
        refused(|_| (), &[(VenueId(3), QUOTE, money("1"))]),
        Some(SimError::NoWallet { .. })
    ));
}

#[test]
fn an_amount_that_does_not_fit_stops_the_run() {
    let stream = Stream::default().snapshot(0, "90000000000x1", "90000000001x90000000000");
    let mut world = World::new(config(VenueKind::Perpetual), vec![stream], &[]);
    world.orders = 1;
    let order = Order {
        id: OrderId(1),
        route: RouteId(0),
        leg: Leg::A,
        role: Role::Entry,
        instrument: X,
        side: Side::Buy,
        qty: qty("2000"),
        order_type: OrderType::Market,
        ts_sent: at_ms(100),
        mid: price("1"),
    };
    world.feed.now = at_ms(100);
    world.sim.submit(&order, &mut world.feed);
    let error = world.sim.poll(at_ms(200), &mut world.feed).unwrap_err();
    assert!(matches!(error, SimError::Overflow { order: OrderId(1), .. }), "{error}");
}
