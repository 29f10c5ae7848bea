//! The rate in a Redis while a recording runs: the one that the journal has, and it does not outlive the recording for long.

use std::time::Instant;

use super::{Bench, PATIENCE, read};
use crate::redis_server::Server;

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < patience, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn f52_the_rate_is_shown_in_redis_and_its_loss_costs_the_recording_nothing() {
    const KEY: &str = "lab:fx:usdkrw";
    let Some(mut redis) = Server::start("rates") else {
        return;
    };
    let bench = Bench::new();
    let path = bench.path("record.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let shown = format!(
        "{text}\n[fx.redis]\nurl = \"{}\"\nprefix = \"lab\"\nevery_ms = 100\nttl_ms = 1500\n",
        redis.url()
    );
    std::fs::write(&path, shown).unwrap();
    let mut recorder = bench.recording(&[], 50);
    let value = eventually("a rate", || {
        redis.ask(&["GET", KEY]).ok().filter(|text| !text.is_empty())
    });
    let value: serde_json::Value = serde_json::from_str(&value).unwrap();
    assert_eq!(value["source"], "upbit-usdt", "{value}");
    let rate: f64 = value["rate"].as_str().unwrap().parse().unwrap();
    assert!((1_000.0..2_000.0).contains(&rate), "{value}");

    // Redis dies and comes back empty: the recording goes on, and the rate is there again.
    let before = read(&bench.path("rec")).unwrap().0.len();
    redis.kill_and_wipe();
    eventually("the recording goes on", || {
        read(&bench.path("rec")).filter(|(records, _)| records.len() > before + 50)
    });
    redis.again();
    eventually("the rate again", || {
        redis.ask(&["GET", KEY]).ok().filter(|text| !text.is_empty())
    });

    recorder.signal("-TERM");
    let told = recorder.told();
    assert_eq!(told.code, Some(0), "{}", told.err);
    eventually("nobody keeps it up", || {
        redis.ask(&["GET", KEY]).ok().filter(String::is_empty)
    });
}
