//! Risk: four tiers look at every intent, the strictest verdict wins.
//!
//! What always holds: an order can only be made from what [`Risk::check`] returned; every refusal carries its reason.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::instrument::{CurrencyId, RouteId, VenueId};
use crate::units::{Amount, Bps, TimestampNs};

mod limits;

pub use limits::{GlobalLimits, Limits, RouteLimits, SymbolLimits, VenueLimits};

/// What risk says, from mild to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Only what makes positions smaller.
    Reduce,
    /// Nothing new.
    Block,
    /// Nothing at all, and open positions are closed, until a person (or the next day, for daily limits) says otherwise.
    Halt,
}

/// Why. One name per rule, grouped by tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Venue: its feed is down or its book cannot be priced.
    VenueDown,
    /// Venue: the book is older than `max_book_age_ms`.
    StaleBook,
    /// Venue: more orders in a second than `max_orders_per_second`.
    OrderRate,
    /// Venue: its loss of the day reached `max_daily_loss`.
    VenueDailyLoss,
    /// Venue: too many open orders.
    VenueOpenOrders,
    /// Route: too many losses in a row; cooling down.
    ConsecutiveLosses,
    /// Route: the spread is too wide to be true (fat finger, FX error).
    AbnormalSpread,
    /// Route: too many round trips in an hour.
    TripsPerHour,
    /// Route: one order is larger than `max_order_notional`.
    OrderNotional,
    /// Symbol: exposure would pass its limit.
    SymbolExposure,
    /// Symbol: the premium moves too much.
    Volatility,
    /// Symbol: not on the allow-list.
    NotAllowed,
    /// Global: the loss of the day reached `max_daily_loss`.
    DailyLoss,
    /// Global: equity fell by `max_drawdown` from its peak.
    Drawdown,
    /// Global: total exposure would pass its limit.
    TotalExposure,
    /// Global: venues hold too unequal positions.
    Imbalance,
    /// Global: too many round trips open at once.
    OpenTrades,
    /// Global: the kill switch is pulled.
    Kill,
    /// No rate, no trade: FX is missing or older than `max_age_ms`.
    NoFx,
    /// FX is outside its plausible band.
    FxBand,
    /// Sizing: after rounding to lots, minimums, balance and visible depth nothing is left to trade.
    NoSize,
}

/// A refusal: how strict, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// How strict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

/// An entry as risk sees it. Values are in 1e-8 of the base currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its route.
    pub route: RouteId,
    /// Venues of both legs.
    pub venues: [VenueId; 2],
    /// What is traded.
    pub symbol: CurrencyId,
    /// Value of the larger leg.
    pub value: i64,
    /// Premium at mid.
    pub premium: Bps,
}

/// What is held and in flight, told by the engine at each check. Values are in 1e-8 of the base currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exposure {
    /// Value of the larger legs of the symbol's routes.
    pub symbol: i64,
    /// Value of all larger legs.
    pub total: i64,
    /// Long value minus short value over all routes.
    pub imbalance: i64,
    /// Routes that are not flat.
    pub open_trades: u32,
    /// Orders in flight at each of the entry's venues.
    pub open_orders: [u32; 2],
}

/// An entry that passed every check. Only [`Risk::check`] makes one, and the engine sends entries from nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approved(Entry);

impl Approved {
    /// What was approved.
    pub fn entry(&self) -> &Entry {
        &self.0
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct VenueState {
    second: i64,
    orders: u32,
    day_pnl: i64,
}

#[derive(Debug, Clone, Default)]
struct RouteState {
    losses: u32,
    cool_until: Option<TimestampNs>,
    /// Times of the entries of the last hour, oldest first; never more than the limit.
    entries: VecDeque<TimestampNs>,
}

#[derive(Debug, Clone, Copy, Default)]
struct MoveWindow {
    start: i64,
    now: (i64, i64),
    before: (i64, i64),
}

/// The state of all tiers.
#[derive(Debug, Clone)]
pub struct Risk {
    limits: Limits,
    venues: Vec<VenueState>,
    routes: Vec<RouteState>,
    moves: Vec<MoveWindow>,
    /// Beginnings of the days to come, latest first.
    days: Vec<TimestampNs>,
    pnl: i64,
    day_start: i64,
    peak: i64,
    halted_today: bool,
    halted: Option<Reason>,
}

const HOUR_NS: i64 = 3_600_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

impl Risk {
    /// Before the first event. `days` are the midnights at which daily counters begin anew, in any order.
    pub fn new(limits: Limits, venues: usize, routes: usize, mut days: Vec<TimestampNs>) -> Risk {
        days.sort_unstable_by(|a, b| b.cmp(a));
        let entries = limits.route.max_trips_per_hour.unwrap_or(0) as usize;
        let route = RouteState {
            entries: VecDeque::with_capacity(entries + 1),
            ..RouteState::default()
        };
        Risk {
            limits,
            venues: vec![VenueState::default(); venues],
            routes: vec![route; routes],
            moves: vec![MoveWindow::default(); routes],
            days,
            pnl: 0,
            day_start: 0,
            peak: 0,
            halted_today: false,
            halted: None,
        }
    }

    /// The limits.
    #[inline]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Lets the day change when its midnight has come.
    #[inline]
    pub fn roll(&mut self, now: TimestampNs) {
        while self.days.last().is_some_and(|&midnight| midnight <= now) {
            self.days.pop();
            self.day_start = self.pnl;
            self.halted_today = false;
            self.venues.iter_mut().for_each(|venue| venue.day_pnl = 0);
        }
    }

    /// Takes in the run's result so far (1e-8 of the base currency, marked to market, against holding) and halts when a
    /// limit is reached. `true` when it has just halted.
    #[inline]
    pub fn mark(&mut self, pnl: i64) -> bool {
        self.pnl = pnl;
        self.peak = self.peak.max(pnl);
        let reached = |limit: Option<Amount>, fall: i64| limit.is_some_and(|limit| fall >= limit.raw());
        let global = &self.limits.global;
        let before = self.halt_reason();
        if self.halted.is_none() && reached(global.max_drawdown, self.peak.saturating_sub(pnl)) {
            self.halted = Some(Reason::Drawdown);
        }
        if !self.halted_today && reached(global.max_daily_loss, self.day_start.saturating_sub(pnl)) {
            self.halted_today = true;
        }
        before.is_none() && self.halt_reason().is_some()
    }

    /// Takes in a result as [`Risk::mark`] does, unless it would reach a limit: then nothing changes, and it says `false`.
    #[inline]
    pub(crate) fn mark_quietly(&mut self, pnl: i64) -> bool {
        let peak = self.peak.max(pnl);
        let reached = |limit: Option<Amount>, fall: i64| limit.is_some_and(|limit| fall >= limit.raw());
        let global = &self.limits.global;
        let halts = self.halted.is_none() && reached(global.max_drawdown, peak.saturating_sub(pnl));
        let halts_today = !self.halted_today && reached(global.max_daily_loss, self.day_start.saturating_sub(pnl));
        if halts || halts_today {
            return false;
        }
        self.pnl = pnl;
        self.peak = peak;
        true
    }

    /// When the next day begins.
    pub(crate) fn next_day(&self) -> TimestampNs {
        self.days.last().copied().unwrap_or(TimestampNs::MAX)
    }

    /// Stops everything for good.
    pub fn kill(&mut self) {
        self.halted = Some(Reason::Kill);
    }

    /// Why everything is halted, if it is.
    #[inline]
    pub fn halt_reason(&self) -> Option<Reason> {
        self.halted.or(self.halted_today.then_some(Reason::DailyLoss))
    }

    /// Takes in the mid of a route's A, for the volatility limit.
    #[inline]
    pub fn observe(&mut self, route: RouteId, now: TimestampNs, mid: i64) {
        if self.limits.symbol.max_move.is_none() {
            return;
        }
        let window = &mut self.moves[route.index()];
        let start = now.0 - now.0.rem_euclid(self.limits.symbol.move_window_ns.max(1));
        if start != window.start {
            let next = start - window.start == self.limits.symbol.move_window_ns;
            window.before = if next { window.now } else { (mid, mid) };
            window.now = (mid, mid);
            window.start = start;
        }
        window.now = (window.now.0.min(mid), window.now.1.max(mid));
    }

    /// Takes in a round trip's result.
    pub fn closed(&mut self, route: RouteId, venues: [VenueId; 2], now: TimestampNs, pnl: Amount) {
        for venue in venues {
            let day = &mut self.venues[venue.index()].day_pnl;
            *day = day.saturating_add(pnl.raw());
        }
        let state = &mut self.routes[route.index()];
        state.losses = if pnl.raw() < 0 { state.losses + 1 } else { 0 };
        if self
            .limits
            .route
            .max_consecutive_losses
            .is_some_and(|limit| state.losses >= limit)
        {
            state.losses = 0;
            state.cool_until = Some(now.plus(self.limits.route.cooldown_ns));
        }
    }

    /// An order goes to a venue.
    pub fn sent(&mut self, venue: VenueId, now: TimestampNs) {
        let state = &mut self.venues[venue.index()];
        let second = now.0.div_euclid(SECOND_NS);
        if state.second != second {
            *state = VenueState {
                second,
                orders: 0,
                ..*state
            };
        }
        state.orders += 1;
    }

    /// An entry goes out on a route.
    pub fn entered(&mut self, route: RouteId, now: TimestampNs) {
        if self.limits.route.max_trips_per_hour.is_some() {
            self.routes[route.index()].entries.push_back(now);
        }
    }

    /// Looks at an entry with all four tiers; the strictest verdict wins, among equals the first tier's.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn check(&mut self, entry: Entry, exposure: &Exposure, now: TimestampNs) -> Result<Approved, Refusal> {
        let verdicts = [
            self.check_global(&entry, exposure),
            self.check_venues(&entry, exposure, now),
            self.check_route(&entry, now),
            self.check_symbol(&entry, exposure),
        ];
        let strictest = verdicts
            .into_iter()
            .flatten()
            .fold(None, |worst: Option<Refusal>, refusal| match worst {
                Some(worst) if worst.verdict >= refusal.verdict => Some(worst),
                _ => Some(refusal),
            });
        strictest.map_or(Ok(Approved(entry)), Err)
    }

    fn check_global(&self, entry: &Entry, exposure: &Exposure) -> Option<Refusal> {
        let limits = &self.limits.global;
        if let Some(reason) = self.halt_reason() {
            return Some(Refusal {
                verdict: Verdict::Halt,
                reason,
            });
        }
        if above(limits.max_exposure, exposure.total.saturating_add(entry.value)) {
            return refuse(Verdict::Reduce, Reason::TotalExposure);
        }
        if above(limits.max_imbalance, exposure.imbalance.saturating_abs()) {
            return refuse(Verdict::Reduce, Reason::Imbalance);
        }
        if limits
            .max_open_trades
            .is_some_and(|limit| exposure.open_trades >= limit)
        {
            return refuse(Verdict::Reduce, Reason::OpenTrades);
        }
        None
    }

    fn check_venues(&self, entry: &Entry, exposure: &Exposure, now: TimestampNs) -> Option<Refusal> {
        let limits = &self.limits.venue;
        let second = now.0.div_euclid(SECOND_NS);
        for (venue, open) in entry.venues.iter().zip(exposure.open_orders) {
            let state = &self.venues[venue.index()];
            if limits
                .max_daily_loss
                .is_some_and(|limit| state.day_pnl.saturating_neg() >= limit.raw())
            {
                return refuse(Verdict::Block, Reason::VenueDailyLoss);
            }
            let sent = if state.second == second { state.orders } else { 0 };
            if limits.max_orders_per_second.is_some_and(|limit| sent >= limit) {
                return refuse(Verdict::Reduce, Reason::OrderRate);
            }
            if limits.max_open_orders.is_some_and(|limit| open >= limit) {
                return refuse(Verdict::Reduce, Reason::VenueOpenOrders);
            }
        }
        None
    }

    fn check_route(&mut self, entry: &Entry, now: TimestampNs) -> Option<Refusal> {
        let limits = &self.limits.route;
        let state = &mut self.routes[entry.route.index()];
        if limits
            .max_abs_premium
            .is_some_and(|limit| entry.premium.raw().saturating_abs() > limit.raw())
        {
            return refuse(Verdict::Block, Reason::AbnormalSpread);
        }
        if state.cool_until.is_some_and(|until| now < until) {
            return refuse(Verdict::Reduce, Reason::ConsecutiveLosses);
        }
        while state
            .entries
            .front()
            .is_some_and(|&entered| now.since(entered) >= HOUR_NS)
        {
            state.entries.pop_front();
        }
        if limits
            .max_trips_per_hour
            .is_some_and(|limit| state.entries.len() >= limit as usize)
        {
            return refuse(Verdict::Reduce, Reason::TripsPerHour);
        }
        if above(limits.max_order_notional, entry.value) {
            return refuse(Verdict::Reduce, Reason::OrderNotional);
        }
        None
    }

    fn check_symbol(&self, entry: &Entry, exposure: &Exposure) -> Option<Refusal> {
        let limits = &self.limits.symbol;
        if limits
            .allow
            .as_ref()
            .is_some_and(|allow| !allow.contains(&entry.symbol))
        {
            return refuse(Verdict::Block, Reason::NotAllowed);
        }
        if above(limits.max_exposure, exposure.symbol.saturating_add(entry.value)) {
            return refuse(Verdict::Reduce, Reason::SymbolExposure);
        }
        if let Some(limit) = limits.max_move {
            let window = &self.moves[entry.route.index()];
            let low = window.now.0.min(window.before.0);
            let high = window.now.1.max(window.before.1);
            if low > 0 && Bps::from_ratio(high as f64 / low as f64 - 1.0) > limit {
                return refuse(Verdict::Reduce, Reason::Volatility);
            }
        }
        None
    }
}

fn refuse(verdict: Verdict, reason: Reason) -> Option<Refusal> {
    Some(Refusal { verdict, reason })
}

fn above(limit: Option<Amount>, value: i64) -> bool {
    limit.is_some_and(|limit| value > limit.raw())
}

#[cfg(test)]
mod tests;
