//! Lists over a real socket: fetched, refreshed, failing, shrinking.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::input::{Body, Input, Note, Provider, VenueIx};
use crate::rest::Clients;
use crate::rest::rule::Purpose;
use crate::rest::testing::{Reply, Server};
use crate::venue::Protocol;

/// Binance's list with these markets trading.
fn list(markets: &[&str], tick: &str) -> String {
    let symbols: Vec<String> = markets
        .iter()
        .map(|base| {
            format!(
                r#"{{"symbol":"{base}USDT","status":"TRADING","baseAsset":"{base}","quoteAsset":"USDT","filters":[
                    {{"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"1000000","tickSize":"{tick}"}}]}}"#
            )
        })
        .collect();
    format!(r#"{{"rateLimits":[],"symbols":[{}]}}"#, symbols.join(","))
}

async fn next(from: &mut mpsc::Receiver<Input>) -> RulesNote {
    match from.recv().await.expect("an input").body {
        Body::Note(note) => match *note {
            Note::Rules(note) => note,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A refresher of a spot venue that answers what `script` says to the n-th request, from 0.
struct Running {
    first: Update,
    inputs: mpsc::Receiver<Input>,
    _commands: mpsc::UnboundedSender<crate::input::Command>,
    server: Server,
    task: tokio::task::JoinHandle<()>,
}

async fn running(watched: &[&str], script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Running {
    let server = Server::start(move |number, _| script(number)).await;
    let mut venue = server.venue(Protocol::BinanceSpot);
    venue.rest.rules_refresh_ms = 20;
    venue.timers.backoff_first_ms = 5;
    venue.timers.backoff_most_ms = 10;
    let clock = Clock::system();
    let clients = Clients::new(clock.clone()).unwrap();
    let fetcher = Fetcher::new(&clients, &venue).unwrap();
    let catalogue = fetcher.catalogue().await.unwrap();
    let watched = watched.iter().map(|&name| name.to_owned()).collect();
    let (refresher, first) = Refresher::new(fetcher, clock, VenueIx(1), &venue, watched, &catalogue);
    let (out, inputs) = mpsc::channel(8);
    let (commands, for_it) = mpsc::unbounded_channel();
    Running {
        first,
        inputs,
        _commands: commands,
        task: tokio::spawn(Box::new(refresher).run(out, for_it)),
        server,
    }
}

#[tokio::test]
async fn upbit_is_asked_for_markets_and_then_for_their_ticks_by_the_hundred() {
    let names: Vec<String> = (0..250).map(|number| format!("KRW-C{number}")).collect();
    let all: Vec<String> = names.iter().map(|name| format!(r#"{{"market":"{name}"}}"#)).collect();
    let server = Server::start(move |_, target| {
        if target.starts_with("/v1/market/all?is_details=true") {
            return Reply::new(200, format!("[{}]", all.join(",")));
        }
        let markets = target.split("markets=").nth(1).unwrap().replace("%2C", ",");
        let entries = markets
            .split(',')
            .map(|market| format!(r#"{{"market":"{market}","tick_size":"0.25"}}"#));
        Reply::new(200, format!("[{}]", entries.collect::<Vec<_>>().join(",")))
    })
    .await;
    let clients = Clients::new(Clock::system()).unwrap();
    let fetcher = Fetcher::new(&clients, &server.venue(Protocol::Upbit)).unwrap();
    let catalogue = fetcher.catalogue().await.unwrap();
    assert_eq!(catalogue.markets.len(), 250);
    assert_eq!(catalogue.markets["KRW-C249"].tick, TickRule::Fixed(price("0.25")));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn traded_values_are_asked_for_and_read_exactly() {
    let server = Server::start(|_, target| {
        Reply::new(
            200,
            match target {
                "/v1/ticker/all?quote_currencies=KRW" => {
                    r#"[{"market":"KRW-BTC","acc_trade_price_24h":312345678901.98765432},
                        {"market":"KRW-ETH","acc_trade_price_24h":1.5E+11},{"market":"KRW-X"},
                        {"market":"KRW-Y","acc_trade_price_24h":null}]"#
                }
                "/api/v3/ticker/24hr" => r#"[{"symbol":"BTCUSDT","quoteVolume":"2345678901.12000000","count":1}]"#,
                "/fapi/v1/ticker/24hr" => r#"[{"symbol":"BTCUSDT","quoteVolume":"9.99"}]"#,
                other => panic!("{other}"),
            },
        )
    })
    .await;
    let clients = Clients::new(Clock::system()).unwrap();
    let mut told = Vec::new();
    for protocol in [Protocol::Upbit, Protocol::BinanceSpot, Protocol::BinanceUsdm] {
        let fetcher = Fetcher::new(&clients, &server.venue(protocol)).unwrap();
        told.push(fetcher.traded("KRW").await.unwrap());
    }
    let of = |list: &[(&str, u128)]| list.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let want: [BTreeMap<String, u128>; 3] = [
        of(&[("KRW-BTC", 312_345_678_901), ("KRW-ETH", 150_000_000_000)]),
        of(&[("BTCUSDT", 2_345_678_901)]),
        of(&[("BTCUSDT", 9)]),
    ];
    assert_eq!(told, want);
}

#[test]
fn whole_parts_are_exact_or_none() {
    for (text, want) in [
        ("0", Some(0)),
        ("1.999", Some(1)),
        ("\"12.5\"", Some(12)),
        ("1.23456e3", Some(1_234)),
        ("1.2E+3", Some(1_200)),
        ("12345e-3", Some(12)),
        ("5e-9", Some(0)),
        ("0e999999999", Some(0)),
        ("1e38", Some(10u128.pow(38))),
        ("1e39", None),
        ("1e2147483647", None),
        ("1e99999999999", None),
        ("-1", None),
        ("null", None),
        ("", None),
        (".5", None),
        ("1e", None),
        ("NaN", None),
    ] {
        assert_eq!(super::traded::whole(text), want, "{text:?}");
    }
}

#[tokio::test]
async fn request_limits_that_the_list_states_hold_at_the_start_and_when_it_is_refreshed() {
    let server = Server::start(|number, _| {
        let limit = |weight: u32| {
            let limit =
                format!(r#"{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":{weight}}}"#);
            let raw = r#"{"rateLimitType":"RAW_REQUESTS","interval":"MINUTE","intervalNum":5,"limit":61000}"#;
            list(&["BTC"], "0.01").replace(r#""rateLimits":[]"#, &format!(r#""rateLimits":[{raw},{limit}]"#))
        };
        Reply::new(
            200,
            match number {
                0 => limit(1_200),
                1 => limit(3),
                2 => list(&["BTC"], "0.01"),
                _ => limit(12_000),
            },
        )
    })
    .await;
    let mut venue = server.venue(Protocol::BinanceSpot);
    venue.rest.headroom_percent = 50;
    let clients = Clients::new(Clock::system()).unwrap();
    let client = clients.venue(&venue).unwrap();
    let fetcher = Fetcher::new(&clients, &venue).unwrap();
    let share = || -> Vec<u32> {
        let shares = client.limits().shares(Purpose::Fetch);
        shares.iter().map(|share| share.most).collect()
    };
    assert_eq!(share(), [3_000], "what we know");
    // An absurd one and none at all change nothing.
    for want in [600, 600, 600, 6_000] {
        fetcher.catalogue().await.unwrap();
        assert_eq!(share(), [want, 30_500]);
    }
}

#[tokio::test]
async fn f23_a_change_of_rules_arrives_among_the_inputs_and_holds_from_there() {
    let mut run = running(&["BTCUSDT"], |number| {
        Reply::new(
            200,
            list(&["BTC", "ETH", "XRP"], if number < 3 { "0.01" } else { "0.1" }),
        )
    })
    .await;
    let mut book = RuleBook::default();
    book.apply(&run.first, Clock::system().now());
    assert_eq!(book.markets().len(), 1);
    let order = |book: &RuleBook| {
        let rules = book.get("BTCUSDT").unwrap();
        rules.check(Side::Buy, price("60000.01"), qty("1"), None).is_ok()
    };
    assert!(order(&book));
    let RulesNote::Update(update) = next(&mut run.inputs).await else {
        panic!("a failure");
    };
    // Lists that said the same were not told, and of the others nothing was said.
    assert!(run.server.seen().len() >= 4);
    let told = book.apply(&update, Clock::system().now());
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].what, told[0].new.as_deref()),
        (RuleKind::Tick, Some("0.10000000"))
    );
    assert!(!order(&book));
}

#[tokio::test]
async fn f24_a_delisting_arrives_and_a_list_that_collapses_must_say_so_twice() {
    let mut run = running(&["BTCUSDT"], |number| match number {
        0 => Reply::new(200, list(&["BTC", "ETH", "XRP", "SOL"], "0.01")),
        1 => Reply::new(200, list(&["ETH", "XRP", "SOL"], "0.01")),
        // Empty once, whole again: an answer that was half made.
        2 => Reply::new(200, list(&[], "0.01")),
        3 => Reply::new(200, list(&["ETH", "XRP", "SOL"], "0.01")),
        _ => Reply::new(200, list(&["XRP"], "0.01")),
    })
    .await;
    let note = next(&mut run.inputs).await;
    assert!(matches!(&note, RulesNote::Update(update) if update.gone == ["BTCUSDT"] && update.changed.is_empty()));
    let shrank = |note: &RulesNote, to: &str| matches!(note, RulesNote::Failed { reason, .. } if reason.contains(to));
    let note = next(&mut run.inputs).await;
    assert!(shrank(&note, "from 3 markets to 0"), "{note:?}");
    let note = next(&mut run.inputs).await;
    assert!(shrank(&note, "from 3 markets to 1"), "{note:?}");
    let note = next(&mut run.inputs).await;
    assert!(
        matches!(&note, RulesNote::Update(update) if update.gone == ["ETHUSDT", "SOLUSDT"]),
        "{note:?}"
    );
}

#[tokio::test]
async fn failures_are_told_and_the_rules_known_stay() {
    let replies = Arc::new(Mutex::new(
        vec![
            Reply::new(200, list(&["BTC"], "0.1")),
            Reply::new(200, "[]"),
            Reply::new(503, "down"),
            Reply::new(500, "sorry"),
            Reply::new(200, list(&["BTC"], "0.01")),
        ]
        .into_iter(),
    ));
    let mut run = running(&["BTCUSDT"], move |_| {
        let again = || Reply::new(200, list(&["BTC"], "0.1"));
        replies.lock().unwrap().next_back().unwrap_or_else(again)
    })
    .await;
    for (attempt, part) in [(1, "HTTP 500: sorry"), (2, "HTTP 503: down"), (3, "bad frame")] {
        match next(&mut run.inputs).await {
            RulesNote::Failed {
                venue,
                attempt: told,
                reason,
            } => {
                assert_eq!((venue.as_str(), told), ("test", attempt));
                assert!(reason.contains(part), "{reason}");
            }
            RulesNote::Update(update) => panic!("{update:?}"),
        }
    }
    let note = next(&mut run.inputs).await;
    assert!(matches!(&note, RulesNote::Update(update) if update.changed.len() == 1));
    // The end of the commands is the end.
    drop(run._commands);
    run.task.await.unwrap();
}
