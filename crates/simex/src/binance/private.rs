//! What a Binance account asks: balances, orders, fills. REST and the WebSocket API have the same operations.
//!
//! Source: binance-spot-api-docs a5e0bc3 (read 2026-11-21).

use hyper::Method;

use super::account::{balances, commission};
use super::error::Error;
use super::filters;
use super::limit::{Cost, ORDERS, count_order, counted, orders_used};
use super::order::{amended, amendment, cancel_id, cancelled, my_trade, placed, show};
use super::request::{Answer, Asked, new_client_id, parse, quantity, refused};
use super::rest::{find, limit};
use super::wire::TimeUnit;
use crate::exchange::{OrderFilter, OrderRef, OrderView, Reject, Venue};
use crate::server::http::{Call, Reply, list, member};
use crate::server::hub::{Hub, Inner};
use crate::server::text::ms;
use crate::sign::Secret;
use crate::sign::binance::{check, check_time, rest_payload};
use crate::sign::text::{Plus, members};

type Members<'a> = &'a [(String, String)];

/// An operation that needs a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A new order.
    Place,
    /// The checks of a new order.
    Test,
    /// One order.
    Query,
    /// Takes one back.
    Cancel,
    /// Takes all of a market back.
    CancelAll,
    /// Takes one back and places another.
    Replace,
    /// Reduces one, which keeps its place.
    Amend,
    /// How one was reduced.
    Amendments,
    /// Orders that rest.
    Open,
    /// Orders of a market, ended ones too.
    All,
    /// Fills in a market.
    Trades,
    /// Balances.
    Account,
    /// What trading costs.
    Commission,
    /// How many orders were counted.
    OrderRate,
    /// Filters that concern the account.
    Filters,
}

impl Op {
    /// By method and path.
    pub fn of_rest(method: &Method, path: &str) -> Option<Op> {
        Some(match (method.as_str(), path) {
            ("POST", "/api/v3/order") => Op::Place,
            ("POST", "/api/v3/order/test") => Op::Test,
            ("GET", "/api/v3/order") => Op::Query,
            ("DELETE", "/api/v3/order") => Op::Cancel,
            ("DELETE", "/api/v3/openOrders") => Op::CancelAll,
            ("POST", "/api/v3/order/cancelReplace") => Op::Replace,
            ("PUT", "/api/v3/order/amend/keepPriority") => Op::Amend,
            ("GET", "/api/v3/order/amendments") => Op::Amendments,
            ("GET", "/api/v3/myFilters") => Op::Filters,
            ("GET", "/api/v3/openOrders") => Op::Open,
            ("GET", "/api/v3/allOrders") => Op::All,
            ("GET", "/api/v3/myTrades") => Op::Trades,
            ("GET", "/api/v3/account") => Op::Account,
            ("GET", "/api/v3/account/commission") => Op::Commission,
            ("GET", "/api/v3/rateLimit/order") => Op::OrderRate,
            _ => return None,
        })
    }

    /// By the WebSocket API's method.
    pub fn of_ws(method: &str) -> Option<Op> {
        Some(match method {
            "order.place" => Op::Place,
            "order.test" => Op::Test,
            "order.status" => Op::Query,
            "order.cancel" => Op::Cancel,
            "openOrders.cancelAll" => Op::CancelAll,
            "order.cancelReplace" => Op::Replace,
            "order.amend.keepPriority" => Op::Amend,
            "order.amendments" => Op::Amendments,
            "myFilters" => Op::Filters,
            "openOrders.status" => Op::Open,
            "allOrders" => Op::All,
            "myTrades" => Op::Trades,
            "account.status" => Op::Account,
            "account.commission" => Op::Commission,
            "account.rateLimits.orders" => Op::OrderRate,
            _ => return None,
        })
    }

    /// Its cost. Orders and cancels that succeed are free since 2026-04-02.
    pub fn cost(self, params: Members<'_>) -> Cost {
        let one = member(params, "symbol").is_some();
        let (weight, free_if_done) = match self {
            Op::Place | Op::Cancel | Op::CancelAll | Op::Replace => (1, true),
            Op::Test => (1, false),
            // An amendment is no new order, and not among those that the document makes free.
            Op::Query | Op::Amend | Op::Amendments => (4, false),
            Op::Open if one => (6, false),
            Op::Open => (80, false),
            Op::OrderRate | Op::Filters => (40, false),
            Op::All | Op::Trades | Op::Account | Op::Commission => (20, false),
        };
        Cost { weight, free_if_done }
    }
}

/// How a key proves itself: its secret is shared, unless it is the PEM text of a public key.
pub fn secret(text: &str) -> Result<Secret, Error> {
    if !text.contains("BEGIN PUBLIC KEY") {
        return Ok(Secret::Shared(text.to_owned()));
    }
    Secret::public_pem(text).map_err(|_| no_key())
}

fn no_key() -> Error {
    Error::with_status(401, -2015, "Invalid API-key, IP, or permissions for action.")
}

/// The account of a key, and how it proves itself.
///
/// # Errors
/// When there is no key, or no such.
pub fn account(inner: &Inner, key: Option<&str>) -> Result<(u32, Secret), Error> {
    let key = key
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Error::with_status(401, -2014, "API-key format invalid."))?;
    let (number, account) = inner.exchange.account_by_key(Venue::Binance, key).ok_or_else(no_key)?;
    Ok((number, secret(&account.secret)?))
}

/// Whether a request is timely.
///
/// # Errors
/// When its timestamp or window are not.
pub fn timely(hub: &Hub, params: Members<'_>) -> Result<(), Error> {
    let now_us = hub.now().0.div_euclid(1_000);
    check_time(member(params, "timestamp"), member(params, "recvWindow"), now_us).map_err(Error::refused)
}

/// Answers a signed REST request.
pub fn answer(hub: &Hub, call: &Call, op: Op, unit: TimeUnit) -> Reply {
    let Ok(body) = std::str::from_utf8(&call.body) else {
        return Error::new(-1100, "Illegal characters found in a parameter.").into();
    };
    let (payload, signature) = rest_payload(&call.query, body);
    let (Some(mut params), Some(in_body)) = (members(&call.query, Plus::IsSpace), members(body, Plus::IsSpace)) else {
        return Error::new(-1100, "Illegal characters found in a parameter.").into();
    };
    // Where both name a parameter, the query comes first and wins.
    params.extend(in_body);
    let mut inner = hub.lock();
    counted(hub, &mut inner, Venue::Binance, &call.peer, op.cost(&params), |inner| {
        let result = account(inner, call.header("x-mbx-apikey")).and_then(|(account, secret)| {
            timely(hub, &params)?;
            check(&secret, &payload, signature.as_deref()).map_err(Error::refused)?;
            Ok((account, run(hub, inner, account, op, &params, unit)?))
        });
        match result {
            Ok((account, body)) if op == Op::Place || op == Op::Replace => {
                let [short, day] = orders_used(inner, account);
                Reply::ok(body)
                    .with("x-mbx-order-count-10s", short)
                    .with("x-mbx-order-count-1d", day)
            }
            Ok((_, body)) => Reply::ok(body),
            Err(error) => error.into(),
        }
    })
}

/// Does what an account asks; the answer is JSON.
///
/// # Errors
/// The error to answer with.
pub fn run(
    hub: &Hub,
    inner: &mut Inner,
    account: u32,
    op: Op,
    params: Members<'_>,
    unit: TimeUnit,
) -> Result<String, Error> {
    match op {
        Op::Place => {
            let view = place(hub, inner, account, params)?;
            Ok(placed(&view, Answer::parse(params)?, unit))
        }
        Op::Test => {
            let order = parse(params, "test".to_owned())?;
            inner
                .exchange
                .test(account, &order)
                .map_err(|reject| refused(reject, Asked::Place))?;
            Ok("{}".to_owned())
        }
        Op::Query => {
            let by = reference(params, "orderId", "origClientOrderId")?;
            let view = known(inner, account, params, by).ok_or_else(|| Error::new(-2013, "Order does not exist."))?;
            Ok(show(&view, unit))
        }
        Op::Cancel => {
            let by = reference(params, "orderId", "origClientOrderId")?;
            cancel(inner, account, params, by, unit)
        }
        Op::CancelAll => {
            let symbol = symbol(inner, params)?;
            let open: Vec<u64> = inner
                .exchange
                .orders(account, Some(&symbol), OrderFilter::Open)
                .iter()
                .map(|view| view.id)
                .collect();
            if open.is_empty() {
                return Err(Error::new(-2011, "Unknown order sent."));
            }
            let done: Result<Vec<String>, Error> = open
                .into_iter()
                .map(|id| cancel(inner, account, params, OrderRef::Id(id), unit))
                .collect();
            Ok(list(done?))
        }
        Op::Replace => replace(hub, inner, account, params, unit),
        Op::Amend => amend(inner, account, params, unit),
        Op::Amendments => amendments(inner, account, params, unit),
        Op::Filters => {
            let symbol = symbol(inner, params)?;
            let info = find(inner, Venue::Binance, &symbol)?;
            Ok(filters::of_account(info, inner.exchange.binance_rules()))
        }
        Op::Open => {
            let symbol = match member(params, "symbol") {
                Some(_) => Some(symbol(inner, params)?),
                None => None,
            };
            let open = inner.exchange.orders(account, symbol.as_deref(), OrderFilter::Open);
            Ok(list(open.into_iter().map(|view| show(view, unit))))
        }
        Op::All => {
            let (symbol, most) = (symbol(inner, params)?, limit(params, 500, 1_000)?);
            let from = number(params, "orderId");
            let mut all = inner.exchange.orders(account, Some(&symbol), OrderFilter::All);
            all.retain(|view| from.is_none_or(|from| view.id >= from) && inside(params, ms(view.created)));
            let skip = if from.is_some() {
                0
            } else {
                all.len().saturating_sub(most)
            };
            Ok(list(all.into_iter().skip(skip).take(most).map(|view| show(view, unit))))
        }
        Op::Trades => trades(inner, account, params, unit),
        Op::Account => Ok(balances(inner, account, params, unit)),
        Op::Commission => {
            let symbol = symbol(inner, params)?;
            Ok(commission(find(inner, Venue::Binance, &symbol)?))
        }
        Op::OrderRate => {
            let rows = ORDERS.iter().zip(orders_used(inner, account)).map(|(limit, count)| {
                let (interval, number) = match limit.window.as_secs() {
                    86_400 => ("DAY", 1),
                    seconds => ("SECOND", seconds),
                };
                format!(
                    r#"{{"rateLimitType":"ORDERS","interval":"{interval}","intervalNum":{number},"limit":{},"count":{count}}}"#,
                    limit.most
                )
            });
            Ok(list(rows))
        }
    }
}

fn number(params: Members<'_>, name: &str) -> Option<u64> {
    member(params, name)?.parse().ok()
}

/// Whether a time lies between `startTime` and `endTime`, where they are given.
fn inside(params: Members<'_>, time: i64) -> bool {
    let bound = |name: &str| member(params, name).and_then(|text| text.parse::<i64>().ok());
    bound("startTime").is_none_or(|from| time >= from) && bound("endTime").is_none_or(|to| time <= to)
}

fn symbol(inner: &Inner, params: Members<'_>) -> Result<String, Error> {
    let symbol = member(params, "symbol").ok_or_else(|| Error::missing("symbol"))?;
    Ok(find(inner, Venue::Binance, symbol)?.symbol.to_string())
}

/// Which order a request is about; the number wins.
fn reference<'a>(params: Members<'a>, by_id: &str, by_client_id: &str) -> Result<OrderRef<'a>, Error> {
    if let Some(text) = member(params, by_id) {
        let id = text
            .parse()
            .map_err(|_| Error::new(-1100, format!("Illegal characters found in parameter '{by_id}'.")))?;
        return Ok(OrderRef::Id(id));
    }
    member(params, by_client_id).map(OrderRef::ClientId).ok_or_else(|| {
        Error::new(
            -1102,
            format!("Param '{by_client_id}' or '{by_id}' must be sent, but both were empty/null!"),
        )
    })
}

/// An order of the account, if it is of the market that the request names.
fn known(inner: &Inner, account: u32, params: Members<'_>, by: OrderRef<'_>) -> Option<OrderView> {
    let symbol = member(params, "symbol")?;
    inner
        .exchange
        .order(account, by)
        .filter(|view| *view.order.symbol == *symbol)
        .cloned()
}

fn place(hub: &Hub, inner: &mut Inner, account: u32, params: Members<'_>) -> Result<OrderView, Error> {
    let made_up = format!("simex{}", inner.next_client_id);
    let order = parse(params, made_up)?;
    Answer::parse(params)?;
    inner.next_client_id += 1;
    count_order(hub, inner, account)?;
    inner
        .with_notices(|exchange, out| exchange.place(account, order, out))
        .map_err(|reject| refused(reject, Asked::Place))
}

fn cancel(
    inner: &mut Inner,
    account: u32,
    params: Members<'_>,
    by: OrderRef<'_>,
    unit: TimeUnit,
) -> Result<String, Error> {
    symbol(inner, params)?;
    let unknown = || Error::new(-2011, "Unknown order sent.");
    let id = known(inner, account, params, by).ok_or_else(unknown)?.id;
    let view = inner
        .with_notices(|exchange, out| exchange.cancel(account, OrderRef::Id(id), out))
        .map_err(|reject| refused(reject, Asked::Cancel))?;
    let name = member(params, "newClientOrderId").map_or_else(|| cancel_id(&view), str::to_owned);
    Ok(cancelled(&view, &name, unit))
}

fn amend(inner: &mut Inner, account: u32, params: Members<'_>, unit: TimeUnit) -> Result<String, Error> {
    symbol(inner, params)?;
    let by = reference(params, "orderId", "origClientOrderId")?;
    let qty = quantity(params, "newQty")?;
    let name = new_client_id(params, format!("simex{}", inner.next_client_id))?;
    inner.next_client_id += 1;
    let unknown = || refused(Reject::UnknownOrder, Asked::Amend);
    let id = known(inner, account, params, by).ok_or_else(unknown)?.id;
    let view = inner
        .with_notices(|exchange, out| exchange.amend(account, OrderRef::Id(id), qty, name, out))
        .map_err(|reject| refused(reject, Asked::Amend))?;
    Ok(view
        .amends
        .last()
        .map_or("{}".to_owned(), |amend| amended(&view, amend, unit)))
}

fn amendments(inner: &Inner, account: u32, params: Members<'_>, unit: TimeUnit) -> Result<String, Error> {
    symbol(inner, params)?;
    let most = limit(params, 500, 1_000)?;
    let from = number(params, "fromExecutionId");
    let id = number(params, "orderId").ok_or_else(|| Error::missing("orderId"))?;
    let view = known(inner, account, params, OrderRef::Id(id));
    let view = view.ok_or_else(|| Error::new(-2013, "Order does not exist."))?;
    let rows = view
        .amends
        .iter()
        .filter(|amend| from.is_none_or(|from| amend.execution >= from))
        .take(most)
        .map(|amend| amendment(&view, amend, unit));
    Ok(list(rows))
}

/// Cancel, then place. With `STOP_ON_FAILURE` nothing is placed when the cancel fails; with `ALLOW_FAILURE` it is. When
/// one of the two fails the status is 409, when both or the first fail 400.
fn replace(hub: &Hub, inner: &mut Inner, account: u32, params: Members<'_>, unit: TimeUnit) -> Result<String, Error> {
    let stop = match member(params, "cancelReplaceMode") {
        Some("STOP_ON_FAILURE") => true,
        Some("ALLOW_FAILURE") => false,
        _ => return Err(Error::missing("cancelReplaceMode")),
    };
    // What cannot be read is refused before anything is done.
    parse(params, "read".to_owned())?;
    let by = reference(params, "cancelOrderId", "cancelOrigClientOrderId")?;
    // The id in the parameters is the new order's; the cancel has `cancelNewClientOrderId`.
    let mut of_cancel: Vec<(String, String)> = params
        .iter()
        .filter(|(key, _)| key != "newClientOrderId")
        .cloned()
        .collect();
    for (key, _) in &mut of_cancel {
        if key == "cancelNewClientOrderId" {
            "newClientOrderId".clone_into(key);
        }
    }
    let cancelled = cancel(inner, account, &of_cancel, by, unit);
    let placed_ = if cancelled.is_err() && stop {
        None
    } else {
        Some(place(hub, inner, account, params).and_then(|view| Ok(placed(&view, Answer::parse(params)?, unit))))
    };
    let word = |ok: bool| if ok { "SUCCESS" } else { "FAILURE" };
    let text = |result: &Result<String, Error>| match result {
        Ok(body) => body.clone(),
        Err(error) => error.json(),
    };
    let data = format!(
        r#"{{"cancelResult":"{}","newOrderResult":"{}","cancelResponse":{},"newOrderResponse":{}}}"#,
        word(cancelled.is_ok()),
        placed_.as_ref().map_or("NOT_ATTEMPTED", |result| word(result.is_ok())),
        text(&cancelled),
        placed_.as_ref().map_or("null".to_owned(), text),
    );
    let failed = |status, code, msg: &str| Error {
        data: Some(data.clone()),
        ..Error::with_status(status, code, msg)
    };
    match (cancelled.is_ok(), placed_.is_some_and(|result| result.is_ok())) {
        (true, true) => Ok(data),
        (false, false) => Err(failed(400, -2022, "Order cancel-replace failed.")),
        _ => Err(failed(409, -2021, "Order cancel-replace partially failed.")),
    }
}

fn trades(inner: &Inner, account: u32, params: Members<'_>, unit: TimeUnit) -> Result<String, Error> {
    let (symbol, most) = (symbol(inner, params)?, limit(params, 500, 1_000)?);
    let (from, of_order) = (number(params, "fromId"), number(params, "orderId"));
    let mut rows: Vec<(u64, u64, String)> = inner
        .exchange
        .orders(account, Some(&symbol), OrderFilter::All)
        .into_iter()
        .filter(|view| of_order.is_none_or(|id| view.id == id))
        .flat_map(|view| view.fills.iter().map(move |fill| (view, fill)))
        .filter(|(_, fill)| from.is_none_or(|from| fill.trade_id >= from) && inside(params, ms(fill.ts)))
        .map(|(view, fill)| (fill.trade_id, view.id, my_trade(view, fill, unit)))
        .collect();
    rows.sort();
    let skip = if from.is_some() {
        0
    } else {
        rows.len().saturating_sub(most)
    };
    Ok(list(rows.into_iter().skip(skip).take(most).map(|(_, _, row)| row)))
}
