//! Which streams have spoken since the subscription.
//!
//! It reads frames only until every stream that must speak has spoken; after that a connection does not look into
//! frames at all. What a frame says is the parser's business: here only whose it is, and whether it is a refusal.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::subscribe::upbit_stream;
use crate::error::FeedError;
use crate::venue::Protocol;

/// The streams that have not spoken yet.
#[derive(Debug)]
pub struct FirstData {
    protocol: Protocol,
    waiting: BTreeSet<String>,
    any: bool,
}

/// What tells whose a frame is, in all spellings of all venues.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow, rename = "type", alias = "ty")]
    kind: Option<Cow<'a, str>>,
    /// Upbit's market, or the number of Binance's error.
    #[serde(borrow, alias = "cd")]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
}

impl FirstData {
    /// Waits for these streams, named as in [`super::Plan::must_speak`].
    pub fn of(protocol: Protocol, waiting: BTreeSet<String>) -> FirstData {
        FirstData {
            protocol,
            waiting,
            any: false,
        }
    }

    /// Notes whose data a frame has. Bytes that make no sense are nobody's; the parser counts them.
    ///
    /// # Errors
    /// [`FeedError::Protocol`] when the venue answers the subscription with an error.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(), FeedError> {
        if bytes.trim_ascii_start().starts_with(b"[") {
            let probes: Vec<Probe<'_>> = serde_json::from_slice(bytes).unwrap_or_default();
            probes.iter().try_for_each(|probe| self.hear_one(probe))
        } else {
            match serde_json::from_slice::<Probe<'_>>(bytes) {
                Ok(probe) => self.hear_one(&probe),
                Err(_) => Ok(()),
            }
        }
    }

    fn hear_one(&mut self, probe: &Probe<'_>) -> Result<(), FeedError> {
        let refusal = match (probe.error, &probe.msg, probe.code) {
            (Some(error), _, _) => Some(error.get().to_owned()),
            (None, Some(msg), Some(code)) => Some(format!("{} {msg}", code.get())),
            _ => None,
        };
        if let Some(mut what) = refusal {
            what.truncate(what.floor_char_boundary(200));
            return Err(FeedError::Protocol(format!(
                "the venue refused the subscription: {what}"
            )));
        }
        let heard = match self.protocol {
            Protocol::Upbit => match (&probe.kind, probe.code) {
                (Some(kind), Some(code)) => self.waiting.remove(&upbit_stream(kind, code.get().trim_matches('"'))),
                _ => false,
            },
            Protocol::BinanceSpot | Protocol::BinanceUsdm => match &probe.stream {
                Some(stream) => self.waiting.remove(stream.as_ref()),
                None => false,
            },
        };
        self.any |= heard;
        Ok(())
    }

    /// Whether all have spoken.
    pub fn complete(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Who has not, if another has: then it is theirs, not the socket's.
    pub fn silent(self) -> BTreeSet<String> {
        if self.any { self.waiting } else { BTreeSet::new() }
    }

    /// The error of those who have not.
    pub fn overdue(&self, limit_ms: u64) -> FeedError {
        let first = self.waiting.first().map_or("", String::as_str);
        FeedError::Timeout {
            what: match self.waiting.len() {
                0 | 1 => format!("first data of {first}"),
                more => format!("first data of {first} and {} more", more - 1),
            },
            limit_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(protocol: Protocol, names: &[&str]) -> FirstData {
        FirstData::of(protocol, names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn f07_each_stream_is_known_in_every_spelling() {
        let cases = [
            (
                Protocol::Upbit,
                "orderbook KRW-BTC",
                r#"{"type":"orderbook","code":"KRW-BTC","timestamp":1}"#,
            ),
            (
                Protocol::Upbit,
                "orderbook KRW-BTC",
                r#"{"cd":"KRW-BTC","obu":[{"code":1}],"ty":"orderbook"}"#,
            ),
            (
                Protocol::Upbit,
                "trade KRW-ETH",
                r#" [{"type":"trade","code":"KRW-XRP"},{"type":"trade","code":"KRW-ETH"}]"#,
            ),
            (
                Protocol::BinanceSpot,
                "btcusdt@depth@100ms",
                r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","code":"x"}}"#,
            ),
            (
                Protocol::BinanceUsdm,
                "币usdt@trade",
                r#"{"data":{},"stream":"\u5e01usdt@trade"}"#,
            ),
        ];
        for (protocol, stream, frame) in cases {
            let mut first = waiting(protocol, &[stream, "another"]);
            first.hear(frame.as_bytes()).unwrap();
            assert!(!first.complete());
            assert_eq!(first.silent(), BTreeSet::from(["another".to_owned()]), "{frame}");
        }
    }

    #[test]
    fn f07_other_frames_are_nobodys() {
        let frames: [&[u8]; 8] = [
            br#"{"status":"UP"}"#,
            br#"{"result":null,"id":1}"#,
            br#"{"type":"trade","code":"KRW-BTC"}"#,
            br#"{"type":"orderbook","code":"KRW-ETH"}"#,
            br#"{"type":"orderbook","code":"KRW-BTC""#,
            b"",
            b"[1, 2]",
            b"\xff\xfe",
        ];
        let mut first = waiting(Protocol::Upbit, &["orderbook KRW-BTC"]);
        for frame in frames {
            assert_eq!(first.hear(frame), Ok(()), "{frame:?}");
            assert!(!first.complete(), "{frame:?}");
        }
        assert_eq!(
            first.overdue(9).to_string(),
            "timeout: first data of orderbook KRW-BTC took longer than 9 ms"
        );
        assert!(first.silent().is_empty(), "when nobody spoke it is the socket");
    }

    #[test]
    fn f07_an_error_in_place_of_data_is_a_refusal() {
        let cases = [
            (
                Protocol::Upbit,
                r#"{"error":{"name":"WRONG_FORMAT","message":"no"}}"#,
                "WRONG_FORMAT",
            ),
            (Protocol::Upbit, r#"[{"error":{"name":400,"message":"no"}}]"#, "400"),
            (
                Protocol::BinanceSpot,
                r#"{"code":2,"msg":"Invalid request","id":1}"#,
                "2 Invalid request",
            ),
            (
                Protocol::BinanceSpot,
                r#"{"error":{"code":3,"msg":"Invalid JSON"},"id":""}"#,
                "Invalid JSON",
            ),
        ];
        for (protocol, frame, want) in cases {
            let error = waiting(protocol, &["x"]).hear(frame.as_bytes()).unwrap_err();
            assert_eq!(error.class(), "protocol");
            assert!(error.to_string().contains(want), "{error}");
        }
    }
}
