//! Turns keys into the rules of the engine and of the simulated venues.

use crossbook_engine::engine::{Class, EngineConfig, FxConfig, FxSource};
use crossbook_engine::instrument::{CurrencyId, Instrument, InstrumentId, TickRule, VenueId};
use crossbook_engine::order::Leg;
use crossbook_engine::records::Direction;
use crossbook_engine::risk::{GlobalLimits, Limits, RouteLimits, SymbolLimits, VenueLimits};
use crossbook_engine::sim::{self, FeeRule, SimConfig};
use crossbook_engine::spread::FairModel;
use crossbook_engine::strategy::{OrderStyle, RouteConfig, Size, StrategyConfig};
use crossbook_engine::units::{Amount, Bps, FxRate, Price, Qty};

use super::{Builder, SetupError, Source, common_multiple, instrument_name, kind, latency, seconds_ns};
use crate::config;
use crate::dataset::manifest::{DatasetKind, MarketRules};

impl Builder<'_> {
    pub(super) fn instruments(
        &self,
        sources: &[Source<'_>],
        names: &[String],
        venues: &[String],
        currency: &impl Fn(&str) -> CurrencyId,
    ) -> Result<Vec<Instrument>, SetupError> {
        let mut specs = Vec::new();
        for name in names {
            let mut rules = MarketRules::default();
            let mut of_name = sources
                .iter()
                .map(|source| source.manifest)
                .filter(|m| m.kind != DatasetKind::Fx && instrument_name(m) == *name);
            let Some(first) = of_name.next() else { continue };
            for manifest in std::iter::once(first).chain(of_name) {
                if (&manifest.base, &manifest.quote) != (&first.base, &first.quote) {
                    return Err(self.fail("datasets", format!("two datasets of `{name}` differ in base or quote")));
                }
                rules.tick = rules.tick.or(manifest.rules.tick);
                rules.lot = rules.lot.or(manifest.rules.lot);
                rules.min_qty = rules.min_qty.or(manifest.rules.min_qty);
                rules.min_notional = rules.min_notional.or(manifest.rules.min_notional);
            }
            if let Some(own) = self.scenario.instruments.get(name) {
                rules.tick = own.tick.or(rules.tick);
                rules.lot = own.lot.or(rules.lot);
                rules.min_qty = own.min_qty.or(rules.min_qty);
                rules.min_notional = own.min_notional.or(rules.min_notional);
            }
            let venue = venues.iter().position(|venue| *venue == first.venue).unwrap_or(0);
            specs.push(Instrument {
                venue: VenueId(venue as u8),
                symbol: first.symbol.clone(),
                base: currency(&self.position_unit(first)),
                quote: currency(&first.quote),
                tick: rules.tick.map_or(TickRule::Fixed(Price::ONE_STEP), |tick| tick.rule()),
                lot: rules.lot.unwrap_or(Qty::ZERO),
                min_qty: rules.min_qty.unwrap_or(Qty::ZERO),
                min_notional: rules.min_notional.unwrap_or(Amount::ZERO),
            });
        }
        Ok(specs)
    }

    pub(super) fn fx(
        &self,
        instruments: &[String],
        classes: &[Class],
        warnings: &mut Vec<String>,
        pair: Option<&str>,
        currencies: &[String],
    ) -> Result<FxConfig, SetupError> {
        let Some(fx) = &self.scenario.fx else {
            return Ok(FxConfig {
                source: FxSource::NotNeeded,
                max_age_ns: i64::MAX,
                band: None,
            });
        };
        let source = if let Ok(rate) = FxRate::parse(&fx.source) {
            warnings.push(format!(
                "the exchange rate is the constant {}: its movements are missing from every result",
                fx.source
            ));
            FxSource::Constant(rate)
        } else if let Some(index) = instruments.iter().position(|name| *name == fx.source) {
            FxSource::Instrument(InstrumentId(index as u16))
        } else {
            FxSource::Series
        };
        if let Some((foreign, _)) = pair.and_then(|pair| pair.split_once('/')) {
            let same: Vec<&str> = currencies
                .iter()
                .zip(classes)
                .filter(|(name, class)| **class == Class::Foreign && name.as_str() != foreign)
                .map(|(name, _)| name.as_str())
                .collect();
            if !same.is_empty() {
                warnings.push(format!("{} counted as one {foreign} each", same.join(", ")));
            }
        }
        let max_age_ns = i64::try_from(fx.max_age_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        Ok(FxConfig {
            source,
            max_age_ns,
            band: fx.band,
        })
    }

    pub(super) fn routes(
        &self,
        instruments: &[String],
        specs: &[Instrument],
        venues: &[String],
        currencies: &[String],
    ) -> Result<Vec<RouteConfig>, SetupError> {
        let mut routes = Vec::new();
        for (index, route) in self.scenario.routes.iter().enumerate() {
            let key = format!("routes[{index}]");
            let find = |name: &str| instruments.iter().position(|known| known == name).unwrap_or(0);
            let (a, b) = (find(&route.a), find(&route.b));
            let strategy = self
                .scenario
                .strategy_of(route)
                .map_err(|error| self.fail(&key, error))?;
            let unbounded = |spec: &Instrument| {
                let venue = &self.scenario.venues[&venues[spec.venue.index()]];
                venue.kind == config::VenueKind::Perpetual && venue.max_leverage.is_none()
            };
            if strategy.size.fraction.is_some() && unbounded(&specs[a]) && unbounded(&specs[b]) {
                let message = "needs `max_leverage` on one of the two perpetual venues: nothing else bounds the whole";
                return Err(self.fail(format!("{key} strategy.size.fraction"), message));
            }
            let fees = |spec: &Instrument| {
                let venue = &self.scenario.venues[&venues[spec.venue.index()]];
                let taker = Bps::from_bps(venue.taker_fee_bps);
                (taker, venue.maker_fee_bps.map_or(taker, Bps::from_bps))
            };
            let ((taker_a, maker_a), (taker_b, maker_b)) = (fees(&specs[a]), fees(&specs[b]));
            let entry = match self.scenario.execution.entry {
                config::EntryKind::Taker => taker_a + taker_b,
                config::EntryKind::MakerA => maker_a + taker_b,
                config::EntryKind::MakerB => taker_a + maker_b,
            };
            let quotes = [a, b].map(|leg| currencies[specs[leg].quote.index()].as_str());
            let lot = common_multiple(specs[a].lot, specs[b].lot)
                .ok_or_else(|| self.fail(&key, "the lots of both legs have no usable common multiple"))?;
            routes.push(RouteConfig {
                a: InstrumentId(a as u16),
                b: InstrumentId(b as u16),
                fees: entry + taker_a + taker_b,
                lot,
                strategy: self.strategy(&key, &strategy, quotes)?,
            });
        }
        Ok(routes)
    }

    pub(super) fn strategy(
        &self,
        key: &str,
        strategy: &config::Strategy,
        quotes: [&str; 2],
    ) -> Result<StrategyConfig, SetupError> {
        let execution = &self.scenario.execution;
        let (fair, warmup_ns) = match strategy.fair_premium {
            config::FairPremium::Zero {} => (FairModel::Zero, 0),
            config::FairPremium::Constant { bps } => (FairModel::Constant(Bps::from_bps(bps)), 0),
            config::FairPremium::Ewma { half_life_s, warmup_s } => (
                FairModel::Ewma {
                    half_life_ns: seconds_ns(half_life_s),
                },
                seconds_ns(warmup_s),
            ),
        };
        let size = match (
            &strategy.size.notional,
            &strategy.size.quantity,
            &strategy.size.fraction,
        ) {
            (Some(amount), ..) => {
                let currency = strategy.size.currency.as_deref().unwrap_or_default();
                let leg = match quotes.iter().position(|quote| *quote == currency) {
                    Some(0) => Leg::A,
                    Some(_) => Leg::B,
                    None => {
                        let allowed = quotes.join(" or ");
                        return Err(self.fail(
                            format!("{key} strategy.size.currency"),
                            format!("`{currency}` is not the quote currency of a leg: {allowed} is allowed"),
                        ));
                    }
                };
                Size::Notional { amount: *amount, leg }
            }
            (_, Some(qty), _) => Size::Quantity(*qty),
            (_, _, Some(share)) => Size::Fraction(Bps::from_raw(share.raw())),
            _ => return Err(self.fail(format!("{key} strategy.size"), "is empty")),
        };
        Ok(StrategyConfig {
            fair,
            warmup_ns,
            entry: Bps::from_bps(strategy.entry_bps),
            exit: Bps::from_bps(strategy.exit_bps),
            take_profit: strategy.take_profit_bps.map(Bps::from_bps),
            stop: strategy.stop_bps.map(Bps::from_bps),
            max_hold_ns: strategy.max_hold_s.map(seconds_ns),
            slippage: Bps::from_bps(strategy.slippage_bps),
            size,
            sell_a: strategy.directions.contains(&Direction::SellA),
            buy_a: strategy.directions.contains(&Direction::BuyA),
            pricing: execution.fill_model,
            style: match execution.order {
                config::OrderKind::Market => OrderStyle::Market,
                config::OrderKind::Limit => OrderStyle::Limit {
                    collar: Bps::from_bps(execution.limit_collar_bps),
                },
            },
            leg_policy: execution.leg_policy,
            maker: match execution.entry {
                config::EntryKind::Taker => None,
                config::EntryKind::MakerA => Some(Leg::A),
                config::EntryKind::MakerB => Some(Leg::B),
            },
            leg_timeout_ns: i64::try_from(execution.leg_timeout_ms)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000),
        })
    }

    pub(super) fn limits(&self, currencies: &[String]) -> Result<Limits, SetupError> {
        let risk = &self.scenario.risk;
        let allow = match &risk.symbol.allow {
            None => None,
            Some(names) => {
                let mut ids = Vec::new();
                for name in names {
                    match currencies.iter().position(|known| known == name) {
                        Some(id) => ids.push(CurrencyId(id as u16)),
                        None => return Err(self.fail("risk.symbol.allow", format!("`{name}` is traded on no route"))),
                    }
                }
                Some(ids)
            }
        };
        Ok(Limits {
            venue: VenueLimits {
                max_book_age_ns: i64::try_from(risk.venue.max_book_age_ms)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1_000_000),
                max_orders_per_second: risk.venue.max_orders_per_second,
                max_open_orders: risk.venue.max_open_orders,
                max_daily_loss: risk.venue.max_daily_loss,
            },
            route: RouteLimits {
                max_consecutive_losses: risk.route.max_consecutive_losses,
                cooldown_ns: risk.route.cooldown_s.map_or(0, seconds_ns),
                max_abs_premium: Some(Bps::from_bps(risk.route.max_abs_premium_bps)),
                max_trips_per_hour: risk.route.max_trips_per_hour,
                max_order_notional: risk.route.max_order_notional,
            },
            symbol: SymbolLimits {
                max_exposure: risk.symbol.max_exposure,
                max_move: risk.symbol.max_move_bps.map(Bps::from_bps),
                move_window_ns: risk.symbol.move_window_s.map_or(0, seconds_ns),
                allow,
            },
            global: GlobalLimits {
                max_daily_loss: risk.global.max_daily_loss,
                max_drawdown: risk.global.max_drawdown,
                max_exposure: risk.global.max_exposure,
                max_imbalance: risk.global.max_imbalance,
                max_open_trades: risk.global.max_open_trades,
            },
        })
    }

    pub(super) fn sim(
        &self,
        engine: &EngineConfig,
        currency: &impl Fn(&str) -> CurrencyId,
    ) -> Result<SimConfig, SetupError> {
        let execution = &self.scenario.execution;
        let venues = self.scenario.venues.values().map(|venue| sim::VenueConfig {
            kind: kind(venue.kind),
            taker_fee: Bps::from_bps(venue.taker_fee_bps),
            maker_fee: Bps::from_bps(venue.maker_fee_bps.unwrap_or(venue.taker_fee_bps)),
            fee_rule: match &venue.fee_currency {
                config::FeeCurrency::Quote => FeeRule::Quote,
                config::FeeCurrency::Received => FeeRule::Received,
                config::FeeCurrency::Fixed { currency: name, price } => FeeRule::Fixed {
                    currency: currency(name),
                    price: *price,
                },
            },
            order_latency: latency(venue.order_latency),
            report_latency: latency(venue.report_latency),
            max_leverage: venue.max_leverage,
            queue_model: match execution.queue_model {
                config::QueueModel::RiskAdverse => sim::QueueModel::RiskAdverse,
                config::QueueModel::Prob => sim::QueueModel::Prob {
                    exponent: execution.queue_exponent,
                },
            },
        });
        let config = SimConfig {
            venues: venues.collect(),
            instruments: engine.instruments.clone(),
            currencies: engine.classes.len(),
            fill_model: execution.fill_model,
            seed: self.scenario.seed,
        };
        // Names the venue by its key, where the model only knows its number.
        for (index, name) in self.scenario.venues.keys().enumerate() {
            let one = SimConfig {
                venues: config.venues.clone(),
                instruments: Vec::new(),
                ..config
            };
            if let Err(error) = one.validate()
                && error.to_string().contains(&format!("venue {index}:"))
            {
                return Err(self.fail(format!("venues.{name}"), error.to_string()));
            }
        }
        config
            .validate()
            .map_err(|error| self.fail("venues", error.to_string()))?;
        Ok(config)
    }

    pub(super) fn opening(
        &self,
        venues: &[String],
        currencies: &[String],
        classes: &[Class],
        specs: &[Instrument],
    ) -> Result<Vec<(VenueId, CurrencyId, Amount)>, SetupError> {
        let mut opening = Vec::new();
        for (index, name) in venues.iter().enumerate() {
            for (currency, amount) in &self.scenario.venues[name].balances {
                let known = currencies
                    .iter()
                    .position(|known| known == currency)
                    .filter(|&id| classes[id] != Class::Coin || specs.iter().any(|spec| spec.base.index() == id));
                let Some(id) = known else {
                    let message = format!("no market of this scenario says what `{currency}` is worth");
                    return Err(self.fail(format!("venues.{name}.balances.{currency}"), message));
                };
                opening.push((VenueId(index as u8), CurrencyId(id as u16), *amount));
            }
        }
        Ok(opening)
    }
}
