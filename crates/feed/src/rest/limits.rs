//! How much may be asked of a host: one budget per group, checked before anything is sent, and corrected by answers.
//!
//! What always holds: within any window of any rule, at the venue as well as here, the weight that was sent is at most our
//! share of the venue's limit; while the venue told us to wait nothing is sent; and after such a wait one request goes
//! first, alone, and the others follow when it was answered.
//!
//! A budget remembers what was sent instead of counting cells that refill. A cell counter (`governor` is one) lets a full
//! burst and a window's refill pass within one window, which is twice the limit, and cannot be told that others behind
//! our address have used the budget up; both are what a venue bans for. A request counts from its start until a whole
//! window after its end, so however long it was under way, the venue's window cannot hold more than ours.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::rule::{Counts, Purpose, Rule, Share};
use super::signs::Signs;
use crate::error::FeedError;
use crate::venue::RestLimits;

/// The budgets of one host.
#[derive(Debug)]
pub struct Limits {
    headroom_percent: u8,
    banned: Duration,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// What each group is held to. There is always one; of the first the answers tell how much is used.
    rules: Vec<Rule>,
    /// The host told us to stop altogether.
    stop: Option<Hold>,
    doubt: Option<Doubt>,
    /// Requests, whatever they weigh.
    under_way: u32,
    budgets: BTreeMap<String, Budget>,
    /// What the venue calls our groups, where it differs.
    names: BTreeMap<&'static str, String>,
}

#[derive(Debug, Default)]
struct Budget {
    /// End and weight of what was sent, oldest first.
    sent: VecDeque<(Instant, u32)>,
    under_way: Load,
    told: Option<Told>,
    hold: Option<Hold>,
    doubt: Option<Doubt>,
}

/// Requests that are under way.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    weight: u32,
    requests: u32,
}

/// After an answer that told us to wait, until one of another kind: one request at a time.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Instant,
    /// How often in a row we were told to wait, answers to requests that were under way together counted once.
    in_row: u32,
}

/// What the venue said was used, by us and by others behind our address.
#[derive(Debug, Clone, Copy)]
struct Told {
    used: u32,
    /// What we sent since, or may have sent since.
    since: u32,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Hold {
    until: Instant,
    status: u16,
}

/// Why a request may not be sent yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// When to ask again; `None` when another request has to come to its end first ([`Limits::freed`]).
    pub until: Option<Instant>,
    /// The status of the answer that told us to wait; `None` when our own share is used up.
    pub status: Option<u16>,
}

/// The right to send one request. It counts as sent until it is dropped, and for a window longer.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<Limits>,
    group: &'static str,
    weight: u32,
    taken: Instant,
}

impl Limits {
    /// Budgets of a host, each group with this rule.
    pub fn new(rule: Rule, rest: &RestLimits) -> Arc<Limits> {
        Arc::new(Limits {
            headroom_percent: rest.headroom_percent,
            banned: Duration::from_millis(rest.banned_ms),
            state: Mutex::new(State {
                rules: vec![rule],
                stop: None,
                doubt: None,
                under_way: 0,
                budgets: BTreeMap::new(),
                names: BTreeMap::new(),
            }),
            freed: Notify::new(),
        })
    }

    /// Holds every group to these rules from now on; what was sent before counts. Whether that changed anything: nothing
    /// does when there is no rule among them. Answers tell of the first one's window.
    pub fn set(&self, rules: Vec<Rule>) -> bool {
        let mut state = self.lock();
        let changed = !rules.is_empty() && rules != state.rules;
        if changed {
            state.rules = rules;
            self.freed.notify_waiters();
        }
        changed
    }

    /// The rules in force.
    pub fn rules(&self) -> Vec<Rule> {
        self.lock().rules.clone()
    }

    /// Our part of each rule.
    pub fn shares(&self, purpose: Purpose) -> Vec<Share> {
        let share = |rule: &Rule| rule.share(self.headroom_percent, purpose);
        self.lock().rules.iter().map(share).collect()
    }

    /// Resolves when a request has come to its end, or other rules hold, after this was called.
    pub fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.freed.notified()
    }

    /// A permit for a request of this weight, now.
    ///
    /// A request that weighs more than the share is let through when nothing else was sent for a window.
    ///
    /// # Errors
    /// [`Held`], when it has to wait.
    pub fn try_acquire(self: &Arc<Self>, group: &'static str, weight: u32, purpose: Purpose) -> Result<Permit, Held> {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(stop) = state.stop.filter(|stop| stop.until > now) {
            return Err(stop.into());
        }
        let name = state.names.get(group).map_or(group, String::as_str);
        let budget = state.budgets.entry(name.to_owned()).or_default();
        if let Some(hold) = budget.hold.filter(|hold| hold.until > now) {
            return Err(hold.into());
        }
        let alone = (state.doubt.is_none() || state.under_way == 0)
            && (budget.doubt.is_none() || budget.under_way.requests == 0);
        if !alone {
            return Err(Held::ENDS);
        }
        let weight = weight.max(1);
        let headroom = self.headroom_percent;
        let longest = state.rules.iter().map(|rule| rule.window).max();
        budget.forget(now, longest.unwrap_or_default());
        if let Some(first) = state.rules.first() {
            budget.room_as_told(now, weight, first.share(headroom, purpose), first)?;
        }
        for rule in &state.rules {
            budget.room(now, weight, rule.share(headroom, purpose))?;
        }
        budget.under_way.weight += weight;
        budget.under_way.requests += 1;
        if let Some(told) = &mut budget.told {
            told.since = told.since.saturating_add(weight);
        }
        state.under_way += 1;
        Ok(Permit {
            limits: Arc::clone(self),
            group,
            weight,
            taken: now,
        })
    }

    /// A permit, waited for: for room in our own share as long as `patience`, for the end of a wait that the venue told
    /// us only when it ends within `patience`.
    ///
    /// # Errors
    /// [`FeedError::Limited`] when the venue told us to wait for longer; [`FeedError::Timeout`] when there was no room.
    pub async fn acquire(
        self: &Arc<Self>,
        group: &'static str,
        weight: u32,
        patience: Duration,
    ) -> Result<Permit, FeedError> {
        let deadline = Instant::now() + patience;
        loop {
            let freed = self.freed();
            let held = match self.try_acquire(group, weight, Purpose::Fetch) {
                Ok(permit) => return Ok(permit),
                Err(held) => held,
            };
            if let Some(limited) = held.limited(deadline) {
                return Err(limited);
            }
            if Instant::now() >= deadline {
                return Err(FeedError::Timeout {
                    what: format!("waiting for room in group {group}"),
                    limit_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
                });
            }
            let wake = held.until.unwrap_or(deadline).min(deadline);
            tokio::select! {
                biased;
                () = freed => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Whether the venue told us to wait, for a group or altogether, and until when.
    pub fn held(&self, group: &str) -> Option<Held> {
        let now = Instant::now();
        let state = self.lock();
        let name = state.names.get(group).map_or(group, String::as_str);
        let hold = state.budgets.get(name).and_then(|budget| budget.hold);
        [state.stop, hold]
            .into_iter()
            .flatten()
            .filter(|hold| hold.until > now)
            .max_by_key(|hold| hold.until)
            .map(Held::from)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Hold> for Held {
    fn from(hold: Hold) -> Held {
        Held {
            until: Some(hold.until),
            status: Some(hold.status),
        }
    }
}

impl Held {
    /// Until another request ends.
    const ENDS: Held = Held {
        until: None,
        status: None,
    };

    /// The error for a request that cannot be sent before `deadline` because the venue told us to wait.
    pub fn limited(&self, deadline: Instant) -> Option<FeedError> {
        match (self.status, self.until) {
            (Some(status), Some(until)) if until > deadline => Some(FeedError::Limited {
                status,
                wait: until.saturating_duration_since(Instant::now()),
            }),
            _ => None,
        }
    }
}

impl Permit {
    /// Takes in what an answer says about limits, and tells whether it is one that tells us to wait.
    ///
    /// | status | what is held | for how long, when the answer does not say |
    /// | --- | --- | --- |
    /// | 429 | the group | a window, doubled with each in a row, to half an hour |
    /// | 418, and 403 from a firewall | the host | `banned_ms`, doubled with each in a row, to half an hour |
    /// | 5xx with `Retry-After` | the group | as said |
    pub fn heard(&self, status: u16, signs: &Signs) -> Option<FeedError> {
        let now = Instant::now();
        let limits = &*self.limits;
        let mut state = limits.lock();
        let state = &mut *state;
        if let Some((name, _)) = &signs.remaining {
            state.rename(self.group, name);
        }
        let name = state.names.get(self.group).map_or(self.group, String::as_str);
        let budget = state.budgets.entry(name.to_owned()).or_default();
        let rule = state.rules.first();
        let window = rule.map_or(LEAST_WAIT, |rule| rule.window);
        let left = signs
            .remaining
            .as_ref()
            .zip(rule)
            .map(|((_, left), rule)| rule.limit.saturating_sub(*left));
        let used = signs.used.iter().find(|(within, _)| *within == window);
        if let Some(used) = used.map(|(_, used)| *used).or(left) {
            budget.tell(used, self, window);
        }
        let (doubt, first) = match status {
            429 => (&mut budget.doubt, window),
            403 | 418 => (&mut state.doubt, limits.banned),
            _ => {
                for doubt in [&mut budget.doubt, &mut state.doubt] {
                    *doubt = doubt.filter(|doubt| self.taken <= doubt.since);
                }
                if let Some(wait) = signs.wait.filter(|_| status >= 500) {
                    budget.hold = Some(later(budget.hold, now + wait, status));
                }
                return None;
            }
        };
        let in_row = match *doubt {
            Some(doubt) if self.taken <= doubt.since => doubt.in_row,
            Some(doubt) => doubt.in_row.saturating_add(1),
            None => 1,
        };
        *doubt = Some(Doubt { since: now, in_row });
        let doubled = first
            .saturating_mul(1 << (in_row - 1).min(16))
            .min(MOST_DOUBLED.max(first));
        let wait = signs.wait.unwrap_or(doubled).max(LEAST_WAIT);
        let hold = if status == 429 {
            &mut budget.hold
        } else {
            &mut state.stop
        };
        *hold = Some(later(*hold, now + wait, status));
        Some(FeedError::Limited { status, wait })
    }
}

/// No wait is shorter.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// A wait of which the venue did not say how long is not doubled beyond this.
const MOST_DOUBLED: Duration = Duration::from_secs(1_800);

fn later(hold: Option<Hold>, until: Instant, status: u16) -> Hold {
    match hold {
        Some(hold) if hold.until > until => hold,
        _ => Hold { until, status },
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limits.lock();
        let state = &mut *state;
        state.under_way = state.under_way.saturating_sub(1);
        let name = state.names.get(self.group).map_or(self.group, String::as_str);
        if let Some(budget) = state.budgets.get_mut(name) {
            let under_way = &mut budget.under_way;
            under_way.weight = under_way.weight.saturating_sub(self.weight);
            under_way.requests = under_way.requests.saturating_sub(1);
            budget.sent.push_back((Instant::now(), self.weight));
        }
        self.limits.freed.notify_waiters();
    }
}

impl State {
    /// The venue calls our group something else: its budget goes by that name from now on, together with any other group
    /// of ours that turned out to be the same one.
    fn rename(&mut self, group: &'static str, name: &str) {
        let known = self.names.get(group).cloned().unwrap_or_else(|| group.to_owned());
        if known == name {
            return;
        }
        if let Some(moved) = self.budgets.remove(&known) {
            self.budgets.entry(name.to_owned()).or_default().merge(moved);
        }
        // Every group that went by the old name shares the budget that was moved.
        for alias in self.names.values_mut().filter(|alias| **alias == known) {
            name.clone_into(alias);
        }
        self.names.insert(group, name.to_owned());
    }
}

impl Budget {
    /// Forgets what was sent so long ago that no rule counts it.
    fn forget(&mut self, now: Instant, longest: Duration) {
        while self.sent.front().is_some_and(|(end, _)| *end + longest <= now) {
            self.sent.pop_front();
        }
    }

    /// Whether there is room for a request of this weight beside what the venue said is used.
    fn room_as_told(&self, now: Instant, weight: u32, share: Share, rule: &Rule) -> Result<(), Held> {
        let Some(told) = self.told.filter(|told| told.at + rule.window > now) else {
            return Ok(());
        };
        // Others count here too, so this is measured against the venue's limit, with a tenth of it kept free.
        let most = share.most.max(rule.limit - rule.limit / 10);
        let weight = weight.min(share.most);
        if told.used.saturating_add(told.since).saturating_add(weight) <= most {
            return Ok(());
        }
        Err(Held {
            until: Some(told.at + rule.window),
            status: None,
        })
    }

    /// Whether there is room for a request of this weight beside what we sent ourselves.
    fn room(&self, now: Instant, weight: u32, share: Share) -> Result<(), Held> {
        let Share { counts, most, window } = share;
        // More than the share: allowed when it is alone.
        let weight = counts.of(weight).min(most);
        let before = self.sent.partition_point(|(end, _)| *end + window <= now);
        let counted = || {
            self.sent
                .range(before..)
                .map(|(end, weight)| (*end, counts.of(*weight)))
        };
        let under_way = match counts {
            Counts::Weight => self.under_way.weight,
            Counts::Requests => self.under_way.requests,
        };
        let mut sum = counted().map(|(_, sent)| sent).sum::<u32>() + under_way;
        if sum + weight <= most {
            return Ok(());
        }
        for (end, ended) in counted() {
            sum -= ended;
            if sum + weight <= most {
                return Err(Held {
                    until: Some(end + window),
                    status: None,
                });
            }
        }
        Err(Held::ENDS)
    }

    /// The venue said how much is used.
    fn tell(&mut self, used: u32, permit: &Permit, window: Duration) {
        let now = Instant::now();
        // What is under way beside this request may be counted in `used` or not: it counts here.
        let since = self.under_way.weight.saturating_sub(permit.weight);
        let new = Told { used, since, at: now };
        self.told = Some(match self.told {
            // The two requests overlapped, so which of the answers is the newer one cannot be known: the worse one holds.
            Some(old)
                if permit.taken < old.at
                    && old.at + window > now
                    && old.used.saturating_add(old.since) > used.saturating_add(since) =>
            {
                old
            }
            _ => new,
        });
    }

    fn merge(&mut self, other: Budget) {
        self.sent.extend(other.sent);
        self.sent.make_contiguous().sort_by_key(|(end, _)| *end);
        self.under_way.weight += other.under_way.weight;
        self.under_way.requests += other.under_way.requests;
        self.told = self.told.or(other.told);
        self.doubt = self.doubt.or(other.doubt);
        if let Some(hold) = other.hold {
            self.hold = Some(later(self.hold, hold.until, hold.status));
        }
    }
}

#[cfg(test)]
mod tests;
