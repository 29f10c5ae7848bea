//! The shells that own files, threads and clocks around the pure engine.

pub mod record;
pub mod replay;
pub mod setup;
