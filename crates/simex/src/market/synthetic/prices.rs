//! Where prices go: one price per coin in dollars, one rate, one premium per coin; everything else follows from them.
//!
//! All processes move on a grid of 100 ms and each draws from a stream of its own, so that what one market shows never
//! depends on how often another is looked at. They return slowly to where they began: an exchange may run for weeks.

use crossbook_engine::rng::Rng;
use crossbook_engine::units::TimestampNs;

use crate::config::Listed;
use crate::config::bases::KRW_PER_USD;
use crate::exchange::Venue;

const GRID_NS: i64 = 100_000_000;
const GRID_S: f64 = 0.1;
const YEAR_S: f64 = 365.0 * 86_400.0;
/// What coins have in common with the whole market.
const CORRELATION: f64 = 0.7;

/// An Ornstein-Uhlenbeck process.
#[derive(Debug)]
struct Drift {
    rng: Rng,
    value: f64,
    /// Share of the distance to zero that is walked in a step.
    pull: f64,
    /// Standard deviation of a step.
    step: f64,
}

impl Drift {
    /// A process that strays by `deviation` and returns over `return_s` seconds.
    fn new(seed: u64, name: &str, deviation: f64, return_s: f64) -> Drift {
        let pull = GRID_S / return_s;
        Drift {
            rng: Rng::stream(seed, name),
            value: 0.0,
            pull,
            step: deviation * libm::sqrt(2.0 * pull),
        }
    }

    fn advance(&mut self, shock: f64) {
        self.value += self.step * shock - self.pull * self.value;
    }

    fn advance_alone(&mut self) {
        let shock = self.rng.normal();
        self.advance(shock);
    }
}

#[derive(Debug)]
struct Coin {
    start: f64,
    /// Log of the price over the one it began with.
    price: Drift,
    /// Log of Upbit's price over Binance's at the rate of `KRW-USDT`.
    premium: Drift,
}

/// How a market's price follows from the processes.
#[derive(Debug, Clone, Copy)]
pub enum Formula {
    /// A coin in dollars.
    Usdt(usize),
    /// A perpetual on it: the coin's price with a little of its premium as basis.
    Perpetual(usize),
    /// A coin in won.
    Krw(usize),
    /// A coin in dollars, at Upbit.
    UpbitUsdt(usize),
    /// A coin in the first one, at Upbit.
    UpbitBtc(usize, usize),
    /// Dollars in won.
    Rate,
}

/// The processes.
#[derive(Debug)]
pub struct Prices {
    start: TimestampNs,
    steps: i64,
    market: Rng,
    rate: Drift,
    common_premium: Drift,
    coins: Vec<Coin>,
}

impl Prices {
    /// The processes that these markets need, and how each market's price follows from them.
    pub fn new(seed: u64, start: TimestampNs, markets: &[Listed]) -> (Prices, Vec<Formula>) {
        // Half as much again as bitcoin for most coins: 90 % a year.
        let volatility = 0.9 * libm::sqrt(1.0 / YEAR_S);
        let return_s = 6.0 * 3_600.0;
        let mut codes: Vec<&str> = vec!["BTC"];
        for listed in markets {
            let code = &*listed.info.base;
            if code != "USDT" && !codes.contains(&code) {
                codes.push(code);
            }
        }
        let dollars = |code: &str| {
            crate::config::bases::BASES
                .iter()
                .find(|base| base.code == code)
                .map_or(1.0, |base| base.usdt)
        };
        let coins = codes
            .iter()
            .map(|&code| Coin {
                start: dollars(code),
                price: Drift::new(
                    seed,
                    &format!("price.{code}"),
                    volatility * libm::sqrt(return_s / 2.0),
                    return_s,
                ),
                premium: Drift::new(seed, &format!("premium.{code}"), 0.002, 90.0),
            })
            .collect();
        let at = |code: &str| codes.iter().position(|&known| known == code).unwrap_or(0);
        let formulas = markets
            .iter()
            .map(|listed| {
                let info = &listed.info;
                let coin = at(&info.base);
                match (info.venue, &*info.quote, &*info.base) {
                    (Venue::Upbit, "KRW", "USDT") => Formula::Rate,
                    (Venue::Upbit, "KRW", _) => Formula::Krw(coin),
                    (Venue::Upbit, "BTC", _) => Formula::UpbitBtc(coin, 0),
                    (Venue::Upbit, ..) => Formula::UpbitUsdt(coin),
                    (Venue::Binance, ..) => Formula::Usdt(coin),
                    (Venue::BinanceUsdm, ..) => Formula::Perpetual(coin),
                }
            })
            .collect();
        let prices = Prices {
            start,
            steps: 0,
            market: Rng::stream(seed, "price"),
            rate: Drift::new(seed, "rate", 0.004, 1_800.0),
            common_premium: Drift::new(seed, "premium", 0.004, 600.0),
            coins,
        };
        (prices, formulas)
    }

    /// Moves everything to the grid point at or before `ts`.
    pub fn advance(&mut self, ts: TimestampNs) {
        let want = ts.since(self.start) / GRID_NS;
        let rest = libm::sqrt(1.0 - CORRELATION * CORRELATION);
        while self.steps < want {
            self.steps += 1;
            let shared = self.market.normal();
            self.rate.advance_alone();
            self.common_premium.advance_alone();
            for coin in &mut self.coins {
                let own = coin.price.rng.normal();
                coin.price.advance(CORRELATION * shared + rest * own);
                coin.premium.advance_alone();
            }
        }
    }

    /// A market's mid price in its quote.
    pub fn mid(&self, formula: Formula) -> f64 {
        let rate = || KRW_PER_USD * libm::exp(self.rate.value);
        let coin = |index: usize, share: f64| {
            self.coins.get(index).map_or(1.0, |coin| {
                let premium = share * (coin.premium.value + self.common_premium.value);
                coin.start * libm::exp(coin.price.value + premium)
            })
        };
        match formula {
            Formula::Usdt(index) => coin(index, 0.0),
            Formula::Perpetual(index) => coin(index, 0.05),
            Formula::Krw(index) => coin(index, 1.0) * rate(),
            Formula::UpbitUsdt(index) => coin(index, 0.5),
            Formula::UpbitBtc(index, by) => coin(index, 0.5) / coin(by, 0.5),
            Formula::Rate => rate(),
        }
    }
}
