//! Tuning sessions from outside.

mod export;
mod pictures;
mod samples;
