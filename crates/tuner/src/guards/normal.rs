//! The standard normal distribution, in full double accuracy and with the same bits on every machine.
//!
//! The distribution function is `erfc` of `libm` (FreeBSD's, below one unit in the last place), with the rounding of its
//! argument put right, which matters in the tails. The quantile is algorithm AS 241, PPND16: M. J. Wichura, "The Percentage
//! Points of the Normal Distribution", Applied Statistics 37 (1988), 477-484; about 16 digits.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// What the double `SQRT_2` lacks of the root of two.
const SQRT_2_REST: f64 = -9.667293313452913e-17;

const CENTRE_NUM: [f64; 8] = [
    3.3871328727963665,
    133.14166789178438,
    1971.5909503065513,
    13731.69376550946,
    45921.95393154987,
    67265.7709270087,
    33430.57558358813,
    2509.0809287301227,
];
const CENTRE_DEN: [f64; 8] = [
    1.0,
    42.31333070160091,
    687.1870074920579,
    5394.196021424751,
    21213.794301586597,
    39307.89580009271,
    28729.085735721943,
    5226.495278852854,
];
const MIDDLE_NUM: [f64; 8] = [
    1.4234371107496835,
    4.630337846156546,
    5.769497221460691,
    3.6478483247632045,
    1.2704582524523684,
    0.2417807251774506,
    0.022723844989269184,
    0.0007745450142783414,
];
const MIDDLE_DEN: [f64; 8] = [
    1.0,
    2.053191626637759,
    1.6763848301838038,
    0.6897673349851,
    0.14810397642748008,
    0.015198666563616457,
    0.0005475938084995345,
    1.0507500716444169e-09,
];
const TAIL_NUM: [f64; 8] = [
    6.657904643501103,
    5.463784911164114,
    1.7848265399172913,
    0.29656057182850487,
    0.026532189526576124,
    0.0012426609473880784,
    2.7115555687434876e-05,
    2.0103343992922881e-07,
];
const TAIL_DEN: [f64; 8] = [
    1.0,
    0.599832206555888,
    0.1369298809227358,
    0.014875361290850615,
    0.0007868691311456133,
    1.8463183175100548e-05,
    1.421511758316446e-07,
    2.0442631033899397e-15,
];

/// Probability that a standard normal is at most `x`. NaN only for NaN.
pub fn cdf(x: f64) -> f64 {
    let z = -x * FRAC_1_SQRT_2;
    let mut tail = libm::erfc(z);
    // erfc changes by a share of about 2 z dz: in the tail the rounding of z alone would cost three digits.
    if z.abs() > 1.0 && z.abs() < 27.0 {
        let missing = (-libm::fma(z, SQRT_2, x) - z * SQRT_2_REST) * FRAC_1_SQRT_2;
        tail -= std::f64::consts::FRAC_2_SQRT_PI * libm::exp(-z * z) * missing;
    }
    0.5 * tail
}

/// The `x` with [`cdf`]`(x) = p`; `None` unless `0 < p < 1`. For a `p` near one ask for `-quantile(1 - p)` with an exact
/// `1 - p`.
pub fn quantile(p: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0) {
        return None;
    }
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return Some(q * ratio(&CENTRE_NUM, &CENTRE_DEN, r));
    }
    let r = libm::sqrt(-libm::log(if q < 0.0 { p } else { 1.0 - p }));
    let x = if r <= 5.0 {
        ratio(&MIDDLE_NUM, &MIDDLE_DEN, r - 1.6)
    } else {
        ratio(&TAIL_NUM, &TAIL_DEN, r - 5.0)
    };
    Some(if q < 0.0 { -x } else { x })
}

fn ratio(num: &[f64; 8], den: &[f64; 8], r: f64) -> f64 {
    let polynomial = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, &c| sum * r + c);
    polynomial(num) / polynomial(den)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(got: f64, want: f64, relative: f64) -> bool {
        (got - want).abs() <= relative * want.abs()
    }

    #[test]
    fn the_distribution_function_has_its_known_values() {
        // mpmath at 40 digits, rounded to doubles.
        let cases = [
            (-37.5, 4.605353009581955e-308),
            (-20.0, 2.7536241186062337e-89),
            (-8.0, 6.220960574271784e-16),
            (-5.0, 2.866515718791939e-07),
            (-3.0, 0.0013498980316300946),
            (-1.96, 0.024997895148220435),
            (-1.0, 0.15865525393145705),
            (-0.1, 0.460172162722971),
            (0.0, 0.5),
            (0.5, 0.6914624612740131),
            (1.0, 0.8413447460685429),
            (1.6448536269514722, 0.95),
            (3.0, 0.9986501019683699),
            (6.0, 0.9999999990134123),
            (8.2, 0.9999999999999999),
        ];
        for (x, want) in cases {
            let got = cdf(x);
            assert!(close(got, want, 1e-15), "{x}: {got:e}, not {want:e}");
        }
        assert_eq!([cdf(-60.0), cdf(60.0)], [0.0, 1.0]);
        assert_eq!([cdf(f64::NEG_INFINITY), cdf(f64::INFINITY)], [0.0, 1.0]);
    }

    #[test]
    fn the_quantile_has_its_known_values() {
        let cases = [
            (1e-300, -37.0470962993612),
            (1e-100, -21.273453560965326),
            (1e-16, -8.222082216130435),
            (1e-10, -6.361340902404057),
            (1e-5, -4.264890793922825),
            (0.001, -3.0902323061678136),
            (0.01, -2.326347874040841),
            (0.025, -1.9599639845400543),
            (0.075, -1.439531470938456),
            (0.1, -1.2815515655446004),
            (0.3, -0.5244005127080408),
            (0.5, 0.0),
            (0.6, 0.2533471031357997),
            (0.9, 1.2815515655446006),
            (0.925, 1.4395314709384561),
            (0.95, 1.6448536269514722),
            (0.975, 1.9599639845400538),
            (0.99, 2.3263478740408408),
            (0.999999, 4.753424308817087),
        ];
        for (p, want) in cases {
            let got = quantile(p).expect("within (0, 1)");
            assert!(close(got, want, 1e-15), "{p}: {got:e}, not {want:e}");
        }
        for p in [0.0, 1.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(quantile(p), None, "{p}");
        }
    }

    proptest! {
        #[test]
        fn one_undoes_the_other(x in -37.0..5.0f64) {
            let back = quantile(cdf(x)).expect("a probability");
            // Above zero the probability itself has lost the digits.
            let lost = if x > 1.0 { 1e-16 / cdf(-x) } else { 0.0 };
            prop_assert!((back - x).abs() <= 2e-15 * (1.0 + x.abs()) + 3.0 * lost, "{x} {back}");
        }

        #[test]
        fn the_two_sides_add_up_to_one(x in -40.0..40.0f64) {
            prop_assert!((cdf(x) + cdf(-x) - 1.0).abs() < 1e-15);
        }
    }
}
