//! Upbit's REST interface: what is asked without a key. Who has one goes on in [`super::private`].

use std::time::Duration;

use tokio::time::Instant;

use super::error;
use super::wire::{candle_rest, orderbook_rest, ticker_rest, trade_rest};
use crate::exchange::{MarketInfo, Status, Venue};
use crate::server::http::{Call, Reply, list, member};
use crate::server::hub::{Hub, Inner};
use crate::server::limits::{Limit, Verdict};
use crate::server::text::{Plain, quoted};
use crate::sign::text::Plus;

/// Groups of requests: the name on the wire, how many a second, and how the header's frozen `min` reads.
/// Source: Upbit developer docs v1.6.4, request limits (read 2026-11-21).
pub(super) const fn group(name: &'static str, per_second: u64) -> Limit {
    Limit {
        group: name,
        most: per_second,
        window: Duration::from_secs(1),
    }
}

/// Anything with an `Origin` header: one in ten seconds.
const ORIGIN: Limit = Limit {
    group: "origin",
    most: 1,
    window: Duration::from_secs(10),
};

/// Answers a request.
pub fn answer(hub: &Hub, call: &Call) -> Reply {
    let path = call.path.trim_end_matches('/');
    let public = match path {
        "/v1/market/all" => Some(group("market", 10)),
        "/v1/orderbook" | "/v1/orderbook/instruments" => Some(group("orderbook", 10)),
        "/v1/ticker" | "/v1/ticker/all" => Some(group("ticker", 10)),
        "/v1/trades/ticks" => Some(group("trades", 10)),
        _ if path.starts_with("/v1/candles/") => Some(group("candles", 10)),
        _ => None,
    };
    let Some(limit) = public else {
        return super::private::answer(hub, call, path);
    };
    let limit = if call.header("origin").is_some() { ORIGIN } else { limit };
    let mut inner = hub.lock();
    counted(hub, &mut inner, limit, &call.peer, |inner| {
        let Some(query) = call.query_members(Plus::IsSpace) else {
            return error::missing();
        };
        let query = query.as_slice();
        let mut reply = match path {
            "/v1/market/all" => market_all(inner, query),
            "/v1/orderbook" => orderbook(inner, query),
            "/v1/orderbook/instruments" => instruments(inner, query),
            "/v1/ticker" => ticker(inner, query),
            "/v1/ticker/all" => ticker_all(inner, query),
            "/v1/trades/ticks" => trades(inner, query),
            _ => candles(inner, path, query),
        };
        reply.zip = true;
        reply
    })
}

/// Counts a request, answers it if it may pass, and tells what is left.
pub(super) fn counted(
    hub: &Hub,
    inner: &mut Inner,
    limit: Limit,
    caller: &str,
    answer: impl FnOnce(&mut Inner) -> Reply,
) -> Reply {
    if !hub.settings.limits {
        return answer(inner);
    }
    match inner.limits.ask(limit, caller, 1, Instant::now()) {
        Verdict::Pass { left, .. } => {
            // Only `sec` counts; `min` is a frozen number.
            let header = format!("group={}; min={}; sec={left}", limit.group, limit.most * 60);
            answer(inner).with("remaining-req", header)
        }
        Verdict::TooMany { .. } => {
            let header = format!("group={}; min={}; sec=0", limit.group, limit.most * 60);
            error::named(429, "too_many_requests", "Too many API requests.").with("remaining-req", header)
        }
        Verdict::Banned { after } => error::named(
            418,
            "too_many_requests",
            &format!("Too many API requests. Blocked for {} seconds.", after.as_secs().max(1)),
        ),
    }
}

type Query<'a> = &'a [(String, String)];

fn listed(inner: &Inner) -> impl Iterator<Item = &MarketInfo> {
    inner
        .exchange
        .markets(Venue::Upbit)
        .iter()
        .filter(|info| info.status != Status::Delisted)
}

fn find<'a>(inner: &'a Inner, code: &str) -> Option<&'a MarketInfo> {
    inner
        .exchange
        .market(Venue::Upbit, code)
        .filter(|info| info.status != Status::Delisted)
}

/// The markets that a request names, or the answer when it names none or one that is not there.
fn named<'a>(inner: &'a Inner, query: Query<'_>) -> Result<Vec<&'a MarketInfo>, Reply> {
    let codes = member(query, "markets").ok_or_else(error::missing)?;
    codes
        .split(',')
        .map(|code| find(inner, code.trim()).ok_or_else(error::no_market))
        .collect()
}

/// A number member: its default when absent, within bounds, or the answer.
fn count(query: Query<'_>, name: &str, default: usize, most: usize) -> Result<usize, Reply> {
    match member(query, name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|count| (1..=most).contains(count))
            .ok_or_else(|| error::numbered(400, &format!("{name} must be from 1 to {most}"))),
    }
}

fn market_all(inner: &Inner, query: Query<'_>) -> Reply {
    let details = member(query, "is_details") == Some("true");
    Reply::ok(list(listed(inner).map(|info| {
        let event = if details {
            // Trouble with a market is announced as a warning.
            format!(
                r#","market_event":{{"warning":{},"caution":{{"PRICE_FLUCTUATIONS":false,"TRADING_VOLUME_SOARING":false,"DEPOSIT_AMOUNT_SOARING":false,"GLOBAL_PRICE_DIFFERENCES":false,"CONCENTRATION_OF_SMALL_ACCOUNTS":false}}}}"#,
                info.status != Status::Trading
            )
        } else {
            String::new()
        };
        format!(
            r#"{{"market":{},"korean_name":{},"english_name":{}{event}}}"#,
            quoted(&info.symbol),
            quoted(&info.korean_name),
            quoted(&info.english_name),
        )
    })))
}

/// Steps by which a market's book can be grouped, in 1e-8; zero is the book as it is.
/// Source: recorded answer for KRW-BTC (tick 1000, levels 0, 10000, … 100000000); markets in other quotes have none.
pub(super) fn levels(inner: &Inner, info: &MarketInfo) -> Vec<i64> {
    let mut out = vec![0];
    if &*info.quote == "KRW" {
        let tick = tick(inner, info);
        out.extend((1..=5).map(|power| tick.saturating_mul(10i64.pow(power))));
    }
    out
}

/// The tick at the market's price now.
fn tick(inner: &Inner, info: &MarketInfo) -> i64 {
    let view = inner.view(Venue::Upbit, &info.symbol, 1);
    let price = view.bids.first().or(view.asks.first()).map(|level| level.price);
    price.map_or(1, |price| info.tick.tick_at(price).raw())
}

fn orderbook(inner: &Inner, query: Query<'_>) -> Reply {
    let step = match member(query, "level").map(crossbook_engine::units::parse_number) {
        None => 0,
        Some(Ok(step)) => step,
        Some(Err(_)) => return error::numbered(400, "level is not a number"),
    };
    let (markets, units) = match (named(inner, query), count(query, "count", 30, 30)) {
        (Ok(markets), Ok(units)) => (markets, units),
        (Err(reply), _) | (_, Err(reply)) => return reply,
    };
    // A step that is not offered gives an empty list, not an error.
    Reply::ok(list(
        markets
            .into_iter()
            .filter(|info| levels(inner, info).contains(&step))
            .map(|info| orderbook_rest(&info.symbol, &inner.view(Venue::Upbit, &info.symbol, 300), step, units)),
    ))
}

fn instruments(inner: &Inner, query: Query<'_>) -> Reply {
    match named(inner, query) {
        Ok(markets) => Reply::ok(list(markets.into_iter().map(|info| {
            format!(
                r#"{{"market":{},"quote_currency":{},"tick_size":"{}","supported_levels":{}}}"#,
                quoted(&info.symbol),
                quoted(&info.quote),
                Plain(tick(inner, info)),
                list(
                    levels(inner, info)
                        .into_iter()
                        .map(|step| format!("\"{}\"", Plain(step)))
                ),
            )
        }))),
        Err(reply) => reply,
    }
}

fn tickers<'a>(inner: &Inner, markets: impl Iterator<Item = &'a MarketInfo>) -> Reply {
    let now = inner.exchange.now();
    Reply::ok(list(markets.filter_map(|info| {
        ticker_rest(&info.symbol, inner.stats(Venue::Upbit, &info.symbol)?, now)
    })))
}

fn ticker(inner: &Inner, query: Query<'_>) -> Reply {
    match named(inner, query) {
        Ok(markets) => tickers(inner, markets.into_iter()),
        Err(reply) => reply,
    }
}

fn ticker_all(inner: &Inner, query: Query<'_>) -> Reply {
    let wanted = member(query, "quote_currencies").or(member(query, "quoteCurrencies"));
    let wanted: Option<Vec<&str>> = wanted.map(|text| text.split(',').map(str::trim).collect());
    tickers(
        inner,
        listed(inner).filter(|info| wanted.as_ref().is_none_or(|quotes| quotes.contains(&&*info.quote))),
    )
}

/// The one market that a request names, or the answer.
fn one<'a>(inner: &'a Inner, query: Query<'_>) -> Result<&'a MarketInfo, Reply> {
    let code = member(query, "market").ok_or_else(error::missing)?;
    find(inner, code).ok_or_else(error::no_market)
}

fn trades(inner: &Inner, query: Query<'_>) -> Reply {
    let (info, most) = match (one(inner, query), count(query, "count", 1, 500)) {
        (Ok(info), Ok(most)) => (info, most),
        (Err(reply), _) | (_, Err(reply)) => return reply,
    };
    let Some(stats) = inner.stats(Venue::Upbit, &info.symbol) else {
        return Reply::ok("[]");
    };
    let opened = stats.day.map(|day| day.open);
    Reply::ok(list(
        stats
            .newest()
            .take(most)
            .map(|tick| trade_rest(&info.symbol, tick, opened.unwrap_or(tick.price))),
    ))
}

fn candles(inner: &Inner, path: &str, query: Query<'_>) -> Reply {
    const UNITS: [i64; 8] = [1, 3, 5, 10, 15, 30, 60, 240];
    let unit = path
        .strip_prefix("/v1/candles/minutes/")
        .and_then(|unit| unit.parse().ok())
        .filter(|unit| UNITS.contains(unit));
    let Some(unit) = unit else {
        return error::numbered(
            404,
            "only minute candles are kept here: /v1/candles/minutes/{1,3,5,10,15,30,60,240}",
        );
    };
    let (info, most) = match (one(inner, query), count(query, "count", 1, 200)) {
        (Ok(info), Ok(most)) => (info, most),
        (Err(reply), _) | (_, Err(reply)) => return reply,
    };
    let candles = inner.stats(Venue::Upbit, &info.symbol).map(|stats| stats.candles(unit));
    Reply::ok(list(
        candles
            .unwrap_or_default()
            .iter()
            .take(most)
            .map(|candle| candle_rest(&info.symbol, candle, unit)),
    ))
}
