//! Datasets as the market of the loopback exchange: what was recorded happens again.
//!
//! Messages of several datasets are merged by time of receipt. What always holds: within a dataset order is kept, and at
//! equal times the dataset that was named first comes first. Rates, funding and what a feed said of itself are no part of
//! a spot market and are left out; where the recording has a gap the exchange's book stands still until its next snapshot.

use std::sync::Arc;

use crossbook_engine::event::{Chunk, EventKind};
use crossbook_engine::units::TimestampNs;
use crossbook_simex::config::Markets;
use crossbook_simex::exchange::Venue;
use crossbook_simex::market::recorded::Recorded;
use crossbook_simex::market::{ChangeKind, SourceError};
use thiserror::Error;

use super::reader::{ChunkReader, Dataset, ReadOptions};

/// Why datasets cannot be a market.
#[derive(Debug, Error)]
pub enum MarketError {
    /// A venue that the exchange does not have, or a series that is no book.
    #[error(
        "dataset {name}: {venue} {base}/{quote} is no market of the loopback exchange: it has upbit with KRW, USDT and BTC, binance and binance-usdm with USDT"
    )]
    Unknown {
        /// The dataset.
        name: String,
        /// Its venue.
        venue: String,
        /// What is bought.
        base: String,
        /// What is paid.
        quote: String,
    },
}

/// The messages of datasets in one order.
pub struct Messages {
    streams: Vec<Stream>,
}

struct Stream {
    name: String,
    venue: Venue,
    symbol: String,
    chunks: ChunkReader,
    chunk: Arc<Chunk>,
    at: usize,
}

/// The markets that these datasets need, and their messages.
///
/// # Errors
/// When one is of no market that the exchange can list.
pub fn as_market(datasets: &[Dataset], options: ReadOptions) -> Result<(Markets, Messages), MarketError> {
    let mut markets = Markets::first(0);
    let mut streams = Vec::new();
    for dataset in datasets {
        let manifest = dataset.manifest();
        let (venue, list) = match (&*manifest.venue, &*manifest.quote) {
            ("upbit", "KRW") => (Venue::Upbit, &mut markets.upbit_krw),
            ("upbit", "USDT") => (Venue::Upbit, &mut markets.upbit_usdt),
            ("upbit", "BTC") => (Venue::Upbit, &mut markets.upbit_btc),
            ("binance", "USDT") => (Venue::Binance, &mut markets.binance_usdt),
            ("binance-usdm", "USDT") => (Venue::BinanceUsdm, &mut markets.binance_usdm),
            _ => {
                return Err(MarketError::Unknown {
                    name: manifest.name.clone(),
                    venue: manifest.venue.clone(),
                    base: manifest.base.clone(),
                    quote: manifest.quote.clone(),
                });
            }
        };
        // KRW-USDT is always listed.
        let always = venue == Venue::Upbit && manifest.base == "USDT";
        if !always && !list.contains(&manifest.base) {
            list.push(manifest.base.clone());
        }
        let symbol = match venue {
            Venue::Upbit => format!("{}-{}", manifest.quote, manifest.base),
            Venue::Binance | Venue::BinanceUsdm => format!("{}{}", manifest.base, manifest.quote),
        };
        streams.push(Stream {
            name: manifest.name.clone(),
            venue,
            symbol,
            chunks: dataset.chunks(options),
            chunk: Arc::new(Chunk::default()),
            at: 0,
        });
    }
    Ok((markets, Messages { streams }))
}

impl Stream {
    /// Goes to the next message that belongs to a market; its time, or `None` at the end.
    fn look_ahead(&mut self) -> Result<Option<TimestampNs>, SourceError> {
        loop {
            if let Some(header) = self.chunk.headers().get(self.at) {
                let ts = header.ts_recv;
                match self.chunk.event(self.at) {
                    EventKind::Snapshot { .. } | EventKind::Update { .. } | EventKind::Trade { .. } => {
                        return Ok(Some(ts));
                    }
                    EventKind::Fx(_) | EventKind::Funding { .. } | EventKind::Status(_) => self.at += 1,
                }
                continue;
            }
            match self.chunks.next() {
                None => return Ok(None),
                Some(Ok(chunk)) => (self.chunk, self.at) = (chunk, 0),
                Some(Err(error)) => return Err(SourceError(format!("dataset {}: {error}", self.name))),
            }
        }
    }

    fn take(&mut self, ts: TimestampNs) -> Recorded {
        let (kind, bids, asks) = match self.chunk.event(self.at) {
            EventKind::Snapshot { bids, asks, .. } => (ChangeKind::Snapshot, bids.to_vec(), asks.to_vec()),
            EventKind::Trade { price, qty, taker } => (ChangeKind::Trade { price, qty, taker }, Vec::new(), Vec::new()),
            EventKind::Update { bids, asks } => (ChangeKind::Update, bids.to_vec(), asks.to_vec()),
            EventKind::Fx(_) | EventKind::Funding { .. } | EventKind::Status(_) => {
                (ChangeKind::Update, Vec::new(), Vec::new())
            }
        };
        self.at += 1;
        Recorded {
            ts,
            venue: self.venue,
            symbol: self.symbol.clone(),
            kind,
            bids,
            asks,
        }
    }
}

impl Iterator for Messages {
    type Item = Result<Recorded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut first: Option<(TimestampNs, usize)> = None;
        for (index, stream) in self.streams.iter_mut().enumerate() {
            match stream.look_ahead() {
                Ok(None) => {}
                Ok(Some(ts)) if first.is_none_or(|(earliest, _)| ts < earliest) => first = Some((ts, index)),
                Ok(Some(_)) => {}
                Err(error) => {
                    self.streams.clear();
                    return Some(Err(error));
                }
            }
        }
        let (ts, index) = first?;
        Some(Ok(self.streams.get_mut(index)?.take(ts)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crossbook_simex::config::{Config, market_list};
    use crossbook_simex::exchange::{Exchange, MarketEventKind, Notice, Parts};
    use crossbook_simex::market::recorded::Recording;

    use super::*;

    const START: TimestampNs = TimestampNs(1_790_000_000_000_000_000);

    fn shipped(name: &str) -> Dataset {
        Dataset::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(name)).unwrap()
    }

    #[test]
    fn a_recorded_pair_happens_again_at_ten_times_its_speed() {
        let datasets = [shipped("demo-upbit-krw-btc"), shipped("demo-binance-btcusdt")];
        let (markets, messages) = as_market(&datasets, ReadOptions::default()).unwrap();
        let config = Config {
            markets,
            ..Config::default()
        };
        let list = market_list(&config).unwrap();
        let parts = Parts {
            source: Some(Box::new(Recording::new(messages, &list, START, 10.0))),
            ..Parts::default()
        };
        let mut exchange = Exchange::with(&config, START, parts).unwrap();
        let mut out = Vec::new();
        exchange.advance(START.plus(2_000_000_000), &mut out).unwrap();
        let mut books = [0, 0];
        for notice in &out {
            let Notice::Market(event) = notice else { continue };
            if matches!(event.kind, MarketEventKind::Book { .. }) {
                books[event.venue as usize] += 1;
            }
        }
        assert!(
            books[0] > 5 && books[1] > 5,
            "{books:?} changes in twenty recorded seconds"
        );
        for (venue, symbol) in [(Venue::Upbit, "KRW-BTC"), (Venue::Binance, "BTCUSDT")] {
            let view = exchange.book(venue, symbol, 1).unwrap();
            assert!(view.bids[0].price < view.asks[0].price, "{symbol}");
        }
    }

    #[test]
    fn a_rate_is_no_market() {
        let refused = as_market(&[shipped("demo-usdkrw")], ReadOptions::default())
            .map(|_| ())
            .unwrap_err();
        assert!(refused.to_string().contains("demo-usdkrw"), "{refused}");
    }
}
