//! What no flow of orders may break.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Place(u32, NewOrder),
    Cancel(u32, u64),
    /// To so many 1e-8.
    Amend(u32, u64, i64),
    /// The market moves on, by milliseconds.
    Wait(u16),
}

fn order() -> impl Strategy<Value = (u32, NewOrder)> {
    let tif = prop_oneof![
        3 => Just(TimeInForce::Gtc),
        1 => Just(TimeInForce::Ioc),
        1 => Just(TimeInForce::Fok),
        1 => Just(TimeInForce::PostOnly),
    ];
    let mode = prop_oneof![
        Just(SelfMatch::Allow),
        Just(SelfMatch::CancelMaker),
        Just(SelfMatch::CancelTaker),
        Just(SelfMatch::CancelBoth),
        Just(SelfMatch::Reduce),
    ];
    // Prices within a few ticks of where the synthetic market trades, so that orders rest, take and meet each other.
    (
        0u32..4,
        any::<bool>(),
        0u8..6,
        -40i64..40,
        1i64..60_000,
        tif,
        mode,
        proptest::option::of("[ab]"),
        proptest::option::weighted(0.2, (any::<bool>(), -20i64..20)),
    )
        .prop_map(|(account, buy, shape, ticks, size, tif, mode, client_id, stop)| {
            let side = if buy { Side::Buy } else { Side::Sell };
            let (mid, tick, lot) = match account {
                ANNA | BORA => (145_000_000, 1_000 * 100_000_000, 1),
                _ => (100_000, 1_000_000 * 100, 1_000),
            };
            let price = Price::from_raw(mid * 100_000_000 + ticks * tick).unwrap();
            let qty = Qty::from_raw(size * 1_000 - if lot == 1 { size % 7 } else { 0 }).unwrap();
            // Only Binance has stop orders.
            let stop = stop.filter(|_| account >= CARL && shape != 1 && tif != TimeInForce::PostOnly);
            let stop = stop.map(|(loss, ticks)| Stop {
                kind: if loss { StopKind::Loss } else { StopKind::Profit },
                price: Price::from_raw(mid * 100_000_000 + ticks * tick).unwrap(),
            });
            let kind = match shape {
                0 => OrderKind::MarketQty { qty },
                1 => OrderKind::MarketFunds {
                    funds: crossbook_engine::units::notional(price, qty, crossbook_engine::units::Rounding::Up)
                        .unwrap(),
                },
                _ => OrderKind::Limit { price, qty },
            };
            let order = NewOrder {
                symbol: place_of(account).1.into(),
                side,
                kind,
                tif,
                client_id,
                self_match: mode,
                stop,
            };
            (account, order)
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => order().prop_map(|(account, order)| Step::Place(account, order)),
        1 => (0u32..4, 1u64..40).prop_map(|(account, id)| Step::Cancel(account, id)),
        2 => (2u32..4, 1u64..40, 1i64..60).prop_map(|(account, id, lots)| Step::Amend(account, id, lots * 1_000_000)),
        3 => (1u16..700).prop_map(Step::Wait),
    ]
}

/// How many random flows there are; `CROSSBOOK_SEEDS` raises it.
fn cases() -> u32 {
    let asked = std::env::var("CROSSBOOK_SEEDS").ok();
    asked.map_or(96, |text| text.parse().expect("CROSSBOOK_SEEDS is a number"))
}

/// Markets without faults, and with those that orders feel.
const SCRIPTS: [&str; 2] = [
    "",
    "[[fault]]\nkind = \"partial-fill\"\nat_s = 1\nevery_s = 4\nfor_s = 2\npercent = 40\n\
     [[fault]]\nkind = \"halt\"\nat_s = 2\nevery_s = 5\nfor_s = 0.5\n\
     [[fault]]\nkind = \"cancel-only\"\nat_s = 4\nevery_s = 6\nfor_s = 0.7\n\
     [[fault]]\nkind = \"rules\"\nat_s = 3\nevery_s = 6\nfor_s = 1.5\nmarkets = [\"BTCUSDT\"]\nlot = \"0.0003\"\n\
     [[fault]]\nkind = \"delist\"\nat_s = 7\nevery_s = 9\nfor_s = 0.3\nmarkets = [\"KRW-BTC\"]\n\
     [[fault]]\nkind = \"burst\"\nat_s = 5\nevery_s = 6\nfor_s = 2\nfactor = 5.0\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Money is neither made nor lost, nobody owes anything, what is locked is what open orders lock, and books stay
    /// sound, whatever is sent.
    #[test]
    fn money_is_kept_whatever_is_sent(steps in proptest::collection::vec(step(), 1..80), seed in 0u64..50, faulty: bool) {
        let mut config = Config { seed, ..bench_config() };
        config.accounts[3].fees_in_bnb = true;
        config.accounts[3].balances.insert("BNB".to_owned(), amount("1"));
        config.markets.binance_usdt.push("BNB".to_owned());
        config.rates.binance_levels = 60;
        let parts = Parts {
            script: Some(crate::faults::Script::parse(SCRIPTS[usize::from(faulty)]).unwrap()),
            ..Parts::default()
        };
        let mut exchange = Exchange::with(&config, START, parts).unwrap();
        let opening: Vec<_> = [Venue::Upbit, Venue::Binance].map(|venue| exchange.sums(venue)).to_vec();
        let mut out = Vec::new();
        let mut now = START;
        let mut ids = std::collections::BTreeSet::new();
        let mut burnt = std::collections::BTreeSet::new();
        for step in steps {
            match step {
                Step::Place(account, order) => {
                    let name = order.client_id.clone();
                    let tested = exchange.test(account, &order);
                    let placed = exchange.place(account, order, &mut out);
                    prop_assert_eq!(tested.err(), placed.as_ref().err().copied());
                    if account < CARL && let Some(name) = name {
                        let fresh = burnt.insert((account, name));
                        prop_assert_eq!(fresh, placed.as_ref().err() != Some(&Reject::DuplicateClientId));
                    }
                    if let Ok(view) = placed {
                        prop_assert!(ids.insert(view.id), "numbers are given once");
                        let spelt = faulty
                            || view.order.tif != TimeInForce::Fok
                            || !matches!(view.order.kind, OrderKind::Limit { .. })
                            || view.executed.is_zero()
                            || view.state == OrderState::Filled
                            || view.state == OrderState::Prevented
                            || view.order.self_match == SelfMatch::CancelTaker
                            || view.order.self_match == SelfMatch::CancelBoth
                            || view.order.self_match == SelfMatch::Reduce;
                        prop_assert!(spelt, "all or nothing: {:?}", view);
                    }
                }
                Step::Cancel(account, id) => {
                    let _ = exchange.cancel(account, OrderRef::Id(id), &mut out);
                }
                Step::Amend(account, id, raw) => {
                    let to = Qty::from_raw(raw).unwrap();
                    if let Ok(view) = exchange.amend(account, OrderRef::Id(id), to, format!("amended {id}"), &mut out) {
                        prop_assert_eq!(view.state, OrderState::Open);
                        prop_assert!(view.executed < to, "{:?}", view);
                    }
                }
                Step::Wait(ms) => {
                    now = now.plus(i64::from(ms) * 1_000_000);
                    exchange.advance(now, &mut out).unwrap();
                }
            }
            out.clear();
            for (venue, before) in [Venue::Upbit, Venue::Binance].into_iter().zip(&opening) {
                for (currency, sum) in exchange.sums(venue) {
                    prop_assert_eq!(sum, before.get(&currency).copied().unwrap_or(0), "{:?} {}", venue, currency);
                }
            }
            for account in 0..4 {
                let open = exchange.orders(account, None, OrderFilter::Open);
                for balance in exchange.balances(account) {
                    prop_assert!(balance.free >= Amount::ZERO && balance.locked >= Amount::ZERO, "{:?}", balance);
                    let locked: i64 = open
                        .iter()
                        .filter(|order| order.locked_currency == balance.currency)
                        .map(|order| order.locked.raw())
                        .sum();
                    prop_assert_eq!(locked, balance.locked.raw());
                }
                for order in exchange.orders(account, None, OrderFilter::All) {
                    let filled: i64 = order.fills.iter().map(|fill| fill.qty.raw()).sum();
                    prop_assert_eq!(filled, order.executed.raw());
                    prop_assert!(order.state == OrderState::Open || order.locked == Amount::ZERO);
                }
            }
            for (venue, symbol) in [(Venue::Upbit, "KRW-BTC"), (Venue::Binance, "BTCUSDT")] {
                let view = exchange.book(venue, symbol, 1).unwrap();
                if let (Some(bid), Some(ask)) = (view.bids.first(), view.asks.first()) {
                    prop_assert!(bid.price < ask.price, "crossed {:?} {:?}", bid, ask);
                }
            }
        }
    }
}
