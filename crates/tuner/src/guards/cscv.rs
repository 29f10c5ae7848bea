//! Probability of backtest overfitting by combinatorially symmetric cross-validation.
//!
//! D. H. Bailey, J. M. Borwein, M. Lopez de Prado, Q. J. Zhu, "The Probability of Backtest Overfitting", Journal of
//! Computational Finance 20(4), 2017. The periods are cut into `S` blocks; of all ways to call half of them in sample and
//! the rest out of sample, each picks the trial that is best in sample and asks how it ranks out of sample. If picking
//! the best is worth nothing, it lands below the median half the time.
//!
//! Rules where the paper is silent: blocks differ in length by one period at most; of equally good trials the first is picked;
//! equal trials share their middle rank out of sample; a trial whose results do not vary over a half counts as zero there
//! and is never the pick unless no trial varies (a trial that did not trade cannot be the one that looked best).
//!
//! Cost: a half's sums per trial are those of two table rows, one of the low and one of the high blocks, so a split costs a few
//! operations a trial whatever the number of periods, no sum is carried from split to split, and rounding does not pile up.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Blocks into which the periods are cut unless said otherwise: 12,870 splits.
pub const BLOCKS: usize = 16;

/// Most blocks: 184,756 splits.
pub const MOST_BLOCKS: usize = 20;

/// What makes a trial the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// Mean over deviation of the periods.
    #[default]
    Sharpe,
    /// Mean of the periods.
    Mean,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CscvError {
    /// The number of blocks is not usable.
    #[error("{blocks} blocks; allowed is an even number from 2 to {MOST_BLOCKS}")]
    Blocks {
        /// As asked for.
        blocks: usize,
    },
    /// Too little data for the blocks.
    #[error("{periods} periods do not fill {blocks} blocks of at least 2")]
    Periods {
        /// Periods of a trial.
        periods: usize,
        /// Blocks asked for.
        blocks: usize,
    },
    /// One cannot choose among fewer than two.
    #[error("{trials} trials; at least 2 are needed to choose among")]
    Trials {
        /// Number of trials.
        trials: usize,
    },
    /// A row that cannot be compared with the others.
    #[error("trial {trial} (counted from 0) has {periods} periods, the first one {first}")]
    Length {
        /// Which row.
        trial: usize,
        /// Its length.
        periods: usize,
        /// The length of the first row.
        first: usize,
    },
    /// NaN or infinity.
    #[error("trial {trial} (counted from 0), period {period}: the result is not a finite number")]
    NotFinite {
        /// Which row.
        trial: usize,
        /// Where in it.
        period: usize,
    },
}

/// What came of all splits.
#[derive(Debug, Clone, PartialEq)]
pub struct Cscv {
    /// Share of the splits whose pick ranks in the lower half out of sample (logit at most zero).
    pub pbo: f64,
    /// Slope of the picks' out-of-sample statistic on the in-sample one, by least squares; `None` when the latter is always the
    /// same. Negative: the better it looked, the worse it was.
    pub slope: Option<f64>,
    /// Share of the splits whose pick loses out of sample: a sum below zero.
    pub loss: f64,
    /// Every split.
    pub splits: Vec<Split>,
}

/// One way to call half of the blocks in sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Bit b: block b is in sample.
    pub mask: u32,
    /// The pick, a row of the matrix.
    pub best: usize,
    /// The pick's statistic in sample.
    pub in_sample: f64,
    /// And out of sample.
    pub out_of_sample: f64,
    /// `ln(w / (1 - w))` of the pick's relative rank `w = rank / (trials + 1)`, rank 1 being the worst.
    pub logit: f64,
}

/// Runs through all splits of the trials' results per period (rows of equal length) in `blocks` blocks.
///
/// # Errors
/// When the rows cannot be compared, or there are too few periods or trials.
pub fn cscv(trials: &[&[f64]], blocks: usize, statistic: Statistic) -> Result<Cscv, CscvError> {
    check(trials, blocks)?;
    let scale = Scale::of(trials, statistic);
    let sums = block_sums(trials, blocks, &scale);
    let half = blocks / 2;
    let (low, high) = sums.split_at(half);
    let (low, high) = (subsets(low, trials.len()), subsets(high, trials.len()));
    let all = low.len() - 1;

    let (mut one, mut other) = (vec![0.0; trials.len()], vec![0.0; trials.len()]);
    let mut splits = Vec::new();
    // Each pair of halves is visited once, with block 0 in the first, and gives two splits.
    for low_mask in (1..=all).step_by(2) {
        for high_mask in 0..=all {
            if (low_mask.count_ones() + high_mask.count_ones()) as usize != half {
                continue;
            }
            let periods = score(&low[low_mask], &high[high_mask], statistic, &mut one);
            let rest = score(&low[all ^ low_mask], &high[all ^ high_mask], statistic, &mut other);
            let mask = (low_mask | high_mask << half) as u32;
            let every = (1u32 << blocks) - 1;
            splits.push(split(mask, (&one, periods), (&other, rest), &scale));
            splits.push(split(every ^ mask, (&other, rest), (&one, periods), &scale));
        }
    }
    splits.sort_unstable_by_key(|split| split.mask);

    let n = splits.len() as f64;
    let share = |of: fn(&Split) -> bool| splits.iter().filter(|split| of(split)).count() as f64 / n;
    Ok(Cscv {
        pbo: share(|split| split.logit <= 0.0),
        loss: share(|split| split.out_of_sample < 0.0),
        slope: slope(&splits),
        splits,
    })
}

fn check(trials: &[&[f64]], blocks: usize) -> Result<(), CscvError> {
    if !(2..=MOST_BLOCKS).contains(&blocks) || blocks % 2 == 1 {
        return Err(CscvError::Blocks { blocks });
    }
    let Some(first) = trials.first().filter(|_| trials.len() >= 2) else {
        return Err(CscvError::Trials { trials: trials.len() });
    };
    for (trial, row) in trials.iter().enumerate() {
        if row.len() != first.len() {
            return Err(CscvError::Length {
                trial,
                periods: row.len(),
                first: first.len(),
            });
        }
        if let Some(period) = row.iter().position(|x| !x.is_finite()) {
            return Err(CscvError::NotFinite { trial, period });
        }
    }
    if first.len() < 2 * blocks {
        return Err(CscvError::Periods {
            periods: first.len(),
            blocks,
        });
    }
    Ok(())
}

/// What results are divided by, so that no square overflows: a row's largest for the Sharpe ratio, which does not mind, and one for
/// all for the mean.
struct Scale {
    statistic: Statistic,
    by: Vec<f64>,
}

impl Scale {
    fn of(trials: &[&[f64]], statistic: Statistic) -> Scale {
        let mut by: Vec<f64> = trials
            .iter()
            .map(|row| row.iter().fold(0.0f64, |most, x| most.max(x.abs())))
            .collect();
        if statistic == Statistic::Mean {
            let most = by.iter().fold(0.0f64, |most, x| most.max(*x));
            by.fill(most);
        }
        by.iter_mut().filter(|by| **by == 0.0).for_each(|by| *by = 1.0);
        Scale { statistic, by }
    }

    /// The statistic of a trial from its score over a half of so many periods.
    fn statistic(&self, trial: usize, score: f64, periods: f64) -> f64 {
        match self.statistic {
            _ if score.is_nan() => 0.0,
            Statistic::Sharpe => (score.abs() * (periods - 1.0) / periods).sqrt().copysign(score),
            Statistic::Mean => score * self.by[trial] / periods,
        }
    }
}

/// Sums over a set of blocks, one place a trial.
#[derive(Clone)]
struct Sums {
    sum: Vec<f64>,
    square: Vec<f64>,
    periods: usize,
}

impl Sums {
    fn zero(trials: usize) -> Sums {
        Sums {
            sum: vec![0.0; trials],
            square: vec![0.0; trials],
            periods: 0,
        }
    }

    fn plus(&self, other: &Sums) -> Sums {
        let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect();
        Sums {
            sum: add(&self.sum, &other.sum),
            square: add(&self.square, &other.square),
            periods: self.periods + other.periods,
        }
    }
}

fn block_sums(trials: &[&[f64]], blocks: usize, scale: &Scale) -> Vec<Sums> {
    let periods = trials[0].len();
    let edge = |block: usize| block * periods / blocks;
    let of_block = |block: usize| {
        let mut sums = Sums::zero(trials.len());
        sums.periods = edge(block + 1) - edge(block);
        for (trial, row) in trials.iter().enumerate() {
            for x in &row[edge(block)..edge(block + 1)] {
                let x = x / scale.by[trial];
                sums.sum[trial] += x;
                sums.square[trial] += x * x;
            }
        }
        sums
    };
    (0..blocks).map(of_block).collect()
}

/// The sums of every subset of these blocks, by bit mask.
fn subsets(blocks: &[Sums], trials: usize) -> Vec<Sums> {
    let mut table: Vec<Sums> = vec![Sums::zero(trials)];
    for mask in 1..1usize << blocks.len() {
        let lowest = mask.trailing_zeros() as usize;
        table.push(table[mask & (mask - 1)].plus(&blocks[lowest]));
    }
    table
}

/// A number per trial that grows with its statistic over both sets together, zero for zero; NaN without variance. For the Sharpe ratio
/// `s |s| / (n q - s^2)` of sum s and sum of squares q over n periods, its square but for a factor: no root is taken.
/// Returns n.
fn score(low: &Sums, high: &Sums, statistic: Statistic, scores: &mut [f64]) -> f64 {
    let n = (low.periods + high.periods) as f64;
    let sums = low.sum.iter().zip(&high.sum).zip(low.square.iter().zip(&high.square));
    for (score, ((a, b), (c, d))) in scores.iter_mut().zip(sums) {
        let (s, q) = (a + b, n * (c + d));
        let spread = q - s * s;
        let value = match statistic {
            Statistic::Sharpe => s * s.abs() / spread,
            Statistic::Mean => s,
        };
        *score = if spread > 1e-12 * q { value } else { f64::NAN };
    }
    n
}

/// One split from the scores of the half in sample and of the half out of sample, each with its periods.
fn split(mask: u32, (within, n): (&[f64], f64), (outside, m): (&[f64], f64), scale: &Scale) -> Split {
    let best = first_largest(within);
    let pick = if outside[best].is_nan() { 0.0 } else { outside[best] };
    let (mut below, mut equal) = (0u32, 0u32);
    for &score in outside {
        let score = if score.is_nan() { 0.0 } else { score };
        below += u32::from(score < pick);
        equal += u32::from(score == pick);
    }
    // Twice the rank, the pick being one of the equal ones: 2 (below + (equal + 1) / 2).
    let rank = 2 * u64::from(below) + u64::from(equal) + 1;
    let above = 2 * (outside.len() as u64 + 1) - rank;
    Split {
        mask,
        best,
        in_sample: scale.statistic(best, within[best], n),
        out_of_sample: scale.statistic(best, outside[best], m),
        logit: libm::log(rank as f64 / above as f64),
    }
}

/// Where the largest number is, the first if there are several; 0 if there is none. In eight lanes, for speed.
fn first_largest(scores: &[f64]) -> usize {
    let mut lanes = [f64::NEG_INFINITY; 8];
    let larger = |a: f64, b: f64| if a > b { a } else { b };
    let chunks = scores.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &score) in lanes.iter_mut().zip(chunk) {
            *lane = larger(score, *lane);
        }
    }
    let most = lanes
        .iter()
        .chain(rest)
        .fold(f64::NEG_INFINITY, |most, &x| larger(x, most));
    scores.iter().position(|&score| score == most).unwrap_or(0)
}

fn slope(splits: &[Split]) -> Option<f64> {
    let n = splits.len() as f64;
    let mean = |of: fn(&Split) -> f64| splits.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|split| split.in_sample), mean(|split| split.out_of_sample));
    let (mut xx, mut xy) = (0.0, 0.0);
    for split in splits {
        let d = split.in_sample - x;
        xx += d * d;
        xy += d * (split.out_of_sample - y);
    }
    (xx > 1e-18 * x * x * n)
        .then_some(xy / xx)
        .filter(|slope| slope.is_finite())
}

#[cfg(test)]
mod tests {
    use crossbook_engine::rng::Rng;
    use proptest::prelude::*;

    use super::*;

    /// Normal rows, each with a mean of its own.
    fn market(means: &[f64], periods: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = Rng::stream(seed, "cscv");
        let row = |mean: &f64| (0..periods).map(|_| mean + rng.normal()).collect();
        means.iter().map(row).collect()
    }

    fn rows(of: &[Vec<f64>]) -> Vec<&[f64]> {
        of.iter().map(Vec::as_slice).collect()
    }

    fn run(of: &[Vec<f64>], blocks: usize) -> Cscv {
        cscv(&rows(of), blocks, Statistic::Sharpe).unwrap()
    }

    #[test]
    fn sixteen_blocks_make_12870_splits_and_each_half_is_taken_once() {
        let got = run(&market(&[0.0; 5], 64, 1), BLOCKS);
        assert_eq!(got.splits.len(), 12_870);
        assert!(got.splits.windows(2).all(|pair| pair[0].mask < pair[1].mask));
        assert!(got.splits.iter().all(|split| split.mask.count_ones() == 8));
        for (blocks, want) in [(2, 2), (4, 6), (6, 20), (10, 252)] {
            assert_eq!(run(&market(&[0.0; 3], 64, 1), blocks).splits.len(), want, "{blocks}");
        }
    }

    #[test]
    fn pure_noise_is_overfitted_half_the_time() {
        let runs = 40;
        let mean = (0..runs)
            .map(|seed| run(&market(&[0.0; 60], 320, seed), 10).pbo)
            .sum::<f64>()
            / f64::from(runs as u32);
        assert!((mean - 0.5).abs() < 0.06, "{mean}");
    }

    #[test]
    fn noise_never_looks_like_an_edge_and_an_edge_never_like_noise() {
        for seed in 0..5 {
            let noise = run(&market(&[0.0; 100], 800, seed), BLOCKS);
            assert!(noise.pbo > 0.2, "{}", noise.pbo);
            let mut means = [0.0; 100];
            means[37] = 0.4;
            let edge = run(&market(&means, 800, seed), BLOCKS);
            assert!(edge.pbo < 0.01 && edge.loss < 0.01, "{} {}", edge.pbo, edge.loss);
            assert!(edge.splits.iter().filter(|split| split.best == 37).count() > 12_000);
        }
    }

    #[test]
    fn what_was_gained_in_one_half_is_lost_in_the_other() {
        // Each row sums to zero, so the better in sample the worse out of sample.
        let mut trials = market(&[0.0; 20], 160, 4);
        for row in &mut trials {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            row.iter_mut().for_each(|x| *x -= mean);
        }
        let got = run(&trials, 8);
        assert!(got.pbo > 0.95 && got.loss == 1.0, "{} {}", got.pbo, got.loss);
        assert!(got.slope.unwrap() < -0.5, "{:?}", got.slope);
    }

    #[test]
    fn a_case_by_hand() {
        // Two blocks of two periods: means 1 and 2 in the first, 3 and -1 in the second; deviations alike.
        let trials = [vec![0.0, 2.0, 2.0, 4.0], vec![1.0, 3.0, -2.0, 0.0]];
        let got = run(&trials, 2);
        let root = 2f64.sqrt();
        let [first, second] = &got.splits[..] else {
            panic!("{got:?}")
        };
        assert_eq!((first.mask, first.best, second.mask, second.best), (1, 1, 2, 0));
        // The first split picks trial 1 (2 / sqrt 2), which is the worse one out of sample: rank 1 of 2, w = 1/3.
        assert!((first.in_sample - 2.0 / root).abs() < 1e-15 && (first.out_of_sample + 1.0 / root).abs() < 1e-15);
        assert!((first.logit - 0.5f64.ln()).abs() < 1e-15);
        // The second picks trial 0, again the worse one in the first block.
        assert!((second.in_sample - 3.0 / root).abs() < 1e-15 && (second.out_of_sample - 1.0 / root).abs() < 1e-15);
        assert_eq!((got.pbo, got.loss), (1.0, 0.5));
    }

    #[test]
    fn a_trial_that_does_not_trade_is_not_the_best_and_ranks_as_zero() {
        let mut trials = market(&[-0.5; 6], 96, 5);
        trials.insert(0, vec![0.0; 96]);
        let got = run(&trials, 8);
        assert!(got.splits.iter().all(|split| split.best != 0));
        // Each pick loses out of sample, and the idle trial is above it.
        assert!(got.loss > 0.95, "{}", got.loss);
        // With nothing but idle trials the first is taken, and nothing is won by it.
        let idle = run(&vec![vec![0.0; 32]; 4], 4);
        assert!(idle.splits.iter().all(|split| split.best == 0 && split.logit == 0.0));
        assert_eq!((idle.pbo, idle.loss, idle.slope), (1.0, 0.0, None));
        // Trading in one block only leaves nothing behind in the halves without it, not even a rounding error.
        let mut once = vec![0.0; 32];
        once[3..6].copy_from_slice(&[0.1, 0.2, 0.3]);
        let got = run(&[once, vec![0.7; 32]], 4);
        assert!(
            got.splits
                .iter()
                .all(|split| split.mask & 1 == 1 || split.in_sample == 0.0)
        );
    }

    #[test]
    fn ties_go_to_the_first_trial_and_share_their_rank() {
        let row = market(&[0.1], 64, 6).remove(0);
        let got = run(&[row.clone(), row.clone(), row], 8);
        assert!(got.splits.iter().all(|split| split.best == 0 && split.logit == 0.0));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let (a, b) = (vec![1.0; 40], vec![2.0; 40]);
        let cases: [(Vec<&[f64]>, usize, CscvError); 7] = [
            (vec![&a, &b], 3, CscvError::Blocks { blocks: 3 }),
            (vec![&a, &b], 0, CscvError::Blocks { blocks: 0 }),
            (vec![&a, &b], 22, CscvError::Blocks { blocks: 22 }),
            (vec![], 4, CscvError::Trials { trials: 0 }),
            (vec![&a], 4, CscvError::Trials { trials: 1 }),
            (
                vec![&a, &b[1..]],
                4,
                CscvError::Length {
                    trial: 1,
                    periods: 39,
                    first: 40,
                },
            ),
            (
                vec![&a[..31], &b[..31]],
                16,
                CscvError::Periods {
                    periods: 31,
                    blocks: 16,
                },
            ),
        ];
        for (trials, blocks, want) in cases {
            assert_eq!(cscv(&trials, blocks, Statistic::Sharpe), Err(want));
        }
        let mut bad = a.clone();
        bad[7] = f64::NAN;
        assert_eq!(
            cscv(&[&a, &bad], 4, Statistic::Mean),
            Err(CscvError::NotFinite { trial: 1, period: 7 })
        );
    }

    /// The definition, word by word.
    fn model(trials: &[Vec<f64>], blocks: usize, statistic: Statistic) -> Vec<Split> {
        let periods = trials[0].len();
        let value = |row: &[f64], mask: u32| {
            let of: Vec<f64> = (0..periods)
                .filter(|t| {
                    let block = (0..blocks).find(|b| *t < (b + 1) * periods / blocks).unwrap();
                    mask >> block & 1 == 1
                })
                .map(|t| row[t])
                .collect();
            let n = of.len() as f64;
            let mean = of.iter().sum::<f64>() / n;
            let sd = (of.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0)).sqrt();
            match statistic {
                Statistic::Sharpe => mean / sd,
                Statistic::Mean => mean,
            }
        };
        let mut splits = Vec::new();
        for mask in 0..1u32 << blocks {
            if mask.count_ones() as usize != blocks / 2 {
                continue;
            }
            let within: Vec<f64> = trials.iter().map(|row| value(row, mask)).collect();
            let outside: Vec<f64> = trials.iter().map(|row| value(row, !mask)).collect();
            let best = (0..trials.len()).fold(0, |best, i| if within[i] > within[best] { i } else { best });
            let rank = outside.iter().filter(|x| **x <= outside[best]).count() as f64;
            let w = rank / (trials.len() as f64 + 1.0);
            splits.push(Split {
                mask,
                best,
                in_sample: within[best],
                out_of_sample: outside[best],
                logit: (w / (1.0 - w)).ln(),
            });
        }
        splits
    }

    proptest! {
        #[test]
        fn the_short_cut_agrees_with_the_definition(
            seed in 0..1000u64,
            trials in 2..12usize,
            half in 1..4usize,
            periods in 16..50usize,
            mean in prop::bool::ANY,
        ) {
            let means: Vec<f64> = (0..trials).map(|i| 0.02 * i as f64).collect();
            let trials = market(&means, periods, seed);
            let statistic = if mean { Statistic::Mean } else { Statistic::Sharpe };
            let got = cscv(&rows(&trials), 2 * half, statistic).unwrap();
            for (got, want) in got.splits.iter().zip(model(&trials, 2 * half, statistic)) {
                prop_assert_eq!((got.mask, got.best), (want.mask, want.best));
                prop_assert!((got.logit - want.logit).abs() < 1e-12);
                prop_assert!((got.in_sample - want.in_sample).abs() < 1e-9);
                prop_assert!((got.out_of_sample - want.out_of_sample).abs() < 1e-9);
            }
        }
    }
}
