//! A venue's lists over HTTP: what may be asked, in which group and at which weight, and what comes of the answers.

use std::collections::BTreeMap;

use crossbook_engine::units::Price;
use tracing::{info, warn};

use super::stated::Stated;
use super::{Catalogue, binance, traded, upbit};
use crate::error::FeedError;
use crate::rest::rule::{Rule, WEIGHT};
use crate::rest::{Client, Clients};
use crate::venue::{Protocol, VenueConfig};
use crate::wire::WireError;

/// Markets asked for in one request, so that an address stays well under 2,000 characters.
const MARKETS_A_REQUEST: usize = 100;

/// Asks one venue for its lists.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    protocol: Protocol,
    venue: String,
}

impl Fetcher {
    /// For this venue, under the limits that all its requests share.
    ///
    /// # Errors
    /// [`FeedError::Protocol`] when `rest_url` is no address.
    pub fn new(clients: &Clients, venue: &VenueConfig) -> Result<Fetcher, FeedError> {
        Ok(Fetcher {
            client: clients.venue(venue)?,
            protocol: venue.protocol,
            venue: venue.name.clone(),
        })
    }

    /// All markets and their rules. Costs Upbit one request and one for each hundred markets, Binance a weight of 20 (spot:
    /// binance-spot-api-docs a5e0bc3) or 1 (USD-M: developers.binance.com, `Exchange-Information`, copy of 2026-01; read
    /// 2026-11-21). What the list states of request limits holds for the venue's budget from here on.
    ///
    /// # Errors
    /// When one of the requests fails or its answer is no such list: half a list is none.
    pub async fn catalogue(&self) -> Result<Catalogue, FeedError> {
        let catalogue = match self.protocol {
            Protocol::Upbit => self.upbit().await,
            Protocol::BinanceSpot => {
                let parse = |bytes: &[u8]| binance::parse(binance::Kind::Spot, bytes);
                self.ask("/api/v3/exchangeInfo", &[], WEIGHT, 20, parse).await
            }
            Protocol::BinanceUsdm => {
                let parse = |bytes: &[u8]| binance::parse(binance::Kind::Usdm, bytes);
                self.ask("/fapi/v1/exchangeInfo", &[], WEIGHT, 1, parse).await
            }
        }?;
        self.keep_to(&catalogue);
        Ok(catalogue)
    }

    fn keep_to(&self, catalogue: &Catalogue) {
        let (venue, limits) = (&self.venue, self.client.limits());
        let stated = Stated::read(&catalogue.limits, self.protocol.rule());
        for odd in stated.odd {
            warn!("{venue}: {odd}");
        }
        let words: Vec<String> = stated.rules.iter().map(Rule::to_string).collect();
        if limits.set(stated.rules) {
            info!("{venue}: request limits are now {}", words.join(", "));
        }
    }

    /// Traded value of the last 24 hours by market, in whole units of quote, of the markets quoted in `quote`. Costs Binance
    /// a weight of 80 (spot) or 40 (USD-M: `24hr-Ticker-Price-Change-Statistics`, copy of 2026-05); sources as above.
    ///
    /// # Errors
    /// When the request fails or its answer is no such list.
    pub async fn traded(&self, quote: &str) -> Result<BTreeMap<String, u128>, FeedError> {
        match self.protocol {
            Protocol::Upbit => {
                let query = [("quote_currencies", quote)];
                self.ask("/v1/ticker/all", &query, "ticker", 1, traded::parse_upbit)
                    .await
            }
            Protocol::BinanceSpot => {
                self.ask("/api/v3/ticker/24hr", &[], WEIGHT, 80, traded::parse_binance)
                    .await
            }
            Protocol::BinanceUsdm => {
                self.ask("/fapi/v1/ticker/24hr", &[], WEIGHT, 40, traded::parse_binance)
                    .await
            }
        }
    }

    async fn upbit(&self) -> Result<Catalogue, FeedError> {
        let query = [("is_details", "true")];
        let listings = self
            .ask("/v1/market/all", &query, "market", 1, upbit::parse_markets)
            .await?;
        let mut instruments: BTreeMap<String, Result<Price, WireError>> = BTreeMap::new();
        for some in listings.chunks(MARKETS_A_REQUEST) {
            let names: Vec<&str> = some.iter().map(|listing| listing.market.as_str()).collect();
            let names = names.join(",");
            let query = [("markets", names.as_str())];
            let parse = upbit::parse_instruments;
            instruments.extend(
                self.ask("/v1/orderbook/instruments", &query, "orderbook", 1, parse)
                    .await?,
            );
        }
        Ok(upbit::catalogue(listings, &instruments))
    }

    /// Asks, and reads the answer on a thread for such work: a list may be 20 MB, and books must not wait for it.
    async fn ask<T, P>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        group: &'static str,
        weight: u32,
        parse: P,
    ) -> Result<T, FeedError>
    where
        T: Send + 'static,
        P: FnOnce(&[u8]) -> Result<T, WireError> + Send + 'static,
    {
        let answer = self.client.get(path, query, group, weight).await?;
        let bytes = answer.body()?.clone();
        let read = tokio::task::spawn_blocking(move || parse(&bytes)).await;
        read.map_err(|error| FeedError::Protocol(format!("GET {path}: reading the answer: {error}")))?
            .map_err(|error| FeedError::Protocol(format!("GET {path}: {error}")))
    }
}
