use std::path::Path;

use crossbook_tuner::space::{Params, Value};

use super::params::{Template, corners};
use super::*;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn demo_path() -> PathBuf {
    repository().join("config/tuning/demo.toml")
}

fn demo(sets: &[&str]) -> Result<Spec, SpecError> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    load(&demo_path(), &sets)
}

#[test]
fn a_resolved_file_means_the_same_anywhere() {
    let spec = demo(&[
        "stress=[\"outage\", \"fx_shock\", { kind = \"latency\", factor = 5 }]",
        "pruner={ kind = \"median\" }",
        "gates.pbo=0.1",
    ])
    .unwrap();
    let text = spec.to_text().unwrap();
    let again = parse(&text, Path::new("/elsewhere/session.toml"), &[]).unwrap();
    assert_eq!(again.to_text().unwrap(), text);
    assert_eq!(again.scenarios, spec.scenarios);
    assert_eq!(again.stress, spec.stress);
    assert_eq!(again.sampler, spec.sampler);
    assert_eq!(again.params, spec.params);
    assert_eq!(again.pruner, spec.pruner);
    assert_eq!((again.gates, again.gates.pbo), (spec.gates, 0.1));
}

#[test]
fn wrong_files_are_refused_with_key_and_what_is_allowed() {
    let cases = [
        ("sampler.trials=0", "sampler.trials: 1 to"),
        ("sampler.trials=\"many\"", "trials"),
        ("sampler.batch=0", "sampler.batch: 1 to"),
        ("sampler.kind=\"genius\"", "genius"),
        (
            "sampler.patience=3",
            "(every sampler has `kind`, `trials`, `batch` and `seed`)",
        ),
        ("name=\"../x\"", "name: letters"),
        ("nam=\"x\"", "unknown field `nam`"),
        ("scenarios=[]", "scenarios: at least one"),
        (
            "scenarios=[\"scenarios/none.toml\"]",
            "`scenarios/none.toml` is not there; looked for",
        ),
        (
            "scenarios=[\"scenarios/demo.toml\", \"scenarios/demo.toml\"]",
            "`demo` is named twice",
        ),
        ("scenarios=[7]", "scenarios[0]: must be the path"),
        ("gates.pbo=1.5", "gates.pbo: 0 to 1"),
        ("gates.deflated_sharpe=nan", "gates.deflated_sharpe: 0 to 1"),
        ("gates.efficiency=11", "gates.efficiency: -10 to 10"),
        ("gates.luck=1", "unknown field `luck`"),
        ("gates.round_trips=-1", "round_trips"),
        ("stress=[\"lightning\"]", "stress[0]: `lightning` is no stress"),
        ("stress=[\"outage\", \"outage\"]", "stress[1]: `outage` is named twice"),
        ("objective={ metric = \"profit\" }", "unknown variant `profit`"),
        ("objective={ aggregate = \"worst\" }", "objective: needs `metric"),
        (
            "objective.metrics=[{ name = \"pnl\", weight = 0 }]",
            "exclude each other",
        ),
        ("objective.k=-1", "objective.k: 0 to 100"),
        ("objective.min_round_trips=0", "objective.min_round_trips: at least 1"),
        ("objective.aggregate=\"best\"", "unknown variant `best`"),
        ("validation={ mode = \"fold\" }", "unknown variant `fold`"),
        (
            "validation={ mode = \"none\", folds = 3 }",
            "validation.folds: means something only",
        ),
        (
            "validation={ mode = \"split\", folds = 3 }",
            "validation.folds: a split has one",
        ),
        (
            "validation={ mode = \"walk_forward\", folds = 0 }",
            "validation.folds: 1 to 1000",
        ),
        (
            "validation={ mode = \"split\", test_fraction = 1.0 }",
            "validation.test_fraction: 0.01 to 0.9",
        ),
        (
            "validation={ mode = \"split\", embargo_s = -1 }",
            "validation.embargo_s: 0 to",
        ),
        (
            "validation={ mode = \"split\", period_s = 0 }",
            "validation.period_s: 0.001 to",
        ),
        (
            "pruner={ kind = \"median\", warmup_fraction = 1 }",
            "pruner.warmup_fraction: more than 0",
        ),
        (
            "pruner={ kind = \"halving\", fractions = [] }",
            "pruner.fractions: numbers between",
        ),
        ("pruner={ kind = \"secateurs\" }", "unknown variant `secateurs`"),
        ("space={}", "[space]: "),
        ("space.\"strategy.entry_bps\".float=[60.0, 0.0]", "strategy.entry_bps"),
        ("space.\"strategy.entry_bps\".int=[1, 2]", "strategy.entry_bps"),
        (
            "space.strategy.entry_bps={ float = [0.0, 1.0] }",
            "parameter names stand in quotes",
        ),
        ("constraints=[\"strategy.exit_bps ! 3\"]", "strategy.exit_bps ! 3"),
        ("constraints=[\"strategy.exit < 3\"]", "strategy.exit"),
    ];
    for (set, part) in cases {
        let error = demo(&[set]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(part), "{set}: {error:?}");
    }
    assert!(
        load(Path::new("nowhere.toml"), &[])
            .unwrap_err()
            .to_string()
            .contains("nowhere.toml")
    );
    let text = std::fs::read_to_string(demo_path()).unwrap();
    let broken = text.replace("[space]", "[space");
    let error = parse(&broken, &demo_path(), &[]).unwrap_err().to_string();
    assert!(error.contains("demo.toml") && error.contains("line"), "{error}");
}

fn one(name: &str, value: Value) -> Params {
    Params::from([(name.to_owned(), value)])
}

fn template(lines: &str) -> Result<Template, String> {
    let specs: BTreeMap<String, ParamSpec> = toml::from_str(lines).unwrap();
    let space = Space::from_spec(&specs, &[]).unwrap();
    Template::new(&demo(&[]).unwrap().scenarios[0].scenario, &space)
}

#[test]
fn parameters_reach_every_part_of_a_scenario() {
    // Parameter, its range, value, where the scenario shows it.
    type Shows = fn(&Scenario) -> String;
    let text = |text: &str| Value::Text(text.to_owned());
    let cases: [(&str, &str, Value, Shows, &str); 12] = [
        (
            "strategy.entry_bps",
            "float=[0.0,1.0]",
            Value::Float(12.5),
            |s| s.strategy.entry_bps.to_string(),
            "12.5",
        ),
        (
            "strategy.max_hold_s",
            "int=[1,9]",
            Value::Int(60),
            |s| format!("{:?}", s.strategy.max_hold_s),
            "Some(60.0)",
        ),
        (
            "strategy.take_profit_bps",
            "float=[1.0,9.0]",
            Value::Float(4.0),
            |s| format!("{:?}", s.strategy.take_profit_bps),
            "Some(4.0)",
        ),
        (
            "strategy.size.notional",
            "int=[1,9]",
            Value::Int(2_000_000),
            |s| format!("{:?}", s.strategy.size.notional.map(|n| n.to_string())),
            "Some(\"2000000.00000000\")",
        ),
        (
            "strategy.size.notional",
            "float=[1.0,9.0]",
            Value::Float(0.1 + 0.2),
            |s| format!("{:?}", s.strategy.size.notional.map(|n| n.to_string())),
            "Some(\"0.30000000\")",
        ),
        (
            "strategy.fair_premium.model",
            "choice=[\"zero\"]",
            text("zero"),
            |s| format!("{:?}", s.strategy.fair_premium),
            "Zero",
        ),
        (
            "execution.leg_policy",
            "choice=[\"unwind\"]",
            text("unwind"),
            |s| format!("{:?}", s.execution.leg_policy),
            "Unwind",
        ),
        (
            "execution.leg_timeout_ms",
            "int=[1,9]",
            Value::Int(5),
            |s| s.execution.leg_timeout_ms.to_string(),
            "5",
        ),
        (
            "risk.global.max_exposure",
            "int=[1,9]",
            Value::Int(7),
            |s| format!("{:?}", s.risk.global.max_exposure.map(|a| a.to_string())),
            "Some(\"7.00000000\")",
        ),
        (
            "venues.upbit.taker_fee_bps",
            "float=[0.0,9.0]",
            Value::Float(3.0),
            |s| s.venues["upbit"].taker_fee_bps.to_string(),
            "3",
        ),
        (
            "venues.upbit.order_latency.median_ms",
            "float=[1.0,9.0]",
            Value::Float(9.0),
            |s| format!("{:?}", s.venues["upbit"].order_latency),
            "median_ms: 9.0",
        ),
        (
            "venues.binance.balances.BTC",
            "float=[0.0,9.0]",
            Value::Float(0.25),
            |s| s.venues["binance"].balances["BTC"].to_string(),
            "0.25",
        ),
    ];
    for (name, range, value, shows, want) in cases {
        let template = template(&format!("{name:?} = {{ {range} }}")).unwrap();
        let scenario = template
            .with(&one(name, value))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(shows(&scenario).contains(want), "{name}: {}", shows(&scenario));
    }
    let route = template("\"routes.0.strategy.entry_bps\" = { float = [0.0, 9.0] }").unwrap();
    let scenario = route
        .with(&one("routes.0.strategy.entry_bps", Value::Float(7.5)))
        .unwrap();
    assert_eq!(scenario.strategy_of(&scenario.routes[0]).unwrap().entry_bps, 7.5);
}

#[test]
fn parameters_that_do_not_fit_are_refused_by_path() {
    let range = "{ float = [1.0, 9.0] }";
    for (name, part) in [
        ("entry_bps", "begins with `execution.`"),
        ("datasets.0", "begins with"),
        ("strategy", "names a value in it"),
        ("venues.upbit.kind", "cannot be tuned"),
        ("risk.day_zone", "cannot be tuned"),
        ("routes.0.a", "cannot be tuned"),
        ("strategy..x", "empty key"),
    ] {
        let error = template(&format!("{name:?} = {range}")).unwrap_err();
        assert!(error.contains(name) && error.contains(part), "{name}: {error}");
    }
    for (name, part) in [
        ("strategy.entry_bp", "unknown field `entry_bp`, expected one of"),
        ("strategy.fair_premium", "is a table or a list"),
        ("strategy.entry_bps.low", "lies in a value"),
        ("routes.4.strategy.entry_bps", "there are 1, from 0"),
        ("venues.mars.taker_fee_bps", "venues"),
        ("execution.leg_timeout_ms", "invalid type"),
    ] {
        let template = template(&format!("{name:?} = {range}")).unwrap();
        let error = template.with(&one(name, Value::Float(1.5))).unwrap_err();
        assert!(error.contains(part), "{name}: {error}");
    }
}

/// The keys that each model has are those that its type knows.
#[test]
fn a_model_drops_the_keys_of_the_others() {
    let fair = template(
        "\"strategy.fair_premium.model\" = { choice = [\"zero\", \"constant\", \"ewma\"] }\n\
         \"strategy.fair_premium.bps\" = { float = [0.0, 9.0] }",
    )
    .unwrap();
    let with = |model: &str, bps: Option<f64>| {
        let mut params = one("strategy.fair_premium.model", Value::Text(model.to_owned()));
        if let Some(bps) = bps {
            params.insert("strategy.fair_premium.bps".to_owned(), Value::Float(bps));
        }
        fair.with(&params)
    };
    assert_eq!(
        with("zero", None).unwrap().strategy.fair_premium,
        config::FairPremium::Zero {}
    );
    let constant = config::FairPremium::Constant { bps: 5.0 };
    assert_eq!(with("constant", Some(5.0)).unwrap().strategy.fair_premium, constant);
    let own = demo(&[]).unwrap().scenarios[0].scenario.strategy.fair_premium;
    assert_eq!(with("ewma", None).unwrap().strategy.fair_premium, own);
    assert!(
        with("constant", None).unwrap_err().contains("bps"),
        "a missing key is missed"
    );
    assert!(
        with("zero", Some(5.0)).unwrap_err().contains("bps"),
        "a given key is not dropped"
    );
    let latency = template(
        "\"venues.upbit.order_latency.model\" = { choice = [\"constant\", \"recorded\"] }\n\
        \"venues.upbit.order_latency.ms\" = { float = [0.0, 9.0] }\n\
        \"venues.upbit.order_latency.multiple\" = { float = [0.0, 9.0] }",
    )
    .unwrap();
    for (model, key, want) in [
        ("constant", "ms", config::Latency::Constant { ms: 2.0 }),
        ("recorded", "multiple", config::Latency::Recorded { multiple: 2.0 }),
    ] {
        let mut params = one("venues.upbit.order_latency.model", Value::Text(model.to_owned()));
        params.insert(format!("venues.upbit.order_latency.{key}"), Value::Float(2.0));
        assert_eq!(latency.with(&params).unwrap().venues["upbit"].order_latency, want);
    }
}

#[test]
fn corners_meet_every_end_and_choice() {
    let spec = demo(&["constraints=[]"]).unwrap();
    let corners = corners(&spec.space);
    // An end on a logarithmic scale is met but for rounding.
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
    let has = |name: &str, value: Value| {
        let met = |found: &Value| found.number().zip(value.number()).is_some_and(|(a, b)| near(a, b));
        corners.iter().any(|params| params.get(name).is_some_and(met))
    };
    for (name, value) in [
        ("strategy.entry_bps", Value::Float(0.0)),
        ("strategy.entry_bps", Value::Float(60.0)),
        ("strategy.max_hold_s", Value::Int(60)),
        ("strategy.max_hold_s", Value::Int(600)),
        ("strategy.size.notional", Value::Int(500_000)),
        ("strategy.size.notional", Value::Int(1_000_000)),
        ("strategy.size.notional", Value::Int(2_000_000)),
        ("strategy.fair_premium.half_life_s", Value::Float(3600.0)),
        ("strategy.fair_premium.bps", Value::Float(150.0)),
    ] {
        assert!(has(name, value.clone()), "{name} = {value}");
    }
}
