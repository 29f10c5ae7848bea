use super::*;

fn book() -> Stream {
    Stream::default().snapshot(0, "100x5 99x5", "102x5 103x5")
}

fn maker(stream: Stream, model: QueueModel) -> World {
    let mut config = config(VenueKind::Spot);
    config.venues[0].maker_fee = Bps::from_bps(2.0);
    config.venues[0].taker_fee = Bps::from_bps(5.0);
    config.venues[0].queue_model = model;
    World::rich(config, stream)
}

/// When and how much was filled of the one order, a bid for `size` at 100 that is on the book from 110 on.
fn bid_fills(size: &str, stream: Stream, model: QueueModel) -> Vec<(i64, String, bool)> {
    let mut world = maker(stream, model);
    world.send(100, Side::Buy, size, OrderType::PostOnly(price("100")));
    world.run(10_000);
    assert_eq!(world.heard[0].status, OrderStatus::Resting);
    world.holds();
    let fills = world.heard[1..].iter();
    fills
        .map(|heard| {
            assert_eq!(heard.fills.len(), 1);
            assert_eq!(heard.fills[0].0, price("100"), "a maker is filled at its own price");
            assert_eq!(heard.ts_report, heard.ts_venue.plus(20 * MS));
            let (amount, done) = (heard.fills[0].1, heard.status == OrderStatus::Filled);
            (heard.ts_venue.0 / MS, format!("{amount:.1}"), done)
        })
        .collect()
}

fn fills(want: &[(i64, &str, bool)]) -> Vec<(i64, String, bool)> {
    want.iter()
        .map(|&(ms, size, done)| (ms, size.to_owned(), done))
        .collect()
}

const ADVERSE: QueueModel = QueueModel::RiskAdverse;
const LINEAR: QueueModel = QueueModel::Prob { exponent: 1.0 };

#[test]
fn a_bid_waits_for_the_queue_ahead_and_is_filled_by_the_rest_of_the_trade() {
    let stream = book()
        .trade(200, Side::Sell, "100", "3")
        .trade(300, Side::Buy, "102", "9") // the other side
        .trade(310, Side::Sell, "101", "9") // a better bid was hit, not ours
        .trade(400, Side::Sell, "100", "2") // the queue of 5 is just gone
        .trade(500, Side::Sell, "100", "0.4")
        .trade(600, Side::Sell, "100", "4");
    assert_eq!(
        bid_fills("1", stream, ADVERSE),
        fills(&[(500, "0.4", false), (600, "0.6", true)])
    );
}

#[test]
fn trades_before_the_order_is_there_do_not_count() {
    // Sent at 100, there at 110; the book of then has 2 left at 100.
    let stream = book()
        .trade(110, Side::Sell, "100", "3")
        .update(110, "100x2", "")
        .trade(111, Side::Sell, "100", "2.5");
    assert_eq!(bid_fills("1", stream, ADVERSE), fills(&[(111, "0.5", false)]));
}

#[test]
fn a_trade_through_our_price_fills_all() {
    let stream = book().trade(200, Side::Sell, "99.5", "0.001");
    assert_eq!(bid_fills("4", stream, ADVERSE), fills(&[(200, "4.0", true)]));
}

#[test]
fn without_trades_only_a_book_that_comes_to_our_price_fills() {
    let stream = book()
        .update(200, "100x0", "101x1")
        .update(300, "", "100.5x1")
        .update(400, "", "100x1 100.5x0");
    assert_eq!(bid_fills("4", stream, ADVERSE), fills(&[(400, "4.0", true)]));
    // A book that is crossed in itself is a broken record, and fills nobody.
    let stream = book().update(200, "", "99x1");
    assert_eq!(bid_fills("4", stream, ADVERSE), []);
}

#[test]
fn cancellations_ahead_move_us_up_only_as_the_model_says() {
    // 5 ahead; 3 join behind; then 4 of 8 go without a trade.
    let stream = book()
        .update(200, "100x8", "")
        .update(300, "100x4", "")
        .trade(400, Side::Sell, "100", "3");
    // Risk-adverse: all that went was behind us, but no more than 4 can be ahead: nothing of the 3 reaches us.
    assert_eq!(bid_fills("1", stream.clone(), ADVERSE), []);
    // Shared: 5/8 of the 4 were ahead, 2.5 stay ahead: 0.5 of the 3 reaches us.
    assert_eq!(bid_fills("1", stream, LINEAR), fills(&[(400, "0.5", false)]));
}

#[test]
fn a_decrease_that_a_trade_explains_moves_us_once() {
    let stream = book()
        .trade(200, Side::Sell, "100", "2")
        .update(200, "100x3", "")
        .trade(300, Side::Sell, "100", "3.2");
    for model in [ADVERSE, LINEAR] {
        assert_eq!(bid_fills("1", stream.clone(), model), fills(&[(300, "0.2", false)]));
    }
}

#[test]
fn our_own_orders_stand_behind_each_other() {
    let stream = book().trade(200, Side::Sell, "100", "6.5");
    let mut world = maker(stream, ADVERSE);
    for size in ["1", "1"] {
        world.send(100, Side::Buy, size, OrderType::PostOnly(price("100")));
    }
    world.run(1_000);
    let made: Vec<_> = world.heard[2..].iter().map(|h| (h.order, h.fills[0].1)).collect();
    assert_eq!(made, [(1, qty("1")), (2, qty("0.5"))]);
}

#[test]
fn an_ask_is_the_mirror_of_a_bid() {
    let stream = book()
        .trade(200, Side::Buy, "102", "5.5")
        .trade(300, Side::Buy, "102.5", "0.1");
    let mut world = maker(stream, ADVERSE);
    world.send(100, Side::Sell, "1", OrderType::PostOnly(price("102")));
    world.run(1_000);
    let made: Vec<_> = world.heard[1..].iter().map(|h| (h.fills[0], h.status)).collect();
    assert_eq!(
        made,
        [
            ((price("102"), qty("0.5")), OrderStatus::Resting),
            ((price("102"), qty("0.5")), OrderStatus::Filled)
        ]
    );
    // Fee of the maker, 2 bps: 102 - 0.0204.
    assert_eq!(world.holds(), (money("10101.9796"), money("9")));
}

#[test]
fn a_bid_outside_the_known_range_waits_until_its_queue_is_seen() {
    let stream = Stream::default()
        .top_of(0, "101x5", "102x5")
        .trade(200, Side::Sell, "100", "50")
        .top_of(300, "100x7 99x5", "102x5")
        .trade(400, Side::Sell, "100", "8");
    assert_eq!(bid_fills("2", stream, ADVERSE), fills(&[(400, "1.0", false)]));
}

#[test]
fn a_cancel_may_lose_the_race_and_there_is_one_end() {
    // The cancel is sent at 300 and arrives at 310.
    let cases = [
        (None, vec![OrderStatus::Resting, OrderStatus::Cancelled], "0"),
        (Some((310, "6")), vec![OrderStatus::Resting, OrderStatus::Filled], "1"),
        (
            Some((310, "5.4")),
            vec![OrderStatus::Resting, OrderStatus::Resting, OrderStatus::Cancelled],
            "0.4",
        ),
        (
            Some((311, "6")),
            vec![OrderStatus::Resting, OrderStatus::Cancelled],
            "0",
        ),
    ];
    for (trade, want, filled) in cases {
        let stream = match trade {
            Some((ms, size)) => book().trade(ms, Side::Sell, "100", size),
            None => book(),
        };
        let mut world = maker(stream, ADVERSE);
        let order = world.send(100, Side::Buy, "1", OrderType::PostOnly(price("100")));
        world.cancel(300, order);
        // Asking twice, or after the end, changes nothing.
        world.cancel(301, order);
        world.cancel(5_000, order);
        world.run(10_000);
        let got: Vec<_> = world.heard.iter().map(|heard| heard.status).collect();
        assert_eq!(got, want, "{trade:?}");
        assert_eq!(world.holds().1, money("10").checked_add(money(filled)).unwrap());
        assert!(world.sim.is_idle());
        assert_eq!(world.sim.next_due(), None);
    }
}

#[test]
fn a_cancel_never_overtakes_its_order() {
    let mut world = maker(book(), ADVERSE);
    let order = world.send(100, Side::Buy, "1", OrderType::PostOnly(price("100")));
    world.sim.cancel(order, at_ms(100));
    world.run(1_000);
    assert_eq!(
        world.statuses(),
        [(1, OrderStatus::Resting), (1, OrderStatus::Cancelled)]
    );
    assert_eq!(world.heard[1].ts_venue, at_ms(110));
}

#[test]
fn forty_resting_orders_filled_by_one_update_give_the_same_bits() {
    let run = || {
        let mut config = config(VenueKind::Spot);
        config.venues[0].maker_fee = Bps::from_bps(1.3);
        let latency = Latency::LogNormal {
            median_ns: 3 * MS,
            sigma: 1.0,
        };
        config.venues[0].order_latency = latency;
        config.venues[0].report_latency = latency;
        let mut world = World::rich(
            config,
            book().update(500, "", "90x1 102x0").snapshot(700, "80x1", "81x1"),
        );
        for index in 0..40 {
            let at = format!("{}", 81 + index % 20);
            world.send(100, Side::Buy, "0.777", OrderType::PostOnly(price(&at)));
        }
        world.run(2_000);
        world.holds();
        assert!(world.sim.is_idle());
        let ends = world.heard.iter().filter(|heard| heard.status == OrderStatus::Filled);
        assert_eq!(ends.count(), 40);
        assert!(world.heard.is_sorted_by_key(|heard| (heard.ts_report, heard.order)));
        (world.heard.clone(), world.ledger.hash())
    };
    let first = run();
    for _ in 0..3 {
        assert_eq!(run(), first);
    }
}

#[test]
fn what_we_do_on_a_fill_is_in_time_at_the_venue() {
    // Filled at 200, heard at 220; a market order sent then arrives at 230 and must not see the book of 240, although
    // the run is asked to go on to 1,000 at once.
    let stream = book()
        .trade(200, Side::Sell, "99", "1")
        .update(225, "100x7", "")
        .update(240, "100x0 99x0", "");
    let mut world = maker(stream, ADVERSE);
    world.send(100, Side::Buy, "1", OrderType::PostOnly(price("100")));
    world.run(150);
    world.feed.now = at_ms(1_000);
    let report = world.sim.poll(at_ms(1_000), &mut world.feed).unwrap().unwrap();
    assert_eq!((report.status, report.ts_report), (OrderStatus::Filled, at_ms(220)));
    let order = Order {
        id: OrderId(2),
        route: RouteId(0),
        leg: Leg::A,
        role: Role::Unwind,
        instrument: X,
        side: Side::Sell,
        qty: qty("6"),
        order_type: OrderType::Market,
        ts_sent: report.ts_report,
        mid: price("1"),
    };
    world.feed.now = at_ms(220);
    world.sim.submit(&order, &mut world.feed);
    let report = world.sim.poll(at_ms(1_000), &mut world.feed).unwrap().unwrap();
    assert_eq!(report.fills.len(), 1);
    assert_eq!((report.fills[0].price, report.fills[0].qty), (price("100"), qty("6")));
}
