//! The program itself: processes that are killed, and sessions that come out the same (F37, F77, C5, C7).

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::super::lab::{self, Told};
use super::server::{self, Server};

/// A short session on the bundled market.
const SMALL: [&str; 8] = [
    "--trials",
    "12",
    "--set",
    "stress=[]",
    "--set",
    "validation.mode=none",
    "--recheck",
    "1",
];

fn tune(root: &Path, args: &[&str]) -> Child {
    let sessions = root.join("sessions");
    let mut all = vec!["tune", "--sessions", sessions.to_str().unwrap(), "--json", "--quiet"];
    all.extend(args);
    lab::crossbook(lab::repository(), &all)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn fresh(root: &Path, id: &str, more: &[&str]) -> Child {
    let mut args = vec!["config/tuning/demo.toml", "--id", id];
    args.extend(SMALL);
    args.extend(more);
    tune(root, &args)
}

fn told(child: Child) -> Told {
    child.wait_with_output().unwrap().into()
}

fn digest(told: &Told) -> String {
    assert_eq!(told.code, Some(0), "{}", told.err);
    let json: serde_json::Value = serde_json::from_str(told.out.lines().last().unwrap()).unwrap();
    json["digest"].as_str().unwrap().to_owned()
}

/// Waits until the session's log has so many lines.
fn until(root: &Path, id: &str, lines: usize) {
    let log = root.join("sessions").join(id).join("trials.jsonl");
    let patience = Instant::now() + Duration::from_secs(60);
    while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < lines {
        assert!(Instant::now() < patience, "the session does not move");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// C5, F77, F37: one digest with one and two threads, killed with -9 twice and interrupted once on the way, and gone on with.
#[test]
fn c5_f37_f77_a_session_is_the_same_with_any_threads_and_after_any_kill() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let whole = digest(&told(fresh(root, "whole", &["--threads", "1"])));
    assert_eq!(digest(&told(fresh(root, "two", &["--threads", "2"]))), whole);

    let mut child = fresh(root, "killed", &["--threads", "2"]);
    until(root, "killed", 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut child = tune(root, &["--resume", "killed"]);
    until(root, "killed", 5);
    child.kill().unwrap();
    child.wait().unwrap();
    let child = tune(root, &["--resume", "killed"]);
    until(root, "killed", 8);
    server::signal(child.id(), "INT");
    let stopped = told(child);
    assert_eq!(stopped.code, Some(3), "{}", stopped.err);
    let command = format!(
        "crossbook tune --resume killed --sessions {}",
        root.join("sessions").display()
    );
    assert!(stopped.err.contains(&command), "{}", stopped.err);
    assert_eq!(digest(&told(tune(root, &["--resume", "killed"]))), whole);
    let log = |id: &str| std::fs::read(root.join("sessions").join(id).join("trials.jsonl")).unwrap();
    assert!(
        log("whole") == log("killed") && log("whole") == log("two"),
        "the very same bytes"
    );

    // What may not be changed on the way is refused; so is a second coordinator.
    let refused = told(tune(root, &["--resume", "killed", "--trials", "13"]));
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    let refused = told(fresh(root, "whole", &[]));
    assert!(
        refused.code == Some(2) && refused.err.contains("--resume"),
        "{}",
        refused.err
    );
    let refused = told(tune(root, &["--resume", "nobody"]));
    assert!(
        refused.code == Some(2) && refused.err.contains("no session"),
        "{}",
        refused.err
    );
}

/// C7 with processes: three workers, one of them killed, then Redis killed and emptied, then the coordinator killed: the
/// session that goes on ends with the digest of one process on one thread.
#[test]
fn c7_f74_f75_workers_redis_and_coordinator_are_killed_and_the_table_is_the_same() {
    let name = "c7_f74_f75_workers_redis_and_coordinator_are_killed_and_the_table_is_the_same";
    let Some(mut server) = Server::start(name) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let url = server.url();
    let whole = digest(&told(fresh(root, "whole", &["--threads", "1", "--trials", "20"])));
    let store = ["--store", &url, "--threads", "0", "--lease", "1"];
    let work = || {
        let args = [
            "worker",
            "--session",
            "shared",
            "--store",
            &url,
            "--threads",
            "1",
            "--lease",
            "1",
            "--quiet",
        ];
        let mut command = lab::crossbook(lab::repository(), &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut coordinator = fresh(root, "shared", &[&store[..], &["--trials", "20"]].concat());
    let mut workers = vec![work(), work(), work()];
    until(root, "shared", 3);
    let mut killed = workers.remove(0);
    killed.kill().unwrap();
    killed.wait().unwrap();
    until(root, "shared", 6);
    server.kill_and_wipe();
    server.again();
    until(root, "shared", 10);
    coordinator.kill().unwrap();
    coordinator.wait().unwrap();
    let again = tune(root, &[&["--resume", "shared"], &store[..]].concat());
    let resumed = told(again);
    assert_eq!(digest(&resumed), whole, "{}", resumed.err);
    for worker in workers {
        let told = told(worker);
        assert_eq!(told.code, Some(0), "{}", told.err);
    }
}

/// A worker whose data are not the session's takes no work.
#[test]
fn a_worker_with_other_data_is_refused() {
    let Some(server) = Server::start("a_worker_with_other_data_is_refused") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let url = server.url();
    told(fresh(root, "shared", &["--store", &url]));
    let base = "tuning:local:replay:tuning_session:shared";
    let session = server.ask(&["HGET", base, "session"]).unwrap();
    let work = || lab::told(lab::repository(), &["worker", "--session", "shared", "--store", &url]);
    assert_eq!(work().code, Some(0), "the session is done");
    let at = session.find("[data]").unwrap();
    let digit = session[at..].find(" = \"").unwrap() + at + 4;
    let mut other = session.clone();
    other.replace_range(
        digit..digit + 1,
        if &session[digit..digit + 1] == "0" { "1" } else { "0" },
    );
    server.ask(&["HSET", base, "session", &other]).unwrap();
    let refused = work();
    assert!(
        refused.code == Some(2) && refused.err.contains("the content of dataset"),
        "{}",
        refused.err
    );
    server
        .ask(&[
            "HSET",
            base,
            "session",
            &session.replace("version = \"", "version = \"9"),
        ])
        .unwrap();
    let refused = work();
    assert!(
        refused.code == Some(2) && refused.err.contains("version of crossbook"),
        "{}",
        refused.err
    );
}

#[test]
fn ask_tell_speaks_the_protocol() {
    use std::io::Write as _;
    let mut child = lab::crossbook(lab::repository(), &["tune", "--ask-tell", "--sampler", "random"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = "{\"op\":\"init\",\"protocol\":1,\"direction\":\"minimize\",\"seed\":7,\"n_trials\":9,\"space\":[{\"name\":\"x\",\"type\":\"float\",\"low\":0,\"high\":1}]}\n{\"op\":\"ask\",\"n\":2}\n{\"op\":\"stop\"}\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let told: Told = child.wait_with_output().unwrap().into();
    assert_eq!(told.code, Some(0), "{}", told.err);
    let answers: Vec<serde_json::Value> = told
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[1]["trials"].as_array().unwrap().len(), 2);
}
