//! Frames as they may come: binary, in fragments, too large, no text, too many pings.

use std::time::Duration;

use crossbook_feed::input::{Body, LinkEvent};
use futures_util::SinkExt;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use crate::venue::{BINANCE, BOOK, DEPTH, UPBIT, World};

/// A frame as a server sends it: first byte, length, payload.
fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test(start_paused = true)]
async fn f09_binary_text_and_fragments_with_a_ping_between_are_one_and_the_same() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    let mut server = venue.accept().await;
    server.subscription().await;
    let mut pipe = server.raw();
    let (head, tail) = BOOK.as_bytes().split_at(9);
    let mut bytes = raw(0x82, BOOK.as_bytes());
    for part in [
        raw(0x81, BOOK.as_bytes()),
        raw(0x01, head),
        raw(0x89, b"between"),
        raw(0x80, tail),
        raw(0x02, b""),
        raw(0x00, head),
        raw(0x8a, b""),
        raw(0x00, b""),
        raw(0x80, tail),
    ] {
        bytes.extend_from_slice(&part);
    }
    pipe.write_all(&bytes).await.unwrap();
    world.open().await;
    let mut kinds = Vec::new();
    while kinds.len() < 4 {
        match world.input().await.body {
            Body::Frame { binary, bytes, .. } => {
                assert_eq!(bytes, BOOK.as_bytes());
                kinds.push(binary);
            }
            Body::Link {
                event: LinkEvent::Live, ..
            } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds, [true, false, false, true]);
    assert_eq!((venue.counts().pings, venue.counts().pongs), (1, 1));
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f09_what_is_no_frame_of_the_protocol_is_refused_and_counted() {
    let ten_megabytes = 10 << 20;
    let mut huge = vec![0x81, 127];
    huge.extend_from_slice(&(ten_megabytes as u64).to_be_bytes());
    let mut fragments = raw(0x02, &vec![b' '; 3 << 20]);
    fragments.extend_from_slice(&raw(0x00, &vec![b' '; 3 << 20]));
    let cases: [(&str, Vec<u8>); 8] = [
        ("10 MB, refused by its length", huge),
        ("fragments that are too large together", fragments),
        ("text that is no UTF-8", raw(0x81, b"{\"a\":\"\xff\"}")),
        ("a reserved kind", raw(0x83, b"x")),
        ("reserved bits", raw(0xc1, b"x")),
        ("a fragment of nothing", raw(0x80, b"x")),
        ("a ping that is too long", raw(0x89, &[b'x'; 126])),
        ("a masked frame", vec![0x81, 0x81, 1, 2, 3, 4, 5]),
    ];
    let mut world = World::new(1_000);
    let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
    for (count, (what, bytes)) in (1..).zip(cases) {
        let server = venue.serve(BOOK).await;
        world.live().await;
        let mut pipe = server.raw();
        let writer = tokio::spawn(async move {
            let _ = pipe.write_all(&bytes).await;
            pipe
        });
        let error = world.closed().await.1.unwrap();
        assert_eq!(error.class(), "protocol", "{what}: {error}");
        assert_eq!(venue.counts().protocol, count, "{what}");
        drop(writer.await.unwrap());
    }
    assert_eq!(venue.counts().frames, 8, "none of them was handed on");
    let _server = venue.serve(BOOK).await;
    world.live().await;
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f09_a_frame_of_the_largest_size_is_taken() {
    let mut world = World::new(1_000);
    let mut venue = world.start(
        0,
        &format!("{BINANCE}[timers]\nmax_frame_bytes = 100_000"),
        &["BTCUSDT"],
    );
    let mut server = venue.serve(DEPTH).await;
    world.live().await;
    let largest = " ".repeat(100_000);
    server.text(&largest).await;
    assert_eq!(world.frame().await.1, largest);
    // The client is gone before it has taken all of it.
    let _ = server.0.send(Message::text(" ".repeat(100_001))).await;
    assert_eq!(world.closed().await.1.unwrap().class(), "protocol");
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f09_a_flood_of_pings_is_refused_and_costs_no_memory() {
    let mut world = World::new(1_000);
    let mut venue = world.start_over(0, BINANCE, &["BTCUSDT"], 256, 0);
    let mut server = venue.serve(DEPTH).await;
    world.live().await;
    // One a second is fine, for ever.
    for _ in 0..120 {
        sleep(Duration::from_secs(1)).await;
        server.0.send(Message::Ping(vec![1; 100].into())).await.unwrap();
        assert!(matches!(server.next().await, Some(Message::Pong(_) | Message::Ping(_))));
    }
    // It floods, and reads no pong.
    let mut pipe = server.raw();
    let flood = tokio::spawn(async move {
        let ping = raw(0x89, &[7; 125]);
        let mut sent = 0;
        while pipe.write_all(&ping).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let error = world.closed().await.1.unwrap();
    assert_eq!(error.to_string(), "protocol: more than 50 pings in a second");
    assert!(flood.await.unwrap() < 60);
    assert!((170..=175).contains(&venue.counts().pings), "{}", venue.counts().pings);
    venue.stop().await;
}
