//! Tests that see crossbook from outside, in one binary: linking against polars once is dear enough.

mod dataset;
mod import;
mod real_import;
mod report;
mod synth;
mod tidy;
