//! Quotes over HTTP as they are spelled by those who give them: read whole and exactly, or refused with a reason.
//!
//! Sources: Dunamu's forex quote is undocumented, its shape is that which public clients read; open.er-api.com documents its own
//! (both read 2026-11-21).

use std::collections::BTreeMap;

use crossbook_engine::units::{Amount, TimestampNs};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::config::day;
use super::{QuoteFormat, TimeUnit};
use crate::wire::{Decimal, Text, WireError, venue_time};

/// Dunamu's code for won per dollar.
const DUNAMU_CODE: &str = "FRX.KRWUSD";

/// Why an answer holds no quote.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuoteError {
    /// Not JSON of the shape expected, or a number that is no exact amount.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The answer is whole, but what is looked for is not in it.
    #[error("there is no {0}")]
    Missing(String),
}

impl From<serde_json::Error> for QuoteError {
    fn from(error: serde_json::Error) -> QuoteError {
        QuoteError::Wire(error.into())
    }
}

/// Reads the rate and its time, neither of them judged.
///
/// # Errors
/// When the bytes are no such answer or lack one of the two.
pub fn parse(format: &QuoteFormat, bytes: &[u8]) -> Result<(Amount, TimestampNs), QuoteError> {
    match format {
        QuoteFormat::Dunamu => dunamu(bytes),
        QuoteFormat::ErApi => er_api(bytes),
        QuoteFormat::Json { rate, time, time_unit } => {
            let whole: &RawValue = serde_json::from_slice(bytes)?;
            let at = |pointer: &str| find(whole, pointer)?.ok_or_else(|| QuoteError::Missing(format!("`{pointer}`")));
            let rate: Decimal<'_> = serde_json::from_str(at(rate)?.get())?;
            Ok((amount("rate", rate)?, moment(at(time)?.get(), *time_unit)?))
        }
    }
}

fn dunamu(bytes: &[u8]) -> Result<(Amount, TimestampNs), QuoteError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire<'a> {
        #[serde(borrow)]
        code: Text<'a>,
        #[serde(borrow)]
        base_price: Decimal<'a>,
        timestamp: u64,
    }
    let list: Vec<Wire<'_>> = serde_json::from_slice(bytes)?;
    let quote = list
        .iter()
        .find(|wire| wire.code == DUNAMU_CODE)
        .ok_or_else(|| QuoteError::Missing(format!("`{DUNAMU_CODE}`")))?;
    Ok((
        amount("basePrice", quote.base_price)?,
        venue_time("timestamp", quote.timestamp)?,
    ))
}

fn er_api(bytes: &[u8]) -> Result<(Amount, TimestampNs), QuoteError> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        result: Text<'a>,
        #[serde(borrow, default)]
        base_code: Text<'a>,
        #[serde(borrow, default)]
        rates: BTreeMap<Text<'a>, &'a RawValue>,
        #[serde(borrow, default)]
        time_last_update_unix: Option<&'a RawValue>,
    }
    let wire: Wire<'_> = serde_json::from_slice(bytes)?;
    if wire.result != "success" || wire.base_code != "USD" {
        return Err(QuoteError::Missing(format!(
            "success for USD, but `{}` for `{}`",
            wire.result, wire.base_code
        )));
    }
    let missing = |what: &str| QuoteError::Missing(format!("`{what}`"));
    let rate = wire.rates.get("KRW").ok_or_else(|| missing("rates.KRW"))?;
    let time = wire
        .time_last_update_unix
        .ok_or_else(|| missing("time_last_update_unix"))?;
    let rate: Decimal<'_> = serde_json::from_str(rate.get())?;
    Ok((amount("rates.KRW", rate)?, moment(time.get(), TimeUnit::Seconds)?))
}

fn amount(field: &'static str, decimal: Decimal<'_>) -> Result<Amount, QuoteError> {
    let raw = decimal.raw(field)?;
    Amount::from_raw(raw).map_err(|source| QuoteError::Wire(WireError::Amount { field, source }))
}

/// Text or number, as sources differ; years 2000 to 2199.
fn moment(raw: &str, unit: TimeUnit) -> Result<TimestampNs, QuoteError> {
    let text = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(raw);
    let odd = || {
        QuoteError::Missing(format!(
            "time that can be read: {}",
            raw.chars().take(40).collect::<String>()
        ))
    };
    let ms = match unit {
        TimeUnit::Day => return day(text).ok_or_else(odd),
        TimeUnit::Milliseconds => text.parse::<u64>().map_err(|_| odd())?,
        TimeUnit::Seconds => {
            let seconds = text.parse::<u64>().map_err(|_| odd())?;
            seconds.checked_mul(1_000).ok_or_else(odd)?
        }
    };
    // Beyond milliseconds of these years there are microseconds of the same, which were not asked for.
    if ms >= 7_258_118_400_000 {
        return Err(odd());
    }
    Ok(venue_time("time", ms)?)
}

/// What a JSON pointer leads to, without a number ever becoming a float.
fn find<'a>(whole: &'a RawValue, pointer: &str) -> Result<Option<&'a RawValue>, QuoteError> {
    let mut here = whole;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let next = if here.get().starts_with('[') {
            let list: Vec<&'a RawValue> = serde_json::from_str(here.get())?;
            token.parse::<usize>().ok().and_then(|at| list.get(at).copied())
        } else if here.get().starts_with('{') {
            let map: BTreeMap<Text<'a>, &'a RawValue> = serde_json::from_str(here.get())?;
            map.get(token.as_str()).copied()
        } else {
            None
        };
        match next {
            Some(next) => here = next,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}
