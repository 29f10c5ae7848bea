//! Imports of real recordings against what is known of them (`real/README.md` of the data). The data are not part of
//! the repository: `CROSSBOOK_DATA` says where they are, and without it each test says loudly that it was skipped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crossbook::dataset::import::time::parse_zone;
use crossbook::dataset::import::{
    Account, Channels, Format, FxColumns, ImportError, Options, Quarantined, Sink, Stream, Summary, When, detect,
    each_member, import, read_rates,
};
use crossbook::dataset::message::Message;
use crossbook::dataset::synth::CandleFiles;
use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::event::{EventKind, Kind, Level};
use crossbook_engine::units::{FxRate, TimestampNs};

/// Files under the data root, or `None` with a loud word about it.
fn data(test: &str, files: &[&str]) -> Option<Vec<PathBuf>> {
    match std::env::var_os("CROSSBOOK_DATA") {
        Some(root) => Some(files.iter().map(|file| PathBuf::from(&root).join(file)).collect()),
        None => {
            eprintln!("SKIPPED {test}: CROSSBOOK_DATA is not set");
            None
        }
    }
}

#[derive(Default)]
struct Collected {
    streams: BTreeMap<String, Vec<Message>>,
    quarantined: u64,
}

impl Sink for Collected {
    fn message(&mut self, stream: &Stream, message: &Message) -> Result<(), ImportError> {
        self.streams
            .entry(stream.dataset_name())
            .or_default()
            .push(message.clone());
        Ok(())
    }

    fn quarantine(&mut self, _frame: &Quarantined<'_>) -> Result<(), ImportError> {
        self.quarantined += 1;
        Ok(())
    }
}

fn collect(inputs: &[PathBuf], options: &Options) -> (BTreeMap<String, Vec<Message>>, Vec<Summary>, Account) {
    let format = detect(&inputs[0])
        .unwrap()
        .expect("the format is told by the first bytes");
    let mut collected = Collected::default();
    let imported = import(format, inputs, options, &mut collected, &|_| ()).unwrap();
    let (summaries, account) = (imported.streams, imported.account);
    assert!(account.balances());
    assert_eq!(account.quarantined, collected.quarantined);
    (collected.streams, summaries, account)
}

fn channels(depth: bool, ticker: bool, trade: bool) -> Options {
    Options {
        channels: Channels { depth, ticker, trade },
        ..Options::default()
    }
}

fn apply(book: &mut Book, message: &Message) {
    let event = match message.kind {
        Kind::Snapshot | Kind::CompleteSnapshot => EventKind::Snapshot {
            bids: &message.bids,
            asks: &message.asks,
            complete: message.kind == Kind::CompleteSnapshot,
        },
        Kind::Update => EventKind::Update {
            bids: &message.bids,
            asks: &message.asks,
        },
        other => panic!("a {other:?} among book messages"),
    };
    book.apply(message.ts_event, message.ts_recv, &event);
}

fn show(level: Option<Level>) -> String {
    let trim = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    level.map_or("nothing".to_owned(), |level| {
        format!("{} {}", trim(level.price.to_string()), trim(level.qty.to_string()))
    })
}

fn best(book: &Book) -> (Option<Level>, Option<Level>) {
    (book.best(BookSide::Bid), book.best(BookSide::Ask))
}

struct Triple {
    file: &'static str,
    depth_lines: u64,
    /// Depth events after the snapshot, and how often their id is one of the ticker's.
    events: usize,
    same_id: usize,
    tops: [&'static str; 2],
}

fn triple(test: &str, case: &Triple) -> Option<Vec<(TimestampNs, f64)>> {
    let inputs = data(test, &[&format!("real/binance_triple_20240808/{}", case.file)])?;
    let (books, summaries, account) = collect(&inputs, &channels(true, false, false));
    let (tickers, _, _) = collect(&inputs, &channels(false, true, false));
    let (book_messages, tickers) = (books.values().next().unwrap(), tickers.values().next().unwrap());
    assert_eq!((books.len(), summaries.len()), (1, 1));
    // The host's clock is 1.27 s behind, so the smallest raw latency is negative.
    let least = summaries[0].min_latency_ns.unwrap();
    assert!((-1_276_000_000..-1_265_000_000).contains(&least), "{least}");
    let old = account.ignored["already in the book"];
    assert_eq!(
        account.applied + old - 1,
        case.depth_lines,
        "one snapshot, all else diffs"
    );

    let mut book = Book::default();
    let (mut events, mut equal, mut same_id, mut same_size) = (0, 0, 0, 0);
    let mut newest = 0;
    let mut mids = Vec::new();
    let (snapshot, diffs) = book_messages.split_first().unwrap();
    apply(&mut book, snapshot);
    assert!(diffs.windows(2).all(|pair| pair[0].ts_recv <= pair[1].ts_recv));
    for diff in diffs {
        apply(&mut book, diff);
        let top = best(&book);
        let (bid, ask) = (top.0.unwrap(), top.1.unwrap());
        mids.push((diff.ts_recv, (bid.price.to_f64() + ask.price.to_f64()) / 2.0));
        if diff.seq_last <= snapshot.seq_last {
            continue;
        }
        events += 1;
        while tickers
            .get(newest + 1)
            .is_some_and(|next| next.seq_last <= diff.seq_last)
        {
            newest += 1;
        }
        let ticker = &tickers[newest];
        let same = ticker.bids[0].price == bid.price && ticker.asks[0].price == ask.price;
        equal += usize::from(same && ticker.seq_last <= diff.seq_last);
        if ticker.seq_last == diff.seq_last {
            same_id += 1;
            same_size += usize::from((ticker.bids[0], ticker.asks[0]) == (bid, ask));
        }
    }
    assert_eq!(
        (events, equal),
        (case.events, case.events),
        "tops against the exchange's own ticker"
    );
    assert_eq!(
        (same_id, same_size),
        (case.same_id, case.same_id),
        "sizes where the ids are equal"
    );
    assert_eq!(book.crossed_count(), 0);
    assert_eq!([show(best(&book).0), show(best(&book).1)], case.tops);
    Some(mids)
}

const SPOT_BTC: Triple = Triple {
    file: "spot_btcusdt_20240808.gz",
    depth_lines: 3_451,
    events: 3_449,
    same_id: 564,
    tops: ["61685.99 1.0087", "61686 2.29327"],
};
const USDM_BTC: Triple = Triple {
    file: "usdm_btcusdt_20240808.gz",
    depth_lines: 6_551,
    events: 6_547,
    same_id: 629,
    tops: ["61659.7 1.486", "61659.8 0.981"],
};

#[test]
fn spot_and_perpetual_btc_equal_the_exchanges_own_tops() {
    let test = "spot_and_perpetual_btc_equal_the_exchanges_own_tops";
    let (Some(spot), Some(perpetual)) = (triple(test, &SPOT_BTC), triple(test, &USDM_BTC)) else {
        return;
    };
    // Perpetual mid against spot mid every 100 ms of local time: mean -3.683 bps, sd 0.571, by the README.
    let as_of = |mids: &[(TimestampNs, f64)], at: i64| {
        let next = mids.partition_point(|(ts, _)| ts.0 <= at);
        mids[next - 1].1
    };
    let from = spot[0].0.0.max(perpetual[0].0.0);
    let to = spot[spot.len() - 1].0.0.min(perpetual[perpetual.len() - 1].0.0);
    let basis: Vec<f64> = (from..to)
        .step_by(100_000_000)
        .map(|at| (as_of(&perpetual, at) / as_of(&spot, at) - 1.0) * 1e4)
        .collect();
    let (mean, sd, ..) = statistics(&basis);
    assert!((mean + 3.683).abs() < 0.02 && (sd - 0.571).abs() < 0.02, "{mean} {sd}");
}

#[test]
fn spot_and_perpetual_eth_and_coin_margined_equal_the_exchanges_own_tops() {
    let cases = [
        Triple {
            file: "spot_ethusdt_20240808.gz",
            depth_lines: 3_434,
            events: 3_432,
            same_id: 577,
            tops: ["2682.5 3.3168", "2682.51 48.9739"],
        },
        Triple {
            file: "usdm_ethusdt_20240808.gz",
            depth_lines: 6_586,
            events: 6_580,
            same_id: 551,
            tops: ["2681.38 8.486", "2681.39 22.624"],
        },
        Triple {
            file: "cm_btcusd_perp_20240808.gz",
            depth_lines: 26_847,
            events: 26_824,
            same_id: 1_124,
            tops: ["61668.6 1380", "61668.7 871"],
        },
    ];
    for case in cases {
        triple(
            "spot_and_perpetual_eth_and_coin_margined_equal_the_exchanges_own_tops",
            &case,
        );
    }
}

#[test]
fn f25_every_upbit_frame_is_read() {
    let Some(inputs) = data("f25_every_upbit_frame_is_read", &["real/raw_ws/UPBIT-d78752.0.gz"]) else {
        return;
    };
    let (books, summaries, account) = collect(&inputs, &channels(true, false, false));
    assert_eq!((account.received, account.applied), (1_733, 1_061));
    assert_eq!(
        account.ignored,
        BTreeMap::from([("other stream: trade".to_owned(), 672)])
    );
    let markets = [
        "btc-basic",
        "btc-chz",
        "btc-flow",
        "krw-ada",
        "krw-ankr",
        "krw-bat",
        "krw-dawn",
        "krw-iq",
        "krw-stx",
    ];
    assert!(
        books.keys().map(String::as_str).eq(markets
            .map(|market| format!("upbit-{market}"))
            .iter()
            .map(String::as_str))
    );
    assert!(
        books
            .values()
            .flatten()
            .all(|book| book.bids.len() == 15 && book.asks.len() == 15)
    );
    let mut latencies: Vec<i64> = books
        .values()
        .flatten()
        .map(|book| (book.ts_recv.since(book.ts_event) + 500_000) / 1_000_000)
        .collect();
    latencies.sort_unstable();
    assert_eq!(
        (
            latencies[0],
            latencies[latencies.len() / 2],
            latencies[latencies.len() - 1]
        ),
        (94, 286, 566)
    );
    assert_eq!(
        summaries
            .iter()
            .filter_map(|summary| summary.min_latency_ns)
            .min()
            .map(|ns| ns / 1_000_000),
        Some(94)
    );
    let (_, _, account) = collect(&inputs, &channels(false, false, true));
    assert_eq!((account.applied, account.quarantined), (672, 0));
}

#[test]
fn f25_every_binance_message_and_answer_is_read() {
    let Some(inputs) = data(
        "f25_every_binance_message_and_answer_is_read",
        &["real/raw_ws/BINANCE-b38f7c.0.gz"],
    ) else {
        return;
    };
    let (books, _, account) = collect(&inputs, &channels(true, false, false));
    assert_eq!((account.received, account.quarantined), (11_357 + 10, 0));
    assert_eq!(books.len(), 10);
    for (name, messages) in &books {
        assert_eq!(
            messages.iter().filter(|message| message.kind == Kind::Snapshot).count(),
            1,
            "{name}"
        );
        assert!(messages[0].bids.len() <= 1_000 && messages[0].asks.len() <= 1_000);
        let mut book = Book::default();
        messages.iter().for_each(|message| apply(&mut book, message));
        assert_eq!(book.crossed_count(), 0, "{name}");
        assert!(book.top().is_ok(), "{name}");
    }
    let (_, _, all) = collect(&inputs, &channels(false, true, true));
    assert_eq!(
        all.applied + account.applied + account.ignored["already in the book"],
        account.received
    );
}

#[test]
fn bybit_spot_and_perpetuals_continue_without_a_gap() {
    let Some(inputs) = data(
        "bybit_spot_and_perpetuals_continue_without_a_gap",
        &["real/raw_ws/BYBIT.jsonl.zst"],
    ) else {
        return;
    };
    let (books, _, account) = collect(&inputs, &channels(true, false, false));
    assert_eq!((account.received, account.quarantined), (3_229, 0));
    let deltas = [
        ("bybit-btcusdt", 299),
        ("bybit-ethusdt", 249),
        ("bybit-linear-btcusdt", 413),
        ("bybit-linear-dogeusdt", 379),
        ("bybit-linear-ethusdt", 420),
        ("bybit-linear-solusdt", 382),
    ];
    assert!(books.keys().map(String::as_str).eq(deltas.map(|(name, _)| name)));
    for (name, count) in deltas {
        let messages = &books[name];
        assert_eq!(messages.len(), count + 1, "{name}");
        let mut book = Book::default();
        for message in messages {
            apply(&mut book, message);
            assert!(book.top().is_ok(), "{name}");
            // The venue keeps a window of 200 levels a side: what leaves it is deleted.
            assert!(book.levels(BookSide::Bid).count() <= 200 && book.levels(BookSide::Ask).count() <= 200);
        }
        assert_eq!(book.crossed_count(), 0, "{name}");
    }
}

#[test]
fn the_linkusdt_pair_is_what_its_description_says() {
    let files = [
        "real/pair_binance_huobi_linkusdt_20210820/orderbook_bnc_first_hour.csv.gz",
        "real/pair_binance_huobi_linkusdt_20210820/orderbook_hb_first_hour.csv.gz",
    ];
    let Some(inputs) = data("the_linkusdt_pair_is_what_its_description_says", &files) else {
        return;
    };
    let options = Options {
        zone: parse_zone("UTC"),
        cut_sizes: true,
        ..Options::default()
    };
    let (books, _, account) = collect(&inputs, &options);
    assert_eq!((account.received, account.applied), (7_200, 7_200));
    let (binance, huobi) = (&books["bnc-linkusdt"], &books["hb-linkusdt"]);
    assert_eq!((binance.len(), huobi.len()), (3_600, 3_600));
    let (mut crossed, mut better, mut mids) = (0, Vec::new(), Vec::new());
    for (a, b) in binance.iter().zip(huobi) {
        assert_eq!(a.ts_recv, b.ts_recv);
        for book in [a, b] {
            assert!(book.bids.windows(2).all(|pair| pair[0].price > pair[1].price));
            assert!(book.asks.windows(2).all(|pair| pair[0].price < pair[1].price));
            assert!(book.bids[0].price < book.asks[0].price);
        }
        let edge =
            |sell: &Message, buy: &Message| (sell.bids[0].price.to_f64() / buy.asks[0].price.to_f64() - 1.0) * 1e4;
        crossed += usize::from(a.bids[0].price > b.asks[0].price || b.bids[0].price > a.asks[0].price);
        better.push(edge(a, b).max(edge(b, a)));
        let mid = |book: &Message| book.bids[0].price.to_f64() + book.asks[0].price.to_f64();
        mids.push((mid(b) / mid(a) - 1.0) * 1e4);
    }
    assert_eq!(crossed, 659);
    better.sort_by(f64::total_cmp);
    let two = |value: f64| format!("{value:.2}");
    assert_eq!(
        (two(better[1_800]), two(better[3_420]), two(better[3_599])),
        ("-1.17".into(), "1.15".into(), "8.03".into())
    );
    let (mean, sd, ..) = statistics(&mids);
    assert_eq!(
        (format!("{mean:.3}"), format!("{sd:.3}")),
        ("0.020".to_owned(), "1.470".to_owned())
    );
}

#[test]
fn f30_korean_local_times_are_read_in_their_zone() {
    let files = [
        "real/upbit_binance_l2_20250824/upbit_BTC_KRW_06.jsonl.gz",
        "real/upbit_binance_l2_20250824/binance_BTC_USDT_06.jsonl.gz",
    ];
    let Some(inputs) = data("f30_korean_local_times_are_read_in_their_zone", &files) else {
        return;
    };
    let options = Options {
        zone: parse_zone("Asia/Seoul"),
        ..Options::default()
    };
    let (books, ..) = collect(&inputs, &options);
    let times = |name: &str| -> Vec<i64> {
        books[name]
            .iter()
            .map(|message| message.ts_recv.0 / 1_000_000)
            .collect()
    };
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let upbit = times("upbit-btc-krw");
    assert_eq!(
        (upbit.len(), upbit[0], upbit[7]),
        (8, at("2025-08-23T21:03:18.382Z"), at("2025-08-23T21:05:50.382Z"))
    );
    let binance = times("binance-btc-usdt");
    assert_eq!((binance.len(), binance[0]), (3, at("2025-08-23T21:05:21.192Z")));
    assert!(
        books
            .values()
            .flatten()
            .all(|book| book.bids.len() == 20 && book.asks.len() == 20)
    );
    // Without a zone they are refused, not read as UTC.
    let mut sink = Collected::default();
    let error = import(Format::JsonlSnapshots, &inputs, &Options::default(), &mut sink, &|_| ()).unwrap_err();
    assert!(error.to_string().contains("has no zone"), "{error}");
}

#[test]
fn the_monthly_kimchi_premium_agrees_with_its_table() {
    let months = [
        "2024_08", "2024_09", "2024_10", "2024_11", "2024_12", "2025_01", "2025_02",
    ];
    let mut files: Vec<String> = months
        .iter()
        .map(|month| format!("real/kimchi_1m/binance_BTC_USDT_{month}_1m.csv.gz"))
        .collect();
    files.push("real/kimchi_1m/upbit_BTC_KRW_1m_20240824_20250228.csv.gz".to_owned());
    files.push("real/fx_daily/ecb_eur_usd_krw_jpy_2017_2026.csv.gz".to_owned());
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let Some(mut inputs) = data("the_monthly_kimchi_premium_agrees_with_its_table", &files) else {
        return;
    };
    let (fx, upbit) = (inputs.pop().unwrap(), inputs.pop().unwrap());
    let usdkrw = FxColumns::parse("usdkrw=eurkrw/eurusd").unwrap();
    let mut rates: BTreeMap<jiff::civil::Date, FxRate> = BTreeMap::new();
    each_member(&fx, &|_| (), &mut |input| {
        for (when, rate) in read_rates(input, &Options::default(), &usdkrw)? {
            let When::Date(date) = when else {
                panic!("the file has dates")
            };
            rates.insert(date, rate);
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(rates.len(), 2_516);
    let closes = |paths: Vec<PathBuf>| -> BTreeMap<i64, f64> {
        CandleFiles::new(paths)
            .map(|candle| candle.unwrap())
            .map(|candle| (candle.minute.0, candle.close.to_f64()))
            .collect()
    };
    let (binance, upbit) = (closes(inputs), closes(vec![upbit]));
    assert_eq!(upbit.len(), 54_200);
    let mut premiums: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (minute, krw) in upbit {
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(minute)).unwrap();
        let date = stamp.to_zoned(jiff::tz::TimeZone::UTC).date();
        // The table looks ahead on purpose: day d's rate for all of day d.
        let (_, rate) = rates.range(..=date).next_back().unwrap();
        // So was its rate rounded to 0.01 won; with the exact one, two of the minima end in the next digit.
        let rate = (rate.to_f64() * 100.0).round() / 100.0;
        let premium = (krw / (binance[&minute] * rate) - 1.0) * 100.0;
        premiums
            .entry(format!("{:04}-{:02}", date.year(), date.month()))
            .or_default()
            .push(premium);
    }
    let table: Vec<String> = premiums
        .iter()
        .map(|(month, premiums)| {
            let (mean, sd, least, most) = statistics(premiums);
            format!("{month} {} {mean:.3} {sd:.3} {least:.3} {most:.3}", premiums.len())
        })
        .collect();
    let want = [
        "2024-08 2172 1.385 0.804 -0.103 2.766",
        "2024-09 8628 0.942 0.781 -0.713 2.985",
        "2024-10 8812 0.154 0.733 -1.564 2.267",
        "2024-11 8788 0.196 1.045 -5.650 2.219",
        "2024-12 8800 0.898 1.982 -5.033 5.343",
        "2025-01 9000 2.846 1.766 0.092 7.902",
        "2025-02 8000 4.604 2.223 0.060 10.418",
    ];
    assert_eq!(table, want);
}

#[test]
fn the_parity_feed_becomes_three_datasets() {
    let Some(inputs) = data("the_parity_feed_becomes_three_datasets", &["parity/feed.parquet"]) else {
        return;
    };
    let (streams, summaries, account) = collect(&inputs, &Options::default());
    assert_eq!(account.received, 4_005_262);
    let counts: Vec<(&str, usize, u64)> = streams
        .iter()
        .map(|(name, messages)| {
            let rows = messages
                .iter()
                .map(|m| (m.bids.len() + m.asks.len()).max(1) as u64)
                .sum();
            (name.as_str(), messages.len(), rows)
        })
        .collect();
    let want = [
        ("parity-a-krw-btc", 50_000, 2_000_000),
        ("parity-b-btcusdt", 526_512, 2_000_001),
        ("parity-usdkrw", 5_261, 5_261),
    ];
    assert_eq!(counts, want);
    assert!(
        streams["parity-a-krw-btc"]
            .iter()
            .all(|message| message.kind == Kind::CompleteSnapshot)
    );
    assert!(
        streams["parity-b-btcusdt"][1..]
            .iter()
            .all(|message| message.kind == Kind::Update)
    );
    assert_eq!(streams["parity-b-btcusdt"][0].kind, Kind::CompleteSnapshot);
    let latencies: Vec<Option<i64>> = summaries.iter().map(|summary| summary.min_latency_ns).collect();
    assert_eq!(latencies, [Some(50_000_000), Some(8_000_000), Some(40_000_000)]);
}

/// Mean, standard deviation (of the population), least and most.
fn statistics(values: &[f64]) -> (f64, f64, f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (mean, variance.sqrt(), least, most)
}
