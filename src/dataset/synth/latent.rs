//! The processes behind a synthetic market: price, premium and exchange rate, in `f64` with `libm`, step by step.
//!
//! Each draws from a random stream of its own. `docs/synthetic.md` has the formulas.

use crossbook_engine::rng::Rng;
use crossbook_engine::units::{FxRate, SCALE};

use super::spec::{BurstSpec, FxSpec, PremiumSpec, PriceSpec, RegimeSpec};

const YEAR_S: f64 = 365.0 * 86_400.0;

/// Driftless geometric walk with a two-state regime and bursts.
pub(super) struct Price {
    value: f64,
    /// Standard deviation of a step's log change, outside bursts and active regimes.
    sigma: f64,
    step_s: f64,
    regime: Option<(RegimeSpec, Toggle)>,
    bursts: Option<(BurstSpec, Toggle)>,
    rng: Rng,
}

impl Price {
    pub(super) fn new(spec: &PriceSpec, step_s: f64, seed: u64) -> Price {
        let regime = spec.regime.clone().map(|regime| {
            let toggle = Toggle::new(
                regime.mean_calm_s,
                regime.mean_active_s,
                Rng::stream(seed, "price.regime"),
            );
            (regime, toggle)
        });
        let bursts = spec
            .bursts
            .clone()
            .filter(|bursts| bursts.per_hour > 0.0)
            .map(|bursts| {
                let toggle = Toggle::new(
                    3600.0 / bursts.per_hour,
                    bursts.mean_s,
                    Rng::stream(seed, "price.bursts"),
                );
                (bursts, toggle)
            });
        Price {
            value: spec.start.to_f64(),
            sigma: spec.volatility_per_year * libm::sqrt(step_s / YEAR_S),
            step_s,
            regime,
            bursts,
            rng: Rng::stream(seed, "price"),
        }
    }

    /// `P <- P exp(s z - s^2 / 2)`, so that the expected price is the present one.
    pub(super) fn step(&mut self) -> f64 {
        let mut sigma = self.sigma;
        if let Some((regime, toggle)) = &mut self.regime
            && toggle.step(self.step_s)
        {
            sigma *= regime.volatility_multiplier;
        }
        if let Some((bursts, toggle)) = &mut self.bursts
            && toggle.step(self.step_s)
        {
            sigma *= bursts.volatility_multiplier;
        }
        self.value *= libm::exp(sigma * self.rng.normal() - 0.5 * sigma * sigma);
        self.value
    }

    pub(super) fn value(&self) -> f64 {
        self.value
    }

    /// The burst that is on now.
    pub(super) fn burst(&self) -> Option<&BurstSpec> {
        let (bursts, toggle) = self.bursts.as_ref()?;
        toggle.on.then_some(bursts)
    }
}

/// Off and on by turns, with exponential times; off at first.
struct Toggle {
    on: bool,
    mean_off_s: f64,
    mean_on_s: f64,
    left_s: f64,
    rng: Rng,
}

impl Toggle {
    fn new(mean_off_s: f64, mean_on_s: f64, mut rng: Rng) -> Toggle {
        Toggle {
            on: false,
            mean_off_s,
            mean_on_s,
            left_s: rng.exponential(mean_off_s),
            rng,
        }
    }

    /// Whether it is on for the next step. A state shorter than a step still lasts one.
    fn step(&mut self, step_s: f64) -> bool {
        if self.left_s <= 0.0 {
            self.on = !self.on;
            self.left_s += self
                .rng
                .exponential(if self.on { self.mean_on_s } else { self.mean_off_s });
        }
        self.left_s -= step_s;
        self.on
    }
}

/// What A costs over B, as a plain ratio.
pub(super) struct Premium {
    mean: f64,
    deviation: f64,
    /// What is left of a deviation after a step: `2^(-step / half life)`, or one for a walk.
    keep: f64,
    /// Standard deviation of a step's change.
    sigma: f64,
    rng: Rng,
}

impl Premium {
    pub(super) fn new(spec: &PremiumSpec, step_s: f64, seed: u64) -> Premium {
        let (mean, start, keep, sigma) = match *spec {
            PremiumSpec::Ou {
                mean_bps,
                sd_bps,
                half_life_s,
                start_bps,
            } => {
                let keep = libm::exp2(-step_s / half_life_s);
                // The exact transition of the process: its stationary deviation is `sd_bps` for any step.
                let sigma = sd_bps * libm::sqrt(1.0 - keep * keep);
                (mean_bps, start_bps.unwrap_or(mean_bps), keep, sigma)
            }
            PremiumSpec::RandomWalk {
                start_bps,
                sd_bps_per_hour,
            } => (0.0, start_bps, 1.0, sd_bps_per_hour * libm::sqrt(step_s / 3600.0)),
            PremiumSpec::Constant { bps } => (bps, bps, 1.0, 0.0),
        };
        Premium {
            mean: mean * 1e-4,
            deviation: (start - mean) * 1e-4,
            keep,
            sigma: sigma * 1e-4,
            rng: Rng::stream(seed, "premium"),
        }
    }

    pub(super) fn step(&mut self, volatility_multiplier: f64) {
        self.deviation = self.keep * self.deviation + self.sigma * volatility_multiplier * self.rng.normal();
    }

    pub(super) fn value(&self) -> f64 {
        self.mean + self.deviation
    }
}

/// Driftless geometric walk of the exchange rate, stepped when it is published.
pub(super) struct Fx {
    pub(super) value: f64,
    sigma: f64,
    step: FxRate,
    rng: Rng,
}

impl Fx {
    pub(super) fn new(spec: &FxSpec, seed: u64) -> Fx {
        let every_s = spec.every_ms as f64 / 1000.0;
        Fx {
            value: spec.start.to_f64(),
            sigma: spec.volatility_per_year * libm::sqrt(every_s / YEAR_S),
            step: spec.step,
            rng: Rng::stream(seed, "fx"),
        }
    }

    pub(super) fn step(&mut self) {
        self.value *= libm::exp(self.sigma * self.rng.normal() - 0.5 * self.sigma * self.sigma);
    }

    /// The rate on its grid; `None` when it has left the range.
    pub(super) fn published(&self) -> Option<FxRate> {
        let steps = (self.value * SCALE as f64 / self.step.raw() as f64 + 0.5) as i64;
        FxRate::from_raw(steps.checked_mul(self.step.raw())?).ok()
    }
}
