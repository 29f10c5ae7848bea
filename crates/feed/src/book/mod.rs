//! One live market: what enters its book, and whether the book can be believed.

mod kept;
mod market;
mod message;
mod output;
mod same_time;

pub use market::MarketBook;
pub use message::{Counts, Fate, Kind, Message, Settled};
pub use output::{Cause, Flag, Gap, Health, LiveEvent, MarketIx, Out, Output, State};
