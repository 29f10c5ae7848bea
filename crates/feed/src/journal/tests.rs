mod disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use crossbook_engine::units::TimestampNs;
use proptest::prelude::*;

use super::format::{Head, VERSION};
use super::record::{decode, encode, weight};
use super::segments::{Segments, list};
use super::*;
use crate::clock::Stamp;
use crate::error::FeedError;
use crate::fx::{Reading, Said};
use crate::input::{Answer, Body, ConnId, LinkEvent, Note, Request, VenueIx};
use crate::rules::RulesNote;
use crate::run::{Setup, VenueSetup};
use crate::venue::Protocol;

/// 2026-11-21T19:00:00Z.
const HOUR: i64 = 1_795_287_600_000_000_000;
const MS: i64 = 1_000_000;

fn at(ns: i64) -> Stamp {
    Stamp {
        mono_ns: ns - HOUR + 5 * MS,
        ts: TimestampNs(ns),
    }
}

fn about() -> About {
    About {
        run: "golden".to_owned(),
        build: "crossbook 0.1.0".to_owned(),
        venues: vec![
            VenueMark {
                name: "upbit".to_owned(),
                protocol: Protocol::Upbit,
            },
            VenueMark {
                name: "binance".to_owned(),
                protocol: Protocol::BinanceSpot,
            },
        ],
        setup: setup().to_text().expect("it is JSON"),
    }
}

/// As short as a venue file may be: the golden file holds every default of its day.
fn setup() -> Setup {
    let config = toml::from_str("name = \"upbit\"\nprotocol = \"upbit\"").expect("a venue file");
    Setup {
        venues: vec![VenueSetup {
            config,
            markets: vec!["KRW-BTC".to_owned()],
        }],
        fx: None,
    }
}

fn frame(ns: i64, text: &str) -> Record {
    input(
        ns,
        Body::Frame {
            conn: ConnId(7),
            binary: true,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        },
    )
}

fn input(ns: i64, body: Body) -> Record {
    Record {
        stamp: at(ns),
        item: Item::Input {
            venue: VenueIx(1),
            body,
        },
    }
}

fn mark(ns: i64, mark: Mark) -> Record {
    Record {
        stamp: at(ns),
        item: Item::Mark(mark),
    }
}

/// One record of every kind and shape that version 1 knows.
fn every_kind() -> Vec<Record> {
    let errors = [
        FeedError::Connection("reset".to_owned()),
        FeedError::Protocol("NO_CODES".to_owned()),
        FeedError::Timeout {
            what: "pong".to_owned(),
            limit_ms: 10_000,
        },
        FeedError::Limited {
            status: 429,
            wait: std::time::Duration::from_millis(1_500),
        },
        FeedError::Overflow(2_000),
    ];
    let link = |event| Body::Link {
        conn: ConnId(300),
        event,
    };
    let books = || Request::Books(vec!["KRW-BTC".to_owned(), "KRW-ETH".to_owned()]);
    let mut bodies = vec![
        Body::Frame {
            conn: ConnId(u32::MAX),
            binary: false,
            bytes: Bytes::from_static(b"{\"e\":\"depthUpdate\"}"),
        },
        Body::Frame {
            conn: ConnId(0),
            binary: true,
            bytes: Bytes::new(),
        },
        link(LinkEvent::Open { takes_over: None }),
        link(LinkEvent::Open {
            takes_over: Some(ConnId(299)),
        }),
        link(LinkEvent::Live),
        link(LinkEvent::Closed { error: None }),
        Body::Answer {
            request: books(),
            outcome: Ok(Answer {
                status: 200,
                bytes: Bytes::from_static(b"[{}]"),
            }),
        },
        Body::Answer {
            request: Request::Trades("BTCUSDT".to_owned()),
            outcome: Err(errors[2].clone()),
        },
    ];
    for (attempt, error) in (1..).zip(errors) {
        bodies.push(link(LinkEvent::Closed {
            error: Some(error.clone()),
        }));
        bodies.push(link(LinkEvent::Failed {
            attempt,
            error,
            retry_ms: 1_234,
        }));
    }
    let mut records: Vec<Record> = (0..)
        .zip(bodies)
        .map(|(step, body)| input(HOUR + step * MS, body))
        .collect();
    let end = HOUR + 100 * MS;
    for note in [
        Note::Fx(Reading {
            source: "bank".to_owned(),
            said: Said::Quote {
                rate: crossbook_engine::units::Amount::from_raw(139_157_000_000).expect("an amount"),
                ts_event: TimestampNs(HOUR),
            },
        }),
        Note::Rules(RulesNote::Failed {
            venue: "upbit".to_owned(),
            attempt: 2,
            reason: "limited".to_owned(),
        }),
    ] {
        records.push(input(end, Body::Note(Box::new(note))));
    }
    records.push(input(end, Body::Tick));
    // Arrival order is what counts: one that was stamped a little earlier stays where it came.
    records.push(frame(end - 3, "late"));
    records.push(mark(
        end,
        Mark::Stop {
            reason: "signal".to_owned(),
            counts: BTreeMap::from([("received".to_owned(), 21)]),
        },
    ));
    records
}

/// Writes records, each in a block of its own when `alone`, and closes when told.
fn write(dir: &Path, records: &[Record], alone: bool, close: bool) {
    let start = records.first().map_or(at(HOUR), |record| record.stamp);
    let mut segments =
        Segments::begin(dir, Arc::new(Disk), about(), &JournalConfig::default(), start).expect("a folder");
    for record in records {
        segments.push(record).expect("room");
        if alone {
            segments.flush().expect("room");
        }
    }
    if close {
        segments.close().expect("room");
    } else {
        segments.flush().expect("room");
    }
}

/// All records but the journal's own marks about segments.
fn read(dir: &Path) -> (Vec<Record>, Report) {
    let mut reader = Reader::open(dir).expect("a journal");
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("a disk") {
        if !matches!(record.item, Item::Mark(Mark::Segment(_) | Mark::End { .. })) {
            records.push(record);
        }
    }
    (records, reader.report().clone())
}

fn only_file(dir: &Path) -> std::path::PathBuf {
    let mut found = list(dir).expect("a folder");
    assert_eq!(found.len(), 1);
    found.remove(0).path
}

#[test]
fn what_is_written_is_read_back() {
    for alone in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &every_kind(), alone, true);
        let (records, report) = read(dir.path());
        assert_eq!(records, every_kind());
        assert_eq!(report.records, records.len() as u64);
        assert!(!report.doubtful() && report.cuts.is_empty() && report.not_closed.is_empty());
        assert_eq!(report.blocks, if alone { records.len() as u64 + 2 } else { 2 });
    }
}

/// A file that version 1 wrote is read as it was meant, whatever the types have become since.
#[test]
fn f42_the_golden_file_of_version_1_is_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/journal/golden");
    let mut reader = Reader::open(&golden).expect("the golden file");
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().expect("a disk") {
        records.push(record);
    }
    assert_eq!(reader.segment().map(|mark| mark.venues.clone()), Some(about().venues));
    assert!(matches!(records.remove(0).item, Item::Mark(Mark::Segment(mark))
        if Setup::parse(&mark.setup).is_ok_and(|read| read.venues[0].markets == ["KRW-BTC"])
            && mark.run == "golden" && mark.previous.is_none()));
    assert!(matches!(
        records.pop().map(|record| record.item),
        Some(Item::Mark(Mark::End { records: 24 }))
    ));
    assert_eq!(records, every_kind());
    assert!(!reader.report().doubtful());
}

#[test]
fn f42_another_version_is_refused_by_its_number() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &every_kind(), false, true);
    let path = only_file(dir.path());
    let mut bytes = std::fs::read(&path).expect("a file");
    let head = Head {
        version: VERSION + 1,
        number: 1,
        start_ns: HOUR,
    };
    bytes[..32].copy_from_slice(&head.encode());
    std::fs::write(&path, bytes).expect("a file");
    let error = Reader::open(dir.path()).err().expect("a refusal").to_string();
    assert!(
        error.contains("000001-20261121T19.cbj: a journal of version 2"),
        "{error}"
    );
}

#[test]
fn f47_a_tail_torn_at_any_byte_is_cut_and_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let records: Vec<Record> = (0..4)
        .map(|step| frame(HOUR + step * MS, &format!("frame {step} {}", "x".repeat(40))))
        .collect();
    write(dir.path(), &records[..3], true, false);
    let path = only_file(dir.path());
    let whole_until = std::fs::metadata(&path).expect("a file").len();
    std::fs::remove_file(&path).expect("a file");
    write(dir.path(), &records, true, false);
    let bytes = std::fs::read(&path).expect("a file");
    for end in whole_until..bytes.len() as u64 {
        std::fs::write(&path, &bytes[..end as usize]).expect("a file");
        let (found, report) = read(dir.path());
        assert_eq!(found, records[..3], "cut at {end}");
        assert!(!report.doubtful(), "cut at {end}: {:?}", report.damages);
        assert_eq!(report.not_closed, ["000001-20261121T19.cbj"]);
        let cut: Vec<_> = report.cuts.iter().map(|cut| (cut.at, cut.bytes)).collect();
        if end == whole_until {
            assert_eq!(cut, []);
        } else {
            assert_eq!(cut, [(whole_until, end - whole_until)], "cut at {end}");
        }
    }
    // Down to nothing: whatever the length, no panic, and only whole blocks come out.
    for end in 0..whole_until {
        std::fs::write(&path, &bytes[..end as usize]).expect("a file");
        let (found, report) = read(dir.path());
        assert_eq!(found, records[..found.len()]);
        assert!(!report.doubtful());
    }
}

/// Every bit of a whole file of five blocks, one after the other.
#[test]
fn f48_any_flipped_bit_is_found_and_what_is_behind_it_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let records: Vec<Record> = (0..3)
        .map(|step| frame(HOUR + step * MS, &format!("frame {step}")))
        .collect();
    write(dir.path(), &records, true, true);
    let path = only_file(dir.path());
    let bytes = std::fs::read(&path).expect("a file");
    for bit in 0..bytes.len() * 8 {
        let byte = bit / 8;
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).expect("a file");
        let (found, report) = read(dir.path());
        assert!(report.doubtful(), "bit {bit}");
        let named = report
            .damages
            .iter()
            .any(|damage| damage.from <= byte as u64 && (byte as u64) < damage.to);
        assert!(named, "bit {bit}: {:?}", report.damages);
        assert!(
            report.damages.len() == 1 && report.cuts.is_empty(),
            "bit {bit}: {report:?}"
        );
        assert!(found.len() + 1 >= records.len(), "bit {bit}: {found:?}");
        assert!(found.iter().all(|record| records.contains(record)), "bit {bit}");
    }
}

#[test]
fn f48_missing_and_foreign_bytes_are_damage() {
    let dir = tempfile::tempdir().expect("a folder");
    let records: Vec<Record> = (0..3)
        .map(|step| frame(HOUR + step * MS, &format!("frame {step}")))
        .collect();
    write(dir.path(), &records, true, true);
    let path = only_file(dir.path());
    let bytes = std::fs::read(&path).expect("a file");
    let starts: Vec<usize> = (0..bytes.len() - 8)
        .filter(|at| bytes[*at..at + 8] == format::BLOCK_MAGIC)
        .collect();
    assert_eq!(starts.len(), 5);
    let without = |from: usize, to: usize| [&bytes[..from], &bytes[to..]].concat();
    let with = |at: usize, more: &[u8]| [&bytes[..at], more, &bytes[at..]].concat();
    let cases = [
        ("a whole block", without(starts[2], starts[3]), 2),
        ("half a block", without(starts[2], starts[2] + 80), 2),
        ("the middle of a block", without(starts[2] + 76, starts[2] + 90), 2),
        ("rubbish between blocks", with(starts[2], &[0xb1; 300_000]), 3),
        ("a block twice", with(starts[3], &bytes[starts[2]..starts[3]]), 3),
    ];
    for (what, damaged, want) in cases {
        std::fs::write(&path, damaged).expect("a file");
        let (found, report) = read(dir.path());
        assert_eq!(found.len(), want, "{what}");
        assert_eq!(report.damages.len(), 1, "{what}: {:?}", report.damages);
    }
}

proptest! {
    /// Any bytes in the place of a stretch: no panic, no record that was not written, and never in silence.
    #[test]
    fn f48_an_overwritten_stretch_is_found(at in 0usize..900, rubbish in prop::collection::vec(any::<u8>(), 1..200)) {
        let dir = tempfile::tempdir().expect("a folder");
        let records: Vec<Record> =
            (0..5).map(|step| frame(HOUR + step * MS, &format!("frame {step} of five"))).collect();
        write(dir.path(), &records, true, true);
        let path = only_file(dir.path());
        let bytes = std::fs::read(&path).expect("a file");
        let mut changed = bytes.clone();
        let at = at.min(bytes.len() - 1);
        for (place, byte) in changed[at..].iter_mut().zip(&rubbish) {
            *place = *byte;
        }
        prop_assume!(changed != bytes);
        std::fs::write(&path, &changed).expect("a file");
        if let Ok(mut reader) = Reader::open(dir.path()) {
            while let Some(record) = reader.next_record().expect("a disk") {
                let own = matches!(record.item, Item::Mark(_));
                prop_assert!(own || records.contains(&record));
            }
            let report = reader.report();
            prop_assert!(report.doubtful() || !report.cuts.is_empty());
        }
    }
}

#[test]
fn f36_every_record_is_in_one_segment_whatever_the_hour() {
    let hour = 3_600_000 * MS;
    // New Year's Eve in UTC, a KST midnight (15:00 UTC), ends of months, and a stamp that is earlier than the one before.
    let midnight = 1_798_761_600_000_000_000;
    let times = [
        midnight - 10 * hour,
        midnight - 9 * hour - 1,
        midnight - 9 * hour,
        midnight - 9 * hour + 1,
        midnight - 1,
        midnight,
        midnight - 2,
        midnight + 31 * 24 * hour,
    ];
    let records: Vec<Record> = times.iter().map(|time| frame(*time, &time.to_string())).collect();
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &records, false, true);
    let (found, report) = read(dir.path());
    assert_eq!(found, records);
    assert!(!report.doubtful() && report.cuts.is_empty() && report.not_closed.is_empty());
    let names: Vec<String> = list(dir.path())
        .expect("a folder")
        .into_iter()
        .map(|found| found.name)
        .collect();
    assert_eq!(
        names,
        [
            "000001-20261231T14.cbj",
            "000002-20261231T15.cbj",
            "000003-20261231T23.cbj",
            "000004-20270101T00.cbj",
            "000005-20270201T00.cbj"
        ]
    );
}

#[test]
fn f49_a_restart_never_touches_what_is_there() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), &[frame(HOUR, "first")], true, false);
    let path = only_file(dir.path());
    let mut bytes = std::fs::read(&path).expect("a file");
    // Half a block at the end, as a kill leaves it.
    bytes.extend_from_slice(&format::BLOCK_MAGIC);
    std::fs::write(&path, &bytes).expect("a file");
    // A foreign file under the next name.
    std::fs::write(dir.path().join("000002-20261121T19.cbj"), b"").expect("a file");
    write(dir.path(), &[frame(HOUR + 1, "second")], true, true);
    assert_eq!(std::fs::read(&path).expect("a file"), bytes);
    let (found, report) = read(dir.path());
    assert_eq!(found, [frame(HOUR, "first"), frame(HOUR + 1, "second")]);
    assert_eq!(report.cuts.first().map(|cut| cut.bytes), Some(8));
    assert!(!report.doubtful(), "{:?}", report.damages);
    assert_eq!(report.segments, 3);
}

#[test]
fn a_segment_that_is_missing_or_changed_as_a_whole_is_told_by_its_successor() {
    let dir = tempfile::tempdir().expect("a folder");
    let hour = 3_600_000 * MS;
    let records: Vec<Record> = (0..3).map(|step| frame(HOUR + step * hour, "x")).collect();
    write(dir.path(), &records, true, true);
    let found = list(dir.path()).expect("a folder");
    // The end mark is taken off: whole blocks all the same.
    let bytes = std::fs::read(&found[1].path).expect("a file");
    let last = (0..bytes.len() - 8)
        .rfind(|at| bytes[*at..at + 8] == format::BLOCK_MAGIC)
        .expect("a block");
    std::fs::write(&found[1].path, &bytes[..last]).expect("a file");
    let (_, report) = read(dir.path());
    assert_eq!(report.damages.len(), 1);
    assert!(
        report.damages[0].what.contains("its successor knew it"),
        "{:?}",
        report.damages
    );
    std::fs::remove_file(&found[1].path).expect("a file");
    let (_, report) = read(dir.path());
    assert!(
        report.damages[0].what.contains("it is not there"),
        "{:?}",
        report.damages
    );
    std::fs::remove_file(&found[0].path).expect("a file");
    let (_, report) = read(dir.path());
    assert_eq!(report.begins_after.as_deref(), Some("000002-20261121T20.cbj"));
    assert!(!report.doubtful());
}

#[test]
fn notes_are_read_back_as_they_were_written_and_weigh_what_they_take() {
    use crate::rules::{Catalogue, Update, upbit};

    let listing = |market: &str| upbit::Listing {
        market: market.to_owned(),
        flags: vec!["GLOBAL_PRICE_DIFFERENCES".to_owned()],
    };
    let listed: Catalogue = upbit::catalogue(vec![listing("KRW-BTC"), listing("BTC-ETH")], &BTreeMap::new());
    let reading = |said| {
        Note::Fx(Reading {
            source: "bank".to_owned(),
            said,
        })
    };
    for note in [
        reading(Said::Quote {
            rate: crossbook_engine::units::Amount::from_raw(139_157_000_000).expect("an amount"),
            ts_event: TimestampNs(HOUR),
        }),
        reading(Said::Failed {
            reason: "timeout: answer took longer than 5000 ms".to_owned(),
        }),
        Note::Rules(RulesNote::Update(Update::between("upbit", &BTreeMap::new(), &listed))),
        Note::Rules(RulesNote::Failed {
            venue: "upbit".to_owned(),
            attempt: 2,
            reason: "limited".to_owned(),
        }),
    ] {
        let record = input(HOUR, Body::Note(Box::new(note)));
        let before = Stamp {
            mono_ns: 0,
            ts: TimestampNs(0),
        };
        let mut bytes = Vec::new();
        encode(&record, before, &mut bytes).expect("a note is JSON");
        assert!(bytes.len() <= weight(&record.item), "{} bytes: {record:?}", bytes.len());
        let mut rest = Bytes::from(bytes);
        assert_eq!(decode(&mut rest, before), Some(record));
        assert!(rest.is_empty());
    }
}
