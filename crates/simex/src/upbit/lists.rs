//! Upbit's lists of orders: open ones, ended ones, those that are named, and taking many back at once.
//!
//! Source: Upbit developer docs v1.6.4, lists and batch cancels of orders (read 2026-11-21). Where two parameters exclude each
//! other the documents name no error; here it is `invalid_parameter`.

use crossbook_engine::instrument::Side;
use crossbook_engine::units::TimestampNs;

use super::error;
use super::order::{self, Trades, parse_uuid, show, uuid};
use super::private::cancel;
use crate::exchange::{OrderFilter, OrderRef, OrderView};
use crate::server::http::{Reply, list, member};
use crate::server::hub::Inner;
use crate::server::text::{Civil, quoted};

type Members<'a> = &'a [(String, String)];

fn invalid(message: &str) -> Reply {
    error::named(400, "invalid_parameter", message)
}

/// Whether a parameter is there, as a list (`states[]`) or as one.
fn has(params: Members<'_>, name: &str) -> bool {
    let many = format!("{name}[]");
    params.iter().any(|(key, _)| *key == many || key == name)
}

/// Refuses two parameters of which only one is allowed.
fn one_of(params: Members<'_>, one: &str, other: &str) -> Result<(), Reply> {
    if has(params, one) && has(params, other) {
        return Err(invalid(&format!("{one} and {other} cannot be used together")));
    }
    Ok(())
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

/// The states that are asked for, of these; none when all are.
fn states<'a>(params: Members<'a>, allowed: [&str; 2]) -> Result<Vec<&'a str>, Reply> {
    one_of(params, "state", "states")?;
    let states = values(params, "states", "state");
    match states.iter().find(|state| !allowed.contains(state)) {
        Some(other) => Err(invalid(&format!("`{other}` is neither of {allowed:?}"))),
        None => Ok(states),
    }
}

/// The order that is asked for: newest first unless told otherwise.
fn sorted<'a>(mut views: Vec<&'a OrderView>, params: Members<'_>) -> Vec<&'a OrderView> {
    views.sort_by_key(|view| view.id);
    if member(params, "order_by") != Some("asc") {
        views.reverse();
    }
    views
}

/// A number of a request, where it is one.
fn number(params: Members<'_>, name: &str, default: usize) -> usize {
    member(params, name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn rows<'a>(views: impl Iterator<Item = &'a OrderView>) -> Reply {
    Reply::ok(list(views.map(|view| show(view, Trades::Counted))))
}

/// `GET /v1/orders/open`: those that wait; there are no reserved orders here, so nothing is ever in `watch`.
///
/// # Errors
/// The answer when parameters do not go together.
pub fn open(inner: &Inner, account: u32, params: Members<'_>) -> Result<Reply, Reply> {
    let states = states(params, ["wait", "watch"])?;
    if !states.is_empty() && !states.contains(&"wait") {
        return Ok(Reply::ok("[]"));
    }
    let limit = number(params, "limit", 100).clamp(1, 100);
    let skip = number(params, "page", 1).saturating_sub(1).saturating_mul(limit);
    let views = inner
        .exchange
        .orders(account, member(params, "market"), OrderFilter::Open);
    Ok(rows(sorted(views, params).into_iter().skip(skip).take(limit)))
}

/// `GET /v1/orders/closed`: those that ended, of seven days at most. It has no pages.
///
/// # Errors
/// The answer when parameters do not go together.
pub fn closed(inner: &Inner, account: u32, params: Members<'_>) -> Result<Reply, Reply> {
    const WEEK_NS: i64 = 7 * 86_400_000_000_000;
    let states = states(params, ["done", "cancel"])?;
    let time = |name: &str| match member(params, name) {
        None => Ok(None),
        Some(text) => parse_time(text)
            .map(Some)
            .ok_or_else(|| invalid(&format!("{name} is not a time"))),
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
        return Err(invalid("The range is longer than 7 days."));
    }
    let mut views = inner
        .exchange
        .orders(account, member(params, "market"), OrderFilter::Closed);
    views.retain(|view| {
        (states.is_empty() || states.contains(&order::state(view.state))) && view.created >= from && view.created <= to
    });
    let limit = number(params, "limit", 100).clamp(1, 1_000);
    let shown = sorted(views, params).into_iter().take(limit).map(|view| {
        // As recorded: here a cancelled order still shows what it had locked.
        let mut view = view.clone();
        view.locked = view.released;
        show(&view, Trades::Counted)
    });
    Ok(Reply::ok(list(shown)))
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

/// `GET /v1/orders/uuids`: those that are named, a hundred at most.
///
/// # Errors
/// The answer when parameters are missing, too many, or do not go together.
pub fn named(inner: &Inner, account: u32, params: Members<'_>) -> Result<Reply, Reply> {
    let views = by_names(inner, account, params, 100)?;
    let market = member(params, "market");
    let wanted = views
        .iter()
        .filter(|view| market.is_none_or(|market| *view.order.symbol == *market));
    Ok(rows(sorted(wanted.collect(), params).into_iter()))
}

/// `DELETE /v1/orders/uuids`: takes back those that are named, twenty at most.
///
/// # Errors
/// The answer when parameters are missing, too many, or do not go together.
pub fn cancel_named(inner: &mut Inner, account: u32, params: Members<'_>) -> Result<Reply, Reply> {
    let views = by_names(inner, account, params, 20)?;
    Ok(batch(inner, account, views))
}

fn by_names(inner: &Inner, account: u32, params: Members<'_>, most: usize) -> Result<Vec<OrderView>, Reply> {
    one_of(params, "uuids", "identifiers")?;
    let (uuids, identifiers) = (
        values(params, "uuids", "uuid"),
        values(params, "identifiers", "identifier"),
    );
    if uuids.is_empty() && identifiers.is_empty() {
        return Err(error::missing());
    }
    if uuids.len() + identifiers.len() > most {
        return Err(invalid(&format!("at most {most} orders")));
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
        let identifier = view.order.client_id.as_deref();
        let identifier = identifier.map_or(String::new(), |id| format!(r#","identifier":{}"#, quoted(id)));
        let row = format!(
            r#"{{"uuid":"{}","market":"{}"{identifier}}}"#,
            uuid(view.id),
            view.order.symbol
        );
        match cancel(inner, account, &view) {
            Ok(_) => done.push(row),
            Err(_) => failed.push(row),
        }
    }
    let part = |rows: Vec<String>| format!(r#"{{"count":{},"orders":{}}}"#, rows.len(), list(rows));
    Reply::ok(format!(r#"{{"success":{},"failed":{}}}"#, part(done), part(failed)))
}

/// `DELETE /v1/orders/open`: takes back those that wait, by market or quote currency, 300 at most.
///
/// # Errors
/// The answer when parameters do not go together.
pub fn cancel_open(inner: &mut Inner, account: u32, params: Members<'_>) -> Result<Reply, Reply> {
    one_of(params, "pairs", "quote_currencies")?;
    let wanted = values(params, "pairs", "pair");
    let excluded = values(params, "excluded_pairs", "excluded_pair");
    let quotes = values(params, "quote_currencies", "quote_currency");
    let side = match member(params, "cancel_side") {
        Some("bid") => Some(Side::Buy),
        Some("ask") => Some(Side::Sell),
        None | Some("all") => None,
        Some(_) => return Err(invalid("cancel_side is none of all, ask, bid")),
    };
    if wanted.len() > 20 || excluded.len() > 20 {
        return Err(invalid("at most 20 pairs"));
    }
    let most = number(params, "count", 20).clamp(1, 300);
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
    Ok(batch(inner, account, views))
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
