//! `crossbook record` as a user meets it: the program against the loopback exchange over real sockets.

mod crash;
mod datasets;
mod rates;
mod refusals;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbook_feed::journal::{Item, Reader, Record, Report, segments_in};
use crossbook_simex::Server;
use crossbook_simex::config::{Config, Markets};
use crossbook_simex::exchange::Venue;
use tokio::runtime::Runtime;

use super::lab;

/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A busy exchange, as long as this lives, and a folder with a file to record it by.
struct Bench {
    root: tempfile::TempDir,
    server: Option<Server>,
    runtime: Runtime,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(None)
    }

    /// With a fault script (TOML).
    fn with(faults: Option<&str>) -> Bench {
        let root = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut config = Config {
            markets: Markets::first(2),
            ..Config::default()
        };
        config.rates.upbit_books_per_s = 30.0;
        config.rates.binance_books_per_s = 30.0;
        config.rates.trades_per_s = 10.0;
        config.rates.binance_levels = 100;
        if let Some(script) = faults {
            let path = root.path().join("faults.toml");
            std::fs::write(&path, script).unwrap();
            config.faults = Some(path);
        }
        let server = runtime.block_on(Server::start(&config)).unwrap();
        let text = format!(
            "out = \"rec\"\nprogress_ms = 500\n\
             [[venue]]\nname = \"upbit\"\nprotocol = \"upbit\"\nrest_url = \"{}\"\nws_url = \"{}\"\n\
             [[venue]]\nname = \"binance\"\nprotocol = \"binance-spot\"\nrest_url = \"{}\"\nws_url = \"{}\"\n\
             [markets]\nbases = [\"BTC\", \"ETH\"]\n\
             [fx]\nsources = [{{ name = \"upbit-usdt\", max_age_ms = 60000, \
             from = {{ book = {{ venue = \"upbit\", market = \"KRW-USDT\" }} }} }}]\n",
            server.rest_url(Venue::Upbit),
            server.ws_url(Venue::Upbit),
            server.rest_url(Venue::Binance),
            server.ws_url(Venue::Binance),
        );
        std::fs::write(root.path().join("record.toml"), text).unwrap();
        Bench {
            root,
            server: Some(server),
            runtime,
        }
    }

    fn root(&self) -> &Path {
        self.root.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        let args: Vec<&str> = ["record", "record.toml"].iter().chain(more).copied().collect();
        let mut command = lab::crossbook(self.root(), &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn told(&self, more: &[&str]) -> lab::Told {
        self.command(more).output().unwrap().into()
    }

    /// Starts a recording and waits until its journal holds this many records.
    fn recording(&self, more: &[&str], records: usize) -> Recorder {
        let before = read(&self.path("rec")).map_or(0, |(found, _)| found.len());
        let mut recorder = Recorder(Some(self.command(more).spawn().unwrap()));
        let patience = Instant::now() + PATIENCE;
        while read(&self.path("rec")).map_or(0, |(found, _)| found.len()) < before + records {
            let ended = recorder.child().try_wait().unwrap();
            if ended.is_some() || Instant::now() > patience {
                panic!("{}", recorder.told().err);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        recorder
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop()).unwrap();
        }
    }
}

/// A recording that is killed when its test is over.
struct Recorder(Option<Child>);

impl Recorder {
    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it runs")
    }

    fn signal(&mut self, name: &str) {
        let pid = self.child().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn told(mut self) -> lab::Told {
        self.0.take().expect("it runs").wait_with_output().unwrap().into()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What came in, by a journal; `None` when there is none yet.
fn read(dir: &Path) -> Option<(Vec<Record>, Report)> {
    let mut reader = Reader::open(dir).ok()?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        if matches!(record.item, Item::Input { .. }) {
            records.push(record);
        }
    }
    Some((records, reader.report().clone()))
}

fn segments(dir: &Path) -> Vec<(PathBuf, u64)> {
    segments_in(dir).unwrap()
}
