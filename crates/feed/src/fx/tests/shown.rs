//! The rate in a real Redis: shown, gone with its time, back after an outage, and never in anybody's way.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::Clock;

/// A `redis-server` of its own, on a free port of the loopback, in a folder that goes with it.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// `None`, told, where there is no `redis-server`; with `CI=true` that is a failure.
    fn reserve(test: &str) -> Option<Server> {
        let there = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if there.is_err() {
            let ci = std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
            assert!(!ci, "{test}: CI is set and there is no redis-server");
            eprintln!("skipped {test}: no redis-server; to run it: sudo apt-get install -y redis-server");
            return None;
        }
        Some(Server {
            folder: tempfile::tempdir().unwrap(),
            port: TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(),
            child: None,
        })
    }

    async fn up(&mut self) {
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..500 {
            if let Ok(mut link) = self.link().await
                && redis::cmd("PING").exec_async(&mut link).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server on port {} does not answer", self.port);
    }

    fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn link(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        redis::Client::open(self.url())?
            .get_multiplexed_async_connection()
            .await
    }

    /// The key, and how many milliseconds it has left (-2 when it is not there).
    async fn shown(&self) -> (Option<serde_json::Value>, i64) {
        let mut link = self.link().await.unwrap();
        let key = "test:fx:usdkrw";
        let text: Option<String> = redis::cmd("GET").arg(key).query_async(&mut link).await.unwrap();
        let left: i64 = redis::cmd("PTTL").arg(key).query_async(&mut link).await.unwrap();
        (text.map(|text| serde_json::from_str(&text).unwrap()), left)
    }

    /// Waits until the key says so; bounded.
    async fn until(&self, what: &str, is: impl Fn(&Option<serde_json::Value>) -> bool) -> serde_json::Value {
        for _ in 0..1_000 {
            let (value, _) = self.shown().await;
            if is(&value) {
                return value.unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; at last {:?}", self.shown().await);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

fn settings(url: &str, ttl_ms: u64) -> RedisConfig {
    toml::from_str(&format!(
        "url = \"{url}\"\nprefix = \"test\"\nttl_ms = {ttl_ms}\nevery_ms = 10\ntimeout_ms = 200\nretry_most_ms = 40"
    ))
    .unwrap()
}

/// A book of rates that has a rate, and the task that shows it.
fn showing(config: RedisConfig) -> (FxBook, Clock, watch::Sender<Option<Shown>>, JoinHandle<PublishStats>) {
    let clock = Clock::system();
    let mut book = FxBook::new(super::config(THREE)).unwrap();
    let now = clock.now();
    let top = Some((price("1410"), price("1411")));
    book.on_book(now, BOOK, top, now.ts, &mut Vec::new());
    let (slot, seen) = watch::channel(book.shown(now));
    let task = tokio::spawn(publish(config, clock.clone(), seen));
    (book, clock, slot, task)
}

fn says(rate: &str) -> impl Fn(&Option<serde_json::Value>) -> bool {
    move |value| value.as_ref().is_some_and(|value| value["rate"] == rate)
}

#[tokio::test]
async fn f52_the_rate_is_shown_with_its_source_and_goes_with_its_time() {
    let Some(mut server) = Server::reserve("f52_the_rate_is_shown_with_its_source_and_goes_with_its_time") else {
        return;
    };
    server.up().await;
    let (mut book, clock, slot, task) = showing(settings(&server.url(), 60_000));
    let value = server.until("the first rate", says("1410.50000000")).await;
    assert_eq!(value["source"], "upbit-usdt");
    assert!(value["ts_event_ns"].is_i64() && value["age_ms"].is_i64() && value["written_ns"].is_i64());
    assert!(value["written_ns"].as_i64() >= value["ts_event_ns"].as_i64());
    let (_, left) = server.shown().await;
    assert!((1..=60_000).contains(&left), "{left}");
    // A new rate takes its place; no rate takes it away at once.
    let now = clock.now();
    book.on_book(now, BOOK, Some((price("1412"), price("1413"))), now.ts, &mut Vec::new());
    slot.send(book.shown(now)).unwrap();
    server.until("the second rate", says("1412.50000000")).await;
    slot.send(None).unwrap();
    server.until("no rate", Option::is_none).await;
    slot.send(book.shown(now)).unwrap();
    server.until("a rate again", says("1412.50000000")).await;
    drop(slot);
    let stats = task.await.unwrap();
    assert!(
        stats.written >= 3 && stats.removed == 1 && stats.failed == 0,
        "{stats:?}"
    );
}

#[tokio::test]
async fn f52_a_key_that_is_not_kept_up_goes() {
    let Some(mut server) = Server::reserve("f52_a_key_that_is_not_kept_up_goes") else {
        return;
    };
    server.up().await;
    let (_, _, slot, task) = showing(settings(&server.url(), 50));
    server.until("the rate", says("1410.50000000")).await;
    drop(slot);
    task.await.unwrap();
    server.until("that it is gone", Option::is_none).await;
}

#[tokio::test]
async fn f52_a_redis_that_is_absent_lost_and_back_empty_is_in_nobodys_way() {
    let Some(mut server) = Server::reserve("f52_a_redis_that_is_absent_lost_and_back_empty_is_in_nobodys_way") else {
        return;
    };
    let (mut book, clock, slot, task) = showing(settings(&server.url(), 60_000));
    let change = |book: &mut FxBook, bid: &str, ask: &str| {
        let now = clock.now();
        book.on_book(now, BOOK, Some((price(bid), price(ask))), now.ts, &mut Vec::new());
        slot.send(book.shown(now)).unwrap();
    };
    // Absent: a thousand rates go into the slot, and the last is what Redis gets when it is there.
    for _ in 0..1_000 {
        change(&mut book, "1411", "1412");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.up().await;
    server.until("the rate after the start", says("1411.50000000")).await;
    // Lost, and back without what it held.
    server.down();
    change(&mut book, "1413", "1414");
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.up().await;
    server.until("the rate after the loss", says("1413.50000000")).await;
    drop(slot);
    let stats = task.await.unwrap();
    assert!(stats.failed >= 2, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn f52_a_redis_that_accepts_and_never_answers_is_given_up_each_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = RedisConfig {
        every_ms: 1_000,
        timeout_ms: 1_000,
        retry_most_ms: 10_000,
        ..settings(&format!("redis://{}", silent.local_addr().unwrap()), 60_000)
    };
    let (_, _, slot, task) = showing(config);
    tokio::time::sleep(Duration::from_secs(120)).await;
    drop(slot);
    // It ends at once although a command is waited for, or within its time.
    let stats = tokio::time::timeout(Duration::from_secs(2), task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stats.written, 0);
    // 1 s for each try and 2, 4, 8, 10, 10 … s between them.
    assert!((10..=14).contains(&stats.failed), "{stats:?}");
}

#[test]
fn f71_a_password_is_neither_printed_nor_written() {
    let config = settings("redis://user:hunter2@cache:6379/1", 60_000);
    for text in [format!("{config:?}"), toml::to_string(&config).unwrap()] {
        assert!(
            text.contains("redis://***@cache:6379/1") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
