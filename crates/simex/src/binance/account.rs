//! What a Binance account has, and what trading costs it.
//!
//! Source: binance-spot-api-docs a5e0bc3, account endpoints (read 2026-11-21).

use crossbook_engine::units::Bps;

use super::order;
use super::wire::TimeUnit;
use crate::exchange::{MarketInfo, Venue};
use crate::server::http::{list, member};
use crate::server::hub::Inner;
use crate::server::text::quoted;

type Members<'a> = &'a [(String, String)];

/// The answer of `account`: balances and what the account may do.
pub fn balances(inner: &Inner, account: u32, params: Members<'_>, unit: TimeUnit) -> String {
    let omit = member(params, "omitZeroBalances") == Some("true");
    let rows = inner
        .exchange
        .balances(account)
        .into_iter()
        .filter(|balance| !omit || balance.free.raw() != 0 || balance.locked.raw() != 0)
        .map(|balance| {
            format!(
                r#"{{"asset":{},"free":"{}","locked":"{}"}}"#,
                quoted(&balance.currency),
                balance.free,
                balance.locked
            )
        });
    let rows = list(rows);
    let first = inner.exchange.markets(Venue::Binance).first();
    let share = |fee: Option<Bps>| fee.map_or(0, |fee| fee.raw());
    let (maker, taker) = (
        share(first.map(|info| info.maker_fee)),
        share(first.map(|info| info.taker_fee)),
    );
    format!(
        r#"{{"makerCommission":{},"takerCommission":{},"buyerCommission":0,"sellerCommission":0,"commissionRates":{{"maker":"{}","taker":"{}","buyer":"0.00000000","seller":"0.00000000"}},"canTrade":true,"canWithdraw":false,"canDeposit":false,"brokered":false,"requireSelfTradePrevention":false,"preventSor":false,"updateTime":{},"accountType":"SPOT","balances":{rows},"permissions":["SPOT"],"uid":{account}}}"#,
        maker / 10_000,
        taker / 10_000,
        order::rate(maker),
        order::rate(taker),
        unit.of(inner.exchange.clock()),
    )
}

/// The answer of `account/commission`.
pub fn commission(info: &MarketInfo) -> String {
    let rates = |maker: i64, taker: i64| {
        format!(
            r#"{{"maker":"{}","taker":"{}","buyer":"0.00000000","seller":"0.00000000"}}"#,
            order::rate(maker),
            order::rate(taker)
        )
    };
    format!(
        r#"{{"symbol":{},"standardCommission":{},"specialCommission":{zero},"taxCommission":{zero},"discount":{{"enabledForAccount":true,"enabledForSymbol":true,"discountAsset":"BNB","discount":"0.75000000"}}}}"#,
        quoted(&info.symbol),
        rates(info.maker_fee.raw(), info.taker_fee.raw()),
        zero = rates(0, 0),
    )
}
