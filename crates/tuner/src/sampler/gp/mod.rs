//! Gaussian-process Bayesian optimisation.
//!
//! Each proposal fits a Gaussian process ([`model`]) to the transformed losses ([`transform`]) of the trials told so far and
//! goes where the logarithm of the expected improvement ([`acquisition`]) is largest ([`search`]). Hyper-parameters and
//! acquisition are both improved by argmin's L-BFGS ([`minimise`]). When a process expects next to nothing any more, the
//! region is left out and others are looked at ([`pits`]).
//!
//! - Improvement is on the least posterior mean at a trial, not on the least loss: what the process takes for luck is
//!   nothing to be beaten. Without noise both are the same.
//! - Pending trials count as observed at their posterior mean (the Kriging believer of Ginsbourger, Le Riche and Carraro,
//!   2010): a batch spreads because the variance shrinks around its own members.
//! - Failed trials count as the worst complete one, pruned trials as no better than the upper quartile of the
//!   complete ones, which is what a trial worse than the median comes to on average.
//! - Constraints are kept by feasibility: only feasible points are looked at.
//! - Inactive parameters sit at 0.5; their parent tells the process that they mean nothing.
//! - Beyond `max_points` results the process is fitted to the best half of so many and to the others evenly by id.
//! - What is proposed depends on the trials and on the asks that came before (a fit starts from the last one, closed pits
//!   stay closed): asking a study again from its start, with the same answers, gives the same proposals.
//!
//! Linear algebra is our own ([`linalg`]), not nalgebra's: it is three triangular loops over one packed layout, which must
//! give the same bits on every machine, while nalgebra's products may be summed in another order by another version or
//! instruction set; many right-hand sides are solved at once, and the inverse is needed in its lower half only.
//! Transcendental functions are `libm`'s. One thread.

mod acquisition;
mod linalg;
mod minimise;
mod model;
mod pits;
mod search;
#[cfg(test)]
mod tests;
mod transform;

use std::collections::BTreeSet;

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

use self::model::{Axis, Data, Hyper, Model, Prior};
use self::pits::{CONVERGED, Pit, WHOLE_EVERY};
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
/// Trials outside the closed pits that a model needs.
const FEWEST: usize = 4;
/// Draws for a startup point outside the closed pits.
const REDRAWS: usize = 50;
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
    /// The last fit to all trials, and to those outside the closed pits.
    fitted: [Option<Fitted>; 2],
    pits: Vec<Pit>,
}

/// The trials that a model is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole = 0,
    Outside = 1,
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
            fitted: [None, None],
            pits: Vec::new(),
        })
    }

    fn row(&self, point: &[f64]) -> Vec<f64> {
        self.places.iter().map(|&place| point[place]).collect()
    }

    /// Whether a point belongs to a closed pit.
    fn closed(&self, row: &[f64]) -> bool {
        self.pits.iter().any(|pit| pit.holds(&self.axes, row))
    }

    /// An evenly spread point, outside the closed pits if that is easily had: the Kronecker sequence with a shift from the
    /// seed.
    fn spread(&self, view: &View<'_>) -> Result<Vec<f64>, SamplerError> {
        let mut stream = Rng::stream(view.seed, "tuner.gp.startup");
        let index = view.tried.len() as f64;
        let mut point: Vec<f64> = kronecker(view.space.dimensions())
            .into_iter()
            .map(|step| fraction(stream.uniform() + index * step))
            .collect();
        view.space.snap(&mut point);
        let mut rng = view.rng();
        if !view.space.feasible(&point) {
            point = view.space.sample(&mut rng)?;
        }
        for _ in 0..REDRAWS {
            if !self.closed(&self.row(&point)) {
                break;
            }
            point = view.space.sample(&mut rng)?;
        }
        Ok(point)
    }

    /// Hyper-parameters and transform for the losses; kept while few results have come since they were fitted.
    fn fit(&mut self, part: Part, rows: &[Vec<f64>], losses: &[f64], results: usize) -> Option<Fitted> {
        let last = self.fitted[part as usize].as_ref();
        if let Some(last) = last.filter(|last| results.saturating_sub(last.results) <= results / 60) {
            return Some(last.clone());
        }
        let mut data = Data::new(&self.axes, rows.to_vec());
        let mut starts: Vec<(Hyper, usize)> = Vec::new();
        starts.extend(last.map(|last| (last.hyper.clone(), FIT[1])));
        if last.is_none() || results < 20 || results.is_multiple_of(5) {
            for length in FRESH.0 {
                starts.push((Hyper::uniform(self.axes.len(), length, FRESH.1), FIT[2]));
            }
        }
        let mut quantile = last.map_or(0.5, |last| last.quantile);
        if last.is_none() || results < 30 || results.is_multiple_of(3) {
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
        let fitted = Fitted {
            results,
            hyper,
            quantile,
        };
        self.fitted[part as usize] = Some(fitted.clone());
        Some(fitted)
    }

    /// The best point under a model of a part of the trials, with its log expected improvement; `None` when it cannot say.
    fn look(&mut self, view: &View<'_>, part: Part, results: &Results<'_>, rng: &mut Rng) -> Option<(Vec<f64>, f64)> {
        let Results { told, losses } = results.at_most(self.max_points);
        let rows: Vec<Vec<f64>> = told.iter().map(|tried| self.row(&tried.point)).collect();
        let pending = view.tried.iter().filter(|tried| tried.state == State::Pending);
        let pending: Vec<Vec<f64>> = pending.map(|tried| self.row(&tried.point)).collect();
        let Fitted { hyper, quantile, .. } = self.fit(part, &rows, &losses, view.tried.len() - pending.len())?;
        let targets = transform::warp(&losses, quantile).targets;
        let model = Model::new(&self.axes, rows.clone(), &targets, &hyper)?;
        let means = model.predict_many(&rows).into_iter().map(|(mean, _)| mean);
        let best = means.fold(f64::INFINITY, f64::min);
        let centres: Vec<Vec<f64>> = by_loss(&losses)
            .into_iter()
            .take(CENTRES)
            .map(|at| told[at].point.clone())
            .collect();
        let keys: BTreeSet<Vec<u64>> = view.tried.iter().map(|tried| view.space.key(&tried.point)).collect();
        let excluded = |point: &[f64]| {
            keys.contains(&view.space.key(point)) || (part == Part::Outside && self.closed(&self.row(point)))
        };
        let search = Search {
            space: view.space,
            places: &self.places,
            model: &model.with_pending(&pending)?,
            best,
            excluded: &excluded,
        };
        search.run(&centres, EFFORT, rng)
    }

    /// Leaves out the region around the best of these trials.
    fn close(&mut self, part: Part, results: &Results<'_>) {
        if let Some(fitted) = &self.fitted[part as usize]
            && let Some(&best) = by_loss(&results.losses).first()
        {
            self.pits
                .push(Pit::new(self.row(&results.told[best].point), &fitted.hyper));
            self.fitted[Part::Outside as usize] = None;
        }
    }

    /// The point that a model would try next; `None` when none can say.
    fn model_based(&mut self, view: &View<'_>, all: &Results<'_>) -> Option<Vec<f64>> {
        let mut rng = view.rng();
        // What is out takes the improvement from where it is: too soon to say that nothing is left there.
        let settled = view.tried.iter().all(|tried| tried.state != State::Pending);
        if self.pits.is_empty() || view.tried.len().is_multiple_of(WHOLE_EVERY) {
            let (point, score) = self.look(view, Part::Whole, all, &mut rng)?;
            if score > CONVERGED || !self.pits.is_empty() || !settled {
                return Some(point);
            }
            self.close(Part::Whole, all);
        }
        let outside = all.filtered(|tried| !self.closed(&self.row(&tried.point)));
        if outside.told.len() < FEWEST {
            return None;
        }
        let (point, score) = self.look(view, Part::Outside, &outside, &mut rng)?;
        if score < CONVERGED && settled {
            self.close(Part::Outside, &outside);
        }
        Some(point)
    }
}

impl Sampler for Gp {
    fn propose(&mut self, view: &View<'_>) -> Result<Option<Vec<f64>>, SamplerError> {
        let ready = view.tried.len() as u64 >= self.startup && !self.axes.is_empty();
        if let Some(results) = Results::of(view).filter(|_| ready)
            && let Some(point) = self.model_based(view, &results)
        {
            return Ok(Some(point));
        }
        Ok(Some(self.spread(view)?))
    }
}

/// Trials that are not pending, by id, with the losses that a process is fitted to.
struct Results<'a> {
    told: Vec<&'a Tried>,
    losses: Vec<f64>,
}

impl<'a> Results<'a> {
    /// `None` with fewer than two complete trials. Pruned trials are no better than the upper quartile of the complete
    /// ones, failed ones as bad as the worst.
    fn of(view: &View<'a>) -> Option<Results<'a>> {
        let told: Vec<&Tried> = view
            .tried
            .iter()
            .filter(|tried| tried.state != State::Pending)
            .collect();
        let complete = told.iter().filter_map(|tried| match tried.state {
            State::Complete(loss) => Some(loss),
            _ => None,
        });
        let mut complete: Vec<f64> = complete.collect();
        if complete.len() < 2 {
            return None;
        }
        complete.sort_by(f64::total_cmp);
        let (&worst, quartile) = (complete.last()?, complete[complete.len() * 3 / 4]);
        let loss = |tried: &&Tried| match tried.state {
            State::Complete(loss) => loss,
            State::Pruned(Some(loss)) => loss.max(quartile),
            State::Pruned(None) | State::Failed | State::Pending => worst,
        };
        let losses = told.iter().map(loss).collect();
        Some(Results { told, losses })
    }

    /// Those for which `keep` holds.
    fn filtered(&self, keep: impl Fn(&Tried) -> bool) -> Results<'a> {
        self.picked((0..self.told.len()).filter(|&at| keep(self.told[at])))
    }

    /// At most `most` of them: the best half of `most`, and the others evenly by id.
    fn at_most(&self, most: usize) -> Results<'a> {
        if self.told.len() <= most {
            return self.picked(0..self.told.len());
        }
        let mut order = by_loss(&self.losses);
        let (best, others) = order.split_at_mut(most / 2);
        others.sort_unstable();
        let wanted = most - best.len();
        let mut kept = best.to_vec();
        kept.extend((0..wanted).map(|index| others[index * others.len() / wanted]));
        kept.sort_unstable();
        self.picked(kept.into_iter())
    }

    fn picked(&self, places: impl Iterator<Item = usize>) -> Results<'a> {
        let (told, losses) = places.map(|at| (self.told[at], self.losses[at])).unzip();
        Results { told, losses }
    }
}

/// Positions, the least loss first; of equal ones the first.
fn by_loss(losses: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..losses.len()).collect();
    order.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]).then(a.cmp(&b)));
    order
}
