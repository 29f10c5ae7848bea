use super::*;

const S: i64 = 1_723_161_253;

/// A spot diff, received `recv` seconds and made `event` milliseconds after a fixed instant.
fn diff(recv: i64, event: i64, first: u64, last: u64, bid: &str) -> String {
    let (recv, event) = ((S + recv) * 1_000_000_000, S * 1_000 + event);
    format!(
        "{recv} {{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{event},\"s\":\"BTCUSDT\",\
         \"U\":{first},\"u\":{last},\"b\":[{bid}],\"a\":[]}}}}\n"
    )
}

fn snapshot(recv: i64, last: u64) -> String {
    let recv = (S + recv) * 1_000_000_000;
    format!("{recv} {{\"lastUpdateId\":{last},\"bids\":[[\"10.0\",\"1\"]],\"asks\":[[\"11.0\",\"1\"]]}}\n")
}

fn book(text: &str) -> Collected {
    run(Format::RawBinance, text, &Options::default()).unwrap()
}

/// Kinds and numbers of the messages, with seconds of receipt after the fixed instant.
fn outline(found: &Collected) -> Vec<String> {
    let rows = found.streams.get("binance-btcusdt").cloned().unwrap_or_default();
    rows.iter()
        .map(|row| {
            let words: Vec<&str> = row.split(' ').collect();
            let recv = words[2].parse::<i64>().unwrap() / 1_000_000_000 - S;
            format!("{} {recv} {}", words[0], words[3])
        })
        .collect()
}

#[test]
fn diffs_before_the_snapshot_are_kept_and_bridge_it() {
    let text = [
        diff(0, 1_000, 90, 95, "[\"9\",\"1\"]"),
        diff(1, 2_000, 96, 103, "[\"8\",\"1\"]"),
        snapshot(2, 100),
        diff(3, 4_000, 104, 104, "[\"8\",\"0\"]"),
    ];
    let found = book(&text.concat());
    assert_eq!(
        outline(&found),
        ["snapshot 2 #..100", "update 2 #96..103", "update 3 #104..104"]
    );
    assert_eq!(ignored(&found, "already in the book"), 1);
    // The snapshot has no time of its own: it is that of the first diff that goes past it.
    let first = &found.streams["binance-btcusdt"][0];
    assert!(
        first.starts_with(&format!("snapshot {} ", (S * 1_000 + 2_000) * 1_000_000)),
        "{first}"
    );
    assert_eq!(found.summaries[0].min_latency_ns, Some(-1_000_000_000));
    assert_eq!(found.summaries[0].traits.sequence, SequenceRule::BinanceSpot);
}

#[test]
fn f12_duplicates_are_applied_once() {
    let one = [snapshot(0, 100), diff(1, 0, 101, 102, ""), diff(2, 0, 103, 103, "")].concat();
    let twice = [
        snapshot(0, 100),
        diff(1, 0, 101, 102, "").repeat(2),
        diff(2, 0, 103, 103, "").repeat(3),
        diff(3, 0, 101, 102, ""),
    ];
    // A REST answer names no symbol: without a diff before it, the one symbol asked for is its symbol.
    let options = Options {
        symbols: vec!["BTCUSDT".to_owned()],
        ..Options::default()
    };
    let (one, twice) = (
        run(Format::RawBinance, &one, &options).unwrap(),
        run(Format::RawBinance, &twice.concat(), &options).unwrap(),
    );
    assert_eq!(one.streams, twice.streams);
    assert_eq!(ignored(&twice, "already in the book"), 4);
}

#[test]
fn f17_removals_of_unknown_levels_and_a_level_named_twice_pass_in_order() {
    let text = [
        diff(0, 0, 99, 100, ""),
        snapshot(0, 100),
        diff(
            1,
            0,
            101,
            101,
            "[\"7\",\"0.0\"],[\"9\",\"1\"],[\"9\",\"0\"],[\"9\",\"2\"]",
        ),
    ];
    let found = book(&text.concat());
    let last = found.streams["binance-btcusdt"].last().unwrap();
    assert!(last.ends_with("[7x0 9x1 9x0 9x2|]"), "{last}");
}

#[test]
fn f13_f14_a_missing_or_late_diff_is_a_gap_until_the_next_snapshot() {
    let diffs: Vec<String> = (0..6)
        .map(|n| diff(n as i64, 0, 100 + 2 * n, 101 + 2 * n, ""))
        .collect();
    for missing in 1..5 {
        let mut text: Vec<String> = diffs.clone();
        text.insert(1, snapshot(0, 101));
        text.remove(1 + missing);
        let found = book(&text.concat());
        assert_eq!(
            outline(&found).last().unwrap(),
            &format!("status {} 2", missing + 1),
            "{missing}"
        );
        // Diffs after the gap are kept for a snapshot that never comes.
        assert_eq!(ignored(&found, "no snapshot to apply it to"), 5 - missing as u64);
        // The next snapshot takes those up that go past it.
        text.push(snapshot(9, 109));
        let found = book(&text.concat());
        let outline = outline(&found);
        assert_eq!(
            outline[outline.len() - 2..],
            ["snapshot 9 #..109", "update 9 #110..111"],
            "{missing}"
        );
    }
    // Two diffs that change places leave a gap where the first is missed; neither is applied late.
    let text = [
        diff(0, 0, 100, 101, ""),
        snapshot(0, 101),
        diff(1, 0, 102, 103, ""),
        diff(2, 0, 106, 107, ""),
        diff(3, 0, 104, 105, ""),
        diff(4, 0, 108, 109, ""),
    ];
    assert_eq!(
        outline(&book(&text.concat())),
        ["snapshot 0 #..101", "update 1 #102..103", "status 2 2"]
    );
}

#[test]
fn a_snapshot_too_old_for_the_kept_diffs_is_a_gap_and_the_next_one_mends_it() {
    let text = [
        diff(0, 0, 110, 111, ""),
        snapshot(1, 100),
        diff(2, 0, 112, 113, ""),
        snapshot(3, 111),
    ];
    let found = book(&text.concat());
    assert_eq!(
        outline(&found),
        [
            "snapshot 1 #..100",
            "status 1 2",
            "snapshot 3 #..111",
            "update 3 #112..113"
        ]
    );
}

#[test]
fn f22_f25_broken_frames_are_put_aside_and_unknown_kinds_counted() {
    let good = diff(1, 0, 101, 102, "");
    let frame = |json: &str| format!("{}000000000 {json}\n", S + 1);
    let broken: [Vec<u8>; 11] = [
        good.as_bytes()[..good.len() - 10].to_vec(),
        good.replace("\"U\":101,", "").into_bytes(),
        good.replace("\"U\":101,", "\"U\":101,\"U\":101,").into_bytes(),
        good.replace("\"b\":[]", "\"b\":[[\"NaN\",\"1\"]]").into_bytes(),
        good.replace("\"b\":[]", "\"b\":[[\"1e400\",\"1\"]]").into_bytes(),
        good.replace("\"b\":[]", "\"b\":[[\"0\",\"1\"]]").into_bytes(),
        good.replace("\"b\":[]", "\"b\":[[\"1.000000000000000000000000000001\",\"1\"]]")
            .into_bytes(),
        frame(&"[".repeat(100_000)).into_bytes(),
        frame("").into_bytes(),
        [
            good.as_bytes().split_at(60).0,
            b"\xff\xfe".as_slice(),
            good.as_bytes().split_at(60).1,
        ]
        .concat(),
        b"no capture line at all\n".to_vec(),
    ];
    for bytes in broken {
        let mut text = snapshot(0, 100).into_bytes();
        text.extend_from_slice(&bytes);
        if bytes.last() != Some(&b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(frame("{\"stream\":\"btcusdt@kline_1m\",\"data\":{\"e\":\"kline\"}}").as_bytes());
        text.extend_from_slice(frame("{\"result\":null,\"id\":1}").as_bytes());
        text.extend_from_slice(good.as_bytes());
        let options = Options {
            symbols: vec!["BTCUSDT".to_owned()],
            ..Options::default()
        };
        let found = run_bytes(Format::RawBinance, &[("f", &text)], &options).unwrap();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(160)]).into_owned();
        assert_eq!(found.quarantined.len(), 1, "{shown}: {:?}", found.account);
        assert_eq!(found.quarantined[0].0, 2, "{shown}");
        assert_eq!(outline(&found), ["snapshot 0 #..100", "update 1 #101..102"], "{shown}");
        assert_eq!(
            (
                ignored(&found, "other kind: kline"),
                ignored(&found, "other kind: unnamed")
            ),
            (1, 1)
        );
    }
    // A field that we do not know is no reason to refuse.
    let text = [snapshot(0, 100), good.replace("\"U\":", "\"new\":{\"x\":[1]},\"U\":")].concat();
    let options = Options {
        symbols: vec!["BTCUSDT".to_owned()],
        ..Options::default()
    };
    assert_eq!(run(Format::RawBinance, &text, &options).unwrap().account.applied, 2);
}

#[test]
fn tickers_and_trades_are_streams_of_their_own() {
    let at = |n: i64| (S + n) * 1_000_000_000;
    let ms = S * 1_000;
    let text = format!(
        "{} {{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":7,\"s\":\"BTCUSDT\",\"b\":\"10\",\"B\":\"1\",\"a\":\"11\",\"A\":\"0\"}}}}\n\
         {} {{\"data\":{{\"e\":\"bookTicker\",\"u\":8,\"s\":\"BTCUSD_PERP\",\"b\":\"10\",\"B\":\"1\",\"a\":\"11\",\"A\":\"2\",\"T\":{ms},\"E\":{ms}}},\"stream\":\"x\"}}\n\
         {} {{\"e\":\"trade\",\"E\":{ms},\"T\":{ms},\"s\":\"BTCUSDT\",\"t\":5,\"p\":\"10.5\",\"q\":\"0.1\",\"m\":true,\"M\":true}}\n\
         {} {{\"e\":\"aggTrade\",\"E\":{ms},\"T\":{ms},\"s\":\"BTCUSDT\",\"a\":5,\"p\":\"10.5\",\"q\":\"0.1\",\"m\":false}}\n",
        at(0),
        at(1),
        at(2),
        at(3)
    );
    let channels = |depth, ticker, trade| Options {
        channels: Channels { depth, ticker, trade },
        ..Options::default()
    };
    let found = run(Format::RawBinance, &text, &channels(false, true, true)).unwrap();
    let names: Vec<&str> = found.streams.keys().map(String::as_str).collect();
    let want = [
        "binance-btcusdt-quotes",
        "binance-btcusdt-trades",
        "binance-coinm-btcusd-perp-quotes",
        "binance-usdm-btcusdt-trades",
    ];
    assert_eq!(names, want);
    assert_eq!(
        found.streams[want[0]],
        [format!("snapshot {} {} #..7 [10x1|]", at(0), at(0))]
    );
    assert!(found.streams[want[1]][0].ends_with("[|10.5x0.1]"), "the seller took");
    assert!(found.streams[want[3]][0].ends_with("[10.5x0.1|]"), "the buyer took");
    let found = run(Format::RawBinance, &text, &channels(true, false, true)).unwrap();
    assert_eq!(ignored(&found, "other stream: bookTicker"), 2);
    assert!(
        found.streams.contains_key("binance-btcusdt"),
        "trades go beside the book"
    );
}

#[test]
fn rest_answers_are_told_apart_by_their_address() {
    let text = format!(
        "https://x/api/v1/depth?symbol=ZILUSDT&limit=1000 -> {S}.5: {{\"lastUpdateId\":5,\"bids\":[],\"asks\":[[\"1\",\"1\"]]}}\n\
         https://x/api/v1/depth?symbol=DENTUSDT -> {S}.6: {{\"lastUpdateId\":6,\"bids\":[],\"asks\":[[\"2\",\"1\"]]}}\n\
         {}.7: {{\"e\":\"depthUpdate\",\"E\":{S}000,\"s\":\"AUSDT\",\"U\":1,\"u\":1,\"b\":[],\"a\":[]}}\n\
         {}.7: {{\"e\":\"depthUpdate\",\"E\":{S}000,\"s\":\"BUSDT\",\"U\":1,\"u\":1,\"b\":[],\"a\":[]}}\n\
         {}.8: {{\"lastUpdateId\":6,\"bids\":[],\"asks\":[[\"2\",\"1\"]]}}\n",
        S, S, S
    );
    let found = run(Format::RawBinance, &text, &Options::default()).unwrap();
    assert_eq!(
        found.streams.keys().collect::<Vec<_>>(),
        ["binance-dentusdt", "binance-zilusdt"]
    );
    assert_eq!(found.quarantined.len(), 1);
    assert!(found.quarantined[0].1.contains("names no symbol"));
}

fn upbit(tms: i64, price: &str) -> String {
    format!(
        "{S}.{tms:03}: b'{{\"ty\":\"orderbook\",\"cd\":\"KRW-IQ\",\"tms\":{S}{tms:03},\"tas\":1,\"tbs\":1,\
         \"obu\":[{{\"ap\":41.4,\"bp\":{price},\"as\":9354.4915888,\"bs\":2E-8}},{{\"ap\":0,\"bp\":41.1,\"as\":0,\"bs\":1}}]}}'\n"
    )
}

#[test]
fn upbit_frames_in_every_spelling() {
    let default = upbit(1, "41.2")
        .replace("\"ty\"", "\"type\"")
        .replace("\"cd\"", "\"code\"")
        .replace("\"tms\"", "\"timestamp\"")
        .replace("\"obu\"", "\"orderbook_units\"")
        .replace("\"ap\"", "\"ask_price\"")
        .replace("\"bp\"", "\"bid_price\"")
        .replace("\"as\"", "\"ask_size\"")
        .replace("\"bs\"", "\"bid_size\"");
    let list = upbit(1, "\"41.2\"").replace("b'{", "b'[{").replace("}'", "}]'");
    let want = format!("snapshot {S}001000000 {S}001000000 [41.2x0.00000002 41.1x1|41.4x9354.4915888]");
    for text in [upbit(1, "41.2"), default, list] {
        let found = run(Format::RawUpbit, &text, &Options::default()).unwrap();
        assert_eq!(found.streams["upbit-krw-iq"], std::slice::from_ref(&want), "{text}");
    }
    let trade = format!(
        "{S}.5: b'{{\"ty\":\"trade\",\"cd\":\"KRW-IQ\",\"tms\":{S}082,\"ttms\":{S}000,\"tp\":41.3,\"tv\":3630.145278,\"ab\":\"ASK\",\"sid\":1}}'\n"
    );
    let options = Options {
        channels: Channels {
            depth: false,
            ticker: false,
            trade: true,
        },
        ..Options::default()
    };
    let found = run(Format::RawUpbit, &trade, &options).unwrap();
    assert_eq!(
        found.streams["upbit-krw-iq-trades"],
        [format!("trade {S}082000000 {S}500000000 [|41.3x3630.145278]")]
    );
    let found = run(Format::RawUpbit, &format!("{S}.1: {{\"status\":\"UP\"}}\n{S}.2: {{\"error\":{{\"name\":\"NO_CODES\"}}}}\n{S}.3: {{\"ty\":\"ticker\"}}\n"), &options).unwrap();
    let kinds: Vec<&str> = found.account.ignored.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["other kind: error", "other kind: status", "other kind: ticker"]);
    for (from, to) in [
        ("\"ASK\"", "\"UP\""),
        ("41.3", "-41.3"),
        ("41.3", "0"),
        ("41.3", "null"),
        ("\"tv\"", "\"xx\""),
        ("}'", "'"),
    ] {
        let found = run(Format::RawUpbit, &trade.replace(from, to), &options).unwrap();
        assert_eq!(found.quarantined.len(), 1, "{from} {to}");
    }
}

#[test]
fn f21_upbit_books_that_go_back_in_time_are_dropped_and_counted() {
    let text = [
        upbit(5, "41.2"),
        upbit(6, "41.3"),
        upbit(5, "40").replace(".005:", ".007:"),
        upbit(6, "41.1").replace(".006:", ".008:"),
    ];
    let found = run(Format::RawUpbit, &text.concat(), &Options::default()).unwrap();
    assert_eq!(found.streams["upbit-krw-iq"].len(), 3, "an equal time may carry news");
    assert_eq!(ignored(&found, "older than the book"), 1);
    assert_eq!(found.summaries[0].traits.sequence, SequenceRule::UpbitTimestamp);
}

#[test]
fn bybit_books_by_connection() {
    let line = |conn: &str, n: i64, kind: &str, u: u64| {
        format!(
            "{{\"t\":\"recv\",\"conn\":\"{conn}\",\"ts\":{S}.{n:03},\"data\":\"{{\\\"topic\\\":\\\"orderbook.200.BTCUSDT\\\",\\\"type\\\":\\\"{kind}\\\",\
             \\\"ts\\\":{S}{n:03},\\\"data\\\":{{\\\"s\\\":\\\"BTCUSDT\\\",\\\"b\\\":[[\\\"10\\\",\\\"1\\\"]],\\\"a\\\":[],\\\"u\\\":{u},\\\"seq\\\":1}},\\\"cts\\\":{S}{n:03}}}\"}}\n"
        )
    };
    let text = [
        "{\"t\":\"header\",\"format\":2,\"exchange\":\"BYBIT\"}\n".to_owned(),
        format!("{{\"t\":\"connect\",\"conn\":\"p\",\"ts\":{S}.0,\"addr\":\"wss://x/v5/public/linear\"}}\n"),
        format!("{{\"t\":\"connect\",\"conn\":\"s\",\"ts\":{S}.0,\"addr\":\"wss://x/v5/public/spot\"}}\n"),
        line("p", 1, "snapshot", 5),
        line("s", 2, "snapshot", 9),
        line("p", 3, "delta", 6),
        line("p", 4, "delta", 8),
        line("s", 5, "delta", 10),
        line("p", 6, "snapshot", 1),
        line("p", 7, "delta", 2),
        line("p", 8, "other", 3),
    ];
    let found = run(Format::RawBybit, &text.concat(), &Options::default()).unwrap();
    let kinds = |name: &str| -> Vec<String> {
        found.streams[name]
            .iter()
            .map(|row| row.split(' ').next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(
        kinds("bybit-linear-btcusdt"),
        ["complete", "update", "status", "complete", "update"]
    );
    assert_eq!(kinds("bybit-btcusdt"), ["complete", "update"]);
    assert_eq!(ignored(&found, "before the snapshot"), 1);
    assert_eq!(found.quarantined.len(), 1);
}
