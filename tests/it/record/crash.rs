//! What a killed recorder leaves, and what the next one does with it.

use std::os::unix::process::ExitStatusExt;

use crossbook_engine::units::TimestampNs;

use super::{Bench, read, segments};
use crate::lab::Told;

fn now() -> TimestampNs {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    TimestampNs(since.as_nanos() as i64)
}

#[test]
fn f37_f49_a_kill_costs_the_last_moment_and_a_restart_touches_nothing() {
    let bench = Bench::new();
    let rec = bench.path("rec");
    let mut first = bench.recording(&["--quiet"], 300);
    let killed_at = now();
    first.signal("-KILL");
    let output = first.0.take().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(9));

    let (records, report) = read(&rec).unwrap();
    assert!(!report.doubtful(), "{:?}", report.damages);
    assert_eq!(report.not_closed.len(), 1);
    // The promise is 50 ms; a machine that is busy elsewhere may stop the writer's thread for longer, but not for this long.
    let missing = killed_at.since(records.last().unwrap().stamp.ts);
    println!("the newest record was {:.1} ms old at the kill", missing as f64 / 1e6);
    assert!(missing < 2_000_000_000, "{missing} ns");

    let before: Vec<_> = segments(&rec)
        .iter()
        .map(|(path, _)| std::fs::read(path).unwrap())
        .collect();
    let mut second = bench.recording(&[], 100);
    second.signal("-TERM");
    let told: Told = second.told();
    assert_eq!(told.code, Some(0), "{}", told.err);
    let after = segments(&rec);
    assert!(after.len() > before.len());
    for (bytes, (path, _)) in before.iter().zip(&after) {
        assert_eq!(&std::fs::read(path).unwrap(), bytes, "{}", path.display());
    }
    let (both, report) = read(&rec).unwrap();
    assert_eq!(both[..records.len()], records[..]);
    assert!(!report.doubtful(), "{:?}", report.damages);
}

#[test]
fn f38_term_ends_a_recording_in_order() {
    let bench = Bench::new();
    let mut recorder = bench.recording(&["--json"], 100);
    recorder.signal("-TERM");
    let told = recorder.told();
    assert_eq!(told.code, Some(0), "{}", told.err);
    let json = told.json();
    assert_eq!(
        (json["reason"].as_str(), json["balanced"].as_bool()),
        (Some("signal"), Some(true))
    );
    let (_, report) = read(&bench.path("rec")).unwrap();
    assert!(report.not_closed.is_empty() && report.cuts.is_empty() && !report.doubtful());
    // Where nobody draws a bar, plain lines tell how it stands.
    assert!(
        told.err.contains(" live ") && told.err.contains("frames ("),
        "{}",
        told.err
    );
    assert!(
        told.out.contains("received ") && told.out.contains("journal: "),
        "{}",
        told.out
    );
}

#[test]
fn f40_the_second_recorder_of_a_folder_is_refused_by_name() {
    let bench = Bench::new();
    let mut first = bench.recording(&[], 50);
    let second = bench.told(&["--duration", "1s"]);
    assert_eq!(second.code, Some(2), "{}", second.err);
    let owner = format!("process {},", first.child().id());
    assert!(second.err.contains(&owner), "{}", second.err);
    assert_eq!(segments(&bench.path("rec")).len(), 1);
    first.signal("-INT");
    assert_eq!(first.told().code, Some(0));
}

#[test]
fn f44_a_full_disk_ends_it_with_the_path_and_leaves_what_was_written() {
    let bench = Bench::new();
    // Blocks of 512 or 1024 bytes, by shell.
    let full = "trap '' XFSZ; ulimit -f 64; exec \"$0\" record record.toml --duration 60s --quiet";
    let told: Told = std::process::Command::new("sh")
        .args(["-c", full, env!("CARGO_BIN_EXE_crossbook")])
        .current_dir(bench.root())
        .output()
        .unwrap()
        .into();
    assert_eq!(told.code, Some(4), "{}", told.err);
    assert!(
        told.err.contains("write rec/000001-") && told.err.contains("File too large"),
        "{}",
        told.err
    );
    let (records, report) = read(&bench.path("rec")).unwrap();
    assert!(!records.is_empty() && !report.doubtful(), "{report:?}");
    // With room again it goes on beside it.
    let told = bench.told(&["--duration", "500ms", "--quiet"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert_eq!(read(&bench.path("rec")).unwrap().0[..records.len()], records[..]);
}
