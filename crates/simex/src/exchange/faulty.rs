//! Faults of the market itself: what is shown, what the rules are, what the clock says, and whom the servers ask.
//!
//! Whenever a fault begins or ends, everything that faults decide is worked out anew from those that last then, so that
//! overlapping ones never leave anything behind.

use crossbook_engine::instrument::TickRule;
use crossbook_engine::units::{Qty, TimestampNs};

use super::book::Veil;
use super::{BookView, Exchange, MarketEventKind, MarketInfo, Notice, OrderState, Status, Venue};
use crate::faults::{Fault, FaultKind, FaultNotice, InjectError, Stage, Target};

/// How far the exchange's clock is off.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drift {
    offset_ns: i64,
    ppm: i64,
    since: TimestampNs,
}

impl Drift {
    /// What it shows at a true time.
    pub fn read(&self, now: TimestampNs) -> TimestampNs {
        let drift = i128::from(now.since(self.since)) * i128::from(self.ppm) / 1_000_000;
        now.plus(self.offset_ns).plus(i64::try_from(drift).unwrap_or(i64::MAX))
    }
}

/// What faults decide for one market.
struct Effects {
    veil: Veil,
    hang: Option<u8>,
    rate: f64,
    info: MarketInfo,
}

impl Exchange {
    /// What is to go wrong with what a server is about to do; cheap when nothing is.
    pub fn strike(&mut self, stage: Stage, target: &Target<'_>) -> Vec<FaultKind> {
        let hits = self.faults.strike(self.now, stage, target);
        if let Some(truth) = &mut self.truth {
            for (fault, _) in &hits {
                truth.hit(self.now, *fault, target);
            }
        }
        hits.into_iter().map(|(_, kind)| kind).collect()
    }

    /// The book as it was when a fault of stale snapshots began, while that lasts.
    pub fn old_book(&self, venue: Venue, symbol: &str, depth: usize) -> Option<BookView> {
        let old = self.markets[self.index(venue, symbol)?].old.as_ref()?;
        Some(BookView {
            last_id: old.last_id,
            ts: old.ts,
            bids: old.bids.iter().take(depth).copied().collect(),
            asks: old.asks.iter().take(depth).copied().collect(),
        })
    }

    /// Adds faults to the script; `at_s` counts from now. Their numbers in the truth log.
    ///
    /// # Errors
    /// When a fault does not go with this exchange.
    pub fn inject(&mut self, faults: Vec<Fault>) -> Result<Vec<usize>, InjectError> {
        let bursts = faults.iter().any(|fault| matches!(fault.kind, FaultKind::Burst { .. }));
        if bursts
            && let Some(market) = self.markets.first()
            && !self.source.set_rate(0, market.rate)
        {
            return Err(InjectError::OneRate);
        }
        self.faults.inject(faults, self.now)
    }

    /// Ends a fault of the script by its number, for good. Whether there is one.
    pub fn end_fault(&mut self, number: usize) -> bool {
        self.faults.end(number, self.now)
    }

    /// Begins and ends the faults that are due now.
    pub(super) fn step_faults(&mut self, out: &mut Vec<Notice>) {
        let mut notices = Vec::new();
        self.faults.step(self.now, &mut notices);
        let mut anew = false;
        for notice in notices {
            self.keep_old(&notice);
            if let Some(truth) = &mut self.truth {
                truth.fault(&notice);
            }
            anew |= notice.kind.stage() == Stage::Told;
            out.push(Notice::Fault(notice));
        }
        if anew {
            self.set_clock();
            for index in 0..self.markets.len() {
                self.apply_effects(index, out);
            }
            self.tell_balances(out);
        }
    }

    fn keep_old(&mut self, notice: &FaultNotice) {
        if !matches!(notice.kind, FaultKind::StaleSnapshot { .. }) {
            return;
        }
        for index in 0..self.markets.len() {
            let info = &self.infos[index];
            if notice.scope.covers_market(info.venue, &info.symbol) {
                let (venue, symbol) = (info.venue, info.symbol.clone());
                let view = notice.begins.then(|| self.book(venue, &symbol, usize::MAX)).flatten();
                self.markets[index].old = view;
            }
        }
    }

    fn set_clock(&mut self) {
        let mut clock = Drift::default();
        for (_, kind, _, since) in self.faults.active() {
            if let FaultKind::Clock { offset_ms, drift_ppm } = *kind {
                clock = Drift {
                    offset_ns: offset_ms.saturating_mul(1_000_000),
                    ppm: drift_ppm,
                    since,
                };
            }
        }
        self.clock = clock;
    }

    fn effects(&self, index: usize) -> Effects {
        let mut effects = Effects {
            veil: Veil::default(),
            hang: None,
            rate: 1.0,
            info: self.listed[index].clone(),
        };
        let (venue, symbol) = (effects.info.venue, effects.info.symbol.clone());
        for (_, kind, scope, _) in self.faults.active() {
            if !scope.covers_market(venue, &symbol) {
                continue;
            }
            let info = &mut effects.info;
            match kind {
                FaultKind::Crossed => effects.veil.crossed = true,
                FaultKind::Frozen => effects.veil.frozen = true,
                FaultKind::EmptySide { bids, asks } => {
                    effects.veil.no_bids |= bids;
                    effects.veil.no_asks |= asks;
                }
                FaultKind::Absurd { factor } => effects.veil.factor = Some(*factor),
                FaultKind::Burst { factor } => effects.rate *= factor,
                FaultKind::PartialFill { percent } => effects.hang = Some(*percent),
                FaultKind::Halt => info.status = Status::Halted,
                FaultKind::CancelOnly => info.status = Status::CancelOnly,
                FaultKind::Delist => info.status = Status::Delisted,
                FaultKind::Rules { tick, lot, min_total } => {
                    if let Some(tick) = tick {
                        info.tick = TickRule::Fixed(*tick);
                    }
                    if let Some(lot) = lot {
                        info.lot = *lot;
                        info.min_qty = (*lot).max(Qty::from_raw(1).unwrap_or(Qty::ZERO));
                    }
                    if let Some(total) = min_total {
                        info.min_total = *total;
                    }
                }
                _ => {}
            }
        }
        // Nothing is matched then, and a book that went on without it would come to be crossed.
        effects.veil.frozen |= effects.info.status != Status::Trading;
        effects
    }

    fn apply_effects(&mut self, index: usize, out: &mut Vec<Notice>) {
        let effects = self.effects(index);
        let market = &mut self.markets[index];
        if market.rate != effects.rate {
            market.rate = effects.rate;
            self.source.set_rate(index, effects.rate);
        }
        let resumes = market.hang.is_some() && effects.hang.is_none();
        market.hang = effects.hang;
        market.book.set_veil(effects.veil);
        if self.infos[index] != effects.info {
            self.infos[index] = effects.info;
            self.tell(index, MarketEventKind::Rules, out);
        }
        match self.infos[index].status {
            Status::Delisted => self.end_all(index, out),
            Status::Trading => {
                if resumes {
                    self.release(index, out);
                }
                self.uncross(index, out);
                self.begin_reached(index, out);
            }
            Status::CancelOnly | Status::Halted => {}
        }
        self.publish(index, out);
    }

    /// A market is gone, and its orders with it.
    fn end_all(&mut self, index: usize, out: &mut Vec<Notice>) {
        let open: Vec<u64> = self.orders.open_in(index).collect();
        for id in open {
            self.end(id, OrderState::Cancelled, out);
        }
    }
}
