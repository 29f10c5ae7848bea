//! Money in JSON: a number with exactly the decimals that it has.

use crossbook_engine::units::Amount;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An amount that JSON shows as a number (`-12.5`), exact to 1e-8: its text never passes through a float here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub Amount);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(Amount::ZERO);

    /// For statistics and pictures only.
    pub fn to_f64(self) -> f64 {
        self.0.to_f64()
    }

    /// The shortest decimal text that is exact.
    pub fn text(self) -> String {
        trimmed(&self.0.to_string())
    }
}

impl From<Amount> for Money {
    fn from(amount: Amount) -> Money {
        Money(amount)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.text())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Amount::parse_number(raw.get())
            .map(Money)
            .map_err(|error| D::Error::custom(format!("`{}`: {error}", raw.get())))
    }
}

/// Drops zeros (and the point) at the end of a decimal text that has a point.
pub fn trimmed(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_a_json_number_with_its_exact_decimals() {
        let cases = [
            (0, "0"),
            (1, "0.00000001"),
            (-1_250_000_000, "-12.5"),
            (100_000_000_000, "1000"),
            (i64::MAX, "92233720368.54775807"),
            (i64::MIN, "-92233720368.54775808"),
        ];
        for (raw, text) in cases {
            let money = Money(Amount::from_raw(raw).unwrap());
            assert_eq!(serde_json::to_string(&money).unwrap(), text);
            assert_eq!(serde_json::from_str::<Money>(text).unwrap(), money, "{text}");
        }
        assert!(serde_json::from_str::<Money>("\"1\"").is_err());
        assert!(serde_json::from_str::<Money>("1e-9").is_err());
    }
}
