use crossbook_engine::units::TimestampNs;

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
    let mut copies: BTreeMap<(Venue, Symbol), (u64, BTreeMap<Price, Qty>, BTreeMap<Price, Qty>)> = BTreeMap::new();
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
