//! What may enter a book: diffs, whole books and answers, each judged by its numbers.

use crossbook_engine::book::BookSide;
use crossbook_engine::book::sync::{SequenceRule, Sync, Verdict};
use crossbook_engine::event::EventKind;

use super::super::kept::Diff;
use super::super::message::{Fate, Kind, Message};
use super::super::output::{Cause, Out};
use super::{Ask, MarketBook};

const OLDER: &str = "older than the book";

impl MarketBook {
    /// A diff came over a connection.
    pub fn diff(&mut self, message: &Message<'_>, out: &mut Out<'_>) -> Fate {
        let Kind::Diffs(rule) = self.kind else {
            return Fate::Ignored("diff of a book that comes whole");
        };
        self.heard(message.now, out);
        match self.sync.update(message.ids) {
            Verdict::Apply => {
                if self.refreshing {
                    self.keep(rule, message, false);
                }
                self.note(message);
                self.revive(message.now, out);
                let kind = EventKind::Update {
                    bids: message.bids,
                    asks: message.asks,
                };
                self.event(message, kind, out);
                self.judge(message.now, message.fresh_ns, out);
                Fate::Applied
            }
            Verdict::Old => self.duplicate(),
            Verdict::BeforeSnapshot => self.wait(rule, message, out),
            Verdict::Gap { .. } => {
                self.counts.gaps += 1;
                self.doubt(message.now, Cause::MissingUpdate, out);
                self.wait(rule, message, out)
            }
        }
    }

    /// A whole book came over a connection.
    pub fn whole(&mut self, message: &Message<'_>, out: &mut Out<'_>) -> Fate {
        let Kind::Whole(rule) = self.kind else {
            return Fate::Ignored("whole book of a market of diffs");
        };
        self.heard(message.now, out);
        let fate = self.replace(rule, message, out);
        // A duplicate confirms what was polled; an older book does not.
        self.polled &= fate == Fate::Ignored(OLDER);
        fate
    }

    /// A whole book came as the answer to a request: one of ours, or, when `polling`, one of those that stand in for a
    /// connection.
    pub fn answer(&mut self, message: &Message<'_>, polling: bool, out: &mut Out<'_>) -> Fate {
        match self.kind {
            Kind::Diffs(rule) => {
                let wanted = self.fed && (self.refreshing || !self.sync.is_synced());
                if wanted && self.rebase(rule, message, out) {
                    return Fate::Applied;
                }
                if polling && !self.sync.is_synced() {
                    return self.poll(message, out);
                }
                if wanted {
                    self.counts.too_old += 1;
                    self.retry(message.now, 0);
                    return Fate::Ignored("snapshot older than the diffs");
                }
                Fate::Ignored("answer that is not needed")
            }
            Kind::Whole(rule) => {
                let asked = self.ask != Ask::Idle;
                if !(polling || (self.fed && asked)) || (self.fed && self.health.is_live() && !self.polled) {
                    return Fate::Ignored("answer that is not needed");
                }
                let older = match rule {
                    SequenceRule::UpbitTimestamp => message.ids.ts_event < self.newest.ts_event,
                    _ => message.ids.last < self.newest.last,
                };
                let fate = if older {
                    self.counts.old += 1;
                    Fate::Ignored(OLDER)
                } else {
                    self.replace(rule, message, out)
                };
                self.polled |= fate == Fate::Applied && !self.fed;
                if asked && !self.health.is_live() {
                    self.retry(message.now, 0);
                }
                fate
            }
        }
    }

    fn duplicate(&mut self) -> Fate {
        self.counts.duplicates += 1;
        Fate::Ignored("duplicate")
    }

    /// Keeps a diff until there is a snapshot, and asks for one.
    fn wait(&mut self, rule: SequenceRule, message: &Message<'_>, out: &mut Out<'_>) -> Fate {
        let kept = self.keep(rule, message, true);
        if self.ask == Ask::Idle {
            self.ask_if_wanted(message.now, out);
        }
        if kept { Fate::Kept } else { self.duplicate() }
    }

    fn keep(&mut self, rule: SequenceRule, message: &Message<'_>, pending: bool) -> bool {
        let diff = Diff::new(message.ids, message.ts, message.via, message.fresh_ns, pending);
        let pushed = self.kept.push(rule, diff, message.bids, message.asks);
        self.counts.given_up += pushed.given_up;
        self.settled.ignored += pushed.given_up;
        pushed.kept
    }

    /// Lays a snapshot under the diffs that were kept. False when it is older than they are.
    ///
    /// Binance asks for another snapshot when `lastUpdateId < U` of the first diff; one that ends right before it
    /// (`lastUpdateId + 1 = U`) misses nothing and is taken.
    fn rebase(&mut self, rule: SequenceRule, message: &Message<'_>, out: &mut Out<'_>) -> bool {
        if self.kept.is_empty() && message.ids.last < self.newest.last {
            return false;
        }
        let mut sync = Sync::new(rule);
        sync.snapshot(message.ids);
        let continues = |diff: &Diff| !matches!(sync.update(diff.ids), Verdict::Gap { .. });
        if !self.kept.iter().all(continues) {
            return false;
        }
        self.sync = Sync::new(rule);
        self.sync.snapshot(message.ids);
        self.put(message, out);
        // An answer without a time is at least as young as its question.
        let mut fresh_ns = match (message.ts, self.ask) {
            (None, Ask::Waiting { since_ns }) => since_ns,
            _ => message.fresh_ns,
        };
        while let Some(diff) = self.kept.pop() {
            let applies = self.sync.update(diff.ids) == Verdict::Apply;
            if diff.pending {
                self.settled.applied += u64::from(applies);
                self.settled.ignored += u64::from(!applies);
            }
            if applies {
                let (bids, asks) = diff.sides();
                let message = Message {
                    now: message.now,
                    via: diff.via,
                    fresh_ns: diff.fresh_ns,
                    ts: diff.ts,
                    ids: diff.ids,
                    bids,
                    asks,
                };
                self.note(&message);
                self.event(&message, EventKind::Update { bids, asks }, out);
            }
            fresh_ns = fresh_ns.max(diff.fresh_ns);
            self.kept.reuse(diff);
        }
        self.polled = false;
        self.refreshing = false;
        self.failures = 0;
        // The next one, should it be needed at once, is not asked for at once.
        self.ask = Ask::Backoff {
            until_ns: message.now.mono_ns.saturating_add(self.limits.retry_first),
        };
        self.enough = [self.known(BookSide::Bid), self.known(BookSide::Ask)];
        self.judge(message.now, fresh_ns, out);
        true
    }

    /// Takes a polled book in place of a connection's diffs.
    fn poll(&mut self, message: &Message<'_>, out: &mut Out<'_>) -> Fate {
        if message.ids.last < self.newest.last {
            self.counts.old += 1;
            return Fate::Ignored(OLDER);
        }
        if self.polled && message.ids.last == self.newest.last {
            return self.duplicate();
        }
        self.polled = true;
        self.show(message, out);
        Fate::Applied
    }

    /// Takes a whole book if it is news.
    fn replace(&mut self, rule: SequenceRule, message: &Message<'_>, out: &mut Out<'_>) -> Fate {
        let whole = self.book.is_synced();
        let known = self.newest;
        if self.sync.snapshot(message.ids) != Verdict::Apply {
            self.counts.old += 1;
            return Fate::Ignored(OLDER);
        }
        let news = match rule {
            SequenceRule::UpbitTimestamp => {
                self.same_time
                    .is_news(message.ids.ts_event, message.via, message.bids, message.asks)
            }
            _ => message.ids.last.is_none() || message.ids.last != known.last,
        };
        if whole && !news {
            return self.duplicate();
        }
        self.show(message, out);
        Fate::Applied
    }

    fn show(&mut self, message: &Message<'_>, out: &mut Out<'_>) {
        self.put(message, out);
        self.judge(message.now, message.fresh_ns, out);
    }

    /// Puts a whole book in the place of what there was.
    fn put(&mut self, message: &Message<'_>, out: &mut Out<'_>) {
        self.note(message);
        self.revive(message.now, out);
        let kind = EventKind::Snapshot {
            bids: message.bids,
            asks: message.asks,
            complete: false,
        };
        self.event(message, kind, out);
    }

    /// Remembers how far the venue's numbers have come.
    fn note(&mut self, message: &Message<'_>) {
        self.via = message.via;
        self.newest.last = self.newest.last.max(message.ids.last);
        self.newest.ts_event = self.newest.ts_event.max(message.ids.ts_event);
    }
}
