//! Binance's spot REST interface: what is asked without a signature. What needs one goes on in [`super::private`].

use crossbook_engine::units::Price;

use super::error::Error;
use super::filters;
use super::limit::{Cost, counted};
use super::private::Op;
use super::wire::{TimeUnit, agg_trade_rest, book_ticker_rest, depth, kline, ticker_24h, trade_rest};
use crate::exchange::{MarketInfo, ReferencePrice, Status, Venue};
use crate::server::http::{Call, Reply, list, member};
use crate::server::hub::{Hub, Inner};
use crate::server::stats::Stats;
use crate::server::text::{Plain, ms, quoted};
use crate::sign::text::Plus;

pub(super) type Query<'a> = &'a [(String, String)];

/// Answers a request to the spot venue.
pub fn answer(hub: &Hub, call: &Call) -> Reply {
    let unit = call
        .header("x-mbx-time-unit")
        .and_then(TimeUnit::parse)
        .unwrap_or_default();
    let path = call.path.trim_end_matches('/');
    if let Some(op) = Op::of_rest(&call.method, path) {
        return super::private::answer(hub, call, op, unit);
    }
    let Some(query) = call.query_members(Plus::IsSpace) else {
        return Error::new(-1100, "Illegal characters found in a parameter.").into();
    };
    let mut inner = hub.lock();
    let cost = cost(path, &query);
    counted(
        hub,
        &mut inner,
        Venue::Binance,
        &call.peer,
        cost,
        |inner| match market_data(hub, inner, path, &query, unit) {
            Some(Ok(body)) => Reply::ok(body),
            Some(Err(error)) => error.into(),
            None => Error::no_route(path).into(),
        },
    )
}

/// Weight of a request. Source: binance-spot-api-docs a5e0bc3 (read 2026-11-21).
pub(super) fn cost(path: &str, query: Query<'_>) -> Cost {
    let one = member(query, "symbol").is_some();
    let weight = match path {
        "/api/v3/depth" => match member(query, "limit")
            .and_then(|text| text.parse().ok())
            .unwrap_or(100u64)
        {
            0..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            _ => 250,
        },
        "/api/v3/exchangeInfo" => 20,
        "/api/v3/ticker/bookTicker" | "/api/v3/ticker/price" if !one => 4,
        "/api/v3/ticker/24hr" if !one => 80,
        "/api/v3/ticker/bookTicker" | "/api/v3/ticker/price" | "/api/v3/ticker/24hr" | "/api/v3/klines" => 2,
        "/api/v3/trades" => 25,
        "/api/v3/referencePrice" => 2,
        "/api/v3/executionRules" if one => 2,
        "/api/v3/executionRules" => {
            let named = member(query, "symbols").and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
            named.map_or(40, |names| (2 * names.len() as u64).min(40))
        }
        "/api/v3/aggTrades" => 4,
        _ => 1,
    };
    Cost {
        weight,
        free_if_done: false,
    }
}

/// What anyone may ask of the spot venue; `None` when it is nothing of that. The WebSocket API answers the same.
pub(super) fn market_data(
    hub: &Hub,
    inner: &Inner,
    path: &str,
    query: Query<'_>,
    unit: TimeUnit,
) -> Option<Result<String, Error>> {
    Some(match path {
        "/api/v3/ping" => Ok("{}".to_owned()),
        "/api/v3/time" => Ok(format!(r#"{{"serverTime":{}}}"#, unit.of(hub.now()))),
        "/api/v3/exchangeInfo" => exchange_info(hub, inner, query),
        "/api/v3/depth" => one(inner, Venue::Binance, query).and_then(|info| {
            let limit = limit(query, 100, 5_000)?;
            Ok(depth(&inner.view(Venue::Binance, &info.symbol, limit), limit))
        }),
        "/api/v3/trades" => one(inner, Venue::Binance, query).and_then(|info| {
            let limit = limit(query, 500, 1_000)?;
            let stats = inner.stats(Venue::Binance, &info.symbol).cloned().unwrap_or_default();
            let mut newest: Vec<String> = stats.newest().take(limit).map(|tick| trade_rest(tick, unit)).collect();
            newest.reverse();
            Ok(list(newest))
        }),
        "/api/v3/aggTrades" => one(inner, Venue::Binance, query).and_then(|info| {
            let limit = limit(query, 500, 1_000)?;
            let stats = inner.stats(Venue::Binance, &info.symbol).cloned().unwrap_or_default();
            let mut newest: Vec<String> = stats
                .newest()
                .take(limit)
                .map(|tick| agg_trade_rest(tick, unit))
                .collect();
            newest.reverse();
            Ok(list(newest))
        }),
        "/api/v3/klines" => klines(inner, query, unit),
        "/api/v3/ticker/bookTicker" => each(inner, query, |inner, info| {
            book_ticker_rest(&info.symbol, &inner.view(Venue::Binance, &info.symbol, 1))
        }),
        "/api/v3/ticker/price" => each(inner, query, |inner, info| {
            let price = last_or_mid(inner, info)?;
            Some(format!(r#"{{"symbol":{},"price":"{price}"}}"#, quoted(&info.symbol)))
        }),
        "/api/v3/ticker/24hr" => {
            let now = hub.now();
            each(inner, query, |inner, info| {
                let empty = Stats::default();
                let stats = inner.stats(Venue::Binance, &info.symbol).unwrap_or(&empty);
                let view = inner.view(Venue::Binance, &info.symbol, 1);
                Some(ticker_24h(&info.symbol, stats, &view, now, unit))
            })
        }
        "/api/v3/executionRules" => execution_rules(inner, query),
        "/api/v3/referencePrice" => one(inner, Venue::Binance, query).and_then(|info| {
            let price = match inner.exchange.reference_price(Venue::Binance, &info.symbol) {
                Some(ReferencePrice::Is(price)) => format!(r#""{price}""#),
                Some(ReferencePrice::Unset) => "null".to_owned(),
                Some(ReferencePrice::Never) | None => return Err(Error::no_reference()),
            };
            let (symbol, now) = (quoted(&info.symbol), unit.of(hub.now()));
            Ok(format!(
                r#"{{"symbol":{symbol},"referencePrice":{price},"timestamp":{now}}}"#
            ))
        }),
        _ => return None,
    })
}

/// How far from the reference price orders may trade. Of the three parameters at most one is allowed.
fn execution_rules(inner: &Inner, query: Query<'_>) -> Result<String, Error> {
    let given = ["symbol", "symbols", "symbolStatus"].map(|name| member(query, name));
    if given.iter().flatten().count() > 1 {
        return Err(Error::new(-1128, "Combination of optional parameters invalid."));
    }
    let [_, _, wanted] = given;
    if wanted.is_some_and(|word| !["TRADING", "HALT", "BREAK"].contains(&word)) {
        return Err(Error::new(
            -1100,
            "Illegal characters found in parameter 'symbolStatus'.",
        ));
    }
    let (markets, _) = chosen(inner, query)?;
    let rows = markets
        .into_iter()
        .filter(|info| wanted.is_none_or(|word| status(info.status) == word))
        .map(|info| filters::execution_rules(info, inner.exchange.binance_rules()));
    Ok(format!(r#"{{"symbolRules":{}}}"#, list(rows)))
}

/// The last price, or halfway between bid and ask before the first trade.
fn last_or_mid(inner: &Inner, info: &MarketInfo) -> Option<Price> {
    let last = inner.stats(info.venue, &info.symbol).and_then(Stats::last);
    if let Some(tick) = last {
        return Some(tick.price);
    }
    let view = inner.view(info.venue, &info.symbol, 1);
    Some(Price::mid(view.bids.first()?.price, view.asks.first()?.price))
}

pub(super) fn listed(inner: &Inner, venue: Venue) -> impl Iterator<Item = &MarketInfo> {
    inner
        .exchange
        .markets(venue)
        .iter()
        .filter(|info| info.status != Status::Delisted)
}

/// The market that a request names.
pub(super) fn one<'a>(inner: &'a Inner, venue: Venue, query: Query<'_>) -> Result<&'a MarketInfo, Error> {
    let symbol = member(query, "symbol").ok_or_else(|| Error::missing("symbol"))?;
    find(inner, venue, symbol)
}

pub(super) fn find<'a>(inner: &'a Inner, venue: Venue, symbol: &str) -> Result<&'a MarketInfo, Error> {
    inner
        .exchange
        .market(venue, symbol)
        .filter(|info| info.status != Status::Delisted)
        .ok_or_else(Error::symbol)
}

/// The `limit` of a request; what is too much is cut, as the venue does.
pub(super) fn limit(query: Query<'_>, default: usize, most: usize) -> Result<usize, Error> {
    match member(query, "limit") {
        None => Ok(default),
        Some(text) => match text.parse::<usize>() {
            Ok(0) | Err(_) => Err(Error::new(-1100, "Illegal characters found in parameter 'limit'.")),
            Ok(limit) => Ok(limit.min(most)),
        },
    }
}

/// The markets that a request names by `symbol` or `symbols`; all when it names none. Whether it was `symbol`.
fn chosen<'a>(inner: &'a Inner, query: Query<'_>) -> Result<(Vec<&'a MarketInfo>, bool), Error> {
    if member(query, "symbol").is_some() {
        return Ok((vec![one(inner, Venue::Binance, query)?], true));
    }
    match member(query, "symbols") {
        Some(text) => {
            let symbols: Vec<String> = serde_json::from_str(text)
                .map_err(|_| Error::new(-1100, "Illegal characters found in parameter 'symbols'."))?;
            let markets: Result<Vec<_>, Error> = symbols
                .iter()
                .map(|symbol| find(inner, Venue::Binance, symbol))
                .collect();
            Ok((markets?, false))
        }
        None => Ok((listed(inner, Venue::Binance).collect(), false)),
    }
}

/// An object for one market, or a list for several.
fn each(
    inner: &Inner,
    query: Query<'_>,
    show: impl Fn(&Inner, &MarketInfo) -> Option<String>,
) -> Result<String, Error> {
    let (markets, single) = chosen(inner, query)?;
    let mut shown = markets.into_iter().filter_map(|info| show(inner, info));
    if single {
        return Ok(shown.next().unwrap_or_else(|| "{}".to_owned()));
    }
    Ok(list(shown))
}

fn klines(inner: &Inner, query: Query<'_>, unit: TimeUnit) -> Result<String, Error> {
    let info = one(inner, Venue::Binance, query)?;
    let minutes = match member(query, "interval") {
        Some("1m") => 1,
        Some("3m") => 3,
        Some("5m") => 5,
        Some("15m") => 15,
        Some("30m") => 30,
        Some("1h") => 60,
        Some("4h") => 240,
        Some(_) => return Err(Error::new(-1120, "Invalid interval.")),
        None => return Err(Error::missing("interval")),
    };
    let limit = limit(query, 500, 1_000)?;
    let candles = inner
        .stats(Venue::Binance, &info.symbol)
        .map(|stats| stats.candles(minutes));
    let mut rows: Vec<String> = candles
        .unwrap_or_default()
        .iter()
        .take(limit)
        .map(|candle| kline(candle, minutes, unit))
        .collect();
    rows.reverse();
    Ok(list(rows))
}

/// Binance's name of a status.
pub(super) const fn status(status: Status) -> &'static str {
    match status {
        Status::Trading => "TRADING",
        Status::CancelOnly => "CANCEL_ONLY",
        Status::Halted => "HALT",
        Status::Delisted => "BREAK",
    }
}

fn exchange_info(hub: &Hub, inner: &Inner, query: Query<'_>) -> Result<String, Error> {
    let (markets, _) = chosen(inner, query)?;
    let symbols = markets.into_iter().map(|info| {
        let filters = filters::of_market(info, inner.exchange.binance_rules());
        format!(
            r#"{{"symbol":{},"status":"{}","baseAsset":{},"baseAssetPrecision":8,"quoteAsset":{},"quotePrecision":8,"quoteAssetPrecision":8,"baseCommissionPrecision":8,"quoteCommissionPrecision":8,"orderTypes":["LIMIT","LIMIT_MAKER","MARKET","STOP_LOSS","STOP_LOSS_LIMIT","TAKE_PROFIT","TAKE_PROFIT_LIMIT"],"icebergAllowed":false,"ocoAllowed":false,"otoAllowed":false,"opoAllowed":false,"quoteOrderQtyMarketAllowed":true,"allowTrailingStop":false,"cancelReplaceAllowed":true,"amendAllowed":true,"pegInstructionsAllowed":false,"isSpotTradingAllowed":true,"isMarginTradingAllowed":false,"filters":{},"permissions":[],"permissionSets":[["SPOT"]],"defaultSelfTradePreventionMode":"EXPIRE_MAKER","allowedSelfTradePreventionModes":["NONE","EXPIRE_TAKER","EXPIRE_MAKER","EXPIRE_BOTH","DECREMENT"]}}"#,
            quoted(&info.symbol),
            status(info.status),
            quoted(&info.base),
            quoted(&info.quote),
            filters,
        )
    });
    Ok(format!(
        r#"{{"timezone":"UTC","serverTime":{},"rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000}},{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":100}},{{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":200000}},{{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":300000}}],"exchangeFilters":[],"symbols":{}}}"#,
        ms(hub.now()),
        list(symbols),
    ))
}

/// Decimals of a step: 0.001 has three.
pub(super) fn decimals(raw: i64) -> usize {
    Plain(raw).to_string().split_once('.').map_or(0, |(_, part)| part.len())
}
