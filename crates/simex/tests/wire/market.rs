//! Public market data of both venues, over REST and WebSocket.

use std::collections::BTreeMap;

use crossbook_simex::exchange::Venue;
use serde_json::{Value, json};

use crate::client::{connect, get, http, start};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[tokio::test]
async fn upbit_answers_what_anyone_may_ask() {
    let server = start(|_| {}).await;
    let markets = get(&server, Venue::Upbit, "/v1/market/all?is_details=true").await;
    assert_eq!(markets.status, 200);
    assert_eq!(markets.json()[0]["market"], "KRW-BTC");
    assert_eq!(markets.json()[0]["market_event"]["warning"], false);
    assert!(
        markets
            .header("remaining-req")
            .unwrap()
            .starts_with("group=market; min=600; sec=9")
    );

    let books = get(&server, Venue::Upbit, "/v1/orderbook?markets=KRW-BTC,KRW-USDT").await;
    let books = books.json();
    assert_eq!(books.as_array().unwrap().len(), 2);
    let units = books[0]["orderbook_units"].as_array().unwrap();
    assert_eq!(units.len(), 30);
    assert!(units[0]["ask_price"].as_f64() > units[0]["bid_price"].as_f64());
    assert!(units[0]["ask_price"].is_number());
    let five = get(&server, Venue::Upbit, "/v1/orderbook?markets=KRW-BTC&count=5").await;
    assert_eq!(five.json()[0]["orderbook_units"].as_array().unwrap().len(), 5);

    let instruments = get(
        &server,
        Venue::Upbit,
        "/v1/orderbook/instruments?markets=KRW-BTC,USDT-BTC",
    )
    .await
    .json();
    assert_eq!(instruments[0]["tick_size"], "1000");
    assert_eq!(
        instruments[0]["supported_levels"],
        json!(["0", "10000", "100000", "1000000", "10000000", "100000000"])
    );
    assert_eq!(instruments[1]["supported_levels"], json!(["0"]));
    let grouped = get(&server, Venue::Upbit, "/v1/orderbook?markets=KRW-BTC&level=1000000")
        .await
        .json();
    for unit in grouped[0]["orderbook_units"].as_array().unwrap() {
        assert_eq!(unit["ask_price"].as_f64().unwrap() % 1e6, 0.0);
        assert_eq!(unit["bid_price"].as_f64().unwrap() % 1e6, 0.0);
    }
    // A step that is not offered: an empty list.
    assert_eq!(
        get(&server, Venue::Upbit, "/v1/orderbook?markets=KRW-BTC&level=7")
            .await
            .json(),
        json!([])
    );
}

#[tokio::test]
async fn upbit_names_errors_of_public_endpoints_by_number() {
    let server = start(|_| {}).await;
    let cases = [
        ("/v1/orderbook", 400),
        ("/v1/orderbook?markets=KRW-NOSUCH", 404),
        ("/v1/orderbook?markets=KRW-BTC&count=31", 400),
        ("/v1/orderbook?markets=KRW-BTC&level=x", 400),
        ("/v1/trades/ticks?market=KRW-BTC&count=501", 400),
        ("/v1/candles/minutes/7?market=KRW-BTC", 404),
    ];
    for (path, status) in cases {
        let got = get(&server, Venue::Upbit, path).await;
        assert_eq!(got.status, status, "{path}");
        assert_eq!(got.json()["error"]["name"], status, "{path}");
    }
}

#[tokio::test]
async fn upbits_figures_follow_its_trades() {
    let server = start(|_| {}).await;
    let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
    ws.say(r#"[{"ticket":"t"},{"type":"trade","codes":["KRW-BTC"],"is_only_realtime":true}]"#)
        .await;
    let trade = ws.json().await;
    assert_eq!((&trade["type"], &trade["code"]), (&json!("trade"), &json!("KRW-BTC")));
    assert!(["ASK", "BID"].contains(&text(&trade["ask_bid"])));
    let ticks = get(&server, Venue::Upbit, "/v1/trades/ticks?market=KRW-BTC&count=500")
        .await
        .json();
    let seen = ticks
        .as_array()
        .unwrap()
        .iter()
        .find(|tick| tick["sequential_id"] == trade["sequential_id"]);
    assert_eq!(seen.unwrap()["trade_price"].as_f64(), trade["trade_price"].as_f64());
    let ticker = get(&server, Venue::Upbit, "/v1/ticker?markets=KRW-BTC").await.json();
    assert!(ticker[0]["acc_trade_price_24h"].as_f64() > Some(0.0));
    let all = get(&server, Venue::Upbit, "/v1/ticker/all?quote_currencies=USDT")
        .await
        .json();
    assert!(
        all.as_array()
            .unwrap()
            .iter()
            .all(|row| text(&row["market"]).starts_with("USDT-"))
    );
    let candles = get(&server, Venue::Upbit, "/v1/candles/minutes/1?market=KRW-BTC&count=200")
        .await
        .json();
    assert!(candles[0]["candle_acc_trade_volume"].as_f64() > Some(0.0));
}

#[tokio::test]
async fn quotation_answers_are_compressed_on_request() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = start(|_| {}).await;
    let mut stream = tokio::net::TcpStream::connect(server.address(Venue::Upbit))
        .await
        .unwrap();
    let request =
        "GET /v1/orderbook?markets=KRW-BTC HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let head = String::from_utf8_lossy(&answer[..300]).to_lowercase();
    assert!(head.contains("content-encoding: gzip"), "{head}");
}

#[tokio::test]
async fn upbit_streams_in_the_format_that_was_asked_for() {
    let server = start(|_| {}).await;
    let cases = [
        ("DEFAULT", false, "type", "stream_type"),
        ("SIMPLE", false, "ty", "st"),
        ("JSON_LIST", true, "type", "stream_type"),
        ("SIMPLE_LIST", true, "ty", "st"),
    ];
    for (format, list, kind, stream_type) in cases {
        let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
        ws.say(&format!(
            r#"[{{"ticket":"t"}},{{"format":"{format}"}},{{"type":"orderbook","codes":["KRW-BTC.5"]}}]"#
        ))
        .await;
        for want in ["SNAPSHOT", "REALTIME"] {
            let (mut frame, binary) = ws.data().await;
            assert!(binary, "frames of the server are binary");
            assert_eq!(frame.is_array(), list, "{format}");
            if list {
                frame = frame[0].take();
            }
            assert_eq!(
                (text(&frame[kind]), text(&frame[stream_type])),
                ("orderbook", want),
                "{format}"
            );
            let units = &frame[if kind == "ty" { "obu" } else { "orderbook_units" }];
            assert_eq!(units.as_array().unwrap().len(), 5, "{format}");
        }
    }
}

#[tokio::test]
async fn upbit_sends_snapshot_or_stream_alone_in_both_spellings() {
    let server = start(|_| {}).await;
    for flag in ["is_only_realtime", "isOnlyRealtime"] {
        let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
        ws.say(&format!(
            r#"[{{"ticket":"t"}},{{"type":"orderbook","codes":["KRW-BTC"],"{flag}":true}}]"#
        ))
        .await;
        assert_eq!(ws.json().await["stream_type"], "REALTIME");
    }
    for flag in ["is_only_snapshot", "isOnlySnapshot"] {
        let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
        ws.say(&format!(
            r#"[{{"ticket":"t"}},{{"type":"orderbook","codes":["KRW-BTC"],"{flag}":true}}]"#
        ))
        .await;
        assert_eq!(ws.json().await["stream_type"], "SNAPSHOT");
        ws.say("PING").await;
        assert_eq!(ws.json().await, json!({"status": "UP"}), "nothing came in between");
    }
}

#[tokio::test]
async fn upbit_answers_bad_requests_with_error_objects() {
    let server = start(|config| config.server.limits = false).await;
    let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
    let cases = [
        ("hello", "WRONG_FORMAT"),
        (r#"{"ticket":"t"}"#, "WRONG_FORMAT"),
        (r#"[{"type":"trade","codes":["KRW-BTC"]}]"#, "NO_TICKET"),
        (r#"[{"ticket":"t"}]"#, "NO_TYPE"),
        (r#"[{"ticket":"t"},{"type":"trade"}]"#, "NO_CODES"),
        (
            r#"[{"ticket":"t"},{"type":"weather","codes":["KRW-BTC"]}]"#,
            "INVALID_PARAM",
        ),
        (r#"[{"ticket":"t"},{"type":"myOrder"}]"#, "INVALID_PARAM"),
    ];
    for (sent, name) in cases {
        ws.say(sent).await;
        assert_eq!(ws.json().await["error"]["name"], name, "{sent}");
    }
    // Codes that are not listed, in lower case, or with a step that is not offered: silence.
    ws.say(r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-NOSUCH","krw-btc"]},{"type":"orderbook","codes":["KRW-BTC"],"level":7}]"#)
        .await;
    ws.say(r#"[{"method":"LIST_SUBSCRIPTIONS"},{"ticket":"mine"}]"#).await;
    let listed = ws.json().await;
    assert_eq!(
        (&listed["method"], &listed["ticket"]),
        (&json!("LIST_SUBSCRIPTIONS"), &json!("mine"))
    );
    assert_eq!(listed["result"][1], json!({"type": "orderbook", "codes": ["KRW-BTC"]}));
}

#[tokio::test]
async fn binance_answers_what_anyone_may_ask() {
    let server = start(|_| {}).await;
    let venue = Venue::Binance;
    let depth = get(&server, venue, "/api/v3/depth?symbol=BTCUSDT&limit=20").await;
    assert_eq!(depth.header("x-mbx-used-weight-1m"), Some("5"));
    let depth = depth.json();
    assert_eq!(depth["bids"].as_array().unwrap().len(), 20);
    assert!(depth["bids"][0][0].is_string());
    let info = get(&server, venue, "/api/v3/exchangeInfo?symbol=BTCUSDT").await;
    assert_eq!(info.header("x-mbx-used-weight-1m"), Some("25"));
    let symbol = &info.json()["symbols"][0];
    assert_eq!(
        (text(&symbol["symbol"]), text(&symbol["status"])),
        ("BTCUSDT", "TRADING")
    );
    assert_eq!(symbol["filters"][0]["filterType"], "PRICE_FILTER");
    let ticker = get(&server, venue, "/api/v3/ticker/bookTicker?symbol=BTCUSDT")
        .await
        .json();
    assert_eq!(ticker["symbol"], "BTCUSDT");
    let all = get(&server, venue, "/api/v3/ticker/24hr").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let some = get(&server, venue, "/api/v3/ticker/price?symbols=%5B%22ETHUSDT%22%5D")
        .await
        .json();
    assert_eq!(some[0]["symbol"], "ETHUSDT");
    let milli = get(&server, venue, "/api/v3/time").await.json()["serverTime"]
        .as_i64()
        .unwrap();
    let request = http()
        .get(format!("{}/api/v3/time", server.rest_url(venue)))
        .header("X-MBX-TIME-UNIT", "MICROSECOND");
    let micro = crate::client::send(request).await.json()["serverTime"]
        .as_i64()
        .unwrap();
    assert!((micro / 1_000 - milli).abs() < 60_000, "{micro} {milli}");
    let cases = [
        ("/api/v3/depth", -1102),
        ("/api/v3/depth?symbol=NOSUCH", -1121),
        ("/api/v3/depth?symbol=BTCUSDT&limit=x", -1100),
        ("/api/v3/klines?symbol=BTCUSDT&interval=7m", -1120),
    ];
    for (path, code) in cases {
        let got = get(&server, venue, path).await;
        assert_eq!((got.status, got.json()["code"].as_i64()), (400, Some(code)), "{path}");
    }
}

/// Quantities by price, from pairs of texts.
type Side = BTreeMap<String, String>;

fn apply(side: &mut Side, pairs: &Value) {
    for pair in pairs.as_array().unwrap() {
        let (price, qty) = (text(&pair[0]).to_owned(), text(&pair[1]).to_owned());
        if qty.bytes().all(|byte| byte == b'0' || byte == b'.') {
            side.remove(&price);
        } else {
            side.insert(price, qty);
        }
    }
}

#[tokio::test]
async fn binances_diffs_on_a_snapshot_make_the_book() {
    let server = start(|_| {}).await;
    let mut ws = connect(&server, Venue::Binance, "/ws/btcusdt@depth@100ms").await;
    let first = ws.json().await;
    assert_eq!((text(&first["e"]), text(&first["s"])), ("depthUpdate", "BTCUSDT"));
    let path = "/api/v3/depth?symbol=BTCUSDT&limit=5000";
    let snapshot = get(&server, Venue::Binance, path).await.json();
    let mut id = snapshot["lastUpdateId"].as_u64().unwrap();
    assert!(
        id >= first["U"].as_u64().unwrap(),
        "a snapshot is not older than the stream"
    );
    let (mut bids, mut asks) = (Side::new(), Side::new());
    apply(&mut bids, &snapshot["bids"]);
    apply(&mut asks, &snapshot["asks"]);
    let mut before = first["u"].as_u64().unwrap();
    for _ in 0..10 {
        let diff = ws.json().await;
        let (first, last) = (diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap());
        assert_eq!(first, before + 1, "diffs follow each other without a hole");
        before = last;
        if last > id {
            apply(&mut bids, &diff["b"]);
            apply(&mut asks, &diff["a"]);
            id = last;
        }
    }
    // The exchange is ahead of the stream by what changed since the last diff; go on until both are at one id.
    for _ in 0..200 {
        let now = get(&server, Venue::Binance, path).await.json();
        while id < now["lastUpdateId"].as_u64().unwrap() {
            let diff = ws.json().await;
            apply(&mut bids, &diff["b"]);
            apply(&mut asks, &diff["a"]);
            id = diff["u"].as_u64().unwrap();
        }
        if id == now["lastUpdateId"].as_u64().unwrap() {
            let (mut want_bids, mut want_asks) = (Side::new(), Side::new());
            apply(&mut want_bids, &now["bids"]);
            apply(&mut want_asks, &now["asks"]);
            assert_eq!((bids, asks), (want_bids, want_asks));
            return;
        }
    }
    panic!("stream and snapshot were never at one id");
}

#[tokio::test]
async fn binances_combined_streams_name_what_they_carry() {
    let server = start(|_| {}).await;
    let streams = "btcusdt@depth5@100ms/ethusdt@bookTicker/btcusdt@trade/btcusdt@aggTrade/btcusdt@depth";
    let path = format!("/stream?streams={streams}&timeUnit=MICROSECOND");
    let mut ws = connect(&server, Venue::Binance, &path).await;
    for name in streams.split('/') {
        let frame = ws.until(|frame| frame["stream"] == name).await;
        let data = &frame["data"];
        match name.split_once('@').unwrap().1 {
            "depth5@100ms" => assert_eq!(data["bids"].as_array().unwrap().len(), 5),
            "bookTicker" => assert_eq!(data["s"], "ETHUSDT"),
            "depth" => assert!(data["E"].as_i64().unwrap() > 1_000_000_000_000_000, "microseconds"),
            _ => assert_eq!(data["s"], "BTCUSDT"),
        }
    }
    ws.say(r#"{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":7}"#)
        .await;
    assert_eq!(
        ws.until(|frame| frame.get("id").is_some()).await,
        json!({"result": null, "id": 7})
    );
    ws.say(r#"{"method":"LIST_SUBSCRIPTIONS","id":8}"#).await;
    let listed = ws.until(|frame| frame.get("id").is_some()).await;
    assert_eq!(listed["result"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn perpetuals_chain_their_diffs_and_tell_marks() {
    let server = start(|_| {}).await;
    let venue = Venue::BinanceUsdm;
    let mut ws = connect(
        &server,
        venue,
        "/stream?streams=btcusdt@depth@100ms/btcusdt@markPrice@1s",
    )
    .await;
    let first = ws.until(|frame| frame["stream"] == "btcusdt@depth@100ms").await;
    let next = ws.until(|frame| frame["stream"] == "btcusdt@depth@100ms").await;
    assert_eq!(next["data"]["pu"], first["data"]["u"]);
    let mark = ws.until(|frame| frame["stream"] == "btcusdt@markPrice@1s").await;
    assert_eq!(mark["data"]["e"], "markPriceUpdate");
    let premium = get(&server, venue, "/fapi/v1/premiumIndex?symbol=BTCUSDT").await.json();
    assert_eq!(premium["symbol"], "BTCUSDT");
    let info = get(&server, venue, "/fapi/v1/exchangeInfo").await.json();
    assert_eq!(info["symbols"][0]["contractType"], "PERPETUAL");
    let depth = get(&server, venue, "/fapi/v1/depth?symbol=BTCUSDT&limit=10")
        .await
        .json();
    assert_eq!(depth["asks"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn the_websocket_api_answers_as_rest_does() {
    let server = start(|_| {}).await;
    let mut ws = connect(&server, Venue::Binance, "/ws-api/v3").await;
    ws.say(r#"{"id":"a","method":"depth","params":{"symbol":"BTCUSDT","limit":5}}"#)
        .await;
    let depth = ws.json().await;
    assert_eq!((&depth["id"], &depth["status"]), (&json!("a"), &json!(200)));
    assert_eq!(depth["result"]["bids"].as_array().unwrap().len(), 5);
    ws.say(r#"{"id":1,"method":"depth","params":{"symbol":"NOSUCH"}}"#)
        .await;
    let refused = ws.json().await;
    assert_eq!(
        (&refused["status"], &refused["error"]["code"]),
        (&json!(400), &json!(-1121))
    );
    ws.say("nonsense").await;
    assert_eq!(ws.json().await["id"], Value::Null);
}
