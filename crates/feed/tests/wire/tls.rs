//! TLS: who is believed, and who is not.
//!
//! `tls/` has a root and a certificate for `venue.test` signed by it, both valid from 2020 to 2120, and the key of the
//! latter. Nothing but this test trusts them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbook_feed::clock::Clock;
use crossbook_feed::connection::{ConnNumbers, Dial, Setup, Sockets, Tcp};
use crossbook_feed::input::{Body, InputReceiver, LinkEvent, Provider, VenueIx};
use crossbook_feed::tls::client_config;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::venue::{BINANCE, DEPTH, config};

const ROOT: &[u8] = include_bytes!("tls/root.der");
const VENUE: &[u8] = include_bytes!("tls/venue.test.der");
const VENUE_KEY: &[u8] = include_bytes!("tls/venue.test.key.der");

/// Every name is this machine.
struct Here;

impl Dial for Here {
    type Stream = TcpStream;

    async fn dial(&self, _: &str, port: u16) -> io::Result<TcpStream> {
        Tcp.dial("127.0.0.1", port).await
    }
}

/// A venue with TLS, for any number of connections; its port.
async fn venue() -> u16 {
    let chain = vec![CertificateDer::from(VENUE)];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(VENUE_KEY));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let stream = listener.accept().await.unwrap().0;
            // A client that does not believe us hangs up here.
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut server = accept_async(stream).await.unwrap();
            server.send(Message::text(DEPTH)).await.unwrap();
            tokio::spawn(async move { while server.next().await.is_some_and(|message| message.is_ok()) {} });
        }
    });
    port
}

fn start(host: &str, port: u16, tls: ClientConfig) -> (InputReceiver, impl Sized) {
    let config = config(&format!("{BINANCE}ws_url = 'wss://{host}:{port}'"));
    let setup = Setup {
        venue: VenueIx(0),
        clock: Clock::system(),
        numbers: ConnNumbers::default(),
        tls: Arc::new(tls),
        seed: 1,
    };
    let sockets = Sockets::over(Here, config, &["BTCUSDT".to_owned()], setup).unwrap();
    let (out, inputs) = mpsc::channel(10);
    let (commands, orders) = mpsc::unbounded_channel();
    tokio::spawn(Box::new(sockets).run(out, orders));
    (inputs, commands)
}

async fn link(inputs: &mut InputReceiver) -> LinkEvent {
    loop {
        let input = timeout(Duration::from_secs(30), inputs.recv())
            .await
            .expect("an input in time");
        match input.unwrap().body {
            Body::Link { event, .. } => return event,
            Body::Frame { bytes, .. } => assert_eq!(bytes, DEPTH.as_bytes()),
            other => panic!("{other:?}"),
        }
    }
}

/// Our own configuration, with the root of this test in place of the public ones.
fn trusting() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ROOT)).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn data_come_over_tls() {
    let port = venue().await;
    let (mut inputs, _commands) = start("venue.test", port, trusting());
    assert_eq!(link(&mut inputs).await, LinkEvent::Open { takes_over: None });
    assert_eq!(link(&mut inputs).await, LinkEvent::Live);
}

#[tokio::test]
async fn f04_a_certificate_of_nobody_we_know_or_for_another_name_is_a_failure() {
    let port = venue().await;
    for (host, tls, why) in [
        ("venue.test", client_config().unwrap(), "UnknownIssuer"),
        ("other.test", trusting(), "not valid for"),
    ] {
        let (mut inputs, _commands) = start(host, port, tls);
        match link(&mut inputs).await {
            LinkEvent::Failed { attempt: 1, error, .. } => {
                assert_eq!(error.class(), "connection");
                assert!(error.to_string().contains(why), "{error}");
            }
            other => panic!("{host}: {other:?}"),
        }
    }
}
