//! Slow consumers and bursting venues: what happens when the queue is full.

use std::time::Duration;

use crossbook_feed::error::FeedError;
use crossbook_feed::input::{Body, LinkEvent};
use futures_util::SinkExt;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::venue::{BINANCE, BOOK, DEPTH, Server, UPBIT, Venue, World};

#[tokio::test(start_paused = true)]
async fn f08_through_a_pipe_of_four_bytes_everything_arrives_in_order() {
    let mut world = World::new(4);
    let mut venue = world.start_over(0, UPBIT, &["KRW-BTC"], 4, 0);
    let mut server = venue.serve(BOOK).await;
    let (conn, _) = world.live().await;
    let sender = tokio::spawn(async move {
        for number in 0..300 {
            server
                .text(&format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(number)))
                .await;
        }
        server
    });
    for number in 0..300 {
        let (from, text) = world.frame().await;
        assert_eq!(from, conn);
        assert!(text.starts_with(&format!(r#"{{"n":{number},"#)), "{number}: {text}");
    }
    drop(sender.await.unwrap());
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f08_a_consumer_that_stalls_for_30_seconds_loses_the_connection_and_is_told() {
    const QUEUE: usize = 10;
    let mut world = World::new(QUEUE);
    let mut venue = world.start_over(0, BINANCE, &["BTCUSDT"], 4 << 10, 0);
    let mut server = venue.serve(DEPTH).await;
    // The venue bursts: it sends until nobody takes it any more.
    let burst = tokio::spawn(async move {
        let mut sent = 1u64;
        while server.0.send(Message::text(DEPTH)).await.is_ok() {
            sent += 1;
        }
        (sent, Instant::now())
    });
    let began = Instant::now();
    sleep(Duration::from_secs(30)).await;
    let (sent, dropped) = burst.await.unwrap();
    assert_eq!((dropped - began).as_secs(), 2, "the socket goes after `overflow_ms`");
    assert!(venue.idle(), "nothing new is tried before the loss is told");
    let counts = venue.counts();
    assert!(
        sent > counts.frames,
        "the venue felt it: {sent} sent, {} read",
        counts.frames
    );

    // In order: what was queued, and then that the rest is lost.
    let (conn, _) = world.live().await;
    for _ in 0..QUEUE - 3 {
        world.frame().await;
    }
    assert_eq!(world.closed().await, (conn, Some(FeedError::Overflow(2_000))));
    let handed_on = 1 + QUEUE as u64 - 3;
    assert_eq!(
        counts.frames,
        handed_on + 1,
        "one frame waited outside of the queue, no more"
    );
    assert_eq!(counts.bytes, (handed_on + 1) * DEPTH.len() as u64);

    let _server = venue.serve(DEPTH).await;
    world.live().await;
    assert_eq!(venue.counts().overflow, 1);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f08_a_short_stall_loses_nothing_and_the_venue_is_not_blamed_for_it() {
    let mut world = World::new(3);
    let timers = "[timers]\nping_ms = 1_000\npong_ms = 500\nidle_ms = 2_000\noverflow_ms = 8_000";
    let mut venue = world.start_over(0, &format!("{BINANCE}{timers}"), &["BTCUSDT"], 4 << 10, 0);
    let server = venue.serve(DEPTH).await;
    let (conn, _) = world.live().await;
    let talk = tokio::spawn(server.speak(Duration::from_millis(10), |number| {
        DEPTH.replace("depthUpdate", &format!("depthUpdate\",\"n\":\"{number}"))
    }));
    for number in 0..3_000u64 {
        if number % 1_000 == 500 {
            // Longer than every timer but `overflow_ms`.
            sleep(Duration::from_secs(7)).await;
        }
        let (from, text) = world.frame().await;
        assert_eq!(from, conn);
        assert!(text.contains(&format!("\"n\":\"{number}\"")), "{number}: {text}");
    }
    talk.abort();
    assert_eq!(venue.counts().attempts, 1);
    venue.stop().await;
}

/// A stall of the consumer that is longer than every timer but `overflow_ms`.
const STALL: Duration = Duration::from_secs(7);

/// A client of these markets whose timers are these, and `overflow_ms` longer than [`STALL`].
fn patient(world: &World, timers: &str, markets: &[&str]) -> Venue {
    let text = format!("{BINANCE}[timers]\n{timers}\noverflow_ms = 8_000");
    world.start_over(0, &text, markets, 4 << 10, 0)
}

#[tokio::test(start_paused = true)]
async fn f08_a_short_stall_is_no_silence_of_the_venue() {
    let mut world = World::new(3);
    let mut venue = patient(&world, "ping_ms = 0\nidle_ms = 2_000", &["BTCUSDT"]);
    let mut server = venue.serve(DEPTH).await;
    let (conn, _) = world.live().await;
    // The fourth finds no room.
    for _ in 0..4 {
        server.text(DEPTH).await;
    }
    sleep(STALL).await;
    for _ in 0..4 {
        assert_eq!(world.frame().await.0, conn);
    }
    // Silence counts from when there was room: not yet two seconds, and then two.
    world.quiet(Duration::from_millis(1_900)).await;
    server.text(DEPTH).await;
    assert_eq!(world.frame().await.0, conn);
    let began = Instant::now();
    let what = "any frame".to_owned();
    let limit_ms = 2_000;
    assert_eq!(
        world.closed().await,
        (conn, Some(FeedError::Timeout { what, limit_ms }))
    );
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f08_a_short_stall_makes_no_pong_late() {
    let mut world = World::new(3);
    let mut venue = patient(&world, "ping_ms = 1_000\npong_ms = 500\nidle_ms = 60_000", &["BTCUSDT"]);
    let mut server = venue.serve(DEPTH).await;
    let (conn, _) = world.live().await;
    // Our first ping is at the venue, which has not read it yet.
    sleep(Duration::from_millis(1_100)).await;
    for _ in 0..4 {
        server.text(DEPTH).await;
    }
    sleep(STALL).await;
    for _ in 0..4 {
        assert_eq!(world.frame().await.0, conn);
    }
    world.quiet(Duration::from_millis(300)).await;
    assert_eq!(venue.counts().pongs, 0);
    let answers = tokio::spawn(server.drain());
    world.quiet(Duration::from_secs(5)).await;
    assert!(venue.counts().pongs >= 5);
    assert_eq!(venue.counts().attempts, 1);
    answers.abort();
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f08_a_short_stall_makes_no_first_data_late() {
    let mut world = World::new(1);
    let mut venue = patient(&world, "first_data_ms = 2_000", &["BTCUSDT", "ETHUSDT"]);
    let mut server = venue.serve(DEPTH).await;
    // The opening has the only place in the queue, the first stream's data wait.
    sleep(STALL).await;
    let (conn, _) = world.open().await;
    assert_eq!(world.frame().await.0, conn);
    world.quiet(Duration::from_millis(1_900)).await;
    server.text(&DEPTH.replace("btcusdt", "ethusdt")).await;
    assert_eq!(world.frame().await.0, conn);
    assert_eq!(world.link().await, (conn, LinkEvent::Live));
    assert_eq!(venue.counts().attempts, 1);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f08_a_stop_gets_through_though_nobody_reads() {
    for wait in [1, 20] {
        // While it waits for room, and while the loss waits to be told.
        let mut world = World::new(4);
        let mut venue = world.start_over(0, BINANCE, &["BTCUSDT"], 4 << 10, 0);
        let mut server = venue.serve(DEPTH).await;
        tokio::spawn(async move { while server.0.send(Message::text(DEPTH)).await.is_ok() {} });
        sleep(Duration::from_secs(wait)).await;
        venue.stop().await;
        world.live().await;
    }
}

#[tokio::test(start_paused = true)]
async fn f08_failures_wait_for_room_without_piling_up() {
    let mut world = World::new(1);
    let venue = world.start_over(0, UPBIT, &["KRW-BTC"], 64, 1_000);
    sleep(Duration::from_secs(3_600)).await;
    let tried = venue.counts().attempts;
    assert!(tried <= 3, "{tried} attempts while nobody listens");
    for want in 1..=10 {
        assert_eq!(world.failed().await.0, want, "all are told, in order");
    }
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f08_one_connection_that_waits_for_room_does_not_keep_the_next_from_being_made() {
    let mut world = World::new(1_000);
    let aged = format!("{BINANCE}[timers]\nmax_age_ms = 5_000\noverflow_ms = 60_000");
    let mut venue = world.start(0, &aged, &["BTCUSDT"]);
    let mut old = venue.serve(DEPTH).await;
    let (first, _) = world.live().await;
    let pipe = venue.pipe().await;
    // While the next one is in its handshake the old one fills the queue.
    tokio::spawn(async move {
        for _ in 0..3_000 {
            old.text(DEPTH).await;
        }
        old.drain().await;
    });
    sleep(Duration::from_secs(5)).await;
    let mut new = Server(accept_async(pipe).await.unwrap());
    new.text(DEPTH).await;
    let mut replaced = false;
    let mut frames = 0;
    while !replaced {
        match world.input().await.body {
            Body::Frame { .. } => frames += 1,
            Body::Link { conn, event } => match event {
                LinkEvent::Closed { error } => {
                    assert_eq!((conn, error), (first, None));
                    replaced = true;
                }
                LinkEvent::Open { takes_over } => assert_eq!(takes_over, Some(first)),
                LinkEvent::Live => {}
                LinkEvent::Failed { .. } => panic!("{event:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(frames, 3_001);
    venue.stop().await;
}
