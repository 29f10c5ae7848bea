//! Rules as text in records: ticks as `tick` or `from:tick,from:tick…`, ratios as decimals.

use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::{AmountError, Price};

/// `0.01`, or `1000000:1000,500000:500,…`.
pub(super) fn write_tick(rule: &TickRule) -> String {
    match rule {
        TickRule::Fixed(tick) => tick.to_string(),
        TickRule::Bands(bands) => {
            let words: Vec<String> = bands.iter().map(|(from, tick)| format!("{from}:{tick}")).collect();
            words.join(",")
        }
    }
}

/// Bands from a table of constants; `None` when one is no price.
pub(super) fn bands(table: &[(&str, &str)]) -> Option<TickRule> {
    table
        .iter()
        .map(|&(from, tick)| Some((Price::parse(from).ok()?, Price::parse(tick).ok()?)))
        .collect::<Option<_>>()
        .map(TickRule::Bands)
}

fn read_tick(text: &str) -> Result<TickRule, AmountError> {
    if !text.contains(':') {
        return Price::parse(text).map(TickRule::Fixed);
    }
    text.split(',')
        .map(|band| {
            let (from, tick) = band.split_once(':').ok_or(AmountError::NotANumber)?;
            Ok((Price::parse(from)?, Price::parse(tick)?))
        })
        .collect::<Result<_, _>>()
        .map(TickRule::Bands)
}

pub(super) mod tick {
    use crossbook_engine::instrument::TickRule;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(rule: &TickRule, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::write_tick(rule))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TickRule, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::read_tick(&text).map_err(|error| de::Error::custom(format!("tick `{text}`: {error}")))
    }
}

pub(super) mod ratio {
    use crossbook_engine::units::{Amount, Bps, parse_decimal};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub fn serialize<S: Serializer>(ratio: &Bps, serializer: S) -> Result<S::Ok, S::Error> {
        Amount::from_raw(ratio.raw())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bps, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_decimal(&text)
            .map(Bps::from_raw)
            .map_err(|error| de::Error::custom(format!("ratio `{text}`: {error}")))
    }
}
