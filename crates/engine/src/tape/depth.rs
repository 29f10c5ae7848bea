//! What closing a pair of some size walks to in both books, over a whole lane, for sizes that trials ask for again and
//! again.
//!
//! Made from the streams when first asked for, for the next power of two of the quantity held. What always holds: wherever
//! both books hold a quantity of that class, its average prices are no worse than those kept; where one of them holds no
//! quantity of the class, nothing need be kept, since no pair is closed there by its price.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Tape;
use super::lane::{BLOCK, Lane};
use crate::book::Book;
use crate::instrument::{InstrumentId, Side};
use crate::records::Direction;
use crate::spread::entry_sides;
use crate::units::{Qty, TimestampNs};

/// Decisions that share one entry of a [`Depth`].
pub(super) const GROUP: usize = 4;

/// Which prices: a lane's, for closing a pair of one direction and of at most so much (in 1e-8 of the base currency).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) lane: usize,
    pub(super) direction: Direction,
    most: i64,
}

impl Ask {
    /// For a quantity that is held.
    pub(super) fn new(lane: usize, direction: Direction, held: Qty) -> Ask {
        let most = held.raw().unsigned_abs().next_power_of_two();
        Ask {
            lane,
            direction,
            most: i64::try_from(most).unwrap_or(i64::MAX),
        }
    }
}

/// The worst average prices of each group of decisions and of each block.
#[derive(Debug)]
pub(super) struct Depth {
    groups: Vec<Worst>,
    blocks: Vec<Worst>,
}

/// Worst average prices of A and of B, in 1e-8 of their quote currencies, rounded away from the market; `None` when no
/// quantity of the class can be traded on both at any of the decisions.
type Worst = Option<(f32, f32)>;

/// Beyond the rounding of an average and of its `f32`.
const ROOM: f64 = 1e-7;

impl Depth {
    fn new(tape: &Tape, legs: (InstrumentId, InstrumentId), ask: &Ask) -> Depth {
        let lane = &tape.lanes[ask.lane];
        let (entry_a, entry_b) = entry_sides(ask.direction);
        let (side_a, side_b) = (entry_a.opposite(), entry_b.opposite());
        let a = averages(tape, lane, legs.0, side_a, ask.most);
        let b = averages(tape, lane, legs.1, side_b, ask.most);
        let both = a
            .into_iter()
            .zip(b)
            .map(|(a, b)| (a > 0.0 && b > 0.0).then_some((a, b)));
        let both: Vec<Worst> = both.collect();
        let worst = |of: &[Worst], size: usize| -> Vec<Worst> {
            let join =
                |one: (f32, f32), other: (f32, f32)| (side_a.worse(one.0, other.0), side_b.worse(one.1, other.1));
            of.chunks(size)
                .map(|chunk| chunk.iter().copied().flatten().reduce(join))
                .collect()
        };
        let groups = worst(&both, GROUP);
        let blocks = worst(&groups, BLOCK / GROUP);
        Depth { groups, blocks }
    }

    /// No worse prices are walked to at the decisions of this block.
    #[inline]
    pub(super) fn block(&self, block: usize) -> Option<(f64, f64)> {
        self.blocks[block].map(|(a, b)| (a.into(), b.into()))
    }

    /// No worse prices are walked to at this decision.
    #[inline]
    pub(super) fn at(&self, at: usize) -> Option<(f64, f64)> {
        self.groups[at / GROUP].map(|(a, b)| (a.into(), b.into()))
    }
}

/// Which of two prices is the worse one to trade at.
trait Worse {
    fn worse(self, one: f32, other: f32) -> f32;
}

impl Worse for Side {
    fn worse(self, one: f32, other: f32) -> f32 {
        match self {
            Side::Buy => one.max(other),
            Side::Sell => one.min(other),
        }
    }
}

/// Per decision of a lane the average price of trading `most`, or as much of it as is there, on one leg; zero when that is
/// half of it or less, or the decision is not priced.
fn averages(tape: &Tape, lane: &Lane, id: InstrumentId, side: Side, most: i64) -> Vec<f32> {
    let mut averages = Vec::with_capacity(lane.len());
    let mut book = Book::default();
    tape.marks[id.index()][0].restore(&mut book);
    let mut known = None;
    let average = |book: &Book| {
        let walk = Qty::from_raw(most).ok().and_then(|most| book.walk(side, most, None));
        // What is held is more than half of `most`. If there is less than that, too, then no more than this is walked.
        let walk = walk.filter(|walk| walk.filled.raw() > most / 2);
        walk.map_or(0.0, |walk| {
            let average = walk.cost as f64 / walk.filled.raw() as f64;
            match side {
                Side::Buy => (average * (1.0 + ROOM)) as f32,
                Side::Sell => (average * (1.0 - ROOM)) as f32,
            }
        })
    };
    let mut until = |book: &Book, known: &mut Option<f32>, end: TimestampNs| {
        while averages.len() < lane.len() && lane.ts[averages.len()] < end {
            averages.push(if lane.is_priced(averages.len()) {
                *known.get_or_insert_with(|| average(book))
            } else {
                0.0
            });
        }
    };
    let own = tape.streams_of(id);
    let ends: Vec<usize> = own.iter().map(|&stream| tape.reels[stream].len()).collect();
    tape.each_of(&own, &vec![0; own.len()], &ends, |header, event| {
        // The decision of an instant sees all of its messages.
        until(&book, &mut known, header.ts_recv);
        book.apply(header.ts_event, header.ts_recv, event);
        known = None;
    });
    until(&book, &mut known, TimestampNs::MAX);
    averages
}

/// The depths asked for last. Which of them are there decides how long a trial takes, never what it gives.
#[derive(Debug, Default)]
pub(super) struct Depths {
    depths: Mutex<VecDeque<(Ask, Arc<Depth>)>>,
}

/// So many depths are kept: two bytes an instant each.
const DEPTHS: usize = 24;

impl Depths {
    /// The depth that is asked for, made if need be.
    pub(super) fn get(&self, tape: &Tape, legs: (InstrumentId, InstrumentId), ask: &Ask) -> Arc<Depth> {
        let find = |depths: &VecDeque<(Ask, Arc<Depth>)>| {
            let found = depths.iter().find(|(of, _)| of == ask);
            found.map(|(_, depth)| Arc::clone(depth))
        };
        if let Some(depth) = find(&self.depths.lock().unwrap_or_else(PoisonError::into_inner)) {
            return depth;
        }
        // Made outside the lock: other trials go on meanwhile, and two that make the same make it alike.
        let depth = Arc::new(Depth::new(tape, legs, ask));
        let mut depths = self.depths.lock().unwrap_or_else(PoisonError::into_inner);
        if find(&depths).is_none() {
            depths.push_back((*ask, Arc::clone(&depth)));
            if depths.len() > DEPTHS {
                depths.pop_front();
            }
        }
        depth
    }
}
