//! Rules: what orders are held to, how lists are read, what a change is, which markets are taken.

mod checks;
mod lists;
mod network;
mod selection;
mod simex;
mod updates;

use super::*;

/// An answer of `GET /v1/market/all?is_details=true`, in the shape of the documentation.
const UPBIT_MARKETS: &str = r#"[
 {"market":"KRW-BTC","korean_name":"비트코인","english_name":"Bitcoin","market_event":{"warning":false,"caution":{"PRICE_FLUCTUATIONS":false,"TRADING_VOLUME_SOARING":false,"DEPOSIT_AMOUNT_SOARING":false,"GLOBAL_PRICE_DIFFERENCES":false,"CONCENTRATION_OF_SMALL_ACCOUNTS":false}}},
 {"market":"KRW-ETH","korean_name":"이더리움","english_name":"Ethereum","market_event":{"warning":false,"caution":{"GLOBAL_PRICE_DIFFERENCES":true,"DEPOSIT_AMOUNT_SOARING":true}}},
 {"market":"KRW-XRP","korean_name":"엑스알피","english_name":"XRP"},
 {"market":"KRW-USDT","korean_name":"테더","english_name":"Tether","market_event":{"warning":false,"caution":{}}},
 {"market":"KRW-WAVES","korean_name":"웨이브","english_name":"Waves","market_event":{"warning":true,"caution":{}}},
 {"market":"BTC-ETH","korean_name":"이더리움","english_name":"Ethereum"},
 {"market":"USDT-BTC","korean_name":"비트코인","english_name":"Bitcoin"}
]"#;

/// An answer of `GET /v1/orderbook/instruments`.
const UPBIT_INSTRUMENTS: &str = r#"[
 {"market":"KRW-BTC","quote_currency":"KRW","tick_size":"1000","supported_levels":["0","10000","100000"]},
 {"market":"KRW-ETH","quote_currency":"KRW","tick_size":"1000","supported_levels":["0"]},
 {"market":"KRW-USDT","quote_currency":"KRW","tick_size":"0.5","supported_levels":[]},
 {"market":"USDT-BTC","quote_currency":"USDT","tick_size":"0.01","supported_levels":["0"]}
]"#;

/// An answer of `GET /api/v3/exchangeInfo`, shortened; fields in excess are those of the venue.
const SPOT: &str = r#"{"timezone":"UTC","serverTime":1763712000000,"rateLimits":[
 {"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000},
 {"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":100},
 {"rateLimitType":"CONNECTIONS","interval":"MINUTE","intervalNum":5,"limit":300}],
 "exchangeFilters":[],"symbols":[
 {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","baseAssetPrecision":8,"quoteAsset":"USDT","quotePrecision":8,
  "orderTypes":["LIMIT","LIMIT_MAKER","MARKET"],"icebergAllowed":true,"isSpotTradingAllowed":true,"filters":[
  {"filterType":"PRICE_FILTER","minPrice":"0.01000000","maxPrice":"1000000.00000000","tickSize":"0.01000000"},
  {"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.00000000","stepSize":"0.00001000"},
  {"filterType":"ICEBERG_PARTS","limit":100},
  {"filterType":"MARKET_LOT_SIZE","minQty":"0.00000000","maxQty":"89.31500000","stepSize":"0.00000000"},
  {"filterType":"TRAILING_DELTA","minTrailingAboveDelta":10,"maxTrailingAboveDelta":2000},
  {"filterType":"PERCENT_PRICE_BY_SIDE","bidMultiplierUp":"5","bidMultiplierDown":"0.2","askMultiplierUp":"4","askMultiplierDown":"0.25","avgPriceMins":5},
  {"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true,"maxNotional":"9000000.00000000","applyMaxToMarket":false,"avgPriceMins":5},
  {"filterType":"MAX_NUM_ORDERS","maxNumOrders":200},
  {"filterType":"MOON_PHASE","waxing":"yes"}],
  "permissions":[],"permissionSets":[["SPOT"]],"defaultSelfTradePreventionMode":"EXPIRE_MAKER"},
 {"symbol":"ETHUSDT","status":"CANCEL_ONLY","baseAsset":"ETH","quoteAsset":"USDT","filters":[
  {"filterType":"PRICE_FILTER","minPrice":"0.00000000","maxPrice":"0.00000000","tickSize":"0.00000000"},
  {"filterType":"PERCENT_PRICE","multiplierUp":"1.1","multiplierDown":"0.9","avgPriceMins":5},
  {"filterType":"MIN_NOTIONAL","minNotional":"10.00000000","applyToMarket":true,"avgPriceMins":5}]},
 {"symbol":"XRPUSDT","status":"BREAK","baseAsset":"XRP","quoteAsset":"USDT","filters":[]},
 {"symbol":"SHIBIDR","status":"TRADING","baseAsset":"SHIB","quoteAsset":"IDR","filters":[
  {"filterType":"LOT_SIZE","minQty":"1","maxQty":"9000000000000.00","stepSize":"1"}]},
 {"symbol":"BADUSDT","status":"TRADING","baseAsset":"BAD","quoteAsset":"USDT","filters":[
  {"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000","tickSize":"0.000000001"}]},
 {"symbol":"LENDUSDT","status":"TRADING","isSpotTradingAllowed":false,"baseAsset":"LEND","quoteAsset":"USDT","filters":[]},
 {"symbol":"NEWUSDT","status":"DREAMING","baseAsset":"NEW","quoteAsset":"USDT","filters":[]}
 ]}"#;

/// An answer of `GET /fapi/v1/exchangeInfo`, shortened.
const USDM: &str = r#"{"timezone":"UTC","serverTime":1763712000000,"futuresType":"U_MARGINED","rateLimits":[],"exchangeFilters":[],"assets":[{"asset":"USDT"}],"symbols":[
 {"symbol":"BTCUSDT","pair":"BTCUSDT","contractType":"PERPETUAL","deliveryDate":4133404800000,"onboardDate":1569398400000,"status":"TRADING",
  "baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":2,"quantityPrecision":3,"filters":[
  {"maxPrice":"4529764","filterType":"PRICE_FILTER","minPrice":"556.80","tickSize":"0.10"},
  {"filterType":"LOT_SIZE","maxQty":"1000","minQty":"0.001","stepSize":"0.001"},
  {"minQty":"0.001","stepSize":"0.001","filterType":"MARKET_LOT_SIZE","maxQty":"120"},
  {"filterType":"MAX_NUM_ORDERS","limit":200},
  {"filterType":"MIN_NOTIONAL","notional":"50"},
  {"multiplierDecimal":"4","multiplierUp":"1.0500","multiplierDown":"0.9500","filterType":"PERCENT_PRICE"}]},
 {"symbol":"BTCUSDT_261225","pair":"BTCUSDT","contractType":"CURRENT_QUARTER","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]},
 {"symbol":"OLDUSDT","pair":"OLDUSDT","contractType":"PERPETUAL","status":"SETTLING","baseAsset":"OLD","quoteAsset":"USDT","filters":[]}
 ]}"#;

fn upbit() -> Catalogue {
    upbit::catalogue(
        upbit::parse_markets(UPBIT_MARKETS.as_bytes()).unwrap(),
        &upbit::parse_instruments(UPBIT_INSTRUMENTS.as_bytes()).unwrap(),
    )
}

fn spot() -> Catalogue {
    binance::parse(binance::Kind::Spot, SPOT.as_bytes()).unwrap()
}

fn usdm() -> Catalogue {
    binance::parse(binance::Kind::Usdm, USDM.as_bytes()).unwrap()
}

fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

fn qty(text: &str) -> Qty {
    Qty::parse(text).unwrap()
}
