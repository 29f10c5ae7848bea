//! What a Binance request for an order asks for, and how a refused one is answered.
//!
//! Source: binance-spot-api-docs a5e0bc3, REST and errors (read 2026-11-21).

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, AmountError, Price, Qty};

use super::error::Error;
use crate::exchange::{NewOrder, OrderKind, Reject, SelfMatch, Stop, StopKind, Symbol, TimeInForce};
use crate::server::http::member;

type Members<'a> = &'a [(String, String)];

/// How much a new order's answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// That it was taken.
    Ack,
    /// What became of it.
    Result,
    /// And its fills.
    Full,
}

impl Answer {
    /// From `newOrderRespType`; market and limit orders are answered in full unless asked otherwise.
    pub fn parse(params: Members<'_>) -> Result<Answer, Error> {
        match (member(params, "newOrderRespType"), member(params, "type")) {
            (Some("ACK"), _) => Ok(Answer::Ack),
            (Some("RESULT"), _) => Ok(Answer::Result),
            (Some("FULL"), _) | (None, Some("MARKET" | "LIMIT")) => Ok(Answer::Full),
            (None, _) => Ok(Answer::Ack),
            (Some(_), _) => Err(Error::new(-1118, "Invalid newOrderRespType.")),
        }
    }
}

fn superfluous(name: &str) -> Error {
    Error::new(-1106, format!("Parameter '{name}' sent when not required."))
}

fn precision(name: &str, error: &AmountError) -> Error {
    match error {
        AmountError::TooFine => Error::new(-1111, format!("Parameter '{name}' has too much precision.")),
        _ => Error::new(-1100, format!("Illegal characters found in parameter '{name}'.")),
    }
}

/// Reads an order. `made_up` is its client id when the client gives none.
///
/// # Errors
/// When parameters are missing, superfluous or do not go together.
pub fn parse(params: Members<'_>, made_up: String) -> Result<NewOrder, Error> {
    let need = |name: &str| member(params, name).ok_or_else(|| Error::missing(name));
    let symbol = need("symbol")?;
    let side = match need("side")? {
        "BUY" => Side::Buy,
        "SELL" => Side::Sell,
        _ => return Err(Error::new(-1117, "Invalid side.")),
    };
    let order_type = need("type")?;
    let qty = |name: &str| quantity(params, name);
    let price = |name: &str| match Price::parse(need(name)?) {
        Ok(price) => Ok(price),
        Err(AmountError::NotPositive) => Err(refused(Reject::BadPrice, Asked::Place)),
        Err(error) => Err(precision(name, &error)),
    };
    let named_tif = member(params, "timeInForce");
    let none_of = |names: &[&str]| match names.iter().find(|name| member(params, name).is_some()) {
        Some(name) => Err(superfluous(name)),
        None => Ok(()),
    };
    let limit = || {
        Ok(OrderKind::Limit {
            price: price("price")?,
            qty: qty("quantity")?,
        })
    };
    let tif = || match named_tif {
        Some("GTC") => Ok(TimeInForce::Gtc),
        Some("IOC") => Ok(TimeInForce::Ioc),
        Some("FOK") => Ok(TimeInForce::Fok),
        Some(_) => Err(Error::new(-1115, "Invalid timeInForce.")),
        None => Err(Error::missing("timeInForce")),
    };
    let stop_kind = match order_type {
        "STOP_LOSS" | "STOP_LOSS_LIMIT" => Some(StopKind::Loss),
        "TAKE_PROFIT" | "TAKE_PROFIT_LIMIT" => Some(StopKind::Profit),
        _ => None,
    };
    if member(params, "trailingDelta").is_some() {
        return Err(Error::new(
            -2010,
            "Trailing stop orders are not supported for this symbol.",
        ));
    }
    let stop = match stop_kind {
        Some(kind) => Some(Stop {
            kind,
            price: price("stopPrice")?,
        }),
        None => none_of(&["stopPrice"]).map(|()| None)?,
    };
    let (kind, tif) = match order_type {
        "LIMIT" | "STOP_LOSS_LIMIT" | "TAKE_PROFIT_LIMIT" => {
            let tif = tif()?;
            (limit()?, tif)
        }
        "LIMIT_MAKER" => {
            none_of(&["timeInForce"])?;
            (limit()?, TimeInForce::PostOnly)
        }
        "MARKET" => {
            none_of(&["price", "timeInForce"])?;
            let kind = match (member(params, "quantity"), member(params, "quoteOrderQty")) {
                (Some(_), Some(_)) => return Err(superfluous("quoteOrderQty")),
                (None, Some(text)) => OrderKind::MarketFunds {
                    funds: Amount::parse(text).map_err(|error| precision("quoteOrderQty", &error))?,
                },
                _ => OrderKind::MarketQty { qty: qty("quantity")? },
            };
            (kind, TimeInForce::Ioc)
        }
        "STOP_LOSS" | "TAKE_PROFIT" => {
            none_of(&["price", "timeInForce", "quoteOrderQty"])?;
            (OrderKind::MarketQty { qty: qty("quantity")? }, TimeInForce::Ioc)
        }
        _ => return Err(Error::new(-1116, "Invalid orderType.")),
    };
    let self_match = match member(params, "selfTradePreventionMode") {
        None | Some("EXPIRE_MAKER") => SelfMatch::CancelMaker,
        Some("NONE") => SelfMatch::Allow,
        Some("EXPIRE_TAKER") => SelfMatch::CancelTaker,
        Some("EXPIRE_BOTH") => SelfMatch::CancelBoth,
        Some("DECREMENT") => SelfMatch::Reduce,
        Some(_) => {
            return Err(Error::new(
                -1013,
                "This symbol does not allow the specified self-trade prevention mode.",
            ));
        }
    };
    let client_id = new_client_id(params, made_up)?;
    Ok(NewOrder {
        symbol: Symbol::from(symbol),
        side,
        kind,
        tif,
        client_id: Some(client_id),
        self_match,
        stop,
    })
}

/// A quantity that a request has to name.
///
/// # Errors
/// When it is missing or no quantity.
pub fn quantity(params: Members<'_>, name: &str) -> Result<Qty, Error> {
    let text = member(params, name).ok_or_else(|| Error::missing(name))?;
    Qty::parse(text).map_err(|error| precision(name, &error))
}

/// The `newClientOrderId` of a request, or the one that is made up for it.
///
/// # Errors
/// When it is too long or has other letters than those allowed.
pub fn new_client_id(params: Members<'_>, made_up: String) -> Result<String, Error> {
    member(params, "newClientOrderId").map_or(Ok(made_up), client_id)
}

/// At most 36 characters of `.A-Za-z0-9:/_-`.
fn client_id(id: &str) -> Result<String, Error> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
    if id.len() > 36 || !id.bytes().all(legal) {
        return Err(Error::new(
            -1100,
            "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[\\.A-Z\\:/a-z0-9_-]{1,36}$'.",
        ));
    }
    Ok(id.to_owned())
}

/// What was asked of an order that the exchange refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To take it.
    Place,
    /// To take it back.
    Cancel,
    /// To reduce it.
    Amend,
}

/// The error of what the exchange refused. Filters have one number, what the matching engine says has that of the request.
pub fn refused(reject: Reject, asked: Asked) -> Error {
    let filter = |name: &str| Error::new(-1013, format!("Filter failure: {name}"));
    let engine = |msg: &str| {
        let code = match asked {
            Asked::Place => -2010,
            Asked::Cancel => -2011,
            Asked::Amend => -2038,
        };
        Error::new(code, msg)
    };
    match reject {
        Reject::UnknownMarket => Error::symbol(),
        Reject::NotTrading => engine("Market is closed."),
        Reject::InsufficientFunds => engine("Account has insufficient balance for requested action."),
        Reject::UnderMinTotal | Reject::OverMaxTotal => filter("NOTIONAL"),
        Reject::BadPrice => filter("PRICE_FILTER"),
        Reject::PercentPrice => filter("PERCENT_PRICE"),
        Reject::PercentPriceBySide => filter("PERCENT_PRICE_BY_SIDE"),
        Reject::BadQty => filter("LOT_SIZE"),
        Reject::MaxPosition => filter("MAX_POSITION"),
        Reject::MaxAsset => filter("MAX_ASSET"),
        Reject::TooManyOrders => filter("MAX_NUM_ORDERS"),
        Reject::TooManyStops => filter("MAX_NUM_ALGO_ORDERS"),
        Reject::WouldTrigger => engine("Order would trigger immediately."),
        Reject::WouldTake => engine("Order would immediately match and take."),
        Reject::DuplicateClientId => engine("Duplicate order sent."),
        Reject::AmendIncrease => engine("Order amend (quantity increase) is not supported."),
        Reject::AmendNothing => engine("The requested action would change no state; rejecting."),
        Reject::TooManyAmends => engine("Filter failure: MAX_NUM_ORDER_AMENDS"),
        Reject::UnknownOrder | Reject::NotOpen if asked == Asked::Place => Error::new(-2013, "Order does not exist."),
        Reject::UnknownOrder | Reject::NotOpen => engine("Unknown order sent."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::kind;
    use super::*;

    #[test]
    fn orders_are_read_or_refused_with_the_documented_number() {
        let base = "symbol=BTCUSDT&side=BUY&";
        let cases = [
            ("type=LIMIT&timeInForce=GTC&quantity=1&price=2", Ok("LIMIT")),
            ("type=LIMIT&timeInForce=IOC&quantity=1&price=2", Ok("LIMIT")),
            ("type=LIMIT&quantity=1&price=2", Err(-1102)),
            ("type=LIMIT&timeInForce=SOON&quantity=1&price=2", Err(-1115)),
            ("type=LIMIT&timeInForce=GTC&quantity=1", Err(-1102)),
            ("type=LIMIT&timeInForce=GTC&quantity=1&price=0", Err(-1013)),
            ("type=LIMIT&timeInForce=GTC&quantity=1.123456789&price=2", Err(-1111)),
            ("type=LIMIT&timeInForce=GTC&quantity=x&price=2", Err(-1100)),
            ("type=LIMIT_MAKER&quantity=1&price=2", Ok("LIMIT_MAKER")),
            ("type=LIMIT_MAKER&timeInForce=GTC&quantity=1&price=2", Err(-1106)),
            ("type=MARKET&quantity=1", Ok("MARKET")),
            ("type=MARKET&quoteOrderQty=100", Ok("MARKET")),
            ("type=MARKET&quantity=1&quoteOrderQty=100", Err(-1106)),
            ("type=MARKET&quantity=1&price=5", Err(-1106)),
            ("type=MARKET", Err(-1102)),
            ("type=STOP_LOSS&quantity=1&stopPrice=1", Ok("STOP_LOSS")),
            ("type=STOP_LOSS&quantity=1", Err(-1102)),
            ("type=STOP_LOSS&quantity=1&stopPrice=0", Err(-1013)),
            ("type=STOP_LOSS&quantity=1&stopPrice=1&price=2", Err(-1106)),
            ("type=TAKE_PROFIT&quoteOrderQty=9&stopPrice=1", Err(-1106)),
            ("type=TAKE_PROFIT&quantity=1&trailingDelta=10", Err(-2010)),
            ("type=TAKE_PROFIT&quantity=1&stopPrice=1", Ok("TAKE_PROFIT")),
            (
                "type=STOP_LOSS_LIMIT&timeInForce=GTC&quantity=1&price=2&stopPrice=1",
                Ok("STOP_LOSS_LIMIT"),
            ),
            ("type=STOP_LOSS_LIMIT&quantity=1&price=2&stopPrice=1", Err(-1102)),
            (
                "type=TAKE_PROFIT_LIMIT&timeInForce=IOC&quantity=1&price=2&stopPrice=1",
                Ok("TAKE_PROFIT_LIMIT"),
            ),
            ("type=LIMIT&timeInForce=GTC&quantity=1&price=2&stopPrice=1", Err(-1106)),
            ("type=DREAM&quantity=1", Err(-1116)),
            ("type=MARKET&quantity=1&newClientOrderId=a%20b", Err(-1100)),
            ("type=MARKET&quantity=1&selfTradePreventionMode=MAYBE", Err(-1013)),
        ];
        for (text, want) in cases {
            let members =
                crate::sign::text::members(&format!("{base}{text}"), crate::sign::text::Plus::IsSpace).unwrap();
            let got = parse(&members, "made-up".to_owned());
            let got = got.as_ref().map(kind).map_err(|error| error.code);
            assert_eq!(got, want, "{text}");
        }
    }
}
