//! Which request of a round is due when.
//!
//! Each request has its own beat, all evenly apart, and keeps it: one that was late skips beats instead of
//! hurrying after them, one that is under way is not asked again. When requests fail, all of them pause, longer each time.

use std::time::Duration;

use tokio::time::Instant;

use super::requests::Ask;
use super::rule::{Counts, Share};
use crate::input::Request;
use crate::venue::Timers;

/// A round of requests that is asked again and again.
#[derive(Debug)]
pub struct Polls {
    items: Vec<Item>,
    wanted: Duration,
    shares: Vec<Share>,
    every: Duration,
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
    /// First beat after polling starts.
    phase: Duration,
    due: Option<Instant>,
    under_way: Option<Instant>,
}

impl Polls {
    /// A round of requests on one budget, each to be asked once in `wanted`, or less often when a share of it wants that.
    pub fn new(round: Vec<(Request, Ask)>, wanted: Duration, shares: Vec<Share>, timers: &Timers) -> Polls {
        let items = round.into_iter().map(|(request, ask)| Item {
            request,
            ask,
            phase: Duration::ZERO,
            due: None,
            under_way: None,
        });
        let mut polls = Polls {
            items: items.collect(),
            wanted,
            shares,
            every: wanted,
            backoff_first: Duration::from_millis(timers.backoff_first_ms),
            backoff_most: Duration::from_millis(timers.backoff_most_ms),
            failures: 0,
            pause: None,
            on: false,
        };
        polls.spread();
        polls
    }

    /// The shares may have changed: the round goes as fast as they allow from now on. Whether that is another pace.
    pub fn keep_to(&mut self, shares: &[Share], now: Instant) -> bool {
        if self.shares == shares {
            return false;
        }
        self.shares = shares.to_vec();
        let before = self.every;
        self.spread();
        let changed = self.every != before;
        if changed {
            for item in &mut self.items {
                item.due = self.on.then(|| now + item.phase);
            }
        }
        changed
    }

    /// Spreads the round evenly over the shortest time that all shares allow.
    fn spread(&mut self) {
        let weight: u32 = self.items.iter().map(|item| item.ask.weight).sum();
        let least = self.shares.iter().map(|share| {
            let round = match share.counts {
                Counts::Weight => f64::from(weight),
                Counts::Requests => self.items.len() as f64,
            };
            // A tenth more, because a request counts until a window after its end.
            share.window.mul_f64(1.1 * round / f64::from(share.most.max(1)))
        });
        self.every = least.fold(self.wanted, Duration::max);
        let mut before = 0;
        for item in &mut self.items {
            item.phase = self.every.mul_f64(f64::from(before) / f64::from(weight.max(1)));
            before += item.ask.weight;
        }
    }

    /// How many requests are asked in a round, and how long that takes.
    pub fn pace(&self) -> (usize, Duration) {
        (self.items.len(), self.every)
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

    /// Whether it is asked.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// The request that is due first, and when that is.
    pub fn next(&self) -> Option<(usize, Instant)> {
        let due = |item: &Item| item.due.filter(|_| item.under_way.is_none());
        self.items
            .iter()
            .enumerate()
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
        let every = self.every.as_nanos().max(1);
        let into = u64::try_from(late.as_nanos() % every).unwrap_or(0);
        item.due = Some(now + self.every.saturating_sub(Duration::from_nanos(into)));
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

    fn polls(books: usize, every_ms: u64, share: u32) -> Polls {
        let request = |at: usize| Request::Books(vec![format!("KRW-{at}")]);
        let round = (0..books).map(|at| (request(at), Ask::of(Protocol::Upbit, &request(at), 30)));
        let wanted = Duration::from_millis(every_ms);
        Polls::new(round.collect(), wanted, shares(share), &Timers::default())
    }

    /// So many requests a second.
    fn shares(most: u32) -> Vec<Share> {
        vec![Share {
            counts: Counts::Weight,
            most,
            window: SECOND,
        }]
    }

    /// Runs for so long, answers taking `took` after each send; times of sends by request.
    fn run(polls: &mut Polls, start: Instant, length: Duration, took: Duration) -> Vec<(usize, Duration)> {
        let mut sent = Vec::new();
        let mut now = start;
        while let Some((at, due)) = polls.next() {
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
        let mut polls = polls(10, 1_000, 100);
        assert_eq!(polls.next(), None, "not before it is switched on");
        assert!(polls.switch(true, start));
        assert!(!polls.switch(true, start), "it is on");
        let sent = run(&mut polls, start, 3 * SECOND, Duration::ZERO);
        let want: Vec<_> = (0..30)
            .map(|i| (i % 10, Duration::from_millis(i as u64 * 100)))
            .collect();
        assert_eq!(sent, want);
        assert!(polls.switch(false, start));
        assert_eq!(polls.next(), None);
    }

    #[test]
    fn a_round_that_the_budget_cannot_bear_is_slower_and_says_so() {
        assert_eq!(polls(2, 1_000, 3).pace(), (2, SECOND));
        assert_eq!(polls(30, 1_000, 3).pace(), (30, 11 * SECOND));
    }

    #[test]
    fn other_shares_are_another_pace_from_then_on() {
        let start = Instant::now();
        let mut polls = polls(30, 1_000, 60);
        polls.switch(true, start);
        assert!(!polls.keep_to(&shares(60), start));
        assert!(!polls.keep_to(&shares(100), start), "it is as fast as wanted");
        assert_eq!(polls.pace(), (30, SECOND));
        let later = start + 7 * SECOND;
        assert!(polls.keep_to(&shares(3), later));
        assert_eq!(polls.pace(), (30, 11 * SECOND));
        let sent = run(&mut polls, later, 11 * SECOND, Duration::ZERO);
        assert_eq!(sent.len(), 30);
        assert_eq!((sent[1].0, sent[1].1.as_millis()), (1, 366));
        // A second limit that is the stricter one, of requests instead of weights.
        let both = [
            shares(60),
            vec![Share {
                counts: Counts::Requests,
                most: 15,
                window: 10 * SECOND,
            }],
        ]
        .concat();
        assert!(polls.keep_to(&both, later));
        assert_eq!(polls.pace(), (30, 22 * SECOND));
    }

    #[test]
    fn a_late_one_keeps_its_beat_and_one_under_way_is_not_asked_again() {
        let start = Instant::now();
        let mut polls = polls(1, 1_000, 100);
        polls.switch(true, start);
        assert_eq!(polls.sent(0, start), Duration::ZERO);
        assert_eq!(polls.next(), None);
        polls.ended(0, true, start + SECOND * 7 / 2);
        assert_eq!(polls.next(), Some((0, start + SECOND)));
        assert_eq!(polls.sent(0, start + SECOND * 7 / 2), SECOND * 5 / 2);
        polls.ended(0, true, start + SECOND * 7 / 2);
        assert_eq!(
            polls.next(),
            Some((0, start + 4 * SECOND)),
            "not three at once to catch up"
        );
    }

    #[test]
    fn f10_failures_pause_all_longer_each_time() {
        let start = Instant::now();
        let mut polls = polls(4, 1_000, 100);
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
            let (_, due) = polls.next().expect("one is due");
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        polls.sent(0, now);
        polls.ended(0, true, now);
        let (_, due) = polls.next().expect("one is due");
        assert!(due <= now, "one that went well ends the pause");
    }

    proptest! {
        /// Any number of markets, any wish: never more in a window than the share, and each request comes around.
        #[test]
        fn the_share_is_kept_and_nobody_is_left_out(books in 1..40_usize, every_ms in 1..5_000_u64, share in 1..20_u32) {
            let start = Instant::now();
            let mut polls = polls(books, every_ms, share);
            let (_, every) = polls.pace();
            polls.switch(true, start);
            let sent = run(&mut polls, start, every * 2, Duration::ZERO);
            for (i, (_, from)) in sent.iter().enumerate() {
                let within = sent[i..].iter().take_while(|(_, time)| *time < *from + SECOND).count();
                prop_assert!(within <= share as usize, "{within} of {share}");
            }
            for at in 0..books {
                prop_assert!(sent.iter().filter(|(sent, _)| *sent == at).count() >= 2, "{at}");
            }
        }
    }
}
