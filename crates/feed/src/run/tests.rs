use std::sync::Arc;

use bytes::Bytes;
use crossbook_engine::units::TimestampNs;

use super::*;
use crate::error::FeedError;
use crate::input::{ConnId, LinkEvent};
use crate::journal::{About, Disk, Journal, JournalConfig, Reader, Record};

const START: i64 = 1_795_287_600_000_000_000;
const MS: i64 = 1_000_000;

fn setup() -> Setup {
    let config =
        toml::from_str("name = \"upbit\"\nprotocol = \"upbit\"\n[books]\nstale_after_ms = 3000").expect("a venue");
    let fx = "sources = [{ name = \"usdt\", max_age_ms = 60000, from = { book = { venue = \"upbit\", market = \"KRW-USDT\" } } }]";
    Setup {
        venues: vec![VenueSetup {
            config,
            markets: vec!["KRW-BTC".to_owned(), "KRW-USDT".to_owned()],
        }],
        fx: Some(toml::from_str(fx).expect("rates")),
    }
}

fn input(ms: i64, body: Body) -> Input {
    Input {
        stamp: Stamp {
            mono_ns: ms * MS,
            ts: TimestampNs(START + ms * MS),
        },
        venue: VenueIx(0),
        body,
    }
}

fn frame(ms: i64, text: String) -> Input {
    let body = Body::Frame {
        conn: ConnId(1),
        binary: true,
        bytes: Bytes::from(text),
    };
    input(ms, body)
}

fn book(ms: i64, code: &str, bid: u64) -> Input {
    let ts = (START / MS) + ms - 20;
    let ask = bid + 1;
    frame(
        ms,
        format!(
            "{{\"type\":\"orderbook\",\"code\":\"{code}\",\"timestamp\":{ts},\"total_ask_size\":1.0,\"total_bid_size\":1.0,\
             \"orderbook_units\":[{{\"ask_price\":{ask},\"bid_price\":{bid},\"ask_size\":1.0,\"bid_size\":1.0}}],\
             \"stream_type\":\"REALTIME\",\"level\":0}}"
        ),
    )
}

fn link(ms: i64, event: LinkEvent) -> Input {
    input(ms, Body::Link { conn: ConnId(1), event })
}

/// A short life: two books, a rate, rubbish, silence, a lost connection.
fn life() -> Vec<Input> {
    let mut inputs = vec![
        input(0, Body::Tick),
        link(10, LinkEvent::Open { takes_over: None }),
        book(20, "KRW-BTC", 140_000_000),
        book(21, "KRW-USDT", 1_390),
        link(22, LinkEvent::Live),
        // Read a little before what came through the queue first.
        book(15, "KRW-BTC", 140_001_000),
        frame(30, "{\"type\":\"orderbook\",\"code\":".to_owned()),
        frame(31, "{\"status\":\"UP\"}".to_owned()),
    ];
    inputs.extend((1..40).map(|step| book(40 + step * 7, "KRW-BTC", 140_000_000 + step as u64 * 1_000)));
    inputs.push(input(6_000, Body::Tick));
    inputs.push(book(6_100, "KRW-USDT", 1_391));
    inputs.push(link(
        6_200,
        LinkEvent::Closed {
            error: Some(FeedError::Connection("reset".to_owned())),
        },
    ));
    inputs.push(input(6_500, Body::Tick));
    inputs
}

/// Everything that a run tells, as text, and the run.
fn told(inputs: &[Input]) -> (Vec<String>, Run) {
    let mut run = Run::new(&setup()).expect("a setup");
    let mut told = Vec::new();
    for input in inputs {
        run.input(input, &mut |what| told.push(format!("{what:?}")));
    }
    let last = run.last().expect("there were inputs");
    run.finish(last, &mut |what| told.push(format!("{what:?}")));
    (told, run)
}

#[tokio::test]
async fn a_journal_gives_back_what_its_recorder_was_told() {
    let live = life();
    let dir = tempfile::tempdir().expect("a folder");
    let about = About {
        run: "one".to_owned(),
        build: "test".to_owned(),
        venues: Vec::new(),
        setup: setup().to_text().expect("JSON"),
    };
    let journal = Journal::open(
        dir.path(),
        about,
        &JournalConfig::default(),
        Arc::new(Disk),
        live[0].stamp,
    )
    .expect("room");
    for input in &live {
        journal.push(Record::from(input.clone())).await.expect("room");
    }
    journal.close().await.expect("room");

    let mut reader = Reader::open(dir.path()).expect("a journal");
    let mut again = Vec::new();
    while let Some(record) = reader.next_record().expect("a disk") {
        again.extend(record.into_input());
    }
    assert_eq!(again, live);
    let (first, run) = told(&live);
    let (second, other) = told(&again);
    assert_eq!(first, second);
    assert_eq!((run.totals(), run.gaps()), (other.totals(), other.gaps()));

    let totals = run.totals();
    assert!(totals.balances() && totals.waiting == 0 && run.covers(), "{totals:?}");
    assert_eq!((totals.received, totals.quarantined), (45, 1));
    assert!(first.iter().any(|what| what.contains("Fx(")), "{first:#?}");
    let causes: Vec<&str> = run.gaps().0.iter().map(|gap| gap.cause.as_str()).collect();
    assert!(
        causes.contains(&"stale") && causes.contains(&"disconnected"),
        "{causes:?}"
    );
}

/// What was remarked about the rate, in order.
fn remarks(inputs: &[Input]) -> Vec<(Level, String)> {
    let mut run = Run::new(&setup()).expect("a setup");
    let mut remarks = Vec::new();
    for input in inputs {
        run.input(input, &mut |told| {
            if let Told::Said(Remark { level, text }) = told {
                remarks.push((level, text));
            }
        });
    }
    remarks
}

#[test]
fn a_rate_that_is_found_is_no_warning_nor_is_one_that_ends_with_the_recording() {
    let closed = |ms, error| link(ms, LinkEvent::Closed { error });
    let reset = Some(FeedError::Connection("reset".to_owned()));
    let told = remarks(&[
        link(10, LinkEvent::Open { takes_over: None }),
        book(20, "KRW-USDT", 1_390),
        link(22, LinkEvent::Live),
        closed(1_000, reset),
        link(1_500, LinkEvent::Open { takes_over: None }),
        book(1_520, "KRW-USDT", 1_391),
        closed(2_000, None),
        link(2_500, LinkEvent::Open { takes_over: None }),
        book(2_520, "KRW-USDT", 1_392),
    ]);
    let found = |level| (level, "fx: usdt instead of none (Found)".to_owned());
    let lost = |level| (level, "fx: none instead of usdt (NotLive)".to_owned());
    assert_eq!(
        told,
        [
            found(Level::Info),
            lost(Level::Warn),
            // As loud as its loss.
            found(Level::Warn),
            lost(Level::Info),
            found(Level::Info),
        ]
    );
}

#[test]
fn a_quote_that_is_refused_again_and_again_is_told_once() {
    let told = remarks(&[
        link(10, LinkEvent::Open { takes_over: None }),
        book(20, "KRW-USDT", 139_000),
        book(30, "KRW-USDT", 139_001),
        book(40, "KRW-USDT", 139_002),
        book(50, "KRW-USDT", 1_390),
        book(60, "KRW-USDT", 139_003),
    ]);
    let told: Vec<&str> = told.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        told,
        [
            "fx: quote 139000.50000000 of usdt refused: it is 100 times off",
            "fx: usdt instead of none (Found)",
            "fx: quote 139003.50000000 of usdt refused: it is 100 times off",
        ]
    );
}
