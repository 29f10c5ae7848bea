//! Binance spot against USD-M perpetual, BTC and ETH, raw frames of 2024-08-08.

use std::collections::BTreeMap;

use crossbook::dataset::import::{Channels, Format, ImportError, Options, Quarantined, Sink, Stream, import};
use crossbook::dataset::message::Message;
use crossbook::dataset::reader::read_manifest;
use crossbook_engine::event::Kind;

use super::{Set, Top, as_of, datasets, premiums, raw, replay, statistics, tops};

#[derive(Default)]
struct Collected(BTreeMap<String, Vec<Message>>);

impl Sink for Collected {
    fn message(&mut self, stream: &Stream, message: &Message) -> Result<(), ImportError> {
        self.0.entry(stream.dataset_name()).or_default().push(message.clone());
        Ok(())
    }

    fn quarantine(&mut self, frame: &Quarantined<'_>) -> Result<(), ImportError> {
        panic!("quarantined: {frame:?}");
    }
}

/// What a replay reads from disk shows the top that the exchange's own ticker shows, after every depth event, and its
/// messages continue each other without a gap.
#[test]
fn the_replayed_books_show_the_exchanges_own_tops() {
    let test = "the_replayed_books_show_the_exchanges_own_tops";
    let (Some(raw), Some(data)) = (raw(test), datasets(test, Set::Triple)) else {
        return;
    };
    // File, dataset, depth events after the snapshot, and those at which the engine does not price the book: the price has
    // left the snapshot's 1,000 levels, and what lies there has not been swept yet.
    let cases = [
        ("spot_btcusdt", "binance-btcusdt", 3_449, 1),
        ("usdm_btcusdt", "binance-usdm-btcusdt", 6_547, 14),
        ("spot_ethusdt", "binance-ethusdt", 3_432, 0),
        ("usdm_ethusdt", "binance-usdm-ethusdt", 6_580, 0),
    ];
    for (file, name, events, unpriced) in cases {
        let tops = tops(&data, name);
        assert_eq!(tops.iter().filter(|top| !top.priced).count(), unpriced, "{name}");
        let path = raw.join(format!("real/binance_triple_20240808/{file}_20240808.gz"));
        let options = Options {
            channels: Channels {
                depth: true,
                ticker: true,
                trade: false,
            },
            ..Options::default()
        };
        let mut collected = Collected::default();
        import(Format::RawBinance, &[path], &options, &mut collected, &|_| ()).unwrap();
        let (tickers, books): (Vec<_>, Vec<_>) =
            collected.0.into_iter().partition(|(name, _)| name.ends_with("-quotes"));
        let ([(_, tickers)], [(_, book)]) = (tickers.as_slice(), books.as_slice()) else {
            panic!("{name}: one book and one ticker");
        };
        let [snapshot, diffs @ ..] = book.as_slice() else {
            panic!("{name}: nothing")
        };
        assert_eq!((snapshot.kind, tops.len()), (Kind::Snapshot, book.len()), "{name}");
        for pair in diffs.windows(2) {
            let continued = match pair[1].seq_prev {
                Some(before) => Some(before) == pair[0].seq_last,
                None => pair[1].seq_first == pair[0].seq_last.map(|last| last + 1),
            };
            assert!(
                continued,
                "{name}: {:?} after {:?}",
                pair[1].seq_first, pair[0].seq_last
            );
        }
        let mut equal = 0;
        for (diff, top) in diffs.iter().zip(&tops[1..]) {
            assert_eq!(diff.ts_recv, top.ts_recv, "{name}");
            if diff.seq_last <= snapshot.seq_last {
                continue;
            }
            let before = tickers.partition_point(|ticker| ticker.seq_last <= diff.seq_last);
            let ticker = &tickers[before - 1];
            assert_eq!(
                (ticker.bids[0].price, ticker.asks[0].price),
                (top.bid.price, top.ask.price),
                "{name} {top:?}"
            );
            if ticker.seq_last == diff.seq_last {
                assert_eq!((ticker.bids[0], ticker.asks[0]), (top.bid, top.ask), "{name}");
            }
            equal += 1;
        }
        assert_eq!(equal, events, "{name}");
    }
}

/// The recording host's clock is 1.27 s behind: told by the manifest, and put right so that nothing arrives before it happened.
#[test]
fn the_hosts_slow_clock_is_put_right() {
    let Some(data) = datasets("the_hosts_slow_clock_is_put_right", Set::Triple) else {
        return;
    };
    for name in [
        "binance-btcusdt",
        "binance-usdm-btcusdt",
        "binance-ethusdt",
        "binance-usdm-ethusdt",
    ] {
        let offset_ms = read_manifest(&data.join(name)).unwrap().clock_offset_ns / 1_000_000;
        assert!((-1_277..-1_272).contains(&offset_ms), "{name}: {offset_ms} ms");
        let mut latencies: Vec<i64> = tops(&data, name)
            .iter()
            .map(|top| top.ts_recv.since(top.ts_event))
            .collect();
        latencies.sort_unstable();
        let median_ms = latencies[latencies.len() / 2] / 1_000_000;
        assert!(
            latencies[0] >= 1_000_000 && (1..10).contains(&median_ms),
            "{name}: {median_ms} ms"
        );
    }
}

/// The premium that the engine sees, every 100 ms of local time, has the statistics that the recordings are known to have.
/// Those were taken from the exchange's book tickers, so the same scenario is replayed over these, and over the depth.
#[test]
fn the_engine_sees_the_known_premium() {
    let Some(data) = datasets("the_engine_sees_the_known_premium", Set::Triple) else {
        return;
    };
    // The span that all three recordings of these minutes share: from the third one's first ticker on.
    let grid = || (0..3_433).map(|step| 1_723_161_256_207_640_365 + step * 100_000_000);
    let printed = |premiums: &[f64]| statistics(premiums).map(|figure| format!("{figure:.3}"));
    let engine = |sets: &[&str]| -> Vec<f64> {
        let seen = premiums(&data, "binance-spot-usdm-btc", sets);
        grid()
            .map(|at| as_of(&seen, |sample| sample.0, at).unwrap().1)
            .collect()
    };
    let quotes = engine(&["datasets=[\"binance-btcusdt-quotes\", \"binance-usdm-btcusdt-quotes\"]"]);
    assert_eq!(printed(&quotes), ["-3.683", "0.571", "-8.061", "0.598"]);

    // Over the depth: what the books show at each instant, and what the engine makes of it. They differ only where the engine
    // does not price a book whose market has just left the snapshot's levels; it then holds the value before.
    let [perpetual, spot] = ["binance-usdm-btcusdt", "binance-btcusdt"].map(|name| tops(&data, name));
    let mid = |top: &Top| top.bid.price.to_f64() + top.ask.price.to_f64();
    let depth = engine(&[]);
    let (mut shown, mut held) = (Vec::new(), 0);
    for (at, engine) in grid().zip(&depth) {
        let [a, b] = [&perpetual, &spot].map(|tops| as_of(tops, |top| top.ts_recv.0, at).unwrap());
        let premium = (mid(a) / mid(b) - 1.0) * 1e4;
        shown.push(premium);
        if a.priced && b.priced {
            assert!((premium - engine).abs() < 1e-4, "{at}: {premium} {engine}");
        } else {
            held += 1;
        }
    }
    assert_eq!(printed(&shown), ["-3.683", "0.581", "-9.687", "-0.756"]);
    assert_eq!(
        (printed(&depth), held),
        (["-3.684", "0.574", "-8.755", "-1.775"].map(str::to_owned), 7)
    );
}

const FREE: [&str; 2] = ["venues.binance.taker_fee_bps=0", "venues.binance-usdm.taker_fee_bps=0"];
const INSTANT: [&str; 4] = [
    "venues.binance.order_latency.median_ms=0",
    "venues.binance.report_latency.ms=0",
    "venues.binance-usdm.order_latency.median_ms=0",
    "venues.binance-usdm.report_latency.ms=0",
];

#[test]
fn spot_against_perpetual_earns_nothing_at_real_fees() {
    let Some(data) = datasets("spot_against_perpetual_earns_nothing_at_real_fees", Set::Triple) else {
        return;
    };
    // As in docs/real-data.md: digest as it is; then round trips, those won and the result when it is forced to trade in spite
    // of 30 bps of fees, without fees, and without fees and latency.
    type Outcome = (u64, u64, &'static str);
    let cases: [(&str, &str, [Outcome; 3]); 3] = [
        (
            "binance-spot-usdm-btc",
            "4d6e4f0d3dc1",
            [(1_380, 0, "-25570.27"), (135, 125, "59.82"), (135, 129, "62.02")],
        ),
        (
            "binance-spot-usdm-eth",
            "83fd1e03c824",
            [(1_023, 0, "-16596.96"), (161, 149, "59.28"), (162, 152, "63.48")],
        ),
        (
            "binance-spot-usdm",
            "fe053aa58fbe",
            [(2_177, 0, "-38088.69"), (296, 273, "116.23"), (297, 280, "123.96")],
        ),
    ];
    let free_and_instant = [FREE.as_slice(), &INSTANT].concat();
    for (scenario, digest, outcomes) in cases {
        let honest = replay(&data, scenario, &[]);
        for counter in [
            "crossed_books",
            "sequence_gaps",
            "times_held_at_receipt",
            "messages_before_snapshot",
        ] {
            assert_eq!(honest.count(counter), 0, "{scenario} {counter}");
        }
        assert_eq!((honest.trips(), honest.count("entries")), ((0, 0), 0), "{scenario}");
        assert_eq!(honest.money("pnl_vs_hold"), 0.0, "{scenario}");
        assert!(honest.digest().starts_with(digest), "{scenario}: {}", honest.digest());

        let sets: [&[&str]; 3] = [&["strategy.entry_bps=-31"], &FREE, &free_and_instant];
        for (sets, (trips, wins, pnl)) in sets.into_iter().zip(outcomes) {
            let run = replay(&data, scenario, sets);
            let found = (run.trips(), format!("{:.2}", run.money("pnl_vs_hold")));
            assert_eq!(found, ((trips, wins), pnl.to_owned()), "{scenario} {sets:?}");
        }
    }
}
