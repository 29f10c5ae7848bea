//! `crossbook simex [CONFIG.toml]`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use crossbook_engine::units::TimestampNs;
use crossbook_simex::config::{Config, market_list};
use crossbook_simex::exchange::{Exchange, Parts, Venue};
use crossbook_simex::faults::Script;
use crossbook_simex::market::Source;
use crossbook_simex::market::recorded::Recording;
use crossbook_simex::server::clock::Clock;
use crossbook_simex::server::{Server, ServerError};

use super::span::span;
use super::{Common, Fault, Outcome, interrupt, say};
use crate::dataset::market::as_market;
use crate::dataset::reader::{Dataset, ReadOptions};

/// Arguments of `crossbook simex`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Without a file it lists more than forty coins at both venues, with one account at each. What it speaks, its faults and
its truth log are described in docs/simex.md.

Examples:
  crossbook simex
  crossbook simex --upbit-port 8101 --binance-port 8201 --usdm-port 8202 --admin-port 8301
  crossbook simex config/simex/simex.toml --seed 7 --faults config/simex/faults.toml --truth truth.jsonl.zst --duration 10m
  crossbook simex --dataset datasets/demo-upbit-krw-btc datasets/demo-binance-btcusdt --speed 2

Point `crossbook record` at it with these lines in the venue files (the ports are printed at the start):
  rest_url = \"http://127.0.0.1:8101\"
  ws_url = \"ws://127.0.0.1:8101\"

Exit codes: 0 done (also by Ctrl-C), 2 bad input, 4 a fault outside (a port that is taken).")]
pub struct Args {
    /// Its configuration; see docs/simex.md. Everything has a default.
    #[arg(value_name = "CONFIG.toml")]
    config: Option<PathBuf>,
    /// Seed of the synthetic market, in place of the configuration's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Port of Upbit's dialect; 0 takes a free one.
    #[arg(long, value_name = "PORT")]
    upbit_port: Option<u16>,
    /// Port of Binance's spot dialect; 0 takes a free one.
    #[arg(long, value_name = "PORT")]
    binance_port: Option<u16>,
    /// Port of Binance's USD-M dialect; 0 takes a free one.
    #[arg(long, value_name = "PORT")]
    usdm_port: Option<u16>,
    /// Port at which faults are taken while it runs; 0 takes a free one. Without it none are.
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// A fault script, in place of the configuration's.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Write the truth log to this file, which must not exist; compressed when the name ends in `.zst`.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// How much faster recorded datasets happen than they did, or how much busier the synthetic market is.
    #[arg(long, value_name = "FACTOR")]
    speed: Option<f64>,
    /// Let recorded datasets happen again in place of the synthetic market.
    ///
    /// By folder, or by name under the data root; may be repeated. Markets without a dataset are not listed.
    #[arg(long, num_args = 1.., value_name = "DIR")]
    dataset: Vec<String>,
    /// End after this long (`90s`, `10m`, `2h`); without it, at Ctrl-C.
    #[arg(long, value_parser = span, value_name = "SPAN")]
    duration: Option<Duration>,
}

/// The configuration with what the arguments change in it.
fn configure(args: &Args) -> anyhow::Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    config.seed = args.seed.unwrap_or(config.seed);
    let server = &mut config.server;
    server.upbit_port = args.upbit_port.unwrap_or(server.upbit_port);
    server.binance_port = args.binance_port.unwrap_or(server.binance_port);
    server.usdm_port = args.usdm_port.unwrap_or(server.usdm_port);
    server.admin_port = args.admin_port.or(server.admin_port);
    if let Some(path) = &args.truth {
        config.truth.path = Some(path.clone());
    }
    match args.speed {
        Some(speed) if args.dataset.is_empty() => config.rates.factor *= speed,
        Some(speed) => config.rates.speed = speed,
        None => {}
    }
    config.check()?;
    Ok(config)
}

/// The datasets that were asked for as the market, which is then what the configuration lists.
fn recording(
    common: &Common,
    args: &Args,
    config: &mut Config,
    start: TimestampNs,
) -> anyhow::Result<Option<Box<dyn Source>>> {
    if args.dataset.is_empty() {
        return Ok(None);
    }
    let open = |name: &String| Dataset::resolve(name, common.data_root.as_deref());
    let datasets = args.dataset.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let (markets, messages) = as_market(&datasets, ReadOptions::default())?;
    config.markets = markets;
    let list = market_list(config)?;
    Ok(Some(Box::new(Recording::new(
        messages,
        &list,
        start,
        config.rates.speed,
    ))))
}

/// Serves until the time is over or Ctrl-C is pressed.
///
/// # Errors
/// Bad input, with file and key; [`Fault`] when a port is taken.
pub fn run(common: &Common, args: Args) -> anyhow::Result<Outcome> {
    let mut config = configure(&args)?;
    let script = args.faults.as_deref().map(Script::load).transpose()?;
    let clock = Clock::start();
    let parts = Parts {
        source: recording(common, &args, &mut config, clock.now())?,
        script,
    };
    let exchange = Exchange::with(&config, clock.now(), parts)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    interrupt::watch();
    runtime.block_on(async {
        let server = match Server::serve(exchange, config.server.clone(), clock).await {
            Ok(server) => server,
            Err(ServerError::Listen { port, source }) => {
                let what = format!("127.0.0.1:{port}");
                return Err(Fault::Outside { what, source }.into());
            }
            Err(error) => return Err(error.into()),
        };
        tell(common, &config, &server, args.config.as_deref());
        let began = tokio::time::Instant::now();
        let mut look = tokio::time::interval(Duration::from_millis(50));
        while !interrupt::asked() && args.duration.is_none_or(|length| began.elapsed() < length) {
            look.tick().await;
        }
        server.stop().await?;
        anyhow::Ok(())
    })?;
    Ok(Outcome::Done)
}

/// Says where it listens and with which keys it can be traded at.
fn tell(common: &Common, config: &Config, server: &Server, path: Option<&Path>) {
    let accounts = config.accounts_or_default();
    if common.json {
        let url = |venue| serde_json::json!({"rest": server.rest_url(venue), "ws": server.ws_url(venue)});
        let accounts: Vec<_> = accounts
            .iter()
            .map(|account| {
                let own = config.accounts.is_empty().then_some(account.secret.as_str());
                serde_json::json!({"venue": account.venue, "access_key": account.access_key, "secret": own})
            })
            .collect();
        say!(
            "{}",
            serde_json::json!({
                "upbit": url(Venue::Upbit),
                "binance": url(Venue::Binance),
                "binance_usdm": url(Venue::BinanceUsdm),
                "admin": server.admin_url(),
                "accounts": accounts,
                "seed": config.seed,
            })
        );
        return;
    }
    if common.quiet {
        return;
    }
    let name = path.map_or("the built-in exchange".to_owned(), |path| path.display().to_string());
    say!("simex: {name}, seed {}", config.seed);
    for (venue, label) in [
        (Venue::Upbit, "upbit"),
        (Venue::Binance, "binance"),
        (Venue::BinanceUsdm, "binance-usdm"),
    ] {
        say!(
            "  {label:13} rest_url = \"{}\"  ws_url = \"{}\"",
            server.rest_url(venue),
            server.ws_url(venue)
        );
    }
    if let Some(url) = server.admin_url() {
        say!("  faults        {url}/faults");
    }
    for account in &accounts {
        let venue = match account.venue {
            Venue::Upbit => "upbit",
            Venue::Binance | Venue::BinanceUsdm => "binance",
        };
        // Built-in keys are nobody's; those of a file are not repeated.
        let secret = if config.accounts.is_empty() {
            account.secret.as_str()
        } else {
            "(set)"
        };
        say!("  {venue:13} key {}  secret {secret}", account.access_key);
    }
    say!("Ctrl-C ends it.");
}
