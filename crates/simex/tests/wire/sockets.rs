//! How sockets live and end: heartbeats, idle limits, message limits, slow clients.

use std::time::Duration;

use crossbook_simex::exchange::Venue;
use futures_util::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{connect, get, start};

#[tokio::test]
async fn upbit_closes_an_idle_socket_and_ping_keeps_it() {
    let server = start(|config| {
        config.server.upbit_idle_ms = 400;
        config.server.upbit_status_ms = 100;
    })
    .await;
    let mut idle = connect(&server, Venue::Upbit, "/websocket/v1").await;
    assert!(matches!(idle.end().await, Some(Message::Close(Some(_)))));
    // `PING` is answered again and again, which is traffic.
    let mut kept = connect(&server, Venue::Upbit, "/websocket/v1").await;
    kept.say("PING").await;
    for _ in 0..8 {
        assert_eq!(kept.json().await, json!({"status": "UP"}));
    }
}

#[tokio::test]
async fn binance_pings_and_closes_who_does_not_answer() {
    let server = start(|config| {
        config.server.binance_ping_ms = 50;
        config.server.binance_pong_ms = 300;
        config.server.limits = false;
    })
    .await;
    let mut ws = connect(&server, Venue::Binance, "/ws/btcusdt@depth").await;
    let mut pings = 0;
    while pings < 8 {
        // Reading answers them, with the payload that they came with.
        if let Some(Ok(Message::Ping(payload))) = ws.next().await {
            assert!(String::from_utf8_lossy(&payload).parse::<i64>().is_ok());
            pings += 1;
        }
    }
    // One who answers with something else is closed. A raw stream, because a client answers by itself.
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut raw = tokio::net::TcpStream::connect(server.address(Venue::Binance))
        .await
        .unwrap();
    let head = "GET /ws/btcusdt@trade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    raw.write_all(head.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(crate::client::PATIENCE, raw.read_to_end(&mut all))
        .await
        .expect("closed in time")
        .unwrap();
    assert!(String::from_utf8_lossy(&all).contains("no pong"));
}

#[tokio::test]
async fn binance_ends_a_socket_at_its_age() {
    let server = start(|config| config.server.binance_life_ms = 300).await;
    let mut ws = connect(&server, Venue::Binance, "/ws/btcusdt@depth").await;
    let Some(Message::Close(Some(frame))) = ws.end().await else {
        panic!("not closed")
    };
    assert_eq!(frame.reason.as_str(), "24 hours");
}

#[tokio::test]
async fn too_many_messages_end_a_socket() {
    let server = start(|_| {}).await;
    for (venue, path, text) in [
        (Venue::Upbit, "/websocket/v1", "PING"),
        (Venue::Binance, "/ws", r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#),
    ] {
        let mut ws = connect(&server, venue, path).await;
        for _ in 0..20 {
            // The server may have closed it already.
            if ws.0.send(Message::text(text)).await.is_err() {
                break;
            }
        }
        assert!(
            matches!(ws.end().await, Some(Message::Close(Some(_))) | None),
            "{venue:?}"
        );
    }
}

#[tokio::test]
async fn too_many_streams_and_connections_are_refused() {
    let server = start(|_| {}).await;
    let streams: Vec<String> = (0..1_025).map(|number| format!("c{number}usdt@trade")).collect();
    let url = format!("{}/stream?streams={}", server.ws_url(Venue::Binance), streams.join("/"));
    let Err(Error::Http(response)) = tokio_tungstenite::connect_async(url).await else {
        panic!("1025 streams were taken")
    };
    assert_eq!(response.status(), 400);
    let url = format!("{}/websocket/v1", server.ws_url(Venue::Upbit));
    let mut refused = None;
    let mut kept = Vec::new();
    for _ in 0..6 {
        match tokio_tungstenite::connect_async(&url).await {
            Ok(connected) => kept.push(connected),
            Err(Error::Http(response)) => refused = Some(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        kept.len() < 6 && refused == Some(429),
        "{} connections in a second",
        kept.len()
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let server = start(|config| {
        config.server.queue = 4;
        config.rates.upbit_books_per_s = 1_000.0;
    })
    .await;
    let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
    ws.say(r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC","KRW-ETH","KRW-USDT","USDT-BTC"]}]"#)
        .await;
    assert_eq!(ws.json().await["stream_type"], "SNAPSHOT");
    // Its receive buffer and the server's send buffer fill first; requests of others go on all the while.
    let ended = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            get(&server, Venue::Binance, "/api/v3/ping").await;
            if server.hub().lock().sockets() == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended)
        .await
        .expect("disconnected");
}
