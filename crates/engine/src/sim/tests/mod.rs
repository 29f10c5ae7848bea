//! A small market to test in: streams written by hand, a feed over them, and a loop like the engine's.

mod latency;
mod maker;
mod properties;
mod rejects;
mod taker;

use super::*;
use crate::event::{Chunk, FeedStatus, Level};
use crate::instrument::{RouteId, Side, TickRule, VenueKind};
use crate::ledger::Ledger;
use crate::order::{Leg, OrderType, Role};
use crate::units::{Bps, Qty};

const BASE: CurrencyId = CurrencyId(0);
const QUOTE: CurrencyId = CurrencyId(1);
const BNB: CurrencyId = CurrencyId(2);
const VENUE: VenueId = VenueId(0);
const X: InstrumentId = InstrumentId(0);
const MS: i64 = 1_000_000;

fn at_ms(ms: i64) -> TimestampNs {
    TimestampNs(ms * MS)
}

fn money(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

fn qty(text: &str) -> Qty {
    Qty::parse(text).unwrap()
}

/// `"101x1 102x1"`: levels, best first.
fn levels(text: &str) -> Vec<Level> {
    let level = |part: &str| {
        let (at, size) = part.split_once('x').unwrap();
        Level {
            price: price(at),
            qty: qty(size),
        }
    };
    text.split_whitespace().map(level).collect()
}

/// A recorded stream, by event time; each message arrives 5 ms after.
#[derive(Default, Clone)]
struct Stream(Chunk);

const FEED_DELAY_MS: i64 = 5;

impl Stream {
    fn push(mut self, ms: i64, kind: EventKind<'_>) -> Stream {
        self.0.push(at_ms(ms), at_ms(ms + FEED_DELAY_MS), kind).unwrap();
        self
    }

    fn snapshot(self, ms: i64, bids: &str, asks: &str) -> Stream {
        let (bids, asks) = (levels(bids), levels(asks));
        self.push(
            ms,
            EventKind::Snapshot {
                bids: &bids,
                asks: &asks,
                complete: true,
            },
        )
    }

    fn top_of(self, ms: i64, bids: &str, asks: &str) -> Stream {
        let (bids, asks) = (levels(bids), levels(asks));
        self.push(
            ms,
            EventKind::Snapshot {
                bids: &bids,
                asks: &asks,
                complete: false,
            },
        )
    }

    fn update(self, ms: i64, bids: &str, asks: &str) -> Stream {
        let (bids, asks) = (levels(bids), levels(asks));
        self.push(
            ms,
            EventKind::Update {
                bids: &bids,
                asks: &asks,
            },
        )
    }

    fn trade(self, ms: i64, taker: Side, at: &str, size: &str) -> Stream {
        self.push(
            ms,
            EventKind::Trade {
                price: price(at),
                qty: qty(size),
                taker,
            },
        )
    }

    fn status(self, ms: i64, status: FeedStatus) -> Stream {
        self.push(ms, EventKind::Status(status))
    }
}

/// Reads ahead in the streams, as replay does.
struct TestFeed {
    streams: Vec<Stream>,
    now: TimestampNs,
    cursors: Vec<Option<usize>>,
}

impl TestFeed {
    fn received(&self, instrument: InstrumentId) -> usize {
        let headers = self.streams[instrument.index()].0.headers();
        headers.partition_point(|header| header.ts_recv <= self.now)
    }
}

impl VenueFeed for TestFeed {
    fn restart(&mut self, instrument: InstrumentId, book: &mut Book) {
        let received = self.received(instrument);
        let chunk = &self.streams[instrument.index()].0;
        book.copy_from(&Book::default());
        for (index, header) in chunk.headers()[..received].iter().enumerate() {
            book.apply(header.ts_event, header.ts_recv, &chunk.event(index));
        }
        self.cursors[instrument.index()] = Some(received);
    }

    fn release(&mut self, instrument: InstrumentId) {
        self.cursors[instrument.index()] = None;
    }

    fn delay_ns(&self, instrument: InstrumentId) -> i64 {
        let received = self.received(instrument);
        let headers = &self.streams[instrument.index()].0.headers()[..received];
        headers.last().map_or(0, |header| header.ts_recv.since(header.ts_event))
    }

    fn next_event(&mut self, instrument: InstrumentId) -> Option<TimestampNs> {
        let cursor = self.cursors[instrument.index()].expect("the cursor counts while the market is hot");
        let headers = self.streams[instrument.index()].0.headers();
        headers.get(cursor).map(|header| header.ts_event)
    }

    fn advance(
        &mut self,
        instrument: InstrumentId,
        until: TimestampNs,
        apply: &mut impl FnMut(TimestampNs, TimestampNs, &EventKind<'_>),
    ) {
        let cursor = self.cursors[instrument.index()].as_mut().expect("hot");
        let chunk = &self.streams[instrument.index()].0;
        while let Some(header) = chunk.headers().get(*cursor)
            && header.ts_event <= until
        {
            apply(header.ts_event, header.ts_recv, &chunk.event(*cursor));
            *cursor += 1;
        }
    }
}

/// What was reported, without the borrow.
#[derive(Debug, Clone, PartialEq)]
struct Heard {
    order: u64,
    status: OrderStatus,
    fills: Vec<(Price, Qty)>,
    ts_venue: TimestampNs,
    ts_report: TimestampNs,
}

struct World {
    sim: Sim,
    feed: TestFeed,
    ledger: Ledger,
    instruments: Vec<Instrument>,
    fills: Vec<Fill>,
    heard: Vec<Heard>,
    orders: u64,
}

fn venue(kind: VenueKind) -> VenueConfig {
    VenueConfig {
        kind,
        taker_fee: Bps::ZERO,
        maker_fee: Bps::ZERO,
        fee_rule: FeeRule::Quote,
        order_latency: Latency::Constant { ns: 10 * MS },
        report_latency: Latency::Constant { ns: 20 * MS },
        max_leverage: None,
        queue_model: QueueModel::RiskAdverse,
    }
}

fn instrument() -> Instrument {
    Instrument {
        venue: VENUE,
        symbol: "X".to_owned(),
        base: BASE,
        quote: QUOTE,
        tick: TickRule::Fixed(price("0.5")),
        lot: qty("0.001"),
        min_qty: qty("0.01"),
        min_notional: money("5"),
    }
}

fn config(kind: VenueKind) -> SimConfig {
    SimConfig {
        venues: vec![venue(kind)],
        instruments: vec![instrument()],
        currencies: 3,
        fill_model: FillModel::Walk,
        seed: 1,
    }
}

impl World {
    fn new(config: SimConfig, streams: Vec<Stream>, opening: &[(VenueId, CurrencyId, Amount)]) -> World {
        World {
            ledger: Ledger::new(config.venues.len(), config.currencies, opening).unwrap(),
            instruments: config.instruments.clone(),
            sim: Sim::new(config, opening).unwrap(),
            feed: TestFeed {
                cursors: vec![None; streams.len()],
                streams,
                now: TimestampNs::MIN,
            },
            fills: Vec::new(),
            heard: Vec::new(),
            orders: 0,
        }
    }

    /// One spot venue with 10,000 quote, 10 base and 1 BNB.
    fn spot(stream: Stream) -> World {
        World::rich(config(VenueKind::Spot), stream)
    }

    fn rich(config: SimConfig, stream: Stream) -> World {
        let opening = [
            (VENUE, QUOTE, money("10000")),
            (VENUE, BASE, money("10")),
            (VENUE, BNB, money("1")),
        ];
        World::new(config, vec![stream], &opening)
    }

    fn send_on(&mut self, instrument: InstrumentId, ms: i64, side: Side, size: &str, order_type: OrderType) -> OrderId {
        self.run(ms);
        self.orders += 1;
        let order = Order {
            id: OrderId(self.orders),
            route: RouteId(0),
            leg: Leg::A,
            role: Role::Entry,
            instrument,
            side,
            qty: qty(size),
            order_type,
            ts_sent: at_ms(ms),
            mid: price("1"),
        };
        self.sim.submit(&order, &mut self.feed);
        order.id
    }

    fn send(&mut self, ms: i64, side: Side, size: &str, order_type: OrderType) -> OrderId {
        self.send_on(X, ms, side, size, order_type)
    }

    fn cancel(&mut self, ms: i64, order: OrderId) {
        self.run(ms);
        self.sim.cancel(order, at_ms(ms));
    }

    /// Up to this time, as the engine does: at each instant at which something is due.
    fn run(&mut self, ms: i64) {
        self.run_to(at_ms(ms));
    }

    fn run_to(&mut self, now: TimestampNs) {
        while let Some(due) = self.sim.next_due()
            && due <= now
        {
            self.feed.now = due;
            let before = self.sim.next_due();
            while let Some(report) = self.sim.poll(due, &mut self.feed).unwrap() {
                assert!(report.ts_report <= due);
                for fill in report.fills {
                    let rules = &self.instruments[fill.instrument.index()];
                    self.ledger
                        .post_fill(rules.venue, fill, rules.base, rules.quote)
                        .unwrap();
                    self.fills.push(*fill);
                }
                self.heard.push(Heard {
                    order: report.order.0,
                    status: report.status,
                    fills: report.fills.iter().map(|fill| (fill.price, fill.qty)).collect(),
                    ts_venue: report.ts_venue,
                    ts_report: report.ts_report,
                });
            }
            assert!(
                self.sim.next_due() > before || self.sim.next_due().is_none(),
                "every poll gets on"
            );
        }
        self.feed.now = now;
        self.ledger.verify().unwrap();
    }

    /// Cash and coins, by the ledger; the venue must agree once all is heard.
    fn holds(&self) -> (Amount, Amount) {
        let ours = (self.ledger.balance(VENUE, QUOTE), self.ledger.balance(VENUE, BASE));
        if self.sim.is_idle() {
            assert_eq!(self.sim.balance(VENUE, QUOTE), ours.0);
            assert_eq!(self.sim.balance(VENUE, BASE), ours.1);
            assert_eq!(self.sim.balance(VENUE, BNB), self.ledger.balance(VENUE, BNB));
        }
        ours
    }

    fn statuses(&self) -> Vec<(u64, OrderStatus)> {
        self.heard.iter().map(|heard| (heard.order, heard.status)).collect()
    }
}
