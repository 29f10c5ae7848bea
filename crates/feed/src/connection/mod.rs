//! WebSocket connections: one loop for all venues, from an address to inputs that miss nothing in silence.
//!
//! [`Sockets`] spreads a venue's markets over sockets and keeps each of them connected. What a frame says is not looked
//! at (except to find out whether every stream has spoken), and no book is kept: that is what the inputs are for.
//!
//! ```text
//! Sockets ─ one lane a socket ─ one life a connection (two while the next takes over)
//! ```
//!
//! States, timers and errors are described in `docs/connections.md`.

mod backoff;
mod counts;
mod dial;
mod first;
mod gate;
mod lane;
mod life;
mod reader;
mod subscribe;

use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbook_engine::rng::Rng;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use backoff::Backoff;
pub use counts::{Counters, Counts};
pub use dial::{Dial, Tcp};
pub use gate::Gate;
pub use subscribe::{Plan, PlanError, plan};

use crate::clock::Clock;
use crate::input::{Command, ConnId, InputSender, Provider, VenueIx};
use crate::venue::VenueConfig;
use lane::Lane;
use life::Shared;

/// Gives every connection of a process its number. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ConnNumbers(Arc<AtomicU32>);

impl ConnNumbers {
    /// The next number, from 1.
    pub fn next(&self) -> ConnId {
        ConnId(self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }
}

/// What the connections of a venue have in common, apart from the venue file.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which venue it is.
    pub venue: VenueIx,
    /// Stamps what comes in.
    pub clock: Clock,
    /// Numbers the connections.
    pub numbers: ConnNumbers,
    /// TLS, as [`crate::tls::client_config`] makes it.
    pub tls: Arc<ClientConfig>,
    /// Seeds the jitter of the backoff and the tickets of subscriptions.
    pub seed: u64,
}

/// All sockets of a venue.
pub struct Sockets<D = Tcp> {
    config: VenueConfig,
    setup: Setup,
    plans: Vec<Plan>,
    counters: Vec<Arc<Counters>>,
    dial: D,
}

impl Sockets<Tcp> {
    /// Sockets for these markets, in the venue's spelling. Nothing is connected before [`Provider::run`].
    ///
    /// # Errors
    /// [`PlanError`] when the venue has not what is asked for.
    pub fn new(config: VenueConfig, markets: &[String], setup: Setup) -> Result<Sockets, PlanError> {
        Sockets::over(Tcp, config, markets, setup)
    }
}

impl<D: Dial> Sockets<D> {
    /// The same over other byte streams.
    ///
    /// # Errors
    /// As [`Sockets::new`].
    pub fn over(dial: D, config: VenueConfig, markets: &[String], setup: Setup) -> Result<Sockets<D>, PlanError> {
        let plans = plan(&config, markets)?;
        Ok(Sockets {
            counters: plans.iter().map(|_| Arc::default()).collect(),
            config,
            setup,
            plans,
            dial,
        })
    }

    /// The counters, one of each socket's place: they go on through all connections made there.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }
}

impl<D: Dial> Provider for Sockets<D> {
    fn run(
        self: Box<Self>,
        out: InputSender,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.serve(out, commands))
    }
}

impl<D: Dial> Sockets<D> {
    async fn serve(self: Box<Self>, out: InputSender, mut commands: mpsc::UnboundedReceiver<Command>) {
        let Setup {
            venue,
            clock,
            numbers,
            tls,
            seed,
        } = self.setup;
        let shared = Arc::new(Shared {
            gate: Gate::new(&self.config),
            venue,
            clock,
            dial: self.dial,
            tls,
            out,
            config: self.config,
        });
        let mut lanes = JoinSet::new();
        let mut wires = Vec::new();
        for (index, (plan, counters)) in self.plans.into_iter().zip(self.counters).enumerate() {
            let rng = Rng::stream(seed, &format!("feed.connection.{}.{index}", shared.config.name));
            let (wire, orders) = mpsc::channel(8);
            let lane = Lane::new(Arc::clone(&shared), plan, counters, numbers.clone(), rng);
            lanes.spawn(lane.run(orders));
            wires.push(wire);
        }
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Reconnect { conn, error }) => {
                        for wire in &wires {
                            // A lane that is gone has no connection to give up.
                            let _ = wire.send((conn, error.clone())).await;
                        }
                    }
                    Some(Command::Fetch { .. } | Command::Poll { .. }) => {}
                    None => break,
                },
                Some(ended) = lanes.join_next() => noticed(ended),
            }
        }
        drop(wires);
        while let Some(ended) = lanes.join_next().await {
            noticed(ended);
        }
    }
}

/// A panic in a task is a bug, and must not be left lying there.
fn noticed(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        resume_unwind(panic);
    }
}
