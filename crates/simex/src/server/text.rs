//! How numbers and times are spelled by the venues.

use std::fmt;

use crossbook_engine::units::{SCALE, TimestampNs};

/// A count of 1e-8 as a plain JSON number without needless zeros: `103460000`, `0.5`.
#[derive(Debug, Clone, Copy)]
pub struct Plain(pub i64);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = split(self.0, f)?;
        write!(f, "{whole}")?;
        if part == 0 { Ok(()) } else { fraction(part, f) }
    }
}

/// As Upbit's sockets spell it: a whole number has `.0`, one below 0.001 an exponent (`9.01E-6`).
#[derive(Debug, Clone, Copy)]
pub struct Streamed(pub i64);

impl fmt::Display for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = split(self.0, f)?;
        if whole == 0 && part > 0 && part < SCALE as u64 / 1_000 {
            let digits = part.to_string();
            let (first, rest) = digits.split_at(1);
            let exponent = 9 - digits.len();
            let rest = rest.trim_end_matches('0');
            let rest = if rest.is_empty() { "0" } else { rest };
            return write!(f, "{first}.{rest}E-{exponent}");
        }
        write!(f, "{whole}")?;
        if part == 0 {
            f.write_str(".0")
        } else {
            fraction(part, f)
        }
    }
}

fn split(raw: i64, f: &mut fmt::Formatter<'_>) -> Result<(u64, u64), fmt::Error> {
    if raw < 0 {
        f.write_str("-")?;
    }
    let magnitude = raw.unsigned_abs();
    Ok((magnitude / SCALE as u64, magnitude % SCALE as u64))
}

fn fraction(part: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = format!("{part:08}");
    write!(f, ".{}", digits.trim_end_matches('0'))
}

/// Hours, minutes and so on of a time, in some zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year.
    pub year: i64,
    /// Month, from 1.
    pub month: u64,
    /// Day, from 1.
    pub day: u64,
    /// Hour.
    pub hour: i64,
    /// Minute.
    pub minute: i64,
    /// Second.
    pub second: i64,
}

/// Korea's offset from UTC; the country has no summer time.
pub const KST_S: i64 = 9 * 3_600;

impl Civil {
    /// A time in UTC.
    pub fn utc(ts: TimestampNs) -> Civil {
        Civil::at(ts.0.div_euclid(1_000_000_000))
    }

    /// A time in Korea.
    pub fn kst(ts: TimestampNs) -> Civil {
        Civil::at(ts.0.div_euclid(1_000_000_000) + KST_S)
    }

    /// From seconds since 1970, by the usual count of days in years that begin in March.
    fn at(seconds: i64) -> Civil {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month.unsigned_abs(),
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1).unsigned_abs(),
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// Days since 1970 of a date; `None` when there is no such month or day.
    pub fn days(year: i64, month: i64, day: i64) -> Option<i64> {
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1..=9_999).contains(&year) {
            return None;
        }
        let shifted_year = year - i64::from(month <= 2);
        let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(era * 146_097 + day_of_era - 719_468)
    }

    /// `2026-11-21`.
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `20261121`.
    pub fn date_digits(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    /// `09:30:00`.
    pub fn time(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// `093000`.
    pub fn time_digits(&self) -> String {
        format!("{:02}{:02}{:02}", self.hour, self.minute, self.second)
    }
}

/// `2026-11-21T18:30:00+09:00`, as in Upbit's order answers.
pub fn iso_kst(ts: TimestampNs) -> String {
    let civil = Civil::kst(ts);
    format!("{}T{}+09:00", civil.date(), civil.time())
}

/// Milliseconds since 1970.
pub fn ms(ts: TimestampNs) -> i64 {
    ts.0.div_euclid(1_000_000)
}

/// Microseconds since 1970.
pub fn us(ts: TimestampNs) -> i64 {
    ts.0.div_euclid(1_000)
}

/// JSON text of a string, with its quotes.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spelled_as_the_venue_does() {
        let cases = [
            (103_460_000 * SCALE, "103460000", "103460000.0"),
            (SCALE / 2, "0.5", "0.5"),
            (901, "0.00000901", "9.01E-6"),
            (1, "0.00000001", "1.0E-8"),
            (99_999, "0.00099999", "9.9999E-4"),
            (100_000, "0.001", "0.001"),
            (0, "0", "0.0"),
            (-3 * SCALE / 2, "-1.5", "-1.5"),
        ];
        for (raw, plain, streamed) in cases {
            assert_eq!(Plain(raw).to_string(), plain);
            assert_eq!(Streamed(raw).to_string(), streamed);
        }
    }

    #[test]
    fn times_are_counted_over_leap_days_and_zones() {
        let at = |seconds: i64| TimestampNs(seconds * 1_000_000_000);
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (1_709_251_200, "2024-03-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (1_795_287_600, "2026-11-21 19:00:00"),
        ];
        for (seconds, want) in cases {
            let civil = Civil::utc(at(seconds));
            assert_eq!(format!("{} {}", civil.date(), civil.time()), want);
        }
        assert_eq!(iso_kst(at(1_795_287_600)), "2026-11-22T04:00:00+09:00");
        assert_eq!(quoted("a\"b"), r#""a\"b""#);
    }
}
