//! Tuning: sessions of many trials, and what their results are worth.

pub mod export;
pub mod log;
pub mod pictures;
pub mod results;
pub mod evaluate;
pub mod log;
pub mod objective;
pub mod spec;
pub mod stress;
pub mod trial;
