//! Which rate is believed, which is in use, and how the time without one is counted.

mod desk;
mod network;
mod shown;

use proptest::prelude::*;

use super::*;
use crate::clock::Stamp;

const START: i64 = 1_763_683_200_000; // 2025-11-21T00:00:00Z, a Friday
const HOUR: i64 = 3_600_000;
const BOOK: SourceIx = SourceIx(0);
const BANK: SourceIx = SourceIx(1);
const WRITTEN: SourceIx = SourceIx(2);

/// A book that is good for 10 s, a bank that is good for 6 h, and what someone wrote down the day before, good for 3 days.
const THREE: &str = r#"
[[sources]]
name = "upbit-usdt"
max_age_ms = 10_000
from = { book = { venue = "upbit", market = "KRW-USDT", max_spread_bps = 50 } }
[[sources]]
name = "bank"
max_age_ms = 21_600_000
from = { http = { url = "http://localhost/forex", format = "dunamu" } }
[[sources]]
name = "written"
max_age_ms = 259_200_000
from = { constant = { rate = "1400", date = "2025-11-20" } }
"#;

fn config(text: &str) -> FxConfig {
    toml::from_str(text).unwrap()
}

fn at(ms: i64) -> Stamp {
    Stamp {
        mono_ns: ms * 1_000_000,
        ts: time(ms),
    }
}

fn time(ms: i64) -> TimestampNs {
    TimestampNs((START + ms) * 1_000_000)
}

fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

/// A book of rates with its events, told in milliseconds since the start.
struct Bench {
    book: FxBook,
    told: Vec<FxEvent>,
}

impl Bench {
    fn new(text: &str) -> Bench {
        Bench {
            book: FxBook::new(config(text)).unwrap(),
            told: Vec::new(),
        }
    }

    fn quotes(&mut self, ms: i64, rate: &str, made_ms: i64) -> Option<Refusal> {
        let reading = Reading {
            source: "bank".to_owned(),
            said: Said::Quote {
                rate: Amount::parse(rate).unwrap(),
                ts_event: time(made_ms),
            },
        };
        self.book.on_reading(at(ms), &reading, &mut self.told);
        self.refusal()
    }

    fn fails(&mut self, ms: i64) {
        let reading = Reading {
            source: "bank".to_owned(),
            said: Said::Failed {
                reason: "timeout".to_owned(),
            },
        };
        self.book.on_reading(at(ms), &reading, &mut self.told);
    }

    fn top(&mut self, ms: i64, top: Option<(&str, &str)>) -> Option<Refusal> {
        let top = top.map(|(bid, ask)| (price(bid), price(ask)));
        self.book.on_book(at(ms), BOOK, top, time(ms), &mut self.told);
        self.refusal()
    }

    fn refusal(&self) -> Option<Refusal> {
        match self.told.last() {
            Some(FxEvent::Refused { reason, .. }) => Some(*reason),
            _ => None,
        }
    }

    /// The rate in use and whose it is.
    fn now(&mut self, ms: i64) -> Option<(String, SourceIx)> {
        self.book.advance(at(ms), &mut self.told);
        let rate = self.book.current(at(ms))?;
        Some((format!("{:.1}", rate.rate), rate.source))
    }

    /// Each change of the source in use: milliseconds, from, to, why.
    fn switches(&self) -> Vec<(i64, Option<SourceIx>, Option<SourceIx>, SwitchReason)> {
        let switch = |event: &FxEvent| match *event {
            FxEvent::Switch { at, from, to, reason } => Some((at.since(time(0)) / 1_000_000, from, to, reason)),
            _ => None,
        };
        self.told.iter().filter_map(switch).collect()
    }
}

#[test]
fn a_refusal_is_told_once_until_the_reason_is_another_or_a_quote_is_believed() {
    let mut bench = Bench::new(THREE);
    let steps = [
        Some(("1390", "1410")),
        Some(("1390", "1411")),
        // Not live in between: it comes back as wide as it was.
        None,
        Some(("1390", "1412")),
        Some(("1400", "1400")),
        Some(("1399", "1399")),
        Some(("1390", "1410")),
        Some(("1400", "1401")),
        Some(("1390", "1410")),
        Some(("1390", "1410")),
    ];
    for (ms, top) in (1..).zip(steps) {
        bench.top(ms, top);
    }
    bench.fails(11);
    bench.fails(12);
    let told: Vec<_> = bench
        .told
        .iter()
        .filter_map(|event| match event {
            FxEvent::Refused { source, reason, .. } => Some((*source, *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(
        told,
        [
            (BOOK, Refusal::Wide),
            (BOOK, Refusal::Crossed),
            (BOOK, Refusal::Wide),
            (BOOK, Refusal::Wide),
            (BANK, Refusal::Missing),
        ]
    );
    let stats = bench.book.stats();
    assert_eq!(stats.sources[0].1.refused[&Refusal::Wide], 6, "each is counted");
    assert_eq!(stats.sources[0].1.refused[&Refusal::Crossed], 2);
    assert_eq!(stats.sources[1].1.refused[&Refusal::Missing], 2);
}

#[test]
fn f28_absurd_rates_are_refused_with_their_reason() {
    let cases = [
        ("1391.5", None),
        ("700", None),
        ("2500", None),
        ("699.99999999", Some(Refusal::OutOfBand)),
        ("2500.00000001", Some(Refusal::OutOfBand)),
        ("0", Some(Refusal::Zero)),
        ("-1391.5", Some(Refusal::Negative)),
        ("0.00071865", Some(Refusal::Inverted)),
        ("0.0007", Some(Refusal::Inverted)),
        ("139150", Some(Refusal::Scaled)),
        ("13.915", Some(Refusal::Scaled)),
        ("1", Some(Refusal::OutOfBand)),
        ("92233720368.54775807", Some(Refusal::OutOfBand)),
        ("0.00000001", Some(Refusal::OutOfBand)),
    ];
    for (rate, want) in cases {
        let mut bench = Bench::new(&THREE[..THREE.find("[[sources]]\nname = \"written\"").unwrap()]);
        assert_eq!(bench.quotes(0, rate, 0), want, "{rate}");
        assert_eq!(bench.now(1).is_some(), want.is_none(), "{rate}");
        let counted = bench.book.stats().sources[1].1.refused.clone();
        let wanted = want.map(|reason| (reason, 1)).into_iter().collect();
        assert_eq!(counted, wanted, "{rate}");
    }
}

#[test]
fn f28_a_rate_that_jumps_or_leaves_the_others_is_refused() {
    let cases = [
        // 5 % from the bank's own last rate is allowed, and 15 % from 1400.
        ("1461", None),
        ("1462", Some(Refusal::Jump)),
        ("1322.5", None),
        ("1322", Some(Refusal::Jump)),
    ];
    for (next, want) in cases {
        let mut bench = Bench::new(THREE);
        assert_eq!(bench.quotes(0, "1392", 0), None);
        assert_eq!(bench.quotes(60_000, next, 60_000), want, "{next}");
    }
    for (first, want) in [
        ("1610", None),
        ("1610.1", Some(Refusal::Apart)),
        ("1190", None),
        ("1189.9", Some(Refusal::Apart)),
    ] {
        assert_eq!(Bench::new(THREE).quotes(0, first, 0), want, "{first}");
    }
}

#[test]
fn f28_a_jump_is_believed_once_the_old_rate_has_aged() {
    let mut bench = Bench::new(THREE);
    assert_eq!(bench.quotes(0, "1392", 0), None);
    assert_eq!(bench.quotes(6 * HOUR, "1500", 6 * HOUR), Some(Refusal::Jump));
    assert_eq!(bench.quotes(6 * HOUR + 1, "1500", 6 * HOUR + 1), None);
}

#[test]
fn f28_a_rate_ages_to_its_limit_and_not_beyond() {
    let mut bench = Bench::new(THREE);
    assert_eq!(bench.quotes(0, "1392", 0), None);
    assert_eq!(bench.now(6 * HOUR), Some(("1392.0".to_owned(), BANK)));
    assert_eq!(bench.now(6 * HOUR + 1), Some(("1400.0".to_owned(), WRITTEN)));
    // What someone wrote down on the 20th ends with the 22nd.
    assert_eq!(bench.now(48 * HOUR), Some(("1400.0".to_owned(), WRITTEN)));
    assert_eq!(bench.now(48 * HOUR + 1), None);
    let at_the_limit = bench.book.current(at(48 * HOUR)).unwrap();
    assert_eq!(at_the_limit.age_ns, 72 * HOUR * 1_000_000);
}

#[test]
fn f28_over_a_weekend_the_bank_answers_but_its_rate_is_too_old() {
    let only_bank = &THREE
        [THREE.find("[[sources]]\nname = \"bank\"").unwrap()..THREE.find("[[sources]]\nname = \"written\"").unwrap()];
    let mut bench = Bench::new(only_bank);
    let friday = 15 * HOUR;
    // Asked every hour from Friday noon to Monday noon; the bank's own time stands still on Friday at 15:00.
    for hour in 12..84 {
        bench.quotes(hour * HOUR, "1392", (hour * HOUR).min(friday));
    }
    let stats = bench.book.stats();
    assert_eq!(stats.sources[0].1.accepted, 10); // 12:00 to 21:00
    assert_eq!(stats.sources[0].1.refused[&Refusal::Stale], 62);
    assert_eq!(stats.covered_ns, 71 * HOUR * 1_000_000);
    // From 21:00 and a nanosecond on Friday there was none.
    assert_eq!(stats.without_ns, 62 * HOUR * 1_000_000 - 1);
    assert_eq!(stats.sources[0].1.in_use_ns, 9 * HOUR * 1_000_000 + 1);
    assert_eq!(
        bench.switches(),
        [
            (12 * HOUR, None, Some(SourceIx(0)), SwitchReason::Found),
            (21 * HOUR, Some(SourceIx(0)), None, SwitchReason::Aged),
        ]
    );
}

#[test]
fn sources_stand_in_for_each_other_in_their_order() {
    let mut bench = Bench::new(THREE);
    assert_eq!(bench.now(0), Some(("1400.0".to_owned(), WRITTEN)));
    assert_eq!(bench.quotes(1_000, "1392", 500), None);
    assert_eq!(bench.now(1_000), Some(("1392.0".to_owned(), BANK)));
    bench.top(2_000, Some(("1410", "1411")));
    assert_eq!(bench.now(2_000), Some(("1410.5".to_owned(), BOOK)));
    let rate = bench.book.current(at(2_500)).unwrap();
    assert_eq!(rate.sides, Some((price("1410"), price("1411"))));
    assert_eq!(rate.age_ns, 500_000_000);
    // A quote of the bank changes nothing while the book is in use.
    assert_eq!(bench.quotes(3_000, "1393", 3_000), None);
    assert_eq!(bench.now(3_000), Some(("1410.5".to_owned(), BOOK)));
    // The book is silent.
    assert_eq!(bench.now(12_000), Some(("1410.5".to_owned(), BOOK)));
    assert_eq!(bench.now(13_000), Some(("1393.0".to_owned(), BANK)));
    bench.top(14_000, Some(("1412", "1413")));
    bench.top(15_000, None);
    assert_eq!(bench.now(15_000), Some(("1393.0".to_owned(), BANK)));
    assert_eq!(
        bench.switches(),
        [
            (0, None, Some(WRITTEN), SwitchReason::Found),
            (1_000, Some(WRITTEN), Some(BANK), SwitchReason::Preferred),
            (2_000, Some(BANK), Some(BOOK), SwitchReason::Preferred),
            (12_000, Some(BOOK), Some(BANK), SwitchReason::Aged),
            (14_000, Some(BANK), Some(BOOK), SwitchReason::Preferred),
            (15_000, Some(BOOK), Some(BANK), SwitchReason::NotLive),
        ]
    );
}

#[test]
fn f28_a_failed_request_is_counted_and_the_last_rate_only_ages() {
    let mut bench = Bench::new(THREE);
    bench.quotes(0, "1392", 0);
    bench.fails(60_000);
    bench.fails(120_000);
    assert_eq!(bench.now(120_000), Some(("1392.0".to_owned(), BANK)));
    assert_eq!(bench.book.stats().sources[1].1.refused[&Refusal::Missing], 2);
}

#[test]
fn f18_a_crossed_or_wide_book_gives_no_rate() {
    for (bid, ask, want) in [
        ("1400", "1401", None),
        ("1400", "1407", None),
        ("1400", "1407.1", Some(Refusal::Wide)),
        ("1400", "1400", Some(Refusal::Crossed)),
        ("1401", "1400", Some(Refusal::Crossed)),
        ("14", "14.01", Some(Refusal::Scaled)),
    ] {
        assert_eq!(Bench::new(THREE).top(0, Some((bid, ask))), want, "{bid} {ask}");
    }
}

#[test]
fn times_that_run_ahead_or_back_are_refused() {
    let mut bench = Bench::new(THREE);
    assert_eq!(bench.quotes(60_000, "1392", 65_001), Some(Refusal::Future));
    assert_eq!(bench.quotes(60_000, "1392", 65_000), None);
    // A little ahead counts as now.
    assert_eq!(bench.book.current(at(60_000)).unwrap().ts_event, time(60_000));
    assert_eq!(bench.quotes(61_000, "1393", 64_999), Some(Refusal::Older));
    assert_eq!(bench.quotes(61_000, "1393", 65_000), None);
}

#[test]
fn f32_a_step_of_the_wall_clock_does_not_change_an_age() {
    for step in [-HOUR, HOUR] {
        let mut bench = Bench::new(THREE);
        bench.top(0, Some(("1410", "1411")));
        let stamp = |ms: i64| Stamp {
            mono_ns: ms * 1_000_000,
            ts: time(ms + step),
        };
        assert_eq!(bench.book.current(stamp(10_000)).map(|rate| rate.source), Some(BOOK));
        assert_ne!(bench.book.current(stamp(10_001)).map(|rate| rate.source), Some(BOOK));
    }
}

#[test]
fn what_the_engine_is_told_never_goes_back_in_time_and_is_not_told_twice() {
    let mut bench = Bench::new(THREE);
    bench.quotes(0, "1392", -HOUR);
    bench.top(1_000, Some(("1410", "1411")));
    bench.top(1_100, Some(("1410", "1411")));
    bench.top(1_999, Some(("1410", "1411")));
    bench.top(2_000, Some(("1410", "1411")));
    bench.top(2_100, Some(("1410", "1413")));
    bench.top(2_200, None);
    let rates: Vec<(String, SourceIx, i64)> = bench
        .told
        .iter()
        .filter_map(|event| match event {
            FxEvent::Rate {
                rate, source, ts_event, ..
            } => Some((format!("{rate:.1}"), *source, ts_event.since(time(0)) / 1_000_000)),
            _ => None,
        })
        .collect();
    let of = |rate: &str, source, ms| (rate.to_owned(), source, ms);
    assert_eq!(
        rates,
        [
            of("1400.0", WRITTEN, -24 * HOUR),
            of("1392.0", BANK, -HOUR),
            of("1410.5", BOOK, 1_000),
            of("1410.5", BOOK, 2_000),
            of("1411.5", BOOK, 2_100),
            of("1392.0", BANK, 2_100),
        ]
    );
}

#[test]
fn readings_are_read_back_from_a_journal_as_they_were_written() {
    for said in [
        Said::Quote {
            rate: Amount::parse("1391.57").unwrap(),
            ts_event: time(5),
        },
        Said::Failed {
            reason: "timeout".to_owned(),
        },
    ] {
        let note = crate::input::Note::Fx(Reading {
            source: "bank".to_owned(),
            said,
        });
        let text = serde_json::to_string(&note).unwrap();
        assert_eq!(serde_json::from_str::<crate::input::Note>(&text).unwrap(), note);
    }
}

#[test]
fn f70_a_section_that_makes_no_sense_is_refused_by_name() {
    let good = "name = \"a\"\nmax_age_ms = 1000\nfrom = ";
    let written = "{ constant = { rate = \"1400\", date = \"2025-11-20\" } }";
    let one = |from: &str| format!("[[sources]]\n{good}{from}\n");
    for (text, want) in [
        ("sources = []".to_owned(), "[fx]: 1 to 16 sources are taken, not 0"),
        (
            one(written).repeat(2),
            "[fx]: each source needs a name of its own, `a` is none",
        ),
        (
            one(&written.replace("1400", "13.9")),
            "[fx] source `a`: `rate` 13.90000000 is outside of the band 700.00000000 to 2500.00000000",
        ),
        (
            one(&written.replace("11-20", "02-30")),
            "[fx] source `a`: `date` is no day like 2026-11-20: 2025-02-30",
        ),
        (
            one("{ http = { url = \"ftp://x\", format = \"dunamu\" } }"),
            "[fx] source `a`: `url` must begin with http:// or https://",
        ),
        (
            one(
                "{ http = { url = \"http://x\", format = { json = { rate = \"r\", time = \"/t\", time_unit = \"day\" } } } }",
            ),
            "[fx] source `a`: `rate` and `time` are JSON pointers and begin with a slash",
        ),
        (
            one(written).replace("1000", "0"),
            "[fx] source `a`: `max_age_ms` must be from 1 to 31622400000",
        ),
        (
            format!("{}[band]\nlow = \"1400\"\nhigh = \"1400\"", one(written)),
            "[fx] band: `low` must be below `high`",
        ),
        (
            format!("{}[redis]\nurl = \"redis://x\"\nttl_ms = 1000", one(written)),
            "[fx] redis: `every_ms` and `timeout_ms` must not be zero, and `ttl_ms` must be above `every_ms`",
        ),
    ] {
        assert_eq!(FxBook::new(config(&text)).unwrap_err().to_string(), want, "{text}");
    }
    for unknown in [
        format!("speed = 3\n{}", one(written)),
        one(written).replace("max_age_ms", "max_age"),
        one(&written.replace("date", "day")),
        one("{ constant = { rate = 1400.0, date = \"2025-11-20\" } }"),
        one("{ constant = { rate = \"1400\", date = \"2025-11-20\", note = \"\" } }"),
        one("{ oracle = { } }"),
        format!("{}[band]\nhihg = \"1\"", one(written)),
    ] {
        assert!(toml::from_str::<FxConfig>(&unknown).is_err(), "{unknown}");
    }
}

#[test]
fn days_are_those_of_the_calendar() {
    let cases = [
        ("2000-01-01", Some(946_684_800)),
        ("2024-02-29", Some(1_709_164_800)),
        ("2025-11-20", Some(1_763_596_800)),
        ("2100-03-01", Some(4_107_542_400)),
        ("2023-02-29", None),
        ("2025-13-01", None),
        ("2025-00-10", None),
        ("2025-01-00", None),
        ("1999-12-31", None),
        ("2025/01/01", None),
        ("2025-1-01", None),
        ("+025-01-01", None),
        ("", None),
    ];
    for (text, seconds) in cases {
        let want = seconds.map(|seconds: i64| TimestampNs(seconds * 1_000_000_000));
        assert_eq!(super::config::day(text), want, "{text}");
    }
}

proptest! {
    /// How often time is told changes nothing but when things are noticed: not the accounts, not the switches, not their instants.
    #[test]
    fn f28_the_account_does_not_depend_on_how_often_time_is_told(
        quotes in proptest::collection::vec((0i64..40_000, 0u8..3, 1_390i64..1_410), 1..20),
        ticks in proptest::collection::vec(0i64..60_000, 0..40),
    ) {
        let text = THREE.replace("21_600_000", "15_000").replace("259_200_000", "86_420_000");
        let mut quotes = quotes;
        quotes.sort();
        let run = |ticks: &[i64]| {
            let mut bench = Bench::new(&text);
            bench.now(0);
            let mut ticks = ticks.to_vec();
            ticks.sort();
            let mut ticks = ticks.into_iter().peekable();
            for &(ms, kind, whole) in &quotes {
                while let Some(tick) = ticks.next_if(|&tick| tick <= ms) {
                    bench.now(tick);
                }
                match kind {
                    0 => { bench.quotes(ms, &whole.to_string(), ms); }
                    1 => { bench.top(ms, Some((&whole.to_string(), &(whole + 1).to_string()))); }
                    _ => { bench.top(ms, None); }
                }
            }
            for tick in ticks.filter(|&tick| tick > 40_000) {
                bench.now(tick);
            }
            bench.now(60_000);
            (bench.book.stats(), bench.switches())
        };
        let (stats, switches) = run(&[]);
        prop_assert_eq!(&run(&ticks), &(stats.clone(), switches));
        let used: i64 = stats.sources.iter().map(|(_, source)| source.in_use_ns).sum();
        prop_assert_eq!(used + stats.without_ns, stats.covered_ns);
        prop_assert_eq!(stats.covered_ns, 60_000_000_000);
    }
}
