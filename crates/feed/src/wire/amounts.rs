//! Amounts and levels through serde, for the importers of rarer formats; as exact as the rest, but slower.

use std::borrow::Cow;

use crossbook_engine::event::Level;
use crossbook_engine::units::{Price, Qty, parse_number};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::WireError;

/// A JSON text, borrowed where it has no escapes.
pub type Text<'a> = Cow<'a, str>;

/// A decimal as a venue writes it, as a JSON number or as text, still as it was written.
#[derive(Debug, Clone, Copy)]
pub struct Decimal<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Decimal<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        // A text with an escape in it keeps its backslash and is refused as a number.
        Ok(Decimal(
            raw.strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .unwrap_or(raw),
        ))
    }
}

impl Decimal<'_> {
    /// As a price.
    ///
    /// # Errors
    /// When it is not an exact positive amount.
    pub fn price(self, field: &'static str) -> Result<Price, WireError> {
        Price::from_raw(self.raw(field)?).map_err(|source| WireError::Amount { field, source })
    }

    /// As a quantity.
    ///
    /// # Errors
    /// When it is not an exact amount, or negative.
    pub fn qty(self, field: &'static str) -> Result<Qty, WireError> {
        Qty::from_raw(self.raw(field)?).map_err(|source| WireError::Amount { field, source })
    }

    /// As a count of 1e-8.
    ///
    /// # Errors
    /// When it is not an exact amount.
    pub fn raw(self, field: &'static str) -> Result<i64, WireError> {
        parse_number(self.0).map_err(|source| WireError::Amount { field, source })
    }
}

/// A list of `[price, quantity, …]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels(pub Vec<Level>);

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Levels;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of [price, quantity]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Levels, A::Error> {
                let mut levels = Vec::new();
                while let Some(Pair(level)) = list.next_element()? {
                    levels.push(level);
                }
                Ok(Levels(levels))
            }
        }
        deserializer.deserialize_seq(Pairs)
    }
}

struct Pair(Level);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Two;
        impl<'de> Visitor<'de> for Two {
            type Value = Pair;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("[price, quantity]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Pair, A::Error> {
                let missing = || de::Error::custom("a level needs a price and a quantity");
                let price: Decimal<'_> = pair.next_element()?.ok_or_else(missing)?;
                let qty: Decimal<'_> = pair.next_element()?.ok_or_else(missing)?;
                // Old Binance streams end each level with an empty list.
                while pair.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(Pair(Level {
                    price: price.price("price").map_err(de::Error::custom)?,
                    qty: qty.qty("quantity").map_err(de::Error::custom)?,
                }))
            }
        }
        deserializer.deserialize_seq(Two)
    }
}
