//! Uniform draws in the encoding of the space (log-uniform where the scale is logarithmic), under its constraints.

use serde::{Deserialize, Serialize};

use super::{Sampler, SamplerError, View};

/// No options.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomOptions {}

/// See the module.
#[derive(Debug)]
pub struct Random;

impl Sampler for Random {
    fn propose(&mut self, view: &View<'_>) -> Result<Option<Vec<f64>>, SamplerError> {
        Ok(Some(view.space.sample(&mut view.rng())?))
    }
}
