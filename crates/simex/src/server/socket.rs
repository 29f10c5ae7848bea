//! A WebSocket of a client: what comes in, what the hub wants sent, and the timer, one at a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::hub::{Hub, Joined, Note, SocketId};
use super::io::Control;

/// Largest message that a client may send.
const MOST_BYTES: usize = 1 << 20;

/// A client's socket.
pub struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    joined: Joined,
    hub: Arc<Hub>,
    /// Makes the connection misbehave.
    pub control: Control,
    stopped: watch::Receiver<bool>,
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
        control: Control,
        stopped: watch::Receiver<bool>,
    ) -> Socket {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MOST_BYTES))
            .max_frame_size(Some(MOST_BYTES));
        Socket {
            stream: WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await,
            joined,
            hub,
            control,
            stopped,
        }
    }

    /// Its number at the hub.
    pub fn id(&self) -> SocketId {
        self.joined.id
    }

    /// What comes next, at the latest the timer at `until`.
    pub async fn next(&mut self, until: Instant) -> Event {
        tokio::select! {
            biased;
            _ = self.stopped.changed() => Event::Over,
            _ = &mut self.joined.evicted => Event::Over,
            message = self.stream.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => Event::Over,
                Some(Ok(message)) => Event::Message(message),
            },
            () = tokio::time::sleep_until(until) => Event::Timer,
            note = self.joined.notes.recv() => note.map_or(Event::Over, Event::Note),
        }
    }

    /// Sends a message. A client that does not read until its queue is full is given up.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, message: Message) -> Result<(), Gone> {
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

impl Drop for Socket {
    fn drop(&mut self) {
        self.hub.leave(self.joined.id);
    }
}
