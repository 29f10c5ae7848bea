//! What a simulated venue is told: fees, latencies, matching and queue models.

use thiserror::Error;

use crate::instrument::{CurrencyId, Instrument, InstrumentId, VenueId, VenueKind};
pub use crate::spread::FillModel;
use crate::units::{Bps, Price, SCALE};

/// Everything the matching model is made of.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// By [`VenueId`].
    pub venues: Vec<VenueConfig>,
    /// By [`InstrumentId`].
    pub instruments: Vec<Instrument>,
    /// How many currencies the run has.
    pub currencies: usize,
    /// How a taking order meets the book.
    pub fill_model: FillModel,
    /// Seed of the run; latencies draw from its stream `sim.latency`.
    pub seed: u64,
}

/// One venue.
#[derive(Debug, Clone)]
pub struct VenueConfig {
    /// Spot or perpetual.
    pub kind: VenueKind,
    /// Fee of a fill that takes.
    pub taker_fee: Bps,
    /// Fee of a fill that gives; negative for a rebate.
    pub maker_fee: Bps,
    /// In which currency fees are paid.
    pub fee_rule: FeeRule,
    /// From sending an order (or a cancel) until the venue has it.
    pub order_latency: Latency,
    /// From the venue's deed until we hear of it.
    pub report_latency: Latency,
    /// Perpetual only: exposure may not pass this many times the venue's equity in the quote currency. `None`: no check.
    pub max_leverage: Option<u32>,
    /// How a resting order moves up its queue.
    pub queue_model: QueueModel,
}

/// In which currency a venue takes its fee. Always rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeeRule {
    /// Always quote (Upbit; linear perpetuals).
    Quote,
    /// What the fill brings: base for a buy, quote for a sale (Binance spot without BNB).
    Received,
    /// A third currency at a constant price (BNB).
    Fixed {
        /// The currency that pays.
        currency: CurrencyId,
        /// Its price in the instrument's quote currency, held constant for the run.
        price: Price,
    },
}

/// How a resting order moves up its queue when the quantity at its price falls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QueueModel {
    /// Only trades at our price move us up: every cancellation was behind us.
    RiskAdverse,
    /// A decrease that trades do not explain is shared between the quantity ahead (`front`) and behind (`back`): the
    /// share behind is `back^n / (back^n + front^n)`.
    Prob {
        /// The exponent `n`.
        exponent: f64,
    },
}

/// How long something is on its way. Never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always the same.
    Constant {
        /// Nanoseconds.
        ns: i64,
    },
    /// `median * exp(sigma * z)`, `z` standard normal, drawn per order.
    LogNormal {
        /// Nanoseconds.
        median_ns: i64,
        /// Standard deviation of its logarithm.
        sigma: f64,
    },
    /// A multiple of the delay (`ts_recv - ts_event`) of the instrument's newest message: for an order, the newest that
    /// we had received when we sent it; for a report, the newest of the venue's book then.
    Recorded {
        /// Times that delay.
        multiple: f64,
    },
}

/// Why a simulation cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// An instrument names a venue or a currency that the run does not have.
    #[error("instrument {}: unknown venue or currency", .0.0)]
    Instrument(InstrumentId),
    /// A latency that is negative, not finite, or longer than a day.
    #[error("venue {}: a latency must be finite, not negative and at most a day", .0.0)]
    Latency(VenueId),
    /// A fee outside -100 % … 100 %.
    #[error("venue {}: a fee must lie between -10000 and 10000 bps", .0.0)]
    Fee(VenueId),
    /// The position unit of a perpetual cannot pay fees; or the fee currency is unknown.
    #[error("venue {}: fees cannot be paid in that currency", .0.0)]
    FeeCurrency(VenueId),
    /// A maximum leverage of zero, or on a spot venue.
    #[error("venue {}: max_leverage must be at least 1, on a perpetual venue", .0.0)]
    Leverage(VenueId),
    /// An exponent that is not positive and finite.
    #[error("venue {}: the queue model's exponent must be positive", .0.0)]
    Exponent(VenueId),
}

/// Longest latency that is taken for meant: a day.
const MAX_LATENCY_NS: i64 = 86_400_000_000_000;

impl Latency {
    fn is_valid(self) -> bool {
        match self {
            Latency::Constant { ns } => (0..=MAX_LATENCY_NS).contains(&ns),
            Latency::LogNormal { median_ns, sigma } => {
                (0..=MAX_LATENCY_NS).contains(&median_ns) && (0.0..=10.0).contains(&sigma)
            }
            Latency::Recorded { multiple } => (0.0..=1_000.0).contains(&multiple),
        }
    }

    /// This latency, given a standard normal draw and the newest recorded delay.
    pub(super) fn at(self, normal: f64, recorded_ns: i64) -> i64 {
        match self {
            Latency::Constant { ns } => ns,
            Latency::LogNormal { median_ns, sigma } => {
                let ns = median_ns as f64 * libm::exp(sigma * normal);
                (ns as i64).min(MAX_LATENCY_NS)
            }
            Latency::Recorded { multiple } => {
                let ns = recorded_ns.max(0) as f64 * multiple;
                (ns as i64).min(MAX_LATENCY_NS)
            }
        }
    }
}

impl SimConfig {
    /// Checks all of it.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (index, venue) in self.venues.iter().enumerate() {
            venue.validate(VenueId(index as u8), self.currencies)?;
        }
        for (index, instrument) in self.instruments.iter().enumerate() {
            let known = instrument.venue.index() < self.venues.len()
                && instrument.base.index() < self.currencies
                && instrument.quote.index() < self.currencies
                && instrument.base != instrument.quote;
            if !known {
                return Err(ConfigError::Instrument(InstrumentId(index as u16)));
            }
        }
        Ok(())
    }
}

impl VenueConfig {
    fn validate(&self, id: VenueId, currencies: usize) -> Result<(), ConfigError> {
        if !self.order_latency.is_valid() || !self.report_latency.is_valid() {
            return Err(ConfigError::Latency(id));
        }
        let is_share = |fee: Bps| (-SCALE..=SCALE).contains(&fee.raw());
        if !is_share(self.taker_fee) || !is_share(self.maker_fee) {
            return Err(ConfigError::Fee(id));
        }
        let payable = match self.fee_rule {
            FeeRule::Quote => true,
            FeeRule::Received => self.kind == VenueKind::Spot,
            FeeRule::Fixed { currency, .. } => currency.index() < currencies,
        };
        if !payable {
            return Err(ConfigError::FeeCurrency(id));
        }
        if self
            .max_leverage
            .is_some_and(|times| times == 0 || self.kind == VenueKind::Spot)
        {
            return Err(ConfigError::Leverage(id));
        }
        match self.queue_model {
            QueueModel::Prob { exponent } if !(exponent > 0.0 && exponent.is_finite()) => {
                Err(ConfigError::Exponent(id))
            }
            _ => Ok(()),
        }
    }
}
