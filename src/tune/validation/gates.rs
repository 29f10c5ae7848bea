//! What a winner must reach, and whether it does.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FoldReport, Walk};

/// What a winner must reach to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// Least deflated Sharpe ratio.
    pub deflated_sharpe: f64,
    /// Largest probability of backtest overfitting.
    pub pbo: f64,
    /// Least walk-forward efficiency.
    pub efficiency: f64,
    /// Least plateau score.
    pub plateau: f64,
    /// Fewest round trips in sample; the objective's own demand where that is more.
    pub round_trips: u64,
}

impl Default for Gates {
    fn default() -> Gates {
        Gates {
            deflated_sharpe: 0.95,
            pbo: 0.2,
            efficiency: 0.5,
            plateau: 0.7,
            round_trips: 30,
        }
    }
}

/// Which figure a gate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Deflated Sharpe ratio.
    DeflatedSharpe,
    /// Probability of backtest overfitting.
    Pbo,
    /// Walk-forward efficiency.
    Efficiency,
    /// Plateau score.
    Plateau,
    /// Round trips in sample.
    RoundTrips,
    /// Result of the worst stressed case.
    Stress,
}

/// One demand and what it met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What it is about.
    pub figure: Figure,
    /// What was found; `None`: not defined, which does not pass.
    pub value: Option<f64>,
    /// What is asked: at least this, or at most for the probability of overfitting.
    pub threshold: f64,
    /// Whether it holds.
    pub passed: bool,
}

impl Gates {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The key that is wrong, and what is allowed.
    pub(in crate::tune) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let shares = [("deflated_sharpe", self.deflated_sharpe), ("pbo", self.pbo)];
        if let Some((key, _)) = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err((key, "0 to 1 is allowed"));
        }
        let ratios = [("efficiency", self.efficiency), ("plateau", self.plateau)];
        if let Some((key, _)) = ratios.into_iter().find(|(_, ratio)| !(-10.0..=10.0).contains(ratio)) {
            return Err((key, "-10 to 10 is allowed"));
        }
        if self.round_trips > 1_000_000_000 {
            return Err(("round_trips", "0 to 1000000000 is allowed"));
        }
        Ok(())
    }

    /// The gates of a session, by its last fold and the joined walk.
    pub(super) fn of(&self, fold: Option<&FoldReport>, walk: Option<&Walk>, min_round_trips: u64) -> Vec<Gate> {
        let winner = fold.and_then(|fold| fold.winner.as_ref());
        let trips = winner
            .and_then(|winner| winner.train)
            .map(|train| train.round_trips as f64);
        let least = self.round_trips.max(min_round_trips) as f64;
        let deflated = fold.and_then(|fold| fold.luck?.deflated_sharpe);
        let pbo = fold.and_then(|fold| Some(fold.overfitting.as_ref()?.pbo));
        let plateau = fold.and_then(|fold| Some(fold.plateau?.score));
        let mut gates = vec![
            at_least(Figure::DeflatedSharpe, deflated, self.deflated_sharpe),
            Gate {
                figure: Figure::Pbo,
                value: pbo,
                threshold: self.pbo,
                passed: pbo.is_some_and(|pbo| pbo <= self.pbo),
            },
            at_least(
                Figure::Efficiency,
                walk.and_then(|walk| walk.efficiency),
                self.efficiency,
            ),
            at_least(Figure::Plateau, plateau, self.plateau),
            at_least(Figure::RoundTrips, trips, least),
        ];
        if let Some(worst) = winner.and_then(|winner| winner.worst_stress) {
            gates.push(at_least(Figure::Stress, Some(worst), 0.0));
        }
        gates
    }
}

fn at_least(figure: Figure, value: Option<f64>, threshold: f64) -> Gate {
    Gate {
        figure,
        value,
        threshold,
        passed: value.is_some_and(|value| value >= threshold),
    }
}

impl Gate {
    /// What it is called.
    pub fn label(&self) -> &'static str {
        match self.figure {
            Figure::DeflatedSharpe => "deflated Sharpe ratio",
            Figure::Pbo => "probability of overfitting",
            Figure::Efficiency => "walk-forward efficiency",
            Figure::Plateau => "plateau score",
            Figure::RoundTrips => "round trips in sample",
            Figure::Stress => "result of the worst stress",
        }
    }

    /// Whether it asks if luck would have done as well.
    pub fn is_of_luck(&self) -> bool {
        matches!(self.figure, Figure::DeflatedSharpe | Figure::Pbo)
    }

    /// The figure and what is asked of it: `0.412 (at least 0.95)`.
    pub fn demand(&self) -> String {
        let word = if self.figure == Figure::Pbo {
            "at most"
        } else {
            "at least"
        };
        let digits = match self.figure {
            Figure::RoundTrips | Figure::Stress => 0,
            _ => 3,
        };
        match self.value {
            Some(value) => format!("{value:.digits$} ({word} {})", self.threshold),
            None => format!("not defined ({word} {})", self.threshold),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.label(), self.demand())
    }
}
