//! A deterministic two-venue L2 feed for benches and tests: a KRW book as whole 20+20-level snapshots, a USDT book as
//! level diffs, and a rate a second. Integers only, from one SplitMix64 stream, so that any language can repeat it.

use std::sync::Arc;

use crossbook_engine::event::{Chunk, EventKind, Level};
use crossbook_engine::units::{FxRate, Price, Qty, TimestampNs};

const T0: i64 = 1_700_000_000_000_000_000;
const LEVELS: i64 = 20;
const GAP: i64 = 5;
/// Delay from venue to receiver in ns: the KRW venue, the USDT venue, the rate.
const DELAYS: [i64; 3] = [8_000_000, 40_000_000, 50_000_000];
/// Steps in 1e-8: 1000 KRW, 0.1 USDT, 0.01 KRW per USD; lot 0.001.
const TICKS: [i64; 3] = [100_000_000_000, 10_000_000, 1_000_000];
const LOT: i64 = 100_000;

struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 33) as i64 % n
    }
}

/// One stream being written.
struct Writer {
    venue: usize,
    chunks: Vec<Arc<Chunk>>,
    chunk: Chunk,
    bids: Vec<Level>,
    asks: Vec<Level>,
    rows: i64,
}

/// Messages in a chunk.
const CHUNK: usize = 1 << 15;

impl Writer {
    fn new(venue: usize) -> Writer {
        Writer {
            venue,
            chunks: Vec::new(),
            chunk: Chunk::default(),
            bids: Vec::new(),
            asks: Vec::new(),
            rows: 0,
        }
    }

    fn level(&mut self, bid: bool, ticks: i64, lots: i64) {
        let level = Level {
            price: Price::from_raw(ticks * TICKS[self.venue]).expect("positive by construction"),
            qty: Qty::from_raw(lots * LOT).expect("not negative by construction"),
        };
        if bid {
            self.bids.push(level)
        } else {
            self.asks.push(level)
        }
        self.rows += 1;
    }

    fn book(&mut self, ts: i64, snapshot: bool) {
        let (bids, asks) = (std::mem::take(&mut self.bids), std::mem::take(&mut self.asks));
        let kind = if snapshot {
            EventKind::Snapshot {
                bids: &bids,
                asks: &asks,
                complete: true,
            }
        } else {
            EventKind::Update {
                bids: &bids,
                asks: &asks,
            }
        };
        self.push(ts, kind);
        (self.bids, self.asks) = (bids, asks);
        self.bids.clear();
        self.asks.clear();
    }

    fn push(&mut self, ts: i64, kind: EventKind<'_>) {
        self.chunk
            .push(TimestampNs(ts), TimestampNs(ts + DELAYS[self.venue]), kind)
            .expect("small");
        if self.chunk.len() == CHUNK {
            self.chunks.push(Arc::new(std::mem::take(&mut self.chunk)));
        }
    }

    fn finish(mut self) -> Vec<Arc<Chunk>> {
        self.chunks.push(Arc::new(self.chunk));
        self.chunks
    }
}

/// The feed: streams of the KRW book, the USDT book and the rate, with about this many rows on each book.
pub fn feed(rows_per_venue: i64, seed: u64) -> [Vec<Arc<Chunk>>; 3] {
    let mut s = SplitMix(seed);
    let (mut a, mut b, mut fx) = (Writer::new(0), Writer::new(1), Writer::new(2));
    let (mut t, mut c, mut rate, mut premium, mut step) = (T0, 200_000i64, 140_000i64, 10_000i64, 0i64);
    let mut next_second = T0 + 1_000_000_000;
    let push_rate = |fx: &mut Writer, t: i64, rate: i64| {
        fx.push(
            t,
            EventKind::Fx(FxRate::from_raw(rate * TICKS[2]).expect("positive by construction")),
        );
    };
    push_rate(&mut fx, t, rate);
    for k in 0..LEVELS {
        let lots = 1 + s.below(5000);
        b.level(true, (c - k) * GAP, lots);
    }
    for k in 0..LEVELS {
        let lots = 1 + s.below(5000);
        b.level(false, (c + 1 + k) * GAP, lots);
    }
    b.book(t, true);
    while b.rows < rows_per_venue {
        step += 1;
        t += 5_000_000 + s.below(10_000_001);
        let r = s.below(10);
        premium += s.below(191) - 95;
        if step % 60 == 0 {
            premium -= (premium - 10_000).div_euclid(100);
        }
        if t >= next_second {
            next_second += 1_000_000_000;
            rate += s.below(21) - 10;
            push_rate(&mut fx, t, rate);
        }
        let extra = if r < 2 {
            b.level(false, (c + 1) * GAP, 0);
            let lots = 1 + s.below(5000);
            b.level(true, (c + 1) * GAP, lots);
            b.level(true, (c - 19) * GAP, 0);
            let lots = 1 + s.below(5000);
            b.level(false, (c + 21) * GAP, lots);
            c += 1;
            s.below(3)
        } else if r < 4 {
            b.level(true, c * GAP, 0);
            let lots = 1 + s.below(5000);
            b.level(false, c * GAP, lots);
            b.level(false, (c + 20) * GAP, 0);
            let lots = 1 + s.below(5000);
            b.level(true, (c - 20) * GAP, lots);
            c -= 1;
            s.below(3)
        } else {
            1 + s.below(5)
        };
        for _ in 0..extra {
            let bid = s.below(2) == 0;
            let k = s.below(LEVELS);
            let lots = 1 + s.below(5000);
            b.level(bid, if bid { (c - k) * GAP } else { (c + 1 + k) * GAP }, lots);
        }
        b.book(t, false);
        if b.rows - a.rows >= 2 * LEVELS {
            let mid = (2 * c + 1) * GAP * rate * (1_000_000 + premium) / 2_000_000_000_000;
            for k in 0..LEVELS {
                let lots = 1 + s.below(3000);
                a.level(true, mid - k, lots);
            }
            for k in 0..LEVELS {
                let lots = 1 + s.below(3000);
                a.level(false, mid + 1 + k, lots);
            }
            a.book(t, true);
        }
    }
    [a.finish(), b.finish(), fx.finish()]
}

/// The same feed as top-of-book events: each book message becomes its best bid and ask, and every one of them wakes the
/// engine.
#[allow(dead_code)] // not every user of this file asks for it
pub fn tops(streams: &[Vec<Arc<Chunk>>; 3]) -> [Vec<Arc<Chunk>>; 3] {
    streams.clone().map(|chunks| {
        let mut book = crossbook_engine::book::Book::default();
        let mut of_best = |chunk: &Arc<Chunk>| {
            let mut best = Chunk::with_capacity(chunk.len(), 2 * chunk.len());
            for (index, header) in chunk.headers().iter().enumerate() {
                let event = chunk.event(index);
                book.apply(header.ts_event, header.ts_recv, &event);
                let kind = match (event, book.top()) {
                    (EventKind::Fx(rate), _) => EventKind::Fx(rate),
                    (_, Ok((bid, ask))) => {
                        let kind = EventKind::Snapshot {
                            bids: &[bid],
                            asks: &[ask],
                            complete: false,
                        };
                        best.push(header.ts_event, header.ts_recv, kind).expect("small");
                        continue;
                    }
                    (_, Err(_)) => continue,
                };
                best.push(header.ts_event, header.ts_recv, kind).expect("small");
            }
            Arc::new(best)
        };
        chunks.iter().map(&mut of_best).collect()
    })
}
