//! Upbit's tokens: a JWT that names the key, a nonce, and the hash of the request's parameters.
//!
//! HS256 and HS512 are both taken: the documentation's sample is HS512, the published clients all sign HS256. The query
//! text is hashed decoded, in the order in which it was sent; a body is hashed as its members in order.
//! Source: Upbit developer docs v1.6.4, authentication (read 2026-11-21).

use ring::{digest, hmac};
use serde::Deserialize;

use super::{Nonces, text};

/// Why a token was refused; the name is the one on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No token, or not one.
    #[error("jwt_verification")]
    Jwt,
    /// A key that is not known.
    #[error("invalid_access_key")]
    AccessKey,
    /// The nonce was used before.
    #[error("nonce_used")]
    Nonce,
    /// The hash of the parameters is missing or another.
    #[error("invalid_query_payload")]
    Query,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    access_key: String,
    nonce: Option<String>,
    query_hash: Option<String>,
    query_hash_alg: Option<String>,
}

/// Checks the value of an `Authorization` header over `query`, the decoded text of the request's parameters (empty: none).
/// `secret_of` finds the secret of a key.
///
/// # Errors
/// The [`Refusal`] to answer with.
pub fn check<'a, K>(
    authorization: Option<&str>,
    query: &str,
    secret_of: impl FnOnce(&str) -> Option<(K, &'a str)>,
    nonces: &mut Nonces,
) -> Result<K, Refusal> {
    let token = authorization
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or(Refusal::Jwt)?
        .trim();
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Jwt)?;
    let (header, claims) = signed.split_once('.').ok_or(Refusal::Jwt)?;
    let header: Header = decode(header)?;
    let claims: Claims = decode(claims)?;
    let algorithm = match header.alg.as_str() {
        "HS256" => hmac::HMAC_SHA256,
        "HS512" => hmac::HMAC_SHA512,
        _ => return Err(Refusal::Jwt),
    };
    let (key, secret) = secret_of(&claims.access_key).ok_or(Refusal::AccessKey)?;
    let signature = text::base64_url(signature).ok_or(Refusal::Jwt)?;
    hmac::verify(
        &hmac::Key::new(algorithm, secret.as_bytes()),
        signed.as_bytes(),
        &signature,
    )
    .map_err(|_| Refusal::Jwt)?;
    check_hash(&claims, query)?;
    let nonce = claims
        .nonce
        .as_deref()
        .filter(|nonce| !nonce.is_empty())
        .ok_or(Refusal::Jwt)?;
    if !nonces.is_new(nonce) {
        return Err(Refusal::Nonce);
    }
    Ok(key)
}

/// A request without parameters carries no hash; one with parameters carries theirs.
fn check_hash(claims: &Claims, query: &str) -> Result<(), Refusal> {
    match (&claims.query_hash, query.is_empty()) {
        (None, true) => Ok(()),
        (Some(hash), false)
            if claims.query_hash_alg.as_deref().is_none_or(|name| name == "SHA512") && *hash == query_hash(query) =>
        {
            Ok(())
        }
        _ => Err(Refusal::Query),
    }
}

/// Lower-case hex of the SHA-512 of a query text.
pub fn query_hash(query: &str) -> String {
    text::to_hex(digest::digest(&digest::SHA512, query.as_bytes()).as_ref())
}

/// The query text that a body's members stand for, as it is hashed: in their order, without percent signs.
pub fn query_text(members: &[(String, String)]) -> String {
    let pairs: Vec<String> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join("&")
}

/// The members of a JSON body in order, arrays as several `key[]`. `None` when the body is not one object of plain members.
pub fn body_members(body: &[u8]) -> Option<Vec<(String, String)>> {
    use serde_json::Value;
    fn plain(value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(yes) => Some(yes.to_string()),
            _ => None,
        }
    }
    if body.is_empty() {
        return Some(Vec::new());
    }
    let ordered: Ordered = serde_json::from_slice(body).ok()?;
    let mut out = Vec::new();
    for (key, value) in ordered.0 {
        match value {
            Value::Array(items) => {
                for item in &items {
                    out.push((format!("{key}[]"), plain(item)?));
                }
            }
            Value::Null => {}
            other => out.push((key, plain(&other)?)),
        }
    }
    Some(out)
}

/// Members of an object in the order in which they stand.
struct Ordered(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Ordered, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Ordered;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut out = Vec::new();
                while let Some(member) = map.next_entry()? {
                    out.push(member);
                }
                Ok(Ordered(out))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Refusal> {
    let bytes = text::base64_url(part).ok_or(Refusal::Jwt)?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::Jwt)
}
