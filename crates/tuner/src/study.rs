//! A study: which trials were asked, what became of them, which is best.
//!
//! It does not evaluate anything and knows no budget of its own; it stops proposing only when a finite space is exhausted.
//!
//! - Ids count from 0 in the order asked.
//! - While unseen points remain, no point is proposed twice; what counts as the same point is what decodes to the same
//!   values.
//! - A value that is NaN or infinite is a failed trial; a failed or pruned trial is never the best.
//! - What is proposed is a function of the space, the configuration, the seed, the sequence of asks, and the set of
//!   results told before each ask; the order of those tells does not matter.

use std::collections::{BTreeMap, BTreeSet};

use crossbook_engine::rng::Rng;
use thiserror::Error;

use crate::sampler::{Sampler, SamplerConfig, SamplerError, State, Tried, View};
use crate::space::{Cardinality, Coordinate, Params, Space, SpaceError};

/// A proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Counts from 0 in the order asked.
    pub id: u64,
    /// Values of the active parameters.
    pub params: Params,
}

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// Its value. NaN and infinities count as [`Outcome::Failed`].
    Complete(f64),
    /// Given up early, with the value so far if there is one.
    Pruned(Option<f64>),
    /// No value to be had.
    Failed,
}

/// Which values are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smaller ones.
    Minimize,
    /// Larger ones.
    Maximize,
}

/// Why a study refuses.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StudyError {
    /// The sampler or the space.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// A result for a trial that was never asked.
    #[error("trial {id} was never asked; {asked} trials were, counted from 0")]
    UnknownTrial { id: u64, asked: u64 },
    /// A second result.
    #[error("trial {id} has been told already")]
    ToldTwice { id: u64 },
}

impl From<SpaceError> for StudyError {
    fn from(error: SpaceError) -> Self {
        StudyError::Sampler(SamplerError::Space(error))
    }
}

/// See the module.
pub struct Study {
    space: Space,
    sampler: Box<dyn Sampler>,
    direction: Direction,
    seed: u64,
    budget: Option<u64>,
    trials: Vec<Trial>,
    tried: Vec<Tried>,
    /// Keys of all points that were asked.
    seen: BTreeSet<Vec<u64>>,
    /// Number of feasible points, where it is known.
    points: Option<u64>,
    best: Option<usize>,
}

/// Finite spaces up to this size (before constraints) are counted point by point, and searched for a point not yet seen.
const COUNTED: u64 = 1 << 20;
/// Random draws for a point not yet seen, before the space is walked.
const REDRAWS: u32 = 100;

impl Study {
    /// Begins a study. `trials` is the planned number of trials: a hint to the sampler, not a limit.
    ///
    /// # Errors
    /// When the sampler does not suit the space, or no point satisfies the constraints.
    pub fn new(
        space: Space,
        sampler: SamplerConfig,
        direction: Direction,
        seed: u64,
        trials: Option<u64>,
    ) -> Result<Study, StudyError> {
        let sampler = sampler.build(&space, seed)?;
        let points = match space.cardinality() {
            Cardinality::Finite(count) if count <= COUNTED => {
                let mut feasible = count;
                if !space.constraints().is_empty() {
                    feasible = 0;
                    space.walk(&levels(&space), &mut |_| {
                        feasible += 1;
                        true
                    });
                }
                Some(feasible)
            }
            Cardinality::Finite(_) | Cardinality::Infinite => None,
        };
        // Better said now than at the first ask.
        if points.is_none_or(|count| count == 0) {
            space.sample(&mut Rng::stream(seed, "tuner.feasible"))?;
        }
        Ok(Study {
            space,
            sampler,
            direction,
            seed,
            budget: trials,
            trials: Vec::new(),
            tried: Vec::new(),
            seen: BTreeSet::new(),
            points,
            best: None,
        })
    }

    /// Proposes up to `n` trials: fewer, even none, when a grid or a finite space is exhausted. Earlier trials without a
    /// result are pending and are not proposed again.
    ///
    /// # Errors
    /// When the sampler finds nothing that satisfies the constraints.
    pub fn ask(&mut self, n: usize) -> Result<Vec<Trial>, StudyError> {
        let first = self.trials.len();
        for _ in 0..n {
            if self.points.is_some_and(|points| self.seen.len() as u64 >= points) {
                break;
            }
            let view = View {
                space: &self.space,
                tried: &self.tried,
                seed: self.seed,
                trials: self.budget,
            };
            let Some(mut point) = self.sampler.propose(&view)? else {
                break;
            };
            let mut key = self.space.key(&point);
            if self.seen.contains(&key) {
                let Some(other) = self.unseen()? else {
                    break;
                };
                key = self.space.key(&other);
                point = other;
            }
            let id = self.trials.len() as u64;
            self.seen.insert(key);
            self.trials.push(Trial {
                id,
                params: self.space.decode(&point),
            });
            self.tried.push(Tried {
                id,
                point,
                state: State::Pending,
            });
        }
        Ok(self.trials[first..].to_vec())
    }

    /// A point that was not asked yet: by random draws, then, in a finite space, a random one of those left.
    fn unseen(&self) -> Result<Option<Vec<f64>>, StudyError> {
        let mut rng = Rng::stream(self.seed, &format!("tuner.unseen.{}", self.trials.len()));
        for _ in 0..REDRAWS {
            let point = self.space.sample(&mut rng)?;
            if !self.seen.contains(&self.space.key(&point)) {
                return Ok(Some(point));
            }
        }
        if self.space.cardinality() == Cardinality::Infinite {
            return Ok(Some(self.space.sample(&mut rng)?));
        }
        // A larger space than is walked whole keeps an unseen point among the first ones, or counts as exhausted.
        let (mut visited, mut left, mut chosen) = (0u64, 0u64, None);
        self.space.walk(&levels(&self.space), &mut |point| {
            if !self.seen.contains(&self.space.key(point)) {
                left += 1;
                if rng.below(left) == 0 {
                    chosen = Some(point.to_vec());
                }
            }
            visited += 1;
            visited < COUNTED
        });
        Ok(chosen)
    }

    /// Records what became of a trial.
    ///
    /// # Errors
    /// When the trial was never asked, or has been told already. The study is then as before.
    pub fn tell(&mut self, id: u64, outcome: Outcome) -> Result<(), StudyError> {
        let asked = self.trials.len() as u64;
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        let Some(tried) = self.tried.get_mut(index) else {
            return Err(StudyError::UnknownTrial { id, asked });
        };
        if tried.state != State::Pending {
            return Err(StudyError::ToldTwice { id });
        }
        let sign = self.direction.sign();
        tried.state = match outcome {
            Outcome::Complete(value) if value.is_finite() => State::Complete(sign * value),
            Outcome::Complete(_) | Outcome::Failed => State::Failed,
            Outcome::Pruned(value) => State::Pruned(value.filter(|value| value.is_finite()).map(|value| sign * value)),
        };
        if let State::Complete(loss) = tried.state {
            let better = match self.best.map(|best| (self.tried[best].state, best)) {
                Some((State::Complete(least), best)) => loss < least || (loss == least && index < best),
                _ => true,
            };
            if better {
                self.best = Some(index);
            }
        }
        Ok(())
    }

    /// The best complete trial and its value; of equal ones the one with the lower id.
    pub fn best(&self) -> Option<(&Trial, f64)> {
        let best = self.best?;
        match self.tried[best].state {
            State::Complete(loss) => Some((&self.trials[best], self.direction.sign() * loss)),
            _ => None,
        }
    }

    /// The space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// All trials asked so far, by id.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// All trials as the sampler sees them, by id: points of the unit cube, losses.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// How many trials have no result yet.
    pub fn pending(&self) -> usize {
        self.tried.iter().filter(|tried| tried.state == State::Pending).count()
    }

    /// Counts of outcomes by name: `complete`, `pruned`, `failed`, `pending`.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::from([("complete", 0), ("pruned", 0), ("failed", 0), ("pending", 0)]);
        for tried in &self.tried {
            let name = match tried.state {
                State::Complete(_) => "complete",
                State::Pruned(_) => "pruned",
                State::Failed => "failed",
                State::Pending => "pending",
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}

impl Direction {
    /// What turns a value into a loss, and back.
    fn sign(self) -> f64 {
        match self {
            Direction::Minimize => 1.0,
            Direction::Maximize => -1.0,
        }
    }
}

/// Cells per axis; a continuous axis, which is inactive in a finite space, counts as one.
fn levels(space: &Space) -> Vec<u64> {
    (0..space.dimensions())
        .map(|index| match space.coordinate(index) {
            Coordinate::Continuous => 1,
            Coordinate::Ordered(cells) | Coordinate::Choice(cells) => cells,
        })
        .collect()
}
