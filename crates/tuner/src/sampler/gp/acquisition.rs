//! Expected improvement in the logarithm.
//!
//! `EI = s h(z)` with `h(z) = phi(z) + z Phi(z)` and `z = (best - mean) / s` (Mockus 1974; Jones, Schonlau and Welch 1998).
//! Far from the best `EI` underflows and its gradient with it; its logarithm does not (Ament, Daulton, Eriksson, Balandat and
//! Bakshy, "Unexpected improvements to expected improvement for Bayesian optimization", 2023, equation 8 and 9). With the
//! Mills ratio `m(t) = Phi(-t) / phi(t)`, `h(-t) = phi(t) (1 - t m(t))`; past `t = 25` the bracket is summed from its
//! asymptotic series, of which the terms left out are below 1e-11 of it.

/// `ln sqrt(2 pi)`.
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;
/// `sqrt(pi / 2)`.
const SQRT_HALF_PI: f64 = 1.253_314_137_315_500_3;
/// Where the asymptotic series takes over.
const FAR: f64 = 25.0;

/// `ln h(z)` and its derivative `Phi(z) / h(z)`.
pub fn log_h(z: f64) -> (f64, f64) {
    if z > -1.0 {
        let density = libm::exp(-0.5 * z * z - LN_SQRT_2PI);
        let below = 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
        let h = density + z * below;
        return (libm::log(h), below / h);
    }
    let t = -z;
    let log_density = -0.5 * t * t - LN_SQRT_2PI;
    if t > FAR {
        let q = 1.0 / (t * t);
        // 1 - t m(t) = q (1 - 3 q + 15 q^2 - 105 q^3 + 945 q^4 - ...)
        let series = q * (-3.0 + q * (15.0 + q * (-105.0 + q * 945.0)));
        let rest = q * (1.0 + series);
        return (
            log_density + libm::log(q) + libm::log1p(series),
            (1.0 - rest) / (t * rest),
        );
    }
    let mills = SQRT_HALF_PI * libm::exp(0.5 * t * t) * libm::erfc(t * std::f64::consts::FRAC_1_SQRT_2);
    let rest = 1.0 - t * mills;
    (log_density + libm::log(rest), mills / rest)
}

/// `ln EI` of a normal prediction against the best loss so far, and its derivatives by mean and standard deviation.
pub fn log_ei(mean: f64, deviation: f64, best: f64) -> (f64, f64, f64) {
    let z = (best - mean) / deviation;
    let (value, slope) = log_h(z);
    (
        libm::log(deviation) + value,
        -slope / deviation,
        (1.0 - z * slope) / deviation,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_h_has_known_values_and_no_seams() {
        // From a computation with 60 digits.
        let cases = [
            (3.0, 1.098_739_665_327_707_8),
            (0.0, -0.918_938_533_204_672_8),
            (-0.5, -1.620_516_264_387_32),
            (-1.0, -2.485_121_025_712_641),
            (-5.0, -16.744_301_162_660_99),
            (-24.0, -295.280_223_234_804_9),
            (-40.0, -808.298_568_356_619_9),
        ];
        for (z, want) in cases {
            let (value, _) = log_h(z);
            assert!((value - want).abs() < 1e-9, "{z}: {value} {want}");
        }
        for seam in [-1.0, -FAR] {
            let (left, right) = (log_h(seam - 1e-9), log_h(seam + 1e-9));
            assert!((left.0 - right.0).abs() < 1e-7, "{seam}: {left:?} {right:?}");
            assert!((left.1 - right.1).abs() < 1e-7, "{seam}: {left:?} {right:?}");
        }
    }

    #[test]
    fn the_far_tail_is_finite_and_monotone() {
        let mut last = f64::NEG_INFINITY;
        for z in [
            -1e150, -1e8, -1e4, -500.0, -38.0, -26.0, -24.0, -10.0, -2.0, 0.0, 2.0, 40.0,
        ] {
            let (value, slope) = log_h(z);
            assert!(
                value.is_finite() && slope.is_finite() && slope > 0.0,
                "{z}: {value} {slope}"
            );
            assert!(value > last, "{z}");
            last = value;
        }
        // ln h(-t) = -t^2/2 - ln sqrt(2 pi) - 2 ln t + O(t^-2)
        let t: f64 = 1e4;
        assert!((log_h(-t).0 - (-0.5 * t * t - LN_SQRT_2PI - 2.0 * t.ln())).abs() < 1e-6);
    }

    #[test]
    fn derivatives_agree_with_differences() {
        for best in [-30.0, -3.0, -0.2, 0.7, 2.0] {
            for deviation in [0.05, 0.6, 3.0] {
                let (mean, step) = (0.3, 1e-6);
                let (_, by_mean, by_deviation) = log_ei(mean, deviation, best);
                let difference = |f: &dyn Fn(f64) -> f64| (f(step) - f(-step)) / (2.0 * step);
                let want = difference(&|h| log_ei(mean + h, deviation, best).0);
                assert!(
                    (by_mean - want).abs() <= 1e-5 * want.abs().max(1.0),
                    "{best} {deviation}: {by_mean} {want}"
                );
                let want = difference(&|h| log_ei(mean, deviation + h, best).0);
                assert!(
                    (by_deviation - want).abs() <= 1e-4 * want.abs().max(1.0),
                    "{best} {deviation}: {by_deviation} {want}"
                );
            }
        }
    }
}
