//! Gaussian-process Bayesian optimisation.
//!
//! Each proposal fits a Gaussian process ([`model`]) to the transformed losses ([`transform`]) of the trials told so far and
//! goes where the logarithm of the expected improvement ([`acquisition`]) is largest ([`search`]). When that expects next
//! to nothing any more, it looks for another pit instead ([`elsewhere`]).
//!
//! - Pending trials count as observed at their posterior mean (the Kriging believer of Ginsbourger, Le Riche and Carraro,
//!   2010): a batch spreads because the variance shrinks around its own members.
//! - Failed trials count as the worst complete one, pruned trials as no better than the median of the complete ones.
//! - Constraints are kept by feasibility: only feasible points are looked at.
//! - Inactive parameters sit at 0.5; their parent tells the process that they mean nothing.
//! - Beyond `max_points` results the process is fitted to the best half of so many and to the others evenly by id.
//!
//! Linear algebra and transcendental functions are our own or `libm`'s, on one thread: the same bits everywhere.

mod acquisition;
mod elsewhere;
mod linalg;
mod minimise;
mod model;
mod search;
#[cfg(test)]
mod tests;
mod transform;

use std::collections::BTreeSet;

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

use self::model::{Axis, Data, Hyper, Model, Prior};
use self::search::{Effort, Search, fraction, kronecker};
use super::{Sampler, SamplerError, State, Tried, View};
use crate::space::{Coordinate, Space};

/// Options of the Gaussian process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpOptions {
    /// Trials before the first fit, spread evenly; at least 2. Default: 4 and one and a half per parameter, at most 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<u64>,
    /// Results that a process is fitted to at most; at least 10. Default 250.
    pub max_points: usize,
}

impl Default for GpOptions {
    fn default() -> Self {
        GpOptions {
            startup: None,
            max_points: 250,
        }
    }
}

/// Candidates and ascents of one search.
const EFFORT: Effort = Effort {
    global: 500,
    local: 50,
    starts: 6,
    evaluations: 40,
};
/// Good trials around which a search looks more closely.
const CENTRES: usize = 4;
/// Evaluations of the marginal likelihood: to compare transforms, from the last optimum, from a fresh start.
const FIT: [usize; 3] = [12, 15, 30];
/// Where fresh fits start: length scales (all axes alike), and the logarithm of the noise ratio.
const FRESH: ([f64; 2], f64) = ([0.5, 2.0], -8.0);

/// The last fit: results it knew, hyper-parameters, and the transform's quantile.
#[derive(Debug, Clone)]
struct Fitted {
    results: usize,
    hyper: Hyper,
    quantile: f64,
}

/// See the module.
#[derive(Debug)]
pub struct Gp {
    /// Parameter of each axis, and how it measures. Parameters without a choice are left out.
    places: Vec<usize>,
    axes: Vec<Axis>,
    startup: u64,
    max_points: usize,
    prior: Prior,
    last: Option<Fitted>,
}

impl Gp {
    /// Prepares for a space.
    ///
    /// # Errors
    /// When an option is out of its range.
    pub fn new(options: &GpOptions, space: &Space) -> Result<Gp, SamplerError> {
        let check = |option, value, fits, allowed| SamplerError::option("gp", option, value, fits, allowed);
        if let Some(startup) = options.startup {
            check("startup", startup as f64, startup >= 2, "at least 2")?;
        }
        let most = options.max_points;
        check("max_points", most as f64, most >= 10, "at least 10")?;
        let mut places = Vec::new();
        let mut axes = Vec::new();
        for index in 0..space.dimensions() {
            match space.coordinate(index) {
                Coordinate::Ordered(1) | Coordinate::Choice(1) => continue,
                Coordinate::Choice(_) => axes.push(Axis::Choice),
                Coordinate::Ordered(_) | Coordinate::Continuous => axes.push(Axis::Number),
            }
            places.push(index);
        }
        Ok(Gp {
            startup: options.startup.unwrap_or((4 + 3 * axes.len() as u64 / 2).min(20)),
            max_points: options.max_points,
            prior: Prior::scaled(axes.len()),
            places,
            axes,
            last: None,
        })
    }

    fn row(&self, point: &[f64]) -> Vec<f64> {
        self.places.iter().map(|&place| point[place]).collect()
    }

    /// An evenly spread point: the Kronecker sequence with a shift from the seed.
    fn spread(&self, view: &View<'_>) -> Result<Vec<f64>, SamplerError> {
        let mut shift = Rng::stream(view.seed, "tuner.gp.startup");
        let index = view.tried.len() as f64;
        let mut point: Vec<f64> = kronecker(view.space.dimensions())
            .into_iter()
            .map(|step| fraction(shift.uniform() + index * step))
            .collect();
        view.space.snap(&mut point);
        if view.space.feasible(&point) {
            return Ok(point);
        }
        Ok(view.space.sample(&mut view.rng())?)
    }

    /// Hyper-parameters and transform for the losses; kept while few results have come since they were fitted.
    fn fit(&mut self, rows: &[Vec<f64>], losses: &[f64], results: usize) -> Option<(Hyper, f64)> {
        if let Some(last) = &self.last
            && results >= last.results
            && results - last.results <= results / 60
        {
            return Some((last.hyper.clone(), last.quantile));
        }
        let mut data = Data::new(&self.axes, rows.to_vec());
        let mut starts: Vec<(Hyper, usize)> = Vec::new();
        if let Some(last) = &self.last {
            starts.push((last.hyper.clone(), FIT[1]));
        }
        if self.last.is_none() || results < 20 || results.is_multiple_of(5) {
            for length in FRESH.0 {
                starts.push((Hyper::uniform(self.axes.len(), length, FRESH.1), FIT[2]));
            }
        }
        let mut quantile = self.last.as_ref().map_or(0.5, |last| last.quantile);
        if self.last.is_none() || results < 30 || results.is_multiple_of(3) {
            let from = [(starts.first()?.0.clone(), FIT[0])];
            let mut best: Option<(f64, Hyper)> = None;
            for candidate in transform::QUANTILES {
                let warped = transform::warp(losses, candidate);
                data.set_targets(warped.targets);
                if let Some((hyper, value)) = data.fit(&self.prior, &from) {
                    let value = value * losses.len() as f64 - warped.log_jacobian;
                    if best.as_ref().is_none_or(|(least, _)| value < *least) {
                        best = Some((value, hyper));
                        quantile = candidate;
                    }
                }
            }
            starts.extend(best.map(|(_, hyper)| (hyper, FIT[1])));
        }
        data.set_targets(transform::warp(losses, quantile).targets);
        let (hyper, _) = data.fit(&self.prior, &starts)?;
        self.last = Some(Fitted {
            results,
            hyper: hyper.clone(),
            quantile,
        });
        Some((hyper, quantile))
    }

    /// The point that the process would try next; `None` when it cannot say.
    fn model_based(&mut self, view: &View<'_>, told: &[&Tried], losses: &[f64]) -> Option<Vec<f64>> {
        let mut rng = view.rng();
        let (told, losses) = subset(told, losses, self.max_points);
        let rows: Vec<Vec<f64>> = told.iter().map(|tried| self.row(&tried.point)).collect();
        let results = view.tried.iter().filter(|tried| tried.state != State::Pending).count();
        let (hyper, quantile) = self.fit(&rows, &losses, results)?;
        let targets = transform::warp(&losses, quantile).targets;
        let pending: Vec<Vec<f64>> = view
            .tried
            .iter()
            .filter(|tried| tried.state == State::Pending)
            .map(|tried| self.row(&tried.point))
            .collect();
        let model = Model::new(&self.axes, rows.clone(), &targets, &hyper)?.with_pending(&pending)?;
        let mut by_loss: Vec<usize> = (0..told.len()).collect();
        by_loss.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]).then(a.cmp(&b)));
        let centres: Vec<Vec<f64>> = by_loss.iter().take(CENTRES).map(|&at| told[at].point.clone()).collect();
        let keys: BTreeSet<Vec<u64>> = view.tried.iter().map(|tried| view.space.key(&tried.point)).collect();
        let seen = |point: &[f64]| keys.contains(&view.space.key(point));
        let search = Search {
            space: view.space,
            places: &self.places,
            model: &model,
            best: targets.iter().copied().fold(f64::INFINITY, f64::min),
            excluded: &seen,
        };
        let found = search.run(&centres, EFFORT, &mut rng);
        if let Some((_, score)) = &found
            && elsewhere::wanted(*score, view.tried.len())
        {
            let elsewhere = elsewhere::Elsewhere {
                gp: self,
                view,
                told: &told,
                losses: &losses,
                rows: &rows,
                by_loss: &by_loss,
                quantile,
                model: &model,
                pending: &pending,
                seen: &seen,
            };
            if let Some(point) = elsewhere.propose(&mut rng) {
                return Some(point);
            }
        }
        found.map(|(point, _)| point)
    }
}

impl Sampler for Gp {
    fn propose(&mut self, view: &View<'_>) -> Result<Option<Vec<f64>>, SamplerError> {
        let told: Vec<&Tried> = view
            .tried
            .iter()
            .filter(|tried| tried.state != State::Pending)
            .collect();
        let ready = view.tried.len() as u64 >= self.startup && !self.axes.is_empty();
        if let Some(losses) = losses(&told).filter(|_| ready)
            && let Some(point) = self.model_based(view, &told, &losses)
        {
            return Ok(Some(point));
        }
        Ok(Some(self.spread(view)?))
    }
}

/// The losses that a process is fitted to; `None` with fewer than two complete trials. Pruned trials are no better than the
/// median of the complete ones, failed ones as bad as the worst.
fn losses(tried: &[&Tried]) -> Option<Vec<f64>> {
    let mut complete: Vec<f64> = tried
        .iter()
        .filter_map(|tried| match tried.state {
            State::Complete(loss) => Some(loss),
            _ => None,
        })
        .collect();
    if complete.len() < 2 {
        return None;
    }
    complete.sort_by(f64::total_cmp);
    let (&worst, median) = (complete.last()?, complete[complete.len() / 2]);
    let loss = |tried: &&Tried| match tried.state {
        State::Complete(loss) => loss,
        State::Pruned(Some(loss)) => loss.max(median),
        State::Pruned(None) | State::Failed | State::Pending => worst,
    };
    Some(tried.iter().map(loss).collect())
}

/// At most `most` of the trials, in the order of ids: the best half of `most`, and the others evenly by id.
fn subset<'a>(told: &[&'a Tried], losses: &[f64], most: usize) -> (Vec<&'a Tried>, Vec<f64>) {
    if told.len() <= most {
        return (told.to_vec(), losses.to_vec());
    }
    let mut by_loss: Vec<usize> = (0..told.len()).collect();
    by_loss.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]).then(a.cmp(&b)));
    let (best, others) = by_loss.split_at_mut(most / 2);
    others.sort_unstable();
    let wanted = most - best.len();
    let mut kept = best.to_vec();
    kept.extend((0..wanted).map(|index| others[index * others.len() / wanted]));
    kept.sort_unstable();
    (
        kept.iter().map(|&at| told[at]).collect(),
        kept.iter().map(|&at| losses[at]).collect(),
    )
}
