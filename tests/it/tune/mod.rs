//! Tuning sessions from outside.

mod evaluate;
mod export;
mod pictures;
mod samples;
mod sessions;
