//! The figures of a run, each with its formula and source in `docs/statistics.md`.
//!
//! What always holds: sums of money are exact; ratios are `f64` made in a fixed order; a figure that is not defined
//! (no trade, no loss, too short) is `None`, never NaN, infinity or a stand-in number.

mod series;

use crossbook_engine::order::OrderStatus;
use crossbook_engine::records::{ExitReason, RoundTrip, Rows};
use crossbook_engine::risk::{Reason, Verdict};
use crossbook_engine::units::{Amount, Overflow, Rounding};
use serde::Serialize;

use super::meta::RunMeta;
use super::money::Money;
pub use series::{Drawdown, DrawdownSpan, MIN_RETURNS, Point, against_hold, drawdown};

/// Figures of one run. Money is in the base currency unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// Length of the window, seconds.
    pub span_s: f64,
    /// Equity at the start; zero when it was never sampled.
    pub equity_start: Money,
    /// Equity at the end.
    pub equity_end: Money,
    /// `equity_end - equity_start`, market drift of the inventory included.
    pub pnl: Money,
    /// `pnl` less what holding the opening inventory would have earned.
    pub pnl_vs_hold: Money,
    /// `pnl / equity_start`.
    pub return_ratio: Option<f64>,
    /// `pnl_vs_hold / equity_start`.
    pub return_vs_hold: Option<f64>,
    /// Step of the returns that the ratios are made of, seconds.
    pub grid_s: Option<f64>,
    /// How many returns that gave.
    pub returns: u64,
    /// Annualised Sharpe ratio of the returns against holding.
    pub sharpe: Option<f64>,
    /// Standard error of `sharpe`.
    pub sharpe_error: Option<f64>,
    /// Annualised Sortino ratio of the returns against holding.
    pub sortino: Option<f64>,
    /// Yearly return against holding over the deepest drawdown of the same curve.
    pub calmar: Option<f64>,
    /// Deepest fall of the curve against holding.
    pub drawdown: Option<Drawdown>,
    /// Deepest fall of equity itself, market drift included.
    pub equity_drawdown: Option<Drawdown>,
    /// Round trips that ended.
    pub round_trips: u64,
    /// Those that earned something after fees.
    pub wins: u64,
    /// Those that lost.
    pub losses: u64,
    /// `wins / round_trips`.
    pub win_rate: Option<f64>,
    /// Sum of the wins.
    pub gross_profit: Money,
    /// Sum of the losses, as a positive number.
    pub gross_loss: Money,
    /// `gross_profit / gross_loss`.
    pub profit_factor: Option<f64>,
    /// Mean result of a round trip.
    pub average_pnl: Option<f64>,
    /// Mean of the wins.
    pub average_win: Option<f64>,
    /// Mean of the losses, as a positive number.
    pub average_loss: Option<f64>,
    /// Best round trip.
    pub best: Option<Money>,
    /// Worst round trip.
    pub worst: Option<Money>,
    /// Most losses in a row.
    pub longest_losing_streak: u64,
    /// From the decision to enter to the last report of the exit.
    pub holding: Option<Holding>,
    /// Share of the window in which at least one round trip was open.
    pub exposure: Option<f64>,
    /// Orders that were sent.
    pub orders: OrderCounts,
    /// Mean over the orders of filled over asked quantity.
    pub fill_ratio: Option<f64>,
    /// Fills.
    pub fills: u64,
    /// Fees of all fills at the run's last rates; `None` when a currency has no rate.
    pub fees: Option<Money>,
    /// The same in the currencies they were paid in.
    pub fees_by_currency: Vec<CurrencyAmount>,
    /// Notional of all fills at the run's last rates; `None` when a currency has no rate.
    pub turnover: Option<Money>,
    /// The same in the quote currencies.
    pub turnover_by_currency: Vec<CurrencyAmount>,
    /// `turnover / equity_start`.
    pub turnover_ratio: Option<f64>,
    /// Where `pnl_vs_hold` came from.
    pub attribution: AttributionTotals,
    /// Round trips by reason of their exit, all reasons.
    pub exits: Vec<ExitCount>,
    /// What risk said, by verdict and reason, changes of mind only.
    pub risk: Vec<RiskCount>,
    /// Orders that venues refused, by reason.
    pub rejects: Vec<NamedCount>,
    /// Stretches without trading, by cause.
    pub idle: Vec<Idle>,
    /// Round trips by route.
    pub by_route: Vec<RouteTotals>,
}

/// How long round trips were held, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Holding {
    /// Mean.
    pub mean_s: f64,
    /// Median (nearest rank).
    pub p50_s: f64,
    /// 95th percentile (nearest rank).
    pub p95_s: f64,
    /// Longest.
    pub max_s: f64,
}

/// What became of the orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OrderCounts {
    /// All.
    pub sent: u64,
    /// Filled whole.
    pub filled: u64,
    /// Ended with a part filled.
    pub partly: u64,
    /// Ended with nothing filled, not refused.
    pub unfilled: u64,
    /// Refused by the venue.
    pub rejected: u64,
    /// Not ended when the data did.
    pub open: u64,
}

/// An amount in a named currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CurrencyAmount {
    /// The currency.
    pub currency: String,
    /// How much.
    pub amount: Money,
}

/// Sums over the round trips; `premium + fx - slippage - fees - legging = round_trips`, and
/// `round_trips + other = pnl_vs_hold`, both exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AttributionTotals {
    /// Change of the premium.
    pub premium: Money,
    /// Change of the exchange rate.
    pub fx: Money,
    /// Fills against mids (a cost counts positive).
    pub slippage: Money,
    /// Fees (a cost counts positive).
    pub fees: Money,
    /// Completing or undoing broken pairs (a cost counts positive).
    pub legging: Money,
    /// Sum of the round trips' results.
    pub round_trips: Money,
    /// What no closed round trip explains: open ones, funding, and balances that moved between currencies.
    pub other: Money,
}

/// Round trips that ended for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExitCount {
    /// The reason.
    pub reason: ExitReason,
    /// How many.
    pub count: u64,
    /// What they earned together.
    pub pnl: Money,
}

/// How often risk changed its mind to one verdict for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RiskCount {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub reason: Reason,
    /// How often.
    pub count: u64,
}

/// A count with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedCount {
    /// Of what.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// Time in which nothing could be traded, for one cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Idle {
    /// The cause.
    pub cause: String,
    /// How long, seconds.
    pub seconds: f64,
    /// As a share of the window.
    pub share: Option<f64>,
}

/// Totals of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteTotals {
    /// Its name.
    pub route: String,
    /// Round trips that ended.
    pub round_trips: u64,
    /// Those that earned something.
    pub wins: u64,
    /// What they earned together.
    pub pnl: Money,
    /// Their fees.
    pub fees: Money,
}

impl Statistics {
    /// Computes every figure. The grid of returns is chosen by the length of the run unless `grid_ns` is given.
    ///
    /// # Errors
    /// [`Overflow`] when a sum of money does not fit.
    pub fn new(rows: &Rows, meta: &RunMeta, grid_ns: Option<i64>) -> Result<Statistics, Overflow> {
        let curve = against_hold(&rows.equity)?;
        let equity: Vec<Point> = rows.equity.iter().map(|point| (point.ts, point.equity)).collect();
        let (equity_start, equity_end) = ends(&equity);
        let (curve_start, curve_end) = ends(&curve);
        let pnl = equity_end.checked_sub(equity_start)?;
        let pnl_vs_hold = curve_end.checked_sub(curve_start)?;
        let span_ns = meta.window.map_or(0, |window| window.span_ns().max(0));
        let of_start = |amount: Amount| (equity_start > Amount::ZERO).then(|| amount.to_f64() / equity_start.to_f64());
        let return_vs_hold = of_start(pnl_vs_hold);
        let returns = series::returns(&curve, grid_ns);
        let fall = drawdown(&curve)?;
        let calmar = return_vs_hold
            .and_then(|ratio| series::yearly(ratio, span_ns))
            .zip(fall.and_then(|fall| fall.share).filter(|&share| share > 0.0))
            .map(|(yearly, share)| yearly / share);
        let trips = &rows.round_trips;
        let (won, lost) = (
            pick(trips, |trip| trip.pnl > Amount::ZERO),
            pick(trips, |trip| trip.pnl < Amount::ZERO),
        );
        let gross_profit = sum(won.iter().map(|trip| trip.pnl))?;
        let gross_loss = sum(lost.iter().map(|trip| trip.pnl))?.checked_neg()?;
        let turnover = by_currency(rows.fills.iter().map(|row| {
            let quote = meta.instruments.get(row.fill.instrument.index());
            (quote.map_or(usize::MAX, |info| info.quote.index()), row.fill.notional)
        }))?;
        let fees = by_currency(
            rows.fills
                .iter()
                .map(|row| (row.fill.fee_currency.index(), row.fill.fee)),
        )?;
        let turnover_in_base = in_base(&turnover, meta, Rounding::Down)?;
        Ok(Statistics {
            span_s: span_ns as f64 / 1e9,
            equity_start: Money(equity_start),
            equity_end: Money(equity_end),
            pnl: Money(pnl),
            pnl_vs_hold: Money(pnl_vs_hold),
            return_ratio: of_start(pnl),
            return_vs_hold,
            grid_s: returns.as_ref().map(|returns| returns.step_ns as f64 / 1e9),
            returns: returns.as_ref().map_or(0, |returns| returns.values.len() as u64),
            sharpe: returns.as_ref().and_then(|returns| returns.sharpe()),
            sharpe_error: returns.as_ref().and_then(|returns| returns.sharpe_error()),
            sortino: returns.as_ref().and_then(|returns| returns.sortino()),
            calmar,
            drawdown: fall,
            equity_drawdown: drawdown(&equity)?,
            round_trips: trips.len() as u64,
            wins: won.len() as u64,
            losses: lost.len() as u64,
            win_rate: ratio(won.len() as f64, trips.len() as f64),
            gross_profit: Money(gross_profit),
            gross_loss: Money(gross_loss),
            profit_factor: ratio(gross_profit.to_f64(), gross_loss.to_f64()),
            average_pnl: ratio(sum(trips.iter().map(|trip| trip.pnl))?.to_f64(), trips.len() as f64),
            average_win: ratio(gross_profit.to_f64(), won.len() as f64),
            average_loss: ratio(gross_loss.to_f64(), lost.len() as f64),
            best: trips.iter().map(|trip| Money(trip.pnl)).max(),
            worst: trips.iter().map(|trip| Money(trip.pnl)).min(),
            longest_losing_streak: longest_losing_streak(trips),
            holding: holding(trips),
            exposure: exposure(trips, meta),
            orders: order_counts(rows),
            fill_ratio: fill_ratio(rows),
            fills: rows.fills.len() as u64,
            fees: in_base(&fees, meta, Rounding::Up)?.map(Money),
            fees_by_currency: named(&fees, meta),
            turnover: turnover_in_base.map(Money),
            turnover_by_currency: named(&turnover, meta),
            turnover_ratio: turnover_in_base.and_then(of_start),
            attribution: attribution(trips, pnl_vs_hold)?,
            exits: exits(trips)?,
            risk: risk(rows),
            rejects: rejects(rows),
            idle: idle(meta),
            by_route: by_route(trips, meta)?,
        })
    }
}

fn ends(curve: &[Point]) -> (Amount, Amount) {
    match (curve.first(), curve.last()) {
        (Some(first), Some(last)) => (first.1, last.1),
        _ => (Amount::ZERO, Amount::ZERO),
    }
}

fn pick(trips: &[RoundTrip], which: impl Fn(&RoundTrip) -> bool) -> Vec<&RoundTrip> {
    trips.iter().filter(|trip| which(trip)).collect()
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Result<Amount, Overflow> {
    Amount::from_wide(amounts.map(|amount| i128::from(amount.raw())).sum())
}

/// `part / whole`, or nothing when there is no whole.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn longest_losing_streak(trips: &[RoundTrip]) -> u64 {
    let (mut longest, mut current) = (0, 0);
    for trip in trips {
        current = if trip.pnl < Amount::ZERO { current + 1 } else { 0 };
        longest = longest.max(current);
    }
    longest
}

fn holding(trips: &[RoundTrip]) -> Option<Holding> {
    let mut spans: Vec<i64> = trips.iter().map(|trip| trip.ts_closed.since(trip.ts_entry)).collect();
    spans.sort_unstable();
    let seconds = |span: i64| span as f64 / 1e9;
    let total: i128 = spans.iter().map(|&span| i128::from(span)).sum();
    Some(Holding {
        mean_s: total as f64 / spans.len() as f64 / 1e9,
        p50_s: seconds(series::quantile(&spans, 0.5)?),
        p95_s: seconds(series::quantile(&spans, 0.95)?),
        max_s: seconds(*spans.last()?),
    })
}

/// Length of the union of all round trips within the window, over the length of the window.
fn exposure(trips: &[RoundTrip], meta: &RunMeta) -> Option<f64> {
    let window = meta.window.filter(|window| window.span_ns() > 0)?;
    let mut spans: Vec<_> = trips
        .iter()
        .map(|trip| (trip.ts_entry.max(window.from), trip.ts_closed.min(window.to)))
        .collect();
    spans.sort_unstable();
    let (mut covered, mut until) = (0i64, window.from);
    for (from, to) in spans {
        covered = covered.saturating_add(to.since(from.max(until)).max(0));
        until = until.max(to);
    }
    Some(covered as f64 / window.span_ns() as f64)
}

fn order_counts(rows: &Rows) -> OrderCounts {
    let mut counts = OrderCounts::default();
    for row in &rows.orders {
        counts.sent += 1;
        let bucket = match row.status {
            OrderStatus::Rejected(_) => &mut counts.rejected,
            OrderStatus::Sent | OrderStatus::Resting => &mut counts.open,
            OrderStatus::Filled => &mut counts.filled,
            OrderStatus::Expired | OrderStatus::Cancelled if row.filled.is_zero() => &mut counts.unfilled,
            OrderStatus::Expired | OrderStatus::Cancelled => &mut counts.partly,
        };
        *bucket += 1;
    }
    counts
}

fn fill_ratio(rows: &Rows) -> Option<f64> {
    let shares = rows
        .orders
        .iter()
        .filter(|row| row.status.is_final() && !row.order.qty.is_zero())
        .map(|row| row.filled.to_f64() / row.order.qty.to_f64());
    let (total, count) = shares.fold((0.0, 0.0), |(total, count), share| (total + share, count + 1.0));
    ratio(total, count)
}

/// Sums by currency index, in the order of the indices.
fn by_currency(amounts: impl Iterator<Item = (usize, Amount)>) -> Result<Vec<(usize, Amount)>, Overflow> {
    let mut totals = std::collections::BTreeMap::<usize, i128>::new();
    for (currency, amount) in amounts {
        *totals.entry(currency).or_default() += i128::from(amount.raw());
    }
    totals
        .into_iter()
        .map(|(currency, total)| Ok((currency, Amount::from_wide(total)?)))
        .collect()
}

fn in_base(totals: &[(usize, Amount)], meta: &RunMeta, rounding: Rounding) -> Result<Option<Amount>, Overflow> {
    let mut whole = Amount::ZERO;
    for &(currency, amount) in totals {
        let Some(rate) = meta.currencies.get(currency).and_then(|info| info.rate) else {
            return Ok(None);
        };
        whole = whole.checked_add(amount.convert(rate, rounding)?)?;
    }
    Ok(Some(whole))
}

fn named(totals: &[(usize, Amount)], meta: &RunMeta) -> Vec<CurrencyAmount> {
    totals
        .iter()
        .map(|&(currency, amount)| CurrencyAmount {
            currency: meta
                .currencies
                .get(currency)
                .map_or_else(|| format!("#{currency}"), |info| info.name.clone()),
            amount: Money(amount),
        })
        .collect()
}

fn attribution(trips: &[RoundTrip], pnl_vs_hold: Amount) -> Result<AttributionTotals, Overflow> {
    let round_trips = sum(trips.iter().map(|trip| trip.pnl))?;
    Ok(AttributionTotals {
        premium: Money(sum(trips.iter().map(|trip| trip.attribution.premium))?),
        fx: Money(sum(trips.iter().map(|trip| trip.attribution.fx))?),
        slippage: Money(sum(trips.iter().map(|trip| trip.attribution.slippage))?),
        fees: Money(sum(trips.iter().map(|trip| trip.attribution.fees))?),
        legging: Money(sum(trips.iter().map(|trip| trip.attribution.legging))?),
        round_trips: Money(round_trips),
        other: Money(pnl_vs_hold.checked_sub(round_trips)?),
    })
}

fn exits(trips: &[RoundTrip]) -> Result<Vec<ExitCount>, Overflow> {
    ExitReason::ALL
        .into_iter()
        .map(|reason| {
            let ended = pick(trips, |trip| trip.reason == reason);
            Ok(ExitCount {
                reason,
                count: ended.len() as u64,
                pnl: Money(sum(ended.iter().map(|trip| trip.pnl))?),
            })
        })
        .collect()
}

fn risk(rows: &Rows) -> Vec<RiskCount> {
    let mut counts = std::collections::BTreeMap::<(Verdict, Reason), u64>::new();
    for row in &rows.risk {
        *counts.entry((row.verdict, row.reason)).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((verdict, reason), count)| RiskCount { verdict, reason, count })
        .collect()
}

fn rejects(rows: &Rows) -> Vec<NamedCount> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for row in &rows.orders {
        if let OrderStatus::Rejected(reject) = row.status {
            *counts.entry(crate::report::word(&reject)).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .map(|(name, count)| NamedCount { name, count })
        .collect()
}

fn idle(meta: &RunMeta) -> Vec<Idle> {
    let span_ns = meta.window.map_or(0, |window| window.span_ns());
    meta.idle_ns
        .iter()
        .map(|(cause, &ns)| Idle {
            cause: cause.clone(),
            seconds: ns as f64 / 1e9,
            share: ratio(ns as f64, span_ns as f64),
        })
        .collect()
}

fn by_route(trips: &[RoundTrip], meta: &RunMeta) -> Result<Vec<RouteTotals>, Overflow> {
    meta.routes
        .iter()
        .enumerate()
        .map(|(at, route)| {
            let own = pick(trips, |trip| trip.route.index() == at);
            Ok(RouteTotals {
                route: route.clone(),
                round_trips: own.len() as u64,
                wins: own.iter().filter(|trip| trip.pnl > Amount::ZERO).count() as u64,
                pnl: Money(sum(own.iter().map(|trip| trip.pnl))?),
                fees: Money(sum(own.iter().map(|trip| trip.attribution.fees))?),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
