//! Datasets: folders with a `dataset.toml` manifest and canonical Parquet, one instrument (or one rate series) each.
//!
//! [`message::Message`] is what importers and generators produce, [`writer`] makes a dataset of them, [`reader`] gives
//! them back as checked [`crossbook_engine::event::Chunk`]s in bounded memory.
//!
//! What always holds: a dataset is written whole or not at all; each of its two files carries a hash, so a changed byte
//! is found before the first message is believed; time of receipt never goes back.

mod columns;
pub mod convert;
mod distribution;
mod error;
pub(crate) mod events;
pub mod import;
pub mod inspect;
pub mod manifest;
pub mod market;
pub mod message;
pub mod reader;
mod scan;
pub mod sort;
pub mod synth;
pub mod validate;
pub mod writer;

pub use error::DatasetError;

#[cfg(test)]
mod tests;
