//! Binance's market data as they stand on the wire: REST answers and streams of spot and of USD-M perpetuals.
//!
//! Prices and quantities are texts of eight decimals, as the venue sends them for most markets.
//! Source: binance-spot-api-docs a5e0bc3 (read 2026-11-21); for USD-M the derivatives documentation as restated there.

use std::fmt::Write as _;

use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, TimestampNs};

use crate::exchange::BookView;
use crate::server::stats::{Candle, Stats, Tick};
use crate::server::text::{ms, quoted, us};

/// In which unit a socket or request wants its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeUnit {
    /// Milliseconds.
    #[default]
    Milli,
    /// Microseconds, on request.
    Micro,
}

impl TimeUnit {
    /// From `timeUnit=` or `X-MBX-TIME-UNIT`.
    pub fn parse(name: &str) -> Option<TimeUnit> {
        match name.to_ascii_uppercase().as_str() {
            "MILLISECOND" => Some(TimeUnit::Milli),
            "MICROSECOND" => Some(TimeUnit::Micro),
            _ => None,
        }
    }

    /// A time in this unit.
    pub fn of(self, ts: TimestampNs) -> i64 {
        match self {
            TimeUnit::Milli => ms(ts),
            TimeUnit::Micro => us(ts),
        }
    }
}

/// Changes of a book over one period of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// When it is sent.
    pub ts: TimestampNs,
    /// First update id (`U`).
    pub first: u64,
    /// Last update id (`u`).
    pub last: u64,
    /// Last update id of the diff before (`pu`, perpetuals only).
    pub before: u64,
    /// Changed bids; zero removes.
    pub bids: Vec<Level>,
    /// Changed asks; zero removes.
    pub asks: Vec<Level>,
}

fn pairs(levels: &[Level], most: usize) -> String {
    let mut out = String::with_capacity(levels.len().min(most) * 32 + 2);
    out.push('[');
    for (index, level) in levels.iter().take(most).enumerate() {
        if index > 0 {
            out.push(',');
        }
        let _ = write!(out, "[\"{}\",\"{}\"]", level.price, level.qty);
    }
    out.push(']');
    out
}

/// `depthUpdate` of a spot market.
pub fn depth_update(symbol: &str, diff: &Diff, unit: TimeUnit) -> String {
    format!(
        r#"{{"e":"depthUpdate","E":{},"s":"{symbol}","U":{},"u":{},"b":{},"a":{}}}"#,
        unit.of(diff.ts),
        diff.first,
        diff.last,
        pairs(&diff.bids, usize::MAX),
        pairs(&diff.asks, usize::MAX),
    )
}

/// `depthUpdate` of a perpetual: chained by `pu`.
pub fn depth_update_usdm(symbol: &str, diff: &Diff) -> String {
    format!(
        r#"{{"e":"depthUpdate","E":{0},"T":{0},"s":"{symbol}","U":{1},"u":{2},"pu":{3},"b":{4},"a":{5}}}"#,
        ms(diff.ts),
        diff.first,
        diff.last,
        diff.before,
        pairs(&diff.bids, usize::MAX),
        pairs(&diff.asks, usize::MAX),
    )
}

/// The whole top of a spot book, as the partial stream and `GET /api/v3/depth` give it.
pub fn depth(view: &BookView, levels: usize) -> String {
    format!(
        r#"{{"lastUpdateId":{},"bids":{},"asks":{}}}"#,
        view.last_id,
        pairs(&view.bids, levels),
        pairs(&view.asks, levels),
    )
}

/// `GET /fapi/v1/depth`.
pub fn depth_usdm(view: &BookView, levels: usize, now: TimestampNs) -> String {
    format!(
        r#"{{"lastUpdateId":{},"E":{},"T":{},"bids":{},"asks":{}}}"#,
        view.last_id,
        ms(now),
        ms(view.ts),
        pairs(&view.bids, levels),
        pairs(&view.asks, levels),
    )
}

/// `bookTicker` of a spot market; `None` while a side is empty.
pub fn book_ticker(symbol: &str, view: &BookView) -> Option<String> {
    let (bid, ask) = (view.bids.first()?, view.asks.first()?);
    Some(format!(
        r#"{{"u":{},"s":"{symbol}","b":"{}","B":"{}","a":"{}","A":"{}"}}"#,
        view.last_id, bid.price, bid.qty, ask.price, ask.qty
    ))
}

/// `bookTicker` of a perpetual.
pub fn book_ticker_usdm(symbol: &str, view: &BookView) -> Option<String> {
    let (bid, ask) = (view.bids.first()?, view.asks.first()?);
    Some(format!(
        r#"{{"e":"bookTicker","u":{0},"E":{1},"T":{1},"s":"{symbol}","b":"{2}","B":"{3}","a":"{4}","A":"{5}"}}"#,
        view.last_id,
        ms(view.ts),
        bid.price,
        bid.qty,
        ask.price,
        ask.qty
    ))
}

/// An element of `GET ticker/bookTicker`.
pub fn book_ticker_rest(symbol: &str, view: &BookView) -> Option<String> {
    let (bid, ask) = (view.bids.first()?, view.asks.first()?);
    Some(format!(
        r#"{{"symbol":"{symbol}","bidPrice":"{}","bidQty":"{}","askPrice":"{}","askQty":"{}"}}"#,
        bid.price, bid.qty, ask.price, ask.qty
    ))
}

/// `m` is true when the buyer was the maker: a sell took.
fn buyer_is_maker(tick: &Tick) -> bool {
    tick.taker == Side::Sell
}

/// `trade`.
pub fn trade(symbol: &str, tick: &Tick, sent: TimestampNs, unit: TimeUnit) -> String {
    format!(
        r#"{{"e":"trade","E":{},"s":"{symbol}","t":{},"p":"{}","q":"{}","T":{},"m":{},"M":true}}"#,
        unit.of(sent.max(tick.ts)),
        tick.id,
        tick.price,
        tick.qty,
        unit.of(tick.ts),
        buyer_is_maker(tick),
    )
}

/// `aggTrade`: here every trade is an aggregate of itself.
pub fn agg_trade(symbol: &str, tick: &Tick, sent: TimestampNs, unit: TimeUnit) -> String {
    format!(
        r#"{{"e":"aggTrade","E":{},"s":"{symbol}","a":{3},"p":"{1}","q":"{2}","f":{3},"l":{3},"T":{4},"m":{5},"M":true}}"#,
        unit.of(sent.max(tick.ts)),
        tick.price,
        tick.qty,
        tick.id,
        unit.of(tick.ts),
        buyer_is_maker(tick),
    )
}

/// An element of `GET trades`.
pub fn trade_rest(tick: &Tick, unit: TimeUnit) -> String {
    format!(
        r#"{{"id":{},"price":"{}","qty":"{}","quoteQty":"{}","time":{},"isBuyerMaker":{},"isBestMatch":true}}"#,
        tick.id,
        tick.price,
        tick.qty,
        quote_qty(tick),
        unit.of(tick.ts),
        buyer_is_maker(tick),
    )
}

/// An element of `GET aggTrades`.
pub fn agg_trade_rest(tick: &Tick, unit: TimeUnit) -> String {
    format!(
        r#"{{"a":{0},"p":"{1}","q":"{2}","f":{0},"l":{0},"T":{3},"m":{4},"M":true}}"#,
        tick.id,
        tick.price,
        tick.qty,
        unit.of(tick.ts),
        buyer_is_maker(tick),
    )
}

fn quote_qty(tick: &Tick) -> Wide {
    Wide(i128::from(tick.price.raw()) * i128::from(tick.qty.raw()) / i128::from(crossbook_engine::units::SCALE))
}

/// A count of 1e-8 with eight decimals, wider than an amount.
struct Wide(i128);

impl std::fmt::Display for Wide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scale = i128::from(crossbook_engine::units::SCALE);
        write!(f, "{}.{:08}", self.0 / scale, (self.0 % scale).abs())
    }
}

/// `markPriceUpdate` of a perpetual.
pub fn mark_price(symbol: &str, mark: Price, rate: i64, next: TimestampNs, sent: TimestampNs) -> String {
    format!(
        r#"{{"e":"markPriceUpdate","E":{},"s":"{symbol}","p":"{mark}","ap":"{mark}","P":"{mark}","i":"{mark}","r":"{}","T":{}}}"#,
        ms(sent),
        signed(rate),
        ms(next),
    )
}

/// `GET /fapi/v1/premiumIndex`, one element.
pub fn premium_index(symbol: &str, mark: Price, rate: i64, next: TimestampNs, now: TimestampNs) -> String {
    format!(
        r#"{{"symbol":"{symbol}","markPrice":"{mark}","indexPrice":"{mark}","estimatedSettlePrice":"{mark}","lastFundingRate":"{}","interestRate":"0.00010000","nextFundingTime":{},"time":{}}}"#,
        signed(rate),
        ms(next),
        ms(now),
    )
}

/// A signed count of 1e-8 with eight decimals.
fn signed(raw: i64) -> String {
    let sign = if raw < 0 { "-" } else { "" };
    let magnitude = raw.unsigned_abs();
    format!("{sign}{}.{:08}", magnitude / 100_000_000, magnitude % 100_000_000)
}

/// An element of `GET ticker/24hr`; all zeros before the first trade of the run.
pub fn ticker_24h(symbol: &str, stats: &Stats, view: &BookView, now: TimestampNs, unit: TimeUnit) -> String {
    let zero = Level {
        price: Price::ONE_STEP,
        qty: crossbook_engine::units::Qty::ZERO,
    };
    let show = |level: Option<&Level>| {
        let level = level.unwrap_or(&zero);
        if level.qty.is_zero() {
            ("0.00000000".to_owned(), level.qty)
        } else {
            (level.price.to_string(), level.qty)
        }
    };
    let (bid, ask) = (show(view.bids.first()), show(view.asks.first()));
    let price = |raw: Option<Price>| raw.map_or("0.00000000".to_owned(), |price| price.to_string());
    let day = stats.day;
    let (open, last) = (day.map(|day| day.open), stats.last());
    let change = day.map_or(0, |day| day.close.raw() - day.open.raw());
    let percent = day.map_or(0.0, |day| change as f64 * 100.0 / day.open.raw() as f64);
    let average = day.and_then(|day| (day.volume > 0).then(|| day.value * 100_000_000 / day.volume));
    let first_id = stats.oldest().next().map_or(-1, |tick| tick.id as i64);
    format!(
        r#"{{"symbol":"{symbol}","priceChange":"{}","priceChangePercent":"{percent:.3}","weightedAvgPrice":"{}","prevClosePrice":"{open}","lastPrice":"{}","lastQty":"{}","bidPrice":"{}","bidQty":"{}","askPrice":"{}","askQty":"{}","openPrice":"{open}","highPrice":"{}","lowPrice":"{}","volume":"{}","quoteVolume":"{}","openTime":{},"closeTime":{},"firstId":{first_id},"lastId":{},"count":{}}}"#,
        signed(change),
        Wide(average.unwrap_or(0)),
        price(last.map(|tick| tick.price)),
        last.map_or(crossbook_engine::units::Qty::ZERO, |tick| tick.qty),
        bid.0,
        bid.1,
        ask.0,
        ask.1,
        price(day.map(|day| day.high)),
        price(day.map(|day| day.low)),
        Wide(day.map_or(0, |day| day.volume)),
        Wide(day.map_or(0, |day| day.value)),
        unit.of(now) - unit.of(TimestampNs(86_400_000_000_000)),
        unit.of(now),
        last.map_or(-1, |tick| tick.id as i64),
        day.map_or(0, |day| day.count),
        open = price(open),
    )
}

/// An element of `GET klines`.
pub fn kline(candle: &Candle, minutes: i64, unit: TimeUnit) -> String {
    let start = TimestampNs(candle.minute * 60_000_000_000);
    let end = TimestampNs((candle.minute + minutes) * 60_000_000_000 - 1_000_000);
    format!(
        r#"[{},"{}","{}","{}","{}","{}",{},"{}",{},"0.00000000","0.00000000","0"]"#,
        unit.of(start),
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        Wide(candle.volume),
        unit.of(end),
        Wide(candle.value),
        candle.count,
    )
}

/// The combined form: `{"stream":…,"data":…}`.
pub fn combined(stream: &str, data: &str) -> String {
    format!(r#"{{"stream":{},"data":{data}}}"#, quoted(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbook_engine::units::Qty;

    fn level(price: &str, qty: &str) -> Level {
        Level {
            price: Price::parse(price).unwrap(),
            qty: Qty::parse(qty).unwrap(),
        }
    }

    #[test]
    fn messages_are_spelled_as_documented() {
        let ts = TimestampNs(1_672_515_782_136_555_999);
        let diff = Diff {
            ts,
            first: 157,
            last: 160,
            before: 156,
            bids: vec![level("0.0024", "10")],
            asks: vec![level("0.0026", "0")],
        };
        assert_eq!(
            depth_update("BNBBTC", &diff, TimeUnit::Milli),
            r#"{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.00240000","10.00000000"]],"a":[["0.00260000","0.00000000"]]}"#
        );
        assert!(depth_update("BNBBTC", &diff, TimeUnit::Micro).contains(r#""E":1672515782136555,"#));
        assert!(depth_update_usdm("BNBUSDT", &diff).contains(r#""U":157,"u":160,"pu":156,"#));
        let tick = Tick {
            id: 12345,
            ts,
            price: Price::parse("0.001").unwrap(),
            qty: Qty::parse("100").unwrap(),
            taker: Side::Sell,
        };
        assert_eq!(
            trade("BNBBTC", &tick, ts, TimeUnit::Milli),
            r#"{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.00000000","T":1672515782136,"m":true,"M":true}"#
        );
        assert_eq!(
            mark_price("BTCUSDT", Price::parse("5").unwrap(), -12_500, ts, ts),
            r#"{"e":"markPriceUpdate","E":1672515782136,"s":"BTCUSDT","p":"5.00000000","ap":"5.00000000","P":"5.00000000","i":"5.00000000","r":"-0.00012500","T":1672515782136}"#
        );
        let view = BookView {
            last_id: 160,
            ts,
            bids: vec![level("1", "2"), level("0.9", "3")],
            asks: vec![],
        };
        assert_eq!(
            depth(&view, 1),
            r#"{"lastUpdateId":160,"bids":[["1.00000000","2.00000000"]],"asks":[]}"#
        );
        assert_eq!(book_ticker("X", &view), None);
        assert_eq!(combined("a@trade", "{}"), r#"{"stream":"a@trade","data":{}}"#);
        // Every line of JSON above must be one for a parser, too.
        let stats = Stats::default();
        let parsed: serde_json::Value =
            serde_json::from_str(&ticker_24h("X", &stats, &view, ts, TimeUnit::Milli)).unwrap();
        assert_eq!(parsed["bidPrice"], "1.00000000");
        assert_eq!(parsed["askPrice"], "0.00000000");
    }
}
