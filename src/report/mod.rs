//! What a run looks like afterwards: statistics, pictures, the HTML report.
//!
//! Nothing here decides or accounts: figures are derived from the rows that a run left behind, in `f64` and in a fixed
//! order, and the same rows always give the same bytes.

pub mod font;
