//! The pure part of tuning: search spaces, samplers behind one ask/tell interface, and the statistics of having chosen the
//! best of many trials.
//!
//! It reads no file, no clock and no unseeded randomness; what a sampler proposes is a function of the space, the seed and
//! the results told so far, in any order within a batch.

pub mod guards;
pub mod importance;
pub mod protocol;
pub mod sampler;
pub mod space;
pub mod study;
