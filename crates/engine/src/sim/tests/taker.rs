use super::*;

fn book() -> Stream {
    Stream::default().snapshot(0, "99x1 98x1", "101x1 102x1 103x1")
}

/// A perpetual account without money: position and cash are what the orders made of nothing.
fn flat(stream: Stream) -> World {
    World::new(config(VenueKind::Perpetual), vec![stream], &[])
}

#[test]
fn a_market_buy_walks_the_levels() {
    let mut world = flat(book());
    world.send(100, Side::Buy, "2.5", OrderType::Market);
    world.run(1_000);
    assert_eq!(world.holds(), (money("-254.5"), money("2.5")));
    let heard = &world.heard[0];
    assert_eq!(heard.status, OrderStatus::Filled);
    assert_eq!(
        heard.fills,
        [
            (price("101"), qty("1")),
            (price("102"), qty("1")),
            (price("103"), qty("0.5"))
        ]
    );
    assert_eq!((heard.ts_venue, heard.ts_report), (at_ms(110), at_ms(130)));
}

#[test]
fn a_limit_stops_the_walk_and_the_rest_expires() {
    let mut world = flat(book());
    world.send(100, Side::Buy, "2.5", OrderType::Limit(price("102")));
    world.run(1_000);
    assert_eq!(world.holds(), (money("-203"), money("2")));
    assert_eq!(world.heard[0].status, OrderStatus::Expired);
    assert_eq!(
        world.heard[0].fills,
        [(price("101"), qty("1")), (price("102"), qty("1"))]
    );
}

#[test]
fn the_level_left_by_a_clearing_snapshot_is_the_best() {
    let mut world = flat(book().snapshot(50, "99x1 98x1", "103x1"));
    world.send(100, Side::Buy, "0.5", OrderType::Market);
    world.run(1_000);
    assert_eq!(world.heard[0].fills, [(price("103"), qty("0.5"))]);
}

#[test]
fn an_order_sees_the_venues_book_at_its_arrival_not_ours() {
    // Sent at 100 it arrives at 110: the message of 110 counts although we only receive it at 115, that of 111 does not.
    let stream = book().update(110, "", "101x0").update(111, "", "102x0");
    let mut world = flat(stream);
    world.send(100, Side::Buy, "0.5", OrderType::Market);
    world.run(1_000);
    assert_eq!(world.heard[0].fills, [(price("102"), qty("0.5"))]);
}

#[test]
fn what_was_taken_stays_taken_until_its_level_is_refreshed() {
    let stream = book()
        .update(300, "99x2", "104x1")
        .update(500, "", "101x0.7")
        .snapshot(700, "99x1", "101x1 102x1")
        .snapshot(1_500, "99x1", "101x1 102x1");
    let mut world = flat(stream);
    world.send(100, Side::Buy, "1.4", OrderType::Market);
    world.run(150);
    // Nothing has refreshed 101 and 102: 0.6 left at 102.
    world.send(200, Side::Buy, "0.8", OrderType::Market);
    // An update of other levels changes nothing.
    world.send(400, Side::Buy, "0.1", OrderType::Market);
    // 101 was named: its 0.7 are there again; 102 was not.
    world.send(600, Side::Buy, "0.8", OrderType::Market);
    // A snapshot refreshes all.
    world.send(800, Side::Buy, "1.5", OrderType::Market);
    world.run(5_000);
    let fills: Vec<_> = world.heard.iter().map(|heard| heard.fills.clone()).collect();
    assert_eq!(fills[0], [(price("101"), qty("1")), (price("102"), qty("0.4"))]);
    assert_eq!(fills[1], [(price("102"), qty("0.6")), (price("103"), qty("0.2"))]);
    assert_eq!(fills[2], [(price("103"), qty("0.1"))]);
    assert_eq!(fills[3], [(price("101"), qty("0.7")), (price("103"), qty("0.1"))]);
    assert_eq!(fills[4], [(price("101"), qty("1")), (price("102"), qty("0.5"))]);
    assert_eq!(world.sim.next_due(), None, "nothing is taken any more: idle");
}

#[test]
fn orders_in_flight_together_share_the_book() {
    let mut world = flat(book());
    world.send(100, Side::Buy, "1", OrderType::Market);
    world.send(100, Side::Buy, "1", OrderType::Market);
    world.send(101, Side::Buy, "2", OrderType::Market);
    world.run(1_000);
    let fills: Vec<_> = world.heard.iter().map(|heard| heard.fills.clone()).collect();
    assert_eq!(fills[0], [(price("101"), qty("1"))]);
    assert_eq!(fills[1], [(price("102"), qty("1"))]);
    assert_eq!(fills[2], [(price("103"), qty("1"))]);
    assert_eq!(world.heard[2].status, OrderStatus::Expired);
}

#[test]
fn nothing_is_taken_beyond_what_a_partial_snapshot_vouches_for() {
    let stream = Stream::default()
        .top_of(0, "99x1", "101x1 102x1")
        .update(50, "", "103x9");
    let mut world = flat(stream);
    world.send(100, Side::Buy, "5", OrderType::Market);
    world.run(1_000);
    assert_eq!(world.holds().1, money("2"));
    assert_eq!(world.heard[0].status, OrderStatus::Expired);
}

#[test]
fn an_empty_side_fills_nothing_and_the_other_still_trades() {
    let mut world = flat(Stream::default().snapshot(0, "99x1", ""));
    world.send(100, Side::Buy, "1", OrderType::Market);
    world.send(200, Side::Sell, "1", OrderType::Market);
    world.run(1_000);
    assert_eq!(world.statuses(), [(1, OrderStatus::Expired), (2, OrderStatus::Filled)]);
}

#[test]
fn the_top_model_fills_whole_at_the_best_price() {
    let mut top = config(VenueKind::Perpetual);
    top.fill_model = FillModel::Top;
    let mut world = World::new(top, vec![book()], &[]);
    world.send(100, Side::Buy, "2.5", OrderType::Market);
    world.send(200, Side::Buy, "2.5", OrderType::Limit(price("101")));
    world.send(300, Side::Buy, "2.5", OrderType::Limit(price("100.5")));
    world.run(1_000);
    assert_eq!(world.holds(), (money("-505"), money("5")));
    assert_eq!(world.heard[0].fills, [(price("101"), qty("2.5"))]);
    assert_eq!(world.heard[2].status, OrderStatus::Expired);
}

#[test]
fn fees_are_paid_in_the_venues_currency_and_rounded_up() {
    let cases = [
        // rule, side, quote after, base after, BNB after
        (FeeRule::Quote, Side::Buy, "9898.9495", "11", "1"),
        (FeeRule::Quote, Side::Sell, "10098.9505", "9", "1"),
        (FeeRule::Received, Side::Buy, "9899", "10.9995", "1"),
        (FeeRule::Received, Side::Sell, "10098.9505", "9", "1"),
        (
            FeeRule::Fixed {
                currency: BNB,
                price: price("600"),
            },
            Side::Buy,
            "9899",
            "11",
            // 0.0505 / 600 = 0.0000841666…, rounded up.
            "0.99991583",
        ),
    ];
    for (rule, side, quote, base, bnb) in cases {
        let mut config = config(VenueKind::Spot);
        config.venues[0].fee_rule = rule;
        config.venues[0].taker_fee = Bps::from_bps(5.0);
        let at = if side == Side::Buy { "101" } else { "99" };
        let mut world = World::rich(config, Stream::default().snapshot(0, "99x5", "101x5"));
        world.send(100, side, "1", OrderType::Market);
        world.run(1_000);
        assert_eq!(world.heard[0].fills, [(price(at), qty("1"))]);
        assert_eq!(world.holds(), (money(quote), money(base)), "{rule:?} {side:?}");
        assert_eq!(world.ledger.balance(VENUE, BNB), money(bnb));
    }
}
