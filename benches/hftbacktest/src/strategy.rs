//! The parity rule on the crate's level-2 processors.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use hftbacktest::backtest::assettype::LinearAsset;
use hftbacktest::backtest::data::{Data, read_npy_file};
use hftbacktest::backtest::models::{CommonFees, ConstantLatency, RiskAdverseQueueModel, TradingValueFeeModel};
use hftbacktest::backtest::{Backtest, DataSource, ExchangeKind, L2AssetBuilder};
use hftbacktest::depth::{BTreeMarketDepth, HashMapMarketDepth, L2MarketDepth, MarketDepth, ROIVectorMarketDepth};
use hftbacktest::types::{Bot, ElapseResult, Event, OrdType, TimeInForce};

use crate::prepare::{LOT, TICK};

/// Order latency of venue A and B in ns, the same out and back.
const LATENCY: [i64; 2] = [8_000_000, 40_000_000];
/// Taker fees of venue A and B.
const FEE: [f64; 2] = [0.0005, 0.001];
const QTY: f64 = 0.01;
const A: usize = 0;
const B: usize = 1;

/// What one run came to.
#[derive(Debug, Clone)]
pub struct Run {
    /// Rows of the feed, as every engine counts them.
    pub rows: u64,
    /// Events that this engine was given for them.
    pub events: u64,
    /// CPU time of the replay, data already in memory.
    pub cpu_seconds: f64,
    /// Peak resident memory of the process (`VmHWM`).
    pub peak_kb: u64,
    /// Fills, all equal to the expected ones.
    pub fills: usize,
    /// Equity at the end, marked at mid, in KRW.
    pub pnl: f64,
}

impl Run {
    /// One line of text.
    pub fn to_line(&self) -> String {
        format!(
            "{} {} {} {} {} {}",
            self.rows, self.events, self.cpu_seconds, self.peak_kb, self.fills, self.pnl
        )
    }

    /// Back from [`Run::to_line`].
    pub fn from_line(line: &str) -> Result<Run> {
        let fields: Vec<&str> = line.split(' ').collect();
        let [rows, events, cpu_seconds, peak_kb, fills, pnl] = fields[..] else {
            bail!("not the line of a run: {line}");
        };
        Ok(Run {
            rows: rows.parse()?,
            events: events.parse()?,
            cpu_seconds: cpu_seconds.parse()?,
            peak_kb: peak_kb.parse()?,
            fills: fills.parse()?,
            pnl: pnl.parse()?,
        })
    }
}

/// Spreads at best prices above which the rule enters and below which it leaves, in bps.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Enter above.
    pub entry_bps: f64,
    /// Leave below.
    pub exit_bps: f64,
}

/// The rule whose fills are known.
const KNOWN: Rule = Rule {
    entry_bps: 125.0,
    exit_bps: 75.0,
};

#[derive(Debug, Clone, PartialEq)]
struct Fill {
    venue: usize,
    side: i32,
    ts: i64,
    price: f64,
}

/// Replays the prepared feed with the given book and form of venue A's data.
///
/// # Errors
/// When the fills are not the expected ones, among other things.
pub fn run(data: &Path, depth: &str, form: &str) -> Result<Run> {
    let events = load(data, form)?;
    let ranges = [price_range(&events[A]), price_range(&events[B])];
    let fx = read_fx(&data.join("fx.csv"))?;
    let count = (events[A].len() + events[B].len()) as u64;
    let rows: u64 = fs::read_to_string(data.join("rows"))?.trim().parse()?;

    let (cpu_seconds, fills, pnl) = match depth {
        "hashmap" => replay(events, ranges, &fx, KNOWN, |venue, _| {
            HashMapMarketDepth::new(TICK[venue], LOT[venue])
        })?,
        "btree" => replay(events, ranges, &fx, KNOWN, |venue, _| {
            BTreeMarketDepth::new(TICK[venue], LOT[venue])
        })?,
        "roivector" => replay(events, ranges, &fx, KNOWN, roivector)?,
        _ => bail!("unknown book {depth}"),
    };
    check(&fills, &data.join("expected_fills.csv"))?;
    Ok(Run {
        rows,
        events: count,
        cpu_seconds,
        peak_kb: peak_kb()?,
        fills: fills.len(),
        pnl,
    })
}

/// Replays `count` rules of a grid of entries and exits one after the other on the fastest book, and prints a line for each:
/// entry and exit spread in bps, fills, PnL in KRW, CPU seconds of the replay alone. The data are loaded once and shared.
///
/// # Errors
/// When the data cannot be read, or an order is lost.
pub fn grid(data: &Path, count: usize) -> Result<()> {
    let events = load(data, "diff")?;
    let ranges = [price_range(&events[A]), price_range(&events[B])];
    let fx = read_fx(&data.join("fx.csv"))?;
    let start = cpu_seconds();
    for index in 0..count {
        // The same 40 entries and 25 exits as `config/tuning/parity-grid.toml`, the last parameter fastest.
        let rule = Rule {
            entry_bps: 110.0 + (index / 25 % 40) as f64,
            exit_bps: 60.0 + (index % 25) as f64,
        };
        let shared = [events[A].clone(), events[B].clone()];
        let (seconds, fills, pnl) = replay(shared, ranges, &fx, rule, roivector)?;
        println!(
            "{},{},{},{pnl:.2},{seconds:.4}",
            rule.entry_bps,
            rule.exit_bps,
            fills.len()
        );
    }
    let seconds = cpu_seconds() - start;
    eprintln!(
        "{count} replays in {seconds:.1} CPU s: {:.2} a CPU second, peak memory {} MB",
        count as f64 / seconds,
        peak_kb()? / 1024
    );
    Ok(())
}

fn load(data: &Path, form: &str) -> Result<[Data<Event>; 2]> {
    let load = |name: String| -> Result<Data<Event>> {
        let path = data.join(name);
        let path = path.to_str().context("the path is not UTF-8")?;
        read_npy_file(path).with_context(|| path.to_owned())
    };
    Ok([load(format!("a_{form}.npy"))?, load("b.npy".to_owned())?])
}

fn roivector(venue: usize, (low, high): (f64, f64)) -> ROIVectorMarketDepth {
    ROIVectorMarketDepth::new(TICK[venue], LOT[venue], low, high)
}

type MakeDepth<MD> = fn(usize, (f64, f64)) -> MD;

fn replay<MD>(
    events: [Data<Event>; 2],
    ranges: [(f64, f64); 2],
    fx: &[(i64, f64)],
    rule: Rule,
    depth: MakeDepth<MD>,
) -> Result<(f64, Vec<Fill>, f64)>
where
    MD: MarketDepth + L2MarketDepth + 'static,
{
    let mut builder = Backtest::builder();
    for (venue, (events, range)) in events.into_iter().zip(ranges).enumerate() {
        let asset = L2AssetBuilder::new()
            .data(vec![DataSource::Data(events)])
            .latency_model(ConstantLatency::new(LATENCY[venue], LATENCY[venue]))
            .asset_type(LinearAsset::new(1.0))
            .fee_model(TradingValueFeeModel::new(CommonFees::new(FEE[venue], FEE[venue])))
            .exchange(ExchangeKind::NoPartialFillExchange)
            .queue_model(RiskAdverseQueueModel::new())
            .depth(move || depth(venue, range))
            .build()
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        builder = builder.add_asset(asset);
    }
    let mut bot = builder.build().map_err(|error| anyhow::anyhow!("{error}"))?;
    let start = cpu_seconds();
    let (fills, pnl) = trade(&mut bot, fx, rule)?;
    Ok((cpu_seconds() - start, fills, pnl))
}

/// The rule: one decision per arrival instant; nothing while an order is on its way.
fn trade<MD: MarketDepth>(bot: &mut Backtest<MD>, fx: &[(i64, f64)], rule: Rule) -> Result<(Vec<Fill>, f64)> {
    const FOREVER: i64 = 1 << 60;
    let mut fills = Vec::new();
    let mut next_fx = 0;
    let mut rate = f64::NAN;
    let mut held = false;
    let mut order_id = 0;
    while bot.wait_next_feed(false, FOREVER)? == ElapseResult::MarketFeed {
        let now = bot.current_timestamp();
        while next_fx < fx.len() && fx[next_fx].0 <= now {
            rate = fx[next_fx].1;
            next_fx += 1;
        }
        let (a, b) = (bot.depth(A), bot.depth(B));
        // A missing side or rate is NaN, and no comparison with NaN is true.
        let act = if held {
            (a.best_ask() / (b.best_bid() * rate) - 1.0) * 1e4 < rule.exit_bps
        } else {
            (a.best_bid() / (b.best_ask() * rate) - 1.0) * 1e4 > rule.entry_bps
        };
        if !act {
            continue;
        }
        order_id += 1;
        let (market, gtc) = (OrdType::Market, TimeInForce::GTC);
        // B is the slower venue: when its report is in, so is A's.
        if held {
            bot.submit_buy_order(A, order_id, 0.0, QTY, gtc, market, false)?;
            bot.submit_sell_order(B, order_id, 0.0, QTY, gtc, market, true)?;
        } else {
            bot.submit_sell_order(A, order_id, 0.0, QTY, gtc, market, false)?;
            bot.submit_buy_order(B, order_id, 0.0, QTY, gtc, market, true)?;
        }
        for venue in [A, B] {
            let order = bot.orders(venue).get(&order_id).context("an order is lost")?;
            ensure!(order.leaves_qty == 0.0, "an order is not filled");
            fills.push(Fill {
                venue,
                side: if (venue == A) == held { 1 } else { -1 },
                ts: order.exch_timestamp,
                price: order.exec_price_tick as f64 * TICK[venue],
            });
        }
        bot.clear_inactive_orders(None);
        held = !held;
    }
    let equity = |venue: usize| {
        let (state, depth) = (bot.state_values(venue), bot.depth(venue));
        let mid = (depth.best_bid() + depth.best_ask()) / 2.0;
        state.balance + state.position * mid - state.fee
    };
    Ok((fills, equity(A) + equity(B) * rate))
}

/// Lowest and highest price of the data, with a margin: the vector book wants its range beforehand.
fn price_range(events: &Data<Event>) -> (f64, f64) {
    let prices = (0..events.len()).map(|row| events[row].px).filter(|&price| price > 0.0);
    let (low, high) = prices.fold((f64::MAX, 0.0f64), |(low, high), price| {
        (low.min(price), high.max(price))
    });
    (low * 0.999, high * 1.001)
}

fn read_fx(path: &Path) -> Result<Vec<(i64, f64)>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .map(|line| {
            let (ts, rate) = line.split_once(',').with_context(|| format!("not a rate: {line}"))?;
            Ok((ts.parse()?, rate.parse()?))
        })
        .collect()
}

fn check(fills: &[Fill], expected: &Path) -> Result<()> {
    let text = fs::read_to_string(expected).with_context(|| expected.display().to_string())?;
    let mut count = 0;
    for (index, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let [venue, side, ts, price] = fields[..] else {
            bail!("{}:{}: not a fill", expected.display(), index + 1);
        };
        let want = Fill {
            venue: venue.parse()?,
            side: side.parse()?,
            ts: ts.parse()?,
            price: price.parse()?,
        };
        let same = fills.get(index).is_some_and(|fill| {
            (fill.venue, fill.side, fill.ts) == (want.venue, want.side, want.ts)
                && (fill.price - want.price).abs() < 1e-6
        });
        ensure!(
            same,
            "fill {}: got {:?}, expected {want:?}",
            index + 1,
            fills.get(index)
        );
        count += 1;
    }
    ensure!(count == fills.len(), "{} fills, expected {count}", fills.len());
    Ok(())
}

fn peak_kb() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no VmHWM")?;
    Ok(kb.trim().parse()?)
}

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer, and this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
