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

#[test]
fn binance_kinds_are_told_by_what_they_hold() {
    let cases = [
        (
            r#"{"e":"depthUpdate","E":1723161255208,"s":"A","U":1,"u":2,"b":[],"a":[]}"#,
            "depth",
        ),
        (
            r#"{"e":"depthUpdate","E":1723161255208,"T":1723161255207,"s":"A","U":1,"u":2,"pu":0,"b":[],"a":[]}"#,
            "depth",
        ),
        (r#"{"lastUpdateId":1,"bids":[],"asks":[]}"#, "snapshot"),
        (
            r#"{"stream":"a@depth5","data":{"lastUpdateId":1,"bids":[],"asks":[]}}"#,
            "snapshot",
        ),
        (r#"{"u":1,"s":"A","b":"1","B":"0","a":"0","A":"0"}"#, "ticker"),
        (r#"{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}"#, "!ticker@arr"),
        (r#"{"e":"kline","E":1}"#, "kline"),
        (r#"{"result":null,"id":1}"#, "unnamed"),
        (r#"{"code":-1121,"msg":"Invalid symbol."}"#, "unnamed"),
        (r#"{"e":"depthUpdate","s":"A"}"#, "error"),
        (
            r#"{"e":"trade","s":"A","t":1,"T":1723161255208,"p":"1","q":"1"}"#,
            "error",
        ),
        (r#"{"lastUpdateId":1,"bids":[]}"#, "error"),
        (r#"{"e":"depthUpdate","e":"trade"}"#, "error"),
        ("[]", "error"),
        ("", "error"),
    ];
    for (text, want) in cases {
        let got = match binance::parse(text.as_bytes()).map(|frame| frame.body) {
            Ok(binance::Body::Depth(_)) => "depth".to_owned(),
            Ok(binance::Body::Snapshot(_)) => "snapshot".to_owned(),
            Ok(binance::Body::Ticker(_)) => "ticker".to_owned(),
            Ok(binance::Body::Trade(_)) => "trade".to_owned(),
            Ok(binance::Body::Other(kind)) => kind.into_owned(),
            Err(_) => "error".to_owned(),
        };
        assert_eq!(got, want, "{text}");
    }
}

#[test]
fn futures_times_are_those_of_the_transaction() {
    let text =
        r#"{"e":"depthUpdate","E":1723161255208,"T":1723161255207,"s":"A","U":1,"u":2,"pu":0,"b":[["1","2"]],"a":[]}"#;
    let Ok(binance::Frame {
        body: binance::Body::Depth(depth),
        ..
    }) = binance::parse(text.as_bytes())
    else {
        panic!("not a depth update");
    };
    assert_eq!(
        (depth.ts_event.0, depth.first, depth.last, depth.prev),
        (1_723_161_255_207_000_000, 1, 2, Some(0))
    );
}
