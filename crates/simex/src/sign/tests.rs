use super::binance::{Refusal as BinanceRefusal, check, check_time, rest_payload, ws_payload};
use super::upbit::{self, Refusal, body_members, query_hash, query_text};
use super::{KeyError, Nonces, Secret, text};

const ACCESS: &str = "exampleAccessKey";
const SECRET: &str = "exampleSecretKey";
const HS256: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhY2Nlc3Nfa2V5IjoiZXhhbXBsZUFjY2Vzc0tleSIsIm5vbmNlIjoiNmY1NTcwZGYtZDhiYy00ZGFmLTg1YjQtOTc2NzMzZmViNjI0In0.P_6KDny8DhnZK2aRFY27mfGc4wcRHxNAi8j4x7XSUKc";
const HS512_SIGNATURE: &str = "cm0kC-qSUVhwId9mh8kF5gLB71PzykkR-EKjiOldo7DTrxU_cInRl63P0zru3_7Yf6wzqAEmuIluvSR1qSO85w";

/// A token as a client would make it.
fn token(alg: &str, claims: &str, secret: &str) -> String {
    use base64::Engine as _;
    use ring::hmac;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let head = encode(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#).as_bytes());
    let signed = format!("{head}.{}", encode(claims.as_bytes()));
    let algorithm = if alg == "HS512" {
        hmac::HMAC_SHA512
    } else {
        hmac::HMAC_SHA256
    };
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", encode(signature.as_ref()))
}

fn verify(token: &str, query: &str, nonces: &mut Nonces) -> Result<u32, Refusal> {
    let header = format!("Bearer {token}");
    upbit::check(
        Some(&header),
        query,
        |key| (key == ACCESS).then_some((7, SECRET)),
        nonces,
    )
}

#[test]
fn upbits_worked_tokens_are_taken_in_both_algorithms() {
    assert_eq!(verify(HS256, "", &mut Nonces::default()), Ok(7));
    let claims = format!(r#"{{"access_key":"{ACCESS}","nonce":"6f5570df-d8bc-4daf-85b4-976733feb624"}}"#);
    assert_eq!(token("HS256", &claims, SECRET), HS256);
    let hs512 = token("HS512", &claims, SECRET);
    assert!(hs512.ends_with(HS512_SIGNATURE), "{hs512}");
    assert_eq!(verify(&hs512, "", &mut Nonces::default()), Ok(7));
}

#[test]
fn upbits_worked_hashes_come_out() {
    assert_eq!(
        query_hash("market=KRW-BTC&states[]=wait&states[]=watch"),
        "c01bbcb80094d2225c90eda65128baf7ef800471fbdeb76579856d1532cd263060e41ede9c52bfc926a0b46c4b7797a61e4327cda59d236f829cde4c875dfe77"
    );
    let text = |body: &[u8]| body_members(body).map(|members| query_text(&members));
    let body = br#"{"market":"KRW-BTC","side":"bid","volume":"0.0005","price":"10000000","ord_type":"limit"}"#;
    assert_eq!(
        query_hash(&text(body).unwrap()),
        "69098b6c4f1518a87f8b03932e893084bd4034f58a80cfed692567f62fa7983842426d5fe5f4425222af7e759b0580ad494d9830e6d20ec87bcb55a3f91e0a42"
    );
    assert_eq!(
        text(br#"{"a":[1,"x"],"b":true,"c":null}"#).as_deref(),
        Some("a[]=1&a[]=x&b=true")
    );
    assert_eq!(text(br#"{"a":{"b":1}}"#), None);
    assert_eq!(text(b"[1]"), None);
}

#[test]
fn upbit_tokens_are_taken_or_refused_by_rule() {
    let hash = query_hash("market=KRW-BTC");
    let claims = |rest: &str| format!(r#"{{"access_key":"{ACCESS}","nonce":"n"{rest}}}"#);
    let with_hash = claims(&format!(r#","query_hash":"{hash}","query_hash_alg":"SHA512""#));
    let good = token("HS256", &with_hash, SECRET);
    let mut damaged = good.clone();
    damaged.replace_range(good.len() - 4.., "AAAA");
    let cases = [
        ("with its hash", good.clone(), "market=KRW-BTC", Ok(7)),
        (
            "hash of something else",
            good.clone(),
            "market=KRW-ETH",
            Err(Refusal::Query),
        ),
        ("hash of nothing", good.clone(), "", Err(Refusal::Query)),
        (
            "no hash",
            token("HS512", &claims(""), SECRET),
            "market=KRW-BTC",
            Err(Refusal::Query),
        ),
        (
            "another hash algorithm",
            token(
                "HS256",
                &claims(&format!(r#","query_hash":"{hash}","query_hash_alg":"SHA256""#)),
                SECRET,
            ),
            "market=KRW-BTC",
            Err(Refusal::Query),
        ),
        (
            "another secret",
            token("HS256", &with_hash, "other"),
            "market=KRW-BTC",
            Err(Refusal::Jwt),
        ),
        ("damaged", damaged, "market=KRW-BTC", Err(Refusal::Jwt)),
        (
            "unknown algorithm",
            token("none", &with_hash, SECRET),
            "market=KRW-BTC",
            Err(Refusal::Jwt),
        ),
        (
            "unknown key",
            token("HS256", r#"{"access_key":"x","nonce":"n"}"#, SECRET),
            "",
            Err(Refusal::AccessKey),
        ),
        (
            "no nonce",
            token("HS256", &format!(r#"{{"access_key":"{ACCESS}"}}"#), SECRET),
            "",
            Err(Refusal::Jwt),
        ),
        ("no token", String::new(), "", Err(Refusal::Jwt)),
    ];
    for (what, token, query, want) in cases {
        assert_eq!(verify(&token, query, &mut Nonces::default()), want, "{what}");
    }
    let mut nonces = Nonces::default();
    assert_eq!(verify(&good, "market=KRW-BTC", &mut nonces), Ok(7));
    assert_eq!(verify(&good, "market=KRW-BTC", &mut nonces), Err(Refusal::Nonce));
}

const BINANCE_SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
const BINANCE_KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";

#[test]
fn binances_worked_rest_signatures_are_taken() {
    let secret = Secret::Shared(BINANCE_SECRET.to_owned());
    let rest = "side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
    let cases = [
        (
            "LTCBTC",
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96",
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
    ];
    for (symbol, signature) in cases {
        let text = format!("symbol={symbol}&{rest}");
        // All in the query, all in the body, and split between them without a separator.
        let signed = format!("{text}&signature={signature}");
        for (query, body) in [(signed.as_str(), ""), ("", signed.as_str())] {
            let (payload, given) = rest_payload(query, body);
            assert_eq!(payload, text);
            assert_eq!(check(&secret, &payload, given.as_deref()), Ok(()));
            let upper = signature.to_uppercase();
            assert_eq!(check(&secret, &payload, Some(&upper)), Ok(()), "hex of either case");
            assert_eq!(
                check(&secret, &payload.replace("quantity=1", "quantity=2"), given.as_deref()),
                Err(BinanceRefusal::Signature)
            );
        }
    }
    // Signed before it was percent-encoded, as clients did until 2026-01-15: the text on the wire is another.
    let (payload, given) = rest_payload(&format!("symbol=１２３４５６&{rest}&signature={}", cases[1].1), "");
    assert_eq!(
        check(&secret, &payload, given.as_deref()),
        Err(BinanceRefusal::Signature)
    );
}

#[test]
fn query_and_body_are_joined_without_a_separator() {
    let (payload, given) = rest_payload("symbol=LTCBTC&side=BUY", "quantity=1&signature=ab%2B");
    assert_eq!(payload, "symbol=LTCBTC&side=BUYquantity=1");
    assert_eq!(given.as_deref(), Some("ab+"));
    assert_eq!(
        check(&Secret::Shared(String::new()), "", None),
        Err(BinanceRefusal::Missing("signature"))
    );
}

#[test]
fn binances_worked_websocket_signatures_are_taken() {
    let secret = Secret::Shared(BINANCE_SECRET.to_owned());
    let cases = [
        (
            ["52000.00", "0.01000000", "100", "SELL", "BTCUSDT"],
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
        ),
        (
            ["0.10000000", "1.00000000", "5000", "BUY", "１２３４５６"],
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
    ];
    for ([price, quantity, window, side, symbol], signature) in cases {
        // In an order in which a client would send them, not the one in which they are signed.
        let members: Vec<(String, String)> = [
            ("symbol", symbol),
            ("side", side),
            ("type", "LIMIT"),
            ("timeInForce", "GTC"),
            ("quantity", quantity),
            ("price", price),
            ("recvWindow", window),
            ("timestamp", "1645423376532"),
            ("apiKey", BINANCE_KEY),
            ("signature", signature),
        ]
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        let (payload, given) = ws_payload(&members);
        assert_eq!(check(&secret, &payload, given.as_deref()), Ok(()), "{payload}");
    }
}

#[test]
fn the_worked_ed25519_signature_is_taken() {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    let seed = text::hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let secret = Secret::Ed25519(pair.public_key().as_ref().to_vec());
    let payload = "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=1&price=0.2&timestamp=1668481559918&recvWindow=5000";
    let signature = "CRyg23wY/usrzi+5iwdM5kFgbckPJnsWf2TSe37qpAwUIBu6ZvW0aEhM+3MuUWGDCBwS8bUNWBSOUf1aRTvPAw==";
    assert_eq!(check(&secret, payload, Some(signature)), Ok(()));
    assert_eq!(
        check(&secret, &payload.replace("0.2", "0.3"), Some(signature)),
        Err(BinanceRefusal::Signature)
    );
    // The same key as it is handed to the exchange.
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n-----END PUBLIC KEY-----\n";
    assert_eq!(Secret::public_pem(pem), Ok(secret));
}

/// Made with `openssl genrsa 2048`, `openssl rsa -pubout` and `openssl dgst -sha256 -sign`.
#[test]
fn an_rsa_signature_is_taken() {
    let secret = Secret::public_pem(RSA_PEM).unwrap();
    assert!(matches!(secret, Secret::Rsa(_)));
    assert_eq!(check(&secret, RSA_PAYLOAD, Some(RSA_SIGNATURE)), Ok(()));
    assert_eq!(
        check(&secret, "timestamp=1", Some(RSA_SIGNATURE)),
        Err(BinanceRefusal::Signature)
    );
}

#[test]
fn other_texts_are_no_keys() {
    assert_eq!(Secret::public_pem("hello"), Err(KeyError::Pem));
    assert_eq!(
        Secret::public_pem("-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----"),
        Err(KeyError::Pem)
    );
    assert_eq!(
        Secret::public_pem("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----"),
        Err(KeyError::Kind)
    );
    assert_eq!(format!("{:?}", Secret::Shared("hidden".into())), "Shared(..)");
}

#[test]
fn a_timestamp_is_good_inside_its_window_only() {
    let now_us = 1_700_000_000_000_000;
    let cases = [
        (Some("1700000000000"), None, Ok(())),
        (Some("1700000000000000"), None, Ok(())), // in microseconds
        (Some("1700000000999"), None, Ok(())),    // just less than a second ahead
        (Some("1700000001000"), None, Err(BinanceRefusal::Ahead)),
        (Some("1699999995000"), None, Ok(())), // exactly 5 s old
        (Some("1699999994999"), None, Err(BinanceRefusal::Late)),
        (Some("1699999994999"), Some("5001"), Ok(())),
        (Some("1699999999999"), Some("0.999"), Err(BinanceRefusal::Late)),
        (Some("1699999999999"), Some("1.0"), Ok(())),
        (Some("1700000000000"), Some("60000"), Ok(())),
        (Some("1700000000000"), Some("60001"), Err(BinanceRefusal::Window)),
        (
            Some("1700000000000"),
            Some("1.0001"),
            Err(BinanceRefusal::Missing("recvWindow")),
        ),
        (
            Some("1700000000000"),
            Some("-1"),
            Err(BinanceRefusal::Missing("recvWindow")),
        ),
        (Some("soon"), None, Err(BinanceRefusal::Missing("timestamp"))),
        (None, None, Err(BinanceRefusal::Missing("timestamp"))),
    ];
    for (stamp, window, want) in cases {
        assert_eq!(check_time(stamp, window, now_us), want, "{stamp:?} {window:?}");
    }
}

#[test]
fn percent_escapes_are_decoded_or_refused() {
    let cases = [
        ("a%5B%5D=1", Some("a[]=1")),
        ("%EF%BC%91", Some("１")),
        ("1+1", Some("1+1")),
        ("%", None),
        ("%4", None),
        ("%zz", None),
        ("%FF", None),
    ];
    for (given, want) in cases {
        assert_eq!(text::percent_decode(given).as_deref(), want, "{given}");
    }
}

const RSA_PAYLOAD: &str = "symbol=BTCUSDT&timestamp=1668481559918&recvWindow=5000";
const RSA_SIGNATURE: &str = "YTj/u6K4spmf+7hj9YkarvboieslXTNHLPon/TzHK38dtx4dADARKLSNadcpdIZ8eOmDBoxaSUHKQ3iMxLSX5qypKPGRfz299gQbUEdGnffyKvrH1n1jbUfVx68SJtbzZh+L7GlUxjgVSQZzz9b14rYW1TwbwoPx84O23Bh3jUSDn5VoMEWI6nxh3EokxwmfIBb35HkadvrwVIlGKBpJobEHcqyVOaXTy0dnXUXldkUOLQV1xcrQ2Ls+IOH2kQHnTStL1NmFnVula3wxpoEE2FXG5QjS7W3P7Gv09Xxqx2dMlob5eC8fOXEF654Da8y9l06pZVpxWWzz5N9kHVge7A==";
const RSA_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3EN3U81XlIeC9ZxvfBpk
dYeO/ayvDejza6z1EGqT+dBzt58soYixck0utyJXzGLHHjSzwkXUNIz29EXEOqEc
WRN6cqRCRjE+tZBtqjrCsc+ZoZx4wvsPq1dBfH+Z290NqXjsl1pZ67bCL4O5aySc
Xpyh70yTW63B9e3mqruqFic2kf3jw/cAxQXI7bv4tnDqYe+AUZ6GjfpjJRHMq52a
neeo0DOA9xhpevoeD7N/dqo15D89UslTnKVH8xT/CjbPwMw/fUvZfUx2zK8njxsS
ki+xoQAx98G58CXPYhLBMf8dHGSXfVPiJpI78KK+ROorcAEbD76LM2Njg0DCfdjR
AQIDAQAB
-----END PUBLIC KEY-----
";
