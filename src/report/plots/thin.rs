//! Fewer points for the same picture: of every bucket the extremes stay, so no spike is lost.

use crossbook_engine::units::TimestampNs;

/// Indices of the points to draw, in order: of each of so many buckets the first and last point and the lowest and
/// highest of every series. All series have one length. Short series are kept whole.
pub fn thin(series: &[&[f64]], buckets: usize) -> Vec<usize> {
    let len = series.first().map_or(0, |values| values.len());
    if len <= buckets * 2 {
        return (0..len).collect();
    }
    let mut keep = Vec::new();
    for bucket in 0..buckets {
        let (from, to) = (bucket * len / buckets, (bucket + 1) * len / buckets);
        let mut own = vec![from, to - 1];
        for values in series {
            let order = |&a: &usize, &b: &usize| values[a].total_cmp(&values[b]);
            own.extend((from..to).min_by(order));
            own.extend((from..to).max_by(order));
        }
        own.sort_unstable();
        own.dedup();
        keep.extend(own);
    }
    keep
}

/// A pause longer than this many times the usual step is a hole, over which no line is drawn.
const HOLE_STEPS: i64 = 12;

/// Positions at which a hole in time lies before the point.
pub fn holes(times: &[TimestampNs]) -> Vec<usize> {
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    if steps.is_empty() {
        return Vec::new();
    }
    let middle = steps.len() / 2;
    let (_, &mut usual, _) = steps.select_nth_unstable(middle);
    let longest = usual.max(1).saturating_mul(HOLE_STEPS);
    (1..times.len())
        .filter(|&at| times[at].since(times[at - 1]) > longest)
        .collect()
}

/// The kept points as stretches without a hole, to be drawn as one line each.
pub fn stretches(kept: &[usize], holes: &[usize]) -> Vec<Vec<usize>> {
    let mut lines: Vec<Vec<usize>> = Vec::new();
    let mut holes = holes.iter().copied().peekable();
    for &at in kept {
        let mut broken = lines.is_empty();
        while holes.next_if(|&hole| hole <= at).is_some() {
            broken = true;
        }
        match lines.last_mut() {
            Some(line) if !broken => line.push(at),
            _ => lines.push(vec![at]),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_not_drawn_over_holes() {
        let minutes = |values: &[i64]| {
            values
                .iter()
                .map(|&m| TimestampNs(m * 60_000_000_000))
                .collect::<Vec<_>>()
        };
        assert_eq!(holes(&minutes(&[0, 1, 2, 3, 803, 804, 805])), [4]);
        assert_eq!(holes(&minutes(&[0, 1, 2, 14, 15])), [0usize; 0]);
        assert_eq!(holes(&[]), [0usize; 0]);
        assert_eq!(holes(&minutes(&[5])), [0usize; 0]);
        assert_eq!(
            stretches(&[0, 1, 3, 5, 6], &[2, 3, 6]),
            [vec![0, 1], vec![3, 5], vec![6]]
        );
        assert!(stretches(&[], &[]).is_empty());
    }

    proptest! {
        #[test]
        fn the_extremes_of_every_series_stay(
            pairs in prop::collection::vec((-1e6..1e6f64, -1e6..1e6f64), 0..3000), buckets in 1usize..200
        ) {
            let (one, two): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let kept = thin(&[&one, &two], buckets);
            prop_assert!(kept.len() <= (buckets * 6).max(one.len().min(buckets * 2)));
            prop_assert!(kept.is_sorted_by(|a, b| a < b));
            for values in [&one, &two] {
                let all = values.iter().copied().fold(f64::INFINITY, f64::min);
                let some = kept.iter().map(|&at| values[at]).fold(f64::INFINITY, f64::min);
                prop_assert_eq!(all.to_bits(), some.to_bits());
            }
            prop_assert_eq!(kept.first().copied(), (!one.is_empty()).then_some(0));
            prop_assert_eq!(kept.last().copied(), one.len().checked_sub(1));
        }
    }
}
