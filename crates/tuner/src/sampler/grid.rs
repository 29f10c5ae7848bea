//! Every point of a grid once: all values of ints, steps and choices, a few evenly spaced ones of each continuous float
//! (both ends included). Points that violate a constraint are left out, inactive parameters do not multiply.
//!
//! The points come in a seeded random order unless `shuffle = false`, so that a budget smaller than the grid looks at all
//! of it evenly rather than at one corner.

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

use super::{Sampler, SamplerError, View};
use crate::space::{Coordinate, Space, SpaceError};

/// Options of the grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridOptions {
    /// Values of each continuous float. Default 5.
    pub points: u64,
    /// A grid with more points than this is refused. Default 100,000.
    pub max_points: u64,
    /// Seeded random order instead of the space's. Default true.
    pub shuffle: bool,
}

impl Default for GridOptions {
    fn default() -> Self {
        GridOptions {
            points: 5,
            max_points: 100_000,
            shuffle: true,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Grid {
    /// Coordinates of all points, one after the other.
    points: Vec<f64>,
    dimensions: usize,
}

impl Grid {
    /// Lays out the grid.
    ///
    /// # Errors
    /// When it would have more than `max_points` points, or none.
    pub fn new(options: &GridOptions, space: &Space, seed: u64) -> Result<Grid, SamplerError> {
        if options.points == 0 {
            return Err(SamplerError::Option {
                sampler: "grid",
                option: "points",
                allowed: "at least 1",
                value: 0.0,
            });
        }
        let dimensions = space.dimensions();
        let levels: Vec<u64> = (0..dimensions)
            .map(|index| match space.coordinate(index) {
                Coordinate::Continuous => options.points,
                Coordinate::Ordered(cells) | Coordinate::Choice(cells) => cells,
            })
            .collect();
        let count = space.count(&levels);
        if count > options.max_points {
            return Err(SamplerError::GridTooLarge {
                points: count,
                limit: options.max_points,
            });
        }
        let mut rows: Vec<Vec<f64>> = Vec::new();
        space.walk(&levels, &mut |point| {
            rows.push(point.to_vec());
            true
        });
        if rows.is_empty() {
            return Err(SpaceError::Infeasible {
                draws: count as u32,
                constraints: space.constraints().iter().map(ToString::to_string).collect(),
            }
            .into());
        }
        if options.shuffle {
            let mut rng = Rng::stream(seed, "tuner.grid");
            for last in (1..rows.len()).rev() {
                rows.swap(last, rng.below(last as u64 + 1) as usize);
            }
        }
        Ok(Grid {
            points: rows.concat(),
            dimensions,
        })
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.points.len() / self.dimensions
    }

    /// Whether there are none; a grid that was made has some.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

impl Sampler for Grid {
    fn propose(&mut self, view: &View<'_>) -> Result<Option<Vec<f64>>, SamplerError> {
        let from = view.tried.len().saturating_mul(self.dimensions);
        Ok(self
            .points
            .get(from..from.saturating_add(self.dimensions))
            .map(<[f64]>::to_vec))
    }
}
