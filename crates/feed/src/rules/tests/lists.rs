//! Lists as venues send them, and as they should not.

use proptest::prelude::*;

use super::*;

#[test]
fn upbit_lists_become_rules() {
    let catalogue = upbit();
    let names: Vec<&str> = catalogue.markets.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "BTC-ETH",
            "KRW-BTC",
            "KRW-ETH",
            "KRW-USDT",
            "KRW-WAVES",
            "KRW-XRP",
            "USDT-BTC"
        ]
    );
    assert!(catalogue.unreadable.is_empty());
    let of = |market: &str| &catalogue.markets[market];
    assert_eq!(of("KRW-BTC").tick, TickRule::upbit_krw());
    assert_eq!(of("KRW-USDT").tick, TickRule::Fixed(price("0.5")));
    assert_eq!(of("BTC-ETH").tick, TickRule::Fixed(Price::ONE_STEP));
    assert_eq!(of("USDT-BTC").tick.tick_at(price("95000")), price("0.01"));
    assert_eq!(of("USDT-BTC").tick.tick_at(price("0.5")), price("0.0001"));
    assert_eq!(
        of("KRW-ETH").flags,
        ["DEPOSIT_AMOUNT_SOARING", "GLOBAL_PRICE_DIFFERENCES"]
    );
    assert_eq!(of("KRW-WAVES").flags, ["WARNING"]);
    assert_eq!(
        (of("KRW-BTC").base.as_str(), of("KRW-BTC").quote.as_str()),
        ("BTC", "KRW")
    );
    assert_eq!(of("KRW-BTC").min_notional.to_string(), "5000.00000000");
    assert_eq!(of("USDT-BTC").min_notional.to_string(), "0.50000000");
    assert_eq!(of("BTC-ETH").min_notional.to_string(), "0.00005000");
    assert_eq!(of("KRW-BTC").fees.taker.to_f64(), 5.0);
}

#[test]
fn upbit_ticks_follow_what_the_venue_states() {
    let listing = |market: &str| upbit::Listing {
        market: market.to_owned(),
        flags: Vec::new(),
    };
    let read = |market: &str, stated: Option<&str>| {
        let instruments = stated.map(|tick| format!(r#"[{{"market":"{market}","tick_size":"{tick}"}}]"#));
        let instruments = upbit::parse_instruments(instruments.as_deref().unwrap_or("[]").as_bytes()).unwrap();
        let catalogue = upbit::catalogue(vec![listing(market)], &instruments);
        match catalogue.markets.get(market) {
            Some(rules) => Ok(rules.tick.clone()),
            None => Err(catalogue.unreadable[market].clone()),
        }
    };
    assert_eq!(read("KRW-XRP", None), Ok(TickRule::upbit_krw()));
    assert_eq!(read("KRW-XRP", Some("5")), Ok(TickRule::upbit_krw()));
    // A tick that the ladder has not: the ladder is out of date.
    assert_eq!(read("KRW-XRP", Some("2")), Ok(TickRule::Fixed(price("2"))));
    assert_eq!(read("KRW-USDC", Some("1")), Ok(TickRule::Fixed(price("1"))));
    for (market, stated) in [
        ("KRW-USDT", None),
        ("EUR-BTC", None),
        ("KRW-BTC", Some("0")),
        ("KRW-BTC", Some("x")),
    ] {
        assert!(read(market, stated).is_err(), "{market} {stated:?}");
    }
}

#[test]
fn spot_filters_become_rules_and_the_rest_keep_their_names() {
    let catalogue = spot();
    let rules = &catalogue.markets["BTCUSDT"];
    assert_eq!(rules.tick, TickRule::Fixed(price("0.01")));
    assert_eq!(rules.qty.step, qty("0.00001"));
    assert_eq!(rules.qty.max, Some(qty("9000")));
    assert_eq!(rules.market_qty.as_ref().unwrap().max, Some(qty("89.315")));
    assert_eq!(rules.max_notional.unwrap().to_string(), "9000000.00000000");
    assert_eq!(rules.percent.as_ref().unwrap().ask_up.to_ratio(), 4.0);
    assert_eq!(
        rules.other_filters,
        ["ICEBERG_PARTS", "MAX_NUM_ORDERS", "MOON_PHASE", "TRAILING_DELTA"]
    );
    let off = &catalogue.markets["ETHUSDT"];
    assert_eq!((off.min_price, off.max_price), (None, None));
    assert_eq!(off.tick, TickRule::Fixed(Price::ONE_STEP));
    assert_eq!(off.min_notional.to_string(), "10.00000000");
    // Nothing that fits 64 bits of 1e-8 could pass this bound.
    assert_eq!(catalogue.markets["SHIBIDR"].qty.max, None);
    assert_eq!(
        catalogue.unreadable.get("BADUSDT").map(String::as_str),
        Some("bad amount in `tickSize`: finer than 1e-8")
    );
    assert_eq!(catalogue.limits.len(), 3);
    assert_eq!(catalogue.limits[0].limit, 6000);
}

#[test]
fn usdm_takes_perpetuals_only() {
    let catalogue = usdm();
    let names: Vec<&str> = catalogue.markets.keys().map(String::as_str).collect();
    assert_eq!(names, ["BTCUSDT", "OLDUSDT"]);
    let rules = &catalogue.markets["BTCUSDT"];
    assert_eq!(rules.min_notional.to_string(), "50.00000000");
    assert_eq!(rules.fees.maker.to_f64(), 2.0);
}

#[test]
fn a_market_that_is_not_there_is_refused_by_name_with_what_is_near() {
    let configured = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let told = |catalogue: &Catalogue, names: &[&str]| -> Vec<String> {
        let errors = catalogue.refuse("venue", &configured(names));
        errors.into_iter().map(|error| error.to_string()).collect()
    };
    assert_eq!(told(&upbit(), &["KRW-BTC", "KRW-ETH"]), Vec::<String>::new());
    assert_eq!(
        told(&upbit(), &["BTC-KRW", "KRW-BTD", "krw-eth", "ETHKRW", "KRW-NOTHING"]),
        [
            "venue: there is no market `BTC-KRW`; did you mean KRW-BTC?",
            "venue: there is no market `KRW-BTD`; did you mean KRW-BTC?",
            "venue: there is no market `krw-eth`; did you mean KRW-ETH?",
            "venue: there is no market `ETHKRW`; did you mean KRW-ETH?",
            "venue: there is no market `KRW-NOTHING`",
        ]
    );
    assert_eq!(
        told(&spot(), &["XRPUSDT", "BADUSDT"]),
        [
            "venue: market `XRPUSDT` is not trading: halted (BREAK)",
            "venue: rules of market `BADUSDT` could not be read: bad amount in `tickSize`: finer than 1e-8",
        ]
    );
}

#[test]
fn f25_lists_that_are_none_are_refused() {
    for bytes in [
        &b""[..],
        b"{}",
        b"[",
        b"null",
        b"\xff\xfe",
        br#"[{"korean_name":"x"}]"#,
        br#"{"error":{"name":"too_many_requests","message":""}}"#,
    ] {
        assert!(upbit::parse_markets(bytes).is_err(), "{bytes:?}");
        assert!(upbit::parse_instruments(bytes).is_err(), "{bytes:?}");
        assert!(binance::parse(binance::Kind::Spot, bytes).is_err(), "{bytes:?}");
        assert!(binance::parse(binance::Kind::Usdm, bytes).is_err(), "{bytes:?}");
    }
    let odd =
        upbit::parse_markets(br#"[{"market":"KRWBTC"},{"market":"-"},{"market":"KRW-B-C"},{"market":"KRW-1INCH"}]"#);
    let names: Vec<String> = odd.unwrap().into_iter().map(|listing| listing.market).collect();
    assert_eq!(names, ["KRW-1INCH"]);
}

proptest! {
    /// Any bytes are a list or an error.
    #[test]
    fn f25_any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = upbit::parse_markets(&bytes);
        let _ = upbit::parse_instruments(&bytes);
        let _ = binance::parse(binance::Kind::Spot, &bytes);
    }

    /// A real list with some of its bytes changed or cut off is a list or an error.
    #[test]
    fn f25_damaged_lists_are_read_or_refused(at in 0usize..3_000, byte in any::<u8>(), cut in 0usize..4_000) {
        for text in [UPBIT_MARKETS, UPBIT_INSTRUMENTS, SPOT, USDM] {
            let mut bytes = text.as_bytes().to_vec();
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
            bytes.truncate(cut.max(1));
            let _ = upbit::parse_markets(&bytes);
            let _ = upbit::parse_instruments(&bytes);
            let _ = binance::parse(binance::Kind::Spot, &bytes);
            let _ = binance::parse(binance::Kind::Usdm, &bytes);
        }
    }
}
