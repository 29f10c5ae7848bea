//! Sessions, workers and stores that are killed with -9 at moments nobody chose, and the same table at the end (F37, F52,
//! F74, F75, C5, C7). A failure prints its seed; `CROSSBOOK_SEEDS` raises the number of runs.

use std::process::Child;
use std::time::Duration;

use crossbook::tune::log;
use crossbook_engine::rng::Rng;

use super::outage::same_as_the_log;
use super::process::{Site, TRIALS, same, told, whole, worker};
use crate::redis_server::Server;

fn seeds() -> u64 {
    let wanted = std::env::var("CROSSBOOK_SEEDS")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    wanted.map_or(2, |seeds| seeds.clamp(1, 100))
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Ends whatever is still there, when a test fails.
struct Crew(Vec<Child>);

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Begins the session, or goes on with it when it got as far as having a question.
fn go(site: &Site, more: &[&str]) -> Child {
    if site.folder("s").join("session.toml").exists() {
        site.resume("s", more)
    } else {
        site.begin("s", more)
    }
}

/// Kills a session that runs at a random moment: while it begins, a few trials on, or when its last trial is in the log.
fn kill_somewhere(site: &Site, child: Child, draws: &mut Rng) {
    let lines = site.lines("s");
    let what = draws.below(8);
    let mut pause = |most| std::thread::sleep(Duration::from_millis(draws.below(most)));
    match what {
        0 => pause(200),
        7 if lines > TRIALS / 2 => {
            site.until("s", TRIALS);
            pause(100);
        }
        more => {
            site.until("s", (lines + more.min(4) as usize).min(TRIALS));
            pause(25);
        }
    }
    kill(child);
}

/// The file store: killed at random moments from before its first byte to after its last trial, again and again.
#[test]
fn c5_f37_f75_a_session_killed_at_random_and_resumed_ends_as_if_nothing_had_been() {
    for seed in 0..seeds() {
        let site = Site::new();
        let mut draws = Rng::stream(seed, "kills of a session");
        let mut cut = 0;
        for _ in 0..6 {
            let threads = ["1", "2", "4"][draws.below(3) as usize];
            let child = go(&site, &["--threads", threads]);
            kill_somewhere(&site, child, &mut draws);
            let log = site.log("s");
            assert!(
                whole().log.starts_with(&log),
                "seed {seed}: every byte is one that belongs there"
            );
            // What the next one has to find; a torn line is begun anew.
            let found = if log.is_empty() {
                0
            } else {
                log::read(&site.folder("s").join(log::FILE)).unwrap().records.len()
            };
            cut += usize::from(found > 0 && found < TRIALS);
        }
        let before = site.lines("s");
        let ended = told(go(&site, &["--threads", "2"]));
        same(&site, "s", &ended);
        assert_eq!(
            ended.json()["resumed"],
            before,
            "seed {seed}: none is lost, none evaluated again"
        );
        eprintln!("seed {seed}: {cut} of 6 kills left a part of the trials; {before} were there before the last run");
    }
}

/// The Redis store with three workers: coordinator, workers and Redis are killed at random, Redis with and without its data.
#[test]
fn c7_f37_f52_f74_f75_whatever_is_killed_at_random_the_table_is_the_same() {
    let name = "c7_f37_f52_f74_f75_whatever_is_killed_at_random_the_table_is_the_same";
    for seed in 0..seeds() {
        let Some(mut server) = Server::start(name) else { return };
        let (site, url) = (Site::new(), server.url());
        let mut draws = Rng::stream(seed, "kills of a crew");
        let threads = if seed % 2 == 0 { "0" } else { "1" };
        // More are allowed to die than will.
        let store = [
            "--store",
            &url,
            "--threads",
            threads,
            "--lease",
            "1",
            "--attempts",
            "50",
        ];
        let join = || worker("s", &url, &["--lease", "1"]);
        let mut coordinator = Crew(vec![go(&site, &store)]);
        let mut crew = Crew((0..3).map(|_| join()).collect());
        let mut lines = 0;
        let mut story = Vec::new();
        for step in 0..8 {
            lines = (lines + 1 + draws.below(3) as usize).min(TRIALS - 1);
            site.until("s", lines);
            std::thread::sleep(Duration::from_millis(draws.below(60)));
            // Each happens, then chance decides.
            let what = if step < 5 { step } else { draws.below(5) };
            story.push((lines, what));
            match what {
                0 => {
                    let at = draws.below(3) as usize;
                    kill(std::mem::replace(&mut crew.0[at], join()));
                }
                1 => {
                    kill(coordinator.0.remove(0));
                    coordinator.0.push(go(&site, &store));
                }
                2 => {
                    server.kill();
                    server.again();
                }
                3 => {
                    server.kill_and_wipe();
                    server.again();
                }
                _ => drop(server.ask(&["FLUSHALL"]).unwrap()),
            }
        }
        let ended = told(coordinator.0.remove(0));
        let ended = if ended.code == Some(0) {
            ended
        } else {
            panic!("seed {seed}, {story:?}: {}", ended.err)
        };
        same(&site, "s", &ended);
        assert!(!ended.err.contains("is not complete"), "seed {seed}: {}", ended.err);
        let base = "tuning:local:replay:tuning_session:s";
        same_as_the_log(&server, &format!("{base}:trials"), &site.folder("s").join(log::FILE));
        assert_eq!(server.ask(&["HGET", base, "status"]).unwrap(), "done");
        assert_eq!(server.keys().len(), 4, "{:?}", server.keys());
        for child in std::mem::take(&mut crew.0) {
            let told = told(child);
            assert_eq!(told.code, Some(0), "seed {seed}: {}", told.err);
        }
        eprintln!("seed {seed}: {story:?}");
    }
}

/// Killed while a Redis has the table, and both the folder and the machine that it was on are gone.
#[test]
fn f75_a_killed_session_whose_folder_is_gone_goes_on_from_redis() {
    let Some(server) = Server::start("f75_a_killed_session_whose_folder_is_gone_goes_on_from_redis") else {
        return;
    };
    let (site, url) = (Site::new(), server.url());
    let child = site.begin("s", &["--store", &url, "--threads", "1"]);
    let trials = "tuning:local:replay:tuning_session:s:trials";
    site.until("s", 6);
    kill(child);
    let held: usize = server.ask(&["XLEN", trials]).unwrap().parse().unwrap();
    assert!(held > 0 && held < TRIALS, "{held}");
    let question = std::fs::read(site.folder("s").join("session.toml")).unwrap();
    std::fs::remove_dir_all(site.folder("s")).unwrap();
    let ended = told(site.resume("s", &["--store", &url]));
    same(&site, "s", &ended);
    assert_eq!(ended.json()["resumed"], held);
    assert!(ended.err.contains("rebuilt from redis://"), "{}", ended.err);
    assert!(std::fs::read(site.folder("s").join("session.toml")).unwrap() == question);
}

/// `--async`: the order of tells is the log's, so what was finished stays as it was, whatever is killed; a session that is
/// done is the same when it is gone through again.
#[test]
fn an_asynchronous_session_keeps_what_it_had_when_it_is_killed() {
    let site = Site::new();
    let mut draws = Rng::stream(5, "kills of an asynchronous session");
    let mut before = Vec::new();
    for _ in 0..4 {
        let child = if site.folder("s").join("session.toml").exists() {
            // It is in the session's file.
            site.resume("s", &["--threads", "2"])
        } else {
            site.begin("s", &["--threads", "2", "--async"])
        };
        kill_somewhere(&site, child, &mut draws);
        let log = site.log("s");
        assert!(log.starts_with(&before), "what was finished stays");
        // Whole lines: what follows is begun anew.
        let end = log.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        before = log[..end].to_vec();
    }
    let ended = told(go(&site, &["--threads", "2"]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(site.log("s").starts_with(&before));
    let found = log::read(&site.folder("s").join(log::FILE)).unwrap();
    let mut ids: Vec<u64> = found.records.iter().map(|record| record.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..TRIALS as u64).collect::<Vec<_>>(), "each trial once");
    let again = told(site.resume("s", &["--threads", "1"]));
    assert_eq!(again.json()["resumed"], TRIALS, "{}", again.err);
    assert_eq!(again.json()["digest"], ended.json()["digest"]);
    let text = std::fs::read_to_string(site.folder("s").join("session.toml")).unwrap();
    assert!(text.contains("asynchronous = true"), "{text}");
}
