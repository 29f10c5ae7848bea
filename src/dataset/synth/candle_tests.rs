//! Books over candles: the candles' prices are met exactly, holes stay holes.

use std::collections::BTreeMap;
use std::convert::Infallible;

use crossbook_engine::event::{FeedStatus, Kind};
use crossbook_engine::rng::Rng;
use crossbook_engine::units::{Price, SCALE, TimestampNs};

use super::candle_files::MINUTE_NS;
use super::*;

const KIMCHI: &str = include_str!("../../../datasets/specs/kimchi.toml");
/// 2024-09-01T00:00:00Z in minutes.
const START: i64 = 1_725_148_800 / 60;

fn candle(minute: i64, prices: [i64; 4], tick: i64) -> Candle {
    let [open, high, low, close] = prices.map(|ticks| Price::from_raw(ticks * tick).unwrap());
    Candle {
        minute: TimestampNs((START + minute) * MINUTE_NS),
        open,
        high,
        low,
        close,
    }
}

/// Random candles of both venues for these minutes, some of them flat.
fn candles(minutes: &[i64], tick: i64, around: i64, seed: u64) -> Vec<Candle> {
    let mut rng = Rng::stream(seed, "candles");
    let mut all = Vec::new();
    for &minute in minutes {
        let mut draw = || around + rng.below(400) as i64;
        let (open, close) = (draw(), draw());
        let (high, low) = match minute % 7 {
            0 => (open.max(close), open.min(close)),
            _ => (open.max(close) + draw() - around, open.min(close) - (draw() - around)),
        };
        let prices = if minute % 11 == 0 {
            [open; 4]
        } else {
            [open, high, low, close]
        };
        all.push(candle(minute, prices, tick));
    }
    all
}

fn lay(spec: &Spec, a: &[Candle], b: &[Candle]) -> Vec<(usize, Message)> {
    let mut all = Vec::new();
    let mut sink = |stream: usize, message: &Message| -> Result<(), Infallible> {
        all.push((stream, message.clone()));
        Ok(())
    };
    let (mut a, mut b) = (a.iter().copied().map(Ok), b.iter().copied().map(Ok));
    lay_over_candles(spec, &mut a, &mut b, &mut sink).unwrap();
    all
}

fn double_mid(message: &Message) -> i64 {
    message.bids[0].price.raw() + message.asks[0].price.raw()
}

/// Doubled mids of each minute, in order.
fn by_minute(all: &[(usize, Message)], stream: usize) -> BTreeMap<i64, Vec<i64>> {
    let mut minutes: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (_, message) in all
        .iter()
        .filter(|(of, message)| *of == stream && message.kind == Kind::Snapshot)
    {
        let minute = message.ts_event.0 / MINUTE_NS - START;
        minutes.entry(minute).or_default().push(double_mid(message));
    }
    minutes
}

const A_TICK: i64 = 1000 * SCALE;
const B_TICK: i64 = SCALE / 100;

#[test]
fn mids_meet_open_high_low_and_close_and_never_leave_the_candle() {
    let minutes: Vec<i64> = (0..200).collect();
    let (a, b) = (
        candles(&minutes, A_TICK, 85_000, 1),
        candles(&minutes, B_TICK, 6_400_000, 2),
    );
    for (a_ms, b_ms) in [(10_000, 10_000), (15_000, 5_000), (1_000, 4_000)] {
        let mut spec = Spec::parse(KIMCHI).unwrap();
        spec.a.every_ms = a_ms;
        spec.b.every_ms = b_ms;
        let all = lay(&spec, &a, &b);
        for (stream, candles, every_ms) in [(0, &a, a_ms), (1, &b, b_ms)] {
            let mids = by_minute(&all, stream);
            assert_eq!(mids.len(), candles.len());
            for (candle, mids) in candles.iter().zip(mids.values()) {
                assert_eq!(mids.len() as u64, 60_000 / every_ms);
                let twice = |price: Price| 2 * price.raw();
                assert_eq!(mids.first(), Some(&twice(candle.open)));
                assert_eq!(mids.last(), Some(&twice(candle.close)));
                assert_eq!(mids.iter().max(), Some(&twice(candle.high)), "{candle:?}");
                assert_eq!(mids.iter().min(), Some(&twice(candle.low)));
            }
        }
    }
}

#[test]
fn nothing_but_the_candles_makes_a_premium_inside_the_minute() {
    let minutes: Vec<i64> = (0..300).collect();
    let (a, b) = (
        candles(&minutes, A_TICK, 85_000, 3),
        candles(&minutes, B_TICK, 6_400_000, 4),
    );
    let spec = Spec::parse(KIMCHI).unwrap();
    let all = lay(&spec, &a, &b);
    let (of_a, of_b) = (by_minute(&all, 0), by_minute(&all, 1));
    for (index, (mids_a, mids_b)) in of_a.values().zip(of_b.values()).enumerate() {
        let ratio = |x: i64, y: i64| x as f64 / y as f64;
        let (ca, cb) = (a[index], b[index]);
        let corners = [
            (ca.open, cb.open),
            (ca.high, cb.high),
            (ca.low, cb.low),
            (ca.close, cb.close),
        ]
        .map(|(x, y)| ratio(x.raw(), y.raw()));
        let (low, high) = corners
            .iter()
            .fold((f64::MAX, 0.0f64), |(low, high), &x| (low.min(x), high.max(x)));
        // Each mid is at most a tick away from its path.
        let tick = 1000.0 / 84e6 + 0.01 / 64e3;
        for (&x, &y) in mids_a.iter().zip(mids_b) {
            assert!((low * (1.0 - tick)..=high * (1.0 + tick)).contains(&ratio(x, y)));
        }
    }
}

#[test]
fn a_hole_has_no_quotes_and_says_so() {
    let b: Vec<i64> = (0..20).collect();
    let a: Vec<i64> = b
        .iter()
        .copied()
        .filter(|minute| !(3..7).contains(minute) && *minute != 12)
        .collect();
    let (a, b) = (candles(&a, A_TICK, 85_000, 5), candles(&b[..15], B_TICK, 6_400_000, 6));
    let mut spec = Spec::parse(KIMCHI).unwrap();
    spec.b.feed = FeedKind::Diffs;
    let all = lay(&spec, &a, &b);
    let second = |message: &Message| (message.ts_recv.0 - START * MINUTE_NS) / 1_000_000_000;
    let statuses = |stream: usize| -> Vec<(i64, i64)> {
        all.iter()
            .filter(|(of, message)| *of == stream && message.kind == Kind::Status)
            .map(|(_, message)| (second(message), message.values[0]))
            .collect()
    };
    let (down, up) = (FeedStatus::Disconnected as i64, FeedStatus::Connected as i64);
    assert_eq!(statuses(0), [(180, down), (420, up), (720, down), (780, up)]);
    assert_eq!(statuses(1), [(900, down)]);
    for (_, message) in all
        .iter()
        .filter(|(of, message)| *of == 0 && message.kind != Kind::Status)
    {
        let at = second(message);
        assert!(!(181..420).contains(&at) && !(721..780).contains(&at), "{at}");
    }
    let kinds: Vec<Kind> = all
        .iter()
        .filter(|(of, _)| *of == 1)
        .map(|(_, message)| message.kind)
        .collect();
    assert_eq!(kinds[0], Kind::CompleteSnapshot);
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::CompleteSnapshot).count(), 1);
}

#[test]
fn a_window_cuts_candles_and_leaves_the_rest_as_it_was() {
    let minutes: Vec<i64> = (0..30).collect();
    let (a, b) = (
        candles(&minutes, A_TICK, 85_000, 7),
        candles(&minutes, B_TICK, 6_400_000, 8),
    );
    let mut spec = Spec::parse(KIMCHI).unwrap();
    let whole = by_minute(&lay(&spec, &a, &b), 0);
    spec.from = Some("2024-09-01T00:10:00Z".parse().unwrap());
    spec.duration_s = Some(300);
    let part = by_minute(&lay(&spec, &a, &b), 0);
    assert_eq!(part.keys().copied().collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    for (minute, mids) in &part {
        assert_eq!(
            whole.get(minute),
            Some(mids),
            "the path of a minute depends on that minute alone"
        );
    }
    assert_eq!(lay(&spec, &a, &b), lay(&spec, &a, &b));
}

#[test]
fn a_candle_off_the_grid_is_refused_with_its_minute() {
    let mut spec = Spec::parse(KIMCHI).unwrap();
    spec.seed = 9;
    let odd = candle(0, [85_000_500, 85_000_500, 85_000_500, 85_000_500], SCALE);
    let mut sink = |_: usize, _: &Message| -> Result<(), Infallible> { Ok(()) };
    let error = lay_over_candles(&spec, &mut [Ok(odd)].into_iter(), &mut std::iter::empty(), &mut sink)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`a`") && error.contains("2024-09-01T00:00:00") && error.contains("85000500"),
        "{error}"
    );
}

#[test]
fn broken_candle_files_are_refused_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let head = "timestamp,open,high,low,close,volume\n";
    let good = "2024-09-01 00:00:00,10,12,9,11,1.5\n";
    let cases = [
        (
            "time,open,high,low,close\n".to_owned(),
            "c.csv:1: the columns must be timestamp,open",
        ),
        (format!("{head}yesterday,10,12,9,11,1\n"), "c.csv:2: time `yesterday`"),
        (format!("{head}2024-09-01 00:00:30,10,12,9,11,1\n"), "whole minute"),
        (
            format!("{head}{good}{good}"),
            "c.csv:3: minute `2024-09-01 00:00:00` does not come after",
        ),
        (
            format!("{head}2024-09-01 00:00:00,10,12,x,11,1\n"),
            "c.csv:2: low `x`: not a decimal number",
        ),
        (
            format!("{head}2024-09-01 00:00:00,10,12,9,13,1\n"),
            "between low and high",
        ),
        (format!("{head}2024-09-01 00:00:00,0,12,0,11,1\n"), "must be positive"),
        (format!("{head}2024-09-01 00:00:00,10\n"), "c.csv:2:"),
        (String::new(), "the columns must be"),
    ];
    for (text, wanted) in cases {
        let path = folder.path().join("c.csv");
        std::fs::write(&path, &text).unwrap();
        let results: Vec<_> = CandleFiles::new([path]).collect();
        let Some(Err(error)) = results.last() else {
            panic!("{text:?} was taken")
        };
        assert!(error.to_string().contains(wanted), "{text:?}: {error}");
    }
    let path = folder.path().join("bom.csv");
    std::fs::write(&path, format!("\u{feff}{head}{good}")).unwrap();
    let read: Vec<_> = CandleFiles::new([path]).map(Result::unwrap).collect();
    assert_eq!(read, [candle(0, [10, 12, 9, 11], SCALE)]);
    assert!(matches!(
        CandleFiles::new([folder.path().join("none.csv")]).next(),
        Some(Err(CandleError::Read { .. }))
    ));
}
