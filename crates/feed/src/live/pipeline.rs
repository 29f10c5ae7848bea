//! Inputs in, events and commands out: parsing, timers, connections, and the account of what came.
//!
//! Pure: it does no I/O and reads no clock; time is what the inputs' stamps say. A timer that fell due before an input is
//! served before it, at the time at which it fell due, so the same inputs give the same events whether or not anybody
//! asked in between. What always holds: each frame is counted once ([`Account::is_balanced`]), and of each market, the time
//! in which its book was live and its gaps make up the length of the run.

use std::collections::HashMap;

use crossbook_engine::units::TimestampNs;
use thiserror::Error;

use super::account::Account;
use super::clocks::{Latency, OwnClock};
use super::market::{Market, MarketState};
use super::nanos;
use super::route::{Route, Tally, settle};
use super::venue::{VenueState, book_source, kind_of};
use crate::book::{Flag, MarketBook, MarketIx, Out, Output};
use crate::clock::Stamp;
use crate::error::FeedError;
use crate::input::{Answer, Body, Command, ConnId, Input, LinkEvent, Note, Request, VenueIx, Via};
use crate::rules::{MarketStatus, RulesNote};
use crate::venue::VenueConfig;
use crate::wire::{self, Scratch};

/// Why a pipeline cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PipelineError {
    /// More venues than 255 or more markets than 65,535.
    #[error("too many venues or markets")]
    TooMany,
    /// A market stands twice in the list of its venue.
    #[error("{venue}: market {market} is listed twice")]
    Twice {
        /// Name of the venue.
        venue: String,
        /// The market.
        market: String,
    },
    /// The streams of a venue have no book in them.
    #[error("{venue}: none of its streams carries a book")]
    NoBook {
        /// Name of the venue.
        venue: String,
    },
}

/// What does not belong to a single venue.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Our wall clock is doubtful when it and the monotonic one disagree by more than this, in milliseconds.
    pub clock_step_ms: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { clock_step_ms: 1_000 }
    }
}

/// The pipeline: all venues and markets of a process.
#[derive(Debug)]
pub struct Pipeline {
    venues: Vec<VenueState>,
    markets: Vec<MarketState>,
    scratch: Scratch,
    own_clock: OwnClock,
    /// The newest input's stamp: wall time of a timer is derived from it.
    input: Option<Stamp>,
    /// Neither clock of anything that leaves is before this.
    now: Stamp,
    /// No timer falls due before this.
    due_ns: i64,
}

impl Pipeline {
    /// A pipeline for these venues, each with its markets in the venue's own spelling. [`MarketIx`] counts them in this
    /// order. The run begins with the first input.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub fn new(venues: &[(VenueConfig, Vec<String>)], options: Options) -> Result<Pipeline, PipelineError> {
        // Until the first input says when the run begins.
        let start = Stamp {
            mono_ns: 0,
            ts: TimestampNs(0),
        };
        let mut pipeline = Pipeline {
            venues: Vec::new(),
            markets: Vec::new(),
            scratch: Scratch::default(),
            own_clock: OwnClock::new(nanos(options.clock_step_ms)),
            input: None,
            now: start,
            due_ns: i64::MAX,
        };
        for (at, (config, symbols)) in venues.iter().enumerate() {
            let venue = VenueIx(u8::try_from(at).map_err(|_| PipelineError::TooMany)?);
            let source = book_source(config).ok_or_else(|| PipelineError::NoBook {
                venue: config.name.clone(),
            })?;
            let mut by_symbol = HashMap::with_capacity(symbols.len());
            for symbol in symbols {
                let market = MarketIx(u16::try_from(pipeline.markets.len()).map_err(|_| PipelineError::TooMany)?);
                if by_symbol.insert(symbol.clone(), market).is_some() {
                    return Err(PipelineError::Twice {
                        venue: config.name.clone(),
                        market: symbol.clone(),
                    });
                }
                let kind = kind_of(config.protocol, source);
                let book = MarketBook::new(market, venue, symbol.clone(), kind, &config.books, start);
                pipeline.markets.push(MarketState::new(venue, book));
            }
            pipeline
                .venues
                .push(VenueState::new(config, symbols, by_symbol, source));
        }
        Ok(pipeline)
    }

    /// Takes an input. All that follows from it, and from timers that fell due before it, goes to `out` before this
    /// returns.
    pub fn input(&mut self, input: &Input, out: &mut Out<'_>) {
        let now = self.advance(input.stamp, out);
        if self.own_clock.observe(now) {
            out(Output::Flag {
                venue: input.venue,
                flag: Flag::OwnClock,
                on: self.own_clock.doubtful,
            });
        }
        if usize::from(input.venue.0) >= self.venues.len() {
            return;
        }
        match &input.body {
            Body::Frame { conn, bytes, .. } => self.frame(now, input.venue, *conn, bytes, out),
            Body::Link { conn, event } => self.link(now, input.venue, *conn, event, out),
            Body::Answer { request, outcome } => self.answer(now, input.venue, request, outcome, out),
            Body::Note(note) => self.note(now, input.venue, note, out),
            Body::Tick => {}
        }
    }

    /// Serves the timers that have fallen due by now. Asking is never necessary for what [`Pipeline::input`] does later,
    /// only for its being done in time when nothing comes in. Who wants to replay what this did, journals a [`Body::Tick`]
    /// and gives it to [`Pipeline::input`].
    pub fn tick(&mut self, stamp: Stamp, out: &mut Out<'_>) {
        if self.input.is_some() {
            self.timers(stamp.mono_ns, out);
        }
    }

    /// The run is over: gaps that last are told up to now, and frames that wait are given up.
    pub fn finish(&mut self, stamp: Stamp, out: &mut Out<'_>) {
        let now = self.advance(stamp, out);
        for market in &mut self.markets {
            market.book.finish(now, out);
            settle(&mut self.venues[usize::from(market.venue.0)].account, &mut market.book);
        }
    }

    /// How many markets there are.
    pub fn len(&self) -> usize {
        self.markets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.markets.is_empty()
    }

    /// A market; `None` beyond the last.
    pub fn market(&self, market: MarketIx) -> Option<Market<'_>> {
        self.markets.get(usize::from(market.0)).map(Market::of)
    }

    /// All markets, in their order.
    pub fn markets(&self) -> impl Iterator<Item = (MarketIx, Market<'_>)> {
        let indices = (0..=u16::MAX).map(MarketIx);
        indices.zip(self.markets.iter().map(Market::of))
    }

    /// The market of this name at this venue.
    pub fn find(&self, venue: VenueIx, symbol: &str) -> Option<MarketIx> {
        self.venues
            .get(usize::from(venue.0))
            .and_then(|venue| venue.by_symbol.get(symbol).copied())
    }

    /// Name of a venue.
    pub fn venue_name(&self, venue: VenueIx) -> Option<&str> {
        self.venues.get(usize::from(venue.0)).map(|venue| venue.name.as_str())
    }

    /// Where a venue's frames went.
    pub fn account(&self, venue: VenueIx) -> Option<&Account> {
        self.venues.get(usize::from(venue.0)).map(|venue| &venue.account)
    }

    /// How long a venue's messages took, by its clock and ours.
    pub fn latency(&self, venue: VenueIx) -> Option<&Latency> {
        self.venues.get(usize::from(venue.0)).map(|venue| &venue.latency)
    }

    /// Whether a venue is polled now.
    pub fn is_polling(&self, venue: VenueIx) -> bool {
        self.venues
            .get(usize::from(venue.0))
            .is_some_and(|venue| venue.links.polling())
    }

    /// Whether a flag about clocks holds now.
    pub fn flag(&self, venue: VenueIx, flag: Flag) -> bool {
        match (flag, self.venues.get(usize::from(venue.0))) {
            (Flag::OwnClock, _) => self.own_clock.doubtful,
            (Flag::VenueAhead, Some(venue)) => venue.clock.ahead,
            (Flag::VenueDrift, Some(venue)) => venue.clock.drift,
            (_, None) => false,
        }
    }

    /// How often our wall clock was stepped.
    pub fn clock_steps(&self) -> u64 {
        self.own_clock.steps
    }

    /// When the next timer may fall due, on the monotonic clock; `i64::MAX` when none runs.
    pub fn due_ns(&self) -> i64 {
        self.due_ns
    }

    /// Time goes on to an input's stamp.
    fn advance(&mut self, stamp: Stamp, out: &mut Out<'_>) -> Stamp {
        if self.input.is_none() {
            self.begin(stamp);
        }
        self.timers(stamp.mono_ns, out);
        self.now = later(self.now, stamp);
        self.input = Some(self.now);
        self.now
    }

    fn begin(&mut self, stamp: Stamp) {
        self.input = Some(stamp);
        self.now = stamp;
        for market in &mut self.markets {
            market.book.begin(stamp);
        }
        for venue in &mut self.venues {
            venue.links.begin(stamp);
        }
        self.due_ns = i64::MIN;
    }

    fn timers(&mut self, until_ns: i64, out: &mut Out<'_>) {
        while self.due_ns <= until_ns {
            let venues = self.venues.iter().map(|venue| venue.links.due_ns());
            let markets = self.markets.iter().map(|market| market.book.due_ns());
            let first = venues.chain(markets).enumerate().min_by_key(|(at, due)| (*due, *at));
            let Some((at, due_ns)) = first.filter(|(_, due_ns)| *due_ns <= until_ns) else {
                self.due_ns = first.map_or(i64::MAX, |(_, due_ns)| due_ns);
                return;
            };
            self.now = self.stamp_at(due_ns);
            match at.checked_sub(self.venues.len()) {
                None => self.review(VenueIx(at as u8), out),
                Some(market) => {
                    let was_live = self.markets[market].book.health().is_live();
                    self.markets[market].book.fire(self.now, out);
                    self.settle(market);
                    if was_live && !self.markets[market].book.health().is_live() {
                        self.renew(market, out);
                    }
                }
            }
        }
    }

    /// The stamp of a timer: wall time goes on from the last input as the monotonic clock does.
    fn stamp_at(&self, due_ns: i64) -> Stamp {
        let input = self.input.unwrap_or(self.now);
        let due = Stamp {
            mono_ns: due_ns,
            ts: input.ts.plus(due_ns.saturating_sub(input.mono_ns).max(0)),
        };
        later(self.now, due)
    }

    /// A market became stale. When all that its connection delivers is stale, though the socket lives, another connection
    /// may know more; once in ten times the limit.
    fn renew(&mut self, market: usize, out: &mut Out<'_>) {
        let state = &self.markets[market];
        let venue = &mut self.venues[usize::from(state.venue.0)];
        let Some(conn) = state.newest_feed() else { return };
        let recent = |at: i64| self.now.mono_ns < at.saturating_add(venue.stale_ns.saturating_mul(10));
        if venue.renewed_ns.is_some_and(recent) {
            return;
        }
        let delivers = |state: &&MarketState| state.is_fed_by(conn);
        if self
            .markets
            .iter()
            .filter(delivers)
            .any(|state| state.book.health().is_live())
        {
            return;
        }
        venue.renewed_ns = Some(self.now.mono_ns);
        out(Output::Command(Command::Reconnect {
            conn,
            error: FeedError::Timeout {
                what: "new content of any market".to_owned(),
                limit_ms: venue.stale_ms,
            },
        }));
    }

    fn frame(&mut self, now: Stamp, venue: VenueIx, conn: ConnId, bytes: &[u8], out: &mut Out<'_>) {
        let state = &mut self.venues[usize::from(venue.0)];
        state.account.received += 1;
        state.account.bytes += bytes.len() as u64;
        if !state.links.takes(conn) {
            state.account.ignore("frame of a connection that had ended", 1);
            return;
        }
        let mut route = Route {
            now,
            venue,
            via: Via::WebSocket(conn),
            only: None,
            state,
            markets: &mut self.markets,
            due_ns: &mut self.due_ns,
            tally: Tally::default(),
            out,
        };
        let protocol = route.state.protocol;
        let read = wire::read(protocol, bytes, &mut self.scratch, &mut |message| {
            route.message(&message)
        });
        route.close(bytes, read.err().as_ref());
    }

    fn answer(
        &mut self,
        now: Stamp,
        venue: VenueIx,
        request: &Request,
        outcome: &Result<Answer, FeedError>,
        out: &mut Out<'_>,
    ) {
        let state = &mut self.venues[usize::from(venue.0)];
        let mut wait_ns = 0;
        match outcome {
            Err(error) => {
                state.account.failed_requests += 1;
                if let FeedError::Limited { wait, .. } = error {
                    wait_ns = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
                }
            }
            Ok(answer) if answer.status != 200 => {
                state.account.received += 1;
                state.account.bytes += answer.bytes.len() as u64;
                state.account.failed_requests += 1;
                state
                    .account
                    .ignore(&format!("answer with HTTP status {}", answer.status), 1);
            }
            Ok(answer) => {
                state.account.received += 1;
                state.account.bytes += answer.bytes.len() as u64;
                let mut route = Route {
                    now,
                    venue,
                    via: Via::Rest,
                    only: match request {
                        Request::Books(symbols) => symbols.first().map(String::as_str),
                        Request::Trades(symbol) => Some(symbol),
                    },
                    state,
                    markets: &mut self.markets,
                    due_ns: &mut self.due_ns,
                    tally: Tally::default(),
                    out,
                };
                let (protocol, bytes) = (route.state.protocol, &answer.bytes);
                let read = wire::read_answer(protocol, request, bytes, &mut self.scratch, &mut |message| {
                    route.message(&message);
                });
                route.close(bytes, read.err().as_ref());
            }
        }
        // Whose book was asked for and is not in the answer: that request came to nothing.
        if let Request::Books(symbols) = request {
            for symbol in symbols {
                if let Some(market) = self.find(venue, symbol) {
                    let book = &mut self.markets[usize::from(market.0)].book;
                    book.failed(now, wait_ns);
                    self.due_ns = self.due_ns.min(book.due_ns());
                }
            }
        }
        self.review(venue, out);
    }

    fn link(&mut self, now: Stamp, venue: VenueIx, conn: ConnId, event: &LinkEvent, out: &mut Out<'_>) {
        let links = &mut self.venues[usize::from(venue.0)].links;
        match event {
            LinkEvent::Open { takes_over } => links.open(conn, *takes_over),
            LinkEvent::Live => {
                links.live(conn);
                if links.up() {
                    for market in self.markets.iter_mut().filter(|market| market.venue == venue) {
                        market.book.connected(now, out);
                        self.due_ns = self.due_ns.min(market.book.due_ns());
                    }
                }
            }
            LinkEvent::Closed { error } => {
                let heir = links.close(conn).filter(|_| error.is_none());
                let (up, polling) = (links.up(), links.polling());
                for index in 0..self.markets.len() {
                    let market = &mut self.markets[index];
                    if market.venue != venue {
                        continue;
                    }
                    let lost = market.lost(conn, heir) || (!up && !market.has_feed());
                    if lost && market.book.is_fed() {
                        market.book.disconnected(now, polling, out);
                        self.settle(index);
                    }
                }
            }
            LinkEvent::Failed { .. } => {}
        }
        self.review(venue, out);
    }

    /// Of all that is learned beside the data, the books care for whether a market trades.
    fn note(&mut self, now: Stamp, venue: VenueIx, note: &Note, out: &mut Out<'_>) {
        let Note::Rules(RulesNote::Update(update)) = note else {
            return;
        };
        let changed = update.changed.iter();
        let changed = changed.map(|rules| (&rules.symbol, rules.status == MarketStatus::Trading));
        for (symbol, trading) in changed.chain(update.gone.iter().map(|symbol| (symbol, false))) {
            if let Some(market) = self.find(venue, symbol) {
                let book = &mut self.markets[usize::from(market.0)].book;
                book.trades(now, trading, out);
                self.due_ns = self.due_ns.min(book.due_ns());
            }
        }
    }

    /// Looks whether a venue is to be polled.
    fn review(&mut self, venue: VenueIx, out: &mut Out<'_>) {
        let mut markets = self.markets.iter().filter(|market| market.venue == venue);
        let served = markets.any(|market| market.book.is_polled());
        let links = &mut self.venues[usize::from(venue.0)].links;
        if let Some(on) = links.review(self.now, served) {
            out(Output::Command(Command::Poll { venue, on }));
        }
        self.due_ns = self.due_ns.min(links.due_ns());
    }

    fn settle(&mut self, market: usize) {
        let market = &mut self.markets[market];
        settle(&mut self.venues[usize::from(market.venue.0)].account, &mut market.book);
        self.due_ns = self.due_ns.min(market.book.due_ns());
    }
}

/// The later of both clocks.
fn later(a: Stamp, b: Stamp) -> Stamp {
    Stamp {
        mono_ns: a.mono_ns.max(b.mono_ns),
        ts: a.ts.max(b.ts),
    }
}
