//! Tuning: sessions of many trials, and what their results are worth.

pub mod export;
pub mod log;
pub mod pictures;
pub mod results;
pub mod trial;
