use super::*;

#[test]
fn tardis_rows_of_one_message_come_together() {
    let text = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n\
        binance,BTCUSDT,1725148799000000,1725148800000000,false,bid,9,1\n\
        binance,BTCUSDT,1725148799900000,1725148800100000,true,bid,10.5,1\n\
        binance,BTCUSDT,1725148800000000,1725148800100000,true,ask,11,2\n\
        binance,BTCUSDT,1725148800200000,1725148800300000,false,bid,10.5,0\n\
        binance,BTCUSDT,1725148800200000,1725148800300000,false,ask,11,0.5\n\
        binance,BTCUSDT,1725148800250000,1725148800300000,false,ask,12,1e-05\n";
    let found = run(Format::Tardis, text, &Options::default()).unwrap();
    assert_eq!(
        found.streams["binance-btcusdt"],
        [
            "snapshot 1725148800000000000 1725148800100000000 [10.5x1|11x2]",
            "update 1725148800200000000 1725148800300000000 [10.5x0|11x0.5]",
            "update 1725148800250000000 1725148800300000000 [|12x0.00001]",
        ]
    );
    assert_eq!(ignored(&found, "before the first snapshot"), 1);
    assert_eq!((found.account.received, found.account.applied), (6, 5));
    assert_eq!(found.summaries[0].min_latency_ns, Some(50_000_000));

    let options = Options {
        complete: true,
        ..Options::default()
    };
    assert!(run(Format::Tardis, text, &options).unwrap().streams["binance-btcusdt"][0].starts_with("complete "));
    let options = Options {
        symbols: vec!["ETHUSDT".to_owned()],
        ..Options::default()
    };
    assert_eq!(
        ignored(&run(Format::Tardis, text, &options).unwrap(), "other symbol"),
        6
    );
}

#[test]
fn tardis_tops_quotes_and_trades_are_told_by_their_header() {
    let cases = [
        (
            "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,asks[1].price,asks[1].amount,bids[1].price,bids[1].amount\n\
             upbit,KRW-BTC,1725148800000000,1725148800100000,11,2,10,1,12,3,,\n",
            "upbit-krw-btc",
            "snapshot 1725148800000000000 1725148800100000000 [10x1|11x2 12x3]",
        ),
        (
            "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n\
             upbit,KRW-BTC,1725148800000000,1725148800100000,2,11,10,1\n",
            "upbit-krw-btc-quotes",
            "snapshot 1725148800000000000 1725148800100000000 [10x1|11x2]",
        ),
        (
            "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n\
             upbit,KRW-BTC,1725148800000000,1725148800100000,7,unknown,11,2\n\
             upbit,KRW-BTC,1725148800000000,1725148800100000,8,sell,11,2\n",
            "upbit-krw-btc-trades",
            "trade 1725148800000000000 1725148800100000000 [|11x2]",
        ),
    ];
    for (text, name, want) in cases {
        let found = run(Format::Tardis, text, &Options::default()).unwrap();
        assert_eq!(found.streams[name], [want]);
    }
    let head = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nupbit,KRW-BTC,1725148800000000,";
    let refused = [
        ("exchange,symbol,timestamp\n", "no column `local_timestamp`"),
        (
            "exchange,symbol,timestamp,local_timestamp,funding_rate\n",
            "f:1: no column `is_snapshot (incremental_book_L2)",
        ),
        (
            &format!("{head}1725148800100000,8,up,11,2\n"),
            "f:2: column `side`: `up`; allowed: buy, sell, unknown",
        ),
        (
            &format!("{head}1725148800100,8,buy,11,2\nupbit,KRW-BTC,1725148800000000,1725148800100000,8,buy,11,2\n"),
            "f:3: column `local_timestamp`",
        ),
    ];
    for (text, want) in refused {
        let error = run(Format::Tardis, text, &Options::default()).unwrap_err();
        assert!(error.contains(want), "{text}: {error}");
    }
}

#[test]
fn binance_public_files_with_and_without_header() {
    let ticker = "111,61800.1,2.5,61800.2,0,1723161256313,1723161256314\n";
    let header = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n";
    for text in [ticker.to_owned(), format!("{header}{ticker}")] {
        let file = (
            "dir/BTCUSDT-bookTicker-2024-08-08.zip:BTCUSDT-bookTicker-2024-08-08.csv",
            text.as_bytes(),
        );
        let found = run_bytes(Format::BinanceBookTicker, &[file], &Options::default()).unwrap();
        assert_eq!(
            found.streams["binance-usdm-btcusdt-quotes"],
            ["snapshot 1723161256313000000 1723161256314000000 #..111 [61800.1x2.5|]"]
        );
    }
    // Spot, microseconds since 2025, eight fields; futures, milliseconds, seven fields and a header.
    let cases = [
        (
            "binance",
            "5,0.5,2,7,8,1735689600123456,True,True\n",
            "trade 1735689600123456000 1735689600133456000 #..5 [|0.5x2]",
        ),
        (
            "binance-usdm",
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n5,0.5,2,7,8,1735689600123,false\n",
            "trade 1735689600123000000 1735689600133000000 #..5 [0.5x2|]",
        ),
    ];
    for (venue, text, want) in cases {
        let options = Options {
            assumed_latency_ns: 10_000_000,
            ..Options::default()
        };
        let file = ("BTCUSDT-aggTrades-2025-01-01.csv", text.as_bytes());
        let found = run_bytes(Format::BinanceAggTrades, &[file], &options).unwrap();
        assert_eq!(found.streams[&format!("{venue}-btcusdt-trades")], [want]);
    }
    let error = run(Format::BinanceAggTrades, "1,2,3,4,5,6,7,8,9\n", &Options::default()).unwrap_err();
    assert!(error.contains("--symbol"), "{error}");
    let file = ("BTCUSDT-aggTrades-2025-01-01.csv", &b"1,2,3,4,5,6,7,8,9\n"[..]);
    let error = run_bytes(Format::BinanceAggTrades, &[file], &Options::default()).unwrap_err();
    assert!(error.contains("9 fields where 8 are needed"), "{error}");
}

#[test]
fn book_depth_bands_become_coarse_levels() {
    let text = "timestamp,percentage,depth,notional\n\
        2023-01-01 00:00:08,-2,30,2960\n2023-01-01 00:00:08,-1,10,990\n\
        2023-01-01 00:00:08,1,5,505\n2023-01-01 00:00:08,2,5,505\n";
    let options = Options {
        symbols: vec!["BTCUSDT".to_owned()],
        ..Options::default()
    };
    let found = run(Format::BinanceBookDepth, text, &options).unwrap();
    assert_eq!(
        found.streams["binance-usdm-btcusdt"],
        ["snapshot 1672531208000000000 1672531208000000000 [99x10 98.5x20|101x5]"]
    );
    let refused = [
        ("2023-01-01 00:00:08,0,1,1\n", "a percentage below zero"),
        (
            "2023-01-01 00:00:08,1,5,505\n2023-01-01 00:00:08,2,4,600\n",
            "depth and notional that grow",
        ),
        ("2023-01-01 00:00:08,1,-5,505\n", "must not be negative"),
    ];
    for (rows, want) in refused {
        let error = run(
            Format::BinanceBookDepth,
            &format!("timestamp,percentage,depth,notional\n{rows}"),
            &options,
        );
        assert!(
            error.as_ref().is_err_and(|error| error.contains(want)),
            "{rows}: {error:?}"
        );
    }
}

#[test]
fn wide_rows_are_snapshots_of_a_stated_zone() {
    let text = "timestamp,symbol,b1,b2,bv1,bv2,a1,a2,av1,av2\n\
        2021-08-20 00:00:00,LINKUSDT.BNC,27.095,27.088,988.45,215.284,27.101,,21.079,\n";
    let found = run(Format::WideCsv, text, &in_zone("UTC")).unwrap();
    assert_eq!(
        found.streams["bnc-linkusdt"],
        ["snapshot 1629417600000000000 1629417600000000000 [27.095x988.45 27.088x215.284|27.101x21.079]"]
    );
    let options = Options {
        venue: Some("binance".to_owned()),
        ..in_zone("UTC")
    };
    assert!(
        run(Format::WideCsv, text, &options)
            .unwrap()
            .streams
            .contains_key("binance-linkusdt")
    );
    let refused = [
        (text.to_owned(), Options::default(), "has no zone"),
        (
            text.replace(",bv2,", ",bv3,"),
            in_zone("UTC"),
            "b2 and bv2, both or neither",
        ),
        (
            text.replace("27.101,,21.079,", "27.101,,21.079,5"),
            in_zone("UTC"),
            "a price and a size, or neither",
        ),
        (text.replace(".BNC", ""), in_zone("UTC"), "--venue"),
    ];
    for (text, options, want) in refused {
        let error = run(Format::WideCsv, &text, &options).unwrap_err();
        assert!(error.contains(want), "{text}: {error}");
    }
}

#[test]
fn sizes_finer_than_a_step_are_refused_or_cut_and_counted() {
    let text = "timestamp,symbol,b1,bv1,a1,av1\n\
        2021-08-20 00:00:00,S.HB,1,26.88178831780013,2,0.999999999\n";
    let error = run(Format::WideCsv, text, &in_zone("UTC")).unwrap_err();
    assert!(
        error.contains("f:2: column `bv1`: `26.88178831780013`: finer than 1e-8"),
        "{error}"
    );
    let options = Options {
        cut_sizes: true,
        ..in_zone("UTC")
    };
    let found = run(Format::WideCsv, text, &options).unwrap();
    assert!(found.streams["hb-s"][0].ends_with("[1x26.88178831|2x0.99999999]"));
    assert_eq!(found.account.cut_sizes, 2);
    for bad in ["1.5e-9", "1.1234567890e0", "-0.123456789", "1.234567891x"] {
        let text = text.replace("26.88178831780013", bad);
        assert!(run(Format::WideCsv, &text, &options).is_err(), "{bad}");
    }
    let prices = text.replace(",1,26", ",1.000000001,26");
    assert!(run(Format::WideCsv, &prices, &options).is_err(), "prices are never cut");
}

#[test]
fn json_snapshots_are_exact_and_in_their_zone() {
    let text = "{\"timestamp\":\"2025-08-24T06:03:18.382000\",\"exchange\":\"upbit\",\"symbol\":\"BTC/KRW\",\
        \"bids\":[[159508000.0,0.02069352]],\"asks\":[[1.59509E+8,1e-8,\"x\"]],\"mid_price\":1}\n\n";
    let found = run(Format::JsonlSnapshots, text, &in_zone("Asia/Seoul")).unwrap();
    assert_eq!(
        found.streams["upbit-btc-krw"],
        ["snapshot 1755982998382000000 1755982998382000000 [159508000x0.02069352|159509000x0.00000001]"]
    );
    let refused = [
        (text.to_owned(), Options::default(), "f:1: column `timestamp`"),
        (text[..60].to_owned(), in_zone("UTC"), "f:1: bad JSON: EOF"),
        (
            text.replace("\"bids\"", "\"bid\""),
            in_zone("UTC"),
            "missing field `bids`",
        ),
        (text.replace("0.02069352", "-1"), in_zone("UTC"), "must not be negative"),
        (text.replace("0.02069352", "NaN"), in_zone("UTC"), "f:1: bad JSON"),
        (text.replace("\"mid_price\"", "\"symbol\""), in_zone("UTC"), "bad JSON"),
    ];
    for (text, options, want) in refused {
        let error = run(Format::JsonlSnapshots, &text, &options).unwrap_err();
        assert!(error.contains(want), "{text}: {error}");
    }
}

#[test]
fn plain_rows_say_what_they_are_or_are_told() {
    let bare = "ts,venue,symbol,side,price,qty\n\
        1723161253,Binance,BTCUSDT,bid,10,1\n1723161253,Binance,BTCUSDT,sell,11,2\n1723161254,Binance,BTCUSDT,b,10,0\n";
    let error = run(Format::Csv, bare, &Options::default()).unwrap_err();
    assert!(error.contains("--rows"), "{error}");
    for (rows, second) in [(RowsMean::Updates, "update"), (RowsMean::Snapshots, "snapshot")] {
        let found = run(
            Format::Csv,
            bare,
            &Options {
                rows: Some(rows),
                ..Options::default()
            },
        )
        .unwrap();
        assert_eq!(
            found.streams["binance-btcusdt"],
            [
                "snapshot 1723161253000000000 1723161253000000000 [10x1|11x2]".to_owned(),
                format!("{second} 1723161254000000000 1723161254000000000 [10x0|]"),
            ]
        );
    }
    // As `dataset convert` writes it: two messages of one instant keep apart, and nothing is lost.
    let full = "ts,venue,symbol,side,price,qty,ts_recv,kind,message,seq_first,seq_last,seq_prev\n\
        1723161253000000000,v,S,bid,10.00000000,1.00000000,1723161253000000001,complete_snapshot,0,,7,\n\
        1723161253000000000,v,S,,,,1723161253000000001,update,1,8,9,7\n\
        1723161253000000000,v,S,bid,10.00000000,0.00000000,1723161253000000001,update,2,10,11,9\n\
        1723161253000000000,v,S,bid,10.00000000,1.00000000,1723161253000000002,trade,3,,,\n\
        1723161253000000000,v,S,bid,10.00000000,1.00000000,1723161253000000002,trade,4,,,\n\
        1723161253000000000,v,S,,5.00000000,-0.00010000,1723161253000000003,funding,5,,,\n\
        1723161253000000000,v,S,,2,,1723161253000000003,status,6,,,\n";
    let found = run(Format::Csv, full, &Options::default()).unwrap();
    let at = "1723161253000000000 172316125300000000";
    assert_eq!(
        found.streams["v-s"],
        [
            format!("complete {at}1 #..7 [10x1|]"),
            format!("update {at}1 #8..9<7 [|]"),
            format!("update {at}1 #10..11<9 [10x0|]"),
            format!("trade {at}2 [10x1|]"),
            format!("trade {at}2 [10x1|]"),
            format!("funding {at}3 -10000 at 5"),
            format!("status {at}3 2"),
        ]
    );
    let refused = [
        (
            full.replace("complete_snapshot", "full"),
            "allowed: snapshot, complete_snapshot",
        ),
        (full.replace(",,2,,", ",,9,,"), "0 (connected)"),
        (
            full.replace(",bid,10.00000000,0", ",middle,10.00000000,0"),
            "f:4: column `side`: `middle`",
        ),
        (
            full.replace("000000003,status", "000000001,status"),
            "f:8: receive time",
        ),
        (full.replace(",8,9,7", ",x,9,7"), "a whole number, or empty"),
    ];
    for (text, want) in refused {
        let error = run(Format::Csv, &text, &Options::default()).unwrap_err();
        assert!(error.contains(want), "{want}: {error}");
    }
}

#[test]
fn tops_of_book_come_in_two_spellings() {
    let options = Options {
        venue: Some("v".to_owned()),
        symbols: vec!["S".to_owned()],
        ..Options::default()
    };
    let found = run(
        Format::TopCsv,
        "ts,bid,bid_qty,ask,ask_qty\n1723161253000,10,1,,\n",
        &options,
    )
    .unwrap();
    assert_eq!(
        found.streams["v-s-quotes"],
        ["snapshot 1723161253000000000 1723161253000000000 [10x1|]"]
    );
    let text = "ts,venue,symbol,bid_price,bid_qty,ask_price,ask_qty,ts_recv\n\
        1723161253000000000,v,S,10,1,11,2,1723161253000000005\n";
    let found = run(Format::TopCsv, text, &Options::default()).unwrap();
    assert_eq!(
        found.streams["v-s-quotes"],
        ["snapshot 1723161253000000000 1723161253000000005 [10x1|11x2]"]
    );
    let error = run(Format::TopCsv, "ts,bid,ask,ask_qty\n", &options).unwrap_err();
    assert!(error.contains("no column `bid_qty`"), "{error}");
}

#[test]
fn a_rate_of_a_date_is_known_only_once_published() {
    let text = "date,eurusd,eurkrw\n2024-01-15,1.0945,1442.36\n2024-07-15,1.0908,1509.51\n";
    let options = Options {
        venue: Some("ecb".to_owned()),
        fx_columns: vec![FxColumns::parse("usdkrw=eurkrw/eurusd").unwrap()],
        published_at: PublishedAt::parse("16:00@Europe/Berlin"),
        ..Options::default()
    };
    let found = run(Format::FxCsv, text, &options).unwrap();
    // Winter time: 15:00 UTC; summer time: 14:00 UTC.
    assert_eq!(
        found.streams["ecb-usdkrw"],
        [
            "fx 1705330800000000000 1705330800000000000 1317.82549109",
            "fx 1721052000000000000 1721052000000000000 1383.85588559",
        ]
    );
    let error = run(
        Format::FxCsv,
        text,
        &Options {
            published_at: None,
            ..options
        },
    )
    .unwrap_err();
    assert!(error.contains("--published-at"), "{error}");
    let options = Options {
        venue: Some("v".to_owned()),
        symbols: vec!["USDKRW".to_owned()],
        ..Options::default()
    };
    let found = run(Format::FxCsv, "ts,rate\n1723161253000,1380.5\n", &options).unwrap();
    assert_eq!(
        found.streams["v-usdkrw"],
        ["fx 1723161253000000000 1723161253000000000 1380.5"]
    );
}

#[test]
fn f30_unsorted_rows_are_refused_or_put_in_order_within_a_window() {
    let text = "ts,venue,symbol,bid,bid_qty,ask,ask_qty\n\
        1723161253000,v,S,10,1,11,1\n1723161253500,v,S,12,1,13,1\n1723161253400,v,S,11,1,12,1\n1723161255000,v,S,13,1,14,1\n";
    let error = run(Format::TopCsv, text, &Options::default()).unwrap_err();
    assert!(
        error.starts_with("f:4: receive time 1723161253400000000 ns is before 1723161253500000000"),
        "{error}"
    );
    let found = run(
        Format::TopCsv,
        text,
        &Options {
            reorder_ns: 100_000_000,
            ..Options::default()
        },
    )
    .unwrap();
    let times: Vec<&str> = found.streams["v-s-quotes"].iter().map(|row| &row[9..22]).collect();
    assert_eq!(
        times,
        ["1723161253000", "1723161253400", "1723161253500", "1723161255000"]
    );
    assert_eq!(found.summaries[0].reordered, 1);
    let narrow = Options {
        reorder_ns: 1_000_000,
        ..Options::default()
    };
    let error = run(Format::TopCsv, text, &narrow).unwrap_err();
    assert!(error.starts_with("f:4: receive time"), "{error}");
    let late = format!("{text}1723161253999,v,S,1,1,2,1\n");
    let error = run(
        Format::TopCsv,
        &late,
        &Options {
            reorder_ns: 100_000_000,
            ..Options::default()
        },
    )
    .unwrap_err();
    assert!(error.contains("f:6"), "{error}");
}

#[test]
fn parity_rows_are_exact_ticks_and_lots() {
    use polars::prelude::*;
    use polars_io::parquet::write::ParquetWriter;
    let mut frame = df!(
        "ts_ns" => [1_700_000_000_000_000_000i64, 1_700_000_000_000_000_000, 1_700_000_000_000_000_000, 1_700_000_000_000_000_001],
        "local_ns" => [1_700_000_000_008_000_000i64, 1_700_000_000_008_000_000, 1_700_000_000_040_000_000, 1_700_000_000_050_000_000],
        "msg" => [1i64, 1, 2, 3],
        "venue" => [0i64, 0, 1, 2],
        "side" => [1i64, -1, -1, 0],
        "price" => [0.0f64, 0.0, 0.0, 0.0],
        "qty" => [0.0f64, 0.0, 0.0, 0.0],
        "is_snapshot" => [true, true, false, false],
        "price_ticks" => [50_000i64, 50_001, 378_001, 132_055],
        "qty_lots" => [10i64, 0, 7, 0],
    )
    .unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    let found = run_bytes(Format::Parity, &[("feed.parquet", &bytes)], &Options::default()).unwrap();
    let want = [
        (
            "parity-a-krw-btc",
            "complete 1700000000000000000 1700000000008000000 [50000000x0.01|50001000x0]",
        ),
        (
            "parity-b-btcusdt",
            "update 1700000000000000000 1700000000040000000 [|37800.1x0.007]",
        ),
        ("parity-usdkrw", "fx 1700000000000000001 1700000000050000000 1320.55"),
    ];
    for (name, message) in want {
        assert_eq!(found.streams[name], [message]);
    }
    for cut in [4, bytes.len() / 2, bytes.len() - 1] {
        let error = run_bytes(Format::Parity, &[("feed.parquet", &bytes[..cut])], &Options::default()).unwrap_err();
        assert!(error.contains("damaged or cut short"), "{cut}: {error}");
    }
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    let cases = [
        (
            "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n",
            "",
            Some(Format::Tardis),
        ),
        (
            "1,2,3\n",
            "btcusdt-aggtrades-2025-01-01.zip",
            Some(Format::BinanceAggTrades),
        ),
        ("update_id,best_bid_price\n", "", Some(Format::BinanceBookTicker)),
        (
            "timestamp,percentage,depth,notional\n",
            "",
            Some(Format::BinanceBookDepth),
        ),
        (
            "1723161253937085768 {\"stream\":\"btcusdt@trade\",\"data\":{}}\n",
            "",
            Some(Format::RawBinance),
        ),
        (
            "1617646620.8: b'{\"ty\":\"trade\",\"tms\":1}'\n",
            "",
            Some(Format::RawUpbit),
        ),
        (
            "{\"t\":\"header\",\"format\":2,\"exchange\":\"BYBIT\"}\n",
            "",
            Some(Format::RawBybit),
        ),
        ("{\"timestamp\":\"x\",\"bids\":[]}\n", "", Some(Format::JsonlSnapshots)),
        ("\u{feff}timestamp,symbol,b1,bv1,a1,av1\n", "", Some(Format::WideCsv)),
        ("ts,venue,symbol,side,price,qty\n", "", Some(Format::Csv)),
        ("ts,bid,bid_qty,ask,ask_qty\n", "", Some(Format::TopCsv)),
        ("date,eurusd,eurkrw\n", "", Some(Format::FxCsv)),
        (
            "configuration: {}\n1617646620.8: {\"type\":\"transaction\"}\n",
            "",
            None,
        ),
        ("hello\n", "", None),
        ("", "", None),
    ];
    for (text, name, want) in cases {
        assert_eq!(super::super::detect_head(text.as_bytes(), name), want, "{text}");
    }
}
