//! One live market: what enters its book, and whether the book can be believed.

mod kept;
mod market;
mod output;
mod same_time;

pub use market::{Counts, Fate, Kind, MarketBook, Message, Settled};
pub use output::{Cause, Flag, Gap, Health, LiveEvent, MarketIx, Out, Output, State};
