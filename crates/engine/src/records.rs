//! What a run leaves behind: plain rows, handed to a [`Recorder`] as they happen.

use serde::{Deserialize, Serialize};

use crate::instrument::RouteId;
use crate::order::{Fill, Leg, Order, OrderId, OrderStatus};
use crate::units::{Amount, Bps, Qty, TimestampNs};

/// Which way a route is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A was sold and B bought: earns when the premium falls.
    SellA,
    /// A was bought and B sold: earns when the premium rises.
    BuyA,
}

/// Why a position is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// The deviation has come back (`close - fair <= exit_bps`).
    Converged,
    /// Mark-to-exit reached `take_profit_bps`.
    TakeProfit,
    /// Mark-to-exit fell to `-stop_bps`.
    Stop,
    /// Held for `max_hold`.
    MaxHold,
    /// Risk said so.
    Risk,
    /// An entry whose legs did not both fill was undone.
    BrokenEntry,
}

impl ExitReason {
    /// All reasons, for tables.
    pub const ALL: [ExitReason; 6] = [
        ExitReason::Converged,
        ExitReason::TakeProfit,
        ExitReason::Stop,
        ExitReason::MaxHold,
        ExitReason::Risk,
        ExitReason::BrokenEntry,
    ];

    /// As it is spelled in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            ExitReason::Converged => "converged",
            ExitReason::TakeProfit => "take_profit",
            ExitReason::Stop => "stop",
            ExitReason::MaxHold => "max_hold",
            ExitReason::Risk => "risk",
            ExitReason::BrokenEntry => "broken_entry",
        }
    }
}

/// What an order came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRecord {
    /// The order as sent.
    pub order: Order,
    /// Its last state.
    pub status: OrderStatus,
    /// How much of it was filled.
    pub filled: Qty,
    /// When it reached the venue; `None` if the data ended before.
    pub ts_venue: Option<TimestampNs>,
    /// When its last report reached us.
    pub ts_report: Option<TimestampNs>,
}

/// A fill with what is needed to read it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillRecord {
    /// The fill.
    pub fill: Fill,
    /// Route of its order.
    pub route: RouteId,
    /// Leg of its order.
    pub leg: Leg,
    /// What it cost against the mid at the decision, in quote: positive is a loss.
    pub slippage: Amount,
    /// When its report reached us.
    pub ts_report: TimestampNs,
}

/// Where the money of a round trip came from, in the run's base currency. The parts add up to the total exactly:
/// `premium + fx - slippage - fees - legging = pnl`; see `docs/model.md` for the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// From the change of the premium between the decisions to enter and to leave, at mid prices.
    pub premium: Amount,
    /// From the change of the exchange rate in between, on the foreign notional.
    pub fx: Amount,
    /// Fees of all fills (a cost counts positive).
    pub fees: Amount,
    /// Half spread, depth and latency: fills of entry and exit against the mids of their decisions (a cost counts positive).
    pub slippage: Amount,
    /// What completing or undoing broken pairs cost (a cost counts positive).
    pub legging: Amount,
}

/// One entry and its exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip {
    /// Its route.
    pub route: RouteId,
    /// Which way it was held.
    pub direction: Direction,
    /// Why it ended.
    pub reason: ExitReason,
    /// Base quantity held per leg.
    pub qty: Qty,
    /// When it was decided to enter.
    pub ts_entry: TimestampNs,
    /// When it was decided to leave.
    pub ts_exit: TimestampNs,
    /// When the last report of it came.
    pub ts_closed: TimestampNs,
    /// Executable spread that was seen at the entry decision.
    pub open: Bps,
    /// Executable spread for undoing it that was seen at the exit decision.
    pub close: Bps,
    /// Premium at mid, at the entry and at the exit decision.
    pub premium: (Bps, Bps),
    /// Fair premium, at the entry and at the exit decision.
    pub fair: (Bps, Bps),
    /// What it earned, in the run's base currency at the exchange rate of its end, after fees.
    pub pnl: Amount,
    /// Where that came from.
    pub attribution: Attribution,
}

/// Equity at an instant, in the run's base currency, marked at mid and exchange rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EquityPoint {
    /// When.
    pub ts: TimestampNs,
    /// Value of everything held.
    pub equity: Amount,
    /// Value that the opening inventory would have now.
    pub hold: Amount,
}

/// A sample of a route's spread, for pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpreadPoint {
    /// When.
    pub ts: TimestampNs,
    /// Which route.
    pub route: RouteId,
    /// Premium at mid.
    pub premium: Bps,
    /// Fair premium.
    pub fair: Bps,
}

/// Why the engine did not act although the spread asked for it, or what it did on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskRecord {
    /// When.
    pub ts: TimestampNs,
    /// The route concerned; `None` for all.
    pub route: Option<RouteId>,
    /// What risk said.
    pub verdict: crate::risk::Verdict,
    /// Why.
    pub reason: crate::risk::Reason,
}

/// Receives rows as they happen, in a fixed order. All methods do nothing unless overridden.
pub trait Recorder {
    /// An order was sent.
    fn order_sent(&mut self, _order: &Order) {}
    /// An order came to its end (or the data did).
    fn order_done(&mut self, _record: &OrderRecord) {}
    /// A fill was reported.
    fn fill(&mut self, _record: &FillRecord) {}
    /// A round trip ended.
    fn round_trip(&mut self, _trip: &RoundTrip) {}
    /// Equity was sampled.
    fn equity(&mut self, _point: &EquityPoint) {}
    /// A spread was sampled.
    fn spread(&mut self, _point: &SpreadPoint) {}
    /// Risk spoke; told once per change of mind, not once per event.
    fn risk(&mut self, _record: &RiskRecord) {}
    /// An order was asked to be taken back.
    fn cancel(&mut self, _order: OrderId, _ts: TimestampNs) {}
}

/// Keeps nothing: for tuning, where only the totals matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRecorder;

impl Recorder for NoRecorder {}

/// Keeps every row in memory.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Orders with what became of them, by end.
    pub orders: Vec<OrderRecord>,
    /// Fills by report.
    pub fills: Vec<FillRecord>,
    /// Round trips by end.
    pub round_trips: Vec<RoundTrip>,
    /// Equity samples.
    pub equity: Vec<EquityPoint>,
    /// Spread samples.
    pub spread: Vec<SpreadPoint>,
    /// What risk said.
    pub risk: Vec<RiskRecord>,
}

impl Recorder for Rows {
    fn order_done(&mut self, record: &OrderRecord) {
        self.orders.push(*record);
    }
    fn fill(&mut self, record: &FillRecord) {
        self.fills.push(*record);
    }
    fn round_trip(&mut self, trip: &RoundTrip) {
        self.round_trips.push(*trip);
    }
    fn equity(&mut self, point: &EquityPoint) {
        self.equity.push(*point);
    }
    fn spread(&mut self, point: &SpreadPoint) {
        self.spread.push(*point);
    }
    fn risk(&mut self, record: &RiskRecord) {
        self.risk.push(*record);
    }
}
