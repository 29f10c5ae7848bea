//! Every kind of order with its money, at both venues.

use super::*;
use TimeInForce::{Fok, Gtc, Ioc, PostOnly};

#[test]
fn upbit_locks_funds_and_fee_and_gives_the_rest_back() {
    let mut bench = Bench::new(vec![]);
    // The recorded example: 10,000,000 at 0.0005 locks 5002.5 of which 2.5 is the fee's.
    let order = bench.limit(ANNA, Side::Buy, "10000000", "0.0005", Gtc).unwrap();
    assert_eq!((order.locked, order.reserved_fee), (amount("5002.5"), amount("2.5")));
    assert_eq!(bench.purse(ANNA, "KRW"), "9994997.50000000 5002.50000000");
    let order = bench
        .exchange
        .cancel(ANNA, OrderRef::Id(order.id), &mut bench.out)
        .unwrap();
    assert_eq!((order.state, order.locked), (OrderState::Cancelled, Amount::ZERO));
    assert_eq!(bench.purse(ANNA, "KRW"), "10000000.00000000 0.00000000");

    // A limit above the market pays what the market asks: 0.3 at 100,000,000 cannot be afforded, 0.05 can.
    assert_eq!(
        bench.limit(ANNA, Side::Buy, "100500000", "0.3", Gtc).unwrap_err(),
        Reject::InsufficientFunds
    );
    let order = bench.limit(ANNA, Side::Buy, "100500000", "0.05", Gtc).unwrap();
    assert_eq!(
        (order.state, order.executed_funds, order.fee),
        (OrderState::Filled, amount("5000000"), amount("2500"))
    );
    assert_eq!(bench.purse(ANNA, "KRW"), "4997500.00000000 0.00000000");
    assert_eq!(bench.purse(ANNA, "BTC"), "1.05000000 0.00000000");
    let btc = bench
        .exchange
        .balances(ANNA)
        .into_iter()
        .find(|balance| &*balance.currency == "BTC")
        .unwrap();
    // 5,000,000 for 0.05, over the bitcoin that was there for nothing.
    assert_eq!(btc.avg_buy_price, amount("4761904.76190476"));
    assert_eq!(
        bench.top(ANNA),
        "99999000.00000000 x 0.50000000 | 100000000.00000000 x 0.25000000"
    );

    // A sale's fee comes off what it brings.
    let order = bench.limit(ANNA, Side::Sell, "99999000", "0.1", Ioc).unwrap();
    assert_eq!((order.fee, &*order.fee_currency), (amount("4999.95"), "KRW"));
    assert_eq!(bench.purse(ANNA, "KRW"), "14992400.05000000 0.00000000");
}

#[test]
fn an_upbit_buy_by_funds_ends_with_its_rest_refunded() {
    let mut bench = Bench::new(vec![(
        1,
        KRW_BTC,
        ChangeKind::Snapshot,
        &[("99999000", "1")],
        &[("102945000", "1")],
    )]);
    bench.to(1);
    // Recorded: 10,000 won buy 0.00009713 at 102,945,000; the fee of 4.999523925 is cut to eight places.
    let kind = OrderKind::MarketFunds { funds: amount("10000") };
    let order = bench.send(ANNA, market_order(ANNA, Side::Buy, kind)).unwrap();
    assert_eq!(order.state, OrderState::Expired);
    assert_eq!(
        (order.executed, order.executed_funds),
        (qty("0.00009713"), amount("9999.04785"))
    );
    assert_eq!((order.fee, order.locked), (amount("4.99952392"), Amount::ZERO));
    assert_eq!(bench.purse(ANNA, "KRW"), "9989995.95262608 0.00000000");
    let spent = OrderKind::MarketFunds {
        funds: amount("102945"),
    };
    let order = bench.send(ANNA, market_order(ANNA, Side::Buy, spent)).unwrap();
    assert_eq!((order.state, order.executed), (OrderState::Filled, qty("0.001")));
}

#[test]
fn binance_takes_its_fee_out_of_what_is_received_or_in_bnb() {
    let mut bench = Bench::new(vec![]);
    let kind = OrderKind::MarketQty { qty: qty("0.4") };
    let order = bench.send(CARL, market_order(CARL, Side::Buy, kind)).unwrap();
    assert_eq!(
        (order.state, order.fills.len(), order.executed_funds),
        (OrderState::Filled, 2, amount("28000.1"))
    );
    assert_eq!((order.fee, &*order.fee_currency), (amount("0.0004"), "BTC"));
    assert_eq!(bench.purse(CARL, "BTC"), "1.39960000 0.00000000");
    assert_eq!(bench.purse(CARL, "USDT"), "71999.90000000 0.00000000");
    let kind = OrderKind::MarketFunds { funds: amount("70001") };
    let order = bench.send(DANA, market_order(DANA, Side::Buy, kind)).unwrap();
    // 0.6 at 70,001 are left, and nothing above them.
    assert_eq!((order.state, order.executed), (OrderState::Expired, qty("0.6")));
    let kind = OrderKind::MarketFunds { funds: amount("700") };
    let order = bench.send(DANA, market_order(DANA, Side::Sell, kind)).unwrap();
    assert_eq!(
        (order.state, order.executed, order.fee),
        (OrderState::Filled, qty("0.01"), amount("0.69999990"))
    );

    let mut config = bench_config();
    config.markets.binance_usdt.push("BNB".to_owned());
    config.accounts[2].fees_in_bnb = true;
    config.accounts[2].balances.insert("BNB".to_owned(), amount("0.05"));
    let mut script = Told::default();
    for (market, ask) in [(2, "70000"), (3, "1000")] {
        script.0.push_back(Change {
            ts: START,
            market,
            kind: ChangeKind::Snapshot,
            bids: levels(&[("10", "1")]),
            asks: levels(&[(ask, "5")]),
        });
    }
    let mut exchange = with_script(&config, script);
    let mut buy = || {
        exchange
            .place(CARL, limit_order(CARL, Side::Buy, "70000", "0.5", Gtc), &mut Vec::new())
            .unwrap()
    };
    let order = buy();
    // 0.1 % of 35,000 is 35, three quarters of it in BNB at 1,000.
    assert_eq!(
        (order.fills[0].fee, &*order.fills[0].fee_currency),
        (amount("0.02625"), "BNB")
    );
    assert_eq!(order.fee, Amount::ZERO);
    let order = buy();
    assert_eq!(
        &*order.fills[0].fee_currency, "BTC",
        "there is not enough BNB for another"
    );
}

#[test]
fn terms_of_an_order_decide_what_becomes_of_its_rest() {
    type Outcome = Result<(OrderState, &'static str), Reject>;
    let cases: [(TimeInForce, &str, &str, Outcome); 9] = [
        (Gtc, "70000", "0.2", Ok((OrderState::Filled, "0.2"))),
        (Gtc, "70000", "0.4", Ok((OrderState::Open, "0.3"))),
        (Ioc, "70000", "0.4", Ok((OrderState::Expired, "0.3"))),
        (Ioc, "69000", "0.4", Ok((OrderState::Expired, "0"))),
        (Fok, "70000", "0.4", Ok((OrderState::Expired, "0"))),
        (Fok, "70001", "0.4", Ok((OrderState::Filled, "0.4"))),
        (PostOnly, "70000", "0.4", Err(Reject::WouldTake)),
        (PostOnly, "69999.99", "0.4", Ok((OrderState::Open, "0"))),
        (Gtc, "1000", "0.4", Ok((OrderState::Open, "0"))),
    ];
    for (tif, at, of, want) in cases {
        let mut bench = Bench::new(vec![]);
        let got = bench.limit(CARL, Side::Buy, at, of, tif);
        let got = got.map(|order| (order.state, order.executed));
        assert_eq!(
            got,
            want.map(|(state, executed)| (state, qty(executed))),
            "{tif:?} {of} at {at}"
        );
        let locked = bench.purse(CARL, "USDT").ends_with(" 0.00000000");
        assert_eq!(
            locked,
            !matches!(want, Ok((OrderState::Open, _))),
            "{tif:?} {of} at {at} locks"
        );
    }
}

#[test]
fn what_breaks_a_rule_is_refused_by_its_name() {
    let limit = |at: &str, of: &str| limit_order(CARL, Side::Buy, at, of, Gtc);
    let cases = [
        (limit("70000.001", "0.1"), Reject::BadPrice),
        (limit("70000", "0.000001"), Reject::BadQty),
        (limit("70000", "0"), Reject::BadQty),
        (limit("70000", "9500000000"), Reject::BadQty),
        (limit("70000", "0.00007"), Reject::UnderMinTotal),
        (limit("70000", "500"), Reject::OverMaxTotal),
        (limit("70000", "1.5"), Reject::InsufficientFunds),
        (
            NewOrder {
                symbol: "NOPE".into(),
                ..limit("70000", "0.1")
            },
            Reject::UnknownMarket,
        ),
    ];
    for (order, want) in cases {
        let mut bench = Bench::new(vec![]);
        assert_eq!(bench.exchange.test(CARL, &order), Err(want), "{order:?}");
        assert_eq!(bench.send(CARL, order).unwrap_err(), want);
        assert!(bench.out.is_empty(), "a refused order tells nobody anything");
    }
    let mut bench = Bench::new(vec![]);
    assert_eq!(
        bench.limit(99, Side::Buy, "70000", "0.1", Gtc).unwrap_err(),
        Reject::UnknownMarket
    );
    for _ in 0..200 {
        bench.limit(CARL, Side::Buy, "1000", "0.01", Gtc).unwrap();
    }
    assert_eq!(
        bench.limit(CARL, Side::Buy, "1000", "0.01", Gtc).unwrap_err(),
        Reject::TooManyOrders
    );
}

#[test]
fn clients_ids_follow_each_venues_rule() {
    let named = |account, text: &str, of: &str| NewOrder {
        client_id: Some(text.to_owned()),
        ..limit_order(
            account,
            Side::Buy,
            if account < CARL { "10000000" } else { "10000" },
            of,
            Gtc,
        )
    };
    let mut bench = Bench::new(vec![]);
    let order = bench.send(ANNA, named(ANNA, "a", "0.01")).unwrap();
    bench
        .exchange
        .cancel(ANNA, OrderRef::ClientId("a"), &mut bench.out)
        .unwrap();
    assert_eq!(
        bench.exchange.order(ANNA, OrderRef::ClientId("a")).unwrap().id,
        order.id
    );
    assert!(
        bench.exchange.order(BORA, OrderRef::Id(order.id)).is_none(),
        "it is someone else's"
    );
    assert_eq!(
        bench.send(ANNA, named(ANNA, "a", "0.01")).unwrap_err(),
        Reject::DuplicateClientId
    );
    assert_eq!(
        bench.send(ANNA, named(ANNA, "b", "1")).unwrap_err(),
        Reject::InsufficientFunds
    );
    assert_eq!(
        bench.exchange.test(ANNA, &named(ANNA, "b", "0.01")),
        Err(Reject::DuplicateClientId),
        "burnt by a failure"
    );
    assert_eq!(bench.exchange.test(ANNA, &named(ANNA, "c", "0.01")), Ok(()));
    bench.send(ANNA, named(ANNA, "c", "0.01")).unwrap();
    bench.send(BORA, named(BORA, "c", "0.01")).unwrap();

    bench.send(CARL, named(CARL, "a", "0.01")).unwrap();
    assert_eq!(
        bench.send(CARL, named(CARL, "a", "0.01")).unwrap_err(),
        Reject::DuplicateClientId
    );
    bench
        .exchange
        .cancel(CARL, OrderRef::ClientId("a"), &mut bench.out)
        .unwrap();
    let again = bench.send(CARL, named(CARL, "a", "0.01")).unwrap();
    assert_eq!(
        bench.exchange.order(CARL, OrderRef::ClientId("a")).unwrap().id,
        again.id,
        "the newest"
    );
    let refused = bench
        .exchange
        .cancel(CARL, OrderRef::Id(1), &mut bench.out)
        .unwrap_err();
    assert_eq!(refused, Reject::UnknownOrder);
    bench
        .exchange
        .cancel(CARL, OrderRef::Id(again.id), &mut bench.out)
        .unwrap();
    let refused = bench
        .exchange
        .cancel(CARL, OrderRef::Id(again.id), &mut bench.out)
        .unwrap_err();
    assert_eq!(refused, Reject::NotOpen);
    assert_eq!(bench.exchange.orders(CARL, None, OrderFilter::Open).len(), 0);
    assert_eq!(
        bench.exchange.orders(CARL, Some("BTCUSDT"), OrderFilter::Closed).len(),
        2
    );
    assert_eq!(bench.exchange.orders(CARL, Some("ETHUSDT"), OrderFilter::All).len(), 0);
}

#[test]
fn price_comes_before_time_and_the_markets_own_quantity_keeps_its_place() {
    let trade = |p: &str, q: &str| ChangeKind::Trade {
        price: price(p),
        qty: qty(q),
        taker: Side::Sell,
    };
    let mut bench = Bench::new(vec![
        (1, KRW_BTC, trade("99999000", "0.4"), &[], &[]),
        (2, KRW_BTC, ChangeKind::Update, &[("99999000", "0.05")], &[]),
        (3, KRW_BTC, trade("99999000", "0.07"), &[], &[]),
        (4, KRW_BTC, trade("99999000", "0.05"), &[], &[]),
        (5, KRW_BTC, trade("99998000", "1"), &[], &[]),
    ]);
    let early = bench.limit(ANNA, Side::Buy, "99999000", "0.03", Gtc).unwrap().id;
    let late = bench.limit(BORA, Side::Buy, "99999000", "0.04", Gtc).unwrap().id;
    let state = |bench: &Bench, id| {
        let all = [ANNA, BORA]
            .into_iter()
            .find_map(|account| bench.exchange.order(account, OrderRef::Id(id)));
        all.map(|order| order.executed).unwrap()
    };
    assert_eq!(
        bench.top(ANNA),
        "99999000.00000000 x 0.57000000 | 100000000.00000000 x 0.30000000"
    );
    bench.to(2);
    // 0.4 of the 0.5 ahead traded; then the level shrank to 0.05, all of which is still ahead.
    assert_eq!((state(&bench, early), state(&bench, late)), (qty("0"), qty("0")));
    bench.to(3);
    assert_eq!((state(&bench, early), state(&bench, late)), (qty("0.02"), qty("0")));
    bench.to(4);
    assert_eq!((state(&bench, early), state(&bench, late)), (qty("0.03"), qty("0.04")));
    bench.to(5);
    let trades = bench.exchange.trades(Venue::Upbit, "KRW-BTC", 10).unwrap();
    let seen: Vec<String> = trades
        .iter()
        .rev()
        .map(|trade| format!("{} {}", trade.id, trade.qty))
        .collect();
    let want = [
        "1 0.40000000",
        "2 0.02000000",
        "3 0.05000000",
        "4 0.01000000",
        "5 0.04000000",
        "6 1.00000000",
    ];
    assert_eq!(seen, want, "what is traded is what the source said, in parts");
}

#[test]
fn an_order_fills_when_the_market_comes_to_it_and_what_was_taken_stays_taken() {
    let mut bench = Bench::new(vec![
        (1, BTCUSDT, ChangeKind::Update, &[], &[("69999.5", "0.02")]),
        (2, BTCUSDT, ChangeKind::Update, &[], &[("69999.5", "0.5")]),
        (3, BTCUSDT, ChangeKind::Update, &[("69998", "0.1")], &[]),
        (4, BTCUSDT, ChangeKind::Update, &[], &[("69999.5", "0.5")]),
    ]);
    let id = bench.limit(CARL, Side::Buy, "69999.99", "0.05", Gtc).unwrap().id;
    assert_eq!(
        bench.top(CARL),
        "69999.99000000 x 0.55000000 | 70000.00000000 x 0.30000000"
    );
    bench.to(1);
    let order = bench.exchange.order(CARL, OrderRef::Id(id)).unwrap().clone();
    assert_eq!(
        (order.executed, order.fills[0].price, order.fills[0].maker),
        (qty("0.02"), price("69999.99"), true)
    );
    bench.to(3);
    let order = bench.exchange.order(CARL, OrderRef::Id(id)).unwrap();
    assert_eq!((order.state, order.executed), (OrderState::Filled, qty("0.05")));
    // 0.03 of the 0.5 went to the order, and no word of that level since.
    let view = bench.exchange.book(Venue::Binance, "BTCUSDT", 5).unwrap();
    assert_eq!(view.asks[0], levels(&[("69999.5", "0.47")])[0]);
    bench.to(4);
    let view = bench.exchange.book(Venue::Binance, "BTCUSDT", 5).unwrap();
    assert_eq!(view.asks[0], levels(&[("69999.5", "0.5")])[0]);
}

#[test]
fn an_order_that_meets_its_own_account_does_what_it_was_told() {
    let cases = [
        (
            SelfMatch::CancelMaker,
            OrderState::Prevented,
            OrderState::Open,
            "0",
            "0.05",
        ),
        (
            SelfMatch::CancelTaker,
            OrderState::Open,
            OrderState::Prevented,
            "0",
            "0.05",
        ),
        (
            SelfMatch::CancelBoth,
            OrderState::Prevented,
            OrderState::Prevented,
            "0",
            "0.05",
        ),
        (SelfMatch::Reduce, OrderState::Prevented, OrderState::Open, "0", "0.05"),
        (SelfMatch::Allow, OrderState::Filled, OrderState::Open, "0.05", "0"),
    ];
    for (mode, maker_state, taker_state, executed, prevented) in cases {
        let mut bench = Bench::new(vec![]);
        let maker = bench.limit(CARL, Side::Sell, "69999.995", "0.05", Gtc);
        assert_eq!(maker.unwrap_err(), Reject::BadPrice);
        bench.limit(CARL, Side::Buy, "69999.99", "0.5", Ioc).unwrap();
        let maker = bench.limit(CARL, Side::Sell, "70000", "0.05", Gtc).unwrap().id;
        // The market's own 0.3 at that price is ahead of it.
        let taker = NewOrder {
            self_match: mode,
            ..limit_order(CARL, Side::Buy, "70000", "0.4", Gtc)
        };
        let taker = bench.send(CARL, taker).unwrap();
        let maker = bench.exchange.order(CARL, OrderRef::Id(maker)).unwrap();
        assert_eq!((maker.state, taker.state), (maker_state, taker_state), "{mode:?}");
        assert_eq!(maker.executed, qty(executed), "{mode:?}");
        let lost = match mode {
            SelfMatch::CancelTaker => taker.prevented,
            _ => maker.prevented,
        };
        let want = if mode == SelfMatch::CancelTaker {
            "0.1"
        } else {
            prevented
        };
        assert_eq!(lost, qty(want), "{mode:?}");
        assert!(taker.executed >= qty("0.3"), "{mode:?}");
    }
    let mut bench = Bench::new(vec![]);
    bench.limit(CARL, Side::Sell, "70000", "0.05", Gtc).unwrap();
    let order = bench.limit(DANA, Side::Buy, "70000", "0.35", Gtc).unwrap();
    assert_eq!(
        (order.state, order.fills.len()),
        (OrderState::Filled, 2),
        "another account trades with it"
    );
}

#[test]
fn the_owner_hears_of_everything_in_order() {
    let mut bench = Bench::new(vec![]);
    bench.limit(CARL, Side::Buy, "70000", "0.4", Ioc).unwrap();
    let heard: Vec<String> = bench
        .out
        .iter()
        .map(|notice| match notice {
            Notice::Market(event) => match &event.kind {
                MarketEventKind::Book { .. } => "book".to_owned(),
                MarketEventKind::Trade { qty, .. } => format!("trade {qty}"),
                other => format!("{other:?}"),
            },
            Notice::Account(event) => match &event.kind {
                AccountEventKind::New(order) => format!("new {:?}", order.state),
                AccountEventKind::Trade(order) => format!("filled {} {:?}", order.executed, order.state),
                AccountEventKind::Working(order) => format!("working {:?}", order.state),
                AccountEventKind::Amended(order) => format!("amended {:?}", order.order.kind),
                AccountEventKind::Ended(order) => format!("ended {:?}", order.state),
                AccountEventKind::Balances(list) => list
                    .iter()
                    .map(|balance| balance.currency.to_string())
                    .collect::<Vec<_>>()
                    .join(" "),
            },
            Notice::Fault(fault) => format!("{fault:?}"),
        })
        .collect();
    let want = [
        "new Open",
        "trade 0.30000000",
        "filled 0.30000000 Open",
        "ended Expired",
        "book",
        "BTC USDT",
    ];
    assert_eq!(heard, want);
}
