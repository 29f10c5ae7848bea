//! The matching model of replay and paper: an order meets the venue's book after a latency, on the venue's own timeline.
//!
//! An order sent at `t` reaches its venue at `t + order latency` and sees the book with every message of
//! `ts_event <=` that instant; its report comes back after the report latency. [`Sim::poll`] is the one way forward: it
//! does the venues' work in the order of venue time, never past the next report that we have not heard yet, so that what
//! we do on hearing it is still in time.
//!
//! What always holds: nothing fills at a price better than a recorded level, or for more than rests there (except as
//! [`FillModel::Top`] says); a final state is reported once, and the fills reported add up to what was filled; a spot
//! wallet pays nothing that it does not hold; an idle simulation costs one comparison an event ([`Sim::next_due`]).
//!
//! It does not model market impact beyond taken liquidity, self-trades, or liquidation; `docs/model.md` has the list.

mod config;
mod market;
mod matching;
mod queue;
mod wallet;

use thiserror::Error;

pub use self::config::{ConfigError, FeeRule, FillModel, Latency, QueueModel, SimConfig, VenueConfig};
use self::market::Market;
use self::wallet::Wallets;
use crate::book::Book;
use crate::event::EventKind;
use crate::instrument::{CurrencyId, Instrument, InstrumentId, VenueId};
use crate::ledger::funding_received;
use crate::order::{Fill, Order, OrderId, OrderStatus, Report};
use crate::rng::Rng;
use crate::units::{Amount, Overflow, Price, TimestampNs};

/// Where the venue's own timeline comes from: replay reads ahead in the recording, paper waits for arrivals.
///
/// Each instrument has a cursor into its stream, which only counts between `restart` and `release`.
pub trait VenueFeed {
    /// Makes `book` what the receiver has now, and sets the instrument's cursor behind the newest message received.
    fn restart(&mut self, instrument: InstrumentId, book: &mut Book);

    /// The cursor is not needed until the next `restart`: what it holds in memory may go.
    fn release(&mut self, instrument: InstrumentId);

    /// `ts_recv - ts_event` of the instrument's newest message received, in nanoseconds; zero before the first.
    fn delay_ns(&self, instrument: InstrumentId) -> i64;

    /// `ts_event` of the first message behind the cursor; `None` at the end of the data, or when none has arrived yet.
    fn next_event(&mut self, instrument: InstrumentId) -> Option<TimestampNs>;

    /// Hands over, in order, the messages behind the cursor with `ts_event <= until` as `(ts_event, ts_recv, event)`,
    /// and moves the cursor past them.
    fn advance(
        &mut self,
        instrument: InstrumentId,
        until: TimestampNs,
        apply: &mut impl FnMut(TimestampNs, TimestampNs, &EventKind<'_>),
    );
}

/// Why a simulation stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SimError {
    /// It cannot be set up like this.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Money of an order does not fit.
    #[error("order {} on instrument {}: {source}", order.0, instrument.0)]
    Overflow {
        /// The order.
        order: OrderId,
        /// Its instrument.
        instrument: InstrumentId,
        /// What does not fit.
        source: Overflow,
    },
    /// Money of a funding payment or of an opening balance does not fit.
    #[error("venue {}: {source}", venue.0)]
    Balance {
        /// The venue.
        venue: VenueId,
        /// What does not fit.
        source: Overflow,
    },
    /// An opening balance at a venue, or of a currency, that the run does not have.
    #[error("no wallet for venue {}, currency {}", venue.0, currency.0)]
    NoWallet {
        /// The venue asked for.
        venue: VenueId,
        /// The currency asked for.
        currency: CurrencyId,
    },
}

/// A venue's books that nobody waits for are still brought up to date this often, so that a feed that reads ahead
/// does not have to keep more than this of its past.
const HOUSEKEEPING_NS: i64 = 1_000_000_000;

/// The simulated venues.
#[derive(Debug)]
pub struct Sim {
    config: SimConfig,
    wallets: Wallets,
    markets: Vec<Market>,
    /// Fills of perpetuals by `(when, signed quantity)`, per instrument, as long as an older funding event may come.
    recent: Vec<Vec<(TimestampNs, i64)>>,
    latency: Rng,
    last_order: OrderId,
    /// On their way to a venue; the next to arrive last.
    inbound: Vec<Inbound>,
    /// On their way to us; the next to arrive last.
    outbound: Vec<Outbound>,
    reports_made: u64,
    /// The report that was handed over last; its fills are lent out.
    current: Vec<Fill>,
    /// Empty lists of fills, for reuse.
    spare: Vec<Vec<Fill>>,
    /// How far the venues have been worked.
    worked_to: TimestampNs,
    next_due: Option<TimestampNs>,
    /// Keeps every book on the venue's timeline all the time; the slow way that tests compare with.
    #[cfg(test)]
    always_hot: bool,
}

#[derive(Debug, Clone, Copy)]
struct Inbound {
    at: TimestampNs,
    message: Message,
}

#[derive(Debug, Clone, Copy)]
enum Message {
    New {
        order: Order,
        report_normal: f64,
        cancel_ns: i64,
    },
    Cancel {
        order: OrderId,
        instrument: InstrumentId,
    },
}

impl Inbound {
    /// By time, then by order; an order before its own cancel.
    fn key(&self) -> (TimestampNs, OrderId, u8) {
        match self.message {
            Message::New { order, .. } => (self.at, order.id, 0),
            Message::Cancel { order, .. } => (self.at, order, 1),
        }
    }
}

#[derive(Debug)]
struct Outbound {
    ts_report: TimestampNs,
    order: OrderId,
    number: u64,
    status: OrderStatus,
    ts_venue: TimestampNs,
    fills: Vec<Fill>,
}

impl Outbound {
    fn key(&self) -> (TimestampNs, OrderId, u64) {
        (self.ts_report, self.order, self.number)
    }
}

impl Sim {
    /// Simulated venues with these opening balances.
    ///
    /// # Errors
    /// [`SimError::Config`], [`SimError::NoWallet`], [`SimError::Balance`].
    pub fn new(config: SimConfig, opening: &[(VenueId, CurrencyId, Amount)]) -> Result<Sim, SimError> {
        config.validate()?;
        let mut wallets = Wallets::new(config.venues.len(), config.currencies);
        for &(venue, currency, amount) in opening {
            if venue.index() >= config.venues.len() || currency.index() >= config.currencies {
                return Err(SimError::NoWallet { venue, currency });
            }
            wallets
                .add(venue, currency, amount)
                .map_err(|source| SimError::Balance { venue, source })?;
        }
        let instruments = config.instruments.len();
        Ok(Sim {
            wallets,
            markets: std::iter::repeat_with(Market::default).take(instruments).collect(),
            recent: vec![Vec::new(); instruments],
            latency: Rng::stream(config.seed, "sim.latency"),
            last_order: OrderId(0),
            inbound: Vec::new(),
            outbound: Vec::new(),
            reports_made: 0,
            current: Vec::new(),
            spare: Vec::new(),
            worked_to: TimestampNs::MIN,
            next_due: None,
            config,
            #[cfg(test)]
            always_hot: false,
        })
    }

    /// Sends an order at its `ts_sent`.
    ///
    /// # Panics
    /// When order ids do not rise, or an order is sent before a time that was already polled: bugs of the caller.
    pub fn submit(&mut self, order: &Order, feed: &mut impl VenueFeed) {
        assert!(order.id > self.last_order, "order ids must rise");
        assert!(order.ts_sent >= self.worked_to, "an order cannot be sent into the past");
        self.last_order = order.id;
        // Three draws for every order, whatever it needs: the latencies of an order depend on seed and number alone.
        let draws: [f64; 3] = std::array::from_fn(|_| self.latency.normal());
        let instrument = &self.config.instruments[order.instrument.index()];
        let venue = &self.config.venues[instrument.venue.index()];
        let recorded_ns = feed.delay_ns(order.instrument);
        let order_ns = venue.order_latency.at(draws[0], recorded_ns);
        let cancel_ns = venue.order_latency.at(draws[1], recorded_ns);
        for other in self.instrument_ids() {
            if self.needs(order.instrument, other) {
                self.warm(other, order.ts_sent, feed);
                self.markets[other.index()].inbound += 1;
            }
        }
        self.send(Inbound {
            at: order.ts_sent.plus(order_ns),
            message: Message::New {
                order: *order,
                report_normal: draws[2],
                cancel_ns,
            },
        });
        self.refresh_due();
    }

    /// Asks at `now` to take an order back. It reaches the venue after the order's own latency for cancels, and never
    /// before the order; an order that has ended by then stays as it is, and nothing more is reported.
    pub fn cancel(&mut self, order: OrderId, now: TimestampNs) {
        let waiting = self.inbound.iter().find_map(|inbound| match inbound.message {
            Message::New {
                order: found,
                cancel_ns,
                ..
            } if found.id == order => Some((found.instrument, inbound.at.max(now.plus(cancel_ns)))),
            _ => None,
        });
        let target = waiting.or_else(|| {
            self.markets
                .iter()
                .flat_map(|market| &market.resting)
                .find(|resting| resting.order.id == order)
                .map(|resting| (resting.order.instrument, now.plus(resting.cancel_ns)))
        });
        if let Some((instrument, at)) = target {
            self.send(Inbound {
                at,
                message: Message::Cancel { order, instrument },
            });
            self.refresh_due();
        }
    }

    /// When [`Sim::poll`] next has something to do; `None` when idle. A field read.
    ///
    /// While orders rest, that includes the venue's next event, since it may fill them. A live feed does not know its
    /// next event before it is there: with one, poll at every arrival while [`Sim::resting`] is not zero.
    #[inline]
    pub fn next_due(&self) -> Option<TimestampNs> {
        self.next_due
    }

    /// Does the venues' work up to `now` and hands over the next report due by then, in the order of
    /// `(ts_report, order id)`.
    ///
    /// Call it until it gives `None`, and act on each report (submit, cancel) before asking for the next: venue time
    /// stands at most at the `ts_report` of the report in hand. `now` never goes back.
    ///
    /// # Errors
    /// [`SimError::Overflow`]: the run must stop.
    pub fn poll<F: VenueFeed>(&mut self, now: TimestampNs, feed: &mut F) -> Result<Option<Report<'_>>, SimError> {
        let bound = loop {
            let bound = self.outbound.last().map_or(now, |report| report.ts_report.min(now));
            match self.next_step(feed) {
                Some((at, step)) if at <= bound => self.work(at, step, feed)?,
                _ => break bound,
            }
        };
        self.worked_to = self.worked_to.max(bound);
        self.keep_house(bound, feed)?;
        let due = self.outbound.pop_if(|report| report.ts_report <= now);
        self.refresh_due();
        Ok(due.map(|due| {
            let mut lent = std::mem::replace(&mut self.current, due.fills);
            lent.clear();
            self.spare.push(lent);
            Report {
                order: due.order,
                status: due.status,
                fills: &self.current,
                ts_venue: due.ts_venue,
                ts_report: due.ts_report,
            }
        }))
    }

    /// Settles funding of a perpetual when its event is received: call after polling up to that instant. It is due on
    /// the position held at the venue at `ts_event`, before any fill of that very instant. What we receive (negative:
    /// pay) is credited here; the caller posts the same amount to the ledger, in the instrument's quote currency.
    ///
    /// # Errors
    /// [`SimError::Balance`] when the amount does not fit.
    pub fn funding(
        &mut self,
        instrument: InstrumentId,
        ts_event: TimestampNs,
        rate: i64,
        mark: Price,
    ) -> Result<Amount, SimError> {
        let Instrument { venue, base, quote, .. } = self.config.instruments[instrument.index()];
        // Funding events of a stream never go back in time, so older fills can never matter again.
        self.recent[instrument.index()].retain(|&(at, _)| at >= ts_event);
        let since: i128 = self.recent[instrument.index()]
            .iter()
            .map(|&(_, qty)| i128::from(qty))
            .sum();
        let held = i128::from(self.wallets.balance(venue, base).raw());
        Amount::from_wide(held - since)
            .and_then(|position| funding_received(position, mark, rate))
            .and_then(|received| self.wallets.add(venue, quote, received).map(|()| received))
            .map_err(|source| SimError::Balance { venue, source })
    }

    /// What the venue itself says it holds for us: the ledger's balance once every report has been heard.
    pub fn balance(&self, venue: VenueId, currency: CurrencyId) -> Amount {
        self.wallets.balance(venue, currency)
    }

    /// How many orders rest on a venue's book.
    pub fn resting(&self) -> usize {
        self.markets.iter().map(|market| market.resting.len()).sum()
    }

    /// Whether no order is on its way or resting, and no report outstanding.
    pub fn is_idle(&self) -> bool {
        self.inbound.is_empty() && self.outbound.is_empty() && self.resting() == 0
    }

    /// Instruments whose books follow the venue's timeline, because something taken there has not been refreshed yet or
    /// orders are on their way.
    pub(crate) fn followed(&self) -> impl Iterator<Item = InstrumentId> {
        self.instrument_ids()
            .filter(|instrument| self.markets[instrument.index()].hot)
    }

    /// Forgets what an event refreshes of what was taken; whether something is left. For an idle simulation whose feed is
    /// about to leap: the event counts, the book will be [started again](Sim::follow_on).
    pub(crate) fn pass(&mut self, instrument: InstrumentId, event: &EventKind<'_>) -> bool {
        let market = &mut self.markets[instrument.index()];
        market.pass(event);
        market.has_taken()
    }

    /// Lets a followed book go on from what has been received by `now`, or lets go of it when nothing is left that was
    /// taken.
    pub(crate) fn follow_on(&mut self, instrument: InstrumentId, now: TimestampNs, feed: &mut impl VenueFeed) {
        let market = &mut self.markets[instrument.index()];
        market.next_event = None;
        if market.has_taken() {
            feed.restart(instrument, &mut market.book);
            market.tracked_to = now;
        } else {
            market.hot = false;
            feed.release(instrument);
        }
        self.refresh_due();
    }

    fn send(&mut self, inbound: Inbound) {
        let at = self.inbound.partition_point(|other| other.key() > inbound.key());
        self.inbound.insert(at, inbound);
    }

    /// Whether an order on `instrument` needs the venue-side book of `other`: its own, and where margin is checked all of
    /// the venue, since their positions are valued too.
    fn needs(&self, instrument: InstrumentId, other: InstrumentId) -> bool {
        let venue = self.config.instruments[instrument.index()].venue;
        instrument == other
            || (self.config.instruments[other.index()].venue == venue
                && self.config.venues[venue.index()].max_leverage.is_some())
    }

    fn instrument_ids(&self) -> impl Iterator<Item = InstrumentId> + use<> {
        (0..self.markets.len()).map(|index| InstrumentId(index as u16))
    }

    /// Starts to follow a venue's book.
    fn warm(&mut self, instrument: InstrumentId, now: TimestampNs, feed: &mut impl VenueFeed) {
        let market = &mut self.markets[instrument.index()];
        if !market.hot {
            feed.restart(instrument, &mut market.book);
            market.hot = true;
            market.tracked_to = now;
            // Funding still to come cannot be older than what has been received.
            let received = market.book.ts_event();
            self.recent[instrument.index()].retain(|&(at, _)| at >= received);
        }
    }

    fn refresh_due(&mut self) {
        let messages = [
            self.inbound.last().map(|inbound| inbound.at),
            self.outbound.last().map(|report| report.ts_report),
        ];
        let markets = self.markets.iter().filter(|market| market.hot).filter_map(|market| {
            if market.resting.is_empty() {
                Some(market.tracked_to.plus(HOUSEKEEPING_NS))
            } else {
                market.next_event
            }
        });
        self.next_due = messages.into_iter().flatten().chain(markets).min();
    }
}

#[cfg(test)]
mod tests;
