//! One record of a journal, and its bytes inside an unpacked block.
//!
//! ```text
//! record  kind u8, then varints: wall time since the record before (zigzag), monotonic time since the record before (zigzag),
//!         bytes of the body; then the body
//! body    frame: venue u8, connection varint, the frame's bytes        link: venue u8, connection varint, JSON
//!         answer: venue u8, bytes of its JSON varint, JSON, bytes of the answer        tick: venue u8        mark: JSON
//!         note: venue u8, JSON
//! ```
//!
//! What comes a thousand times a second is binary; what comes once a minute is JSON, so that it can grow fields.

use std::collections::BTreeMap;

use bytes::Bytes;
use crossbook_engine::units::TimestampNs;
use serde::{Deserialize, Serialize};

use crate::clock::Stamp;
use crate::error::FeedError;
use crate::input::{Answer, Body, ConnId, Input, Request, VenueIx};

/// One thing that is kept, and when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When.
    pub stamp: Stamp,
    /// What.
    pub item: Item,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Something that came in.
    Input {
        /// From whom.
        venue: VenueIx,
        /// What.
        body: Body,
    },
    /// What the recorder says of itself.
    Mark(Mark),
}

impl Record {
    /// The input that this is, if it is one.
    pub fn into_input(self) -> Option<Input> {
        match self.item {
            Item::Input { venue, body } => Some(Input {
                stamp: self.stamp,
                venue,
                body,
            }),
            Item::Mark(_) => None,
        }
    }
}

impl From<Input> for Record {
    fn from(input: Input) -> Record {
        Record {
            stamp: input.stamp,
            item: Item::Input {
                venue: input.venue,
                body: input.body,
            },
        }
    }
}

/// What a recorder says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    /// The first record of every segment: what is needed to read it alone.
    Segment(SegmentMark),
    /// The last record of a segment that was closed in order.
    End {
        /// Records in the segment before this one.
        records: u64,
    },
    /// The last record of a run that was ended in order.
    Stop {
        /// Why: `signal`, `duration`.
        reason: String,
        /// What the run counted, by name.
        counts: BTreeMap<String, u64>,
    },
}

/// What is needed to read a segment alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentMark {
    /// The run that wrote it; the same in all segments of a run.
    pub run: String,
    /// Program and version that wrote it.
    pub build: String,
    /// The venues by their numbers in records.
    pub venues: Vec<VenueMark>,
    /// What the run was told to do, as the runner writes it (JSON).
    pub setup: String,
    /// The segment before this one in the folder, as it was when this one was begun.
    pub previous: Option<Previous>,
}

/// A venue as records number it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueMark {
    /// Its name.
    pub name: String,
    /// Its dialect.
    pub protocol: crate::venue::Protocol,
}

/// The segment before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its file name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Hash of all of it, in hex.
    pub blake3: String,
}

const FRAME_TEXT: u8 = 1;
const FRAME_BINARY: u8 = 2;
const LINK: u8 = 3;
const ANSWER: u8 = 4;
const MARK: u8 = 5;
const TICK: u8 = 6;
const NOTE: u8 = 7;

#[derive(Serialize, Deserialize)]
struct AnswerHead {
    request: Request,
    /// Status of the answer; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FeedError>,
}

/// Appends a record whose times count from `before`.
///
/// # Errors
/// When what is written as JSON cannot be, which no value of these types brings about.
pub fn encode(record: &Record, before: Stamp, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut head = Vec::with_capacity(32);
    let (kind, tail): (u8, &[u8]) = match &record.item {
        Item::Input { venue, body } => {
            head.push(venue.0);
            match body {
                Body::Frame { conn, binary, bytes } => {
                    put_varint(u64::from(conn.0), &mut head);
                    (if *binary { FRAME_BINARY } else { FRAME_TEXT }, bytes)
                }
                Body::Link { conn, event } => {
                    put_varint(u64::from(conn.0), &mut head);
                    serde_json::to_writer(&mut head, event)?;
                    (LINK, &[])
                }
                Body::Answer { request, outcome } => {
                    let json = serde_json::to_vec(&AnswerHead {
                        request: request.clone(),
                        status: outcome.as_ref().ok().map(|answer| answer.status),
                        error: outcome.as_ref().err().cloned(),
                    })?;
                    put_varint(json.len() as u64, &mut head);
                    head.extend_from_slice(&json);
                    let bytes: &[u8] = match outcome {
                        Ok(answer) => &answer.bytes,
                        Err(_) => &[],
                    };
                    (ANSWER, bytes)
                }
                Body::Tick => (TICK, &[]),
                Body::Note(note) => {
                    serde_json::to_writer(&mut head, note)?;
                    (NOTE, &[])
                }
            }
        }
        Item::Mark(mark) => {
            serde_json::to_writer(&mut head, mark)?;
            (MARK, &[])
        }
    };
    out.push(kind);
    put_varint(zigzag(record.stamp.ts.0.wrapping_sub(before.ts.0)), out);
    put_varint(zigzag(record.stamp.mono_ns.wrapping_sub(before.mono_ns)), out);
    put_varint((head.len() + tail.len()) as u64, out);
    out.extend_from_slice(&head);
    out.extend_from_slice(tail);
    Ok(())
}

/// Bytes that a record takes at most, near enough to bound a queue by.
pub fn weight(item: &Item) -> usize {
    const HEAD: usize = 64;
    HEAD + match item {
        Item::Input { body, .. } => match body {
            Body::Frame { bytes, .. } => bytes.len(),
            Body::Link { .. } => 256,
            Body::Answer { request, outcome } => {
                let asked: usize = match request {
                    Request::Books(markets) => markets.iter().map(|market| market.len() + 3).sum(),
                    Request::Trades(market) => market.len(),
                };
                asked + outcome.as_ref().map_or(256, |answer| answer.bytes.len())
            }
            Body::Tick => 0,
            Body::Note(note) => note.weight(),
        },
        Item::Mark(mark) => match mark {
            Mark::Segment(segment) => segment.setup.len() + 512,
            Mark::Stop { counts, .. } => counts.len() * 64 + 256,
            Mark::End { .. } => 64,
        },
    }
}

/// Takes the next record off an unpacked block; `None` when the bytes are not one.
pub fn decode(rest: &mut Bytes, before: Stamp) -> Option<Record> {
    let kind = *rest.first()?;
    let mut at = 1;
    let ts = before.ts.0.wrapping_add(unzigzag(take_varint(rest, &mut at)?));
    let mono_ns = before.mono_ns.wrapping_add(unzigzag(take_varint(rest, &mut at)?));
    let length = usize::try_from(take_varint(rest, &mut at)?).ok()?;
    let end = at.checked_add(length).filter(|end| *end <= rest.len())?;
    let body = rest.slice(at..end);
    *rest = rest.slice(end..);
    Some(Record {
        stamp: Stamp {
            mono_ns,
            ts: TimestampNs(ts),
        },
        item: decode_item(kind, &body)?,
    })
}

fn decode_item(kind: u8, body: &Bytes) -> Option<Item> {
    if kind == MARK {
        return serde_json::from_slice(body).ok().map(Item::Mark);
    }
    let venue = VenueIx(*body.first()?);
    let mut at = 1;
    let body = match kind {
        FRAME_TEXT | FRAME_BINARY => Body::Frame {
            conn: ConnId(u32::try_from(take_varint(body, &mut at)?).ok()?),
            binary: kind == FRAME_BINARY,
            bytes: body.slice(at..),
        },
        LINK => Body::Link {
            conn: ConnId(u32::try_from(take_varint(body, &mut at)?).ok()?),
            event: serde_json::from_slice(&body[at..]).ok()?,
        },
        ANSWER => {
            let length = usize::try_from(take_varint(body, &mut at)?).ok()?;
            let end = at.checked_add(length).filter(|end| *end <= body.len())?;
            let head: AnswerHead = serde_json::from_slice(&body[at..end]).ok()?;
            Body::Answer {
                request: head.request,
                outcome: match (head.status, head.error) {
                    (Some(status), None) => Ok(Answer {
                        status,
                        bytes: body.slice(end..),
                    }),
                    (None, Some(error)) => Err(error),
                    _ => return None,
                },
            }
        }
        TICK => Body::Tick,
        NOTE => Body::Note(serde_json::from_slice(&body[at..]).ok()?),
        _ => return None,
    };
    Some(Item::Input { venue, body })
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
