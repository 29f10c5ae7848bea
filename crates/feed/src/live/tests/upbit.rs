//! Books that come whole: Upbit, and partial books.

use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::{Amount, Bps, Price, Qty};

use super::*;
use crate::input::Note;
use crate::rules::diff::Update;
use crate::rules::{Fees, MarketRules, MarketStatus, QtyRule, RulesNote};

fn live_upbit() -> Run {
    let mut run = Run::new(&two_venues());
    run.at(1).open(UPBIT, 1, None);
    run.at(10).frame(UPBIT, 1, &upbit_book(5, &[(101, 1, 100, 1)]));
    assert_eq!(run.health(KRW_BTC), None);
    run
}

#[test]
fn f21_older_books_are_dropped_and_counted_equal_times_are_taken_once() {
    let mut run = live_upbit();
    run.at(20).frame(UPBIT, 1, &upbit_book(15, &[(102, 1, 100, 1)]));
    run.at(21).frame(UPBIT, 1, &upbit_book(14, &[(109, 1, 100, 1)]));
    assert_eq!(run.top(KRW_BTC), Some((100, 102)));
    assert_eq!(run.counts(KRW_BTC).old, 1);
    assert_eq!(run.ignored(UPBIT, "older than the book"), 1);
    run.at(22).frame(UPBIT, 1, &upbit_book(15, &[(102, 1, 100, 1)]));
    assert_eq!(run.counts(KRW_BTC).duplicates, 1, "equal time, equal content");
    run.at(23).frame(UPBIT, 1, &upbit_book(15, &[(103, 1, 100, 1)]));
    assert_eq!(run.top(KRW_BTC), Some((100, 103)), "an equal time may carry news");
    run.at(24).frame(UPBIT, 1, &upbit_book(15, &[(102, 1, 100, 1)]));
    assert_eq!(run.top(KRW_BTC), Some((100, 102)), "and so may what was there before");
}

#[test]
fn f12_two_connections_that_repeat_one_millisecond_undo_nothing() {
    let mut run = live_upbit();
    run.open(UPBIT, 2, Some(1));
    let frames: Vec<String> = [102, 103, 102].map(|ask| upbit_book(15, &[(ask, 1, 100, 1)])).to_vec();
    let tops = |run: &mut Run, conn: u32, at: i64, which: usize| {
        run.at(at).frame(UPBIT, conn, &frames[which]);
        run.top(KRW_BTC).map(|(_, ask)| ask)
    };
    assert_eq!(tops(&mut run, 1, 20, 0), Some(102));
    assert_eq!(tops(&mut run, 2, 21, 0), Some(102));
    assert_eq!(tops(&mut run, 1, 22, 1), Some(103));
    assert_eq!(tops(&mut run, 1, 23, 2), Some(102));
    assert_eq!(tops(&mut run, 2, 24, 1), Some(102), "the slower one's 103 is past");
    assert_eq!(tops(&mut run, 2, 25, 2), Some(102));
    assert_eq!(run.counts(KRW_BTC).duplicates, 3);
    for conn in [1, 2] {
        run.at(30).frame(UPBIT, conn, &upbit_trade(29, 77));
    }
    assert_eq!(run.ignored(UPBIT, "trade seen before"), 1);
}

#[test]
fn f24_a_frozen_book_is_stale_though_frames_go_on() {
    let mut run = live_upbit();
    let frozen = upbit_book(5, &[(101, 1, 100, 1)]);
    for ms in (1_000..40_000).step_by(1_000) {
        run.at(ms).frame(UPBIT, 1, &frozen);
        run.frame(UPBIT, 1, r#"{"status":"UP"}"#);
        run.frame(UPBIT, 1, &upbit_trade(ms, ms as u64));
        let stale = ms >= 30_010;
        assert_eq!(run.health(KRW_BTC), stale.then_some(Cause::Stale), "at {ms} ms");
    }
    assert_eq!(run.top(KRW_BTC), None);
    run.at(40_000).frame(UPBIT, 1, &upbit_book(39_995, &[(102, 1, 100, 1)]));
    assert_eq!(run.top(KRW_BTC), Some((100, 102)));
    assert_eq!(
        run.gaps.len(),
        3,
        "before the first book (twice, by cause), and while stale: {:?}",
        run.gaps
    );
    let stale = run.gaps[2];
    assert_eq!(
        (stale.cause, stale.from, stale.to),
        (Cause::Stale, stamp(30_010), stamp(40_000))
    );
}

#[test]
fn c2_covered_time_and_gaps_make_up_the_run() {
    let mut run = live_upbit();
    run.at(31_000).frame(UPBIT, 1, &upbit_book(30_999, &[(102, 1, 100, 1)]));
    run.at(32_000).lose(UPBIT, 1);
    run.at(33_000).open(UPBIT, 2, None);
    run.at(33_500).frame(UPBIT, 2, &upbit_book(33_490, &[(102, 1, 100, 1)]));
    run.at(50_000).finish();
    for (ix, market) in run.pipeline.markets() {
        let (covered, gaps) = market.covered_and_gaps_ns();
        assert_eq!(covered + gaps, 50_000_000_000, "{ix:?}");
        let mut told: Vec<&Gap> = run.gaps.iter().filter(|gap| gap.market == ix).collect();
        told.sort_by_key(|gap| gap.from);
        assert_eq!(told.iter().map(|gap| gap.length_ns()).sum::<i64>(), gaps);
        assert!(told.windows(2).all(|two| two[0].to <= two[1].from));
    }
}

/// The venue's word on KRW-BTC.
fn rules(status: MarketStatus) -> Body {
    let step = QtyRule {
        step: Qty::parse("0.00000001").expect("a quantity"),
        min: Qty::ZERO,
        max: None,
    };
    let rules = MarketRules {
        symbol: "KRW-BTC".to_owned(),
        base: "BTC".to_owned(),
        quote: "KRW".to_owned(),
        status,
        tick: TickRule::Fixed(Price::parse("1000").expect("a price")),
        min_price: None,
        max_price: None,
        qty: step,
        market_qty: None,
        min_notional: Amount::ZERO,
        max_notional: None,
        percent: None,
        fees: Fees {
            maker: Bps::ZERO,
            taker: Bps::ZERO,
        },
        flags: Vec::new(),
        other_filters: Vec::new(),
    };
    let update = Update {
        venue: "upbit".to_owned(),
        changed: vec![rules],
        gone: Vec::new(),
    };
    Body::Note(Box::new(Note::Rules(RulesNote::Update(update))))
}

#[test]
fn f24_a_market_that_does_not_trade_prices_nothing_whatever_comes() {
    let mut run = live_upbit();
    for (at, status) in [
        (1_000, MarketStatus::Halted("BREAK".to_owned())),
        (2_000, MarketStatus::CancelOnly),
        (3_000, MarketStatus::Unknown("?".to_owned())),
    ] {
        run.at(at).input(UPBIT, rules(status));
        assert_eq!((run.health(KRW_BTC), run.top(KRW_BTC)), (Some(Cause::Halted), None));
        run.at(at + 100)
            .frame(UPBIT, 1, &upbit_book(at + 99, &[(101, at, 100, 1)]));
        assert_eq!(run.top(KRW_BTC), None);
        run.at(at + 200).input(UPBIT, rules(MarketStatus::Trading));
        assert_eq!(run.top(KRW_BTC), None, "not before something new");
        run.at(at + 300)
            .frame(UPBIT, 1, &upbit_book(at + 299, &[(102, at, 100, 1)]));
        assert_eq!(run.top(KRW_BTC), Some((100, 102)));
    }
    let gone = Update {
        venue: "upbit".to_owned(),
        changed: Vec::new(),
        gone: vec!["KRW-BTC".to_owned()],
    };
    run.at(5_000)
        .input(UPBIT, Body::Note(Box::new(Note::Rules(RulesNote::Update(gone)))));
    assert_eq!(run.health(KRW_BTC), Some(Cause::Halted), "delisted");
    assert_eq!(run.health(BTCUSDT), Some(Cause::Starting));
}

#[test]
fn f18_a_crossed_whole_book_is_asked_for_after_its_limit_and_answers_that_are_older_change_nothing() {
    let mut run = live_upbit();
    run.at(1_000).frame(UPBIT, 1, &upbit_book(995, &[(100, 1, 100, 1)]));
    assert_eq!(
        (run.health(KRW_BTC), run.top(KRW_BTC)),
        (Some(Cause::Crossed), None),
        "locked"
    );
    run.at(1_999).tick();
    assert_eq!(run.fetches(), 0);
    run.at(2_000).tick();
    assert_eq!(run.fetches(), 1);
    run.at(2_010)
        .answer(UPBIT, "KRW-BTC", 200, &upbit_answer(900, &[(103, 1, 100, 1)]));
    assert_eq!(run.health(KRW_BTC), Some(Cause::Crossed));
    run.at(2_260).tick();
    assert_eq!(run.fetches(), 2, "once more, after the first wait");
    run.at(2_270)
        .answer(UPBIT, "KRW-BTC", 200, &upbit_answer(2_265, &[(103, 1, 100, 1)]));
    assert_eq!(run.top(KRW_BTC), Some((100, 103)));
    run.at(2_280)
        .answer(UPBIT, "KRW-BTC", 200, &upbit_answer(2_275, &[(109, 1, 100, 1)]));
    assert_eq!(run.ignored(UPBIT, "answer that is not needed"), 1);
    run.at(60_000).tick();
    assert_eq!(run.fetches(), 2);
}

#[test]
fn f02_silence_is_stale_at_the_configured_age_and_a_connection_without_anything_new_is_replaced() {
    let mut run = live_upbit();
    run.at(3_600_000).tick();
    assert_eq!(run.health(KRW_BTC), Some(Cause::Stale));
    let stale: Vec<i64> = run
        .events
        .iter()
        .filter(|seen| seen.kind == "stale")
        .map(|seen| seen.stamp.mono_ns)
        .collect();
    assert_eq!(stale, [30_010_000_000]);
    let again: Vec<&Command> = run
        .commands
        .iter()
        .filter(|command| matches!(command, Command::Reconnect { .. }))
        .collect();
    assert!(
        matches!(again[..], [Command::Reconnect { conn: ConnId(1), .. }]),
        "{again:?}"
    );
}

#[test]
fn c1_f22_every_frame_is_counted_by_what_became_of_it_and_what_cannot_be_read_is_kept() {
    let mut run = live_upbit();
    let missing = r#"{"type":"orderbook","code":"KRW-BTC","orderbook_units":[]}"#;
    for text in [
        r#"{"type":"candle.1s","code":"KRW-BTC","a_new_field":1}"#,
        r#"{"status":"UP"}"#,
        r#"{"error":{"name":"NO_CODES","message":"no codes"}}"#,
        missing,
        "",
        &upbit_book(20, &[(101, 1, 100, 1)]).replace("KRW-BTC", "KRW-ETH"),
        &upbit_book(20, &[(101, 1, 100, 1)]).replace(r#""level":0"#, r#""level":10000"#),
        &upbit_book(20, &[(101, 1, 100, 1)]).replace(r#""level":0"#, r#""level":0,"a_new_field":[]"#),
    ] {
        run.frame(UPBIT, 1, text);
    }
    assert_eq!(run.quarantined, [missing.as_bytes(), b""]);
    let account = run.pipeline.account(UPBIT).expect("a venue");
    let ignored: Vec<(&str, u64)> = account.ignored().collect();
    assert_eq!(
        ignored,
        [
            ("book of rounded prices", 1),
            ("candle.1s", 1),
            ("other market", 1),
            ("refusal", 1),
            ("status", 1)
        ]
    );
    assert_eq!((account.received, account.applied, account.quarantined), (9, 2, 2));
}
