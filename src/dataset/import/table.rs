//! CSV by column name, one row at a time, in one reused buffer; every error names the line and the column.

use std::cell::Cell;

use crossbook_engine::units::{AmountError, Price, Qty, TimestampNs, parse_number};

use super::error::{ImportError, Place, Problem, shorten};
use super::input::{Input, Lines};
use super::time::TimeColumn;

/// A column of a [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column(usize);

/// Rows of a CSV file.
pub struct Table<'a> {
    lines: Lines<'a>,
    header: Vec<String>,
    /// Field bounds in the current line.
    fields: Vec<(usize, usize)>,
    /// The first line is data and has not been given out yet.
    pending: bool,
    /// Quantities finer than 1e-8 are cut instead of refused.
    cut_sizes: bool,
    cut: Cell<u64>,
}

impl<'a> Table<'a> {
    /// Reads the header line.
    ///
    /// # Errors
    /// When the file is empty, or a column name occurs twice.
    pub fn with_header(input: Input<'a>) -> Result<Table<'a>, ImportError> {
        let mut table = Table::start(input)?;
        table.take_header()?;
        Ok(table)
    }

    /// For files that may come without a header: if the first line's first field is a number, the columns are `names`
    /// (or as many of them as there are fields).
    ///
    /// # Errors
    /// When the file is empty, has more fields than `names`, or a column name occurs twice.
    pub fn with_or_without_header(input: Input<'a>, names: &[&str]) -> Result<Table<'a>, ImportError> {
        let mut table = Table::start(input)?;
        let is_number = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'.');
        if table.lines.line().first().is_some_and(is_number) {
            if table.fields.len() > names.len() {
                return Err(table.bad(Problem::Fields {
                    wanted: names.len(),
                    found: table.fields.len(),
                }));
            }
            table.header = names
                .iter()
                .take(table.fields.len())
                .map(|&name| name.to_owned())
                .collect();
            table.pending = true;
        } else {
            table.take_header()?;
        }
        Ok(table)
    }

    fn start(input: Input<'a>) -> Result<Table<'a>, ImportError> {
        let mut lines = Lines::new(input);
        if !lines.advance()? {
            return Err(ImportError::Bad {
                place: Place {
                    line: 0,
                    ..lines.place()
                },
                problem: Problem::Empty,
            });
        }
        let mut table = Table {
            lines,
            header: Vec::new(),
            fields: Vec::new(),
            pending: false,
            cut_sizes: false,
            cut: Cell::new(0),
        };
        table.split()?;
        Ok(table)
    }

    fn take_header(&mut self) -> Result<(), ImportError> {
        for index in 0..self.fields.len() {
            let name = self.text(Column(index)).trim().to_owned();
            if self.header.contains(&name) {
                return Err(self.bad(Problem::DuplicateColumn(name)));
            }
            self.header.push(name);
        }
        Ok(())
    }

    /// From now on quantities finer than 1e-8 are cut to it, and counted, if so asked.
    pub fn cut_sizes(&mut self, cut: bool) {
        self.cut_sizes = cut;
    }

    /// How many quantities were cut.
    pub fn cut(&self) -> u64 {
        self.cut.get()
    }

    /// Column names, in order.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The column of this name, or `None`.
    pub fn find(&self, name: &str) -> Option<Column> {
        self.header.iter().position(|column| column == name).map(Column)
    }

    /// The column of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn column(&self, name: &str) -> Result<Column, ImportError> {
        self.find(name).ok_or_else(|| {
            self.bad(Problem::NoColumn {
                column: name.to_owned(),
                found: shorten_list(&self.header),
            })
        })
    }

    /// The first of these names that is a column.
    ///
    /// # Errors
    /// When none is.
    pub fn column_of(&self, names: &[&str]) -> Result<Column, ImportError> {
        match names.iter().find_map(|name| self.find(name)) {
            Some(column) => Ok(column),
            None => self.column(names.first().copied().unwrap_or_default()),
        }
    }

    /// Moves to the next row; `false` at the end. Empty lines are skipped.
    ///
    /// # Errors
    /// When the row is not UTF-8 or has another number of fields than the header.
    pub fn advance(&mut self) -> Result<bool, ImportError> {
        if std::mem::take(&mut self.pending) {
            return Ok(true);
        }
        loop {
            if !self.lines.advance()? {
                return Ok(false);
            }
            if !self.lines.line().is_empty() {
                break;
            }
        }
        self.split()?;
        if self.fields.len() != self.header.len() {
            return Err(self.bad(Problem::Fields {
                wanted: self.header.len(),
                found: self.fields.len(),
            }));
        }
        Ok(true)
    }

    /// Splits the line at commas; a field may be in double quotes (none of our formats needs quotes inside quotes).
    fn split(&mut self) -> Result<(), ImportError> {
        let text = self.lines.text()?.as_bytes();
        self.fields.clear();
        let mut at = 0;
        loop {
            if text.get(at) == Some(&b'"') {
                let end = text[at + 1..].iter().position(|&b| b == b'"').map(|n| at + 1 + n);
                match end.map(|end| (end, text.get(end + 1))) {
                    Some((end, None | Some(b','))) => {
                        self.fields.push((at + 1, end));
                        at = end + 1;
                    }
                    _ => return Err(self.lines.bad(Problem::Quote)),
                }
            } else {
                let end = text[at..]
                    .iter()
                    .position(|&b| b == b',')
                    .map_or(text.len(), |n| at + n);
                self.fields.push((at, end));
                at = end;
            }
            if at == text.len() {
                return Ok(());
            }
            at += 1;
        }
    }

    /// The field as written.
    pub fn text(&self, column: Column) -> &str {
        let bytes = self
            .fields
            .get(column.0)
            .map_or(&[][..], |&(from, to)| &self.lines.line()[from..to]);
        // Fields are cut at ASCII bytes out of a line that was checked.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// A number of 1e-8 steps, exact; an exponent is allowed.
    ///
    /// # Errors
    /// When it is not an exact amount.
    pub fn number(&self, column: Column) -> Result<i64, ImportError> {
        parse_number(self.text(column).trim()).map_err(|error| self.amount(column, error))
    }

    /// A price.
    ///
    /// # Errors
    /// When it is not an exact positive amount.
    pub fn price(&self, column: Column) -> Result<Price, ImportError> {
        Price::from_raw(self.number(column)?).map_err(|error| self.amount(column, error))
    }

    /// A quantity.
    ///
    /// # Errors
    /// When it is not an exact amount (see [`Table::cut_sizes`]), or negative.
    pub fn qty(&self, column: Column) -> Result<Qty, ImportError> {
        let text = self.text(column).trim();
        let raw = match (parse_number(text), text.split_once('.')) {
            (Err(AmountError::TooFine), Some((whole, part))) if self.cut_sizes => {
                // Cut off, not rounded: never more than was there. An exponent in the rest is not understood here.
                let plain = part.bytes().all(|byte| byte.is_ascii_digit());
                let kept = part
                    .get(..8)
                    .filter(|_| plain)
                    .ok_or_else(|| self.amount(column, AmountError::TooFine))?;
                self.cut.set(self.cut.get() + 1);
                parse_number(&format!("{whole}.{kept}"))
            }
            (parsed, _) => parsed,
        };
        let raw = raw.map_err(|error| self.amount(column, error))?;
        Qty::from_raw(raw).map_err(|error| self.amount(column, error))
    }

    /// A time.
    ///
    /// # Errors
    /// See [`super::time::TimeError`].
    pub fn time(&self, column: Column, times: &mut TimeColumn) -> Result<TimestampNs, ImportError> {
        times.read(self.text(column)).map_err(|source| {
            self.bad(Problem::Time {
                column: self.name(column),
                source,
            })
        })
    }

    /// `true`/`false`, in the spellings that exporters use.
    ///
    /// # Errors
    /// For any other text.
    pub fn flag(&self, column: Column) -> Result<bool, ImportError> {
        match self.text(column).trim() {
            "true" | "True" | "TRUE" | "1" => Ok(true),
            "false" | "False" | "FALSE" | "0" => Ok(false),
            _ => Err(self.value(column, "true, false, 1, 0")),
        }
    }

    /// A non-negative whole number, or `None` for an empty field.
    ///
    /// # Errors
    /// For anything else.
    pub fn sequence(&self, column: Column) -> Result<Option<u64>, ImportError> {
        match self.text(column).trim() {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| self.value(column, "a whole number, or empty")),
        }
    }

    /// An error about this field's text.
    pub fn value(&self, column: Column, allowed: &'static str) -> ImportError {
        self.bad(Problem::Value {
            column: self.name(column),
            text: shorten(self.text(column)),
            allowed,
        })
    }

    fn amount(&self, column: Column, source: AmountError) -> ImportError {
        self.bad(Problem::Amount {
            column: self.name(column),
            text: shorten(self.text(column)),
            source,
        })
    }

    fn name(&self, column: Column) -> String {
        self.header.get(column.0).cloned().unwrap_or_default()
    }

    /// Where we are.
    pub fn place(&self) -> Place {
        self.lines.place()
    }

    /// Number of the line where we are, to come back to with [`Table::place_at`].
    pub fn line_number(&self) -> u64 {
        self.lines.number()
    }

    /// An earlier line of this file.
    pub fn place_at(&self, line: u64) -> Place {
        Place {
            line,
            ..self.lines.place()
        }
    }

    /// An error at this row.
    pub fn bad(&self, problem: Problem) -> ImportError {
        self.lines.bad(problem)
    }
}

fn shorten_list(names: &[String]) -> String {
    const MOST: usize = 20;
    let mut text = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_error(text: &str) -> String {
        let mut bytes = text.as_bytes();
        let input = Input {
            name: "f.csv",
            reader: &mut bytes,
        };
        let result = (|| {
            let mut table = Table::with_header(input)?;
            let (time, price, qty) = (table.column("ts")?, table.column("price")?, table.column("qty")?);
            let mut times = TimeColumn::default();
            while table.advance()? {
                table.time(time, &mut times)?;
                table.price(price)?;
                table.qty(qty)?;
            }
            Ok::<(), ImportError>(())
        })();
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn f26_bad_fields_are_named_with_line_and_column() {
        let cases = [
            ("ts,price,qty\n1723161253,1,2\n", ""),
            ("ts,\"price\",qty\n1723161253,\"1e3\",2e-8\n\n", ""),
            ("", "f.csv: empty file"),
            ("ts,price\n", "f.csv:1: no column `qty`; the header has: ts, price"),
            ("ts,price,price,qty\n", "f.csv:1: column `price` occurs twice"),
            ("ts,price,qty\n1723161253,1\n", "f.csv:2: 2 fields where 3 are needed"),
            (
                "ts,price,qty\n1723161253,1,2,3\n",
                "f.csv:2: 4 fields where 3 are needed",
            ),
            (
                "ts,price,qty\n1723161253,NaN,2\n",
                "f.csv:2: column `price`: `NaN`: not a decimal number",
            ),
            (
                "ts,price,qty\n1723161253,1e400,2\n",
                "f.csv:2: column `price`: `1e400`: out of range",
            ),
            (
                "ts,price,qty\n1723161253,0,2\n",
                "f.csv:2: column `price`: `0`: must be positive",
            ),
            (
                "ts,price,qty\n1723161253,1,-2\n",
                "f.csv:2: column `qty`: `-2`: must not be negative",
            ),
            ("ts,price,qty\n1723161253,1,0.123456789\n", "finer than 1e-8"),
            ("ts,price,qty\n1723161253,99999999999999999999,1\n", "out of range"),
            (
                "ts,price,qty\n1723161253,1,\"2\n",
                "f.csv:2: a quoted field is not closed",
            ),
            (
                "ts,price,qty\n1723161253,1,2\n1723161253000,1,2\n",
                "f.csv:3: column `ts`: `1723161253000` is in Millis",
            ),
        ];
        for (text, want) in cases {
            let error = first_error(text);
            assert!(
                error.contains(want) && want.is_empty() == error.is_empty(),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn wrong_utf8_is_named() {
        let mut bytes: &[u8] = b"a,b\n1,\xff\n";
        let mut table = Table::with_header(Input {
            name: "f.csv",
            reader: &mut bytes,
        })
        .unwrap();
        assert_eq!(
            table.advance().unwrap_err().to_string(),
            "f.csv:2: not valid UTF-8 at byte 2 of the line"
        );
    }
}
