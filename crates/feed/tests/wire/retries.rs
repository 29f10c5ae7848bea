//! Failures in a row: how long is waited, who is told, and who is left alone.

use std::time::Duration;

use crossbook_feed::error::FeedError;
use crossbook_feed::input::{Body, LinkEvent};
use tokio::time::{Instant, sleep};

use crate::venue::{BINANCE, BOOK, DEPTH, UPBIT, World};

/// The step of the backoff after so many failures.
fn step(failures: u32) -> Duration {
    Duration::from_secs((1 << (failures - 1).min(5)).min(30))
}

/// Whether a wait fits its step: never below, and above by no more than a quarter (and the milliseconds of a handshake).
fn fits(wait: Duration, failures: u32) -> bool {
    let step = step(failures);
    wait >= step && wait <= step + step / 4 + Duration::from_millis(5)
}

#[tokio::test(start_paused = true)]
async fn f04_after_50_refusals_it_connects_and_the_other_venue_never_notices() {
    let mut world = World::new(10_000);
    let mut other = world.start(1, BINANCE, &["BTCUSDT"]);
    let speaks = other.serve(DEPTH).await;
    world.live().await;
    let speaker = tokio::spawn(speaks.speak(Duration::from_secs(10), |_| DEPTH.to_owned()));

    let mut venue = world.start_over(0, UPBIT, &["KRW-BTC"], 1_024, 50);
    let (mut failures, mut frames) = (0, 0);
    while failures < 50 {
        let input = world.input().await;
        match (input.venue.0, input.body) {
            (
                0,
                Body::Link {
                    event:
                        LinkEvent::Failed {
                            attempt,
                            error,
                            retry_ms,
                        },
                    ..
                },
            ) => {
                failures += 1;
                assert_eq!(attempt, failures);
                assert_eq!(error.class(), "connection");
                assert!(fits(Duration::from_millis(retry_ms + 1), attempt), "{retry_ms} ms");
            }
            (1, Body::Frame { .. }) => frames += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(frames > 100, "the other venue went on: {frames} frames");
    assert_eq!(other.counts().connection, 0);
    assert_eq!(other.counts().attempts, 1);

    let times = venue.times();
    for (failures, pair) in (1..).zip(times.windows(2)) {
        assert!(fits(pair[1] - pair[0], failures), "{failures}: {:?}", pair[1] - pair[0]);
    }
    let _server = venue.serve(BOOK).await;
    let counts = venue.counts();
    assert_eq!((counts.attempts, counts.connection), (51, 50));
    venue.stop().await;
    other.stop().await;
    assert!(speaker.await.unwrap() >= frames);
}

#[tokio::test(start_paused = true)]
async fn f04_a_venue_that_does_not_speak_tls_is_a_failure() {
    let mut world = World::new(100);
    let wss = format!("{UPBIT}ws_url = 'wss://venue'");
    let mut venue = world.start(0, &wss, &["KRW-BTC"]);
    for attempt in 1..=3 {
        let mut pipe = venue.pipe().await;
        tokio::io::AsyncWriteExt::write_all(&mut pipe, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let (told, error, _) = world.failed().await;
        assert_eq!((told, error.class()), (attempt, "connection"), "{error}");
    }
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f05_a_flapping_connection_resets_nothing_until_it_was_stable_for_a_minute() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let mut ended = Instant::now();
    for flap in 1..=100 {
        let server = venue.serve(BOOK).await;
        if flap > 1 {
            let wait = *venue.times().last().unwrap() - ended;
            assert!(fits(wait, flap - 1), "flap {flap}: {wait:?}");
        }
        world.live().await;
        sleep(Duration::from_secs(5)).await;
        drop(server);
        assert_eq!(world.closed().await.1.unwrap().class(), "connection");
        ended = Instant::now();
    }

    // It lives a minute, answering pings: the next failure is the first again.
    let server = venue.serve(BOOK).await;
    assert!(fits(*venue.times().last().unwrap() - ended, 100));
    world.live().await;
    let drain = tokio::spawn(server.drain());
    sleep(Duration::from_secs(61)).await;
    drain.abort();
    world.closed().await;
    ended = Instant::now();
    let _server = venue.serve(BOOK).await;
    assert!(fits(*venue.times().last().unwrap() - ended, 1));
    assert_eq!(venue.counts().attempts, 102);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f10_a_venue_that_says_wait_is_left_alone_by_all_its_sockets() {
    let mut world = World::new(1_000);
    let two = format!("{UPBIT}markets_per_socket = 1\n[rest]\nbanned_ms = 90_000");
    let cases = [
        ("429 Too Many Requests", "Retry-After: 17\r\n", 17),
        ("418 I'm a teapot", "retry-after: 300\r\n", 300),
        ("403 Forbidden", "", 90),
        ("418 I'm a teapot", "", 90),
        ("429 Too Many Requests", "", 30),
    ];
    for (status, header, seconds) in cases {
        let mut venue = world.start(0, &two, &["KRW-BTC", "KRW-ETH"]);
        let _first = venue.pipe().await;
        venue
            .answer(&format!("HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\n\r\n"))
            .await;
        let (_, error, retry_ms) = world.failed().await;
        let told = Instant::now();
        let want = Duration::from_secs(seconds);
        assert!(
            matches!(&error, FeedError::Limited { wait, .. } if *wait == want),
            "{status}: {error}"
        );
        assert!(u128::from(retry_ms) >= want.as_millis());
        // The other socket's handshake never ends; it would have tried again long before.
        world.failed().await;
        let _again = venue.pipe().await;
        assert!(told.elapsed() >= want, "{status}: {:?}", told.elapsed());
        let limited: u64 = venue.counters.iter().map(|counters| counters.read().limited).sum();
        assert_eq!(limited, 1);
        venue.stop().await;
        while world.inputs.try_recv().is_ok() {}
    }
}

#[tokio::test(start_paused = true)]
async fn f10_many_sockets_stay_under_the_venues_limit_of_connections() {
    let mut world = World::new(10_000);
    let many = format!("{UPBIT}markets_per_socket = 1");
    let names: Vec<String> = (0..40).map(|n| format!("KRW-C{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let venue = world.start_over(0, &many, &names, 64, 200);
    for _ in 0..200 {
        world.failed().await;
    }
    let times = venue.times();
    assert!(times.len() >= 200);
    for pair in times.windows(3) {
        assert!(
            pair[2] - pair[0] >= Duration::from_secs(1),
            "half of five a second: {pair:?}"
        );
    }
    venue.stop().await;
}
