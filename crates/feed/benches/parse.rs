//! From bytes to parsed messages and applied books, beside serde_json doing the parsing alone.
//!
//! `cargo bench -p crossbook-feed --bench parse`. The frames are made up (`tests/parse/samples.rs`) but built as the venues
//! build theirs; each measurement goes round 64 different ones, so that no branch is learnt by heart.

#[path = "../tests/parse/samples.rs"]
mod samples;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbook_engine::book::Book;
use crossbook_engine::event::{EventKind, Level};
use crossbook_engine::units::TimestampNs;
use crossbook_feed::venue::Protocol;
use crossbook_feed::wire::{self, Body, Decimal, Levels, Message, Role, Scratch};
use samples::Numbers;
use serde::Deserialize;

const FRAMES: usize = 64;
/// Of each venue, in the mix.
const MARKETS: usize = 30;

fn frames(make: impl Fn(&mut Numbers) -> String) -> Vec<String> {
    let mut numbers = Numbers::new(7);
    (0..FRAMES).map(|_| make(&mut numbers)).collect()
}

/// Applies what a message says to a book.
fn apply(book: &mut Book, message: &Message<'_>) {
    let ts = message.ts_event.unwrap_or(TimestampNs(0));
    if let Body::Book(found) = message.body {
        let event = match found.role {
            Role::Whole => EventKind::Snapshot {
                bids: found.bids,
                asks: found.asks,
                complete: false,
            },
            Role::Diff => EventKind::Update {
                bids: found.bids,
                asks: found.asks,
            },
        };
        book.apply(ts, ts, &event);
    }
}

/// Upbit's book through serde_json, into exact levels.
#[derive(Deserialize)]
struct UpbitBook<'a> {
    code: &'a str,
    timestamp: u64,
    #[serde(borrow)]
    orderbook_units: Vec<UpbitUnit<'a>>,
}

#[derive(Deserialize)]
struct UpbitUnit<'a> {
    #[serde(borrow)]
    ask_price: Decimal<'a>,
    #[serde(borrow)]
    bid_price: Decimal<'a>,
    #[serde(borrow)]
    ask_size: Decimal<'a>,
    #[serde(borrow)]
    bid_size: Decimal<'a>,
}

fn serde_upbit(text: &str) -> (usize, u64, Vec<Level>, Vec<Level>) {
    let book: UpbitBook<'_> = serde_json::from_str(text).unwrap();
    let level = |price: Decimal<'_>, qty: Decimal<'_>| Level {
        price: price.price("price").unwrap(),
        qty: qty.qty("qty").unwrap(),
    };
    let units = book.orderbook_units;
    let bids = units.iter().map(|unit| level(unit.bid_price, unit.bid_size)).collect();
    let asks = units.iter().map(|unit| level(unit.ask_price, unit.ask_size)).collect();
    (book.code.len(), book.timestamp, bids, asks)
}

/// Binance's partial book through serde_json.
#[derive(Deserialize)]
struct BinanceEnvelope<'a> {
    stream: &'a str,
    data: BinanceBook,
}

#[derive(Deserialize)]
struct BinanceBook {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
    bids: Levels,
    asks: Levels,
}

fn serde_binance(text: &str) -> (usize, u64, Levels, Levels) {
    let BinanceEnvelope { stream, data } = serde_json::from_str(text).unwrap();
    (stream.len(), data.last_update_id, data.bids, data.asks)
}

fn hot_frames(c: &mut Criterion) {
    type Parse = fn(&str) -> u64;
    let kinds: [(&str, Protocol, Vec<String>, Parse); 2] = [
        (
            "upbit_30_levels",
            Protocol::Upbit,
            frames(|numbers| samples::upbit_book(numbers, 30, false)),
            |text| black_box(serde_upbit(text)).1,
        ),
        (
            "binance_depth20",
            Protocol::BinanceSpot,
            frames(|numbers| samples::binance_partial(numbers, 20)),
            |text| black_box(serde_binance(text)).1,
        ),
    ];
    for (name, protocol, frames, serde) in &kinds {
        let mut group = c.benchmark_group(*name);
        let bytes: usize = frames.iter().map(String::len).sum();
        eprintln!("{name}: {} bytes a frame", bytes / FRAMES);
        group.throughput(Throughput::Bytes((bytes / FRAMES) as u64));
        let mut round = frames.iter().cycle();
        let (mut scratch, mut book) = (Scratch::default(), Book::default());
        group.bench_function("bytes_to_applied_book", |b| {
            b.iter(|| {
                let frame = round.next().unwrap().as_bytes();
                wire::read(*protocol, black_box(frame), &mut scratch, &mut |message| {
                    apply(&mut book, &message)
                })
                .unwrap();
            });
        });
        assert!(book.top().is_ok());
        group.bench_function("bytes_to_message", |b| {
            b.iter(|| {
                let frame = round.next().unwrap().as_bytes();
                wire::read(*protocol, black_box(frame), &mut scratch, &mut |message| {
                    black_box(&message);
                })
                .unwrap();
            });
        });
        group.bench_function("serde_json_to_levels", |b| {
            b.iter(|| serde(black_box(round.next().unwrap())));
        });
        group.finish();
    }
}

/// What thirty markets of either venue send, roughly: mostly tickers and diffs at Binance, books and trades at Upbit.
fn mix(c: &mut Criterion) {
    let mut numbers = Numbers::new(11);
    let mut id = 1_000;
    let mut frames = Vec::new();
    for round in 0..50 {
        for _ in 0..3 {
            frames.push((Protocol::Upbit, samples::upbit_book(&mut numbers, 30, false)));
        }
        for _ in 0..2 {
            frames.push((Protocol::Upbit, samples::upbit_trade(&mut numbers)));
        }
        for _ in 0..6 {
            let levels = 1 + numbers.below(12);
            frames.push((
                Protocol::BinanceSpot,
                samples::binance_diff(&mut numbers, id + 1, id + 9, levels),
            ));
            id += 9;
        }
        for _ in 0..6 {
            frames.push((Protocol::BinanceSpot, samples::binance_ticker(&mut numbers)));
        }
        for _ in 0..3 {
            frames.push((Protocol::BinanceSpot, samples::binance_trade(&mut numbers)));
        }
        if round % 5 == 0 {
            frames.push((Protocol::BinanceSpot, samples::binance_partial(&mut numbers, 20)));
        }
    }
    let bytes: usize = frames.iter().map(|(_, frame)| frame.len()).sum();
    eprintln!("mix: {} frames, {} bytes a frame", frames.len(), bytes / frames.len());
    let (mut scratch, mut books) = (Scratch::default(), vec![Book::default(); 2 * MARKETS]);
    let mut group = c.benchmark_group("mix");
    group.throughput(Throughput::Elements(frames.len() as u64));
    group.bench_function("bytes_to_applied_book", |b| {
        b.iter(|| {
            for (index, (protocol, frame)) in frames.iter().enumerate() {
                let first = if *protocol == Protocol::Upbit { 0 } else { MARKETS };
                let book = &mut books[first + index % MARKETS];
                wire::read(*protocol, black_box(frame.as_bytes()), &mut scratch, &mut |message| {
                    apply(book, &message)
                })
                .unwrap();
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(60).measurement_time(Duration::from_secs(4));
    targets = hot_frames, mix
}
criterion_main!(benches);
