//! What Binance alone does: amendments, its reference price, its bounds.

use super::*;
use TimeInForce::{Fok, Gtc, Ioc};

#[test]
fn a_reduced_order_keeps_its_place_and_frees_what_it_locked() {
    let trade = |q: &str| ChangeKind::Trade {
        price: price("69999.99"),
        qty: qty(q),
        taker: Side::Sell,
    };
    let mut bench = Bench::new(vec![
        (1, BTCUSDT, trade("0.6"), &[], &[]),
        (2, BTCUSDT, trade("0.3"), &[], &[]),
    ]);
    let first = bench.limit(CARL, Side::Buy, "69999.99", "0.5", Gtc).unwrap().id;
    let second = bench.limit(DANA, Side::Buy, "69999.99", "0.4", Gtc).unwrap().id;
    bench.to(1);
    // 0.5 of the market's own came before both; then the first had 0.1.
    let amend = |bench: &mut Bench, of: &str, name: &str| {
        bench
            .exchange
            .amend(CARL, OrderRef::Id(first), qty(of), name.to_owned(), &mut bench.out)
    };
    let refused = [
        ("0.6", Reject::AmendIncrease),
        ("0.5", Reject::AmendNothing),
        ("0.1", Reject::BadQty),
        ("0.05", Reject::BadQty),
        ("0", Reject::BadQty),
        ("0.300001", Reject::BadQty),
    ];
    for (of, want) in refused {
        assert_eq!(amend(&mut bench, of, "a").unwrap_err(), want, "{of}");
    }
    assert_eq!(bench.purse(CARL, "USDT").split(' ').next_back(), Some("27999.99600000"));
    let order = amend(&mut bench, "0.3", "a").unwrap();
    assert_eq!((order.state, order.executed), (OrderState::Open, qty("0.1")));
    assert_eq!(bench.purse(CARL, "USDT").split(' ').next_back(), Some("13999.99800000"));
    assert!(
        bench.top(CARL).starts_with("69999.99000000 x 1.10000000 |"),
        "{}",
        bench.top(CARL)
    );
    assert_eq!(bench.exchange.order(CARL, OrderRef::ClientId("a")).unwrap().id, first);
    bench.to(2);
    let executed = |account, id| bench.exchange.order(account, OrderRef::Id(id)).unwrap().executed;
    assert_eq!(
        (executed(CARL, first), executed(DANA, second)),
        (qty("0.3"), qty("0.1"))
    );
    let mut bench = Bench::new(vec![]);
    let id = bench.limit(CARL, Side::Buy, "1000", "1", Gtc).unwrap().id;
    let other = NewOrder {
        client_id: Some("taken".to_owned()),
        ..limit_order(CARL, Side::Buy, "1000", "1", Gtc)
    };
    bench.send(CARL, other).unwrap();
    let mut amend = |account, of: &str, name: &str| {
        let order = bench
            .exchange
            .amend(account, OrderRef::Id(id), qty(of), name.to_owned(), &mut bench.out);
        order.map(|order| order.amends.len())
    };
    assert_eq!(
        amend(DANA, "0.9", "x"),
        Err(Reject::UnknownOrder),
        "it is someone else's"
    );
    assert_eq!(amend(CARL, "0.9", "taken"), Err(Reject::DuplicateClientId));
    assert_eq!(amend(CARL, "0.001", "x"), Err(Reject::UnderMinTotal));
    for nth in 1..=10 {
        // Its own id may stay.
        assert_eq!(amend(CARL, &format!("0.{:02}", 100 - nth), "x"), Ok(nth));
    }
    assert_eq!(amend(CARL, "0.8", "x"), Err(Reject::TooManyAmends));
    bench
        .exchange
        .cancel(CARL, OrderRef::ClientId("x"), &mut bench.out)
        .unwrap();
    assert_eq!(bench.purse(CARL, "USDT"), "99000.00000000 1000.00000000");
}

#[test]
fn orders_far_from_where_the_market_trades_are_refused_or_expire() {
    let trade = |p: &str| ChangeKind::Trade {
        price: price(p),
        qty: qty("0.01"),
        taker: Side::Sell,
    };
    let asks: Texts<'_> = &[
        ("80499.99", "0.1"),
        ("80500.01", "0.1"),
        ("90000", "1"),
        ("70000", "0"),
        ("70001", "0"),
    ];
    let mut bench = Bench::new(vec![
        (1, BTCUSDT, trade("60000"), &[], &[]),
        (2, BTCUSDT, trade("80000"), &[], &[]),
        (2, BTCUSDT, ChangeKind::Update, &[], asks),
        (400, BTCUSDT, ChangeKind::Update, &[("69999", "2")], &[]),
    ]);
    let reference = |bench: &Bench| bench.exchange.reference_price(Venue::Binance, "BTCUSDT").unwrap();
    assert_eq!(reference(&bench), ReferencePrice::Never);
    assert!(
        bench.limit(CARL, Side::Buy, "1000", "0.01", Gtc).is_ok(),
        "nothing to compare with"
    );
    bench.to(2);
    assert_eq!(reference(&bench), ReferencePrice::Is(price("70000")));
    assert_eq!(bench.exchange.reference_price(Venue::Binance, "NOPE"), None);
    let cases = [
        (Side::Buy, "350000", true),
        (Side::Buy, "350000.01", false),
        (Side::Buy, "14000", true),
        (Side::Buy, "13999.99", false),
        (Side::Sell, "350000", true),
        (Side::Sell, "350000.01", false),
        (Side::Sell, "13999.99", false),
    ];
    for (side, at, near) in cases {
        let got = bench.exchange.test(DANA, &limit_order(DANA, side, at, "0.001", Gtc));
        let want = if near { Ok(()) } else { Err(Reject::PercentPriceBySide) };
        assert_eq!(got, want, "{side:?} {at}");
    }
    // 15 % above 70,000 is 80,500: the first level is within, the next is not.
    let order = bench.limit(DANA, Side::Buy, "90000", "0.15", Fok).unwrap();
    assert_eq!((order.state, order.executed), (OrderState::Expired, qty("0")));
    let order = bench.limit(DANA, Side::Buy, "90000", "0.15", Gtc).unwrap();
    assert_eq!((order.state, order.executed), (OrderState::OutOfRange, qty("0.1")));
    assert_eq!(bench.purse(DANA, "USDT"), "91950.00100000 0.00000000");
    bench.to(400);
    assert_eq!(reference(&bench), ReferencePrice::Unset);
    // Without a reference price nothing keeps an order from taking; the last price stands in for what it may ask.
    let order = bench.limit(DANA, Side::Buy, "90000", "0.15", Gtc).unwrap();
    assert_eq!(order.state, OrderState::Filled);
    let far = limit_order(DANA, Side::Buy, "16099.99", "0.01", Gtc);
    assert_eq!(bench.exchange.test(DANA, &far), Err(Reject::PercentPriceBySide));
}

#[test]
fn an_account_may_hold_and_send_only_so_much() {
    let mut config = bench_config();
    config.binance.max_position.insert("BTC".to_owned(), amount("1.5"));
    config.binance.max_asset.insert("BTC".to_owned(), amount("0.4"));
    config.binance.max_asset.insert("USDT".to_owned(), amount("14000"));
    let mut script = Told::default();
    script.0.push_back(Change {
        ts: START,
        market: BTCUSDT,
        kind: ChangeKind::Snapshot,
        bids: levels(&[("69999", "1")]),
        asks: levels(&[("70000", "1")]),
    });
    let mut exchange = with_script(&config, script);
    let by_qty = |text: &str| OrderKind::MarketQty { qty: qty(text) };
    let cases = [
        (
            limit_order(CARL, Side::Buy, "20000", "0.41", Gtc),
            Err(Reject::MaxAsset),
        ),
        (limit_order(CARL, Side::Buy, "50000", "0.3", Gtc), Err(Reject::MaxAsset)),
        (
            limit_order(CARL, Side::Sell, "20000", "0.41", Gtc),
            Err(Reject::MaxAsset),
        ),
        (market_order(CARL, Side::Buy, by_qty("0.3")), Err(Reject::MaxAsset)),
        (market_order(CARL, Side::Sell, by_qty("0.3")), Err(Reject::MaxAsset)),
        (
            market_order(
                CARL,
                Side::Buy,
                OrderKind::MarketFunds {
                    funds: amount("14000.01"),
                },
            ),
            Err(Reject::MaxAsset),
        ),
        (market_order(CARL, Side::Sell, by_qty("0.2")), Ok(())),
        (limit_order(CARL, Side::Buy, "20000", "0.4", Gtc), Ok(())),
    ];
    for (order, want) in cases {
        assert_eq!(exchange.test(CARL, &order), want, "{order:?}");
    }
    // One bitcoin is held, 0.3 are bid for; with 0.2 more that is the bound.
    exchange
        .place(CARL, limit_order(CARL, Side::Buy, "20000", "0.3", Gtc), &mut Vec::new())
        .unwrap();
    let more = |of: &str| exchange.test(CARL, &limit_order(CARL, Side::Buy, "20000", of, Gtc));
    assert_eq!((more("0.2"), more("0.20001")), (Ok(()), Err(Reject::MaxPosition)));
}

/// An order of Carl's that waits.
fn stop_order(side: Side, kind: StopKind, stop: &str, limit: Option<&str>) -> NewOrder {
    let kind_ = match limit {
        Some(at) => OrderKind::Limit {
            price: price(at),
            qty: qty("0.1"),
        },
        None => OrderKind::MarketQty { qty: qty("0.1") },
    };
    NewOrder {
        kind: kind_,
        stop: Some(Stop {
            kind,
            price: price(stop),
        }),
        ..limit_order(CARL, side, "1", "1", if limit.is_some() { Gtc } else { Ioc })
    }
}

#[test]
fn a_stop_order_waits_for_the_trade_that_reaches_its_price() {
    let trade = |p: &str| ChangeKind::Trade {
        price: price(p),
        qty: qty("0.01"),
        taker: Side::Sell,
    };
    use StopKind::{Loss, Profit};
    // Side, which way, stop, limit; what was locked; which trade lets it begin, if any; how it stands in the end.
    let cases = [
        (Side::Sell, Loss, "69000", None, "0.1", Some(68_999), OrderState::Filled),
        (Side::Sell, Loss, "68999", None, "0.1", Some(68_999), OrderState::Filled),
        (Side::Sell, Loss, "68998.99", None, "0.1", None, OrderState::Open),
        (
            Side::Sell,
            Profit,
            "71000",
            None,
            "0.1",
            Some(71_001),
            OrderState::Filled,
        ),
        (Side::Buy, Loss, "71000", None, "7100", Some(71_001), OrderState::Filled),
        (
            Side::Buy,
            Profit,
            "69000",
            None,
            "6900",
            Some(68_999),
            OrderState::Filled,
        ),
        (Side::Buy, Profit, "68998", None, "6899.8", None, OrderState::Open),
        (
            Side::Sell,
            Loss,
            "69000",
            Some("60000"),
            "0.1",
            Some(68_999),
            OrderState::Filled,
        ),
        (
            Side::Sell,
            Loss,
            "69000",
            Some("75000"),
            "0.1",
            Some(68_999),
            OrderState::Open,
        ),
        (
            Side::Buy,
            Loss,
            "71000",
            Some("60000"),
            "6000",
            Some(71_001),
            OrderState::Open,
        ),
    ];
    for (side, kind, at, limit, locked, begins, state) in cases {
        let what = format!("{side:?} {kind:?} {at} {limit:?}");
        let mut bench = Bench::new(vec![
            (1, BTCUSDT, trade("70000"), &[], &[]),
            (2, BTCUSDT, trade("68999"), &[], &[]),
            (3, BTCUSDT, trade("71001"), &[], &[]),
        ]);
        bench.to(1);
        let order = bench.send(CARL, stop_order(side, kind, at, limit)).unwrap();
        assert_eq!(
            (order.state, order.locked, order.working),
            (OrderState::Open, amount(locked), None),
            "{what}"
        );
        assert_eq!(
            bench.top(CARL),
            "69999.99000000 x 0.50000000 | 70000.00000000 x 0.30000000",
            "{what}"
        );
        let mut began = None;
        for (second, last) in [(2, 68_999), (3, 71_001)] {
            bench.to(second);
            let now = bench.exchange.order(CARL, OrderRef::Id(order.id)).unwrap();
            if now.working.is_some() && began.is_none() {
                began = Some(last);
            }
        }
        let order = bench.exchange.order(CARL, OrderRef::Id(order.id)).unwrap();
        assert_eq!((began, order.state), (begins, state), "{what}");
        if state == OrderState::Open {
            let id = order.id;
            bench.exchange.cancel(CARL, OrderRef::Id(id), &mut bench.out).unwrap();
            assert_eq!(bench.purse(CARL, "USDT"), "100000.00000000 0.00000000", "{what}");
            assert_eq!(bench.purse(CARL, "BTC"), "1.00000000 0.00000000", "{what}");
        }
    }
}

#[test]
fn stop_orders_are_refused_that_would_begin_at_once_or_are_too_many() {
    use StopKind::{Loss, Profit};
    let trade = |p: &str, q: &str| ChangeKind::Trade {
        price: price(p),
        qty: qty(q),
        taker: Side::Sell,
    };
    let mut bench = Bench::new(vec![
        (1, BTCUSDT, trade("70000", "0.01"), &[], &[]),
        (
            2,
            BTCUSDT,
            ChangeKind::Update,
            &[],
            &[("70000", "0"), ("70001", "0"), ("79000", "5")],
        ),
        (3, BTCUSDT, trade("70500", "0.01"), &[], &[]),
    ]);
    bench.to(1);
    let cases = [
        (stop_order(Side::Sell, Loss, "70000", None), Err(Reject::WouldTrigger)),
        (stop_order(Side::Sell, Loss, "69999.99", None), Ok(())),
        (stop_order(Side::Buy, Profit, "70000", None), Err(Reject::WouldTrigger)),
        (stop_order(Side::Buy, Loss, "70000", None), Err(Reject::WouldTrigger)),
        (stop_order(Side::Buy, Loss, "70000.001", None), Err(Reject::BadPrice)),
        (
            stop_order(Side::Buy, Loss, "70000.01", Some("400000")),
            Err(Reject::PercentPriceBySide),
        ),
    ];
    for (order, want) in cases {
        assert_eq!(bench.exchange.test(CARL, &order), want, "{order:?}");
    }
    for _ in 0..5 {
        bench.send(CARL, stop_order(Side::Sell, Loss, "60000", None)).unwrap();
    }
    let more = stop_order(Side::Sell, Loss, "60000", None);
    assert_eq!(bench.exchange.test(CARL, &more), Err(Reject::TooManyStops));
    // Dana's buys have locked for 70,400. When they begin the market asks 79,000: the rest of the first is not there.
    let buy = NewOrder {
        kind: OrderKind::MarketQty { qty: qty("1.2") },
        ..stop_order(Side::Buy, Loss, "70400", None)
    };
    let large = bench.send(DANA, buy.clone()).unwrap();
    assert_eq!(large.locked, amount("84480"));
    let small = NewOrder {
        kind: OrderKind::MarketQty { qty: qty("0.1") },
        ..buy
    };
    let small = bench.send(DANA, small).unwrap();
    bench.to(3);
    let state = |id| bench.exchange.order(DANA, OrderRef::Id(id)).unwrap().state;
    assert_eq!(
        (state(large.id), state(small.id)),
        (OrderState::Expired, OrderState::Filled)
    );
    assert_eq!(bench.purse(DANA, "USDT"), "92100.00000000 0.00000000");
    // Its owner heard of it twice before it traded.
    let heard: Vec<&str> = bench
        .out
        .iter()
        .filter_map(|notice| match notice {
            Notice::Account(event) if event.account == DANA => match &event.kind {
                AccountEventKind::New(order) if order.id == small.id => Some("new"),
                AccountEventKind::Working(order) if order.id == small.id => Some("working"),
                AccountEventKind::Trade(order) if order.id == small.id => Some("trade"),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(heard, ["new", "working", "trade"]);
}
