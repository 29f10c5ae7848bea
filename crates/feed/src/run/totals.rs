//! What a run came to: law C1 by its counts, law C2 by its gaps.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::live::Account;

/// A stretch without a live book, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapRecord {
    /// Venue by name.
    pub venue: String,
    /// In the venue's spelling.
    pub market: String,
    /// Its first instant, nanoseconds since the epoch.
    pub from: i64,
    /// Its end.
    pub to: i64,
    /// Length by the monotonic clock, in nanoseconds.
    pub length_ns: i64,
    /// Why.
    pub cause: String,
}

/// What became of everything that came in: law C1, and law C2 by its sums.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Frames and answers that came.
    pub received: u64,
    /// Of them, those with something for a book or an event.
    pub applied: u64,
    /// Passed over, by kind or reason.
    pub ignored: BTreeMap<String, u64>,
    /// Could not be read.
    pub quarantined: u64,
    /// Wait for a snapshot; none at the end.
    pub waiting: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Requests that failed or were refused.
    pub failed_requests: u64,
    /// Market time with a live book, in nanoseconds, summed over markets.
    pub live_ns: i64,
    /// Market time in gaps.
    pub gap_ns: i64,
}

impl Totals {
    /// Whether everything that came is accounted for.
    pub fn balances(&self) -> bool {
        self.received == self.applied + self.ignored.values().sum::<u64>() + self.quarantined + self.waiting
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Totals) {
        self.received += other.received;
        self.applied += other.applied;
        self.quarantined += other.quarantined;
        self.waiting += other.waiting;
        self.bytes += other.bytes;
        self.failed_requests += other.failed_requests;
        self.live_ns += other.live_ns;
        self.gap_ns += other.gap_ns;
        for (reason, count) in &other.ignored {
            *self.ignored.entry(reason.clone()).or_default() += count;
        }
    }
}

impl From<&Account> for Totals {
    fn from(account: &Account) -> Totals {
        let ignored = account.ignored().map(|(reason, count)| (reason.to_owned(), count));
        Totals {
            received: account.received,
            applied: account.applied,
            ignored: ignored.collect(),
            quarantined: account.quarantined,
            waiting: account.waiting,
            bytes: account.bytes,
            failed_requests: account.failed_requests,
            ..Totals::default()
        }
    }
}
