//! Files of `crossbook record`: which venues, which markets, which rates, and how the journal is written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crossbook_feed::fx::FxConfig;
use crossbook_feed::journal::JournalConfig;
use crossbook_feed::rules::select::MarketsConfig;
use crossbook_feed::venue::VenueConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{ConfigError, overrides};

/// What is to be recorded, and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordConfig {
    /// Folder of the recording, relative to the working directory.
    pub out: PathBuf,
    /// Venues; with `file = "…"` the keys stand over those of that file (relative to this one, then to the working directory).
    pub venue: Vec<VenueConfig>,
    /// Which of their markets.
    pub markets: MarketsConfig,
    /// Exchange rates, if they are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fx: Option<FxConfig>,
    /// How the journal is written.
    #[serde(default)]
    pub journal: JournalConfig,
    /// Where progress is no line on a terminal, a line is written this often.
    #[serde(default = "RecordConfig::default_progress_ms")]
    pub progress_ms: u64,
    /// Seed of the jitter with which connections are made again.
    #[serde(default)]
    pub seed: u64,
}

impl RecordConfig {
    const fn default_progress_ms() -> u64 {
        10_000
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let bad = |key: &str, message: String| {
            Err(ConfigError::Value {
                path: path.to_owned(),
                key: key.to_owned(),
                message,
            })
        };
        if self.out.as_os_str().is_empty() {
            return bad("out", "a folder is needed".to_owned());
        }
        if self.venue.is_empty() {
            return bad("venue", "at least one [[venue]] is needed".to_owned());
        }
        let mut names = BTreeSet::new();
        for venue in &self.venue {
            let name = &venue.name;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                return bad(
                    "venue.name",
                    format!("`{name}`: small letters, digits, `-` and `_` are allowed"),
                );
            }
            if !names.insert(name) {
                return bad("venue.name", format!("`{name}` stands there twice"));
            }
        }
        if let Err(error) = self.markets.validate() {
            return bad("markets", error.to_string());
        }
        if self.markets.needs_lists() && self.venue.len() < 2 {
            return bad(
                "markets",
                "`bases` and `top` choose coins that two venues have; with one venue give `list`".to_owned(),
            );
        }
        for key in self.markets.list.keys().chain(self.markets.also.keys()) {
            if !names.contains(key) {
                let known: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                return bad(
                    "markets",
                    format!("there is no venue `{key}`; those of this file are {}", known.join(", ")),
                );
            }
        }
        if let Some(fx) = &self.fx
            && let Err(error) = fx.validate()
        {
            return bad("fx", error.to_string());
        }
        if let Some((key, allowed)) = self.journal.problem() {
            return bad(&format!("journal.{key}"), format!("{allowed} is allowed"));
        }
        if !(100..=3_600_000).contains(&self.progress_ms) {
            return bad("progress_ms", "100 to 3600000 is allowed".to_owned());
        }
        Ok(())
    }
}

/// Reads a file and applies overrides (`venue.0.rest_url=http://127.0.0.1:8080`).
///
/// # Errors
/// [`ConfigError`], naming file, line and key, and what is allowed.
pub fn load(path: &Path, sets: &[String]) -> Result<RecordConfig, ConfigError> {
    let mut table = read_table(path)?;
    let parse_error = |path: &Path, error: &toml::de::Error| ConfigError::Parse {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    };
    let mut included = false;
    if let Some(Value::Array(venues)) = table.get_mut("venue") {
        for venue in venues {
            if let Value::Table(keys) = venue
                && let Some(file) = keys.remove("file")
            {
                *keys = include(path, file, std::mem::take(keys))?;
                included = true;
            }
        }
    }
    if !included && sets.is_empty() {
        // The text itself: its errors can name a line.
        let text = read(path)?;
        let config: RecordConfig = toml::from_str(&text).map_err(|error| parse_error(path, &error))?;
        config.check(path)?;
        return Ok(config);
    }
    if sets.is_empty() {
        let config: RecordConfig = table.try_into().map_err(|error| parse_error(path, &error))?;
        config.check(path)?;
        return Ok(config);
    }
    for set in sets {
        overrides::apply(&mut table, set)?;
    }
    let config: RecordConfig = table.try_into().map_err(|error: toml::de::Error| ConfigError::Set {
        text: sets.join(" --set "),
        message: format!("{}: {}", path.display(), error.to_string().trim_end()),
    })?;
    config.check(path)?;
    Ok(config)
}

/// The venue file with `keys` over its own.
fn include(base: &Path, file: Value, keys: Table) -> Result<Table, ConfigError> {
    let Value::String(file) = file else {
        return Err(ConfigError::Value {
            path: base.to_owned(),
            key: "venue.file".to_owned(),
            message: "a path is needed".to_owned(),
        });
    };
    let beside = base.parent().unwrap_or(Path::new("")).join(&file);
    let path = if beside.exists() { beside } else { PathBuf::from(&file) };
    let text = read(&path)?;
    // By itself first: its errors can name a line of it, and a venue file must be whole without us.
    let parsed: Result<VenueConfig, _> = toml::from_str(&text);
    parsed.map_err(|error| ConfigError::Parse {
        path: path.clone(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    let mut table = read_table(&path)?;
    lay_over(&mut table, keys);
    Ok(table)
}

fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn read_table(path: &Path) -> Result<Table, ConfigError> {
    toml::from_str(&read(path)?).map_err(|error| ConfigError::Parse {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENUE: &str = "name = \"upbit\"\nprotocol = \"upbit\"\nlevels = 15\n[timers]\nidle_ms = 5\nping_ms = 6\n";
    const HEAD: &str = "out = \"x\"\n[markets]\nlist = { upbit = [\"KRW-BTC\"] }\n";

    fn write(dir: &Path, text: &str) -> PathBuf {
        std::fs::write(dir.join("upbit.toml"), VENUE).unwrap();
        let path = dir.join("record.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_venue_comes_from_its_file_and_keys_stand_over_it() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            format!("{HEAD}[[venue]]\nfile = \"upbit.toml\"\nrest_url = \"http://a\"\n[venue.timers]\nidle_ms = 7\n");
        let path = write(dir.path(), &text);
        let config = load(&path, &["venue.0.levels=30".to_owned()]).unwrap();
        let venue = &config.venue[0];
        assert_eq!((venue.rest_base(), venue.levels), ("http://a", Some(30)));
        assert_eq!((venue.timers.idle_ms, venue.timers.ping_ms), (7, 6));
        // Complete with all defaults it says the same again.
        let again: RecordConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn f70_what_makes_no_sense_is_refused_with_file_and_key() {
        let inline = "[[venue]]\nname = \"upbit\"\nprotocol = \"upbit\"\n";
        let cases = [
            (format!("{HEAD}{inline}[journal]\nflush = 3\n"), "flush"),
            (format!("{HEAD}{inline}[journal]\nflush_ms = 60\n"), "journal.flush_ms"),
            (format!("{HEAD}[[venue]]\nfile = \"none.toml\"\n"), "none.toml"),
            (format!("{HEAD}[[venue]]\nfile = 3\n"), "venue.file"),
            (format!("{HEAD}[[venue]]\nfile = \"upbit.toml\"\nlevls = 3\n"), "levls"),
            (format!("{HEAD}{inline}{inline}"), "twice"),
            (
                format!("{HEAD}{inline}").replace("upbit = [", "upbitt = ["),
                "no venue `upbitt`",
            ),
            (
                format!("{HEAD}{inline}").replace("list = { upbit = [\"KRW-BTC\"] }", "top = { n = 3 }"),
                "two venues",
            ),
            (
                format!("{HEAD}{inline}").replace("list = { upbit = [\"KRW-BTC\"] }", ""),
                "markets",
            ),
            (format!("progress_ms = 1\n{HEAD}{inline}"), "progress_ms"),
            (HEAD.to_owned(), "venue"),
        ];
        for (text, word) in cases {
            let dir = tempfile::tempdir().unwrap();
            let path = write(dir.path(), &text);
            let error = load(&path, &[]).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(".toml"), "{text}: {error}");
        }
    }
}
