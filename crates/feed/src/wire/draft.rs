//! Messages on their way: kept in buffers that are used again, and handed on when the whole frame has proved good.

use std::borrow::Cow;
use std::ops::Range;

use crossbook_engine::book::sync::MessageIds;
use crossbook_engine::event::Level;
use crossbook_engine::units::TimestampNs;

use super::cursor::Cursor;
use super::{Body, Book, Mark, Message, Refusal, Role, Ticker, Trade, WireError};

/// Buffers that one reader uses again for every frame. They grow to the largest frame seen and then stay.
#[derive(Debug, Default)]
pub struct Scratch {
    drafts: Vec<Draft>,
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
    /// Texts that the frame does not have as they are told.
    made: String,
}

/// A message whose texts and levels are still places in the buffers.
#[derive(Debug)]
pub(super) struct Draft {
    pub symbol: Words,
    pub stream: Words,
    pub ts_event: Option<TimestampNs>,
    pub initial: bool,
    pub body: DraftBody,
}

/// As [`Body`].
#[derive(Debug)]
pub(super) enum DraftBody {
    Book(DraftBook),
    Trade(Trade),
    Ticker(Ticker),
    Mark(Mark),
    Shutdown,
    Other(Words),
    Refusal { code: Words, message: Words },
}

/// As [`Book`].
#[derive(Debug)]
pub(super) struct DraftBook {
    pub role: Role,
    pub ids: MessageIds,
    pub bids: Range<usize>,
    pub asks: Range<usize>,
    pub grouping: i64,
}

/// A text, by its place.
#[derive(Debug, Clone, Default)]
pub(super) enum Words {
    /// There is none.
    #[default]
    None,
    /// Ours.
    Fixed(&'static str),
    /// In the frame.
    Sent(Range<usize>),
    /// Among those made.
    Made(Range<usize>),
}

impl Draft {
    /// One that says no more than this.
    pub fn bare(stream: Words, body: DraftBody) -> Draft {
        Draft {
            symbol: Words::None,
            stream,
            ts_event: None,
            initial: false,
            body,
        }
    }
}

impl Scratch {
    /// Forgets the last frame.
    pub(super) fn clear(&mut self) {
        self.drafts.clear();
        self.bids.clear();
        self.asks.clear();
        self.made.clear();
    }

    /// Keeps a message.
    pub(super) fn push(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    /// Reads a text.
    pub(super) fn words(&mut self, cursor: &mut Cursor<'_>) -> Result<Words, WireError> {
        let start = cursor.place() + 1;
        Ok(match cursor.string()? {
            Cow::Borrowed(text) => Words::Sent(start..start + text.len()),
            Cow::Owned(text) => self.make(text.chars()),
        })
    }

    /// Reads any value as it is written, a text without its quotes.
    pub(super) fn raw_words(&mut self, cursor: &mut Cursor<'_>) -> Result<Words, WireError> {
        let quoted = cursor.peek() == b'"';
        let start = cursor.place() + usize::from(quoted);
        let raw = cursor.raw()?;
        Ok(Words::Sent(start..start + raw.len()))
    }

    /// Whose a stream of Binance is: its name begins with the symbol, in lower case.
    pub(super) fn symbol_of(&mut self, sent: &str, stream: &Words) -> Words {
        let name = match stream {
            Words::Sent(range) => Cow::Borrowed(sent.get(range.clone()).unwrap_or_default()),
            made => Cow::Owned(self.text(sent, made).unwrap_or_default().to_owned()),
        };
        match name.split('@').next() {
            None | Some("") => Words::None,
            Some(symbol) => self.make(symbol.chars().map(|letter| letter.to_ascii_uppercase())),
        }
    }

    /// Makes a text.
    fn make(&mut self, text: impl Iterator<Item = char>) -> Words {
        let start = self.made.len();
        self.made.extend(text);
        Words::Made(start..self.made.len())
    }

    /// The text at this place.
    pub(super) fn text<'a>(&'a self, sent: &'a str, words: &Words) -> Option<&'a str> {
        match words {
            Words::None => None,
            Words::Fixed(text) => Some(text),
            Words::Sent(range) => sent.get(range.clone()),
            Words::Made(range) => self.made.get(range.clone()),
        }
    }

    /// Hands every message on.
    pub(super) fn hand_on(&self, sent: &str, each: &mut dyn FnMut(Message<'_>)) {
        for draft in &self.drafts {
            let body = match &draft.body {
                DraftBody::Book(book) => Body::Book(Book {
                    role: book.role,
                    ids: book.ids,
                    bids: self.bids.get(book.bids.clone()).unwrap_or_default(),
                    asks: self.asks.get(book.asks.clone()).unwrap_or_default(),
                    grouping: book.grouping,
                }),
                DraftBody::Trade(trade) => Body::Trade(*trade),
                DraftBody::Ticker(ticker) => Body::Ticker(*ticker),
                DraftBody::Mark(mark) => Body::Mark(*mark),
                DraftBody::Shutdown => Body::Shutdown,
                DraftBody::Other(name) => Body::Other(self.text(sent, name).unwrap_or_default()),
                DraftBody::Refusal { code, message } => Body::Refusal(Refusal {
                    code: self.text(sent, code).unwrap_or_default(),
                    message: self.text(sent, message).unwrap_or_default(),
                }),
            };
            each(Message {
                symbol: self.text(sent, &draft.symbol),
                stream: self.text(sent, &draft.stream),
                ts_event: draft.ts_event,
                initial: draft.initial,
                body,
            });
        }
    }
}

/// Fills a field that may come only once.
pub(super) fn put<T>(slot: &mut Option<T>, value: T, field: &'static str) -> Result<(), WireError> {
    if slot.replace(value).is_some() {
        return Err(WireError::Twice(field));
    }
    Ok(())
}

/// A field that must have come.
pub(super) fn need<T>(slot: Option<T>, field: &'static str) -> Result<T, WireError> {
    slot.ok_or(WireError::Missing(field))
}
