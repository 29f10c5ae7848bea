//! How Binance's orders are shown, in answers and in user data events. What a request asks for is in `request.rs`.
//!
//! Source: binance-spot-api-docs a5e0bc3, REST, WebSocket API and user data stream (read 2026-11-21).

use std::fmt::Write as _;

use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;

use super::request::Answer;
use super::wire::TimeUnit;
use crate::exchange::{
    Amend, Balance, Fill, NewOrder, OrderKind, OrderState, OrderView, SelfMatch, StopKind, TimeInForce,
};
use crate::server::text::quoted;

const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// `type` of an order.
pub const fn kind(order: &NewOrder) -> &'static str {
    let limit = matches!(order.kind, OrderKind::Limit { .. });
    match (&order.stop, limit) {
        (None, true) if matches!(order.tif, TimeInForce::PostOnly) => "LIMIT_MAKER",
        (None, true) => "LIMIT",
        (None, false) => "MARKET",
        (Some(stop), _) => match (stop.kind, limit) {
            (StopKind::Loss, true) => "STOP_LOSS_LIMIT",
            (StopKind::Loss, false) => "STOP_LOSS",
            (StopKind::Profit, true) => "TAKE_PROFIT_LIMIT",
            (StopKind::Profit, false) => "TAKE_PROFIT",
        },
    }
}

/// Why an order expired; since 2026-03-26 told of those that did.
const fn expiry_reason(view: &OrderView) -> Option<&'static str> {
    match (view.state, view.order.kind, view.order.tif) {
        (OrderState::OutOfRange, _, _) => Some("EXECUTION_RULE_PRICE_RANGE_EXCEEDED"),
        (OrderState::Expired, OrderKind::Limit { .. }, TimeInForce::Fok) => Some("UNFILLED_FOK_ORDER_EXPIRED"),
        (OrderState::Expired, OrderKind::Limit { .. }, _) => Some("UNFILLED_IOC_QUANTITY_EXPIRED"),
        (OrderState::Expired, ..) => Some("INSUFFICIENT_LIQUIDITY"),
        _ => None,
    }
}

/// `timeInForce`: orders without a price of their own show `GTC`, as in the document's examples.
const fn tif(order: &NewOrder) -> &'static str {
    match (order.kind, order.tif) {
        (OrderKind::Limit { .. }, TimeInForce::Ioc) => "IOC",
        (OrderKind::Limit { .. }, TimeInForce::Fok) => "FOK",
        _ => "GTC",
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
        OrderState::Expired | OrderState::OutOfRange => "EXPIRED",
        OrderState::Prevented => "EXPIRED_IN_MATCH",
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
    let reason = expiry_reason(view).map_or(String::new(), |reason| format!(r#","expiryReason":"{reason}""#));
    format!(
        r#""price":"{price}","origQty":"{qty}","executedQty":"{}","origQuoteOrderQty":"{quote_qty}","cummulativeQuoteQty":"{}","status":"{}","timeInForce":"{}","type":"{}","side":"{}","selfTradePreventionMode":"{}"{reason}"#,
        view.executed,
        view.executed_funds,
        status(view),
        tif(&view.order),
        kind(&view.order),
        side(view.order.side),
        self_match(view.order.self_match),
    )
}

/// When an order began to work; a stop order that waits has no such time.
fn working_time(view: &OrderView, unit: TimeUnit) -> i64 {
    view.working.map_or(-1, |since| unit.of(since))
}

/// `stopPrice` of those that have one.
fn stop_price(view: &OrderView) -> String {
    let stop = view.order.stop;
    stop.map_or(String::new(), |stop| format!(r#","stopPrice":"{}""#, stop.price))
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
        let (common, stop, working) = (common(view), stop_price(view), working_time(view, unit));
        let _ = write!(out, r#",{common}{stop},"workingTime":{working}"#);
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
        r#"{{"symbol":{},"orderId":{},"orderListId":-1,"clientOrderId":{},{},"stopPrice":"{}","icebergQty":"{NOTHING}","time":{},"updateTime":{},"isWorking":{},"workingTime":{}}}"#,
        quoted(&view.order.symbol),
        view.id,
        id(view),
        common(view),
        view.order
            .stop
            .map_or(NOTHING.to_owned(), |stop| stop.price.to_string()),
        unit.of(view.created),
        unit.of(view.updated),
        view.working.is_some(),
        working_time(view, unit),
    )
}

/// The client id of a cancel that came without one.
pub fn cancel_id(view: &OrderView) -> String {
    format!("cancel-{}", view.id)
}

/// The answer to a cancel.
pub fn cancelled(view: &OrderView, cancel_id: &str, unit: TimeUnit) -> String {
    format!(
        r#"{{"symbol":{},"origClientOrderId":{},"orderId":{},"orderListId":-1,"clientOrderId":{},"transactTime":{},{}{}}}"#,
        quoted(&view.order.symbol),
        id(view),
        view.id,
        quoted(cancel_id),
        unit.of(view.updated),
        common(view),
        stop_price(view),
    )
}

/// The answer to an amendment. Here the sums have other names than elsewhere.
pub fn amended(view: &OrderView, amend: &Amend, unit: TimeUnit) -> String {
    let (price, qty, quote_qty) = sizes(view);
    format!(
        r#"{{"transactTime":{},"executionId":{},"amendedOrder":{{"symbol":{},"orderId":{},"orderListId":-1,"origClientOrderId":{},"clientOrderId":{},"price":"{price}","qty":"{qty}","executedQty":"{}","preventedQty":"{}","quoteOrderQty":"{quote_qty}","cumulativeQuoteQty":"{}","status":"{}","timeInForce":"{}","type":"{}","side":"{}","workingTime":{},"selfTradePreventionMode":"{}"{}}}}}"#,
        unit.of(amend.ts),
        amend.execution,
        quoted(&view.order.symbol),
        view.id,
        quoted(amend.old_client_id.as_deref().unwrap_or_default()),
        id(view),
        view.executed,
        view.prevented,
        view.executed_funds,
        status(view),
        tif(&view.order),
        kind(&view.order),
        side(view.order.side),
        working_time(view, unit),
        self_match(view.order.self_match),
        stop_price(view),
    )
}

/// An element of `order/amendments`.
pub fn amendment(view: &OrderView, amend: &Amend, unit: TimeUnit) -> String {
    format!(
        r#"{{"symbol":{},"orderId":{},"executionId":{},"origClientOrderId":{},"newClientOrderId":{},"origQty":"{}","newQty":"{}","time":{}}}"#,
        quoted(&view.order.symbol),
        view.id,
        amend.execution,
        quoted(amend.old_client_id.as_deref().unwrap_or_default()),
        quoted(&amend.client_id),
        amend.old_qty,
        amend.qty,
        unit.of(amend.ts),
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
    // A cancel has an id of its own; that of the order is then the original one. An amended order has a new one.
    let amend = view.amends.last().filter(|_| exec == "REPLACED");
    let (c, original) = match (exec, amend) {
        ("CANCELED", _) => (quoted(&cancel_id(view)), id(view)),
        (_, Some(amend)) => (id(view), quoted(amend.old_client_id.as_deref().unwrap_or_default())),
        _ => (id(view), "\"\"".to_owned()),
    };
    // Only those that were on the book have the time since when.
    let working = view
        .working
        .map_or(String::new(), |since| format!(r#","W":{}"#, unit.of(since)));
    let reason = expiry_reason(view).filter(|_| exec == "EXPIRED");
    let reason = reason.map_or(String::new(), |reason| format!(r#","eR":"{reason}""#));
    format!(
        r#"{{"e":"executionReport","E":{},"s":{},"c":{c},"S":"{}","o":"{}","f":"{}","q":"{qty}","p":"{price}","P":"{}","F":"{NOTHING}","g":-1,"C":{original},"x":"{exec}","X":"{}","r":"NONE","i":{},"l":"{}","z":"{}","L":"{}","n":"{}","N":{},"T":{},"t":{},"I":{},"w":{},"m":{},"M":{},"O":{},"Z":"{}","Y":"{}","Q":"{quote_qty}"{working},"V":"{}"{reason}}}"#,
        unit.of(sent.max(view.updated)),
        quoted(&view.order.symbol),
        side(view.order.side),
        kind(&view.order),
        tif(&view.order),
        view.order.stop.map_or_else(none, |stop| stop.price.to_string()),
        if exec == "NEW" { "NEW" } else { status(view) },
        view.id,
        fill.map_or_else(none, |fill| fill.qty.to_string()),
        view.executed,
        fill.map_or_else(none, |fill| fill.price.to_string()),
        fill.map_or("0".to_owned(), |fill| fill.fee.to_string()),
        fill.map_or("null".to_owned(), |fill| quoted(&fill.fee_currency)),
        unit.of(view.updated),
        fill.map_or(-1, |fill| i64::try_from(fill.trade_id).unwrap_or(-1)),
        amend.map_or(view.id, |amend| amend.execution),
        view.state == OrderState::Open && view.working.is_some(),
        fill.is_some_and(|fill| fill.maker),
        fill.is_some(),
        unit.of(view.created),
        view.executed_funds,
        fill.map_or_else(none, |fill| fill.funds.to_string()),
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
