//! Tuning files: what is searched, on which scenarios, how a trial is judged and validated. Typed, unknown keys refused, and
//! checked as a whole before the first trial. `docs/tuning.md` describes every key.
//!
//! It opens no dataset: what needs one is checked by [`super::evaluate::Evaluator::new`].

pub mod params;
mod pruner;
mod validation;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crossbook_tuner::sampler::SamplerConfig;
use crossbook_tuner::space::{ParamSpec, Space, SpaceError};
use serde::{Deserialize, Serialize};

use super::objective::Objective;
use super::stress::Stress;
use super::validation::Gates;
use crate::config::{self, ConfigError, Scenario, overrides};

pub use pruner::Pruner;
pub use validation::{Mode, Validation};

/// Why a tuning file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a tuning file: syntax, unknown key, wrong type.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and what is allowed.
        message: String,
    },
    /// A value that is well formed but makes no sense.
    #[error("{}: {key}: {message}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// The search space.
    #[error("{}: [space]: {source}", path.display())]
    Space {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is allowed.
        source: Box<SpaceError>,
    },
    /// A scenario that it names, or a `--set`.
    #[error(transparent)]
    Scenario(#[from] ConfigError),
}

/// The sampler and its budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampler {
    /// Trials of each fold.
    pub trials: u64,
    /// Trials asked for at once; a part of the question, so that workers can come and go.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// Seed of all proposals.
    #[serde(default)]
    pub seed: u64,
    /// Which sampler, with its options.
    #[serde(flatten, deserialize_with = "with_options")]
    pub config: SamplerConfig,
}

/// A sampler with its options; of an unknown key it is told what stands beside the options, too.
fn with_options<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SamplerConfig, D::Error> {
    SamplerConfig::deserialize(deserializer).map_err(|error| {
        serde::de::Error::custom(format_args!(
            "{error} (every sampler has `kind`, `trials`, `batch` and `seed`)"
        ))
    })
}

fn default_batch() -> usize {
    4
}

/// A scenario as the session uses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file it came from: names it in messages; datasets may lie beside it.
    pub path: PathBuf,
    /// What stood there.
    pub scenario: Scenario,
}

/// A tuning file, checked.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Where it came from, for messages.
    pub path: PathBuf,
    /// Name; part of the session's id.
    pub name: String,
    /// The sampler and its budget.
    pub sampler: Sampler,
    /// What a trial is tried on.
    pub scenarios: Vec<Source>,
    /// Variants of every scenario, besides the scenario itself.
    pub stress: Vec<Stress>,
    /// What a trial is judged by.
    pub objective: Objective,
    /// What is kept from the tuner to judge it.
    pub validation: Validation,
    /// What the winner must reach to be accepted.
    pub gates: Gates,
    /// When a trial is given up early.
    pub pruner: Pruner,
    /// The parameters as they were written.
    pub params: BTreeMap<String, ParamSpec>,
    /// The constraints as they were written.
    pub constraints: Vec<String>,
    /// The search space made of both.
    pub space: Space,
}

/// A tuning file as it stands on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    sampler: Sampler,
    #[serde(default)]
    stress: Vec<toml::Value>,
    objective: Objective,
    #[serde(default)]
    validation: Validation,
    #[serde(default)]
    gates: Gates,
    #[serde(default)]
    pruner: Pruner,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    constraints: Vec<String>,
    space: BTreeMap<String, ParamSpec>,
    /// Paths, or scenarios in full.
    scenarios: Vec<toml::Value>,
}

/// Reads a tuning file and applies overrides (`sampler.trials=50`).
///
/// # Errors
/// [`SpecError`], naming file, line or key, and what is allowed.
pub fn load(path: &Path, sets: &[String]) -> Result<Spec, SpecError> {
    let text = std::fs::read_to_string(path).map_err(|source| SpecError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, path, sets)
}

/// Parses a tuning file's text; `path` names it, and scenarios are looked for beside it.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, path: &Path, sets: &[String]) -> Result<Spec, SpecError> {
    let wrong = |error: toml::de::Error| SpecError::Parse {
        path: path.to_owned(),
        message: explain(error.to_string().trim_end()),
    };
    // The text itself first: its errors can name a line.
    let file: File = toml::from_str(text).map_err(wrong)?;
    let file = if sets.is_empty() {
        file
    } else {
        let mut table: toml::Table = toml::from_str(text).map_err(wrong)?;
        for set in sets {
            overrides::apply(&mut table, set)?;
        }
        table.try_into().map_err(|error: toml::de::Error| ConfigError::Set {
            text: sets.join(" --set "),
            message: explain(error.to_string().trim_end()),
        })?
    };
    Loader { path }.check(file)
}

/// A parameter's name without quotes is a path of tables to TOML; its message alone would not say so.
fn explain(message: &str) -> String {
    if message.contains("`float`") && message.contains("`fixed`") {
        return format!(
            "{message}\nparameter names stand in quotes: \"strategy.entry_bps\" = {{ float = [2.0, 80.0] }}"
        );
    }
    message.to_owned()
}

struct Loader<'a> {
    path: &'a Path,
}

impl Loader<'_> {
    fn bad<T>(&self, key: impl Into<String>, message: impl Into<String>) -> Result<T, SpecError> {
        Err(SpecError::Key {
            path: self.path.to_owned(),
            key: key.into(),
            message: message.into(),
        })
    }

    fn check(&self, file: File) -> Result<Spec, SpecError> {
        let name_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if file.name.is_empty() || file.name.starts_with('.') || !file.name.chars().all(name_ok) {
            let allowed = "letters, digits, `-`, `_` and `.` are allowed, and it must not begin with `.`";
            return self.bad("name", allowed);
        }
        if !(1..=10_000_000).contains(&file.sampler.trials) {
            return self.bad("sampler.trials", "1 to 10000000 is allowed");
        }
        if !(1..=10_000).contains(&file.sampler.batch) {
            return self.bad("sampler.batch", "1 to 10000 is allowed");
        }
        let space = Space::from_spec(&file.space, &file.constraints).map_err(|source| SpecError::Space {
            path: self.path.to_owned(),
            source: Box::new(source),
        })?;
        file.objective
            .check()
            .or_else(|(key, message)| self.bad(key, message))?;
        let validation = file
            .validation
            .resolved()
            .or_else(|(key, message)| self.bad(format!("validation.{key}"), message))?;
        file.pruner
            .check()
            .or_else(|(key, message)| self.bad(format!("pruner.{key}"), message))?;
        file.gates
            .check()
            .or_else(|(key, message)| self.bad(format!("gates.{key}"), message))?;
        let stress = self.stress(&file.stress)?;
        let scenarios = self.scenarios(&file.scenarios)?;
        Ok(Spec {
            path: self.path.to_owned(),
            name: file.name,
            sampler: file.sampler,
            scenarios,
            stress,
            objective: file.objective,
            validation,
            gates: file.gates,
            pruner: file.pruner,
            params: file.space,
            constraints: file.constraints,
            space,
        })
    }

    fn stress(&self, entries: &[toml::Value]) -> Result<Vec<Stress>, SpecError> {
        let mut stress: Vec<Stress> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let key = format!("stress[{index}]");
            let found = Stress::from_entry(entry).or_else(|message| self.bad(&key, message))?;
            for one in found {
                if stress.iter().any(|other| other.label() == one.label()) {
                    return self.bad(key, format!("`{}` is named twice", one.label()));
                }
                stress.push(one);
            }
        }
        Ok(stress)
    }

    fn scenarios(&self, entries: &[toml::Value]) -> Result<Vec<Source>, SpecError> {
        if entries.is_empty() {
            return self.bad("scenarios", "at least one is needed");
        }
        let mut scenarios: Vec<Source> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let key = format!("scenarios[{index}]");
            let source = match entry {
                toml::Value::String(name) => self.scenario_file(&key, name)?,
                toml::Value::Table(table) => {
                    let source: Source = table
                        .clone()
                        .try_into()
                        .or_else(|error: toml::de::Error| self.bad(&key, error.to_string().trim_end()))?;
                    source.scenario.validate(&source.path)?;
                    source
                }
                _ => {
                    return self.bad(
                        key,
                        "must be the path of a scenario, or a table with `path` and `scenario`",
                    );
                }
            };
            if scenarios
                .iter()
                .any(|other| other.scenario.name == source.scenario.name)
            {
                let message = format!(
                    "`{}` is named twice: results would not tell them apart",
                    source.scenario.name
                );
                return self.bad(key, message);
            }
            if let Some(first) = scenarios.first()
                && first.scenario.base_currency != source.scenario.base_currency
            {
                let message = format!(
                    "its results are in {}, those of `{}` in {}: one objective needs one currency",
                    source.scenario.base_currency, first.scenario.name, first.scenario.base_currency
                );
                return self.bad(key, message);
            }
            scenarios.push(source);
        }
        Ok(scenarios)
    }

    /// A scenario by path: relative to the working directory, or to the tuning file or a folder above it.
    fn scenario_file(&self, key: &str, name: &str) -> Result<Source, SpecError> {
        let mut tried = vec![PathBuf::from(name)];
        let above = self.path.ancestors().skip(1);
        tried.extend(
            above
                .filter(|dir| !dir.as_os_str().is_empty())
                .map(|dir| dir.join(name)),
        );
        let Some(path) = tried.iter().find(|path| path.is_file()) else {
            let tried: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
            return self.bad(key, format!("`{name}` is not there; looked for: {}", tried.join(", ")));
        };
        Ok(Source {
            path: path.clone(),
            scenario: config::load(path, &[])?,
        })
    }
}

impl Spec {
    /// The whole as a tuning file: every default and every scenario written out, so that it means the same on another host
    /// that has the datasets.
    ///
    /// # Errors
    /// Never for a file that was loaded; kept for the serializer's sake.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        let file = File {
            name: self.name.clone(),
            sampler: self.sampler.clone(),
            stress: self
                .stress
                .iter()
                .map(toml::Value::try_from)
                .collect::<Result<_, _>>()?,
            objective: self.objective.clone(),
            validation: self.validation.clone(),
            gates: self.gates,
            pruner: self.pruner.clone(),
            constraints: self.constraints.clone(),
            space: self.params.clone(),
            scenarios: self
                .scenarios
                .iter()
                .map(toml::Value::try_from)
                .collect::<Result<_, _>>()?,
        };
        toml::to_string_pretty(&file)
    }
}

#[cfg(test)]
mod tests;
