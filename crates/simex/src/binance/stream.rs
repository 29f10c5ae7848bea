//! Binance's market streams, spot and USD-M: raw and combined, subscribed by address or by message.
//!
//! Source: binance-spot-api-docs a5e0bc3, WebSocket streams (read 2026-11-21).

use std::collections::BTreeSet;
use std::time::Duration;

use crossbook_engine::units::TimestampNs;
use serde_json::Value;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::error::Error;
use super::wire::{
    TimeUnit, agg_trade, book_ticker, book_ticker_usdm, combined, depth, depth_update, depth_update_usdm, mark_price,
    trade,
};
use crate::exchange::{BookView, Symbol, Venue};
use crate::faults::{FaultKind, Stage};
use crate::server::http::{Call, Reply, member};
use crate::server::hub::{Hub, Note, Topic};
use crate::server::limits::{Limit, Verdict};
use crate::server::socket::{Event, Gone, Socket};
use crate::server::text::{ms, quoted};
use crate::sign::text::Plus;

/// Streams of one socket, at most.
const MOST_STREAMS: usize = 1_024;
/// Connections of an address.
const CONNECTS: Limit = Limit {
    group: "binance-connect",
    most: 300,
    window: Duration::from_secs(300),
};
/// Incoming messages of a socket; pings and pongs count.
const MESSAGES: Limit = Limit {
    group: "binance-message",
    most: 5,
    window: Duration::from_secs(1),
};

/// What the handshake decided.
#[derive(Debug)]
pub struct Plan {
    venue: Venue,
    /// Names as they were asked for.
    streams: Vec<String>,
    combined: bool,
    unit: TimeUnit,
}

/// Decides at the handshake what a socket is sent.
///
/// # Errors
/// The answer when it is refused.
pub fn plan(hub: &Hub, venue: Venue, call: &Call) -> Result<Plan, Reply> {
    let query = call.query_members(Plus::IsItself).unwrap_or_default();
    let split = |text: &str| {
        text.split('/')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (streams, combined) = match call.path.as_str() {
        "/stream" | "/stream/" => (split(member(&query, "streams").unwrap_or_default()), true),
        path if path == "/ws" || path.starts_with("/ws/") => (split(&path[3..]), false),
        path => return Err(Error::no_route(path).into()),
    };
    if streams.len() > MOST_STREAMS {
        return Err(Error::new(-1128, "Too many streams.").into());
    }
    if hub.settings.limits {
        let verdict = hub.lock().limits.ask(CONNECTS, &call.peer, 1, Instant::now());
        if !matches!(verdict, Verdict::Pass { .. }) {
            return Err(Reply::new(429, ""));
        }
    }
    Ok(Plan {
        venue,
        streams,
        combined,
        unit: member(&query, "timeUnit").and_then(TimeUnit::parse).unwrap_or_default(),
    })
}

/// What a stream's name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Diff(u16),
    Partial(usize, u16),
    BookTicker,
    Trade,
    AggTrade,
    Mark,
}

impl Kind {
    const fn topic(self) -> Topic {
        match self {
            Kind::Diff(period) => Topic::Diff(period),
            Kind::Partial(_, period) => Topic::Partial(period),
            Kind::BookTicker => Topic::Top,
            Kind::Trade | Kind::AggTrade => Topic::Trade,
            Kind::Mark => Topic::Mark,
        }
    }
}

/// Market and kind of a stream's name (`btcusdt@depth@100ms`); names are in lower case.
fn parse(venue: Venue, name: &str) -> Option<(Symbol, Kind)> {
    let mut parts = name.split('@');
    let symbol = parts
        .next()
        .filter(|symbol| !symbol.is_empty() && *symbol == symbol.to_lowercase())?;
    let (word, speed) = (parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let usdm = venue == Venue::BinanceUsdm;
    let period = match (usdm, speed) {
        (_, Some("100ms")) => Some(100),
        (false, None) => Some(1_000),
        (false, Some("1000ms")) => Some(1_000),
        (true, None) => Some(250),
        (true, Some("250ms")) => Some(250),
        (true, Some("500ms")) => Some(500),
        _ => None,
    };
    let kind = match (word, speed) {
        ("depth", _) => Kind::Diff(period?),
        ("depth5", _) => Kind::Partial(5, period?),
        ("depth10", _) => Kind::Partial(10, period?),
        ("depth20", _) => Kind::Partial(20, period?),
        ("bookTicker", None) => Kind::BookTicker,
        ("trade", None) => Kind::Trade,
        ("aggTrade", None) => Kind::AggTrade,
        ("markPrice", None | Some("1s")) if usdm => Kind::Mark,
        _ => return None,
    };
    Some((Symbol::from(symbol.to_uppercase()), kind))
}

/// A subscription.
#[derive(Debug)]
struct Stream {
    name: String,
    symbol: Symbol,
    kind: Kind,
}

/// What a socket is subscribed to.
#[derive(Debug)]
struct Streams {
    venue: Venue,
    list: Vec<Stream>,
    combined: bool,
    unit: TimeUnit,
}

impl Streams {
    /// Adds what is not there yet. Whether all names could be read and there was room.
    fn add(&mut self, names: &[String]) -> Result<(), String> {
        let mut new = Vec::new();
        for name in names {
            let (symbol, kind) = parse(self.venue, name).ok_or_else(|| format!("Invalid stream: {name}"))?;
            if self.list.iter().chain(&new).all(|stream| stream.name != *name) {
                new.push(Stream {
                    name: name.clone(),
                    symbol,
                    kind,
                });
            }
        }
        if self.list.len() + new.len() > MOST_STREAMS {
            return Err(format!("at most {MOST_STREAMS} streams"));
        }
        self.list.append(&mut new);
        Ok(())
    }

    /// Sets what the socket is sent; what a fault says in place of some of it.
    fn tell(&self, hub: &Hub, socket: &Socket) -> Vec<String> {
        let mut inner = hub.lock();
        let mut errors = Vec::new();
        let mut wants = BTreeSet::new();
        for stream in &self.list {
            let kinds = inner
                .exchange
                .strike(Stage::Subscribe, &socket.place.target(Some(&stream.symbol)));
            if kinds.contains(&FaultKind::ErrorInstead) {
                errors.push(Error::new(-1000, "An unknown error occurred.").json());
            }
            if kinds.is_empty() {
                wants.insert((stream.symbol.clone(), stream.kind.topic()));
            }
        }
        inner.set_wants(socket.id(), wants);
        errors
    }

    /// The frames that a note makes on this socket.
    fn frames(&self, note: &Note, now: TimestampNs) -> Vec<String> {
        let symbol = match note {
            Note::Book { symbol, .. } | Note::Diff { symbol, .. } | Note::Trade { symbol, .. } => symbol,
            Note::Mark { symbol, .. } => symbol,
            Note::Account(_) | Note::Fault(_) => return Vec::new(),
        };
        self.list
            .iter()
            .filter(|stream| stream.symbol == *symbol)
            .filter_map(|stream| Some((stream, self.data(stream.kind, note, now)?)))
            .map(|(stream, data)| {
                if self.combined {
                    combined(&stream.name, &data)
                } else {
                    data
                }
            })
            .collect()
    }

    fn data(&self, kind: Kind, note: &Note, now: TimestampNs) -> Option<String> {
        let (unit, usdm) = (self.unit, self.venue == Venue::BinanceUsdm);
        match (kind, note) {
            (Kind::Diff(wanted), Note::Diff { period, symbol, diff }) if wanted == *period => Some(if usdm {
                depth_update_usdm(symbol, diff)
            } else {
                depth_update(symbol, diff, unit)
            }),
            (Kind::Partial(levels, wanted), Note::Book { topic, symbol, view }) if *topic == Topic::Partial(wanted) => {
                Some(if usdm {
                    partial_usdm(symbol, view, levels, now)
                } else {
                    depth(view, levels)
                })
            }
            (
                Kind::BookTicker,
                Note::Book {
                    topic: Topic::Top,
                    symbol,
                    view,
                },
            ) => {
                if usdm {
                    book_ticker_usdm(symbol, view)
                } else {
                    book_ticker(symbol, view)
                }
            }
            (Kind::Trade, Note::Trade { symbol, tick, .. }) => Some(trade(symbol, tick, now, unit)),
            (Kind::AggTrade, Note::Trade { symbol, tick, .. }) => Some(agg_trade(symbol, tick, now, unit)),
            (
                Kind::Mark,
                Note::Mark {
                    symbol,
                    mark,
                    rate,
                    next,
                },
            ) => Some(mark_price(symbol, *mark, *rate, *next, now)),
            _ => None,
        }
    }
}

/// USD-M sends the partial book as a `depthUpdate` of all its levels.
fn partial_usdm(symbol: &str, view: &BookView, levels: usize, now: TimestampNs) -> String {
    let cut = |side: &[crossbook_engine::event::Level]| side.iter().take(levels).copied().collect();
    let diff = super::wire::Diff {
        ts: now,
        first: view.last_id,
        last: view.last_id,
        before: view.last_id.saturating_sub(1),
        bids: cut(&view.bids),
        asks: cut(&view.asks),
    };
    depth_update_usdm(symbol, &diff)
}

/// Answers a message of the client; changes the subscriptions.
fn request(streams: &mut Streams, text: &str) -> String {
    let invalid = |msg: &str, id: &Value| format!(r#"{{"code":2,"msg":{},"id":{id}}}"#, quoted(msg));
    let Ok(Value::Object(message)) = serde_json::from_str(text) else {
        return format!(r#"{{"code":3,"msg":{}}}"#, quoted("Invalid JSON: expected an object"));
    };
    let id = message.get("id").cloned().unwrap_or(Value::Null);
    let names: Option<Vec<String>> = message
        .get("params")
        .and_then(Value::as_array)
        .and_then(|params| params.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    match (message.get("method").and_then(Value::as_str), names) {
        (Some("SUBSCRIBE"), Some(names)) => match streams.add(&names) {
            Ok(()) => format!(r#"{{"result":null,"id":{id}}}"#),
            Err(msg) => invalid(&format!("Invalid request: {msg}"), &id),
        },
        (Some("UNSUBSCRIBE"), Some(names)) => {
            streams.list.retain(|stream| !names.contains(&stream.name));
            format!(r#"{{"result":null,"id":{id}}}"#)
        }
        (Some("LIST_SUBSCRIPTIONS"), _) => {
            let names: Vec<String> = streams.list.iter().map(|stream| quoted(&stream.name)).collect();
            format!(r#"{{"result":[{}],"id":{id}}}"#, names.join(","))
        }
        (Some("SET_PROPERTY"), _) => match message.get("params").and_then(Value::as_array).map(Vec::as_slice) {
            Some([Value::String(name), Value::Bool(on)]) if name == "combined" => {
                streams.combined = *on;
                format!(r#"{{"result":null,"id":{id}}}"#)
            }
            _ => invalid("Invalid request: unknown property", &id),
        },
        (Some("GET_PROPERTY"), _) => format!(r#"{{"result":{},"id":{id}}}"#, streams.combined),
        _ => invalid("Invalid request: unknown method or no params", &id),
    }
}

/// The server's ping, its answer, and the socket's age: the same on market streams and on the WebSocket API.
#[derive(Debug)]
pub(super) struct Heart {
    ping_every: Duration,
    pong_within: Duration,
    next_ping: Instant,
    /// The oldest ping that was not answered, with what it said.
    open: Option<(Instant, String)>,
    ends: Instant,
}

impl Heart {
    pub(super) fn new(hub: &Hub) -> Heart {
        let now = Instant::now();
        let ping_every = Duration::from_millis(hub.settings.binance_ping_ms.max(1));
        Heart {
            ping_every,
            pong_within: Duration::from_millis(hub.settings.binance_pong_ms),
            next_ping: now + ping_every,
            open: None,
            ends: now + Duration::from_millis(hub.settings.binance_life_ms),
        }
    }

    /// When [`Heart::beat`] has something to do.
    pub(super) fn due(&self) -> Instant {
        let answer = self.open.as_ref().map(|(since, _)| *since + self.pong_within);
        answer
            .map_or(self.next_ping, |at| at.min(self.next_ping))
            .min(self.ends)
    }

    /// What is due: a ping to send, or a reason to close.
    pub(super) fn beat(&mut self, clock: TimestampNs) -> Result<Option<Message>, &'static str> {
        let now = Instant::now();
        if now >= self.ends {
            return Err("24 hours");
        }
        if self
            .open
            .as_ref()
            .is_some_and(|(since, _)| now >= *since + self.pong_within)
        {
            return Err("no pong");
        }
        if now < self.next_ping {
            return Ok(None);
        }
        self.next_ping = now + self.ping_every;
        let payload = ms(clock).to_string();
        if self.open.is_none() {
            self.open = Some((now, payload.clone()));
        }
        Ok(Some(Message::Ping(payload.into_bytes().into())))
    }

    /// A pong came. Only one that says what a ping said answers it; unsolicited ones do not help.
    pub(super) fn pong(&mut self, payload: &[u8]) {
        if self.open.as_ref().is_some_and(|(_, text)| text.as_bytes() <= payload) {
            self.open = None;
        }
    }
}

/// Whether the socket sent more messages than it may.
pub(super) fn overrun(hub: &Hub, id: u64) -> bool {
    hub.settings.limits
        && !matches!(
            hub.lock()
                .limits
                .ask(MESSAGES, &format!("socket {id}"), 1, Instant::now()),
            Verdict::Pass { .. }
        )
}

/// Serves a socket until its end.
pub async fn run(mut socket: Socket, hub: &Hub, plan: Plan) {
    let mut streams = Streams {
        venue: plan.venue,
        list: Vec::new(),
        combined: plan.combined,
        unit: plan.unit,
    };
    // Names of the address that cannot be read are passed over in silence.
    for name in &plan.streams {
        let _ = streams.add(std::slice::from_ref(name));
    }
    let mut answers: Vec<String> = streams.tell(hub, &socket);
    let mut heart = Heart::new(hub);
    loop {
        for answer in answers.drain(..) {
            if let Err(Gone) = socket.send(Message::from(answer)).await {
                return;
            }
        }
        match socket.next(heart.due()).await {
            Event::Over => return,
            Event::Timer => match heart.beat(hub.now()) {
                Ok(Some(ping)) => {
                    if let Err(Gone) = socket.send(ping).await {
                        return;
                    }
                }
                Ok(None) => {}
                Err(reason) => return socket.close(CloseCode::Policy, reason).await,
            },
            Event::Note(note) => {
                let symbol = note.symbol();
                for frame in streams.frames(&note, hub.now()) {
                    if let Err(Gone) = socket.data(symbol.as_deref(), frame, false).await {
                        return;
                    }
                }
            }
            Event::Message(message) => {
                if overrun(hub, socket.id()) {
                    return socket.close(CloseCode::Policy, "Too many requests").await;
                }
                match message {
                    Message::Pong(payload) => heart.pong(&payload),
                    Message::Text(text) => {
                        answers.push(request(&mut streams, text.as_str()));
                        answers.extend(streams.tell(hub, &socket));
                    }
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_streams_are_read_or_refused() {
        let cases = [
            (Venue::Binance, "btcusdt@depth", Some(Kind::Diff(1_000))),
            (Venue::Binance, "btcusdt@depth@100ms", Some(Kind::Diff(100))),
            (Venue::Binance, "btcusdt@depth20@100ms", Some(Kind::Partial(20, 100))),
            (Venue::Binance, "btcusdt@depth5", Some(Kind::Partial(5, 1_000))),
            (Venue::Binance, "btcusdt@bookTicker", Some(Kind::BookTicker)),
            (Venue::Binance, "btcusdt@trade", Some(Kind::Trade)),
            (Venue::Binance, "btcusdt@aggTrade", Some(Kind::AggTrade)),
            (Venue::Binance, "BTCUSDT@trade", None),
            (Venue::Binance, "btcusdt@depth7", None),
            (Venue::Binance, "btcusdt@depth@250ms", None),
            (Venue::Binance, "btcusdt@markPrice", None),
            (Venue::Binance, "btcusdt", None),
            (Venue::Binance, "@trade", None),
            (Venue::BinanceUsdm, "btcusdt@depth", Some(Kind::Diff(250))),
            (Venue::BinanceUsdm, "btcusdt@depth@500ms", Some(Kind::Diff(500))),
            (Venue::BinanceUsdm, "btcusdt@markPrice@1s", Some(Kind::Mark)),
        ];
        for (venue, name, want) in cases {
            let got = parse(venue, name).map(|(symbol, kind)| {
                assert_eq!(&*symbol, "BTCUSDT");
                kind
            });
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn subscriptions_change_by_message() {
        let mut streams = Streams {
            venue: Venue::Binance,
            list: Vec::new(),
            combined: false,
            unit: TimeUnit::Milli,
        };
        let cases = [
            (
                r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","btcusdt@depth"],"id":1}"#,
                r#"{"result":null,"id":1}"#,
            ),
            (
                r#"{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":"x"}"#,
                r#"{"result":null,"id":"x"}"#,
            ),
            (
                r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#,
                r#"{"result":["btcusdt@trade"],"id":3}"#,
            ),
            (
                r#"{"method":"SUBSCRIBE","params":["nonsense"],"id":4}"#,
                r#"{"code":2,"msg":"Invalid request: Invalid stream: nonsense","id":4}"#,
            ),
            (
                r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#,
                r#"{"result":null,"id":5}"#,
            ),
            (
                r#"{"method":"GET_PROPERTY","params":["combined"],"id":6}"#,
                r#"{"result":true,"id":6}"#,
            ),
            ("[]", r#"{"code":3,"msg":"Invalid JSON: expected an object"}"#),
        ];
        for (sent, want) in cases {
            assert_eq!(request(&mut streams, sent), want);
        }
    }
}
