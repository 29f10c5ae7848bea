//! Reading times: epoch numbers whose unit is told by their size, RFC 3339, and local times of a stated zone.
//!
//! What always holds: one column of one file has one unit. A number of another unit in it is an error, since a
//! millisecond read as a nanosecond would silently be in 1970.

use crossbook_engine::units::TimestampNs;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use thiserror::Error;

/// 2000-01-01 and 2200-01-01 in seconds: no market data are outside of it, and within it no two units overlap.
const FIRST_S: i128 = 946_684_800;
const LAST_S: i128 = 7_258_118_400;

/// Unit of epoch numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
    /// Not a number: a date with a time.
    Text,
}

impl Unit {
    const NUMERIC: [Unit; 4] = [Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos];

    /// Nanoseconds of one.
    const fn ns(self) -> i128 {
        match self {
            Unit::Seconds => 1_000_000_000,
            Unit::Millis => 1_000_000,
            Unit::Micros => 1_000,
            Unit::Nanos | Unit::Text => 1,
        }
    }

    /// The unit in which this number is a time between 2000 and 2200.
    fn of(whole: i128) -> Option<Unit> {
        Unit::NUMERIC.into_iter().find(|unit| {
            let scale = 1_000_000_000 / unit.ns();
            (FIRST_S * scale..LAST_S * scale).contains(&whole)
        })
    }
}

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Neither a number nor a date.
    #[error("`{0}` is not a time; allowed: epoch s, ms, us or ns, RFC 3339, or `YYYY-MM-DD HH:MM:SS` with --timezone")]
    NotATime(String),
    /// Outside of 2000 to 2200 in every unit.
    #[error("`{0}` is no time between 2000 and 2200 in s, ms, us or ns")]
    OutOfRange(String),
    /// Another unit than the rows before.
    #[error("`{text}` is in {found:?} while the rows before are in {first:?}: one unit per column")]
    MixedUnits {
        /// As written.
        text: String,
        /// Of the rows before.
        first: Unit,
        /// Of this one.
        found: Unit,
    },
    /// A local time without a zone, and none was given.
    #[error("`{0}` has no zone; say which with --timezone (UTC, Asia/Seoul, +09:00)")]
    NoZone(String),
    /// A local time that does not exist, or exists twice, in its zone (daylight saving).
    #[error("`{0}` does not exist or is ambiguous in its time zone")]
    Ambiguous(String),
}

/// Reads the times of one column of one file.
#[derive(Debug, Clone, Default)]
pub struct TimeColumn {
    zone: Option<TimeZone>,
    unit: Option<Unit>,
}

impl TimeColumn {
    /// For local times in this zone; without one, local times are refused.
    pub fn new(zone: Option<TimeZone>) -> TimeColumn {
        TimeColumn { zone, unit: None }
    }

    /// Reads a time exactly, to the nanosecond (further digits must be zeros or are cut: no clock is that fine).
    ///
    /// # Errors
    /// See [`TimeError`].
    pub fn read(&mut self, text: &str) -> Result<TimestampNs, TimeError> {
        let text = text.trim();
        let bare = text.strip_prefix('-').unwrap_or(text);
        let is_number = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let (ts, unit) = if is_number {
            epoch(text)?
        } else {
            (self.date_time(text)?, Unit::Text)
        };
        match self.unit {
            Some(first) if first != unit => Err(TimeError::MixedUnits {
                text: text.to_owned(),
                first,
                found: unit,
            }),
            _ => {
                self.unit = Some(unit);
                Ok(ts)
            }
        }
    }

    fn date_time(&self, text: &str) -> Result<TimestampNs, TimeError> {
        let not_a_time = || TimeError::NotATime(super::error::shorten(text));
        if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
            return nanos(stamp).ok_or_else(not_a_time);
        }
        let local: DateTime = text.parse().map_err(|_| not_a_time())?;
        let zone = self.zone.as_ref().ok_or_else(|| TimeError::NoZone(text.to_owned()))?;
        in_zone(local, zone).ok_or_else(|| TimeError::Ambiguous(text.to_owned()))
    }
}

/// An epoch number in whichever unit makes it a time between 2000 and 2200.
///
/// # Errors
/// [`TimeError::NotATime`] or [`TimeError::OutOfRange`].
pub fn epoch(text: &str) -> Result<(TimestampNs, Unit), TimeError> {
    let short = || super::error::shorten(text);
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeError::NotATime(short()));
    }
    if whole.len() > 20 {
        return Err(TimeError::OutOfRange(short()));
    }
    let number: i128 = whole.parse().map_err(|_| TimeError::NotATime(short()))?;
    let unit = Unit::of(number).ok_or_else(|| TimeError::OutOfRange(short()))?;
    let mut ns = number * unit.ns();
    let mut step = unit.ns();
    for digit in part.bytes() {
        step /= 10;
        ns += step * i128::from(digit - b'0');
    }
    let ns = i64::try_from(ns).map_err(|_| TimeError::OutOfRange(short()))?;
    Ok((TimestampNs(ns), unit))
}

/// A local time in a zone; `None` when it does not exist there, exists twice, or is out of range.
pub fn in_zone(local: DateTime, zone: &TimeZone) -> Option<TimestampNs> {
    nanos(zone.to_ambiguous_timestamp(local).unambiguous().ok()?)
}

fn nanos(stamp: jiff::Timestamp) -> Option<TimestampNs> {
    i64::try_from(stamp.as_nanosecond()).ok().map(TimestampNs)
}

/// Reads a zone: an IANA name (`Asia/Seoul`), `UTC`, or a fixed offset (`+09:00`). The database is part of the program.
pub fn parse_zone(text: &str) -> Option<TimeZone> {
    if text.eq_ignore_ascii_case("utc") || text == "Z" {
        return Some(TimeZone::UTC);
    }
    if let Some(sign) = text.chars().next().filter(|c| matches!(c, '+' | '-')) {
        let (hours, minutes) = text[1..].split_once(':').unwrap_or((&text[1..], "0"));
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        if !(0..=15).contains(&hours) || !(0..60).contains(&minutes) {
            return None;
        }
        let seconds = (hours * 3600 + minutes * 60) * if sign == '-' { -1 } else { 1 };
        return Offset::from_seconds(seconds).ok().map(TimeZone::fixed);
    }
    TimeZone::get(text).ok()
}

/// A time of day in a zone, at which a value of that date became public.
#[derive(Debug, Clone)]
pub struct PublishedAt {
    /// Time of day.
    pub time: Time,
    /// Where.
    pub zone: TimeZone,
}

impl PublishedAt {
    /// Reads `16:00@Europe/Berlin`.
    pub fn parse(text: &str) -> Option<PublishedAt> {
        let (time, zone) = text.split_once('@')?;
        Some(PublishedAt {
            time: time.parse().ok()?,
            zone: parse_zone(zone)?,
        })
    }

    /// The instant on this date; `None` when the zone has no such time that day.
    pub fn on(&self, date: Date) -> Option<TimestampNs> {
        in_zone(DateTime::from_parts(date, self.time), &self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_an_epoch_number_is_told_by_its_size() {
        let cases = [
            ("1723161253", 1_723_161_253_000_000_000),
            ("1723161253937", 1_723_161_253_937_000_000),
            ("1723161253937085", 1_723_161_253_937_085_000),
            ("1723161253937085768", 1_723_161_253_937_085_768),
            ("1617646621.1955352", 1_617_646_621_195_535_200),
            ("946684800", 946_684_800_000_000_000),
        ];
        for (text, want) in cases {
            assert_eq!(epoch(text).map(|(ts, _)| ts.0), Ok(want), "{text}");
        }
        for bad in [
            "0",
            "-1",
            "1",
            "946684799",
            "99999999999",
            "1e9",
            "",
            ".",
            "1.2.3",
            "99999999999999999999999",
        ] {
            assert!(epoch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn f30_mixed_units_in_a_column_are_refused() {
        let mut column = TimeColumn::default();
        assert!(column.read("1723161253937").is_ok());
        assert!(matches!(
            column.read("1723161253937085"),
            Err(TimeError::MixedUnits { .. })
        ));
        assert!(matches!(
            column.read("2024-08-08T23:54:13Z"),
            Err(TimeError::MixedUnits { .. })
        ));
    }

    #[test]
    fn f30_a_local_time_needs_its_zone() {
        let text = "2025-08-24T06:05:21.192890";
        assert!(matches!(TimeColumn::default().read(text), Err(TimeError::NoZone(_))));
        let read = |zone| TimeColumn::new(parse_zone(zone)).read(text).map(|ts| ts.0);
        let seoul = 1_755_983_121_192_890_000;
        assert_eq!(read("Asia/Seoul"), Ok(seoul));
        assert_eq!(read("+09:00"), Ok(seoul));
        assert_eq!(read("UTC"), Ok(seoul + 9 * 3_600_000_000_000));
        assert_eq!(
            TimeColumn::default()
                .read("2025-08-24T06:05:21.192890+09:00")
                .map(|ts| ts.0),
            Ok(seoul)
        );
        assert_eq!(
            TimeColumn::default().read("2025-08-23T21:05:21.19289Z").map(|ts| ts.0),
            Ok(seoul)
        );
    }

    #[test]
    fn a_zone_follows_daylight_saving_without_system_files() {
        let at = PublishedAt::parse("16:00@Europe/Berlin").unwrap();
        let utc_hour = |date: &str| at.on(date.parse().unwrap()).map(|ts| ts.0 / 3_600_000_000_000 % 24);
        assert_eq!(utc_hour("2024-01-15"), Some(15));
        assert_eq!(utc_hour("2024-07-15"), Some(14));
        let berlin = parse_zone("Europe/Berlin");
        assert!(matches!(
            TimeColumn::new(berlin).read("2024-03-31 02:30:00"),
            Err(TimeError::Ambiguous(_))
        ));
        for bad in ["Mars/Base", "+25:00", "+9:99", "", "16:00"] {
            assert!(parse_zone(bad).is_none(), "{bad}");
        }
    }
}
