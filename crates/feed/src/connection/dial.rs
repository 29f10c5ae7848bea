//! From an address to an open WebSocket: name, TCP, TLS, handshake, and what each of them may answer instead.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::Plan;
use crate::error::FeedError;
use crate::venue::VenueConfig;

/// Makes byte streams. The one way to the outside, so that tests can put a pipe in its place.
pub trait Dial: Send + Sync + 'static {
    /// What it makes.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Connects to a host, by name or number. TLS is not its business.
    fn dial(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Sockets of the operating system, without Nagle's delay.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Dial for Tcp {
    type Stream = TcpStream;

    async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// An open WebSocket over whatever was dialled.
pub(super) type Socket<S> = WebSocketStream<MaybeTlsStream<S>>;

/// Makes a connection within `connect_ms`.
pub(super) async fn open<D: Dial>(
    dial: &D,
    tls: &Arc<ClientConfig>,
    plan: &Plan,
    config: &VenueConfig,
) -> Result<Socket<D::Stream>, FeedError> {
    let limit_ms = config.timers.connect_ms;
    let mut request = plan
        .url
        .as_str()
        .into_client_request()
        .map_err(|error| failure(error, config))?;
    let agent = HeaderValue::from_static(concat!("crossbook/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert("User-Agent", agent);
    let most = Some(config.timers.max_frame_bytes);
    let socket = WebSocketConfig::default()
        .read_buffer_size(64 << 10)
        .write_buffer_size(4 << 10)
        // Pongs to a peer that reads nothing pile up to here and no further.
        .max_write_buffer_size(256 << 10)
        .max_frame_size(most)
        .max_message_size(most);
    let make = async {
        let stream = dial.dial(&plan.host, plan.port).await.map_err(WsError::Io)?;
        let tls = Connector::Rustls(Arc::clone(tls));
        client_async_tls_with_config(request, stream, Some(socket), Some(tls)).await
    };
    match timeout(Duration::from_millis(limit_ms), make).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(failure(error, config)),
        Err(_) => Err(FeedError::Timeout {
            what: "connect".to_owned(),
            limit_ms,
        }),
    }
}

/// The class of what went wrong on a socket or in its handshake.
pub(super) fn failure(error: WsError, config: &VenueConfig) -> FeedError {
    match error {
        WsError::Http(answer) => {
            let status = answer.status().as_u16();
            let unsaid_ms = match status {
                403 | 418 => config.rest.banned_ms,
                429 => config.timers.backoff_most_ms,
                _ => return FeedError::Protocol(format!("HTTP {status} instead of a WebSocket")),
            };
            FeedError::Limited {
                status,
                wait: retry_after(answer.headers()).unwrap_or(Duration::from_millis(unsaid_ms)),
            }
        }
        WsError::Io(_)
        | WsError::Tls(_)
        | WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
            FeedError::Connection(error.to_string())
        }
        _ => FeedError::Protocol(error.to_string()),
    }
}

/// `Retry-After` in seconds, as Binance sends it; at most three days, its longest ban. A date is as good as nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get("Retry-After")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3 * 86_400)))
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::http::Response;

    use super::*;
    use crate::error::Remedy;

    #[test]
    fn f10_refusals_wait_as_long_as_the_venue_says() {
        let config: VenueConfig = toml::from_str(
            "name = 'v'\nprotocol = 'upbit'\n[rest]\nbanned_ms = 7000\n[timers]\nbackoff_most_ms = 5000",
        )
        .unwrap();
        let cases = [
            (429, Some("17"), Some(17)),
            (418, Some(" 60 "), Some(60)),
            (403, Some("99999999999"), Some(259_200)),
            (403, None, Some(7)),
            (418, Some("Wed, 21 Oct 2026 07:28:00 GMT"), Some(7)),
            (429, Some("-1"), Some(5)),
            (500, Some("60"), None),
            (200, None, None),
        ];
        for (status, header, want) in cases {
            let mut answer = Response::builder().status(status);
            if let Some(header) = header {
                answer = answer.header("retry-after", header);
            }
            let error = failure(WsError::Http(Box::new(answer.body(None).unwrap())), &config);
            let wait = match error.remedy() {
                Remedy::Wait(wait) => Some(wait.as_secs()),
                Remedy::Reconnect => None,
            };
            assert_eq!(wait, want, "HTTP {status} {header:?}: {error}");
            let class = if want.is_some() { "limited" } else { "protocol" };
            assert_eq!(error.class(), class);
        }
    }
}
