//! Diffs that wait for a snapshot: in order, without a hole, bounded, and with memory that is used again.

use std::collections::VecDeque;

use crossbook_engine::book::sync::{MessageIds, SequenceRule};
use crossbook_engine::event::Level;
use crossbook_engine::units::TimestampNs;

use crate::input::Via;

/// One diff, copied.
#[derive(Debug)]
pub(super) struct Diff {
    pub ids: MessageIds,
    pub ts: Option<TimestampNs>,
    pub via: Via,
    /// When its content was made, on our monotonic clock.
    pub fresh_ns: i64,
    /// Whether its frame's fate hangs on it; not so when it was applied as it came.
    pub pending: bool,
    levels: Vec<Level>,
    bids: usize,
}

impl Diff {
    pub fn sides(&self) -> (&[Level], &[Level]) {
        self.levels.split_at(self.bids)
    }
}

/// The diffs that are kept.
#[derive(Debug)]
pub(super) struct Kept {
    diffs: VecDeque<Diff>,
    spare: Vec<Vec<Level>>,
    most: usize,
}

/// What became of a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pushed {
    /// Whether it is kept; otherwise all of it had been there before.
    pub kept: bool,
    /// Frames that were given up for it: it does not continue them, or there was no more room.
    pub given_up: u64,
}

/// Spare level lists are dropped beyond this, so that one long wait does not hold its memory for ever.
const MOST_SPARE: usize = 64;

impl Kept {
    pub fn new(most: usize) -> Kept {
        Kept {
            diffs: VecDeque::new(),
            spare: Vec::new(),
            most: most.max(1),
        }
    }

    /// Keeps a diff. One that leaves a hole makes those before it useless: a snapshot that reaches over the hole contains
    /// them, and one that does not is too old.
    pub fn push(&mut self, rule: SequenceRule, mut diff: Diff, bids: &[Level], asks: &[Level]) -> Pushed {
        let mut given_up = 0;
        if let Some(before) = self.diffs.back()
            && let (Some(last), Some(found)) = (before.ids.last, diff.ids.last)
        {
            if found <= last {
                return Pushed { kept: false, given_up };
            }
            let continues = match (rule, diff.ids.prev) {
                (SequenceRule::BinanceFutures, Some(prev)) => prev == last,
                _ => diff.ids.first.unwrap_or(found) <= last.saturating_add(1),
            };
            if !continues {
                given_up += self.clear();
            }
        }
        while self.diffs.len() >= self.most {
            given_up += self.drop_first();
        }
        let mut levels = self.spare.pop().unwrap_or_default();
        levels.clear();
        levels.extend_from_slice(bids);
        levels.extend_from_slice(asks);
        diff.levels = levels;
        diff.bids = bids.len();
        self.diffs.push_back(diff);
        Pushed { kept: true, given_up }
    }

    fn drop_first(&mut self) -> u64 {
        self.diffs.pop_front().map_or(0, |diff| {
            let pending = u64::from(diff.pending);
            self.reuse(diff);
            pending
        })
    }

    /// Forgets all; how many frames were pending.
    pub fn clear(&mut self) -> u64 {
        let mut pending = 0;
        while !self.diffs.is_empty() {
            pending += self.drop_first();
        }
        pending
    }

    pub fn is_empty(&self) -> bool {
        self.diffs.is_empty()
    }

    pub fn len(&self) -> usize {
        self.diffs.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diff> {
        self.diffs.iter()
    }

    pub fn pop(&mut self) -> Option<Diff> {
        self.diffs.pop_front()
    }

    pub fn reuse(&mut self, diff: Diff) {
        if self.spare.len() < MOST_SPARE {
            self.spare.push(diff.levels);
        }
    }
}

impl Diff {
    pub fn new(ids: MessageIds, ts: Option<TimestampNs>, via: Via, fresh_ns: i64, pending: bool) -> Diff {
        Diff {
            ids,
            ts,
            via,
            fresh_ns,
            pending,
            levels: Vec::new(),
            bids: 0,
        }
    }
}
