//! Cost of the book alone: level changes, whole snapshots, walks.

mod feed;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbook_engine::book::Book;
use crossbook_engine::instrument::Side;
use crossbook_engine::units::Qty;

fn benches(criterion: &mut Criterion) {
    let streams = feed::feed(200_000, 42);
    for (name, chunks) in [
        ("snapshots of 20+20 levels", &streams[0]),
        ("level changes", &streams[1]),
    ] {
        let rows: u64 = chunks.iter().map(|chunk| chunk.rows()).sum();
        let mut group = criterion.benchmark_group("book_apply");
        group.throughput(Throughput::Elements(rows));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut book = Book::default();
                for chunk in chunks {
                    for (index, header) in chunk.headers().iter().enumerate() {
                        book.apply(header.ts_event, header.ts_recv, &chunk.event(index));
                    }
                }
                black_box(book.top())
            });
        });
        group.finish();
    }
    let mut book = Book::default();
    let header = streams[0][0].headers()[0];
    book.apply(header.ts_event, header.ts_recv, &streams[0][0].event(0));
    let mut group = criterion.benchmark_group("book_walk");
    for qty in ["0.01", "5", "25"] {
        let amount = Qty::parse(qty).expect("a decimal");
        group.bench_function(qty, |bencher| {
            bencher.iter(|| book.walk(Side::Buy, black_box(amount), None))
        });
    }
    group.finish();
}

criterion_group!(book, benches);
criterion_main!(book);
