//! Signed requests, orders and private streams of both venues.

use crossbook_simex::exchange::Venue;
use crossbook_simex::{Server, config::AccountConfig};
use serde_json::{Value, json};

use crate::client::{bearer, binance, connect, get, hmac_hex, http, now_ms, send, start, upbit};

pub fn number(value: &Value) -> f64 {
    value
        .as_str()
        .map_or_else(|| value.as_f64(), |text| text.parse().ok())
        .unwrap_or_else(|| panic!("{value}"))
}

/// Half the best bid, on the grid of both venues.
pub async fn far_below(server: &Server, venue: Venue) -> String {
    let (path, at) = match venue {
        Venue::Upbit => ("/v1/orderbook?markets=KRW-BTC", "/0/orderbook_units/0/bid_price"),
        _ => ("/api/v3/depth?symbol=BTCUSDT&limit=5", "/bids/0/0"),
    };
    let book = get(server, venue, path).await.json();
    let price = number(book.pointer(at).unwrap()) / 2.0;
    format!("{}", (price / 1_000.0).floor() * 1_000.0)
}

#[tokio::test]
async fn upbit_takes_and_refuses_tokens() {
    let server = start(|_| {}).await;
    let query = "market=KRW-BTC";
    let url = format!("{}/v1/orders/chance?{query}", server.rest_url(Venue::Upbit));
    let replayed = bearer(query, "upbit-secret", "HS256");
    let cases = [
        ("HS256", Some(replayed.clone()), 200, ""),
        ("the same token again", Some(replayed), 401, "nonce_used"),
        ("HS512", Some(bearer(query, "upbit-secret", "HS512")), 200, ""),
        (
            "another secret",
            Some(bearer(query, "else", "HS512")),
            401,
            "jwt_verification",
        ),
        (
            "other parameters",
            Some(bearer("market=KRW-ETH", "upbit-secret", "HS512")),
            401,
            "invalid_query_payload",
        ),
        (
            "no parameters",
            Some(bearer("", "upbit-secret", "HS512")),
            401,
            "invalid_query_payload",
        ),
        ("no token", None, 401, "jwt_verification"),
    ];
    for (what, token, status, name) in cases {
        let mut request = http().get(&url);
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let got = send(request).await;
        assert_eq!(got.status, status, "{what}: {}", got.text);
        if status != 200 {
            assert_eq!(got.json()["error"]["name"], name, "{what}");
        }
    }
    // Lists are signed as they stand decoded, and sent encoded.
    let url = format!(
        "{}/v1/orders/open?states%5B%5D=wait&states%5B%5D=watch",
        server.rest_url(Venue::Upbit)
    );
    let token = bearer("states[]=wait&states[]=watch", "upbit-secret", "HS512");
    assert_eq!(send(http().get(url).header("authorization", token)).await.status, 200);
}

#[tokio::test]
async fn an_upbit_order_lives_and_its_owner_hears_of_it() {
    let server = start(|_| {}).await;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let mut request = format!("{}/websocket/v1/private", server.ws_url(Venue::Upbit))
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("authorization", bearer("", "upbit-secret", "HS512").parse().unwrap());
    let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut ws = crate::client::Ws(stream);
    ws.say(r#"[{"ticket":"t"},{"type":"myAsset","codes":["KRW-BTC"]}]"#)
        .await;
    assert_eq!(ws.json().await["error"]["name"], "WRONG_FORMAT");
    ws.say(r#"[{"ticket":"t"},{"type":"myOrder"},{"type":"myAsset"}]"#)
        .await;
    ws.say(r#"[{"method":"LIST_SUBSCRIPTIONS"},{"ticket":"t"}]"#).await;
    assert_eq!(ws.json().await["method"], "LIST_SUBSCRIPTIONS");

    let price = far_below(&server, Venue::Upbit).await;
    let members = format!("market=KRW-BTC&side=bid&ord_type=limit&price={price}&volume=0.001&identifier=mine");
    let placed = upbit(&server, "POST", "/v1/orders", &members).await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    assert!(
        placed
            .header("remaining-req")
            .unwrap()
            .starts_with("group=order; min=720; sec=11")
    );
    let placed = placed.json();
    let funds = number(&json!(price)) * 0.001;
    assert_eq!(placed["state"], "wait");
    assert_eq!(placed["smp_type"], "cancel_maker");
    assert!((number(&placed["locked"]) - funds * 1.0005).abs() < 1e-6, "{placed}");
    assert!(
        (number(&placed["reserved_fee"]) - funds * 0.0005).abs() < 1e-6,
        "{placed}"
    );
    let uuid = placed["uuid"].as_str().unwrap();

    // The same identifier is burnt for ever.
    let again = upbit(&server, "POST", "/v1/orders", &members).await;
    assert_eq!(
        (again.status, &again.json()["error"]["name"]),
        (400, &json!("validation_error"))
    );
    let open = upbit(&server, "GET", "/v1/orders/open", "market=KRW-BTC").await.json();
    assert_eq!(open[0]["uuid"], uuid);
    let cancelled = upbit(&server, "DELETE", "/v1/order", "identifier=mine").await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (200, &json!("wait")));
    let seen = upbit(&server, "GET", "/v1/order", &format!("uuid={uuid}")).await.json();
    assert_eq!(seen["state"], "cancel");
    assert_eq!(upbit(&server, "GET", "/v1/order", "identifier=other").await.status, 404);
    let closed = upbit(&server, "GET", "/v1/orders/closed", "market=KRW-BTC&state=cancel")
        .await
        .json();
    assert_eq!(closed[0]["uuid"], uuid);
    for state in ["wait", "cancel"] {
        let news = ws.until(|frame| frame["type"] == "myOrder").await;
        assert_eq!((&news["uuid"], &news["state"]), (&json!(uuid), &json!(state)));
    }

    // A market buy by funds fills, refunds its rest, and so ends as cancelled.
    let bought = upbit(
        &server,
        "POST",
        "/v1/orders",
        "market=KRW-BTC&side=bid&ord_type=price&price=10000",
    )
    .await
    .json();
    assert_eq!(bought["volume"], Value::Null);
    let trade = ws.until(|frame| frame["state"] == "trade").await;
    assert_eq!(trade["is_maker"], false);
    let query = format!("uuid={}", bought["uuid"].as_str().unwrap());
    let seen = upbit(&server, "GET", "/v1/order", &query).await.json();
    assert_eq!(
        seen["trades"].as_array().unwrap().len(),
        seen["trades_count"].as_u64().unwrap() as usize
    );
    assert!(number(&seen["executed_volume"]) > 0.0);
    assert!(
        (number(&seen["paid_fee"]) - number(&seen["executed_funds"]) * 0.0005).abs() < 1e-6,
        "{seen}"
    );
    let asset = ws.until(|frame| frame["type"] == "myAsset").await;
    assert!(
        asset["assets"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["currency"] == "KRW")
    );
}

#[tokio::test]
async fn upbit_names_what_is_wrong_with_an_order() {
    let server = start(|config| config.server.limits = false).await;
    let cases = [
        (
            "market=KRW-BTC&side=bid&ord_type=limit&price=100000001&volume=0.001",
            "invalid_price_bid",
        ),
        (
            "market=KRW-BTC&side=bid&ord_type=limit&price=100000000&volume=0.00001",
            "under_min_total_bid",
        ),
        (
            "market=KRW-BTC&side=bid&ord_type=limit&price=100000000&volume=9",
            "insufficient_funds_bid",
        ),
        (
            "market=KRW-BTC&side=ask&ord_type=limit&price=900000000&volume=1.1",
            "insufficient_funds_ask",
        ),
        (
            "market=KRW-NOSUCH&side=bid&ord_type=limit&price=100&volume=1000",
            "validation_error",
        ),
        (
            "market=KRW-BTC&side=up&ord_type=limit&price=100&volume=1000",
            "validation_error",
        ),
        ("market=KRW-BTC&side=bid&ord_type=market&volume=1", "validation_error"),
    ];
    for (members, name) in cases {
        for path in ["/v1/orders", "/v1/orders/test"] {
            let got = upbit(&server, "POST", path, members).await;
            assert_eq!(
                (got.status, &got.json()["error"]["name"]),
                (400, &json!(name)),
                "{path} {members}"
            );
        }
    }
    let members = "market=KRW-BTC&side=ask&ord_type=limit&price=900000000&volume=0.1";
    let tested = upbit(&server, "POST", "/v1/orders/test", members).await;
    assert_eq!(tested.status, 201);
    assert_eq!(
        upbit(&server, "GET", "/v1/orders/open", "").await.json(),
        json!([]),
        "nothing was placed"
    );
    let first = upbit(&server, "POST", "/v1/orders", members).await.json();
    let replacing = format!(
        "prev_order_uuid={}&new_ord_type=limit&new_price=910000000&new_volume=remain_only",
        first["uuid"].as_str().unwrap()
    );
    let replaced = upbit(&server, "POST", "/v1/orders/cancel_and_new", &replacing).await;
    assert_eq!(replaced.status, 201, "{}", replaced.text);
    let open = upbit(&server, "GET", "/v1/orders/open", "").await.json();
    assert_eq!(open[0]["uuid"], replaced.json()["new_order_uuid"]);
    let all = upbit(&server, "DELETE", "/v1/orders/open", "cancel_side=ask")
        .await
        .json();
    assert_eq!(all["success"]["count"], 1);
}

#[tokio::test]
async fn upbit_counts_orders_and_blocks_who_goes_on() {
    let server = start(|config| config.server.ban_ms = 60_000).await;
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let got = get(&server, Venue::Upbit, "/v1/market/all").await;
        statuses.push(got.status);
        if got.status == 418 {
            assert!(got.json()["error"]["message"].as_str().unwrap().contains("60 seconds"));
            break;
        }
    }
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&418), "{statuses:?}");
    // Who has a key is counted by account, not by address.
    assert_eq!(upbit(&server, "GET", "/v1/accounts", "").await.status, 200);
}

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
    let mut ws = connect(&server, Venue::Binance, "/ws-api/v3").await;
    let stamp = now_ms(&server);
    let signature = hmac_hex("binance-secret", &format!("apiKey=binance-key&timestamp={stamp}"));
    let subscribe = format!(
        r#"{{"id":1,"method":"userDataStream.subscribe.signature","params":{{"apiKey":"binance-key","timestamp":{stamp},"signature":"{signature}"}}}}"#
    );
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
    let replace = |mode: &str, id: &Value, quantity: &str| {
        let order = order.replace("0.01", quantity);
        format!("{order}&cancelReplaceMode={mode}&cancelOrderId={id}")
    };
    let path = "/api/v3/order/cancelReplace";
    let done = binance(
        &server,
        "POST",
        path,
        &replace("STOP_ON_FAILURE", &first["orderId"], "0.02"),
    )
    .await;
    assert_eq!(done.status, 200, "{}", done.text);
    let done = done.json();
    assert_eq!(done["cancelResponse"]["status"], "CANCELED");
    let second = &done["newOrderResponse"]["orderId"];
    // The first is gone: with STOP nothing is done, with ALLOW the new order is placed all the same.
    let stopped = binance(
        &server,
        "POST",
        path,
        &replace("STOP_ON_FAILURE", &first["orderId"], "0.02"),
    )
    .await;
    assert_eq!((stopped.status, &stopped.json()["code"]), (400, &json!(-2022)));
    assert_eq!(stopped.json()["data"]["newOrderResult"], "NOT_ATTEMPTED");
    let partial = binance(
        &server,
        "POST",
        path,
        &replace("ALLOW_FAILURE", &first["orderId"], "0.02"),
    )
    .await;
    assert_eq!((partial.status, &partial.json()["code"]), (409, &json!(-2021)));
    let failed = binance(&server, "POST", path, &replace("STOP_ON_FAILURE", second, "99")).await;
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
