//! Tuning: sessions of many trials, and what their results are worth.

pub mod evaluate;
pub mod export;
pub mod log;
pub mod objective;
pub mod pictures;
pub mod results;
pub mod session;
pub mod spec;
pub mod store;
pub mod stress;
pub mod trial;
pub mod validation;
pub mod worker;
