//! What a session's end says of its worth: the same for people, for programs, in the folder, and whoever reads it later.

use std::path::Path;

use serde_json::Value as Json;

use crate::lab;

fn told(root: &Path, args: &[&str]) -> lab::Told {
    let sessions = root.join("sessions");
    let told = lab::told(
        lab::repository(),
        &[args, &["--sessions", sessions.to_str().unwrap()]].concat(),
    );
    assert_eq!(told.code, Some(0), "{args:?}: {}", told.err);
    told
}

fn tune(root: &Path, id: &str, more: &[&str]) -> lab::Told {
    let short = [
        "tune",
        "config/tuning/demo.toml",
        "--id",
        id,
        "--trials",
        "24",
        "--json",
    ];
    told(root, &[&short, more].concat())
}

fn summary(root: &Path, id: &str) -> Json {
    let path = root.join("sessions").join(id).join("summary.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// One session with a sampler that learns, so that neighbours and a reference are evaluated as well.
#[test]
fn a_session_ends_with_a_verdict_that_every_reader_sees() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let ended = tune(root, "one", &["--sampler", "tpe", "--threads", "1"]);
    let json = ended.json();
    let sentence = json["verdict"].as_str().unwrap();
    assert!(ended.out.contains(&format!("verdict      {sentence}")), "{}", ended.out);
    let gates = json["gates"].as_array().unwrap();
    let figures: Vec<&str> = gates.iter().map(|gate| gate["figure"].as_str().unwrap()).collect();
    assert_eq!(
        figures,
        [
            "deflated_sharpe",
            "pbo",
            "efficiency",
            "plateau",
            "round_trips",
            "stress"
        ]
    );
    let passed = |gate: &Json| gate["passed"].as_bool().unwrap();
    assert_eq!(json["accepted"].as_bool().unwrap(), gates.iter().all(passed));
    assert_eq!(sentence.starts_with("ACCEPTED"), gates.iter().all(passed), "{sentence}");
    for gate in gates {
        let least = gate["threshold"].as_f64().unwrap();
        let holds = gate["value"]
            .as_f64()
            .is_some_and(|value| match gate["figure"] == "pbo" {
                true => value <= least,
                false => value >= least,
            });
        assert_eq!(passed(gate), holds, "{gate}");
    }
    assert_eq!(gates[0]["value"], json["best"]["deflated_sharpe"]);
    assert_eq!(gates[1]["value"], json["pbo"]);
    assert!(json.get("validation").is_none(), "the whole is in the folder");

    let whole = summary(root, "one");
    let fold = &whole["validation"]["folds"][0];
    assert_eq!(fold["overfitting"]["among"], "reference");
    assert_eq!(fold["plateau"]["source"], "evaluated");
    let ranks = fold["overfitting"]["ranks"].as_array().unwrap();
    let splits = |ranks: &[Json]| ranks.iter().map(|count| count.as_u64().unwrap()).sum::<u64>();
    let all = splits(ranks);
    assert_eq!(Some(all), fold["overfitting"]["splits"].as_u64());
    let lower = splits(&ranks[..ranks.len() / 2]) as f64;
    assert_eq!(Some(lower / all as f64), fold["overfitting"]["pbo"].as_f64());

    // Threads leave no trace, and a session that is gone on with after its end is what it was.
    tune(root, "two", &["--sampler", "tpe", "--threads", "2", "--no-plots"]);
    assert_eq!(summary(root, "two")["validation"], whole["validation"]);
    told(root, &["tune", "--resume", "one", "--json", "--no-plots"]);
    assert_eq!(summary(root, "one")["validation"], whole["validation"]);

    let shown = told(root, &["sessions", "show", "one", "--json"]).json();
    assert_eq!((&shown["verdict"], &shown["pbo"]), (&json["verdict"], &json["pbo"]));
    assert_eq!(shown["passed"], json["accepted"]);
    let listed = told(root, &["sessions", "list", "--json"]).json();
    assert_eq!(listed["sessions"][0]["accepted"], json["accepted"]);

    let pictures = root.join("sessions/one");
    let page = std::fs::read_to_string(pictures.join("report.html")).unwrap();
    assert!(page.contains("picture-overfitting") && page.contains("picture-walk-forward"));
    assert!(page.contains("deflated Sharpe ratio") && pictures.join("overfitting.png").is_file());
    assert!(!root.join("sessions/two/report.html").exists());
    // Made again from the folder, the page is the same: nothing of the verdict is only in memory.
    let again = root.join("again");
    let args = ["plot", pictures.to_str().unwrap(), "--format", "html", "--out"];
    let told = lab::told(lab::repository(), &[&args[..], &[again.to_str().unwrap()]].concat());
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(std::fs::read_to_string(again.join("report.html")).unwrap(), page);

    // A verdict over other trials than those in the log is none.
    let path = pictures.join("summary.json");
    let digest = whole["digest"].as_str().unwrap();
    let other = std::fs::read_to_string(&path)
        .unwrap()
        .replace(digest, &digest.replace(&digest[..1], "x"));
    std::fs::write(&path, other).unwrap();
    let shown = self::told(root, &["sessions", "show", "one", "--json"]).json();
    assert!(shown["verdict"].is_null() && shown["passed"].is_null(), "{shown}");
}

/// Gates are a part of the question: what is asked decides, and without data kept aside nothing is accepted.
#[test]
fn gates_of_the_tuning_file_decide() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let lax = "gates={ deflated_sharpe = 0.0, pbo = 1.0, efficiency = -10.0, plateau = -10.0, round_trips = 0 }";
    let plain = ["--no-plots", "--recheck", "0", "--set", "stress=[]", "--set"];
    let json = tune(root, "lax", &[&plain[..], &[lax]].concat()).json();
    let undefined = |gate: &&Json| gate["value"].is_null();
    assert!(
        json["gates"]
            .as_array()
            .unwrap()
            .iter()
            .all(|gate| gate["passed"] == !undefined(&gate)),
        "{json}"
    );
    let json = tune(
        root,
        "blind",
        &[&plain[..], &["validation={ mode = \"none\" }", "--set", lax]].concat(),
    )
    .json();
    assert_eq!(
        (&json["accepted"], &json["walk_forward_efficiency"]),
        (&Json::Bool(false), &Json::Null)
    );
    assert!(
        json["verdict"]
            .as_str()
            .unwrap()
            .contains("walk-forward efficiency not defined"),
        "{json}"
    );
}
