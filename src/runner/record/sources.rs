//! What a recording listens to: the sockets and the REST interface of each venue, who keeps its rules fresh, and who asks for
//! rates.

use std::sync::Arc;

use crossbook_feed::connection::{ConnNumbers, Setup, Sockets};
use crossbook_feed::fx::Poller;
use crossbook_feed::input::{Body, Command, Input, InputSender, Note, Provider, VenueIx};
use crossbook_feed::rest::RestProvider;
use crossbook_feed::rules::RulesNote;
use crossbook_feed::rules::refresh::Refresher;
use crossbook_feed::venue::DataSource;
use crossbook_feed::{clock::Stamp, tls};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Plan, RecordError};

/// Providers that have not been started.
pub struct Sources {
    /// Each with the venue whose commands it wants.
    providers: Vec<(VenueIx, Box<dyn Provider>)>,
    /// What is known before anything comes in: the rules of the markets.
    pub first: Vec<Input>,
}

/// Providers at work.
pub struct Started {
    wires: Vec<(VenueIx, UnboundedSender<Command>)>,
    tasks: JoinSet<()>,
}

impl Sources {
    /// Makes the providers; none connects yet.
    pub fn prepare(plan: &Plan, start: Stamp) -> Result<Sources, RecordError> {
        let tls = Arc::new(tls::client_config()?);
        let numbers = ConnNumbers::default();
        let mut sources = Sources {
            providers: Vec::new(),
            first: Vec::new(),
        };
        let lists = plan.fetchers.iter().zip(&plan.lists);
        for ((at, venue), (fetcher, list)) in (0..).map(VenueIx).zip(&plan.setup.venues).zip(lists) {
            if venue.markets.is_empty() {
                continue;
            }
            let config = &venue.config;
            if config.data_source != DataSource::Rest {
                let setup = Setup {
                    venue: at,
                    clock: plan.clock.clone(),
                    numbers: numbers.clone(),
                    tls: tls.clone(),
                    seed: plan.seed,
                };
                let sockets =
                    Sockets::new(config.clone(), &venue.markets, setup).map_err(|error| RecordError::Streams {
                        venue: config.name.clone(),
                        what: error.to_string(),
                    })?;
                sources.providers.push((at, Box::new(sockets)));
            }
            let client = plan.clients.venue(config)?;
            let rest = RestProvider::new(client, at, config.clone(), venue.markets.clone());
            sources.providers.push((at, Box::new(rest)));
            let (refresher, update) = Refresher::new(
                fetcher.clone(),
                plan.clock.clone(),
                at,
                config,
                venue.markets.clone(),
                list,
            );
            sources.providers.push((at, Box::new(refresher)));
            sources.first.push(Input {
                stamp: start,
                venue: at,
                body: Body::Note(Box::new(Note::Rules(RulesNote::Update(update)))),
            });
        }
        if let Some(fx) = &plan.setup.fx {
            let poller = Poller::new(fx, &plan.clients, plan.clock.clone())?;
            if !poller.is_empty() {
                sources.providers.push((VenueIx::NONE, Box::new(poller)));
            }
        }
        Ok(sources)
    }

    /// Starts them all.
    pub fn start(self, out: &InputSender) -> Started {
        let mut started = Started {
            wires: Vec::new(),
            tasks: JoinSet::new(),
        };
        for (venue, provider) in self.providers {
            let (wire, commands) = unbounded_channel();
            started.tasks.spawn(provider.run(out.clone(), commands));
            started.wires.push((venue, wire));
        }
        started
    }
}

impl Started {
    /// Passes a command on to those whom it may concern.
    pub fn command(&self, command: &Command) {
        for (venue, wire) in &self.wires {
            if command.venue().is_none_or(|whom| whom == *venue) {
                // A provider that is gone has ended with its venue, which is noticed elsewhere.
                let _ = wire.send(command.clone());
            }
        }
    }

    /// No more: providers end when their commands do.
    pub fn stop(&mut self) {
        self.wires.clear();
    }

    /// Ends when one of them has failed: none does so but by a bug.
    pub async fn failed(&mut self) -> String {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) => return error.to_string(),
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until all have ended, but not beyond `until`; then they are cut off.
    pub async fn ended(&mut self, until: Instant) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout_at(until, all).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}
