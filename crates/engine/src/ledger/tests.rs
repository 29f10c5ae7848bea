use proptest::prelude::*;

use super::*;
use crate::instrument::InstrumentId;
use crate::order::{Liquidity, OrderId};
use crate::units::{FxRate, Qty, TimestampNs, notional};

const V: VenueId = VenueId(0);
const W: VenueId = VenueId(1);
const BTC: CurrencyId = CurrencyId(0);
const KRW: CurrencyId = CurrencyId(1);
const BNB: CurrencyId = CurrencyId(2);

fn money(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

fn fill(side: Side, at: Price, qty: Qty, fee: Amount, fee_currency: CurrencyId) -> Fill {
    let rounding = if side == Side::Buy {
        Rounding::Up
    } else {
        Rounding::Down
    };
    Fill {
        order: OrderId(1),
        instrument: InstrumentId(0),
        side,
        price: at,
        qty,
        notional: notional(at, qty, rounding).unwrap(),
        fee,
        fee_currency,
        liquidity: Liquidity::Taker,
        ts_venue: TimestampNs(0),
    }
}

fn two_venues() -> Ledger {
    Ledger::new(
        2,
        3,
        &[
            (V, KRW, money("1000")),
            (V, BTC, money("2")),
            (W, KRW, money("500")),
            (W, BNB, money("1")),
        ],
    )
    .unwrap()
}

#[test]
fn opening_balances_are_transaction_zero() {
    let ledger = two_venues();
    assert_eq!(ledger.transactions(), 1);
    assert_eq!(ledger.postings(), 8);
    assert_eq!(ledger.last_transaction().len(), 8);
    assert_eq!(ledger.balance(V, BTC), money("2"));
    assert_eq!(ledger.opening(W, KRW), money("500"));
    assert_eq!(ledger.total(KRW).unwrap(), money("1500"));
    assert_eq!(ledger.balance(W, BTC), Amount::ZERO);
    ledger.verify().unwrap();
}

#[test]
fn a_fill_moves_base_quote_and_fee_and_each_has_its_counter() {
    let mut ledger = two_venues();
    let buy = fill(Side::Buy, price("101"), Qty::parse("1.5").unwrap(), money("0.25"), KRW);
    ledger.post_fill(V, &buy, BTC, KRW).unwrap();
    assert_eq!(ledger.balance(V, BTC), money("3.5"));
    assert_eq!(ledger.balance(V, KRW), money("848.25"));
    assert_eq!(ledger.last_transaction().len(), 6);
    let counter = |currency, kind| {
        ledger.account(Account {
            venue: V,
            currency,
            kind,
        })
    };
    assert_eq!(counter(KRW, AccountKind::Market), money("151.5"));
    assert_eq!(counter(BTC, AccountKind::Market), money("-1.5"));
    assert_eq!(counter(KRW, AccountKind::Fees), money("0.25"));
    assert_eq!(ledger.balance(W, KRW), money("500"), "the other venue is untouched");

    let mut ledger = two_venues();
    let sell = fill(Side::Sell, price("101"), Qty::parse("1").unwrap(), money("0.1"), BNB);
    ledger.post_fill(W, &sell, BTC, KRW).unwrap();
    assert_eq!(ledger.balance(W, BTC), money("-1"), "a perpetual may be short");
    assert_eq!(ledger.balance(W, KRW), money("601"));
    assert_eq!(ledger.balance(W, BNB), money("0.9"));
    ledger.verify().unwrap();
}

#[test]
fn an_overflow_posts_nothing() {
    let most = Amount::from_raw(i64::MAX).unwrap();
    let mut ledger = Ledger::new(1, 2, &[(V, KRW, most)]).unwrap();
    let before = ledger.clone();
    let sell = fill(Side::Sell, price("1"), Qty::parse("1").unwrap(), Amount::ZERO, KRW);
    let error = ledger.post_fill(V, &sell, BTC, KRW).unwrap_err();
    assert!(matches!(error, LedgerError::Overflow { currency: KRW, .. }), "{error}");
    assert_eq!(ledger, before, "the base was not posted either");
    assert!(ledger.last_transaction().is_empty());
    let error = ledger.post_funding(VenueId(7), KRW, money("1")).unwrap_err();
    assert!(matches!(error, LedgerError::NoAccount { .. }), "{error}");
    assert_eq!(ledger, before);
    ledger.verify().unwrap();
}

#[test]
fn damaged_postings_are_refused() {
    let mut ledger = two_venues();
    let mut postings = ledger.last_transaction().to_vec();
    ledger.post_funding(V, KRW, money("-3")).unwrap();
    postings.extend_from_slice(ledger.last_transaction());
    assert_eq!(Ledger::rebuild(2, 3, postings.clone()).unwrap(), ledger);

    let mut damaged = postings.clone();
    damaged[9].amount = money("4");
    let error = Ledger::rebuild(2, 3, damaged).unwrap_err();
    assert!(
        matches!(error, LedgerError::Unbalanced { transaction: 1, .. }),
        "{error}"
    );
    let mut damaged = postings.clone();
    damaged[8].transaction = 2;
    let error = Ledger::rebuild(2, 3, damaged).unwrap_err();
    assert!(
        matches!(error, LedgerError::OutOfOrder { expected: 0, found: 2 }),
        "{error}"
    );
    let mut damaged = postings;
    damaged.pop();
    assert!(Ledger::rebuild(2, 3, damaged).is_err());
}

#[test]
fn equity_counts_cash_coins_and_positions_once() {
    let mut ledger = two_venues();
    let rate = FxRate::parse("1400").unwrap();
    let mark = |venue: VenueId, currency: CurrencyId| match (venue, currency) {
        (V, KRW) => Some(Mark::cash(Conversion::Same)),
        (V, BTC) => Some(Mark::at(price("150"), Conversion::Same)),
        (W, KRW) => Some(Mark::cash(Conversion::Times(rate))),
        (W, BTC) => Some(Mark::at(price("0.1"), Conversion::Times(rate))),
        _ => None,
    };
    let error = ledger.equity(mark).unwrap_err();
    assert!(
        matches!(
            error,
            LedgerError::NoMark {
                venue: W,
                currency: BNB
            }
        ),
        "{error}"
    );
    let with_bnb = |venue, currency| mark(venue, currency).or(Some(Mark::cash(Conversion::Over(rate))));
    // 1000 + 2 * 150 + 500 * 1400 + 1 / 1400, rounded down.
    assert_eq!(ledger.equity(with_bnb).unwrap(), money("701300.00071428"));
    // A short of 1 at 0.1 adds 0.1 of cash and owes 1 * mark: nothing changes at that mark.
    let sell = fill(Side::Sell, price("0.1"), Qty::parse("1").unwrap(), Amount::ZERO, KRW);
    ledger.post_fill(W, &sell, BTC, KRW).unwrap();
    assert_eq!(ledger.equity(with_bnb).unwrap(), money("701300.00071428"));
    assert_eq!(ledger.hold(with_bnb).unwrap(), money("701300.00071428"));
}

#[test]
fn funding_is_rounded_against_us() {
    let cases = [
        // position, mark, rate, received
        ("2", "100", 10_000, "-0.02"),
        ("-2", "100", 10_000, "0.02"),
        ("2", "100", -10_000, "0.02"),
        ("0.00000001", "1", 1, "-0.00000001"),
        ("-0.00000001", "1", 1, "0"),
        ("0", "100", 10_000, "0"),
    ];
    for (position, mark, rate, received) in cases {
        let got = funding_received(money(position), price(mark), rate).unwrap();
        assert_eq!(got, money(received), "{position} at {mark}, rate {rate}");
    }
    assert_eq!(
        funding_received(
            Amount::from_raw(i64::MAX).unwrap(),
            Price::from_raw(i64::MAX).unwrap(),
            i64::MAX
        ),
        Err(Overflow)
    );
}

prop_compose! {
    fn any_fill()(
        buy in any::<bool>(),
        raw_price in 1i64..1_000_000_000_000,
        raw_qty in 1i64..1_000_000_000,
        raw_fee in -1_000i64..1_000_000,
        fee_currency in 0u16..3,
    ) -> Fill {
        let side = if buy { Side::Buy } else { Side::Sell };
        fill(
            side,
            Price::from_raw(raw_price).unwrap(),
            Qty::from_raw(raw_qty).unwrap(),
            Amount::from_raw(raw_fee).unwrap(),
            CurrencyId(fee_currency),
        )
    }
}

proptest! {
    /// C4: whatever is posted, opening plus movements is the balance, every transaction sums to zero, and the ledger
    /// rebuilt from its postings is the one in memory.
    #[test]
    fn money_is_conserved_and_rebuilt(moves in prop::collection::vec((any_fill(), any::<bool>(), -3i64..3), 0..40)) {
        let mut ledger = two_venues();
        let mut postings = ledger.last_transaction().to_vec();
        let mut quote = [i128::from(money("1000").raw()), i128::from(money("500").raw())];
        for (fill, first, funding) in &moves {
            let venue = if *first { V } else { W };
            ledger.post_fill(venue, fill, BTC, KRW).unwrap();
            postings.extend_from_slice(ledger.last_transaction());
            let change = fill_changes(fill).unwrap();
            quote[venue.index()] += i128::from(change[1].raw());
            if fill.fee_currency == KRW {
                quote[venue.index()] += i128::from(change[2].raw());
            }
            ledger.post_funding(venue, KRW, Amount::from_raw(*funding).unwrap()).unwrap();
            postings.extend_from_slice(ledger.last_transaction());
            quote[venue.index()] += i128::from(*funding);
            ledger.verify().unwrap();
        }
        prop_assert_eq!(i128::from(ledger.balance(V, KRW).raw()), quote[0]);
        prop_assert_eq!(i128::from(ledger.balance(W, KRW).raw()), quote[1]);
        prop_assert_eq!(postings.len() as u64, ledger.postings());
        let rebuilt = Ledger::rebuild(2, 3, postings).unwrap();
        prop_assert_eq!(&rebuilt, &ledger);
        prop_assert_eq!(rebuilt.hash(), ledger.hash());
    }

    /// A value is never more than the exact one, nor less by more than a step of each rounding.
    #[test]
    fn values_are_rounded_down(held in -1_000_000_000_000i64..1_000_000_000_000, raw_price in 1i64..1_000_000_000_000, raw_rate in 1i64..200_000_000_000) {
        let (held, at) = (Amount::from_raw(held).unwrap(), Price::from_raw(raw_price).unwrap());
        let plain = Mark::at(at, Conversion::Same).value(held).unwrap();
        let exact = i128::from(held.raw()) * i128::from(raw_price);
        let scale = i128::from(crate::units::SCALE);
        prop_assert!(i128::from(plain.raw()) * scale <= exact && exact < (i128::from(plain.raw()) + 1) * scale);
        let over = Conversion::Over(FxRate::from_raw(raw_rate).unwrap()).convert(held, Rounding::Down);
        if let Ok(over) = over {
            let (got, rate) = (i128::from(over.raw()), i128::from(raw_rate));
            prop_assert!(got * rate <= i128::from(held.raw()) * scale && i128::from(held.raw()) * scale < (got + 1) * rate);
        }
    }
}
