//! Exponentials and normal probabilities in the form that a Parzen estimator needs a hundred thousand times an ask.
//!
//! Written with IEEE additions, multiplications, divisions and selections only, in a fixed order: the compiler can use
//! vector instructions, and the bits are the same on every machine. Not for general use: arguments are clamped, and
//! the tail probability is good to 1e-10, no better.

/// `sqrt(2 pi)`.
pub const SQRT_2PI: f64 = 2.506_628_274_631_000_5;

/// 1.5 * 2^52: adding it to a number of moderate size leaves the nearest whole number in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// `ln 2` in two parts; the first has 21 trailing zero bits, so that its product with an exponent is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Beyond this, `exp` is taken at the bound: both bounds are safe from overflow and subnormal numbers.
const EXP_BOUND: f64 = 700.0;

/// `x = power ln 2 + r` with `|r| <= ln(2)/2`: the `r`, and `2^power`.
#[inline(always)]
fn reduced(x: f64) -> (f64, f64) {
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let r = (x - power * LN2_HIGH) - power * LN2_LOW;
    // The low bits of `shifted` are the exponent; moved into place, biased, they are 2^power.
    (r, f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52))
}

/// One over the factorials of 0 to 11.
const FACTORS: [f64; 12] = [
    1.0,
    1.0,
    0.5,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
];

/// The Taylor series of `e^r` to this power, by Horner's rule.
#[inline(always)]
fn taylor<const POWER: usize>(r: f64) -> f64 {
    let mut sum = FACTORS[POWER];
    for power in (0..POWER).rev() {
        sum = sum * r + FACTORS[power];
    }
    sum
}

/// `e^x` within 1e-14 of its value, for `x` clamped to [-700, 700].
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let x = if x < -EXP_BOUND { -EXP_BOUND } else { x };
    let x = if x > EXP_BOUND { EXP_BOUND } else { x };
    let (r, scale) = reduced(x);
    // The Taylor series to the 11th power is good to 6e-15.
    taylor::<11>(r) * scale
}

/// `e^x` within 3e-10 of its value, for `x` of at most 0; what is below -700 is taken there.
#[inline(always)]
pub fn exp_roughly(x: f64) -> f64 {
    let x = if x < -EXP_BOUND { -EXP_BOUND } else { x };
    let (r, scale) = reduced(x);
    taylor::<8>(r) * scale
}

/// The polynomial in `2t - 1` that is `erfcx(z) / t` with `t = 1 / (1 + z/2)`, for `z >= 0`: interpolation in the 17
/// Chebyshev nodes of [0, 1], 1.8e-11 at worst. The substitution is Schonfelder's (1978).
const TAIL: [f64; 17] = [
    5.107_913_526_210_119e-1,
    3.435_803_421_445_967_6e-1,
    1.397_360_463_151_561_8e-1,
    1.822_111_874_385_925_3e-2,
    -1.075_533_273_741_640_9e-2,
    -3.239_634_381_820_419e-3,
    1.545_331_499_739_766_8e-3,
    4.189_106_819_866_068e-4,
    -3.317_009_407_132_742_4e-4,
    -1.805_720_052_438_923e-5,
    7.280_456_030_375_577e-5,
    -1.544_856_136_123_305e-5,
    -1.199_099_759_620_368e-5,
    6.381_001_496_014_574e-6,
    7.899_071_680_703_869e-7,
    -1.008_318_599_075_634_5e-6,
    9.566_085_625_193_523e-8,
];

/// The upper tail of the standard normal at `z >= 0`, good to 1e-10 of its value down to 1e-300.
#[inline(always)]
fn upper_tail(z: f64) -> f64 {
    let y = z * std::f64::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * y);
    let x = 2.0 * t - 1.0;
    let mut sum = TAIL[16];
    for k in (0..16).rev() {
        sum = sum * x + TAIL[k];
    }
    0.5 * sum * t * exp(-y * y)
}

/// The probability that a standard normal lies between `a` and `b`, for `a <= b`.
///
/// Taken as a difference of tails on the side where both are small, so that far cells keep their relative precision.
#[inline(always)]
pub fn mass(a: f64, b: f64) -> f64 {
    let mirrored = a + b < 0.0;
    let low = if mirrored { -b } else { a };
    let high = if mirrored { -a } else { b };
    let tail = upper_tail(if low < 0.0 { -low } else { low });
    let above_low = if low < 0.0 { 1.0 - tail } else { tail };
    above_low - upper_tail(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_libms_within_its_promise() {
        for k in -70_000..=70_000 {
            let x = f64::from(k) * 0.01;
            let want = libm::exp(x);
            assert!((exp(x) / want - 1.0).abs() < 1e-14, "{x}: {} against {want}", exp(x));
        }
        for k in -70_000..=0 {
            let x = f64::from(k) * 0.01;
            assert!(
                (exp_roughly(x) / libm::exp(x) - 1.0).abs() < 3e-10,
                "{x}: {}",
                exp_roughly(x)
            );
        }
        assert_eq!(exp_roughly(-1e300), exp_roughly(-700.0));
        assert_eq!(exp(-1e300), exp(-700.0));
        assert_eq!(exp(1e300), exp(700.0));
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn mass_is_a_difference_of_libms_tails() {
        for i in -80..=80 {
            for width in [0.01, 0.5, 3.0, 40.0] {
                let a = f64::from(i) * 0.1;
                let b = a + width;
                let s = std::f64::consts::FRAC_1_SQRT_2;
                let (low, high) = if a + b < 0.0 { (-b, -a) } else { (a, b) };
                let want = 0.5 * (libm::erfc(low * s) - libm::erfc(high * s));
                let got = mass(a, b);
                // A narrow cell is a difference of near numbers; two digits go there.
                assert!(
                    (got / want - 1.0).abs() < 1e-8 && got > 0.0,
                    "{a} to {b}: {got} against {want}"
                );
                assert_eq!(got.to_bits(), mass(-b, -a).to_bits(), "mirror of {a} to {b}");
            }
        }
    }

    #[test]
    fn mass_of_everything_is_one() {
        assert!((mass(-30.0, 30.0) - 1.0).abs() < 1e-15);
        assert_eq!(mass(1.25, 1.25), 0.0);
    }
}
