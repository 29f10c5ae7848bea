//! A venue's REST interface as a source of inputs: answers what books ask for, and polls when nothing is pushed.
//!
//! Every [`Request`] that a command brings ends in exactly one answer, at the latest when its time is over; one that waits
//! already is not put in the queue a second time. Requests of books go before polls, in the order in which they came.
//! Nothing is sent without a permit of the host's budgets; while the venue told us to wait for longer than a request may
//! take, requests are answered with that at once instead of standing in a queue.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::client::Client;
use super::limits::{Held, Permit};
use super::polls::Polls;
use super::requests::Ask;
use super::rule::Purpose;
use crate::clock::Stamp;
use crate::error::FeedError;
use crate::input::{Answer, Body, Command, Input, InputSender, Provider, Request, VenueIx};
use crate::venue::{DataSource, Protocol, VenueConfig};

/// Requests that wait; one more is refused.
const MOST_WAITING: usize = 4_096;

/// Requests under way at a time, and polls among them.
const MOST_UNDER_WAY: usize = 8;
const MOST_POLLS_UNDER_WAY: usize = 4;

/// Markets in one request to Upbit: an answer of 30 levels each stays near 100 KB.
const MARKETS_IN_ONE: usize = 30;

/// The clock is measured this many times at the start, a second apart, before it is measured every `clock_ms`.
const QUICK_MEASURES: u32 = 4;

/// A venue's REST interface.
#[derive(Debug)]
pub struct RestProvider {
    client: Client,
    venue: VenueIx,
    config: VenueConfig,
    markets: Vec<String>,
}

impl RestProvider {
    /// Polls these markets when it is told to, or from the start with `data_source = "rest"`.
    pub fn new(client: Client, venue: VenueIx, config: VenueConfig, markets: Vec<String>) -> RestProvider {
        RestProvider {
            client,
            venue,
            config,
            markets,
        }
    }
}

impl Provider for RestProvider {
    fn run(
        self: Box<Self>,
        out: InputSender,
        commands: UnboundedReceiver<Command>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Desk::new(*self).run(out, commands))
    }
}

/// What is waiting and what is under way.
struct Desk {
    provider: RestProvider,
    waiting: VecDeque<Request>,
    polls: Polls,
    /// Polls are behind, which has been said.
    late: bool,
    clock_due: Option<Instant>,
    measures: u32,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    polls_under_way: usize,
}

/// Why something was sent.
#[derive(Debug)]
enum Job {
    Fetch(Request),
    Poll(usize, Request),
    Clock,
}

struct Ended {
    job: Job,
    outcome: Result<Answer, FeedError>,
    stamp: Stamp,
}

/// What came of looking for something to send.
#[derive(Default)]
struct Sent {
    /// When to look again, if nothing happens before.
    wake: Option<Instant>,
    /// What cannot be sent in time.
    refused: Vec<(Request, FeedError)>,
    /// Groups in which something waits that goes first.
    blocked: Vec<&'static str>,
}

impl Sent {
    fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

impl Desk {
    fn new(provider: RestProvider) -> Desk {
        let config = &provider.config;
        let levels = config.poll_levels();
        let round = config.polled(&provider.markets, MARKETS_IN_ONE).into_iter();
        let polls = Polls::new(
            round
                .map(|request| {
                    let ask = Ask::of(config.protocol, &request, levels);
                    (request, ask)
                })
                .collect(),
            Duration::from_millis(config.rest.poll_ms.max(1)),
            provider.client.limits().shares(Purpose::Poll),
            &config.timers,
        );
        Desk {
            waiting: VecDeque::new(),
            polls,
            late: false,
            clock_due: (config.rest.clock_ms > 0).then(Instant::now),
            measures: 0,
            under_way: FuturesUnordered::new(),
            polls_under_way: 0,
            provider,
        }
    }

    async fn run(mut self, out: InputSender, mut commands: UnboundedReceiver<Command>) {
        if self.provider.config.data_source == DataSource::Rest {
            self.poll(true);
        }
        let client = self.provider.client.clone();
        loop {
            let mut freed = pin!(client.limits().freed());
            let sent = self.send_what_can_be();
            let refused = !sent.refused.is_empty();
            for (request, error) in sent.refused {
                if out.send(self.answer(request, Err(error), None)).await.is_err() {
                    return;
                }
            }
            if refused {
                continue;
            }
            let wake = sent.wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
            let inputs = tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                Some(ended) = self.under_way.next() => self.ended(ended),
                () = &mut freed => Vec::new(),
                () = sleep_until(wake) => Vec::new(),
            };
            // A full queue is waited for: nothing is lost, and nothing more is asked for meanwhile.
            for input in inputs {
                if out.send(input).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Takes a command; answers to what there is no room for.
    fn command(&mut self, command: Command) -> Vec<Input> {
        let mut refused = Vec::new();
        if command.venue() != Some(self.provider.venue) {
            return refused;
        }
        match command {
            Command::Fetch { request, .. } => {
                for request in self.singly(request) {
                    if self.waiting.contains(&request) {
                        continue;
                    }
                    if self.waiting.len() >= MOST_WAITING {
                        refused.push(self.answer(request, Err(FeedError::Overflow(0)), None));
                    } else {
                        self.waiting.push_back(request);
                    }
                }
            }
            Command::Poll { on, .. } => self.poll(on),
            Command::Reconnect { .. } => {}
        }
        refused
    }

    /// Binance tells of one book at a time, so a request of several is that many requests.
    fn singly(&self, request: Request) -> Vec<Request> {
        match (self.provider.config.protocol, request) {
            (Protocol::BinanceSpot | Protocol::BinanceUsdm, Request::Books(markets)) if markets.len() > 1 => {
                markets.into_iter().map(|market| Request::Books(vec![market])).collect()
            }
            (_, request) => vec![request],
        }
    }

    fn poll(&mut self, on: bool) {
        if !self.polls.switch(on, Instant::now()) {
            return;
        }
        if on {
            self.say_pace();
        } else {
            tracing::info!("{}: polling ends", self.provider.config.name);
        }
    }

    fn say_pace(&self) {
        let (venue, wanted) = (&self.provider.config.name, self.provider.config.rest.poll_ms);
        let (requests, every) = self.polls.pace();
        let every = every.as_millis();
        if every > u128::from(wanted) {
            tracing::warn!(
                "{venue}: polling {requests} requests every {every} ms instead of {wanted} ms, which is what the limits \
                 allow: books are up to {every} ms old"
            );
        } else {
            tracing::info!("{venue}: polling {requests} requests every {every} ms");
        }
    }

    /// Sends all that may be sent now.
    fn send_what_can_be(&mut self) -> Sent {
        let mut sent = Sent::default();
        // The venue may have stated other limits since.
        let shares = self.provider.client.limits().shares(Purpose::Poll);
        if self.polls.keep_to(&shares, Instant::now()) && self.polls.is_on() {
            self.say_pace();
        }
        self.send_fetches(&mut sent);
        self.send_polls(&mut sent);
        self.measure_clock(&mut sent);
        sent
    }

    fn send_fetches(&mut self, sent: &mut Sent) {
        let patience = self.provider.client.timeout();
        let levels = self.provider.config.fetch_levels();
        for _ in 0..self.waiting.len() {
            let Some(request) = self.waiting.pop_front() else { break };
            let ask = Ask::of(self.provider.config.protocol, &request, levels);
            let full = self.under_way.len() >= MOST_UNDER_WAY;
            if full || sent.blocked.contains(&ask.group) {
                sent.blocked.push(ask.group);
                self.waiting.push_back(request);
                continue;
            }
            match self.permit(&ask, Purpose::Fetch, sent) {
                Ok(permit) => self.start(Job::Fetch(request), ask, permit),
                Err(held) => match held.limited(Instant::now() + patience) {
                    Some(error) => sent.refused.push((request, error)),
                    None => self.waiting.push_back(request),
                },
            }
        }
    }

    fn send_polls(&mut self, sent: &mut Sent) {
        while self.polls_under_way < MOST_POLLS_UNDER_WAY && self.under_way.len() < MOST_UNDER_WAY {
            let now = Instant::now();
            let Some((at, due)) = self.polls.next() else {
                break;
            };
            if due > now {
                sent.wake_at(due);
                break;
            }
            let Some((request, ask)) = self.polls.get(at).map(|(request, ask)| (request.clone(), ask.clone())) else {
                break;
            };
            if sent.blocked.contains(&ask.group) {
                break;
            }
            if let Ok(permit) = self.permit(&ask, Purpose::Poll, sent) {
                let late = self.polls.sent(at, now);
                self.say_late(late);
                self.polls_under_way += 1;
                self.start(Job::Poll(at, request), ask, permit);
            }
        }
    }

    fn measure_clock(&mut self, sent: &mut Sent) {
        let Some(due) = self.clock_due else { return };
        if due > Instant::now() {
            sent.wake_at(due);
            return;
        }
        let market = self.provider.markets.first().map_or("", String::as_str);
        let ask = Ask::time(self.provider.config.protocol, market);
        if let Ok(permit) = self.permit(&ask, Purpose::Poll, sent) {
            self.clock_due = None;
            self.start(Job::Clock, ask, permit);
        }
    }

    /// A permit, or when to ask again and what has to wait behind.
    fn permit(&self, ask: &Ask, purpose: Purpose, sent: &mut Sent) -> Result<Permit, Held> {
        let limits = self.provider.client.limits();
        limits.try_acquire(ask.group, ask.weight, purpose).inspect_err(|held| {
            if let Some(until) = held.until {
                sent.wake_at(until);
            }
            sent.blocked.push(ask.group);
        })
    }

    /// Says once that polls fall behind their beat, and once that they no longer do.
    fn say_late(&mut self, late: Duration) {
        let much = late > Duration::from_millis(self.provider.config.rest.poll_ms.max(1_000));
        if much != self.late {
            self.late = much;
            let (venue, late) = (&self.provider.config.name, late.as_millis());
            match much {
                true => tracing::warn!("{venue}: polls are {late} ms behind, and their data that much older"),
                false => tracing::info!("{venue}: polls are in time again"),
            }
        }
    }

    fn start(&mut self, job: Job, ask: Ask, permit: Permit) {
        let client = self.provider.client.clone();
        self.under_way.push(Box::pin(async move {
            let query: Vec<_> = ask.query.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let outcome = match job {
                Job::Clock => client.measure(permit, ask.path, &query).await,
                Job::Fetch(_) | Job::Poll(..) => client.send(permit, ask.path, &query).await,
            };
            let stamp = client.clock().now();
            Ended { job, outcome, stamp }
        }));
    }

    fn ended(&mut self, ended: Ended) -> Vec<Input> {
        let now = Instant::now();
        match ended.job {
            Job::Fetch(request) => vec![self.answer(request, ended.outcome, Some(ended.stamp))],
            Job::Poll(at, request) => {
                self.polls_under_way = self.polls_under_way.saturating_sub(1);
                // A limit is waited out by the budget.
                let well = match &ended.outcome {
                    Ok(answer) => answer.status < 500,
                    Err(error) => matches!(error, FeedError::Limited { .. }),
                };
                self.polls.ended(at, well, now);
                vec![self.answer(request, ended.outcome, Some(ended.stamp))]
            }
            Job::Clock => {
                if let Err(error) = &ended.outcome {
                    tracing::debug!("{}: clock not measured: {error}", self.provider.config.name);
                }
                self.measures = self.measures.saturating_add(1);
                let pause = match self.measures < QUICK_MEASURES {
                    true => self.provider.config.rest.clock_ms.min(1_000),
                    false => self.provider.config.rest.clock_ms,
                };
                self.clock_due = Some(now + Duration::from_millis(pause));
                Vec::new()
            }
        }
    }

    fn answer(&self, request: Request, outcome: Result<Answer, FeedError>, stamp: Option<Stamp>) -> Input {
        Input {
            stamp: stamp.unwrap_or_else(|| self.provider.client.clock().now()),
            venue: self.provider.venue,
            body: Body::Answer { request, outcome },
        }
    }
}

#[cfg(test)]
mod tests;
