//! Sessions at random against a market that is known: whatever the network does, a book that is called live is the book
//! that the market had at that id, and once faults stop every book becomes live.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A market of which every state is remembered.
struct Truth {
    /// Bids and asks after each id; ids count from zero.
    states: Vec<[BTreeMap<i64, i64>; 2]>,
    diffs: Vec<Cut>,
}

/// The ids of one diff.
#[derive(Clone, Copy)]
struct Cut {
    first: u64,
    last: u64,
    prev: u64,
}

/// Bids are 100 to 119, asks 121 to 140, so that no state is crossed.
fn truth(changes: &[(bool, u8, u8)], lengths: &[u8]) -> Truth {
    let start = |prices: std::ops::RangeInclusive<i64>| prices.map(|price| (price, 1)).collect();
    let mut states: Vec<[BTreeMap<i64, i64>; 2]> = vec![[start(100..=119), start(121..=140)]];
    for (ask, offset, qty) in changes {
        let mut next = states[states.len() - 1].clone();
        let price = i64::from(offset % 20) + if *ask { 121 } else { 100 };
        match qty {
            0 => next[usize::from(*ask)].remove(&price),
            qty => next[usize::from(*ask)].insert(price, i64::from(*qty)),
        };
        states.push(next);
    }
    let mut diffs = Vec::new();
    let mut at = 0;
    for length in lengths.iter().cycle() {
        let last = at + u64::from(*length);
        if last >= states.len() as u64 {
            break;
        }
        diffs.push(Cut {
            first: at + 1,
            last,
            prev: at,
        });
        at = last;
    }
    Truth { states, diffs }
}

impl Truth {
    fn diff(&self, ms: i64, cut: Cut, usdm: bool) -> String {
        // All that was touched, even what is again as it was: a snapshot may lie between.
        let sides = [0, 1].map(|side| {
            let mut changes = BTreeMap::new();
            for id in cut.first..=cut.last {
                let [from, to] = [id - 1, id].map(|id| &self.states[id as usize][side]);
                changes.extend(to.iter().filter(|(price, qty)| from.get(price) != Some(qty)));
                changes.extend(
                    from.keys()
                        .filter(|price| !to.contains_key(price))
                        .map(|price| (*price, 0)),
                );
            }
            changes.into_iter().collect::<Vec<(i64, i64)>>()
        });
        let spot = diff(ms, cut.first, cut.last, &sides[0], &sides[1]);
        if usdm {
            spot.replace(r#","b":"#, &format!(r#","T":{},"pu":{},"b":"#, WALL_MS + ms, cut.prev))
        } else {
            spot
        }
    }

    /// The whole book but for its last levels, so that what is not known plays a part.
    fn answer(&self, id: u64) -> String {
        let [bids, asks] = &self.states[id as usize];
        let bids: Vec<_> = bids.iter().rev().take(12).map(|(price, qty)| (*price, *qty)).collect();
        let asks: Vec<_> = asks.iter().take(12).map(|(price, qty)| (*price, *qty)).collect();
        depth(id, &bids, &asks)
    }

    fn check(&self, run: &Run) -> Result<bool, TestCaseError> {
        let market = MarketIx(0);
        if run.health(market).is_some() {
            return Ok(false);
        }
        let id = run.last[0].expect("a live book has an id");
        let book = &run.mirror[0];
        for (side, levels) in [BookSide::Bid, BookSide::Ask]
            .into_iter()
            .zip(&self.states[id as usize])
        {
            let real = |level: crossbook_engine::event::Level| {
                (level.price.raw() / 100_000_000, level.qty.raw() / 100_000_000)
            };
            let mut seen: Vec<_> = book.levels(side).map(real).collect();
            seen.sort_unstable();
            let known = |price: i64| {
                let price = crossbook_engine::units::Price::from_raw(price * 100_000_000).expect("a price");
                book.is_trusted(side, price)
            };
            let wanted: Vec<_> = levels
                .iter()
                .map(|(p, q)| (*p, *q))
                .filter(|(p, _)| known(*p))
                .collect();
            prop_assert_eq!(seen, wanted, "at id {}", id);
        }
        Ok(true)
    }
}

/// What the network does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The next diff comes over a connection.
    Next(usize),
    /// The next diff of a connection is lost.
    Lose(usize),
    /// A diff that came before comes again.
    Again(usize, u64),
    /// The next two come in the wrong order.
    Swap(usize),
    /// An answer comes, this many ids old.
    Answer(u64),
    /// A request fails.
    Fail,
    /// Time passes.
    Wait(i64),
    /// A connection is lost; another is made at once.
    Cut(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let conn = 0..2usize;
    let step = prop_oneof![
        12 => conn.clone().prop_map(Step::Next),
        1 => conn.clone().prop_map(Step::Lose),
        2 => (conn.clone(), 0..5u64).prop_map(|(conn, back)| Step::Again(conn, back)),
        1 => conn.clone().prop_map(Step::Swap),
        5 => prop_oneof![3 => 0..3u64, 1 => 3..40u64].prop_map(Step::Answer),
        1 => Just(Step::Fail),
        2 => (1..3_000i64).prop_map(Step::Wait),
        1 => conn.prop_map(Step::Cut),
    ];
    proptest::collection::vec(step, 0..120)
}

/// Plays the steps, then a quiet phase; how often the book was live.
fn play(truth: &Truth, steps: &[Step], usdm: bool) -> Result<u64, TestCaseError> {
    let protocol = if usdm { "binance-usdm" } else { "binance-spot" };
    let config = venue(&format!("name = 'binance'\nprotocol = '{protocol}'"));
    let mut run = Run::new(&[(config, vec!["BTCUSDT".to_owned()])]);
    let venue = VenueIx(0);
    let mut live = 0;
    let mut ms = 1;
    // Both connections deliver the same market, as in a change-over; each has its own place in the stream.
    let mut conns = [1, 2];
    let mut next_conn = 3;
    run.at(ms).open(venue, 1, None);
    run.open(venue, 2, Some(1));
    let mut places = [0usize, 0];
    let total = truth.diffs.len();
    // The market goes on while the network plays; the rest of its diffs is left for the quiet phase.
    let middle = total * 2 / 3;
    for step in steps {
        ms += 1;
        run.at(ms);
        let send = |run: &mut Run, conn: u32, place: usize| {
            run.frame(venue, conn, &truth.diff(ms, truth.diffs[place], usdm));
        };
        match *step {
            Step::Next(conn) if places[conn] < middle => {
                send(&mut run, conns[conn], places[conn]);
                places[conn] += 1;
            }
            Step::Lose(conn) if places[conn] < middle => places[conn] += 1,
            Step::Again(conn, back) if places[conn] > back as usize => {
                send(&mut run, conns[conn], places[conn] - 1 - back as usize);
            }
            Step::Swap(conn) if places[conn] + 1 < middle => {
                send(&mut run, conns[conn], places[conn] + 1);
                truth.check(&run)?;
                send(&mut run, conns[conn], places[conn]);
                places[conn] += 2;
            }
            Step::Answer(age) => {
                let newest = places.iter().max().map_or(0, |place| truth.diffs[*place].prev);
                run.answer(venue, "BTCUSDT", 200, &truth.answer(newest.saturating_sub(age)));
            }
            Step::Fail => run.answer(venue, "BTCUSDT", 500, "{}"),
            Step::Wait(by) => {
                ms += by;
                run.at(ms).tick();
            }
            Step::Cut(conn) => {
                run.lose(venue, conns[conn]);
                conns[conn] = next_conn;
                next_conn += 1;
                run.open(venue, conns[conn], None);
                places[conn] = *places.iter().max().unwrap_or(&0);
            }
            _ => {}
        }
        live += u64::from(truth.check(&run)?);
    }
    let from = *places.iter().max().unwrap_or(&0);
    for place in from..total {
        ms += 2_000;
        run.at(ms)
            .frame(venue, conns[0], &truth.diff(ms, truth.diffs[place], usdm));
        truth.check(&run)?;
        let fetches = run.fetches();
        run.commands.clear();
        if fetches > 0 {
            run.answer(venue, "BTCUSDT", 200, &truth.answer(truth.diffs[place].last));
        }
        truth.check(&run)?;
    }
    prop_assert_eq!(run.health(MarketIx(0)), None, "live once faults stop");
    prop_assert_eq!(run.last[0], truth.diffs.last().map(|cut| cut.last));
    run.finish();
    Ok(live)
}

fn changes() -> impl Strategy<Value = Vec<(bool, u8, u8)>> {
    proptest::collection::vec((any::<bool>(), 0..20u8, 0..4u8), 150..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn f12_to_f17_a_live_book_is_the_markets_book_whatever_the_network_does(
        changes in changes(),
        lengths in proptest::collection::vec(1..4u8, 1..8),
        steps in steps(),
        usdm in any::<bool>(),
    ) {
        play(&truth(&changes, &lengths), &steps, usdm)?;
    }

    #[test]
    fn f12_duplicates_change_nothing(
        changes in changes(),
        again in proptest::collection::vec((0..60usize, 0..8usize, 1..3u32), 0..40),
    ) {
        let truth = truth(&changes, &[2]);
        let session = |again: &[(usize, usize, u32)]| {
            let mut run = Run::new(&two_venues());
            run.at(1).open(BINANCE, 1, None);
            run.open(BINANCE, 2, Some(1));
            for (place, cut) in truth.diffs.iter().take(60).enumerate() {
                let ms = 10 + place as i64;
                run.at(ms).frame(BINANCE, 1, &truth.diff(ms, *cut, false));
                for (_, back, conn) in again.iter().filter(|(at, ..)| *at == place) {
                    run.frame(BINANCE, *conn, &truth.diff(ms, truth.diffs[place.saturating_sub(*back)], false));
                }
                if place == 5 {
                    run.answer(BINANCE, "BTCUSDT", 200, &truth.answer(7));
                }
            }
            run.finish();
            (run.events, run.gaps, run.commands)
        };
        prop_assert_eq!(session(&again), session(&[]));
    }
}

#[test]
fn f13_any_one_diff_may_be_missing() {
    let changes: Vec<_> = (0..180u8).map(|at| (at % 3 == 0, at % 20 * 7 % 20, at % 4)).collect();
    for usdm in [false, true] {
        let truth = truth(&changes, &[1, 2, 3]);
        for missing in 0..50 {
            let mut steps = vec![Step::Next(0), Step::Answer(0)];
            steps.extend((1..50).map(|at| if at == missing { Step::Lose(0) } else { Step::Next(0) }));
            let live = play(&truth, &steps, usdm).unwrap_or_else(|error| panic!("{missing}: {error}"));
            // Live from the first answer to the diff after the one that is missing.
            let expected = if missing == 0 { 50 } else { missing as u64 };
            assert!(live.abs_diff(expected) <= 2, "{missing} missing: live {live} times");
        }
    }
}

#[test]
fn f14_any_two_diffs_may_change_places() {
    let changes: Vec<_> = (0..180u8).map(|at| (at % 3 == 1, at % 20 * 11 % 20, at % 4)).collect();
    for usdm in [false, true] {
        let truth = truth(&changes, &[2, 1]);
        for swapped in 1..50 {
            let mut steps = vec![Step::Next(0), Step::Answer(0)];
            steps.extend((1..50).map(|at| if at == swapped { Step::Swap(0) } else { Step::Next(0) }));
            play(&truth, &steps, usdm).unwrap_or_else(|error| panic!("{swapped}: {error}"));
        }
    }
}
