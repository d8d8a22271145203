//! Percent-decoding (RFC 3986 §2.1), as Python's `unquote_to_bytes` does it: for forms and paths.

use std::borrow::Cow;

/// Decodes each `%` that two hex digits follow; any other `%` stays as it is.
pub(crate) fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'%') {
        return Cow::from(raw);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, after_first @ ..] = rest {
        let (byte, after) = escape(rest).unwrap_or((*first, after_first));
        decoded.push(byte);
        rest = after;
    }
    Cow::from(decoded)
}

/// The byte that `text` begins with the escape of, and what follows it.
pub(crate) fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, after @ ..] => Some((hex_digit(*high)? << 4 | hex_digit(*low)?, after)),
        _ => None,
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
