//! LINKUSDT at Binance and Huobi, once a second: an edge that is real, and smaller than the fees.

use crossbook_engine::records::Direction;
use crossbook_engine::spread::Tops;
use crossbook_engine::units::Bps;

use super::{Set, Top, datasets, premiums, replay, statistics, tops};

/// 659 of 3,600 seconds with one venue's bid above the other's ask, by 8.03 bps at most: as the engine computes its spreads.
#[test]
fn the_engines_spreads_are_those_that_are_known() {
    let Some(data) = datasets("the_engines_spreads_are_those_that_are_known", Set::Link) else {
        return;
    };
    let (huobi, binance) = (tops(&data, "huobi-linkusdt"), tops(&data, "binance-linkusdt"));
    assert_eq!((huobi.len(), binance.len()), (3_600, 3_600));
    let mut best: Vec<Bps> = huobi
        .iter()
        .zip(&binance)
        .map(|(a, b)| {
            assert!(a.ts_recv == b.ts_recv && a.priced && b.priced);
            let tops = Tops::new((a.bid, a.ask), (b.bid, b.ask), 1.0);
            tops.open_bound(Direction::SellA).max(tops.open_bound(Direction::BuyA))
        })
        .collect();
    assert_eq!(best.iter().filter(|&&edge| edge > Bps::ZERO).count(), 659);
    best.sort();
    let figures = [best[1_800], best[3_420], best[3_599]].map(|edge| format!("{:.2}", edge.to_ratio() * 1e4));
    // The largest is known as 8.03, bid over ask less one. The engine counts a spread against B in either direction, here one less
    // ask over bid: smaller by the square of it, 0.006 bps.
    assert_eq!(figures, ["-1.17", "1.15", "8.02"]);
    let gross = |sell: &Top, buy: &Top| (sell.bid.price.to_f64() / buy.ask.price.to_f64() - 1.0) * 1e4;
    let largest = huobi
        .iter()
        .zip(&binance)
        .map(|(a, b)| gross(a, b).max(gross(b, a)))
        .fold(f64::MIN, f64::max);
    assert_eq!(format!("{largest:.2}"), "8.03");

    let seen: Vec<f64> = premiums(&data, "linkusdt-binance-huobi", &[])
        .iter()
        .map(|seen| seen.1)
        .collect();
    let [mean, sd, ..] = statistics(&seen[..3_600]);
    assert_eq!(format!("{mean:.3} {sd:.3}"), "0.020 1.470");
}

#[test]
fn no_round_trip_is_profitable_at_10_bps_a_side_and_some_are_without_fees() {
    let test = "no_round_trip_is_profitable_at_10_bps_a_side_and_some_are_without_fees";
    let Some(data) = datasets(test, Set::Link) else {
        return;
    };
    let scenario = "linkusdt-binance-huobi";
    let honest = replay(&data, scenario, &[]);
    assert_eq!((honest.trips(), honest.count("entries")), ((0, 0), 0));
    assert_eq!((honest.money("pnl_vs_hold"), honest.count("crossed_books")), (0.0, 0));

    // Entered whenever the books cross at all, in spite of 40 bps of fees: each round trip loses.
    let forced = replay(&data, scenario, &["strategy.entry_bps=-40"]);
    let pnl: Vec<f64> = forced
        .columns("trades", ["pnl"])
        .iter()
        .map(|[pnl]| pnl.parse().unwrap())
        .collect();
    assert_eq!((pnl.len(), forced.trips()), (60, (60, 0)));
    assert!(pnl.iter().all(|pnl| (-1.09..-1.0).contains(pnl)), "{pnl:?}");
    assert_eq!(format!("{:.2}", forced.money("pnl_vs_hold")), "-63.92");

    let free = ["venues.binance.taker_fee_bps=0", "venues.huobi.taker_fee_bps=0"];
    let free = replay(&data, scenario, &free);
    assert_eq!(free.trips(), (60, 60));
    assert_eq!(format!("{:.2}", free.money("pnl_vs_hold")), "1.70");
}
