//! Sharpe ratios, and what they are worth after the best of many was chosen.
//!
//! All ratios are per period, not annualised, without a riskless rate. Kurtosis is raw (3 for a normal), never excess:
//! mixing the two up is the usual mistake with these formulas. A figure that is not defined is `None`, never NaN.

use serde::{Deserialize, Serialize};

use super::normal;

/// Euler's constant.
const EULER: f64 = 0.577_215_664_901_532_9;

/// Fewest periods of which moments are taken. Far more are needed for the figures to mean something; see
/// [`Sharpe::min_track_record`].
pub const MIN_PERIODS: usize = 4;

/// A Sharpe ratio with what its error depends on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sharpe {
    /// Mean over sample deviation (`n - 1`) of the periods' results.
    pub ratio: f64,
    /// Skewness, third standardised moment (population).
    pub skew: f64,
    /// Kurtosis, fourth standardised moment (population): 3 for a normal.
    pub kurtosis: f64,
    /// Periods.
    pub periods: usize,
}

impl Sharpe {
    /// Of results per period, in any unit. `None` for fewer than [`MIN_PERIODS`], for a value that is not finite, and
    /// without variance: a deviation of zero, or below 1e-9 of the mean (rounding, not risk). A trial without trades is
    /// such a case.
    pub fn of(results: &[f64]) -> Option<Sharpe> {
        let n = results.len() as f64;
        if results.len() < MIN_PERIODS {
            return None;
        }
        // Scaled, so that no power of a large result overflows.
        let scale = results.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        if !(scale > 0.0 && scale.is_finite()) || results.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let mean = results.iter().map(|x| x / scale).sum::<f64>() / n;
        let (mut m2, mut m3, mut m4) = (0.0, 0.0, 0.0);
        for x in results {
            let d = x / scale - mean;
            m2 += d * d;
            m3 += d * d * d;
            m4 += d * d * d * d;
        }
        let deviation = (m2 / (n - 1.0)).sqrt();
        if deviation <= 1e-9 * mean.abs() || deviation < 1e-12 {
            return None;
        }
        let variance = m2 / n;
        Some(Sharpe {
            ratio: mean / deviation,
            skew: m3 / n / (variance * variance.sqrt()),
            kurtosis: m4 / n / (variance * variance),
            periods: results.len(),
        })
    }

    /// Variance of the estimate times `periods - 1`, for independent results of any distribution:
    /// `1 - skew SR + (kurtosis - 1) / 4 SR^2` (Mertens 2002; Bailey and Lopez de Prado 2012, eq. 8). Not defined where the
    /// moments cannot belong to one distribution.
    fn spread(&self) -> Option<f64> {
        let spread = 1.0 - self.skew * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio * self.ratio;
        (spread > 1e-12 && spread.is_finite() && self.periods >= 2).then_some(spread)
    }

    /// Standard error of the ratio.
    pub fn error(&self) -> Option<f64> {
        Some((self.spread()? / (self.periods - 1) as f64).sqrt())
    }

    /// Probabilistic Sharpe ratio: the confidence that the true ratio exceeds `benchmark`,
    /// `Phi((SR - benchmark) / error)`.
    ///
    /// Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012.
    pub fn probability_above(&self, benchmark: f64) -> Option<f64> {
        let p = normal::cdf((self.ratio - benchmark) / self.error()?);
        (!p.is_nan()).then_some(p)
    }

    /// Periods after which [`Sharpe::probability_above`] `benchmark` reaches `confidence` if the ratio stays what it is:
    /// `1 + spread (Phi^-1(confidence) / (SR - benchmark))^2`. `None` if the ratio is not above the benchmark, or the confidence not in
    /// `[0.5, 1)`. Same paper, minimum track record length.
    pub fn min_track_record(&self, benchmark: f64, confidence: f64) -> Option<f64> {
        let above = self.ratio - benchmark;
        if !(above > 0.0 && (0.5..1.0).contains(&confidence)) {
            return None;
        }
        let z = normal::quantile(confidence)? / above;
        let periods = 1.0 + self.spread()? * z * z;
        periods.is_finite().then_some(periods)
    }

    /// Deflated Sharpe ratio: the confidence that the true ratio exceeds what luck alone gives the best of `trials`
    /// trials; [`Sharpe::probability_above`] [`luck`].
    ///
    /// Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 2014.
    pub fn deflated(&self, trials: f64, variance: f64) -> Option<f64> {
        self.probability_above(luck(trials, variance)?)
    }
}

/// Expected maximum of `trials` independent standard normals,
/// `(1 - c) Phi^-1(1 - 1/N) + c Phi^-1(1 - 1/(N e))` with Euler's constant c; zero for one trial.
///
/// `None` for fewer than one, or no number. The approximation is asymptotic: 8 % low at 2 trials, up to 2.7 %
/// high from 5 on, and never taken below zero (between one trial and two, where an effective number may fall).
pub fn expected_maximum(trials: f64) -> Option<f64> {
    if !(trials >= 1.0 && trials.is_finite()) {
        return None;
    }
    if trials == 1.0 {
        return Some(0.0);
    }
    let first = -normal::quantile(1.0 / trials)?;
    let second = -normal::quantile(1.0 / (trials * std::f64::consts::E))?;
    Some(((1.0 - EULER) * first + EULER * second).max(0.0))
}

/// The ratio that luck alone gives the best of `trials` trials, "SR0": `sqrt(variance)` times [`expected_maximum`].
/// `variance` is that of the trials' ratios, per period. `None` for a negative variance or fewer than one trial.
pub fn luck(trials: f64, variance: f64) -> Option<f64> {
    let luck = (variance >= 0.0).then(|| variance.sqrt())? * expected_maximum(trials)?;
    luck.is_finite().then_some(luck)
}

/// Sample variance (`n - 1`) of the ratios that are defined; `None` for fewer than two.
pub fn variance(ratios: &[f64]) -> Option<f64> {
    let n = ratios.len() as f64;
    if ratios.len() < 2 {
        return None;
    }
    let mean = ratios.iter().sum::<f64>() / n;
    let variance = ratios.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    variance.is_finite().then_some(variance)
}

/// Years of data below which the best of `trials` worthless trials is expected to show an annual Sharpe ratio of `annual`:
/// `(expected_maximum / annual)^2`, less than `2 ln N / annual^2`. `None` unless `annual` is positive.
///
/// Bailey, Borwein, Lopez de Prado, Zhu, "Pseudo-Mathematics and Financial Charlatanism", Notices of the AMS 61(5), 2014.
pub fn min_backtest_years(trials: f64, annual: f64) -> Option<f64> {
    let ratio = (annual > 0.0).then_some(expected_maximum(trials)? / annual)?;
    (ratio * ratio).is_finite().then_some(ratio * ratio)
}

#[cfg(test)]
mod tests {
    use crossbook_engine::rng::Rng;
    use proptest::prelude::*;

    use super::*;

    /// The worked example of the 2014 paper: annual ratio 2.5 over 1250 days of 250 a year, 100 trials with an annual
    /// variance of 1/2, skewness -3, kurtosis 10.
    fn paper() -> (Sharpe, f64) {
        let sharpe = Sharpe {
            ratio: 2.5 / 250f64.sqrt(),
            skew: -3.0,
            kurtosis: 10.0,
            periods: 1250,
        };
        (sharpe, 0.5 / 250.0)
    }

    #[test]
    fn the_papers_example_comes_out() {
        let (sharpe, variance) = paper();
        let luck = luck(100.0, variance).unwrap();
        assert!((luck - 0.113172).abs() < 5e-7, "SR0 {luck}");
        let deflated = sharpe.deflated(100.0, variance).unwrap();
        assert!((deflated - 0.900397).abs() < 5e-7, "DSR {deflated}");
        // The two usual slips are told apart: excess kurtosis, and no variance of the trials.
        let excess = Sharpe {
            kurtosis: 7.0,
            ..sharpe
        };
        assert!((excess.deflated(100.0, variance).unwrap() - 0.900397).abs() > 1e-3);
        assert!((sharpe.deflated(100.0, 1.0).unwrap() - 0.900397).abs() > 0.5);
    }

    #[test]
    fn the_paper_on_more_trials_and_on_normal_returns() {
        let (sharpe, variance) = paper();
        // Same paper: with 46 trials instead of 100 the ratio is accepted at 95 %, and with normal returns with 88.
        assert!((sharpe.deflated(46.0, variance).unwrap() - 0.9505).abs() < 5e-4);
        let normal = Sharpe {
            skew: 0.0,
            kurtosis: 3.0,
            ..sharpe
        };
        assert!((normal.deflated(88.0, variance).unwrap() - 0.9505).abs() < 5e-4);
    }

    #[test]
    fn moments_by_hand() {
        // Mean 1, squares 9 + 1 + 1 + 9 + 0 = 20, cubes -27 - 1 + 1 + 27, fourth powers 164.
        let got = Sharpe::of(&[-2.0, 0.0, 2.0, 4.0, 1.0]).unwrap();
        assert!((got.ratio - 1.0 / 5f64.sqrt()).abs() < 1e-15);
        assert!(got.skew.abs() < 1e-15);
        assert!((got.kurtosis - 164.0 / 5.0 / 16.0).abs() < 1e-15);
        assert_eq!(got.periods, 5);
        // One win in five: a Bernoulli's skewness and kurtosis are known.
        let got = Sharpe::of(&[0.0, 0.0, 3.0, 0.0, 0.0]).unwrap();
        assert!((got.skew - 1.5).abs() < 1e-12, "{got:?}");
        assert!((got.kurtosis - 3.25).abs() < 1e-12, "{got:?}");
    }

    #[test]
    fn what_is_not_defined_is_none() {
        let cases: [&[f64]; 8] = [
            &[],
            &[1.0],
            &[1.0, -1.0, 2.0],
            &[0.0; 10],
            &[0.1; 10],
            &[1.0, f64::NAN, 2.0, 3.0, 4.0],
            &[1.0, f64::INFINITY, 2.0, 3.0, 4.0],
            &[1.0, 1.0 + 1e-12, 1.0, 1.0, 1.0],
        ];
        for results in cases {
            assert_eq!(Sharpe::of(results), None, "{results:?}");
        }
        let (sharpe, _) = paper();
        assert_eq!(sharpe.min_track_record(sharpe.ratio, 0.95), None);
        assert_eq!(sharpe.min_track_record(0.0, 1.0), None);
        assert_eq!(sharpe.probability_above(f64::NAN), None);
        for trials in [0.0, 0.5, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(expected_maximum(trials), None, "{trials}");
            assert_eq!(sharpe.deflated(trials, 0.01), None, "{trials}");
        }
        for variance in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(luck(10.0, variance), None, "{variance}");
        }
        assert_eq!(variance(&[1.0]), None);
        assert_eq!(min_backtest_years(10.0, 0.0), None);
        // Moments of no distribution: kurtosis below 1 + skew^2.
        let impossible = Sharpe {
            ratio: 1.0,
            skew: 3.0,
            kurtosis: 1.0,
            periods: 100,
        };
        assert_eq!(impossible.probability_above(0.0), None);
    }

    #[test]
    fn the_expected_maximum_is_that_of_normals() {
        assert_eq!(expected_maximum(1.0), Some(0.0));
        assert_eq!(expected_maximum(1.05), Some(0.0));
        // Means of order statistics (Harter 1961) and, from 1000 on, numerical integration.
        let cases = [
            (2.0, 0.56419, 0.08),
            (5.0, 1.16296, 0.027),
            (10.0, 1.53875, 0.025),
            (100.0, 2.50759, 0.01),
            (1000.0, 3.24144, 0.005),
        ];
        for (trials, want, within) in cases {
            let got = expected_maximum(trials).unwrap();
            assert!((got / want - 1.0).abs() < within, "{trials}: {got}, not {want}");
        }
        // And by drawing, where no table helps: 500 trials.
        let mut rng = Rng::stream(1, "maximum");
        let draws = 4000;
        let sum: f64 = (0..draws)
            .map(|_| (0..500).map(|_| rng.normal()).fold(f64::MIN, f64::max))
            .sum();
        let got = expected_maximum(500.0).unwrap();
        assert!((got / (sum / f64::from(draws)) - 1.0).abs() < 0.01, "{got}");
    }

    #[test]
    fn minimum_lengths() {
        let (sharpe, _) = paper();
        let periods = sharpe.min_track_record(0.0, 0.95).unwrap();
        let at = Sharpe {
            periods: periods.ceil() as usize,
            ..sharpe
        };
        assert!(at.probability_above(0.0).unwrap() >= 0.95);
        let before = Sharpe {
            periods: periods.floor() as usize - 1,
            ..sharpe
        };
        assert!(before.probability_above(0.0).unwrap() < 0.95);
        // The AMS paper: after only 45 trials five years are bound to show an annual ratio of 1.
        let years = min_backtest_years(45.0, 1.0).unwrap();
        assert!((4.8..5.1).contains(&years), "{years}");
        assert!(years < 2.0 * 45f64.ln());
    }

    #[test]
    fn probabilities_are_right_on_skewed_noise() {
        // True ratio known: exponential less its mean, plus an edge; mean 0.1, deviation 1. Half a percent of 2000 draws is
        // well within the error of the approximation.
        let mut rng = Rng::stream(3, "psr");
        let (mut below_5, mut above_95) = (0, 0);
        let runs = 2000;
        for _ in 0..runs {
            let results: Vec<f64> = (0..400).map(|_| rng.exponential(1.0) - 0.9).collect();
            let p = Sharpe::of(&results).unwrap().probability_above(0.1).unwrap();
            below_5 += u32::from(p < 0.05);
            above_95 += u32::from(p > 0.95);
        }
        for share in [below_5, above_95].map(|count| f64::from(count) / f64::from(runs)) {
            assert!((0.03..0.075).contains(&share), "{share}");
        }
    }

    proptest! {
        #[test]
        fn scale_does_not_matter_and_sign_turns_the_ratio(
            results in prop::collection::vec(-1e3..1e3f64, 4..60),
            factor in 1e-6..1e6f64,
        ) {
            let turned: Vec<f64> = results.iter().map(|x| -x * factor).collect();
            match (Sharpe::of(&results), Sharpe::of(&turned)) {
                (Some(one), Some(other)) => {
                    prop_assert!((one.ratio + other.ratio).abs() <= 1e-9 * (1.0 + one.ratio.abs()));
                    prop_assert!((one.skew + other.skew).abs() <= 1e-7 * (1.0 + one.skew.abs()));
                    prop_assert!(one.kurtosis >= 1.0 + one.skew * one.skew - 1e-9);
                    prop_assert!(one.error().is_some());
                }
                (None, None) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn more_trials_never_make_a_ratio_look_better(n in 1.0..1e6f64, more in 1.0..10.0f64, variance in 0.0..1.0f64) {
            let (sharpe, _) = paper();
            let one = sharpe.deflated(n, variance).unwrap();
            prop_assert!(sharpe.deflated(n * more, variance).unwrap() <= one);
            prop_assert!((0.0..=1.0).contains(&one));
        }
    }
}
