//! Lines of raw captures: what was received, when, and over which connection; not yet what it means.
//!
//! Three spellings are read, and may be mixed:
//! - `<ns> <json>`;
//! - `<seconds>: <json>` or `<seconds>: b'<json>'` for received frames, `https://… -> <seconds>: <json>` for REST
//!   answers, `wss://… <-> <seconds>` for connections, `wss://… <- <seconds>: <json>` for what was sent, and a
//!   `configuration:` line (cryptofeed);
//! - one JSON object a line with `t` of `recv`, `http`, `connect`, `send`, `header` (cryptofeed version 3).

use std::borrow::Cow;

use crossbook_engine::units::TimestampNs;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::time::{TimeError, epoch};

/// A line of a capture.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A frame or a REST answer.
    Received {
        /// When it was read off the socket.
        ts_recv: TimestampNs,
        /// The URL that was asked, for a REST answer.
        url: Option<Cow<'a, str>>,
        /// Name of the connection, where the capture gives it.
        connection: Option<Cow<'a, str>>,
        /// Its bytes.
        frame: Cow<'a, [u8]>,
    },
    /// A connection was opened.
    Connected {
        /// Its name, where the capture gives it.
        connection: Option<Cow<'a, str>>,
        /// Its address.
        address: Cow<'a, str>,
    },
    /// Something else that the recorder noted: its configuration, what it sent, an empty line.
    Note,
}

/// Why a line is not a line of a capture.
#[derive(Debug, Error)]
pub enum LineError {
    /// None of the spellings.
    #[error(
        "not a capture line; allowed: `<ns> <json>`, `<seconds>: <json>`, `<url> -> <seconds>: <json>`, or {{\"t\":\"recv\",…}}"
    )]
    Unknown,
    /// The receive time is none.
    #[error("receive time: {0}")]
    Time(#[from] TimeError),
    /// A `b'…'` that is not closed, or has an escape that Python does not know.
    #[error("bad Python bytes literal")]
    Literal,
    /// Bad base64.
    #[error("bad base64")]
    Base64,
    /// Not UTF-8 before the frame begins.
    #[error("not UTF-8")]
    Utf8,
    /// Bad JSON around the frame.
    #[error("bad JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads one line.
///
/// # Errors
/// [`LineError`].
pub fn parse(line: &[u8]) -> Result<Line<'_>, LineError> {
    match line.first() {
        None => Ok(Line::Note),
        Some(b'{') => parse_record(line),
        Some(b'0'..=b'9') => {
            let end = line
                .iter()
                .position(|b| !b.is_ascii_digit() && *b != b'.')
                .ok_or(LineError::Unknown)?;
            let (stamp, rest) = line.split_at(end);
            let frame = match rest {
                [b':', b' ', frame @ ..] => unquote(frame)?,
                [b' ', frame @ ..] => Cow::Borrowed(frame),
                _ => return Err(LineError::Unknown),
            };
            received(stamp, None, frame)
        }
        Some(_) => parse_note(line),
    }
}

/// Whether this first line is one of a capture.
pub fn looks_like_a_frame(line: &str) -> bool {
    matches!(
        parse(line.as_bytes()),
        Ok(Line::Received { .. } | Line::Connected { .. })
    )
}

fn received<'a>(stamp: &[u8], url: Option<&'a str>, frame: Cow<'a, [u8]>) -> Result<Line<'a>, LineError> {
    let stamp = std::str::from_utf8(stamp).map_err(|_| LineError::Utf8)?;
    let (ts_recv, _) = epoch(stamp)?;
    Ok(Line::Received {
        ts_recv,
        url: url.map(Cow::Borrowed),
        connection: None,
        frame,
    })
}

fn parse_note(line: &[u8]) -> Result<Line<'_>, LineError> {
    if line.starts_with(b"configuration:") {
        return Ok(Line::Note);
    }
    let space = line.iter().position(|&b| b == b' ').ok_or(LineError::Unknown)?;
    let (address, rest) = line.split_at(space);
    let address = std::str::from_utf8(address).map_err(|_| LineError::Utf8)?;
    if !address.contains("://") {
        return Err(LineError::Unknown);
    }
    match rest {
        [b' ', b'<', b'-', b'>', ..] => Ok(Line::Connected {
            connection: None,
            address: Cow::Borrowed(address),
        }),
        [b' ', b'<', b'-', b' ', ..] => Ok(Line::Note),
        [b' ', b'-', b'>', b' ', answer @ ..] => {
            let colon = answer.iter().position(|&b| b == b':').ok_or(LineError::Unknown)?;
            let (stamp, frame) = answer.split_at(colon);
            let frame = frame.strip_prefix(b": ").ok_or(LineError::Unknown)?;
            received(stamp, Some(address), unquote(frame)?)
        }
        _ => Err(LineError::Unknown),
    }
}

/// Takes a Python bytes literal apart; anything else is the frame itself.
fn unquote(frame: &[u8]) -> Result<Cow<'_, [u8]>, LineError> {
    let (quote, inner) = match frame {
        [b'b', quote @ (b'\'' | b'"'), inner @ ..] => (*quote, inner),
        _ => return Ok(Cow::Borrowed(frame)),
    };
    let inner = match inner.split_last() {
        Some((last, inner)) if *last == quote => inner,
        _ => return Err(LineError::Literal),
    };
    if !inner.contains(&b'\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (decoded, tail) = match rest {
            [b'n', tail @ ..] => (b'\n', tail),
            [b'r', tail @ ..] => (b'\r', tail),
            [b't', tail @ ..] => (b'\t', tail),
            [c @ (b'\\' | b'\'' | b'"'), tail @ ..] => (*c, tail),
            [b'x', high, low, tail @ ..] => {
                let digit = |b: u8| char::from(b).to_digit(16).ok_or(LineError::Literal);
                ((digit(*high)? * 16 + digit(*low)?) as u8, tail)
            }
            _ => return Err(LineError::Literal),
        };
        bytes.push(decoded);
        rest = tail;
    }
    Ok(Cow::Owned(bytes))
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    conn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    b64: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    addr: Option<Cow<'a, str>>,
}

fn parse_record(line: &[u8]) -> Result<Line<'_>, LineError> {
    // The header's other keys are of other types: look at the kind first.
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        t: Cow<'a, str>,
    }
    let kind: Kind<'_> = serde_json::from_slice(line)?;
    if matches!(&*kind.t, "header" | "send") {
        return Ok(Line::Note);
    }
    let record: Record<'_> = serde_json::from_slice(line)?;
    match &*record.t {
        "connect" => Ok(Line::Connected {
            connection: record.conn,
            address: record.addr.unwrap_or_default(),
        }),
        "recv" | "http" => {
            let (ts_recv, _) = epoch(record.ts.ok_or(LineError::Unknown)?.get())?;
            let frame = match (record.data, record.b64) {
                (Some(Cow::Borrowed(data)), _) => Cow::Borrowed(data.as_bytes()),
                (Some(Cow::Owned(data)), _) => Cow::Owned(data.into_bytes()),
                (None, Some(text)) => Cow::Owned(decode_base64(text.as_bytes()).ok_or(LineError::Base64)?),
                (None, None) => return Err(LineError::Unknown),
            };
            Ok(Line::Received {
                ts_recv,
                url: record.url,
                connection: record.conn,
                frame,
            })
        }
        _ => Err(LineError::Unknown),
    }
}

/// Standard base64 with or without padding.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut value: u32 = 0;
        for &byte in group {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            value = value << 6 | u32::from(digit);
        }
        match group.len() {
            4 => bytes.extend_from_slice(&value.to_be_bytes()[1..]),
            3 => bytes.extend_from_slice(&(value >> 2).to_be_bytes()[2..]),
            2 => bytes.push((value >> 4) as u8),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_received_frame() {
        let cases: [(&str, i64, Option<&str>, &[u8]); 7] = [
            (
                "1723161253937085768 {\"a\":1}",
                1_723_161_253_937_085_768,
                None,
                b"{\"a\":1}",
            ),
            (
                "1617646620.849474: b'{\"a\":1}'",
                1_617_646_620_849_474_000,
                None,
                b"{\"a\":1}",
            ),
            (
                "1617646620.849474: b'it\\'s \\xea\\\\'",
                1_617_646_620_849_474_000,
                None,
                b"it's \xea\\",
            ),
            (
                "1617647603.4249449: {\"a\":1}",
                1_617_647_603_424_944_900,
                None,
                b"{\"a\":1}",
            ),
            (
                "https://x/depth?symbol=Z -> 1617647603.5: {}",
                1_617_647_603_500_000_000,
                Some("https://x/depth?symbol=Z"),
                b"{}",
            ),
            (
                r#"{"t":"recv","conn":"c","ts":1786310819.52,"data":"{\"a\":1}"}"#,
                1_786_310_819_520_000_000,
                None,
                b"{\"a\":1}",
            ),
            (
                r#"{"t":"recv","conn":"c","ts":1786310819.52,"b64":"eyJhIjoxfQ=="}"#,
                1_786_310_819_520_000_000,
                None,
                b"{\"a\":1}",
            ),
        ];
        for (line, want_ts, want_url, want_frame) in cases {
            match parse(line.as_bytes()) {
                Ok(Line::Received {
                    ts_recv, url, frame, ..
                }) => {
                    assert_eq!(
                        (ts_recv.0, url.as_deref(), &*frame),
                        (want_ts, want_url, want_frame),
                        "{line}"
                    );
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn notes_are_told_from_broken_lines() {
        let notes = [
            "",
            "configuration: {}",
            "wss://x <- 1617646620.6: []",
            r#"{"t":"header","format":2}"#,
            r#"{"t":"send","ts":1}"#,
        ];
        for line in notes {
            assert_eq!(parse(line.as_bytes()).unwrap(), Line::Note, "{line}");
        }
        assert!(matches!(parse(b"wss://x <-> 1617646619.6"), Ok(Line::Connected { .. })));
        let broken = [
            "hello",
            "12 {}",
            "1723161253937085768",
            "1723161253937085768{}",
            "1617646620.8: b'cut",
            "1617646620.8: b'\\q'",
            "https://x -> 1617646620.8",
            "{\"t\":\"recv\"",
            r#"{"t":"recv","ts":1786310819.5}"#,
            r#"{"t":"recv","ts":1786310819.5,"b64":"*"}"#,
        ];
        for line in broken {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
