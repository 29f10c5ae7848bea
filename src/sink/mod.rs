//! Where results go. A sink listens; it never changes what it is told.

pub mod file;
mod rows;
pub mod run_dir;
mod table;

pub use run_dir::{Existing, Extras, RunDirError, RunDirWriter};
