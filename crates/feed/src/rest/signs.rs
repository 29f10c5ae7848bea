//! What an answer says about limits, wherever it says it: in headers, or in the words of its body.

use std::time::Duration;

use crossbook_engine::units::TimestampNs;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::time::http_date;

/// Longest wait that is believed. Binance bans for up to three days (read 2026-11-21); a longer one is a mistake.
const MOST_WAIT: Duration = Duration::from_secs(7 * 86_400);

/// How much of a body is searched for a time.
const MOST_SEARCHED: usize = 4_096;

/// What an answer says about limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signs {
    /// Upbit: the group by the venue's own name, and how many more requests this second allows.
    pub remaining: Option<(String, u32)>,
    /// Binance: weight used by everybody behind our address, and in which window.
    pub used: Vec<(Duration, u32)>,
    /// How long to wait.
    pub wait: Option<Duration>,
}

impl Signs {
    /// Reads them; `wall` is our time, for waits that are told as a date.
    pub fn read(headers: &HeaderMap, body: &[u8], wall: TimestampNs) -> Signs {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Signs {
            remaining: text("remaining-req").and_then(remaining),
            used: used(headers),
            wait: text("retry-after")
                .and_then(|text| retry_after(text, text_date(headers).unwrap_or(wall)))
                .or_else(|| told(body, wall))
                .map(|wait| wait.min(MOST_WAIT)),
        }
    }
}

fn text_date(headers: &HeaderMap) -> Option<TimestampNs> {
    headers.get("date")?.to_str().ok().and_then(http_date)
}

/// `X-MBX-USED-WEIGHT-1M: 5990`: the name ends in the number and the first letter of an interval, one header for each
/// window that `exchangeInfo.rateLimits` states (binance-spot-api-docs a5e0bc3, read 2026-11-21).
fn used(headers: &HeaderMap) -> Vec<(Duration, u32)> {
    let read = |(name, value): (&HeaderName, &HeaderValue)| {
        let (number, letter) = leading_number(name.as_str().strip_prefix("x-mbx-used-weight-")?);
        let seconds: u64 = match letter {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        let window = Duration::from_secs(number?.checked_mul(seconds)?);
        Some((window, value.to_str().ok()?.trim().parse().ok()?))
    };
    headers.iter().filter_map(read).collect()
}

/// `group=orderbook; min=600; sec=9`. `min` does not move (Upbit developer docs v1.6.4, read 2026-11-21) and is not read.
fn remaining(text: &str) -> Option<(String, u32)> {
    let field = |name: &str| {
        text.split(';')
            .filter_map(|part| part.split_once('='))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
    };
    let group = field("group").filter(|group| !group.is_empty() && group.len() <= 64)?;
    Some((group.to_owned(), field("sec")?.parse().ok()?))
}

/// Seconds, or a date (RFC 9110, 10.2.3), which is counted from the answer's own date so that our clock does not matter.
fn retry_after(text: &str, now: TimestampNs) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => http_date(text.trim()).map(|until| between(now, until)),
    }
}

fn between(now: TimestampNs, until: TimestampNs) -> Duration {
    Duration::from_nanos(u64::try_from(until.0.saturating_sub(now.0)).unwrap_or(0))
}

/// How long to wait by the words of a body: `IP banned until 1526565688553` (Binance, epoch milliseconds), `for 60 seconds`,
/// `10 minutes`. Where Upbit tells the length of a block is not documented, so this takes what reads like a time.
fn told(body: &[u8], wall: TimestampNs) -> Option<Duration> {
    let text = String::from_utf8_lossy(&body[..body.len().min(MOST_SEARCHED)]).to_ascii_lowercase();
    if let Some((_, after)) = text.split_once("until ") {
        let (digits, _) = leading_number(after);
        let until = digits.and_then(|number| match number {
            1_000_000_000..10_000_000_000 => i64::try_from(number).ok()?.checked_mul(1_000_000_000),
            1_000_000_000_000..10_000_000_000_000 => i64::try_from(number).ok()?.checked_mul(1_000_000),
            _ => None,
        });
        if let Some(until) = until {
            return Some(between(wall, TimestampNs(until)));
        }
    }
    let starts = text.char_indices().filter(|(at, c)| {
        let before = text[..*at].chars().next_back();
        c.is_ascii_digit() && !before.is_some_and(|before| before.is_ascii_alphanumeric() || before == '.')
    });
    for (at, _) in starts {
        let (Some(number), after) = leading_number(&text[at..]) else {
            continue;
        };
        let unit = after.trim_start();
        let seconds = if unit.starts_with("sec") || unit.starts_with('초') {
            1
        } else if unit.starts_with("min") || unit.starts_with('분') {
            60
        } else if unit.starts_with("hour") || unit.starts_with("시간") {
            3_600
        } else {
            continue;
        };
        return number.checked_mul(seconds).map(Duration::from_secs);
    }
    None
}

fn leading_number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).expect("a value"),
                )
            })
            .collect()
    }

    #[test]
    fn the_group_is_whatever_the_venue_calls_it_and_only_sec_counts() {
        let cases = [
            ("group=orderbook; min=600; sec=9", Some(("orderbook", 9))),
            ("group=candles;min=1;sec=0", Some(("candles", 0))),
            ("sec=3; group=not-known-yet", Some(("not-known-yet", 3))),
            ("group=default; min=1800", None),
            ("group=; min=1; sec=1", None),
            ("sec=5", None),
            ("group=a; sec=-1", None),
            ("", None),
        ];
        for (text, want) in cases {
            let got = Signs::read(&headers(&[("remaining-req", text)]), b"", TimestampNs(0)).remaining;
            let want = want.map(|(group, sec)| (group.to_owned(), sec));
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn f10_a_wait_is_found_in_header_and_body() {
        let wall = TimestampNs(1_526_565_600_000_000_000);
        type Case<'a> = (&'a [(&'static str, &'a str)], &'a str, Option<u64>);
        let cases: [Case; 13] = [
            (&[("retry-after", "7")], "", Some(7_000)),
            (&[("retry-after", "7")], "for 60 seconds", Some(7_000)),
            (
                &[
                    ("date", "Sat, 21 Nov 2026 19:00:00 GMT"),
                    ("retry-after", "Sat, 21 Nov 2026 19:02:00 GMT"),
                ],
                "",
                Some(120_000),
            ),
            (&[("retry-after", "99999999999")], "", Some(7 * 86_400_000)),
            (&[("retry-after", "soon")], "", None),
            (
                &[],
                r#"{"code":-1003,"msg":"Way too many requests; IP banned until 1526565688553. Please use WebSocket."}"#,
                Some(88_553),
            ),
            (&[], "banned until 1526565590", Some(0)),
            (
                &[],
                r#"{"error":{"name":418,"message":"blocked for 60 seconds"}}"#,
                Some(60_000),
            ),
            (&[], "10분 동안 차단되었습니다", Some(600_000)),
            (&[], "try again in 2 hours", Some(7_200_000)),
            (&[], r#"{"error":{"name":418,"message":"blocked"}}"#, None),
            (&[], "99999999999999999999 seconds", None),
            (&[], "18446744073709551615 minutes", None),
        ];
        for (pairs, body, want) in cases {
            let got = Signs::read(&headers(pairs), body.as_bytes(), wall).wait;
            assert_eq!(got, want.map(Duration::from_millis), "{pairs:?} {body:?}");
        }
    }

    #[test]
    fn used_weight_is_of_a_window_and_a_number_or_nothing() {
        let cases = [
            ("x-mbx-used-weight-1m", "1", Some((60, 1))),
            ("x-mbx-used-weight-1m", " 5990 ", Some((60, 5_990))),
            ("x-mbx-used-weight-10s", "7", Some((10, 7))),
            ("x-mbx-used-weight-1h", "7", Some((3_600, 7))),
            ("x-mbx-used-weight-1m", "-1", None),
            ("x-mbx-used-weight-1m", "x", None),
            ("x-mbx-used-weight", "7", None),
            ("x-mbx-used-weight-m", "7", None),
            ("x-mbx-used-weight-1w", "7", None),
            ("x-mbx-used-weight-99999999999999999999d", "7", None),
        ];
        for (name, text, want) in cases {
            let got = Signs::read(&headers(&[(name, text)]), b"", TimestampNs(0)).used;
            let want = want.map(|(seconds, used)| (Duration::from_secs(seconds), used));
            assert_eq!(got, Vec::from_iter(want), "{name}: {text:?}");
        }
    }

    proptest! {
        /// Whatever comes, reading it ends, and no wait is longer than what is believed.
        #[test]
        fn any_answer_can_be_read(header in "[ -~]{0,60}", body in prop::collection::vec(any::<u8>(), 0..200), words in "(until |[0-9]{1,22}| sec|분|min|hour| ){0,12}") {
            let map = headers(&[("retry-after", &header), ("remaining-req", &header), ("x-mbx-used-weight-1m", &header)]);
            for body in [body.as_slice(), words.as_bytes()] {
                let signs = Signs::read(&map, body, TimestampNs(0));
                prop_assert!(signs.wait.is_none_or(|wait| wait <= MOST_WAIT));
            }
        }
    }
}
