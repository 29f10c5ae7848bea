use super::*;

const MINIMAL: &str = r#"
name = "t"
base_currency = "KRW"
datasets = ["a", "b"]
[venues.upbit]
kind = "spot"
taker_fee_bps = 5.0
balances = { KRW = "1000" }
[venues.binance]
kind = "spot"
taker_fee_bps = 10.0
[fx]
source = "upbit:KRW-USDT"
[[routes]]
a = "upbit:KRW-BTC"
b = "binance:BTCUSDT"
[strategy]
fair_premium = { model = "ewma", half_life_s = 3600 }
entry_bps = 12.0
exit_bps = 2.0
size = { notional = "1000000", currency = "KRW" }
"#;

fn parse_text(text: &str, sets: &[&str]) -> Result<Scenario, ConfigError> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    parse(text, Path::new("t.toml"), &sets)
}

#[test]
fn defaults_fill_what_is_left_out_and_the_resolved_text_reads_back() {
    let scenario = parse_text(MINIMAL, &[]).unwrap();
    assert_eq!(scenario.execution.leg_timeout_ms, 800);
    assert_eq!(scenario.risk.venue.max_book_age_ms, 5_000);
    let text = scenario.to_text().unwrap();
    assert_eq!(parse_text(&text, &[]).unwrap(), scenario);
}

#[test]
fn overrides_change_values_and_are_checked_like_the_file() {
    let scenario = parse_text(
        MINIMAL,
        &["strategy.entry_bps=20", "execution.fill_model=top", "seed=9"],
    )
    .unwrap();
    assert_eq!((scenario.strategy.entry_bps, scenario.seed), (20.0, 9));
    assert_eq!(scenario.execution.fill_model, FillModel::Top);
    let error = parse_text(MINIMAL, &["strategy.entry_bp=20"]).unwrap_err().to_string();
    assert!(error.contains("entry_bp") && error.contains("entry_bps"), "{error}");
}

#[test]
fn a_routes_own_keys_go_over_the_common_strategy() {
    let text = MINIMAL.replace(
        "b = \"binance:BTCUSDT\"",
        "b = \"binance:BTCUSDT\"\nstrategy = { entry_bps = 33.0 }",
    );
    let scenario = parse_text(&text, &[]).unwrap();
    let strategy = scenario.strategy_of(&scenario.routes[0]).unwrap();
    assert_eq!((strategy.entry_bps, strategy.exit_bps), (33.0, 2.0));
    let text = text.replace("entry_bps = 33.0", "entri_bps = 33.0");
    assert!(parse_text(&text, &[]).unwrap_err().to_string().contains("entri_bps"));
}

/// F70: what is unknown, lacks a unit, is negative or contradicts itself is refused with its key.
#[test]
fn bad_files_are_refused_with_the_key_and_what_is_allowed() {
    let cases = [
        ("entry_bps = 12.0", "entry = 12.0", "entry"),
        ("entry_bps = 12.0", "entry_bps = \"12\"", "entry_bps"),
        ("entry_bps = 12.0", "entry_bps = nan", "strategy.entry_bps"),
        (
            "exit_bps = 2.0",
            "exit_bps = 2.0\nstop_bps = -60.0",
            "strategy.stop_bps",
        ),
        (
            "exit_bps = 2.0",
            "exit_bps = 2.0\nmax_hold_s = 0",
            "strategy.max_hold_s",
        ),
        ("half_life_s = 3600", "half_life = 3600", "half_life"),
        ("half_life_s = 3600", "half_life_s = -1", "half_life_s"),
        ("model = \"ewma\"", "model = \"ema\"", "ewma"),
        ("kind = \"spot\"", "kind = \"margin\"", "perpetual"),
        ("KRW = \"1000\"", "KRW = 1000", "line"),
        ("KRW = \"1000\"", "KRW = \"1e3\"", "not a decimal number"),
        ("KRW = \"1000\"", "KRW = \"-1\"", "venues.upbit.balances.KRW"),
        (", currency = \"KRW\"", "", "go together"),
        ("notional = \"1000000\", currency = \"KRW\"", "", "exactly one"),
        ("notional = \"1000000\"", "notional = \"-1\"", "positive"),
        ("name = \"t\"", "name = \"../t\"", "name"),
        ("datasets = [\"a\", \"b\"]", "datasets = []", "datasets"),
        (
            "[fx]",
            "[risk.global]\nmax_daily_loss = \"-5\"\n[fx]",
            "risk.global.max_daily_loss",
        ),
        (
            "[fx]",
            "[risk.global]\nmax_daily_loss = \"0\"\n[fx]",
            "risk.global.max_daily_loss",
        ),
        ("[fx]", "[risk.route]\nmax_consecutive_losses = 3\n[fx]", "cooldown_s"),
        ("[fx]", "[execution]\nleg_timeout_ms = 0\n[fx]", "leg_timeout_ms"),
        (
            "source = \"upbit:KRW-USDT\"",
            "source = \"x\"\nband = [\"2\", \"1\"]",
            "fx.band",
        ),
    ];
    for (from, to, want) in cases {
        assert!(MINIMAL.contains(from), "{from}");
        let error = parse_text(&MINIMAL.replacen(from, to, 1), &[]).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("t.toml"), "{to}: {error}");
    }
}
