//! Traded value of the last 24 hours, in whole units of quote: a day of KRW-BTC is more won than 64 bits of 1e-8 hold, and a
//! rank needs no fractions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{Text, WireError};

/// Reads Upbit's `GET /v1/ticker/all?quote_currencies=KRW`: `acc_trade_price_24h` by market. Source: Upbit developer docs v1.6.4
/// (read 2026-11-21).
///
/// # Errors
/// When the bytes are no such list.
pub fn parse_upbit(bytes: &[u8]) -> Result<BTreeMap<String, u128>, WireError> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        market: Text<'a>,
        #[serde(borrow, default)]
        acc_trade_price_24h: Option<&'a RawValue>,
    }
    let list: Vec<Wire<'_>> = serde_json::from_slice(bytes)?;
    Ok(values(
        list.into_iter().map(|wire| (wire.market, wire.acc_trade_price_24h)),
    ))
}

/// Reads Binance's `GET /api/v3/ticker/24hr` or `/fapi/v1/ticker/24hr`: `quoteVolume` by symbol. Source: binance-spot-api-docs a5e0bc3
/// (read 2026-11-21).
///
/// # Errors
/// When the bytes are no such list.
pub fn parse_binance(bytes: &[u8]) -> Result<BTreeMap<String, u128>, WireError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire<'a> {
        #[serde(borrow)]
        symbol: Text<'a>,
        #[serde(borrow, default)]
        quote_volume: Option<&'a RawValue>,
    }
    let list: Vec<Wire<'_>> = serde_json::from_slice(bytes)?;
    Ok(values(list.into_iter().map(|wire| (wire.symbol, wire.quote_volume))))
}

/// A market whose value is none, or no number, has no entry.
fn values<'a>(list: impl Iterator<Item = (Text<'a>, Option<&'a RawValue>)>) -> BTreeMap<String, u128> {
    list.filter_map(|(market, raw)| Some((market.into_owned(), whole(raw?.get())?)))
        .collect()
}

/// The whole part of a number of JSON, or of a text that is one.
pub(super) fn whole(text: &str) -> Option<u128> {
    let text = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || before.bytes().chain(after.bytes());
    if before.is_empty() || !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits that stand before the point once the exponent has moved it; beyond 38 no number of 128 bits is left.
    let kept = i64::try_from(before.len()).ok()? + i64::from(exponent);
    if kept <= 0 {
        return Some(0);
    }
    let mut value: u128 = 0;
    let mut rest = digits();
    for _ in 0..kept {
        let next = rest.next();
        if next.is_none() && value == 0 {
            return Some(0);
        }
        value = value
            .checked_mul(10)?
            .checked_add(u128::from(next.unwrap_or(b'0') - b'0'))?;
    }
    Some(value)
}
