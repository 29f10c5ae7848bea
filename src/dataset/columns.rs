//! The columns of `data.parquet`: one row a message, levels in two list columns, all of them raw integers.
//!
//! This is the only file that speaks to the Parquet crates, beside the importer of foreign Parquet rows. It encodes and decodes whole row groups, which the writer keeps
//! small, on the calling thread; it reads with positioned reads rather than a memory map, so that a file cut short under
//! us is an error and not a signal.

use std::fs::File;
use std::io::{Cursor, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crossbook_engine::event::Kind;
use polars_arrow::array::{Array, ListArray, PrimitiveArray};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field};
use polars_arrow::offset::OffsetsBuffer;
use polars_arrow::record_batch::RecordBatchT;
use polars_arrow::types::NativeType;
use polars_parquet::parquet::statistics::Statistics;
use polars_parquet::read::{
    BasicDecompressor, FileMetadata, Filter, PageReader, RowGroupMetadata, column_iter_to_arrays, infer_schema,
    read_metadata,
};
use polars_parquet::write::{
    CompressionOptions, Encoding, FileWriter, StatisticsOptions, Version, WriteOptions, row_group_iter,
};

use super::DatasetError;
use super::error::RowFault;
use super::message::Message;

/// Names and types, in file order; the flag says whether a value may be missing.
fn columns() -> [(&'static str, ArrowDataType, bool); 9] {
    let list = |name| ArrowDataType::LargeList(Box::new(Field::new(name, ArrowDataType::Int64, false)));
    [
        ("ts_event", ArrowDataType::Int64, false),
        ("ts_recv", ArrowDataType::Int64, false),
        ("kind", ArrowDataType::UInt8, false),
        ("seq_first", ArrowDataType::Int64, true),
        ("seq_last", ArrowDataType::Int64, true),
        ("seq_prev", ArrowDataType::Int64, true),
        ("bids", ArrowDataType::UInt32, false),
        ("price", list("item".into()), false),
        ("qty", list("item".into()), false),
    ]
}

fn schema() -> ArrowSchema {
    columns()
        .into_iter()
        .map(|(name, dtype, nullable)| (name.into(), Field::new(name.into(), dtype, nullable)))
        .collect()
}

/// Numbers that mostly grow are stored as differences; the rest by dictionary, which falls back to plain by itself.
fn encodings() -> Vec<Vec<Encoding>> {
    columns()
        .into_iter()
        .map(|(name, _, _)| {
            vec![match name {
                "ts_event" | "ts_recv" | "seq_first" | "seq_last" | "seq_prev" => Encoding::DeltaBinaryPacked,
                _ => Encoding::RleDictionary,
            }]
        })
        .collect()
}

const OPTIONS: WriteOptions = WriteOptions {
    statistics: StatisticsOptions {
        min_value: true,
        max_value: true,
        distinct_count: false,
        null_count: true,
        binary_statistics_truncate_length: None,
    },
    version: Version::V1,
    compression: CompressionOptions::Zstd(None),
    data_page_size: None,
};

/// Messages on their way to a row group.
#[derive(Debug, Default)]
pub(super) struct Rows {
    ts_event: Vec<i64>,
    ts_recv: Vec<i64>,
    kind: Vec<u8>,
    seq_first: Vec<Option<i64>>,
    seq_last: Vec<Option<i64>>,
    seq_prev: Vec<Option<i64>>,
    bids: Vec<u32>,
    price_ends: Vec<i64>,
    price: Vec<i64>,
    qty_ends: Vec<i64>,
    qty: Vec<i64>,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.kind.len()
    }

    /// Entries of the longer list column.
    pub fn entries(&self) -> usize {
        self.price.len().max(self.qty.len())
    }

    /// Adds a message, or leaves everything as it was.
    pub fn push(&mut self, message: &Message) -> Result<(), RowFault> {
        check_shape(message)?;
        let sequence = |seq: Option<u64>| seq.map(i64::try_from).transpose().map_err(|_| RowFault::Sequence);
        let seqs = (
            sequence(message.seq_first)?,
            sequence(message.seq_last)?,
            sequence(message.seq_prev)?,
        );
        let bids = u32::try_from(message.bids.len()).map_err(|_| RowFault::TooManyLevels)?;
        self.seq_first.push(seqs.0);
        self.seq_last.push(seqs.1);
        self.seq_prev.push(seqs.2);
        self.bids.push(bids);
        self.ts_event.push(message.ts_event.0);
        self.ts_recv.push(message.ts_recv.0);
        self.kind.push(message.kind as u8);
        match (message.kind, message.values.as_slice()) {
            (Kind::Funding, &[rate, mark]) => {
                self.price.push(mark);
                self.qty.push(rate);
            }
            (_, values) => self.price.extend_from_slice(values),
        }
        for level in message.bids.iter().chain(&message.asks) {
            self.price.push(level.price.raw());
            self.qty.push(level.qty.raw());
        }
        self.price_ends.push(self.price.len() as i64);
        self.qty_ends.push(self.qty.len() as i64);
        Ok(())
    }

    fn take_arrays(&mut self) -> Result<Vec<Box<dyn Array>>, String> {
        let Rows {
            ts_event,
            ts_recv,
            kind,
            seq_first,
            seq_last,
            seq_prev,
            bids,
            price_ends,
            price,
            qty_ends,
            qty,
        } = std::mem::take(self);
        Ok(vec![
            PrimitiveArray::from_vec(ts_event).boxed(),
            PrimitiveArray::from_vec(ts_recv).boxed(),
            PrimitiveArray::from_vec(kind).boxed(),
            PrimitiveArray::from(seq_first).boxed(),
            PrimitiveArray::from(seq_last).boxed(),
            PrimitiveArray::from(seq_prev).boxed(),
            PrimitiveArray::from_vec(bids).boxed(),
            list(price_ends, price)?,
            list(qty_ends, qty)?,
        ])
    }
}

fn list(ends: Vec<i64>, values: Vec<i64>) -> Result<Box<dyn Array>, String> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend(ends);
    let offsets = OffsetsBuffer::<i64>::try_from(offsets).map_err(|error| error.to_string())?;
    let dtype = ArrowDataType::LargeList(Box::new(Field::new("item".into(), ArrowDataType::Int64, false)));
    ListArray::<i64>::try_new(dtype, offsets, PrimitiveArray::from_vec(values).boxed(), None)
        .map(|array| array.boxed())
        .map_err(|error| error.to_string())
}

/// Each kind has its own number of levels and values; anything else could not be read back as what it was.
fn check_shape(message: &Message) -> Result<(), RowFault> {
    let levels = (message.bids.len(), message.asks.len());
    let fits = match message.kind {
        Kind::Snapshot | Kind::CompleteSnapshot | Kind::Update => message.values.is_empty(),
        Kind::Trade => message.values.is_empty() && matches!(levels, (1, 0) | (0, 1)),
        Kind::Fx | Kind::Status => message.values.len() == 1 && levels == (0, 0),
        Kind::Funding => message.values.len() == 2 && levels == (0, 0),
    };
    if fits {
        Ok(())
    } else {
        Err(RowFault::Shape(
            "levels and values do not fit the kind (books: levels; trade: one level; fx, status: one value; funding: two)",
        ))
    }
}

/// Writes row groups of these columns.
pub(super) struct Encoder<W: Write> {
    writer: FileWriter<W>,
}

impl<W: Write> Encoder<W> {
    pub fn new(sink: W) -> Result<Encoder<W>, String> {
        let writer = FileWriter::try_new(sink, schema(), OPTIONS).map_err(|error| error.to_string())?;
        Ok(Encoder { writer })
    }

    /// Writes what was gathered as one row group and leaves `rows` empty.
    pub fn write(&mut self, rows: &mut Rows) -> Result<(), String> {
        let count = rows.len();
        let arrays = rows.take_arrays()?;
        let batch = RecordBatchT::try_new(count, schema().into(), arrays).map_err(|error| error.to_string())?;
        let fields = self.writer.parquet_schema().fields().to_vec();
        let group = row_group_iter(batch, encodings().into(), fields, OPTIONS);
        self.writer
            .write(count as u64, group)
            .map_err(|error| error.to_string())
    }

    /// Writes the footer and gives the sink back.
    pub fn finish(mut self) -> Result<W, String> {
        self.writer.end(None).map_err(|error| error.to_string())?;
        Ok(self.writer.into_inner())
    }
}

/// The footer of a data file, read once and kept.
#[derive(Debug)]
pub(super) struct Footer {
    metadata: FileMetadata,
    schema: ArrowSchema,
}

/// What the footer says of a row group, without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupFacts {
    /// First row in the file.
    pub first_row: u64,
    pub rows: usize,
    /// Smallest and largest `ts_recv`.
    pub ts_recv: (i64, i64),
    /// Smallest and largest kind.
    pub kinds: (u8, u8),
    /// Entries of the price lists.
    pub entries: usize,
}

impl Footer {
    /// Reads and checks the footer.
    pub fn read(file: &mut File, path: &Path) -> Result<Footer, DatasetError> {
        let unreadable = |detail: String| DatasetError::Parquet {
            path: path.to_owned(),
            group: None,
            detail,
        };
        let metadata = read_metadata(file).map_err(|error| unreadable(error.to_string()))?;
        let schema = infer_schema(&metadata).map_err(|error| unreadable(error.to_string()))?;
        let column = |column: &str, expected: &str, found: &str| DatasetError::Column {
            path: path.to_owned(),
            column: column.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        };
        for (name, dtype, _) in columns() {
            let found = schema
                .get(name)
                .ok_or_else(|| column(name, &type_name(&dtype), "missing"))?;
            // By name: whether entries might be missing is checked when they are decoded.
            if type_name(&found.dtype) != type_name(&dtype) {
                return Err(column(name, &type_name(&dtype), &type_name(&found.dtype)));
            }
        }
        if let Some(extra) = schema
            .iter_names()
            .find(|name| columns().iter().all(|c| c.0 != name.as_str()))
        {
            return Err(column(extra, "absent", "there"));
        }
        Ok(Footer { metadata, schema })
    }

    pub fn rows(&self) -> u64 {
        self.metadata.num_rows as u64
    }

    /// What is known of each row group; a file without statistics was not written by us.
    pub fn groups(&self, path: &Path) -> Result<Vec<GroupFacts>, DatasetError> {
        let mut first_row = 0;
        let mut groups = Vec::with_capacity(self.metadata.row_groups.len());
        for (index, group) in self.metadata.row_groups.iter().enumerate() {
            let missing = || DatasetError::Parquet {
                path: path.to_owned(),
                group: Some(index),
                detail: "no statistics for ts_recv and kind; write the file again with `crossbook dataset convert`"
                    .to_owned(),
            };
            let kinds = self.range(group, "kind").ok_or_else(missing)?;
            groups.push(GroupFacts {
                first_row,
                rows: group.num_rows(),
                ts_recv: self.range(group, "ts_recv").ok_or_else(missing)?,
                kinds: (
                    u8::try_from(kinds.0).map_err(|_| missing())?,
                    u8::try_from(kinds.1).map_err(|_| missing())?,
                ),
                entries: group
                    .columns_under_root_iter("price")
                    .and_then(|mut columns| columns.next())
                    .map_or(0, |column| usize::try_from(column.num_values()).unwrap_or(0)),
            });
            first_row += group.num_rows() as u64;
        }
        Ok(groups)
    }

    fn range(&self, group: &RowGroupMetadata, column: &str) -> Option<(i64, i64)> {
        let column = group.columns_under_root_iter(column)?.next()?;
        match column.statistics(&self.metadata.footer_buf)?.ok()? {
            Statistics::Int64(s) => Some((s.min_value?, s.max_value?)),
            Statistics::Int32(s) => Some((s.min_value?.into(), s.max_value?.into())),
            _ => None,
        }
    }

    /// Decodes rows `rows` of a row group.
    pub fn decode(
        &self,
        file: &File,
        path: &Path,
        group: usize,
        rows: std::ops::Range<usize>,
    ) -> Result<Decoded, DatasetError> {
        let source = GroupSource {
            footer: self,
            file,
            path,
            index: group,
            rows,
        };
        let decoded = Decoded {
            ts_event: source.numbers("ts_event")?,
            ts_recv: source.numbers("ts_recv")?,
            kind: source.numbers("kind")?,
            seq_first: source.numbers("seq_first")?,
            seq_last: source.numbers("seq_last")?,
            seq_prev: source.numbers("seq_prev")?,
            bids: source.numbers("bids")?,
            price: source.lists("price")?,
            qty: source.lists("qty")?,
        };
        Ok(decoded)
    }
}

struct GroupSource<'a> {
    footer: &'a Footer,
    file: &'a File,
    path: &'a Path,
    index: usize,
    rows: std::ops::Range<usize>,
}

impl GroupSource<'_> {
    fn unreadable(&self, detail: impl ToString) -> DatasetError {
        DatasetError::Parquet {
            path: self.path.to_owned(),
            group: Some(self.index),
            detail: detail.to_string(),
        }
    }

    fn array(&self, name: &str) -> Result<Box<dyn Array>, DatasetError> {
        let group = &self.footer.metadata.row_groups[self.index];
        let field = self
            .footer
            .schema
            .get(name)
            .ok_or_else(|| self.unreadable("column gone"))?;
        let mut leaves = group
            .columns_under_root_iter(name)
            .ok_or_else(|| self.unreadable(format!("no column `{name}`")))?;
        let column = leaves.next().ok_or_else(|| self.unreadable("column without data"))?;
        let range = column.byte_range();
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(|e| self.unreadable(e))?;
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, range.start)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => self.unreadable("the file ends inside it"),
                _ => DatasetError::io("read", self.path)(error),
            })?;
        let pages = PageReader::new(Cursor::new(bytes.into()), column, Vec::new(), usize::MAX);
        let pages = BasicDecompressor::new(pages, Vec::new());
        let kind = &column.descriptor().descriptor.primitive_type;
        let whole = self.rows == (0..group.num_rows());
        let filter = (!whole).then(|| Filter::new_ranged(self.rows.start, self.rows.end));
        let (arrays, _) =
            column_iter_to_arrays(vec![pages], vec![kind], field.clone(), filter).map_err(|e| self.unreadable(e))?;
        let array = match <[Box<dyn Array>; 1]>::try_from(arrays) {
            Ok([array]) => array,
            Err(arrays) => {
                let parts: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
                polars_arrow::compute::concatenate::concatenate(&parts).map_err(|e| self.unreadable(e))?
            }
        };
        if array.len() != self.rows.len() {
            return Err(self.unreadable(format!(
                "column `{name}` has {} rows, {} were announced",
                array.len(),
                self.rows.len()
            )));
        }
        Ok(array)
    }

    fn numbers<T: NativeType>(&self, name: &str) -> Result<PrimitiveArray<T>, DatasetError> {
        let array = self.array(name)?;
        array
            .as_any()
            .downcast_ref::<PrimitiveArray<T>>()
            .cloned()
            .ok_or_else(|| self.unreadable(format!("column `{name}` decoded to another type")))
    }

    fn lists(&self, name: &str) -> Result<Lists, DatasetError> {
        let array = self.array(name)?;
        let wrong = || self.unreadable(format!("column `{name}` decoded to another type"));
        let lists = array.as_any().downcast_ref::<ListArray<i64>>().ok_or_else(wrong)?;
        let values = lists
            .values()
            .as_any()
            .downcast_ref::<PrimitiveArray<i64>>()
            .ok_or_else(wrong)?;
        if lists.null_count() + values.null_count() > 0 {
            return Err(self.unreadable(format!("column `{name}` has missing values")));
        }
        Ok(Lists {
            offsets: lists.offsets().clone(),
            values: values.clone(),
        })
    }
}

struct Lists {
    offsets: OffsetsBuffer<i64>,
    values: PrimitiveArray<i64>,
}

impl Lists {
    #[inline]
    fn get(&self, row: usize) -> &[i64] {
        let offsets = self.offsets.as_slice();
        &self.values.values().as_slice()[offsets[row] as usize..offsets[row + 1] as usize]
    }
}

/// Rows of one row group, decoded but not yet believed.
pub(super) struct Decoded {
    ts_event: PrimitiveArray<i64>,
    ts_recv: PrimitiveArray<i64>,
    kind: PrimitiveArray<u8>,
    seq_first: PrimitiveArray<i64>,
    seq_last: PrimitiveArray<i64>,
    seq_prev: PrimitiveArray<i64>,
    bids: PrimitiveArray<u32>,
    price: Lists,
    qty: Lists,
}

/// One row as it stands in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRow<'a> {
    pub ts_event: i64,
    pub ts_recv: i64,
    pub kind: u8,
    pub seq_first: Option<i64>,
    pub seq_last: Option<i64>,
    pub seq_prev: Option<i64>,
    pub bids: u32,
    pub price: &'a [i64],
    pub qty: &'a [i64],
}

impl Decoded {
    pub fn len(&self) -> usize {
        self.kind.len()
    }

    pub fn entries(&self) -> usize {
        self.price.values.len()
    }

    #[inline]
    pub fn row(&self, row: usize) -> RawRow<'_> {
        RawRow {
            ts_event: self.ts_event.values()[row],
            ts_recv: self.ts_recv.values()[row],
            kind: self.kind.values()[row],
            seq_first: optional(&self.seq_first, row),
            seq_last: optional(&self.seq_last, row),
            seq_prev: optional(&self.seq_prev, row),
            bids: self.bids.values()[row],
            price: self.price.get(row),
            qty: self.qty.get(row),
        }
    }
}

#[inline]
fn optional(array: &PrimitiveArray<i64>, row: usize) -> Option<i64> {
    let there = |validity: &Bitmap| validity.get_bit(row);
    array.validity().is_none_or(there).then(|| array.values()[row])
}

fn type_name(dtype: &ArrowDataType) -> String {
    match dtype {
        ArrowDataType::LargeList(inner) | ArrowDataType::List(inner) => format!("list<{}>", type_name(&inner.dtype)),
        ArrowDataType::Int64 => "i64".to_owned(),
        ArrowDataType::UInt8 => "u8".to_owned(),
        ArrowDataType::UInt32 => "u32".to_owned(),
        ArrowDataType::Float64 => "f64".to_owned(),
        other => format!("{other:?}"),
    }
}
