//! Lengths of time as they are given on the command line.

use std::time::Duration;

/// A span from `500ms`, `90s`, `10m`, `1h30m`; a year at most, and not zero.
///
/// # Errors
/// What is allowed.
pub fn span(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "numbers with ms, s, m or h are allowed: 90s, 10m, 1h30m";
    let mut rest = text;
    let mut ms = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, more) = rest.split_at(digits);
        let letters = more.find(|c: char| c.is_ascii_digit()).unwrap_or(more.len());
        let (unit, more) = more.split_at(letters);
        let scale = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(ALLOWED.to_owned()),
        };
        let number: u64 = number.parse().map_err(|_| ALLOWED.to_owned())?;
        let part = number.checked_mul(scale).ok_or("too long")?;
        ms = ms.checked_add(part).ok_or("too long")?;
        rest = more;
    }
    match ms {
        0 => Err(ALLOWED.to_owned()),
        1..=31_536_000_000 => Ok(Duration::from_millis(ms)),
        _ => Err("a year at most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let cases = [
            ("90s", Some(90_000)),
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("250ms", Some(250)),
            ("10", None),
            ("m", None),
            ("", None),
            ("0s", None),
            ("-1s", None),
            ("1.5h", None),
            ("99999999999999999999s", None),
            ("9000h", None),
        ];
        for (text, want) in cases {
            let got = span(text).ok().map(|span| span.as_millis());
            assert_eq!(got, want, "{text:?}");
        }
    }
}
