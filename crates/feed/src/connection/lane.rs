//! A place for one connection: keeps it occupied, and when its connection grows old makes the next one first.
//!
//! What always holds: at most one connection serves and at most one more is being made; an old one that was taken over
//! from ends without an error; a failure is followed by a wait, and every wait is longer than the one before until a
//! connection was live for `stable_ms`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use crossbook_engine::rng::Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::ConnNumbers;
use super::backoff::Backoff;
use super::counts::{Counters, add};
use super::dial::Dial;
use super::life::{Ended, Life, Order, Report, Shared};
use super::subscribe::Plan;
use crate::error::{FeedError, Remedy};
use crate::input::{ConnId, LinkEvent};

/// A stream that stayed silent in so many connections in a row, while others spoke, is not waited for any more: one dead
/// market must not keep a hundred from being live. Its book says by itself that it is not.
const SILENT_MOST: u32 = 3;

struct Held {
    conn: ConnId,
    orders: watch::Sender<Order>,
}

impl Held {
    fn order(&self, order: Order) {
        self.orders.send_replace(order);
    }
}

pub(super) struct Lane<D> {
    shared: Arc<Shared<D>>,
    plan: Arc<Plan>,
    counters: Arc<Counters>,
    numbers: ConnNumbers,
    tickets: Rng,
    backoff: Backoff,
    silent: BTreeMap<String, u32>,

    tasks: JoinSet<(ConnId, Ended)>,
    tell: mpsc::Sender<(ConnId, Report)>,
    told: mpsc::Receiver<(ConnId, Report)>,
    /// The one that serves, or is being made when there is none to serve.
    current: Option<Held>,
    /// The one that is to take over from it.
    next: Option<Held>,
    /// Those that were taken over from, and are ending.
    old: Vec<Held>,
    /// When to make a connection. Nothing is made without it.
    start_at: Option<Instant>,
    /// Failures to be told. As long as there are any nothing new is tried, so there is never more than one a connection.
    untold: VecDeque<(ConnId, LinkEvent)>,
}

impl<D: Dial> Lane<D> {
    pub fn new(shared: Arc<Shared<D>>, plan: Plan, counters: Arc<Counters>, numbers: ConnNumbers, rng: Rng) -> Lane<D> {
        let mut tickets = rng;
        let (tell, told) = mpsc::channel(8);
        let backoff = Backoff::new(
            &shared.config.timers,
            Rng::stream(tickets.next_u64(), "feed.connection.backoff"),
        );
        Lane {
            shared,
            plan: Arc::new(plan),
            counters,
            numbers,
            tickets,
            backoff,
            silent: BTreeMap::new(),
            tasks: JoinSet::new(),
            tell,
            told,
            current: None,
            next: None,
            old: Vec::new(),
            start_at: Some(Instant::now()),
            untold: VecDeque::new(),
        }
    }

    /// Runs until `give_up` is closed, or nobody reads what comes in.
    pub async fn run(mut self, mut give_up: mpsc::Receiver<(ConnId, FeedError)>) {
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                order = give_up.recv() => match order {
                    Some((conn, error)) => self.give_up(conn, &error),
                    None => break,
                },
                Some(joined) = self.tasks.join_next() => {
                    let (conn, ended) = finished(joined);
                    if ended.unread {
                        break;
                    }
                    self.ended(conn, ended);
                }
                Some((conn, report)) = self.told.recv() => self.heard(conn, report),
                permit = shared.out.reserve(), if !self.untold.is_empty() => {
                    let Ok(permit) = permit else { break };
                    if let Some((conn, event)) = self.untold.pop_front() {
                        permit.send(shared.link(conn, event));
                    }
                }
                () = sleep_until(self.start_at.unwrap_or_else(Instant::now)),
                    if self.start_at.is_some() && self.untold.is_empty() => self.start(),
            }
        }
        for held in self.held() {
            held.order(Order::Stop);
        }
        while let Some(joined) = self.tasks.join_next().await {
            finished(joined);
        }
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        self.current.iter().chain(&self.next).chain(&self.old)
    }

    fn start(&mut self) {
        self.start_at = None;
        let conn = self.numbers.next();
        let takes_over = self.current.as_ref().map(|held| held.conn);
        let (orders, listen) = watch::channel(Order::Run { takes_over });
        let life = Life {
            shared: Arc::clone(&self.shared),
            plan: Arc::clone(&self.plan),
            counters: Arc::clone(&self.counters),
            conn,
            ticket: format!("crossbook-{}-{:016x}", conn.0, self.tickets.next_u64()),
            unheard: self.unheard(),
            orders: listen,
            reports: self.tell.clone(),
        };
        self.tasks.spawn(async move { (conn, life.run().await) });
        let held = Some(Held { conn, orders });
        if self.current.is_some() {
            self.next = held;
        } else {
            self.current = held;
        }
    }

    fn unheard(&self) -> BTreeSet<String> {
        let long = self.silent.iter().filter(|&(_, &count)| count >= SILENT_MOST);
        long.map(|(stream, _)| stream.clone()).collect()
    }

    fn give_up(&self, conn: ConnId, error: &FeedError) {
        if let Some(held) = self.held().find(|held| held.conn == conn) {
            held.order(Order::GiveUp(error.clone()));
        }
    }

    fn heard(&mut self, conn: ConnId, report: Report) {
        let is = |held: &Option<Held>| held.as_ref().is_some_and(|held| held.conn == conn);
        match report {
            Report::Live if is(&self.next) => {
                let overlap = Duration::from_millis(self.shared.config.timers.overlap_ms);
                // Had one to end before, it ends now: two may overlap, not three.
                for held in &self.old {
                    held.order(Order::Superseded(Instant::now()));
                }
                if let Some(held) = self.current.take() {
                    held.order(Order::Superseded(Instant::now() + overlap));
                    self.old.push(held);
                }
                self.current = self.next.take();
                add(&self.counters.replaced, 1);
            }
            Report::Replace if is(&self.current) && self.next.is_none() && self.start_at.is_none() => {
                self.start_at = Some(Instant::now());
            }
            Report::Live | Report::Replace => {}
        }
    }

    fn ended(&mut self, conn: ConnId, ended: Ended) {
        // What it said before its end comes first.
        while let Ok((conn, report)) = self.told.try_recv() {
            self.heard(conn, report);
        }
        if let Some(at) = self.old.iter().position(|held| held.conn == conn) {
            self.old.swap_remove(at);
            return;
        }
        let Some(error) = ended.error else { return };
        self.counters.end(&error);
        self.note_silent(ended.silent);
        let stable = Duration::from_millis(self.shared.config.timers.stable_ms);
        if ended.lived.is_some_and(|lived| lived >= stable) {
            self.backoff.reset();
        }
        let mut wait = self.backoff.fail();
        if let Remedy::Wait(told) = error.remedy() {
            self.shared.gate.hold(told);
            wait = wait.max(told);
        }
        if !ended.opened {
            let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let attempt = self.backoff.failures();
            self.untold.push_back((
                conn,
                LinkEvent::Failed {
                    attempt,
                    error,
                    retry_ms,
                },
            ));
        }
        if self.next.as_ref().is_some_and(|held| held.conn == conn) {
            self.next = None;
        } else {
            self.current = self.next.take();
            if let Some(next) = &self.current {
                // It was to take over from one that is gone; it serves as soon as it can, and nothing else is made.
                next.order(Order::Run { takes_over: None });
                return;
            }
        }
        self.start_at = Some(Instant::now() + wait);
    }

    fn note_silent(&mut self, silent: BTreeSet<String>) {
        self.silent
            .retain(|stream, count| *count >= SILENT_MOST || silent.contains(stream));
        for stream in silent {
            let count = self.silent.entry(stream).or_insert(0);
            *count += 1;
            if *count == SILENT_MOST {
                add(&self.counters.unheard, 1);
            }
        }
    }
}

/// A connection's last word; a panic in it is a bug, and ends this task too.
fn finished(joined: Result<(ConnId, Ended), JoinError>) -> (ConnId, Ended) {
    match joined {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Nobody cancels a connection but the drop of its lane.
            Err(_) => (ConnId(u32::MAX), Ended::default()),
        },
    }
}
