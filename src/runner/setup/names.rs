//! Opens the datasets and gives everything that they and the scenario name an id.

use std::collections::BTreeSet;
use std::path::Path;

use crossbook_engine::engine::Class;
use crossbook_engine::units::FxRate;

use super::{Builder, DOLLARS, Opened, SetupError, Source, instrument_name, unknown_instrument};
use crate::config;
use crate::dataset::DatasetError;
use crate::dataset::manifest::{DatasetKind, MANIFEST_FILE, Manifest};
use crate::dataset::reader::Dataset;

impl Builder<'_> {
    /// The datasets with their names, and how each can be named from the working directory.
    pub(super) fn open(&self, data_root: Option<&Path>) -> Result<Opened, SetupError> {
        let mut seen = BTreeSet::new();
        let beside = self.path.parent().unwrap_or(Path::new("."));
        let mut datasets = Vec::new();
        let mut found = Vec::new();
        for name in &self.scenario.datasets {
            if !seen.insert(name) {
                return Err(self.fail("datasets", format!("`{name}` is named twice")));
            }
            let here = beside.join(name);
            let dataset = if here.join(MANIFEST_FILE).is_file() {
                found.push(here.display().to_string());
                Dataset::open(&here)?
            } else {
                found.push(name.clone());
                Dataset::resolve(name, data_root).map_err(|error| match error {
                    DatasetError::Unknown { name, mut tried } => {
                        if !tried.contains(&here) {
                            tried.insert(0, here);
                        }
                        DatasetError::Unknown { name, tried }
                    }
                    other => other,
                })?
            };
            datasets.push((name.clone(), dataset));
        }
        Ok(Opened { datasets, found })
    }

    /// All instruments that have a book or trades, sorted: ids depend on names alone.
    pub(super) fn instrument_names(&self, sources: &[Source<'_>]) -> Result<Vec<String>, SetupError> {
        let mut names = BTreeSet::new();
        for Source { name, manifest } in sources {
            if manifest.kind == DatasetKind::Fx {
                continue;
            }
            if !self.scenario.venues.contains_key(&manifest.venue) {
                let known: Vec<&str> = self.scenario.venues.keys().map(String::as_str).collect();
                let message = format!(
                    "dataset `{name}` is of venue `{}`, which has no [venues.{}]; there are: {}",
                    manifest.venue,
                    manifest.venue,
                    known.join(", ")
                );
                return Err(self.fail("venues", message));
            }
            names.insert(instrument_name(manifest));
        }
        for key in self.scenario.instruments.keys() {
            if !names.contains(key) {
                return Err(self.fail(format!("instruments.\"{key}\""), unknown_instrument(key, &names)));
            }
        }
        for (index, route) in self.scenario.routes.iter().enumerate() {
            for (leg, name) in [("a", &route.a), ("b", &route.b)] {
                if !names.contains(name) {
                    return Err(self.fail(format!("routes[{index}].{leg}"), unknown_instrument(name, &names)));
                }
            }
            if route.a == route.b {
                return Err(self.fail(format!("routes[{index}]"), "both legs are the same instrument"));
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Currencies by id, what each is, and the rate's pair as `FOREIGN/HOME`.
    #[allow(clippy::type_complexity)] // three results of one pass over the same names
    pub(super) fn currencies(
        &self,
        sources: &[Source<'_>],
        instruments: &[String],
    ) -> Result<(Vec<String>, Vec<Class>, Option<String>), SetupError> {
        let mut money = BTreeSet::from([self.scenario.base_currency.clone()]);
        let mut coins = BTreeSet::new();
        for Source { manifest, .. } in sources {
            if manifest.kind == DatasetKind::Fx {
                continue;
            }
            money.insert(manifest.quote.clone());
            coins.insert(self.position_unit(manifest));
        }
        for venue in self.scenario.venues.values() {
            if let config::FeeCurrency::Fixed { currency, .. } = &venue.fee_currency {
                coins.insert(currency.clone());
            }
        }
        // The other side of the rate: what the source says, or what is quoted.
        let pair = self.fx_pair(sources, instruments, &money)?;
        let (foreign, home) = match &pair {
            Some((foreign, home)) => (foreign.clone(), home.clone()),
            None => (self.scenario.base_currency.clone(), self.scenario.base_currency.clone()),
        };
        let is = |name: &str, of: &str| name == of || (DOLLARS.contains(&name) && DOLLARS.contains(&of));
        coins.retain(|coin| !money.contains(coin));
        // The coin that the rate's instrument trades (USDT of KRW-USDT) is money.
        let names: BTreeSet<String> = money.iter().chain(&coins).cloned().collect();
        let mut classes = Vec::new();
        for name in &names {
            let class = if is(name, &home) {
                Class::Home
            } else if is(name, &foreign) {
                Class::Foreign
            } else if coins.contains(name) {
                Class::Coin
            } else if self.scenario.fx.is_none() {
                return Err(self.fail(
                    "fx",
                    format!(
                        "needed: `{name}` and `{}` are both used as money, and nothing says what one is worth in the other",
                        self.scenario.base_currency
                    ),
                ));
            } else {
                return Err(self.fail(
                    "fx.source",
                    format!("gives {foreign}/{home}, which does not say what `{name}` is worth"),
                ));
            };
            classes.push(class);
        }
        Ok((
            names.into_iter().collect(),
            classes,
            pair.map(|(foreign, home)| format!("{foreign}/{home}")),
        ))
    }

    /// The rate's `(foreign, home)`: it counts units of home per unit of foreign.
    pub(super) fn fx_pair(
        &self,
        sources: &[Source<'_>],
        instruments: &[String],
        money: &BTreeSet<String>,
    ) -> Result<Option<(String, String)>, SetupError> {
        let Some(fx) = &self.scenario.fx else { return Ok(None) };
        if FxRate::parse(&fx.source).is_ok() {
            let base = &self.scenario.base_currency;
            let dollars = |name: &str| DOLLARS.contains(&name);
            // A constant counts KRW per dollar, whichever of the two the results are in.
            let other = money.iter().find(|name| dollars(name) != dollars(base));
            return Ok(other.map(|other| {
                if dollars(base) {
                    (base.clone(), other.clone())
                } else {
                    (other.clone(), base.clone())
                }
            }));
        }
        let of = |manifest: &Manifest| Some((manifest.base.clone(), manifest.quote.clone()));
        if instruments.contains(&fx.source) {
            let found = sources.iter().find(|source| {
                source.manifest.kind != DatasetKind::Fx && instrument_name(source.manifest) == fx.source
            });
            return Ok(found.and_then(|source| of(source.manifest)));
        }
        let named = |source: &&Source<'_>| {
            source.manifest.kind == DatasetKind::Fx && (source.name == fx.source || source.manifest.name == fx.source)
        };
        match sources.iter().find(named) {
            Some(source) => Ok(of(source.manifest)),
            None => {
                let rates: Vec<&str> = sources
                    .iter()
                    .filter(|source| source.manifest.kind == DatasetKind::Fx)
                    .map(|source| source.name)
                    .collect();
                Err(self.fail(
                    "fx.source",
                    format!(
                        "`{}` is neither a decimal number nor an instrument ({}) nor a rate dataset of this scenario ({})",
                        fx.source,
                        instruments.join(", "),
                        rates.join(", ")
                    ),
                ))
            }
        }
    }

    pub(super) fn position_unit(&self, manifest: &Manifest) -> String {
        let venue = self.scenario.venues.get(&manifest.venue);
        match venue.map(|venue| venue.kind) {
            Some(config::VenueKind::Perpetual) => format!("{}:{}-PERP", manifest.venue, manifest.symbol),
            _ => manifest.base.clone(),
        }
    }
}
