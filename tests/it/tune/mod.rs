//! Tuning sessions seen from outside: evaluation, stores, workers, what kills and outages leave, and what is shown of it all.

mod deploy;
mod evaluate;
mod export;
mod kills;
mod luck;
mod outage;
mod pictures;
mod process;
mod samples;
mod sessions;
mod verdict;
mod workers;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use crossbook::tune::log::TrialLog;
use crossbook::tune::session::folder::{Folder, Header, Question};
use crossbook::tune::session::{self, Ended, Evaluate, Observer, Plan, Progress};
use crossbook::tune::store::link::{Address, Identity};
use crossbook::tune::store::redis::{RedisStore, Setup, StoreError};
use crossbook::tune::store::{FileStore, Store};
use crossbook::tune::trial::{Record, State, Task};
use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::space::{Domain, Param, Space, Value};

/// A closed form in place of a replay.
pub fn evaluate(task: &Task) -> Record {
    let number = |name: &str| task.params.get(name).and_then(Value::number).unwrap();
    let (x, n) = (number("x"), number("n"));
    let mut record = Record::failed(task, "n is 7".to_owned());
    if n != 7.0 {
        let value = -(x - 0.3) * (x - 0.3) - (n - 4.0) * (n - 4.0) / 50.0;
        record.reason = None;
        record.state = State::Complete;
        record.value = Some(value);
        record.train_periods = (0..64).map(|k| value * f64::from(k)).collect();
    }
    record
}

/// The same, not at once.
pub fn slowly(task: &Task) -> Record {
    std::thread::sleep(Duration::from_millis(2));
    evaluate(task)
}

pub fn plan(trials: u64, threads: usize) -> Plan {
    let params = vec![
        Param::new("x", Domain::float(0.0, 1.0)),
        Param::new("n", Domain::int(1, 12)),
    ];
    Plan {
        folds: 1,
        trials,
        batch: 8,
        seed: 3,
        sampler: SamplerConfig::by_name("random").unwrap(),
        space: Space::new(params, vec![]).unwrap(),
        asynchronous: false,
        threads,
    }
}

/// Watches; `at` is called with the number of trials whenever it grows, and may stop the session.
pub struct Watch<'w> {
    pub notes: Vec<String>,
    pub progress: Progress,
    pub at: Box<dyn FnMut(&Progress) -> bool + Send + 'w>,
    stop: bool,
}

impl<'w> Watch<'w> {
    pub fn new(at: impl FnMut(&Progress) -> bool + Send + 'w) -> Watch<'w> {
        Watch {
            notes: Vec::new(),
            progress: Progress::default(),
            at: Box::new(at),
            stop: false,
        }
    }

    pub fn quiet() -> Watch<'static> {
        Watch::new(|_| false)
    }

    pub fn said(&self, part: &str) -> usize {
        self.notes.iter().filter(|note| note.contains(part)).count()
    }
}

impl Observer for Watch<'_> {
    fn progress(&mut self, progress: &Progress) {
        self.progress = *progress;
        self.stop |= (self.at)(progress);
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn interrupted(&mut self) -> bool {
        self.stop
    }
}

pub fn question(id: &str) -> Question {
    Question {
        spec: "name = \"closed form\"\n".to_owned(),
        header: Header {
            id: id.to_owned(),
            version: "1".to_owned(),
            asynchronous: false,
            data: Default::default(),
        },
    }
}

pub fn identity(id: &str) -> Identity {
    question(id).identity().unwrap()
}

pub fn setup(address: Address, folder: &Folder, resume: bool) -> Setup {
    Setup {
        address,
        id: folder.id().to_owned(),
        identity: identity(folder.id()),
        home: folder.home(),
        attempts: 3,
        lease: Duration::from_millis(300),
        resume,
    }
}

/// The session's folder, made when it is not there.
pub fn folder(sessions: &Path, id: &str) -> Folder {
    Folder::existing(sessions, id).unwrap_or_else(|_| {
        let folder = Folder::create(sessions, id, true).unwrap();
        folder.write_question(&question(id)).unwrap();
        folder
    })
}

/// Runs a session of the closed form with a Redis.
pub fn run_with(
    address: Address,
    folder: &Folder,
    resume: bool,
    plan: &Plan,
    evaluate: Evaluate,
    watch: &mut Watch,
) -> Result<Ended, StoreError> {
    let (log, found) = TrialLog::open(&folder.log())?;
    let (mut records, events) = (found.records, channel());
    let mut store = RedisStore::open(setup(address, folder, resume), log, &mut records, events.0.clone())?;
    let ended = session::run(plan, &|_| vec![], records, &mut store, events, evaluate, watch).unwrap();
    let missing = store.finish(ended.status, &[("digest", session::digest(&ended.records))])?;
    watch.notes.extend(missing);
    Ok(ended)
}

/// The digest of the same session by the file store alone, on one thread.
pub fn alone(plan: &Plan) -> String {
    let sessions = tempfile::tempdir().unwrap();
    let (log, _) = TrialLog::open(&sessions.path().join("log.jsonl")).unwrap();
    let plan = Plan {
        threads: 1,
        ..plan.clone()
    };
    let mut store = FileStore(log);
    let mut watch = Watch::quiet();
    let ended = session::run(&plan, &|_| vec![], vec![], &mut store, channel(), &evaluate, &mut watch).unwrap();
    session::digest(&ended.records)
}
