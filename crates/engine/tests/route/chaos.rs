//! Anything at all: whatever the streams and settings, a run ends or says why it cannot, and what always holds, holds.

use proptest::prelude::*;

use crossbook_engine::engine::{FxSource, Target};
use crossbook_engine::event::{EventKind, FeedStatus, Level};
use crossbook_engine::instrument::{InstrumentId, Side, VenueKind};
use crossbook_engine::order::Leg;
use crossbook_engine::replay::ReplayError;
use crossbook_engine::risk::{GlobalLimits, RouteLimits, SymbolLimits, VenueLimits};
use crossbook_engine::sim::{FeeRule, Latency, QueueModel};
use crossbook_engine::spread::{FairModel, FillModel};
use crossbook_engine::strategy::{LegPolicy, OrderStyle, Size, State};
use crossbook_engine::units::{Bps, FxRate, Price, Qty, TimestampNs};

use crate::attribution::cases;
use crate::dsl::*;

/// A small deterministic source of choices: one seed is one world.
pub struct Dice(pub u64);

impl Dice {
    /// Below `n`, by SplitMix64.
    pub fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 33) as i64 % n
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as i64) as usize]
    }
}

/// How far from reason prices and quantities go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// Around 100,000 KRW and 100 USDT, in quantities of about 1.
    Plain,
    /// Now and then anything up to the limits of 64 bits.
    Wild,
}

fn level(dice: &mut Dice, reason: Reason, middle: i64, unit: i64, above: bool) -> Level {
    let away = dice.below(40) * if above { 1 } else { -1 } + if dice.below(30) == 0 { 60 - dice.below(120) } else { 0 };
    let mut price = middle + away * unit;
    let mut quantity = dice.of(&[0, 1, 40_000_000, 100_000_000, 150_100_000, 1_000_000_000]);
    if reason == Reason::Wild && dice.below(6) == 0 {
        price = dice.of(&[1, 2, 1 << 40, i64::MAX / 3, i64::MAX - 1, i64::MAX]);
    }
    if reason == Reason::Wild && dice.below(6) == 0 {
        quantity = dice.of(&[1, 1 << 40, 1 << 55, i64::MAX - 1, i64::MAX]);
    }
    Level {
        price: Price::from_raw(price.max(1)).unwrap(),
        qty: Qty::from_raw(quantity).unwrap(),
    }
}

pub fn stream(dice: &mut Dice, reason: Reason, middle: i64, messages: i64) -> Tape {
    let unit = middle / 10_000;
    let (mut event, mut recv, mut middle) = (0i64, 0i64, middle);
    let mut out = tape(0);
    for number in 0..messages {
        // In tenths of a millisecond; both times never go back.
        event += dice.below(300);
        recv = recv.max(event + dice.below(900));
        middle += (dice.below(61) - 30) * unit;
        let mut side = |count: i64, above: bool| -> Vec<Level> {
            let mut levels: Vec<_> = (0..count).map(|_| level(dice, reason, middle, unit, above)).collect();
            // A message names a price once.
            levels.sort_by_key(|level| level.price);
            levels.dedup_by_key(|level| level.price);
            levels
        };
        let (bids, asks) = (side(5, false), side(5, true));
        let kind = match if number == 0 { 0 } else { dice.below(24) } {
            0..6 => EventKind::Snapshot {
                bids: if dice.below(12) == 0 { &[] } else { &bids },
                asks: if dice.below(12) == 0 { &[] } else { &asks },
                complete: dice.coin(),
            },
            6..16 => EventKind::Update {
                bids: &bids[..dice.below(bids.len() as i64 + 1) as usize],
                asks: &asks[..dice.below(asks.len() as i64 + 1) as usize],
            },
            16..21 => {
                let level = if dice.coin() { asks[0] } else { bids[bids.len() - 1] };
                EventKind::Trade {
                    price: level.price,
                    qty: level.qty,
                    taker: dice.of(&[Side::Buy, Side::Sell]),
                }
            }
            21 => EventKind::Funding {
                rate: dice.of(&[0, 10_000, -10_000, 100_000_000]),
                mark: asks[0].price,
            },
            _ => EventKind::Status(dice.of(&[
                FeedStatus::Connected,
                FeedStatus::Stale,
                FeedStatus::Gap,
                FeedStatus::Disconnected,
            ])),
        };
        out = out.exact(TimestampNs(event * MS / 10), TimestampNs(recv * MS / 10), kind);
    }
    out
}

pub fn rates(dice: &mut Dice, reason: Reason, messages: i64) -> Tape {
    let (mut t, mut out) = (0, tape(0));
    for _ in 0..messages {
        t += dice.below(3000);
        let mut raw = 100_000_000_000 + dice.below(2_000_000_000) - 1_000_000_000;
        if reason == Reason::Wild && dice.below(10) == 0 {
            raw = dice.of(&[1, 1 << 30, i64::MAX]);
        }
        let kind = EventKind::Fx(FxRate::from_raw(raw).unwrap());
        out = out.exact(TimestampNs(t * MS / 10), TimestampNs(t * MS / 10), kind);
    }
    out
}

/// A world made of one seed.
pub fn world(seed: u64, reason: Reason) -> World {
    let mut dice = Dice(seed);
    let dice = &mut dice;
    let perpetual = [dice.below(3) == 0, dice.below(3) == 0];
    let mut world = World::pair();
    world.seed = seed;
    world.fill_model = dice.of(&[FillModel::Walk, FillModel::Walk, FillModel::Top]);
    for (index, venue) in world.venues.iter_mut().enumerate() {
        let latency = |dice: &mut Dice| match dice.below(4) {
            0 => Latency::Constant { ns: 0 },
            1 => Latency::Constant {
                ns: dice.below(200) * MS,
            },
            2 => Latency::LogNormal {
                median_ns: 20 * MS,
                sigma: 1.0,
            },
            _ => Latency::Recorded { multiple: 1.5 },
        };
        venue.order_latency = latency(dice);
        venue.report_latency = latency(dice);
        venue.taker_fee = Bps::from_raw(dice.of(&[0, 1, 40_000, 100_000]));
        venue.maker_fee = Bps::from_raw(dice.of(&[0, -20_000, 20_000]));
        venue.queue_model = dice.of(&[QueueModel::RiskAdverse, QueueModel::Prob { exponent: 2.0 }]);
        if perpetual[index] {
            venue.kind = VenueKind::Perpetual;
            // A share of what nothing bounds, at the best price for any size, is no size.
            venue.max_leverage = match world.fill_model {
                FillModel::Walk => dice.of(&[None, Some(1), Some(5)]),
                FillModel::Top => Some(5),
            };
            world.config.instruments[index].base = [ETH, SOL][index];
        } else {
            venue.fee_rule = dice.of(&[FeeRule::Quote, FeeRule::Received]);
        }
        let instrument = &mut world.config.instruments[index];
        instrument.lot = dice.of(&[Qty::ZERO, qty("0.001"), qty("0.1")]);
        instrument.min_qty = dice.of(&[Qty::ZERO, qty("0.001"), qty("0.3")]);
        instrument.min_notional = dice.of(&[amount("0"), amount("5")]);
    }
    let lot = world.config.instruments[0].lot.max(world.config.instruments[1].lot);
    if dice.below(4) == 0 {
        world.config.base_currency = USDT;
    }
    world.config.fx.source = match dice.below(5) {
        0 => FxSource::Constant(rate("1000")),
        _ => FxSource::Series,
    };
    world.config.fx.band = dice.of(&[None, Some((rate("500"), rate("2000")))]);
    world.config.fx.max_age_ns = dice.of(&[100 * MS, 100_000 * MS]);
    let maybe = |dice: &mut Dice, text: &str| dice.coin().then(|| amount(text));
    world.config.limits.venue = VenueLimits {
        max_book_age_ns: dice.of(&[50 * MS, 60_000 * MS]),
        max_orders_per_second: dice.of(&[None, Some(3)]),
        max_open_orders: dice.of(&[None, Some(2)]),
        max_daily_loss: maybe(dice, "5000"),
    };
    world.config.limits.route = RouteLimits {
        max_consecutive_losses: dice.of(&[None, Some(2)]),
        cooldown_ns: 300 * MS,
        max_abs_premium: dice.of(&[None, Some(bps(500.0))]),
        max_trips_per_hour: dice.of(&[None, Some(5)]),
        max_order_notional: maybe(dice, "90000"),
    };
    world.config.limits.symbol = SymbolLimits {
        max_exposure: maybe(dice, "150000"),
        max_move: dice.of(&[None, Some(bps(200.0))]),
        move_window_ns: 500 * MS,
        allow: None,
    };
    world.config.limits.global = GlobalLimits {
        max_daily_loss: (dice.below(4) == 0).then(|| amount("3000")),
        max_drawdown: (dice.below(4) == 0).then(|| amount("3000")),
        max_exposure: maybe(dice, "300000"),
        max_imbalance: maybe(dice, "100000"),
        max_open_trades: dice.of(&[None, Some(1)]),
    };
    world.config.days = vec![TimestampNs(400 * MS)];
    world.config.sample_ns = dice.of(&[MS, 1_000 * MS]);
    world.config.routes = (0..1 + dice.below(2)).map(|_| route(0, 1)).collect();
    for route in &mut world.config.routes {
        route.lot = lot;
        route.fees = Bps::from_raw(dice.of(&[0, 100_000]));
        let strategy = &mut route.strategy;
        strategy.fair = dice.of(&[
            FairModel::Zero,
            FairModel::Constant(bps(5.0)),
            FairModel::Ewma { half_life_ns: 300 * MS },
        ]);
        strategy.warmup_ns = dice.of(&[0, 100 * MS]);
        strategy.entry = bps(dice.of(&[-20.0, 0.0, 10.0, 40.0]));
        strategy.exit = bps(dice.of(&[-20.0, 0.0, 30.0]));
        strategy.take_profit = dice.of(&[None, Some(bps(20.0))]);
        strategy.stop = dice.of(&[None, Some(bps(20.0))]);
        strategy.max_hold_ns = dice.of(&[None, Some(0), Some(MS), Some(200 * MS)]);
        strategy.size = match dice.below(4) {
            0 => Size::Fraction(Bps::from_raw(dice.of(&[1_000_000, 50_000_000, 100_000_000]))),
            1 => Size::Notional {
                amount: amount("50000"),
                leg: dice.of(&[Leg::A, Leg::B]),
            },
            _ => Size::Quantity(Qty::from_raw(dice.of(&[1, 30_000_000, 100_000_000, 250_000_000])).unwrap()),
        };
        (strategy.sell_a, strategy.buy_a) = dice.of(&[(true, true), (true, false), (false, true)]);
        strategy.pricing = world.fill_model;
        strategy.style = match dice.below(2) {
            0 => OrderStyle::Market,
            _ => OrderStyle::Limit {
                collar: bps(dice.of(&[0.0, 5.0, 20_000.0])),
            },
        };
        strategy.maker = dice.of(&[None, None, Some(Leg::A), Some(Leg::B)]);
        strategy.leg_policy = dice.of(&[LegPolicy::Complete, LegPolicy::Unwind]);
        strategy.leg_timeout_ns = dice.of(&[MS, 100 * MS]);
    }
    for (venue, is_perpetual) in [(HOME, perpetual[0]), (AWAY, perpetual[1])] {
        let coins = if is_perpetual {
            "0"
        } else {
            dice.of(&["0", "0.5", "20"])
        };
        let money = dice.of(&["0", "150", "300000"]);
        world = world.balance(venue, BTC, coins).balance(venue, USDT, money);
        world = world.balance(venue, KRW, dice.of(&["0", "150000", "10000000"]));
    }
    let messages = 40 + dice.below(120);
    // On the coarsest grid of prices that is in use: A's tick of 1 KRW, B's of 0.001 USDT.
    world
        .tape(A, stream(dice, reason, 10_000_000_000_000, messages))
        .tape(B, stream(dice, reason, 10_000_000_000, messages))
        .tape(Target::Fx, rates(dice, reason, messages / 2 + 1))
        .tape(
            Target::Fx,
            tape(0).exact(TimestampNs(0), TimestampNs(10_000 * MS), EventKind::Fx(rate("1000"))),
        )
}

/// What must hold of a run that came to its end, beyond what [`Ran`] checks by itself: the ledger adds up, the venues agree with it,
/// every order is told of once.
fn check(ran: &Ran) -> Result<(), TestCaseError> {
    let config = ran.engine.config();
    for (venue, kind) in config.venues.iter().map(|venue| venue.kind).enumerate() {
        for currency in [KRW, USDT, BTC] {
            let held = ran
                .engine
                .ledger()
                .balance(crossbook_engine::instrument::VenueId(venue as u8), currency);
            prop_assert!(
                kind == VenueKind::Perpetual || held.raw() >= 0,
                "spot below zero: {held}"
            );
        }
    }
    for (index, route) in ran.engine.routes().iter().enumerate() {
        let [a, b] = route.position();
        let largest = ran.log.sent.iter().map(|order| order.qty.raw()).max().unwrap_or(0);
        prop_assert!(a.abs() <= largest && b.abs() <= largest, "positions grow");
        prop_assert!(
            a == 0 || b == 0 || a.signum() != b.signum(),
            "one leg is long, the other short"
        );
        if route.state() == State::Flat {
            prop_assert_eq!([a, b], [0, 0]);
        }
        let in_flight = |leg| {
            ran.log.done.iter().filter(move |done| {
                !done.status.is_final() && done.order.route.index() == index && done.order.leg == leg
            })
        };
        prop_assert!(in_flight(Leg::A).count() <= 1 && in_flight(Leg::B).count() <= 1);
    }
    for pair in ran.log.sent.windows(2) {
        prop_assert!(pair[0].ts_sent <= pair[1].ts_sent, "time goes forward");
    }
    for trip in &ran.log.trips {
        prop_assert!(trip.ts_entry <= trip.ts_exit && trip.ts_exit <= trip.ts_closed);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_market_and_any_settings(seed in any::<u64>()) {
        match world(seed, Reason::Plain).try_run() {
            Ok(ran) => check(&ran)?,
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    /// With prices and quantities up to the limits of 64 bits a run may stop, but only by saying that money does not fit.
    #[test]
    fn any_number_at_all(seed in any::<u64>()) {
        match world(seed, Reason::Wild).try_run() {
            Ok(ran) => check(&ran)?,
            Err(ReplayError::Ledger(_) | ReplayError::Sim(_)) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    /// The same world gives the same run, to the last bit.
    #[test]
    fn the_same_again(seed in any::<u64>()) {
        let run = || world(seed, Reason::Plain).run().engine.digest();
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn a_coin_so_cheap_that_its_quantity_is_large_keeps_its_accounts() {
    // 2,000 million coins at 0.05 KRW: 1e8 KRW * 2e17 steps of quantity * 1e8 does not fit 128 bits.
    let a = tape(0)
        .book(0, &[("0.0505", "9000000000")], &[("0.0506", "9000000000")])
        .book(1000, &[("0.0499", "9000000000")], &[("0.05", "9000000000")]);
    let b = tape(0)
        .book(0, &[("0.00004995", "9000000000")], &[("0.00005", "9000000000")])
        .book(1000, &[("0.00005", "9000000000")], &[("0.00005005", "9000000000")]);
    let ran = World::pair()
        .with(|w| {
            w.config.instruments[0].tick = crossbook_engine::instrument::TickRule::Fixed(price("0.0001"));
            w.config.instruments[1].tick = crossbook_engine::instrument::TickRule::Fixed(price("0.00000005"));
        })
        .balance(HOME, BTC, "3000000000")
        .balance(AWAY, BTC, "3000000000")
        .strategy(|s| s.size = Size::Quantity(qty("2000000000")))
        .tape(Target::Instrument(InstrumentId(0)), a)
        .tape(B, b)
        .tape(Target::Fx, thousand())
        .run();
    // 2e9 * (0.0505 - 0.05) = 1,000,000; mids 0.05055 | 0.00004997 (rounded down) and 0.04995 | 0.00005002:
    // (0.05055 - 0.04997 - 0.04995 + 0.05002) * 2e9 = 1,300,000.
    assert_eq!(
        ran.trips(),
        ["sell_a converged 2000000000: 0>1000>1040 1000000 = 1300000 + 0 - 300000 - 0 - 0"]
    );
}
