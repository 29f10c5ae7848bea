//! Rates beside a pipeline: books and readings into the book of rates, its events to whoever records and decides.
//!
//! Nothing here is asynchronous and nothing is lost on a replay: fed with the same inputs, in the same order as the pipeline,
//! it gives the same events.

use crossbook_engine::event::EventKind;
use thiserror::Error;

use super::{FxBook, FxConfig, FxConfigError, FxEvent, SourceIx, SourceKind};
use crate::book::{MarketIx, Output};
use crate::clock::Stamp;
use crate::input::{Body, Input, Note};
use crate::live::Pipeline;

/// A book of rates that follows the live books of a pipeline.
#[derive(Debug)]
pub struct FxDesk {
    book: FxBook,
    /// Which live books are sources.
    followed: Vec<Followed>,
}

#[derive(Debug)]
struct Followed {
    market: MarketIx,
    source: SourceIx,
    /// When there was new content or another health, since it was looked at last.
    news: Option<Stamp>,
}

/// Why a desk cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FxDeskError {
    /// The section makes no sense.
    #[error(transparent)]
    Config(#[from] FxConfigError),
    /// A source is the book of a market that is not subscribed to.
    #[error("[fx] source `{source_name}`: {venue} has no market `{market}` among those that are subscribed to")]
    Market {
        /// The source.
        source_name: String,
        /// Name of the venue.
        venue: String,
        /// The market.
        market: String,
    },
}

impl FxDesk {
    /// A desk for the markets of this pipeline.
    ///
    /// # Errors
    /// [`FxDeskError`].
    pub fn new(config: FxConfig, pipeline: &Pipeline) -> Result<FxDesk, FxDeskError> {
        let mut followed = Vec::new();
        let book = FxBook::new(config.clone())?;
        for source in &config.sources {
            let SourceKind::Book { venue, market, .. } = &source.from else {
                continue;
            };
            let found = pipeline
                .markets()
                .find(|(_, there)| there.symbol() == market && pipeline.venue_name(there.venue()) == Some(venue));
            let (Some((market, _)), Some(source)) = (found, book.source(&source.name)) else {
                return Err(FxDeskError::Market {
                    source_name: source.name.clone(),
                    venue: venue.clone(),
                    market: market.clone(),
                });
            };
            followed.push(Followed {
                market,
                source,
                news: None,
            });
        }
        Ok(FxDesk { book, followed })
    }

    /// To be told of each output of the pipeline, while it makes them.
    pub fn output(&mut self, output: &Output<'_>) {
        let (market, at) = match output {
            Output::Event(event) if matches!(event.kind, EventKind::Snapshot { .. } | EventKind::Update { .. }) => {
                (event.market, event.stamp)
            }
            Output::Health(market, health) => (*market, health.since),
            _ => return,
        };
        for followed in self.followed.iter_mut().filter(|followed| followed.market == market) {
            followed.news = Some(at);
        }
    }

    /// To be told of each input, after the pipeline has taken it (a tick as well): what follows for the rate goes to `out`.
    pub fn input(&mut self, input: &Input, pipeline: &Pipeline, out: &mut Vec<FxEvent>) {
        for followed in &mut self.followed {
            let (Some(at), Some(market)) = (followed.news.take(), pipeline.market(followed.market)) else {
                continue;
            };
            let top = market.book().top().ok().filter(|_| market.health().is_live());
            let top = top.map(|(bid, ask)| (bid.price, ask.price));
            // Of its content, not of its health: a book that is believed again may be an old one.
            let ts_event = market.book().ts_event();
            self.book.on_book(at, followed.source, top, ts_event, out);
        }
        match &input.body {
            Body::Note(note) => match &**note {
                Note::Fx(reading) => self.book.on_reading(input.stamp, reading, out),
                Note::Rules(_) => self.book.advance(input.stamp, out),
            },
            _ => self.book.advance(input.stamp, out),
        }
    }

    /// The rates.
    pub fn book(&self) -> &FxBook {
        &self.book
    }
}
