use super::*;

#[test]
fn the_default_lists_at_least_forty_coins_at_both_venues() {
    let list = market_list(&Config::default()).unwrap();
    for venue in [Venue::Upbit, Venue::Binance] {
        assert!(list.iter().filter(|listed| listed.info.venue == venue).count() >= 40);
    }
    assert!(list.iter().any(|listed| &*listed.info.symbol == "KRW-USDT"));
    for listed in &list {
        assert!(listed.start > 0.0 && listed.info.min_total < listed.info.max_total);
    }
    assert_eq!(Config::default().accounts_or_default().len(), 2);
    Config::default().check().unwrap();
}

#[test]
fn a_wrong_file_is_refused_with_the_key_and_what_is_allowed() {
    let cases = [
        ("sede = 1", "unknown field `sede`, expected one of `seed`"),
        ("[rates]\nfactor = 0.0", "rates.factor: 0 is not above 0"),
        ("[rates]\nfactor = nan", "rates.factor: NaN is not above 0"),
        (
            "[rates]\nupbit_levels = 1",
            "rates.upbit_levels: 1 is not in 5 to 10000",
        ),
        (
            "[markets]\nupbit_krw = [\"NOPE\"]",
            "markets.upbit_krw: `NOPE` is not one of BTC, ETH",
        ),
        (
            "[markets]\nupbit_krw = [\"BTC\", \"BTC\"]",
            "markets.upbit_krw: `BTC` stands there twice",
        ),
        (
            "[upbit]\nmaker_fee_ppm = 200000",
            "upbit.maker_fee_ppm: 200000 is more than 100000",
        ),
        (
            "[binance.price_band]\nbid_up_percent = 99\nbid_down_percent = 20\nask_up_percent = 500\nask_down_percent = 20",
            "binance.price_band: 20 to 99 percent",
        ),
        (
            "[binance.execution_range]\nbid_up_percent = 115",
            "missing field `bid_down_percent`",
        ),
        (
            "[binance]\nprice_band_by_side = false\nprice_band = { bid_up_percent = 200, bid_down_percent = 20, ask_up_percent = 500, ask_down_percent = 20 }",
            "binance.price_band: both sides need the same bounds",
        ),
        (
            "[binance]\nmax_position = { BTC = \"0\" }",
            "binance.max_position.BTC: is not above 0",
        ),
        ("[truth]\ncheckpoint_every = 0", "truth.checkpoint_every: 0"),
        (
            "[[accounts]]\nvenue = \"kraken\"\naccess_key = \"a\"\nsecret = \"b\"",
            "unknown variant `kraken`, expected one of `upbit`, `binance`",
        ),
        (
            "[[accounts]]\nvenue = \"upbit\"\naccess_key = \"\"\nsecret = \"b\"",
            "accounts[0].access_key",
        ),
        (
            "[[accounts]]\nvenue = \"upbit\"\naccess_key = \"a\"\nsecret = \"b\"\nbalances.KRW = \"-1\"",
            "accounts[0].balances.KRW: is negative",
        ),
        (
            "[[accounts]]\nvenue = \"binance-usdm\"\naccess_key = \"a\"\nsecret = \"b\"",
            "accounts[0].venue",
        ),
    ];
    for (text, want) in cases {
        let message = Config::parse(text).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(want), "{text:?} gave {message:?}, not {want:?}");
    }
}

#[test]
fn a_relative_script_lies_beside_the_file_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("simex.toml");
    std::fs::write(&path, "seed = 3\nfaults = \"calm.toml\"\n").unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!((config.seed, config.faults), (3, Some(folder.path().join("calm.toml"))));
    let missing = Config::load(&folder.path().join("none.toml")).unwrap_err().to_string();
    assert!(missing.contains("none.toml"), "{missing}");
}

/// `config/simex` at the root of the repository.
fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config/simex")
        .join(name)
}

#[test]
fn the_file_that_is_shipped_says_what_the_defaults_are() {
    let file = Config::load(&shipped("simex.toml")).unwrap();
    assert_eq!(file.faults, Some(shipped("calm.toml")));
    let mut same = Config {
        faults: None,
        accounts: Vec::new(),
        ..file.clone()
    };
    // The file has fixed ones, so that the recorder's example finds them.
    let ports = &mut same.server;
    assert_eq!(
        (ports.upbit_port, ports.binance_port, ports.usdm_port),
        (18080, 18081, 18082)
    );
    (ports.upbit_port, ports.binance_port, ports.usdm_port) = (0, 0, 0);
    assert_eq!(format!("{same:?}"), format!("{:?}", Config::default()));
    let accounts = Config::default().accounts_or_default();
    assert_eq!(format!("{:?}", file.accounts), format!("{accounts:?}"));
}

#[test]
fn scripts_that_are_shipped_are_what_they_say() {
    use crate::faults::{Script, Stage};
    let script = |name: &str| Script::load(&shipped(name)).unwrap().faults;
    assert_eq!(script("calm.toml").len(), 0);
    let faults = script("faults.toml");
    assert_eq!(faults.len(), 20);
    assert!(
        faults
            .iter()
            .all(|fault| fault.at_s + fault.for_s <= 600.0 && fault.every_s.is_none())
    );
    for stage in [
        Stage::Told,
        Stage::Accept,
        Stage::Handshake,
        Stage::Subscribe,
        Stage::Socket,
        Stage::Frame,
        Stage::Request,
    ] {
        assert!(
            faults.iter().any(|fault| fault.kind.stage() == stage),
            "none at {stage:?}"
        );
    }
    let list = market_list(&Config::default()).unwrap();
    for fault in faults.iter().chain(&script("orders.toml")).chain(&script("storm.toml")) {
        for market in &fault.markets {
            assert!(
                list.iter().any(|listed| *listed.info.symbol == **market),
                "{market} is not listed"
            );
        }
    }
    assert_eq!(script("storm.toml").len(), 1);
    assert!(script("orders.toml").iter().all(|fault| fault.per_hour.is_some()));
}
