//! What a place's connections did so far, for progress lines and tests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::FeedError;

/// Counted while it runs; shared between the connections of one place and whoever looks.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) frames: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) pings: AtomicU64,
    pub(super) pongs: AtomicU64,
    pub(super) attempts: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) live: AtomicU64,
    pub(super) replaced: AtomicU64,
    pub(super) unheard: AtomicU64,
    pub(super) connection: AtomicU64,
    pub(super) protocol: AtomicU64,
    pub(super) timeout: AtomicU64,
    pub(super) limited: AtomicU64,
    pub(super) overflow: AtomicU64,
}

/// A reading of [`Counters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Data frames handed on, or lost to an overflow.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Pings of the venue.
    pub pings: u64,
    /// Pongs of the venue.
    pub pongs: u64,
    /// Connections attempted.
    pub attempts: u64,
    /// Connections that opened.
    pub opened: u64,
    /// Connections that became live.
    pub live: u64,
    /// Connections that took over from another.
    pub replaced: u64,
    /// Streams that are no longer waited for, because they stayed silent while others spoke.
    pub unheard: u64,
    /// Ends by class: name, refusal, TLS, reset, close.
    pub connection: u64,
    /// Ends by class: broken protocol, frame too large, refused subscription.
    pub protocol: u64,
    /// Ends by class: connect, first data, silence, pong.
    pub timeout: u64,
    /// Ends by class: told to wait.
    pub limited: u64,
    /// Ends by class: our own queue was full.
    pub overflow: u64,
}

pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn end(&self, error: &FeedError) {
        add(
            match error {
                FeedError::Connection(_) => &self.connection,
                FeedError::Protocol(_) => &self.protocol,
                FeedError::Timeout { .. } => &self.timeout,
                FeedError::Limited { .. } => &self.limited,
                FeedError::Overflow(_) => &self.overflow,
            },
            1,
        );
    }

    /// What they say now.
    pub fn read(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            frames: get(&self.frames),
            bytes: get(&self.bytes),
            pings: get(&self.pings),
            pongs: get(&self.pongs),
            attempts: get(&self.attempts),
            opened: get(&self.opened),
            live: get(&self.live),
            replaced: get(&self.replaced),
            unheard: get(&self.unheard),
            connection: get(&self.connection),
            protocol: get(&self.protocol),
            timeout: get(&self.timeout),
            limited: get(&self.limited),
            overflow: get(&self.overflow),
        }
    }
}
