//! Clocks that disagree.

use super::*;

fn run() -> Run {
    let mut run = Run::new(&two_venues());
    run.at(1).open(UPBIT, 1, None);
    run
}

#[test]
fn f33_a_venue_clock_ahead_of_ours_is_flagged_and_its_latencies_are_shown_negative() {
    let mut run = run();
    for (ms, ts) in [(100, 90), (200, 195), (300, 1_300), (400, 399)] {
        run.at(ms).frame(UPBIT, 1, &upbit_book(ts, &[(101 + ms, 1, 100, 1)]));
    }
    assert_eq!(run.flags, [(Flag::VenueAhead, true), (Flag::VenueDrift, false)]);
    assert!(run.pipeline.flag(UPBIT, Flag::VenueAhead));
    assert_eq!(
        run.counts(KRW_BTC).old,
        1,
        "399 is older than 1300, which has been said"
    );
    let latency = run
        .pipeline
        .latency(UPBIT)
        .and_then(Latency::summary)
        .expect("latencies");
    assert_eq!((latency.count, latency.negative), (4, 1));
    assert_eq!((latency.least_ns, latency.most_ns), (-1_000_000_000, 10_000_000));
    assert!((latency.median_ns - 1_000_000).abs() < 50_000, "{latency:?}");
    assert_eq!(run.counts(KRW_BTC).held_times, 1);
    assert!(!run.pipeline.flag(BINANCE, Flag::VenueAhead));
    run.at(400_000)
        .frame(UPBIT, 1, &upbit_book(399_990, &[(101, 1, 100, 1)]));
    assert!(!run.pipeline.flag(UPBIT, Flag::VenueAhead), "and that it is over, too");
}

#[test]
fn f33_a_venue_clock_that_drifts_is_flagged() {
    let mut run = run();
    // 200 ppm slow: 60 ms in each window of comparison, until it is more than the 250 ms allowed.
    for second in 1..2_400 {
        let ms = second * 1_000;
        run.at(ms)
            .frame(UPBIT, 1, &upbit_book(ms - 20 - ms / 5_000, &[(101, second, 100, 1)]));
    }
    assert!(run.pipeline.flag(UPBIT, Flag::VenueDrift));
    assert_eq!(run.health(KRW_BTC), None, "a drift is no lag");
}

#[test]
fn f08_content_that_was_made_too_long_ago_is_not_live_however_new_its_frame_is() {
    let mut run = run();
    for ms in (1_000..60_000).step_by(1_000) {
        run.at(ms)
            .frame(UPBIT, 1, &upbit_book(ms - 10, &[(101 + ms, 1, 100, 1)]));
    }
    assert_eq!(run.health(KRW_BTC), None);
    // Our reader stood still for 40 s; what it reads now was said then.
    for ms in (60_000..70_000).step_by(1_000) {
        run.at(ms + 40_000)
            .frame(UPBIT, 1, &upbit_book(ms, &[(101 + ms, 1, 100, 1)]));
        assert_eq!(run.health(KRW_BTC), Some(Cause::Lag), "at {ms} ms");
    }
    run.at(110_000)
        .frame(UPBIT, 1, &upbit_book(109_000, &[(101, 1, 100, 1)]));
    assert_eq!(run.health(KRW_BTC), None);
}

#[test]
fn f32_a_step_of_the_wall_clock_moves_no_timer_and_is_flagged() {
    for step in [3_600_000, -3_600_000] {
        let mut run = run();
        run.at(1_000).frame(UPBIT, 1, &upbit_book(990, &[(101, 1, 100, 1)]));
        let mut newest = run.stamp.ts;
        let mut step_to = |run: &mut Run, ms: i64| {
            run.at(ms);
            // As `Clock` does it: never back.
            newest = newest.max(TimestampNs(run.stamp.ts.0 + step * 1_000_000));
            run.stamp.ts = newest;
        };
        for ms in (2_000..40_000).step_by(1_000) {
            step_to(&mut run, ms);
            run.frame(UPBIT, 1, &upbit_book(ms - 10, &[(101, ms, 100, 1)]));
            assert_eq!(run.health(KRW_BTC), None, "at {ms} ms");
        }
        assert!(run.pipeline.flag(UPBIT, Flag::OwnClock));
        assert_eq!(run.pipeline.clock_steps(), 1);
        assert!(run.flags.contains(&(Flag::OwnClock, true)));
        step_to(&mut run, 68_990);
        run.tick();
        assert_eq!(run.health(KRW_BTC), None);
        step_to(&mut run, 69_010);
        run.tick();
        assert_eq!(run.health(KRW_BTC), Some(Cause::Stale), "30 s by the monotonic clock");
        if step > 0 {
            step_to(&mut run, 99_000);
            run.frame(UPBIT, 1, &upbit_book(98_990, &[(101, 1, 100, 1)]));
            assert!(
                !run.pipeline.flag(UPBIT, Flag::OwnClock),
                "after a minute it is believed as it is"
            );
        }
    }
}

#[test]
fn an_hour_of_slewing_is_no_step() {
    let mut run = run();
    for second in 0..3_600i64 {
        run.at(second * 1_000);
        run.stamp.ts.0 += second * 400_000;
        run.tick();
        let stamp = run.stamp;
        run.input(UPBIT, Body::Tick);
        assert_eq!(run.stamp, stamp);
    }
    assert_eq!((run.pipeline.clock_steps(), run.flags.len()), (0, 0));
}

#[test]
fn f34_after_a_stop_everything_is_stale_before_anything_new_is_believed() {
    let mut run = run();
    run.open(BINANCE, 2, None);
    run.at(1_000).frame(UPBIT, 1, &upbit_book(990, &[(101, 1, 100, 1)]));
    run.frame(BINANCE, 2, &diff(990, 11, 12, &[(90, 1)], &[]));
    run.answer(BINANCE, "BTCUSDT", 200, &depth(11, &[(89, 1)], &[(92, 1)]));
    run.at(61_000).frame(BINANCE, 2, &diff(60_995, 13, 13, &[(91, 1)], &[]));
    assert_eq!(run.health(KRW_BTC), Some(Cause::Stale));
    assert_eq!(
        run.health(BTCUSDT),
        None,
        "it goes on where it was, with no diff missing"
    );
    let stale: Vec<_> = run.events.iter().filter(|seen| seen.kind == "stale").collect();
    assert_eq!(stale.len(), 2);
    assert!(
        stale.iter().all(|seen| seen.stamp.mono_ns < 31_100_000_000),
        "{stale:?}"
    );
}
