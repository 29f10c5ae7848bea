//! From a configuration to what is recorded: venues asked for their lists, markets chosen and checked. Nothing is written yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crossbook_feed::clock::Clock;
use crossbook_feed::error::FeedError;
use crossbook_feed::fx::{FxConfig, SourceKind};
use crossbook_feed::journal::JournalConfig;
use crossbook_feed::rest::Clients;
use crossbook_feed::rules::fetch::Fetcher;
use crossbook_feed::rules::select::{MarketsConfig, SelectError, Selection, Side};
use crossbook_feed::rules::{Catalogue, MarketError};
use crossbook_feed::run::{Setup, VenueSetup};

use crate::config::record::RecordConfig;

/// What is recorded.
#[derive(Debug)]
pub struct Plan {
    /// Venues with their markets, and rates.
    pub setup: Setup,
    /// What each venue lists, in the same order.
    pub(super) lists: Vec<Catalogue>,
    /// Who asks each venue for its lists.
    pub(super) fetchers: Vec<Fetcher>,
    pub(super) clients: Clients,
    pub(super) clock: Clock,
    /// How the journal is written.
    pub journal: JournalConfig,
    /// Where to.
    pub out: PathBuf,
    /// How often progress is told.
    pub progress: Duration,
    /// Seed of jitter.
    pub seed: u64,
    /// Coins that were looked at and left out, with the reason.
    pub left_out: Vec<(String, String)>,
}

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A venue does not give its lists.
    #[error("{venue}: market lists cannot be had: {source}")]
    Lists {
        /// Which.
        venue: String,
        /// Why.
        source: FeedError,
    },
    /// HTTP cannot be set up at all.
    #[error(transparent)]
    Client(#[from] FeedError),
    /// The markets cannot be chosen as configured.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// Markets that are not there or do not trade.
    #[error("{}", list(.0))]
    Markets(Vec<MarketError>),
    /// Nothing is left to record.
    #[error("no market to record")]
    Nothing,
}

fn list(errors: &[MarketError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Asks the venues and chooses. `symbols` narrows the choice to these coins or markets.
///
/// # Errors
/// [`PlanError`].
pub async fn plan(config: &RecordConfig, symbols: &[String]) -> Result<Plan, PlanError> {
    let clock = Clock::system();
    let clients = Clients::new(clock.clone())?;
    let mut fetchers = Vec::new();
    let mut lists = Vec::new();
    for venue in &config.venue {
        let failed = |source| PlanError::Lists {
            venue: venue.name.clone(),
            source,
        };
        let fetcher = Fetcher::new(&clients, venue).map_err(failed)?;
        lists.push(fetcher.catalogue().await.map_err(failed)?);
        fetchers.push(fetcher);
    }
    let markets = narrowed(&config.markets, symbols);
    let selection = select(config, &markets, &fetchers, &lists).await?;
    let chosen = markets_of(config, &markets, &selection, symbols);
    let mut wrong = Vec::new();
    for ((venue, list), chosen) in config.venue.iter().zip(&lists).zip(&chosen) {
        wrong.extend(list.refuse(&venue.name, chosen));
    }
    if !wrong.is_empty() {
        return Err(PlanError::Markets(wrong));
    }
    if chosen.iter().all(Vec::is_empty) {
        return Err(PlanError::Nothing);
    }
    let venues = config.venue.iter().zip(chosen).map(|(venue, markets)| VenueSetup {
        config: venue.clone(),
        markets,
    });
    let left_out = selection.excluded.iter();
    Ok(Plan {
        setup: Setup {
            venues: venues.collect(),
            fx: config.fx.clone(),
        },
        left_out: left_out
            .map(|(base, reason)| (base.clone(), reason.to_string()))
            .collect(),
        lists,
        fetchers,
        clients,
        clock,
        journal: config.journal.clone(),
        out: config.out.clone(),
        progress: Duration::from_millis(config.progress_ms),
        seed: config.seed,
    })
}

/// Coins that are asked for by name (`--symbols BTC,ETH`) take the place of whatever the file chooses.
fn narrowed(markets: &MarketsConfig, symbols: &[String]) -> MarketsConfig {
    if symbols.is_empty() || !markets.list.is_empty() {
        return markets.clone();
    }
    MarketsConfig {
        bases: symbols.to_vec(),
        top: None,
        ..markets.clone()
    }
}

async fn select(
    config: &RecordConfig,
    markets: &MarketsConfig,
    fetchers: &[Fetcher],
    lists: &[Catalogue],
) -> Result<Selection, PlanError> {
    let (true, [first, second, ..], [a, b, ..]) = (markets.needs_lists(), fetchers, lists) else {
        return Ok(Selection::default());
    };
    let mut traded = [BTreeMap::new(), BTreeMap::new()];
    if markets.top.is_some() {
        let asked = [(first, &markets.first_quote), (second, &markets.second_quote)];
        for ((values, (fetcher, quote)), venue) in traded.iter_mut().zip(asked).zip(&config.venue) {
            *values = fetcher.traded(quote).await.map_err(|source| PlanError::Lists {
                venue: venue.name.clone(),
                source,
            })?;
        }
    }
    let [first, second] = [(a, &traded[0]), (b, &traded[1])].map(|(list, traded)| Side {
        markets: &list.markets,
        traded,
    });
    Ok(markets.select(first, second)?)
}

/// The markets of each venue: chosen pairs, those listed, those taken besides, and those that rates come from.
fn markets_of(
    config: &RecordConfig,
    markets: &MarketsConfig,
    selection: &Selection,
    symbols: &[String],
) -> Vec<Vec<String>> {
    let wanted = |market: &str| {
        let is = |symbol: &String| {
            market.eq_ignore_ascii_case(symbol)
                || market
                    .split(['-', '_', '/'])
                    .any(|part| part.eq_ignore_ascii_case(symbol))
                || [&markets.first_quote, &markets.second_quote]
                    .into_iter()
                    .any(|quote| market.eq_ignore_ascii_case(&format!("{symbol}{quote}")))
        };
        symbols.is_empty() || symbols.iter().any(is)
    };
    let mut chosen = Vec::new();
    for (at, venue) in config.venue.iter().enumerate() {
        let pairs = selection.pairs.iter().filter_map(|pair| match at {
            0 => Some(pair.first.clone()),
            1 => Some(pair.second.clone()),
            _ => None,
        });
        let listed = markets
            .list
            .get(&venue.name)
            .into_iter()
            .flatten()
            .filter(|market| wanted(market));
        let also = markets.also.get(&venue.name).into_iter().flatten();
        let rates = rate_markets(config.fx.as_ref(), &venue.name);
        let mut all: Vec<String> = Vec::new();
        for market in pairs.chain(listed.cloned()).chain(also.cloned()).chain(rates) {
            if !all.contains(&market) {
                all.push(market);
            }
        }
        chosen.push(all);
    }
    chosen
}

fn rate_markets(fx: Option<&FxConfig>, venue_name: &str) -> Vec<String> {
    let sources = fx.into_iter().flat_map(|fx| &fx.sources);
    sources
        .filter_map(|source| match &source.from {
            SourceKind::Book { venue, market, .. } if venue == venue_name => Some(market.clone()),
            _ => None,
        })
        .collect()
}
