//! Rate limits: fixed windows per group and caller, and what follows when they are overrun.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Counters of one server. Callers and groups are few (loopback); the map is bounded all the same.
#[derive(Debug)]
pub struct Limits {
    windows: BTreeMap<(&'static str, String), Window>,
    bans: BTreeMap<String, Ban>,
    first_ban: Duration,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    used: u64,
}

#[derive(Debug, Default)]
struct Ban {
    until: Option<Instant>,
    /// Requests in a row that were over a limit.
    refused: u32,
    /// Bans so far.
    count: u32,
}

/// What a limiter says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Pass {
        /// Used in this window, with this request.
        used: u64,
        /// Still free in it.
        left: u64,
    },
    /// HTTP 429; the window is over after so long.
    TooMany {
        /// When to try again.
        after: Duration,
    },
    /// HTTP 418: it went on after the 429s.
    Banned {
        /// When to try again.
        after: Duration,
    },
}

/// A limit: so much in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Name of the group.
    pub group: &'static str,
    /// Cost that fits into a window.
    pub most: u64,
    /// Length of a window.
    pub window: Duration,
}

impl Limits {
    /// This many refusals in a row turn into a ban.
    const PATIENCE: u32 = 20;
    /// Callers that are told apart; beyond it all are forgotten.
    const MOST: usize = 10_000;

    /// No request yet.
    pub fn new(first_ban: Duration) -> Limits {
        Limits {
            windows: BTreeMap::new(),
            bans: BTreeMap::new(),
            first_ban,
        }
    }

    /// Whether `caller` is banned now, and for how long.
    pub fn banned(&self, caller: &str, now: Instant) -> Option<Duration> {
        let until = self.bans.get(caller)?.until?;
        (now < until).then(|| until - now)
    }

    /// Bans `caller` from now on.
    pub fn ban(&mut self, caller: &str, now: Instant, span: Duration) {
        self.bans.entry(caller.to_owned()).or_default().until = Some(now + span);
    }

    /// What `caller` used in the window at hand.
    pub fn used(&self, limit: Limit, caller: &str, now: Instant) -> u64 {
        self.windows
            .get(&(limit.group, caller.to_owned()))
            .filter(|window| now.saturating_duration_since(window.since) < limit.window)
            .map_or(0, |window| window.used)
    }

    /// Takes back what a request was counted for.
    pub fn give_back(&mut self, limit: Limit, caller: &str, cost: u64) {
        if let Some(window) = self.windows.get_mut(&(limit.group, caller.to_owned())) {
            window.used = window.used.saturating_sub(cost);
        }
    }

    /// Counts a request of this cost.
    pub fn ask(&mut self, limit: Limit, caller: &str, cost: u64, now: Instant) -> Verdict {
        if let Some(after) = self.banned(caller, now) {
            return Verdict::Banned { after };
        }
        if self.windows.len() > Limits::MOST {
            self.windows.clear();
        }
        let window = self
            .windows
            .entry((limit.group, caller.to_owned()))
            .or_insert(Window { since: now, used: 0 });
        if now - window.since >= limit.window {
            *window = Window { since: now, used: 0 };
        }
        if window.used + cost <= limit.most {
            window.used += cost;
            let used = window.used;
            if let Some(ban) = self.bans.get_mut(caller) {
                ban.refused = 0;
            }
            return Verdict::Pass {
                used,
                left: limit.most - used,
            };
        }
        let after = (window.since + limit.window).saturating_duration_since(now);
        let ban = self.bans.entry(caller.to_owned()).or_default();
        ban.refused += 1;
        if ban.refused > Limits::PATIENCE {
            let span = self.first_ban * 2u32.saturating_pow(ban.count.min(10));
            *ban = Ban {
                until: Some(now + span),
                refused: 0,
                count: ban.count + 1,
            };
            return Verdict::Banned { after: span };
        }
        Verdict::TooMany { after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        group: "order",
        most: 3,
        window: Duration::from_secs(1),
    };

    #[test]
    fn a_window_fills_refuses_bans_and_forgives() {
        let mut limits = Limits::new(Duration::from_secs(10));
        let start = Instant::now();
        for used in 1..=3 {
            assert_eq!(limits.ask(LIMIT, "a", 1, start), Verdict::Pass { used, left: 3 - used });
        }
        // Another caller and another group have windows of their own.
        assert_eq!(limits.ask(LIMIT, "b", 1, start), Verdict::Pass { used: 1, left: 2 });
        let half = start + Duration::from_millis(400);
        assert_eq!(
            limits.ask(LIMIT, "a", 1, half),
            Verdict::TooMany {
                after: Duration::from_millis(600)
            }
        );
        for _ in 1..Limits::PATIENCE {
            assert!(matches!(limits.ask(LIMIT, "a", 1, half), Verdict::TooMany { .. }));
        }
        assert_eq!(
            limits.ask(LIMIT, "a", 1, half),
            Verdict::Banned {
                after: Duration::from_secs(10)
            }
        );
        let later = half + Duration::from_secs(9);
        assert_eq!(
            limits.ask(LIMIT, "a", 1, later),
            Verdict::Banned {
                after: Duration::from_secs(1)
            }
        );
        let free = half + Duration::from_secs(10);
        assert_eq!(limits.ask(LIMIT, "a", 3, free), Verdict::Pass { used: 3, left: 0 });
        // The next ban is twice as long.
        for _ in 0..Limits::PATIENCE {
            assert!(matches!(limits.ask(LIMIT, "a", 1, free), Verdict::TooMany { .. }));
        }
        assert_eq!(
            limits.ask(LIMIT, "a", 1, free),
            Verdict::Banned {
                after: Duration::from_secs(20)
            }
        );
    }

    #[test]
    fn a_cost_that_does_not_fit_is_not_counted() {
        let mut limits = Limits::new(Duration::from_secs(10));
        let now = Instant::now();
        assert!(matches!(limits.ask(LIMIT, "a", 4, now), Verdict::TooMany { .. }));
        assert_eq!(limits.ask(LIMIT, "a", 3, now), Verdict::Pass { used: 3, left: 0 });
        limits.give_back(LIMIT, "a", 2);
        assert_eq!(limits.used(LIMIT, "a", now), 1);
        assert_eq!(limits.used(LIMIT, "a", now + Duration::from_secs(1)), 0);
    }
}
