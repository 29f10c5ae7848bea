//! crossbook: replay recorded order books of two or more venues to a result one can believe.
//!
//! The pure part (everything that decides or accounts) is the package `crossbook-engine`; this package gives it files
//! to read, places to write and a command line.

pub mod cli;
pub mod config;
pub mod dataset;
pub mod report;
pub mod runner;
pub mod sink;
pub mod tune;
