use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::book::BookSide;
use crate::order::Liquidity;

const Y: InstrumentId = InstrumentId(1);

/// A stream of everything: whole and partial snapshots, updates, trades, gaps and outages, with a delay that varies.
fn random_stream(rng: &mut Rng, messages: u64) -> Stream {
    let mut stream = Stream::default();
    let (mut event, mut received) = (0, 0);
    let mut middle = 200i64;
    for number in 0..messages {
        event += rng.below(12) as i64 * MS;
        received = received.max(event + rng.below(30) as i64 * MS);
        middle += rng.below(3) as i64 - 1;
        let mut side = |sign: i64, count: u64, emptied: bool| -> Vec<Level> {
            let level = |index: u64| Level {
                price: Price::from_raw((middle + sign * (1 + index as i64)) * 50_000_000).unwrap(),
                qty: Qty::from_raw((rng.below(if emptied { 4 } else { 3 }) as i64 + i64::from(!emptied)) * 20_000_000)
                    .unwrap(),
            };
            (0..count).map(level).collect()
        };
        let (bids, asks) = (side(-1, 6, false), side(1, 6, false));
        let (few_bids, few_asks) = (side(-1, 3, true), side(1, 3, true));
        let sides = [Side::Buy, Side::Sell];
        let kind = match rng.below(20) {
            0..6 => EventKind::Snapshot {
                bids: &bids,
                asks: &asks,
                complete: rng.below(2) == 0,
            },
            6..12 => EventKind::Update {
                bids: &few_bids,
                asks: &few_asks,
            },
            12..19 => {
                let taker = sides[rng.below(2) as usize];
                let levels = if taker == Side::Buy { &asks } else { &bids };
                let level = levels[rng.below(3) as usize];
                EventKind::Trade {
                    price: level.price,
                    qty: level.qty,
                    taker,
                }
            }
            _ => EventKind::Status(match rng.below(4) {
                0 => FeedStatus::Gap,
                1 => FeedStatus::Disconnected,
                2 => FeedStatus::Stale,
                _ => FeedStatus::Connected,
            }),
        };
        let first = EventKind::Snapshot {
            bids: &bids,
            asks: &asks,
            complete: true,
        };
        let kind = if number == 0 { first } else { kind };
        stream.0.push(TimestampNs(event), TimestampNs(received), kind).unwrap();
    }
    stream
}

/// A run of random orders and cancels over two random markets of one venue.
fn random_run(seed: u64, always_hot: bool) -> (World, Vec<Order>) {
    let mut rng = Rng::stream(seed, "test");
    let kind = [VenueKind::Spot, VenueKind::Perpetual][rng.below(2) as usize];
    let mut config = config(kind);
    config.seed = seed;
    let venue = &mut config.venues[0];
    venue.taker_fee = Bps::from_raw(rng.below(200_000) as i64);
    venue.maker_fee = Bps::from_raw(rng.below(200_000) as i64 - 50_000);
    if kind == VenueKind::Perpetual {
        venue.max_leverage = Some(1 + rng.below(3) as u32).filter(|_| rng.below(3) > 0);
    } else if rng.below(2) == 0 {
        venue.fee_rule = FeeRule::Received;
    }
    let log = Latency::LogNormal {
        median_ns: 8 * MS,
        sigma: 0.8,
    };
    let recorded = Latency::Recorded { multiple: 1.3 };
    let models = [
        Latency::Constant { ns: 0 },
        Latency::Constant { ns: 9 * MS },
        log,
        recorded,
    ];
    venue.order_latency = models[rng.below(4) as usize];
    venue.report_latency = models[rng.below(4) as usize];
    if rng.below(2) == 0 {
        venue.queue_model = QueueModel::Prob { exponent: 2.0 };
    }
    let mut second = instrument();
    second.base = CurrencyId(2);
    config.instruments.push(second);
    let streams = vec![random_stream(&mut rng, 300), random_stream(&mut rng, 200)];
    let opening = [(VENUE, QUOTE, money("150")), (VENUE, BASE, money("1"))];
    let opening = if kind == VenueKind::Spot {
        &opening[..]
    } else {
        &opening[..1]
    };
    let mut world = World::new(config, streams, opening);
    if always_hot {
        world.sim.always_hot = true;
        world.feed.now = at_ms(-1);
        for instrument in [X, Y] {
            world.sim.warm(instrument, at_ms(-1), &mut world.feed);
        }
        world.sim.refresh_due();
    }
    let (mut ms, mut orders) = (0, Vec::new());
    for _ in 0..60 {
        ms += rng.below(60) as i64;
        let instrument = if rng.below(3) == 0 { Y } else { X };
        let side = [Side::Buy, Side::Sell][rng.below(2) as usize];
        let limit = Price::from_raw((190 + rng.below(21) as i64) * 50_000_000).unwrap();
        let order_type = match rng.below(5) {
            0 => OrderType::Market,
            1 | 2 => OrderType::Limit(limit),
            _ => OrderType::PostOnly(limit),
        };
        let size = format!("0.{:03}", 1 + rng.below(999));
        let id = world.send_on(instrument, ms, side, &size, order_type);
        orders.push(Order {
            id,
            route: RouteId(0),
            leg: Leg::A,
            role: Role::Entry,
            instrument,
            side,
            qty: qty(&size),
            order_type,
            ts_sent: at_ms(ms),
            mid: price("1"),
        });
        if rng.below(2) == 0 {
            let earlier = OrderId(1 + rng.below(id.0));
            ms += rng.below(10) as i64;
            world.cancel(ms, earlier);
        }
    }
    world.run(20_000);
    for order in &orders {
        world.cancel(20_000, order.id);
    }
    world.run(40_000);
    (world, orders)
}

/// How many random runs each property sees; `CROSSBOOK_SEEDS` raises it.
fn cases() -> u32 {
    let asked = std::env::var("CROSSBOOK_SEEDS").ok();
    asked.map_or(96, |text| text.parse().expect("CROSSBOOK_SEEDS is a number"))
}

/// The venue's book at an instant, rebuilt from the stream.
fn book_at(stream: &Stream, ts: TimestampNs) -> Book {
    let mut book = Book::default();
    for (index, header) in stream.0.headers().iter().enumerate() {
        if header.ts_event <= ts {
            book.apply(header.ts_event, header.ts_recv, &stream.0.event(index));
        }
    }
    book
}

/// What taking orders must come to, worked out the plain way: all messages of an instrument in order, a map of what was
/// taken per level since the level was last named, and a walk over what that leaves.
fn plain_fills(stream: &Stream, takers: &[(&Order, &Heard)]) -> Vec<Vec<(Price, Qty)>> {
    let mut book = Book::default();
    let mut taken: BTreeMap<(bool, Price), i64> = BTreeMap::new();
    let mut next = 0;
    let mut all = Vec::new();
    for (order, heard) in takers {
        while let Some(header) = stream.0.headers().get(next)
            && header.ts_event <= heard.ts_venue
        {
            let event = stream.0.event(next);
            match event {
                EventKind::Snapshot { .. } => taken.clear(),
                EventKind::Update { bids, asks } => {
                    for (is_bid, levels) in [(true, bids), (false, asks)] {
                        for level in levels {
                            taken.remove(&(is_bid, level.price));
                        }
                    }
                }
                _ => {}
            }
            book.apply(header.ts_event, header.ts_recv, &event);
            next += 1;
        }
        let side = BookSide::taken_by(order.side);
        let (mut left, mut fills) = (order.qty.raw(), Vec::new());
        for level in book.levels(side) {
            let reaches = match (order.order_type, order.side) {
                (OrderType::Limit(at), Side::Buy) => level.price <= at,
                (OrderType::Limit(at), Side::Sell) => level.price >= at,
                _ => true,
            };
            let used = taken.entry((side == BookSide::Bid, level.price)).or_insert(0);
            let share = left.min(level.qty.raw() - *used);
            if reaches && share > 0 {
                *used += share;
                left -= share;
                fills.push((level.price, Qty::from_raw(share).unwrap()));
            }
        }
        all.push(fills);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Following the venue's book only while it is needed gives what following it always gives.
    #[test]
    fn cold_books_change_nothing(seed in any::<u64>()) {
        let (lazy, _) = random_run(seed, false);
        let (always, _) = random_run(seed, true);
        prop_assert_eq!(&lazy.heard, &always.heard);
        prop_assert_eq!(lazy.ledger.hash(), always.ledger.hash());
        prop_assert!(!lazy.heard.is_empty());
    }

    /// Quantities add up, each order ends once, no fill is better or bigger than the book, and all money is accounted for.
    #[test]
    fn every_fill_is_explained(seed in any::<u64>()) {
        let (world, orders) = random_run(seed, false);
        prop_assert!(world.sim.is_idle());
        for currency in [BASE, QUOTE, BNB] {
            prop_assert_eq!(world.sim.balance(VENUE, currency), world.ledger.balance(VENUE, currency));
        }
        prop_assert!(world.heard.is_sorted_by_key(|heard| heard.ts_report));
        for order in &orders {
            let heard: Vec<_> = world.heard.iter().filter(|heard| heard.order == order.id.0).collect();
            let finals = heard.iter().filter(|heard| heard.status.is_final()).count();
            prop_assert_eq!(finals, 1);
            let last = heard[heard.len() - 1];
            prop_assert!(last.status.is_final());
            let filled: i64 = heard.iter().flat_map(|heard| &heard.fills).map(|fill| fill.1.raw()).sum();
            prop_assert!(filled <= order.qty.raw());
            prop_assert_eq!(last.status == OrderStatus::Filled, filled == order.qty.raw());
            prop_assert!(heard.iter().all(|heard| heard.ts_venue >= order.ts_sent && heard.ts_report >= heard.ts_venue));
        }
        for fill in &world.fills {
            let order = &orders[fill.order.0 as usize - 1];
            prop_assert_eq!((fill.side, fill.instrument), (order.side, order.instrument));
            let exact = i128::from(fill.price.raw()) * i128::from(fill.qty.raw());
            let booked = i128::from(fill.notional.raw()) * i128::from(crate::units::SCALE);
            let against_us = if fill.side == Side::Buy { booked >= exact } else { booked <= exact };
            prop_assert!(against_us);
            match order.order_type {
                OrderType::PostOnly(at) => {
                    prop_assert_eq!((fill.price, fill.liquidity), (at, Liquidity::Maker));
                    continue;
                }
                OrderType::Limit(at) => {
                    let within = if fill.side == Side::Buy { fill.price <= at } else { fill.price >= at };
                    prop_assert!(within);
                }
                OrderType::Market => {}
            }
            let book = book_at(&world.feed.streams[fill.instrument.index()], fill.ts_venue);
            let side = BookSide::taken_by(fill.side);
            prop_assert!(book.is_synced() && book.is_feed_up() && book.is_trusted(side, fill.price));
            prop_assert!(fill.qty <= book.qty_at(side, fill.price));
            prop_assert!(fill.fee >= Amount::ZERO);
        }
        if world.sim.config.venues[0].kind == VenueKind::Spot {
            // A resting order is locked for one fill; each of several may round up by a step in notional and fee.
            let makers = world.fills.iter().filter(|fill| fill.liquidity == Liquidity::Maker).count() as i64;
            for currency in [BASE, QUOTE, BNB] {
                prop_assert!(world.ledger.balance(VENUE, currency).raw() >= -2 * makers);
            }
        }
    }

    /// Every taking order that was not refused got exactly what the plain way gives.
    #[test]
    fn taking_orders_get_what_is_left(seed in any::<u64>()) {
        let (world, orders) = random_run(seed, false);
        for instrument in [X, Y] {
            let mut takers: Vec<_> = orders
                .iter()
                .filter(|order| order.instrument == instrument && !matches!(order.order_type, OrderType::PostOnly(_)))
                .map(|order| (order, world.heard.iter().find(|heard| heard.order == order.id.0).unwrap()))
                .filter(|(_, heard)| !matches!(heard.status, OrderStatus::Rejected(_)))
                .collect();
            takers.sort_by_key(|(order, heard)| (heard.ts_venue, order.id));
            let got: Vec<_> = takers.iter().map(|(_, heard)| heard.fills.clone()).collect();
            prop_assert_eq!(got, plain_fills(&world.feed.streams[instrument.index()], &takers));
        }
    }

    /// A fee is never less than its exact share, nor more by a step of each rounding.
    #[test]
    fn fees_are_rounded_against_us(
        raw_price in 1i64..10_000_000_000_000,
        raw_qty in 1i64..100_000_000_000,
        rate in -200_000i64..200_000,
    ) {
        let (at, size) = (Price::from_raw(raw_price).unwrap(), Qty::from_raw(raw_qty).unwrap());
        let mut config = venue(VenueKind::Spot);
        config.taker_fee = Bps::from_raw(rate);
        for rule in [FeeRule::Quote, FeeRule::Received] {
            config.fee_rule = rule;
            for side in [Side::Buy, Side::Sell] {
                let (fee, currency) = wallet::fee(&config, &instrument(), Liquidity::Taker, side, at, size).unwrap();
                let received = rule == FeeRule::Received && side == Side::Buy;
                prop_assert_eq!(currency, if received { BASE } else { QUOTE });
                let scale = i128::from(crate::units::SCALE);
                // Of the exact notional in 1e-16, or of the quantity: the fee in 1e-24 (or 1e-16).
                let (exact, unit) = if received {
                    (i128::from(raw_qty) * i128::from(rate), scale)
                } else {
                    (i128::from(raw_price) * i128::from(raw_qty) * i128::from(rate), scale * scale)
                };
                let fee = i128::from(fee.raw()) * unit;
                prop_assert!(fee >= exact && fee - exact < 2 * unit);
            }
        }
    }
}
