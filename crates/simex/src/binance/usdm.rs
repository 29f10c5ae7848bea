//! Binance's USD-M REST interface: market data of perpetuals.

use super::error::Error;
use super::filters::{lot_filter, price_filter, tick};
use super::limit::{Cost, counted};
use super::rest::{Query, decimals, limit, listed, one, status};
use super::wire::{depth_usdm, premium_index};
use crate::exchange::Venue;
use crate::server::http::{Call, Reply, list, member};
use crate::server::hub::{Hub, Inner};
use crate::server::text::{ms, quoted};
use crate::sign::text::Plus;

/// Answers a request to the USD-M venue.
pub fn answer(hub: &Hub, call: &Call) -> Reply {
    let mut inner = hub.lock();
    let Some(query) = call.query_members(Plus::IsSpace) else {
        return Error::new(-1100, "Illegal characters found in a parameter.").into();
    };
    let path = call.path.trim_end_matches('/');
    let weight = match path {
        "/fapi/v1/depth" => match member(&query, "limit")
            .and_then(|text| text.parse().ok())
            .unwrap_or(500u64)
        {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        },
        _ => 1,
    };
    let cost = Cost {
        weight,
        free_if_done: false,
    };
    counted(
        hub,
        &mut inner,
        Venue::BinanceUsdm,
        &call.peer,
        cost,
        |inner| match market_data(hub, inner, path, &query) {
            Some(Ok(body)) => Reply::ok(body),
            Some(Err(error)) => error.into(),
            None => Error::no_route(path).into(),
        },
    )
}

fn market_data(hub: &Hub, inner: &Inner, path: &str, query: Query<'_>) -> Option<Result<String, Error>> {
    Some(match path {
        "/fapi/v1/ping" => Ok("{}".to_owned()),
        "/fapi/v1/time" => Ok(format!(r#"{{"serverTime":{}}}"#, ms(hub.now()))),
        "/fapi/v1/exchangeInfo" => Ok(exchange_info(hub, inner)),
        "/fapi/v1/depth" => one(inner, Venue::BinanceUsdm, query).and_then(|info| {
            let limit = limit(query, 500, 1_000)?;
            let view = inner.view(Venue::BinanceUsdm, &info.symbol, limit);
            Ok(depth_usdm(&view, limit, hub.now()))
        }),
        "/fapi/v1/premiumIndex" => premium(hub, inner, query),
        _ => return None,
    })
}

fn premium(hub: &Hub, inner: &Inner, query: Query<'_>) -> Result<String, Error> {
    let show = |symbol: &str| {
        let &(mark, rate, next) = inner.marks.get(symbol)?;
        Some(premium_index(symbol, mark, rate, next, hub.now()))
    };
    if member(query, "symbol").is_some() {
        let info = one(inner, Venue::BinanceUsdm, query)?;
        return show(&info.symbol).ok_or_else(|| Error::new(-1000, "no mark price yet"));
    }
    Ok(list(
        listed(inner, Venue::BinanceUsdm).filter_map(|info| show(&info.symbol)),
    ))
}

fn exchange_info(hub: &Hub, inner: &Inner) -> String {
    let symbols = listed(inner, Venue::BinanceUsdm).map(|info| {
        let filters = [
            price_filter(info),
            lot_filter("LOT_SIZE", info),
            lot_filter("MARKET_LOT_SIZE", info),
            format!(r#"{{"filterType":"MIN_NOTIONAL","notional":"{}"}}"#, info.min_total),
        ];
        format!(
            r#"{{"symbol":{symbol},"pair":{symbol},"contractType":"PERPETUAL","deliveryDate":4133404800000,"onboardDate":1569398400000,"status":"{}","baseAsset":{},"quoteAsset":{quote},"marginAsset":{quote},"pricePrecision":{},"quantityPrecision":{},"baseAssetPrecision":8,"quotePrecision":8,"underlyingType":"COIN","orderTypes":["LIMIT","MARKET"],"timeInForce":["GTC","IOC","FOK","GTX"],"filters":{}}}"#,
            status(info.status),
            quoted(&info.base),
            decimals(tick(info).raw()),
            decimals(info.lot.raw()),
            list(filters),
            symbol = quoted(&info.symbol),
            quote = quoted(&info.quote),
        )
    });
    format!(
        r#"{{"timezone":"UTC","serverTime":{},"rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400}}],"exchangeFilters":[],"assets":[],"symbols":{}}}"#,
        ms(hub.now()),
        list(symbols),
    )
}
