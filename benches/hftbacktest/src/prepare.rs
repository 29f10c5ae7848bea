//! From the parity feed to the crate's event arrays.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use hftbacktest::backtest::data::write_npy;
use hftbacktest::types::{
    BUY_EVENT, DEPTH_CLEAR_EVENT, DEPTH_EVENT, DEPTH_SNAPSHOT_EVENT, EXCH_EVENT, Event, LOCAL_EVENT, SELL_EVENT,
};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::file::reader::{FileReader, SerializedFileReader};

/// Tick and lot of venue A (KRW) and venue B (USDT), as the feed's description gives them.
pub const TICK: [f64; 2] = [1000.0, 0.1];
/// See [`TICK`].
pub const LOT: [f64; 2] = [0.001, 0.001];
/// Tick of the rate, in KRW.
const FX_TICK: f64 = 0.01;

const BOTH: u64 = EXCH_EVENT | LOCAL_EVENT;

/// The columns of the feed that are needed.
struct Feed {
    exch_ts: Vec<i64>,
    local_ts: Vec<i64>,
    msg: Vec<i64>,
    venue: Vec<i32>,
    side: Vec<i32>,
    ticks: Vec<i64>,
    lots: Vec<i64>,
    snapshot: Vec<bool>,
}

/// Writes `a_snapshot.npy`, `a_diff.npy`, `b.npy`, `fx.csv`, `rows` and the expected fills into `out`.
pub fn prepare(parity: &Path, out: &Path) -> Result<()> {
    let feed = read(&parity.join("feed.parquet"))?;
    fs::create_dir_all(out)?;
    for (name, venue, diff) in [
        ("a_snapshot.npy", 0, false),
        ("a_diff.npy", 0, true),
        ("b.npy", 1, false),
    ] {
        let events = events(&feed, venue, diff);
        println!("{name}: {} events", events.len());
        let mut file = BufWriter::new(File::create(out.join(name))?);
        write_npy(&mut file, &events)?;
        file.flush()?;
    }
    let mut fx = BufWriter::new(File::create(out.join("fx.csv"))?);
    for row in (0..feed.msg.len()).filter(|&row| feed.venue[row] == 2) {
        writeln!(fx, "{},{:.2}", feed.local_ts[row], feed.ticks[row] as f64 * FX_TICK)?;
    }
    fx.flush()?;
    fs::copy(parity.join("expected_fills.csv"), out.join("expected_fills.csv"))?;
    fs::write(out.join("rows"), feed.msg.len().to_string())?;
    println!("{} rows", feed.msg.len());
    Ok(())
}

/// One venue's rows as events. A snapshot message becomes a clear and snapshot rows, or, with `diff`, removals of the
/// levels that are gone and plain rows for those that are there.
fn events(feed: &Feed, venue: i32, diff: bool) -> Vec<Event> {
    let mut events = Vec::new();
    let rows: Vec<usize> = (0..feed.msg.len()).filter(|&row| feed.venue[row] == venue).collect();
    let diff = diff && venue == 0;
    let tick = TICK[venue as usize];
    let lot = LOT[venue as usize];
    let mut resting: Vec<(i32, i64)> = Vec::new();
    for message in rows.chunk_by(|&a, &b| feed.msg[a] == feed.msg[b]) {
        let event = |ev: u64, ticks: i64, lots: i64| Event {
            ev: ev | BOTH,
            exch_ts: feed.exch_ts[message[0]],
            local_ts: feed.local_ts[message[0]],
            px: ticks as f64 * tick,
            qty: lots as f64 * lot,
            order_id: 0,
            ival: 0,
            fval: 0.0,
        };
        let flag = |side: i32| if side > 0 { BUY_EVENT } else { SELL_EVENT };
        let snapshot = feed.snapshot[message[0]];
        if snapshot && diff {
            let now: Vec<(i32, i64)> = message.iter().map(|&row| (feed.side[row], feed.ticks[row])).collect();
            // Worst level first: so the best price is searched anew once, not after each removal.
            for &(side, ticks) in resting.iter().rev().filter(|level| !now.contains(level)) {
                events.push(event(DEPTH_EVENT | flag(side), ticks, 0));
            }
            resting = now;
        } else if snapshot {
            events.push(event(DEPTH_CLEAR_EVENT, 0, 0));
        }
        let kind = if snapshot && !diff {
            DEPTH_SNAPSHOT_EVENT
        } else {
            DEPTH_EVENT
        };
        for &row in message {
            events.push(event(kind | flag(feed.side[row]), feed.ticks[row], feed.lots[row]));
        }
    }
    events
}

fn read(path: &Path) -> Result<Feed> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let reader = SerializedFileReader::new(file)?;
    let mut feed = Feed {
        exch_ts: Vec::new(),
        local_ts: Vec::new(),
        msg: Vec::new(),
        venue: Vec::new(),
        side: Vec::new(),
        ticks: Vec::new(),
        lots: Vec::new(),
        snapshot: Vec::new(),
    };
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let index = |name: &str| {
        let found = schema.columns().iter().position(|column| column.name() == name);
        found.with_context(|| format!("{}: no column {name}", path.display()))
    };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows())?;
        for (name, column) in [
            ("ts_ns", &mut feed.exch_ts),
            ("local_ns", &mut feed.local_ts),
            ("msg", &mut feed.msg),
            ("price_ticks", &mut feed.ticks),
            ("qty_lots", &mut feed.lots),
        ] {
            match group.get_column_reader(index(name)?)? {
                ColumnReader::Int64ColumnReader(reader) => append(reader, rows, column)?,
                _ => anyhow::bail!("{}: {name} is not a 64-bit integer", path.display()),
            }
        }
        for (name, column) in [("venue", &mut feed.venue), ("side", &mut feed.side)] {
            match group.get_column_reader(index(name)?)? {
                ColumnReader::Int32ColumnReader(reader) => append(reader, rows, column)?,
                _ => anyhow::bail!("{}: {name} is not a small integer", path.display()),
            }
        }
        match group.get_column_reader(index("is_snapshot")?)? {
            ColumnReader::BoolColumnReader(reader) => append(reader, rows, &mut feed.snapshot)?,
            _ => anyhow::bail!("{}: is_snapshot is not a boolean", path.display()),
        }
    }
    Ok(feed)
}

fn append<T: DataType>(mut reader: ColumnReaderImpl<T>, rows: usize, into: &mut Vec<T::T>) -> Result<()> {
    let mut levels = Vec::new();
    let before = into.len();
    while into.len() - before < rows {
        let (records, _, _) = reader.read_records(rows, Some(&mut levels), None, into)?;
        ensure!(records > 0, "a column ends early or holds nulls");
    }
    Ok(())
}
