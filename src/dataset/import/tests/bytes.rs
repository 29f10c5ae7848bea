//! F25: any bytes through every parser are read or refused, never a panic; so are damaged copies of good files.

use proptest::prelude::*;

use super::*;

const FORMATS: [Format; 14] = [
    Format::Tardis,
    Format::BinanceBookTicker,
    Format::BinanceAggTrades,
    Format::BinanceBookDepth,
    Format::Hftbacktest,
    Format::RawBinance,
    Format::RawUpbit,
    Format::RawBybit,
    Format::WideCsv,
    Format::JsonlSnapshots,
    Format::Csv,
    Format::TopCsv,
    Format::FxCsv,
    Format::Parity,
];

/// Short files that are read whole, to be damaged.
const GOOD: [&str; 9] = [
    "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\nb,S,1725148800000000,1725148800100000,true,bid,10.5,1\n",
    "1723161253937085768 {\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"E\":1723161255208,\"s\":\"BTCUSDT\",\"U\":1,\"u\":2,\"b\":[[\"1.5\",\"2\"]],\"a\":[]}}\n",
    "1617646620.849474: b'{\"ty\":\"orderbook\",\"cd\":\"KRW-IQ\",\"tms\":1617646620673,\"obu\":[{\"ap\":41.4,\"bp\":41.2,\"as\":9354.4915888,\"bs\":1}]}'\n",
    "{\"t\":\"recv\",\"conn\":\"c\",\"ts\":1786310819.52,\"data\":\"{\\\"topic\\\":\\\"orderbook.1.S\\\",\\\"type\\\":\\\"snapshot\\\",\\\"ts\\\":1786310819520,\\\"data\\\":{\\\"s\\\":\\\"S\\\",\\\"b\\\":[[\\\"1\\\",\\\"2\\\"]],\\\"a\\\":[],\\\"u\\\":1}}\"}\n",
    "timestamp,symbol,b1,bv1,a1,av1\n2021-08-20 00:00:00,S.V,1,2,3,4\n",
    "{\"timestamp\":\"2025-08-24T06:03:18.382\",\"exchange\":\"u\",\"symbol\":\"A/B\",\"bids\":[[1.5,2]],\"asks\":[]}\n",
    "ts,venue,symbol,side,price,qty,kind\n1723161253,v,S,bid,10,1,snapshot\n",
    "ts,venue,symbol,bid,bid_qty,ask,ask_qty\n1723161253,v,S,10,1,11,1\n",
    "date,rate\n2024-01-15,1317.5\n",
];

fn options() -> Options {
    Options {
        symbols: vec!["S".to_owned()],
        venue: Some("v".to_owned()),
        channels: Channels {
            depth: true,
            ticker: true,
            trade: true,
        },
        published_at: PublishedAt::parse("16:00@Europe/Berlin"),
        rows: Some(RowsMean::Updates),
        start_empty: true,
        ..in_zone("Asia/Seoul")
    }
}

fn cases() -> u32 {
    std::env::var("CROSSBOOK_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(256)
}

/// Through every format, with and without a filter of symbols; `run_bytes` checks the account of what is read.
fn through_all(bytes: &[u8]) {
    let filtered = options();
    let all = Options {
        symbols: Vec::new(),
        reorder_ns: 1_000,
        ..options()
    };
    for format in FORMATS {
        for options in [&filtered, &all] {
            let _ = run_bytes(format, &[("f", bytes)], options);
        }
    }
    let _ = super::super::detect_head(bytes, "f");
}

#[test]
fn the_good_files_are_good() {
    for (index, text) in GOOD.iter().enumerate() {
        let format = super::super::detect_head(text.as_bytes(), "").unwrap_or_else(|| panic!("{text}"));
        let options = Options {
            symbols: if format == Format::FxCsv {
                vec!["S".to_owned()]
            } else {
                Vec::new()
            },
            ..options()
        };
        let found = run(format, text, &options).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(found.account.quarantined, 0, "{text}");
        // The lone diff waits for a snapshot.
        assert_eq!(found.account.applied, u64::from(index != 1), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn f25_any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        through_all(&bytes);
    }

    #[test]
    fn f25_damaged_files_are_read_or_refused(
        which in 0..GOOD.len(),
        cut in any::<prop::sample::Index>(),
        patches in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        words in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            "NaN", "1e400", "-1", "\"", "'", "\\", "[[[[", "{\"a\":", "\n", ",", "9999999999999999999999", "\u{0}", "\\u0000", "null",
        ])), 0..3),
    ) {
        let mut bytes = GOOD[which].as_bytes().to_vec();
        for (at, byte) in patches {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (at, word) in words {
            let at = at.index(bytes.len());
            bytes.splice(at..at, word.bytes());
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        through_all(&bytes);
    }
}
