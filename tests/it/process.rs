//! What a replay leaves when the process or the disk fails: a whole run or none (F37, F41, F44, F47 to F50 for run directories).

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbook::dataset::manifest::{DatasetKind, Draft};
use crossbook::dataset::message::Message;
use crossbook::dataset::writer::Writer;
use crossbook_engine::event::{Kind, Level};
use crossbook_engine::units::{Price, Qty, TimestampNs};

use super::by_hand::{self, DELAY, Market, START, TICK};
use super::lab::{self, Told};

/// Two books of 100 levels a side, `messages` long each, and a scenario that never trades on them.
fn deep_market(root: &Path, messages: i64) {
    let step = 100_000_000;
    for (name, venue, symbol, quote, mid) in [
        ("a", "upbit", "KRW-BTC", "KRW", 140_000_000),
        ("b", "binance", "BTCUSDT", "USDT", 100_000),
    ] {
        let draft = Draft::new(name, venue, symbol, DatasetKind::Book, "BTC", quote);
        let mut writer = Writer::create(&root.join(name), draft, false).unwrap();
        let at = TimestampNs(START);
        let mut message = Message::new(Kind::CompleteSnapshot, at, at.plus(DELAY));
        let level = |price: i64| Level {
            price: Price::from_raw(price * step).unwrap(),
            qty: Qty::parse("0.2").unwrap(),
        };
        message.bids = (1..=100).map(|k| level(mid - k)).collect();
        message.asks = (1..=100).map(|k| level(mid + k)).collect();
        for k in 0..messages {
            message.ts_event = at.plus(k * TICK);
            message.ts_recv = message.ts_event.plus(DELAY);
            writer.push(&message).unwrap();
        }
        writer.finish().unwrap();
    }
    let scenario = by_hand::SCENARIO
        .replace("\"a\", \"b\", \"rate\"", "\"a\", \"b\"")
        .replace("source = \"rate\"", "source = \"1400\"");
    std::fs::write(root.join("s.toml"), scenario).unwrap();
}

fn small(root: &Path) {
    Market::new(25).write(root);
    std::fs::write(root.join("s.toml"), by_hand::SCENARIO).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .map(|entries| {
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

fn replay(root: &Path, more: &[&str]) -> Child {
    let args = ["replay", "s.toml", "--id", "run", "--no-plots", "--quiet"];
    let args: Vec<&str> = args.iter().chain(more).copied().collect();
    let mut command = lab::crossbook(root, &args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the child has begun its run directory, and then a little.
fn begun(root: &Path, child: &mut Child) {
    let patience = Instant::now() + Duration::from_secs(20);
    while names(&root.join("runs")).is_empty() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(50));
    assert!(child.try_wait().unwrap().is_none(), "too fast to be interrupted");
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Ctrl-C and TERM end a replay with exit code 3 and leave nothing; `kill -9` leaves no run, and the next run clears up.
#[test]
fn f37_a_replay_that_is_stopped_leaves_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    deep_market(root, 20_000);
    let runs = root.join("runs");
    for name in ["-INT", "-TERM"] {
        let mut child = replay(root, &[]);
        begun(root, &mut child);
        signal(&child, name);
        let told: Told = child.wait_with_output().unwrap().into();
        assert_eq!(told.code, Some(3), "{name}: {}", told.err);
        assert!(told.err.contains("interrupted"), "{name}: {}", told.err);
        assert!(names(&runs).is_empty(), "{name}: {:?}", names(&runs));
    }
    let mut child = replay(root, &[]);
    begun(root, &mut child);
    signal(&child, "-KILL");
    let told: Told = child.wait_with_output().unwrap().into();
    assert_eq!(told.code, None);
    assert!(!runs.join("run").exists());
    assert_eq!(names(&runs).len(), 1, "what the dead one was writing");
    let told: Told = replay(root, &[]).wait_with_output().unwrap().into();
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(names(&runs), ["run"]);
}

/// The most memory that the child ever held, in bytes, while it ran to its end.
fn peak_memory(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let done = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        match child.try_wait().unwrap() {
            Some(done) => break done,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    assert!(done.success());
    peak
}

/// Datasets ten times larger, once decoded, than the memory that decoding may take are replayed in that memory.
#[test]
fn f41_a_feed_larger_than_memory_is_replayed_in_flat_memory() {
    if !Path::new("/proc/self/status").exists() {
        eprintln!("SKIPPED f41_a_feed_larger_than_memory_is_replayed_in_flat_memory: no /proc");
        return;
    }
    let peak = |messages: i64| {
        let folder = tempfile::tempdir().unwrap();
        deep_market(folder.path(), messages);
        peak_memory(replay(folder.path(), &["--memory", "8M"]))
    };
    // 32 bytes for a message and 16 for each of its 200 levels: 6.5 KB an instant, so 8 MB once and ten times.
    let (once, ten) = (peak(1_250), peak(12_500));
    assert!(once > 0);
    let more = ten.saturating_sub(once);
    assert!(more < 12 << 20, "{} MB once, {} MB ten times", once >> 20, ten >> 20);
}

/// A full disk while the run is written ends with exit code 4 and the path; there is no run, and no half of one.
#[test]
fn f44_a_full_disk_during_a_replay_is_exit_code_4_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    small(root);
    // Blocks of 512 or 1024 bytes, by shell; the tables are larger.
    let full = "trap '' XFSZ; ulimit -f 4; exec \"$0\" replay s.toml --id run --csv";
    let output = Command::new("sh")
        .args(["-c", full, env!("CARGO_BIN_EXE_crossbook")])
        .current_dir(root)
        .env_remove("CROSSBOOK_DATA")
        .output()
        .unwrap();
    let told: Told = output.into();
    assert_eq!(told.code, Some(4), "{}", told.err);
    assert!(
        told.err.contains(".tmp-run-run/") && told.err.contains("File too large"),
        "{}",
        told.err
    );
    assert!(names(&root.join("runs")).is_empty());
}

/// A standard output that takes nothing more is a fault outside, not a panic; a reader who has gone is no fault.
#[test]
fn f44_a_full_standard_output_is_exit_code_4_and_the_run_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    small(root);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let args = ["replay", "s.toml", "--id", "run", "--no-plots", "--json"];
    let told: Told = lab::crossbook(root, &args)
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
        .into();
    assert_eq!(told.code, Some(4), "{}", told.err);
    assert!(told.err.contains("standard output: No space left"), "{}", told.err);
    assert_eq!(lab::told(root, &["verify", "runs/run"]).code, Some(0));

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let told: Told = lab::crossbook(root, &["verify", "runs/run", "--json"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
        .into();
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
}

/// Any file of a run cut short, or changed in one bit, is found by `verify` and by `plot`, and named.
#[test]
fn f47_f48_a_torn_or_flipped_run_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    small(root);
    let told: Told = replay(root, &[]).wait_with_output().unwrap().into();
    assert_eq!(told.code, Some(0), "{}", told.err);
    let run = root.join("runs/run");
    for name in ["fills.parquet", "config.toml", "manifest.json", "summary.json"] {
        let path = run.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [
            &whole[..whole.len() - 1],
            &whole[..whole.len() / 2],
            &whole[..0],
            &flipped,
        ] {
            std::fs::write(&path, damaged).unwrap();
            for command in ["verify", "plot"] {
                let told = lab::told(root, &[command, "runs/run"]);
                assert_eq!(told.code, Some(2), "{command} {name}: {}", told.err);
                assert!(told.err.contains(name) && told.err.contains("damaged"), "{}", told.err);
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    std::fs::remove_file(run.join("orders.parquet")).unwrap();
    let told = lab::told(root, &["verify", "runs/run"]);
    assert_eq!(told.code, Some(2));
    assert!(told.err.contains("orders.parquet"), "{}", told.err);
}

/// The same scenario again is a new run beside the first, which stays as it is.
#[test]
fn f49_a_second_run_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    small(root);
    let first = |root: &Path| std::fs::read(root.join("runs/run/fills.parquet")).unwrap();
    let told: Told = replay(root, &[]).wait_with_output().unwrap().into();
    assert_eq!(told.code, Some(0), "{}", told.err);
    let before = first(root);
    let told: Told = replay(root, &["--set", "strategy.entry_bps=500"])
        .wait_with_output()
        .unwrap()
        .into();
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(names(&root.join("runs")), ["run", "run-2"]);
    assert!(first(root) == before);
    let told: Told = replay(root, &["--set", "strategy.entry_bps=500", "--force"])
        .wait_with_output()
        .unwrap()
        .into();
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(names(&root.join("runs")), ["run", "run-2"]);
    assert!(first(root) != before, "replaced when told to");
}
