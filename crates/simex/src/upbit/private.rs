//! Upbit's REST interface for those who have a key: balances and orders.
//!
//! Source: Upbit developer docs v1.6.4 (read 2026-11-21).

use std::time::Duration;

use crossbook_engine::instrument::Side;
use hyper::Method;

use super::error;
use super::lists;
use super::order::{Trades, parse_uuid, show, show_balance, show_chance, uuid};
use super::request::{NEW, REPLACING, parse, refused};
use super::rest::{counted, group};
use crate::exchange::{NewOrder, OrderKind, OrderRef, OrderState, OrderView, Symbol, Venue};
use crate::server::http::{Call, Reply, list, member};
use crate::server::hub::{Hub, Inner};
use crate::server::limits::Limit;
use crate::sign::text::{Plus, members, percent_decode};
use crate::sign::upbit::{Refusal, body_members, check, query_text};

type Members<'a> = &'a [(String, String)];

/// The account that signed a request over these parameters.
///
/// # Errors
/// The answer when the token is refused.
pub fn authorize(inner: &mut Inner, call: &Call, query: &str) -> Result<u32, Reply> {
    let exchange = &inner.exchange;
    let find = |key: &str| {
        let (number, account) = exchange.account_by_key(Venue::Upbit, key)?;
        Some((number, account.secret.as_str()))
    };
    check(call.header("authorization"), query, find, &mut inner.nonces).map_err(error::refused)
}

/// What a request is counted as. Source: Upbit developer docs v1.6.4, request limits; orders 12 a second since 2026-08-21.
fn limit(call: &Call, path: &str) -> Limit {
    match (&call.method, path) {
        (&Method::POST, "/v1/orders" | "/v1/orders/cancel_and_new") => group("order", 12),
        (_, "/v1/orders/test") => group("order-test", 8),
        (&Method::DELETE, "/v1/orders/open") => Limit {
            group: "order-cancel-all",
            most: 1,
            window: Duration::from_secs(2),
        },
        _ => group("default", 30),
    }
}

/// Answers a request that needs a key.
pub fn answer(hub: &Hub, call: &Call, path: &str) -> Reply {
    // The hash covers the query as text, or the body's members; some clients send a body with a single cancel. Cancels of
    // many take a query alone: a body is not looked at, and its hash covers nothing.
    let in_body = match call.method {
        Method::DELETE => path == "/v1/order",
        _ => true,
    };
    let (text, params) = if in_body && call.query.is_empty() && !call.body.is_empty() {
        let Some(params) = body_members(&call.body) else {
            return error::named(
                400,
                "invalid_parameter",
                "The body is not a JSON object of plain members.",
            );
        };
        (query_text(&params), params)
    } else {
        match (percent_decode(&call.query), members(&call.query, Plus::IsItself)) {
            (Some(text), Some(params)) => (text, params),
            _ => return error::refused(Refusal::Query),
        }
    };
    let mut inner = hub.lock();
    let account = match authorize(&mut inner, call, &text) {
        Ok(account) => account,
        Err(reply) => return reply,
    };
    // Keys of one account share its limits.
    let caller = format!("account {account}");
    counted(hub, &mut inner, limit(call, path), &caller, |inner| {
        route(inner, account, &call.method, path, &params).unwrap_or_else(|reply| reply)
    })
}

fn route(inner: &mut Inner, account: u32, method: &Method, path: &str, params: Members<'_>) -> Result<Reply, Reply> {
    match (method, path) {
        (&Method::GET, "/v1/accounts") => {
            let balances = inner.exchange.balances(account);
            Ok(Reply::ok(list(balances.iter().map(show_balance))))
        }
        (&Method::GET, "/v1/orders/chance") => {
            let market = member(params, "market").ok_or_else(error::missing)?;
            let info = inner
                .exchange
                .market(Venue::Upbit, market)
                .ok_or_else(error::no_market)?;
            Ok(Reply::ok(show_chance(info, &inner.exchange.balances(account))))
        }
        (&Method::POST, "/v1/orders") => {
            let done = new_order(params).and_then(|order| place(inner, account, order));
            burn(inner, account, params, NEW.identifier);
            done
        }
        (&Method::POST, "/v1/orders/test") => test(inner, account, new_order(params)?),
        (&Method::POST, "/v1/orders/cancel_and_new") => {
            let done = replace(inner, account, params);
            burn(inner, account, params, REPLACING.identifier);
            done
        }
        (&Method::GET, "/v1/order") => {
            let view = inner
                .exchange
                .order(account, reference(params)?)
                .ok_or_else(not_found)?;
            Ok(Reply::ok(show(view, Trades::Shown)))
        }
        (&Method::DELETE, "/v1/order") => {
            let before = inner
                .exchange
                .order(account, reference(params)?)
                .cloned()
                .ok_or_else(not_found)?;
            cancel(inner, account, &before)?;
            // Accepted, not done: the answer is the order as it was.
            Ok(Reply::ok(show(&before, Trades::Counted)))
        }
        (&Method::GET, "/v1/orders/open") => lists::open(inner, account, params),
        (&Method::DELETE, "/v1/orders/open") => lists::cancel_open(inner, account, params),
        (&Method::GET, "/v1/orders/closed") => lists::closed(inner, account, params),
        (&Method::GET, "/v1/orders/uuids") => lists::named(inner, account, params),
        (&Method::DELETE, "/v1/orders/uuids") => lists::cancel_named(inner, account, params),
        _ => Err(error::no_route()),
    }
}

fn not_found() -> Reply {
    error::named(404, "order_not_found", "The order was not found.")
}

/// Which order a request is about; the uuid wins over the identifier.
fn reference(params: Members<'_>) -> Result<OrderRef<'_>, Reply> {
    if let Some(text) = member(params, "uuid") {
        return parse_uuid(text).map(OrderRef::Id).ok_or_else(not_found);
    }
    member(params, "identifier")
        .map(OrderRef::ClientId)
        .ok_or_else(error::missing)
}

fn side(params: Members<'_>) -> Result<Side, Reply> {
    match member(params, "side") {
        Some("bid") => Ok(Side::Buy),
        Some("ask") => Ok(Side::Sell),
        _ => Err(error::named(
            400,
            "validation_error",
            "side does not have a valid value",
        )),
    }
}

fn new_order(params: Members<'_>) -> Result<NewOrder, Reply> {
    let market = member(params, "market")
        .ok_or_else(|| error::named(400, "validation_error", "market does not have a valid value"))?;
    parse(params, &NEW, Symbol::from(market), side(params)?)
}

/// An identifier cannot be sent again, whatever became of the request that had it.
fn burn(inner: &mut Inner, account: u32, params: Members<'_>, name: &str) {
    if let Some(identifier) = member(params, name) {
        inner.exchange.burn(account, identifier);
    }
}

fn place(inner: &mut Inner, account: u32, order: NewOrder) -> Result<Reply, Reply> {
    let side = order.side;
    let view = inner
        .with_notices(|exchange, out| exchange.place(account, order, out))
        .map_err(|reject| refused(reject, side))?;
    Ok(Reply::new(201, show(&as_taken(view), Trades::Counted)))
}

/// The answer to a new order shows it as it was taken, before any fill: what became of it is asked for, or streamed.
fn as_taken(mut view: OrderView) -> OrderView {
    use crossbook_engine::units::{Amount, Qty};
    if view.fills.is_empty() {
        view.state = OrderState::Open;
        return view;
    }
    let paid = view.fills.iter().fold(0i64, |sum, fill| {
        sum.saturating_add(match view.order.side {
            Side::Buy => fill.funds.raw().saturating_add(fill.fee.raw()),
            Side::Sell => fill.qty.raw(),
        })
    });
    if view.order.side == Side::Buy {
        let fees = view.reserved_fee.raw().saturating_add(view.fee.raw());
        view.reserved_fee = Amount::from_raw(fees).unwrap_or(Amount::ZERO);
    }
    view.locked = Amount::from_raw(view.locked.raw().saturating_add(paid)).unwrap_or(Amount::ZERO);
    view.state = OrderState::Open;
    view.executed = Qty::ZERO;
    view.executed_funds = Amount::ZERO;
    view.fee = Amount::ZERO;
    view.fills.clear();
    view
}

/// The same checks and the same answer as for an order, of which nothing is there afterwards.
fn test(inner: &Inner, account: u32, order: NewOrder) -> Result<Reply, Reply> {
    use crossbook_engine::units::{Amount, Qty};
    let side = order.side;
    inner
        .exchange
        .test(account, &order)
        .map_err(|reject| refused(reject, side))?;
    let now = inner.exchange.clock();
    let info = inner
        .exchange
        .market(Venue::Upbit, &order.symbol)
        .ok_or_else(error::no_market)?;
    let view = OrderView {
        // No order has the number zero.
        id: 0,
        account,
        fee_currency: info.quote.clone(),
        locked_currency: if side == Side::Buy {
            info.quote.clone()
        } else {
            info.base.clone()
        },
        order,
        state: OrderState::Open,
        executed: Qty::ZERO,
        executed_funds: Amount::ZERO,
        prevented: Qty::ZERO,
        fee: Amount::ZERO,
        reserved_fee: Amount::ZERO,
        locked: Amount::ZERO,
        released: Amount::ZERO,
        created: now,
        updated: now,
        working: Some(now),
        fills: Vec::new(),
        amends: Vec::new(),
    };
    Ok(Reply::new(201, show(&view, Trades::Counted)))
}

/// Takes one order back.
///
/// # Errors
/// The answer when the exchange refuses.
pub fn cancel(inner: &mut Inner, account: u32, view: &OrderView) -> Result<OrderView, Reply> {
    inner
        .with_notices(|exchange, out| exchange.cancel(account, OrderRef::Id(view.id), out))
        .map_err(|reject| refused(reject, view.order.side))
}

/// Takes an order back and places another of the same market and side; the rest of the old one may be `remain_only`.
fn replace(inner: &mut Inner, account: u32, params: Members<'_>) -> Result<Reply, Reply> {
    let by = if let Some(text) = member(params, "prev_order_uuid") {
        parse_uuid(text).map(OrderRef::Id).ok_or_else(not_found)?
    } else {
        let text = member(params, "prev_order_identifier").ok_or_else(error::missing)?;
        OrderRef::ClientId(text)
    };
    let before = inner.exchange.order(account, by).cloned().ok_or_else(not_found)?;
    let mut params = params.to_vec();
    for (key, value) in &mut params {
        if key == "new_volume" && value == "remain_only" {
            let rest = match before.order.kind {
                OrderKind::Limit { qty, .. } => qty.saturating_sub(before.executed).saturating_sub(before.prevented),
                _ => return Err(error::named(400, "invalid_parameter", "only a limit order has a rest")),
            };
            *value = rest.to_string();
        }
    }
    // The old order's name is burnt: refused before anything is done, so that the old order stays.
    let name = member(&params, REPLACING.identifier);
    if name.is_some() && name == before.order.client_id.as_deref() {
        return Err(error::named(
            400,
            "validation_error",
            "new_identifier does not have a valid value",
        ));
    }
    let order = parse(&params, &REPLACING, before.order.symbol.clone(), before.order.side)?;
    cancel(inner, account, &before)?;
    let placed = inner
        .with_notices(|exchange, out| exchange.place(account, order, out))
        .map_err(|reject| refused(reject, before.order.side))?;
    let mut body = show(&before, Trades::Counted);
    body.pop();
    let identifier = placed.order.client_id.as_deref().map_or(String::new(), |id| {
        format!(r#","new_order_identifier":{}"#, crate::server::text::quoted(id))
    });
    Ok(Reply::new(
        201,
        format!(r#"{body},"new_order_uuid":"{}"{identifier}}}"#, uuid(placed.id)),
    ))
}
