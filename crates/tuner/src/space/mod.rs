//! Search spaces: parameters with their ranges, when each is asked at all, and what must hold between them.
//!
//! Samplers work on *points*: one number in `[0, 1]` per parameter, in the order of [`Space::params`]. This module turns
//! points into values and back, the same way for every sampler: a float moves linearly or in its logarithm; whole numbers,
//! steps and choices divide the unit interval into cells, and a point is always put on the centre of its cell
//! ([`Space::snap`]), so that two points that mean the same values are the same point (Garrido-Merchan and
//! Hernandez-Lobato, "Dealing with categorical and integer-valued variables in Bayesian optimization", 2020).
//!
//! It proposes nothing by itself except uniform draws ([`Space::sample`]).
//!
//! - A space that was made is sound: every range is finite and not reversed, conditions name known parameters without a
//!   circle, constraints are linear over numeric parameters.
//! - A parameter whose condition does not hold is *inactive*: absent from [`Params`], and its coordinate is 0.5. A
//!   constraint that names an inactive parameter does not apply.

mod constraint;
mod domain;
mod error;
mod spec;
mod walk;

use std::collections::BTreeMap;
use std::fmt;

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

pub use constraint::Constraint;
pub use domain::{Coordinate, Domain};
pub use error::SpaceError;
pub use spec::ParamSpec;
pub use walk::Cardinality;

#[cfg(test)]
mod tests;

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; never NaN or infinite.
    Float(f64),
    /// A word.
    Text(String),
}

impl Value {
    /// The value as a number; `None` for words and truth values.
    pub fn number(&self) -> Option<f64> {
        match *self {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            Value::Bool(_) | Value::Text(_) => None,
        }
    }

    /// Whether both mean the same: `1` and `1.0` do.
    pub fn same(&self, other: &Value) -> bool {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => a == b,
            _ => self == other,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Text(value) => write!(f, "{value:?}"),
        }
    }
}

/// Values of the active parameters, by name.
pub type Params = BTreeMap<String, Value>;

/// One parameter of a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Unique in its space, for example the path `strategy.entry_bps`.
    pub name: String,
    /// What it may be.
    pub domain: Domain,
    /// Asked only while each of these parameters is active and has one of the values listed for it. Empty: always.
    pub when: Vec<(String, Vec<Value>)>,
}

impl Param {
    /// A parameter that is always asked.
    pub fn new(name: &str, domain: Domain) -> Param {
        Param {
            name: name.to_owned(),
            domain,
            when: Vec::new(),
        }
    }
}

/// A condition in terms of positions: the parent's place in the space, and those of its cells that make the child active.
#[derive(Debug, Clone)]
struct Gate {
    parent: usize,
    cells: Vec<u64>,
}

/// A checked search space.
#[derive(Debug, Clone)]
pub struct Space {
    params: Vec<Param>,
    constraints: Vec<Constraint>,
    /// Per constraint, the positions of its parameters, in the order of its terms.
    places: Vec<Vec<usize>>,
    /// Per parameter, all of which must be open.
    gates: Vec<Vec<Gate>>,
    /// Positions with every parent before its children.
    order: Vec<usize>,
}

/// Draws of [`Space::sample`] before it gives up on the constraints.
const DRAWS: u32 = 10_000;

impl Space {
    /// Checks and makes a space.
    ///
    /// # Errors
    /// Says which parameter or constraint is wrong and what is allowed. That something satisfies all constraints is not
    /// checked here but by the first [`Space::sample`].
    pub fn new(params: Vec<Param>, constraints: Vec<Constraint>) -> Result<Space, SpaceError> {
        if params.is_empty() {
            return Err(SpaceError::Empty);
        }
        let mut position = BTreeMap::new();
        for (index, param) in params.iter().enumerate() {
            if param.name.is_empty() {
                return Err(SpaceError::Unnamed { index });
            }
            if position.insert(param.name.as_str(), index).is_some() {
                return Err(SpaceError::DuplicateName {
                    name: param.name.clone(),
                });
            }
            param.domain.check(&param.name)?;
        }
        let mut gates = Vec::with_capacity(params.len());
        for param in &params {
            let mut own = Vec::with_capacity(param.when.len());
            for (parent, values) in &param.when {
                let &at = position.get(parent.as_str()).ok_or_else(|| SpaceError::UnknownParent {
                    name: param.name.clone(),
                    parent: parent.clone(),
                })?;
                own.push(gate(param, at, &params[at], values)?);
            }
            gates.push(own);
        }
        let order = order(&params, &gates)?;
        let mut places = Vec::with_capacity(constraints.len());
        for constraint in &constraints {
            let mut own = Vec::with_capacity(constraint.terms().len());
            for (name, _) in constraint.terms() {
                let &at = position.get(name.as_str()).ok_or_else(|| SpaceError::ConstraintName {
                    constraint: constraint.to_string(),
                    name: name.clone(),
                })?;
                if !params[at].domain.is_numeric() {
                    return Err(SpaceError::ConstraintNotNumber {
                        constraint: constraint.to_string(),
                        name: name.clone(),
                    });
                }
                own.push(at);
            }
            places.push(own);
        }
        Ok(Space {
            params,
            constraints,
            places,
            gates,
            order,
        })
    }

    /// The parameters, in the order of a point's coordinates.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// What must hold between parameters.
    pub fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// Number of parameters, fixed ones included: the length of a point.
    pub fn dimensions(&self) -> usize {
        self.params.len()
    }

    /// What kind of axis the parameter at this position is.
    pub fn coordinate(&self, index: usize) -> Coordinate {
        self.params[index].domain.coordinate()
    }

    /// Which parameters are active at a point.
    pub fn active(&self, point: &[f64]) -> Vec<bool> {
        let mut active = vec![false; self.params.len()];
        for &index in &self.order {
            active[index] = self.gates[index].iter().all(|gate| {
                active[gate.parent]
                    && gate
                        .cells
                        .contains(&self.params[gate.parent].domain.cell(point[gate.parent]))
            });
        }
        active
    }

    /// Puts each coordinate into `[0, 1]`, on the centre of its cell where the parameter has cells, and on 0.5 where it is
    /// inactive.
    pub fn snap(&self, point: &mut [f64]) {
        for (param, u) in self.params.iter().zip(point.iter_mut()) {
            *u = param.domain.snap(*u);
        }
        if self.gates.iter().all(Vec::is_empty) {
            return;
        }
        for (active, u) in self.active(point).into_iter().zip(point.iter_mut()) {
            if !active {
                *u = 0.5;
            }
        }
    }

    /// Whether every constraint that applies at a point holds there.
    pub fn feasible(&self, point: &[f64]) -> bool {
        if self.constraints.is_empty() {
            return true;
        }
        let active = self.active(point);
        self.constraints.iter().zip(&self.places).all(|(constraint, places)| {
            !places.iter().all(|&at| active[at])
                || constraint.holds(|term| {
                    let at = places[term];
                    self.params[at].domain.number(point[at])
                })
        })
    }

    /// The values at a point: active parameters only.
    pub fn decode(&self, point: &[f64]) -> Params {
        let active = self.active(point);
        self.params
            .iter()
            .zip(point)
            .zip(active)
            .filter(|(_, active)| *active)
            .map(|((param, &u), _)| (param.name.clone(), param.domain.value(u)))
            .collect()
    }

    /// The snapped point of these values.
    ///
    /// # Errors
    /// When a value is missing, not allowed, given for an inactive or unknown parameter, or a constraint does not hold.
    pub fn encode(&self, params: &Params) -> Result<Vec<f64>, SpaceError> {
        let mut point = vec![0.5; self.params.len()];
        for (param, u) in self.params.iter().zip(point.iter_mut()) {
            if let Some(value) = params.get(&param.name) {
                *u = param.domain.unit(value).ok_or_else(|| SpaceError::Outside {
                    name: param.name.clone(),
                    value: value.clone(),
                    allowed: param.domain.clone(),
                })?;
            }
        }
        for (param, active) in self.params.iter().zip(self.active(&point)) {
            if active != params.contains_key(&param.name) {
                let name = param.name.clone();
                return Err(if active {
                    SpaceError::Missing { name }
                } else {
                    SpaceError::Inactive { name }
                });
            }
        }
        if let Some(name) = params
            .keys()
            .find(|&name| !self.params.iter().any(|param| param.name == *name))
        {
            return Err(SpaceError::Unknown { name: name.clone() });
        }
        self.snap(&mut point);
        if !self.feasible(&point) {
            return Err(SpaceError::Violated {
                constraints: self.constraint_texts(),
            });
        }
        Ok(point)
    }

    /// What makes a point the same trial as another: the cell of each coordinate, the bits of a continuous one's value.
    /// Neighbouring coordinates can mean the same number.
    pub fn key(&self, point: &[f64]) -> Vec<u64> {
        let active = self.active(point);
        let cell = |(index, &u): (usize, &f64)| match (active[index], self.coordinate(index)) {
            (false, _) => u64::MAX,
            (true, Coordinate::Continuous) => self.params[index].domain.number(u).to_bits(),
            (true, _) => self.params[index].domain.cell(u),
        };
        point.iter().enumerate().map(cell).collect()
    }

    /// A uniform draw (in the encoding: log-uniform where the scale is logarithmic) among the points that satisfy the
    /// constraints, snapped.
    ///
    /// # Errors
    /// When 10,000 draws in a row violate the constraints.
    pub fn sample(&self, rng: &mut Rng) -> Result<Vec<f64>, SpaceError> {
        let mut point = vec![0.0; self.params.len()];
        for _ in 0..DRAWS {
            for u in &mut point {
                *u = rng.uniform();
            }
            self.snap(&mut point);
            if self.feasible(&point) {
                return Ok(point);
            }
        }
        Err(SpaceError::Infeasible {
            draws: DRAWS,
            constraints: self.constraint_texts(),
        })
    }

    fn constraint_texts(&self) -> Vec<String> {
        self.constraints.iter().map(Constraint::to_string).collect()
    }
}

/// Turns the values of a condition into cells of the parent.
fn gate(param: &Param, at: usize, parent: &Param, values: &[Value]) -> Result<Gate, SpaceError> {
    if matches!(parent.domain.coordinate(), Coordinate::Continuous) {
        return Err(SpaceError::ContinuousParent {
            name: param.name.clone(),
            parent: parent.name.clone(),
        });
    }
    let mut cells = Vec::with_capacity(values.len());
    for value in values {
        match parent.domain.unit(value) {
            Some(u) => cells.push(parent.domain.cell(u)),
            // Fixing a parent is how its children are switched off.
            None if matches!(parent.domain, Domain::Fixed(_)) => {}
            None => {
                return Err(SpaceError::NeverActive {
                    name: param.name.clone(),
                    parent: parent.name.clone(),
                    value: value.clone(),
                    allowed: parent.domain.clone(),
                });
            }
        }
    }
    if values.is_empty() {
        return Err(SpaceError::EmptyCondition {
            name: param.name.clone(),
            parent: parent.name.clone(),
        });
    }
    Ok(Gate { parent: at, cells })
}

/// Positions with parents first, else as given; an error names those that wait for each other.
fn order(params: &[Param], gates: &[Vec<Gate>]) -> Result<Vec<usize>, SpaceError> {
    let mut order = Vec::with_capacity(params.len());
    let mut placed = vec![false; params.len()];
    while order.len() < params.len() {
        let before = order.len();
        for index in 0..params.len() {
            if !placed[index] && gates[index].iter().all(|gate| placed[gate.parent]) {
                placed[index] = true;
                order.push(index);
            }
        }
        if order.len() == before {
            let names = (0..params.len())
                .filter(|&index| !placed[index])
                .map(|index| params[index].name.clone())
                .collect();
            return Err(SpaceError::Circle { names });
        }
    }
    Ok(order)
}
