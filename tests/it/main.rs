//! Tests that see crossbook from outside, in one binary: linking against polars once is dear enough.

mod acceptance;
mod by_hand;
mod cli;
mod dataset;
mod determinism;
mod faults;
mod import;
mod lab;
mod no_edge;
mod process;
mod real;
mod real_import;
mod record;
mod redis_server;
mod report;
mod synth;
mod tidy;
mod tune;
