//! What a run looks like afterwards: statistics, pictures, the HTML report.
//!
//! Nothing here decides or accounts: figures are derived from the rows that a run left behind, in `f64` and in a fixed
//! order, and the same rows always give the same bytes.

pub mod font;
pub mod meta;
pub mod money;
pub mod plots;
pub mod statistics;
pub mod summary;

pub use meta::{CurrencyInfo, InputInfo, InstrumentInfo, Run, RunMeta, Window};
pub use money::Money;
pub use statistics::Statistics;
pub use summary::Summary;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The spelling of a plain enum's variant in files (`broken_entry`): the one that `serde` gives it.
pub fn word<T: Serialize>(variant: &T) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("not a plain enum: {other:?}"),
    }
}

/// The variant of a plain enum that is spelled so, if there is one.
pub fn from_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_string())).ok()
}

#[cfg(test)]
pub mod samples;
