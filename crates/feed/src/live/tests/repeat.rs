//! The same inputs give the same events, whether or not anybody asked for timers in between.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Play {
    Frame(VenueIx, u32, String),
    Open(VenueIx, u32, Option<u32>),
    Lose(VenueIx, u32),
    Answer(VenueIx, u16, String),
}

fn venue_ix() -> impl Strategy<Value = VenueIx> {
    prop_oneof![Just(UPBIT), Just(BINANCE)]
}

fn play() -> impl Strategy<Value = Play> {
    let level = (1..200i64, 0..3i64);
    let levels = proptest::collection::vec(level, 0..4);
    let frame = prop_oneof![
        6 => (0..100_000i64, levels.clone(), levels.clone(), 1..60u64, 0..4u64).prop_map(|(ms, bids, asks, first, more)| {
            (BINANCE, diff(ms, first, first + more, &bids, &asks))
        }),
        4 => (0..100_000i64, 1..200i64, 1..200i64).prop_map(|(ms, ask, bid)| (UPBIT, upbit_book(ms, &[(ask, 1, bid, 1)]))),
        1 => (0..100_000i64, 0..50u64).prop_map(|(ms, id)| (UPBIT, upbit_trade(ms, id))),
        1 => (venue_ix(), "[\\[{}\\]\":a-z0-9,]{0,40}").prop_map(|(venue, text)| (venue, text)),
    ];
    prop_oneof![
        10 => (frame, 1..5u32).prop_map(|((venue, text), conn)| Play::Frame(venue, conn, text)),
        2 => (venue_ix(), 1..9u32, proptest::option::of(1..9u32)).prop_map(|(venue, conn, from)| Play::Open(venue, conn, from)),
        1 => (venue_ix(), 1..9u32).prop_map(|(venue, conn)| Play::Lose(venue, conn)),
        2 => (0..60u64, 1..200i64, 1..200i64)
            .prop_map(|(last, bid, ask)| Play::Answer(BINANCE, 200, depth(last, &[(bid, 1)], &[(ask, 1)]))),
        1 => (0..100_000i64, 1..200i64).prop_map(|(ms, ask)| Play::Answer(UPBIT, 200, upbit_answer(ms, &[(ask, 1, 90, 1)]))),
        1 => (venue_ix(), prop_oneof![Just(200u16), Just(429), Just(500)], "[\\[{}\\]\":a-z0-9,]{0,40}")
            .prop_map(|(venue, status, text)| Play::Answer(venue, status, text)),
    ]
}

fn session(plays: &[(i64, Play)], ticks: &[i64]) -> Run {
    let mut run = Run::new(&two_venues());
    let mut ms = 0;
    let mut ticks = ticks.iter().cycle();
    for (after, play) in plays {
        // Ticks between this input and the one before, wherever the list of them says.
        let mut tick = ms;
        while let Some(by) = ticks.next().filter(|by| tick + **by < ms + after) {
            tick += by;
            run.at(tick).tick();
        }
        ms += after;
        run.at(ms);
        match play {
            Play::Frame(venue, conn, text) => run.frame(*venue, *conn, text),
            Play::Open(venue, conn, from) => run.open(*venue, *conn, *from),
            Play::Lose(venue, conn) => run.lose(*venue, *conn),
            Play::Answer(UPBIT, status, text) => run.answer(UPBIT, "KRW-BTC", *status, text),
            Play::Answer(venue, status, text) => run.answer(*venue, "BTCUSDT", *status, text),
        }
    }
    run.at(ms + 40_000).finish();
    run
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn c5_the_same_inputs_give_the_same_events_gaps_and_commands_with_or_without_ticks(
        plays in proptest::collection::vec((prop_oneof![8 => 0..500i64, 1 => 0..40_000i64], play()), 0..80),
        ticks in proptest::collection::vec(1..5_000i64, 1..20),
    ) {
        let plain = session(&plays, &[]);
        let again = session(&plays, &[]);
        let ticked = session(&plays, &ticks);
        for other in [again, ticked] {
            prop_assert_eq!(&other.events, &plain.events);
            prop_assert_eq!(&other.gaps, &plain.gaps);
            prop_assert_eq!(&other.healths, &plain.healths);
            prop_assert_eq!(&other.commands, &plain.commands);
        }
        for (ix, market) in plain.pipeline.markets() {
            let (covered, gaps) = market.covered_and_gaps_ns();
            prop_assert_eq!(covered + gaps, plain.stamp.mono_ns, "{:?}", ix);
        }
    }
}
