//! The rate in use, shown to others in Redis: key `{prefix}:fx:usdkrw`, gone when it is no longer kept up.
//!
//! Redis is a view: nothing waits for it, nothing is read from it, and its loss changes no rate. Between those who know the
//! rate and this task stands one slot that always holds the newest, so a slow Redis costs memory nothing and gets the latest
//! when it is back.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{FxBook, RedisConfig};
use crate::clock::{Clock, Stamp};
use crossbook_engine::units::{FxRate, TimestampNs};

/// A rate as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    rate: FxRate,
    source: String,
    ts_event: TimestampNs,
    /// Monotonic instant of age zero.
    born_mono: i64,
}

/// What became of the showing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishStats {
    /// Times the key was written.
    pub written: u64,
    /// Times it was taken away because there was no rate.
    pub removed: u64,
    /// Connections and commands that failed.
    pub failed: u64,
}

impl FxBook {
    /// The rate in use as it is shown to others; put it into the slot whenever [`super::FxEvent`]s came of something.
    pub fn shown(&self, now: Stamp) -> Option<Shown> {
        let rate = self.current(now)?;
        Some(Shown {
            rate: rate.rate,
            source: self.name(rate.source).to_owned(),
            ts_event: rate.ts_event,
            born_mono: now.mono_ns - rate.age_ns,
        })
    }
}

impl Shown {
    /// `{"rate":"1391.57000000","source":"upbit-usdt","ts_event_ns":…,"age_ms":…,"written_ns":…}`; the rate is a text, so that no
    /// reader makes a float of it by mistake.
    fn value(&self, now: Stamp) -> String {
        json!({
            "rate": self.rate.to_string(),
            "source": self.source,
            "ts_event_ns": self.ts_event.0,
            "age_ms": (now.mono_ns - self.born_mono).max(0) / 1_000_000,
            "written_ns": now.ts.0,
        })
        .to_string()
    }
}

/// Shows the rate until the slot's writer is gone. Never fails: what Redis does is counted and told once an outage.
pub async fn publish(config: RedisConfig, clock: Clock, mut slot: watch::Receiver<Option<Shown>>) -> PublishStats {
    let mut publisher = Publisher {
        key: format!("{}:fx:usdkrw", config.prefix),
        link: None,
        there: false,
        failures: 0,
        stats: PublishStats::default(),
        clock,
        config,
    };
    let mut next = Instant::now();
    loop {
        tokio::select! {
            biased;
            gone = async { while slot.changed().await.is_ok() {} } => {
                let () = gone;
                return publisher.stats;
            }
            () = sleep_until(next) => {}
        }
        let shown = slot.borrow().clone();
        let wait = publisher.show(shown).await;
        next = Instant::now() + wait;
    }
}

struct Publisher {
    config: RedisConfig,
    key: String,
    clock: Clock,
    link: Option<MultiplexedConnection>,
    /// Whether the key may be there by our doing.
    there: bool,
    failures: u32,
    stats: PublishStats,
}

impl Publisher {
    /// Brings the key up to date, and says when to do so again.
    async fn show(&mut self, shown: Option<Shown>) -> Duration {
        let every = Duration::from_millis(self.config.every_ms);
        if shown.is_none() && !self.there {
            return every;
        }
        let limit = Duration::from_millis(self.config.timeout_ms);
        let done = match tokio::time::timeout(limit, self.write(shown.as_ref())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} ms", self.config.timeout_ms)),
        };
        match done {
            Ok(()) => {
                if self.failures > 0 {
                    info!("redis: {} is shown again after {} failures", self.key, self.failures);
                }
                self.failures = 0;
                self.there = shown.is_some();
                match shown {
                    Some(_) => self.stats.written += 1,
                    None => self.stats.removed += 1,
                }
                every
            }
            Err(reason) => {
                // What was sent may have been done; a connection in doubt is not used again.
                self.link = None;
                self.stats.failed += 1;
                if self.failures == 0 {
                    warn!("redis: {} is not shown, the feed goes on: {reason}", self.key);
                }
                self.failures = self.failures.saturating_add(1);
                let doubled = every.saturating_mul(1 << self.failures.min(16));
                doubled.min(Duration::from_millis(self.config.retry_most_ms)).max(every)
            }
        }
    }

    async fn write(&mut self, shown: Option<&Shown>) -> Result<(), RedisError> {
        let link = match &mut self.link {
            Some(link) => link,
            None => {
                let limit = Duration::from_millis(self.config.timeout_ms);
                let times = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(limit))
                    .set_response_timeout(Some(limit));
                let client = Client::open(self.config.url.as_str())?;
                self.link
                    .insert(client.get_multiplexed_async_connection_with_config(&times).await?)
            }
        };
        match shown {
            Some(shown) => {
                self.there = true;
                redis::cmd("SET")
                    .arg(&self.key)
                    .arg(shown.value(self.clock.now()))
                    .arg("PX")
                    .arg(self.config.ttl_ms)
                    .exec_async(link)
                    .await
            }
            None => redis::cmd("DEL").arg(&self.key).exec_async(link).await,
        }
    }
}
