//! Where events come from.
//!
//! [`wire`] reads what venues send; importers of recordings and live connections share it.

pub mod wire;
