//! What every test here checks after every input, whatever else it is about: a book that is not live prices nothing, the
//! engine's book is the pipeline's, no clock goes back, and every frame is accounted for.

mod clocks;
mod diffs;
mod model;
mod repeat;
mod switching;
mod upbit;

use bytes::Bytes;
use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::units::TimestampNs;

use super::*;
use crate::book::{Cause, Gap, Health, MarketIx, Output};
use crate::clock::Stamp;
use crate::error::FeedError;
use crate::input::{Answer, Body, Command, ConnId, Input, LinkEvent, Request, VenueIx, Via};
use crate::venue::VenueConfig;

pub(super) const UPBIT: VenueIx = VenueIx(0);
pub(super) const BINANCE: VenueIx = VenueIx(1);
pub(super) const KRW_BTC: MarketIx = MarketIx(0);
pub(super) const BTCUSDT: MarketIx = MarketIx(1);

/// Wall time at monotonic zero, in milliseconds.
pub(super) const WALL_MS: i64 = 1_760_000_000_000;

pub(super) fn venue(text: &str) -> VenueConfig {
    toml::from_str(text).expect("a venue file")
}

/// A market of Upbit and one of Binance spot.
pub(super) fn two_venues() -> Vec<(VenueConfig, Vec<String>)> {
    vec![
        (venue("name = 'upbit'\nprotocol = 'upbit'"), vec!["KRW-BTC".to_owned()]),
        (
            venue("name = 'binance'\nprotocol = 'binance-spot'"),
            vec!["BTCUSDT".to_owned()],
        ),
    ]
}

/// An event that was seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub market: MarketIx,
    pub stamp: Stamp,
    pub via: Via,
    pub ts_event: TimestampNs,
    pub last: Option<u64>,
    pub kind: String,
}

/// A pipeline, and all that came out of it.
pub(super) struct Run {
    pub pipeline: Pipeline,
    pub stamp: Stamp,
    pub events: Vec<Seen>,
    pub commands: Vec<Command>,
    pub gaps: Vec<Gap>,
    pub healths: Vec<(MarketIx, Health)>,
    pub flags: Vec<(Flag, bool)>,
    pub quarantined: Vec<Vec<u8>>,
    /// The engine's books, made from the events alone.
    pub mirror: Vec<Book>,
    /// The update id up to which each mirror has come.
    pub last: Vec<Option<u64>>,
    venues: usize,
}

impl Run {
    pub fn new(venues: &[(VenueConfig, Vec<String>)]) -> Run {
        let pipeline = Pipeline::new(venues, Options::default()).expect("a pipeline");
        let markets = pipeline.len();
        let mut run = Run {
            pipeline,
            stamp: stamp(0),
            events: Vec::new(),
            commands: Vec::new(),
            gaps: Vec::new(),
            healths: Vec::new(),
            flags: Vec::new(),
            quarantined: Vec::new(),
            mirror: vec![Book::default(); markets],
            last: vec![None; markets],
            venues: venues.len(),
        };
        run.input(VenueIx(0), Body::Tick);
        run
    }

    /// Time goes on to this many milliseconds; nobody tells the pipeline.
    pub fn at(&mut self, ms: i64) -> &mut Run {
        self.stamp = stamp(ms);
        self
    }

    pub fn input(&mut self, venue: VenueIx, body: Body) {
        let input = Input {
            stamp: self.stamp,
            venue,
            body,
        };
        self.take(|pipeline, out| pipeline.input(&input, out));
    }

    pub fn frame(&mut self, venue: VenueIx, conn: u32, text: &str) {
        let body = Body::Frame {
            conn: ConnId(conn),
            binary: venue == UPBIT,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        };
        self.input(venue, body);
    }

    pub fn link(&mut self, venue: VenueIx, conn: u32, event: LinkEvent) {
        self.input(
            venue,
            Body::Link {
                conn: ConnId(conn),
                event,
            },
        );
    }

    /// Opens a connection and calls it live.
    pub fn open(&mut self, venue: VenueIx, conn: u32, takes_over: Option<u32>) {
        let takes_over = takes_over.map(ConnId);
        self.link(venue, conn, LinkEvent::Open { takes_over });
        self.link(venue, conn, LinkEvent::Live);
    }

    pub fn lose(&mut self, venue: VenueIx, conn: u32) {
        let error = Some(FeedError::Connection("reset".to_owned()));
        self.link(venue, conn, LinkEvent::Closed { error });
    }

    pub fn answer(&mut self, venue: VenueIx, symbol: &str, status: u16, text: &str) {
        let outcome = Ok(Answer {
            status,
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        });
        self.outcome(venue, symbol, outcome);
    }

    pub fn outcome(&mut self, venue: VenueIx, symbol: &str, outcome: Result<Answer, FeedError>) {
        let request = Request::Books(vec![symbol.to_owned()]);
        self.input(venue, Body::Answer { request, outcome });
    }

    pub fn tick(&mut self) {
        let stamp = self.stamp;
        self.take(|pipeline, out| pipeline.tick(stamp, out));
    }

    pub fn finish(&mut self) {
        let stamp = self.stamp;
        self.take(|pipeline, out| pipeline.finish(stamp, out));
    }

    fn take(&mut self, call: impl FnOnce(&mut Pipeline, &mut crate::book::Out<'_>)) {
        let Run {
            pipeline,
            events,
            commands,
            gaps,
            healths,
            flags,
            quarantined,
            mirror,
            last,
            ..
        } = self;
        call(pipeline, &mut |output| match output {
            Output::Event(event) => {
                let at = usize::from(event.market.0);
                let before = events.last().map(|seen: &Seen| seen.stamp);
                assert!(
                    before.is_none_or(|before| before.ts <= event.stamp.ts && before.mono_ns <= event.stamp.mono_ns),
                    "time went back from {before:?} to {event:?}"
                );
                assert!(event.ts_event <= event.stamp.ts);
                let same = |seen: &&Seen| seen.market == event.market;
                if let Some(before) = events.iter().rev().find(same) {
                    assert!(before.ts_event <= event.ts_event);
                }
                mirror[at].apply(event.ts_event, event.stamp.ts, &event.kind);
                if !matches!(event.kind, crossbook_engine::event::EventKind::Trade { .. }) {
                    last[at] = event.ids.last.or(last[at]);
                }
                events.push(Seen {
                    market: event.market,
                    stamp: event.stamp,
                    via: event.via,
                    ts_event: event.ts_event,
                    last: event.ids.last,
                    kind: show(&event.kind),
                });
            }
            Output::Command(command) => commands.push(command),
            Output::Gap(gap) => gaps.push(gap),
            Output::Health(market, health) => healths.push((market, health)),
            Output::Flag { flag, on, .. } => flags.push((flag, on)),
            Output::Quarantined { bytes, .. } => quarantined.push(bytes.to_vec()),
        });
        self.check();
    }

    fn check(&self) {
        for (ix, market) in self.pipeline.markets() {
            let mirror = &self.mirror[usize::from(ix.0)];
            for side in [BookSide::Bid, BookSide::Ask] {
                assert!(mirror.levels(side).eq(market.book().levels(side)));
            }
            assert_eq!(mirror.top(), market.book().top());
            if !market.health().is_live() {
                assert!(
                    mirror.top().is_err(),
                    "{ix:?} is {:?} and can be priced",
                    market.health()
                );
            }
        }
        for venue in 0..self.venues {
            let account = self.pipeline.account(VenueIx(venue as u8)).expect("a venue");
            assert!(account.is_balanced(), "{account:?}");
        }
    }

    pub fn health(&self, market: MarketIx) -> Option<Cause> {
        self.pipeline.market(market).expect("a market").health().cause
    }

    pub fn counts(&self, market: MarketIx) -> crate::book::Counts {
        self.pipeline.market(market).expect("a market").counts()
    }

    /// Kinds of the events of a market, in short.
    pub fn kinds(&self, market: MarketIx) -> Vec<&str> {
        let of = self.events.iter().filter(|seen| seen.market == market);
        of.map(|seen| seen.kind.split(' ').next().unwrap_or("")).collect()
    }

    pub fn fetches(&self) -> usize {
        let fetch = |command: &&Command| matches!(command, Command::Fetch { .. });
        self.commands.iter().filter(fetch).count()
    }

    /// Best bid and ask as they may be priced, in whole units.
    pub fn top(&self, market: MarketIx) -> Option<(i64, i64)> {
        let (bid, ask) = self.mirror[usize::from(market.0)].top().ok()?;
        Some((bid.price.raw() / 100_000_000, ask.price.raw() / 100_000_000))
    }

    pub fn ignored(&self, venue: VenueIx, kind: &str) -> u64 {
        let account = self.pipeline.account(venue).expect("a venue");
        let found = account.ignored().find(|(name, _)| *name == kind);
        found.map_or(0, |(_, count)| count)
    }
}

pub(super) fn stamp(ms: i64) -> Stamp {
    Stamp {
        mono_ns: ms * 1_000_000,
        ts: TimestampNs((WALL_MS + ms) * 1_000_000),
    }
}

fn show(kind: &crossbook_engine::event::EventKind<'_>) -> String {
    use crossbook_engine::event::{EventKind, Level};
    let side = |levels: &[Level]| {
        let pairs = levels.iter().map(|level| format!("{}x{}", level.price, level.qty));
        pairs.collect::<Vec<_>>().join(",")
    };
    match kind {
        EventKind::Snapshot { bids, asks, .. } => format!("snapshot {}|{}", side(bids), side(asks)),
        EventKind::Update { bids, asks } => format!("update {}|{}", side(bids), side(asks)),
        EventKind::Trade { price, qty, taker } => format!("trade {price}x{qty} {taker:?}"),
        EventKind::Fx(rate) => format!("fx {rate}"),
        EventKind::Funding { rate, mark } => format!("funding {rate} {mark}"),
        EventKind::Status(status) => format!("{status:?}").to_lowercase(),
    }
}

/// An `orderbook` frame: units are (ask price, ask size, bid price, bid size).
pub(super) fn upbit_book(ms: i64, units: &[(i64, i64, i64, i64)]) -> String {
    let units: Vec<String> = units
        .iter()
        .map(|(ap, az, bp, bz)| format!(r#"{{"ask_price":{ap},"bid_price":{bp},"ask_size":{az},"bid_size":{bz}}}"#))
        .collect();
    format!(
        r#"{{"type":"orderbook","code":"KRW-BTC","timestamp":{},"total_ask_size":1,"total_bid_size":1,"orderbook_units":[{}],"stream_type":"REALTIME","level":0}}"#,
        WALL_MS + ms,
        units.join(",")
    )
}

/// The same as an answer.
pub(super) fn upbit_answer(ms: i64, units: &[(i64, i64, i64, i64)]) -> String {
    let frame = upbit_book(ms, units);
    format!("[{}]", frame.replace(r#""type":"orderbook","code""#, r#""market""#))
}

pub(super) fn upbit_trade(ms: i64, sid: u64) -> String {
    format!(
        r#"{{"type":"trade","code":"KRW-BTC","timestamp":{0},"trade_timestamp":{0},"trade_price":100,"trade_volume":1,"ask_bid":"BID","sequential_id":{sid},"stream_type":"REALTIME"}}"#,
        WALL_MS + ms
    )
}

pub(super) fn pairs(levels: &[(i64, i64)]) -> String {
    let pairs = levels.iter().map(|(price, qty)| format!(r#"["{price}.00","{qty}.0"]"#));
    format!("[{}]", pairs.collect::<Vec<_>>().join(","))
}

pub(super) fn diff(ms: i64, first: u64, last: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> String {
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"BTCUSDT","U":{first},"u":{last},"b":{},"a":{}}}}}"#,
        WALL_MS + ms,
        pairs(bids),
        pairs(asks)
    )
}

pub(super) fn depth(last: u64, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> String {
    format!(
        r#"{{"lastUpdateId":{last},"bids":{},"asks":{}}}"#,
        pairs(bids),
        pairs(asks)
    )
}
