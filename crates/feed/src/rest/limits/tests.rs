//! With tokio's time paused: hours of limits in milliseconds.

use proptest::prelude::*;
use tokio::time::{advance, sleep};

use super::*;
use crate::rest::rule::WEIGHT;
use crate::venue::Protocol;

fn rest(headroom_percent: u8) -> RestLimits {
    RestLimits {
        headroom_percent,
        ..RestLimits::default()
    }
}

fn limits(protocol: Protocol, headroom_percent: u8) -> Arc<Limits> {
    Limits::new(protocol.rule(), &rest(headroom_percent))
}

fn ok() -> Signs {
    Signs::default()
}

fn wait(seconds: u64) -> Signs {
    Signs {
        wait: Some(Duration::from_secs(seconds)),
        ..Signs::default()
    }
}

fn remaining(group: &str, left: u32) -> Signs {
    Signs {
        remaining: Some((group.to_owned(), left)),
        ..Signs::default()
    }
}

/// Takes as many as go at once, ends them, and counts them.
fn burst(limits: &Arc<Limits>, group: &'static str, weight: u32, purpose: Purpose) -> usize {
    std::iter::from_fn(|| limits.try_acquire(group, weight, purpose).ok())
        .collect::<Vec<_>>()
        .len()
}

/// Asks with one answer, as fast as it may.
async fn ask(limits: &Arc<Limits>, group: &'static str, status: u16, signs: &Signs) -> Option<FeedError> {
    let patience = Duration::from_secs(1_000_000);
    let permit = limits.acquire(group, 1, patience).await.expect("a permit");
    permit.heard(status, signs)
}

#[tokio::test(start_paused = true)]
async fn shares_are_those_of_the_venue_and_each_group_of_upbit_has_its_own() {
    // Headroom, group, weight, burst of fetches, of polls.
    let cases = [
        (Protocol::Upbit, 100, 1, 10, 7),
        (Protocol::Upbit, 50, 1, 5, 3),
        (Protocol::Upbit, 1, 1, 1, 1),
        (Protocol::BinanceSpot, 100, 5, 1_200, 900),
        (Protocol::BinanceSpot, 50, 250, 12, 9),
        (Protocol::BinanceUsdm, 50, 20, 60, 45),
        // More than the share: one at a time.
        (Protocol::BinanceSpot, 1, 250, 1, 1),
    ];
    for (protocol, headroom, weight, fetches, polls) in cases {
        let limits = limits(protocol, headroom);
        assert_eq!(
            burst(&limits, "a", weight, Purpose::Poll),
            polls,
            "{protocol:?} {headroom} {weight}"
        );
        let rest = burst(&limits, "a", weight, Purpose::Fetch);
        assert_eq!(polls + rest, fetches, "{protocol:?} {headroom} {weight}");
        assert_eq!(
            burst(&limits, "b", weight, Purpose::Fetch),
            fetches,
            "another group is not touched"
        );
        advance(protocol.rule().window).await;
        assert_eq!(burst(&limits, "a", weight, Purpose::Fetch), fetches);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_counts_until_a_window_after_its_end() {
    let limits = limits(Protocol::Upbit, 10);
    let permit = limits
        .try_acquire("orderbook", 1, Purpose::Fetch)
        .expect("the first one");
    advance(Duration::from_secs(30)).await;
    let held = limits.try_acquire("orderbook", 1, Purpose::Fetch).map(|_| ());
    assert_eq!(held, Err(Held::ENDS), "it may arrive at the venue only now");
    drop(permit);
    advance(Duration::from_millis(999)).await;
    let until = Some(Instant::now() + Duration::from_millis(1));
    let held = limits.try_acquire("orderbook", 1, Purpose::Fetch).map(|_| ());
    assert_eq!(held, Err(Held { until, status: None }));
    advance(Duration::from_millis(1)).await;
    assert!(limits.try_acquire("orderbook", 1, Purpose::Fetch).is_ok());
}

#[tokio::test(start_paused = true)]
async fn f10_remaining_zero_stops_the_group_for_a_second() {
    let limits = limits(Protocol::Upbit, 100);
    assert_eq!(ask(&limits, "candle", 200, &remaining("candles", 0)).await, None);
    assert_eq!(burst(&limits, "candle", 1, Purpose::Fetch), 0);
    assert_eq!(burst(&limits, "trade", 1, Purpose::Fetch), 10, "another group goes on");
    advance(Duration::from_secs(1)).await;
    assert!(burst(&limits, "candle", 1, Purpose::Fetch) > 0);
}

#[tokio::test(start_paused = true)]
async fn groups_that_the_venue_counts_together_share_a_budget() {
    let limits = limits(Protocol::Upbit, 50);
    ask(&limits, "ticker", 200, &remaining("market", 9)).await;
    ask(&limits, "market", 200, &remaining("market", 8)).await;
    let both = burst(&limits, "ticker", 1, Purpose::Fetch) + burst(&limits, "market", 1, Purpose::Fetch);
    assert_eq!(both, 3, "two of five were spent");
    // The venue splits them again: each has what both had spent, and not more than a share.
    advance(Duration::from_secs(1)).await;
    ask(&limits, "ticker", 200, &remaining("ticker", 9)).await;
    assert!(burst(&limits, "ticker", 1, Purpose::Fetch) <= 5);
}

/// Rules as (counts, limit, seconds).
fn rules(rules: &[(Counts, u32, u64)]) -> Vec<Rule> {
    let rule = |&(counts, limit, seconds): &(Counts, u32, u64)| Rule {
        counts,
        limit,
        window: Duration::from_secs(seconds),
    };
    rules.iter().map(rule).collect()
}

#[tokio::test(start_paused = true)]
async fn other_limits_hold_from_then_on_and_what_was_sent_counts() {
    let limits = limits(Protocol::BinanceSpot, 50);
    assert_eq!(burst(&limits, WEIGHT, 5, Purpose::Fetch), 600);
    let weights = |limit| rules(&[(Counts::Weight, limit, 60)]);
    assert!(!limits.set(weights(6_000)), "it is what holds");
    assert!(!limits.set(Vec::new()), "nothing is said");
    assert!(limits.set(weights(8_000)));
    assert_eq!(burst(&limits, WEIGHT, 5, Purpose::Fetch), 200);
    assert!(limits.set(weights(1_200)));
    assert_eq!(burst(&limits, WEIGHT, 5, Purpose::Fetch), 0);
    advance(Duration::from_secs(60)).await;
    assert_eq!(burst(&limits, WEIGHT, 5, Purpose::Poll), 90);
    assert_eq!(burst(&limits, WEIGHT, 5, Purpose::Fetch), 30);
    // One that waits is told at once when there is more room.
    let waiting = tokio::spawn({
        let limits = Arc::clone(&limits);
        async move { limits.acquire(WEIGHT, 5, Duration::from_secs(30)).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    let begun = Instant::now();
    limits.set(weights(6_000));
    assert_eq!(waiting.await.expect("no panic"), Ok(()));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn of_several_limits_each_is_kept() {
    let limits = limits(Protocol::BinanceSpot, 50);
    limits.set(rules(&[
        (Counts::Weight, 200, 10),
        (Counts::Weight, 600, 60),
        (Counts::Requests, 40, 120),
    ]));
    let mut sent = Vec::new();
    for _ in 0..14 {
        sent.push(burst(&limits, WEIGHT, 20, Purpose::Fetch));
        advance(Duration::from_secs(10)).await;
    }
    // 100 in 10 s, 300 in a minute, and no more than 20 requests in two.
    assert_eq!(sent, [5, 5, 5, 0, 0, 0, 5, 0, 0, 0, 0, 0, 5, 5]);
    // The first one's window is the one that a limit without a time holds for, and that answers tell of.
    let used = Signs {
        used: vec![(Duration::from_secs(10), 175)],
        ..Signs::default()
    };
    advance(Duration::from_secs(240)).await;
    ask(&limits, WEIGHT, 200, &used).await;
    assert_eq!(
        burst(&limits, WEIGHT, 5, Purpose::Fetch),
        1,
        "of 180 that others leave us"
    );
    advance(Duration::from_secs(10)).await;
    let limited = ask(&limits, WEIGHT, 429, &ok()).await;
    let wait = Duration::from_secs(10);
    assert_eq!(limited, Some(FeedError::Limited { status: 429, wait }));
}

#[tokio::test(start_paused = true)]
async fn upbit_says_by_what_it_leaves_that_it_allows_less_than_we_think() {
    let limits = limits(Protocol::Upbit, 50);
    // A limit of three a second, of which this one was the first.
    ask(&limits, "orderbook", 200, &remaining("orderbook", 2)).await;
    assert_eq!(burst(&limits, "orderbook", 1, Purpose::Fetch), 1);
    advance(Duration::from_secs(1)).await;
    // And one of thirty.
    ask(&limits, "orderbook", 200, &remaining("orderbook", 29)).await;
    assert_eq!(burst(&limits, "orderbook", 1, Purpose::Fetch), 4);
}

#[tokio::test(start_paused = true)]
async fn f10_weight_used_by_others_behind_our_address_counts() {
    let limits = limits(Protocol::BinanceSpot, 50);
    let used = |used| Signs {
        used: vec![(Duration::from_secs(10), 9), (Duration::from_secs(60), used)],
        ..Signs::default()
    };
    ask(&limits, WEIGHT, 200, &used(5_390)).await;
    assert_eq!(burst(&limits, WEIGHT, 5, Purpose::Fetch), 2, "a tenth is kept free");
    advance(Duration::from_secs(59)).await;
    assert_eq!(burst(&limits, WEIGHT, 5, Purpose::Fetch), 0);
    advance(Duration::from_secs(1)).await;
    assert!(burst(&limits, WEIGHT, 5, Purpose::Fetch) > 500);
    // A minute later the venue counts from nothing.
    advance(Duration::from_secs(60)).await;
    ask(&limits, WEIGHT, 200, &used(1)).await;
    assert_eq!(burst(&limits, WEIGHT, 5, Purpose::Fetch), 599);
}

#[tokio::test(start_paused = true)]
async fn of_answers_that_overlapped_the_worse_one_holds() {
    let limits = limits(Protocol::Upbit, 100);
    let a = limits.try_acquire("orderbook", 1, Purpose::Fetch).expect("a permit");
    advance(Duration::from_millis(10)).await;
    let b = limits.try_acquire("orderbook", 1, Purpose::Fetch).expect("a permit");
    advance(Duration::from_millis(10)).await;
    b.heard(200, &remaining("orderbook", 0));
    drop(b);
    advance(Duration::from_millis(10)).await;
    a.heard(200, &remaining("orderbook", 9));
    drop(a);
    assert_eq!(burst(&limits, "orderbook", 1, Purpose::Fetch), 0);
}

#[tokio::test(start_paused = true)]
async fn f10_429_is_waited_out_and_without_a_time_longer_each_time() {
    let limits = limits(Protocol::BinanceSpot, 50);
    let told = |limited: Option<FeedError>| match limited {
        Some(FeedError::Limited { status: 429, wait }) => wait.as_secs(),
        other => panic!("{other:?}"),
    };
    let mut begun = Instant::now();
    for (signs, want) in [
        (ok(), 60),
        (ok(), 120),
        (wait(7), 7),
        (ok(), 480),
        (ok(), 960),
        (ok(), 1_800),
    ] {
        assert_eq!(told(ask(&limits, WEIGHT, 429, &signs).await), want);
        assert_eq!(
            limits.held(WEIGHT).and_then(|held| held.until),
            Some(Instant::now() + Duration::from_secs(want))
        );
        let permit = limits.acquire(WEIGHT, 1, Duration::from_secs(10_000)).await;
        assert_eq!(begun.elapsed().as_secs(), want, "the next goes when the wait is over");
        begun = Instant::now();
        drop(permit);
    }
    // One that is well starts over.
    assert_eq!(ask(&limits, WEIGHT, 200, &ok()).await, None);
    assert_eq!(told(ask(&limits, WEIGHT, 429, &ok()).await), 60);
}

#[tokio::test(start_paused = true)]
async fn f10_limit_answers_to_requests_sent_together_count_once() {
    let limits = limits(Protocol::Upbit, 100);
    let permits: Vec<_> = std::iter::from_fn(|| limits.try_acquire("trade", 1, Purpose::Fetch).ok()).collect();
    assert_eq!(permits.len(), 10);
    advance(Duration::from_millis(5)).await;
    let waits: Vec<_> = permits.iter().map(|permit| permit.heard(429, &ok())).collect();
    let second = Some(FeedError::Limited {
        status: 429,
        wait: Duration::from_secs(1),
    });
    assert!(waits.iter().all(|wait| *wait == second), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn f10_after_a_stop_one_goes_first_and_alone() {
    let limits = limits(Protocol::BinanceSpot, 50);
    ask(&limits, WEIGHT, 418, &wait(300)).await;
    assert_eq!(burst(&limits, WEIGHT, 1, Purpose::Fetch), 0);
    advance(Duration::from_secs(300)).await;
    let first = limits.try_acquire(WEIGHT, 1, Purpose::Fetch).expect("the first one");
    assert_eq!(
        limits.try_acquire("other", 1, Purpose::Fetch).map(|_| ()),
        Err(Held::ENDS)
    );
    // Its failure without an answer says nothing: again one alone.
    drop(first);
    let second = limits.try_acquire(WEIGHT, 1, Purpose::Fetch).expect("the second one");
    assert_eq!(burst(&limits, WEIGHT, 1, Purpose::Fetch), 0);
    second.heard(200, &ok());
    drop(second);
    assert!(burst(&limits, WEIGHT, 1, Purpose::Fetch) > 100);
}

#[tokio::test(start_paused = true)]
async fn f10_a_stop_without_a_time_lasts_longer_each_time() {
    let limits = limits(Protocol::Upbit, 100);
    let mut waits = Vec::new();
    for status in [418, 418, 403, 418, 418, 418] {
        match ask(&limits, "trade", status, &ok()).await {
            Some(FeedError::Limited { wait, .. }) => waits.push(wait.as_secs()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [120, 240, 480, 960, 1_800, 1_800]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_venue_that_names_a_time_is_left_alone_until_then() {
    let limits = limits(Protocol::Upbit, 100);
    assert_eq!(ask(&limits, "trade", 503, &wait(9)).await, None);
    let held = limits.held("trade").expect("a hold");
    assert_eq!(
        (held.status, held.until),
        (Some(503), Some(Instant::now() + Duration::from_secs(9)))
    );
    // In an answer that is well it says nothing.
    assert_eq!(ask(&limits, "ticker", 200, &wait(9)).await, None);
    assert_eq!(limits.held("ticker"), None);
}

#[tokio::test(start_paused = true)]
async fn acquire_waits_for_room_but_not_for_a_longer_ban() {
    let limits = limits(Protocol::Upbit, 10);
    let begun = Instant::now();
    let patience = Duration::from_secs(5);
    for _ in 0..4 {
        drop(limits.acquire("trade", 1, patience).await.expect("a permit"));
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    // No room at all within the patience.
    let kept = limits.acquire("trade", 1, patience).await.expect("a permit");
    let error = limits.acquire("trade", 1, patience).await.map(|_| ());
    assert_eq!(
        error,
        Err(FeedError::Timeout {
            what: "waiting for room in group trade".to_owned(),
            limit_ms: 5_000
        })
    );
    kept.heard(429, &wait(6));
    drop(kept);
    let begun = Instant::now();
    let error = limits.acquire("trade", 1, patience).await.map(|_| ());
    assert_eq!(
        error,
        Err(FeedError::Limited {
            status: 429,
            wait: Duration::from_secs(6)
        })
    );
    assert_eq!(begun.elapsed(), Duration::ZERO, "told at once");
    advance(Duration::from_secs(2)).await;
    assert!(
        limits.acquire("trade", 1, patience).await.is_ok(),
        "four more are waited for"
    );
}

/// What a test's venue answers, by the number of the request.
#[derive(Debug, Clone, Copy)]
enum Said {
    Well,
    Wait(u64),
    Banned(u64),
    Lost,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        12 => Just(Said::Well),
        1 => (0..5_u64).prop_map(Said::Wait),
        1 => (0..90_u64).prop_map(Said::Banned),
        2 => Just(Said::Lost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever asks, for whatever weight, with whatever answers after whatever delays: what arrives at the venue within
    /// any window is at most the share, and nothing is sent while the venue told us to wait.
    #[test]
    fn f10_no_window_at_the_venue_holds_more_than_the_share(
        spot in any::<bool>(),
        headroom in 1..=100_u8,
        tasks in prop::collection::vec(
            prop::collection::vec((0..300_u64, 0..300_u64, 1..60_u32, said()), 1..30),
            1..6,
        ),
    ) {
        let protocol = if spot { Protocol::BinanceSpot } else { Protocol::Upbit };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let (arrived, held) = runtime.block_on(async move {
            let limits = limits(protocol, headroom);
            let arrived: Arc<Mutex<Vec<(Instant, u32)>>> = Arc::default();
            let held: Arc<Mutex<Vec<(Instant, Instant)>>> = Arc::default();
            let mut running = tokio::task::JoinSet::new();
            for script in tasks {
                let (limits, arrived, held) = (Arc::clone(&limits), Arc::clone(&arrived), Arc::clone(&held));
                running.spawn(async move {
                    for (there, back, weight, said) in script {
                        let weight = if spot { weight * 5 } else { 1 };
                        let patience = Duration::from_secs(3_600);
                        let Ok(permit) = limits.acquire("group", weight, patience).await else { continue };
                        sleep(Duration::from_millis(there)).await;
                        arrived.lock().expect("no panic").push((Instant::now(), weight));
                        sleep(Duration::from_millis(back)).await;
                        let limited = match said {
                            Said::Well => permit.heard(200, &ok()),
                            Said::Wait(seconds) => permit.heard(429, &wait(seconds)),
                            Said::Banned(seconds) => permit.heard(418, &wait(seconds)),
                            Said::Lost => None,
                        };
                        if let Some(FeedError::Limited { wait, .. }) = limited {
                            let now = Instant::now();
                            held.lock().expect("no panic").push((now, now + wait));
                        }
                    }
                });
            }
            while let Some(done) = running.join_next().await {
                done.expect("no panic");
            }
            let arrived = arrived.lock().expect("no panic").clone();
            let held = held.lock().expect("no panic").clone();
            (arrived, held)
        });
        let rule = protocol.rule();
        let share = rule.limit * u32::from(headroom) / 100;
        for (i, (from, _)) in arrived.iter().enumerate() {
            let within = arrived[i..].iter().take_while(|(at, _)| *at < *from + rule.window);
            let weights: Vec<_> = within.map(|(_, weight)| *weight).collect();
            let sum = weights.iter().sum::<u32>();
            prop_assert!(sum <= share.max(1) || weights.len() == 1, "{sum} of {share}");
        }
        // What was under way when the wait was told may still arrive: none is longer under way than 300 ms.
        for (told, until) in held {
            let late = arrived.iter().find(|(at, _)| *at >= told + Duration::from_millis(300) && *at < until);
            prop_assert!(late.is_none(), "{late:?} in {told:?}..{until:?}");
        }
    }
}
