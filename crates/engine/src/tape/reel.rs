//! One stream in memory, addressed by the number of the message, and the books from which one of any instant is made.

use std::sync::Arc;

use crate::book::{Book, BookState};
use crate::engine::Target;
use crate::event::{Chunk, EventKind, Header, Level};
use crate::units::TimestampNs;

/// A stream.
#[derive(Debug)]
pub(super) struct Reel {
    target: Target,
    /// None is empty.
    chunks: Vec<Arc<Chunk>>,
    /// Number of each chunk's first message; one more entry for the end.
    starts: Vec<usize>,
}

impl Reel {
    pub(super) fn new(target: Target, mut chunks: Vec<Arc<Chunk>>) -> Reel {
        chunks.retain(|chunk| !chunk.is_empty());
        let mut starts = vec![0];
        for chunk in &chunks {
            starts.push(starts[starts.len() - 1] + chunk.len());
        }
        Reel { target, chunks, starts }
    }

    pub(super) fn target(&self) -> Target {
        self.target
    }

    pub(super) fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    pub(super) fn len(&self) -> usize {
        self.starts[self.chunks.len()]
    }

    /// Chunk and index of a message, as [`crate::replay::Streams`] counts them: chunks from 1.
    pub(super) fn place(&self, number: usize) -> (usize, usize) {
        match self.starts.partition_point(|&start| start <= number) {
            0 => (0, 0),
            chunk if chunk > self.chunks.len() => (chunk - 1, number - self.starts[chunk.max(2) - 2]),
            chunk => (chunk, number - self.starts[chunk - 1]),
        }
    }

    /// The number of the message at such a place.
    pub(super) fn number(&self, (chunk, index): (usize, usize)) -> usize {
        self.starts[chunk.max(1) - 1] + index
    }

    /// The header of the message of this number.
    #[inline]
    pub(super) fn header(&self, number: usize) -> Option<&Header> {
        let (chunk, index) = self.place(number);
        self.chunks.get(chunk.checked_sub(1)?)?.headers().get(index)
    }

    /// Messages from `from` up to `to`, in order, until `each` answers `false`.
    #[inline]
    pub(super) fn each(&self, from: usize, to: usize, mut each: impl FnMut(&Header, &EventKind<'_>) -> bool) {
        let mut number = from;
        while number < to {
            let (at, index) = self.place(number);
            let Some(chunk) = at.checked_sub(1).and_then(|at| self.chunks.get(at)) else {
                return;
            };
            let end = chunk.len().min(index + (to - number));
            for index in index..end {
                if !each(&chunk.headers()[index], &chunk.event(index)) {
                    return;
                }
            }
            number += end - index;
        }
    }

    /// How many messages were received before an instant; the answer lies between `from` and `to`.
    pub(super) fn before(&self, instant: TimestampNs, from: usize, to: usize) -> usize {
        let (mut low, mut high) = (from, to);
        while low < high {
            let middle = low + (high - low) / 2;
            let earlier = self.header(middle).is_some_and(|header| header.ts_recv < instant);
            if earlier {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// A book as it stood before the messages of an instant.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) ts: TimestampNs,
    /// How many messages of each of the instrument's streams came before.
    pub(super) taken: Box<[usize]>,
    state: BookState,
    bids: u32,
    /// Bids, then asks; empty when the next message replaces them all.
    levels: Box<[Level]>,
}

/// A mark is made for at least so many rows.
const ROWS: u64 = 128;

impl Mark {
    pub(super) fn new(ts: TimestampNs, taken: Box<[usize]>, book: &Book, replaced: bool) -> Mark {
        let (bids, asks) = if replaced { (&[][..], &[][..]) } else { book.kept() };
        Mark {
            ts,
            taken,
            state: book.state(),
            bids: bids.len() as u32,
            levels: [bids, asks].concat().into_boxed_slice(),
        }
    }

    /// Whether another mark is worth its memory when so many rows have come since the last.
    pub(super) fn is_due(rows: u64, book: &Book) -> bool {
        let (bids, asks) = book.kept();
        rows >= ROWS.max((bids.len() + asks.len()) as u64)
    }

    pub(super) fn restore(&self, book: &mut Book) {
        let (bids, asks) = self.levels.split_at(self.bids as usize);
        book.restore(&self.state, bids, asks);
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Mark>() + self.levels.len() * size_of::<Level>() + self.taken.len() * size_of::<usize>()
    }
}
