//! Upbit's REST interface for those who have a key: balances and orders.
//!
//! Source: Upbit developer docs v1.6.4 (read 2026-11-21).

use std::time::Duration;

use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;
use hyper::Method;

use super::error;
use super::order::{self, Trades, parse_uuid, show, show_balance, show_chance, uuid};
use super::request::{NEW, REPLACING, parse, refused};
use super::rest::{counted, group};
use crate::exchange::{NewOrder, OrderFilter, OrderRef, OrderState, OrderView, Symbol, Venue};
use crate::server::http::{Call, Reply, list, member};
use crate::server::hub::{Hub, Inner};
use crate::server::limits::Limit;
use crate::server::text::Civil;
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
    // The hash covers the query as text, or the body's members; some clients send a body with DELETE.
    let (text, params) = if call.query.is_empty() && !call.body.is_empty() {
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
            let order = new_order(params)?;
            place(inner, account, order)
        }
        (&Method::POST, "/v1/orders/test") => test(inner, account, new_order(params)?),
        (&Method::POST, "/v1/orders/cancel_and_new") => replace(inner, account, params),
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
        (&Method::GET, "/v1/orders/open") => Ok(open(inner, account, params)),
        (&Method::DELETE, "/v1/orders/open") => Ok(cancel_open(inner, account, params)),
        (&Method::GET, "/v1/orders/closed") => closed(inner, account, params),
        (&Method::GET, "/v1/orders/uuids") => {
            let views = by_names(inner, account, params, 100)?;
            let market = member(params, "market");
            let shown = views
                .iter()
                .filter(|view| market.is_none_or(|market| *view.order.symbol == *market))
                .map(|view| show(view, Trades::Counted));
            Ok(Reply::ok(list(shown)))
        }
        (&Method::DELETE, "/v1/orders/uuids") => {
            let views = by_names(inner, account, params, 20)?;
            Ok(batch(inner, account, views))
        }
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
        created: now,
        updated: now,
        fills: Vec::new(),
        amends: Vec::new(),
    };
    Ok(Reply::new(201, show(&view, Trades::Counted)))
}

fn cancel(inner: &mut Inner, account: u32, view: &OrderView) -> Result<OrderView, Reply> {
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
                crate::exchange::OrderKind::Limit { qty, .. } => qty.saturating_sub(before.executed),
                _ => return Err(error::named(400, "invalid_parameter", "only a limit order has a rest")),
            };
            *value = rest.to_string();
        }
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

/// Values of a list member (`states[]=wait&states[]=watch`), or of its singular.
fn values<'a>(params: Members<'a>, name: &str, singular: &str) -> Vec<&'a str> {
    let many = format!("{name}[]");
    params
        .iter()
        .filter(|(key, _)| *key == many || key == name || key == singular)
        .flat_map(|(_, value)| value.split(','))
        .filter(|value| !value.is_empty())
        .collect()
}

/// A page of a list: newest first unless asked otherwise.
fn page<'a>(mut views: Vec<&'a OrderView>, params: Members<'_>, most: usize) -> Vec<&'a OrderView> {
    if member(params, "order_by") != Some("asc") {
        views.reverse();
    }
    let number = |name: &str, default: usize| {
        member(params, name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let limit = number("limit", 100).clamp(1, most);
    let skip = number("page", 1).saturating_sub(1).saturating_mul(limit);
    views.into_iter().skip(skip).take(limit).collect()
}

fn open(inner: &Inner, account: u32, params: Members<'_>) -> Reply {
    let states = values(params, "states", "state");
    // There are no trigger orders here: nothing is ever in `watch`.
    if !states.is_empty() && !states.contains(&"wait") {
        return Reply::ok("[]");
    }
    let views = inner
        .exchange
        .orders(account, member(params, "market"), OrderFilter::Open);
    Reply::ok(list(
        page(views, params, 100)
            .into_iter()
            .map(|view| show(view, Trades::Counted)),
    ))
}

fn closed(inner: &Inner, account: u32, params: Members<'_>) -> Result<Reply, Reply> {
    const WEEK_NS: i64 = 7 * 86_400_000_000_000;
    let states = values(params, "states", "state");
    let time = |name: &str| match member(params, name) {
        None => Ok(None),
        Some(text) => parse_time(text)
            .map(Some)
            .ok_or_else(|| error::named(400, "invalid_parameter", &format!("{name} is not a time"))),
    };
    let (from, to) = match (time("start_time")?, time("end_time")?) {
        (Some(from), Some(to)) => (from, to),
        (Some(from), None) => (from, from.plus(WEEK_NS)),
        (None, to) => {
            let to = to.unwrap_or(inner.exchange.clock().plus(1));
            (to.plus(-WEEK_NS), to)
        }
    };
    if to.since(from) > WEEK_NS {
        return Err(error::named(
            400,
            "invalid_parameter",
            "The range is longer than 7 days.",
        ));
    }
    let mut views = inner
        .exchange
        .orders(account, member(params, "market"), OrderFilter::Closed);
    views.retain(|view| {
        (states.is_empty() || states.contains(&order::state(view.state))) && view.created >= from && view.created <= to
    });
    Ok(Reply::ok(list(
        page(views, params, 1_000)
            .into_iter()
            .map(|view| show(view, Trades::Counted)),
    )))
}

/// ISO 8601 (`2025-06-24T13:56:53+09:00`) or milliseconds since 1970.
fn parse_time(text: &str) -> Option<TimestampNs> {
    if let Ok(ms) = text.parse::<i64>() {
        return ms.checked_mul(1_000_000).map(TimestampNs);
    }
    let (body, offset_s) = match text.strip_suffix('Z') {
        Some(body) => (body, 0),
        None => {
            // In a query that was not encoded, a plus sign may have become a space.
            let at = text.len().checked_sub(6).filter(|&at| text.is_char_boundary(at))?;
            let (body, zone) = text.split_at(at);
            let sign = match zone.as_bytes().first()? {
                b'+' | b' ' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            (
                body,
                sign * (hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60),
            )
        }
    };
    let (date, time) = body.split_once('T')?;
    let date: Vec<i64> = date.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let time: Vec<i64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else {
        return None;
    };
    let seconds = Civil::days(*year, *month, *day)? * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    seconds.checked_mul(1_000_000_000).map(TimestampNs)
}

fn by_names(inner: &Inner, account: u32, params: Members<'_>, most: usize) -> Result<Vec<OrderView>, Reply> {
    let (uuids, identifiers) = (
        values(params, "uuids", "uuid"),
        values(params, "identifiers", "identifier"),
    );
    if uuids.is_empty() && identifiers.is_empty() {
        return Err(error::missing());
    }
    if uuids.len() + identifiers.len() > most {
        return Err(error::named(
            400,
            "invalid_parameter",
            &format!("at most {most} orders"),
        ));
    }
    let by_id = uuids.into_iter().filter_map(parse_uuid).map(OrderRef::Id);
    let by_client_id = identifiers.into_iter().map(OrderRef::ClientId);
    Ok(by_id
        .chain(by_client_id)
        .filter_map(|by| inner.exchange.order(account, by).cloned())
        .collect())
}

/// Takes orders back one by one and tells which of them it could.
fn batch(inner: &mut Inner, account: u32, views: Vec<OrderView>) -> Reply {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for view in views {
        let row = format!(r#"{{"uuid":"{}","market":"{}"}}"#, uuid(view.id), view.order.symbol);
        match cancel(inner, account, &view) {
            Ok(_) => done.push(row),
            Err(_) => failed.push(row),
        }
    }
    let part = |rows: Vec<String>| format!(r#"{{"count":{},"orders":{}}}"#, rows.len(), list(rows));
    Reply::ok(format!(r#"{{"success":{},"failed":{}}}"#, part(done), part(failed)))
}

fn cancel_open(inner: &mut Inner, account: u32, params: Members<'_>) -> Reply {
    let wanted = values(params, "pairs", "pair");
    let excluded = values(params, "excluded_pairs", "excluded_pair");
    let quotes = values(params, "quote_currencies", "quote_currency");
    let side = match member(params, "cancel_side") {
        Some("bid") => Some(Side::Buy),
        Some("ask") => Some(Side::Sell),
        _ => None,
    };
    let most = member(params, "count")
        .and_then(|text| text.parse().ok())
        .unwrap_or(20usize)
        .clamp(1, 300);
    let mut views: Vec<OrderView> = inner
        .exchange
        .orders(account, None, OrderFilter::Open)
        .into_iter()
        .filter(|view| {
            let symbol = &*view.order.symbol;
            (wanted.is_empty() || wanted.contains(&symbol))
                && !excluded.contains(&symbol)
                && (quotes.is_empty() || symbol.split_once('-').is_some_and(|(quote, _)| quotes.contains(&quote)))
                && side.is_none_or(|side| side == view.order.side)
        })
        .cloned()
        .collect();
    if member(params, "order_by") != Some("asc") {
        views.reverse();
    }
    views.truncate(most);
    batch(inner, account, views)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::text::iso_kst;

    #[test]
    fn times_are_read_in_both_spellings() {
        let cases = [
            ("1750741013000", Some("2025-06-24T13:56:53+09:00")),
            ("2025-06-24T13:56:53+09:00", Some("2025-06-24T13:56:53+09:00")),
            ("2025-06-24T04:56:53Z", Some("2025-06-24T13:56:53+09:00")),
            ("2025-06-24T13:56:53 09:00", Some("2025-06-24T13:56:53+09:00")),
            ("2024-02-29T00:00:00Z", Some("2024-02-29T09:00:00+09:00")),
            ("2025-13-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_time(text).map(iso_kst).as_deref(), want, "{text}");
        }
    }
}
