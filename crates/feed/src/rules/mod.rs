//! What each market of a venue accepts: tick, lot, minimums, bands, status; fetched at start, refreshed, compared while
//! running, and held against our own orders before they are sent. Request limits that a list states become the budget of
//! its venue.
//!
//! ```text
//! market lists ─► upbit, binance (parse) ─► Catalogue ─► diff ─► Update (an input, journaled) ─► RuleBook ─► RuleChange
//!                                              └─► select (which markets)         MarketRules::check ◄┘
//! ```
//!
//! It does not place orders and does not know balances. What always holds: every number is exact or its market is refused by
//! name; rules that a venue has but that are not understood are kept by name; a market whose status is not understood
//! does not trade; a [`RuleBook`] is a function of the updates that it was given.

pub mod binance;
pub mod diff;
pub mod fetch;
pub mod refresh;
pub mod select;
pub mod stated;
mod text;
pub mod traded;
pub mod upbit;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crossbook_engine::instrument::{Side, TickRule};
use crossbook_engine::units::{Amount, Bps, Price, Qty, SCALE};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use diff::{RuleBook, RuleChange, RuleKind, RulesNote, Update};
pub use fetch::Fetcher;
pub use refresh::Refresher;
pub use stated::RateLimit;

/// What may be done in a market now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarketStatus {
    /// Orders are taken.
    Trading,
    /// Only cancels are taken (Binance `CANCEL_ONLY`, since 2026-07-07).
    CancelOnly,
    /// Nothing is taken for now (`BREAK`, `HALT`, before the opening); the word is the venue's.
    Halted(String),
    /// It is over or about to be (`SETTLING`, `CLOSE`, `DELIVERING` …); the word is the venue's.
    Closed(String),
    /// A word that we do not know, or rules that we could not read: taken as not trading.
    Unknown(String),
}

impl fmt::Display for MarketStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MarketStatus::Trading => f.write_str("trading"),
            MarketStatus::CancelOnly => f.write_str("cancel only"),
            MarketStatus::Halted(word) => write!(f, "halted ({word})"),
            MarketStatus::Closed(word) => write!(f, "closed ({word})"),
            MarketStatus::Unknown(word) => write!(f, "unknown ({word})"),
        }
    }
}

/// Which quantities are taken, in base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QtyRule {
    /// Step; zero means every quantity of 1e-8 goes.
    pub step: Qty,
    /// Least.
    pub min: Qty,
    /// Greatest; `None` where there is none, or none that 64 bits of 1e-8 could pass.
    pub max: Option<Qty>,
}

/// How far a price may be from the venue's reference price, as ratios to it (Binance `PERCENT_PRICE`, `PERCENT_PRICE_BY_SIDE`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PercentBand {
    /// A buy is at most this much.
    #[serde(with = "text::ratio")]
    pub bid_up: Bps,
    /// A buy is at least this much.
    #[serde(with = "text::ratio")]
    pub bid_down: Bps,
    /// A sell is at most this much.
    #[serde(with = "text::ratio")]
    pub ask_up: Bps,
    /// A sell is at least this much.
    #[serde(with = "text::ratio")]
    pub ask_down: Bps,
}

/// Fees that hold when the account says nothing else; a share of the traded amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    /// Of an order that rested.
    #[serde(with = "text::ratio")]
    pub maker: Bps,
    /// Of an order that took.
    #[serde(with = "text::ratio")]
    pub taker: Bps,
}

/// The rules of one market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketRules {
    /// In the venue's spelling (`KRW-BTC`, `BTCUSDT`).
    pub symbol: String,
    /// What is bought and sold.
    pub base: String,
    /// What is paid.
    pub quote: String,
    /// What may be done now.
    pub status: MarketStatus,
    /// Grid of prices.
    #[serde(with = "text::tick")]
    pub tick: TickRule,
    /// Least price, where there is one.
    pub min_price: Option<Price>,
    /// Greatest price, where there is one.
    pub max_price: Option<Price>,
    /// Quantities of every order.
    pub qty: QtyRule,
    /// Quantities of market orders, which must keep `qty` as well.
    pub market_qty: Option<QtyRule>,
    /// Least `price * qty`, in quote.
    pub min_notional: Amount,
    /// Greatest `price * qty`, in quote, where there is one.
    pub max_notional: Option<Amount>,
    /// Distance from the venue's reference price.
    pub percent: Option<PercentBand>,
    /// Fees by default.
    pub fees: Fees,
    /// What the venue warns of, sorted (Upbit `WARNING`, `GLOBAL_PRICE_DIFFERENCES` …).
    pub flags: Vec<String>,
    /// Filters that [`MarketRules::check`] does not judge, by name, sorted: the venue may still refuse by them.
    pub other_filters: Vec<String>,
}

/// Why an order would break a market's rules.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The market takes no orders now.
    #[error("{market}: status is {status}")]
    NotTrading {
        /// Which market.
        market: String,
        /// Its status.
        status: MarketStatus,
    },
    /// The price is not a multiple of the tick.
    #[error("{market}: price {price} is not on the grid of {tick}")]
    OffTick {
        /// Which market.
        market: String,
        /// The order's price.
        price: Price,
        /// The tick there.
        tick: Price,
    },
    /// The quantity is not a multiple of the lot.
    #[error("{market}: quantity {qty} is not a multiple of {step}")]
    OffLot {
        /// Which market.
        market: String,
        /// The order's quantity.
        qty: Qty,
        /// The step.
        step: Qty,
    },
    /// Something is under its least.
    #[error("{market}: {what} {value} is below {limit}")]
    Below {
        /// Which market.
        market: String,
        /// `price`, `quantity`, `notional`.
        what: &'static str,
        /// The order's (a notional is rounded down to 1e-8 here, but compared exactly).
        value: Amount,
        /// The least.
        limit: Amount,
    },
    /// Something is over its greatest.
    #[error("{market}: {what} {value} is above {limit}")]
    Above {
        /// Which market.
        market: String,
        /// `price`, `quantity`, `notional`.
        what: &'static str,
        /// The order's.
        value: Amount,
        /// The greatest.
        limit: Amount,
    },
    /// Too far from the venue's reference price.
    #[error("{market}: {side:?} at {price} leaves the band of {down} to {up} bps of {reference}")]
    Percent {
        /// Which market.
        market: String,
        /// Which way.
        side: Side,
        /// The order's price.
        price: Price,
        /// The venue's reference price.
        reference: Price,
        /// Lower end.
        down: Bps,
        /// Upper end.
        up: Bps,
    },
}

impl MarketRules {
    /// Whether a limit order keeps the rules. `reference` is the venue's own reference price (Binance: `/api/v3/referencePrice`,
    /// else its average price); without it the percent band is not judged. On a refusal nothing needs to be sent: the venue
    /// would refuse as well.
    ///
    /// # Errors
    /// The first rule broken, with the limit and the value.
    pub fn check(&self, side: Side, price: Price, qty: Qty, reference: Option<Price>) -> Result<(), Refusal> {
        self.check_status()?;
        let market = || self.symbol.clone();
        self.check_range(
            "price",
            price.raw(),
            self.min_price.map(Price::raw),
            self.max_price.map(Price::raw),
        )?;
        if !self.tick.is_on_grid(price) {
            return Err(Refusal::OffTick {
                market: market(),
                price,
                tick: self.tick.tick_at(price),
            });
        }
        self.check_qty(&self.qty, qty)?;
        self.check_notional(price, qty)?;
        if let (Some(band), Some(reference)) = (&self.percent, reference) {
            let (down, up) = match side {
                Side::Buy => (band.bid_down, band.bid_up),
                Side::Sell => (band.ask_down, band.ask_up),
            };
            let scaled = i128::from(price.raw()) * i128::from(SCALE);
            let at = |ratio: Bps| i128::from(reference.raw()) * i128::from(ratio.raw());
            if scaled < at(down) || scaled > at(up) {
                return Err(Refusal::Percent {
                    market: market(),
                    side,
                    price,
                    reference,
                    down,
                    up,
                });
            }
        }
        Ok(())
    }

    /// Whether a market order of this quantity keeps the rules; `price` is where it is expected to fill.
    ///
    /// # Errors
    /// The first rule broken, with the limit and the value.
    pub fn check_market(&self, price: Price, qty: Qty) -> Result<(), Refusal> {
        self.check_status()?;
        self.check_qty(&self.qty, qty)?;
        if let Some(rule) = &self.market_qty {
            self.check_qty(rule, qty)?;
        }
        self.check_notional(price, qty)
    }

    fn check_status(&self) -> Result<(), Refusal> {
        match &self.status {
            MarketStatus::Trading => Ok(()),
            status => Err(Refusal::NotTrading {
                market: self.symbol.clone(),
                status: status.clone(),
            }),
        }
    }

    fn check_qty(&self, rule: &QtyRule, qty: Qty) -> Result<(), Refusal> {
        self.check_range(
            "quantity",
            qty.raw(),
            Some(rule.min.raw().max(1)),
            rule.max.map(Qty::raw),
        )?;
        if !rule.step.is_zero() && qty.raw() % rule.step.raw() != 0 {
            return Err(Refusal::OffLot {
                market: self.symbol.clone(),
                qty,
                step: rule.step,
            });
        }
        Ok(())
    }

    /// Compared as the exact product; nothing is rounded before.
    fn check_notional(&self, price: Price, qty: Qty) -> Result<(), Refusal> {
        let product = i128::from(price.raw()) * i128::from(qty.raw());
        let limit = |amount: Amount| i128::from(amount.raw()) * i128::from(SCALE);
        let value = || amount(i64::try_from(product / i128::from(SCALE)).unwrap_or(i64::MAX));
        if product < limit(self.min_notional) {
            return Err(Refusal::Below {
                market: self.symbol.clone(),
                what: "notional",
                value: value(),
                limit: self.min_notional,
            });
        }
        match self.max_notional {
            Some(most) if product > limit(most) => Err(Refusal::Above {
                market: self.symbol.clone(),
                what: "notional",
                value: value(),
                limit: most,
            }),
            _ => Ok(()),
        }
    }

    fn check_range(&self, what: &'static str, value: i64, min: Option<i64>, max: Option<i64>) -> Result<(), Refusal> {
        match (min, max) {
            (Some(min), _) if value < min => Err(Refusal::Below {
                market: self.symbol.clone(),
                what,
                value: amount(value),
                limit: amount(min),
            }),
            (_, Some(max)) if value > max => Err(Refusal::Above {
                market: self.symbol.clone(),
                what,
                value: amount(value),
                limit: amount(max),
            }),
            _ => Ok(()),
        }
    }
}

fn amount(raw: i64) -> Amount {
    Amount::from_raw(raw).unwrap_or(Amount::ZERO)
}

/// What a venue lists, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Markets by symbol.
    pub markets: BTreeMap<String, MarketRules>,
    /// Markets whose rules could not be read, with the reason.
    pub unreadable: BTreeMap<String, String>,
    /// Request limits that the venue states (Binance `rateLimits`).
    pub limits: Vec<RateLimit>,
}

/// Why a configured market cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MarketError {
    /// The venue does not list it.
    #[error("{venue}: there is no market `{market}`{}", did_you_mean(.near))]
    Missing {
        /// The venue's name.
        venue: String,
        /// As configured.
        market: String,
        /// What is spelled nearly so, nearest first.
        near: Vec<String>,
    },
    /// It is listed but takes no orders.
    #[error("{venue}: market `{market}` is not trading: {status}")]
    NotTrading {
        /// The venue's name.
        venue: String,
        /// As configured.
        market: String,
        /// Its status.
        status: MarketStatus,
    },
    /// Its rules could not be read.
    #[error("{venue}: rules of market `{market}` could not be read: {reason}")]
    Unreadable {
        /// The venue's name.
        venue: String,
        /// As configured.
        market: String,
        /// Why not.
        reason: String,
    },
}

fn did_you_mean(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(", ")),
    }
}

impl Catalogue {
    /// Whether all configured markets exist and trade; every one that does not, in the order configured.
    pub fn refuse(&self, venue: &str, configured: &[String]) -> Vec<MarketError> {
        configured
            .iter()
            .filter_map(|market| match (self.markets.get(market), self.unreadable.get(market)) {
                (Some(rules), _) if rules.status == MarketStatus::Trading => None,
                (Some(rules), _) => Some(MarketError::NotTrading {
                    venue: venue.to_owned(),
                    market: market.clone(),
                    status: rules.status.clone(),
                }),
                (None, Some(reason)) => Some(MarketError::Unreadable {
                    venue: venue.to_owned(),
                    market: market.clone(),
                    reason: reason.clone(),
                }),
                (None, None) => Some(MarketError::Missing {
                    venue: venue.to_owned(),
                    market: market.clone(),
                    near: self.near(market),
                }),
            })
            .collect()
    }

    /// Up to three listed markets that are spelled nearest: other case or separator, parts swapped, and at most two letters away.
    fn near(&self, asked: &str) -> Vec<String> {
        let plain = |text: &str| -> String {
            let letters = text.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|c| c.to_ascii_uppercase()).take(40).collect()
        };
        let wanted = plain(asked);
        let mut found: Vec<(usize, &String)> = self
            .markets
            .values()
            .filter_map(|rules| {
                let swapped = format!("{}{}", plain(&rules.base), plain(&rules.quote));
                let turned = format!("{}{}", plain(&rules.quote), plain(&rules.base));
                let away = distance(&wanted, &plain(&rules.symbol))
                    .min(distance(&wanted, &swapped))
                    .min(distance(&wanted, &turned));
                (away <= 2).then_some((away, &rules.symbol))
            })
            .collect();
        found.sort();
        let nearest = found.first().map(|&(away, _)| away);
        let found = found.into_iter().take_while(|&(away, _)| Some(away) == nearest);
        found.take(3).map(|(_, symbol)| symbol.clone()).collect()
    }
}

/// How many letters must be put in, left out or changed to get from one to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let best = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = row[j + 1];
            row[j + 1] = best;
        }
    }
    row[b.len()]
}
