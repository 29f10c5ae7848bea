//! How many points a space has, and all of them in order.

use super::{Coordinate, Space};

/// How many distinct sets of values a space has, constraints left aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// Exactly so many; `u64::MAX` means at least so many.
    Finite(u64),
    /// A continuous parameter that is active somewhere.
    Infinite,
}

/// Combinations of conditions that are followed when points are counted; beyond them the count is "at least".
const COMBINATIONS: u32 = 1 << 20;

impl Space {
    /// How many distinct sets of values there are, constraints left aside. Inactive parameters do not multiply.
    pub fn cardinality(&self) -> Cardinality {
        // Counted twice, with one and with two values on each continuous axis: a difference shows an active one.
        let with = |continuous: u64| {
            let levels: Vec<u64> = (0..self.dimensions())
                .map(|index| match self.coordinate(index) {
                    Coordinate::Continuous => continuous,
                    Coordinate::Ordered(cells) | Coordinate::Choice(cells) => cells,
                })
                .collect();
            self.count(&levels)
        };
        let continuous = (0..self.dimensions()).any(|index| self.coordinate(index) == Coordinate::Continuous);
        match with(1) {
            u64::MAX if continuous => Cardinality::Infinite,
            one if continuous && with(2) != one => Cardinality::Infinite,
            one => Cardinality::Finite(one),
        }
    }

    /// How many sets of values there are with so many levels on each axis; `u64::MAX` when at least so many.
    pub fn count(&self, levels: &[u64]) -> u64 {
        // Parameters without conditions between them multiply, so each connected group is counted on its own.
        let mut group: Vec<usize> = (0..self.dimensions()).collect();
        for &index in &self.order {
            for gate in &self.gates[index] {
                let (from, to) = (group[index], group[gate.parent]);
                for own in &mut group {
                    if *own == from {
                        *own = to;
                    }
                }
            }
        }
        let mut fuel = COMBINATIONS;
        let mut total = 1u64;
        for first in 0..self.dimensions() {
            let members: Vec<usize> = self.order.iter().copied().filter(|&at| group[at] == first).collect();
            let mut cells = vec![None; self.dimensions()];
            total = total.saturating_mul(self.count_group(&members, levels, &mut cells, &mut fuel));
        }
        if fuel == 0 { u64::MAX } else { total }
    }

    /// Points of a group of parameters. `cells` holds the chosen cell of those before; `u64::MAX` stands for all cells that
    /// no condition names, since they behave alike.
    fn count_group(&self, members: &[usize], levels: &[u64], cells: &mut [Option<u64>], fuel: &mut u32) -> u64 {
        let Some((&index, rest)) = members.split_first() else {
            return 1;
        };
        if *fuel == 0 {
            return 1;
        }
        *fuel -= 1;
        let open = self.gates[index]
            .iter()
            .all(|gate| cells[gate.parent].is_some_and(|cell| gate.cells.contains(&cell)));
        if !open {
            cells[index] = None;
            return self.count_group(rest, levels, cells, fuel);
        }
        let mut named: Vec<u64> = rest
            .iter()
            .flat_map(|&child| &self.gates[child])
            .filter(|gate| gate.parent == index)
            .flat_map(|gate| gate.cells.iter().copied())
            .collect();
        named.sort_unstable();
        named.dedup();
        let mut total = 0u64;
        for &cell in &named {
            cells[index] = Some(cell);
            total = total.saturating_add(self.count_group(rest, levels, cells, fuel));
        }
        let others = levels[index].saturating_sub(named.len() as u64);
        if others > 0 {
            cells[index] = Some(u64::MAX);
            total = total.saturating_add(others.saturating_mul(self.count_group(rest, levels, cells, fuel)));
        }
        cells[index] = None;
        total
    }

    /// Visits every snapped point that satisfies the constraints, with `levels[i]` values on axis `i`: all cells where there
    /// are cells, evenly from end to end on a continuous axis. Parents move slowest. Stops when `visit` says `false`.
    pub fn walk(&self, levels: &[u64], visit: &mut dyn FnMut(&[f64]) -> bool) {
        let mut point = vec![0.5; self.dimensions()];
        self.walk_from(0, levels, &mut point, visit);
    }

    fn walk_from(
        &self,
        depth: usize,
        levels: &[u64],
        point: &mut [f64],
        visit: &mut dyn FnMut(&[f64]) -> bool,
    ) -> bool {
        let Some(&index) = self.order.get(depth) else {
            return !self.feasible(point) || visit(point);
        };
        // Parents stand before their children, so what is active so far is right.
        if !self.gates[index].is_empty() && !self.active(point)[index] {
            point[index] = 0.5;
            return self.walk_from(depth + 1, levels, point, visit);
        }
        let domain = &self.params[index].domain;
        for level in 0..levels[index] {
            point[index] = match self.coordinate(index) {
                Coordinate::Continuous if levels[index] == 1 => 0.5,
                Coordinate::Continuous => level as f64 / (levels[index] - 1) as f64,
                Coordinate::Ordered(_) | Coordinate::Choice(_) => domain.centre(level),
            };
            if !self.walk_from(depth + 1, levels, point, visit) {
                return false;
            }
        }
        true
    }
}
