//! GET, and nothing else: within the limits, within a time, within a size, from the host that was named.
//!
//! It does not parse, does not retry and follows no redirect. Nothing secret passes through here, so addresses and the
//! beginnings of bodies may stand in errors.

use std::error::Error;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use tokio::time::{Instant, timeout_at};

use super::limits::{Limits, Permit};
use super::rule::Rule;
use super::signs::Signs;
use super::time::{Offset, OffsetMeter, http_date};
use crate::clock::{Clock, Stamp};
use crate::error::FeedError;
use crate::input::Answer;
use crate::tls;
use crate::venue::{Protocol, RestLimits, VenueConfig};
use crate::wire::venue_time;

/// How much of a body is quoted in an error.
const QUOTED: usize = 200;

/// Makes clients. All that are made here for one host share its budgets, so there is one of these in a process.
#[derive(Debug)]
pub struct Clients {
    http: reqwest::Client,
    clock: Clock,
    hosts: Mutex<Vec<(Host, Shared)>>,
}

/// What a budget belongs to. Two venues of a simulator may share an address, and still count by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    protocol: Option<Protocol>,
    origin: String,
}

/// What all clients of a host share.
#[derive(Debug, Clone)]
struct Shared {
    limits: Arc<Limits>,
    meter: Arc<Mutex<OffsetMeter>>,
}

/// Asks one host; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    timeout: Duration,
    most_bytes: usize,
    clock: Clock,
    shared: Shared,
}

impl Clients {
    /// The clock stamps answers and turns dates into waits.
    ///
    /// # Errors
    /// [`FeedError::Protocol`] when TLS cannot be set up.
    pub fn new(clock: Clock) -> Result<Clients, FeedError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config()?)
            .user_agent(concat!("crossbook/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            // Sockets take no proxy either, and what is measured here is the way to the venue.
            .no_proxy()
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| FeedError::Protocol(format!("HTTP client: {}", chain(&error))))?;
        Ok(Clients {
            http,
            clock,
            hosts: Mutex::default(),
        })
    }

    /// A client of a venue, under its limits.
    ///
    /// # Errors
    /// [`FeedError::Protocol`] when `rest_url` is no address.
    pub fn venue(&self, venue: &VenueConfig) -> Result<Client, FeedError> {
        let rule = venue.protocol.rule();
        self.client(Some(venue.protocol), venue.rest_base(), rule, &venue.rest)
    }

    /// A client of any other host, each group of requests under this rule.
    ///
    /// # Errors
    /// [`FeedError::Protocol`] when `base` is no address.
    pub fn host(&self, base: &str, rule: Rule, rest: &RestLimits) -> Result<Client, FeedError> {
        self.client(None, base, rule, rest)
    }

    fn client(
        &self,
        protocol: Option<Protocol>,
        base: &str,
        rule: Rule,
        rest: &RestLimits,
    ) -> Result<Client, FeedError> {
        let base = Url::parse(base)
            .ok()
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| FeedError::Protocol(format!("{base:?} is no address of an HTTP server")))?;
        let host = Host {
            protocol,
            origin: base.origin().ascii_serialization(),
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.iter().find(|(known, _)| *known == host);
        let shared = match known {
            Some((_, shared)) => shared.clone(),
            None => {
                let shared = Shared {
                    limits: Limits::new(rule, rest),
                    meter: Arc::default(),
                };
                hosts.push((host, shared.clone()));
                shared
            }
        };
        Ok(Client {
            http: self.http.clone(),
            base,
            timeout: Duration::from_millis(rest.timeout_ms),
            most_bytes: rest.max_body_bytes,
            clock: self.clock.clone(),
            shared,
        })
    }
}

impl Client {
    /// Asks for `path` (below the base, with a slash at its start), when the group has room for `weight`.
    ///
    /// The answer may have any status but those that tell us to wait and redirects; [`Answer::body`] refuses all but 2xx.
    ///
    /// # Errors
    /// [`FeedError::Limited`] when the venue tells, or told, us to wait; a told wait shorter than the time limit is waited
    /// for. [`FeedError::Timeout`] when there was no room in our own share or no whole answer in time,
    /// [`FeedError::Connection`] when there was none at all or it broke off, [`FeedError::Protocol`] when it was too large,
    /// a redirect, or not decodable.
    pub async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        group: &'static str,
        weight: u32,
    ) -> Result<Answer, FeedError> {
        let permit = self.shared.limits.acquire(group, weight, self.timeout).await?;
        self.send(permit, path, query).await
    }

    /// The budgets of this host.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.shared.limits
    }

    /// The clock that stamps.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How long a request may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How far the venue's clock is ahead of ours, by all answers so far.
    pub fn offset(&self) -> Option<Offset> {
        self.meter().offset(self.clock.now())
    }

    /// Sends a request for which there is a permit.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn send(&self, permit: Permit, path: &str, query: &[(&str, &str)]) -> Result<Answer, FeedError> {
        self.exchange(permit, path, query).await.map(|(answer, _)| answer)
    }

    /// Sends a request whose answer tells the venue's time to the millisecond, as Binance's `serverTime`, and takes that in;
    /// one that does not has told its `Date`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn measure(&self, permit: Permit, path: &str, query: &[(&str, &str)]) -> Result<Answer, FeedError> {
        #[derive(serde::Deserialize)]
        struct Time {
            #[serde(rename = "serverTime")]
            server_time: u64,
        }
        let (answer, (sent, received)) = self.exchange(permit, path, query).await?;
        let time = serde_json::from_slice(&answer.bytes)
            .ok()
            .and_then(|time: Time| venue_time("serverTime", time.server_time).ok());
        if let Some(time) = time {
            self.meter().add(sent, received, time, 1_000_000);
        }
        Ok(answer)
    }

    fn meter(&self) -> MutexGuard<'_, OffsetMeter> {
        self.shared.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, and when the request was sent and the head of its answer came.
    async fn exchange(
        &self,
        permit: Permit,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(Answer, (Stamp, Stamp)), FeedError> {
        let late = |_| FeedError::Timeout {
            what: format!("GET {path}"),
            limit_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let deadline = Instant::now() + self.timeout;
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let sent = self.clock.now();
        let response = timeout_at(deadline, self.http.get(url).query(query).send())
            .await
            .map_err(late)?
            .map_err(|error| FeedError::Connection(format!("GET {path}: {}", chain(&error.without_url()))))?;
        let received = self.clock.now();
        let status = response.status();
        let headers = response.headers().clone();
        // A cache's answer carries the date of when it was made.
        let date = headers.get("date").filter(|_| !headers.contains_key("age"));
        if let Some(date) = date.and_then(|date| http_date(date.to_str().ok()?)) {
            self.meter().add(sent, received, date, 1_000_000_000);
        }
        let body = timeout_at(deadline, self.read(response, path))
            .await
            .map_err(late)
            .flatten();
        // What the headers tell counts even when the body broke off.
        let words = match (&body, status.as_u16()) {
            (Ok(body), 403 | 418 | 429) => body.as_ref(),
            _ => &[],
        };
        let signs = Signs::read(&headers, words, self.clock.raw_wall());
        if let Some(limited) = permit.heard(status.as_u16(), &signs) {
            return Err(limited);
        }
        if status.is_redirection() {
            let to = headers.get("location").and_then(|to| to.to_str().ok());
            return Err(FeedError::Protocol(format!(
                "GET {path}: HTTP {} to {}, which is not followed",
                status.as_u16(),
                to.unwrap_or("nowhere")
            )));
        }
        let answer = Answer {
            status: status.as_u16(),
            bytes: body?,
        };
        Ok((answer, (sent, received)))
    }

    /// The body, decompressed, as far as it is not too large: what a small answer unpacks to is bounded too.
    async fn read(&self, mut response: Response, path: &str) -> Result<Bytes, FeedError> {
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > self.most_bytes => {
                    return Err(FeedError::Protocol(format!(
                        "GET {path}: the answer is larger than {} bytes",
                        self.most_bytes
                    )));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body.freeze()),
                Err(error) => {
                    let text = format!("GET {path}: {}", chain(&error));
                    return Err(match undecodable(&error) {
                        true => FeedError::Protocol(text),
                        false => FeedError::Connection(text),
                    });
                }
            }
        }
    }
}

impl Answer {
    /// The body of an answer that is a success.
    ///
    /// # Errors
    /// [`FeedError::Protocol`] with the status and the beginning of the body when it is none.
    pub fn body(&self) -> Result<&Bytes, FeedError> {
        if (200..300).contains(&self.status) {
            return Ok(&self.bytes);
        }
        let quoted = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(QUOTED)]);
        Err(FeedError::Protocol(format!("HTTP {}: {quoted}", self.status)))
    }
}

/// Whether the bytes came but are not what the header says they are packed as.
fn undecodable(error: &reqwest::Error) -> bool {
    sources(error).any(|source| {
        source
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput))
    })
}

/// An error with all its causes: reqwest's own words are only `error sending request`.
fn chain(error: &reqwest::Error) -> String {
    sources(error)
        .map(|error| error.to_string())
        .collect::<Vec<_>>()
        .join(": ")
}

fn sources<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |error| (*error).source())
}

#[cfg(test)]
mod tests;
