//! Axes with readable ticks: instants in UTC, and plain values.

use std::ops::Range;

use crossbook_engine::units::TimestampNs;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

const MS_NS: i64 = 1_000_000;
const SECOND_NS: i64 = 1_000 * MS_NS;
const HOUR_NS: i64 = 3_600 * SECOND_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// Steps up to a day, in nanoseconds.
const CLOCK_STEPS: [i64; 27] = [
    MS_NS,
    2 * MS_NS,
    5 * MS_NS,
    10 * MS_NS,
    20 * MS_NS,
    50 * MS_NS,
    100 * MS_NS,
    200 * MS_NS,
    500 * MS_NS,
    SECOND_NS,
    2 * SECOND_NS,
    5 * SECOND_NS,
    10 * SECOND_NS,
    15 * SECOND_NS,
    30 * SECOND_NS,
    60 * SECOND_NS,
    120 * SECOND_NS,
    300 * SECOND_NS,
    600 * SECOND_NS,
    900 * SECOND_NS,
    1_800 * SECOND_NS,
    HOUR_NS,
    2 * HOUR_NS,
    3 * HOUR_NS,
    6 * HOUR_NS,
    12 * HOUR_NS,
    DAY_NS,
];

/// Time in UTC. Ticks lie on round clock times, days, or firsts of months.
#[derive(Debug, Clone)]
pub struct TimeAxis {
    from: i64,
    to: i64,
    ticks: Vec<i64>,
    step: i64,
}

impl TimeAxis {
    /// Over this span with at most so many ticks. An empty span is widened to two seconds.
    pub fn new(from: TimestampNs, to: TimestampNs, most: usize) -> TimeAxis {
        let (mut from, mut to) = (from.0, to.0);
        if to <= from {
            (from, to) = (from.saturating_sub(SECOND_NS), from.saturating_add(SECOND_NS));
        }
        let most = most.max(2) as i64;
        let clock = CLOCK_STEPS
            .into_iter()
            .find(|step| to.saturating_sub(from) / step < most);
        let (step, ticks) = match clock {
            Some(step) => (step, clock_ticks(from, to, step)),
            None => calendar_ticks(from, to, most as usize),
        };
        TimeAxis { from, to, ticks, step }
    }

    fn label(&self, ts: i64) -> String {
        let civil = civil(ts);
        let text = |format: &str| civil.strftime(format).to_string();
        match self.step {
            step if step >= DAY_NS => text("%Y-%m-%d"),
            _ if ts.rem_euclid(DAY_NS) == 0 => text("%b %-d"),
            step if step >= 60 * SECOND_NS => text("%H:%M"),
            step if step >= SECOND_NS => text("%H:%M:%S"),
            _ => format!("{}.{:03}", text("%H:%M:%S"), ts.rem_euclid(SECOND_NS) / MS_NS),
        }
    }
}

/// An instant as `2024-09-01 00:00:00`, UTC.
pub fn utc(ts: TimestampNs) -> String {
    civil(ts.0).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn civil(ts: i64) -> DateTime {
    // Every `i64` of nanoseconds lies between the years 1677 and 2262.
    let ts = Timestamp::from_nanosecond(i128::from(ts)).unwrap_or(Timestamp::UNIX_EPOCH);
    TimeZone::UTC.to_datetime(ts)
}

fn clock_ticks(from: i64, to: i64, step: i64) -> Vec<i64> {
    let past = from.rem_euclid(step);
    let first = if past == 0 {
        from
    } else {
        from.saturating_add(step - past)
    };
    (0..)
        .map_while(|at| first.checked_add(at * step))
        .take_while(|&ts| ts <= to)
        .collect()
}

/// Days, months or years from the start of one, in the smallest step that is not too many.
fn calendar_ticks(from: i64, to: i64, most: usize) -> (i64, Vec<i64>) {
    let day = civil(from).date();
    let year = |every: i16| jiff::civil::date(day.year() - day.year().rem_euclid(every), 1, 1);
    let steps: [(Span, jiff::civil::Date); 9] = [
        (2.days(), day),
        (7.days(), day),
        (14.days(), day),
        (1.month(), day.first_of_month()),
        (2.months(), day.first_of_year()),
        (3.months(), day.first_of_year()),
        (6.months(), day.first_of_year()),
        (1.year(), day.first_of_year()),
        (100.years(), year(100)),
    ];
    let mut ticks = Vec::new();
    for (step, start) in steps {
        ticks = (0..)
            .map_while(|at| start.checked_add(step.checked_mul(at).ok()?).ok())
            .map_while(|date| date.to_zoned(TimeZone::UTC).ok())
            .map_while(|zoned| i64::try_from(zoned.timestamp().as_nanosecond()).ok())
            .take_while(|&ts| ts <= to)
            .filter(|&ts| ts >= from)
            .take(most + 1)
            .collect();
        if ticks.len() <= most {
            break;
        }
    }
    (DAY_NS, ticks)
}

impl Ranged for TimeAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = i64;

    fn map(&self, value: &i64, limit: (i32, i32)) -> i32 {
        let share = value.saturating_sub(self.from) as f64 / self.to.saturating_sub(self.from) as f64;
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<i64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<i64> {
        self.from..self.to
    }
}

impl ValueFormatter<i64> for TimeAxis {
    fn format_ext(&self, value: &i64) -> String {
        self.label(*value)
    }
}

/// Plain values with ticks at 1, 2 or 5 times a power of ten.
#[derive(Debug, Clone)]
pub struct ValueAxis {
    low: f64,
    high: f64,
    step: f64,
}

impl ValueAxis {
    /// Over the values (and some air) with at most so many ticks. No value, or one only, still gives an axis.
    pub fn over(values: impl IntoIterator<Item = f64>, most: usize) -> ValueAxis {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = match high - low {
            span if span > 0.0 => (low - span * 0.05, high + span * 0.05),
            _ if low.is_finite() => {
                let air = (low.abs() * 0.01).max(1.0);
                (low - air, low + air)
            }
            _ => (-1.0, 1.0),
        };
        ValueAxis::between(low, high, most)
    }

    /// Over exactly this range; `high` must be above `low`.
    pub fn between(low: f64, high: f64, most: usize) -> ValueAxis {
        ValueAxis {
            low,
            high,
            step: nice_step((high - low) / most.max(2) as f64),
        }
    }

    /// Text of a value on this axis: decimals as the ticks need them, thousands apart.
    pub fn text(&self, value: f64) -> String {
        number(value, decimals(self.step))
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that is not below this.
pub fn nice_step(least: f64) -> f64 {
    let power = 10f64.powi(least.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|times| times * power >= least * 0.999_999);
    step.unwrap_or(10.0) * power
}

fn decimals(step: f64) -> usize {
    (-step.log10().floor()).clamp(0.0, 8.0) as usize
}

/// A number with thousands apart (`-12,345.6`).
pub fn number(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, part) = text.split_once('.').map_or((text.as_str(), ""), |split| split);
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !zero { "-" } else { "" };
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{part}")
}

impl Ranged for ValueAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        let first = (self.low / self.step).ceil();
        let count = ((self.high / self.step).floor() - first).clamp(-1.0, 50.0) as i64;
        (0..=count).map(|at| (first + at as f64) * self.step).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for ValueAxis {
    fn format_ext(&self, value: &f64) -> String {
        self.text(*value)
    }
}

#[cfg(test)]
mod tests {
    use plotters::coord::ranged1d::BoldPoints;

    use super::*;

    fn ns(text: &str) -> TimestampNs {
        let ts: Timestamp = text.parse().unwrap();
        TimestampNs(ts.as_nanosecond() as i64)
    }

    #[test]
    fn time_ticks_are_round_and_not_too_many() {
        let cases: [(&str, &str, &[&str]); 6] = [
            (
                "2024-08-08T23:54:13Z",
                "2024-08-08T23:59:59Z",
                &["23:55", "23:56", "23:57", "23:58", "23:59"],
            ),
            (
                "2024-09-01T00:00:00Z",
                "2024-09-02T06:00:00Z",
                &["Sep 1", "06:00", "12:00", "18:00", "Sep 2", "06:00"],
            ),
            (
                "2024-09-01T00:00:00.2Z",
                "2024-09-01T00:00:00.5Z",
                &["00:00:00.200", "00:00:00.300", "00:00:00.400", "00:00:00.500"],
            ),
            (
                "2024-08-24T22:28:00Z",
                "2025-02-28T13:47:00Z",
                &[
                    "2024-09-01",
                    "2024-10-01",
                    "2024-11-01",
                    "2024-12-01",
                    "2025-01-01",
                    "2025-02-01",
                ],
            ),
            (
                "2024-09-01T12:00:00Z",
                "2024-09-05T12:00:00Z",
                &["2024-09-02", "2024-09-03", "2024-09-04", "2024-09-05"],
            ),
            (
                "2024-12-31T23:59:59Z",
                "2024-12-31T23:59:59Z",
                &["23:59:58.000", "23:59:58.500", "23:59:59.000", "23:59:59.500", "Jan 1"],
            ),
        ];
        for (from, to, want) in cases {
            let axis = TimeAxis::new(ns(from), ns(to), 6);
            let got: Vec<_> = axis
                .key_points(BoldPoints(0))
                .iter()
                .map(|tick| axis.format_ext(tick))
                .collect();
            assert_eq!(got, want, "{from} {to}");
        }
        for (from, to) in [
            (i64::MIN / 2, i64::MAX / 2 - 1),
            (i64::MAX, i64::MAX),
            (0, 1),
            (-5, 1 << 60),
        ] {
            let axis = TimeAxis::new(TimestampNs(from), TimestampNs(to), 7);
            assert!(axis.key_points(BoldPoints(0)).len() <= 8, "{from} {to}");
        }
    }

    #[test]
    fn value_ticks_are_round() {
        let axis = ValueAxis::over([-12.0, 31.0], 6);
        let got: Vec<_> = axis
            .key_points(BoldPoints(0))
            .iter()
            .map(|tick| axis.text(*tick))
            .collect();
        assert_eq!(got, ["-10", "0", "10", "20", "30"]);
        for values in [vec![], vec![0.0], vec![5e9], vec![f64::NAN], vec![1.0, 1.0 + 1e-9]] {
            let axis = ValueAxis::over(values, 6);
            let ticks = axis.key_points(BoldPoints(0));
            assert!((1..=10).contains(&ticks.len()), "{ticks:?}");
        }
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        let cases = [
            (0.0, 0, "0"),
            (-0.004, 2, "0.00"),
            (999.0, 0, "999"),
            (-1234567.891, 2, "-1,234,567.89"),
            (1e5, 1, "100,000.0"),
        ];
        for (value, decimals, want) in cases {
            assert_eq!(number(value, decimals), want);
        }
    }
}
