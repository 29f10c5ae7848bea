//! Asks the sources over HTTP, each at its own interval, and hands what they said on as notes among the frames.
//!
//! It judges nothing: an absurd rate goes into the journal as it was told and is refused by [`super::FxBook`]. A source that
//! fails is asked again at its next turn; the others know nothing of it.

use std::pin::Pin;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use super::{FxConfig, QuoteFormat, Reading, Said, SourceKind, quote};
use crate::clock::Clock;
use crate::error::FeedError;
use crate::input::{Body, Command, Input, InputSender, Note, Provider, VenueIx};
use crate::rest::rule::{Counts, Rule};
use crate::rest::{Client, Clients};
use crate::venue::RestLimits;

/// Largest quote that is read; Dunamu's has 1 KB, a list of all currencies 5 KB.
const MOST_BYTES: usize = 1 << 20;

/// All sources over HTTP of a configuration.
#[derive(Debug)]
pub struct Poller {
    clock: Clock,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    name: String,
    client: Client,
    path: String,
    query: Vec<(String, String)>,
    format: QuoteFormat,
    every: Duration,
}

impl Poller {
    /// The sources over HTTP; a configuration may have none.
    ///
    /// # Errors
    /// [`FeedError::Protocol`] when a URL is no address.
    pub fn new(config: &FxConfig, clients: &Clients, clock: Clock) -> Result<Poller, FeedError> {
        let mut sources = Vec::new();
        for source in &config.sources {
            let SourceKind::Http {
                url,
                format,
                poll_ms,
                timeout_ms,
            } = &source.from
            else {
                continue;
            };
            let url = Url::parse(url)
                .map_err(|error| FeedError::Protocol(format!("[fx] source `{}`: url: {error}", source.name)))?;
            let rest = RestLimits {
                timeout_ms: *timeout_ms,
                max_body_bytes: MOST_BYTES,
                headroom_percent: 100,
                ..RestLimits::default()
            };
            // Twice what one source asks for, so that two may share a host; a told wait holds them all.
            let turns = 2 * (60_000 / (*poll_ms).max(1)).max(1);
            let rule = Rule {
                counts: Counts::Requests,
                limit: u32::try_from(turns).unwrap_or(u32::MAX),
                window: Duration::from_secs(60),
            };
            let pairs = url.query_pairs();
            sources.push(Source {
                name: source.name.clone(),
                client: clients.host(&url.origin().ascii_serialization(), rule, &rest)?,
                path: url.path().to_owned(),
                query: pairs
                    .map(|(key, value)| (key.into_owned(), value.into_owned()))
                    .collect(),
                format: format.clone(),
                every: Duration::from_millis((*poll_ms).max(1)),
            });
        }
        Ok(Poller { clock, sources })
    }

    /// Whether there is no source to ask.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

impl Source {
    /// Asks at once and then at every turn, until nobody listens.
    async fn poll(self, clock: Clock, out: InputSender) {
        let mut turns = tokio::time::interval(self.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            turns.tick().await;
            let said = match self.ask().await {
                Ok(said) => said,
                Err(error) => Said::Failed {
                    reason: error.to_string(),
                },
            };
            let failed = matches!(said, Said::Failed { .. });
            if let (Said::Failed { reason }, false) = (&said, failing) {
                warn!("fx source `{}` gives no rate, its last one ages: {reason}", self.name);
            }
            failing = failed;
            let input = Input {
                stamp: clock.now(),
                venue: VenueIx::NONE,
                body: Body::Note(Box::new(Note::Fx(Reading {
                    source: self.name.clone(),
                    said,
                }))),
            };
            if out.send(input).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&self) -> Result<Said, FeedError> {
        let query: Vec<(&str, &str)> = self
            .query
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let answer = self.client.get(&self.path, &query, "quote", 1).await?;
        match quote::parse(&self.format, answer.body()?) {
            Ok((rate, ts_event)) => Ok(Said::Quote { rate, ts_event }),
            Err(error) => Err(FeedError::Protocol(error.to_string())),
        }
    }
}

impl Provider for Poller {
    fn run(
        self: Box<Self>,
        out: InputSender,
        mut commands: UnboundedReceiver<Command>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut asking = JoinSet::new();
            for source in self.sources {
                asking.spawn(source.poll(self.clock.clone(), out.clone()));
            }
            // Not kept here: the queue is to close when the last of its writers is gone.
            drop(out);
            // No command is for the rates; the end of the commands is the end, and takes the tasks with it.
            while commands.recv().await.is_some() {}
        })
    }
}
