//! Upbit's lists of orders and what goes with them.

use crossbook_simex::exchange::Venue;
use serde_json::{Value, json};

use crate::client::{Got, bearer, http, send, start, upbit};

fn uuids(got: &Got) -> Vec<String> {
    let rows = got.json();
    let uuid = |row: &Value| row["uuid"].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(uuid).collect()
}

/// Rests far above the market.
async fn ask(server: &crossbook_simex::Server, market: &str, price: &str, more: &str) -> String {
    let members = format!("market={market}&side=ask&ord_type=limit&price={price}&volume=0.01{more}");
    let got = upbit(server, "POST", "/v1/orders", &members).await;
    assert_eq!(got.status, 201, "{}", got.text);
    got.json()["uuid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn upbits_lists_keep_their_bounds_and_say_what_excludes_what() {
    let server = start(|config| config.server.limits = false).await;
    let mut placed = Vec::new();
    for (nth, market) in ["KRW-BTC", "KRW-ETH", "KRW-BTC"].into_iter().enumerate() {
        placed.push(ask(&server, market, "900000000", &format!("&identifier=n{nth}")).await);
    }
    let [first, second, third] = [&placed[0], &placed[1], &placed[2]];
    let newest: Vec<String> = placed.iter().rev().cloned().collect();
    let cases: [(&str, &str, Vec<String>); 10] = [
        ("/v1/orders/open", "", newest.clone()),
        ("/v1/orders/open", "order_by=asc", placed.clone()),
        ("/v1/orders/open", "states[]=wait&states[]=watch", newest.clone()),
        ("/v1/orders/open", "state=watch", vec![]),
        ("/v1/orders/open", "limit=2&page=2", vec![first.clone()]),
        ("/v1/orders/open", "market=KRW-ETH", vec![second.clone()]),
        ("/v1/orders/closed", "", vec![]),
        (
            "/v1/orders/uuids",
            "identifiers[]=n0&identifiers[]=n2",
            vec![third.clone(), first.clone()],
        ),
        (
            "/v1/orders/uuids",
            "identifiers[]=n2&identifiers[]=n0&order_by=asc",
            vec![first.clone(), third.clone()],
        ),
        (
            "/v1/orders/uuids",
            "market=KRW-ETH&identifiers[]=n0&identifiers[]=n1",
            vec![second.clone()],
        ),
    ];
    for (path, query, want) in cases {
        let got = upbit(&server, "GET", path, query).await;
        assert_eq!(got.status, 200, "{path} {query}: {}", got.text);
        assert_eq!(uuids(&got), want, "{path} {query}");
    }
    let many = |name: &str, count: usize| vec![format!("{name}[]={first}"); count].join("&");
    let pairs = vec!["KRW-BTC"; 21].join(",");
    let refused = [
        ("GET", "/v1/orders/open", "state=wait&states[]=watch".to_owned()),
        ("GET", "/v1/orders/open", "state=done".to_owned()),
        ("GET", "/v1/orders/closed", "state=done&states[]=cancel".to_owned()),
        ("GET", "/v1/orders/closed", "states[]=wait".to_owned()),
        (
            "GET",
            "/v1/orders/closed",
            "start_time=2026-11-01T00:00:00Z&end_time=2026-11-08T00:00:01Z".to_owned(),
        ),
        ("GET", "/v1/orders/uuids", format!("uuids[]={first}&identifiers[]=n1")),
        ("GET", "/v1/orders/uuids", many("uuids", 101)),
        ("DELETE", "/v1/orders/uuids", many("uuids", 21)),
        (
            "DELETE",
            "/v1/orders/uuids",
            format!("uuids[]={first}&identifiers[]=n1"),
        ),
        (
            "DELETE",
            "/v1/orders/open",
            "pairs=KRW-BTC&quote_currencies=KRW".to_owned(),
        ),
        ("DELETE", "/v1/orders/open", format!("pairs={pairs}")),
        ("DELETE", "/v1/orders/open", "cancel_side=both".to_owned()),
    ];
    for (method, path, query) in refused {
        let got = upbit(&server, method, path, &query).await;
        assert_eq!(
            (got.status, &got.json()["error"]["name"]),
            (400, &json!("invalid_parameter")),
            "{method} {path} {query}"
        );
    }
    let neither = upbit(&server, "DELETE", "/v1/orders/uuids", "market=KRW-BTC").await;
    assert_eq!(neither.status, 400);

    // Cancels of many take a query alone: what a body says is neither read nor covered by the hash.
    let url = format!("{}/v1/orders/open", server.rest_url(Venue::Upbit));
    let request = http()
        .delete(url)
        .header("authorization", bearer("cancel_side=bid", "upbit-secret", "HS512"))
        .body(r#"{"cancel_side":"bid"}"#);
    let got = send(request).await;
    assert_eq!(
        (got.status, &got.json()["error"]["name"]),
        (401, &json!("invalid_query_payload"))
    );

    let done = upbit(&server, "DELETE", "/v1/orders/uuids", "identifiers[]=n1")
        .await
        .json();
    assert_eq!(
        done,
        json!({"success":{"count":1,"orders":[{"uuid":second,"market":"KRW-ETH","identifier":"n1"}]},"failed":{"count":0,"orders":[]}})
    );
    let done = upbit(&server, "DELETE", "/v1/orders/open", "count=1&quote_currencies=KRW")
        .await
        .json();
    assert_eq!(done["success"]["orders"][0]["uuid"], *third, "the newest goes first");
    let done = upbit(&server, "DELETE", "/v1/orders/open", "excluded_pairs=KRW-BTC")
        .await
        .json();
    assert_eq!(done["success"]["count"], 0);
    let closed = upbit(
        &server,
        "GET",
        "/v1/orders/closed",
        "states[]=done&states[]=cancel&limit=1&page=2",
    )
    .await;
    assert_eq!(
        uuids(&closed),
        std::slice::from_ref(third),
        "ended orders have no pages"
    );
}

#[tokio::test]
async fn upbit_keeps_an_order_whose_replacement_would_have_its_name() {
    let server = start(|config| config.server.limits = false).await;
    ask(&server, "KRW-BTC", "900000000", "&identifier=old").await;
    let replace = |name: &str, volume: &str| {
        let members = format!(
            "prev_order_identifier=old&new_ord_type=limit&new_price=910000000&new_volume={volume}&new_identifier={name}"
        );
        let server = &server;
        async move { upbit(server, "POST", "/v1/orders/cancel_and_new", &members).await }
    };
    let got = replace("old", "remain_only").await;
    assert_eq!(
        (got.status, &got.json()["error"]["name"]),
        (400, &json!("validation_error"))
    );
    assert_eq!(
        upbit(&server, "GET", "/v1/order", "identifier=old").await.json()["state"],
        "wait"
    );
    let got = replace("new", "remain_only").await;
    assert_eq!(got.status, 201, "{}", got.text);
    assert_eq!(got.json()["new_order_identifier"], "new");
    let new = upbit(&server, "GET", "/v1/order", "identifier=new").await.json();
    assert_eq!((&new["volume"], &new["state"]), (&json!("0.01"), &json!("wait")));
    assert_eq!(replace("third", "0.01").await.status, 404, "the old order has ended");
    // A name is burnt by a request that failed, however early.
    for members in [
        "market=KRW-BTC&side=ask&ord_type=dream&identifier=fourth",
        "market=KRW-BTC&side=ask&ord_type=limit&price=1&volume=1&identifier=fifth",
    ] {
        assert_eq!(upbit(&server, "POST", "/v1/orders", members).await.status, 400);
    }
    for name in ["third", "fourth", "fifth"] {
        let members = format!("market=KRW-BTC&side=ask&ord_type=limit&price=900000000&volume=0.01&identifier={name}");
        assert_eq!(
            upbit(&server, "POST", "/v1/orders", &members).await.status,
            400,
            "{name}"
        );
        assert_eq!(
            upbit(&server, "POST", "/v1/orders/test", &members).await.status,
            400,
            "{name}"
        );
    }
    // The list of ended orders shows what one had locked; the order itself has nothing locked any more.
    let old = upbit(&server, "GET", "/v1/orders/closed", "").await.json();
    assert_eq!(old[0]["locked"], "0.01");
    assert_eq!(
        upbit(&server, "GET", "/v1/order", "identifier=old").await.json()["locked"],
        "0"
    );
}
