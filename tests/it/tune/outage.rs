//! A Redis that is absent, lost, slow, emptied, full or read-only (F52), and what it gives back (F75): the session goes on by
//! its log and its table is the same.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbook::tune::log::read;
use crossbook::tune::session::digest;
use crossbook::tune::session::folder::Folder;
use crossbook::tune::store::Status;
use crossbook::tune::store::link::Address;
use crossbook::tune::store::redis::{StoreError, fetch};
use crossbook::tune::trial::{Record, Task};

use super::{Watch, alone, evaluate, folder, plan, run_with, slowly};
use crate::redis_server::Server;

const TRIALS: &str = "tuning:test:replay:tuning_session:s:trials";

/// The table in Redis is the log, line by line.
pub fn same_as_the_log(server: &Server, key: &str, log: &Path) {
    let text = std::fs::read_to_string(log).unwrap();
    let held: Vec<(String, Vec<String>)> = {
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(2)).unwrap();
        redis::cmd("XRANGE")
            .arg(key)
            .arg("-")
            .arg("+")
            .query(&mut connection)
            .unwrap()
    };
    let held: Vec<&str> = held.iter().map(|(_, fields)| fields[1].as_str()).collect();
    assert!(held == text.lines().collect::<Vec<_>>(), "{} lines there", held.len());
}

#[test]
fn f52_a_redis_that_is_absent_is_told_once_and_stops_nothing() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let sessions = tempfile::tempdir().unwrap();
    let folder = folder(sessions.path(), "s");
    let address = Address::parse(&format!("redis://user:secret@{free}/0"), "test").unwrap();
    let mut watch = Watch::quiet();
    let plan = plan(300, 2);
    let ended = run_with(address, &folder, false, &plan, &slowly, &mut watch).unwrap();
    assert_eq!(ended.status, Status::Done);
    assert_eq!(digest(&ended.records), alone(&plan));
    assert_eq!(watch.said("goes on with its log alone"), 1, "{:?}", watch.notes);
    assert_eq!(watch.said("is not complete"), 1, "{:?}", watch.notes);
    assert!(!watch.notes.join(" ").contains("secret"), "{:?}", watch.notes);
}

/// One fault in the middle of a session, and what ends it; the session has to be the same, and Redis whole at the end.
fn through(name: &str, fault: impl Fn(&mut Server) + Sync, mend: impl Fn(&mut Server) + Sync, said: &str) {
    let Some(server) = Server::start(name) else { return };
    let server = std::sync::Mutex::new(server);
    let address = server.lock().unwrap().address();
    let sessions = tempfile::tempdir().unwrap();
    let folder = folder(sessions.path(), "s");
    let (broken, mended) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut watch = Watch::new(|progress| {
        if progress.trials >= 60 && !broken.swap(true, Ordering::Relaxed) {
            fault(&mut server.lock().unwrap());
        }
        if progress.trials >= 300 && !mended.swap(true, Ordering::Relaxed) {
            mend(&mut server.lock().unwrap());
        }
        false
    });
    let plan = plan(900, 2);
    let ended = run_with(address, &folder, false, &plan, &slowly, &mut watch).unwrap();
    assert_eq!(digest(&ended.records), alone(&plan), "{name}");
    assert_eq!(watch.said(said), 1, "{name}: {:?}", watch.notes);
    assert_eq!(watch.said("is not complete"), 0, "{name}: {:?}", watch.notes);
    let server = server.lock().unwrap();
    same_as_the_log(&server, TRIALS, &folder.log());
    assert_eq!(
        server
            .ask(&["HGET", TRIALS.trim_end_matches(":trials"), "status"])
            .unwrap(),
        "done"
    );
}

#[test]
fn f52_a_redis_that_is_lost_and_comes_back_empty_is_filled_again() {
    through(
        "f52_a_redis_that_is_lost_and_comes_back_empty_is_filled_again",
        Server::kill_and_wipe,
        Server::again,
        "goes on with its log alone",
    );
}

#[test]
fn f52_a_redis_that_is_lost_and_comes_back_with_its_data_goes_on() {
    through(
        "f52_a_redis_that_is_lost_and_comes_back_with_its_data_goes_on",
        Server::kill,
        Server::again,
        "goes on with its log alone",
    );
}

/// Emptied under our feet, connection and all else as it was.
#[test]
fn f52_a_redis_that_is_emptied_is_filled_again() {
    through(
        "f52_a_redis_that_is_emptied_is_filled_again",
        |server| drop(server.ask(&["FLUSHALL"]).unwrap()),
        |_| {},
        "trials written there",
    );
}

#[test]
fn f52_a_redis_that_does_not_answer_holds_no_trial_up() {
    through(
        "f52_a_redis_that_does_not_answer_holds_no_trial_up",
        |server| server.signal("STOP"),
        |server| {
            // Longer than an answer is waited for.
            std::thread::sleep(Duration::from_millis(2500));
            server.signal("CONT");
        },
        "goes on with its log alone",
    );
}

#[test]
fn f52_a_redis_out_of_memory_is_told_and_filled_when_it_has_some() {
    through(
        "f52_a_redis_out_of_memory_is_told_and_filled_when_it_has_some",
        |server| drop(server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]).unwrap()),
        |server| drop(server.ask(&["CONFIG", "SET", "maxmemory", "0"]).unwrap()),
        "OOM",
    );
}

#[test]
fn f52_a_redis_that_is_read_only_is_told_and_filled_when_it_is_not() {
    through(
        "f52_a_redis_that_is_read_only_is_told_and_filled_when_it_is_not",
        |server| drop(server.ask(&["REPLICAOF", "127.0.0.1", "1"]).unwrap()),
        |server| drop(server.ask(&["REPLICAOF", "NO", "ONE"]).unwrap()),
        "read only replica",
    );
}

/// F75: the folder is gone; the store gives back the question and the trials, and the session goes on from there.
#[test]
fn f75_a_folder_that_is_lost_is_rebuilt_from_redis() {
    let Some(server) = Server::start("f75_a_folder_that_is_lost_is_rebuilt_from_redis") else {
        return;
    };
    let address = server.address();
    let plan = plan(120, 2);
    let sessions = tempfile::tempdir().unwrap();
    let first = folder(sessions.path(), "s");
    let mut watch = Watch::new(|progress| progress.trials >= 50);
    let ended = run_with(address.clone(), &first, false, &plan, &slowly, &mut watch).unwrap();
    assert_eq!(ended.status, Status::Paused);
    let kept = ended.progress.trials;
    let question = std::fs::read_to_string(first.path().join("session.toml")).unwrap();
    // Half of the log, and then all of it, is lost.
    let text = std::fs::read_to_string(first.log()).unwrap();
    std::fs::write(first.log(), &text[..text.len() / 2]).unwrap();
    let mut watch = Watch::new(|progress| progress.trials >= kept + 10);
    let ended = run_with(address.clone(), &first, true, &plan, &slowly, &mut watch).unwrap();
    assert_eq!(ended.progress.resumed, kept, "none is evaluated again");
    assert_eq!(fetch(&address, "s").unwrap().session, question);
    std::fs::remove_dir_all(first.path()).unwrap();
    let again = folder(sessions.path(), "s");
    let mut watch = Watch::quiet();
    let ended = run_with(address, &again, true, &plan, &evaluate, &mut watch).unwrap();
    assert!(ended.progress.resumed >= kept + 10);
    assert_eq!(digest(&ended.records), alone(&plan));
    assert_eq!(digest(&read(&again.log()).unwrap().records), alone(&plan));
    same_as_the_log(&server, TRIALS, &again.log());
}

/// What is under that id there is another session, is worked on by somebody, or is there already: refused, nothing written.
#[test]
fn a_session_in_redis_is_not_taken_for_another() {
    let Some(server) = Server::start("a_session_in_redis_is_not_taken_for_another") else {
        return;
    };
    let address = server.address();
    let plan = plan(20, 1);
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mine = folder(here.path(), "s");
    run_with(address.clone(), &mine, false, &plan, &evaluate, &mut Watch::quiet()).unwrap();
    let begin =
        |folder: &Folder, resume| run_with(address.clone(), folder, resume, &plan, &evaluate, &mut Watch::quiet());
    let other = folder(there.path(), "s");
    assert!(matches!(begin(&other, false), Err(StoreError::Exists { .. })));
    // A log that says something else.
    let differing = |task: &Task| Record {
        train_periods: vec![1.0],
        ..evaluate(task)
    };
    let (log, _) = crossbook::tune::log::TrialLog::open(&other.log()).unwrap();
    let mut store = crossbook::tune::store::FileStore(log);
    let events = std::sync::mpsc::channel();
    crossbook::tune::session::run(
        &plan,
        &|_| vec![],
        vec![],
        &mut store,
        events,
        &differing,
        &mut Watch::quiet(),
    )
    .unwrap();
    drop(store);
    assert!(matches!(begin(&other, true), Err(StoreError::Differs { .. })));
    let base = TRIALS.trim_end_matches(":trials");
    let soon = (jiff::Timestamp::now().as_millisecond() + 60_000).to_string();
    server
        .ask(&["HSET", base, "coordinator", "elsewhere", "coordinator_until", &soon])
        .unwrap();
    assert!(matches!(begin(&mine, true), Err(StoreError::Busy { .. })));
    server.ask(&["HSET", base, "identity", "0000"]).unwrap();
    assert!(matches!(begin(&mine, true), Err(StoreError::Other { .. })));
}

/// Many trials cost Redis few calls, or 2,000 a second would not go through it (docs/performance.md has the measurement).
#[test]
fn many_trials_cost_redis_few_calls() {
    let Some(server) = Server::start("many_trials_cost_redis_few_calls") else {
        return;
    };
    let sessions = tempfile::tempdir().unwrap();
    let folder = folder(sessions.path(), "s");
    let mut plan = plan(4000, 2);
    plan.batch = 64;
    let mut watch = Watch::quiet();
    run_with(server.address(), &folder, false, &plan, &evaluate, &mut watch).unwrap();
    assert!(watch.notes.is_empty(), "{:?}", watch.notes);
    same_as_the_log(&server, TRIALS, &folder.log());
    let stats = server.ask(&["INFO", "commandstats"]).unwrap();
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="))
        .unwrap();
    let calls: u64 = calls.split(',').next().unwrap().parse().unwrap();
    assert!((32..1000).contains(&calls), "{calls} calls for 4,000 trials");
    assert_eq!(server.keys().len(), 4, "{:?}", server.keys());
}
