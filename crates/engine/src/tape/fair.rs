//! The fair premium over a whole lane, for half-lives that trials ask for again and again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::lane::{BLOCK, Lane};
use crate::spread::{FairModel, FairPremium};

/// An EWMA fed by every priced decision of a lane, at the beginning of each block.
#[derive(Debug)]
pub(super) struct Track {
    /// The mean before each block's first decision, and after the last decision of all.
    means: Vec<f64>,
    /// Least and greatest fair premium over each block's priced decisions, in 1e-4 bps.
    extremes: Vec<(i32, i32)>,
}

impl Track {
    fn new(lane: &Lane, half_life_ns: i64) -> Track {
        let blocks = lane.len().div_ceil(BLOCK);
        let mut fair = FairPremium::new(FairModel::Ewma { half_life_ns });
        let (mut means, mut extremes) = (Vec::with_capacity(blocks + 1), Vec::with_capacity(blocks));
        for block in 0..blocks {
            means.push(fair.mean().0);
            let (mut least, mut most) = (i64::MAX, i64::MIN);
            for at in block * BLOCK..(block * BLOCK + BLOCK).min(lane.len()) {
                if lane.is_priced(at) {
                    let value = fair.observe(lane.ts[at], lane.premium(at)).raw();
                    (least, most) = (least.min(value), most.max(value));
                }
            }
            // Lies between spreads that fit, or is never asked about.
            let fit = |value: i64| value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
            extremes.push((fit(least), fit(most)));
        }
        means.push(fair.mean().0);
        Track { means, extremes }
    }

    #[inline]
    pub(super) fn extremes(&self, block: usize) -> (i32, i32) {
        self.extremes[block]
    }

    /// Whether a fair premium stands, before the block that begins at this decision, where the track stands.
    pub(super) fn is_at(&self, lane: &Lane, at: usize, fair: &FairPremium) -> bool {
        let (mean, seen) = fair.mean();
        let last = lane.last_priced(at).map(|last| lane.ts[last]);
        seen == last && mean.to_bits() == self.means[at / BLOCK].to_bits()
    }

    /// Puts a fair premium of the same half-life where the track stands there.
    pub(super) fn set(&self, lane: &Lane, at: usize, fair: &mut FairPremium) {
        let last = lane.last_priced(at).map(|last| lane.ts[last]);
        fair.set_mean(self.means[at / BLOCK], last);
    }
}

/// The tracks asked for last. Which of them are there decides how long a trial takes, never what it gives.
#[derive(Debug, Default)]
pub(super) struct Fairs {
    tracks: Mutex<VecDeque<(usize, i64, Arc<Track>)>>,
}

/// So many tracks are kept.
const TRACKS: usize = 32;

impl Fairs {
    /// The track of a lane's half-life, made if need be.
    pub(super) fn get(&self, index: usize, lane: &Lane, half_life_ns: i64) -> Arc<Track> {
        let find = |tracks: &VecDeque<(usize, i64, Arc<Track>)>| {
            let found = tracks
                .iter()
                .find(|(of, half_life, _)| (*of, *half_life) == (index, half_life_ns));
            found.map(|(_, _, track)| Arc::clone(track))
        };
        if let Some(track) = find(&self.tracks.lock().unwrap_or_else(PoisonError::into_inner)) {
            return track;
        }
        // Made outside the lock: other trials go on meanwhile, and two that make the same make it alike.
        let track = Arc::new(Track::new(lane, half_life_ns));
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        if find(&tracks).is_none() {
            tracks.push_back((index, half_life_ns, Arc::clone(&track)));
            if tracks.len() > TRACKS {
                tracks.pop_front();
            }
        }
        track
    }
}
