//! What one parameter may be, and how it fills the unit interval.

use std::fmt;

use super::{SpaceError, Value};

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// A number between two bounds, both included.
    Float {
        /// Smallest value.
        low: f64,
        /// Largest value.
        high: f64,
        /// Uniform in the logarithm; needs `low > 0`.
        log: bool,
        /// Only `low + k * step`; the last of them may lie below `high`. Not together with `log`.
        step: Option<f64>,
    },
    /// A whole number between two bounds, both included.
    Int {
        /// Smallest value.
        low: i64,
        /// Largest value.
        high: i64,
        /// Uniform in the logarithm; needs `low >= 1`.
        log: bool,
        /// Only `low + k * step`; the last of them may lie below `high`. 1 when `log`.
        step: i64,
    },
    /// One of several values without an order.
    Choice(Vec<Value>),
    /// Always this value.
    Fixed(Value),
}

/// What kind of axis a parameter is to a sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinate {
    /// Any number of `[0, 1]`.
    Continuous,
    /// So many cells in their natural order; 1 when there is nothing to choose.
    Ordered(u64),
    /// So many cells without an order.
    Choice(u64),
}

/// Whole numbers up to here are exact as `f64`.
const LARGEST_INT: i64 = 1 << 53;
/// Whole numbers up to here survive a logarithm and back.
const LARGEST_LOG_INT: i64 = 1 << 40;

impl Domain {
    /// A float on a linear scale.
    pub fn float(low: f64, high: f64) -> Domain {
        Domain::Float {
            low,
            high,
            log: false,
            step: None,
        }
    }

    /// A float on a logarithmic scale.
    pub fn log_float(low: f64, high: f64) -> Domain {
        Domain::Float {
            low,
            high,
            log: true,
            step: None,
        }
    }

    /// A whole number on a linear scale.
    pub fn int(low: i64, high: i64) -> Domain {
        Domain::Int {
            low,
            high,
            log: false,
            step: 1,
        }
    }

    /// Whether every value is a number.
    pub fn is_numeric(&self) -> bool {
        match self {
            Domain::Float { .. } | Domain::Int { .. } => true,
            Domain::Choice(values) => values.iter().all(|value| value.number().is_some()),
            Domain::Fixed(value) => value.number().is_some(),
        }
    }

    /// What kind of axis this is.
    pub fn coordinate(&self) -> Coordinate {
        match self {
            Domain::Float { low, high, .. } if low == high => Coordinate::Ordered(1),
            Domain::Float { step: None, .. } => Coordinate::Continuous,
            Domain::Choice(values) => Coordinate::Choice(values.len() as u64),
            Domain::Float { .. } | Domain::Int { .. } | Domain::Fixed(_) => Coordinate::Ordered(self.cells()),
        }
    }

    /// Number of cells; 0 for a continuous axis.
    pub(super) fn cells(&self) -> u64 {
        match self {
            Domain::Float { low, high, .. } if low == high => 1,
            Domain::Float { step: None, .. } => 0,
            Domain::Float {
                low,
                high,
                step: Some(step),
                ..
            } => whole_steps(*low, *high, *step) + 1,
            Domain::Int { low, high, step, .. } => ((high - low) / step) as u64 + 1,
            Domain::Choice(values) => values.len() as u64,
            Domain::Fixed(_) => 1,
        }
    }

    /// The cell in which a coordinate lies; 0 for a continuous axis.
    pub fn cell(&self, u: f64) -> u64 {
        let cells = self.cells();
        if cells <= 1 {
            return 0;
        }
        if let Domain::Int { low, log: true, .. } = self {
            return (self.number(u) as i64 - low) as u64;
        }
        ((u.clamp(0.0, 1.0) * cells as f64) as u64).min(cells - 1)
    }

    /// The centre of a cell. Cells past the last count as the last.
    pub fn centre(&self, cell: u64) -> f64 {
        let cells = self.cells();
        if cells <= 1 {
            return 0.5;
        }
        let cell = cell.min(cells - 1);
        match self {
            Domain::Int { low, log: true, .. } => {
                let (bottom, top) = self.logs();
                (libm::log(*low as f64 + cell as f64) - bottom) / (top - bottom)
            }
            _ => (cell as f64 + 0.5) / cells as f64,
        }
    }

    /// Lower and upper end of a cell; 0 and 1 for a continuous axis.
    pub fn edges(&self, cell: u64) -> (f64, f64) {
        let cells = self.cells();
        if cells <= 1 {
            return (0.0, 1.0);
        }
        let cell = cell.min(cells - 1) as f64;
        if let Domain::Int { low, log: true, .. } = self {
            let (bottom, top) = self.logs();
            let edge = |beyond: f64| (libm::log(*low as f64 + cell + beyond) - bottom) / (top - bottom);
            return (edge(-0.5), edge(0.5));
        }
        (cell / cells as f64, (cell + 1.0) / cells as f64)
    }

    /// The coordinate as it is kept: in `[0, 1]`, and on the centre of its cell if there are cells.
    pub(super) fn snap(&self, u: f64) -> f64 {
        match self.cells() {
            0 => u.clamp(0.0, 1.0),
            _ => self.centre(self.cell(u)),
        }
    }

    /// The logarithms of the bounds; those of whole numbers half a unit further out, so that each end has a full cell.
    fn logs(&self) -> (f64, f64) {
        match *self {
            Domain::Float { low, high, .. } => (libm::log(low), libm::log(high)),
            Domain::Int { low, high, .. } => (libm::log(low as f64 - 0.5), libm::log(high as f64 + 0.5)),
            Domain::Choice(_) | Domain::Fixed(_) => (0.0, 1.0),
        }
    }

    /// The value at a coordinate as a number: of a choice without numbers, the number of its cell.
    pub(super) fn number(&self, u: f64) -> f64 {
        match *self {
            Domain::Float {
                low,
                high,
                log,
                step: None,
            } => {
                if low == high {
                    low
                } else if log {
                    let (bottom, top) = self.logs();
                    libm::exp(bottom + u * (top - bottom)).clamp(low, high)
                } else {
                    (low + u * (high - low)).clamp(low, high)
                }
            }
            Domain::Float {
                low,
                high,
                step: Some(step),
                ..
            } => decimal(low + self.cell(u) as f64 * step, low, step).clamp(low, high),
            Domain::Int { low, high, log, step } => {
                if log {
                    let (bottom, top) = self.logs();
                    libm::round(libm::exp(bottom + u * (top - bottom))).clamp(low as f64, high as f64)
                } else {
                    (low + self.cell(u) as i64 * step) as f64
                }
            }
            Domain::Choice(ref values) => {
                let cell = self.cell(u);
                values[cell as usize].number().unwrap_or(cell as f64)
            }
            Domain::Fixed(ref value) => value.number().unwrap_or(0.0),
        }
    }

    /// The value at a coordinate.
    pub fn value(&self, u: f64) -> Value {
        match self {
            Domain::Float { .. } => Value::Float(self.number(u)),
            Domain::Int { .. } => Value::Int(self.number(u) as i64),
            Domain::Choice(values) => values[self.cell(u) as usize].clone(),
            Domain::Fixed(value) => value.clone(),
        }
    }

    /// The coordinate of a value; `None` when it is not one of the values.
    pub fn unit(&self, value: &Value) -> Option<f64> {
        match *self {
            Domain::Float { low, high, log, step } => {
                let x = value.number().filter(|x| (low..=high).contains(x))?;
                match step {
                    Some(step) => {
                        let cell = libm::round((x - low) / step) as u64;
                        let u = self.centre(cell);
                        (cell < self.cells() && (self.number(u) - x).abs() <= 1e-9 * step).then_some(u)
                    }
                    None if low == high => Some(0.5),
                    None if log => {
                        let (bottom, top) = self.logs();
                        Some(((libm::log(x) - bottom) / (top - bottom)).clamp(0.0, 1.0))
                    }
                    None => Some(((x - low) / (high - low)).clamp(0.0, 1.0)),
                }
            }
            Domain::Int { low, high, step, .. } => {
                let x = value.number().filter(|x| *x == libm::round(*x))?;
                let whole = x as i64;
                let allowed = (low..=high).contains(&whole) && (whole - low) % step == 0;
                allowed.then(|| self.centre(((whole - low) / step) as u64))
            }
            Domain::Choice(ref values) => values
                .iter()
                .position(|own| own.same(value))
                .map(|at| self.centre(at as u64)),
            Domain::Fixed(ref own) => own.same(value).then_some(0.5),
        }
    }

    /// Refuses what has no meaning; `name` is for the message.
    pub(super) fn check(&self, name: &str) -> Result<(), SpaceError> {
        let name = || name.to_owned();
        match *self {
            Domain::Float { low, high, log, step } => {
                if !low.is_finite() || !high.is_finite() || !(high - low).is_finite() {
                    return Err(SpaceError::NotFinite { name: name() });
                }
                self.check_range(name(), low, high, log, 0.0)?;
                if let Some(step) = step {
                    check_step(name(), low, high, log, step)?;
                    if (high - low) / step > LARGEST_INT as f64 {
                        return Err(SpaceError::TooFine { name: name(), step });
                    }
                }
                Ok(())
            }
            Domain::Int { low, high, log, step } => {
                let largest = if log { LARGEST_LOG_INT } else { LARGEST_INT };
                if low < -largest || high > largest {
                    return Err(SpaceError::TooLarge { name: name(), largest });
                }
                self.check_range(name(), low as f64, high as f64, log, 1.0)?;
                // A step of 1 is the default, not a wish.
                match step {
                    1 => Ok(()),
                    _ => check_step(name(), low as f64, high as f64, log, step as f64),
                }
            }
            Domain::Choice(ref values) => {
                if values.is_empty() {
                    return Err(SpaceError::NoChoices { name: name() });
                }
                for (index, value) in values.iter().enumerate() {
                    check_value(name(), value)?;
                    if values[..index].iter().any(|earlier| earlier.same(value)) {
                        return Err(SpaceError::DuplicateChoice {
                            name: name(),
                            value: value.clone(),
                        });
                    }
                }
                Ok(())
            }
            Domain::Fixed(ref value) => check_value(name(), value),
        }
    }

    fn check_range(&self, name: String, low: f64, high: f64, log: bool, smallest: f64) -> Result<(), SpaceError> {
        if low > high {
            return Err(SpaceError::Reversed { name, low, high });
        }
        if log && (low <= 0.0 || low < smallest) {
            return Err(SpaceError::LogLow { name, low });
        }
        Ok(())
    }
}

fn check_value(name: String, value: &Value) -> Result<(), SpaceError> {
    match value {
        Value::Float(number) if !number.is_finite() => Err(SpaceError::NotFinite { name }),
        _ => Ok(()),
    }
}

fn check_step(name: String, low: f64, high: f64, log: bool, step: f64) -> Result<(), SpaceError> {
    if !step.is_finite() || step <= 0.0 {
        Err(SpaceError::BadStep { name, step })
    } else if log {
        Err(SpaceError::LogStep { name })
    } else if whole_steps(low, high, step) == 0 {
        Err(SpaceError::LongStep { name, step, low, high })
    } else {
        Ok(())
    }
}

/// Steps that fit between two bounds. The slack takes `0.3 / 0.1` as 3 steps and `(0.9 - 0.8) / 0.1` as 1.
fn whole_steps(low: f64, high: f64, step: f64) -> u64 {
    ((high - low) / step * (1.0 + 1e-12) + 1e-9) as u64
}

/// Rounds a sum to as many decimals as its parts have, so that the third step of 0.1 is 0.3.
fn decimal(sum: f64, low: f64, step: f64) -> f64 {
    let decimals = |x: f64| {
        let text = format!("{x}");
        text.split_once('.').map_or(0, |(_, decimals)| decimals.len())
    };
    let digits = decimals(low).max(decimals(step));
    format!("{sum:.digits$}").parse().unwrap_or(sum)
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Float { low, high, step, .. } => {
                write!(f, "a number from {low} to {high}")?;
                step.map_or(Ok(()), |step| write!(f, " in steps of {step}"))
            }
            Domain::Int { low, high, step, .. } => {
                write!(f, "a whole number from {low} to {high}")?;
                if *step == 1 {
                    return Ok(());
                }
                write!(f, " in steps of {step}")
            }
            Domain::Choice(values) => {
                write!(f, "one of ")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Domain::Fixed(value) => write!(f, "{value}"),
        }
    }
}
