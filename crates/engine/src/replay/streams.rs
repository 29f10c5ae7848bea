//! Recorded streams: merged into one order for the engine, and read ahead for the venues.
//!
//! Each stream keeps a window of chunks: from the older of its two cursors (what we have received, what the venue has
//! done) to the newer. In memory or from disk, the window is all that is held.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ReplayError;
use crate::book::Book;
use crate::engine::{Engine, Target};
use crate::event::{Chunk, EventKind};
use crate::instrument::InstrumentId;
use crate::sim::VenueFeed;
use crate::units::TimestampNs;

/// Gives the chunks of one stream, in order.
pub trait ChunkSource: Send {
    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// Whatever keeps it from being read; the replay stops.
    fn next_chunk(&mut self) -> Result<Option<Arc<Chunk>>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Chunks that are in memory already, shared between runs.
#[derive(Debug, Clone)]
pub struct InMemory {
    chunks: std::collections::VecDeque<Arc<Chunk>>,
}

impl InMemory {
    /// Gives these chunks, in this order.
    pub fn new(chunks: &[Arc<Chunk>]) -> InMemory {
        InMemory {
            chunks: chunks.iter().cloned().collect(),
        }
    }
}

impl ChunkSource for InMemory {
    fn next_chunk(&mut self) -> Result<Option<Arc<Chunk>>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.chunks.pop_front())
    }
}

/// A place in a stream: number of the chunk, index in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    chunk: usize,
    index: usize,
}

struct Stream {
    source: Box<dyn ChunkSource>,
    target: Target,
    /// Chunk of the local cursor.
    current: Arc<Chunk>,
    local: Cursor,
    venue: Option<Cursor>,
    /// Chunks from the local one on, and before it as long as the venue's cursor needs them.
    window: VecDeque<Arc<Chunk>>,
    /// Number of the window's first chunk.
    first: usize,
    ended: bool,
    /// All chunks stay in the window, so that the cursors may be set anywhere.
    whole: bool,
    rows: u64,
    events: u64,
}

impl Stream {
    fn new(source: Box<dyn ChunkSource>, target: Target) -> Stream {
        Stream {
            source,
            target,
            current: Arc::new(Chunk::default()),
            local: Cursor { chunk: 0, index: 0 },
            venue: None,
            window: VecDeque::from([Arc::new(Chunk::default())]),
            first: 0,
            ended: false,
            whole: false,
            rows: 0,
            events: 0,
        }
    }

    /// A stream whose chunks are all in memory.
    fn whole(target: Target, chunks: &[Arc<Chunk>]) -> Stream {
        let mut stream = Stream::new(Box::new(InMemory::new(&[])), target);
        stream
            .window
            .extend(chunks.iter().filter(|chunk| !chunk.is_empty()).cloned());
        stream.ended = true;
        stream.whole = true;
        stream
    }

    /// The chunk of this number, read if need be; `None` past the end.
    fn chunk(&mut self, number: usize) -> Result<Option<&Arc<Chunk>>, ReplayError> {
        while number >= self.first + self.window.len() {
            if self.ended {
                return Ok(None);
            }
            match self.source.next_chunk().map_err(ReplayError::Source)? {
                Some(chunk) if chunk.is_empty() => {}
                Some(chunk) => self.window.push_back(chunk),
                None => self.ended = true,
            }
        }
        Ok(self.window.get(number - self.first))
    }

    /// Receive time of the next event, after moving on to the next chunk if this one is done.
    fn settle(&mut self) -> Result<TimestampNs, ReplayError> {
        if let Some(header) = self.current.headers().get(self.local.index) {
            return Ok(header.ts_recv);
        }
        let next = self.local.chunk + 1;
        let Some(chunk) = self.chunk(next)?.cloned() else {
            return Ok(TimestampNs::MAX);
        };
        self.rows += chunk.rows();
        self.events += chunk.len() as u64;
        self.local = Cursor { chunk: next, index: 0 };
        self.current = chunk;
        self.forget();
        Ok(self.current.headers()[0].ts_recv)
    }

    /// Lets go of chunks that both cursors have left behind.
    fn forget(&mut self) {
        if self.whole {
            return;
        }
        let keep = self
            .venue
            .map_or(self.local.chunk, |venue| venue.chunk.min(self.local.chunk));
        while self.first < keep {
            self.window.pop_front();
            self.first += 1;
        }
    }

    /// Where the venue's next event lies.
    fn venue_cursor(&mut self) -> Result<Option<Cursor>, ReplayError> {
        let Some(mut cursor) = self.venue else { return Ok(None) };
        loop {
            let Some(chunk) = self.chunk(cursor.chunk)? else {
                return Ok(None);
            };
            if cursor.index < chunk.len() {
                break;
            }
            cursor = Cursor {
                chunk: cursor.chunk + 1,
                index: 0,
            };
            self.venue = Some(cursor);
            self.forget();
        }
        Ok(Some(cursor))
    }

    fn venue_next(&mut self) -> Result<Option<TimestampNs>, ReplayError> {
        let Some(cursor) = self.venue_cursor()? else {
            return Ok(None);
        };
        Ok(self
            .window
            .get(cursor.chunk - self.first)
            .map(|chunk| chunk.headers()[cursor.index].ts_event))
    }
}

/// All streams of a run.
pub struct Streams {
    streams: Vec<Stream>,
    /// Receive time of each stream's next event.
    next_recv: Vec<TimestampNs>,
    by_instrument: Vec<Vec<usize>>,
    delays: Vec<i64>,
    error: Option<ReplayError>,
}

impl Streams {
    /// Opens the streams; their order breaks ties between equal receive times.
    ///
    /// # Errors
    /// When a first chunk cannot be read.
    pub fn new(sources: Vec<(Target, Box<dyn ChunkSource>)>, instruments: usize) -> Result<Streams, ReplayError> {
        let streams = sources.into_iter().map(|(target, source)| Stream::new(source, target));
        Streams::open(streams.collect(), instruments)
    }

    /// Streams whose chunks are all in memory, which may be [sought](Streams::seek) in.
    pub(crate) fn whole<'a>(
        sources: impl Iterator<Item = (Target, &'a [Arc<Chunk>])>,
        instruments: usize,
    ) -> Result<Streams, ReplayError> {
        let streams = sources.map(|(target, chunks)| Stream::whole(target, chunks));
        Streams::open(streams.collect(), instruments)
    }

    fn open(mut streams: Vec<Stream>, instruments: usize) -> Result<Streams, ReplayError> {
        let mut by_instrument = vec![Vec::new(); instruments];
        for (index, stream) in streams.iter().enumerate() {
            if let Target::Instrument(id) = stream.target {
                by_instrument[id.index()].push(index);
            }
        }
        let next_recv = streams.iter_mut().map(Stream::settle).collect::<Result<_, _>>()?;
        Ok(Streams {
            streams,
            next_recv,
            by_instrument,
            delays: vec![0; instruments],
            error: None,
        })
    }

    /// Receive time of the next event of all; [`TimestampNs::MAX`] at the end.
    #[inline]
    pub fn next_recv(&self) -> TimestampNs {
        let mut least = TimestampNs::MAX;
        for &next in &self.next_recv {
            least = least.min(next);
        }
        least
    }

    /// Hands over every event received at this instant, stream by stream.
    #[inline]
    pub fn take(
        &mut self,
        now: TimestampNs,
        mut apply: impl FnMut(Target, TimestampNs, &EventKind<'_>) -> Result<(), ReplayError>,
    ) -> Result<(), ReplayError> {
        for index in 0..self.streams.len() {
            while self.next_recv[index] == now {
                let stream = &mut self.streams[index];
                let at = stream.local.index;
                let header = &stream.current.headers()[at];
                if let Target::Instrument(id) = stream.target {
                    self.delays[id.index()] = header.ts_recv.since(header.ts_event);
                }
                apply(stream.target, header.ts_event, &stream.current.event(at))?;
                stream.local.index = at + 1;
                self.next_recv[index] = match stream.current.headers().get(at + 1) {
                    Some(header) => header.ts_recv,
                    None => stream.settle()?,
                };
            }
        }
        Ok(())
    }

    /// Number of the chunk in which a stream's next event lies (counted from 1, empty ones left out), and its index there.
    pub(crate) fn place(&self, stream: usize) -> (usize, usize) {
        let local = self.streams[stream].local;
        (local.chunk, local.index)
    }

    /// The same for the venue's cursor, while it is in use.
    pub(crate) fn venue_place(&self, stream: usize) -> Option<(usize, usize)> {
        self.streams[stream].venue.map(|venue| (venue.chunk, venue.index))
    }

    /// Streams of an instrument.
    pub(crate) fn of_instrument(&self, instrument: InstrumentId) -> &[usize] {
        &self.by_instrument[instrument.index()]
    }

    /// Sets what comes next of a whole stream, as if everything before had been taken; the venue's cursor stays.
    pub(crate) fn seek(&mut self, stream: usize, (chunk, index): (usize, usize)) -> Result<(), ReplayError> {
        let whole = &mut self.streams[stream];
        debug_assert!(whole.whole);
        if let Some(found) = whole.window.get(chunk) {
            whole.current = Arc::clone(found);
            whole.local = Cursor { chunk, index };
        }
        self.next_recv[stream] = whole.settle()?;
        Ok(())
    }

    /// Sets the delay of an instrument's newest event received.
    pub(crate) fn set_delay(&mut self, instrument: InstrumentId, delay_ns: i64) {
        self.delays[instrument.index()] = delay_ns;
    }

    /// Rows and events of the chunks opened so far.
    pub fn totals(&self) -> (u64, u64) {
        self.streams
            .iter()
            .fold((0, 0), |sum, stream| (sum.0 + stream.rows, sum.1 + stream.events))
    }

    /// Why reading ahead failed, if it did.
    pub fn check(&mut self) -> Result<(), ReplayError> {
        self.error.take().map_or(Ok(()), Err)
    }
}

/// What the simulated venues read: the same streams, ahead of what we have received.
pub struct Ahead<'a> {
    /// The streams.
    pub streams: &'a mut Streams,
    /// Where the received books are.
    pub engine: &'a Engine,
}

impl Ahead<'_> {
    /// The stream whose next venue event comes first, and when.
    fn first(&mut self, instrument: InstrumentId) -> Option<(usize, TimestampNs)> {
        let mut found: Option<(usize, TimestampNs)> = None;
        for at in 0..self.streams.by_instrument[instrument.index()].len() {
            let index = self.streams.by_instrument[instrument.index()][at];
            match self.streams.streams[index].venue_next() {
                Ok(Some(ts)) if found.is_none_or(|(_, best)| ts < best) => found = Some((index, ts)),
                Ok(_) => {}
                Err(error) => self.streams.error = Some(error),
            }
        }
        found
    }
}

impl VenueFeed for Ahead<'_> {
    fn restart(&mut self, instrument: InstrumentId, book: &mut Book) {
        book.copy_from(self.engine.book(instrument));
        for &index in &self.streams.by_instrument[instrument.index()] {
            let stream = &mut self.streams.streams[index];
            stream.venue = Some(stream.local);
        }
    }

    fn release(&mut self, instrument: InstrumentId) {
        for &index in &self.streams.by_instrument[instrument.index()] {
            let stream = &mut self.streams.streams[index];
            stream.venue = None;
            stream.forget();
        }
    }

    fn delay_ns(&self, instrument: InstrumentId) -> i64 {
        self.streams.delays[instrument.index()]
    }

    fn next_event(&mut self, instrument: InstrumentId) -> Option<TimestampNs> {
        self.first(instrument).map(|(_, ts)| ts)
    }

    fn advance(
        &mut self,
        instrument: InstrumentId,
        until: TimestampNs,
        apply: &mut impl FnMut(TimestampNs, TimestampNs, &EventKind<'_>),
    ) {
        while let Some((index, ts)) = self.first(instrument)
            && ts <= until
        {
            let stream = &mut self.streams.streams[index];
            let Ok(Some(cursor)) = stream.venue_cursor() else {
                return;
            };
            if let Some(chunk) = stream.window.get(cursor.chunk - stream.first) {
                let header = &chunk.headers()[cursor.index];
                apply(header.ts_event, header.ts_recv, &chunk.event(cursor.index));
            }
            stream.venue = Some(Cursor {
                chunk: cursor.chunk,
                index: cursor.index + 1,
            });
        }
    }
}
