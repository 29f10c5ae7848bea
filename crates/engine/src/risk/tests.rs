use super::*;

const NOW: TimestampNs = TimestampNs(1_700_000_000_000_000_000);

fn amount(units: i64) -> Option<Amount> {
    Some(Amount::from_raw(units).unwrap())
}

fn entry(value: i64) -> Entry {
    Entry {
        route: RouteId(0),
        venues: [VenueId(0), VenueId(1)],
        symbol: CurrencyId(3),
        value,
        premium: Bps::from_bps(20.0),
    }
}

fn risk(limits: Limits) -> Risk {
    Risk::new(limits, 2, 2, vec![NOW.plus(HOUR_NS)])
}

fn reason(risk: &mut Risk, entry: Entry, exposure: Exposure, now: TimestampNs) -> Option<Reason> {
    risk.check(entry, &exposure, now).err().map(|refusal| refusal.reason)
}

/// F66: each bound below, at and above.
#[test]
fn size_bounds_refuse_what_is_above_and_take_what_is_at_them() {
    let order = Limits {
        route: RouteLimits {
            max_order_notional: amount(100),
            ..Default::default()
        },
        ..Default::default()
    };
    let symbol = Limits {
        symbol: SymbolLimits {
            max_exposure: amount(100),
            ..Default::default()
        },
        ..Default::default()
    };
    let total = Limits {
        global: GlobalLimits {
            max_exposure: amount(100),
            ..Default::default()
        },
        ..Default::default()
    };
    let cases = [
        (order, Exposure::default(), Reason::OrderNotional),
        (
            symbol,
            Exposure {
                symbol: 0,
                ..Default::default()
            },
            Reason::SymbolExposure,
        ),
        (
            total,
            Exposure {
                total: 0,
                ..Default::default()
            },
            Reason::TotalExposure,
        ),
    ];
    for (limits, exposure, why) in cases {
        let mut risk = risk(limits);
        for (value, want) in [(99, None), (100, None), (101, Some(why))] {
            assert_eq!(reason(&mut risk, entry(value), exposure, NOW), want, "{why:?} {value}");
        }
    }
}

#[test]
fn counts_refuse_at_their_limit() {
    let trades = Limits {
        global: GlobalLimits {
            max_open_trades: Some(2),
            ..Default::default()
        },
        ..Default::default()
    };
    let open = Limits {
        venue: VenueLimits {
            max_open_orders: Some(2),
            ..Default::default()
        },
        ..Default::default()
    };
    type Build = fn(u32) -> Exposure;
    let cases: [(Limits, Build, Reason); 2] = [
        (
            trades,
            |n| Exposure {
                open_trades: n,
                ..Default::default()
            },
            Reason::OpenTrades,
        ),
        (
            open,
            |n| Exposure {
                open_orders: [0, n],
                ..Default::default()
            },
            Reason::VenueOpenOrders,
        ),
    ];
    for (limits, exposure, why) in cases {
        let mut risk = risk(limits);
        for (count, want) in [(1, None), (2, Some(why)), (3, Some(why))] {
            assert_eq!(
                reason(&mut risk, entry(1), exposure(count), NOW),
                want,
                "{why:?} {count}"
            );
        }
    }
}

#[test]
fn message_and_trip_rates_are_counted_by_event_time() {
    let limits = Limits {
        venue: VenueLimits {
            max_orders_per_second: Some(2),
            ..Default::default()
        },
        route: RouteLimits {
            max_trips_per_hour: Some(2),
            ..Default::default()
        },
        ..Default::default()
    };
    let mut risk = risk(limits);
    risk.sent(VenueId(1), NOW);
    assert_eq!(reason(&mut risk, entry(1), Exposure::default(), NOW), None);
    risk.sent(VenueId(1), NOW);
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), NOW),
        Some(Reason::OrderRate)
    );
    let later = NOW.plus(SECOND_NS);
    assert_eq!(reason(&mut risk, entry(1), Exposure::default(), later), None);
    risk.entered(RouteId(0), NOW);
    risk.entered(RouteId(0), later);
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), later),
        Some(Reason::TripsPerHour)
    );
    let hour_later = NOW.plus(HOUR_NS);
    assert_eq!(reason(&mut risk, entry(1), Exposure::default(), hour_later), None);
}

/// F67: a loss or drawdown limit that is reached exactly, or jumped over, opens the breaker before the next order.
#[test]
fn loss_and_drawdown_halt_when_reached_or_jumped_over() {
    let daily = GlobalLimits {
        max_daily_loss: amount(100),
        ..Default::default()
    };
    let fall = GlobalLimits {
        max_drawdown: amount(100),
        ..Default::default()
    };
    for (global, why) in [(daily, Reason::DailyLoss), (fall, Reason::Drawdown)] {
        for (pnl, halts) in [(-99, false), (-100, true), (-1_000, true)] {
            let mut risk = risk(Limits {
                global: global.clone(),
                ..Default::default()
            });
            assert_eq!(risk.mark(pnl), halts, "{why:?} {pnl}");
            let want = halts.then_some(why);
            assert_eq!(risk.halt_reason(), want);
            let refusal = risk.check(entry(1), &Exposure::default(), NOW).err();
            assert_eq!(
                refusal.map(|r| (r.verdict, r.reason)),
                want.map(|why| (Verdict::Halt, why))
            );
        }
    }
}

#[test]
fn a_daily_halt_ends_at_midnight_and_a_drawdown_does_not() {
    let global = GlobalLimits {
        max_daily_loss: amount(100),
        ..Default::default()
    };
    let mut risk = risk(Limits {
        global,
        ..Default::default()
    });
    risk.mark(-150);
    let midnight = NOW.plus(HOUR_NS);
    risk.roll(midnight.plus(-1));
    assert_eq!(risk.halt_reason(), Some(Reason::DailyLoss));
    risk.roll(midnight);
    assert_eq!(risk.halt_reason(), None);
    assert!(!risk.mark(-249), "the new day counts from where the old one ended");
    assert!(risk.mark(-250));

    let global = GlobalLimits {
        max_drawdown: amount(100),
        ..Default::default()
    };
    let mut risk = Risk::new(
        Limits {
            global,
            ..Default::default()
        },
        2,
        2,
        vec![midnight],
    );
    risk.mark(500);
    risk.mark(400);
    risk.roll(midnight);
    assert_eq!(
        risk.halt_reason(),
        Some(Reason::Drawdown),
        "from the peak, not from zero"
    );
}

#[test]
fn losses_in_a_row_cool_down_the_route_alone() {
    let limits = Limits {
        route: RouteLimits {
            max_consecutive_losses: Some(2),
            cooldown_ns: 10,
            ..Default::default()
        },
        ..Default::default()
    };
    let mut risk = risk(limits);
    let venues = [VenueId(0), VenueId(1)];
    let pnl = |units| Amount::from_raw(units).unwrap();
    for units in [-1, 1, -1] {
        risk.closed(RouteId(0), venues, NOW, pnl(units));
    }
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), NOW),
        None,
        "a win in between starts anew"
    );
    risk.closed(RouteId(0), venues, NOW, pnl(-1));
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), NOW.plus(9)),
        Some(Reason::ConsecutiveLosses)
    );
    let other = Entry {
        route: RouteId(1),
        ..entry(1)
    };
    assert_eq!(reason(&mut risk, other, Exposure::default(), NOW.plus(9)), None);
    assert_eq!(reason(&mut risk, entry(1), Exposure::default(), NOW.plus(10)), None);
}

#[test]
fn a_venues_losses_of_the_day_block_it_until_midnight() {
    let limits = Limits {
        venue: VenueLimits {
            max_daily_loss: amount(10),
            ..Default::default()
        },
        ..Default::default()
    };
    let mut risk = risk(limits);
    risk.closed(
        RouteId(0),
        [VenueId(0), VenueId(1)],
        NOW,
        Amount::from_raw(-10).unwrap(),
    );
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), NOW),
        Some(Reason::VenueDailyLoss)
    );
    risk.roll(NOW.plus(HOUR_NS));
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), NOW.plus(HOUR_NS)),
        None
    );
}

#[test]
fn absurd_premiums_unlisted_symbols_and_wild_markets_are_refused() {
    let limits = Limits {
        route: RouteLimits {
            max_abs_premium: Some(Bps::from_bps(500.0)),
            ..Default::default()
        },
        symbol: SymbolLimits {
            allow: Some(vec![CurrencyId(3)]),
            max_move: Some(Bps::from_bps(100.0)),
            move_window_ns: 1_000,
            ..Default::default()
        },
        ..Default::default()
    };
    let mut risk = risk(limits);
    let at = |bps| Entry {
        premium: Bps::from_bps(bps),
        ..entry(1)
    };
    assert_eq!(reason(&mut risk, at(-500.0), Exposure::default(), NOW), None);
    assert_eq!(
        reason(&mut risk, at(-500.1), Exposure::default(), NOW),
        Some(Reason::AbnormalSpread)
    );
    let unlisted = Entry {
        symbol: CurrencyId(4),
        ..entry(1)
    };
    assert_eq!(
        reason(&mut risk, unlisted, Exposure::default(), NOW),
        Some(Reason::NotAllowed)
    );
    risk.observe(RouteId(0), NOW, 10_000);
    risk.observe(RouteId(0), NOW.plus(1), 10_100);
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), NOW),
        None,
        "at the limit"
    );
    risk.observe(RouteId(0), NOW.plus(2), 10_101);
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), NOW),
        Some(Reason::Volatility)
    );
    risk.observe(RouteId(0), NOW.plus(1_000), 10_101);
    assert_eq!(
        reason(&mut risk, entry(1), Exposure::default(), NOW),
        Some(Reason::Volatility),
        "the window before counts"
    );
    risk.observe(RouteId(0), NOW.plus(9_000), 10_101);
    assert_eq!(reason(&mut risk, entry(1), Exposure::default(), NOW), None);
}

#[test]
fn the_strictest_verdict_wins() {
    let limits = Limits {
        global: GlobalLimits {
            max_open_trades: Some(1),
            ..Default::default()
        },
        route: RouteLimits {
            max_abs_premium: Some(Bps::from_bps(1.0)),
            ..Default::default()
        },
        ..Default::default()
    };
    let mut risk = risk(limits);
    let full = Exposure {
        open_trades: 1,
        ..Default::default()
    };
    assert_eq!(
        reason(&mut risk, entry(1), full, NOW),
        Some(Reason::AbnormalSpread),
        "block over reduce"
    );
    risk.kill();
    assert_eq!(
        reason(&mut risk, entry(1), full, NOW),
        Some(Reason::Kill),
        "halt over block"
    );
}
