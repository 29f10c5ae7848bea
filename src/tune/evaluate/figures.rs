//! What a trial keeps of a run: figures, no rows. The same figures as [`crate::report::statistics::Statistics`] on the same
//! run, where both have them; a test holds them to each other.

use std::sync::Arc;

use crossbook_engine::engine::Engine;
use crossbook_engine::instrument::CurrencyId;
use crossbook_engine::records::{EquityPoint, FillRecord, Recorder, RoundTrip};
use crossbook_engine::units::{Amount, Rounding, TimestampNs};

use crate::tune::objective::Metric;
use crate::tune::trial::Measures;

/// A year of a market that never closes.
const YEAR_NS: f64 = 365.0 * 86_400.0 * 1e9;

/// Figures of one run, or of several taken together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Equity at the first sample.
    pub equity_start: f64,
    /// Equity at the last sample less that at the first.
    pub pnl: f64,
    /// The same less the drift of the opening inventory.
    pub pnl_vs_hold: f64,
    /// Fees at the run's last rates.
    pub fees: f64,
    /// Round trips that ended.
    pub round_trips: u64,
    /// Those that earned something.
    pub wins: u64,
    /// Sum of the wins.
    pub gross_profit: f64,
    /// Sum of the losses, positive.
    pub gross_loss: f64,
    /// Sum over all round trips.
    pub trips_pnl: f64,
    /// Deepest fall of the result against holding.
    pub max_drawdown: f64,
    /// The same as a share of the peak, where the peak was positive.
    pub drawdown_share: Option<f64>,
    /// From the first event to the last.
    pub span_ns: i64,
    /// Result against holding by period.
    pub periods: Vec<f64>,
}

impl Figures {
    /// A metric; `None` when it is not defined. A run in which nothing happened at all (no trade, no change of the result)
    /// earned nothing: its ratios count as zero, not as undefined.
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        let still = self.round_trips == 0 && self.periods.iter().all(|value| *value == 0.0);
        let ratio = |value: Option<f64>| if still { Some(0.0) } else { value };
        match metric {
            Metric::Pnl => Some(self.pnl),
            Metric::PnlVsHold => Some(self.pnl_vs_hold),
            Metric::ReturnVsHold => over(self.pnl_vs_hold, self.equity_start),
            Metric::Sharpe => ratio(sharpe(&self.periods)),
            Metric::Sortino => ratio(sortino(&self.periods)),
            Metric::Calmar => ratio(self.calmar()),
            Metric::WinRate => ratio(over(self.wins as f64, self.round_trips as f64)),
            Metric::PnlPerTrip => ratio(over(self.trips_pnl, self.round_trips as f64)),
            Metric::MaxDrawdown => Some(-self.max_drawdown),
            Metric::ProfitFactor => ratio(over(self.gross_profit, self.gross_loss)),
            Metric::RoundTrips => Some(self.round_trips as f64),
            Metric::Fees => Some(-self.fees),
        }
    }

    fn calmar(&self) -> Option<f64> {
        let yearly = over(self.pnl_vs_hold, self.equity_start)? * over(YEAR_NS, self.span_ns as f64)?;
        over(yearly, self.drawdown_share?)
    }

    /// As a record shows them.
    pub fn measures(&self) -> Measures {
        Measures {
            pnl: self.pnl,
            pnl_vs_hold: self.pnl_vs_hold,
            fees: self.fees,
            round_trips: self.round_trips,
            wins: self.wins,
            max_drawdown: self.max_drawdown,
            sharpe: sharpe(&self.periods),
            sortino: sortino(&self.periods),
            win_rate: over(self.wins as f64, self.round_trips as f64),
            pnl_per_trip: over(self.trips_pnl, self.round_trips as f64),
        }
    }

    /// Several runs taken together: sums, the deepest fall of any, the periods of one after those of the other.
    pub fn together<'a>(runs: impl Iterator<Item = &'a Figures>) -> Figures {
        let mut all = Figures::default();
        for run in runs {
            all.equity_start += run.equity_start;
            all.pnl += run.pnl;
            all.pnl_vs_hold += run.pnl_vs_hold;
            all.fees += run.fees;
            all.round_trips += run.round_trips;
            all.wins += run.wins;
            all.gross_profit += run.gross_profit;
            all.gross_loss += run.gross_loss;
            all.trips_pnl += run.trips_pnl;
            all.max_drawdown = all.max_drawdown.max(run.max_drawdown);
            all.drawdown_share = match (all.drawdown_share, run.drawdown_share) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
            all.span_ns = all.span_ns.saturating_add(run.span_ns);
            all.periods.extend_from_slice(&run.periods);
        }
        all
    }
}

fn over(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Mean over sample deviation of the periods, not annualised; `None` for fewer than two, or when they differ by rounding only.
/// The equity is not divided out: a constant divisor would change nothing.
pub fn sharpe(periods: &[f64]) -> Option<f64> {
    if periods.len() < 2 {
        return None;
    }
    let count = periods.len() as f64;
    let mean = periods.iter().sum::<f64>() / count;
    let squares: f64 = periods.iter().map(|value| (value - mean) * (value - mean)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    (deviation > mean.abs() * 1e-9).then(|| mean / deviation)
}

/// Mean over the root mean square of the losses (target zero, all periods counted), not annualised; `None` without a loss.
pub fn sortino(periods: &[f64]) -> Option<f64> {
    if periods.len() < 2 {
        return None;
    }
    let count = periods.len() as f64;
    let mean = periods.iter().sum::<f64>() / count;
    let squares: f64 = periods.iter().map(|value| value.min(0.0) * value.min(0.0)).sum();
    let downside = (squares / count).sqrt();
    (downside > mean.abs() * 1e-9).then(|| mean / downside)
}

/// Where a run's figures are cut: periods and rungs.
#[derive(Debug, Clone)]
pub struct Marks {
    /// Ends of the periods but the last, rising.
    pub periods: Arc<[TimestampNs]>,
    /// Instants at which the figures so far are set aside, rising.
    pub rungs: Vec<TimestampNs>,
}

/// Hears a run and keeps figures.
///
/// The result at the end of a period is that of the first sample at or after it. Samples fall on the periods' grid, so that is
/// the state at the first instant at which anything was decided after the period ended; the periods add up to the whole.
#[derive(Debug, Clone)]
pub struct Lean {
    marks: Marks,
    /// First sample: equity, hold.
    first: Option<(i64, i64)>,
    /// Equity, and result against holding, at the newest sample; in 1e-8.
    equity: i64,
    result: i128,
    marked: i128,
    peak: i128,
    fall: i128,
    fall_peak: i128,
    periods: Vec<f64>,
    trips: u64,
    wins: u64,
    profit: i128,
    loss: i128,
    trip_fees: i128,
    fees: Vec<i128>,
    set_aside: Vec<Figures>,
    /// When the window began.
    from: TimestampNs,
}

impl Lean {
    /// Before the first event of a window that begins at `from`, with so many currencies.
    pub fn new(from: TimestampNs, currencies: usize, marks: Marks) -> Lean {
        Lean {
            periods: Vec::with_capacity(marks.periods.len() + 1),
            marks,
            first: None,
            equity: 0,
            result: 0,
            marked: 0,
            peak: 0,
            fall: 0,
            fall_peak: 0,
            trips: 0,
            wins: 0,
            profit: 0,
            loss: 0,
            trip_fees: 0,
            fees: vec![0; currencies],
            set_aside: Vec::new(),
            from,
        }
    }

    /// Figures at the rungs passed so far.
    pub fn rungs(&self) -> &[Figures] {
        &self.set_aside
    }

    /// The same, without the run.
    pub fn into_rungs(self) -> Vec<Figures> {
        self.set_aside
    }

    /// Figures at the rungs up to this instant, which the run has reached: what had been heard before each.
    pub fn until(mut self, now: TimestampNs) -> Vec<Figures> {
        self.reach(now);
        self.set_aside
    }

    /// Before anything of `now` is taken in: the rungs up to it see what was before.
    #[inline]
    fn reach(&mut self, now: TimestampNs) {
        while let Some(&rung) = self.marks.rungs.get(self.set_aside.len())
            && now >= rung
        {
            self.set_aside_at(rung);
        }
    }

    #[cold]
    fn set_aside_at(&mut self, rung: TimestampNs) {
        let ended = self.marks.periods.partition_point(|end| *end <= rung);
        let mut periods = self.periods.clone();
        periods.push(units(self.result - self.marked));
        periods.resize((ended + 1).max(periods.len()), 0.0);
        let mut figures = self.figures(rung.since(self.from), periods);
        figures.fees = units(self.trip_fees);
        self.set_aside.push(figures);
    }

    fn figures(&self, span_ns: i64, periods: Vec<f64>) -> Figures {
        let start = self.first.map_or(0, |first| first.0);
        let share = |fall: i128| (self.fall_peak > 0).then(|| units(fall) / units(self.fall_peak));
        Figures {
            equity_start: units(i128::from(start)),
            pnl: units(i128::from(self.equity) - i128::from(start)),
            pnl_vs_hold: units(self.result),
            fees: 0.0,
            round_trips: self.trips,
            wins: self.wins,
            gross_profit: units(self.profit),
            gross_loss: units(self.loss),
            trips_pnl: units(self.profit - self.loss),
            max_drawdown: units(self.fall),
            drawdown_share: self.first.and_then(|_| share(self.fall)),
            span_ns,
            periods,
        }
    }

    /// The run's figures after its end. `engine` says what fees are worth; `span` is from its first event to its last.
    ///
    /// # Errors
    /// When the fees do not fit.
    pub fn finish(
        mut self,
        engine: &mut Engine,
        span: Option<(TimestampNs, TimestampNs)>,
    ) -> Result<(Figures, Vec<Figures>), crossbook_engine::units::Overflow> {
        self.reach(TimestampNs::MAX);
        let mut periods = std::mem::take(&mut self.periods);
        periods.push(units(self.result - self.marked));
        periods.resize(self.marks.periods.len() + 1, 0.0);
        let mut figures = self.figures(span.map_or(0, |(from, to)| to.since(from)), periods);
        let mut fees = Amount::ZERO;
        for (index, &paid) in self.fees.iter().enumerate() {
            if paid == 0 {
                continue;
            }
            if let Some(rate) = engine.unit_value(CurrencyId(index as u16)) {
                fees = fees.checked_add(Amount::from_wide(paid)?.convert(rate, Rounding::Up)?)?;
            }
        }
        figures.fees = fees.to_f64();
        Ok((figures, self.set_aside))
    }
}

/// Counts of 1e-8 as units; exact steps first, one rounding last.
fn units(raw: i128) -> f64 {
    raw as f64 / 1e8
}

impl Recorder for Lean {
    fn fill(&mut self, record: &FillRecord) {
        self.reach(record.ts_report);
        if let Some(fees) = self.fees.get_mut(record.fill.fee_currency.index()) {
            *fees += i128::from(record.fill.fee.raw());
        }
    }

    fn round_trip(&mut self, trip: &RoundTrip) {
        self.reach(trip.ts_closed);
        let pnl = i128::from(trip.pnl.raw());
        self.trips += 1;
        self.wins += u64::from(pnl > 0);
        self.profit += pnl.max(0);
        self.loss += (-pnl).max(0);
        self.trip_fees += i128::from(trip.attribution.fees.raw());
    }

    fn equity(&mut self, point: &EquityPoint) {
        self.reach(point.ts);
        let (equity, hold) = (point.equity.raw(), point.hold.raw());
        let start = match self.first {
            Some(first) => first,
            None => {
                self.first = Some((equity, hold));
                // Both curves of the result begin at the opening equity; the peak is needed as an amount.
                self.peak = i128::from(equity);
                self.fall_peak = self.peak;
                (equity, hold)
            }
        };
        let value = i128::from(equity) - (i128::from(hold) - i128::from(start.1));
        self.equity = equity;
        self.result = value - i128::from(start.0);
        if value > self.peak {
            self.peak = value;
        }
        if self.peak - value > self.fall {
            self.fall = self.peak - value;
            self.fall_peak = self.peak;
        }
        while let Some(&end) = self.marks.periods.get(self.periods.len())
            && point.ts >= end
        {
            self.periods.push(units(self.result - self.marked));
            self.marked = self.result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(points: &[(i64, i64, i64)], rung: i64) -> Figures {
        let amount = |units: i64| Amount::from_raw(units * 100_000_000).unwrap();
        let marks = Marks {
            periods: [10, 20, 30].map(TimestampNs).into(),
            rungs: vec![TimestampNs(rung)],
        };
        let mut lean = Lean::new(TimestampNs(0), 1, marks);
        for &(ts, equity, hold) in points {
            lean.equity(&EquityPoint {
                ts: TimestampNs(ts),
                equity: amount(equity),
                hold: amount(hold),
            });
        }
        lean.until(TimestampNs(rung)).remove(0)
    }

    #[test]
    fn periods_end_at_the_first_sample_and_add_up() {
        // What was held gained 5, then lost it, then gained 10: none of it is a result.
        let points = [(0, 100, 50), (10, 110, 55), (25, 103, 50), (30, 120, 60)];
        let all = heard(&points, 40);
        assert_eq!(all.periods, [5.0, -2.0, 7.0, 0.0]);
        assert_eq!((all.pnl, all.pnl_vs_hold, all.max_drawdown), (20.0, 10.0, 2.0));
        assert_eq!(all.drawdown_share, Some(2.0 / 105.0));
        let early = heard(&points, 27);
        assert_eq!(early.periods, [5.0, -2.0, 0.0], "what was heard by then");
        assert_eq!((early.pnl, early.pnl_vs_hold, early.span_ns), (3.0, 3.0, 27));
        assert_eq!(heard(&[], 40).periods, [0.0; 4]);
    }

    #[test]
    fn ratios_of_nothing_are_zero_as_scores_and_undefined_as_figures() {
        let still = Figures {
            periods: vec![0.0; 40],
            ..Figures::default()
        };
        for metric in [
            Metric::Sharpe,
            Metric::Sortino,
            Metric::Calmar,
            Metric::WinRate,
            Metric::ProfitFactor,
        ] {
            assert_eq!(still.metric(metric), Some(0.0), "{metric:?}");
        }
        assert_eq!(still.measures().sharpe, None);
        let only_up = Figures {
            periods: vec![1.0, 2.0, 3.0],
            round_trips: 3,
            wins: 3,
            gross_profit: 6.0,
            ..Figures::default()
        };
        assert_eq!(only_up.metric(Metric::Sharpe), Some(2.0));
        assert_eq!(only_up.metric(Metric::Sortino), None, "no loss to divide by");
        assert_eq!(only_up.metric(Metric::ProfitFactor), None);
        assert_eq!(sharpe(&[1.0]), None);
        assert_eq!(sharpe(&[1.0, 1.0]), None, "no spread to divide by");
        assert_eq!(sortino(&[3.0, -1.0, 1.0, -1.0]), Some(0.5 / 0.5f64.sqrt()));
    }

    #[test]
    fn several_runs_add_up() {
        let run = |pnl: f64, fall: f64| Figures {
            pnl,
            max_drawdown: fall,
            round_trips: 2,
            periods: vec![pnl, 0.0],
            ..Figures::default()
        };
        let both = Figures::together([run(1.0, 7.0), run(2.0, 3.0)].iter());
        assert_eq!((both.pnl, both.max_drawdown, both.round_trips), (3.0, 7.0, 4));
        assert_eq!(both.periods, [1.0, 0.0, 2.0, 0.0]);
    }
}
