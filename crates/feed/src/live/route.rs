//! From the messages of one frame or answer to the books of their markets, and what the frame counts as.

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::EventKind;

use super::account::Account;
use super::market::MarketState;
use super::venue::VenueState;
use crate::book::{Fate, Flag, MarketBook, MarketIx, Message, Out, Output};
use crate::clock::Stamp;
use crate::input::{VenueIx, Via};
use crate::venue::StreamKind;
use crate::wire::{self, Role};

/// The way of the messages of one frame or answer to their markets.
pub(super) struct Route<'a, 'o> {
    pub now: Stamp,
    pub venue: VenueIx,
    pub via: Via,
    /// Whose a message is that does not say so.
    pub only: Option<&'a str>,
    pub state: &'a mut VenueState,
    pub markets: &'a mut [MarketState],
    pub due_ns: &'a mut i64,
    pub tally: Tally,
    pub out: &'a mut Out<'o>,
}

/// What became of the messages of one frame. A frame counts as the best that became of any of them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    applied: bool,
    kept: bool,
    ignored: bool,
}

impl Route<'_, '_> {
    /// Takes a message to its market.
    pub fn message(&mut self, message: &wire::Message<'_>) {
        match self.fate(message) {
            Fate::Applied => self.tally.applied = true,
            Fate::Kept => self.tally.kept = true,
            Fate::Ignored(why) => {
                // `Other` has its name in the message.
                let kind = match message.body {
                    wire::Body::Other(kind) => kind,
                    _ => why,
                };
                if !self.tally.ignored {
                    self.tally.ignored = true;
                    self.state.ignored.clear();
                    self.state.ignored.push_str(kind);
                }
            }
        }
    }

    fn fate(&mut self, message: &wire::Message<'_>) -> Fate {
        match message.body {
            wire::Body::Other(_) => return Fate::Ignored("other"),
            wire::Body::Refusal(_) => return Fate::Ignored("refusal"),
            wire::Body::Shutdown => return Fate::Ignored("serverShutdown"),
            wire::Body::Book(_) | wire::Body::Trade(_) | wire::Body::Ticker(_) | wire::Body::Mark(_) => {}
        }
        let Some(symbol) = message.symbol.or(self.only) else {
            return Fate::Ignored("message that names no market");
        };
        let Some(&ix) = self.state.by_symbol.get(symbol) else {
            return Fate::Ignored("other market");
        };
        let fresh_ns = self.clocks(message);
        let market = &mut self.markets[usize::from(ix.0)];
        if let Via::WebSocket(conn) = self.via {
            market.fed_by(conn);
        }
        let fate = self.market(ix, message, fresh_ns);
        let book = &mut self.markets[usize::from(ix.0)].book;
        settle(&mut self.state.account, book);
        *self.due_ns = (*self.due_ns).min(book.due_ns());
        fate
    }

    /// When the content of a message was made, on our monotonic clock.
    fn clocks(&mut self, message: &wire::Message<'_>) -> i64 {
        let Some(ts) = message.ts_event else {
            return self.now.mono_ns;
        };
        if !message.initial && matches!(self.via, Via::WebSocket(_)) {
            self.state.latency.observe(self.now.ts.0.saturating_sub(ts.0));
        }
        let (fresh_ns, changed) = self.state.clock.observe(self.now, ts.0);
        if changed {
            for (flag, on) in [
                (Flag::VenueAhead, self.state.clock.ahead),
                (Flag::VenueDrift, self.state.clock.drift),
            ] {
                (self.out)(Output::Flag {
                    venue: self.venue,
                    flag,
                    on,
                });
            }
        }
        fresh_ns
    }

    fn market(&mut self, ix: MarketIx, message: &wire::Message<'_>, fresh_ns: i64) -> Fate {
        let polling = self.state.links.polling();
        let MarketState {
            book, trades, funding, ..
        } = &mut self.markets[usize::from(ix.0)];
        let mut entry = Message {
            now: self.now,
            via: self.via,
            fresh_ns,
            ts: message.ts_event,
            ids: MessageIds {
                ts_event: message.ts_event.map_or(0, |ts| ts.0),
                ..MessageIds::default()
            },
            bids: &[],
            asks: &[],
        };
        let rest = self.via == Via::Rest;
        match &message.body {
            wire::Body::Book(from) => {
                if from.grouping != 0 {
                    return Fate::Ignored("book of rounded prices");
                }
                (entry.ids, entry.bids, entry.asks) = (from.ids, from.bids, from.asks);
                match (from.role, self.state.source) {
                    (Role::Whole, _) if rest => book.answer(&entry, polling, self.out),
                    (Role::Diff, StreamKind::Book) => book.diff(&entry, self.out),
                    (Role::Whole, StreamKind::Book | StreamKind::PartialBook) => book.whole(&entry, self.out),
                    _ => Fate::Ignored("stream that does not make the book"),
                }
            }
            wire::Body::Ticker(ticker) => {
                if self.state.source != StreamKind::BookTicker {
                    return Fate::Ignored("stream that does not make the book");
                }
                entry.ids.last = Some(ticker.id);
                (entry.bids, entry.asks) = (ticker.bid.as_slice(), ticker.ask.as_slice());
                book.whole(&entry, self.out)
            }
            wire::Body::Trade(trade) => {
                if rest {
                    return Fate::Ignored("trades of an answer");
                }
                if !trades.is_new(trade.id) {
                    return Fate::Ignored("trade seen before");
                }
                if message.initial {
                    return Fate::Ignored("trade of before the subscription");
                }
                entry.ids.last = Some(trade.id);
                let kind = EventKind::Trade {
                    price: trade.price,
                    qty: trade.qty,
                    taker: trade.taker,
                };
                book.event(&entry, kind, self.out);
                Fate::Applied
            }
            wire::Body::Mark(mark) => {
                let at = message.ts_event.unwrap_or(self.now.ts).0;
                if let Some((rate, mark)) = funding.told(at, mark) {
                    book.event(&entry, EventKind::Funding { rate, mark }, self.out);
                }
                Fate::Applied
            }
            wire::Body::Other(_) | wire::Body::Refusal(_) | wire::Body::Shutdown => Fate::Ignored("other"),
        }
    }

    /// Counts the frame.
    pub fn close(self, bytes: &[u8], error: Option<&wire::WireError>) {
        let account = &mut self.state.account;
        if let Some(error) = error {
            account.quarantined += 1;
            (self.out)(Output::Quarantined {
                venue: self.venue,
                stamp: self.now,
                bytes,
                error,
            });
        } else if self.tally.applied {
            account.applied += 1;
        } else if self.tally.kept {
            account.waiting += 1;
        } else if self.tally.ignored {
            account.ignore(&self.state.ignored, 1);
        } else {
            account.ignore("empty", 1);
        }
    }
}

/// Counts frames that had waited.
pub(super) fn settle(account: &mut Account, book: &mut MarketBook) {
    let settled = book.settled();
    account.waiting = account.waiting.saturating_sub(settled.applied + settled.ignored);
    account.applied += settled.applied;
    account.ignore("diff that a snapshot made needless", settled.ignored);
}
