//! Faults of the market itself, and what the servers are told of the others.

use super::*;
use crate::faults::{FaultKind, Script, Stage, Surface, Target};

fn faulty(config: &Config, script: &str) -> Exchange {
    let parts = Parts {
        script: Some(Script::parse(script).unwrap()),
        ..Parts::default()
    };
    Exchange::with(config, START, parts).unwrap()
}

fn to(exchange: &mut Exchange, seconds: i64) -> Vec<Notice> {
    let mut out = Vec::new();
    exchange.advance(START.plus(seconds * SECOND), &mut out).unwrap();
    out
}

fn books(notices: &[Notice], venue: Venue, symbol: &str) -> usize {
    let here = notices.iter().filter(|notice| match notice {
        Notice::Market(event) => {
            event.venue == venue && &*event.symbol == symbol && matches!(event.kind, MarketEventKind::Book { .. })
        }
        _ => false,
    });
    here.count()
}

fn view(exchange: &Exchange) -> BookView {
    exchange.book(Venue::Binance, "BTCUSDT", usize::MAX).unwrap()
}

#[test]
fn f18_f19_f27_a_book_is_crossed_empty_or_absurd_while_the_fault_lasts_and_whole_after_it() {
    type Holds = fn(&BookView) -> bool;
    let cases: [(&str, Holds); 5] = [
        ("kind = \"crossed\"", |view| view.bids[0].price > view.asks[0].price),
        ("kind = \"empty-side\"\nside = \"bid\"", |view| {
            view.bids.is_empty() && !view.asks.is_empty()
        }),
        ("kind = \"empty-side\"\nside = \"both\"", |view| {
            view.bids.is_empty() && view.asks.is_empty()
        }),
        ("kind = \"absurd\"\nfactor = 10.0", |view| {
            view.bids[0].price > price("800000") && view.bids.len() > 900
        }),
        ("kind = \"absurd\"\nfactor = 0.1", |view| {
            view.asks[0].price < price("12000")
        }),
    ];
    for (kind, holds) in cases {
        let script = format!("[[fault]]\n{kind}\nat_s = 2\nfor_s = 3\nmarkets = [\"BTCUSDT\"]");
        let mut exchange = faulty(&bench_config(), &script);
        let mut clean = faulty(&bench_config(), "");
        let mut notices = to(&mut exchange, 1);
        assert!(!holds(&view(&exchange)), "{kind} before");
        notices.extend(to(&mut exchange, 2));
        assert!(holds(&view(&exchange)), "{kind} at once");
        notices.extend(to(&mut exchange, 4));
        assert!(holds(&view(&exchange)), "{kind} while it lasts");
        notices.extend(to(&mut exchange, 6));
        to(&mut clean, 6);
        let (was, is) = (view(&clean), view(&exchange));
        assert_eq!((was.bids, was.asks), (is.bids, is.asks), "{kind} leaves nothing behind");
        let told: Vec<bool> = notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Fault(fault) => Some(fault.begins),
                _ => None,
            })
            .collect();
        assert_eq!(told, [true, false], "{kind}");
        assert!(books(&notices, Venue::Upbit, "KRW-BTC") > 20, "others go on");
    }
}

#[test]
fn f24_a_frozen_or_halted_book_says_nothing_and_catches_up() {
    for kind in ["frozen", "halt", "delist"] {
        let script = format!("[[fault]]\nkind = \"{kind}\"\nat_s = 1\nfor_s = 3\nmarkets = [\"BTCUSDT\"]");
        let mut exchange = faulty(&bench_config(), &script);
        to(&mut exchange, 1);
        let before = view(&exchange).last_id;
        let quiet = to(&mut exchange, 3);
        assert_eq!(books(&quiet, Venue::Binance, "BTCUSDT"), 0, "{kind}");
        assert_eq!(view(&exchange).last_id, before);
        let order = limit_order(CARL, Side::Buy, "50000", "0.1", TimeInForce::Gtc);
        let want = match kind {
            "halt" => Err(Reject::NotTrading),
            "delist" => Err(Reject::UnknownMarket),
            _ => Ok(()),
        };
        assert_eq!(exchange.test(CARL, &order), want, "{kind}");
        let after = to(&mut exchange, 5);
        assert!(books(&after, Venue::Binance, "BTCUSDT") > 2, "{kind}");
        let now = view(&exchange);
        assert!(now.bids[0].price < now.asks[0].price && now.last_id > before);
        assert_eq!(exchange.test(CARL, &order), Ok(()));
    }
}

#[test]
fn f23_rules_change_while_running_and_are_announced() {
    let script = "[[fault]]\nkind = \"rules\"\nat_s = 1\nfor_s = 2\nmarkets = [\"KRW-BTC\"]\ntick = \"5000\"\n\
                  min_total = \"10000\"";
    let mut exchange = faulty(&bench_config(), script);
    let off = limit_order(ANNA, Side::Buy, "99999000", "0.01", TimeInForce::Gtc);
    let small = limit_order(ANNA, Side::Buy, "10000000", "0.0005", TimeInForce::Gtc);
    let asked = |exchange: &Exchange| (exchange.test(ANNA, &off), exchange.test(ANNA, &small));
    assert_eq!(asked(&exchange), (Ok(()), Ok(())));
    let told = |notices: &[Notice]| {
        let rules =
            |notice: &&Notice| matches!(notice, Notice::Market(event) if matches!(event.kind, MarketEventKind::Rules));
        notices.iter().filter(rules).count()
    };
    assert_eq!(told(&to(&mut exchange, 1)), 1);
    assert_eq!(asked(&exchange), (Err(Reject::BadPrice), Err(Reject::UnderMinTotal)));
    assert_eq!(
        exchange.market(Venue::Upbit, "KRW-BTC").unwrap().min_total,
        amount("10000")
    );
    assert_eq!(told(&to(&mut exchange, 4)), 1);
    assert_eq!(asked(&exchange), (Ok(()), Ok(())));
}

#[test]
fn f24_a_delisted_market_gives_back_what_its_orders_locked_and_cancel_only_lets_them_go() {
    let script = "[[fault]]\nkind = \"delist\"\nat_s = 5\nfor_s = inf\nmarkets = [\"BTCUSDT\"]\n\
                  [[fault]]\nkind = \"cancel-only\"\nat_s = 1\nfor_s = 1\nmarkets = [\"BTCUSDT\"]";
    let mut exchange = faulty(&bench_config(), script);
    let order = limit_order(CARL, Side::Buy, "50000", "0.1", TimeInForce::Gtc);
    let ids = [0; 2].map(|_| exchange.place(CARL, order.clone(), &mut Vec::new()).unwrap().id);
    to(&mut exchange, 1);
    assert_eq!(
        exchange.place(CARL, order.clone(), &mut Vec::new()).unwrap_err(),
        Reject::NotTrading
    );
    exchange.cancel(CARL, OrderRef::Id(ids[0]), &mut Vec::new()).unwrap();
    to(&mut exchange, 5);
    assert_eq!(
        exchange.order(CARL, OrderRef::Id(ids[1])).unwrap().state,
        OrderState::Cancelled
    );
    assert!(
        exchange
            .balances(CARL)
            .iter()
            .all(|balance| balance.locked == Amount::ZERO)
    );
}

#[test]
fn f33_the_exchanges_clock_is_off_and_drifts() {
    let script = "[[fault]]\nkind = \"clock\"\nat_s = 1\nfor_s = 10\noffset_ms = -2000\ndrift_ppm = 1000";
    let mut exchange = faulty(&bench_config(), script);
    to(&mut exchange, 1);
    assert_eq!(exchange.clock(), START.plus(-SECOND));
    let notices = to(&mut exchange, 6);
    assert_eq!(
        (exchange.now(), exchange.clock()),
        (START.plus(6 * SECOND), START.plus(4 * SECOND + 5_000_000))
    );
    let mut stamps = notices.iter().filter_map(|notice| match notice {
        Notice::Market(event) => Some(event.ts),
        _ => None,
    });
    assert!(stamps.all(|ts| ts <= START.plus(4 * SECOND + 5_000_000)));
    to(&mut exchange, 11);
    assert_eq!(exchange.clock(), START.plus(11 * SECOND));
}

#[test]
fn an_order_fills_in_part_and_hangs_until_the_fault_ends() {
    let script = "[[fault]]\nkind = \"partial-fill\"\nat_s = 1\nfor_s = 5\nmarkets = [\"BTCUSDT\"]\npercent = 40";
    let mut exchange = faulty(&bench_config(), script);
    to(&mut exchange, 1);
    let top = view(&exchange).asks[0];
    let above = top.price.to_string();
    let buy = |exchange: &mut Exchange, tif| {
        let order = limit_order(CARL, Side::Buy, &above, "0.001", tif);
        exchange.place(CARL, order, &mut Vec::new()).unwrap()
    };
    let [rests, ends] = [TimeInForce::Gtc, TimeInForce::Ioc].map(|tif| buy(&mut exchange, tif));
    for order in [&rests, &ends] {
        assert_eq!((order.state, order.executed), (OrderState::Open, qty("0.0004")));
    }
    to(&mut exchange, 5);
    assert_eq!(
        exchange.order(CARL, OrderRef::Id(rests.id)).unwrap().executed,
        qty("0.0004")
    );
    to(&mut exchange, 7);
    assert_ne!(
        exchange.order(CARL, OrderRef::Id(ends.id)).unwrap().state,
        OrderState::Open
    );
    let rests = exchange.order(CARL, OrderRef::Id(rests.id)).unwrap();
    let done = rests.state == OrderState::Filled;
    assert!(done || exchange.book(Venue::Binance, "BTCUSDT", 1).unwrap().bids[0].price >= top.price);
}

#[test]
fn f15_an_old_snapshot_is_as_old_as_told() {
    let script = "[[fault]]\nkind = \"stale-snapshot\"\nat_s = 1\nfor_s = 40\nage_ms = 25000\nvenue = \"binance\"";
    let mut exchange = faulty(&bench_config(), script);
    let target = Target {
        venue: Venue::Binance,
        surface: Surface::Rest,
        path: "/api/v3/depth",
        symbol: Some("BTCUSDT"),
    };
    to(&mut exchange, 1);
    let then = view(&exchange);
    to(&mut exchange, 25);
    assert_eq!(exchange.strike(Stage::Request, &target), []);
    to(&mut exchange, 26);
    assert_eq!(
        exchange.strike(Stage::Request, &target),
        [FaultKind::StaleSnapshot { age_ms: 25_000 }]
    );
    let old = exchange.old_book(Venue::Binance, "BTCUSDT", 10).unwrap();
    assert_eq!((old.last_id, &old.bids[..]), (then.last_id, &then.bids[..10]));
    assert!(exchange.old_book(Venue::Upbit, "KRW-BTC", 10).is_none());
    to(&mut exchange, 41);
    assert_eq!(exchange.strike(Stage::Request, &target), []);
    assert!(exchange.old_book(Venue::Binance, "BTCUSDT", 10).is_none());
}

#[test]
fn f08_a_burst_is_as_much_faster_as_told_and_needs_a_market_that_can() {
    let script = "[[fault]]\nkind = \"burst\"\nat_s = 10\nfor_s = 10\nfactor = 5.0";
    let mut exchange = faulty(&bench_config(), script);
    let calm = books(&to(&mut exchange, 10), Venue::Binance, "BTCUSDT");
    let busy = books(&to(&mut exchange, 20), Venue::Binance, "BTCUSDT");
    let after = books(&to(&mut exchange, 30), Venue::Binance, "BTCUSDT");
    assert!(busy > 3 * calm && busy > 3 * after, "{calm} {busy} {after}");
    let parts = Parts {
        source: Some(Box::new(Told::default())),
        script: Some(Script::parse(script).unwrap()),
    };
    let message = Exchange::with(&bench_config(), START, parts)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(message.contains("needs the synthetic market"), "{message}");
}
