//! `crossbook plot` and what it makes, up to a real browser.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crossbook::report::{
    CurrencyInfo, Formats, InputInfo, InstrumentInfo, Run, RunMeta, Statistics, Window, comparison_files, files,
};
use crossbook::sink::{Existing, Extras, RunDirWriter};

#[path = "../../src/report/samples.rs"]
mod samples;

fn run_dir(root: &Path, id: &str, hours: i64, seed: u64) -> PathBuf {
    let writer = RunDirWriter::begin(root, id, Existing::Keep).unwrap();
    let run = samples::run(id, samples::market(hours, seed));
    writer.finish(&run, &Extras::default()).unwrap()
}

fn crossbook(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossbook"))
        .args(args)
        .output()
        .unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn plot_remakes_pictures_and_report_of_a_run() {
    let root = tempfile::tempdir().unwrap();
    let run = run_dir(root.path(), "one", 12, 3);
    let output = crossbook(&["plot", text(&run), "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let object: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(object["runs"][0]["run_id"], "one");
    let made = object["files"].as_array().unwrap();
    assert_eq!(made.len(), 9);
    for file in made {
        assert!(
            std::fs::metadata(file.as_str().unwrap()).unwrap().len() > 1000,
            "{file}"
        );
    }
    // Again over its own files, and the run is still whole; elsewhere only when told to.
    assert!(crossbook(&["plot", text(&run), "--format", "svg"]).status.success());
    let elsewhere = root.path().join("pictures");
    for (force, code) in [(false, 0), (false, 2), (true, 0)] {
        let mut args = vec!["plot", text(&run), "--format", "png", "--out", text(&elsewhere)];
        args.extend(force.then_some("--force"));
        let output = crossbook(&args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 4);
}

#[test]
fn what_cannot_be_plotted_is_said_with_exit_code_2() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (run_dir(root.path(), "one", 2, 3), run_dir(root.path(), "two", 2, 4));
    let trades = two.join("trades.parquet");
    let mut bytes = std::fs::read(&trades).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&trades, bytes).unwrap();
    let nowhere = root.path().join("nowhere");
    for (args, needle) in [
        (vec![text(&nowhere)], "not a run directory"),
        (vec![text(&one), text(&two), "--out", "x"], "trades.parquet: damaged"),
        (vec![text(&one), text(&one)], "--out DIR"),
        (vec![], "<RUN>"),
        (
            vec![text(&one), "--format", "gif"],
            "[possible values: png, svg, html, all]",
        ),
    ] {
        let output = crossbook(&[&["plot"], args.as_slice()].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(needle), "{args:?}: {said}");
    }
}

/// F44: a full disk is a fault outside, and what was there stays.
#[test]
fn a_full_disk_is_exit_code_4_and_leaves_nothing_half() {
    let root = tempfile::tempdir().unwrap();
    let run = run_dir(root.path(), "one", 2, 3);
    assert!(crossbook(&["plot", text(&run)]).status.success());
    let list = || {
        let mut names: Vec<_> = std::fs::read_dir(&run)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().len()))
            .collect();
        names.sort();
        names
    };
    let before = list();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" plot \"$1\""])
        .args([env!("CARGO_BIN_EXE_crossbook"), text(&run)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("equity.png") && said.contains("File too large"), "{said}");
    assert_eq!(list(), before);
}

#[test]
fn runs_are_compared_side_by_side() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (run_dir(root.path(), "one", 12, 3), run_dir(root.path(), "two", 24, 4));
    let out = root.path().join("compared");
    let output = crossbook(&["plot", text(&one), text(&two), "--out", text(&out)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(out.join("comparison.html")).unwrap();
    assert!(page.contains(">one</th>") && page.contains(">two</th>") && page.contains("Sortino"));
    assert!(out.join("comparison.png").exists() && out.join("comparison.svg").exists());
}

/// Replays the bundled demo into `root/runs`.
fn replay(root: &Path, more: &[&str]) -> Output {
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/demo.toml");
    let out = root.join("runs");
    crossbook(&[&["replay", scenario, "--out", text(&out)], more].concat())
}

#[test]
fn a_replay_leaves_a_run_that_can_be_read_verified_and_repeated() {
    let root = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = replay(root.path(), &["--csv", "--quiet"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let (one, two) = (root.path().join("runs/demo"), root.path().join("runs/demo-2"));
    let mut compared = 0;
    for entry in std::fs::read_dir(&one).unwrap() {
        let name = entry.unwrap().file_name();
        if ["summary.json", "BLAKE3SUMS", "report.html"].contains(&name.to_str().unwrap()) {
            continue;
        }
        let read = |run: &Path| std::fs::read(run.join(&name)).unwrap();
        assert!(read(&one) == read(&two), "{name:?} differs between two equal runs");
        compared += 1;
    }
    assert_eq!(compared, 2 + 6 * 2 + 8, "configuration, manifest, tables, pictures");
    let run = crossbook::sink::run_dir::open(&one).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&std::fs::read(one.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["round_trips"], run.statistics.round_trips);
    let sums = run.statistics.attribution;
    assert_eq!(
        sums.round_trips.0.raw() + sums.other.0.raw(),
        run.statistics.pnl_vs_hold.0.raw()
    );
    assert!(crossbook(&["plot", text(&one), "--quiet"]).status.success());
}

/// F44, F50: a replay that cannot write its run leaves none, and one that was killed leaves nothing that hinders the next.
#[test]
fn a_replay_on_a_full_disk_leaves_no_run() {
    let root = tempfile::tempdir().unwrap();
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/demo.toml");
    let runs = root.path().join("runs");
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 8; exec \"$0\" replay \"$1\" --out \"$2\"",
        ])
        .args([env!("CARGO_BIN_EXE_crossbook"), scenario, text(&runs)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains(".tmp-run-demo/") && said.contains("File too large"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 0);
    std::fs::create_dir(runs.join(".tmp-run-demo")).unwrap();
    std::fs::write(runs.join(".tmp-run-demo/trades.parquet"), b"half").unwrap();
    assert!(replay(root.path(), &["--no-plots", "--quiet"]).status.success());
    let left: Vec<_> = std::fs::read_dir(&runs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["demo"]);
}

/// The name of a Chromium that can be started here.
pub fn chromium() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| {
            let version = Command::new(name).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        })
}

/// Opens a page in a real browser without a network and gives the document as it stands after its scripts ran.
pub fn rendered(browser: &str, page: &Path, scratch: &Path) -> String {
    let document = scratch.join("document");
    let mut child = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--window-size=1200,900",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", scratch.join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .stdout(std::fs::File::create(&document).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A browser that hangs must not hang the tests.
    for _ in 0..1200 {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return std::fs::read_to_string(&document).unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = child.kill();
    panic!("the browser did not come back within two minutes");
}

#[test]
fn the_report_opens_in_a_real_browser_offline() {
    let Some(browser) = chromium() else {
        eprintln!("SKIPPED the_report_opens_in_a_real_browser_offline: no chromium is installed");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let html = Formats {
        png: false,
        svg: false,
        html: true,
    };
    let runs = [
        samples::run("one", samples::market(24, 3)),
        samples::run("two", samples::market(12, 4)),
    ];
    let empty = samples::run("empty", Default::default());
    let cases = [
        (files(&runs[0], html), "data-charts=\"5\"", 5),
        (comparison_files(&runs, html), "data-charts=\"1\"", 1),
        (files(&empty, html), "data-charts=\"0\"", 0),
    ];
    for (made, marker, canvases) in cases {
        let (name, bytes) = made.unwrap().remove(0);
        let page = root.path().join(name);
        std::fs::write(&page, bytes).unwrap();
        let document = rendered(browser, &page, root.path());
        assert!(document.contains(marker), "{marker}: the script did not run to its end");
        assert_eq!(document.matches("<canvas").count(), canvases);
        assert!(document.contains("</html>"));
    }
}
