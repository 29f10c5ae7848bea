//! Connections whose end is known before: the next one is live before the old one is dropped.

use std::collections::BTreeSet;
use std::time::Duration;

use crossbook_feed::input::{Body, ConnId, LinkEvent};
use futures_util::SinkExt;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::venue::{BINANCE, BOOK, DEPTH, Server, UPBIT, World};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn f03_an_old_connection_is_replaced_without_a_gap() {
    let mut world = World::new(100_000);
    let aged = format!("{BINANCE}[timers]\nmax_age_ms = 60_000\noverlap_ms = 2_000");
    let mut venue = world.start(0, &aged, &["BTCUSDT"]);
    // The venue counts its seconds / 10; every socket of it says the same at the same time.
    let began = Instant::now();
    let now = move |_| {
        let tenth = (began.elapsed().as_millis() / 100).to_string();
        DEPTH.replace("}}", &format!(",\"u\":{tenth}}}}}"))
    };
    let talk = tokio::spawn(async move {
        let mut servers = Vec::new();
        for _ in 0..5 {
            let server = venue.accept().await;
            // Even tenths of a second, whenever it was accepted.
            let late = began.elapsed().as_millis() % 100;
            if late > 0 {
                sleep(MS * (100 - u32::try_from(late).unwrap())).await;
            }
            servers.push((Instant::now(), tokio::spawn(server.speak(MS * 100, now))));
        }
        (venue, servers)
    });

    let mut seen = BTreeSet::new();
    let (mut open, mut alive, mut replaced) = (None, BTreeSet::new(), 0);
    while replaced < 4 {
        match world.input().await.body {
            Body::Frame { conn, bytes, .. } => {
                assert!(alive.contains(&conn), "a frame of a connection that is not open");
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let tenth = text.split("\"u\":").nth(1).unwrap().trim_end_matches('}');
                seen.insert(tenth.parse::<u64>().unwrap());
            }
            Body::Link { conn, event } => match event {
                LinkEvent::Open { takes_over } => {
                    assert_eq!(takes_over, open);
                    alive.insert(conn);
                }
                LinkEvent::Live => open = Some(conn),
                LinkEvent::Closed { error } => {
                    assert_eq!(error, None);
                    assert!(open > Some(conn), "only after the next is live");
                    alive.remove(&conn);
                    replaced += 1;
                }
                LinkEvent::Failed { .. } => panic!("{event:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    let first = seen.first().unwrap();
    let last = seen.last().unwrap();
    assert_eq!(seen.len() as u64, last - first + 1, "no tenth of a second is missing");
    let (venue, servers) = talk.await.unwrap();
    for pair in servers.windows(2) {
        let age = pair[1].0 - pair[0].0;
        assert!(age >= MS * 60_000 && age <= MS * 60_200, "{age:?}");
    }
    assert_eq!(venue.counts().replaced, 4);
    assert_eq!(venue.counts().attempts, 5);
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f03_an_announced_shutdown_is_met_before_it_happens() {
    let spellings = [
        r#"{"e":"serverShutdown","E":1763700000000}"#,
        r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1763700000000}}"#,
    ];
    for text in spellings {
        let mut world = World::new(1_000);
        let mut venue = world.start(0, BINANCE, &["BTCUSDT"]);
        let mut old = venue.serve(DEPTH).await;
        let (first, _) = world.live().await;
        old.text(text).await;
        // Said twice: still one successor.
        old.text(text).await;
        assert_eq!(world.frame().await, (first, text.to_owned()), "handed on as well");
        world.frame().await;
        let mut new = venue.accept().await;
        assert_eq!(world.open().await.1, Some(first));
        old.text(DEPTH).await;
        assert_eq!(world.frame().await.0, first, "the old one serves meanwhile");
        new.text(DEPTH).await;
        let (second, _) = world.frame().await;
        assert_eq!(world.link().await, (second, LinkEvent::Live));
        let live = Instant::now();
        // The venue closes the old one before we do: planned all the same.
        drop(old);
        assert_eq!(world.closed().await, (first, None));
        assert!(live.elapsed() < MS * 2_000);
        tokio::spawn(new.drain());
        world.quiet(Duration::from_secs(120)).await;
        assert!(venue.idle());
        assert_eq!(venue.counts().connection, 0, "that was no failure");
        venue.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn f03_the_old_one_is_told_goodbye_after_the_overlap() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, &format!("{BINANCE}[timers]\nmax_age_ms = 5_000"), &["BTCUSDT"]);
    let mut old = venue.serve(DEPTH).await;
    let (first, _) = world.live().await;
    let _new = venue.serve(DEPTH).await;
    world.live().await;
    let live = Instant::now();
    match old.next().await {
        Some(Message::Close(Some(frame))) => assert_eq!(u16::from(frame.code), 1_000),
        other => panic!("expected a close frame, got {other:?}"),
    }
    assert_eq!(live.elapsed().as_secs(), 2);
    tokio::spawn(old.drain());
    assert_eq!(world.closed().await, (first, None));
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f03_while_the_next_one_fails_the_old_one_serves() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, &format!("{BINANCE}[timers]\nmax_age_ms = 90_000"), &["BTCUSDT"]);
    let old = venue.serve(DEPTH).await;
    let (first, _) = world.live().await;
    let old = tokio::spawn(old.speak(Duration::from_secs(10), |_| DEPTH.to_owned()));
    venue.refuse(2);
    let mut failures = 0;
    while failures < 2 {
        match world.input().await.body {
            Body::Frame { conn, .. } => assert_eq!(conn, first),
            Body::Link {
                event: LinkEvent::Failed { attempt, .. },
                ..
            } => {
                failures += 1;
                assert_eq!(attempt, failures);
            }
            other => panic!("{other:?}"),
        }
    }
    // The third opens, and is lost before it is live.
    drop(venue.accept().await);
    let (lost, takes_over) = world.open().await;
    assert_eq!(takes_over, Some(first));
    assert_eq!(world.closed().await.0, lost);
    // The fourth takes over.
    let _new = venue.serve(DEPTH).await;
    let takes_over = loop {
        match world.input().await.body {
            Body::Frame { conn, .. } => assert_eq!(conn, first),
            Body::Link {
                event: LinkEvent::Open { takes_over },
                ..
            } => break takes_over,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(takes_over, Some(first));
    venue.stop().await;
    old.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn f03_when_the_old_one_dies_first_the_next_one_just_serves() {
    let mut world = World::new(1_000);
    let mut venue = world.start(0, &format!("{BINANCE}[timers]\nmax_age_ms = 5_000"), &["BTCUSDT"]);
    let old = venue.serve(DEPTH).await;
    let (first, _) = world.live().await;
    // The next one is in its handshake when the old one is lost.
    let pipe = venue.pipe().await;
    drop(old);
    let (conn, error) = world.closed().await;
    assert_eq!((conn, error.unwrap().class()), (first, "connection"));
    let mut server = Server(tokio_tungstenite::accept_async(pipe).await.unwrap());
    server.text(DEPTH).await;
    let (second, takes_over) = world.live().await;
    assert!(second > first);
    assert_eq!(takes_over, None);
    sleep(MS * 2_000).await;
    assert!(venue.idle(), "one is enough");
    venue.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f03_a_close_frame_that_comes_unannounced_is_a_loss_and_is_answered() {
    for (code, reason) in [
        (CloseCode::Normal, ""),
        (CloseCode::Away, "restart"),
        (CloseCode::Policy, "slow"),
    ] {
        let mut world = World::new(1_000);
        let mut venue = world.start(0, UPBIT, &["KRW-BTC"]);
        let mut server = venue.serve(BOOK).await;
        let (first, _) = world.live().await;
        let close = CloseFrame {
            code,
            reason: reason.into(),
        };
        server.0.send(Message::Close(Some(close))).await.unwrap();
        assert!(matches!(server.next().await, Some(Message::Close(Some(frame))) if frame.code == code));
        let (conn, error) = world.closed().await;
        let error = error.unwrap();
        assert_eq!((conn, error.class()), (first, "connection"));
        assert!(error.to_string().contains(&u16::from(code).to_string()), "{error}");
        let _server = venue.serve(BOOK).await;
        assert_eq!(world.live().await, (ConnId(2), None));
        venue.stop().await;
    }
}
