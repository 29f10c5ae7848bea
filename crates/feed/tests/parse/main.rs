//! The readers of messages from outside: against a slow reference, on recordings, and counting allocations.

mod agree;
mod allocations;
mod real;
mod reference;
mod samples;
