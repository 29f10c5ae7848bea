//! `crossbook dataset import` from outside: exit codes, what is left behind, quarantine, and back again through CSV.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crossbook::dataset::reader::Dataset;
use crossbook_engine::book::sync::SequenceRule;

fn crossbook(root: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossbook"))
        .args(["dataset"])
        .args(args)
        .current_dir(root)
        .env_remove("CROSSBOOK_DATA")
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const CAPTURE: &str = "\
1723161253937085768 {\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1723161255208,\"s\":\"BTCUSDT\",\"U\":90,\"u\":103,\"b\":[[\"9.5\",\"1\"]],\"a\":[]}}
1723161254000000000 {\"lastUpdateId\":100,\"bids\":[[\"10.0\",\"1\"]],\"asks\":[[\"11.0\",\"1\"]]}
1723161255000000000 {\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1723161256208,\"s\":\"BTCUSDT\",\"U\":104,\"u\":104
1723161255000000001 {\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1723161256208,\"s\":\"BTCUSDT\",\"U\":104,\"u\":105,\"b\":[[\"9.5\",\"0\"]],\"a\":[[\"11.5\",\"2\"]]}}
";

const ROWS: &str = "ts,venue,symbol,side,price,qty\n1723161253,v,AUSDT,bid,10,1\n1723161254,v,AUSDT,ask,11,2\n";

#[test]
fn a_capture_becomes_a_dataset_and_its_broken_frame_is_kept() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("capture"), CAPTURE).unwrap();
    let (code, text, errors) = outcome(&crossbook(
        root.path(),
        &["import", "capture", "--out", "data", "--json"],
    ));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{text}");
    assert!(
        text.contains("received 4 = applied 3 + ignored 0 + quarantined 1"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(json["format"], "raw-binance");
    assert_eq!(json["datasets"][0]["messages"], 3);
    // The diff that waited for the snapshot had come 1.271 s before the exchange says that it was made.
    assert_eq!(json["datasets"][0]["clock_offset_ns"], -1_270_914_232);
    let quarantine = fs::read_to_string(root.path().join("data/capture.quarantine.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(quarantine.trim_end()).unwrap();
    assert_eq!(
        (&line["line"], line["raw"].as_str()),
        (&3.into(), CAPTURE.lines().nth(2))
    );

    let manifest = Dataset::open(&root.path().join("data/binance-btcusdt"))
        .unwrap()
        .manifest()
        .clone();
    assert_eq!((manifest.base.as_str(), manifest.quote.as_str()), ("BTC", "USDT"));
    assert_eq!(manifest.clock_offset_ns, -1_270_914_232);
    assert_eq!(manifest.sequence, SequenceRule::BinanceSpot);
    assert!(
        manifest.source.text.contains("clock offset estimated"),
        "{}",
        manifest.source.text
    );
    assert_eq!(manifest.dropped["quarantined, over all datasets of the import"], 1);
    let (code, text, errors) = outcome(&crossbook(root.path(), &["validate", "data/binance-btcusdt"]));
    assert_eq!(code, Some(0), "{text}{errors}");

    // Nothing is replaced unasked; the same import gives the same bytes.
    let hash = manifest.data.blake3;
    let (code, _, errors) = outcome(&crossbook(root.path(), &["import", "capture", "--out", "data"]));
    assert!(code == Some(2) && errors.contains("--force"), "{errors}");
    let (code, ..) = outcome(&crossbook(
        root.path(),
        &["import", "capture", "--out", "data", "--force", "--quiet"],
    ));
    assert_eq!(code, Some(0));
    let again = Dataset::open(&root.path().join("data/binance-btcusdt"))
        .unwrap()
        .manifest()
        .clone();
    assert_eq!(again.data.blake3, hash);
}

#[test]
fn bad_input_ends_with_2_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(root.path().join(name), bytes).unwrap();
    write("good.csv", ROWS.as_bytes());
    write("mixed.csv", ROWS.replace("1723161254", "1723161254000").as_bytes());
    write("unsorted.csv", ROWS.replace("1723161254", "1723161252").as_bytes());
    write("nan.csv", ROWS.replace(",11,", ",NaN,").as_bytes());
    write("utf8.csv", &[ROWS.as_bytes(), b"\xff\xfe,,,,,\n"].concat());
    write("columns.csv", b"ts,venue,symbol,side,price\n");
    write("empty.csv", b"");
    write("header.csv", ROWS.lines().next().unwrap_or_default().as_bytes());
    write("cut.csv.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]);
    write("unknown", b"hello\n");
    let csv = ["--format", "csv", "--rows", "updates"];
    let cases: [(&str, &[&str], &str); 13] = [
        (
            "mixed.csv",
            &csv,
            "mixed.csv:3: column `ts`: `1723161254000` is in Millis",
        ),
        ("unsorted.csv", &csv, "unsorted.csv:3: receive time"),
        (
            "nan.csv",
            &csv,
            "nan.csv:3: column `price`: `NaN`: not a decimal number",
        ),
        ("utf8.csv", &csv, "utf8.csv:4: not valid UTF-8"),
        (
            "columns.csv",
            &csv,
            "columns.csv:1: no column `qty`; the header has: ts, venue, symbol, side, price",
        ),
        ("empty.csv", &csv, "empty.csv: empty file"),
        ("header.csv", &csv, "nothing to import"),
        ("cut.csv.gz", &csv, "cut.csv.gz:1: damaged or cut short"),
        ("unknown", &[], "unknown: cannot tell what it is"),
        ("absent.csv", &csv, "cannot read absent.csv"),
        ("good.csv", &["--format", "csv"], "--rows"),
        (
            "good.csv",
            &["--rows", "updates", "--base", "A", "--clock-offset", "1h"],
            "--clock-offset `1h`: allowed are auto",
        ),
        (
            "good.csv",
            &["--rows", "updates", "--symbol", "B"],
            "nothing to import: 2 records, of them ignored: other symbol 2",
        ),
    ];
    for (file, options, want) in cases {
        let mut args = vec!["import", file, "--out", "out"];
        args.extend_from_slice(options);
        let (code, text, errors) = outcome(&crossbook(root.path(), &args));
        assert_eq!(code, Some(2), "{file}: {text}{errors}");
        assert!(errors.contains(want), "{file}: {errors}");
        assert_eq!(errors.lines().count(), 1, "an error is said once: {errors}");
        let left: Vec<_> = fs::read_dir(root.path().join("out"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        assert!(left.is_empty(), "{file}: {left:?}");
    }
}

#[test]
fn csv_goes_out_and_comes_back_the_same() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("capture"), CAPTURE).unwrap();
    let run = |args: &[&str]| {
        let (code, _, errors) = outcome(&crossbook(root.path(), args));
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{args:?}");
    };
    run(&["import", "capture", "--out", "one"]);
    run(&["convert", "one/binance-btcusdt", "levels.csv", "--format", "csv"]);
    run(&["import", "levels.csv", "--out", "two", "--sequence", "binance-spot"]);
    run(&["convert", "two/binance-btcusdt", "again.csv", "--format", "csv"]);
    let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
    assert_eq!(read("levels.csv"), read("again.csv"));
    let manifest = |name: &str| Dataset::open(&root.path().join(name)).unwrap().manifest().clone();
    let (one, two) = (manifest("one/binance-btcusdt"), manifest("two/binance-btcusdt"));
    assert_eq!((one.data.blake3, one.sequence), (two.data.blake3, two.sequence));
    run(&["convert", "one/binance-btcusdt", "top.csv", "--format", "top-csv"]);
    run(&["import", "top.csv", "--out", "two"]);
    assert_eq!(manifest("two/binance-btcusdt-quotes").counts.messages, 1);
}
