//! How fast the exchange is without its sockets: `cargo run --release -p crossbook-simex --example pace`.
//!
//! Prints, for 30 markets at each venue, how much of a core real-time rates need, with and without the truth log, and how
//! many book changes a second one core makes at most.

use std::time::Instant;

use crossbook_engine::units::TimestampNs;
use crossbook_simex::config::{Config, Markets};
use crossbook_simex::exchange::{Exchange, MarketEventKind, Notice};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("crossbook-pace-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    for (name, factor, truth) in [
        ("real time", 1.0, None),
        ("real time, truth log", 1.0, Some("truth.jsonl.zst")),
        ("tenfold", 10.0, None),
        ("tenfold, truth log", 10.0, Some("tenfold.jsonl.zst")),
    ] {
        let mut config = Config {
            markets: Markets::first(30),
            ..Config::default()
        };
        config.rates.factor = factor;
        config.truth.path = truth.map(|name| folder.join(name));
        let start = TimestampNs(1_790_000_000_000_000_000);
        let mut exchange = Exchange::new(&config, start)?;
        let mut out = Vec::new();
        let (mut books, mut all) = (0u64, 0u64);
        let seconds = 60i64;
        let begun = Instant::now();
        // As a server does it, every 5 ms.
        for tick in 1..=seconds * 200 {
            exchange.advance(start.plus(tick * 5_000_000), &mut out)?;
            all += out.len() as u64;
            books += out
                .drain(..)
                .filter(|notice| matches!(notice, Notice::Market(event) if matches!(event.kind, MarketEventKind::Book { .. })))
                .count() as u64;
        }
        let took = begun.elapsed().as_secs_f64();
        exchange.finish()?;
        println!(
            "{name}: {} book changes and {} other events a second; {:.2} % of a core; {:.0} book changes a second at most",
            books / seconds as u64,
            (all - books) / seconds as u64,
            took / seconds as f64 * 100.0,
            books as f64 / took,
        );
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
