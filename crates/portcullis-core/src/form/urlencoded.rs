//! Turns an `application/x-www-form-urlencoded` body into fields.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use zeroize::Zeroizing;

use super::{Field, FieldValue, FormError, MAX_FIELDS, MAX_TEXT_LEN, Text};
use crate::percent;

pub(super) fn parse(body: &[u8]) -> Result<Vec<Field<'_>>, FormError> {
    let mut fields = Vec::new();
    for segment in body.split(|&byte| byte == b'&') {
        if segment.is_empty() {
            continue;
        }
        let (name, value) = match memchr(b'=', segment) {
            Some(equals) => (&segment[..equals], &segment[equals + 1..]),
            None => (segment, &[][..]),
        };
        if name.len() + value.len() > MAX_TEXT_LEN {
            return Err(FormError::FieldTooLarge);
        }
        if fields.len() == MAX_FIELDS {
            return Err(FormError::TooManyFields);
        }
        fields.push(Field {
            name: decode(name),
            value: FieldValue::Text(decode(value)),
        });
    }
    Ok(fields)
}

/// Decodes as Python's `unquote_plus` does once Starlette has read the bytes as Latin-1: escapes
/// are UTF-8 among neighbours, and every other byte is a character of its own.
fn decode(raw: &[u8]) -> Text<'_> {
    if memchr2(b'+', b'%', raw).is_none()
        && raw.is_ascii()
        && let Ok(text) = str::from_utf8(raw)
    {
        return Text(Cow::Borrowed(text));
    }
    // Large enough at once, as growing would leave copies of a password behind: Latin-1 doubles at
    // most, and U+FFFD is as long as the escape it replaces.
    let mut text = String::with_capacity(2 * raw.len());
    let mut escaped = Zeroizing::new(Vec::with_capacity(raw.len() / 3));
    let mut rest = raw;
    while let [first, later @ ..] = rest {
        if let Some((byte, later)) = percent::escape(rest) {
            escaped.push(byte);
            rest = later;
            continue;
        }
        if !escaped.is_empty() {
            move_utf8(&mut escaped, &mut text);
        }
        text.push(char::from(if *first == b'+' { b' ' } else { *first }));
        rest = later;
    }
    move_utf8(&mut escaped, &mut text);
    Text(Cow::Owned(text))
}

/// Moves bytes to the end of `text`, invalid sequences as U+FFFD.
fn move_utf8(bytes: &mut Vec<u8>, text: &mut String) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    bytes.clear();
}
