//! The exchange rate, and what everything is worth in the run's base currency.

use crate::book::Book;
use crate::instrument::{CurrencyId, Instrument, InstrumentId, VenueId};
use crate::ledger::{Conversion, Ledger, LedgerError, Mark};
use crate::units::{Amount, FxRate, Price, SCALE, TimestampNs};

/// On which side of the exchange rate a currency stands. The rate counts units of `Home` per unit of `Foreign`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The rate's numerator (KRW of "KRW per USDT").
    Home,
    /// The rate's denominator (USDT, USD).
    Foreign,
    /// Not money of the rate: a coin or a position, valued at the mid of an instrument.
    Coin,
}

/// Where the exchange rate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FxSource {
    /// All quote currencies are of one class: no rate is needed.
    NotNeeded,
    /// A constant, always fresh.
    Constant(FxRate),
    /// A stream of rates.
    Series,
    /// The mid of an instrument's book (Upbit KRW-USDT, say).
    Instrument(InstrumentId),
}

/// The rate's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FxConfig {
    /// Where it comes from.
    pub source: FxSource,
    /// A rate whose `ts_event` is older than this is no rate.
    pub max_age_ns: i64,
    /// Rates outside (inclusive) are taken for errors and ignored; `None` for no band.
    pub band: Option<(FxRate, FxRate)>,
}

/// Why there is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FxProblem {
    /// None yet, or too old.
    Missing,
    /// The newest one is outside the band.
    OutOfBand,
}

/// The rate as of now.
#[derive(Debug, Clone)]
pub(super) struct Fx {
    config: FxConfig,
    state: FxState,
}

/// What was observed of the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FxState {
    /// The newest believable one.
    pub(crate) rate: Option<FxRate>,
    ts: TimestampNs,
    out_of_band: bool,
    rejected: u64,
}

impl Fx {
    pub(super) fn new(config: FxConfig) -> Fx {
        let (rate, ts) = match config.source {
            FxSource::NotNeeded => (Some(FxRate::ONE), TimestampNs::MAX),
            FxSource::Constant(rate) => (Some(rate), TimestampNs::MAX),
            FxSource::Series | FxSource::Instrument(_) => (None, TimestampNs::MIN),
        };
        Fx {
            config,
            state: FxState {
                rate,
                ts,
                out_of_band: false,
                rejected: 0,
            },
        }
    }

    pub(super) fn state(&self) -> FxState {
        self.state
    }

    /// Takes over what was observed by another.
    pub(super) fn set_state(&mut self, state: FxState) {
        self.state = state;
    }

    /// Rates ignored for being outside the band.
    pub(super) fn rejected(&self) -> u64 {
        self.state.rejected
    }

    pub(super) fn observe(&mut self, rate: FxRate, ts: TimestampNs) {
        if self.config.band.is_some_and(|(low, high)| rate < low || rate > high) {
            self.state.rejected += 1;
            self.state.out_of_band = true;
            return;
        }
        self.state.out_of_band = false;
        self.state.rate = Some(rate);
        self.state.ts = ts;
    }

    /// The rate that may be traded on.
    #[inline]
    pub(super) fn fresh(&self, now: TimestampNs) -> Result<FxRate, FxProblem> {
        match self.state.rate {
            _ if self.state.out_of_band => Err(FxProblem::OutOfBand),
            Some(rate) if now.since(self.state.ts) <= self.config.max_age_ns => Ok(rate),
            _ => Err(FxProblem::Missing),
        }
    }

    /// The newest believable rate, however old: for valuing, never for trading.
    pub(super) fn last(&self) -> Option<FxRate> {
        self.state.rate
    }

    /// Where it comes from.
    pub(super) fn source(&self) -> FxSource {
        self.config.source
    }
}

/// Values of wallets in the base currency.
#[derive(Debug, Clone)]
pub(super) struct Valuer {
    classes: Vec<Class>,
    base: Class,
    /// Instrument whose mid values a coin at a venue.
    source: Vec<Option<InstrumentId>>,
    quotes: Vec<CurrencyId>,
    mids: Vec<Option<Price>>,
    /// Wallets that exist, in order.
    wallets: Vec<(VenueId, CurrencyId)>,
}

impl Valuer {
    pub(super) fn new(venues: usize, classes: Vec<Class>, base: CurrencyId, instruments: &[Instrument]) -> Valuer {
        let mut source = vec![None; venues * classes.len()];
        let mut wallets = Vec::new();
        for venue in 0..venues {
            for currency in 0..classes.len() {
                let currency_id = CurrencyId(currency as u16);
                let here = |i: &&(usize, &Instrument)| i.1.venue.index() == venue;
                let of_base: Vec<(usize, &Instrument)> = instruments
                    .iter()
                    .enumerate()
                    .filter(|(_, i)| i.base == currency_id)
                    .collect();
                let found = of_base.iter().find(here).or(of_base.first());
                source[venue * classes.len() + currency] = found.map(|&(index, _)| InstrumentId(index as u16));
                wallets.push((VenueId(venue as u8), currency_id));
            }
        }
        Valuer {
            base: classes[base.index()],
            source,
            quotes: instruments.iter().map(|i| i.quote).collect(),
            mids: vec![None; instruments.len()],
            classes,
            wallets,
        }
    }

    /// Takes the mids of all books that can be priced; the others keep their last.
    pub(super) fn refresh(&mut self, books: &[Book]) {
        for (mid, book) in self.mids.iter_mut().zip(books) {
            if let Ok((bid, ask)) = book.top() {
                *mid = Some(Price::mid(bid.price, ask.price));
            }
        }
    }

    /// Takes the mid of one book that can be priced.
    pub(super) fn take_mid(&mut self, instrument: InstrumentId, mid: Price) {
        self.mids[instrument.index()] = Some(mid);
    }

    /// How an amount of a money becomes base currency.
    #[inline]
    pub(super) fn conversion(&self, currency: CurrencyId, rate: FxRate) -> Option<Conversion> {
        match (self.classes[currency.index()], self.base) {
            (Class::Coin, _) | (_, Class::Coin) => None,
            (of, base) if of == base => Some(Conversion::Same),
            (Class::Foreign, _) => Some(Conversion::Times(rate)),
            (Class::Home, _) => Some(Conversion::Over(rate)),
        }
    }

    /// Base-currency value of one unit of a money, in 1e-8.
    pub(super) fn unit_value(&self, currency: CurrencyId, rate: FxRate) -> i64 {
        match self.conversion(currency, rate) {
            Some(Conversion::Times(rate)) => rate.raw(),
            Some(Conversion::Over(rate)) => (i128::from(SCALE) * i128::from(SCALE) / i128::from(rate.raw())) as i64,
            Some(Conversion::Same) | None => SCALE,
        }
    }

    pub(super) fn mark(&self, venue: VenueId, currency: CurrencyId, rate: FxRate) -> Option<Mark> {
        match self.conversion(currency, rate) {
            Some(conversion) => Some(Mark::cash(conversion)),
            None => {
                let instrument = self.source[venue.index() * self.classes.len() + currency.index()]?;
                let price = self.mids[instrument.index()]?;
                Some(Mark::at(price, self.conversion(self.quotes[instrument.index()], rate)?))
            }
        }
    }

    /// Exact value of everything held, and of the opening inventory, at the newest mids; `None` while something held
    /// has no price yet.
    pub(super) fn equity(&self, ledger: &Ledger, rate: FxRate) -> Result<Option<(Amount, Amount)>, LedgerError> {
        let mark = |venue, currency| self.mark(venue, currency, rate);
        match (ledger.equity(mark), ledger.hold(mark)) {
            (Ok(equity), Ok(hold)) => Ok(Some((equity, hold))),
            (Err(LedgerError::NoMark { .. }), _) | (_, Err(LedgerError::NoMark { .. })) => Ok(None),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Result against holding, in 1e-8 of the base currency; a statistic for limits, so `f64` in a fixed order is enough.
    #[inline]
    pub(super) fn quick_pnl(&self, ledger: &Ledger, rate: FxRate) -> i64 {
        let scale = SCALE as f64;
        let mut sum = 0.0;
        for &(venue, currency) in &self.wallets {
            let change = ledger
                .balance(venue, currency)
                .raw()
                .saturating_sub(ledger.opening(venue, currency).raw());
            if change == 0 {
                continue;
            }
            if let Some(mark) = self.mark(venue, currency, rate) {
                let quote = match mark.price {
                    Some(price) => change as f64 * (price.raw() as f64 / scale),
                    None => change as f64,
                };
                sum += match mark.conversion {
                    Conversion::Same => quote,
                    Conversion::Times(rate) => quote * (rate.raw() as f64 / scale),
                    Conversion::Over(rate) => quote / (rate.raw() as f64 / scale),
                };
            }
        }
        sum as i64
    }

    /// Units of A's quote currency per unit of B's.
    pub(super) fn route_fx(&self, quote_a: CurrencyId, quote_b: CurrencyId, rate: FxRate) -> f64 {
        let rate = rate.raw() as f64 / SCALE as f64;
        match (self.classes[quote_a.index()], self.classes[quote_b.index()]) {
            (Class::Home, Class::Foreign) => rate,
            (Class::Foreign, Class::Home) => 1.0 / rate,
            _ => 1.0,
        }
    }

    pub(super) fn mid(&self, instrument: InstrumentId) -> Option<Price> {
        self.mids[instrument.index()]
    }
}
