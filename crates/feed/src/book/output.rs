//! What leaves the books: events, health, gaps, and what is asked of others.

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::EventKind;
use crossbook_engine::units::TimestampNs;

use crate::clock::Stamp;
use crate::input::{Command, VenueIx, Via};
use crate::wire::WireError;

/// A market of this process: its place in the list of all markets, venue after venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarketIx(pub u16);

/// An event of the engine, and where it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveEvent<'a> {
    /// Of which market.
    pub market: MarketIx,
    /// When it was read, or when the timer that made it fell due. Neither clock goes back from one event to the next.
    pub stamp: Stamp,
    /// Which way its data came; for a status, which way those before it came.
    pub via: Via,
    /// When it happened at the venue, as far as the venue says so; never after `stamp.ts` and never going back in a
    /// market. What the venue said literally is `ids.ts_event`.
    pub ts_event: TimestampNs,
    /// The venue's numbers (a trade's id is `last`); `ts_event` zero where the venue gave no time.
    pub ids: MessageIds,
    /// What happened.
    pub kind: EventKind<'a>,
}

/// One thing that leaves the pipeline.
#[derive(Debug)]
pub enum Output<'a> {
    /// Something for the engine.
    Event(LiveEvent<'a>),
    /// Something for the sockets.
    Command(Command),
    /// A market's health changed. A change to "not live" comes before the status event that says so, one to "live" after
    /// the events that made the book whole.
    Health(MarketIx, Health),
    /// A stretch without live data came to its end, or its cause changed.
    Gap(Gap),
    /// A frame or an answer that could not be read.
    Quarantined {
        /// Whose.
        venue: VenueIx,
        /// When it was read.
        stamp: Stamp,
        /// All of it.
        bytes: &'a [u8],
        /// Why not.
        error: &'a WireError,
    },
    /// Something about clocks changed.
    Flag {
        /// Whose; for our own clock, the venue of the input that showed it.
        venue: VenueIx,
        /// What.
        flag: Flag,
        /// Whether it holds now.
        on: bool,
    },
}

/// Where outputs go.
pub type Out<'s> = dyn FnMut(Output<'_>) + 's;

/// What may be wrong with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// The venue stamps messages with times that are not yet, by our wall clock.
    VenueAhead,
    /// The venue's clock and our monotonic one do not run at one speed.
    VenueDrift,
    /// Our wall clock was stepped: it and the monotonic one disagree.
    OwnClock,
}

/// Whether a book can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is what the venue last said, and that was not long ago.
    Live,
    /// It may be right, but its content is old, or nobody can trade upon it.
    Stale,
    /// Data come, but the book is not whole.
    Resyncing,
    /// No data come.
    Down,
}

/// Why a book is not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nothing has come yet.
    Starting,
    /// The connection is gone.
    Disconnected,
    /// Data come; a snapshot is waited for.
    Snapshot,
    /// An update was missing.
    MissingUpdate,
    /// Best bid at or above best ask.
    Crossed,
    /// No new content for too long.
    Stale,
    /// What comes was made too long ago.
    Lag,
    /// The venue's rules say that the market does not trade.
    Halted,
}

impl Cause {
    /// The state of a book that is not live for this reason.
    pub fn state(self) -> State {
        match self {
            Cause::Starting | Cause::Disconnected => State::Down,
            Cause::Snapshot | Cause::MissingUpdate | Cause::Crossed => State::Resyncing,
            Cause::Stale | Cause::Lag | Cause::Halted => State::Stale,
        }
    }

    /// As it is written down.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Starting => "starting",
            Cause::Disconnected => "disconnected",
            Cause::Snapshot => "snapshot",
            Cause::MissingUpdate => "missing_update",
            Cause::Crossed => "crossed",
            Cause::Stale => "stale",
            Cause::Lag => "lag",
            Cause::Halted => "halted",
        }
    }
}

/// A book's health: what, why, since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Why it is not live; `None` when it is.
    pub cause: Option<Cause>,
    /// Since when.
    pub since: Stamp,
}

impl Health {
    /// In one word.
    pub fn state(&self) -> State {
        self.cause.map_or(State::Live, Cause::state)
    }

    /// Whether the book may be priced, as far as the feed can tell.
    pub fn is_live(&self) -> bool {
        self.cause.is_none()
    }
}

/// A stretch of time in which a market had no live book. Those of a market never overlap; together with the time in
/// which its book was live they make up the length of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Which.
    pub market: MarketIx,
    /// Its first instant.
    pub from: Stamp,
    /// The instant at which it was over, or its cause became another.
    pub to: Stamp,
    /// Why.
    pub cause: Cause,
}

impl Gap {
    /// How long it was, by the monotonic clock, in nanoseconds.
    pub fn length_ns(&self) -> i64 {
        self.to.mono_ns - self.from.mono_ns
    }
}
