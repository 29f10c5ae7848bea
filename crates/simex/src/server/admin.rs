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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::http::{Reply, list};
use super::hub::Hub;
use super::listen::accept_with;
use super::text::quoted;
use crate::faults::one;

/// Largest body of a request.
const MOST_BYTES: usize = 1 << 16;
/// Connections at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 16;

/// Accepts connections until the server stops.
pub(super) async fn accept(listener: TcpListener, hub: Arc<Hub>, stopped: watch::Receiver<bool>) {
    let until = stopped.clone();
    let serve = |stream, _| connection(stream, Arc::clone(&hub), stopped.clone());
    accept_with(&listener, MOST_CONNECTIONS, until, serve).await;
}

async fn connection(stream: TcpStream, hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
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
