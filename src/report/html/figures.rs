//! Every figure of a run as a person reads it: label, value, formula.

use crate::report::meta::Run;
use crate::report::money::{Money, trimmed};
use crate::report::plots::{number, utc};
use crate::report::statistics::Drawdown;

/// One figure.
pub struct Figure {
    /// What it is.
    pub label: &'static str,
    /// Its value with its unit; a dash when it is not defined.
    pub value: String,
    /// How it is made.
    pub formula: &'static str,
    /// Whether it is good news, bad news, or neither.
    pub mood: Mood,
}

/// The colour of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Neither.
    Plain,
    /// Earned.
    Good,
    /// Lost.
    Bad,
}

/// A heading with its figures.
pub type Group = (&'static str, Vec<Figure>);

/// How many figures [`groups`] puts first for a summary.
pub const HEADLINES: usize = 6;

/// The figures that come first, then all by topic.
pub fn groups(run: &Run) -> (Vec<Figure>, Vec<Group>) {
    let s = &run.statistics;
    let currency = &run.meta.base_currency;
    let money = |value: Money| format!("{} {currency}", amount(value.to_f64()));
    let opt_money = |value: Option<f64>| value.map_or(dash(), |value| format!("{} {currency}", amount(value)));
    let plain = |label, value, formula| Figure {
        label,
        value,
        formula,
        mood: Mood::Plain,
    };
    let signed = |label, value: Money, formula| Figure {
        label,
        value: money(value),
        formula,
        mood: mood(value.to_f64()),
    };
    let sharpe = match (s.sharpe, s.sharpe_error) {
        (Some(sharpe), Some(error)) => format!("{} ± {}", number(sharpe, 2), number(error, 2)),
        _ => dash(),
    };
    let fall = |fall: Option<Drawdown>| {
        fall.map_or(dash(), |fall| {
            format!("{} ({})", money(fall.amount), percent(fall.share, 3))
        })
    };
    let span = |fall: Option<Drawdown>| {
        fall.and_then(|fall| fall.span).map_or(dash(), |span| {
            let until = span.recovered_ts_ns.map_or("not made good".to_string(), utc);
            format!("{} → {} → {until}", utc(span.peak_ts_ns), utc(span.trough_ts_ns))
        })
    };
    let pnl_vs_hold = || {
        let formula = "change of equity less the change in value of the opening inventory";
        signed("against holding", s.pnl_vs_hold, formula)
    };
    let sharpe_figure = || {
        let formula = "mean over standard deviation of the returns against holding, times the root of the steps in a \
                       year of 365 days; ± its standard error (Lo 2002)";
        plain("Sharpe ratio", sharpe.clone(), formula)
    };
    let fall_figure = || {
        plain(
            "deepest drawdown",
            fall(s.drawdown),
            "largest fall of the result against holding below its highest so far",
        )
    };
    let fees = || {
        let formula = "fees of all fills, at the run's last rates";
        plain(
            "fees",
            s.fees.map_or("no rate for one currency".to_string(), money),
            formula,
        )
    };
    let trips = || plain("round trips", s.round_trips.to_string(), "entries whose exit has ended");
    let won = || {
        plain(
            "won",
            percent(s.win_rate, 1),
            "share of the round trips with a result above zero after fees",
        )
    };
    let headlines = vec![pnl_vs_hold(), sharpe_figure(), fall_figure(), trips(), won(), fees()];
    let result = vec![
        pnl_vs_hold(),
        signed("PnL", s.pnl, "change of equity, market drift of the inventory included"),
        plain(
            "return against holding",
            percent(s.return_vs_hold, 4),
            "result against holding over opening equity",
        ),
        plain("return", percent(s.return_ratio, 4), "PnL over opening equity"),
        plain(
            "opening equity",
            money(s.equity_start),
            "everything held, at mid and exchange rate, at the first sample",
        ),
        plain("closing equity", money(s.equity_end), "the same at the last sample"),
        plain("length", duration(s.span_s), "last event less first event"),
    ];
    let risk = vec![
        sharpe_figure(),
        plain(
            "Sortino ratio",
            ratio(s.sortino),
            "mean over the root mean square of the losing steps, annualised like Sharpe",
        ),
        plain(
            "Calmar ratio",
            ratio(s.calmar),
            "yearly return against holding (not compounded) over the deepest drawdown's share",
        ),
        plain(
            "returns used",
            s.grid_s.map_or("too short a run".to_string(), |step| {
                format!("{} of {}", s.returns, duration(step))
            }),
            "steps of the fixed time grid; the coarsest of 1 h, 15 min, 5 min, 1 min, 10 s, 1 s that gives 24",
        ),
        fall_figure(),
        plain("its span", span(s.drawdown), "peak → lowest → peak reached again, UTC"),
        plain(
            "drawdown of equity",
            fall(s.equity_drawdown),
            "the same for equity itself, market drift included",
        ),
        plain(
            "time exposed",
            percent(s.exposure, 2),
            "share of the time with at least one round trip open",
        ),
    ];
    let round_trips = vec![
        trips(),
        won(),
        plain(
            "profit factor",
            ratio(s.profit_factor),
            "sum of wins over sum of losses; none without a loss",
        ),
        plain("mean", opt_money(s.average_pnl), "sum of the results over their count"),
        plain("mean win", opt_money(s.average_win), "mean of the results above zero"),
        plain(
            "mean loss",
            opt_money(s.average_loss),
            "mean of the results below zero, sign turned",
        ),
        plain("best", s.best.map_or(dash(), money), "largest result"),
        plain("worst", s.worst.map_or(dash(), money), "smallest result"),
        plain(
            "longest losing streak",
            s.longest_losing_streak.to_string(),
            "most results below zero in a row",
        ),
        plain(
            "held",
            s.holding.map_or(dash(), |held| {
                format!(
                    "mean {}, median {}, p95 {}",
                    duration(held.mean_s),
                    duration(held.p50_s),
                    duration(held.p95_s)
                )
            }),
            "from the decision to enter to the last report of the exit; nearest-rank percentiles",
        ),
    ];
    let orders = vec![
        plain(
            "orders",
            format!(
                "{} sent: {} filled, {} in part, {} not, {} refused, {} open",
                s.orders.sent, s.orders.filled, s.orders.partly, s.orders.unfilled, s.orders.rejected, s.orders.open
            ),
            "what became of each order sent",
        ),
        plain("fills", s.fills.to_string(), "executions at one price each"),
        plain(
            "fill ratio",
            percent(s.fill_ratio, 2),
            "mean over the ended orders of filled over asked quantity",
        ),
        plain(
            "turnover",
            s.turnover.map_or("no rate for one currency".to_string(), money),
            "notional of all fills, at the run's last rates",
        ),
        plain(
            "turnover ratio",
            s.turnover_ratio
                .map_or(dash(), |ratio| format!("{} ×", number(ratio, 2))),
            "turnover over opening equity",
        ),
        fees(),
        plain(
            "slippage",
            money(s.attribution.slippage),
            "fills against the mids of their decisions, over all round trips",
        ),
        plain(
            "legging",
            money(s.attribution.legging),
            "completing and undoing broken pairs, over all round trips",
        ),
    ];
    let groups = vec![
        ("Result", result),
        ("Risk", risk),
        ("Round trips", round_trips),
        ("Orders and costs", orders),
    ];
    (headlines, groups)
}

/// The colour of a signed number.
pub fn mood(value: f64) -> Mood {
    match value {
        value if value > 0.0 => Mood::Good,
        value if value < 0.0 => Mood::Bad,
        _ => Mood::Plain,
    }
}

/// An amount with as many decimals as its size asks for.
pub fn amount(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1_000.0 => 0,
        size if size >= 1.0 || size == 0.0 => 2,
        _ => 6,
    };
    number(value, decimals)
}

/// A share in per cent, or a dash.
pub fn percent(share: Option<f64>, decimals: usize) -> String {
    share.map_or(dash(), |share| format!("{} %", number(share * 100.0, decimals)))
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or(dash(), |ratio| number(ratio, 2))
}

fn dash() -> String {
    "–".to_string()
}

/// A span of time in the unit that suits it.
pub fn duration(seconds: f64) -> String {
    let (value, unit, decimals) = match seconds {
        s if s < 1.0 => (s * 1e3, "ms", 0),
        s if s < 120.0 => (s, "s", 1),
        s if s < 3_600.0 => (s / 60.0, "min", 1),
        s if s < 172_800.0 => (s / 3_600.0, "h", 1),
        s => (s / 86_400.0, "d", 1),
    };
    format!("{} {unit}", trimmed(&number(value, decimals)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_amounts_are_short() {
        let spans = [
            (0.0, "0 ms"),
            (0.25, "250 ms"),
            (1.0, "1 s"),
            (90.5, "90.5 s"),
            (3_599.0, "60 min"),
        ];
        for (seconds, want) in spans {
            assert_eq!(duration(seconds), want);
        }
        assert_eq!(
            (duration(3_600.0), duration(259_200.0)),
            ("1 h".to_string(), "3 d".to_string())
        );
        for (value, want) in [
            (0.0, "0.00"),
            (-0.0125, "-0.012500"),
            (12.345, "12.35"),
            (-98765.4, "-98,765"),
        ] {
            assert_eq!(amount(value), want);
        }
    }
}
