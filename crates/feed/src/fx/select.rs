//! Which rate is in use: quotes in, with the time they were read; rates, switches and refusals out.
//!
//! Ages run on the monotonic clock from the moment a quote was read; how old it was by then is told by the wall clock once, so
//! a step of the wall clock later changes nothing. A rate that reaches its limit ends at that instant, however late that is
//! noticed: counts and events do not depend on how often time is told.

use std::collections::BTreeMap;

use crossbook_engine::units::{Amount, FxRate, Price, SCALE, TimestampNs};

use super::config::day;
use super::{FxConfig, FxConfigError, FxEvent, Rate, Reading, Refusal, Said, SourceKind, SwitchReason};
use crate::clock::Stamp;

/// A source: its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceIx(pub u8);

const MS: i64 = 1_000_000;

#[derive(Debug, Clone)]
struct Source {
    config: super::SourceConfig,
    last: Option<Accepted>,
    /// Why its newest quote was refused, if it was.
    refused: Option<Refusal>,
    stats: SourceStats,
}

/// A quote that was believed.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    rate: FxRate,
    sides: Option<(Price, Price)>,
    ts_event: TimestampNs,
    /// The source's own time, which may be a little ahead of ours; only compared with its next.
    ts_source: TimestampNs,
    /// Monotonic instant of age zero.
    born_mono: i64,
    /// Last monotonic instant at which it is good.
    until_mono: i64,
}

/// What became of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// Quotes believed.
    pub accepted: u64,
    /// Quotes not believed, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// For how long its rate was the one in use.
    pub in_use_ns: i64,
}

/// What became of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FxStats {
    /// By source, in the order of the configuration, with its name.
    pub sources: Vec<(String, SourceStats)>,
    /// How often the source in use changed.
    pub switches: u64,
    /// Time without any rate.
    pub without_ns: i64,
    /// Time with and without, from the first moment told to the last.
    pub covered_ns: i64,
}

/// The rate in use, and what stands ready behind it.
#[derive(Debug, Clone)]
pub struct FxBook {
    config: FxConfig,
    sources: Vec<Source>,
    in_use: Option<SourceIx>,
    /// Told last; `None` before the first.
    now: Option<Stamp>,
    started_mono: i64,
    told: Option<(FxRate, i64)>,
    last_ts_event: TimestampNs,
    switches: u64,
    without_ns: i64,
}

impl FxBook {
    /// A book of rates that knows nothing but its constants.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(config: FxConfig) -> Result<FxBook, FxConfigError> {
        config.validate()?;
        Ok(FxBook {
            sources: config
                .sources
                .iter()
                .map(|source| Source {
                    config: source.clone(),
                    last: None,
                    refused: None,
                    stats: SourceStats::default(),
                })
                .collect(),
            config,
            in_use: None,
            now: None,
            started_mono: 0,
            told: None,
            last_ts_event: TimestampNs::MIN,
            switches: 0,
            without_ns: 0,
        })
    }

    /// The source of this name.
    pub fn source(&self, name: &str) -> Option<SourceIx> {
        let at = self.sources.iter().position(|source| source.config.name == name)?;
        u8::try_from(at).ok().map(SourceIx)
    }

    /// The source that is the book of this market.
    pub fn book_source(&self, venue_name: &str, symbol: &str) -> Option<SourceIx> {
        let at = self.sources.iter().position(|source| {
            matches!(&source.config.from, SourceKind::Book { venue, market, .. } if venue == venue_name && market == symbol)
        })?;
        u8::try_from(at).ok().map(SourceIx)
    }

    /// A source's name.
    pub fn name(&self, source: SourceIx) -> &str {
        self.sources
            .get(usize::from(source.0))
            .map_or("", |source| &source.config.name)
    }

    /// A source over HTTP answered, or failed to; an unknown source is passed over.
    pub fn on_reading(&mut self, at: Stamp, reading: &Reading, out: &mut Vec<FxEvent>) {
        self.advance(at, out);
        let Some(source) = self.source(&reading.source) else {
            return;
        };
        match reading.said {
            Said::Quote { rate, ts_event } => self.quote(at, source, rate, None, ts_event, out),
            Said::Failed { .. } => self.refuse(source, None, Refusal::Missing, out),
        }
    }

    /// The best prices of the book behind a source changed, or were confirmed; `None` when it may not be priced (not live, a
    /// side missing).
    pub fn on_book(
        &mut self,
        at: Stamp,
        source: SourceIx,
        top: Option<(Price, Price)>,
        ts_event: TimestampNs,
        out: &mut Vec<FxEvent>,
    ) {
        self.advance(at, out);
        let Some(entry) = self.sources.get_mut(usize::from(source.0)) else {
            return;
        };
        let SourceKind::Book { max_spread_bps, .. } = entry.config.from else {
            return;
        };
        let Some((bid, ask)) = top else {
            entry.last = None;
            if self.in_use == Some(source) {
                self.choose(at, SwitchReason::NotLive, out);
            }
            return;
        };
        let mid = Amount::from_raw(Price::mid(bid, ask).raw()).unwrap_or(Amount::ZERO);
        if bid >= ask {
            return self.refuse(source, Some(mid), Refusal::Crossed, out);
        }
        if apart(bid.raw(), ask.raw(), max_spread_bps) {
            return self.refuse(source, Some(mid), Refusal::Wide, out);
        }
        self.quote(at, source, mid, Some((bid, ask)), ts_event, out);
    }

    /// Tells the time: rates that have reached their limit by then end.
    pub fn advance(&mut self, now: Stamp, out: &mut Vec<FxEvent>) {
        if self.now.is_none() {
            self.now = Some(now);
            self.started_mono = now.mono_ns;
            self.constants(now);
            self.choose(now, SwitchReason::Found, out);
        }
        // Each turn ends one source's rate, so there are no more turns than sources.
        while let Some(source) = self.in_use {
            let Some(until) = self.last(source).map(|last| last.until_mono) else {
                break;
            };
            if until >= now.mono_ns {
                break;
            }
            let instant = Stamp {
                mono_ns: until + 1,
                ts: now.ts.plus(until + 1 - now.mono_ns),
            };
            self.spend(instant);
            self.choose(instant, SwitchReason::Aged, out);
        }
        self.spend(now);
    }

    /// The rate in use, if there is one that is good at this time.
    pub fn current(&self, now: Stamp) -> Option<Rate> {
        self.sources.iter().enumerate().find_map(|(at, source)| {
            let last = source.last.as_ref().filter(|last| last.until_mono >= now.mono_ns)?;
            Some(Rate {
                rate: last.rate,
                sides: last.sides,
                source: SourceIx(u8::try_from(at).ok()?),
                ts_event: last.ts_event,
                age_ns: (now.mono_ns - last.born_mono).max(0),
            })
        })
    }

    /// What became of everything so far.
    pub fn stats(&self) -> FxStats {
        FxStats {
            sources: self
                .sources
                .iter()
                .map(|source| (source.config.name.clone(), source.stats.clone()))
                .collect(),
            switches: self.switches,
            without_ns: self.without_ns,
            covered_ns: self.now.map_or(0, |now| now.mono_ns - self.started_mono),
        }
    }

    fn last(&self, source: SourceIx) -> Option<&Accepted> {
        self.sources.get(usize::from(source.0))?.last.as_ref()
    }

    /// Constants are believed from the beginning, until their day is too long ago.
    fn constants(&mut self, now: Stamp) {
        for source in &mut self.sources {
            if let SourceKind::Constant { rate, date } = &source.config.from
                && let Some(ts_event) = day(date)
            {
                let refused = if ts_event > now.ts {
                    Some(Refusal::Future)
                } else {
                    let last = accepted(now, *rate, None, ts_event, source.config.max_age_ms);
                    if last.until_mono < now.mono_ns {
                        Some(Refusal::Stale)
                    } else {
                        source.last = Some(last);
                        source.stats.accepted += 1;
                        None
                    }
                };
                if let Some(reason) = refused {
                    *source.stats.refused.entry(reason).or_default() += 1;
                }
            }
        }
    }

    fn quote(
        &mut self,
        at: Stamp,
        source: SourceIx,
        value: Amount,
        sides: Option<(Price, Price)>,
        ts_event: TimestampNs,
        out: &mut Vec<FxEvent>,
    ) {
        match self.judge(at, source, value, sides, ts_event) {
            Err(reason) => self.refuse(source, Some(value), reason, out),
            Ok(last) => {
                if let Some(entry) = self.sources.get_mut(usize::from(source.0)) {
                    entry.last = Some(last);
                    entry.refused = None;
                    entry.stats.accepted += 1;
                }
                match self.in_use {
                    Some(used) if used == source => self.tell(at, out),
                    Some(used) if used > source => self.choose(at, SwitchReason::Preferred, out),
                    Some(_) => {}
                    None => self.choose(at, SwitchReason::Found, out),
                }
            }
        }
    }

    fn judge(
        &self,
        at: Stamp,
        source: SourceIx,
        value: Amount,
        sides: Option<(Price, Price)>,
        ts_event: TimestampNs,
    ) -> Result<Accepted, Refusal> {
        let band = &self.config.band;
        let raw = value.raw();
        let Ok(rate) = FxRate::from_raw(raw) else {
            return Err(if raw == 0 { Refusal::Zero } else { Refusal::Negative });
        };
        let plausible = |wide: i128| (i128::from(band.low.raw())..=i128::from(band.high.raw())).contains(&wide);
        if !plausible(i128::from(raw)) {
            let wide = i128::from(raw);
            let inverse = i128::from(SCALE) * i128::from(SCALE) / wide;
            return Err(if plausible(inverse) {
                Refusal::Inverted
            } else if plausible(wide * 100) || plausible(wide / 100) {
                Refusal::Scaled
            } else {
                Refusal::OutOfBand
            });
        }
        let Some(entry) = self.sources.get(usize::from(source.0)) else {
            return Err(Refusal::Missing);
        };
        let ahead = ts_event.since(at.ts);
        if ahead > ms(band.clock_ahead_ms) {
            return Err(Refusal::Future);
        }
        let new = accepted(at, rate, sides, ts_event, entry.config.max_age_ms);
        if new.until_mono < at.mono_ns {
            return Err(Refusal::Stale);
        }
        // A last rate that is itself too old judges nobody, so that a real move does not lock a source out for ever.
        if let Some(last) = entry.last.as_ref().filter(|last| last.until_mono >= at.mono_ns) {
            if ts_event < last.ts_source {
                return Err(Refusal::Older);
            }
            if apart(last.rate.raw(), raw, band.max_jump_bps) {
                return Err(Refusal::Jump);
            }
        }
        let others = self.sources.iter().enumerate();
        let far = others
            .filter(|(other, _)| *other != usize::from(source.0))
            .filter_map(|(_, other)| other.last.as_ref().filter(|last| last.until_mono >= at.mono_ns))
            .any(|last| apart(last.rate.raw(), raw, band.max_apart_bps));
        if far { Err(Refusal::Apart) } else { Ok(new) }
    }

    /// Each is counted, and told when the one before was believed or refused for another reason: a book that stays too
    /// wide would tell of nothing else.
    fn refuse(&mut self, source: SourceIx, value: Option<Amount>, reason: Refusal, out: &mut Vec<FxEvent>) {
        let Some(entry) = self.sources.get_mut(usize::from(source.0)) else {
            return;
        };
        *entry.stats.refused.entry(reason).or_default() += 1;
        if entry.refused.replace(reason) != Some(reason) {
            out.push(FxEvent::Refused { source, value, reason });
        }
    }

    /// Takes the first source that has a good rate at this instant.
    fn choose(&mut self, at: Stamp, reason: SwitchReason, out: &mut Vec<FxEvent>) {
        let from = self.in_use;
        self.in_use = self.current(at).map(|rate| rate.source);
        if self.in_use != from {
            self.switches += 1;
            out.push(FxEvent::Switch {
                at: at.ts,
                from,
                to: self.in_use,
                reason,
            });
            self.told = None;
            self.tell(at, out);
        }
    }

    /// Tells the rate in use, unless it was told just so a moment ago.
    fn tell(&mut self, at: Stamp, out: &mut Vec<FxEvent>) {
        let Some(source) = self.in_use else {
            return;
        };
        let Some(&Accepted {
            rate, sides, ts_event, ..
        }) = self.last(source)
        else {
            return;
        };
        let again = match self.told {
            None => true,
            Some((told, when)) => told != rate || at.mono_ns - when >= ms(self.config.repeat_ms),
        };
        if again {
            self.told = Some((rate, at.mono_ns));
            self.last_ts_event = self.last_ts_event.max(ts_event);
            out.push(FxEvent::Rate {
                rate,
                sides,
                source,
                ts_event: self.last_ts_event,
            });
        }
    }

    /// Puts the time since it was told last on the account of the source in use, or of none.
    fn spend(&mut self, until: Stamp) {
        let Some(now) = self.now else {
            return;
        };
        let span = until.mono_ns - now.mono_ns;
        if span <= 0 {
            return;
        }
        match self
            .in_use
            .and_then(|source| self.sources.get_mut(usize::from(source.0)))
        {
            Some(source) => source.stats.in_use_ns += span,
            None => self.without_ns += span,
        }
        self.now = Some(until);
    }
}

fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(MS)
}

fn accepted(
    at: Stamp,
    rate: FxRate,
    sides: Option<(Price, Price)>,
    ts_event: TimestampNs,
    max_age_ms: u64,
) -> Accepted {
    let age = at.ts.since(ts_event).max(0);
    let born_mono = at.mono_ns.saturating_sub(age);
    Accepted {
        rate,
        sides,
        ts_event: ts_event.min(at.ts),
        ts_source: ts_event,
        born_mono,
        until_mono: born_mono.saturating_add(ms(max_age_ms)),
    }
}

/// Whether two rates are farther apart than so many basis points of the first.
fn apart(a: i64, b: i64, most_bps: u32) -> bool {
    (i128::from(b) - i128::from(a)).abs() * 10_000 > i128::from(a) * i128::from(most_bps)
}
