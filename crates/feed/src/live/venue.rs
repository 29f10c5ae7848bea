//! What the pipeline knows of a venue: its markets by name, its connections, its clock, and where its frames went.

use std::collections::HashMap;

use crossbook_engine::book::sync::SequenceRule;

use super::account::Account;
use super::clocks::{Latency, VenueClock};
use super::links::Links;
use super::nanos;
use crate::book::{Kind, MarketIx};
use crate::connection::plan;
use crate::venue::{Protocol, StreamKind, VenueConfig};

#[derive(Debug)]
pub(super) struct VenueState {
    pub name: String,
    pub protocol: Protocol,
    pub by_symbol: HashMap<String, MarketIx>,
    /// Which stream makes the books.
    pub source: StreamKind,
    pub links: Links,
    pub account: Account,
    pub latency: Latency,
    pub clock: VenueClock,
    pub stale_ns: i64,
    /// When a connection was given up because nothing on it was new.
    pub renewed_ns: Option<i64>,
    pub stale_ms: u64,
    /// Why the frame in hand was passed over; a buffer.
    pub ignored: String,
}

impl VenueState {
    /// A venue whose books `source` makes, with its markets in the order of its configuration.
    pub fn new(
        config: &VenueConfig,
        symbols: &[String],
        by_symbol: HashMap<String, MarketIx>,
        source: StreamKind,
    ) -> VenueState {
        // Who cannot connect as configured is told so by the connections; a recording is read all the same.
        let by_count = || symbols.len().div_ceil(usize::from(config.markets_per_socket.max(1)));
        let sockets = plan(config, symbols).map_or_else(|_| by_count(), |plans| plans.len());
        VenueState {
            name: config.name.clone(),
            protocol: config.protocol,
            by_symbol,
            source,
            links: Links::new(sockets, config.data_source, nanos(config.rest.fallback_after_ms)),
            account: Account::default(),
            latency: Latency::new(),
            clock: VenueClock::new(nanos(config.books.clock_ahead_ms)),
            stale_ns: nanos(config.books.stale_after_ms),
            renewed_ns: None,
            stale_ms: config.books.stale_after_ms,
            ignored: String::new(),
        }
    }
}

/// Which of a venue's streams makes its books.
pub(super) fn book_source(config: &VenueConfig) -> Option<StreamKind> {
    [StreamKind::Book, StreamKind::PartialBook, StreamKind::BookTicker]
        .into_iter()
        .find(|kind| config.streams().contains(kind))
}

/// How a book comes that this stream makes.
pub(super) fn kind_of(protocol: Protocol, source: StreamKind) -> Kind {
    match (protocol, source) {
        (Protocol::Upbit, _) => Kind::Whole(SequenceRule::UpbitTimestamp),
        (Protocol::BinanceSpot, StreamKind::Book) => Kind::Diffs(SequenceRule::BinanceSpot),
        (Protocol::BinanceUsdm, StreamKind::Book) => Kind::Diffs(SequenceRule::BinanceFutures),
        // Whole books with the id of their newest change: none that goes back is taken.
        (Protocol::BinanceSpot | Protocol::BinanceUsdm, _) => Kind::Whole(SequenceRule::None),
    }
}
