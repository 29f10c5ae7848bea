//! Faults on demand: what may go wrong, when, and to whom.
//!
//! A script ([`Script`]) says which; [`Faults`] keeps its schedule on the exchange's true time and answers, for each thing
//! that the servers are about to do, what is to go wrong with it. Faults of the market itself are carried out by the
//! exchange. What always holds: the schedule is a function of script, seed, start and the markets; without an active
//! fault a question costs one comparison.

mod inject;
mod script;
#[cfg(test)]
mod tests;

use crossbook_engine::rng::Rng;
use crossbook_engine::units::{Amount, Price, Qty, TimestampNs};

pub use inject::InjectError;
pub use script::{Fault, Script, ScriptError, one};

use crate::exchange::{MarketInfo, Symbol, Venue};

/// What goes wrong. Times are milliseconds of the exchange.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    // Sockets, at once: the servers do it when [`FaultNotice`] says that it begins.
    /// RST, in the middle of a frame if wished.
    Reset {
        /// Half a frame is sent before.
        mid_frame: bool,
    },
    /// A close frame.
    Close {
        /// Its code.
        code: u16,
    },
    /// Binance's `serverShutdown`, then a close.
    ServerShutdown {
        /// How long after.
        close_after_ms: u64,
    },
    /// So many pings in one go.
    PingFlood {
        /// How many.
        pings: u32,
    },

    // New connections.
    /// TCP connections are reset at once.
    Refuse,
    /// The socket is dropped while the handshake is under way.
    HandshakeDrop,
    /// The handshake is answered with this status.
    HandshakeStatus {
        /// Which (403, 418, 429).
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after_s: Option<u64>,
    },

    // Subscriptions.
    /// It is accepted, and nothing comes.
    NoData,
    /// An error object comes in place of data.
    ErrorInstead,

    // Sockets, while it lasts.
    /// Nothing is sent at all, not even a pong; the socket stays open.
    Silence,
    /// Pings are not answered.
    NoPong,
    /// Everything is sent later.
    Delay {
        /// By this much.
        ms: u64,
        /// And up to this much more, at random.
        jitter_ms: u64,
    },
    /// Messages are sent in fragments.
    Fragments {
        /// Bytes in each.
        bytes: usize,
    },

    // Frames, and bodies of REST answers.
    /// It is not sent.
    Drop,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the one that follows.
    Reorder,
    /// Only its first part is sent.
    Cut,
    /// A byte in it is no UTF-8.
    BadUtf8,
    /// Random bytes are sent in its place.
    Garbage,
    /// A message of a kind that nobody knows is sent before it.
    UnknownKind,
    /// It has one more field.
    NewField,
    /// It lacks a field.
    MissingField,
    /// A message of so many bytes is sent before it.
    BigFrame {
        /// How many.
        bytes: usize,
    },

    // Requests.
    /// The answer is this status.
    Status {
        /// Which (418, 429, 500, 503).
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after_s: Option<u64>,
        /// Whether the request was carried out all the same.
        applied: bool,
    },
    /// The answer comes later.
    Slow {
        /// By this much.
        ms: u64,
    },
    /// No answer comes, and the connection goes.
    Lost {
        /// Whether the request was carried out all the same.
        applied: bool,
    },
    /// A book as it was when the fault began is given ([`crate::exchange::Exchange::old_book`]).
    StaleSnapshot {
        /// How old it is at least.
        age_ms: u64,
    },

    // The market itself; the exchange does it.
    /// A bid stands above the best ask.
    Crossed,
    /// The book stands still while everything else goes on.
    Frozen,
    /// A side of the book is empty.
    EmptySide {
        /// The bids.
        bids: bool,
        /// The asks.
        asks: bool,
    },
    /// All prices shown are this many times what they were.
    Absurd {
        /// How many times.
        factor: f64,
    },
    /// Everything happens this much more often.
    Burst {
        /// How much.
        factor: f64,
    },
    /// The market has other rules.
    Rules {
        /// One tick at every price.
        tick: Option<Price>,
        /// Step of quantities, which is the least one, too.
        lot: Option<Qty>,
        /// Smallest total of an order.
        min_total: Option<Amount>,
    },
    /// The market stands still; orders and cancels are refused.
    Halt,
    /// Orders are refused.
    CancelOnly,
    /// The market is gone; its orders are cancelled.
    Delist,
    /// The exchange's clock is off.
    Clock {
        /// From the beginning by this much.
        offset_ms: i64,
        /// And by this much more as time passes, in millionths.
        drift_ppm: i64,
    },
    /// Orders fill in part, then nothing more happens to them until it ends.
    PartialFill {
        /// The part.
        percent: u8,
    },
}

/// At what point the servers have to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not to be asked for: [`FaultNotice`] tells the servers, or the exchange does it.
    Told,
    /// A TCP connection was made.
    Accept,
    /// A WebSocket handshake came.
    Handshake,
    /// A stream was subscribed to.
    Subscribe,
    /// Anything is about to be written to a socket.
    Socket,
    /// A data frame is about to be sent, or the body of a REST answer.
    Frame,
    /// A request came.
    Request,
}

impl FaultKind {
    /// Where it strikes.
    pub fn stage(&self) -> Stage {
        use FaultKind as K;
        match self {
            K::Refuse => Stage::Accept,
            K::HandshakeDrop | K::HandshakeStatus { .. } => Stage::Handshake,
            K::NoData | K::ErrorInstead => Stage::Subscribe,
            K::Silence | K::NoPong | K::Delay { .. } | K::Fragments { .. } => Stage::Socket,
            K::Drop | K::Duplicate | K::Reorder | K::Cut | K::BadUtf8 | K::Garbage => Stage::Frame,
            K::UnknownKind | K::NewField | K::MissingField | K::BigFrame { .. } => Stage::Frame,
            K::Status { .. } | K::Slow { .. } | K::Lost { .. } | K::StaleSnapshot { .. } => Stage::Request,
            K::Reset { .. } | K::Close { .. } | K::ServerShutdown { .. } | K::PingFlood { .. } => Stage::Told,
            K::Crossed | K::Frozen | K::EmptySide { .. } | K::Absurd { .. } | K::Burst { .. } => Stage::Told,
            K::Rules { .. } | K::Halt | K::CancelOnly | K::Delist | K::Clock { .. } => Stage::Told,
            K::PartialFill { .. } => Stage::Told,
        }
    }
}

/// What kind of connection something goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surface {
    /// Market data over WebSocket.
    Stream,
    /// Account data and orders over WebSocket (Upbit's private socket, Binance's WebSocket API).
    Private,
    /// REST.
    Rest,
}

/// What the servers are about to do something to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// At which venue.
    pub venue: Venue,
    /// Over what.
    pub surface: Surface,
    /// The request's path, or the socket's.
    pub path: &'a str,
    /// Of which market, where it is of one.
    pub symbol: Option<&'a str>,
}

/// Whom an occurrence of a fault concerns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// All venues when absent.
    pub venue: Option<Venue>,
    /// All surfaces when absent.
    pub surface: Option<Surface>,
    /// Paths that begin so; all when absent.
    pub path: Option<String>,
    /// These markets and nothing else; everything when empty.
    pub symbols: Vec<(Venue, Symbol)>,
}

impl Scope {
    /// Whether it concerns this.
    pub fn covers(&self, target: &Target<'_>) -> bool {
        self.venue.is_none_or(|venue| venue == target.venue)
            && self.surface.is_none_or(|surface| surface == target.surface)
            && self.path.as_deref().is_none_or(|path| target.path.starts_with(path))
            && (self.symbols.is_empty()
                || target
                    .symbol
                    .is_some_and(|symbol| self.covers_market(target.venue, symbol)))
    }

    /// Whether it concerns this market.
    pub fn covers_market(&self, venue: Venue, symbol: &str) -> bool {
        self.venue.is_none_or(|only| only == venue)
            && (self.symbols.is_empty() || self.symbols.iter().any(|(at, name)| *at == venue && **name == *symbol))
    }
}

/// A fault begins or ends.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultNotice {
    /// Its place in the script, from zero.
    pub fault: usize,
    /// When, in true time.
    pub ts: TimestampNs,
    /// Whether it begins.
    pub begins: bool,
    /// What it is.
    pub kind: FaultKind,
    /// Whom it concerns.
    pub scope: Scope,
}

/// A fault that lasts.
#[derive(Debug, Clone)]
struct Active {
    /// Questions are answered with it from here on.
    from: TimestampNs,
    until: TimestampNs,
    hits_left: u32,
    scope: Scope,
}

#[derive(Debug)]
struct Entry {
    fault: Fault,
    rng: Rng,
    next: Option<TimestampNs>,
    begun: u32,
    active: Option<Active>,
}

/// The faults of a script, as time passes.
#[derive(Debug)]
pub struct Faults {
    entries: Vec<Entry>,
    markets: Vec<(Venue, Symbol)>,
    /// Active ones that are asked for.
    asked: usize,
    /// The earliest beginning or end.
    due: Option<TimestampNs>,
    seed: u64,
}

const SECOND_NS: f64 = 1e9;

fn span(seconds: f64) -> i64 {
    // Never is far enough away for any clock.
    if seconds.is_finite() {
        (seconds * SECOND_NS) as i64
    } else {
        i64::MAX
    }
}

impl Faults {
    /// The faults of a script that begins at `start`, over these markets.
    pub fn new(script: &Script, seed: u64, start: TimestampNs, markets: &[MarketInfo]) -> Faults {
        let entries = script
            .faults
            .iter()
            .enumerate()
            .map(|(index, fault)| {
                let mut rng = Rng::stream(seed, &format!("fault.{index}"));
                let first = fault.first_s(&mut rng);
                Entry {
                    fault: fault.clone(),
                    rng,
                    next: Some(start.plus(span(first))),
                    begun: 0,
                    active: None,
                }
            })
            .collect();
        let mut faults = Faults {
            entries,
            markets: markets.iter().map(|info| (info.venue, info.symbol.clone())).collect(),
            asked: 0,
            due: None,
            seed,
        };
        faults.look_ahead();
        faults
    }

    /// When the next one begins or ends.
    pub fn next_ts(&self) -> Option<TimestampNs> {
        self.due
    }

    fn look_ahead(&mut self) {
        let begins = self.entries.iter().filter_map(|entry| entry.next);
        let ends = self
            .entries
            .iter()
            .filter_map(|entry| Some(entry.active.as_ref()?.until));
        self.due = begins.chain(ends).filter(|ts| *ts < TimestampNs::MAX).min();
        let active = self.entries.iter().filter(|entry| entry.active.is_some());
        self.asked = active.filter(|entry| entry.fault.kind.stage() != Stage::Told).count();
    }

    /// Begins and ends what is due at the earliest time there is, if that is not after `to`; ends come first.
    pub fn step(&mut self, to: TimestampNs, out: &mut Vec<FaultNotice>) {
        let Some(now) = self.due.filter(|due| *due <= to) else {
            return;
        };
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if let Some(active) = entry.active.take_if(|active| active.until <= now) {
                out.push(FaultNotice {
                    fault: index,
                    ts: now,
                    begins: false,
                    kind: entry.fault.kind.clone(),
                    scope: active.scope,
                });
            }
        }
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if entry.next.is_some_and(|next| next <= now) {
                if let Some(active) = entry.active.take() {
                    // It begins again before it has ended.
                    out.push(FaultNotice {
                        fault: index,
                        ts: now,
                        begins: false,
                        kind: entry.fault.kind.clone(),
                        scope: active.scope,
                    });
                }
                entry.begin(index, now, &self.markets, out);
            }
        }
        self.look_ahead();
    }

    /// Those that last now, with their places in the script and since when.
    pub fn active(&self) -> impl Iterator<Item = (usize, &FaultKind, &Scope, TimestampNs)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            let active = entry.active.as_ref()?;
            Some((index, &entry.fault.kind, &active.scope, active.from))
        })
    }

    /// What is to go wrong with what is about to be done, in the order of the script. Each answer counts as one hit.
    pub fn strike(&mut self, now: TimestampNs, stage: Stage, target: &Target<'_>) -> Vec<(usize, FaultKind)> {
        if self.asked == 0 {
            return Vec::new();
        }
        let mut hits = Vec::new();
        let mut ended = false;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let Some(active) = entry.active.as_mut() else { continue };
            let strikes = entry.fault.kind.stage() == stage
                && active.hits_left > 0
                && active.from <= now
                && active.scope.covers(target)
                && (entry.fault.share >= 1.0 || entry.rng.uniform() < entry.fault.share);
            if strikes {
                active.hits_left -= 1;
                if active.hits_left == 0 {
                    active.until = active.until.min(now);
                    ended = true;
                }
                hits.push((index, entry.fault.kind.clone()));
            }
        }
        if ended {
            self.look_ahead();
        }
        hits
    }
}

impl Fault {
    /// In how many seconds it first begins.
    fn first_s(&self, rng: &mut Rng) -> f64 {
        match self.per_hour {
            Some(per_hour) => self.at_s + rng.exponential(3_600.0 / per_hour),
            None => self.at_s,
        }
    }
}

impl Entry {
    fn begin(&mut self, index: usize, now: TimestampNs, markets: &[(Venue, Symbol)], out: &mut Vec<FaultNotice>) {
        let fault = &self.fault;
        self.begun += 1;
        let again = fault.times.is_none_or(|times| self.begun < times);
        self.next = match (fault.per_hour, fault.every_s) {
            (Some(per_hour), _) if again => Some(now.plus(span(self.rng.exponential(3_600.0 / per_hour)).max(1))),
            (None, Some(every)) if again => Some(now.plus(span(every).max(1))),
            _ => None,
        };
        let mut scope = Scope {
            venue: fault.venue,
            surface: fault.surface,
            path: fault.path.clone(),
            symbols: Vec::new(),
        };
        let mut candidates: Vec<&(Venue, Symbol)> = markets
            .iter()
            .filter(|(venue, symbol)| {
                fault.venue.is_none_or(|only| only == *venue)
                    && (fault.markets.is_empty() || fault.markets.iter().any(|name| **name == **symbol))
            })
            .collect();
        if let Some(pick) = fault.pick {
            for _ in 0..pick.min(candidates.len()) {
                let chosen = self.rng.below(candidates.len() as u64) as usize;
                scope.symbols.push(candidates.swap_remove(chosen).clone());
            }
            scope.symbols.sort();
        } else if !fault.markets.is_empty() {
            scope.symbols = candidates.into_iter().cloned().collect();
        }
        let lasts = fault.for_s > 0.0;
        out.push(FaultNotice {
            fault: index,
            ts: now,
            begins: true,
            kind: fault.kind.clone(),
            scope: scope.clone(),
        });
        if lasts {
            let wait = match fault.kind {
                FaultKind::StaleSnapshot { age_ms } => {
                    i64::try_from(age_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
                }
                _ => 0,
            };
            self.active = Some(Active {
                from: now.plus(wait),
                until: now.plus(span(fault.for_s)),
                hits_left: fault.count.unwrap_or(u32::MAX),
                scope,
            });
        }
    }
}
