use super::*;

const EXCH: u64 = 1 << 31;
const LOCAL: u64 = 1 << 30;
const BOTH: u64 = EXCH | LOCAL;
const BUY: u64 = 1 << 29;
const SELL: u64 = 1 << 28;
const T: i64 = 1_723_161_253_000_000_000;

type Row = (u64, i64, f64, f64);

/// A `.npy` file of these rows: event, ns after `T`, price, quantity; received a millisecond later.
fn npy(rows: &[Row]) -> Vec<u8> {
    let header = format!(
        "{{'descr': [('ev', '<u8'), ('exch_ts', '<i8'), ('local_ts', '<i8'), ('px', '<f8'), ('qty', '<f8'), \
         ('order_id', '<u8'), ('ival', '<i8'), ('fval', '<f8')], 'fortran_order': False, 'shape': ({},), }}\n",
        rows.len()
    );
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    for &(ev, ts, px, qty) in rows {
        bytes.extend_from_slice(&ev.to_le_bytes());
        bytes.extend_from_slice(&(T + ts).to_le_bytes());
        bytes.extend_from_slice(&(T + ts + 1_000_000).to_le_bytes());
        bytes.extend_from_slice(&px.to_le_bytes());
        bytes.extend_from_slice(&qty.to_le_bytes());
        bytes.extend_from_slice(&[0; 24]);
    }
    bytes
}

fn options(tick: Option<&str>, lot: Option<&str>) -> Options {
    Options {
        venue: Some("v".to_owned()),
        symbols: vec!["S".to_owned()],
        tick: tick.map(|tick| Price::parse(tick).unwrap()),
        lot: lot.map(|lot| Qty::parse(lot).unwrap()),
        ..Options::default()
    }
}

fn messages(rows: &[Row], options: &Options) -> Result<Vec<String>, String> {
    let mut found = run_bytes(Format::Hftbacktest, &[("a.npy", &npy(rows))], options)?;
    let rows = found.streams.remove("v-s").unwrap_or_default();
    let short = |row: String| {
        row.replace(&T.to_string(), "T")
            .replace(&(T + 1_000_000).to_string(), "R")
    };
    Ok(rows.into_iter().map(short).collect())
}

#[test]
fn snapshots_clears_diffs_and_trades() {
    let rows = [
        (1 | BOTH | BUY, -5, 1.0, 1.0),
        (4 | BOTH | BUY, 0, 100.0, 1.0),
        (4 | BOTH | BUY, 0, 99.9, 2.0),
        (4 | BOTH | BUY, 0, 99.8, 3.0),
        (4 | BOTH | SELL, 0, 100.1, 4.0),
        (1 | EXCH | SELL, 0, 100.1, 9.0),
        (2 | BOTH | SELL, 0, 100.0, 0.5),
        (1 | BOTH | SELL, 0, 100.1, 0.1 + 0.2),
        // The next level left is the best after a side was cleared up to a price.
        (3 | BOTH | BUY, 0, 99.9, 0.0),
        (10 | BOTH | BUY, 0, 1.0, 1.0),
    ];
    let options = options(Some("0.1"), Some("0.1"));
    assert_eq!(
        messages(&rows, &options).unwrap(),
        [
            "snapshot T R [99.8x3 99.9x2 100x1|100.1x4]",
            "trade T R [|100x0.5]",
            "snapshot T R [99.8x3|100.1x0.3]",
        ]
    );
    let found = run_bytes(Format::Hftbacktest, &[("a.npy", &npy(&rows))], &options).unwrap();
    assert_eq!(ignored(&found, "the exchange's view of a row that comes again"), 1);
    assert_eq!(ignored(&found, "other event: 10"), 1);
    assert_eq!(
        ignored(&found, "before the first snapshot (--start-empty begins without one)"),
        1
    );

    let start_empty = Options {
        start_empty: true,
        ..options
    };
    let rows = [
        (1 | BOTH | BUY, 0, 100.0, 1.0),
        (1 | BOTH | SELL, 1_000_000, 101.0, 1.0),
    ];
    let found = messages(&rows, &start_empty).unwrap();
    assert_eq!(found[0], "complete T R [100x1|]");
    assert!(found[1].starts_with("update R "));
}

#[test]
fn floats_become_exact_or_are_refused() {
    let one = |px: f64, qty: f64, tick, lot| {
        messages(&[(2 | BOTH | BUY, 0, px, qty)], &options(tick, lot)).map(|rows| rows.concat())
    };
    let good = [
        (61685.99, 1.0087, None, None, "trade T R [61685.99x1.0087|]"),
        (0.1 + 0.2, 3e-8, Some("0.1"), None, "trade T R [0.3x0.00000003|]"),
        (
            26999.300000000003,
            1.0,
            Some("0.1"),
            Some("0.001"),
            "trade T R [26999.3x1|]",
        ),
        (1.6e8, 1.0, None, None, "trade T R [160000000x1|]"),
    ];
    for (px, qty, tick, lot, want) in good {
        assert_eq!(one(px, qty, tick, lot).as_deref(), Ok(want));
    }
    let bad = [
        (0.1 + 0.2, 1.0, None, None, "finer than 1e-8"),
        (61685.95, 1.0, Some("0.1"), None, "give the right --tick"),
        (1.0, 0.0005, None, Some("0.001"), "give the right --lot"),
        (f64::NAN, 1.0, Some("0.1"), None, "not a decimal number"),
        (f64::INFINITY, 1.0, None, None, "not a decimal number"),
        (1e300, 1.0, None, None, "out of range"),
        (1e300, 1.0, Some("0.1"), None, "out of range"),
        (0.0, 1.0, Some("0.1"), None, "must be positive"),
        (-1.0, 1.0, Some("0.1"), None, "must be positive"),
        (1.0, -1.0, None, None, "must not be negative"),
    ];
    for (px, qty, tick, lot, want) in bad {
        let error = one(px, qty, tick, lot).unwrap_err();
        assert!(
            error.starts_with("a.npy:1: ") && error.contains(want),
            "{px} {qty}: {error}"
        );
    }
}

#[test]
fn other_arrays_are_refused_by_name() {
    let good = npy(&[(2 | BOTH | BUY, 0, 1.0, 1.0)]);
    let text = |bytes: &[u8]| run_bytes(Format::Hftbacktest, &[("a.npy", bytes)], &options(None, None)).unwrap_err();
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + from.len()].copy_from_slice(to);
        bytes
    };
    let cases = [
        (b"hello, I am no array".to_vec(), "not a NumPy array"),
        (
            replaced(b"'exch_ts', '<i8'", b"'exch_ts', '<f8'"),
            "the array's type must be",
        ),
        (replaced(b"False", b"True "), "fortran_order must be False"),
        (replaced(b"(1,)", b"(2,)"), "a.npy:2: damaged or cut short"),
        (replaced(b"(1,)", b"(0,)"), "more bytes than the header's shape says"),
        (replaced(b"\x93NUMPY\x01", b"\x93NUMPY\x09"), "NumPy format version 9"),
        (good[..good.len() - 1].to_vec(), "a.npy:1: damaged or cut short"),
        (good[..20].to_vec(), "damaged or cut short"),
    ];
    for (bytes, want) in cases {
        let error = text(&bytes);
        assert!(error.contains(want), "{want}: {error}");
    }
    // F30: milliseconds where nanoseconds belong.
    let mut bytes = good.clone();
    let at = bytes.len() - 56;
    bytes[at..at + 8].copy_from_slice(&1_723_161_253_000i64.to_le_bytes());
    assert!(text(&bytes).contains("which is in Millis"));
    let error = run_bytes(Format::Hftbacktest, &[("a.npy", &good)], &Options::default()).unwrap_err();
    assert!(error.contains("needs --venue"), "{error}");
}
