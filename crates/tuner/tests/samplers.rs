//! What every sampler keeps to, over random spaces: floats, ints, steps, logarithms, choices, fixed values, conditional
//! parameters and a constraint; results that are complete, pruned, failed, not a number, or still out.
//!
//! What a valid proposal is, and how many points a finite space has, is worked out here from the definition of the
//! domains, not by the code under test.

use std::collections::BTreeSet;

use crossbook_tuner::sampler::{SamplerConfig, SamplerError};
use crossbook_tuner::space::{Constraint, Domain, Param, Params, Space, SpaceError, Value};
use crossbook_tuner::study::{Direction, Outcome, Study, StudyError, Trial};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

/// A space as it was drawn, and whether `p0 <= p1` must hold.
#[derive(Debug, Clone)]
struct Drawn {
    params: Vec<Param>,
    constraint: bool,
}

impl Drawn {
    fn space(&self) -> Space {
        let constraint = self.constraint.then(|| Constraint::parse("p0 <= p1").unwrap());
        Space::new(self.params.clone(), constraint.into_iter().collect()).unwrap()
    }

    /// Whether these are values of exactly the parameters that they themselves make active, and satisfy the constraint.
    fn allows(&self, params: &Params) -> bool {
        let mut expected = 0;
        for param in &self.params {
            let wanted = param.when.iter().all(|(parent, values)| {
                params
                    .get(parent)
                    .is_some_and(|value| values.iter().any(|allowed| allowed.same(value)))
            });
            let fits = params
                .get(&param.name)
                .is_some_and(|value| contains(&param.domain, value));
            expected += usize::from(wanted);
            if wanted && !fits {
                return false;
            }
        }
        expected == params.len() && self.satisfied(params)
    }

    fn satisfied(&self, params: &Params) -> bool {
        let number = |name: &str| params.get(name).and_then(Value::number);
        match (number("p0"), number("p1")) {
            (Some(a), Some(b)) => !self.constraint || a <= b,
            _ => true,
        }
    }

    /// All points of a finite space; `None` when there are infinitely many, or more than `limit`.
    fn points(&self, limit: usize) -> Option<BTreeSet<String>> {
        let mut partial: Vec<Params> = vec![Params::new()];
        for param in &self.params {
            let values = values(&param.domain)?;
            let mut next = Vec::new();
            for params in partial {
                // Parents stand before their children here.
                let active = param.when.iter().all(|(parent, allowed)| {
                    params
                        .get(parent)
                        .is_some_and(|value| allowed.iter().any(|own| own.same(value)))
                });
                if !active {
                    next.push(params);
                    continue;
                }
                for value in &values {
                    let mut with = params.clone();
                    with.insert(param.name.clone(), value.clone());
                    next.push(with);
                }
            }
            if next.len() > limit {
                return None;
            }
            partial = next;
        }
        Some(
            partial
                .iter()
                .filter(|params| self.satisfied(params))
                .map(text)
                .collect(),
        )
    }
}

fn contains(domain: &Domain, value: &Value) -> bool {
    match (domain, value) {
        (Domain::Float { low, high, step, .. }, Value::Float(x)) => {
            let on_step = step.is_none_or(|step| {
                let steps = (x - low) / step;
                (steps - steps.round()).abs() < 1e-6
            });
            (low..=high).contains(&x) && on_step
        }
        (Domain::Int { low, high, step, .. }, Value::Int(n)) => (low..=high).contains(&n) && (n - low) % step == 0,
        (Domain::Choice(values), value) => values.contains(value),
        (Domain::Fixed(own), value) => own == value,
        _ => false,
    }
}

fn values(domain: &Domain) -> Option<Vec<Value>> {
    match domain {
        Domain::Float { .. } => None,
        Domain::Int { low, high, step, .. } => Some((*low..=*high).step_by(*step as usize).map(Value::Int).collect()),
        Domain::Choice(values) => Some(values.clone()),
        Domain::Fixed(value) => Some(vec![value.clone()]),
    }
}

fn text(params: &Params) -> String {
    format!("{params:?}")
}

fn int(low: std::ops::Range<i64>, width: std::ops::Range<i64>) -> impl Strategy<Value = Domain> {
    (low, width, 1..4i64, any::<bool>()).prop_map(|(low, width, step, log)| {
        let step = if log || width < step { 1 } else { step };
        Domain::Int {
            low,
            high: low + width,
            log: log && low >= 1,
            step,
        }
    })
}

fn choice() -> impl Strategy<Value = Domain> {
    let words = (1..6usize).prop_map(|count| {
        let words = ["a", "b", "c", "d", "e"];
        words[..count]
            .iter()
            .map(|word| Value::Text((*word).to_owned()))
            .collect()
    });
    let numbers = (1..5i64).prop_map(|count| (0..count).map(|n| Value::Int(10 * n)).collect());
    let truth = Just(vec![Value::Bool(true), Value::Bool(false)]);
    prop_oneof![words, numbers, truth].prop_map(Domain::Choice)
}

fn finite() -> impl Strategy<Value = Domain> {
    let fixed = Just(Domain::Fixed(Value::Text("still".to_owned())));
    prop_oneof![4 => int(-3..4, 0..6), 3 => choice(), 1 => fixed]
}

fn domain() -> impl Strategy<Value = Domain> {
    let float = (-100.0..100.0f64, 1.0..200.0f64).prop_map(|(low, width)| Domain::float(low, low + width));
    let log =
        (-6.0..3.0f64, 0.5..6.0f64).prop_map(|(low, width)| Domain::log_float(libm::exp(low), libm::exp(low + width)));
    let stepped = (-20..20i32, 1..40u32).prop_map(|(low, steps)| Domain::Float {
        low: f64::from(low) * 0.25,
        high: f64::from(low) * 0.25 + f64::from(steps) * 0.05,
        log: false,
        step: Some(0.05),
    });
    prop_oneof![3 => float, 2 => log, 2 => stepped, 2 => int(-50..50, 0..400), 2 => int(1..9, 0..5000), 3 => finite()]
}

/// Spaces of up to six parameters; some hang on an earlier one.
fn space(domain: impl Strategy<Value = Domain>) -> impl Strategy<Value = Drawn> {
    let params = prop::collection::vec((domain, any::<u8>(), any::<u8>()), 1..7);
    (params, any::<bool>()).prop_map(|(drawn, constraint)| {
        let mut params: Vec<Param> = Vec::new();
        for (index, (domain, parent, share)) in drawn.into_iter().enumerate() {
            let mut param = Param::new(&format!("p{index}"), domain);
            // One in three hangs on an earlier parameter, if that has values to name.
            if let Some(parent) = params.get(usize::from(parent) / 3).filter(|_| parent % 3 == 0)
                && let Some(values) = values(&parent.domain)
            {
                let keep = 1 + usize::from(share) % values.len();
                param.when = vec![(parent.name.clone(), values[..keep].to_vec())];
            }
            params.push(param);
        }
        let numeric = |index: usize| params.get(index).is_some_and(|param: &Param| param.domain.is_numeric());
        let constraint = constraint && numeric(0) && numeric(1);
        Drawn { params, constraint }
    })
}

/// The sampler, unless the space is one that it refuses with a reason.
fn study(drawn: &Drawn, name: &str, seed: u64) -> Option<Study> {
    let config = SamplerConfig::by_name(name).unwrap();
    match Study::new(drawn.space(), config, Direction::Maximize, seed, Some(100)) {
        Ok(study) => Some(study),
        Err(StudyError::Sampler(SamplerError::Space(SpaceError::Infeasible { .. }))) => None,
        Err(StudyError::Sampler(SamplerError::NothingToMove { .. })) if name == "cmaes" => None,
        Err(StudyError::Sampler(SamplerError::GridTooLarge { .. })) if name == "grid" => None,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// What becomes of a trial: a function of its values and id, all outcomes among them; `None` while it is out.
fn outcome(trial: &Trial) -> Option<Outcome> {
    let value = trial
        .params
        .values()
        .map(|value| match value {
            Value::Text(text) => text.len() as f64 + f64::from(text.as_bytes()[0]),
            Value::Bool(yes) => f64::from(u8::from(*yes)),
            number => libm::sin(number.number().unwrap_or(0.0) * 0.1),
        })
        .sum();
    match trial.id % 13 {
        3 => Some(Outcome::Failed),
        5 => Some(Outcome::Pruned(Some(value))),
        7 => Some(Outcome::Pruned(None)),
        9 => Some(Outcome::Complete(f64::NAN)),
        11 => None,
        _ => Some(Outcome::Complete(value)),
    }
}

/// Up to `trials` trials in batches of 1 to 4; `reverse` turns the order round in which a batch is told.
fn run(study: &mut Study, trials: usize, reverse: bool) -> Vec<Trial> {
    let mut all = Vec::new();
    while all.len() < trials {
        let mut batch = study.ask(1 + all.len() % 4).unwrap();
        if batch.is_empty() {
            break;
        }
        all.extend(batch.iter().cloned());
        if reverse {
            batch.reverse();
        }
        for trial in &batch {
            if let Some(outcome) = outcome(trial) {
                study.tell(trial.id, outcome).unwrap();
            }
        }
    }
    all
}

/// A few of the cases, and trials, for the Gaussian process, which thinks longer.
fn trials(name: &str) -> usize {
    if name == "gp" { 24 } else { 60 }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// Proposals are valid, never the same twice, the same again for the same seed, and the order in which a batch was told
    /// is nothing to them.
    #[test]
    fn proposals_are_valid_new_and_reproducible(drawn in space(domain()), seed in any::<u64>()) {
        for name in SamplerConfig::NAMES {
            let Some(mut first) = study(&drawn, name, seed) else { continue };
            let asked = run(&mut first, trials(name), false);
            let mut seen = BTreeSet::new();
            for (id, trial) in asked.iter().enumerate() {
                prop_assert_eq!(trial.id, id as u64, "{}", name);
                prop_assert!(drawn.allows(&trial.params), "{}: {:?}", name, trial);
                prop_assert!(seen.insert(text(&trial.params)), "{}: {:?} again", name, trial);
            }
            let mut second = study(&drawn, name, seed).unwrap();
            prop_assert_eq!(&run(&mut second, trials(name), true), &asked, "{}", name);
            let best = asked.iter().filter_map(|trial| match outcome(trial) {
                Some(Outcome::Complete(value)) if value.is_finite() => Some(value),
                _ => None,
            });
            prop_assert_eq!(first.best().map(|best| best.1), best.reduce(f64::max), "{}", name);
        }
    }

    /// Every point of a finite space is proposed once, then none, however the trials end.
    #[test]
    fn finite_spaces_are_exhausted(drawn in space(finite()), seed in any::<u64>()) {
        let Some(points) = drawn.points(150) else { return Ok(()) };
        for name in SamplerConfig::NAMES {
            let Some(mut study) = study(&drawn, name, seed) else {
                prop_assert!(points.is_empty() || name == "cmaes", "{}", name);
                continue;
            };
            let asked: Vec<String> = run(&mut study, 2 * points.len() + 8, false).iter().map(|trial| text(&trial.params)).collect();
            prop_assert_eq!(asked.len(), points.len(), "{}", name);
            prop_assert_eq!(&asked.into_iter().collect::<BTreeSet<_>>(), &points, "{}", name);
            prop_assert_eq!(study.ask(3).unwrap(), vec![], "{}", name);
        }
    }
}

#[test]
fn other_seeds_ask_other_trials() {
    let params = vec![
        Param::new("p0", Domain::float(0.0, 1.0)),
        Param::new("p1", Domain::int(0, 99)),
    ];
    let drawn = Drawn {
        params,
        constraint: false,
    };
    for name in SamplerConfig::NAMES {
        let of = |seed| run(&mut study(&drawn, name, seed).unwrap(), 20, false);
        assert_ne!(of(1), of(2), "{name}");
    }
}
