//! Upbit's REST interface for those who have a key.

use super::error;
use crate::exchange::Venue;
use crate::server::http::{Call, Reply};
use crate::server::hub::{Hub, Inner};
use crate::sign::text::percent_decode;
use crate::sign::upbit::{Refusal, check};

/// The account that signed a request over these parameters.
///
/// # Errors
/// The answer when the token is refused.
pub fn authorize(inner: &mut Inner, call: &Call, query: &str) -> Result<u32, Reply> {
    let exchange = &inner.exchange;
    let find = |key: &str| {
        let (number, account) = exchange.account_by_key(Venue::Upbit, key)?;
        Some((number, account.secret.as_str()))
    };
    check(call.header("authorization"), query, find, &mut inner.nonces).map_err(error::refused)
}

/// Answers a request that needs a key.
pub fn answer(hub: &Hub, call: &Call, _path: &str) -> Reply {
    let mut inner = hub.lock();
    let Some(query) = percent_decode(&call.query) else {
        return error::refused(Refusal::Query);
    };
    match authorize(&mut inner, call, &query) {
        Ok(_) => error::no_route(),
        Err(reply) => reply,
    }
}
