use super::*;
use crate::config::{Config, Markets, market_list};

const START: TimestampNs = TimestampNs(1_790_000_000_000_000_000);
const SECOND: i64 = 1_000_000_000;

fn markets() -> Vec<MarketInfo> {
    let config = Config {
        markets: Markets::first(3),
        ..Config::default()
    };
    market_list(&config)
        .unwrap()
        .into_iter()
        .map(|listed| listed.info)
        .collect()
}

fn faults(script: &str) -> Faults {
    Faults::new(&Script::parse(script).unwrap(), 9, START, &markets())
}

/// Beginnings and ends up to a second, as `second+index` and `second-index`.
fn schedule(script: &str, until: i64) -> Vec<String> {
    let mut faults = faults(script);
    let mut out = Vec::new();
    while faults.next_ts().is_some_and(|ts| ts <= START.plus(until * SECOND)) {
        faults.step(START.plus(until * SECOND), &mut out);
    }
    let spell = |notice: &FaultNotice| {
        let sign = if notice.begins { '+' } else { '-' };
        format!("{}{sign}{}", notice.ts.since(START) as f64 / 1e9, notice.fault)
    };
    out.iter().map(spell).collect()
}

#[test]
fn a_schedule_is_as_it_is_written() {
    let cases: [(&str, &[&str]); 7] = [
        ("kind = \"halt\"\nat_s = 3", &["3+0", "8-0"]),
        ("kind = \"halt\"\nat_s = 3\nfor_s = 1.5", &["3+0", "4.5-0"]),
        ("kind = \"halt\"\nat_s = 3\nfor_s = inf", &["3+0"]),
        ("kind = \"reset\"\nat_s = 3\nfor_s = 9", &["3+0"]),
        (
            "kind = \"reset\"\nat_s = 1\nevery_s = 4\ntimes = 3",
            &["1+0", "5+0", "9+0"],
        ),
        (
            "kind = \"halt\"\nevery_s = 8\nfor_s = 3",
            &["0+0", "3-0", "8+0", "11-0", "16+0", "19-0"],
        ),
        (
            "kind = \"halt\"\nevery_s = 8\nfor_s = 30",
            &["0+0", "8-0", "8+0", "16-0", "16+0"],
        ),
    ];
    for (script, want) in cases {
        assert_eq!(schedule(&format!("[[fault]]\n{script}"), 20), want, "{script}");
    }
    let scaled = schedule("scale = 0.5\n[[fault]]\nkind = \"halt\"\nat_s = 4\nfor_s = 2", 20);
    assert_eq!(scaled, ["2+0", "3-0"]);
    let random = "[[fault]]\nkind = \"reset\"\nper_hour = 60";
    let (one, two) = (schedule(random, 3_600), schedule(random, 3_600));
    assert_eq!(one, two, "the same seed draws the same times");
    assert!((30..100).contains(&one.len()), "{}", one.len());
}

#[test]
fn a_fault_strikes_whom_it_names_as_often_as_it_says() {
    let target = |venue, surface, path, symbol| Target {
        venue,
        surface,
        path,
        symbol,
    };
    let stream = |symbol| target(Venue::Binance, Surface::Stream, "/stream", Some(symbol));
    let cases = [
        ("kind = \"drop\"\ncount = 2", stream("BTCUSDT"), 2),
        ("kind = \"drop\"", stream("BTCUSDT"), 1),
        ("kind = \"drop\"\nfor_s = 9", stream("BTCUSDT"), 100),
        ("kind = \"drop\"\nfor_s = 9\nvenue = \"upbit\"", stream("BTCUSDT"), 0),
        (
            "kind = \"drop\"\nfor_s = 9\nmarkets = [\"BTCUSDT\"]",
            stream("BTCUSDT"),
            100,
        ),
        (
            "kind = \"drop\"\nfor_s = 9\nmarkets = [\"BTCUSDT\"]",
            stream("ETHUSDT"),
            0,
        ),
        (
            "kind = \"drop\"\nfor_s = 9\nmarkets = [\"BTCUSDT\"]",
            target(Venue::Binance, Surface::Stream, "/ws", None),
            0,
        ),
        ("kind = \"drop\"\nfor_s = 9\nsurface = \"rest\"", stream("BTCUSDT"), 0),
        (
            "kind = \"drop\"\nfor_s = 9\npath = \"/api/v3/depth\"",
            target(Venue::Binance, Surface::Rest, "/api/v3/depth", None),
            100,
        ),
        (
            "kind = \"drop\"\nfor_s = 9\npath = \"/api/v3/depth\"",
            stream("BTCUSDT"),
            0,
        ),
        ("kind = \"silence\"\nfor_s = 9", stream("BTCUSDT"), 0),
    ];
    for (script, target, want) in cases {
        let mut faults = faults(&format!("[[fault]]\n{script}"));
        assert_eq!(
            faults.strike(START, Stage::Frame, &target).len(),
            0,
            "not begun: {script}"
        );
        faults.step(START, &mut Vec::new());
        let hits: usize = (0..100)
            .map(|_| faults.strike(START.plus(1), Stage::Frame, &target).len())
            .sum();
        assert_eq!(hits, want, "{script}");
    }
    let mut half = faults("[[fault]]\nkind = \"drop\"\nfor_s = 9\nshare = 0.5");
    half.step(START, &mut Vec::new());
    let target = stream("BTCUSDT");
    let hits: usize = (0..1_000)
        .map(|_| half.strike(START, Stage::Frame, &target).len())
        .sum();
    assert!((420..580).contains(&hits), "{hits}");
}

#[test]
fn a_fault_that_struck_often_enough_ends() {
    let mut faults = faults("[[fault]]\nkind = \"drop\"\ncount = 1");
    let target = Target {
        venue: Venue::Upbit,
        surface: Surface::Stream,
        path: "/websocket/v1",
        symbol: Some("KRW-BTC"),
    };
    faults.step(START, &mut Vec::new());
    assert_eq!(faults.next_ts(), Some(START.plus(60 * SECOND)));
    let now = START.plus(SECOND);
    assert_eq!(faults.strike(now, Stage::Frame, &target), [(0, FaultKind::Drop)]);
    assert_eq!(faults.next_ts(), Some(now));
    let mut out = Vec::new();
    faults.step(now, &mut out);
    assert_eq!((out.len(), out[0].begins, faults.next_ts()), (1, false, None));
}

#[test]
fn markets_are_chosen_anew_each_time_and_the_same_by_the_same_seed() {
    let script = "[[fault]]\nkind = \"frozen\"\nvenue = \"binance\"\npick = 2\nevery_s = 10\nfor_s = 1";
    let chosen = || {
        let mut faults = faults(script);
        let mut out = Vec::new();
        for _ in 0..40 {
            faults.step(START.plus(200 * SECOND), &mut out);
        }
        let begun = out.into_iter().filter(|notice| notice.begins);
        begun.map(|notice| notice.scope.symbols).collect::<Vec<_>>()
    };
    let all = chosen();
    assert_eq!(all, chosen());
    assert!(all.iter().all(|symbols| symbols.len() == 2 && symbols[0] != symbols[1]));
    assert!(
        all.iter().any(|symbols| symbols != &all[0]),
        "never another choice in 20"
    );
}

#[test]
fn a_wrong_script_is_refused_with_the_key_and_what_is_allowed() {
    let cases = [
        ("scal = 1", "the file: unknown key `scal`; allowed: scale, fault"),
        ("fault = 1", "write [[fault]]"),
        ("[[fault]]\nat_s = 1", "fault 1: kind: is missing; one of reset, close"),
        ("[[fault]]\nkind = \"nope\"", "`nope` is not one of reset, close"),
        (
            "[[fault]]\nkind = \"drop\"\n[[fault]]\nkind = \"drop\"\nfoo = 1",
            "fault 2 (kind `drop`): unknown key `foo`; allowed: kind, at_s, every_s",
        ),
        ("[[fault]]\nkind = \"drop\"\nfactor = 2.0", "unknown key `factor`"),
        (
            "[[fault]]\nkind = \"burst\"\nfactor = 0",
            "factor: 0 is not in 0.001 to 1000",
        ),
        ("[[fault]]\nkind = \"burst\"\nat_s = -1", "at_s: -1 is not in 0 to"),
        ("[[fault]]\nkind = \"burst\"\nat_s = nan", "at_s: NaN is not in"),
        (
            "[[fault]]\nkind = \"burst\"\nat_s = \"1\"",
            "at_s: \"1\" is not a number",
        ),
        (
            "[[fault]]\nkind = \"burst\"\nevery_s = 1\nper_hour = 1",
            "per_hour: does not go with every_s",
        ),
        (
            "[[fault]]\nkind = \"close\"\ncode = 99999",
            "code: 99999 is not a whole number in 1000 to 4999",
        ),
        (
            "[[fault]]\nkind = \"reset\"\nmid_frame = 1",
            "mid_frame: 1 is not true or false",
        ),
        (
            "[[fault]]\nkind = \"drop\"\nvenue = \"kraken\"",
            "venue: `kraken` is not one of upbit, binance, binance-usdm",
        ),
        (
            "[[fault]]\nkind = \"drop\"\nmarkets = \"BTCUSDT\"",
            "markets: \"BTCUSDT\" is not a list of texts",
        ),
        ("[[fault]]\nkind = \"rules\"", "tick: or lot or min_total must be there"),
        (
            "[[fault]]\nkind = \"rules\"\ntick = \"0\"",
            "tick: `0`: must be positive",
        ),
        ("[[fault]]\nkind = \"drop\"\nshare = 1.5", "share: 1.5 is not in"),
        (
            "[[fault]]\nkind = \"drop\"\ntimes = 0",
            "times: 0 is not a whole number in 1",
        ),
    ];
    for (text, want) in cases {
        let message = Script::parse(text).unwrap_err();
        assert!(message.contains(want), "{text:?} gave {message:?}, not {want:?}");
    }
}

#[test]
fn every_kind_that_is_listed_is_read() {
    for kind in script::KINDS {
        let extra = if kind == "rules" { "tick = \"1\"" } else { "" };
        let script = Script::parse(&format!("[[fault]]\nkind = \"{kind}\"\n{extra}")).unwrap();
        assert_eq!(script.faults.len(), if kind == "maintenance" { 2 } else { 1 }, "{kind}");
    }
}

#[test]
fn a_fault_that_is_added_leaves_the_others_as_they_were() {
    let script = "[[fault]]\nkind = \"halt\"\nper_hour = 900\nfor_s = 1\n[[fault]]\nkind = \"delist\"\nevery_s = 3\nfor_s = 1\npick = 1";
    let run = |added: &[(i64, &str)], ended: &[(i64, usize)]| {
        let mut faults = faults(script);
        let mut out = Vec::new();
        for second in 0..60 {
            let now = START.plus(second * SECOND);
            for (_, text) in added.iter().filter(|(at, _)| *at == second) {
                faults.inject(one(text).unwrap(), now).unwrap();
            }
            for (_, number) in ended.iter().filter(|(at, _)| *at == second) {
                assert!(faults.end(*number, now));
            }
            while faults.next_ts().is_some_and(|ts| ts <= now) {
                faults.step(now, &mut out);
            }
        }
        out
    };
    let of = |notices: &[FaultNotice], number: usize| -> Vec<FaultNotice> {
        notices
            .iter()
            .filter(|notice| notice.fault == number)
            .cloned()
            .collect()
    };
    let alone = run(&[], &[]);
    let more = run(
        &[
            (5, "kind = \"frozen\"\nat_s = 2\nfor_s = 4"),
            (9, r#"{"kind":"crossed","for_s":30}"#),
        ],
        &[(20, 3)],
    );
    assert_eq!((of(&alone, 0), of(&alone, 1)), (of(&more, 0), of(&more, 1)));
    let seen = |number| -> Vec<(i64, bool)> {
        let spell = |notice: &FaultNotice| (notice.ts.since(START) / SECOND, notice.begins);
        of(&more, number).iter().map(spell).collect()
    };
    assert_eq!(
        (seen(2), seen(3)),
        (vec![(7, true), (11, false)], vec![(9, true), (20, false)])
    );
    // One that is ended before its time never begins.
    let never = run(&[(5, "kind = \"frozen\"\nat_s = 2\nevery_s = 5")], &[(6, 2)]);
    assert_eq!(of(&never, 2), []);
    let mut faults = faults(script);
    assert!(!faults.end(2, START), "there is none");
    let many = vec![one("kind = \"drop\"").unwrap().remove(0); 10_000];
    assert_eq!(faults.inject(many, START), Err(InjectError::TooMany));
}
