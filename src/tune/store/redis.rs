//! The store that other processes can work on: the log, and a copy of it in a Redis with tasks for workers.
//!
//! A thread of its own, the courier, talks to Redis, so that a slow or absent one never holds a trial up. It follows the
//! log file and copies what is new; a Redis that comes back empty is copied to from the first line, and tasks that it lost
//! are offered again. Losing it is told once, and tried again after [`FIRST_WAIT`], twice that, and so on up to
//! [`LAST_WAIT`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use thiserror::Error;

use super::link::{Address, Attached, Identity, Link, LinkError, Received};
use super::{Event, Status, Store};
use crate::tune::log::{LogError, Tail, TrialLog, parse_line};
use crate::tune::trial::{Record, State, Task};

/// First pause before a lost Redis is tried again.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Longest such pause.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// How long a session waits at its end for the copy to be complete.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often results are asked for while tasks are with workers, and how often when some came a moment ago.
const POLL: Duration = Duration::from_millis(5);
const POLL_SOON: Duration = Duration::from_millis(1);
/// How often the coordinator shows that it is alive and looks for workers.
const BEAT: Duration = Duration::from_millis(250);
/// After so long without one, a coordinator is taken for dead.
const LIFE: Duration = Duration::from_secs(10);
/// How often it is checked that every task on offer is really there.
const AUDIT: Duration = Duration::from_secs(1);
/// Lines and bytes of the log that are copied by one call.
const CHUNK: (usize, usize) = (128, 1 << 20);
/// The name that the coordinator claims tasks under.
pub const COORDINATOR: &str = "coordinator";

/// What a coordinator brings to a store.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where.
    pub address: Address,
    /// The session's id.
    pub id: String,
    /// What the session is.
    pub identity: Identity,
    /// Who the coordinator is: the same for every life of a coordinator in one folder on one host, whose lock on the log
    /// proves that an earlier life is over.
    pub home: String,
    /// A trial is given up when so many workers were lost on it.
    pub attempts: u32,
    /// How long a lease of the coordinator lasts unless prolonged.
    pub lease: Duration,
    /// Whether the session may be there already.
    pub resume: bool,
}

/// Why a session cannot begin with this store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The id is taken.
    #[error("{address}: another session goes by the id {id} there; take another --id, or --env")]
    Other {
        /// The store.
        address: String,
        /// The id.
        id: String,
    },
    /// The session is there, and was not meant to be gone on with.
    #[error("{address}: session {id} is there already; go on with it with --resume {id}, or take another --id")]
    Exists {
        /// The store.
        address: String,
        /// The id.
        id: String,
    },
    /// Somebody else works on it.
    #[error("{address}: another coordinator works on session {id}; if it is dead, try again in {seconds} s")]
    Busy {
        /// The store.
        address: String,
        /// The id.
        id: String,
        /// When it may be taken for dead.
        seconds: u64,
    },
    /// The copy is of another table.
    #[error(
        "{address}: trial {line} of session {id} is another one than in {log}; the log is the truth: delete the session there"
    )]
    Differs {
        /// The store.
        address: String,
        /// The id.
        id: String,
        /// The line, from 1.
        line: u64,
        /// The log.
        log: String,
    },
    /// The session is only to be had from the store, and that cannot be reached; or it wants another password.
    #[error("{address}: {source}")]
    Unreachable {
        /// The store.
        address: String,
        /// What went wrong.
        source: LinkError,
    },
    /// The store does not have the session.
    #[error("{address}: no session {id} there")]
    Missing {
        /// The store.
        address: String,
        /// The id.
        id: String,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The text of a session's `session.toml`, and its identity, from a store.
///
/// # Errors
/// When the store cannot be reached, or does not have it.
pub fn fetch(address: &Address, id: &str) -> Result<Identity, StoreError> {
    let unreachable = |source| StoreError::Unreachable {
        address: address.plain(),
        source,
    };
    let mut link = Link::open(address, id, "").map_err(unreachable)?;
    let hash = link.field("identity").map_err(unreachable)?;
    let session = link.field("session").map_err(unreachable)?;
    match (hash, session) {
        (Some(hash), Some(session)) => Ok(Identity { hash, session }),
        _ => Err(StoreError::Missing {
            address: address.plain(),
            id: id.to_owned(),
        }),
    }
}

/// How a session ends: its status, figures to keep with it, and whom to tell what is missing.
type Farewell = (Status, Vec<(&'static str, String)>, Sender<Option<String>>);

enum Order {
    Grown(Vec<u64>),
    Offer(Vec<(u64, String)>),
    Claim(usize),
    Finish(Farewell),
}

/// See the module.
pub struct RedisStore {
    log: TrialLog,
    orders: Sender<Order>,
    address: Address,
}

impl RedisStore {
    /// Begins with the records of the log. A Redis that holds more of the same table than the log (the machine lost power
    /// before the log was on disk, or the folder is gone) gives them to the log and to `records` first. One that cannot be
    /// reached is told by an [`Event::Down`].
    ///
    /// # Errors
    /// When what Redis holds under that id is not this session, or it wants another password.
    pub fn open(
        setup: Setup,
        mut log: TrialLog,
        records: &mut Vec<Record>,
        events: Sender<Event>,
    ) -> Result<RedisStore, StoreError> {
        let tail = Tail::open(log.path()).map_err(|source| LogError::Io {
            path: log.path().to_owned(),
            source,
        })?;
        let address = setup.address.clone();
        let mut courier = Courier::new(setup, tail, events);
        let begun = courier.begin(&mut log, records)?;
        if let Err(error) = begun {
            courier.down(&error);
        }
        let (orders, received) = channel();
        thread::spawn(move || courier.run(&received));
        Ok(RedisStore { log, orders, address })
    }
}

impl Store for RedisStore {
    fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.log.append(records)?;
        // The courier lives as long as this channel; it cannot be gone.
        let _ = self
            .orders
            .send(Order::Grown(records.iter().map(|record| record.id).collect()));
        Ok(())
    }

    fn offer(&mut self, tasks: &[Task]) {
        let json = |task: &Task| serde_json::to_string(task).ok().map(|text| (task.id, text));
        let _ = self.orders.send(Order::Offer(tasks.iter().filter_map(json).collect()));
    }

    fn claim(&mut self, count: usize) {
        let _ = self.orders.send(Order::Claim(count));
    }

    fn finish(&mut self, status: Status, figures: &[(&'static str, String)]) -> Result<Option<String>, LogError> {
        self.log.sync()?;
        let (reply, answer) = channel();
        let _ = self.orders.send(Order::Finish((status, figures.to_vec(), reply)));
        Ok(match answer.recv_timeout(FAREWELL) {
            Ok(missing) => missing,
            Err(_) => Some(format!("{} does not answer; its copy may lack trials", self.address)),
        })
    }
}

/// What the copy needs of a line.
#[derive(Deserialize)]
struct Head {
    record: HeadRecord,
}

#[derive(Deserialize)]
struct HeadRecord {
    id: u64,
    state: State,
    value: Option<f64>,
}

struct Courier {
    setup: Setup,
    tail: Tail,
    events: Sender<Event>,
    link: Option<Link>,
    /// Nothing more is to be done there: it holds something else, or another coordinator.
    ended: bool,
    told_down: bool,
    wait: Duration,
    retry_at: Instant,
    /// Trials of each end among the lines copied.
    pruned: u64,
    failed: u64,
    /// Tasks on offer, as JSON.
    open: BTreeMap<u64, String>,
    unoffered: BTreeSet<u64>,
    /// Tasks that the coordinator holds leases on.
    held: BTreeSet<u64>,
    wanted: usize,
    /// Entries of results that were passed on, by trial.
    delivered: BTreeMap<u64, Vec<String>>,
    after: String,
    /// Whether tasks or results were ever there.
    touched: bool,
    unsettled: Vec<u64>,
    workers: usize,
    beat_at: Instant,
    audit_at: Instant,
    renew_at: Instant,
    empty_grant_at: Instant,
    /// When the last result came in.
    received_at: Instant,
    farewell: Option<Farewell>,
}

impl Courier {
    fn new(setup: Setup, tail: Tail, events: Sender<Event>) -> Courier {
        let now = Instant::now();
        Courier {
            setup,
            tail,
            events,
            link: None,
            ended: false,
            told_down: false,
            wait: FIRST_WAIT,
            retry_at: now,
            pruned: 0,
            failed: 0,
            open: BTreeMap::new(),
            unoffered: BTreeSet::new(),
            held: BTreeSet::new(),
            wanted: 0,
            delivered: BTreeMap::new(),
            after: "0-0".to_owned(),
            touched: false,
            unsettled: Vec::new(),
            workers: 0,
            beat_at: now,
            audit_at: now,
            renew_at: now,
            empty_grant_at: now,
            received_at: now,
            farewell: None,
        }
    }

    /// The first attachment: what stands against the session is an error, a Redis that is away is not.
    fn begin(&mut self, log: &mut TrialLog, records: &mut Vec<Record>) -> Result<Result<(), LinkError>, StoreError> {
        let address = self.setup.address.plain();
        let id = self.setup.id.clone();
        let mut link = match Link::open(&self.setup.address, &id, &self.setup.identity.hash) {
            Ok(link) => link,
            Err(source) if source.is_refusal() => return Err(StoreError::Unreachable { address, source }),
            Err(error) => return Ok(Err(error)),
        };
        if !self.setup.resume {
            match link.field("identity") {
                Ok(Some(_)) => return Err(StoreError::Exists { address, id }),
                Ok(None) => {}
                Err(source) if source.is_refusal() => return Err(StoreError::Unreachable { address, source }),
                Err(error) => return Ok(Err(error)),
            }
        }
        let attached = link.attach(&self.setup.home, LIFE, self.setup.attempts, &self.setup.identity);
        let (held, last, left) = match attached {
            Ok(Attached::Ours { lines, last, left }) => (lines, last, left),
            Ok(Attached::Other) => return Err(StoreError::Other { address, id }),
            Ok(Attached::Busy(ms)) => {
                let seconds = ms.div_ceil(1000);
                return Err(StoreError::Busy { address, id, seconds });
            }
            Err(source) if source.is_refusal() => return Err(StoreError::Unreachable { address, source }),
            Err(error) => return Ok(Err(error)),
        };
        self.touched |= left;
        let path = log.path().to_owned();
        let differs = |line| StoreError::Differs {
            address: address.clone(),
            id: id.clone(),
            line,
            log: path.display().to_string(),
        };
        let failed = |source| LogError::Io {
            path: path.clone(),
            source,
        };
        let shared = held.min(log.lines());
        let mine = self.pass_to(shared).map_err(failed)?;
        let theirs = if held <= shared {
            last
        } else {
            match link.lines(shared.saturating_sub(1)) {
                Ok(lines) if shared > 0 => lines.into_iter().next().unwrap_or_default(),
                Ok(_) => String::new(),
                Err(error) => return Ok(Err(error)),
            }
        };
        if shared > 0 && theirs != mine {
            return Err(differs(shared));
        }
        while log.lines() < held {
            let lines = match link.lines(log.lines()) {
                Ok(lines) if lines.is_empty() => break,
                Ok(lines) => lines,
                Err(error) => return Ok(Err(error)),
            };
            let parsed: Result<Vec<Record>, String> = lines.iter().map(|line| parse_line(line.as_bytes())).collect();
            let Ok(parsed) = parsed else {
                return Err(differs(log.lines() + 1));
            };
            log.append(&parsed)?;
            records.extend(parsed);
        }
        self.pass_to(held).map_err(failed)?;
        self.link = Some(link);
        Ok(Ok(()))
    }

    fn run(mut self, orders: &Receiver<Order>) {
        let mut cycled_at = Instant::now();
        loop {
            let now = Instant::now();
            let pause = if self.link.is_none() {
                self.retry_at.saturating_duration_since(now).min(LAST_WAIT)
            } else if self.open.is_empty() {
                self.beat_at.saturating_duration_since(now)
            } else if self.received_at.elapsed() < BEAT {
                POLL_SOON
            } else {
                POLL
            };
            match orders.recv_timeout(pause.max(Duration::from_millis(1))) {
                Ok(order) => self.take(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Trials can come faster than a call is worth: those of a moment go together.
            if self.link.is_some() && self.farewell.is_none() {
                thread::sleep(POLL_SOON.saturating_sub(cycled_at.elapsed()));
            }
            while let Ok(order) = orders.try_recv() {
                self.take(order);
            }
            let worked = self.cycle();
            cycled_at = Instant::now();
            if let Some((status, figures, reply)) = self.farewell.take() {
                let _ = reply.send(self.leave(status, &figures, worked));
                return;
            }
            if let Err(error) = worked {
                self.down(&error);
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Grown(ids) => {
                for id in ids {
                    let offered = self.open.remove(&id).is_some();
                    self.unoffered.remove(&id);
                    self.held.remove(&id);
                    if offered || self.touched {
                        self.unsettled.push(id);
                    }
                }
            }
            Order::Offer(tasks) => {
                self.unoffered.extend(tasks.iter().map(|(id, _)| *id));
                self.open.extend(tasks);
            }
            Order::Claim(count) => self.wanted += count,
            Order::Finish(farewell) => self.farewell = Some(farewell),
        }
    }

    /// One round of whatever there is to do. Nothing when Redis is away and it is not time to try again.
    fn cycle(&mut self) -> Result<(), LinkError> {
        if self.ended {
            return Ok(());
        }
        let mut link = match self.link.take() {
            Some(link) => link,
            None if Instant::now() < self.retry_at && self.farewell.is_none() => return Ok(()),
            None => match self.connect()? {
                Some(link) => link,
                None => return Ok(()),
            },
        };
        let done = match self.work(&mut link) {
            // It was emptied under our feet: begin there anew at once.
            Err(LinkError::Gone) => {
                drop(link);
                match self.connect()? {
                    Some(again) => {
                        link = again;
                        self.work(&mut link)
                    }
                    None => return Ok(()),
                }
            }
            done => done,
        };
        if done.is_ok() {
            self.link = Some(link);
        }
        done
    }

    /// Attaches anew: copies what is lacking, and offers again what is open.
    fn connect(&mut self) -> Result<Option<Link>, LinkError> {
        let mut link = Link::open(&self.setup.address, &self.setup.id, &self.setup.identity.hash)?;
        let attached = link.attach(&self.setup.home, LIFE, self.setup.attempts, &self.setup.identity)?;
        let (lines, last) = match attached {
            Attached::Ours { lines, last, .. } => (lines, last),
            Attached::Other => return Ok(self.end("another session has taken this id there")),
            Attached::Busy(_) => return Ok(self.end("another coordinator works on this session there")),
        };
        let mine = self.pass_to(lines);
        if !matches!(mine, Ok(mine) if mine == last && self.tail.line() == lines) {
            return Ok(self.end("what it holds of this session is not what the log holds"));
        }
        self.touched = true;
        self.unoffered = self.open.keys().copied().collect();
        self.delivered.clear();
        "0-0".clone_into(&mut self.after);
        self.held.clear();
        let lacked = self.copy(&mut link)?;
        self.wait = FIRST_WAIT;
        self.told_down = false;
        let told = format!("{}: in touch; {lacked} trials written there", self.setup.address);
        let _ = self.events.send(Event::Up(told));
        Ok(Some(link))
    }

    fn end(&mut self, why: &str) -> Option<Link> {
        self.ended = true;
        self.told_down = true;
        let told = format!("{}: {why}; the session goes on without it", self.setup.address);
        let _ = self.events.send(Event::Down(told));
        None
    }

    fn down(&mut self, error: &LinkError) {
        self.link = None;
        self.held.clear();
        self.wanted = 0;
        self.workers = 0;
        self.retry_at = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(LAST_WAIT);
        if !self.told_down {
            self.told_down = true;
            let told = format!(
                "{}: {error}; the session goes on with its log alone and will try again",
                self.setup.address
            );
            let _ = self.events.send(Event::Down(told));
        }
    }

    fn work(&mut self, link: &mut Link) -> Result<(), LinkError> {
        self.copy(link)?;
        if !self.unsettled.is_empty() {
            let entries = |id: &u64| self.delivered.remove(id).unwrap_or_default();
            let entries: Vec<String> = self.unsettled.iter().flat_map(entries).collect();
            link.settle(&self.unsettled, &entries)?;
            self.unsettled.clear();
        }
        if !self.unoffered.is_empty() {
            let open = |id: &u64| self.open.get(id).map(|task| (*id, task.as_str()));
            link.offer(self.unoffered.iter().filter_map(open))?;
            self.unoffered.clear();
            self.touched = true;
        }
        let now = Instant::now();
        if self.wanted > 0 && !self.open.is_empty() {
            let (_, claimed) = link.claim(COORDINATOR, self.wanted, self.setup.lease, Duration::ZERO)?;
            self.wanted = self.wanted.saturating_sub(claimed.len());
            if !claimed.is_empty() || now >= self.empty_grant_at {
                self.empty_grant_at = now + BEAT / 2;
                let ids: Vec<u64> = claimed.iter().map(|claimed| claimed.id).collect();
                self.held.extend(&ids);
                let _ = self.events.send(Event::Granted(ids));
            }
        }
        if !self.held.is_empty() && now >= self.renew_at {
            self.renew_at = now + self.setup.lease / 3;
            let lease = self.setup.lease;
            link.renew(COORDINATOR, lease, Duration::ZERO, self.held.iter().copied())?;
        }
        if !self.open.is_empty() || now >= self.beat_at {
            self.beat_at = now + BEAT;
            self.collect(link, now)?;
        }
        Ok(())
    }

    fn collect(&mut self, link: &mut Link, now: Instant) -> Result<(), LinkError> {
        let audit = !self.open.is_empty() && now >= self.audit_at;
        let collected = link.collect(&self.setup.home, LIFE, &self.after, audit)?;
        if collected.workers != self.workers {
            self.workers = collected.workers;
            let _ = self.events.send(Event::Workers(self.workers));
        }
        let all = collected.received.len() < 256;
        if !collected.received.is_empty() {
            self.received_at = now;
        }
        for received in collected.received {
            self.pass_on(received);
        }
        if audit && all {
            self.audit_at = now + AUDIT;
            let on_offer: BTreeSet<u64> = collected.on_offer.into_iter().collect();
            let lost = |id: &&u64| !on_offer.contains(id) && !self.delivered.contains_key(id);
            self.unoffered.extend(self.open.keys().filter(lost));
        }
        // With nobody attached, and nobody to claim for here, tasks whose last worker died would never be given up.
        if audit && self.workers == 0 && self.wanted == 0 {
            link.claim(COORDINATOR, 0, self.setup.lease, Duration::ZERO)?;
        }
        Ok(())
    }

    fn pass_on(&mut self, received: Received) {
        self.after.clone_from(&received.entry);
        self.delivered.entry(received.id).or_default().push(received.entry);
        if !self.open.contains_key(&received.id) {
            // Late, or of an earlier life: settled with the next batch, or when that trial is in the log.
            self.unsettled.push(received.id);
        }
        let (id, worker) = (received.id, received.worker);
        let event = match received.record {
            Some(record) => Event::Delivered { id, worker, record },
            None => Event::Lost { id, workers: worker },
        };
        let _ = self.events.send(event);
    }

    /// Copies what the log has gained; gives the number of lines.
    fn copy(&mut self, link: &mut Link) -> Result<u64, LinkError> {
        let mut copied = 0;
        loop {
            let lines = self.tail.peek(CHUNK.0, CHUNK.1).map_err(unreadable)?;
            if lines.is_empty() {
                return Ok(copied);
            }
            let mut rows = Vec::with_capacity(lines.len());
            let (mut pruned, mut failed) = (self.pruned, self.failed);
            for line in &lines {
                let head = head(line)?;
                pruned += u64::from(head.state == State::Pruned);
                failed += u64::from(head.state == State::Failed);
                let value = head.value.filter(|_| head.state == State::Complete);
                rows.push((line.clone(), head.id, value));
            }
            let progress = [
                ("trials", (self.tail.line() + lines.len() as u64).to_string()),
                ("pruned", pruned.to_string()),
                ("failed", failed.to_string()),
            ];
            match link.push(self.tail.line(), &rows, &progress)? {
                None => {
                    self.tail.pass(&lines);
                    (self.pruned, self.failed) = (pruned, failed);
                    copied += lines.len() as u64;
                }
                // An answer that was lost on its way: the lines are there. Anything else is sorted out by attaching anew.
                Some(_) => return Err(LinkError::Gone),
            }
        }
    }

    /// Moves in the log to where `lines` lines are passed (or to its end), and gives the last one passed.
    fn pass_to(&mut self, lines: u64) -> std::io::Result<String> {
        self.tail.rewind();
        (self.pruned, self.failed) = (0, 0);
        let mut last = String::new();
        while self.tail.line() < lines {
            let left = usize::try_from(lines - self.tail.line()).unwrap_or(usize::MAX);
            let passed = self.tail.peek(left.min(CHUNK.0), CHUNK.1)?;
            for line in &passed {
                if let Ok(head) = head(line) {
                    self.pruned += u64::from(head.state == State::Pruned);
                    self.failed += u64::from(head.state == State::Failed);
                }
            }
            self.tail.pass(&passed);
            match passed.into_iter().last() {
                Some(line) => last = line,
                None => break,
            }
        }
        Ok(last)
    }

    /// Says what is missing there, if anything.
    fn leave(
        &mut self,
        status: Status,
        figures: &[(&'static str, String)],
        worked: Result<(), LinkError>,
    ) -> Option<String> {
        let address = &self.setup.address;
        let lacks = |why: &dyn std::fmt::Display| {
            Some(format!(
                "{address}: {why}; the copy there is not complete (--resume completes it)"
            ))
        };
        if let Err(error) = worked {
            return lacks(&error);
        }
        let Some(link) = &mut self.link else {
            return lacks(&"no connection");
        };
        let status = match status {
            Status::Done => "done",
            Status::Paused => "paused",
        };
        match link.finish(&self.setup.home, status, figures) {
            Ok(()) => None,
            Err(error) => lacks(&error),
        }
    }
}

fn head(line: &str) -> Result<HeadRecord, LinkError> {
    let head: Head = serde_json::from_str(line).map_err(|error| unreadable(error.into()))?;
    Ok(head.record)
}

fn unreadable(error: std::io::Error) -> LinkError {
    LinkError::Content(format!("the log cannot be read back: {error}"))
}
