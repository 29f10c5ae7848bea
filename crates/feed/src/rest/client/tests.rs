//! Over real sockets: what comes back is an answer, or an error of the right class, and limits are kept.

use std::io::Write;
use std::sync::Arc;

use crossbook_engine::units::TimestampNs;
use tokio::sync::Notify;

use super::*;
use crate::rest::rule::{Purpose, WEIGHT};
use crate::rest::testing::{Reply, Server};

fn client(server: &Server, protocol: Protocol, change: impl FnOnce(&mut RestLimits)) -> Client {
    let mut venue = server.venue(protocol);
    change(&mut venue.rest);
    let clock = Clock::starting_at(TimestampNs(1_795_289_082_000_000_000));
    Clients::new(clock).expect("TLS").venue(&venue).expect("a client")
}

async fn books(client: &Client) -> Result<Answer, FeedError> {
    client
        .get("/v1/orderbook", &[("markets", "KRW-BTC,KRW-ETH")], "orderbook", 1)
        .await
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(text).expect("memory");
    gzip.finish().expect("memory")
}

#[tokio::test]
async fn answers_come_unpacked_with_any_status_of_their_own() {
    let server = Server::start(|number, _| match number {
        0 => Reply::new(200, packed(b"[1]")).with("content-encoding", "gzip"),
        1 => Reply::new(200, "not JSON"),
        2 => Reply::new(404, "{\"error\":{\"name\":404}}"),
        _ => Reply::new(503, "busy"),
    })
    .await;
    let client = client(&server, Protocol::Upbit, |_| ());
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(books(&client).await.expect("an answer"));
    }
    let bodies: Vec<_> = got.iter().map(|answer| (answer.status, &answer.bytes[..])).collect();
    assert_eq!(
        bodies,
        [
            (200, &b"[1]"[..]),
            (200, b"not JSON"),
            (404, b"{\"error\":{\"name\":404}}"),
            (503, b"busy")
        ]
    );
    assert_eq!(got[0].body().map(|body| &body[..]), Ok(&b"[1]"[..]));
    assert_eq!(got[3].body(), Err(FeedError::Protocol("HTTP 503: busy".to_owned())));
    assert_eq!(server.seen()[0], "/v1/orderbook?markets=KRW-BTC%2CKRW-ETH");
}

#[tokio::test]
async fn a_base_may_have_a_path() {
    let server = Server::start(|_, _| Reply::new(200, "[]")).await;
    let clients = Clients::new(Clock::system()).expect("TLS");
    let rule = Protocol::Upbit.rule();
    let base = format!("{}/upbit/", server.base);
    let client = clients.host(&base, rule, &RestLimits::default()).expect("a client");
    client.get("/v1/ticker", &[], "ticker", 1).await.expect("an answer");
    assert_eq!(server.seen(), ["/upbit/v1/ticker"]);
    for no in ["", "127.0.0.1:80", "ftp://127.0.0.1", "unix:/run/x"] {
        let error = clients.host(no, rule, &RestLimits::default()).map(|_| ());
        assert_eq!(error.map_err(|error| error.class()), Err("protocol"), "{no:?}");
    }
}

#[tokio::test]
async fn each_way_to_fail_has_its_class() {
    let big = vec![b' '; 5_000];
    let cases: Vec<(&str, Reply, &str, &str)> = vec![
        (
            "cut body",
            Reply {
                cut: Some(3),
                ..Reply::new(200, "[1,2,3]")
            },
            "connection",
            "",
        ),
        (
            "cut gzip",
            Reply {
                cut: Some(15),
                ..Reply::new(200, packed(b"[1,2,3,4,5,6,7]")).with("content-encoding", "gzip")
            },
            "connection",
            "",
        ),
        (
            "not gzip",
            Reply::new(200, "[1,2,3]").with("content-encoding", "gzip"),
            "protocol",
            "",
        ),
        (
            "too large",
            Reply::new(200, big.clone()),
            "protocol",
            "larger than 4096 bytes",
        ),
        (
            "too large once unpacked",
            Reply::new(200, packed(&big)).with("content-encoding", "gzip"),
            "protocol",
            "larger than 4096 bytes",
        ),
        (
            "redirect",
            Reply::new(302, "").with("location", "http://127.0.0.1:1/"),
            "protocol",
            "HTTP 302 to http://127.0.0.1:1/",
        ),
        (
            "slow body",
            Reply {
                stall: true,
                ..Reply::new(200, "[1]")
            },
            "timeout",
            "GET /v1/orderbook took longer than 300 ms",
        ),
        (
            "slow head",
            Reply {
                hold: Some(Arc::new(Notify::new())),
                ..Reply::new(200, "[1]")
            },
            "timeout",
            "GET /v1/orderbook took longer than 300 ms",
        ),
    ];
    for (name, reply, class, words) in cases {
        let server = Server::start(move |_, _| reply.clone()).await;
        let client = client(&server, Protocol::Upbit, |rest| {
            rest.timeout_ms = 300;
            rest.max_body_bytes = 4_096;
        });
        let error = books(&client).await.expect_err(name);
        assert_eq!(error.class(), class, "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert_eq!(server.seen().len(), 1, "{name} is not asked again");
    }
}

#[tokio::test]
async fn f04_refused_is_an_error_of_the_connection() {
    let server = Server::start(|_, _| Reply::new(200, "")).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut venue = server.venue(Protocol::Upbit);
    venue.rest_url = Some(format!("http://{}", free.local_addr().expect("an address")));
    drop(free);
    let clients = Clients::new(Clock::system()).expect("TLS");
    let error = books(&clients.venue(&venue).expect("a client")).await;
    assert_eq!(error.map_err(|error| error.class()), Err("connection"));
}

#[tokio::test]
async fn f10_403_and_418_stop_the_host_and_429_the_group() {
    let banned = r#"{"code":-1003,"msg":"Way too many requests; IP banned until 1795289142000."}"#;
    // Status, header, body, milliseconds that are waited at least and at most, whether another group still goes.
    let cases = [
        (403, None, "<html>", 120_000, 120_000, false),
        (418, None, "{}", 120_000, 120_000, false),
        (418, Some("1000"), "{}", 1_000_000, 1_000_000, false),
        (418, None, banned, 50_000, 60_000, false),
        (429, Some("77"), "{}", 77_000, 77_000, true),
    ];
    for (status, header, body, least, most, others) in cases {
        let server = Server::start(move |_, target| match (target.starts_with("/v1/orderbook"), header) {
            (true, Some(header)) => Reply::new(status, body).with("retry-after", header),
            (true, None) => Reply::new(status, body),
            _ => Reply::new(200, "[]"),
        })
        .await;
        let client = client(&server, Protocol::Upbit, |_| ());
        let first = books(&client).await;
        match &first {
            Err(FeedError::Limited { status: told, wait }) => {
                let wait = wait.as_millis();
                assert!(
                    *told == status && (least..=most).contains(&wait),
                    "{status} {body}: {wait}"
                );
            }
            other => panic!("{status}: {other:?}"),
        }
        // Nothing is sent while it lasts, and it is said how much longer.
        for _ in 0..20 {
            let again = books(&client).await;
            assert!(
                matches!(again, Err(FeedError::Limited { status: told, .. }) if told == status),
                "{status}: {again:?}"
            );
        }
        assert_eq!(server.seen().len(), 1, "{status}");
        let other = client.get("/v1/ticker", &[], "ticker", 1).await;
        assert_eq!(other.is_ok(), others, "{status}: {other:?}");
        assert_eq!(server.seen().len(), 1 + usize::from(others), "{status}");
    }
}

#[tokio::test]
async fn f10_a_limit_whose_body_breaks_off_is_a_limit() {
    let server = Server::start(|_, _| Reply {
        cut: Some(1),
        ..Reply::new(418, "{\"code\":-1003}").with("retry-after", "60")
    })
    .await;
    let client = client(&server, Protocol::BinanceSpot, |_| ());
    let first = client.get("/api/v3/depth", &[], WEIGHT, 5).await;
    assert_eq!(
        first,
        Err(FeedError::Limited {
            status: 418,
            wait: Duration::from_secs(60)
        })
    );
}

#[tokio::test]
async fn f10_what_headers_say_is_used_up_is_not_asked_for() {
    for (name, value, protocol, group) in [
        (
            "remaining-req",
            "group=orderbook; min=600; sec=0",
            Protocol::Upbit,
            "orderbook",
        ),
        ("x-mbx-used-weight-1m", "5990", Protocol::BinanceSpot, WEIGHT),
    ] {
        let server = Server::start(move |_, _| Reply::new(200, "[]").with(name, value)).await;
        let client = client(&server, protocol, |_| ());
        let limits = client.limits();
        client.get("/x", &[], group, 1).await.expect("an answer");
        let held = limits.try_acquire(group, 25, Purpose::Fetch).map(|_| ());
        assert!(
            matches!(
                held,
                Err(crate::rest::limits::Held {
                    until: Some(_),
                    status: None
                })
            ),
            "{name}: {held:?}"
        );
    }
}

#[tokio::test]
async fn clients_of_one_host_share_its_budgets_and_other_venues_do_not() {
    let server = Server::start(|_, _| Reply::new(418, "{}")).await;
    let clients = Clients::new(Clock::system()).expect("TLS");
    let upbit = clients.venue(&server.venue(Protocol::Upbit)).expect("a client");
    let again = clients.venue(&server.venue(Protocol::Upbit)).expect("a client");
    let binance = clients.venue(&server.venue(Protocol::BinanceSpot)).expect("a client");
    assert!(books(&upbit).await.is_err());
    assert!(again.limits().held("orderbook").is_some());
    assert!(binance.limits().held(WEIGHT).is_none());
}

#[tokio::test]
async fn f33_dates_of_answers_measure_the_clock_but_not_those_of_a_cache() {
    let server = Server::start(|_, target| {
        let reply = Reply::new(200, "[]").with("date", "Sat, 21 Nov 2026 19:24:52 GMT");
        match target {
            "/cached" => reply.with("age", 3_600),
            _ => reply,
        }
    })
    .await;
    let client = client(&server, Protocol::Upbit, |_| ());
    client.get("/cached", &[], "orderbook", 1).await.expect("an answer");
    assert_eq!(client.offset(), None);
    client.get("/fresh", &[], "orderbook", 1).await.expect("an answer");
    let offset = client.offset().expect("an offset");
    // Our clock began at 19:24:42.
    assert!(
        (offset.ns - 10_000_000_000).abs() <= offset.within_ns + 1_000_000_000,
        "{offset:?}"
    );
}
