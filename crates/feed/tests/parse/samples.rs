//! Frames as the venues send them, made up: prices and quantities move from frame to frame, books are never crossed.

use std::fmt::Write;

/// Numbers that look random and are the same every time.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Upbit's spelling of a quantity: a number without zeros at its end.
fn upbit_qty(numbers: &mut Numbers) -> String {
    let text = format!("{}.{:08}", numbers.below(30), 1 + numbers.below(99_999_999));
    text.trim_end_matches('0').to_owned()
}

/// Binance's spelling: eight decimals, always.
fn binance_qty(numbers: &mut Numbers) -> String {
    format!("{}.{:05}000", numbers.below(12), 1 + numbers.below(99_999))
}

/// `orderbook` of Upbit in the DEFAULT or the SIMPLE spelling; 30 levels of the former are 2.9 kB.
pub fn upbit_book(numbers: &mut Numbers, levels: u64, simple: bool) -> String {
    let middle = 158_000_000 + 1_000 * numbers.below(200);
    let mut units = String::new();
    for level in 0..levels {
        let (ask, bid) = (middle + 1_000 * (level + 1), middle - 1_000 * level);
        let (ask_size, bid_size) = (upbit_qty(numbers), upbit_qty(numbers));
        let comma = if level == 0 { "" } else { "," };
        let unit = if simple {
            format!(r#"{comma}{{"ap":{ask}.0,"bp":{bid}.0,"as":{ask_size},"bs":{bid_size}}}"#)
        } else {
            format!(r#"{comma}{{"ask_price":{ask},"bid_price":{bid},"ask_size":{ask_size},"bid_size":{bid_size}}}"#)
        };
        units.push_str(&unit);
    }
    let time = 1_786_310_800_000 + numbers.below(1_000_000);
    if simple {
        format!(
            r#"{{"ty":"orderbook","cd":"KRW-BTC","tms":{time},"tas":41.12345678,"tbs":39.87654321,"obu":[{units}],"st":"REALTIME","lv":0}}"#
        )
    } else {
        format!(
            r#"{{"type":"orderbook","code":"KRW-BTC","timestamp":{time},"total_ask_size":41.12345678,"total_bid_size":39.87654321,"orderbook_units":[{units}],"stream_type":"REALTIME","level":0}}"#
        )
    }
}

/// `trade` of Upbit in the DEFAULT spelling.
pub fn upbit_trade(numbers: &mut Numbers) -> String {
    let price = 158_000_000 + 1_000 * numbers.below(200);
    let side = if numbers.below(2) == 0 { "ASK" } else { "BID" };
    let (volume, time, id) = (
        upbit_qty(numbers),
        1_786_310_800_000 + numbers.below(1_000_000),
        numbers.below(100_000_000),
    );
    format!(
        r#"{{"type":"trade","code":"KRW-BTC","timestamp":{time},"trade_date":"2026-08-09","trade_time":"21:26:40","trade_timestamp":{time},"trade_price":{price}.0,"trade_volume":{volume},"ask_bid":"{side}","prev_closing_price":157000000.00000000,"change":"RISE","change_price":1000000.00000000,"sequential_id":178631080{id:08},"best_ask_price":{price},"best_ask_size":0.5,"best_bid_price":{price},"best_bid_size":0.25,"stream_type":"REALTIME"}}"#
    )
}

fn binance_side(numbers: &mut Numbers, middle: u64, levels: u64, bids: bool) -> String {
    let mut side = String::new();
    for level in 0..levels {
        let cents = if bids {
            middle - 1 - level * 3
        } else {
            middle + 1 + level * 3
        };
        let comma = if level == 0 { "" } else { "," };
        let _ = write!(
            side,
            r#"{comma}["{}.{:02}000000","{}"]"#,
            cents / 100,
            cents % 100,
            binance_qty(numbers)
        );
    }
    side
}

/// `@depth20@100ms` of Binance in its envelope: 1.3 kB.
pub fn binance_partial(numbers: &mut Numbers, levels: u64) -> String {
    let middle = 11_600_000 + numbers.below(10_000);
    let id = 50_093_239_218 + numbers.below(1 << 20);
    let (bids, asks) = (
        binance_side(numbers, middle, levels, true),
        binance_side(numbers, middle, levels, false),
    );
    format!(
        r#"{{"stream":"btcusdt@depth{levels}@100ms","data":{{"lastUpdateId":{id},"bids":[{bids}],"asks":[{asks}]}}}}"#
    )
}

/// `@depth@100ms` of Binance in its envelope, with numbers that continue from `first`.
pub fn binance_diff(numbers: &mut Numbers, first: u64, last: u64, levels: u64) -> String {
    let middle = 11_600_000;
    let (bids, asks) = (
        binance_side(numbers, middle, levels, true),
        binance_side(numbers, middle, levels, false),
    );
    let time = 1_786_310_800_000 + last;
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{time},"s":"BTCUSDT","U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}}}"#
    )
}

/// `@bookTicker` of Binance in its envelope.
pub fn binance_ticker(numbers: &mut Numbers) -> String {
    let (id, bid, ask) = (
        400_900_217 + numbers.below(1 << 20),
        binance_qty(numbers),
        binance_qty(numbers),
    );
    format!(
        r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{id},"s":"BTCUSDT","b":"116000.01000000","B":"{bid}","a":"116000.02000000","A":"{ask}"}}}}"#
    )
}

/// `@trade` of Binance in its envelope.
pub fn binance_trade(numbers: &mut Numbers) -> String {
    let (id, qty, sold) = (
        5_266_583_935 + numbers.below(1 << 20),
        binance_qty(numbers),
        numbers.below(2) == 0,
    );
    format!(
        r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1786310800123,"s":"BTCUSDT","t":{id},"p":"116000.01000000","q":"{qty}","T":1786310800122,"m":{sold},"M":true}}}}"#
    )
}
