//! Seeded randomness in named streams: the only source of chance in a simulation or a synthetic market.
//!
//! Each use has a stream of its own (`"binance.order_latency"`, `"fx"`), so that a draw added in one place never shifts
//! the numbers of another. The generator is xoshiro256** (Blackman and Vigna, 2018), its state the BLAKE3 hash of seed
//! and name. Transcendental functions come from `libm`, so the same seed gives the same bits on every machine.

/// One named stream of random numbers. Not for anything secret.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
    /// The second half of the last pair of normals.
    spare: Option<f64>,
}

impl Rng {
    /// The stream of this name under this seed. Different names or seeds give unrelated streams.
    pub fn stream(seed: u64, name: &str) -> Rng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"crossbook.rng.1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(name.as_bytes());
        let hash = *hasher.finalize().as_bytes();
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(hash.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        }
        if state == [0; 4] {
            // The one state from which xoshiro never leaves.
            state = [1; 4];
        }
        Rng { state, spare: None }
    }

    /// 64 uniform bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `0..n` without bias (Lemire, 2019).
    ///
    /// # Panics
    /// When `n` is zero.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below(0) has no answer");
        let mut wide = u128::from(self.next_u64()) * u128::from(n);
        if (wide as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (wide as u64) < threshold {
                wide = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (wide >> 64) as u64
    }

    /// Standard normal (Marsaglia's polar method; two a time, the second is kept).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let u = 2.0 * self.uniform() - 1.0;
            let v = 2.0 * self.uniform() - 1.0;
            let s = u * u + v * v;
            if s < 1.0 && s > 0.0 {
                let factor = libm::sqrt(-2.0 * libm::log(s) / s);
                self.spare = Some(v * factor);
                return u * factor;
            }
        }
    }

    /// Log-normal: `median * exp(sigma * normal)`, in the unit of `median`.
    #[inline]
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(sigma * self.normal())
    }

    /// Exponential with this mean, in its unit: the waiting time of a Poisson process.
    #[inline]
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.uniform())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_xoshiro256_star_star() {
        let mut rng = Rng {
            state: [1, 2, 3, 4],
            spare: None,
        };
        // The reference implementation's answers for this state.
        let want = [
            11520,
            0,
            1509978240,
            1215971899390074240,
            1216172134540287360,
            607988272756665600,
            16172922978634559625,
            8476171486693032832,
            10595114339597558777,
            2904607092377533576,
        ];
        for value in want {
            assert_eq!(rng.next_u64(), value);
        }
    }

    #[test]
    fn a_stream_depends_on_seed_and_name_alone_and_never_changes() {
        let first = |seed, name: &str| Rng::stream(seed, name).next_u64();
        assert_eq!(first(42, "fx"), 18224385567640068122);
        assert_ne!(first(42, "fx"), first(43, "fx"));
        assert_ne!(first(42, "fx"), first(42, "fy"));
        assert_ne!(first(42, ""), first(0, "42"));

        let mut rng = Rng::stream(42, "fx");
        let bits = [
            rng.uniform().to_bits(),
            rng.normal().to_bits(),
            rng.normal().to_bits(),
            rng.lognormal(12.0, 0.3).to_bits(),
            rng.exponential(2.0).to_bits(),
        ];
        assert_eq!(
            bits,
            [
                4607073845310725668,
                13830590922341695967,
                13833234315577920208,
                4624347572770904456,
                4616060034318964601
            ],
            "changing these changes every recorded digest"
        );
        assert_eq!(
            [rng.below(6), rng.below(1), rng.below(u64::MAX)],
            [2, 0, 2980085199741399384]
        );
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut rng = Rng::stream(7, "moments");
        let n = 200_000;
        let (mut uniform, mut normal, mut square, mut fourth, mut exponential) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let mut logs: Vec<f64> = Vec::with_capacity(n);
        let mut faces = [0u32; 6];
        for _ in 0..n {
            let u = rng.uniform();
            assert!((0.0..1.0).contains(&u));
            uniform += u;
            let z = rng.normal();
            normal += z;
            square += z * z;
            fourth += z * z * z * z;
            exponential += rng.exponential(3.0);
            logs.push(rng.lognormal(12.0, 0.5));
            faces[rng.below(6) as usize] += 1;
        }
        let mean = |sum: f64| sum / n as f64;
        // Five standard errors each.
        assert!((mean(uniform) - 0.5).abs() < 0.0033);
        assert!(mean(normal).abs() < 0.0112);
        assert!((mean(square) - 1.0).abs() < 0.0159);
        assert!((mean(fourth) - 3.0).abs() < 0.11);
        assert!((mean(exponential) - 3.0).abs() < 0.034);
        logs.sort_by(f64::total_cmp);
        assert!((logs[n / 2] - 12.0).abs() < 0.1, "median {}", logs[n / 2]);
        for count in faces {
            assert!((f64::from(count) - n as f64 / 6.0).abs() < 834.0, "{faces:?}");
        }
    }

    #[test]
    #[should_panic(expected = "below(0)")]
    fn nothing_is_below_zero() {
        Rng::stream(1, "").below(0);
    }
}
