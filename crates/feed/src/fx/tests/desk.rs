//! Rates beside a pipeline: from the bytes of Upbit's book to the rate, and the same again from a journal.

use bytes::Bytes;
use crossbook_engine::event::{Chunk, EventKind};

use super::*;
use crate::input::{Body, ConnId, Input, LinkEvent, Note, VenueIx};
use crate::live::{Options, Pipeline};
use crate::venue::VenueConfig;

const CONN: ConnId = ConnId(1);

fn pipeline() -> Pipeline {
    let venue: VenueConfig = toml::from_str("name = \"upbit\"\nprotocol = \"upbit\"").unwrap();
    let markets = vec!["KRW-BTC".to_owned(), "KRW-USDT".to_owned()];
    Pipeline::new(&[(venue, markets)], Options::default()).unwrap()
}

fn input(ms: i64, venue: VenueIx, body: Body) -> Input {
    Input {
        stamp: at(ms),
        venue,
        body,
    }
}

/// Upbit's book of a market, with one level a side.
fn frame(ms: i64, market: &str, bid: &str, ask: &str) -> Input {
    let text = format!(
        r#"{{"type":"orderbook","code":"{market}","timestamp":{},"orderbook_units":[{{"ask_price":{ask},"bid_price":{bid},"ask_size":1,"bid_size":1}}]}}"#,
        START + ms
    );
    input(
        ms + 5,
        VenueIx(0),
        Body::Frame {
            conn: CONN,
            binary: true,
            bytes: Bytes::from(text),
        },
    )
}

fn link(ms: i64, event: LinkEvent) -> Input {
    input(ms, VenueIx(0), Body::Link { conn: CONN, event })
}

fn bank(ms: i64, rate: &str) -> Input {
    let reading = Reading {
        source: "bank".to_owned(),
        said: Said::Quote {
            rate: Amount::parse(rate).unwrap(),
            ts_event: time(ms),
        },
    };
    input(ms, VenueIx::NONE, Body::Note(Box::new(Note::Fx(reading))))
}

/// Half a minute in which the socket is lost, the book comes back crossed, and then falls silent.
fn story() -> Vec<Input> {
    vec![
        bank(0, "1392"),
        link(1, LinkEvent::Open { takes_over: None }),
        link(2, LinkEvent::Live),
        frame(100, "KRW-BTC", "140000000", "140001000"),
        frame(200, "KRW-USDT", "1410", "1411"),
        frame(300, "KRW-BTC", "140000000", "140002000"),
        frame(1_500, "KRW-USDT", "1411", "1412"),
        link(2_000, LinkEvent::Closed { error: None }),
        bank(2_500, "1393"),
        link(3_000, LinkEvent::Open { takes_over: None }),
        frame(3_100, "KRW-USDT", "1412", "1412"),
        frame(3_200, "KRW-USDT", "141200", "141300"),
        frame(3_300, "KRW-USDT", "1412", "1413"),
        input(30_000, VenueIx(0), Body::Tick),
    ]
}

fn told(inputs: &[Input]) -> (Vec<FxEvent>, FxStats) {
    let mut pipeline = pipeline();
    let mut desk = FxDesk::new(config(THREE), &pipeline).unwrap();
    let mut told = Vec::new();
    for input in inputs {
        pipeline.input(input, &mut |output| desk.output(&output));
        desk.input(input, &pipeline, &mut told);
    }
    (told, desk.book().stats())
}

#[test]
fn f28_the_rate_follows_the_live_book_and_leaves_it_with_it() {
    let (told, stats) = told(&story());
    let steps: Vec<String> = told
        .iter()
        .map(|event| match event {
            FxEvent::Rate { rate, source, .. } => format!("{rate:.1} of {}", source.0),
            FxEvent::Switch { at, to, reason, .. } => {
                let ms = at.since(time(0)) / 1_000_000;
                format!("at {ms} to {:?} {reason:?}", to.map(|source| source.0))
            }
            FxEvent::Refused { source, reason, .. } => format!("{} {reason:?}", source.0),
        })
        .collect();
    assert_eq!(
        steps,
        [
            "at 0 to Some(2) Found",
            "1400.0 of 2",
            "at 0 to Some(1) Preferred",
            "1392.0 of 1",
            "at 205 to Some(0) Preferred",
            "1410.5 of 0",
            "1411.5 of 0",
            "at 2000 to Some(1) NotLive",
            "1392.0 of 1",
            "1393.0 of 1",
            // The crossed book is no live one, the absurd one is 100 times off.
            "0 Scaled",
            "at 3305 to Some(0) Preferred",
            "1412.5 of 0",
            // 10 s after the book's own time.
            "at 13300 to Some(1) Aged",
            "1393.0 of 1",
        ]
    );
    assert_eq!(stats.without_ns, 0);
    assert_eq!(stats.covered_ns, 30_000_000_000);
    assert_eq!(stats.sources[0].1.accepted, 3);
    // A stream that the engine takes: packed as any other, its times never going back.
    let mut chunk = Chunk::default();
    for (ts_event, kind) in told.iter().filter_map(FxEvent::for_engine) {
        chunk.push(ts_event, time(30_000), kind).unwrap();
    }
    assert_eq!(chunk.len(), 8);
    assert!(chunk.headers().is_sorted_by_key(|header| header.ts_event));
    let last = crossbook_engine::units::FxRate::parse("1393").unwrap();
    assert_eq!(chunk.event(7), EventKind::Fx(last));
}

#[test]
fn the_same_inputs_give_the_same_rates_and_ticks_change_no_instant() {
    let (first, stats) = told(&story());
    assert_eq!(told(&story()), (first.clone(), stats.clone()));
    let mut ticked = Vec::new();
    let mut ticks = (0..30_000).step_by(50).peekable();
    for next in story() {
        while let Some(ms) = ticks.next_if(|&ms| ms * 1_000_000 < next.stamp.mono_ns) {
            if ms > 0 {
                ticked.push(input(ms, VenueIx(0), Body::Tick));
            }
        }
        ticked.push(next);
    }
    assert_eq!(told(&ticked), (first, stats));
}

#[test]
fn f70_a_source_whose_market_is_not_subscribed_to_is_refused_by_name() {
    let text = THREE.replace("KRW-USDT", "KRW-USDC");
    let error = FxDesk::new(config(&text), &pipeline()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "[fx] source `upbit-usdt`: upbit has no market `KRW-USDC` among those that are subscribed to"
    );
}
