//! Upbit's signed requests, orders and private stream.

use crossbook_simex::exchange::Venue;
use serde_json::{Value, json};

use crate::client::{bearer, far_below, get, http, number, send, start, upbit};

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
