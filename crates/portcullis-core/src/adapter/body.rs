//! A request body being read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::MmapMut;
use thiserror::Error;
use zeroize::Zeroize;

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
    room: Room,
    len: usize,
    limit: usize,
    share: Option<Share>,
}

impl BodyBuffer {
    /// Makes an empty buffer that takes at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            room: Room::Heap(Vec::new()),
            len: 0,
            limit,
            share: None,
        }
    }

    /// Takes its room out of what all bodies may have together.
    pub(crate) fn sharing(mut self, bodies: &Bodies, limit: usize) -> Self {
        self.share = Some(Share {
            bodies: bodies.clone(),
            limit,
            taken: 0,
        });
        self
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
        match self.take(chunk) {
            Ok(()) => Ok(()),
            // It has no share, but the system may have no room.
            Err(NoRoom::InThisBody | NoRoom::InAll) => Err(BodyTooLarge),
        }
    }

    /// Appends `chunk`, if there is room for it.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), NoRoom> {
        let needed = self.len.saturating_add(chunk.len());
        if needed > self.limit {
            return Err(NoRoom::InThisBody);
        }
        if let Some(share) = &mut self.share {
            share.grow(needed)?;
        }
        if needed > self.room.as_ref().len() {
            let mut grown = Room::new(needed, self.limit)?;
            grown.as_mut()[..self.len].copy_from_slice(self.as_bytes());
            self.wipe();
            self.room = grown;
        }
        self.room.as_mut()[self.len..needed].copy_from_slice(chunk);
        self.len = needed;
        Ok(())
    }

    /// What has been read so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.room.as_ref()[..self.len]
    }

    /// As far as it is written: pages that are not take no memory, and would if they were wiped.
    fn wipe(&mut self) {
        self.room.as_mut()[..self.len].zeroize();
    }
}

impl Drop for BodyBuffer {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Where a body is.
enum Room {
    Heap(Vec<u8>),
    /// Of its own, so that the system has them back when the body has been read: an allocator would keep
    /// them, in pieces.
    Pages(MmapMut),
}

impl Room {
    /// For `needed` bytes and more, of up to `limit`.
    fn new(needed: usize, limit: usize) -> Result<Self, NoRoom> {
        if needed <= ON_THE_HEAP {
            return Ok(Self::Heap(vec![0; (2 * needed).min(limit)]));
        }
        let mut room = FIRST_PAGES;
        while room < needed {
            room = room.saturating_mul(GROWTH);
        }
        // The system has none, or allows no more.
        let pages = MmapMut::map_anon(room.min(limit)).map_err(|_| NoRoom::InAll)?;
        // One that is begun would be resident as a whole. Best effort, as most systems give none unasked.
        #[cfg(all(target_os = "linux", not(miri)))]
        let _ = pages.advise(memmap2::Advice::NoHugePage);
        Ok(Self::Pages(pages))
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }
}

impl AsMut<[u8]> for Room {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages(pages) => pages,
        }
    }
}

/// All bodies that are being read. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bodies(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Bytes that they take.
    taken: AtomicUsize,
    /// How many keep us waiting.
    awaited: AtomicUsize,
}

impl Bodies {
    /// Waits for one more, until what is returned is dropped.
    pub(crate) fn wait(&self) -> Awaited {
        let before = self.0.awaited.fetch_add(1, Ordering::Relaxed);
        Awaited {
            bodies: self.clone(),
            is_one_of_many: before >= MANY,
        }
    }
}

/// A body that keeps us waiting.
pub(crate) struct Awaited {
    bodies: Bodies,
    /// So many do that it is to have less time: whoever sends them takes connections from others.
    pub(crate) is_one_of_many: bool,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.bodies.0.awaited.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one body has of it.
struct Share {
    bodies: Bodies,
    /// Of all of them.
    limit: usize,
    taken: usize,
}

impl Share {
    /// Has `room` from now on. A small body is never refused: that would keep out logins, which are
    /// small, for the sake of others.
    fn grow(&mut self, room: usize) -> Result<(), NoRoom> {
        let beside = if room > ON_THE_HEAP { CONNECTION } else { 0 };
        let more = (room + beside).saturating_sub(self.taken);
        let before = self.bodies.0.taken.fetch_add(more, Ordering::Relaxed);
        if room > NEVER_REFUSED && before.saturating_add(more) > self.limit {
            self.bodies.0.taken.fetch_sub(more, Ordering::Relaxed);
            return Err(NoRoom::InAll);
        }
        self.taken += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.bodies.0.taken.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoRoom {
    InThisBody,
    InAll,
}

impl fmt::Debug for BodyBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyBuffer")
            .field("len", &self.len)
            .field("limit", &self.limit)
            .finish()
    }
}

/// The body is longer than its [`BodyBuffer`] may hold.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the body is too large")]
#[expect(clippy::exhaustive_structs, reason = "it has a name and nothing else")]
pub struct BodyTooLarge;

/// Bytes up to which a body is left to the allocator: those of all logins as a rule.
const ON_THE_HEAP: usize = 16 << 10;

/// Bytes of the first pages, and by which they grow. Those that are not written yet cost nothing, while
/// what is moved is there twice for a moment.
const FIRST_PAGES: usize = 1 << 20;
const GROWTH: usize = 8;

/// Bytes that a body may have however many others there are: of a login that is a hundred times what it
/// needs.
const NEVER_REFUSED: usize = 64 << 10;

/// Bytes that a web framework has of a long body beside ours: what it has read of the connection, and what
/// it has not handed over yet. actix-web bounds them to 128 KiB and to 32 KiB.
const CONNECTION: usize = 160 << 10;

/// So many bodies are awaited that something is wrong: those of logins come with their heads as a rule.
const MANY: usize = 256;
