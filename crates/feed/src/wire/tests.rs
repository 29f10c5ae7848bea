use crossbook_engine::event::Level;

use super::*;

fn levels(text: &str) -> Result<Vec<(i64, i64)>, String> {
    let levels: Levels = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(levels
        .0
        .iter()
        .map(|level| (level.price.raw(), level.qty.raw()))
        .collect())
}

#[test]
fn f26_amounts_are_exact_from_numbers_and_texts_or_refused() {
    let good = [
        ("[[\"61837.63000000\",\"0.00000000\"]]", (6_183_763_000_000, 0)),
        ("[[61837.63,1e-8]]", (6_183_763_000_000, 1)),
        (
            "[[1.0346E+8,\"3.000000000000000000000000000000\"]]",
            (10_346_000_000_000_000, 300_000_000),
        ),
        ("[[\"1\",\"2\",[]]]", (100_000_000, 200_000_000)),
    ];
    for (text, want) in good {
        assert_eq!(levels(text), Ok(vec![want]), "{text}");
    }
    let bad = [
        "[[\"NaN\",\"1\"]]",
        "[[NaN,1]]",
        "[[1e400,1]]",
        "[[\"-1\",\"1\"]]",
        "[[-1,1]]",
        "[[0,1]]",
        "[[1,-1]]",
        "[[1,\"0.000000001\"]]",
        "[[1,0.123456789012345678901234567890]]",
        "[[99999999999999999999,1]]",
        "[[\"0x10\",1]]",
        "[[\"1\\u0030\",1]]",
        "[[true,1]]",
        "[[null,1]]",
        "[[[1],1]]",
        "[[1]]",
        "[[]]",
        "[1,2]",
        "{}",
        "[[1,2]",
    ];
    for text in bad {
        assert!(levels(text).is_err(), "{text}");
    }
}

#[test]
fn times_are_milliseconds_or_microseconds() {
    assert_eq!(
        venue_time("E", 1_723_161_253_937),
        Ok(TimestampNs(1_723_161_253_937_000_000))
    );
    assert_eq!(
        venue_time("E", 1_735_689_600_123_456),
        Ok(TimestampNs(1_735_689_600_123_456_000))
    );
    for bad in [0, 1_723_161_253, 1_723_161_253_937_085_768, u64::MAX] {
        assert!(venue_time("E", bad).is_err(), "{bad}");
    }
}

/// What is read, in a line each.
fn told(protocol: Protocol, request: Option<&Request>, text: &str) -> Vec<String> {
    let mut scratch = Scratch::default();
    let mut lines = Vec::new();
    let mut each = |message: Message<'_>| {
        let whose = message.symbol.unwrap_or("-");
        let at = message.ts_event.map_or(0, |ts| ts.0 / 1_000_000);
        let raw = |levels: &[Level]| -> Vec<(i64, i64)> {
            levels
                .iter()
                .map(|level| (level.price.raw() / 1_000_000, level.qty.raw() / 1_000_000))
                .collect()
        };
        let what = match message.body {
            Body::Book(book) => format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {}",
                book.role,
                book.ids.first,
                book.ids.last,
                book.ids.prev,
                raw(book.bids),
                raw(book.asks),
                book.grouping / 100_000_000
            ),
            Body::Trade(trade) => format!(
                "trade {} {} {} {:?} {} {}",
                trade.id, trade.price, trade.qty, trade.taker, trade.aggregate, trade.spot
            ),
            body => format!("{body:?}"),
        };
        lines.push(format!("{whose} {at} {} {what}", message.initial));
    };
    let outcome = match request {
        Some(request) => read_answer(protocol, request, text.as_bytes(), &mut scratch, &mut each),
        None => read(protocol, text.as_bytes(), &mut scratch, &mut each),
    };
    match outcome {
        Ok(()) => lines,
        Err(_) => {
            assert!(lines.is_empty(), "a frame is read whole or not at all: {text}");
            vec!["error".to_owned()]
        }
    }
}

#[test]
fn upbit_messages_are_told_in_one_form() {
    let book = r#"{"type":"orderbook","code":"KRW-BTC","timestamp":1735689600123,"total_ask_size":3,"total_bid_size":2,"orderbook_units":[{"ask_price":103460000,"bid_price":1.0345E+8,"ask_size":0.5,"bid_size":"0.25"},{"ask_price":103470000.0,"bid_price":0,"ask_size":2.5,"bid_size":0}],"level":0,"stream_type":"SNAPSHOT"}"#;
    let simple = r#"{"ty":"orderbook","cd":"USDT-ADA","tms":1735689600123,"obu":[{"ap":2,"bp":1,"as":3,"bs":4}],"lv":10000,"st":"REALTIME"}"#;
    let trade = r#"{"ty":"trade","cd":"BTC-FLOW","tms":1735689600123,"tp":0.00000901,"tv":12,"ab":"ASK","ttms":1735689600000,"sid":17356896000000001,"st":"REALTIME"}"#;
    let (full, short) = (
        "KRW-BTC 1735689600123 true Whole None None None [(10345000000, 25)] [(10346000000, 50), (10347000000, 250)] 0",
        "USDT-ADA 1735689600123 false Whole None None None [(100, 400)] [(200, 300)] 10000",
    );
    let took = "BTC-FLOW 1735689600123 false trade 17356896000000001 0.00000901 12.00000000 Sell false true";
    let rest_book = r#"[{"market":"KRW-BTC","timestamp":1735689600123,"total_ask_size":3,"orderbook_units":[{"ask_price":2,"bid_price":1,"ask_size":3,"bid_size":4}],"level":0}]"#;
    let rest_trades = r#"[{"market":"KRW-BTC","trade_date_utc":"2025-01-01","timestamp":1735689600123,"trade_price":5,"trade_volume":6,"ask_bid":"BID","sequential_id":7}]"#;
    let refusal = r#"{"error":{"name":"NO_CODES","message":"no codes"}}"#;
    let refused = r#"- 0 false Refusal(Refusal { code: "NO_CODES", message: "no codes" })"#;
    let books = Request::Books(vec![]);
    let trades = Request::Trades(String::new());
    let cases: [(Option<&Request>, String, &[&str]); 18] = [
        (None, book.to_owned(), &[full]),
        (None, simple.to_owned(), &[short]),
        (None, trade.to_owned(), &[took]),
        (None, format!("[{book}]"), &[full]),
        (None, format!(" [ {simple} , {trade} ] "), &[short, took]),
        (None, "[]".to_owned(), &[]),
        (None, format!("[{book},{{\"type\":\"trade\"}}]"), &["error"]),
        (
            None,
            r#"{"type":"ticker","code":"KRW-BTC","timestamp":null}"#.to_owned(),
            &[r#"- 0 false Other("ticker")"#],
        ),
        (
            None,
            r#"{"ty":"candle.1s"}"#.to_owned(),
            &[r#"- 0 false Other("candle.1s")"#],
        ),
        (None, r#"{"status":"UP"}"#.to_owned(), &[r#"- 0 false Other("status")"#]),
        (
            None,
            r#"{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"trade","codes":["KRW-BTC"]}],"ticket":"t"}"#
                .to_owned(),
            &[r#"- 0 false Other("LIST_SUBSCRIPTIONS")"#],
        ),
        (None, refusal.to_owned(), &[refused]),
        (
            None,
            r#"{"error":{"name":404}}"#.to_owned(),
            &[r#"- 0 false Refusal(Refusal { code: "404", message: "" })"#],
        ),
        (
            Some(&books),
            rest_book.to_owned(),
            &["KRW-BTC 1735689600123 false Whole None None None [(100, 400)] [(200, 300)] 0"],
        ),
        (Some(&books), "[]".to_owned(), &[]),
        (
            Some(&trades),
            rest_trades.to_owned(),
            &["KRW-BTC 1735689600123 false trade 7 5.00000000 6.00000000 Buy false true"],
        ),
        (Some(&books), refusal.to_owned(), &[refused]),
        (Some(&trades), rest_book.to_owned(), &["error"]),
    ];
    for (request, text, want) in cases {
        assert_eq!(told(Protocol::Upbit, request, &text), want, "{text}");
    }
}

#[test]
fn binance_messages_are_told_in_one_form() {
    let depth = Request::Books(vec!["BTCUSDT".to_owned()]);
    let trades = Request::Trades("BTCUSDT".to_owned());
    let cases: [(Option<&Request>, &str, &str); 22] = [
        (
            None,
            r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1735689600123456,"s":"BTCUSDT","U":5,"u":7,"b":[["10.50","0"]],"a":[]}}"#,
            "BTCUSDT 1735689600123 false Diff Some(5) Some(7) None [(1050, 0)] [] 0",
        ),
        (
            None,
            r#"{"e":"depthUpdate","E":1735689600123,"T":1735689600122,"s":"BTCUSDT","U":5,"u":7,"pu":4,"b":[],"a":[["1","2"]]}"#,
            "BTCUSDT 1735689600122 false Diff Some(5) Some(7) Some(4) [] [(100, 200)] 0",
        ),
        (
            None,
            r#"{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":9,"bids":[["1","2"]],"asks":[["2","1"]]}}"#,
            "BTCUSDT 0 false Whole None Some(9) None [(100, 200)] [(200, 100)] 0",
        ),
        (
            None,
            r#"{"lastUpdateId":9,"bids":[],"asks":[]}"#,
            "- 0 false Whole None Some(9) None [] [] 0",
        ),
        (
            Some(&depth),
            r#"{"lastUpdateId":9,"E":1735689600123,"T":1735689600122,"bids":[],"asks":[]}"#,
            "- 1735689600122 false Whole None Some(9) None [] [] 0",
        ),
        (
            None,
            r#"{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"0.0","A":"0.0"}"#,
            "BNBUSDT 0 false Ticker(Ticker { id: 400900217, bid: Some(Level { price: Price(2535000000), qty: Qty(3121000000) }), ask: None })",
        ),
        (
            None,
            r#"{"e":"trade","E":1735689600124,"s":"BTCUSDT","t":12345,"p":"0.001","q":"100","T":1735689600123,"m":true,"M":true}"#,
            "BTCUSDT 1735689600123 false trade 12345 0.00100000 100.00000000 Sell false true",
        ),
        (
            None,
            r#"{"e":"aggTrade","E":1735689600124,"s":"BTCUSDT","a":26129,"p":"1","q":"1","f":1,"l":2,"T":1735689600123,"m":false}"#,
            "BTCUSDT 1735689600123 false trade 26129 1.00000000 1.00000000 Buy true false",
        ),
        (
            None,
            r#"{"e":"markPriceUpdate","E":1735689600123,"s":"BTCUSDT","p":"11794.15","i":"11784.6","P":"11784.2","r":"-0.00038167","T":1735690000000}"#,
            "BTCUSDT 1735689600123 false Mark(Mark { mark: Price(1179415000000), rate: Some(-38167), next: Some(TimestampNs(1735690000000000000)) })",
        ),
        (
            None,
            r#"{"stream":"btcusdt_250926@markPrice","data":{"e":"markPriceUpdate","E":1735689600123,"s":"BTCUSDT_250926","p":"1","r":"","T":0}}"#,
            "BTCUSDT_250926 1735689600123 false Mark(Mark { mark: Price(100000000), rate: None, next: None })",
        ),
        (
            None,
            r#"{"e":"serverShutdown","E":1735689600123}"#,
            "- 0 false Shutdown",
        ),
        (
            None,
            r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1735689600123}}"#,
            "- 0 false Shutdown",
        ),
        (None, r#"{"e":"forceOrder","o":{}}"#, r#"- 0 false Other("forceOrder")"#),
        (
            None,
            r#"{"stream":"!markPrice@arr","data":[{"e":"markPriceUpdate"}]}"#,
            r#"- 0 false Other("!markPrice@arr")"#,
        ),
        (None, r#"{"result":null,"id":1}"#, r#"- 0 false Other("result")"#),
        (
            None,
            r#"{"code":2,"msg":"Invalid request","id":1}"#,
            r#"- 0 false Refusal(Refusal { code: "2", message: "Invalid request" })"#,
        ),
        (
            None,
            r#"{"error":{"code":-1121,"msg":"Invalid symbol."},"id":null}"#,
            r#"- 0 false Refusal(Refusal { code: "-1121", message: "Invalid symbol." })"#,
        ),
        (
            Some(&trades),
            r#"{"code":-1121,"msg":"Invalid symbol."}"#,
            r#"- 0 false Refusal(Refusal { code: "-1121", message: "Invalid symbol." })"#,
        ),
        (
            Some(&trades),
            r#"[{"id":28457,"price":"4.00000100","qty":"12.0","quoteQty":"48","time":1735689600123,"isBuyerMaker":true,"isBestMatch":true}]"#,
            "- 1735689600123 false trade 28457 4.00000100 12.00000000 Sell false true",
        ),
        (Some(&trades), r#"[{"id":28457}]"#, "error"),
        (
            None,
            r#"{"e":"markPriceUpdate","E":1735689600123,"s":"BTCUSDT"}"#,
            "error",
        ),
        (None, "{}", r#"- 0 false Other("unnamed")"#),
    ];
    for (request, text, want) in cases {
        assert_eq!(told(Protocol::BinanceSpot, request, text), [want], "{text}");
    }
}

#[test]
fn f22_order_of_keys_tells_nothing_and_what_is_missing_is_refused() {
    let depth = "BTCUSDT 1735689600122 false Diff Some(5) Some(7) Some(4) [] [(100, 200)] 0";
    let whole = "BTCUSDT 0 false Whole None Some(1) None [(100, 200)] [] 0";
    let ticker = "A 0 false Ticker(Ticker { id: 1, bid: None, ask: None })";
    let cases = [
        (
            r#" { "a" : [ [ 1 , 2 , [ ] ] ] , "b":[],"pu":4,"u":7,"x":{"e":"trade"},"U":5,"s":"BTCUSDT","T":1735689600122,"E":1735689600123,"e":"depthUpdate" } "#,
            depth,
        ),
        (
            r#"{"e":"depthUpdate","E":"1735689600123","T":1735689600122,"s":"\u0042TCUSDT","U":5,"u":7,"pu":4,"\u0062":[],"a":[["1.000000000000","2e0"]]}"#,
            depth,
        ),
        (
            r#"{"data":{"asks":[],"bids":[[1,2]],"lastUpdateId":1},"n":[{}],"stream":"btcusdt@depth5"}"#,
            whole,
        ),
        (
            r#"{"stream":"btcusdt@depth5","data":{"lastUpdateId":1,"bids":[[1,2]],"asks":[]},"more":1}"#,
            whole,
        ),
        (r#"{"B":"0","u":1,"s":"A","b":"0","a":"0","A":"0"}"#, ticker),
        (
            r#"{"u":1,"s":"A","b":"0","B":"0","a":"0","A":"0","e":"bookTicker"}"#,
            ticker,
        ),
        (
            r#"{"u":1,"s":"A","b":"0","B":"0","a":"0","A":"0","e":"kline"}"#,
            r#"- 0 false Other("kline")"#,
        ),
        (
            r#"{"lastUpdateId":1,"bids":[],"e":"kline"}"#,
            r#"- 0 false Other("kline")"#,
        ),
        (r#"{"u":1}"#, r#"- 0 false Other("unnamed")"#),
        (r#"{"stream":"a@b","data":{"id":1}}"#, r#"- 0 false Other("unnamed")"#),
        (r#"{"stream":"a@b","data":null}"#, r#"- 0 false Other("a@b")"#),
        (r#"{"e":"depthUpdate","s":"A"}"#, "error"),
        (
            r#"{"e":"trade","s":"A","t":1,"T":1735689600122,"p":"1","q":"1"}"#,
            "error",
        ),
        (
            r#"{"e":"trade","s":"A","t":1,"T":1735689600122,"p":"1","q":"1","m":"true"}"#,
            "error",
        ),
        (
            r#"{"e":"trade","s":"A","t":1,"T":1735689600,"p":"1","q":"1","m":true}"#,
            "error",
        ),
        (
            r#"{"e":"trade","s":"A","t":1.0,"T":1735689600122,"p":"1","q":"1","m":true}"#,
            "error",
        ),
        (r#"{"lastUpdateId":1,"bids":[]}"#, "error"),
        (r#"{"lastUpdateId":1,"bids":[[1]],"asks":[]}"#, "error"),
        (r#"{"lastUpdateId":1,"bids":[],"asks":[]"#, "error"),
        (r#"{"lastUpdateId":1,"bids":[],"asks":[],}"#, "error"),
        (r#"{"lastUpdateId":1,"bids":[],"asks":[]}x"#, "error"),
        (
            r#"{"stream":"a@b","data":{"lastUpdateId":1,"bids":[],"asks":[]}"#,
            "error",
        ),
        ("[]", "error"),
        ("", "error"),
    ];
    for (text, want) in cases {
        assert_eq!(told(Protocol::BinanceSpot, None, text), [want], "{text}");
    }
    let cases = [
        (
            r#"{"orderbook_units":[{"bid_size":4,"x":[1],"ask_size": 3,"bp":1,"ap":2.0}],"tms":"1735689600123","st":null,"cd":"A","type":"orderbook"}"#,
            "error",
        ),
        (
            r#"{"orderbook_units":[{"bid_size":4,"x":[1],"ask_size": 3,"bp":1,"ap":2.0}],"tms":"1735689600123","cd":"A","ty\u0070e":"orderbook"}"#,
            "A 1735689600123 false Whole None None None [(100, 400)] [(200, 300)] 0",
        ),
        (r#"{"type":"orderbook","code":"A","timestamp":1735689600123}"#, "error"),
        (r#"{"type":"orderbook","code":"A","orderbook_units":[]}"#, "error"),
        (
            r#"{"type":"orderbook","timestamp":1735689600123,"orderbook_units":[]}"#,
            "error",
        ),
        (
            r#"{"type":"orderbook","code":"A","timestamp":1735689600123,"orderbook_units":[{"ap":1,"bp":1,"as":1}]}"#,
            "error",
        ),
        (
            r#"{"ty":"trade","cd":"A","tms":1735689600123,"tp":1,"tv":1,"ab":"BUY","sid":1}"#,
            "error",
        ),
        (r#"{"type":null}"#, "error"),
        (r#"{"error":"text"}"#, "error"),
        (r#"{"error":null,"status":"UP"}"#, r#"- 0 false Other("status")"#),
        (r#"[[]]"#, "error"),
        (r#"[{"type":"ticker"},]"#, "error"),
        ("PING", "error"),
    ];
    for (text, want) in cases {
        assert_eq!(told(Protocol::Upbit, None, text), [want], "{text}");
    }
}

#[test]
fn f25_what_is_no_json_is_refused_and_nesting_is_bounded() {
    let nested = |depth: usize| format!(r#"{{"e":"x","y":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let cases = [
        nested(64),
        nested(65),
        nested(100_000),
        format!(r#"{{"e":"x","y":{}}}"#, r#"{"a":"#.repeat(100_000)),
        r#"{"e":"x","e":"x"}"#.to_owned(),
        r#"{"e":"x","y":1,"y":2}"#.to_owned(),
        r#"{"type":"trade","ty":"trade"}"#.to_owned(),
        r#"{"e":"x","y":01}"#.to_owned(),
        r#"{"e":"x","y":1.}"#.to_owned(),
        r#"{"e":"x","y":-}"#.to_owned(),
        r#"{"e":"x","y":1e}"#.to_owned(),
        r#"{"e":"x","y":-0.5E-3}"#.to_owned(),
        r#"{"e":"x","y":tru}"#.to_owned(),
        r#"{"e":"x","y":NaN}"#.to_owned(),
        r#"{"e":"x","y":"\x"}"#.to_owned(),
        r#"{"e":"x","y":"\u12g4"}"#.to_owned(),
        r#"{"e":"x","y":"\u00e9\n\\"}"#.to_owned(),
        r#"{"e":"\ud800"}"#.to_owned(),
        "{\"e\":\"x\",\"y\":\"\n\"}".to_owned(),
        "{\"e\":\"x\" \"y\":1}".to_owned(),
        "{\"e\":\"x\",\"y\" 1}".to_owned(),
        "{\"e\":\"x\",y:1}".to_owned(),
        "\u{feff}{\"e\":\"x\"}".to_owned(),
        "{\"e\":\"x\",\"y\":\"\u{d55c}\"}".to_owned(),
    ];
    let good = [0, 5, 6, 11, 16, 23];
    for (index, text) in cases.iter().enumerate() {
        let got = told(Protocol::BinanceSpot, None, text);
        assert_eq!(
            got != ["error"],
            good.contains(&index),
            "{}",
            &text[..text.len().min(80)]
        );
    }
    assert_eq!(told(Protocol::Upbit, None, &cases[6]), ["error"]);
    let mut scratch = Scratch::default();
    for bad in [
        &b"{\"e\":\"x\",\"y\":\"\xff\"}"[..],
        b"\xed\xa0\x80",
        b"{\"e\":\"\xc3\"}",
        b"\0",
        b"",
    ] {
        for protocol in [Protocol::Upbit, Protocol::BinanceSpot] {
            assert!(
                read(protocol, bad, &mut scratch, &mut |_| panic!("a message")).is_err(),
                "{bad:?}"
            );
        }
    }
}
