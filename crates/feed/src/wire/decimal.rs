//! Numbers out of bytes, eight digits at a time, for the spellings that venues use all day; anything else is for
//! [`parse_number`](crossbook_engine::units::parse_number), which knows every spelling and says what is wrong with it.
//!
//! What always holds: where these functions give a value, it is the one that `parse_number` (or `u64`'s own parser) gives
//! for the bytes that were read. They know nothing of JSON: what may stand before and after is the caller's to check.

const TENS: [u64; 3] = [1, 10, 100];
const STEPS: u64 = crossbook_engine::units::SCALE as u64;

/// Eight bytes, the first one lowest; zeros where the text has ended.
#[inline(always)]
pub(super) fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_tail(bytes, at),
    }
}

#[cold]
fn load_tail(bytes: &[u8], at: usize) -> u64 {
    let mut chunk = [0; 8];
    let tail = bytes.get(at..).unwrap_or_default();
    for (to, from) in chunk.iter_mut().zip(tail) {
        *to = *from;
    }
    u64::from_le_bytes(chunk)
}

/// A plain decimal (`12`, `0.00000901`) of at most ten digits before the point and eight behind it, as a count of 1e-8,
/// and where it ends. `None` when nothing of that shape begins here; a longer number ends where a digit follows.
#[inline(always)]
pub(super) fn decimal(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let chunk = load(bytes, at);
    let count = leading_digits(chunk);
    if count == 0 {
        return None;
    }
    let mut whole = value(chunk, count);
    let mut end = at + count;
    if count == 8 {
        let chunk = load(bytes, end);
        let more = leading_digits(chunk);
        if more > 0 {
            whole = whole * TENS.get(more)? + value(chunk, more);
            end += more;
        }
    }
    // Ten digits at most, so this is below 1e18 + 1e8.
    let mut steps = whole.wrapping_mul(STEPS);
    if bytes.get(end) == Some(&b'.') {
        let chunk = load(bytes, end + 1);
        let count = leading_digits(chunk);
        if count == 0 {
            return None;
        }
        // Bytes cut away count as zeros behind the last digit: what is left is a count of 1e-8 as it stands.
        steps = steps.wrapping_add(eight(chunk & (u64::MAX >> (64 - 8 * count))));
        end += 1 + count;
    }
    Some((steps as i64, end))
}

/// A whole number without superfluous zeros before it, and where it ends.
#[inline]
pub(super) fn whole(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut sum: u64 = 0;
    let mut end = at;
    loop {
        let chunk = load(bytes, end);
        let count = leading_digits(chunk);
        if count > 0 {
            sum = sum
                .checked_mul(10u64.pow(count as u32))?
                .checked_add(value(chunk, count))?;
            end += count;
        }
        if count < 8 {
            break;
        }
    }
    let superfluous = bytes.get(at) == Some(&b'0') && end - at > 1;
    (end > at && !superfluous).then_some((sum, end))
}

/// How many of the eight bytes are digits before the first that is none.
#[inline(always)]
fn leading_digits(chunk: u64) -> usize {
    let digits = chunk ^ 0x3030_3030_3030_3030;
    // A digit is now 0 to 9 and stays below 0x80; a carry out of a byte comes only from one that is no digit, and is
    // seen only above it.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    (others.trailing_zeros() / 8) as usize
}

/// The number that the first `count` (1 to 8) bytes spell.
#[inline(always)]
fn value(chunk: u64, count: usize) -> u64 {
    eight(chunk << (64 - 8 * count))
}

/// The number that eight bytes spell, the first one lowest; a zero byte counts as the digit zero.
#[inline(always)]
fn eight(chunk: u64) -> u64 {
    let pairs = (chunk & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32
}

#[cfg(test)]
mod tests {
    use crossbook_engine::units::parse_number;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shapes_that_are_read_and_shapes_that_are_left_to_others() {
        let cases = [
            ("158000000", Some((15_800_000_000_000_000, 9))),
            ("103460000.0,", Some((10_346_000_000_000_000, 11))),
            ("0.00000901\"", Some((901, 10))),
            ("9999999999.99999999]", Some((999_999_999_999_999_999, 19))),
            ("12345678901", None),
            ("9354.4915888", Some((935_449_158_880, 12))),
            // A ninth decimal: the caller sees that the number goes on.
            ("1.123456789", Some((112_345_678, 10))),
            ("1e5", Some((100_000_000, 1))),
            ("12345678", Some((1_234_567_800_000_000, 8))),
            ("12345678.5", Some((1_234_567_850_000_000, 10))),
            ("1.", None),
            (".5", None),
            ("-1", None),
            ("", None),
            ("x", None),
        ];
        for (text, want) in cases {
            assert_eq!(decimal(text.as_bytes(), 0), want, "{text}");
        }
        let cases = [
            ("0,", Some((0, 1))),
            ("1735689600123456", Some((1_735_689_600_123_456, 16))),
            ("18446744073709551615", Some((u64::MAX, 20))),
            ("18446744073709551616", None),
            ("99999999999999999999999999999999", None),
            ("007", None),
            ("", None),
            ("-1", None),
        ];
        for (text, want) in cases {
            assert_eq!(whole(text.as_bytes(), 0), want, "{text}");
        }
    }

    proptest! {
        /// Whatever stands before and behind it, and however near the end of the buffer.
        #[test]
        fn f26_values_are_those_of_the_slow_parser(
            text in "[0-9]{1,12}(\\.[0-9]{1,10})?",
            before in "[ -~]{0,9}",
            behind in "([\",}\\]] ?[ -~]{0,9})?",
        ) {
            let all = format!("{before}{text}{behind}");
            if let Some((steps, end)) = decimal(all.as_bytes(), before.len()) {
                let read = &all[before.len()..end];
                prop_assert_eq!(parse_number(read), Ok(steps));
                prop_assert!(read == text || text.starts_with(read));
                let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
                prop_assert_eq!(read == text, decimals <= 8);
            } else {
                prop_assert!(text.split('.').next().is_some_and(|digits| digits.len() > 10));
            }
            match whole(all.as_bytes(), before.len()) {
                Some((value, end)) => prop_assert_eq!(all[before.len()..end].parse::<u64>(), Ok(value)),
                None => prop_assert!(text.starts_with('0')),
            }
        }
    }
}
