//! Checking signatures: whether a request was made by the holder of a key, and is the request that was signed.
//!
//! Only the venue's half lives here: nothing in this package can sign, and nothing is shared with the adapters that do.
//! No secret ever reaches an error or a log line: every refusal is one of a closed list of names.

pub mod binance;
pub mod text;
pub mod upbit;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

/// How a key of the exchange proves itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A shared secret: the text's bytes are the key.
    Shared(String),
    /// An Ed25519 public key, 32 bytes.
    Ed25519(Vec<u8>),
    /// An RSA public key, DER of PKCS#1.
    Rsa(Vec<u8>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Secret::Shared(_) => "Shared(..)",
            Secret::Ed25519(_) => "Ed25519(..)",
            Secret::Rsa(_) => "Rsa(..)",
        })
    }
}

/// What is wrong with a public key in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or not base64 inside.
    #[error("not a PEM text with a public key")]
    Pem,
    /// Neither Ed25519 nor RSA.
    #[error("neither an Ed25519 nor an RSA public key")]
    Kind,
}

/// `SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING` of 32 bytes, then the key (RFC 8410).
const ED25519_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// `SEQUENCE { OID 1.2.840.113549.1.1.1, NULL }` (RFC 3279).
const RSA_ALGORITHM: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

impl Secret {
    /// From the PEM text that is handed to an exchange when a key is made: `-----BEGIN PUBLIC KEY-----` and so on.
    ///
    /// # Errors
    /// [`KeyError`] when it is not one of the two kinds that Binance takes.
    pub fn public_pem(pem: &str) -> Result<Secret, KeyError> {
        let inner: String = pem
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("-----"))
            .collect();
        if inner.len() == pem.trim().len() {
            return Err(KeyError::Pem);
        }
        let der = text::base64(&inner).ok_or(KeyError::Pem)?;
        if let Some(key) = der.strip_prefix(&ED25519_HEAD)
            && key.len() == 32
        {
            return Ok(Secret::Ed25519(key.to_vec()));
        }
        let body = der_value(&der, 0x30).ok_or(KeyError::Kind)?;
        let bits = body.strip_prefix(&RSA_ALGORITHM).ok_or(KeyError::Kind)?;
        match der_value(bits, 0x03).and_then(|bits| bits.split_first()) {
            Some((0, key)) => Ok(Secret::Rsa(key.to_vec())),
            _ => Err(KeyError::Kind),
        }
    }
}

/// The value of a DER element with this tag at the head of `bytes`.
fn der_value(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    if length < 0x80 {
        return rest.get(..usize::from(length));
    }
    let count = usize::from(length & 0x7f);
    if count == 0 || count > 4 {
        return None;
    }
    let (digits, rest) = (rest.get(..count)?, rest.get(count..)?);
    let length = digits.iter().fold(0usize, |sum, &digit| sum << 8 | usize::from(digit));
    rest.get(..length)
}

/// Nonces that were seen: the newest ones, so that it cannot grow without end. A replay of a request older than that many
/// others would pass, which no test of a client can tell from a venue that remembers all.
#[derive(Debug, Default)]
pub struct Nonces {
    seen: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Nonces {
    const MOST: usize = 100_000;

    /// Whether it is new; from now on it is not.
    pub fn is_new(&mut self, nonce: &str) -> bool {
        if !self.seen.insert(nonce.to_owned()) {
            return false;
        }
        self.order.push_back(nonce.to_owned());
        if self.order.len() > Nonces::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}
