use std::path::Path;

use super::read::{Index, Reader, book_at_id};
use super::*;
use crate::config::{Config, Markets};
use crate::exchange::{Exchange, NewOrder, Notice, OrderKind, OrderRef, Parts, SelfMatch, TimeInForce};
use crate::faults::{Script, Stage, Surface};
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, Qty};

const START: TimestampNs = TimestampNs(1_790_000_000_000_000_000);
const SECOND: i64 = 1_000_000_000;

fn config(path: &Path) -> Config {
    let mut config = Config {
        seed: 5,
        markets: Markets::first(2),
        ..Config::default()
    };
    config.rates.binance_levels = 200;
    config.truth.path = Some(path.to_owned());
    config.truth.checkpoint_every = 40;
    config
}

const FAULTS: &str = "[[fault]]\nkind = \"crossed\"\nat_s = 3\nfor_s = 1\nmarkets = [\"BTCUSDT\"]\n\
                      [[fault]]\nkind = \"frozen\"\nat_s = 5\nfor_s = 2\nvenue = \"upbit\"\n\
                      [[fault]]\nkind = \"clock\"\nat_s = 8\nfor_s = 1\noffset_ms = 500\n\
                      [[fault]]\nkind = \"drop\"\nat_s = 1\ncount = 1";

/// Ten seconds of two coins at both venues with orders and faults, and every shown book after every step.
fn run(path: &Path) -> Vec<(Venue, String, BookView, TimestampNs)> {
    let parts = Parts {
        script: Some(Script::parse(FAULTS).unwrap()),
        ..Parts::default()
    };
    let mut exchange = Exchange::with(&config(path), START, parts).unwrap();
    let mut out: Vec<Notice> = Vec::new();
    let mut seen = Vec::new();
    for step in 1..=100 {
        exchange.advance(START.plus(step * SECOND / 10), &mut out).unwrap();
        if step % 10 == 0 {
            let order = NewOrder {
                symbol: "BTCUSDT".into(),
                side: Side::Buy,
                kind: OrderKind::Limit {
                    price: Price::parse("99000").unwrap(),
                    qty: Qty::parse("0.01").unwrap(),
                },
                tif: TimeInForce::Gtc,
                client_id: Some(format!("o{step}")),
                self_match: SelfMatch::CancelMaker,
                stop: None,
            };
            let placed = exchange.place(1, order.clone(), &mut out).unwrap();
            exchange.place(1, order, &mut out).unwrap_err();
            if step % 20 == 0 {
                exchange.cancel(1, OrderRef::Id(placed.id), &mut out).unwrap();
            }
        }
        let target = Target {
            venue: Venue::Binance,
            surface: Surface::Stream,
            path: "/ws",
            symbol: Some("ETHUSDT"),
        };
        exchange.strike(Stage::Frame, &target);
        exchange.note_request(Venue::Binance, Some(1), "GET", "/api/v3/time", 200);
        for (venue, symbol) in [
            (Venue::Upbit, "KRW-BTC"),
            (Venue::Binance, "BTCUSDT"),
            (Venue::Binance, "ETHUSDT"),
        ] {
            let view = exchange.book(venue, symbol, usize::MAX).unwrap();
            seen.push((venue, symbol.to_owned(), view, exchange.now()));
        }
    }
    exchange.finish().unwrap();
    seen
}

#[test]
fn every_book_that_was_shown_is_found_by_id_and_by_time() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["truth.jsonl", "truth.jsonl.zst"] {
        let path = folder.path().join(name);
        let seen = run(&path);
        for levels in [None, Some(5)] {
            let index = Index::load(&path, levels).unwrap();
            assert!(index.complete && index.lines > 500, "{}", index.lines);
            let deep = levels.unwrap_or(30);
            for (venue, symbol, view, now) in &seen {
                let want = checksum(&view.bids, &view.asks, deep);
                let state = index.at_id(*venue, symbol, view.last_id).unwrap();
                assert_eq!(state.hash, want, "{symbol} {}", view.last_id);
                assert_eq!(index.at(*venue, symbol, now.0).unwrap(), state);
                let stamped = index.at_clock_ms(*venue, symbol, view.ts.0.div_euclid(1_000_000));
                assert!(stamped.contains(&state), "{symbol} {}", view.last_id);
            }
            assert_eq!(index.at_id(Venue::Upbit, "KRW-BTC", 1), None);
            assert_eq!(index.at(Venue::Upbit, "KRW-BTC", START.0 - 1), None);
        }
        let (venue, symbol, view, _) = &seen[200];
        let book = book_at_id(&path, *venue, symbol, view.last_id).unwrap().unwrap();
        assert!(book.bids.iter().rev().map(|(&p, &q)| (p, q)).eq(pairs(&view.bids)));
        assert!(book.asks.iter().map(|(&p, &q)| (p, q)).eq(pairs(&view.asks)));
    }
}

#[test]
fn the_same_run_writes_the_same_bytes_and_every_kind_of_line() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.jsonl", "two.jsonl"].map(|name| folder.path().join(name));
    run(&one);
    run(&two);
    let text = std::fs::read(&one).unwrap();
    assert!(text == std::fs::read(&two).unwrap(), "two runs of one seed differ");
    let text = String::from_utf8(text).unwrap();
    for kind in [
        "head", "snap", "book", "trade", "request", "order", "refused", "balances", "fault", "hit", "end",
    ] {
        let tag = format!("{{\"k\":\"{kind}\"");
        assert!(
            text.lines().any(|line| line.starts_with(&tag)),
            "no line of kind {kind}"
        );
    }
    let mut reader = Reader::open(&one).unwrap();
    let mut lines = 0;
    while reader.next_line().unwrap().is_some() {
        lines += 1;
    }
    assert_eq!(lines, text.lines().count());
}

#[test]
fn a_torn_log_is_read_to_its_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["truth.jsonl", "truth.jsonl.zst"] {
        let path = folder.path().join(name);
        run(&path);
        let bytes = std::fs::read(&path).unwrap();
        let whole = Index::load(&path, None).unwrap().lines;
        for share in [95, 60, 30] {
            let cut = folder.path().join(format!("{share}.{name}"));
            std::fs::write(&cut, &bytes[..bytes.len() * share / 100 - 1]).unwrap();
            let index = Index::load(&cut, None).unwrap();
            assert!(
                !index.complete && index.lines > 0 && index.lines < whole,
                "{name} {share} {}",
                index.lines
            );
        }
    }
}

#[test]
fn a_log_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    run(&path);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let book = lines
        .iter()
        .position(|line| line.starts_with("{\"k\":\"book\""))
        .unwrap();
    let without: Vec<&str> = [&lines[..book], &lines[book + 1..]].concat();
    let mut bent: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    bent[book] = bent[book].replacen("\"h\":", "\"h\":1", 1);
    let mut unknown: Vec<&str> = lines.clone();
    unknown[book] = "{\"k\":\"news\"}";
    let cases = [
        (without.join("\n"), "do not follow"),
        (bent.join("\n"), "its checksum is"),
        (unknown.join("\n"), "unknown variant `news`"),
        (lines[1..].join("\n"), "the first line is no head"),
    ];
    for (text, want) in cases {
        let wrong = folder.path().join("wrong.jsonl");
        std::fs::write(&wrong, text + "\n").unwrap();
        let message = Index::load(&wrong, None).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(want), "{message:?}, not {want:?}");
        assert!(message.contains("wrong.jsonl: line "), "{message}");
    }
    let message = Exchange::new(&config(&path), START)
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("truth.jsonl"),
        "a log is never written over: {message}"
    );
}

#[test]
fn a_log_that_cannot_be_written_stops_the_exchange() {
    let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut truth = Truth {
        path: "/dev/full".into(),
        sink: Sink::Plain(BufWriter::with_capacity(64, file)),
        buffer: Vec::new(),
        flushed: TimestampNs::MIN,
        checkpoint_every: 1,
        levels: 1,
        since: Vec::new(),
        lines: 0,
        error: None,
    };
    truth.request(START, Venue::Upbit, None, "GET", "/v1/accounts", 200);
    let message = truth.check().unwrap_err().to_string();
    assert!(message.contains("truth log /dev/full: "), "{message}");
    assert!(truth.check().is_err(), "and stays stopped");
}
