//! The two sequences, addressed by index: no state but the scrambling.

use crossbook_engine::rng::Rng;

/// Dimensions of Sobol's sequence that there are direction numbers for; Halton's has as many.
pub const MAX_DIMENSIONS: usize = 256;

/// Joe and Kuo's direction numbers; the file says where they are from.
const DIRECTIONS: &str = include_str!("joe_kuo_256.txt");

/// Bits of a coordinate: as many as a float has after the point.
const BITS: usize = 52;

/// A point of `[0, 1)^d` for each index.
#[derive(Debug)]
pub enum Sequence {
    /// Sobol's, in Gray code order.
    Sobol {
        /// By dimension, by bit: what a bit of the Gray code of the index adds.
        directions: Vec<[u64; BITS]>,
        /// By dimension: the seed of Owen's scrambling, none for the plain sequence.
        scramble: Option<Vec<u64>>,
    },
    /// Halton's.
    Halton {
        /// By dimension.
        bases: Vec<u64>,
        /// By dimension, by digit: a permutation of the digits; none for the plain sequence.
        permutations: Option<Vec<Vec<Vec<u64>>>>,
    },
}

impl Sequence {
    /// Sobol's sequence in at most [`MAX_DIMENSIONS`] dimensions; with a generator, scrambled.
    ///
    /// Owen's nested uniform scrambling (1995): each bit is flipped by a coin that is a function of the bits before it, so
    /// that every point is uniform on its own and the balance over elementary intervals is kept.
    pub fn sobol(dimensions: usize, scramble: Option<&mut Rng>) -> Sequence {
        let mut directions = Vec::with_capacity(dimensions);
        // The first dimension is van der Corput's.
        directions.push(std::array::from_fn(|bit| 1 << (BITS - 1 - bit)));
        let rows = DIRECTIONS.lines().filter(|line| !line.starts_with('#'));
        directions.extend(rows.take(dimensions.saturating_sub(1)).map(direction_numbers));
        directions.truncate(dimensions);
        Sequence::Sobol {
            directions,
            scramble: scramble.map(|rng| (0..dimensions).map(|_| rng.next_u64()).collect()),
        }
    }

    /// Halton's sequence in the first primes; with a generator, each digit of each dimension under a random permutation of
    /// its own, trailing zeros included (Owen, "A randomized Halton algorithm in R", 2017).
    pub fn halton(dimensions: usize, scramble: Option<&mut Rng>) -> Sequence {
        let mut bases: Vec<u64> = Vec::with_capacity(dimensions);
        let mut next = 2;
        while bases.len() < dimensions {
            if bases.iter().all(|prime| next % prime != 0) {
                bases.push(next);
            }
            next += 1;
        }
        let permutations = scramble.map(|rng| {
            let own = |base: &u64| (0..digits(*base)).map(|_| permutation(*base, rng)).collect();
            bases.iter().map(own).collect()
        });
        Sequence::Halton { bases, permutations }
    }

    /// The coordinates of the point with this index.
    pub fn point(&self, index: u64) -> Vec<f64> {
        match self {
            Sequence::Sobol { directions, scramble } => {
                let gray = index ^ index >> 1;
                let coordinate = |(dimension, own): (usize, &[u64; BITS])| {
                    let chosen = own.iter().enumerate().filter(|(bit, _)| gray >> bit & 1 == 1);
                    let plain = chosen.fold(0, |sum, (_, direction)| sum ^ direction);
                    let bits = match scramble {
                        Some(seeds) => owen(plain, seeds[dimension]),
                        None => plain,
                    };
                    bits as f64 / (1u64 << BITS) as f64
                };
                directions.iter().enumerate().map(coordinate).collect()
            }
            Sequence::Halton { bases, permutations } => {
                let coordinate = |(dimension, &base): (usize, &u64)| {
                    let own = permutations.as_ref().map(|all| &all[dimension]);
                    radical_inverse(index, base, own)
                };
                bases.iter().enumerate().map(coordinate).collect()
            }
        }
    }
}

/// Direction numbers of one line of the file (Bratley and Fox, Algorithm 659; Joe and Kuo 2008, section 2).
fn direction_numbers(line: &str) -> [u64; BITS] {
    let fields: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let (degree, inner, first) = (fields[1] as usize, fields[2], &fields[3..]);
    let mut v = [0u64; BITS];
    for bit in 0..BITS {
        v[bit] = match first.get(bit) {
            Some(m) => m << (BITS - 1 - bit),
            None => {
                let mut value = v[bit - degree] ^ v[bit - degree] >> degree;
                for k in 1..degree {
                    if inner >> (degree - 1 - k) & 1 == 1 {
                        value ^= v[bit - k];
                    }
                }
                value
            }
        };
    }
    v
}

/// Flips each bit by a coin that is a function of the seed, the bit's place and the plain bits above it.
fn owen(plain: u64, seed: u64) -> u64 {
    let mut flips = 0;
    for bit in (0..BITS).rev() {
        // A 1 before the prefix tells prefixes of different lengths apart.
        let prefix = 1 << (BITS - 1 - bit) | plain >> (bit + 1);
        flips |= (mix(seed ^ mix(prefix)) >> 63) << bit;
    }
    plain ^ flips
}

/// The finalizer of splitmix64 (Steele, Lea and Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Digits in this base that a float can tell apart.
fn digits(base: u64) -> usize {
    (BITS as f64 / libm::log2(base as f64)) as usize + 1
}

fn permutation(base: u64, rng: &mut Rng) -> Vec<u64> {
    let mut digits: Vec<u64> = (0..base).collect();
    for last in (1..digits.len()).rev() {
        digits.swap(last, rng.below(last as u64 + 1) as usize);
    }
    digits
}

/// The digits of the index, mirrored at the point.
fn radical_inverse(mut index: u64, base: u64, permutations: Option<&Vec<Vec<u64>>>) -> f64 {
    let (mut sum, mut scale) = (0.0, 1.0);
    for place in 0..digits(base) {
        scale /= base as f64;
        let digit = index % base;
        index /= base;
        let digit = permutations.map_or(digit, |own| own[place][digit as usize]);
        sum += digit as f64 * scale;
    }
    // All digits at their largest may round up to 1.
    f64::min(sum, 1.0 - f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(sequence: &Sequence, count: u64) -> Vec<Vec<f64>> {
        (0..count).map(|index| sequence.point(index)).collect()
    }

    #[test]
    fn the_first_points_are_the_published_ones() {
        // Joe and Kuo's program in five dimensions; SciPy 1.17's `Sobol(5, scramble=False)` gives the same.
        let sobol = [
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.5, 0.5, 0.5, 0.5, 0.5],
            [0.75, 0.25, 0.25, 0.25, 0.75],
            [0.25, 0.75, 0.75, 0.75, 0.25],
            [0.375, 0.375, 0.625, 0.875, 0.375],
            [0.875, 0.875, 0.125, 0.375, 0.875],
            [0.625, 0.125, 0.875, 0.625, 0.625],
            [0.125, 0.625, 0.375, 0.125, 0.125],
        ];
        assert_eq!(points(&Sequence::sobol(5, None), 8), sobol);

        let third = |k: f64| k / 3.0;
        let halton = points(&Sequence::halton(2, None), 5);
        let want = [
            (0.0, 0.0),
            (0.5, third(1.0)),
            (0.25, third(2.0)),
            (0.75, 1.0 / 9.0),
            (0.125, 4.0 / 9.0),
        ];
        for (got, want) in halton.iter().zip(want) {
            assert!(
                (got[0] - want.0).abs() < 1e-15 && (got[1] - want.1).abs() < 1e-15,
                "{got:?}"
            );
        }
    }

    #[test]
    fn the_last_dimension_has_its_published_numbers() {
        // SciPy 1.17's `Sobol(256, scramble=False)`: coordinate 256 of points 1 to 8.
        let want = [0.5, 0.75, 0.25, 0.375, 0.875, 0.625, 0.125, 0.4375];
        let sequence = Sequence::sobol(MAX_DIMENSIONS, None);
        let got: Vec<f64> = (1..=8).map(|index| sequence.point(index)[MAX_DIMENSIONS - 1]).collect();
        assert_eq!(got, want);
    }

    /// Every elementary interval of volume 2^-m holds exactly one of the first 2^m points of two of the first dimensions,
    /// and every base-b interval of an axis its share.
    #[test]
    fn scrambling_keeps_the_balance_over_elementary_intervals() {
        for seed in 0..20 {
            let mut rng = Rng::stream(seed, "test.sobol");
            let points = points(&Sequence::sobol(2, Some(&mut rng)), 256);
            for log in 0..=8 {
                let (columns, rows) = (1 << log, 256 >> log);
                let mut counts = vec![0; 256];
                for point in &points {
                    let column = (point[0] * f64::from(columns)) as usize;
                    let row = (point[1] * f64::from(rows)) as usize;
                    counts[column * rows as usize + row] += 1;
                }
                assert!(counts.iter().all(|&count| count == 1), "{columns} columns, seed {seed}");
            }
        }
        let mut rng = Rng::stream(1, "test.axes");
        let sobol = points(&Sequence::sobol(MAX_DIMENSIONS, Some(&mut rng)), 64);
        for dimension in 0..MAX_DIMENSIONS {
            let mut counts = [0; 64];
            for point in &sobol {
                counts[(point[dimension] * 64.0) as usize] += 1;
            }
            assert_eq!(counts, [1; 64], "dimension {dimension}");
        }
        let mut rng = Rng::stream(1, "test.halton");
        let halton = points(&Sequence::halton(4, Some(&mut rng)), 343);
        for (dimension, base, power) in [(0, 2u32, 8), (1, 3, 5), (2, 5, 3), (3, 7, 3)] {
            let cells = base.pow(power) as usize;
            let mut counts = vec![0; cells];
            for point in &halton[..cells] {
                counts[(point[dimension] * cells as f64 + 1e-9) as usize] += 1;
            }
            assert!(counts.iter().all(|&count| count == 1), "base {base}");
        }
    }

    #[test]
    fn each_scrambled_point_is_uniform_over_seeds() {
        let draws = 4000;
        for index in [0, 5] {
            for kind in ["sobol", "halton"] {
                let mut counts = [[0.0; 10]; 3];
                for seed in 0..draws {
                    let mut rng = Rng::stream(seed, "test.uniform");
                    let sequence = match kind {
                        "sobol" => Sequence::sobol(3, Some(&mut rng)),
                        _ => Sequence::halton(3, Some(&mut rng)),
                    };
                    for (counts, u) in counts.iter_mut().zip(sequence.point(index)) {
                        counts[(u * 10.0) as usize] += 1.0;
                    }
                }
                for counts in counts {
                    let want = draws as f64 / 10.0;
                    let chi2: f64 = counts.iter().map(|count| (count - want) * (count - want) / want).sum();
                    // 9 degrees of freedom: 33.7 is exceeded once in 10,000.
                    assert!(chi2 < 33.7, "{kind} {index}: {chi2}");
                }
            }
        }
    }

    /// Warnock's formula for the squared L2 star discrepancy (Warnock 1972).
    fn discrepancy(points: &[Vec<f64>]) -> f64 {
        let (n, d) = (points.len() as f64, points[0].len() as i32);
        let single: f64 = points
            .iter()
            .map(|x| x.iter().map(|u| 1.0 - u * u).product::<f64>())
            .sum();
        let pairs: f64 = points
            .iter()
            .flat_map(|x| points.iter().map(move |y| (x, y)))
            .map(|(x, y)| x.iter().zip(y).map(|(u, v)| 1.0 - u.max(*v)).product::<f64>())
            .sum();
        3f64.powi(-d) - 2f64.powi(1 - d) / n * single + pairs / (n * n)
    }

    #[test]
    fn discrepancy_is_far_below_that_of_random_points() {
        for seed in 0..10 {
            let mut rng = Rng::stream(seed, "test.discrepancy");
            let random: Vec<Vec<f64>> = (0..256).map(|_| (0..4).map(|_| rng.uniform()).collect()).collect();
            let random = discrepancy(&random);
            let sobol = discrepancy(&points(&Sequence::sobol(4, Some(&mut rng)), 256));
            let halton = discrepancy(&points(&Sequence::halton(4, Some(&mut rng)), 256));
            assert!(
                sobol * 5.0 < random && halton * 3.0 < random,
                "{sobol} {halton} {random}"
            );
        }
    }
}
