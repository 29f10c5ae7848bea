//! Exchange, configuration and program: what is set up before anything is checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crossbook_simex::config::{Config, Markets};
use crossbook_simex::exchange::Venue;
use crossbook_simex::server::Server;
use crossbook_simex::truth::read::Index;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::repository;

/// Coins at each venue.
pub const COINS: usize = 30;

/// Levels a side that are compared with the truth.
pub const LEVELS: usize = 15;

/// What the exchange does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// `config/simex/faults.toml`.
    TwentyFaults,
    /// `config/simex/storm.toml`.
    Storm,
}

/// A recording that has been made, and the truth about it.
pub struct Stage {
    pub dir: TempDir,
    /// The journal's folder.
    pub recording: PathBuf,
    /// What the recorder printed as JSON.
    pub summary: Value,
    /// All states of all books.
    pub truth: Index,
    /// The truth log.
    pub truth_log: PathBuf,
    /// Resident memory of the recorder, in KiB, once a second.
    pub memory: Vec<u64>,
    /// Books older than this are stale, in nanoseconds.
    pub stale_ns: i64,
}

impl Stage {
    /// Records for this long.
    pub fn play(load: Load, length: Duration) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let scale = length.as_secs_f64() / 600.0;
        let truth_log = dir.path().join("truth.jsonl.zst");
        let faults = dir.path().join("faults.toml");
        let script = match load {
            Load::TwentyFaults => {
                let text = read("config/simex/faults.toml");
                let scaled = text.replacen("scale = 1.0", &format!("scale = {scale}"), 1);
                assert!(scale == 1.0 || scaled != text, "the script has a scale");
                scaled
            }
            Load::Storm => read("config/simex/storm.toml"),
        };
        fs::write(&faults, script).unwrap();
        let mut config = Config {
            seed: 11,
            markets: Markets::first(COINS),
            faults: Some(faults),
            ..Config::default()
        };
        config.truth.path = Some(truth_log.clone());
        config.truth.checksum_levels = LEVELS;

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Server::start(&config)).unwrap();
        let recording = dir.path().join("recording");
        let stale_ms = scaled_ms(20_000, scale, 1_500);
        let file = write_config(dir.path(), &recording, &server, scale, stale_ms);
        let (summary, memory) = record(&file, length);
        runtime.block_on(server.stop()).unwrap();
        drop(runtime);
        let truth = Index::load(&truth_log, None).unwrap();
        assert!(truth.complete, "the truth log was closed");
        Stage {
            recording,
            summary,
            truth,
            truth_log,
            memory,
            stale_ns: i64::try_from(stale_ms).unwrap() * 1_000_000,
            dir,
        }
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).unwrap()
}

/// Timers shrink with the recording, down to what one machine can keep.
fn scaled_ms(ms: u64, scale: f64, least: u64) -> u64 {
    ((ms as f64 * scale) as u64).max(least)
}

fn write_config(dir: &Path, out: &Path, server: &Server, scale: f64, stale_ms: u64) -> PathBuf {
    let ms = |ms, least| scaled_ms(ms, scale, least);
    let timers = format!(
        "timers = {{ connect_ms = {}, first_data_ms = {}, idle_ms = {}, ping_ms = {}, pong_ms = {}, backoff_first_ms = {}, \
         backoff_most_ms = {}, stable_ms = {}, overlap_ms = {} }}\n\
         books = {{ stale_after_ms = {stale_ms}, crossed_after_ms = {}, retry_first_ms = 100, retry_most_ms = {}, \
         snapshot_ms = {} }}\n\
         rest = {{ fallback_after_ms = {}, banned_ms = {} }}\n",
        ms(10_000, 2_000),
        ms(10_000, 2_000),
        ms(15_000, 1_500),
        ms(5_000, 500),
        ms(5_000, 500),
        ms(1_000, 100),
        ms(30_000, 1_000),
        ms(60_000, 3_000),
        ms(2_000, 200),
        ms(1_000, 200),
        ms(10_000, 1_000),
        ms(10_000, 1_000),
        ms(5_000, 500),
        ms(120_000, 2_000),
    );
    let mut text = format!("out = {:?}\n", out.display().to_string());
    for (name, protocol, venue, levels) in [
        ("upbit", "upbit", Venue::Upbit, 30),
        ("binance", "binance-spot", Venue::Binance, 1_000),
    ] {
        text += &format!(
            "[[venue]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nrest_url = \"{}\"\nws_url = \"{}\"\nlevels = {levels}\n\
             markets_per_socket = 10\n{timers}",
            server.rest_url(venue),
            server.ws_url(venue)
        );
    }
    let listed = &crossbook_simex::config::bases::BASES[..COINS];
    let quoted = |spell: &dyn Fn(&str) -> String| {
        let names: Vec<String> = listed.iter().map(|base| format!("{:?}", spell(base.code))).collect();
        names.join(", ")
    };
    text += &format!(
        "[markets]\nlist = {{ upbit = [{}], binance = [{}] }}\nalso = {{ upbit = [\"KRW-USDT\"] }}\n",
        quoted(&|code| format!("KRW-{code}")),
        quoted(&|code| format!("{code}USDT")),
    );
    text += "[fx]\nsources = [{ name = \"upbit-usdt\", max_age_ms = 60000, from = { book = { venue = \"upbit\", market = \"KRW-USDT\" } } }]\n";
    let file = dir.join("record.toml");
    fs::write(&file, text).unwrap();
    file
}

/// Runs the recorder and watches its memory.
fn record(config: &Path, length: Duration) -> (Value, Vec<u64>) {
    let program = std::env::var("CROSSBOOK_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_crossbook").to_owned());
    let mut child = Command::new(program)
        .args(["record", "--json", "--quiet", "--duration"])
        .arg(format!("{}ms", length.as_millis()))
        .arg(config)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let latest = Instant::now() + length + Duration::from_secs(60);
    let mut memory = Vec::new();
    while child.try_wait().unwrap().is_none() {
        if let Ok(status) = fs::read_to_string(&status_file)
            && let Some(line) = status.lines().find(|line| line.starts_with("VmRSS:"))
            && let Some(kib) = line.split_whitespace().nth(1)
        {
            memory.push(kib.parse().unwrap());
        }
        if Instant::now() > latest {
            child.kill().unwrap();
            panic!("the recorder does not end");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?}: {said}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let summary = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap();
    (summary, memory)
}
