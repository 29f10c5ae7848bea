//! Tables of a run: typed columns that are written as Parquet or CSV and read back from Parquet.

use std::io::{self, Write};
use std::path::PathBuf;

use crossbook_engine::units::{Amount, Bps};
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::ParquetWriter;

use super::run_dir::RunDirError;
use crate::report::money::trimmed;

/// One column, named without its unit suffix.
pub enum Column {
    /// A count or a time in nanoseconds; the name says which.
    Int(Vec<i64>),
    /// The same, where it may be missing.
    OptInt(Vec<Option<i64>>),
    /// A price, quantity or amount in 1e-8: `<name>_e8` in Parquet, an exact decimal in CSV.
    Units(Vec<i64>),
    /// The same, where it may be missing.
    OptUnits(Vec<Option<i64>>),
    /// A ratio in 1e-4 bps: `<name>_bps_e4` in Parquet, `<name>_bps` with an exact decimal in CSV.
    Bps(Vec<i64>),
    /// Words and names.
    Text(Vec<String>),
    /// The same, where it may be missing.
    OptText(Vec<Option<String>>),
}

/// A named table.
pub struct Table {
    /// Name of its file, without extension.
    pub name: &'static str,
    /// Its columns in order.
    pub columns: Vec<(&'static str, Column)>,
}

impl Column {
    fn parquet_name(&self, name: &str) -> String {
        match self {
            Column::Units(_) | Column::OptUnits(_) => format!("{name}_e8"),
            Column::Bps(_) => format!("{name}_bps_e4"),
            _ => name.to_string(),
        }
    }

    fn csv_name(&self, name: &str) -> String {
        match self {
            Column::Bps(_) => format!("{name}_bps"),
            _ => name.to_string(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Column::Int(values) | Column::Units(values) | Column::Bps(values) => values.len(),
            Column::OptInt(values) | Column::OptUnits(values) => values.len(),
            Column::Text(values) => values.len(),
            Column::OptText(values) => values.len(),
        }
    }

    fn series(&self, name: &str) -> polars::prelude::Column {
        let name: PlSmallStr = self.parquet_name(name).into();
        match self {
            Column::Int(values) | Column::Units(values) | Column::Bps(values) => Series::new(name, values),
            Column::OptInt(values) | Column::OptUnits(values) => Series::new(name, values),
            Column::Text(values) => Series::new(name, values),
            Column::OptText(values) => Series::new(name, values),
        }
        .into()
    }

    fn csv_cell(&self, row: usize) -> String {
        let units = |raw| Amount::from_raw(raw).map_or_else(|_| raw.to_string(), |amount| trimmed(&amount.to_string()));
        match self {
            Column::Int(values) => values[row].to_string(),
            Column::OptInt(values) => values[row].map(|value| value.to_string()).unwrap_or_default(),
            Column::Units(values) => units(values[row]),
            Column::OptUnits(values) => values[row].map(units).unwrap_or_default(),
            Column::Bps(values) => trimmed(&Bps::from_raw(values[row]).to_string()),
            Column::Text(values) => values[row].clone(),
            Column::OptText(values) => values[row].clone().unwrap_or_default(),
        }
    }
}

impl Table {
    fn height(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// Writes Parquet (zstd), the same bytes for the same rows.
    ///
    /// # Errors
    /// What the writer said.
    pub fn write_parquet(&self, to: &mut dyn Write) -> io::Result<()> {
        let columns = self.columns.iter().map(|(name, column)| column.series(name)).collect();
        // Polars turns an I/O error into words; what the system said is kept aside.
        let mut to = Remembering { to, failed: None };
        let mut write = |columns| -> PolarsResult<()> {
            let mut frame = DataFrame::new(self.height(), columns)?;
            ParquetWriter::new(&mut to).finish(&mut frame)?;
            Ok(())
        };
        write(columns).map_err(|error| to.failed.unwrap_or_else(|| io::Error::other(error)))
    }

    /// Writes CSV with a header, exact decimals, empty cells for what is missing.
    ///
    /// # Errors
    /// What the writer said.
    pub fn write_csv(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(self.columns.iter().map(|(name, column)| column.csv_name(name)))?;
        for row in 0..self.height() {
            csv.write_record(self.columns.iter().map(|(_, column)| column.csv_cell(row)))?;
        }
        csv.flush()
    }
}

/// Passes bytes on and keeps the first error.
struct Remembering<'a> {
    to: &'a mut dyn Write,
    failed: Option<io::Error>,
}

impl Remembering<'_> {
    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed.get_or_insert(error);
            }
            kind.into()
        })
    }
}

impl Write for Remembering<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes);
        self.keep(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.to.flush();
        self.keep(flushed)
    }
}

/// A table read back. Columns are taken by name and type; an error names the file.
pub struct Reader {
    path: PathBuf,
    frame: DataFrame,
}

impl Reader {
    /// Reads a Parquet file that is already in memory.
    ///
    /// # Errors
    /// [`RunDirError::Schema`] when it is not Parquet.
    pub fn new(path: PathBuf, bytes: Vec<u8>) -> Result<Reader, RunDirError> {
        let frame = ParquetReader::new(io::Cursor::new(bytes))
            .finish()
            .map_err(|error| RunDirError::schema(&path, error.to_string()))?;
        Ok(Reader { path, frame })
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.frame.height()
    }

    /// An integer column without missing values, under its name in the file.
    ///
    /// # Errors
    /// [`RunDirError::Schema`] when it is not there, of another type, or has a missing value.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>, RunDirError> {
        self.whole(name, self.opt_ints(name)?)
    }

    /// An integer column that may have missing values.
    ///
    /// # Errors
    /// [`RunDirError::Schema`] when it is not there or of another type.
    pub fn opt_ints(&self, name: &str) -> Result<Vec<Option<i64>>, RunDirError> {
        let column = self.column(name)?;
        let values = column.i64().map_err(|error| self.wrong(name, &error))?;
        Ok(values.iter().collect())
    }

    /// A text column without missing values.
    ///
    /// # Errors
    /// [`RunDirError::Schema`] when it is not there, of another type, or has a missing value.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, RunDirError> {
        self.whole(name, self.opt_texts(name)?)
    }

    /// A text column that may have missing values.
    ///
    /// # Errors
    /// [`RunDirError::Schema`] when it is not there or of another type.
    pub fn opt_texts(&self, name: &str) -> Result<Vec<Option<String>>, RunDirError> {
        let column = self.column(name)?;
        let values = column.str().map_err(|error| self.wrong(name, &error))?;
        Ok(values.iter().map(|value| value.map(str::to_string)).collect())
    }

    /// An error about a value of this table.
    pub fn bad(&self, detail: String) -> RunDirError {
        RunDirError::schema(&self.path, detail)
    }

    fn column(&self, name: &str) -> Result<&polars::prelude::Column, RunDirError> {
        self.frame
            .column(name)
            .map_err(|_| self.bad(format!("column `{name}` is missing")))
    }

    fn whole<T>(&self, name: &str, values: Vec<Option<T>>) -> Result<Vec<T>, RunDirError> {
        values
            .into_iter()
            .enumerate()
            .map(|(row, value)| value.ok_or_else(|| self.bad(format!("column `{name}` has no value in row {row}"))))
            .collect()
    }

    fn wrong(&self, name: &str, error: &PolarsError) -> RunDirError {
        self.bad(format!("column `{name}`: {error}"))
    }
}
