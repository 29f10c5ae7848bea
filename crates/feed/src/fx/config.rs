//! `[fx]` of a configuration.

use std::collections::BTreeSet;

use crossbook_engine::units::{FxRate, TimestampNs};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where rates come from, and when they are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FxConfig {
    /// Sources, the preferred one first.
    pub sources: Vec<SourceConfig>,
    /// What is plausible.
    #[serde(default)]
    pub band: Band,
    /// An unchanged rate is told again this often, so that it does not age without need.
    #[serde(default = "FxConfig::default_repeat_ms")]
    pub repeat_ms: u64,
    /// Where the rate is published, if anywhere.
    #[serde(default)]
    pub redis: Option<RedisConfig>,
}

/// What is plausible of KRW per dollar. Defaults hold every daily rate since 1999 with room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Band {
    /// Nothing below this.
    pub low: FxRate,
    /// Nothing above this.
    pub high: FxRate,
    /// Farthest from the last fresh rate of the same source.
    pub max_jump_bps: u32,
    /// Farthest from the fresh rates of the other sources; room for the premium that KRW-USDT has over a bank's rate.
    pub max_apart_bps: u32,
    /// A source's clock may be ahead of ours by this much.
    pub clock_ahead_ms: u64,
}

impl Default for Band {
    fn default() -> Band {
        let whole = |units: i64| FxRate::from_raw(units * crossbook_engine::units::SCALE).unwrap_or(FxRate::ONE);
        Band {
            low: whole(700),
            high: whole(2_500),
            max_jump_bps: 500,
            max_apart_bps: 1_500,
            clock_ahead_ms: 5_000,
        }
    }
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name, in records and in Redis.
    pub name: String,
    /// Its rates are too old after this long; by the source's own time for them, not by when we asked.
    pub max_age_ms: u64,
    /// Where they come from.
    pub from: SourceKind,
}

/// Where rates come from: `{ book = { … } }`, `{ http = { … } }` or `{ constant = { … } }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SourceKind {
    /// The mid of a live book: Upbit's KRW-USDT.
    Book {
        /// Name of its venue.
        venue: String,
        /// The market, in the venue's spelling.
        market: String,
        /// A book whose bid and ask are farther apart is not believed.
        #[serde(default = "SourceKind::default_max_spread_bps")]
        max_spread_bps: u32,
    },
    /// Asked for over HTTP again and again.
    Http {
        /// The whole address.
        url: String,
        /// How its answer is spelled.
        format: QuoteFormat,
        /// Asked this often.
        #[serde(default = "SourceKind::default_poll_ms")]
        poll_ms: u64,
        /// A request is given up after this long.
        #[serde(default = "SourceKind::default_timeout_ms")]
        timeout_ms: u64,
    },
    /// What someone wrote down.
    Constant {
        /// The rate.
        rate: FxRate,
        /// The day of which it was true, `2026-11-20`; its age is counted from that day's midnight, UTC.
        date: String,
    },
}

impl SourceKind {
    fn default_max_spread_bps() -> u32 {
        100
    }

    fn default_poll_ms() -> u64 {
        60_000
    }

    fn default_timeout_ms() -> u64 {
        5_000
    }
}

/// How a quote over HTTP is spelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum QuoteFormat {
    /// `[{"code":"FRX.KRWUSD","basePrice":1391.5,"timestamp":1763712000000,…}]`, times in milliseconds.
    Dunamu,
    /// `{"result":"success","base_code":"USD","time_last_update_unix":1763683351,"rates":{"KRW":1391.57,…}}`, times in seconds.
    ErApi,
    /// Anything else that is JSON.
    Json {
        /// JSON pointer to the rate (`/rates/KRW`), a number or a text.
        rate: String,
        /// JSON pointer to its time. A quote without a time cannot age, so it cannot be used.
        time: String,
        /// How the time is written.
        time_unit: TimeUnit,
    },
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeUnit {
    /// Whole seconds since the epoch.
    Seconds,
    /// Whole milliseconds since the epoch.
    Milliseconds,
    /// A day, `2026-11-20`: its midnight, UTC.
    Day,
}

/// Where the rate in use is shown to others: key `{prefix}:fx:usdkrw`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://…`; a password in it is neither printed nor written down.
    #[serde(serialize_with = "RedisConfig::write_url")]
    pub url: String,
    /// First part of the key.
    #[serde(default = "RedisConfig::default_prefix")]
    pub prefix: String,
    /// The key is gone this long after the last rate.
    #[serde(default = "RedisConfig::default_ttl_ms")]
    pub ttl_ms: u64,
    /// The rate is written at most this often, and again when it has not changed.
    #[serde(default = "RedisConfig::default_every_ms")]
    pub every_ms: u64,
    /// A connection or a command is given up after this long.
    #[serde(default = "RedisConfig::default_timeout_ms")]
    pub timeout_ms: u64,
    /// After failures the wait grows from twice `every_ms` to this.
    #[serde(default = "RedisConfig::default_retry_most_ms")]
    pub retry_most_ms: u64,
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("url", &self.plain_url())
            .field("prefix", &self.prefix)
            .field("ttl_ms", &self.ttl_ms)
            .field("every_ms", &self.every_ms)
            .field("timeout_ms", &self.timeout_ms)
            .field("retry_most_ms", &self.retry_most_ms)
            .finish()
    }
}

impl RedisConfig {
    fn default_prefix() -> String {
        "crossbook".to_owned()
    }

    fn default_ttl_ms() -> u64 {
        30_000
    }

    fn default_every_ms() -> u64 {
        1_000
    }

    fn default_timeout_ms() -> u64 {
        1_000
    }

    fn default_retry_most_ms() -> u64 {
        10_000
    }

    /// The address without who we are there.
    pub fn plain_url(&self) -> String {
        plain(&self.url)
    }

    fn write_url<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&plain(url))
    }
}

fn plain(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        _ => url.to_owned(),
    }
}

/// Why an `[fx]` section is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FxConfigError {
    /// No source, too many, or two of one name.
    #[error("[fx]: {0}")]
    Sources(String),
    /// A value of a source that makes no sense.
    #[error("[fx] source `{name}`: {what}")]
    Source {
        /// The source.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A value of the section that makes no sense.
    #[error("[fx] {0}")]
    Value(String),
}

impl FxConfig {
    fn default_repeat_ms() -> u64 {
        1_000
    }

    /// Whether the section can be acted on.
    ///
    /// # Errors
    /// The first thing that makes no sense, by name.
    pub fn validate(&self) -> Result<(), FxConfigError> {
        let value = |text: &str| Err(FxConfigError::Value(text.to_owned()));
        if self.sources.is_empty() || self.sources.len() > 16 {
            return Err(FxConfigError::Sources(format!(
                "1 to 16 sources are taken, not {}",
                self.sources.len()
            )));
        }
        if self.band.low >= self.band.high {
            return value("band: `low` must be below `high`");
        }
        if self.band.max_jump_bps == 0 || self.band.max_apart_bps == 0 {
            return value("band: `max_jump_bps` and `max_apart_bps` must not be zero");
        }
        let mut names = BTreeSet::new();
        for source in &self.sources {
            if source.name.is_empty() || !names.insert(&source.name) {
                return Err(FxConfigError::Sources(format!(
                    "each source needs a name of its own, `{}` is none",
                    source.name
                )));
            }
            source.validate(&self.band).map_err(|what| FxConfigError::Source {
                name: source.name.clone(),
                what,
            })?;
        }
        match &self.redis {
            Some(redis) if redis.ttl_ms <= redis.every_ms || redis.every_ms == 0 || redis.timeout_ms == 0 => {
                value("redis: `every_ms` and `timeout_ms` must not be zero, and `ttl_ms` must be above `every_ms`")
            }
            _ => Ok(()),
        }
    }
}

impl SourceConfig {
    fn validate(&self, band: &Band) -> Result<(), String> {
        if self.max_age_ms == 0 || self.max_age_ms > MOST_AGE_MS {
            return Err(format!("`max_age_ms` must be from 1 to {MOST_AGE_MS}"));
        }
        match &self.from {
            SourceKind::Book { max_spread_bps: 0, .. } => Err("`max_spread_bps` must not be zero".to_owned()),
            SourceKind::Book { .. } => Ok(()),
            SourceKind::Http {
                url,
                poll_ms,
                timeout_ms,
                format,
            } => {
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    return Err("`url` must begin with http:// or https://".to_owned());
                }
                if *poll_ms == 0 || *timeout_ms == 0 {
                    return Err("`poll_ms` and `timeout_ms` must not be zero".to_owned());
                }
                match format {
                    QuoteFormat::Json { rate, time, .. } if !rate.starts_with('/') || !time.starts_with('/') => {
                        Err("`rate` and `time` are JSON pointers and begin with a slash".to_owned())
                    }
                    _ => Ok(()),
                }
            }
            SourceKind::Constant { rate, date } => {
                day(date).ok_or_else(|| format!("`date` is no day like 2026-11-20: {date}"))?;
                if *rate < band.low || *rate > band.high {
                    return Err(format!(
                        "`rate` {rate} is outside of the band {} to {}",
                        band.low, band.high
                    ));
                }
                Ok(())
            }
        }
    }
}

/// A year.
const MOST_AGE_MS: u64 = 366 * 86_400_000;

/// Midnight, UTC, of a day written `2026-11-20`.
pub(super) fn day(text: &str) -> Option<TimestampNs> {
    let part = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let dashes = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !dashes || !(2000..2200).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let before = lengths.iter().take(usize::try_from(month).ok()? - 1).sum::<i64>();
    let years = year - 1;
    // Days from 0001-01-01 to the first of January, less those to 1970-01-01.
    let days = years * 365 + years / 4 - years / 100 + years / 400 - 719_162 + before + day - 1;
    Some(TimestampNs(days * 86_400_000_000_000))
}
