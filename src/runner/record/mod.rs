//! A recording: inputs to the journal first, then through the books, until someone says stop.
//!
//! What always holds: an input is handed to the journal before anything is made of it; what the books did is a function of
//! what the journal holds (silence is journaled as a tick where a timer fell due in it); a journal that cannot be written
//! ends the recording at once.

mod plan;
mod sources;
mod summary;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crossbook_feed::book::State;
use crossbook_feed::clock::{Clock, Stamp};
use crossbook_feed::error::FeedError;
use crossbook_feed::fx::{Shown, publish};
use crossbook_feed::input::{Body, Input, VenueIx};
use crossbook_feed::journal::{About, Disk, Item, Journal, JournalError, Mark, Record, Status, VenueMark};
use crossbook_feed::recording::{Run, SetupError, Told};
use tokio::time::Instant;

pub use self::plan::{Plan, PlanError, plan};
use self::sources::Sources;
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
    /// A connection cannot be planned, or TLS not be set up.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// Streams that a venue has not.
    #[error("{venue}: {what}")]
    Streams {
        /// Which.
        venue: String,
        /// What is wrong.
        what: String,
    },
    /// A source of data failed: a bug, and no reason to go on half alive.
    #[error("a source of data failed: {0}")]
    Source(String),
    /// All sources ended by themselves, which none of them does.
    #[error("the sources of data ended")]
    Ended,
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

/// Inputs that wait between the sockets and the journal.
const QUEUE: usize = 8_192;

/// Inputs taken at a time before signals and timers are looked at again.
const AT_ONCE: usize = 256;

/// Sources are given this long to close their sockets.
const PATIENCE: Duration = Duration::from_secs(2);

/// Of frames that could not be read, so many are told of one by one; all are counted.
const MOST_TOLD: u64 = 20;

/// A timer is looked at this often even when none is due.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

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
    let (out, mut inputs) = tokio::sync::mpsc::channel(QUEUE);
    let mut sources = Sources::prepare(plan, start)?;
    let known = std::mem::take(&mut sources.first);
    let journal = Journal::open(&plan.out, about, &plan.journal, Arc::new(Disk), start)?;
    let mut recording = Recording {
        run,
        journal,
        sources: sources.start(&out),
        law: Law::default(),
        start,
        unreadable: 0,
        rate: None,
    };
    let mut shown = None;
    if let Some(redis) = plan.setup.fx.as_ref().and_then(|fx| fx.redis.clone()) {
        let (rate, slot) = tokio::sync::watch::channel(None);
        recording.rate = Some(rate);
        // Redis is a view: the recording neither waits for it nor fails with it.
        shown = Some(tokio::spawn(publish(redis, clock.clone(), slot)));
    }
    // From here on time counts: a book is missing from the first moment, not from the first frame.
    recording.step(tick(start)).await?;
    for input in known {
        recording.step(input).await?;
    }
    drop(out);
    let reason = recording.until(stop, &mut inputs, clock, every, watch).await?;
    let summary = recording.end(reason, inputs, clock, name, &plan.out).await;
    if let Some(shown) = shown {
        shown.abort();
    }
    summary
}

struct Recording {
    run: Run,
    journal: Journal,
    sources: sources::Started,
    law: Law,
    start: Stamp,
    /// Frames that could not be read; the first few are told of.
    unreadable: u64,
    /// Where the rate is shown to others.
    rate: Option<tokio::sync::watch::Sender<Option<Shown>>>,
}

impl Recording {
    async fn until(
        &mut self,
        stop: impl Future<Output = Reason>,
        inputs: &mut tokio::sync::mpsc::Receiver<Input>,
        clock: &Clock,
        progress: Duration,
        watch: &mut dyn FnMut(&Progress),
    ) -> Result<Reason, RecordError> {
        let mut stop = std::pin::pin!(stop);
        let mut next_progress = Instant::now() + progress;
        let mut shown = Progress::default();
        let mut batch = Vec::with_capacity(AT_ONCE);
        loop {
            let due = self.due(clock);
            tokio::select! {
                biased;
                reason = &mut stop => return Ok(reason),
                error = self.journal.failed() => return Err(error.into()),
                what = self.sources.failed() => return Err(RecordError::Source(what)),
                () = tokio::time::sleep_until(next_progress) => {
                    shown = self.progress(clock, inputs.len(), &shown);
                    watch(&shown);
                    next_progress = Instant::now() + progress;
                }
                received = inputs.recv_many(&mut batch, AT_ONCE) => {
                    if received == 0 {
                        return Err(RecordError::Ended);
                    }
                    for input in batch.drain(..) {
                        self.step(input).await?;
                    }
                }
                () = tokio::time::sleep(due) => {
                    let stamp = clock.now();
                    if self.run.pipeline().due_ns() <= stamp.mono_ns {
                        self.step(tick(stamp)).await?;
                    }
                }
            }
        }
    }

    /// How long until the next timer.
    fn due(&self, clock: &Clock) -> Duration {
        let due_ns = self.run.pipeline().due_ns().saturating_sub(clock.now().mono_ns);
        u64::try_from(due_ns)
            .map_or(Duration::ZERO, Duration::from_nanos)
            .min(LONGEST_WAIT)
    }

    /// To the journal, then to the books.
    async fn step(&mut self, input: Input) -> Result<(), RecordError> {
        self.law.take(&input);
        self.journal.push(Record::from(input.clone())).await?;
        let Recording {
            run,
            sources,
            unreadable,
            ..
        } = self;
        run.input(&input, &mut |told| match told {
            Told::Command(command) => sources.command(&command),
            Told::Said(text) => tracing::warn!("{text}"),
            Told::Quarantined {
                venue, reason, bytes, ..
            } => {
                *unreadable += 1;
                if *unreadable <= MOST_TOLD {
                    tracing::warn!(
                        venue = venue.0,
                        bytes = bytes.len(),
                        "a frame could not be read: {reason}"
                    );
                }
            }
            Told::Event(..) => {}
        });
        if let (Some(rate), Some(fx)) = (&self.rate, self.run.fx()) {
            rate.send_replace(fx.shown(input.stamp));
        }
        if let Body::Link { conn, event } = &input.body {
            tracing::info!(venue = input.venue.0, conn = conn.0, "{event:?}");
        }
        Ok(())
    }

    fn progress(&self, clock: &Clock, waiting: usize, before: &Progress) -> Progress {
        let now = clock.now();
        let totals = self.run.totals();
        let mut progress = Progress {
            elapsed: Duration::from_nanos(u64::try_from(now.mono_ns - self.start.mono_ns).unwrap_or(0)),
            received: self.law.received,
            bytes: totals.bytes,
            waiting: waiting as u64,
            journal: self.journal.status(),
            gaps: self.run.gaps().0.len() as u64 + self.run.gaps().1,
            lost: self.law.lost(),
            ..Progress::default()
        };
        for (_, market) in self.run.pipeline().markets() {
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
    async fn end(
        mut self,
        reason: Reason,
        mut inputs: tokio::sync::mpsc::Receiver<Input>,
        clock: &Clock,
        run: String,
        out: &Path,
    ) -> Result<Summary, RecordError> {
        // What comes while the sockets close has been received, too, and is kept.
        self.sources.stop();
        let until = Instant::now() + PATIENCE;
        loop {
            tokio::select! {
                biased;
                input = inputs.recv() => match input {
                    Some(input) => self.step(input).await?,
                    None => break,
                },
                () = self.sources.ended(until) => inputs.close(),
            }
        }
        let now = clock.now();
        self.step(tick(now)).await?;
        self.run.finish(now, &mut |_| {});
        let totals = self.run.totals();
        let stop = Record {
            stamp: now,
            item: Item::Mark(Mark::Stop {
                reason: reason.name().to_owned(),
                counts: summary::counts(&totals),
            }),
        };
        self.journal.push(stop).await?;
        self.law.pushed += 1;
        let status: Status = self.journal.close().await?;
        let summary = Summary::new(run, reason, (self.start, now), &self.run, self.law, status);
        summary.write(out)?;
        Ok(summary)
    }
}

fn tick(stamp: Stamp) -> Input {
    Input {
        stamp,
        venue: VenueIx::NONE,
        body: Body::Tick,
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
