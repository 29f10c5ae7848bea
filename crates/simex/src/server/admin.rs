//! Faults on demand while the exchange runs: an HTTP endpoint of its own, on loopback, off unless it has a port.
//!
//! `POST /faults` takes the keys of one `[[fault]]`, as TOML or as a JSON object, and answers with the numbers that it has in
//! the truth log; `DELETE /faults/N` ends one for good. It speaks no venue's dialect, and no fault strikes it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::http::{Reply, list};
use super::hub::Hub;
use super::text::quoted;
use crate::faults::one;

/// Largest body of a request.
const MOST_BYTES: usize = 1 << 16;
/// Connections at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 16;

/// Accepts connections until the server stops.
pub(super) async fn accept(listener: TcpListener, hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (hub, mut stopped) = (Arc::clone(&hub), stopped.clone());
                connections.spawn(async move {
                    let service = service_fn(|request| {
                        let hub = Arc::clone(&hub);
                        async move { Ok::<_, Infallible>(handle(request, &hub).await) }
                    });
                    let serving = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        biased;
                        _ = stopped.changed() => {}
                        // An error is a client that has gone.
                        _ = serving => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn handle(request: Request<Incoming>, hub: &Hub) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    // A page in a browser on this machine is nobody who may ask.
    if parts.headers.contains_key(ORIGIN) {
        return wrong(403, "requests of web pages are not taken").into_http(false);
    }
    let reply = match Limited::new(body, MOST_BYTES).collect().await {
        Ok(collected) => answer(hub, &parts.method, parts.uri.path(), &collected.to_bytes()),
        Err(_) => wrong(413, &format!("a fault of more than {MOST_BYTES} bytes is not read")),
    };
    reply.into_http(false)
}

fn wrong(status: u16, message: &str) -> Reply {
    Reply::new(status, format!(r#"{{"error":{}}}"#, quoted(message)))
}

fn answer(hub: &Hub, method: &Method, path: &str, body: &[u8]) -> Reply {
    const ALLOWED: &str = "POST /faults with the keys of a fault, or DELETE /faults/N";
    let reply = match (method, path.strip_prefix("/faults")) {
        (&Method::POST, Some("" | "/")) => inject(hub, body),
        (&Method::DELETE, Some(number)) => match number.trim_matches('/').parse() {
            Ok(number) if hub.lock().exchange.end_fault(number) => Reply::ok(format!(r#"{{"ended":[{number}]}}"#)),
            Ok(number) => wrong(404, &format!("there is no fault {number}")),
            Err(_) => wrong(404, ALLOWED),
        },
        (_, Some("" | "/")) => wrong(405, ALLOWED),
        _ => wrong(404, ALLOWED),
    };
    // What was asked for has begun, or ended, when the answer comes.
    match hub.advance() {
        Ok(()) => reply,
        Err(error) => wrong(500, &format!("the market stands still: {error}")),
    }
}

fn inject(hub: &Hub, body: &[u8]) -> Reply {
    let Ok(text) = std::str::from_utf8(body) else {
        return wrong(400, "the body is not UTF-8");
    };
    let faults = match one(text) {
        Ok(faults) => faults,
        Err(message) => return wrong(400, &message),
    };
    match hub.lock().exchange.inject(faults) {
        Ok(numbers) => {
            let numbers = list(numbers.iter().map(usize::to_string));
            Reply::new(201, format!(r#"{{"faults":{numbers}}}"#))
        }
        Err(error) => wrong(400, &error.to_string()),
    }
}
