use super::*;
use crate::config::{Config, market_list};

const START: TimestampNs = TimestampNs(1_790_000_000_000_000_000);
const SECOND: i64 = 1_000_000_000;

/// Counts of book changes and trades of each market over some seconds, with the last price of each.
fn count(config: &Config, seconds: i64, faster: Option<(usize, f64)>) -> Vec<(u32, u32)> {
    let list = market_list(config).unwrap();
    let mut source = Synthetic::new(config.seed, START, &list);
    if let Some((market, factor)) = faster {
        assert!(source.set_rate(market, factor));
    }
    let mut counts = vec![(0, 0); list.len()];
    let mut change = Change::default();
    let mut last = START;
    while source.next_ts().is_some_and(|ts| ts <= START.plus(seconds * SECOND)) {
        assert!(source.next(&mut change).unwrap());
        assert!(change.ts >= last, "time goes forward");
        last = change.ts;
        match change.kind {
            ChangeKind::Trade { .. } => counts[change.market].1 += 1,
            ChangeKind::Update => counts[change.market].0 += 1,
            _ => {}
        }
    }
    counts
}

#[test]
fn every_market_is_as_busy_as_configured_and_a_burst_makes_one_busier() {
    let config = Config::default();
    let counts = count(&config, 60, None);
    for &(books, trades) in &counts {
        // 8 or 10 changes a second and one more for each trade, within five standard deviations.
        assert!((420..830).contains(&books) && (20..110).contains(&trades), "{counts:?}");
    }
    let burst = count(&config, 60, Some((0, 5.0)));
    assert!(burst[0].0 > 4 * counts[0].0, "{:?} after {:?}", burst[0], counts[0]);
    assert_eq!(burst[1..], counts[1..], "others draw from streams of their own");
    let list = market_list(&config).unwrap();
    let mut source = Synthetic::new(1, START, &list);
    assert!(!source.set_rate(list.len(), 2.0) && !source.set_rate(0, 0.0));
}

#[test]
fn prices_of_a_coin_go_together_at_all_venues() {
    let config = Config::default();
    let list = market_list(&config).unwrap();
    let (mut prices, formulas) = Prices::new(3, START, &list);
    let at = |symbol: &str| list.iter().position(|listed| &*listed.info.symbol == symbol).unwrap();
    for hour in 1..=3 {
        prices.advance(START.plus(hour * 3_600 * SECOND));
        let mid = |symbol: &str| prices.mid(formulas[at(symbol)]);
        for code in ["BTC", "SHIB", "LINK"] {
            let premium = mid(&format!("KRW-{code}")) / (mid(&format!("{code}USDT")) * mid("KRW-USDT")) - 1.0;
            assert!(premium.abs() < 0.03, "{code} {premium}");
        }
        let cross = mid("BTC-ETH") / (mid("ETHUSDT") / mid("BTCUSDT"));
        assert!((cross - 1.0).abs() < 0.02, "{cross}");
    }
}
