//! Trials over a tape against whole replays: the same rows in the same order, the same counts, the same digest.

use std::sync::Arc;

use proptest::prelude::*;

use crossbook_engine::engine::{Engine, FxSource, Target};
use crossbook_engine::event::{Chunk, EventKind, FeedStatus, Level};
use crossbook_engine::instrument::{InstrumentId, Side};
use crossbook_engine::order::Leg;
use crossbook_engine::replay::{ChunkSource, InMemory, Outcome, ReplayError, Streams, replay};
use crossbook_engine::risk::Limits;
use crossbook_engine::sim::Sim;
use crossbook_engine::spread::{FairModel, FillModel};
use crossbook_engine::strategy::Size;
use crossbook_engine::tape::{Tape, replay_tape};
use crossbook_engine::units::{Amount, FxRate, Price, Qty, TimestampNs};

use crate::attribution::cases;
use crate::chaos::{Dice, Reason, world};
use crate::dsl::{A, AWAY, B, BTC, HOME, KRW, Log, MS, USDT, World, bps, instrument, qty, rate, tape};

/// Streams cut into chunks of so many messages, an empty one among them.
fn chunked(chunk: &Chunk, messages: usize) -> Vec<Arc<Chunk>> {
    let mut chunks = vec![Chunk::default()];
    for (index, header) in chunk.headers().iter().enumerate() {
        if index % messages == 0 {
            chunks.push(Chunk::default());
        }
        let last = chunks.last_mut().unwrap();
        last.push(header.ts_event, header.ts_recv, chunk.event(index)).unwrap();
    }
    chunks.into_iter().map(Arc::new).collect()
}

/// Everything that a run leaves, as text that can be told apart where it differs.
type Left = (Vec<String>, String);

fn left(result: Result<(Engine, Outcome), ReplayError>, log: &Log) -> Left {
    let mut lines = Vec::new();
    lines.extend(log.sent.iter().map(|row| format!("{row:?}")));
    lines.extend(log.done.iter().map(|row| format!("{row:?}")));
    lines.extend(log.fills.iter().map(|row| format!("{row:?}")));
    lines.extend(log.trips.iter().map(|row| format!("{row:?}")));
    lines.extend(log.cancels.iter().map(|row| format!("{row:?}")));
    lines.extend(log.risk.iter().map(|row| format!("{row:?}")));
    lines.extend(log.equity.iter().map(|row| format!("{row:?}")));
    lines.extend(log.spread.iter().map(|row| format!("{row:?}")));
    match result {
        Ok((mut engine, outcome)) => {
            let equity = format!("{:?}", engine.equity().map_err(|error| error.to_string()));
            for route in engine.routes() {
                lines.push(format!("{:?} {:?} {}", route.state(), route.position(), route.fair()));
            }
            lines.push(format!("{:?} {:?}", engine.counts(), engine.blocked_time()));
            lines.push(format!("{outcome:?} {equity}"));
            (lines, engine.digest())
        }
        Err(error) => (lines, format!("{error}")),
    }
}

type Sources = Vec<(Target, Vec<Arc<Chunk>>)>;

fn sources(world: &World, messages: usize) -> Sources {
    let chunks = world.tapes.iter().cloned();
    chunks
        .map(|(target, tape)| (target, chunked(&tape.chunk(), messages)))
        .collect()
}

fn whole(world: &World, sources: &Sources) -> Left {
    let (config, sim) = world.configs();
    let mut log = Log::default();
    let run = |log: &mut Log| {
        let mut sim = Sim::new(sim, &config.opening)?;
        let mut engine = Engine::new(config)?;
        let sources = sources.iter().map(|(target, chunks)| {
            let source: Box<dyn ChunkSource> = Box::new(InMemory::new(chunks));
            (*target, source)
        });
        let mut streams = Streams::new(sources.collect(), engine.config().instruments.len())?;
        let outcome = replay(&mut engine, &mut sim, &mut streams, log, &mut |_| true)?;
        Ok((engine, outcome))
    };
    let result = run(&mut log);
    left(result, &log)
}

fn trial(world: &World, tape: &Tape) -> Left {
    let (config, sim) = world.configs();
    let mut log = Log::default();
    let mut looked = 0;
    let result = replay_tape(tape, config, sim, &mut log, &mut |_, _| {
        looked += 1;
        true
    });
    left(result, &log)
}

#[track_caller]
fn same(world: &World, tape: &Tape, sources: &Sources, what: &str) {
    let (want, got) = (whole(world, sources), trial(world, tape));
    if want != got {
        let at = want.0.iter().zip(&got.0).position(|(want, got)| want != got);
        let line = |left: &Left| at.and_then(|at| left.0.get(at).cloned());
        panic!(
            "{what}: line {at:?} of {} and {}\n want {:?}\n got  {:?}\n{:#?}",
            want.0.len(),
            got.0.len(),
            line(&want),
            line(&got),
            world.config.routes
        );
    }
}

fn check(world: &World, what: &str) {
    let sources = sources(world, 37);
    let tape = Tape::new(sources.clone(), &world.configs().0).unwrap();
    same(world, &tape, &sources, what);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_market_and_any_settings_by_leaps(seed in any::<u64>()) {
        check(&world(seed, Reason::Plain), &format!("seed {seed}"));
    }

    #[test]
    fn any_number_at_all_by_leaps(seed in any::<u64>()) {
        check(&world(seed, Reason::Wild), &format!("seed {seed}"));
    }
}

/// A calm market of many messages: a book that wanders, mostly by differences, with quiet stretches, gaps and outages now and
/// then. `unit` is a hundredth of a per cent of the middle. Thin books hold few and uneven levels.
fn calm(dice: &mut Dice, middle: i64, messages: i64, thin: bool) -> crate::dsl::Tape {
    let unit = middle / 10_000;
    let (mut event, mut recv, mut offset) = (0i64, 0i64, 0i64);
    let mut out = tape(0);
    let depth = 1 + dice.below(if thin { 4 } else { 8 });
    let quantities = if thin {
        [3_000_000, 30_000_000, 110_000_000]
    } else {
        [20_000_000, 100_000_000, 700_000_000]
    };
    let mut fresh = true;
    for number in 0..messages {
        event += dice.below(20) * MS / 4 + if dice.below(400) == 0 { dice.below(3000) * MS } else { 0 };
        recv = recv.max(event + dice.below(12) * MS / 3);
        offset += (dice.below(9) - 4) * dice.below(2) - offset.signum() * i64::from(dice.below(12) == 0);
        let quantity = |dice: &mut Dice| Qty::from_raw(dice.of(&quantities)).unwrap();
        let bid = middle + offset * unit / 2;
        let level = |dice: &mut Dice, price: i64| Level {
            price: Price::from_raw(price).unwrap(),
            qty: quantity(dice),
        };
        let bids: Vec<Level> = (0..depth).map(|at| level(dice, bid - at * unit)).collect();
        let asks: Vec<Level> = (0..depth).map(|at| level(dice, bid + (1 + at) * unit)).collect();
        let kind = match dice.below(60) {
            _ if fresh || number == 0 => EventKind::Snapshot {
                bids: &bids,
                asks: &asks,
                complete: dice.coin(),
            },
            0 => EventKind::Status(dice.of(&[
                FeedStatus::Connected,
                FeedStatus::Stale,
                FeedStatus::Gap,
                FeedStatus::Disconnected,
            ])),
            1 => EventKind::Funding {
                rate: dice.of(&[0, 10_000, -10_000]),
                mark: bids[0].price,
            },
            2..8 => EventKind::Trade {
                price: asks[0].price,
                qty: asks[0].qty,
                taker: dice.of(&[Side::Buy, Side::Sell]),
            },
            8..16 => EventKind::Snapshot {
                bids: &bids,
                asks: &asks,
                complete: true,
            },
            _ => {
                // Quantities of the levels at hand, which may cross a book that has wandered: then it is told anew.
                let end = 1 + dice.below(depth) as usize;
                let (bids, asks) = if dice.coin() {
                    (&bids[..end], &[][..])
                } else {
                    (&[][..], &asks[..end])
                };
                let kind = EventKind::Update { bids, asks };
                out = out.exact(TimestampNs(event), TimestampNs(recv), kind);
                fresh = dice.below(4) == 0;
                continue;
            }
        };
        fresh = matches!(kind, EventKind::Status(_)) && dice.coin();
        out = out.exact(TimestampNs(event), TimestampNs(recv), kind);
    }
    out
}

/// The settings of [`world`] over long calm markets of up to four instruments and three routes.
fn long_world(seed: u64, thin: bool) -> World {
    let mut dice = Dice(!seed);
    let dice = &mut dice;
    let mut world = world(seed, Reason::Plain);
    let messages = 500 + dice.below(1500);
    let (krw, usdt) = (10_000_000_000_000, 10_000_000_000);
    world.tapes = vec![
        (A, calm(dice, krw, messages, thin)),
        (B, calm(dice, usdt, messages, thin)),
    ];
    let config = &mut world.config;
    // The rate's own market, and the coin against USDT at home.
    config.instruments.push(instrument(HOME, "KRW-USDT", USDT, KRW, "0.01"));
    config
        .instruments
        .push(instrument(HOME, "USDT-BTC", BTC, USDT, "0.001"));
    config.fx.source = match dice.below(4) {
        0 => FxSource::Instrument(InstrumentId(2)),
        1 => FxSource::Constant(rate("1000")),
        _ => FxSource::Series,
    };
    config.fx.max_age_ns = dice.of(&[500, 5_000, 600_000]) * MS;
    config.fx.band = dice.of(&[None, Some((rate("995"), rate("1005")))]);
    config.limits.venue.max_book_age_ns = dice.of(&[40, 400, 60_000]) * MS;
    config.days = vec![TimestampNs(2_000 * MS), TimestampNs(4_000 * MS)];
    config.sample_ns = dice.of(&[MS, 100 * MS, 1_000 * MS]);
    for route in &mut config.routes {
        let (a, b) = dice.of(&[(0, 1), (0, 1), (0, 3), (3, 1)]);
        (route.a, route.b) = (InstrumentId(a), InstrumentId(b));
        route.fees = bps(dice.of(&[0.0, 0.0, 2.0]));
        let strategy = &mut route.strategy;
        strategy.warmup_ns = dice.of(&[0, 500 * MS]);
        if dice.below(3) > 0 {
            strategy.size = Size::Quantity(qty(dice.of(&["0.3", "1", "3"])));
        }
        strategy.entry = bps(dice.of(&[2.0, 6.0, 10.0, 14.0, 20.0]));
        strategy.exit = bps(dice.of(&[-10.0, -2.0, 2.0, 6.0]));
        strategy.take_profit = dice.of(&[None, None, Some(bps(4.0)), Some(bps(10.0))]);
        strategy.stop = dice.of(&[None, None, Some(bps(8.0)), Some(bps(15.0))]);
        strategy.max_hold_ns = dice.of(&[None, None, Some(300 * MS), Some(2_000 * MS)]);
        if dice.coin() {
            strategy.fair = FairModel::Ewma {
                half_life_ns: dice.of(&[50, 1_000, 20_000]) * MS,
            };
        }
    }
    if dice.below(3) > 0 {
        for venue in [HOME, AWAY] {
            for (currency, text) in [(BTC, "50"), (USDT, "100000"), (KRW, "100000000")] {
                world = world.balance(venue, currency, text);
            }
        }
    }
    if dice.coin() {
        let id = Target::Instrument(InstrumentId(2));
        let messages = messages / (1 + dice.below(4));
        world.tapes.push((id, calm(dice, 100_000_000_000, messages, thin)));
    }
    if dice.coin() {
        let id = Target::Instrument(InstrumentId(3));
        world.tapes.push((id, calm(dice, usdt, messages, thin)));
    }
    if dice.below(4) == 0 {
        // A second stream of the same book.
        world.tapes.push((A, calm(dice, krw, 1 + messages / 10, thin)));
    }
    let mut rates = tape(0);
    let mut t = 0;
    while t < 8_000 * MS {
        let raw =
            100_000_000_000 + (dice.below(11) - 5) * 20_000_000 + if dice.below(9) == 0 { 900_000_000 } else { 0 };
        rates = rates.exact(
            TimestampNs(t),
            TimestampNs(t),
            EventKind::Fx(FxRate::from_raw(raw).unwrap()),
        );
        t += dice.below(400) * MS;
    }
    let last = EventKind::Fx(rate("1000"));
    world
        .tapes
        .push((Target::Fx, rates.exact(TimestampNs(t), TimestampNs(60_000 * MS), last)));
    world
}

#[test]
fn long_markets_trade_and_leave_the_same_by_leaps() {
    let (mut trades, mut takes) = (0, 0);
    for seed in 0..u64::from(cases()) {
        let world = long_world(seed, false);
        check(&world, &format!("seed {seed}"));
        let ran = whole(&world, &sources(&world, 37));
        let lines = |of: &str| ran.0.iter().filter(|line| line.starts_with(of)).count();
        trades += usize::from(lines("RoundTrip") > 0);
        takes += lines("FillRecord");
    }
    let cases = cases() as usize;
    assert!(
        trades > cases / 4 && takes > cases,
        "{trades} worlds trade, {takes} fills"
    );
}

/// Long markets of thin books in which pairs are stopped at prices that are walked to, or cannot be since the books do not
/// hold them.
fn stop_world(seed: u64) -> World {
    let mut world = long_world(seed, true);
    let mut dice = Dice(seed.rotate_left(17) ^ 0x5709);
    let dice = &mut dice;
    for (venue, currency, text) in [
        (HOME, BTC, "50"),
        (HOME, KRW, "100000000"),
        (AWAY, BTC, "50"),
        (AWAY, USDT, "100000"),
    ] {
        world = world.balance(venue, currency, text);
    }
    world.fill_model = FillModel::Walk;
    let config = &mut world.config;
    config.limits = Limits::default();
    config.limits.venue.max_book_age_ns = 60_000 * MS;
    config.fx.max_age_ns = 600_000 * MS;
    if dice.coin() {
        config.fx.source = FxSource::Constant(rate("1000"));
    }
    config.routes.truncate(1 + dice.below(2) as usize);
    for instrument in &mut config.instruments {
        (instrument.min_qty, instrument.min_notional) = (Qty::ZERO, Amount::ZERO);
    }
    for route in &mut config.routes {
        let strategy = &mut route.strategy;
        strategy.pricing = FillModel::Walk;
        strategy.size = Size::Quantity(qty(dice.of(&["0.2", "0.5", "1", "1.3", "2", "4"])));
        strategy.entry = bps(dice.of(&[-4.0, 0.0, 2.0, 6.0]));
        strategy.exit = bps(dice.of(&[-40.0, -20.0, -10.0, 0.0]));
        strategy.take_profit = dice.of(&[None, None, Some(bps(10.0))]);
        strategy.stop = Some(bps(dice.of(&[1.0, 4.0, 8.0, 12.0, 20.0, 30.0])));
        strategy.max_hold_ns = dice.of(&[None, None, Some(5_000 * MS)]);
        strategy.maker = dice.of(&[None, None, None, Some(Leg::A)]);
        (strategy.sell_a, strategy.buy_a) = dice.of(&[(true, true), (true, false), (false, true)]);
    }
    world
}

#[test]
fn pairs_are_stopped_at_walked_prices_alike_by_leaps() {
    let (mut stopped, mut stops) = (0, 0);
    for seed in 0..u64::from(cases()) {
        let world = stop_world(seed);
        check(&world, &format!("seed {seed}"));
        let ran = whole(&world, &sources(&world, 37));
        let lines = ran.0.iter().filter(|line| line.starts_with("RoundTrip"));
        let count = lines.filter(|line| line.contains("reason: Stop")).count();
        stopped += usize::from(count > 0);
        stops += count;
    }
    let cases = cases() as usize;
    assert!(
        stopped > cases / 4 && stops > cases,
        "{stops} stops in {stopped} worlds"
    );
}
