//! Orders from the moment they arrive: how they are kept, and what can be asked. Whether one is taken is in `check.rs`.
//!
//! What always holds: a number is given once; at Upbit a client's id is burnt by its first use, even by a request that
//! fails, at Binance it must differ from those of open orders.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, Price, Qty, SCALE};

use super::check::Checked;
use super::{
    AccountEventKind, Exchange, NewOrder, Notice, OrderFilter, OrderKind, OrderRef, OrderState, OrderView, Reject,
    SelfMatch, Status, Venue,
};

/// Ended orders that can still be asked for, the oldest given up first.
const MOST_CLOSED: usize = 100_000;

/// An order with what only the exchange needs.
#[derive(Debug)]
pub(super) struct Order {
    pub view: OrderView,
    pub market: usize,
    /// Base still to be filled; not of a buy by funds.
    pub left: Qty,
    /// Quote still to be spent by a buy by funds.
    pub funds_left: i64,
}

impl Order {
    pub fn limit(&self) -> Option<Price> {
        match self.view.order.kind {
            OrderKind::Limit { price, .. } => Some(price),
            OrderKind::MarketQty { .. } | OrderKind::MarketFunds { .. } => None,
        }
    }

    /// Whether it buys for what it has rather than so much.
    pub fn by_funds(&self) -> bool {
        matches!(
            (self.view.order.kind, self.view.order.side),
            (OrderKind::MarketFunds { .. }, Side::Buy)
        )
    }

    /// The most that it can still trade at a price, when this much of it (base, or funds) is to be kept.
    pub fn most_at(&self, price: Price, lot: Qty, keep: (Qty, i64)) -> Qty {
        if !self.by_funds() {
            return self.left.saturating_sub(keep.0);
        }
        let funds = self.funds_left.saturating_sub(keep.1).max(0);
        let wide = i128::from(funds) * i128::from(SCALE) / i128::from(price.raw());
        let raw = i64::try_from(wide).unwrap_or(i64::MAX);
        Qty::from_raw(raw).unwrap_or(Qty::ZERO).floor_to(lot)
    }
}

/// All orders of all venues.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub all: BTreeMap<u64, Order>,
    last_id: u64,
    last_execution: u64,
    open: BTreeMap<u32, BTreeSet<u64>>,
    closed: VecDeque<u64>,
    by_client_id: HashMap<(u32, String), u64>,
    /// Upbit's: kept for life, which is the run's.
    burnt: HashSet<(u32, String)>,
}

impl Orders {
    pub fn open_of(&self, account: u32) -> impl Iterator<Item = &Order> {
        let ids = self.open.get(&account).into_iter().flatten();
        ids.filter_map(|id| self.all.get(id))
    }

    /// Open orders of a market, whoever they belong to.
    pub fn open_in(&self, market: usize) -> impl Iterator<Item = u64> {
        let ids = self.open.values().flatten();
        ids.copied()
            .filter(move |id| self.all.get(id).is_some_and(|order| order.market == market))
    }

    pub fn find(&self, account: u32, by: OrderRef<'_>) -> Option<u64> {
        let id = match by {
            OrderRef::Id(id) => id,
            OrderRef::ClientId(text) => *self.by_client_id.get(&(account, text.to_owned()))?,
        };
        self.all
            .get(&id)
            .filter(|order| order.view.account == account)
            .map(|_| id)
    }

    /// Whether an open order of an account has this client id.
    pub fn is_taken(&self, account: u32, client_id: &str) -> bool {
        let id = self.by_client_id.get(&(account, client_id.to_owned()));
        id.and_then(|id| self.all.get(id))
            .is_some_and(|order| order.view.state == OrderState::Open)
    }

    /// Whether Upbit's rule burnt this client id.
    pub fn is_burnt(&self, account: u32, client_id: &str) -> bool {
        self.burnt.contains(&(account, client_id.to_owned()))
    }

    /// An order was given another client id than this one.
    pub fn rename(&mut self, id: u64, former: Option<String>) {
        let Some(order) = self.all.get(&id) else { return };
        let account = order.view.account;
        let name = order.view.order.client_id.clone();
        if let Some(text) = former {
            let key = (account, text);
            if self.by_client_id.get(&key) == Some(&id) {
                self.by_client_id.remove(&key);
            }
        }
        if let Some(text) = name {
            self.by_client_id.insert((account, text), id);
        }
    }

    /// A number for an execution that is no trade.
    pub fn next_execution(&mut self) -> u64 {
        self.last_execution += 1;
        self.last_execution
    }

    /// It has ended: no longer open, and some day forgotten.
    pub fn close(&mut self, id: u64) {
        let Some(order) = self.all.get(&id) else { return };
        if let Some(open) = self.open.get_mut(&order.view.account) {
            open.remove(&id);
        }
        self.closed.push_back(id);
        if self.closed.len() > MOST_CLOSED
            && let Some(oldest) = self.closed.pop_front()
            && let Some(order) = self.all.remove(&oldest)
            && let Some(text) = order.view.order.client_id
        {
            let key = (order.view.account, text);
            if self.by_client_id.get(&key) == Some(&oldest) {
                self.by_client_id.remove(&key);
            }
        }
    }
}

impl Exchange {
    /// Takes an order: what it fills at once is filled, the rest rests or ends by its terms.
    ///
    /// # Errors
    /// Why it is refused. At Upbit the client's id is burnt all the same.
    pub fn place(&mut self, account: u32, order: NewOrder, out: &mut Vec<Notice>) -> Result<OrderView, Reject> {
        let checked = self.check(account, &order);
        let venue = self.accounts.config(account).map(|config| config.venue);
        if venue == Some(Venue::Upbit)
            && checked.as_ref().err() != Some(&Reject::DuplicateClientId)
            && let Some(text) = &order.client_id
        {
            self.orders.burnt.insert((account, text.clone()));
        }
        if let (Err(reject), Some(truth)) = (&checked, &mut self.truth) {
            truth.refused(self.now, account, &order.symbol, order.client_id.as_deref(), *reject);
        }
        let checked = checked?;
        let id = self.accept(account, order, &checked);
        let waits = self
            .orders
            .all
            .get(&id)
            .is_some_and(|order| order.view.order.stop.is_some());
        self.tell_order(id, AccountEventKind::New, out);
        if waits {
            self.markets[checked.market].stops.push(id);
        } else {
            self.work(id, out);
        }
        self.begin_reached(checked.market, out);
        self.publish(checked.market, out);
        self.tell_balances(out);
        self.orders
            .all
            .get(&id)
            .map(|order| order.view.clone())
            .ok_or(Reject::UnknownOrder)
    }

    /// Burns a client's id at Upbit, whose orders were refused before they came here.
    pub fn burn(&mut self, account: u32, client_id: &str) {
        self.orders.burnt.insert((account, client_id.to_owned()));
    }

    /// Whether an order would be taken, without taking it; burns no id.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn test(&self, account: u32, order: &NewOrder) -> Result<(), Reject> {
        self.check(account, order).map(|_| ())
    }

    /// Takes an open order back; its state after that.
    ///
    /// # Errors
    /// When it is not there, has ended, or its market stands still.
    pub fn cancel(&mut self, account: u32, by: OrderRef<'_>, out: &mut Vec<Notice>) -> Result<OrderView, Reject> {
        let id = self.orders.find(account, by).ok_or(Reject::UnknownOrder)?;
        let order = self.orders.all.get(&id).ok_or(Reject::UnknownOrder)?;
        if order.view.state != OrderState::Open {
            return Err(Reject::NotOpen);
        }
        let market = order.market;
        if matches!(self.infos[market].status, Status::Halted | Status::Delisted) {
            return Err(Reject::NotTrading);
        }
        self.end(id, OrderState::Cancelled, out);
        self.publish(market, out);
        self.tell_balances(out);
        self.orders
            .all
            .get(&id)
            .map(|order| order.view.clone())
            .ok_or(Reject::UnknownOrder)
    }

    /// An order of an account.
    pub fn order(&self, account: u32, by: OrderRef<'_>) -> Option<&OrderView> {
        let id = self.orders.find(account, by)?;
        self.orders.all.get(&id).map(|order| &order.view)
    }

    /// Orders of an account, in one market or all, oldest first.
    pub fn orders(&self, account: u32, symbol: Option<&str>, filter: OrderFilter) -> Vec<&OrderView> {
        let fits = |view: &&OrderView| {
            view.account == account
                && symbol.is_none_or(|symbol| *view.order.symbol == *symbol)
                && match filter {
                    OrderFilter::Open => view.state == OrderState::Open,
                    OrderFilter::Closed => view.state != OrderState::Open,
                    OrderFilter::All => true,
                }
        };
        match filter {
            OrderFilter::Open => self
                .orders
                .open_of(account)
                .map(|order| &order.view)
                .filter(fits)
                .collect(),
            OrderFilter::Closed | OrderFilter::All => {
                self.orders.all.values().map(|order| &order.view).filter(fits).collect()
            }
        }
    }

    fn accept(&mut self, account: u32, order: NewOrder, checked: &Checked) -> u64 {
        self.orders.last_id += 1;
        let id = self.orders.last_id;
        let info = &self.infos[checked.market];
        let amount = |raw| Amount::from_raw(raw).unwrap_or(Amount::ZERO);
        let fee_currency = match (info.venue, order.side) {
            (Venue::Upbit, _) | (_, Side::Sell) => info.quote.clone(),
            (_, Side::Buy) => info.base.clone(),
        };
        if let Some(text) = &order.client_id {
            self.orders.by_client_id.insert((account, text.clone()), id);
        }
        let now = self.clock();
        let works_at_once = order.stop.is_none();
        let view = OrderView {
            id,
            account,
            order,
            state: OrderState::Open,
            executed: Qty::ZERO,
            executed_funds: Amount::ZERO,
            prevented: Qty::ZERO,
            fee: Amount::ZERO,
            fee_currency,
            reserved_fee: amount(checked.reserve),
            locked: amount(checked.lock),
            locked_currency: checked.currency.clone(),
            released: Amount::ZERO,
            created: now,
            updated: now,
            working: works_at_once.then_some(now),
            fills: Vec::new(),
            amends: Vec::new(),
        };
        self.accounts.lock(account, &checked.currency, checked.lock);
        let order = Order {
            view,
            market: checked.market,
            left: checked.left,
            funds_left: checked.funds_left,
        };
        self.orders.all.insert(id, order);
        self.orders.open.entry(account).or_default().insert(id);
        id
    }

    /// What an order of this account can take, best price first: its own orders are left out unless they would trade.
    pub(super) fn offers(&self, market: usize, taker: Side, account: u32, mode: SelfMatch) -> Vec<(Price, i64)> {
        let half = self.markets[market].book.half(taker.opposite());
        let mut offers: BTreeMap<Price, i64> = half.liquidity.iter().map(|(&price, qty)| (price, qty.raw())).collect();
        for (&price, queue) in &half.orders {
            let others = queue
                .iter()
                .filter(|order| order.account != account || mode == SelfMatch::Allow);
            let sum = others.fold(0i64, |sum, order| sum.saturating_add(order.left.raw()));
            let slot = offers.entry(price).or_default();
            *slot = slot.saturating_add(sum);
        }
        match taker {
            Side::Buy => offers.into_iter().collect(),
            Side::Sell => offers.into_iter().rev().collect(),
        }
    }
}

/// Whether an order of this side with this limit may trade at a price of the other side.
pub(super) fn reaches(side: Side, limit: Price, other: Price) -> bool {
    match side {
        Side::Buy => other <= limit,
        Side::Sell => other >= limit,
    }
}
