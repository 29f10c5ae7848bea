//! From the last byte of a frame to the decision upon it: two venues over loopback WebSockets, 5,000 frames a second, read,
//! parsed, kept in books, and decided upon by an engine with one route.
//!
//! Prints percentiles; there is nothing to iterate, so criterion is not used. Two figures a frame: from the moment at which
//! the socket's task had all of it (the stamp that the journal has) and from the moment at which the sender began to write
//! it, loopback and scheduler included.

#[path = "frames.rs"]
mod frames;
#[allow(dead_code)] // shared with other benches
#[path = "../../engine/benches/parity.rs"]
mod parity;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crossbook_engine::engine::{Engine, Target};
use crossbook_engine::event::EventKind;
use crossbook_engine::instrument::InstrumentId;
use crossbook_engine::records::NoRecorder;
use crossbook_engine::spread::FillModel;
use crossbook_engine::units::{Bps, FxRate};
use crossbook_feed::clock::Clock;
use crossbook_feed::connection::{self, ConnNumbers, Sockets};
use crossbook_feed::input::{Body, Input, VenueIx};
use crossbook_feed::run::{Live, Providers, Run, Setup, Told, VenueSetup};
use crossbook_feed::tls;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

const FRAMES: usize = 50_000;
/// The first of them warm up.
const WARM: usize = 5_000;
const EVERY: Duration = Duration::from_micros(200);

fn main() {
    let inputs = frames::frames(FRAMES, 1, EVERY.as_nanos() as i64);
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let venues = frames::venues(1)
        .into_iter()
        .zip(&listeners)
        .map(|((mut config, markets), listener)| {
            let port = listener.local_addr().expect("an address").port();
            config.ws_url = Some(format!("ws://127.0.0.1:{port}"));
            config.timers.ping_ms = 0;
            VenueSetup { config, markets }
        });
    let setup = Setup {
        venues: venues.collect(),
        fx: None,
    };
    let clock = Clock::system();
    let sent: Arc<Vec<AtomicI64>> = Arc::new((0..FRAMES).map(|_| AtomicI64::new(0)).collect());
    let sender = {
        let (inputs, sent, clock) = (inputs.clone(), sent.clone(), clock.clone());
        std::thread::spawn(move || send(&listeners, &inputs, &sent, &clock))
    };
    // Which frames come over each of the two sockets, in order.
    let of = |venue: VenueIx| -> Vec<usize> { (0..FRAMES).filter(|at| inputs[*at].venue == venue).collect() };
    let order = [of(frames::UPBIT), of(frames::BINANCE)];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    // As a task, not as the future that the runtime blocks on: that one is woken through the kernel.
    let (read, written) = runtime.block_on(async {
        let receiver = tokio::spawn(async move { receive(&setup, &clock, &order, &sent).await });
        receiver.await.expect("the receiver ends")
    });
    drop(sender);
    for (name, mut spans) in [("read to decision", read), ("written to decision", written)] {
        spans.sort_unstable();
        let at = |share: f64| spans[((spans.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
        println!(
            "{name:>20}: {} frames, p50 {:.1} us, p90 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, most {:.1} us",
            spans.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}

fn send(listeners: &[TcpListener; 2], inputs: &[Input], sent: &[AtomicI64], clock: &Clock) {
    let mut sockets: Vec<WebSocket<TcpStream>> = listeners
        .iter()
        .map(|listener| {
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            tungstenite::accept(stream).expect("a handshake")
        })
        .collect();
    let start = Instant::now();
    for (at, input) in inputs.iter().enumerate() {
        let Body::Frame { binary, bytes, .. } = &input.body else {
            continue;
        };
        let message = if *binary {
            Message::Binary(bytes.clone())
        } else {
            Message::Text(bytes.clone().try_into().expect("text"))
        };
        let due = start + EVERY * at as u32;
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        sent[at].store(clock.now().mono_ns, Ordering::Relaxed);
        if sockets[usize::from(input.venue.0)].send(message).is_err() {
            return;
        }
    }
    // Until the other side is done.
    std::thread::sleep(Duration::from_secs(5));
}

async fn receive(setup: &Setup, clock: &Clock, order: &[Vec<usize>; 2], sent: &[AtomicI64]) -> (Vec<i64>, Vec<i64>) {
    let mut strategy = parity::strategy(FillModel::Walk);
    // Looks at every book and never enters.
    strategy.entry = Bps::from_bps(1e5);
    let mut config = parity::engine_config(strategy);
    config.limits.venue.max_book_age_ns = i64::MAX;
    config.fx.max_age_ns = i64::MAX;
    let mut engine = Engine::new(config).expect("an engine");
    let mut commands = Vec::new();
    let numbers = ConnNumbers::default();
    let tls = Arc::new(tls::client_config().expect("TLS"));
    let mut providers = Providers::new();
    for (venue, VenueSetup { config, markets }) in (0..).map(VenueIx).zip(&setup.venues) {
        let common = connection::Setup {
            venue,
            clock: clock.clone(),
            numbers: numbers.clone(),
            tls: tls.clone(),
            seed: 1,
        };
        let sockets = Sockets::new(config.clone(), markets, common).expect("streams");
        providers.push((venue, Box::new(sockets)));
    }
    let run = Run::new(setup).expect("a run");
    let mut live = Live::with(run, providers, clock.now(), Vec::new(), clock);
    let now = clock.now().ts;
    let rate = EventKind::Fx(FxRate::parse("1000").expect("a rate"));
    engine.apply(Target::Fx, now, now, &rate);
    let mut answers = frames::opening(1)
        .into_iter()
        .filter(|input| matches!(input.body, Body::Answer { .. }));
    let mut places = [0usize; 2];
    let (mut read, mut written) = (Vec::with_capacity(FRAMES), Vec::with_capacity(FRAMES));
    while places.iter().sum::<usize>() < FRAMES {
        let Ok(next) = tokio::time::timeout(Duration::from_secs(3), live.next()).await else {
            panic!("nothing came for three seconds, after {places:?} frames");
        };
        let input = next.expect("sockets go on");
        let books = take(&mut live, &input, &mut engine);
        engine
            .decide(input.stamp.ts, &mut commands, &mut NoRecorder)
            .expect("nothing to overflow");
        let done = clock.now().mono_ns;
        if !matches!(input.body, Body::Frame { .. }) {
            continue;
        }
        // A snapshot, as soon as there is a diff that waits for it.
        if input.venue == frames::BINANCE
            && let Some(mut answer) = answers.next()
        {
            answer.stamp = clock.now();
            take(&mut live, &answer, &mut engine);
        }
        let venue = usize::from(input.venue.0);
        let at = order[venue][places[venue]];
        places[venue] += 1;
        if at >= WARM && books > 0 {
            read.push(done - input.stamp.mono_ns);
            written.push(done - sent[at].load(Ordering::Relaxed));
        }
    }
    let decisions = engine.counts().decisions;
    assert!(
        decisions as usize >= read.len(),
        "{decisions} decisions upon {} books",
        read.len()
    );
    (read, written)
}

/// Gives an input to the books, and what follows to the engine; how many book events that were.
fn take(live: &mut Live, input: &Input, engine: &mut Engine) -> u32 {
    let mut books = 0;
    live.take(input, &mut |told| {
        if let Told::Event(_, event) = told {
            let target = Target::Instrument(InstrumentId(event.market.0));
            engine.apply(target, event.ts_event, event.stamp.ts, &event.kind);
            books += u32::from(matches!(
                event.kind,
                EventKind::Snapshot { .. } | EventKind::Update { .. }
            ));
        }
    });
    books
}
