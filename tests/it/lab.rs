//! A bench for experiments: synthetic markets as datasets or in memory, small markets made by hand, and the program itself.

use std::convert::Infallible;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use crossbook::config;
use crossbook::dataset::message::Message;
use crossbook::dataset::synth::{Spec, generate, market_in_memory, streams};
use crossbook::dataset::writer::Writer;
use crossbook::report::Run;
use crossbook::runner::replay::{RunError, run};
use crossbook::runner::setup::{Setup, prepare};
use crossbook_engine::engine::Engine;
use crossbook_engine::event::Chunk;
use crossbook_engine::records::Recorder;
use crossbook_engine::replay::{InMemory, Streams, replay};
use crossbook_engine::sim::Sim;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The market of `datasets/specs/no-edge.toml`.
pub fn no_edge_spec() -> Spec {
    let text = std::fs::read_to_string(repository().join("datasets/specs/no-edge.toml")).unwrap();
    Spec::parse(&text).unwrap()
}

/// Writes a synthetic market as datasets below `root`.
pub fn write_market(root: &Path, spec: &Spec) {
    let drafts = streams(spec).unwrap();
    let mut writers: Vec<Writer> = drafts
        .into_iter()
        .map(|draft| Writer::create(&root.join(&draft.name), draft, false).unwrap())
        .collect();
    let mut sink = |stream: usize, message: &Message| -> Result<(), Infallible> {
        writers[stream].push(message).unwrap();
        Ok(())
    };
    generate(spec, &mut sink).unwrap();
    for writer in writers {
        writer.finish().unwrap();
    }
}

/// A scenario of the two venues that `no-edge.toml` describes, with the costs and delays of those it resembles.
pub const SCENARIO: &str = r#"
name = "proof"
seed = 1
base_currency = "KRW"
datasets = ["no-edge-upbit-krw-btc", "no-edge-binance-btcusdt", "no-edge-usdkrw"]

[venues.upbit]
kind = "spot"
taker_fee_bps = 5.0
order_latency = { model = "lognormal", median_ms = 12, sigma = 0.3 }
report_latency = { model = "constant", ms = 12 }
balances = { KRW = "50000000", BTC = "0.5" }

[venues.binance]
kind = "spot"
taker_fee_bps = 10.0
order_latency = { model = "lognormal", median_ms = 40, sigma = 0.3 }
report_latency = { model = "constant", ms = 40 }
balances = { USDT = "35000", BTC = "0.5" }

[fx]
source = "no-edge-usdkrw"
max_age_ms = 10000

[[routes]]
a = "upbit:KRW-BTC"
b = "binance:BTCUSDT"

[strategy]
fair_premium = { model = "zero" }
entry_bps = 5.0
exit_bps = 0.0
slippage_bps = 1.0
size = { notional = "1000000", currency = "KRW" }
"#;

/// A scenario prepared with these overrides; `root` holds its datasets.
pub fn setup(root: &Path, scenario: &str, sets: &[&str]) -> Setup {
    let path = root.join("scenario.toml");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let scenario = config::parse(scenario, &path, &sets).unwrap();
    prepare(&path, &scenario, None).unwrap()
}

/// A synthetic market in memory, by name of its datasets.
pub type Streamed = Vec<(String, Vec<Arc<Chunk>>)>;

/// The market of this seed.
pub fn in_memory(spec: &Spec, seed: u64) -> Streamed {
    market_in_memory(spec, seed)
        .unwrap()
        .into_iter()
        .map(|(draft, chunks)| (draft.name, chunks.into_iter().map(Arc::new).collect()))
        .collect()
}

/// Replays a prepared scenario over a market in memory.
pub fn replay_memory(setup: &Setup, seed: u64, market: &Streamed, recorder: &mut impl Recorder) -> Engine {
    let sources = setup.inputs.iter().map(|input| {
        let (_, chunks) = market.iter().find(|(name, _)| *name == input.name).unwrap();
        (input.target, Box::new(InMemory::new(chunks)) as Box<_>)
    });
    let mut streams = Streams::new(sources.collect(), setup.engine.instruments.len()).unwrap();
    let mut config = setup.sim.clone();
    config.seed = seed;
    let mut sim = Sim::new(config, &setup.engine.opening).unwrap();
    let mut engine = Engine::new(setup.engine.clone()).unwrap();
    replay(&mut engine, &mut sim, &mut streams, recorder, &mut |_| true).unwrap();
    engine
}

/// Replays a scenario over the datasets below `root`, within the process.
pub fn run_scenario(root: &Path, scenario: &str, sets: &[&str]) -> Result<Run, RunError> {
    let path = root.join("scenario.toml");
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let scenario = config::parse(scenario, &path, &sets).unwrap();
    run(&path, &scenario, "run", None, 64 << 20, &mut |_, _| true)
}

/// The program with these arguments, run in `dir`, without what the environment may say about data.
pub fn crossbook(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossbook"));
    command.args(args).current_dir(dir).env_remove("CROSSBOOK_DATA");
    command
}

/// What a program came to.
pub struct Told {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Told {
    /// The JSON object of the last line of standard output.
    pub fn json(&self) -> serde_json::Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{}", self.err))
    }
}

impl From<Output> for Told {
    fn from(output: Output) -> Told {
        Told {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the program in `dir` and waits for it.
pub fn told(dir: &Path, args: &[&str]) -> Told {
    crossbook(dir, args).output().unwrap().into()
}
