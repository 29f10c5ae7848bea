//! Half a year of the kimchi premium, from books laid over real minute candles.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Set, datasets, premiums, replay, statistics};

/// A month, its minutes, and mean, deviation, least and most of its premium.
type Month<Name> = (Name, usize, [f64; 4]);

/// Minutes, mean, standard deviation, least and most of the premium in percent, by month, as the engine saw it at each
/// minute's last books: those show both candles' closes.
fn months(data: &Path, sets: &[&str]) -> Vec<Month<String>> {
    let mut closes: BTreeMap<i64, f64> = BTreeMap::new();
    for (ts, bps) in premiums(data, "kimchi-months", &[sets, &["strategy.entry_bps=5000"]].concat()) {
        closes.insert(ts.div_euclid(60_000_000_000), bps / 100.0);
    }
    let mut months: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (minute, percent) in closes {
        let day = jiff::Timestamp::from_second(minute * 60).unwrap().to_string();
        months.entry(day[..7].to_owned()).or_default().push(percent);
    }
    let figures = months
        .into_iter()
        .map(|(month, percent)| (month, percent.len(), statistics(&percent)));
    figures.collect()
}

fn check(found: &[Month<String>], want: &[Month<&str>], tolerance: f64) {
    found
        .iter()
        .for_each(|(month, minutes, figures)| println!("{month} {minutes} {figures:.4?}"));
    assert_eq!(found.len(), want.len());
    for ((month, minutes, figures), (want_month, want_minutes, want)) in found.iter().zip(want) {
        assert_eq!((month.as_str(), minutes), (*want_month, want_minutes));
        for (figure, want) in figures.iter().zip(want) {
            assert!(
                (figure - want).abs() <= tolerance,
                "{month}: {figure} instead of {want}"
            );
        }
    }
}

/// The table that comes with the candles converts all of a day at that day's rate. With the rates dated so, the replayed
/// books show its figures: these are rounded to 0.0005 %, and a mid between two ticks is up to half a tick off its
/// candle's close, 500 KRW or 0.0007 % of Upbit's lowest price here.
#[test]
fn the_replayed_books_show_the_known_monthly_premiums() {
    let Some(data) = datasets("the_replayed_books_show_the_known_monthly_premiums", Set::Kimchi) else {
        return;
    };
    let datasets = "datasets=['kimchi-upbit-krw-btc', 'kimchi-binance-btcusdt', 'ecb-usdkrw-same-day']";
    let same_day = [datasets, "fx.source=ecb-usdkrw-same-day"];
    let known = [
        ("2024-08", 2_172, [1.385, 0.804, -0.103, 2.766]),
        ("2024-09", 8_628, [0.942, 0.781, -0.713, 2.985]),
        ("2024-10", 8_812, [0.154, 0.733, -1.564, 2.267]),
        ("2024-11", 8_788, [0.196, 1.045, -5.650, 2.219]),
        ("2024-12", 8_800, [0.898, 1.982, -5.033, 5.343]),
        ("2025-01", 9_000, [2.846, 1.766, 0.092, 7.902]),
        ("2025-02", 8_000, [4.604, 2.223, 0.060, 10.418]),
    ];
    check(&months(&data, &same_day), &known, 0.0012);
}

/// What could be known at the time: each rate from 16:00 in Frankfurt on.
#[test]
fn rates_count_from_their_publication_on() {
    let Some(data) = datasets("rates_count_from_their_publication_on", Set::Kimchi) else {
        return;
    };
    let known = [
        ("2024-08", 2_172, [1.353, 0.884, -0.239, 2.766]),
        ("2024-09", 8_628, [0.914, 0.822, -0.713, 2.985]),
        ("2024-10", 8_812, [0.244, 0.741, -1.565, 2.906]),
        ("2024-11", 8_788, [0.215, 1.077, -5.082, 2.219]),
        ("2024-12", 8_800, [1.015, 1.984, -5.034, 5.343]),
        ("2025-01", 9_000, [2.820, 1.823, 0.092, 7.763]),
        ("2025-02", 8_000, [4.635, 2.205, 0.472, 10.418]),
    ];
    check(&months(&data, &[]), &known, 0.0006);
}

/// A simple strategy over the months, with what trading costs: it does not earn its fees.
#[test]
fn a_demonstration_over_the_months_is_reported_as_it_is() {
    let Some(data) = datasets("a_demonstration_over_the_months_is_reported_as_it_is", Set::Kimchi) else {
        return;
    };
    let run = replay(&data, "kimchi-months", &[]);
    for counter in ["crossed_books", "sequence_gaps", "fx_rejected", "repairs"] {
        assert_eq!(run.count(counter), 0, "{counter}");
    }
    // No candle of Upbit for most of the time: nothing is traded then.
    let idle = run.summary["statistics"]["idle"].as_array().unwrap();
    let share = |cause: &str| {
        idle.iter().find(|row| row["cause"] == cause).unwrap()["share"]
            .as_f64()
            .unwrap()
    };
    assert!((0.78..0.80).contains(&share("blocked")));
    assert_eq!((share("no_fx"), share("stale")), (0.0, 0.0));
    let parts = &run.summary["statistics"]["attribution"];
    let part = |name: &str| parts[name].as_f64().unwrap();
    let total = part("premium") + part("fx") - part("slippage") - part("fees") - part("legging");
    assert!((total - part("round_trips")).abs() < 0.01);
    assert_eq!(
        run.digest(),
        "b0beaf11899ace3b619bb8820a567be10a694d68f5b6ab94707e688fcf81a319"
    );
    assert_eq!(run.trips(), (82, 49));
    assert_eq!(format!("{:.2}", run.money("pnl_vs_hold")), "-792985.27");
}
