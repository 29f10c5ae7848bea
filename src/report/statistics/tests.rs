use crossbook_engine::instrument::RouteId;
use crossbook_engine::records::{Attribution, Direction, EquityPoint};
use crossbook_engine::units::{Bps, Qty, TimestampNs};
use proptest::prelude::*;

use super::*;
use crate::report::meta::Window;
use crate::report::samples;

const HOUR_NS: i64 = 3_600_000_000_000;

fn amount(units: i64) -> Amount {
    Amount::from_raw(units * 100_000_000).unwrap()
}

fn trip(entry_h: i64, closed_h: i64, pnl: i64, reason: ExitReason) -> RoundTrip {
    RoundTrip {
        route: RouteId(0),
        direction: Direction::SellA,
        reason,
        qty: Qty::from_raw(1).unwrap(),
        ts_entry: TimestampNs(entry_h * HOUR_NS),
        ts_exit: TimestampNs(closed_h * HOUR_NS),
        ts_closed: TimestampNs(closed_h * HOUR_NS),
        open: Bps::ZERO,
        close: Bps::ZERO,
        premium: (Bps::ZERO, Bps::ZERO),
        fair: (Bps::ZERO, Bps::ZERO),
        pnl: amount(pnl),
        attribution: Attribution {
            premium: amount(pnl + 10),
            fx: amount(-1),
            fees: amount(5),
            slippage: amount(3),
            legging: amount(1),
        },
    }
}

fn meta(hours: i64) -> RunMeta {
    RunMeta {
        window: Some(Window {
            from: TimestampNs(0),
            to: TimestampNs(hours * HOUR_NS),
        }),
        ..samples::meta(hours)
    }
}

fn equity(hours: i64, equity: i64, hold: i64) -> EquityPoint {
    EquityPoint {
        ts: TimestampNs(hours * HOUR_NS),
        equity: amount(equity),
        hold: amount(hold),
    }
}

#[test]
fn figures_match_a_hand_computed_table() {
    let rows = Rows {
        round_trips: vec![
            trip(0, 2, 100, ExitReason::Converged),
            trip(1, 4, -40, ExitReason::Stop),
            trip(6, 7, -20, ExitReason::Stop),
            trip(8, 9, 0, ExitReason::MaxHold),
            trip(9, 12, 30, ExitReason::Converged),
        ],
        equity: vec![
            equity(0, 1000, 1000),
            equity(5, 1260, 1200),
            equity(10, 1085, 1050),
            equity(20, 1130, 1050),
        ],
        ..Rows::default()
    };
    let got = Statistics::new(&rows, &meta(20), None).unwrap();
    let money = |units: i64| Money(amount(units));
    assert_eq!((got.pnl, got.pnl_vs_hold), (money(130), money(80)));
    assert_eq!((got.return_ratio, got.return_vs_hold), (Some(0.13), Some(0.08)));
    assert_eq!((got.round_trips, got.wins, got.losses), (5, 2, 2));
    assert_eq!(got.win_rate, Some(0.4));
    assert_eq!((got.gross_profit, got.gross_loss), (money(130), money(60)));
    assert_eq!(got.profit_factor, Some(130.0 / 60.0));
    assert_eq!(
        (got.average_pnl, got.average_win, got.average_loss),
        (Some(14.0), Some(65.0), Some(30.0))
    );
    assert_eq!((got.best, got.worst), (Some(money(100)), Some(money(-40))));
    assert_eq!(got.longest_losing_streak, 2);
    // Spans 2, 3, 1, 1, 3 hours.
    let holding = got.holding.unwrap();
    assert_eq!((holding.mean_s, holding.p50_s), (7200.0, 7200.0));
    assert_eq!((holding.p95_s, holding.max_s), (10800.0, 10800.0));
    // 0-4, 6-7 and 8-12 of 20 hours.
    assert_eq!(got.exposure, Some(9.0 / 20.0));
    // Against holding: 1000, 1060, 1035, 1080.
    let fall = got.drawdown.unwrap();
    assert_eq!((fall.amount, fall.share), (money(25), Some(25.0 / 1060.0)));
    assert_eq!(got.equity_drawdown.unwrap().amount, money(175));
    let calmar = 0.08 * (365.0 * 24.0) / 20.0 / (25.0 / 1060.0);
    assert!((got.calmar.unwrap() - calmar).abs() < 1e-9 * calmar);
    let sums = got.attribution;
    assert_eq!((sums.premium, sums.fx, sums.fees), (money(120), money(-5), money(25)));
    assert_eq!((sums.slippage, sums.legging), (money(15), money(5)));
    assert_eq!((sums.round_trips, sums.other), (money(70), money(10)));
    let exits: Vec<_> = got.exits.iter().map(|exit| (exit.count, exit.pnl)).collect();
    let none = (0, money(0));
    assert_eq!(
        exits,
        [(2, money(130)), none, (2, money(-60)), (1, money(0)), none, none]
    );
    assert_eq!(got.by_route[0].pnl, money(70));
    assert_eq!(got.by_route[1].round_trips, 0);
}

#[test]
fn what_is_not_defined_is_none() {
    let nothing = Statistics::new(&Rows::default(), &RunMeta::default(), None).unwrap();
    assert_eq!((nothing.sharpe, nothing.sortino, nothing.calmar), (None, None, None));
    assert_eq!(
        (nothing.win_rate, nothing.profit_factor, nothing.fill_ratio),
        (None, None, None)
    );
    assert_eq!(
        (nothing.return_ratio, nothing.exposure, nothing.turnover_ratio),
        (None, None, None)
    );
    assert_eq!((nothing.drawdown, nothing.holding, nothing.best), (None, None, None));
    assert_eq!((nothing.fees, nothing.turnover), (Some(Money::ZERO), Some(Money::ZERO)));

    let constant = Rows {
        equity: (0..100).map(|hour| equity(hour, 1000, 1000)).collect(),
        ..Rows::default()
    };
    let constant = Statistics::new(&constant, &meta(99), None).unwrap();
    assert_eq!((constant.sharpe, constant.sortino, constant.calmar), (None, None, None));
    assert_eq!(constant.returns, 99);
    assert_eq!(constant.return_vs_hold, Some(0.0));
    assert_eq!(constant.drawdown.unwrap().share, Some(0.0));

    let one_win = Rows {
        round_trips: vec![trip(1, 2, 10, ExitReason::Converged)],
        equity: vec![equity(0, 1000, 1000), equity(3, 1010, 1000)],
        ..Rows::default()
    };
    let one_win = Statistics::new(&one_win, &meta(3), None).unwrap();
    assert_eq!((one_win.win_rate, one_win.profit_factor), (Some(1.0), None));
    assert_eq!((one_win.average_win, one_win.average_loss), (Some(10.0), None));
}

#[test]
fn a_fee_without_a_rate_is_listed_but_not_guessed() {
    let (rows, mut meta) = samples::market(24, 1);
    let all = Statistics::new(&rows, &meta, None).unwrap();
    assert!(all.fees.unwrap() > Money::ZERO);
    meta.currencies[1].rate = None;
    let some = Statistics::new(&rows, &meta, None).unwrap();
    assert_eq!((some.fees, some.turnover, some.turnover_ratio), (None, None, None));
    assert_eq!(some.fees_by_currency, all.fees_by_currency);
    assert_eq!(some.fees_by_currency[1].currency, "USDT");
}

#[test]
fn orders_are_counted_once_each() {
    let (rows, meta) = samples::market(48, 3);
    let got = Statistics::new(&rows, &meta, None).unwrap();
    let orders = got.orders;
    assert_eq!(orders.sent, rows.orders.len() as u64);
    assert_eq!(
        orders.filled + orders.partly + orders.unfilled + orders.rejected + orders.open,
        orders.sent
    );
    assert_eq!(got.rejects[0].name, "insufficient_balance");
    assert_eq!(got.rejects[0].count, orders.rejected);
    assert!(got.fill_ratio.unwrap() > 0.8 && got.fill_ratio.unwrap() < 1.0);
}

#[test]
fn a_sum_that_does_not_fit_is_an_error() {
    let huge = RoundTrip {
        pnl: Amount::from_raw(i64::MAX).unwrap(),
        ..trip(0, 1, 0, ExitReason::Converged)
    };
    let rows = Rows {
        round_trips: vec![huge, huge],
        ..Rows::default()
    };
    assert_eq!(Statistics::new(&rows, &meta(1), None), Err(Overflow));
}

proptest! {
    #[test]
    fn parts_add_up_and_nothing_is_infinite(seed in 1u64..1_000_000, hours in 0i64..60) {
        let (rows, meta) = samples::market(hours, seed);
        let got = Statistics::new(&rows, &meta, None).unwrap();
        let sums = got.attribution;
        let raw = |money: Money| money.0.raw();
        prop_assert_eq!(
            raw(sums.premium) + raw(sums.fx) - raw(sums.slippage) - raw(sums.fees) - raw(sums.legging),
            raw(sums.round_trips)
        );
        prop_assert_eq!(raw(sums.round_trips) + raw(sums.other), raw(got.pnl_vs_hold));
        prop_assert_eq!(raw(got.gross_profit) - raw(got.gross_loss), raw(sums.round_trips));
        prop_assert_eq!(got.exits.iter().map(|exit| exit.count).sum::<u64>(), got.round_trips);
        prop_assert!(got.drawdown.is_none_or(|fall| fall.amount >= Money::ZERO));
        for share in [got.win_rate, got.exposure, got.fill_ratio].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share));
        }
        // JSON turns NaN and infinities into null: what is Some must stay a number.
        for ratio in [got.sharpe, got.sharpe_error, got.sortino, got.calmar, got.profit_factor].into_iter().flatten() {
            prop_assert!(ratio.is_finite());
        }
    }
}
