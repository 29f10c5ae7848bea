//! What a recording came to, and what it looks like while it runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crossbook_feed::clock::Stamp;
use crossbook_feed::input::{Body, Input, LinkEvent};
use crossbook_feed::journal::Status;
use crossbook_feed::run::{GapRecord, Run, Totals};
use serde::Serialize;

use super::{Reason, RecordError};
use crate::dataset::manifest::rfc3339;

/// What was taken from the sources: one side of law C1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Law {
    /// Frames and answers.
    pub received: u64,
    /// Records given to the journal: those, and links, ticks, notes.
    pub pushed: u64,
    /// Connections by what became of them: `opened`, `took over`, `closed`, `lost: timeout`, `failed: connection`.
    pub links: BTreeMap<String, u64>,
}

impl Law {
    pub(super) fn take(&mut self, input: &Input) {
        self.pushed += 1;
        let link = match &input.body {
            Body::Frame { .. } | Body::Answer { outcome: Ok(_), .. } => {
                self.received += 1;
                return;
            }
            Body::Link { event, .. } => match event {
                LinkEvent::Open { takes_over: None } => "opened".to_owned(),
                LinkEvent::Open { takes_over: Some(_) } => "took over".to_owned(),
                LinkEvent::Live => return,
                LinkEvent::Closed { error: None } => "closed".to_owned(),
                LinkEvent::Closed { error: Some(error) } => format!("lost: {}", error.class()),
                LinkEvent::Failed { error, .. } => format!("failed: {}", error.class()),
            },
            _ => return,
        };
        *self.links.entry(link).or_default() += 1;
    }

    /// Connections that were lost.
    pub(super) fn lost(&self) -> u64 {
        let lost = self.links.iter().filter(|(what, _)| what.starts_with("lost"));
        lost.map(|(_, count)| count).sum()
    }
}

/// How it stands.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Frames and answers so far.
    pub received: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames a second since the progress before.
    pub frames_per_s: f64,
    /// Bytes a second since the progress before.
    pub bytes_per_s: f64,
    /// Inputs that wait for the journal.
    pub waiting: u64,
    /// The journal's own.
    pub journal: Status,
    /// Books that are live, stale, being resynchronised, without data.
    pub live: u64,
    /// See `live`.
    pub stale: u64,
    /// See `live`.
    pub resyncing: u64,
    /// See `live`.
    pub down: u64,
    /// Gaps that have ended.
    pub gaps: u64,
    /// Connections that were lost.
    pub lost: u64,
}

impl Progress {
    pub(super) fn rates(&mut self, before: &Progress) {
        let seconds = self.elapsed.saturating_sub(before.elapsed).as_secs_f64();
        if seconds > 0.0 {
            self.frames_per_s = (self.received - before.received) as f64 / seconds;
            self.bytes_per_s = (self.bytes - before.bytes) as f64 / seconds;
        }
    }

    /// In a line.
    pub fn line(&self) -> String {
        format!(
            "{:>6.0} s  {} frames ({:.0}/s, {:.0} kB/s)  books {} live {} stale {} resyncing {} down  gaps {}  lost {}  \
             lag {:.0} ms, fsync {:.0} ms, queue {}",
            self.elapsed.as_secs_f64(),
            self.received,
            self.frames_per_s,
            self.bytes_per_s / 1e3,
            self.live,
            self.stale,
            self.resyncing,
            self.down,
            self.gaps,
            self.lost,
            self.journal.write_lag.as_secs_f64() * 1e3,
            self.journal.sync_lag.as_secs_f64() * 1e3,
            self.waiting,
        )
    }
}

/// What it came to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Name of the run.
    pub run: String,
    /// Why it ended.
    pub reason: &'static str,
    /// First instant.
    pub started: String,
    /// Last instant.
    pub ended: String,
    /// Length by the monotonic clock.
    pub seconds: f64,
    /// Frames and answers received, and connections.
    #[serde(flatten)]
    pub law: Law,
    /// Records that the journal has.
    pub journaled: u64,
    /// What became of the frames.
    pub totals: Totals,
    /// Whether received = journaled = applied + ignored + quarantined, and live time + gaps = length, for every market.
    pub balanced: bool,
    /// Segments, blocks, bytes before packing and in the files.
    pub segments: u64,
    /// See `segments`.
    pub blocks: u64,
    /// See `segments`.
    pub unpacked_bytes: u64,
    /// See `segments`.
    pub file_bytes: u64,
    /// Longest that a record waited for the kernel to have it.
    pub most_write_lag_ms: f64,
    /// Longest that a record waited for the disk to have it.
    pub most_sync_lag_ms: f64,
    /// Markets.
    pub markets: u64,
    /// Time without a rate, in seconds, when rates were wanted.
    pub fx_without_s: Option<f64>,
    /// Stretches without a live book.
    pub gaps: Vec<GapRecord>,
    /// More of them.
    pub gaps_not_listed: u64,
}

impl Summary {
    pub(super) fn new(
        run: String,
        reason: Reason,
        (start, end): (Stamp, Stamp),
        state: &Run,
        law: Law,
        journal: Status,
    ) -> Summary {
        let totals = state.totals();
        let (gaps, gaps_not_listed) = state.gaps();
        let markets = state.pipeline().len() as u64;
        let balanced = totals.balances()
            && totals.waiting == 0
            && totals.received == law.received
            && journal.written == law.pushed
            && state.covers();
        Summary {
            run,
            reason: reason.name(),
            started: rfc3339(start.ts),
            ended: rfc3339(end.ts),
            seconds: (end.mono_ns - start.mono_ns) as f64 / 1e9,
            journaled: journal.written,
            balanced,
            segments: journal.segments,
            blocks: journal.blocks,
            unpacked_bytes: journal.unpacked_bytes,
            file_bytes: journal.file_bytes,
            most_write_lag_ms: journal.most_write_lag.as_secs_f64() * 1e3,
            most_sync_lag_ms: journal.most_sync_lag.as_secs_f64() * 1e3,
            markets,
            fx_without_s: state.fx().map(|fx| fx.stats().without_ns as f64 / 1e9),
            gaps: gaps.to_vec(),
            gaps_not_listed,
            law,
            totals,
        }
    }

    /// Writes it beside the segments, under the name of the run, whole or not at all.
    pub(super) fn write(&self, out: &Path) -> Result<(), RecordError> {
        let path = out.join(format!("summary-{}.json", self.run));
        let partial = out.join(format!(".summary-{}.partial", self.run));
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        let written = text.and_then(|text| {
            let mut file = File::create(&partial)?;
            file.write_all(&text)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        });
        written.map_err(|source| RecordError::Summary { path, source })
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let totals = &self.totals;
        let ignored: u64 = totals.ignored.values().sum();
        let mut lines = vec![
            format!(
                "recorded {:.1} s of {} markets: {} frames and answers, {} bytes ({})",
                self.seconds, self.markets, self.law.received, totals.bytes, self.reason
            ),
            format!(
                "received {} = applied {} + ignored {ignored} + quarantined {}; journaled {} of {} records{}",
                totals.received,
                totals.applied,
                totals.quarantined,
                self.journaled,
                self.law.pushed,
                if self.balanced { "" } else { "  DOES NOT BALANCE" },
            ),
        ];
        if !totals.ignored.is_empty() {
            let reasons = totals.ignored.iter().map(|(reason, count)| format!("{reason} {count}"));
            lines.push(format!("  ignored: {}", reasons.collect::<Vec<_>>().join(", ")));
        }
        let links = self.law.links.iter().map(|(what, count)| format!("{what} {count}"));
        lines.push(format!("  connections: {}", links.collect::<Vec<_>>().join(", ")));
        lines.push(format!(
            "  journal: {} segments, {} blocks, {} bytes ({:.0} a frame); longest wait for the kernel {:.0} ms, for the disk {:.0} ms",
            self.segments,
            self.blocks,
            self.file_bytes,
            self.file_bytes as f64 / self.law.received.max(1) as f64,
            self.most_write_lag_ms,
            self.most_sync_lag_ms,
        ));
        lines.push(format!(
            "  market minutes with a live book {:.1}, without {:.1} ({} gaps)",
            totals.live_ns as f64 / 60e9,
            totals.gap_ns as f64 / 60e9,
            self.gaps.len() as u64 + self.gaps_not_listed,
        ));
        lines
    }
}

/// The account as the journal's last mark holds it.
pub(super) fn counts(totals: &Totals) -> BTreeMap<String, u64> {
    [
        ("received", totals.received),
        ("applied", totals.applied),
        ("ignored", totals.ignored.values().sum()),
        ("quarantined", totals.quarantined),
        ("bytes", totals.bytes),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), count))
    .collect()
}
