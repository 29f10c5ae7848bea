//! What a scenario's values must be, beyond their types: each refusal names the key and what is allowed.

use std::path::Path;

use crossbook_engine::units::Qty;

use super::{ConfigError, FairPremium, Risk, Scenario, Size, Strategy, VenueKind, Window};

impl Scenario {
    pub(crate) fn validate(&self, path: &Path) -> Result<(), ConfigError> {
        let bad = |key: &str, message: &str| {
            Err(ConfigError::Value {
                path: path.to_owned(),
                key: key.to_owned(),
                message: message.to_owned(),
            })
        };
        let name_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(name_ok) {
            return bad(
                "name",
                "letters, digits, `-`, `_` and `.` are allowed, and it must not begin with `.`",
            );
        }
        if self.datasets.is_empty() {
            return bad("datasets", "at least one is needed");
        }
        if self.routes.is_empty() {
            return bad("routes", "at least one is needed");
        }
        if let Some(Window {
            from: Some(from),
            to: Some(to),
        }) = &self.window
            && from >= to
        {
            return bad("window", "`from` must be before `to`");
        }
        for (name, venue) in &self.venues {
            for (currency, amount) in &venue.balances {
                if amount.raw() < 0 && venue.kind == VenueKind::Spot {
                    return bad(&format!("venues.{name}.balances.{currency}"), "must not be negative");
                }
            }
        }
        for route in &self.routes {
            let strategy = match self.strategy_of(route) {
                Ok(strategy) => strategy,
                Err(message) => return bad(&format!("routes ({} / {}) strategy", route.a, route.b), &message),
            };
            if let Err((key, message)) = strategy.validate() {
                return bad(&format!("strategy.{key}"), message);
            }
        }
        let execution = &self.execution;
        if execution.leg_timeout_ms == 0 || execution.leg_timeout_ms > 86_400_000 {
            return bad("execution.leg_timeout_ms", "1 to 86400000 is allowed");
        }
        if !in_range(execution.limit_collar_bps, 0.0, 10_000.0) {
            return bad("execution.limit_collar_bps", "0 to 10000 is allowed");
        }
        if let Some(fx) = &self.fx {
            if fx.max_age_ms == 0 {
                return bad("fx.max_age_ms", "must be positive");
            }
            if fx.band.is_some_and(|(low, high)| low > high) {
                return bad("fx.band", "the lower bound must not be above the upper one");
            }
        }
        if let Some(sample) = self.report.sample_s
            && !in_range(sample, 0.001, 86_400.0)
        {
            return bad("report.sample_s", "0.001 to 86400 is allowed");
        }
        self.risk
            .validate()
            .or_else(|(key, message)| bad(&format!("risk.{key}"), message))
    }
}

type BadKey = (&'static str, &'static str);

fn in_range(value: f64, low: f64, high: f64) -> bool {
    (low..=high).contains(&value) // also false for NaN
}

impl Strategy {
    fn validate(&self) -> Result<(), BadKey> {
        const BPS: &str = "-100000 to 100000 is allowed";
        let bps = |value: f64| in_range(value, -100_000.0, 100_000.0);
        let positive = |value: Option<f64>| value.is_none_or(|value| in_range(value, 1e-4, 100_000.0));
        if !bps(self.entry_bps) {
            return Err(("entry_bps", BPS));
        }
        if !bps(self.exit_bps) {
            return Err(("exit_bps", BPS));
        }
        if !in_range(self.slippage_bps, 0.0, 10_000.0) {
            return Err(("slippage_bps", "0 to 10000 is allowed"));
        }
        if !positive(self.take_profit_bps) {
            return Err(("take_profit_bps", "0.0001 to 100000 is allowed; leave it out for none"));
        }
        if !positive(self.stop_bps) {
            return Err(("stop_bps", "0.0001 to 100000 is allowed; leave it out for none"));
        }
        if !self.max_hold_s.is_none_or(|hold| in_range(hold, 0.001, 1e8)) {
            return Err(("max_hold_s", "0.001 to 100000000 is allowed; leave it out for none"));
        }
        match self.fair_premium {
            FairPremium::Zero {} => {}
            FairPremium::Constant { bps: value } if !bps(value) => return Err(("fair_premium.bps", BPS)),
            FairPremium::Constant { .. } => {}
            FairPremium::Ewma { half_life_s, warmup_s } => {
                if !in_range(half_life_s, 0.001, 1e8) {
                    return Err(("fair_premium.half_life_s", "0.001 to 100000000 is allowed"));
                }
                if !in_range(warmup_s, 0.0, 1e8) {
                    return Err(("fair_premium.warmup_s", "0 to 100000000 is allowed"));
                }
            }
        }
        if self.directions.is_empty() {
            return Err(("directions", "at least one of \"sell_a\" and \"buy_a\" is needed"));
        }
        self.size.validate()
    }
}

impl Size {
    fn validate(&self) -> Result<(), BadKey> {
        let one = [
            self.notional.is_some(),
            self.quantity.is_some(),
            self.fraction.is_some(),
        ];
        if one.iter().filter(|given| **given).count() != 1 {
            return Err((
                "size",
                "exactly one of `notional` (with `currency`), `quantity` and `fraction` is needed",
            ));
        }
        if self.notional.is_some() != self.currency.is_some() {
            return Err(("size", "`notional` and `currency` go together"));
        }
        if self.notional.is_some_and(|notional| notional.raw() <= 0) {
            return Err(("size.notional", "must be positive"));
        }
        if self.quantity.is_some_and(Qty::is_zero) {
            return Err(("size.quantity", "must be positive"));
        }
        let whole = crossbook_engine::units::SCALE;
        if self
            .fraction
            .is_some_and(|share| share.is_zero() || share.raw() > whole)
        {
            return Err(("size.fraction", "more than 0 and at most 1 is allowed"));
        }
        Ok(())
    }
}

impl Risk {
    fn validate(&self) -> Result<(), BadKey> {
        const POSITIVE: &str = "must be positive; leave it out for no limit";
        let amounts = [
            ("venue.max_daily_loss", self.venue.max_daily_loss),
            ("route.max_order_notional", self.route.max_order_notional),
            ("symbol.max_exposure", self.symbol.max_exposure),
            ("global.max_daily_loss", self.global.max_daily_loss),
            ("global.max_drawdown", self.global.max_drawdown),
            ("global.max_exposure", self.global.max_exposure),
            ("global.max_imbalance", self.global.max_imbalance),
        ];
        for (key, amount) in amounts {
            if amount.is_some_and(|amount| amount.raw() <= 0) {
                return Err((key, POSITIVE));
            }
        }
        let counts = [
            ("venue.max_orders_per_second", self.venue.max_orders_per_second),
            ("venue.max_open_orders", self.venue.max_open_orders),
            ("route.max_consecutive_losses", self.route.max_consecutive_losses),
            ("route.max_trips_per_hour", self.route.max_trips_per_hour),
            ("global.max_open_trades", self.global.max_open_trades),
        ];
        for (key, count) in counts {
            if count == Some(0) {
                return Err((key, POSITIVE));
            }
        }
        if self.venue.max_book_age_ms == 0 {
            return Err(("venue.max_book_age_ms", "must be positive"));
        }
        if self.route.max_consecutive_losses.is_some() != self.route.cooldown_s.is_some() {
            return Err(("route", "`max_consecutive_losses` and `cooldown_s` go together"));
        }
        if self.route.cooldown_s.is_some_and(|value| !in_range(value, 0.001, 1e8)) {
            return Err(("route.cooldown_s", "0.001 to 100000000 is allowed"));
        }
        if !in_range(self.route.max_abs_premium_bps, 1e-4, 1e6) {
            return Err(("route.max_abs_premium_bps", "0.0001 to 1000000 is allowed"));
        }
        if self.symbol.max_move_bps.is_some() != self.symbol.move_window_s.is_some() {
            return Err(("symbol", "`max_move_bps` and `move_window_s` go together"));
        }
        if self
            .symbol
            .max_move_bps
            .is_some_and(|value| !in_range(value, 1e-4, 1e6))
        {
            return Err(("symbol.max_move_bps", "0.0001 to 1000000 is allowed"));
        }
        if self
            .symbol
            .move_window_s
            .is_some_and(|value| !in_range(value, 0.001, 1e8))
        {
            return Err(("symbol.move_window_s", "0.001 to 100000000 is allowed"));
        }
        Ok(())
    }
}
