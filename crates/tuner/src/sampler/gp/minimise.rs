//! Minimising smooth functions by L-BFGS, from the argmin crate.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

/// Corrections that L-BFGS remembers.
const MEMORY: usize = 7;

/// A function with its gradient, evaluated together, that remembers the best point it has met.
struct Remembering<F> {
    function: F,
    state: RefCell<Memory>,
}

struct Memory {
    /// Where the last evaluation was: the solver asks for cost and gradient of a point one after the other.
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    best: Vec<f64>,
    least: f64,
    left: usize,
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> Remembering<F> {
    fn evaluate<T>(&self, x: &[f64], take: impl Fn(&Memory) -> T) -> Result<T, Error> {
        let memory = &mut *self.state.borrow_mut();
        if memory.at != x {
            if memory.left == 0 {
                return Err(Error::msg("the evaluations are used up"));
            }
            memory.left -= 1;
            memory.value = (self.function)(x, &mut memory.gradient);
            memory.at = x.to_vec();
            if memory.value < memory.least {
                memory.least = memory.value;
                memory.best = x.to_vec();
            }
        }
        Ok(take(memory))
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> CostFunction for &Remembering<F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
        self.evaluate(x, |memory| memory.value)
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> f64> Gradient for &Remembering<F> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, x: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.evaluate(x, |memory| memory.gradient.clone())
    }
}

/// Minimises `function`, which returns the value and writes the gradient, from `start` with at most `evaluations` calls.
/// Returns the best point that was met, and its value. However the search ends, by convergence, a failed line search or
/// because the calls are used up, the answer is never worse than the start.
pub fn minimise<F: Fn(&[f64], &mut [f64]) -> f64>(
    start: &[f64],
    evaluations: usize,
    tolerance: f64,
    function: F,
) -> (Vec<f64>, f64) {
    let problem = Remembering {
        function,
        state: RefCell::new(Memory {
            at: Vec::new(),
            value: f64::INFINITY,
            gradient: vec![0.0; start.len()],
            best: start.to_vec(),
            least: f64::INFINITY,
            left: evaluations,
        }),
    };
    let line = MoreThuenteLineSearch::new()
        .with_c(1e-4, 0.9)
        .and_then(|line| line.with_bounds(1e-10, 1e3));
    let solver = line.and_then(|line| {
        LBFGS::new(line, MEMORY)
            .with_tolerance_grad(tolerance)?
            .with_tolerance_cost(tolerance * 1e-2)
    });
    if let Ok(solver) = solver {
        // An error is how the search ends when the evaluations are used up.
        let _ = Executor::new(&problem, solver)
            .configure(|state| state.param(start.to_vec()).max_iters(evaluations as u64))
            .timer(false)
            .run();
    }
    let memory = problem.state.into_inner();
    (memory.best, memory.least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrock_is_minimised_and_the_bound_on_calls_kept() {
        let rosenbrock = |x: &[f64], gradient: &mut [f64]| {
            let (a, b) = (x[1] - x[0] * x[0], 1.0 - x[0]);
            gradient[0] = -400.0 * a * x[0] - 2.0 * b;
            gradient[1] = 200.0 * a;
            100.0 * a * a + b * b
        };
        let (x, value) = minimise(&[-1.2, 1.0], 200, 1e-8, rosenbrock);
        assert!(value < 1e-10, "{x:?} {value}");
        let calls = std::cell::Cell::new(0);
        let (_, short) = minimise(&[-1.2, 1.0], 9, 1e-8, |x, gradient| {
            calls.set(calls.get() + 1);
            rosenbrock(x, gradient)
        });
        assert!(calls.get() <= 9 && short < 24.2, "{} calls, {short}", calls.get());
    }
}
