//! What the documentation of the generator promises, measured on what it makes.

use std::convert::Infallible;

use crossbook_engine::book::Book;
use crossbook_engine::book::sync::{MessageIds, Sync, Verdict};
use crossbook_engine::event::{Chunk, EventKind, FeedStatus, Kind, Level};
use crossbook_engine::units::Price;

use super::*;

const DEMO: &str = include_str!("../../../datasets/specs/demo.toml");
const NO_EDGE: &str = include_str!("../../../datasets/specs/no-edge.toml");
const FULL: &str = include_str!("../../../datasets/specs/full.toml");
const KIMCHI: &str = include_str!("../../../datasets/specs/kimchi.toml");

fn spec(text: &str) -> Spec {
    Spec::parse(text).unwrap()
}

fn messages(spec: &Spec) -> Vec<(usize, Message)> {
    let mut all = Vec::new();
    let mut sink = |stream: usize, message: &Message| -> Result<(), Infallible> {
        all.push((stream, message.clone()));
        Ok(())
    };
    generate(spec, &mut sink).unwrap();
    all
}

/// A market of two-level books a second apart, cheap enough for statistics.
fn plain(premium: PremiumSpec, duration_s: u64) -> Spec {
    let mut spec = spec(NO_EDGE);
    spec.duration_s = Some(duration_s);
    spec.premium = Some(premium);
    spec.a.book.levels = 2;
    spec.b.book.levels = 2;
    spec.a.book.spread_sigma = 0.0;
    if let Some(price) = &mut spec.price {
        price.bursts = None;
    }
    spec
}

/// The last value at or before each second of the market: mid of a book, or rate.
fn by_second(spec: &Spec, chunks: &[Chunk]) -> Vec<f64> {
    let from_ns = spec.from_ns().unwrap().unwrap();
    let mut book = Book::default();
    let mut all = Vec::new();
    let mut last = f64::NAN;
    for chunk in chunks {
        for (index, header) in chunk.headers().iter().enumerate() {
            while header.ts_event.0 > from_ns + all.len() as i64 * 1_000_000_000 {
                all.push(last);
            }
            last = match chunk.event(index) {
                EventKind::Fx(rate) => rate.to_f64(),
                event => {
                    book.apply(header.ts_event, header.ts_recv, &event);
                    // During an outage the last mid stands.
                    let mid = |(bid, ask): (Level, Level)| (bid.price.to_f64() + ask.price.to_f64()) / 2.0;
                    book.top().map_or(last, mid)
                }
            };
        }
    }
    all.resize(spec.duration_s.unwrap() as usize, last);
    all
}

/// Mids of A and B and the rate, each second.
fn mids(spec: &Spec, seed: u64) -> [Vec<f64>; 3] {
    let market = market_in_memory(spec, seed).unwrap();
    [0, 1, 2].map(|stream| by_second(spec, &market[stream].1))
}

fn premium_bps(spec: &Spec, seed: u64) -> Vec<f64> {
    let [a, b, fx] = mids(spec, seed);
    let ratio = |((a, b), fx): ((&f64, &f64), &f64)| (a / (b * fx) - 1.0) * 1e4;
    a.iter().zip(&b).zip(&fx).map(ratio).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sd(values: &[f64]) -> f64 {
    let middle = mean(values);
    (values.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let (mx, my) = (mean(x), mean(y));
    let sum: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    sum / x.len() as f64 / (sd(x) * sd(y))
}

fn changes(values: &[f64], step: usize) -> Vec<f64> {
    let points: Vec<f64> = values.iter().copied().step_by(step).collect();
    points.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn bundled_specifications_are_valid_and_survive_being_written_out() {
    for text in [DEMO, NO_EDGE, FULL, KIMCHI] {
        let spec = spec(text);
        let again = Spec::parse(&spec.canonical_text().unwrap()).unwrap();
        assert_eq!(again, spec);
        assert_eq!(again.canonical_text(), spec.canonical_text());
    }
}

#[test]
fn the_same_seed_gives_the_same_messages_on_any_thread() {
    let mut spec = spec(FULL);
    spec.duration_s = Some(120);
    let first = messages(&spec);
    let others: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| messages(&spec))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(others.iter().all(|other| *other == first));
    assert_ne!(messages(&spec.with_seed(8)), first);
    // A longer market begins with the shorter one.
    spec.duration_s = Some(180);
    let of = |all: &[(usize, Message)], stream| -> Vec<Message> {
        all.iter()
            .filter(|(of, _)| *of == stream)
            .map(|(_, message)| message.clone())
            .collect()
    };
    let longer = messages(&spec);
    for stream in 0..4 {
        assert!(of(&longer, stream).starts_with(&of(&first, stream)), "stream {stream}");
    }
}

#[test]
fn books_are_sorted_on_the_grid_never_crossed_and_in_sequence() {
    let mut spec = spec(FULL);
    spec.duration_s = Some(900);
    spec.from = Some("2026-01-05T07:55:00Z".parse().unwrap());
    for outages in [&mut spec.a.outages, &mut spec.b.outages].into_iter().flatten() {
        outages.per_day = 400.0;
        outages.mean_s = 10.0;
    }
    let all = messages(&spec);
    let drafts = streams(&spec).unwrap();
    assert_eq!(drafts.len(), 4);
    let mut kinds = std::collections::BTreeMap::new();
    for (stream, draft) in drafts.iter().enumerate() {
        let mut book = Book::default();
        let mut sync = Sync::new(draft.sequence);
        let mut last = (i64::MIN, i64::MIN);
        let mut down = false;
        let mut fresh = true;
        for (_, message) in all.iter().filter(|(of, _)| *of == stream) {
            *kinds.entry((stream, message.kind)).or_insert(0u32) += 1;
            let now = (message.ts_event.0, message.ts_recv.0);
            assert!(
                now.0 >= last.0 && now.1 >= last.1,
                "{draft:?} {message:?} after {last:?}"
            );
            assert!(message.ts_event.plus(draft.clock_offset_ns) <= message.ts_recv);
            last = now;
            let ids = MessageIds {
                first: message.seq_first,
                last: message.seq_last,
                prev: message.seq_prev,
                ts_event: message.ts_event.0,
            };
            match message.kind {
                Kind::Status => {
                    down = message.values == [FeedStatus::Disconnected as i64];
                    fresh = true;
                    sync.lose();
                    continue;
                }
                Kind::Fx | Kind::Funding => continue,
                Kind::Trade => {
                    assert!(!down && !fresh);
                    continue;
                }
                Kind::Update => assert_eq!(sync.update(ids), Verdict::Apply, "{message:?}"),
                Kind::Snapshot | Kind::CompleteSnapshot => assert_eq!(sync.snapshot(ids), Verdict::Apply),
            }
            assert!(!down, "nothing is sent while disconnected");
            assert!(!(fresh && message.kind == Kind::Update), "a snapshot comes first");
            fresh = false;
            let tick = draft.rules.tick.unwrap().rule();
            let strictly = |levels: &[Level], falling: bool| {
                assert!(levels.iter().all(|level| tick.is_on_grid(level.price)), "{levels:?}");
                assert!(levels.windows(2).all(|pair| (pair[0].price > pair[1].price) == falling));
            };
            strictly(&message.bids, true);
            strictly(&message.asks, false);
            assert!(message.kind == Kind::Update || message.bids.iter().all(|level| !level.qty.is_zero()));
            book.apply(message.ts_event, message.ts_recv, &event(message));
            assert!(book.top().is_ok(), "{:?}", book.top());
            if message.kind != Kind::Update {
                let levels = spec.markets()[stream.min(2)].1.book.levels;
                assert_eq!((message.bids.len(), message.asks.len()), (levels, levels));
            }
        }
        if draft.kind == DatasetKind::Book {
            assert_eq!(book.crossed_count(), 0);
        }
    }
    for expected in [
        (0, Kind::Snapshot),
        (0, Kind::Status),
        (0, Kind::Trade),
        (1, Kind::CompleteSnapshot),
        (1, Kind::Update),
        (1, Kind::Status),
        (1, Kind::Trade),
        (1, Kind::Funding),
        (2, Kind::Fx),
        (3, Kind::Snapshot),
    ] {
        assert!(kinds.contains_key(&expected), "{expected:?} is missing: {kinds:?}");
    }
}

#[test]
fn diffs_rebuild_the_book_that_snapshots_show() {
    // The same market sent either way: the draws of the book do not depend on how it is sent.
    let mut diffs = spec(FULL);
    diffs.duration_s = Some(60);
    diffs.b.outages = None;
    let mut snapshots = diffs.clone();
    snapshots.b.feed = FeedKind::Snapshots;
    let whole = |spec: &Spec| {
        let mut book = Book::default();
        let mut all = std::collections::BTreeMap::new();
        for (_, message) in messages(spec).iter().filter(|(of, _)| *of == 1) {
            if message.kind != Kind::Trade {
                book.apply(message.ts_event, message.ts_recv, &event(message));
                let side = |side| book.levels(side).collect::<Vec<_>>();
                use crossbook_engine::book::BookSide::{Ask, Bid};
                all.insert(message.ts_event, (side(Bid), side(Ask)));
            }
        }
        all
    };
    let (from_diffs, from_snapshots) = (whole(&diffs), whole(&snapshots));
    assert!(from_diffs.len() > 500);
    for (ts, book) in &from_diffs {
        assert_eq!(from_snapshots.get(ts), Some(book));
    }
}

#[test]
fn an_ou_premium_has_its_mean_deviation_and_half_life() {
    let spec = plain(
        PremiumSpec::Ou {
            mean_bps: 80.0,
            sd_bps: 30.0,
            half_life_s: 60.0,
            start_bps: None,
        },
        12 * 3600,
    );
    let premium = premium_bps(&spec, 5);
    // 12 hours hold about 250 independent values: standard errors of 1.9 bps, 4.5 % and some 10 %.
    assert!((mean(&premium) - 80.0).abs() < 5.0, "mean {}", mean(&premium));
    assert!((sd(&premium) / 30.0 - 1.0).abs() < 0.13, "sd {}", sd(&premium));
    let lag = 30;
    let rho = correlation(&premium[lag..], &premium[..premium.len() - lag]);
    let half_life = -(lag as f64) * std::f64::consts::LN_2 / rho.ln();
    assert!((half_life / 60.0 - 1.0).abs() < 0.25, "half-life {half_life}");
}

#[test]
fn a_random_walk_premium_cannot_be_predicted() {
    let premium = PremiumSpec::RandomWalk {
        start_bps: 100.0,
        sd_bps_per_hour: 60.0,
    };
    let spec = plain(premium, 3600);
    let mut all = Vec::new();
    let (mut before, mut after, mut level) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..24 {
        let premium = premium_bps(&spec, seed);
        let steps = changes(&premium, 10);
        before.extend_from_slice(&steps[..steps.len() - 1]);
        after.extend_from_slice(&steps[1..]);
        level.extend(premium.iter().step_by(10).take(steps.len()).map(|value| value - 100.0));
        all.extend(steps);
    }
    let error = sd(&all) / (all.len() as f64).sqrt();
    assert!(mean(&all).abs() < 3.0 * error, "mean {} +- {error}", mean(&all));
    let want = 60.0 / 360f64.sqrt();
    assert!((sd(&all) / want - 1.0).abs() < 0.03, "sd {} of {want}", sd(&all));
    let limit = 3.0 / (after.len() as f64).sqrt();
    assert!(
        correlation(&before, &after).abs() < limit,
        "{}",
        correlation(&before, &after)
    );
    // Nor does the distance from the start say where it goes.
    let slope = correlation(&level, &all);
    assert!(slope.abs() < limit, "{slope}");
}

#[test]
fn the_follower_repeats_the_leader_after_the_lag() {
    for (leader, lag_ms) in [(Role::B, 3000), (Role::A, 2000)] {
        let mut spec = plain(PremiumSpec::Constant { bps: 50.0 }, 3600);
        spec.lead = Some(LeadSpec { leader, lag_ms });
        if let (Some(fx), Some(price)) = (&mut spec.fx, &mut spec.price) {
            fx.volatility_per_year = 0.0;
            price.volatility_per_year = 2.0;
        }
        let [a, b, _] = mids(&spec, 3);
        let (a, b) = (changes(&a, 1), changes(&b, 1));
        let (leading, following) = if leader == Role::B { (b, a) } else { (a, b) };
        let at = |lag: usize| correlation(&leading[..leading.len() - lag], &following[lag..]);
        let lag = (lag_ms / 1000) as usize;
        assert!(at(lag) > 0.98, "{leader:?} at {lag}: {}", at(lag));
        for other in [0, 1, lag + 1] {
            assert!(at(other).abs() < 0.1, "{leader:?} at {other}: {}", at(other));
        }
    }
}

#[test]
fn outages_and_bursts_are_where_they_should_be() {
    let spec = spec(DEMO);
    let from_ns = spec.from_ns().unwrap().unwrap();
    let all = messages(&spec);
    let a: Vec<&Message> = all
        .iter()
        .filter(|(of, _)| *of == 0)
        .map(|(_, message)| message)
        .collect();
    let statuses: Vec<(i64, i64)> = a
        .iter()
        .filter(|message| message.kind == Kind::Status)
        .map(|message| ((message.ts_recv.0 - from_ns) / 1_000_000_000, message.values[0]))
        .collect();
    let (down, up) = (FeedStatus::Disconnected as i64, FeedStatus::Connected as i64);
    assert_eq!(statuses, [(4000, down), (4075, up)]);
    let inside = |message: &&&Message| {
        let at_s = (message.ts_recv.0 - from_ns) as f64 / 1e9;
        message.kind != Kind::Status && at_s > 4000.1 && at_s < 4075.0
    };
    assert_eq!(a.iter().filter(inside).count(), 0);

    // A burst shortens the time between books and fattens the tails of returns (of B, which has no premium in them).
    let books: Vec<&&Message> = a.iter().filter(|message| message.kind == Kind::Snapshot).collect();
    let short = books
        .windows(2)
        .filter(|pair| pair[1].ts_event.since(pair[0].ts_event) < 2_000_000_000)
        .count();
    assert!((40..2000).contains(&short), "{short}");
    let [_, b, _] = mids(&spec, spec.seed);
    let returns: Vec<f64> = b.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect();
    let fourth = mean(&returns.iter().map(|value| value.powi(4)).collect::<Vec<_>>());
    let kurtosis = fourth / sd(&returns).powi(4);
    assert!(kurtosis > 4.0, "{kurtosis}");
}

#[test]
fn chunks_in_memory_hold_the_same_market() {
    let mut spec = spec(FULL);
    spec.duration_s = Some(60);
    let all = messages(&spec);
    let market = market_in_memory(&spec, spec.seed).unwrap();
    assert_eq!(market.len(), 4);
    for (stream, (draft, chunks)) in market.iter().enumerate() {
        let mine: Vec<&Message> = all
            .iter()
            .filter(|(of, _)| *of == stream)
            .map(|(_, message)| message)
            .collect();
        assert_eq!(chunks.iter().map(Chunk::len).sum::<usize>(), mine.len());
        let headers = chunks.iter().flat_map(Chunk::headers);
        for (header, message) in headers.zip(mine) {
            assert_eq!(header.ts_recv, message.ts_recv);
            assert_eq!(header.ts_event, message.ts_event.plus(draft.clock_offset_ns));
            assert_eq!(header.kind(), message.kind);
        }
    }
}

#[test]
fn a_bad_specification_names_the_key_and_what_is_allowed() {
    let cases = [
        ("seed = 42", "seed = 42\nsede = 1", "sede"),
        ("step_ms = 500", "step_ms = 0", "`step_ms` is 0: allowed is 1 to 60000"),
        ("step_ms = 500", "step_ms = 300", "multiple of `step_ms`"),
        (
            "duration_s = 7200",
            "duration_s = 0",
            "`duration_s` is 0: allowed is 1 to",
        ),
        ("duration_s = 7200", "", "`duration_s`: missing"),
        (
            "half_life_s = 180",
            "half_life_s = -1",
            "`premium.half_life_s` is -1: allowed is 0.001 to",
        ),
        ("half_life_s = 180", "half_life_s = nan", "premium.half_life_s"),
        ("model = \"ou\"", "model = \"garch\"", "random_walk"),
        ("start = \"95000\"", "start = \"-1\"", "must be positive"),
        ("start = \"95000\"", "start = \"1e5\"", "not a decimal number"),
        ("start = \"95000\"", "start = 95000", "string"),
        ("lag_ms = 500", "lag_ms = 750", "`lead.lag_ms` is 750"),
        (
            "levels = 10",
            "levels = 0",
            "`a.book.levels` is 0: allowed is 1 to 1000",
        ),
        (
            "refresh = 0.08",
            "refresh = 1.5",
            "`a.book.refresh` is 1.5: allowed is 0 to 1",
        ),
        (
            "qty_step = \"0.001\", refresh = 0.08",
            "qty_step = \"0\", refresh = 0.08",
            "a.book.qty_step",
        ),
        ("tick = \"upbit_krw\"", "tick = \"upbit\"", "upbit_krw"),
        (
            "at_s = 4000, for_s = 75",
            "at_s = 4000, for_s = 0",
            "a.outages.at[0].for_s",
        ),
        ("demo-usdkrw", "demo-upbit-krw-btc", "used twice"),
        ("demo-usdkrw", "../elsewhere", "a folder name"),
        ("from = \"2026-01-05T00:00:00Z\"", "from = \"yesterday\"", "from"),
        (
            "from = \"2026-01-05T00:00:00Z\"",
            "from = \"9000-01-05T00:00:00Z\"",
            "2262",
        ),
        ("seed = 42", "seed = -1", "seed"),
        (
            "[premium]\nmodel = \"ou\"",
            "[candles]\na = []\nb = []\nsource = \"\"\nlicence = \"\"\n[premium]\nmodel = \"ou\"",
            "one or the other",
        ),
    ];
    for (good, bad, wanted) in cases {
        assert!(DEMO.contains(good), "{good}");
        let error = Spec::parse(&DEMO.replacen(good, bad, 1)).expect_err(bad).to_string();
        assert!(error.contains(wanted), "{bad}: {error}");
    }
    let cases = [
        (
            "every_ms = 10000",
            "every_ms = 7000",
            "`a.every_ms` is 7000: allowed is with candles a whole part",
        ),
        ("every_ms = 10000", "every_ms = 20000", "at most 15000"),
        (
            "a = [\"kimchi_1m/upbit_BTC_KRW_1m_20240824_20250228.csv.gz\"]",
            "a = []",
            "at least one file",
        ),
    ];
    for (good, bad, wanted) in cases {
        assert!(KIMCHI.contains(good), "{good}");
        let error = Spec::parse(&KIMCHI.replacen(good, bad, 1)).expect_err(bad).to_string();
        assert!(error.contains(wanted), "{bad}: {error}");
    }
}

#[test]
fn a_price_that_leaves_the_range_is_an_error_not_a_wrong_book() {
    let mut spec = plain(PremiumSpec::Constant { bps: 0.0 }, 60);
    if let Some(price) = &mut spec.price {
        price.start = Price::parse("64000000").unwrap();
    }
    let error = market_in_memory(&spec, 1).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("`a`") && error.contains("2026-01-05T00:00:00"),
        "{error}"
    );
}

/// A message of the generator as an event.
fn event(message: &Message) -> EventKind<'_> {
    memory::event(message)
}
