//! What a session's store costs: trials a second through the file store and through a Redis of its own, copied and with
//! workers, and whether a trial costs more when there are many.
//!
//! ```sh
//! cargo bench --bench sessions             # 10,000 trials a session
//! cargo bench --bench sessions -- 2000     # fewer
//! ```
//!
//! Evaluation is a closed form that costs nothing and makes records of a real session's size, so what is measured is all
//! the rest: proposing (random), the log with its checksums, and what goes through Redis (Debian's `redis-server`, append-only
//! file on, on the loopback). Workers have eight threads, so that eight tasks are on their way. A session ends when its last trial is in the log *and*, with Redis, in its copy there.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crossbook::tune::log::{TrialLog, to_line};
use crossbook::tune::session::folder::{Folder, Header, Question};
use crossbook::tune::session::{self, Observer, Plan, Progress};
use crossbook::tune::store::link::Address;
use crossbook::tune::store::redis::{RedisStore, Setup};
use crossbook::tune::store::{FileStore, Status, Store};
use crossbook::tune::trial::{CaseRecord, Measures, Record, State, Task};
use crossbook::tune::worker::{self, Terms};
use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::space::{Domain, Param, Space, Value};

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let trials: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let first = Task {
        id: 0,
        fold: 0,
        params: (0..6).map(|n| (name(n), Value::Float(1.0 / 7.0))).collect(),
        rungs: Vec::new(),
    };
    let bytes = to_line(&evaluate(&first)).unwrap().len();
    println!(
        "{trials} trials a session, a line of the log {bytes} bytes. By the clock, whole session; CPU time of a trial in"
    );
    println!(
        "this process (coordinator and workers) and in Redis; CPU time of each of the first and of the last 1,000 trials"
    );
    println!("in this process; keys in Redis after 1,000 trials and near the end");
    println!();
    let us = "CPU us";
    println!(
        "{:<44} {:>9} {:>8} {:>8} {:>8} {:>8} {:>5} {:>5}",
        "", "trials/s", us, "Redis us", "first", "last", "keys", "keys"
    );
    for batch in [4, 64] {
        let file = measured(trials, batch, 1, None, 0);
        println!("{}", file.row(&format!("file store, batch {batch}")));
    }
    let Some(server) = Server::start() else {
        eprintln!("SKIPPED Redis: no redis-server; to measure it: sudo apt-get install -y redis-server");
        return;
    };
    for (batch, workers) in [(4, 0), (64, 0), (4, 1), (64, 1), (64, 2)] {
        let row = measured(trials, batch, 1 - usize::from(workers > 0), Some(&server), workers);
        let what = if workers == 0 {
            "copied to Redis".to_owned()
        } else {
            format!("evaluated by {workers} worker{}", if workers == 1 { "" } else { "s" })
        };
        println!("{}", row.row(&format!("{what}, batch {batch}")));
    }
}

fn name(n: u32) -> String {
    format!("strategy.parameter_{n}")
}

/// A record as large as one of three cases with two hundred periods.
fn evaluate(task: &Task) -> Record {
    let value: f64 = task
        .params
        .values()
        .filter_map(Value::number)
        .map(|x| -(x - 0.3) * (x - 0.3))
        .sum();
    let measures = Measures {
        pnl: value * 1e5,
        pnl_vs_hold: value * 1.1e5,
        fees: 1e4 / 3.0,
        round_trips: 60,
        wins: 31,
        max_drawdown: 1e4 / 7.0,
        sharpe: Some(value / 9.0),
        sortino: Some(value / 6.0),
        win_rate: Some(31.0 / 60.0),
        pnl_per_trip: Some(value * 1e4 / 6.0),
    };
    let case = |name: &str| CaseRecord {
        name: name.to_owned(),
        metric: Some(value),
        digest: "0123456789abcdef".repeat(4),
        test_digest: Some("fedcba9876543210".repeat(4)),
        train: measures,
    };
    Record {
        state: State::Complete,
        reason: None,
        value: Some(value),
        train: Some(measures),
        test: Some(measures),
        cases: ["demo", "demo+latency_x3", "demo+fees_up"].map(case).to_vec(),
        train_periods: (0..120).map(|k| value * f64::from(k) / 3.0).collect(),
        test_periods: (0..80).map(|k| value * f64::from(k) / 7.0).collect(),
        ..Record::failed(task, String::new())
    }
}

/// CPU time and keys when the table had so many trials.
struct Watch<'w> {
    trials: u64,
    /// After 1,000 trials, before the last 1,000, after all.
    at: [Option<Duration>; 3],
    keys: &'w dyn Fn() -> usize,
    counted: [usize; 3],
}

impl Observer for Watch<'_> {
    fn progress(&mut self, progress: &Progress) {
        for (slot, mark) in [1000, self.trials - 1000, self.trials].into_iter().enumerate() {
            if progress.trials >= mark && self.at[slot].is_none() {
                self.at[slot] = Some(threads_cpu());
                self.counted[slot] = (self.keys)();
            }
        }
    }

    fn note(&mut self, text: &str) {
        println!("  {text}");
    }

    fn interrupted(&mut self) -> bool {
        false
    }
}

/// CPU time of the threads that live, from Linux's schedstat.
fn threads_cpu() -> Duration {
    let mut ns = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        ns += text
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Duration::from_nanos(ns)
}

/// CPU time of this process, threads that have ended included, in s: user and system time in ticks of 10 ms.
fn process_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text[text.rfind(')').unwrap() + 1..].split_whitespace().collect();
    fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<f64>().unwrap() / 100.0)
        .sum()
}

struct Row {
    rate: f64,
    /// CPU time of a trial in us: here and in Redis.
    cpu: [f64; 2],
    first: Duration,
    last: Duration,
    keys: [usize; 2],
}

impl Row {
    fn row(&self, what: &str) -> String {
        // Of a thousand trials in ms is of one in us.
        let us = |time: Duration| time.as_secs_f64() * 1e3;
        format!(
            "{what:<44} {:>9.0} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>5} {:>5}",
            self.rate,
            self.cpu[0],
            self.cpu[1],
            us(self.first),
            us(self.last),
            self.keys[0],
            self.keys[1]
        )
    }
}

fn measured(trials: u64, batch: usize, threads: usize, server: Option<&Server>, workers: usize) -> Row {
    let root = tempfile::tempdir().unwrap();
    let id = "bench";
    let question = Question {
        spec: "name = \"bench\"\n".to_owned(),
        header: Header {
            id: id.to_owned(),
            version: "0".to_owned(),
            asynchronous: false,
            data: Default::default(),
        },
    };
    let identity = question.identity().unwrap();
    let folder = Folder::create(root.path(), id, true).unwrap();
    folder.write_question(&question).unwrap();
    let plan = Plan {
        folds: 1,
        trials,
        batch,
        seed: 3,
        sampler: SamplerConfig::by_name("random").unwrap(),
        space: Space::new(
            (0..6).map(|n| Param::new(&name(n), Domain::float(0.0, 1.0))).collect(),
            vec![],
        )
        .unwrap(),
        asynchronous: false,
        threads,
    };
    let (log, _) = TrialLog::open(&folder.log()).unwrap();
    let events = channel();
    let mut store: Box<dyn Store> = match server {
        None => Box::new(FileStore(log)),
        Some(server) => {
            server.ask(&["FLUSHALL"]);
            let setup = Setup {
                address: server.address(),
                id: id.to_owned(),
                identity: identity.clone(),
                home: folder.home(),
                attempts: 3,
                lease: Duration::from_secs(10),
                resume: false,
            };
            Box::new(RedisStore::open(setup, log, &mut Vec::new(), events.0.clone()).unwrap())
        }
    };
    let keys = || server.map_or(0, Server::keys);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let address = server.unwrap().address();
            let hash = identity.hash.clone();
            scope.spawn(move || {
                let terms = Terms {
                    threads: 8,
                    lease: Duration::from_secs(10),
                    patience: Duration::from_secs(60),
                };
                worker::run(&address, id, &hash, &terms, &evaluate, &mut Silent).unwrap();
            });
        }
        // Workers are there before the first trial, as they are in a session that lasts.
        std::thread::sleep(Duration::from_millis(if workers > 0 { 1000 } else { 0 }));
        let begun = (
            Instant::now(),
            threads_cpu(),
            process_cpu(),
            server.map_or(0.0, Server::cpu),
        );
        let mut watch = Watch {
            trials,
            at: [None; 3],
            keys: &keys,
            counted: [0; 3],
        };
        let ended = session::run(
            &plan,
            &|_| vec![],
            vec![],
            store.as_mut(),
            events,
            &evaluate,
            &mut watch,
        )
        .unwrap();
        assert_eq!((ended.status, ended.records.len() as u64), (Status::Done, trials));
        let missing = store.finish(Status::Done, &[]).unwrap();
        let took = begun.0.elapsed();
        let cpu = [process_cpu() - begun.2, server.map_or(0.0, Server::cpu) - begun.3];
        assert_eq!(missing, None, "the copy is complete");
        if let Some(server) = server {
            let held = server.ask(&["XLEN", "tuning:bench:replay:tuning_session:bench:trials"]);
            assert_eq!(held, trials.to_string());
        }
        let [after_first, before_last, after_all] = watch.at.map(Option::unwrap);
        Row {
            rate: trials as f64 / took.as_secs_f64(),
            cpu: cpu.map(|s| s * 1e6 / trials as f64),
            first: after_first - begun.1,
            last: after_all - before_last,
            keys: [watch.counted[0], watch.counted[1]],
        }
    })
}

struct Silent;

impl worker::Observer for Silent {
    fn handed_in(&mut self, _: u64) {}

    fn note(&mut self, text: &str) {
        println!("  {text}");
    }

    fn interrupted(&mut self) -> bool {
        false
    }
}

/// A Redis of its own on a free port.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Server {
    fn start() -> Option<Server> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let child = run(port, folder.path()).ok()?;
        let server = Server { folder, port, child };
        let patience = Instant::now() + Duration::from_secs(10);
        while server.try_ask(&["PING"]).is_err() {
            assert!(
                Instant::now() < patience,
                "redis-server in {} does not answer",
                server.folder.path().display()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(server)
    }

    fn address(&self) -> Address {
        Address::parse(&format!("redis://127.0.0.1:{}/0", self.port), "bench").unwrap()
    }

    fn try_ask(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut connection = redis::Client::open(format!("redis://127.0.0.1:{}/0", self.port))?.get_connection()?;
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
    }

    fn ask(&self, words: &[&str]) -> String {
        redis::from_redis_value(self.try_ask(words).unwrap()).unwrap()
    }

    /// CPU time that it has used, in s.
    fn cpu(&self) -> f64 {
        let text = self.ask(&["INFO", "cpu"]);
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.trim().parse::<f64>().ok()).unwrap_or(0.0)
        };
        of("used_cpu_user:") + of("used_cpu_sys:")
    }

    fn keys(&self) -> usize {
        redis::from_redis_value(self.try_ask(&["DBSIZE"]).unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(port: u16, folder: &Path) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--dir",
        ])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
