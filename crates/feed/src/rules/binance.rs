//! Binance's `exchangeInfo`: spot and USD-M perpetuals.
//!
//! Source: binance-spot-api-docs a5e0bc3, filters and enums; Binance USD-M documentation, `GET /fapi/v1/exchangeInfo` (read
//! 2026-11-21). A bound of zero is no bound; filters that are not judged here are kept by name. Of futures only perpetuals
//! are taken.

use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::{Amount, AmountError, Bps, Price, Qty};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Catalogue, Fees, MarketRules, MarketStatus, PercentBand, QtyRule, RateLimit};
use crate::wire::{Decimal, Text, WireError};

/// Which of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `GET /api/v3/exchangeInfo`.
    Spot,
    /// `GET /fapi/v1/exchangeInfo`.
    Usdm,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    #[serde(borrow, default)]
    rate_limits: Vec<&'a RawValue>,
    #[serde(borrow)]
    symbols: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    symbol: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Symbol<'a> {
    #[serde(borrow)]
    symbol: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    base_asset: Text<'a>,
    #[serde(borrow)]
    quote_asset: Text<'a>,
    #[serde(borrow, default)]
    contract_type: Option<Text<'a>>,
    #[serde(default)]
    is_spot_trading_allowed: Option<bool>,
    #[serde(borrow)]
    filters: Vec<Filter<'a>>,
}

/// Every field that a known filter may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter<'a> {
    #[serde(borrow)]
    filter_type: Text<'a>,
    #[serde(borrow, default)]
    min_price: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    max_price: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    tick_size: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    min_qty: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    max_qty: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    step_size: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    min_notional: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    max_notional: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    notional: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    multiplier_up: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    multiplier_down: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    bid_multiplier_up: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    bid_multiplier_down: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    ask_multiplier_up: Option<Decimal<'a>>,
    #[serde(borrow, default)]
    ask_multiplier_down: Option<Decimal<'a>>,
}

/// Reads a list. One symbol that cannot be read is named in the catalogue and takes no other with it; futures that are no
/// perpetuals are left out.
///
/// # Errors
/// When the bytes are no such list.
pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Catalogue, WireError> {
    let info: Info<'_> = serde_json::from_slice(bytes)?;
    let mut catalogue = Catalogue::default();
    for raw in info.rate_limits {
        // A limit of a newer shape is none that we could keep.
        if let Ok(limit) = serde_json::from_str::<RateLimit>(raw.get()) {
            catalogue.limits.push(limit);
        }
    }
    for raw in info.symbols {
        let read = serde_json::from_str::<Symbol<'_>>(raw.get())
            .map_err(WireError::from)
            .and_then(|symbol| rules(kind, &symbol));
        match read {
            Ok(Some(rules)) => {
                catalogue.markets.insert(rules.symbol.clone(), rules);
            }
            Ok(None) => {}
            Err(error) => {
                // Without even a name there is nothing to refuse later.
                let Name { symbol } = serde_json::from_str(raw.get())?;
                catalogue.unreadable.insert(symbol.into_owned(), error.to_string());
            }
        }
    }
    Ok(catalogue)
}

fn rules(kind: Kind, symbol: &Symbol<'_>) -> Result<Option<MarketRules>, WireError> {
    if kind == Kind::Usdm && symbol.contract_type.as_deref() != Some("PERPETUAL") {
        return Ok(None);
    }
    let mut rules = MarketRules {
        symbol: symbol.symbol.to_string(),
        base: symbol.base_asset.to_string(),
        quote: symbol.quote_asset.to_string(),
        status: match symbol.is_spot_trading_allowed {
            Some(false) if kind == Kind::Spot => MarketStatus::Halted("no spot trading".to_owned()),
            _ => status(&symbol.status),
        },
        tick: TickRule::Fixed(Price::ONE_STEP),
        min_price: None,
        max_price: None,
        qty: QtyRule {
            step: Qty::ZERO,
            min: Qty::ZERO,
            max: None,
        },
        market_qty: None,
        min_notional: Amount::ZERO,
        max_notional: None,
        percent: None,
        fees: fees(kind),
        flags: Vec::new(),
        other_filters: Vec::new(),
    };
    for filter in &symbol.filters {
        apply(&mut rules, filter)?;
    }
    rules.other_filters.sort();
    rules.other_filters.dedup();
    Ok(Some(rules))
}

fn apply(rules: &mut MarketRules, filter: &Filter<'_>) -> Result<(), WireError> {
    match &*filter.filter_type {
        "PRICE_FILTER" => {
            rules.min_price = bound("minPrice", filter.min_price)?
                .map(Price::from_raw)
                .transpose()
                .map_err(odd("minPrice"))?;
            rules.max_price = bound("maxPrice", filter.max_price)?
                .map(Price::from_raw)
                .transpose()
                .map_err(odd("maxPrice"))?;
            if let Some(tick) = bound("tickSize", filter.tick_size)? {
                rules.tick = TickRule::Fixed(Price::from_raw(tick).map_err(odd("tickSize"))?);
            }
        }
        "LOT_SIZE" => rules.qty = qty_rule(filter)?,
        "MARKET_LOT_SIZE" => rules.market_qty = Some(qty_rule(filter)?),
        // Spot's NOTIONAL and its older MIN_NOTIONAL, and the perpetuals' MIN_NOTIONAL, which spells its field otherwise.
        "NOTIONAL" | "MIN_NOTIONAL" => {
            let least = bound("minNotional", filter.min_notional.or(filter.notional))?.unwrap_or(0);
            rules.min_notional = rules
                .min_notional
                .max(Amount::from_raw(least).map_err(odd("minNotional"))?);
            if let Some(most) = bound("maxNotional", filter.max_notional)? {
                rules.max_notional = Some(Amount::from_raw(most).map_err(odd("maxNotional"))?);
            }
        }
        "PERCENT_PRICE" => {
            let (up, down) = (
                ratio("multiplierUp", filter.multiplier_up)?,
                ratio("multiplierDown", filter.multiplier_down)?,
            );
            rules.percent = Some(PercentBand {
                bid_up: up,
                bid_down: down,
                ask_up: up,
                ask_down: down,
            });
        }
        "PERCENT_PRICE_BY_SIDE" => {
            rules.percent = Some(PercentBand {
                bid_up: ratio("bidMultiplierUp", filter.bid_multiplier_up)?,
                bid_down: ratio("bidMultiplierDown", filter.bid_multiplier_down)?,
                ask_up: ratio("askMultiplierUp", filter.ask_multiplier_up)?,
                ask_down: ratio("askMultiplierDown", filter.ask_multiplier_down)?,
            });
        }
        other => rules.other_filters.push(other.to_owned()),
    }
    Ok(())
}

fn qty_rule(filter: &Filter<'_>) -> Result<QtyRule, WireError> {
    let qty = |field: &'static str, value| -> Result<Qty, WireError> {
        Qty::from_raw(bound(field, value)?.unwrap_or(0)).map_err(odd(field))
    };
    Ok(QtyRule {
        step: qty("stepSize", filter.step_size)?,
        min: qty("minQty", filter.min_qty)?,
        max: bound("maxQty", filter.max_qty)?
            .map(Qty::from_raw)
            .transpose()
            .map_err(odd("maxQty"))?,
    })
}

/// A bound: `None` where there is none. Of a greatest value that 64 bits of 1e-8 cannot hold nothing that we could send is
/// ever in the way.
fn bound(field: &'static str, value: Option<Decimal<'_>>) -> Result<Option<i64>, WireError> {
    match value.map(|value| value.raw(field)) {
        None | Some(Ok(0)) => Ok(None),
        Some(Ok(raw)) if raw < 0 => Err(odd(field)(AmountError::Negative)),
        Some(Err(WireError::Amount {
            source: AmountError::OutOfRange,
            ..
        })) if field.starts_with("max") => Ok(None),
        Some(other) => other.map(Some),
    }
}

fn ratio(field: &'static str, value: Option<Decimal<'_>>) -> Result<Bps, WireError> {
    match bound(field, value)? {
        Some(raw) => Ok(Bps::from_raw(raw)),
        None => Err(odd(field)(AmountError::NotPositive)),
    }
}

fn odd(field: &'static str) -> impl Fn(AmountError) -> WireError {
    move |source| WireError::Amount { field, source }
}

/// Spot and perpetual statuses have no word in common that means two things.
fn status(word: &str) -> MarketStatus {
    match word {
        "TRADING" => MarketStatus::Trading,
        "CANCEL_ONLY" => MarketStatus::CancelOnly,
        "BREAK" | "HALT" | "END_OF_DAY" | "AUCTION_MATCH" | "PRE_TRADING" | "POST_TRADING" | "PENDING_TRADING"
        | "PRE_SETTLE" => MarketStatus::Halted(word.to_owned()),
        "SETTLING" | "PRE_DELIVERING" | "DELIVERING" | "DELIVERED" | "CLOSE" => MarketStatus::Closed(word.to_owned()),
        _ => MarketStatus::Unknown(word.to_owned()),
    }
}

/// Spot 0.1 %, perpetuals 0.02 % and 0.05 %; the truth is `/account/commission` and `/fapi/v1/commissionRate`.
fn fees(kind: Kind) -> Fees {
    let (maker, taker) = match kind {
        Kind::Spot => (100_000, 100_000),
        Kind::Usdm => (20_000, 50_000),
    };
    Fees {
        maker: Bps::from_raw(maker),
        taker: Bps::from_raw(taker),
    }
}
