//! An HTTP server on a loopback socket that answers as a test says.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::venue::{Protocol, RestLimits, VenueConfig};

/// What is sent back.
#[derive(Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Break off after this many bytes of the body, the length that was announced being the whole.
    pub cut: Option<usize>,
    /// Wait for this before the head is sent.
    pub hold: Option<Arc<Notify>>,
    /// Send the head and the first byte of the body, and then nothing, without closing.
    pub stall: bool,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            body: body.into(),
            ..Reply::default()
        }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Reply {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

type Script = dyn Fn(usize, &str) -> Reply + Send + Sync;

/// Listens until it is dropped.
pub struct Server {
    pub base: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// `script` gets the number of the request, from 0, and its target (`/v1/orderbook?markets=KRW-BTC`).
    pub async fn start(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, all): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut sockets = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                sockets.spawn(serve(socket, Arc::clone(&script), Arc::clone(&all)));
            }
        });
        Server { base, seen, task }
    }

    /// Targets of all requests so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }

    /// A venue whose REST interface this is, with timers for a test.
    pub fn venue(&self, protocol: Protocol) -> VenueConfig {
        let text = format!(
            "name = \"test\"\nprotocol = {}\nrest_url = {:?}",
            toml::Value::try_from(protocol).expect("a protocol"),
            self.base
        );
        let venue: VenueConfig = toml::from_str(&text).expect("a venue");
        VenueConfig {
            rest: RestLimits {
                headroom_percent: 100,
                ..RestLimits::default()
            },
            ..venue
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut socket: TcpStream, script: Arc<Script>, seen: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.ok()?);
        }
        let target = String::from_utf8_lossy(&head).split(' ').nth(1)?.to_owned();
        head.clear();
        let number = {
            let mut seen = seen.lock().expect("no panic");
            seen.push(target.clone());
            seen.len() - 1
        };
        let reply = script(number, &target);
        if let Some(hold) = &reply.hold {
            hold.notified().await;
        }
        let mut text = format!(
            "HTTP/1.1 {} X\r\ncontent-length: {}\r\n",
            reply.status,
            reply.body.len()
        );
        for (name, value) in &reply.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        socket.write_all(text.as_bytes()).await.ok()?;
        if reply.stall {
            socket.write_all(&reply.body[..1]).await.ok()?;
            std::future::pending::<()>().await;
        }
        let sent = reply.cut.unwrap_or(reply.body.len());
        socket.write_all(&reply.body[..sent]).await.ok()?;
        if reply.cut.is_some() {
            return None;
        }
    }
}
