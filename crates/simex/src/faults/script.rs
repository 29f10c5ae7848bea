//! The fault script: `config/simex/*.toml`.
//!
//! ```toml
//! scale = 1.0            # all times of the schedule, and the age of stale snapshots, times this
//!
//! [[fault]]
//! kind = "drop"          # one of KINDS
//! at_s = 30              # or every_s = 60 (from at_s on), or per_hour = 12 (at random)
//! times = 3              # how often it begins; without it once, or for ever when repeated
//! for_s = 10             # how long it lasts; inf for ever
//! venue = "binance"      # upbit, binance, binance-usdm
//! surface = "stream"     # stream, private, rest
//! path = "/api/v3/depth"
//! markets = ["BTCUSDT"]  # or pick = 2: as many, chosen anew each time
//! share = 0.5            # of what it could strike, how much it strikes
//! count = 1              # and how often at most each time
//! ```
//! Other keys belong to a kind. Each key that is not known is an error that names those that are.

use std::path::{Path, PathBuf};

use crossbook_engine::units::{Amount, Price, Qty};
use toml::{Table, Value};

use super::{FaultKind, Stage, Surface};
use crate::exchange::Venue;

/// Why a script is refused.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}: {message}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Where and why, and what is allowed.
        message: String,
    },
}

/// One fault of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// When it first begins, in seconds from the start; a random schedule begins to draw then.
    pub at_s: f64,
    /// Seconds from one beginning to the next.
    pub every_s: Option<f64>,
    /// Beginnings an hour, at random.
    pub per_hour: Option<f64>,
    /// How often it begins at most.
    pub times: Option<u32>,
    /// How long it lasts, in seconds; zero when it is done at once.
    pub for_s: f64,
    /// At which venue.
    pub venue: Option<Venue>,
    /// Over which connections.
    pub surface: Option<Surface>,
    /// For which paths.
    pub path: Option<String>,
    /// In which markets.
    pub markets: Vec<String>,
    /// In as many markets, chosen anew each time.
    pub pick: Option<usize>,
    /// Of what it could strike, how much it strikes.
    pub share: f64,
    /// How often it strikes each time at most.
    pub count: Option<u32>,
}

/// A script.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    /// Its faults, in the order of the file.
    pub faults: Vec<Fault>,
}

/// All kinds that a script may name.
pub const KINDS: [&str; 39] = [
    "reset",
    "close",
    "server-shutdown",
    "ping-flood",
    "refuse",
    "handshake-drop",
    "handshake-status",
    "no-data",
    "error-instead",
    "silence",
    "no-pong",
    "delay",
    "fragments",
    "drop",
    "duplicate",
    "reorder",
    "cut",
    "bad-utf8",
    "garbage",
    "unknown-kind",
    "new-field",
    "missing-field",
    "big-frame",
    "status",
    "slow",
    "lost",
    "stale-snapshot",
    "crossed",
    "frozen",
    "empty-side",
    "absurd",
    "burst",
    "rules",
    "halt",
    "cancel-only",
    "delist",
    "clock",
    "partial-fill",
    "maintenance",
];

/// What is done at once lasts no time; what lasts and does not say how long lasts this many seconds.
const USUAL_S: f64 = 5.0;
/// What strikes so often and does not say for how long waits this many seconds for its chances.
const CHANCE_S: f64 = 60.0;

impl Script {
    /// Reads a file.
    ///
    /// # Errors
    /// Names the file, the fault, the key, and what is allowed.
    pub fn load(path: &Path) -> Result<Script, ScriptError> {
        let text = std::fs::read_to_string(path).map_err(|source| ScriptError::Read {
            path: path.to_owned(),
            source,
        })?;
        Script::parse(&text).map_err(|message| ScriptError::Wrong {
            path: path.to_owned(),
            message,
        })
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Names the fault, the key, and what is allowed.
    pub fn parse(text: &str) -> Result<Script, String> {
        let table: Table = text.parse().map_err(|error| format!("{error}"))?;
        let mut keys = Keys::new("the file", &table);
        let scale = keys.number("scale", 1e-6, 1e6)?.unwrap_or(1.0);
        keys.known.push("fault");
        keys.finish()?;
        let list = match table.get("fault") {
            None => &[][..],
            Some(Value::Array(list)) => list,
            Some(_) => return Err("`fault` is not a list of tables: write [[fault]]".to_owned()),
        };
        let mut faults = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let Value::Table(table) = value else {
                return Err(format!("fault {}: is not a table: write [[fault]]", index + 1));
            };
            faults.extend(read(index, table, scale)?);
        }
        Ok(Script { faults })
    }
}

/// Reads one fault, the keys of one `[[fault]]`, as TOML or as a JSON object.
///
/// # Errors
/// Names the key, and what is allowed.
pub fn one(text: &str) -> Result<Vec<Fault>, String> {
    let table: Table = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| format!("{error}"))?
    } else {
        text.parse().map_err(|error| format!("{error}"))?
    };
    if table.contains_key("fault") {
        return Err("the keys of one fault are wanted, without [[fault]]".to_owned());
    }
    read(0, &table, 1.0)
}

fn read(index: usize, table: &Table, scale: f64) -> Result<Vec<Fault>, String> {
    let mut keys = Keys::new(format!("fault {}", index + 1), table);
    let Some(name) = keys.text("kind")? else {
        return Err(keys.wrong("kind", &format!("is missing; one of {}", KINDS.join(", "))));
    };
    keys.at = format!("fault {} (kind `{name}`)", index + 1);
    let most = 1e9;
    let at_s = keys.number("at_s", 0.0, most)?.unwrap_or(0.0) * scale;
    let every_s = keys.number("every_s", 1e-3, most)?.map(|seconds| seconds * scale);
    let per_hour = keys.number("per_hour", 1e-3, 1e6)?.map(|often| often / scale);
    if every_s.is_some() && per_hour.is_some() {
        return Err(keys.wrong("per_hour", "does not go with every_s"));
    }
    let times = keys.whole("times", 1, u64::from(u32::MAX))?.map(|times| times as u32);
    let for_s = keys
        .number("for_s", 1e-3, f64::INFINITY)?
        .map(|seconds| seconds * scale);
    let venue = keys.one_of(
        "venue",
        &[
            ("upbit", Venue::Upbit),
            ("binance", Venue::Binance),
            ("binance-usdm", Venue::BinanceUsdm),
        ],
    )?;
    let surface = keys.one_of(
        "surface",
        &[
            ("stream", Surface::Stream),
            ("private", Surface::Private),
            ("rest", Surface::Rest),
        ],
    )?;
    let path = keys.text("path")?;
    let markets = keys.texts("markets")?;
    let pick = keys.whole("pick", 1, 10_000)?.map(|pick| pick as usize);
    let share = keys.number("share", 1e-6, 1.0)?.unwrap_or(1.0);
    let count = keys.whole("count", 1, u64::from(u32::MAX))?.map(|count| count as u32);
    let kinds = kind(&name, &mut keys, scale)?;
    keys.finish()?;
    Ok(kinds
        .into_iter()
        .map(|kind| {
            let at_once = matches!(
                kind,
                FaultKind::Reset { .. }
                    | FaultKind::Close { .. }
                    | FaultKind::ServerShutdown { .. }
                    | FaultKind::PingFlood { .. }
            );
            let single = kind.stage() == Stage::Frame && count.is_none() && for_s.is_none();
            let count = if single { Some(1) } else { count };
            let usual = if count.is_some() { CHANCE_S } else { USUAL_S };
            Fault {
                at_s,
                every_s,
                per_hour,
                times,
                for_s: if at_once { 0.0 } else { for_s.unwrap_or(usual * scale) },
                venue,
                surface,
                path: path.clone(),
                markets: markets.clone(),
                pick,
                share,
                count,
                kind,
            }
        })
        .collect())
}

/// A kind with the keys of its own. Maintenance is two faults: the markets stand still, and REST says so.
fn kind(name: &str, keys: &mut Keys<'_>, scale: f64) -> Result<Vec<FaultKind>, String> {
    use FaultKind as K;
    let retry = |keys: &mut Keys<'_>| keys.whole("retry_after_s", 0, 1_000_000);
    let kind = match name {
        "reset" => K::Reset {
            mid_frame: keys.flag("mid_frame")?.unwrap_or(true),
        },
        "close" => K::Close {
            code: keys.whole("code", 1000, 4999)?.unwrap_or(1000) as u16,
        },
        "server-shutdown" => K::ServerShutdown {
            close_after_ms: keys.whole("close_after_ms", 0, 3_600_000)?.unwrap_or(1_000),
        },
        "ping-flood" => K::PingFlood {
            pings: keys.whole("pings", 1, 100_000)?.unwrap_or(1_000) as u32,
        },
        "refuse" => K::Refuse,
        "handshake-drop" => K::HandshakeDrop,
        "handshake-status" => K::HandshakeStatus {
            status: keys.whole("status", 400, 599)?.unwrap_or(429) as u16,
            retry_after_s: retry(keys)?,
        },
        "no-data" => K::NoData,
        "error-instead" => K::ErrorInstead,
        "silence" => K::Silence,
        "no-pong" => K::NoPong,
        "delay" => K::Delay {
            ms: keys.whole("ms", 0, 3_600_000)?.unwrap_or(500),
            jitter_ms: keys.whole("jitter_ms", 0, 3_600_000)?.unwrap_or(0),
        },
        "fragments" => K::Fragments {
            bytes: keys.whole("bytes", 1, 1 << 20)?.unwrap_or(64) as usize,
        },
        "drop" => K::Drop,
        "duplicate" => K::Duplicate,
        "reorder" => K::Reorder,
        "cut" => K::Cut,
        "bad-utf8" => K::BadUtf8,
        "garbage" => K::Garbage,
        "unknown-kind" => K::UnknownKind,
        "new-field" => K::NewField,
        "missing-field" => K::MissingField,
        "big-frame" => K::BigFrame {
            bytes: keys.whole("bytes", 1, 64 << 20)?.unwrap_or(10 << 20) as usize,
        },
        "status" => K::Status {
            status: keys.whole("status", 400, 599)?.unwrap_or(503) as u16,
            retry_after_s: retry(keys)?,
            applied: keys.flag("applied")?.unwrap_or(false),
        },
        "slow" => K::Slow {
            ms: keys.whole("ms", 1, 3_600_000)?.unwrap_or(10_000),
        },
        "lost" => K::Lost {
            applied: keys.flag("applied")?.unwrap_or(true),
        },
        "stale-snapshot" => K::StaleSnapshot {
            age_ms: (keys.whole("age_ms", 0, 3_600_000)?.unwrap_or(25_000) as f64 * scale) as u64,
        },
        "crossed" => K::Crossed,
        "frozen" => K::Frozen,
        "empty-side" => {
            let side = keys.one_of(
                "side",
                &[("bid", (true, false)), ("ask", (false, true)), ("both", (true, true))],
            )?;
            let (bids, asks) = side.unwrap_or((false, true));
            K::EmptySide { bids, asks }
        }
        "absurd" => K::Absurd {
            factor: keys.number("factor", 1e-9, 1e9)?.unwrap_or(10.0),
        },
        "burst" => K::Burst {
            factor: keys.number("factor", 1e-3, 1_000.0)?.unwrap_or(2.0),
        },
        "rules" => {
            let kind = K::Rules {
                tick: keys.decimal("tick", Price::parse)?,
                lot: keys.decimal("lot", Qty::parse)?,
                min_total: keys.decimal("min_total", Amount::parse)?,
            };
            let nothing = K::Rules {
                tick: None,
                lot: None,
                min_total: None,
            };
            if kind == nothing {
                return Err(keys.wrong("tick", "or lot or min_total must be there"));
            }
            kind
        }
        "halt" => K::Halt,
        "cancel-only" => K::CancelOnly,
        "delist" => K::Delist,
        "maintenance" => {
            let status = K::Status {
                status: keys.whole("status", 400, 599)?.unwrap_or(503) as u16,
                retry_after_s: retry(keys)?,
                applied: false,
            };
            return Ok(vec![K::Halt, status]);
        }
        "clock" => K::Clock {
            offset_ms: keys.signed("offset_ms", 86_400_000)?.unwrap_or(0),
            drift_ppm: keys.signed("drift_ppm", 100_000)?.unwrap_or(0),
        },
        "partial-fill" => K::PartialFill {
            percent: keys.whole("percent", 0, 100)?.unwrap_or(50) as u8,
        },
        _ => return Err(keys.wrong("kind", &format!("`{name}` is not one of {}", KINDS.join(", ")))),
    };
    Ok(vec![kind])
}

/// A table whose keys are asked for one by one, so that those nobody asked for can be told from those that are allowed.
struct Keys<'a> {
    at: String,
    table: &'a Table,
    known: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    fn new(at: impl Into<String>, table: &'a Table) -> Keys<'a> {
        Keys {
            at: at.into(),
            table,
            known: Vec::new(),
        }
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.table.get(key)
    }

    fn wrong(&self, key: &str, message: &str) -> String {
        format!("{}: {key}: {message}", self.at)
    }

    fn number(&mut self, key: &'static str, least: f64, most: f64) -> Result<Option<f64>, String> {
        let value = match self.get(key) {
            None => return Ok(None),
            Some(Value::Float(value)) => *value,
            Some(Value::Integer(value)) => *value as f64,
            Some(other) => return Err(self.wrong(key, &format!("{other} is not a number"))),
        };
        if (least..=most).contains(&value) {
            Ok(Some(value))
        } else {
            Err(self.wrong(key, &format!("{value} is not in {least} to {most}")))
        }
    }

    fn signed(&mut self, key: &'static str, most: i64) -> Result<Option<i64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) if value.unsigned_abs() <= most.unsigned_abs() => Ok(Some(*value)),
            Some(other) => Err(self.wrong(key, &format!("{other} is not a whole number in -{most} to {most}"))),
        }
    }

    fn whole(&mut self, key: &'static str, least: u64, most: u64) -> Result<Option<u64>, String> {
        let value = match self.get(key) {
            None => return Ok(None),
            Some(value) => value,
        };
        match value.as_integer().and_then(|value| u64::try_from(value).ok()) {
            Some(whole) if (least..=most).contains(&whole) => Ok(Some(whole)),
            _ => Err(self.wrong(key, &format!("{value} is not a whole number in {least} to {most}"))),
        }
    }

    fn flag(&mut self, key: &'static str) -> Result<Option<bool>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(key, &format!("{other} is not true or false"))),
        }
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value.clone())),
            Some(other) => Err(self.wrong(key, &format!("{other} is not a text"))),
        }
    }

    fn texts(&mut self, key: &'static str) -> Result<Vec<String>, String> {
        let list = match self.get(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(self.wrong(key, &format!("{other} is not a list of texts"))),
        };
        let texts = list.iter().map(|value| match value {
            Value::String(text) => Ok(text.clone()),
            other => Err(self.wrong(key, &format!("{other} is not a text"))),
        });
        texts.collect()
    }

    fn one_of<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Result<Option<T>, String> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                Err(self.wrong(key, &format!("`{text}` is not one of {}", names.join(", "))))
            }
        }
    }

    fn decimal<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, String> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match parse(&text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.wrong(key, &format!("`{text}`: {error}"))),
        }
    }

    fn finish(&self) -> Result<(), String> {
        match self.table.keys().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(format!(
                "{}: unknown key `{key}`; allowed: {}",
                self.at,
                self.known.join(", ")
            )),
        }
    }
}
