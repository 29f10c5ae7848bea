//! Worlds, tapes and readable results.

use std::sync::Arc;

use crossbook_engine::engine::{Class, Engine, EngineConfig, FxConfig, FxSource, Target, VenueConfig};
use crossbook_engine::event::{Chunk, EventKind, FeedStatus, Level};
use crossbook_engine::instrument::{CurrencyId, Instrument, InstrumentId, RouteId, Side, TickRule, VenueId, VenueKind};
use crossbook_engine::order::{Leg, Liquidity, Order, OrderId, OrderStatus, OrderType, Role};
use crossbook_engine::records::{EquityPoint, FillRecord, OrderRecord, Recorder, RiskRecord, RoundTrip, SpreadPoint};
use crossbook_engine::replay::{ChunkSource, InMemory, Outcome, ReplayError, Streams, replay};
use crossbook_engine::risk::Limits;
use crossbook_engine::sim::{self, FeeRule, Latency, QueueModel, Sim, SimConfig};
use crossbook_engine::spread::{FairModel, FillModel};
use crossbook_engine::strategy::{LegPolicy, OrderStyle, RouteConfig, Size, StrategyConfig};
use crossbook_engine::units::{Amount, Bps, FxRate, Price, Qty, TimestampNs};

pub const MS: i64 = 1_000_000;

pub const KRW: CurrencyId = CurrencyId(0);
pub const USDT: CurrencyId = CurrencyId(1);
pub const BTC: CurrencyId = CurrencyId(2);
pub const ETH: CurrencyId = CurrencyId(3);
pub const SOL: CurrencyId = CurrencyId(4);

/// The venue of A and the venue of B.
pub const HOME: VenueId = VenueId(0);
pub const AWAY: VenueId = VenueId(1);

pub const A: Target = Target::Instrument(InstrumentId(0));
pub const B: Target = Target::Instrument(InstrumentId(1));

pub fn price(text: &str) -> Price {
    Price::parse(text).unwrap()
}

pub fn qty(text: &str) -> Qty {
    Qty::parse(text).unwrap()
}

pub fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

pub fn rate(text: &str) -> FxRate {
    FxRate::parse(text).unwrap()
}

pub fn bps(bps: f64) -> Bps {
    Bps::from_bps(bps)
}

fn ms(ts: TimestampNs) -> i64 {
    ts.0.div_euclid(MS)
}

/// One stream. A message received at `t` happened `delay` earlier.
#[derive(Clone, Default)]
pub struct Tape {
    chunk: Chunk,
    delay: i64,
}

type Side2<'a> = &'a [(&'a str, &'a str)];

fn levels(rows: Side2<'_>) -> Vec<Level> {
    rows.iter()
        .map(|&(p, q)| Level {
            price: price(p),
            qty: qty(q),
        })
        .collect()
}

/// An empty tape whose messages take this many milliseconds to us.
pub fn tape(delay_ms: i64) -> Tape {
    Tape {
        chunk: Chunk::default(),
        delay: delay_ms * MS,
    }
}

impl Tape {
    pub fn chunk(self) -> Chunk {
        self.chunk
    }

    pub fn push(mut self, t: i64, kind: EventKind<'_>) -> Tape {
        let recv = TimestampNs(t * MS);
        self.chunk.push(recv.plus(-self.delay), recv, kind).unwrap();
        self
    }

    /// A message of these times.
    pub fn exact(mut self, event: TimestampNs, recv: TimestampNs, kind: EventKind<'_>) -> Tape {
        self.chunk.push(event, recv, kind).unwrap();
        self
    }

    /// A message of another delay than the others.
    pub fn late(self, t: i64, delay_ms: i64, kind: EventKind<'_>) -> Tape {
        let usual = self.delay;
        let mut tape = Tape {
            delay: delay_ms * MS,
            ..self
        };
        tape = tape.push(t, kind);
        Tape { delay: usual, ..tape }
    }

    /// A whole book of these levels, best first.
    pub fn book(self, t: i64, bids: Side2<'_>, asks: Side2<'_>) -> Tape {
        let (bids, asks) = (levels(bids), levels(asks));
        self.push(
            t,
            EventKind::Snapshot {
                bids: &bids,
                asks: &asks,
                complete: true,
            },
        )
    }

    /// A book with a quantity of 10 at one bid and one ask.
    pub fn top(self, t: i64, bid: &str, ask: &str) -> Tape {
        self.book(t, &[(bid, "10")], &[(ask, "10")])
    }

    pub fn update(self, t: i64, bids: Side2<'_>, asks: Side2<'_>) -> Tape {
        let (bids, asks) = (levels(bids), levels(asks));
        self.push(
            t,
            EventKind::Update {
                bids: &bids,
                asks: &asks,
            },
        )
    }

    pub fn trade(self, t: i64, taker: Side, at: &str, quantity: &str) -> Tape {
        let (price, qty) = (price(at), qty(quantity));
        self.push(t, EventKind::Trade { price, qty, taker })
    }

    pub fn fx(self, t: i64, text: &str) -> Tape {
        self.push(t, EventKind::Fx(rate(text)))
    }

    pub fn funding(self, t: i64, rate_bps: f64, mark: &str) -> Tape {
        let kind = EventKind::Funding {
            rate: bps(rate_bps).raw(),
            mark: price(mark),
        };
        self.push(t, kind)
    }

    pub fn status(self, t: i64, status: FeedStatus) -> Tape {
        self.push(t, EventKind::Status(status))
    }
}

/// A rate of 1,000 KRW per USDT from the start, and once more at 20 s: the data must last for the last report to be heard.
pub fn thousand() -> Tape {
    tape(0).fx(0, "1000").fx(20_000, "1000")
}

/// A stands 100 bps above B to sell A and buy B: `101000 / (100 * 1000) - 1`.
pub fn wide_a(delay: i64) -> Tape {
    tape(delay).top(0, "101000", "101100")
}

/// See [`wide_a`].
pub fn wide_b(delay: i64) -> Tape {
    tape(delay).top(0, "99.9", "100")
}

/// Everything a run needs.
#[derive(Clone)]
pub struct World {
    pub config: EngineConfig,
    pub venues: Vec<sim::VenueConfig>,
    pub fill_model: FillModel,
    pub seed: u64,
    pub tapes: Vec<(Target, Tape)>,
}

/// Takes both legs at market, sells A only, one BTC, in at 50 bps net, out at 10 bps.
pub fn plain_strategy() -> StrategyConfig {
    StrategyConfig {
        fair: FairModel::Zero,
        warmup_ns: 0,
        entry: bps(50.0),
        exit: bps(10.0),
        take_profit: None,
        stop: None,
        max_hold_ns: None,
        slippage: Bps::ZERO,
        size: Size::Quantity(qty("1")),
        sell_a: true,
        buy_a: false,
        pricing: FillModel::Walk,
        style: OrderStyle::Market,
        maker: None,
        leg_policy: LegPolicy::Complete,
        leg_timeout_ns: 500 * MS,
    }
}

pub fn instrument(venue: VenueId, symbol: &str, base: CurrencyId, quote: CurrencyId, tick: &str) -> Instrument {
    Instrument {
        venue,
        symbol: symbol.to_owned(),
        base,
        quote,
        tick: TickRule::Fixed(price(tick)),
        lot: qty("0.001"),
        min_qty: Qty::ZERO,
        min_notional: Amount::ZERO,
    }
}

pub fn route(a: u16, b: u16) -> RouteConfig {
    RouteConfig {
        a: InstrumentId(a),
        b: InstrumentId(b),
        fees: Bps::ZERO,
        lot: qty("0.001"),
        strategy: plain_strategy(),
    }
}

pub fn sim_venue(latency_ms: i64) -> sim::VenueConfig {
    sim::VenueConfig {
        kind: VenueKind::Spot,
        taker_fee: Bps::ZERO,
        maker_fee: Bps::ZERO,
        fee_rule: FeeRule::Quote,
        order_latency: Latency::Constant { ns: latency_ms * MS },
        report_latency: Latency::Constant { ns: latency_ms * MS },
        max_leverage: None,
        queue_model: QueueModel::RiskAdverse,
    }
}

impl World {
    /// See the module `main`. Each venue holds 10 BTC and ten million of either money.
    pub fn pair() -> World {
        let opening = [HOME, AWAY]
            .into_iter()
            .flat_map(|venue| [(venue, KRW, "10000000"), (venue, USDT, "10000000"), (venue, BTC, "10")])
            .map(|(venue, currency, text)| (venue, currency, amount(text)))
            .collect();
        let limits = Limits {
            venue: crossbook_engine::risk::VenueLimits {
                max_book_age_ns: 60_000 * MS,
                ..Default::default()
            },
            ..Limits::default()
        };
        World {
            config: EngineConfig {
                venues: Vec::new(), // made from those of the simulation
                instruments: vec![
                    instrument(HOME, "KRW-BTC", BTC, KRW, "1"),
                    instrument(AWAY, "BTCUSDT", BTC, USDT, "0.001"),
                ],
                classes: vec![Class::Home, Class::Foreign, Class::Coin, Class::Coin, Class::Coin],
                base_currency: KRW,
                opening,
                fx: FxConfig {
                    source: FxSource::Series,
                    max_age_ns: 600_000 * MS,
                    band: None,
                },
                routes: vec![route(0, 1)],
                limits,
                days: Vec::new(),
                sample_ns: 1_000_000 * MS,
            },
            venues: vec![sim_venue(10), sim_venue(20)],
            fill_model: FillModel::Walk,
            seed: 7,
            tapes: Vec::new(),
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut World)) -> World {
        change(&mut self);
        self
    }

    /// Changes the strategy of every route.
    pub fn strategy(mut self, change: impl Fn(&mut StrategyConfig)) -> World {
        self.config
            .routes
            .iter_mut()
            .for_each(|route| change(&mut route.strategy));
        self
    }

    /// Taker fees in bps at both venues, and the hurdle of four taking fills.
    pub fn fees(mut self, home: f64, away: f64) -> World {
        self.venues[0].taker_fee = bps(home);
        self.venues[1].taker_fee = bps(away);
        for route in &mut self.config.routes {
            route.fees = bps(2.0 * (home + away));
        }
        self
    }

    pub fn balance(mut self, venue: VenueId, currency: CurrencyId, text: &str) -> World {
        self.config.opening.retain(|&(at, of, _)| (at, of) != (venue, currency));
        self.config.opening.push((venue, currency, amount(text)));
        self
    }

    pub fn tape(mut self, target: Target, tape: Tape) -> World {
        self.tapes.push((target, tape));
        self
    }

    /// The tapes of A and B and a rate of 1,000.
    pub fn tapes(self, a: Tape, b: Tape) -> World {
        self.tape(A, a).tape(B, b).tape(Target::Fx, thousand())
    }

    /// A run that must reach its end; checked for what always holds.
    pub fn run(self) -> Ran {
        self.try_run().unwrap()
    }

    pub fn try_run(self) -> Result<Ran, ReplayError> {
        let mut running = self.start()?;
        let World { tapes, .. } = self;
        running.go(tapes)?;
        Ok(running)
    }

    /// Engine and venues before their first event.
    pub fn start(&self) -> Result<Ran, ReplayError> {
        let (config, sim) = self.configs();
        Ok(Ran {
            sim: Sim::new(sim, &config.opening)?,
            engine: Engine::new(config)?,
            log: Log::default(),
            outcome: None,
        })
    }

    /// What engine and venues are built from.
    pub fn configs(&self) -> (EngineConfig, SimConfig) {
        let mut config = self.config.clone();
        config.venues = self
            .venues
            .iter()
            .map(|venue| VenueConfig {
                kind: venue.kind,
                taker_fee: venue.taker_fee,
                max_leverage: venue.max_leverage.map(|times| i64::from(times) * 100_000_000),
            })
            .collect();
        let sim = SimConfig {
            venues: self.venues.clone(),
            instruments: config.instruments.clone(),
            currencies: config.classes.len(),
            fill_model: self.fill_model,
            seed: self.seed,
        };
        (config, sim)
    }
}

/// What a run left behind.
pub struct Ran {
    pub engine: Engine,
    pub sim: Sim,
    pub log: Log,
    pub outcome: Option<Outcome>,
}

impl Ran {
    /// Replays tapes to their end, and checks what always holds.
    pub fn go(&mut self, tapes: Vec<(Target, Tape)>) -> Result<(), ReplayError> {
        let sources = tapes
            .into_iter()
            .map(|(target, tape)| {
                let source = InMemory::new(&[Arc::new(tape.chunk)]);
                (target, Box::new(source) as Box<dyn ChunkSource>)
            })
            .collect();
        let instruments = self.engine.config().instruments.len();
        let mut streams = Streams::new(sources, instruments)?;
        let outcome = replay(
            &mut self.engine,
            &mut self.sim,
            &mut streams,
            &mut self.log,
            &mut |_| true,
        )?;
        self.outcome = Some(outcome);
        self.check();
        Ok(())
    }

    /// What holds after every run.
    fn check(&self) {
        self.engine.ledger().verify().unwrap();
        let ended = self.log.done.iter().filter(|done| done.status.is_final()).count();
        let outcome = self.outcome.unwrap();
        assert_eq!(
            ended + outcome.open_orders,
            self.log.sent.len(),
            "every order ends or is open"
        );
        assert_eq!(self.log.done.len(), self.log.sent.len(), "every order is told of once");
        for done in &self.log.done {
            let fills = self.log.fills.iter().filter(|fill| fill.fill.order == done.order.id);
            let filled: i64 = fills.map(|fill| fill.fill.qty.raw()).sum();
            assert_eq!(filled, done.filled.raw());
            assert!(filled <= done.order.qty.raw());
        }
        for trip in &self.log.trips {
            let sum = &trip.attribution;
            assert_eq!(
                sum.premium.raw() + sum.fx.raw() - sum.slippage.raw() - sum.fees.raw() - sum.legging.raw(),
                trip.pnl.raw(),
                "{trip:?}"
            );
        }
    }

    pub fn balance(&self, venue: VenueId, currency: CurrencyId) -> String {
        short(self.engine.ledger().balance(venue, currency).raw())
    }

    /// One line an order, by end: `sent leg role side qty type -> status filled at report`.
    pub fn orders(&self) -> Vec<String> {
        self.log.done.iter().map(order_line).collect()
    }

    /// One line a fill: `venue time leg side qty @ price`, then the fee when there is one, and `maker`.
    pub fn fills(&self) -> Vec<String> {
        self.log.fills.iter().map(fill_line).collect()
    }

    /// One line a round trip: `direction reason qty: entry>exit>closed pnl = premium + fx - slippage - fees - legging`.
    pub fn trips(&self) -> Vec<String> {
        self.log.trips.iter().map(trip_line).collect()
    }

    /// One line a word of risk: `time route verdict reason`.
    pub fn risk(&self) -> Vec<String> {
        self.log
            .risk
            .iter()
            .map(|row| {
                let route = row.route.map_or("all".to_owned(), |route| route.0.to_string());
                format!("{} {route} {:?} {:?}", ms(row.ts), row.verdict, row.reason)
            })
            .collect()
    }

    pub fn cancels(&self) -> Vec<String> {
        let cancels = self.log.cancels.iter();
        cancels.map(|(order, ts)| format!("{} #{}", ms(*ts), order.0)).collect()
    }

    /// Equity less hold at the end, in 1e-8 of the base currency.
    pub fn pnl_vs_hold(&mut self) -> i64 {
        let (equity, hold) = self.engine.equity().unwrap().unwrap();
        equity.raw() - hold.raw()
    }
}

/// Decimal text without trailing zeros.
pub fn short(raw: i64) -> String {
    let text = Amount::from_raw(raw).unwrap().to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn leg_word(route: RouteId, leg: Leg) -> String {
    match route.0 {
        0 => format!("{leg:?}"),
        other => format!("{leg:?}{other}"),
    }
}

pub fn order_line(done: &OrderRecord) -> String {
    let order = &done.order;
    let role = match order.role {
        Role::Entry => "entry",
        Role::Exit => "exit",
        Role::Unwind => "unwind",
    };
    let how = match order.order_type {
        OrderType::Market => "market".to_owned(),
        OrderType::Limit(price) => format!("limit {}", short(price.raw())),
        OrderType::PostOnly(price) => format!("post {}", short(price.raw())),
    };
    let status = match done.status {
        OrderStatus::Rejected(reject) => format!("{reject:?}"),
        status => format!("{status:?} {}", short(done.filled.raw())).to_lowercase(),
    };
    let end = done.ts_report.map_or(String::new(), |ts| format!(" at {}", ms(ts)));
    format!(
        "{} {} {role} {} {} {how} -> {status}{end}",
        ms(order.ts_sent),
        leg_word(order.route, order.leg),
        side_word(order.side),
        short(order.qty.raw()),
    )
}

pub fn fill_line(row: &FillRecord) -> String {
    let fill = &row.fill;
    let fee = match fill.fee.raw() {
        0 => String::new(),
        raw => format!(" fee {}", short(raw)),
    };
    let maker = match fill.liquidity {
        Liquidity::Maker => " maker",
        Liquidity::Taker => "",
    };
    format!(
        "{} {} {} {} @ {}{fee}{maker}",
        ms(fill.ts_venue),
        leg_word(row.route, row.leg),
        side_word(fill.side),
        short(fill.qty.raw()),
        short(fill.price.raw()),
    )
}

pub fn trip_line(trip: &RoundTrip) -> String {
    let of = &trip.attribution;
    format!(
        "{} {} {}: {}>{}>{} {} = {} + {} - {} - {} - {}",
        match trip.direction {
            crossbook_engine::records::Direction::SellA => "sell_a",
            crossbook_engine::records::Direction::BuyA => "buy_a",
        },
        trip.reason.as_str(),
        short(trip.qty.raw()),
        ms(trip.ts_entry),
        ms(trip.ts_exit),
        ms(trip.ts_closed),
        short(trip.pnl.raw()),
        short(of.premium.raw()),
        short(of.fx.raw()),
        short(of.slippage.raw()),
        short(of.fees.raw()),
        short(of.legging.raw()),
    )
}

/// Keeps every row.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub sent: Vec<Order>,
    pub done: Vec<OrderRecord>,
    pub fills: Vec<FillRecord>,
    pub trips: Vec<RoundTrip>,
    pub risk: Vec<RiskRecord>,
    pub cancels: Vec<(OrderId, TimestampNs)>,
    pub equity: Vec<EquityPoint>,
    pub spread: Vec<SpreadPoint>,
}

impl Recorder for Log {
    fn order_sent(&mut self, order: &Order) {
        self.sent.push(*order);
    }
    fn order_done(&mut self, record: &OrderRecord) {
        self.done.push(*record);
    }
    fn fill(&mut self, record: &FillRecord) {
        self.fills.push(*record);
    }
    fn round_trip(&mut self, trip: &RoundTrip) {
        self.trips.push(*trip);
    }
    fn equity(&mut self, point: &EquityPoint) {
        self.equity.push(*point);
    }
    fn spread(&mut self, point: &SpreadPoint) {
        self.spread.push(*point);
    }
    fn risk(&mut self, record: &RiskRecord) {
        self.risk.push(*record);
    }
    fn cancel(&mut self, order: OrderId, ts: TimestampNs) {
        self.cancels.push((order, ts));
    }
}
