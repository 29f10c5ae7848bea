//! Two clocks in one reading: the wall's, for what is recorded, and a monotonic one, for every timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crossbook_engine::units::TimestampNs;
use tokio::time::Instant;

/// A reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Monotonic nanoseconds since the clock was made. All timers and ages are differences of these.
    pub mono_ns: i64,
    /// Wall time, UTC. Never goes back between two readings of one [`Clock`], whatever the system's clock does.
    pub ts: TimestampNs,
}

/// Reads both clocks; cheap to clone, and clones share the promise that wall time never goes back.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    wall: Wall,
    last: Arc<AtomicI64>,
}

#[derive(Debug, Clone)]
enum Wall {
    System,
    /// Wall time at the start, and what a test has stepped it by.
    Derived(i64, Arc<AtomicI64>),
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Clock {
        Clock::with(Wall::System)
    }

    /// A clock whose wall time begins at `ts` and then runs with tokio's (so that it stands still when that is paused).
    pub fn starting_at(ts: TimestampNs) -> Clock {
        Clock::with(Wall::Derived(ts.0, Arc::new(AtomicI64::new(0))))
    }

    fn with(wall: Wall) -> Clock {
        Clock {
            start: Instant::now(),
            wall,
            last: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// Steps the wall clock of [`Clock::starting_at`], as an administrator or NTP would; the system's is left alone.
    pub fn step_wall(&self, by_ns: i64) {
        if let Wall::Derived(_, step) = &self.wall {
            step.fetch_add(by_ns, Ordering::SeqCst);
        }
    }

    /// Wall time as the source has it, which may have gone back.
    pub fn raw_wall(&self) -> TimestampNs {
        TimestampNs(match &self.wall {
            Wall::System => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
                Err(_) => 0,
            },
            Wall::Derived(start, step) => start + self.mono_ns() + step.load(Ordering::SeqCst),
        })
    }

    /// Both clocks, now.
    pub fn now(&self) -> Stamp {
        let wall = self.raw_wall().0;
        let last = self.last.fetch_max(wall, Ordering::SeqCst);
        Stamp {
            mono_ns: self.mono_ns(),
            ts: TimestampNs(wall.max(last)),
        }
    }

    fn mono_ns(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}
