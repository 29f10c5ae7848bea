//! Faults that are added while the exchange runs.
//!
//! They are the script's from then on: numbered after those that are there, drawn from the same seed, in the truth log. What
//! always holds: how the faults that were there before go on does not change.

use crossbook_engine::rng::Rng;
use crossbook_engine::units::TimestampNs;

use super::{Entry, Fault, Faults, span};

/// Faults of a run, ended ones too.
const MOST: usize = 10_000;

/// Why a fault is not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// It names a market that is not listed.
    #[error("fault 1: markets: `{market}` is not listed at {venue}")]
    UnknownMarket {
        /// Which.
        market: String,
        /// Where it was looked for.
        venue: String,
    },
    /// A recording has one rate.
    #[error("fault 1: kind: a burst needs the synthetic market: a recording has one rate")]
    OneRate,
    /// There are too many already.
    #[error("there are {MOST} faults already, the most that a run may have")]
    TooMany,
}

impl Faults {
    /// Adds faults whose `at_s` counts from `now`; their numbers.
    ///
    /// # Errors
    /// When one names a market that is not listed, or there are too many.
    pub fn inject(&mut self, faults: Vec<Fault>, now: TimestampNs) -> Result<Vec<usize>, InjectError> {
        if self.entries.len() + faults.len() > MOST {
            return Err(InjectError::TooMany);
        }
        for fault in &faults {
            let listed = |name: &&String| {
                self.markets
                    .iter()
                    .any(|(venue, symbol)| fault.venue.is_none_or(|only| only == *venue) && **symbol == ***name)
            };
            if let Some(market) = fault.markets.iter().find(|name| !listed(name)) {
                return Err(InjectError::UnknownMarket {
                    market: market.clone(),
                    venue: fault.venue.map_or("any venue".to_owned(), |venue| format!("{venue:?}")),
                });
            }
        }
        let first = self.entries.len();
        for fault in faults {
            let mut rng = Rng::stream(self.seed, &format!("fault.{}", self.entries.len()));
            let wait = fault.first_s(&mut rng);
            self.entries.push(Entry {
                next: Some(now.plus(span(wait))),
                fault,
                rng,
                begun: 0,
                active: None,
            });
        }
        self.look_ahead();
        Ok((first..self.entries.len()).collect())
    }

    /// Ends a fault: it stops now and never begins again. Whether there is one of this number.
    pub fn end(&mut self, number: usize, now: TimestampNs) -> bool {
        let Some(entry) = self.entries.get_mut(number) else {
            return false;
        };
        entry.next = None;
        if let Some(active) = &mut entry.active {
            active.until = active.until.min(now);
        }
        self.look_ahead();
        true
    }
}
