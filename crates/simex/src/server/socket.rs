//! A WebSocket of a client: what comes in, what the hub wants sent, and the timer, one at a time; and the faults that
//! strike what is sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::hub::{Hub, Joined, Note, SocketId};
use super::io::Control;
use super::spoil::spoil;
use crate::exchange::Venue;
use crate::faults::{FaultKind, Stage, Surface, Target};

/// Largest message that a client may send.
const MOST_BYTES: usize = 1 << 20;
/// A silent socket is asked about again after this long.
const HUSH: Duration = Duration::from_millis(250);

/// What a socket is called when faults are asked for.
#[derive(Debug, Clone)]
pub struct Place {
    /// At which venue.
    pub venue: Venue,
    /// Market data or an account's.
    pub surface: Surface,
    /// The path of its handshake.
    pub path: String,
}

impl Place {
    /// A target of this socket.
    pub fn target<'a>(&'a self, symbol: Option<&'a str>) -> Target<'a> {
        Target {
            venue: self.venue,
            surface: self.surface,
            path: &self.path,
            symbol,
        }
    }
}

/// A client's socket.
pub struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    joined: Joined,
    hub: Arc<Hub>,
    /// What it is.
    pub place: Place,
    control: Control,
    stopped: watch::Receiver<bool>,
    /// What is sent later, because a fault delays it; in order of time.
    delayed: VecDeque<(Instant, Message)>,
    /// A frame that is sent after the next one.
    held: Option<Message>,
    /// When it is to be closed, because the server said that it shuts down.
    ends: Option<Instant>,
    /// Numbers of the jitter.
    draws: u64,
}

/// What a socket's loop deals with next.
#[derive(Debug)]
pub enum Event {
    /// Something to send.
    Note(Note),
    /// A message of the client.
    Message(Message),
    /// The time that was waited for has come.
    Timer,
    /// It is over: the client has gone, was too slow, or the server stops.
    Over,
}

/// The connection is gone or is to be given up.
#[derive(Debug)]
pub struct Gone;

impl Socket {
    /// A socket on an upgraded connection.
    pub async fn new(
        upgraded: Upgraded,
        hub: Arc<Hub>,
        joined: Joined,
        place: Place,
        control: Control,
        stopped: watch::Receiver<bool>,
    ) -> Socket {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MOST_BYTES))
            .max_frame_size(Some(MOST_BYTES));
        // From here on, what is written are WebSocket frames.
        control.frames_begin();
        Socket {
            stream: WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await,
            joined,
            hub,
            place,
            control,
            stopped,
            delayed: VecDeque::new(),
            held: None,
            ends: None,
            draws: 0,
        }
    }

    /// Its number at the hub.
    pub fn id(&self) -> SocketId {
        self.joined.id
    }

    /// What comes next, at the latest the timer at `until`. Faults of the socket itself are carried out on the way.
    pub async fn next(&mut self, until: Instant) -> Event {
        loop {
            let due = self.delayed.front().map(|(at, _)| *at);
            let wake = [due, self.ends].into_iter().flatten().fold(until, Instant::min);
            let event = tokio::select! {
                biased;
                _ = self.stopped.changed() => Event::Over,
                _ = &mut self.joined.evicted => Event::Over,
                message = self.stream.next() => match message {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Event::Over,
                    Some(Ok(message)) => Event::Message(message),
                },
                () = tokio::time::sleep_until(wake) => Event::Timer,
                note = self.joined.notes.recv() => note.map_or(Event::Over, Event::Note),
            };
            match event {
                Event::Timer => {
                    let now = Instant::now();
                    if self.ends.is_some_and(|at| at <= now) {
                        self.say_goodbye(CloseCode::Restart, "shutdown").await;
                        return Event::Over;
                    }
                    while let Some((_, message)) = self.delayed.pop_front_if(|(at, _)| *at <= now) {
                        if self.write(message).await.is_err() {
                            return Event::Over;
                        }
                    }
                    if until <= now {
                        return Event::Timer;
                    }
                }
                Event::Note(Note::Fault(kind)) => {
                    if self.told(&kind).await.is_err() {
                        return Event::Over;
                    }
                }
                Event::Message(message) => {
                    if message.is_ping() {
                        // The pong is written with whatever comes next; whether it may be is decided here.
                        self.strikes(Stage::Socket, None);
                    }
                    return Event::Message(message);
                }
                other => return other,
            }
        }
    }

    /// Asks which faults strike; silence and unanswered pings are set up at once.
    fn strikes(&self, stage: Stage, symbol: Option<&str>) -> Vec<FaultKind> {
        let kinds = self.hub.lock().exchange.strike(stage, &self.place.target(symbol));
        for kind in &kinds {
            match kind {
                FaultKind::Silence => self.control.stall(HUSH),
                FaultKind::NoPong => self.control.drop_pongs(HUSH),
                _ => {}
            }
        }
        kinds
    }

    /// A fault that the server is told of.
    async fn told(&mut self, kind: &FaultKind) -> Result<(), Gone> {
        match kind {
            FaultKind::Reset { mid_frame } => {
                // The ping is long enough to be cut in its middle.
                self.control.cut_after(if *mid_frame { 60 } else { 0 });
                self.write(Message::Ping(Bytes::from_static(&[b'.'; 120]))).await?;
                Err(Gone)
            }
            FaultKind::Close { code } => {
                self.say_goodbye(CloseCode::from(*code), "fault").await;
                Err(Gone)
            }
            FaultKind::ServerShutdown { close_after_ms } => {
                let body = format!(r#"{{"e":"serverShutdown","E":{}}}"#, super::text::ms(self.hub.now()));
                let frame = if self.place.path.starts_with("/stream") {
                    crate::binance::wire::combined("!serverShutdown", &body)
                } else {
                    body
                };
                self.ends = Some(Instant::now() + Duration::from_millis(*close_after_ms));
                self.write(Message::from(frame)).await
            }
            FaultKind::PingFlood { pings } => {
                for number in 0..*pings {
                    self.write(Message::Ping(number.to_string().into_bytes().into()))
                        .await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends a data frame, of a market where it is of one.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn data(&mut self, symbol: Option<&str>, text: String, binary: bool) -> Result<(), Gone> {
        let kinds = self.strikes(Stage::Frame, symbol);
        if kinds.is_empty() && self.held.is_none() {
            let message = if binary {
                Message::Binary(text.into_bytes().into())
            } else {
                Message::from(text)
            };
            return self.send_as(symbol, message).await;
        }
        let raw = |bytes: Vec<u8>| {
            // Not every text is UTF-8 any more; a frame does not mind.
            let data = if binary { Data::Binary } else { Data::Text };
            Message::Frame(Frame::message(bytes, OpCode::Data(data), true))
        };
        let spoiled = spoil(&kinds, &text);
        let before = self.held.take();
        self.held = spoiled.later.map(raw);
        for bytes in spoiled.now {
            self.send_as(symbol, raw(bytes)).await?;
        }
        match before {
            Some(message) => self.send_as(symbol, message).await,
            None => Ok(()),
        }
    }

    /// Sends a message that is no data of a market: an answer, a ping.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.send_as(None, message).await
    }

    async fn send_as(&mut self, symbol: Option<&str>, message: Message) -> Result<(), Gone> {
        let mut messages = vec![message];
        let mut at = None;
        for kind in self.strikes(Stage::Socket, symbol) {
            match kind {
                FaultKind::Silence => return Ok(()),
                FaultKind::Delay { ms, jitter_ms } => {
                    // Spread evenly; which number falls to which message does not matter.
                    self.draws = self.draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let jitter = (self.draws >> 33) % (jitter_ms + 1);
                    at = Some(Instant::now() + Duration::from_millis(ms.saturating_add(jitter)));
                }
                FaultKind::Fragments { bytes } => {
                    messages = messages
                        .into_iter()
                        .flat_map(|message| fragments(message, bytes))
                        .collect();
                }
                _ => {}
            }
        }
        for message in messages {
            let last = self.delayed.back().map(|(at, _)| *at);
            match (at, last) {
                (None, None) => self.write(message).await?,
                (at, last) => {
                    if self.delayed.len() >= self.hub.settings.queue {
                        return Err(Gone);
                    }
                    // What is sent later never overtakes.
                    let at = at.max(last).unwrap_or_else(Instant::now);
                    self.delayed.push_back((at, message));
                }
            }
        }
        Ok(())
    }

    /// Writes a message. A client that does not read until its queue is full is given up.
    async fn write(&mut self, message: Message) -> Result<(), Gone> {
        let sent: Result<(), Error> = tokio::select! {
            biased;
            _ = self.stopped.changed() => return Err(Gone),
            _ = &mut self.joined.evicted => return Err(Gone),
            sent = self.stream.send(message) => sent,
        };
        sent.map_err(|_| Gone)
    }

    /// Says goodbye and waits a moment for the answer.
    pub async fn close(mut self, code: CloseCode, reason: &str) {
        self.say_goodbye(code, reason).await;
    }

    async fn say_goodbye(&mut self, code: CloseCode, reason: &str) {
        let frame = CloseFrame {
            code,
            reason: reason.to_owned().into(),
        };
        let wait = Duration::from_millis(self.hub.settings.close_ms);
        let goodbye = async {
            // An error means that the client has gone already.
            if self.stream.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        let _ = tokio::time::timeout(wait, goodbye).await;
    }
}

/// A message in pieces of so many bytes.
fn fragments(message: Message, size: usize) -> Vec<Message> {
    let (bytes, first) = match message {
        Message::Text(text) => (Bytes::from(text), Data::Text),
        Message::Binary(bytes) => (bytes, Data::Binary),
        other => return vec![other],
    };
    let size = size.max(1);
    let count = bytes.len().div_ceil(size).max(1);
    (0..count)
        .map(|index| {
            let piece = bytes.slice(index * size..((index + 1) * size).min(bytes.len()));
            let kind = if index == 0 { first } else { Data::Continue };
            Message::Frame(Frame::message(piece, OpCode::Data(kind), index + 1 == count))
        })
        .collect()
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.hub.leave(self.joined.id);
    }
}
