//! How a tuning file writes a space: the `[space]` table.
//!
//! ```toml
//! [space]
//! "strategy.entry_bps" = { float = [2.0, 80.0] }
//! "strategy.max_hold_s" = { int = [60, 14400], log = true }
//! "strategy.fair_premium.model" = { choice = ["zero", "ewma"] }
//! "strategy.fair_premium.half_life_s" = { float = [60, 86400], log = true, when = { "strategy.fair_premium.model" = ["ewma"] } }
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Constraint, Domain, Param, Space, SpaceError, Value};

/// One line of the `[space]` table: exactly one of `float`, `int`, `choice`, `fixed`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamSpec {
    /// Lower and upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float: Option<[f64; 2]>,
    /// Lower and upper bound, both included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub int: Option<[i64; 2]>,
    /// The values to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Vec<Value>>,
    /// The value that it always has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Value>,
    /// Uniform in the logarithm; beside `float` and `int`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log: bool,
    /// Distance of neighbouring values; beside `float` and `int`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// Parameters with the values for which this one is asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, Vec<Value>>,
}

impl ParamSpec {
    fn domain(&self, name: &str) -> Result<Domain, SpaceError> {
        let kinds = [
            self.float.is_some(),
            self.int.is_some(),
            self.choice.is_some(),
            self.fixed.is_some(),
        ];
        let found = kinds.iter().filter(|given| **given).count();
        let unordered = |kind, domain| match (self.log, self.step) {
            (false, None) => Ok(domain),
            (log, _) => Err(SpaceError::Misplaced {
                name: name.to_owned(),
                key: if log { "log" } else { "step" },
                kind,
            }),
        };
        match (self.float, self.int, &self.choice, &self.fixed) {
            (Some([low, high]), None, None, None) => Ok(Domain::Float {
                low,
                high,
                log: self.log,
                step: self.step,
            }),
            (None, Some([low, high]), None, None) => {
                let step = self.step.unwrap_or(1.0);
                let whole = step as i64;
                if whole as f64 != step {
                    return Err(SpaceError::FractionalStep {
                        name: name.to_owned(),
                        step,
                    });
                }
                Ok(Domain::Int {
                    low,
                    high,
                    log: self.log,
                    step: whole,
                })
            }
            (None, None, Some(values), None) => unordered("choice", Domain::Choice(values.clone())),
            (None, None, None, Some(value)) => unordered("fixed", Domain::Fixed(value.clone())),
            _ => Err(SpaceError::Kind {
                name: name.to_owned(),
                found,
            }),
        }
    }
}

impl Space {
    /// The space of a `[space]` table and a list of constraints. Parameters come in the order of their names.
    ///
    /// # Errors
    /// As [`Space::new`] and [`Constraint::parse`], and for a table that does not say exactly one kind.
    pub fn from_spec(specs: &BTreeMap<String, ParamSpec>, constraints: &[String]) -> Result<Space, SpaceError> {
        let mut params = Vec::with_capacity(specs.len());
        for (name, spec) in specs {
            params.push(Param {
                name: name.clone(),
                domain: spec.domain(name)?,
                when: spec
                    .when
                    .iter()
                    .map(|(parent, values)| (parent.clone(), values.clone()))
                    .collect(),
            });
        }
        let constraints = constraints
            .iter()
            .map(|text| Constraint::parse(text))
            .collect::<Result<_, _>>()?;
        Space::new(params, constraints)
    }
}
