//! `crossbook dataset inspect|validate|convert` from outside: exit codes, messages, files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crossbook::dataset::manifest::{DatasetKind, Draft};
use crossbook::dataset::message::Message;
use crossbook::dataset::writer::Writer;
use crossbook_engine::event::{Kind, Level};
use crossbook_engine::units::{Price, Qty, TimestampNs};

const START: i64 = 1_723_161_600_000_000_000;

fn level(price: &str, qty: &str) -> Level {
    Level {
        price: Price::parse(price).unwrap(),
        qty: Qty::parse(qty).unwrap(),
    }
}

/// A snapshot and then updates, one a second, each received 5 ms after it happened.
fn small_dataset(dir: &Path, updates: i64) {
    let draft = Draft::new("small", "binance", "BTCUSDT", DatasetKind::Book, "BTC", "USDT");
    let mut writer = Writer::create(dir, draft, false).unwrap();
    for k in 0..=updates {
        let kind = if k == 0 { Kind::CompleteSnapshot } else { Kind::Update };
        let event = START + k * 1_000_000_000;
        let mut message = Message::new(kind, TimestampNs(event), TimestampNs(event + 5_000_000));
        message.bids.push(level("61685.99", "1.0087"));
        message.asks.push(level("61686", &format!("{}", 1 + k)));
        writer.push(&message).unwrap();
    }
    writer.finish().unwrap();
}

fn crossbook(root: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossbook"))
        .args(args)
        .current_dir(root)
        .env_remove("CROSSBOOK_DATA")
        .output()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn exit_codes_say_what_kind_of_no_it_is() {
    let root = tempfile::tempdir().unwrap();
    small_dataset(&root.path().join("good"), 3);
    small_dataset(&root.path().join("damaged"), 3);
    let data = root.path().join("damaged/data.parquet");
    let mut bytes = fs::read(&data).unwrap();
    bytes[40] ^= 1;
    fs::write(&data, bytes).unwrap();
    fs::create_dir(root.path().join("empty")).unwrap();
    let cases: [(&[&str], i32, &str); 12] = [
        (&["dataset", "validate", "good"], 0, "good: sound, 4 messages"),
        (
            &["dataset", "validate", "good", "damaged"],
            1,
            "data.parquet: blake3 is",
        ),
        (&["dataset", "validate", "nowhere"], 2, "no dataset `nowhere`"),
        (&["dataset", "validate", "empty"], 2, "no dataset `empty`"),
        (&["dataset", "validate"], 2, "required"),
        (&["dataset", "inspect", "good"], 0, "4 (1 completesnapshot, 3 update)"),
        (&["dataset", "inspect", "damaged"], 2, "data.parquet: blake3 is"),
        (
            &["dataset", "inspect", "good", "--plot", "picture.gif"],
            2,
            ".png or .svg",
        ),
        (&["dataset", "convert", "good", "good"], 2, "--force"),
        (
            &["dataset", "convert", "good", "empty", "--force"],
            2,
            "no dataset folder",
        ),
        (&["dataset", "convert", "good", "x", "--from", "yesterday"], 2, "--from"),
        (
            &[
                "dataset",
                "convert",
                "good",
                "x",
                "--from",
                "2024-08-09T00:00:02Z",
                "--to",
                "2024-08-09T00:00:01Z",
            ],
            2,
            "--from must be before --to",
        ),
    ];
    for (args, code, want) in cases {
        let (found, out, err) = outcome(&crossbook(root.path(), args));
        assert_eq!(found, Some(code), "{args:?}: {out}{err}");
        assert!(out.contains(want) || err.contains(want), "{args:?}: {out}{err}");
    }
    assert!(!root.path().join("x").exists());
}

#[test]
fn f44_a_full_disk_is_named_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    small_dataset(&root.path().join("good"), 20_000);
    // A limit on the size of files stands in for the full disk: the system refuses the write in the same place.
    for (args, out) in [("good out", "out"), ("good out.csv --format csv", "out.csv")] {
        let script = format!("trap '' XFSZ; ulimit -f 8; exec \"$0\" dataset convert {args}");
        let output = Command::new("bash")
            .args(["-c", &script, env!("CARGO_BIN_EXE_crossbook")])
            .current_dir(root.path())
            .output()
            .unwrap();
        let (code, stdout, stderr) = outcome(&output);
        assert_eq!(code, Some(4), "{stdout}{stderr}");
        assert!(stderr.contains("write") && stderr.contains(out), "{stderr}");
        let left: Vec<_> = fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["good"], "nothing is left behind");
    }
}

#[test]
fn f50_a_killed_convert_leaves_no_half_dataset() {
    let root = tempfile::tempdir().unwrap();
    small_dataset(&root.path().join("good"), 60_000);
    for wait_ms in [1, 5, 20, 60] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crossbook"))
            .args(["dataset", "convert", "good", "out", "--force"])
            .current_dir(root.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        if root.path().join("out").exists() {
            let (code, out, err) = outcome(&crossbook(root.path(), &["dataset", "validate", "out"]));
            assert_eq!(code, Some(0), "{out}{err}");
        }
    }
    let (code, out, err) = outcome(&crossbook(
        root.path(),
        &["dataset", "convert", "good", "out", "--force"],
    ));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("60001 messages"), "{out}");
}

#[test]
fn the_last_line_is_json_when_asked() {
    let root = tempfile::tempdir().unwrap();
    small_dataset(&root.path().join("good"), 3);
    for (args, key) in [
        (vec!["dataset", "validate", "good", "--json"], "/datasets/0/sound"),
        (
            vec!["dataset", "inspect", "good", "--json"],
            "/datasets/0/spread_bps/p50",
        ),
        (vec!["dataset", "convert", "good", "cut", "--json"], "/blake3"),
    ] {
        let (code, out, err) = outcome(&crossbook(root.path(), &args));
        assert_eq!(code, Some(0), "{args:?}: {err}");
        let json: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert!(json.pointer(key).is_some(), "{key}: {json}");
    }
    let (_, out, _) = outcome(&crossbook(root.path(), &["dataset", "inspect", "good", "--quiet"]));
    assert_eq!(out, "");
}

#[test]
fn csv_has_every_level_and_the_top_only_its_changes() {
    let root = tempfile::tempdir().unwrap();
    small_dataset(&root.path().join("good"), 2);
    let run = |args: &[&str]| {
        let (code, out, err) = outcome(&crossbook(root.path(), args));
        assert_eq!(code, Some(0), "{out}{err}");
    };
    run(&["dataset", "convert", "good", "levels.csv", "--format", "csv"]);
    let levels = fs::read_to_string(root.path().join("levels.csv")).unwrap();
    let lines: Vec<_> = levels.lines().collect();
    assert_eq!(
        lines[0],
        "ts,venue,symbol,side,price,qty,ts_recv,kind,message,seq_first,seq_last,seq_prev"
    );
    assert_eq!(
        lines[1..3],
        [
            "1723161600000000000,binance,BTCUSDT,bid,61685.99000000,1.00870000,1723161600005000000,complete_snapshot,0,,,",
            "1723161600000000000,binance,BTCUSDT,ask,61686.00000000,1.00000000,1723161600005000000,complete_snapshot,0,,,",
        ]
    );
    assert_eq!(lines.len(), 1 + 2 * 3);
    run(&[
        "dataset",
        "convert",
        "good",
        "top.csv",
        "--format",
        "top-csv",
        "--from",
        "2024-08-09T00:00:01Z",
    ]);
    let top = fs::read_to_string(root.path().join("top.csv")).unwrap();
    assert_eq!(
        top.lines().nth(1).unwrap(),
        "1723161601000000000,binance,BTCUSDT,61685.99000000,1.00870000,61686.00000000,2.00000000,1723161601005000000"
    );
    assert_eq!(top.lines().count(), 1 + 2);
}

#[test]
fn csv_is_imported_back_byte_for_byte() {
    let root = tempfile::tempdir().unwrap();
    small_dataset(&root.path().join("good"), 50);
    for args in [
        &["dataset", "convert", "good", "levels.csv", "--format", "csv"][..],
        &["dataset", "import", "levels.csv", "--format", "csv", "--out", "back"],
    ] {
        let (code, out, err) = outcome(&crossbook(root.path(), args));
        assert_eq!(code, Some(0), "{out}{err}");
    }
    let read = |name: &str| fs::read(root.path().join(name)).unwrap();
    assert!(read("good/data.parquet") == read("back/binance-btcusdt/data.parquet"));
}

#[test]
fn pictures_are_drawn_in_both_formats() {
    let root = tempfile::tempdir().unwrap();
    small_dataset(&root.path().join("good"), 300);
    for (name, begins) in [("spread.png", &b"\x89PNG"[..]), ("spread.svg", &b"<svg"[..])] {
        let (code, out, err) = outcome(&crossbook(root.path(), &["dataset", "inspect", "good", "--plot", name]));
        assert_eq!(code, Some(0), "{out}{err}");
        let bytes = fs::read(root.path().join(name)).unwrap();
        assert!(bytes.starts_with(begins), "{name}");
        assert!(bytes.len() > 2_000, "{name}: {} bytes", bytes.len());
        let (code, _, err) = outcome(&crossbook(root.path(), &["dataset", "inspect", "good", "--plot", name]));
        assert_eq!(code, Some(2), "{err}");
    }
}

#[test]
fn a_clock_offset_can_be_written_by_the_tool_or_by_hand() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("good");
    small_dataset(&dir, 3);
    let manifest = dir.join("dataset.toml");
    let (code, out, err) = outcome(&crossbook(
        root.path(),
        &["dataset", "inspect", "good", "--write-clock-offset"],
    ));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        fs::read_to_string(&manifest)
            .unwrap()
            .contains("clock_offset_ns = 5000000\n")
    );
    let edited = fs::read_to_string(&manifest)
        .unwrap()
        .replace("= 5000000\n", "= 4000000\n");
    fs::write(&manifest, edited).unwrap();
    let (code, _, err) = outcome(&crossbook(root.path(), &["dataset", "inspect", "good"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("crossbook dataset validate --seal"), "{err}");
    let (code, out, err) = outcome(&crossbook(root.path(), &["dataset", "validate", "--seal", "good"]));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        fs::read_to_string(&manifest)
            .unwrap()
            .contains("clock_offset_ns = 4000000\n")
    );
}

#[test]
fn f38_an_interrupted_convert_says_so_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    small_dataset(&root.path().join("good"), 150_000);
    let mut interrupted = 0;
    for wait_ms in [20, 60, 120, 240] {
        let child = Command::new(env!("CARGO_BIN_EXE_crossbook"))
            .args(["dataset", "convert", "good", "out"])
            .current_dir(root.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        Command::new("bash")
            .args(["-c", "kill -INT $0", &child.id().to_string()])
            .status()
            .unwrap();
        let (code, out, err) = outcome(&child.wait_with_output().unwrap());
        match code {
            // Too late, or before the handler was set: the whole thing or nothing.
            Some(0) => fs::remove_dir_all(root.path().join("out")).unwrap(),
            Some(3) => {
                interrupted += 1;
                assert!(err.contains("interrupted"), "{err}");
            }
            None => {}
            _ => panic!("{code:?}: {out}{err}"),
        }
        let left: Vec<_> = fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["good"], "after {wait_ms} ms");
    }
    eprintln!("{interrupted} of 4 were caught on the way");
}
