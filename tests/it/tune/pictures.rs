//! Pictures of sessions of every shape.

use std::path::PathBuf;

use crossbook::report::plots::{FILE, PAGE};
use crossbook::tune::pictures::{Picture, png, replays, report, svg};
use crossbook::tune::results::Results;
use crossbook::tune::trial::State;
use crossbook_tuner::space::{Domain, Param, Value};

use super::samples;

/// Sessions that are hard to draw, by name.
fn shapes() -> Vec<(&'static str, Results)> {
    let mut none = samples::session(1, 0);
    none.verdict = None;
    let mut failed = samples::session(2, 20);
    for record in &mut failed.records {
        record.state = State::Failed;
        (record.value, record.train, record.test) = (None, None, None);
        record.rungs.clear();
    }
    let mut flat = samples::session(1, 30);
    for record in &mut flat.records {
        record.value = Some(0.0);
        record.train_periods = vec![0.0; 5];
        record.test_periods = vec![0.0; 3];
    }
    let mut wild = samples::session(1, 60);
    for (at, record) in wild.records.iter_mut().enumerate() {
        record.value = Some([-1e290, 1e290, -5.0, f64::INFINITY, f64::NAN, 1e-290][at % 6]);
        record.rungs = vec![f64::NAN];
        record.train_periods = vec![record.value.unwrap_or(0.0)];
    }
    let with = |params: Vec<Param>, value: fn(u64) -> Value| {
        let mut results = samples::session(1, 40);
        for record in &mut results.records {
            record.params = params
                .iter()
                .map(|param| (param.name.clone(), value(record.id)))
                .collect();
        }
        results.importance.clear();
        results.params = params;
        results
    };
    let one = |domain| vec![Param::new("strategy.entry_bps", domain)];
    let choices = (0..40)
        .map(|at| Value::Text(format!("a rather long name of choice {at}")))
        .collect();
    let nowhere: [Param; 1] = [Param::new("strategy.entry_bps", Domain::Fixed(Value::Int(3)))];
    vec![
        ("usual", samples::session(1, 200)),
        ("folds", samples::session(4, 80)),
        ("none", none),
        ("one", samples::session(1, 1)),
        ("two", samples::session(1, 2)),
        ("many", samples::session(1, 10_000)),
        ("failed", failed),
        ("flat", flat),
        ("wild", wild),
        ("fixed", with(nowhere.into(), |_| Value::Int(3))),
        (
            "one-parameter",
            with(one(Domain::log_float(1e-9, 1e9)), |id| {
                Value::Float(10f64.powi(id as i32 % 19 - 9))
            }),
        ),
        (
            "one-choice",
            with(one(Domain::Choice(choices)), |id| {
                Value::Text(format!("a rather long name of choice {id}"))
            }),
        ),
        (
            "one-truth",
            with(one(Domain::Choice(vec![Value::Bool(false), Value::Bool(true)])), |id| {
                Value::Bool(id % 2 == 0)
            }),
        ),
        (
            "one-int",
            with(one(Domain::int(i64::MIN / 4, i64::MAX / 4)), |id| {
                Value::Int((id as i64 - 20) << 55)
            }),
        ),
    ]
}

/// Where the pictures are left for a person to look at; nowhere unless asked.
fn album() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("CROSSBOOK_ALBUM")?);
    std::fs::create_dir_all(&folder).unwrap();
    Some(folder)
}

#[test]
fn sessions_of_every_shape_are_drawn() {
    for (name, results) in shapes() {
        for picture in Picture::ALL {
            let text = svg(picture, &results, &FILE).unwrap();
            assert!(text.contains("<text"), "{name} {}", picture.name());
            for bad in ["NaN", "inf", "-2147483648", "2147483647"] {
                assert!(!text.contains(bad), "{name} {}: {bad} is drawn", picture.name());
            }
            assert!(
                text.len() < 1_500_000,
                "{name} {}: {} bytes",
                picture.name(),
                text.len()
            );
            if let Some(folder) = album().filter(|_| picture.applies(&results)) {
                let path = folder.join(format!("{name}-{}.png", picture.name()));
                std::fs::write(path, png(picture, &results).unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn the_same_session_gives_the_same_pictures() {
    for picture in Picture::ALL {
        let draw = || png(picture, &samples::session(2, 60)).unwrap();
        assert_eq!(draw(), draw(), "{}", picture.name());
        let draw = || svg(picture, &samples::session(2, 60), &PAGE).unwrap();
        assert_eq!(draw(), draw(), "{}", picture.name());
        assert!(
            !draw().contains("#1F2933"),
            "a picture of a page takes the page's colour"
        );
    }
}

#[test]
fn pictures_say_what_they_leave_out_and_why_they_are_empty() {
    let text = |picture, results: &Results| svg(picture, results, &FILE).unwrap();
    let many = samples::session(1, 10_000);
    assert!(text(Picture::History, &many).contains("one in 5 of 10000 is drawn"));
    let mut none = samples::session(1, 0);
    none.verdict = None;
    none.importance.clear();
    let cases = [
        (Picture::History, "no trial was evaluated"),
        (Picture::Parallel, "no trial has a usable value"),
        (Picture::Slices, "no trial has a usable value"),
        (Picture::Contour, "no trial with a usable value has both parameters"),
        (Picture::Importance, "too few trials"),
        (Picture::OutOfSample, "no trial was evaluated in and out of sample"),
        (Picture::Overfitting, "no cross-validation was made"),
        (Picture::WalkForward, "no fold has a result out of sample"),
    ];
    for (picture, why) in cases {
        assert!(text(picture, &none).contains(why), "{}", picture.name());
    }
    assert!(!Picture::OutOfSample.applies(&none) && !Picture::Importance.applies(&none));
}

#[test]
fn the_report_holds_everything_and_refers_to_nothing_outside() {
    let results = samples::session(3, 120);
    let page = report(&results).unwrap();
    for needle in [
        "src=\"http",
        "href=\"http",
        "url(http",
        "@import",
        "fetch(",
        "XMLHttpRequest",
    ] {
        assert!(!page.contains(needle), "{needle}");
    }
    let winner = results.winner().unwrap();
    for needle in [
        "default-src 'none'",
        "kimchi-20240901",
        "luck is a likely explanation",
        "id=\"picture-history\"",
        "id=\"picture-overfitting\"",
        "id=\"picture-walk-forward\"",
        "the best 100 of ",
        &results.digest,
        &format!("crossbook sessions show kimchi-20240901 --trial {}", winner.id),
        "crossbook replay scenarios/kimchi.toml --set execution.post_only=",
        "&quot;strategy.entry_bps&quot; = { float = [2.0, 80.0] }",
    ] {
        assert!(page.contains(needle), "{needle}");
    }
    if let Some(folder) = album() {
        std::fs::write(folder.join("report.html"), &page).unwrap();
    }
    for (name, results) in shapes() {
        let page = report(&results).unwrap();
        assert!(page.len() < 4_000_000, "{name}: {} bytes", page.len());
        assert!(!page.contains(">NaN<"), "{name}");
    }
}

#[test]
fn names_cannot_become_markup_or_a_second_command() {
    let mut results = samples::session(1, 10);
    let evil = "</script><img src=x onerror=alert(1)>";
    results.name = evil.to_owned();
    results.currency = evil.to_owned();
    results.objective = evil.to_owned();
    results.scenarios = vec!["a b'; rm -rf $HOME".to_owned()];
    results.params[4].domain = Domain::Choice(vec![Value::Text(evil.to_owned())]);
    for record in &mut results.records {
        let name = results.params[4].name.clone();
        record.params.insert(name, Value::Text(evil.to_owned()));
    }
    let page = report(&results).unwrap();
    assert!(!page.contains("<img") && !page.contains("</script><"));
    let command = &replays(&results, &results.records[0])[0];
    assert!(
        command.starts_with("crossbook replay 'a b'\\''; rm -rf $HOME' --set "),
        "{command}"
    );
    assert!(
        command.contains(" --set 'strategy.fair_premium.model=</script>"),
        "{command}"
    );
}

#[test]
fn the_report_of_a_session_opens_in_a_real_browser_offline() {
    let Some(browser) = crate::report::chromium() else {
        eprintln!("SKIPPED the_report_of_a_session_opens_in_a_real_browser_offline: no chromium is installed");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let mut empty = samples::session(1, 0);
    empty.verdict = None;
    empty.importance.clear();
    for (results, pictures, rows) in [(samples::session(2, 60), 8, 96), (empty, 3, 0)] {
        let path = root.path().join("report.html");
        std::fs::write(&path, report(&results).unwrap()).unwrap();
        let document = crate::report::rendered(browser, &path, root.path());
        assert!(
            document.contains("data-charts=\"0\""),
            "the script did not run to its end"
        );
        assert_eq!(document.matches("<svg").count(), pictures);
        let board = document.split("id=\"leaderboard\"").nth(1).unwrap();
        let board = board.split("</table>").next().unwrap();
        assert_eq!(board.matches("<tr").count().saturating_sub(1), rows);
        assert!(document.contains("</html>"));
    }
}
