//! Made-up runs for tests of what comes after a run. Seeded, so each is the same every time.

use std::collections::BTreeMap;

use crossbook_engine::instrument::{CurrencyId, InstrumentId, RouteId, Side};
use crossbook_engine::order::{Fill, Leg, Liquidity, Order, OrderId, OrderStatus, OrderType, Reject, Role};
use crossbook_engine::records::{
    Attribution, Direction, EquityPoint, ExitReason, FillRecord, OrderRecord, RiskRecord, RoundTrip, Rows, SpreadPoint,
};
use crossbook_engine::risk::{Reason, Verdict};
use crossbook_engine::units::{Amount, Bps, FxRate, Price, Qty, TimestampNs};

use super::{CurrencyInfo, InputInfo, InstrumentInfo, Run, RunMeta, Statistics, Window};

const START_NS: i64 = 1_725_148_800_000_000_000; // 2024-09-01T00:00:00Z
const SECOND_NS: i64 = 1_000_000_000;

/// `units` of a currency.
pub fn amount(units: f64) -> Amount {
    Amount::from_raw((units * 1e8).round() as i64).unwrap()
}

fn price(units: f64) -> Price {
    Price::from_raw((units * 1e8).round() as i64).unwrap()
}

fn qty(units: f64) -> Qty {
    Qty::from_raw((units * 1e8).round() as i64).unwrap()
}

/// Uniform in -1..1.
fn draw(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Names and inputs of a run of two routes.
pub fn meta(hours: i64) -> RunMeta {
    let instrument = |name: &str, quote| InstrumentInfo {
        name: name.to_string(),
        quote: CurrencyId(quote),
    };
    let currency = |name: &str, rate: Option<f64>| CurrencyInfo {
        name: name.to_string(),
        rate: rate.map(|rate| FxRate::from_raw((rate * 1e8) as i64).unwrap()),
    };
    RunMeta {
        scenario: "kimchi-sample".to_string(),
        version: "0.1.0".to_string(),
        seed: 42,
        digest: "9f2c".repeat(16),
        base_currency: "KRW".to_string(),
        window: Some(Window {
            from: TimestampNs(START_NS),
            to: TimestampNs(START_NS + hours * 3600 * SECOND_NS),
        }),
        instruments: vec![
            instrument("upbit:KRW-BTC", 0),
            instrument("binance:BTCUSDT", 1),
            instrument("upbit:KRW-ETH", 0),
            instrument("binance:ETHUSDT", 1),
        ],
        routes: vec![
            "upbit:KRW-BTC/binance:BTCUSDT".to_string(),
            "upbit:KRW-ETH/binance:ETHUSDT".to_string(),
        ],
        currencies: vec![
            currency("KRW", Some(1.0)),
            currency("USDT", Some(1340.0)),
            currency("BTC", Some(80_000_000.0)),
            currency("ETH", Some(3_400_000.0)),
        ],
        inputs: vec![
            InputInfo {
                name: "upbit-krw-btc".to_string(),
                hash: "4ac1".repeat(16),
                messages: 1_234_567,
                rows: 37_037_010,
            },
            InputInfo {
                name: "binance-btcusdt".to_string(),
                hash: "77d0".repeat(16),
                messages: 7_654_321,
                rows: 91_851_852,
            },
        ],
        events: 8_888_888,
        rows: 128_888_862,
        counters: BTreeMap::from([("dropped_old".to_string(), 12), ("gaps".to_string(), 3)]),
        idle_ns: BTreeMap::from([
            ("no_fx".to_string(), 90 * SECOND_NS),
            ("stale".to_string(), 1_800 * SECOND_NS),
        ]),
        warnings: vec!["fill_model = \"top\" fills any size at the best price: results flatter".to_string()],
    }
}

/// A run of so many hours, a sample a minute, in which premiums wander and are traded.
pub fn market(hours: i64, seed: u64) -> (Rows, RunMeta) {
    let mut rows = Rows::default();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let (mut btc, mut earned, mut next_id) = (80e6_f64, 0.0_f64, 1);
    let mut premium = [20.0_f64, 5.0];
    let mut fair = premium;
    let mut open: [Option<(TimestampNs, f64, f64)>; 2] = [None, None];
    for minute in 0..=hours * 60 {
        let ts = TimestampNs(START_NS + minute * 60 * SECOND_NS);
        btc *= 1.0 + 0.0008 * draw(&mut state);
        for route in 0..2 {
            premium[route] += 0.06 * (15.0 - premium[route]) + 6.0 * draw(&mut state);
            fair[route] += (premium[route] - fair[route]) / 120.0;
            rows.spread.push(SpreadPoint {
                ts,
                route: RouteId(route as u16),
                premium: Bps::from_bps(premium[route]),
                fair: Bps::from_bps(fair[route]),
            });
            let deviation = premium[route] - fair[route];
            match open[route] {
                None if deviation.abs() > 16.0 => {
                    open[route] = Some((ts, premium[route], fair[route]));
                    rows.risk.push(RiskRecord {
                        ts,
                        route: Some(RouteId(route as u16)),
                        verdict: if minute % 5 == 0 {
                            Verdict::Block
                        } else {
                            Verdict::Allow
                        },
                        reason: if minute % 2 == 0 {
                            Reason::ConsecutiveLosses
                        } else {
                            Reason::NoFx
                        },
                    });
                }
                Some((entry, from, from_fair)) => {
                    let turn = if from > from_fair { 1.0 } else { -1.0 };
                    let held = ts.since(entry) / SECOND_NS;
                    let reason = match deviation * turn {
                        back if back < 3.0 => ExitReason::Converged,
                        back if back > 30.0 => ExitReason::Stop,
                        _ if held > 7200 => ExitReason::MaxHold,
                        _ => continue,
                    };
                    let direction = if turn > 0.0 { Direction::SellA } else { Direction::BuyA };
                    let gained = (from - premium[route]) * turn * 1e6 * 1e-4;
                    let (fees, slippage) = (amount(1_050.0), amount(180.0 + 40.0 * draw(&mut state)));
                    let legging = amount(if minute % 7 == 0 { 220.0 } else { 0.0 });
                    let (premium_part, fx) = (amount(gained), amount(60.0 * draw(&mut state)));
                    let pnl =
                        Amount::from_raw(premium_part.raw() + fx.raw() - fees.raw() - slippage.raw() - legging.raw())
                            .unwrap();
                    earned += pnl.to_f64();
                    rows.round_trips.push(RoundTrip {
                        route: RouteId(route as u16),
                        direction,
                        reason,
                        qty: qty(0.0125),
                        ts_entry: entry,
                        ts_exit: ts,
                        ts_closed: ts.plus(SECOND_NS / 4),
                        open: Bps::from_bps(from - 1.0),
                        close: Bps::from_bps(premium[route] + 1.0),
                        premium: (Bps::from_bps(from), Bps::from_bps(premium[route])),
                        fair: (Bps::from_bps(from_fair), Bps::from_bps(fair[route])),
                        pnl,
                        attribution: Attribution {
                            premium: premium_part,
                            fx,
                            fees,
                            slippage,
                            legging,
                        },
                    });
                    open[route] = None;
                    for (leg, role, at) in [
                        (Leg::A, Role::Entry, entry),
                        (Leg::B, Role::Entry, entry),
                        (Leg::A, Role::Exit, ts),
                        (Leg::B, Role::Exit, ts),
                    ] {
                        trade(&mut rows, &mut next_id, route as u16, leg, role, at, btc);
                    }
                }
                _ => {}
            }
        }
        let hold = 50e6 + 0.5 * btc;
        rows.equity.push(EquityPoint {
            ts,
            equity: amount(hold + earned + 400.0 * draw(&mut state)),
            hold: amount(hold),
        });
    }
    (rows, meta(hours))
}

fn trade(rows: &mut Rows, next_id: &mut u64, route: u16, leg: Leg, role: Role, ts: TimestampNs, btc: f64) {
    let id = OrderId(*next_id);
    *next_id += 1;
    let second = u16::from(leg == Leg::B);
    let instrument = InstrumentId(route * 2 + second);
    let mid = if leg == Leg::A { btc } else { btc / 1340.0 };
    let side = if (role == Role::Entry) == (leg == Leg::A) {
        Side::Sell
    } else {
        Side::Buy
    };
    let (status, filled) = match id.0 % 17 {
        5 => (OrderStatus::Rejected(Reject::InsufficientBalance), 0.0),
        9 => (OrderStatus::Expired, 0.006),
        _ => (OrderStatus::Filled, 0.0125),
    };
    let order_type = match id.0 % 3 {
        0 => OrderType::Market,
        1 => OrderType::Limit(price(mid)),
        _ => OrderType::PostOnly(price(mid)),
    };
    rows.orders.push(OrderRecord {
        order: Order {
            id,
            route: RouteId(route),
            leg,
            role,
            instrument,
            side,
            qty: qty(0.0125),
            order_type,
            ts_sent: ts,
            mid: price(mid),
        },
        status,
        filled: qty(filled),
        ts_venue: (!id.0.is_multiple_of(23)).then(|| ts.plus(12_000_000)),
        ts_report: (!id.0.is_multiple_of(23)).then(|| ts.plus(24_000_000)),
    });
    if filled > 0.0 {
        rows.fills.push(FillRecord {
            fill: Fill {
                order: id,
                instrument,
                side,
                price: price(mid * 1.0001),
                qty: qty(filled),
                notional: amount(mid * 1.0001 * filled),
                fee: amount(mid * filled * 0.0005),
                fee_currency: CurrencyId(second),
                liquidity: if id.0 % 3 == 2 {
                    Liquidity::Maker
                } else {
                    Liquidity::Taker
                },
                ts_venue: ts.plus(12_000_000),
            },
            route: RouteId(route),
            leg,
            slippage: amount(mid * filled * 0.0001),
            ts_report: ts.plus(24_000_000),
        });
    }
}

/// These rows as a finished run.
pub fn run(run_id: &str, (rows, meta): (Rows, RunMeta)) -> Run {
    Run {
        run_id: run_id.to_string(),
        statistics: Statistics::new(&rows, &meta, None).unwrap(),
        meta,
        config: "name = \"kimchi-sample\"\nseed = 42\nbase_currency = \"KRW\"\n\n[strategy]\nentry_bps = 16.0\n# <b>not markup</b> & so on\n".to_string(),
        rows,
        seconds: 1.25,
    }
}
