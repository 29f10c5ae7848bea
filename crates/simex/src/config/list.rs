//! The markets that a configuration lists, with the numbers that the synthetic market starts from.

use std::collections::BTreeSet;

use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::{Amount, Bps, Price, Qty};

use super::bases::{BASES, Base, KRW_PER_USD, UPBIT_KRW_TICKS, UPBIT_USDT_TICKS};
use super::{Config, ConfigError};
use crate::exchange::{MarketInfo, Status, Venue};

/// A listed market.
#[derive(Debug, Clone)]
pub struct Listed {
    /// As its venue lists it.
    pub info: MarketInfo,
    /// Price at the start, in quote, for the synthetic market.
    pub start: f64,
    /// Book changes a second.
    pub books_per_s: f64,
    /// Trades a second.
    pub trades_per_s: f64,
    /// Levels a side.
    pub levels: usize,
}

/// All markets of a configuration: Upbit's, Binance's, then the perpetuals, each in the order of the configuration.
///
/// # Errors
/// A coin that is not known or listed twice.
pub fn market_list(config: &Config) -> Result<Vec<Listed>, ConfigError> {
    let markets = &config.markets;
    let mut list = Vec::new();
    let usdt = Base {
        code: "USDT",
        korean: "테더",
        english: "Tether",
        usdt: 1.0,
        tick: "0.0001",
        lot: "1",
    };
    for base in known("markets.upbit_krw", &markets.upbit_krw)? {
        list.push(listed(config, Venue::Upbit, base, "KRW")?);
    }
    list.push(listed(config, Venue::Upbit, &usdt, "KRW")?);
    for base in known("markets.upbit_btc", &markets.upbit_btc)? {
        list.push(listed(config, Venue::Upbit, base, "BTC")?);
    }
    for base in known("markets.upbit_usdt", &markets.upbit_usdt)? {
        list.push(listed(config, Venue::Upbit, base, "USDT")?);
    }
    for base in known("markets.binance_usdt", &markets.binance_usdt)? {
        list.push(listed(config, Venue::Binance, base, "USDT")?);
    }
    for base in known("markets.binance_usdm", &markets.binance_usdm)? {
        list.push(listed(config, Venue::BinanceUsdm, base, "USDT")?);
    }
    Ok(list)
}

fn known(key: &str, codes: &[String]) -> Result<Vec<&'static Base>, ConfigError> {
    let mut seen = BTreeSet::new();
    codes
        .iter()
        .map(|code| {
            if !seen.insert(code) {
                return Err(ConfigError::value(key, format!("`{code}` stands there twice")));
            }
            BASES.iter().find(|base| base.code == code).ok_or_else(|| {
                let all: Vec<&str> = BASES.iter().map(|base| base.code).collect();
                ConfigError::value(key, format!("`{code}` is not one of {}", all.join(", ")))
            })
        })
        .collect()
}

fn listed(config: &Config, venue: Venue, base: &Base, quote: &str) -> Result<Listed, ConfigError> {
    let bad = |error| ConfigError::value(format!("{venue:?} {}", base.code), format!("{error}"));
    let price = |text: &str| Price::parse(text).map_err(bad);
    let qty = |text: &str| Qty::parse(text).map_err(bad);
    let amount = |text: &str| Amount::parse(text).map_err(bad);
    let bands = |table: &[(&str, &str)]| {
        table
            .iter()
            .map(|(from, tick)| Ok((price(from)?, price(tick)?)))
            .collect::<Result<Vec<_>, ConfigError>>()
            .map(TickRule::Bands)
    };
    let rates = &config.rates;
    let symbol = match venue {
        Venue::Upbit => format!("{quote}-{}", base.code),
        Venue::Binance | Venue::BinanceUsdm => format!("{}{quote}", base.code),
    };
    let tick = match (venue, quote, base.code) {
        // A tick of its own, which only the list of instruments tells.
        (Venue::Upbit, "KRW", "USDT") => TickRule::Fixed(price("0.5")?),
        (Venue::Upbit, "KRW", _) => bands(&UPBIT_KRW_TICKS)?,
        (Venue::Upbit, "USDT", _) => bands(&UPBIT_USDT_TICKS)?,
        (Venue::Upbit, ..) => TickRule::Fixed(price("0.00000001")?),
        (Venue::Binance | Venue::BinanceUsdm, ..) => TickRule::Fixed(price(base.tick)?),
    };
    let (lot, min_qty, max_qty) = match venue {
        Venue::Upbit => (qty("0.00000001")?, qty("0.00000001")?, qty("10000000000")?),
        Venue::Binance | Venue::BinanceUsdm => (qty(base.lot)?, qty(base.lot)?, qty("9000000000")?),
    };
    let (min_total, max_total) = match (venue, quote) {
        (Venue::Upbit, "KRW") => ("5000", "1000000000"),
        (Venue::Upbit, "BTC") => ("0.00005", "20"),
        (Venue::Upbit, _) => ("0.5", "1000000"),
        (Venue::Binance | Venue::BinanceUsdm, _) => ("5", "9000000"),
    };
    let (maker_ppm, taker_ppm) = match venue {
        Venue::Upbit => (config.upbit.maker_fee_ppm, config.upbit.taker_fee_ppm),
        Venue::Binance | Venue::BinanceUsdm => (config.binance.maker_fee_ppm, config.binance.taker_fee_ppm),
    };
    // One millionth is 100 of the 1e-8 that a Bps counts.
    let fee = |ppm: u32| Bps::from_raw(i64::from(ppm) * 100);
    Ok(Listed {
        info: MarketInfo {
            venue,
            symbol: symbol.into(),
            base: base.code.into(),
            quote: quote.into(),
            korean_name: base.korean.into(),
            english_name: base.english.into(),
            tick,
            lot,
            min_qty,
            max_qty,
            min_total: amount(min_total)?,
            max_total: amount(max_total)?,
            status: Status::Trading,
            maker_fee: fee(maker_ppm),
            taker_fee: fee(taker_ppm),
        },
        start: match quote {
            "KRW" => base.usdt * KRW_PER_USD,
            "BTC" => base.usdt / BASES[0].usdt,
            _ => base.usdt,
        },
        books_per_s: rates.factor
            * match venue {
                Venue::Upbit => rates.upbit_books_per_s,
                Venue::Binance | Venue::BinanceUsdm => rates.binance_books_per_s,
            },
        trades_per_s: rates.factor * rates.trades_per_s,
        levels: match venue {
            Venue::Upbit => rates.upbit_levels,
            Venue::Binance | Venue::BinanceUsdm => rates.binance_levels,
        } as usize,
    })
}
