//! Recordings of real venues, frame by frame: everything is read or of a known other kind, and the books are never
//! crossed. The recordings are not part of the repository: `CROSSBOOK_DATA` says where they are.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use crossbook_engine::book::sync::{SequenceRule, Sync, Verdict};
use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::event::EventKind;
use crossbook_engine::units::TimestampNs;
use crossbook_feed::input::Request;
use crossbook_feed::venue::Protocol;
use crossbook_feed::wire::{Body, Message, Role, Scratch, read, read_answer};

/// A recording, unpacked, or `None` with a loud word about it.
fn recording(test: &str, file: &str) -> Option<String> {
    let Some(root) = std::env::var_os("CROSSBOOK_DATA") else {
        eprintln!("SKIPPED {test}: CROSSBOOK_DATA is not set");
        return None;
    };
    let file = std::fs::File::open(PathBuf::from(root).join(file)).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    Some(text)
}

/// What was received, and the market whose REST answer it is. `<stamp>[:] <frame>`, the frame perhaps as `b'…'`;
/// `<url> -> <stamp>: <frame>`; notes of the recorder.
fn frame(line: &str) -> Option<(Option<&str>, &str)> {
    let (request, line) = match line.split_once(" -> ") {
        Some((url, line)) => (Some(url), line),
        None => (None, line),
    };
    let symbol = request.and_then(|url| url.split_once("symbol=")?.1.split('&').next());
    let (stamp, frame) = line.split_once(' ')?;
    stamp.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
    Some((
        symbol,
        frame
            .strip_prefix("b'")
            .and_then(|frame| frame.strip_suffix('\''))
            .unwrap_or(frame),
    ))
}

/// One book and its numbers; diffs before the snapshot are kept as frames.
struct Market {
    sync: Sync,
    book: Book,
    kept: Vec<String>,
    /// Messages that went in.
    applied: u64,
}

impl Market {
    fn new(rule: SequenceRule) -> Market {
        Market {
            sync: Sync::new(rule),
            book: Book::default(),
            kept: Vec::new(),
            applied: 0,
        }
    }

    /// Whether kept frames now go on from a snapshot.
    fn take(&mut self, message: &Message<'_>, text: &str) -> bool {
        let Body::Book(found) = message.body else {
            return false;
        };
        let ts = message.ts_event.unwrap_or(TimestampNs(0));
        let (verdict, event) = match found.role {
            Role::Whole => (
                self.sync.snapshot(found.ids),
                EventKind::Snapshot {
                    bids: found.bids,
                    asks: found.asks,
                    complete: false,
                },
            ),
            Role::Diff => (
                self.sync.update(found.ids),
                EventKind::Update {
                    bids: found.bids,
                    asks: found.asks,
                },
            ),
        };
        match verdict {
            Verdict::Apply => {
                self.book.apply(ts, ts, &event);
                self.applied += 1;
                assert!(!self.book.is_crossed(), "{text}");
            }
            Verdict::Old => {}
            Verdict::BeforeSnapshot => self.kept.push(text.to_owned()),
            Verdict::Gap { .. } => panic!("a gap: {text}"),
        }
        found.role == Role::Whole
    }
}

/// Counts by kind, and the books in the end.
#[derive(Default)]
struct Found {
    kinds: BTreeMap<String, u64>,
    markets: BTreeMap<String, Market>,
}

fn replay(text: &str, protocol: Protocol, rule: SequenceRule) -> Found {
    let mut found = Found::default();
    let mut scratch = Scratch::default();
    let only = text.lines().filter_map(frame).find_map(|(_, frame)| {
        let (_, rest) = frame.split_once("\"s\":\"")?;
        rest.split('"').next()
    });
    for (asked, frame) in text.lines().filter_map(frame) {
        // The later recordings do not note what was asked; each is of one market.
        let answer = frame.starts_with("{\"lastUpdateId");
        let asked = asked.or(only.filter(|_| answer));
        let mut again = None;
        let mut each = |message: Message<'_>| {
            let kind = match message.body {
                Body::Book(book) => format!("{:?}", book.role),
                Body::Trade(trade) if trade.aggregate => "Aggregate".to_owned(),
                Body::Trade(_) => "Trade".to_owned(),
                Body::Ticker(_) => "Ticker".to_owned(),
                other => format!("{other:?}"),
            };
            *found.kinds.entry(kind).or_default() += 1;
            let symbol = message.symbol.or(asked).expect("whose it is is known");
            let market = found
                .markets
                .entry(symbol.to_owned())
                .or_insert_with(|| Market::new(rule));
            if market.take(&message, frame) && !market.kept.is_empty() {
                again = Some(symbol.to_owned());
            }
        };
        let read_it = match asked {
            Some(symbol) => {
                let request = Request::Books(vec![symbol.to_owned()]);
                read_answer(protocol, &request, frame.as_bytes(), &mut scratch, &mut each)
            }
            None => read(protocol, frame.as_bytes(), &mut scratch, &mut each),
        };
        assert_eq!(read_it, Ok(()), "{frame}");
        if let Some(market) = again.and_then(|symbol| found.markets.get_mut(&symbol)) {
            for kept in std::mem::take(&mut market.kept) {
                read(protocol, kept.as_bytes(), &mut scratch, &mut |message| {
                    market.take(&message, &kept);
                })
                .unwrap();
            }
        }
    }
    found
}

fn kinds(found: &Found) -> Vec<(&str, u64)> {
    found
        .kinds
        .iter()
        .map(|(kind, count)| (kind.as_str(), *count))
        .collect()
}

/// `price quantity` of the best bid and the best ask.
fn tops(book: &Book) -> [String; 2] {
    [BookSide::Bid, BookSide::Ask].map(|side| {
        let level = book.best(side).unwrap();
        format!("{} {}", level.price, level.qty)
    })
}

#[test]
fn every_upbit_frame_of_2021_is_a_book_or_a_trade() {
    let test = "every_upbit_frame_of_2021_is_a_book_or_a_trade";
    let Some(text) = recording(test, "real/raw_ws/UPBIT-d78752.0.gz") else {
        return;
    };
    let found = replay(&text, Protocol::Upbit, SequenceRule::UpbitTimestamp);
    assert_eq!(kinds(&found), [("Trade", 672), ("Whole", 1_061)]);
    assert_eq!(found.markets.len(), 9);
    assert_eq!(found.markets.values().map(|market| market.applied).sum::<u64>(), 1_061);
    for (name, market) in &found.markets {
        assert!(market.book.top().is_ok() && market.book.crossed_count() == 0, "{name}");
        for side in [BookSide::Bid, BookSide::Ask] {
            assert_eq!(market.book.levels(side).count(), 15, "{name}");
        }
    }
}

#[test]
fn every_binance_frame_and_answer_of_2021_is_read() {
    let test = "every_binance_frame_and_answer_of_2021_is_read";
    let Some(text) = recording(test, "real/raw_ws/BINANCE-b38f7c.0.gz") else {
        return;
    };
    let found = replay(&text, Protocol::BinanceSpot, SequenceRule::BinanceSpot);
    let want = [("Aggregate", 1_240), ("Diff", 4_709), ("Ticker", 5_408), ("Whole", 10)];
    assert_eq!(kinds(&found), want);
    assert_eq!(found.markets.len(), 10);
    for (name, market) in &found.markets {
        assert!(market.book.top().is_ok() && market.book.crossed_count() == 0, "{name}");
        assert!(market.kept.is_empty(), "{name}");
    }
}

#[test]
fn every_frame_of_three_binance_markets_of_2024_is_read() {
    type Case = (&'static str, Protocol, SequenceRule, [u64; 3], [&'static str; 2]);
    let (spot, futures) = (SequenceRule::BinanceSpot, SequenceRule::BinanceFutures);
    let cases: [Case; 5] = [
        (
            "spot_btcusdt",
            Protocol::BinanceSpot,
            spot,
            [3_451, 28_040, 9_757],
            ["61685.99000000 1.00870000", "61686.00000000 2.29327000"],
        ),
        (
            "spot_ethusdt",
            Protocol::BinanceSpot,
            spot,
            [3_434, 24_077, 6_106],
            ["2682.50000000 3.31680000", "2682.51000000 48.97390000"],
        ),
        (
            "usdm_btcusdt",
            Protocol::BinanceUsdm,
            futures,
            [6_551, 66_089, 21_313],
            ["61659.70000000 1.48600000", "61659.80000000 0.98100000"],
        ),
        (
            "usdm_ethusdt",
            Protocol::BinanceUsdm,
            futures,
            [6_586, 53_992, 14_076],
            ["2681.38000000 8.48600000", "2681.39000000 22.62400000"],
        ),
        (
            "cm_btcusd_perp",
            Protocol::BinanceUsdm,
            futures,
            [26_847, 19_136, 2_286],
            ["61668.60000000 1380.00000000", "61668.70000000 871.00000000"],
        ),
    ];
    for (name, protocol, rule, [diffs, tickers, trades], want) in cases {
        let file = format!("real/binance_triple_20240808/{name}_20240808.gz");
        let Some(text) = recording("every_frame_of_three_binance_markets_of_2024_is_read", &file) else {
            return;
        };
        let found = replay(&text, protocol, rule);
        let counts = [("Diff", diffs), ("Ticker", tickers), ("Trade", trades), ("Whole", 1)];
        assert_eq!(kinds(&found), counts, "{name}");
        assert_eq!(found.markets.len(), 1, "{name}");
        for market in found.markets.values() {
            assert_eq!(tops(&market.book), want, "{name}");
            assert_eq!(market.book.crossed_count(), 0, "{name}");
        }
    }
}
