//! What a specification must satisfy, with the key and the allowed range of whatever does not.

use crossbook_engine::instrument::VenueKind;
use crossbook_engine::units::SCALE;

use super::spec::{CandlesSpec, LatencySpec, MarketSpec, PremiumSpec, Spec, SpecError};

/// Longest market that can be asked for: ten years.
const MAX_DURATION_S: u64 = 3_653 * 86_400;

impl Spec {
    /// Checks every range and every rule between keys.
    ///
    /// # Errors
    /// [`SpecError::Range`] or [`SpecError::Rule`] for the first that is broken.
    pub fn check(&self) -> Result<(), SpecError> {
        match (&self.price, &self.premium, &self.candles) {
            (Some(_), Some(_), None) => self.check_model()?,
            (None, None, Some(candles)) => self.check_candles(candles)?,
            (None, _, None) => return rule("price", "missing: give `price` and `premium`, or `candles`"),
            (Some(_), None, None) => return rule("premium", "missing: `price` needs it"),
            (_, _, Some(_)) => {
                return rule(
                    "candles",
                    "stands in place of `price` and `premium`; give one or the other",
                );
            }
        }
        if i64::try_from(self.seed).is_err() {
            return range("seed", self.seed, "0 to 9223372036854775807");
        }
        self.from_ns()?;
        let markets = self.markets();
        for (key, market) in &markets {
            market.check(key)?;
        }
        let names: Vec<&str> = markets
            .iter()
            .map(|(_, market)| market.dataset.as_str())
            .chain(self.fx.as_ref().map(|fx| fx.dataset.as_str()))
            .collect();
        for (index, name) in names.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
                return range(
                    "dataset",
                    format!("{name:?}"),
                    "a folder name of letters, digits, `-`, `_` and `.`",
                );
            }
            if names[..index].contains(name) {
                return rule(
                    "dataset",
                    format!("{name:?} is used twice; each stream needs a folder of its own"),
                );
            }
        }
        Ok(())
    }

    fn check_model(&self) -> Result<(), SpecError> {
        let (Some(price), Some(premium)) = (&self.price, &self.premium) else {
            return rule("price", "missing");
        };
        if self.from.is_none() {
            return rule("from", "missing: the first instant, such as \"2026-01-05T00:00:00Z\"");
        }
        let Some(duration_s) = self.duration_s else {
            return rule("duration_s", "missing");
        };
        whole("duration_s", duration_s, 1, MAX_DURATION_S)?;
        whole("step_ms", self.step_ms, 1, 60_000)?;
        within("price.volatility_per_year", price.volatility_per_year, 0.0, 20.0)?;
        if let Some(regime) = &price.regime {
            within(
                "price.regime.volatility_multiplier",
                regime.volatility_multiplier,
                0.0,
                100.0,
            )?;
            within("price.regime.mean_calm_s", regime.mean_calm_s, 1.0, 1e8)?;
            within("price.regime.mean_active_s", regime.mean_active_s, 1.0, 1e8)?;
        }
        if let Some(bursts) = &price.bursts {
            within("price.bursts.per_hour", bursts.per_hour, 0.0, 3600.0)?;
            within("price.bursts.mean_s", bursts.mean_s, 0.001, 86_400.0)?;
            within(
                "price.bursts.volatility_multiplier",
                bursts.volatility_multiplier,
                0.0,
                100.0,
            )?;
            let key = "price.bursts.premium_volatility_multiplier";
            within(key, bursts.premium_volatility_multiplier, 0.0, 100.0)?;
            whole(
                "price.bursts.message_rate_multiplier",
                bursts.message_rate_multiplier,
                1,
                1000,
            )?;
        }
        match premium {
            PremiumSpec::Ou {
                mean_bps,
                sd_bps,
                half_life_s,
                start_bps,
            } => {
                within("premium.mean_bps", *mean_bps, -5000.0, 10_000.0)?;
                within("premium.sd_bps", *sd_bps, 0.0, 2000.0)?;
                within("premium.half_life_s", *half_life_s, 0.001, 1e9)?;
                within("premium.start_bps", start_bps.unwrap_or(*mean_bps), -5000.0, 10_000.0)?;
            }
            PremiumSpec::RandomWalk {
                start_bps,
                sd_bps_per_hour,
            } => {
                within("premium.start_bps", *start_bps, -5000.0, 10_000.0)?;
                within("premium.sd_bps_per_hour", *sd_bps_per_hour, 0.0, 2000.0)?;
            }
            PremiumSpec::Constant { bps } => within("premium.bps", *bps, -5000.0, 10_000.0)?,
        }
        if let Some(lead) = &self.lead {
            whole("lead.lag_ms", lead.lag_ms, 0, 600_000)?;
            self.multiple("lead.lag_ms", lead.lag_ms)?;
        }
        if let Some(fx) = &self.fx {
            within("fx.volatility_per_year", fx.volatility_per_year, 0.0, 20.0)?;
            whole("fx.every_ms", fx.every_ms, 1, 86_400_000)?;
            self.multiple("fx.every_ms", fx.every_ms)?;
            fx.latency.check("fx.latency")?;
        } else if self.a.quote != self.b.quote {
            return rule(
                "fx",
                format!("missing: {} and {} need a rate", self.b.quote, self.a.quote),
            );
        }
        if let Some(usdt) = &self.usdt {
            within("usdt.share_of_premium", usdt.share_of_premium, -10.0, 10.0)?;
            if self.fx.is_none() {
                return rule("usdt", "needs `fx`: its mid is the exchange rate");
            }
        }
        for (key, market) in self.markets() {
            self.multiple(&format!("{key}.every_ms"), market.every_ms)?;
            if market.phase_ms >= self.step_ms {
                return range(&format!("{key}.phase_ms"), market.phase_ms, "less than `step_ms`");
            }
        }
        Ok(())
    }

    fn check_candles(&self, candles: &CandlesSpec) -> Result<(), SpecError> {
        if candles.a.is_empty() || candles.b.is_empty() {
            return rule("candles", "`a` and `b` each need at least one file");
        }
        if self.duration_s.is_some() && self.from.is_none() {
            return rule("duration_s", "needs `from` when it cuts candles");
        }
        if let Some(duration_s) = self.duration_s {
            whole("duration_s", duration_s, 60, MAX_DURATION_S)?;
        }
        let unused = [
            ("lead", self.lead.is_some()),
            ("fx", self.fx.is_some()),
            ("usdt", self.usdt.is_some()),
            ("a.trades", self.a.trades.is_some()),
            ("b.trades", self.b.trades.is_some()),
        ];
        for (key, given) in unused {
            if given {
                return rule(
                    key,
                    "has no meaning with `candles`: they tell prices only; take the rate from a dataset",
                );
            }
        }
        for (key, market) in self.markets() {
            if market.every_ms == 0 || market.every_ms > 15_000 || 60_000 % market.every_ms != 0 {
                let allowed = "with candles a whole part of a minute, at most 15000 (a minute needs four books)";
                return range(&format!("{key}.every_ms"), market.every_ms, allowed);
            }
            if market.phase_ms != 0 {
                return rule(&format!("{key}.phase_ms"), "has no meaning with `candles`");
            }
        }
        let (slow, fast) = (
            self.a.every_ms.max(self.b.every_ms),
            self.a.every_ms.min(self.b.every_ms),
        );
        if slow % fast != 0 {
            return rule(
                "every_ms",
                "with candles one market's must be a multiple of the other's",
            );
        }
        Ok(())
    }

    fn multiple(&self, key: &str, value_ms: u64) -> Result<(), SpecError> {
        if !value_ms.is_multiple_of(self.step_ms) {
            return range(key, value_ms, format!("a multiple of `step_ms` ({})", self.step_ms));
        }
        Ok(())
    }
}

impl MarketSpec {
    fn check(&self, key: &str) -> Result<(), SpecError> {
        let at = |name: &str| format!("{key}.{name}");
        for (name, text) in [
            ("venue", &self.venue),
            ("symbol", &self.symbol),
            ("base", &self.base),
            ("quote", &self.quote),
        ] {
            if text.is_empty() || text.chars().any(char::is_whitespace) {
                return range(&at(name), format!("{text:?}"), "a name without spaces");
            }
        }
        whole(&at("every_ms"), self.every_ms, 1, 3_600_000)?;
        let offset = self.clock_offset_ms;
        if offset.unsigned_abs() > 86_400_000 {
            return range(&at("clock_offset_ms"), offset, "-86400000 to 86400000");
        }
        self.latency.check(&at("latency"))?;
        let book = &self.book;
        whole(&at("book.levels"), book.levels as u64, 1, 1000)?;
        within(&at("book.spread_bps"), book.spread_bps, 0.0, 1000.0)?;
        within(&at("book.spread_sigma"), book.spread_sigma, 0.0, 3.0)?;
        within(&at("book.gap_bps"), book.gap_bps, 0.0, 1000.0)?;
        within(&at("book.growth"), book.growth, 0.1, 10.0)?;
        within(&at("book.qty_sigma"), book.qty_sigma, 0.0, 3.0)?;
        within(&at("book.refresh"), book.refresh, 0.0, 1.0)?;
        for (name, qty) in [("book.qty_step", book.qty_step), ("book.top_qty", book.top_qty)] {
            if qty.is_zero() || qty.raw() > 10_000_000 * SCALE {
                return range(&at(name), qty, "more than zero, at most 10000000");
            }
        }
        if let Some(trades) = &self.trades {
            within(&at("trades.per_s"), trades.per_s, 0.0, 10_000.0)?;
            within(&at("trades.sigma"), trades.sigma, 0.0, 3.0)?;
        }
        if let Some(outages) = &self.outages {
            within(&at("outages.per_day"), outages.per_day, 0.0, 10_000.0)?;
            within(&at("outages.mean_s"), outages.mean_s, 0.001, 1e7)?;
            let mut last = 0;
            for (index, outage) in outages.at.iter().enumerate() {
                let name = at(&format!("outages.at[{index}]"));
                whole(&format!("{name}.for_s"), outage.for_s, 1, MAX_DURATION_S)?;
                whole(&format!("{name}.at_s"), outage.at_s, last, MAX_DURATION_S)?;
                last = outage.at_s + outage.for_s;
            }
        }
        if let Some(funding) = &self.funding {
            if self.kind != VenueKind::Perpetual {
                return rule(&at("funding"), "only a perpetual has funding");
            }
            whole(&at("funding.every_s"), funding.every_s, 1, 86_400 * 7)?;
            within(&at("funding.mean_bps"), funding.mean_bps, -1000.0, 1000.0)?;
            within(&at("funding.sd_bps"), funding.sd_bps, 0.0, 1000.0)?;
        }
        Ok(())
    }
}

impl LatencySpec {
    fn check(&self, key: &str) -> Result<(), SpecError> {
        within(&format!("{key}.median_ms"), self.median_ms, 0.0, 60_000.0)?;
        within(&format!("{key}.sigma"), self.sigma, 0.0, 3.0)
    }
}

fn within(key: &str, value: f64, low: f64, high: f64) -> Result<(), SpecError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        range(key, value, format!("{low} to {high}"))
    }
}

fn whole(key: &str, value: u64, low: u64, high: u64) -> Result<(), SpecError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        range(key, value, format!("{low} to {high}"))
    }
}

pub(super) fn range(key: &str, value: impl ToString, allowed: impl Into<String>) -> Result<(), SpecError> {
    Err(SpecError::Range {
        key: key.into(),
        value: value.to_string(),
        allowed: allowed.into(),
    })
}

fn rule(key: &str, rule: impl Into<String>) -> Result<(), SpecError> {
    Err(SpecError::Rule {
        key: key.into(),
        rule: rule.into(),
    })
}
