//! A venue under a test's control, and the client that is tested.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbook_engine::units::TimestampNs;
use crossbook_feed::clock::Clock;
use crossbook_feed::connection::{ConnNumbers, Counters, Counts, Dial, Setup, Sockets};
use crossbook_feed::error::FeedError;
use crossbook_feed::input::{Body, Command, ConnId, Input, InputReceiver, InputSender, LinkEvent, Provider, VenueIx};
use crossbook_feed::tls::client_config;
use crossbook_feed::venue::VenueConfig;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Virtual time after which a test has waited in vain.
const IN_VAIN: Duration = Duration::from_secs(10 * 3_600);

/// One market of Upbit, books only: one stream must speak.
pub const UPBIT: &str = "name = 'upbit'\nprotocol = 'upbit'\nstreams = ['book']\n";
/// The same of Binance.
pub const BINANCE: &str = "name = 'binance'\nprotocol = 'binance-spot'\nstreams = ['book']\n";
/// First data of [`UPBIT`].
pub const BOOK: &str = r#"{"type":"orderbook","code":"KRW-BTC","timestamp":1}"#;
/// First data of [`BINANCE`].
pub const DEPTH: &str = r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate"}}"#;

pub fn config(text: &str) -> VenueConfig {
    toml::from_str(text).unwrap()
}

/// Dials into the test.
#[derive(Clone)]
pub struct Pipes {
    size: usize,
    dialled: mpsc::UnboundedSender<DuplexStream>,
    refusals: Arc<AtomicUsize>,
    times: Arc<Mutex<Vec<Instant>>>,
}

impl Dial for Pipes {
    type Stream = DuplexStream;

    async fn dial(&self, _: &str, _: u16) -> io::Result<DuplexStream> {
        self.times.lock().unwrap().push(Instant::now());
        let refused = |left: usize| left.checked_sub(1);
        if self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, refused)
            .is_ok()
        {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (client, server) = duplex(self.size);
        self.dialled.send(server).map_err(|_| io::ErrorKind::NotFound)?;
        Ok(client)
    }
}

/// Where one or more clients write to, and their common clock.
pub struct World {
    pub clock: Clock,
    pub inputs: InputReceiver,
    numbers: ConnNumbers,
    out: InputSender,
}

/// A client and the venue to which it connects.
pub struct Venue {
    pub commands: Option<mpsc::UnboundedSender<Command>>,
    pub counters: Vec<Arc<Counters>>,
    pub task: JoinHandle<()>,
    dialled: mpsc::UnboundedReceiver<DuplexStream>,
    refusals: Arc<AtomicUsize>,
    times: Arc<Mutex<Vec<Instant>>>,
}

impl World {
    pub fn new(queue: usize) -> World {
        let (out, inputs) = mpsc::channel(queue);
        World {
            clock: Clock::starting_at(TimestampNs(1_763_700_000_000_000_000)),
            inputs,
            numbers: ConnNumbers::default(),
            out,
        }
    }

    /// A client of the venue that `text` describes, running.
    pub fn start(&self, venue: u8, text: &str, markets: &[&str]) -> Venue {
        self.start_over(venue, text, markets, 64 << 10, 0)
    }

    /// The same over pipes of this size, the first attempts refused.
    pub fn start_over(&self, venue: u8, text: &str, markets: &[&str], size: usize, refusals: usize) -> Venue {
        let (dialled, accepts) = mpsc::unbounded_channel();
        let pipes = Pipes {
            size,
            dialled,
            refusals: Arc::new(AtomicUsize::new(refusals)),
            times: Arc::default(),
        };
        let setup = Setup {
            venue: VenueIx(venue),
            clock: self.clock.clone(),
            numbers: self.numbers.clone(),
            tls: Arc::new(client_config().unwrap()),
            seed: 7,
        };
        let mut config = config(text);
        config.ws_url.get_or_insert("ws://venue".to_owned());
        let markets: Vec<String> = markets.iter().map(|&market| market.to_owned()).collect();
        let sockets = Sockets::over(pipes.clone(), config, &markets, setup).unwrap();
        let (commands, orders) = mpsc::unbounded_channel();
        Venue {
            commands: Some(commands),
            counters: sockets.counters().to_vec(),
            task: tokio::spawn(Box::new(sockets).run(self.out.clone(), orders)),
            dialled: accepts,
            refusals: pipes.refusals,
            times: pipes.times,
        }
    }

    /// The next input, of any kind.
    pub async fn input(&mut self) -> Input {
        timeout(IN_VAIN, self.inputs.recv())
            .await
            .expect("an input in time")
            .unwrap()
    }

    /// The next input, which must be a link event.
    pub async fn link(&mut self) -> (ConnId, LinkEvent) {
        match self.input().await.body {
            Body::Link { conn, event } => (conn, event),
            other => panic!("expected a link event, got {other:?}"),
        }
    }

    /// The next input, which must be a frame: its connection and text.
    pub async fn frame(&mut self) -> (ConnId, String) {
        match self.input().await.body {
            Body::Frame { conn, bytes, .. } => (conn, String::from_utf8(bytes.to_vec()).unwrap()),
            other => panic!("expected a frame, got {other:?}"),
        }
    }

    /// The next input, which must be the end of a connection: its number and why.
    pub async fn closed(&mut self) -> (ConnId, Option<FeedError>) {
        match self.link().await {
            (conn, LinkEvent::Closed { error }) => (conn, error),
            other => panic!("expected the end of a connection, got {other:?}"),
        }
    }

    /// The next input, which must be a failure: attempt, error, and milliseconds to the next.
    pub async fn failed(&mut self) -> (u32, FeedError, u64) {
        match self.link().await {
            (
                _,
                LinkEvent::Failed {
                    attempt,
                    error,
                    retry_ms,
                },
            ) => (attempt, error, retry_ms),
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    /// The next inputs, which must be a connection opening, its first frame, and its going live.
    pub async fn live(&mut self) -> (ConnId, Option<ConnId>) {
        let (conn, takes_over) = self.open().await;
        assert_eq!(self.frame().await.0, conn);
        assert_eq!(self.link().await, (conn, LinkEvent::Live));
        (conn, takes_over)
    }

    /// The next input, which must be a connection opening.
    pub async fn open(&mut self) -> (ConnId, Option<ConnId>) {
        match self.link().await {
            (conn, LinkEvent::Open { takes_over }) => (conn, takes_over),
            other => panic!("expected a connection to open, got {other:?}"),
        }
    }

    /// Nothing comes for so long.
    pub async fn quiet(&mut self, time: Duration) {
        if let Ok(input) = timeout(time, self.inputs.recv()).await {
            panic!("expected nothing for {time:?}, got {input:?}");
        }
    }
}

impl Venue {
    /// The next pipe, before anything was said.
    pub async fn pipe(&mut self) -> DuplexStream {
        timeout(IN_VAIN, self.dialled.recv())
            .await
            .expect("a connection in time")
            .unwrap()
    }

    /// The next connection, its handshake done.
    pub async fn accept(&mut self) -> Server {
        Server(accept_async(self.pipe().await).await.unwrap())
    }

    /// The next connection: handshake done, its subscription taken, first data sent.
    pub async fn serve(&mut self, first: &str) -> Server {
        let mut server = self.accept().await;
        if first == BOOK {
            server.subscription().await;
        }
        server.text(first).await;
        server
    }

    /// The next connection: the request is read whole and this is the answer.
    pub async fn answer(&mut self, http: &str) {
        let mut pipe = self.pipe().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(pipe.read_u8().await.unwrap());
        }
        pipe.write_all(http.as_bytes()).await.unwrap();
    }

    /// Refuses so many attempts from now on.
    pub fn refuse(&self, times: usize) {
        self.refusals.store(times, Ordering::SeqCst);
    }

    /// Whether nobody is waiting to be accepted.
    pub fn idle(&self) -> bool {
        self.dialled.is_empty()
    }

    /// When it was dialled.
    pub fn times(&self) -> Vec<Instant> {
        self.times.lock().unwrap().clone()
    }

    /// What the first socket's place has counted.
    pub fn counts(&self) -> Counts {
        self.counters[0].read()
    }

    /// A command to the client.
    pub fn command(&self, command: Command) {
        self.commands.as_ref().unwrap().send(command).unwrap();
    }

    /// Ends the client as a program does.
    pub async fn stop(mut self) {
        self.commands = None;
        timeout(Duration::from_secs(5), self.task)
            .await
            .expect("a stop within 5 s")
            .unwrap();
    }
}

/// The venue's end of a connection.
pub struct Server(pub WebSocketStream<DuplexStream>);

impl Server {
    pub async fn text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub async fn binary(&mut self, text: &str) {
        self.0.send(Message::binary(text.as_bytes().to_vec())).await.unwrap();
    }

    /// What the client sends next; `None` when it is gone.
    pub async fn next(&mut self) -> Option<Message> {
        timeout(IN_VAIN, self.0.next()).await.expect("a message in time")?.ok()
    }

    pub async fn subscription(&mut self) -> Utf8Bytes {
        match self.next().await {
            Some(Message::Text(text)) => text,
            other => panic!("expected a subscription, got {other:?}"),
        }
    }

    /// Says this over and over, and answers pings, until the client is gone; how often it was said.
    pub async fn speak(mut self, every: Duration, text: impl Fn(u64) -> String) -> u64 {
        let mut said = 0;
        let mut next = Instant::now() + every;
        loop {
            tokio::select! {
                biased;
                message = self.0.next() => if message.is_none_or(|message| message.is_err()) {
                    return said;
                },
                () = sleep_until(next) => {
                    if self.0.send(Message::text(text(said))).await.is_err() {
                        return said;
                    }
                    said += 1;
                    next += every;
                }
            }
        }
    }

    /// Reads, and so answers pings, until the client is gone.
    pub async fn drain(mut self) {
        while self.0.next().await.is_some_and(|message| message.is_ok()) {}
    }

    /// The pipe below, to write raw bytes to.
    pub fn raw(self) -> DuplexStream {
        self.0.into_inner()
    }
}
