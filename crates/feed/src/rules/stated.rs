//! Request limits that a venue states in its list, and how far they are believed.
//!
//! What is not believed leaves what is in force as it is: a list that was half made must neither stop the feed nor get our
//! address banned.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rest::rule::{Counts, Rule};

/// A request limit as Binance states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// `REQUEST_WEIGHT`, `RAW_REQUESTS`, `ORDERS`, or something newer.
    pub rate_limit_type: String,
    /// `SECOND`, `MINUTE`, `DAY`.
    pub interval: String,
    /// How many of them.
    pub interval_num: u32,
    /// How much within.
    pub limit: u64,
}

/// A limit that is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odd {
    /// As stated.
    pub limit: RateLimit,
    /// Why not.
    pub why: &'static str,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RateLimit {
            rate_limit_type,
            interval,
            interval_num,
            limit,
        } = &self.limit;
        let why = self.why;
        write!(
            f,
            "request limit {rate_limit_type} of {limit} in {interval_num} {interval} is not believed: {why}"
        )
    }
}

/// What a venue's statements come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stated {
    /// What to be held to, weights first and of these the shortest window first. Empty when no limit of weights is
    /// believed: then what is in force stays.
    pub rules: Vec<Rule>,
    /// What was not believed.
    pub odd: Vec<Odd>,
}

/// A limit is believed when it is at most so many times what we know of the venue, and no less than that part of it.
/// Binance raised its limit fivefold in one step, from 1200 to 6000 in 2023.
const MOST_TIMES: u128 = 20;

/// No longer window is kept: what was sent is remembered for as long.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Limits beyond these are not believed; Binance states two that are for us.
const MOST_RULES: usize = 8;

impl Stated {
    /// Reads statements; `usual` is what we know of the venue. Only what counts requests of market data is taken: `ORDERS`
    /// is of an account, which nothing here has, and other types are passed over.
    pub fn read(limits: &[RateLimit], usual: Rule) -> Stated {
        let mut stated = Stated::default();
        for limit in limits {
            let counts = match limit.rate_limit_type.as_str() {
                "REQUEST_WEIGHT" => Counts::Weight,
                "RAW_REQUESTS" => Counts::Requests,
                _ => continue,
            };
            let rule = match stated.rules.len() < MOST_RULES {
                true => believe(limit, counts, usual),
                false => Err("there are more of them than a venue has"),
            };
            match rule {
                Ok(rule) => stated.rules.push(rule),
                Err(why) => stated.odd.push(Odd {
                    limit: limit.clone(),
                    why,
                }),
            }
        }
        let rules = &mut stated.rules;
        rules.sort_by_key(|rule| (rule.counts != Counts::Weight, rule.window));
        if rules.first().is_none_or(|rule| rule.counts != Counts::Weight) {
            rules.clear();
        }
        stated
    }
}

fn believe(stated: &RateLimit, counts: Counts, usual: Rule) -> Result<Rule, &'static str> {
    let seconds = match stated.interval.as_str() {
        "SECOND" => 1,
        "MINUTE" => 60,
        "HOUR" => 3_600,
        "DAY" => 86_400,
        _ => return Err("we do not know the interval"),
    };
    let window = Duration::from_secs(seconds * u64::from(stated.interval_num));
    if window.is_zero() {
        return Err("it is within no time");
    }
    if window > LONGEST {
        return Err("it is longer than an hour");
    }
    // Both as what they allow in the other's window.
    let allowed = u128::from(stated.limit) * usual.window.as_nanos();
    let known = u128::from(usual.limit) * window.as_nanos();
    if allowed * MOST_TIMES < known {
        return Err("it is less than a twentieth of what we know");
    }
    if allowed > known * MOST_TIMES {
        return Err("it is more than twenty times what we know");
    }
    Ok(Rule {
        counts,
        limit: u32::try_from(stated.limit).map_err(|_| "it is too large")?,
        window,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::Protocol;
    use proptest::prelude::*;

    fn limit(kind: &str, interval: &str, interval_num: u32, limit: u64) -> RateLimit {
        RateLimit {
            rate_limit_type: kind.to_owned(),
            interval: interval.to_owned(),
            interval_num,
            limit,
        }
    }

    fn rule(counts: Counts, limit: u32, seconds: u64) -> Rule {
        Rule {
            counts,
            limit,
            window: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn what_binance_states_today_is_believed_and_orders_are_not_for_us() {
        let spot = [
            limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
            limit("ORDERS", "SECOND", 10, 100),
            limit("ORDERS", "DAY", 1, 200_000),
            limit("REQUEST_WEIGHT", "MINUTE", 1, 6_000),
            limit("CONNECTIONS", "FORTNIGHT", 0, 0),
        ];
        let got = Stated::read(&spot, Protocol::BinanceSpot.rule());
        let want = vec![rule(Counts::Weight, 6_000, 60), rule(Counts::Requests, 300_000, 300)];
        assert_eq!(
            got,
            Stated {
                rules: want,
                odd: vec![]
            }
        );
        let usdm = [
            limit("REQUEST_WEIGHT", "MINUTE", 1, 2_400),
            limit("ORDERS", "MINUTE", 1, 1_200),
        ];
        let got = Stated::read(&usdm, Protocol::BinanceUsdm.rule());
        assert_eq!(got.rules, [rule(Counts::Weight, 2_400, 60)]);
        assert_eq!(Stated::read(&[], Protocol::BinanceSpot.rule()), Stated::default());
    }

    #[test]
    fn a_limit_is_believed_within_bounds_and_an_odd_one_is_told() {
        let cases = [
            ("MINUTE", 1, 300, Ok(60)),
            ("MINUTE", 1, 299, Err("it is less than a twentieth of what we know")),
            ("MINUTE", 1, 0, Err("it is less than a twentieth of what we know")),
            ("MINUTE", 1, 120_000, Ok(60)),
            ("MINUTE", 1, 120_001, Err("it is more than twenty times what we know")),
            ("MINUTE", 1, u64::MAX, Err("it is more than twenty times what we know")),
            ("SECOND", 10, 1_000, Ok(10)),
            ("SECOND", 10, 20_001, Err("it is more than twenty times what we know")),
            ("HOUR", 1, 360_000, Ok(3_600)),
            ("HOUR", 2, 720_000, Err("it is longer than an hour")),
            ("DAY", 1, 8_640_000, Err("it is longer than an hour")),
            ("DAY", u32::MAX, 1, Err("it is longer than an hour")),
            ("MINUTE", 0, 6_000, Err("it is within no time")),
            ("WEEK", 1, 6_000, Err("we do not know the interval")),
        ];
        for (interval, number, most, want) in cases {
            let one = limit("REQUEST_WEIGHT", interval, number, most);
            let got = Stated::read(std::slice::from_ref(&one), Protocol::BinanceSpot.rule());
            let want = match want {
                Ok(seconds) => Stated {
                    rules: vec![rule(Counts::Weight, u32::try_from(most).unwrap(), seconds)],
                    odd: vec![],
                },
                Err(why) => Stated {
                    rules: vec![],
                    odd: vec![Odd { limit: one, why }],
                },
            };
            assert_eq!(got, want, "{interval} {number} {most}");
        }
    }

    #[test]
    fn without_a_good_limit_of_weights_nothing_changes_and_of_too_many_the_rest_is_told() {
        let usual = Protocol::BinanceSpot.rule();
        let only = [
            limit("REQUEST_WEIGHT", "MINUTE", 1, 1),
            limit("RAW_REQUESTS", "MINUTE", 5, 61_000),
        ];
        let got = Stated::read(&only, usual);
        assert_eq!((got.rules.len(), got.odd.len()), (0, 1));
        assert_eq!(
            got.odd[0].to_string(),
            "request limit REQUEST_WEIGHT of 1 in 1 MINUTE is not believed: it is less than a twentieth of what we know"
        );
        let many: Vec<_> = (1..=10).map(|n| limit("REQUEST_WEIGHT", "MINUTE", n, 6_000)).collect();
        let got = Stated::read(&many, usual);
        assert_eq!((got.rules.len(), got.odd.len()), (8, 2));
        assert_eq!(got.rules[0].window, Duration::from_secs(60));
    }

    proptest! {
        /// Whatever is stated: reading it ends, and what is believed is within the bounds and begins with a weight.
        #[test]
        fn any_statement_can_be_read(
            stated in prop::collection::vec(("REQUEST_WEIGHT|RAW_REQUESTS|ORDERS|X", "SECOND|MINUTE|HOUR|DAY|", any::<u32>(), any::<u64>()), 0..12),
            small in prop::collection::vec((0..200_u32, 0..200_000_u64), 0..4),
        ) {
            let mut limits: Vec<_> = stated.iter().map(|(kind, interval, n, most)| limit(kind, interval, *n, *most)).collect();
            limits.extend(small.iter().map(|(n, most)| limit("REQUEST_WEIGHT", "SECOND", *n, *most)));
            let got = Stated::read(&limits, Protocol::BinanceSpot.rule());
            prop_assert!(got.rules.len() <= MOST_RULES);
            prop_assert!(got.rules.first().is_none_or(|rule| rule.counts == Counts::Weight));
            for rule in &got.rules {
                prop_assert!(rule.limit > 0 && !rule.window.is_zero() && rule.window <= LONGEST);
            }
        }
    }
}
