//! Ask/tell over JSON lines: one object per line each way, every line answered by exactly one line.
//!
//! | line | answer |
//! | --- | --- |
//! | `{"op":"init","protocol":1,"direction":"minimize","seed":7,"n_trials":100,"space":[...]}` | `{"ok":true,"name":"gp","version":"0.1.0"}` |
//! | `{"op":"ask","n":2}` | `{"trials":[{"id":0,"params":{...}},...]}` |
//! | `{"op":"tell","id":0,"state":"complete","value":1.5}` (or `failed`, `pruned`) | `{"ok":true}` |
//! | `{"op":"report","id":0,"step":3,"value":1.0}` | `{"prune":false}`: pruning is the session's business |
//! | `{"op":"best"}` | `{"id":0,"value":1.5,"params":{...}}` |
//! | `{"op":"stop"}` or the end of input | `{"ok":true}`, and the end |
//!
//! A parameter is `{"name","type":"float"|"int","low","high","log"?,"step"?}` or `{"name","type":"categorical","choices"}`,
//! each with an optional `"when":{"other":[values]}`. `init` may carry `"constraints":["a < b"]` and
//! `"sampler":{"kind":"gp",...}`, which takes the place of the sampler that the program was started with. A `tell` whose
//! `constraints` has a number above 0 is a failed trial. Unknown fields are ignored.
//!
//! - A line that cannot be understood is answered `{"error":"text"}` and changes nothing.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::sampler::SamplerConfig;
use crate::space::{Constraint, Domain, Param, Space, Value};
use crate::study::{Direction, Outcome, Study, Trial};

/// Longest line that is read, in bytes; a longer one is answered by an error and skipped.
const LONGEST_LINE: u64 = 16 << 20;
/// Most trials in one ask.
const LARGEST_ASK: u64 = 100_000;

/// Serves one connection until `stop` or the end of input.
///
/// # Errors
/// Only when reading or writing fails; what a line says never ends it.
pub fn serve(config: SamplerConfig, mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut session = Session { config, study: None };
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let whole = line.ends_with(b"\n") || (line.len() as u64) < LONGEST_LINE;
        let (answer, stop) = if whole {
            match serde_json::from_slice::<Request>(&line) {
                Ok(request) => {
                    let stop = matches!(request, Request::Stop {});
                    (
                        session.answer(request).unwrap_or_else(|text| json!({"error": text})),
                        stop,
                    )
                }
                Err(error) => (json!({"error": format!("not a request: {error}")}), false),
            }
        } else {
            skip_line(&mut input)?;
            (
                json!({"error": format!("a line may have at most {LONGEST_LINE} bytes")}),
                false,
            )
        };
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
        if stop {
            return Ok(());
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, done) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if done {
            return Ok(());
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request {
    Init(Box<Init>),
    Ask {
        #[serde(default = "one")]
        n: u64,
    },
    Tell(Tell),
    Report {
        id: u64,
    },
    Best {},
    Stop {},
}

fn one() -> u64 {
    1
}

#[derive(Deserialize)]
struct Init {
    #[serde(default = "one")]
    protocol: u64,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    n_trials: Option<u64>,
    space: Vec<Entry>,
    #[serde(default)]
    constraints: Vec<String>,
    #[serde(default)]
    sampler: Option<SamplerConfig>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    low: Option<f64>,
    high: Option<f64>,
    #[serde(default)]
    log: bool,
    step: Option<f64>,
    choices: Option<Vec<Value>>,
    #[serde(default)]
    when: BTreeMap<String, Vec<Value>>,
}

#[derive(Deserialize)]
struct Tell {
    id: u64,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    value: Option<f64>,
    #[serde(default)]
    values: Option<Vec<Json>>,
    #[serde(default)]
    constraints: Vec<f64>,
}

struct Session {
    config: SamplerConfig,
    study: Option<Study>,
}

impl Session {
    fn answer(&mut self, request: Request) -> Result<Json, String> {
        match request {
            Request::Init(init) => self.init(*init),
            Request::Ask { n } => {
                if n > LARGEST_ASK {
                    return Err(format!("ask: n may be at most {LARGEST_ASK}, not {n}"));
                }
                let trials = self.study()?.ask(n as usize).map_err(|error| error.to_string())?;
                Ok(json!({"trials": trials.iter().map(trial).collect::<Vec<_>>()}))
            }
            Request::Tell(tell) => {
                let (id, outcome) = outcome(tell)?;
                self.study()?.tell(id, outcome).map_err(|error| error.to_string())?;
                Ok(json!({"ok": true}))
            }
            Request::Report { id } => {
                let asked = self.study()?.trials().len();
                if id >= asked as u64 {
                    return Err(format!("report: trial {id} was never asked; {asked} trials were"));
                }
                Ok(json!({"prune": false}))
            }
            Request::Best {} => match self.study()?.best() {
                Some((best, value)) => Ok(json!({"id": best.id, "value": value, "params": best.params})),
                None => Err("best: no trial is complete".to_owned()),
            },
            Request::Stop {} => Ok(json!({"ok": true})),
        }
    }

    fn study(&mut self) -> Result<&mut Study, String> {
        self.study.as_mut().ok_or_else(|| "init must come first".to_owned())
    }

    fn init(&mut self, init: Init) -> Result<Json, String> {
        if init.protocol != 1 {
            return Err(format!("init: protocol 1 is spoken here, not {}", init.protocol));
        }
        let direction = match init.direction.as_deref() {
            None | Some("minimize") => Direction::Minimize,
            Some("maximize") => Direction::Maximize,
            Some(other) => return Err(format!("init: direction must be minimize or maximize, not {other:?}")),
        };
        let params = init.space.into_iter().map(param).collect::<Result<_, _>>()?;
        let constraints = init
            .constraints
            .iter()
            .map(|text| Constraint::parse(text))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let space = Space::new(params, constraints).map_err(|error| error.to_string())?;
        let config = init.sampler.unwrap_or_else(|| self.config.clone());
        let name = config.name();
        let study =
            Study::new(space, config, direction, init.seed, init.n_trials).map_err(|error| error.to_string())?;
        self.study = Some(study);
        Ok(json!({"ok": true, "name": name, "version": env!("CARGO_PKG_VERSION")}))
    }
}

fn trial(trial: &Trial) -> Json {
    json!({"id": trial.id, "params": trial.params})
}

fn outcome(tell: Tell) -> Result<(u64, Outcome), String> {
    let id = tell.id;
    if tell.values.is_some() {
        return Err("tell: several objectives (`values`) are not supported; send one `value`".to_owned());
    }
    let outcome = match tell.state.as_deref() {
        None | Some("complete") => match tell.value {
            Some(value) => Outcome::Complete(value),
            None => return Err("tell: a complete trial needs a number as `value`".to_owned()),
        },
        Some("failed") => Outcome::Failed,
        Some("pruned") => Outcome::Pruned(tell.value),
        Some(other) => {
            return Err(format!("tell: state must be complete, failed or pruned, not {other:?}"));
        }
    };
    let violated = tell.constraints.iter().any(|&value| value > 0.0);
    Ok((id, if violated { Outcome::Failed } else { outcome }))
}

/// A whole number that came as `8` or `8.0`.
fn whole(name: &str, key: &str, value: f64) -> Result<i64, String> {
    let whole = value as i64;
    if whole as f64 == value {
        Ok(whole)
    } else {
        Err(format!(
            "init: {name}: {key} of an int must be a whole number, not {value}"
        ))
    }
}

fn param(entry: Entry) -> Result<Param, String> {
    let name = entry.name;
    let need = |key: &str, value: Option<f64>| value.ok_or_else(|| format!("init: {name}: `{key}` is missing"));
    let domain = match entry.kind.as_str() {
        "float" => Domain::Float {
            low: need("low", entry.low)?,
            high: need("high", entry.high)?,
            log: entry.log,
            step: entry.step,
        },
        "int" => Domain::Int {
            low: whole(&name, "low", need("low", entry.low)?)?,
            high: whole(&name, "high", need("high", entry.high)?)?,
            log: entry.log,
            step: whole(&name, "step", entry.step.unwrap_or(1.0))?,
        },
        "categorical" => Domain::Choice(
            entry
                .choices
                .ok_or_else(|| format!("init: {name}: `choices` is missing"))?,
        ),
        other => {
            return Err(format!(
                "init: {name}: type must be float, int or categorical, not {other:?}"
            ));
        }
    };
    Ok(Param {
        name,
        domain,
        when: entry.when.into_iter().collect(),
    })
}
