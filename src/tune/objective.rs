//! What a trial is judged by: a metric of each case, or several weighed against each other, made one number over all cases.
//!
//! More is always better: costs and falls enter with their sign turned. Nothing that is undefined, infinite or made without
//! trading becomes a value: such a trial has a reason instead, and is never the best.

use serde::{Deserialize, Serialize};

/// A figure of a run that can be asked for by name. Money is in the base currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Result, market drift of the inventory included.
    Pnl,
    /// Result against holding the opening inventory.
    PnlVsHold,
    /// `pnl_vs_hold` over the equity at the start.
    ReturnVsHold,
    /// Sharpe ratio of the periods' results against holding, not annualised.
    Sharpe,
    /// Sortino ratio of the same, not annualised.
    Sortino,
    /// Yearly `pnl_vs_hold` over the deepest fall of the same curve.
    Calmar,
    /// Share of the round trips that earned something.
    WinRate,
    /// Mean result of a round trip.
    PnlPerTrip,
    /// Deepest fall of the result against holding, as a negative number.
    MaxDrawdown,
    /// Sum of the wins over the sum of the losses.
    ProfitFactor,
    /// Round trips that ended.
    RoundTrips,
    /// Fees, as a negative number.
    Fees,
}

impl Metric {
    /// As it is spelled in files.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Pnl => "pnl",
            Metric::PnlVsHold => "pnl_vs_hold",
            Metric::ReturnVsHold => "return_vs_hold",
            Metric::Sharpe => "sharpe",
            Metric::Sortino => "sortino",
            Metric::Calmar => "calmar",
            Metric::WinRate => "win_rate",
            Metric::PnlPerTrip => "pnl_per_trip",
            Metric::MaxDrawdown => "max_drawdown",
            Metric::ProfitFactor => "profit_factor",
            Metric::RoundTrips => "round_trips",
            Metric::Fees => "fees",
        }
    }
}

/// One of several metrics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighted {
    /// Which.
    pub name: Metric,
    /// How much one unit of it counts; negative to have less of it.
    pub weight: f64,
}

/// How the cases' values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Their mean.
    #[default]
    Mean,
    /// Their mean less `k` standard deviations (population).
    MeanMinusStd,
    /// The least of them.
    Worst,
    /// Their median; the mean of the two in the middle for an even number.
    Median,
}

/// The objective of a session. Exactly one of `metric` and `metrics` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// A single metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Several: the sum of weight times metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Weighted>,
    /// How cases become one value.
    #[serde(default)]
    pub aggregate: Aggregate,
    /// Deviations that `mean_minus_std` takes off.
    #[serde(default = "one")]
    pub k: f64,
    /// A trial with fewer round trips in sample, all unstressed cases together, has no value.
    #[serde(default = "one_trip")]
    pub min_round_trips: u64,
}

fn one() -> f64 {
    1.0
}

fn one_trip() -> u64 {
    1
}

impl Objective {
    /// The metrics with their weights.
    pub fn parts(&self) -> Vec<Weighted> {
        match self.metric {
            Some(name) => vec![Weighted { name, weight: 1.0 }],
            None => self.metrics.clone(),
        }
    }

    /// What it is called: `sharpe`, or `1*pnl_vs_hold + 0.5*max_drawdown`.
    pub fn label(&self) -> String {
        match self.metric {
            Some(metric) => metric.name().to_owned(),
            None => {
                let term = |part: &Weighted| format!("{}*{}", part.weight, part.name.name());
                self.metrics.iter().map(term).collect::<Vec<_>>().join(" + ")
            }
        }
    }

    /// Checks what the types do not: `(key, what is allowed)`.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn check(&self) -> Result<(), (String, String)> {
        let bad = |key: &str, message: &str| Err((key.to_owned(), message.to_owned()));
        match (self.metric, self.metrics.is_empty()) {
            (None, true) => {
                return bad(
                    "objective",
                    "needs `metric = \"…\"` or `metrics = [{ name = \"…\", weight = … }]`",
                );
            }
            (Some(_), false) => return bad("objective", "`metric` and `metrics` exclude each other"),
            _ => {}
        }
        for (index, part) in self.metrics.iter().enumerate() {
            if !part.weight.is_finite() || part.weight == 0.0 {
                return bad(
                    &format!("objective.metrics[{index}].weight"),
                    "a finite number other than 0 is allowed",
                );
            }
            if self.metrics[..index].iter().any(|other| other.name == part.name) {
                return bad(
                    &format!("objective.metrics[{index}].name"),
                    &format!("`{}` is named twice", part.name.name()),
                );
            }
        }
        if !(0.0..=100.0).contains(&self.k) {
            return bad("objective.k", "0 to 100 is allowed");
        }
        if self.min_round_trips == 0 {
            return bad(
                "objective.min_round_trips",
                "at least 1 is needed: a trial that never traded has no result",
            );
        }
        Ok(())
    }

    /// The value of one case from its metrics; `None` when one of them is not defined or the sum is not finite.
    pub fn of_case(&self, metric: impl Fn(Metric) -> Option<f64>) -> Option<f64> {
        let mut total = 0.0;
        for part in self.parts() {
            total += part.weight * metric(part.name)?;
        }
        total.is_finite().then_some(total)
    }

    /// One value from those of all cases, which must be finite; `None` for no case or a result that is not finite.
    pub fn aggregate(&self, values: &[f64]) -> Option<f64> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let value = match self.aggregate {
            Aggregate::Mean => mean,
            Aggregate::MeanMinusStd => {
                let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
                mean - self.k * (squares / count).sqrt()
            }
            Aggregate::Worst => values.iter().copied().fold(f64::INFINITY, f64::min),
            Aggregate::Median => median(values),
        };
        value.is_finite().then_some(value)
    }
}

/// The median; the mean of the two in the middle for an even number; zero of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.get(half) {
        None => 0.0,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => (sorted[half - 1] + upper) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn objective(aggregate: Aggregate, k: f64) -> Objective {
        Objective {
            metric: Some(Metric::Pnl),
            metrics: Vec::new(),
            aggregate,
            k,
            min_round_trips: 1,
        }
    }

    #[test]
    fn cases_become_one_value() {
        let cases: [(Aggregate, f64, &[f64], Option<f64>); 9] = [
            (Aggregate::Mean, 1.0, &[1.0, 2.0, 6.0], Some(3.0)),
            (Aggregate::Worst, 1.0, &[1.0, -2.0, 6.0], Some(-2.0)),
            (Aggregate::Median, 1.0, &[1.0, 9.0, 2.0], Some(2.0)),
            (Aggregate::Median, 1.0, &[1.0, 9.0, 2.0, 4.0], Some(3.0)),
            (Aggregate::MeanMinusStd, 1.0, &[1.0, 3.0], Some(1.0)),
            (Aggregate::MeanMinusStd, 2.0, &[1.0, 3.0], Some(0.0)),
            (Aggregate::MeanMinusStd, 5.0, &[7.0], Some(7.0)),
            (Aggregate::Mean, 1.0, &[], None),
            (Aggregate::Mean, 1.0, &[f64::MAX, f64::MAX], None),
        ];
        for (aggregate, k, values, want) in cases {
            assert_eq!(
                objective(aggregate, k).aggregate(values),
                want,
                "{aggregate:?} {values:?}"
            );
        }
    }

    #[test]
    fn weighted_metrics_add_up_and_one_undefined_undoes_all() {
        let several = Objective {
            metric: None,
            metrics: vec![
                Weighted {
                    name: Metric::Pnl,
                    weight: 2.0,
                },
                Weighted {
                    name: Metric::MaxDrawdown,
                    weight: 0.5,
                },
            ],
            ..objective(Aggregate::Mean, 1.0)
        };
        let metric = |name| match name {
            Metric::Pnl => Some(10.0),
            Metric::MaxDrawdown => Some(-4.0),
            _ => None,
        };
        assert_eq!(several.of_case(metric), Some(18.0));
        assert_eq!(several.of_case(|name| metric(name).filter(|x| *x > 0.0)), None);
        assert_eq!(several.of_case(|_| Some(f64::INFINITY)), None);
        assert_eq!(several.label(), "2*pnl + 0.5*max_drawdown");
        assert_eq!(objective(Aggregate::Mean, 1.0).label(), "pnl");
    }

    #[test]
    fn what_makes_no_objective_is_refused_with_its_key() {
        let base = objective(Aggregate::Mean, 1.0);
        let part = |weight| Weighted {
            name: Metric::Pnl,
            weight,
        };
        let none = Objective {
            metric: None,
            ..base.clone()
        };
        let with = |metrics: &[Weighted]| Objective {
            metrics: metrics.to_vec(),
            ..none.clone()
        };
        let cases = [
            (none.clone(), "objective"),
            (
                Objective {
                    metrics: vec![part(1.0)],
                    ..base.clone()
                },
                "objective",
            ),
            (with(&[part(0.0)]), "objective.metrics[0].weight"),
            (with(&[part(f64::NAN)]), "objective.metrics[0].weight"),
            (with(&[part(1.0), part(2.0)]), "objective.metrics[1].name"),
            (
                Objective {
                    k: -1.0,
                    ..base.clone()
                },
                "objective.k",
            ),
            (
                Objective {
                    min_round_trips: 0,
                    ..base.clone()
                },
                "objective.min_round_trips",
            ),
        ];
        for (objective, key) in cases {
            assert_eq!(objective.check().unwrap_err().0, key);
        }
        assert!(base.check().is_ok());
        assert!(with(&[part(-2.0)]).check().is_ok());
    }

    proptest! {
        /// Whatever the aggregation, the value lies no higher than the best case, and order does not matter beyond rounding.
        #[test]
        fn no_aggregate_beats_the_best_case(values in prop::collection::vec(-1e6f64..1e6, 1..20), k in 0.0f64..5.0) {
            let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut turned = values.clone();
            turned.reverse();
            for aggregate in [Aggregate::Mean, Aggregate::MeanMinusStd, Aggregate::Worst, Aggregate::Median] {
                let value = objective(aggregate, k).aggregate(&values).unwrap();
                prop_assert!(value <= best + 1e-6);
                let again = objective(aggregate, k).aggregate(&turned).unwrap();
                prop_assert!((value - again).abs() <= 1e-6);
            }
        }
    }
}
