//! What the sockets hand to everything behind them, in order of arrival, and what may be asked of them in return.

use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Stamp;
use crate::error::FeedError;
use crate::fx::{Reading, Said};
use crate::rules::RulesNote;

/// A venue of this process: its place in the list of venue files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VenueIx(pub u8);

impl VenueIx {
    /// No venue: whence readings of exchange rates come.
    pub const NONE: VenueIx = VenueIx(u8::MAX);
}

/// One life of one socket: numbers grow with every connection made in this process and are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(pub u32);

/// Which way a frame came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// Pushed over a WebSocket.
    WebSocket(ConnId),
    /// Asked for: an answer to a REST request.
    Rest,
}

/// One thing that came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// When it was read.
    pub stamp: Stamp,
    /// From whom.
    pub venue: VenueIx,
    /// What it is.
    pub body: Body,
}

/// What came in.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A data frame, whole, as it came.
    Frame {
        /// Over which socket.
        conn: ConnId,
        /// Whether it was a binary frame (Upbit sends those).
        binary: bool,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A connection's state changed.
    Link {
        /// Which.
        conn: ConnId,
        /// To what.
        event: LinkEvent,
    },
    /// A REST request came to its end.
    Answer {
        /// What was asked.
        request: Request,
        /// Status and bytes, or why there are none.
        outcome: Result<Answer, FeedError>,
    },
    /// Nothing came in for a while: time has passed, and no more. It stands in the journal as all inputs do, so that what
    /// a timer did in silence is done again by whoever reads it. Its venue says nothing.
    Tick,
    /// What was learned beside the market data.
    Note(Box<Note>),
}

/// What is learned beside the market data: already read, as a value with a text form (JSON), so that a recorder keeps it in its
/// place among the frames and a replay gives it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// A source of exchange rates answered, or failed to; from [`VenueIx::NONE`].
    Fx(Reading),
    /// Rules of a venue's markets are new, or could not be had.
    Rules(RulesNote),
}

impl Note {
    /// Bytes of its text at most, near enough to bound a queue by.
    pub fn weight(&self) -> usize {
        match self {
            Note::Fx(Reading { source, said }) => {
                let reason = match said {
                    Said::Quote { .. } => 0,
                    Said::Failed { reason } => reason.len(),
                };
                source.len() + reason + 128
            }
            // A market's rules take 500 to 900 bytes, most of them ticks.
            Note::Rules(RulesNote::Update(update)) => update.changed.len() * 1_024 + update.gone.len() * 32 + 64,
            Note::Rules(RulesNote::Failed { venue, reason, .. }) => venue.len() + reason.len() + 64,
        }
    }
}

/// What a connection says of itself. Journals hold it as it is spelled here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkEvent {
    /// The socket is open and subscriptions are on their way; it comes before the first frame.
    Open {
        /// Whether it is to take over from another that is still alive.
        takes_over: Option<ConnId>,
    },
    /// The first data of every stream that must speak have come.
    Live,
    /// It is gone; nothing more comes from it.
    Closed {
        /// Why. `None` when another connection had taken over (planned close).
        error: Option<FeedError>,
    },
    /// A connection could not be made.
    Failed {
        /// How often in a row.
        attempt: u32,
        /// Why.
        error: FeedError,
        /// Milliseconds until the next attempt.
        retry_ms: u64,
    },
}

/// What may be asked of a venue's REST interface on behalf of a book. Answers come back as [`Body::Answer`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The book of these markets (Upbit takes several at a time, Binance one), in the venue's own spelling.
    Books(Vec<String>),
    /// Recent trades of a market.
    Trades(String),
}

/// A REST answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, decompressed.
    pub bytes: Bytes,
}

/// What the part that keeps the books asks of the parts that own the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask this; the answer arrives as an input.
    Fetch {
        /// Whom.
        venue: VenueIx,
        /// What.
        request: Request,
    },
    /// Give this connection up and make another.
    Reconnect {
        /// Which.
        conn: ConnId,
        /// Why.
        error: FeedError,
    },
    /// Ask for the books again and again, because nothing is pushed; or stop doing so.
    Poll {
        /// Whom.
        venue: VenueIx,
        /// Whether to.
        on: bool,
    },
}

impl Command {
    /// Whom it concerns, where it names a venue; connections are known by their own numbers.
    pub fn venue(&self) -> Option<VenueIx> {
        match self {
            Command::Fetch { venue, .. } | Command::Poll { venue, .. } => Some(*venue),
            Command::Reconnect { .. } => None,
        }
    }
}

/// A source of inputs: the sockets of a venue, or its REST interface.
pub trait Provider: Send + 'static {
    /// Runs until `commands` is closed; everything that comes in goes to `out`, whose fullness is the provider's to handle.
    /// Commands that are not for it are passed over.
    fn run(
        self: Box<Self>,
        out: InputSender,
        commands: tokio::sync::mpsc::UnboundedReceiver<Command>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The bounded queue into which every source of a process writes.
pub type InputSender = tokio::sync::mpsc::Sender<Input>;
/// Its other end.
pub type InputReceiver = tokio::sync::mpsc::Receiver<Input>;
