//! Exact units: every price, quantity and amount of money is an integer count of 1e-8.
//!
//! What always holds: no value here was ever a float; text that is not an exact multiple of 1e-8, or does not fit
//! an `i64`, is refused; every operation that could overflow is checked. Products live in `i128` until they are
//! rounded back, and each rounding says which way it goes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// How many of the smallest steps make one unit: all amounts count 1e-8.
pub const SCALE: i64 = 100_000_000;
const DECIMALS: i32 = 8;

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not a plain decimal number (`NaN`, an exponent where none is allowed, two points, an empty text).
    #[error("not a decimal number")]
    NotANumber,
    /// A digit other than zero beyond the eighth decimal: keeping it would need rounding.
    #[error("finer than 1e-8")]
    TooFine,
    /// Does not fit 64 bits of 1e-8.
    #[error("out of range (at most 92233720368.54775807)")]
    OutOfRange,
    /// A price or a rate of zero, or a negative value where none can be.
    #[error("must be positive")]
    NotPositive,
    /// A quantity below zero.
    #[error("must not be negative")]
    Negative,
}

/// An integer overflow in money arithmetic: the run stops rather than wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("amount does not fit 64 bits of 1e-8")]
pub struct Overflow;

/// Which way a division of money is rounded. Costs are rounded up, proceeds down: against ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
}

/// Parses a plain decimal (`-12.5`, `0.00000901`) into 1e-8 steps; no exponent, no spaces, no rounding.
pub fn parse_decimal(text: &str) -> Result<i64, AmountError> {
    parse(text.as_bytes(), false)
}

/// Parses a JSON number exactly; unlike [`parse_decimal`] an exponent is allowed (`1.6E+8`), since venues write them.
pub fn parse_number(text: &str) -> Result<i64, AmountError> {
    parse(text.as_bytes(), true)
}

fn parse(text: &[u8], exponent_allowed: bool) -> Result<i64, AmountError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match digits.iter().position(|&b| b == b'e' || b == b'E') {
        Some(at) if exponent_allowed => (&digits[..at], parse_exponent(&digits[at + 1..])?),
        Some(_) => return Err(AmountError::NotANumber),
        None => (digits, 0),
    };
    let mut value: i128 = 0;
    let mut seen_digit = false;
    let mut seen_point = false;
    // How many decimal places of the mantissa have been read, less the exponent.
    let mut places: i32 = -exponent;
    // Digits that do not fit are only an error when they matter, so trailing zeros of any length are fine.
    let mut pending_zeros: u32 = 0;
    for &byte in mantissa {
        match byte {
            b'0'..=b'9' => {
                seen_digit = true;
                if seen_point {
                    places = places.checked_add(1).ok_or(AmountError::TooFine)?;
                }
                let digit = i128::from(byte - b'0');
                if digit == 0 {
                    pending_zeros += u32::from(value != 0);
                    continue;
                }
                for _ in 0..pending_zeros {
                    value = grow(value, 0)?;
                }
                pending_zeros = 0;
                value = grow(value, digit)?;
            }
            b'.' if !seen_point => seen_point = true,
            _ => return Err(AmountError::NotANumber),
        }
    }
    if !seen_digit || mantissa.last() == Some(&b'.') || mantissa.first() == Some(&b'.') {
        return Err(AmountError::NotANumber);
    }
    if value == 0 {
        return Ok(0);
    }
    let shift = i64::from(DECIMALS) - i64::from(places) + i64::from(pending_zeros);
    if shift < 0 {
        // The last digit kept is not a zero, so anything finer than a step is a real remainder.
        return Err(AmountError::TooFine);
    }
    for _ in 0..shift {
        value = grow(value, 0)?;
    }
    let value = if negative { -value } else { value };
    i64::try_from(value).map_err(|_| AmountError::OutOfRange)
}

fn grow(value: i128, digit: i128) -> Result<i128, AmountError> {
    let next = value * 10 + digit;
    // Values that are still to be scaled up can be refused as soon as they pass the range.
    if next > i128::from(i64::MAX) * 10 {
        Err(AmountError::OutOfRange)
    } else {
        Ok(next)
    }
}

fn parse_exponent(text: &[u8]) -> Result<i32, AmountError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 4 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(if digits.iter().all(u8::is_ascii_digit) && !digits.is_empty() {
            AmountError::OutOfRange
        } else {
            AmountError::NotANumber
        });
    }
    let value = digits.iter().fold(0, |sum, b| sum * 10 + i32::from(b - b'0'));
    Ok(if negative { -value } else { value })
}

fn write_decimal(raw: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sign = if raw < 0 { "-" } else { "" };
    let magnitude = raw.unsigned_abs();
    let (whole, part) = (magnitude / SCALE as u64, magnitude % SCALE as u64);
    match f.precision() {
        Some(0) => write!(f, "{sign}{whole}"),
        Some(p) if p < 8 => {
            let part = part / 10u64.pow(8 - p as u32);
            write!(f, "{sign}{whole}.{part:0p$}")
        }
        _ => write!(f, "{sign}{whole}.{part:08}"),
    }
}

/// Divides exactly and rounds as told. `divisor` must be positive.
pub fn div_round(dividend: i128, divisor: i128, rounding: Rounding) -> i128 {
    let quotient = dividend.div_euclid(divisor);
    match rounding {
        Rounding::Down => quotient,
        Rounding::Up => quotient + i128::from(dividend.rem_euclid(divisor) != 0),
    }
}

macro_rules! fixed_point {
    ($(#[$doc:meta])* $name:ident, min = $min:expr, $error:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(i64);

        impl $name {
            /// From a count of 1e-8 steps.
            ///
            /// # Errors
            /// When the value breaks the type's own rule about its sign.
            #[inline]
            pub const fn from_raw(raw: i64) -> Result<Self, AmountError> {
                if raw < $min { Err($error) } else { Ok(Self(raw)) }
            }

            /// The count of 1e-8 steps.
            #[inline]
            pub const fn raw(self) -> i64 {
                self.0
            }

            /// Parses a plain decimal text, exactly or not at all.
            pub fn parse(text: &str) -> Result<Self, AmountError> {
                Self::from_raw(parse_decimal(text)?)
            }

            /// Parses a JSON number (an exponent is allowed), exactly or not at all.
            pub fn parse_number(text: &str) -> Result<Self, AmountError> {
                Self::from_raw(parse_number(text)?)
            }

            /// For statistics and pictures only; never for money.
            #[inline]
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / SCALE as f64
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("`{text}`: {error}")))
            }
        }
    };
}

fixed_point! {
    /// A price in the instrument's quote currency, counted in 1e-8 of one unit. Never zero, never negative.
    Price, min = 1, AmountError::NotPositive
}
fixed_point! {
    /// A quantity of the base currency, counted in 1e-8 of one unit. Never negative; zero removes a book level.
    Qty, min = 0, AmountError::Negative
}
fixed_point! {
    /// A signed amount of one currency, counted in 1e-8 of one unit. The currency stands beside it.
    Amount, min = i64::MIN, AmountError::OutOfRange
}
fixed_point! {
    /// Units of the base currency of the run per unit of another (KRW per USDT, say), counted in 1e-8.
    FxRate, min = 1, AmountError::NotPositive
}

impl Price {
    /// The smallest price there is: 1e-8.
    pub const ONE_STEP: Price = Price(1);

    /// Halfway between two prices, rounded down to 1e-8.
    #[inline]
    pub const fn mid(bid: Price, ask: Price) -> Price {
        Price(bid.0 + (ask.0 - bid.0) / 2)
    }
}

impl Qty {
    /// Nothing.
    pub const ZERO: Qty = Qty(0);
    /// The largest quantity there is.
    pub const MAX: Qty = Qty(i64::MAX);

    /// Whether there is nothing.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The smaller of the two.
    #[inline]
    pub fn min(self, other: Qty) -> Qty {
        if other.0 < self.0 { other } else { self }
    }

    /// What is left after taking `other`, never below zero.
    #[inline]
    pub const fn saturating_sub(self, other: Qty) -> Qty {
        if other.0 >= self.0 {
            Qty(0)
        } else {
            Qty(self.0 - other.0)
        }
    }

    /// The sum.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    #[inline]
    pub fn checked_add(self, other: Qty) -> Result<Qty, Overflow> {
        self.0.checked_add(other.0).map(Qty).ok_or(Overflow)
    }

    /// Rounded down to a whole number of `lot`s; a zero lot leaves it as it is.
    pub const fn floor_to(self, lot: Qty) -> Qty {
        if lot.0 == 0 { self } else { Qty(self.0 - self.0 % lot.0) }
    }
}

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// The sum.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    #[inline]
    pub fn checked_add(self, other: Amount) -> Result<Amount, Overflow> {
        self.0.checked_add(other.0).map(Amount).ok_or(Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    #[inline]
    pub fn checked_sub(self, other: Amount) -> Result<Amount, Overflow> {
        self.0.checked_sub(other.0).map(Amount).ok_or(Overflow)
    }

    /// The same amount with its sign turned.
    ///
    /// # Errors
    /// [`Overflow`] for the one value that has no opposite.
    pub fn checked_neg(self) -> Result<Amount, Overflow> {
        self.0.checked_neg().map(Amount).ok_or(Overflow)
    }

    /// From an `i128` count of 1e-8.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn from_wide(raw: i128) -> Result<Amount, Overflow> {
        i64::try_from(raw).map(Amount).map_err(|_| Overflow)
    }

    /// This amount at a rate (`KRW per USDT`, say): `amount * rate`, rounded as told.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn convert(self, rate: FxRate, rounding: Rounding) -> Result<Amount, Overflow> {
        let wide = i128::from(self.0) * i128::from(rate.0);
        Amount::from_wide(div_round(wide, i128::from(SCALE), rounding))
    }
}

impl From<Qty> for Amount {
    fn from(qty: Qty) -> Amount {
        Amount(qty.0)
    }
}

impl FxRate {
    /// One to one.
    pub const ONE: FxRate = FxRate(SCALE);
}

/// `price * qty` in the quote currency, rounded as told to 1e-8.
///
/// # Errors
/// [`Overflow`] when it does not fit.
pub fn notional(price: Price, qty: Qty, rounding: Rounding) -> Result<Amount, Overflow> {
    let wide = i128::from(price.0) * i128::from(qty.0);
    Amount::from_wide(div_round(wide, i128::from(SCALE), rounding))
}

/// A ratio counted in 1e-4 of a basis point (1e-8 as a plain ratio).
///
/// For a premium, positive means that the route's first venue is the dearer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Bps(i64);

impl Bps {
    /// Nothing.
    pub const ZERO: Bps = Bps(0);

    /// From a count of 1e-4 bps.
    #[inline]
    pub const fn from_raw(raw: i64) -> Bps {
        Bps(raw)
    }

    /// The count of 1e-4 bps.
    #[inline]
    pub const fn raw(self) -> i64 {
        self.0
    }

    /// From a plain ratio (`0.01` is 100 bps), rounded to the nearest 1e-4 bps, halves away from zero.
    /// Values past the range (and NaN, as zero) saturate: they come from books and are judged as absurd elsewhere.
    #[inline]
    pub fn from_ratio(ratio: f64) -> Bps {
        let scaled = ratio * 1e8;
        Bps((if scaled >= 0.0 { scaled + 0.5 } else { scaled - 0.5 }) as i64)
    }

    /// From a configured number of basis points (`12.5`), rounded to the nearest 1e-4 bps.
    pub fn from_bps(bps: f64) -> Bps {
        Bps::from_ratio(bps * 1e-4)
    }

    /// In basis points, for statistics, pictures and text.
    #[inline]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e4
    }

    /// As a plain ratio, for statistics.
    #[inline]
    pub fn to_ratio(self) -> f64 {
        self.0 as f64 / 1e8
    }

    /// This share of an amount (a fee, say), rounded as told.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn of(self, amount: Amount, rounding: Rounding) -> Result<Amount, Overflow> {
        let wide = i128::from(amount.raw()) * i128::from(self.0);
        Amount::from_wide(div_round(wide, i128::from(SCALE), rounding))
    }
}

impl std::ops::Add for Bps {
    type Output = Bps;
    fn add(self, other: Bps) -> Bps {
        Bps(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Bps {
    type Output = Bps;
    fn sub(self, other: Bps) -> Bps {
        Bps(self.0.saturating_sub(other.0))
    }
}

impl std::ops::Neg for Bps {
    type Output = Bps;
    fn neg(self) -> Bps {
        Bps(self.0.saturating_neg())
    }
}

impl fmt::Display for Bps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:04}", magnitude / 10_000, magnitude % 10_000)
    }
}

/// Nanoseconds since the Unix epoch, UTC. The engine is handed these; it never asks a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[repr(transparent)]
#[serde(transparent)]
pub struct TimestampNs(pub i64);

impl TimestampNs {
    /// Later than any event.
    pub const MAX: TimestampNs = TimestampNs(i64::MAX);
    /// Earlier than any event.
    pub const MIN: TimestampNs = TimestampNs(i64::MIN);

    /// This instant plus a span in nanoseconds, held at the ends of the range.
    #[inline]
    pub const fn plus(self, span_ns: i64) -> TimestampNs {
        TimestampNs(self.0.saturating_add(span_ns))
    }

    /// Nanoseconds from `earlier` to this instant (negative when it is later), held at the ends of the range.
    #[inline]
    pub const fn since(self, earlier: TimestampNs) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn venue_decimals_parse_exactly_or_not_at_all() {
        let cases = [
            ("158000000", Some("158000000.00000000")),
            ("0.00000901", Some("0.00000901")),
            ("61837.63000000", Some("61837.63000000")),
            ("1.000000000000000000000000000000", Some("1.00000000")),
            ("000000000000000000000000012.5", Some("12.50000000")),
            ("92233720368.54775807", Some("92233720368.54775807")),
            ("92233720368.54775808", None),
            ("99999999999999999999", None),
            ("0.000000001", None),
            ("0.123456789", None),
            ("0", None),
            ("-1", None),
            ("1e5", None),
            ("1e400", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            (".", None),
            (".5", None),
            ("5.", None),
            ("1.2.3", None),
            (" 1", None),
            ("+1", None),
            ("1,000", None),
            ("92233720369", None),
        ];
        for (text, want) in cases {
            let got = Price::parse(text).ok().map(|price| price.to_string());
            assert_eq!(got.as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn json_numbers_keep_their_exponent_exactly() {
        let cases = [
            ("1.6E+8", Some(160_000_000 * SCALE)),
            ("103460000.0", Some(103_460_000 * SCALE)),
            ("1e-8", Some(1)),
            ("12e-9", None),
            ("10e-9", Some(1)),
            ("1e400", None),
            ("1e99999", None),
            ("0e400", Some(0)),
            ("0e9", Some(0)),
            ("1e", None),
            ("e5", None),
            ("-2.5e1", Some(-25 * SCALE)),
        ];
        for (text, want) in cases {
            assert_eq!(parse_number(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn rounding_goes_the_way_it_says() {
        let cases = [
            (7, 2, Rounding::Down, 3),
            (7, 2, Rounding::Up, 4),
            (-7, 2, Rounding::Down, -4),
            (-7, 2, Rounding::Up, -3),
        ];
        for (dividend, divisor, rounding, want) in cases {
            assert_eq!(div_round(dividend, divisor, rounding), want);
        }
    }

    proptest! {
        /// What is printed is read back.
        #[test]
        fn price_text_round_trips(raw in 1..i64::MAX) {
            let price = Price::from_raw(raw).unwrap();
            prop_assert_eq!(Price::parse(&price.to_string()), Ok(price));
        }

        /// Any bytes are either an amount or an error, never a panic.
        #[test]
        fn any_text_is_refused_or_read(text in ".{0,40}") {
            let _ = parse_decimal(&text);
            let _ = parse_number(&text);
        }

        /// The exact parser agrees with the decimal meaning of the digits.
        #[test]
        fn digits_mean_what_they_say(whole in 0u64..92_233_720_368, part in 0u64..100_000_000) {
            let text = format!("{whole}.{part:08}");
            prop_assert_eq!(parse_decimal(&text), Ok((whole * 100_000_000 + part) as i64));
        }
    }
}
