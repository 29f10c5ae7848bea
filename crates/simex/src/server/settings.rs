//! How the servers behave towards sockets: ports, timers, limits. All times are real milliseconds, so that a test can
//! scale them; defaults are those of the public venues.

use serde::{Deserialize, Serialize};

/// Ports, timers and limits of the servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Port of Upbit's dialect on 127.0.0.1; zero takes a free one.
    pub upbit_port: u16,
    /// Port of Binance's spot dialect on 127.0.0.1; zero takes a free one.
    pub binance_port: u16,
    /// Port of Binance's USD-M dialect on 127.0.0.1; zero takes a free one.
    pub usdm_port: u16,
    /// Port on 127.0.0.1 at which faults are taken while it runs; zero takes a free one, none when absent.
    pub admin_port: Option<u16>,
    /// The market is driven this often.
    pub tick_ms: u64,
    /// Frames that may wait for a slow client; one more and it is disconnected.
    pub queue: usize,
    /// Upbit closes a socket on which nothing came or went for this long.
    pub upbit_idle_ms: u64,
    /// Upbit's `{"status":"UP"}` after a `PING` comes again this often.
    pub upbit_status_ms: u64,
    /// Binance pings this often.
    pub binance_ping_ms: u64,
    /// Binance closes a socket that has not answered a ping for this long.
    pub binance_pong_ms: u64,
    /// Binance closes a socket of this age.
    pub binance_life_ms: u64,
    /// A close is waited for this long before the socket is dropped.
    pub close_ms: u64,
    /// Whether requests and messages are limited as the venues do.
    pub limits: bool,
    /// Length of the first ban (HTTP 418) after limits were overrun again and again; doubles with each.
    pub ban_ms: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            upbit_port: 0,
            binance_port: 0,
            usdm_port: 0,
            admin_port: None,
            tick_ms: 5,
            queue: 8_192,
            upbit_idle_ms: 120_000,
            upbit_status_ms: 10_000,
            binance_ping_ms: 20_000,
            binance_pong_ms: 60_000,
            binance_life_ms: 24 * 3_600_000,
            close_ms: 2_000,
            limits: true,
            ban_ms: 120_000,
        }
    }
}
