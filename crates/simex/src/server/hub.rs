//! What all connections of a server share: the exchange, who listens to what, limits.
//!
//! One lock guards it all, and whatever the exchange tells is handed to the sockets' queues under that lock: a snapshot
//! that a request reads and the changes that a socket is sent are in one order. Nothing waits while the lock is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbook_engine::units::{Price, TimestampNs};
use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::clock::Clock;
use super::limits::Limits;
use super::settings::Settings;
use super::socket::Place;
use super::stats::{Stats, Tick};
use crate::binance::wire::Diff;
use crate::exchange::{
    AccountEvent, AccountEventKind, BookView, Exchange, ExchangeError, MarketEvent, MarketEventKind, Notice, Symbol,
    Venue,
};
use crate::faults::{FaultKind, FaultNotice, Stage, Surface, Target};
use crate::sign::Nonces;

/// What a socket can be told of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The whole book, whenever it changed.
    Book,
    /// Best bid and ask, whenever they changed.
    Top,
    /// Changes of the book, gathered over so many milliseconds.
    Diff(u16),
    /// The top levels, every so many milliseconds if they changed.
    Partial(u16),
    /// Trades.
    Trade,
    /// Mark price and funding, every second.
    Mark,
}

/// Something for a socket to send.
#[derive(Debug, Clone)]
pub enum Note {
    /// [`Topic::Book`], [`Topic::Top`] or [`Topic::Partial`].
    Book {
        /// Which of them.
        topic: Topic,
        /// Whose.
        symbol: Symbol,
        /// The book.
        view: Arc<BookView>,
    },
    /// [`Topic::Diff`].
    Diff {
        /// Over how many milliseconds.
        period: u16,
        /// Whose.
        symbol: Symbol,
        /// What changed.
        diff: Arc<Diff>,
    },
    /// [`Topic::Trade`].
    Trade {
        /// Whose.
        symbol: Symbol,
        /// The trade.
        tick: Tick,
        /// The market's figures with it.
        stats: Arc<Stats>,
        /// Best bid and ask after it.
        view: Arc<BookView>,
    },
    /// [`Topic::Mark`].
    Mark {
        /// Whose.
        symbol: Symbol,
        /// Mark price.
        mark: Price,
        /// Next funding rate, 1e-8.
        rate: i64,
        /// When it falls due.
        next: TimestampNs,
    },
    /// To an account's private stream.
    Account(Arc<AccountEvent>),
    /// A fault that the socket is to carry out now.
    Fault(FaultKind),
}

impl Note {
    /// Of which market it is.
    pub fn symbol(&self) -> Option<Symbol> {
        match self {
            Note::Book { symbol, .. }
            | Note::Diff { symbol, .. }
            | Note::Trade { symbol, .. }
            | Note::Mark { symbol, .. } => Some(symbol.clone()),
            Note::Account(event) => match &event.kind {
                AccountEventKind::New(view)
                | AccountEventKind::Trade(view)
                | AccountEventKind::Working(view)
                | AccountEventKind::Amended(view)
                | AccountEventKind::Ended(view) => Some(view.order.symbol.clone()),
                AccountEventKind::Balances(_) => None,
            },
            Note::Fault(_) => None,
        }
    }
}

/// Number of a socket of this server.
pub type SocketId = u64;

/// Who listens.
struct Subscriber {
    venue: Venue,
    surface: Surface,
    path: String,
    wants: BTreeSet<(Symbol, Topic)>,
    accounts: BTreeSet<u32>,
    queue: mpsc::Sender<Note>,
    /// Ends when the hub forgets the socket, however many notes still wait.
    _here: oneshot::Sender<()>,
}

/// A socket's end of what [`Hub::join`] sets up.
pub struct Joined {
    /// Its number.
    pub id: SocketId,
    /// What it is to send.
    pub notes: mpsc::Receiver<Note>,
    /// Ends when the hub has forgotten it, because it was too slow.
    pub evicted: oneshot::Receiver<()>,
}

/// Mark price and funding of a perpetual as last told.
pub type Mark = (Price, i64, TimestampNs);

/// What the lock guards.
pub struct Inner {
    /// The exchange.
    pub exchange: Exchange,
    /// Rate limits.
    pub limits: Limits,
    /// Nonces that Upbit's keys used.
    pub nonces: Nonces,
    /// Figures of every market.
    stats: BTreeMap<(Venue, Symbol), Stats>,
    /// Mark prices of perpetuals.
    pub marks: BTreeMap<Symbol, Mark>,
    batches: BTreeMap<(Venue, Symbol, u16), Batch>,
    /// Markets whose book changed since the last flush of a period.
    touched: BTreeSet<(Venue, u16, Symbol)>,
    /// The period's number at its last flush.
    flushed: BTreeMap<u16, i64>,
    tops: BTreeMap<(Venue, Symbol), Option<[crossbook_engine::event::Level; 2]>>,
    subscribers: BTreeMap<SocketId, Subscriber>,
    next_socket: SocketId,
    /// Books are shown as they were when a fault of stale snapshots began, while one request is answered.
    pub stale: bool,
    /// Client ids that were made up for orders that came without.
    pub next_client_id: u64,
    notices: Vec<Notice>,
}

/// Shared by all connections.
pub struct Hub {
    inner: Mutex<Inner>,
    /// Timers and limits.
    pub settings: Settings,
    clock: Clock,
    /// How far the venues' clocks are ahead of ours, as last seen: a fault.
    offset_ns: AtomicI64,
}

/// Periods of diff streams, in milliseconds.
const fn periods(venue: Venue) -> &'static [u16] {
    match venue {
        Venue::Upbit => &[],
        Venue::Binance => &[100, 1_000],
        Venue::BinanceUsdm => &[100, 250, 500],
    }
}

/// Mark prices are told this often.
const MARK_MS: u16 = 1_000;
/// Levels of a whole book on a stream; more than any stream shows, so that it can be grouped.
const DEEP: usize = 300;
/// Levels of a partial book.
const PARTIAL: usize = 20;

impl Hub {
    /// A hub around an exchange.
    pub fn new(exchange: Exchange, settings: Settings, clock: Clock) -> Hub {
        let offset = exchange.clock().since(exchange.now());
        let first_ban = std::time::Duration::from_millis(settings.ban_ms);
        Hub {
            inner: Mutex::new(Inner {
                exchange,
                limits: Limits::new(first_ban),
                nonces: Nonces::default(),
                stats: BTreeMap::new(),
                marks: BTreeMap::new(),
                batches: BTreeMap::new(),
                touched: BTreeSet::new(),
                flushed: BTreeMap::new(),
                tops: BTreeMap::new(),
                subscribers: BTreeMap::new(),
                next_socket: 1,
                stale: false,
                next_client_id: 1,
                notices: Vec::new(),
            }),
            settings,
            clock,
            offset_ns: AtomicI64::new(offset),
        }
    }

    /// What the venues' clocks show now; all that is sent is stamped by it.
    pub fn now(&self) -> TimestampNs {
        self.clock.now().plus(self.offset_ns.load(Ordering::Relaxed))
    }

    /// The lock. Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets happen what is due, and tells everyone who listens.
    ///
    /// # Errors
    /// When the market's source fails.
    pub fn advance(&self) -> Result<(), ExchangeError> {
        let mut inner = self.lock();
        let now = self.clock.now();
        let mut notices = std::mem::take(&mut inner.notices);
        let advanced = inner.exchange.advance(now, &mut notices);
        inner.tell(&mut notices);
        inner.notices = notices;
        let shown = inner.exchange.clock();
        self.offset_ns
            .store(shown.since(inner.exchange.now()), Ordering::Relaxed);
        inner.flush(shown);
        advanced
    }

    /// Ends the exchange: its truth log is closed.
    ///
    /// # Errors
    /// When that cannot be written to its end.
    pub fn finish(self) -> Result<(), ExchangeError> {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        inner.exchange.finish()
    }

    /// Adds a socket.
    pub fn join(&self, place: &Place) -> Joined {
        let (queue, notes) = mpsc::channel(self.settings.queue.max(1));
        let (here, evicted) = oneshot::channel();
        let mut inner = self.lock();
        let id = inner.next_socket;
        inner.next_socket += 1;
        inner.subscribers.insert(
            id,
            Subscriber {
                venue: place.venue,
                surface: place.surface,
                path: place.path.clone(),
                wants: BTreeSet::new(),
                accounts: BTreeSet::new(),
                queue,
                _here: here,
            },
        );
        Joined { id, notes, evicted }
    }

    /// Forgets a socket.
    pub fn leave(&self, id: SocketId) {
        self.lock().subscribers.remove(&id);
    }
}

impl Inner {
    /// How many sockets are connected.
    pub fn sockets(&self) -> usize {
        self.subscribers.len()
    }

    /// What a socket listens to from now on, in place of what it did.
    pub fn set_wants(&mut self, id: SocketId, wants: BTreeSet<(Symbol, Topic)>) {
        if let Some(subscriber) = self.subscribers.get_mut(&id) {
            subscriber.wants = wants;
        }
    }

    /// Which accounts' events a socket is sent from now on.
    pub fn set_accounts(&mut self, id: SocketId, accounts: BTreeSet<u32>) {
        if let Some(subscriber) = self.subscribers.get_mut(&id) {
            subscriber.accounts = accounts;
        }
    }

    /// A market's figures; none before its first trade.
    pub fn stats(&self, venue: Venue, symbol: &str) -> Option<&Stats> {
        self.stats.get(&(venue, Symbol::from(symbol)))
    }

    /// Calls the exchange in a way that may make it tell something, and passes that on.
    pub fn with_notices<T>(&mut self, call: impl FnOnce(&mut Exchange, &mut Vec<Notice>) -> T) -> T {
        let mut notices = std::mem::take(&mut self.notices);
        let result = call(&mut self.exchange, &mut notices);
        self.tell(&mut notices);
        self.notices = notices;
        result
    }

    /// Passes on what the exchange told.
    fn tell(&mut self, notices: &mut Vec<Notice>) {
        let mut changed = BTreeSet::new();
        for notice in notices.drain(..) {
            match notice {
                Notice::Market(event) => self.market(event, &mut changed),
                Notice::Account(event) => {
                    let (venue, account) = (event.venue, event.account);
                    let note = Note::Account(Arc::new(event));
                    self.send(
                        |subscriber| subscriber.venue == venue && subscriber.accounts.contains(&account),
                        note,
                    );
                }
                // Nothing that is said to listeners.
                Notice::Fault(notice) if notice.begins && notice.kind.stage() == Stage::Told => self.fault(&notice),
                Notice::Fault(_) => {}
            }
        }
        for (venue, symbol) in changed {
            self.changed(venue, symbol);
        }
    }

    /// A fault that sockets carry out: those that it concerns are told.
    fn fault(&mut self, notice: &FaultNotice) {
        let covers = |subscriber: &Subscriber, symbol: Option<&str>| {
            notice.scope.covers(&Target {
                venue: subscriber.venue,
                surface: subscriber.surface,
                path: &subscriber.path,
                symbol,
            })
        };
        let concerns = |subscriber: &Subscriber| {
            covers(subscriber, None)
                || subscriber
                    .wants
                    .iter()
                    .any(|(symbol, _)| covers(subscriber, Some(symbol)))
        };
        let sockets = matches!(
            notice.kind,
            FaultKind::Reset { .. }
                | FaultKind::Close { .. }
                | FaultKind::ServerShutdown { .. }
                | FaultKind::PingFlood { .. }
        );
        if sockets {
            self.send(concerns, Note::Fault(notice.kind.clone()));
        }
    }

    fn market(&mut self, event: MarketEvent, changed: &mut BTreeSet<(Venue, Symbol)>) {
        let MarketEvent {
            venue,
            symbol,
            ts,
            kind,
        } = event;
        match kind {
            MarketEventKind::Book {
                first_id,
                last_id,
                bids,
                asks,
            } => {
                for &period in periods(venue) {
                    let batch = self.batches.entry((venue, symbol.clone(), period)).or_default();
                    batch.add(first_id, last_id, &bids, &asks);
                    self.touched.insert((venue, period, symbol.clone()));
                }
                changed.insert((venue, symbol));
            }
            MarketEventKind::Trade { id, price, qty, taker } => {
                let tick = Tick {
                    id,
                    ts,
                    price,
                    qty,
                    taker,
                };
                let stats = self.stats.entry((venue, symbol.clone())).or_default();
                stats.add(tick);
                let stats = Arc::new(stats.brief());
                if self.wanted(venue, &symbol, Topic::Trade) {
                    let view = Arc::new(self.view(venue, &symbol, 1));
                    let note = Note::Trade {
                        symbol: symbol.clone(),
                        tick,
                        stats,
                        view,
                    };
                    self.send_topic(venue, &symbol, Topic::Trade, note);
                }
            }
            MarketEventKind::Mark { mark, rate, next } => {
                self.marks.insert(symbol, (mark, rate, next));
            }
            MarketEventKind::Rules => {}
        }
    }

    /// The book of a market that is known to exist; empty otherwise.
    pub fn view(&self, venue: Venue, symbol: &str, depth: usize) -> BookView {
        if self.stale
            && let Some(view) = self.exchange.old_book(venue, symbol, depth)
        {
            return view;
        }
        self.exchange.book(venue, symbol, depth).unwrap_or_else(|| BookView {
            last_id: 0,
            ts: self.exchange.now(),
            bids: Vec::new(),
            asks: Vec::new(),
        })
    }

    /// A book changed: tells it to those who want it whole, or its top.
    fn changed(&mut self, venue: Venue, symbol: Symbol) {
        if self.wanted(venue, &symbol, Topic::Book) {
            let note = Note::Book {
                topic: Topic::Book,
                view: Arc::new(self.view(venue, &symbol, DEEP)),
                symbol: symbol.clone(),
            };
            self.send_topic(venue, &symbol, Topic::Book, note);
        }
        if self.wanted(venue, &symbol, Topic::Top) {
            let view = self.view(venue, &symbol, 1);
            let top = view
                .bids
                .first()
                .copied()
                .zip(view.asks.first().copied())
                .map(|(bid, ask)| [bid, ask]);
            if self.tops.insert((venue, symbol.clone()), top) != Some(top) {
                let note = Note::Book {
                    topic: Topic::Top,
                    view: Arc::new(view),
                    symbol: symbol.clone(),
                };
                self.send_topic(venue, &symbol, Topic::Top, note);
            }
        }
    }

    /// Sends what is gathered over periods that are over.
    fn flush(&mut self, now: TimestampNs) {
        let mut over = BTreeSet::new();
        for period in [100, 250, 500, 1_000] {
            let number = now.0.div_euclid(i64::from(period) * 1_000_000);
            if self.flushed.insert(period, number) != Some(number) {
                over.insert(period);
            }
        }
        let (due, rest) = std::mem::take(&mut self.touched)
            .into_iter()
            .partition(|(_, period, _)| over.contains(period));
        self.touched = rest;
        let due: BTreeSet<(Venue, u16, Symbol)> = due;
        for (venue, period, symbol) in due {
            let batch = self.batches.entry((venue, symbol.clone(), period)).or_default();
            let Some(diff) = batch.take(now) else { continue };
            let note = Note::Diff {
                period,
                symbol: symbol.clone(),
                diff: Arc::new(diff),
            };
            self.send_topic(venue, &symbol, Topic::Diff(period), note);
            let topic = Topic::Partial(period);
            if self.wanted(venue, &symbol, topic) {
                let note = Note::Book {
                    topic,
                    view: Arc::new(self.view(venue, &symbol, PARTIAL)),
                    symbol: symbol.clone(),
                };
                self.send_topic(venue, &symbol, topic, note);
            }
        }
        if over.contains(&MARK_MS) {
            for (symbol, (mark, rate, next)) in self.marks.clone() {
                let note = Note::Mark {
                    symbol: symbol.clone(),
                    mark,
                    rate,
                    next,
                };
                self.send_topic(Venue::BinanceUsdm, &symbol, Topic::Mark, note);
            }
        }
    }

    fn wanted(&self, venue: Venue, symbol: &Symbol, topic: Topic) -> bool {
        let key = (symbol.clone(), topic);
        self.subscribers
            .values()
            .any(|subscriber| subscriber.venue == venue && subscriber.wants.contains(&key))
    }

    fn send_topic(&mut self, venue: Venue, symbol: &Symbol, topic: Topic, note: Note) {
        let key = (symbol.clone(), topic);
        self.send(
            |subscriber| subscriber.venue == venue && subscriber.wants.contains(&key),
            note,
        );
    }

    /// Puts a note into the queues of those whom it concerns. Who has no room left is forgotten, and so disconnected.
    fn send(&mut self, concerns: impl Fn(&Subscriber) -> bool, note: Note) {
        self.subscribers
            .retain(|_, subscriber| !concerns(subscriber) || subscriber.queue.try_send(note.clone()).is_ok());
    }
}
