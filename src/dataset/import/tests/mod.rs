//! Tables of inputs and what they become, format by format, and arbitrary bytes through every parser.

mod bytes;
mod captures;
mod numpy;
mod tables;

use std::collections::BTreeMap;

use crossbook_engine::event::{Kind, Level};

use super::time::parse_zone;
use super::*;
use crate::dataset::message::Message;

/// What an import came to, in memory.
#[derive(Debug, Default)]
struct Collected {
    /// Messages as text, by name of the dataset.
    streams: BTreeMap<String, Vec<String>>,
    /// Line and reason of each broken frame.
    quarantined: Vec<(u64, String)>,
    summaries: Vec<Summary>,
    account: Account,
}

impl Sink for Collected {
    fn message(&mut self, stream: &Stream, message: &Message) -> Result<(), ImportError> {
        self.streams
            .entry(stream.dataset_name())
            .or_default()
            .push(show(message));
        Ok(())
    }

    fn quarantine(&mut self, frame: &Quarantined<'_>) -> Result<(), ImportError> {
        assert!(!frame.raw.is_empty());
        self.quarantined.push((frame.place.line, frame.reason.clone()));
        Ok(())
    }
}

/// Imports byte strings as if they were files.
fn run_bytes(format: Format, files: &[(&str, &[u8])], options: &Options) -> Result<Collected, String> {
    let mut collected = Collected::default();
    let result = (|| {
        let mut importer = importer(format, options)?.expect("a format of byte streams");
        let mut output = Output::new(options, &mut collected);
        for (name, bytes) in files {
            let mut bytes = *bytes;
            importer.read(
                Input {
                    name,
                    reader: &mut bytes,
                },
                &mut output,
            )?;
        }
        importer.finish(&mut output)?;
        output.finish()
    })();
    let (summaries, account) = result.map_err(|error: ImportError| error.to_string())?;
    assert!(account.balances(), "{account:?}");
    assert_eq!(account.quarantined, collected.quarantined.len() as u64);
    (collected.summaries, collected.account) = (summaries, account);
    Ok(collected)
}

fn run(format: Format, text: &str, options: &Options) -> Result<Collected, String> {
    run_bytes(format, &[("f", text.as_bytes())], options)
}

fn ignored(collected: &Collected, reason: &str) -> u64 {
    collected.account.ignored.get(reason).copied().unwrap_or(0)
}

/// A message in one line: kind, times, numbers, levels.
fn show(message: &Message) -> String {
    let list = |levels: &[Level]| {
        let levels: Vec<String> = levels
            .iter()
            .map(|level| format!("{}x{}", short(level.price.raw()), short(level.qty.raw())))
            .collect();
        levels.join(" ")
    };
    let kind = match message.kind {
        Kind::Snapshot => "snapshot",
        Kind::CompleteSnapshot => "complete",
        Kind::Update => "update",
        Kind::Trade => "trade",
        Kind::Fx => "fx",
        Kind::Funding => "funding",
        Kind::Status => "status",
    };
    let mut text = format!("{kind} {} {}", message.ts_event.0, message.ts_recv.0);
    if let Some(last) = message.seq_last {
        let first = message.seq_first.map(|id| id.to_string()).unwrap_or_default();
        let prev = message.seq_prev.map(|id| format!("<{id}")).unwrap_or_default();
        text.push_str(&format!(" #{first}..{last}{prev}"));
    }
    match message.kind {
        Kind::Fx => text.push_str(&format!(" {}", short(message.values[0]))),
        Kind::Funding => text.push_str(&format!(" {} at {}", message.values[0], short(message.values[1]))),
        Kind::Status => text.push_str(&format!(" {}", message.values[0])),
        _ => text.push_str(&format!(" [{}|{}]", list(&message.bids), list(&message.asks))),
    }
    text
}

/// A decimal without its trailing zeros.
fn short(raw: i64) -> String {
    let text = format!("{}.{:08}", raw / 100_000_000, raw % 100_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn in_zone(text: &str) -> Options {
    Options {
        zone: parse_zone(text),
        ..Options::default()
    }
}
