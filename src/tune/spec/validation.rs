//! What part of the data the tuner may see. The geometry itself is drawn in [`super::super::evaluate`].

use serde::{Deserialize, Serialize};

/// How the data are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not at all: everything is in sample.
    #[default]
    None,
    /// Once: the end is kept for the test.
    Split,
    /// Several times, each test later than the last.
    WalkForward,
}

/// What is kept from the tuner.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// How the data are divided.
    pub mode: Mode,
    /// Tests of a walk-forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<u32>,
    /// Share of each scenario's window that is tested on, all folds together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_fraction: Option<f64>,
    /// What is left out between training and test; the longest `max_hold_s` of the session when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embargo_s: Option<f64>,
    /// Whether every training window begins with the data; else it moves on with the test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchored: Option<bool>,
    /// Length of the periods that results are cut into; chosen by the length of the training window when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_s: Option<f64>,
}

impl Validation {
    /// With defaults filled in for its mode, checked.
    ///
    /// # Errors
    /// The key that is wrong, and what is allowed.
    pub(super) fn resolved(&self) -> Result<Validation, (&'static str, &'static str)> {
        let mut all = self.clone();
        match self.mode {
            Mode::None => {
                let given = [
                    ("folds", self.folds.is_some()),
                    ("test_fraction", self.test_fraction.is_some()),
                    ("embargo_s", self.embargo_s.is_some()),
                    ("anchored", self.anchored.is_some()),
                ];
                if let Some((key, _)) = given.into_iter().find(|(_, given)| *given) {
                    return Err((key, "means something only with mode = \"split\" or \"walk_forward\""));
                }
            }
            Mode::Split => {
                if self.folds.is_some_and(|folds| folds != 1) {
                    return Err(("folds", "a split has one; use mode = \"walk_forward\" for several"));
                }
                all.folds = Some(1);
                all.test_fraction.get_or_insert(0.3);
                all.anchored.get_or_insert(true);
            }
            Mode::WalkForward => {
                all.folds.get_or_insert(5);
                all.test_fraction.get_or_insert(0.5);
                all.anchored.get_or_insert(true);
            }
        }
        if all.folds.is_some_and(|folds| !(1..=1000).contains(&folds)) {
            return Err(("folds", "1 to 1000 is allowed"));
        }
        if all.test_fraction.is_some_and(|share| !(0.01..=0.9).contains(&share)) {
            return Err(("test_fraction", "0.01 to 0.9 is allowed"));
        }
        if all.embargo_s.is_some_and(|span| !(0.0..=1e8).contains(&span)) {
            return Err(("embargo_s", "0 to 100000000 is allowed"));
        }
        if all.period_s.is_some_and(|span| !(0.001..=1e8).contains(&span)) {
            return Err(("period_s", "0.001 to 100000000 is allowed"));
        }
        Ok(all)
    }
}
