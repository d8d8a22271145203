//! Times as stores and tokens write them: numbers of seconds or parts of them since 1970.

use std::time::{Duration, SystemTime};

/// A time from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z, in whole microseconds.
///
/// This is the range that every store keeps and RFC 3339 can write. All its numbers are of time
/// since 1970 as POSIX counts it, without leap seconds, and fit into an `i64`.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use portcullis_core::clock::UnixTime;
///
/// let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500_000_999);
/// let time = UnixTime::from_system(time).ok_or("not from 1970 to 9999")?;
/// assert_eq!((time.seconds(), time.millis(), time.micros()), (1, 1_500, 1_500_000));
/// assert_eq!(UnixTime::from_seconds(253_402_300_800), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixTime {
    micros: u64,
}

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const MIN: Self = Self { micros: 0 };

    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self {
        micros: 253_402_300_799_999_999,
    };

    /// Rounds a time down to the microsecond; `None` outside of 1970 to 9999.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Option<Self> {
        let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Self::from_micros(since_1970.as_micros().try_into().ok()?)
    }

    /// As [`from_system`](Self::from_system), but with [`MIN`](Self::MIN) for what is before 1970
    /// and [`MAX`](Self::MAX) for what is after 9999.
    #[must_use]
    pub fn saturating_from_system(time: SystemTime) -> Self {
        let beyond = if time < SystemTime::UNIX_EPOCH {
            Self::MIN
        } else {
            Self::MAX
        };
        Self::from_system(time).unwrap_or(beyond)
    }

    /// Takes whole seconds since 1970; `None` after 9999.
    #[must_use]
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        Self::from_micros(seconds.checked_mul(1_000_000)?)
    }

    /// Takes whole milliseconds since 1970; `None` after 9999.
    #[must_use]
    pub fn from_millis(millis: u64) -> Option<Self> {
        Self::from_micros(millis.checked_mul(1_000)?)
    }

    /// Takes microseconds since 1970; `None` after 9999.
    #[must_use]
    pub fn from_micros(micros: u64) -> Option<Self> {
        (micros <= Self::MAX.micros).then_some(Self { micros })
    }

    /// The whole seconds since 1970; the fraction is dropped.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.micros / 1_000_000
    }

    /// The whole milliseconds since 1970; the fraction is dropped.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.micros / 1_000
    }

    /// The microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.micros
    }

    /// The same as the standard library has it.
    #[must_use]
    pub fn to_system(self) -> SystemTime {
        // Every platform's `SystemTime` reaches beyond 9999.
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.micros)
    }
}
