//! A session: folds one after the other, each a study of its own whose trials are asked in batches, evaluated wherever
//! there is a processor, and told in the order of their ids.
//!
//! - *Invariant:* the table of a session is a function of its specification, the data and the version. Which batches there
//!   are, what is told when, and what a trial must reach not to be pruned depend on earlier records alone; threads, workers,
//!   stores and kills leave no trace.
//! - *Invariant:* a session that goes on asks again from the start with the same seed and takes answers from the log where
//!   it has them. An answer to another question stops it.
//! - With [`Plan::asynchronous`] trials are told as they finish, so the table depends on timing; the log keeps that order,
//!   and a session that goes on repeats it.
//!
//! What a session is on disk is [`folder`]'s business; where trials run, [`pool`]'s.

pub mod folder;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender};
use std::vec;

use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::space::{Params, Space};
use crossbook_tuner::study::{self, Direction, Study, StudyError};
use thiserror::Error;

use super::log::{self, LogError};
use super::store::{Event, Status, Store};
use super::trial::{Record, Rung, State, Task};
use pool::Pool;

pub use pool::{answers, checked};

/// Evaluates a task: a pure function of it.
pub type Evaluate<'e> = &'e (dyn Fn(&Task) -> Record + Sync);

/// The rungs of the next trials, from the rung values of those told so far in the fold.
pub type Rungs<'e> = &'e dyn Fn(&[&[f64]]) -> Vec<Rung>;

/// What a session does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Number of folds.
    pub folds: u32,
    /// Trials of each fold.
    pub trials: u64,
    /// Trials asked for at a time.
    pub batch: usize,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// The sampler.
    pub sampler: SamplerConfig,
    /// What it searches.
    pub space: Space,
    /// Tell each trial as it finishes, and ask for another at once; `batch` are on their way at any time.
    pub asynchronous: bool,
    /// Threads of this process that evaluate; 0: workers do.
    pub threads: usize,
}

/// Why a session stopped where it should not have.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The sampler.
    #[error("sampler: {0}")]
    Study(#[from] StudyError),
    /// The log is of another session.
    #[error("the log does not fit the session: trial {id} {why}")]
    Differs {
        /// The trial.
        id: u64,
        /// How.
        why: &'static str,
    },
    /// An evaluation broke an assumption of the program.
    #[error("{0}: this is a fault of the program; the session can be resumed with a version that mends it")]
    Panicked(String),
    /// There is no thread to be had.
    #[error("threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// How far a session is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    /// Trials with a record.
    pub trials: u64,
    /// Most that there will be.
    pub of: u64,
    /// Those given up early.
    pub pruned: u64,
    /// Those without a result.
    pub failed: u64,
    /// Those answered from the table.
    pub repeated: u64,
    /// Best trial of the running fold and its value.
    pub best: Option<(u64, f64)>,
    /// Trials that were in the log before.
    pub resumed: u64,
    /// Workers attached.
    pub workers: usize,
}

/// Who watches a session.
pub trait Observer {
    /// After each change.
    fn progress(&mut self, progress: &Progress);
    /// Something that the user should know.
    fn note(&mut self, text: &str);
    /// Whether to stop.
    fn interrupted(&mut self) -> bool;
}

/// What a session came to.
#[derive(Debug)]
pub struct Ended {
    /// Done, or to be resumed.
    pub status: Status,
    /// The records in the order of ids.
    pub records: Vec<Record>,
    /// How far it came.
    pub progress: Progress,
    /// Results that came in a second time and differed: not to be believed when there are any.
    pub disagreements: u64,
}

/// Records in the order of the log, to be found by id.
#[derive(Debug, Default)]
pub struct Table {
    records: Vec<Record>,
    by_id: BTreeMap<u64, usize>,
}

impl Table {
    /// The record of a trial.
    pub fn get(&self, id: u64) -> Option<&Record> {
        self.by_id.get(&id).map(|&at| &self.records[at])
    }

    fn push(&mut self, record: Record) {
        self.by_id.insert(record.id, self.records.len());
        self.records.push(record);
    }
}

/// The digest of a session: BLAKE3 over its records as JSON, each with a line end, in the order of ids.
pub fn digest<'r>(records: impl IntoIterator<Item = &'r Record>) -> String {
    let mut hasher = blake3::Hasher::new();
    for record in records {
        // Only numbers that are not finite have no JSON, and no record holds one.
        if let Ok(json) = log::canonical(record) {
            hasher.update(json.as_bytes());
            hasher.update(b"\n");
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The best trial of a fold: the largest value, ties by the lower id.
pub fn best<'r>(records: impl IntoIterator<Item = &'r Record>, fold: u32) -> Option<&'r Record> {
    let mut best: Option<(&Record, f64)> = None;
    for record in records {
        if record.fold == fold
            && record.state == State::Complete
            && let Some(value) = record.value
            && best.is_none_or(|(other, most)| value > most || (value == most && record.id < other.id))
        {
            best = Some((record, value));
        }
    }
    best.map(|(record, _)| record)
}

/// Seed of a fold's study.
fn fold_seed(seed: u64, fold: u32) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"crossbook tuning fold");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&fold.to_le_bytes());
    let mut word = [0; 8];
    hasher.finalize_xof().fill(&mut word);
    u64::from_le_bytes(word)
}

/// Runs a session from where the records of its log leave it to its end, or until the observer stops it. `events` is where
/// the store sends, too.
///
/// # Errors
/// See [`SessionError`]. What was finished by then is in the log.
pub fn run(
    plan: &Plan,
    rungs: Rungs<'_>,
    records: Vec<Record>,
    store: &mut dyn Store,
    events: (Sender<Event>, Receiver<Event>),
    evaluate: Evaluate<'_>,
    observer: &mut dyn Observer,
) -> Result<Ended, SessionError> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.threads.max(1))
        .build()?;
    let stop = AtomicBool::new(false);
    threads.in_place_scope_fifo(|scope| {
        let pool = Pool::new(scope, evaluate, &stop, plan.threads, events);
        let mut running = Running {
            plan,
            rungs,
            log: records.into_iter(),
            table: Table::default(),
            pool,
            store,
            observer,
            progress: Progress {
                of: plan.trials.saturating_mul(plan.folds.into()),
                ..Progress::default()
            },
        };
        let status = running.folds();
        // Threads that are ahead need not begin what nobody waits for.
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let status = status?;
        if status == Status::Done
            && let Some(record) = running.log.next()
        {
            let why = "was never asked";
            return Err(SessionError::Differs { id: record.id, why });
        }
        let mut records = running.table.records;
        records.extend(running.log);
        records.sort_by_key(|record| record.id);
        Ok(Ended {
            status,
            records,
            progress: running.progress,
            disagreements: running.pool.disagreements,
        })
    })
}

struct Running<'r, 's, 'env> {
    plan: &'r Plan,
    rungs: Rungs<'r>,
    /// Records of the log that were not asked for yet.
    log: vec::IntoIter<Record>,
    table: Table,
    pool: Pool<'s, 'env>,
    store: &'r mut dyn Store,
    observer: &'r mut dyn Observer,
    progress: Progress,
}

/// A fold on its way.
struct Fold {
    number: u32,
    /// Id of its first trial.
    base: u64,
    study: Study,
    asked: u64,
    /// First trial with these parameters, by the parameters' JSON.
    seen: BTreeMap<String, u64>,
    /// Values of the rungs that trials reached, of those told.
    reached: Vec<Vec<f64>>,
}

impl Running<'_, '_, '_> {
    fn folds(&mut self) -> Result<Status, SessionError> {
        let mut base = 0;
        for number in 0..self.plan.folds {
            let seed = fold_seed(self.plan.seed, number);
            let (space, sampler) = (self.plan.space.clone(), self.plan.sampler.clone());
            let mut fold = Fold {
                number,
                base,
                study: Study::new(space, sampler, Direction::Maximize, seed, Some(self.plan.trials))?,
                asked: 0,
                seen: BTreeMap::new(),
                reached: Vec::new(),
            };
            self.progress.best = None;
            let status = if self.plan.asynchronous {
                self.as_they_come(&mut fold)?
            } else {
                self.in_batches(&mut fold)?
            };
            if status == Status::Paused {
                return Ok(Status::Paused);
            }
            base += fold.asked;
        }
        Ok(Status::Done)
    }

    /// Asks for up to `count` tasks; none when the budget is spent or the space exhausted.
    fn ask(&mut self, fold: &mut Fold, count: usize) -> Result<Vec<Task>, SessionError> {
        let left = usize::try_from(self.plan.trials - fold.asked).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(Vec::new());
        }
        let trials = fold.study.ask(count.min(left))?;
        fold.asked += trials.len() as u64;
        let reached: Vec<&[f64]> = fold.reached.iter().map(Vec::as_slice).collect();
        let rungs = (self.rungs)(&reached);
        let task = |trial: study::Trial| Task {
            id: fold.base + trial.id,
            fold: fold.number,
            params: trial.params,
            rungs: rungs.clone(),
        };
        Ok(trials.into_iter().map(task).collect())
    }

    fn in_batches(&mut self, fold: &mut Fold) -> Result<Status, SessionError> {
        loop {
            let tasks = self.ask(fold, self.plan.batch)?;
            let Some(first) = tasks.first().map(|task| task.id) else {
                return Ok(Status::Done);
            };
            let mut fresh = Vec::new();
            // Those of the batch that repeat an earlier trial: id and the id of that.
            let mut repeats: BTreeMap<u64, (Task, u64)> = BTreeMap::new();
            let mut finished: BTreeMap<u64, Record> = BTreeMap::new();
            for task in &tasks {
                let earlier = *fold.seen.entry(key(&task.params)).or_insert(task.id);
                if let Some(record) = self.take_logged(task)? {
                    finished.insert(task.id, record);
                } else if earlier != task.id {
                    repeats.insert(task.id, (task.clone(), earlier));
                } else {
                    fresh.push(task.clone());
                }
            }
            let logged = finished.len() as u64;
            self.progress.resumed += logged;
            self.pool.submit(fresh, self.store, self.observer);
            let (mut next, end) = (first, first + tasks.len() as u64);
            loop {
                // In the order of ids, as far as there is no gap: the bytes of the log are the same however trials end.
                let mut ready = Vec::new();
                let from = next;
                while next < end {
                    let record = match (finished.remove(&next), repeats.get(&next)) {
                        (Some(record), _) => record,
                        (None, Some((task, earlier))) => {
                            let in_batch = earlier.checked_sub(from).and_then(|at| ready.get(at as usize));
                            match in_batch.or_else(|| self.table.get(*earlier)) {
                                Some(record) => repeat(task, record),
                                None => break,
                            }
                        }
                        (None, None) => break,
                    };
                    ready.push(record);
                    next += 1;
                }
                let in_log = (first + logged).saturating_sub(from).min(ready.len() as u64) as usize;
                self.keep(ready, in_log)?;
                if next == end {
                    break;
                }
                let Some(record) = self.pool.next(&self.table, self.store, self.observer)? else {
                    return Ok(Status::Paused);
                };
                finished.insert(record.id, record);
            }
            for id in first..end {
                self.tell(fold, id)?;
            }
            if self.observer.interrupted() {
                return Ok(Status::Paused);
            }
        }
    }

    fn as_they_come(&mut self, fold: &mut Fold) -> Result<Status, SessionError> {
        let mut flight: BTreeMap<u64, Task> = BTreeMap::new();
        let mut live = false;
        loop {
            while flight.len() < self.plan.batch {
                let Some(task) = self.ask(fold, 1)?.pop() else {
                    break;
                };
                match fold.seen.get(&key(&task.params)) {
                    Some(&earlier) => self.repeat_at_once(fold, &task, earlier)?,
                    None => {
                        if live {
                            self.pool.submit(vec![task.clone()], self.store, self.observer);
                        }
                        flight.insert(task.id, task);
                    }
                }
            }
            if flight.is_empty() {
                return Ok(Status::Done);
            }
            let next = self.log.as_slice().first().map(|record| record.id);
            let (record, logged) = match next.and_then(|id| flight.get(&id)) {
                Some(task) => (self.take_logged(&task.clone())?, 1),
                None if next.is_some() => {
                    let (id, why) = (next.unwrap_or(0), "was not on its way when it ended");
                    return Err(SessionError::Differs { id, why });
                }
                None => (None, 0),
            };
            let record = match record {
                Some(record) => record,
                None => {
                    if !live {
                        live = true;
                        let tasks = flight.values().cloned().collect();
                        self.pool.submit(tasks, self.store, self.observer);
                    }
                    match self.pool.next(&self.table, self.store, self.observer)? {
                        Some(record) => record,
                        None => return Ok(Status::Paused),
                    }
                }
            };
            let id = record.id;
            self.progress.resumed += logged as u64;
            self.keep(vec![record], logged)?;
            if let Some(task) = flight.remove(&id) {
                fold.seen.insert(key(&task.params), id);
            }
            self.tell(fold, id)?;
        }
    }

    fn repeat_at_once(&mut self, fold: &mut Fold, task: &Task, earlier: u64) -> Result<(), SessionError> {
        let (record, logged) = match self.take_logged(task)? {
            Some(record) => (Some(record), 1),
            None => (self.table.get(earlier).map(|record| repeat(task, record)), 0),
        };
        self.keep(record.into_iter().collect(), logged)?;
        self.tell(fold, task.id)
    }

    /// The log's record for a task, when that is the next one in it.
    fn take_logged(&mut self, task: &Task) -> Result<Option<Record>, SessionError> {
        match self.log.as_slice().first() {
            None => Ok(None),
            Some(record) if pool::answers(task, record) => Ok(self.log.next()),
            Some(record) => {
                let why = if record.id == task.id {
                    "has other parameters there"
                } else {
                    "is not the next one there"
                };
                Err(SessionError::Differs { id: task.id, why })
            }
        }
    }

    /// Takes records into the table; the first `logged` are in the log already.
    fn keep(&mut self, records: Vec<Record>, logged: usize) -> Result<(), SessionError> {
        if records.is_empty() {
            return Ok(());
        }
        if logged < records.len() {
            self.store.append(&records[logged..])?;
        }
        for record in records {
            self.progress.trials += 1;
            self.progress.pruned += u64::from(record.state == State::Pruned);
            self.progress.failed += u64::from(record.state == State::Failed);
            self.progress.repeated += u64::from(record.same_as.is_some());
            if record.state == State::Complete
                && let Some(value) = record.value
                && self.progress.best.is_none_or(|(_, best)| value > best)
            {
                self.progress.best = Some((record.id, value));
            }
            self.table.push(record);
        }
        self.progress.workers = self.pool.workers();
        self.observer.progress(&self.progress);
        Ok(())
    }

    fn tell(&mut self, fold: &mut Fold, id: u64) -> Result<(), SessionError> {
        let Some(record) = self.table.get(id) else {
            return Ok(());
        };
        let outcome = match (record.state, record.value) {
            (State::Complete, Some(value)) => study::Outcome::Complete(value),
            (State::Pruned, _) => study::Outcome::Pruned(record.rungs.last().copied()),
            _ => study::Outcome::Failed,
        };
        fold.study.tell(id - fold.base, outcome)?;
        if record.same_as.is_none() && !record.rungs.is_empty() {
            fold.reached.push(record.rungs.clone());
        }
        Ok(())
    }
}

fn key(params: &Params) -> String {
    // Parameters are finite numbers, words and truth values: they have a JSON.
    serde_json::to_string(params).unwrap_or_default()
}

/// The answer of an earlier trial to the same question.
fn repeat(task: &Task, earlier: &Record) -> Record {
    Record {
        id: task.id,
        same_as: Some(earlier.same_as.unwrap_or(earlier.id)),
        ..earlier.clone()
    }
}
