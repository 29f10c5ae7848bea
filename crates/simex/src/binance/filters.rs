//! Binance's filters as they are announced: of a market, of an account, and the rule of execution.
//!
//! Source: binance-spot-api-docs, filters and price range execution rules (read 2026-11-21).

use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::Price;

use crate::config::BinanceRules;
use crate::exchange::MarketInfo;
use crate::server::http::list;
use crate::server::text::quoted;

/// Over how many minutes prices are averaged where a filter needs a price that the order has not.
const AVG_PRICE_MINS: u32 = 5;

/// The one tick of a market here; the finest of them when it has several.
pub(super) fn tick(info: &MarketInfo) -> Price {
    match &info.tick {
        TickRule::Fixed(tick) => *tick,
        TickRule::Bands(bands) => bands.last().map_or(Price::ONE_STEP, |&(_, tick)| tick),
    }
}

/// Price bounds of a market: a million ticks of headroom is enough for every filter that a client may check.
pub(super) fn price_filter(info: &MarketInfo) -> String {
    let tick = tick(info);
    format!(
        r#"{{"filterType":"PRICE_FILTER","minPrice":"{tick}","maxPrice":"{}.00000000","tickSize":"{tick}"}}"#,
        if tick.raw() >= 1_000_000 { 1_000_000 } else { 10_000 },
    )
}

pub(super) fn lot_filter(name: &str, info: &MarketInfo) -> String {
    format!(
        r#"{{"filterType":"{name}","minQty":"{}","maxQty":"{}","stepSize":"{}"}}"#,
        info.min_qty, info.max_qty, info.lot
    )
}

/// A percentage as a ratio with four decimals.
fn ratio(percent: u32) -> String {
    format!("{}.{:02}00", percent / 100, percent % 100)
}

/// Filters of a market, as `exchangeInfo` lists them.
pub fn of_market(info: &MarketInfo, rules: &BinanceRules) -> String {
    let band = rules.price_band;
    let percent = if rules.price_band_by_side {
        format!(
            r#"{{"filterType":"PERCENT_PRICE_BY_SIDE","bidMultiplierUp":"{}","bidMultiplierDown":"{}","askMultiplierUp":"{}","askMultiplierDown":"{}","avgPriceMins":{AVG_PRICE_MINS}}}"#,
            ratio(band.bid_up_percent),
            ratio(band.bid_down_percent),
            ratio(band.ask_up_percent),
            ratio(band.ask_down_percent),
        )
    } else {
        format!(
            r#"{{"filterType":"PERCENT_PRICE","multiplierUp":"{}","multiplierDown":"{}","avgPriceMins":{AVG_PRICE_MINS}}}"#,
            ratio(band.bid_up_percent),
            ratio(band.bid_down_percent),
        )
    };
    let fixed = [
        price_filter(info),
        lot_filter("LOT_SIZE", info),
        r#"{"filterType":"ICEBERG_PARTS","limit":10}"#.to_owned(),
        lot_filter("MARKET_LOT_SIZE", info),
        percent,
        format!(
            r#"{{"filterType":"NOTIONAL","minNotional":"{}","applyMinToMarket":true,"maxNotional":"{}","applyMaxToMarket":false,"avgPriceMins":{AVG_PRICE_MINS}}}"#,
            info.min_total, info.max_total
        ),
    ];
    list(fixed.into_iter().chain(counted(info, rules)))
}

/// Filters that look at what the account has: how many orders, how much of the base.
fn counted(info: &MarketInfo, rules: &BinanceRules) -> Vec<String> {
    let mut filters = vec![
        format!(
            r#"{{"filterType":"MAX_NUM_ORDERS","maxNumOrders":{}}}"#,
            rules.most_open_orders
        ),
        format!(
            r#"{{"filterType":"MAX_NUM_ALGO_ORDERS","maxNumAlgoOrders":{}}}"#,
            rules.most_algo_orders
        ),
        format!(
            r#"{{"filterType":"MAX_NUM_ORDER_AMENDS","maxNumOrderAmends":{}}}"#,
            rules.most_amends
        ),
    ];
    if let Some(most) = rules.max_position.get(&*info.base) {
        filters.push(format!(r#"{{"filterType":"MAX_POSITION","maxPosition":"{most}"}}"#));
    }
    filters
}

/// The answer of `myFilters`: those of the market that look at the account, and bounds of its two currencies.
pub fn of_account(info: &MarketInfo, rules: &BinanceRules) -> String {
    let assets = [&info.base, &info.quote].into_iter().filter_map(|currency| {
        let most = rules.max_asset.get(&**currency)?;
        let asset = quoted(currency);
        Some(format!(
            r#"{{"filterType":"MAX_ASSET","asset":{asset},"limit":"{most}"}}"#
        ))
    });
    format!(
        r#"{{"exchangeFilters":[],"symbolFilters":{},"assetFilters":{}}}"#,
        list(counted(info, rules)),
        list(assets),
    )
}

/// A market's element in the answer of `executionRules`.
pub fn execution_rules(info: &MarketInfo, rules: &BinanceRules) -> String {
    let range = rules.execution_range;
    format!(
        r#"{{"symbol":{},"rules":[{{"ruleType":"PRICE_RANGE","bidLimitMultUp":"{}","bidLimitMultDown":"{}","askLimitMultUp":"{}","askLimitMultDown":"{}"}}]}}"#,
        quoted(&info.symbol),
        ratio(range.bid_up_percent),
        ratio(range.bid_down_percent),
        ratio(range.ask_up_percent),
        ratio(range.ask_down_percent),
    )
}
