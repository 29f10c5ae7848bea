//! How large an entry is: what is asked for, what the books hold, what the wallets cover, what the venues take.

use crossbook_engine::instrument::VenueKind;
use crossbook_engine::order::Leg;
use crossbook_engine::strategy::Size;

use crate::dsl::*;

/// Quantities of the entry orders, in the order of sending.
fn entries(world: World) -> Vec<String> {
    let ran = world.run();
    assert!(
        ran.log
            .done
            .iter()
            .all(|done| !done.status.is_final() || done.filled == done.order.qty),
        "{:?}",
        ran.orders()
    );
    ran.log.sent.iter().map(|order| short(order.qty.raw())).collect()
}

fn sized(size: Size) -> World {
    World::pair().strategy(|s| s.size = size).tapes(wide_a(0), wide_b(0))
}

#[test]
fn what_is_asked_for() {
    let half_a = Size::Notional {
        amount: amount("50525"), // half of the mid of 101,050
        leg: Leg::A,
    };
    let half_b = Size::Notional {
        amount: amount("49.975"), // half of the mid of 99.95
        leg: Leg::B,
    };
    let just_below = Size::Notional {
        amount: amount("50524.99999999"),
        leg: Leg::A,
    };
    let cases = [
        (Size::Quantity(qty("1")), "1"),
        (Size::Quantity(qty("1.2349")), "1.234"),
        (half_a, "0.5"),
        (half_b, "0.5"),
        (just_below, "0.499"),
        (Size::Fraction(bps(5000.0)), "5"), // of the 10 held at A
        (Size::Fraction(bps(10_000.0)), "10"),
    ];
    for (size, want) in cases {
        assert_eq!(entries(sized(size)), [want, want], "{size:?}");
    }
}

#[test]
fn what_the_wallets_cover() {
    let ten = Size::Quantity(qty("10"));
    // To sell A, the coin must be there.
    assert_eq!(entries(sized(ten).balance(HOME, BTC, "0.2509")), ["0.25", "0.25"]);
    // To buy B: 400 / (99.95 * (1 + 10 bps of cushion)) = 3.998, and with a fee of 10 bps 3.994.
    assert_eq!(entries(sized(ten).balance(AWAY, USDT, "400")), ["3.998", "3.998"]);
    let with_fee = sized(ten).balance(AWAY, USDT, "400").fees(0.0, 10.0);
    assert_eq!(entries(with_fee), ["3.994", "3.994"]);
    // Nothing of what the other venue holds counts, nor coins where money is needed.
    assert!(entries(sized(ten).balance(AWAY, USDT, "0")).is_empty());
    assert!(entries(sized(ten).balance(HOME, BTC, "0")).is_empty());
    let unneeded = sized(Size::Quantity(qty("1")))
        .balance(HOME, KRW, "0")
        .balance(AWAY, BTC, "0");
    assert_eq!(entries(unneeded), ["1", "1"]);
}

#[test]
fn what_the_books_hold() {
    let b = tape(0).book(0, &[("99.9", "10")], &[("100", "0.4"), ("100.1", "0.3005")]);
    let ran = World::pair().tapes(wide_a(0), b).run();
    assert_eq!(
        ran.fills(),
        ["10 A sell 0.7 @ 101000", "20 B buy 0.4 @ 100", "20 B buy 0.3 @ 100.1"]
    );
}

#[test]
fn lots_of_both_venues() {
    let world = sized(Size::Quantity(qty("1"))).with(|w| {
        w.config.instruments[0].lot = qty("0.002");
        w.config.instruments[1].lot = qty("0.003");
        w.config.routes[0].lot = qty("0.006");
    });
    assert_eq!(entries(world), ["0.996", "0.996"]);
}

/// Two routes over the same two books, asking for 1 each at the same instant.
fn twins() -> World {
    World::pair()
        .with(|w| w.config.routes.push(route(0, 1)))
        .tapes(wide_a(0), wide_b(0))
}

#[test]
fn orders_in_flight_of_another_route_have_spent_the_wallet() {
    assert_eq!(entries(twins().balance(HOME, BTC, "1.5")), ["1", "1", "0.5", "0.5"]);
    // 150 less 99.95 in flight, at 99.95 and 10 bps each.
    assert_eq!(entries(twins().balance(AWAY, USDT, "150")), ["1", "1", "0.5", "0.5"]);
}

fn perpetual_b(world: World) -> World {
    world
        .with(|w| {
            w.venues[1].kind = VenueKind::Perpetual;
            w.venues[1].max_leverage = Some(2);
            w.config.instruments[1].base = ETH; // its own unit of position
        })
        .balance(AWAY, BTC, "0")
        .balance(AWAY, USDT, "100")
}

#[test]
fn leverage_bounds_a_perpetual() {
    // Twice 100 USDT at 99.95.
    let five = perpetual_b(sized(Size::Quantity(qty("5"))));
    assert_eq!(entries(five), ["2.001", "2.001"]);
    // What one route has on its way leaves 0.051 of 2.001 to the next. (The venue then refuses those: by their arrival the
    // first has paid its half spread out of the margin.)
    let both = perpetual_b(twins().strategy(|s| s.size = Size::Quantity(qty("1.95")))).run();
    let sent: Vec<_> = both.log.sent.iter().map(|order| short(order.qty.raw())).collect();
    assert_eq!(sent[..4], ["1.95", "1.95", "0.051", "0.051"]);
    // A short needs no coins, only margin.
    let short = World::pair()
        .strategy(|s| {
            (s.sell_a, s.buy_a) = (false, true);
            s.size = Size::Quantity(qty("5"));
        })
        .tapes(tape(0).top(0, "98900", "99000"), tape(0).top(0, "100", "100.1"));
    assert_eq!(entries(perpetual_b(short)), ["1.999", "1.999"]);
}

#[test]
fn too_small_is_told_once_and_again_when_it_comes_back() {
    let b = || {
        wide_b(0)
            .top(100, "99.9", "100")
            .top(200, "99.9", "100")
            .top(300, "100.9", "101")
            .top(400, "99.9", "100")
    };
    type Change = fn(&mut World);
    let cases: [Change; 3] = [
        |w| w.config.instruments[0].min_notional = amount("101050.00000001"),
        |w| w.config.instruments[1].min_qty = qty("1.001"),
        |w| w.config.opening.retain(|&(venue, of, _)| (venue, of) != (HOME, BTC)),
    ];
    for change in cases {
        let ran = World::pair().with(change).tapes(wide_a(0), b()).run();
        assert!(ran.orders().is_empty());
        assert_eq!(ran.risk(), ["0 0 Reduce NoSize", "400 0 Reduce NoSize"]);
    }
    // Just as large as the least is large enough.
    let ran = World::pair()
        .with(|w| {
            w.config.instruments[0].min_notional = amount("101000"); // at the bid that it meets
            w.config.instruments[1].min_qty = qty("1");
        })
        .tapes(wide_a(0), b())
        .run();
    assert_eq!(ran.engine.counts().entries, 1);
    assert!(ran.risk().is_empty());
}
