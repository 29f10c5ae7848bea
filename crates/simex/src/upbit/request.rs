//! What an Upbit request for an order asks for, and how a refused one is answered.
//!
//! Source: Upbit developer docs v1.6.4, order pages (read 2026-11-21).

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, Price, Qty};

use super::error;
use super::order::side;
use crate::exchange::{NewOrder, OrderKind, Reject, SelfMatch, Symbol, TimeInForce};
use crate::server::http::{Reply, member};

type Members<'a> = &'a [(String, String)];

/// Names of the members of a new order; `cancel_and_new` has its own.
pub struct Names {
    pub ord_type: &'static str,
    pub volume: &'static str,
    pub price: &'static str,
    pub identifier: &'static str,
    pub time_in_force: &'static str,
    pub smp_type: &'static str,
}

/// Those of `POST /v1/orders`.
pub const NEW: Names = Names {
    ord_type: "ord_type",
    volume: "volume",
    price: "price",
    identifier: "identifier",
    time_in_force: "time_in_force",
    smp_type: "smp_type",
};

/// Those of `POST /v1/orders/cancel_and_new`.
pub const REPLACING: Names = Names {
    ord_type: "new_ord_type",
    volume: "new_volume",
    price: "new_price",
    identifier: "new_identifier",
    time_in_force: "new_time_in_force",
    smp_type: "new_smp_type",
};

/// Reads an order of this market and side.
///
/// # Errors
/// The answer when members are missing, superfluous or do not go together.
pub fn parse(members: Members<'_>, names: &Names, symbol: Symbol, side: Side) -> Result<NewOrder, Reply> {
    let invalid = |what: &str| error::named(400, "validation_error", &format!("{what} does not have a valid value"));
    let tif = match member(members, names.time_in_force) {
        None => TimeInForce::Gtc,
        Some("ioc") => TimeInForce::Ioc,
        Some("fok") => TimeInForce::Fok,
        Some("post_only") => TimeInForce::PostOnly,
        Some(_) => return Err(invalid(names.time_in_force)),
    };
    let self_match = match (member(members, names.smp_type), tif) {
        // An order that only rests cannot meet another as the taker.
        (None | Some("none"), TimeInForce::PostOnly) | (Some("none"), _) => SelfMatch::Allow,
        (_, TimeInForce::PostOnly) => return Err(invalid(names.smp_type)),
        // The default since 2026-11-09.
        (None | Some("cancel_maker"), _) => SelfMatch::CancelMaker,
        (Some("cancel_taker"), _) => SelfMatch::CancelTaker,
        (Some("reduce"), _) => SelfMatch::Reduce,
        (Some(_), _) => return Err(invalid(names.smp_type)),
    };
    let (price, volume) = (member(members, names.price), member(members, names.volume));
    let amount = |text: Option<&str>, what: &str| {
        let value = text
            .and_then(|text| Amount::parse(text).ok())
            .filter(|&value| value > Amount::ZERO);
        value.ok_or_else(|| invalid(what))
    };
    let qty = |text, what| Qty::from_raw(amount(text, what)?.raw()).map_err(|_| invalid(what));
    let only = |extra: Option<&str>, what| if extra.is_some() { Err(invalid(what)) } else { Ok(()) };
    let taking = matches!(tif, TimeInForce::Ioc | TimeInForce::Fok);
    let kind = match (member(members, names.ord_type), side) {
        (Some("limit"), _) => {
            let text = price.ok_or_else(|| invalid(names.price))?;
            let price = Price::parse(text).map_err(|_| bad_price(side))?;
            OrderKind::Limit {
                price,
                qty: qty(volume, names.volume)?,
            }
        }
        (Some("price"), Side::Buy) if tif == TimeInForce::Gtc => {
            only(volume, names.volume)?;
            OrderKind::MarketFunds {
                funds: amount(price, names.price)?,
            }
        }
        (Some("market"), Side::Sell) if tif == TimeInForce::Gtc => {
            only(price, names.price)?;
            OrderKind::MarketQty {
                qty: qty(volume, names.volume)?,
            }
        }
        (Some("best"), Side::Buy) if taking => {
            only(volume, names.volume)?;
            OrderKind::MarketFunds {
                funds: amount(price, names.price)?,
            }
        }
        (Some("best"), Side::Sell) if taking => {
            only(price, names.price)?;
            OrderKind::MarketQty {
                qty: qty(volume, names.volume)?,
            }
        }
        _ => return Err(invalid(names.ord_type)),
    };
    Ok(NewOrder {
        symbol,
        side,
        kind,
        tif,
        client_id: member(members, names.identifier).map(str::to_owned),
        self_match,
        stop: None,
    })
}

fn bad_price(side_: Side) -> Reply {
    error::named(
        400,
        &format!("invalid_price_{}", side(side_)),
        "The price is not a multiple of the tick.",
    )
}

/// The answer to an order that the exchange refused.
pub fn refused(reject: Reject, side_: Side) -> Reply {
    let side = side(side_);
    let message = reject.to_string();
    match reject {
        Reject::UnknownMarket => error::named(400, "validation_error", "market does not have a valid value"),
        Reject::NotTrading => error::named(403, "market_offline", "The market is under maintenance."),
        Reject::InsufficientFunds => error::named(400, &format!("insufficient_funds_{side}"), &message),
        Reject::UnderMinTotal => error::named(400, &format!("under_min_total_{side}"), &message),
        Reject::BadPrice => bad_price(side_),
        Reject::OverMaxTotal | Reject::DuplicateClientId => error::named(400, "validation_error", &message),
        Reject::BadQty | Reject::WouldTake | Reject::TooManyOrders => {
            error::named(400, &format!("create_{side}_error"), &message)
        }
        Reject::UnknownOrder | Reject::NotOpen => error::named(404, "order_not_found", "The order was not found."),
        // Rules of Binance alone.
        Reject::PercentPrice
        | Reject::PercentPriceBySide
        | Reject::MaxPosition
        | Reject::MaxAsset
        | Reject::TooManyStops
        | Reject::WouldTrigger
        | Reject::AmendIncrease
        | Reject::AmendNothing
        | Reject::TooManyAmends => error::named(400, &format!("create_{side}_error"), &message),
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::ord_type;
    use super::*;

    fn members(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn orders_are_read_by_the_documented_table() {
        let limit = ("ord_type", "limit");
        let (price, volume) = (("price", "100"), ("volume", "2"));
        type Field = (&'static str, &'static str);
        let cases: [(&str, Side, &[Field], Option<&str>); 16] = [
            ("limit", Side::Buy, &[limit, price, volume], Some("limit")),
            (
                "limit ioc",
                Side::Sell,
                &[limit, price, volume, ("time_in_force", "ioc")],
                Some("limit"),
            ),
            (
                "post only",
                Side::Sell,
                &[limit, price, volume, ("time_in_force", "post_only")],
                Some("limit"),
            ),
            ("no volume", Side::Buy, &[limit, price], None),
            ("no price", Side::Buy, &[limit, volume], None),
            ("zero", Side::Buy, &[limit, price, ("volume", "0")], None),
            ("too fine", Side::Buy, &[limit, price, ("volume", "0.000000001")], None),
            ("market buy", Side::Buy, &[("ord_type", "price"), price], Some("price")),
            (
                "market buy by volume",
                Side::Buy,
                &[("ord_type", "price"), price, volume],
                None,
            ),
            (
                "market sell",
                Side::Sell,
                &[("ord_type", "market"), volume],
                Some("market"),
            ),
            (
                "market on the wrong side",
                Side::Buy,
                &[("ord_type", "market"), volume],
                None,
            ),
            (
                "best",
                Side::Buy,
                &[("ord_type", "best"), price, ("time_in_force", "ioc")],
                Some("best"),
            ),
            ("best without a time", Side::Buy, &[("ord_type", "best"), price], None),
            (
                "best sell",
                Side::Sell,
                &[("ord_type", "best"), volume, ("time_in_force", "fok")],
                Some("best"),
            ),
            (
                "post only with self-match prevention",
                Side::Buy,
                &[
                    limit,
                    price,
                    volume,
                    ("time_in_force", "post_only"),
                    ("smp_type", "reduce"),
                ],
                None,
            ),
            ("no type", Side::Buy, &[price, volume], None),
        ];
        for (what, side, pairs, want) in cases {
            let got = parse(&members(pairs), &NEW, "KRW-BTC".into(), side);
            assert_eq!(got.as_ref().ok().map(ord_type), want, "{what}");
            if let Err(reply) = got {
                assert_eq!(reply.status, 400, "{what}");
            }
        }
    }
}
