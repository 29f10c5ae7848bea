//! A stream of inputs as two venues send them: made once, in memory, with ids that continue and books that never cross.
//!
//! Of 20 frames: 7 Upbit books of 30 levels (2.9 KB), 2 Upbit trades, 7 Binance diffs of 20 changes (0.9 KB), 4 Binance
//! trades; over `markets` markets a venue, one frame every `every_ns`.

use std::fmt::Write as _;

use bytes::Bytes;
use crossbook_engine::units::TimestampNs;
use crossbook_feed::clock::Stamp;
use crossbook_feed::input::{Answer, Body, ConnId, Input, LinkEvent, Request, VenueIx};
use crossbook_feed::venue::VenueConfig;

pub const UPBIT: VenueIx = VenueIx(0);
pub const BINANCE: VenueIx = VenueIx(1);

const WALL_NS: i64 = 1_760_000_000_000_000_000;

/// Venues and markets of the stream.
pub fn venues(markets: usize) -> Vec<(VenueConfig, Vec<String>)> {
    let venue = |text: &str| toml::from_str::<VenueConfig>(text).expect("a venue file");
    let names = |name: &dyn Fn(usize) -> String| (0..markets).map(name).collect();
    vec![
        (
            venue("name = 'upbit'\nprotocol = 'upbit'"),
            names(&|at| format!("KRW-C{at:02}")),
        ),
        (
            venue("name = 'binance'\nprotocol = 'binance-spot'"),
            names(&|at| format!("C{at:02}USDT")),
        ),
    ]
}

/// Connections and snapshots: after these every Binance book is live.
pub fn opening(markets: usize) -> Vec<Input> {
    let mut inputs = Vec::new();
    for venue in [UPBIT, BINANCE] {
        for event in [LinkEvent::Open { takes_over: None }, LinkEvent::Live] {
            let conn = ConnId(u32::from(venue.0) + 1);
            inputs.push(input(0, venue, Body::Link { conn, event }));
        }
    }
    for (_, symbols) in &venues(markets)[1..] {
        for symbol in symbols {
            let levels = |sign: i64| -> String {
                let level = |at: i64| {
                    let cents = 10_000_000 + sign * (at * 10 + 5);
                    format!(r#"["{}.{:02}000000","{}.50000000"]"#, cents / 100, cents % 100, at + 1)
                };
                (0..1_000).map(level).collect::<Vec<_>>().join(",")
            };
            let text = format!(
                r#"{{"lastUpdateId":1000,"bids":[{}],"asks":[{}]}}"#,
                levels(-1),
                levels(1)
            );
            let outcome = Ok(Answer {
                status: 200,
                bytes: Bytes::from(text),
            });
            let request = Request::Books(vec![symbol.clone()]);
            inputs.push(input(0, BINANCE, Body::Answer { request, outcome }));
        }
    }
    inputs
}

/// The stream.
pub fn frames(count: usize, markets: usize, every_ns: i64) -> Vec<Input> {
    let mut random = Random(42);
    let mut ids = vec![1_000u64; markets];
    let mut inputs = Vec::with_capacity(count);
    for at in 0..count {
        let mono_ns = 1_000_000 + at as i64 * every_ns;
        let market = random.below(markets as u64) as usize;
        // Stamped by the venue 4 ms before.
        let ms = (WALL_NS + mono_ns) / 1_000_000 - 4;
        let (venue, text) = match at % 20 {
            0..7 => (UPBIT, upbit_book(&mut random, market, ms)),
            7..9 => (UPBIT, upbit_trade(&mut random, market, ms, at)),
            9..16 => (BINANCE, binance_diff(&mut random, market, ms, &mut ids[market])),
            _ => (BINANCE, binance_trade(&mut random, market, ms, at)),
        };
        let body = Body::Frame {
            conn: ConnId(u32::from(venue.0) + 1),
            binary: venue == UPBIT,
            bytes: Bytes::from(text),
        };
        inputs.push(input(mono_ns, venue, body));
    }
    inputs
}

fn input(mono_ns: i64, venue: VenueIx, body: Body) -> Input {
    let stamp = Stamp {
        mono_ns,
        ts: TimestampNs(WALL_NS + mono_ns),
    };
    Input { stamp, venue, body }
}

fn upbit_book(random: &mut Random, market: usize, ms: i64) -> String {
    let mid = 100_000_000 + random.below(100_000) as i64 * 1_000;
    let mut text = format!(
        r#"{{"type":"orderbook","code":"KRW-C{market:02}","timestamp":{ms},"total_ask_size":12.61405273,"total_bid_size":9.40385611,"orderbook_units":["#
    );
    for level in 0..30 {
        let comma = if level == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"ask_price":{}.0,"bid_price":{}.0,"ask_size":0.{:08},"bid_size":0.{:08}}}"#,
            mid + 1_000 * (level + 1),
            mid - 1_000 * level,
            1 + random.below(99_999_999),
            1 + random.below(99_999_999)
        );
    }
    text.push_str(r#"],"stream_type":"REALTIME","level":0}"#);
    text
}

fn upbit_trade(random: &mut Random, market: usize, ms: i64, at: usize) -> String {
    let price = 100_000_000 + random.below(100_000) as i64 * 1_000;
    format!(
        r#"{{"type":"trade","code":"KRW-C{market:02}","timestamp":{ms},"trade_date":"2025-10-09","trade_time":"08:53:20","trade_timestamp":{ms},"trade_price":{price}.0,"trade_volume":0.{:08},"ask_bid":"BID","prev_closing_price":100000000.0,"change":"RISE","change_price":1000.0,"sequential_id":{},"best_ask_price":{price},"best_ask_size":0.1,"best_bid_price":{price},"best_bid_size":0.2,"stream_type":"REALTIME"}}"#,
        1 + random.below(99_999_999),
        17_600_000_000_000_000u64 + at as u64
    )
}

/// Quantities change near the best prices, which themselves stay.
fn binance_diff(random: &mut Random, market: usize, ms: i64, id: &mut u64) -> String {
    let first = *id + 1;
    *id += 25;
    let mut text = format!(
        r#"{{"stream":"c{market:02}usdt@depth@100ms","data":{{"e":"depthUpdate","E":{ms},"s":"C{market:02}USDT","U":{first},"u":{id},"#
    );
    for (name, sign) in [("b", -1), ("a", 1)] {
        let _ = write!(text, r#""{name}":["#);
        for level in 0..10 {
            let comma = if level == 0 { "" } else { "," };
            let at = random.below(60) as i64;
            let cents = 10_000_000 + sign * (at * 10 + 5);
            // Every fifth change beyond the first levels takes a level away.
            let qty = if at > 10 && random.below(5) == 0 {
                0
            } else {
                1 + random.below(99)
            };
            let _ = write!(
                text,
                r#"{comma}["{}.{:02}000000","{qty}.00000000"]"#,
                cents / 100,
                cents % 100
            );
        }
        text.push_str(if sign < 0 { "]," } else { "]}}" });
    }
    text
}

fn binance_trade(random: &mut Random, market: usize, ms: i64, at: usize) -> String {
    format!(
        r#"{{"stream":"c{market:02}usdt@trade","data":{{"e":"trade","E":{ms},"s":"C{market:02}USDT","t":{at},"p":"100000.05000000","q":"0.{:08}","T":{ms},"m":{},"M":true}}}}"#,
        1 + random.below(99_999_999),
        random.below(2) == 0
    )
}

/// Numbers that look random, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
