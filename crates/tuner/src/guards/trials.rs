//! How many independent trials a number of tried ones amounts to.
//!
//! Reported beside the number tried, and not put in its place: with `M` equally correlated ratios the expected best is
//! `sqrt(1 - r) expected_maximum(M)` above their common mean, and an observed variance of the ratios already holds the
//! `1 - r`. Taking an effective number as well would count the correlation twice and make luck look small.

use serde::{Deserialize, Serialize};

/// Trials tried, and what their results have in common.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Independent {
    /// Trials with results that vary.
    pub trials: usize,
    /// Mean correlation of their pairs.
    pub mean_correlation: f64,
    /// `r + (1 - r) M`, with `r` the mean correlation, not below zero (Bailey and Lopez de Prado 2014, appendix 3).
    pub effective: f64,
    /// Groups of trials that are nearly the same: see [`groups`].
    pub groups: usize,
}

/// Correlation from which two trials count as the same one in other words.
pub const SAME: f64 = 0.95;

/// Compares trials by their results per period; all of the same length. `None` for fewer than two that vary.
///
/// The mean correlation of all pairs is `(sum_t s_t^2 / T - M) / (M (M - 1))`, with `s_t` the sum of the standardised
/// results of period t: no pair is visited.
pub fn independent(trials: &[&[f64]]) -> Option<Independent> {
    let rows: Vec<Vec<f64>> = trials.iter().filter_map(|row| standardised(row)).collect();
    let m = rows.len() as f64;
    let periods = rows.first()?.len();
    if rows.len() < 2 || rows.iter().any(|row| row.len() != periods) {
        return None;
    }
    let mut squares = 0.0;
    for t in 0..periods {
        let sum: f64 = rows.iter().map(|row| row[t]).sum();
        squares += sum * sum;
    }
    // Rows have length one, so a row's product with itself is 1.
    let mean_correlation = ((squares - m) / (m * (m - 1.0))).clamp(-1.0, 1.0);
    let r = mean_correlation.max(0.0);
    Some(Independent {
        trials: rows.len(),
        mean_correlation,
        effective: r + (1.0 - r) * m,
        groups: leaders(&rows, SAME).len(),
    })
}

/// One trial of each group of nearly the same ones: going through them in their order, a trial that correlates less than
/// `same` with every representative so far becomes the next one. The choice does not look at how good a trial is. Trials that do
/// not vary are left out. Indices into `trials`.
pub fn groups(trials: &[&[f64]], same: f64) -> Vec<usize> {
    let (indices, rows): (Vec<usize>, Vec<Vec<f64>>) = trials
        .iter()
        .enumerate()
        .filter_map(|(index, row)| Some((index, standardised(row)?)))
        .unzip();
    leaders(&rows, same).into_iter().map(|row| indices[row]).collect()
}

fn leaders(rows: &[Vec<f64>], same: f64) -> Vec<usize> {
    let mut leaders: Vec<usize> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        if !leaders.iter().any(|&leader| dot(&rows[leader], row) >= same) {
            leaders.push(index);
        }
    }
    leaders
}

/// Less the mean, of length one; `None` without variance.
fn standardised(row: &[f64]) -> Option<Vec<f64>> {
    super::sharpe::Sharpe::of(row)?;
    let scale = row.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    let mean = row.iter().map(|x| x / scale).sum::<f64>() / row.len() as f64;
    let mut row: Vec<f64> = row.iter().map(|x| x / scale - mean).collect();
    let length = dot(&row, &row).sqrt();
    row.iter_mut().for_each(|x| *x /= length);
    Some(row)
}

/// In four sums, so that it can be done in wide registers; the order is fixed all the same.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a4.zip(b4) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums[0] + sums[1] + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use crossbook_engine::rng::Rng;
    use proptest::prelude::*;

    use super::*;

    /// `m` normal rows of which each pair correlates by `r`.
    fn correlated(m: usize, periods: usize, r: f64, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = Rng::stream(seed, "correlated");
        let common: Vec<f64> = (0..periods).map(|_| rng.normal()).collect();
        (0..m)
            .map(|_| {
                let own = |c: &f64| r.sqrt() * c + (1.0 - r).sqrt() * rng.normal();
                common.iter().map(own).collect()
            })
            .collect()
    }

    fn rows(of: &[Vec<f64>]) -> Vec<&[f64]> {
        of.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn the_effective_number_lies_between_one_and_all() {
        let cases = [(0.0, 50.0), (0.5, 25.5), (0.9, 5.9)];
        for (r, want) in cases {
            let trials = correlated(50, 4000, r, 1);
            let got = independent(&rows(&trials)).unwrap();
            assert!((got.mean_correlation - r).abs() < 0.03, "{got:?}");
            assert!((got.effective - want).abs() < 1.5, "{got:?}");
            assert_eq!((got.trials, got.groups), (50, 50));
        }
        let same = vec![correlated(1, 100, 0.0, 1).remove(0); 7];
        let got = independent(&rows(&same)).unwrap();
        assert!((got.effective - 1.0).abs() < 1e-9 && got.groups == 1, "{got:?}");
    }

    #[test]
    fn trials_that_do_not_vary_are_left_out() {
        let mut trials = correlated(3, 40, 0.0, 2);
        trials.insert(1, vec![0.0; 40]);
        assert_eq!(independent(&rows(&trials)).unwrap().trials, 3);
        assert_eq!(groups(&rows(&trials), SAME), [0, 2, 3]);
        assert_eq!(independent(&[&[0.0; 40], &[0.0; 40]]), None);
        assert_eq!(independent(&[]), None);
        assert_eq!(independent(&[&[1.0, 2.0, 3.0, 5.0], &[1.0, 2.0, 3.0, 4.0, 9.0]]), None);
    }

    #[test]
    fn copies_share_a_group_with_the_first_of_them() {
        let base = correlated(3, 200, 0.0, 3);
        let mut rng = Rng::stream(3, "copies");
        let mut copy = |row: &[f64]| -> Vec<f64> { row.iter().map(|x| 3.0 * x + 0.2 * rng.normal()).collect() };
        let trials = [
            copy(&base[0]),
            copy(&base[1]),
            copy(&base[0]),
            copy(&base[2]),
            copy(&base[1]),
        ];
        assert_eq!(groups(&rows(&trials), SAME), [0, 1, 3]);
    }

    proptest! {
        /// The short cut agrees with going through all pairs.
        #[test]
        fn the_mean_correlation_is_that_of_all_pairs(seed in 0..500u64, m in 2..12usize, r in 0.0..0.9f64) {
            let trials = correlated(m, 30, r, seed);
            let unit: Vec<Vec<f64>> = trials.iter().map(|row| standardised(row).unwrap()).collect();
            let mut sum = 0.0;
            for i in 0..m {
                for j in 0..i {
                    sum += dot(&unit[i], &unit[j]);
                }
            }
            let want = sum / (m * (m - 1) / 2) as f64;
            let got = independent(&rows(&trials)).unwrap();
            prop_assert!((got.mean_correlation - want).abs() < 1e-12);
            prop_assert!((1.0 - 1e-9..=m as f64 + 1e-9).contains(&got.effective));
        }
    }
}
