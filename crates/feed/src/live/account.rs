//! Where every frame went: law C1, received = applied + ignored by kind + quarantined, and those that wait.

use std::collections::BTreeMap;

/// Kinds that are told apart; a venue that invents more is counted under `another kind`.
const MOST_KINDS: usize = 128;

/// Frames and answers of a venue, each counted once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// All that came.
    pub received: u64,
    /// At least one of its messages is in a book, or became an event.
    pub applied: u64,
    /// Could not be read.
    pub quarantined: u64,
    /// Wait for a snapshot.
    pub waiting: u64,
    /// Bytes of all that came.
    pub bytes: u64,
    /// Requests that ended without an answer, or with a refusal; the latter are among those ignored, too.
    pub failed_requests: u64,
    ignored: BTreeMap<String, u64>,
}

impl Account {
    /// Counts a frame that was passed over, by why.
    pub(super) fn ignore(&mut self, kind: &str, count: u64) {
        if count == 0 {
            return;
        }
        if let Some(counted) = self.ignored.get_mut(kind) {
            *counted += count;
            return;
        }
        let kind = if self.ignored.len() < MOST_KINDS {
            kind
        } else {
            "another kind"
        };
        *self.ignored.entry(kind.to_owned()).or_default() += count;
    }

    /// Frames passed over, by kind or reason, in the order of names.
    pub fn ignored(&self) -> impl Iterator<Item = (&str, u64)> {
        self.ignored.iter().map(|(kind, count)| (kind.as_str(), *count))
    }

    /// Whether every frame is accounted for.
    pub fn is_balanced(&self) -> bool {
        let ignored: u64 = self.ignored.values().sum();
        self.received == self.applied + ignored + self.quarantined + self.waiting
    }
}
