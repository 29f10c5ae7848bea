//! The parity feed through import and command line: the 54 known fills, and what honest fills make of them.

use super::{Run, Set, as_of, datasets, raw, replay, tops};

const INSTRUMENTS: [(&str, &str); 2] = [
    ("parity-a:KRW-BTC", "parity-a-krw-btc"),
    ("parity-b:BTCUSDT", "parity-b-btcusdt"),
];

/// `venue,side,exchange time,price`, as the published list writes them.
fn lines(run: &Run) -> Vec<String> {
    let mut fills: Vec<(u64, i64, String)> = run
        .columns("fills", ["order_id", "ts_venue_ns", "instrument", "side", "price"])
        .iter()
        .map(|[order, ts, instrument, side, price]| {
            let venue = INSTRUMENTS.iter().position(|(name, _)| name == instrument).unwrap();
            let side = if side == "buy" { 1 } else { -1 };
            let price: f64 = price.parse().unwrap();
            let line = format!("{venue},{side},{ts},{price:.4}");
            (order.parse().unwrap(), ts.parse().unwrap(), line)
        })
        .collect();
    fills.sort();
    fills.into_iter().map(|(.., line)| line).collect()
}

#[test]
fn the_54_known_fills_come_out_of_the_command_line() {
    let test = "the_54_known_fills_come_out_of_the_command_line";
    let (Some(raw), Some(data)) = (raw(test), datasets(test, Set::Parity)) else {
        return;
    };
    let naive = replay(&data, "parity", &["execution.fill_model=top"]);
    let published = std::fs::read_to_string(raw.join("parity/expected_fills.csv")).unwrap();
    let got = lines(&naive);
    assert_eq!(got.len(), 54);
    assert_eq!(got, published.lines().collect::<Vec<_>>());
    assert_eq!(format!("{:.2}", naive.money("pnl")), "36502.84");

    // With walked books the same: at each fill the best level held all of it, and no decision moved.
    let walked = replay(&data, "parity", &[]);
    assert_eq!(lines(&walked), got);
    assert_eq!(walked.digest(), naive.digest());
    let books = INSTRUMENTS.map(|(_, dataset)| tops(&data, dataset));
    let mut least = f64::INFINITY;
    for [ts, instrument, side, price] in walked.columns("fills", ["ts_venue_ns", "instrument", "side", "price"]) {
        let venue = INSTRUMENTS.iter().position(|(name, _)| *name == instrument).unwrap();
        let top = as_of(&books[venue], |top| top.ts_event.0, ts.parse().unwrap()).unwrap();
        let best = if side == "buy" { top.ask } else { top.bid };
        assert_eq!(
            best.price.to_f64(),
            price.parse::<f64>().unwrap(),
            "{instrument} at {ts}"
        );
        println!("{instrument} {side} at {ts}: {} at {price}", best.qty);
        least = least.min(best.qty.to_f64());
    }
    println!("least quantity at the best level of a fill: {least}");
    assert!(least >= 0.01, "{least}");
}
