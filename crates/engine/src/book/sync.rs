//! Whether a message continues the book: the sequence rules of the venues, judged where data enter.
//!
//! Recorded and live feeds use the same machine. It only judges; what to do (drop, resnapshot, buffer) is the caller's.

use serde::{Deserialize, Serialize};

/// How a venue numbers its book messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SequenceRule {
    /// No numbers at all: every message is taken in arrival order.
    #[default]
    None,
    /// Each message has one number, one more than the message before.
    Contiguous,
    /// Binance spot: `U` (first) and `u` (last); `U` must be at most one past the last applied `u`.
    /// Source: Binance spot API documentation, "How to manage a local order book correctly" (text of 2025-11-12).
    BinanceSpot,
    /// Binance USD-M and COIN-M futures: `pu` must equal the last applied `u`; the first message after a snapshot may
    /// instead span the snapshot's id (`U <= lastUpdateId <= u`). Source: Binance futures API documentation.
    BinanceFutures,
    /// Upbit: whole books without a number; a message with an older exchange time than the last is dropped.
    UpbitTimestamp,
}

/// The numbers of one book message, as far as the venue gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageIds {
    /// First update id in the message (`U`).
    pub first: Option<u64>,
    /// Last update id in the message (`u`, `lastUpdateId`), or its only number.
    pub last: Option<u64>,
    /// Last update id of the message before (`pu`).
    pub prev: Option<u64>,
    /// Exchange time, for venues that have no number.
    pub ts_event: i64,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It continues the book.
    Apply,
    /// Already contained in the book, or older than it: drop and count.
    Old,
    /// No snapshot yet: keep it until one comes.
    BeforeSnapshot,
    /// At least one message is missing: the book is doubtful until the next snapshot.
    Gap {
        /// The number that would have continued the book.
        expected: u64,
        /// The number that came.
        found: u64,
    },
}

/// Position of one stream in its venue's numbering.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sync {
    rule: SequenceRule,
    last: Option<u64>,
    last_ts: i64,
    synced: bool,
    /// No diff has been applied since the snapshot.
    fresh: bool,
}

impl Sync {
    /// Starts without a snapshot.
    pub fn new(rule: SequenceRule) -> Sync {
        Sync {
            rule,
            last_ts: i64::MIN,
            ..Sync::default()
        }
    }

    /// Judges a snapshot. It is taken unless it is older than what is there.
    pub fn snapshot(&mut self, ids: MessageIds) -> Verdict {
        if self.rule == SequenceRule::UpbitTimestamp && ids.ts_event < self.last_ts {
            return Verdict::Old;
        }
        if self.rule != SequenceRule::UpbitTimestamp
            && self.synced
            && let (Some(last), Some(new)) = (self.last, ids.last)
            && new < last
        {
            return Verdict::Old;
        }
        self.last = ids.last.or(self.last.filter(|_| self.synced));
        self.last_ts = ids.ts_event;
        self.synced = true;
        self.fresh = true;
        Verdict::Apply
    }

    /// Judges a diff.
    pub fn update(&mut self, ids: MessageIds) -> Verdict {
        let verdict = self.judge(ids);
        match verdict {
            Verdict::Apply => {
                self.last = ids.last.or(self.last);
                self.last_ts = self.last_ts.max(ids.ts_event);
                self.fresh = false;
            }
            Verdict::Gap { .. } => self.lose(),
            Verdict::Old | Verdict::BeforeSnapshot => {}
        }
        verdict
    }

    /// Forgets the book: nothing continues it until the next snapshot.
    pub fn lose(&mut self) {
        self.synced = false;
        self.last = None;
        self.last_ts = i64::MIN;
    }

    /// Whether a snapshot was taken and nothing is missing since.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    fn judge(&self, ids: MessageIds) -> Verdict {
        if !self.synced {
            return Verdict::BeforeSnapshot;
        }
        let (Some(last), Some(found)) = (self.last, ids.last) else {
            let old = self.rule == SequenceRule::UpbitTimestamp && ids.ts_event < self.last_ts;
            return if old { Verdict::Old } else { Verdict::Apply };
        };
        match self.rule {
            SequenceRule::None | SequenceRule::UpbitTimestamp => Verdict::Apply,
            SequenceRule::Contiguous => match found {
                _ if found <= last => Verdict::Old,
                _ if found == last + 1 => Verdict::Apply,
                _ => Verdict::Gap {
                    expected: last + 1,
                    found,
                },
            },
            SequenceRule::BinanceSpot => {
                let first = ids.first.unwrap_or(found);
                match found {
                    _ if found <= last => Verdict::Old,
                    _ if first <= last + 1 => Verdict::Apply,
                    _ => Verdict::Gap {
                        expected: last + 1,
                        found: first,
                    },
                }
            }
            SequenceRule::BinanceFutures => {
                if found < last || (found == last && !self.fresh) {
                    return Verdict::Old;
                }
                let spans_snapshot = self.fresh && ids.first.is_some_and(|first| first <= last);
                match ids.prev {
                    Some(prev) if prev == last || spans_snapshot => Verdict::Apply,
                    Some(prev) => Verdict::Gap {
                        expected: last,
                        found: prev,
                    },
                    None => Verdict::Apply,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(first: u64, last: u64, prev: Option<u64>) -> MessageIds {
        MessageIds {
            first: Some(first),
            last: Some(last),
            prev,
            ts_event: 0,
        }
    }

    fn after_snapshot(rule: SequenceRule, last: u64) -> Sync {
        let mut sync = Sync::new(rule);
        assert_eq!(
            sync.snapshot(MessageIds {
                last: Some(last),
                ..MessageIds::default()
            }),
            Verdict::Apply
        );
        sync
    }

    #[test]
    fn spot_diffs_continue_overlap_or_leave_a_gap() {
        let cases = [
            (90, 99, Verdict::Old),
            (90, 100, Verdict::Old),
            (95, 105, Verdict::Apply),
            (101, 101, Verdict::Apply),
            (
                102,
                110,
                Verdict::Gap {
                    expected: 101,
                    found: 102,
                },
            ),
        ];
        for (first, last, want) in cases {
            let mut sync = after_snapshot(SequenceRule::BinanceSpot, 100);
            assert_eq!(sync.update(ids(first, last, None)), want, "{first}..{last}");
        }
    }

    #[test]
    fn futures_diffs_are_chained_by_the_previous_id() {
        let mut sync = after_snapshot(SequenceRule::BinanceFutures, 100);
        // The first usable diff may begin past the snapshot when its `pu` is the snapshot's own id.
        assert_eq!(sync.update(ids(140, 150, Some(100))), Verdict::Apply);
        assert_eq!(sync.update(ids(160, 170, Some(150))), Verdict::Apply);
        assert_eq!(sync.update(ids(160, 170, Some(150))), Verdict::Old);
        assert_eq!(
            sync.update(ids(190, 200, Some(180))),
            Verdict::Gap {
                expected: 170,
                found: 180
            }
        );
        assert_eq!(sync.update(ids(201, 210, Some(200))), Verdict::BeforeSnapshot);

        let mut sync = after_snapshot(SequenceRule::BinanceFutures, 100);
        assert_eq!(
            sync.update(ids(90, 110, Some(80))),
            Verdict::Apply,
            "spans the snapshot"
        );
        let mut sync = after_snapshot(SequenceRule::BinanceFutures, 100);
        assert_eq!(
            sync.update(ids(105, 110, Some(104))),
            Verdict::Gap {
                expected: 100,
                found: 104
            }
        );
    }

    #[test]
    fn upbit_frames_older_than_the_book_are_dropped() {
        let at = |ts_event| MessageIds {
            ts_event,
            ..MessageIds::default()
        };
        let mut sync = Sync::new(SequenceRule::UpbitTimestamp);
        assert_eq!(sync.snapshot(at(1_000)), Verdict::Apply);
        assert_eq!(sync.snapshot(at(1_000)), Verdict::Apply, "an equal time may carry news");
        assert_eq!(sync.snapshot(at(999)), Verdict::Old);
        assert_eq!(sync.snapshot(at(1_001)), Verdict::Apply);
    }

    #[test]
    fn a_gap_lasts_until_the_next_snapshot() {
        let mut sync = after_snapshot(SequenceRule::Contiguous, 1);
        assert_eq!(sync.update(ids(2, 2, None)), Verdict::Apply);
        assert_eq!(sync.update(ids(2, 2, None)), Verdict::Old);
        assert_eq!(sync.update(ids(4, 4, None)), Verdict::Gap { expected: 3, found: 4 });
        assert_eq!(sync.update(ids(5, 5, None)), Verdict::BeforeSnapshot);
        assert_eq!(
            sync.snapshot(MessageIds {
                last: Some(7),
                ..MessageIds::default()
            }),
            Verdict::Apply
        );
        assert_eq!(sync.update(ids(8, 8, None)), Verdict::Apply);
    }
}
