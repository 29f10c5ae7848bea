//! The connections against the loopback exchange, which shares no code with them: that both read the documentation the
//! same way is all that this can show.

use std::time::Duration;

use crossbook_feed::clock::Clock;
use crossbook_feed::connection::{ConnNumbers, Setup, Sockets};
use crossbook_feed::input::{Body, ConnId, InputReceiver, LinkEvent, Provider, VenueIx};
use crossbook_feed::tls::client_config;
use crossbook_simex::Server;
use crossbook_simex::config::{Config, Markets};
use crossbook_simex::exchange::Venue;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::venue::config;

/// Longer than anything here takes, on any machine.
const IN_VAIN: Duration = Duration::from_secs(30);

struct Client {
    inputs: InputReceiver,
    commands: mpsc::UnboundedSender<crossbook_feed::input::Command>,
    task: JoinHandle<()>,
}

impl Client {
    fn start(server: &Server, venue: Venue, text: &str, markets: &[&str]) -> Client {
        let mut config = config(&format!("name = 'simex'\n{text}"));
        config.ws_url = Some(server.ws_url(venue));
        let setup = Setup {
            venue: VenueIx(0),
            clock: Clock::system(),
            numbers: ConnNumbers::default(),
            tls: client_config().unwrap().into(),
            seed: 1,
        };
        let markets: Vec<String> = markets.iter().map(|&market| market.to_owned()).collect();
        let sockets = Sockets::new(config, &markets, setup).unwrap();
        let (out, inputs) = mpsc::channel(10_000);
        let (commands, orders) = mpsc::unbounded_channel();
        let task = tokio::spawn(Box::new(sockets).run(out, orders));
        Client { inputs, commands, task }
    }

    async fn next(&mut self) -> Body {
        timeout(IN_VAIN, self.inputs.recv())
            .await
            .expect("an input in time")
            .unwrap()
            .body
    }

    /// The next link event, and how many frames came before it.
    async fn link(&mut self) -> (ConnId, LinkEvent, u64) {
        let mut frames = 0;
        loop {
            match self.next().await {
                Body::Link { conn, event } => return (conn, event, frames),
                Body::Frame { .. } => frames += 1,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn stop(self) {
        drop(self.commands);
        timeout(IN_VAIN, self.task).await.unwrap().unwrap();
    }
}

async fn exchange(adjust: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config {
        seed: 5,
        markets: Markets {
            upbit_btc: vec!["ETH".to_owned()],
            upbit_usdt: vec!["BTC".to_owned()],
            binance_usdm: vec!["BTC".to_owned()],
            ..Markets::first(3)
        },
        ..Config::default()
    };
    config.rates.binance_levels = 100;
    config.rates.trades_per_s = 20.0;
    adjust(&mut config);
    Server::start(&config).await.unwrap()
}

#[tokio::test]
async fn every_subscription_is_understood_and_every_stream_speaks() {
    let server = exchange(|_| ()).await;
    let upbit = ["KRW-BTC", "KRW-ETH", "BTC-ETH", "USDT-BTC", "KRW-USDT"];
    let cases = [
        (Venue::Upbit, "protocol = 'upbit'\nstreams = ['book']", &upbit[..]),
        (
            Venue::Upbit,
            "protocol = 'upbit'\nlevels = 15\nformat = 'SIMPLE'",
            &upbit[..2],
        ),
        (
            Venue::Upbit,
            "protocol = 'upbit'\nlevels = 1\nformat = 'JSON_LIST'",
            &upbit[..2],
        ),
        (
            Venue::Upbit,
            "protocol = 'upbit'\nlevels = 30\nformat = 'SIMPLE_LIST'",
            &upbit[..2],
        ),
        (
            Venue::Binance,
            "protocol = 'binance-spot'\nstreams = ['book', 'partial-book', 'book-ticker', 'trade']\nfirst_data = ['book', 'partial-book', 'book-ticker', 'trade']",
            &["BTCUSDT", "ETHUSDT"],
        ),
        (
            Venue::Binance,
            "protocol = 'binance-spot'\nstreams = ['partial-book']\nlevels = 5\nmicroseconds = true\nmarkets_per_socket = 1",
            &["BTCUSDT"],
        ),
        (
            Venue::BinanceUsdm,
            "protocol = 'binance-usdm'\nstreams = ['book', 'book-ticker', 'trade', 'mark-price']",
            &["BTCUSDT"],
        ),
    ];
    for (venue, text, markets) in cases {
        let mut client = Client::start(&server, venue, text, markets);
        let (conn, event, frames) = client.link().await;
        assert_eq!((event, frames), (LinkEvent::Open { takes_over: None }, 0), "{text}");
        let (live, event, frames) = client.link().await;
        assert_eq!((live, event), (conn, LinkEvent::Live), "{text}");
        assert!(frames > 0, "{text}");
        client.stop().await;
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn f03_a_connection_is_replaced_before_the_venue_ends_it() {
    let server = exchange(|config| config.server.binance_life_ms = 60_000).await;
    let mut client = Client::start(
        &server,
        Venue::Binance,
        "protocol = 'binance-spot'\nstreams = ['book']\n[timers]\nmax_age_ms = 300\noverlap_ms = 50",
        &["BTCUSDT"],
    );
    let (mut serving, mut closed) = (None, 0);
    while closed < 3 {
        match client.link().await {
            (conn, LinkEvent::Open { takes_over }, _) => assert_eq!(takes_over, serving, "{conn:?}"),
            (conn, LinkEvent::Live, _) => serving = Some(conn),
            (conn, LinkEvent::Closed { error }, _) => {
                assert_eq!(error, None);
                assert!(serving > Some(conn));
                closed += 1;
            }
            (_, event @ LinkEvent::Failed { .. }, _) => panic!("{event:?}"),
        }
    }
    client.stop().await;
    server.stop().await.unwrap();
}
