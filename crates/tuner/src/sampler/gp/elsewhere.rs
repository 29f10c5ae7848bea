//! Looking for another pit, once the best one is dug out.
//!
//! After convergence the expected improvement is a rounding error, and a process that knows one pit to the last digit, having
//! seen most of its points there, is too sure of the rest. Then, and only then, trials come from a process of their own:
//! without those that crowd around better ones, fitted afresh, with longer length scales, and asked for the improvement on
//! the best trial *outside* the known pits, which are left out. A pit is what correlates with its best trial; if nothing is
//! to be gained outside the first, the best trial outside is a pit too, and so on.
//!
//! Settled by experiment on functions with several pits (docs/tuning-samplers.md).

use crossbook_engine::rng::Rng;

use super::model::{Data, Hyper, Model, Prior};
use super::search::Search;
use super::{EFFORT, FRESH, Gp, transform};
use crate::sampler::{Tried, View};

/// Logarithm of the expected improvement, in deviations of the targets, below which every other trial goes elsewhere.
const LITTLE: f64 = -6.0;
/// Below which all do.
const NOTHING: f64 = -8.0;
/// Correlation with a better trial from which a trial says nothing more about the rest of the space.
const CROWDED: f64 = 0.97;
/// Correlation with its best trial from which a point belongs to a pit.
const PIT: f64 = 0.2;
/// Pits that are left out at most.
const PITS: usize = 6;
/// Longer length scales than in the main fit, by this much in the logarithm.
const LONGER: f64 = 1.0;
/// Evaluations of the marginal likelihood.
const EVALUATIONS: usize = 25;

/// Whether the next trial should look elsewhere, given the logarithm of the largest expected improvement.
pub fn wanted(score: f64, id: usize) -> bool {
    score < NOTHING || (score < LITTLE && !id.is_multiple_of(2))
}

/// What the search needs to know.
pub struct Elsewhere<'a> {
    pub gp: &'a Gp,
    pub view: &'a View<'a>,
    pub told: &'a [&'a Tried],
    pub losses: &'a [f64],
    pub rows: &'a [Vec<f64>],
    /// Positions in `told`, best first.
    pub by_loss: &'a [usize],
    pub quantile: f64,
    pub model: &'a Model,
    pub pending: &'a [Vec<f64>],
    pub seen: &'a dyn Fn(&[f64]) -> bool,
}

impl Elsewhere<'_> {
    /// A point away from the known pits; `None` when there is nothing to say.
    pub fn propose(&self, rng: &mut Rng) -> Option<Vec<f64>> {
        let mut kept: Vec<usize> = Vec::new();
        for &at in self.by_loss {
            let alone = |&other: &usize| self.model.correlation(&self.rows[at], &self.rows[other]) < CROWDED;
            if kept.iter().all(alone) {
                kept.push(at);
            }
        }
        if kept.len() < self.gp.axes.len() + 2 {
            return None;
        }
        // `kept` stays best first; so does everything below.
        let losses: Vec<f64> = kept.iter().map(|&at| self.losses[at]).collect();
        let rows: Vec<Vec<f64>> = kept.iter().map(|&at| self.rows[at].clone()).collect();
        let targets = transform::warp(&losses, self.quantile).targets;
        let mut data = Data::new(&self.gp.axes, rows.clone());
        data.set_targets(targets.clone());
        let prior = Prior {
            length: (self.gp.prior.length.0 + LONGER, self.gp.prior.length.1),
            ..self.gp.prior
        };
        let start = Hyper::uniform(self.gp.axes.len(), FRESH.0[0], FRESH.1);
        let (hyper, _) = data.fit(&prior, &[(start, EVALUATIONS)])?;
        let model = Model::new(&self.gp.axes, rows.clone(), &targets, &hyper)?.with_pending(self.pending)?;
        let mut pits = vec![0];
        while pits.len() < PITS {
            let outside = |row: &[f64]| pits.iter().all(|&at| model.correlation(row, &rows[at]) < PIT);
            let next = (0..rows.len()).find(|&at| outside(&rows[at]))?;
            let centres: Vec<Vec<f64>> = (next..rows.len())
                .filter(|&at| outside(&rows[at]))
                .take(super::CENTRES - 1)
                .map(|at| self.told[kept[at]].point.clone())
                .collect();
            let excluded = |point: &[f64]| (self.seen)(point) || !outside(&self.gp.row(point));
            let search = Search {
                space: self.view.space,
                places: &self.gp.places,
                model: &model,
                best: targets[next],
                excluded: &excluded,
            };
            let (point, score) = search.run(&centres, EFFORT, rng)?;
            if score > LITTLE {
                return Some(point);
            }
            pits.push(next);
        }
        None
    }
}
