//! Scenarios over recordings, from the raw files to the result, through the program as a user has it: `import.sh` makes
//! the datasets, `crossbook replay` runs the scenarios of `scenarios/real`. The recordings are not part of the repository:
//! `CROSSBOOK_DATA` says where they are, and without it each test says loudly that it was skipped.

mod kimchi;
mod link;
mod parity;
mod triple;
mod tuning;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crossbook::config;
use crossbook::dataset::reader::{Dataset, ReadOptions};
use crossbook::runner::replay::{DEFAULT_MEMORY, run_into};
use crossbook::runner::setup::prepare;
use crossbook_engine::book::{Book, BookSide};
use crossbook_engine::event::{EventKind, Level};
use crossbook_engine::instrument::RouteId;
use crossbook_engine::records::{Recorder, SpreadPoint};
use crossbook_engine::units::TimestampNs;

/// What `import.sh` can make; each is made once for all tests.
#[derive(Debug, Clone, Copy)]
enum Set {
    Triple,
    Link,
    Kimchi,
    Parity,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of recordings, or `None` with a loud word about it.
fn raw(test: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CROSSBOOK_DATA").map(PathBuf::from);
    if root.is_none() {
        eprintln!("SKIPPED {test}: CROSSBOOK_DATA is not set");
    }
    root
}

/// A folder of this test program's own that is empty when it starts.
fn work() -> &'static Path {
    static WORK: OnceLock<PathBuf> = OnceLock::new();
    WORK.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real");
        if dir.exists() {
            std::fs::remove_dir_all(&dir).unwrap();
        }
        std::fs::create_dir_all(&dir).unwrap();
        dir
    })
}

/// The folder of datasets with this set in it, or `None` when there are no recordings.
fn datasets(test: &str, set: Set) -> Option<PathBuf> {
    static MADE: [OnceLock<()>; 4] = [const { OnceLock::new() }; 4];
    let raw = raw(test)?;
    let out = work().join("data");
    MADE[set as usize].get_or_init(|| {
        let name = format!("{set:?}").to_lowercase();
        let import = Command::new(repository().join("scenarios/real/import.sh"))
            .args([&raw, &out])
            .arg(name)
            .env("CROSSBOOK", env!("CARGO_BIN_EXE_crossbook"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&import.stderr);
        assert!(import.status.success(), "import.sh {set:?}: {errors}");
    });
    Some(out)
}

/// Every premium that the engine sees on a scenario's first route, in bps, by the time of the decision that saw it.
fn premiums(data: &Path, scenario: &str, sets: &[&str]) -> Vec<(i64, f64)> {
    struct Premiums(Vec<(i64, f64)>);
    impl Recorder for Premiums {
        fn spread(&mut self, point: &SpreadPoint) {
            if point.route == RouteId(0) {
                self.0.push((point.ts.0, point.premium.to_ratio() * 1e4));
            }
        }
    }
    let path = repository().join(format!("scenarios/real/{scenario}.toml"));
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let scenario = config::load(&path, &sets).unwrap();
    let mut setup = prepare(&path, &scenario, Some(data)).unwrap();
    setup.engine.sample_ns = 1;
    let mut premiums = Premiums(Vec::new());
    run_into(&setup, DEFAULT_MEMORY, &mut premiums, &mut |_| true).unwrap();
    // The end of the data is sampled once more; nothing was decided there.
    premiums.0.pop();
    premiums.0
}

/// What a run left.
struct Run {
    dir: PathBuf,
    summary: serde_json::Value,
}

/// Replays a scenario of `scenarios/real` with `crossbook replay`.
fn replay(data: &Path, scenario: &str, sets: &[&str]) -> Run {
    static COUNT: Mutex<u32> = Mutex::new(0);
    let number = {
        let mut count = COUNT.lock().unwrap();
        *count += 1;
        *count
    };
    let id = format!("{scenario}-{number}");
    let out = work().join("runs");
    let run = Command::new(env!("CARGO_BIN_EXE_crossbook"))
        .arg("replay")
        .arg(repository().join(format!("scenarios/real/{scenario}.toml")))
        .arg("--data-root")
        .arg(data)
        .arg("--out")
        .arg(&out)
        .args(["--id", &id, "--csv", "--no-plots", "--quiet", "--json"])
        .args(sets.iter().flat_map(|set| ["--set", set]))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{scenario} {sets:?}: {errors}");
    Run {
        dir: out.join(id),
        summary: serde_json::from_slice(&run.stdout).unwrap(),
    }
}

impl Run {
    fn count(&self, counter: &str) -> u64 {
        self.summary["counters"][counter].as_u64().unwrap()
    }

    fn trips(&self) -> (u64, u64) {
        let figure = |key: &str| self.summary[key].as_u64().unwrap();
        (figure("round_trips"), figure("wins"))
    }

    fn money(&self, key: &str) -> f64 {
        self.summary[key].as_f64().unwrap()
    }

    fn digest(&self) -> &str {
        self.summary["digest"].as_str().unwrap()
    }

    /// Columns of one of its tables.
    fn columns<const N: usize>(&self, table: &str, names: [&str; N]) -> Vec<[String; N]> {
        let path = self.dir.join(format!("{table}.csv"));
        let mut reader = csv::Reader::from_path(&path).unwrap();
        let header = reader.headers().unwrap().clone();
        let places = names.map(|name| header.iter().position(|found| found == name).expect(name));
        let rows = reader.records().map(|row| {
            let row = row.unwrap();
            places.map(|place| row[place].to_owned())
        });
        rows.collect()
    }
}

/// A book's best levels after one message.
#[derive(Debug, Clone, Copy)]
struct Top {
    ts_event: TimestampNs,
    ts_recv: TimestampNs,
    bid: Level,
    ask: Level,
    /// Whether the engine would price it.
    priced: bool,
}

/// The engine's book after each book message of a dataset, as a replay reads it. A crossed one fails the test.
fn tops(data: &Path, name: &str) -> Vec<Top> {
    let dataset = Dataset::open(&data.join(name)).unwrap();
    let mut book = Book::default();
    let mut tops = Vec::new();
    for chunk in dataset.chunks(ReadOptions::default()) {
        let chunk = chunk.unwrap();
        for (index, header) in chunk.headers().iter().enumerate() {
            let event = chunk.event(index);
            book.apply(header.ts_event, header.ts_recv, &event);
            if let EventKind::Snapshot { .. } | EventKind::Update { .. } = event {
                let (bid, ask) = (book.best(BookSide::Bid).unwrap(), book.best(BookSide::Ask).unwrap());
                tops.push(Top {
                    ts_event: header.ts_event,
                    ts_recv: header.ts_recv,
                    bid,
                    ask,
                    priced: book.top().is_ok(),
                });
            }
        }
    }
    assert_eq!(book.crossed_count(), 0, "{name}");
    tops
}

/// The newest of a sorted list at an instant.
fn as_of<T>(list: &[T], key: impl Fn(&T) -> i64, at: i64) -> Option<&T> {
    list[..list.partition_point(|item| key(item) <= at)].last()
}

/// Mean, standard deviation (of the population), least and most.
fn statistics(values: &[f64]) -> [f64; 4] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [mean, variance.sqrt(), least, most]
}
