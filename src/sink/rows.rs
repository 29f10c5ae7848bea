//! Rows of a run as tables, and back. Names stand in the tables in place of the run's ids, so that each file can be
//! read alone.

use crossbook_engine::instrument::{CurrencyId, InstrumentId, RouteId};
use crossbook_engine::order::{Fill, Order, OrderId, OrderStatus, OrderType};
use crossbook_engine::records::{
    Attribution, EquityPoint, FillRecord, OrderRecord, RiskRecord, RoundTrip, Rows, SpreadPoint,
};
use crossbook_engine::units::{Amount, AmountError, Bps, Price, Qty, TimestampNs};
use serde::de::DeserializeOwned;

use super::run_dir::RunDirError;
use super::table::{Column, Reader, Table};
use crate::report::{RunMeta, from_word, word};

/// All rows as tables, in the order in which they are written; the caller has checked that every id has a name.
pub fn tables(rows: &Rows, meta: &RunMeta) -> [Table; 6] {
    [
        trades(&rows.round_trips, meta),
        orders(&rows.orders, meta),
        fills(&rows.fills, meta),
        equity(&rows.equity),
        spread(&rows.spread, meta),
        risk(&rows.risk, meta),
    ]
}

/// The rows from tables read back by name.
///
/// # Errors
/// [`RunDirError`] when a table cannot be had or holds something that a run does not write.
pub fn from_tables(
    meta: &RunMeta,
    mut read: impl FnMut(&'static str) -> Result<Reader, RunDirError>,
) -> Result<Rows, RunDirError> {
    Ok(Rows {
        round_trips: read_trades(&read("trades")?, meta)?,
        orders: read_orders(&read("orders")?, meta)?,
        fills: read_fills(&read("fills")?, meta)?,
        equity: read_equity(&read("equity")?)?,
        spread: read_spread(&read("spread")?, meta)?,
        risk: read_risk(&read("risk")?, meta)?,
    })
}

/// The first id in the rows that `meta` has no name for, or the first name that stands for two ids.
pub fn nameless(rows: &Rows, meta: &RunMeta) -> Option<String> {
    let routes = rows
        .round_trips
        .iter()
        .map(|row| row.route)
        .chain(rows.orders.iter().map(|row| row.order.route))
        .chain(rows.fills.iter().map(|row| row.route))
        .chain(rows.spread.iter().map(|row| row.route))
        .chain(rows.risk.iter().filter_map(|row| row.route))
        .map(|id| ("route", id.index(), meta.routes.len()));
    let instruments = rows
        .orders
        .iter()
        .map(|row| row.order.instrument)
        .chain(rows.fills.iter().map(|row| row.fill.instrument))
        .map(|id| ("instrument", id.index(), meta.instruments.len()));
    let currencies = rows
        .fills
        .iter()
        .map(|row| ("currency", row.fill.fee_currency.index(), meta.currencies.len()));
    let twice = |names: Vec<&String>| {
        (1..names.len()).find_map(|at| {
            names[..at]
                .contains(&names[at])
                .then(|| format!("two ids are named `{}`", names[at]))
        })
    };
    routes
        .chain(instruments)
        .chain(currencies)
        .find(|&(_, id, known)| id >= known)
        .map(|(what, id, known)| format!("{what} {id} has no name ({known} known)"))
        .or_else(|| twice(meta.routes.iter().collect()))
        .or_else(|| twice(meta.instruments.iter().map(|info| &info.name).collect()))
        .or_else(|| twice(meta.currencies.iter().map(|info| &info.name).collect()))
}

fn ints<T>(rows: &[T], value: impl Fn(&T) -> i64) -> Vec<i64> {
    rows.iter().map(value).collect()
}

fn texts<T>(rows: &[T], text: impl Fn(&T) -> String) -> Column {
    Column::Text(rows.iter().map(text).collect())
}

fn times<T>(rows: &[T], ts: impl Fn(&T) -> TimestampNs) -> Column {
    Column::Int(ints(rows, |row| ts(row).0))
}

fn opt_times<T>(rows: &[T], ts: impl Fn(&T) -> Option<TimestampNs>) -> Column {
    Column::OptInt(rows.iter().map(|row| ts(row).map(|ts| ts.0)).collect())
}

fn units<T>(rows: &[T], raw: impl Fn(&T) -> i64) -> Column {
    Column::Units(ints(rows, raw))
}

fn bps<T>(rows: &[T], value: impl Fn(&T) -> Bps) -> Column {
    Column::Bps(ints(rows, |row| value(row).raw()))
}

fn trades(rows: &[RoundTrip], meta: &RunMeta) -> Table {
    Table {
        name: "trades",
        columns: vec![
            ("route", texts(rows, |row| meta.routes[row.route.index()].clone())),
            ("direction", texts(rows, |row| word(&row.direction))),
            ("reason", texts(rows, |row| word(&row.reason))),
            ("qty", units(rows, |row| row.qty.raw())),
            ("ts_entry_ns", times(rows, |row| row.ts_entry)),
            ("ts_exit_ns", times(rows, |row| row.ts_exit)),
            ("ts_closed_ns", times(rows, |row| row.ts_closed)),
            ("open", bps(rows, |row| row.open)),
            ("close", bps(rows, |row| row.close)),
            ("premium_entry", bps(rows, |row| row.premium.0)),
            ("premium_exit", bps(rows, |row| row.premium.1)),
            ("fair_entry", bps(rows, |row| row.fair.0)),
            ("fair_exit", bps(rows, |row| row.fair.1)),
            ("pnl", units(rows, |row| row.pnl.raw())),
            ("pnl_premium", units(rows, |row| row.attribution.premium.raw())),
            ("pnl_fx", units(rows, |row| row.attribution.fx.raw())),
            ("cost_fees", units(rows, |row| row.attribution.fees.raw())),
            ("cost_slippage", units(rows, |row| row.attribution.slippage.raw())),
            ("cost_legging", units(rows, |row| row.attribution.legging.raw())),
        ],
    }
}

fn read_trades(table: &Reader, meta: &RunMeta) -> Result<Vec<RoundTrip>, RunDirError> {
    let routes = ids(table, "route", &meta.routes.iter().collect::<Vec<_>>())?;
    let directions = words(table, "direction")?;
    let reasons = words(table, "reason")?;
    let qty = table.ints("qty_e8")?;
    let [ts_entry, ts_exit, ts_closed] = three(table, ["ts_entry_ns", "ts_exit_ns", "ts_closed_ns"])?;
    let [open, close, premium_entry] = three(table, ["open_bps_e4", "close_bps_e4", "premium_entry_bps_e4"])?;
    let [premium_exit, fair_entry, fair_exit] =
        three(table, ["premium_exit_bps_e4", "fair_entry_bps_e4", "fair_exit_bps_e4"])?;
    let [pnl, premium, fx] = three(table, ["pnl_e8", "pnl_premium_e8", "pnl_fx_e8"])?;
    let [fees, slippage, legging] = three(table, ["cost_fees_e8", "cost_slippage_e8", "cost_legging_e8"])?;
    let amount = |raw| checked(table, Amount::from_raw(raw));
    (0..table.height())
        .map(|at| {
            Ok(RoundTrip {
                route: RouteId(routes[at]),
                direction: directions[at],
                reason: reasons[at],
                qty: checked(table, Qty::from_raw(qty[at]))?,
                ts_entry: TimestampNs(ts_entry[at]),
                ts_exit: TimestampNs(ts_exit[at]),
                ts_closed: TimestampNs(ts_closed[at]),
                open: Bps::from_raw(open[at]),
                close: Bps::from_raw(close[at]),
                premium: (Bps::from_raw(premium_entry[at]), Bps::from_raw(premium_exit[at])),
                fair: (Bps::from_raw(fair_entry[at]), Bps::from_raw(fair_exit[at])),
                pnl: amount(pnl[at])?,
                attribution: Attribution {
                    premium: amount(premium[at])?,
                    fx: amount(fx[at])?,
                    fees: amount(fees[at])?,
                    slippage: amount(slippage[at])?,
                    legging: amount(legging[at])?,
                },
            })
        })
        .collect()
}

fn orders(rows: &[OrderRecord], meta: &RunMeta) -> Table {
    let kind = |row: &OrderRecord| match row.order.order_type {
        OrderType::Market => "market",
        OrderType::Limit(_) => "limit",
        OrderType::PostOnly(_) => "post_only",
    };
    let price = |row: &OrderRecord| match row.order.order_type {
        OrderType::Market => None,
        OrderType::Limit(price) | OrderType::PostOnly(price) => Some(price.raw()),
    };
    let reject = |row: &OrderRecord| match row.status {
        OrderStatus::Rejected(reject) => Some(word(&reject)),
        _ => None,
    };
    let status = |row: &OrderRecord| match row.status {
        OrderStatus::Rejected(_) => "rejected".to_string(),
        status => word(&status),
    };
    Table {
        name: "orders",
        columns: vec![
            ("order_id", Column::Int(ints(rows, |row| row.order.id.0 as i64))),
            ("route", texts(rows, |row| meta.routes[row.order.route.index()].clone())),
            ("leg", texts(rows, |row| word(&row.order.leg))),
            ("role", texts(rows, |row| word(&row.order.role))),
            (
                "instrument",
                texts(rows, |row| meta.instruments[row.order.instrument.index()].name.clone()),
            ),
            ("side", texts(rows, |row| word(&row.order.side))),
            ("type", texts(rows, |row| kind(row).to_string())),
            ("qty", units(rows, |row| row.order.qty.raw())),
            ("limit_price", Column::OptUnits(rows.iter().map(price).collect())),
            ("mid", units(rows, |row| row.order.mid.raw())),
            ("status", texts(rows, status)),
            ("reject", Column::OptText(rows.iter().map(reject).collect())),
            ("filled", units(rows, |row| row.filled.raw())),
            ("ts_sent_ns", times(rows, |row| row.order.ts_sent)),
            ("ts_venue_ns", opt_times(rows, |row| row.ts_venue)),
            ("ts_report_ns", opt_times(rows, |row| row.ts_report)),
        ],
    }
}

fn read_orders(table: &Reader, meta: &RunMeta) -> Result<Vec<OrderRecord>, RunDirError> {
    let id = table.ints("order_id")?;
    let routes = ids(table, "route", &meta.routes.iter().collect::<Vec<_>>())?;
    let (legs, roles, sides) = (words(table, "leg")?, words(table, "role")?, words(table, "side")?);
    let instruments = ids(table, "instrument", &instrument_names(meta))?;
    let (types, prices) = (table.texts("type")?, table.opt_ints("limit_price_e8")?);
    let (statuses, rejects) = (table.texts("status")?, table.opt_texts("reject")?);
    let [qty, mid, filled] = three(table, ["qty_e8", "mid_e8", "filled_e8"])?;
    let ts_sent = table.ints("ts_sent_ns")?;
    let (ts_venue, ts_report) = (table.opt_ints("ts_venue_ns")?, table.opt_ints("ts_report_ns")?);
    (0..table.height())
        .map(|at| {
            let price = prices[at].map(|raw| checked(table, Price::from_raw(raw))).transpose()?;
            let order_type = match (types[at].as_str(), price) {
                ("market", None) => OrderType::Market,
                ("limit", Some(price)) => OrderType::Limit(price),
                ("post_only", Some(price)) => OrderType::PostOnly(price),
                (other, _) => return Err(table.bad(format!("row {at}: order type `{other}` with price {price:?}"))),
            };
            let status = match (statuses[at].as_str(), rejects[at].as_deref()) {
                ("rejected", Some(reject)) => from_word(reject).map(OrderStatus::Rejected),
                (status, None) => from_word(status),
                _ => None,
            };
            Ok(OrderRecord {
                order: Order {
                    id: OrderId(id[at] as u64),
                    route: RouteId(routes[at]),
                    leg: legs[at],
                    role: roles[at],
                    instrument: InstrumentId(instruments[at]),
                    side: sides[at],
                    qty: checked(table, Qty::from_raw(qty[at]))?,
                    order_type,
                    ts_sent: TimestampNs(ts_sent[at]),
                    mid: checked(table, Price::from_raw(mid[at]))?,
                },
                status: status.ok_or_else(|| table.bad(format!("row {at}: unknown status `{}`", statuses[at])))?,
                filled: checked(table, Qty::from_raw(filled[at]))?,
                ts_venue: ts_venue[at].map(TimestampNs),
                ts_report: ts_report[at].map(TimestampNs),
            })
        })
        .collect()
}

fn fills(rows: &[FillRecord], meta: &RunMeta) -> Table {
    let quote = |row: &FillRecord| meta.instruments[row.fill.instrument.index()].quote;
    let currency = |id: CurrencyId| meta.currencies.get(id.index()).map(|info| info.name.clone());
    Table {
        name: "fills",
        columns: vec![
            ("order_id", Column::Int(ints(rows, |row| row.fill.order.0 as i64))),
            ("route", texts(rows, |row| meta.routes[row.route.index()].clone())),
            ("leg", texts(rows, |row| word(&row.leg))),
            (
                "instrument",
                texts(rows, |row| meta.instruments[row.fill.instrument.index()].name.clone()),
            ),
            ("side", texts(rows, |row| word(&row.fill.side))),
            ("price", units(rows, |row| row.fill.price.raw())),
            ("qty", units(rows, |row| row.fill.qty.raw())),
            ("notional", units(rows, |row| row.fill.notional.raw())),
            (
                "quote_currency",
                Column::OptText(rows.iter().map(|row| currency(quote(row))).collect()),
            ),
            ("fee", units(rows, |row| row.fill.fee.raw())),
            (
                "fee_currency",
                Column::OptText(rows.iter().map(|row| currency(row.fill.fee_currency)).collect()),
            ),
            ("liquidity", texts(rows, |row| word(&row.fill.liquidity))),
            ("slippage", units(rows, |row| row.slippage.raw())),
            ("ts_venue_ns", times(rows, |row| row.fill.ts_venue)),
            ("ts_report_ns", times(rows, |row| row.ts_report)),
        ],
    }
}

fn read_fills(table: &Reader, meta: &RunMeta) -> Result<Vec<FillRecord>, RunDirError> {
    let routes = ids(table, "route", &meta.routes.iter().collect::<Vec<_>>())?;
    let instruments = ids(table, "instrument", &instrument_names(meta))?;
    let currencies = ids(
        table,
        "fee_currency",
        &meta.currencies.iter().map(|info| &info.name).collect::<Vec<_>>(),
    )?;
    let (legs, sides, liquidity) = (words(table, "leg")?, words(table, "side")?, words(table, "liquidity")?);
    let [order, ts_venue, ts_report] = three(table, ["order_id", "ts_venue_ns", "ts_report_ns"])?;
    let [price, qty, notional] = three(table, ["price_e8", "qty_e8", "notional_e8"])?;
    let (fee, slippage) = (table.ints("fee_e8")?, table.ints("slippage_e8")?);
    let amount = |raw| checked(table, Amount::from_raw(raw));
    (0..table.height())
        .map(|at| {
            Ok(FillRecord {
                fill: Fill {
                    order: OrderId(order[at] as u64),
                    instrument: InstrumentId(instruments[at]),
                    side: sides[at],
                    price: checked(table, Price::from_raw(price[at]))?,
                    qty: checked(table, Qty::from_raw(qty[at]))?,
                    notional: amount(notional[at])?,
                    fee: amount(fee[at])?,
                    fee_currency: CurrencyId(currencies[at]),
                    liquidity: liquidity[at],
                    ts_venue: TimestampNs(ts_venue[at]),
                },
                route: RouteId(routes[at]),
                leg: legs[at],
                slippage: amount(slippage[at])?,
                ts_report: TimestampNs(ts_report[at]),
            })
        })
        .collect()
}

fn equity(rows: &[EquityPoint]) -> Table {
    Table {
        name: "equity",
        columns: vec![
            ("ts_ns", times(rows, |row| row.ts)),
            ("equity", units(rows, |row| row.equity.raw())),
            ("hold", units(rows, |row| row.hold.raw())),
        ],
    }
}

fn read_equity(table: &Reader) -> Result<Vec<EquityPoint>, RunDirError> {
    let [ts, equity, hold] = three(table, ["ts_ns", "equity_e8", "hold_e8"])?;
    (0..table.height())
        .map(|at| {
            Ok(EquityPoint {
                ts: TimestampNs(ts[at]),
                equity: checked(table, Amount::from_raw(equity[at]))?,
                hold: checked(table, Amount::from_raw(hold[at]))?,
            })
        })
        .collect()
}

fn spread(rows: &[SpreadPoint], meta: &RunMeta) -> Table {
    Table {
        name: "spread",
        columns: vec![
            ("ts_ns", times(rows, |row| row.ts)),
            ("route", texts(rows, |row| meta.routes[row.route.index()].clone())),
            ("premium", bps(rows, |row| row.premium)),
            ("fair", bps(rows, |row| row.fair)),
        ],
    }
}

fn read_spread(table: &Reader, meta: &RunMeta) -> Result<Vec<SpreadPoint>, RunDirError> {
    let routes = ids(table, "route", &meta.routes.iter().collect::<Vec<_>>())?;
    let [ts, premium, fair] = three(table, ["ts_ns", "premium_bps_e4", "fair_bps_e4"])?;
    Ok((0..table.height())
        .map(|at| SpreadPoint {
            ts: TimestampNs(ts[at]),
            route: RouteId(routes[at]),
            premium: Bps::from_raw(premium[at]),
            fair: Bps::from_raw(fair[at]),
        })
        .collect())
}

fn risk(rows: &[RiskRecord], meta: &RunMeta) -> Table {
    let route = |row: &RiskRecord| row.route.map(|route| meta.routes[route.index()].clone());
    Table {
        name: "risk",
        columns: vec![
            ("ts_ns", times(rows, |row| row.ts)),
            ("route", Column::OptText(rows.iter().map(route).collect())),
            ("verdict", texts(rows, |row| word(&row.verdict))),
            ("reason", texts(rows, |row| word(&row.reason))),
        ],
    }
}

fn read_risk(table: &Reader, meta: &RunMeta) -> Result<Vec<RiskRecord>, RunDirError> {
    let (ts, routes) = (table.ints("ts_ns")?, table.opt_texts("route")?);
    let (verdicts, reasons) = (words(table, "verdict")?, words(table, "reason")?);
    let names: Vec<&String> = meta.routes.iter().collect();
    (0..table.height())
        .map(|at| {
            let route = routes[at]
                .as_ref()
                .map(|name| id(table, "route", &names, name))
                .transpose()?;
            Ok(RiskRecord {
                ts: TimestampNs(ts[at]),
                route: route.map(RouteId),
                verdict: verdicts[at],
                reason: reasons[at],
            })
        })
        .collect()
}

fn instrument_names(meta: &RunMeta) -> Vec<&String> {
    meta.instruments.iter().map(|info| &info.name).collect()
}

fn three(table: &Reader, names: [&str; 3]) -> Result<[Vec<i64>; 3], RunDirError> {
    Ok([table.ints(names[0])?, table.ints(names[1])?, table.ints(names[2])?])
}

fn words<T: DeserializeOwned + Copy>(table: &Reader, name: &str) -> Result<Vec<T>, RunDirError> {
    table
        .texts(name)?
        .iter()
        .map(|text| from_word(text).ok_or_else(|| table.bad(format!("column `{name}`: unknown word `{text}`"))))
        .collect()
}

fn ids(table: &Reader, column: &str, names: &[&String]) -> Result<Vec<u16>, RunDirError> {
    table
        .texts(column)?
        .iter()
        .map(|name| id(table, column, names, name))
        .collect()
}

fn id(table: &Reader, column: &str, names: &[&String], name: &str) -> Result<u16, RunDirError> {
    names
        .iter()
        .position(|known| *known == name)
        .and_then(|at| u16::try_from(at).ok())
        .ok_or_else(|| table.bad(format!("column `{column}`: `{name}` is not in manifest.json")))
}

fn checked<T>(table: &Reader, value: Result<T, AmountError>) -> Result<T, RunDirError> {
    value.map_err(|error| table.bad(error.to_string()))
}
