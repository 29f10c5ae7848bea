//! Requests and answers, before and after HTTP.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};

use crate::sign::text::{Plus, members};

/// A request, read whole.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path, as sent.
    pub path: String,
    /// Its query text, as sent.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The address it came from, without the port.
    pub peer: String,
}

impl Call {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Members of the query, decoded; `None` when an escape is broken.
    pub fn query_members(&self, plus: Plus) -> Option<Vec<(String, String)>> {
        members(&self.query, plus)
    }
}

/// The first member of this name that is not empty.
pub fn member<'a>(members: &'a [(String, String)], name: &str) -> Option<&'a str> {
    members
        .iter()
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.as_str())
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers besides the usual.
    pub headers: Vec<(&'static str, String)>,
    /// JSON text.
    pub body: String,
    /// Whether it may be compressed when the client likes that.
    pub zip: bool,
}

impl Reply {
    /// An answer of this status.
    pub fn new(status: u16, body: impl Into<String>) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
            zip: false,
        }
    }

    /// Status 200.
    pub fn ok(body: impl Into<String>) -> Reply {
        Reply::new(200, body)
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Reply {
        self.headers.push((name, value.to_string()));
        self
    }

    /// As HTTP; `gzip` tells whether the client takes that.
    pub fn into_http(self, gzip: bool) -> Response<Full<Bytes>> {
        let zipped = (gzip && self.zip && self.body.len() > 256)
            .then(|| zip(self.body.as_bytes()))
            .flatten();
        let is_zipped = zipped.is_some();
        let body = zipped.map_or_else(|| Bytes::from(self.body), Bytes::from);
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
        if is_zipped {
            headers.insert(hyper::header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

fn zip(body: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// Whole seconds, rounded up, at least one: what `Retry-After` says.
pub fn retry_after(after: Duration) -> u64 {
    after.as_millis().div_ceil(1_000).max(1) as u64
}

/// A JSON list of elements that are JSON already.
pub fn list(elements: impl IntoIterator<Item = String>) -> String {
    let mut out = String::from("[");
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&element);
    }
    out.push(']');
    out
}
