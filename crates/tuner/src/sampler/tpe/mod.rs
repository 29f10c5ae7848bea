//! Tree-structured Parzen estimator, multivariate: two densities, of the good trials and of all others, and the candidate
//! with the largest ratio between them.
//!
//! Sources: Bergstra et al., "Algorithms for hyper-parameter optimization" (2011); Falkner et al., "BOHB" (2018) for the
//! joint density; Watanabe, "Tree-structured Parzen estimator: understanding its algorithm components and their roles for
//! better empirical performance" (2023). Defaults are those of Optuna 5's multivariate sampler, but for the points below.
//!
//! - Good are the `ceil(gamma n)` trials, at most `max_good`, that rank first; `n` counts complete and pruned trials.
//!   Ranked are complete trials by loss, then pruned ones by the loss that they had, then pruned ones without any; ties by
//!   id. All others are the rest, failed and pending ones included: a pending trial keeps the next one of its batch away
//!   (constant liar), a failed one keeps later ones away.
//! - Until `startup` trials are complete or pruned, points are uniform draws.
//! - `candidates` points are drawn from the density of the good trials; those that violate a constraint are drawn again
//!   (rejection), those that were proposed before count only if there are no others.
//! - Conditional parameters: see [`parzen`].
//!
//! Where it differs from Optuna 5:
//! - The kernels of the good trials may be as narrow as `1 / min(100, 1 + n/2)` of a range. Optuna's bound is
//!   `1 / min(100, 1 + kernels)` with the kernels of the good alone: with ten of a hundred trials good, no kernel is
//!   narrower than 1/12 of a range, and that is as near as the search gets to an optimum. Watanabe (2023, section 4)
//!   finds this bound the setting that matters most.
//! - The good trials weigh by rank, `ln(count + 1) - ln(rank)` with a mean of 1, as parents do in CMA-ES; Optuna's weigh
//!   the same. Watanabe's weights by improvement do as well, but change when losses are bent.
//! - Among the others, old trials are not forgotten.

mod normal;
mod parzen;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::parzen::{Axis, Parzen, Scratch};
use super::rank::Rank;
use super::{Sampler, SamplerError, State, View};
use crate::space::{Coordinate, Space};

/// Options of the sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TpeOptions {
    /// Uniform draws at the beginning. Default 10.
    pub startup: u64,
    /// Candidates per proposal. Default 24.
    pub candidates: u64,
    /// Share of trials that are good. Default 0.1.
    pub gamma: f64,
    /// Most trials that are good. Default 25.
    pub max_good: u64,
    /// Weight of the prior against a trial's 1. Default 1.
    pub prior_weight: f64,
}

impl Default for TpeOptions {
    fn default() -> Self {
        TpeOptions {
            startup: 10,
            candidates: 24,
            gamma: 0.1,
            max_good: 25,
            prior_weight: 1.0,
        }
    }
}

/// Draws per candidate before a constraint is given up on.
const REDRAWS: u64 = 100;

/// See the module.
#[derive(Debug)]
pub struct Tpe {
    options: TpeOptions,
    axes: Vec<Axis>,
    /// By trial, as last seen.
    states: Vec<State>,
    /// By trial: which parameters are active.
    active: Vec<Vec<bool>>,
    /// Ranked trials, best first.
    ranked: Vec<Rank>,
    /// The first of `ranked`, best first.
    good: Vec<usize>,
    /// Least deviation of a good trial's kernel.
    least: f64,
    below: Parzen,
    above: Parzen,
    /// Keys of all points, kept where points can repeat.
    seen: Option<BTreeSet<Vec<u64>>>,
    scratch: Scratch,
}

impl Tpe {
    /// # Errors
    /// When an option is out of its range.
    pub fn new(options: &TpeOptions, space: &Space) -> Result<Tpe, SamplerError> {
        let TpeOptions {
            startup: _,
            candidates,
            gamma,
            max_good,
            prior_weight,
        } = *options;
        let check = |option, value, fits, allowed| SamplerError::option("tpe", option, value, fits, allowed);
        check(
            "candidates",
            candidates as f64,
            (1..=100_000).contains(&candidates),
            "from 1 to 100,000",
        )?;
        check("gamma", gamma, gamma > 0.0 && gamma <= 1.0, "above 0, at most 1")?;
        check(
            "max_good",
            max_good as f64,
            (1..=100_000).contains(&max_good),
            "from 1 to 100,000",
        )?;
        let sound = prior_weight > 0.0 && prior_weight <= 1e6;
        check("prior_weight", prior_weight, sound, "above 0, at most 1,000,000")?;
        let axes: Vec<Axis> = space.params().iter().map(|param| Axis::of(&param.domain)).collect();
        let repeats = (0..space.dimensions()).all(|index| space.coordinate(index) != Coordinate::Continuous);
        Ok(Tpe {
            options: options.clone(),
            states: Vec::new(),
            active: Vec::new(),
            ranked: Vec::new(),
            good: Vec::new(),
            least: 1.0,
            below: Parzen::new(axes.len(), options.prior_weight),
            above: Parzen::new(axes.len(), options.prior_weight),
            seen: repeats.then(BTreeSet::new),
            scratch: Scratch::default(),
            axes,
        })
    }

    /// Takes in what happened since the last proposal.
    fn update(&mut self, view: &View<'_>) {
        for (trial, tried) in view.tried.iter().enumerate() {
            if trial == self.states.len() {
                let active = view.space.active(&tried.point);
                self.above.push(&tried.point);
                self.above.turn_on(&self.axes, trial, 1.0, &active);
                self.active.push(active);
                self.states.push(State::Pending);
                if let Some(seen) = &mut self.seen {
                    seen.insert(view.space.key(&tried.point));
                }
            }
            if tried.state != self.states[trial] {
                self.states[trial] = tried.state;
                if let Some(rank) = Rank::of(trial, tried.state).filter(|rank| !rank.failed()) {
                    let at = self.ranked.partition_point(|other| other.before(&rank));
                    self.ranked.insert(at, rank);
                }
            }
        }
        let count = libm::ceil(self.options.gamma * self.ranked.len() as f64) as usize;
        let count = count.min(self.options.max_good as usize).min(self.ranked.len());
        let best = &self.ranked[..count];
        let least = 1.0 / f64::min(100.0, 1.0 + 0.5 * self.ranked.len() as f64);
        if !best.iter().map(|rank| rank.trial).eq(self.good.iter().copied()) || least != self.least {
            for &trial in self
                .good
                .iter()
                .filter(|&&trial| best.iter().all(|rank| rank.trial != trial))
            {
                self.above.turn_on(&self.axes, trial, 1.0, &self.active[trial]);
            }
            for trial in best
                .iter()
                .map(|rank| rank.trial)
                .filter(|trial| !self.good.contains(trial))
            {
                self.above.turn_off(&self.axes, trial, &self.active[trial]);
            }
            self.good = best.iter().map(|rank| rank.trial).collect();
            self.least = least;
            self.below = Parzen::with_least_sigma(self.axes.len(), self.options.prior_weight, least);
            for ((kernel, &trial), weight) in self.good.iter().enumerate().zip(weights(count)) {
                self.below.push(&view.tried[trial].point);
                self.below.turn_on(&self.axes, kernel, weight, &self.active[trial]);
            }
        }
        self.above.refresh();
        self.below.refresh();
    }
}

/// Weights of so many good trials, best first.
fn weights(count: usize) -> impl Iterator<Item = f64> {
    let raw = move |rank: usize| libm::log(count as f64 + 1.0) - libm::log(rank as f64);
    let mean = (1..=count).map(raw).sum::<f64>() / count as f64;
    (1..=count).map(move |rank| raw(rank) / mean)
}

impl Sampler for Tpe {
    fn propose(&mut self, view: &View<'_>) -> Result<Option<Vec<f64>>, SamplerError> {
        self.update(view);
        let mut rng = view.rng();
        if (self.ranked.len() as u64) < self.options.startup {
            return Ok(Some(view.space.sample(&mut rng)?));
        }
        let mut point = vec![0.5; self.axes.len()];
        let mut best: Option<(bool, f64, Vec<f64>)> = None;
        let (mut drawn, mut left) = (0, self.options.candidates);
        while left > 0 && drawn < REDRAWS * self.options.candidates {
            drawn += 1;
            self.below.draw(&self.axes, &mut rng, &mut point);
            view.space.snap(&mut point);
            if !view.space.feasible(&point) {
                continue;
            }
            left -= 1;
            let active = view.space.active(&point);
            let fresh = self
                .seen
                .as_ref()
                .is_none_or(|seen| !seen.contains(&view.space.key(&point)));
            let score = self.below.log_density(&self.axes, &point, &active, &mut self.scratch)
                - self.above.log_density(&self.axes, &point, &active, &mut self.scratch);
            if best.as_ref().is_none_or(|(f, s, _)| (fresh, score) > (*f, *s)) {
                best = Some((fresh, score, point.clone()));
            }
        }
        Ok(Some(match best {
            Some((_, _, point)) => point,
            None => view.space.sample(&mut rng)?,
        }))
    }
}
