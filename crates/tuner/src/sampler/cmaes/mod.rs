//! Covariance matrix adaptation (CMA-ES): a normal distribution that moves, turns and stretches towards better trials. For
//! long searches over numbers; the first few hundred trials are better spent by `gp` or `tpe`.
//!
//! Sources: Hansen, "The CMA evolution strategy: a tutorial" (2016); Auger and Hansen, "A restart CMA evolution strategy
//! with increasing population size" (2005); Hamano et al., "CMA-ES with margin" (2022) for whole numbers, in a simpler form.
//! An own one, since no published crate fits a session: `cmaes` 0.2 calls the objective itself, a generation at a time,
//! without bounds or whole numbers; `haru_cmaes` 1.0 can be asked, for whole generations, in single precision and without
//! bounds; both take eigenvectors from a library whose last bits depend on the processor (see [`eigen`]).
//!
//! - It works on floats and ints that are always active, in the encoding of the space. **Choices and conditional parameters
//!   are drawn uniformly** for every trial, as in Optuna; a space with nothing else is refused.
//! - A generation is `population` trials drawn from one distribution. The distribution is updated when so many of its
//!   trials have finished, by the ones with the lowest ids, ranked as everywhere (complete, pruned, failed); so a batch of up to
//!   `population` trials costs nothing, and trials asked beyond it while results are out are more draws from the same
//!   distribution. Their results, and those that come after the update, change nothing but the best.
//! - A draw outside the ranges, against a constraint, or proposed before (where points can repeat) is drawn again, up to 100
//!   times; the last is moved to the nearest point of the box, or, if that violates a constraint, replaced by a uniform
//!   draw, from which nothing is learnt.
//! - The deviation along an int or a stepped float is never so small that fewer than one draw in `population * dimensions`
//!   leaves the cell of the mean: it does not freeze on a plateau.
//! - When the deviations have become tiny, or losses have been equal for long, it starts again elsewhere with twice the
//!   population.

mod eigen;
mod evolution;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

use self::evolution::Evolution;
use super::rank::Rank;
use super::{Sampler, SamplerError, View};
use crate::space::{Coordinate, Space};

/// Options of the sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CmaesOptions {
    /// Trials per generation; 0 is `4 + 3 ln d` for `d` parameters. Default 0.
    pub population: u64,
    /// First deviation along each parameter, as a part of its range. Default 1/6, as in Optuna.
    pub sigma: f64,
    /// Starts again when converged. Default true.
    pub restarts: bool,
}

impl Default for CmaesOptions {
    fn default() -> Self {
        CmaesOptions {
            population: 0,
            sigma: 1.0 / 6.0,
            restarts: true,
        }
    }
}

/// Draws of a trial before the last one is repaired.
const REDRAWS: u32 = 100;
/// A deviation below this part of a range is converged.
const TINY: f64 = 1e-9;
/// So is a distribution this many times longer than wide.
const THIN: f64 = 1e7;
/// Restarts double the population up to this.
const MAX_POPULATION: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub struct Cmaes {
    options: CmaesOptions,
    /// Parameters that the distribution covers.
    moving: Vec<usize>,
    /// Width of a cell, along each; 0 where there are none.
    cell_width: Vec<f64>,
    evolution: Evolution,
    restarts: u64,
    /// Trials drawn from the distribution as it is, by id, with their steps.
    generation: Vec<Drawn>,
    /// Best and worst loss of each generation since the last start that had one, oldest first.
    history: Vec<(f64, f64)>,
    /// Keys of all points, kept where points can repeat, and how many trials they are.
    seen: Option<BTreeSet<Vec<u64>>>,
    known: usize,
}

/// A proposal and the step that led to it.
#[derive(Debug)]
struct Drawn {
    trial: usize,
    point: Vec<f64>,
    step: Vec<f64>,
}

impl Cmaes {
    /// # Errors
    /// When an option is out of its range, or no parameter is a number that is always active.
    pub fn new(options: &CmaesOptions, space: &Space) -> Result<Cmaes, SamplerError> {
        let CmaesOptions {
            population,
            sigma,
            restarts: _,
        } = *options;
        let check = |option, value, fits, allowed| SamplerError::option("cmaes", option, value, fits, allowed);
        let fits = population == 0 || (4..=MAX_POPULATION as u64).contains(&population);
        check("population", population as f64, fits, "0 or from 4 to 10,000")?;
        check("sigma", sigma, sigma > 0.0 && sigma <= 1.0, "above 0, at most 1")?;
        let moves = |&index: &usize| {
            let moves = matches!(
                space.coordinate(index),
                Coordinate::Continuous | Coordinate::Ordered(2..)
            );
            moves && space.params()[index].when.is_empty()
        };
        let moving: Vec<usize> = (0..space.dimensions()).filter(moves).collect();
        if moving.is_empty() {
            return Err(SamplerError::NothingToMove { sampler: "cmaes" });
        }
        let repeats = (0..space.dimensions()).all(|index| space.coordinate(index) != Coordinate::Continuous);
        let lambda = match population {
            0 => 4 + (3.0 * libm::log(moving.len() as f64)) as usize,
            given => given as usize,
        };
        Ok(Cmaes {
            options: options.clone(),
            cell_width: vec![0.0; moving.len()],
            evolution: Evolution::new(vec![0.5; moving.len()], sigma, lambda),
            moving,
            restarts: 0,
            generation: Vec::new(),
            history: Vec::new(),
            seen: repeats.then(BTreeSet::new),
            known: 0,
        })
    }

    /// Learns from the generation if enough of it has finished.
    fn update(&mut self, view: &View<'_>) {
        if let Some(seen) = &mut self.seen {
            seen.extend(
                view.tried[self.known..]
                    .iter()
                    .map(|tried| view.space.key(&tried.point)),
            );
        }
        self.known = view.tried.len();
        // What the study put in the place of a repeated point says nothing about the step.
        self.generation.retain(|drawn| {
            view.tried
                .get(drawn.trial)
                .is_some_and(|tried| tried.point == drawn.point)
        });
        let finished = self.generation.iter().enumerate();
        let mut ranked: Vec<(Rank, usize)> = finished
            .filter_map(|(at, drawn)| Some((Rank::of(drawn.trial, view.tried[drawn.trial].state)?, at)))
            .take(self.evolution.lambda)
            .collect();
        if ranked.len() < self.evolution.lambda {
            return;
        }
        ranked.sort_by(|a, b| {
            if a.0.before(&b.0) {
                std::cmp::Ordering::Less
            } else {
                std::cmp::Ordering::Greater
            }
        });
        let steps: Vec<Vec<f64>> = ranked.iter().map(|&(_, at)| self.generation[at].step.clone()).collect();
        let scale = self.scale();
        self.evolution.update(&steps, &scale);
        for mean in &mut self.evolution.mean {
            *mean = mean.clamp(0.0, 1.0);
        }
        self.generation.clear();
        let mut losses = ranked
            .iter()
            .filter(|(rank, _)| rank.complete())
            .map(|(rank, _)| rank.loss);
        if let Some(best) = losses.next() {
            self.history.push((best, losses.next_back().unwrap_or(best)));
        }
        if self.options.restarts && self.converged() {
            self.restarts += 1;
            let mut rng = Rng::stream(view.seed, &format!("tuner.cmaes.restart.{}", self.restarts));
            let mean = self.moving.iter().map(|_| rng.uniform()).collect();
            let lambda = (2 * self.evolution.lambda).min(MAX_POPULATION);
            self.evolution = Evolution::new(mean, self.options.sigma, lambda);
            self.history.clear();
        }
    }

    /// Tutorial, appendix B.3: TolX, ConditionCov, and TolFun with EqualFunValues over `10 + 30 d / lambda` generations.
    fn converged(&self) -> bool {
        let d = self.moving.len();
        let still = (0..d).all(|axis| self.evolution.deviation(axis) < f64::max(TINY, 0.1 * self.cell_width[axis]));
        let window = 10 + 30 * d / self.evolution.lambda;
        let flat = self.history.len() >= window && {
            let recent = &self.history[self.history.len() - window..];
            let lowest = recent.iter().map(|range| range.0).fold(f64::INFINITY, f64::min);
            let highest = recent.iter().map(|range| range.0).fold(f64::NEG_INFINITY, f64::max);
            let last = recent.last().map_or(0.0, |range| range.1);
            f64::max(highest, last) - lowest <= 1e-12 * lowest.abs()
        };
        still || flat || self.evolution.elongation() > THIN
    }

    /// By how much the deviation along each coordinate is stretched so that a step leaves the mean's cell often enough.
    fn scale(&self) -> Vec<f64> {
        let share = 1.0 / (self.evolution.lambda * self.moving.len()) as f64;
        let quantile = two_sided_quantile(share);
        let stretch =
            |(axis, width): (usize, &f64)| f64::max(1.0, 0.5 * width / quantile / self.evolution.deviation(axis));
        self.cell_width.iter().enumerate().map(stretch).collect()
    }

    /// Widths of the cells in which the mean is.
    fn measure_cells(&mut self, space: &Space) {
        for ((&index, width), mean) in self.moving.iter().zip(&mut self.cell_width).zip(&self.evolution.mean) {
            let domain = &space.params()[index].domain;
            if let Coordinate::Ordered(_) = domain.coordinate() {
                let (low, high) = domain.edges(domain.cell(*mean));
                *width = high - low;
            }
        }
    }
}

impl Sampler for Cmaes {
    fn propose(&mut self, view: &View<'_>) -> Result<Option<Vec<f64>>, SamplerError> {
        self.update(view);
        self.measure_cells(view.space);
        let scale = self.scale();
        let mut rng = view.rng();
        let mut point = vec![0.5; view.space.dimensions()];
        for draw in 1..=REDRAWS {
            for u in &mut point {
                *u = rng.uniform();
            }
            let mut step = self.evolution.step(&mut rng);
            let mut inside = true;
            for (axis, &index) in self.moving.iter().enumerate() {
                let reach = self.evolution.sigma * scale[axis];
                let u = self.evolution.mean[axis] + reach * step[axis];
                inside &= (0.0..=1.0).contains(&u);
                point[index] = u.clamp(0.0, 1.0);
                if draw == REDRAWS {
                    step[axis] = (point[index] - self.evolution.mean[axis]) / reach;
                }
            }
            view.space.snap(&mut point);
            let fresh = self
                .seen
                .as_ref()
                .is_none_or(|seen| !seen.contains(&view.space.key(&point)));
            if (inside && fresh || draw == REDRAWS) && view.space.feasible(&point) {
                self.generation.push(Drawn {
                    trial: view.tried.len(),
                    point: point.clone(),
                    step,
                });
                return Ok(Some(point));
            }
        }
        Ok(Some(view.space.sample(&mut rng)?))
    }
}

/// The `z` that a standard normal exceeds in absolute value with this probability, by bisection.
fn two_sided_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..60 {
        let z = 0.5 * (low + high);
        if libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2) > share {
            low = z;
        } else {
            high = z;
        }
    }
    high
}
