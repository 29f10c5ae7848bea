//! One pass over the streams with an engine that takes everything in and decides nothing.

use std::sync::Arc;

use super::depth::Depths;
use super::fair::Fairs;
use super::lane::LaneWriter;
use super::logs::{RateLog, TopLog};
use super::reel::{Mark, Reel};
use super::{Funding, Rules, STOP, Tape};
use crate::engine::{Engine, EngineConfig, Target};
use crate::event::{Chunk, EventKind};
use crate::instrument::{InstrumentId, RouteId};
use crate::replay::{ReplayError, Streams};
use crate::units::TimestampNs;

/// What is kept of an instrument while the pass runs.
struct Seen {
    /// Its streams.
    streams: Vec<usize>,
    /// Rows since its last mark.
    rows: u64,
    marks: Vec<Mark>,
    top: TopLog,
    touched: bool,
}

pub(super) fn build(sources: Vec<(Target, Vec<Arc<Chunk>>)>, config: &EngineConfig) -> Result<Tape, ReplayError> {
    let instruments = config.instruments.len();
    let reels: Vec<Reel> = sources
        .into_iter()
        .map(|(target, chunks)| Reel::new(target, chunks))
        .collect();
    let mut streams = Streams::whole(reels.iter().map(|reel| (reel.target(), reel.chunks())), instruments)?;
    let mut engine = Engine::new(EngineConfig {
        opening: Vec::new(),
        ..config.clone()
    })?;
    let fx = engine.fx_state();
    let (mut rates, mut rate) = (RateLog::default(), fx);
    let mut seen: Vec<Seen> = (0..instruments)
        .map(|index| {
            let id = InstrumentId(index as u16);
            let streams = streams.of_instrument(id).to_vec();
            Seen {
                marks: vec![Mark::new(
                    TimestampNs::MIN,
                    vec![0; streams.len()].into(),
                    engine.book(id),
                    false,
                )],
                streams,
                rows: 0,
                top: TopLog::default(),
                touched: false,
            }
        })
        .collect();
    let mut lanes: Vec<LaneWriter> = config.routes.iter().map(|_| LaneWriter::default()).collect();
    let mut awake: Vec<TimestampNs> = Vec::new();
    let mut stops = vec![Vec::new(); reels.len()];
    let mut fundings = Vec::new();
    let mut span = None;
    let mut taken = vec![0usize; reels.len()];
    loop {
        let now = streams.next_recv();
        if now == TimestampNs::MAX {
            break;
        }
        span = Some((span.map_or(now, |(first, _)| first), now));
        for (index, reel) in reels.iter().enumerate() {
            taken[index] = reel.number(streams.place(index));
        }
        streams.take(now, |target, ts_event, event| {
            if let Target::Instrument(id) = target {
                let seen = &mut seen[id.index()];
                if !seen.touched && Mark::is_due(seen.rows, engine.book(id)) {
                    let replaced = matches!(event, EventKind::Snapshot { .. });
                    let taken = seen.streams.iter().map(|&stream| taken[stream]).collect();
                    seen.marks.push(Mark::new(now, taken, engine.book(id), replaced));
                    seen.rows = 0;
                }
                seen.touched = true;
                seen.rows += match *event {
                    EventKind::Snapshot { bids, asks, .. } | EventKind::Update { bids, asks } => {
                        (bids.len() + asks.len()).max(1) as u64
                    }
                    _ => 1,
                };
                if let EventKind::Funding { rate, mark } = *event {
                    fundings.push(Funding {
                        ts_recv: now,
                        ts_event,
                        instrument: id,
                        rate,
                        mark,
                    });
                }
            }
            engine.apply(target, ts_event, now, event);
            Ok(())
        })?;
        for (index, seen) in seen.iter_mut().enumerate() {
            if std::mem::take(&mut seen.touched) {
                seen.top
                    .push_top(now, engine.book(InstrumentId(index as u16)).top().ok());
            }
        }
        if engine.fx_state() != rate {
            rate = engine.fx_state();
            rates.push(now, rate);
        }
        if !engine.is_awake(now) {
            continue;
        }
        if awake.len().is_multiple_of(STOP) {
            for (stops, &taken) in stops.iter_mut().zip(&taken) {
                stops.push(taken);
            }
        }
        awake.push(now);
        for (index, lane) in lanes.iter_mut().enumerate() {
            let id = RouteId(index as u16);
            if engine.take_dirty(id) {
                let route = &config.routes[index];
                let tops = [route.a, route.b].map(|leg| seen[leg.index()].top.newest());
                lane.push(now, engine.quote(id, now), tops);
            }
        }
    }
    let awake: Arc<[TimestampNs]> = awake.into();
    let (tops, marks): (Vec<_>, Vec<_>) = seen
        .into_iter()
        .map(|mut seen| {
            seen.top.shrink();
            seen.marks.shrink_to_fit();
            (seen.top, seen.marks)
        })
        .unzip();
    Ok(Tape {
        rules: Rules::of(config),
        totals: streams.totals(),
        reels,
        lanes: lanes.into_iter().map(|lane| lane.finish(&awake)).collect(),
        awake,
        stops,
        tops,
        rates,
        fx,
        fundings,
        marks,
        fairs: Fairs::default(),
        depths: Depths::default(),
        span,
    })
}
