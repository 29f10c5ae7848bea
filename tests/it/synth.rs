//! `crossbook dataset synth` from outside: the bundled sample, exit codes and messages, real candles.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crossbook::dataset::message::Message;
use crossbook::dataset::reader::Dataset;
use crossbook::dataset::synth::{CandleFiles, Spec, lay_over_candles};
use crossbook_engine::event::Kind;

const SAMPLE: [&str; 3] = ["demo-upbit-krw-btc", "demo-binance-btcusdt", "demo-usdkrw"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn synth(args: &[&str], threads: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossbook"))
        .args(["dataset", "synth"])
        .args(args)
        .current_dir(repository())
        .env_remove("CROSSBOOK_DATA")
        .env("RAYON_NUM_THREADS", threads)
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_bundled_sample_is_made_by_its_documented_command() {
    let mut size = 0;
    for threads in ["1", "4"] {
        let out = tempfile::tempdir().unwrap();
        let out_text = out.path().to_str().unwrap();
        let (code, _, errors) = outcome(&synth(&["datasets/specs/demo.toml", "--out", out_text], threads));
        assert_eq!(code, Some(0), "{errors}");
        for name in SAMPLE {
            let bundled = Dataset::open(&repository().join("datasets").join(name)).unwrap();
            let made = Dataset::open(&out.path().join(name)).unwrap();
            let again = "run `crossbook dataset synth datasets/specs/demo.toml --out datasets --force` and commit";
            assert_eq!(made.manifest().data, bundled.manifest().data, "{name}: {again}");
            // All of the manifest but the version of the program.
            assert_eq!(made.manifest().draft(), bundled.manifest().draft(), "{name}: {again}");
            assert_eq!(made.manifest().counts, bundled.manifest().counts, "{name}: {again}");
            let data = fs::read(bundled.dir().join("data.parquet")).unwrap();
            assert!(data == fs::read(made.dir().join("data.parquet")).unwrap(), "{name}");
            size += data.len();
        }
    }
    assert!(size / 2 < 1_500_000, "the sample has grown to {} bytes", size / 2);
}

#[test]
fn synth_refuses_what_is_wrong_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let demo = fs::read_to_string(repository().join("datasets/specs/no-edge.toml")).unwrap();
    let short = demo.replace("duration_s = 7200", "duration_s = 20");
    let specs = [
        ("short.toml", short.clone()),
        ("key.toml", short.replace("step_ms", "steps_ms")),
        ("range.toml", short.replace("refresh = 0.1", "refresh = 7")),
        ("text.toml", "name = ".to_owned()),
        (
            "candles.toml",
            fs::read_to_string(repository().join("datasets/specs/kimchi.toml")).unwrap(),
        ),
    ];
    for (name, text) in &specs {
        fs::write(root.join(name), text).unwrap();
    }
    fs::write(root.join("latin.toml"), [0x6e, 0xe9]).unwrap();
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let out = path("out");
    let cases: [(Vec<String>, i32, &str); 13] = [
        (
            vec![
                path("short.toml"),
                "--out".into(),
                out.clone(),
                "--set".into(),
                "premium.half_life_s=3".into(),
            ],
            2,
            "half_life_s",
        ),
        (
            vec![path("short.toml"), "--out".into(), out.clone()],
            0,
            "no-edge with seed 1",
        ),
        (vec![path("short.toml"), "--out".into(), out.clone()], 2, "--force"),
        (
            vec![path("short.toml"), "--out".into(), out.clone(), "--force".into()],
            0,
            "20 messages",
        ),
        (
            vec![path("key.toml"), "--out".into(), out.clone()],
            2,
            "unknown field `steps_ms`",
        ),
        (
            vec![path("range.toml"), "--out".into(), out.clone()],
            2,
            "range.toml: `a.book.refresh` is 7: allowed is 0 to 1",
        ),
        (vec![path("text.toml"), "--out".into(), out.clone()], 2, "line 1"),
        (vec![path("latin.toml"), "--out".into(), out.clone()], 2, "latin.toml"),
        (vec![path("none.toml"), "--out".into(), out.clone()], 2, "read "),
        (vec![path("short.toml")], 2, "--out"),
        (
            vec![
                path("short.toml"),
                "--out".into(),
                out.clone(),
                "--seed".into(),
                "9223372036854775808".into(),
            ],
            2,
            "`seed` is 9223372036854775808: allowed is 0 to",
        ),
        (
            vec![
                path("short.toml"),
                "--out".into(),
                out.clone(),
                "--force".into(),
                "--from-candles".into(),
                out.clone(),
            ],
            2,
            "`candles`: missing",
        ),
        (vec![path("candles.toml"), "--out".into(), out.clone()], 2, "kimchi_1m/"),
    ];
    for (args, want, text) in cases {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (code, stdout, stderr) = outcome(&synth(&args, "2"));
        assert_eq!(code, Some(want), "{args:?}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(text), "{args:?}: {stdout}{stderr}");
    }
    // What failed has left nothing behind.
    let mut left: Vec<String> = fs::read_dir(root.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["no-edge-binance-btcusdt", "no-edge-upbit-krw-btc", "no-edge-usdkrw"]
    );

    let args = [
        &path("short.toml"),
        "--out",
        &out,
        "--force",
        "--seed",
        "5",
        "--set",
        "duration_s=10",
        "--set",
        "premium={ model = \"constant\", bps = 5 }",
        "--json",
        "--quiet",
    ];
    let (code, stdout, _) = outcome(&synth(&args, "2"));
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&json["seed"], &json["datasets"][0]["messages"]),
        (&5.into(), &10.into())
    );
    let (code, stdout, _) = outcome(&synth(&["--help"], "2"));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("Examples:") && stdout.contains("--from-candles"));
}

/// Month, minutes, mean, deviation, smallest and largest premium in percent, as the recordings' own description has
/// them: close over close times the day's ECB cross rate.
const KIMCHI: [(&str, usize, [f64; 4]); 7] = [
    ("2024-08", 2172, [1.385, 0.804, -0.103, 2.766]),
    ("2024-09", 8628, [0.942, 0.781, -0.713, 2.985]),
    ("2024-10", 8812, [0.154, 0.733, -1.564, 2.267]),
    ("2024-11", 8788, [0.196, 1.045, -5.650, 2.219]),
    ("2024-12", 8800, [0.898, 1.982, -5.033, 5.343]),
    ("2025-01", 9000, [2.846, 1.766, 0.092, 7.902]),
    ("2025-02", 8000, [4.604, 2.223, 0.060, 10.418]),
];

#[test]
fn books_over_the_real_candles_have_the_real_premium() {
    let Some(root) = std::env::var_os("CROSSBOOK_DATA").map(PathBuf::from) else {
        eprintln!("SKIPPED books_over_the_real_candles_have_the_real_premium: CROSSBOOK_DATA is not set");
        return;
    };
    let root = root.join("real");
    let text = fs::read_to_string(repository().join("datasets/specs/kimchi.toml")).unwrap();
    let mut spec = Spec::parse(&text).unwrap();
    for market in [&mut spec.a, &mut spec.b] {
        market.every_ms = 15_000;
        market.book.levels = 1;
    }
    let candles = spec.candles.clone().unwrap();
    let files = |names: &[String]| CandleFiles::new(names.iter().map(|name| root.join(name)).collect::<Vec<_>>());
    // The last doubled mid of each minute, by market.
    let mut closes: [BTreeMap<i64, i64>; 2] = Default::default();
    let mut sink = |stream: usize, message: &Message| -> Result<(), Infallible> {
        if message.kind == Kind::Snapshot {
            let twice = message.bids[0].price.raw() + message.asks[0].price.raw();
            closes[stream].insert(message.ts_event.0 / 60_000_000_000, twice);
        }
        Ok(())
    };
    lay_over_candles(&spec, &mut files(&candles.a), &mut files(&candles.b), &mut sink).unwrap();

    let rates = daily_usdkrw(&root.join("fx_daily/ecb_eur_usd_krw_jpy_2017_2026.csv.gz"));
    let mut months: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (&minute, &a) in &closes[0] {
        let day = jiff::Timestamp::from_second(minute * 60).unwrap().to_string()[..10].to_owned();
        let (_, rate) = rates.range(..=day.clone()).next_back().unwrap();
        let premium = a as f64 / (closes[1][&minute] as f64 * rate) - 1.0;
        months.entry(day[..7].to_owned()).or_default().push(premium * 100.0);
    }
    assert_eq!(months.len(), KIMCHI.len());
    for (month, minutes, want) in KIMCHI {
        let values = &months[month];
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let sd = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
        let low = values.iter().copied().fold(f64::MAX, f64::min);
        let high = values.iter().copied().fold(f64::MIN, f64::max);
        assert_eq!(values.len(), minutes, "{month}");
        for (found, want) in [mean, sd, low, high].into_iter().zip(want) {
            assert!((found - want).abs() < 0.002, "{month}: {found} instead of {want}");
        }
    }
}

fn daily_usdkrw(path: &Path) -> BTreeMap<String, f64> {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut rates = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        if let (Ok(usd), Ok(krw)) = (fields[1].parse::<f64>(), fields[2].parse::<f64>()) {
            rates.insert(fields[0].to_owned(), krw / usd);
        }
    }
    rates
}
