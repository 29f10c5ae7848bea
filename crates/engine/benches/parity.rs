//! The parity strategy over the feed of `feed.rs`: short A / long B when the premium at best prices is over 125 bps, out
//! below 75 bps, 0.01 BTC a leg.

use std::sync::Arc;

use crossbook_engine::engine::{Class, Engine, EngineConfig, FxConfig, FxSource, Target, VenueConfig};
use crossbook_engine::event::Chunk;
use crossbook_engine::instrument::{CurrencyId, Instrument, InstrumentId, TickRule, VenueId, VenueKind};
use crossbook_engine::records::Recorder;
use crossbook_engine::replay::{ChunkSource, InMemory, Outcome, Streams, replay};
use crossbook_engine::risk::Limits;
use crossbook_engine::sim::{FeeRule, Latency, QueueModel, Sim, SimConfig};
use crossbook_engine::spread::{FairModel, FillModel};
use crossbook_engine::strategy::{LegPolicy, OrderStyle, RouteConfig, Size, StrategyConfig};
use crossbook_engine::units::{Amount, Bps, Price, Qty};

const KRW: CurrencyId = CurrencyId(0);
const USDT: CurrencyId = CurrencyId(1);
const MS: i64 = 1_000_000;

pub fn strategy(fill_model: FillModel) -> StrategyConfig {
    StrategyConfig {
        fair: FairModel::Zero,
        warmup_ns: 0,
        entry: Bps::from_bps(95.0),
        exit: Bps::from_bps(75.0),
        take_profit: None,
        stop: None,
        max_hold_ns: None,
        slippage: Bps::ZERO,
        size: Size::Quantity(Qty::parse("0.01").unwrap()),
        sell_a: true,
        buy_a: false,
        pricing: fill_model,
        style: OrderStyle::Market,
        maker: None,
        leg_policy: LegPolicy::Complete,
        leg_timeout_ns: 800 * MS,
    }
}

pub fn engine_config(strategy: StrategyConfig) -> EngineConfig {
    let instrument = |venue, symbol: &str, base, quote, tick| Instrument {
        venue: VenueId(venue),
        symbol: symbol.to_owned(),
        base: CurrencyId(base),
        quote,
        tick: TickRule::Fixed(Price::parse(tick).unwrap()),
        lot: Qty::parse("0.001").unwrap(),
        min_qty: Qty::ZERO,
        min_notional: Amount::ZERO,
    };
    let fees = [Bps::from_bps(5.0), Bps::from_bps(10.0)];
    EngineConfig {
        venues: fees
            .iter()
            .map(|&taker_fee| VenueConfig {
                kind: VenueKind::Perpetual,
                taker_fee,
                max_leverage: None,
            })
            .collect(),
        instruments: vec![instrument(0, "A", 2, KRW, "1000"), instrument(1, "B", 3, USDT, "0.1")],
        classes: vec![Class::Home, Class::Foreign, Class::Coin, Class::Coin],
        base_currency: KRW,
        opening: Vec::new(),
        fx: FxConfig {
            source: FxSource::Series,
            max_age_ns: 10_000 * MS,
            band: None,
        },
        routes: vec![RouteConfig {
            a: InstrumentId(0),
            b: InstrumentId(1),
            fees: Bps::from_bps(30.0),
            lot: Qty::parse("0.001").unwrap(),
            strategy,
        }],
        limits: Limits::default(),
        days: Vec::new(),
        sample_ns: 60_000 * MS,
    }
}

pub fn sim_config(engine: &EngineConfig, fill_model: FillModel) -> SimConfig {
    let latency = [8 * MS, 40 * MS];
    SimConfig {
        venues: engine
            .venues
            .iter()
            .zip(latency)
            .map(|(venue, ns)| crossbook_engine::sim::VenueConfig {
                kind: venue.kind,
                taker_fee: venue.taker_fee,
                maker_fee: venue.taker_fee,
                fee_rule: FeeRule::Quote,
                order_latency: Latency::Constant { ns },
                report_latency: Latency::Constant { ns },
                max_leverage: None,
                queue_model: QueueModel::RiskAdverse,
            })
            .collect(),
        instruments: engine.instruments.clone(),
        currencies: engine.classes.len(),
        fill_model,
        seed: 0,
    }
}

/// Replays the feed; the engine comes back for its digest and ledger.
pub fn run(streams: &[Vec<Arc<Chunk>>; 3], fill_model: FillModel, recorder: &mut impl Recorder) -> (Engine, Outcome) {
    run_with(streams, engine_config(strategy(fill_model)), fill_model, recorder)
}

/// The same with other settings.
pub fn run_with(
    streams: &[Vec<Arc<Chunk>>; 3],
    config: EngineConfig,
    fill_model: FillModel,
    recorder: &mut impl Recorder,
) -> (Engine, Outcome) {
    let sim = sim_config(&config, fill_model);
    run_sim(streams, config, sim, recorder)
}

/// The same with other venues.
pub fn run_sim(
    streams: &[Vec<Arc<Chunk>>; 3],
    config: EngineConfig,
    sim: SimConfig,
    recorder: &mut impl Recorder,
) -> (Engine, Outcome) {
    let mut sim = Sim::new(sim, &config.opening).unwrap();
    let mut engine = Engine::new(config).unwrap();
    let targets = [
        Target::Instrument(InstrumentId(0)),
        Target::Instrument(InstrumentId(1)),
        Target::Fx,
    ];
    let sources = targets
        .into_iter()
        .zip(streams)
        .map(|(target, chunks)| (target, Box::new(InMemory::new(chunks)) as Box<dyn ChunkSource>))
        .collect();
    let mut streams = Streams::new(sources, 2).unwrap();
    let outcome = replay(&mut engine, &mut sim, &mut streams, recorder, &mut |_| true).unwrap();
    (engine, outcome)
}
