//! Silence, pings, deadlines: what is waited for, for how long, and by which clock.

use std::time::Duration;

use crossbook_feed::error::FeedError;
use crossbook_feed::input::{Body, LinkEvent};
use futures_util::SinkExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::venue::{BINANCE, BOOK, DEPTH, UPBIT, World};

const HOUR: Duration = Duration::from_secs(3_600);

fn timeout_of(error: Option<FeedError>) -> (String, u64) {
    match error {
        Some(FeedError::Timeout { what, limit_ms }) => (what, limit_ms),
        other => panic!("expected a timeout, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn f02_a_peer_silent_for_an_hour_is_found_and_left_again_and_again() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let began = Instant::now();
    let mut held = Vec::new();
    while began.elapsed() < HOUR {
        // It speaks once, and then neither speaks nor answers, with the socket open.
        held.push(venue.serve(BOOK).await);
        let (conn, _) = world.live().await;
        let live = Instant::now();
        let (ended, error) = world.closed().await;
        assert_eq!((ended, timeout_of(error)), (conn, ("pong".to_owned(), 10_000)));
        assert_eq!(live.elapsed().as_secs(), 25, "ping after 15 s, 10 s for its pong");
    }
    let most = 3_600 / (25 + 1) + 1;
    assert!(held.len() > 3_600 / (25 + 38) && held.len() <= most, "{}", held.len());
    assert_eq!(venue.counts().timeout, held.len() as u64);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f02_without_pings_of_ours_silence_ends_at_the_idle_limit() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, &format!("{UPBIT}[timers]\nping_ms = 0"), &["KRW-BTC"]);
    let _server = venue.serve(BOOK).await;
    world.live().await;
    let live = Instant::now();
    assert_eq!(timeout_of(world.closed().await.1), ("any frame".to_owned(), 60_000));
    assert_eq!(live.elapsed().as_secs(), 60);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f02_our_pings_keep_a_socket_without_data_open_for_an_hour() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let mut server = venue.serve(BOOK).await;
    world.live().await;
    let began = Instant::now();
    let mut last = began;
    while began.elapsed() < HOUR {
        match server.next().await {
            Some(Message::Ping(_)) => {
                assert!(last.elapsed() < Duration::from_secs(120), "Upbit would have closed it");
                last = Instant::now();
            }
            other => panic!("expected a ping, got {other:?}"),
        }
    }
    assert!(world.inputs.is_empty(), "nothing is said about it");
    assert_eq!(venue.counts().pongs, 239, "all but that to the last ping");
    drop(server);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f02_the_venues_pings_are_answered_at_once_with_their_payload_and_prove_life() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, &format!("{BINANCE}[timers]\nping_ms = 0"), &["BTCUSDT"]);
    let mut server = venue.serve(DEPTH).await;
    world.live().await;
    for number in 0..180u8 {
        sleep(Duration::from_secs(20)).await;
        let sent = Instant::now();
        server.0.send(Message::Ping(vec![number, 7].into())).await.unwrap();
        match server.next().await {
            Some(Message::Pong(payload)) => assert_eq!(payload[..], [number, 7]),
            other => panic!("expected a pong, got {other:?}"),
        }
        assert_eq!(sent.elapsed(), Duration::ZERO, "though nothing else is sent");
    }
    assert!(world.inputs.is_empty());
    assert_eq!(venue.counts().pings, 180);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f07_a_stream_that_stays_silent_is_named_and_after_three_times_not_waited_for() {
    let two = "name = 'upbit'\nprotocol = 'upbit'\nstreams = ['book', 'trade']\n";
    let mut world = World::new(1_000);
    let mut venue = world.start(0, two, &["KRW-BTC"]);
    for _ in 0..3 {
        let _server = venue.serve(BOOK).await;
        let opened = Instant::now();
        let (conn, _) = world.open().await;
        assert_eq!(world.frame().await.0, conn);
        let (ended, error) = world.closed().await;
        assert_eq!(ended, conn);
        assert_eq!(timeout_of(error), ("first data of trade KRW-BTC".to_owned(), 10_000));
        assert_eq!(opened.elapsed().as_secs(), 10);
    }
    assert_eq!(venue.counts().unheard, 1);
    let _server = venue.serve(BOOK).await;
    world.live().await;
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f07_when_nobody_speaks_everybody_is_waited_for_for_ever() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC", "KRW-ETH"]);
    for _ in 0..10 {
        let mut server = venue.accept().await;
        server.text(r#"{"status":"UP"}"#).await;
        world.open().await;
        world.frame().await;
        let (what, _) = timeout_of(world.closed().await.1);
        assert_eq!(what, "first data of orderbook KRW-BTC and 1 more");
    }
    assert_eq!(venue.counts().unheard, 0);
    assert_eq!(venue.counts().live, 0);
    let mut server = venue.serve(BOOK).await;
    world.open().await;
    world.frame().await;
    sleep(Duration::from_secs(9)).await;
    assert!(world.inputs.is_empty(), "not live with one of two");
    server.text(&BOOK.replace("BTC", "ETH")).await;
    world.frame().await;
    assert_eq!(world.link().await.1, LinkEvent::Live);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f07_an_error_object_in_place_of_data_ends_the_connection_at_once() {
    let mut world = World::new(1_000);
    let refusal = r#"{"error":{"name":"WRONG_FORMAT","message":"no such type"}}"#;
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let mut server = venue.accept().await;
    server.text(refusal).await;
    let opened = Instant::now();
    world.open().await;
    assert_eq!(world.frame().await.1, refusal, "it is handed on as well");
    let error = world.closed().await.1.unwrap();
    assert_eq!(error.class(), "protocol");
    assert!(error.to_string().contains("WRONG_FORMAT"), "{error}");
    assert_eq!(opened.elapsed(), Duration::ZERO);
    let _server = venue.serve(BOOK).await;
    world.live().await;
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f07_streams_that_may_be_silent_are_not_waited_for() {
    let mut world = World::new(1_000);
    let trades = "name = 'binance'\nprotocol = 'binance-spot'\nstreams = ['trade']\n";
    let mut venue = world.start(0, trades, &["BTCUSDT"]);
    let server = venue.accept().await;
    world.open().await;
    assert_eq!(world.link().await.1, LinkEvent::Live);
    let drain = tokio::spawn(server.drain());
    world.quiet(Duration::from_secs(600)).await;
    drain.abort();
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f09_pongs_that_never_come_end_a_connection_even_while_data_flow() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, BINANCE, &["BTCUSDT"]);
    let mut server = venue.serve(DEPTH).await;
    world.live().await;
    let live = Instant::now();
    let speaker = tokio::spawn(async move {
        // It does not read, so it answers no ping.
        while server.0.send(Message::text(DEPTH)).await.is_ok() {
            let other = Message::Pong(b"not ours".to_vec().into());
            let _ = server.0.send(other).await;
            sleep(Duration::from_millis(10)).await;
        }
    });
    let error = loop {
        match world.input().await.body {
            Body::Frame { .. } => {}
            Body::Link {
                event: LinkEvent::Closed { error },
                ..
            } => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(timeout_of(error), ("pong".to_owned(), 10_000));
    assert_eq!(live.elapsed().as_secs(), 25);
    speaker.await.unwrap();
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f32_timers_do_not_care_for_steps_of_the_wall_clock_and_stamps_never_go_back() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let mut server = venue.serve(BOOK).await;
    world.live().await;
    let live = Instant::now();
    let mut last = world.clock.now().ts;
    for step in [HOUR_NS, -HOUR_NS, -HOUR_NS, HOUR_NS, -3 * HOUR_NS] {
        sleep(Duration::from_secs(2)).await;
        world.clock.step_wall(step);
        server.text(BOOK).await;
        let stamp = world.input().await.stamp;
        assert!(stamp.ts >= last, "{stamp:?} after {last:?}");
        last = stamp.ts;
    }
    // The first ping at 15 s and its pong at 25 s, as if nothing had been.
    assert_eq!(timeout_of(world.closed().await.1), ("pong".to_owned(), 10_000));
    assert_eq!(live.elapsed().as_secs(), 25);
    world.clock.step_wall(24 * HOUR_NS);
    let ended = Instant::now();
    let pipe = timeout(Duration::from_secs(2), venue.pipe()).await;
    assert!(pipe.is_ok() && ended.elapsed() >= Duration::from_secs(1));
    venue.stop().await;
}
