//! A session in the formats of other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crossbook::tune::export::{Format, bytes};
use crossbook::tune::results::{Results, usable};
use crossbook::tune::trial::State;
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;

use super::samples;

fn frame(results: &Results) -> DataFrame {
    let file = bytes(results, Format::Parquet).unwrap();
    ParquetReader::new(std::io::Cursor::new(file)).finish().unwrap()
}

#[test]
fn parquet_has_a_row_a_trial_and_a_typed_column_a_parameter() {
    let results = samples::session(2, 40);
    let frame = frame(&results);
    assert_eq!(frame.height(), 80);
    let kinds = [
        ("id", DataType::Int64),
        ("state", DataType::String),
        ("same_as", DataType::Int64),
        ("value", DataType::Float64),
        ("train_round_trips", DataType::Int64),
        ("test_sharpe", DataType::Float64),
        ("strategy.entry_bps", DataType::Float64),
        ("strategy.max_hold_s", DataType::Int64),
        ("strategy.fair_premium.model", DataType::String),
        ("strategy.fair_premium.half_life_s", DataType::Float64),
        ("execution.post_only", DataType::Boolean),
        ("strategy.slippage_bps", DataType::Float64),
    ];
    for (name, kind) in kinds {
        assert_eq!(frame.column(name).unwrap().dtype(), &kind, "{name}");
    }
    let value = frame.column("value").unwrap().f64().unwrap();
    let half_life = frame
        .column("strategy.fair_premium.half_life_s")
        .unwrap()
        .f64()
        .unwrap();
    let sortino = frame.column("train_sortino").unwrap();
    assert_eq!(sortino.null_count(), 80);
    for (row, record) in results.records.iter().enumerate() {
        assert_eq!(value.get(row), record.value, "{row}");
        let want = record.params.get("strategy.fair_premium.half_life_s");
        assert_eq!(half_life.get(row), want.and_then(|value| value.number()), "{row}");
    }
    assert!(half_life.null_count() > 0, "inactive parameters are missing, not zero");
}

#[test]
fn csv_says_the_same_as_parquet() {
    let results = samples::session(1, 60);
    let frame = frame(&results);
    let file = bytes(&results, Format::Csv).unwrap();
    let mut csv = csv::Reader::from_reader(file.as_slice());
    let headers: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
    let names: Vec<String> = frame.get_column_names().iter().map(|name| name.to_string()).collect();
    assert_eq!(headers, names);
    for (row, line) in csv.records().enumerate() {
        let line = line.unwrap();
        for (cell, column) in line.iter().zip(frame.columns()) {
            match column.get(row).unwrap() {
                AnyValue::Null => assert_eq!(cell, "", "{row} {}", column.name()),
                AnyValue::Float64(value) => assert_eq!(cell.parse::<f64>().unwrap().to_bits(), value.to_bits()),
                AnyValue::Int64(value) => assert_eq!(cell, value.to_string()),
                AnyValue::Boolean(value) => assert_eq!(cell, value.to_string()),
                AnyValue::String(value) => assert_eq!(cell, value),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn sessions_without_trials_and_with_odd_names_are_exported() {
    let mut results = samples::session(1, 3);
    results.params[0].name = "value".to_owned();
    let names = frame(&results).get_column_names_owned();
    assert!(names.contains(&"param.value".into()), "{names:?}");
    results.records.clear();
    assert_eq!(frame(&results).height(), 0);
    let csv = String::from_utf8(bytes(&results, Format::Csv).unwrap()).unwrap();
    assert_eq!(csv.lines().count(), 1);
    let journal = String::from_utf8(bytes(&results, Format::Optuna).unwrap()).unwrap();
    assert!(journal.lines().next().unwrap().contains("kimchi-20240901"));
}

/// The journal as Optuna 4.9 and 5.0 have been seen to read it. Made again by `CROSSBOOK_BLESS=1`; whoever does so runs the
/// test with the real Optuna, too.
#[test]
fn optunas_journal_is_what_optuna_has_been_seen_to_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/session.optuna.log");
    let made = String::from_utf8(bytes(&samples::session(2, 16), Format::Optuna).unwrap()).unwrap();
    if std::env::var_os("CROSSBOOK_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (at, (made, golden)) in made.lines().zip(golden.lines()).enumerate() {
        assert_eq!(made, golden, "line {}", at + 1);
    }
    assert_eq!(made, golden);
}

/// What the real Optuna makes of a journal, as JSON: per study its direction, best and trials.
const READ: &str = r#"
import json, sys, warnings
warnings.simplefilter("error")
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
storage = JournalStorage(JournalFileBackend(sys.argv[1]))
said = {}
for name in optuna.get_all_study_names(storage):
    study = optuna.load_study(study_name=name, storage=storage)
    for trial in study.trials:
        trial._validate()
    best = study.best_trial
    said[name] = {
        "direction": study.direction.name,
        "metric": study.metric_names,
        "best": [best.user_attrs["trial"], best.value],
        "trials": [[t.user_attrs["trial"], t.number, t.state.name, t.value, t.params, t.user_attrs, t.intermediate_values]
                   for t in study.trials],
    }
    # The study goes on from where it is.
    study.sampler = optuna.samplers.RandomSampler(seed=1)
    trial = study.ask({k: v for k, v in best.distributions.items()})
    study.tell(trial, 1.0)
print(json.dumps(said))
"#;

#[test]
fn the_real_optuna_reads_the_same_session() {
    let python = std::env::var("CROSSBOOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import optuna"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED the_real_optuna_reads_the_same_session: {python} cannot import optuna (CROSSBOOK_PYTHON names another)"
        );
        return;
    }
    let results = samples::session(2, 60);
    let root = tempfile::tempdir().unwrap();
    let file: PathBuf = root.path().join("session.log");
    std::fs::write(&file, bytes(&results, Format::Optuna).unwrap()).unwrap();
    let output = Command::new(&python).args(["-c", READ]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said.len(), 2);
    for fold in 0..2u32 {
        let study = &said[&format!("kimchi-20240901-fold-{fold}")];
        assert_eq!(study["direction"], "MAXIMIZE");
        assert_eq!(study["metric"][0], results.objective);
        let best = results.best(fold).unwrap();
        assert_eq!(study["best"][0], best.id);
        assert_eq!(study["best"][1].as_f64(), best.value);
        let trials = study["trials"].as_array().unwrap();
        let records: Vec<_> = results.of_fold(Some(fold)).collect();
        assert_eq!(trials.len(), records.len());
        for (number, (trial, record)) in trials.iter().zip(records).enumerate() {
            assert_eq!((&trial[0], &trial[1]), (&record.id.into(), &number.into()));
            let (state, value) = match (record.state, usable(record)) {
                (State::Complete, Some(value)) => ("COMPLETE", Some(value)),
                (State::Pruned, _) => ("PRUNED", record.rungs.last().copied()),
                _ => ("FAIL", None),
            };
            assert_eq!(trial[2], state, "{}", record.id);
            assert_eq!(trial[3].as_f64(), value, "{}", record.id);
            assert_eq!(trial[4], serde_json::to_value(&record.params).unwrap(), "{}", record.id);
            let sharpe = record.test.as_ref().and_then(|test| test.sharpe);
            assert_eq!(trial[5]["test_sharpe"].as_f64(), sharpe, "{}", record.id);
            assert_eq!(trial[5]["reason"].as_str(), record.reason.as_deref());
        }
    }
}
