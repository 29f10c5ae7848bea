//! Promises of writer and reader together.

use std::fs;
use std::path::{Path, PathBuf};

use crossbook_engine::event::{Chunk, EventKind, FeedStatus, Kind, Level};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{FxRate, Price, Qty, TimestampNs};
use proptest::prelude::*;

use super::DatasetError;
use super::manifest::{DATA_FILE, DatasetKind, Draft, MANIFEST_FILE, Manifest};
use super::message::Message;
use super::reader::{Dataset, ReadOptions, ReadStats};
use super::writer::Writer;

pub(super) fn draft() -> Draft {
    Draft::new("test", "binance", "BTCUSDT", DatasetKind::Book, "BTC", "USDT")
}

pub(super) fn level(price: i64, qty: i64) -> Level {
    Level {
        price: Price::from_raw(price).unwrap(),
        qty: Qty::from_raw(qty).unwrap(),
    }
}

pub(super) fn ts(ns: i64) -> TimestampNs {
    TimestampNs(ns)
}

pub(super) fn book(kind: Kind, event: i64, recv: i64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Message {
    let levels = |rows: &[(i64, i64)]| rows.iter().map(|&(p, q)| level(p, q)).collect();
    Message {
        bids: levels(bids),
        asks: levels(asks),
        ..Message::new(kind, ts(event), ts(recv))
    }
}

pub(super) fn write(dir: &Path, draft: Draft, messages: &[Message]) -> Manifest {
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
