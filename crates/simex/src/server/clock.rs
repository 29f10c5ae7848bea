//! The exchange's clock: wall time at the start, monotonic time from then on.

use std::time::{SystemTime, UNIX_EPOCH};

use crossbook_engine::units::TimestampNs;
use tokio::time::Instant;

/// A clock that never goes back, whatever the machine's does.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    ts: TimestampNs,
    at: Instant,
}

impl Clock {
    /// Begins at the machine's wall time.
    pub fn start() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock {
            ts: TimestampNs(i64::try_from(since.as_nanos()).unwrap_or(0)),
            at: Instant::now(),
        }
    }

    /// Now.
    pub fn now(&self) -> TimestampNs {
        self.ts
            .plus(i64::try_from(self.at.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }
}
