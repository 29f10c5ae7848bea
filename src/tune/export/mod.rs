//! A session's records for other programs: CSV, Parquet, and the journal file of Optuna. Whole files as bytes; who writes
//! them, and where, is the caller's business. The same records give the same bytes.

mod csv;
mod optuna;
mod parquet;

use crossbook_tuner::space::{Domain, Value};
use thiserror::Error;

use super::results::Results;
use super::trial::{Measures, Record};
use crate::report::word;

/// What can be exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One row a trial, as text.
    Csv,
    /// One row a trial, typed.
    Parquet,
    /// The operations log of Optuna's `JournalFileBackend`, a study a fold.
    Optuna,
}

impl Format {
    /// End of a file's name, with its dot.
    pub const fn suffix(self) -> &'static str {
        match self {
            Format::Csv => ".csv",
            Format::Parquet => ".parquet",
            Format::Optuna => ".optuna.log",
        }
    }
}

/// An export that could not be made. It is made in memory, so this means a bug, not a full disk.
#[derive(Debug, Error)]
#[error("exporting failed: {0}")]
pub struct ExportError(String);

/// The session in this format.
///
/// # Errors
/// [`ExportError`].
pub fn bytes(results: &Results, format: Format) -> Result<Vec<u8>, ExportError> {
    match format {
        Format::Csv => csv::bytes(&table(results)),
        Format::Parquet => parquet::bytes(&table(results)),
        Format::Optuna => optuna::bytes(results),
    }
}

/// A column; what is missing (an inactive parameter, a figure that is not defined) is `None`.
enum Column {
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Bool(Vec<Option<bool>>),
    Text(Vec<Option<String>>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Column::Int(values) => values.len(),
            Column::Float(values) => values.len(),
            Column::Bool(values) => values.len(),
            Column::Text(values) => values.len(),
        }
    }
}

/// Columns of one length, by name.
struct Table(Vec<(String, Column)>);

impl Table {
    fn height(&self) -> usize {
        self.0.first().map_or(0, |(_, column)| column.len())
    }
}

/// Columns that every session has; the parameters follow under their paths.
fn table(results: &Results) -> Table {
    let records = &results.records;
    let int = |of: fn(&Record) -> Option<u64>| {
        Column::Int(
            records
                .iter()
                .map(|record| of(record).and_then(|value| i64::try_from(value).ok()))
                .collect(),
        )
    };
    let text = |of: fn(&Record) -> Option<String>| Column::Text(records.iter().map(of).collect());
    let mut columns = vec![
        ("id".to_owned(), int(|record| Some(record.id))),
        ("fold".to_owned(), int(|record| Some(u64::from(record.fold)))),
        ("state".to_owned(), text(|record| Some(word(&record.state)))),
        ("reason".to_owned(), text(|record| record.reason.clone())),
        ("same_as".to_owned(), int(|record| record.same_as)),
        (
            "value".to_owned(),
            Column::Float(records.iter().map(|record| record.value).collect()),
        ),
    ];
    for (window, of) in WINDOWS {
        for (name, figure) in FIGURES {
            let values = records.iter().map(|record| of(record).and_then(figure));
            let column = match name {
                "round_trips" | "wins" => Column::Int(values.map(|value| value.map(|value| value as i64)).collect()),
                _ => Column::Float(values.collect()),
            };
            columns.push((format!("{window}_{name}"), column));
        }
    }
    for param in &results.params {
        let taken = columns.iter().any(|(name, _)| *name == param.name);
        let name = match taken {
            true => format!("param.{}", param.name),
            false => param.name.clone(),
        };
        let values: Vec<_> = records.iter().map(|record| record.params.get(&param.name)).collect();
        columns.push((name, typed(&param.domain, &values)));
    }
    Table(columns)
}

/// A window's figures in a record.
type OfWindow = fn(&Record) -> Option<&Measures>;

/// In sample, out of sample.
const WINDOWS: [(&str, OfWindow); 2] = [
    ("train", |record| record.train.as_ref()),
    ("test", |record| record.test.as_ref()),
];

/// A figure by its name in [`Measures`].
type Figure = (&'static str, fn(&Measures) -> Option<f64>);

/// All figures; money in base currency.
const FIGURES: [Figure; 10] = [
    ("pnl", |m| Some(m.pnl)),
    ("pnl_vs_hold", |m| Some(m.pnl_vs_hold)),
    ("fees", |m| Some(m.fees)),
    ("round_trips", |m| Some(m.round_trips as f64)),
    ("wins", |m| Some(m.wins as f64)),
    ("max_drawdown", |m| Some(m.max_drawdown)),
    ("sharpe", |m| m.sharpe),
    ("sortino", |m| m.sortino),
    ("win_rate", |m| m.win_rate),
    ("pnl_per_trip", |m| m.pnl_per_trip),
];

/// The narrowest type that holds the values that a parameter may have, and those that it had.
fn typed(domain: &Domain, values: &[Option<&Value>]) -> Column {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Bool,
        Int,
        Float,
        Text,
    }
    let kind = |value: &Value| match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) => Kind::Int,
        Value::Float(_) => Kind::Float,
        Value::Text(_) => Kind::Text,
    };
    let join = |a: Kind, b: Kind| match (a, b) {
        (a, b) if a == b => a,
        (Kind::Int | Kind::Float, Kind::Int | Kind::Float) => Kind::Float,
        _ => Kind::Text,
    };
    let allowed = match domain {
        Domain::Float { .. } => Some(Kind::Float),
        Domain::Int { .. } => Some(Kind::Int),
        Domain::Choice(choices) => choices.iter().map(kind).reduce(join),
        Domain::Fixed(value) => Some(kind(value)),
    };
    let had = values.iter().flatten().copied().map(kind);
    match allowed.into_iter().chain(had).reduce(join).unwrap_or(Kind::Text) {
        Kind::Bool => Column::Bool(
            values
                .iter()
                .map(|value| match value {
                    Some(Value::Bool(value)) => Some(*value),
                    _ => None,
                })
                .collect(),
        ),
        Kind::Int => Column::Int(
            values
                .iter()
                .map(|value| match value {
                    Some(Value::Int(value)) => Some(*value),
                    _ => None,
                })
                .collect(),
        ),
        Kind::Float => Column::Float(values.iter().map(|value| value.and_then(Value::number)).collect()),
        Kind::Text => Column::Text(values.iter().map(|value| value.map(plain)).collect()),
    }
}

/// A value without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    }
}
