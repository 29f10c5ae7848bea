//! The venue file: which protocol, which addresses, which timers and limits. Everything has a default but the protocol.
//!
//! Defaults are those of the public venues (Upbit developer docs v1.6.4; binance-spot-api-docs a5e0bc3), all times in
//! milliseconds so that a test can scale them.

use serde::{Deserialize, Serialize};

/// Which dialect a venue speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Upbit: whole books without a number, binary frames.
    Upbit,
    /// Binance spot: numbered diffs and a REST snapshot, or partial books.
    BinanceSpot,
    /// Binance USD-M perpetuals: diffs chained by `pu`.
    BinanceUsdm,
}

/// Where data come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataSource {
    /// WebSocket, and polling while it is down.
    #[default]
    Auto,
    /// WebSocket only.
    Websocket,
    /// Polling only.
    Rest,
}

/// One venue as an operator describes it (`config/venues/*.toml`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueConfig {
    /// Name under which its instruments are known (`upbit`, `binance`, `binance-usdm`).
    pub name: String,
    /// Its dialect.
    pub protocol: Protocol,
    /// Base of REST requests; the protocol's public address when absent.
    #[serde(default)]
    pub rest_url: Option<String>,
    /// Base of WebSocket streams; the protocol's public address when absent.
    #[serde(default)]
    pub ws_url: Option<String>,
    /// Where data come from.
    #[serde(default)]
    pub data_source: DataSource,
    /// Which streams are subscribed to, for each market; those of [`VenueConfig::streams`] when absent.
    #[serde(default)]
    pub streams: Option<Vec<StreamKind>>,
    /// Kinds of streams that must speak within `first_data_ms` of the subscription, else the connection is made anew.
    /// When absent: all of Upbit (it sends a snapshot of each), and all of Binance but trades (it sends changes only).
    #[serde(default)]
    pub first_data: Option<Vec<StreamKind>>,
    /// Levels a side: Upbit's unit (1, 5, 15, 30), Binance's partial depth (5, 10, 20) or snapshot limit (to 5000).
    #[serde(default)]
    pub levels: Option<u16>,
    /// Upbit's spelling of messages.
    #[serde(default)]
    pub format: UpbitFormat,
    /// Ask Binance for stamps in microseconds.
    #[serde(default)]
    pub microseconds: bool,
    /// Markets on one socket; more are spread over several.
    #[serde(default = "VenueConfig::default_markets_per_socket")]
    pub markets_per_socket: u16,
    /// Timers of the connections.
    #[serde(default)]
    pub timers: Timers,
    /// Limits of the books.
    #[serde(default)]
    pub books: BookLimits,
    /// Polling and request limits.
    #[serde(default)]
    pub rest: RestLimits,
}

/// A kind of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// The book: Upbit `orderbook`, Binance `@depth@100ms` with a REST snapshot.
    Book,
    /// The top of the book as a whole, Binance `@depthN@100ms`.
    PartialBook,
    /// Best bid and ask, Binance `@bookTicker`.
    BookTicker,
    /// Trades.
    Trade,
    /// Mark price and funding (USD-M perpetuals).
    MarkPrice,
}

/// Upbit's four spellings of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpbitFormat {
    /// Long keys.
    #[default]
    Default,
    /// Short keys.
    Simple,
    /// A list of objects with long keys.
    JsonList,
    /// A list of objects with short keys.
    SimpleList,
}

/// Timers of a venue's connections, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// Making a connection: name, TCP, TLS, handshake.
    pub connect_ms: u64,
    /// From subscription to the first data of each stream.
    pub first_data_ms: u64,
    /// Without any frame at all (data, ping, pong) the socket is given up.
    pub idle_ms: u64,
    /// Our own ping, sent this often. Zero: never.
    pub ping_ms: u64,
    /// From our ping to its pong.
    pub pong_ms: u64,
    /// Backoff after the first failure; doubles with each.
    pub backoff_first_ms: u64,
    /// Backoff never grows beyond this.
    pub backoff_most_ms: u64,
    /// A connection that was live for this long resets the backoff.
    pub stable_ms: u64,
    /// A connection this old is replaced, the new one made first. Zero: never.
    pub max_age_ms: u64,
    /// How long the old connection is kept after the new one is live.
    pub overlap_ms: u64,
    /// A full queue is waited for this long, then the connection is given up and its loss told.
    pub overflow_ms: u64,
    /// Largest frame that is taken.
    pub max_frame_bytes: usize,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            connect_ms: 10_000,
            first_data_ms: 10_000,
            idle_ms: 60_000,
            ping_ms: 15_000,
            pong_ms: 10_000,
            backoff_first_ms: 1_000,
            backoff_most_ms: 30_000,
            stable_ms: 60_000,
            max_age_ms: 23 * 3_600_000 + 1_800_000,
            overlap_ms: 2_000,
            overflow_ms: 2_000,
            max_frame_bytes: 4 << 20,
        }
    }
}

/// When a book is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BookLimits {
    /// A book whose newest content is older than this is stale, whatever its socket says.
    pub stale_after_ms: u64,
    /// A crossed or locked book is fetched anew after this long.
    pub crossed_after_ms: u64,
    /// Diffs kept while a snapshot is waited for; beyond it the oldest are given up and counted.
    pub most_kept: usize,
    /// Wait before the next snapshot request after one that failed or was too old; doubles up to `retry_most_ms`.
    pub retry_first_ms: u64,
    /// Largest wait between snapshot requests.
    pub retry_most_ms: u64,
    /// A request without an answer after this long is given up.
    pub snapshot_ms: u64,
    /// The venue's clock may be ahead of ours by this much before it is flagged.
    pub clock_ahead_ms: u64,
}

impl Default for BookLimits {
    fn default() -> BookLimits {
        BookLimits {
            stale_after_ms: 30_000,
            crossed_after_ms: 1_000,
            most_kept: 20_000,
            retry_first_ms: 250,
            retry_most_ms: 10_000,
            snapshot_ms: 10_000,
            clock_ahead_ms: 250,
        }
    }
}

/// Polling, and how much may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestLimits {
    /// Each market is asked for this often when polling.
    pub poll_ms: u64,
    /// A request is given up after this long.
    pub timeout_ms: u64,
    /// Largest answer that is taken, unpacked. Binance's `exchangeInfo` is the largest there is, above 10 MB.
    pub max_body_bytes: usize,
    /// Share of the venue's own limits that is used, in percent.
    pub headroom_percent: u8,
    /// In `auto`, polling starts when the WebSocket has been down for this long.
    pub fallback_after_ms: u64,
    /// Waiting after HTTP 418 or 403 when the answer does not say how long.
    pub banned_ms: u64,
    /// Market lists, ticks and filters are fetched again this often.
    pub rules_refresh_ms: u64,
    /// The venue's clock is measured this often. Zero: only by the dates of other answers.
    pub clock_ms: u64,
}

impl Default for RestLimits {
    fn default() -> RestLimits {
        RestLimits {
            poll_ms: 1_000,
            timeout_ms: 5_000,
            max_body_bytes: 64 << 20,
            headroom_percent: 50,
            fallback_after_ms: 5_000,
            banned_ms: 120_000,
            rules_refresh_ms: 600_000,
            clock_ms: 60_000,
        }
    }
}

impl VenueConfig {
    const fn default_markets_per_socket() -> u16 {
        100
    }

    /// Streams that are subscribed to, for each market: by default book and trades, and of perpetuals funding as well.
    pub fn streams(&self) -> &[StreamKind] {
        match (&self.streams, self.protocol) {
            (Some(streams), _) => streams,
            (None, Protocol::Upbit | Protocol::BinanceSpot) => &[StreamKind::Book, StreamKind::Trade],
            (None, Protocol::BinanceUsdm) => &[StreamKind::Book, StreamKind::Trade, StreamKind::MarkPrice],
        }
    }

    /// Base of REST requests, without a slash at its end.
    pub fn rest_base(&self) -> &str {
        self.rest_url
            .as_deref()
            .unwrap_or(match self.protocol {
                Protocol::Upbit => "https://api.upbit.com",
                Protocol::BinanceSpot => "https://api.binance.com",
                Protocol::BinanceUsdm => "https://fapi.binance.com",
            })
            .trim_end_matches('/')
    }

    /// Base of streams, without a slash at its end.
    pub fn ws_base(&self) -> &str {
        self.ws_url
            .as_deref()
            .unwrap_or(match self.protocol {
                Protocol::Upbit => "wss://api.upbit.com",
                Protocol::BinanceSpot => "wss://stream.binance.com:9443",
                Protocol::BinanceUsdm => "wss://fstream.binance.com",
            })
            .trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests;
