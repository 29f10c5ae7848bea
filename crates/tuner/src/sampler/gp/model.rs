//! The Gaussian process: kernel, marginal likelihood, posterior.
//!
//! Kernel: Matern 5/2 with a length scale per axis (Rasmussen and Williams, "Gaussian Processes for Machine Learning",
//! 2006, equation 4.17), `k(r) = (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)`, `r^2 = sum d_i^2 / l_i^2`. On a choice `d_i` is 0
//! for equal and 1 for different values, which is the distance of the corners of a simplex, so the kernel stays positive
//! definite. Points are snapped before they come here: a whole number is compared as the whole number that it is.
//!
//! The mean is constant, estimated by generalised least squares; the signal variance is integrated out under an
//! inverse-gamma prior worth [`PRIOR_COUNT`] observations of unit variance. What is searched is the logarithm of the length
//! scales and of the noise variance in units of the signal variance, by maximum a posteriori.

use super::linalg::{self, BLOCK};
use super::minimise::minimise;

/// Observations that the prior of the signal variance is worth.
const PRIOR_COUNT: f64 = 2.0;
const SQRT_5: f64 = 2.236_067_977_499_79;

/// How an axis measures distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// The difference of coordinates.
    Number,
    /// Equal or different.
    Choice,
}

impl Axis {
    #[inline]
    fn square(self, a: f64, b: f64) -> f64 {
        match self {
            Axis::Number => (a - b) * (a - b),
            Axis::Choice => f64::from(u8::from(a != b)),
        }
    }
}

/// What is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyper {
    /// Logarithm of each axis' length scale, then of the noise ratio.
    pub logs: Vec<f64>,
}

impl Hyper {
    /// One length scale for all axes, and the logarithm of the noise ratio.
    pub fn uniform(axes: usize, length: f64, noise: f64) -> Hyper {
        let mut logs = vec![libm::log(length); axes];
        logs.push(noise);
        Hyper { logs }
    }
}

/// Priors of the fitted logarithms: normal, independent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Mean and standard deviation of the logarithm of a length scale.
    pub length: (f64, f64),
    /// The same of the noise ratio.
    pub noise: (f64, f64),
}

impl Prior {
    /// Length scales grow with the square root of the number of axes, as in Hvarfner, Hellsten and Nardi, "Vanilla Bayesian
    /// optimization performs great in high dimensions", 2024, but are shorter and surer than theirs (a mean of
    /// `sqrt(2) - 3` for `sqrt(2)`, a deviation of 0.8 for `sqrt(3)`): a process that takes an axis it has hardly seen for
    /// irrelevant stops looking too soon. The noise is expected to be small, and is not sure of it.
    pub fn scaled(axes: usize) -> Prior {
        Prior {
            length: (
                std::f64::consts::SQRT_2 - 3.0 + 0.5 * libm::log(axes.max(1) as f64),
                0.8,
            ),
            noise: (-10.0, 4.0),
        }
    }
}

/// Bounds of the logarithm of a length scale (0.01 to 1000); outside, the objective grows steeply and the kernel stays.
const LENGTH_LOGS: (f64, f64) = (-4.6, 6.9);
/// The same for the noise ratio: the floor of 1e-8 keeps factors well conditioned.
const NOISE_LOGS: (f64, f64) = (-18.420_680_743_952_367, 1.0);

/// Observations in the form that fitting needs.
pub struct Data {
    axes: Vec<Axis>,
    rows: Vec<Vec<f64>>,
    targets: Vec<f64>,
    /// Squared distances of each pair `j < i`, axis by axis.
    squares: Vec<Vec<f64>>,
}

impl Data {
    /// Takes the points; targets come by [`Data::set_targets`].
    pub fn new(axes: &[Axis], rows: Vec<Vec<f64>>) -> Data {
        let squares = axes
            .iter()
            .enumerate()
            .map(|(axis, kind)| {
                let mut pairs = Vec::with_capacity(rows.len() * rows.len() / 2);
                for (i, a) in rows.iter().enumerate() {
                    pairs.extend(rows[..i].iter().map(|b| kind.square(a[axis], b[axis])));
                }
                pairs
            })
            .collect();
        Data {
            axes: axes.to_vec(),
            targets: vec![0.0; rows.len()],
            rows,
            squares,
        }
    }

    /// Sets the observations, one per point: of mean near 0 and deviation near 1.
    pub fn set_targets(&mut self, targets: Vec<f64>) {
        self.targets = targets;
    }

    /// The negative logarithm of the posterior of the hyper-parameters, up to a constant, per observation; writes its
    /// gradient.
    pub fn objective(&self, prior: &Prior, logs: &[f64], gradient: &mut [f64]) -> f64 {
        let (n, d) = (self.rows.len(), self.axes.len());
        let scale = 1.0 / n as f64;
        let mut kept = logs.to_vec();
        let mut value = 0.0;
        for (index, log) in kept.iter_mut().enumerate() {
            let ((low, high), (mean, deviation)) = if index < d {
                (LENGTH_LOGS, prior.length)
            } else {
                (NOISE_LOGS, prior.noise)
            };
            let inside = log.clamp(low, high);
            let outside = *log - inside;
            let z = (*log - mean) / deviation;
            value += 0.5 * z * z + 50.0 * outside * outside;
            gradient[index] = z / deviation + 100.0 * outside;
            *log = inside;
        }
        let noise = libm::exp(kept[d]);
        let weights: Vec<f64> = kept[..d].iter().map(|log| libm::exp(-2.0 * log)).collect();

        let pairs = n * (n - 1) / 2;
        let mut r2 = vec![0.0; pairs];
        for (squares, &weight) in self.squares.iter().zip(&weights) {
            for (own, square) in r2.iter_mut().zip(squares) {
                *own += weight * square;
            }
        }
        // The factor of d^2 / l^2 in the derivative by the logarithm of a length scale takes the place of r^2.
        let mut l = vec![0.0; n * n];
        let mut pair = 0;
        for i in 0..n {
            for own in &mut l[i * n..i * n + i] {
                let r = SQRT_5 * r2[pair].sqrt();
                let decay = libm::exp(-r);
                *own = (1.0 + r + r * r * (1.0 / 3.0)) * decay;
                r2[pair] = (5.0 / 3.0) * (1.0 + r) * decay;
                pair += 1;
            }
            l[i * n + i] = 1.0 + noise;
        }
        let slopes = r2;
        if !linalg::cholesky(&mut l, n) {
            gradient.fill(0.0);
            return 1e10;
        }
        let (mut scratch, mut inverse) = (vec![0.0; n * n], vec![0.0; n * n]);
        linalg::inverse(&l, n, &mut scratch, &mut inverse);
        let (alpha, _, square) = residual(&l, n, &self.targets);
        let count = n as f64 + PRIOR_COUNT;
        let log_det: f64 = 2.0 * (0..n).map(|i| libm::log(l[i * n + i])).sum::<f64>();
        value += 0.5 * count * libm::log(square + PRIOR_COUNT) + 0.5 * log_det;

        let factor = count / (square + PRIOR_COUNT);
        // From here `scratch` holds, pair by pair, the derivative of the value by the kernel times that of the kernel.
        pair = 0;
        for i in 0..n {
            for j in 0..i {
                let by_kernel = inverse[i * n + j] - factor * alpha[i] * alpha[j];
                scratch[pair] = by_kernel * slopes[pair];
                pair += 1;
            }
        }
        // Outside its bounds a logarithm no longer changes the kernel.
        let free = |index: usize| kept[index] == logs[index];
        for (axis, (squares, &weight)) in self.squares.iter().zip(&weights).enumerate() {
            if free(axis) {
                gradient[axis] += weight * linalg::dot(&scratch[..pairs], squares);
            }
        }
        let trace: f64 = (0..n).map(|i| inverse[i * n + i] - factor * alpha[i] * alpha[i]).sum();
        if free(d) {
            gradient[d] += 0.5 * noise * trace;
        }

        for own in gradient.iter_mut() {
            *own *= scale;
        }
        value * scale
    }

    /// Improves the hyper-parameters from each start and returns the best, with its objective.
    pub fn fit(&self, prior: &Prior, starts: &[(Hyper, usize)]) -> Option<(Hyper, f64)> {
        let mut best: Option<(Hyper, f64)> = None;
        for (start, evaluations) in starts {
            let (logs, value) = minimise(&start.logs, *evaluations, 1e-4, |logs, gradient| {
                self.objective(prior, logs, gradient)
            });
            if value < best.as_ref().map_or(f64::INFINITY, |(_, least)| *least) {
                best = Some((Hyper { logs }, value));
            }
        }
        best
    }
}

/// `R^-1 (y - mean)`, the mean by generalised least squares, and `(y - mean)^T R^-1 (y - mean)`.
fn residual(l: &[f64], n: usize, targets: &[f64]) -> (Vec<f64>, f64, f64) {
    let mut ones = vec![1.0; n];
    linalg::solve_lower(l, n, &mut ones);
    let mut half = targets.to_vec();
    linalg::solve_lower(l, n, &mut half);
    let mean = linalg::dot(&ones, &half) / linalg::dot(&ones, &ones);
    for (own, one) in half.iter_mut().zip(&ones) {
        *own -= mean * one;
    }
    let square = linalg::dot(&half, &half);
    linalg::solve_upper(l, n, &mut half);
    (half, mean, square)
}

/// The posterior of a fitted process.
pub struct Model {
    axes: Vec<Axis>,
    rows: Vec<Vec<f64>>,
    weights: Vec<f64>,
    l: Vec<f64>,
    alpha: Vec<f64>,
    mean: f64,
    /// Signal variance.
    variance: f64,
    /// Noise variance in units of the signal variance.
    ratio: f64,
}

impl Model {
    /// Conditions on the observations. `None` if the kernel matrix is not positive definite to working accuracy.
    pub fn new(axes: &[Axis], rows: Vec<Vec<f64>>, targets: &[f64], hyper: &Hyper) -> Option<Model> {
        let (n, d) = (rows.len(), axes.len());
        let weights = weights(hyper);
        let ratio = libm::exp(hyper.logs[d].clamp(NOISE_LOGS.0, NOISE_LOGS.1));
        let mut l = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..i {
                l[i * n + j] = correlation(axes, &weights, &rows[i], &rows[j]);
            }
            l[i * n + i] = 1.0 + ratio;
        }
        if !linalg::cholesky(&mut l, n) {
            return None;
        }
        let (alpha, mean, square) = residual(&l, n, targets);
        let variance = (square + PRIOR_COUNT) / (n as f64 + PRIOR_COUNT);
        Some(Model {
            axes: axes.to_vec(),
            rows,
            weights,
            l,
            alpha,
            mean,
            variance,
            ratio,
        })
    }

    /// The same process, also conditioned on points whose observations are taken to be their posterior means: the mean stays
    /// as it is, the variance shrinks around them.
    pub fn with_pending(mut self, pending: &[Vec<f64>]) -> Option<Model> {
        let (old, n) = (self.rows.len(), self.rows.len() + pending.len());
        let mut l = vec![0.0; n * n];
        for i in 0..old {
            l[i * n..i * n + old].copy_from_slice(&self.l[i * old..(i + 1) * old]);
        }
        for (k, point) in pending.iter().enumerate() {
            let i = old + k;
            let mut row: Vec<f64> = self
                .rows
                .iter()
                .map(|other| correlation(&self.axes, &self.weights, point, other))
                .collect();
            for j in 0..i {
                row[j] = (row[j] - linalg::dot(&row[..j], &l[j * n..j * n + j])) / l[j * n + j];
            }
            let pivot = 1.0 + self.ratio - linalg::dot(&row, &row);
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            l[i * n..i * n + i].copy_from_slice(&row);
            l[i * n + i] = pivot.sqrt();
            self.rows.push(point.to_vec());
            // An observation at its own prediction has no weight in the mean.
            self.alpha.push(0.0);
        }
        self.l = l;
        Some(self)
    }

    /// Posterior mean and variance (without noise) at each point.
    pub fn predict_many(&self, points: &[Vec<f64>]) -> Vec<(f64, f64)> {
        let n = self.rows.len();
        let mut answers = Vec::with_capacity(points.len());
        let mut k = vec![[0.0; BLOCK]; n];
        for block in points.chunks(BLOCK) {
            let mut means = [self.mean; BLOCK];
            for (lane, point) in block.iter().enumerate() {
                for (index, row) in self.rows.iter().enumerate() {
                    let value = correlation(&self.axes, &self.weights, point, row);
                    k[index][lane] = value;
                    means[lane] += value * self.alpha[index];
                }
            }
            linalg::solve_lower_block(&self.l, n, &mut k);
            let mut left = [1.0; BLOCK];
            for row in &k {
                for lane in 0..BLOCK {
                    left[lane] -= row[lane] * row[lane];
                }
            }
            answers.extend((0..block.len()).map(|lane| (means[lane], self.positive(left[lane]))));
        }
        answers
    }

    /// Posterior mean and variance with their gradients by the axes that are numbers (0 on the others).
    pub fn predict_with_gradient(&self, point: &[f64], by_mean: &mut [f64], by_variance: &mut [f64]) -> (f64, f64) {
        let n = self.rows.len();
        let (mut k, mut slopes) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for row in &self.rows {
            let (value, slope) = kernel(square(&self.axes, &self.weights, point, row));
            k.push(value);
            slopes.push(slope);
        }
        let mean = self.mean + linalg::dot(&k, &self.alpha);
        linalg::solve_lower(&self.l, n, &mut k);
        let left = 1.0 - linalg::dot(&k, &k);
        linalg::solve_upper(&self.l, n, &mut k);
        by_mean.fill(0.0);
        by_variance.fill(0.0);
        for (axis, kind) in self.axes.iter().enumerate() {
            if *kind == Axis::Choice {
                continue;
            }
            let (mut of_mean, mut of_variance) = (0.0, 0.0);
            for (index, row) in self.rows.iter().enumerate() {
                let slope = slopes[index] * (point[axis] - row[axis]);
                of_mean += slope * self.alpha[index];
                of_variance += slope * k[index];
            }
            by_mean[axis] = of_mean * self.weights[axis];
            by_variance[axis] = -2.0 * self.variance * of_variance * self.weights[axis];
        }
        (mean, self.positive(left))
    }

    /// Rounding may take a variance below zero; it never is below the numerical noise of the factor.
    fn positive(&self, left: f64) -> f64 {
        self.variance * left.max(1e-12)
    }
}

/// The weights `1 / l^2` of the axes.
pub fn weights(hyper: &Hyper) -> Vec<f64> {
    let lengths = hyper.logs.len() - 1;
    hyper.logs[..lengths]
        .iter()
        .map(|log| libm::exp(-2.0 * log.clamp(LENGTH_LOGS.0, LENGTH_LOGS.1)))
        .collect()
}

/// Prior correlation of the values at two points.
pub fn correlation(axes: &[Axis], weights: &[f64], a: &[f64], b: &[f64]) -> f64 {
    kernel(square(axes, weights, a, b)).0
}

#[inline]
fn square(axes: &[Axis], weights: &[f64], a: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    for axis in 0..axes.len() {
        sum += weights[axis] * axes[axis].square(a[axis], b[axis]);
    }
    sum
}

/// The kernel at a squared distance, and its derivative by a coordinate divided by `(difference / l^2)`.
#[inline]
fn kernel(r2: f64) -> (f64, f64) {
    let r = SQRT_5 * r2.sqrt();
    let decay = libm::exp(-r);
    (
        (1.0 + r + r * r * (1.0 / 3.0)) * decay,
        -(5.0 / 3.0) * (1.0 + r) * decay,
    )
}
