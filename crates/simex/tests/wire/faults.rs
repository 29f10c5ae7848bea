//! Each fault of the wire as a client sees it.

use crossbook_simex::Server;
use crossbook_simex::exchange::Venue;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Ws, binance, connect, get, http, start_faulty};

async fn depth(server: &Server) -> Ws {
    connect(server, Venue::Binance, "/ws/btcusdt@depth@100ms").await
}

/// First and last ids of diffs, as they come.
async fn ids(ws: &mut Ws, count: usize) -> Vec<(u64, u64)> {
    let mut out = Vec::new();
    while out.len() < count {
        let diff = ws.json().await;
        out.push((diff["U"].as_u64().unwrap(), diff["u"].as_u64().unwrap()));
    }
    out
}

fn whole(ids: &[(u64, u64)]) -> bool {
    ids.windows(2).all(|pair| pair[1].0 == pair[0].1 + 1)
}

#[tokio::test]
async fn diffs_are_dropped_doubled_and_reordered() {
    for (kind, seen) in [("drop", "hole"), ("duplicate", "twice"), ("reorder", "back")] {
        let script = format!(
            "[[fault]]\nkind = \"{kind}\"\nat_s = 0.3\nfor_s = 60\ncount = 1\nsurface = \"stream\"\nmarkets = [\"BTCUSDT\"]\n"
        );
        let server = start_faulty(&script, |_| {}).await;
        let ids = ids(&mut depth(&server).await, 12).await;
        assert!(!whole(&ids), "{kind}: {ids:?}");
        let found = match seen {
            "hole" => ids.windows(2).any(|pair| pair[1].0 > pair[0].1 + 1),
            "twice" => ids.windows(2).any(|pair| pair[1] == pair[0]),
            _ => ids.windows(2).any(|pair| pair[1].1 < pair[0].0),
        };
        assert!(found, "{kind}: {ids:?}");
    }
}

#[tokio::test]
async fn frames_are_damaged() {
    for kind in ["cut", "bad-utf8", "garbage"] {
        let script = format!("[[fault]]\nkind = \"{kind}\"\nfor_s = 600\nsurface = \"stream\"\nvenue = \"upbit\"\n");
        let server = start_faulty(&script, |_| {}).await;
        let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
        ws.say(r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"]}]"#)
            .await;
        let Some(Ok(Message::Binary(bytes))) = ws.next().await else {
            panic!("{kind}: no frame")
        };
        assert!(serde_json::from_slice::<Value>(&bytes).is_err(), "{kind}");
    }
}

#[tokio::test]
async fn frames_gain_and_lose_fields_and_strangers_come_between() {
    let server = start_faulty("[[fault]]\nkind = \"new-field\"\nfor_s = 600\n", |_| {}).await;
    assert!(depth(&server).await.json().await.get("simexNew").is_some());
    let server = start_faulty("[[fault]]\nkind = \"missing-field\"\nfor_s = 600\n", |_| {}).await;
    let frame = depth(&server).await.json().await;
    assert_eq!((frame.get("E"), frame["e"].as_str()), (None, Some("depthUpdate")));
    let server = start_faulty("[[fault]]\nkind = \"unknown-kind\"\nfor_s = 600\n", |_| {}).await;
    let mut ws = depth(&server).await;
    assert_eq!(ws.json().await["e"], "simexUnknown");
    assert_eq!(ws.json().await["e"], "depthUpdate");
    let server = start_faulty(
        "[[fault]]\nkind = \"big-frame\"\nbytes = 3000000\nfor_s = 600\n",
        |_| {},
    )
    .await;
    let Some(Ok(message)) = depth(&server).await.next().await else {
        panic!("no frame")
    };
    assert_eq!(message.len(), 3_000_000);
}

#[tokio::test]
async fn a_connection_is_reset_in_the_middle_of_a_frame() {
    let script = "[[fault]]\nkind = \"reset\"\nmid_frame = true\nat_s = 0.5\nvenue = \"binance\"\n";
    let server = start_faulty(script, |_| {}).await;
    let mut ws = depth(&server).await;
    let error = loop {
        match ws.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("ended without an error"),
        }
    };
    assert!(matches!(&error, Error::Io(_) | Error::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn a_close_frame_comes_with_its_code() {
    let script = "[[fault]]\nkind = \"close\"\ncode = 1012\nat_s = 0.3\n";
    let server = start_faulty(script, |_| {}).await;
    let Some(Message::Close(Some(frame))) = depth(&server).await.end().await else {
        panic!("no close frame")
    };
    assert_eq!(u16::from(frame.code), 1012);
}

#[tokio::test]
async fn binance_says_that_it_shuts_down() {
    let script = "[[fault]]\nkind = \"server-shutdown\"\nclose_after_ms = 200\nat_s = 0.3\nvenue = \"binance\"\n";
    let server = start_faulty(script, |_| {}).await;
    let mut ws = connect(&server, Venue::Binance, "/stream?streams=btcusdt@depth@100ms").await;
    let said = ws.until(|frame| frame["stream"] == "!serverShutdown").await;
    assert_eq!(said["data"]["e"], "serverShutdown");
    assert!(matches!(ws.end().await, Some(Message::Close(_))));
}

#[tokio::test]
async fn pings_come_in_a_flood() {
    let script = "[[fault]]\nkind = \"ping-flood\"\npings = 50\nat_s = 0.3\nvenue = \"upbit\"\n";
    let server = start_faulty(script, |_| {}).await;
    let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
    let mut pings = 0;
    while pings < 50 {
        pings += usize::from(matches!(ws.next().await, Some(Ok(Message::Ping(_)))));
    }
}

#[tokio::test]
async fn connections_and_handshakes_are_refused() {
    let server = start_faulty("[[fault]]\nkind = \"refuse\"\nfor_s = 600\n", |_| {}).await;
    let url = format!("{}/websocket/v1", server.ws_url(Venue::Upbit));
    assert!(matches!(
        tokio_tungstenite::connect_async(&url).await,
        Err(Error::Io(_) | Error::Protocol(_))
    ));
    let server = start_faulty("[[fault]]\nkind = \"handshake-drop\"\nfor_s = 600\n", |_| {}).await;
    let url = format!("{}/websocket/v1", server.ws_url(Venue::Upbit));
    assert!(matches!(
        tokio_tungstenite::connect_async(&url).await,
        Err(Error::Io(_) | Error::Protocol(_))
    ));
    let script = "[[fault]]\nkind = \"handshake-status\"\nstatus = 429\nretry_after_s = 7\nfor_s = 600\n";
    let server = start_faulty(script, |_| {}).await;
    let url = format!("{}/websocket/v1", server.ws_url(Venue::Upbit));
    let Err(Error::Http(response)) = tokio_tungstenite::connect_async(&url).await else {
        panic!("not refused")
    };
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
}

#[tokio::test]
async fn a_subscription_is_accepted_and_nothing_comes_or_an_error_does() {
    let script = "[[fault]]\nkind = \"no-data\"\nfor_s = 600\nmarkets = [\"KRW-BTC\"]\n";
    let server = start_faulty(script, |_| {}).await;
    let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
    ws.say(r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC","KRW-ETH"]}]"#)
        .await;
    for _ in 0..20 {
        assert_eq!(ws.json().await["code"], "KRW-ETH");
    }
    let server = start_faulty("[[fault]]\nkind = \"error-instead\"\nfor_s = 600\n", |_| {}).await;
    let mut ws = connect(&server, Venue::Upbit, "/websocket/v1").await;
    ws.say(r#"[{"ticket":"t"},{"type":"orderbook","codes":["KRW-BTC"]}]"#)
        .await;
    assert!(ws.json().await.get("error").is_some());
}

#[tokio::test]
async fn silence_leaves_the_socket_open_and_ends() {
    let script = "[[fault]]\nkind = \"silence\"\nat_s = 0.4\nfor_s = 1.5\nvenue = \"binance\"\nsurface = \"stream\"\n";
    let server = start_faulty(script, |_| {}).await;
    let mut ws = depth(&server).await;
    let mut last = ws.json().await["E"].as_i64().unwrap();
    let mut longest = 0;
    while longest < 1_000 {
        let at = ws.json().await["E"].as_i64().unwrap();
        (longest, last) = (longest.max(at - last), at);
    }
}

#[tokio::test]
async fn everything_comes_late_or_in_fragments() {
    let script = "[[fault]]\nkind = \"delay\"\nms = 700\njitter_ms = 100\nfor_s = 600\nsurface = \"stream\"\n";
    let server = start_faulty(script, |_| {}).await;
    let mut ws = depth(&server).await;
    for _ in 0..5 {
        let sent = ws.json().await["E"].as_i64().unwrap();
        let late = crate::client::now_ms(&server) - sent;
        assert!(late >= 650, "{late} ms");
    }
    let server = start_faulty("[[fault]]\nkind = \"fragments\"\nbytes = 7\nfor_s = 600\n", |_| {}).await;
    let ids = ids(&mut depth(&server).await, 5).await;
    assert!(whole(&ids), "{ids:?}");
}

#[tokio::test]
async fn pings_stay_unanswered() {
    use futures_util::SinkExt as _;
    for (kind, answered) in [("no-pong", false), ("slow", true)] {
        let extra = if kind == "slow" { "ms = 1\n" } else { "" };
        let script = format!("[[fault]]\nkind = \"{kind}\"\n{extra}for_s = 600\n");
        let server = start_faulty(&script, |_| {}).await;
        let mut ws = depth(&server).await;
        ws.0.send(Message::Ping("here".into())).await.unwrap();
        let mut pong = false;
        for _ in 0..6 {
            pong |= matches!(ws.next().await, Some(Ok(Message::Pong(_))));
        }
        assert_eq!(pong, answered, "{kind}");
    }
}

#[tokio::test]
async fn requests_fail_as_the_script_says() {
    let script = "[[fault]]\nkind = \"status\"\nstatus = 418\nretry_after_s = 3\nfor_s = 600\nsurface = \"rest\"\npath = \"/api/v3/depth\"\n";
    let server = start_faulty(script, |_| {}).await;
    let got = get(&server, Venue::Binance, "/api/v3/depth?symbol=BTCUSDT").await;
    assert_eq!((got.status, got.header("retry-after")), (418, Some("3")));
    assert_eq!(get(&server, Venue::Binance, "/api/v3/ping").await.status, 200);

    let server = start_faulty("[[fault]]\nkind = \"slow\"\nms = 500\nfor_s = 600\n", |_| {}).await;
    let began = std::time::Instant::now();
    assert_eq!(get(&server, Venue::Binance, "/api/v3/ping").await.status, 200);
    assert!(began.elapsed().as_millis() >= 500);

    let server = start_faulty("[[fault]]\nkind = \"lost\"\nfor_s = 600\n", |_| {}).await;
    let url = format!("{}/api/v3/ping", server.rest_url(Venue::Binance));
    assert!(http().get(url).send().await.is_err());

    let script = "[[fault]]\nkind = \"stale-snapshot\"\nage_ms = 300\nfor_s = 600\n";
    let server = start_faulty(script, |_| {}).await;
    let (mut ids, path) = (Vec::new(), "/api/v3/depth?symbol=BTCUSDT&limit=5");
    for _ in 0..12 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        ids.push(
            get(&server, Venue::Binance, path).await.json()["lastUpdateId"]
                .as_u64()
                .unwrap(),
        );
    }
    assert!(ids.windows(2).any(|pair| pair[1] < pair[0]), "{ids:?}");
}

#[tokio::test]
async fn an_order_may_have_been_carried_out_although_its_answer_is_an_error() {
    for (applied, count) in [(true, 1), (false, 0)] {
        let script = format!(
            "[[fault]]\nkind = \"status\"\nstatus = 503\napplied = {applied}\nfor_s = 600\ncount = 1\npath = \"/api/v3/order\"\n"
        );
        let server = start_faulty(&script, |_| {}).await;
        let order = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=10000";
        assert_eq!(binance(&server, "POST", "/api/v3/order", order).await.status, 503);
        let open = binance(&server, "GET", "/api/v3/openOrders", "symbol=BTCUSDT")
            .await
            .json();
        assert_eq!(open.as_array().unwrap().len(), count);
    }
}

#[tokio::test]
async fn the_exchanges_clock_is_off_everywhere_at_once() {
    let script = "[[fault]]\nkind = \"clock\"\noffset_ms = 60000\nfor_s = 600\n";
    let server = start_faulty(script, |_| {}).await;
    let told = get(&server, Venue::Binance, "/api/v3/time").await.json()["serverTime"]
        .as_i64()
        .unwrap();
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    assert!((told - wall - 60_000).abs() < 10_000, "{}", told - wall);
    let stamp = depth(&server).await.json().await["E"].as_i64().unwrap();
    assert!((stamp - told).abs() < 10_000);
}
