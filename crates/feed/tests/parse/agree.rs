//! The quick readers against the reference: on good frames, on the same frames spelled otherwise, and on damaged ones.

use crossbook_feed::input::Request;
use crossbook_feed::venue::Protocol;
use crossbook_feed::wire::{self, Scratch};
use proptest::prelude::*;

use super::reference::{self, Object};
use super::samples::{self, Numbers};

/// How many random cases each property sees; `CROSSBOOK_SEEDS` raises it.
fn cases() -> u32 {
    let asked = std::env::var("CROSSBOOK_SEEDS").ok();
    asked.map_or(10_000, |text| text.parse().expect("CROSSBOOK_SEEDS is a number"))
}

/// What is read of every kind, and how it is asked for.
fn sample(numbers: &mut Numbers) -> (Protocol, Option<Request>, String) {
    let (books, trades) = (Request::Books(vec![]), Request::Trades(String::new()));
    let few = 1 + numbers.below(3);
    let fixed = |text: &str| text.to_owned();
    let (upbit, spot, usdm) = (Protocol::Upbit, Protocol::BinanceSpot, Protocol::BinanceUsdm);
    match numbers.below(24) {
        0 => (upbit, None, samples::upbit_book(numbers, few, false)),
        1 => (upbit, None, samples::upbit_book(numbers, few, true)),
        2 => (upbit, None, samples::upbit_trade(numbers)),
        3 => {
            let (book, trade) = (samples::upbit_book(numbers, few, true), samples::upbit_trade(numbers));
            (upbit, None, format!("[{book},{trade}]"))
        }
        4 => {
            let trade = r#"{"ty":"trade","cd":"BTC-FLOW","tms":1617646620849,"tp":0.00000901,"tv":1.2E+1,"ab":"BID","sid":1617646620000000,"st":"SNAPSHOT"}"#;
            (upbit, None, fixed(trade))
        }
        5 => (
            upbit,
            None,
            fixed(r#"{"error":{"name":"NO_CODES","message":"say \"codes\""},"status":"UP"}"#),
        ),
        6 => (
            upbit,
            None,
            fixed(r#"{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"trade","codes":["KRW-BTC"]}],"ticket":"t"}"#),
        ),
        7 => (
            upbit,
            None,
            fixed(r#"{"type":"ticker","code":"KRW-BTC","trade_price":1.5,"x":{"y":[null,true,-1.5e-7]}}"#),
        ),
        8 => {
            let book = samples::upbit_book(numbers, few, false).replace("code", "market");
            (upbit, Some(books), format!("[{book}]"))
        }
        9 => {
            let trade = samples::upbit_trade(numbers).replace("code", "market");
            (upbit, Some(trades), format!("[{trade},{trade}]"))
        }
        10 => (spot, None, samples::binance_partial(numbers, few)),
        11 => (spot, None, samples::binance_diff(numbers, 5, 9, few)),
        12 => (spot, None, samples::binance_ticker(numbers)),
        13 => (spot, None, samples::binance_trade(numbers)),
        14 => {
            let depth = r#"{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSD_PERP","ps":"BTCUSD","U":7,"u":9,"pu":6,"b":[["58710.20","0.014"],["1","0.000",[]]],"a":[[1.5,2]]}"#;
            (usdm, None, fixed(depth))
        }
        15 => (
            usdm,
            None,
            fixed(
                r#"{"e":"bookTicker","u":5,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"0","A":"0.0","T":1723161256313,"E":1723161256313}"#,
            ),
        ),
        16 => (
            usdm,
            None,
            fixed(
                r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"1","P":"2","r":"-0.00038167","T":1562306400000}"#,
            ),
        ),
        17 => (
            usdm,
            None,
            fixed(
                r#"{"stream":"a@aggTrade","data":{"e":"aggTrade","E":1,"s":"A","a":26129,"p":"1","q":"2","f":1,"l":2,"T":1562306400000000,"m":true}}"#,
            ),
        ),
        18 => (
            spot,
            None,
            fixed(r#"{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21","a":"25.36520000","A":"40.66"}"#),
        ),
        19 => (
            usdm,
            Some(books),
            fixed(
                r#"{"lastUpdateId":1007198635033,"E":1723161257835,"T":1723161257823,"symbol":"BTCUSD_PERP","bids":[["61804.7","35"]],"asks":[]}"#,
            ),
        ),
        20 => (
            spot,
            Some(trades),
            fixed(
                r#"[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]"#,
            ),
        ),
        21 => (
            spot,
            None,
            fixed(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#),
        ),
        22 => (
            spot,
            None,
            fixed(r#"{"error":{"code":2,"msg":"Invalid request"},"id":1,"code":-1,"msg":"m"}"#),
        ),
        _ => (spot, Some(trades), fixed(r#"{"result":null,"id":1}"#)),
    }
}

const ODD: [&str; 24] = [
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-0",
    "-1",
    "01",
    "1.0",
    "1e5",
    "1e400",
    "1E-9",
    "0.123456789",
    "\"0.1000000000\"",
    "12345678901",
    "99999999999999999999",
    "\"1\\u0030\"",
    "\"ASK\"",
    "\"SNAPSHOT\"",
    "\"trade\"",
    "[[\"1\",\"2\"]]",
    "\"-1.5\"",
    "1.",
];

/// The same JSON with white space, escaped keys and members in another order; with `rough`, also with members twice,
/// left out, and with odd values in places of theirs.
fn respelled(text: &str, numbers: &mut Numbers, rough: bool, out: &mut String) {
    let space = |numbers: &mut Numbers, out: &mut String| {
        if numbers.below(8) == 0 {
            out.push_str([" ", "\n", "\t\r", "  "][numbers.below(4) as usize]);
        }
    };
    if rough && numbers.below(40) == 0 {
        out.push_str(ODD[numbers.below(ODD.len() as u64) as usize]);
    } else if text.starts_with('{') {
        let Object(mut members) = serde_json::from_str(text).unwrap();
        if numbers.below(2) == 0 {
            for index in (1..members.len()).rev() {
                members.swap(index, numbers.below(index as u64 + 1) as usize);
            }
        }
        if rough && numbers.below(6) == 0 && !members.is_empty() {
            let index = numbers.below(members.len() as u64) as usize;
            match numbers.below(3) {
                0 => drop(members.remove(index)),
                1 => members.push((members[index].0.clone(), members[index].1)),
                _ => {
                    members[index].0 = [
                        "e",
                        "u",
                        "B",
                        "lastUpdateId",
                        "stream",
                        "type",
                        "status",
                        "error",
                        "m",
                        "st",
                    ][numbers.below(10) as usize]
                        .to_owned()
                }
            }
        }
        out.push('{');
        for (index, (name, value)) in members.iter().enumerate() {
            out.push_str(if index == 0 { "" } else { "," });
            space(numbers, out);
            match (numbers.below(12), name.chars().next()) {
                (0, Some(first)) => out.push_str(&format!("\"\\u{:04x}{}\"", first as u32, &name[first.len_utf8()..])),
                _ => out.push_str(&format!("\"{name}\"")),
            }
            space(numbers, out);
            out.push(':');
            space(numbers, out);
            respelled(value.get(), numbers, rough, out);
            space(numbers, out);
        }
        out.push('}');
    } else if text.starts_with('[') {
        let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
        out.push('[');
        for (index, value) in elements.iter().enumerate() {
            out.push_str(if index == 0 { "" } else { "," });
            space(numbers, out);
            respelled(value.get(), numbers, rough, out);
            space(numbers, out);
        }
        out.push(']');
    } else {
        out.push_str(text);
    }
}

/// A few bytes changed, left out, put in or repeated, or the end cut off.
fn damaged(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    const BYTES: &[u8] = b"{}[]\",:\\0123456789.eE+-tfnu aUbB/\x00\x1f\x7f\xc3\xa9\xff";
    for _ in 0..=numbers.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = numbers.below(bytes.len() as u64) as usize;
        let byte = BYTES[numbers.below(BYTES.len() as u64) as usize];
        match numbers.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, byte),
            3 => {
                let end = bytes.len().min(at + 1 + numbers.below(20) as usize);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => bytes[at] = byte,
        }
    }
}

fn agree(protocol: Protocol, request: Option<&Request>, bytes: &[u8]) -> Result<bool, TestCaseError> {
    let mut scratch = Scratch::default();
    let mut got = Vec::new();
    let mut each = |message: wire::Message<'_>| got.push(reference::show(&message));
    let read = match request {
        Some(request) => wire::read_answer(protocol, request, bytes, &mut scratch, &mut each),
        None => wire::read(protocol, bytes, &mut scratch, &mut each),
    };
    let text = String::from_utf8_lossy(bytes);
    prop_assert!(
        read.is_ok() || got.is_empty(),
        "a frame is read whole or not at all: {text}"
    );
    let want = reference::read(protocol, request, bytes);
    prop_assert_eq!(read.clone().map(|()| got).map_err(|_| ()), want, "{:?} {}", read, text);
    Ok(read.is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Good frames are read, as sent and in any other spelling of the same JSON.
    #[test]
    fn every_spelling_of_a_good_frame_is_read_as_the_reference_reads_it(seed in any::<u64>()) {
        let mut numbers = Numbers::new(seed);
        let (protocol, request, text) = sample(&mut numbers);
        prop_assert!(agree(protocol, request.as_ref(), text.as_bytes())?, "{text}");
        let mut other = String::new();
        respelled(&text, &mut numbers, false, &mut other);
        prop_assert!(agree(protocol, request.as_ref(), other.as_bytes())?, "{other}");
    }

    /// Members twice, missing, of other types; amounts of every odd shape.
    #[test]
    fn f26_f22_odd_values_are_read_or_refused_as_by_the_reference(seed in any::<u64>()) {
        let mut numbers = Numbers::new(seed);
        let (protocol, request, text) = sample(&mut numbers);
        let mut other = String::new();
        respelled(&text, &mut numbers, true, &mut other);
        agree(protocol, request.as_ref(), other.as_bytes())?;
    }

    #[test]
    fn f25_damaged_frames_are_read_or_refused_as_by_the_reference(seed in any::<u64>()) {
        let mut numbers = Numbers::new(seed);
        let (protocol, request, text) = sample(&mut numbers);
        let mut bytes = text.into_bytes();
        damaged(&mut bytes, &mut numbers);
        agree(protocol, request.as_ref(), &bytes)?;
    }

}

proptest! {
    // Each case is nine reads of two inputs.
    #![proptest_config(ProptestConfig::with_cases(cases().div_ceil(10)))]

    /// Any bytes through every reader.
    #[test]
    fn f25_any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[\\[\\]{}\",:eu0-9. \\\\]{0,60}") {
        for bytes in [&bytes, text.as_bytes()] {
            for protocol in [Protocol::Upbit, Protocol::BinanceSpot, Protocol::BinanceUsdm] {
                for request in [None, Some(Request::Books(vec![])), Some(Request::Trades(String::new()))] {
                    agree(protocol, request.as_ref(), bytes)?;
                }
            }
        }
    }
}
