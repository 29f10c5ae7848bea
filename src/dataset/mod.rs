//! Datasets: folders with a `dataset.toml` manifest and canonical Parquet, one instrument (or one rate series) each.
//!
//! [`message::Message`] is what importers and generators produce, [`writer`] makes a dataset of them, [`reader`] gives
//! them back as checked [`crossbook_engine::event::Chunk`]s in bounded memory.

pub mod message;
