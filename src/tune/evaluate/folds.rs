//! Which part of a scenario's window is tuned on and which is tested on, and the periods that results are cut into.
//!
//! With `n` folds, a test share `f` and an embargo `e`, a window of length `T` is divided like this (`n = 3`):
//!
//! ```text
//!             |<------------ (1-f) T ------------>|<- fT/n ->|<- fT/n ->|<- fT/n ->|
//! fold 0      |========= train =========|.. e ....|== test ==|
//! fold 1      |================ train ==============|.. e ....|== test ==|             anchored
//! fold 1                 |========= train =========|.. e ....|== test ==|             rolling
//! fold 2      ...
//! ```
//!
//! A split is one fold. Tests begin on the grid of the periods. Every window is a run of its own: it begins flat with the
//! opening balances, and with the books of its first instant; what is open at its end is marked at mid.

use crossbook_engine::units::TimestampNs;
use serde::Serialize;

use super::streams::Span;
use crate::tune::spec::{Mode, Validation};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// A training window with fewer periods than this has no ratios worth the name.
const LEAST_PERIODS: i64 = 8;

/// No window has more: every trial's record holds a figure for each.
const MOST_PERIODS: i64 = 100_000;

/// One scenario's windows in a fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Windows {
    /// Name of the scenario.
    pub scenario: String,
    /// What the tuner sees: first instant, end.
    pub train: Span,
    /// What it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Span>,
}

/// One division of the data: a study of its own is tuned on its training windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fold {
    /// Its number, from 0.
    pub index: u32,
    /// Windows by scenario, in the order of the tuning file.
    pub windows: Vec<Windows>,
}

/// Folds and the length of a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// The folds.
    pub folds: Vec<Fold>,
    /// Length of a period.
    pub period_ns: i64,
}

/// Divides the scenarios' windows.
///
/// # Errors
/// The key that does not fit the data, and what is wrong.
pub fn divide(
    validation: &Validation,
    embargo_ns: i64,
    scenarios: &[(String, Span)],
) -> Result<Division, (&'static str, String)> {
    let shortest = scenarios
        .iter()
        .map(|(_, span)| span.1.since(span.0))
        .min()
        .unwrap_or(0);
    let tested = validation.test_fraction.unwrap_or(0.0);
    let train_ns = (shortest as f64 * (1.0 - tested)) as i64 - if tested > 0.0 { embargo_ns } else { 0 };
    if train_ns <= 0 {
        let message = format!(
            "{} s leave nothing to train on: the shortest window lasts {} s, of which {} % are tested on",
            seconds(embargo_ns),
            seconds(shortest),
            tested * 100.0
        );
        return Err(("embargo_s", message));
    }
    let period_ns = match validation.period_s {
        Some(period_s) => (period_s * 1e9).round() as i64,
        None => default_period(train_ns),
    };
    if train_ns / period_ns < LEAST_PERIODS {
        let message = format!(
            "a training window of {} s has fewer than {LEAST_PERIODS} periods of {} s",
            seconds(train_ns),
            seconds(period_ns)
        );
        return Err(("period_s", message));
    }
    let longest = scenarios
        .iter()
        .map(|(_, span)| span.1.since(span.0))
        .max()
        .unwrap_or(0);
    if longest / period_ns > MOST_PERIODS {
        let message = format!(
            "a window of {} s has more than {MOST_PERIODS} periods of {} s",
            seconds(longest),
            seconds(period_ns)
        );
        return Err(("period_s", message));
    }
    let count = match validation.mode {
        Mode::None => 1,
        Mode::Split | Mode::WalkForward => validation.folds.unwrap_or(1),
    };
    let mut folds = Vec::new();
    for index in 0..count {
        let mut windows = Vec::new();
        for (scenario, span) in scenarios {
            let (train, test) = match validation.mode {
                Mode::None => (*span, None),
                Mode::Split | Mode::WalkForward => {
                    let (train, test) = fold(validation, embargo_ns, period_ns, *span, index, count)?;
                    (train, Some(test))
                }
            };
            windows.push(Windows {
                scenario: scenario.clone(),
                train,
                test,
            });
        }
        folds.push(Fold { index, windows });
    }
    for fold in &folds {
        apart(fold, embargo_ns)?;
    }
    Ok(Division { folds, period_ns })
}

fn fold(
    validation: &Validation,
    embargo_ns: i64,
    period_ns: i64,
    (from, to): Span,
    index: u32,
    count: u32,
) -> Result<(Span, Span), (&'static str, String)> {
    let span = to.since(from);
    let tested = (span as f64 * validation.test_fraction.unwrap_or(0.0)) as i64;
    let edge = |number: u32| {
        if number == count {
            return to;
        }
        let back = i128::from(tested) * i128::from(count - number) / i128::from(count);
        let at = to.0 - back as i64;
        TimestampNs(at - at.rem_euclid(period_ns))
    };
    let test = (edge(index), edge(index + 1));
    if test.1.since(test.0) < 2 * period_ns {
        let message = format!(
            "a test window of {} s has fewer than two periods of {} s",
            seconds(test.1.since(test.0)),
            seconds(period_ns)
        );
        return Err(("folds", message));
    }
    let begin = if validation.anchored.unwrap_or(true) {
        from
    } else {
        from.plus(edge(index).since(edge(0)))
    };
    Ok(((begin, test.0.plus(-embargo_ns)), test))
}

/// No training window may see what another scenario of the fold is tested on.
fn apart(fold: &Fold, embargo_ns: i64) -> Result<(), (&'static str, String)> {
    for train in &fold.windows {
        for test in &fold.windows {
            let Some(span) = test.test else { continue };
            if train.train.0 < span.1 && span.0 < train.train.1.plus(embargo_ns) {
                let message = format!(
                    "fold {}: `{}` is trained on what `{}` is tested on: give such scenarios the same window, or a session each",
                    fold.index, train.scenario, test.scenario
                );
                return Err(("mode", message));
            }
        }
    }
    Ok(())
}

/// A day if the training window has 32 of them, else an hour if it has 32, else about a 64th of it, a round number.
fn default_period(train_ns: i64) -> i64 {
    for period in [DAY_NS, HOUR_NS] {
        if train_ns / period >= 32 {
            return period;
        }
    }
    // Rounded down, so that there are at least 64: 1, 2, 5, 10, 15, 30 seconds and minutes; decimals below a second.
    let most = train_ns / 64;
    let whole = [1800, 900, 600, 300, 120, 60, 30, 15, 10, 5, 2, 1].map(|s| s * SECOND_NS);
    if let Some(period) = whole.into_iter().find(|period| *period <= most) {
        return period;
    }
    let mut period = SECOND_NS;
    while period > most && period > 1 {
        period /= 10;
    }
    period
}

/// Where the periods of a window end, the last end (that of the window) left out: multiples of the period's length since the
/// epoch. A part of less than half a period at either end belongs to its neighbour.
pub fn period_ends((from, to): Span, period_ns: i64) -> Vec<TimestampNs> {
    let mut ends = Vec::new();
    let mut at = from.plus(period_ns - from.0.rem_euclid(period_ns));
    while at < to {
        ends.push(at);
        at = at.plus(period_ns);
    }
    if ends.last().is_some_and(|last| to.since(*last) < period_ns / 2) {
        ends.pop();
    }
    if ends.first().is_some_and(|first| first.since(from) < period_ns / 2) {
        ends.remove(0);
    }
    ends
}

/// How often equity is sampled so that every period ends on a sample: the largest whole part of the period that is not
/// longer than `wanted_ns`.
pub fn sample_step(period_ns: i64, wanted_ns: i64) -> i64 {
    let least = period_ns.div_euclid(wanted_ns.max(1)) + i64::from(period_ns % wanted_ns.max(1) != 0);
    (least.max(1)..=period_ns)
        .find(|parts| period_ns % parts == 0)
        .map_or(period_ns, |parts| period_ns / parts)
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = SECOND_NS;

    fn span(from_s: i64, to_s: i64) -> Span {
        (TimestampNs(from_s * S), TimestampNs(to_s * S))
    }

    fn validation(mode: Mode, folds: u32, test_fraction: f64, anchored: bool) -> Validation {
        Validation {
            mode,
            folds: Some(folds),
            test_fraction: Some(test_fraction),
            anchored: Some(anchored),
            period_s: Some(1.0),
            embargo_s: None,
        }
    }

    fn folds(validation: &Validation, embargo_s: i64) -> Vec<(Span, Option<Span>)> {
        let one = [("one".to_owned(), span(1000, 1200))];
        let division = divide(validation, embargo_s * S, &one).unwrap();
        division
            .folds
            .iter()
            .map(|fold| (fold.windows[0].train, fold.windows[0].test))
            .collect()
    }

    #[test]
    fn windows_are_where_the_drawing_says() {
        let none = Validation {
            period_s: Some(1.0),
            ..Validation::default()
        };
        assert_eq!(folds(&none, 7), [(span(1000, 1200), None)]);
        let split = validation(Mode::Split, 1, 0.25, true);
        assert_eq!(folds(&split, 10), [(span(1000, 1140), Some(span(1150, 1200)))]);
        let anchored = validation(Mode::WalkForward, 4, 0.5, true);
        assert_eq!(
            folds(&anchored, 5),
            [
                (span(1000, 1095), Some(span(1100, 1125))),
                (span(1000, 1120), Some(span(1125, 1150))),
                (span(1000, 1145), Some(span(1150, 1175))),
                (span(1000, 1170), Some(span(1175, 1200))),
            ]
        );
        let rolling = validation(Mode::WalkForward, 2, 0.5, false);
        assert_eq!(
            folds(&rolling, 0),
            [
                (span(1000, 1100), Some(span(1100, 1150))),
                (span(1050, 1150), Some(span(1150, 1200))),
            ]
        );
    }

    #[test]
    fn divisions_that_do_not_fit_are_refused() {
        let check = |validation: &Validation, embargo_s: i64, spans: &[Span]| {
            let scenarios: Vec<(String, Span)> = (0..).map(|n| format!("s{n}")).zip(spans.iter().copied()).collect();
            divide(validation, embargo_s * S, &scenarios).unwrap_err()
        };
        let split = validation(Mode::Split, 1, 0.25, true);
        assert_eq!(check(&split, 150, &[span(0, 200)]).0, "embargo_s");
        assert_eq!(check(&split, 145, &[span(0, 200)]).0, "period_s");
        let many = validation(Mode::WalkForward, 100, 0.5, true);
        assert_eq!(check(&many, 0, &[span(0, 100)]).0, "folds");
        assert_eq!(check(&split, 0, &[span(0, 200_000)]).0, "period_s");
        let (key, message) = check(&split, 0, &[span(0, 200), span(100, 300)]);
        assert_eq!(key, "mode", "{message}");
        assert!(
            message.contains("`s1` is trained on what `s0` is tested on"),
            "{message}"
        );
    }

    #[test]
    fn periods_meet_their_grid_and_cover_the_window() {
        let ends = |from: i64, to: i64| -> Vec<i64> {
            let ends = period_ends((TimestampNs(from), TimestampNs(to)), 10);
            ends.iter().map(|end| end.0).collect()
        };
        assert_eq!(ends(0, 40), [10, 20, 30]);
        assert_eq!(ends(3, 37), [10, 20, 30]);
        assert_eq!(ends(7, 33), [20], "short ends go to their neighbours");
        assert_eq!(ends(5, 35), [10, 20, 30]);
        assert_eq!(ends(1, 4), [0; 0]);
    }

    #[test]
    fn samples_divide_the_period_and_are_no_rarer_than_wanted() {
        for (period, wanted) in [(3600, 10), (3600, 7), (60, 100), (60, 60), (7, 3), (86_400, 5000)] {
            let step = sample_step(period * S, wanted * S);
            assert_eq!(period * S % step, 0, "{period} {wanted}");
            assert!(
                step <= (wanted * S).min(period * S) && 2 * step > (wanted * S).min(period * S),
                "{period} {wanted}: {step}"
            );
        }
    }

    #[test]
    fn the_default_period_follows_the_length_of_the_training() {
        let cases = [
            (40 * 86_400, 86_400),
            (31 * 86_400, 3600),
            (32 * 3600, 3600),
            (31 * 3600, 900),
            (3240, 30),
            (64, 1),
        ];
        for (train_s, period_s) in cases {
            assert_eq!(default_period(train_s * S), period_s * S, "{train_s}");
        }
        assert_eq!(default_period(S), S / 100);
    }
}
