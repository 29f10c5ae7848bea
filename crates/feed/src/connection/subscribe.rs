//! What a socket asks for: its address, its subscription messages, and which streams must then speak.
//!
//! Sources (read 2026-11-21): Upbit developer docs v1.6.4, WebSocket guide; binance-spot-api-docs a5e0bc3,
//! web-socket-streams; for USD-M its stream names, which are those of spot plus `@markPrice`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;
use thiserror::Error;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::venue::{Protocol, StreamKind, UpbitFormat, VenueConfig};

/// Binance takes at most so many streams on one socket.
const BINANCE_STREAMS_MOST: usize = 1_024;
/// Streams are named in the address while it is not longer than this, else in messages of [`STREAMS_A_MESSAGE`].
const ADDRESS_MOST: usize = 4_000;
const STREAMS_A_MESSAGE: usize = 200;

/// Why a venue file and a list of markets make no subscription.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The venue has no such stream.
    #[error("{venue}: {protocol:?} has no stream `{kind:?}`")]
    NotOffered {
        /// The venue's name.
        venue: String,
        /// Its protocol.
        protocol: Protocol,
        /// The stream that it has not.
        kind: StreamKind,
    },
    /// A stream that must speak is not among those subscribed to.
    #[error("{venue}: `first_data` names `{kind:?}`, which is not among `streams`")]
    NotSubscribed {
        /// The venue's name.
        venue: String,
        /// The stream.
        kind: StreamKind,
    },
    /// The venue has books of other depths.
    #[error("{venue}: no books of {levels} levels; there are {offered:?}")]
    Levels {
        /// The venue's name.
        venue: String,
        /// As configured.
        levels: u16,
        /// What there is.
        offered: &'static [u16],
    },
    /// Nothing to subscribe to.
    #[error("{0}: `streams` and `markets_per_socket` must not be empty or zero")]
    Nothing(String),
    /// A market's name that can stand in no address or message, or stands there twice.
    #[error("{venue}: bad market `{market}`: {why}")]
    Market {
        /// The venue's name.
        venue: String,
        /// As given.
        market: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The base address cannot be used.
    #[error("{venue}: `{url}` is no WebSocket address: {why}")]
    Address {
        /// The venue's name.
        venue: String,
        /// The address made from it.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

/// What one socket asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The address, with scheme `ws` or `wss`.
    pub url: String,
    /// Host of the address, without brackets.
    pub host: String,
    /// Port of the address.
    pub port: u16,
    /// The streams whose first data are waited for, as the venue names them (`btcusdt@depth@100ms`,
    /// `orderbook KRW-BTC`), sorted.
    pub must_speak: Vec<String>,
    ask: Ask,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ask {
    /// One message with the whole list. Whether a second one adds or replaces is not documented, so there is none.
    Upbit {
        types: Vec<&'static str>,
        codes: Vec<String>,
        /// What follows a code in an order book subscription: `.15`, or nothing for 30.
        unit: String,
        format: UpbitFormat,
    },
    /// Messages made in advance; none when the address says it all.
    Binance(Vec<String>),
}

impl Plan {
    /// The messages to send once the socket is open, in order. `ticket` is any text that no other connection has.
    pub fn messages(&self, ticket: &str) -> Vec<String> {
        match &self.ask {
            Ask::Binance(messages) => messages.clone(),
            Ask::Upbit {
                types,
                codes,
                unit,
                format,
            } => {
                let mut parts = vec![UpbitPart::Ticket { ticket }];
                parts.extend(types.iter().map(|&kind| {
                    UpbitPart::Type {
                        kind,
                        codes: codes
                            .iter()
                            .map(|code| match kind {
                                "orderbook" => format!("{code}{unit}"),
                                _ => code.clone(),
                            })
                            .collect(),
                    }
                }));
                parts.push(UpbitPart::Format { format: *format });
                // A list of texts has always a JSON form.
                serde_json::to_string(&parts).into_iter().collect()
            }
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum UpbitPart<'a> {
    Ticket {
        ticket: &'a str,
    },
    Type {
        #[serde(rename = "type")]
        kind: &'static str,
        codes: Vec<String>,
    },
    Format {
        format: UpbitFormat,
    },
}

#[derive(Serialize)]
struct BinanceAsk<'a> {
    method: &'static str,
    params: &'a [String],
    id: usize,
}

/// Spreads markets, in the venue's spelling and in the order given, over sockets.
///
/// # Errors
/// [`PlanError`] when the venue has not what is asked for.
pub fn plan(config: &VenueConfig, markets: &[String]) -> Result<Vec<Plan>, PlanError> {
    check(config, markets)?;
    let mut kinds = config.streams().to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    let most = match config.protocol {
        Protocol::Upbit => usize::MAX,
        Protocol::BinanceSpot | Protocol::BinanceUsdm => BINANCE_STREAMS_MOST / kinds.len(),
    };
    markets
        .chunks(usize::from(config.markets_per_socket).min(most))
        .map(|markets| match config.protocol {
            Protocol::Upbit => upbit(config, &kinds, markets),
            Protocol::BinanceSpot | Protocol::BinanceUsdm => binance(config, &kinds, markets),
        })
        .collect()
}

fn check(config: &VenueConfig, markets: &[String]) -> Result<(), PlanError> {
    let venue = || config.name.clone();
    if config.streams().is_empty() || config.markets_per_socket == 0 {
        return Err(PlanError::Nothing(venue()));
    }
    if let Some(&kind) = config.streams().iter().find(|&&kind| !offered(config.protocol, kind)) {
        return Err(PlanError::NotOffered {
            venue: venue(),
            protocol: config.protocol,
            kind,
        });
    }
    let named = config.first_data.iter().flatten();
    if let Some(&kind) = named.into_iter().find(|kind| !config.streams().contains(kind)) {
        return Err(PlanError::NotSubscribed { venue: venue(), kind });
    }
    let depths: &[u16] = match config.protocol {
        // Another number would silently mean 30.
        Protocol::Upbit => &[1, 5, 15, 30],
        _ if config.streams().contains(&StreamKind::PartialBook) => &[5, 10, 20],
        _ => &[],
    };
    if let Some(levels) = config
        .levels
        .filter(|levels| !depths.is_empty() && !depths.contains(levels))
    {
        return Err(PlanError::Levels {
            venue: venue(),
            levels,
            offered: depths,
        });
    }
    let mut seen = BTreeSet::new();
    for market in markets {
        let why = if market.is_empty() {
            "empty"
        } else if market
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "\"\\/@".contains(c))
        {
            "a character that names have not"
        } else if !seen.insert(market) {
            "given twice"
        } else {
            continue;
        };
        return Err(PlanError::Market {
            venue: venue(),
            market: market.clone(),
            why,
        });
    }
    Ok(())
}

fn offered(protocol: Protocol, kind: StreamKind) -> bool {
    match kind {
        StreamKind::Book | StreamKind::Trade => true,
        StreamKind::PartialBook | StreamKind::BookTicker => protocol != Protocol::Upbit,
        StreamKind::MarkPrice => protocol == Protocol::BinanceUsdm,
    }
}

/// Whether each stream of this kind must speak within `first_data_ms`.
///
/// Upbit sends a snapshot of each type and code at once. Binance sends nothing but changes: an order book that stands
/// still for ten seconds is rare, a market without a trade is not, so its trades are not waited for.
fn must_speak(config: &VenueConfig, kind: StreamKind) -> bool {
    match &config.first_data {
        Some(kinds) => kinds.contains(&kind),
        None => config.protocol == Protocol::Upbit || kind != StreamKind::Trade,
    }
}

fn upbit(config: &VenueConfig, kinds: &[StreamKind], markets: &[String]) -> Result<Plan, PlanError> {
    let name = |kind| match kind {
        StreamKind::Trade => "trade",
        _ => "orderbook",
    };
    let mut must = Vec::new();
    for &kind in kinds.iter().filter(|&&kind| must_speak(config, kind)) {
        must.extend(markets.iter().map(|code| upbit_stream(name(kind), code)));
    }
    let ask = Ask::Upbit {
        types: kinds.iter().map(|&kind| name(kind)).collect(),
        codes: markets.to_vec(),
        unit: match config.levels {
            Some(levels) if levels != 30 => format!(".{levels}"),
            _ => String::new(),
        },
        format: config.format,
    };
    finish(config, format!("{}/websocket/v1", config.ws_base()), must, ask)
}

/// How a stream of Upbit is named here; the venue has no name for it.
pub(super) fn upbit_stream(kind: &str, code: &str) -> String {
    format!("{kind} {code}")
}

fn binance(config: &VenueConfig, kinds: &[StreamKind], markets: &[String]) -> Result<Plan, PlanError> {
    let stream = |market: &String, kind| {
        let market = market.to_lowercase();
        match kind {
            StreamKind::Book => format!("{market}@depth@100ms"),
            StreamKind::PartialBook => format!("{market}@depth{}@100ms", config.levels.unwrap_or(20)),
            StreamKind::BookTicker => format!("{market}@bookTicker"),
            // USD-M documents aggregate trades only.
            StreamKind::Trade if config.protocol == Protocol::BinanceUsdm => format!("{market}@aggTrade"),
            StreamKind::Trade => format!("{market}@trade"),
            StreamKind::MarkPrice => format!("{market}@markPrice@1s"),
        }
    };
    let (mut streams, mut must) = (Vec::new(), Vec::new());
    for &kind in kinds {
        let names = markets.iter().map(|market| stream(market, kind));
        if must_speak(config, kind) {
            must.extend(names.clone());
        }
        streams.extend(names);
    }
    let unit = match (config.protocol, config.microseconds) {
        (Protocol::BinanceSpot, true) => "timeUnit=MICROSECOND",
        _ => "",
    };
    let base = format!("{}/stream?", config.ws_base());
    let all = format!("{base}streams={}", escape(&streams.join("/")));
    if all.len() + unit.len() < ADDRESS_MOST {
        let and = if unit.is_empty() { "" } else { "&" };
        return finish(config, format!("{all}{and}{unit}"), must, Ask::Binance(Vec::new()));
    }
    let messages = streams
        .chunks(STREAMS_A_MESSAGE)
        .zip(1..)
        .flat_map(|(params, id)| {
            serde_json::to_string(&BinanceAsk {
                method: "SUBSCRIBE",
                params,
                id,
            })
        })
        .collect();
    let url = format!("{base}{unit}");
    finish(
        config,
        url.trim_end_matches('?').to_owned(),
        must,
        Ask::Binance(messages),
    )
}

fn finish(config: &VenueConfig, url: String, mut must_speak: Vec<String>, ask: Ask) -> Result<Plan, PlanError> {
    let bad = |why: String| PlanError::Address {
        venue: config.name.clone(),
        url: url.clone(),
        why,
    };
    let uri: Uri = url.parse().map_err(|error| bad(format!("{error}")))?;
    let port = match (uri.scheme_str(), uri.port_u16()) {
        (Some("ws" | "wss"), Some(port)) => port,
        (Some("ws"), None) => 80,
        (Some("wss"), None) => 443,
        _ => return Err(bad("the scheme must be ws or wss".to_owned())),
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        return Err(bad("no host".to_owned()));
    }
    must_speak.sort_unstable();
    Ok(Plan {
        host,
        port,
        url,
        must_speak,
        ask,
    })
}

/// Percent-encodes what may not stand in a query; there are symbols outside of ASCII.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"@/._-".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> VenueConfig {
        toml::from_str(text).unwrap()
    }

    fn markets(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn upbit_subscribes_with_one_message_for_the_whole_list() {
        let plans = plan(
            &config("name = 'upbit'\nprotocol = 'upbit'\nlevels = 15\nformat = 'SIMPLE_LIST'"),
            &markets(&["KRW-BTC", "KRW-ETH"]),
        )
        .unwrap();
        let [plan] = &plans[..] else {
            panic!("one socket: {plans:?}")
        };
        assert_eq!(plan.url, "wss://api.upbit.com/websocket/v1");
        assert_eq!((&plan.host[..], plan.port), ("api.upbit.com", 443));
        assert_eq!(
            plan.messages("t1"),
            [
                r#"[{"ticket":"t1"},{"type":"orderbook","codes":["KRW-BTC.15","KRW-ETH.15"]},{"type":"trade","codes":["KRW-BTC","KRW-ETH"]},{"format":"SIMPLE_LIST"}]"#
            ]
        );
        assert_eq!(
            plan.must_speak,
            [
                "orderbook KRW-BTC",
                "orderbook KRW-ETH",
                "trade KRW-BTC",
                "trade KRW-ETH"
            ]
        );
    }

    #[test]
    fn binance_names_its_streams_in_the_address() {
        let cases = [
            (
                "protocol = 'binance-spot'",
                "wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/btcusdt@trade",
                "btcusdt@depth@100ms",
            ),
            (
                "protocol = 'binance-spot'\nstreams = ['partial-book', 'book-ticker']\nlevels = 10\nmicroseconds = true",
                "wss://stream.binance.com:9443/stream?streams=btcusdt@depth10@100ms/btcusdt@bookTicker&timeUnit=MICROSECOND",
                "btcusdt@bookTicker btcusdt@depth10@100ms",
            ),
            (
                "protocol = 'binance-usdm'\nstreams = ['trade', 'mark-price', 'book']\nmicroseconds = true\nfirst_data = ['mark-price']\nws_url = 'ws://127.0.0.1:99/fut/'",
                "ws://127.0.0.1:99/fut/stream?streams=btcusdt@depth@100ms/btcusdt@aggTrade/btcusdt@markPrice@1s",
                "btcusdt@markPrice@1s",
            ),
        ];
        for (text, url, must) in cases {
            let plans = plan(&config(&format!("name = 'b'\n{text}")), &markets(&["BTCUSDT"])).unwrap();
            assert_eq!(plans[0].url, url);
            assert_eq!(plans[0].must_speak.join(" "), must);
            assert!(plans[0].messages("t").is_empty());
        }
    }

    #[test]
    fn symbols_outside_of_ascii_are_escaped() {
        let spot = config("name = 'b'\nprotocol = 'binance-spot'\nstreams = ['trade']");
        let plans = plan(&spot, &markets(&["币USDT"])).unwrap();
        assert!(
            plans[0].url.ends_with("/stream?streams=%E5%B8%81usdt@trade"),
            "{}",
            plans[0].url
        );
        plans[0].url.parse::<Uri>().unwrap();
    }

    #[test]
    fn markets_are_spread_over_sockets_within_the_limits() {
        let names: Vec<String> = (0..950).map(|n| format!("COIN{n}USDT")).collect();
        let mut spot = config("name = 'b'\nprotocol = 'binance-spot'\nmarkets_per_socket = 300");
        let plans = plan(&spot, &names).unwrap();
        assert_eq!(plans.len(), 4);
        let messages = plans[0].messages("t");
        assert_eq!(plans[0].url, "wss://stream.binance.com:9443/stream");
        assert_eq!(messages.len(), 3, "600 streams, 200 a message");
        assert!(
            messages[2].ends_with(r#""coin299usdt@trade"],"id":3}"#),
            "{}",
            messages[2]
        );

        spot.markets_per_socket = 1_000;
        let plans = plan(&spot, &names).unwrap();
        assert_eq!(plans.len(), 2, "512 markets of two streams are 1024");
        let asked: usize = plans.iter().map(|plan| plan.must_speak.len()).sum();
        assert_eq!(asked, 950, "every market is on one socket");
        assert!(plan(&spot, &[]).unwrap().is_empty());
    }

    #[test]
    fn what_the_venue_has_not_is_refused_at_start() {
        let cases = [
            (
                "protocol = 'upbit'\nstreams = ['book-ticker']",
                "no stream `BookTicker`",
            ),
            (
                "protocol = 'binance-spot'\nstreams = ['mark-price']",
                "no stream `MarkPrice`",
            ),
            ("protocol = 'upbit'\nlevels = 20", "no books of 20 levels"),
            (
                "protocol = 'binance-spot'\nstreams = ['partial-book']\nlevels = 100",
                "no books of 100 levels",
            ),
            ("protocol = 'upbit'\nstreams = []", "must not be empty"),
            ("protocol = 'upbit'\nmarkets_per_socket = 0", "or zero"),
            ("protocol = 'upbit'\nws_url = 'https://x'", "must be ws or wss"),
            ("protocol = 'upbit'\nws_url = 'not an address'", "no WebSocket address"),
            (
                "protocol = 'upbit'\nstreams = ['book']\nfirst_data = ['trade']",
                "not among `streams`",
            ),
        ];
        for (text, want) in cases {
            let error = plan(&config(&format!("name = 'v'\n{text}")), &markets(&["KRW-BTC"])).unwrap_err();
            assert!(error.to_string().contains(want), "{text}: {error}");
        }
        let upbit = config("name = 'v'\nprotocol = 'upbit'");
        for (names, want) in [
            (&["KRW-BTC", "KRW-BTC"][..], "given twice"),
            (&["KRW-\"BTC"], "a character"),
            (&[""], "empty"),
        ] {
            let error = plan(&upbit, &markets(names)).unwrap_err();
            assert!(error.to_string().contains(want), "{names:?}: {error}");
        }
    }
}
