//! The provider over real sockets. Nothing here depends on how long anything takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbook_engine::units::TimestampNs;
use tokio::sync::mpsc::{UnboundedSender, channel, unbounded_channel};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::*;
use crate::clock::Clock;
use crate::rest::client::Clients;
use crate::rest::rule::{Counts, Rule};
use crate::rest::testing::{Reply, Server};

const VENUE: VenueIx = VenueIx(3);

/// A provider that runs.
struct Running {
    commands: UnboundedSender<Command>,
    inputs: mpsc::Receiver<Input>,
    client: Client,
    task: JoinHandle<()>,
}

fn provider(
    server: &Server,
    protocol: Protocol,
    markets: &[&str],
    change: impl FnOnce(&mut VenueConfig),
) -> RestProvider {
    let mut config = server.venue(protocol);
    config.rest.clock_ms = 0;
    config.streams = Some(vec![crate::venue::StreamKind::Book]);
    change(&mut config);
    let clock = Clock::starting_at(TimestampNs(1_795_289_082_000_000_000));
    let client = Clients::new(clock).expect("TLS").venue(&config).expect("a client");
    let markets = markets.iter().map(|market| (*market).to_owned()).collect();
    RestProvider::new(client, VENUE, config, markets)
}

impl Running {
    fn new(provider: RestProvider) -> Running {
        let (commands, received) = unbounded_channel();
        let (out, inputs) = channel(1);
        Running {
            commands,
            inputs,
            client: provider.client.clone(),
            task: tokio::spawn(Box::new(provider).run(out, received)),
        }
    }

    fn fetch(&self, request: Request) {
        let command = Command::Fetch { venue: VENUE, request };
        self.commands.send(command).expect("it runs");
    }

    fn poll(&self, on: bool) {
        self.commands.send(Command::Poll { venue: VENUE, on }).expect("it runs");
    }

    /// The next answer: what was asked, and its status or the class of its failure.
    async fn answer(&mut self) -> (Request, Result<u16, &'static str>) {
        let input = self.inputs.recv().await.expect("it runs");
        assert_eq!(input.venue, VENUE);
        match input.body {
            Body::Answer { request, outcome } => (
                request,
                outcome.map(|answer| answer.status).map_err(|error| error.class()),
            ),
            other => panic!("{other:?}"),
        }
    }

    /// It stops when its commands are closed.
    async fn stop(self) {
        drop(self.commands);
        self.task.await.expect("no panic");
    }
}

fn books(markets: &[&str]) -> Request {
    Request::Books(markets.iter().map(|market| (*market).to_owned()).collect())
}

#[tokio::test]
async fn what_is_fetched_is_answered_once_in_the_way_of_the_venue() {
    let cases = [
        (
            Protocol::Upbit,
            books(&["KRW-BTC", "KRW-ETH"]),
            vec![(
                books(&["KRW-BTC", "KRW-ETH"]),
                "/v1/orderbook?markets=KRW-BTC%2CKRW-ETH&count=30",
            )],
        ),
        (
            Protocol::BinanceSpot,
            books(&["BTCUSDT", "ETHUSDT"]),
            vec![
                (books(&["BTCUSDT"]), "/api/v3/depth?symbol=BTCUSDT&limit=1000"),
                (books(&["ETHUSDT"]), "/api/v3/depth?symbol=ETHUSDT&limit=1000"),
            ],
        ),
        (
            Protocol::BinanceUsdm,
            Request::Trades("BTCUSDT".to_owned()),
            vec![(
                Request::Trades("BTCUSDT".to_owned()),
                "/fapi/v1/trades?symbol=BTCUSDT&limit=500",
            )],
        ),
    ];
    for (protocol, request, want) in cases {
        let server = Server::start(|_, _| Reply::new(200, "[]")).await;
        let mut running = Running::new(provider(&server, protocol, &[], |_| ()));
        // Another venue's request, and a reconnection, are not for it.
        let other = Command::Fetch {
            venue: VenueIx(0),
            request: books(&["X"]),
        };
        running.commands.send(other).expect("it runs");
        running.fetch(request);
        let mut got = Vec::new();
        for _ in 0..want.len() {
            got.push(running.answer().await);
        }
        got.sort_by_key(|(request, _)| format!("{request:?}"));
        let answers: Vec<_> = want.iter().map(|(request, _)| (request.clone(), Ok(200))).collect();
        assert_eq!(got, answers);
        let mut seen = server.seen();
        seen.sort();
        assert_eq!(seen, want.iter().map(|(_, target)| *target).collect::<Vec<_>>());
        running.stop().await;
    }
}

#[tokio::test]
async fn f16_a_slow_snapshot_holds_up_no_other_and_is_answered_once() {
    let release = Arc::new(Notify::new());
    let hold = Arc::clone(&release);
    let server = Server::start(move |_, target| match target.contains("SLOW") {
        true => Reply {
            hold: Some(Arc::clone(&hold)),
            ..Reply::new(200, "{}")
        },
        false => Reply::new(200, "{}"),
    })
    .await;
    let mut running = Running::new(provider(&server, Protocol::BinanceSpot, &[], |config| {
        config.rest.timeout_ms = 60_000;
    }));
    running.fetch(books(&["SLOW"]));
    for _ in 0..20 {
        running.fetch(books(&["QUICK"]));
        assert_eq!(running.answer().await, (books(&["QUICK"]), Ok(200)));
    }
    release.notify_one();
    assert_eq!(running.answer().await, (books(&["SLOW"]), Ok(200)));
    running.fetch(books(&["QUICK"]));
    assert_eq!(
        running.answer().await,
        (books(&["QUICK"]), Ok(200)),
        "and nothing else came"
    );
    running.stop().await;
}

#[tokio::test]
async fn f16_a_snapshot_that_fails_is_answered_with_its_class() {
    let server = Server::start(|_, target| match target {
        target if target.contains("LATE") => Reply {
            hold: Some(Arc::new(Notify::new())),
            ..Reply::new(200, "{}")
        },
        target if target.contains("CUT") => Reply {
            cut: Some(1),
            ..Reply::new(200, "{}")
        },
        _ => Reply::new(503, "busy"),
    })
    .await;
    let mut running = Running::new(provider(&server, Protocol::BinanceSpot, &[], |config| {
        config.rest.timeout_ms = 300;
    }));
    let mut got = BTreeMap::new();
    for market in ["LATE", "CUT", "BUSY"] {
        running.fetch(books(&[market]));
        let (request, outcome) = running.answer().await;
        got.insert(format!("{request:?}"), outcome);
    }
    let got: Vec<_> = got.into_values().collect();
    assert_eq!(got, [Ok(503), Err("connection"), Err("timeout")]);
    running.stop().await;
}

#[tokio::test]
async fn f10_while_banned_everything_is_answered_and_nothing_sent() {
    let server = Server::start(|_, _| Reply::new(418, "{}")).await;
    let mut running = Running::new(provider(&server, Protocol::BinanceSpot, &["A", "B", "C"], |config| {
        config.data_source = DataSource::Rest;
        config.rest.poll_ms = 1;
        // One request at a time fits into the share, so the ban is known before the next is sent.
        config.rest.headroom_percent = 1;
        config.levels = Some(5_000);
    }));
    assert_eq!(running.answer().await, (books(&["A"]), Err("limited")));
    for i in 0..50 {
        let market = format!("M{i}");
        running.fetch(books(&[&market]));
        assert_eq!(running.answer().await, (books(&[&market]), Err("limited")));
    }
    assert_eq!(server.seen().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn polling_is_on_from_the_start_only_without_a_websocket_and_is_switched_at_run_time() {
    for (source, at_once) in [(DataSource::Rest, true), (DataSource::Auto, false)] {
        let server = Server::start(|_, _| Reply::new(200, "[]")).await;
        let mut running = Running::new(provider(&server, Protocol::Upbit, &["KRW-BTC", "KRW-ETH"], |config| {
            config.data_source = source;
            config.rest.poll_ms = 200;
        }));
        if !at_once {
            running.fetch(books(&["KRW-XRP"]));
            assert_eq!(
                running.answer().await.0,
                books(&["KRW-XRP"]),
                "nothing was polled before"
            );
            running.poll(true);
        }
        for _ in 0..3 {
            assert_eq!(running.answer().await, (books(&["KRW-BTC", "KRW-ETH"]), Ok(200)));
        }
        running.poll(false);
        let before = server.seen().len();
        // What was under way when it was switched off still comes; then only what is fetched.
        let mut polled = 0;
        for i in 0..4 {
            let market = format!("KRW-{i}");
            running.fetch(books(&[&market]));
            loop {
                let (request, _) = running.answer().await;
                if request == books(&[&market]) {
                    break;
                }
                polled += 1;
            }
        }
        assert!(polled <= 1, "{polled}");
        assert!(server.seen().len() <= before + polled + 4);
        running.stop().await;
    }
}

#[tokio::test]
async fn all_markets_are_polled_in_turn() {
    let server = Server::start(|_, _| Reply::new(200, "[]")).await;
    let mut running = Running::new(provider(&server, Protocol::BinanceSpot, &["A", "B", "C"], |config| {
        config.data_source = DataSource::Rest;
        config.rest.poll_ms = 1;
    }));
    let mut counts = BTreeMap::new();
    for _ in 0..18 {
        *counts.entry(format!("{:?}", running.answer().await.0)).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.values().all(|count| (4..=8).contains(count)), "{counts:?}");
    assert!(
        server
            .seen()
            .iter()
            .any(|target| target == "/api/v3/depth?symbol=A&limit=100")
    );
    running.stop().await;
}

#[tokio::test]
async fn polls_go_as_fast_as_limits_allow_that_the_venue_states_later() {
    let server = Server::start(|_, _| Reply::new(200, "[]")).await;
    let rule = |limit, seconds| Rule {
        counts: Counts::Weight,
        limit,
        window: Duration::from_secs(seconds),
    };
    let provider = provider(&server, Protocol::BinanceSpot, &["A", "B"], |config| {
        config.data_source = DataSource::Rest;
        config.rest.poll_ms = 1;
    });
    // One book in an hour.
    provider.client.limits().set(vec![rule(5, 3_600)]);
    let mut running = Running::new(provider);
    assert_eq!(running.answer().await, (books(&["A"]), Ok(200)));
    running.client.limits().set(vec![rule(6_000, 60)]);
    let mut asked = Vec::new();
    while !asked.contains(&books(&["B"])) {
        asked.push(running.answer().await.0);
    }
    running.stop().await;
}

#[tokio::test]
async fn f04_a_host_that_refuses_is_not_stormed_by_polls() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let server = Server::start(|_, _| Reply::new(200, "[]")).await;
    let provider = provider(&server, Protocol::BinanceSpot, &["A", "B", "C", "D", "E"], |config| {
        config.rest_url = Some(format!("http://{address}"));
        config.data_source = DataSource::Rest;
        config.rest.poll_ms = 1;
        config.timers.backoff_first_ms = 3_600_000;
        config.timers.backoff_most_ms = 3_600_000;
    });
    let mut running = Running::new(provider);
    let (_, outcome) = running.answer().await;
    assert_eq!(outcome, Err("connection"));
    // Books are fetched all the same, each answered; of polls only those come that were under way with the first.
    let mut polled = 0;
    for i in 0..20 {
        let market = format!("M{i}");
        running.fetch(books(&[&market]));
        loop {
            let (request, outcome) = running.answer().await;
            assert_eq!(outcome, Err("connection"));
            if request == books(&[&market]) {
                break;
            }
            polled += 1;
        }
    }
    assert!(polled < MOST_POLLS_UNDER_WAY, "{polled}");
    running.stop().await;
}

#[tokio::test]
async fn snapshots_go_before_polls_and_one_that_waits_is_not_queued_twice() {
    let server = Server::start(|_, _| Reply::new(200, "[]")).await;
    let provider = provider(&server, Protocol::Upbit, &["KRW-BTC"], |config| {
        config.rest.headroom_percent = 10;
    });
    let mut desk = Desk::new(provider);
    desk.poll(true);
    for market in ["KRW-ETH", "KRW-XRP", "KRW-ETH", "KRW-XRP"] {
        let request = books(&[market]);
        assert!(desk.command(Command::Fetch { venue: VENUE, request }).is_empty());
    }
    assert_eq!(desk.waiting.len(), 2);
    let sent = desk.send_what_can_be();
    assert_eq!(
        (desk.under_way.len(), desk.polls_under_way),
        (1, 0),
        "one fits, and it is no poll"
    );
    assert_eq!(desk.waiting, [books(&["KRW-XRP"])], "in the order in which they came");
    assert!(sent.refused.is_empty());
}

#[tokio::test]
async fn the_queue_is_bounded_and_what_does_not_fit_is_answered() {
    let server = Server::start(|_, _| Reply::new(200, "[]")).await;
    let mut desk = Desk::new(provider(&server, Protocol::Upbit, &[], |_| ()));
    let mut refused = 0;
    for i in 0..MOST_WAITING + 7 {
        let request = Request::Trades(format!("KRW-{i}"));
        refused += desk.command(Command::Fetch { venue: VENUE, request }).len();
    }
    assert_eq!((desk.waiting.len(), refused), (MOST_WAITING, 7));
    desk.send_what_can_be();
    assert_eq!(desk.under_way.len(), MOST_UNDER_WAY);
}

#[tokio::test]
async fn f33_the_clock_is_measured_beside_everything_else() {
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    let server = Server::start(move |_, target| match target {
        "/api/v3/time" => {
            seen.store(true, Ordering::SeqCst);
            Reply::new(200, r#"{"serverTime":1795292682000}"#)
        }
        _ => Reply::new(200, "{}"),
    })
    .await;
    let mut running = Running::new(provider(&server, Protocol::BinanceSpot, &["A"], |config| {
        config.rest.clock_ms = 3_600_000;
        config.data_source = DataSource::Rest;
        config.rest.poll_ms = 20;
    }));
    while running.client.offset().is_none() {
        let _ = running.answer().await;
    }
    assert!(asked.load(Ordering::SeqCst));
    // Our clock began an hour before what the venue says.
    let offset = running.client.offset().expect("an offset");
    let hour = 3_600_000_000_000;
    assert!(
        (hour - 60_000_000_000..=hour + 2_000_000).contains(&offset.ns),
        "{offset:?}"
    );
    running.stop().await;
}

#[tokio::test]
async fn polls_are_as_slow_as_the_budget_wants() {
    // The table of docs/rest.md.
    let cases = [
        (Protocol::Upbit, None, (1, 1_000)),
        (Protocol::BinanceSpot, None, (30, 4_400)),
        (Protocol::BinanceSpot, Some(1_000), (30, 44_000)),
        (Protocol::BinanceUsdm, None, (30, 4_400)),
    ];
    let names: Vec<_> = (0..30).map(|i| format!("M{i}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let server = Server::start(|_, _| Reply::new(200, "[]")).await;
    for (protocol, levels, want) in cases {
        let desk = Desk::new(provider(&server, protocol, &names, |config| {
            config.rest.headroom_percent = 50;
            config.levels = levels;
        }));
        let (requests, every) = desk.polls.pace();
        assert_eq!((requests, every.as_millis()), want, "{protocol:?} {levels:?}");
    }
}
