//! A random forest for regression on the unit cube (Breiman 2001), kept as the boxes of its leaves.
//!
//! Trees are grown deep on bootstrap samples, with most parameters looked at in each split, as in SMAC: what matters
//! here is the surface, not the prediction of new points.

use crossbook_engine::rng::Rng;

/// What kind of axis a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// A number in `[0, 1]`.
    Number,
    /// Cells without an order, given by their index. At most [`MOST_CHOICES`].
    Choice(u32),
}

/// Choices beyond this are taken in their listed order, as numbers: a set of them is a word of 64 bits.
pub(super) const MOST_CHOICES: u64 = 64;

/// Fewest samples of a leaf: single ones would be fitted noise.
const LEAF: usize = 3;

/// One side of a leaf's box along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// `[low, high)`.
    Interval(f64, f64),
    /// Which choices, by bit, of how many.
    Set(u64, u32),
}

impl Side {
    /// Share of the axis.
    pub(super) fn width(&self) -> f64 {
        match *self {
            Side::Interval(low, high) => high - low,
            Side::Set(bits, of) => f64::from(bits.count_ones()) / f64::from(of),
        }
    }
}

/// A constant piece of a tree.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// One per axis; together they fill the cube without overlap.
    pub(super) sides: Vec<Side>,
    /// Mean of its samples.
    pub(super) value: f64,
}

/// Columns of inputs and what came of each row.
pub(super) struct Data<'a> {
    pub(super) axes: &'a [Axis],
    /// Per row one number per axis; a choice's index for a choice.
    pub(super) rows: &'a [Vec<f64>],
    pub(super) values: &'a [f64],
}

/// The leaves of one tree, and for each row that its bootstrap sample left out what it predicts there.
pub(super) struct Tree {
    pub(super) leaves: Vec<Leaf>,
    pub(super) left_out: Vec<(usize, f64)>,
}

/// Grows one tree.
pub(super) fn grow(data: &Data<'_>, rng: &mut Rng) -> Tree {
    let n = data.rows.len();
    let mut taken = vec![false; n];
    let mut sample: Vec<usize> = (0..n).map(|_| rng.below(n as u64) as usize).collect();
    for &row in &sample {
        taken[row] = true;
    }
    // Rows are only ever sorted with this order as tie-break, so that the same draws give the same tree.
    sample.sort_unstable();
    let whole = |axis: &Axis| match *axis {
        Axis::Number => Side::Interval(0.0, 1.0),
        Axis::Choice(of) => Side::Set(if of == 64 { u64::MAX } else { (1 << of) - 1 }, of),
    };
    let mut tree = Tree {
        leaves: Vec::new(),
        left_out: Vec::new(),
    };
    let left_out = (0..n).filter(|row| !taken[*row]).collect();
    let mut open: Vec<(Vec<Side>, Vec<usize>, Vec<usize>)> =
        vec![(data.axes.iter().map(whole).collect(), sample, left_out)];
    while let Some((sides, rows, outside)) = open.pop() {
        let Some(cut) = best_cut(data, &rows, rng) else {
            let value = rows.iter().map(|&row| data.values[row]).sum::<f64>() / rows.len() as f64;
            tree.left_out.extend(outside.into_iter().map(|row| (row, value)));
            tree.leaves.push(Leaf { sides, value });
            continue;
        };
        let (left, right) = cut.sides(&sides[cut.axis]);
        let is_left = |row: &usize| cut.is_left(data.rows[*row][cut.axis]);
        let with = |side: Side| {
            let mut sides = sides.clone();
            sides[cut.axis] = side;
            sides
        };
        let (rows_left, rows_right) = rows.iter().partition(|row| is_left(row));
        let (outside_left, outside_right) = outside.iter().partition(|row| is_left(row));
        open.push((with(right), rows_right, outside_right));
        open.push((with(left), rows_left, outside_left));
    }
    tree
}

/// Where to divide a node.
struct Cut {
    axis: usize,
    /// For a number: below this goes left.
    at: f64,
    /// For a choice: these go left.
    set: u64,
    /// Reduction of the sum of squares, up to a constant of the node.
    gain: f64,
}

impl Cut {
    fn is_left(&self, x: f64) -> bool {
        if self.set == 0 {
            x < self.at
        } else {
            self.set >> (x as u32) & 1 == 1
        }
    }

    fn sides(&self, side: &Side) -> (Side, Side) {
        match *side {
            Side::Interval(low, high) => (Side::Interval(low, self.at), Side::Interval(self.at, high)),
            Side::Set(bits, of) => (Side::Set(bits & self.set, of), Side::Set(bits & !self.set, of)),
        }
    }
}

/// The cut that reduces the squares most, among five sixths of the axes, drawn; the others only if those give none. `None`:
/// the node is a leaf.
fn best_cut(data: &Data<'_>, rows: &[usize], rng: &mut Rng) -> Option<Cut> {
    if rows.len() < 2 * LEAF {
        return None;
    }
    let first = data.values[rows[0]];
    if rows.iter().all(|&row| data.values[row] == first) {
        return None;
    }
    let dims = data.axes.len();
    let mut order: Vec<usize> = (0..dims).collect();
    for i in (1..dims).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let few = (5 * dims).div_ceil(6);
    let best = |axes: &[usize]| -> Option<Cut> {
        let mut best: Option<Cut> = None;
        for &axis in axes {
            let cut = match data.axes[axis] {
                Axis::Number => cut_number(data, rows, axis),
                Axis::Choice(_) => cut_choice(data, rows, axis),
            };
            if let Some(cut) = cut
                && best.as_ref().is_none_or(|best| cut.gain > best.gain)
            {
                best = Some(cut);
            }
        }
        best
    };
    best(&order[..few]).or_else(|| best(&order[few..]))
}

fn cut_number(data: &Data<'_>, rows: &[usize], axis: usize) -> Option<Cut> {
    let mut sorted: Vec<(f64, f64)> = rows
        .iter()
        .map(|&row| (data.rows[row][axis], data.values[row]))
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let groups = sorted.iter().map(|&(x, y)| (x, y, 1.0));
    let (left, gain) = best_division(groups, rows.len())?;
    Some(Cut {
        axis,
        at: (sorted[left - 1].0 + sorted[left].0) / 2.0,
        set: 0,
        gain,
    })
}

/// The best set of choices is one of the first so many by mean value (Breiman et al. 1984, theorem 4.5).
fn cut_choice(data: &Data<'_>, rows: &[usize], axis: usize) -> Option<Cut> {
    let Axis::Choice(of) = data.axes[axis] else {
        return None;
    };
    let mut sums = vec![(0.0, 0.0); of as usize];
    for &row in rows {
        let (sum, count) = &mut sums[data.rows[row][axis] as usize];
        *sum += data.values[row];
        *count += 1.0;
    }
    let mut present: Vec<usize> = (0..of as usize).filter(|&choice| sums[choice].1 > 0.0).collect();
    present.sort_by(|&a, &b| (sums[a].0 / sums[a].1).total_cmp(&(sums[b].0 / sums[b].1)));
    let groups = present.iter().enumerate().map(|(place, &choice)| {
        let (sum, count) = sums[choice];
        (place as f64, sum, count)
    });
    let (left, gain) = best_division(groups, rows.len())?;
    let set = present[..left].iter().fold(0, |set, &choice| set | 1 << choice);
    Some(Cut {
        axis,
        at: 0.0,
        set,
        gain,
    })
}

/// After how many groups to divide: groups in order, each with its place, sum and count; places that are equal are not divided. With
/// the sum of `sum^2 / count` of both sides, which grows as the squares shrink.
fn best_division(groups: impl Iterator<Item = (f64, f64, f64)> + Clone, rows: usize) -> Option<(usize, f64)> {
    let total: f64 = groups.clone().map(|(_, sum, _)| sum).sum();
    let (mut sum, mut count) = (0.0, 0.0);
    let mut best: Option<(usize, f64)> = None;
    let mut before: Option<f64> = None;
    for (index, (place, own, many)) in groups.enumerate() {
        let rest = rows as f64 - count;
        if before.is_some_and(|before| before < place) && count >= LEAF as f64 && rest >= LEAF as f64 {
            let gain = sum * sum / count + (total - sum) * (total - sum) / rest;
            if best.is_none_or(|(_, most)| gain > most) {
                best = Some((index, gain));
            }
        }
        sum += own;
        count += many;
        before = Some(place);
    }
    best
}
