//! The exchange seen from its own methods, over a quiet market that a test writes itself, and over the synthetic one.

mod faults;
mod orders;
mod properties;
mod rules;

use crossbook_engine::units::Amount;

use super::*;
use crate::config::{Config, Markets};

const START: TimestampNs = TimestampNs(1_790_000_000_000_000_000);
const SECOND: i64 = 1_000_000_000;

fn small() -> Config {
    Config {
        seed: 7,
        markets: Markets {
            binance_usdm: vec!["BTC".to_owned()],
            ..Markets::first(3)
        },
        ..Config::default()
    }
}

/// Events as text, which is all that the tests compare.
fn run(config: &Config, seconds: i64, step_ns: i64) -> Vec<String> {
    let mut exchange = Exchange::new(config, START).unwrap();
    let mut out = Vec::new();
    let mut at = 0;
    while at < seconds * SECOND {
        at = (at + step_ns).min(seconds * SECOND);
        exchange.advance(START.plus(at), &mut out).unwrap();
    }
    out.iter().map(|notice| format!("{notice:?}")).collect()
}

#[test]
fn same_seed_same_events_however_time_is_cut() {
    let one = run(&small(), 20, 20 * SECOND);
    assert!(one.len() > 20 * 4 * 8, "{} events", one.len());
    assert_eq!(one, run(&small(), 20, 7_777_777));
    let other = Config { seed: 8, ..small() };
    assert_ne!(one, run(&other, 20, 20 * SECOND));
}

#[test]
fn ids_have_no_hole_and_events_rebuild_the_book_that_is_shown() {
    let mut exchange = Exchange::new(&small(), START).unwrap();
    type Side = BTreeMap<Price, Qty>;
    let mut copies: BTreeMap<(Venue, Symbol), (u64, Side, Side)> = BTreeMap::new();
    for venue in [Venue::Upbit, Venue::Binance, Venue::BinanceUsdm] {
        for info in exchange.markets(venue) {
            let view = exchange.book(venue, &info.symbol, usize::MAX).unwrap();
            assert!(view.bids.len() >= 40 && view.asks.len() >= 40, "{}", info.symbol);
            assert!(venue == Venue::Upbit || view.bids.len() >= 1_000, "{}", info.symbol);
            let map = |levels: &[Level]| levels.iter().map(|level| (level.price, level.qty)).collect();
            let copy = (view.last_id, map(&view.bids), map(&view.asks));
            copies.insert((venue, info.symbol.clone()), copy);
        }
    }
    let mut out = Vec::new();
    for step in 1..=100 {
        out.clear();
        exchange.advance(START.plus(step * SECOND / 4), &mut out).unwrap();
        for notice in &out {
            let Notice::Market(event) = notice else { continue };
            let MarketEventKind::Book {
                first_id,
                last_id,
                bids,
                asks,
            } = &event.kind
            else {
                continue;
            };
            let copy = copies.get_mut(&(event.venue, event.symbol.clone())).unwrap();
            assert_eq!(*first_id, copy.0 + 1);
            assert_eq!(*last_id, copy.0 + (bids.len() + asks.len()) as u64);
            copy.0 = *last_id;
            for (levels, side) in [(bids, &mut copy.1), (asks, &mut copy.2)] {
                for level in levels.iter() {
                    if level.qty.is_zero() {
                        assert!(side.remove(&level.price).is_some(), "what is removed was there");
                    } else {
                        assert_ne!(side.insert(level.price, level.qty), Some(level.qty), "a change changes");
                    }
                }
            }
        }
        for ((venue, symbol), copy) in &copies {
            let view = exchange.book(*venue, symbol, usize::MAX).unwrap();
            let info = exchange.market(*venue, symbol).unwrap();
            assert_eq!(view.last_id, copy.0);
            assert!(
                view.bids
                    .iter()
                    .map(|level| (level.price, level.qty))
                    .eq(copy.1.iter().rev().map(|(&p, &q)| (p, q)))
            );
            assert!(
                view.asks
                    .iter()
                    .map(|level| (level.price, level.qty))
                    .eq(copy.2.iter().map(|(&p, &q)| (p, q)))
            );
            assert!(view.bids[0].price < view.asks[0].price, "{symbol} is crossed");
            for level in view.bids.iter().chain(&view.asks) {
                assert!(info.tick.is_on_grid(level.price), "{symbol} {level:?}");
                assert_eq!(level.qty.floor_to(info.lot), level.qty, "{symbol} {level:?}");
            }
        }
    }
}

/// A source that says what the test wrote.
#[derive(Default)]
struct Told(std::collections::VecDeque<Change>);

impl Source for Told {
    fn next_ts(&mut self) -> Option<TimestampNs> {
        self.0.front().map(|change| change.ts)
    }

    fn next(&mut self, change: &mut Change) -> Result<bool, SourceError> {
        Ok(self.0.pop_front().map(|next| *change = next).is_some())
    }

    fn set_rate(&mut self, _: usize, _: f64) -> bool {
        false
    }
}

fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

fn qty(text: &str) -> Qty {
    Qty::parse(text).unwrap()
}

fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn levels(list: &[(&str, &str)]) -> Vec<Level> {
    list.iter()
        .map(|&(p, q)| Level {
            price: price(p),
            qty: qty(q),
        })
        .collect()
}

/// KRW-BTC, KRW-USDT and BTCUSDT with two accounts at each venue, and what the source says from the first second on.
struct Bench {
    exchange: Exchange,
    out: Vec<Notice>,
}

const KRW_BTC: usize = 0;
const BTCUSDT: usize = 2;
/// Accounts.
const ANNA: u32 = 0;
const BORA: u32 = 1;
const CARL: u32 = 2;
const DANA: u32 = 3;

fn bench_config() -> Config {
    let account = |venue, name: &str, balances: &[(&str, &str)], fees_in_bnb| AccountConfig {
        venue,
        access_key: name.to_owned(),
        secret: "s".to_owned(),
        balances: balances.iter().map(|&(c, a)| (c.to_owned(), amount(a))).collect(),
        fees_in_bnb,
    };
    Config {
        markets: Markets::first(1),
        accounts: vec![
            account(Venue::Upbit, "anna", &[("KRW", "10000000"), ("BTC", "1")], false),
            account(Venue::Upbit, "bora", &[("KRW", "10000000"), ("BTC", "1")], false),
            account(Venue::Binance, "carl", &[("USDT", "100000"), ("BTC", "1")], false),
            account(Venue::Binance, "dana", &[("USDT", "100000"), ("BTC", "1")], false),
        ],
        ..Config::default()
    }
}

fn with_script(config: &Config, script: Told) -> Exchange {
    let parts = Parts {
        source: Some(Box::new(script)),
        ..Parts::default()
    };
    Exchange::with(config, START, parts).unwrap()
}

/// Levels as texts of price and quantity.
type Texts<'t> = &'t [(&'t str, &'t str)];

impl Bench {
    /// Books at both venues: bids below and asks above 100,000,000 won and 70,000 dollars.
    fn new(then: Vec<(i64, usize, ChangeKind, Texts<'_>, Texts<'_>)>) -> Bench {
        let opening = [
            (
                KRW_BTC,
                [("99999000", "0.5"), ("99998000", "1")],
                [("100000000", "0.3"), ("100001000", "0.7")],
            ),
            (
                BTCUSDT,
                [("69999.99", "0.5"), ("69999", "1")],
                [("70000", "0.3"), ("70001", "0.7")],
            ),
        ];
        let change = |seconds: i64, market, kind, bids, asks| Change {
            ts: START.plus(seconds * SECOND),
            market,
            kind,
            bids: levels(bids),
            asks: levels(asks),
        };
        let mut script = Told::default();
        for (market, bids, asks) in &opening {
            script.0.push_back(change(0, *market, ChangeKind::Snapshot, bids, asks));
        }
        for (seconds, market, kind, bids, asks) in then {
            script.0.push_back(change(seconds, market, kind, bids, asks));
        }
        Bench {
            exchange: with_script(&bench_config(), script),
            out: Vec::new(),
        }
    }

    fn to(&mut self, seconds: i64) {
        self.exchange
            .advance(START.plus(seconds * SECOND), &mut self.out)
            .unwrap();
    }

    fn limit(&mut self, account: u32, side: Side, at: &str, of: &str, tif: TimeInForce) -> Result<OrderView, Reject> {
        let order = limit_order(account, side, at, of, tif);
        self.exchange.place(account, order, &mut self.out)
    }

    fn send(&mut self, account: u32, order: NewOrder) -> Result<OrderView, Reject> {
        self.exchange.place(account, order, &mut self.out)
    }

    /// `free locked` of an account.
    fn purse(&self, account: u32, currency: &str) -> String {
        let balances = self.exchange.balances(account);
        let balance = balances.iter().find(|balance| &*balance.currency == currency);
        balance.map_or("-".to_owned(), |balance| format!("{} {}", balance.free, balance.locked))
    }

    fn top(&self, account: u32) -> String {
        let (venue, symbol) = place_of(account);
        let view = self.exchange.book(venue, symbol, 1).unwrap();
        let show = |levels: &[Level]| {
            levels
                .first()
                .map_or("-".to_owned(), |level| format!("{} x {}", level.price, level.qty))
        };
        format!("{} | {}", show(&view.bids), show(&view.asks))
    }
}

fn place_of(account: u32) -> (Venue, &'static str) {
    match account {
        ANNA | BORA => (Venue::Upbit, "KRW-BTC"),
        _ => (Venue::Binance, "BTCUSDT"),
    }
}

fn limit_order(account: u32, side: Side, at: &str, of: &str, tif: TimeInForce) -> NewOrder {
    NewOrder {
        symbol: place_of(account).1.into(),
        side,
        kind: OrderKind::Limit {
            price: price(at),
            qty: qty(of),
        },
        tif,
        client_id: None,
        self_match: SelfMatch::CancelMaker,
        stop: None,
    }
}

fn market_order(account: u32, side: Side, kind: OrderKind) -> NewOrder {
    NewOrder {
        kind,
        ..limit_order(account, side, "1", "1", TimeInForce::Ioc)
    }
}
