//! A server for a test, and the smallest clients that can talk to it. They share nothing with the adapters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbook_simex::Server;
use crossbook_simex::config::{Config, Markets};
use crossbook_simex::exchange::{Exchange, Parts, Venue};
use crossbook_simex::faults::Script;
use crossbook_simex::server::clock::Clock;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Nothing in these tests takes this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A busy exchange with a few markets, so that no test waits for something to happen.
pub fn config() -> Config {
    let mut config = Config {
        markets: Markets::first(2),
        ..Config::default()
    };
    config.markets.binance_usdm = vec!["BTC".to_owned()];
    config.markets.upbit_usdt = vec!["BTC".to_owned()];
    config.rates.upbit_books_per_s = 50.0;
    config.rates.binance_books_per_s = 50.0;
    config.rates.trades_per_s = 20.0;
    config.rates.binance_levels = 200;
    config
}

pub async fn start(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = config();
    change(&mut config);
    Server::start(&config).await.unwrap()
}

/// An HTTP answer.
pub struct Got {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A client for plain HTTP. It asks for a provider of TLS all the same where the whole workspace is tested at once,
/// because another package of it wants reqwest without one.
pub fn http() -> reqwest::Client {
    // Another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

pub async fn send(request: reqwest::RequestBuilder) -> Got {
    let response = request.timeout(PATIENCE).send().await.unwrap();
    Got {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

pub async fn get(server: &Server, venue: Venue, path: &str) -> Got {
    send(http().get(format!("{}{path}", server.rest_url(venue)))).await
}

/// A WebSocket client.
pub struct Ws(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

pub async fn connect(server: &Server, venue: Venue, path: &str) -> Ws {
    let (stream, _) = connect_async(format!("{}{path}", server.ws_url(venue))).await.unwrap();
    Ws(stream)
}

impl Ws {
    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message of any kind, or how the stream ended.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        tokio::time::timeout(PATIENCE, self.0.next())
            .await
            .expect("a message in time")
    }

    /// The next data message as JSON, and whether it was binary.
    pub async fn data(&mut self) -> (Value, bool) {
        loop {
            match self.next().await.expect("the stream goes on").unwrap() {
                Message::Text(text) => return (serde_json::from_str(text.as_str()).unwrap(), false),
                Message::Binary(bytes) => return (serde_json::from_slice(&bytes).unwrap(), true),
                _ => {}
            }
        }
    }

    pub async fn json(&mut self) -> Value {
        self.data().await.0
    }

    /// Data messages until one fits.
    pub async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = self.json().await;
            if fits(&value) {
                return value;
            }
        }
    }

    /// Reads until the stream is over; what it ended with.
    pub async fn end(&mut self) -> Option<Message> {
        loop {
            match self.next().await {
                Some(Ok(message @ Message::Close(_))) => return Some(message),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

/// A server with a fault script.
pub async fn start_faulty(script: &str, change: impl FnOnce(&mut Config)) -> Server {
    let mut config = config();
    change(&mut config);
    let clock = Clock::start();
    let parts = Parts {
        source: None,
        script: Some(Script::parse(script).unwrap()),
    };
    let exchange = Exchange::with(&config, clock.now(), parts).unwrap();
    Server::serve(exchange, config.server.clone(), clock).await.unwrap()
}

/// A nonce that no other request has.
pub fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("nonce-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An `Authorization` header as an Upbit client makes it.
pub fn bearer(query: &str, secret: &str, alg: &str) -> String {
    use base64::Engine as _;
    use ring::{digest, hmac};
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let hash = digest::digest(&digest::SHA512, query.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = match query {
        "" => String::new(),
        _ => format!(r#","query_hash":"{hash}","query_hash_alg":"SHA512""#),
    };
    let claims = format!(r#"{{"access_key":"upbit-key","nonce":"{}"{hash}}}"#, nonce());
    let head = encode(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#).as_bytes());
    let signed = format!("{head}.{}", encode(claims.as_bytes()));
    let algorithm = if alg == "HS512" {
        hmac::HMAC_SHA512
    } else {
        hmac::HMAC_SHA256
    };
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed.as_bytes());
    format!("Bearer {signed}.{}", encode(signature.as_ref()))
}

/// A signed request of the built-in Upbit account.
pub async fn upbit(server: &Server, method: &str, path: &str, query: &str) -> Got {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut url = format!("{}{path}", server.rest_url(Venue::Upbit));
    let post = method == reqwest::Method::POST;
    if !post && !query.is_empty() {
        url = format!("{url}?{query}");
    }
    let mut request = http()
        .request(method, url)
        .header("authorization", bearer(query, "upbit-secret", "HS512"));
    if post {
        let members: Vec<String> = query
            .split('&')
            .map(|part| {
                let (key, value) = part.split_once('=').unwrap();
                format!(r#""{key}":"{value}""#)
            })
            .collect();
        request = request
            .header("content-type", "application/json")
            .body(format!("{{{}}}", members.join(",")));
    }
    send(request).await
}

/// Lower-case hex of an HMAC-SHA256.
pub fn hmac_hex(secret: &str, payload: &str) -> String {
    use ring::hmac;
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        payload.as_bytes(),
    );
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The server's time in milliseconds.
pub fn now_ms(server: &Server) -> i64 {
    server.hub().now().0 / 1_000_000
}

/// A signed request of the built-in Binance account, all in the query.
pub async fn binance(server: &Server, method: &str, path: &str, query: &str) -> Got {
    let text = format!("{query}&timestamp={}", now_ms(server));
    let text = text.trim_start_matches('&');
    let signature = hmac_hex("binance-secret", text);
    let url = format!("{}{path}?{text}&signature={signature}", server.rest_url(Venue::Binance));
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    send(http().request(method, url).header("X-MBX-APIKEY", "binance-key")).await
}

/// A number, as text or not.
pub fn number(value: &Value) -> f64 {
    value
        .as_str()
        .map_or_else(|| value.as_f64(), |text| text.parse().ok())
        .unwrap_or_else(|| panic!("{value}"))
}

/// Half the best bid, on the grid of both venues.
pub async fn far_below(server: &Server, venue: Venue) -> String {
    let (path, at) = match venue {
        Venue::Upbit => ("/v1/orderbook?markets=KRW-BTC", "/0/orderbook_units/0/bid_price"),
        _ => ("/api/v3/depth?symbol=BTCUSDT&limit=5", "/bids/0/0"),
    };
    let book = get(server, venue, path).await.json();
    let price = number(book.pointer(at).unwrap()) / 2.0;
    format!("{}", (price / 1_000.0).floor() * 1_000.0)
}

/// A socket of Binance's WebSocket API, and the request that makes it tell what happens to the account.
pub async fn user_stream(server: &Server) -> (Ws, String) {
    let ws = connect(server, Venue::Binance, "/ws-api/v3").await;
    let stamp = now_ms(server);
    let signature = hmac_hex("binance-secret", &format!("apiKey=binance-key&timestamp={stamp}"));
    let subscribe = format!(
        r#"{{"id":1,"method":"userDataStream.subscribe.signature","params":{{"apiKey":"binance-key","timestamp":{stamp},"signature":"{signature}"}}}}"#
    );
    (ws, subscribe)
}
