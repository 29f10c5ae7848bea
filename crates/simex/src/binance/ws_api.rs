//! Binance's WebSocket API: requests with an id over a socket, the same answers as REST, and an account's events.
//!
//! Source: binance-spot-api-docs a5e0bc3, WebSocket API (read 2026-11-21).

use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::error::Error;
use super::rest::market_data;
use super::stream::{Heart, overrun};
use super::wire::TimeUnit;
use crate::server::http::{Call, Reply, member};
use crate::server::hub::Hub;
use crate::server::socket::{Event, Gone, Socket};
use crate::sign::text::Plus;

/// What the handshake decided.
#[derive(Debug)]
pub struct Plan {
    unit: TimeUnit,
}

/// Decides at the handshake how a socket is answered.
///
/// # Errors
/// The answer when it is refused.
pub fn plan(_hub: &Hub, call: &Call) -> Result<Plan, Reply> {
    let query = call.query_members(Plus::IsItself).unwrap_or_default();
    Ok(Plan {
        unit: member(&query, "timeUnit").and_then(TimeUnit::parse).unwrap_or_default(),
    })
}

/// Members of a request's `params`, as texts; lists stay JSON.
fn members(params: Option<&Map<String, Value>>) -> Vec<(String, String)> {
    params
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (key.clone(), text)
        })
        .collect()
}

/// The REST path whose answer a method gives.
fn path(method: &str) -> Option<&'static str> {
    Some(match method {
        "ping" => "/api/v3/ping",
        "time" => "/api/v3/time",
        "exchangeInfo" => "/api/v3/exchangeInfo",
        "depth" => "/api/v3/depth",
        "trades.recent" => "/api/v3/trades",
        "klines" => "/api/v3/klines",
        "ticker.book" => "/api/v3/ticker/bookTicker",
        "ticker.price" => "/api/v3/ticker/price",
        "ticker.24hr" => "/api/v3/ticker/24hr",
        _ => return None,
    })
}

fn wrapped(id: &Value, result: Result<String, Error>) -> String {
    match result {
        Ok(result) => format!(r#"{{"id":{id},"status":200,"result":{result},"rateLimits":[]}}"#),
        Err(error) => format!(
            r#"{{"id":{id},"status":{},"error":{},"rateLimits":[]}}"#,
            error.status,
            error.json()
        ),
    }
}

/// Answers a message of the client.
fn answer(hub: &Hub, plan: &Plan, text: &str) -> String {
    let Ok(Value::Object(message)) = serde_json::from_str(text) else {
        return wrapped(&Value::Null, Err(Error::new(-1135, "Invalid JSON request")));
    };
    let id = message.get("id").cloned().unwrap_or(Value::Null);
    let Some(method) = message.get("method").and_then(Value::as_str) else {
        return wrapped(
            &id,
            Err(Error::new(-1102, "Mandatory parameter 'method' was not sent.")),
        );
    };
    let params = members(message.get("params").and_then(Value::as_object));
    let inner = hub.lock();
    let result = path(method).and_then(|path| market_data(hub, &inner, path, &params, plan.unit));
    wrapped(
        &id,
        result.unwrap_or_else(|| Err(Error::new(-1022, format!("Unknown method: {method}")))),
    )
}

/// Serves a socket until its end.
pub async fn run(mut socket: Socket, hub: &Hub, plan: Plan) {
    let mut heart = Heart::new(hub);
    loop {
        let frame = match socket.next(heart.due()).await {
            Event::Over => return,
            Event::Timer => match heart.beat(hub.now()) {
                Ok(ping) => ping,
                Err(reason) => return socket.close(CloseCode::Policy, reason).await,
            },
            Event::Note(_) => None,
            Event::Message(Message::Pong(payload)) => {
                heart.pong(&payload);
                None
            }
            Event::Message(message) => {
                if overrun(hub, socket.id()) {
                    return socket.close(CloseCode::Policy, "Too many requests").await;
                }
                match message {
                    Message::Text(text) => Some(Message::from(answer(hub, &plan, text.as_str()))),
                    _ => None,
                }
            }
        };
        if let Some(frame) = frame
            && let Err(Gone) = socket.send(frame).await
        {
            return;
        }
    }
}
