//! Samplers: what to try next, given what has been tried.
//!
//! All of them see one thing, [`View`], and answer with points of the unit cube; the study turns these into values, keeps
//! the books and refuses repetitions. Losses are minimised here: the study has turned the sign where it maximises.
//!
//! - What a sampler proposes depends on the space, its configuration, the seed, and the trials in the view (told and
//!   pending, in the order of ids): not on the order in which results came within a batch, not on a clock.

pub mod cmaes;
pub mod gp;
pub mod grid;
pub mod qmc;
pub mod random;
mod rank;
pub mod tpe;

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::space::{Space, SpaceError};

/// What became of a proposed point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum State {
    /// Proposed, no result yet.
    Pending,
    /// The loss, finite; less is better.
    Complete(f64),
    /// Given up early; the loss so far if one was known, finite.
    Pruned(Option<f64>),
    /// No result to be had.
    Failed,
}

/// A proposed point and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Trial id.
    pub id: u64,
    /// The snapped point.
    pub point: Vec<f64>,
    /// What became of it.
    pub state: State,
}

/// All that a sampler may look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The space.
    pub space: &'a Space,
    /// All trials so far, by id, counted from 0 without gaps. The next proposal is for id `tried.len()`.
    pub tried: &'a [Tried],
    /// The study's seed.
    pub seed: u64,
    /// Trials that are planned in all, when that is known. A hint.
    pub trials: Option<u64>,
}

impl View<'_> {
    /// The random stream of the next trial: a function of seed and id alone.
    pub fn rng(&self) -> Rng {
        Rng::stream(self.seed, &format!("tuner.trial.{}", self.tried.len()))
    }
}

/// Proposes points.
pub trait Sampler: Send {
    /// A snapped, feasible point for the next trial. `None`: there is nothing left to propose. A point that was proposed
    /// before is replaced by the study as long as there are others.
    ///
    /// # Errors
    /// When the space does not suit the sampler, or nothing satisfies the constraints.
    fn propose(&mut self, view: &View<'_>) -> Result<Option<Vec<f64>>, SamplerError>;
}

/// Why a sampler cannot go on, or cannot begin.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SamplerError {
    /// The space itself.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A grid beyond its bound.
    #[error(
        "the grid has {} points, more than max_points = {limit}: give floats a step, ints a longer step, choose fewer \
         points per float, raise max_points, or use another sampler", at_least(*points)
    )]
    GridTooLarge { points: u64, limit: u64 },
    /// An option outside its range.
    #[error("sampler {sampler}: {option} must be {allowed}, not {value}")]
    Option {
        sampler: &'static str,
        option: &'static str,
        allowed: &'static str,
        value: f64,
    },
    /// More parameters than the sampler has dimensions.
    #[error("sampler {sampler} takes at most {limit} parameters with a choice, not {parameters} parameters")]
    TooManyParameters {
        sampler: &'static str,
        parameters: usize,
        limit: usize,
    },
    /// No parameter that the sampler could move.
    #[error("sampler {sampler} needs at least one number with a range that is always active; use tpe, gp or grid here")]
    NothingToMove { sampler: &'static str },
    /// A name that no sampler has.
    #[error("unknown sampler {name:?}; known are {}", SamplerConfig::NAMES.join(", "))]
    UnknownName { name: String },
}

impl SamplerError {
    /// Refuses an option outside its range.
    fn option(
        sampler: &'static str,
        option: &'static str,
        value: f64,
        fits: bool,
        allowed: &'static str,
    ) -> Result<(), SamplerError> {
        if fits {
            return Ok(());
        }
        Err(SamplerError::Option {
            sampler,
            option,
            allowed,
            value,
        })
    }
}

fn at_least(count: u64) -> String {
    match count {
        u64::MAX => "at least 2^64".to_owned(),
        count => count.to_string(),
    }
}

/// Which sampler, with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SamplerConfig {
    /// Every point of a grid.
    Grid(grid::GridOptions),
    /// Uniform draws.
    Random(random::RandomOptions),
    /// Sobol's sequence, scrambled.
    Sobol(qmc::QmcOptions),
    /// Halton's sequence, scrambled.
    Halton(qmc::QmcOptions),
    /// Tree-structured Parzen estimator.
    Tpe(tpe::TpeOptions),
    /// Gaussian-process Bayesian optimisation.
    Gp(gp::GpOptions),
    /// Covariance matrix adaptation.
    Cmaes(cmaes::CmaesOptions),
}

impl SamplerConfig {
    /// The names that `kind` may have.
    pub const NAMES: [&'static str; 7] = ["grid", "random", "sobol", "halton", "tpe", "gp", "cmaes"];

    /// The sampler of this name with default options.
    ///
    /// # Errors
    /// When no sampler has this name; lists those there are.
    pub fn by_name(name: &str) -> Result<SamplerConfig, SamplerError> {
        match name {
            "grid" => Ok(SamplerConfig::Grid(Default::default())),
            "random" => Ok(SamplerConfig::Random(Default::default())),
            "sobol" => Ok(SamplerConfig::Sobol(Default::default())),
            "halton" => Ok(SamplerConfig::Halton(Default::default())),
            "tpe" => Ok(SamplerConfig::Tpe(Default::default())),
            "gp" => Ok(SamplerConfig::Gp(Default::default())),
            "cmaes" => Ok(SamplerConfig::Cmaes(Default::default())),
            _ => Err(SamplerError::UnknownName { name: name.to_owned() }),
        }
    }

    /// The `kind` of this configuration.
    pub fn name(&self) -> &'static str {
        match self {
            SamplerConfig::Grid(_) => "grid",
            SamplerConfig::Random(_) => "random",
            SamplerConfig::Sobol(_) => "sobol",
            SamplerConfig::Halton(_) => "halton",
            SamplerConfig::Tpe(_) => "tpe",
            SamplerConfig::Gp(_) => "gp",
            SamplerConfig::Cmaes(_) => "cmaes",
        }
    }

    /// Makes the sampler for a space.
    ///
    /// # Errors
    /// When an option is out of its range or does not suit the space.
    pub fn build(&self, space: &Space, seed: u64) -> Result<Box<dyn Sampler>, SamplerError> {
        Ok(match self {
            SamplerConfig::Grid(options) => Box::new(grid::Grid::new(options, space, seed)?),
            SamplerConfig::Random(_) => Box::new(random::Random),
            SamplerConfig::Sobol(options) => Box::new(qmc::Qmc::sobol(options, space, seed)?),
            SamplerConfig::Halton(options) => Box::new(qmc::Qmc::halton(options, space, seed)?),
            SamplerConfig::Cmaes(options) => Box::new(cmaes::Cmaes::new(options, space)?),
            SamplerConfig::Tpe(options) => Box::new(tpe::Tpe::new(options, space)?),
            SamplerConfig::Gp(options) => Box::new(gp::Gp::new(options, space)?),
        })
    }
}
