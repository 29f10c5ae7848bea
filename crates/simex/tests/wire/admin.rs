//! Faults that are asked for while the exchange runs.

use crossbook_simex::exchange::Venue;
use serde_json::{Value, json};

use crate::client::{Got, connect, get, http, send, start};

async fn admin(url: &str, method: reqwest::Method, path: &str, body: &str) -> Got {
    send(http().request(method, format!("{url}{path}")).body(body.to_owned())).await
}

#[tokio::test]
async fn a_fault_that_is_asked_for_begins_at_once_and_ends_when_told() {
    let server = start(|config| config.server.admin_port = Some(0)).await;
    let url = server.admin_url().unwrap();
    let post = |body: &'static str| {
        let url = url.clone();
        async move { admin(&url, reqwest::Method::POST, "/faults", body).await }
    };
    // Two answers of REST fail; TOML.
    let got = post("kind = \"status\"\nstatus = 503\nvenue = \"binance\"\npath = \"/api/v3/time\"\ncount = 2\n").await;
    assert_eq!((got.status, got.json()), (201, json!({"faults": [0]})));
    for want in [503, 503, 200] {
        assert_eq!(get(&server, Venue::Binance, "/api/v3/time").await.status, want);
    }
    // A market stands still until told otherwise; JSON.
    let got = post(r#"{"kind": "cancel-only", "venue": "binance", "markets": ["BTCUSDT"], "for_s": 1e9}"#).await;
    assert_eq!((got.status, got.json()), (201, json!({"faults": [1]})));
    let status = || async {
        let info = get(&server, Venue::Binance, "/api/v3/exchangeInfo?symbol=BTCUSDT")
            .await
            .json();
        info["symbols"][0]["status"].clone()
    };
    assert_eq!(status().await, "CANCEL_ONLY");
    let ended = admin(&url, reqwest::Method::DELETE, "/faults/1", "").await;
    assert_eq!((ended.status, ended.json()), (200, json!({"ended": [1]})));
    assert_eq!(status().await, "TRADING");
    // Maintenance is two faults.
    let got = post("kind = \"maintenance\"\nvenue = \"upbit\"\nfor_s = 0.2\n").await;
    assert_eq!(got.json(), json!({"faults": [2, 3]}));
    // What sockets carry out reaches those that are connected.
    let mut ws = connect(&server, Venue::Binance, "/ws/btcusdt@depth@100ms").await;
    ws.json().await;
    assert_eq!(
        post("kind = \"close\"\ncode = 1012\nvenue = \"binance\"\n")
            .await
            .status,
        201
    );
    let end = ws.end().await;
    assert!(format!("{end:?}").contains("Restart"), "{end:?}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_fault_is_refused_with_what_is_allowed() {
    let server = start(|config| config.server.admin_port = Some(0)).await;
    let url = server.admin_url().unwrap();
    let cases = [
        ("kind = \"nonsense\"", "`nonsense` is not one of reset, close"),
        ("at_s = 1", "kind: is missing"),
        (
            "kind = \"drop\"\ncolour = 1",
            "unknown key `colour`; allowed: kind, at_s",
        ),
        ("kind = \"slow\"\nms = 0", "ms: 0 is not a whole number in 1 to 3600000"),
        (
            "kind = \"halt\"\nmarkets = [\"KRW-NOPE\"]",
            "`KRW-NOPE` is not listed at any venue",
        ),
        (
            "kind = \"halt\"\nvenue = \"upbit\"\nmarkets = [\"BTCUSDT\"]",
            "`BTCUSDT` is not listed at Upbit",
        ),
        ("[[fault]]\nkind = \"drop\"", "without [[fault]]"),
        ("{\"kind\": ", "EOF while parsing"),
        ("kind = ", "TOML parse error"),
        ("", "kind: is missing"),
    ];
    for (body, want) in cases {
        let got = admin(&url, reqwest::Method::POST, "/faults", body).await;
        let error = got.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(got.status, 400, "{body}: {error}");
        assert!(error.contains(want), "{body:?} gave {error:?}");
    }
    let long = format!("kind = \"drop\" # {}", "x".repeat(1 << 16));
    assert_eq!(admin(&url, reqwest::Method::POST, "/faults", &long).await.status, 413);
    let routes = [
        ("GET", "/faults", 405),
        ("DELETE", "/faults/7", 404),
        ("DELETE", "/faults/x", 404),
        ("POST", "/", 404),
    ];
    for (method, path, status) in routes {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let got = admin(&url, method, path, "").await;
        assert_eq!(got.status, status, "{path}");
        assert_ne!(got.json()["error"], Value::Null);
    }
    let page = http()
        .post(format!("{url}/faults"))
        .header("origin", "http://example.com")
        .body("kind = \"halt\"");
    assert_eq!(send(page).await.status, 403);
    // Nobody is asked who did not say so.
    assert_eq!(start(|_| {}).await.admin_url(), None);
}
