//! Binance's signed requests, orders, and user data.

use crossbook_simex::config::AccountConfig;
use crossbook_simex::exchange::Venue;
use serde_json::{Value, json};

use crate::client::{binance, connect, far_below, hmac_hex, http, now_ms, send, start, user_stream};

#[tokio::test]
async fn binance_takes_and_refuses_signatures() {
    let server = start(|_| {}).await;
    let now = now_ms(&server);
    let sign = |text: String, secret: &str| format!("{text}&signature={}", hmac_hex(secret, &text));
    let cases = [
        (
            "good",
            sign(format!("timestamp={now}"), "binance-secret"),
            Some("binance-key"),
            200,
            0,
        ),
        (
            "another secret",
            sign(format!("timestamp={now}"), "else"),
            Some("binance-key"),
            400,
            -1022,
        ),
        ("unsigned", format!("timestamp={now}"), Some("binance-key"), 400, -1102),
        (
            "no timestamp",
            sign("a=b".to_owned(), "binance-secret"),
            Some("binance-key"),
            400,
            -1102,
        ),
        (
            "late",
            sign(format!("timestamp={}", now - 10_000), "binance-secret"),
            Some("binance-key"),
            400,
            -1021,
        ),
        (
            "early",
            sign(format!("timestamp={}", now + 60_000), "binance-secret"),
            Some("binance-key"),
            400,
            -1021,
        ),
        (
            "late, in a wide window",
            sign(format!("timestamp={}&recvWindow=60000", now - 10_000), "binance-secret"),
            Some("binance-key"),
            200,
            0,
        ),
        (
            "no key",
            sign(format!("timestamp={now}"), "binance-secret"),
            None,
            401,
            -2014,
        ),
        (
            "unknown key",
            sign(format!("timestamp={now}"), "binance-secret"),
            Some("nobody"),
            401,
            -2015,
        ),
    ];
    for (what, query, key, status, code) in cases {
        let url = format!("{}/api/v3/account?{query}", server.rest_url(Venue::Binance));
        let mut request = http().get(url);
        if let Some(key) = key {
            request = request.header("X-MBX-APIKEY", key);
        }
        let got = send(request).await;
        assert_eq!(got.status, status, "{what}: {}", got.text);
        if status != 200 {
            assert_eq!(got.json()["code"], code, "{what}");
        }
    }
    // Half in the query, half in the body, signed as one text without a separator.
    let (query, body) = (
        "symbol=BTCUSDT&side=BUY",
        format!("type=MARKET&quoteOrderQty=100&timestamp={now}&recvWindow=60000"),
    );
    let signature = hmac_hex("binance-secret", &format!("{query}{body}"));
    let url = format!("{}/api/v3/order/test?{query}", server.rest_url(Venue::Binance));
    let request = http()
        .post(url)
        .header("X-MBX-APIKEY", "binance-key")
        .body(format!("{body}&signature={signature}"));
    let got = send(request).await;
    assert_eq!((got.status, got.text.as_str()), (200, "{}"));
}

#[tokio::test]
async fn a_binance_order_lives_and_its_owner_hears_of_it() {
    let server = start(|_| {}).await;
    let (mut ws, subscribe) = user_stream(&server).await;
    ws.say(&subscribe).await;
    assert_eq!(ws.json().await["result"], json!({"subscriptionId": 0}));
    ws.say(&subscribe).await;
    assert_eq!(ws.json().await["error"]["code"], -2035);

    let price = far_below(&server, Venue::Binance).await;
    let order =
        format!("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price={price}&newClientOrderId=mine");
    let placed = binance(&server, "POST", "/api/v3/order", &order).await;
    assert_eq!(placed.status, 200, "{}", placed.text);
    assert_eq!(placed.header("x-mbx-order-count-10s"), Some("1"));
    let placed = placed.json();
    assert_eq!((&placed["status"], &placed["fills"]), (&json!("NEW"), &json!([])));
    let again = binance(&server, "POST", "/api/v3/order", &order).await.json();
    assert_eq!(
        (&again["code"], &again["msg"]),
        (&json!(-2010), &json!("Duplicate order sent."))
    );
    let open = binance(&server, "GET", "/api/v3/openOrders", "symbol=BTCUSDT")
        .await
        .json();
    assert_eq!(open[0]["clientOrderId"], "mine");
    let cancelled = binance(
        &server,
        "DELETE",
        "/api/v3/order",
        "symbol=BTCUSDT&origClientOrderId=mine",
    )
    .await
    .json();
    assert_eq!(
        (&cancelled["status"], &cancelled["origClientOrderId"]),
        (&json!("CANCELED"), &json!("mine"))
    );
    let gone = binance(
        &server,
        "DELETE",
        "/api/v3/order",
        "symbol=BTCUSDT&origClientOrderId=mine",
    )
    .await
    .json();
    assert_eq!(gone["code"], -2011);
    let unknown = binance(&server, "GET", "/api/v3/order", "symbol=BTCUSDT&orderId=999999")
        .await
        .json();
    assert_eq!(unknown["code"], -2013);
    let report = |frame: &Value| frame["event"]["e"] == "executionReport";
    let news = ws.until(report).await;
    assert_eq!(
        (&news["event"]["x"], &news["event"]["c"]),
        (&json!("NEW"), &json!("mine"))
    );
    let news = ws.until(report).await;
    assert_eq!(
        (&news["event"]["x"], &news["event"]["C"]),
        (&json!("CANCELED"), &json!("mine"))
    );

    let taken = binance(
        &server,
        "POST",
        "/api/v3/order",
        "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.01",
    )
    .await
    .json();
    assert_eq!(taken["status"], "FILLED");
    let fills = taken["fills"].as_array().unwrap();
    let traded = ws.until(|frame| frame["event"]["x"] == "TRADE").await;
    assert_eq!(traded["event"]["t"], fills[0]["tradeId"]);
    assert_eq!(traded["event"]["m"], false);
    let position = ws.until(|frame| frame["event"]["e"] == "outboundAccountPosition").await;
    assert!(
        position["event"]["B"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["a"] == "USDT" || row["a"] == "BTC")
    );
    let query = format!("symbol=BTCUSDT&orderId={}", taken["orderId"]);
    let mine = binance(&server, "GET", "/api/v3/myTrades", &query).await.json();
    assert_eq!(mine.as_array().unwrap().len(), fills.len());
    let account = binance(&server, "GET", "/api/v3/account", "omitZeroBalances=true")
        .await
        .json();
    assert!(
        account["balances"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["asset"] == "USDT")
    );
    let rate = binance(&server, "GET", "/api/v3/rateLimit/order", "").await.json();
    assert!(rate[0]["count"].as_u64() >= Some(2));
}

#[tokio::test]
async fn binance_names_what_is_wrong_with_an_order() {
    let server = start(|config| config.server.limits = false).await;
    let base = "symbol=BTCUSDT&side=BUY&";
    let limit = "type=LIMIT&timeInForce=GTC&";
    let cases = [
        (
            format!("{base}{limit}quantity=0.01&price=50000.001"),
            -1013,
            "PRICE_FILTER",
        ),
        (format!("{base}{limit}quantity=0.000001&price=50000"), -1013, "LOT_SIZE"),
        (format!("{base}{limit}quantity=0.00001&price=50000"), -1013, "NOTIONAL"),
        (
            format!("{base}{limit}quantity=90&price=50000"),
            -2010,
            "insufficient balance",
        ),
        (
            format!("{base}type=LIMIT_MAKER&quantity=0.001&price=400000"),
            -2010,
            "immediately match",
        ),
        (
            format!("symbol=NOSUCH&side=BUY&{limit}quantity=1&price=1"),
            -1121,
            "Invalid symbol",
        ),
        (format!("{base}{limit}quantity=0.01"), -1102, "price"),
    ];
    for (query, code, word) in cases {
        for path in ["/api/v3/order", "/api/v3/order/test"] {
            let got = binance(&server, "POST", path, &query).await;
            let error = got.json();
            assert_eq!(
                (got.status, &error["code"]),
                (400, &json!(code)),
                "{path} {query}: {error}"
            );
            assert!(error["msg"].as_str().unwrap().contains(word), "{error}");
        }
    }
}

#[tokio::test]
async fn binance_cancels_and_replaces_in_one_go() {
    let server = start(|config| config.server.limits = false).await;
    let price = far_below(&server, Venue::Binance).await;
    let order = format!("symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price={price}");
    let first = binance(&server, "POST", "/api/v3/order", &order).await.json();
    let replace = async |mode: &str, id: &Value, quantity: &str| {
        let order = order.replace("0.01", quantity);
        let query = format!("{order}&cancelReplaceMode={mode}&cancelOrderId={id}");
        binance(&server, "POST", "/api/v3/order/cancelReplace", &query).await
    };
    let done = replace("STOP_ON_FAILURE", &first["orderId"], "0.02").await;
    assert_eq!(done.status, 200, "{}", done.text);
    let done = done.json();
    assert_eq!(done["cancelResponse"]["status"], "CANCELED");
    let second = &done["newOrderResponse"]["orderId"];
    // The first is gone: with STOP nothing is done, with ALLOW the new order is placed all the same.
    let stopped = replace("STOP_ON_FAILURE", &first["orderId"], "0.02").await;
    assert_eq!((stopped.status, &stopped.json()["code"]), (400, &json!(-2022)));
    assert_eq!(stopped.json()["data"]["newOrderResult"], "NOT_ATTEMPTED");
    let partial = replace("ALLOW_FAILURE", &first["orderId"], "0.02").await;
    assert_eq!((partial.status, &partial.json()["code"]), (409, &json!(-2021)));
    let failed = replace("STOP_ON_FAILURE", second, "99").await;
    assert_eq!(
        (failed.status, &failed.json()["data"]["cancelResult"]),
        (409, &json!("SUCCESS"))
    );
}

#[tokio::test]
async fn an_ed25519_key_logs_on_and_a_shared_secret_cannot() {
    use base64::Engine as _;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend_from_slice(pair.public_key().as_ref());
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", encode(&der));
    let server = start(|config| {
        config.accounts = config.accounts_or_default();
        config.accounts.push(AccountConfig {
            venue: Venue::Binance,
            access_key: "ed".to_owned(),
            secret: pem,
            balances: [(
                "USDT".to_owned(),
                crossbook_engine::units::Amount::parse("1000").unwrap(),
            )]
            .into(),
            fees_in_bnb: false,
        });
    })
    .await;
    let mut ws = connect(&server, Venue::Binance, "/ws-api/v3").await;
    let stamp = now_ms(&server);
    let payload = format!("apiKey=ed&timestamp={stamp}");
    let signature = encode(pair.sign(payload.as_bytes()).as_ref());
    ws.say(r#"{"id":0,"method":"userDataStream.subscribe"}"#).await;
    assert_eq!(ws.json().await["status"], 400, "nobody has logged on");
    ws.say(&format!(
        r#"{{"id":1,"method":"session.logon","params":{{"apiKey":"ed","timestamp":{stamp},"signature":"{signature}"}}}}"#
    ))
    .await;
    assert_eq!(ws.json().await["result"]["apiKey"], "ed");
    ws.say(r#"{"id":2,"method":"userDataStream.subscribe"}"#).await;
    assert_eq!(ws.json().await["result"]["subscriptionId"], 0);
    // Logged on, requests need neither key nor signature.
    let order = format!(
        r#"{{"id":3,"method":"order.place","params":{{"symbol":"BTCUSDT","side":"BUY","type":"MARKET","quoteOrderQty":"100","timestamp":{}}}}}"#,
        now_ms(&server)
    );
    ws.say(&order).await;
    let placed = ws.until(|frame| frame["id"] == 3).await;
    assert_eq!(placed["status"], 200, "{placed}");
    let signature = hmac_hex("binance-secret", &format!("apiKey=binance-key&timestamp={stamp}"));
    ws.say(&format!(
        r#"{{"id":4,"method":"session.logon","params":{{"apiKey":"binance-key","timestamp":{stamp},"signature":"{signature}"}}}}"#
    ))
    .await;
    assert_eq!(ws.until(|frame| frame["id"] == 4).await["error"]["code"], -4056);
}
