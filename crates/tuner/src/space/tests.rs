//! What a space refuses, and that points and values are two ways to say the same.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn choice(values: &[&str]) -> Domain {
    Domain::Choice(values.iter().map(|value| Value::Text((*value).to_owned())).collect())
}

fn space(params: Vec<(&str, Domain)>, constraints: &[&str]) -> Result<Space, SpaceError> {
    let params = params
        .into_iter()
        .map(|(name, domain)| Param::new(name, domain))
        .collect();
    let constraints = constraints
        .iter()
        .map(|text| Constraint::parse(text))
        .collect::<Result<_, _>>()?;
    Space::new(params, constraints)
}

fn when(mut param: Param, parent: &str, values: Vec<Value>) -> Param {
    param.when.push((parent.to_owned(), values));
    param
}

fn text(word: &str) -> Value {
    Value::Text(word.to_owned())
}

#[test]
fn a_range_without_meaning_is_refused_by_the_parameters_name() {
    let float = |low, high, log, step| Domain::Float { low, high, log, step };
    let int = |low, high, log, step| Domain::Int { low, high, log, step };
    let cases = [
        (
            float(2.0, 1.0, false, None),
            "the lower bound 2 is above the upper bound 1",
        ),
        (float(f64::NAN, 1.0, false, None), "finite"),
        (float(0.0, f64::INFINITY, false, None), "finite"),
        (float(-1e308, 1e308, false, None), "finite"),
        (float(0.0, 1.0, true, None), "needs a lower bound above 0"),
        (float(-1.0, 1.0, true, None), "needs a lower bound above 0"),
        (
            float(0.0, 1.0, false, Some(2.0)),
            "step 2 is longer than the range from 0 to 1",
        ),
        (float(0.0, 1.0, false, Some(0.0)), "the step must be above 0"),
        (float(0.0, 1.0, false, Some(f64::NAN)), "the step must be above 0"),
        (float(1.0, 2.0, true, Some(0.5)), "log and step exclude each other"),
        (float(0.0, 1.0, false, Some(1e-18)), "more than 2^53"),
        (int(3, 2, false, 1), "the lower bound 3 is above the upper bound 2"),
        (int(0, 9, true, 1), "a whole number: from 1"),
        (int(0, 9, false, 10), "step 10 is longer than the range"),
        (int(0, 9, false, 0), "the step must be above 0"),
        (int(1, 9, true, 2), "log and step exclude each other"),
        (int(0, i64::MAX, false, 1), "within 9007199254740992 of 0"),
        (int(i64::MIN, 0, false, 1), "within 9007199254740992 of 0"),
        (Domain::Choice(vec![]), "at least one value"),
        (choice(&["a", "b", "a"]), "\"a\" stands twice"),
        (
            Domain::Choice(vec![Value::Int(1), Value::Float(1.0)]),
            "1.0 stands twice",
        ),
        (Domain::Choice(vec![Value::Float(f64::NAN)]), "finite"),
        (Domain::Fixed(Value::Float(f64::INFINITY)), "finite"),
    ];
    for (domain, want) in cases {
        let error = space(vec![("ok", Domain::int(0, 1)), ("risk.limit", domain.clone())], &[]);
        let error = error.expect_err(&format!("{domain:?}")).to_string();
        assert!(
            error.starts_with("risk.limit: ") && error.contains(want),
            "{domain:?}: {error}"
        );
    }
    assert_eq!(Space::new(vec![], vec![]).err(), Some(SpaceError::Empty));
    let twice = space(vec![("a", Domain::int(0, 1)), ("a", Domain::int(0, 1))], &[]);
    assert_eq!(twice.unwrap_err().to_string(), "a: named twice");
    assert!(space(vec![("", Domain::int(0, 1))], &[]).is_err());
}

#[test]
fn conditions_must_name_values_that_can_be() {
    let kind = || Param::new("kind", choice(&["x", "y"]));
    let child = |parent: &str, values| when(Param::new("child", Domain::int(1, 9)), parent, values);
    let error = |params| Space::new(params, vec![]).unwrap_err().to_string();
    assert!(error(vec![kind(), child("kid", vec![text("x")])]).contains("\"kid\", which is not a parameter"));
    assert!(error(vec![kind(), child("kind", vec![text("z")])]).contains("waits for kind = \"z\""));
    assert!(error(vec![kind(), child("kind", vec![])]).contains("lists no value"));
    let width = Param::new("width", Domain::float(0.0, 1.0));
    assert!(error(vec![width, child("width", vec![Value::Int(1)])]).contains("a continuous number"));
    let a = when(Param::new("a", Domain::int(0, 1)), "b", vec![Value::Int(1)]);
    let b = when(Param::new("b", Domain::int(0, 1)), "a", vec![Value::Int(1)]);
    assert!(error(vec![kind(), a, b]).contains("a, b wait for each other"));
    let own = when(Param::new("a", Domain::int(0, 1)), "a", vec![Value::Int(1)]);
    assert!(error(vec![own]).contains("circle"));
    // Fixing a parent switches its children off; that is a wish, not a mistake.
    let fixed = Param::new("kind", Domain::Fixed(text("y")));
    let space = Space::new(vec![fixed, child("kind", vec![text("x")])], vec![]).unwrap();
    assert_eq!(space.decode(&[0.5, 0.5]).len(), 1);
}

#[test]
fn chains_of_conditions_open_one_after_the_other() {
    // Children stand before their parents on purpose.
    let leaf = when(Param::new("leaf", Domain::float(0.0, 8.0)), "mid", vec![Value::Int(2)]);
    let mid = when(Param::new("mid", Domain::int(1, 3)), "root", vec![Value::Bool(true)]);
    let root = Param::new("root", Domain::Choice(vec![Value::Bool(false), Value::Bool(true)]));
    let space = Space::new(vec![leaf, mid, root], vec![]).unwrap();
    let names = |point: [f64; 3]| space.decode(&point).into_keys().collect::<Vec<_>>().join(" ");
    assert_eq!(names([0.3, 0.5, 0.9]), "leaf mid root");
    assert_eq!(names([0.3, 0.9, 0.9]), "mid root");
    assert_eq!(names([0.3, 0.5, 0.1]), "root");
    let mut point = [0.3, 0.9, 0.1];
    space.snap(&mut point);
    assert_eq!(point, [0.5, 0.5, 0.25]);
    let given = Params::from([
        ("root".to_owned(), Value::Bool(false)),
        ("leaf".to_owned(), Value::Float(1.0)),
    ]);
    assert_eq!(
        space.encode(&given),
        Err(SpaceError::Inactive {
            name: "leaf".to_owned()
        })
    );
}

#[test]
fn constraints_are_linear_with_one_comparison() {
    let holds = |text: &str, values: &[(&str, f64)]| {
        let constraint = Constraint::parse(text).unwrap();
        let value = |name: &str| values.iter().find(|(own, _)| *own == name).unwrap().1;
        let terms = constraint.terms().to_vec();
        constraint.holds(|term| value(&terms[term].0))
    };
    let at = |a, b| [("a", a), ("b.c", b)];
    assert!(holds("\"a\" < \"b.c\"", &at(1.0, 2.0)));
    assert!(!holds("a < b.c", &at(2.0, 2.0)));
    assert!(holds("a <= b.c", &at(2.0, 2.0)));
    assert!(holds("2 * a - 3*(b.c - 1) / 2 >= 1e-3 + a", &at(3.0, 2.0)));
    assert!(!holds("2 * a - 3*(b.c - 1) / 2 >= 1e-3 + a", &at(1.0, 2.0)));
    assert!(holds("-a > -b.c", &at(1.0, 2.0)));
    assert!(holds("a + b.c <= 0.3", &at(0.1, 0.2)), "a slack for rounding");
    assert!(!holds("a + b.c < 0.3", &at(0.1, 0.2)));
    let cases = [
        ("a", "operator"),
        ("a < ", "a number, a parameter"),
        ("a < b < c", "the end"),
        ("a == b", "one of <, <=, >, >="),
        ("a * b < 1", "not linear"),
        ("1 / a < 1", "not linear"),
        ("a / 0 < 1", "not linear"),
        ("(a < 1", "closing parenthesis"),
        ("\"a < 1", "closing quote"),
        ("a < 1e999", "finite number"),
        ("a < 1.2.3", "finite number"),
        ("a - a < 1", "no parameter"),
        ("2 < 3", "no parameter"),
        ("", "a number, a parameter"),
        ("a < 1e308 * 1e308", "not linear"),
    ];
    for (text, want) in cases {
        let error = Constraint::parse(text).expect_err(text).to_string();
        assert!(
            error.contains(want) && error.contains(&format!("`{text}`")),
            "{text}: {error}"
        );
    }
    let deep = format!("{}a < 1", "(".repeat(100_000));
    assert!(
        Constraint::parse(&deep)
            .unwrap_err()
            .to_string()
            .contains("fewer parentheses")
    );
    let unknown = space(vec![("a", Domain::int(0, 1))], &["a < b"]).unwrap_err();
    assert!(unknown.to_string().contains("names \"b\""));
    let word = space(vec![("a", choice(&["x"])), ("b", Domain::int(0, 1))], &["a < b"]).unwrap_err();
    assert!(word.to_string().contains("a is not a number"));
}

#[test]
fn a_constraint_on_an_inactive_parameter_does_not_apply() {
    let kind = Param::new("kind", choice(&["x", "y"]));
    let size = when(Param::new("size", Domain::int(1, 9)), "kind", vec![text("x")]);
    let cap = Param::new("cap", Domain::int(1, 9));
    let space = Space::new(vec![kind, size, cap], vec![Constraint::parse("size < cap").unwrap()]).unwrap();
    assert!(!space.feasible(&[0.25, 0.95, 0.05]));
    assert!(space.feasible(&[0.75, 0.5, 0.05]));
    let mut rng = Rng::stream(1, "t");
    for _ in 0..200 {
        let params = space.decode(&space.sample(&mut rng).unwrap());
        if let Some(Value::Int(size)) = params.get("size") {
            assert!(matches!(params["cap"], Value::Int(cap) if *size < cap));
        }
    }
}

#[test]
fn constraints_that_nothing_satisfies_are_an_error_not_a_loop() {
    let space = space(
        vec![("a", Domain::float(0.0, 1.0)), ("b", Domain::float(0.0, 1.0))],
        &["a > b + 1", "a < 2"],
    )
    .unwrap();
    let error = space.sample(&mut Rng::stream(1, "t")).unwrap_err().to_string();
    assert!(
        error.contains("none of 10000 random points") && error.contains("a > b + 1; a < 2"),
        "{error}"
    );
}

#[test]
fn finite_spaces_know_their_size() {
    let count = |params: Vec<Param>| Space::new(params, vec![]).unwrap().cardinality();
    let int = |name: &str, low, high| Param::new(name, Domain::int(low, high));
    assert_eq!(
        count(vec![Param::new("one", Domain::Fixed(Value::Int(3)))]),
        Cardinality::Finite(1)
    );
    assert_eq!(
        count(vec![Param::new("one", Domain::float(2.0, 2.0))]),
        Cardinality::Finite(1)
    );
    assert_eq!(count(vec![int("a", 1, 10), int("b", 0, 4)]), Cardinality::Finite(50));
    let stepped = Domain::Float {
        low: 0.0,
        high: 0.3,
        log: false,
        step: Some(0.1),
    };
    assert_eq!(count(vec![Param::new("s", stepped)]), Cardinality::Finite(4));
    let billions = (0..4).map(|index| int(&format!("p{index}"), 1, 1 << 50)).collect();
    assert_eq!(count(billions), Cardinality::Finite(u64::MAX));
    assert_eq!(
        count(vec![int("a", 1, 3), Param::new("f", Domain::float(0.0, 1.0))]),
        Cardinality::Infinite
    );
    // y: 1; x with mode 1..=5: 5 of which one opens 10 more: 1 + 4 + 10.
    let kind = Param::new("kind", choice(&["x", "y"]));
    let mode = when(int("mode", 1, 5), "kind", vec![text("x")]);
    let depth = when(int("depth", 1, 10), "mode", vec![Value::Int(2)]);
    let params = vec![kind.clone(), mode, depth];
    assert_eq!(count(params.clone()), Cardinality::Finite(15));
    let mut walked = Vec::new();
    let space = Space::new(params, vec![]).unwrap();
    space.walk(&[2, 5, 10], &mut |point| {
        walked.push(space.key(point));
        true
    });
    walked.sort();
    walked.dedup();
    assert_eq!(walked.len(), 15);
    // A continuous parameter that can never be active does not make a space infinite.
    let off = when(Param::new("f", Domain::float(0.0, 1.0)), "kind", vec![text("x")]);
    let fixed = Param::new("kind", Domain::Fixed(text("y")));
    assert_eq!(count(vec![fixed, off.clone()]), Cardinality::Finite(1));
    assert_eq!(count(vec![kind, off]), Cardinality::Infinite);
}

#[test]
fn steps_give_the_decimals_that_were_written() {
    let domain = Domain::Float {
        low: 0.1,
        high: 1.05,
        log: false,
        step: Some(0.1),
    };
    let values: Vec<f64> = (0..domain.cells())
        .map(|cell| domain.number(domain.centre(cell)))
        .collect();
    assert_eq!(values, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]);
    assert_eq!(domain.unit(&Value::Float(0.35)), None);

    // 0.9 - 0.8 is a little less than 0.1.
    let one = Domain::Float {
        low: 0.8,
        high: 0.9,
        log: false,
        step: Some(0.1),
    };
    let space = Space::new(vec![Param::new("x", one)], vec![]).unwrap();
    let ends = [0.0, 1.0].map(|u| space.decode(&[u])["x"].clone());
    assert_eq!(ends, [0.8, 0.9].map(Value::Float));
}

#[test]
fn a_log_scale_draws_each_decade_alike() {
    let space = space(
        vec![
            ("rate", Domain::log_float(1e-4, 1.0)),
            (
                "n",
                Domain::Int {
                    low: 1,
                    high: 1000,
                    log: true,
                    step: 1,
                },
            ),
        ],
        &[],
    )
    .unwrap();
    let mut rng = Rng::stream(3, "t");
    let mut decades = [0; 4];
    let mut ints = [0; 3];
    for _ in 0..4000 {
        let params = space.decode(&space.sample(&mut rng).unwrap());
        let rate = params["rate"].number().unwrap();
        decades[((rate.log10() + 4.0) as usize).min(3)] += 1;
        let n = params["n"].number().unwrap();
        ints[(n.log10() as usize).min(2)] += 1;
    }
    assert!(decades.iter().all(|&count| (850..1150).contains(&count)), "{decades:?}");
    // From 0.5 to 1000.5 the first decade (to 9.5) has 39 %, the last (from 99.5) 30 %.
    assert!(
        (1450..1650).contains(&ints[0]) && (1100..1320).contains(&ints[2]),
        "{ints:?}"
    );
}

#[test]
fn the_table_of_a_tuning_file_names_its_key() {
    #[derive(Deserialize)]
    struct File {
        space: BTreeMap<String, ParamSpec>,
        #[serde(default)]
        constraints: Vec<String>,
    }
    let read = |text: &str| -> Result<Space, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Space::from_spec(&file.space, &file.constraints).map_err(|error| error.to_string())
    };
    let good = r#"
        constraints = ["\"strategy.exit_bps\" < strategy.entry_bps"]
        [space]
        "strategy.entry_bps" = { float = [2, 80.0] }
        "strategy.exit_bps" = { float = [-20.0, 20.0], step = 0.5 }
        "strategy.max_hold_s" = { int = [60, 14400], log = true }
        "strategy.model" = { choice = ["zero", "ewma"] }
        "strategy.half_life_s" = { float = [60, 86400], log = true, when = { "strategy.model" = ["ewma"] } }
        "risk.max" = { fixed = "300000" }
    "#;
    let space = read(good).unwrap();
    assert_eq!(space.dimensions(), 6);
    let spec: File = toml::from_str(good).unwrap();
    let again: BTreeMap<String, ParamSpec> = toml::from_str(&toml::to_string(&spec.space).unwrap()).unwrap();
    assert_eq!(again, spec.space);
    let cases = [
        (
            r#"a = { float = [0, 1], int = [0, 1] }"#,
            "a: exactly one of float, int, choice, fixed is needed, not 2",
        ),
        (r#"a = { log = true }"#, "a: exactly one of"),
        (
            r#"a = { choice = ["x"], log = true }"#,
            "a: `log` means nothing beside `choice`",
        ),
        (
            r#"a = { fixed = 1, step = 2 }"#,
            "a: `step` means nothing beside `fixed`",
        ),
        (
            r#"a = { int = [0, 9], step = 0.5 }"#,
            "a: the step of an int must be a whole number",
        ),
        (r#"a = { float = [nan, 1.0] }"#, "a: bounds and values must be finite"),
        (r#"a = { float = [0, 1], loge = true }"#, "loge"),
        (r#"a = { float = [0] }"#, "a = "),
        (r#"a = { int = [0.5, 1] }"#, "a = "),
        (
            r#"a = { int = [0, 1], when = { b = [1] } }"#,
            "\"b\", which is not a parameter",
        ),
    ];
    for (line, want) in cases {
        let error = read(&format!("[space]\n{line}\n")).expect_err(line);
        assert!(error.contains(want), "{line}: {error}");
    }
}

fn any_domain() -> impl Strategy<Value = Domain> {
    let float = (-1e6..1e6f64, 1e-6..1e6f64, 1..200u32, any::<bool>()).prop_map(|(low, width, parts, stepped)| {
        // Far from zero the sum is rounded, so that the width between the bounds is another one.
        let high = low + width;
        Domain::Float {
            low,
            high,
            log: false,
            step: stepped.then_some((high - low) / f64::from(parts)),
        }
    });
    let log =
        (-12.0..12.0f64, 0.01..12.0f64).prop_map(|(low, width)| Domain::log_float(low.exp(), (low + width).exp()));
    let int = (-1000..1000i64, 0..2000i64, 1..20i64).prop_map(|(low, width, step)| Domain::Int {
        low,
        high: low + width.max(step),
        log: false,
        step,
    });
    let log_int = (1..1000i64, 0..1i64 << 39).prop_map(|(low, width)| Domain::Int {
        low,
        high: low + width,
        log: true,
        step: 1,
    });
    let choice = (1..9i64).prop_map(|count| Domain::Choice((0..count).map(Value::Int).collect()));
    let fixed = any::<bool>().prop_map(|value| Domain::Fixed(Value::Bool(value)));
    prop_oneof![float, log, int, log_int, choice, fixed]
}

proptest! {
    /// Whatever a point means, encoding that again means the same and is the same point where there are cells.
    #[test]
    fn points_and_values_round_trip(domains in prop::collection::vec(any_domain(), 1..5), us in prop::collection::vec(-0.1..1.1f64, 5)) {
        let params = domains.iter().enumerate().map(|(index, domain)| Param::new(&format!("p{index}"), domain.clone())).collect();
        let space = Space::new(params, vec![]).unwrap();
        let mut point = us[..domains.len()].to_vec();
        space.snap(&mut point);
        let values = space.decode(&point);
        let again = space.encode(&values).unwrap();
        for (index, domain) in domains.iter().enumerate() {
            prop_assert!((0.0..=1.0).contains(&point[index]));
            match space.coordinate(index) {
                // Few floats lie between close bounds far from zero.
                Coordinate::Continuous => {
                    let grain = match domain {
                        Domain::Float { low, high, .. } => f64::EPSILON * low.abs().max(high.abs()) / (high - low),
                        _ => 0.0,
                    };
                    prop_assert!((point[index] - again[index]).abs() < 1e-6 + 2.0 * grain, "{domain:?}");
                }
                _ => {
                    prop_assert_eq!(point[index], again[index], "{:?}", domain);
                    prop_assert_eq!(&space.decode(&again)[&format!("p{index}")], &values[&format!("p{index}")]);
                }
            }
            let value = &values[&format!("p{index}")];
            prop_assert!(domain.unit(value).is_some());
        }
        let mut twice = point.clone();
        space.snap(&mut twice);
        prop_assert_eq!(twice, point);
    }

    /// Any text is read or refused.
    #[test]
    fn reading_a_constraint_never_panics(text in "[ab.0-9+*/()<>=\" e-]{0,30}") {
        let _ = Constraint::parse(&text);
    }
}
