//! A request body being read.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A request body being read: bounded, wiped when dropped and when it grows.
///
/// Bodies of logins hold passwords, so they are collected in one of these and not in a `Vec`, whose
/// growth leaves copies behind.
///
/// ```
/// use portcullis_core::adapter::BodyBuffer;
///
/// let mut body = BodyBuffer::new(10);
/// assert!(body.push(b"username=a").is_ok());
/// assert!(body.push(b"&").is_err());
/// assert_eq!(body.as_bytes(), b"username=a");
///
/// assert!(BodyBuffer::announced(Some(b"10"), 10).is_ok());
/// assert!(BodyBuffer::announced(Some(b"11"), 10).is_err());
/// ```
pub struct BodyBuffer {
    bytes: Zeroizing<Vec<u8>>,
    limit: usize,
}

impl BodyBuffer {
    /// Makes an empty buffer that takes at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::new()),
            limit,
        }
    }

    /// Makes an empty buffer that takes at most `limit` bytes, for a body that `content_length`
    /// announces: the header of that name (RFC 9110 §8.6), as sent. One that is no number announces
    /// nothing.
    ///
    /// # Errors
    /// [`BodyTooLarge`] if more is announced. Do not read it then.
    pub fn announced(content_length: Option<&[u8]>, limit: usize) -> Result<Self, BodyTooLarge> {
        let length = content_length
            .and_then(|value| str::from_utf8(value).ok())
            .and_then(|value| value.trim().parse::<u64>().ok());
        if length.is_some_and(|length| length > limit as u64) {
            return Err(BodyTooLarge);
        }
        Ok(Self::new(limit))
    }

    /// Appends `chunk`.
    ///
    /// # Errors
    /// [`BodyTooLarge`] if that would exceed the limit; the buffer is unchanged. Stop reading then.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), BodyTooLarge> {
        let needed = self.bytes.len().saturating_add(chunk.len());
        if needed > self.limit {
            return Err(BodyTooLarge);
        }
        if needed > self.bytes.capacity() {
            // `Vec` would free its old allocation unwiped.
            let mut grown = Vec::with_capacity(needed.max(2 * self.bytes.capacity()));
            grown.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            *self.bytes = grown;
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// What has been read so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for BodyBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyBuffer")
            .field("len", &self.bytes.len())
            .field("limit", &self.limit)
            .finish()
    }
}

/// The body is longer than its [`BodyBuffer`] may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it has a name and nothing else")]
pub struct BodyTooLarge;

impl fmt::Display for BodyTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body is too large")
    }
}

impl std::error::Error for BodyTooLarge {}
