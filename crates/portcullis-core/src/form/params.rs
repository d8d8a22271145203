//! Takes header values with parameters apart: `Content-Type` and `Content-Disposition`.
//!
//! Not RFC 9110 but what Python's `email` package makes of it, which python-multipart copies:
//! quotes need not be balanced, and a quoted `=` still separates name and value. Extended
//! parameters (`filename*`, RFC 8187) are names of their own that nobody asks for.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// What stands before the parameters: a media type or disposition type.
pub(super) fn first_piece(header: &[u8]) -> &[u8] {
    trim(pieces(header).next().unwrap_or_default())
}

/// The last value of each of the parameters in `names`, unquoted. Names are in lower case.
pub(super) fn parameters<'a, const N: usize>(
    header: &'a [u8],
    names: [&str; N],
) -> [Option<Cow<'a, [u8]>>; N] {
    let mut values = [None; N];
    for piece in pieces(header).skip(1) {
        let equals = memchr(b'=', piece);
        let (name, value) = match equals {
            Some(equals) => (trim(&piece[..equals]), trim(&piece[equals + 1..])),
            None => (trim(piece), &[][..]),
        };
        for (wanted, slot) in names.iter().zip(&mut values) {
            // Case counts where there is no value.
            if name == wanted.as_bytes()
                || (equals.is_some() && name.eq_ignore_ascii_case(wanted.as_bytes()))
            {
                *slot = Some(value);
            }
        }
    }
    values.map(|value| value.map(unquote))
}

/// Splits at each `;` outside quotes. Only a `"` after a backslash is no quote.
fn pieces(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut previous = b';';
    let mut quoted = false;
    header.split(move |&byte| {
        if byte == b'"' && previous != b'\\' {
            quoted = !quoted;
        }
        previous = byte;
        byte == b';' && !quoted
    })
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    match value {
        [b'"', inner @ .., b'"'] if memchr(b'\\', inner).is_some() => {
            // Two passes on purpose: `\\"` becomes `\"` and then `"`.
            Cow::Owned(drop_backslash(&drop_backslash(inner, br"\\"), br#"\""#))
        }
        [b'"', inner @ .., b'"'] => Cow::Borrowed(inner),
        _ => Cow::Borrowed(value),
    }
}

/// Removes the backslash of each `escape`, a pair of bytes.
fn drop_backslash(bytes: &[u8], escape: &[u8; 2]) -> Vec<u8> {
    let mut unescaped = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for backslash in memmem::find_iter(bytes, escape) {
        unescaped.extend_from_slice(&bytes[copied..backslash]);
        copied = backslash + 1;
    }
    unescaped.extend_from_slice(&bytes[copied..]);
    unescaped
}
