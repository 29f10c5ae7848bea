//! Where the acquisition is largest: candidates all over the space and near the best trials, then local ascent.
//!
//! 1. Candidates: a Kronecker sequence over the whole space (Roberts 2018: multiples of powers of the generalised golden
//!    ratio, with a random shift), and perturbations of the best trials at several scales. A finite space of at most
//!    [`FEW`] points is looked at whole instead.
//! 2. The best candidates are improved in turn: L-BFGS on the coordinates that are numbers (a change of variables keeps them
//!    in the cube), then one coordinate at a time over the values of ints, steps and choices, until neither helps.
//!
//! Constraints are kept by feasibility: an infeasible candidate is dropped, and an ascent that leaves the feasible set is
//! cut back towards its start.

use std::cell::RefCell;

use crossbook_engine::rng::Rng;

use super::acquisition::log_ei;
use super::minimise::minimise;
use super::model::Model;
use crate::space::{Cardinality, Coordinate, Space};

/// Finite spaces up to this size are looked at whole.
const FEW: u64 = 2000;
/// An ordered axis with more cells is followed by its gradient and then put on a cell.
const DENSE: u64 = 16;
/// Choices up to this size are tried value by value.
const ALL_VALUES: u64 = 12;
/// Rounds of ascent on numbers and search along discrete axes.
const ROUNDS: usize = 3;

/// What is maximised, and where.
pub struct Search<'a> {
    /// The space.
    pub space: &'a Space,
    /// Parameter of each axis of the model.
    pub places: &'a [usize],
    /// The posterior.
    pub model: &'a Model,
    /// The loss to improve on, in the model's unit.
    pub best: f64,
    /// What must not be proposed: points that were asked before, among others.
    pub excluded: &'a dyn Fn(&[f64]) -> bool,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Candidates over the whole space.
    pub global: usize,
    /// Candidates around each of the centres.
    pub local: usize,
    /// Candidates that are improved.
    pub starts: usize,
    /// Evaluations of each ascent.
    pub evaluations: usize,
}

impl Search<'_> {
    /// The best feasible point found that is not excluded, with its log expected improvement. `centres` are good trials, best first.
    pub fn run(&self, centres: &[Vec<f64>], effort: Effort, rng: &mut Rng) -> Option<(Vec<f64>, f64)> {
        if let Cardinality::Finite(count) = self.space.cardinality()
            && count <= FEW
        {
            let levels: Vec<u64> = (0..self.space.dimensions())
                .map(|index| self.cells(index).max(1))
                .collect();
            let mut points = Vec::new();
            self.space.walk(&levels, &mut |point| {
                points.push(point.to_vec());
                true
            });
            let scores = self.scores(&points);
            let (at, score) = largest(&scores)?;
            return Some((points.swap_remove(at), score));
        }
        let mut points = self.global(effort.global, rng);
        let near = points.len();
        for centre in centres {
            self.around(centre, effort.local, rng, &mut points);
        }
        let mut scores = self.scores(&points);
        let mut best: Option<(Vec<f64>, f64)> = None;
        for start in 0..effort.starts {
            // Half of the starts come from all over the space, so that no pit near the best trials takes them all.
            let range = if start % 2 == 0 { 0..points.len() } else { 0..near };
            let Some((at, score)) = largest(&scores[range.clone()]) else {
                continue;
            };
            let at = range.start + at;
            scores[at] = f64::NEG_INFINITY;
            let (point, score) = self.improve(points[at].clone(), score, effort.evaluations);
            if best.as_ref().is_none_or(|(_, most)| score > *most) {
                best = Some((point, score));
            }
        }
        best
    }

    fn cells(&self, index: usize) -> u64 {
        match self.space.coordinate(index) {
            Coordinate::Continuous => 0,
            Coordinate::Ordered(cells) | Coordinate::Choice(cells) => cells,
        }
    }

    fn row(&self, point: &[f64]) -> Vec<f64> {
        self.places.iter().map(|&place| point[place]).collect()
    }

    /// Log expected improvement of each point; minus infinity where it was seen or is infeasible.
    fn scores(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let rows: Vec<Vec<f64>> = points.iter().map(|point| self.row(point)).collect();
        let predictions = self.model.predict_many(&rows);
        points
            .iter()
            .zip(predictions)
            .map(|(point, (mean, variance))| {
                if !self.space.feasible(point) || (self.excluded)(point) {
                    return f64::NEG_INFINITY;
                }
                log_ei(mean, variance.sqrt(), self.best).0
            })
            .collect()
    }

    fn global(&self, count: usize, rng: &mut Rng) -> Vec<Vec<f64>> {
        let d = self.space.dimensions();
        let shift: Vec<f64> = (0..d).map(|_| rng.uniform()).collect();
        let steps = kronecker(d);
        let mut points = Vec::with_capacity(2 * count);
        for index in 0..count {
            let mut point: Vec<f64> = shift
                .iter()
                .zip(&steps)
                .map(|(shift, step)| fraction(shift + (index + 1) as f64 * step))
                .collect();
            self.space.snap(&mut point);
            if self.space.feasible(&point) {
                points.push(point);
            } else if let Ok(point) = self.space.sample(rng) {
                points.push(point);
            }
        }
        points
    }

    fn around(&self, centre: &[f64], count: usize, rng: &mut Rng, points: &mut Vec<Vec<f64>>) {
        let d = self.space.dimensions();
        for index in 0..count {
            let scale = [0.2, 0.05, 0.0125, 0.003][index % 4];
            // Every second one moves all coordinates, the others a few.
            let share = if index % 2 == 0 { 1.0 } else { 2.0 / d as f64 };
            let mut point = centre.to_vec();
            for (at, u) in point.iter_mut().enumerate() {
                if rng.uniform() >= share {
                    continue;
                }
                let cells = self.cells(at);
                match self.space.coordinate(at) {
                    Coordinate::Choice(_) => {
                        if rng.uniform() < 0.3 {
                            *u = rng.uniform();
                        }
                    }
                    // At least to the neighbouring cell.
                    Coordinate::Ordered(_) => *u += rng.normal() * f64::max(scale, 0.7 / cells as f64),
                    Coordinate::Continuous => *u += rng.normal() * scale,
                }
            }
            self.space.snap(&mut point);
            if self.space.feasible(&point) {
                points.push(point);
            }
        }
    }

    fn improve(&self, mut point: Vec<f64>, mut score: f64, evaluations: usize) -> (Vec<f64>, f64) {
        let active = self.space.active(&point);
        let smooth = |index: usize| match self.space.coordinate(index) {
            Coordinate::Continuous => true,
            Coordinate::Ordered(cells) => cells > DENSE,
            Coordinate::Choice(_) => false,
        };
        let numbers: Vec<usize> = (0..self.places.len())
            .filter(|&axis| active[self.places[axis]] && smooth(self.places[axis]))
            .collect();
        let discrete: Vec<usize> = (0..self.space.dimensions())
            .filter(|&index| self.cells(index) > 1)
            .collect();
        for round in 0..ROUNDS {
            if !numbers.is_empty() {
                self.ascend(&mut point, &mut score, &numbers, evaluations);
            }
            if discrete.is_empty() || !self.step(&mut point, &mut score, &discrete, round) {
                break;
            }
        }
        (point, score)
    }

    /// L-BFGS on some axes; the others stay.
    fn ascend(&self, point: &mut Vec<f64>, score: &mut f64, numbers: &[usize], evaluations: usize) {
        let row = self.row(point);
        let scratch = RefCell::new((row.clone(), vec![0.0; row.len()], vec![0.0; row.len()]));
        // x = sin^2(t) keeps x in the unit interval without a bound on t.
        let angle = |x: f64| libm::asin(x.clamp(1e-4, 1.0 - 1e-4).sqrt());
        let start: Vec<f64> = numbers.iter().map(|&axis| angle(row[axis])).collect();
        let place = |t: &[f64], row: &mut [f64]| {
            for (&axis, &t) in numbers.iter().zip(t) {
                let sine = libm::sin(t);
                row[axis] = sine * sine;
            }
        };
        let (t, _) = minimise(&start, evaluations, 1e-6, |t, gradient| {
            let (row, by_mean, by_variance) = &mut *scratch.borrow_mut();
            place(t, row);
            let (mean, variance) = self.model.predict_with_gradient(row, by_mean, by_variance);
            let deviation = variance.sqrt();
            let (value, of_mean, of_deviation) = log_ei(mean, deviation, self.best);
            for ((own, &axis), &t) in gradient.iter_mut().zip(numbers).zip(t) {
                let slope = of_mean * by_mean[axis] + of_deviation * by_variance[axis] / (2.0 * deviation);
                *own = -slope * libm::sin(2.0 * t);
            }
            -value
        });
        let mut found = row.clone();
        place(&t, &mut found);
        let mut tries = Vec::new();
        // Past a constraint, half of the way may still be feasible.
        for part in [1.0, 0.5, 0.25, 0.125] {
            let mut next = point.clone();
            for &axis in numbers {
                next[self.places[axis]] += part * (found[axis] - row[axis]);
            }
            self.space.snap(&mut next);
            let feasible = self.space.feasible(&next);
            tries.push(next);
            if feasible {
                break;
            }
        }
        self.take_best(point, score, tries);
    }

    fn take_best(&self, point: &mut Vec<f64>, score: &mut f64, mut tries: Vec<Vec<f64>>) -> bool {
        let scores = self.scores(&tries);
        match largest(&scores) {
            Some((at, value)) if value > *score => {
                *point = tries.swap_remove(at);
                *score = value;
                true
            }
            _ => false,
        }
    }

    /// One discrete axis after the other, each to its best value; whether anything changed.
    fn step(&self, point: &mut Vec<f64>, score: &mut f64, discrete: &[usize], round: usize) -> bool {
        let mut changed = false;
        for &index in discrete {
            if !self.space.active(point)[index] {
                continue;
            }
            let domain = &self.space.params()[index].domain;
            let (cells, here) = (self.cells(index), domain.cell(point[index]));
            let mut others = Vec::new();
            if cells <= ALL_VALUES || (matches!(self.space.coordinate(index), Coordinate::Choice(_)) && cells <= 64) {
                others.extend(0..cells);
            } else {
                let far = if round == 0 { cells / 4 } else { 2 };
                let mut distance = 1;
                while distance <= far.max(1) {
                    others.extend(here.checked_sub(distance));
                    others.extend(Some(here + distance).filter(|&cell| cell < cells));
                    distance *= 2;
                }
            }
            let tries: Vec<Vec<f64>> = others
                .into_iter()
                .filter(|&cell| cell != here)
                .map(|cell| {
                    let mut next = point.clone();
                    next[index] = domain.centre(cell);
                    self.space.snap(&mut next);
                    next
                })
                .collect();
            changed |= self.take_best(point, score, tries);
        }
        changed
    }
}

/// Position and value of the largest finite score; of equal ones the first.
fn largest(scores: &[f64]) -> Option<(usize, f64)> {
    let mut best = None;
    for (at, &score) in scores.iter().enumerate() {
        if score > best.map_or(f64::NEG_INFINITY, |(_, most)| most) {
            best = Some((at, score));
        }
    }
    best
}

/// Steps of the Kronecker sequence: powers of `1 / g`, where `g^(d + 1) = g + 1`.
pub fn kronecker(d: usize) -> Vec<f64> {
    let mut g: f64 = 2.0;
    for _ in 0..60 {
        g = libm::pow(1.0 + g, 1.0 / (d as f64 + 1.0));
    }
    let mut step = 1.0;
    (0..d)
        .map(|_| {
            step /= g;
            step
        })
        .collect()
}

/// The part after the point.
pub fn fraction(x: f64) -> f64 {
    x - libm::floor(x)
}
