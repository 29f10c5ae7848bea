//! A worker: takes a session's tasks from its store, evaluates them, and hands the records in.
//!
//! It decides nothing and keeps nothing: whatever is lost with it is evaluated again by another, and comes out the same.
//!
//! - *Invariant:* a task is leased before it is begun, and its lease is prolonged while it runs; a worker that dies keeps
//!   nobody waiting longer than a lease.
//! - *Invariant:* no wait is without end: without a store or a coordinator the worker gives up after
//!   [`Terms::patience`].

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rayon::ScopeFifo;
use thiserror::Error;

use super::log;
use super::session::{Evaluate, answers, checked, folder};
use super::store::link::{Address, Claimed, Link, LinkError};
use super::trial::Task;

/// How often an idle worker looks for tasks and for Ctrl-C.
const GLANCE: Duration = Duration::from_millis(200);
/// How often a worker with a free thread looks for another task while others run.
const POLL: Duration = Duration::from_millis(5);
/// First and longest pause before a lost store is tried again.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Threads that evaluate.
    pub threads: usize,
    /// How long a task is its own unless it says again that it is at it.
    pub lease: Duration,
    /// How long to wait for a store or a coordinator that has gone.
    pub patience: Duration,
}

/// Why a worker stopped.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The store could not be reached for too long.
    #[error("{address}: {source}; gave up after {seconds} s")]
    Unreachable {
        /// The store.
        address: String,
        /// The last thing that went wrong.
        source: LinkError,
        /// How long it was tried.
        seconds: u64,
    },
    /// Nobody coordinates the session.
    #[error("session {id} has had no coordinator for {seconds} s; `crossbook tune --resume {id}` goes on with it")]
    Orphaned {
        /// The session.
        id: String,
        /// How long it was waited.
        seconds: u64,
    },
    /// A task that cannot be read: another version wrote it.
    #[error("a task of session {id} cannot be read: {why}")]
    Task {
        /// The session.
        id: String,
        /// What is wrong.
        why: String,
    },
    /// An evaluation broke an assumption of the program.
    #[error("{0}: this is a fault of the program")]
    Panicked(String),
    /// There is no thread to be had.
    #[error("threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The session is done.
    Done,
    /// Ctrl-C; its leases were given back.
    Interrupted,
}

/// Who watches a worker.
pub trait Observer {
    /// So many trials were handed in.
    fn handed_in(&mut self, trials: u64);
    /// Something that the user should know.
    fn note(&mut self, text: &str);
    /// Whether to stop.
    fn interrupted(&mut self) -> bool;
}

/// A name that no other worker has.
pub fn name() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let pid = std::process::id();
    let hash = blake3::hash(format!("{pid} {now:?}").as_bytes()).to_hex();
    format!("{}-{pid}-{}", folder::host(), &hash[..6])
}

enum Message {
    Evaluated { id: u64, entry: String, record: String },
    Panicked(String),
}

struct Worker<'w, 's, 'env> {
    scope: &'s ScopeFifo<'env>,
    evaluate: Evaluate<'env>,
    stop: &'env AtomicBool,
    sender: Sender<Message>,
    received: Receiver<Message>,
    name: String,
    address: &'w Address,
    id: &'w str,
    identity: &'w str,
    terms: &'w Terms,
    observer: &'w mut dyn Observer,
    link: Option<Link>,
    wait: Duration,
    retry_at: Instant,
    /// When store and coordinator were last seen.
    seen_at: Instant,
    told_down: bool,
    /// Tasks in hand.
    running: BTreeSet<u64>,
    finished: BTreeMap<u64, (String, String)>,
    renew_at: Instant,
    handed_in: u64,
}

/// Works on a session until it is done.
///
/// # Errors
/// See [`WorkerError`].
pub fn run(
    address: &Address,
    id: &str,
    identity: &str,
    terms: &Terms,
    evaluate: Evaluate<'_>,
    observer: &mut dyn Observer,
) -> Result<End, WorkerError> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(terms.threads.max(1))
        .build()?;
    let stop = AtomicBool::new(false);
    let (sender, received) = channel();
    let now = Instant::now();
    threads.in_place_scope_fifo(|scope| {
        let mut worker = Worker {
            scope,
            evaluate,
            stop: &stop,
            sender,
            received,
            name: name(),
            address,
            id,
            identity,
            terms,
            observer,
            link: None,
            wait: WAITS.0,
            retry_at: now,
            seen_at: now,
            told_down: false,
            running: BTreeSet::new(),
            finished: BTreeMap::new(),
            renew_at: now,
            handed_in: 0,
        };
        let end = worker.work();
        stop.store(true, Ordering::Relaxed);
        if end.is_ok()
            && let Some(link) = &mut worker.link
        {
            // What cannot be given back is taken over when its lease ends.
            let _ = link.give_back(&worker.name);
        }
        end
    })
}

impl Worker<'_, '_, '_> {
    fn work(&mut self) -> Result<End, WorkerError> {
        loop {
            if self.observer.interrupted() {
                return Ok(End::Interrupted);
            }
            match self.round() {
                Ok(None) => {}
                Ok(Some(end)) => return Ok(end),
                Err(Stop::Link(error)) => self.lost(error)?,
                Err(Stop::Worker(error)) => return Err(error),
            }
        }
    }

    fn round(&mut self) -> Result<Option<End>, Stop> {
        let Some(mut link) = self.linked()? else {
            self.listen(GLANCE.min(self.retry_at.saturating_duration_since(Instant::now())))?;
            return Ok(None);
        };
        // On an error the link is dropped: a connection that failed once is not used again.
        let end = self.exchange(&mut link)?;
        self.link = Some(link);
        Ok(end)
    }

    fn linked(&mut self) -> Result<Option<Link>, Stop> {
        if let Some(link) = self.link.take() {
            return Ok(Some(link));
        }
        if Instant::now() < self.retry_at {
            return Ok(None);
        }
        Ok(Some(Link::open(self.address, self.id, self.identity)?))
    }

    fn exchange(&mut self, link: &mut Link) -> Result<Option<End>, Stop> {
        if !self.finished.is_empty() {
            let results: Vec<(u64, String, String)> = self
                .finished
                .iter()
                .map(|(id, (entry, record))| (*id, entry.clone(), record.clone()))
                .collect();
            link.submit(&self.name, &results)?;
            self.handed_in += results.len() as u64;
            self.finished.clear();
            self.observer.handed_in(self.handed_in);
        }
        let free = self.terms.threads.max(1).saturating_sub(self.running.len());
        let beat = self.terms.lease;
        if free > 0 {
            let (status, claimed) = link.claim(&self.name, free, self.terms.lease, beat)?;
            self.in_touch();
            match status.as_str() {
                "done" => return Ok(Some(End::Done)),
                "running" => self.seen_at = Instant::now(),
                _ if self.seen_at.elapsed() > self.terms.patience => {
                    return Err(Stop::Worker(WorkerError::Orphaned {
                        id: self.id.to_owned(),
                        seconds: self.terms.patience.as_secs(),
                    }));
                }
                _ => {}
            }
            for claimed in claimed {
                self.start(claimed)?;
            }
        }
        if Instant::now() >= self.renew_at {
            self.renew_at = Instant::now() + self.terms.lease / 3;
            let lost = link.renew(&self.name, self.terms.lease, beat, self.running.iter().copied())?;
            for id in lost {
                self.observer.note(&format!(
                    "the lease on trial {id} went to another worker; its result is handed in all the same"
                ));
            }
        }
        if self.running.is_empty() {
            link.wait_for_offer(GLANCE)?;
        } else {
            let free = self.running.len() < self.terms.threads.max(1);
            self.listen(if free { POLL } else { GLANCE })?;
        }
        Ok(None)
    }

    fn in_touch(&mut self) {
        self.wait = WAITS.0;
        if self.told_down {
            self.told_down = false;
            self.observer.note(&format!("{}: in touch again", self.address));
        }
    }

    fn lost(&mut self, error: LinkError) -> Result<(), WorkerError> {
        if self.seen_at.elapsed() > self.terms.patience {
            return Err(WorkerError::Unreachable {
                address: self.address.plain(),
                source: error,
                seconds: self.terms.patience.as_secs(),
            });
        }
        if !self.told_down {
            self.told_down = true;
            self.observer.note(&format!("{}: {error}; trying again", self.address));
        }
        self.retry_at = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(WAITS.1);
        Ok(())
    }

    fn start(&mut self, claimed: Claimed) -> Result<(), Stop> {
        let task: Task = serde_json::from_str(&claimed.task).map_err(|error| {
            Stop::Worker(WorkerError::Task {
                id: self.id.to_owned(),
                why: error.to_string(),
            })
        })?;
        // Taken over from itself, after a pause as long as a lease.
        if !self.running.insert(claimed.id) {
            return Ok(());
        }
        let (sender, evaluate, stop) = (self.sender.clone(), self.evaluate, self.stop);
        self.scope.spawn_fifo(move |_| {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let message = match catch_unwind(AssertUnwindSafe(|| checked(&task, evaluate(&task)))) {
                Ok(record) => match log::canonical(&record) {
                    Ok(json) if answers(&task, &record) => Message::Evaluated {
                        id: claimed.id,
                        entry: claimed.entry,
                        record: json,
                    },
                    Ok(_) => Message::Panicked(format!("trial {}: the record is of another task", task.id)),
                    Err(error) => Message::Panicked(format!("trial {}: {error}", task.id)),
                },
                Err(_) => Message::Panicked(format!("trial {} panicked", task.id)),
            };
            // Nobody listens any more when the worker was ended meanwhile.
            let _ = sender.send(message);
        });
        Ok(())
    }

    /// Waits for results of its threads.
    fn listen(&mut self, patience: Duration) -> Result<(), Stop> {
        let mut message = match self.received.recv_timeout(patience.max(Duration::from_millis(1))) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
        };
        loop {
            match message {
                Message::Evaluated { id, entry, record } => {
                    self.running.remove(&id);
                    self.finished.insert(id, (entry, record));
                }
                Message::Panicked(what) => return Err(Stop::Worker(WorkerError::Panicked(what))),
            }
            match self.received.try_recv() {
                Ok(next) => message = next,
                Err(_) => return Ok(()),
            }
        }
    }
}

enum Stop {
    Link(LinkError),
    Worker(WorkerError),
}

impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Stop {
        Stop::Link(error)
    }
}
