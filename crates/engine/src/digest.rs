//! The run's digest: a hash over every decision, order, fill and ledger movement, in the order in which they happened.
//!
//! Two runs with the same digest did the same things. Each record is absorbed as its tag and its integers in little
//! endian, so that the digest depends on no text, float formatting, address or thread.

/// What a record is, so that two kinds with the same numbers do not hash alike. Numbers never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// A decision to enter.
    Enter = 1,
    /// A decision to leave.
    Exit = 2,
    /// An order sent.
    Order = 3,
    /// A report of an order.
    Report = 4,
    /// A fill.
    Fill = 5,
    /// A ledger posting.
    Posting = 6,
    /// A word of risk.
    Risk = 7,
    /// A request to take an order back.
    Cancel = 8,
    /// The end of a round trip.
    RoundTrip = 9,
    /// The end of the run.
    End = 10,
}

/// A running hash (BLAKE3) of a run's records.
#[derive(Debug, Clone, Default)]
pub struct Digest {
    hasher: blake3::Hasher,
}

impl Digest {
    /// Absorbs one record.
    pub fn absorb(&mut self, tag: Tag, fields: &[i64]) {
        let mut buffer = [0u8; 8 * 16];
        self.hasher.update(&[tag as u8, fields.len() as u8]);
        for chunk in fields.chunks(16) {
            for (slot, field) in buffer.chunks_exact_mut(8).zip(chunk) {
                slot.copy_from_slice(&field.to_le_bytes());
            }
            self.hasher.update(&buffer[..chunk.len() * 8]);
        }
    }

    /// The digest so far, as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_order_and_every_number_matter() {
        let of = |records: &[(Tag, &[i64])]| {
            let mut digest = Digest::default();
            for (tag, fields) in records {
                digest.absorb(*tag, fields);
            }
            digest.hex()
        };
        let base = of(&[(Tag::Enter, &[1, 2]), (Tag::Fill, &[3])]);
        assert_eq!(base, of(&[(Tag::Enter, &[1, 2]), (Tag::Fill, &[3])]));
        let others = [
            of(&[(Tag::Exit, &[1, 2]), (Tag::Fill, &[3])]),
            of(&[(Tag::Fill, &[3]), (Tag::Enter, &[1, 2])]),
            of(&[(Tag::Enter, &[1, 2]), (Tag::Fill, &[4])]),
            of(&[(Tag::Enter, &[1]), (Tag::Fill, &[2, 3])]),
        ];
        for other in others {
            assert_ne!(base, other);
        }
    }
}
