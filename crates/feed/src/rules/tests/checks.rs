//! Orders at, below and above every limit.

use super::*;

/// What is refused, in a word; nothing when the order goes.
fn verdict(result: Result<(), Refusal>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(Refusal::NotTrading { .. }) => "status",
        Err(Refusal::OffTick { .. }) => "tick",
        Err(Refusal::OffLot { .. }) => "lot",
        Err(Refusal::Below { what, .. }) => match what {
            "price" => "price below",
            "quantity" => "quantity below",
            _ => "notional below",
        },
        Err(Refusal::Above { what, .. }) => match what {
            "price" => "price above",
            "quantity" => "quantity above",
            _ => "notional above",
        },
        Err(Refusal::Percent { .. }) => "percent",
    }
}

fn check(rules: &MarketRules, cases: &[(Side, &str, &str, &str)]) {
    for &(side, at, amount, want) in cases {
        let got = rules.check(side, price(at), qty(amount), None);
        assert_eq!(verdict(got.clone()), want, "{side:?} {amount} at {at}: {got:?}");
    }
}

#[test]
fn f23_spot_orders_are_held_to_each_limit_below_at_and_above() {
    use Side::{Buy, Sell};
    check(
        &spot().markets["BTCUSDT"],
        &[
            (Buy, "60000.00", "0.00100", "ok"),
            (Buy, "60000.01", "0.00100", "ok"),
            (Buy, "60000.005", "0.00100", "tick"),
            (Sell, "60000.011", "0.00100", "tick"),
            (Buy, "0.01", "9000", "ok"),
            (Buy, "0.005", "9000", "price below"),
            (Sell, "1000000", "0.00001", "ok"),
            (Sell, "1000000.01", "0.00001", "price above"),
            (Buy, "60000", "0.00009", "ok"),
            (Buy, "60000", "0.00008", "notional below"),
            (Buy, "500000", "0.00001", "ok"),
            (Buy, "499999.99", "0.00001", "notional below"),
            (Buy, "60000", "0.000005", "quantity below"),
            (Buy, "60000", "0", "quantity below"),
            (Buy, "60000", "0.000105", "lot"),
            (Buy, "1000", "9000", "ok"),
            (Buy, "999.99", "9000.00001", "quantity above"),
            (Buy, "1000.01", "9000", "notional above"),
        ],
    );
}

#[test]
fn f23_upbit_orders_are_held_to_the_ladder_and_the_minimum() {
    use Side::{Buy, Sell};
    let catalogue = upbit();
    check(
        &catalogue.markets["KRW-BTC"],
        &[
            (Buy, "141791000", "0.0001", "ok"),
            (Buy, "141791500", "0.0001", "tick"),
            (Sell, "999500", "0.01", "ok"),
            (Sell, "999400", "0.01", "tick"),
            (Buy, "1000000", "0.005", "ok"),
            (Buy, "1000000", "0.00499999", "notional below"),
            (Buy, "1000000", "0.00500001", "ok"),
            (Buy, "1000000", "1000", "ok"),
            (Buy, "1000000", "1000.00000001", "notional above"),
        ],
    );
    // Its tick is stated by the venue and is not the ladder's.
    check(
        &catalogue.markets["KRW-USDT"],
        &[
            (Buy, "1391.5", "10", "ok"),
            (Buy, "1391.4", "10", "tick"),
            (Buy, "1391", "10", "ok"),
        ],
    );
}

#[test]
fn f23_perpetual_orders_are_held_to_their_own_rules() {
    use Side::{Buy, Sell};
    check(
        &usdm().markets["BTCUSDT"],
        &[
            (Buy, "90000.1", "0.001", "ok"),
            (Buy, "90000.05", "0.001", "tick"),
            (Sell, "50000", "0.001", "ok"),
            (Sell, "49999.9", "0.001", "notional below"),
            (Buy, "90000", "0.0015", "lot"),
            (Buy, "90000", "1000.001", "quantity above"),
            (Buy, "556.7", "1", "price below"),
        ],
    );
}

#[test]
fn f27_a_price_far_from_the_reference_is_refused_by_our_own_check() {
    let spot = &spot().markets["BTCUSDT"];
    let cases = [
        (Side::Buy, "50000", "ok"),
        (Side::Buy, "250000.00", "ok"),
        (Side::Buy, "250000.01", "percent"),
        (Side::Buy, "10000", "ok"),
        (Side::Buy, "9999.99", "percent"),
        (Side::Sell, "200000", "ok"),
        (Side::Sell, "200000.01", "percent"),
        (Side::Sell, "12500", "ok"),
        (Side::Sell, "12499.99", "percent"),
        // Ten times and a tenth of it.
        (Side::Buy, "500000", "percent"),
        (Side::Sell, "5000", "percent"),
    ];
    for (side, at, want) in cases {
        let got = spot.check(side, price(at), qty("0.01"), Some(price("50000")));
        assert_eq!(verdict(got), want, "{side:?} at {at}");
    }
}

#[test]
fn market_orders_keep_both_lot_rules() {
    let rules = &spot().markets["BTCUSDT"];
    let cases = [
        ("89.315", "ok"),
        ("89.31501", "quantity above"),
        ("0.00001", "notional below"),
        ("0.000011", "lot"),
    ];
    for (amount, want) in cases {
        assert_eq!(
            verdict(rules.check_market(price("60000"), qty(amount))),
            want,
            "{amount}"
        );
    }
}

#[test]
fn f24_a_market_that_does_not_trade_takes_no_order() {
    for (catalogue, market, status) in [
        (spot(), "ETHUSDT", "cancel only"),
        (spot(), "XRPUSDT", "halted (BREAK)"),
        (spot(), "NEWUSDT", "unknown (DREAMING)"),
        (spot(), "LENDUSDT", "halted (no spot trading)"),
        (usdm(), "OLDUSDT", "closed (SETTLING)"),
    ] {
        let rules = &catalogue.markets[market];
        let refusal = rules.check(Side::Buy, price("1"), qty("100"), None).unwrap_err();
        assert_eq!(refusal.to_string(), format!("{market}: status is {status}"));
        assert_eq!(verdict(rules.check_market(price("1"), qty("100"))), "status");
    }
}

#[test]
fn a_refusal_names_the_market_the_value_and_the_limit() {
    let rules = &spot().markets["BTCUSDT"];
    let told = |at, amount| {
        let refused = rules.check(Side::Buy, price(at), qty(amount), None);
        refused.unwrap_err().to_string()
    };
    assert_eq!(
        told("60000.005", "1"),
        "BTCUSDT: price 60000.00500000 is not on the grid of 0.01000000"
    );
    assert_eq!(
        told("60000", "0.00008"),
        "BTCUSDT: notional 4.80000000 is below 5.00000000"
    );
}
