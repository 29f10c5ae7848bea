//! A Parzen estimator over points of a search space: a mixture of products, one kernel per observed trial and a prior.
//!
//! The density of a point `x` (Watanabe 2023, eqs. 6 to 8, in the form of Optuna 5's multivariate sampler):
//!
//! ```text
//! p(x) = sum_k w_k prod_d kernel_kd(x_d) / sum_k w_k        k over trials and, last, the prior
//! continuous  normal(mu_kd, sigma_kd) truncated to [0, 1]
//! ordered     the mass of that truncated normal on the cell of x_d
//! choice      ((x_d = mu_kd) + a) / (1 + C a), a = prior weight / kernels;  C choices
//! ```
//!
//! - The prior kernel is the normal with mean 1/2 and deviation 1, truncated, and the uniform choice.
//! - `sigma_kd` is the larger distance from `mu_kd` to its two neighbours among the observations of that axis; the
//!   outermost have one neighbour, a single one has the ends 0 and 1 (Bergstra et al. 2011). It is clipped to at most 1 and at
//!   least a bound that the owner sets ([`Parzen::with_least_sigma`]) or `1 / min(100, 1 + kernels)`, hyperopt's "magic
//!   clip".
//! - A parameter that is inactive in a trial has the uniform kernel there; one that is inactive in `x` is left out of the
//!   product. So each conditional density sums to 1, a trial tells something about every branch that shares its active
//!   parameters, and a branch that nobody has tried is drawn uniformly.
//!
//! Kernels stand in the order in which they were added and are updated in place, so that telling one more trial costs a
//! binary search and a shift of 4-byte indices per axis; masses of cells are kept, and follow the kernels that change.
//! What is updated in place equals, bit for bit, what is built anew.

use std::collections::BTreeMap;

use crossbook_engine::rng::Rng;

use super::normal::{SQRT_2PI, exp, exp_roughly, mass};
use crate::space::{Coordinate, Domain};

/// One axis of a space, as an estimator sees it.
#[derive(Debug, Clone)]
pub(super) enum Axis {
    /// Any number of `[0, 1]`.
    Real,
    /// Cells in their natural order; a point is on the centre of one.
    Ordered(Domain),
    /// So many choices without an order.
    Choice(u64),
    /// One cell: nothing to choose.
    Still,
}

impl Axis {
    pub(super) fn of(domain: &Domain) -> Axis {
        match domain.coordinate() {
            Coordinate::Continuous => Axis::Real,
            Coordinate::Ordered(1) | Coordinate::Choice(1) => Axis::Still,
            Coordinate::Ordered(_) => Axis::Ordered(domain.clone()),
            Coordinate::Choice(choices) => Axis::Choice(choices),
        }
    }
}

/// Cells narrower than this part of the least deviation take the density at their centre times their width, which is then
/// the mass to about 1e-3.
const NARROW: f64 = 0.125;

/// A kernel's mass on a cell below this counts as none, beside the prior's: products of such numbers leave the range in
/// which a processor is fast.
const NOTHING: f64 = 1e-60;
/// The logarithm below which an exponential counts as none, for the same reason.
const NOTHING_LOG: f64 = -100.0;

/// Masses kept per axis; beyond them the axis begins anew. 8 MiB.
const KEPT: usize = 1 << 20;

/// Masses of cells of an ordered axis, kept from one point to the next: a kernel's changes only when its deviation does,
/// and the candidates of an axis fall on few cells.
#[derive(Debug, Clone, Default)]
struct Masses {
    /// By cell: masses by kernel, and how many of `changes` they know.
    cells: BTreeMap<u64, (Vec<f64>, usize)>,
    /// Kernels that were changed, oldest first.
    changes: Vec<u32>,
}

impl Masses {
    fn changed(&mut self, kernel: usize) {
        if !self.cells.is_empty() {
            self.changes.push(kernel as u32);
        }
    }
}

/// The kernels' values on one axis, by kernel.
#[derive(Debug, Clone, Default)]
struct Column {
    /// Where the trial lies on this axis.
    mu: Vec<f64>,
    /// `1 / sigma`; 0 where the parameter is inactive or the kernel is off.
    inverse: Vec<f64>,
    /// `-ln(sigma sqrt(2 pi) z)` with `z` the normal's mass on `[0, 1]`; 0 where `inverse` is 0.
    log_scale: Vec<f64>,
    /// Kernels with an observation on this axis that are on, by `mu`, then by number.
    sorted: Vec<u32>,
    /// The bound on deviations from below, if it was set.
    least: Option<f64>,
    masses: Masses,
}

/// A Parzen estimator; see the module.
#[derive(Debug, Clone)]
pub(super) struct Parzen {
    prior_weight: f64,
    columns: Vec<Column>,
    /// By kernel: the sum of its `log_scale`; `fresh` says whether it is up to date.
    log_scale: Vec<f64>,
    fresh: bool,
    /// By kernel: its weight, 0 when it is off.
    weight: Vec<f64>,
    /// The sum of all weights, the prior's among them.
    total: f64,
    /// Kernels that are on.
    on: usize,
}

/// Buffers that asks use again.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    squares: Vec<f64>,
    factors: Vec<f64>,
    scales: Vec<f64>,
}

impl Parzen {
    pub(super) fn new(axes: usize, prior_weight: f64) -> Parzen {
        Parzen {
            prior_weight,
            columns: vec![Column::default(); axes],
            log_scale: Vec::new(),
            fresh: true,
            weight: Vec::new(),
            total: prior_weight,
            on: 0,
        }
    }

    /// An estimator whose deviations are at least this, whatever the number of kernels.
    pub(super) fn with_least_sigma(axes: usize, prior_weight: f64, least: f64) -> Parzen {
        let mut parzen = Parzen::new(axes, prior_weight);
        for column in &mut parzen.columns {
            column.least = Some(least);
        }
        parzen
    }

    /// Appends a kernel that is off: it has no weight and is nobody's neighbour.
    pub(super) fn push(&mut self, point: &[f64]) {
        for (column, &u) in self.columns.iter_mut().zip(point) {
            column.mu.push(u);
            column.inverse.push(0.0);
            column.log_scale.push(0.0);
        }
        self.log_scale.push(0.0);
        self.weight.push(0.0);
    }

    /// Turns a kernel on, with a weight above 0.
    pub(super) fn turn_on(&mut self, axes: &[Axis], kernel: usize, weight: f64, active: &[bool]) {
        self.weight[kernel] = weight;
        self.on += 1;
        self.fresh = false;
        for ((column, axis), _) in self.columns.iter_mut().zip(axes).zip(active).filter(|(_, on)| **on) {
            column.turn_on(axis, kernel);
        }
    }

    /// Turns a kernel off again.
    pub(super) fn turn_off(&mut self, axes: &[Axis], kernel: usize, active: &[bool]) {
        self.weight[kernel] = 0.0;
        self.on -= 1;
        self.fresh = false;
        for ((column, axis), _) in self.columns.iter_mut().zip(axes).zip(active).filter(|(_, on)| **on) {
            column.turn_off(axis, kernel);
        }
    }

    /// Brings sums over kernels and axes up to date; to be called after changes and before anything is asked.
    pub(super) fn refresh(&mut self) {
        if self.fresh {
            return;
        }
        self.fresh = true;
        self.total = self.weight.iter().sum::<f64>() + self.prior_weight;
        self.log_scale.fill(0.0);
        for column in &self.columns {
            for (sum, part) in self.log_scale.iter_mut().zip(&column.log_scale) {
                *sum += part;
            }
        }
    }

    /// Draws a point: a kernel by weight, then each axis on its own. Parameters that turn out inactive are drawn as well;
    /// snapping the point discards them.
    pub(super) fn draw(&self, axes: &[Axis], rng: &mut Rng, point: &mut [f64]) {
        let mut left = rng.uniform() * self.total;
        let kernel = self.weight.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        for ((axis, column), u) in axes.iter().zip(&self.columns).zip(point) {
            *u = match (axis, kernel) {
                (Axis::Still, _) => 0.5,
                (Axis::Choice(choices), kernel) => {
                    let choices_f = *choices as f64;
                    let (own, other) = choice_factors(*choices, self.smoothing());
                    match kernel.filter(|&kernel| column.inverse[kernel] > 0.0) {
                        // The kernel's own choice has what it has beyond the others; the rest is even.
                        Some(kernel) if rng.uniform() < own - other => column.mu[kernel],
                        _ => (rng.below(*choices) as f64 + 0.5) / choices_f,
                    }
                }
                (Axis::Real | Axis::Ordered(_), Some(kernel)) if column.inverse[kernel] > 0.0 => {
                    truncated(rng, column.mu[kernel], 1.0 / column.inverse[kernel])
                }
                (Axis::Real | Axis::Ordered(_), Some(_)) => rng.uniform(),
                (Axis::Real | Axis::Ordered(_), None) => truncated(rng, 0.5, 1.0),
            };
        }
    }

    /// What a kernel adds to every choice, against 1 for its own.
    fn smoothing(&self) -> f64 {
        self.prior_weight / (self.on as f64 + 1.0)
    }

    /// The logarithm of the density at a snapped point: per unit of the continuous axes, mass on the others.
    pub(super) fn log_density(&mut self, axes: &[Axis], point: &[f64], active: &[bool], scratch: &mut Scratch) -> f64 {
        let kernels = self.weight.len();
        let Scratch {
            squares,
            factors,
            scales,
        } = scratch;
        squares.clear();
        squares.resize(kernels, 0.0);
        factors.clear();
        factors.extend_from_slice(&self.weight);
        let mut prior = self.prior_weight;
        // Factors that every kernel has.
        let mut common = 0.0;
        let mut partial = false;
        let smoothing = self.smoothing();
        for (((axis, column), &u), &active) in axes.iter().zip(&mut self.columns).zip(point).zip(active) {
            if !active {
                partial |= !matches!(axis, Axis::Still | Axis::Choice(_));
                continue;
            }
            match axis {
                Axis::Still => {}
                Axis::Real => {
                    add_squares(squares, column, u);
                    prior *= exp(-0.5 * (u - 0.5) * (u - 0.5)) / (SQRT_2PI * PRIOR_MASS);
                }
                Axis::Ordered(domain) => {
                    let cell = domain.cell(u);
                    let (low, high) = domain.edges(cell);
                    if high - low < NARROW * column.least_sigma() {
                        add_squares(squares, column, u);
                        common += libm::log(high - low);
                        prior *= exp(-0.5 * (u - 0.5) * (u - 0.5)) / (SQRT_2PI * PRIOR_MASS);
                    } else {
                        for (factor, mass) in factors.iter_mut().zip(column.masses(cell, low, high)) {
                            *factor *= mass;
                        }
                        prior *= mass(low - 0.5, high - 0.5) / PRIOR_MASS;
                    }
                }
                Axis::Choice(choices) => {
                    let (own, other) = choice_factors(*choices, smoothing);
                    let even = 1.0 / *choices as f64;
                    multiply_choices(factors, column, u, own, other, even);
                    prior *= even;
                }
            }
        }
        let log_scale = if partial {
            self.sum_active_scales(active, scales);
            scales
        } else {
            &self.log_scale
        };
        // The largest exponent is taken out, so that nothing overflows in spaces of any size.
        for (square, log_scale) in squares.iter_mut().zip(log_scale) {
            *square = log_scale - 0.5 * *square;
        }
        let largest = largest(squares);
        let sum = weighted_exponentials(squares, factors, largest) + prior * exp(-largest);
        libm::log(sum / self.total) + largest + common
    }

    /// Deviations on an axis, by kernel.
    #[cfg(test)]
    pub(super) fn sigmas(&self, axis: usize) -> Vec<f64> {
        self.columns[axis].inverse.iter().map(|inverse| 1.0 / inverse).collect()
    }

    fn sum_active_scales(&self, active: &[bool], sums: &mut Vec<f64>) {
        sums.clear();
        sums.resize(self.weight.len(), 0.0);
        for (column, _) in self.columns.iter().zip(active).filter(|(_, active)| **active) {
            for (sum, part) in sums.iter_mut().zip(&column.log_scale) {
                *sum += part;
            }
        }
    }
}

/// The mass of the prior's normal (mean 1/2, deviation 1) on `[0, 1]`: `erf(1 / sqrt 8)`.
const PRIOR_MASS: f64 = 0.382_924_922_548_025_6;

impl Column {
    /// Least deviation: as set, or `1 / min(100, 1 + kernels)`, the prior being one of the kernels.
    fn least_sigma(&self) -> f64 {
        self.least.unwrap_or(1.0 / (self.sorted.len() as f64 + 2.0).min(100.0))
    }

    fn rank(&self, kernel: usize) -> usize {
        let key = |at: u32| (self.mu[at as usize], at);
        let own = key(kernel as u32);
        self.sorted
            .partition_point(|&at| key(at).0.total_cmp(&own.0).then(at.cmp(&own.1)).is_lt())
    }

    fn turn_on(&mut self, axis: &Axis, kernel: usize) {
        match axis {
            Axis::Still => {}
            Axis::Choice(_) => self.inverse[kernel] = 1.0,
            Axis::Real | Axis::Ordered(_) => {
                let before = self.least_sigma();
                let rank = self.rank(kernel);
                self.sorted.insert(rank, kernel as u32);
                self.update(rank, before);
            }
        }
    }

    fn turn_off(&mut self, axis: &Axis, kernel: usize) {
        self.inverse[kernel] = 0.0;
        self.log_scale[kernel] = 0.0;
        self.masses.changed(kernel);
        if let Axis::Real | Axis::Ordered(_) = axis {
            let before = self.least_sigma();
            let rank = self.rank(kernel);
            self.sorted.remove(rank);
            self.update(rank, before);
        }
    }

    /// Sets the deviations that a change at this rank concerns: the neighbours', or all when the least one moved.
    fn update(&mut self, rank: usize, least_before: f64) {
        let ranks = if self.least_sigma() == least_before {
            rank.saturating_sub(1)..(rank + 2).min(self.sorted.len())
        } else {
            0..self.sorted.len()
        };
        for rank in ranks {
            self.set_sigma(rank);
        }
    }

    fn set_sigma(&mut self, rank: usize) {
        let kernel = self.sorted[rank] as usize;
        let mu = self.mu[kernel];
        let last = self.sorted.len() - 1;
        let at = |rank: usize| self.mu[self.sorted[rank] as usize];
        let gap = match rank {
            _ if last == 0 => f64::max(mu, 1.0 - mu),
            0 => at(1) - mu,
            rank if rank == last => mu - at(rank - 1),
            rank => f64::max(mu - at(rank - 1), at(rank + 1) - mu),
        };
        let inverse = 1.0 / gap.clamp(self.least_sigma(), 1.0);
        if inverse == self.inverse[kernel] {
            return;
        }
        let root = std::f64::consts::FRAC_1_SQRT_2 * inverse;
        let z = 0.5 * (libm::erf((1.0 - mu) * root) + libm::erf(mu * root));
        self.inverse[kernel] = inverse;
        self.log_scale[kernel] = libm::log(inverse / (SQRT_2PI * z));
        self.masses.changed(kernel);
    }

    /// By kernel: the mass on a cell that reaches from `low` to `high`, before `log_scale`.
    fn masses(&mut self, cell: u64, low: f64, high: f64) -> &[f64] {
        let kernels = self.mu.len();
        let Masses { cells, changes } = &mut self.masses;
        if (cells.len() + 1) * kernels > KEPT {
            cells.clear();
            changes.clear();
        }
        let (masses, known) = cells.entry(cell).or_default();
        let news = changes.len() - *known;
        *known = changes.len();
        if news >= kernels {
            masses.clear();
        }
        let settled = masses.len();
        let rest = self.mu[settled..].iter().zip(&self.inverse[settled..]);
        masses.extend(rest.map(|(&mu, &inverse)| cell_mass(mu, inverse, low, high)));
        for &kernel in changes[changes.len() - news..]
            .iter()
            .filter(|&&kernel| (kernel as usize) < settled)
        {
            let kernel = kernel as usize;
            masses[kernel] = cell_mass(self.mu[kernel], self.inverse[kernel], low, high);
        }
        masses
    }
}

/// Probabilities that a kernel gives to its own choice and to each other one.
fn choice_factors(choices: u64, smoothing: f64) -> (f64, f64) {
    let sum = 1.0 + choices as f64 * smoothing;
    ((1.0 + smoothing) / sum, smoothing / sum)
}

/// A draw of the normal truncated to `[0, 1]`, by rejection: with the mean inside and a deviation of at most 1, at least a
/// third of the draws are taken.
fn truncated(rng: &mut Rng, mu: f64, sigma: f64) -> f64 {
    loop {
        let u = mu + sigma * rng.normal();
        if (0.0..=1.0).contains(&u) {
            return u;
        }
    }
}

fn add_squares(squares: &mut [f64], column: &Column, u: f64) {
    for ((square, mu), inverse) in squares.iter_mut().zip(&column.mu).zip(&column.inverse) {
        let z = (u - mu) * inverse;
        *square += z * z;
    }
}

/// A kernel's mass on `[low, high]`; by `log_scale`, which stands in the exponent, it is divided by the mass on `[0, 1]`, so
/// `sigma sqrt(2 pi)` is put back.
#[inline(always)]
fn cell_mass(mu: f64, inverse: f64, low: f64, high: f64) -> f64 {
    let on = mass((low - mu) * inverse, (high - mu) * inverse) * SQRT_2PI / inverse;
    let on = if on > NOTHING { on } else { 0.0 };
    if inverse > 0.0 { on } else { high - low }
}

fn multiply_choices(factors: &mut [f64], column: &Column, u: f64, own: f64, other: f64, even: f64) {
    for ((factor, mu), inverse) in factors.iter_mut().zip(&column.mu).zip(&column.inverse) {
        let on = if *mu == u { own } else { other };
        *factor *= if *inverse > 0.0 { on } else { even };
    }
}

/// The largest of the exponents and 0, in four lanes.
fn largest(exponents: &[f64]) -> f64 {
    let larger = |a: f64, b: f64| if a > b { a } else { b };
    let mut lanes = [0.0; 4];
    let chunks = exponents.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..4 {
            lanes[lane] = larger(chunk[lane], lanes[lane]);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(0.0, larger)
}

/// `exp`, or nothing.
#[inline(always)]
fn exp_or_nothing(x: f64) -> f64 {
    let e = exp_roughly(x);
    if x > NOTHING_LOG { e } else { 0.0 }
}

/// `sum of factor * exp(exponent - largest)`, in four interleaved sums so that vector units can be used. In several
/// dimensions most kernels are far away: four of them that come to nothing are passed over.
fn weighted_exponentials(exponents: &[f64], factors: &[f64], largest: f64) -> f64 {
    let mut sums = [0.0; 4];
    let (heads, tails) = (exponents.chunks_exact(4), factors.chunks_exact(4));
    let rest = heads.remainder().iter().zip(tails.remainder());
    for (exponents, factors) in heads.zip(tails) {
        let near = exponents
            .iter()
            .fold(false, |near, exponent| near | (exponent - largest > NOTHING_LOG));
        if !near {
            continue;
        }
        for lane in 0..4 {
            sums[lane] += factors[lane] * exp_or_nothing(exponents[lane] - largest);
        }
    }
    for (lane, (exponent, factor)) in rest.enumerate() {
        sums[lane] += factor * exp_or_nothing(exponent - largest);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}
