use std::path::Path;
use std::sync::mpsc::channel;

use crossbook_tuner::space::{Domain, Param, Value};
use proptest::prelude::*;

use super::*;
use crate::tune::log::TrialLog;
use crate::tune::store::FileStore;

/// A closed form in place of a replay: smooth with a few pits, some trials fail, some are pruned as their rungs demand.
fn evaluate(task: &Task) -> Record {
    let number = |name: &str| task.params.get(name).and_then(Value::number).unwrap();
    let (x, n) = (number("x"), number("n"));
    let mut record = Record::failed(task, "n is 7".to_owned());
    if n == 7.0 {
        return record;
    }
    let value = -(x - 0.3) * (x - 0.3) - (n - 4.0) * (n - 4.0) / 50.0 + f64::from(task.fold) / 3.0;
    record.reason = None;
    for rung in &task.rungs {
        let early = value + (x * 40.0).sin() * rung.fraction;
        record.rungs.push(early);
        if rung.least.is_some_and(|least| early < least) {
            record.state = State::Pruned;
            record.reason = Some(format!("below {:?}", rung.least));
            return record;
        }
    }
    record.state = State::Complete;
    record.value = Some(value);
    record.train_periods = vec![value / 3.0, x];
    record
}

fn plan(asynchronous: bool, threads: usize) -> Plan {
    let space = Space::new(
        vec![
            Param::new("x", Domain::float(0.0, 1.0)),
            Param::new("n", Domain::int(1, 12)),
        ],
        vec![],
    )
    .unwrap();
    Plan {
        folds: 2,
        trials: 30,
        batch: 4,
        seed: 5,
        sampler: SamplerConfig::by_name("random").unwrap(),
        space,
        asynchronous,
        threads,
    }
}

/// What is better than the median of what was reached before passes.
fn rungs(reached: &[&[f64]]) -> Vec<Rung> {
    let mut values: Vec<f64> = reached.iter().map(|values| values[0]).collect();
    values.sort_by(f64::total_cmp);
    let least = (values.len() >= 8).then(|| values[values.len() / 2]);
    vec![Rung { fraction: 0.25, least }]
}

/// Watches, and stops after so many trials.
#[derive(Default)]
struct Watch {
    stop_after: Option<u64>,
    seen: Progress,
    notes: Vec<String>,
}

impl Observer for Watch {
    fn progress(&mut self, progress: &Progress) {
        self.seen = *progress;
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn interrupted(&mut self) -> bool {
        self.stop_after.is_some_and(|most| self.seen.trials >= most)
    }
}

fn go(path: &Path, plan: &Plan, watch: &mut Watch, evaluate: Evaluate) -> Result<Ended, SessionError> {
    let (log, found) = TrialLog::open(path)?;
    let mut store = FileStore(log);
    run(plan, &rungs, found.records, &mut store, channel(), evaluate, watch)
}

/// One line a trial, in the order of ids, the same bytes with any number of threads.
#[test]
fn f77_the_log_is_the_same_bytes_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let mut logs = Vec::new();
    for threads in [1, 2, 4] {
        let path = folder.path().join(format!("{threads}.jsonl"));
        let ended = go(&path, &plan(false, threads), &mut Watch::default(), &evaluate).unwrap();
        assert_eq!(ended.status, Status::Done);
        assert_eq!(ended.progress.trials, 60);
        assert!(
            ended.progress.failed > 0 && ended.progress.pruned > 5,
            "{:?}",
            ended.progress
        );
        let ids: Vec<u64> = ended.records.iter().map(|record| record.id).collect();
        assert_eq!(ids, (0..60).collect::<Vec<u64>>());
        assert_eq!(ended.records.iter().filter(|record| record.fold == 1).count(), 30);
        logs.push((std::fs::read(&path).unwrap(), digest(&ended.records)));
    }
    assert!(logs[0] == logs[1] && logs[0] == logs[2]);
    let found = log::read(&folder.path().join("1.jsonl")).unwrap();
    assert_eq!(digest(&found.records), logs[0].1, "the log alone gives the digest");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// A session whose log ends anywhere, in the middle of a line or a batch, ends as if nothing had happened: what is in
    /// the log is not evaluated again, and nothing is lost.
    #[test]
    fn f37_f75_a_session_killed_anywhere_ends_as_if_it_had_not_been(share in 0.0..1.0_f64, asynchronous: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("whole.jsonl");
        let plan = plan(asynchronous, 2);
        let whole = go(&path, &plan, &mut Watch::default(), &evaluate).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let cut = (bytes.len() as f64 * share) as usize;
        let path = folder.path().join("cut.jsonl");
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let kept = bytes[..cut].iter().filter(|&&byte| byte == b'\n').count() as u64;
        let evaluated = std::sync::atomic::AtomicU64::new(0);
        let counted = |task: &Task| {
            evaluated.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            evaluate(task)
        };
        let again = go(&path, &plan, &mut Watch::default(), &counted).unwrap();
        prop_assert_eq!(again.progress.trials, 60);
        prop_assert_eq!(again.progress.resumed, kept);
        prop_assert_eq!(evaluated.into_inner(), 60 - kept);
        if !asynchronous {
            prop_assert!(std::fs::read(&path).unwrap() == bytes);
            prop_assert_eq!(digest(&again.records), digest(&whole.records));
        } else {
            // What is told after the cut may come in another order; what was before it stays.
            let lines = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').take(kept as usize).map(<[u8]>::to_vec).collect::<Vec<_>>();
            prop_assert_eq!(lines(&std::fs::read(&path).unwrap()), lines(&bytes));
        }
    }
}

/// With one thread and one trial on its way at a time, the asynchronous mode has one order only.
#[test]
fn an_asynchronous_session_repeats_the_order_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.jsonl");
    let mut plan = plan(true, 4);
    plan.batch = 6;
    let slow = |task: &Task| {
        std::thread::sleep(std::time::Duration::from_micros(200 * (7 - task.id % 7)));
        evaluate(task)
    };
    let ended = go(&path, &plan, &mut Watch::default(), &slow).unwrap();
    let order: Vec<u64> = log::read(&path)
        .unwrap()
        .records
        .iter()
        .map(|record| record.id)
        .collect();
    assert!(!order.is_sorted(), "told as they finished");
    // All of it from the log: no evaluation, the same table.
    let never = |task: &Task| -> Record { panic!("trial {} is in the log", task.id) };
    let again = go(&path, &plan, &mut Watch::default(), &never).unwrap();
    assert_eq!(
        (again.progress.resumed, digest(&again.records)),
        (60, digest(&ended.records))
    );
}

#[test]
fn an_interrupted_session_keeps_what_it_has_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole.jsonl"), folder.path().join("parts.jsonl"));
    go(&whole, &plan(false, 2), &mut Watch::default(), &evaluate).unwrap();
    for most in [1, 5, 13, 30, 31, 59] {
        let mut watch = Watch {
            stop_after: Some(most),
            ..Watch::default()
        };
        let ended = go(&parts, &plan(false, 2), &mut watch, &evaluate).unwrap();
        assert_eq!(ended.status, Status::Paused, "after {most}");
        assert!(
            (most..most + 4).contains(&ended.progress.trials),
            "{most}: {:?}",
            ended.progress
        );
    }
    let ended = go(&parts, &plan(false, 2), &mut Watch::default(), &evaluate).unwrap();
    assert_eq!(ended.status, Status::Done);
    assert!(std::fs::read(&parts).unwrap() == std::fs::read(&whole).unwrap());
}

/// Each change of the question is found by the first answer that does not fit it.
#[test]
fn a_log_of_another_session_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    go(&path, &plan(false, 1), &mut Watch::default(), &evaluate).unwrap();
    let changed: [fn(&mut Plan); 3] = [|plan| plan.seed += 1, |plan| plan.folds = 1, |plan| plan.trials = 20];
    for change in changed {
        let mut plan = plan(false, 1);
        change(&mut plan);
        let error = go(&path, &plan, &mut Watch::default(), &evaluate).unwrap_err();
        assert!(matches!(error, SessionError::Differs { .. }), "{error}");
    }
}

#[test]
fn a_panic_ends_the_session_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let evaluate = |task: &Task| -> Record {
        assert!(task.id < 9, "trial nine");
        evaluate(task)
    };
    let error = go(&path, &plan(false, 2), &mut Watch::default(), &evaluate).unwrap_err();
    assert!(error.to_string().contains("trial nine"), "{error}");
    assert!(
        log::read(&path).unwrap().records.len() >= 8,
        "the batches before it stay"
    );
}

/// F76 at the border of the session: a record that JSON cannot hold is a failed trial, not a broken log.
#[test]
fn f76_a_record_with_a_number_that_is_none_counts_as_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let evaluate = |task: &Task| Record {
        train_periods: if task.id == 3 { vec![f64::NAN] } else { vec![] },
        ..evaluate(task)
    };
    go(&path, &plan(false, 2), &mut Watch::default(), &evaluate).unwrap();
    let records = log::read(&path).unwrap().records;
    assert_eq!(
        (records.len(), records[3].state, records[3].value),
        (60, State::Failed, None)
    );
}

#[test]
fn the_best_is_the_largest_and_then_the_first() {
    let task = |id| Task {
        id,
        fold: 0,
        params: Params::new(),
        rungs: vec![],
    };
    let record = |id, state, value| Record {
        state,
        value,
        ..Record::failed(&task(id), String::new())
    };
    let records = [
        record(0, State::Complete, Some(1.0)),
        record(1, State::Complete, Some(2.0)),
        record(2, State::Complete, Some(2.0)),
        record(3, State::Complete, None),
        record(4, State::Pruned, Some(9.0)),
    ];
    assert_eq!(best(records.iter().rev(), 0).map(|record| record.id), Some(1));
    assert_eq!(best(&records, 1), None);
}

/// Ten thousand trials with 256 period results each: the cost of the last thousand is that of the first.
#[test]
fn ten_thousand_trials_cost_the_same_from_first_to_last() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = TrialLog::open(&folder.path().join("log.jsonl")).unwrap();
    let mut store = FileStore(log);
    let task = |id| Task {
        id,
        fold: 0,
        params: Params::new(),
        rungs: vec![],
    };
    let mut record = Record::failed(&task(0), String::new());
    record.train_periods = (0..256).map(|k| f64::from(k) / 7.0).collect();
    let mut thousand = || {
        let begun = std::time::Instant::now();
        for id in 0..1000 {
            record.id = id;
            store.append(std::slice::from_ref(&record)).unwrap();
        }
        begun.elapsed()
    };
    let times: Vec<_> = (0..10).map(|_| thousand()).collect();
    // The fastest of each half: other work on the machine only ever adds.
    let fastest = |times: &[std::time::Duration]| times.iter().min().unwrap().as_secs_f64();
    let (first, last) = (fastest(&times[..5]), fastest(&times[5..]));
    assert!(last < first * 2.0, "{times:?}");
}
