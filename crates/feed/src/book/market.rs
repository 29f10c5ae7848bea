//! The book of one live market: whether it can be believed, its timers, and what it asks for. What may enter it is judged in
//! `intake`.
//!
//! Pure: everything that happens is a call with a [`Stamp`], timers included ([`MarketBook::due_ns`]). What always holds: a
//! book that is called live is what the venue's messages say, each applied once and none missing, and its newest content
//! is younger than the limit; before anything else may be said of it, the events that make the engine's book price nothing
//! have been sent. Frames are not parsed here and connections are not known, only whether there is one.

use crossbook_engine::book::sync::{MessageIds, Sync};
use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::event::{EventKind, FeedStatus};
use crossbook_engine::units::{Price, TimestampNs};

use super::kept::Kept;
use super::message::{Counts, Kind, Message, Settled};
use super::output::{Cause, Gap, Health, LiveEvent, MarketIx, Out, Output};
use super::same_time::SameTime;
use crate::clock::Stamp;
use crate::input::{Command, Request, VenueIx, Via};
use crate::venue::BookLimits;

mod intake;

/// Timers and bounds, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Limits {
    stale: i64,
    crossed: i64,
    retry_first: i64,
    retry_most: i64,
    snapshot: i64,
}

/// Where the request for a snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Idle,
    Waiting { since_ns: i64 },
    Backoff { until_ns: i64 },
}

/// The book of one market and its health.
#[derive(Debug)]
pub struct MarketBook {
    market: MarketIx,
    venue: VenueIx,
    symbol: String,
    kind: Kind,
    limits: Limits,
    book: Book,
    sync: Sync,
    kept: Kept,
    same_time: SameTime,
    ask: Ask,
    failures: u32,
    /// Whether a connection delivers this market.
    fed: bool,
    /// Whether what is served was polled.
    polled: bool,
    /// Whether a snapshot is wanted although the book is whole: it has walked to the end of what is known.
    refreshing: bool,
    /// Whether the venue says that the market does not trade.
    halted: bool,
    /// Levels a side that make a refresh unnecessary.
    enough: [usize; 2],
    health: Health,
    via: Via,
    /// When the newest content was made, on our monotonic clock.
    content_ns: i64,
    crossed_ns: Option<i64>,
    /// The greatest update id or time seen in the book, over all connections.
    newest: MessageIds,
    ts_event: TimestampNs,
    covered_ns: i64,
    gaps_ns: i64,
    counts: Counts,
    settled: Settled,
}

/// A side with fewer known levels than this, and more beyond them that are not known, is asked for anew.
const ENOUGH_LEVELS: usize = 3;

impl MarketBook {
    /// A book of which nothing is known yet.
    pub fn new(
        market: MarketIx,
        venue: VenueIx,
        symbol: String,
        kind: Kind,
        limits: &BookLimits,
        now: Stamp,
    ) -> MarketBook {
        let rule = match kind {
            Kind::Diffs(rule) | Kind::Whole(rule) => rule,
        };
        MarketBook {
            market,
            venue,
            symbol,
            kind,
            limits: Limits {
                stale: nanos(limits.stale_after_ms),
                crossed: nanos(limits.crossed_after_ms),
                retry_first: nanos(limits.retry_first_ms.max(1)),
                retry_most: nanos(limits.retry_most_ms.max(1)),
                snapshot: nanos(limits.snapshot_ms.max(1)),
            },
            book: Book::default(),
            sync: Sync::new(rule),
            kept: Kept::new(limits.most_kept),
            same_time: SameTime::new(),
            ask: Ask::Idle,
            failures: 0,
            fed: false,
            polled: false,
            refreshing: false,
            halted: false,
            enough: [0; 2],
            health: Health {
                cause: Some(Cause::Starting),
                since: now,
            },
            via: Via::Rest,
            content_ns: i64::MIN,
            crossed_ns: None,
            newest: MessageIds {
                ts_event: i64::MIN,
                ..MessageIds::default()
            },
            ts_event: TimestampNs::MIN,
            covered_ns: 0,
            gaps_ns: 0,
            counts: Counts::default(),
            settled: Settled::default(),
        }
    }

    /// The run begins.
    pub fn begin(&mut self, now: Stamp) {
        self.health.since = now;
    }

    /// The book as it stands; priced only as far as [`MarketBook::health`] and the book itself allow.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Whether it can be believed, and since when.
    pub fn health(&self) -> Health {
        self.health
    }

    /// The venue's spelling of the market.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether what is served was polled.
    pub fn is_polled(&self) -> bool {
        self.polled
    }

    /// Whether a connection delivers this market.
    pub fn is_fed(&self) -> bool {
        self.fed
    }

    /// Diffs that wait for a snapshot.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// How long the book was live, and for how long gaps were told, in nanoseconds; the present stretch is in neither.
    pub fn covered_and_gaps_ns(&self) -> (i64, i64) {
        (self.covered_ns, self.gaps_ns)
    }

    /// What became of frames that had waited, since this was asked last.
    pub fn settled(&mut self) -> Settled {
        std::mem::take(&mut self.settled)
    }

    /// A request of this market failed; nothing is asked before `wait_ns` have passed.
    pub fn failed(&mut self, now: Stamp, wait_ns: i64) {
        if matches!(self.ask, Ask::Waiting { .. }) {
            self.counts.failed += 1;
            self.retry(now, wait_ns);
        }
    }

    /// A connection delivers this market from now on, though nothing of it may have come yet.
    pub fn connected(&mut self, now: Stamp, out: &mut Out<'_>) {
        self.heard(now, out);
        if self.ask == Ask::Idle {
            self.ask_if_wanted(now, out);
        }
    }

    /// No connection delivers this market any more. What was polled is served on while there is `polling`.
    pub fn disconnected(&mut self, now: Stamp, polling: bool, out: &mut Out<'_>) {
        self.fed = false;
        self.settled.ignored += self.kept.clear();
        self.ask = Ask::Idle;
        self.failures = 0;
        self.refreshing = false;
        if self.polled && polling {
            return;
        }
        self.polled = false;
        self.sync.lose();
        self.same_time.clear();
        self.crossed_ns = None;
        self.counts.disconnected += 1;
        self.turn(now, Some(Cause::Disconnected), out);
        self.status(now, FeedStatus::Disconnected, out);
    }

    /// The venue says that the market trades, or that it does not. While it does not, nothing is priced, whatever comes;
    /// when it does again, the next content makes the book live.
    pub fn trades(&mut self, now: Stamp, trading: bool, out: &mut Out<'_>) {
        self.halted = !trading;
        if self.halted && self.health.is_live() {
            self.turn(now, Some(Cause::Halted), out);
            self.status(now, FeedStatus::Stale, out);
        }
    }

    /// When the next timer falls due, on the monotonic clock; `i64::MAX` when none runs.
    pub fn due_ns(&self) -> i64 {
        let stale = if self.health.is_live() {
            self.content_ns.saturating_add(self.limits.stale)
        } else {
            i64::MAX
        };
        let crossed = match (self.crossed_ns, self.ask) {
            (Some(since), Ask::Idle) => since.saturating_add(self.limits.crossed),
            _ => i64::MAX,
        };
        let ask = match self.ask {
            Ask::Waiting { since_ns } => since_ns.saturating_add(self.limits.snapshot),
            Ask::Backoff { until_ns } => until_ns,
            Ask::Idle => i64::MAX,
        };
        stale.min(crossed).min(ask)
    }

    /// Does what fell due at `now`. Afterwards [`MarketBook::due_ns`] is later.
    pub fn fire(&mut self, now: Stamp, out: &mut Out<'_>) {
        if self.health.is_live() && now.mono_ns >= self.content_ns.saturating_add(self.limits.stale) {
            self.counts.stale += 1;
            self.turn(now, Some(Cause::Stale), out);
            self.status(now, FeedStatus::Stale, out);
        }
        if let (Some(since), Ask::Idle) = (self.crossed_ns, self.ask)
            && now.mono_ns >= since.saturating_add(self.limits.crossed)
        {
            match self.kind {
                Kind::Diffs(_) => self.doubt(now, Cause::Crossed, out),
                Kind::Whole(_) => self.ask_if_wanted(now, out),
            }
        }
        match self.ask {
            Ask::Waiting { since_ns } if now.mono_ns >= since_ns.saturating_add(self.limits.snapshot) => {
                self.failed(now, 0);
            }
            Ask::Backoff { until_ns } if now.mono_ns >= until_ns => {
                self.ask = Ask::Idle;
                self.ask_if_wanted(now, out);
            }
            _ => {}
        }
    }

    /// The run is over: the present stretch is told, and what waits is given up.
    pub fn finish(&mut self, now: Stamp, out: &mut Out<'_>) {
        self.settled.ignored += self.kept.clear();
        self.account(now, out);
        self.health.since = now;
    }

    /// Something of this market came over a connection.
    fn heard(&mut self, now: Stamp, out: &mut Out<'_>) {
        if self.fed {
            return;
        }
        self.fed = true;
        if self.health.cause.map(Cause::state) == Some(super::State::Down) {
            self.turn(now, Some(Cause::Snapshot), out);
            self.revive(now, out);
        }
    }

    /// Data flow again, for a book that had been told otherwise.
    fn revive(&mut self, now: Stamp, out: &mut Out<'_>) {
        if !self.book.is_feed_up() {
            self.status(now, FeedStatus::Connected, out);
        }
    }

    /// The book can no longer be believed and is made anew.
    fn doubt(&mut self, now: Stamp, cause: Cause, out: &mut Out<'_>) {
        self.sync.lose();
        self.settled.ignored += self.kept.clear();
        self.refreshing = false;
        self.crossed_ns = None;
        // A request that is on its way may bring what was asked before the loss: it is judged by its numbers like any.
        self.turn(now, Some(cause), out);
        self.status(now, FeedStatus::Gap, out);
        if self.ask == Ask::Idle {
            self.ask_if_wanted(now, out);
        }
    }

    /// After the book changed: is it live?
    fn judge(&mut self, now: Stamp, fresh_ns: i64, out: &mut Out<'_>) {
        self.content_ns = self.content_ns.max(fresh_ns);
        if self.book.is_crossed() {
            if self.crossed_ns.is_none() {
                self.crossed_ns = Some(now.mono_ns);
                self.counts.crossed += 1;
            }
            self.turn(now, Some(Cause::Crossed), out);
            return;
        }
        self.crossed_ns = None;
        let old = now.mono_ns >= self.content_ns.saturating_add(self.limits.stale);
        if self.halted || old {
            let cause = if self.halted { Cause::Halted } else { Cause::Lag };
            self.counts.stale += u64::from(self.health.is_live());
            self.turn(now, Some(cause), out);
            self.status(now, FeedStatus::Stale, out);
            return;
        }
        self.turn(now, None, out);
        match self.kind {
            Kind::Whole(_) => self.ask = Ask::Idle,
            Kind::Diffs(_) if !self.refreshing && !self.polled => {
                let short = |side, enough: usize| self.known(side) < enough;
                if short(BookSide::Bid, self.enough[0]) || short(BookSide::Ask, self.enough[1]) {
                    self.refreshing = true;
                    if self.ask == Ask::Idle {
                        self.ask_if_wanted(now, out);
                    }
                }
            }
            Kind::Diffs(_) => {}
        }
    }

    /// Known levels of a side, up to as many as are enough. A side of which everything is known has enough.
    fn known(&self, side: BookSide) -> usize {
        let worst = match side {
            BookSide::Bid => Price::ONE_STEP.raw(),
            BookSide::Ask => i64::MAX,
        };
        match Price::from_raw(worst) {
            Ok(worst) if !self.book.is_trusted(side, worst) => self.book.levels(side).take(ENOUGH_LEVELS).count(),
            _ => ENOUGH_LEVELS,
        }
    }

    fn wants_snapshot(&self) -> bool {
        match self.kind {
            Kind::Diffs(_) => self.fed && (self.refreshing || !self.sync.is_synced()),
            Kind::Whole(_) => self.crossed_ns.is_some(),
        }
    }

    fn ask_if_wanted(&mut self, now: Stamp, out: &mut Out<'_>) {
        if self.wants_snapshot() && !matches!(self.ask, Ask::Waiting { .. }) {
            self.counts.asked += 1;
            self.ask = Ask::Waiting { since_ns: now.mono_ns };
            out(Output::Command(Command::Fetch {
                venue: self.venue,
                request: Request::Books(vec![self.symbol.clone()]),
            }));
        }
    }

    fn retry(&mut self, now: Stamp, wait_ns: i64) {
        let doubled = self.limits.retry_first.saturating_mul(1 << self.failures.min(20));
        let backoff = doubled.min(self.limits.retry_most).max(wait_ns);
        self.failures = self.failures.saturating_add(1);
        self.ask = Ask::Backoff {
            until_ns: now.mono_ns.saturating_add(backoff),
        };
    }

    /// Changes health, and tells the stretch that is over.
    fn turn(&mut self, now: Stamp, cause: Option<Cause>, out: &mut Out<'_>) {
        if self.health.cause == cause {
            return;
        }
        self.account(now, out);
        self.health = Health { cause, since: now };
        if cause.is_none() {
            self.failures = 0;
        }
        out(Output::Health(self.market, self.health));
    }

    fn account(&mut self, now: Stamp, out: &mut Out<'_>) {
        let length = now.mono_ns - self.health.since.mono_ns;
        match self.health.cause {
            None => self.covered_ns += length,
            Some(_) if length == 0 => {}
            Some(cause) => {
                self.gaps_ns += length;
                out(Output::Gap(Gap {
                    market: self.market,
                    from: self.health.since,
                    to: now,
                    cause,
                }));
            }
        }
    }

    fn status(&mut self, now: Stamp, status: FeedStatus, out: &mut Out<'_>) {
        let message = Message {
            now,
            via: self.via,
            fresh_ns: now.mono_ns,
            ts: None,
            ids: MessageIds::default(),
            bids: &[],
            asks: &[],
        };
        self.event(&message, EventKind::Status(status), out);
    }

    /// Sends an event of this market, with a time that does not go back and is not later than now.
    pub fn event(&mut self, message: &Message<'_>, kind: EventKind<'_>, out: &mut Out<'_>) {
        let said = message.ts.unwrap_or(message.now.ts);
        self.ts_event = said.max(self.ts_event).min(message.now.ts);
        self.counts.held_times += u64::from(self.ts_event != said);
        self.book.apply(self.ts_event, message.now.ts, &kind);
        out(Output::Event(LiveEvent {
            market: self.market,
            stamp: message.now,
            via: message.via,
            ts_event: self.ts_event,
            ids: message.ids,
            kind,
        }));
    }
}

fn nanos(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}
