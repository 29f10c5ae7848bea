//! Exchange rates: a column of dates or times and one or more columns of rates.
//!
//! A rate of a date is known only once it is published (`--published-at 16:00@Europe/Berlin`): it enters at that
//! instant of that date, so that nothing earlier can see it. A rate can be the quotient of two columns
//! (`usdkrw=eurkrw/eurusd`); it is divided exactly and rounded to the nearest 1e-8, halves up.

use crossbook_engine::book::sync::SequenceRule;
use crossbook_engine::units::{FxRate, SCALE, TimestampNs};
use jiff::civil::Date;

use super::error::{ImportError, OptionsError, Problem, shorten};
use super::input::Input;
use super::output::{Channel, Output, Stream, Traits};
use super::table::{Column, Table};
use super::time::{TimeColumn, TimeError};
use super::{Format, Importer, Options};
use crate::dataset::manifest::EventTime;
use crate::dataset::message::Message;

/// A rate series and the columns that make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FxColumns {
    /// Name of the series (`usdkrw`): base and quote.
    pub name: String,
    /// Column of the rate, or of the dividend.
    pub rate: String,
    /// Column of the divisor.
    pub divisor: Option<String>,
}

impl FxColumns {
    /// Reads `usdkrw=eurkrw/eurusd`, `usdkrw=close` or `usdkrw`.
    pub fn parse(text: &str) -> Option<FxColumns> {
        let (name, columns) = text.split_once('=').unwrap_or((text, text));
        let (rate, divisor) = match columns.split_once('/') {
            Some((rate, divisor)) => (rate, Some(divisor.trim().to_owned())),
            None => (columns, None),
        };
        let is_named = |text: &str| !text.trim().is_empty();
        let valid = is_named(name) && is_named(rate) && divisor.as_deref().is_none_or(is_named);
        valid.then(|| FxColumns {
            name: name.trim().to_owned(),
            rate: rate.trim().to_owned(),
            divisor,
        })
    }
}

/// Reads exchange-rate files.
pub struct FxCsv<'a> {
    options: &'a Options,
}

impl<'a> FxCsv<'a> {
    /// With these options.
    pub fn new(options: &'a Options) -> FxCsv<'a> {
        FxCsv { options }
    }
}

impl Importer for FxCsv<'_> {
    fn read(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), ImportError> {
        let traits = Traits {
            sequence: SequenceRule::None,
            event_time: EventTime::Exchange,
        };
        let venue = self.options.need_venue(Format::FxCsv)?;
        let series = match (self.options.fx_columns.as_slice(), self.options.symbols.as_slice()) {
            ([], [one]) => vec![FxColumns {
                name: one.clone(),
                rate: "rate".to_owned(),
                divisor: None,
            }],
            ([], _) => {
                return Err(ImportError::Options(OptionsError::Missing {
                    format: Format::FxCsv.name(),
                    option: "--column or --symbol",
                    why: "which rate it is (USDKRW)",
                }));
            }
            (columns, _) => columns.to_vec(),
        };
        let streams: Vec<Stream> = series
            .iter()
            .map(|columns| Stream {
                venue: venue.clone(),
                symbol: columns.name.to_uppercase(),
                channel: Channel::Fx,
            })
            .collect();
        read_rows(input, self.options, &series, &mut |table, when, index, rate| {
            output.account.received += 1;
            let Some(rate) = rate else {
                output.account.ignore("no rate on that day");
                return Ok(());
            };
            let ts = when.known_at(self.options, table)?;
            output.emit(&streams[index], traits, &Message::fx(ts, ts, rate), false, || {
                table.place()
            })?;
            output.account.applied += 1;
            Ok(())
        })
    }
}

/// The date or instant of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A date: the rate is known once published.
    Date(Date),
    /// An instant.
    Instant(TimestampNs),
}

impl When {
    fn known_at(self, options: &Options, table: &Table<'_>) -> Result<TimestampNs, ImportError> {
        match self {
            When::Instant(ts) => Ok(ts.plus(options.assumed_latency_ns)),
            When::Date(date) => {
                let published = options
                    .published_at
                    .as_ref()
                    .ok_or(ImportError::Options(OptionsError::Missing {
                        format: Format::FxCsv.name(),
                        option: "--published-at",
                        why: "a rate of a day is not known before it is published (16:00@Europe/Berlin)",
                    }))?;
                let ts = published.on(date).ok_or_else(|| {
                    table.bad(Problem::Time {
                        column: "date".to_owned(),
                        source: TimeError::Ambiguous(date.to_string()),
                    })
                })?;
                Ok(ts.plus(options.assumed_latency_ns))
            }
        }
    }
}

/// Reads one series of a file as it stands there, date by date, without a thought for when a rate was known.
///
/// # Errors
/// [`ImportError`].
pub fn read_rates(
    input: Input<'_>,
    options: &Options,
    columns: &FxColumns,
) -> Result<Vec<(When, FxRate)>, ImportError> {
    let mut rates = Vec::new();
    read_rows(
        input,
        options,
        std::slice::from_ref(columns),
        &mut |_, when, _, rate| {
            rates.extend(rate.map(|rate| (when, rate)));
            Ok(())
        },
    )?;
    Ok(rates)
}

type OnRate<'f> = dyn FnMut(&Table<'_>, When, usize, Option<FxRate>) -> Result<(), ImportError> + 'f;

fn read_rows(
    input: Input<'_>,
    options: &Options,
    series: &[FxColumns],
    on_rate: &mut OnRate<'_>,
) -> Result<(), ImportError> {
    let mut table = Table::with_header(input)?;
    let time = table.column_of(&["date", "ts", "timestamp", "Date"])?;
    let mut columns = Vec::new();
    for one in series {
        let divisor = one.divisor.as_deref().map(|name| table.column(name)).transpose()?;
        columns.push((table.column(&one.rate)?, divisor));
    }
    let mut times = TimeColumn::new(options.zone.clone());
    let mut last: Option<i64> = None;
    while table.advance()? {
        let text = table.text(time).trim();
        let is_date = text.len() == 10 && text.as_bytes()[4] == b'-';
        let when = if is_date {
            let date = text.parse().map_err(|_| {
                table.bad(Problem::Time {
                    column: "date".to_owned(),
                    source: TimeError::NotATime(shorten(text)),
                })
            })?;
            When::Date(date)
        } else {
            When::Instant(table.time(time, &mut times)?)
        };
        let order = match when {
            When::Date(date) => i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day()),
            When::Instant(ts) => ts.0,
        };
        if let Some(last) = last.replace(order).filter(|last| *last >= order) {
            return Err(table.bad(Problem::Unsorted { last, found: order }));
        }
        for (index, &(rate, divisor)) in columns.iter().enumerate() {
            on_rate(&table, when, index, one_rate(&table, rate, divisor)?)?;
        }
    }
    Ok(())
}

/// The rate of a row; `None` when its cell says that there is none that day.
fn one_rate(table: &Table<'_>, rate: Column, divisor: Option<Column>) -> Result<Option<FxRate>, ImportError> {
    let is_missing = |column| matches!(table.text(column).trim(), "" | "N/A" | "NA" | "-");
    if is_missing(rate) || divisor.is_some_and(is_missing) {
        return Ok(None);
    }
    let dividend = table.price(rate)?;
    let raw = match divisor {
        None => i128::from(dividend.raw()),
        Some(divisor) => {
            let divisor = i128::from(table.price(divisor)?.raw());
            (i128::from(dividend.raw()) * i128::from(SCALE) * 2 + divisor) / (divisor * 2)
        }
    };
    match i64::try_from(raw).map(FxRate::from_raw) {
        Ok(Ok(quotient)) => Ok(Some(quotient)),
        _ => Err(table.value(rate, "a rate between 1e-8 and 9.2e10")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str, columns: &str) -> Result<Vec<(When, FxRate)>, String> {
        let mut bytes = text.as_bytes();
        let input = Input {
            name: "fx.csv",
            reader: &mut bytes,
        };
        read_rates(input, &Options::default(), &FxColumns::parse(columns).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn quotients_are_exact_to_the_last_place() {
        let text =
            "date,eurusd,eurkrw\n2017-01-02,1.0465,1263.85\n2017-01-03,N/A,1253.43\n2017-01-04,3,2\n2017-01-05,3,1\n";
        let found: Vec<String> = rates(text, "usdkrw=eurkrw/eurusd")
            .unwrap()
            .iter()
            .map(|(_, rate)| rate.to_string())
            .collect();
        // 1263.85 / 1.0465 = 1207.692307692...
        assert_eq!(found, ["1207.69230769", "0.66666667", "0.33333333"]);
        assert_eq!(rates(text, "eurkrw").unwrap().len(), 4);
    }

    #[test]
    fn f28_bad_rates_are_refused() {
        let cases = [
            ("date,rate\n2017-01-02,0\n", "must be positive"),
            ("date,rate\n2017-01-02,-1\n", "must be positive"),
            ("date,rate\n2017-01-02,NaN\n", "not a decimal number"),
            ("date,rate\n2017-01-02,1\n2017-01-02,1\n", "fx.csv:3: receive time"),
            ("date,rate\n2017-13-02,1\n", "not a time"),
            ("date,price\n2017-01-02,1\n", "no column `rate`"),
        ];
        for (text, want) in cases {
            let error = rates(text, "rate").unwrap_err();
            assert!(error.contains(want), "{text:?}: {error}");
        }
        for bad in ["", "=a", "a=", "a=b/"] {
            assert_eq!(FxColumns::parse(bad), None, "{bad}");
        }
    }
}
