//! Search spaces: parameters with their ranges, and the values that they take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; never NaN or infinite.
    Float(f64),
    /// A word.
    Text(String),
}

/// Values of the active parameters, by name.
pub type Params = BTreeMap<String, Value>;
