//! Which markets: the same coin at two venues under its names there, without those that must not be compared, and of the rest
//! all, some, or the most traded.
//!
//! A coin's ticker is only a word: two venues may list different coins under one, or one coin under two. Neither can be
//! found out from the lists, so both are configured. What is chosen is a function of configuration and lists; each
//! market left out is named with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{MarketRules, MarketStatus};

/// `[markets]` of a configuration: exactly one of `list`, `bases` and `top`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MarketsConfig {
    /// Markets by venue name, in each venue's own spelling: `list = { upbit = ["KRW-BTC"], binance = ["BTCUSDT"] }`.
    pub list: BTreeMap<String, Vec<String>>,
    /// Coins that are taken at both venues, by their ticker at the first: `bases = ["BTC", "ETH"]`.
    pub bases: Vec<String>,
    /// The most traded: `top = { n = 30 }`.
    pub top: Option<Top>,
    /// Markets that are taken besides, by venue name; a market that feeds an exchange rate, say.
    pub also: BTreeMap<String, Vec<String>>,
    /// Quote currency at the first venue.
    pub first_quote: String,
    /// Quote currency at the second venue.
    pub second_quote: String,
    /// Coins that are never compared: stablecoins, wrapped ones.
    pub exclude: BTreeSet<String>,
    /// Tickers that stand for different coins at the two venues.
    pub different: BTreeSet<String>,
    /// One coin under two tickers: at the first venue, at the second.
    pub aliases: BTreeMap<String, String>,
    /// Whether markets that a venue warns of (Upbit `WARNING`) are left out of `top`.
    pub exclude_warned: bool,
}

/// The most traded coins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Top {
    /// How many.
    pub n: usize,
    /// By whose traded value.
    #[serde(default)]
    pub by: RankBy,
}

/// By whose traded value of the last 24 hours coins are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankBy {
    /// The first venue's.
    #[default]
    First,
    /// The second venue's.
    Second,
    /// The worse of its places at the two; needs no rate between their currencies.
    Both,
}

impl Default for MarketsConfig {
    fn default() -> MarketsConfig {
        let set = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        MarketsConfig {
            list: BTreeMap::new(),
            bases: Vec::new(),
            top: None,
            also: BTreeMap::new(),
            first_quote: "KRW".to_owned(),
            second_quote: "USDT".to_owned(),
            exclude: set(&[
                "USDT", "USDC", "USDS", "USDE", "USD1", "USDP", "USDD", "RLUSD", "PYUSD", "FDUSD", "TUSD", "BUSD",
                "DAI", "EURI", "AEUR", "XUSD", "BFUSD", "WBTC", "WBETH", "WETH", "BNSOL", "STETH", "PAXG", "XAUT",
            ]),
            different: BTreeSet::new(),
            aliases: BTreeMap::new(),
            exclude_warned: true,
        }
    }
}

/// Why a `[markets]` section makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelectError {
    /// None or several of the three ways.
    #[error("[markets]: give exactly one of `list`, `bases` and `top`, not {0}")]
    Ways(usize),
    /// Nothing would be taken.
    #[error("[markets]: `top.n` must be from 1 to 1000, not {0}")]
    Top(usize),
    /// A coin that was asked for by name cannot be taken.
    #[error("[markets]: `{base}` cannot be taken: {reason}")]
    Base {
        /// As configured.
        base: String,
        /// Why not.
        reason: Reason,
    },
}

/// Why a coin of the first venue is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// In `exclude`.
    Excluded,
    /// In `different`.
    Different,
    /// The first venue has no market of it in its quote currency.
    NotAtFirst,
    /// The second venue has none; the ticker that was looked for.
    NotAtSecond(String),
    /// One of the two markets is not trading: which, and its status.
    NotTrading(String, String),
    /// The venue warns of it.
    Warned,
    /// No traded value is known for this market.
    NoValue(String),
    /// Not among the most traded; its place.
    Rank(usize),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Excluded => f.write_str("it is in `exclude`"),
            Reason::Different => f.write_str("its ticker stands for different coins (`different`)"),
            Reason::NotAtFirst => f.write_str("the first venue has no market of it"),
            Reason::NotAtSecond(ticker) => write!(f, "the second venue has no market of {ticker}"),
            Reason::NotTrading(market, status) => write!(f, "{market} is {status}"),
            Reason::Warned => f.write_str("the venue warns of it"),
            Reason::NoValue(market) => write!(f, "no traded value is known for {market}"),
            Reason::Rank(place) => write!(f, "it is number {place} by traded value"),
        }
    }
}

/// A coin at both venues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Ticker at the first venue.
    pub base: String,
    /// Market at the first venue.
    pub first: String,
    /// Market at the second venue.
    pub second: String,
}

/// What was chosen and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Chosen, best first (`top`) or in the order asked for (`bases`).
    pub pairs: Vec<Pair>,
    /// Coins of the first venue that were left out, by ticker.
    pub excluded: BTreeMap<String, Reason>,
}

/// What is known of a venue's markets: rules by symbol, and the traded value of 24 hours in whole units of quote.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Rules by symbol.
    pub markets: &'a BTreeMap<String, MarketRules>,
    /// Traded value by symbol; may be empty where nothing is ranked by it.
    pub traded: &'a BTreeMap<String, u128>,
}

impl MarketsConfig {
    /// Whether the section can be acted on.
    ///
    /// # Errors
    /// When not exactly one way is given, or `top.n` is absurd.
    pub fn validate(&self) -> Result<(), SelectError> {
        let ways =
            usize::from(!self.list.is_empty()) + usize::from(!self.bases.is_empty()) + usize::from(self.top.is_some());
        if ways != 1 {
            return Err(SelectError::Ways(ways));
        }
        match &self.top {
            Some(top) if !(1..=1_000).contains(&top.n) => Err(SelectError::Top(top.n)),
            _ => Ok(()),
        }
    }

    /// Whether venues must be asked for their lists before the markets are known.
    pub fn needs_lists(&self) -> bool {
        !self.bases.is_empty() || self.top.is_some()
    }

    /// Chooses. With `list` there is nothing to choose and the answer is empty.
    ///
    /// # Errors
    /// When the section makes no sense, or a coin of `bases` cannot be taken.
    pub fn select(&self, first: Side<'_>, second: Side<'_>) -> Result<Selection, SelectError> {
        self.validate()?;
        let mut selection = Selection::default();
        if !self.bases.is_empty() {
            let mut seen = BTreeSet::new();
            for base in &self.bases {
                if !seen.insert(base) {
                    continue;
                }
                let found = self.pair(base, first, second);
                selection.pairs.push(found.map_err(|reason| SelectError::Base {
                    base: base.clone(),
                    reason,
                })?);
            }
        } else if let Some(top) = &self.top {
            let bases: BTreeSet<&String> = first
                .markets
                .values()
                .filter(|rules| rules.quote == self.first_quote)
                .map(|rules| &rules.base)
                .collect();
            let mut candidates = Vec::new();
            for base in bases {
                match self.candidate(base, top.by, first, second) {
                    Ok(candidate) => candidates.push(candidate),
                    Err(reason) => {
                        selection.excluded.insert(base.clone(), reason);
                    }
                }
            }
            for (place, pair) in rank(candidates, top.by).into_iter().enumerate() {
                if place < top.n {
                    selection.pairs.push(pair);
                } else {
                    selection.excluded.insert(pair.base, Reason::Rank(place + 1));
                }
            }
        }
        Ok(selection)
    }

    fn candidate(&self, base: &str, by: RankBy, first: Side<'_>, second: Side<'_>) -> Result<Candidate, Reason> {
        let pair = self.pair(base, first, second)?;
        let warned = |side: Side<'_>, market: &str| {
            side.markets
                .get(market)
                .is_some_and(|rules| rules.flags.iter().any(|flag| flag == "WARNING"))
        };
        if self.exclude_warned && (warned(first, &pair.first) || warned(second, &pair.second)) {
            return Err(Reason::Warned);
        }
        let value = |side: Side<'_>, market: &str, needed: bool| match side.traded.get(market) {
            Some(&value) => Ok(value),
            None if needed => Err(Reason::NoValue(market.to_owned())),
            None => Ok(0),
        };
        Ok(Candidate {
            first: value(first, &pair.first, by != RankBy::Second)?,
            second: value(second, &pair.second, by != RankBy::First)?,
            pair,
        })
    }

    /// The markets of a coin at both venues.
    fn pair(&self, base: &str, first: Side<'_>, second: Side<'_>) -> Result<Pair, Reason> {
        let there = self.aliases.get(base).map_or(base, String::as_str);
        if self.exclude.contains(base) || self.exclude.contains(there) {
            return Err(Reason::Excluded);
        }
        // A ticker that another coin goes by over there is not this coin.
        let taken = !self.aliases.contains_key(base) && self.aliases.values().any(|alias| alias == base);
        if self.different.contains(base) || taken {
            return Err(Reason::Different);
        }
        let here = find(first, base, &self.first_quote).ok_or(Reason::NotAtFirst)?;
        let there = find(second, there, &self.second_quote).ok_or_else(|| Reason::NotAtSecond(there.to_owned()))?;
        for rules in [here, there] {
            if rules.status != MarketStatus::Trading {
                return Err(Reason::NotTrading(rules.symbol.clone(), rules.status.to_string()));
            }
        }
        Ok(Pair {
            base: base.to_owned(),
            first: here.symbol.clone(),
            second: there.symbol.clone(),
        })
    }
}

struct Candidate {
    pair: Pair,
    first: u128,
    second: u128,
}

/// Best first; what is equal stands in the order of the tickers.
fn rank(mut candidates: Vec<Candidate>, by: RankBy) -> Vec<Pair> {
    let places = |value: fn(&Candidate) -> u128, of: &[Candidate]| -> BTreeMap<String, usize> {
        let mut order: Vec<&Candidate> = of.iter().collect();
        order.sort_by(|a, b| value(b).cmp(&value(a)).then_with(|| a.pair.base.cmp(&b.pair.base)));
        let bases = order.into_iter().map(|candidate| candidate.pair.base.clone());
        bases.enumerate().map(|(place, base)| (base, place)).collect()
    };
    let first = places(|candidate| candidate.first, &candidates);
    let second = places(|candidate| candidate.second, &candidates);
    let place = |base: &String| {
        let (a, b) = (first.get(base).copied(), second.get(base).copied());
        match by {
            RankBy::First => (a, None),
            RankBy::Second => (b, None),
            RankBy::Both => (a.max(b), a),
        }
    };
    candidates.sort_by_cached_key(|candidate| place(&candidate.pair.base));
    candidates.into_iter().map(|candidate| candidate.pair).collect()
}

/// The market of a coin in a quote currency; the first by symbol where a venue has several.
fn find<'a>(side: Side<'a>, base: &str, quote: &str) -> Option<&'a MarketRules> {
    side.markets
        .values()
        .find(|rules| rules.base == base && rules.quote == quote)
}
