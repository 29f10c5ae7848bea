//! How Upbit's orders are shown, over REST and on the private stream. What a request asks for is in `request.rs`.
//!
//! Source: Upbit developer docs v1.6.4, order pages and recorded answers (read 2026-11-21).

use crossbook_engine::instrument::Side;
use crossbook_engine::units::{Amount, Qty, Rounding, SCALE, TimestampNs, notional};

use super::wire::{Format, Object};
use crate::exchange::{Balance, Fill, MarketInfo, NewOrder, OrderKind, OrderState, OrderView, SelfMatch, TimeInForce};
use crate::server::text::{Plain, Streamed, iso_kst, ms};

/// Upbit's name of an order: here its number, in the last group of a fixed UUID.
pub fn uuid(id: u64) -> String {
    format!("9ca023a5-851b-4fec-9f0a-{id:012x}")
}

/// The number in a name that [`uuid`] made.
pub fn parse_uuid(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("9ca023a5-851b-4fec-9f0a-")?;
    u64::from_str_radix(digits, 16).ok()
}

/// Upbit's name of a fill.
fn trade_uuid(order: u64, fill: &Fill) -> String {
    format!("6d7f3c1e-{:08x}-4a0b-{:012x}", order & 0xffff_ffff, fill.trade_id)
        .chars()
        .enumerate()
        // 8-4-4-4-12: the order's number fills the second and third group.
        .flat_map(|(at, c)| if at == 13 { vec!['-', c] } else { vec![c] })
        .collect()
}

/// `bid` or `ask`.
pub const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "bid",
        Side::Sell => "ask",
    }
}

/// `ord_type` of an order.
pub fn ord_type(order: &NewOrder) -> &'static str {
    let taking = matches!(order.tif, TimeInForce::Ioc | TimeInForce::Fok);
    match order.kind {
        OrderKind::Limit { .. } => "limit",
        _ if taking => "best",
        OrderKind::MarketFunds { .. } => "price",
        OrderKind::MarketQty { .. } => "market",
    }
}

const fn time_in_force(tif: TimeInForce) -> Option<&'static str> {
    match tif {
        TimeInForce::Gtc => None,
        TimeInForce::Ioc => Some("ioc"),
        TimeInForce::Fok => Some("fok"),
        TimeInForce::PostOnly => Some("post_only"),
    }
}

const fn smp_type(mode: SelfMatch) -> &'static str {
    match mode {
        SelfMatch::Allow | SelfMatch::CancelBoth => "none",
        SelfMatch::CancelMaker => "cancel_maker",
        SelfMatch::CancelTaker => "cancel_taker",
        SelfMatch::Reduce => "reduce",
    }
}

/// `state` of an order. A market buy by funds that leaves a rest ends as `cancel`, however much it filled.
pub const fn state(state: OrderState) -> &'static str {
    match state {
        OrderState::Open => "wait",
        OrderState::Filled => "done",
        OrderState::Cancelled | OrderState::Expired | OrderState::Prevented | OrderState::OutOfRange => "cancel",
    }
}

/// What an order was for, and what is left of it: price, volume, rest.
fn sizes(view: &OrderView) -> (Option<i64>, Option<i64>, Option<i64>) {
    let left = |qty: Qty| qty.raw() - view.executed.raw() - view.prevented.raw();
    match view.order.kind {
        OrderKind::Limit { price, qty } => (Some(price.raw()), Some(qty.raw()), Some(left(qty))),
        OrderKind::MarketQty { qty } => (None, Some(qty.raw()), Some(left(qty))),
        OrderKind::MarketFunds { funds } => (Some(funds.raw()), None, None),
    }
}

/// What the account got back because the order met one of its own: quote of a buy, base of a sell.
fn prevented_locked(view: &OrderView) -> i64 {
    match (view.order.side, view.order.kind) {
        (Side::Sell, _) => view.prevented.raw(),
        (Side::Buy, OrderKind::Limit { price, .. }) => {
            notional(price, view.prevented, Rounding::Down).map_or(0, |funds| funds.raw())
        }
        (Side::Buy, _) => 0,
    }
}

/// Fee reserved from the start; what is left of it is reserved still.
fn reserved(view: &OrderView) -> i64 {
    match view.order.side {
        Side::Buy => view.reserved_fee.raw().saturating_add(view.fee.raw()),
        Side::Sell => 0,
    }
}

/// A JSON text of a number, or none.
fn text(object: &mut Object, key: &str, raw: Option<i64>) {
    if let Some(raw) = raw {
        object.text(key, &Plain(raw).to_string());
    }
}

/// Whether the fills of an order are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trades {
    /// They are: a query for one order.
    Shown,
    /// Only their number.
    Counted,
}

/// An order, as REST shows it.
pub fn show(view: &OrderView, trades: Trades) -> String {
    let (price, volume, left) = sizes(view);
    let mut object = Object::new();
    object
        .text("uuid", &uuid(view.id))
        .text("side", side(view.order.side))
        .text("ord_type", ord_type(&view.order));
    text(&mut object, "price", price);
    object
        .text("state", state(view.state))
        .text("market", &view.order.symbol)
        .text("created_at", &iso_kst(view.created));
    text(&mut object, "volume", volume);
    text(&mut object, "remaining_volume", left);
    text(&mut object, "executed_volume", Some(view.executed.raw()));
    text(&mut object, "reserved_fee", Some(reserved(view)));
    let remaining = if view.order.side == Side::Buy {
        view.reserved_fee.raw()
    } else {
        0
    };
    text(&mut object, "remaining_fee", Some(remaining));
    text(&mut object, "paid_fee", Some(view.fee.raw()));
    text(&mut object, "locked", Some(view.locked.raw()));
    text(&mut object, "executed_funds", Some(view.executed_funds.raw()));
    text(&mut object, "prevented_volume", Some(view.prevented.raw()));
    text(&mut object, "prevented_locked", Some(prevented_locked(view)));
    object.raw("trades_count", view.fills.len());
    if let Some(name) = time_in_force(view.order.tif) {
        object.text("time_in_force", name);
    }
    if let Some(id) = &view.order.client_id {
        object.text("identifier", id);
    }
    object.text("smp_type", smp_type(view.order.self_match));
    if trades == Trades::Shown {
        let list: Vec<String> = view.fills.iter().map(|fill| show_fill(view, fill)).collect();
        object.raw("trades", format!("[{}]", list.join(",")));
    }
    object.end()
}

fn show_fill(view: &OrderView, fill: &Fill) -> String {
    let mut object = Object::new();
    object
        .text("market", &view.order.symbol)
        .text("uuid", &trade_uuid(view.id, fill))
        .text("price", &Plain(fill.price.raw()).to_string())
        .text("volume", &Plain(fill.qty.raw()).to_string())
        .text("funds", &Plain(fill.funds.raw()).to_string())
        .text("side", side(view.order.side))
        .text("trend", if view.order.side == Side::Buy { "up" } else { "down" })
        .text("created_at", &iso_kst(fill.ts));
    object.end()
}

/// A balance, as REST shows it.
pub fn show_balance(balance: &Balance) -> String {
    let mut object = Object::new();
    object
        .text("currency", &balance.currency)
        .text("balance", &Plain(balance.free.raw()).to_string())
        .text("locked", &Plain(balance.locked.raw()).to_string())
        .text("avg_buy_price", &Plain(balance.avg_buy_price.raw()).to_string())
        .raw("avg_buy_price_modified", false)
        .text("unit_currency", "KRW");
    object.end()
}

/// What an account may do in a market, and what it has for it.
pub fn show_chance(info: &MarketInfo, balances: &[Balance]) -> String {
    let account = |currency: &str| {
        let none = Balance {
            currency: currency.into(),
            free: Amount::ZERO,
            locked: Amount::ZERO,
            avg_buy_price: Amount::ZERO,
        };
        show_balance(
            balances
                .iter()
                .find(|balance| *balance.currency == *currency)
                .unwrap_or(&none),
        )
    };
    let fee = |share: crossbook_engine::units::Bps| Plain(share.raw()).to_string();
    let (taker, maker) = (fee(info.taker_fee), fee(info.maker_fee));
    let min_total = Plain(info.min_total.raw()).to_string();
    let half = |currency: &str| {
        let mut half = Object::new();
        half.text("currency", currency).text("min_total", &min_total);
        half.end()
    };
    let mut market = Object::new();
    market
        .text("id", &info.symbol)
        .text("name", &format!("{}/{}", info.base, info.quote))
        .raw("order_types", r#"["limit"]"#)
        .raw("order_sides", r#"["ask","bid"]"#)
        .raw(
            "bid_types",
            r#"["best_fok","best_ioc","limit","limit_fok","limit_ioc","limit_post_only","price"]"#,
        )
        .raw(
            "ask_types",
            r#"["best_fok","best_ioc","limit","limit_fok","limit_ioc","limit_post_only","market"]"#,
        )
        .raw("bid", half(&info.quote))
        .raw("ask", half(&info.base))
        .text("max_total", &Plain(info.max_total.raw()).to_string())
        .text("state", "active");
    let mut object = Object::new();
    object
        .text("bid_fee", &taker)
        .text("ask_fee", &taker)
        .text("maker_bid_fee", &maker)
        .text("maker_ask_fee", &maker)
        .raw("market", market.end())
        .raw("bid_account", account(&info.quote))
        .raw("ask_account", account(&info.base));
    object.end()
}

/// What a `myOrder` message is about.
#[derive(Debug, Clone, Copy)]
pub enum News<'a> {
    /// The order's state.
    State(&'static str),
    /// A fill of it.
    Fill(&'a Fill),
}

/// A `myOrder` message.
pub fn my_order(view: &OrderView, news: News<'_>, sent: TimestampNs, format: Format) -> String {
    let key = |long, short| format.key(long, short);
    let (price, volume, left) = sizes(view);
    let number = |raw: Option<i64>| raw.map_or("null".to_owned(), |raw| Streamed(raw).to_string());
    let average = (!view.executed.is_zero()).then(|| {
        let wide = i128::from(view.executed_funds.raw()) * i128::from(SCALE) / i128::from(view.executed.raw());
        i64::try_from(wide).unwrap_or(i64::MAX)
    });
    let (state, price, volume, fill) = match news {
        News::State(state) => (state, price, volume, None),
        News::Fill(fill) => ("trade", Some(fill.price.raw()), Some(fill.qty.raw()), Some(fill)),
    };
    let quoted_or_null =
        |text: Option<String>| text.map_or("null".to_owned(), |text| crate::server::text::quoted(&text));
    let side = match view.order.side {
        Side::Buy => "BID",
        Side::Sell => "ASK",
    };
    let remaining = if view.order.side == Side::Buy {
        view.reserved_fee.raw()
    } else {
        0
    };
    let mut object = Object::new();
    object
        .text(key("type", "ty"), "myOrder")
        .text(key("code", "cd"), &view.order.symbol)
        .text(key("uuid", "uid"), &uuid(view.id))
        .text(key("ask_bid", "ab"), side)
        .text(key("order_type", "ot"), ord_type(&view.order))
        .text(key("state", "s"), state)
        .raw(
            key("trade_uuid", "tuid"),
            quoted_or_null(fill.map(|fill| trade_uuid(view.id, fill))),
        )
        .raw(key("price", "p"), number(price))
        .raw(key("avg_price", "ap"), number(Some(average.unwrap_or(0))))
        .raw(key("volume", "v"), number(volume))
        .raw(key("remaining_volume", "rv"), number(left))
        .raw(key("executed_volume", "ev"), number(Some(view.executed.raw())))
        .raw(key("trades_count", "tc"), view.fills.len())
        .raw(key("reserved_fee", "rsf"), number(Some(reserved(view))))
        .raw(key("remaining_fee", "rmf"), number(Some(remaining)))
        .raw(key("paid_fee", "pf"), number(Some(view.fee.raw())))
        .raw(key("locked", "l"), number(Some(view.locked.raw())))
        .raw(key("executed_funds", "ef"), number(Some(view.executed_funds.raw())))
        .raw(
            key("time_in_force", "tif"),
            quoted_or_null(time_in_force(view.order.tif).map(str::to_owned)),
        )
        .raw(key("trade_fee", "tf"), number(fill.map(|fill| fill.fee.raw())))
        .raw(
            key("is_maker", "im"),
            fill.map_or("null".to_owned(), |fill| fill.maker.to_string()),
        )
        .raw(key("identifier", "id"), quoted_or_null(view.order.client_id.clone()))
        .text(key("smp_type", "smpt"), smp_type(view.order.self_match))
        .raw(key("prevented_volume", "pv"), number(Some(view.prevented.raw())))
        .raw(key("prevented_locked", "pl"), number(Some(prevented_locked(view))))
        .raw(
            key("trade_timestamp", "ttms"),
            fill.map_or("null".to_owned(), |fill| ms(fill.ts).to_string()),
        )
        .raw(key("order_timestamp", "otms"), ms(view.created))
        .raw(key("timestamp", "tms"), ms(sent.max(view.updated)))
        .text(key("stream_type", "st"), "REALTIME");
    format.wrap(object.end())
}

/// A `myAsset` message.
pub fn my_asset(number: u64, balances: &[Balance], changed: TimestampNs, sent: TimestampNs, format: Format) -> String {
    let key = |long, short| format.key(long, short);
    let assets: Vec<String> = balances
        .iter()
        .map(|balance| {
            let mut asset = Object::new();
            asset
                .text(key("currency", "cu"), &balance.currency)
                .raw(key("balance", "b"), Streamed(balance.free.raw()))
                .raw(key("locked", "l"), Streamed(balance.locked.raw()));
            asset.end()
        })
        .collect();
    let mut object = Object::new();
    object
        .text(key("type", "ty"), "myAsset")
        .text(
            key("asset_uuid", "astuid"),
            &format!("e635f223-1609-4969-8fb6-{number:012x}"),
        )
        .raw(key("assets", "ast"), format!("[{}]", assets.join(",")))
        .raw(key("asset_timestamp", "asttms"), ms(changed))
        .raw(key("timestamp", "tms"), ms(sent.max(changed)))
        .text(key("stream_type", "st"), "REALTIME");
    format.wrap(object.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbook_engine::units::Price;

    #[test]
    fn names_of_orders_and_fills_are_uuids() {
        assert_eq!(parse_uuid(&uuid(77)), Some(77));
        assert_eq!(parse_uuid("cdd92199-2897-4e14-9448-f923320408ad"), None);
        let fill = Fill {
            trade_id: 5,
            ts: TimestampNs(0),
            price: Price::ONE_STEP,
            qty: Qty::ZERO,
            funds: Amount::ZERO,
            fee: Amount::ZERO,
            fee_currency: "KRW".into(),
            maker: false,
        };
        let groups: Vec<usize> = trade_uuid(0x1234_5678, &fill).split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
    }

    #[test]
    fn what_an_order_lost_to_its_own_account_is_told_in_what_it_had_locked() {
        let limit = OrderKind::Limit {
            price: Price::parse("100000000").unwrap(),
            qty: Qty::parse("0.5").unwrap(),
        };
        let funds = OrderKind::MarketFunds {
            funds: Amount::parse("5000").unwrap(),
        };
        for (side, kind, want) in [
            (Side::Sell, limit, "0.2"),
            (Side::Buy, limit, "20000000"),
            (Side::Buy, funds, "0"),
        ] {
            let view = OrderView {
                id: 1,
                account: 0,
                order: NewOrder {
                    symbol: "KRW-BTC".into(),
                    side,
                    kind,
                    tif: TimeInForce::Gtc,
                    client_id: None,
                    self_match: SelfMatch::Reduce,
                    stop: None,
                },
                state: OrderState::Prevented,
                executed: Qty::ZERO,
                executed_funds: Amount::ZERO,
                prevented: Qty::parse("0.2").unwrap(),
                fee: Amount::ZERO,
                fee_currency: "KRW".into(),
                reserved_fee: Amount::ZERO,
                locked: Amount::ZERO,
                locked_currency: "KRW".into(),
                released: Amount::ZERO,
                created: TimestampNs(0),
                updated: TimestampNs(0),
                working: None,
                fills: Vec::new(),
                amends: Vec::new(),
            };
            let shown: serde_json::Value = serde_json::from_str(&show(&view, Trades::Counted)).unwrap();
            assert_eq!(
                (&shown["prevented_locked"], &shown["prevented_volume"]),
                (&want.into(), &"0.2".into()),
                "{side:?}"
            );
        }
    }
}
