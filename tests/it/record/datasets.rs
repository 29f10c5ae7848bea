//! What was recorded becomes datasets, with the recorder's account, and replays.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{Bench, read, segments};
use crate::lab;

const SCENARIO: &str = r#"
name = "recorded"
seed = 1
base_currency = "KRW"
datasets = ["data/upbit-krw-btc", "data/binance-btcusdt", "data/fx-usdkrw"]

[venues.upbit]
kind = "spot"
taker_fee_bps = 5.0
balances = { KRW = "50000000", BTC = "0.5" }

[venues.binance]
kind = "spot"
taker_fee_bps = 10.0
balances = { USDT = "35000", BTC = "0.5" }

[fx]
source = "fx-usdkrw"
max_age_ms = 60000

[[routes]]
a = "upbit:KRW-BTC"
b = "binance:BTCUSDT"

[strategy]
fair_premium = { model = "zero" }
entry_bps = 1.0
exit_bps = 0.0
slippage_bps = 1.0
size = { notional = "1000000", currency = "KRW" }
"#;

fn count(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key}: {value}"))
}

/// Received, applied, ignored by reason, quarantined.
fn account(value: &Value) -> (u64, u64, BTreeMap<String, u64>, u64) {
    let ignored = serde_json::from_value(value["ignored"].clone()).unwrap();
    (
        count(value, "received"),
        count(value, "applied"),
        ignored,
        count(value, "quarantined"),
    )
}

fn import(root: &Path, out: &str) -> Value {
    let told = lab::told(root, &["dataset", "import", "rec", "--out", out, "--json"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    told.json()
}

#[test]
fn what_was_recorded_replays_with_one_digest() {
    let bench = Bench::new();
    let root = bench.root();
    let told = bench.told(&["--duration", "3s", "--dataset", "data", "--json"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    let json = told.json();
    assert_eq!(
        (json["balanced"].as_bool(), json["reason"].as_str()),
        (Some(true), Some("duration"))
    );
    let recorded = account(&json["totals"]);
    assert!(recorded.1 > 100, "{json}");
    assert_eq!(count(&json, "received"), recorded.0);
    assert_eq!(count(&json, "journaled"), count(&json, "pushed"));
    let (records, _) = read(&bench.path("rec")).unwrap();
    // All of them, and the mark at the end.
    assert_eq!(records.len() as u64 + 1, count(&json, "journaled"));

    // The conversion sees what the recorder saw: its account, its gaps.
    assert_eq!(account(&json["dataset"]), recorded);
    assert_eq!(json["dataset"]["recording"]["gaps"], json["gaps"]);
    assert_eq!(json["dataset"]["recording"]["totals"], json["totals"]);
    let again = import(root, "again");
    let hashes = |value: &Value| -> Vec<(String, String)> {
        let made = value["datasets"].as_array().unwrap().iter();
        made.map(|made| (made["name"].to_string(), made["blake3"].to_string()))
            .collect()
    };
    assert_eq!(
        hashes(&again),
        hashes(&json["dataset"]),
        "the same journal gives the same datasets"
    );
    let names: Vec<String> = hashes(&again).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "\"binance-btcusdt\"",
            "\"binance-ethusdt\"",
            "\"fx-usdkrw\"",
            "\"upbit-krw-btc\"",
            "\"upbit-krw-eth\"",
            "\"upbit-krw-usdt\""
        ]
    );
    for name in ["binance-btcusdt", "upbit-krw-btc", "fx-usdkrw"] {
        let told = lab::told(root, &["dataset", "validate", &format!("data/{name}")]);
        assert_eq!(told.code, Some(0), "{name}: {}{}", told.out, told.err);
    }
    let manifest = std::fs::read_to_string(bench.path("data/upbit-krw-btc/dataset.toml")).unwrap();
    assert!(
        manifest.contains("tick = ") && manifest.contains("stretches without a live book"),
        "{manifest}"
    );

    std::fs::write(bench.path("s.toml"), SCENARIO).unwrap();
    let digests: Vec<String> = ["one", "two"]
        .iter()
        .map(|id| {
            let told = lab::told(
                root,
                &["replay", "s.toml", "--id", id, "--no-plots", "--quiet", "--json"],
            );
            assert_eq!(told.code, Some(0), "{}", told.err);
            told.json()["digest"].to_string()
        })
        .collect();
    assert!(digests[0].len() > 10);
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn two_runs_in_one_folder_are_one_dataset_with_a_gap_between() {
    let bench = Bench::new();
    let only = ["--symbols", "BTC", "--duration", "1s", "--json"];
    let accounts: Vec<_> = (0..2)
        .map(|_| {
            let told = bench.told(&only);
            assert_eq!(told.code, Some(0), "{}", told.err);
            account(&told.json()["totals"])
        })
        .collect();
    assert_eq!(segments(&bench.path("rec")).len(), 2);
    let imported = import(bench.root(), "data");
    let both = account(&imported);
    assert_eq!(both.0, accounts[0].0 + accounts[1].0);
    assert_eq!(both.1, accounts[0].1 + accounts[1].1);
    let recording = &imported["recording"];
    assert_eq!(count(recording, "runs"), 2);
    let between = recording["gaps"].as_array().unwrap().iter();
    let between = between.filter(|gap| gap["cause"] == "not_recorded").count();
    // KRW-BTC, BTCUSDT, and KRW-USDT for the rate.
    assert_eq!(between, 3);
    let told = lab::told(bench.root(), &["dataset", "validate", "data/binance-btcusdt"]);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
}

/// The twenty faults of a bad ten minutes within a few seconds, with timers to match: everything is accounted for, and the
/// journal gives back the same account, gaps and books.
#[test]
fn c1_c2_a_recording_through_twenty_faults_balances() {
    let script = std::fs::read_to_string(lab::repository().join("config/simex/faults.toml")).unwrap();
    let script = script.replace("scale = 1.0", "scale = 0.01");
    assert!(script.contains("scale = 0.01"));
    let bench = Bench::with(Some(&script));
    let timers = "first_data_ms = 800, idle_ms = 400, ping_ms = 150, pong_ms = 200, backoff_first_ms = 20, \
                  backoff_most_ms = 200, stable_ms = 1000, overlap_ms = 50";
    let mut args = vec!["--duration".to_owned(), "7s".to_owned(), "--json".to_owned()];
    for venue in 0..2 {
        for set in [
            format!("venue.{venue}.timers={{ {timers} }}"),
            format!("venue.{venue}.books={{ stale_after_ms = 500, crossed_after_ms = 100, retry_first_ms = 50 }}"),
            format!(
                "venue.{venue}.rest={{ fallback_after_ms = 300, poll_ms = 200, timeout_ms = 500, banned_ms = 500 }}"
            ),
        ] {
            args.extend(["--set".to_owned(), set]);
        }
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let told = bench.told(&args);
    assert_eq!(told.code, Some(0), "{}{}", told.out, told.err);
    let json = told.json();
    let lost = json["links"].as_object().unwrap().iter();
    let lost: u64 = lost
        .filter(|(what, _)| what.starts_with("lost"))
        .filter_map(|(_, count)| count.as_u64())
        .sum();
    let gaps = json["gaps"].as_array().unwrap();
    assert!(lost > 0 && gaps.iter().any(|gap| gap["cause"] != "starting"), "{json}");
    println!(
        "links {}, {} gaps, ignored {}",
        json["links"],
        gaps.len(),
        json["totals"]["ignored"]
    );

    let imported = import(bench.root(), "data");
    assert_eq!(account(&imported), account(&json["totals"]));
    assert_eq!(imported["recording"]["gaps"], json["gaps"]);
    assert_eq!(imported["recording"]["totals"], json["totals"]);
    for made in imported["datasets"].as_array().unwrap() {
        let told = lab::told(bench.root(), &["dataset", "validate", made["dir"].as_str().unwrap()]);
        // A book that the exchange crossed stands in the data as it came; nothing else may be wrong with them.
        let findings = told.out.lines().filter(|line| line.starts_with("  "));
        let others: Vec<&str> = findings.filter(|line| !line.starts_with("  crossed: ")).collect();
        assert!(told.code == Some(0) || others.is_empty(), "{}{}", told.out, told.err);
    }
}

/// A journal with a flipped bit: the conversion goes on, names the range, and says that the result is doubtful.
#[test]
fn f48_a_damaged_recording_is_converted_and_called_doubtful() {
    let bench = Bench::new();
    let told = bench.told(&["--duration", "2s", "--quiet"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    let (path, bytes) = segments(&bench.path("rec")).remove(0);
    let mut damaged = std::fs::read(&path).unwrap();
    let at = bytes as usize / 2;
    damaged[at] ^= 0x10;
    std::fs::write(&path, damaged).unwrap();
    let told = lab::told(bench.root(), &["dataset", "import", "rec", "--out", "data"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(
        told.out.contains("DAMAGED 000001-") && told.out.contains("doubtful"),
        "{}",
        told.out
    );
    let manifest = std::fs::read_to_string(bench.path("data/upbit-krw-btc/dataset.toml")).unwrap();
    assert!(manifest.contains("damaged ranges of the journal"), "{manifest}");
}
