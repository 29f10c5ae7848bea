//! Bad input to `crossbook record`: told with file, line or key, and nothing left behind.

use super::Bench;
use crate::lab;

#[test]
fn f70_bad_input_is_told_and_leaves_nothing() {
    let bench = Bench::new();
    let good = std::fs::read_to_string(bench.path("record.toml")).unwrap();
    let with = |from: &str, to: &str| {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        bad
    };
    let missing = with("bases = [\"BTC\", \"ETH\"]", "list = { upbit = [\"KRW-BTD\"] }");
    let cases: [(&str, String, &[&str], &str); 8] = [
        ("unknown key", with("progress_ms", "progres_ms"), &[], "progres_ms"),
        ("unknown key of a venue", with("rest_url", "rest_ur"), &[], "rest_ur"),
        (
            "no such coin",
            with("\"ETH\"", "\"NOPE\""),
            &[],
            "`NOPE` cannot be taken",
        ),
        (
            "no such market",
            missing,
            &[],
            "there is no market `KRW-BTD`; did you mean KRW-BTC",
        ),
        (
            "no such venue",
            with("venue = \"upbit\"", "venue = \"upbi\""),
            &[],
            "upbi",
        ),
        (
            "no such coin by flag",
            good.clone(),
            &["--symbols", "NOPE"],
            "`NOPE` cannot be taken",
        ),
        (
            "unknown key by flag",
            good.clone(),
            &["--set", "journal.flsh_ms=3"],
            "flsh_ms",
        ),
        ("bad span", good.clone(), &["--duration", "10"], "90s, 10m, 1h30m"),
    ];
    for (what, text, args, word) in cases {
        std::fs::write(bench.path("record.toml"), text).unwrap();
        let told = bench.told(args);
        assert_eq!(told.code, Some(2), "{what}: {}", told.err);
        assert!(told.err.contains(word), "{what}: {}", told.err);
        assert!(!bench.path("rec").exists(), "{what}");
    }
    std::fs::remove_file(bench.path("record.toml")).unwrap();
    let told = bench.told(&[]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("record.toml"), "{}", told.err);
}

/// A folder with a segment that is none: the file and the place are named, and nothing is made.
#[test]
fn f70_a_segment_that_is_no_journal_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rec")).unwrap();
    let segment = dir.path().join("rec/000001-20261121T10.cbj");
    for (bytes, word) in [
        (vec![0x5a; 4_096], "bytes 0 to 32 (the head of the segment)"),
        (Vec::new(), "ends after 0 bytes"),
    ] {
        std::fs::write(&segment, bytes).unwrap();
        let told = lab::told(dir.path(), &["dataset", "import", "rec", "--out", "data"]);
        assert_eq!(told.code, Some(2), "{}", told.err);
        assert!(
            told.err.contains("000001-20261121T10.cbj") && told.err.contains(word),
            "{}",
            told.err
        );
        assert!(told.err.contains("no run of `crossbook record`"), "{}", told.err);
        assert!(!dir.path().join("data").exists());
    }
}

/// Nothing listens at port 1: no fault of the file.
#[test]
fn a_venue_that_does_not_answer_is_a_fault_outside_and_leaves_nothing() {
    let bench = Bench::new();
    let told = bench.told(&["--set", "venue.0.rest_url=http://127.0.0.1:1"]);
    assert_eq!(told.code, Some(4), "{}", told.err);
    assert!(told.err.contains("market lists"), "{}", told.err);
    assert!(!bench.path("rec").exists());
}

#[test]
fn the_example_files_are_understood() {
    let mut seen = 0;
    for entry in std::fs::read_dir(lab::repository().join("config/record")).unwrap() {
        let path = entry.unwrap().path();
        let config = crossbook::config::record::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert!(config.venue.len() >= 2, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 3);
}
