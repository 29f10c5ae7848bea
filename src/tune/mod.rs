//! Tuning: sessions of many trials, and what their results are worth.

pub mod log;
pub mod trial;
