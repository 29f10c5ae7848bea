//! How many KRW a dollar (or a USDT) costs: several sources, each with its age and its plausible band, and an order among them.
//!
//! ```text
//! book of KRW-USDT (live pipeline) ─┐
//! quotes over HTTP (Poller) ─► Note ┼─► FxDesk ─► FxBook ─► FxEvent: rate for the engine, switch of source, refusal with its reason
//! a constant with its date ─────────┘                └─► current(now) ─► Redis (publish)
//! ```
//!
//! What always holds: a rate that is given out was sent by a source, is inside the band, and is not older than that source's
//! limit; there is never a silent substitute, so without such a rate there is none, and the time without is counted.
//! [`FxBook`] is a function of what it is told and when: a journal of the inputs gives the same rates again.

mod config;
mod desk;
mod poll;
mod publish;
pub mod quote;
mod select;

#[cfg(test)]
mod tests;

use crossbook_engine::event::EventKind;
use crossbook_engine::units::{Amount, FxRate, Price, TimestampNs};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use config::{Band, FxConfig, FxConfigError, QuoteFormat, RedisConfig, SourceConfig, SourceKind, TimeUnit};
pub use desk::{FxDesk, FxDeskError};
pub use poll::Poller;
pub use publish::{PublishStats, Shown, publish};
pub use select::{FxBook, FxStats, SourceIx, SourceStats};

/// What a source of rates over HTTP said when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The source's name.
    pub source: String,
    /// Its quote, or why there is none.
    pub said: Said,
}

/// A quote, not yet judged, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// A rate as it was written, and the source's own time for it.
    Quote {
        /// KRW per unit; may be anything, absurd values are refused where it is judged.
        rate: Amount,
        /// When the source says it was so.
        ts_event: TimestampNs,
    },
    /// It did not answer, or not as it should.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A rate that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// KRW per unit.
    pub rate: FxRate,
    /// Best bid and ask, where the source is a book: what selling and buying the unit really pays.
    pub sides: Option<(Price, Price)>,
    /// Whose it is.
    pub source: SourceIx,
    /// When the source says it was so, on our clock; never after it was received.
    pub ts_event: TimestampNs,
    /// How old it is now.
    pub age_ns: i64,
}

/// Why a quote is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The source did not answer, or its answer holds no rate.
    #[error("there is none")]
    Missing,
    /// Zero.
    #[error("it is zero")]
    Zero,
    /// Below zero.
    #[error("it is negative")]
    Negative,
    /// One over it would be plausible: dollars per won.
    #[error("it is inverted")]
    Inverted,
    /// A hundred times, or a hundredth of it, would be plausible.
    #[error("it is 100 times off")]
    Scaled,
    /// Outside of the absolute band.
    #[error("it is outside of the plausible band")]
    OutOfBand,
    /// Too far from the last one of the same source, which is still fresh.
    #[error("it jumps too far from the last one")]
    Jump,
    /// Too far from the fresh rates of the other sources.
    #[error("it is too far from the other sources")]
    Apart,
    /// Already older than the limit when it came (at night, over a weekend).
    #[error("it is too old")]
    Stale,
    /// From a time that has not come yet.
    #[error("it is from the future")]
    Future,
    /// Older than the last one of the same source.
    #[error("it is older than the last one")]
    Older,
    /// A book that is crossed or locked.
    #[error("its book is crossed")]
    Crossed,
    /// A book whose bid and ask are too far apart.
    #[error("its book is too wide")]
    Wide,
}

/// Why another source is in use from now on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchReason {
    /// The first rate of all, or the first after a time without.
    Found,
    /// A source that is preferred to the one in use has a rate again.
    Preferred,
    /// The last rate of the source in use has reached its age limit.
    Aged,
    /// The book behind it is no longer live.
    NotLive,
}

/// Something that happened to the rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FxEvent {
    /// The rate for the engine, see [`FxEvent::for_engine`].
    Rate {
        /// The rate.
        rate: FxRate,
        /// Bid and ask, where its source is a book.
        sides: Option<(Price, Price)>,
        /// Whose it is.
        source: SourceIx,
        /// The source's time for it, never going back from one event to the next although sources change.
        ts_event: TimestampNs,
    },
    /// Another source is in use, or none.
    Switch {
        /// When: for one that aged, the instant at which it did, not that at which it was noticed.
        at: TimestampNs,
        /// The one before.
        from: Option<SourceIx>,
        /// The one from now on.
        to: Option<SourceIx>,
        /// Why.
        reason: SwitchReason,
    },
    /// A quote was not believed, and the one before of this source was, or was refused for another reason.
    Refused {
        /// Whose.
        source: SourceIx,
        /// What it said, where it said something.
        value: Option<Amount>,
        /// Why not.
        reason: Refusal,
    },
}

impl FxEvent {
    /// What the engine is told, with the time that goes with it; a stream of these is a dataset's rate series.
    pub fn for_engine(&self) -> Option<(TimestampNs, EventKind<'static>)> {
        match self {
            FxEvent::Rate { rate, ts_event, .. } => Some((*ts_event, EventKind::Fx(*rate))),
            FxEvent::Switch { .. } | FxEvent::Refused { .. } => None,
        }
    }
}
