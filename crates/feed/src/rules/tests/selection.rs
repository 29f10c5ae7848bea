//! Which markets are taken.

use super::select::{MarketsConfig, Reason, SelectError, Selection, Side as Venue};
use super::*;

/// Markets of the quote currency given, with their traded values.
fn venue(quote: &str, list: &[(&str, u128)]) -> (BTreeMap<String, MarketRules>, BTreeMap<String, u128>) {
    let mut markets = BTreeMap::new();
    let mut traded = BTreeMap::new();
    for &(base, value) in list {
        let mut rules = spot().markets["BTCUSDT"].clone();
        rules.symbol = if quote == "KRW" {
            format!("KRW-{base}")
        } else {
            format!("{base}{quote}")
        };
        rules.base = base.to_owned();
        rules.quote = quote.to_owned();
        traded.insert(rules.symbol.clone(), value);
        markets.insert(rules.symbol.clone(), rules);
    }
    (markets, traded)
}

fn config(text: &str) -> MarketsConfig {
    toml::from_str(text).unwrap()
}

const KRW: [(&str, u128); 8] = [
    ("BTC", 900),
    ("ETH", 800),
    ("XRP", 1_000),
    ("USDT", 5_000),
    ("SOL", 800),
    ("WBTC", 700),
    ("ONLYHERE", 650),
    ("DOGE", 100),
];
const USDT: [(&str, u128); 7] = [
    ("BTC", 9_000),
    ("ETH", 8_000),
    ("XRP", 10),
    ("SOL", 7_000),
    ("WBTC", 1),
    ("DOGE", 20),
    ("ONLYTHERE", 99),
];

fn selected(config: &MarketsConfig, krw: &[(&str, u128)], usdt: &[(&str, u128)]) -> Result<Selection, SelectError> {
    let (first, first_traded) = venue("KRW", krw);
    let (second, second_traded) = venue("USDT", usdt);
    config.select(
        Venue {
            markets: &first,
            traded: &first_traded,
        },
        Venue {
            markets: &second,
            traded: &second_traded,
        },
    )
}

fn bases(selection: &Selection) -> Vec<&str> {
    selection.pairs.iter().map(|pair| pair.base.as_str()).collect()
}

#[test]
fn top_n_is_by_traded_value_and_says_why_the_rest_are_out() {
    let got = selected(&config("top = { n = 3 }"), &KRW, &USDT).unwrap();
    assert_eq!(bases(&got), ["XRP", "BTC", "ETH"]);
    assert_eq!(
        (got.pairs[0].first.as_str(), got.pairs[0].second.as_str()),
        ("KRW-XRP", "XRPUSDT")
    );
    let out: Vec<(&str, String)> = got
        .excluded
        .iter()
        .map(|(base, reason)| (base.as_str(), reason.to_string()))
        .collect();
    assert_eq!(
        out,
        [
            ("DOGE", "it is number 5 by traded value".to_owned()),
            ("ONLYHERE", "the second venue has no market of ONLYHERE".to_owned()),
            ("SOL", "it is number 4 by traded value".to_owned()),
            ("USDT", "it is in `exclude`".to_owned()),
            ("WBTC", "it is in `exclude`".to_owned()),
        ]
    );
}

#[test]
fn ranks_may_be_by_either_venue_or_by_the_worse_of_both() {
    let by = |by: &str| {
        let got = selected(&config(&format!("top = {{ n = 5, by = \"{by}\" }}")), &KRW, &USDT).unwrap();
        bases(&got).join(" ")
    };
    // Equal values (ETH and SOL at the first) stand in the order of their tickers.
    assert_eq!(by("first"), "XRP BTC ETH SOL DOGE");
    assert_eq!(by("second"), "BTC ETH SOL DOGE XRP");
    assert_eq!(by("both"), "BTC ETH SOL XRP DOGE");
}

#[test]
fn the_order_of_the_lists_does_not_matter() {
    let forth = selected(&config("top = { n = 4 }"), &KRW, &USDT).unwrap();
    let (mut krw, mut usdt) = (KRW, USDT);
    krw.reverse();
    usdt.reverse();
    assert_eq!(selected(&config("top = { n = 4 }"), &krw, &usdt).unwrap(), forth);
}

#[test]
fn bases_are_taken_in_their_order_or_refused_by_name() {
    let got = selected(&config("bases = [\"ETH\", \"BTC\", \"ETH\"]"), &KRW, &USDT).unwrap();
    assert_eq!(bases(&got), ["ETH", "BTC"]);
    for (base, reason) in [
        ("USDT", "it is in `exclude`"),
        ("ONLYHERE", "the second venue has no market of ONLYHERE"),
        ("ONLYTHERE", "the first venue has no market of it"),
    ] {
        let error = selected(&config(&format!("bases = [\"BTC\", \"{base}\"]")), &KRW, &USDT).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("[markets]: `{base}` cannot be taken: {reason}")
        );
    }
}

#[test]
fn one_coin_under_two_tickers_and_two_under_one() {
    let krw = [("BTC", 10), ("BTT", 9), ("GTC", 8), ("XYZ", 7)];
    let usdt = [("BTC", 10), ("BTTC", 9), ("GTC", 8), ("XYZ", 7)];
    let text = "top = { n = 9 }\naliases = { BTT = \"BTTC\" }\ndifferent = [\"GTC\"]";
    let got = selected(&config(text), &krw, &usdt).unwrap();
    assert_eq!(bases(&got), ["BTC", "BTT", "XYZ"]);
    assert_eq!(got.pairs[1].second, "BTTCUSDT");
    assert_eq!(got.excluded["GTC"], Reason::Different);
    // The coin that XYZ is called over here, and BTC over there, leaves none for BTC itself.
    let got = selected(&config("top = { n = 9 }\naliases = { XYZ = \"BTC\" }"), &krw, &usdt).unwrap();
    assert_eq!(bases(&got), ["GTC", "XYZ"]);
    assert_eq!(got.excluded["BTC"], Reason::Different);
}

#[test]
fn f24_markets_that_do_not_trade_or_are_warned_of_are_left_out_of_the_top() {
    let (mut first, traded) = venue("KRW", &[("BTC", 9), ("ETH", 8), ("XRP", 7)]);
    let (mut second, no_values) = venue("USDT", &[("BTC", 9), ("ETH", 8), ("XRP", 7)]);
    first.get_mut("KRW-BTC").unwrap().flags = vec!["WARNING".to_owned()];
    second.get_mut("ETHUSDT").unwrap().status = MarketStatus::Halted("BREAK".to_owned());
    let choose = |text: &str| {
        let sides = (
            Venue {
                markets: &first,
                traded: &traded,
            },
            Venue {
                markets: &second,
                traded: &no_values,
            },
        );
        config(text).select(sides.0, sides.1).unwrap()
    };
    let got = choose("top = { n = 9 }");
    assert_eq!(bases(&got), ["XRP"]);
    assert_eq!(got.excluded["BTC"], Reason::Warned);
    assert_eq!(got.excluded["ETH"].to_string(), "ETHUSDT is halted (BREAK)");
    assert_eq!(
        bases(&choose("top = { n = 9 }\nexclude_warned = false")),
        ["BTC", "XRP"]
    );
}

#[test]
fn f70_a_section_must_say_one_thing_and_nothing_unknown() {
    for (text, ways) in [
        ("", 0),
        ("bases = [\"BTC\"]\ntop = { n = 3 }", 2),
        ("bases = [\"BTC\"]\nlist = { upbit = [\"KRW-BTC\"] }", 2),
    ] {
        assert_eq!(config(text).validate(), Err(SelectError::Ways(ways)), "{text}");
    }
    assert_eq!(config("top = { n = 0 }").validate(), Err(SelectError::Top(0)));
    assert_eq!(config("top = { n = 1001 }").validate(), Err(SelectError::Top(1001)));
    assert_eq!(config("list = { upbit = [\"KRW-BTC\"] }").validate(), Ok(()));
    for unknown in ["tops = 3", "top = { n = 3, m = 4 }", "top = { n = 3, by = \"third\" }"] {
        assert!(toml::from_str::<MarketsConfig>(unknown).is_err(), "{unknown}");
    }
}
