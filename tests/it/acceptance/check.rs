//! What must hold of a recording.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::event::{EventKind, Level};
use crossbook_feed::book::MarketIx;
use crossbook_feed::input::{Body, LinkEvent};
use crossbook_feed::journal::{Item, Mark, Reader};
use crossbook_feed::run::{Run, Setup, Told};
use crossbook_simex::exchange::Venue;
use crossbook_simex::truth::read::Reader as TruthReader;
use crossbook_simex::truth::{Line, checksum};
use serde_json::Value;

use super::stage::{LEVELS, Stage};
use crate::lab::told;

fn number(value: &Value, pointer: &str) -> u64 {
    let found = value.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// Law C1: received = journaled = applied + ignored + quarantined, by the recorder's word and by the journal's own.
pub fn account(stage: &Stage) {
    let summary = &stage.summary;
    assert_eq!(summary["balanced"], true, "{summary}");
    let received = number(summary, "/received");
    let ignored: u64 = summary["totals"]["ignored"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert!(received > 1_000, "{summary}");
    assert_eq!(
        received,
        number(summary, "/totals/applied") + ignored + number(summary, "/totals/quarantined")
    );
    let (mut frames, mut records) = (0, 0);
    let mut reader = Reader::open(&stage.recording).unwrap();
    while let Some(record) = reader.next_record().unwrap() {
        records += u64::from(!matches!(record.item, Item::Mark(Mark::Segment(_) | Mark::End { .. })));
        if let Item::Input { body, .. } = record.item {
            frames += u64::from(matches!(body, Body::Frame { .. } | Body::Answer { outcome: Ok(_), .. }));
        }
    }
    assert_eq!(frames, received, "frames in the journal");
    assert_eq!(records, number(summary, "/journaled"), "records in the journal");
    assert!(!reader.report().doubtful() && reader.report().cuts.is_empty());
    println!(
        "{received} frames and answers received and journaled in {} s, {} bytes of them in {} bytes; longest wait for the kernel {} ms, for \
         the disk {} ms",
        summary["seconds"],
        summary["totals"]["bytes"],
        summary["file_bytes"],
        summary["most_write_lag_ms"],
        summary["most_sync_lag_ms"]
    );
}

/// The faults cost connections, and each came back.
pub fn links(stage: &Stage) {
    let links = stage.summary["links"].as_object().unwrap();
    let count = |prefix: &str| -> u64 {
        let matching = links.iter().filter(|(what, _)| what.starts_with(prefix));
        matching.map(|(_, count)| count.as_u64().unwrap()).sum()
    };
    assert!(count("lost") >= 6, "{links:?}");
    assert!(count("failed") >= 1, "{links:?}");
    assert!(count("took over") >= 1, "{links:?}");
    assert_eq!(
        count("opened") + count("took over"),
        count("lost") + count("closed"),
        "every connection came to its end: {links:?}"
    );
}

/// How many states of books were compared.
#[derive(Debug, Default)]
pub struct Seen {
    live: u64,
    not_live: u64,
    fewer_levels: u64,
    polled: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states of live books, all true ({} of them polled, {} with fewer than {LEVELS} trusted levels); {} states of \
             books that were not called live",
            self.live, self.polled, self.fewer_levels, self.not_live
        )
    }
}

/// Goes through the journal as the recorder went through its inputs, and hands on each market that an input changed.
fn replay(recording: &Path, mut each: impl FnMut(&Run, MarketIx, &Last)) -> Run {
    let mut reader = Reader::open(recording).unwrap();
    let mut run: Option<Run> = None;
    let mut last: BTreeMap<MarketIx, Last> = BTreeMap::new();
    while let Some(record) = reader.next_record().unwrap() {
        match record.item {
            Item::Mark(Mark::Segment(segment)) => {
                if run.is_none() {
                    run = Some(Run::new(&Setup::parse(&segment.setup).unwrap()).unwrap());
                }
            }
            Item::Mark(_) => {}
            Item::Input { .. } => {
                let run = run.as_mut().unwrap();
                let input = record.into_input().unwrap();
                let mut touched = BTreeSet::new();
                run.input(&input, &mut |told| {
                    if let Told::Event(Some(market), event) = told
                        && let EventKind::Snapshot { .. } | EventKind::Update { .. } = event.kind
                    {
                        touched.insert(market);
                        last.insert(
                            market,
                            Last {
                                id: event.ids.last,
                                ts: event.ids.ts_event,
                                polled: event.via == crossbook_feed::input::Via::Rest,
                            },
                        );
                    }
                });
                for market in touched {
                    each(run, market, &last[&market]);
                }
            }
        }
    }
    let mut run = run.unwrap();
    let end = run.last().unwrap();
    run.finish(end, &mut |_| {});
    run
}

/// What the newest message of a book said of itself.
struct Last {
    id: Option<u64>,
    ts: i64,
    polled: bool,
}

/// Every state of a book that was called live is one that the exchange's own book was in: the one with its id, or of its
/// time where there are no ids.
pub fn books_against_the_truth(stage: &Stage) -> Seen {
    let mut seen = Seen::default();
    let mut wrong = Vec::new();
    let mut short = BTreeMap::new();
    replay(&stage.recording, |run, market, last| {
        let state = run.pipeline().market(market).unwrap();
        if !state.health().is_live() {
            seen.not_live += 1;
            return;
        }
        seen.live += 1;
        seen.polled += u64::from(last.polled);
        let venue = if state.venue().0 == 0 {
            Venue::Upbit
        } else {
            Venue::Binance
        };
        let (bids, asks) = top(state.book());
        if bids.len() < LEVELS || asks.len() < LEVELS {
            // The price has left what the snapshot knew: what is still vouched for must begin as the truth does.
            short.insert(
                (venue, state.symbol().to_owned(), last.id.unwrap_or_default()),
                (bids, asks),
            );
            return;
        }
        let got = checksum(&bids, &asks, LEVELS);
        let allowed = match (venue, last.id) {
            (Venue::Upbit, _) => stage
                .truth
                .at_clock_ms(venue, state.symbol(), last.ts.div_euclid(1_000_000)),
            (_, Some(id)) => stage.truth.at_id(venue, state.symbol(), id).into_iter().collect(),
            (_, None) => Vec::new(),
        };
        if !allowed.iter().any(|truth| truth.hash == got) {
            wrong.push(format!(
                "{venue:?} {} id {:?} ts {}: {:?} {:?}",
                state.symbol(),
                last.id,
                last.ts,
                bids.first(),
                asks.first()
            ));
        }
    });
    seen.fewer_levels = short.len() as u64;
    wrong.extend(not_beginnings_of_the_truth(stage, short));
    assert!(
        wrong.is_empty(),
        "{} of {} live states were wrong:\n{}",
        wrong.len(),
        seen.live,
        wrong[..wrong.len().min(10)].join("\n")
    );
    assert!(seen.live > 1_000, "{seen}");
    seen
}

type Sides = (Vec<Level>, Vec<Level>);

/// Which of these books, by id, do not begin as the exchange's own; one pass over the log for all of them.
fn not_beginnings_of_the_truth(stage: &Stage, mut short: BTreeMap<(Venue, String, u64), Sides>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut books = vec![(BTreeMap::new(), BTreeMap::new()); stage.truth.markets.len()];
    let mut reader = TruthReader::open(&stage.truth_log).unwrap();
    while let Some(line) = reader.next_line().unwrap() {
        let (Line::Snap { m, u, b, a, .. } | Line::Book { m, u, b, a, .. }) = &line else {
            continue;
        };
        let (bids, asks) = &mut books[*m];
        if matches!(line, Line::Snap { .. }) {
            bids.clear();
            asks.clear();
        }
        for (changes, side) in [(b, &mut *bids), (a, &mut *asks)] {
            for &(price, qty) in changes {
                if qty == 0 {
                    side.remove(&price);
                } else {
                    side.insert(price, qty);
                }
            }
        }
        let listed = &stage.truth.markets[*m];
        if let Some((got_bids, got_asks)) = short.remove(&(listed.venue, listed.symbol.clone(), *u)) {
            let begins = |got: &[Level], truth: &mut dyn Iterator<Item = (&i64, &i64)>| {
                got.iter()
                    .all(|level| truth.next() == Some((&level.price.raw(), &level.qty.raw())))
            };
            if !begins(&got_bids, &mut bids.iter().rev()) || !begins(&got_asks, &mut asks.iter()) {
                wrong.push(format!("{listed:?} id {u}: {got_bids:?} {got_asks:?}"));
            }
        }
    }
    wrong.extend(
        short
            .into_keys()
            .map(|key| format!("{key:?}: the exchange's book never had this id")),
    );
    wrong
}

fn top(book: &Book) -> Sides {
    let side = |side| book.levels(side).take(LEVELS).collect();
    (side(BookSide::Bid), side(BookSide::Ask))
}

/// As many faults of the script began as it has, and each of those that need something to strike struck something.
pub fn faults_struck(stage: &Stage, want: usize) {
    let mut begun = BTreeSet::new();
    let mut reader = TruthReader::open(&stage.truth_log).unwrap();
    while let Some(line) = reader.next_line().unwrap() {
        if let Line::Fault { f, on: true, .. } = line {
            begun.insert(f);
        }
    }
    assert!(begun.len() >= want, "{} faults began, not {want}", begun.len());
}

/// Law C2, and by a count of our own: whatever stretch had nothing new for a market for longer than a book may be old, and
/// whatever followed the loss of a connection, lies in a gap that the recorder listed.
pub fn gaps(stage: &Stage) {
    let listed: Vec<(String, i64, i64)> = stage.summary["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| {
            let name = format!("{}:{}", gap["venue"].as_str().unwrap(), gap["market"].as_str().unwrap());
            (name, gap["from"].as_i64().unwrap(), gap["to"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(number(&stage.summary, "/gaps_not_listed"), 0);
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    let mut silences = 0;
    let run = replay(&stage.recording, |run, market, _| {
        let now = run.last().unwrap().ts.0;
        let state = run.pipeline().market(market).unwrap();
        let venue = run.pipeline().venue_name(state.venue()).unwrap();
        let name = format!("{venue}:{}", state.symbol());
        let before = newest.insert(name.clone(), now);
        // A little more, because the age of what a message says is counted, and that was on its way for a while.
        let slack = stage.stale_ns / 4;
        if let Some(before) = before
            && now - before > stage.stale_ns + slack
        {
            silences += 1;
            let middle = before + stage.stale_ns + slack / 2;
            assert!(
                listed
                    .iter()
                    .any(|(gap, from, to)| *gap == name && *from <= middle && middle <= *to),
                "{name}: nothing new from {before} to {now}, and no gap is listed"
            );
        }
    });
    assert!(run.covers());
    assert!(silences > 0, "the frozen books were silent");
    let (again, more) = run.gaps();
    assert_eq!(
        (again.len(), more),
        (listed.len(), 0),
        "the journal gives the same gaps again"
    );
    for (gap, (name, from, to)) in again.iter().zip(&listed) {
        assert_eq!(
            (&format!("{}:{}", gap.venue, gap.market), gap.from, gap.to),
            (name, *from, *to)
        );
    }
    lost_connections_are_gaps(stage, &listed);
}

fn lost_connections_are_gaps(stage: &Stage, listed: &[(String, i64, i64)]) {
    let mut reader = Reader::open(&stage.recording).unwrap();
    while let Some(record) = reader.next_record().unwrap() {
        if let Item::Input {
            venue,
            body:
                Body::Link {
                    event: LinkEvent::Closed { error: Some(error) },
                    ..
                },
        } = &record.item
        {
            let name = if venue.0 == 0 { "upbit:" } else { "binance:" };
            let at = record.stamp.ts.0;
            assert!(
                listed
                    .iter()
                    .any(|(gap, from, to)| gap.starts_with(name) && *from <= at && at <= *to),
                "{name} lost a connection at {at} ({error}), and no gap is listed"
            );
        }
    }
}

/// Resident memory in the second half of the recording is what it was at its middle, within a tenth and 8 MiB.
pub fn memory(stage: &Stage) {
    let samples = &stage.memory;
    assert!(samples.len() >= 10, "{samples:?}");
    let half = &samples[samples.len() / 2..];
    let (first, most) = (half[0], half.iter().copied().max().unwrap());
    println!("resident memory: {first} KiB at the middle, at most {most} KiB after it");
    assert!(most <= first + first / 10 + 8 * 1024, "{samples:?}");
}

/// No connection had to be given up because we did not read.
pub fn keeps_up(stage: &Stage) {
    let links = stage.summary["links"].as_object().unwrap();
    assert!(!links.keys().any(|what| what.contains("overflow")), "{links:?}");
}

/// The recording becomes datasets, and a scenario over them gives the same digest twice.
pub fn one_digest(stage: &Stage) {
    let root = stage.dir.path();
    let made = told(root, &["dataset", "import", "--quiet", "--out", "data", "recording"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    std::fs::write(root.join("recorded.toml"), SCENARIO).unwrap();
    let digest = |id: &str| {
        let args = "replay recorded.toml --data-root data --out runs --no-plots --quiet --json --id";
        let args: Vec<&str> = args.split(' ').chain([id]).collect();
        let replayed = told(root, &args);
        assert_eq!(replayed.code, Some(0), "{}", replayed.err);
        let summary = replayed.json();
        assert!(number(&summary, "/events") > 100, "{summary}");
        summary["digest"].as_str().unwrap().to_owned()
    };
    let first = digest("one");
    assert_eq!(first, digest("two"));
    println!("digest {first}");
}

const SCENARIO: &str = r#"
name = "recorded"
seed = 1
base_currency = "KRW"
datasets = ["upbit-krw-btc", "binance-btcusdt", "upbit-krw-usdt"]

[venues.upbit]
kind = "spot"
taker_fee_bps = 5.0
order_latency = { model = "lognormal", median_ms = 12, sigma = 0.3 }
balances = { KRW = "50000000", BTC = "0.5" }

[venues.binance]
kind = "spot"
taker_fee_bps = 10.0
order_latency = { model = "lognormal", median_ms = 40, sigma = 0.3 }
balances = { USDT = "35000", BTC = "0.5" }

[fx]
source = "upbit:KRW-USDT"
max_age_ms = 10000

[[routes]]
a = "upbit:KRW-BTC"
b = "binance:BTCUSDT"

[strategy]
fair_premium = { model = "ewma", half_life_s = 10 }
entry_bps = 1.0
exit_bps = 0.0
max_hold_s = 60
size = { notional = "1000000", currency = "KRW" }
"#;
