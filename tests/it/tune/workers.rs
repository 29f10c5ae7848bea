//! Workers that come, go, die and come back too late (F74, C7).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbook::tune::log::canonical;
use crossbook::tune::session::digest;
use crossbook::tune::store::Status;
use crossbook::tune::store::link::{Address, Link};
use crossbook::tune::trial::{Record, State, Task};
use crossbook::tune::worker::{self, End, Terms};

use super::{Watch, alone, evaluate, folder, identity, plan, run_with, slowly};
use crate::redis_server::Server;

const LEASE: Duration = Duration::from_millis(300);

struct Quiet<'q> {
    stop: &'q AtomicBool,
    handed_in: &'q AtomicU64,
}

impl worker::Observer for Quiet<'_> {
    fn handed_in(&mut self, trials: u64) {
        self.handed_in.store(trials, Ordering::Relaxed);
    }

    fn note(&mut self, _: &str) {}

    fn interrupted(&mut self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A worker on a thread of the test: all that differs from a process of its own is what kills it.
fn work(address: &Address, id: &str, stop: &AtomicBool, evaluate: &(dyn Fn(&Task) -> Record + Sync)) -> (End, u64) {
    let handed_in = AtomicU64::new(0);
    let mut observer = Quiet {
        stop,
        handed_in: &handed_in,
    };
    let terms = Terms {
        threads: 1,
        lease: LEASE,
        patience: Duration::from_secs(20),
    };
    let hash = identity(id).hash;
    let end = worker::run(address, id, &hash, &terms, evaluate, &mut observer).unwrap();
    (end, handed_in.load(Ordering::Relaxed))
}

/// C7: the table is the same with no worker, one and three, whether the coordinator evaluates, too, or not; there are as
/// many keys after a thousand trials as after ten, and all of the work's are gone at the end.
#[test]
fn c7_the_table_does_not_depend_on_the_number_of_workers() {
    let Some(server) = Server::start("c7_the_table_does_not_depend_on_the_number_of_workers") else {
        return;
    };
    let sessions = tempfile::tempdir().unwrap();
    let mut keys = 0;
    for (round, (workers, threads, trials)) in [(0, 2, 40), (1, 0, 200), (3, 0, 200), (3, 1, 1000)]
        .into_iter()
        .enumerate()
    {
        let id = format!("round-{round}");
        let (folder, address) = (folder(sessions.path(), &id), server.address());
        let stop = AtomicBool::new(false);
        let mut watch = Watch::quiet();
        let plan = plan(trials, threads);
        let handed_in: u64 = std::thread::scope(|scope| {
            let crew: Vec<_> = (0..workers)
                .map(|_| scope.spawn(|| work(&address, &id, &stop, &evaluate)))
                .collect();
            // Not at once, or the coordinator is done before a worker has found the session.
            let ended = run_with(address.clone(), &folder, false, &plan, &slowly, &mut watch).unwrap();
            assert_eq!((ended.status, ended.disagreements), (Status::Done, 0));
            assert_eq!(
                digest(&ended.records),
                alone(&plan),
                "{workers} workers, {threads} threads"
            );
            crew.into_iter()
                .map(|worker| {
                    let (end, handed_in) = worker.join().unwrap();
                    assert_eq!(end, End::Done);
                    handed_in
                })
                .sum()
        });
        if threads == 0 {
            assert!(handed_in >= trials, "{handed_in}");
        } else if workers > 0 {
            assert!(handed_in > 0, "the workers had a share");
        }
        // A machine that is very busy may take a second to answer; that changes nothing, either.
        assert_eq!(watch.notes.len(), watch.said("slow to answer"), "{:?}", watch.notes);
        let base = format!("tuning:test:replay:tuning_session:{id}");
        assert_eq!(server.ask(&["HGET", &base, "status"]).unwrap(), "done");
        assert_eq!(
            server.ask(&["XLEN", &format!("{base}:trials")]).unwrap(),
            trials.to_string()
        );
        // Hash, trials and board of this session; besides, the set of all sessions.
        let all = server.keys();
        assert_eq!(all.len(), keys + 3 + usize::from(keys == 0), "{all:?}");
        keys = all.len();
    }
}

/// F74: a worker dies in a trial, twice; the trial is run again with the same id and parameters, and counted once.
#[test]
fn f74_a_lost_trial_is_taken_over_and_counted_once() {
    let Some(server) = Server::start("f74_a_lost_trial_is_taken_over_and_counted_once") else {
        return;
    };
    let sessions = tempfile::tempdir().unwrap();
    let (folder, address) = (folder(sessions.path(), "s"), server.address());
    let plan = plan(60, 0);
    let stop = AtomicBool::new(false);
    let mut watch = Watch::quiet();
    std::thread::scope(|scope| {
        let session = scope.spawn(|| run_with(address.clone(), &folder, false, &plan, &evaluate, &mut watch));
        // Two that take a task each and are never heard of again.
        for name in ["dead-1", "dead-2"] {
            assert_eq!(take_one(&address, name).1, 1);
        }
        let worker = scope.spawn(|| work(&address, "s", &stop, &slowly));
        let ended = session.join().unwrap().unwrap();
        assert_eq!(digest(&ended.records), alone(&plan));
        assert_eq!(
            (ended.records.len() as u64, ended.progress.failed),
            (60, sevens(&ended.records))
        );
        assert_eq!(worker.join().unwrap().0, End::Done);
    });
    assert!(watch.notes.is_empty(), "{:?}", watch.notes);
}

fn sevens(records: &[Record]) -> u64 {
    records
        .iter()
        .filter(|record| record.params["n"] == crossbook_tuner::space::Value::Int(7))
        .count() as u64
}

/// Claims one task as `name` as soon as there is one, and gives its entry, how many were claimed, its id and the task.
fn take_one(address: &Address, name: &str) -> (String, usize, u64, String) {
    for _ in 0..2000 {
        if let Ok(mut link) = Link::open(address, "s", &identity("s").hash)
            && let Ok((_, claimed)) = link.claim(name, 1, LEASE, LEASE)
            && let Some(first) = claimed.first()
        {
            return (first.entry.clone(), claimed.len(), first.id, first.task.clone());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no task is offered");
}

/// F74: a trial that kills whoever touches it is given up after three, with a reason; the others are done. Nobody else needs
/// to be there for that.
#[test]
fn f74_a_trial_that_kills_its_workers_is_given_up_with_a_reason() {
    let Some(server) = Server::start("f74_a_trial_that_kills_its_workers_is_given_up_with_a_reason") else {
        return;
    };
    let sessions = tempfile::tempdir().unwrap();
    let (folder, address) = (folder(sessions.path(), "s"), server.address());
    let mut plan = plan(8, 0);
    plan.batch = 8;
    let stop = AtomicBool::new(false);
    let mut watch = Watch::quiet();
    let ended = std::thread::scope(|scope| {
        let session = scope.spawn(|| run_with(address.clone(), &folder, false, &plan, &evaluate, &mut watch));
        let (_, _, first, _) = take_one(&address, "dead-1");
        for name in ["dead-2", "dead-3"] {
            std::thread::sleep(LEASE + Duration::from_millis(50));
            assert_eq!(take_one(&address, name).2, first, "the lost one comes first");
        }
        std::thread::sleep(LEASE + Duration::from_millis(50));
        let worker = scope.spawn(|| work(&address, "s", &stop, &evaluate));
        let ended = session.join().unwrap().unwrap();
        worker.join().unwrap();
        ended
    });
    let lost = &ended.records[0];
    assert_eq!(lost.state, State::Failed);
    assert_eq!(lost.reason.as_deref(), Some("given up: 3 workers were lost on it"));
    assert_eq!(
        watch.said("workers were lost on it: dead-1,dead-2,dead-3"),
        1,
        "{:?}",
        watch.notes
    );
    assert_eq!(ended.records.len(), 8);
    assert!(
        ended.records[1..]
            .iter()
            .all(|record| record.reason.as_deref() != lost.reason.as_deref())
    );
}

/// A result that comes in after its lease went to another: the same one changes nothing, another one is said aloud.
#[test]
fn f74_a_late_result_is_compared_and_never_counted_twice() {
    let Some(server) = Server::start("f74_a_late_result_is_compared_and_never_counted_twice") else {
        return;
    };
    for (honest, said) in [(true, 0), (false, 1)] {
        let sessions = tempfile::tempdir().unwrap();
        server.ask(&["FLUSHALL"]).unwrap();
        let (folder, address) = (folder(sessions.path(), "s"), server.address());
        let plan = plan(40, 0);
        let stop = AtomicBool::new(false);
        let mut watch = Watch::quiet();
        let ended = std::thread::scope(|scope| {
            let session = scope.spawn(|| run_with(address.clone(), &folder, false, &plan, &evaluate, &mut watch));
            let (entry, _, id, task) = take_one(&address, "late");
            std::thread::sleep(LEASE + Duration::from_millis(50));
            let (again, _, same, _) = take_one(&address, "quick");
            assert_eq!((&again, same), (&entry, id), "the same entry, the same trial");
            let task: Task = serde_json::from_str(&task).unwrap();
            let mut record = evaluate(&task);
            let mut link = Link::open(&address, "s", &identity("s").hash).unwrap();
            link.submit("quick", &[(id, again, canonical(&record).unwrap())])
                .unwrap();
            if !honest {
                record.value = Some(1e6);
            }
            link.submit("late", &[(id, entry, canonical(&record).unwrap())])
                .unwrap();
            let worker = scope.spawn(|| work(&address, "s", &stop, &slowly));
            let ended = session.join().unwrap().unwrap();
            worker.join().unwrap();
            ended
        });
        assert_eq!(digest(&ended.records), alone(&plan), "honest: {honest}");
        assert_eq!(ended.disagreements, said);
        assert_eq!(watch.said("RESULTS DISAGREE: late") as u64, said, "{:?}", watch.notes);
    }
}

/// A worker that is told to stop gives its task back at once, and nothing is held against it.
#[test]
fn f74_a_worker_that_leaves_gives_its_tasks_back() {
    let Some(server) = Server::start("f74_a_worker_that_leaves_gives_its_tasks_back") else {
        return;
    };
    let sessions = tempfile::tempdir().unwrap();
    let (folder, address) = (folder(sessions.path(), "s"), server.address());
    let plan = plan(16, 0);
    let (stop, go_on) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut watch = Watch::quiet();
    std::thread::scope(|scope| {
        let session = scope.spawn(|| run_with(address.clone(), &folder, false, &plan, &evaluate, &mut watch));
        let held = |task: &Task| {
            stop.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(400));
            evaluate(task)
        };
        assert_eq!(work(&address, "s", &stop, &held).0, End::Interrupted);
        assert!(
            server
                .list(&["HKEYS", "tuning:test:replay:tuning_session:s:leases"])
                .is_empty()
        );
        assert_eq!(work(&address, "s", &go_on, &evaluate).0, End::Done);
        assert_eq!(digest(&session.join().unwrap().unwrap().records), alone(&plan));
    });
}
