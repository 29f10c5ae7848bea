//! Accepting connections and telling requests from WebSocket handshakes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONNECTION, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::http::{Call, Reply};
use super::hub::Hub;
use super::io::{Control, FaultyIo};
use super::socket::Socket;
use crate::exchange::Venue;
use crate::{binance, upbit};

/// Largest body of a request.
const MOST_BYTES: usize = 1 << 20;
/// Connections at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 1_000;

/// What a socket is for, decided at its handshake.
enum Role {
    Upbit(upbit::stream::Plan),
    Binance(binance::stream::Plan),
    Api(binance::ws_api::Plan),
}

/// Accepts connections until the server stops.
pub(super) async fn accept(listener: TcpListener, venue: Venue, hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, venue, Arc::clone(&hub), stopped.clone()));
            }
            // Out of descriptors, most likely: they come back when connections end.
            Err(error) => {
                tracing::warn!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    venue: Venue,
    hub: Arc<Hub>,
    mut stopped: watch::Receiver<bool>,
) {
    // Only a hint: frames are late by some milliseconds without it.
    let _ = stream.set_nodelay(true);
    let control = Control::default();
    let io = TokioIo::new(FaultyIo::new(stream, control.clone()));
    let (sockets, mut upgraded) = tokio::sync::mpsc::channel(1);
    let service = service_fn(|request| {
        let (hub, control, sockets) = (Arc::clone(&hub), control.clone(), sockets.clone());
        async move { Ok::<_, Infallible>(handle(request, peer, venue, &hub, &control, &sockets).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(io, service)
        .with_upgrades();
    tokio::select! {
        biased;
        _ = stopped.changed() => return,
        // An error is a client that has gone, or a fault that was asked for.
        _ = serving => {}
    }
    drop(sockets);
    let Some((upgrade, role)) = upgraded.recv().await else {
        return;
    };
    let Ok(upgraded) = upgrade.await else { return };
    let joined = hub.join(venue);
    let socket = Socket::new(upgraded, Arc::clone(&hub), joined, control, stopped).await;
    match role {
        Role::Upbit(plan) => upbit::stream::run(socket, &hub, plan).await,
        Role::Binance(plan) => binance::stream::run(socket, &hub, plan).await,
        Role::Api(plan) => binance::ws_api::run(socket, &hub, plan).await,
    }
}

type Upgrades = tokio::sync::mpsc::Sender<(hyper::upgrade::OnUpgrade, Role)>;

async fn handle(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    venue: Venue,
    hub: &Hub,
    control: &Control,
    sockets: &Upgrades,
) -> Response<Full<Bytes>> {
    let gzip = contains(&request, ACCEPT_ENCODING, "gzip");
    let upgrade = contains(&request, UPGRADE, "websocket") && contains(&request, CONNECTION, "upgrade");
    let on_upgrade = upgrade.then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let mut call = Call {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body: Bytes::new(),
        peer: peer.ip().to_string(),
    };
    if let Some(on_upgrade) = on_upgrade {
        let plan = match venue {
            Venue::Upbit => upbit::stream::plan(hub, &call).map(Role::Upbit),
            _ if call.path.trim_end_matches('/') == "/ws-api/v3" => binance::ws_api::plan(hub, &call).map(Role::Api),
            _ => binance::stream::plan(hub, venue, &call).map(Role::Binance),
        };
        let role = match plan {
            Ok(role) => role,
            Err(reply) => return reply.into_http(false),
        };
        return match create_response_with_body(&Request::from_parts(parts, ()), Full::default) {
            Ok(response) if sockets.try_send((on_upgrade, role)).is_ok() => response,
            _ => Reply::new(400, "").into_http(false),
        };
    }
    match Limited::new(body, MOST_BYTES).collect().await {
        Ok(collected) => call.body = collected.to_bytes(),
        Err(_) => return Reply::new(413, "").into_http(false),
    }
    let _ = control;
    let reply = match venue {
        Venue::Upbit => upbit::rest::answer(hub, &call),
        Venue::Binance => binance::rest::answer(hub, &call),
        Venue::BinanceUsdm => binance::usdm::answer(hub, &call),
    };
    reply.into_http(gzip)
}

/// Whether a header names this among other things.
fn contains(request: &Request<Incoming>, name: hyper::header::HeaderName, word: &str) -> bool {
    request
        .headers()
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| {
            part.trim()
                .split(';')
                .next()
                .is_some_and(|part| part.eq_ignore_ascii_case(word))
        })
}
