//! One row a trial as Parquet (zstd): the columns of the CSV with their types, nulls for what is missing.

use polars::prelude::{DataFrame, IntoColumn as _, NamedFrom as _, Series};
use polars_io::parquet::write::ParquetWriter;

use super::{Column, ExportError, Table};

pub(super) fn bytes(table: &Table) -> Result<Vec<u8>, ExportError> {
    let columns = table
        .0
        .iter()
        .map(|(name, column)| {
            let name = name.as_str().into();
            match column {
                Column::Int(values) => Series::new(name, values),
                Column::Float(values) => Series::new(name, values),
                Column::Bool(values) => Series::new(name, values),
                Column::Text(values) => Series::new(name, values),
            }
            .into_column()
        })
        .collect();
    let mut bytes = Vec::new();
    DataFrame::new(table.height(), columns)
        .and_then(|mut frame| ParquetWriter::new(&mut bytes).finish(&mut frame))
        .map_err(|error| ExportError(error.to_string()))?;
    Ok(bytes)
}
