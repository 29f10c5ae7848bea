//! A server for a test, and the smallest clients that can talk to it. They share nothing with the adapters.

use std::time::Duration;

use crossbook_simex::Server;
use crossbook_simex::config::{Config, Markets};
use crossbook_simex::exchange::Venue;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Nothing in these tests takes this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A busy exchange with a few markets, so that no test waits for something to happen.
pub fn config() -> Config {
    let mut config = Config::default();
    config.markets = Markets::first(2);
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

pub async fn send(request: reqwest::RequestBuilder) -> Got {
    let response = request.timeout(PATIENCE).send().await.unwrap();
    Got {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

pub async fn get(server: &Server, venue: Venue, path: &str) -> Got {
    send(reqwest::Client::new().get(format!("{}{path}", server.rest_url(venue)))).await
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
