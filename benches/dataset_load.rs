//! How fast a dataset becomes chunks: one thread, from Parquet on disk, hash check apart.
//!
//! With `CROSSBOOK_DATA` set to a folder that has `parity/feed.parquet`, that feed (2,000,000 rows of snapshots, 2,000,001 rows of
//! updates) is converted first; without it, a feed of the same shape is made up. Besides criterion's wall times it
//! prints rows per second of CPU, which a busy machine does not spoil.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbook::dataset::manifest::{DatasetKind, Draft};
use crossbook::dataset::message::Message;
use crossbook::dataset::reader::{Dataset, ReadOptions};
use crossbook::dataset::writer::Writer;
use crossbook_engine::event::{Kind, Level};
use crossbook_engine::units::{Price, Qty, TimestampNs};
use polars::prelude::{ChunkedArray, DataFrame, Int64Type};
use polars_io::prelude::{ParquetReader, SerReader};

fn main_bench(criterion: &mut Criterion) {
    let root = tempfile::tempdir().unwrap();
    let (snapshots, updates) = (root.path().join("snapshots"), root.path().join("updates"));
    match std::env::var_os("CROSSBOOK_DATA") {
        Some(data) => convert_parity(&Path::new(&data).join("parity/feed.parquet"), &snapshots, &updates),
        None => {
            eprintln!("CROSSBOOK_DATA is not set: a made-up feed of the same shape is used");
            make_up(&snapshots, 50_000, 40, Kind::CompleteSnapshot);
            make_up(&updates, 526_512, 4, Kind::Update);
        }
    }
    let mut group = criterion.benchmark_group("dataset_load");
    group.sample_size(10);
    for dir in [&snapshots, &updates] {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dataset = Dataset::open(dir).unwrap();
        let manifest = dataset.manifest();
        let mut rates: Vec<f64> = (0..7)
            .map(|_| {
                let before = cpu_ns();
                let rows = load(&dataset);
                rows as f64 * 1e9 / (cpu_ns() - before) as f64
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        println!(
            "{name}: {} messages, {} rows, {} bytes; median of 7: {:.1} M rows a CPU second",
            manifest.counts.messages,
            manifest.counts.rows,
            manifest.data.bytes,
            rates[3] / 1e6
        );
        group.throughput(Throughput::Elements(manifest.counts.rows));
        group.bench_function(&name, |bencher| bencher.iter(|| load(&dataset)));
        group.throughput(Throughput::Bytes(manifest.data.bytes));
        group.bench_function(format!("{name}_open_and_verify"), |bencher| {
            bencher.iter(|| Dataset::open(dir).unwrap());
        });
    }
    group.finish();
}

fn load(dataset: &Dataset) -> u64 {
    let mut chunks = dataset.chunks(ReadOptions::default());
    for chunk in chunks.by_ref() {
        black_box(chunk.unwrap());
    }
    chunks.stats().rows
}

/// CPU time of this thread: the first number of Linux's schedstat.
fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn draft(name: &str) -> Draft {
    Draft::new(name, "bench", "BTC", DatasetKind::Book, "BTC", "USDT")
}

fn level(price: i64, qty: i64) -> Level {
    Level {
        price: Price::from_raw(price).unwrap(),
        qty: Qty::from_raw(qty).unwrap(),
    }
}

fn make_up(dir: &Path, messages: i64, levels: i64, kind: Kind) {
    let mut writer = Writer::create(dir, draft("made-up"), false).unwrap();
    let mut state = 42u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below) as i64
    };
    for k in 0..messages {
        let at = 1_700_000_000_000_000_000 + k * 10_000_000;
        let kind = if k == 0 { Kind::CompleteSnapshot } else { kind };
        let mut message = Message::new(kind, TimestampNs(at), TimestampNs(at + 8_000_000));
        let mid = 600_000 + random(2_000);
        for depth in 0..levels / 2 {
            message
                .bids
                .push(level((mid - depth) * 10_000_000, random(5_000) * 100_000));
            message
                .asks
                .push(level((mid + 1 + depth) * 10_000_000, random(5_000) * 100_000));
        }
        writer.push(&message).unwrap();
    }
    writer.finish().unwrap();
}

fn convert_parity(feed: &Path, snapshots: &Path, updates: &Path) {
    let frame = ParquetReader::new(File::open(feed).unwrap()).finish().unwrap();
    let [ts, local, msg, venue, side, ticks, lots] =
        ["ts_ns", "local_ns", "msg", "venue", "side", "price_ticks", "qty_lots"].map(|name| integers(&frame, name));
    for (number, dir, tick) in [(0, snapshots, 100_000_000_000), (1, updates, 10_000_000)] {
        let mut writer = Writer::create(dir, draft("parity"), false).unwrap();
        let mut pending: Option<(i64, Message)> = None;
        for row in (0..venue.len()).filter(|&row| venue[row] == number) {
            if pending.as_ref().is_none_or(|(id, _)| *id != msg[row]) {
                if let Some((_, message)) = pending.take() {
                    writer.push(&message).unwrap();
                }
                let first = writer.messages() == 0;
                let kind = if number == 0 || first {
                    Kind::CompleteSnapshot
                } else {
                    Kind::Update
                };
                pending = Some((
                    msg[row],
                    Message::new(kind, TimestampNs(ts[row]), TimestampNs(local[row])),
                ));
            }
            let level = level(ticks[row] * tick, lots[row] * 100_000);
            if let Some((_, message)) = &mut pending {
                if side[row] > 0 {
                    &mut message.bids
                } else {
                    &mut message.asks
                }
                .push(level);
            }
        }
        if let Some((_, message)) = pending {
            writer.push(&message).unwrap();
        }
        writer.finish().unwrap();
    }
}

fn integers(frame: &DataFrame, name: &str) -> Vec<i64> {
    let column = frame
        .column(name)
        .unwrap()
        .cast(&polars::prelude::DataType::Int64)
        .unwrap();
    let values: &ChunkedArray<Int64Type> = column.i64().unwrap();
    values.into_no_null_iter().collect()
}

criterion_group!(benches, main_bench);
criterion_main!(benches);
