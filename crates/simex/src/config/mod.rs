//! What an operator may set: seed, markets, rates, accounts, fees, the fault script, the truth log.
//!
//! Everything has a default, so that `crossbook simex` works without a file. What it deliberately does not hold is the
//! market itself ([`crate::market`]) and the faults ([`crate::faults`]), which have a file of their own.

pub mod bases;
mod list;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crossbook_engine::units::Amount;
use serde::Deserialize;

pub use list::{Listed, market_list};

use crate::exchange::Venue;
use crate::server::settings::Settings;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, has an unknown key, or a value of another type.
    #[error("{path}: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why, and what is allowed.
        message: String,
    },
    /// A value is out of bounds, or does not go with another.
    #[error("{key}: {message}")]
    Value {
        /// Which key.
        key: String,
        /// Why, and what is allowed.
        message: String,
    },
}

impl ConfigError {
    pub(crate) fn value(key: impl Into<String>, message: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            key: key.into(),
            message: message.into(),
        }
    }
}

/// A loopback exchange as an operator describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Of everything that is drawn: same seed, same market.
    pub seed: u64,
    /// Ports, timers and limits of the servers.
    pub server: Settings,
    /// What is listed.
    pub markets: Markets,
    /// How busy it is.
    pub rates: Rates,
    /// Fees and bounds of Upbit.
    pub upbit: UpbitRules,
    /// Fees and bounds of Binance.
    pub binance: BinanceRules,
    /// Who may trade.
    pub accounts: Vec<AccountConfig>,
    /// The fault script, relative to this file.
    pub faults: Option<PathBuf>,
    /// The truth log.
    pub truth: TruthConfig,
}

/// What is listed. Coins are those of [`bases::BASES`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Markets {
    /// Upbit's KRW markets, by base. `KRW-USDT` is always there.
    pub upbit_krw: Vec<String>,
    /// Upbit's USDT markets, by base.
    pub upbit_usdt: Vec<String>,
    /// Upbit's BTC markets, by base.
    pub upbit_btc: Vec<String>,
    /// Binance's USDT markets, by base.
    pub binance_usdt: Vec<String>,
    /// Binance's USD-M perpetuals, by base.
    pub binance_usdm: Vec<String>,
}

impl Default for Markets {
    fn default() -> Markets {
        let all = || bases::BASES.iter().map(|base| base.code.to_owned()).collect::<Vec<_>>();
        let some = |codes: &[&str]| codes.iter().map(|&code| code.to_owned()).collect();
        Markets {
            upbit_krw: all().into_iter().filter(|code| code != "BNB").collect(),
            upbit_usdt: some(&["BTC", "ETH", "XRP"]),
            upbit_btc: some(&["ETH", "XRP"]),
            binance_usdt: all(),
            binance_usdm: some(&["BTC", "ETH", "XRP", "SOL", "DOGE"]),
        }
    }
}

impl Markets {
    /// The first `n` coins at both venues, and nothing else but `KRW-USDT`.
    pub fn first(n: usize) -> Markets {
        let codes: Vec<String> = bases::BASES.iter().take(n).map(|base| base.code.to_owned()).collect();
        Markets {
            upbit_krw: codes.clone(),
            binance_usdt: codes,
            upbit_usdt: Vec::new(),
            upbit_btc: Vec::new(),
            binance_usdm: Vec::new(),
        }
    }
}

/// How busy the synthetic market is, for each market on average, and how deep its books are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Book changes a second at Upbit, each of which is a whole book on the wire.
    pub upbit_books_per_s: f64,
    /// Book changes a second at Binance, each of which is a diff.
    pub binance_books_per_s: f64,
    /// Trades a second.
    pub trades_per_s: f64,
    /// All of them times this.
    pub factor: f64,
    /// Levels a side that Upbit's books are kept at.
    pub upbit_levels: u32,
    /// Levels a side that Binance's books are kept at.
    pub binance_levels: u32,
    /// A recording is played this much faster than it was; the synthetic market is not concerned.
    pub speed: f64,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            upbit_books_per_s: 8.0,
            binance_books_per_s: 10.0,
            trades_per_s: 1.0,
            factor: 1.0,
            upbit_levels: 45,
            binance_levels: 1_100,
            speed: 1.0,
        }
    }
}

/// Fees and bounds of Upbit (exchange docs v1.6.4, read 2026-11-21).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpbitRules {
    /// Fee of a resting order, in millionths of its funds.
    pub maker_fee_ppm: u32,
    /// Fee of a taking order, in millionths of its funds.
    pub taker_fee_ppm: u32,
    /// Open orders of an account, at most.
    pub most_open_orders: usize,
}

impl Default for UpbitRules {
    fn default() -> UpbitRules {
        UpbitRules {
            maker_fee_ppm: 500,
            taker_fee_ppm: 500,
            most_open_orders: 1_000,
        }
    }
}

/// Fees and bounds of Binance (spot-api-docs a5e0bc3, read 2026-11-21).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinanceRules {
    /// Fee of a resting order, in millionths of what is received.
    pub maker_fee_ppm: u32,
    /// Fee of a taking order, in millionths of what is received.
    pub taker_fee_ppm: u32,
    /// What is left of a fee that is paid in BNB, in percent.
    pub bnb_fee_percent: u32,
    /// Open orders of an account in one market, at most (`MAX_NUM_ORDERS`).
    pub most_open_orders: usize,
    /// Open stop orders of an account in one market, at most (`MAX_NUM_ALGO_ORDERS`).
    pub most_algo_orders: usize,
    /// Amendments of an order, at most (`MAX_NUM_ORDER_AMENDS`).
    pub most_amends: usize,
    /// How far from the reference price an order's price may be.
    pub price_band: Band,
    /// Whether that is announced as `PERCENT_PRICE_BY_SIDE`; as `PERCENT_PRICE` otherwise, with one band for both sides.
    pub price_band_by_side: bool,
    /// How far from the reference price an order that takes may trade (the price range rule).
    pub execution_range: Band,
    /// The most that an account may hold and have bid for, by base (`MAX_POSITION`); no bound for those left out.
    pub max_position: BTreeMap<String, Amount>,
    /// The most of a currency that one order may be about, as base or as quote (`MAX_ASSET`); no bound for those left out.
    pub max_asset: BTreeMap<String, Amount>,
}

/// Bounds around a reference price, in percent of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Highest price of a buy.
    pub bid_up_percent: u32,
    /// Lowest price of a buy.
    pub bid_down_percent: u32,
    /// Highest price of a sell.
    pub ask_up_percent: u32,
    /// Lowest price of a sell.
    pub ask_down_percent: u32,
}

impl Band {
    const fn both(up: u32, down: u32) -> Band {
        Band {
            bid_up_percent: up,
            bid_down_percent: down,
            ask_up_percent: up,
            ask_down_percent: down,
        }
    }
}

impl Default for BinanceRules {
    fn default() -> BinanceRules {
        BinanceRules {
            maker_fee_ppm: 1_000,
            taker_fee_ppm: 1_000,
            bnb_fee_percent: 75,
            most_open_orders: 200,
            most_algo_orders: 5,
            most_amends: 10,
            price_band: Band::both(500, 20),
            price_band_by_side: true,
            execution_range: Band::both(115, 85),
            max_position: BTreeMap::new(),
            max_asset: BTreeMap::new(),
        }
    }
}

impl BinanceRules {
    fn check(&self) -> Result<(), ConfigError> {
        for (key, band) in [
            ("binance.price_band", self.price_band),
            ("binance.execution_range", self.execution_range),
        ] {
            for (up, down) in [
                (band.bid_up_percent, band.bid_down_percent),
                (band.ask_up_percent, band.ask_down_percent),
            ] {
                if !(down > 0 && down <= 100 && up >= 100) {
                    let message = format!("{down} to {up} percent does not go from above 0 over 100");
                    return Err(ConfigError::value(key, message));
                }
            }
        }
        let band = self.price_band;
        if !self.price_band_by_side && band != Band::both(band.bid_up_percent, band.bid_down_percent) {
            let message = "both sides need the same bounds when price_band_by_side is false";
            return Err(ConfigError::value("binance.price_band", message));
        }
        for (key, bounds) in [("max_position", &self.max_position), ("max_asset", &self.max_asset)] {
            if let Some(currency) = bounds
                .iter()
                .find_map(|(name, &most)| (most <= Amount::ZERO).then_some(name))
            {
                return Err(ConfigError::value(
                    format!("binance.{key}.{currency}"),
                    "is not above 0",
                ));
            }
        }
        Ok(())
    }
}

/// An account at one venue. Its keys are of this exchange alone: never put a real one here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// Where.
    pub venue: Venue,
    /// The public half of its key.
    pub access_key: String,
    /// The secret half.
    pub secret: String,
    /// What it owns at the start, by currency.
    #[serde(default)]
    pub balances: BTreeMap<String, Amount>,
    /// Whether Binance takes its fees in BNB while there is some.
    #[serde(default)]
    pub fees_in_bnb: bool,
}

/// The truth log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TruthConfig {
    /// Where it is written; none when absent. A name ending in `.zst` is compressed.
    pub path: Option<PathBuf>,
    /// A whole book is written after this many changes of it.
    pub checkpoint_every: u32,
    /// Levels a side in the checksum of each change.
    pub checksum_levels: usize,
}

impl Default for TruthConfig {
    fn default() -> TruthConfig {
        TruthConfig {
            path: None,
            checkpoint_every: 1_000,
            checksum_levels: 30,
        }
    }
}

impl Config {
    /// Reads and checks a file. A relative fault script is taken to lie beside it.
    ///
    /// # Errors
    /// Names the file, the key, and what is allowed.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut config = Config::parse(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        if let (Some(script), Some(folder)) = (&config.faults, path.parent()) {
            config.faults = Some(folder.join(script));
        }
        Ok(config)
    }

    /// Reads and checks a text.
    ///
    /// # Errors
    /// Names the key, and what is allowed.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text).map_err(|error| ConfigError::value("toml", error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rates = &self.rates;
        for (key, value, most) in [
            ("rates.upbit_books_per_s", rates.upbit_books_per_s, 1_000.0),
            ("rates.binance_books_per_s", rates.binance_books_per_s, 1_000.0),
            ("rates.trades_per_s", rates.trades_per_s, 1_000.0),
            ("rates.factor", rates.factor, 1_000.0),
            ("rates.speed", rates.speed, 10_000.0),
        ] {
            if !(value > 0.0 && value <= most) {
                return Err(ConfigError::value(
                    key,
                    format!("{value} is not above 0 and up to {most}"),
                ));
            }
        }
        for (key, value, least) in [
            ("rates.upbit_levels", rates.upbit_levels, 5),
            ("rates.binance_levels", rates.binance_levels, 20),
        ] {
            if !(least..=10_000).contains(&value) {
                return Err(ConfigError::value(key, format!("{value} is not in {least} to 10000")));
            }
        }
        for (key, value, most) in [
            ("upbit.maker_fee_ppm", self.upbit.maker_fee_ppm, 100_000),
            ("upbit.taker_fee_ppm", self.upbit.taker_fee_ppm, 100_000),
            ("binance.maker_fee_ppm", self.binance.maker_fee_ppm, 100_000),
            ("binance.taker_fee_ppm", self.binance.taker_fee_ppm, 100_000),
            ("binance.bnb_fee_percent", self.binance.bnb_fee_percent, 100),
        ] {
            if value > most {
                return Err(ConfigError::value(key, format!("{value} is more than {most}")));
            }
        }
        self.binance.check()?;
        if self.truth.checkpoint_every == 0 {
            return Err(ConfigError::value("truth.checkpoint_every", "0 is not at least 1"));
        }
        let mut keys = BTreeSet::new();
        for (index, account) in self.accounts.iter().enumerate() {
            let at = |key: &str| format!("accounts[{index}].{key}");
            if account.access_key.is_empty() || account.secret.is_empty() {
                return Err(ConfigError::value(at("access_key"), "key and secret must not be empty"));
            }
            if !keys.insert((account.venue, &account.access_key)) {
                return Err(ConfigError::value(
                    at("access_key"),
                    "is another account's at the same venue",
                ));
            }
            if account.venue == Venue::BinanceUsdm {
                return Err(ConfigError::value(
                    at("venue"),
                    "perpetuals have market data only; upbit or binance",
                ));
            }
            for (currency, amount) in &account.balances {
                if *amount < Amount::ZERO {
                    return Err(ConfigError::value(at(&format!("balances.{currency}")), "is negative"));
                }
            }
        }
        market_list(self).map(|_| ())
    }

    /// The configuration's accounts, or one for each venue when it has none: keys `upbit-key` and `binance-key`, secrets
    /// `upbit-secret` and `binance-secret`, with enough of everything to try things out.
    pub fn accounts_or_default(&self) -> Vec<AccountConfig> {
        if !self.accounts.is_empty() {
            return self.accounts.clone();
        }
        let account = |venue, name: &str, balances: &[(&str, &str)]| AccountConfig {
            venue,
            access_key: format!("{name}-key"),
            secret: format!("{name}-secret"),
            balances: balances
                .iter()
                .filter_map(|(currency, amount)| Some(((*currency).to_owned(), Amount::parse(amount).ok()?)))
                .collect(),
            fees_in_bnb: false,
        };
        vec![
            account(
                Venue::Upbit,
                "upbit",
                &[
                    ("KRW", "100000000"),
                    ("USDT", "50000"),
                    ("BTC", "1"),
                    ("ETH", "20"),
                    ("XRP", "20000"),
                ],
            ),
            account(
                Venue::Binance,
                "binance",
                &[
                    ("USDT", "100000"),
                    ("BTC", "1"),
                    ("ETH", "20"),
                    ("XRP", "20000"),
                    ("BNB", "10"),
                ],
            ),
        ]
    }
}
