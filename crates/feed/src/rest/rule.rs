//! A venue's limit, and our part of it.

use std::fmt;
use std::time::Duration;

use crate::venue::Protocol;

/// A venue's limit on one group of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What is counted.
    pub counts: Counts,
    /// How much of it,
    pub limit: u32,
    /// within any stretch of this length.
    pub window: Duration,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// The weights of requests.
    Weight,
    /// Requests, whatever they weigh.
    Requests,
}

impl Counts {
    /// What a request of this weight counts.
    pub fn of(self, weight: u32) -> u32 {
        match self {
            Counts::Weight => weight,
            Counts::Requests => 1,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.counts {
            Counts::Weight => "weight",
            Counts::Requests => "requests",
        };
        write!(f, "{what} {} in {} s", self.limit, self.window.as_secs())
    }
}

impl Rule {
    /// Our part of it.
    pub fn share(&self, headroom_percent: u8, purpose: Purpose) -> Share {
        let most = u64::from(self.limit) * u64::from(headroom_percent.min(100)) / 100;
        let most = match purpose {
            Purpose::Fetch => most,
            Purpose::Poll => most * 3 / 4,
        };
        Share {
            counts: self.counts,
            most: u32::try_from(most.max(1)).unwrap_or(self.limit),
            window: self.window,
        }
    }
}

/// Our part of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What is counted.
    pub counts: Counts,
    /// How much of it may be sent: at least one,
    pub most: u32,
    /// within any stretch of this length.
    pub window: Duration,
}

/// Group of all of Binance's requests; they share `REQUEST_WEIGHT`.
pub const WEIGHT: &str = "weight";

impl Protocol {
    /// The limit of a group until the venue states another ([`crate::rules::stated`]). Upbit counts quotation requests by
    /// group (`market`, `orderbook`, `trade`, `ticker`, `candle`), 10 a second each (developer docs v1.6.4); Binance counts
    /// weights: 6000 a minute at spot (binance-spot-api-docs a5e0bc3), 2400 for USD-M (`exchangeInfo` as recorded in ccxt
    /// 4.5.90; Binance's FAQ "Rate Limits on Binance Futures" of 2024-12-27). All read 2026-11-21.
    pub fn rule(self) -> Rule {
        let (limit, seconds) = match self {
            Protocol::Upbit => (10, 1),
            Protocol::BinanceSpot => (6_000, 60),
            Protocol::BinanceUsdm => (2_400, 60),
        };
        Rule {
            counts: Counts::Weight,
            limit,
            window: Duration::from_secs(seconds),
        }
    }
}

/// What a request is for; a poll leaves a quarter of the share free for what cannot wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A book waits for it, or an operator.
    Fetch,
    /// One of many, and the next comes soon.
    Poll,
}
