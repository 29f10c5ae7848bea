//! A market that does what a recording says, at its own speed or another.
//!
//! It reads no file: whoever has the recording hands over its messages in order. What always holds: the first message
//! happens at the start, the distance between two is the recorded one over the speed, and time never goes back even
//! where a recording's does. Messages of markets that are not listed are passed over and counted.

use std::collections::BTreeMap;

use crossbook_engine::event::Level;
use crossbook_engine::units::TimestampNs;

use super::{Change, ChangeKind, Source, SourceError};
use crate::config::Listed;
use crate::exchange::Venue;

/// A message of a recording.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When it was recorded.
    pub ts: TimestampNs,
    /// Where.
    pub venue: Venue,
    /// In which market.
    pub symbol: String,
    /// What happened.
    pub kind: ChangeKind,
    /// Bids of a snapshot or an update.
    pub bids: Vec<Level>,
    /// Asks of a snapshot or an update.
    pub asks: Vec<Level>,
}

/// A recording as a source.
pub struct Recording<I> {
    messages: I,
    markets: BTreeMap<(Venue, String), usize>,
    start: TimestampNs,
    speed: f64,
    first: Option<TimestampNs>,
    last: TimestampNs,
    ahead: Option<Result<(usize, Recorded), SourceError>>,
    passed_over: u64,
}

impl<I: Iterator<Item = Result<Recorded, SourceError>> + Send> Recording<I> {
    /// A source over these messages, for the markets of an exchange that opens at `start`. `speed` 2 is twice as fast.
    pub fn new(messages: I, list: &[Listed], start: TimestampNs, speed: f64) -> Recording<I> {
        let markets = list.iter().zip(0..).map(|(listed, index)| {
            let info = &listed.info;
            ((info.venue, info.symbol.to_string()), index)
        });
        Recording {
            messages,
            markets: markets.collect(),
            start,
            speed,
            first: None,
            last: start,
            ahead: None,
            passed_over: 0,
        }
    }

    /// Messages of markets that are not listed.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    fn look_ahead(&mut self) {
        while self.ahead.is_none() {
            match self.messages.next() {
                None => return,
                Some(Err(error)) => self.ahead = Some(Err(error)),
                Some(Ok(message)) => match self.markets.get(&(message.venue, message.symbol.clone())) {
                    Some(&market) => {
                        self.first.get_or_insert(message.ts);
                        self.ahead = Some(Ok((market, message)));
                    }
                    None => self.passed_over += 1,
                },
            }
        }
    }

    fn when(&self, recorded: TimestampNs) -> TimestampNs {
        let since = recorded.since(self.first.unwrap_or(recorded)) as f64 / self.speed;
        self.start.plus(since as i64).max(self.last)
    }
}

impl<I: Iterator<Item = Result<Recorded, SourceError>> + Send> Source for Recording<I> {
    fn next_ts(&mut self) -> Option<TimestampNs> {
        self.look_ahead();
        match self.ahead.as_ref()? {
            Ok((_, message)) => Some(self.when(message.ts)),
            // To be told at once.
            Err(_) => Some(self.last),
        }
    }

    fn next(&mut self, change: &mut Change) -> Result<bool, SourceError> {
        self.look_ahead();
        let Some(ahead) = self.ahead.take() else {
            return Ok(false);
        };
        let (market, message) = ahead?;
        self.last = self.when(message.ts);
        *change = Change {
            ts: self.last,
            market,
            kind: message.kind,
            bids: message.bids,
            asks: message.asks,
        };
        Ok(true)
    }

    fn set_rate(&mut self, _market: usize, _factor: f64) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use crossbook_engine::units::{Price, Qty};

    use super::*;
    use crate::config::{Config, Markets, market_list};
    use crate::exchange::{Exchange, Notice, Parts};

    const START: TimestampNs = TimestampNs(1_790_000_000_000_000_000);
    const SECOND: i64 = 1_000_000_000;

    fn message(seconds: i64, symbol: &str, kind: ChangeKind, bid: &str) -> Recorded {
        let level = |price: &str| Level {
            price: Price::parse(price).unwrap(),
            qty: Qty::parse("1").unwrap(),
        };
        Recorded {
            ts: TimestampNs(seconds * SECOND),
            venue: Venue::Binance,
            symbol: symbol.to_owned(),
            kind,
            bids: vec![level(bid)],
            asks: vec![level("200")],
        }
    }

    fn config() -> Config {
        Config {
            markets: Markets::first(1),
            ..Config::default()
        }
    }

    #[test]
    fn a_recording_begins_at_the_start_and_runs_at_its_speed() {
        let messages = vec![
            message(900, "ETHUSDT", ChangeKind::Snapshot, "1"),
            message(1_000, "BTCUSDT", ChangeKind::Snapshot, "100"),
            message(1_004, "BTCUSDT", ChangeKind::Update, "101"),
            message(1_003, "BTCUSDT", ChangeKind::Update, "102"),
            message(1_010, "BTCUSDT", ChangeKind::Update, "103"),
        ];
        let list = market_list(&config()).unwrap();
        for (speed, want) in [(1.0, [0, 4_000, 4_000, 10_000]), (4.0, [0, 1_000, 1_000, 2_500])] {
            let mut source = Recording::new(messages.clone().into_iter().map(Ok), &list, START, speed);
            let mut times = Vec::new();
            let mut change = Change::default();
            while let Some(ts) = source.next_ts() {
                assert!(source.next(&mut change).unwrap() && change.ts == ts);
                times.push(ts.since(START) / 1_000_000);
            }
            assert_eq!((times, source.passed_over()), (want.to_vec(), 1), "speed {speed}");
        }
    }

    #[test]
    fn an_exchange_shows_what_was_recorded_and_stops_where_it_cannot_be_read() {
        let messages = vec![
            Ok(message(1_000, "BTCUSDT", ChangeKind::Snapshot, "100")),
            Ok(message(1_001, "BTCUSDT", ChangeKind::Update, "101")),
            Err(SourceError("row 3 is cut".to_owned())),
        ];
        let list = market_list(&config()).unwrap();
        let parts = Parts {
            source: Some(Box::new(Recording::new(messages.into_iter(), &list, START, 1.0))),
            ..Parts::default()
        };
        let mut exchange = Exchange::with(&config(), START, parts).unwrap();
        let mut out: Vec<Notice> = Vec::new();
        exchange.advance(START.plus(SECOND / 2), &mut out).unwrap();
        assert_eq!(exchange.book(Venue::Binance, "BTCUSDT", 9).unwrap().bids.len(), 1);
        let error = exchange
            .advance(START.plus(2 * SECOND), &mut out)
            .unwrap_err()
            .to_string();
        assert!(error.contains("row 3 is cut"), "{error}");
        assert_eq!(
            exchange.book(Venue::Binance, "BTCUSDT", 9).unwrap().bids.len(),
            2,
            "what came before is there"
        );
    }
}
