//! How far a venue's clock is from ours, and how well that is known.
//!
//! Each answer that carries the venue's time bounds the difference from both sides: the venue read its clock after we
//! sent and before we received. The bounds of many answers are laid over each other, so one quick answer counts for more
//! than many slow ones, and `Date` headers, which know only the second, tighten to the length of a round trip.
//!
//! It corrects nothing: events keep the times that they came with.

use std::collections::VecDeque;

use crossbook_engine::units::TimestampNs;

use crate::clock::Stamp;

/// Answers that are remembered.
const SAMPLES: usize = 64;

/// Two quartz clocks drift apart by no more than this, in nanoseconds a second; bounds widen with their age.
const DRIFT_PPB: i64 = 100_000;

/// The venue's clock against ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Nanoseconds by which the venue is ahead; negative when it is behind.
    pub ns: i64,
    /// The truth is within this many nanoseconds of `ns`, on either side.
    pub within_ns: i64,
}

/// What one answer says: the offset lies between the two, as of then.
#[derive(Debug, Clone, Copy)]
struct Sample {
    mono_ns: i64,
    least_ns: i64,
    most_ns: i64,
}

/// Gathers answers of one venue.
#[derive(Debug, Default)]
pub struct OffsetMeter {
    /// Oldest first.
    samples: VecDeque<Sample>,
}

impl OffsetMeter {
    /// An answer to a request sent at `sent` and read at `received` in which the venue said `venue`, cut down to a multiple
    /// of `step_ns` (its milliseconds or seconds).
    pub fn add(&mut self, sent: Stamp, received: Stamp, venue: TimestampNs, step_ns: i64) {
        // Our wall time at the answer is taken from the start and the monotonic clock, so that a step in between, which
        // would turn the bounds over, does not enter.
        let took = received.mono_ns.saturating_sub(sent.mono_ns).max(0);
        let sample = Sample {
            mono_ns: sent.mono_ns,
            least_ns: venue.0.saturating_sub(sent.ts.0.saturating_add(took)),
            most_ns: venue.0.saturating_add(step_ns).saturating_sub(sent.ts.0),
        };
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The offset as of `now`, by all answers that agree with the newest one. Those that do not are older than a step of
    /// one of the clocks.
    pub fn offset(&self, now: Stamp) -> Option<Offset> {
        let mut bounds: Option<(i64, i64)> = None;
        for sample in self.samples.iter().rev() {
            let age_ns = now.mono_ns.saturating_sub(sample.mono_ns).max(0);
            let drift = i64::try_from(i128::from(age_ns) * i128::from(DRIFT_PPB) / 1_000_000_000).unwrap_or(i64::MAX);
            let (least, most) = (
                sample.least_ns.saturating_sub(drift),
                sample.most_ns.saturating_add(drift),
            );
            let (low, high) = bounds.map_or((least, most), |(low, high)| (low.max(least), high.min(most)));
            if low > high {
                break;
            }
            bounds = Some((low, high));
        }
        let (low, high) = bounds?;
        let within_ns = high.saturating_sub(low) / 2;
        Some(Offset {
            ns: low.saturating_add(within_ns),
            within_ns: within_ns.saturating_add(1),
        })
    }
}

/// The time in an HTTP date, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7, the form that senders must use), from
/// 1970 to 2261. The name of the day is not checked.
pub fn http_date(text: &str) -> Option<TimestampNs> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let day = digits(words.next()?, 2)?;
    let month = words.next()?;
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    let year = digits(words.next()?, 4)?;
    let mut clock = words.next()?.split(':');
    let (hour, minute, second) = (
        digits(clock.next()?, 2)?,
        digits(clock.next()?, 2)?,
        digits(clock.next()?, 2)?,
    );
    let whole = clock.next().is_none() && words.next() == Some("GMT") && words.next().is_none();
    let month = i64::try_from(month).ok()?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    // A leap second is read as the first of the next minute.
    let valid =
        (1970..=2261).contains(&year) && (1..=length).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !whole || !valid {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(TimestampNs(seconds * 1_000_000_000))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; years counted from March, so that a leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;
    const SECOND: i64 = 1_000 * MS;

    fn stamp(mono_ns: i64, wall_ns: i64) -> Stamp {
        Stamp {
            mono_ns,
            ts: TimestampNs(wall_ns),
        }
    }

    /// An answer after `there + back` whose venue is ahead by `ahead`, its clock cut to `step`.
    fn ask(meter: &mut OffsetMeter, at: i64, wall: i64, there: i64, back: i64, ahead: i64, step: i64) {
        let venue = wall + there + ahead;
        meter.add(
            stamp(at, wall),
            stamp(at + there + back, wall + there + back),
            TimestampNs(venue - venue.rem_euclid(step)),
            step,
        );
    }

    #[test]
    fn f33_a_venue_ahead_of_us_is_measured_to_half_a_round_trip() {
        let mut meter = OffsetMeter::default();
        assert_eq!(meter.offset(stamp(0, 0)), None);
        ask(&mut meter, 0, 1_000 * SECOND, 400 * MS, 20 * MS, 750 * MS, MS);
        let slow = meter.offset(stamp(SECOND, 0)).expect("an offset");
        assert!((slow.ns - 750 * MS).abs() <= slow.within_ns, "{slow:?}");
        assert!((200 * MS..250 * MS).contains(&slow.within_ns), "{slow:?}");
        // A quick answer settles it, and a slow one after it does no harm.
        ask(&mut meter, SECOND, 1_001 * SECOND, 2 * MS, 2 * MS, 750 * MS, MS);
        ask(&mut meter, 2 * SECOND, 1_002 * SECOND, 5 * MS, 900 * MS, 750 * MS, MS);
        let quick = meter.offset(stamp(3 * SECOND, 0)).expect("an offset");
        assert!((quick.ns - 750 * MS).abs() <= quick.within_ns, "{quick:?}");
        assert!(quick.within_ns < 3 * MS, "{quick:?}");
    }

    #[test]
    fn f33_whole_seconds_of_many_answers_give_a_fraction() {
        let mut meter = OffsetMeter::default();
        for i in 0..40 {
            ask(
                &mut meter,
                i * 1_618 * MS,
                i * 1_618 * MS,
                10 * MS,
                10 * MS,
                -300 * MS,
                SECOND,
            );
        }
        let offset = meter.offset(stamp(40 * 1_618 * MS, 0)).expect("an offset");
        assert!((offset.ns + 300 * MS).abs() <= offset.within_ns, "{offset:?}");
        assert!(offset.within_ns < 60 * MS, "{offset:?}");
    }

    #[test]
    fn f32_a_step_of_a_clock_drops_what_was_measured_before_it() {
        let mut meter = OffsetMeter::default();
        for i in 0..10 {
            ask(&mut meter, i * SECOND, i * SECOND, 5 * MS, 5 * MS, 0, MS);
        }
        // Our wall clock goes forward by an hour: the venue is an hour behind it now.
        ask(
            &mut meter,
            10 * SECOND,
            3_610 * SECOND,
            5 * MS,
            5 * MS,
            -3_600 * SECOND,
            MS,
        );
        let offset = meter.offset(stamp(11 * SECOND, 0)).expect("an offset");
        assert!((offset.ns + 3_600 * SECOND).abs() <= offset.within_ns, "{offset:?}");
        assert!(offset.within_ns < 10 * MS, "{offset:?}");
    }

    proptest! {
        /// With any delays, steps of the venue's clock and drift within bounds, the truth is within the bounds told.
        #[test]
        fn f33_the_truth_is_within_the_bounds(
            ahead in -10 * SECOND..10 * SECOND,
            drift_ppm in -90..90_i64,
            answers in prop::collection::vec((1..2 * SECOND, 0..SECOND, 0..SECOND, prop::bool::ANY), 1..100),
        ) {
            let mut meter = OffsetMeter::default();
            let (mut at, wall) = (0, 1_700_000_000 * SECOND);
            for (pause, there, back, coarse) in answers {
                at += pause;
                let truth = ahead + (at + there) / 1_000_000 * drift_ppm;
                ask(&mut meter, at, wall + at, there, back, truth, if coarse { SECOND } else { MS });
                at += there + back;
                let truth = ahead + at / 1_000_000 * drift_ppm;
                let offset = meter.offset(stamp(at, 0)).expect("an offset");
                prop_assert!((offset.ns - truth).abs() <= offset.within_ns, "{offset:?} {truth}");
            }
        }

        #[test]
        fn http_date_reads_anything_without_harm(text in "[ -~]{0,40}", dated in "(Sun|Mon), [0-9]{2} (Jan|Feb|Nov) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT") {
            let _ = http_date(&text);
            let _ = http_date(&dated);
        }
    }

    #[test]
    fn http_dates_are_read_whole_or_not_at_all() {
        let cases = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Sat, 21 Nov 2026 19:24:42 GMT", Some(1_795_289_082)),
            ("Tue, 29 Feb 2023 00:00:00 GMT", None),
            ("Sat, 31 Apr 2026 00:00:00 GMT", None),
            ("Sat, 21 Nov 2026 24:00:00 GMT", None),
            ("Sat, 21 Nov 2026 19:24:42 KST", None),
            ("Sat, 21 Nov 2026 19:24:42 GMT and more", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 9994 08:49:37 GMT", None),
            ("", None),
        ];
        for (text, want) in cases {
            let got = http_date(text).map(|time| time.0 / 1_000_000_000);
            assert_eq!(got, want, "{text:?}");
        }
    }
}
