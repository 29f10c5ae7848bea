//! A book that is told by snapshots and numbered diffs: which go in, which are kept, and when it is lost.
//!
//! Diffs that come before a snapshot are kept; the snapshot enters at its own receive time, and the kept diffs that go
//! past it enter right behind it at that same time. Whether a diff continues the book is
//! [`crossbook_engine::book::sync`]'s verdict. After a gap, diffs are kept again until the next snapshot.

use std::collections::VecDeque;

use crossbook_engine::book::sync::{MessageIds, SequenceRule, Sync, Verdict};
use crossbook_engine::event::FeedStatus;
use crossbook_engine::units::TimestampNs;

use super::error::{ImportError, Place};
use super::frames::Fate;
use super::output::{Output, Stream, Traits};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;

/// A day of a busy market's diffs; beyond it the oldest are given up, so a snapshot that late would find a gap.
const MOST_KEPT: usize = 1 << 20;

/// One book that is told by snapshots and diffs.
pub(super) struct DiffBook {
    stream: Stream,
    traits: Traits,
    sync: Sync,
    kept: VecDeque<Message>,
    newest_event: Option<TimestampNs>,
}

impl DiffBook {
    pub(super) fn new(stream: Stream, sequence: SequenceRule) -> DiffBook {
        DiffBook {
            stream,
            traits: Traits {
                sequence,
                event_time: EventTime::Exchange,
            },
            sync: Sync::new(sequence),
            kept: VecDeque::new(),
            newest_event: None,
        }
    }

    /// How many diffs are kept for a later snapshot.
    pub(super) fn kept(&self) -> u64 {
        self.kept.len() as u64
    }

    pub(super) fn diff(
        &mut self,
        message: Message,
        place: impl Fn() -> Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        self.newest_event = self.newest_event.max(Some(message.ts_event));
        match self.sync.update(ids(&message)) {
            Verdict::Apply => {
                output.emit(&self.stream, self.traits, &message, true, place)?;
                Ok(Fate::Applied)
            }
            Verdict::Old => Ok(Fate::Ignored("already in the book".to_owned())),
            Verdict::BeforeSnapshot => {
                self.keep(message, output);
                Ok(Fate::Kept)
            }
            Verdict::Gap { .. } => {
                self.lose(message.ts_recv, place, output)?;
                self.keep(message, output);
                Ok(Fate::Kept)
            }
        }
    }

    /// `exchange_time`: whether the snapshot says itself when it was made.
    pub(super) fn snapshot(
        &mut self,
        mut message: Message,
        exchange_time: bool,
        place: impl Fn() -> Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        if !exchange_time {
            // Spot snapshots carry no time. The first diff that goes past one is no earlier than it; without such a
            // diff, the newest one is the best guess on the same clock.
            let past = self
                .kept
                .iter()
                .find(|diff| diff.seq_last > message.seq_last)
                .map(|diff| diff.ts_event);
            message.ts_event = past.or(self.newest_event).unwrap_or(message.ts_recv);
        }
        if self.sync.snapshot(ids(&message)) != Verdict::Apply {
            return Ok(Fate::Ignored("snapshot older than the book".to_owned()));
        }
        let ts_recv = message.ts_recv;
        output.emit(&self.stream, self.traits, &message, exchange_time, &place)?;
        while let Some(diff) = self.kept.front_mut() {
            match self.sync.update(ids(diff)) {
                Verdict::Apply => {
                    // From here on its time of receipt is the snapshot's; its latency was that of its own.
                    output.note_latency(&self.stream, diff.ts_recv.since(diff.ts_event));
                    diff.ts_recv = ts_recv;
                    output.emit(&self.stream, self.traits, diff, false, &place)?;
                    output.account.applied += 1;
                }
                Verdict::Old => output.account.ignore("already in the book"),
                Verdict::Gap { .. } | Verdict::BeforeSnapshot => {
                    self.lose(ts_recv, &place, output)?;
                    break;
                }
            }
            self.kept.pop_front();
        }
        Ok(Fate::Applied)
    }

    /// Takes a snapshot that starts the numbering anew, whatever was there before; diffs kept from before it are old.
    pub(super) fn restart(
        &mut self,
        message: Message,
        place: impl Fn() -> Place,
        output: &mut Output<'_>,
    ) -> Result<Fate, ImportError> {
        self.sync.lose();
        output.account.ignore_many("before the snapshot", self.kept());
        self.kept.clear();
        self.snapshot(message, true, place, output)
    }

    fn keep(&mut self, message: Message, output: &mut Output<'_>) {
        if self.kept.len() == MOST_KEPT {
            self.kept.pop_front();
            output.account.ignore("no snapshot to apply it to");
        }
        self.kept.push_back(message);
    }

    fn lose(
        &mut self,
        ts_recv: TimestampNs,
        place: impl FnOnce() -> Place,
        output: &mut Output<'_>,
    ) -> Result<(), ImportError> {
        self.sync.lose();
        let mut status = Message::status(ts_recv, FeedStatus::Gap);
        status.ts_event = self.newest_event.unwrap_or(ts_recv);
        output.emit(&self.stream, self.traits, &status, false, place)
    }
}

pub(super) fn ids(message: &Message) -> MessageIds {
    MessageIds {
        first: message.seq_first,
        last: message.seq_last,
        prev: message.seq_prev,
        ts_event: message.ts_event.0,
    }
}
