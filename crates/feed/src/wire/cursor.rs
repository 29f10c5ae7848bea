//! A place in a JSON text that moves forward: the few steps from which the readers of messages are made.
//!
//! It builds nothing and allocates only for texts with escapes. What it passes over is checked as strictly as what is
//! read: UTF-8, grammar, escapes, control characters. Nesting is bounded ([`DEEPEST`]) and never recursion.

use std::borrow::Cow;

use crossbook_engine::units::parse_number;

use super::WireError;
use super::decimal::{decimal, load, whole};

/// Values that are passed over may nest this deep.
pub(super) const DEEPEST: u32 = 64;

/// A place in a text.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Where the inside of a JSON text lies.
#[derive(Debug, Clone, Copy)]
struct Inside {
    start: usize,
    end: usize,
    escaped: bool,
}

impl<'a> Cursor<'a> {
    /// At the first value of these bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Cursor<'a>, WireError> {
        let text = std::str::from_utf8(bytes).map_err(|error| WireError::Json(error.to_string()))?;
        let mut cursor = Cursor { text, at: 0 };
        cursor.space();
        Ok(cursor)
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Where it stands, for [`Cursor::back_to`].
    #[inline]
    pub fn place(&self) -> usize {
        self.at
    }

    /// To a place where it has been.
    #[inline]
    pub fn back_to(&mut self, place: usize) {
        self.at = place;
    }

    /// The byte that comes next; zero, which no JSON has outside of texts, at the end.
    #[inline(always)]
    pub fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Steps over exactly these bytes, when they come next.
    #[inline(always)]
    pub fn eat<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let found = self
            .text
            .as_bytes()
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            == Some(bytes);
        if found {
            self.at += N;
        }
        found
    }

    /// Steps over white space.
    #[inline(always)]
    pub fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), WireError> {
        self.space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.bad("something follows"))
        }
    }

    /// Steps into an object or a list.
    pub fn open(&mut self, bracket: u8) -> Result<(), WireError> {
        if self.peek() != bracket {
            return Err(self.bad("another type was expected"));
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of an object; the cursor then stands at its value. `None` behind the object's end.
    #[inline]
    pub fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, [u8]>>, WireError> {
        if !self.next(b'}', first)? {
            return Ok(None);
        }
        let inside = self.inside()?;
        let name = if inside.escaped {
            Cow::Owned(self.decode(inside)?.into_bytes())
        } else {
            Cow::Borrowed(&self.text.as_bytes()[inside.start..inside.end])
        };
        self.colon()?;
        Ok(Some(name))
    }

    /// Whether a list goes on; the cursor then stands at its next element, else behind its end.
    #[inline]
    pub fn next_element(&mut self, first: &mut bool) -> Result<bool, WireError> {
        self.next(b']', first)
    }

    #[inline(always)]
    fn next(&mut self, close: u8, first: &mut bool) -> Result<bool, WireError> {
        self.space();
        let next = self.peek();
        if next == close {
            self.at += 1;
            return Ok(false);
        }
        if !*first {
            if next != b',' {
                return Err(self.bad("neither a comma nor the end"));
            }
            self.at += 1;
            self.space();
        }
        *first = false;
        Ok(true)
    }

    #[inline(always)]
    fn colon(&mut self) -> Result<(), WireError> {
        self.space();
        if self.peek() != b':' {
            return Err(self.bad("no colon"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// A text, without its escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>, WireError> {
        let inside = self.inside()?;
        Ok(if inside.escaped {
            Cow::Owned(self.decode(inside)?)
        } else {
            Cow::Borrowed(&self.text[inside.start..inside.end])
        })
    }

    /// A decimal, as a number or as text, as a count of 1e-8.
    #[inline(always)]
    pub fn amount(&mut self, field: &'static str) -> Result<i64, WireError> {
        match self.plain_amount() {
            Some(steps) => Ok(steps),
            None => self.odd_amount(field),
        }
    }

    /// A decimal of a usual shape; `None`, without a step, for any other.
    #[inline(always)]
    pub fn plain_amount(&mut self) -> Option<i64> {
        let bytes = self.text.as_bytes();
        let next = |at: usize| bytes.get(at).copied().unwrap_or(0);
        if next(self.at) == b'"' {
            let (steps, end) = decimal(bytes, self.at + 1)?;
            if next(end) == b'"' {
                self.at = end + 1;
                return Some(steps);
            }
        } else {
            let (steps, end) = decimal(bytes, self.at)?;
            let superfluous = next(self.at) == b'0' && next(self.at + 1).is_ascii_digit();
            if matches!(next(end), b',' | b'}' | b']') && !superfluous {
                self.at = end;
                return Some(steps);
            }
        }
        None
    }

    #[cold]
    #[inline(never)]
    fn odd_amount(&mut self, field: &'static str) -> Result<i64, WireError> {
        // A text with an escape in it keeps its backslash and is refused as a number; so is a word.
        let text = self.raw()?;
        parse_number(text).map_err(|source| WireError::Amount { field, source })
    }

    /// A whole number, as a number or as text.
    #[inline]
    pub fn whole(&mut self, field: &'static str) -> Result<u64, WireError> {
        let quoted = self.peek() == b'"';
        let Some((value, end)) = whole(self.text.as_bytes(), self.at + usize::from(quoted)) else {
            return Err(WireError::Type(field));
        };
        self.at = end;
        // Behind a number the caller meets whatever follows: a point or an exponent is neither comma nor end.
        if quoted && !self.eat(b"\"") {
            return Err(WireError::Type(field));
        }
        Ok(value)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, WireError> {
        if self.eat(b"true") {
            Ok(true)
        } else if self.eat(b"false") {
            Ok(false)
        } else {
            Err(WireError::Type(field))
        }
    }

    /// Any value as it is written, a text without its quotes.
    pub fn raw(&mut self) -> Result<&'a str, WireError> {
        let start = self.at;
        self.skip()?;
        let raw = &self.text[start..self.at];
        Ok(match raw.strip_prefix('"') {
            Some(_) => &raw[1..raw.len() - 1],
            None => raw,
        })
    }

    /// Steps over any value.
    pub fn skip(&mut self) -> Result<(), WireError> {
        // One bit for each object or list that is open, the innermost lowest: set for an object.
        let (mut open, mut depth) = (0u64, 0u32);
        loop {
            let container = match self.peek() {
                b'{' => Some(true),
                b'[' => Some(false),
                b'"' => {
                    self.inside()?;
                    None
                }
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                    None
                }
                _ if self.eat(b"true") || self.eat(b"false") || self.eat(b"null") => None,
                _ => return Err(self.bad("no value")),
            };
            let mut first = false;
            if let Some(is_object) = container {
                if depth == DEEPEST {
                    return Err(self.bad("nested too deeply"));
                }
                self.at += 1;
                depth += 1;
                open = open << 1 | u64::from(is_object);
                first = true;
            }
            // Out of everything that ends here, to the next value.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let is_object = open & 1 == 1;
                if self.next(if is_object { b'}' } else { b']' }, &mut first)? {
                    if is_object {
                        self.inside()?;
                        self.colon()?;
                    }
                    break;
                }
                open >>= 1;
                depth -= 1;
                first = false;
            }
        }
    }

    /// Steps over a number as JSON's grammar has it.
    fn number(&mut self) -> Result<(), WireError> {
        let digits = |cursor: &mut Cursor<'a>| {
            let start = cursor.at;
            while cursor.peek().is_ascii_digit() {
                cursor.at += 1;
            }
            cursor.at > start
        };
        self.at += usize::from(self.peek() == b'-');
        let mut good = true;
        if self.peek() == b'0' {
            self.at += 1;
            good &= !self.peek().is_ascii_digit();
        } else {
            good &= digits(self);
        }
        if self.peek() == b'.' {
            self.at += 1;
            good &= digits(self);
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            good &= digits(self);
        }
        if good { Ok(()) } else { Err(self.bad("bad number")) }
    }

    /// Steps over a text.
    #[inline]
    fn inside(&mut self) -> Result<Inside, WireError> {
        if self.peek() != b'"' {
            return Err(self.bad("no text"));
        }
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            let plain = before_special(load(bytes, self.at));
            self.at += plain;
            if plain == 8 {
                continue;
            }
            match bytes.get(self.at) {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Inside { start, end, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.bad("control character in a text")),
                None => return Err(self.bad("text without an end")),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), WireError> {
        let bytes = self.text.as_bytes();
        let length = match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u')
                if bytes
                    .get(self.at + 2..self.at + 6)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
            {
                6
            }
            _ => return Err(self.bad("bad escape")),
        };
        self.at += length;
        Ok(())
    }

    #[cold]
    fn decode(&self, inside: Inside) -> Result<String, WireError> {
        Ok(serde_json::from_str(&self.text[inside.start - 1..=inside.end])?)
    }

    #[cold]
    pub fn bad(&self, what: &'static str) -> WireError {
        let what = if self.at >= self.text.len() { "cut" } else { what };
        WireError::Json(format!("{what} at byte {}", self.at))
    }
}

/// How many of eight bytes (the first one lowest) stand before the first quote, backslash or control character.
#[inline(always)]
fn before_special(chunk: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is below `limit`; a borrow spoils only bytes above the first such.
    let below = |chunk: u64, limit: u64| chunk.wrapping_sub(ONES * limit) & !chunk & HIGH;
    let quote = below(chunk ^ (ONES * b'"' as u64), 1);
    let backslash = below(chunk ^ (ONES * b'\\' as u64), 1);
    ((quote | backslash | below(chunk, 0x20)).trailing_zeros() / 8) as usize
}
