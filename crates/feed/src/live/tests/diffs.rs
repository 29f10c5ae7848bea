//! Books made of diffs upon snapshots, one fault at a time.

use super::*;

/// A session that is live at id 12: best bid 90, asks 92 to 96.
fn live_binance() -> Run {
    let mut run = Run::new(&two_venues());
    run.at(1).open(BINANCE, 1, None);
    run.at(10).frame(BINANCE, 1, &diff(5, 11, 12, &[(90, 1)], &[]));
    assert_eq!(run.health(BTCUSDT), Some(Cause::Snapshot));
    let (bids, asks) = ([89, 88, 87], [92, 93, 94, 95, 96]);
    let answer = depth(11, &bids.map(|price| (price, 1)), &asks.map(|price| (price, 1)));
    run.at(20).answer(BINANCE, "BTCUSDT", 200, &answer);
    assert_eq!(run.health(BTCUSDT), None);
    assert_eq!(run.top(BTCUSDT), Some((90, 92)));
    run
}

type Pairs = Vec<(i64, i64)>;

/// Takes away all that [`live_binance`] has.
fn nothing_left() -> (Pairs, Pairs) {
    let gone = |price| (price, 0);
    ((87..=90).map(gone).collect(), (92..=96).map(gone).collect())
}

#[test]
fn a_snapshot_must_reach_the_first_kept_diff() {
    // Kept: 101..=102, 103..=105. Binance: `lastUpdateId < U` asks for another; one right before it misses nothing.
    for (last, live) in [
        (99, false),
        (100, true),
        (101, true),
        (102, true),
        (104, true),
        (105, true),
        (200, true),
    ] {
        let mut run = Run::new(&two_venues());
        run.at(1).open(BINANCE, 1, None);
        run.at(2).frame(BINANCE, 1, &diff(2, 101, 102, &[(90, 1)], &[]));
        run.at(3).frame(BINANCE, 1, &diff(3, 103, 105, &[(91, 1)], &[]));
        assert_eq!(run.fetches(), 1);
        run.at(4)
            .answer(BINANCE, "BTCUSDT", 200, &depth(last, &[(80, 1)], &[(99, 1)]));
        assert_eq!(run.health(BTCUSDT).is_none(), live, "{last}");
        let expected = match last {
            99 => None,
            100..=104 => Some((91, 99)),
            _ => Some((80, 99)),
        };
        assert_eq!(run.top(BTCUSDT), expected, "{last}");
        assert_eq!(run.counts(BTCUSDT).too_old, u64::from(!live));
    }
}

#[test]
fn a_diff_counts_as_waiting_until_a_snapshot_settles_its_fate() {
    let mut run = Run::new(&two_venues());
    run.at(1).open(BINANCE, 1, None);
    for (at, first, last) in [(2, 101, 102), (3, 103, 105), (4, 106, 106)] {
        run.at(at).frame(BINANCE, 1, &diff(at, first, last, &[(90, 1)], &[]));
    }
    assert_eq!(run.pipeline.account(BINANCE).map(|account| account.waiting), Some(3));
    run.at(5)
        .answer(BINANCE, "BTCUSDT", 200, &depth(102, &[(80, 1)], &[(99, 1)]));
    let account = run.pipeline.account(BINANCE).expect("a venue");
    assert_eq!((account.received, account.waiting, account.applied), (4, 0, 3));
    assert_eq!(run.ignored(BINANCE, "diff that a snapshot made needless"), 1);
}

#[test]
fn f13_a_missing_diff_prices_nothing_until_the_next_snapshot() {
    let mut run = live_binance();
    run.at(30).frame(BINANCE, 1, &diff(29, 14, 15, &[(91, 1)], &[]));
    assert_eq!(run.health(BTCUSDT), Some(Cause::MissingUpdate));
    assert_eq!(run.events.last().map(|seen| seen.kind.as_str()), Some("gap"));
    assert_eq!(run.fetches(), 1, "the next request waits for the time between two");
    run.at(300).tick();
    assert_eq!(run.fetches(), 2);
    run.at(310).frame(BINANCE, 1, &diff(309, 16, 16, &[(91, 2)], &[]));
    run.at(320)
        .answer(BINANCE, "BTCUSDT", 200, &depth(15, &[(91, 1)], &[(92, 1)]));
    assert_eq!(run.top(BTCUSDT), Some((91, 92)));
    assert_eq!(run.counts(BTCUSDT).gaps, 1);
    let gap = run.gaps.last().expect("a gap");
    assert_eq!(
        (gap.cause, gap.from, gap.to),
        (Cause::MissingUpdate, stamp(30), stamp(320))
    );
}

#[test]
fn f14_reordered_diffs_are_a_gap_and_never_a_wrong_book() {
    let mut run = live_binance();
    run.at(30).frame(BINANCE, 1, &diff(29, 14, 14, &[(91, 0)], &[]));
    run.at(31).frame(BINANCE, 1, &diff(28, 13, 13, &[(91, 5)], &[]));
    run.at(32).frame(BINANCE, 1, &diff(30, 15, 15, &[(88, 5)], &[]));
    assert_eq!(run.top(BTCUSDT), None);
    run.at(400)
        .answer(BINANCE, "BTCUSDT", 200, &depth(14, &[(90, 1), (89, 1)], &[(92, 1)]));
    assert_eq!(
        run.top(BTCUSDT),
        Some((90, 92)),
        "91 is gone, though its coming came later than its going"
    );
}

#[test]
fn f12_a_diff_that_comes_twice_or_overlaps_is_applied_once() {
    let mut run = live_binance();
    run.open(BINANCE, 2, Some(1));
    let one = diff(29, 13, 14, &[(91, 7)], &[]);
    for conn in [1, 2, 1, 2] {
        run.at(30).frame(BINANCE, conn, &one);
    }
    assert_eq!(run.counts(BTCUSDT).duplicates, 3);
    assert_eq!(run.kinds(BTCUSDT).iter().filter(|kind| **kind == "update").count(), 2);
    // The other socket cuts its batches elsewhere.
    run.at(31).frame(BINANCE, 2, &diff(30, 14, 16, &[(91, 0)], &[]));
    assert_eq!((run.top(BTCUSDT), run.counts(BTCUSDT).gaps), (Some((90, 92)), 0));
}

#[test]
fn f03_a_planned_change_of_connections_leaves_no_gap() {
    let mut run = live_binance();
    run.at(100).open(BINANCE, 2, Some(1));
    run.at(110).frame(BINANCE, 1, &diff(109, 13, 13, &[(90, 2)], &[]));
    // Nothing of this market came over the new connection yet.
    run.at(120).link(BINANCE, 1, LinkEvent::Closed { error: None });
    assert_eq!(run.health(BTCUSDT), None);
    run.at(130).frame(BINANCE, 2, &diff(129, 14, 14, &[(90, 3)], &[]));
    run.at(140).frame(BINANCE, 1, &diff(109, 13, 13, &[(90, 2)], &[]));
    assert_eq!(run.ignored(BINANCE, "frame of a connection that had ended"), 1);
    assert_eq!(run.health(BTCUSDT), None);
    assert_eq!(
        run.gaps
            .iter()
            .filter(|gap| gap.market == BTCUSDT && gap.to > stamp(20))
            .count(),
        0
    );
    run.at(150).lose(BINANCE, 2);
    assert_eq!(run.health(BTCUSDT), Some(Cause::Disconnected));
}

#[test]
fn f15_snapshots_that_are_always_too_old_are_asked_for_ever_more_slowly_and_the_diffs_are_kept() {
    let mut run = Run::new(&two_venues());
    run.at(0).open(BINANCE, 1, None);
    let mut asked = Vec::new();
    for step in 0..600u64 {
        let ms = step as i64 * 100;
        let (first, last) = (1_000 + step, 1_000 + step);
        run.at(ms)
            .frame(BINANCE, 1, &diff(ms, first, last, &[(90, step as i64 + 1)], &[]));
        if run.fetches() > asked.len() {
            asked.push(ms);
            // 25 s old, by a cache in between.
            let then = last.saturating_sub(250);
            run.answer(BINANCE, "BTCUSDT", 200, &depth(then, &[(89, 1)], &[(92, 1)]));
        }
        if run.health(BTCUSDT).is_none() {
            break;
        }
    }
    assert_eq!(
        run.health(BTCUSDT),
        None,
        "live in the end: the buffer reaches back further than the cache"
    );
    let waits: Vec<i64> = asked.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(
        waits.len() > 4 && waits.windows(2).all(|two| two[0] <= two[1]),
        "{waits:?}"
    );
    assert!(*waits.last().expect("waits") <= 10_100, "{waits:?}");
    assert_eq!(run.counts(BTCUSDT).given_up, 0);
    assert_eq!(run.counts(BTCUSDT).too_old, asked.len() as u64 - 1);
}

#[test]
fn f15_the_buffer_is_bounded_and_what_is_given_up_is_counted() {
    let mut venues = two_venues();
    venues[1].0.books.most_kept = 10;
    let mut run = Run::new(&venues);
    run.at(0).open(BINANCE, 1, None);
    for id in 1..=25u64 {
        run.at(id as i64).frame(BINANCE, 1, &diff(1, id, id, &[(90, 1)], &[]));
    }
    let market = run.pipeline.market(BTCUSDT).expect("a market");
    assert_eq!((market.kept(), market.counts().given_up), (10, 15));
    run.at(30)
        .answer(BINANCE, "BTCUSDT", 200, &depth(14, &[(89, 1)], &[(92, 1)]));
    assert_eq!(run.health(BTCUSDT), Some(Cause::Snapshot), "15 was given up");
    run.at(31)
        .answer(BINANCE, "BTCUSDT", 200, &depth(15, &[(89, 1)], &[(92, 1)]));
    assert_eq!(run.health(BTCUSDT), None);
}

#[test]
fn f16_no_diff_is_lost_while_a_snapshot_fails_or_takes_its_time() {
    let mut run = Run::new(&two_venues());
    run.at(0).open(BINANCE, 1, None);
    let mut id = 100;
    let mut flow = |run: &mut Run, ms: i64| {
        id += 1;
        run.at(ms).frame(BINANCE, 1, &diff(ms, id, id, &[(90, id as i64)], &[]));
    };
    flow(&mut run, 1);
    let unavailable = Err(FeedError::Timeout {
        what: "answer".to_owned(),
        limit_ms: 5_000,
    });
    run.at(2).outcome(BINANCE, "BTCUSDT", unavailable);
    flow(&mut run, 100);
    run.at(252).tick();
    assert_eq!(run.fetches(), 2);
    run.at(253).answer(BINANCE, "BTCUSDT", 503, "busy");
    run.at(753).tick();
    assert_eq!(run.fetches(), 3);
    run.at(754).answer(BINANCE, "BTCUSDT", 200, "{cut");
    run.at(1_754).tick();
    assert_eq!(run.fetches(), 4);
    let limited = Err(FeedError::Limited {
        status: 429,
        wait: std::time::Duration::from_secs(7),
    });
    run.at(1_755).outcome(BINANCE, "BTCUSDT", limited);
    run.at(8_754).tick();
    assert_eq!(run.fetches(), 4, "told to wait for 7 s");
    run.at(8_755).tick();
    assert_eq!(run.fetches(), 5);
    // Ten seconds without an answer, while diffs flow.
    for ms in (9_000..18_700).step_by(100) {
        flow(&mut run, ms);
    }
    run.at(18_700)
        .answer(BINANCE, "BTCUSDT", 200, &depth(101, &[(89, 1)], &[(92, 1)]));
    assert_eq!(run.health(BTCUSDT), None);
    let account = run.pipeline.account(BINANCE).expect("a venue");
    assert_eq!(
        (account.waiting, account.applied, account.quarantined),
        (0, id - 100, 1)
    );
    assert_eq!(run.last[1], Some(id));
    assert_eq!(run.counts(BTCUSDT).failed, 4);
}

#[test]
fn f16_an_unanswered_request_is_asked_again_after_its_time() {
    let mut run = Run::new(&two_venues());
    run.at(0).open(BINANCE, 1, None);
    run.at(1).frame(BINANCE, 1, &diff(1, 5, 5, &[(90, 1)], &[]));
    for (ms, fetches, failed) in [(9_999, 1, 0), (10_000, 1, 1), (10_249, 1, 1), (10_250, 2, 1)] {
        run.at(ms).tick();
        assert_eq!(
            (run.fetches(), run.counts(BTCUSDT).failed),
            (fetches, failed),
            "at {ms} ms"
        );
    }
}

#[test]
fn f18_a_crossed_book_is_flagged_at_once_and_made_anew_after_its_limit() {
    let mut run = live_binance();
    run.at(500).frame(BINANCE, 1, &diff(499, 13, 13, &[(92, 1)], &[]));
    assert_eq!(
        (run.health(BTCUSDT), run.top(BTCUSDT)),
        (Some(Cause::Crossed), None),
        "locked"
    );
    assert_eq!(run.counts(BTCUSDT).crossed, 1);
    run.at(600).frame(BINANCE, 1, &diff(599, 14, 14, &[], &[(92, 0)]));
    assert_eq!(run.top(BTCUSDT), Some((92, 93)), "it came apart by itself");
    run.at(700).frame(BINANCE, 1, &diff(699, 15, 15, &[(95, 1)], &[]));
    assert_eq!(run.fetches(), 1);
    run.at(1_699).tick();
    assert_eq!(run.fetches(), 1);
    run.at(1_700).tick();
    assert_eq!(run.fetches(), 2);
    assert_eq!(run.events.last().map(|seen| seen.kind.as_str()), Some("gap"));
    run.at(1_710).frame(BINANCE, 1, &diff(1_709, 16, 16, &[(85, 1)], &[]));
    run.at(1_720)
        .answer(BINANCE, "BTCUSDT", 200, &depth(15, &[(92, 1)], &[(93, 1)]));
    assert_eq!(run.top(BTCUSDT), Some((92, 93)));
    assert_eq!(run.counts(BTCUSDT).crossed, 2);
}

#[test]
fn f19_empty_sides_and_single_levels_are_no_price_and_no_panic() {
    let mut run = live_binance();
    let (bids, asks) = nothing_left();
    run.at(100).frame(BINANCE, 1, &diff(99, 13, 13, &[], &asks));
    assert_eq!(run.top(BTCUSDT), None);
    run.at(110)
        .frame(BINANCE, 1, &diff(109, 14, 14, &[&bids[..], &[(17, 0)]].concat(), &[]));
    run.at(120).answer(BINANCE, "BTCUSDT", 200, &depth(14, &[], &[]));
    assert_eq!(run.top(BTCUSDT), None);
    run.at(130)
        .frame(BINANCE, 1, &diff(129, 15, 15, &[(90, 1)], &[(91, 1)]));
    assert_eq!(run.top(BTCUSDT), Some((90, 91)));
}

#[test]
fn f20_a_book_that_walked_to_the_end_of_its_snapshot_is_asked_for_and_serves_until_then() {
    let mut run = Run::new(&two_venues());
    run.at(1).open(BINANCE, 1, None);
    run.at(2).frame(BINANCE, 1, &diff(2, 10, 10, &[(90, 1)], &[]));
    let bids = [(90, 1), (89, 1), (88, 1), (87, 1)];
    run.at(3)
        .answer(BINANCE, "BTCUSDT", 200, &depth(10, &bids, &[(92, 1), (93, 1), (94, 1)]));
    run.at(1_000).frame(BINANCE, 1, &diff(999, 11, 11, &[(90, 0)], &[]));
    assert_eq!(run.fetches(), 1, "three levels are known");
    run.at(1_100)
        .frame(BINANCE, 1, &diff(1_099, 12, 12, &[(89, 0), (85, 9)], &[]));
    assert_eq!(run.fetches(), 2);
    assert_eq!(
        (run.health(BTCUSDT), run.top(BTCUSDT)),
        (None, Some((88, 92))),
        "it still serves"
    );
    run.at(1_200)
        .frame(BINANCE, 1, &diff(1_199, 13, 13, &[(88, 0), (87, 0)], &[]));
    assert_eq!(run.top(BTCUSDT), None, "85 is there, but 86 is not known");
    // The answer is older than the newest diff: that is applied upon it once more.
    let account = run.pipeline.account(BINANCE).expect("a venue").clone();
    let bids = [(88, 1), (87, 1), (86, 4), (85, 9)];
    run.at(1_300)
        .answer(BINANCE, "BTCUSDT", 200, &depth(12, &bids, &[(92, 1), (93, 1), (94, 1)]));
    assert_eq!((run.health(BTCUSDT), run.top(BTCUSDT)), (None, Some((86, 92))));
    assert_eq!(run.gaps.iter().filter(|gap| gap.from > stamp(3)).count(), 0);
    let after = run.pipeline.account(BINANCE).expect("a venue");
    assert_eq!(
        after.applied,
        account.applied + 1,
        "a diff that is applied again is not counted again"
    );
    run.at(1_400).frame(BINANCE, 1, &diff(1_399, 14, 14, &[(86, 3)], &[]));
    assert_eq!((run.health(BTCUSDT), run.counts(BTCUSDT).gaps), (None, 0));
}

#[test]
fn f27_absurd_prices_are_kept_as_data() {
    let mut run = live_binance();
    let (mut bids, mut asks) = nothing_left();
    bids.push((9, 1));
    asks.push((930, 1));
    run.at(100).frame(BINANCE, 1, &diff(99, 13, 13, &bids, &asks));
    run.at(300)
        .answer(BINANCE, "BTCUSDT", 200, &depth(13, &[(9, 1)], &[(930, 1)]));
    assert_eq!((run.health(BTCUSDT), run.top(BTCUSDT)), (None, Some((9, 930))));
}

#[test]
fn usdm_diffs_are_chained_by_the_id_before_them() {
    let config = venue("name = 'binance-usdm'\nprotocol = 'binance-usdm'");
    let mut run = Run::new(&[(config, vec!["BTCUSDT".to_owned()])]);
    let usdm = VenueIx(0);
    let market = MarketIx(0);
    let diff = |ms: i64, first: u64, last: u64, prev: u64, bid: i64| {
        let spot = diff(ms, first, last, &[(bid, 1)], &[]);
        spot.replace(r#","b":"#, &format!(r#","T":{},"pu":{prev},"b":"#, WALL_MS + ms))
    };
    run.at(1).open(usdm, 1, None);
    run.at(2).frame(usdm, 1, &diff(2, 90, 95, 88, 80));
    run.at(3).frame(usdm, 1, &diff(3, 98, 105, 95, 81));
    run.at(4).frame(usdm, 1, &diff(4, 108, 109, 105, 82));
    let answer = depth(100, &[(70, 1)], &[(99, 1)]);
    run.at(5).answer(usdm, "BTCUSDT", 200, &answer);
    assert_eq!(
        run.top(market),
        Some((82, 99)),
        "numbers may be left out, the chain may not"
    );
    run.at(6).frame(usdm, 1, &diff(6, 112, 113, 110, 83));
    assert_eq!(run.health(market), Some(Cause::MissingUpdate));
}

#[test]
fn partial_books_go_by_the_id_of_their_newest_change() {
    let config = venue("name = 'binance'\nprotocol = 'binance-spot'\nstreams = ['partial-book', 'book-ticker']");
    let mut run = Run::new(&[(config, vec!["BTCUSDT".to_owned()])]);
    let (spot, market) = (VenueIx(0), MarketIx(0));
    let partial = |last, bid, ask| {
        let depth = depth(last, &[(bid, 1)], &[(ask, 1)]);
        format!(r#"{{"stream":"btcusdt@depth20@100ms","data":{depth}}}"#)
    };
    run.at(1).open(spot, 1, None);
    run.at(2).frame(spot, 1, &partial(10, 90, 92));
    run.at(3).frame(spot, 1, &partial(12, 91, 92));
    run.at(4).frame(spot, 1, &partial(11, 80, 99));
    assert_eq!((run.top(market), run.counts(market).old), (Some((91, 92)), 1));
    run.at(5).frame(spot, 1, &partial(12, 91, 92));
    assert_eq!(run.counts(market).duplicates, 1);
    run.at(6).frame(
        spot,
        1,
        r#"{"stream":"btcusdt@bookTicker","data":{"u":13,"s":"BTCUSDT","b":"70.0","B":"1","a":"71.0","A":"1"}}"#,
    );
    assert_eq!(
        (run.top(market), run.fetches()),
        (Some((91, 92)), 0),
        "one stream makes the book"
    );
    run.at(30_003).tick();
    assert_eq!(run.health(market), Some(Cause::Stale));
}

#[test]
fn funding_is_an_event_once_when_it_falls_due() {
    let config = venue("name = 'binance-usdm'\nprotocol = 'binance-usdm'\nstreams = ['book', 'mark-price']");
    let mut run = Run::new(&[(config, vec!["BTCUSDT".to_owned()])]);
    let mark = |ms: i64, rate: &str, next: i64| {
        format!(
            r#"{{"stream":"btcusdt@markPrice@1s","data":{{"e":"markPriceUpdate","E":{},"s":"BTCUSDT","p":"100.5","i":"100.4","P":"100.3","r":"{rate}","T":{}}}}}"#,
            WALL_MS + ms,
            WALL_MS + next
        )
    };
    for (ms, rate, next) in [
        (1_000, "0.00010000", 8_000),
        (7_000, "0.00020000", 8_000),
        (8_000, "-0.00030000", 16_000),
        (9_000, "-0.00030000", 16_000),
        (16_500, "0.00040000", 24_000),
    ] {
        run.at(ms + 5).frame(VenueIx(0), 1, &mark(ms, rate, next));
    }
    let told: Vec<&str> = run.events.iter().map(|seen| seen.kind.as_str()).collect();
    assert_eq!(told, ["funding 20000 100.50000000", "funding -30000 100.50000000"]);
}
