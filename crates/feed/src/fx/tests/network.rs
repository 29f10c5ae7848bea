//! Quotes as they are spelled, and sources that are asked over a real socket.

use std::sync::Arc;

use proptest::prelude::*;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::clock::Clock;
use crate::input::{Body, Input, Note, Provider, VenueIx};
use crate::rest::Clients;
use crate::rest::testing::{Reply, Server};

const DUNAMU: &str = r#"[{"code":"FRX.KRWEUR","basePrice":1605.1,"timestamp":1763700000000},
 {"code":"FRX.KRWUSD","currencyCode":"USD","currencyName":"달러","country":"미국","name":"미국 (KRW/USD)","date":"2025-11-21","time":"20:00:00",
  "recurrenceCount":812,"basePrice":1471.50,"openingPrice":1468.00,"highPrice":1475.00,"lowPrice":1466.00,"change":"RISE","changePrice":3.5,
  "cashBuyingPrice":1497.25,"cashSellingPrice":1445.75,"ttBuyingPrice":1457.10,"ttSellingPrice":1485.90,"provider":"하나은행","timestamp":1763722801000}]"#;
const ER_API: &str = r#"{"result":"success","provider":"https://www.exchangerate-api.com","time_last_update_unix":1763683351,
 "time_last_update_utc":"Fri, 21 Nov 2025 00:02:31 +0000","base_code":"USD","rates":{"USD":1,"AED":3.6725,"KRW":1471.570543,"ZWL":26.4}}"#;

fn read(format: &str, text: &str) -> Result<(String, i64), String> {
    #[derive(serde::Deserialize)]
    struct One {
        format: QuoteFormat,
    }
    let format = toml::from_str::<One>(&format!("format = {format}")).unwrap().format;
    quote::parse(&format, text.as_bytes())
        .map(|(rate, ts)| (rate.to_string(), ts.0 / 1_000_000))
        .map_err(|error| error.to_string())
}

#[test]
fn quotes_are_read_exactly_from_each_shape() {
    let pointer = |rate: &str, time: &str, unit: &str| {
        format!("{{ json = {{ rate = \"{rate}\", time = \"{time}\", time_unit = \"{unit}\" }} }}")
    };
    let of = |rate: &str, ms| Ok((rate.to_owned(), ms));
    assert_eq!(read("\"dunamu\"", DUNAMU), of("1471.50000000", 1_763_722_801_000));
    assert_eq!(read("\"er-api\"", ER_API), of("1471.57054300", 1_763_683_351_000));
    let cases = [
        (
            "/rates/KRW",
            "/date",
            "day",
            r#"{"base":"USD","date":"2025-11-20","rates":{"KRW":1468.9}}"#,
            1_763_596_800_000,
        ),
        (
            "/0/p",
            "/0/t",
            "milliseconds",
            r#"[{"p":"1468.9","t":"1763683351123"}]"#,
            1_763_683_351_123,
        ),
        (
            "/a~1b/~0",
            "/t",
            "seconds",
            r#"{"a/b":{"~":1.4689E+3},"t":1763683351}"#,
            1_763_683_351_000,
        ),
    ];
    for (rate, time, unit, text, ms) in cases {
        assert_eq!(
            read(&pointer(rate, time, unit), text),
            of("1468.90000000", ms),
            "{text}"
        );
    }
}

#[test]
fn f28_answers_without_a_quote_are_refused_with_their_reason() {
    let json = "{ json = { rate = \"/r\", time = \"/t\", time_unit = \"seconds\" } }";
    for (format, text, want) in [
        ("\"dunamu\"", "[]", "there is no `FRX.KRWUSD`"),
        (
            "\"dunamu\"",
            r#"[{"code":"FRX.KRWUSD","timestamp":1}]"#,
            "bad frame: missing field `basePrice`",
        ),
        (
            "\"dunamu\"",
            r#"[{"code":"FRX.KRWUSD","basePrice":1471.5,"timestamp":1763722801}]"#,
            "`timestamp` is no time: 1763722801",
        ),
        (
            "\"er-api\"",
            r#"{"result":"error","error-type":"unknown-code"}"#,
            "there is no success for USD, but `error` for ``",
        ),
        (
            "\"er-api\"",
            &ER_API.replace("USD\",\"rates", "EUR\",\"rates"),
            "there is no success for USD, but `success` for `EUR`",
        ),
        ("\"er-api\"", &ER_API.replace("KRW", "KPW"), "there is no `rates.KRW`"),
        (
            json,
            r#"{"r":1471.123456789,"t":1763683351}"#,
            "bad amount in `rate`: finer than 1e-8",
        ),
        (
            json,
            r#"{"r":null,"t":1763683351}"#,
            "bad amount in `rate`: not a decimal number",
        ),
        (json, r#"{"r":1471.5}"#, "there is no `/t`"),
        (
            json,
            r#"{"r":1471.5,"t":1763683351000}"#,
            "there is no time that can be read: 1763683351000",
        ),
        (
            json,
            r#"{"r":1471.5,"t":"yesterday"}"#,
            "there is no time that can be read: \"yesterday\"",
        ),
        (json, r#""text""#, "there is no `/r`"),
    ] {
        let got = read(format, text).unwrap_err();
        assert!(got.starts_with(want), "{text}: {got}");
    }
    for text in ["", "{", "\u{0}", "[[["] {
        for format in ["\"dunamu\"", "\"er-api\"", json] {
            assert!(read(format, text).is_err(), "{text}");
        }
    }
}

proptest! {
    /// Any bytes, and any damaged answer, are a quote or an error.
    #[test]
    fn f25_any_answer_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80), at in 0usize..900, byte in any::<u8>()) {
        let formats = [
            QuoteFormat::Dunamu,
            QuoteFormat::ErApi,
            QuoteFormat::Json { rate: "/rates/KRW".to_owned(), time: "/0/timestamp".to_owned(), time_unit: TimeUnit::Seconds },
        ];
        for format in &formats {
            let _ = quote::parse(format, &bytes);
            for text in [DUNAMU, ER_API] {
                let mut damaged = text.as_bytes().to_vec();
                if let Some(slot) = damaged.get_mut(at) {
                    *slot = byte;
                }
                let _ = quote::parse(format, &damaged);
            }
        }
    }
}

fn asking(
    server: &Server,
    extra: &str,
) -> (
    mpsc::Receiver<Input>,
    mpsc::UnboundedSender<crate::input::Command>,
    tokio::task::JoinHandle<()>,
) {
    let text = format!(
        "[[sources]]\nname = \"bank\"\nmax_age_ms = 1000\nfrom = {{ http = {{ url = \"{}/v1/forex/recent?codes=FRX.KRWUSD\", format = \"dunamu\", poll_ms = 10{extra} }} }}",
        server.base
    );
    let clock = Clock::system();
    let clients = Clients::new(clock.clone()).unwrap();
    let poller = Poller::new(&config(&text), &clients, clock).unwrap();
    assert!(!poller.is_empty());
    let (out, inputs) = mpsc::channel(4);
    let (commands, for_it) = mpsc::unbounded_channel();
    let task = tokio::spawn(Box::new(poller).run(out, for_it));
    (inputs, commands, task)
}

async fn next(inputs: &mut mpsc::Receiver<Input>) -> Said {
    let input = inputs.recv().await.expect("an input");
    assert_eq!(input.venue, VenueIx::NONE);
    match input.body {
        Body::Note(note) => match *note {
            Note::Fx(reading) => {
                assert_eq!(reading.source, "bank");
                reading.said
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_source_is_asked_again_and_again_whatever_it_says() {
    let server = Server::start(|number, _| match number {
        0 => Reply::new(200, DUNAMU),
        1 => Reply::new(500, "maintenance"),
        2 => Reply::new(200, "<html>"),
        3 => Reply::new(200, DUNAMU.replace("1471.50", "0")),
        _ => Reply::new(200, DUNAMU.replace("1471.50", "1472")),
    })
    .await;
    let (mut inputs, commands, task) = asking(&server, "");
    let quote = |rate: &str| Said::Quote {
        rate: Amount::parse(rate).unwrap(),
        ts_event: TimestampNs(1_763_722_801_000_000_000),
    };
    assert_eq!(next(&mut inputs).await, quote("1471.5"));
    for part in ["HTTP 500: maintenance", "bad frame"] {
        match next(&mut inputs).await {
            Said::Failed { reason } => assert!(reason.contains(part), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    // Absurd is not for the poller to judge.
    assert_eq!(next(&mut inputs).await, quote("0"));
    assert_eq!(next(&mut inputs).await, quote("1472"));
    assert_eq!(server.seen()[0], "/v1/forex/recent?codes=FRX.KRWUSD");
    drop(commands);
    task.await.unwrap();
    while inputs.recv().await.is_some() {}
}

#[tokio::test]
async fn f28_a_source_that_hangs_is_given_up_and_told() {
    let hold = Arc::new(Notify::new());
    let server = {
        let hold = Arc::clone(&hold);
        Server::start(move |_, _| Reply {
            hold: Some(Arc::clone(&hold)),
            ..Reply::new(200, DUNAMU)
        })
        .await
    };
    let (mut inputs, _commands, _task) = asking(&server, ", timeout_ms = 30");
    match next(&mut inputs).await {
        Said::Failed { reason } => assert!(reason.contains("longer than 30 ms"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sources_that_are_not_asked_need_no_poller() {
    let clock = Clock::system();
    let clients = Clients::new(clock.clone()).unwrap();
    let only_written = format!("{}\n", &THREE[THREE.find("[[sources]]\nname = \"written\"").unwrap()..]);
    assert!(Poller::new(&config(&only_written), &clients, clock).unwrap().is_empty());
}
