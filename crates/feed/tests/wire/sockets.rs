//! The same over real sockets of this machine: TCP and TLS on a port that the system chooses.

use std::time::Duration;

use crossbook_feed::clock::Clock;
use crossbook_feed::connection::{ConnNumbers, Setup, Sockets};
use crossbook_feed::input::{Body, InputReceiver, LinkEvent, Provider, VenueIx};
use crossbook_feed::tls::client_config;
use futures_util::SinkExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::venue::{BINANCE, DEPTH, config};

/// Longer than anything here takes, on any machine.
const IN_VAIN: Duration = Duration::from_secs(30);

async fn next(inputs: &mut InputReceiver) -> Body {
    timeout(IN_VAIN, inputs.recv())
        .await
        .expect("an input in time")
        .unwrap()
        .body
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    accept_async(listener.accept().await.unwrap().0).await.unwrap()
}

#[tokio::test]
async fn f01_over_tcp_a_connection_that_is_reset_is_told_and_made_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let timers = "[timers]\nbackoff_first_ms = 1\nbackoff_most_ms = 1";
    let config = config(&format!("{BINANCE}ws_url = '{url}'\n{timers}"));
    let setup = Setup {
        venue: VenueIx(0),
        clock: Clock::system(),
        numbers: ConnNumbers::default(),
        tls: client_config().unwrap().into(),
        seed: 1,
    };
    let sockets = Sockets::new(config, &["BTCUSDT".to_owned()], setup).unwrap();
    let counters = sockets.counters()[0].clone();
    let (out, mut inputs) = mpsc::channel(100);
    let (commands, orders) = mpsc::unbounded_channel();
    let task = tokio::spawn(Box::new(sockets).run(out, orders));

    for life in 1..=3 {
        let mut server = accept(&listener).await;
        for _ in 0..50 {
            server.send(Message::text(DEPTH)).await.unwrap();
        }
        let mut frames = 0;
        while frames < 50 {
            match next(&mut inputs).await {
                Body::Frame { conn, bytes, .. } => {
                    assert_eq!((conn.0, &bytes[..]), (life, DEPTH.as_bytes()));
                    frames += 1;
                }
                Body::Link { event, .. } => {
                    assert!(matches!(event, LinkEvent::Open { .. } | LinkEvent::Live), "{event:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        if life < 3 {
            server.get_ref().set_zero_linger().unwrap();
            drop(server);
            match next(&mut inputs).await {
                Body::Link {
                    event: LinkEvent::Closed { error: Some(error) },
                    ..
                } => assert_eq!(error.class(), "connection", "{error}"),
                other => panic!("{other:?}"),
            }
        } else {
            drop(commands);
            timeout(IN_VAIN, task).await.unwrap().unwrap();
            break;
        }
    }
    let counts = counters.read();
    assert_eq!((counts.frames, counts.opened, counts.connection), (150, 3, 2));
}
