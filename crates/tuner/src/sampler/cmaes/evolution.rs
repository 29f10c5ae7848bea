//! The evolution strategy itself: a normal distribution that learns from ranked steps.
//!
//! Source, equation by equation: Hansen, "The CMA evolution strategy: a tutorial" (2016, arXiv:1604.00772), appendix A:
//! weighted recombination, cumulative step-size adaptation, rank-one and rank-mu update with negative weights.
//! Basic operations and `libm` only, in a fixed order: the same bits everywhere.

use crossbook_engine::rng::Rng;

use super::eigen::{Matrix, eigen};

/// Mean, step size, covariance and the two paths.
#[derive(Debug, Clone)]
pub struct Evolution {
    /// Where steps start from.
    pub mean: Vec<f64>,
    /// Step size.
    pub sigma: f64,
    /// Steps per update.
    pub lambda: usize,
    weights: Vec<f64>,
    mu_eff: f64,
    c_sigma: f64,
    d_sigma: f64,
    c_c: f64,
    c_1: f64,
    c_mu: f64,
    /// Expected length of a standard normal vector.
    chi: f64,
    covariance: Matrix,
    /// Eigenvectors of the covariance as columns, and square roots of its eigenvalues.
    axes: Matrix,
    lengths: Vec<f64>,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    generation: u32,
}

impl Evolution {
    /// A ball of radius `sigma` around `mean`, which has at least one coordinate. `lambda` is at least 4.
    pub fn new(mean: Vec<f64>, sigma: f64, lambda: usize) -> Evolution {
        let d = mean.len() as f64;
        let raw: Vec<f64> = (1..=lambda)
            .map(|rank| libm::log((lambda as f64 + 1.0) / 2.0) - libm::log(rank as f64))
            .collect();
        let mu = lambda / 2;
        let effective = |part: &[f64]| {
            let sum: f64 = part.iter().sum();
            sum * sum / part.iter().map(|w| w * w).sum::<f64>()
        };
        let mu_eff = effective(&raw[..mu]);
        let mu_eff_negative = effective(&raw[mu..]);
        let c_1 = 2.0 / ((d + 1.3) * (d + 1.3) + mu_eff);
        let c_mu = f64::min(
            1.0 - c_1,
            2.0 * (0.25 + mu_eff + 1.0 / mu_eff - 2.0) / ((d + 2.0) * (d + 2.0) + mu_eff),
        );
        // Bounds on the sum of the negative weights: eqs. 50 to 52.
        let negative = f64::min(1.0 + c_1 / c_mu, 1.0 + 2.0 * mu_eff_negative / (mu_eff + 2.0));
        let negative = negative.min((1.0 - c_1 - c_mu) / (d * c_mu));
        let positive_sum: f64 = raw.iter().filter(|w| **w > 0.0).sum();
        let negative_sum: f64 = raw.iter().filter(|w| **w < 0.0).map(|w| -w).sum();
        let weights = raw
            .iter()
            .map(|w| {
                if *w >= 0.0 {
                    w / positive_sum
                } else {
                    negative * w / negative_sum
                }
            })
            .collect();
        let c_sigma = (mu_eff + 2.0) / (d + mu_eff + 5.0);
        let identity = Matrix::identity(mean.len());
        Evolution {
            sigma,
            lambda,
            weights,
            mu_eff,
            c_sigma,
            d_sigma: 1.0 + 2.0 * f64::max(0.0, libm::sqrt((mu_eff - 1.0) / (d + 1.0)) - 1.0) + c_sigma,
            c_c: (4.0 + mu_eff / d) / (d + 4.0 + 2.0 * mu_eff / d),
            c_1,
            c_mu,
            chi: libm::sqrt(d) * (1.0 - 1.0 / (4.0 * d) + 1.0 / (21.0 * d * d)),
            covariance: identity.clone(),
            axes: identity,
            lengths: vec![1.0; mean.len()],
            path_sigma: vec![0.0; mean.len()],
            path_c: vec![0.0; mean.len()],
            generation: 0,
            mean,
        }
    }

    /// A step: normal with the covariance, before the step size.
    pub fn step(&self, rng: &mut Rng) -> Vec<f64> {
        let z: Vec<f64> = self.lengths.iter().map(|length| length * rng.normal()).collect();
        self.axes.times(&z)
    }

    /// Standard deviation along a coordinate, step size included.
    pub fn deviation(&self, coordinate: usize) -> f64 {
        self.sigma * libm::sqrt(self.covariance.get(coordinate, coordinate))
    }

    /// Ratio of the longest to the shortest axis.
    pub fn elongation(&self) -> f64 {
        let longest = self.lengths.iter().copied().fold(0.0, f64::max);
        let shortest = self.lengths.iter().copied().fold(f64::INFINITY, f64::min);
        longest / shortest
    }

    /// Learns from `lambda` steps, best first. `scale` is how much longer the steps were made along each coordinate
    /// than the distribution says; only the mean moves by it.
    pub fn update(&mut self, steps: &[Vec<f64>], scale: &[f64]) {
        let d = self.mean.len();
        self.generation += 1;
        let mut shift = vec![0.0; d];
        for (step, weight) in steps.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0.0) {
            for (sum, y) in shift.iter_mut().zip(step) {
                *sum += weight * y;
            }
        }
        for ((mean, y), scale) in self.mean.iter_mut().zip(&shift).zip(scale) {
            *mean += self.sigma * scale * y;
        }

        let keep = 1.0 - self.c_sigma;
        let gain = libm::sqrt(self.c_sigma * (2.0 - self.c_sigma) * self.mu_eff);
        let whitened = self.whitened(&shift);
        for (path, y) in self.path_sigma.iter_mut().zip(whitened) {
            *path = keep * *path + gain * y;
        }
        let length = norm(&self.path_sigma);
        let memory = 1.0 - libm::pow(keep, 2.0 * f64::from(self.generation));
        let steady = length / libm::sqrt(memory) < (1.4 + 2.0 / (d as f64 + 1.0)) * self.chi;
        let steady = f64::from(u8::from(steady));

        let gain = steady * libm::sqrt(self.c_c * (2.0 - self.c_c) * self.mu_eff);
        for (path, y) in self.path_c.iter_mut().zip(&shift) {
            *path = (1.0 - self.c_c) * *path + gain * y;
        }
        let lengths: Vec<f64> = steps.iter().map(|step| norm(&self.whitened(step))).collect();
        let adapted: Vec<f64> = self
            .weights
            .iter()
            .zip(&lengths)
            .map(|(w, length)| {
                if *w >= 0.0 {
                    *w
                } else {
                    w * d as f64 / (length * length).max(1e-30)
                }
            })
            .collect();
        let sum: f64 = self.weights.iter().sum();
        let old = 1.0 + self.c_1 * (1.0 - steady) * self.c_c * (2.0 - self.c_c) - self.c_1 - self.c_mu * sum;
        for row in 0..d {
            for column in 0..=row {
                let mut value = old * self.covariance.get(row, column);
                value += self.c_1 * self.path_c[row] * self.path_c[column];
                for (step, weight) in steps.iter().zip(&adapted) {
                    value += self.c_mu * weight * step[row] * step[column];
                }
                self.covariance.set_symmetric(row, column, value);
            }
        }
        self.sigma *= libm::exp(f64::min(1.0, self.c_sigma / self.d_sigma * (length / self.chi - 1.0)));
        let (values, axes) = eigen(&self.covariance);
        self.axes = axes;
        // Rounding can leave an eigenvalue at or below zero when the matrix is nearly singular.
        self.lengths = values.iter().map(|value| libm::sqrt(value.max(1e-20))).collect();
    }

    /// `C^(-1/2) y`.
    fn whitened(&self, y: &[f64]) -> Vec<f64> {
        let mut along = self.axes.transposed_times(y);
        for (y, length) in along.iter_mut().zip(&self.lengths) {
            *y /= length;
        }
        self.axes.times(&along)
    }
}

fn norm(vector: &[f64]) -> f64 {
    libm::sqrt(vector.iter().map(|x| x * x).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluations until the loss is below 1e-10.
    fn evaluations(d: usize, seed: u64, loss: impl Fn(&[f64]) -> f64) -> usize {
        let mut rng = Rng::stream(seed, "test.cmaes");
        let lambda = 4 + (3.0 * libm::log(d as f64)) as usize;
        let mut evolution = Evolution::new(vec![0.8; d], 0.3, lambda);
        let scale = vec![1.0; d];
        for generation in 1..5000 {
            let mut steps: Vec<(f64, Vec<f64>)> = (0..lambda)
                .map(|_| {
                    let y = evolution.step(&mut rng);
                    let x: Vec<f64> = y
                        .iter()
                        .zip(&evolution.mean)
                        .map(|(y, m)| m + evolution.sigma * y)
                        .collect();
                    (loss(&x), y)
                })
                .collect();
            steps.sort_by(|a, b| a.0.total_cmp(&b.0));
            if steps[0].0 < 1e-10 {
                return generation * lambda;
            }
            let steps: Vec<Vec<f64>> = steps.into_iter().map(|(_, y)| y).collect();
            evolution.update(&steps, &scale);
        }
        usize::MAX
    }

    #[test]
    fn sphere_ellipsoid_and_rosenbrock_are_solved_at_the_published_cost() {
        let sphere = |x: &[f64]| x.iter().map(|x| x * x).sum();
        let ellipsoid = |x: &[f64]| {
            let last = x.len() as f64 - 1.0;
            x.iter()
                .enumerate()
                .map(|(k, x)| libm::pow(1e6, k as f64 / last) * x * x)
                .sum()
        };
        let rosenbrock = |x: &[f64]| {
            let pairs = x.windows(2);
            pairs
                .map(|p| 100.0 * (p[1] - p[0] * p[0]) * (p[1] - p[0] * p[0]) + (1.0 - p[0]) * (1.0 - p[0]))
                .sum()
        };
        let median = |loss: &dyn Fn(&[f64]) -> f64| {
            let mut counts: Vec<usize> = (0..5).map(|seed| evaluations(8, seed, loss)).collect();
            counts.sort_unstable();
            counts[2]
        };
        // COCO's figures for CMA-ES in dimension 8 are near 1,000, 3,000 and 5,000.
        let (sphere, ellipsoid, rosenbrock) = (median(&sphere), median(&ellipsoid), median(&rosenbrock));
        assert!(sphere < 1_600, "sphere {sphere}");
        assert!(ellipsoid < 5_000, "ellipsoid {ellipsoid}");
        assert!(rosenbrock < 9_000, "rosenbrock {rosenbrock}");
    }

    #[test]
    fn the_search_does_not_care_about_rotations() {
        // An ellipsoid along the diagonal costs about what it costs along the axes.
        let long = |x: &[f64]| 1e4 * x[0] * x[0] + x[1] * x[1];
        let turned = |x: &[f64]| {
            let (a, b) = ((x[0] + x[1]) * 0.5f64.sqrt(), (x[0] - x[1]) * 0.5f64.sqrt());
            1e4 * a * a + b * b
        };
        let total = |loss: &dyn Fn(&[f64]) -> f64| -> usize { (0..10).map(|seed| evaluations(2, seed, loss)).sum() };
        let (along, across) = (total(&long) as f64, total(&turned) as f64);
        assert!(across < 1.3 * along && along < 1.3 * across, "{along} {across}");
    }
}
