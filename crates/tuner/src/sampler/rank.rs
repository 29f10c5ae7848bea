//! The order of finished trials, best first, where a sampler needs one.

use super::State;

/// Where a trial ranks: how far it came, its loss, its number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rank {
    class: u8,
    /// The loss, or the loss so far; 0 where there is none.
    pub(super) loss: f64,
    pub(super) trial: usize,
}

impl Rank {
    /// Complete trials by loss, then pruned ones by the loss that they had, then pruned ones without any, then failed ones;
    /// ties by number. `None` while the trial is pending.
    pub(super) fn of(trial: usize, state: State) -> Option<Rank> {
        let (class, loss) = match state {
            State::Complete(loss) => (0, loss),
            State::Pruned(Some(loss)) => (1, loss),
            State::Pruned(None) => (2, 0.0),
            State::Failed => (3, 0.0),
            State::Pending => return None,
        };
        Some(Rank { class, loss, trial })
    }

    pub(super) fn failed(&self) -> bool {
        self.class == 3
    }

    pub(super) fn complete(&self) -> bool {
        self.class == 0
    }

    pub(super) fn before(&self, other: &Rank) -> bool {
        self.class
            .cmp(&other.class)
            .then(self.loss.total_cmp(&other.loss))
            .then(self.trial.cmp(&other.trial))
            .is_lt()
    }
}
