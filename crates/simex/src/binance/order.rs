//! Binance's orders: what a request asks for, and how an order is shown, in answers and in user data events.
//!
//! Source: binance-spot-api-docs a5e0bc3, REST, WebSocket API and user data stream (read 2026-11-21).

use std::fmt::Write as _;

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, AmountError, Price, Qty, TimestampNs};

use super::error::Error;
use super::wire::TimeUnit;
use crate::exchange::{
    Balance, Fill, NewOrder, OrderKind, OrderState, OrderView, Reject, SelfMatch, Symbol, TimeInForce,
};
use crate::server::http::member;
use crate::server::text::quoted;

type Members<'a> = &'a [(String, String)];

const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

const fn kind(order: &NewOrder) -> &'static str {
    match (order.kind, order.tif) {
        (OrderKind::Limit { .. }, TimeInForce::PostOnly) => "LIMIT_MAKER",
        (OrderKind::Limit { .. }, _) => "LIMIT",
        _ => "MARKET",
    }
}

const fn tif(tif: TimeInForce) -> &'static str {
    match tif {
        TimeInForce::Ioc => "IOC",
        TimeInForce::Fok => "FOK",
        TimeInForce::Gtc | TimeInForce::PostOnly => "GTC",
    }
}

const fn self_match(mode: SelfMatch) -> &'static str {
    match mode {
        SelfMatch::Allow => "NONE",
        SelfMatch::CancelMaker => "EXPIRE_MAKER",
        SelfMatch::CancelTaker => "EXPIRE_TAKER",
        SelfMatch::CancelBoth => "EXPIRE_BOTH",
        SelfMatch::Reduce => "DECREMENT",
    }
}

/// `status` of an order. An IOC that filled in part ends as `EXPIRED`.
fn status(view: &OrderView) -> &'static str {
    match view.state {
        OrderState::Open if view.executed.is_zero() => "NEW",
        OrderState::Open => "PARTIALLY_FILLED",
        OrderState::Filled => "FILLED",
        OrderState::Cancelled => "CANCELED",
        OrderState::Expired => "EXPIRED",
        OrderState::Prevented => "EXPIRED_IN_MATCH",
    }
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
    let extra = |name: &str| Err(Error::new(-1106, format!("Parameter '{name}' sent when not required.")));
    let qty = |name: &str| {
        let text = need(name)?;
        Qty::parse(text).map_err(|error| precision(name, &error))
    };
    let price = || match Price::parse(need("price")?) {
        Ok(price) => Ok(price),
        Err(AmountError::NotPositive) => Err(refused(Reject::BadPrice, false)),
        Err(error) => Err(precision("price", &error)),
    };
    let named_tif = member(params, "timeInForce");
    let (kind, tif) = match order_type {
        "LIMIT" => {
            let tif = match named_tif {
                Some("GTC") => TimeInForce::Gtc,
                Some("IOC") => TimeInForce::Ioc,
                Some("FOK") => TimeInForce::Fok,
                Some(_) => return Err(Error::new(-1115, "Invalid timeInForce.")),
                None => return Err(Error::missing("timeInForce")),
            };
            (
                OrderKind::Limit {
                    price: price()?,
                    qty: qty("quantity")?,
                },
                tif,
            )
        }
        "LIMIT_MAKER" if named_tif.is_some() => return extra("timeInForce"),
        "LIMIT_MAKER" => (
            OrderKind::Limit {
                price: price()?,
                qty: qty("quantity")?,
            },
            TimeInForce::PostOnly,
        ),
        "MARKET" => {
            for name in ["price", "timeInForce"] {
                if member(params, name).is_some() {
                    return extra(name);
                }
            }
            let kind = match (member(params, "quantity"), member(params, "quoteOrderQty")) {
                (Some(_), Some(_)) => return extra("quoteOrderQty"),
                (None, Some(text)) => OrderKind::MarketFunds {
                    funds: Amount::parse(text).map_err(|error| precision("quoteOrderQty", &error))?,
                },
                _ => OrderKind::MarketQty { qty: qty("quantity")? },
            };
            (kind, TimeInForce::Ioc)
        }
        "STOP_LOSS" | "STOP_LOSS_LIMIT" | "TAKE_PROFIT" | "TAKE_PROFIT_LIMIT" => {
            return Err(Error::new(-1013, "Stop loss orders are not supported for this symbol."));
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
    let client_id = match member(params, "newClientOrderId") {
        Some(id) => client_id(id)?,
        None => made_up,
    };
    Ok(NewOrder {
        symbol: Symbol::from(symbol),
        side,
        kind,
        tif,
        client_id: Some(client_id),
        self_match,
    })
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

/// The error of an order (or a cancel) that the exchange refused.
pub fn refused(reject: Reject, cancel: bool) -> Error {
    match reject {
        Reject::UnknownMarket => Error::symbol(),
        Reject::NotTrading => Error::new(-2010, "Market is closed."),
        Reject::InsufficientFunds => Error::new(-2010, "Account has insufficient balance for requested action."),
        Reject::UnderMinTotal | Reject::OverMaxTotal => Error::new(-1013, "Filter failure: NOTIONAL"),
        Reject::BadPrice => Error::new(-1013, "Filter failure: PRICE_FILTER"),
        Reject::BadQty => Error::new(-1013, "Filter failure: LOT_SIZE"),
        Reject::WouldTake => Error::new(-2010, "Order would immediately match and take."),
        Reject::DuplicateClientId => Error::new(-2010, "Duplicate order sent."),
        Reject::TooManyOrders => Error::new(-1013, "Filter failure: MAX_NUM_ORDERS"),
        Reject::UnknownOrder | Reject::NotOpen if cancel => Error::new(-2011, "Unknown order sent."),
        Reject::UnknownOrder | Reject::NotOpen => Error::new(-2013, "Order does not exist."),
    }
}

/// A share counted in 1e-8, with eight decimals.
pub fn rate(raw: i64) -> String {
    format!("{}.{:08}", raw / 100_000_000, raw % 100_000_000)
}

const NOTHING: &str = "0.00000000";

/// Price and quantity that an order was sent with.
fn sizes(view: &OrderView) -> (String, String, String) {
    let zero = || NOTHING.to_owned();
    match view.order.kind {
        OrderKind::Limit { price, qty } => (price.to_string(), qty.to_string(), zero()),
        OrderKind::MarketQty { qty } => (zero(), qty.to_string(), zero()),
        OrderKind::MarketFunds { funds } => (zero(), view.executed.to_string(), funds.to_string()),
    }
}

fn id(view: &OrderView) -> String {
    quoted(view.order.client_id.as_deref().unwrap_or_default())
}

/// Members that every form of an order has, from `price` on.
fn common(view: &OrderView) -> String {
    let (price, qty, quote_qty) = sizes(view);
    format!(
        r#""price":"{price}","origQty":"{qty}","executedQty":"{}","origQuoteOrderQty":"{quote_qty}","cummulativeQuoteQty":"{}","status":"{}","timeInForce":"{}","type":"{}","side":"{}","selfTradePreventionMode":"{}""#,
        view.executed,
        view.executed_funds,
        status(view),
        tif(view.order.tif),
        kind(&view.order),
        side(view.order.side),
        self_match(view.order.self_match),
    )
}

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

/// The answer to a new order.
pub fn placed(view: &OrderView, answer: Answer, unit: TimeUnit) -> String {
    let mut out = format!(
        r#"{{"symbol":{},"orderId":{},"orderListId":-1,"clientOrderId":{},"transactTime":{}"#,
        quoted(&view.order.symbol),
        view.id,
        id(view),
        unit.of(view.updated),
    );
    if answer != Answer::Ack {
        let _ = write!(out, r#",{},"workingTime":{}"#, common(view), unit.of(view.created));
    }
    if answer == Answer::Full {
        let fills: Vec<String> = view
            .fills
            .iter()
            .map(|fill| {
                format!(
                    r#"{{"price":"{}","qty":"{}","commission":"{}","commissionAsset":{},"tradeId":{}}}"#,
                    fill.price,
                    fill.qty,
                    fill.fee,
                    quoted(&fill.fee_currency),
                    fill.trade_id
                )
            })
            .collect();
        let _ = write!(out, r#","fills":[{}]"#, fills.join(","));
    }
    out.push('}');
    out
}

/// An order as a query shows it.
pub fn show(view: &OrderView, unit: TimeUnit) -> String {
    format!(
        r#"{{"symbol":{},"orderId":{},"orderListId":-1,"clientOrderId":{},{},"stopPrice":"{NOTHING}","icebergQty":"{NOTHING}","time":{},"updateTime":{},"isWorking":true,"workingTime":{}}}"#,
        quoted(&view.order.symbol),
        view.id,
        id(view),
        common(view),
        unit.of(view.created),
        unit.of(view.updated),
        unit.of(view.created),
    )
}

/// The client id of a cancel that came without one.
pub fn cancel_id(view: &OrderView) -> String {
    format!("cancel-{}", view.id)
}

/// The answer to a cancel.
pub fn cancelled(view: &OrderView, cancel_id: &str, unit: TimeUnit) -> String {
    format!(
        r#"{{"symbol":{},"origClientOrderId":{},"orderId":{},"orderListId":-1,"clientOrderId":{},"transactTime":{},{}}}"#,
        quoted(&view.order.symbol),
        id(view),
        view.id,
        quoted(cancel_id),
        unit.of(view.updated),
        common(view),
    )
}

/// An element of `myTrades`.
pub fn my_trade(view: &OrderView, fill: &Fill, unit: TimeUnit) -> String {
    format!(
        r#"{{"symbol":{},"id":{},"orderId":{},"orderListId":-1,"price":"{}","qty":"{}","quoteQty":"{}","commission":"{}","commissionAsset":{},"time":{},"isBuyer":{},"isMaker":{},"isBestMatch":true}}"#,
        quoted(&view.order.symbol),
        fill.trade_id,
        view.id,
        fill.price,
        fill.qty,
        fill.funds,
        fill.fee,
        quoted(&fill.fee_currency),
        unit.of(fill.ts),
        view.order.side == Side::Buy,
        fill.maker,
    )
}

/// `executionReport`; `exec` is its execution type.
pub fn execution_report(view: &OrderView, exec: &str, sent: TimestampNs, unit: TimeUnit) -> String {
    let (price, qty, quote_qty) = sizes(view);
    let fill = view.fills.last().filter(|_| exec == "TRADE");
    let none = || NOTHING.to_owned();
    // A cancel has an id of its own; that of the order is then the original one.
    let (c, original) = match exec {
        "CANCELED" => (quoted(&cancel_id(view)), id(view)),
        _ => (id(view), "\"\"".to_owned()),
    };
    format!(
        r#"{{"e":"executionReport","E":{},"s":{},"c":{c},"S":"{}","o":"{}","f":"{}","q":"{qty}","p":"{price}","P":"{NOTHING}","F":"{NOTHING}","g":-1,"C":{original},"x":"{exec}","X":"{}","r":"NONE","i":{},"l":"{}","z":"{}","L":"{}","n":"{}","N":{},"T":{},"t":{},"I":{},"w":{},"m":{},"M":{},"O":{},"Z":"{}","Y":"{}","Q":"{quote_qty}","W":{},"V":"{}"}}"#,
        unit.of(sent.max(view.updated)),
        quoted(&view.order.symbol),
        side(view.order.side),
        kind(&view.order),
        tif(view.order.tif),
        if exec == "NEW" { "NEW" } else { status(view) },
        view.id,
        fill.map_or_else(none, |fill| fill.qty.to_string()),
        view.executed,
        fill.map_or_else(none, |fill| fill.price.to_string()),
        fill.map_or("0".to_owned(), |fill| fill.fee.to_string()),
        fill.map_or("null".to_owned(), |fill| quoted(&fill.fee_currency)),
        unit.of(view.updated),
        fill.map_or(-1, |fill| i64::try_from(fill.trade_id).unwrap_or(-1)),
        view.id,
        view.state == OrderState::Open,
        fill.is_some_and(|fill| fill.maker),
        fill.is_some(),
        unit.of(view.created),
        view.executed_funds,
        fill.map_or_else(none, |fill| fill.funds.to_string()),
        unit.of(view.created),
        self_match(view.order.self_match),
    )
}

/// `outboundAccountPosition`.
pub fn position(balances: &[Balance], changed: TimestampNs, sent: TimestampNs, unit: TimeUnit) -> String {
    let list: Vec<String> = balances
        .iter()
        .map(|balance| {
            format!(
                r#"{{"a":{},"f":"{}","l":"{}"}}"#,
                quoted(&balance.currency),
                balance.free,
                balance.locked
            )
        })
        .collect();
    format!(
        r#"{{"e":"outboundAccountPosition","E":{},"u":{},"B":[{}]}}"#,
        unit.of(sent.max(changed)),
        unit.of(changed),
        list.join(",")
    )
}

#[cfg(test)]
mod tests {
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
            ("type=STOP_LOSS&quantity=1&stopPrice=1", Err(-1013)),
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
