//! What changed between two lists of a venue, as a value that can be journaled, and the rules as they stand after it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Catalogue, MarketRules, MarketStatus, text};
use crate::clock::Stamp;

/// What the refresher of a venue's rules says: an input like a frame, so that rules change in order with the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RulesNote {
    /// Rules are new from here on.
    Update(Update),
    /// They could not be fetched; those known stay in force.
    Failed {
        /// The venue's name.
        venue: String,
        /// How often in a row.
        attempt: u32,
        /// Why.
        reason: String,
    },
}

/// Markets whose rules are new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The venue's name.
    pub venue: String,
    /// New or changed, whole, by symbol.
    pub changed: Vec<MarketRules>,
    /// No longer listed, sorted.
    pub gone: Vec<String>,
}

impl Update {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }

    /// What is to be told of `new` to someone who knows `old`. A market that is still listed but whose rules can no longer be
    /// read keeps its old ones under an unknown status, so that nothing is sent there.
    pub fn between(venue: &str, old: &BTreeMap<String, MarketRules>, new: &Catalogue) -> Update {
        let mut update = Update {
            venue: venue.to_owned(),
            ..Update::default()
        };
        for (symbol, rules) in &new.markets {
            if old.get(symbol) != Some(rules) {
                update.changed.push(rules.clone());
            }
        }
        for (symbol, known) in old {
            if new.markets.contains_key(symbol) {
                continue;
            }
            match new.unreadable.get(symbol) {
                None => update.gone.push(symbol.clone()),
                Some(reason) => {
                    let status = MarketStatus::Unknown(format!("unreadable rules: {reason}"));
                    if known.status != status {
                        update.changed.push(MarketRules {
                            status,
                            ..known.clone()
                        });
                    }
                }
            }
        }
        update.changed.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        update
    }

    /// Only what concerns these markets, and markets that are listed anew or no longer.
    pub fn keep(&mut self, old: &BTreeMap<String, MarketRules>, watched: &[String]) {
        self.changed
            .retain(|rules| watched.contains(&rules.symbol) || !old.contains_key(&rules.symbol));
    }
}

/// What of a market's rules changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// The market is new to us.
    Listed,
    /// The venue lists it no longer.
    Delisted,
    /// What may be done in it.
    Status,
    /// Grid of prices.
    Tick,
    /// Step of quantities.
    Lot,
    /// Least quantity or notional.
    Minimum,
    /// Greatest quantity or notional.
    Maximum,
    /// Bounds of the price, absolute or relative.
    Band,
    /// Default fees.
    Fees,
    /// Warnings.
    Flags,
    /// Filters that we do not judge.
    Filters,
}

/// One change of one market, for people and records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChange {
    /// From when on, nanoseconds since the epoch: when the update was read.
    pub ts: i64,
    /// The venue's name.
    pub venue: String,
    /// In the venue's spelling.
    pub market: String,
    /// What changed.
    pub what: RuleKind,
    /// What it was, in short; `None` when the market is new.
    pub old: Option<String>,
    /// What it is, in short; `None` when the market is gone.
    pub new: Option<String>,
}

/// The rules of one venue as they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleBook {
    markets: BTreeMap<String, MarketRules>,
}

impl RuleBook {
    /// The rules of a market; `None` when it is not listed, or not told of.
    pub fn get(&self, market: &str) -> Option<&MarketRules> {
        self.markets.get(market)
    }

    /// All markets told of, by symbol.
    pub fn markets(&self) -> &BTreeMap<String, MarketRules> {
        &self.markets
    }

    /// Puts an update in force from `at` on, and says what it changed, in the order of the update.
    pub fn apply(&mut self, update: &Update, at: Stamp) -> Vec<RuleChange> {
        let mut changes = Vec::new();
        let mut tell = |market: &str, what, old: Option<String>, new: Option<String>| {
            changes.push(RuleChange {
                ts: at.ts.0,
                venue: update.venue.clone(),
                market: market.to_owned(),
                what,
                old,
                new,
            });
        };
        for rules in &update.changed {
            match self.markets.insert(rules.symbol.clone(), rules.clone()) {
                None => tell(&rules.symbol, RuleKind::Listed, None, Some(rules.status.to_string())),
                Some(old) => {
                    for (what, before, after) in aspects(&old)
                        .into_iter()
                        .zip(aspects(rules))
                        .map(|(a, b)| (a.0, a.1, b.1))
                    {
                        if before != after {
                            tell(&rules.symbol, what, Some(before), Some(after));
                        }
                    }
                }
            }
        }
        for market in &update.gone {
            let old = self.markets.remove(market).map(|rules| rules.status.to_string());
            tell(market, RuleKind::Delisted, old, None);
        }
        changes
    }
}

/// A market's rules by what may change in them, as text that is equal exactly when they are.
fn aspects(rules: &MarketRules) -> [(RuleKind, String); 9] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let market = |pick: fn(&super::QtyRule) -> String| or_none(rules.market_qty.as_ref().map(pick));
    [
        (RuleKind::Status, rules.status.to_string()),
        (RuleKind::Tick, text::write_tick(&rules.tick)),
        (
            RuleKind::Lot,
            format!(
                "{}, market orders {}",
                rules.qty.step,
                market(|rule| rule.step.to_string())
            ),
        ),
        (
            RuleKind::Minimum,
            format!(
                "quantity {}, market orders {}, notional {}",
                rules.qty.min,
                market(|rule| rule.min.to_string()),
                rules.min_notional
            ),
        ),
        (
            RuleKind::Maximum,
            format!(
                "quantity {}, market orders {}, notional {}",
                or_none(rules.qty.max.map(|qty| qty.to_string())),
                market(|rule| rule.max.map_or_else(|| "none".to_owned(), |qty| qty.to_string())),
                or_none(rules.max_notional.map(|amount| amount.to_string()))
            ),
        ),
        (
            RuleKind::Band,
            format!(
                "price {} to {}, {}",
                or_none(rules.min_price.map(|price| price.to_string())),
                or_none(rules.max_price.map(|price| price.to_string())),
                or_none(rules.percent.as_ref().map(|band| format!(
                    "buys {} to {} bps, sells {} to {} bps of the reference price",
                    band.bid_down, band.bid_up, band.ask_down, band.ask_up
                )))
            ),
        ),
        (
            RuleKind::Fees,
            format!("maker {} bps, taker {} bps", rules.fees.maker, rules.fees.taker),
        ),
        (RuleKind::Flags, rules.flags.join(",")),
        (RuleKind::Filters, rules.other_filters.join(",")),
    ]
}
