//! Which request of a round is due when.
//!
//! Each request has its own beat, all of one group evenly apart, and keeps it: one that was late skips beats instead of
//! hurrying after them, one that is under way is not asked again. When requests fail, all of them pause, longer each time.

use std::time::Duration;

use tokio::time::Instant;

use super::requests::Ask;
use crate::input::Request;
use crate::venue::Timers;

/// A round of requests that is asked again and again.
#[derive(Debug)]
pub struct Polls {
    items: Vec<Item>,
    backoff_first: Duration,
    backoff_most: Duration,
    failures: u32,
    /// Nothing is asked before this.
    pause: Option<Instant>,
    on: bool,
}

#[derive(Debug)]
struct Item {
    request: Request,
    ask: Ask,
    every: Duration,
    /// First beat after polling starts.
    phase: Duration,
    due: Option<Instant>,
    under_way: Option<Instant>,
}

/// What a group can be asked for by polls.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Sum of weights,
    pub share: u32,
    /// within this.
    pub window: Duration,
}

impl Polls {
    /// A round, each request to be asked once in `every`, or less often when the budget of its group wants it.
    pub fn new(round: Vec<(Request, Ask)>, every: Duration, budget: Budget, timers: &Timers) -> Polls {
        let mut items: Vec<Item> = round
            .into_iter()
            .map(|(request, ask)| Item {
                request,
                ask,
                every,
                phase: Duration::ZERO,
                due: None,
                under_way: None,
            })
            .collect();
        let mut groups: Vec<&'static str> = items.iter().map(|item| item.ask.group).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let weight: u32 = items
                .iter()
                .filter(|item| item.ask.group == group)
                .map(|item| item.ask.weight)
                .sum();
            // A tenth more, because a request counts until a window after its end.
            let least = budget
                .window
                .saturating_mul(weight)
                .mul_f64(1.1 / f64::from(budget.share.max(1)));
            let every = every.max(least);
            let mut before = 0;
            for item in items.iter_mut().filter(|item| item.ask.group == group) {
                item.every = every;
                item.phase = every.mul_f64(f64::from(before) / f64::from(weight.max(1)));
                before += item.ask.weight;
            }
        }
        Polls {
            items,
            backoff_first: Duration::from_millis(timers.backoff_first_ms),
            backoff_most: Duration::from_millis(timers.backoff_most_ms),
            failures: 0,
            pause: None,
            on: false,
        }
    }

    /// How often each group is asked for the whole round: groups, requests, time.
    pub fn pace(&self) -> Vec<(&'static str, usize, Duration)> {
        let mut pace: Vec<(&'static str, usize, Duration)> = Vec::new();
        for item in &self.items {
            match pace.iter_mut().find(|(group, _, _)| *group == item.ask.group) {
                Some((_, requests, _)) => *requests += 1,
                None => pace.push((item.ask.group, 1, item.every)),
            }
        }
        pace
    }

    /// Starts or stops; whether that changed anything.
    pub fn switch(&mut self, on: bool, now: Instant) -> bool {
        let changed = self.on != on;
        if changed {
            self.on = on;
            for item in &mut self.items {
                item.due = on.then(|| now + item.phase);
            }
        }
        changed
    }

    /// The request that is due first, in none of these groups, and when that is.
    pub fn next(&self, without: &[&'static str]) -> Option<(usize, Instant)> {
        let due = |item: &Item| item.due.filter(|_| item.under_way.is_none());
        self.items
            .iter()
            .enumerate()
            .filter(|(_, item)| !without.contains(&item.ask.group))
            .filter_map(|(at, item)| due(item).map(|due| (at, due)))
            .min_by_key(|(at, due)| (*due, *at))
            .map(|(at, due)| (at, self.pause.map_or(due, |pause| pause.max(due))))
    }

    /// The request of this number.
    pub fn get(&self, at: usize) -> Option<(&Request, &Ask)> {
        self.items.get(at).map(|item| (&item.request, &item.ask))
    }

    /// It was sent. Tells by how much it was late.
    pub fn sent(&mut self, at: usize, now: Instant) -> Duration {
        let Some(item) = self.items.get_mut(at) else {
            return Duration::ZERO;
        };
        item.under_way = Some(now);
        let Some(due) = item.due else {
            return Duration::ZERO;
        };
        let late = now.saturating_duration_since(due);
        let every = item.every.as_nanos().max(1);
        let into = u64::try_from(late.as_nanos() % every).unwrap_or(0);
        item.due = Some(now + item.every.saturating_sub(Duration::from_nanos(into)));
        late
    }

    /// It came to its end, well or not.
    pub fn ended(&mut self, at: usize, well: bool, now: Instant) {
        let sent = self.items.get_mut(at).and_then(|item| item.under_way.take());
        if well {
            self.failures = 0;
            self.pause = None;
        } else if sent >= self.pause {
            // Of those that were under way together only the first counts.
            let doubled = self.backoff_first.saturating_mul(1 << self.failures.min(16));
            self.failures = self.failures.saturating_add(1);
            self.pause = Some(now + doubled.min(self.backoff_most));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::Protocol;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn polls(books: usize, trades: usize, every_ms: u64, share: u32) -> Polls {
        let request = |at: usize| match at < books {
            true => Request::Books(vec![format!("KRW-{at}")]),
            false => Request::Trades(format!("KRW-{at}")),
        };
        let round = (0..books + trades).map(|at| (request(at), Ask::of(Protocol::Upbit, &request(at), 30)));
        let budget = Budget { share, window: SECOND };
        Polls::new(
            round.collect(),
            Duration::from_millis(every_ms),
            budget,
            &Timers::default(),
        )
    }

    /// Runs for so long, answers taking `took` after each send; times of sends by request.
    fn run(polls: &mut Polls, start: Instant, length: Duration, took: Duration) -> Vec<(usize, Duration)> {
        let mut sent = Vec::new();
        let mut now = start;
        while let Some((at, due)) = polls.next(&[]) {
            now = now.max(due);
            if now >= start + length {
                break;
            }
            polls.sent(at, now);
            polls.ended(at, true, now + took);
            sent.push((at, now - start));
        }
        sent
    }

    #[test]
    fn a_round_is_evenly_spread_and_as_fast_as_wanted() {
        let start = Instant::now();
        let mut polls = polls(10, 0, 1_000, 100);
        assert_eq!(polls.next(&[]), None, "not before it is switched on");
        assert!(polls.switch(true, start));
        assert!(!polls.switch(true, start), "it is on");
        let sent = run(&mut polls, start, 3 * SECOND, Duration::ZERO);
        let want: Vec<_> = (0..30)
            .map(|i| (i % 10, Duration::from_millis(i as u64 * 100)))
            .collect();
        assert_eq!(sent, want);
        assert!(polls.switch(false, start));
        assert_eq!(polls.next(&[]), None);
    }

    #[test]
    fn a_round_that_the_budget_cannot_bear_is_slower_and_says_so() {
        let polls = polls(3, 30, 1_000, 3);
        let pace: Vec<_> = polls
            .pace()
            .iter()
            .map(|(group, requests, every)| (*group, *requests, every.as_millis()))
            .collect();
        assert_eq!(pace, [("orderbook", 3, 1_100), ("trade", 30, 11_000)]);
    }

    #[test]
    fn a_late_one_keeps_its_beat_and_one_under_way_is_not_asked_again() {
        let start = Instant::now();
        let mut polls = polls(1, 0, 1_000, 100);
        polls.switch(true, start);
        assert_eq!(polls.sent(0, start), Duration::ZERO);
        assert_eq!(polls.next(&[]), None);
        polls.ended(0, true, start + SECOND * 7 / 2);
        assert_eq!(polls.next(&[]), Some((0, start + SECOND)));
        assert_eq!(polls.sent(0, start + SECOND * 7 / 2), SECOND * 5 / 2);
        polls.ended(0, true, start + SECOND * 7 / 2);
        assert_eq!(
            polls.next(&[]),
            Some((0, start + 4 * SECOND)),
            "not three at once to catch up"
        );
    }

    #[test]
    fn f10_failures_pause_all_longer_each_time() {
        let start = Instant::now();
        let mut polls = polls(4, 0, 1_000, 100);
        polls.switch(true, start);
        let mut now = start + SECOND;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            for at in 0..4 {
                polls.sent(at, now);
            }
            for at in 0..4 {
                polls.ended(at, false, now);
            }
            let (_, due) = polls.next(&[]).expect("one is due");
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        polls.sent(0, now);
        polls.ended(0, true, now);
        let (_, due) = polls.next(&[]).expect("one is due");
        assert!(due <= now, "one that went well ends the pause");
    }

    proptest! {
        /// Any number of markets, any wish: never more in a window than the share, and each request comes around.
        #[test]
        fn the_share_is_kept_and_nobody_is_left_out(books in 1..40_usize, trades in 0..40_usize, every_ms in 1..5_000_u64, share in 1..20_u32) {
            let start = Instant::now();
            let mut polls = polls(books, trades, every_ms, share);
            let slowest = polls.pace().iter().map(|(_, _, every)| *every).max().expect("a group");
            polls.switch(true, start);
            let sent = run(&mut polls, start, slowest * 2, Duration::ZERO);
            for group in [0..books, books..books + trades] {
                let times: Vec<_> = sent.iter().filter(|(at, _)| group.contains(at)).map(|(_, time)| *time).collect();
                for (i, from) in times.iter().enumerate() {
                    let within = times[i..].iter().take_while(|time| **time < *from + SECOND).count();
                    prop_assert!(within <= share as usize, "{within} of {share}");
                }
            }
            for at in 0..books + trades {
                prop_assert!(sent.iter().filter(|(sent, _)| *sent == at).count() >= 2, "{at}");
            }
        }
    }
}
