//! The bytes of a segment, version 1: a head, then blocks. All numbers little-endian.
//!
//! ```text
//! head    0 magic [8]   8 version u32   12 number of the segment u32   16 wall time of its first record i64
//!         24 first 8 bytes of blake3 over the 24 before
//! block   0 magic [8]   8 number in the segment u32   12 records u32   16 bytes unpacked u32   20 bytes packed u32
//!         24 wall time of the first record i64   32 monotonic time of the first record i64   40 wall time of the last record i64
//!         48 first 16 bytes of blake3 over the packed bytes   64 first 8 bytes of blake3 over the 64 before
//!         72 packed bytes (zstd)   then the trailer: bytes packed u32, "CBK." [4]
//! ```
//!
//! The head's first 32 bytes are the same in every version to come, so that a version is refused by its number and never
//! guessed at. No block needs another to be read: what is behind a damaged one is found again by the magic.

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// What a segment begins with. The high bit and the line ends show a file that went through something that takes it for text.
pub const SEGMENT_MAGIC: [u8; 8] = *b"\x89CBKJ\r\n\x1a";
/// What a block begins with.
pub const BLOCK_MAGIC: [u8; 8] = *b"\xb1CBKB\r\n\x1a";
/// What a block ends with.
pub const BLOCK_END: [u8; 4] = *b"CBK.";

/// Bytes of a segment's head.
pub const HEAD_BYTES: usize = 32;
/// Bytes of a block before what is packed.
pub const BLOCK_HEAD_BYTES: usize = 72;
/// Bytes of a block behind what is packed.
pub const TRAILER_BYTES: usize = 8;

/// Most bytes of a block, unpacked and packed: what a reader must be able to hold.
pub const MOST_BLOCK_BYTES: usize = 64 << 20;
/// Most bytes of one record. Binance's list of all symbols is the largest thing known, about 15 MB.
pub const MOST_RECORD_BYTES: usize = 32 << 20;

/// A segment's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The version of what follows.
    pub version: u32,
    /// Number of the segment in its folder, from 1.
    pub number: u32,
    /// Wall time of the first record, in nanoseconds.
    pub start_ns: i64,
}

impl Head {
    /// Its bytes.
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.start_ns.to_le_bytes());
        let sum = short_sum(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum);
        bytes
    }

    /// From its bytes; `None` when they are not a head, or a damaged one.
    pub fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Head> {
        if bytes[..8] != SEGMENT_MAGIC || bytes[24..] != short_sum(&bytes[..24]) {
            return None;
        }
        Some(Head {
            version: u32_at(bytes, 8),
            number: u32_at(bytes, 12),
            start_ns: i64_at(bytes, 16),
        })
    }
}

/// What stands before the packed bytes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHead {
    /// Its number in the segment, from 0.
    pub number: u32,
    /// Records in it.
    pub records: u32,
    /// Bytes when unpacked.
    pub unpacked: u32,
    /// Bytes as stored.
    pub packed: u32,
    /// Wall time of the first record, in nanoseconds; times in the block count from it.
    pub first_ns: i64,
    /// Monotonic time of the first record.
    pub first_mono_ns: i64,
    /// Wall time of the last record.
    pub last_ns: i64,
    /// Over the packed bytes.
    pub sum: [u8; 16],
}

impl BlockHead {
    /// Its bytes.
    pub fn encode(&self) -> [u8; BLOCK_HEAD_BYTES] {
        let mut bytes = [0; BLOCK_HEAD_BYTES];
        bytes[..8].copy_from_slice(&BLOCK_MAGIC);
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.unpacked.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.packed.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_ns.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_mono_ns.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.last_ns.to_le_bytes());
        bytes[48..64].copy_from_slice(&self.sum);
        let sum = short_sum(&bytes[..64]);
        bytes[64..].copy_from_slice(&sum);
        bytes
    }

    /// From its bytes; `None` when they are not a block's head, or a damaged one.
    pub fn decode(bytes: &[u8; BLOCK_HEAD_BYTES]) -> Option<BlockHead> {
        if bytes[..8] != BLOCK_MAGIC || bytes[64..] != short_sum(&bytes[..64]) {
            return None;
        }
        let mut sum = [0; 16];
        sum.copy_from_slice(&bytes[48..64]);
        let head = BlockHead {
            number: u32_at(bytes, 8),
            records: u32_at(bytes, 12),
            unpacked: u32_at(bytes, 16),
            packed: u32_at(bytes, 20),
            first_ns: i64_at(bytes, 24),
            first_mono_ns: i64_at(bytes, 32),
            last_ns: i64_at(bytes, 40),
            sum,
        };
        let fits = |count: u32| count as usize <= MOST_BLOCK_BYTES;
        (fits(head.unpacked) && fits(head.packed)).then_some(head)
    }
}

/// What stands behind the packed bytes.
pub fn trailer(packed: u32) -> [u8; TRAILER_BYTES] {
    let mut bytes = [0; TRAILER_BYTES];
    bytes[..4].copy_from_slice(&packed.to_le_bytes());
    bytes[4..].copy_from_slice(&BLOCK_END);
    bytes
}

/// Sum over a block's packed bytes.
pub fn block_sum(packed: &[u8]) -> [u8; 16] {
    let mut sum = [0; 16];
    sum.copy_from_slice(&blake3::hash(packed).as_bytes()[..16]);
    sum
}

fn short_sum(bytes: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    sum
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(eight)
}
