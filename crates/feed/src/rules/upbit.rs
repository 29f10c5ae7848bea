//! Upbit's market list and order-book instruments.
//!
//! Source: Upbit developer docs v1.6.4, `GET /v1/market/all?is_details=true`, `GET /v1/orderbook/instruments`, KRW market information
//! (read 2026-11-21). Upbit states no status: what is listed trades, and maintenance shows only as data that stop.

use std::collections::BTreeMap;

use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::{Amount, Bps, Price, Qty};
use serde::Deserialize;

use super::{Catalogue, Fees, MarketRules, MarketStatus, QtyRule, text};
use crate::wire::{Decimal, Text, WireError};

/// KRW markets that do not follow the ladder: their tick was changed apart from it on 2025-03-21, so only
/// `orderbook/instruments` is asked.
const OWN_TICK: [&str; 2] = ["KRW-USDT", "KRW-USDC"];

/// Ticks of USDT markets, `(price from, tick)`, highest first. Source: Upbit developer docs v1.6.4 (read 2026-11-21).
const USDT_LADDER: [(&str, &str); 7] = [
    ("10", "0.01"),
    ("1", "0.001"),
    ("0.1", "0.0001"),
    ("0.01", "0.00001"),
    ("0.001", "0.000001"),
    ("0.0001", "0.0000001"),
    ("0.00000001", "0.00000001"),
];

/// A market of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// `KRW-BTC`.
    pub market: String,
    /// Warnings, sorted: `WARNING`, and the names of the cautions that are on.
    pub flags: Vec<String>,
}

/// Reads `GET /v1/market/all?is_details=true`. Entries without a code of two parts are left out.
///
/// # Errors
/// When the bytes are no such list.
pub fn parse_markets(bytes: &[u8]) -> Result<Vec<Listing>, WireError> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        market: Text<'a>,
        #[serde(borrow, default)]
        market_event: Option<Event<'a>>,
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(default)]
        warning: bool,
        #[serde(borrow, default)]
        caution: BTreeMap<Text<'a>, bool>,
    }
    let list: Vec<Wire<'_>> = serde_json::from_slice(bytes)?;
    Ok(list
        .into_iter()
        .filter(|wire| parts(&wire.market).is_some())
        .map(|wire| {
            let mut flags = Vec::new();
            if let Some(event) = wire.market_event {
                flags.extend(event.warning.then(|| "WARNING".to_owned()));
                flags.extend(
                    event
                        .caution
                        .iter()
                        .filter(|(_, on)| **on)
                        .map(|(name, _)| name.to_string()),
                );
            }
            flags.sort();
            Listing {
                market: wire.market.into_owned(),
                flags,
            }
        })
        .collect())
}

/// Reads `GET /v1/orderbook/instruments?markets=…`: the tick of each market, as it is at its present price.
///
/// # Errors
/// When the bytes are no such list.
pub fn parse_instruments(bytes: &[u8]) -> Result<BTreeMap<String, Result<Price, WireError>>, WireError> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        market: Text<'a>,
        #[serde(borrow)]
        tick_size: Decimal<'a>,
    }
    let list: Vec<Wire<'_>> = serde_json::from_slice(bytes)?;
    Ok(list
        .into_iter()
        .map(|wire| (wire.market.into_owned(), wire.tick_size.price("tick_size")))
        .collect())
}

/// Both answers together. Where `instruments` states a tick that the ladder has not, the ladder is out of date for that market
/// and the stated tick is taken at every price; a market that needs a stated tick and has none cannot be read.
pub fn catalogue(listings: Vec<Listing>, instruments: &BTreeMap<String, Result<Price, WireError>>) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for listing in listings {
        let stated = match instruments.get(&listing.market) {
            Some(Err(error)) => {
                catalogue.unreadable.insert(listing.market, error.to_string());
                continue;
            }
            Some(Ok(tick)) => Some(*tick),
            None => None,
        };
        let Some((quote, base)) = parts(&listing.market) else {
            continue;
        };
        let Some(tick) = tick_rule(&listing.market, quote, stated) else {
            let reason = "orderbook/instruments states no tick_size for it".to_owned();
            catalogue.unreadable.insert(listing.market, reason);
            continue;
        };
        let rules = MarketRules {
            base: base.to_owned(),
            quote: quote.to_owned(),
            status: MarketStatus::Trading,
            tick,
            min_price: None,
            max_price: None,
            qty: QtyRule {
                step: Qty::ZERO,
                min: Qty::ZERO,
                max: None,
            },
            market_qty: None,
            min_notional: min_notional(quote),
            max_notional: (quote == "KRW").then(|| whole(1_000_000_000)),
            percent: None,
            fees: fees(quote),
            flags: listing.flags,
            other_filters: Vec::new(),
            symbol: listing.market,
        };
        catalogue.markets.insert(rules.symbol.clone(), rules);
    }
    catalogue
}

fn parts(market: &str) -> Option<(&str, &str)> {
    let (quote, base) = market.split_once('-')?;
    let word = |part: &str| !part.is_empty() && part.len() <= 32 && part.bytes().all(|b| b.is_ascii_alphanumeric());
    (word(quote) && word(base)).then_some((quote, base))
}

fn tick_rule(market: &str, quote: &str, stated: Option<Price>) -> Option<TickRule> {
    let ladder = match quote {
        "KRW" if !OWN_TICK.contains(&market) => Some(TickRule::upbit_krw()),
        "USDT" => text::bands(&USDT_LADDER),
        _ => None,
    };
    match (ladder, stated) {
        (Some(ladder), None) => Some(ladder),
        (Some(TickRule::Bands(bands)), Some(tick)) if bands.iter().any(|&(_, known)| known == tick) => {
            Some(TickRule::Bands(bands))
        }
        (_, Some(tick)) => Some(TickRule::Fixed(tick)),
        // BTC markets have one tick at every price.
        (None, None) if quote == "BTC" => Some(TickRule::Fixed(Price::ONE_STEP)),
        (None, None) => None,
    }
}

fn whole(units: i64) -> Amount {
    Amount::from_wide(i128::from(units) * i128::from(crossbook_engine::units::SCALE)).unwrap_or(Amount::ZERO)
}

/// 5,000 KRW, 0.5 USDT, 0.00005 BTC. Source: Upbit developer docs v1.6.4 (read 2026-11-21); `orders/chance` has the word of the day.
fn min_notional(quote: &str) -> Amount {
    match quote {
        "KRW" => whole(5_000),
        "USDT" => Amount::from_raw(50_000_000).unwrap_or(Amount::ZERO),
        "BTC" => Amount::from_raw(5_000).unwrap_or(Amount::ZERO),
        _ => Amount::ZERO,
    }
}

/// 0.05 % on KRW markets, 0.25 % elsewhere (sources differ there, the dearer is taken); `orders/chance` has the account's own.
fn fees(quote: &str) -> Fees {
    let share = Bps::from_raw(if quote == "KRW" { 50_000 } else { 250_000 });
    Fees {
        maker: share,
        taker: share,
    }
}
