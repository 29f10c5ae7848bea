//! Which pits are dug out.
//!
//! Near a converged search the process sees most of its points in one pit, takes what is flat there for flat everywhere, and
//! is too sure of the rest: expected improvement comes to nothing although the best pit may never have been met. So a pit
//! whose model expects next to nothing is *closed*: what correlates with its best trial, under the length scales of that
//! model, is left out, and a model of its own, of the trials outside all closed pits, looks for an improvement on the best
//! of them (a restart that keeps what is known; compare the restarts of Eriksson et al., "Scalable global optimization via
//! local Bayesian optimization", 2019). With those length scales a valley is closed along its whole flat direction, not
//! only around the best trial.
//!
//! Closing may come too soon: every [`WHOLE_EVERY`]th trial comes from the model of all trials, closed pits or not.

use super::model::{Axis, Hyper, correlation, weights};

/// Logarithm of the expected improvement, in deviations of the targets, below which a pit is closed.
pub const CONVERGED: f64 = -9.0;
/// Once a pit is closed, trials whose id is a multiple of this look at the whole space.
pub const WHOLE_EVERY: usize = 3;
/// Correlation with the best trial of a pit from which a point belongs to it.
const INSIDE: f64 = 0.2;

/// A region around a best trial.
#[derive(Debug, Clone)]
pub struct Pit {
    centre: Vec<f64>,
    weights: Vec<f64>,
}

impl Pit {
    /// The pit whose best trial is at `centre`, with the length scales of the model that dug it out.
    pub fn new(centre: Vec<f64>, hyper: &Hyper) -> Pit {
        Pit {
            centre,
            weights: weights(hyper),
        }
    }

    /// Whether a point belongs to it.
    pub fn holds(&self, axes: &[Axis], row: &[f64]) -> bool {
        correlation(axes, &self.weights, &self.centre, row) > INSIDE
    }
}
