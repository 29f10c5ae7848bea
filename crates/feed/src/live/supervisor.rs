//! The loop around the pipeline: starts what listens, brings one input after the other, and takes commands back.
//!
//! ```text
//! let input = live.next().await?;      // from a socket, a REST answer, or because a timer fell due
//! journal.push(input.clone()).await?;  // whoever must have it before anything else sees it
//! live.take(&input, &mut out);         // events to the caller, commands to the sockets
//! ```
//!
//! The three steps are the caller's, so that nothing can be decided upon an input that the journal does not have. What
//! always holds: inputs come in the order in which they were read from one bounded queue; when it is full the providers
//! wait, and say so when that costs data; time that passes in silence is an input too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};
use tokio::task::JoinSet;

use super::pipeline::{Options, Pipeline, PipelineError};
use crate::book::{Out, Output};
use crate::clock::{Clock, Stamp};
use crate::connection::{ConnNumbers, PlanError, Setup, Sockets};
use crate::error::FeedError;
use crate::input::{Body, Command, Input, InputReceiver, Provider, VenueIx};
use crate::rest::{Clients, RestProvider};
use crate::tls;
use crate::venue::{DataSource, VenueConfig};

/// Inputs that wait at most; at 5,000 frames a second more than a second.
const QUEUE: usize = 8_192;
/// Inputs taken from the queue at once.
const AT_ONCE: usize = 256;
/// Timers are looked at this often even if none should be due.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why live data cannot begin, or go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LiveError {
    /// Venues and markets make no pipeline.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A venue's streams cannot be subscribed to as configured.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// TLS or a REST client cannot be made.
    #[error(transparent)]
    Client(#[from] FeedError),
    /// A provider ended by itself; it does so only by a bug.
    #[error("a provider ended: {0}")]
    Provider(String),
}

/// Live data of some venues.
#[derive(Debug)]
pub struct Live {
    pipeline: Pipeline,
    clock: Clock,
    inputs: InputReceiver,
    batch: Vec<Input>,
    ready: VecDeque<Input>,
    wires: Vec<UnboundedSender<Command>>,
    tasks: JoinSet<()>,
}

impl Live {
    /// Connects to these venues for these markets, in the venues' own spelling. Must be called within a tokio runtime;
    /// its tasks listen there, while [`Live::next`] may be awaited on another.
    ///
    /// # Errors
    /// [`LiveError`], before anything was connected to.
    pub fn start(
        venues: &[(VenueConfig, Vec<String>)],
        options: Options,
        clock: &Clock,
        seed: u64,
    ) -> Result<Live, LiveError> {
        let pipeline = Pipeline::new(venues, options)?;
        let tls = Arc::new(tls::client_config()?);
        let numbers = ConnNumbers::default();
        let clients = Clients::new(clock.clone())?;
        let mut providers: Vec<Box<dyn Provider>> = Vec::new();
        for (venue, (config, markets)) in (0..).map(VenueIx).zip(venues) {
            if markets.is_empty() {
                continue;
            }
            if config.data_source != DataSource::Rest {
                let setup = Setup {
                    venue,
                    clock: clock.clone(),
                    numbers: numbers.clone(),
                    tls: tls.clone(),
                    seed,
                };
                providers.push(Box::new(Sockets::new(config.clone(), markets, setup)?));
            }
            let client = clients.venue(config)?;
            providers.push(Box::new(RestProvider::new(
                client,
                venue,
                config.clone(),
                markets.clone(),
            )));
        }
        Ok(Live::with(pipeline, providers, clock))
    }

    /// The same with providers of the caller's making. Must be called within a tokio runtime.
    pub fn with(pipeline: Pipeline, providers: Vec<Box<dyn Provider>>, clock: &Clock) -> Live {
        let (out, inputs) = channel(QUEUE);
        let mut tasks = JoinSet::new();
        let mut wires = Vec::with_capacity(providers.len());
        for provider in providers {
            let (wire, commands) = unbounded_channel();
            tasks.spawn(provider.run(out.clone(), commands));
            wires.push(wire);
        }
        let first = tick(clock.now());
        Live {
            pipeline,
            clock: clock.clone(),
            inputs,
            batch: Vec::with_capacity(AT_ONCE),
            ready: VecDeque::from([first]),
            wires,
            tasks,
        }
    }

    /// The books, their health, and the accounts.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The next input, which is then to be given to [`Live::take`]. The first says that the run begins.
    ///
    /// # Errors
    /// [`LiveError::Provider`] when a provider ended.
    pub async fn next(&mut self) -> Result<Input, LiveError> {
        loop {
            if let Some(input) = self.ready.pop_front() {
                return Ok(input);
            }
            let due = self.due();
            tokio::select! {
                biased;
                received = self.inputs.recv_many(&mut self.batch, AT_ONCE) => {
                    if received == 0 {
                        return Err(LiveError::Provider("all of them".to_owned()));
                    }
                    self.ready.extend(self.batch.drain(..));
                }
                Some(ended) = self.tasks.join_next() => {
                    let why = ended.err().map_or("without a reason".to_owned(), |error| error.to_string());
                    return Err(LiveError::Provider(why));
                }
                () = tokio::time::sleep(due) => {
                    let now = self.clock.now();
                    if self.pipeline.due_ns() <= now.mono_ns {
                        self.ready.push_back(tick(now));
                    }
                }
            }
        }
    }

    /// Gives an input to the books: events, gaps, flags and what could not be read go to `out`, commands to the providers
    /// (and to `out`, for whoever wants to see them).
    pub fn take(&mut self, input: &Input, out: &mut Out<'_>) {
        let Live { pipeline, wires, .. } = self;
        pipeline.input(input, &mut |output| {
            if let Output::Command(command) = &output {
                for wire in &*wires {
                    // Whom it does not concern passes it over; who has ended is noticed by `next`.
                    let _ = wire.send(command.clone());
                }
            }
            out(output);
        });
    }

    /// Ends everything: providers are told to close and have `grace` to do so; what still came from them is given to
    /// `journal` first and then to the books, whose last gaps are told. The pipeline, for its figures.
    pub async fn stop(mut self, grace: Duration, journal: &mut dyn FnMut(&Input), out: &mut Out<'_>) -> Pipeline {
        self.wires.clear();
        let until = tokio::time::Instant::now() + grace;
        let mut open = true;
        while open {
            while let Some(input) = self.ready.pop_front() {
                journal(&input);
                self.take(&input, out);
            }
            tokio::select! {
                biased;
                received = self.inputs.recv_many(&mut self.batch, AT_ONCE) => {
                    open = received > 0;
                    self.ready.extend(self.batch.drain(..));
                }
                () = tokio::time::sleep_until(until) => open = false,
            }
        }
        self.tasks.shutdown().await;
        self.pipeline.finish(self.clock.now(), out);
        self.pipeline
    }

    fn due(&self) -> Duration {
        let due_ns = self.pipeline.due_ns().saturating_sub(self.clock.now().mono_ns);
        u64::try_from(due_ns)
            .map_or(Duration::ZERO, Duration::from_nanos)
            .min(LONGEST_WAIT)
    }
}

fn tick(stamp: Stamp) -> Input {
    Input {
        stamp,
        venue: VenueIx::NONE,
        body: Body::Tick,
    }
}
