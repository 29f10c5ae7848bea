//! Rows R of the fault matrix that a replay meets, from datasets to results. Which test stands for which row:
//! `docs/reliability.md`.

use crossbook::dataset::message::Message;
use crossbook::report::Run;
use crossbook_engine::event::{FeedStatus, Kind};
use crossbook_engine::order::OrderStatus;
use crossbook_engine::records::ExitReason;
use crossbook_engine::risk::Reason;
use crossbook_engine::units::{FxRate, Qty, TimestampNs};

use super::by_hand::{DELAY, MS, Market, PHASE, SECOND, START, TICK, sent};
use super::lab;

fn count(run: &Run, name: &str) -> u64 {
    run.meta.counters[name]
}

fn idle_ms(run: &Run, name: &str) -> i64 {
    run.meta.idle_ns[name] / MS
}

fn said(run: &Run, reason: Reason) -> bool {
    run.rows.risk.iter().any(|record| record.reason == reason)
}

/// Whether an order was sent in this span after the start.
fn any_sent(run: &Run, from: i64, to: i64) -> bool {
    sent(run, START).iter().any(|at| (from..to).contains(at))
}

#[test]
fn the_market_by_hand_is_traded_at_each_jump() {
    let run = Market::new(41).run(&[]);
    let times = sent(&run, START);
    // Two round trips of two legs each way, each at the first message that shows the jump.
    let want: Vec<i64> = (1..=4).flat_map(|phase| [phase * PHASE + DELAY; 2]).collect();
    assert_eq!(times, want);
    assert_eq!(run.statistics.round_trips, 2);
    assert!(
        run.rows
            .orders
            .iter()
            .all(|record| record.status == OrderStatus::Filled)
    );
    assert!(
        run.rows
            .round_trips
            .iter()
            .all(|trip| trip.reason == ExitReason::Converged)
    );
    assert!(
        run.statistics.wins == 2 && run.rows.risk.is_empty(),
        "{:?}",
        run.rows.risk
    );
}

#[test]
fn f12_duplicates_change_nothing() {
    let market = Market::new(25);
    let mut twice = market.clone();
    twice.b = market
        .b
        .iter()
        .flat_map(|message| [message.clone(), message.clone()])
        .collect();
    let (once, twice) = (market.run(&[]), twice.run(&[]));
    assert_eq!(once.meta.digest, twice.meta.digest);
    // Changes are told by their numbers; a snapshot that comes again says the same again.
    let changes = market.b.iter().filter(|message| message.kind == Kind::Update).count();
    assert_eq!(
        (count(&once, "messages_old"), count(&twice, "messages_old")),
        (0, changes as u64)
    );
}

#[test]
fn f13_a_missing_diff_is_a_gap_and_nothing_is_priced_until_the_next_snapshot() {
    let market = Market::new(21);
    for lost in [1, 2, 50, 97, 98, 101, 150, 198] {
        let mut torn = market.clone();
        torn.b.remove(lost);
        let run = torn.run(&[]);
        assert_eq!(count(&run, "sequence_gaps"), 1, "{lost}");
        // Known from the next message on; the next snapshot mends it.
        let known = (lost as i64 + 1) * TICK + DELAY;
        let mended = (lost as i64 / 100 + 1) * PHASE + DELAY;
        assert!(!any_sent(&run, known, mended), "{lost}: {:?}", sent(&run, START));
        assert!(idle_ms(&run, "blocked") >= (mended - known) / MS, "{lost}");
        assert!(said(&run, Reason::VenueDown), "{lost}");
        assert!(any_sent(&run, PHASE, 2 * PHASE + SECOND), "{lost}: trades when it may");
    }
}

#[test]
fn f14_diffs_out_of_order_are_a_gap_and_never_a_wrong_book() {
    let market = Market::new(21);
    for at in [60usize, 97, 110] {
        let mut mixed = market.clone();
        let (first, second) = (mixed.b[at].clone(), mixed.b[at + 1].clone());
        // The second comes in place of the first, and the first after it.
        mixed.b[at] = Message {
            ts_recv: first.ts_recv,
            ts_event: first.ts_event,
            ..second.clone()
        };
        mixed.b[at + 1] = Message {
            ts_recv: second.ts_recv,
            ts_event: second.ts_event,
            ..first
        };
        let run = mixed.run(&[]);
        assert_eq!(count(&run, "sequence_gaps"), 1, "{at}");
        let known = at as i64 * TICK + DELAY;
        let mended = (at as i64 / 100 + 1) * PHASE + DELAY;
        assert!(!any_sent(&run, known, mended), "{at}");
    }
}

#[test]
fn f18_a_crossed_or_locked_book_decides_nothing_and_is_counted() {
    for locked in [false, true] {
        let mut market = Market::new(21);
        // From just before the jump until two seconds after it.
        for message in &mut market.a[99..120] {
            message.asks[0].price = message.bids[if locked { 0 } else { 1 }].price;
        }
        let run = market.run(&[]);
        assert_eq!(count(&run, "crossed_books"), 1);
        assert_eq!(sent(&run, START)[0], PHASE + 2 * SECOND + DELAY, "locked: {locked}");
        assert!(said(&run, Reason::VenueDown));
    }
}

#[test]
fn f19_an_empty_side_decides_nothing_and_one_level_is_enough() {
    for (levels, first) in [(0, PHASE + 2 * SECOND), (1, PHASE)] {
        let mut market = Market::new(21);
        for message in &mut market.a[99..120] {
            message.bids.truncate(levels);
            message.asks.truncate(levels.max(1));
        }
        let run = market.run(&[]);
        assert_eq!(sent(&run, START)[0], first + DELAY, "{levels} levels");
    }
}

#[test]
fn f20_size_outside_the_trusted_range_is_not_executable() {
    let mut market = Market::new(21);
    // The asks of B walk up through the snapshot's three levels and beyond: what is told there is true, but what else
    // rests in between is not known.
    let change = &mut market.b[99];
    let beyond = |message: &Message, by: i64| {
        let mut level = message.asks[0];
        level.price = crossbook_engine::units::Price::from_raw(level.price.raw() + by * 100_000_000).unwrap();
        level
    };
    let mut asks = Vec::new();
    for by in [0, 5, 10] {
        asks.push(beyond(change, by));
    }
    asks.iter_mut().for_each(|level| level.qty = Qty::ZERO);
    asks[2].qty = Qty::parse("0.001").unwrap();
    let mut outside = beyond(change, 30);
    outside.qty = Qty::parse("5").unwrap();
    asks.push(outside);
    change.asks = asks;
    // No snapshot comes to mend it, and changes leave the best levels alone.
    for message in &mut market.b[100..] {
        message.asks.clear();
        if message.kind == Kind::Snapshot {
            message.kind = Kind::Update;
            message.seq_first = message.seq_last.map(|last| last - 1);
        }
    }
    let run = market.run(&["strategy.exit_bps=-1000"]);
    let entries: Vec<_> = run.rows.orders.iter().map(|record| record.order.qty).collect();
    assert!(!entries.is_empty(), "the trusted level is tradeable");
    assert!(
        entries.iter().all(|qty| *qty <= Qty::parse("0.001").unwrap()),
        "{entries:?}"
    );
}

#[test]
fn f21_older_exchange_times_are_dropped_and_equal_ones_taken() {
    let market = Market::new(25);
    let want = market.run(&[]).meta.digest;
    // A frame of the low phase comes again, late, in the middle of the high one.
    let mut late = market.clone();
    let mut old = market.a[90].clone();
    old.ts_recv = TimestampNs(market.a[130].ts_recv.0 + MS);
    late.a.insert(131, old);
    let run = late.run(&[]);
    assert_eq!(count(&run, "messages_old"), 1);
    assert_eq!(run.meta.digest, want);
    // The same frame twice has the same time, and is taken, and says nothing new.
    let mut equal = market.clone();
    let again = Message {
        ts_recv: market.a[130].ts_recv.plus(MS),
        ..market.a[130].clone()
    };
    equal.a.insert(131, again);
    let run = equal.run(&[]);
    assert_eq!((count(&run, "messages_old"), &run.meta.digest), (0, &want));
}

#[test]
fn f28_no_believable_rate_no_edge() {
    let from_to = |market: &mut Market, of: &mut dyn FnMut(&mut Message) -> bool| {
        // Bad from two seconds before the jump until five seconds after it.
        market.rate.retain_mut(|message| {
            let since = message.ts_event.0 - START;
            !(PHASE - 2 * SECOND..PHASE + 5 * SECOND).contains(&since) || of(message)
        });
    };
    let set = |text: &'static str| {
        move |message: &mut Message| {
            message.values = vec![FxRate::parse(text).unwrap().raw()];
            true
        }
    };
    // What happens to the rate; whether it is refused by its value (or by its age); how long without, in ms.
    type Fault<'a> = (&'a str, Box<dyn FnMut(&mut Message) -> bool>, bool, i64);
    let cases: [Fault<'_>; 5] = [
        // The last rate is of second 7, so it is too old from second 10 on.
        ("stale", Box::new(|_| false), false, 5_000),
        ("100 times", Box::new(set("140000")), true, 7_000),
        ("a hundredth", Box::new(set("14")), true, 7_000),
        ("inverted", Box::new(set("0.00071428")), true, 7_000),
        ("just outside", Box::new(set("2000.00000001")), true, 7_000),
    ];
    for (name, mut fault, refused, ms) in cases {
        let mut market = Market::new(25);
        from_to(&mut market, &mut *fault);
        let run = market.run(&[]);
        assert_eq!(sent(&run, START)[0], PHASE + 5 * SECOND + DELAY, "{name}");
        assert_eq!(count(&run, "fx_rejected"), if refused { 7 } else { 0 }, "{name}");
        let reason = if refused { Reason::FxBand } else { Reason::NoFx };
        assert!(said(&run, reason), "{name}: {:?}", run.rows.risk);
        let without = idle_ms(&run, "no_fx");
        assert!((without - ms).abs() <= 200, "{name}: {without} ms without a rate");
        let told = run
            .statistics
            .idle
            .iter()
            .any(|idle| idle.cause == "no_fx" && idle.seconds > 4.0);
        assert!(told, "{name}: {:?}", run.statistics.idle);
    }

    // Missing altogether: nothing is traded, and nothing is worth anything.
    let mut market = Market::new(25);
    market.rate.clear();
    let run = market.run(&[]);
    assert!(run.rows.orders.is_empty() && run.rows.equity.is_empty());
    assert!((idle_ms(&run, "no_fx") - 24_900).abs() <= 200);

    // Without a band an absurd rate makes an absurd premium, and that alone is refused.
    let mut market = Market::new(25);
    from_to(&mut market, &mut set("140000"));
    let run = market.run(&["fx.band=[\"0.01\", \"1000000\"]"]);
    assert!(said(&run, Reason::AbnormalSpread), "{:?}", run.rows.risk);
    assert_eq!(sent(&run, START)[0], PHASE + 5 * SECOND + DELAY);
}

#[test]
fn f28_a_rate_of_zero_or_less_is_no_rate() {
    for text in ["0", "-1400", "NaN", "1e400"] {
        assert!(FxRate::parse(text).is_err(), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let sets = format!("fx.source=\"{text}\"");
        Market::new(1).write(folder.path());
        std::fs::write(folder.path().join("s.toml"), super::by_hand::SCENARIO).unwrap();
        let told = lab::told(folder.path(), &["replay", "s.toml", "--set", &sets]);
        assert_eq!(told.code, Some(2), "{text}: {}", told.err);
        assert!(
            told.err.contains("fx.source") && told.err.contains(text),
            "{}",
            told.err
        );
    }
}

#[test]
fn f31_nothing_to_trade_is_a_result_with_counts() {
    let whole = Market::new(21);
    let empty = Market {
        a: Vec::new(),
        b: Vec::new(),
        rate: Vec::new(),
    };
    let one = Market {
        a: whole.a[..1].to_vec(),
        b: Vec::new(),
        rate: whole.rate[..1].to_vec(),
    };
    // B begins when A has ended.
    let later = Market::at(START + 30 * SECOND, 21);
    let apart = Market {
        b: later.b,
        ..whole.clone()
    };
    for (name, market, events) in [("empty", empty, 0), ("one event", one, 2), ("no overlap", apart, 441)] {
        let folder = tempfile::tempdir().unwrap();
        market.write(folder.path());
        std::fs::write(folder.path().join("s.toml"), super::by_hand::SCENARIO).unwrap();
        let told = lab::told(folder.path(), &["replay", "s.toml", "--json"]);
        assert_eq!(told.code, Some(0), "{name}: {}", told.err);
        assert!(told.out.contains("round trips  none"), "{name}: {}", told.out);
        let json = told.json();
        assert_eq!(json["events"], events, "{name}");
        assert_eq!(
            (&json["round_trips"], &json["pnl"]),
            (&0.into(), &serde_json::json!(0)),
            "{name}: {json}"
        );
        assert_eq!(json["statistics"]["orders"]["sent"], 0, "{name}");
        let told = lab::told(folder.path(), &["verify", "runs/hand"]);
        assert_eq!(told.code, Some(0), "{name}: {}", told.err);
    }
}

#[test]
fn f33_a_venue_clock_ahead_of_ours_is_counted_and_used_no_earlier_than_received() {
    let market = Market::new(25);
    let mut ahead = market.clone();
    for message in &mut ahead.b {
        message.ts_event = message.ts_event.plus(SECOND);
    }
    let (fair, ahead) = (market.run(&[]), ahead.run(&[]));
    assert_eq!(count(&fair, "times_held_at_receipt"), 0);
    assert_eq!(count(&ahead, "times_held_at_receipt"), market.b.len() as u64);
    assert_eq!(sent(&ahead, START), sent(&fair, START));
    assert!(
        ahead
            .rows
            .fills
            .iter()
            .all(|record| record.fill.ts_venue <= record.ts_report)
    );
}

#[test]
fn f35_equal_times_across_sources_are_ordered_by_name_not_by_list() {
    // Book and rate change at the same instant; whichever is looked at first must not matter to the decision, and the list of
    // datasets must not matter at all.
    let market = Market::new(41);
    let want = market.run(&[]).meta.digest;
    for order in [["b", "a", "rate"], ["rate", "b", "a"], ["a", "rate", "b"]] {
        let set = format!("datasets={order:?}");
        assert_eq!(market.run(&[&set]).meta.digest, want, "{order:?}");
    }
    // One decision an instant: everything of one receive time is taken in first.
    let run = market.run(&[]);
    assert_eq!(count(&run, "decisions"), market.a.len() as u64);
}

#[test]
fn f36_daily_limits_begin_anew_at_midnight_in_seoul_and_windows_share_no_event() {
    // Ends of a day, a month and a year, by the clock of Seoul: 15:00 UTC.
    for midnight in ["2026-03-02T15:00:00Z", "2026-02-28T15:00:00Z", "2026-12-31T15:00:00Z"] {
        let midnight: jiff::Timestamp = midnight.parse().unwrap();
        let start = midnight.as_second() * SECOND - 25 * SECOND;
        // A stop that every trade meets: each round trip loses its fees.
        let sets = ["strategy.stop_bps=1", "risk.global.max_daily_loss=\"1000\""];
        let run = Market::at(start, 45).run(&sets);
        let times = sent(&run, start);
        let (before, after): (Vec<i64>, Vec<i64>) = times.iter().partition(|at| **at < 25 * SECOND);
        // One losing trip, then nothing until midnight although the premium is still there, then one again.
        assert_eq!((before.len(), after.len()), (4, 4), "{midnight}: {times:?}");
        assert!(
            before.iter().all(|at| *at < 11 * SECOND) && after[0] >= 30 * SECOND,
            "{times:?}"
        );
        assert!(said(&run, Reason::DailyLoss));
        let utc = Market::at(start, 45).run(&[sets[0], sets[1], "risk.day_zone=UTC"]);
        assert_eq!(sent(&utc, start).len(), 4, "{midnight}: no midnight of UTC is in it");
    }
    // Two windows that meet: each message is in exactly one.
    let folder = tempfile::tempdir().unwrap();
    let market = Market::new(20);
    market.write(folder.path());
    let messages = |sets: &[&str]| -> u64 {
        let run = lab::run_scenario(folder.path(), super::by_hand::SCENARIO, sets).unwrap();
        run.meta.inputs.iter().map(|input| input.messages).sum()
    };
    let whole = messages(&[]);
    let meet = "2026-03-02T00:00:10.005Z"; // the very instant of three messages
    let before = messages(&[&format!("window.to=\"{meet}\"")]);
    let after = messages(&[&format!("window.from=\"{meet}\"")]);
    assert_eq!((before + after, before), (whole, 100 + 100 + 10));
}

#[test]
fn a_feed_that_is_down_prices_nothing_until_it_is_whole_again() {
    let mut market = Market::new(30);
    let cut = START + PHASE - SECOND + DELAY;
    let status = |at: i64, status| Message::status(TimestampNs(at), status);
    // Down at second 9, up again at second 12, but the next snapshot comes at second 20.
    market
        .b
        .retain(|message| !(cut..cut + 3 * SECOND).contains(&message.ts_recv.0));
    let down = market.b.iter().position(|message| message.ts_recv.0 >= cut).unwrap();
    market.b.insert(down, status(cut, FeedStatus::Disconnected));
    market
        .b
        .insert(down + 1, status(cut + 3 * SECOND - MS, FeedStatus::Connected));
    let run = market.run(&[]);
    assert!(
        run.rows.orders.is_empty(),
        "the only high phase is over: {:?}",
        sent(&run, START)
    );
    assert!(idle_ms(&run, "blocked") >= 10_900, "{} ms", idle_ms(&run, "blocked"));
}

/// What each limit of the scenario file does, reached exactly or passed by the least step, or kept.
#[test]
fn f66_limits_in_the_scenario_refuse_what_is_beyond_them() {
    // A leg of the entry is worth at most its notional at the mid, a little less than a million KRW.
    let market = Market::new(21);
    let free = market.run(&[]);
    let qty = free.rows.orders[0].order.qty;
    let of = |price: i128| (price * i128::from(qty.raw()) + 99_999_999) / 100_000_000;
    // The dearer leg: A at its mid of 141,400,000 KRW, in 1e-8.
    let value = of(141_400_000 * 100_000_000);
    let money = |raw: i128| format!("{}.{:08}", raw / 100_000_000, raw % 100_000_000);
    let limits = [
        ("risk.route.max_order_notional", Reason::OrderNotional),
        ("risk.symbol.max_exposure", Reason::SymbolExposure),
        ("risk.global.max_exposure", Reason::TotalExposure),
    ];
    for (key, reason) in limits {
        for (limit, trades) in [(value - 1, false), (value, true), (value + 1, true)] {
            let run = market.run(&[&format!("{key}=\"{}\"", money(limit))]);
            assert_eq!(!run.rows.orders.is_empty(), trades, "{key} = {}", money(limit));
            assert_eq!(said(&run, reason), !trades, "{key}: {:?}", run.rows.risk);
        }
    }
    // The premium of the high phase is 100 bps.
    for (limit, trades) in [("99.9999", false), ("100", true)] {
        let run = market.run(&[&format!("risk.route.max_abs_premium_bps={limit}")]);
        assert_eq!(!run.rows.orders.is_empty(), trades, "{limit} bps");
        assert_eq!(said(&run, Reason::AbnormalSpread), !trades, "{limit} bps");
    }
    let longer = Market::new(81);
    let cases: [(&[&str], Reason, u64); 4] = [
        (&["risk.route.max_trips_per_hour=2"], Reason::TripsPerHour, 2),
        (&["risk.symbol.allow=[]"], Reason::NotAllowed, 0),
        (
            &["risk.symbol.max_move_bps=50", "risk.symbol.move_window_s=30"],
            Reason::Volatility,
            0,
        ),
        (
            &[
                "risk.route.max_consecutive_losses=1",
                "risk.route.cooldown_s=3600",
                "strategy.stop_bps=1",
            ],
            Reason::ConsecutiveLosses,
            1,
        ),
    ];
    assert_eq!(longer.run(&[]).statistics.round_trips, 4);
    for (sets, reason, trips) in cases {
        let run = longer.run(sets);
        assert!(said(&run, reason), "{sets:?}: {:?}", run.rows.risk);
        assert_eq!(run.statistics.round_trips, trips, "{sets:?}");
    }
    // One order a second and venue is enough for a pair; none in the same second for a second pair.
    let sets = ["risk.venue.max_orders_per_second=1", "strategy.stop_bps=1"];
    let times = sent(&longer.run(&sets), START);
    for second in 0..81 {
        let here = times.iter().filter(|at| **at / SECOND == second).count();
        assert!(
            here <= 4,
            "an exit is never held back, a second entry is: {here} orders in second {second}"
        );
    }
}

#[test]
fn f67_a_loss_that_reaches_its_limit_stops_all_trading() {
    let market = Market::new(81);
    let losing = ["strategy.stop_bps=1"];
    let free = market.run(&losing);
    let first = -free.rows.round_trips[0].pnl.raw();
    assert!(
        first > 0 && free.statistics.round_trips > 20,
        "{}",
        free.statistics.round_trips
    );
    let money = |raw: i64| format!("{}.{:08}", raw / 100_000_000, raw % 100_000_000);
    for (key, reason) in [
        ("risk.global.max_daily_loss", Reason::DailyLoss),
        ("risk.global.max_drawdown", Reason::Drawdown),
        ("risk.venue.max_daily_loss", Reason::VenueDailyLoss),
    ] {
        // Jumped over by the first trade, or reached by none.
        let run = market.run(&[losing[0], &format!("{key}=\"{}\"", money(first / 2))]);
        assert_eq!(run.statistics.round_trips, 1, "{key}");
        assert!(said(&run, reason), "{key}: {:?}", run.rows.risk);
        let stopped = run.rows.risk.iter().find(|record| record.reason == reason).unwrap().ts;
        assert!(
            run.rows
                .orders
                .iter()
                .all(|record| record.order.ts_sent <= stopped
                    || record.order.role != crossbook_engine::order::Role::Entry),
            "{key}"
        );
        let run = market.run(&[losing[0], &format!("{key}=\"{}\"", money(first * 1_000))]);
        assert_eq!(run.statistics.round_trips, free.statistics.round_trips, "{key}");
    }
    // Reached exactly by the first round trip: that of the venue is counted in whole round trips.
    let run = market.run(&[losing[0], &format!("risk.venue.max_daily_loss=\"{}\"", money(first))]);
    assert_eq!(run.statistics.round_trips, 1);
    let run = market.run(&[
        losing[0],
        &format!("risk.venue.max_daily_loss=\"{}\"", money(first + 1)),
    ]);
    assert_eq!(run.statistics.round_trips, 2);
}

#[test]
fn f70_a_scenario_that_does_not_fit_its_datasets_is_refused_with_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    Market::new(1).write(root);
    let cases = [
        ("entry_bps = 20.0", "entry = 20.0", "unknown field `entry`"),
        ("entry_bps = 20.0", "", "missing field `entry_bps`"),
        ("max_age_ms = 3000", "max_age = 3000", "unknown field `max_age`"),
        ("max_age_ms = 3000", "max_age_ms = -3000", "max_age_ms"),
        ("taker_fee_bps = 5.0", "taker_fee_bps = \"5 bps\"", "taker_fee_bps"),
        // Venues swapped: the instrument is not there.
        ("a = \"upbit:KRW-BTC\"", "a = \"upbit:BTCUSDT\"", "routes[0].a"),
        ("b = \"binance:BTCUSDT\"", "b = \"upbit:KRW-BTC\"", "routes[0]"),
        ("[venues.binance]", "[venues.binanse]", "venues.binance"),
        ("KRW = \"50000000\"", "EUR = \"50000000\"", "venues.upbit.balances.EUR"),
        (
            "\", currency = \"KRW\"",
            "\", currency = \"BTC\"",
            "strategy.size.currency",
        ),
        ("source = \"rate\"", "source = \"rates\"", "fx.source"),
        ("[\"a\", \"b\", \"rate\"]", "[\"a\", \"b\", \"c\"]", "no dataset `c`"),
        ("[\"a\", \"b\", \"rate\"]", "[\"a\", \"b\", \"b\"]", "named twice"),
        ("[\"a\", \"b\", \"rate\"]", "[\"a\", \"b\"]", "fx.source"),
        ("base_currency = \"KRW\"", "base_currency = \"JPY\"", "JPY"),
        (
            "[risk.venue]",
            "[risk]\nday_zone = \"Asia/Seul\"\n[risk.venue]",
            "risk.day_zone",
        ),
        (
            "[risk.venue]",
            "[risk.global]\nmax_drawdown = \"-1\"\n[risk.venue]",
            "risk.global.max_drawdown",
        ),
    ];
    for (from, to, want) in cases {
        let text = super::by_hand::SCENARIO.replacen(from, to, 1);
        assert_ne!(text, super::by_hand::SCENARIO, "{from}");
        std::fs::write(root.join("s.toml"), text).unwrap();
        let told = lab::told(root, &["replay", "s.toml"]);
        assert_eq!(told.code, Some(2), "{to}: {}{}", told.out, told.err);
        assert!(told.err.contains(want), "{to}: {}", told.err);
        assert!(
            told.err.contains("s.toml") || want.starts_with("no dataset"),
            "{to}: {}",
            told.err
        );
        let runs = std::fs::read_dir(root.join("runs"))
            .map(|entries| entries.count())
            .unwrap_or(0);
        assert_eq!(runs, 0, "{to}");
    }
    // Without a tick of trading: a rate is needed and there is none.
    let text = super::by_hand::SCENARIO.replace("[\"a\", \"b\", \"rate\"]", "[\"a\", \"b\"]");
    let start = text.find("[fx]").unwrap();
    let end = text.find("[[routes]]").unwrap();
    std::fs::write(root.join("s.toml"), format!("{}{}", &text[..start], &text[end..])).unwrap();
    let told = lab::told(root, &["replay", "s.toml"]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("fx: needed"), "{}", told.err);
}

#[test]
fn f29_a_damaged_dataset_stops_the_replay_at_its_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    Market::new(5).write(root);
    std::fs::write(root.join("s.toml"), super::by_hand::SCENARIO).unwrap();
    let data = root.join("b/data.parquet");
    let whole = std::fs::read(&data).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 4;
    for damaged in [
        &whole[..whole.len() - 9],
        &whole[..whole.len() / 2],
        &whole[..0],
        &flipped,
    ] {
        std::fs::write(&data, damaged).unwrap();
        let told = lab::told(root, &["replay", "s.toml"]);
        assert_eq!(told.code, Some(2), "{}", told.err);
        assert!(told.err.contains("data.parquet"), "{}", told.err);
    }
    std::fs::write(&data, &whole).unwrap();
    let manifest = root.join("b/dataset.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("BTCUSDT", "ETHUSDT")).unwrap();
    let told = lab::told(root, &["replay", "s.toml"]);
    assert_eq!(told.code, Some(2), "{}", told.err);
    assert!(told.err.contains("dataset.toml"), "{}", told.err);
    std::fs::remove_file(&data).unwrap();
    std::fs::write(&manifest, text).unwrap();
    let told = lab::told(root, &["replay", "s.toml"]);
    assert!(
        matches!(told.code, Some(2 | 4)) && told.err.contains("data.parquet"),
        "{:?} {}",
        told.code,
        told.err
    );
    let runs = std::fs::read_dir(root.join("runs"))
        .map(|entries| entries.count())
        .unwrap_or(0);
    assert_eq!(runs, 0);
}
