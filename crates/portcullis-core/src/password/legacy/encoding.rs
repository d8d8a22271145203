//! Reads salts and outputs: strictly, and none longer than any library writes.

use std::ops::RangeInclusive;

use base64::{Engine, engine::general_purpose};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::password::corrupt;

/// In bytes; passlib's longest.
const MAX_SALT_LEN: usize = 1024;

/// In bytes, as in the PHC string format: fewer would let too many passwords match.
const OUTPUT_LEN: RangeInclusive<usize> = 10..=64;

/// How a format writes bytes.
#[derive(Clone, Copy)]
pub(super) enum Encoding {
    /// With `.` for `+` and without padding: passlib's `ab64`, which also reads `+`.
    #[cfg(feature = "pbkdf2")]
    AdaptedBase64,
    Base64,
    #[cfg(feature = "scrypt")]
    Base64NoPad,
    Hex,
    /// As they are.
    Text,
}

impl Encoding {
    pub(super) fn salt(self, text: &str) -> Result<Vec<u8>, Error> {
        self.decode(text, MAX_SALT_LEN)
            .filter(|salt| !salt.is_empty())
            .ok_or_else(|| corrupt("its salt is missing, too long or not well encoded"))
    }

    pub(super) fn output(self, text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.decode(text, *OUTPUT_LEN.end())
            .map(Zeroizing::new)
            .filter(|output| OUTPUT_LEN.contains(&output.len()))
            .ok_or_else(|| corrupt("its output is too short, too long or not well encoded"))
    }

    fn decode(self, text: &str, max_len: usize) -> Option<Vec<u8>> {
        // No encoding takes more than two characters a byte.
        if text.len() > 2 * max_len {
            return None;
        }
        let bytes = match self {
            #[cfg(feature = "pbkdf2")]
            Self::AdaptedBase64 => general_purpose::STANDARD_NO_PAD
                .decode(text.replace('.', "+"))
                .ok()?,
            Self::Base64 => general_purpose::STANDARD.decode(text).ok()?,
            #[cfg(feature = "scrypt")]
            Self::Base64NoPad => general_purpose::STANDARD_NO_PAD.decode(text).ok()?,
            Self::Hex => hex(text)?,
            Self::Text => text.into(),
        };
        (bytes.len() <= max_len).then_some(bytes)
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    pairs
        .iter()
        .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect()
}
