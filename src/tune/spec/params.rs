//! A trial's parameters put into a scenario, by path.
//!
//! A parameter names a value of the scenario as `--set` does: `strategy.entry_bps`, `routes.0.strategy.entry_bps`,
//! `venues.upbit.taker_fee_bps`. What a trial is *about* (datasets, window, routes, exchange rate, seed) is not a parameter.
//!
//! - Numbers given to amounts and quantities are rounded to 1e-8, the unit of both.
//! - A parameter that chooses the `model` of a table drops the keys of the scenario's own model that the chosen one does
//!   not have: `model = "zero"` over `{ model = "ewma", half_life_s = 1800 }` is meant, not a mistake.

use crossbook_engine::rng::Rng;
use crossbook_tuner::space::{Coordinate, Params, Space, Value};
use serde::de::DeserializeOwned;

use crate::config::Scenario;

/// Tables of a scenario that parameters may reach into.
const SECTIONS: [&str; 5] = ["execution", "risk", "routes", "strategy", "venues"];

/// Paths within them that belong to the question, not to the answer.
const FIXED: [&str; 2] = ["kind", "day_zone"];

/// Keys that hold an exact decimal; so do all below `balances`.
const DECIMALS: [&str; 8] = [
    "notional",
    "quantity",
    "fraction",
    "max_daily_loss",
    "max_drawdown",
    "max_exposure",
    "max_imbalance",
    "max_order_notional",
];

/// Keys of the tables that have a `model`.
const MODELS: [(&str, &[&str]); 5] = [
    ("zero", &[]),
    ("constant", &["bps", "ms"]),
    ("ewma", &["half_life_s", "warmup_s"]),
    ("lognormal", &["median_ms", "sigma"]),
    ("recorded", &["multiple"]),
];

/// A scenario that parameters can be put into.
#[derive(Debug, Clone)]
pub struct Template {
    scenario: Scenario,
    /// The sections that parameters name, as tables.
    sections: Vec<(&'static str, toml::Value)>,
    /// Paths of the parameters, split, by name.
    paths: Vec<(String, Vec<String>)>,
}

impl Template {
    /// Prepares a scenario for the parameters of a space.
    ///
    /// # Errors
    /// A path that no parameter may have, with its name and what is allowed.
    pub fn new(scenario: &Scenario, space: &Space) -> Result<Template, String> {
        let whole = toml::Table::try_from(scenario).map_err(|error| error.to_string())?;
        let mut sections = Vec::new();
        let mut paths = Vec::new();
        for param in space.params() {
            let name = &param.name;
            let keys = crate::config::overrides::split(name)
                .ok_or_else(|| format!("\"{name}\": a path has no empty key and no open quote"))?;
            let section = SECTIONS.into_iter().find(|section| *section == keys[0]);
            let Some(section) = section.filter(|_| keys.len() > 1) else {
                return Err(format!(
                    "\"{name}\": a parameter's path begins with {} and names a value in it",
                    SECTIONS.map(|section| format!("`{section}.`")).join(", ")
                ));
            };
            let last = keys.last().map_or("", String::as_str);
            let of_route = section == "routes" && keys.get(2).is_none_or(|key| key != "strategy");
            if FIXED.contains(&last) || of_route {
                return Err(format!("\"{name}\": belongs to the scenario and cannot be tuned"));
            }
            if !sections.iter().any(|(known, _)| *known == section) {
                let table = whole.get(section).cloned();
                sections.push((section, table.unwrap_or_else(|| toml::Value::Table(toml::Table::new()))));
            }
            paths.push((name.clone(), keys));
        }
        Ok(Template {
            scenario: scenario.clone(),
            sections,
            paths,
        })
    }

    /// The scenario as it was.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The scenario with these parameters, not yet validated.
    ///
    /// # Errors
    /// The path that does not fit, and what is allowed.
    pub fn with(&self, params: &Params) -> Result<Scenario, String> {
        let mut sections = self.sections.clone();
        for (name, value) in params {
            let (_, keys) = self
                .paths
                .iter()
                .find(|(known, _)| known == name)
                .ok_or_else(|| format!("\"{name}\" is no parameter of this session"))?;
            if let Some((_, section)) = sections.iter_mut().find(|(section, _)| *section == keys[0]) {
                set(section, &keys[1..], value).map_err(|message| format!("\"{name}\": {message}"))?;
            }
        }
        // After all are set: a key that a parameter gave is never in the way of the model that another chose.
        for (name, _) in params.iter().filter(|(name, _)| name.ends_with(".model")) {
            if let Some((_, keys)) = self.paths.iter().find(|(known, _)| known == name)
                && let Some((_, section)) = sections.iter_mut().find(|(section, _)| *section == keys[0])
            {
                let given = |key: &str| {
                    let sibling = format!("{}{key}", name.trim_end_matches("model"));
                    params.contains_key(&sibling)
                };
                drop_foreign(section, &keys[1..keys.len() - 1], given);
            }
        }
        let mut scenario = self.scenario.clone();
        for (name, value) in sections {
            match name {
                "execution" => scenario.execution = typed(name, value)?,
                "risk" => scenario.risk = typed(name, value)?,
                "routes" => scenario.routes = typed(name, value)?,
                "strategy" => scenario.strategy = typed(name, value)?,
                _ => scenario.venues = typed(name, value)?,
            }
        }
        Ok(scenario)
    }
}

fn typed<T: DeserializeOwned>(section: &str, value: toml::Value) -> Result<T, String> {
    let fail = |error: toml::de::Error| format!("{section}: {}", error.to_string().trim_end().replace('\n', " "));
    value.try_into().map_err(fail)
}

/// Puts a value at a path, making tables on the way.
fn set(place: &mut toml::Value, keys: &[String], value: &Value) -> Result<(), String> {
    let Some((key, rest)) = keys.split_first() else {
        return Err("names a table, not a value".to_owned());
    };
    if rest.is_empty() {
        let toml::Value::Table(table) = place else {
            return Err(format!("`{key}` lies in a value, not in a table"));
        };
        if matches!(table.get(key), Some(toml::Value::Table(_) | toml::Value::Array(_))) {
            return Err(format!("`{key}` is a table or a list, not a value"));
        }
        table.insert(key.clone(), toml_value(key, value));
        return Ok(());
    }
    match place {
        toml::Value::Table(table) => {
            let exact = key == "balances";
            let next = table
                .entry(key.clone())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            match (exact, rest, &mut *next) {
                (true, [currency], toml::Value::Table(balances)) => {
                    balances.insert(currency.clone(), toml_value("notional", value));
                    Ok(())
                }
                _ => set(next, rest, value),
            }
        }
        toml::Value::Array(items) => {
            let length = items.len();
            match key.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(item) => set(item, rest, value),
                None => Err(format!(
                    "`{key}` is not the number of an entry: there are {length}, from 0"
                )),
            }
        }
        _ => Err(format!("`{key}` lies in a value, not in a table")),
    }
}

fn toml_value(key: &str, value: &Value) -> toml::Value {
    let exact = DECIMALS.contains(&key);
    match value {
        Value::Bool(flag) => toml::Value::Boolean(*flag),
        Value::Int(number) if exact => toml::Value::String(number.to_string()),
        Value::Int(number) => toml::Value::Integer(*number),
        Value::Float(number) if exact => toml::Value::String(format!("{number:.8}")),
        Value::Float(number) => toml::Value::Float(*number),
        Value::Text(text) => toml::Value::String(text.clone()),
    }
}

/// Takes the keys of other models out of a table that has a `model`, unless a parameter gave them.
fn drop_foreign(place: &mut toml::Value, way: &[String], given: impl Fn(&str) -> bool) {
    let mut place = place;
    for key in way {
        let next = match place {
            toml::Value::Table(table) => table.get_mut(key),
            toml::Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        match next {
            Some(next) => place = next,
            None => return,
        }
    }
    let toml::Value::Table(table) = place else { return };
    let model = table.get("model").and_then(toml::Value::as_str);
    let Some((_, own)) = MODELS.iter().find(|(name, _)| model == Some(name)) else {
        return;
    };
    let of_any = |key: &str| MODELS.iter().any(|(_, keys)| keys.contains(&key));
    let foreign: Vec<String> = table
        .keys()
        .filter(|key| of_any(key) && !own.contains(&key.as_str()) && !given(key))
        .cloned()
        .collect();
    for key in foreign {
        table.remove(&key);
    }
}

/// Corners of a space: each parameter at either end and each choice once, the others in the middle, and random corners.
/// A parameter that a scenario does not know, or does not know of that type, shows at one of them.
pub fn corners(space: &Space) -> Vec<Params> {
    const RANDOM: usize = 256;
    let ends = |index: usize| match space.coordinate(index) {
        Coordinate::Continuous | Coordinate::Ordered(_) => vec![0.0, 1.0],
        Coordinate::Choice(cells) => (0..cells.min(1000))
            .map(|cell| (cell as f64 + 0.5) / cells as f64)
            .collect(),
    };
    let ends: Vec<Vec<f64>> = (0..space.dimensions()).map(ends).collect();
    let mut points = vec![vec![0.5; space.dimensions()]];
    for (index, own) in ends.iter().enumerate() {
        for &end in own {
            let mut point = vec![0.5; space.dimensions()];
            point[index] = end;
            points.push(point);
        }
    }
    let mut rng = Rng::stream(0, "tune.corners");
    for _ in 0..RANDOM {
        let pick = |own: &Vec<f64>| own[((rng.uniform() * own.len() as f64) as usize).min(own.len() - 1)];
        points.push(ends.iter().map(pick).collect());
    }
    let mut found: Vec<Params> = Vec::new();
    for mut point in points {
        space.snap(&mut point);
        let params = space.decode(&point);
        if space.feasible(&point) && !found.contains(&params) {
            found.push(params);
        }
    }
    found
}

/// Which of the parameters makes `attempt` fail: the first without which it does not.
pub fn culprit(params: &Params, attempt: impl Fn(&Params) -> bool) -> Option<(String, Value)> {
    params.iter().find_map(|(name, value)| {
        let mut without = params.clone();
        without.remove(name);
        attempt(&without).then(|| (name.clone(), value.clone()))
    })
}
