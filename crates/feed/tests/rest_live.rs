//! Pushed while that works, polled while it does not: the pipeline, the sockets and the REST provider of a venue against
//! a loopback exchange, whose WebSocket is behind a door that a test shuts and opens. Nothing here depends on how long
//! anything takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crossbook_engine::event::EventKind;
use crossbook_feed::clock::Clock;
use crossbook_feed::connection::{ConnNumbers, Setup, Sockets};
use crossbook_feed::input::{Body, Command, Input, InputReceiver, Provider, VenueIx, Via};
use crossbook_feed::live::{MarketIx, Options, Output, Pipeline};
use crossbook_feed::rest::{Client, Clients, RestProvider};
use crossbook_feed::tls;
use crossbook_feed::venue::VenueConfig;
use crossbook_simex::Server;
use crossbook_simex::config::{Config, Markets};
use crossbook_simex::exchange::Venue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

const VENUE: VenueIx = VenueIx(0);

/// A test that waits for longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The way to a server's sockets: shut, it cuts those that are open and lets in nobody.
struct Door {
    url: String,
    open: watch::Sender<bool>,
}

impl Door {
    async fn before(server: std::net::SocketAddr) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}", listener.local_addr().expect("an address"));
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let mut server = TcpStream::connect(server).await.expect("the server listens");
                    tokio::select! {
                        biased;
                        _ = is_open.wait_for(|open| !open) => {}
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    }
                });
            }
        });
        Door { url, open }
    }

    fn set(&self, open: bool) {
        self.open.send(open).expect("somebody is at the door");
    }
}

/// A venue's feed, running.
struct Feed {
    clock: Clock,
    client: Client,
    pipeline: Pipeline,
    inputs: InputReceiver,
    providers: Vec<UnboundedSender<Command>>,
    /// Which way the events that made books came, since that was last cleared.
    books: Vec<(MarketIx, Via)>,
    polls: Vec<bool>,
}

impl Feed {
    fn start(config: VenueConfig, markets: &[String]) -> Feed {
        let clock = Clock::system();
        let client = Clients::new(clock.clone())
            .expect("TLS")
            .venue(&config)
            .expect("a client");
        let setup = Setup {
            venue: VENUE,
            clock: clock.clone(),
            numbers: ConnNumbers::default(),
            tls: Arc::new(tls::client_config().expect("TLS")),
            seed: 7,
        };
        let sockets = Sockets::new(config.clone(), markets, setup).expect("streams of the venue");
        let rest = RestProvider::new(client.clone(), VENUE, config.clone(), markets.to_vec());
        let all: [Box<dyn Provider>; 2] = [Box::new(sockets), Box::new(rest)];
        let (out, inputs) = channel(1_024);
        let providers = all.map(|provider| {
            let (commands, received) = unbounded_channel();
            tokio::spawn(provider.run(out.clone(), received));
            commands
        });
        Feed {
            clock,
            client,
            pipeline: Pipeline::new(&[(config, markets.to_vec())], Options::default()).expect("a pipeline"),
            inputs,
            providers: providers.into(),
            books: Vec::new(),
            polls: Vec::new(),
        }
    }

    /// Takes one input, or lets time pass for the pipeline's timers.
    async fn step(&mut self) {
        let now = self.clock.now();
        let wait = self.pipeline.due_ns().saturating_sub(now.mono_ns).clamp(0, 100_000_000);
        let wake = Instant::now() + Duration::from_nanos(wait as u64);
        let input = tokio::select! {
            biased;
            input = self.inputs.recv() => input.expect("providers run"),
            () = sleep_until(wake) => Input { stamp: self.clock.now(), venue: VENUE, body: Body::Tick },
        };
        let (books, polls, providers) = (&mut self.books, &mut self.polls, &self.providers);
        self.pipeline.input(&input, &mut |output| match output {
            Output::Event(event) => match event.kind {
                EventKind::Snapshot { .. } | EventKind::Update { .. } => books.push((event.market, event.via)),
                _ => {}
            },
            Output::Command(command) => {
                if let Command::Poll { on, .. } = command {
                    polls.push(on);
                }
                for provider in providers {
                    provider.send(command.clone()).expect("it runs");
                }
            }
            Output::Quarantined { error, .. } => panic!("{error}"),
            _ => {}
        });
    }

    async fn until(&mut self, what: &str, done: impl Fn(&Feed) -> bool) {
        let reached = timeout(PATIENCE, async {
            while !done(self) {
                self.step().await;
            }
        });
        if reached.await.is_err() {
            let health: Vec<_> = self.pipeline.markets().map(|(_, market)| market.health()).collect();
            panic!("{what} was not reached: {health:?}, {:?}", self.pipeline.account(VENUE));
        }
    }

    fn all_live(&self) -> bool {
        self.pipeline.markets().all(|(_, market)| market.health().is_live())
    }

    /// Markets whose book came so often over REST, since that was last cleared.
    fn polled(&self, least: usize) -> usize {
        let over_rest = |ix| {
            self.books
                .iter()
                .filter(|(market, via)| *market == ix && *via == Via::Rest)
                .count()
        };
        self.pipeline
            .markets()
            .filter(|(ix, _)| over_rest(*ix) >= least)
            .count()
    }

    fn pushed(&self) -> BTreeSet<MarketIx> {
        let pushed = self.books.iter().filter(|(_, via)| matches!(via, Via::WebSocket(_)));
        pushed.map(|(market, _)| *market).collect()
    }

    fn clear(&mut self) {
        self.books.clear();
        self.polls.clear();
    }
}

async fn exchange() -> Server {
    let config: Config = Config {
        seed: 11,
        markets: Markets {
            binance_usdm: vec!["BTC".to_owned(), "ETH".to_owned()],
            ..Markets::first(3)
        },
        ..Config::default()
    };
    Server::start(&config).await.expect("an exchange")
}

fn venue(server: &Server, which: Venue, ws_url: &str, more: &str) -> VenueConfig {
    let protocol = match which {
        Venue::Upbit => "upbit",
        Venue::Binance => "binance-spot",
        Venue::BinanceUsdm => "binance-usdm",
    };
    let text = format!(
        "name = {protocol:?}\nprotocol = {protocol:?}\nrest_url = {:?}\nws_url = {ws_url:?}\n{more}\n\
         [timers]\nbackoff_first_ms = 250\nbackoff_most_ms = 500\n\
         [rest]\npoll_ms = 100\nfallback_after_ms = 200\nheadroom_percent = 100\n",
        server.rest_url(which)
    );
    toml::from_str(&text).expect("a venue file")
}

fn markets(which: Venue) -> Vec<String> {
    let names: &[&str] = match which {
        Venue::Upbit => &["KRW-BTC", "KRW-ETH", "KRW-XRP"],
        Venue::Binance => &["BTCUSDT", "ETHUSDT", "XRPUSDT"],
        Venue::BinanceUsdm => &["BTCUSDT", "ETHUSDT"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn down_and_up_again(which: Venue) {
    let server = exchange().await;
    let door = Door::before(server.address(which)).await;
    let markets = markets(which);
    let count = markets.len();
    let config = venue(&server, which, &door.url, "streams = [\"book\"]");
    let mut feed = Feed::start(config, &markets);

    let pushed = |feed: &Feed| feed.all_live() && !feed.pipeline.is_polling(VENUE) && feed.pushed().len() == count;
    feed.until("pushed and live", pushed).await;

    feed.clear();
    door.set(false);
    feed.until("polled and live", |feed| feed.all_live() && feed.polled(3) == count)
        .await;
    assert_eq!(feed.polls, [true]);
    assert!(feed.pipeline.is_polling(VENUE));
    // What was read before the door shut may still have been pushed; from the first polled book on nothing is.
    let first = feed
        .books
        .iter()
        .position(|(_, via)| *via == Via::Rest)
        .expect("one was polled");
    let late = feed.books[first..].iter().find(|(_, via)| *via != Via::Rest);
    assert_eq!(late, None, "{which:?}");

    feed.clear();
    door.set(true);
    feed.until("pushed again", pushed).await;
    assert_eq!(feed.polls, [false]);
    // What was under way when polling ended is no longer taken.
    feed.clear();
    feed.until("a while of pushes", |feed| feed.books.len() >= 30).await;
    assert_eq!(feed.polled(1), 0, "{which:?}");
    assert!(feed.all_live());
    let account = feed.pipeline.account(VENUE).expect("a venue");
    assert!(account.is_balanced(), "{account:?}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn f16_upbit_is_polled_while_its_socket_is_down_and_every_event_says_so() {
    down_and_up_again(Venue::Upbit).await;
}

#[tokio::test]
async fn f16_binance_is_polled_while_its_socket_is_down_and_every_event_says_so() {
    down_and_up_again(Venue::Binance).await;
}

#[tokio::test]
async fn f16_perpetuals_are_polled_while_their_socket_is_down_and_every_event_says_so() {
    down_and_up_again(Venue::BinanceUsdm).await;
}

#[tokio::test]
async fn f10_a_venue_without_a_socket_is_polled_as_fast_as_its_limits_allow_and_never_told_to_wait() {
    // Upbit's limit is of a second: that many rounds span several.
    for (which, rounds) in [(Venue::Upbit, 15), (Venue::Binance, 5)] {
        let server = exchange().await;
        // All that the venue allows, and more is wanted; nobody listens for sockets.
        let mut config = venue(&server, which, "ws://127.0.0.1:9", "data_source = \"rest\"");
        config.rest.poll_ms = 1;
        let mut feed = Feed::start(config, &markets(which));
        let count = markets(which).len();
        feed.until("many rounds", |feed| feed.all_live() && feed.polled(rounds) == count)
            .await;
        assert_eq!(feed.pushed().len(), 0);
        let account = feed.pipeline.account(VENUE).expect("a venue");
        assert_eq!(account.failed_requests, 0, "{account:?}");
        for group in ["orderbook", "ticker", "weight"] {
            assert_eq!(feed.client.limits().held(group), None, "{which:?} {group}");
        }
        // The exchange runs on this machine's clock.
        let offset = feed.client.offset().expect("an offset");
        assert!(
            offset.ns.abs() <= offset.within_ns + 1_000_000_000,
            "{which:?} {offset:?}"
        );
        server.stop().await.unwrap();
    }
}
