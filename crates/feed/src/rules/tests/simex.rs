//! The whole way over real sockets: lists of a loopback exchange whose rules change, a market of which halts and another goes.

use std::time::Duration;

use crossbook_simex::config::{Config, Markets, Rates};
use crossbook_simex::exchange::Venue;
use crossbook_simex::server::Server;
use tokio::sync::mpsc;

use super::*;
use crate::clock::Clock;
use crate::input::{Body, Note, Provider, VenueIx};
use crate::rest::Clients;
use crate::venue::VenueConfig;

/// Faults that strike after this many seconds and stay.
fn script(at_s: u32) -> String {
    let fault = |kind: &str, venue: &str, market: &str, more: &str| {
        format!(
            "[[fault]]\nkind = \"{kind}\"\nat_s = {at_s}\nfor_s = inf\nvenue = \"{venue}\"\nmarkets = [\"{market}\"]\n{more}\n"
        )
    };
    [
        fault(
            "rules",
            "binance",
            "BTCUSDT",
            "tick = \"0.5\"\nlot = \"0.001\"\nmin_total = \"20\"",
        ),
        fault("rules", "upbit", "KRW-BTC", "tick = \"2500\""),
        fault("halt", "binance", "ETHUSDT", ""),
        fault("delist", "upbit", "KRW-ETH", ""),
    ]
    .concat()
}

async fn exchange(script: Option<&str>) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config {
        markets: Markets::first(4),
        rates: Rates {
            factor: 0.05,
            ..Rates::default()
        },
        ..Config::default()
    };
    if let Some(script) = script {
        let path = folder.path().join("faults.toml");
        std::fs::write(&path, script).unwrap();
        config.faults = Some(path);
    }
    (Server::start(&config).await.unwrap(), folder)
}

fn venue(server: &Server, protocol: &str, at: Venue) -> VenueConfig {
    let text = format!(
        "name = \"{protocol}\"\nprotocol = \"{protocol}\"\nrest_url = \"{}\"\nrest = {{ rules_refresh_ms = 200, headroom_percent = 100 }}",
        server.rest_url(at)
    );
    toml::from_str(&text).unwrap()
}

fn names(markets: &[&str]) -> Vec<String> {
    markets.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_all_venues_are_read_whole() {
    let config = Config {
        rates: Rates {
            factor: 0.01,
            ..Rates::default()
        },
        ..Config::default()
    };
    let server = Server::start(&config).await.unwrap();
    let clients = Clients::new(Clock::system()).unwrap();
    for (protocol, at, limits) in [
        ("upbit", Venue::Upbit, vec!["weight 10 in 1 s"]),
        (
            "binance-spot",
            Venue::Binance,
            vec!["weight 6000 in 60 s", "requests 300000 in 300 s"],
        ),
        ("binance-usdm", Venue::BinanceUsdm, vec!["weight 2400 in 60 s"]),
    ] {
        let fetcher = Fetcher::new(&clients, &venue(&server, protocol, at)).unwrap();
        let catalogue = fetcher.catalogue().await.unwrap();
        assert_eq!(catalogue.unreadable, BTreeMap::new(), "{protocol}");
        let hub = server.hub().lock();
        let listed: Vec<String> = hub
            .exchange
            .markets(at)
            .iter()
            .map(|info| info.symbol.to_string())
            .collect();
        assert_eq!(catalogue.markets.len(), listed.len(), "{protocol}");
        for info in hub.exchange.markets(at) {
            let rules = &catalogue.markets[&*info.symbol];
            assert_eq!(
                (&*rules.base, &*rules.quote),
                (&*info.base, &*info.quote),
                "{}",
                info.symbol
            );
            assert_eq!(rules.min_notional, info.min_total, "{}", info.symbol);
            assert_eq!(rules.status, MarketStatus::Trading, "{}", info.symbol);
        }
        drop(hub);
        let kept: Vec<String> = clients
            .venue(&venue(&server, protocol, at))
            .unwrap()
            .limits()
            .rules()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(kept, limits, "{protocol}");
        assert_eq!(catalogue.refuse(protocol, &listed), []);
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_f24_changes_at_the_venue_reach_our_own_checks() {
    for at_s in [1, 4, 16] {
        let (server, _folder) = exchange(Some(&script(at_s))).await;
        let clock = Clock::system();
        let clients = Clients::new(clock.clone()).unwrap();
        let (out, mut inputs) = mpsc::channel(64);
        let mut books = [RuleBook::default(), RuleBook::default()];
        let mut commands = Vec::new();
        let mut tasks = tokio::task::JoinSet::new();
        let mut early = true;
        for (ix, protocol, at, watched) in [
            (0, "upbit", Venue::Upbit, names(&["KRW-BTC", "KRW-ETH"])),
            (1, "binance-spot", Venue::Binance, names(&["BTCUSDT", "ETHUSDT"])),
        ] {
            let config = venue(&server, protocol, at);
            let fetcher = Fetcher::new(&clients, &config).unwrap();
            let first = fetcher.catalogue().await.unwrap();
            early &= first.refuse(protocol, &watched).is_empty();
            let (refresher, update) = Refresher::new(fetcher, clock.clone(), VenueIx(ix), &config, watched, &first);
            books[usize::from(ix)].apply(&update, clock.now());
            let (wire, for_it) = mpsc::unbounded_channel();
            commands.push(wire);
            tasks.spawn(Box::new(refresher).run(out.clone(), for_it));
        }
        let off_grid = |books: &[RuleBook; 2]| {
            books[1]
                .get("BTCUSDT")
                .map(|rules| rules.check(Side::Buy, price("60000.01"), qty("1"), None))
        };
        if !early || off_grid(&books) != Some(Ok(())) {
            // This machine is so busy that the faults came before the first list: with more time, then.
            server.stop().await.unwrap();
            continue;
        }
        let mut told: Vec<(String, RuleKind)> = Vec::new();
        let wanted = |told: &[(String, RuleKind)]| {
            [
                ("BTCUSDT", RuleKind::Tick),
                ("BTCUSDT", RuleKind::Lot),
                ("BTCUSDT", RuleKind::Minimum),
                ("KRW-BTC", RuleKind::Tick),
                ("ETHUSDT", RuleKind::Status),
                ("KRW-ETH", RuleKind::Delisted),
            ]
            .iter()
            .all(|(market, what)| told.iter().any(|(m, w)| m == market && w == what))
        };
        while !wanted(&told) {
            let next = tokio::time::timeout(Duration::from_secs(60), inputs.recv()).await;
            let input = next.unwrap_or_else(|_| panic!("only {told:?}")).expect("an input");
            let Body::Note(note) = input.body else { continue };
            if let Note::Rules(RulesNote::Update(update)) = *note {
                let changes = books[usize::from(input.venue.0)].apply(&update, input.stamp);
                told.extend(changes.into_iter().map(|change| (change.market, change.what)));
            }
        }
        assert!(matches!(off_grid(&books), Some(Err(Refusal::OffTick { .. }))));
        let check = |book: &RuleBook, market: &str, at: &str| {
            let rules = book.get(market)?;
            Some(rules.check(Side::Buy, price(at), qty("1"), None))
        };
        assert_eq!(check(&books[1], "BTCUSDT", "60000.5"), Some(Ok(())));
        assert!(matches!(
            check(&books[1], "ETHUSDT", "3000"),
            Some(Err(Refusal::NotTrading { .. }))
        ));
        assert_eq!(check(&books[0], "KRW-ETH", "5000000"), None);
        assert_eq!(check(&books[0], "KRW-BTC", "140002500"), Some(Ok(())));
        assert!(matches!(
            check(&books[0], "KRW-BTC", "140001000"),
            Some(Err(Refusal::OffTick { .. }))
        ));
        drop(commands);
        while tasks.join_next().await.is_some() {}
        server.stop().await.unwrap();
        return;
    }
    panic!("no list came within 16 s of the exchange's start");
}
