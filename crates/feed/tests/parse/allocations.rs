//! A reader that is warm allocates nothing, frame after frame, and neither does the book behind it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crossbook_engine::book::Book;
use crossbook_engine::event::EventKind;
use crossbook_engine::units::TimestampNs;
use crossbook_feed::venue::Protocol;
use crossbook_feed::wire::{Body, Role, Scratch, read};

use super::samples::{self, Numbers};

struct Counting;

thread_local! {
    /// Of this thread only: other tests run beside it.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// Safety: hands everything on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_warm_reader_allocates_nothing() {
    let mut numbers = Numbers::new(3);
    let mut frames = Vec::new();
    for round in 0..50 {
        let list = [
            samples::upbit_book(&mut numbers, 15, true),
            samples::upbit_trade(&mut numbers),
        ];
        frames.push((Protocol::Upbit, samples::upbit_book(&mut numbers, 30, false)));
        frames.push((Protocol::Upbit, format!("[{}]", list.join(","))));
        frames.push((Protocol::Upbit, list.into_iter().collect::<Vec<_>>().swap_remove(1)));
        frames.push((Protocol::Upbit, r#"{"status":"UP"}"#.to_owned()));
        frames.push((
            Protocol::BinanceSpot,
            samples::binance_diff(&mut numbers, round, round + 1, 20),
        ));
        frames.push((Protocol::BinanceSpot, samples::binance_partial(&mut numbers, 20)));
        frames.push((Protocol::BinanceSpot, samples::binance_ticker(&mut numbers)));
        frames.push((Protocol::BinanceSpot, samples::binance_trade(&mut numbers)));
        // The slow way: other order, white space, a kind that is passed over, a request that was taken.
        frames.push((
            Protocol::BinanceSpot,
            r#"{"data": {"asks": [[1, 2.5e1]], "bids": [], "lastUpdateId": 1}, "stream": "a@depth5"}"#.to_owned(),
        ));
        frames.push((
            Protocol::BinanceSpot,
            r#"{"stream":"a@kline","data":{"e":"kline","k":[]}}"#.to_owned(),
        ));
        frames.push((Protocol::BinanceSpot, r#"{"result":null,"id":1}"#.to_owned()));
    }
    let (mut scratch, mut books) = (Scratch::default(), [Book::default(), Book::default()]);
    let mut run = || {
        let mut messages = 0;
        for (protocol, frame) in &frames {
            let book = &mut books[usize::from(*protocol == Protocol::Upbit)];
            let read = read(*protocol, frame.as_bytes(), &mut scratch, &mut |message| {
                messages += 1;
                let ts = message.ts_event.unwrap_or(TimestampNs(0));
                if let Body::Book(found) = message.body {
                    let (bids, asks) = (found.bids, found.asks);
                    let event = match found.role {
                        Role::Whole => EventKind::Snapshot {
                            bids,
                            asks,
                            complete: false,
                        },
                        Role::Diff => EventKind::Update { bids, asks },
                    };
                    book.apply(ts, ts, &event);
                }
            });
            assert!(read.is_ok(), "{frame}");
        }
        messages
    };
    assert_eq!(run(), 50 * 12);
    let before = ALLOCATIONS.with(Cell::get);
    assert!(before > 0, "the counter counts");
    assert_eq!(run(), 50 * 12);
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}
