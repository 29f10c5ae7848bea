//! A recording: inputs to the journal first, then through the books, until someone says stop.
//!
//! What always holds: an input is handed to the journal before anything is made of it; what the books did is a function of
//! what the journal holds (silence is journaled as a tick where a timer fell due in it); a journal that cannot be written
//! ends the recording at once.

mod plan;
mod summary;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crossbook_feed::book::State;
use crossbook_feed::clock::{Clock, Stamp};
use crossbook_feed::fx::{Shown, publish};
use crossbook_feed::input::{Body, Input, Note, VenueIx};
use crossbook_feed::journal::{About, Disk, Item, Journal, JournalError, Mark, Record, VenueMark};
use crossbook_feed::rules::RulesNote;
use crossbook_feed::rules::refresh::Refresher;
use crossbook_feed::run::{Level, Live, LiveError, Providers, Remark, Run, SetupError, Told, providers};
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::plan::{Plan, PlanError, plan};
pub use self::summary::{Law, Progress, Summary};

/// Why a recording ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The plan makes no pipeline.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Nobody can be listened to, or not any more.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The summary cannot be written.
    #[error("write {}: {source}", path.display())]
    Summary {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a recording was ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It had lasted as long as it should.
    Duration,
    /// Ctrl-C or TERM.
    Signal,
}

impl Reason {
    /// As it is written down.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Duration => "duration",
            Reason::Signal => "signal",
        }
    }
}

/// Providers are given this long to close their sockets.
const PATIENCE: Duration = Duration::from_secs(2);

/// Of frames that could not be read, so many are told of one by one; all are counted.
const MOST_TOLD: u64 = 20;

/// Records until `stop` says why to end. `watch` is shown the state every so often.
///
/// # Errors
/// [`RecordError`]; what was journaled until then is there.
pub async fn record(
    plan: &Plan,
    every: Duration,
    stop: impl Future<Output = Reason>,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Summary, RecordError> {
    let clock = &plan.clock;
    let start = clock.now();
    let name = format!(
        "{}-{}",
        crate::dataset::manifest::rfc3339(start.ts).replace([':', '.'], ""),
        std::process::id()
    );
    let venues = plan.setup.venues.iter().map(|venue| VenueMark {
        name: venue.config.name.clone(),
        protocol: venue.config.protocol,
    });
    let about = About {
        run: name.clone(),
        build: concat!("crossbook ", env!("CARGO_PKG_VERSION")).to_owned(),
        venues: venues.collect(),
        setup: plan.setup.to_text()?,
    };
    let run = Run::new(&plan.setup)?;
    let mut providers = providers(&plan.setup, &plan.clients, clock, plan.seed)?;
    let known = refreshers(plan, start, &mut providers);
    let journal = Journal::open(&plan.out, about, &plan.journal, Arc::new(Disk), start)?;
    let mut tape = Tape {
        journal,
        law: Law::default(),
        unreadable: 0,
        rate: None,
    };
    let mut shown = None;
    if let Some(redis) = plan.setup.fx.as_ref().and_then(|fx| fx.redis.clone()) {
        let (rate, slot) = watch::channel(None);
        tape.rate = Some(rate);
        // Redis is a view: the recording neither waits for it nor fails with it.
        shown = Some(tokio::spawn(publish(redis, clock.clone(), slot)));
    }
    let mut listening = Listening {
        live: Live::with(run, providers, start, known, clock),
        tape,
    };
    let reason = listening.until(stop, every, watch, (clock, start)).await?;
    let summary = listening.end(reason, start, name, &plan.out).await;
    if let Some(shown) = shown {
        shown.abort();
    }
    summary
}

/// Who keeps the rules of each venue's markets fresh, and what is known of them at the start.
fn refreshers(plan: &Plan, start: Stamp, providers: &mut Providers) -> Vec<Input> {
    let mut known = Vec::new();
    let lists = plan.fetchers.iter().zip(&plan.lists);
    for ((at, venue), (fetcher, list)) in (0..).map(VenueIx).zip(&plan.setup.venues).zip(lists) {
        if venue.markets.is_empty() {
            continue;
        }
        let (refresher, update) = Refresher::new(
            fetcher.clone(),
            plan.clock.clone(),
            at,
            &venue.config,
            venue.markets.clone(),
            list,
        );
        providers.push((at, Box::new(refresher)));
        known.push(Input {
            stamp: start,
            venue: at,
            body: Body::Note(Box::new(Note::Rules(RulesNote::Update(update)))),
        });
    }
    known
}

/// Where inputs go before anything is made of them, and what is told of them afterwards.
struct Tape {
    journal: Journal,
    law: Law,
    /// Frames that could not be read; the first few are told of.
    unreadable: u64,
    /// Where the rate is shown to others.
    rate: Option<watch::Sender<Option<Shown>>>,
}

impl Tape {
    async fn keep(&mut self, input: &Input) -> Result<(), JournalError> {
        self.law.take(input);
        self.journal.push(Record::from(input.clone())).await
    }

    fn hear(&mut self, told: &Told<'_>) {
        match told {
            Told::Said(Remark { level, text }) => match level {
                Level::Info => tracing::info!("{text}"),
                Level::Warn => tracing::warn!("{text}"),
            },
            Told::Quarantined {
                venue, reason, bytes, ..
            } => {
                self.unreadable += 1;
                if self.unreadable <= MOST_TOLD {
                    tracing::warn!(
                        venue = venue.0,
                        bytes = bytes.len(),
                        "a frame could not be read: {reason}"
                    );
                }
            }
            Told::Event(..) | Told::Command(_) => {}
        }
    }

    fn show(&self, input: &Input, run: &Run) {
        if let (Some(rate), Some(fx)) = (&self.rate, run.fx()) {
            rate.send_replace(fx.shown(input.stamp));
        }
        if let Body::Link { conn, event } = &input.body {
            tracing::info!(venue = input.venue.0, conn = conn.0, "{event:?}");
        }
    }
}

struct Listening {
    live: Live,
    tape: Tape,
}

impl Listening {
    async fn until(
        &mut self,
        stop: impl Future<Output = Reason>,
        every: Duration,
        watch: &mut dyn FnMut(&Progress),
        (clock, start): (&Clock, Stamp),
    ) -> Result<Reason, RecordError> {
        let mut stop = std::pin::pin!(stop);
        let mut next_progress = Instant::now() + every;
        let mut shown = Progress::default();
        loop {
            tokio::select! {
                biased;
                reason = &mut stop => return Ok(reason),
                error = self.tape.journal.failed() => return Err(error.into()),
                () = tokio::time::sleep_until(next_progress) => {
                    shown = self.progress(clock.now().mono_ns - start.mono_ns, &shown);
                    watch(&shown);
                    next_progress = Instant::now() + every;
                }
                input = self.live.next() => {
                    let input = input?;
                    let Listening { live, tape } = self;
                    tape.keep(&input).await?;
                    live.take(&input, &mut |told| tape.hear(&told));
                    tape.show(&input, live.run());
                }
            }
        }
    }

    fn progress(&self, elapsed_ns: i64, before: &Progress) -> Progress {
        let Listening { live, tape } = self;
        let totals = live.run().totals();
        let (gaps, more) = live.run().gaps();
        let mut progress = Progress {
            elapsed: Duration::from_nanos(u64::try_from(elapsed_ns).unwrap_or(0)),
            received: tape.law.received,
            bytes: totals.bytes,
            waiting: live.waiting() as u64,
            journal: tape.journal.status(),
            gaps: gaps.len() as u64 + more,
            lost: tape.law.lost(),
            ..Progress::default()
        };
        for (_, market) in live.run().pipeline().markets() {
            match market.health().state() {
                State::Live => progress.live += 1,
                State::Stale => progress.stale += 1,
                State::Resyncing => progress.resyncing += 1,
                State::Down => progress.down += 1,
            }
        }
        progress.rates(before);
        progress
    }

    /// Closes the sockets, takes what still waits, and closes the journal in order.
    async fn end(self, reason: Reason, start: Stamp, name: String, out: &Path) -> Result<Summary, RecordError> {
        let Listening { live, mut tape } = self;
        let mut closing = live.close(PATIENCE);
        while let Some(input) = closing.next().await {
            tape.keep(&input).await?;
            closing.take(&input, &mut |told| tape.hear(&told));
        }
        let last = closing.last();
        tape.keep(&last).await?;
        closing.take(&last, &mut |told| tape.hear(&told));
        let now = last.stamp;
        let run = closing.finish(now, &mut |_| {});
        let stop = Record {
            stamp: now,
            item: Item::Mark(Mark::Stop {
                reason: reason.name().to_owned(),
                counts: summary::counts(&run.totals()),
            }),
        };
        tape.journal.push(stop).await?;
        tape.law.pushed += 1;
        let status = tape.journal.close().await?;
        let summary = Summary::new(name, reason, (start, now), &run, tape.law, status);
        summary.write(out)?;
        Ok(summary)
    }
}

/// Ends at a signal, or when it has lasted `duration`.
pub async fn stop_after(duration: Option<Duration>, signal: Pin<Box<dyn Future<Output = ()> + Send>>) -> Reason {
    let over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = signal => Reason::Signal,
        () = over => Reason::Duration,
    }
}
