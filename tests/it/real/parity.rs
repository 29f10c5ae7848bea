//! The parity feed through import and command line: the 54 known fills, and what honest fills make of them.

use crossbook_engine::units::Qty;

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
    assert_eq!(least, 0.02);
    // It is not that the feed has no thinner best levels.
    let small = Qty::parse("0.01").unwrap();
    let thin = books.map(|tops| {
        let thin = tops.iter().filter(|top| top.bid.qty < small || top.ask.qty < small);
        (thin.count(), tops.len())
    });
    println!("messages that leave less than 0.01 at a best level: {thin:?}");
    assert!(thin[0].0 > 0 && thin[1].0 > 0);
}

/// With larger orders the walked fills part from the naive ones, for two reasons only: orders walk more than one level, and
/// at 2 BTC two decisions wait until the size, not only the best level, has the spread. `docs/parity.md` explains each.
#[test]
fn larger_sizes_walk_levels_and_wait_for_the_size_to_have_the_spread() {
    let test = "larger_sizes_walk_levels_and_wait_for_the_size_to_have_the_spread";
    let Some(data) = datasets(test, Set::Parity) else {
        return;
    };
    let sent = |run: &Run| {
        let mut orders: Vec<(u64, i64)> = run
            .columns("orders", ["order_id", "ts_sent_ns", "status"])
            .iter()
            .inspect(|[.., status]| assert_eq!(status, "filled"))
            .map(|[id, ts, _]| (id.parse().unwrap(), ts.parse().unwrap()))
            .collect();
        orders.sort_unstable();
        orders
    };
    let naive = sent(&replay(&data, "parity", &["execution.fill_model=top"]));
    // Size, fills, net result, orders that were sent later than the naive ones and by how many ns.
    type Case<'a> = (&'a str, usize, &'a str, &'a [(u64, i64)]);
    let cases: [Case<'_>; 2] = [
        ("1", 74, "3641366.80", &[]),
        (
            "2",
            95,
            "7313894.09",
            &[(25, 21_739_641), (26, 21_739_641), (31, 91_713_619), (32, 91_713_619)],
        ),
    ];
    for (size, fills, pnl, moved) in cases {
        let run = replay(&data, "parity", &[&format!("strategy.size.quantity='{size}'")]);
        let later: Vec<(u64, i64)> = sent(&run)
            .iter()
            .zip(&naive)
            .map(|(walked, naive)| (walked.0, walked.1 - naive.1))
            .filter(|&(_, later)| later != 0)
            .collect();
        let found = (
            run.columns("fills", ["order_id"]).len(),
            format!("{:.2}", run.money("pnl")),
        );
        assert_eq!((found, later.as_slice()), ((fills, pnl.to_owned()), moved), "{size}");
    }
}
