//! Walk-forward efficiency: how much of the profit in sample is left out of sample.
//!
//! R. Pardo, "The Evaluation and Optimization of Trading Strategies", 2nd edition, 2008, chapter 11.

use serde::{Deserialize, Serialize};

/// The chosen trial's results in one fold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Profit in sample, any unit.
    pub in_sample: f64,
    /// Length of the sample, any unit of time.
    pub in_length: f64,
    /// Profit out of sample, same unit.
    pub out_of_sample: f64,
    /// Its length, same unit.
    pub out_length: f64,
}

/// Profit per time out of sample over profit per time in sample, all folds taken together: `(sum OOS / sum length) / (sum IS / sum
/// length)`. One half is the usual demand.
///
/// `None` without folds or lengths, for something not finite, and unless the profit in sample is positive: a share of a loss
/// says nothing.
pub fn efficiency(steps: &[Step]) -> Option<f64> {
    let sum = |of: fn(&Step) -> f64| steps.iter().map(of).sum::<f64>();
    let long = |step: &Step| step.in_length > 0.0 && step.out_length > 0.0;
    if steps.is_empty() || !steps.iter().all(long) {
        return None;
    }
    let inside = sum(|step| step.in_sample) / sum(|step| step.in_length);
    let outside = sum(|step| step.out_of_sample) / sum(|step| step.out_length);
    (inside > 0.0)
        .then_some(outside / inside)
        .filter(|efficiency| efficiency.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(in_sample: f64, in_length: f64, out_of_sample: f64, out_length: f64) -> Step {
        Step {
            in_sample,
            in_length,
            out_of_sample,
            out_length,
        }
    }

    #[test]
    fn profit_is_compared_by_time() {
        let cases = [
            (vec![step(100.0, 10.0, 5.0, 1.0)], Some(0.5)),
            (vec![step(100.0, 10.0, -5.0, 1.0)], Some(-0.5)),
            // 150 over 20 against 10 over 4.
            (
                vec![step(100.0, 10.0, 12.0, 2.0), step(50.0, 10.0, -2.0, 2.0)],
                Some(1.0 / 3.0),
            ),
            (vec![step(-100.0, 10.0, 5.0, 1.0)], None),
            (vec![step(0.0, 10.0, 5.0, 1.0)], None),
            (vec![step(1.0, 0.0, 5.0, 1.0)], None),
            (vec![step(f64::NAN, 1.0, 5.0, 1.0)], None),
            (vec![step(1.0, 1.0, f64::INFINITY, 1.0)], None),
            (vec![], None),
        ];
        for (steps, want) in cases {
            let got = efficiency(&steps);
            assert_eq!(
                got.map(|x| (x * 1e9).round()),
                want.map(|x| (x * 1e9f64).round()),
                "{steps:?}"
            );
        }
    }
}
