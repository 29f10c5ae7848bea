//! Where a session's table is kept, and how other processes come to work on it.
//!
//! [`FileStore`] is the log in the session's folder and nothing else. [`redis::RedisStore`] writes that same log first and
//! copies it to a Redis, where workers find tasks and leave results.
//!
//! - *Invariant:* a trial is in the log before anything else is told of it. What a store elsewhere holds can be lost at any
//!   time and costs nothing but the work of its workers.
//! - *Invariant:* a store decides nothing: which trials there are, and in which order they count, is the session's
//!   business, so no store, worker or delay can be seen in a result.

pub mod link;
pub mod redis;

use super::log::{LogError, TrialLog};
use super::trial::{Record, Task};

/// What reaches a session from its threads and its store.
#[derive(Debug)]
pub enum Event {
    /// A thread of this process evaluated a trial.
    Evaluated(Box<Record>),
    /// A thread of this process panicked on a trial.
    Panicked(String),
    /// The store grants tasks that were claimed with [`Store::claim`], perhaps none for now.
    Granted(Vec<u64>),
    /// A worker handed a record in, as JSON.
    Delivered {
        /// Number of the trial.
        id: u64,
        /// Who did.
        worker: String,
        /// The record.
        record: String,
    },
    /// A trial was given up: these workers were lost on it.
    Lost {
        /// Number of the trial.
        id: u64,
        /// Their names, with commas.
        workers: String,
    },
    /// So many workers are attached.
    Workers(usize),
    /// The store cannot be reached, or refuses; the session goes on without.
    Down(String),
    /// It is back (or there for the first time), and what it lacked was written again.
    Up(String),
}

/// How a session stands when its coordinator leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Every trial is evaluated.
    Done,
    /// To be resumed.
    Paused,
}

/// A session's store, as its coordinator sees it. No call waits for another process.
pub trait Store {
    /// Adds trials to the table, in this order.
    ///
    /// # Errors
    /// When the log cannot be written.
    fn append(&mut self, records: &[Record]) -> Result<(), LogError>;

    /// Offers tasks to workers.
    fn offer(&mut self, tasks: &[Task]);

    /// Asks for so many more of the offered tasks, to be evaluated here; answered by [`Event::Granted`].
    fn claim(&mut self, count: usize);

    /// Ends the session's life here, with its final figures by name. Waits a bounded time for the copy to be complete and
    /// says what is missing.
    ///
    /// # Errors
    /// When the log cannot be forced to disk.
    fn finish(&mut self, status: Status, figures: &[(&'static str, String)]) -> Result<Option<String>, LogError>;
}

/// The store that is a folder: the log is all there is.
#[derive(Debug)]
pub struct FileStore(pub TrialLog);

impl Store for FileStore {
    fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.0.append(records)
    }

    fn offer(&mut self, _: &[Task]) {}

    fn claim(&mut self, _: usize) {}

    fn finish(&mut self, _: Status, _: &[(&'static str, String)]) -> Result<Option<String>, LogError> {
        self.0.sync().map(|()| None)
    }
}
