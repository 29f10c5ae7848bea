//! The command line from outside: help, exit codes, messages that name file, line and key, JSON, `verify` and what it finds.

use std::path::Path;

use super::by_hand::{self, Market};
use super::lab::{self, Told};

const COMMANDS: [&[&str]; 11] = [
    &["replay"],
    &["verify"],
    &["plot"],
    &["sessions", "list"],
    &["sessions", "show"],
    &["sessions", "export"],
    &["dataset", "import"],
    &["dataset", "inspect"],
    &["dataset", "validate"],
    &["dataset", "convert"],
    &["dataset", "synth"],
];

fn room() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Market::new(25).write(folder.path());
    std::fs::write(folder.path().join("s.toml"), by_hand::SCENARIO).unwrap();
    folder
}

fn replay(root: &Path, more: &[&str]) -> Told {
    let args: Vec<&str> = ["replay", "s.toml", "--no-plots"].iter().chain(more).copied().collect();
    lab::told(root, &args)
}

/// A whole run in `runs/hand`.
fn with_run() -> tempfile::TempDir {
    let folder = room();
    let told = replay(folder.path(), &["--quiet"]);
    assert_eq!((told.code, told.out.as_str()), (Some(0), ""), "{}", told.err);
    folder
}

#[test]
fn every_command_explains_itself_with_examples_and_exit_codes() {
    let here = Path::new(".");
    let told = lab::told(here, &["--help"]);
    assert_eq!(told.code, Some(0));
    for command in COMMANDS {
        assert!(command[0] == "dataset" || told.out.contains(command[0]), "{command:?}");
        let args: Vec<&str> = command.iter().chain(&["--help"]).copied().collect();
        let help = lab::told(here, &args);
        assert_eq!(help.code, Some(0), "{command:?}");
        let example = format!("\n  crossbook {} ", command.join(" "));
        assert!(
            help.out.contains("Examples:") && help.out.contains(&example),
            "{command:?}: {}",
            help.out
        );
        assert!(
            help.out.to_lowercase().contains("exit code"),
            "{command:?}: {}",
            help.out
        );
        let args: Vec<&str> = command.iter().chain(&["-h"]).copied().collect();
        let short = lab::told(here, &args);
        assert!(short.out.lines().count() <= help.out.lines().count(), "{command:?}");
        // Nothing given, or something unknown, is wrong use; only a list needs nothing.
        let bare = (command.last() != Some(&"list")).then(|| command.to_vec());
        for wrong in bare.into_iter().chain([[command, &["--no-such-flag"]].concat()]) {
            let told = lab::told(here, &wrong);
            assert_eq!(told.code, Some(2), "{wrong:?}: {}", told.err);
            assert!(told.err.contains("Usage: crossbook"), "{wrong:?}: {}", told.err);
        }
    }
}

#[test]
fn what_is_wrong_with_a_scenario_is_said_with_file_line_and_key() {
    let folder = room();
    let root = folder.path();
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    write("key.toml", &by_hand::SCENARIO.replace("exit_bps", "exit_bp"));
    write("text.toml", &by_hand::SCENARIO.replace("[fx]", "[fx"));
    write("type.toml", &by_hand::SCENARIO.replace("seed = 1", "seed = \"one\""));
    std::fs::write(root.join("latin.toml"), [0x6e, 0xe9]).unwrap();
    let line = |text: &str, needle: &str| 1 + text.lines().position(|line| line.contains(needle)).unwrap();
    let key_line = format!("line {}", line(by_hand::SCENARIO, "exit_bps"));
    let text_line = format!("line {}", line(by_hand::SCENARIO, "[fx]"));
    let cases: [(&[&str], &[&str]); 12] = [
        (&["replay", "none.toml"], &["none.toml", "No such file"]),
        (&["replay", "."], &["."]),
        (&["replay", "key.toml"], &["key.toml", &key_line, "exit_bp", "exit_bps"]),
        (&["replay", "text.toml"], &["text.toml", &text_line]),
        (&["replay", "type.toml"], &["type.toml", "line 3", "seed"]),
        (&["replay", "latin.toml"], &["latin.toml", "UTF-8"]),
        (&["replay", "s.toml", "--memory", "10K"], &["--memory", "at least 1M"]),
        (&["replay", "s.toml", "--id", "../x"], &["../x", "letters"]),
        (
            &["replay", "s.toml", "--set", "strategy"],
            &["--set strategy", "path.to.key=value"],
        ),
        (
            &["replay", "s.toml", "--set", "strategy.entri_bps=1"],
            &["entri_bps", "entry_bps"],
        ),
        (
            &["replay", "s.toml", "--set", "seed.x=1"],
            &["--set seed.x=1", "`seed` is a value"],
        ),
        (
            &["replay", "s.toml", "--set", "routes.1.a=x"],
            &["routes.1.a=x", "a list of 1"],
        ),
    ];
    for (args, wanted) in cases {
        let told = lab::told(root, args);
        // What the system refuses to read is a fault outside; all else is bad input.
        assert!(matches!(told.code, Some(2)), "{args:?}: {:?} {}", told.code, told.err);
        assert!(told.out.is_empty(), "{args:?}: {}", told.out);
        for want in wanted {
            assert!(told.err.contains(want), "{args:?} lacks {want:?}: {}", told.err);
        }
    }
    assert!(!root.join("runs").exists() || std::fs::read_dir(root.join("runs")).unwrap().next().is_none());
}

#[test]
fn an_unknown_dataset_says_where_it_was_looked_for() {
    let folder = room();
    let root = folder.path();
    std::fs::create_dir_all(root.join("deep")).unwrap();
    std::fs::write(
        root.join("deep/s.toml"),
        by_hand::SCENARIO.replace("\"rate\"]", "\"elsewhere\"]"),
    )
    .unwrap();
    let told = lab::told(root, &["replay", "deep/s.toml", "--data-root", "lake"]);
    assert_eq!(told.code, Some(2));
    // `a` lies in the working directory; the other one nowhere.
    for place in ["`elsewhere`", "deep/elsewhere", "lake/elsewhere", "dataset.toml"] {
        assert!(told.err.contains(place), "{place}: {}", told.err);
    }
    // By the data root, and by the environment.
    std::fs::create_dir_all(root.join("lake")).unwrap();
    for name in ["a", "b", "rate"] {
        std::fs::rename(root.join(name), root.join("lake").join(name)).unwrap();
    }
    assert_eq!(replay(root, &[]).code, Some(2));
    assert_eq!(replay(root, &["--data-root", "lake"]).code, Some(0));
    let args = ["replay", "s.toml", "--no-plots", "--quiet"];
    let told: Told = lab::crossbook(root, &args)
        .env("CROSSBOOK_DATA", "lake")
        .output()
        .unwrap()
        .into();
    assert_eq!(told.code, Some(0), "{}", told.err);
}

#[test]
fn a_replay_says_what_came_of_it_and_json_has_the_keys_that_programs_ask_for() {
    let folder = room();
    let root = folder.path();
    let told = replay(root, &["--json"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    let json = told.json();
    let keys = [
        "run_id",
        "digest",
        "events",
        "seconds",
        "events_per_second",
        "round_trips",
        "wins",
        "win_rate",
        "pnl",
        "pnl_vs_hold",
        "fees",
        "sharpe",
        "max_drawdown",
        "currency",
        "out_dir",
    ];
    for key in keys {
        assert!(json.get(key).is_some(), "{key}: {json}");
    }
    assert_eq!(
        (&json["run_id"], &json["out_dir"]),
        (&"hand".into(), &"runs/hand".into())
    );
    assert_eq!((&json["round_trips"], &json["currency"]), (&1.into(), &"KRW".into()));
    for text in ["hand", "round trips", "digest", "written to runs/hand"] {
        assert!(told.out.contains(text), "{text}: {}", told.out);
    }
    // Quiet: nothing. Quiet and JSON: one line. Errors are said all the same.
    let told = replay(root, &["--quiet", "--force"]);
    assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (Some(0), "", ""));
    let told = replay(root, &["--quiet", "--json", "--force"]);
    assert_eq!((told.code, told.out.lines().count()), (Some(0), 1));
    assert_eq!(told.json()["digest"], json["digest"]);
    let told = lab::told(root, &["replay", "none.toml", "--quiet"]);
    assert!(told.err.starts_with("error: "), "{}", told.err);
}

#[test]
fn runs_are_numbered_and_replaced_only_by_force() {
    let folder = with_run();
    let root = folder.path();
    let told = replay(root, &["--json", "--quiet"]);
    assert_eq!(told.json()["run_id"], "hand-2");
    let told = replay(root, &["--json", "--quiet", "--force"]);
    assert_eq!(told.json()["run_id"], "hand");
    let told = replay(root, &["--json", "--quiet", "--id", "mine", "--out", "elsewhere"]);
    assert_eq!(told.json()["out_dir"], "elsewhere/mine");
    assert!(root.join("elsewhere/mine/summary.json").is_file());
}

/// Puts the checksums of a run in order again, after something in it was changed.
fn seal(run: &Path) {
    let sums = std::fs::read_to_string(run.join("BLAKE3SUMS")).unwrap();
    let sealed: String = sums
        .lines()
        .map(|line| {
            let (_, name) = line.split_once("  ").unwrap();
            let hash = blake3::hash(&std::fs::read(run.join(name)).unwrap()).to_hex();
            format!("{hash}  {name}\n")
        })
        .collect();
    std::fs::write(run.join("BLAKE3SUMS"), sealed).unwrap();
}

#[test]
fn verify_says_yes_to_a_run_as_it_was_made() {
    let folder = with_run();
    let told = lab::told(folder.path(), &["verify", "runs/hand", "--json"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(told.out.contains("the same in every decision"), "{}", told.out);
    let json = told.json();
    assert_eq!(
        (&json["verified"], &json["digest"]),
        (&true.into(), &json["recorded_digest"])
    );
}

#[test]
fn verify_says_no_when_a_dataset_has_changed_since() {
    let folder = with_run();
    let root = folder.path();
    let mut market = Market::new(25);
    market.a[110].bids[0].qty = market.a[110].bids[1]
        .qty
        .checked_add(market.a[110].bids[1].qty)
        .unwrap();
    market.write(root);
    let told = lab::told(root, &["verify", "runs/hand", "--json"]);
    assert_eq!(told.code, Some(1), "{}{}", told.out, told.err);
    assert!(told.out.contains("dataset a"), "{}", told.out);
    assert_eq!(told.json()["verified"], false);
}

#[test]
fn verify_says_no_to_tables_and_scenarios_that_were_forged_with_good_checksums() {
    // A table from another run, sealed again.
    let folder = with_run();
    let root = folder.path();
    let told = replay(
        root,
        &[
            "--quiet",
            "--id",
            "other",
            "--set",
            "strategy.size={ quantity = \"0.003\" }",
        ],
    );
    assert_eq!(told.code, Some(0), "{}", told.err);
    let run = root.join("runs/hand");
    for (table, named) in [
        ("fills", "table fills"),
        ("trades", "table trades"),
        ("equity", "table equity"),
    ] {
        let path = run.join(format!("{table}.parquet"));
        let own = std::fs::read(&path).unwrap();
        std::fs::copy(root.join(format!("runs/other/{table}.parquet")), &path).unwrap();
        assert_eq!(
            lab::told(root, &["verify", "runs/hand"]).code,
            Some(2),
            "{table}: not sealed, so damaged"
        );
        seal(&run);
        let told = lab::told(root, &["verify", "runs/hand"]);
        assert_eq!(told.code, Some(1), "{table}: {}{}", told.out, told.err);
        assert!(told.out.contains(named), "{table}: {}", told.out);
        std::fs::write(&path, own).unwrap();
        seal(&run);
    }
    assert_eq!(lab::told(root, &["verify", "runs/hand"]).code, Some(0));
    // The digest itself, and the scenario.
    for (file, from, to, named) in [
        ("config.toml", "entry_bps = 20.0", "entry_bps = 200.0", "digest"),
        ("config.toml", "taker_fee_bps = 5.0", "taker_fee_bps = 4.0", "digest"),
    ] {
        let path = run.join(file);
        let own = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, own.replacen(from, to, 1)).unwrap();
        seal(&run);
        let told = lab::told(root, &["verify", "runs/hand"]);
        assert_eq!(told.code, Some(1), "{to}: {}{}", told.out, told.err);
        assert!(told.out.contains(named), "{to}: {}", told.out);
        std::fs::write(&path, own).unwrap();
        seal(&run);
    }
}

#[test]
fn verify_and_plot_refuse_what_is_no_run() {
    let folder = with_run();
    let root = folder.path();
    std::fs::create_dir(root.join("empty")).unwrap();
    for command in ["verify", "plot"] {
        for (path, want) in [
            ("nowhere", "not a run directory"),
            ("empty", "is missing"),
            ("s.toml", "not a run directory"),
            ("a", "not a run directory"),
        ] {
            let told = lab::told(root, &[command, path]);
            assert_eq!(told.code, Some(2), "{command} {path}: {}", told.err);
            assert!(
                told.err.contains(path) && told.err.contains(want),
                "{command} {path}: {}",
                told.err
            );
        }
    }
    let told = lab::told(root, &["plot", "runs/hand", "runs/hand"]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("--out"), "{}", told.err);
    // A run whose datasets are gone cannot be replayed.
    std::fs::remove_dir_all(root.join("b")).unwrap();
    let told = lab::told(root, &["verify", "runs/hand"]);
    assert_eq!(told.code, Some(2), "{}", told.err);
    assert!(
        told.err.contains("no dataset `b`") || told.err.contains("b/dataset.toml"),
        "{}",
        told.err
    );
}
