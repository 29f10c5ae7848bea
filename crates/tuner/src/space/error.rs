//! Why something is not a search space, or not a point of one.

use thiserror::Error;

use super::{Domain, Value};

/// What is wrong with a space, a constraint or a set of values.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SpaceError {
    /// Nothing to tune.
    #[error("the space is empty: name at least one parameter")]
    Empty,
    /// A name is the empty word.
    #[error("parameter {index} (counted from 0) has no name")]
    Unnamed { index: usize },
    /// Two parameters of one name.
    #[error("{name}: named twice")]
    DuplicateName { name: String },
    /// A bound, step or value that is no number, or a range wider than a float can say.
    #[error("{name}: bounds and values must be finite numbers, and so must high - low")]
    NotFinite { name: String },
    /// Low above high.
    #[error("{name}: the lower bound {low} is above the upper bound {high}")]
    Reversed { name: String, low: f64, high: f64 },
    /// A logarithm of nothing.
    #[error("{name}: a logarithmic scale needs a lower bound above 0 (a whole number: from 1), not {low}")]
    LogLow { name: String, low: f64 },
    /// Logarithmic and stepped.
    #[error("{name}: log and step exclude each other; leave one out")]
    LogStep { name: String },
    /// A step that is no step.
    #[error("{name}: the step must be above 0, not {step}")]
    BadStep { name: String, step: f64 },
    /// A step that leaves only the lower bound.
    #[error("{name}: the step {step} is longer than the range from {low} to {high}; use `fixed` for one value")]
    LongStep {
        name: String,
        step: f64,
        low: f64,
        high: f64,
    },
    /// So many steps that neighbours are the same float.
    #[error("{name}: the step {step} divides the range into more than 2^53 values; leave it out")]
    TooFine { name: String, step: f64 },
    /// Whole numbers that floats cannot tell apart.
    #[error("{name}: whole numbers must lie within {largest} of 0")]
    TooLarge { name: String, largest: i64 },
    /// A choice of nothing.
    #[error("{name}: a choice needs at least one value")]
    NoChoices { name: String },
    /// The same value twice.
    #[error("{name}: the choice {value} stands twice")]
    DuplicateChoice { name: String, value: Value },
    /// A table that does not say exactly one of float, int, choice, fixed.
    #[error("{name}: exactly one of float, int, choice, fixed is needed, not {found}")]
    Kind { name: String, found: usize },
    /// A key beside a kind to which it means nothing.
    #[error("{name}: `{key}` means nothing beside `{kind}`")]
    Misplaced {
        name: String,
        key: &'static str,
        kind: &'static str,
    },
    /// A fraction where whole numbers are needed.
    #[error("{name}: the step of an int must be a whole number, not {step}")]
    FractionalStep { name: String, step: f64 },
    /// A condition on something that is not there.
    #[error("{name}: `when` names {parent:?}, which is not a parameter of this space")]
    UnknownParent { name: String, parent: String },
    /// A condition on a number without separate values.
    #[error("{name}: `when` names {parent}, a continuous number; give that one a step, or use an int or a choice")]
    ContinuousParent { name: String, parent: String },
    /// A condition that never holds.
    #[error("{name}: `when` waits for {parent} = {value}, but it is {allowed}")]
    NeverActive {
        name: String,
        parent: String,
        value: Value,
        allowed: Domain,
    },
    /// A condition without values.
    #[error("{name}: `when` lists no value of {parent}")]
    EmptyCondition { name: String, parent: String },
    /// Conditions that wait for each other.
    #[error("the conditions of {} wait for each other in a circle", names.join(", "))]
    Circle { names: Vec<String> },
    /// A constraint that cannot be read.
    #[error("constraint `{constraint}`, character {at}: {expected} expected")]
    Syntax {
        constraint: String,
        at: usize,
        expected: &'static str,
    },
    /// A constraint that is not linear.
    #[error("constraint `{constraint}` is not linear: only numbers times parameters, added up, divided by numbers")]
    NotLinear { constraint: String },
    /// A constraint about nothing.
    #[error("constraint `{constraint}` names no parameter that matters")]
    NoParameter { constraint: String },
    /// A constraint on something that is not there.
    #[error("constraint `{constraint}` names {name:?}, which is not a parameter of this space")]
    ConstraintName { constraint: String, name: String },
    /// A constraint on words.
    #[error("constraint `{constraint}`: {name} is not a number")]
    ConstraintNotNumber { constraint: String, name: String },
    /// Constraints that nothing seems to satisfy.
    #[error("none of {draws} random points satisfies the constraints ({}); widen the ranges or drop a constraint", constraints.join("; "))]
    Infeasible { draws: u32, constraints: Vec<String> },
    /// Values that break a constraint.
    #[error("the values violate a constraint ({})", constraints.join("; "))]
    Violated { constraints: Vec<String> },
    /// An active parameter without a value.
    #[error("{name}: no value given")]
    Missing { name: String },
    /// A value for a parameter whose condition does not hold.
    #[error("{name}: a value given, but its `when` does not hold")]
    Inactive { name: String },
    /// A value for nothing.
    #[error("{name:?} is not a parameter of this space")]
    Unknown { name: String },
    /// A value that the parameter cannot have.
    #[error("{name}: {value} given, allowed is {allowed}")]
    Outside {
        name: String,
        value: Value,
        allowed: Domain,
    },
}
