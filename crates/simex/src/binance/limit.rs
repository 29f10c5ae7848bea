//! Request weights: how much a request costs, and the headers and refusals that follow.
//!
//! Source: binance-spot-api-docs a5e0bc3, limits (read 2026-11-21).

use std::time::Duration;

use tokio::time::Instant;

use super::error::Error;
use crate::exchange::Venue;
use crate::server::http::{Reply, retry_after};
use crate::server::hub::{Hub, Inner};
use crate::server::limits::{Limit, Verdict};

/// Weight of all requests of an address in a minute.
const fn weight(venue: Venue) -> Limit {
    Limit {
        group: match venue {
            Venue::BinanceUsdm => "usdm-weight",
            _ => "spot-weight",
        },
        most: match venue {
            Venue::BinanceUsdm => 2_400,
            _ => 6_000,
        },
        window: Duration::from_secs(60),
    }
}

/// Counts a request of this weight, answers it if it may pass, and tells what was used.
pub fn counted(
    hub: &Hub,
    inner: &mut Inner,
    venue: Venue,
    caller: &str,
    cost: u64,
    answer: impl FnOnce(&mut Inner) -> Reply,
) -> Reply {
    if !hub.settings.limits {
        return answer(inner);
    }
    match inner.limits.ask(weight(venue), caller, cost, Instant::now()) {
        Verdict::Pass { used, .. } => answer(inner)
            .with("x-mbx-used-weight", used)
            .with("x-mbx-used-weight-1m", used),
        Verdict::TooMany { after } => refusal(429, after),
        Verdict::Banned { after } => refusal(418, after),
    }
}

fn refusal(status: u16, after: Duration) -> Reply {
    let msg = match status {
        418 => "Way too much request weight used; IP banned.",
        _ => "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.",
    };
    let error = Error {
        status,
        code: -1003,
        msg: msg.to_owned(),
    };
    Reply::from(error).with("retry-after", retry_after(after))
}
