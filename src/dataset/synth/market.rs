//! The market of a price model: one latent price, seen by two venues.

use std::collections::VecDeque;

use crossbook_engine::event::Kind;
use crossbook_engine::rng::Rng;
use crossbook_engine::units::TimestampNs;

use super::latent::{Fx, Premium, Price};
use super::publisher::{Latency, Publisher};
use super::spec::{FxSpec, MarketSpec, Role, Spec, SpecError};
use super::{Sink, SynthError};
use crate::dataset::message::Message;

pub(super) fn run<E>(spec: &Spec, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
    let missing = |key: &str| SpecError::Rule {
        key: key.to_owned(),
        rule: "missing: a market without candles needs it".to_owned(),
    };
    let price_spec = spec.price.as_ref().ok_or_else(|| missing("price"))?;
    let premium_spec = spec.premium.as_ref().ok_or_else(|| missing("premium"))?;
    let from_ns = spec.from_ns()?.ok_or_else(|| missing("from"))?;
    let duration_s = spec.duration_s.ok_or_else(|| missing("duration_s"))?;

    let seed = spec.seed;
    let step_ns = spec.step_ms as i64 * 1_000_000;
    let steps = duration_s * 1000 / spec.step_ms;
    let step_s = spec.step_ms as f64 / 1000.0;
    let mut price = Price::new(price_spec, step_s, seed);
    let mut premium = Premium::new(premium_spec, step_s, seed);
    let mut rate = spec.fx.as_ref().map(|fx| Rates::new(fx, spec.step_ms, seed));
    let mut venues: Vec<Venue> = Vec::new();
    for (key, market) in spec.markets() {
        // The rate's stream stands between the two markets and the book of the quote currencies.
        let stream = if key == "usdt.market" { 3 } else { venues.len() };
        venues.push(Venue::new(stream, key, market, spec.step_ms, from_ns, seed));
    }
    let (lag_steps, leader) = match &spec.lead {
        Some(lead) => ((lead.lag_ms / spec.step_ms) as usize, lead.leader),
        None => (0, Role::A),
    };
    // Before the first step the price stood still.
    let mut past: VecDeque<f64> = VecDeque::from(vec![price.value(); lag_steps]);

    for step in 0..steps {
        let now_ns = from_ns + step as i64 * step_ns;
        if step > 0 {
            price.step();
            premium.step(price.burst().map_or(1.0, |burst| burst.premium_volatility_multiplier));
        }
        past.push_back(price.value());
        let followed = past.pop_front().unwrap_or_else(|| price.value());
        let (at_a, at_b) = match leader {
            Role::A => (price.value(), followed),
            Role::B => (followed, price.value()),
        };
        if let Some(rate) = &mut rate {
            rate.step(step, now_ns, sink)?;
        }
        let fx = rate.as_ref().map_or(1.0, |rate| rate.value);
        let share = spec.usdt.as_ref().map_or(0.0, |usdt| usdt.share_of_premium);
        let mids = [
            at_a * fx * (1.0 + premium.value()),
            at_b,
            fx * (1.0 + share * premium.value()),
        ];
        let rate_multiplier = price.burst().map_or(1, |burst| burst.message_rate_multiplier);
        for (venue, mid) in venues.iter_mut().zip(mids) {
            venue.step(step, now_ns, mid, rate_multiplier, sink)?;
        }
    }
    Ok(())
}

/// One market and when its next book is due.
struct Venue {
    key: &'static str,
    publisher: Publisher,
    every_steps: u64,
    phase_ns: i64,
    /// The step of the last book.
    last_step: Option<u64>,
}

impl Venue {
    fn new(stream: usize, key: &'static str, spec: &MarketSpec, step_ms: u64, from_ns: i64, seed: u64) -> Venue {
        Venue {
            key,
            publisher: Publisher::new(stream, key, spec, from_ns, seed),
            every_steps: spec.every_ms / step_ms,
            phase_ns: spec.phase_ms as i64 * 1_000_000,
            last_step: None,
        }
    }

    fn step<E>(
        &mut self,
        step: u64,
        now_ns: i64,
        mid: f64,
        rate_multiplier: u64,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), SynthError<E>> {
        let every = (self.every_steps / rate_multiplier).max(1);
        if self.last_step.is_some_and(|last| step < last + every) {
            return Ok(());
        }
        self.last_step = Some(step);
        let now_ns = now_ns + self.phase_ns;
        self.publisher.advance(now_ns, rate_multiplier, sink)?;
        let touch = self.publisher.touch_around(mid).ok_or_else(|| SynthError::Price {
            key: self.key,
            at: TimestampNs(now_ns),
            price: format!("{mid}"),
        })?;
        self.publisher.publish(now_ns, touch, sink)
    }
}

/// The exchange rate as it is published.
struct Rates {
    process: Fx,
    every_steps: u64,
    latency: Latency,
    value: f64,
}

impl Rates {
    const STREAM: usize = 2;

    fn new(spec: &FxSpec, step_ms: u64, seed: u64) -> Rates {
        Rates {
            process: Fx::new(spec, seed),
            every_steps: spec.every_ms / step_ms,
            latency: Latency::new(&spec.latency, Rng::stream(seed, "fx.latency")),
            value: spec.start.to_f64(),
        }
    }

    fn step<E>(&mut self, step: u64, now_ns: i64, sink: &mut Sink<'_, E>) -> Result<(), SynthError<E>> {
        if !step.is_multiple_of(self.every_steps) {
            return Ok(());
        }
        if step > 0 {
            self.process.step();
        }
        let rate = self.process.published().ok_or_else(|| SynthError::Price {
            key: "fx",
            at: TimestampNs(now_ns),
            price: self.process.value.to_string(),
        })?;
        // The market follows the published rate, so that the premium over it is the model's own.
        self.value = rate.to_f64();
        let message = Message {
            values: vec![rate.raw()],
            ..Message::new(Kind::Fx, TimestampNs(now_ns), TimestampNs(self.latency.arrival(now_ns)))
        };
        sink(Self::STREAM, &message).map_err(SynthError::Sink)
    }
}
