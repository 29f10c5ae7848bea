//! Connections that end where they should not: at every byte, and in every state.

use std::time::Duration;

use crossbook_feed::error::FeedError;
use crossbook_feed::input::{Body, Command, LinkEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::venue::{BINANCE, BOOK, DEPTH, UPBIT, World};

/// Three messages as bytes on the wire: text, binary, and one in two fragments; after how many bytes each of them is
/// whole. (No ping among them: when the peer is gone the pong fails, and what was sent behind the ping is lost with it.)
fn script() -> (Vec<u8>, [(usize, &'static str); 3]) {
    let mut bytes = Vec::new();
    let mut frame = |first: u8, payload: &str| {
        bytes.push(first);
        bytes.push(u8::try_from(payload.len()).unwrap());
        bytes.extend_from_slice(payload.as_bytes());
        bytes.len()
    };
    let one = frame(0x81, BOOK);
    let two = frame(0x82, r#"{"n":2}"#);
    frame(0x01, r#"{"n":"#);
    let three = frame(0x80, "3}");
    (bytes, [(one, BOOK), (two, r#"{"n":2}"#), (three, r#"{"n":3}"#)])
}

#[tokio::test(start_paused = true)]
async fn f01_half_a_frame_is_never_handed_on_wherever_the_connection_is_cut() {
    let (bytes, whole) = script();
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    for cut in 0..=bytes.len() {
        let mut server = venue.accept().await;
        assert!(server.subscription().await.contains("KRW-BTC"), "subscribed again");
        let mut pipe = server.raw();
        pipe.write_all(&bytes[..cut]).await.unwrap();
        drop(pipe);

        let (conn, _) = world.open().await;
        let expected = whole.iter().filter(|(end, _)| *end <= cut);
        for (index, (_, text)) in expected.enumerate() {
            assert_eq!(world.frame().await, (conn, (*text).to_owned()), "cut at {cut}");
            if index == 0 {
                assert_eq!(world.link().await, (conn, LinkEvent::Live));
            }
        }
        let (ended, error) = world.closed().await;
        assert_eq!(ended, conn, "cut at {cut}");
        assert_eq!(error.unwrap().class(), "connection", "cut at {cut}");
    }
    let handed_on: usize = whole.iter().map(|(end, _)| bytes.len() + 1 - end).sum();
    assert_eq!(venue.counts().frames, handed_on as u64);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_cut_at_every_byte_of_the_handshake_is_a_failure_and_is_tried_again() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    for cut in 0..=answer.len() {
        venue.answer(&answer[..cut]).await;
        let (attempt, error, _) = world.failed().await;
        assert_eq!(attempt as usize, cut + 1);
        assert!(
            ["connection", "protocol"].contains(&error.class()),
            "cut at {cut}: {error}"
        );
    }
    let _server = venue.serve(BOOK).await;
    world.live().await;
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_drop_before_the_handshake_or_one_that_never_answers_is_tried_again() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    drop(venue.pipe().await);
    assert_eq!(world.failed().await.1.class(), "connection");

    let held = venue.pipe().await;
    let began = Instant::now();
    let (attempt, error, _) = world.failed().await;
    assert_eq!(attempt, 2);
    assert_eq!(error.to_string(), "timeout: connect took longer than 10000 ms");
    assert!(began.elapsed() >= Duration::from_secs(10));
    drop(held);

    let _server = venue.serve(BOOK).await;
    world.live().await;
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_drop_after_subscribing_and_before_first_data_is_tried_again() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let mut server = venue.accept().await;
    server.subscription().await;
    drop(server);
    let (first, _) = world.open().await;
    let (conn, error) = world.closed().await;
    assert_eq!((conn, error.unwrap().class()), (first, "connection"));

    let _server = venue.serve(BOOK).await;
    let (second, takes_over) = world.live().await;
    assert!(second > first && takes_over.is_none());
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_drop_in_the_middle_of_the_subscription_is_tried_again() {
    let mut world = World::new(1_000);
    // Of a pipe of 64 bytes the venue takes 3 bytes of the subscription.
    let mut venue = world.start_over(0, UPBIT, &["KRW-BTC"], 64, 0);
    let mut pipe = venue.accept().await.raw();
    pipe.read_exact(&mut [0; 3]).await.unwrap();
    drop(pipe);
    world.open().await;
    assert_eq!(world.closed().await.1.unwrap().class(), "connection");

    let _server = venue.serve(BOOK).await;
    world.live().await;
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_command_during_backoff_neither_hurries_nor_harms() {
    let mut world = World::new(1_000);
    let mut venue = world.start_over(0, UPBIT, &["KRW-BTC"], 1_024, 1);
    let (_, _, retry_ms) = world.failed().await;
    let began = Instant::now();
    for conn in [1, 2, 99] {
        venue.command(Command::Reconnect {
            conn: crossbook_feed::input::ConnId(conn),
            error: FeedError::Protocol("too late".to_owned()),
        });
    }
    let _server = venue.serve(BOOK).await;
    assert!(began.elapsed() >= Duration::from_millis(retry_ms));
    world.live().await;
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f06_a_stop_is_clean_in_every_state() {
    // While it waits to try again.
    let mut world = World::new(1_000);
    let venue = world.start_over(0, UPBIT, &["KRW-BTC"], 1_024, 1);
    world.failed().await;
    venue.stop().await;

    // In the middle of the handshake.
    let world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let _pipe = venue.pipe().await;
    venue.stop().await;

    // Before first data, with a venue that does not answer the close frame.
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let _server = venue.accept().await;
    world.open().await;
    venue.stop().await;
    assert_eq!(world.closed().await.1, None);

    // Live: the venue is told.
    let mut world = World::new(1_000);
    let mut venue = world.start(0, BINANCE, &["BTCUSDT"]);
    let mut server = venue.serve(DEPTH).await;
    world.live().await;
    let stop = tokio::spawn(venue.stop());
    match server.next().await {
        Some(tokio_tungstenite::tungstenite::Message::Close(Some(frame))) => assert_eq!(u16::from(frame.code), 1_000),
        other => panic!("expected a close frame, got {other:?}"),
    }
    server.drain().await;
    stop.await.unwrap();
    assert_eq!(world.closed().await.1, None);

    // When nobody reads what comes in.
    let mut world = World::new(1_000);
    let mut venue = world.start(0, BINANCE, &["BTCUSDT"]);
    let mut server = venue.serve(DEPTH).await;
    world.live().await;
    world.inputs.close();
    server.text(DEPTH).await;
    sleep(Duration::from_secs(120)).await;
    assert!(venue.idle(), "nothing is connected for nobody");
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f13_a_connection_is_made_anew_on_command() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, BINANCE, &["BTCUSDT"]);
    let _server = venue.serve(DEPTH).await;
    let (conn, _) = world.live().await;
    let error = FeedError::Protocol("update 7 does not follow 5".to_owned());
    venue.command(Command::Reconnect {
        conn,
        error: error.clone(),
    });
    assert_eq!(world.closed().await, (conn, Some(error)));
    let _server = venue.serve(DEPTH).await;
    assert_eq!(world.live().await.1, None);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn frames_are_stamped_when_they_are_read_and_keep_their_kind() {
    let mut world = World::new(1_000);
    let mut venue = world.start(3, UPBIT, &["KRW-BTC"]);
    let mut server = venue.accept().await;
    server.subscription().await;
    sleep(Duration::from_millis(1_500)).await;
    server.binary(BOOK).await;
    let opened = world.input().await;
    let frame = world.input().await;
    assert_eq!(frame.venue.0, 3);
    assert_eq!(frame.stamp.mono_ns - opened.stamp.mono_ns, 1_500_000_000);
    assert_eq!(frame.stamp.ts.0 - opened.stamp.ts.0, 1_500_000_000);
    assert!(matches!(frame.body, Body::Frame { binary: true, .. }));
    assert!(matches!(world.link().await.1, LinkEvent::Live));
    server.text("{}").await;
    assert!(matches!(world.input().await.body, Body::Frame { binary: false, .. }));
    venue.stop().await;
}
