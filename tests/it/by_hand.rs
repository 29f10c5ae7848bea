//! A small market made by hand: every price and time is known, so a fault can be put exactly where a trade would be.
//!
//! Ten ticks a second; B stands still at 100,000 USDT, the rate at 1400; A jumps between a premium of nothing and of 100 bps,
//! ten seconds each. A strategy that waits for zero enters at each rise and leaves at each fall.

use std::path::Path;

use crossbook::dataset::manifest::{DatasetKind, Draft};
use crossbook::dataset::message::Message;
use crossbook::dataset::writer::Writer;
use crossbook::report::Run;
use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::event::{Kind, Level};
use crossbook_engine::units::{FxRate, Price, Qty, TimestampNs};

use super::lab;

pub const MS: i64 = 1_000_000;
pub const SECOND: i64 = 1_000 * MS;
/// 2026-03-02T00:00:00Z.
pub const START: i64 = 1_772_409_600 * SECOND;
/// Between two messages of a book.
pub const TICK: i64 = 100 * MS;
/// From a venue to us.
pub const DELAY: i64 = 5 * MS;
/// How long the premium stays.
pub const PHASE: i64 = 10 * SECOND;

/// Its scenario: the costs of [`lab::SCENARIO`], short delays.
pub const SCENARIO: &str = r#"
name = "hand"
seed = 1
base_currency = "KRW"
datasets = ["a", "b", "rate"]

[venues.upbit]
kind = "spot"
taker_fee_bps = 5.0
order_latency = { model = "constant", ms = 10 }
report_latency = { model = "constant", ms = 10 }
balances = { KRW = "50000000", BTC = "0.5" }

[venues.binance]
kind = "spot"
taker_fee_bps = 10.0
order_latency = { model = "constant", ms = 10 }
report_latency = { model = "constant", ms = 10 }
balances = { USDT = "35000", BTC = "0.5" }

[fx]
source = "rate"
max_age_ms = 3000
band = ["1000", "2000"]

[[routes]]
a = "upbit:KRW-BTC"
b = "binance:BTCUSDT"

[strategy]
fair_premium = { model = "zero" }
entry_bps = 20.0
exit_bps = 10.0
size = { notional = "1000000", currency = "KRW" }

[risk.venue]
max_book_age_ms = 1000
"#;

/// Three streams.
#[derive(Clone)]
pub struct Market {
    /// Whole books in KRW, without numbers.
    pub a: Vec<Message>,
    /// A snapshot every ten seconds and numbered changes in between, in USDT.
    pub b: Vec<Message>,
    /// KRW per USDT, once a second.
    pub rate: Vec<Message>,
}

fn level(price: i64, qty: &str) -> Level {
    Level {
        price: Price::from_raw(price * 100_000_000).unwrap(),
        qty: Qty::parse(qty).unwrap(),
    }
}

fn book(kind: Kind, at: i64, mid: i64, step: i64) -> Message {
    let mut message = Message::new(kind, TimestampNs(at), TimestampNs(at + DELAY));
    message.bids = (1..=3).map(|k| level(mid - k * step, "0.2")).collect();
    message.asks = (1..=3).map(|k| level(mid + k * step, "0.2")).collect();
    message
}

/// What A costs at this nanosecond after the start, in KRW.
pub fn mid_a(since: i64) -> i64 {
    match since / PHASE % 2 {
        0 => 140_000_000,
        _ => 141_400_000,
    }
}

impl Market {
    /// The market over so many seconds from [`START`].
    pub fn new(seconds: i64) -> Market {
        Market::at(START, seconds)
    }

    /// The market over so many seconds from this instant.
    pub fn at(start: i64, seconds: i64) -> Market {
        let mut market = Market {
            a: Vec::new(),
            b: Vec::new(),
            rate: Vec::new(),
        };
        for tick in 0..seconds * SECOND / TICK {
            let at = start + tick * TICK;
            market.a.push(book(Kind::Snapshot, at, mid_a(at - start), 10_000));
            let number = 1_000 + 2 * tick as u64;
            if tick % 100 == 0 {
                let mut snapshot = book(Kind::Snapshot, at, 100_000, 5);
                snapshot.seq_last = Some(number);
                market.b.push(snapshot);
            } else {
                let mut change = Message::new(Kind::Update, TimestampNs(at), TimestampNs(at + DELAY));
                let qty = if tick % 2 == 0 { "0.2" } else { "0.25" };
                change.bids.push(level(99_995, qty));
                change.asks.push(level(100_005, qty));
                (change.seq_first, change.seq_last) = (Some(number - 1), Some(number));
                market.b.push(change);
            }
            if tick % 10 == 0 {
                let rate = FxRate::parse("1400").unwrap();
                market
                    .rate
                    .push(Message::fx(TimestampNs(at), TimestampNs(at + DELAY), rate));
            }
        }
        market
    }

    /// Writes it as the datasets `a`, `b` and `rate`.
    pub fn write(&self, root: &Path) {
        let mut a = Draft::new("a", "upbit", "KRW-BTC", DatasetKind::Book, "BTC", "KRW");
        a.sequence = SequenceRule::UpbitTimestamp;
        let mut b = Draft::new("b", "binance", "BTCUSDT", DatasetKind::Book, "BTC", "USDT");
        b.sequence = SequenceRule::BinanceSpot;
        let rate = Draft::new("rate", "test", "USDT/KRW", DatasetKind::Fx, "USDT", "KRW");
        for (draft, messages) in [(a, &self.a), (b, &self.b), (rate, &self.rate)] {
            let mut writer = Writer::create(&root.join(&draft.name), draft, true).unwrap();
            messages.iter().for_each(|message| writer.push(message).unwrap());
            writer.finish().unwrap();
        }
    }

    /// What [`SCENARIO`] with these overrides makes of it.
    pub fn run(&self, sets: &[&str]) -> Run {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        lab::run_scenario(folder.path(), SCENARIO, sets).unwrap()
    }
}

/// When orders were sent, in nanoseconds after the market's start, earliest first.
pub fn sent(run: &Run, start: i64) -> Vec<i64> {
    let mut times: Vec<i64> = run
        .rows
        .orders
        .iter()
        .map(|record| record.order.ts_sent.0 - start)
        .collect();
    times.sort_unstable();
    times
}
