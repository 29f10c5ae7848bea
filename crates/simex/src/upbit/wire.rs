//! Upbit's public data as it stands on the wire: REST answers and the four spellings of stream messages.
//!
//! Source: Upbit developer docs v1.6.4 (read 2026-11-21). Numbers are JSON numbers here, as the venue sends them; texts only
//! where it has texts.

use std::fmt::Write as _;

use crossbook_engine::event::Level;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Price, TimestampNs};

use crate::exchange::BookView;
use crate::server::stats::{Candle, Stats, Tick};
use crate::server::text::{Civil, Plain, Streamed, ms, quoted};

/// Upbit's spellings of a stream message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Long keys.
    #[default]
    Default,
    /// Short keys.
    Simple,
    /// A list of objects with long keys.
    JsonList,
    /// A list of objects with short keys.
    SimpleList,
}

impl Format {
    /// From the `format` member of a request.
    pub fn parse(name: &str) -> Option<Format> {
        Some(match name {
            "DEFAULT" => Format::Default,
            "SIMPLE" => Format::Simple,
            "JSON_LIST" => Format::JsonList,
            "SIMPLE_LIST" => Format::SimpleList,
            _ => return None,
        })
    }

    /// The long or the short key.
    pub const fn key(self, long: &'static str, short: &'static str) -> &'static str {
        match self {
            Format::Default | Format::JsonList => long,
            Format::Simple | Format::SimpleList => short,
        }
    }

    /// One object, or a list of one.
    pub fn wrap(self, object: String) -> String {
        match self {
            Format::Default | Format::Simple => object,
            Format::JsonList | Format::SimpleList => format!("[{object}]"),
        }
    }
}

/// The first data of a subscription, or what came after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamType {
    /// The state when the subscription was made.
    Snapshot,
    /// A change.
    Realtime,
}

impl StreamType {
    const fn name(self) -> &'static str {
        match self {
            StreamType::Snapshot => "SNAPSHOT",
            StreamType::Realtime => "REALTIME",
        }
    }
}

/// A JSON object that is written member by member.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Object {
        Object(String::from("{"))
    }

    /// A member whose value is written as it stands: a number, or JSON that was made before.
    pub(super) fn raw(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Object {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{key}\":{value}");
        self
    }

    /// A text member.
    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Object {
        self.raw(key, quoted(value))
    }

    pub(super) fn end(&mut self) -> String {
        self.0.push('}');
        std::mem::take(&mut self.0)
    }
}

/// Levels of one side as `count` groups of `step` (zero: as they are); bids are grouped down, asks up, so that no group
/// promises a better price than it holds.
pub fn grouped(levels: &[Level], side: Side, step: i64, count: usize) -> Vec<Level> {
    if step <= 0 {
        return levels.iter().take(count).copied().collect();
    }
    let mut out: Vec<Level> = Vec::with_capacity(count);
    for level in levels {
        let full = out.len() == count;
        let raw = level.price.raw();
        let group = match side {
            Side::Buy => raw - raw % step,
            Side::Sell => raw + (step - raw % step) % step,
        };
        // A bid below the first step has no group; the venue shows no zero prices.
        let Ok(price) = Price::from_raw(group) else { continue };
        match out.last_mut() {
            Some(last) if last.price == price => {
                if let Ok(sum) = last.qty.checked_add(level.qty) {
                    last.qty = sum;
                }
            }
            _ if full => break,
            _ => out.push(Level { price, qty: level.qty }),
        }
    }
    out
}

/// Bids, asks and the sums of both, cut and grouped.
struct Cut {
    bids: Vec<Level>,
    asks: Vec<Level>,
    total_bid: i64,
    total_ask: i64,
}

fn cut(view: &BookView, step: i64, units: usize) -> Cut {
    let bids = grouped(&view.bids, Side::Buy, step, units);
    let asks = grouped(&view.asks, Side::Sell, step, units);
    let sum = |levels: &[Level]| {
        levels
            .iter()
            .fold(0i64, |sum, level| sum.saturating_add(level.qty.raw()))
    };
    Cut {
        total_bid: sum(&bids),
        total_ask: sum(&asks),
        bids,
        asks,
    }
}

/// A stream's `orderbook` message. A side that is shorter than the other is filled up with zeros, as the venue does.
pub fn orderbook_stream(
    code: &str,
    view: &BookView,
    step: i64,
    units: usize,
    format: Format,
    stream_type: StreamType,
) -> String {
    let cut = cut(view, step, units);
    let rows = cut.bids.len().max(cut.asks.len());
    let mut list = String::with_capacity(rows * 96);
    list.push('[');
    for row in 0..rows {
        if row > 0 {
            list.push(',');
        }
        let (ask, bid) = (cut.asks.get(row), cut.bids.get(row));
        let _ = write!(
            list,
            "{{\"{}\":{},\"{}\":{},\"{}\":{},\"{}\":{}}}",
            format.key("ask_price", "ap"),
            Streamed(ask.map_or(0, |level| level.price.raw())),
            format.key("bid_price", "bp"),
            Streamed(bid.map_or(0, |level| level.price.raw())),
            format.key("ask_size", "as"),
            Streamed(ask.map_or(0, |level| level.qty.raw())),
            format.key("bid_size", "bs"),
            Streamed(bid.map_or(0, |level| level.qty.raw())),
        );
    }
    list.push(']');
    let mut object = Object::new();
    object
        .text(format.key("type", "ty"), "orderbook")
        .text(format.key("code", "cd"), code)
        .raw(format.key("timestamp", "tms"), ms(view.ts))
        .raw(format.key("total_ask_size", "tas"), Streamed(cut.total_ask))
        .raw(format.key("total_bid_size", "tbs"), Streamed(cut.total_bid))
        .raw(format.key("orderbook_units", "obu"), list)
        .text(format.key("stream_type", "st"), stream_type.name())
        .raw(format.key("level", "lv"), Streamed(step));
    format.wrap(object.end())
}

/// An element of `GET /v1/orderbook`.
pub fn orderbook_rest(code: &str, view: &BookView, step: i64, units: usize) -> String {
    let cut = cut(view, step, units);
    let rows = cut.bids.len().max(cut.asks.len());
    let mut list = String::from("[");
    for row in 0..rows {
        if row > 0 {
            list.push(',');
        }
        let (ask, bid) = (cut.asks.get(row), cut.bids.get(row));
        let _ = write!(
            list,
            "{{\"ask_price\":{},\"bid_price\":{},\"ask_size\":{},\"bid_size\":{}}}",
            Plain(ask.map_or(0, |level| level.price.raw())),
            Plain(bid.map_or(0, |level| level.price.raw())),
            Plain(ask.map_or(0, |level| level.qty.raw())),
            Plain(bid.map_or(0, |level| level.qty.raw())),
        );
    }
    list.push(']');
    let mut object = Object::new();
    object
        .text("market", code)
        .raw("timestamp", ms(view.ts))
        .raw("total_ask_size", Plain(cut.total_ask))
        .raw("total_bid_size", Plain(cut.total_bid))
        .raw("orderbook_units", list)
        .raw("level", Plain(step));
    object.end()
}

/// Which way a price went since yesterday's close, as Upbit names it, with the difference.
fn change(price: Price, from: Price) -> (&'static str, i64) {
    let difference = price.raw() - from.raw();
    let name = match difference.signum() {
        1 => "RISE",
        -1 => "FALL",
        _ => "EVEN",
    };
    (name, difference)
}

const fn taker(side: Side) -> &'static str {
    match side {
        Side::Buy => "BID",
        Side::Sell => "ASK",
    }
}

/// Upbit's unique number of a trade: its time in milliseconds and its number within them. Not an order.
fn sequential_id(tick: &Tick) -> i64 {
    ms(tick.ts) * 10_000 + i64::try_from(tick.id % 10_000).unwrap_or(0)
}

/// A stream's `trade` message.
pub fn trade_stream(
    code: &str,
    tick: &Tick,
    opened: Price,
    view: &BookView,
    sent: TimestampNs,
    format: Format,
    stream_type: StreamType,
) -> String {
    let civil = Civil::utc(tick.ts);
    let (name, difference) = change(tick.price, opened);
    let (ask, bid) = (view.asks.first(), view.bids.first());
    let mut object = Object::new();
    object
        .text(format.key("type", "ty"), "trade")
        .text(format.key("code", "cd"), code)
        .raw(format.key("timestamp", "tms"), ms(sent.max(tick.ts)))
        .text(format.key("trade_date", "td"), &civil.date())
        .text(format.key("trade_time", "ttm"), &civil.time())
        .raw(format.key("trade_timestamp", "ttms"), ms(tick.ts))
        .raw(format.key("trade_price", "tp"), Streamed(tick.price.raw()))
        .raw(format.key("trade_volume", "tv"), Streamed(tick.qty.raw()))
        .text(format.key("ask_bid", "ab"), taker(tick.taker))
        .raw(format.key("prev_closing_price", "pcp"), Streamed(opened.raw()))
        .text(format.key("change", "c"), name)
        .raw(format.key("change_price", "cp"), Streamed(difference.abs()))
        .raw(format.key("sequential_id", "sid"), sequential_id(tick))
        .raw(
            format.key("best_ask_price", "bap"),
            Streamed(ask.map_or(0, |level| level.price.raw())),
        )
        .raw(
            format.key("best_ask_size", "bas"),
            Streamed(ask.map_or(0, |level| level.qty.raw())),
        )
        .raw(
            format.key("best_bid_price", "bbp"),
            Streamed(bid.map_or(0, |level| level.price.raw())),
        )
        .raw(
            format.key("best_bid_size", "bbs"),
            Streamed(bid.map_or(0, |level| level.qty.raw())),
        )
        .text(format.key("stream_type", "st"), stream_type.name());
    format.wrap(object.end())
}

/// An element of `GET /v1/trades/ticks`.
pub fn trade_rest(code: &str, tick: &Tick, opened: Price) -> String {
    let civil = Civil::utc(tick.ts);
    let (_, difference) = change(tick.price, opened);
    let mut object = Object::new();
    object
        .text("market", code)
        .text("trade_date_utc", &civil.date())
        .text("trade_time_utc", &civil.time())
        .raw("timestamp", ms(tick.ts))
        .raw("trade_price", Plain(tick.price.raw()))
        .raw("trade_volume", Plain(tick.qty.raw()))
        .raw("prev_closing_price", Plain(opened.raw()))
        .raw("change_price", Plain(difference))
        .text("ask_bid", taker(tick.taker))
        .raw("sequential_id", sequential_id(tick));
    object.end()
}

/// What a ticker says, before it is spelled.
struct Ticker {
    last: Tick,
    day: Candle,
    name: &'static str,
    difference: i64,
    rate: f64,
}

fn ticker(stats: &Stats) -> Option<Ticker> {
    let (last, day) = (*stats.last()?, stats.day?);
    let (name, difference) = change(last.price, day.open);
    Some(Ticker {
        rate: difference as f64 / day.open.raw() as f64,
        last,
        day,
        name,
        difference,
    })
}

fn wide(raw: i128) -> i64 {
    i64::try_from(raw).unwrap_or(i64::MAX)
}

/// An element of `GET /v1/ticker`; `None` before the first trade of the run.
pub fn ticker_rest(code: &str, stats: &Stats, sent: TimestampNs) -> Option<String> {
    let ticker = ticker(stats)?;
    let (utc, kst) = (Civil::utc(ticker.last.ts), Civil::kst(ticker.last.ts));
    let day = &ticker.day;
    let mut object = Object::new();
    object
        .text("market", code)
        .text("trade_date", &utc.date_digits())
        .text("trade_time", &utc.time_digits())
        .text("trade_date_kst", &kst.date_digits())
        .text("trade_time_kst", &kst.time_digits())
        .raw("trade_timestamp", ms(ticker.last.ts))
        .raw("opening_price", Plain(day.open.raw()))
        .raw("high_price", Plain(day.high.raw()))
        .raw("low_price", Plain(day.low.raw()))
        .raw("trade_price", Plain(ticker.last.price.raw()))
        .raw("prev_closing_price", Plain(day.open.raw()))
        .text("change", ticker.name)
        .raw("change_price", Plain(ticker.difference.abs()))
        .raw("change_rate", ticker.rate.abs())
        .raw("signed_change_price", Plain(ticker.difference))
        .raw("signed_change_rate", ticker.rate)
        .raw("trade_volume", Plain(ticker.last.qty.raw()))
        .raw("acc_trade_price", Plain(wide(day.value)))
        .raw("acc_trade_price_24h", Plain(wide(day.value)))
        .raw("acc_trade_volume", Plain(wide(day.volume)))
        .raw("acc_trade_volume_24h", Plain(wide(day.volume)))
        .raw("highest_52_week_price", Plain(day.high.raw()))
        .text("highest_52_week_date", &utc.date())
        .raw("lowest_52_week_price", Plain(day.low.raw()))
        .text("lowest_52_week_date", &utc.date())
        .raw("timestamp", ms(sent.max(ticker.last.ts)));
    Some(object.end())
}

/// A stream's `ticker` message; `None` before the first trade of the run.
pub fn ticker_stream(
    code: &str,
    stats: &Stats,
    sent: TimestampNs,
    format: Format,
    stream_type: StreamType,
) -> Option<String> {
    let ticker = ticker(stats)?;
    let civil = Civil::utc(ticker.last.ts);
    let day = &ticker.day;
    let mut object = Object::new();
    object
        .text(format.key("type", "ty"), "ticker")
        .text(format.key("code", "cd"), code)
        .raw(format.key("opening_price", "op"), Streamed(day.open.raw()))
        .raw(format.key("high_price", "hp"), Streamed(day.high.raw()))
        .raw(format.key("low_price", "lp"), Streamed(day.low.raw()))
        .raw(format.key("trade_price", "tp"), Streamed(ticker.last.price.raw()))
        .raw(format.key("prev_closing_price", "pcp"), Streamed(day.open.raw()))
        .raw(format.key("acc_trade_price", "atp"), Streamed(wide(day.value)))
        .text(format.key("change", "c"), ticker.name)
        .raw(format.key("change_price", "cp"), Streamed(ticker.difference.abs()))
        .raw(format.key("signed_change_price", "scp"), Streamed(ticker.difference))
        .raw(format.key("change_rate", "cr"), ticker.rate.abs())
        .raw(format.key("signed_change_rate", "scr"), ticker.rate)
        .text(format.key("ask_bid", "ab"), taker(ticker.last.taker))
        .raw(format.key("trade_volume", "tv"), Streamed(ticker.last.qty.raw()))
        .raw(format.key("acc_trade_volume", "atv"), Streamed(wide(day.volume)))
        .text(format.key("trade_date", "tdt"), &civil.date_digits())
        .text(format.key("trade_time", "ttm"), &civil.time_digits())
        .raw(format.key("trade_timestamp", "ttms"), ms(ticker.last.ts))
        .raw(format.key("highest_52_week_price", "h52wp"), Streamed(day.high.raw()))
        .text(format.key("highest_52_week_date", "h52wdt"), &civil.date())
        .raw(format.key("lowest_52_week_price", "l52wp"), Streamed(day.low.raw()))
        .text(format.key("lowest_52_week_date", "l52wdt"), &civil.date())
        .text(format.key("market_state", "ms"), "ACTIVE")
        .raw(format.key("is_trading_suspended", "its"), false)
        .raw(format.key("delisting_date", "dd"), "null")
        .text(format.key("market_warning", "mw"), "NONE")
        .raw(format.key("timestamp", "tms"), ms(sent.max(ticker.last.ts)))
        .raw(format.key("acc_trade_price_24h", "atp24h"), Streamed(wide(day.value)))
        .raw(format.key("acc_trade_volume_24h", "atv24h"), Streamed(wide(day.volume)))
        .text(format.key("stream_type", "st"), stream_type.name());
    Some(format.wrap(object.end()))
}

/// An element of `GET /v1/candles/minutes/N`.
pub fn candle_rest(code: &str, candle: &Candle, minutes: i64) -> String {
    let start = TimestampNs(candle.minute * 60_000_000_000);
    let (utc, kst) = (Civil::utc(start), Civil::kst(start));
    let mut object = Object::new();
    object
        .text("market", code)
        .text("candle_date_time_utc", &format!("{}T{}", utc.date(), utc.time()))
        .text("candle_date_time_kst", &format!("{}T{}", kst.date(), kst.time()))
        .raw("opening_price", Plain(candle.open.raw()))
        .raw("high_price", Plain(candle.high.raw()))
        .raw("low_price", Plain(candle.low.raw()))
        .raw("trade_price", Plain(candle.close.raw()))
        .raw("timestamp", ms(candle.last))
        .raw("candle_acc_trade_price", Plain(wide(candle.value)))
        .raw("candle_acc_trade_volume", Plain(wide(candle.volume)))
        .raw("unit", minutes);
    object.end()
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

    fn view() -> BookView {
        BookView {
            last_id: 7,
            ts: TimestampNs(1_700_000_000_123_456_789),
            bids: vec![level("99", "1"), level("98.5", "2"), level("97", "0.0001")],
            asks: vec![level("100.5", "3"), level("101", "4")],
        }
    }

    #[test]
    fn a_book_is_spelled_four_ways() {
        let spell = |format| orderbook_stream("KRW-XYZ", &view(), 0, 30, format, StreamType::Realtime);
        assert_eq!(
            spell(Format::Default),
            r#"{"type":"orderbook","code":"KRW-XYZ","timestamp":1700000000123,"total_ask_size":7.0,"total_bid_size":3.0001,"orderbook_units":[{"ask_price":100.5,"bid_price":99.0,"ask_size":3.0,"bid_size":1.0},{"ask_price":101.0,"bid_price":98.5,"ask_size":4.0,"bid_size":2.0},{"ask_price":0.0,"bid_price":97.0,"ask_size":0.0,"bid_size":1.0E-4}],"stream_type":"REALTIME","level":0.0}"#
        );
        let simple = spell(Format::Simple);
        assert!(
            simple.starts_with(r#"{"ty":"orderbook","cd":"KRW-XYZ","tms":1700000000123,"tas":7.0,"#),
            "{simple}"
        );
        assert_eq!(spell(Format::SimpleList), format!("[{simple}]"));
        assert!(spell(Format::JsonList).starts_with(r#"[{"type":"orderbook""#));
        let rest = orderbook_rest("KRW-XYZ", &view(), 0, 1);
        assert_eq!(
            rest,
            r#"{"market":"KRW-XYZ","timestamp":1700000000123,"total_ask_size":3,"total_bid_size":1,"orderbook_units":[{"ask_price":100.5,"bid_price":99,"ask_size":3,"bid_size":1}],"level":0}"#
        );
    }

    #[test]
    fn groups_never_promise_a_better_price() {
        let view = view();
        let step = Price::parse("2").unwrap().raw();
        assert_eq!(
            grouped(&view.bids, Side::Buy, step, 30),
            [level("98", "3"), level("96", "0.0001")]
        );
        assert_eq!(grouped(&view.asks, Side::Sell, step, 30), [level("102", "7")]);
        assert_eq!(grouped(&view.bids, Side::Buy, step, 1), [level("98", "3")]);
        assert_eq!(
            grouped(&view.bids, Side::Buy, Price::parse("100").unwrap().raw(), 9),
            []
        );
    }
}
