//! Random round trips: the parts of each add up to its result, and all results and what is still held to the run's.

use proptest::prelude::*;

use crossbook_engine::engine::Target;
use crossbook_engine::instrument::Side;
use crossbook_engine::order::{Leg, Role};
use crossbook_engine::sim::{FeeRule, Latency};
use crossbook_engine::strategy::{LegPolicy, OrderStyle, State};
use crossbook_engine::units::TimestampNs;

use crate::dsl::*;

/// One book message of either venue.
#[derive(Debug, Clone, Copy)]
struct Move {
    /// Since the message before, in ms.
    wait: i64,
    of_a: bool,
    /// Best bid above 100,000 (A, in KRW) or 100 (B, in USDT), in bps.
    bps: i64,
    /// Best ask above the bid, in bps.
    spread: i64,
    /// Quantities at best and behind it, in 0.001.
    best: i64,
    behind: i64,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (1i64..400, any::<bool>(), -80i64..160, 1i64..12, 1i64..2000, 1i64..5000).prop_map(
        |(wait, of_a, bps, spread, best, behind)| Move {
            wait,
            of_a,
            bps,
            spread,
            best,
            behind,
        },
    );
    prop::collection::vec(one, 20..80)
}

#[derive(Debug, Clone)]
struct Rules {
    fees: [i64; 2],
    received: bool,
    latencies: [i64; 2],
    delay: i64,
    collar: Option<i64>,
    unwind: bool,
    min_qty: [i64; 2],
    max_hold: Option<i64>,
    maker: Option<bool>,
    rates: Vec<i64>,
}

fn rules() -> impl Strategy<Value = Rules> {
    let money = (
        [0i64..8, -1i64..8],
        any::<bool>(),
        prop::collection::vec(990i64..1010, 1..6),
    );
    let times = ([0i64..120, 0i64..120], 0i64..150, prop::option::of(200i64..3000));
    let ways = (
        prop::option::of(0i64..40),
        any::<bool>(),
        [0i64..400, 0i64..400],
        prop::option::weighted(0.3, any::<bool>()),
    );
    (money, times, ways).prop_map(|(money, times, ways)| Rules {
        fees: money.0,
        received: money.1,
        rates: money.2,
        latencies: times.0,
        delay: times.1,
        max_hold: times.2,
        collar: ways.0,
        unwind: ways.1,
        min_qty: ways.2,
        maker: ways.3,
    })
}

fn raw(raw: i64) -> String {
    short(raw)
}

fn book(tape: Tape, t: i64, step: &Move) -> Tape {
    // In 1e-8; on A's tick of 1 KRW and B's of 0.001 USDT.
    let (unit, tick) = if step.of_a {
        (10_0000_0000, 1_0000_0000)
    } else {
        (100_0000, 10_0000)
    };
    let base = 10_000 * unit;
    let bid = (base + step.bps * unit) / tick * tick;
    let ask = bid + step.spread * unit;
    let texts = [bid, bid - 5 * unit, ask, ask + 5 * unit].map(raw);
    let (best, behind) = (raw(step.best * 100_000), raw(step.behind * 100_000));
    // Traded through now and then, for what rests.
    let tape = tape.book(
        t,
        &[(&texts[0], &best), (&texts[1], &behind)],
        &[(&texts[2], &best), (&texts[3], &behind)],
    );
    match step.best % 7 {
        0 => tape.trade(t, Side::Buy, &texts[3], "0.3"),
        1 => tape.trade(t, Side::Sell, &texts[1], "0.3"),
        2 => tape.trade(t, Side::Buy, &texts[2], &best),
        3 => tape.trade(t, Side::Sell, &texts[0], &best),
        _ => tape,
    }
}

fn world(moves: &[Move], rules: &Rules) -> World {
    let (mut a, mut b) = (
        tape(rules.delay).top(0, "100000", "100050"),
        tape(rules.delay / 2).top(0, "100", "100.05"),
    );
    let mut t = 0;
    for step in moves {
        t += step.wait;
        if step.of_a {
            a = book(a, t, step);
        } else {
            b = book(b, t, step);
        }
    }
    let mut fx = tape(0).fx(0, "1000");
    for (index, rate) in rules.rates.iter().enumerate() {
        fx = fx.fx(1 + (index as i64 + 1) * t / 6, &rate.to_string());
    }
    let fees = rules.fees.map(|bps| bps as f64 / 2.0);
    World::pair()
        .fees(fees[0], fees[1])
        .with(|w| {
            for (venue, ms) in w.venues.iter_mut().zip(rules.latencies) {
                venue.order_latency = Latency::Constant { ns: ms * MS };
                venue.report_latency = Latency::Constant { ns: ms * MS };
                venue.maker_fee = bps(-0.5);
            }
            if rules.received {
                w.venues[1].fee_rule = FeeRule::Received;
            }
            for (instrument, min) in w.config.instruments.iter_mut().zip(rules.min_qty) {
                instrument.min_qty = qty(&raw(min * 100_000));
            }
        })
        // Enough that no wallet refuses what rests on the way.
        .balance(HOME, BTC, "1000")
        .balance(AWAY, BTC, "1000")
        .strategy(|s| {
            (s.sell_a, s.buy_a) = (true, true);
            s.entry = bps(20.0);
            s.max_hold_ns = rules.max_hold.map(|ms| ms * MS);
            s.leg_policy = if rules.unwind {
                LegPolicy::Unwind
            } else {
                LegPolicy::Complete
            };
            s.maker = rules.maker.map(|a| if a { Leg::A } else { Leg::B });
            if let Some(collar) = rules.collar {
                s.style = OrderStyle::Limit {
                    collar: bps(collar as f64),
                };
            }
        })
        .tape(A, a)
        .tape(B, b)
        .tape(Target::Fx, fx.fx(t + 60_000, "1000"))
}

/// Cash that the fills of the round trip still open brought, at this rate, in 1e-8 KRW, rounded as a round trip does it.
fn open_cash(ran: &Ran, rate: i128) -> i128 {
    let last = ran
        .log
        .trips
        .iter()
        .map(|trip| trip.ts_closed)
        .max()
        .unwrap_or(TimestampNs::MIN);
    let mut cash = [0i128; 2];
    for row in &ran.log.fills {
        let order = ran.log.sent.iter().find(|order| order.id == row.fill.order).unwrap();
        // Without latency the next entry may be sent in the very instant in which the last exit was sent and ended.
        if order.ts_sent > last || (order.ts_sent == last && order.role == Role::Entry) {
            let signed = i128::from(row.fill.notional.raw());
            cash[row.leg as usize] += if row.fill.side == Side::Buy { -signed } else { signed };
        }
    }
    (cash[0] * 100_000_000 + cash[1] * rate).div_euclid(100_000_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_add_up_and_nothing_undone_costs_nothing(moves in moves(), rules in rules()) {
        let ran = world(&moves, &rules).run();
        for trip in &ran.log.trips {
            // `Ran::check` has seen that the parts add up.
            let within = |ts: TimestampNs| ts >= trip.ts_entry && ts <= trip.ts_closed;
            let fills = || ran.log.fills.iter().filter(|row| within(row.ts_report));
            let unwound = ran.log.sent.iter().any(|order| order.role == Role::Unwind && within(order.ts_sent));
            let filled = |leg, role| -> i64 {
                let of_role = |row: &&crossbook_engine::records::FillRecord| {
                    let order = ran.log.sent.iter().find(|order| order.id == row.fill.order);
                    row.leg == leg && order.is_some_and(|order| order.role == role)
                };
                fills().filter(of_role).map(|row| row.fill.qty.raw()).sum()
            };
            // Dust on the way in or out is legging too, and so is what one part of an exit leaves to the next.
            let balanced =
                [Role::Entry, Role::Exit].iter().all(|&role| filled(Leg::A, role) == filled(Leg::B, role));
            let exits = ran.log.sent.iter().filter(|order| order.role == Role::Exit && within(order.ts_sent)).count();
            if !unwound && balanced && exits <= 2 {
                prop_assert_eq!(trip.attribution.legging.raw(), 0, "{}", trip_line(trip));
            }
            prop_assert!(fills().count() > 0);
        }
    }

    /// At one rate all along, so that every amount of money has one value.
    #[test]
    fn round_trips_and_what_is_held_are_the_result(moves in moves(), rules in rules()) {
        let rules = Rules { rates: vec![1000], ..rules };
        check_sum(&mut world(&moves, &rules).run())?;
    }
}

/// `pnl_vs_hold = sum of round trips + the round trip still open + value of all coins gained or lost`, at one rate, where no
/// dust was left.
///
/// Roundings, in 1e-8 KRW. A round trip rounds its cash down once (less than 1), so `trips` of them at most `trips` too
/// little. Each fee in USDT or BTC is valued rounded up by at most 2 steps of its money, and a step of USDT is 1,000
/// steps of KRW, at the mid of its time; fees in BTC are therefore left out of both sides and counted in coins. The
/// ledger's value rounds each of four wallets of equity and of hold twice, by less than 1 step of quote each: 1,000 each
/// for the two in USDT or at a USDT price, 2 for the others.
fn check_sum(ran: &mut Ran) -> Result<(), TestCaseError> {
    let total = i128::from(ran.pnl_vs_hold());
    let rate = i128::from(rate("1000").raw());
    let closed: i128 = ran
        .log
        .trips
        .iter()
        .map(|trip| i128::from(trip.pnl.raw() + trip.attribution.fees.raw()))
        .sum();
    let open = open_cash(ran, rate);
    let fees_krw: i128 = ran
        .log
        .fills
        .iter()
        .map(|row| {
            let fee = i128::from(row.fill.fee.raw());
            match row.fill.fee_currency {
                KRW => fee,
                USDT => fee * 1000,
                _ => 0, // in coins: see below
            }
        })
        .sum();
    let mid = |index: u16| {
        let (bid, ask) = ran
            .engine
            .book(crossbook_engine::instrument::InstrumentId(index))
            .top()
            .unwrap();
        i128::from(crossbook_engine::units::Price::mid(bid.price, ask.price).raw())
    };
    let gained = |venue| {
        let ledger = ran.engine.ledger();
        i128::from(ledger.balance(venue, BTC).raw() - ledger.opening(venue, BTC).raw())
    };
    let coins = gained(HOME) * mid(0) / 100_000_000 + gained(AWAY) * mid(1) * 1000 / 100_000_000;
    let slack = ran.log.trips.len() as i128 + 1 + 8 * 1_002;
    // Dust is valued at the mids of a trip's last decision, which differ from the last ones: those runs are told apart.
    let dusty = ran.log.trips.iter().any(|trip| {
        let within = |ts: TimestampNs| ts > trip.ts_entry && ts <= trip.ts_closed;
        let signed = |row: &crossbook_engine::records::FillRecord| match row.fill.side {
            Side::Buy => row.fill.qty.raw(),
            Side::Sell => -row.fill.qty.raw(),
        };
        [Leg::A, Leg::B].iter().any(|leg| {
            let of_leg = ran
                .log
                .fills
                .iter()
                .filter(|row| row.leg == *leg && within(row.ts_report));
            of_leg.map(signed).sum::<i64>() != 0
        })
    });
    if dusty {
        return Ok(());
    }
    let gap = total - (closed + open - fees_krw + coins);
    prop_assert!(
        gap.abs() <= slack,
        "{gap} of {total}: {:?} {:?}",
        ran.trips(),
        ran.orders()
    );
    let route = &ran.engine.routes()[0];
    prop_assert!(route.state() != State::Flat || route.position() == [0, 0]);
    Ok(())
}

/// `CROSSBOOK_SEEDS` raises the number of random runs.
pub fn cases() -> u32 {
    std::env::var("CROSSBOOK_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(96)
}
