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
use super::convert::{Repair, Rewrite, rewrite};
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

/// A dataset whose hashes are right but whose rows nobody checked.
fn forge(dir: &Path, draft: Draft, messages: &[Message]) {
    write(dir, draft.clone(), &[]);
    let mut rows = Rows::default();
    messages.iter().for_each(|message| rows.push(message).unwrap());
    let mut encoder = Encoder::new(Vec::new()).unwrap();
    encoder.write(&mut rows).unwrap();
    replace_data(dir, &encoder.finish().unwrap(), messages.len() as u64);
}

fn replace_data(dir: &Path, data: &[u8], messages: u64) {
    let mut manifest = read_manifest(dir).unwrap();
    manifest.data.bytes = data.len() as u64;
    manifest.data.blake3 = blake3::hash(data).to_hex().to_string();
    manifest.counts.messages = messages;
    manifest.counts.rows = messages;
    manifest.counts.kinds = [(Kind::Update, messages)].into();
    manifest.span = Some(Span::new((ts(0), ts(0)), (ts(0), ts(0))));
    fs::write(dir.join(DATA_FILE), data).unwrap();
    write_manifest(dir, &manifest).unwrap();
}

fn refusal(dir: &Path) -> String {
    read(dir, ReadOptions::default()).unwrap_err().to_string()
}

fn ten_messages() -> Vec<Message> {
    let mut messages = vec![book(Kind::CompleteSnapshot, 1_000, 1_010, &[(100, 5)], &[(101, 5)])];
    messages.extend((1..10).map(|k| book(Kind::Update, 1_000 + k, 1_010 + 10 * k, &[(100, k)], &[(101, k)])));
    messages
}

#[test]
fn f29_any_flipped_byte_is_found() {
    let (_root, dir) = room();
    write(&dir, draft(), &ten_messages());
    for file in [DATA_FILE, MANIFEST_FILE] {
        let path = dir.join(file);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for mask in [1u8, 0x20] {
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                fs::write(&path, bytes).unwrap();
                assert!(Dataset::open(&dir).is_err(), "{file}: byte {at} with {mask:#x} flipped");
            }
        }
        fs::write(&path, whole).unwrap();
    }
    assert!(Dataset::open(&dir).is_ok());
}

#[test]
fn f29_a_file_cut_at_any_length_is_refused() {
    let (_root, dir) = room();
    write(&dir, draft(), &ten_messages());
    for file in [DATA_FILE, MANIFEST_FILE] {
        let path = dir.join(file);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let error = Dataset::open(&dir).unwrap_err().to_string();
            assert!(error.contains(file), "{length}: {error}");
        }
        fs::write(&path, whole).unwrap();
    }
    // The same when the manifest was made for the cut file: there is no Parquet footer then.
    let path = dir.join(DATA_FILE);
    let whole = fs::read(&path).unwrap();
    // Each of these goes to the disk, so not quite all lengths.
    for length in (0..whole.len()).step_by(13) {
        replace_data(&dir, &whole[..length], 10);
        let error = refusal(&dir);
        assert!(
            error.contains(DATA_FILE) && error.contains("Parquet"),
            "{length}: {error}"
        );
    }
}

#[test]
fn f29_what_is_missing_is_named() {
    let (root, dir) = room();
    let error = Dataset::resolve("nowhere", Some(root.path())).unwrap_err().to_string();
    assert!(
        error.contains("no dataset `nowhere`") && error.contains(&*root.path().to_string_lossy()),
        "{error}"
    );
    write(&dir, draft(), &ten_messages());
    fs::remove_file(dir.join(DATA_FILE)).unwrap();
    let error = Dataset::resolve("set", Some(root.path())).unwrap_err();
    assert!(error.to_string().contains(DATA_FILE), "{error}");
    assert!(
        error.outside().is_none(),
        "a missing file is the asker's mistake, not the system's"
    );
}

#[test]
fn f29_wrong_columns_are_named() {
    let (_root, dir) = room();
    write(&dir, draft(), &[]);
    let numbers = |name: &str| Column::new(name.into(), [1i64]);
    let lists = |name: &str, values: Series| Column::new(name.into(), [values]);
    let frame = |price: Column, last: &str| {
        let columns = vec![
            numbers("ts_event"),
            numbers("ts_recv"),
            Column::new("kind".into(), [2u8]),
            numbers("seq_first"),
            numbers("seq_last"),
            numbers("seq_prev"),
            Column::new("bids".into(), [1u32]),
            price,
            lists(last, Series::new("".into(), [1i64])),
        ];
        let mut bytes = Vec::new();
        let mut frame = DataFrame::new_infer_height(columns).unwrap();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        bytes
    };
    let good = || lists("price", Series::new("".into(), [1i64]));
    let cases = [
        (
            lists("price", Series::new("".into(), [1.5f64])),
            "qty",
            "column `price` is list<f64>, must be list<i64>",
        ),
        (numbers("price"), "qty", "column `price` is i64, must be list<i64>"),
        (good(), "quantity", "column `qty` is missing, must be list<i64>"),
    ];
    for (price, last, want) in cases {
        replace_data(&dir, &frame(price, last), 1);
        let error = refusal(&dir);
        assert!(error.contains(want) && error.contains(DATA_FILE), "{error}");
    }
    // Columns of the right types written by another program are fine.
    replace_data(&dir, &frame(good(), "qty"), 1);
    assert_eq!(read(&dir, ReadOptions::default()).unwrap().1.before_snapshot, 1);
}

#[test]
fn f30_unsorted_rows_are_refused_with_file_and_row() {
    let (_root, dir) = room();
    let mut writer = Writer::create(&dir, draft(), false).unwrap();
    let mut messages = ten_messages();
    messages.swap(6, 7);
    messages[..7].iter().for_each(|message| writer.push(message).unwrap());
    let error = writer.push(&messages[7]).unwrap_err().to_string();
    assert!(error.contains("row 7: ts_recv 1070 is before 1080"), "{error}");
    drop(writer);
    forge(&dir, draft(), &messages);
    let error = refusal(&dir);
    assert!(
        error.contains("data.parquet: row 7: ts_recv 1070 is before 1080"),
        "{error}"
    );
    let found = validate(&dir, &Default::default(), &mut |_| ()).unwrap();
    let unsorted: Vec<_> = found.findings.iter().filter(|f| f.check == Check::Unsorted).collect();
    assert_eq!(unsorted.len(), 1);
    assert_eq!(unsorted[0].row, Some(7));
    // The explicit repair.
    let mended = dir.with_file_name("mended");
    let options = Rewrite {
        repair: [Repair::Sort].into(),
        ..Rewrite::default()
    };
    let (_, done) = rewrite(&Dataset::open(&dir).unwrap(), &mended, &options, &mut |_| ()).unwrap();
    assert_eq!((done.messages, done.moved), (10, 1));
    assert_eq!(read(&mended, ReadOptions::default()).unwrap().0, ten_messages());
}

#[test]
fn f30_mixed_units_and_local_time_are_found_and_can_be_mended() {
    let noon = 1_723_161_600_000_000_000i64;
    let hour = 3_600_000_000_000i64;
    let cases = [
        (noon - 5_000_000, noon, None),
        (noon / 1_000_000, noon, Some("looks like milliseconds")),
        (noon - 5_000_000, noon / 1_000, Some("looks like microseconds")),
        (noon + 9 * hour - 5_000_000, noon, Some("+9 h from ts_recv")),
        (noon - 9 * hour - 5_000_000, noon, Some("-9 h from ts_recv")),
        (noon + 1_272_000_000, noon, Some("1272.000 ms after ts_recv")),
        (noon, 0, Some("outside 2009 to 2100")),
    ];
    for (event, recv, want) in cases {
        let (_root, dir) = room();
        write(
            &dir,
            draft(),
            &[book(Kind::Snapshot, event, recv, &[(100, 5)], &[(101, 5)])],
        );
        let found = validate(&dir, &Default::default(), &mut |_| ()).unwrap();
        let details: Vec<_> = found.findings.iter().map(|finding| finding.detail.as_str()).collect();
        match want {
            Some(want) => assert!(!found.sound && details.iter().any(|d| d.contains(want)), "{details:?}"),
            None => assert!(found.sound, "{details:?}"),
        }
    }
    let (_root, dir) = room();
    let row = |event, recv| book(Kind::Snapshot, event, recv, &[(100, 5)], &[(101, 5)]);
    write(
        &dir,
        draft(),
        &[row(noon / 1_000_000, noon / 1_000), row(noon, noon + 1)],
    );
    let options = Rewrite {
        repair: [Repair::Units].into(),
        ..Rewrite::default()
    };
    let mended = dir.with_file_name("mended");
    let (_, done) = rewrite(&Dataset::open(&dir).unwrap(), &mended, &options, &mut |_| ()).unwrap();
    assert_eq!(done.units, 2);
    assert!(validate(&mended, &Default::default(), &mut |_| ()).unwrap().sound);
}

#[test]
fn f31_an_empty_dataset_is_a_finding() {
    let (_root, dir) = room();
    write(&dir, draft(), &[]);
    let found = validate(&dir, &Default::default(), &mut |_| ()).unwrap();
    assert_eq!(found.findings[0].check, Check::Empty);
    assert!(!found.sound);
    assert!(validate(&dir, &[Check::Empty].into(), &mut |_| ()).unwrap().sound);
}

#[test]
fn f33_an_exchange_clock_ahead_of_ours_is_counted_and_estimated() {
    let (_root, dir) = room();
    let start = 1_723_161_600_000_000_000i64;
    // The recorder is 1.27 s behind; latency is 5, 6 … 14 ms.
    let messages: Vec<_> = (0..10)
        .map(|k| {
            let event = start + k * 100_000_000;
            book(
                Kind::Snapshot,
                event,
                event - 1_270_000_000 + (5 + k) * 1_000_000,
                &[(100, 5)],
                &[(101, 5)],
            )
        })
        .collect();
    write(&dir, draft(), &messages);
    let (_, stats) = read(&dir, ReadOptions::default()).unwrap();
    assert_eq!((stats.clamped, stats.most_ahead_ns), (10, 1_265_000_000));
    let dataset = Dataset::open(&dir).unwrap();
    let seen = inspect(&dataset, 5_000_000, &mut |_| ()).unwrap();
    assert!(seen.latency_ms.unwrap().p50 < 0.0, "as recorded, not mended in silence");
    let clock = seen.clock.unwrap();
    assert!(clock.needed);
    assert_eq!(
        (clock.ahead, clock.line.as_str()),
        (10, "clock_offset_ns = -1270000000")
    );
    // The line, put into the manifest, gives the true exchange times on our clock.
    let path = dir.join(MANIFEST_FILE);
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("clock_offset_ns = 0", &clock.line);
    fs::write(&path, text).unwrap();
    assert!(refusal(&dir).contains("--seal"), "an edit by hand is noticed");
    reseal(&dir).unwrap();
    let (back, stats) = read(&dir, ReadOptions::default()).unwrap();
    assert_eq!(stats.clamped, 0);
    for (back, message) in back.iter().zip(&messages) {
        assert_eq!(back.ts_event, message.ts_event.plus(-1_270_000_000));
    }
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
    let found = validate(&dir, &[Check::Units].into(), &mut |_| ()).unwrap();
    assert_eq!((found.counts[&Check::Gap], found.counts[&Check::Duplicate]), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// F36: an event is in exactly one of two adjacent windows, and the second one begins with the book of the first.
    #[test]
    fn f36_two_windows_are_the_whole(messages in arbitrary_messages(), share in 0.0f64..1.1, memory in prop::sample::select(vec![1, 1 << 26])) {
        let (_root, dir) = room();
        write(&dir, draft(), &messages);
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(()) };
        let cut = first.ts_recv.plus(((last.ts_recv.since(first.ts_recv)) as f64 * share) as i64);
        let options = |from, to| ReadOptions { from, to, memory };
        let whole = read(&dir, options(None, None)).unwrap();
        let left = read(&dir, options(None, Some(cut))).unwrap();
        let right = read(&dir, options(Some(cut), None)).unwrap();
        let carried = right.1.carried as usize;
        let mut joined = left.0.clone();
        joined.extend_from_slice(&right.0[carried..]);
        prop_assert_eq!(&joined, &whole.0);
        prop_assert_eq!(left.1.messages + right.1.messages, whole.1.messages);
        prop_assert!(right.0[..carried].iter().all(|message| message.ts_recv == cut));
        // The book at the end is the same from the window alone.
        let end = |messages: &[Message]| {
            let mut book = Book::default();
            for m in messages {
                let event = match m.kind {
                    Kind::Snapshot | Kind::CompleteSnapshot => EventKind::Snapshot { bids: &m.bids, asks: &m.asks, complete: m.kind == Kind::CompleteSnapshot },
                    Kind::Update => EventKind::Update { bids: &m.bids, asks: &m.asks },
                    Kind::Status => EventKind::Status(FeedStatus::from_code(m.values[0]).unwrap()),
                    _ => continue,
                };
                book.apply(m.ts_event, m.ts_recv, &event);
            }
            book.top()
        };
        prop_assert_eq!(end(&right.0), end(&whole.0));
    }
}

#[test]
fn a_window_far_inside_begins_with_the_book_before_it() {
    let (_root, dir) = room();
    let start = 1_723_161_600_000_000_000i64;
    let mut messages = vec![book(
        Kind::CompleteSnapshot,
        start,
        start,
        &[(100, 5), (99, 7)],
        &[(101, 5)],
    )];
    // Several row groups of updates without another snapshot, then a window in the last of them.
    messages.extend((1..150_000).map(|k| book(Kind::Update, start + k, start + k, &[(100, 1 + k % 9)], &[])));
    write(&dir, draft(), &messages);
    let window = ReadOptions {
        from: Some(ts(start + 140_000)),
        to: Some(ts(start + 140_003)),
        ..ReadOptions::default()
    };
    let (back, stats) = read(&dir, window).unwrap();
    assert_eq!((stats.messages, stats.carried), (3, 1));
    let before = 1 + 139_999 % 9;
    let want = book(
        Kind::CompleteSnapshot,
        start + 139_999,
        start + 140_000,
        &[(100, before), (99, 7)],
        &[(101, 5)],
    );
    assert_eq!(back[0], want);
    assert_eq!(back[1..], messages[140_000..140_003]);
    // The same as a dataset of its own.
    let cut = dir.with_file_name("cut");
    let options = Rewrite {
        from: window.from,
        to: window.to,
        ..Rewrite::default()
    };
    let (manifest, done) = rewrite(&Dataset::open(&dir).unwrap(), &cut, &options, &mut |_| ()).unwrap();
    assert_eq!((done.messages, done.carried, manifest.counts.messages), (4, 1, 4));
    assert_eq!(read(&cut, ReadOptions::default()).unwrap().0, back);
}

#[test]
fn a_rate_from_before_the_window_is_known_in_it_with_its_age() {
    let (_root, dir) = room();
    let rate = |raw| FxRate::from_raw(raw).unwrap();
    write(
        &dir,
        draft(),
        &[
            Message::fx(ts(10), ts(20), rate(1)),
            Message::fx(ts(110), ts(120), rate(2)),
        ],
    );
    let window = ReadOptions {
        from: Some(ts(100)),
        to: Some(ts(120)),
        ..ReadOptions::default()
    };
    assert_eq!(read(&dir, window).unwrap().0, [Message::fx(ts(10), ts(100), rate(1))]);
}

#[test]
fn f42_another_schema_is_refused_by_its_number() {
    let (_root, dir) = room();
    write(&dir, draft(), &ten_messages());
    let path = dir.join(MANIFEST_FILE);
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, want) in [
        (
            "schema = 1",
            "schema = 2",
            "schema 2, but this crossbook reads schema 1",
        ),
        ("schema = 1", "scheme = 1", "not a dataset manifest"),
        ("venue = ", "vebue = ", "unknown field `vebue`"),
        ("file = \"data", "file = \"../data", "data.file must be"),
        ("update = 9", "update = 8", "do not add up"),
        ("first_recv = \"1970", "first_recv = \"1971", "is not 1010 ns"),
    ] {
        fs::write(&path, seal(&text.replace(from, to))).unwrap();
        let error = refusal(&dir);
        assert!(error.contains(want) && error.contains(MANIFEST_FILE), "{error}");
    }
}

#[test]
fn f50_nothing_is_there_until_all_is() {
    let (root, dir) = room();
    let mut writer = Writer::create(&dir, draft(), false).unwrap();
    writer.push(&ten_messages()[0]).unwrap();
    assert!(!dir.exists());
    let error = Writer::create(&dir, draft(), false)
        .err()
        .map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("another process")));
    drop(writer);
    assert_eq!(
        fs::read_dir(root.path()).unwrap().count(),
        0,
        "a dropped writer leaves nothing"
    );
    // What a killed writer leaves is in nobody's way.
    let leftover = root.path().join(".set.partial");
    fs::create_dir(&leftover).unwrap();
    fs::write(leftover.join(DATA_FILE), "half a file").unwrap();
    write(&dir, draft(), &ten_messages());
    assert!(Dataset::open(&dir).is_ok());
    assert!(!leftover.exists());
}

#[test]
fn f50_only_force_replaces_and_only_a_dataset() {
    let (root, dir) = room();
    write(&dir, draft(), &ten_messages());
    let error = |force| {
        Writer::create(&dir, draft(), force)
            .err()
            .map(|error| error.to_string())
    };
    assert!(error(false).is_some_and(|error| error.contains("--force")));
    let mut writer = Writer::create(&dir, draft(), true).unwrap();
    writer.push(&ten_messages()[0]).unwrap();
    assert_eq!(
        read(&dir, ReadOptions::default()).unwrap().0.len(),
        10,
        "until then the old one stays"
    );
    writer.finish().unwrap();
    assert_eq!(read(&dir, ReadOptions::default()).unwrap().0.len(), 1);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    // A replacement that was killed between its two renames: the old one comes back first.
    fs::rename(&dir, root.path().join(".set.old")).unwrap();
    assert!(error(false).is_some_and(|error| error.contains("--force")));
    fs::remove_file(dir.join(MANIFEST_FILE)).unwrap();
    assert!(error(true).is_some_and(|error| error.contains("no dataset folder")));
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
