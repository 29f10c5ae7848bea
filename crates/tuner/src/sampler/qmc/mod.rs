//! Quasi-random points: more even than random ones, in every number of trials. Sobol's sequence with Owen's scrambling,
//! and Halton's with random permutations of its digits.
//!
//! Sources: Joe and Kuo, "Constructing Sobol sequences with better two-dimensional projections" (2008); Owen, "Randomly
//! permuted (t,m,s)-nets and (t,s)-sequences" (1995); Owen, "A randomized Halton algorithm in R" (2017).
//!
//! - The trial with id `k` is the point of the sequence with the `k`-th smallest index among those that satisfy the
//!   constraints: what violates them is skipped.
//! - Every parameter with a choice has a dimension of its own, in the order of the space, whether it is active or not; so
//!   the points of one branch are a subset of the sequence. A fixed parameter has none.
//! - Results are not looked at.

mod sequence;
#[cfg(test)]
mod tests;

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

use self::sequence::{MAX_DIMENSIONS, Sequence};
use super::{Sampler, SamplerError, View};
use crate::space::{Coordinate, Space, SpaceError};

/// Options of both sequences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QmcOptions {
    /// Randomised by the seed. Without it every seed gives the published sequence, whose first point is the low end of
    /// every range. Default true.
    pub scramble: bool,
}

impl Default for QmcOptions {
    fn default() -> Self {
        QmcOptions { scramble: true }
    }
}

/// Points in a row that may violate the constraints before the sampler gives up.
const SKIPS: u32 = 10_000;

/// See the module.
#[derive(Debug)]
pub struct Qmc {
    sequence: Sequence,
    /// Parameters that have a dimension.
    moving: Vec<usize>,
    /// Feasible points passed so far, and the index after the last of them.
    passed: u64,
    next: u64,
}

impl Qmc {
    /// Sobol's sequence.
    ///
    /// # Errors
    /// When the space has more moving parameters than there are direction numbers for.
    pub fn sobol(options: &QmcOptions, space: &Space, seed: u64) -> Result<Qmc, SamplerError> {
        let moving = moving("sobol", space)?;
        let mut rng = options.scramble.then(|| Rng::stream(seed, "tuner.sobol"));
        let sequence = Sequence::sobol(moving.len(), rng.as_mut());
        Ok(Qmc::new(sequence, moving))
    }

    /// Halton's sequence.
    ///
    /// # Errors
    /// When the space has more moving parameters than [`Qmc::sobol`] takes.
    pub fn halton(options: &QmcOptions, space: &Space, seed: u64) -> Result<Qmc, SamplerError> {
        let moving = moving("halton", space)?;
        let mut rng = options.scramble.then(|| Rng::stream(seed, "tuner.halton"));
        let sequence = Sequence::halton(moving.len(), rng.as_mut());
        Ok(Qmc::new(sequence, moving))
    }

    fn new(sequence: Sequence, moving: Vec<usize>) -> Qmc {
        Qmc {
            sequence,
            moving,
            passed: 0,
            next: 0,
        }
    }

    /// The next feasible point.
    fn advance(&mut self, space: &Space) -> Result<Vec<f64>, SamplerError> {
        let mut point = vec![0.5; space.dimensions()];
        for _ in 0..SKIPS {
            for (&at, u) in self.moving.iter().zip(self.sequence.point(self.next)) {
                point[at] = u;
            }
            self.next += 1;
            space.snap(&mut point);
            if space.feasible(&point) {
                self.passed += 1;
                return Ok(point);
            }
        }
        Err(SpaceError::Infeasible {
            draws: SKIPS,
            constraints: space.constraints().iter().map(ToString::to_string).collect(),
        }
        .into())
    }
}

impl Sampler for Qmc {
    fn propose(&mut self, view: &View<'_>) -> Result<Option<Vec<f64>>, SamplerError> {
        let id = view.tried.len() as u64;
        if id < self.passed {
            (self.passed, self.next) = (0, 0);
        }
        while self.passed < id {
            self.advance(view.space)?;
        }
        self.advance(view.space).map(Some)
    }
}

/// Parameters with more than one value.
fn moving(sampler: &'static str, space: &Space) -> Result<Vec<usize>, SamplerError> {
    let moves = |&index: &usize| !matches!(space.coordinate(index), Coordinate::Ordered(1) | Coordinate::Choice(1));
    let moving: Vec<usize> = (0..space.dimensions()).filter(moves).collect();
    if moving.len() > MAX_DIMENSIONS {
        return Err(SamplerError::TooManyParameters {
            sampler,
            parameters: moving.len(),
            limit: MAX_DIMENSIONS,
        });
    }
    Ok(moving)
}
