//! Plateau or needle: how much of the best objective is left when every parameter is a little off.
//!
//! The neighbourhood of a point is the box of [`HALF_WIDTH`] of the range (of its logarithm, where that is the scale) to either
//! side of every numeric parameter, cut at the range's ends; whole numbers and steps move by one step at least. Choices,
//! fixed and inactive parameters stay: another choice is another strategy and not a neighbour.
//!
//! The score is the median objective in the box over the objective at the point. Which neighbours it is taken of matters more than
//! how: a sampler that has converged tried few points off its path, a random one has none within 5 % in more than three
//! dimensions, and a surrogate (forest or Gaussian process) smooths the very needle that is looked for, or sees one where it
//! only lacks data. So the believable source is to evaluate neighbours on purpose ([`neighbours`]): they cost what so many
//! trials cost, are never candidates, and therefore do not count as tried. Where that cannot be done, [`tried`] takes what
//! the session has, and says how far it had to reach.

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

use crate::space::{Coordinate, Space};

/// Half the box, as a share of a parameter's range.
pub const HALF_WIDTH: f64 = 0.05;

/// Neighbours evaluated unless said otherwise: the median's own error is then about a quarter of their spread.
pub const NEIGHBOURS: usize = 24;

/// Draws for one neighbour before the constraints are given up on.
const DRAWS: usize = 200;

/// Where neighbours came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Evaluated for this purpose, uniform in the box.
    Evaluated,
    /// Trials of the session that happened to lie in the box.
    Tried,
    /// The nearest trials of the session, some or all of them outside the box.
    Nearest,
}

/// How flat it is around a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Median objective of the neighbours over that of the point: 1 on a plateau, small or negative on a needle; above 1
    /// when the neighbours are better.
    pub score: f64,
    /// How many neighbours.
    pub neighbours: usize,
    /// Where they came from.
    pub source: Source,
    /// The largest distance of one of them along a single parameter, as a share of its range.
    pub reach: f64,
}

/// Points around a point, uniform in its box, none of them the point itself, none twice, all feasible. Fewer than `count` (even none)
/// when the space does not have so many there.
pub fn neighbours(space: &Space, point: &[f64], count: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Rng::stream(seed, "neighbours");
    let active = space.active(point);
    let widths: Vec<f64> = (0..point.len()).map(|at| half_width(space, &active, at)).collect();
    let own = space.key(point);
    let mut seen = vec![own];
    let mut found = Vec::new();
    for _ in 0..count.saturating_mul(DRAWS) {
        if found.len() == count {
            break;
        }
        let mut near: Vec<f64> = point
            .iter()
            .zip(&widths)
            .map(|(&u, &width)| {
                let (low, high) = ((u - width).max(0.0), (u + width).min(1.0));
                low + (high - low) * rng.uniform()
            })
            .collect();
        space.snap(&mut near);
        // A parent that is a number may switch a child on or off: that is another strategy.
        if !space.feasible(&near) || space.active(&near) != active {
            continue;
        }
        let key = space.key(&near);
        if !seen.contains(&key) {
            seen.push(key);
            found.push(near);
        }
    }
    found
}

/// Half the box along one parameter, in the unit interval; zero where there is none.
fn half_width(space: &Space, active: &[bool], at: usize) -> f64 {
    match space.coordinate(at) {
        _ if !active[at] => 0.0,
        Coordinate::Continuous => HALF_WIDTH,
        // A cell is 1 / n wide; one and a half reach to the far ends of the next ones.
        Coordinate::Ordered(cells) if cells > 1 => HALF_WIDTH.max(1.5 / cells as f64),
        Coordinate::Ordered(_) | Coordinate::Choice(_) => 0.0,
    }
}

/// The score of a point with objective `peak` from its neighbours' objectives (more is better; `None`: failed, or scored by rule, and
/// so worse than any number). `None` without neighbours, unless `peak` is positive (a share of nothing or of a loss says
/// nothing), and when the median neighbour failed: there is no figure for that, and no plateau.
pub fn evaluated(space: &Space, point: &[f64], peak: f64, around: &[(Vec<f64>, Option<f64>)]) -> Option<Plateau> {
    let reach = around
        .iter()
        .map(|(near, _)| distance(space, point, near).unwrap_or(1.0))
        .fold(0.0, f64::max);
    let values: Vec<Option<f64>> = around.iter().map(|(_, value)| *value).collect();
    Some(Plateau {
        score: score(peak, &values)?,
        neighbours: around.len(),
        source: Source::Evaluated,
        reach,
    })
}

/// The same from trials that were made anyway: those in the box if there are at least `enough` of them, else the `enough` nearest
/// (largest distance along a parameter; ties by order) with the same choices and active parameters. Biased upwards where a
/// sampler kept to good places, so it is only the second best source.
pub fn tried(
    space: &Space,
    point: &[f64],
    peak: f64,
    trials: &[(Vec<f64>, Option<f64>)],
    enough: usize,
) -> Option<Plateau> {
    let own = space.key(point);
    let active = space.active(point);
    let in_box = |near: &[f64]| {
        (0..point.len()).all(|at| (near[at] - point[at]).abs() <= half_width(space, &active, at) + 1e-12)
    };
    let mut near: Vec<(f64, bool, Option<f64>)> = trials
        .iter()
        .filter(|(other, _)| space.key(other) != own)
        .filter_map(|(other, value)| Some((distance(space, point, other)?, in_box(other), *value)))
        .collect();
    let inside = near.iter().filter(|(_, inside, _)| *inside).count();
    let source = if inside >= enough.max(1) {
        near.retain(|(_, inside, _)| *inside);
        Source::Tried
    } else {
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.truncate(enough);
        Source::Nearest
    };
    let values: Vec<Option<f64>> = near.iter().map(|(_, _, value)| *value).collect();
    Some(Plateau {
        score: score(peak, &values)?,
        neighbours: near.len(),
        source,
        reach: near.iter().map(|(distance, _, _)| *distance).fold(0.0, f64::max),
    })
}

/// Largest distance along a parameter; `None` when choices or active parameters differ.
fn distance(space: &Space, a: &[f64], b: &[f64]) -> Option<f64> {
    if space.active(a) != space.active(b) {
        return None;
    }
    let mut most = 0.0f64;
    for at in 0..a.len() {
        let apart = (a[at] - b[at]).abs();
        match space.coordinate(at) {
            Coordinate::Choice(_) if apart > 0.0 => return None,
            _ => most = most.max(apart),
        }
    }
    Some(most)
}

fn score(peak: f64, values: &[Option<f64>]) -> Option<f64> {
    if !(peak > 0.0 && peak.is_finite()) || values.is_empty() {
        return None;
    }
    let mut sorted: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::NEG_INFINITY)).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    };
    (median.is_finite()).then_some(median / peak)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Constraint, Domain, Param, Value};

    fn words(words: &[&str]) -> Domain {
        Domain::Choice(words.iter().map(|word| Value::Text((*word).to_owned())).collect())
    }

    fn space() -> Space {
        let params = vec![
            Param::new("x", Domain::float(0.0, 10.0)),
            Param::new("n", Domain::int(0, 9)),
            Param::new("kind", words(&["a", "b"])),
            Param {
                name: "of_b".to_owned(),
                domain: Domain::float(0.0, 1.0),
                when: vec![("kind".to_owned(), vec![Value::Text("b".to_owned())])],
            },
        ];
        Space::new(params, vec![]).unwrap()
    }

    fn point(space: &Space, x: f64, n: f64) -> Vec<f64> {
        let mut point = vec![x, n, 0.25, 0.5];
        space.snap(&mut point);
        point
    }

    #[test]
    fn neighbours_lie_in_the_box_and_keep_what_is_not_a_number() {
        let space = space();
        let at = point(&space, 0.01, 0.5);
        let near = neighbours(&space, &at, 40, 1);
        assert_eq!(near.len(), 40);
        assert_eq!(near, neighbours(&space, &at, 40, 1), "same seed, same neighbours");
        for other in &near {
            assert!((0.0..=0.06 + 1e-12).contains(&other[0]), "{other:?}");
            // Whole numbers: one step to either side and no more.
            assert!((other[1] - at[1]).abs() <= 0.1 + 1e-12, "{other:?}");
            assert_eq!(other[2..], at[2..], "{other:?}");
        }
        let steps = |k: f64| near.iter().filter(|other| (other[1] - at[1] - k).abs() < 1e-9).count();
        assert!([-0.1, 0.0, 0.1].iter().all(|k| steps(*k) > 4));
    }

    #[test]
    fn a_space_without_neighbours_gives_none_and_constraints_hold() {
        let fixed = Space::new(vec![Param::new("k", words(&["a", "b"]))], vec![]).unwrap();
        assert_eq!(neighbours(&fixed, &[0.25], 8, 1), Vec::<Vec<f64>>::new());
        let few = Space::new(vec![Param::new("n", Domain::int(0, 9))], vec![]).unwrap();
        assert_eq!(neighbours(&few, &[0.55], 8, 1).len(), 2);
        let params = vec![
            Param::new("x", Domain::float(0.0, 1.0)),
            Param::new("y", Domain::float(0.0, 1.0)),
        ];
        let space = Space::new(params, vec![Constraint::parse("x < y").unwrap()]).unwrap();
        let near = neighbours(&space, &[0.5, 0.51], 30, 1);
        assert!(near.len() == 30 && near.iter().all(|p| p[0] < p[1]));
    }

    #[test]
    fn a_plateau_scores_near_one_and_a_needle_near_nothing() {
        let space = space();
        let at = point(&space, 0.5, 0.5);
        let score = |f: &dyn Fn(f64) -> f64| {
            let around: Vec<(Vec<f64>, Option<f64>)> = neighbours(&space, &at, NEIGHBOURS, 1)
                .into_iter()
                .map(|p| (p.clone(), Some(f(p[0] - at[0]))))
                .collect();
            evaluated(&space, &at, f(0.0), &around).unwrap()
        };
        let flat = score(&|d| 100.0 - 400.0 * d * d);
        assert!(flat.score > 0.99 && flat.source == Source::Evaluated, "{flat:?}");
        assert!(flat.reach > 0.04 && flat.reach <= 0.1 + 1e-12 && flat.neighbours == NEIGHBOURS);
        let needle = score(&|d| if d.abs() < 0.002 { 100.0 } else { 5.0 });
        assert!((needle.score - 0.05).abs() < 1e-12, "{needle:?}");
        let cliff = score(&|d| if d.abs() < 0.01 { 100.0 } else { -50.0 });
        assert!(cliff.score < 0.0, "{cliff:?}");
    }

    #[test]
    fn undefined_scores_are_none_and_failures_are_the_worst() {
        let space = space();
        let at = point(&space, 0.5, 0.5);
        let around = |values: &[Option<f64>]| -> Vec<(Vec<f64>, Option<f64>)> {
            values.iter().map(|value| (at.clone(), *value)).collect()
        };
        let score = |peak: f64, values: &[Option<f64>]| evaluated(&space, &at, peak, &around(values)).map(|p| p.score);
        type Case<'a> = (f64, &'a [Option<f64>], Option<f64>);
        let cases: [Case<'_>; 7] = [
            (10.0, &[Some(8.0), Some(9.0), Some(1.0)], Some(0.8)),
            (10.0, &[Some(8.0), Some(9.0), None], Some(0.8)),
            (10.0, &[Some(8.0), Some(9.0), None, Some(7.0)], Some(0.75)),
            (10.0, &[Some(8.0), None, None], None),
            (10.0, &[], None),
            (0.0, &[Some(1.0)], None),
            (-5.0, &[Some(-5.0)], None),
        ];
        for (peak, values, want) in cases {
            assert_eq!(score(peak, values), want, "{peak} {values:?}");
        }
    }

    #[test]
    fn tried_trials_serve_when_enough_lie_in_the_box_else_the_nearest() {
        let space = space();
        let at = point(&space, 0.5, 0.5);
        let trial = |x: f64, kind: f64, value: f64| {
            let mut point = vec![x, 0.5, kind, 0.5];
            space.snap(&mut point);
            (point, Some(value))
        };
        let mut trials = vec![
            trial(0.5, 0.25, 10.0),  // the point itself
            trial(0.52, 0.25, 8.0),  // in the box
            trial(0.46, 0.25, 6.0),  // in the box
            trial(0.58, 0.25, 4.0),  // outside
            trial(0.9, 0.25, 1.0),   // far
            trial(0.51, 0.75, -9.0), // another choice
        ];
        let got = tried(&space, &at, 10.0, &trials, 2).unwrap();
        assert_eq!((got.source, got.neighbours, got.score), (Source::Tried, 2, 0.7));
        let got = tried(&space, &at, 10.0, &trials, 3).unwrap();
        assert_eq!((got.source, got.neighbours, got.score), (Source::Nearest, 3, 0.6));
        assert!((got.reach - 0.08).abs() < 1e-9);
        trials.truncate(1);
        assert_eq!(tried(&space, &at, 10.0, &trials, 3), None);
    }
}
