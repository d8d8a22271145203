//! Turns the bytes of multipart text into characters, by the charset that the request names.

use std::borrow::Cow;

use super::Text;

/// The charsets that are told apart. ASCII needs no variant: what is not ASCII falls back to
/// Latin-1, and what is reads the same.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Charset {
    Latin1,
    Utf8,
    Windows1252,
}

impl Charset {
    /// Finds a charset by the names Python has for it. An unknown name is Latin-1.
    pub(super) fn from_label(label: &[u8]) -> Self {
        let name = label
            .split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.')
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(&b'_')
            .to_ascii_lowercase();
        match name.as_slice() {
            b"cp65001" | b"u8" | b"utf" | b"utf8" | b"utf8.ucs2" | b"utf8.ucs4" | b"utf8_ucs2"
            | b"utf8_ucs4" | b"utf_8" => Self::Utf8,
            b"1252" | b"cp1252" | b"windows.1252" | b"windows_1252" => Self::Windows1252,
            _ => Self::Latin1,
        }
    }

    /// Decodes strictly; if that fails anywhere, the whole text is Latin-1.
    pub(super) fn decode(self, bytes: &[u8]) -> Text<'_> {
        if let Ok(text) = str::from_utf8(bytes)
            && (self == Self::Utf8 || text.is_ascii())
        {
            return Text(Cow::Borrowed(text));
        }
        // Large enough at once, as growing would leave copies of a password behind.
        let mut text = String::with_capacity(3 * bytes.len());
        if self == Self::Windows1252 && !bytes.iter().any(|byte| UNDEFINED.contains(byte)) {
            text.extend(bytes.iter().map(|&byte| windows_1252(byte)));
        } else {
            text.extend(bytes.iter().map(|&byte| char::from(byte)));
        }
        Text(Cow::Owned(text))
    }
}

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// The bytes that Windows-1252 gives no meaning.
const UNDEFINED: [u8; 5] = [0x81, 0x8d, 0x8f, 0x90, 0x9d];

/// Windows-1252 where it differs from Latin-1: 0x80 to 0x9F.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
