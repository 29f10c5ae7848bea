//! When a trial is given up early: at which shares of the training window it is looked at, and what it must reach there.
//!
//! What it must reach is a function of the rung values of the trials told before, so that a session prunes the same trials
//! whatever the number of its workers.

use serde::{Deserialize, Serialize};

use crate::tune::objective::median;
use crate::tune::trial::Rung;

/// How early, and how strictly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Pruner {
    /// Never.
    None {},
    /// Once, when worse than the median of the others there.
    Median {
        /// Share of the training window that is always replayed.
        #[serde(default = "warmup_fraction")]
        warmup_fraction: f64,
        /// Nothing is pruned before so many trials have reached the rung.
        #[serde(default = "min_trials")]
        min_trials: usize,
    },
    /// At several rungs, each letting pass only the best share of those that reached it (successive halving).
    Halving {
        /// Shares of the training window, rising.
        #[serde(default = "fractions")]
        fractions: Vec<f64>,
        /// Share that passes each rung.
        #[serde(default = "keep")]
        keep: f64,
        /// Nothing is pruned at a rung before so many trials have reached it.
        #[serde(default = "min_trials")]
        min_trials: usize,
    },
}

fn warmup_fraction() -> f64 {
    0.25
}

fn min_trials() -> usize {
    10
}

fn fractions() -> Vec<f64> {
    vec![0.125, 0.25, 0.5]
}

fn keep() -> f64 {
    0.5
}

impl Default for Pruner {
    fn default() -> Self {
        Pruner::None {}
    }
}

impl Pruner {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The key that is wrong, and what is allowed.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let share = |value: f64| value > 0.0 && value < 1.0;
        match self {
            Pruner::None {} => Ok(()),
            Pruner::Median { min_trials: 0, .. } | Pruner::Halving { min_trials: 0, .. } => {
                Err(("min_trials", "must be at least 1"))
            }
            Pruner::Median { warmup_fraction, .. } if !share(*warmup_fraction) => {
                Err(("warmup_fraction", "more than 0 and less than 1 is allowed"))
            }
            Pruner::Median { .. } => Ok(()),
            Pruner::Halving { fractions, keep, .. } => {
                let rising = fractions.windows(2).all(|pair| pair[0] < pair[1]);
                if fractions.is_empty() || !rising || !fractions.iter().all(|&value| share(value)) {
                    return Err((
                        "fractions",
                        "numbers between 0 and 1 are needed, each larger than the one before",
                    ));
                }
                if !share(*keep) {
                    return Err(("keep", "more than 0 and less than 1 is allowed"));
                }
                Ok(())
            }
        }
    }

    /// The rungs of the next trial. `reached` holds, of each trial told so far in its fold, the values at the rungs that it
    /// reached.
    pub fn rungs<'a>(&self, reached: impl Iterator<Item = &'a [f64]> + Clone) -> Vec<Rung> {
        let (fractions, keep, least) = match self {
            Pruner::None {} => return Vec::new(),
            Pruner::Median {
                warmup_fraction,
                min_trials,
            } => (std::slice::from_ref(warmup_fraction), 0.5, *min_trials),
            Pruner::Halving {
                fractions,
                keep,
                min_trials,
            } => (fractions.as_slice(), *keep, *min_trials),
        };
        let rung = |(index, &fraction): (usize, &f64)| {
            let values: Vec<f64> = reached
                .clone()
                .filter_map(|values| values.get(index).copied())
                .collect();
            Rung {
                fraction,
                least: (values.len() >= least).then(|| threshold(&values, keep)),
            }
        };
        fractions.iter().enumerate().map(rung).collect()
    }
}

/// What the best share `keep` of the values reaches.
fn threshold(values: &[f64], keep: f64) -> f64 {
    if keep == 0.5 {
        return median(values);
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let passing = ((values.len() as f64 * keep).ceil() as usize).clamp(1, values.len());
    sorted[passing - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_come_from_those_who_reached_the_rung() {
        let median = Pruner::Median {
            warmup_fraction: 0.25,
            min_trials: 3,
        };
        let halving = Pruner::Halving {
            fractions: vec![0.25, 0.5],
            keep: 0.25,
            min_trials: 2,
        };
        let told: [&[f64]; 5] = [&[1.0, 10.0], &[2.0], &[], &[3.0, 30.0], &[4.0]];
        let rungs = |pruner: &Pruner, told: &[&[f64]]| -> Vec<(f64, Option<f64>)> {
            let rungs = pruner.rungs(told.iter().copied());
            rungs.iter().map(|rung| (rung.fraction, rung.least)).collect()
        };
        assert_eq!(rungs(&median, &told), [(0.25, Some(2.5))]);
        assert_eq!(rungs(&median, &told[..2]), [(0.25, None)], "too few");
        assert_eq!(rungs(&halving, &told), [(0.25, Some(4.0)), (0.5, Some(30.0))]);
        assert_eq!(rungs(&Pruner::None {}, &told), []);
    }

    #[test]
    fn impossible_pruners_are_refused() {
        let halving = |fractions: &[f64], keep| Pruner::Halving {
            fractions: fractions.to_vec(),
            keep,
            min_trials: 1,
        };
        let median = |warmup_fraction, min_trials| Pruner::Median {
            warmup_fraction,
            min_trials,
        };
        let cases = [
            (median(0.0, 1), Some("warmup_fraction")),
            (median(1.0, 1), Some("warmup_fraction")),
            (median(f64::NAN, 1), Some("warmup_fraction")),
            (median(0.2, 0), Some("min_trials")),
            (median(0.2, 1), None),
            (halving(&[], 0.5), Some("fractions")),
            (halving(&[0.5, 0.25], 0.5), Some("fractions")),
            (halving(&[0.5, 1.0], 0.5), Some("fractions")),
            (halving(&[0.5], 1.0), Some("keep")),
            (halving(&[0.25, 0.5], 0.3), None),
            (Pruner::default(), None),
        ];
        for (pruner, want) in cases {
            assert_eq!(pruner.check().err().map(|(key, _)| key), want, "{pruner:?}");
        }
    }
}
