//! What the clocks are worth: latencies, a venue's offset and drift, and steps of our own wall clock.
//!
//! Nothing here moves a timer: those run on the monotonic clock alone. What always holds: a latency that is negative is
//! counted and shown as one, never cut off at zero.

use crate::clock::Stamp;

/// Receive time less event time, over all messages that carry a time. 16 steps an octave, so that the median is exact to
/// 3 %.
#[derive(Debug, Clone)]
pub struct Latency {
    count: u64,
    negative: u64,
    least_ns: i64,
    most_ns: i64,
    /// Negative ones, by size; and the others.
    buckets: [Box<[u64; BUCKETS]>; 2],
}

const STEPS: usize = 16;
const BUCKETS: usize = STEPS * 61;

/// The figures of a [`Latency`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencySummary {
    /// Messages.
    pub count: u64,
    /// Of them, those whose venue time was later than ours.
    pub negative: u64,
    /// Least, in nanoseconds; negative when the venue's clock is ahead of ours.
    pub least_ns: i64,
    /// Median, in nanoseconds.
    pub median_ns: i64,
    /// Greatest, in nanoseconds.
    pub most_ns: i64,
}

impl Latency {
    pub(super) fn new() -> Latency {
        Latency {
            count: 0,
            negative: 0,
            least_ns: i64::MAX,
            most_ns: i64::MIN,
            buckets: [Box::new([0; BUCKETS]), Box::new([0; BUCKETS])],
        }
    }

    pub(super) fn observe(&mut self, latency_ns: i64) {
        self.count += 1;
        self.negative += u64::from(latency_ns < 0);
        self.least_ns = self.least_ns.min(latency_ns);
        self.most_ns = self.most_ns.max(latency_ns);
        self.buckets[usize::from(latency_ns >= 0)][bucket(latency_ns.unsigned_abs())] += 1;
    }

    /// The figures so far; `None` before the first message.
    pub fn summary(&self) -> Option<LatencySummary> {
        (self.count > 0).then(|| LatencySummary {
            count: self.count,
            negative: self.negative,
            least_ns: self.least_ns,
            median_ns: self.median().clamp(self.least_ns, self.most_ns),
            most_ns: self.most_ns,
        })
    }

    fn median(&self) -> i64 {
        let [negative, others] = &self.buckets;
        let sizes = (0..BUCKETS).map(middle);
        let below = negative.iter().zip(sizes.clone()).rev().map(|(n, size)| (n, -size));
        let above = others.iter().zip(sizes);
        let mut left = self.count.div_ceil(2);
        for (count, size) in below.chain(above) {
            if *count >= left {
                return size;
            }
            left -= count;
        }
        self.most_ns
    }
}

fn bucket(size: u64) -> usize {
    let size = size.min(i64::MAX as u64);
    if size < STEPS as u64 {
        return size as usize;
    }
    let octave = 63 - size.leading_zeros() as usize;
    (octave - 3) * STEPS + (size >> (octave - 4)) as usize % STEPS
}

/// The middle of a bucket.
fn middle(bucket: usize) -> i64 {
    if bucket < STEPS {
        return bucket as i64;
    }
    let octave = bucket / STEPS + 3;
    let step = 1i64 << (octave - 4);
    (1i64 << octave) + step * (bucket % STEPS) as i64 + step / 2
}

/// How long a venue's clock is compared before a new comparison begins.
const WINDOW_NS: i64 = 300_000_000_000;

/// A venue's clock beside our monotonic one. The least difference seen stands for a message that was not held up; what a
/// message's difference is beyond that, is how long it was held up. No wall clock enters into it, so that a step of ours
/// makes no book stale.
#[derive(Debug, Clone)]
pub(super) struct VenueClock {
    ahead_ns: i64,
    /// Least difference of the window before, and of this one.
    least: [Option<i64>; 2],
    window_ends: i64,
    first: Option<i64>,
    ahead_until: i64,
    pub ahead: bool,
    pub drift: bool,
}

impl VenueClock {
    pub fn new(ahead_ns: i64) -> VenueClock {
        VenueClock {
            ahead_ns,
            least: [None; 2],
            window_ends: i64::MIN,
            first: None,
            ahead_until: i64::MIN,
            ahead: false,
            drift: false,
        }
    }

    /// A message with this venue time was read now. When its content was made, on our monotonic clock; and whether a flag
    /// may have changed.
    pub fn observe(&mut self, now: Stamp, ts: i64) -> (i64, bool) {
        let flags = (self.ahead, self.drift);
        let age = now.ts.0.saturating_sub(ts);
        if age < -self.ahead_ns {
            self.ahead = true;
            self.ahead_until = now.mono_ns.saturating_add(WINDOW_NS);
        } else if now.mono_ns >= self.ahead_until {
            self.ahead = false;
        }
        if now.mono_ns >= self.window_ends {
            self.rotate(now);
        }
        // A time that is not yet would make all others look late.
        let mut made = now.mono_ns;
        if age >= -self.ahead_ns {
            let difference = now.mono_ns.saturating_sub(ts);
            let least = self.least[1].map_or(difference, |least| least.min(difference));
            self.least[1] = Some(least);
            let least = self.least[0].map_or(least, |before| before.min(least));
            made = ts.saturating_add(least).min(now.mono_ns);
        }
        (made, flags != (self.ahead, self.drift))
    }

    fn rotate(&mut self, now: Stamp) {
        if let Some(least) = self.least[1] {
            let first = *self.first.get_or_insert(least);
            self.drift = least.saturating_sub(first).abs() > self.ahead_ns;
        }
        self.least = [self.least[1], None];
        self.window_ends = now.mono_ns.saturating_add(WINDOW_NS);
    }
}

/// After this long without another step, the wall clock is believed again as it is.
const STEADY_NS: i64 = 60_000_000_000;
/// The wall clock may be slewed by this part of the time that passes (500 ppm), as NTP does.
const SLEW: i64 = 2_000;

/// Our wall clock beside the monotonic one.
#[derive(Debug, Clone)]
pub(super) struct OwnClock {
    limit_ns: i64,
    /// Wall time less monotonic time, as it should be; and when that was last adjusted.
    reference: Option<(i64, i64)>,
    /// A difference that may become the reference, and since when it has held.
    candidate: (i64, i64),
    pub doubtful: bool,
    pub steps: u64,
}

impl OwnClock {
    pub fn new(limit_ns: i64) -> OwnClock {
        OwnClock {
            limit_ns,
            reference: None,
            candidate: (0, 0),
            doubtful: false,
            steps: 0,
        }
    }

    /// Whether `doubtful` changed.
    pub fn observe(&mut self, stamp: Stamp) -> bool {
        let difference = stamp.ts.0.saturating_sub(stamp.mono_ns);
        let Some((reference, at)) = self.reference else {
            self.reference = Some((difference, stamp.mono_ns));
            return false;
        };
        let off = difference.saturating_sub(reference);
        let was = self.doubtful;
        if off.abs() <= self.limit_ns {
            self.doubtful = false;
            let slew = stamp.mono_ns.saturating_sub(at).max(0) / SLEW;
            if slew > 0 {
                self.reference = Some((reference + off.clamp(-slew, slew), stamp.mono_ns));
            }
        } else {
            self.steps += u64::from(!self.doubtful);
            if !self.doubtful || difference.saturating_sub(self.candidate.0).abs() > self.limit_ns {
                self.candidate = (difference, stamp.mono_ns);
            }
            self.doubtful = stamp.mono_ns.saturating_sub(self.candidate.1) < STEADY_NS;
            if !self.doubtful {
                self.reference = Some((difference, stamp.mono_ns));
            }
        }
        was != self.doubtful
    }
}
