use super::*;

/// When each of `count` orders is at the venue and when its report is here, sent every 100 ms from 1,000 on.
fn travel(order: Latency, report: Latency, seed: u64, count: i64) -> Vec<(i64, i64)> {
    let mut config = config(VenueKind::Perpetual);
    config.venues[0].order_latency = order;
    config.venues[0].report_latency = report;
    config.seed = seed;
    let mut world = World::new(config, vec![Stream::default().snapshot(0, "99x900", "101x900")], &[]);
    for index in 0..count {
        world.send(1_000 + 100 * index, Side::Buy, "0.1", OrderType::Market);
    }
    world.run(10_000_000);
    let mut heard = world.heard.clone();
    heard.sort_by_key(|heard| heard.order);
    let times = heard.iter().enumerate().map(|(index, heard)| {
        let sent = at_ms(1_000 + 100 * index as i64);
        (heard.ts_venue.since(sent), heard.ts_report.since(heard.ts_venue))
    });
    times.collect()
}

#[test]
fn constant_latency_is_constant_and_may_be_zero() {
    let (a, b) = (Latency::Constant { ns: 0 }, Latency::Constant { ns: 7 });
    assert_eq!(travel(a, b, 1, 3), [(0, 7); 3]);
}

#[test]
fn recorded_latency_is_the_feeds_own() {
    let feed = FEED_DELAY_MS * MS;
    let (once, twice) = (Latency::Recorded { multiple: 1.0 }, Latency::Recorded { multiple: 2.0 });
    assert_eq!(travel(once, twice, 1, 2), [(feed, 2 * feed); 2]);
}

#[test]
fn lognormal_latency_depends_on_seed_and_order_alone() {
    let log = Latency::LogNormal {
        median_ns: 10 * MS,
        sigma: 0.5,
    };
    let none = Latency::Constant { ns: 0 };
    let both = travel(log, log, 9, 400);
    assert_eq!(travel(log, log, 9, 400), both, "the same seed");
    assert_ne!(travel(log, log, 10, 400), both, "another seed");
    assert_eq!(travel(log, log, 9, 40), both[..40], "later orders change nothing");
    // What one latency draws does not depend on the model of the other.
    let alone: Vec<_> = travel(log, none, 9, 400).iter().map(|pair| pair.0).collect();
    assert_eq!(alone, both.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let mut sorted = alone;
    sorted.sort_unstable();
    assert!(sorted[0] > 0);
    // The median of 400 draws has a standard error of 1.25 * 0.5 / 20 in the logarithm: within four of them.
    let ratio = sorted[200] as f64 / (10 * MS) as f64;
    assert!((0.88..1.14).contains(&ratio), "{ratio}");
}

#[test]
fn reports_of_one_order_never_overtake_each_other() {
    // The recorded delay falls from 5 ms to 0 between two fills of one order.
    let mut stream = Stream::default()
        .snapshot(0, "100x1", "102x1")
        .trade(200, Side::Sell, "100", "1.2");
    let bids = levels("100x3");
    let update = EventKind::Update { bids: &bids, asks: &[] };
    stream.0.push(at_ms(205), at_ms(205), update).unwrap();
    let low = EventKind::Trade {
        price: price("99"),
        qty: qty("1"),
        taker: Side::Sell,
    };
    stream.0.push(at_ms(206), at_ms(206), low).unwrap();
    let mut config = config(VenueKind::Spot);
    config.venues[0].report_latency = Latency::Recorded { multiple: 10.0 };
    let mut world = World::rich(config, stream);
    world.send(100, Side::Buy, "1", OrderType::PostOnly(price("100")));
    world.run(1_000);
    let got: Vec<_> = world
        .heard
        .iter()
        .map(|heard| (heard.status, heard.ts_report))
        .collect();
    assert_eq!(
        got,
        [
            (OrderStatus::Resting, at_ms(160)),
            (OrderStatus::Resting, at_ms(250)),
            (OrderStatus::Filled, at_ms(250))
        ]
    );
}

#[test]
fn funding_is_due_on_the_position_at_the_venue_at_that_time() {
    // Bought at 110 and at 210; funding at 200 and, in the same instant as a fill, at 310.
    let mut world = World::new(
        config(VenueKind::Perpetual),
        vec![Stream::default().snapshot(0, "99x900", "101x900")],
        &[],
    );
    world.send(100, Side::Buy, "2", OrderType::Market);
    world.send(200, Side::Buy, "3", OrderType::Market);
    world.run(215);
    // Received at 215, when the venue already holds 5: 2 * 100 * 0.0001.
    assert_eq!(
        world.sim.funding(X, at_ms(200), 10_000, price("100")).unwrap(),
        money("-0.02")
    );
    world.send(300, Side::Sell, "9", OrderType::Market);
    world.run(320);
    assert_eq!(
        world.sim.funding(X, at_ms(310), 10_000, price("100")).unwrap(),
        money("-0.05")
    );
    assert_eq!(
        world.sim.funding(X, at_ms(320), 10_000, price("100")).unwrap(),
        money("0.04")
    );
    world.run(1_000);
    assert_eq!(world.sim.balance(VENUE, QUOTE), money("385.97")); // -505 + 891 - 0.03
}
