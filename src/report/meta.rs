//! What the rows of a run do not say themselves: names, inputs, counts, and how long it took.

use std::collections::BTreeMap;

use crossbook_engine::instrument::CurrencyId;
use crossbook_engine::records::Rows;
use crossbook_engine::units::{FxRate, TimestampNs};
use serde::{Deserialize, Serialize};

use super::statistics::Statistics;

/// A finished run, whole: what a run directory holds and what pictures and reports are made from.
#[derive(Debug, Clone)]
pub struct Run {
    /// Name of its directory.
    pub run_id: String,
    /// Facts that are the same each time the same run is made.
    pub meta: RunMeta,
    /// The resolved configuration, as TOML text.
    pub config: String,
    /// Everything that happened.
    pub rows: Rows,
    /// Figures derived from `rows` and `meta`.
    pub statistics: Statistics,
    /// Wall time of the replay in seconds: the one thing that differs from run to run.
    pub seconds: f64,
}

/// Facts about a run that repeat exactly; `manifest.json` holds nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunMeta {
    /// Name of the scenario.
    pub scenario: String,
    /// Version of crossbook.
    pub version: String,
    /// Seed of all randomness.
    pub seed: u64,
    /// Hash over every decision, order, fill and ledger movement, in hexadecimal.
    pub digest: String,
    /// Currency of equity, PnL and fees.
    pub base_currency: String,
    /// First and last receive time of the events replayed; `None` when there was none.
    pub window: Option<Window>,
    /// Instruments by id.
    pub instruments: Vec<InstrumentInfo>,
    /// Names of the routes by id.
    pub routes: Vec<String>,
    /// Currencies by id.
    pub currencies: Vec<CurrencyInfo>,
    /// Datasets that were read.
    pub inputs: Vec<InputInfo>,
    /// Events that the engine saw.
    pub events: u64,
    /// Book levels (and other rows) in those events.
    pub rows: u64,
    /// Named counts to show and keep: messages dropped, gaps, events while crossed.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// Named stretches in which nothing could be traded, in nanoseconds: `no_fx`, `stale`, `blocked`.
    #[serde(default)]
    pub idle_ns: BTreeMap<String, i64>,
    /// Sentences that a reader of the results must see (`fill_model = "top"` flatters).
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A span of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// First instant.
    pub from: TimestampNs,
    /// Last instant.
    pub to: TimestampNs,
}

impl Window {
    /// Length in nanoseconds.
    pub fn span_ns(self) -> i64 {
        self.to.since(self.from)
    }
}

/// An instrument of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentInfo {
    /// `venue:symbol`, unique within the run.
    pub name: String,
    /// Currency of its prices and notionals.
    pub quote: CurrencyId,
}

/// A currency of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrencyInfo {
    /// Its name, unique within the run.
    pub name: String,
    /// What one unit was worth in the base currency at the end of the run; `None` if nothing said so.
    pub rate: Option<FxRate>,
}

/// A dataset that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputInfo {
    /// Its name in the scenario.
    pub name: String,
    /// Its content hash, in hexadecimal.
    pub hash: String,
    /// Messages read.
    pub messages: u64,
    /// Book levels (and other rows) in them.
    pub rows: u64,
}
