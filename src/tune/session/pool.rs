//! Where a session's trials are evaluated: on threads of this process, and by workers elsewhere when there are any.
//!
//! Evaluation is pure, so it matters to no result where a trial runs, nor whether it runs twice: what comes in first
//! counts, and what comes in later must be the same.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rayon::ScopeFifo;

use super::{Evaluate, Observer, SessionError, Table};
use crate::tune::log;
use crate::tune::store::{Event, Store};
use crate::tune::trial::{Record, State, Task};

/// How often a Ctrl-C is looked for.
const GLANCE: Duration = Duration::from_millis(50);
/// A store that has not answered a claim for so long is left alone, and its tasks are evaluated here.
const PATIENCE: Duration = Duration::from_secs(1);
/// For so long a slow store is not asked again.
const REST: Duration = Duration::from_secs(10);
/// Tasks handed to each thread ahead of time, so that none waits for the next.
const AHEAD: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To be evaluated here.
    Queued,
    /// With a thread of this process.
    Running,
    /// On offer to workers.
    Offered,
}

pub struct Pool<'s, 'env> {
    scope: &'s ScopeFifo<'env>,
    evaluate: Evaluate<'env>,
    stop: &'env AtomicBool,
    threads: usize,
    events: Sender<Event>,
    received: Receiver<Event>,
    open: BTreeMap<u64, (Task, Place)>,
    queue: VecDeque<u64>,
    ready: VecDeque<Record>,
    running: usize,
    /// Claims that the store has not answered, and since when.
    requested: usize,
    asked_at: Instant,
    connected: bool,
    /// Until then the store is too slow to share work by it.
    slow_until: Option<Instant>,
    workers: usize,
    /// Results of trials that were not asked yet: an earlier life of this session offered them.
    early: BTreeMap<u64, (String, String)>,
    /// Results that differ from the one that was counted.
    pub disagreements: u64,
}

impl<'s, 'env> Pool<'s, 'env> {
    pub fn new(
        scope: &'s ScopeFifo<'env>,
        evaluate: Evaluate<'env>,
        stop: &'env AtomicBool,
        threads: usize,
        (events, received): (Sender<Event>, Receiver<Event>),
    ) -> Self {
        Pool {
            scope,
            evaluate,
            stop,
            threads,
            events,
            received,
            open: BTreeMap::new(),
            queue: VecDeque::new(),
            ready: VecDeque::new(),
            running: 0,
            requested: 0,
            asked_at: Instant::now(),
            connected: true,
            slow_until: None,
            workers: 0,
            early: BTreeMap::new(),
            disagreements: 0,
        }
    }

    /// Workers attached, as far as is known.
    pub fn workers(&self) -> usize {
        self.workers
    }

    fn shared(&self) -> bool {
        let rested = self.slow_until.is_none_or(|until| Instant::now() >= until);
        self.threads == 0 || (self.connected && self.workers > 0 && rested)
    }

    /// Has tasks evaluated; [`next`](Pool::next) gives the results, in any order.
    pub fn submit(&mut self, tasks: Vec<Task>, store: &mut dyn Store, observer: &mut dyn Observer) {
        let shared = self.shared();
        let mut offered = Vec::new();
        for task in tasks {
            let early = self.early.remove(&task.id);
            if let Some(record) = early.and_then(|(worker, record)| accept(&task, &worker, &record, observer)) {
                self.ready.push_back(record);
                continue;
            }
            let place = if shared {
                offered.push(task.clone());
                Place::Offered
            } else {
                self.queue.push_back(task.id);
                Place::Queued
            };
            self.open.insert(task.id, (task, place));
        }
        if !offered.is_empty() {
            store.offer(&offered);
        }
    }

    /// Waits for the next result; `None` on Ctrl-C.
    ///
    /// # Errors
    /// When an evaluation panicked.
    pub fn next(
        &mut self,
        table: &Table,
        store: &mut dyn Store,
        observer: &mut dyn Observer,
    ) -> Result<Option<Record>, SessionError> {
        loop {
            if observer.interrupted() {
                self.stop.store(true, Ordering::Relaxed);
                return Ok(None);
            }
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            self.feed(store, observer);
            let event = match self.received.recv_timeout(GLANCE) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => continue,
            };
            if let Some(record) = self.heed(event, table, store, observer)? {
                return Ok(Some(record));
            }
        }
    }

    /// Gives the threads work.
    fn feed(&mut self, store: &mut dyn Store, observer: &mut dyn Observer) {
        while self.running < self.threads * AHEAD
            && let Some(id) = self.queue.pop_front()
        {
            self.start(id);
        }
        let offered = self.open.len() > self.running + self.queue.len();
        if !offered || self.threads == 0 || !self.connected {
            return;
        }
        let busy = self.running + self.queue.len() + self.requested;
        if busy < self.threads {
            if self.requested == 0 {
                self.asked_at = Instant::now();
            }
            self.requested += self.threads - busy;
            store.claim(self.threads - busy);
        }
        if self.requested > 0 && self.running == 0 && self.asked_at.elapsed() > PATIENCE {
            if self.slow_until.is_none() {
                observer.note("the store is slow to answer: trials are evaluated here until it is not");
            }
            self.slow_until = Some(Instant::now() + REST);
            self.take_home();
        }
    }

    fn start(&mut self, id: u64) {
        let Some((task, place)) = self.open.get_mut(&id) else {
            return;
        };
        *place = Place::Running;
        self.running += 1;
        let (task, events, evaluate, stop) = (task.clone(), self.events.clone(), self.evaluate, self.stop);
        self.scope.spawn_fifo(move |_| {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let event = match catch_unwind(AssertUnwindSafe(|| evaluate(&task))) {
                Ok(record) => Event::Evaluated(Box::new(record)),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panic");
                    Event::Panicked(format!("trial {}: {text}", task.id))
                }
            };
            // Nobody listens any more when the session was ended meanwhile.
            let _ = events.send(event);
        });
    }

    /// Takes all that is on offer to the threads of this process.
    fn take_home(&mut self) {
        self.requested = 0;
        if self.threads == 0 {
            return;
        }
        for (id, (_, place)) in &mut self.open {
            if *place == Place::Offered {
                *place = Place::Queued;
                self.queue.push_back(*id);
            }
        }
    }

    /// Gives the record when the event brought one that counts.
    fn heed(
        &mut self,
        event: Event,
        table: &Table,
        store: &mut dyn Store,
        observer: &mut dyn Observer,
    ) -> Result<Option<Record>, SessionError> {
        match event {
            Event::Evaluated(record) => {
                self.running -= 1;
                if let Some((task, _)) = self.open.remove(&record.id) {
                    return Ok(Some(checked(&task, *record)));
                }
                if let Ok(json) = log::canonical(&record) {
                    self.compare(record.id, "this process", &json, table, observer);
                }
            }
            Event::Panicked(what) => return Err(SessionError::Panicked(what)),
            Event::Granted(ids) => {
                self.requested = self.requested.saturating_sub(ids.len());
                self.asked_at = Instant::now();
                for id in ids {
                    if matches!(self.open.get(&id), Some((_, Place::Offered))) {
                        self.start(id);
                    }
                }
            }
            Event::Delivered { id, worker, record } => match self.open.get(&id) {
                Some((task, place)) => {
                    let (place, accepted) = (*place, accept(task, &worker, &record, observer));
                    if accepted.is_some() {
                        self.open.remove(&id);
                        self.queue.retain(|queued| *queued != id);
                        return Ok(accepted);
                    }
                    if place == Place::Offered
                        && let Some((task, place)) = self.open.get_mut(&id)
                    {
                        if self.threads > 0 {
                            *place = Place::Queued;
                            self.queue.push_back(id);
                        } else {
                            store.offer(std::slice::from_ref(task));
                        }
                    }
                }
                None if table.get(id).is_some() => self.compare(id, &worker, &record, table, observer),
                None => {
                    self.early.insert(id, (worker, record));
                }
            },
            Event::Lost { id, workers } => {
                // Evaluated here after all, or an echo of an earlier life.
                if matches!(self.open.get(&id), Some((_, Place::Offered)))
                    && let Some((task, _)) = self.open.remove(&id)
                {
                    let count = workers.split(',').count();
                    observer.note(&format!("trial {id} is given up: workers were lost on it: {workers}"));
                    let were = if count == 1 { "worker was" } else { "workers were" };
                    return Ok(Some(Record::failed(
                        &task,
                        format!("given up: {count} {were} lost on it"),
                    )));
                }
            }
            Event::Workers(count) => {
                self.workers = count;
                if self.shared() {
                    self.share(store);
                }
            }
            Event::Down(what) => {
                observer.note(&what);
                self.connected = false;
                self.workers = 0;
                self.take_home();
            }
            Event::Up(what) => {
                observer.note(&what);
                self.connected = true;
            }
        }
        Ok(None)
    }

    /// Offers what waits here, now that there are workers.
    fn share(&mut self, store: &mut dyn Store) {
        let mut offered = Vec::new();
        for id in self.queue.drain(..) {
            if let Some((task, place)) = self.open.get_mut(&id) {
                *place = Place::Offered;
                offered.push(task.clone());
            }
        }
        if !offered.is_empty() {
            store.offer(&offered);
        }
    }

    /// A trial is evaluated a second time when a lease went to another. The same question has one answer; another one is
    /// said aloud.
    fn compare(&mut self, id: u64, worker: &str, late: &str, table: &Table, observer: &mut dyn Observer) {
        let Some(counted) = table.get(id) else {
            return;
        };
        // A trial that was given up, or answered from the table, has no result of its own to compare with.
        if counted.state == State::Failed || counted.same_as.is_some() {
            return;
        }
        if log::canonical(counted).as_deref() != Ok(late) {
            self.disagreements += 1;
            observer.note(&format!(
                "RESULTS DISAGREE: {worker} came to another result for trial {id} than the one that counts; \
                 is it the same program on the same data?"
            ));
        }
    }
}

/// The record that a worker handed in, if it answers the task.
fn accept(task: &Task, worker: &str, json: &str, observer: &mut dyn Observer) -> Option<Record> {
    let wrong = match serde_json::from_str::<Record>(json) {
        Ok(record) if answers(task, &record) => return Some(checked(task, record)),
        Ok(_) => "it answers another question".to_owned(),
        Err(error) => error.to_string(),
    };
    observer.note(&format!(
        "the result of {worker} for trial {} is not taken: {wrong}",
        task.id
    ));
    None
}

/// Whether a record is one of this task.
pub fn answers(task: &Task, record: &Record) -> bool {
    (record.id, record.fold, &record.params) == (task.id, task.fold, &task.params)
}

/// A record whose numbers JSON cannot hold counts as failed.
pub fn checked(task: &Task, record: Record) -> Record {
    if record.is_finite() {
        record
    } else {
        Record::failed(task, "a figure is not a finite number".to_owned())
    }
}
