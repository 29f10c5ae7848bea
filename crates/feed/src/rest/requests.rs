//! How a venue wants to be asked, and what it counts for it.

use super::rule::WEIGHT;
use crate::input::Request;
use crate::venue::{Protocol, VenueConfig};

/// Trades asked for at once: Upbit's most, Binance's default.
const TRADES: &str = "500";

/// A GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Below the base.
    pub path: &'static str,
    /// Names and values, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// Whose budget it is on.
    pub group: &'static str,
    /// What it counts there.
    pub weight: u32,
}

impl Ask {
    /// A request of a book, with so many levels a side.
    ///
    /// Weights: binance-spot-api-docs a5e0bc3; of USD-M developers.binance.com, USDⓈ-M Futures, `Order-Book`,
    /// `Recent-Trades-List` and `Check-Server-Time` (copies of 2026-01 to 2026-05). All read 2026-11-21.
    pub fn of(protocol: Protocol, request: &Request, levels: u16) -> Ask {
        let (path, query, group, weight) = match (protocol, request) {
            (Protocol::Upbit, Request::Books(markets)) => (
                "/v1/orderbook",
                vec![("markets", markets.join(",")), ("count", levels.to_string())],
                "orderbook",
                1,
            ),
            (Protocol::Upbit, Request::Trades(market)) => (
                "/v1/trades/ticks",
                vec![("market", market.clone()), ("count", TRADES.to_owned())],
                "trade",
                1,
            ),
            (Protocol::BinanceSpot, Request::Books(markets)) => {
                let weight = match levels {
                    0..=100 => 5,
                    101..=500 => 25,
                    501..=1_000 => 50,
                    1_001.. => 250,
                };
                ("/api/v3/depth", depth(markets, levels), WEIGHT, weight)
            }
            (Protocol::BinanceSpot, Request::Trades(market)) => ("/api/v3/trades", trades(market), WEIGHT, 25),
            (Protocol::BinanceUsdm, Request::Books(markets)) => {
                // Only these limits are taken.
                let (levels, weight) = match levels {
                    0..=5 => (5, 2),
                    6..=10 => (10, 2),
                    11..=20 => (20, 2),
                    21..=50 => (50, 2),
                    51..=100 => (100, 5),
                    101..=500 => (500, 10),
                    501.. => (1_000, 20),
                };
                ("/fapi/v1/depth", depth(markets, levels), WEIGHT, weight)
            }
            (Protocol::BinanceUsdm, Request::Trades(market)) => ("/fapi/v1/trades", trades(market), WEIGHT, 5),
        };
        Ask {
            path,
            query,
            group,
            weight,
        }
    }

    /// A request whose answer tells the venue's time: in its body at Binance, in its `Date` at Upbit, which has no
    /// request for it. `market` is any.
    pub fn time(protocol: Protocol, market: &str) -> Ask {
        let (path, query, group) = match protocol {
            Protocol::Upbit => ("/v1/ticker", vec![("markets", market.to_owned())], "ticker"),
            Protocol::BinanceSpot => ("/api/v3/time", Vec::new(), WEIGHT),
            Protocol::BinanceUsdm => ("/fapi/v1/time", Vec::new(), WEIGHT),
        };
        Ask {
            path,
            query,
            group,
            weight: 1,
        }
    }
}

fn depth(markets: &[String], levels: u16) -> Vec<(&'static str, String)> {
    vec![
        ("symbol", markets.first().cloned().unwrap_or_default()),
        ("limit", levels.to_string()),
    ]
}

fn trades(market: &str) -> Vec<(&'static str, String)> {
    vec![("symbol", market.to_owned()), ("limit", TRADES.to_owned())]
}

impl VenueConfig {
    /// Levels a side of a book that diffs are applied to: all that Upbit has, a thousand at Binance, unless the file says.
    pub(super) fn fetch_levels(&self) -> u16 {
        let usual = match self.protocol {
            Protocol::Upbit => 30,
            Protocol::BinanceSpot | Protocol::BinanceUsdm => 1_000,
        };
        self.levels.unwrap_or(usual).clamp(1, 5_000)
    }

    /// Levels a side of a book that is polled: at Binance the most that the lowest weight buys (spot), or five times less
    /// than a snapshot costs (USD-M), unless the file says.
    pub(super) fn poll_levels(&self) -> u16 {
        let usual = match self.protocol {
            Protocol::Upbit => 30,
            Protocol::BinanceSpot => 100,
            Protocol::BinanceUsdm => 50,
        };
        self.levels.unwrap_or(usual).clamp(1, 5_000)
    }

    /// What is polled: the books of these markets, `many` in one request where the venue takes several. No trades: they
    /// would come behind books that are newer than they are, with holes wherever more were made than an answer holds,
    /// and at Binance a market's trades cost as much as five books.
    pub(super) fn polled(&self, markets: &[String], many: usize) -> Vec<Request> {
        let many = match self.protocol {
            Protocol::Upbit => many,
            Protocol::BinanceSpot | Protocol::BinanceUsdm => 1,
        };
        let books = markets.chunks(many).map(|markets| Request::Books(markets.to_vec()));
        books.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ask: &Ask) -> String {
        let query: Vec<_> = ask.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{}?{} {} {}", ask.path, query.join("&"), ask.group, ask.weight)
    }

    #[test]
    fn each_venue_is_asked_in_its_own_way_at_its_own_weight() {
        let books = |markets: &[&str]| Request::Books(markets.iter().map(|market| (*market).to_owned()).collect());
        let trades = |market: &str| Request::Trades(market.to_owned());
        let (upbit, spot, usdm) = (Protocol::Upbit, Protocol::BinanceSpot, Protocol::BinanceUsdm);
        let cases = [
            (
                upbit,
                books(&["KRW-BTC", "KRW-ETH"]),
                15,
                "/v1/orderbook?markets=KRW-BTC,KRW-ETH&count=15 orderbook 1",
            ),
            (
                upbit,
                trades("KRW-BTC"),
                30,
                "/v1/trades/ticks?market=KRW-BTC&count=500 trade 1",
            ),
            (
                spot,
                books(&["BTCUSDT"]),
                100,
                "/api/v3/depth?symbol=BTCUSDT&limit=100 weight 5",
            ),
            (
                spot,
                books(&["BTCUSDT"]),
                101,
                "/api/v3/depth?symbol=BTCUSDT&limit=101 weight 25",
            ),
            (
                spot,
                books(&["BTCUSDT"]),
                500,
                "/api/v3/depth?symbol=BTCUSDT&limit=500 weight 25",
            ),
            (
                spot,
                books(&["BTCUSDT"]),
                1_000,
                "/api/v3/depth?symbol=BTCUSDT&limit=1000 weight 50",
            ),
            (
                spot,
                books(&["BTCUSDT"]),
                5_000,
                "/api/v3/depth?symbol=BTCUSDT&limit=5000 weight 250",
            ),
            (
                spot,
                trades("BTCUSDT"),
                100,
                "/api/v3/trades?symbol=BTCUSDT&limit=500 weight 25",
            ),
            (
                usdm,
                books(&["BTCUSDT"]),
                7,
                "/fapi/v1/depth?symbol=BTCUSDT&limit=10 weight 2",
            ),
            (
                usdm,
                books(&["BTCUSDT"]),
                51,
                "/fapi/v1/depth?symbol=BTCUSDT&limit=100 weight 5",
            ),
            (
                usdm,
                books(&["BTCUSDT"]),
                5_000,
                "/fapi/v1/depth?symbol=BTCUSDT&limit=1000 weight 20",
            ),
            (
                usdm,
                trades("BTCUSDT"),
                100,
                "/fapi/v1/trades?symbol=BTCUSDT&limit=500 weight 5",
            ),
        ];
        for (protocol, request, levels, want) in cases {
            assert_eq!(text(&Ask::of(protocol, &request, levels)), want);
        }
        assert_eq!(
            text(&Ask::time(upbit, "KRW-BTC")),
            "/v1/ticker?markets=KRW-BTC ticker 1"
        );
        assert_eq!(text(&Ask::time(spot, "")), "/api/v3/time? weight 1");
        assert_eq!(text(&Ask::time(usdm, "")), "/fapi/v1/time? weight 1");
    }
}
