//! The program itself: the same table with any threads, worker processes and stores; what stops a session says how to go on;
//! what does not fit is refused (C5, C7, F37, F77, F78).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crossbook::dataset::synth::Spec;
use crossbook::tune::store::link::{Address, Link};

use super::super::lab::{self, Told};
use crate::redis_server::{self, Server};

/// A short session on the bundled market, in which what is told decides what is asked, and some are pruned.
pub const QUESTION: [&str; 9] = [
    "config/tuning/demo.toml",
    "--sampler",
    "tpe",
    "--trials",
    "24",
    "--set",
    "stress=[\"fees_up\"]",
    "--set",
    "pruner={ kind = \"median\", warmup_fraction = 0.25 }",
];

/// Trials of that session.
pub const TRIALS: usize = 24;

/// A place for sessions; its name has what shells stumble over.
pub struct Site {
    root: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Site {
        let root = tempfile::tempdir().unwrap();
        Site { root }
    }

    pub fn sessions(&self) -> PathBuf {
        self.root.path().join("o'hara's sessions")
    }

    pub fn folder(&self, id: &str) -> PathBuf {
        self.sessions().join(id)
    }

    /// `crossbook tune` with these arguments.
    pub fn tune(&self, args: &[&str]) -> Child {
        let sessions = self.sessions();
        let sessions = sessions.to_str().unwrap();
        let mut all = vec!["tune", "--sessions", sessions, "--json", "--quiet", "--no-plots"];
        all.extend(args);
        spawn(lab::crossbook(lab::repository(), &all))
    }

    pub fn begin(&self, id: &str, more: &[&str]) -> Child {
        self.tune(&[&QUESTION[..], &["--id", id], more].concat())
    }

    pub fn resume(&self, id: &str, more: &[&str]) -> Child {
        self.tune(&[&["--resume", id], more].concat())
    }

    pub fn log(&self, id: &str) -> Vec<u8> {
        std::fs::read(self.folder(id).join("trials.jsonl")).unwrap_or_default()
    }

    pub fn lines(&self, id: &str) -> usize {
        self.log(id).iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Waits until the session's log has so many lines.
    pub fn until(&self, id: &str, lines: usize) {
        let patience = Instant::now() + Duration::from_secs(120);
        while self.lines(id) < lines {
            assert!(Instant::now() < patience, "the session does not move");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

pub fn spawn(mut command: Command) -> Child {
    // What the surroundings say about stores is not meant for tests.
    command.env_remove("CROSSBOOK_STORE").env_remove("CROSSBOOK_REDIS_URL");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub fn told(child: Child) -> Told {
    child.wait_with_output().unwrap().into()
}

/// The digest of a session that ended well.
pub fn digest(told: &Told) -> String {
    assert_eq!(told.code, Some(0), "{}", told.err);
    told.json()["digest"].as_str().unwrap().to_owned()
}

/// `crossbook worker` on one thread.
pub fn worker(session: &str, url: &str, more: &[&str]) -> Child {
    let mut args = vec![
        "worker",
        "--session",
        session,
        "--store",
        url,
        "--threads",
        "1",
        "--json",
        "--quiet",
    ];
    args.extend(more);
    spawn(lab::crossbook(lab::repository(), &args))
}

/// The session as it is when nothing happens: one thread, no store.
pub struct Whole {
    pub digest: String,
    pub best: serde_json::Value,
    pub log: Vec<u8>,
}

pub fn whole() -> &'static Whole {
    static WHOLE: OnceLock<Whole> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let site = Site::new();
        let ended = told(site.begin("whole", &["--threads", "1"]));
        let digest = digest(&ended);
        let json = ended.json();
        assert_eq!(json["trials"], TRIALS);
        assert!(json["pruned"].as_u64().unwrap() > 0, "{json}");
        let best = json["best"].clone();
        assert!(best["trial"].is_u64(), "{json}");
        let log = site.log("whole");
        Whole { digest, best, log }
    })
}

/// That a session ended as the undisturbed one does: digest, best trial, and every byte of the log.
pub fn same(site: &Site, id: &str, ended: &Told) {
    assert_eq!(digest(ended), whole().digest, "{}", ended.err);
    assert_eq!(ended.json()["best"], whole().best);
    assert!(site.log(id) == whole().log, "the log of {id} has other bytes");
}

#[test]
fn c5_f77_a_session_is_the_same_with_one_two_and_four_threads() {
    let site = Site::new();
    for threads in ["1", "2", "4"] {
        let ended = told(site.begin(threads, &["--threads", threads]));
        same(&site, threads, &ended);
    }
}

/// Worker processes do all of the work, or share it with the coordinator's thread.
#[test]
fn c7_f77_a_session_is_the_same_with_one_and_three_worker_processes() {
    let Some(server) = Server::start("c7_f77_a_session_is_the_same_with_one_and_three_worker_processes") else {
        return;
    };
    let site = Site::new();
    let url = server.url();
    for (workers, threads) in [(1, "0"), (3, "0"), (3, "1")] {
        let id = format!("{workers}-{threads}");
        let crew: Vec<Child> = (0..workers).map(|_| worker(&id, &url, &[])).collect();
        let ended = told(site.begin(&id, &["--store", &url, "--threads", threads]));
        same(&site, &id, &ended);
        let mut handed_in = 0;
        for child in crew {
            let told = told(child);
            assert_eq!(told.code, Some(0), "{}", told.err);
            assert_eq!(told.json()["session_id"], id.as_str());
            handed_in += told.json()["trials"].as_u64().unwrap();
        }
        if threads == "0" {
            let distinct = whole().log.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            let distinct = distinct
                .filter(|line| !String::from_utf8_lossy(line).contains("\"same_as\""))
                .count();
            assert_eq!(handed_in, distinct as u64, "each trial is evaluated once");
        }
    }
}

/// Ctrl-C: exit code 3, where the session is, and a command that a shell takes as it stands and that ends the session.
#[test]
fn f37_ctrl_c_says_where_the_session_is_and_its_command_goes_on() {
    let name = "f37_ctrl_c_says_where_the_session_is_and_its_command_goes_on";
    let server = Server::start(name);
    let url = server.as_ref().map(Server::url);
    let mut stores = vec![vec!["--threads", "2"]];
    if let Some(url) = &url {
        stores.push(vec![
            "--store",
            url,
            "--env",
            "night",
            "--threads",
            "1",
            "--lease",
            "2.5",
        ]);
    }
    for store in stores {
        let site = Site::new();
        let child = site.begin("stopped", &store);
        site.until("stopped", 3);
        redis_server::signal(child.id(), "INT");
        let stopped = told(child);
        assert_eq!(stopped.code, Some(3), "{}", stopped.err);
        let lines = site.lines("stopped");
        assert!(lines < TRIALS, "it was stopped on the way");
        assert!(
            stopped
                .err
                .contains(&format!("stopped after {lines} of {TRIALS} trials")),
            "{}",
            stopped.err
        );
        let folder = site.folder("stopped");
        let place = format!("the session is in {}; go on with: ", folder.display());
        let said = stopped
            .err
            .split(&place)
            .nth(1)
            .unwrap_or_else(|| panic!("{}", stopped.err));
        let command = format!("{} --json --quiet", said.lines().next().unwrap());
        let program = PathBuf::from(env!("CARGO_BIN_EXE_crossbook"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(lab::repository());
        let paths = std::env::var("PATH").unwrap();
        shell.env("PATH", format!("{}:{paths}", program.parent().unwrap().display()));
        let ended = told(spawn(shell));
        same(&site, "stopped", &ended);
        assert_eq!(ended.json()["resumed"], lines, "nothing is evaluated again");
        if let Some(server) = &server
            && store.len() > 2
        {
            let held = server.ask(&["XLEN", "tuning:night:replay:tuning_session:stopped:trials"]);
            assert_eq!(held.unwrap(), TRIALS.to_string());
        }
    }
}

/// What may not be changed on the way, or is not there, is refused and says what to do.
#[test]
fn f75_what_a_resumed_session_may_not_change_is_refused() {
    let site = Site::new();
    same(&site, "a", &told(site.begin("a", &[])));
    let before = site.log("a");
    let cases: [(&[&str], &str); 8] = [
        (
            &["--resume", "a", "--trials", "25"],
            "--resume goes on with the session as it began",
        ),
        (
            &["--resume", "a", "--seed", "8"],
            "--resume goes on with the session as it began",
        ),
        (
            &["--resume", "a", "--set", "objective.k=2"],
            "--resume goes on with the session as it began",
        ),
        (
            &["config/tuning/demo.toml", "--resume", "a"],
            "the specification has changed since it began",
        ),
        (
            &["--resume", "nobody"],
            "no session is there; `crossbook sessions list` shows those there are",
        ),
        (&["--resume", "../a"], "letters, digits"),
        (
            &["config/tuning/demo.toml", "--id", "a"],
            "a session is there already; go on with it with --resume",
        ),
        (
            &["config/tuning/demo.toml", "--threads", "0"],
            "need a --store redis://",
        ),
    ];
    for (args, part) in cases {
        let refused = told(site.tune(args));
        assert!(
            refused.code == Some(2) && refused.err.contains(part),
            "{args:?}: {}",
            refused.err
        );
    }
    // Done already: the same answer, and nothing is evaluated again.
    let again = told(site.resume("a", &[]));
    same(&site, "a", &again);
    assert_eq!(again.json()["resumed"], TRIALS);
    assert!(site.log("a") == before);
    // The log is damaged in the middle: refused with its line.
    let mut damaged = before.clone();
    let second = damaged.iter().position(|&byte| byte == b'\n').unwrap() + 100;
    damaged[second] ^= 1;
    std::fs::write(site.folder("a").join("trials.jsonl"), damaged).unwrap();
    let refused = told(site.resume("a", &[]));
    assert!(
        refused.code == Some(2) && refused.err.contains("trials.jsonl:2: "),
        "{}",
        refused.err
    );
}

/// Two processes cannot work on one folder.
#[test]
fn f75_a_second_coordinator_of_one_folder_is_refused() {
    let site = Site::new();
    let first = site.begin("a", &["--threads", "1"]);
    site.until("a", 1);
    let second = told(site.resume("a", &[]));
    if second.code != Some(0) {
        assert_eq!(second.code, Some(2), "{}", second.err);
        assert!(
            second.err.contains("another process works on this session"),
            "{}",
            second.err
        );
    } else {
        // The machine was so slow that the first one had ended.
        assert_eq!(second.json()["resumed"], TRIALS);
    }
    same(&site, "a", &told(first));
}

/// F78: empty spaces, turned bounds, one point, too many points: refused, or bounded with the count; no session is left.
#[test]
fn f78_tuning_files_that_make_no_sense_are_refused_with_file_and_key() {
    let site = Site::new();
    let entry = "space.\"strategy.entry_bps\"";
    let cases = [
        ("space={}".to_owned(), "[space]"),
        (format!("{entry}={{ float = [60.0, 0.0] }}"), "strategy.entry_bps"),
        (format!("{entry}={{ float = [0.0, nan] }}"), "strategy.entry_bps"),
        (
            format!("{entry}={{ float = [-1.0, 5.0], log = true }}"),
            "strategy.entry_bps",
        ),
        (format!("{entry}={{ int = [1, 5], step = 0 }}"), "strategy.entry_bps"),
        (format!("{entry}={{ choice = [] }}"), "strategy.entry_bps"),
        (
            "space.\"strategy.entry_pbs\"={ float = [0.0, 1.0] }".to_owned(),
            "strategy.entry_pbs",
        ),
        (
            "constraints=[\"strategy.exit_bps > 1000\"]".to_owned(),
            "strategy.exit_bps > 1000",
        ),
        ("sampler={ kind = \"grid\", trials = 0 }".to_owned(), "sampler.trials"),
        ("sampler.trials=10000000000000".to_owned(), "sampler.trials"),
        ("scenarios=[\"nowhere.toml\"]".to_owned(), "nowhere.toml"),
        ("stress=[\"rain\"]".to_owned(), "rain"),
    ];
    for (set, part) in &cases {
        let refused = told(site.tune(&["config/tuning/demo.toml", "--set", set]));
        assert_eq!(refused.code, Some(2), "{set}: {}", refused.err);
        assert!(refused.err.contains(part), "{set}: {}", refused.err);
        assert!(refused.err.contains("demo.toml"), "{set}: {}", refused.err);
    }
    let left = std::fs::read_dir(site.sessions()).map_or(0, Iterator::count);
    assert_eq!(left, 0, "a session that could not begin leaves no folder");
    // One point, asked for many times: answered from the table. A grid of it has one trial.
    let fixed = [
        "--set",
        "space={ \"strategy.entry_bps\" = { fixed = 20.0 } }",
        "--set",
        "constraints=[]",
        "--set",
        "stress=[]",
        "--threads",
        "1",
    ];
    let grid = [
        &["config/tuning/demo.toml", "--id", "grid", "--sampler", "grid"],
        &fixed[..],
    ]
    .concat();
    let ended = told(site.tune(&grid));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.json()["trials"], 1, "{}", ended.out);
    let random = [
        "config/tuning/demo.toml",
        "--id",
        "random",
        "--trials",
        "6",
        "--sampler",
        "random",
    ];
    let ended = told(site.tune(&[&random, &fixed[..]].concat()));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let log = String::from_utf8(site.log("random")).unwrap();
    let json = ended.json();
    assert_eq!(
        log.matches("\"same_as\":0").count() as u64 + 1,
        json["trials"].as_u64().unwrap(),
        "{log}"
    );
    // A grid larger than anybody has time for: refused with the number of its points.
    let huge = [
        "config/tuning/demo.toml",
        "--id",
        "huge",
        "--sampler",
        "grid",
        "--trials",
        "5",
        "--set",
        "stress=[]",
        "--set",
        "space.\"strategy.max_hold_s\"={ int = [60, 100000000] }",
    ];
    let ended = told(site.tune(&huge));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    let (file, why) = (
        "config/tuning/demo.toml: sampler: the grid has ",
        " points, more than max_points = ",
    );
    assert!(ended.err.contains(file) && ended.err.contains(why), "{}", ended.err);
    assert!(!site.folder("huge").exists());
}

/// A worker whose data or version are not the session's takes no work and says what differs.
#[test]
fn a_worker_with_other_data_or_another_version_is_refused() {
    let Some(server) = Server::start("a_worker_with_other_data_or_another_version_is_refused") else {
        return;
    };
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spec: Spec = lab::no_edge_spec();
    spec.duration_s = Some(1800);
    lab::write_market(here.path(), &spec);
    spec.seed += 1;
    lab::write_market(there.path(), &spec);
    std::fs::write(here.path().join("s.toml"), lab::SCENARIO).unwrap();
    let tuning = "name = \"t\"\nscenarios = [\"s.toml\"]\nsampler = { kind = \"random\", trials = 8 }\n\
         objective = { metric = \"pnl_vs_hold\" }\n[space]\n\"strategy.entry_bps\" = { float = [0.0, 9.0] }\n";
    std::fs::write(here.path().join("t.toml"), tuning).unwrap();
    let url = server.url();
    let root = here.path().to_str().unwrap();
    let session = spawn(lab::crossbook(
        here.path(),
        &[
            "tune",
            "t.toml",
            "--store",
            &url,
            "--threads",
            "0",
            "--data-root",
            root,
            "--json",
        ],
    ));
    let work = |root: &std::path::Path| {
        let root = root.to_str().unwrap();
        told(worker("t", &url, &["--data-root", root, "--patience", "30"]))
    };
    let refused = work(there.path());
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(
        refused.err.contains("the content of dataset no-edge-"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("(was "), "{}", refused.err);
    let base = "tuning:local:replay:tuning_session:t";
    let question = server.ask(&["HGET", base, "session"]).unwrap();
    let newer = question.replace("version = \"", "version = \"9");
    server.ask(&["HSET", base, "session", &newer]).unwrap();
    let refused = work(here.path());
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("the version of crossbook"), "{}", refused.err);
    assert_eq!(
        server.ask(&["XLEN", &format!("{base}:trials")]).unwrap(),
        "0",
        "no trial was taken"
    );
    server.ask(&["HSET", base, "session", &question]).unwrap();
    let worked = work(here.path());
    assert_eq!(worked.code, Some(0), "{}", worked.err);
    let ended = told(session);
    assert_eq!(ended.json()["trials"], 8, "{}", ended.err);
}

/// `--attempts`: a trial on which so many workers were lost is given up with a reason; one fewer, and it is evaluated.
#[test]
fn f74_attempts_say_how_many_workers_a_trial_may_cost() {
    let Some(server) = Server::start("f74_attempts_say_how_many_workers_a_trial_may_cost") else {
        return;
    };
    let url = server.url();
    let address = Address::parse(&url, "local").unwrap();
    for (attempts, failed) in [("1", 1), ("2", 0)] {
        let site = Site::new();
        let child = site.begin(attempts, &["--store", &url, "--threads", "0", "--attempts", attempts]);
        // One that takes a task and is never heard of again.
        let lease = Duration::from_millis(300);
        let patience = Instant::now() + Duration::from_secs(60);
        let lost = loop {
            assert!(Instant::now() < patience, "no task is offered");
            let base = format!("tuning:local:replay:tuning_session:{attempts}");
            let hash = server.ask(&["HGET", &base, "identity"]).unwrap();
            let mut link = Link::open(&address, attempts, &hash).unwrap();
            if let Ok((_, claimed)) = link.claim("dead", 1, lease, lease)
                && let Some(task) = claimed.first()
            {
                break task.id;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        std::thread::sleep(lease * 2);
        let crew = worker(attempts, &url, &[]);
        let ended = told(child);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(ended.json()["failed"].as_u64().unwrap(), failed, "{}", ended.err);
        if failed == 0 {
            same(&site, attempts, &ended);
        } else {
            let log = String::from_utf8(site.log(attempts)).unwrap();
            let line = log.lines().nth(usize::try_from(lost).unwrap()).unwrap();
            assert!(line.contains("given up: 1 worker was lost on it"), "{line}");
            let note = format!("trial {lost} is given up: workers were lost on it: dead");
            assert!(ended.err.contains(&note), "{}", ended.err);
            let notes = std::fs::read_to_string(site.folder(attempts).join("notes.log")).unwrap();
            assert!(notes.contains(&note), "{notes}");
        }
        assert_eq!(told(crew).code, Some(0));
    }
}

/// `--lease`: how long a task is a worker's own. A stopped worker's task goes to another when it has passed.
#[test]
fn f74_a_worker_that_hangs_keeps_its_task_for_a_lease() {
    let Some(server) = Server::start("f74_a_worker_that_hangs_keeps_its_task_for_a_lease") else {
        return;
    };
    let (site, url) = (Site::new(), server.url());
    let child = site.begin("s", &["--store", &url, "--threads", "0"]);
    let leases = "tuning:local:replay:tuning_session:s:leases";
    let hung = worker("s", &url, &["--lease", "1.5"]);
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < patience, "the worker takes no task");
        if !server.list(&["HKEYS", leases]).is_empty() {
            redis_server::signal(hung.id(), "STOP");
            if !server.list(&["HKEYS", leases]).is_empty() {
                break;
            }
            // It had just handed in.
            redis_server::signal(hung.id(), "CONT");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let lease = server.list(&["HVALS", leases]).remove(0);
    let deadline: i64 = lease.split(' ').next().unwrap().parse().unwrap();
    let left = deadline - jiff::Timestamp::now().as_millisecond();
    assert!((-1500..=1500).contains(&left), "{left} ms of 1500 are left");
    let crew = worker("s", &url, &[]);
    let ended = told(child);
    same(&site, "s", &ended);
    assert_eq!(told(crew).code, Some(0));
    // Woken up, it finds that the session is over.
    redis_server::signal(hung.id(), "CONT");
    assert_eq!(told(hung).code, Some(0));
}

/// `--env`: two sessions of one name in one Redis do not meet.
#[test]
fn environments_keep_sessions_of_one_name_apart() {
    let Some(server) = Server::start("environments_keep_sessions_of_one_name_apart") else {
        return;
    };
    let (one, two, url) = (Site::new(), Site::new(), server.url());
    let first = told(one.begin("s", &["--store", &url, "--env", "one"]));
    same(&one, "s", &first);
    // In the environment of the first, the name is taken; in another it is free.
    let taken = told(two.begin("s", &["--store", &url, "--env", "one"]));
    assert!(
        taken.code == Some(2) && taken.err.contains("is there already"),
        "{}",
        taken.err
    );
    assert!(
        !two.folder("s").exists(),
        "a session that could not begin leaves no folder"
    );
    let crew = worker("s", &url, &["--env", "two"]);
    let second = told(two.begin("s", &["--store", &url, "--env", "two", "--threads", "0"]));
    same(&two, "s", &second);
    assert_eq!(told(crew).code, Some(0));
    for key in server.keys() {
        let env = key.split(':').nth(1).unwrap();
        assert!(
            ["one", "two"].contains(&env) && key.starts_with(&format!("tuning:{env}:replay:")),
            "{key}"
        );
    }
    assert_eq!(server.keys().len(), 8, "{:?}", server.keys());
    let lost = told(worker("s", &url, &["--env", "three", "--patience", "0.3"]));
    assert!(
        lost.code == Some(2) && lost.err.contains("no session s there"),
        "{}",
        lost.err
    );
    let refused = told(two.begin("t", &["--store", &url, "--env", "a:b"]));
    assert!(
        refused.code == Some(2) && refused.err.contains("environment \"a:b\""),
        "{}",
        refused.err
    );
}

/// A Redis that wants a password: it is given in the URL and never printed; a wrong one is refused at once.
#[test]
fn a_password_is_used_and_never_printed() {
    let secret = "s3cr3t-w0rd";
    let Some(server) = Server::with_password("a_password_is_used_and_never_printed", Some(secret)) else {
        return;
    };
    let (site, url) = (Site::new(), server.url());
    assert!(url.contains(secret));
    let child = site.begin("s", &["--store", &url, "--threads", "0"]);
    let crew = worker("s", &url, &[]);
    site.until("s", 2);
    redis_server::signal(child.id(), "INT");
    let stopped = told(child);
    assert_eq!(stopped.code, Some(3), "{}", stopped.err);
    assert!(
        stopped
            .err
            .contains("set CROSSBOOK_STORE to the URL of redis://127.0.0.1:"),
        "{}",
        stopped.err
    );
    let mut command = lab::crossbook(
        lab::repository(),
        &["tune", "--resume", "s", "--threads", "0", "--json", "--sessions"],
    );
    command.arg(site.sessions()).env("CROSSBOOK_STORE", &url);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = told(command.spawn().unwrap());
    same(&site, "s", &ended);
    let crew = told(crew);
    assert_eq!(crew.code, Some(0), "{}", crew.err);
    let wrong = url.replace(secret, "wr0ng-w0rd");
    let refused = told(site.begin("t", &["--store", &wrong]));
    assert_eq!(refused.code, Some(4), "{}", refused.err);
    let idle = told(worker("s", &wrong, &[]));
    assert_eq!(idle.code, Some(4), "{}", idle.err);
    let none = told(site.begin("t", &["--store", &url.replace(&format!(":{secret}@"), "")]));
    assert_eq!(none.code, Some(4), "{}", none.err);
    assert!(
        none.err.contains("NOAUTH") || none.err.contains("uthentication"),
        "{}",
        none.err
    );
    let notes = std::fs::read_to_string(site.folder("s").join("notes.log")).unwrap_or_default();
    for told in [&stopped, &ended, &crew, &refused, &idle, &none] {
        for text in [&told.out, &told.err, &notes] {
            assert!(!text.contains("w0rd"), "{text}");
        }
    }
    for (bad, part) in [
        ("rediss://user:w0rd@localhost:1/0", "TLS is not built in"),
        ("http://w0rd@localhost", "redis://host:6379/0"),
        ("redis://w0rd@:bad:port", "redis://host:6379/0"),
    ] {
        let refused = told(site.begin("t", &["--store", bad]));
        assert_eq!(refused.code, Some(2), "{bad}: {}", refused.err);
        assert!(
            refused.err.contains(part) && !refused.err.contains("w0rd"),
            "{bad}: {}",
            refused.err
        );
    }
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
    let told = told(child);
    assert_eq!(told.code, Some(0), "{}", told.err);
    let answers: Vec<serde_json::Value> = told
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[1]["trials"].as_array().unwrap().len(), 2);
}
