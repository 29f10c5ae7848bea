//! The exchange behind the sockets: markets, books, accounts, orders. It knows no dialect.
//!
//! Time is handed in; nothing here asks a clock. What always holds: what happens is a function of the configuration, the
//! source and the calls, not of how often [`Exchange::advance`] is called in between.

mod accounts;
mod amend;
mod api;
mod book;
mod check;
mod faulty;
mod matching;
mod orders;
mod reference;
mod settle;
mod stops;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, Qty, TimestampNs};

use accounts::Accounts;
pub use api::*;
use book::MarketBook;
use faulty::Drift;
use orders::Orders;
pub use reference::ReferencePrice;

use crate::config::{AccountConfig, BinanceRules, Config, ConfigError, market_list};
use crate::faults::{FaultKind, Faults, Script, ScriptError};
use crate::market::synthetic::Synthetic;
use crate::market::{Change, ChangeKind, Source, SourceError};
use crate::truth::{Truth, TruthError, checksum_of};

/// Why the exchange cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The fault script is refused.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The truth log cannot be written.
    #[error(transparent)]
    Truth(#[from] TruthError),
}

/// A market with its book.
#[derive(Debug)]
struct Market {
    book: MarketBook,
    /// While a fault lasts: percent of an order that is matched before it hangs.
    hang: Option<u8>,
    /// Orders that hang.
    hung: Vec<u64>,
    /// Stop orders that wait, and those of them whose price was reached.
    stops: Vec<u64>,
    reached: VecDeque<u64>,
    /// How much more often than usual things happen.
    rate: f64,
    /// The book as it was when a fault of stale snapshots began.
    old: Option<BookView>,
}

/// What an exchange may be given beside its configuration.
#[derive(Default)]
pub struct Parts {
    /// Tells what the market does; markets are numbered as in [`market_list`]. The synthetic market when absent.
    pub source: Option<Box<dyn Source>>,
    /// The faults; those of the configuration's file when absent.
    pub script: Option<Script>,
}

/// All venues of a loopback exchange.
pub struct Exchange {
    now: TimestampNs,
    clock: Drift,
    faults: Faults,
    truth: Option<Truth>,
    /// Markets as they were listed at first, and as they are now.
    listed: Vec<MarketInfo>,
    infos: Vec<MarketInfo>,
    markets: Vec<Market>,
    by_symbol: BTreeMap<(Venue, Symbol), usize>,
    venues: [Range<usize>; 3],
    source: Box<dyn Source>,
    change: Change,
    accounts: Accounts,
    orders: Orders,
    /// Open orders of an account at Upbit.
    most_open: usize,
    binance: BinanceRules,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Exchange {
    /// An exchange with a synthetic market that opens at `start`, and the faults that the configuration names.
    ///
    /// # Errors
    /// When the configuration or the script is refused.
    pub fn new(config: &Config, start: TimestampNs) -> Result<Exchange, ExchangeError> {
        Exchange::with(config, start, Parts::default())
    }

    /// An exchange with parts of its own.
    ///
    /// # Errors
    /// When the configuration or the script is refused, or the source fails.
    pub fn with(config: &Config, start: TimestampNs, parts: Parts) -> Result<Exchange, ExchangeError> {
        config.check()?;
        let list = market_list(config)?;
        let script = match (parts.script, &config.faults) {
            (Some(script), _) => script,
            (None, Some(path)) => Script::load(path)?,
            (None, None) => Script::default(),
        };
        let mut source = parts
            .source
            .unwrap_or_else(|| Box::new(Synthetic::new(config.seed, start, &list)));
        let bursts = script
            .faults
            .iter()
            .any(|fault| matches!(fault.kind, FaultKind::Burst { .. }));
        if bursts && !list.is_empty() && !source.set_rate(0, 1.0) {
            let message = "a script with bursts needs the synthetic market: a recording has one rate".to_owned();
            return Err(ConfigError::Value {
                key: "faults".to_owned(),
                message,
            }
            .into());
        }
        let infos: Vec<MarketInfo> = list.into_iter().map(|listed| listed.info).collect();
        let span = |venue| {
            let first = infos.iter().position(|info| info.venue == venue).unwrap_or(0);
            first..first + infos.iter().filter(|info| info.venue == venue).count()
        };
        let venues = [span(Venue::Upbit), span(Venue::Binance), span(Venue::BinanceUsdm)];
        let markets = (1..=infos.len() as u64)
            .map(|number| Market {
                book: MarketBook::new(number * 10_000, start),
                hang: None,
                hung: Vec::new(),
                stops: Vec::new(),
                reached: VecDeque::new(),
                rate: 1.0,
                old: None,
            })
            .collect();
        let by_symbol = infos
            .iter()
            .enumerate()
            .map(|(index, info)| ((info.venue, info.symbol.clone()), index))
            .collect();
        let mut exchange = Exchange {
            now: start,
            clock: Drift::default(),
            truth: None,
            faults: Faults::new(&script, config.seed, start, &infos),
            listed: infos.clone(),
            infos,
            markets,
            by_symbol,
            venues,
            source,
            change: Change::default(),
            accounts: Accounts::new(config.accounts_or_default()),
            orders: Orders::default(),
            most_open: config.upbit.most_open_orders,
            binance: config.binance.clone(),
            bids: Vec::new(),
            asks: Vec::new(),
        };
        // The opening books are there before anyone listens, and the log begins with them.
        while exchange.source.next_ts().is_some_and(|ts| ts <= start) {
            exchange.step_source(&mut Vec::new())?;
        }
        if let Some(path) = &config.truth.path {
            exchange.truth = Some(Truth::create(path, &config.truth, exchange.infos.len())?);
            exchange.begin_truth(config.seed, start);
        }
        Ok(exchange)
    }

    /// The time to which it was advanced.
    pub fn now(&self) -> TimestampNs {
        self.now
    }

    /// What the exchange's own clock shows then; every stamp it gives is of this clock.
    pub fn clock(&self) -> TimestampNs {
        self.clock.read(self.now)
    }

    /// Lets everything happen that is due up to and including `to`. A time that has passed already changes nothing.
    ///
    /// # Errors
    /// When the source fails.
    pub fn advance(&mut self, to: TimestampNs, out: &mut Vec<Notice>) -> Result<(), ExchangeError> {
        loop {
            let fault = self.faults.next_ts().filter(|ts| *ts <= to);
            let change = self.source.next_ts().filter(|ts| *ts <= to);
            match (fault, change) {
                (Some(fault), change) if change.is_none_or(|change| fault <= change) => {
                    self.now = self.now.max(fault);
                    self.step_faults(out);
                }
                (_, Some(_)) => self.step_source(out)?,
                _ => break,
            }
        }
        self.now = self.now.max(to);
        self.truth.as_mut().map_or(Ok(()), Truth::check)?;
        Ok(())
    }

    /// Closes the truth log: its last line, on the disk.
    ///
    /// # Errors
    /// When it cannot be written; without one there is nothing to fail.
    pub fn finish(self) -> Result<(), ExchangeError> {
        if let Some(truth) = self.truth {
            truth.finish(self.now)?;
        }
        Ok(())
    }

    fn begin_truth(&mut self, seed: u64, start: TimestampNs) {
        if let Some(truth) = &mut self.truth {
            truth.head(seed, start, &self.infos);
        }
        for index in 0..self.markets.len() {
            self.write_whole(index);
        }
    }

    /// A whole book for the truth log.
    fn write_whole(&mut self, index: usize) {
        let (t, c) = (self.now, self.clock());
        let Some(truth) = &mut self.truth else { return };
        let book = &self.markets[index].book;
        let view = BookView {
            last_id: book.last_id,
            ts: book.ts,
            bids: book.shown(Side::Buy).collect(),
            asks: book.shown(Side::Sell).collect(),
        };
        truth.snapshot(t, c, index, &view);
    }

    /// A request that a server answered, for the truth log.
    pub fn note_request(&mut self, venue: Venue, account: Option<u32>, method: &str, path: &str, status: u16) {
        if let Some(truth) = &mut self.truth {
            truth.request(self.now, venue, account, method, path, status);
        }
    }

    fn step_source(&mut self, out: &mut Vec<Notice>) -> Result<(), ExchangeError> {
        let mut change = std::mem::take(&mut self.change);
        let some = self.source.next(&mut change)?;
        self.now = self.now.max(change.ts);
        if some {
            self.apply(&change, out);
        }
        self.change = change;
        Ok(())
    }

    fn apply(&mut self, change: &Change, out: &mut Vec<Notice>) {
        let index = change.market;
        let Some(market) = self.markets.get_mut(index) else {
            return;
        };
        let trading = self.infos[index].status == Status::Trading;
        match change.kind {
            ChangeKind::Snapshot => market.book.replace(&change.bids, &change.asks),
            ChangeKind::Update => market.book.update(&change.bids, &change.asks),
            ChangeKind::Trade { price, qty, taker } if trading => self.trade_through(index, price, qty, taker, out),
            ChangeKind::Trade { .. } => {}
            ChangeKind::Mark { mark, rate, next } => {
                let kind = MarketEventKind::Mark { mark, rate, next };
                self.tell(index, kind, out);
            }
        }
        if trading {
            self.uncross(index, out);
            self.begin_reached(index, out);
        }
        self.publish(index, out);
        self.tell_balances(out);
    }

    /// A trade for everyone to see.
    fn print(&mut self, index: usize, price: Price, qty: Qty, taker: Side, out: &mut Vec<Notice>) -> u64 {
        let now = self.clock();
        let trade = self.markets[index].book.trade(now, price, qty, taker);
        let kind = MarketEventKind::Trade {
            id: trade.id,
            price,
            qty,
            taker,
        };
        self.tell(index, kind, out);
        self.reach(index, price);
        trade.id
    }

    /// What changed in a market's book, for everyone to see.
    fn publish(&mut self, index: usize, out: &mut Vec<Notice>) {
        let now = self.clock();
        let tick = &self.infos[index].tick;
        let ids = self.markets[index]
            .book
            .publish(now, tick, &mut self.bids, &mut self.asks);
        if let Some((first_id, last_id)) = ids {
            let kind = MarketEventKind::Book {
                first_id,
                last_id,
                bids: Arc::from(self.bids.as_slice()),
                asks: Arc::from(self.asks.as_slice()),
            };
            self.tell(index, kind, out);
        }
    }

    fn tell(&mut self, index: usize, kind: MarketEventKind, out: &mut Vec<Notice>) {
        let ts = self.clock();
        let info = &self.infos[index];
        if let Some(truth) = &mut self.truth {
            let hash = match kind {
                MarketEventKind::Book { .. } => {
                    let pair = |level: Level| (level.price.raw(), level.qty.raw());
                    let book = &self.markets[index].book;
                    let bids = book.shown(Side::Buy).take(truth.levels()).map(pair);
                    checksum_of(bids, book.shown(Side::Sell).take(truth.levels()).map(pair))
                }
                _ => 0,
            };
            truth.market(self.now, ts, index, &kind, info, hash);
        }
        out.push(Notice::Market(MarketEvent {
            venue: info.venue,
            symbol: info.symbol.clone(),
            ts,
            kind,
        }));
        if self.truth.as_ref().is_some_and(|truth| truth.wants_snapshot(index)) {
            self.write_whole(index);
        }
    }

    fn index(&self, venue: Venue, symbol: &str) -> Option<usize> {
        self.by_symbol.get(&(venue, Symbol::from(symbol))).copied()
    }

    /// The venue's markets, in the order of its list; delisted ones are there with their status.
    pub fn markets(&self, venue: Venue) -> &[MarketInfo] {
        &self.infos[self.venues[venue as usize].clone()]
    }

    /// A market by its symbol.
    pub fn market(&self, venue: Venue, symbol: &str) -> Option<&MarketInfo> {
        Some(&self.infos[self.index(venue, symbol)?])
    }

    /// What Binance allows beside what each of its markets says.
    pub fn binance_rules(&self) -> &BinanceRules {
        &self.binance
    }

    /// The book as it is shown, at most `depth` levels a side.
    pub fn book(&self, venue: Venue, symbol: &str, depth: usize) -> Option<BookView> {
        let book = &self.markets[self.index(venue, symbol)?].book;
        Some(BookView {
            last_id: book.last_id,
            ts: book.ts,
            bids: book.shown(Side::Buy).take(depth).collect(),
            asks: book.shown(Side::Sell).take(depth).collect(),
        })
    }

    /// The newest trades of a market, newest first, at most `count` of the thousand that are kept.
    pub fn trades(&self, venue: Venue, symbol: &str, count: usize) -> Option<Vec<PublicTrade>> {
        let book = &self.markets[self.index(venue, symbol)?].book;
        Some(book.trades.iter().rev().take(count).copied().collect())
    }

    /// Number and configuration of the account that has this access key at a venue.
    pub fn account_by_key(&self, venue: Venue, access_key: &str) -> Option<(u32, &AccountConfig)> {
        let number = self.accounts.by_key(venue, access_key)?;
        Some((number, self.accounts.config(number)?))
    }

    /// An account's balances, by currency.
    pub fn balances(&self, account: u32) -> Vec<Balance> {
        self.accounts.balances(account)
    }

    /// Everything there is at a venue, in 1e-8 by currency: clients, the house and its fees together. It never changes.
    pub fn sums(&self, venue: Venue) -> BTreeMap<Currency, i128> {
        self.accounts.sums(venue)
    }
}
