//! Promises of writer and reader together.

use std::fs;
use std::path::{Path, PathBuf};

use crossbook_engine::book::Book;
use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{Chunk, EventKind, FeedStatus, Kind, Level};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{FxRate, Price, Qty, TimestampNs};
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use polars_io::prelude::ParquetWriter;
use proptest::prelude::*;

use super::DatasetError;
use super::columns::{Encoder, Rows};
use super::convert::{Csv, Repair, Rewrite, rewrite, to_csv};
use super::inspect::inspect;
use super::manifest::{DATA_FILE, DatasetKind, Draft, MANIFEST_FILE, Manifest, Span, seal};
use super::message::Message;
use super::reader::{Dataset, ReadOptions, ReadStats, read_manifest};
use super::sort::Sorter;
use super::validate::{Check, reseal, validate};
use super::writer::{Writer, write_manifest};

fn draft() -> Draft {
    Draft::new("test", "binance", "BTCUSDT", DatasetKind::Book, "BTC", "USDT")
}

fn level(price: i64, qty: i64) -> Level {
    Level {
        price: Price::from_raw(price).unwrap(),
        qty: Qty::from_raw(qty).unwrap(),
    }
}

fn ts(ns: i64) -> TimestampNs {
    TimestampNs(ns)
}

fn book(kind: Kind, event: i64, recv: i64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Message {
    let levels = |rows: &[(i64, i64)]| rows.iter().map(|&(p, q)| level(p, q)).collect();
    Message {
        bids: levels(bids),
        asks: levels(asks),
        ..Message::new(kind, ts(event), ts(recv))
    }
}

fn write(dir: &Path, draft: Draft, messages: &[Message]) -> Manifest {
    let mut writer = Writer::create(dir, draft, false).unwrap();
    for message in messages {
        writer.push(message).unwrap();
    }
    writer.finish().unwrap()
}

fn read(dir: &Path, options: ReadOptions) -> Result<(Vec<Message>, ReadStats), DatasetError> {
    let dataset = Dataset::open(dir)?;
    let mut reader = dataset.chunks(options);
    let mut messages = Vec::new();
    for chunk in reader.by_ref() {
        let chunk = chunk?;
        messages.extend((0..chunk.len()).map(|index| message(&chunk, index)));
    }
    Ok((messages, reader.stats()))
}

/// An event of a chunk as the message that it came from, less its sequence numbers.
fn message(chunk: &Chunk, index: usize) -> Message {
    let header = &chunk.headers()[index];
    let new = |kind| Message::new(kind, header.ts_event, header.ts_recv);
    match chunk.event(index) {
        EventKind::Snapshot { bids, asks, .. } | EventKind::Update { bids, asks } => Message {
            bids: bids.to_vec(),
            asks: asks.to_vec(),
            ..new(header.kind())
        },
        EventKind::Trade { price, qty, taker } => Message::trade(header.ts_event, header.ts_recv, price, qty, taker),
        EventKind::Fx(rate) => Message::fx(header.ts_event, header.ts_recv, rate),
        EventKind::Funding { rate, mark } => Message {
            values: vec![rate, mark.raw()],
            ..new(Kind::Funding)
        },
        EventKind::Status(status) => Message {
            ts_event: header.ts_event,
            ..Message::status(header.ts_recv, status)
        },
    }
}

fn room() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("set");
    (root, dir)
}

fn arbitrary_messages() -> impl Strategy<Value = Vec<Message>> {
    let levels = || prop::collection::vec((1i64..1_000_000, 0i64..1_000_000), 0..6);
    let one = (
        0u8..7,
        0i64..5_000,
        0i64..2_000,
        levels(),
        levels(),
        any::<i64>(),
        any::<bool>(),
    );
    prop::collection::vec(one, 0..60).prop_map(|rows| {
        let mut recv = 1_700_000_000_000_000_000;
        let mut event = i64::MIN;
        let mut messages = Vec::new();
        for (kind, step, delay, bids, asks, value, flag) in rows {
            recv += step;
            event = event.max(recv - delay);
            let kind = Kind::from_code(kind).unwrap();
            let positive = value.saturating_abs().max(1);
            messages.push(match kind {
                Kind::Trade => Message::trade(
                    ts(event),
                    ts(recv),
                    Price::from_raw(positive).unwrap(),
                    Qty::from_raw(positive - 1).unwrap(),
                    if flag { Side::Buy } else { Side::Sell },
                ),
                Kind::Fx => Message::fx(ts(event), ts(recv), FxRate::from_raw(positive).unwrap()),
                Kind::Funding => Message {
                    values: vec![value, positive],
                    ..Message::new(kind, ts(event), ts(recv))
                },
                Kind::Status => Message {
                    ts_event: ts(event),
                    ..Message::status(ts(recv), if flag { FeedStatus::Stale } else { FeedStatus::Connected })
                },
                // An update before the first snapshot is dropped, and counted; here all are given back.
                Kind::Update if messages.is_empty() => book(Kind::Snapshot, event, recv, &bids, &asks),
                _ => book(kind, event, recv, &bids, &asks),
            });
        }
        if let Some(first) = messages.first_mut() {
            *first = book(
                Kind::CompleteSnapshot,
                first.ts_event.0,
                first.ts_recv.0,
                &[(1, 1)],
                &[(2, 1)],
            );
        }
        messages
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is written is read back, whatever memory the reader has.
    #[test]
    fn messages_round_trip(messages in arbitrary_messages(), memory in prop::sample::select(vec![1, 2_000, 1 << 26])) {
        let (_root, dir) = room();
        let manifest = write(&dir, draft(), &messages);
        let (back, stats) = read(&dir, ReadOptions { memory, ..ReadOptions::default() }).unwrap();
        prop_assert_eq!(&back, &messages);
        prop_assert_eq!(stats.messages, messages.len() as u64);
        prop_assert_eq!(stats.rows, manifest.counts.rows);
        prop_assert_eq!(stats.clamped + stats.made_monotone + stats.old + stats.gaps, 0);
    }
}

#[test]
fn the_same_messages_give_the_same_bytes() {
    let (root, dir) = room();
    let messages = [book(Kind::Snapshot, 1, 2, &[(1, 1)], &[(2, 1)])];
    write(&dir, draft(), &messages);
    let again = root.path().join("again");
    write(&again, draft(), &messages);
    for file in [DATA_FILE, MANIFEST_FILE] {
        assert_eq!(
            fs::read(dir.join(file)).unwrap(),
            fs::read(again.join(file)).unwrap(),
            "{file}"
        );
    }
    assert_eq!(
        fs::read_dir(root.path()).unwrap().count(),
        2,
        "nothing is left beside them"
    );
}

#[test]
fn f31_an_empty_dataset_is_written_and_read() {
    let (_root, dir) = room();
    let manifest = write(&dir, draft(), &[]);
    assert_eq!(manifest.span, None);
    assert_eq!(read(&dir, ReadOptions::default()).unwrap().0, []);
}

#[test]
fn exchange_times_are_held_at_receipt_and_made_monotone() {
    let (_root, dir) = room();
    let at = |event, recv| book(Kind::Snapshot, event, recv, &[(100, 5)], &[(101, 5)]);
    // A stamp far in the future must not drag the later ones after it.
    write(
        &dir,
        draft(),
        &[at(90, 100), at(9_000, 110), at(105, 120), at(115, 130)],
    );
    let (back, stats) = read(&dir, ReadOptions::default()).unwrap();
    let events: Vec<_> = back.iter().map(|message| message.ts_event.0).collect();
    assert_eq!(events, [90, 110, 110, 115]);
    assert_eq!((stats.clamped, stats.made_monotone), (1, 1));
}

#[test]
fn f12_f13_old_messages_are_dropped_and_a_missing_one_is_a_gap() {
    let (_root, dir) = room();
    let numbered = |kind, recv, first, last| Message {
        seq_first: Some(first),
        seq_last: Some(last),
        ..book(kind, recv, recv, &[(100, 5)], &[(101, 5)])
    };
    let draft = Draft {
        sequence: SequenceRule::BinanceSpot,
        ..draft()
    };
    let messages = [
        numbered(Kind::Update, 1, 1, 5),
        numbered(Kind::Snapshot, 2, 10, 10),
        numbered(Kind::Update, 3, 9, 11),
        numbered(Kind::Update, 4, 9, 11),
        numbered(Kind::Update, 5, 13, 14),
        numbered(Kind::Update, 6, 15, 16),
        numbered(Kind::Snapshot, 7, 20, 20),
        numbered(Kind::Update, 8, 21, 21),
    ];
    write(&dir, draft, &messages);
    let (back, stats) = read(&dir, ReadOptions::default()).unwrap();
    let seen: Vec<_> = back.iter().map(|message| (message.ts_recv.0, message.kind)).collect();
    assert_eq!(
        seen,
        [
            (2, Kind::Snapshot),
            (3, Kind::Update),
            (5, Kind::Status),
            (7, Kind::Snapshot),
            (8, Kind::Update)
        ]
    );
    assert_eq!((stats.old, stats.gaps, stats.before_snapshot), (1, 1, 2));
    assert_eq!(stats.messages, 8);
    let found = validate(&dir, &[Check::Units].into(), &mut |_| true).unwrap();
    assert_eq!((found.counts[&Check::Gap], found.counts[&Check::Duplicate]), (1, 1));
}

#[test]
fn messages_that_could_not_be_read_back_are_not_written() {
    let (_root, dir) = room();
    let mut writer = Writer::create(&dir, draft(), false).unwrap();
    let bad = [
        Message::new(Kind::Trade, ts(1), ts(1)),
        Message::new(Kind::Fx, ts(1), ts(1)),
        Message {
            values: vec![1],
            ..Message::new(Kind::Funding, ts(1), ts(1))
        },
        Message {
            values: vec![1],
            ..Message::new(Kind::Update, ts(1), ts(1))
        },
        Message {
            seq_last: Some(u64::MAX),
            ..Message::new(Kind::Update, ts(1), ts(1))
        },
    ];
    for message in bad {
        assert!(writer.push(&message).is_err(), "{message:?}");
    }
    assert_eq!(writer.finish().unwrap().counts.messages, 0);
}

#[test]
fn runs_that_do_not_fit_the_memory_are_merged() {
    let (root, dir) = room();
    let mut sorter = Sorter::new(&dir, draft(), 2_000);
    let mut messages: Vec<_> = (0..200i64)
        .map(|k| {
            book(
                Kind::Snapshot,
                k,
                1_000 + (k * 7_919) % 50,
                &[(100, 1 + k)],
                &[(101, 1)],
            )
        })
        .collect();
    for message in &messages {
        sorter.push(message.clone()).unwrap();
    }
    let mut writer = Writer::create(&dir, draft(), false).unwrap();
    let stats = sorter.finish(&mut writer).unwrap();
    writer.finish().unwrap();
    assert!(stats.moved > 100);
    messages.sort_by_key(|message| message.ts_recv);
    let raw: Vec<_> = read(&dir, ReadOptions::default()).unwrap().0;
    let order = |messages: &[Message]| messages.iter().map(|m| m.bids[0].qty.raw()).collect::<Vec<_>>();
    assert_eq!(
        order(&raw),
        order(&messages),
        "sorted, and equal times in their old order"
    );
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "the runs are gone");
}

#[test]
fn a_chunk_stays_within_the_memory_it_was_given() {
    let (_root, dir) = room();
    let side: Vec<(i64, i64)> = (1..=20).map(|k| (k, k)).collect();
    let messages: Vec<_> = (0..8_000).map(|k| book(Kind::Snapshot, k, k, &side, &side)).collect();
    write(&dir, draft(), &messages);
    let dataset = Dataset::open(&dir).unwrap();
    for memory in [50_000, 1_000_000, 64 << 20] {
        let options = ReadOptions {
            memory,
            ..ReadOptions::default()
        };
        let chunks: Vec<_> = dataset.chunks(options).map(Result::unwrap).collect();
        assert_eq!(chunks.iter().map(|chunk| chunk.len()).sum::<usize>(), messages.len());
        let largest = chunks.iter().map(|chunk| chunk.bytes()).max().unwrap();
        assert!(largest <= memory, "{largest} of {memory}");
        assert!(
            largest * 8 >= memory.min(4_000_000),
            "and it is used: {largest} of {memory}"
        );
    }
}

mod faults;
mod windows;
