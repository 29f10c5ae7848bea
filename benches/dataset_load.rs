//! How fast a dataset becomes chunks: one thread, from Parquet on disk, hash check apart.
//!
//! With `CROSSBOOK_DATA` set to a folder that has `parity/feed.parquet`, that feed (2,000,000 rows of snapshots, 2,000,001 rows of
//! updates) is converted first; without it, a feed of the same shape is made up. Besides criterion's wall times it
//! prints rows per second of CPU, which a busy machine does not spoil.
//!
//! `flat` is the layout that lost (docs/decisions/001-parquet-of-lists.md): one Parquet row a level, with the same
//! encodings and compression, put together to the same chunks.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbook::dataset::manifest::{DatasetKind, Draft};
use crossbook::dataset::message::Message;
use crossbook::dataset::reader::{Dataset, ReadOptions};
use crossbook::dataset::writer::Writer;
use crossbook_engine::event::{Chunk, EventKind, Kind, Level};
use crossbook_engine::units::{Price, Qty, TimestampNs};
use polars::prelude::{ChunkedArray, DataFrame, Int64Type};
use polars_arrow::array::PrimitiveArray;
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field};
use polars_arrow::record_batch::RecordBatchT;
use polars_io::prelude::{ParallelStrategy, ParquetReader, SerReader};
use polars_parquet::write::{
    CompressionOptions, Encoding, FileWriter, StatisticsOptions, Version, WriteOptions, row_group_iter,
};

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
        println!(
            "{name}: {} messages, {} rows, {} bytes; median of 7: {:.1} M rows a CPU second",
            manifest.counts.messages,
            manifest.counts.rows,
            manifest.data.bytes,
            rate(|| load(&dataset)) / 1e6
        );
        let flat = root.path().join(format!("{name}-flat.parquet"));
        write_flat(&dataset, &flat);
        println!(
            "{name}, flat: {} bytes; median of 7: {:.1} M rows a CPU second",
            fs::metadata(&flat).unwrap().len(),
            rate(|| load_flat(&flat)) / 1e6
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

/// Rows a second of CPU, the median of seven.
fn rate(mut load: impl FnMut() -> u64) -> f64 {
    let mut rates: Vec<f64> = (0..7)
        .map(|_| {
            let before = cpu_ns();
            let rows = load();
            rows as f64 * 1e9 / (cpu_ns() - before) as f64
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[3]
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

const FLAT: [&str; 7] = ["ts_event", "ts_recv", "message", "kind", "side", "price", "qty"];
const FLAT_ROWS: usize = 1 << 18;

fn write_flat(dataset: &Dataset, path: &Path) {
    let fields = FLAT.map(|name| (name.into(), Field::new(name.into(), ArrowDataType::Int64, false)));
    let schema: ArrowSchema = fields.into_iter().collect();
    let options = WriteOptions {
        statistics: StatisticsOptions::default(),
        version: Version::V1,
        compression: CompressionOptions::Zstd(None),
        data_page_size: None,
    };
    let mut writer = FileWriter::try_new(File::create(path).unwrap(), schema.clone(), options).unwrap();
    let encodings: Vec<Vec<Encoding>> = FLAT
        .iter()
        .map(|name| match *name {
            "ts_event" | "ts_recv" | "message" => vec![Encoding::DeltaBinaryPacked],
            _ => vec![Encoding::RleDictionary],
        })
        .collect();
    let mut columns: [Vec<i64>; 7] = Default::default();
    let mut message = 0;
    let mut flush = |columns: &mut [Vec<i64>; 7]| {
        let rows = columns[0].len();
        let arrays = columns
            .each_mut()
            .map(|column| PrimitiveArray::from_vec(std::mem::take(column)).boxed());
        let batch = RecordBatchT::try_new(rows, schema.clone().into(), arrays.into()).unwrap();
        let fields = writer.parquet_schema().fields().to_vec();
        let group = row_group_iter(batch, encodings.clone().into(), fields, options);
        writer.write(rows as u64, group).unwrap();
    };
    for chunk in dataset.chunks(ReadOptions::default()) {
        let chunk = chunk.unwrap();
        for header in chunk.headers() {
            message += 1;
            let (bids, asks) = chunk.sides(header);
            for (side, level) in bids.iter().map(|bid| (1, bid)).chain(asks.iter().map(|ask| (-1, ask))) {
                let row = [
                    header.ts_event.0,
                    header.ts_recv.0,
                    message,
                    header.kind() as i64,
                    side,
                    level.price.raw(),
                    level.qty.raw(),
                ];
                columns
                    .iter_mut()
                    .zip(row)
                    .for_each(|(column, value)| column.push(value));
            }
            if columns[0].len() >= FLAT_ROWS {
                flush(&mut columns);
            }
        }
    }
    flush(&mut columns);
    writer.end(None).unwrap();
}

fn load_flat(path: &Path) -> u64 {
    let mut reader = ParquetReader::new(File::open(path).unwrap());
    let metadata = reader.get_metadata().unwrap().clone();
    let (mut first, mut rows) = (0, 0);
    for group in &metadata.row_groups {
        let mut reader = ParquetReader::new(File::open(path).unwrap())
            .read_parallel(ParallelStrategy::None)
            .with_slice(Some((first, group.num_rows())));
        reader.set_metadata(metadata.clone());
        let frame = reader.finish().unwrap();
        first += group.num_rows();
        rows += black_box(flat_chunk(&frame)).rows();
    }
    rows
}

fn flat_chunk(frame: &DataFrame) -> Chunk {
    let columns = FLAT.map(|name| frame.column(name).unwrap().i64().unwrap().rechunk().into_owned());
    let [ts_event, ts_recv, message, kind, side, price, qty] =
        columns.each_ref().map(|column| column.cont_slice().unwrap());
    let mut chunk = Chunk::with_capacity(message.len() / 4, message.len());
    let (mut bids, mut asks) = (Vec::new(), Vec::new());
    for row in 0..message.len() {
        if side[row] > 0 { &mut bids } else { &mut asks }.push(level(price[row], qty[row]));
        if message.get(row + 1) != Some(&message[row]) {
            let (bids_now, asks_now) = (bids.as_slice(), asks.as_slice());
            let event = match Kind::from_code(kind[row] as u8) {
                Some(Kind::Update) => EventKind::Update {
                    bids: bids_now,
                    asks: asks_now,
                },
                _ => EventKind::Snapshot {
                    bids: bids_now,
                    asks: asks_now,
                    complete: true,
                },
            };
            chunk
                .push(TimestampNs(ts_event[row]), TimestampNs(ts_recv[row]), event)
                .unwrap();
            bids.clear();
            asks.clear();
        }
    }
    chunk
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
