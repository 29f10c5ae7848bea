//! What changed between two lists, and from when on.

use crossbook_engine::units::TimestampNs;
use proptest::prelude::*;

use super::*;
use crate::clock::Stamp;

fn at(ms: i64) -> Stamp {
    Stamp {
        mono_ns: ms * 1_000_000,
        ts: TimestampNs(1_763_712_000_000_000_000 + ms * 1_000_000),
    }
}

/// A book of rules that has been told the whole list.
fn book(catalogue: &Catalogue) -> RuleBook {
    let mut book = RuleBook::default();
    let update = Update::between("binance", book.markets(), catalogue);
    book.apply(&update, at(0));
    book
}

/// The changes that an edit of one market leads to: what, before, after.
fn changes(edit: impl FnOnce(&mut MarketRules)) -> Vec<(RuleKind, String, String)> {
    let mut catalogue = spot();
    let mut book = book(&catalogue);
    edit(catalogue.markets.get_mut("BTCUSDT").unwrap());
    let update = Update::between("binance", book.markets(), &catalogue);
    let changes = book.apply(&update, at(5));
    assert!(
        changes
            .iter()
            .all(|change| change.market == "BTCUSDT" && change.ts == at(5).ts.0)
    );
    changes
        .into_iter()
        .map(|change| (change.what, change.old.unwrap(), change.new.unwrap()))
        .collect()
}

#[test]
fn f23_each_change_of_a_rule_is_told_by_its_kind() {
    type Change = fn(&mut MarketRules);
    let cases: [(RuleKind, Change); 11] = [
        (RuleKind::Tick, |rules| rules.tick = TickRule::Fixed(price("0.1"))),
        (RuleKind::Lot, |rules| rules.qty.step = qty("0.0001")),
        (RuleKind::Lot, |rules| {
            rules.market_qty.as_mut().unwrap().step = qty("0.0001")
        }),
        (RuleKind::Minimum, |rules| rules.qty.min = qty("0.001")),
        (RuleKind::Minimum, |rules| {
            rules.min_notional = Amount::parse("10").unwrap()
        }),
        (RuleKind::Maximum, |rules| rules.qty.max = None),
        (RuleKind::Maximum, |rules| rules.max_notional = None),
        (RuleKind::Band, |rules| rules.max_price = Some(price("200000"))),
        (RuleKind::Band, |rules| rules.percent = None),
        (RuleKind::Status, |rules| {
            rules.status = MarketStatus::Halted("HALT".to_owned())
        }),
        (RuleKind::Fees, |rules| rules.fees.taker = Bps::from_bps(7.5)),
    ];
    for (what, edit) in cases {
        let told = changes(edit);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, what);
        assert_ne!(told[0].1, told[0].2);
    }
    assert_eq!(changes(|_| ()), []);
    assert_eq!(
        changes(|rules| rules.tick = TickRule::Fixed(price("0.1"))),
        [(RuleKind::Tick, "0.01000000".to_owned(), "0.10000000".to_owned())]
    );
    let two = changes(|rules| {
        rules.tick = TickRule::Fixed(price("0.1"));
        rules.qty.step = qty("1");
    });
    assert_eq!(
        two.iter().map(|change| change.0).collect::<Vec<_>>(),
        [RuleKind::Tick, RuleKind::Lot]
    );
}

#[test]
fn f23_new_rules_hold_from_their_event_on_and_an_off_grid_order_is_refused() {
    let mut catalogue = spot();
    let mut book = book(&catalogue);
    let order = |book: &RuleBook| {
        let rules = book.get("BTCUSDT").unwrap();
        rules.check(Side::Buy, price("60000.01"), qty("0.01"), None)
    };
    assert_eq!(order(&book), Ok(()));
    catalogue.markets.get_mut("BTCUSDT").unwrap().tick = TickRule::Fixed(price("0.1"));
    let update = Update::between("binance", book.markets(), &catalogue);
    assert_eq!(order(&book), Ok(()), "the update is made, but not yet in force");
    book.apply(&update, at(1));
    assert!(matches!(order(&book), Err(Refusal::OffTick { .. })));
}

#[test]
fn f24_a_market_that_is_gone_halted_or_unreadable_takes_no_orders() {
    let mut catalogue = spot();
    let mut book = book(&catalogue);
    catalogue.markets.remove("SHIBIDR");
    let rules = catalogue.markets.remove("BTCUSDT").unwrap();
    catalogue
        .unreadable
        .insert("BTCUSDT".to_owned(), "bad amount".to_owned());
    let update = Update::between("binance", book.markets(), &catalogue);
    assert_eq!(update.gone, ["SHIBIDR"]);
    let told = book.apply(&update, at(1));
    assert_eq!(
        told.iter()
            .map(|change| (change.market.as_str(), change.what))
            .collect::<Vec<_>>(),
        [("BTCUSDT", RuleKind::Status), ("SHIBIDR", RuleKind::Delisted)]
    );
    assert_eq!(book.get("SHIBIDR"), None);
    assert_eq!(
        book.get("BTCUSDT").unwrap().status.to_string(),
        "unknown (unreadable rules: bad amount)"
    );
    // Still unreadable: nothing new to tell. Readable again: told.
    assert!(Update::between("binance", book.markets(), &catalogue).is_empty());
    catalogue.unreadable.clear();
    catalogue.markets.insert("BTCUSDT".to_owned(), rules);
    let told = book.apply(&Update::between("binance", book.markets(), &catalogue), at(2));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].new.as_deref(), Some("trading"));
}

#[test]
fn only_watched_markets_and_listings_are_told() {
    let mut catalogue = spot();
    let known = catalogue.markets.clone();
    for symbol in ["BTCUSDT", "XRPUSDT"] {
        catalogue.markets.get_mut(symbol).unwrap().min_notional = Amount::parse("20").unwrap();
    }
    let mut listed = catalogue.markets["BTCUSDT"].clone();
    listed.symbol = "ABCUSDT".to_owned();
    catalogue.markets.insert("ABCUSDT".to_owned(), listed);
    catalogue.markets.remove("ETHUSDT");
    let mut update = Update::between("binance", &known, &catalogue);
    update.keep(&known, &["BTCUSDT".to_owned()]);
    let changed: Vec<&str> = update.changed.iter().map(|rules| rules.symbol.as_str()).collect();
    assert_eq!(changed, ["ABCUSDT", "BTCUSDT"]);
    assert_eq!(update.gone, ["ETHUSDT"]);
}

#[test]
fn updates_are_read_back_from_a_journal_as_they_were_written() {
    for catalogue in [upbit(), spot(), usdm()] {
        let note = RulesNote::Update(Update::between("venue", &BTreeMap::new(), &catalogue));
        let text = serde_json::to_string(&note).unwrap();
        assert_eq!(serde_json::from_str::<RulesNote>(&text).unwrap(), note);
    }
    let note = RulesNote::Failed {
        venue: "upbit".to_owned(),
        attempt: 3,
        reason: "timeout".to_owned(),
    };
    let text = serde_json::to_string(&note).unwrap();
    assert_eq!(serde_json::from_str::<RulesNote>(&text).unwrap(), note);
}

proptest! {
    /// Whatever lists follow one another, the book of rules ends with the last one, told of each difference once.
    #[test]
    fn f23_the_rules_in_force_are_those_of_the_last_list(lists in proptest::collection::vec(
        proptest::collection::btree_map(0u8..6, (1i64..4, 0u8..3), 0..6), 1..6)) {
        let mut book = RuleBook::default();
        for (turn, list) in lists.iter().enumerate() {
            let mut catalogue = Catalogue::default();
            for (name, &(tick, status)) in list {
                let mut rules = spot().markets["BTCUSDT"].clone();
                rules.symbol = format!("M{name}");
                rules.tick = TickRule::Fixed(Price::from_raw(tick).unwrap());
                rules.status = match status {
                    0 => MarketStatus::Trading,
                    1 => MarketStatus::CancelOnly,
                    _ => MarketStatus::Halted("HALT".to_owned()),
                };
                catalogue.markets.insert(rules.symbol.clone(), rules);
            }
            let before = book.clone();
            let update = Update::between("v", book.markets(), &catalogue);
            let told = book.apply(&update, at(turn as i64));
            prop_assert_eq!(book.markets(), &catalogue.markets);
            prop_assert_eq!(told.is_empty(), before == book);
            prop_assert!(Update::between("v", book.markets(), &catalogue).is_empty());
        }
    }
}
