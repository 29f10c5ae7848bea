//! Tests of the best of many trials that keep the correlation between them: White's reality check and Hansen's test of
//! superior predictive ability, both by the stationary bootstrap.
//!
//! H. White, "A Reality Check for Data Snooping", Econometrica 68(5), 2000, 1097-1126. P. R. Hansen, "A Test for Superior
//! Predictive Ability", Journal of Business and Economic Statistics 23(4), 2005, 365-380. D. N. Politis, J. P. Romano, "The
//! Stationary Bootstrap", Journal of the American Statistical Association 89, 1994, 1303-1313.
//!
//! The hypothesis is that no trial has a positive mean per period. A small p-value says that luck over these periods and
//! this many trials would seldom look as good. The resampled periods are the same for all trials, so how they hang
//! together is kept, and nothing need be known of it.

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

/// How often to resample, and in what blocks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Resampling {
    /// Resamples; the smallest p-value is one over one more.
    pub samples: usize,
    /// Mean length of a block, periods; at least 1, which draws periods one by one. `None`: [`block_length`].
    pub block: Option<f64>,
    /// Seed.
    pub seed: u64,
}

/// P-values of the best trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Superiority {
    /// White's: `V = max_k sqrt(T) mean(f_k)` against `max_k sqrt(T) (mean(f*_k) - mean(f_k))`.
    pub reality_check: f64,
    /// Hansen's consistent one: each mean is divided by its deviation, and trials that are clearly bad do not make luck look
    /// larger than it is.
    pub superior: f64,
    /// Trials whose results vary; the others take no part.
    pub trials: usize,
    /// Mean block length used.
    pub block: f64,
}

/// The mean block length that is taken unless said otherwise, `T^(1/3)`: the rate that is best for the variance of a mean
/// (Politis and Romano 1994), with a factor of one. Longer than the memory of the results is what matters.
pub fn block_length(periods: usize) -> f64 {
    libm::cbrt(periods as f64).max(1.0)
}

/// Trials worked on at a time, so that their results stay in the processor's cache.
const TOGETHER: usize = 128;

/// Tests whether the best of these trials (rows of equal length, results per period) is better than zero. `None` for rows that
/// differ in length or hold something not finite, fewer than 8 periods, no trial that varies, no resamples, or a block below 1.
pub fn superiority(trials: &[&[f64]], resampling: &Resampling) -> Option<Superiority> {
    let periods = trials.first()?.len();
    let block = resampling.block.unwrap_or_else(|| block_length(periods));
    let sound = |row: &&[f64]| row.len() == periods && row.iter().all(|x| x.is_finite());
    if periods < 8 || resampling.samples == 0 || block.is_nan() || block < 1.0 || !trials.iter().all(sound) {
        return None;
    }
    let rows: Vec<&[f64]> = trials
        .iter()
        .copied()
        .filter(|row| super::sharpe::Sharpe::of(row).is_some())
        .collect();
    if rows.is_empty() {
        return None;
    }
    let draws = draws(periods, block, resampling);
    let root = (periods as f64).sqrt();
    let largest = rows
        .iter()
        .flat_map(|row| row.iter())
        .fold(0.0f64, |most, x| most.max(x.abs()));

    let mut best = [f64::NEG_INFINITY; 2];
    let mut luck = vec![[f64::NEG_INFINITY; 2]; draws.len()];
    for rows in rows.chunks(TOGETHER) {
        let (means, resampled) = resample(rows, largest, &draws);
        for (trial, &mean) in means.iter().enumerate() {
            let of_trial = || resampled.iter().map(|sample| sample[trial]);
            let variance = of_trial().map(|m| (m - mean) * (m - mean)).sum::<f64>() / draws.len() as f64;
            // As large as if every resample were the same: such a trial says nothing about chance.
            let deviation = root * variance.sqrt();
            if deviation <= 1e-12 {
                continue;
            }
            let (raw, studentised) = (root * mean, root * mean / deviation);
            best = [best[0].max(raw), best[1].max(studentised)];
            // Hansen's threshold, below which a trial is too bad to be the best even by luck.
            let hopeless = studentised < -(2.0 * libm::log(libm::log(periods as f64))).sqrt();
            let centre = if hopeless { 0.0 } else { mean };
            for (luck, sample) in luck.iter_mut().zip(&resampled) {
                luck[0] = luck[0].max(root * (sample[trial] - mean));
                luck[1] = luck[1].max(root * (sample[trial] - centre) / deviation);
            }
        }
    }
    if best[0] == f64::NEG_INFINITY {
        return None;
    }
    // The sample itself counts as one of its resamples, so that a p-value is never zero. Hansen's statistic is not below zero.
    let p = |reached: &dyn Fn(&[f64; 2]) -> bool| {
        let count = luck.iter().filter(|luck| reached(luck)).count();
        (1.0 + count as f64) / (1.0 + draws.len() as f64)
    };
    Some(Superiority {
        reality_check: p(&|luck| luck[0] >= best[0]),
        superior: p(&|luck| luck[1].max(0.0) >= best[1].max(0.0)),
        trials: rows.len(),
        block,
    })
}

/// Of each resample, which periods it takes and how often.
fn draws(periods: usize, block: f64, resampling: &Resampling) -> Vec<Vec<(u32, f64)>> {
    let mut rng = Rng::stream(resampling.seed, "stationary bootstrap");
    let n = periods as u64;
    let mut counts = vec![0u32; periods];
    (0..resampling.samples)
        .map(|_| {
            counts.fill(0);
            let mut at = rng.below(n) as usize;
            for _ in 0..periods {
                counts[at] += 1;
                // A new block starts with chance 1 / block; else the next period, the first again after the last.
                at = if rng.uniform() * block < 1.0 {
                    rng.below(n) as usize
                } else {
                    (at + 1) % periods
                };
            }
            let taken = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            taken
                .map(|(period, &count)| (period as u32, f64::from(count)))
                .collect()
        })
        .collect()
}

/// The trials' means, and their means in each resample; results divided by `scale`.
fn resample(rows: &[&[f64]], scale: f64, draws: &[Vec<(u32, f64)>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let periods = rows[0].len();
    let by_period: Vec<Vec<f64>> = (0..periods)
        .map(|t| rows.iter().map(|row| row[t] / scale).collect())
        .collect();
    let mean = |of: &mut dyn Iterator<Item = (usize, f64)>| {
        let mut sums = vec![0.0; rows.len()];
        for (period, weight) in of {
            for (sum, x) in sums.iter_mut().zip(&by_period[period]) {
                *sum += weight * x;
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= periods as f64);
        sums
    };
    let means = mean(&mut (0..periods).map(|period| (period, 1.0)));
    let resampled = draws
        .iter()
        .map(|draw| mean(&mut draw.iter().map(|&(period, count)| (period as usize, count))))
        .collect();
    (means, resampled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(means: &[f64], periods: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = Rng::stream(seed, "reality");
        let row = |mean: &f64| (0..periods).map(|_| mean + rng.normal()).collect();
        means.iter().map(row).collect()
    }

    fn test(of: &[Vec<f64>], samples: usize, block: Option<f64>, seed: u64) -> Option<Superiority> {
        let rows: Vec<&[f64]> = of.iter().map(Vec::as_slice).collect();
        superiority(&rows, &Resampling { samples, block, seed })
    }

    /// Kolmogorov's distance from the uniform distribution.
    fn distance(mut p: Vec<f64>) -> f64 {
        p.sort_by(f64::total_cmp);
        let n = p.len() as f64;
        let gap = |(i, &x): (usize, &f64)| (x - i as f64 / n).abs().max(((i + 1) as f64 / n - x).abs());
        p.iter().enumerate().map(gap).fold(0.0, f64::max)
    }

    #[test]
    fn p_values_are_uniform_under_noise() {
        let seeds = 200;
        let answers: Vec<Superiority> = (0..seeds)
            .map(|seed| test(&market(&[0.0; 20], 250, seed), 300, Some(1.0), seed).unwrap())
            .collect();
        // Kolmogorov and Smirnov at 1 %: 1.63 / sqrt(200).
        let limit = 1.63 / f64::from(seeds as u32).sqrt();
        for p in [
            answers.iter().map(|answer| answer.reality_check).collect::<Vec<f64>>(),
            answers.iter().map(|answer| answer.superior).collect(),
        ] {
            let small = p.iter().filter(|p| **p <= 0.05).count();
            assert!(distance(p) < limit && small <= 20, "{small} of 200 below 5 %");
        }
    }

    #[test]
    fn blocks_keep_the_test_honest_when_periods_hang_together() {
        // Autoregressive noise with 0.7: periods drawn one by one take luck for skill.
        let row = |rng: &mut Rng| -> Vec<f64> {
            let mut x = 0.0;
            (0..400)
                .map(|_| {
                    x = 0.7 * x + rng.normal();
                    x
                })
                .collect()
        };
        let small = |block| {
            (0..60u64)
                .filter(|&seed| {
                    let mut rng = Rng::stream(seed, "autoregressive");
                    let trials: Vec<Vec<f64>> = (0..10).map(|_| row(&mut rng)).collect();
                    test(&trials, 200, Some(block), seed).unwrap().reality_check <= 0.05
                })
                .count()
        };
        let (single, blocks) = (small(1.0), small(20.0));
        assert!(
            single > 20 && blocks <= 10,
            "{single} of 60 by single periods, {blocks} in blocks"
        );
    }

    #[test]
    fn an_edge_is_seen_and_hopeless_trials_hurt_hansens_test_less() {
        let mut means = vec![0.0; 40];
        means[11] = 0.3;
        let found = test(&market(&means, 300, 1), 400, None, 1).unwrap();
        assert!(found.reality_check < 0.01 && found.superior < 0.01, "{found:?}");
        assert_eq!((found.trials, found.block), (40, block_length(300)));

        // Trials that lose much, with wide swings.
        let mut trials = market(&means, 300, 2);
        let wild = market(&[-1.0; 40], 300, 3);
        trials.extend(wild.into_iter().map(|row| row.iter().map(|x| 10.0 * x).collect()));
        let found = test(&trials, 400, None, 1).unwrap();
        assert!(found.superior < 0.01 && found.reality_check > 0.2, "{found:?}");
    }

    #[test]
    fn same_seed_same_answer_and_idle_trials_take_no_part() {
        let mut trials = market(&[0.05; 5], 100, 4);
        let first = test(&trials, 200, None, 7).unwrap();
        trials.insert(2, vec![0.0; 100]);
        assert_eq!(test(&trials, 200, None, 7).unwrap(), first);
        // Many more than are worked on at a time.
        let many = market(&[0.0; 300], 60, 5);
        assert_eq!(test(&many, 50, None, 1).unwrap().trials, 300);
        assert_eq!(test(&many, 50, None, 1), test(&many, 50, None, 1));
    }

    #[test]
    fn what_is_not_defined_is_none() {
        let trials = market(&[0.0; 3], 50, 6);
        assert_eq!(test(&trials, 0, None, 1), None);
        assert_eq!(test(&trials, 10, Some(0.5), 1), None);
        assert_eq!(test(&trials, 10, Some(f64::NAN), 1), None);
        assert_eq!(test(&[], 10, None, 1), None);
        assert_eq!(test(&market(&[0.0; 3], 7, 6), 10, None, 1), None);
        assert_eq!(test(&[vec![0.0; 50]], 10, None, 1), None);
        assert_eq!(test(&[trials[0].clone(), trials[1][1..].to_vec()], 10, None, 1), None);
    }

    #[test]
    fn blocks_have_the_length_asked_for() {
        let resampling = Resampling {
            samples: 1,
            block: None,
            seed: 1,
        };
        let draw = &draws(100_000, 20.0, &resampling)[0];
        // Periods that were not taken lie between blocks: with blocks of 20 in mean, e^-1 of all are missed.
        let missed = 1.0 - draw.len() as f64 / 100_000.0;
        assert!((missed - (-1.0f64).exp()).abs() < 0.02, "{missed}");
        // Runs of taken periods are about as long as blocks that overlap make them, far from single ones.
        let runs = draw.windows(2).filter(|pair| pair[1].0 != pair[0].0 + 1).count();
        assert!((1300..2600).contains(&runs), "{runs}");
    }
}
