//! Live data over real sockets from the loopback exchange, with frames lost, repeated and reordered on the way: no book is
//! ever called live and wrong, and what was seen replays to the same events.

mod truth;

use std::time::Duration;

use crossbook_engine::book::BookSide;
use crossbook_engine::event::{EventKind, Level};
use crossbook_feed::clock::Clock;
use crossbook_feed::input::{Body, Input, VenueIx};
use crossbook_feed::live::MarketIx;
use crossbook_feed::run::{Live, Run, Setup, Told, VenueSetup};
use crossbook_simex::config::{Config, Markets, Rates};
use crossbook_simex::exchange::{Exchange, Venue};
use crossbook_simex::server::Server;
use crossbook_simex::server::clock::Clock as SimexClock;

use truth::Truth;

/// How long the market is listened to.
const LENGTH: Duration = Duration::from_secs(4);

const VENUES: [Venue; 2] = [Venue::Upbit, Venue::Binance];

fn setup(server: &Server) -> Setup {
    let venue = |name: &str, protocol: &str, of: Venue, markets: &[&str]| {
        // Connections are replaced every second and a half, while the old one is still there.
        let text = format!(
            "name = '{name}'\nprotocol = '{protocol}'\nrest_url = '{}'\nws_url = '{}'\nmarkets_per_socket = 1\n\
             [timers]\nmax_age_ms = 1500\noverlap_ms = 200\n[books]\nretry_first_ms = 50\n",
            server.rest_url(of),
            server.ws_url(of)
        );
        VenueSetup {
            config: toml::from_str(&text).expect("a venue file"),
            markets: markets.iter().map(|market| (*market).to_owned()).collect(),
        }
    };
    Setup {
        venues: vec![
            venue("upbit", "upbit", Venue::Upbit, &["KRW-BTC", "KRW-ETH"]),
            venue("binance", "binance-spot", Venue::Binance, &["BTCUSDT", "ETHUSDT"]),
        ],
        fx: None,
    }
}

/// Loses, repeats and reorders frames on their way, always in the same manner.
#[derive(Default)]
struct Trouble {
    frames: u64,
    held: Option<Input>,
    lost: u64,
}

impl Trouble {
    fn pass(&mut self, input: Input) -> Vec<Input> {
        if !matches!(input.body, Body::Frame { .. }) {
            return vec![input];
        }
        self.frames += 1;
        if self.frames.is_multiple_of(23) {
            self.lost += 1;
            return Vec::new();
        }
        if self.frames.is_multiple_of(7) {
            return vec![input.clone(), input];
        }
        if self.frames.is_multiple_of(29) {
            self.held = Some(input);
            return Vec::new();
        }
        // Read later than the one that overtakes it, so stamped later, too.
        let late = self.held.take().map(|held| Input {
            stamp: input.stamp,
            ..held
        });
        std::iter::once(input).chain(late).collect()
    }
}

/// What identifies the book of a market: an update id, or a time in milliseconds.
fn key(venue: usize, ids: &crossbook_engine::book::sync::MessageIds) -> u64 {
    match VENUES[venue] {
        Venue::Upbit => ids.ts_event as u64 / 1_000_000,
        _ => ids.last.expect("every book of Binance has an id"),
    }
}

/// Takes an input and hands on what follows from it.
type Taker<'t> = dyn FnMut(&Input, &mut dyn FnMut(Told<'_>)) + 't;

/// Takes an input; the markets whose books changed, with what identifies them now, and a text of each event.
fn take(
    taker: &mut Taker<'_>,
    input: &Input,
    venue_of: &dyn Fn(u16) -> usize,
    events: &mut Vec<String>,
) -> Vec<(u16, u64)> {
    let mut changed = Vec::new();
    taker(input, &mut |told| {
        if let Told::Event(_, event) = told {
            if matches!(event.kind, EventKind::Snapshot { .. } | EventKind::Update { .. }) {
                let key = key(venue_of(event.market.0), &event.ids);
                changed.retain(|(market, _)| *market != event.market.0);
                changed.push((event.market.0, key));
            }
            events.push(format!("{event:?}"));
        }
    });
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_c2_c5_f12_f13_f14_no_book_is_live_and_wrong_and_the_session_replays() {
    let config = Config {
        markets: Markets::first(2),
        rates: Rates {
            factor: 3.0,
            ..Rates::default()
        },
        ..Config::default()
    };
    let simex_clock = SimexClock::start();
    let start = simex_clock.now();
    let truth = Truth::of(&config, start, LENGTH + Duration::from_secs(20));
    let exchange = Exchange::new(&config, start).expect("an exchange");
    let server = Server::serve(exchange, config.server.clone(), simex_clock)
        .await
        .expect("a server");

    let setup = setup(&server);
    let clock = Clock::system();
    let mut live = Live::start(&setup, &clock, 7).expect("live data");
    let mut trouble = Trouble::default();
    let mut inputs = Vec::new();
    let mut events = Vec::new();
    let names: Vec<(usize, String)> = live
        .run()
        .pipeline()
        .markets()
        .map(|(_, market)| (usize::from(market.venue().0), market.symbol().to_owned()))
        .collect();
    let venue_of = |market: u16| names[usize::from(market)].0;
    let mut seen = vec![0u64; names.len()];
    let until = tokio::time::Instant::now() + LENGTH;
    while let Ok(input) = tokio::time::timeout_at(until, live.next()).await {
        for input in trouble.pass(input.expect("providers go on")) {
            let changed = take(&mut |input, out| live.take(input, out), &input, &venue_of, &mut events);
            inputs.push(input);
            for (market, key) in changed {
                let ix = usize::from(market);
                let view = live.run().pipeline().market(MarketIx(market)).expect("a market");
                if !view.health().is_live() {
                    continue;
                }
                let book = view.book();
                let top = [BookSide::Bid, BookSide::Ask].map(|side| book.levels(side).take(10).collect::<Vec<Level>>());
                let (venue, symbol) = (VENUES[names[ix].0], &names[ix].1);
                assert!(
                    truth.had(venue, symbol, key, &top),
                    "{symbol} is live at {key} and wrong: {top:?}"
                );
                seen[ix] += 1;
            }
        }
    }
    let mut closing = live.close(Duration::from_secs(2));
    while let Some(input) = closing.next().await {
        take(
            &mut |input, out| closing.take(input, out),
            &input,
            &venue_of,
            &mut events,
        );
        inputs.push(input);
    }
    let last = closing.last().stamp;
    let run = closing.finish(last, &mut |_| {});
    let pipeline = run.pipeline();
    server.stop().await.unwrap();

    assert!(trouble.lost > 2, "{} frames, {} lost", trouble.frames, trouble.lost);
    for ((ix, market), seen) in pipeline.markets().zip(&seen) {
        assert!(*seen > 10, "{ix:?} was compared {seen} times: {:?}", market.counts());
        let (covered, gaps) = market.covered_and_gaps_ns();
        assert!(
            covered > 1_000_000_000 && gaps > 0,
            "{ix:?}: {covered} ns live, {gaps} ns not"
        );
    }
    let gaps: u64 = pipeline.markets().map(|(_, market)| market.counts().gaps).sum();
    assert!(gaps > 0, "a diff that is lost is a gap");
    for venue in 0..2 {
        let account = pipeline.account(VenueIx(venue)).expect("a venue");
        assert!(account.is_balanced() && account.quarantined == 0, "{account:?}");
        assert!(account.applied > 20, "{account:?}");
    }

    // What was seen, seen again.
    let mut again = Run::new(&setup).expect("a run");
    let mut replayed = Vec::new();
    for input in &inputs {
        take(
            &mut |input, out| again.input(input, out),
            input,
            &venue_of,
            &mut replayed,
        );
    }
    again.finish(last, &mut |_| {});
    assert!(run.covers() && again.totals() == run.totals());
    assert_eq!(replayed.len(), events.len());
    for (at, (one, other)) in replayed.iter().zip(&events).enumerate() {
        assert_eq!(one, other, "event {at}");
    }
}
