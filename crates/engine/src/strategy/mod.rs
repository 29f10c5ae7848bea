//! One route's state machine: spread and positions in, intents out.
//!
//! `Flat → Entering → Open → Exiting → Flat`, with `Unwinding` while the two legs are unequal and `Halted` when risk or
//! repeated failure says stop. A route has at most one order a leg in flight and decides nothing new until both
//! have been heard of. It knows nothing of balances, limits or venues: [`crate::engine`] sizes and checks what it asks for.

mod bounds;
mod trip;

use crate::book::Book;
use crate::instrument::{InstrumentId, Side};
use crate::order::{Leg, OrderStatus, Role};
use crate::records::{Direction, ExitReason, RoundTrip};
use crate::spread::{Executable, FairModel, FairPremium, FillModel, Tops, entry_sides, executable};
use crate::units::{Amount, Bps, Overflow, Price, Qty, TimestampNs};

pub(crate) use bounds::{Bounds, Closing, Range};
pub use trip::LegFill;
use trip::Trip;

/// How large an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A fixed quantity of the base currency on each leg.
    Quantity(Qty),
    /// A fixed value in the quote currency of one leg, at its mid.
    Notional {
        /// How much.
        amount: Amount,
        /// In whose quote currency.
        leg: Leg,
    },
    /// A share of what the free balances allow, counted in 1e-8 of the whole.
    Fraction(Bps),
}

/// What to do first with an entry whose legs filled unequally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegPolicy {
    /// Try once to fill what is missing, then undo the rest.
    #[default]
    Complete,
    /// Undo what is too much.
    Unwind,
}

/// How the legs are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStyle {
    /// Market orders.
    Market,
    /// Immediate-or-cancel limits this far through the worst price that the decision walked to.
    Limit {
        /// Allowance beyond that price.
        collar: Bps,
    },
}

/// Parameters of one route's strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyConfig {
    /// Reference to which the premium is expected to return.
    pub fair: FairModel,
    /// No entry before the fair premium has been fed for this long.
    pub warmup_ns: i64,
    /// Enter at this net edge.
    pub entry: Bps,
    /// Leave when `close - fair` is at most this.
    pub exit: Bps,
    /// Leave when the pair would close with at least this profit, net of the fees of all four fills.
    pub take_profit: Option<Bps>,
    /// Leave when the pair would close with at least this loss, net of the fees of all four fills.
    pub stop: Option<Bps>,
    /// Leave after this long.
    pub max_hold_ns: Option<i64>,
    /// Allowance for what is lost between decision and fill.
    pub slippage: Bps,
    /// How large an entry is.
    pub size: Size,
    /// Whether it may sell A and buy B.
    pub sell_a: bool,
    /// Whether it may buy A and sell B.
    pub buy_a: bool,
    /// Which price counts as executable.
    pub pricing: FillModel,
    /// How the legs are sent.
    pub style: OrderStyle,
    /// The leg whose entry rests on the book (post-only, at the best price of its own side) until it fills; the other is
    /// taken for as much as has filled. `None`: both legs take.
    pub maker: Option<Leg>,
    /// What to do with unequal legs.
    pub leg_policy: LegPolicy,
    /// How long a resting leg is waited for, and the pause between two attempts to mend unequal legs.
    pub leg_timeout_ns: i64,
}

/// A route: two instruments of one base, and how they are traded against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// First instrument.
    pub a: InstrumentId,
    /// Second instrument.
    pub b: InstrumentId,
    /// Fees of all four fills of a round trip.
    pub fees: Bps,
    /// Quantities are whole multiples of this: the least common multiple of both lots.
    pub lot: Qty,
    /// Its strategy.
    pub strategy: StrategyConfig,
}

/// Where a route stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing held.
    Flat,
    /// Both legs sent.
    Entering,
    /// Both legs held.
    Open,
    /// Both legs sent back.
    Exiting,
    /// The legs are unequal and are being mended.
    Unwinding,
    /// Stopped for good: nothing is sent any more.
    Halted,
}

/// What a route wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Intent {
    /// Open a pair: the best net edge at the top of the book is there; size and depth are still to be found.
    Enter(Direction),
    /// Close the pair.
    Exit(ExitReason),
    /// Take the resting entry back: its edge is gone.
    Withdraw,
    /// Take on the other leg what the resting one has filled.
    Hedge {
        /// On which leg.
        leg: Leg,
        /// Which way.
        side: Side,
        /// How much.
        qty: Qty,
    },
    /// Mend unequal legs: one market order.
    Repair {
        /// On which leg.
        leg: Leg,
        /// Which way.
        side: Side,
        /// How much.
        qty: Qty,
    },
}

/// Everything a decision looks at, at one instant.
#[derive(Debug, Clone, Copy)]
pub struct Market<'a> {
    /// Now.
    pub now: TimestampNs,
    /// Book of A.
    pub book_a: &'a Book,
    /// Book of B.
    pub book_b: &'a Book,
    /// Best prices and rate.
    pub tops: Tops,
    /// Units of A's quote currency per unit of B's.
    pub fx: f64,
}

/// What was seen when an entry or exit was decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// When.
    pub ts: TimestampNs,
    /// Executable spread.
    pub spread: Bps,
    /// Premium at mid.
    pub premium: Bps,
    /// Fair premium.
    pub fair: Bps,
    /// Mids of A and B, each in its own quote currency.
    pub mids: (Price, Price),
    /// Base-currency value of one unit of each leg's quote currency, in 1e-8.
    pub rates: (i64, i64),
}

/// How many attempts to mend unequal legs are made before the route halts.
pub const MAX_REPAIRS: u32 = 20;

/// A route's life.
#[derive(Debug, Clone)]
pub struct Route {
    config: RouteConfig,
    state: State,
    fair: FairPremium,
    started: Option<TimestampNs>,
    direction: Direction,
    /// Signed base quantity held per leg, counted in 1e-8.
    position: [i64; 2],
    /// Orders of each leg that have not come to their end.
    pending: [u8; 2],
    /// Price at which a resting entry was posted.
    posted: Option<Price>,
    trip: Trip,
    /// Whether the unequal legs come from an exit.
    leaving: Option<ExitReason>,
    repairs: u32,
    /// When something must be looked at even if no market event comes; also the earliest retry of a partial exit.
    due: TimestampNs,
}

impl Route {
    /// A flat route.
    pub fn new(config: RouteConfig) -> Route {
        Route {
            fair: FairPremium::new(config.strategy.fair),
            config,
            state: State::Flat,
            started: None,
            direction: Direction::SellA,
            position: [0; 2],
            pending: [0; 2],
            posted: None,
            trip: Trip::default(),
            leaving: None,
            repairs: 0,
            due: TimestampNs::MAX,
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &RouteConfig {
        &self.config
    }

    /// Where it stands.
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// Signed base quantity held on A and on B, counted in 1e-8.
    #[inline]
    pub fn position(&self) -> [i64; 2] {
        self.position
    }

    /// Fair premium after the newest decision.
    pub fn fair(&self) -> Bps {
        self.fair.value()
    }

    /// Next instant at which it must be asked even without an event.
    #[inline]
    pub fn due(&self) -> TimestampNs {
        self.due
    }

    /// Direction of the pair that is held or being opened.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Looks at the market and says what it wants.
    #[inline]
    pub fn decide(&mut self, market: &Market<'_>) -> Option<Intent> {
        self.started.get_or_insert(market.now);
        let fair = self.fair.update(market.now, &market.tops);
        match self.state {
            State::Flat => self.want_entry(market, fair),
            State::Open => self.want_exit(market, fair).map(Intent::Exit),
            State::Entering => self.want_withdrawal(market, fair),
            State::Exiting | State::Unwinding | State::Halted => None,
        }
    }

    /// Resting entries are taken back when what they would earn now is no longer enough.
    fn want_withdrawal(&self, market: &Market<'_>, fair: Bps) -> Option<Intent> {
        let (posted, maker) = (self.posted?, self.config.strategy.maker?);
        if self.pending[maker as usize] == 0 {
            return None;
        }
        let open = market.tops.open_posted(self.direction, maker, posted);
        (self.net_edge(self.direction, open, fair) < self.config.strategy.entry).then_some(Intent::Withdraw)
    }

    #[inline]
    fn want_entry(&self, market: &Market<'_>, fair: Bps) -> Option<Intent> {
        let strategy = &self.config.strategy;
        let allowed = [(Direction::SellA, strategy.sell_a), (Direction::BuyA, strategy.buy_a)];
        for (direction, _) in allowed.into_iter().filter(|(_, allowed)| *allowed) {
            let open = match strategy.maker {
                None => market.tops.open_bound(direction),
                Some(leg) => market.tops.open_resting(direction, leg),
            };
            if self.net_edge(direction, open, fair) >= strategy.entry {
                return self.warm(market.now).then_some(Intent::Enter(direction));
            }
        }
        None
    }

    /// What is left of a spread after fair premium, the fees of all four fills and the slippage allowance.
    #[inline]
    fn net_edge(&self, direction: Direction, open: Bps, fair: Bps) -> Bps {
        let fair = match direction {
            Direction::SellA => fair,
            Direction::BuyA => -fair,
        };
        open - fair - self.config.fees - self.config.strategy.slippage
    }

    fn warm(&self, now: TimestampNs) -> bool {
        self.started
            .is_some_and(|started| now.since(started) >= self.config.strategy.warmup_ns)
    }

    /// Whether the edge is still there for a size: the spread of these prices, and what is left of it after fair premium,
    /// the fees of all four fills and the slippage allowance.
    pub fn entry_edge(&self, direction: Direction, prices: &Executable, fx: f64) -> (Bps, Bps) {
        let open = prices.spread(direction, fx);
        (open, self.net_edge(direction, open, self.fair.value()))
    }

    #[inline]
    fn want_exit(&self, market: &Market<'_>, fair: Bps) -> Option<ExitReason> {
        let strategy = &self.config.strategy;
        let fair = match self.direction {
            Direction::SellA => fair,
            Direction::BuyA => -fair,
        };
        if let Some(reason) = self.leaving {
            // The last attempt could not close all of it.
            return (self.due <= market.now).then_some(reason);
        }
        // No size closes better than the top of the book: walk only when that would be good enough.
        let converges = market.tops.close_bound(self.direction) - fair <= strategy.exit;
        if converges || strategy.take_profit.is_some() || strategy.stop.is_some() {
            let prices = self.exit_prices(market);
            if let Some(prices) = prices
                && prices.qty >= self.held()
            {
                if prices.spread(self.direction, market.fx) - fair <= strategy.exit {
                    return Some(ExitReason::Converged);
                }
                let mark = self.trip.mark_to_exit(self.direction, &prices, market.fx) - self.config.fees;
                if strategy.take_profit.is_some_and(|limit| mark >= limit) {
                    return Some(ExitReason::TakeProfit);
                }
                if strategy.stop.is_some_and(|limit| mark <= -limit) {
                    return Some(ExitReason::Stop);
                }
            }
        }
        let held_ns = market.now.since(self.trip.entry.ts);
        strategy
            .max_hold_ns
            .is_some_and(|limit| held_ns >= limit)
            .then_some(ExitReason::MaxHold)
    }

    /// Average prices for closing what is held.
    pub fn exit_prices(&self, market: &Market<'_>) -> Option<Executable> {
        let (entry_a, entry_b) = entry_sides(self.direction);
        let pricing = self.config.strategy.pricing;
        executable(
            market.book_a,
            entry_a.opposite(),
            market.book_b,
            entry_b.opposite(),
            self.held(),
            pricing,
        )
    }

    /// Base quantity of the smaller leg.
    pub fn held(&self) -> Qty {
        let least = self.position[0].unsigned_abs().min(self.position[1].unsigned_abs());
        Qty::from_raw(i64::try_from(least).unwrap_or(i64::MAX)).unwrap_or(Qty::ZERO)
    }

    /// The order that would hedge a resting entry or mend unequal legs, when one is due.
    #[inline]
    pub fn want_balance(&self, now: TimestampNs) -> Option<Intent> {
        match self.state {
            State::Entering if self.due <= now => self.want_hedge(),
            State::Unwinding if self.due <= now => self.want_repair(),
            _ => None,
        }
    }

    fn want_hedge(&self) -> Option<Intent> {
        let maker = self.config.strategy.maker?;
        let (leg, (_, side)) = match maker {
            Leg::A => (Leg::B, entry_sides(self.direction)),
            Leg::B => {
                let (side_a, side_b) = entry_sides(self.direction);
                (Leg::A, (side_b, side_a))
            }
        };
        let excess = self.excess();
        (self.pending[leg as usize] == 0 && !excess.is_zero()).then_some(Intent::Hedge { leg, side, qty: excess })
    }

    fn want_repair(&self) -> Option<Intent> {
        if self.pending != [0; 2] {
            return None;
        }
        let excess = self.excess();
        let larger = usize::from(self.position[1].unsigned_abs() > self.position[0].unsigned_abs());
        let complete =
            self.leaving.is_none() && self.config.strategy.leg_policy == LegPolicy::Complete && self.repairs == 0;
        let index = if complete { 1 - larger } else { larger };
        let (side_a, side_b) = entry_sides(self.direction);
        let opening = if index == 0 { side_a } else { side_b };
        let side = if complete { opening } else { opening.opposite() };
        let leg = if index == 0 { Leg::A } else { Leg::B };
        Some(Intent::Repair { leg, side, qty: excess })
    }

    /// By how much the legs differ.
    fn excess(&self) -> Qty {
        let difference = self.position[0]
            .unsigned_abs()
            .abs_diff(self.position[1].unsigned_abs());
        Qty::from_raw(i64::try_from(difference).unwrap_or(i64::MAX))
            .unwrap_or(Qty::ZERO)
            .floor_to(self.config.lot)
    }

    /// An entry has been sent: both legs, or the one that rests at this price.
    pub fn entering(&mut self, direction: Direction, seen: Seen, posted: Option<Price>) {
        self.state = State::Entering;
        self.direction = direction;
        self.leaving = None;
        self.repairs = 0;
        self.trip = Trip::begin(seen);
        self.pending = match self.config.strategy.maker {
            None => [1, 1],
            Some(Leg::A) => [1, 0],
            Some(Leg::B) => [0, 1],
        };
        self.posted = posted;
        self.due = seen.ts.plus(self.config.strategy.leg_timeout_ns);
    }

    /// Quantity that an exit trades on a leg.
    pub fn exit_qty(&self, leg: Leg) -> Qty {
        let held = i64::try_from(self.position[leg as usize].unsigned_abs()).unwrap_or(i64::MAX);
        Qty::from_raw(held).unwrap_or(Qty::ZERO).floor_to(self.config.lot)
    }

    /// Both legs of an exit have been sent.
    pub fn exiting(&mut self, reason: ExitReason, seen: Seen) {
        self.state = State::Exiting;
        self.leaving = Some(reason);
        self.repairs = 0;
        self.trip.begin_exit(seen, self.held());
        self.pending = [1, 1];
        self.due = seen.ts.plus(self.config.strategy.leg_timeout_ns);
    }

    /// An order has been sent that takes what a resting entry has filled.
    pub fn hedging(&mut self, leg: Leg, now: TimestampNs) {
        self.pending[leg as usize] += 1;
        self.due = self.deadline().max(now.plus(1));
    }

    /// What a resting entry has filled cannot be hedged now (too little, or no book): wait for more until the timeout, take
    /// the rest back then, and mend it when no more can come.
    pub fn cannot_hedge(&mut self, now: TimestampNs) -> Option<Intent> {
        if self.pending == [0; 2] {
            self.state = State::Unwinding;
            self.due = now;
            return None;
        }
        self.due = self.deadline();
        (self.due <= now).then_some(Intent::Withdraw)
    }

    fn deadline(&self) -> TimestampNs {
        self.trip.entry.ts.plus(self.config.strategy.leg_timeout_ns)
    }

    /// An order to mend unequal legs has been sent.
    pub fn repairing(&mut self, leg: Leg, now: TimestampNs) {
        self.repairs += 1;
        self.pending[leg as usize] += 1;
        self.due = now.plus(self.config.strategy.leg_timeout_ns);
    }

    /// What is left over is too small for either venue to trade: it stays in the inventory and the route moves on.
    ///
    /// # Errors
    /// [`Overflow`] when a sum does not fit.
    pub fn accept_dust(&mut self, now: TimestampNs, rates: (i64, i64)) -> Result<Option<RoundTrip>, Overflow> {
        self.settle(now, rates)
    }

    /// Mending is not possible now (no book to price it): try again later, or give up.
    pub fn repair_failed(&mut self, now: TimestampNs) {
        self.repairs += 1;
        self.due = now.plus(self.config.strategy.leg_timeout_ns);
        if self.repairs >= MAX_REPAIRS {
            self.halt();
        }
    }

    /// Stops for good.
    pub fn halt(&mut self) {
        self.state = State::Halted;
        self.due = TimestampNs::MAX;
    }

    /// Takes in a fill.
    ///
    /// # Errors
    /// [`Overflow`] when a sum does not fit.
    pub fn filled(&mut self, role: Role, fill: &LegFill) -> Result<(), Overflow> {
        let signed = match fill.side {
            Side::Buy => fill.qty.raw(),
            Side::Sell => -fill.qty.raw(),
        };
        let held = &mut self.position[fill.leg as usize];
        *held = held.checked_add(signed).ok_or(Overflow)?;
        self.trip.filled(role, fill)
    }

    /// The leg that hedges a resting entry, while one is being made.
    fn hedging_leg(&self) -> Option<usize> {
        let maker = self.config.strategy.maker.filter(|_| self.state == State::Entering)?;
        Some(1 - maker as usize)
    }

    /// Part of a resting order has filled: what it needs on the other leg is looked at now, or when the hedge that is on
    /// its way has been heard of.
    pub fn partly_filled(&mut self, now: TimestampNs) {
        if self.hedging_leg().is_some_and(|hedge| self.pending[hedge] == 0) {
            self.due = now;
        }
    }

    /// An order of this leg has come to its end. When both have, the route moves on; a finished round trip is returned.
    ///
    /// # Errors
    /// [`Overflow`] when a sum does not fit.
    pub fn finished(
        &mut self,
        leg: Leg,
        status: OrderStatus,
        now: TimestampNs,
        rates: (i64, i64),
    ) -> Result<Option<RoundTrip>, Overflow> {
        self.pending[leg as usize] = self.pending[leg as usize].saturating_sub(1);
        let excess = self.excess();
        if let Some(hedge) = self.hedging_leg().filter(|_| !excess.is_zero()) {
            let fell_short = leg as usize == hedge && status != OrderStatus::Filled;
            if !(fell_short && self.pending == [0; 2]) {
                // More has filled than is hedged, or on its way to be.
                if self.pending[hedge] == 0 {
                    self.due = now;
                }
                return Ok(None);
            }
        }
        if self.pending != [0; 2] || self.state == State::Halted {
            return Ok(None);
        }
        if !excess.is_zero() {
            self.state = State::Unwinding;
            // The first attempt follows at once, later ones after a pause.
            self.due = if self.repairs == 0 {
                now
            } else {
                now.plus(self.config.strategy.leg_timeout_ns)
            };
            if self.repairs >= MAX_REPAIRS {
                self.halt();
            }
            return Ok(None);
        }
        self.settle(now, rates)
    }

    fn settle(&mut self, now: TimestampNs, rates: (i64, i64)) -> Result<Option<RoundTrip>, Overflow> {
        self.trip.end_episode(self.held())?;
        if self.position[0].unsigned_abs() != self.position[1].unsigned_abs() {
            self.trip.left_over();
        }
        self.repairs = 0;
        if !self.held().is_zero() {
            self.state = State::Open;
            self.due = match self.leaving {
                Some(_) => now.plus(self.config.strategy.leg_timeout_ns),
                None => self
                    .config
                    .strategy
                    .max_hold_ns
                    // Mending may have taken longer than that.
                    .map_or(TimestampNs::MAX, |hold| self.trip.entry.ts.plus(hold).max(now)),
            };
            return Ok(None);
        }
        self.close(now, rates)
    }

    /// What is held is too small for one of the venues to close: it stays in the inventory and the route moves on.
    ///
    /// # Errors
    /// [`Overflow`] when a sum does not fit.
    pub fn abandon(
        &mut self,
        reason: ExitReason,
        seen: Seen,
        rates: (i64, i64),
    ) -> Result<Option<RoundTrip>, Overflow> {
        self.leaving = Some(reason);
        self.trip.begin_exit(seen, self.held());
        self.close(seen.ts, rates)
    }

    fn close(&mut self, now: TimestampNs, rates: (i64, i64)) -> Result<Option<RoundTrip>, Overflow> {
        self.state = State::Flat;
        self.due = TimestampNs::MAX;
        let left = std::mem::take(&mut self.position);
        let reason = self.leaving.take().unwrap_or(ExitReason::BrokenEntry);
        if self.trip.is_empty() {
            return Ok(None); // neither leg of the entry filled
        }
        self.trip.close(self.direction, reason, now, rates, left).map(Some)
    }

    /// The timer that [`Route::due`] announced has been looked at and nothing could be done: look again later.
    pub fn snooze(&mut self, now: TimestampNs) {
        if self.due <= now {
            self.due = match self.state {
                State::Flat | State::Halted | State::Entering | State::Exiting => TimestampNs::MAX,
                State::Open | State::Unwinding => now.plus(self.config.strategy.leg_timeout_ns),
            };
        }
    }
}
