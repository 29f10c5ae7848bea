//! Binance's amendments, filters and stop orders.

use crossbook_simex::exchange::Venue;
use serde_json::{Value, json};

use crate::client::{binance, far_below, get, hmac_hex, now_ms, number, start, user_stream};

#[tokio::test]
async fn binance_reduces_an_order_and_its_owner_hears_of_it() {
    let server = start(|_| {}).await;
    let (mut ws, subscribe) = user_stream(&server).await;
    ws.say(&subscribe).await;
    assert_eq!(ws.json().await["status"], 200);
    let price = far_below(&server, Venue::Binance).await;
    let order = format!(
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.05&price={price}&newClientOrderId=first"
    );
    let placed = binance(&server, "POST", "/api/v3/order", &order).await.json();
    let id = &placed["orderId"];
    let (server, path) = (&server, "/api/v3/order/amend/keepPriority");
    let amend = |more: String| async move { binance(server, "PUT", path, &more).await };
    let cases = [
        (
            format!("symbol=BTCUSDT&orderId={id}&newQty=0.06"),
            -2038,
            "quantity increase",
        ),
        (
            format!("symbol=BTCUSDT&orderId={id}&newQty=0.05"),
            -2038,
            "change no state",
        ),
        (format!("symbol=BTCUSDT&orderId={id}&newQty=0"), -1013, "LOT_SIZE"),
        (format!("symbol=BTCUSDT&orderId={id}&newQty=0.00001"), -1013, "NOTIONAL"),
        (format!("symbol=BTCUSDT&orderId={id}"), -1102, "newQty"),
        ("symbol=BTCUSDT&newQty=0.01".to_owned(), -1102, "origClientOrderId"),
        (
            "symbol=BTCUSDT&orderId=999999&newQty=0.01".to_owned(),
            -2038,
            "Unknown order",
        ),
    ];
    for (query, code, word) in cases {
        let got = amend(query.clone()).await;
        let error = got.json();
        assert_eq!((got.status, &error["code"]), (400, &json!(code)), "{query}: {error}");
        assert!(error["msg"].as_str().unwrap().contains(word), "{error}");
    }
    let done = amend("symbol=BTCUSDT&origClientOrderId=first&newQty=0.03&newClientOrderId=second".to_owned()).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(done.header("x-mbx-order-count-10s"), None, "it is no new order");
    let done = done.json();
    let amended = &done["amendedOrder"];
    let shown = [
        "orderId",
        "origClientOrderId",
        "clientOrderId",
        "qty",
        "executedQty",
        "status",
        "type",
    ];
    assert_eq!(
        shown.map(|name| amended[name].clone()),
        [
            id.clone(),
            json!("first"),
            json!("second"),
            json!("0.03000000"),
            json!("0.00000000"),
            json!("NEW"),
            json!("LIMIT")
        ]
    );
    let news = ws.until(|frame| frame["event"]["x"] == "REPLACED").await;
    let event = &news["event"];
    assert_eq!(
        ["X", "c", "C", "q", "i", "I"].map(|name| event[name].clone()),
        [
            json!("NEW"),
            json!("second"),
            json!("first"),
            json!("0.03000000"),
            id.clone(),
            done["executionId"].clone()
        ]
    );
    // The same over the WebSocket API; without a name of the client's one is made up.
    let stamp = now_ms(server);
    let params = format!("apiKey=binance-key&newQty=0.02&origClientOrderId=second&symbol=BTCUSDT&timestamp={stamp}");
    let signature = hmac_hex("binance-secret", &params);
    ws.say(&format!(
        r#"{{"id":2,"method":"order.amend.keepPriority","params":{{"symbol":"BTCUSDT","origClientOrderId":"second","newQty":"0.02","apiKey":"binance-key","timestamp":{stamp},"signature":"{signature}"}}}}"#
    ))
    .await;
    let answer = ws.until(|frame| frame["id"] == 2).await;
    let name = answer["result"]["amendedOrder"]["clientOrderId"].clone();
    assert!(name.as_str().unwrap().starts_with("simex"), "{answer}");
    let open = binance(server, "GET", "/api/v3/openOrders", "symbol=BTCUSDT")
        .await
        .json();
    assert_eq!(
        (&open[0]["clientOrderId"], &open[0]["origQty"]),
        (&name, &json!("0.02000000"))
    );
    let query = format!("symbol=BTCUSDT&orderId={id}");
    let history = binance(server, "GET", "/api/v3/order/amendments", &query).await.json();
    assert_eq!(history.as_array().unwrap().len(), 2);
    assert_eq!(
        (&history[0]["origQty"], &history[0]["newQty"]),
        (&json!("0.05000000"), &json!("0.03000000"))
    );
    let counted = binance(server, "GET", "/api/v3/rateLimit/order", "").await.json();
    assert_eq!(counted[0]["count"], 1);
}

#[tokio::test]
async fn binance_tells_its_filters_and_keeps_them() {
    let server = start(|config| {
        config.binance.most_open_orders = 2;
        config.binance.price_band_by_side = false;
        let amount = |text: &str| crossbook_engine::units::Amount::parse(text).unwrap();
        config.binance.max_position.insert("BTC".to_owned(), amount("1.5"));
        config.binance.max_asset.insert("USDT".to_owned(), amount("60000"));
    })
    .await;
    let info = get(&server, Venue::Binance, "/api/v3/exchangeInfo?symbol=BTCUSDT")
        .await
        .json();
    let filters = info["symbols"][0]["filters"].as_array().unwrap().clone();
    let filter = |name: &str| filters.iter().find(|filter| filter["filterType"] == name).cloned();
    assert_eq!(filter("MAX_NUM_ORDERS").unwrap()["maxNumOrders"], 2);
    assert_eq!(filter("MAX_POSITION").unwrap()["maxPosition"], "1.50000000");
    assert_eq!(filter("PERCENT_PRICE").unwrap()["multiplierUp"], "5.0000");
    assert_eq!(filter("PERCENT_PRICE_BY_SIDE"), None);
    let mine = binance(&server, "GET", "/api/v3/myFilters", "symbol=BTCUSDT").await;
    assert_eq!(mine.header("x-mbx-used-weight-1m"), Some("60"));
    let mine = mine.json();
    assert_eq!(
        mine["assetFilters"],
        json!([{"filterType":"MAX_ASSET","asset":"USDT","limit":"60000.00000000"}])
    );
    assert!(
        mine["symbolFilters"]
            .as_array()
            .unwrap()
            .contains(&filter("MAX_POSITION").unwrap())
    );

    let rules = get(&server, Venue::Binance, "/api/v3/executionRules?symbol=BTCUSDT")
        .await
        .json();
    assert_eq!(
        rules["symbolRules"],
        json!([{"symbol":"BTCUSDT","rules":[{"ruleType":"PRICE_RANGE","bidLimitMultUp":"1.1500","bidLimitMultDown":"0.8500","askLimitMultUp":"1.1500","askLimitMultDown":"0.8500"}]}])
    );
    let all = get(&server, Venue::Binance, "/api/v3/executionRules").await.json();
    assert_eq!(all["symbolRules"].as_array().unwrap().len(), 2);
    let halted = get(&server, Venue::Binance, "/api/v3/executionRules?symbolStatus=HALT")
        .await
        .json();
    assert_eq!(halted["symbolRules"], json!([]));
    let both = get(
        &server,
        Venue::Binance,
        "/api/v3/executionRules?symbol=BTCUSDT&symbolStatus=HALT",
    )
    .await
    .json();
    assert_eq!(both["code"], -1128);
    // Twenty trades a second: soon there is a price, near the book.
    let reference = loop {
        let got = get(&server, Venue::Binance, "/api/v3/referencePrice?symbol=BTCUSDT")
            .await
            .json();
        if got["code"] != -2043 {
            break got;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let bid = number(&json!(far_below(&server, Venue::Binance).await)) * 2.0;
    assert!(
        (number(&reference["referencePrice"]) / bid - 1.0).abs() < 0.1,
        "{reference}"
    );

    let limit = "symbol=BTCUSDT&type=LIMIT&timeInForce=GTC&side=BUY";
    let price = far_below(&server, Venue::Binance).await;
    let cases = [
        (format!("{limit}&quantity=0.001&price=900000"), "PERCENT_PRICE"),
        (format!("{limit}&quantity=0.6&price={price}"), "MAX_POSITION"),
        (
            "symbol=BTCUSDT&type=MARKET&side=BUY&quoteOrderQty=60001".to_owned(),
            "MAX_ASSET",
        ),
    ];
    for (query, name) in cases {
        let got = binance(&server, "POST", "/api/v3/order", &query).await.json();
        assert_eq!(
            (&got["code"], &got["msg"]),
            (&json!(-1013), &json!(format!("Filter failure: {name}")))
        );
    }
    for want in [Value::Null, Value::Null, json!("Filter failure: MAX_NUM_ORDERS")] {
        let order = format!("{limit}&quantity=0.01&price={price}");
        assert_eq!(
            binance(&server, "POST", "/api/v3/order", &order).await.json()["msg"],
            want
        );
    }
    // What could not be filled says why it expired.
    let order = format!(
        "symbol=BTCUSDT&type=LIMIT&timeInForce=IOC&side=SELL&quantity=0.01&price={}",
        bid.floor() * 2.0
    );
    binance(&server, "DELETE", "/api/v3/openOrders", "symbol=BTCUSDT").await;
    let expired = binance(&server, "POST", "/api/v3/order", &order).await.json();
    assert_eq!(
        (&expired["status"], &expired["expiryReason"]),
        (&json!("EXPIRED"), &json!("UNFILLED_IOC_QUANTITY_EXPIRED"))
    );
}

#[tokio::test]
async fn a_binance_stop_order_waits_and_then_works() {
    let server = start(|_| {}).await;
    let (mut ws, subscribe) = user_stream(&server).await;
    ws.say(&subscribe).await;
    assert_eq!(ws.json().await["status"], 200);
    let half = number(&json!(far_below(&server, Venue::Binance).await));
    let post = |query: String| {
        let server = &server;
        async move { binance(server, "POST", "/api/v3/order", &query).await }
    };
    // One far away rests unseen.
    let far = format!(
        "symbol=BTCUSDT&side=SELL&type=STOP_LOSS_LIMIT&timeInForce=GTC&quantity=0.01&price={half}&stopPrice={half}"
    );
    let placed = post(format!("{far}&newOrderRespType=RESULT")).await;
    assert_eq!(placed.status, 200, "{}", placed.text);
    let placed = placed.json();
    assert_eq!(
        ["status", "type", "workingTime"].map(|name| placed[name].clone()),
        [json!("NEW"), json!("STOP_LOSS_LIMIT"), json!(-1)]
    );
    assert_eq!(number(&placed["stopPrice"]), half);
    let ack = post(far).await.json();
    assert_eq!(
        ack["status"],
        Value::Null,
        "stop orders are only acknowledged unless asked otherwise"
    );
    let open = binance(&server, "GET", "/api/v3/openOrders", "symbol=BTCUSDT")
        .await
        .json();
    assert_eq!(
        ["isWorking", "workingTime", "timeInForce"].map(|name| open[0][name].clone()),
        [json!(false), json!(-1), json!("GTC")]
    );
    let told = ws.until(|frame| frame["event"]["x"] == "NEW").await;
    let event = &told["event"];
    assert_eq!(
        (&event["w"], &event["W"], &event["o"]),
        (&json!(false), &Value::Null, &json!("STOP_LOSS_LIMIT"))
    );
    assert_eq!(number(&event["P"]), half);
    binance(&server, "DELETE", "/api/v3/openOrders", "symbol=BTCUSDT").await;
    // Stops a little above and below the last price: with twenty trades a second one of them is soon reached.
    let last = loop {
        let trades = get(&server, Venue::Binance, "/api/v3/trades?symbol=BTCUSDT&limit=1")
            .await
            .json();
        if let Some(trade) = trades.get(0) {
            break number(&trade["price"]);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let at = |off: f64| format!("{:.2}", last + off);
    let kinds = [
        ("STOP_LOSS", "SELL", -1.0),
        ("TAKE_PROFIT", "SELL", 1.0),
        ("STOP_LOSS", "BUY", 1.0),
        ("TAKE_PROFIT", "BUY", -1.0),
    ];
    let mut taken = 0;
    for (kind, side, off) in kinds {
        let got = post(format!(
            "symbol=BTCUSDT&side={side}&type={kind}&quantity=0.001&stopPrice={}",
            at(off)
        ))
        .await;
        // The market may have come there in between.
        match got.status {
            200 => taken += 1,
            _ => assert_eq!(got.json()["msg"], "Order would trigger immediately.", "{}", got.text),
        }
    }
    assert!(taken > 0);
    let began = ws
        .until(|frame| frame["event"]["x"] == "NEW" && frame["event"]["w"] == true)
        .await;
    let id = began["event"]["i"].clone();
    assert!(began["event"]["W"].is_i64(), "{began}");
    let traded = ws
        .until(|frame| frame["event"]["x"] == "TRADE" && frame["event"]["i"] == id)
        .await;
    assert_eq!(traded["event"]["m"], false);
    let query = format!("symbol=BTCUSDT&orderId={id}");
    let seen = binance(&server, "GET", "/api/v3/order", &query).await.json();
    assert_eq!((&seen["status"], &seen["isWorking"]), (&json!("FILLED"), &json!(true)));
    let trailing = post("symbol=BTCUSDT&side=BUY&type=STOP_LOSS&quantity=0.001&trailingDelta=10".to_owned()).await;
    assert_eq!(trailing.json()["code"], -2010);
}
