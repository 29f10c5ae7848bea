//! Figures of a curve: its deepest fall, its returns on a fixed grid, and the ratios made of them.

use crossbook_engine::records::EquityPoint;
use crossbook_engine::units::{Amount, Overflow, TimestampNs};
use serde::Serialize;

use crate::report::money::Money;

const SECOND_NS: i64 = 1_000_000_000;
/// A year of a market that never closes.
const YEAR_NS: f64 = 365.0 * 86_400.0 * 1e9;
/// Steps that returns are taken on, coarsest first.
const GRID_NS: [i64; 6] = [
    3600 * SECOND_NS,
    900 * SECOND_NS,
    300 * SECOND_NS,
    60 * SECOND_NS,
    10 * SECOND_NS,
    SECOND_NS,
];
/// Fewer returns than this say nothing: the ratios are left undefined.
pub const MIN_RETURNS: i64 = 24;

/// One point of a curve: when, and how much.
pub type Point = (TimestampNs, Amount);

/// The deepest fall of a curve below its highest point so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drawdown {
    /// How far it fell; zero when it never did.
    pub amount: Money,
    /// The same as a share of the peak; `None` when the peak was not positive.
    pub share: Option<f64>,
    /// When; `None` when it never fell.
    pub span: Option<DrawdownSpan>,
}

/// When the deepest fall began, ended, and was made good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DrawdownSpan {
    /// The peak it fell from.
    pub peak_ts_ns: TimestampNs,
    /// The lowest point.
    pub trough_ts_ns: TimestampNs,
    /// When the peak was reached again; `None` if it never was.
    pub recovered_ts_ns: Option<TimestampNs>,
}

/// What the run would be worth had the opening inventory kept its price: equity less the drift of holding,
/// `equity - (hold - hold at start)`. The curve that results are judged by.
///
/// # Errors
/// [`Overflow`] when a point does not fit.
pub fn against_hold(equity: &[EquityPoint]) -> Result<Vec<Point>, Overflow> {
    let Some(first) = equity.first() else {
        return Ok(Vec::new());
    };
    equity
        .iter()
        .map(|point| {
            let drift = point.hold.checked_sub(first.hold)?;
            Ok((point.ts, point.equity.checked_sub(drift)?))
        })
        .collect()
}

/// The deepest fall of the curve; the first of several equal ones. `None` for an empty curve.
///
/// # Errors
/// [`Overflow`] when a difference does not fit.
pub fn drawdown(curve: &[Point]) -> Result<Option<Drawdown>, Overflow> {
    let Some(&first) = curve.first() else {
        return Ok(None);
    };
    let mut peak = first;
    let mut deepest = (Amount::ZERO, first, first);
    for &point in curve {
        if point.1 > peak.1 {
            peak = point;
        }
        let fall = peak.1.checked_sub(point.1)?;
        if fall > deepest.0 {
            deepest = (fall, peak, point);
        }
    }
    let (amount, peak, trough) = deepest;
    let span = (amount > Amount::ZERO).then(|| DrawdownSpan {
        peak_ts_ns: peak.0,
        trough_ts_ns: trough.0,
        recovered_ts_ns: curve
            .iter()
            .find(|point| point.0 > trough.0 && point.1 >= peak.1)
            .map(|point| point.0),
    });
    let share = (peak.1 > Amount::ZERO).then(|| amount.to_f64() / peak.1.to_f64());
    Ok(Some(Drawdown {
        amount: Money(amount),
        share,
        span,
    }))
}

/// Returns of a curve on a fixed grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Returns {
    /// Step of the grid.
    pub step_ns: i64,
    /// One return a step: value at its end over value at its start, minus one.
    pub values: Vec<f64>,
}

/// Takes the curve's last value at each point of a grid that begins with the curve. The step is the asked one, or the
/// coarsest of 1 h, 15 min, 5 min, 1 min, 10 s, 1 s that gives [`MIN_RETURNS`]. `None` when there are fewer, or when
/// the curve was not positive throughout. A part of a step at the end is left out.
pub fn returns(curve: &[Point], step_ns: Option<i64>) -> Option<Returns> {
    let (first, last) = (curve.first()?, curve.last()?);
    let span = last.0.since(first.0);
    let step_ns = match step_ns {
        Some(step) => step,
        None => GRID_NS.into_iter().find(|step| span / step >= MIN_RETURNS)?,
    };
    if step_ns <= 0 || span / step_ns < MIN_RETURNS {
        return None;
    }
    let mut values = Vec::with_capacity((span / step_ns) as usize);
    let mut at = 0;
    let mut before = positive(first.1)?;
    for step in 1..=span / step_ns {
        let end = first.0.plus(step * step_ns);
        while at + 1 < curve.len() && curve[at + 1].0 <= end {
            at += 1;
        }
        let now = positive(curve[at].1)?;
        values.push(now / before - 1.0);
        before = now;
    }
    Some(Returns { step_ns, values })
}

fn positive(amount: Amount) -> Option<f64> {
    (amount > Amount::ZERO).then(|| amount.to_f64())
}

impl Returns {
    /// Mean return a step.
    fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// Steps in a year.
    fn a_year(&self) -> f64 {
        YEAR_NS / self.step_ns as f64
    }

    /// Sharpe ratio a step: mean over sample deviation; `None` when nothing moved, or only by rounding.
    fn sharpe_a_step(&self) -> Option<f64> {
        let mean = self.mean();
        let squares: f64 = self.values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let deviation = (squares / (self.values.len() as f64 - 1.0)).sqrt();
        (deviation > mean.abs() * 1e-9).then(|| mean / deviation)
    }

    /// Sharpe ratio, annualised, against a riskless rate of zero.
    pub fn sharpe(&self) -> Option<f64> {
        Some(self.sharpe_a_step()? * self.a_year().sqrt())
    }

    /// Standard error of [`Returns::sharpe`] for independent returns: `sqrt((1 + s^2 / 2) / n)` with the ratio `s` of
    /// one step, annualised. Source: Lo, "The Statistics of Sharpe Ratios", Financial Analysts Journal 58(4), 2002.
    pub fn sharpe_error(&self) -> Option<f64> {
        let sharpe = self.sharpe_a_step()?;
        let error = ((1.0 + sharpe * sharpe / 2.0) / self.values.len() as f64).sqrt();
        Some(error * self.a_year().sqrt())
    }

    /// Sortino ratio, annualised: mean over the root mean square of the losses (target zero, all steps counted).
    /// Source: Sortino and Price, "Performance Measurement in a Downside Risk Framework", 1994.
    pub fn sortino(&self) -> Option<f64> {
        let squares: f64 = self.values.iter().map(|value| value.min(0.0) * value.min(0.0)).sum();
        let downside = (squares / self.values.len() as f64).sqrt();
        let mean = self.mean();
        (downside > mean.abs() * 1e-9).then(|| mean / downside * self.a_year().sqrt())
    }
}

/// A yearly rate of return from the return over a span, without compounding. `None` for no span.
pub fn yearly(ratio: f64, span_ns: i64) -> Option<f64> {
    (span_ns > 0).then(|| ratio * YEAR_NS / span_ns as f64)
}

/// The smallest of the sorted values that at least this share of them does not exceed (nearest rank).
pub fn quantile(sorted: &[i64], share: f64) -> Option<i64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve(values: &[i64], step_ns: i64) -> Vec<Point> {
        let amount = |units: i64| Amount::from_raw(units * 100_000_000).unwrap();
        (0..)
            .zip(values)
            .map(|(at, &value)| (TimestampNs(at * step_ns), amount(value)))
            .collect()
    }

    #[test]
    fn drawdown_is_the_deepest_fall_with_its_span() {
        // (curve, amount, share, (peak, trough, recovered))
        type Span = Option<(i64, i64, Option<i64>)>;
        let cases: [(&[i64], i64, Option<f64>, Span); 8] = [
            (&[100], 0, Some(0.0), None),
            (&[100, 100, 100], 0, Some(0.0), None),
            (&[100, 110, 120], 0, Some(0.0), None),
            (&[100, 80], 20, Some(0.2), Some((0, 1, None))),
            (&[100, 120, 90, 130, 125], 30, Some(0.25), Some((1, 2, Some(3)))),
            (&[100, 90, 100, 90], 10, Some(0.1), Some((0, 1, Some(2)))),
            (&[100, 90, 95, 50, 99], 50, Some(0.5), Some((0, 3, None))),
            (&[0, -5], 5, None, Some((0, 1, None))),
        ];
        for (values, amount, share, span) in cases {
            let got = drawdown(&curve(values, 1)).unwrap().unwrap();
            assert_eq!(got.amount.0.raw(), amount * 100_000_000, "{values:?}");
            assert_eq!(got.share, share, "{values:?}");
            let got = got
                .span
                .map(|s| (s.peak_ts_ns.0, s.trough_ts_ns.0, s.recovered_ts_ns.map(|ts| ts.0)));
            assert_eq!(got, span, "{values:?}");
        }
        assert_eq!(drawdown(&[]), Ok(None));
        let far = [
            (TimestampNs(0), Amount::from_raw(i64::MAX).unwrap()),
            (TimestampNs(1), Amount::from_raw(i64::MIN).unwrap()),
        ];
        assert_eq!(drawdown(&far), Err(Overflow));
    }

    #[test]
    fn holding_an_inventory_whose_price_moves_is_no_result() {
        let amount = |units: i64| Amount::from_raw(units * 100_000_000).unwrap();
        let point = |ts, equity, hold| EquityPoint {
            ts: TimestampNs(ts),
            equity: amount(equity),
            hold: amount(hold),
        };
        let points = [
            point(0, 100, 100),
            point(1, 150, 150),
            point(2, 85, 80),
            point(3, 83, 80),
        ];
        let values: Vec<i64> = against_hold(&points)
            .unwrap()
            .iter()
            .map(|point| point.1.raw() / 100_000_000)
            .collect();
        assert_eq!(values, [100, 100, 105, 103]);
    }

    #[test]
    fn ratios_match_a_hand_computed_table() {
        // 24 hourly returns, by turns +2 % and -1 %: mean 0.005, sample variance 24 * 0.015^2 / 23,
        // downside sqrt(12 * 0.01^2 / 24).
        let mut values = vec![];
        let mut value = 1e8_f64;
        for at in 0..25 {
            values.push((
                TimestampNs(at * 3_600_000_000_000),
                Amount::from_raw(value.round() as i64 * 1_000_000).unwrap(),
            ));
            value *= if at % 2 == 0 { 1.02 } else { 0.99 };
        }
        let returns = returns(&values, None).unwrap();
        assert_eq!((returns.step_ns, returns.values.len()), (3_600_000_000_000, 24));
        let year = (365.0_f64 * 24.0).sqrt();
        let sharpe = 0.005 / (24.0 * 0.015 * 0.015 / 23.0_f64).sqrt();
        let near = |got: Option<f64>, want: f64| {
            let got = got.unwrap();
            assert!((got - want).abs() < 1e-4 * want.abs(), "{got} is not {want}");
        };
        near(returns.sharpe(), sharpe * year);
        near(
            returns.sharpe_error(),
            ((1.0 + sharpe * sharpe / 2.0) / 24.0).sqrt() * year,
        );
        near(returns.sortino(), 0.005 / (12.0 * 0.0001 / 24.0_f64).sqrt() * year);
    }

    #[test]
    fn ratios_are_undefined_rather_than_infinite() {
        let hour = 3600 * SECOND_NS;
        assert_eq!(returns(&[], None), None);
        assert_eq!(returns(&curve(&[100], hour), None), None);
        assert_eq!(returns(&curve(&[100; 23], SECOND_NS), None), None, "22 s are too short");
        assert_eq!(returns(&curve(&[100, 0], 30 * hour), None), None, "not positive");
        assert_eq!(returns(&curve(&[100; 30], hour), Some(0)), None);
        let flat = returns(&curve(&[100; 30], hour), None).unwrap();
        assert_eq!((flat.sharpe(), flat.sharpe_error(), flat.sortino()), (None, None, None));
        let only_up: Vec<i64> = (100..140).collect();
        let only_up = returns(&curve(&only_up, hour), None).unwrap();
        assert!(only_up.sharpe().unwrap() > 0.0);
        assert_eq!(only_up.sortino(), None, "no loss to divide by");
        assert_eq!(yearly(0.1, 0), None);
        assert_eq!(yearly(0.1, YEAR_NS as i64 / 2), Some(0.2));
    }

    #[test]
    fn the_grid_is_the_coarsest_that_gives_enough_returns() {
        let cases = [
            (24 * 3600, Some(3600)),
            (24 * 3600 - 1, Some(900)),
            (344, Some(10)),
            (24, Some(1)),
            (23, None),
        ];
        for (span_s, step_s) in cases {
            let ends = curve(&[100, 101], span_s * SECOND_NS);
            let got = returns(&ends, None).map(|returns| returns.step_ns / SECOND_NS);
            assert_eq!(got, step_s, "{span_s} s");
        }
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let cases: [(&[i64], f64, Option<i64>); 6] = [
            (&[], 0.5, None),
            (&[7], 0.5, Some(7)),
            (&[7], 0.95, Some(7)),
            (&[1, 2, 3, 4], 0.5, Some(2)),
            (&[1, 2, 3, 4, 5], 0.5, Some(3)),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.95, Some(10)),
        ];
        for (sorted, share, want) in cases {
            assert_eq!(quantile(sorted, share), want, "{sorted:?} {share}");
        }
    }

    proptest! {
        #[test]
        fn no_curve_makes_a_negative_or_impossible_figure(values in prop::collection::vec(1i64..1_000_000, 1..200)) {
            let curve = curve(&values, 3600 * SECOND_NS);
            let fall = drawdown(&curve).unwrap().unwrap();
            let (low, high) = (values.iter().min().unwrap(), values.iter().max().unwrap());
            prop_assert!(fall.amount >= Money::ZERO);
            prop_assert!(fall.amount.0.raw() <= (high - low) * 100_000_000);
            prop_assert!((0.0..=1.0).contains(&fall.share.unwrap()));
            if let Some(returns) = returns(&curve, None) {
                let span = 3600 * SECOND_NS * (values.len() as i64 - 1);
                prop_assert_eq!(returns.values.len() as i64, span / returns.step_ns);
                prop_assert!(returns.values.len() as i64 >= MIN_RETURNS);
                for ratio in [returns.sharpe(), returns.sharpe_error(), returns.sortino()].into_iter().flatten() {
                    prop_assert!(ratio.is_finite());
                }
            }
        }
    }
}
