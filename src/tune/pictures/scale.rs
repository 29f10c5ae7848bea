//! Axes of parameters and objectives: positions with ticks, linear, logarithmic, or one place a choice.

use std::ops::Range;

use crossbook_tuner::space::{Domain, Param, Value};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::report::plots::{nice_step, number};
use crate::tune::export::plain;

/// Longest name of a choice on an axis, in characters.
const LONGEST_CHOICE: usize = 14;
/// Characters that a tick may take on average, so that the names of choices do not run into each other.
const TICK_ROOM: usize = 8;

/// An axis over positions; values become positions by [`Scale::position`].
#[derive(Debug, Clone)]
pub struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

#[derive(Debug, Clone)]
enum Kind {
    Linear,
    Log,
    Places(Vec<Value>),
}

impl Scale {
    /// Over what a parameter may be.
    pub fn of_param(param: &Param, most: usize) -> Scale {
        match &param.domain {
            &Domain::Float { low, high, log, .. } => Scale::range(low, high, log, false, most),
            &Domain::Int { low, high, log, .. } => Scale::range(low as f64, high as f64, log, true, most),
            Domain::Choice(choices) => Scale::places(choices, most),
            Domain::Fixed(value) => Scale::places(std::slice::from_ref(value), most),
        }
    }

    /// Whole numbers between two, both included.
    pub fn counts(low: u64, high: u64, most: usize) -> Scale {
        Scale::range(low as f64, high as f64, false, true, most)
    }

    /// Over values, all of them finite ones. No value, or one only, still gives an axis.
    pub fn values(values: impl IntoIterator<Item = f64>, most: usize) -> Scale {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        match low <= high {
            true => Scale::range(low, high, false, false, most),
            false => Scale::range(-1.0, 1.0, false, false, most),
        }
    }

    /// Over values of which more is better: far worse ones than most are left below the axis, so that they do not squash
    /// the rest.
    pub fn objective(values: &[f64], most: usize) -> Scale {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (Some(&worst), Some(&best)) = (sorted.first(), sorted.last()) else {
            return Scale::values([], most);
        };
        let quarter = sorted[sorted.len() / 4];
        let low = worst.max(quarter - 1.5 * (best - quarter));
        Scale::values([low, best], most)
    }

    fn range(low: f64, high: f64, log: bool, whole: bool, most: usize) -> Scale {
        let log = log && low > 0.0;
        let place = |value: f64| if log { libm::log10(value) } else { value };
        let (mut from, mut to) = (place(low), place(high));
        let air = match to - from {
            span if span > from.abs() * 1e-12 => span * 0.04,
            _ if log => 0.1,
            _ => (from.abs() * 0.01).max(if whole { 0.5 } else { 1e-3 }),
        };
        (from, to) = (from - air, to + air);
        let ticks = if log && high / low > 4.0 {
            decades(low, high, most)
        } else {
            let (first, last) = (if log { low } else { from }, if log { high } else { to });
            let least = (last - first).max(f64::MIN_POSITIVE) / most.max(2) as f64;
            let step = nice_step(if whole { least.max(1.0) } else { least });
            let start = (first / step).ceil();
            let count = ((last / step).floor() - start).clamp(-1.0, 60.0) as i64;
            (0..=count)
                .map(|at| (start + at as f64) * step)
                .map(|value| (value, figure(value, step)))
                .collect()
        };
        let ticks = ticks.into_iter().map(|(value, text)| (place(value), text)).collect();
        let kind = if log { Kind::Log } else { Kind::Linear };
        Scale {
            kind,
            low: from,
            high: to,
            ticks,
        }
    }

    fn places(choices: &[Value], most: usize) -> Scale {
        let names: Vec<String> = choices
            .iter()
            .map(|choice| cut(&plain(choice), LONGEST_CHOICE))
            .collect();
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let every = (choices.len() * longest.max(TICK_ROOM)).div_ceil(most.max(2) * TICK_ROOM);
        let ticks = names
            .into_iter()
            .enumerate()
            .step_by(every.max(1))
            .map(|(at, name)| (at as f64, name))
            .collect();
        Scale {
            kind: Kind::Places(choices.to_vec()),
            low: -0.5,
            high: choices.len().max(1) as f64 - 0.5,
            ticks,
        }
    }

    /// Where a parameter's value lies; none for one that the parameter cannot have.
    pub fn position(&self, value: &Value) -> Option<f64> {
        match &self.kind {
            Kind::Linear => value.number(),
            Kind::Log => value.number().filter(|&number| number > 0.0).map(libm::log10),
            Kind::Places(choices) => choices.iter().position(|choice| choice.same(value)).map(|at| at as f64),
        }
    }

    /// The position as a share of the axis, 0 at its low end.
    pub fn share(&self, position: f64) -> f64 {
        (position - self.low) / (self.high - self.low)
    }

    /// The position of a share of the axis.
    pub fn at(&self, share: f64) -> f64 {
        self.low + share * (self.high - self.low)
    }

    /// Ends of the axis.
    pub fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Ticks with their labels.
    pub fn ticks(&self) -> &[(f64, String)] {
        &self.ticks
    }

    /// Whether each place is a choice of its own.
    pub fn is_places(&self) -> bool {
        matches!(self.kind, Kind::Places(_))
    }
}

/// Ticks at powers of ten, with 2 and 5 times them while they are not too many.
fn decades(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let (first, last) = (
        libm::floor(libm::log10(low)) as i32,
        libm::ceil(libm::log10(high)) as i32,
    );
    let mut ticks = Vec::new();
    for (factors, every) in [
        (&[1.0, 2.0, 5.0][..], 1),
        (&[1.0, 3.0][..], 1),
        (&[1.0][..], 1),
        (&[1.0][..], 2),
        (&[1.0][..], 5),
        (&[1.0][..], 20),
        (&[1.0][..], 100),
    ] {
        ticks = (first..=last)
            .step_by(every)
            .flat_map(|power| {
                factors
                    .iter()
                    .map(move |factor| factor * libm::pow(10.0, f64::from(power)))
            })
            .filter(|value| (low * 0.999..=high * 1.001).contains(value))
            .map(|value| (value, short(value)))
            .collect();
        if ticks.len() <= most.max(2) {
            break;
        }
    }
    ticks
}

/// A tick's value with the decimals that its step needs.
fn figure(value: f64, step: f64) -> String {
    let largest = value.abs().max(step);
    if largest >= 1e7 || step < 1e-6 {
        return short(value);
    }
    let decimals = (-libm::floor(libm::log10(step) + 1e-9)).clamp(0.0, 8.0) as usize;
    number(value, decimals)
}

/// A number in about four digits: `0.25`, `3,600`, `1.2e7`.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".to_owned();
    }
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        let text = format!("{value:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return format!("{digits}e{power}");
    }
    let decimals = match size {
        0.0 => 0,
        size if size >= 1000.0 => 0,
        size => (3.0 - libm::floor(libm::log10(size))).clamp(0.0, 8.0) as usize,
    };
    let text = number(value, decimals);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// At most so many characters; what is cut off leaves a mark.
pub fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        // What lies outside is drawn at the edge.
        let share = self.share(*value).clamp(0.0, 1.0);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.iter().map(|tick| tick.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|tick| tick.0 == *value);
        tick.map_or(String::new(), |tick| tick.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks().iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn every_kind_of_parameter_has_readable_ticks() {
        let float = |low, high, log| Domain::Float {
            low,
            high,
            log,
            step: None,
        };
        let int = |low, high, log| Domain::Int {
            low,
            high,
            log,
            step: 1,
        };
        let text = |word: &str| Value::Text(word.to_owned());
        let cases: [(Domain, &[&str]); 9] = [
            (float(2.0, 80.0, false), &["0", "20", "40", "60", "80"]),
            (float(60.0, 86400.0, true), &["100", "1,000", "10,000"]),
            (float(1.0, 3.0, true), &["1.0", "1.5", "2.0", "2.5", "3.0"]),
            (int(1, 3, false), &["1", "2", "3"]),
            (int(60, 14400, true), &["100", "300", "1,000", "3,000", "10,000"]),
            (Domain::Choice(vec![text("zero"), text("ewma")]), &["zero", "ewma"]),
            (
                Domain::Choice(vec![Value::Bool(false), Value::Bool(true)]),
                &["false", "true"],
            ),
            (Domain::Fixed(Value::Int(7)), &["7"]),
            (float(1e-9, 1e-3, true), &["1e-9", "1e-7", "1e-5", "0.001"]),
        ];
        for (domain, want) in cases {
            let param = Param {
                name: "p".to_owned(),
                domain: domain.clone(),
                when: Vec::new(),
            };
            let got = Scale::of_param(&param, 5);
            assert!(got.ends().0 < got.ends().1, "{domain:?}");
            let _ = want;
            assert_eq!(labels(&got), want, "{domain:?}");
        }
    }

    #[test]
    fn an_axis_stands_whatever_the_values() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![0.0],
            vec![-1e18, 5.0, 5.0],
            vec![1.0, 1.0 + 1e-14],
            vec![f64::INFINITY, 3.0],
            vec![-1e300, 1e300],
        ] {
            for scale in [Scale::values(values.clone(), 6), Scale::objective(&values, 6)] {
                let (low, high) = scale.ends();
                assert!(low.is_finite() && high.is_finite() && low < high, "{values:?}");
                assert!(scale.ticks().len() < 20, "{values:?}");
                for (position, label) in scale.ticks() {
                    assert!(position.is_finite() && !label.contains("NaN"), "{values:?} {label}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.25, "0.25"),
            (3600.0, "3,600"),
            (12345.678, "12,346"),
            (1.2e7, "1.2e7"),
            (-0.00002, "-2e-5"),
            (f64::NAN, "-"),
            (100.0, "100"),
        ];
        for (value, want) in cases {
            assert_eq!(short(value), want);
        }
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
