//! Which periods may teach and which may judge: purging, embargo, and combinatorial purged cross-validation.
//!
//! M. Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12.

/// A span of time `[from, to)`, nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First moment.
    pub from: i64,
    /// First moment after it.
    pub to: i64,
}

impl Span {
    fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// What is left of the training spans once everything that shares information with a test span is taken out.
///
/// `reach` is how long a decision's consequence or memory lasts: the longest holding time plus the longest indicator window (ten
/// half-lives for an exponential mean). What begins within `reach` before a test span would end inside it (purged); what begins
/// within `reach` after it still remembers it (purged too); `embargo` keeps off that much more behind it. Negative lengths count
/// as zero. Spans come out in order, none empty.
pub fn purged(train: &[Span], test: &[Span], reach: i64, embargo: i64) -> Vec<Span> {
    let (reach, embargo) = (reach.max(0), embargo.max(0));
    let mut left: Vec<Span> = train.to_vec();
    for span in test.iter().filter(|span| !span.is_empty()) {
        let from = span.from.saturating_sub(reach);
        let to = span.to.saturating_add(reach).saturating_add(embargo);
        left = left
            .iter()
            .flat_map(|train| {
                [
                    Span {
                        from: train.from,
                        to: train.to.min(from),
                    },
                    Span {
                        from: train.from.max(to),
                        to: train.to,
                    },
                ]
            })
            .collect();
        left.retain(|span| !span.is_empty());
    }
    left.retain(|span| !span.is_empty());
    left.sort_unstable_by_key(|span| (span.from, span.to));
    left
}

/// Combinatorial cross-validation: every way to hold `test` of `groups` groups out, and the whole-length paths that
/// the held-out parts make up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combinations {
    /// Per split the groups held out, in order.
    pub splits: Vec<Vec<usize>>,
    /// Per path and group, the split whose held-out result of that group belongs to the path. Each held-out group of each
    /// split is on one path.
    pub paths: Vec<Vec<usize>>,
}

/// Most groups: with more the splits are too many to be tried.
pub const MOST_GROUPS: usize = 20;

/// All `C(groups, test)` splits and the `C(groups - 1, test - 1)` paths (`test / groups` of the splits; 6 groups and 2 held out: 15
/// splits, 5 paths). `None` unless `1 <= test < groups <= MOST_GROUPS`.
pub fn combinations(groups: usize, test: usize) -> Option<Combinations> {
    if !(1..groups).contains(&test) || groups > MOST_GROUPS {
        return None;
    }
    let mut splits: Vec<Vec<usize>> = (0..1u32 << groups)
        .filter(|mask| mask.count_ones() as usize == test)
        .map(|mask| (0..groups).filter(|group| mask >> group & 1 == 1).collect())
        .collect();
    splits.sort_unstable();
    // The n-th time that a group is held out goes to the n-th path.
    let held_out = |group: usize| -> Vec<usize> {
        let holds = |split: &usize| splits[*split].contains(&group);
        (0..splits.len()).filter(holds).collect()
    };
    let by_group: Vec<Vec<usize>> = (0..groups).map(held_out).collect();
    let paths = (0..by_group[0].len())
        .map(|path| by_group.iter().map(|splits| splits[path]).collect())
        .collect();
    Some(Combinations { splits, paths })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(from: i64, to: i64) -> Span {
        Span { from, to }
    }

    #[test]
    fn six_groups_of_which_two_are_held_out() {
        let got = combinations(6, 2).unwrap();
        assert_eq!((got.splits.len(), got.paths.len()), (15, 5));
        assert_eq!(got.splits[..3], [[0, 1], [0, 2], [0, 3]]);
        // The book's figure 12.1, first path: groups 1 and 2 from split 1, group 3 from split 2, and so on.
        assert_eq!(got.paths[0], [0, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for (groups, test) in [(0, 0), (1, 1), (5, 0), (5, 5), (5, 6), (21, 2)] {
            assert_eq!(combinations(groups, test), None, "{groups} {test}");
        }
    }

    #[test]
    fn what_shares_information_with_a_test_is_taken_out() {
        let cases = [
            // Train before, test behind: what would still be open when the test starts goes.
            (vec![span(0, 100)], vec![span(100, 120)], 10, 5, vec![span(0, 90)]),
            // On both sides, the embargo only behind.
            (
                vec![span(0, 200)],
                vec![span(100, 120)],
                10,
                5,
                vec![span(0, 90), span(135, 200)],
            ),
            // Two tests, and nothing left between them.
            (
                vec![span(0, 100)],
                vec![span(20, 30), span(50, 60)],
                8,
                4,
                vec![span(0, 12), span(72, 100)],
            ),
            // Out of reach.
            (vec![span(0, 50)], vec![span(100, 120)], 10, 5, vec![span(0, 50)]),
            // Nothing is left; an empty test takes nothing; negative lengths are none.
            (vec![span(95, 99)], vec![span(100, 120)], 10, 5, vec![]),
            (vec![span(0, 50)], vec![span(20, 20)], 10, 5, vec![span(0, 50)]),
            (
                vec![span(0, 50)],
                vec![span(20, 30)],
                -5,
                -5,
                vec![span(0, 20), span(30, 50)],
            ),
            (vec![span(0, i64::MAX)], vec![span(10, i64::MAX)], i64::MAX, 1, vec![]),
        ];
        for (train, test, reach, embargo, want) in cases {
            assert_eq!(purged(&train, &test, reach, embargo), want, "{train:?} {test:?}");
        }
    }

    proptest! {
        /// Every held-out group of every split is on exactly one path, and a path has every group once.
        #[test]
        fn paths_use_each_held_out_group_once(groups in 2..9usize, test in 1..8usize) {
            prop_assume!(test < groups);
            let got = combinations(groups, test).unwrap();
            let mut used: Vec<(usize, usize)> = Vec::new();
            for path in &got.paths {
                prop_assert_eq!(path.len(), groups);
                used.extend(path.iter().enumerate().map(|(group, &split)| (split, group)));
            }
            used.sort_unstable();
            let held: Vec<(usize, usize)> = got
                .splits
                .iter()
                .enumerate()
                .flat_map(|(split, groups)| groups.iter().map(move |&group| (split, group)))
                .collect();
            prop_assert_eq!(used, held);
            prop_assert_eq!(got.paths.len() * groups, got.splits.len() * test);
        }

        #[test]
        fn nothing_that_is_left_is_within_reach(
            train in prop::collection::vec((0..200i64, 0..100i64), 0..4),
            test in prop::collection::vec((0..200i64, 1..40i64), 0..4),
            reach in 0..30i64,
            embargo in 0..20i64,
        ) {
            let train: Vec<Span> = train.into_iter().map(|(from, long)| span(from, from + long)).collect();
            let test: Vec<Span> = test.into_iter().map(|(from, long)| span(from, from + long)).collect();
            let left = purged(&train, &test, reach, embargo);
            for t in 0..320 {
                let within = |spans: &[Span]| spans.iter().any(|span| (span.from..span.to).contains(&t));
                let near = test.iter().any(|test| t >= test.from - reach && t < test.to + reach + embargo);
                prop_assert_eq!(within(&left), within(&train) && !near, "{}", t);
            }
        }
    }
}
