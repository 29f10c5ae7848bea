//! One row a trial as CSV: a header, empty cells for what is missing, floats in the shortest form that reads back the same.

use super::{Column, ExportError, Table};

pub(super) fn bytes(table: &Table) -> Result<Vec<u8>, ExportError> {
    let failed = |error: csv::Error| ExportError(error.to_string());
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(table.0.iter().map(|(name, _)| name)).map_err(failed)?;
    for row in 0..table.height() {
        csv.write_record(table.0.iter().map(|(_, column)| cell(column, row)))
            .map_err(failed)?;
    }
    csv.into_inner().map_err(|error| ExportError(error.to_string()))
}

fn cell(column: &Column, row: usize) -> String {
    match column {
        Column::Int(values) => values[row].map(|value| value.to_string()),
        // `Debug` keeps the point of a whole number, and writes a power of ten for what is very large or small.
        Column::Float(values) => values[row].map(|value| format!("{value:?}")),
        Column::Bool(values) => values[row].map(|value| value.to_string()),
        Column::Text(values) => values[row].clone(),
    }
    .unwrap_or_default()
}
