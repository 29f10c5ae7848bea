//! The journal as an event loop sees it: records go in without waiting for the disk, and what became of them is told.
//!
//! Two threads: one packs and writes, one makes durable. A disk that takes seconds for an fsync so delays neither the
//! loop nor the kernel's copy of what came in. The queue between is bounded in bytes: when it is full, [`Journal::push`]
//! waits, the inputs behind it wait in their own bounded queue, and the connections say that they lost data.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::lock::Lock;
use super::record::{Record, weight};
use super::segments::{Segments, ToSync, Totals};
use super::storage::Storage;
use super::{About, JournalConfig, JournalError, io_error};
use crate::clock::Stamp;

/// A journal being written.
#[derive(Debug)]
pub struct Journal {
    queue: Option<Sender<(Instant, Record)>>,
    room: Arc<Semaphore>,
    most_room: u32,
    shared: Arc<Shared>,
    failure: watch::Receiver<Option<JournalError>>,
    thread: Option<JoinHandle<()>>,
}

/// How far writing has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Records handed to the kernel.
    pub written: u64,
    /// Of them, how many are known to be on the disk.
    pub synced: u64,
    /// Bytes of blocks before packing.
    pub unpacked_bytes: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
    /// Blocks.
    pub blocks: u64,
    /// Segments begun.
    pub segments: u64,
    /// Bytes that wait to be written, and how many there is room for.
    pub queued_bytes: u64,
    /// See [`Status::queued_bytes`].
    pub queue_bytes: u64,
    /// The longest that a record of the last block had waited when the kernel had it.
    pub write_lag: Duration,
    /// The largest of these.
    pub most_write_lag: Duration,
    /// The longest that a record had waited when the last fsync returned.
    pub sync_lag: Duration,
    /// The largest of these.
    pub most_sync_lag: Duration,
}

#[derive(Debug)]
struct Shared {
    status: Mutex<Status>,
    failure: watch::Sender<Option<JournalError>>,
}

impl Shared {
    fn update(&self, change: impl FnOnce(&mut Status)) {
        // Plain numbers: whoever panicked left nothing half done.
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The first failure is the one that counts: what follows are its consequences.
    fn fail(&self, error: JournalError) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(error);
            first
        });
    }
}

impl Journal {
    /// Takes the folder, making it if need be, and begins a segment in it. `start` is the time of its first record.
    ///
    /// # Errors
    /// When another recorder has the folder, or the system refuses.
    pub fn open(
        dir: &Path,
        about: About,
        config: &JournalConfig,
        storage: Arc<dyn Storage>,
        start: Stamp,
    ) -> Result<Journal, JournalError> {
        std::fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let lock = Lock::take(dir, &format!("process {}, run {}", std::process::id(), about.run))?;
        let mut segments = Segments::begin(dir, storage.clone(), about, config, start)?;
        let (failed, failure) = watch::channel(None);
        let shared = Arc::new(Shared {
            status: Mutex::new(Status::default()),
            failure: failed,
        });
        let most_room = u32::try_from(config.queue_bytes).unwrap_or(u32::MAX);
        let room = Arc::new(Semaphore::new(most_room as usize));
        let (queue, records) = channel();
        let work = Work {
            flush_after: Duration::from_millis(config.flush_ms),
            sync_after: Duration::from_millis(config.sync_ms),
            room: room.clone(),
            most_room,
            shared: shared.clone(),
            oldest: None,
            synced_at: Instant::now(),
            unsynced: None,
            _lock: lock,
        };
        work.tell(segments.totals(), None);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || work.run(&records, &mut segments, storage))
            .map_err(io_error("start the thread that writes", dir))?;
        Ok(Journal {
            queue: Some(queue),
            room,
            most_room,
            shared,
            failure,
            thread: Some(thread),
        })
    }

    /// Takes a record. Waits only when [`JournalConfig::queue_bytes`] wait to be written.
    ///
    /// # Errors
    /// The failure that stopped the journal, at this record or before it.
    pub async fn push(&self, record: Record) -> Result<(), JournalError> {
        self.check()?;
        let taken = share(&record, self.most_room);
        let mut failure = self.failure.clone();
        let room = tokio::select! {
            biased;
            room = self.room.acquire_many(taken) => room,
            _ = failure.wait_for(Option::is_some) => return self.check(),
        };
        room.map_err(|_| JournalError::Closed)?.forget();
        match &self.queue {
            Some(queue) if queue.send((Instant::now(), record)).is_ok() => Ok(()),
            _ => self.check().and(Err(JournalError::Closed)),
        }
    }

    /// How far writing has come.
    pub fn status(&self) -> Status {
        let mut status = *self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.queue_bytes = u64::from(self.most_room);
        status.queued_bytes = status.queue_bytes.saturating_sub(self.room.available_permits() as u64);
        status
    }

    /// Waits until the journal fails; never returns when it does not.
    pub async fn failed(&self) -> JournalError {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(error)) => error,
            _ => std::future::pending().await,
        }
    }

    /// Writes everything, makes it durable and closes the segment in order.
    ///
    /// # Errors
    /// What stopped the journal, now or before.
    pub async fn close(mut self) -> Result<Status, JournalError> {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                return Err(JournalError::Closed);
            }
        }
        self.check()?;
        Ok(self.status())
    }

    fn check(&self) -> Result<(), JournalError> {
        match &*self.failure.borrow() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

/// What a record takes of the room in the queue. One that is larger than the whole room takes all of it.
fn share(record: &Record, most: u32) -> u32 {
    u32::try_from(weight(&record.item)).unwrap_or(u32::MAX).min(most)
}

/// The thread that packs and writes.
struct Work {
    flush_after: Duration,
    sync_after: Duration,
    room: Arc<Semaphore>,
    most_room: u32,
    shared: Arc<Shared>,
    /// When the oldest record of the block in the making was taken.
    oldest: Option<Instant>,
    synced_at: Instant,
    /// When the oldest record was taken that no fsync was asked for yet.
    unsynced: Option<Instant>,
    /// Goes when the last byte is written, not when nobody waits for it any more.
    _lock: Lock,
}

/// An fsync to be done, and what it makes durable.
struct SyncJob {
    what: ToSync,
    written: u64,
    oldest: Option<Instant>,
}

impl Work {
    fn run(mut self, records: &Receiver<(Instant, Record)>, segments: &mut Segments, storage: Arc<dyn Storage>) {
        let (jobs, to_do) = channel::<SyncJob>();
        let (done, answers) = channel();
        let shared = self.shared.clone();
        let syncer = std::thread::Builder::new()
            .name("journal fsync".to_owned())
            .spawn(move || sync_all(&to_do, &done, &shared, storage.as_ref()));
        let syncer = match syncer {
            Ok(syncer) => syncer,
            Err(source) => {
                self.shared.fail(JournalError::Io {
                    action: "start the thread that makes durable",
                    path: PathBuf::from("."),
                    source: Arc::new(source),
                });
                return;
            }
        };
        let written = self.write_all(records, segments, &jobs, &answers);
        if let Err(error) = written {
            self.shared.fail(error);
        } else {
            self.ask_for_sync(segments, &jobs);
        }
        drop(jobs);
        // Returns when the last fsync has; a panic there is a failure to make durable.
        if syncer.join().is_err() {
            self.shared.fail(JournalError::Closed);
        }
    }

    /// Until the queue is closed and empty.
    fn write_all(
        &mut self,
        records: &Receiver<(Instant, Record)>,
        segments: &mut Segments,
        jobs: &Sender<SyncJob>,
        answers: &Receiver<()>,
    ) -> Result<(), JournalError> {
        let mut syncing = false;
        loop {
            if answers.try_recv().is_ok() {
                syncing = false;
            }
            // One fsync at a time: a slow disk is asked again when it has answered.
            if !syncing && self.synced_at.elapsed() >= self.sync_after && self.unsynced.is_some() {
                self.ask_for_sync(segments, jobs);
                syncing = true;
            }
            if self.oldest.is_some_and(|oldest| oldest.elapsed() >= self.flush_after) {
                segments.flush()?;
                self.flushed(segments.totals());
            }
            let patience = match self.oldest {
                Some(oldest) => self.flush_after.saturating_sub(oldest.elapsed()),
                None => self.flush_after,
            };
            match records.recv_timeout(patience) {
                Ok((taken, record)) => {
                    let share = share(&record, self.most_room);
                    if segments.push(&record)? {
                        self.flushed(segments.totals());
                    }
                    if segments.has_waiting() {
                        self.oldest.get_or_insert(taken);
                    }
                    self.unsynced.get_or_insert(taken);
                    self.room.add_permits(share as usize);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    segments.close()?;
                    self.flushed(segments.totals());
                    return Ok(());
                }
            }
            if self.shared.failure.borrow().is_some() {
                return Ok(());
            }
        }
    }

    fn flushed(&mut self, totals: Totals) {
        let lag = self.oldest.take().map(|oldest| oldest.elapsed());
        self.tell(totals, lag);
    }

    fn tell(&self, totals: Totals, lag: Option<Duration>) {
        self.shared.update(|status| {
            status.written = totals.records;
            status.unpacked_bytes = totals.unpacked_bytes;
            status.file_bytes = totals.file_bytes;
            status.blocks = totals.blocks;
            status.segments = totals.segments;
            if let Some(lag) = lag {
                status.write_lag = lag;
                status.most_write_lag = status.most_write_lag.max(lag);
            }
        });
    }

    fn ask_for_sync(&mut self, segments: &mut Segments, jobs: &Sender<SyncJob>) {
        let job = SyncJob {
            what: segments.take_sync(),
            written: segments.totals().records,
            // What waits in the block is not part of it, so its age must go on counting.
            oldest: std::mem::replace(&mut self.unsynced, self.oldest),
        };
        self.synced_at = Instant::now();
        // When the other end is gone it has failed, which is looked at with every record.
        let _ = jobs.send(job);
    }
}

/// The thread that makes durable. A failure is final: what an fsync has once refused, a second one that succeeds does not
/// bring back.
fn sync_all(jobs: &Receiver<SyncJob>, done: &Sender<()>, shared: &Shared, storage: &dyn Storage) {
    for job in jobs {
        for (path, file) in &job.what.files {
            if let Err(source) = file.sync() {
                return shared.fail(io_error("fsync", path)(source));
            }
        }
        if let Some(dir) = &job.what.dir
            && let Err(source) = storage.sync_dir(dir)
        {
            return shared.fail(io_error("fsync", dir)(source));
        }
        let lag = job.oldest.map(|oldest| oldest.elapsed());
        shared.update(|status| {
            status.synced = job.written;
            if let Some(lag) = lag {
                status.sync_lag = lag;
                status.most_sync_lag = status.most_sync_lag.max(lag);
            }
        });
        // Nobody waits for it when the journal is being closed.
        let _ = done.send(());
    }
}
