//! Which parameters matter: functional analysis of variance over a random forest.
//!
//! F. Hutter, H. Hoos, K. Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014. A forest is
//! fitted to the trials; the variance of its prediction over the whole space (uniform in the encoding of
//! [`crate::space`]) is then split exactly into the part of each parameter by itself, that of each pair, and the rest.
//!
//! - It speaks of the whole space, not of the neighbourhood of the best: that is what `guards::plateau` is for.
//! - An inactive parameter is given a random value (seeded). On a fixed one, such as the middle of the encoding, all trials
//!   without it would pile up, and the forest would read off that pile which branch they belong to. Its share is
//!   that of a function in which it does nothing where it is not asked; the choice that switches it gets the effect of switching.
//! - [`Importance::explained`] says how far the forest can be believed; without it the shares of a forest that fits noise look like
//!   any other.
//! - The same trials in another order, told with the same seed, may give slightly other shares; the same input the same bits.

mod forest;

use crossbook_engine::rng::Rng;
use serde::{Deserialize, Serialize};

use crate::space::{Coordinate, Space};
use forest::{Axis, Data, Leaf, MOST_CHOICES, Side};

/// Trees of a forest.
pub const TREES: usize = 64;

/// Fewest trials: below, a forest says nothing.
pub const FEWEST: usize = 10;

/// Trials beyond this are thinned evenly, for time: shares change little with more.
const MOST: usize = 4000;

/// How the variance of the objective over the space is shared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// Each parameter by itself, in the order of the space; shares of the whole variance.
    pub main: Vec<Share>,
    /// Pairs beyond what each does by itself, largest first, only those of at least 1 %.
    pub pairs: Vec<PairShare>,
    /// Share of the variance of trials that a tree had not seen which the forest predicts (out-of-bag R²); about zero or
    /// below: noise, and the shares mean nothing. `None` when the objective is constant.
    pub explained: Option<f64>,
    /// The objective is the same everywhere: all shares are zero.
    pub constant: bool,
    /// Trials that it is taken from.
    pub trials: usize,
}

/// One parameter's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Its name.
    pub param: String,
    /// Share of the variance, in `[0, 1]`.
    pub share: f64,
}

/// A pair's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairShare {
    /// Both names, in the order of the space.
    pub params: (String, String),
    /// Share of the variance, in `[0, 1]`.
    pub share: f64,
}

/// Shares of the parameters in the variance of the objective, from trials as (snapped point, objective). Trials whose objective is not
/// finite are left out. `None` for fewer than [`FEWEST`].
pub fn importance(space: &Space, trials: &[(Vec<f64>, f64)], seed: u64) -> Option<Importance> {
    let axes: Vec<Axis> = (0..space.dimensions())
        .map(|at| match space.coordinate(at) {
            Coordinate::Choice(of) if of <= MOST_CHOICES => Axis::Choice(of as u32),
            _ => Axis::Number,
        })
        .collect();
    let usable: Vec<&(Vec<f64>, f64)> = trials.iter().filter(|(_, value)| value.is_finite()).collect();
    if usable.len() < FEWEST {
        return None;
    }
    let thin = usable.len().div_ceil(MOST);
    let mut rng = Rng::stream(seed, "importance");
    let (rows, mut values): (Vec<Vec<f64>>, Vec<f64>) = usable
        .iter()
        .step_by(thin)
        .map(|(point, value)| (row(space, &axes, point, &mut rng), *value))
        .unzip();
    let count = rows.len();
    let name = |at: usize| space.params()[at].name.clone();
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| {
            (low.min(x), high.max(x))
        });
    let constant = high - low <= 1e-12 * high.abs().max(low.abs());
    let mut main = vec![0.0; axes.len()];
    let mut pairs = vec![vec![0.0; axes.len()]; axes.len()];
    let mut explained = None;
    if !constant {
        // Into [0, 1], so that no square overflows or vanishes.
        values
            .iter_mut()
            .for_each(|x| *x = (*x / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0));
        let data = Data {
            axes: &axes,
            rows: &rows,
            values: &values,
        };
        let mut unseen = vec![(0.0, 0u32); count];
        let mut counted = 0.0;
        for _ in 0..TREES {
            let tree = forest::grow(&data, &mut rng);
            for (row, value) in tree.left_out {
                unseen[row].0 += value;
                unseen[row].1 += 1;
            }
            counted += f64::from(u8::from(shares(&tree.leaves, &mut main, &mut pairs)));
        }
        // Trees without any variance of their own (a bootstrap sample of one value) have no shares.
        let mean = |x: &mut f64| {
            *x = if counted > 0.0 {
                (*x / counted).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        main.iter_mut().for_each(mean);
        pairs.iter_mut().flatten().for_each(mean);
        explained = r_squared(&values, &unseen);
    }
    let mut pairs: Vec<PairShare> = (0..axes.len())
        .flat_map(|a| (a + 1..axes.len()).map(move |b| (a, b)))
        .filter(|&(a, b)| pairs[a][b] >= 0.01)
        .map(|(a, b)| PairShare {
            params: (name(a), name(b)),
            share: pairs[a][b],
        })
        .collect();
    pairs.sort_by(|a, b| b.share.total_cmp(&a.share));
    let share = |(at, share)| Share { param: name(at), share };
    Some(Importance {
        main: main.into_iter().enumerate().map(share).collect(),
        pairs,
        explained,
        constant,
        trials: count,
    })
}

/// A point with choices as indices, and with drawn values for what is inactive.
fn row(space: &Space, axes: &[Axis], point: &[f64], rng: &mut Rng) -> Vec<f64> {
    let mut row = Vec::with_capacity(axes.len());
    for ((axis, &u), active) in axes.iter().zip(point).zip(space.active(point)) {
        let u = if active { u } else { rng.uniform() };
        row.push(match *axis {
            Axis::Number => u,
            Axis::Choice(of) => (u * f64::from(of)).floor().clamp(0.0, f64::from(of - 1)),
        });
    }
    row
}

/// Adds a tree's shares to the sums; `false` if it is constant.
fn shares(leaves: &[Leaf], main: &mut [f64], pairs: &mut [Vec<f64>]) -> bool {
    let dims = main.len();
    let volumes: Vec<f64> = leaves
        .iter()
        .map(|leaf| leaf.sides.iter().map(Side::width).product())
        .collect();
    let mean: f64 = leaves.iter().zip(&volumes).map(|(leaf, v)| leaf.value * v).sum();
    let square = |x: f64| (x - mean) * (x - mean);
    let whole: f64 = leaves
        .iter()
        .zip(&volumes)
        .map(|(leaf, v)| square(leaf.value) * v)
        .sum();
    if whole <= 1e-18 {
        return false;
    }
    let pieces: Vec<Pieces> = (0..dims).map(|axis| Pieces::of(leaves, axis)).collect();
    let mut own = vec![0.0; dims];
    for (axis, pieces) in pieces.iter().enumerate() {
        // The prediction with this parameter held in a piece, the others averaged out.
        let mut marginal = vec![0.0; pieces.widths.len()];
        for (leaf, volume) in leaves.iter().zip(&volumes) {
            let density = leaf.value * volume / leaf.sides[axis].width();
            pieces.visit(&leaf.sides[axis], |piece| marginal[piece] += density);
        }
        own[axis] = marginal.iter().zip(&pieces.widths).map(|(m, w)| square(*m) * w).sum();
        main[axis] += own[axis] / whole;
    }
    for a in 0..dims {
        for b in a + 1..dims {
            let (one, other) = (&pieces[a], &pieces[b]);
            if one.widths.len() < 2 || other.widths.len() < 2 {
                continue;
            }
            let columns = other.widths.len();
            // Differences along b, summed up below: a leaf then costs its pieces along a only.
            let mut marginal = vec![0.0; one.widths.len() * (columns + 1)];
            for (leaf, volume) in leaves.iter().zip(&volumes) {
                let density = leaf.value * volume / (leaf.sides[a].width() * leaf.sides[b].width());
                one.visit(&leaf.sides[a], |i| {
                    let row = &mut marginal[i * (columns + 1)..(i + 1) * (columns + 1)];
                    other.runs(&leaf.sides[b], |from, to| {
                        row[from] += density;
                        row[to] -= density;
                    });
                });
            }
            let mut both = 0.0;
            for (i, width) in one.widths.iter().enumerate() {
                let mut value = 0.0;
                for (j, other) in other.widths.iter().enumerate() {
                    value += marginal[i * (columns + 1) + j];
                    both += square(value) * width * other;
                }
            }
            pairs[a][b] += (both - own[a] - own[b]).max(0.0) / whole;
        }
    }
    true
}

/// The finest division of an axis by a tree's leaves.
struct Pieces {
    /// Ends between pieces of a number, sorted, without 0 and 1; empty for a choice.
    ends: Vec<f64>,
    /// Share of the axis of each piece.
    widths: Vec<f64>,
}

impl Pieces {
    fn of(leaves: &[Leaf], axis: usize) -> Pieces {
        let mut ends = Vec::new();
        for leaf in leaves {
            match leaf.sides[axis] {
                Side::Interval(low, _) if low > 0.0 => ends.push(low),
                Side::Interval(..) => {}
                Side::Set(_, of) => {
                    return Pieces {
                        ends,
                        widths: vec![1.0 / f64::from(of); of as usize],
                    };
                }
            }
        }
        ends.sort_by(f64::total_cmp);
        ends.dedup();
        let mut widths = Vec::with_capacity(ends.len() + 1);
        let mut last = 0.0;
        for &end in ends.iter().chain([&1.0]) {
            widths.push(end - last);
            last = end;
        }
        Pieces { ends, widths }
    }

    /// The runs of pieces that make up a side, as `from..to`.
    fn runs(&self, side: &Side, mut run: impl FnMut(usize, usize)) {
        match *side {
            Side::Interval(low, high) => run(
                self.ends.partition_point(|end| *end <= low),
                self.ends.partition_point(|end| *end < high) + 1,
            ),
            Side::Set(bits, of) => (0..of as usize)
                .filter(|choice| bits >> choice & 1 == 1)
                .for_each(|choice| run(choice, choice + 1)),
        }
    }

    fn visit(&self, side: &Side, mut piece: impl FnMut(usize)) {
        self.runs(side, |from, to| (from..to).for_each(&mut piece));
    }
}

/// `1 - sum of squared errors / sum of squares`, over the rows that at least one tree left out.
fn r_squared(values: &[f64], unseen: &[(f64, u32)]) -> Option<f64> {
    let rows: Vec<(f64, f64)> = values
        .iter()
        .zip(unseen)
        .filter(|(_, (_, count))| *count > 0)
        .map(|(&value, &(sum, count))| (value, sum / f64::from(count)))
        .collect();
    let mean = rows.iter().map(|(value, _)| value).sum::<f64>() / rows.len() as f64;
    let whole: f64 = rows.iter().map(|(value, _)| (value - mean) * (value - mean)).sum();
    let missed: f64 = rows
        .iter()
        .map(|(value, guess)| (value - guess) * (value - guess))
        .sum();
    (whole > 0.0).then_some(1.0 - missed / whole)
}

#[cfg(test)]
mod tests {
    use crossbook_engine::rng::Rng;
    use proptest::prelude::*;

    use super::*;
    use crate::space::{Domain, Param, Value};

    fn cube(dims: usize) -> Space {
        let params = (0..dims).map(|i| Param::new(&format!("x{i}"), Domain::float(0.0, 1.0)));
        Space::new(params.collect(), vec![]).unwrap()
    }

    fn sampled(space: &Space, count: usize, seed: u64, f: impl Fn(&[f64]) -> f64) -> Vec<(Vec<f64>, f64)> {
        let mut rng = Rng::stream(seed, "sampled");
        (0..count)
            .map(|_| {
                let point = space.sample(&mut rng).unwrap();
                let value = f(&point);
                (point, value)
            })
            .collect()
    }

    fn mains(got: &Importance) -> Vec<f64> {
        got.main.iter().map(|share| share.share).collect()
    }

    fn close(got: &[f64], want: &[f64], within: f64) {
        assert_eq!(got.len(), want.len());
        for (got_one, want_one) in got.iter().zip(want) {
            assert!((got_one - want_one).abs() < within, "{got:?}, not {want:?}");
        }
    }

    #[test]
    fn an_additive_function_has_the_shares_of_its_terms() {
        // Variances 16/12, 4/12, 1/12 of a linear function: 16, 4 and 1 of 21; the fourth does nothing.
        let space = cube(4);
        let got = importance(&space, &sampled(&space, 600, 1, |x| 4.0 * x[0] + 2.0 * x[1] + x[2]), 1).unwrap();
        close(&mains(&got), &[16.0 / 21.0, 4.0 / 21.0, 1.0 / 21.0, 0.0], 0.05);
        assert!(got.explained.unwrap() > 0.9 && !got.constant, "{got:?}");
        assert!(got.pairs.iter().all(|pair| pair.share < 0.05), "{:?}", got.pairs);
        assert_eq!(got.main[0].param, "x0");
    }

    #[test]
    fn what_only_a_pair_does_is_the_pairs() {
        // The product of centred inputs: no main effect at all.
        let space = cube(3);
        let got = importance(&space, &sampled(&space, 1500, 2, |x| (x[0] - 0.5) * (x[1] - 0.5)), 1).unwrap();
        close(&mains(&got), &[0.0; 3], 0.08);
        assert_eq!(got.pairs[0].params, ("x0".to_owned(), "x1".to_owned()));
        assert!(got.pairs[0].share > 0.75, "{got:?}");
    }

    #[test]
    fn categories_integers_and_conditions() {
        let word = |word: &str| Value::Text(word.to_owned());
        let params = vec![
            Param::new("kind", Domain::Choice(vec![word("a"), word("b"), word("c")])),
            Param::new("n", Domain::int(0, 3)),
            Param {
                name: "of_b".to_owned(),
                domain: Domain::float(0.0, 1.0),
                when: vec![("kind".to_owned(), vec![word("b")])],
            },
            Param::new("fixed", Domain::Fixed(Value::Int(3))),
        ];
        let space = Space::new(params, vec![]).unwrap();
        // The kinds give 0, 3, 0 (variance 2); n gives 0, 1, 2, 3 (variance 1.25).
        let value = |x: &[f64]| {
            let kind = (x[0] * 3.0).floor();
            f64::from(kind == 1.0) * 3.0 + (x[1] * 4.0).floor()
        };
        let got = importance(&space, &sampled(&space, 500, 3, value), 1).unwrap();
        close(&mains(&got), &[2.0 / 3.25, 1.25 / 3.25, 0.0, 0.0], 0.05);
        // 10 u in a third of the space, else 0: variance 75/9, of which the kind by itself 50/9, u by itself 25/27.
        let value = |x: &[f64]| f64::from((x[0] * 3.0).floor() == 1.0) * x[2] * 10.0;
        let got = importance(&space, &sampled(&space, 500, 3, value), 1).unwrap();
        close(&mains(&got), &[2.0 / 3.0, 0.0, 1.0 / 9.0, 0.0], 0.06);
        assert_eq!(got.pairs[0].params, ("kind".to_owned(), "of_b".to_owned()));
        assert!((got.pairs[0].share - 2.0 / 9.0).abs() < 0.06, "{got:?}");
    }

    #[test]
    fn noise_is_told_from_signal() {
        let space = cube(3);
        let mut rng = Rng::stream(9, "noise");
        let mut trials = sampled(&space, 300, 4, |_| 0.0);
        trials.iter_mut().for_each(|(_, value)| *value = rng.normal());
        let got = importance(&space, &trials, 1).unwrap();
        assert!(got.explained.unwrap() < 0.1, "{got:?}");
    }

    #[test]
    fn a_constant_objective_has_no_importance_and_says_so() {
        let space = cube(2);
        for value in [0.0, -3.5, 1e300] {
            let got = importance(&space, &sampled(&space, 50, 5, |_| value), 1).unwrap();
            assert!(
                got.constant && got.explained.is_none() && got.pairs.is_empty(),
                "{got:?}"
            );
            assert_eq!(mains(&got), [0.0, 0.0]);
        }
    }

    #[test]
    fn unusable_trials_are_left_out_and_few_are_none() {
        let space = cube(2);
        let mut trials = sampled(&space, 60, 6, |x| x[0]);
        let clean = importance(&space, &trials, 1).unwrap();
        trials.insert(7, (vec![0.5, 0.5], f64::NAN));
        trials.push((vec![0.5, 0.5], f64::NEG_INFINITY));
        assert_eq!(importance(&space, &trials, 1).unwrap(), clean);
        assert_eq!(importance(&space, &trials[..6], 1), None);
        let huge = sampled(&space, 60, 6, |x| (x[0] - 0.5) * 1.5e308);
        close(&mains(&importance(&space, &huge, 1).unwrap()), &mains(&clean), 1e-3);
    }

    #[test]
    fn a_single_tree_is_decomposed_exactly() {
        // f = 2 on x < 0.25; else 0 and 4 by y < 0.5: marginals by hand.
        let leaf = |x: (f64, f64), y: (f64, f64), value| Leaf {
            sides: vec![Side::Interval(x.0, x.1), Side::Interval(y.0, y.1)],
            value,
        };
        let leaves = [
            leaf((0.0, 0.25), (0.0, 1.0), 2.0),
            leaf((0.25, 1.0), (0.0, 0.5), 0.0),
            leaf((0.25, 1.0), (0.5, 1.0), 4.0),
        ];
        let (mut main, mut pairs) = (vec![0.0; 2], vec![vec![0.0; 2]; 2]);
        assert!(shares(&leaves, &mut main, &mut pairs));
        // Mean 2, variance 3; along x always 2; along y 0.5 and 3.5: 2.25; both together the whole.
        close(&main, &[0.0, 0.75], 1e-12);
        assert!((pairs[0][1] - 0.25).abs() < 1e-12, "{pairs:?}");
    }

    proptest! {
        #[test]
        fn shares_are_shares_and_repeat(seed in 0..200u64, dims in 1..4usize, count in 10..60usize) {
            let space = cube(dims);
            let trials = sampled(&space, count, seed, |x| x.iter().map(|u| (7.0 * u).sin()).sum());
            let got = importance(&space, &trials, seed).unwrap();
            let sum: f64 = mains(&got).iter().chain(&got.pairs.iter().map(|p| p.share).collect::<Vec<_>>()).sum();
            prop_assert!(sum <= 1.0 + 1e-9, "{}", sum);
            prop_assert_eq!(&got, &importance(&space, &trials, seed).unwrap());
        }
    }
}
