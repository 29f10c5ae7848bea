use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::report::samples;
use crossbook_engine::records::Rows;

fn sample(id: &str) -> Run {
    samples::run(id, samples::market(6, 11))
}

fn write(root: &Path, id: &str, existing: Existing) -> PathBuf {
    let writer = RunDirWriter::begin(root, id, existing).unwrap();
    let run = sample(writer.run_id());
    let extras = Extras {
        csv: true,
        files: vec![("report.html".to_string(), b"<html>".to_vec())],
    };
    writer.finish(&run, &extras).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read_back() {
    let root = tempfile::tempdir().unwrap();
    let dir = write(root.path(), "one", Existing::Keep);
    let got = open(&dir).unwrap();
    let want = sample("one");
    assert_eq!(got.run_id, "one");
    assert_eq!(got.meta, want.meta);
    assert_eq!(got.config, want.config);
    assert_eq!(got.seconds, want.seconds);
    assert_eq!(got.statistics, want.statistics);
    assert_eq!(got.rows.round_trips, want.rows.round_trips);
    assert_eq!(got.rows.orders, want.rows.orders);
    assert_eq!(got.rows.fills, want.rows.fills);
    assert_eq!(got.rows.equity, want.rows.equity);
    assert_eq!(got.rows.spread, want.rows.spread);
    assert_eq!(got.rows.risk, want.rows.risk);
    assert!(!got.rows.round_trips.is_empty() && !got.rows.risk.is_empty());
}

#[test]
fn a_run_in_which_nothing_happened_is_a_run() {
    let root = tempfile::tempdir().unwrap();
    let writer = RunDirWriter::begin(root.path(), "empty", Existing::Keep).unwrap();
    let run = samples::run("empty", (Rows::default(), RunMeta::default()));
    let dir = writer.finish(&run, &Extras::default()).unwrap();
    let got = open(&dir).unwrap();
    assert_eq!(got.meta, RunMeta::default());
    assert!(got.rows.equity.is_empty() && got.rows.orders.is_empty());
}

#[test]
fn the_same_run_is_the_same_bytes_but_for_its_name() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (
        write(root.path(), "same", Existing::Keep),
        write(root.path(), "same", Existing::Keep),
    );
    assert_eq!(two.file_name().unwrap(), "same-2");
    assert_eq!(names(&one), names(&two));
    for name in names(&one) {
        if name == "summary.json" || name == SUMS {
            continue;
        }
        assert_eq!(
            fs::read(one.join(&name)).unwrap(),
            fs::read(two.join(&name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn the_summary_has_what_programs_ask_for() {
    let root = tempfile::tempdir().unwrap();
    let dir = write(root.path(), "one", Existing::Keep);
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("summary.json")).unwrap()).unwrap();
    for key in [
        "run_id",
        "digest",
        "events",
        "seconds",
        "events_per_second",
        "round_trips",
        "wins",
        "win_rate",
        "pnl",
        "pnl_vs_hold",
        "fees",
        "sharpe",
        "max_drawdown",
        "currency",
        "out_dir",
    ] {
        assert!(summary.get(key).is_some(), "{key}");
    }
    assert_eq!(summary["run_id"], "one");
    assert!(summary["pnl"].is_number() && summary["fees"].is_number());
    assert_eq!(summary["currency"], "KRW");
}

#[test]
fn csv_has_the_same_rows_with_exact_decimals() {
    let root = tempfile::tempdir().unwrap();
    let dir = write(root.path(), "one", Existing::Keep);
    let want = sample("one").rows;
    let mut csv = csv::Reader::from_path(dir.join("trades.csv")).unwrap();
    let at = csv.headers().unwrap().iter().position(|name| name == "pnl").unwrap();
    let got: Vec<_> = csv
        .records()
        .map(|record| crossbook_engine::units::Amount::parse(&record.unwrap()[at]).unwrap())
        .collect();
    assert_eq!(got, want.round_trips.iter().map(|trip| trip.pnl).collect::<Vec<_>>());
    for (file, rows) in [
        ("orders", want.orders.len()),
        ("fills", want.fills.len()),
        ("equity", want.equity.len()),
        ("spread", want.spread.len()),
        ("risk", want.risk.len()),
    ] {
        let mut csv = csv::Reader::from_path(dir.join(format!("{file}.csv"))).unwrap();
        assert_eq!(csv.records().map(Result::unwrap).count(), rows, "{file}");
    }
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    let root = tempfile::tempdir().unwrap();
    for id in ["", ".", "..", ".hidden", "a/b", "a b", "ü", &"x".repeat(121)] {
        let error = RunDirWriter::begin(root.path(), id, Existing::Keep).unwrap_err();
        assert!(matches!(error, RunDirError::Name { .. }), "{id}");
    }
}

/// F49: the same name again is a new run; two at a time do not meet.
#[test]
fn nothing_is_overwritten_unless_asked() {
    let root = tempfile::tempdir().unwrap();
    let first = write(root.path(), "run", Existing::Keep);
    let before = fs::read(first.join("summary.json")).unwrap();
    let second = RunDirWriter::begin(root.path(), "run", Existing::Keep).unwrap();
    let third = RunDirWriter::begin(root.path(), "run", Existing::Keep).unwrap();
    assert_eq!((second.run_id(), third.run_id()), ("run-2", "run-3"));
    drop((second, third));
    assert_eq!(names(root.path()), ["run"]);
    assert_eq!(fs::read(first.join("summary.json")).unwrap(), before);

    let replacing = RunDirWriter::begin(root.path(), "run", Existing::Replace).unwrap();
    let error = RunDirWriter::begin(root.path(), "run", Existing::Replace).unwrap_err();
    assert!(matches!(error, RunDirError::Busy { .. }), "{error}");
    let run = samples::run("run", samples::market(1, 5));
    replacing.finish(&run, &Extras::default()).unwrap();
    assert_eq!(names(root.path()), ["run"]);
    assert_eq!(open(&first).unwrap().meta.window, run.meta.window);
    assert!(!first.join("trades.csv").exists(), "nothing of the old run is left");
}

#[test]
fn rows_without_names_are_refused_and_nothing_is_left() {
    let root = tempfile::tempdir().unwrap();
    for (case, spoil) in [
        (
            "route",
            (|meta: &mut RunMeta| meta.routes.truncate(1)) as fn(&mut RunMeta),
        ),
        ("instrument", |meta| meta.instruments.truncate(1)),
        ("currency", |meta| meta.currencies.truncate(1)),
        ("two ids", |meta| meta.routes[1] = meta.routes[0].clone()),
    ] {
        let writer = RunDirWriter::begin(root.path(), "bad", Existing::Keep).unwrap();
        let mut run = sample("bad");
        spoil(&mut run.meta);
        let error = writer.finish(&run, &Extras::default()).unwrap_err().to_string();
        assert!(error.contains(case), "{error}");
        assert!(names(root.path()).is_empty());
    }
}

/// F48: any flipped bit in a data file is found, and the file is named.
#[test]
fn a_flipped_bit_is_found_and_named() {
    let root = tempfile::tempdir().unwrap();
    let dir = write(root.path(), "one", Existing::Keep);
    for name in names(&dir) {
        if name == "report.html" {
            continue;
        }
        let file = dir.join(&name);
        let whole = fs::read(&file).unwrap();
        for (at, bit) in [(0, 0), (whole.len() / 3, 3), (whole.len() / 2, 5), (whole.len() - 1, 7)] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            fs::write(&file, &bytes).unwrap();
            let error = open(&dir).expect_err("a flipped bit").to_string();
            assert!(name == SUMS || error.contains(&name), "{name} at {at}: {error}");
        }
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert!(open(&dir).is_err(), "{name} cut short");
        fs::remove_file(&file).unwrap();
        let error = open(&dir).unwrap_err();
        assert!(
            matches!(&error, RunDirError::Missing { file, .. } if *file == name),
            "{name}: {error}"
        );
        fs::write(&file, &whole).unwrap();
    }
    open(&dir).unwrap();
}

/// F48 again, at any place: a run that is opened is the run that was written.
#[test]
fn no_flip_of_any_bit_goes_unseen() {
    let root = tempfile::tempdir().unwrap();
    let dir = write(root.path(), "one", Existing::Keep);
    let files: Vec<_> = names(&dir).into_iter().filter(|name| name != "report.html").collect();
    let flip = (0..files.len(), any::<prop::sample::Index>(), 0..8u32);
    proptest!(ProptestConfig::with_cases(100), |((file, at, bit) in flip)| {
        let path = dir.join(&files[file]);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[at.index(whole.len())] ^= 1 << bit;
        fs::write(&path, &bytes).unwrap();
        let opened = open(&dir);
        fs::write(&path, &whole).unwrap();
        prop_assert!(opened.is_err(), "{}", files[file]);
    });
}

#[test]
fn what_is_no_run_is_refused_with_a_reason() {
    let root = tempfile::tempdir().unwrap();
    let dir = write(root.path(), "one", Existing::Keep);
    let reseal = |name: &str, bytes: &[u8]| {
        fs::write(dir.join(name), bytes).unwrap();
        let sums = fs::read_to_string(dir.join(SUMS)).unwrap();
        let sums: String = sums
            .lines()
            .map(|line| match line.ends_with(&format!("  {name}")) {
                true => format!("{}  {name}\n", blake3::hash(bytes).to_hex()),
                false => format!("{line}\n"),
            })
            .collect();
        fs::write(dir.join(SUMS), sums).unwrap();
    };
    let manifest = fs::read_to_string(dir.join("manifest.json")).unwrap();
    reseal(
        "manifest.json",
        manifest.replace("\"schema\": 1", "\"schema\": 9").as_bytes(),
    );
    assert!(open(&dir).unwrap_err().to_string().contains("schema is 9"));
    reseal(
        "manifest.json",
        manifest.replace("upbit:KRW-ETH/binance:ETHUSDT", "other").as_bytes(),
    );
    assert!(open(&dir).unwrap_err().to_string().contains("is not in manifest.json"));
    reseal("manifest.json", manifest.as_bytes());
    reseal("equity.parquet", &fs::read(dir.join("spread.parquet")).unwrap());
    let error = open(&dir).unwrap_err().to_string();
    assert!(
        error.contains("equity.parquet") && error.contains("`equity_e8` is missing"),
        "{error}"
    );
    reseal("equity.parquet", b"PAR1 but not really");
    assert!(open(&dir).unwrap_err().to_string().contains("equity.parquet"));
    for other in [
        root.path().join("nowhere"),
        root.path().to_path_buf(),
        dir.join("config.toml"),
    ] {
        let error = open(&other).unwrap_err();
        assert!(matches!(error, RunDirError::Missing { .. }), "{error}");
    }
}

/// Runs this very test binary's [`child`] with a limit or a failpoint.
fn child_run(root: &Path, shell: &str, die_at: &str) -> std::process::Output {
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args([
            "sink::run_dir::tests::child",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("CROSSBOOK_TEST_ROOT", root)
        .env("CROSSBOOK_TEST_DIE_AT", die_at)
        .output()
        .unwrap()
}

/// No test by itself: the process that the next ones start and kill.
#[test]
fn child() {
    let Ok(root) = std::env::var("CROSSBOOK_TEST_ROOT") else {
        return;
    };
    let writer = RunDirWriter::begin(Path::new(&root), "run", Existing::Replace).unwrap();
    let run = samples::run("run", samples::market(2, 7));
    let extras = Extras {
        csv: true,
        files: Vec::new(),
    };
    if let Err(error) = writer.finish(&run, &extras) {
        eprintln!("refused: {error}");
        std::process::exit(4);
    }
}

/// F50: a writer killed at any point leaves either the old run or the new one, whole, and the next writer clears up.
#[test]
fn a_killed_writer_leaves_a_whole_run_or_none() {
    let new_window = samples::meta(2).window;
    for had_one in [false, true] {
        for die_at in [
            "trades",
            "orders",
            "risk",
            "before_rename",
            "between_renames",
            "after_rename",
        ] {
            let root = tempfile::tempdir().unwrap();
            let run = root.path().join("run");
            if had_one {
                write(root.path(), "run", Existing::Keep);
            }
            let output = child_run(root.path(), "", die_at);
            if die_at == "between_renames" && !had_one {
                assert!(output.status.success(), "nothing to replace");
                continue;
            }
            assert!(!output.status.success(), "{die_at}");
            // The next writer comes by, for another run. What is not of its kind it leaves alone.
            let foreign = root.path().join(".tmp-import");
            fs::create_dir(&foreign).unwrap();
            fs::write(root.path().join(".tmp-run-file"), b"").unwrap();
            drop(RunDirWriter::begin(root.path(), "other", Existing::Keep).unwrap());
            fs::remove_dir(&foreign).unwrap();
            fs::remove_file(root.path().join(".tmp-run-file")).unwrap();
            let there = names(root.path());
            match (had_one, die_at) {
                (_, "after_rename") => {
                    assert_eq!(there, ["run"]);
                    assert_eq!(open(&run).unwrap().meta.window, new_window, "{die_at}");
                }
                (true, _) => {
                    assert_eq!(there, ["run"], "{die_at}");
                    assert_ne!(open(&run).unwrap().meta.window, new_window, "{die_at}");
                }
                (false, _) => assert!(there.is_empty(), "{die_at}: {there:?}"),
            }
        }
    }
}

/// F44, F45: a full disk stops the writer with the path in its message, and nothing half is left.
#[test]
fn a_full_disk_leaves_nothing_half() {
    for blocks in [0, 1, 4, 16] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "run", Existing::Keep);
        let output = child_run(root.path(), &format!("trap '' XFSZ; ulimit -f {blocks};"), "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{blocks}: {said}");
        assert!(
            said.contains(".tmp-run-run/") && said.contains("File too large"),
            "{said}"
        );
        assert_eq!(names(root.path()), ["run"]);
        assert_eq!(
            open(&root.path().join("run")).unwrap().meta.window,
            samples::meta(6).window
        );
    }
}

/// F45: a device that takes some bytes and then none is an error with the path, not a short file.
#[test]
fn a_write_that_fails_is_reported_with_its_path() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0).min(7);
            self.0 -= taken;
            match taken {
                0 => Err(io::Error::from_raw_os_error(28)),
                _ => Ok(taken),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let run = sample("one");
    for table in rows::tables(&run.rows, &run.meta) {
        let mut whole = Vec::new();
        table.write_parquet(&mut whole).unwrap();
        for room in [0, 3, 4, whole.len() / 2, whole.len() - 1] {
            let error = table.write_parquet(&mut Full(room)).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::StorageFull,
                "{} {room}: {error}",
                table.name
            );
            assert!(table.write_csv(&mut Full(room.min(20))).is_err());
        }
        table.write_parquet(&mut Full(whole.len())).unwrap();
    }
    let nowhere = Path::new("/dev/full/file");
    let error = write_file(nowhere, &|to| to.write_all(b"x")).unwrap_err();
    assert!(error.to_string().starts_with("/dev/full/file: "), "{error}");
}
