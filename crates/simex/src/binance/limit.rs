//! Request weights and order counts: what a request costs, and the headers and refusals that follow.
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
pub const fn weight(venue: Venue) -> Limit {
    Limit {
        group: match venue {
            Venue::BinanceUsdm => "usdm-weight",
            Venue::Binance | Venue::Upbit => "spot-weight",
        },
        most: match venue {
            Venue::BinanceUsdm => 2_400,
            Venue::Binance | Venue::Upbit => 6_000,
        },
        window: Duration::from_secs(60),
    }
}

/// New orders of an account: in ten seconds, in a day.
pub const ORDERS: [Limit; 2] = [
    Limit {
        group: "orders-10s",
        most: 100,
        window: Duration::from_secs(10),
    },
    Limit {
        group: "orders-1d",
        most: 200_000,
        window: Duration::from_secs(86_400),
    },
];

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Its weight.
    pub weight: u64,
    /// Whether it costs nothing when it succeeds (orders and cancels, since 2026-04-02).
    pub free_if_done: bool,
}

/// Counts a request, answers it if it may pass, and tells what was used.
pub fn counted(
    hub: &Hub,
    inner: &mut Inner,
    venue: Venue,
    caller: &str,
    cost: Cost,
    answer: impl FnOnce(&mut Inner) -> Reply,
) -> Reply {
    if !hub.settings.limits {
        return answer(inner);
    }
    let limit = weight(venue);
    match inner.limits.ask(limit, caller, cost.weight, Instant::now()) {
        Verdict::Pass { .. } => {
            let reply = answer(inner);
            if cost.free_if_done && reply.status == 200 {
                inner.limits.give_back(limit, caller, cost.weight);
            }
            let used = inner.limits.used(limit, caller, Instant::now());
            reply.with("x-mbx-used-weight", used).with("x-mbx-used-weight-1m", used)
        }
        Verdict::TooMany { after } => refusal(429, after, limit.most),
        Verdict::Banned { after } => refusal(418, after, limit.most),
    }
}

fn refusal(status: u16, after: Duration, most: u64) -> Reply {
    let msg = match status {
        418 => "Way too much request weight used; IP banned.".to_owned(),
        _ => format!("Too much request weight used; current limit is {most} request weight per 1 MINUTE."),
    };
    Reply::from(Error::with_status(status, -1003, msg)).with("retry-after", retry_after(after))
}

/// Counts a new order of an account.
///
/// # Errors
/// When there were too many.
pub fn count_order(hub: &Hub, inner: &mut Inner, account: u32) -> Result<(), Error> {
    if !hub.settings.limits {
        return Ok(());
    }
    for limit in ORDERS {
        let verdict = inner
            .limits
            .ask(limit, &format!("account {account}"), 1, Instant::now());
        if !matches!(verdict, Verdict::Pass { .. }) {
            return Err(Error::with_status(
                429,
                -1015,
                format!(
                    "Too many new orders; current limit is {} orders per {} SECOND.",
                    limit.most,
                    limit.window.as_secs()
                ),
            ));
        }
    }
    Ok(())
}

/// New orders of an account in the windows at hand.
pub fn orders_used(inner: &Inner, account: u32) -> [u64; 2] {
    ORDERS.map(|limit| inner.limits.used(limit, &format!("account {account}"), Instant::now()))
}
