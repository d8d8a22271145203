//! How long refresh tokens are good.

use std::num::NonZeroU32;
use std::time::Duration;

/// How long refresh tokens are good.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefreshPolicy {
    /// How long a token is good that is not used (RFC 9700 §4.14.2). Default 30 days.
    pub idle_lifetime: Duration,
    /// How long after the login there are new ones. Default 90 days. NIST SP 800-63B-4 §2.1.3 would
    /// have no more than 30 where a password is all that it takes.
    pub absolute_lifetime: Duration,
    /// How long a token may be sent again that has been replaced. Default 10 seconds. Clocks of
    /// nodes that share a store must differ by far less.
    pub retry_window: Duration,
    /// How many sessions a user may have; the oldest are ended. Logins at the same time may pass it, up to
    /// the next. Each login then lists the user's sessions. Default any number.
    pub max_sessions: Option<NonZeroU32>,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            idle_lifetime: Duration::from_secs(30 * 24 * 60 * 60),
            absolute_lifetime: Duration::from_secs(90 * 24 * 60 * 60),
            retry_window: Duration::from_secs(10),
            max_sessions: None,
        }
    }
}
