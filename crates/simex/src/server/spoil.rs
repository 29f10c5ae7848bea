//! What faults make of a frame, or of an answer's body, before it is sent. They work on the text, so that nothing else
//! about it changes.

use crate::faults::FaultKind;

/// What is to be sent in place of a frame, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spoiled {
    /// What goes out now.
    pub now: Vec<Vec<u8>>,
    /// What goes out after the next frame.
    pub later: Option<Vec<u8>>,
}

/// What these faults make of a frame.
pub fn spoil(kinds: &[FaultKind], frame: &str) -> Spoiled {
    let mut before = Vec::new();
    let mut bytes = frame.as_bytes().to_vec();
    let (mut copies, mut hold) = (1usize, false);
    for kind in kinds {
        match kind {
            FaultKind::Drop => copies = 0,
            FaultKind::Duplicate => copies = copies.saturating_mul(2).min(8),
            FaultKind::Reorder => hold = true,
            FaultKind::Cut => bytes.truncate(bytes.len() / 2),
            FaultKind::BadUtf8 => bytes.insert(bytes.len() / 2, 0xff),
            FaultKind::Garbage => bytes.iter_mut().for_each(|byte| *byte ^= 0xa5),
            FaultKind::UnknownKind => {
                before.push(br#"{"type":"simexUnknown","e":"simexUnknown","ty":"simexUnknown","E":1}"#.to_vec());
            }
            FaultKind::NewField => bytes = new_field(&bytes),
            FaultKind::MissingField => bytes = missing_field(&bytes),
            FaultKind::BigFrame { bytes: size } => {
                let head = br#"{"type":"simexBig","pad":""#;
                let mut big = Vec::with_capacity(*size);
                big.extend_from_slice(head);
                big.resize(size.saturating_sub(2).max(head.len()), b'x');
                big.extend_from_slice(b"\"}");
                before.push(big);
            }
            _ => {}
        }
    }
    let mut spoiled = Spoiled {
        now: before,
        later: None,
    };
    if hold && copies > 0 {
        spoiled.later = Some(bytes);
    } else {
        spoiled.now.extend(std::iter::repeat_n(bytes, copies));
    }
    spoiled
}

/// With one more member at the head of the first object.
fn new_field(frame: &[u8]) -> Vec<u8> {
    let Some(at) = frame.iter().position(|&byte| byte == b'{') else {
        return frame.to_vec();
    };
    let mut out = frame[..=at].to_vec();
    out.extend_from_slice(br#""simexNew":{"a":[1,null,"x"]},"#);
    out.extend_from_slice(&frame[at + 1..]);
    out
}

/// Without the second member of the first object: the first one tells the kind.
fn missing_field(frame: &[u8]) -> Vec<u8> {
    let commas = commas(frame);
    match commas.as_slice() {
        [first, second, ..] => [&frame[..*first], &frame[*second..]].concat(),
        _ => frame.to_vec(),
    }
}

/// Where the members of the first object are separated.
fn commas(frame: &[u8]) -> Vec<usize> {
    let Some(start) = frame.iter().position(|&byte| byte == b'{') else {
        return Vec::new();
    };
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut out = Vec::new();
    for (at, &byte) in frame.iter().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            // The end of the object counts as one, so that a second member that is the last can be cut out, too.
            b',' if depth == 1 => out.push(at),
            _ => {}
        }
        if depth == 0 {
            out.push(at);
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_does_to_a_frame_what_it_says() {
        let frame = r#"[{"ty":"trade","cd":"KRW-B,\"TC","x":[1,2]}]"#;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |kind| {
            let spoiled = spoil(&[kind], frame);
            spoiled.now.iter().map(|bytes| text(bytes)).collect::<Vec<_>>()
        };
        assert_eq!(one(FaultKind::Drop), Vec::<String>::new());
        assert_eq!(one(FaultKind::Duplicate), [frame, frame]);
        assert_eq!(one(FaultKind::Cut), [&frame[..frame.len() / 2]]);
        assert_eq!(one(FaultKind::MissingField), [r#"[{"ty":"trade","x":[1,2]}]"#]);
        assert_eq!(
            one(FaultKind::NewField),
            [r#"[{"simexNew":{"a":[1,null,"x"]},"ty":"trade","cd":"KRW-B,\"TC","x":[1,2]}]"#]
        );
        let kinds = one(FaultKind::UnknownKind);
        assert_eq!((kinds.len(), kinds[1].as_str()), (2, frame));
        assert_eq!(one(FaultKind::BigFrame { bytes: 1_000 })[0].len(), 1_000);
        let reordered = spoil(&[FaultKind::Reorder], frame);
        assert_eq!(
            (reordered.now.len(), reordered.later.as_deref()),
            (0, Some(frame.as_bytes()))
        );
        assert!(std::str::from_utf8(&spoil(&[FaultKind::BadUtf8], frame).now[0]).is_err());
        assert_ne!(spoil(&[FaultKind::Garbage], frame).now[0], frame.as_bytes());
        assert_eq!(one(FaultKind::Halt), [frame]);
        assert_eq!(text(&missing_field(br#"{"a":1}"#)), r#"{"a":1}"#);
        assert_eq!(text(&missing_field(br#"{"a":1,"b":2}"#)), r#"{"a":1}"#);
    }
}
