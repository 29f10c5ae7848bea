//! Binance's WebSocket API: requests with an id over a socket, the same answers as REST, and an account's events.
//!
//! Source: binance-spot-api-docs a5e0bc3, WebSocket API and user data stream (read 2026-11-21). The listenKey of older
//! clients is gone since 2026-02-20 and not served.

use std::collections::{BTreeMap, BTreeSet};

use crossbook_engine::units::TimestampNs;
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::error::Error;
use super::limit::{Cost, counted, weight};
use super::order::{execution_report, position};
use super::private::{Op, account, run as run_op, timely};
use super::rest::{cost, market_data};
use super::stream::{Heart, overrun};
use super::wire::TimeUnit;
use crate::exchange::{AccountEvent, AccountEventKind, OrderState, Venue};
use crate::server::http::{Call, Reply, member};
use crate::server::hub::{Hub, Inner, Note};
use crate::server::limits::Verdict;
use crate::server::socket::{Event, Gone, Socket};
use crate::server::text::ms;
use crate::sign::Secret;
use crate::sign::binance::{check, ws_payload};
use crate::sign::text::Plus;

/// What the handshake decided.
#[derive(Debug)]
pub struct Plan {
    unit: TimeUnit,
    /// Whose weight its requests are.
    peer: String,
}

/// Decides at the handshake how a socket is answered.
///
/// # Errors
/// The answer when it is refused.
pub fn plan(hub: &Hub, call: &Call) -> Result<Plan, Reply> {
    let query = call.query_members(Plus::IsItself).unwrap_or_default();
    if hub.settings.limits {
        // A connection weighs 2.
        let verdict = hub
            .lock()
            .limits
            .ask(weight(Venue::Binance), &call.peer, 2, Instant::now());
        if !matches!(verdict, Verdict::Pass { .. }) {
            return Err(Reply::new(429, ""));
        }
    }
    Ok(Plan {
        unit: member(&query, "timeUnit").and_then(TimeUnit::parse).unwrap_or_default(),
        peer: call.peer.clone(),
    })
}

/// What a socket is beside its requests.
#[derive(Debug)]
struct Session {
    plan: Plan,
    /// Key and account that logged on, and since when.
    logged_on: Option<(String, u32, TimestampNs)>,
    /// Subscriptions to accounts' events, by number.
    subscriptions: BTreeMap<u64, u32>,
    next_subscription: u64,
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
        "executionRules" => "/api/v3/executionRules",
        "referencePrice" => "/api/v3/referencePrice",
        _ => return None,
    })
}

/// The answer to a request: `{"id","status","result"|"error","rateLimits"}`.
fn wrapped(id: &Value, reply: &Reply, used: u64, clock: TimestampNs) -> String {
    let limits = format!(
        r#""rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000,"count":{used}}}]"#
    );
    if reply.status == 200 {
        return format!(r#"{{"id":{id},"status":200,"result":{},{limits}}}"#, reply.body);
    }
    // Here the time to try again is an epoch, not a header.
    let retry = reply.headers.iter().find(|(name, _)| *name == "retry-after");
    let seconds: Option<i64> = retry.and_then(|(_, seconds)| seconds.parse().ok());
    let error = match seconds {
        Some(seconds) => {
            let body = reply.body.strip_suffix('}').unwrap_or_default();
            let now = ms(clock);
            format!(
                r#"{body},"data":{{"serverTime":{now},"retryAfter":{}}}}}"#,
                now + seconds * 1_000
            )
        }
        None => reply.body.clone(),
    };
    format!(r#"{{"id":{id},"status":{},"error":{error},{limits}}}"#, reply.status)
}

/// Answers a message of the client.
fn answer(hub: &Hub, session: &mut Session, socket: u64, text: &str) -> String {
    let clock = hub.now();
    let Ok(Value::Object(message)) = serde_json::from_str(text) else {
        return wrapped(
            &Value::Null,
            &Error::new(-1135, "Invalid JSON Request").into(),
            0,
            clock,
        );
    };
    let id = message.get("id").cloned().unwrap_or(Value::Null);
    let Some(method) = message.get("method").and_then(Value::as_str) else {
        return wrapped(&id, &Error::missing("method").into(), 0, clock);
    };
    let params = members(message.get("params").and_then(Value::as_object));
    let mut inner = hub.lock();
    let (peer, unit) = (session.plan.peer.clone(), session.plan.unit);
    let cost = match (path(method), Op::of_ws(method)) {
        (Some(path), _) => cost(path, &params),
        (None, Some(op)) => op.cost(&params),
        (None, None) => Cost {
            weight: 2,
            free_if_done: false,
        },
    };
    let reply = counted(hub, &mut inner, Venue::Binance, &peer, cost, |inner| {
        let result = if let Some(path) = path(method) {
            market_data(hub, inner, path, &params, unit).unwrap_or_else(|| Err(Error::no_route(path)))
        } else if let Some(op) = Op::of_ws(method) {
            signed(hub, inner, session, &params)
                .and_then(|(account, _, _)| run_op(hub, inner, account, op, &params, unit))
        } else {
            about_session(hub, inner, session, socket, method, &params)
        };
        match result {
            Ok(body) => Reply::ok(body),
            Err(error) => error.into(),
        }
    });
    let used = inner.limits.used(weight(Venue::Binance), &peer, Instant::now());
    wrapped(&id, &reply, used, clock)
}

/// Who asks: the key that signed the request, or the one that logged on when it names none.
fn signed(
    hub: &Hub,
    inner: &Inner,
    session: &Session,
    params: &[(String, String)],
) -> Result<(u32, String, Secret), Error> {
    if let (None, Some((key, _, _))) = (member(params, "apiKey"), &session.logged_on) {
        timely(hub, params)?;
        let (number, secret) = account(inner, Some(key))?;
        return Ok((number, key.clone(), secret));
    }
    let key = member(params, "apiKey").ok_or_else(|| Error::missing("apiKey"))?;
    let (number, secret) = account(inner, Some(key))?;
    timely(hub, params)?;
    let (payload, signature) = ws_payload(params);
    check(&secret, &payload, signature.as_deref()).map_err(Error::refused)?;
    Ok((number, key.to_owned(), secret))
}

/// Logging on and off, and subscribing to an account's events.
fn about_session(
    hub: &Hub,
    inner: &mut Inner,
    session: &mut Session,
    socket: u64,
    method: &str,
    params: &[(String, String)],
) -> Result<String, Error> {
    match method {
        "session.logon" => {
            let (number, key, secret) = signed(hub, inner, session, params)?;
            if !matches!(secret, Secret::Ed25519(_)) {
                return Err(Error::new(-4056, "HMAC_SHA256 API key is not supported."));
            }
            session.logged_on = Some((key, number, hub.now()));
            Ok(status(session, hub.now()))
        }
        "session.status" => Ok(status(session, hub.now())),
        "session.logout" => {
            session.logged_on = None;
            Ok(status(session, hub.now()))
        }
        "userDataStream.subscribe" => {
            let Some((_, number, _)) = session.logged_on else {
                return Err(Error::new(-2010, "The WebSocket session is not authenticated."));
            };
            subscribe(inner, session, socket, number)
        }
        "userDataStream.subscribe.signature" => {
            let (number, _, _) = signed(hub, inner, session, params)?;
            subscribe(inner, session, socket, number)
        }
        "userDataStream.unsubscribe" => {
            match member(params, "subscriptionId").and_then(|text| text.parse().ok()) {
                Some(id) => {
                    session.subscriptions.remove(&id);
                }
                None => session.subscriptions.clear(),
            }
            inner.set_accounts(socket, session.subscriptions.values().copied().collect());
            Ok("{}".to_owned())
        }
        "session.subscriptions" => {
            let rows: Vec<String> = session
                .subscriptions
                .keys()
                .map(|id| format!(r#"{{"subscriptionId":{id}}}"#))
                .collect();
            Ok(format!("[{}]", rows.join(",")))
        }
        _ => Err(Error::new(-1022, format!("Unknown method: {method}"))),
    }
}

fn subscribe(inner: &mut Inner, session: &mut Session, socket: u64, account: u32) -> Result<String, Error> {
    if session.subscriptions.values().any(|&known| known == account) {
        return Err(Error::new(-2035, "User Data Stream subscription already active."));
    }
    let id = session.next_subscription;
    session.next_subscription += 1;
    session.subscriptions.insert(id, account);
    inner.set_accounts(socket, session.subscriptions.values().copied().collect::<BTreeSet<_>>());
    Ok(format!(r#"{{"subscriptionId":{id}}}"#))
}

fn status(session: &Session, now: TimestampNs) -> String {
    let (key, since) = match &session.logged_on {
        Some((key, _, since)) => (
            crate::server::text::quoted(key),
            session.plan.unit.of(*since).to_string(),
        ),
        None => ("null".to_owned(), "null".to_owned()),
    };
    format!(
        r#"{{"apiKey":{key},"authorizedSince":{since},"connectedSince":{now},"returnRateLimits":true,"serverTime":{now},"userDataStream":{}}}"#,
        !session.subscriptions.is_empty(),
        now = session.plan.unit.of(now),
    )
}

/// The frames that an account's event makes on this socket.
fn frames(session: &Session, event: &AccountEvent, now: TimestampNs) -> Vec<String> {
    let unit = session.plan.unit;
    let body = match &event.kind {
        // A stop order is new twice: when it is taken, and when it comes to the book.
        AccountEventKind::New(view) | AccountEventKind::Working(view) => execution_report(view, "NEW", now, unit),
        AccountEventKind::Trade(view) => execution_report(view, "TRADE", now, unit),
        AccountEventKind::Amended(view) => execution_report(view, "REPLACED", now, unit),
        AccountEventKind::Ended(view) => {
            let exec = match view.state {
                OrderState::Cancelled => "CANCELED",
                OrderState::Prevented => "TRADE_PREVENTION",
                _ => "EXPIRED",
            };
            execution_report(view, exec, now, unit)
        }
        AccountEventKind::Balances(balances) => position(balances, event.ts, now, unit),
    };
    session
        .subscriptions
        .iter()
        .filter(|(_, account)| **account == event.account)
        .map(|(id, _)| format!(r#"{{"subscriptionId":{id},"event":{body}}}"#))
        .collect()
}

/// Serves a socket until its end.
pub async fn run(mut socket: Socket, hub: &Hub, plan: Plan) {
    let mut session = Session {
        plan,
        logged_on: None,
        subscriptions: BTreeMap::new(),
        next_subscription: 0,
    };
    let mut heart = Heart::new(hub);
    loop {
        let sent = match socket.next(heart.due()).await {
            Event::Over => return,
            Event::Timer => match heart.beat(hub.now()) {
                Ok(Some(ping)) => socket.send(ping).await,
                Ok(None) => Ok(()),
                Err(reason) => return socket.close(CloseCode::Policy, reason).await,
            },
            Event::Note(note) => {
                let symbol = note.symbol();
                let frames = match &note {
                    Note::Account(event) => frames(&session, event, hub.now()),
                    _ => Vec::new(),
                };
                let mut sent = Ok(());
                for frame in frames {
                    sent = socket.data(symbol.as_deref(), frame, false).await;
                    if sent.is_err() {
                        break;
                    }
                }
                sent
            }
            Event::Message(message) => match message {
                Message::Pong(payload) => {
                    heart.pong(&payload);
                    Ok(())
                }
                Message::Text(text) => {
                    let answer = answer(hub, &mut session, socket.id(), text.as_str());
                    socket.send(Message::from(answer)).await
                }
                _ if overrun(hub, socket.id()) => {
                    return socket.close(CloseCode::Policy, "Too many requests").await;
                }
                _ => Ok(()),
            },
        };
        if let Err(Gone) = sent {
            return;
        }
    }
}
