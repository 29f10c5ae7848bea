//! What having chosen the best of many trials does to its figures.
//!
//! Formulas, sources and how they are meant to be read: `docs/tuning-guards.md`. Everything here works on plain results per
//! period; which trials and which periods those are is the caller's business. What is not defined is `None`, never NaN.

pub mod bootstrap;
pub mod cscv;
pub mod normal;
pub mod plateau;
pub mod sharpe;
pub mod splits;
pub mod trials;
pub mod walk_forward;
