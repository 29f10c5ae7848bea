//! Fetches a venue's rules again and again and tells what changed, as notes among the frames.
//!
//! A list that cannot be had changes nothing: the rules known stay in force, the failure is told, and it is tried again after
//! a backoff. Nor does a list that has lost more than half of its markets change anything until the next one says the same.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use super::fetch::Fetcher;
use super::{Catalogue, RuleBook, RulesNote, Update};
use crate::clock::{Clock, Stamp};
use crate::error::{FeedError, Remedy};
use crate::input::{Body, Command, Input, InputSender, Note, Provider, VenueIx};
use crate::venue::VenueConfig;

/// Keeps one venue's rules fresh.
#[derive(Debug)]
pub struct Refresher {
    fetcher: Fetcher,
    clock: Clock,
    venue: VenueIx,
    every: Duration,
    first_wait: Duration,
    most_wait: Duration,
    watch: Watch,
}

/// What was told so far.
#[derive(Debug)]
pub(super) struct Watch {
    venue: String,
    watched: Vec<String>,
    known: RuleBook,
    /// Names of a list that was too short to be believed at once.
    doubted: Option<Vec<String>>,
}

impl Refresher {
    /// Begins from the list that the start was checked against; `watched` are the markets in use. What changes in others is
    /// only told when they are listed or no longer so.
    pub fn new(
        fetcher: Fetcher,
        clock: Clock,
        venue: VenueIx,
        config: &VenueConfig,
        watched: Vec<String>,
        first: &Catalogue,
    ) -> (Refresher, Update) {
        let (watch, update) = Watch::new(&config.name, watched, first);
        let every = config.rest.rules_refresh_ms.max(1);
        let refresher = Refresher {
            fetcher,
            clock,
            venue,
            every: Duration::from_millis(every),
            first_wait: Duration::from_millis(config.timers.backoff_first_ms.clamp(1, every)),
            most_wait: Duration::from_millis(config.timers.backoff_most_ms.clamp(1, every)),
            watch,
        };
        (refresher, update)
    }

    async fn refresh(&mut self, out: &InputSender) {
        let mut wait = self.every;
        let mut attempt = 0;
        loop {
            tokio::time::sleep(wait).await;
            let listed = self.fetcher.catalogue().await;
            let at = self.clock.now();
            let note = match listed {
                Ok(catalogue) => {
                    attempt = 0;
                    wait = self.every;
                    match self.watch.compare(&catalogue, at) {
                        Ok(update) => (!update.is_empty()).then_some(RulesNote::Update(update)),
                        Err(reason) => Some(self.watch.failed(1, reason)),
                    }
                }
                Err(error) => {
                    attempt += 1;
                    wait = self.backoff(attempt, &error);
                    Some(self.watch.failed(attempt, error.to_string()))
                }
            };
            if let Some(note) = note {
                if let RulesNote::Failed { venue, attempt, reason } = &note {
                    warn!("{venue}: rules not refreshed, those known stay in force (attempt {attempt}): {reason}");
                }
                let input = Input {
                    stamp: at,
                    venue: self.venue,
                    body: Body::Note(Box::new(Note::Rules(note))),
                };
                if out.send(input).await.is_err() {
                    return;
                }
            }
        }
    }

    fn backoff(&self, attempt: u32, error: &FeedError) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let wait = doubled.min(self.most_wait);
        match error.remedy() {
            Remedy::Wait(told) => wait.max(told),
            Remedy::Reconnect => wait,
        }
    }
}

impl Provider for Refresher {
    fn run(
        mut self: Box<Self>,
        out: InputSender,
        mut commands: UnboundedReceiver<Command>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            // No command is for the rules; the end of the commands is the end.
            let ended = async { while commands.recv().await.is_some() {} };
            tokio::select! {
                biased;
                () = ended => {}
                () = self.refresh(&out) => {}
            }
        })
    }
}

impl Watch {
    /// What is known from now on, and what is to be told of it: the rules of the markets watched.
    pub(super) fn new(venue: &str, watched: Vec<String>, first: &Catalogue) -> (Watch, Update) {
        let mut known = RuleBook::default();
        let mut update = Update::between(venue, known.markets(), first);
        let at_start = Stamp {
            mono_ns: 0,
            ts: crossbook_engine::units::TimestampNs(0),
        };
        known.apply(&update, at_start);
        update.changed.retain(|rules| watched.contains(&rules.symbol));
        let watch = Watch {
            venue: venue.to_owned(),
            watched,
            known,
            doubted: None,
        };
        (watch, update)
    }

    /// What is to be told of a new list.
    ///
    /// # Errors
    /// Why the list is not believed yet.
    pub(super) fn compare(&mut self, new: &Catalogue, at: Stamp) -> Result<Update, String> {
        let before = self.known.markets().len();
        let now = new.markets.len() + new.unreadable.len();
        if now * 2 < before {
            let names: Vec<String> = new.markets.keys().chain(new.unreadable.keys()).cloned().collect();
            if self.doubted.as_ref() != Some(&names) {
                self.doubted = Some(names);
                return Err(format!(
                    "the list shrank from {before} markets to {now}; believed if the next one says the same"
                ));
            }
        }
        self.doubted = None;
        let mut update = Update::between(&self.venue, self.known.markets(), new);
        let old = self.known.clone();
        self.known.apply(&update, at);
        update.keep(old.markets(), &self.watched);
        Ok(update)
    }

    fn failed(&self, attempt: u32, reason: String) -> RulesNote {
        RulesNote::Failed {
            venue: self.venue.clone(),
            attempt,
            reason,
        }
    }
}
