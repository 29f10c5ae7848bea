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

use super::http::{Call, Reply, member};
use super::hub::Hub;
use super::io::{Control, FaultyIo};
use super::socket::{Place, Socket};
use super::spoil::spoil;
use crate::exchange::Venue;
use crate::faults::{FaultKind, Stage, Surface, Target};
use crate::sign::text::Plus;
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

/// Accepts a venue's connections until the server stops.
pub(super) async fn accept(listener: TcpListener, venue: Venue, hub: Arc<Hub>, stopped: watch::Receiver<bool>) {
    let until = stopped.clone();
    let serve = |stream, peer| connection(stream, peer, venue, Arc::clone(&hub), stopped.clone());
    accept_with(&listener, MOST_CONNECTIONS, until, serve).await;
}

/// Accepts connections until the server stops, at most so many at a time, and serves each.
pub(super) async fn accept_with<F>(
    listener: &TcpListener,
    most: usize,
    mut stopped: watch::Receiver<bool>,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < most => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(serve(stream, peer));
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
    let refused = strike(&hub, Stage::Accept, venue, Surface::Stream, "", None);
    if refused.contains(&FaultKind::Refuse) {
        // Dropped with a RST; an error means that the client was faster.
        let _ = stream.set_zero_linger();
        return;
    }
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
    let Some((upgrade, role, place)) = upgraded.recv().await else {
        return;
    };
    let Ok(upgraded) = upgrade.await else { return };
    let joined = hub.join(&place);
    let socket = Socket::new(upgraded, Arc::clone(&hub), joined, place, control, stopped).await;
    match role {
        Role::Upbit(plan) => upbit::stream::run(socket, &hub, plan).await,
        Role::Binance(plan) => binance::stream::run(socket, &hub, plan).await,
        Role::Api(plan) => binance::ws_api::run(socket, &hub, plan).await,
    }
}

type Upgrades = tokio::sync::mpsc::Sender<(hyper::upgrade::OnUpgrade, Role, Place)>;

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
        let place = place(venue, &call.path);
        for kind in strike(hub, Stage::Handshake, venue, place.surface, &call.path, None) {
            match kind {
                FaultKind::HandshakeDrop => control.cut_after(0),
                FaultKind::HandshakeStatus { status, retry_after_s } => {
                    return refusal(venue, status, retry_after_s).into_http(false);
                }
                _ => {}
            }
        }
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
            Ok(response) if sockets.try_send((on_upgrade, role, place)).is_ok() => response,
            _ => Reply::new(400, "").into_http(false),
        };
    }
    match Limited::new(body, MOST_BYTES).collect().await {
        Ok(collected) => call.body = collected.to_bytes(),
        Err(_) => return Reply::new(413, "").into_http(false),
    }
    answer(hub, venue, &call, control, gzip).await
}

/// Answers a request, with the faults that strike it.
async fn answer(hub: &Hub, venue: Venue, call: &Call, control: &Control, gzip: bool) -> Response<Full<Bytes>> {
    let query = call.query_members(Plus::IsItself).unwrap_or_default();
    let symbol = ["symbol", "market", "markets"]
        .iter()
        .find_map(|name| member(&query, name));
    let strike = |stage| strike(hub, stage, venue, Surface::Rest, &call.path, symbol);
    let carry_out = |stale: bool| {
        hub.lock().stale = stale;
        let reply = match venue {
            Venue::Upbit => upbit::rest::answer(hub, call),
            Venue::Binance => binance::rest::answer(hub, call),
            Venue::BinanceUsdm => binance::usdm::answer(hub, call),
        };
        let mut inner = hub.lock();
        inner.stale = false;
        // Whose it was is known to the handler only; orders and refusals have lines of their own.
        inner
            .exchange
            .note_request(venue, None, call.method.as_str(), &call.path, reply.status);
        reply
    };
    let (mut stale, mut wait, mut instead) = (false, Duration::ZERO, None);
    for kind in strike(Stage::Request) {
        match kind {
            FaultKind::StaleSnapshot { .. } => stale = true,
            FaultKind::Slow { ms } => wait = Duration::from_millis(ms),
            FaultKind::Status { applied, .. } | FaultKind::Lost { applied } => instead = Some((kind, applied)),
            _ => {}
        }
    }
    let mut reply = match instead {
        None => carry_out(stale),
        Some((kind, applied)) => {
            if applied {
                carry_out(stale);
            }
            match kind {
                FaultKind::Status {
                    status, retry_after_s, ..
                } => refusal(venue, status, retry_after_s),
                _ => {
                    control.cut_after(0);
                    Reply::new(500, "")
                }
            }
        }
    };
    tokio::time::sleep(wait).await;
    let kinds = strike(Stage::Frame);
    if kinds.is_empty() {
        return reply.into_http(gzip);
    }
    let body = std::mem::take(&mut reply.body);
    // A body has nothing to be sent before or after: what is left of it is sent, whatever it is.
    let bytes = spoil(&kinds, &body).now.pop().unwrap_or_default();
    let mut response = reply.into_http(false);
    *response.body_mut() = Full::new(Bytes::from(bytes));
    response
}

fn strike(hub: &Hub, stage: Stage, venue: Venue, surface: Surface, path: &str, symbol: Option<&str>) -> Vec<FaultKind> {
    let target = Target {
        venue,
        surface,
        path,
        symbol,
    };
    hub.lock().exchange.strike(stage, &target)
}

/// What a socket at this path is.
fn place(venue: Venue, path: &str) -> Place {
    let private = path.starts_with("/ws-api/") || path.starts_with("/websocket/v1/private");
    Place {
        venue,
        surface: if private { Surface::Private } else { Surface::Stream },
        path: path.to_owned(),
    }
}

/// An answer of this status in a venue's words.
fn refusal(venue: Venue, status: u16, retry_after_s: Option<u64>) -> Reply {
    let reply = match venue {
        Venue::Upbit => upbit::error::refusal(status),
        Venue::Binance | Venue::BinanceUsdm => binance::error::Error::refusal(status).into(),
    };
    match retry_after_s {
        Some(seconds) => reply.with("retry-after", seconds),
        None => reply,
    }
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
