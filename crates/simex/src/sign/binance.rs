//! Binance's signatures: HMAC-SHA256, Ed25519 or RSA over the parameters, and the window in which a timestamp is good.
//!
//! REST signs the text as it travels, percent-encoded (since 2026-01-15), query and body joined without a separator. The
//! WebSocket API signs the parameters sorted by name, raw.
//! Source: binance-spot-api-docs a5e0bc3, request security (read 2026-11-21).

use ring::{hmac, signature};

use super::{Secret, text};

/// Why a signed request was refused; the number is the one on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A parameter that every signed request needs is missing.
    #[error("Mandatory parameter '{0}' was not sent, was empty/null, or malformed.")]
    Missing(&'static str),
    /// The timestamp is ahead of the server's clock.
    #[error("Timestamp for this request was 1000ms ahead of the server's time.")]
    Ahead,
    /// The timestamp is older than the window.
    #[error("Timestamp for this request is outside of the recvWindow.")]
    Late,
    /// The window is too wide.
    #[error("recvWindow must be less than 60000.")]
    Window,
    /// The signature is not that of this text.
    #[error("Signature for this request is not valid.")]
    Signature,
}

impl Refusal {
    /// Binance's error number.
    pub const fn code(self) -> i32 {
        match self {
            Refusal::Missing(_) => -1102,
            Refusal::Ahead | Refusal::Late => -1021,
            Refusal::Window => -1131,
            Refusal::Signature => -1022,
        }
    }
}

/// Splits what was signed from the signature: query text and body joined, without the `signature` member.
pub fn rest_payload(query: &str, body: &str) -> (String, Option<String>) {
    let mut found = None;
    let mut strip = |part: &str| {
        part.split('&')
            .filter(|member| match member.strip_prefix("signature=") {
                Some(value) => {
                    found = text::percent_decode(value);
                    false
                }
                None => !member.is_empty(),
            })
            .collect::<Vec<_>>()
            .join("&")
    };
    let payload = strip(query) + &strip(body);
    (payload, found)
}

/// What is signed on the WebSocket API: everything but the signature, sorted by name.
pub fn ws_payload(members: &[(String, String)]) -> (String, Option<String>) {
    let mut sorted: Vec<_> = members.iter().filter(|(key, _)| key != "signature").collect();
    sorted.sort();
    let payload = sorted
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join("&");
    let given = members
        .iter()
        .find(|(key, _)| key == "signature")
        .map(|(_, value)| value.clone());
    (payload, given)
}

/// Whether `given` is the signature of `payload`: hex of either case for a shared secret, base64 otherwise.
///
/// # Errors
/// [`Refusal::Missing`] or [`Refusal::Signature`].
pub fn check(secret: &Secret, payload: &str, given: Option<&str>) -> Result<(), Refusal> {
    let given = given
        .filter(|text| !text.is_empty())
        .ok_or(Refusal::Missing("signature"))?;
    let public = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
        let bytes = text::base64(given).ok_or(Refusal::Signature)?;
        signature::UnparsedPublicKey::new(algorithm, key)
            .verify(payload.as_bytes(), &bytes)
            .map_err(|_| Refusal::Signature)
    };
    match secret {
        Secret::Shared(secret) => {
            let bytes = text::hex(given).ok_or(Refusal::Signature)?;
            hmac::verify(
                &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
                payload.as_bytes(),
                &bytes,
            )
            .map_err(|_| Refusal::Signature)
        }
        Secret::Ed25519(key) => public(&signature::ED25519, key),
        Secret::Rsa(key) => public(&signature::RSA_PKCS1_2048_8192_SHA256, key),
    }
}

/// Whether a timestamp (ms or microseconds) is good at `now_us` on the server's clock.
///
/// # Errors
/// The [`Refusal`] to answer with.
pub fn check_time(timestamp: Option<&str>, window: Option<&str>, now_us: i64) -> Result<(), Refusal> {
    let stamp: i64 = timestamp
        .and_then(|text| text.parse().ok())
        .ok_or(Refusal::Missing("timestamp"))?;
    // A stamp in milliseconds has 13 digits until the year 2286, one in microseconds 16.
    let stamp_us = if stamp < 100_000_000_000_000 {
        stamp.saturating_mul(1_000)
    } else {
        stamp
    };
    let window_us = match window {
        None => 5_000_000,
        Some(text) => window_us(text).ok_or(Refusal::Missing("recvWindow"))?,
    };
    if window_us > 60_000_000 {
        return Err(Refusal::Window);
    }
    if stamp_us >= now_us.saturating_add(1_000_000) {
        return Err(Refusal::Ahead);
    }
    if now_us.saturating_sub(stamp_us) > window_us {
        return Err(Refusal::Late);
    }
    Ok(())
}

/// Milliseconds with up to three decimals, in microseconds.
fn window_us(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok().filter(|&whole| whole >= 0)?;
    let part: i64 = format!("{part:0<3}").parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(part)
}
