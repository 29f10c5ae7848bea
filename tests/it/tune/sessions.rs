//! `crossbook sessions` from outside: what it lists, shows and writes, and what it refuses.

use std::collections::BTreeMap;
use std::path::Path;

use crossbook::tune::log::TrialLog;
use crossbook::tune::results::{Results, usable};
use crossbook::tune::session::folder::{Folder, Header, Question, SUMMARY};
use crossbook::tune::spec;

use crate::by_hand;
use crate::lab::told;

use super::samples;

const TUNING: &str = r#"
name = "hand"
sampler = { kind = "random", trials = 60, batch = 4, seed = 7 }
scenarios = ["s.toml"]
objective = { metric = "pnl_vs_hold", aggregate = "worst" }
validation = { mode = "walk_forward", folds = 2 }

[space]
"strategy.entry_bps" = { float = [2.0, 80.0] }
"strategy.exit_bps" = { float = [-20.0, 20.0], step = 0.3 }
"strategy.max_hold_s" = { int = [60, 14400], log = true }
"#;

/// A folder with the session `hand`: so many of its trials are in the log.
fn room(trials: usize, done: bool) -> (tempfile::TempDir, Results) {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("s.toml"), by_hand::SCENARIO).unwrap();
    let path = root.path().join("hand.toml");
    let spec = spec::parse(TUNING, &path, &[]).unwrap();
    let question = Question {
        spec: spec.to_text().unwrap(),
        header: Header {
            id: "hand".to_owned(),
            version: "0.1.0".to_owned(),
            asynchronous: false,
            data: BTreeMap::new(),
        },
    };
    let folder = Folder::create(&root.path().join("sessions"), "hand", true).unwrap();
    folder.write_question(&question).unwrap();
    let mut results = samples::session_of(spec.space.params().to_vec(), 2, 60);
    results.records.truncate(trials);
    if trials > 0 {
        let (mut log, _) = TrialLog::open(&folder.log()).unwrap();
        log.append(&results.records).unwrap();
    }
    if done {
        folder
            .write(
                SUMMARY,
                b"{\"windows\":[\"the first\",\"the second\"],\"period_s\":3600}",
                false,
            )
            .unwrap();
    }
    (root, results)
}

fn ok(root: &Path, args: &[&str]) -> String {
    let told = told(root, args);
    assert_eq!(told.code, Some(0), "{args:?}: {}", told.err);
    told.out
}

#[test]
fn sessions_are_listed_with_their_status() {
    let (root, results) = room(100, false);
    let out = ok(root.path(), &["sessions", "list"]);
    let line = out.lines().nth(1).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..5], ["hand", "hand", "random", "open", "100/120"], "{out}");
    let json = told(root.path(), &["sessions", "list", "--json"]).json();
    let best = results.winner().unwrap();
    assert_eq!(json["sessions"][0]["best"]["trial"], best.id);
    assert_eq!(json["sessions"][0]["best"]["value"].as_f64(), usable(best));
    // A damaged one does not hide the others, and folders that are no session are passed over.
    let sessions = root.path().join("sessions");
    std::fs::create_dir_all(sessions.join("broken")).unwrap();
    std::fs::create_dir_all(sessions.join("empty")).unwrap();
    std::fs::write(sessions.join("broken/session.toml"), "name = 1").unwrap();
    let out = ok(root.path(), &["sessions", "list"]);
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(out.contains("damaged") && out.contains("100/120"), "{out}");
    let out = ok(root.path(), &["sessions", "list", "--sessions", "nowhere"]);
    assert_eq!(out.trim(), "no sessions in nowhere");
}

#[test]
fn a_leaderboard_ranks_by_the_value_in_sample_and_shows_the_rest_beside_it() {
    let (root, results) = room(120, true);
    let json = told(root.path(), &["sessions", "show", "hand", "--json", "--top", "5"]).json();
    assert_eq!(json["fold"], 1);
    assert_eq!(json["folds"][1], "the second");
    assert_eq!(json["objective"], "pnl_vs_hold (worst)");
    let board = json["leaderboard"].as_array().unwrap();
    let want: Vec<u64> = results.ranked(Some(1)).iter().take(5).map(|record| record.id).collect();
    let got: Vec<u64> = board.iter().map(|row| row["trial"].as_u64().unwrap()).collect();
    assert_eq!(got, want);
    let first = results.records.iter().find(|record| record.id == want[0]).unwrap();
    assert_eq!(
        board[0]["out_of_sample"]["pnl_vs_hold"].as_f64(),
        first.test.map(|test| test.pnl_vs_hold)
    );
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
    let out = ok(root.path(), &["sessions", "show", "hand", "--fold", "0", "--top", "3"]);
    let best = results.best(0).unwrap();
    let board = out.split("leaderboard of fold 0").nth(1).unwrap();
    let row = board.lines().find(|line| line.trim_start().starts_with("1 ")).unwrap();
    assert_eq!(
        row.split_whitespace().nth(1),
        Some(best.id.to_string().as_str()),
        "{out}"
    );
    assert!(
        out.contains("fold 1: the second") && row.contains("entry_bps="),
        "{out}"
    );
}

#[test]
fn a_trial_is_shown_with_its_cases_and_the_command_that_replays_it() {
    let (root, results) = room(120, true);
    let record = &results.records[6];
    let out = ok(root.path(), &["sessions", "show", "hand", "--trial", "6"]);
    for needle in [
        "pruned: below the median at 25 %",
        "strategy.max_hold_s",
        "in sample  out of sample",
        "kimchi",
        "crossbook replay ",
        "--set strategy.entry_bps=",
    ] {
        assert!(out.contains(needle), "{needle}: {out}");
    }
    let json = told(root.path(), &["sessions", "show", "hand", "--trial", "6", "--json"]).json();
    assert_eq!(json["trial"], serde_json::to_value(record).unwrap());
}

#[test]
fn exports_are_written_whole_and_overwrite_nothing_unasked() {
    let (root, results) = room(120, true);
    for (format, name) in [
        ("csv", "hand.csv"),
        ("parquet", "hand.parquet"),
        ("optuna", "hand.optuna.log"),
    ] {
        let args = ["sessions", "export", "hand", "--format", format];
        let json = told(root.path(), &[&args[..], &["--json"]].concat()).json();
        assert_eq!(
            (json["file"].as_str(), json["trials"].as_u64()),
            (Some(name), Some(120))
        );
        let bytes = std::fs::read(root.path().join(name)).unwrap();
        assert_eq!(json["bytes"], bytes.len());
        std::fs::write(root.path().join(name), b"mine").unwrap();
        let again = told(root.path(), &args);
        assert_eq!(again.code, Some(2));
        assert!(again.err.contains("--force"), "{}", again.err);
        assert_eq!(std::fs::read(root.path().join(name)).unwrap(), b"mine");
        ok(root.path(), &[&args[..], &["--force"]].concat());
        assert_eq!(std::fs::read(root.path().join(name)).unwrap(), bytes);
    }
    let left = std::fs::read_dir(root.path()).unwrap().count();
    assert_eq!(
        left, 5,
        "three exports, the scenario and the sessions; nothing temporary"
    );
    let csv = std::fs::read_to_string(root.path().join("hand.csv")).unwrap();
    assert_eq!(csv.lines().count(), 121);
    let journal = std::fs::read_to_string(root.path().join("hand.optuna.log")).unwrap();
    assert_eq!(journal.matches("\"op_code\":4").count(), results.records.len());
    let told = told(
        root.path(),
        &[
            "sessions",
            "export",
            "hand",
            "--format",
            "csv",
            "--out",
            "no/such/a.csv",
        ],
    );
    assert_eq!(told.code, Some(4), "{}", told.err);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let (root, _) = room(10, false);
    let cases: [(&[&str], &str); 8] = [
        (&["show", "kimchi"], "there are hand"),
        (&["export", "../hand", "--format", "csv"], "there are hand"),
        (&["show", "hand", "--sessions", "nowhere"], "there are none"),
        (&["show", "hand", "--trial", "10"], "0 to 9 are there"),
        (&["show", "hand", "--fold", "1"], "there are 0"),
        (&["show", "hand", "--fold", "1", "--trial", "1"], "cannot be used with"),
        (&["export", "hand", "--format", "xml"], "csv, parquet, optuna"),
        (&["export", "hand"], "--format"),
    ];
    for (args, needle) in cases {
        let told = told(root.path(), &[&["sessions"], args].concat());
        assert_eq!(told.code, Some(2), "{args:?}: {}", told.err);
        assert!(told.err.contains(needle), "{args:?}: {}", told.err);
    }
    // A line of the log that was changed is told with its number, never passed over.
    let log = root.path().join("sessions/hand/trials.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replacen("\"id\":3", "\"id\":4", 1)).unwrap();
    let told = told(root.path(), &["sessions", "show", "hand"]);
    assert_eq!(told.code, Some(2));
    assert!(
        told.err.contains("trials.jsonl") && told.err.contains("trials.jsonl:4"),
        "{}",
        told.err
    );
}

#[test]
fn a_session_without_a_trial_is_shown_and_exported() {
    let (root, _) = room(0, false);
    let out = ok(root.path(), &["sessions", "show", "hand"]);
    assert!(
        out.contains("0 of 120") && out.contains("no trial has a usable value"),
        "{out}"
    );
    ok(root.path(), &["sessions", "list"]);
    for format in ["csv", "parquet", "optuna"] {
        ok(root.path(), &["sessions", "export", "hand", "--format", format]);
    }
}

#[test]
fn a_session_is_drawn_into_its_folder_or_elsewhere() {
    let (root, _) = room(120, true);
    let json = told(root.path(), &["plot", "sessions/hand", "--json"]).json();
    let files: Vec<&str> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file.as_str().unwrap())
        .collect();
    for name in [
        "history.png",
        "history.svg",
        "importance.png",
        "parallel.png",
        "slices.png",
        "contour.png",
        "report.html",
    ] {
        let path = format!("sessions/hand/{name}");
        assert!(files.contains(&path.as_str()), "{name}: {files:?}");
        assert!(
            std::fs::metadata(root.path().join(path)).unwrap().len() > 1000,
            "{name}"
        );
    }
    // The forest finds what the made-up results depend on.
    let page = std::fs::read_to_string(root.path().join("sessions/hand/importance.svg")).unwrap();
    let place = |name: &str| page.find(name).unwrap();
    assert!(place("entry_bps") < place("exit_bps") && place("max_hold_s") < place("exit_bps"));
    ok(
        root.path(),
        &["plot", "sessions/hand", "--out", "album", "--format", "html"],
    );
    let again = told(
        root.path(),
        &["plot", "sessions/hand", "--out", "album", "--format", "html"],
    );
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("--force"), "{}", again.err);
    let two = told(
        root.path(),
        &["plot", "sessions/hand", "sessions/hand", "--out", "album"],
    );
    assert_eq!(two.code, Some(2));
    assert!(two.err.contains("by itself"), "{}", two.err);
}
