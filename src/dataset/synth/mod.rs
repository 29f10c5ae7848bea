//! Seeded two-venue markets, for proofs and demonstrations: the same specification and seed give the same bytes.
//!
//! A [`Spec`] says what the market is like; [`generate`] walks it once, in bounded memory, and hands every message to a
//! sink together with the index of its stream; [`market_in_memory`] collects them as chunks ready to be replayed. Books
//! are made of integers on the grid of prices; the processes behind them are `f64` with `libm`, drawn from named
//! random streams, on one thread. What the model is and is not: `docs/synthetic.md`.

mod candle_files;
#[cfg(test)]
mod candle_tests;
mod candles;
mod check;
mod ladder;
mod latent;
mod market;
mod memory;
mod publisher;
mod spec;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use crossbook_engine::units::TimestampNs;
use thiserror::Error;

pub use candle_files::{Candle, CandleError, CandleFiles};
pub use candles::lay_over_candles;
pub use memory::market_in_memory;
pub use spec::*;

use super::manifest::{DatasetKind, Draft, MarketRules, Source};
use super::message::Message;

/// Where messages go: the index of the stream in [`streams`], and the message, whose buffers are used again.
pub type Sink<'a, E> = dyn FnMut(usize, &Message) -> Result<(), E> + 'a;

/// Why a market could not be made.
#[derive(Debug, Error)]
pub enum SynthError<E = Infallible> {
    /// The specification.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A candle.
    #[error(transparent)]
    Candles(#[from] CandleError),
    /// A price that left the range in which a book can be made (at least a tick, at most 9e10).
    #[error("`{key}`: at {} the price {price} has no place on the grid; lower the volatility or the duration", time(*.at))]
    Price {
        /// The market, as a key of the specification.
        key: &'static str,
        /// When.
        at: TimestampNs,
        /// The price that cannot be used.
        price: String,
    },
    /// More levels than one chunk can hold.
    #[error(transparent)]
    Chunk(#[from] crossbook_engine::event::ChunkError),
    /// The sink refused a message.
    #[error("{0}")]
    Sink(E),
}

fn time(at: TimestampNs) -> String {
    super::manifest::rfc3339(at)
}

/// What each stream of a specification is, in the order of the sink's indices: A, B, then the exchange rate and the book
/// of the quote currencies, where given.
///
/// # Errors
/// [`SpecError::Syntax`] when the specification cannot be written out.
pub fn streams(spec: &Spec) -> Result<Vec<Draft>, SpecError> {
    let market = |market: &MarketSpec| Draft {
        sequence: market.sequence(),
        clock_offset_ns: if market.clock_offset_declared {
            market.clock_offset_ms * 1_000_000
        } else {
            0
        },
        rules: MarketRules {
            tick: Some(market.tick),
            lot: market.lot,
            min_qty: market.min_qty,
            min_notional: market.min_notional,
        },
        ..Draft::new(
            &market.dataset,
            &market.venue,
            &market.symbol,
            DatasetKind::Book,
            &market.base,
            &market.quote,
        )
    };
    let mut drafts = vec![market(&spec.a), market(&spec.b)];
    if let Some(fx) = &spec.fx {
        let symbol = format!("{}/{}", spec.b.quote, spec.a.quote);
        drafts.push(Draft::new(
            &fx.dataset,
            "synth",
            &symbol,
            DatasetKind::Fx,
            &spec.b.quote,
            &spec.a.quote,
        ));
    }
    if let Some(usdt) = &spec.usdt {
        drafts.push(market(&usdt.market));
    }
    let (made_of, licence) = match &spec.candles {
        None => (String::new(), "CC0-1.0"),
        Some(candles) => (
            format!(" over minute candles of {}", candles.source),
            candles.licence.as_str(),
        ),
    };
    let text = format!(
        "synthetic market \"{}\" with seed {}{made_of}, made by `crossbook dataset synth` of this specification:\n{}",
        spec.name,
        spec.seed,
        spec.canonical_text()?
    );
    for draft in &mut drafts {
        draft.source = Source {
            text: text.clone(),
            url: String::new(),
        };
        draft.licence = licence.to_owned();
    }
    Ok(drafts)
}

/// Makes a market of a price model and hands its messages to the sink, stream by stream in order of receipt.
///
/// # Errors
/// A specification out of range or with `candles` (see [`lay_over_candles`]), a price that leaves the range, or
/// whatever the sink returns.
pub fn generate<E>(spec: &Spec, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
    spec.check()?;
    market::run(spec, sink)
}
