//! What a unit of something is worth in the run's base currency: a price, then an exchange rate, each rounded down.

use crate::units::{Amount, FxRate, Overflow, Price, Rounding, SCALE, div_round};

/// How an amount of a quote currency becomes the run's base currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// It is the base currency.
    Same,
    /// `amount * rate`: the rate is base currency per unit of this one (USDT where the base is KRW).
    Times(FxRate),
    /// `amount / rate`: the rate is this currency per unit of the base currency (KRW where the base is USD).
    Over(FxRate),
}

impl Conversion {
    /// The amount in the base currency, rounded as told to 1e-8.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn convert(self, amount: Amount, rounding: Rounding) -> Result<Amount, Overflow> {
        match self {
            Conversion::Same => Ok(amount),
            Conversion::Times(rate) => amount.convert(rate, rounding),
            Conversion::Over(rate) => {
                let wide = i128::from(amount.raw()) * i128::from(SCALE);
                Amount::from_wide(div_round(wide, i128::from(rate.raw()), rounding))
            }
        }
    }
}

/// What a unit is worth: its price in a quote currency (none for the quote currency itself), converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Price in the quote currency; `None` for cash.
    pub price: Option<Price>,
    /// From the quote currency to the run's base currency.
    pub conversion: Conversion,
}

impl Mark {
    /// Of cash: nothing but the conversion.
    pub const fn cash(conversion: Conversion) -> Mark {
        Mark {
            price: None,
            conversion,
        }
    }

    /// Of a coin or a position at this price.
    pub const fn at(price: Price, conversion: Conversion) -> Mark {
        Mark {
            price: Some(price),
            conversion,
        }
    }

    /// Value of this many units in the base currency, rounded down to 1e-8 after each step (a debt: up).
    ///
    /// # Errors
    /// [`Overflow`] when a step does not fit.
    pub fn value(self, held: Amount) -> Result<Amount, Overflow> {
        let quote = match self.price {
            None => held,
            Some(price) => {
                let wide = i128::from(held.raw()) * i128::from(price.raw());
                Amount::from_wide(div_round(wide, i128::from(SCALE), Rounding::Down))?
            }
        };
        self.conversion.convert(quote, Rounding::Down)
    }
}
