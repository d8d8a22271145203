//! Bytes as hexadecimal digits.

use std::fmt;

/// Bytes that are printed as hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Hex<const LEN: usize>(pub(crate) [u8; LEN]);

impl<const LEN: usize> fmt::Display for Hex<LEN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
