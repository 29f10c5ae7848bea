//! The loop around a run: starts what listens, brings one input after the other, and takes commands back.
//!
//! ```text
//! let input = live.next().await?;      // from a socket, a REST answer, or because a timer fell due
//! journal.push(input.clone()).await?;  // whoever must have it before anything else sees it
//! live.take(&input, &mut out);         // events to the caller, commands to the providers
//! ```
//!
//! The three steps are the caller's, so that nothing can be decided upon an input that the journal does not have. What
//! always holds: inputs come in the order in which they were read from one bounded queue; when it is full the providers
//! wait, and say so when that costs data; time that passes in silence is an input too.
//!
//! For the shortest way from a socket to a decision the providers and the task that awaits [`Live::next`] share one thread
//! (a `current_thread` runtime), and the latter is spawned there: a future given to `block_on` is woken through the kernel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Out, Run, Setup, SetupError, Told};
use crate::clock::{Clock, Stamp};
use crate::connection::{self, ConnNumbers, PlanError, Sockets};
use crate::error::FeedError;
use crate::fx::Poller;
use crate::input::{Body, Command, Input, InputReceiver, Provider, VenueIx};
use crate::rest::{Clients, RestProvider};
use crate::tls;
use crate::venue::DataSource;

/// Inputs that wait at most; at 5,000 frames a second more than a second.
const QUEUE: usize = 8_192;
/// Inputs taken from the queue at once.
const AT_ONCE: usize = 256;
/// Timers are looked at this often even if none should be due.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why live data cannot begin, or go on.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The setup makes no run.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A venue's streams cannot be subscribed to as configured.
    #[error("{venue}: {source}")]
    Streams {
        /// Which.
        venue: String,
        /// What it has not.
        source: PlanError,
    },
    /// TLS or a REST client cannot be made.
    #[error(transparent)]
    Client(#[from] FeedError),
    /// A provider failed: a bug, and no reason to go on half alive.
    #[error("a source of data failed: {0}")]
    Failed(String),
    /// All providers ended by themselves, which none of them does.
    #[error("the sources of data ended")]
    Ended,
}

/// Providers that have not been started, each with the venue whose commands it wants; [`VenueIx::NONE`] for one that wants
/// only those that concern all.
pub type Providers = Vec<(VenueIx, Box<dyn Provider>)>;

/// All that brings data for a setup: sockets and REST of each venue, and who asks for rates. None connects yet.
///
/// # Errors
/// [`LiveError`].
pub fn providers(setup: &Setup, clients: &Clients, clock: &Clock, seed: u64) -> Result<Providers, LiveError> {
    let tls = Arc::new(tls::client_config()?);
    let numbers = ConnNumbers::default();
    let mut providers = Providers::new();
    for (at, venue) in (0..).map(VenueIx).zip(&setup.venues) {
        if venue.markets.is_empty() {
            continue;
        }
        let config = &venue.config;
        if config.data_source != DataSource::Rest {
            let setup = connection::Setup {
                venue: at,
                clock: clock.clone(),
                numbers: numbers.clone(),
                tls: tls.clone(),
                seed,
            };
            let sockets = Sockets::new(config.clone(), &venue.markets, setup).map_err(|source| LiveError::Streams {
                venue: config.name.clone(),
                source,
            })?;
            providers.push((at, Box::new(sockets)));
        }
        let client = clients.venue(config)?;
        let rest = RestProvider::new(client, at, config.clone(), venue.markets.clone());
        providers.push((at, Box::new(rest)));
    }
    if let Some(fx) = &setup.fx {
        let poller = Poller::new(fx, clients, clock.clone())?;
        if !poller.is_empty() {
            providers.push((VenueIx::NONE, Box::new(poller)));
        }
    }
    Ok(providers)
}

/// A run that listens.
#[derive(Debug)]
pub struct Live {
    run: Run,
    clock: Clock,
    inputs: InputReceiver,
    batch: Vec<Input>,
    ready: VecDeque<Input>,
    wires: Vec<(VenueIx, UnboundedSender<Command>)>,
    tasks: JoinSet<()>,
}

impl Live {
    /// Connects to the venues of a setup. Must be called within a tokio runtime; its tasks listen there, while
    /// [`Live::next`] may be awaited on another.
    ///
    /// # Errors
    /// [`LiveError`], before anything was connected to.
    pub fn start(setup: &Setup, clock: &Clock, seed: u64) -> Result<Live, LiveError> {
        let run = Run::new(setup)?;
        let clients = Clients::new(clock.clone())?;
        let providers = providers(setup, &clients, clock, seed)?;
        Ok(Live::with(run, providers, clock.now(), Vec::new(), clock))
    }

    /// Starts a run with these providers at `start`; `known` is what is known before anything comes in. Must be called
    /// within a tokio runtime.
    pub fn with(run: Run, providers: Providers, start: Stamp, known: Vec<Input>, clock: &Clock) -> Live {
        let (out, inputs) = channel(QUEUE);
        let mut tasks = JoinSet::new();
        let mut wires = Vec::with_capacity(providers.len());
        for (venue, provider) in providers {
            let (wire, commands) = unbounded_channel();
            tasks.spawn(provider.run(out.clone(), commands));
            wires.push((venue, wire));
        }
        // Time counts from here on: a book is missing from the first moment, not from the first frame.
        let ready = std::iter::once(tick(start)).chain(known).collect();
        Live {
            run,
            clock: clock.clone(),
            inputs,
            batch: Vec::with_capacity(AT_ONCE),
            ready,
            wires,
            tasks,
        }
    }

    /// Books, rates, rules, and the account.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Inputs that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.inputs.len() + self.ready.len()
    }

    /// The next input, which is then to be given to [`Live::take`]. The first says that the run begins. Giving up waiting
    /// loses nothing.
    ///
    /// # Errors
    /// [`LiveError::Failed`] and [`LiveError::Ended`].
    pub async fn next(&mut self) -> Result<Input, LiveError> {
        loop {
            if let Some(input) = self.ready.pop_front() {
                return Ok(input);
            }
            let due = self.due();
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => {
                    if let Err(failed) = ended {
                        return Err(LiveError::Failed(failed.to_string()));
                    }
                }
                received = self.inputs.recv_many(&mut self.batch, AT_ONCE) => {
                    if received == 0 {
                        return Err(LiveError::Ended);
                    }
                    self.ready.extend(self.batch.drain(..));
                }
                () = tokio::time::sleep(due) => {
                    let now = self.clock.now();
                    if self.run.pipeline().due_ns() <= now.mono_ns {
                        self.ready.push_back(tick(now));
                    }
                }
            }
        }
    }

    /// Gives an input to the run: all that it tells goes to `out`, and commands to the providers as well.
    pub fn take(&mut self, input: &Input, out: &mut Out<'_>) {
        let Live { run, wires, .. } = self;
        run.input(input, &mut |told| {
            if let Told::Command(command) = &told {
                for (venue, wire) in &*wires {
                    if command.venue().is_none_or(|whom| whom == *venue) {
                        // Who has ended is noticed by `next`.
                        let _ = wire.send(command.clone());
                    }
                }
            }
            out(told);
        });
    }

    /// Tells the providers to close, which they have `grace` to do. What still comes is brought by [`Closing::next`].
    pub fn close(self, grace: Duration) -> Closing {
        // Without their wires the providers end.
        Closing {
            run: self.run,
            clock: self.clock,
            inputs: self.inputs,
            ready: self.ready,
            tasks: self.tasks,
            until: Some(Instant::now() + grace),
        }
    }

    fn due(&self) -> Duration {
        let due_ns = self.run.pipeline().due_ns().saturating_sub(self.clock.now().mono_ns);
        u64::try_from(due_ns)
            .map_or(Duration::ZERO, Duration::from_nanos)
            .min(LONGEST_WAIT)
    }
}

/// A run whose providers close their sockets: what comes meanwhile has been received, and is kept.
#[derive(Debug)]
pub struct Closing {
    run: Run,
    clock: Clock,
    inputs: InputReceiver,
    ready: VecDeque<Input>,
    tasks: JoinSet<()>,
    /// When they are cut off; nothing once they were.
    until: Option<Instant>,
}

impl Closing {
    /// The next input, for [`Closing::take`]; nothing when all have ended.
    pub async fn next(&mut self) -> Option<Input> {
        if let Some(input) = self.ready.pop_front() {
            return Some(input);
        }
        if let Some(until) = self.until {
            if let Ok(input) = tokio::time::timeout_at(until, self.inputs.recv()).await {
                return input;
            }
            self.until = None;
            self.tasks.shutdown().await;
            self.inputs.close();
        }
        self.inputs.recv().await
    }

    /// Gives an input to the run; nobody takes commands any more.
    pub fn take(&mut self, input: &Input, out: &mut Out<'_>) {
        self.run.input(input, out);
    }

    /// The last moment of the run, an input like the others.
    pub fn last(&self) -> Input {
        tick(self.clock.now())
    }

    /// Ends the run at a stamp: its last gaps are told.
    pub fn finish(mut self, stamp: Stamp, out: &mut Out<'_>) -> Run {
        self.run.finish(stamp, out);
        self.run
    }
}

fn tick(stamp: Stamp) -> Input {
    Input {
        stamp,
        venue: VenueIx::NONE,
        body: Body::Tick,
    }
}
