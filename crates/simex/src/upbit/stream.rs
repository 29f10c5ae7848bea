//! Upbit's WebSocket: one request says all that a socket wants, in a format that it chooses; frames are binary.
//!
//! A later request replaces what was asked for before (the documentation leaves it open; clients resend the whole list).
//! Source: Upbit developer docs v1.6.4, WebSocket usage and error pages (read 2026-11-21).

use std::collections::BTreeSet;
use std::time::Duration;

use crossbook_engine::units::{TimestampNs, parse_number};
use serde_json::Value;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::error::{self, on_socket};
use super::order::{News, my_asset, my_order, state};
use super::wire::{Format, StreamType, orderbook_stream, ticker_stream, trade_stream};
use crate::exchange::{AccountEvent, AccountEventKind, OrderState, Symbol, Venue};
use crate::faults::{FaultKind, Stage};
use crate::server::http::{Call, Reply};
use crate::server::hub::{Hub, Inner, Note, Topic};
use crate::server::limits::{Limit, Verdict};
use crate::server::socket::{Event, Gone, Socket};
use crate::server::text::quoted;

/// What a socket is for: public data, or an account's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Everyone's.
    Public,
    /// This account's orders and assets.
    Private(u32),
}

/// WebSocket connections a second, by address (or account when private).
const CONNECTS: Limit = Limit {
    group: "ws-connect",
    most: 5,
    window: Duration::from_secs(1),
};
/// Messages of a socket.
const MESSAGES: [Limit; 2] = [
    Limit {
        group: "ws-message-s",
        most: 5,
        window: Duration::from_secs(1),
    },
    Limit {
        group: "ws-message-m",
        most: 100,
        window: Duration::from_secs(60),
    },
];

/// Decides at the handshake what a socket is for.
///
/// # Errors
/// The answer when it is refused.
pub fn plan(hub: &Hub, call: &Call) -> Result<Plan, Reply> {
    let mut inner = hub.lock();
    let (plan, caller) = match call.path.trim_end_matches('/') {
        "/websocket/v1" => (Plan::Public, call.peer.clone()),
        "/websocket/v1/private" => {
            let account = super::private::authorize(&mut inner, call, "")?;
            (Plan::Private(account), format!("account {account}"))
        }
        _ => return Err(error::no_route()),
    };
    if hub.settings.limits {
        match inner.limits.ask(CONNECTS, &caller, 1, Instant::now()) {
            Verdict::Pass { .. } => {}
            Verdict::TooMany { .. } => return Err(error::named(429, "too_many_requests", "Too many API requests.")),
            Verdict::Banned { .. } => return Err(error::named(418, "too_many_requests", "Too many API requests.")),
        }
    }
    Ok(plan)
}

/// A type that a request can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Orderbook,
    Trade,
    Ticker,
    MyOrder,
    MyAsset,
}

impl Kind {
    fn parse(name: &str) -> Option<Kind> {
        Some(match name {
            "orderbook" => Kind::Orderbook,
            "trade" => Kind::Trade,
            "ticker" => Kind::Ticker,
            "myOrder" => Kind::MyOrder,
            "myAsset" => Kind::MyAsset,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Kind::Orderbook => "orderbook",
            Kind::Trade => "trade",
            Kind::Ticker => "ticker",
            Kind::MyOrder => "myOrder",
            Kind::MyAsset => "myAsset",
        }
    }
}

/// One type object of a request.
#[derive(Debug, Clone)]
struct Wish {
    kind: Kind,
    /// Codes as they were sent, for `LIST_SUBSCRIPTIONS`.
    codes: Vec<String>,
    /// Markets and the levels wanted of each.
    markets: Vec<(Symbol, usize)>,
    /// Step by which a book is grouped, in 1e-8.
    step: i64,
    snapshot: bool,
    realtime: bool,
}

/// What a socket asked for.
#[derive(Debug, Default)]
struct Wishes {
    list: Vec<Wish>,
    format: Format,
}

/// What a message of a client is.
enum Request {
    /// `PING`.
    Ping,
    /// `LIST_SUBSCRIPTIONS`, with its ticket.
    List(String),
    /// Subscriptions.
    Subscribe(Wishes),
}

/// The levels that a code's `.unit` asks for; another number silently means 30.
fn units(unit: Option<&str>) -> usize {
    match unit {
        Some("1") => 1,
        Some("5") => 5,
        Some("15") => 15,
        _ => 30,
    }
}

fn parse(text: &str, plan: Plan) -> Result<Request, String> {
    if text.trim() == "PING" {
        return Ok(Request::Ping);
    }
    let wrong = || on_socket("WRONG_FORMAT", "Format is wrong.");
    let Ok(Value::Array(parts)) = serde_json::from_str(text) else {
        return Err(wrong());
    };
    let mut ticket = None;
    let mut list = false;
    let mut wishes = Wishes::default();
    for part in &parts {
        let part = part.as_object().ok_or_else(wrong)?;
        let word = |key: &str| part.get(key).and_then(Value::as_str);
        if let Some(text) = word("ticket") {
            ticket = Some(text.to_owned());
        }
        if let Some(name) = word("format") {
            wishes.format = Format::parse(name).ok_or_else(wrong)?;
        }
        list |= word("method") == Some("LIST_SUBSCRIPTIONS");
        if let Some(name) = word("type") {
            let kind = Kind::parse(name).ok_or_else(|| on_socket("INVALID_PARAM", "type is not valid."))?;
            wishes.list.push(wish(kind, part, plan)?);
        }
    }
    let ticket = ticket.ok_or_else(|| on_socket("NO_TICKET", "Ticket is missing."))?;
    if list {
        return Ok(Request::List(ticket));
    }
    if wishes.list.is_empty() {
        return Err(on_socket("NO_TYPE", "Type is missing."));
    }
    Ok(Request::Subscribe(wishes))
}

fn wish(kind: Kind, part: &serde_json::Map<String, Value>, plan: Plan) -> Result<Wish, String> {
    let private = matches!(kind, Kind::MyOrder | Kind::MyAsset);
    if private != matches!(plan, Plan::Private(_)) {
        return Err(on_socket("INVALID_PARAM", "type is not served at this address."));
    }
    if kind == Kind::MyAsset && part.contains_key("codes") {
        return Err(on_socket("WRONG_FORMAT", "Format is wrong."));
    }
    // Old clients send isOnlyRealtime; both spellings are taken.
    let flag = |names: [&str; 2]| names.iter().any(|name| part.get(*name) == Some(&Value::Bool(true)));
    let (only_snapshot, only_realtime) = (
        flag(["is_only_snapshot", "isOnlySnapshot"]),
        flag(["is_only_realtime", "isOnlyRealtime"]),
    );
    let codes: Vec<String> = part
        .get("codes")
        .and_then(Value::as_array)
        .map(|codes| codes.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    if codes.is_empty() && !private {
        return Err(on_socket("NO_CODES", "Codes are missing."));
    }
    let step = match part.get("level") {
        Some(level) => parse_number(level.to_string().trim_matches('"'))
            .map_err(|_| on_socket("INVALID_PARAM", "level is not a number."))?,
        None => 0,
    };
    let markets = codes
        .iter()
        .map(|code| {
            let (market, unit) = code
                .split_once('.')
                .map_or((code.as_str(), None), |(a, b)| (a, Some(b)));
            (Symbol::from(market), units(unit))
        })
        .collect();
    Ok(Wish {
        kind,
        codes,
        markets,
        step,
        snapshot: !only_realtime,
        realtime: !only_snapshot,
    })
}

/// Sets a socket's subscriptions at the hub and gives the snapshots that go with them, both at one instant.
fn subscribe(inner: &mut Inner, socket: &Socket, wishes: &mut Wishes, plan: Plan) -> Vec<(Option<Symbol>, String)> {
    let mut wants = BTreeSet::new();
    let mut first = Vec::new();
    let place = &socket.place;
    for wish in &mut wishes.list {
        let step = wish.step;
        // A code that is not listed, in lower case, or a step that is not offered: silence, not an error.
        wish.markets.retain(|(symbol, _)| {
            inner
                .exchange
                .market(Venue::Upbit, symbol)
                .is_some_and(|info| wish.kind != Kind::Orderbook || super::rest::levels(inner, info).contains(&step))
        });
        wish.markets.retain(|(symbol, _)| {
            let kinds = inner.exchange.strike(Stage::Subscribe, &place.target(Some(symbol)));
            if kinds.contains(&FaultKind::ErrorInstead) {
                first.push((None, on_socket("INVALID_PARAM", "The request is not valid.")));
            }
            kinds.is_empty()
        });
        for (symbol, units) in &wish.markets {
            if wish.realtime {
                let topic = if wish.kind == Kind::Orderbook {
                    Topic::Book
                } else {
                    Topic::Trade
                };
                wants.insert((symbol.clone(), topic));
            }
            if wish.snapshot {
                let frame = snapshot(inner, wish, symbol, *units, wishes.format);
                first.extend(frame.map(|frame| (Some(symbol.clone()), frame)));
            }
        }
    }
    inner.set_wants(socket.id(), wants);
    if let Plan::Private(account) = plan {
        inner.set_accounts(socket.id(), BTreeSet::from([account]));
    }
    first
}

fn snapshot(inner: &Inner, wish: &Wish, symbol: &str, units: usize, format: Format) -> Option<String> {
    let stats = inner.stats(Venue::Upbit, symbol);
    let now = inner.exchange.now();
    match wish.kind {
        Kind::Orderbook => {
            let view = inner.view(Venue::Upbit, symbol, 300);
            Some(orderbook_stream(
                symbol,
                &view,
                wish.step,
                units,
                format,
                StreamType::Snapshot,
            ))
        }
        Kind::Trade => {
            let (tick, day) = (stats?.last()?, stats?.day?);
            let view = inner.view(Venue::Upbit, symbol, 1);
            Some(trade_stream(
                symbol,
                tick,
                day.open,
                &view,
                now,
                format,
                StreamType::Snapshot,
            ))
        }
        Kind::Ticker => ticker_stream(symbol, stats?, now, format, StreamType::Snapshot),
        Kind::MyOrder | Kind::MyAsset => None,
    }
}

/// The frames that a note makes on this socket.
fn frames(wishes: &Wishes, note: &Note, now: TimestampNs) -> Vec<String> {
    let format = wishes.format;
    let wanted = |kind: Kind, symbol: &Symbol| {
        let symbol = symbol.clone();
        wishes
            .list
            .iter()
            .filter(move |wish| wish.kind == kind && wish.realtime)
            .flat_map(move |wish| {
                let symbol = symbol.clone();
                wish.markets
                    .iter()
                    .filter(move |(market, _)| *market == symbol)
                    .map(move |&(_, units)| (wish, units))
            })
    };
    match note {
        Note::Book { symbol, view, .. } => wanted(Kind::Orderbook, symbol)
            .map(|(wish, units)| orderbook_stream(symbol, view, wish.step, units, format, StreamType::Realtime))
            .collect(),
        Note::Trade {
            symbol,
            tick,
            stats,
            view,
        } => {
            let opened = stats.day.map_or(tick.price, |day| day.open);
            let trades = wanted(Kind::Trade, symbol)
                .map(|_| trade_stream(symbol, tick, opened, view, now, format, StreamType::Realtime));
            let tickers = wanted(Kind::Ticker, symbol)
                .filter_map(|_| ticker_stream(symbol, stats, now, format, StreamType::Realtime));
            trades.chain(tickers).collect()
        }
        Note::Account(event) => account_frames(wishes, event, now),
        Note::Diff { .. } | Note::Mark { .. } | Note::Fault(_) => Vec::new(),
    }
}

/// The frames that an account's event makes on a private socket.
fn account_frames(wishes: &Wishes, event: &AccountEvent, now: TimestampNs) -> Vec<String> {
    let format = wishes.format;
    let orders = |symbol: &str| {
        let fits = |wish: &Wish| wish.codes.is_empty() || wish.codes.iter().any(|code| code == symbol);
        wishes.list.iter().any(|wish| wish.kind == Kind::MyOrder && fits(wish))
    };
    match &event.kind {
        AccountEventKind::Balances(balances) if wishes.list.iter().any(|wish| wish.kind == Kind::MyAsset) => {
            vec![my_asset(u64::from(event.account), balances, event.ts, now, format)]
        }
        AccountEventKind::Balances(_) => Vec::new(),
        AccountEventKind::New(view) | AccountEventKind::Trade(view) | AccountEventKind::Ended(view)
            if !orders(&view.order.symbol) =>
        {
            Vec::new()
        }
        // Nothing of Upbit's: no amendments, and no reserved orders here.
        AccountEventKind::Amended(_) | AccountEventKind::Working(_) => Vec::new(),
        AccountEventKind::New(view) => vec![my_order(view, News::State("wait"), now, format)],
        AccountEventKind::Trade(view) => {
            let fill = view
                .fills
                .last()
                .map(|fill| my_order(view, News::Fill(fill), now, format));
            let end = (view.state == OrderState::Filled).then(|| my_order(view, News::State("done"), now, format));
            fill.into_iter().chain(end).collect()
        }
        AccountEventKind::Ended(view) => {
            let name = if view.state == OrderState::Prevented {
                "prevented"
            } else {
                state(view.state)
            };
            vec![my_order(view, News::State(name), now, format)]
        }
    }
}

fn listed(wishes: &Wishes, ticket: &str) -> String {
    let result = wishes.list.iter().map(|wish| {
        let codes = wish.codes.iter().map(|code| quoted(code)).collect::<Vec<_>>().join(",");
        format!(r#"{{"type":"{}","codes":[{codes}]}}"#, wish.kind.name())
    });
    format!(
        r#"{{"method":"LIST_SUBSCRIPTIONS","result":[{}],"ticket":{}}}"#,
        result.collect::<Vec<_>>().join(","),
        quoted(ticket)
    )
}

/// Serves a socket until its end.
pub async fn run(mut socket: Socket, hub: &Hub, plan: Plan) {
    let idle = Duration::from_millis(hub.settings.upbit_idle_ms);
    let status_every = Duration::from_millis(hub.settings.upbit_status_ms.max(1));
    let caller = format!("socket {}", socket.id());
    let mut wishes = Wishes::default();
    let mut traffic = Instant::now();
    let mut status_at: Option<Instant> = None;
    loop {
        let until = status_at.map_or(traffic + idle, |at| at.min(traffic + idle));
        let sent = match socket.next(until).await {
            Event::Over => return,
            Event::Timer if status_at.is_some_and(|at| Instant::now() >= at) => {
                status_at = Some(Instant::now() + status_every);
                answer(&mut socket, r#"{"status":"UP"}"#.to_owned()).await
            }
            Event::Timer if Instant::now() >= traffic + idle => {
                return socket.close(CloseCode::Normal, "idle").await;
            }
            Event::Timer => continue,
            Event::Note(note) => {
                let symbol = note.symbol();
                let frames = frames(&wishes, &note, hub.now());
                send(
                    &mut socket,
                    frames.into_iter().map(|frame| (symbol.clone(), frame)).collect(),
                )
                .await
            }
            Event::Message(message) => {
                traffic = Instant::now();
                let text = match message {
                    Message::Text(text) => text.as_str().to_owned(),
                    Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    _ => continue,
                };
                if overrun(hub, &caller) {
                    return socket.close(CloseCode::Policy, "too many messages").await;
                }
                match parse(&text, plan) {
                    Ok(Request::Ping) => {
                        status_at = Some(Instant::now() + status_every);
                        answer(&mut socket, r#"{"status":"UP"}"#.to_owned()).await
                    }
                    Ok(Request::List(ticket)) => answer(&mut socket, listed(&wishes, &ticket)).await,
                    Ok(Request::Subscribe(new)) => {
                        wishes = new;
                        let first = subscribe(&mut hub.lock(), &socket, &mut wishes, plan);
                        send(&mut socket, first).await
                    }
                    Err(error) => answer(&mut socket, error).await,
                }
            }
        };
        match sent {
            Ok(true) => traffic = Instant::now(),
            Ok(false) => {}
            Err(Gone) => return,
        }
    }
}

/// Whether the socket sent more messages than it may.
fn overrun(hub: &Hub, caller: &str) -> bool {
    hub.settings.limits
        && MESSAGES.iter().any(|&limit| {
            let verdict = hub.lock().limits.ask(limit, caller, 1, Instant::now());
            !matches!(verdict, Verdict::Pass { .. })
        })
}

/// Sends data frames, each of a market where it is of one; whether there were any. They are binary, whatever the client
/// sends.
async fn send(socket: &mut Socket, frames: Vec<(Option<Symbol>, String)>) -> Result<bool, Gone> {
    let some = !frames.is_empty();
    for (symbol, frame) in frames {
        socket.data(symbol.as_deref(), frame, true).await?;
    }
    Ok(some)
}

/// Sends an answer, which is no data.
async fn answer(socket: &mut Socket, text: String) -> Result<bool, Gone> {
    socket.send(Message::Binary(text.into_bytes().into())).await?;
    Ok(true)
}
