//! Tells an operator who logged in, who did not, and why.

use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::hex::Hex;
use crate::random::{OsRandom, SecureRandom, random_bytes};
use crate::store::{UserId, Username};
use crate::throttle::ThrottledBy;

/// Hears of each login, of each refusal, and of what ends logins.
///
/// Logging is one observer ([`LogObserver`], the default); metrics and audit files are others, which
/// stand in crates of their own.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use portcullis_core::audit::{LoginEvent, LoginEventKind};
/// use portcullis_core::LoginObserver;
///
/// #[derive(Debug, Default)]
/// struct CountRefusals(AtomicU64);
///
/// impl LoginObserver for CountRefusals {
///     fn observe(&self, event: &LoginEvent<'_>) {
///         if let LoginEventKind::Refused { .. } = event.kind {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait LoginObserver: Debug + Send + Sync + 'static {
    /// Hears of one event. It is called on the thread that serves the request, before the client is
    /// answered, so it must not block: what takes time goes to a queue of the observer's own, which
    /// has a bound. A panic is caught and logged, and changes nothing for the login.
    fn observe(&self, event: &LoginEvent<'_>);
}

/// What a [`LoginObserver`] hears. It holds no secret and nothing that was typed in: not even the
/// username, for which a password may have been typed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoginEvent<'a> {
    /// What happened.
    pub kind: LoginEventKind<'a>,
    /// The user, where there is one.
    pub user_id: Option<&'a UserId>,
    /// A keyed hash of the username that was typed in, where one was: the same for the same name.
    pub account: Option<AccountHash>,
    /// Where the request came from, if the adapter knows.
    pub remote_address: Option<IpAddr>,
    /// The `client_id` that was sent, if it has at most 256 bytes. It was not authenticated.
    pub client_id: Option<&'a str>,
}

impl<'a> LoginEvent<'a> {
    /// An event about `user_id`, of which nothing else is known.
    pub(crate) fn of(kind: LoginEventKind<'a>, user_id: &'a UserId) -> Self {
        Self {
            kind,
            user_id: Some(user_id),
            account: None,
            remote_address: None,
            client_id: None,
        }
    }
}

/// What happened, of a [`LoginEvent`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LoginEventKind<'a> {
    /// Many passwords were refused lately on this node, whosoever: it is about no single login.
    Alarm {
        /// How many within five minutes.
        refused: u32,
    },
    /// A [`LoginGate`](crate::LoginGate) asked for a second factor. The password was right.
    Challenged,
    /// An account was deleted.
    Deleted,
    /// A [`LoginGate`](crate::LoginGate) denied the login. The password was right.
    Denied {
        /// The reason that the gate gave.
        reason: &'a str,
    },
    /// An account was disabled.
    Disabled,
    /// An account was enabled.
    Enabled,
    /// A user logged out: one login was ended.
    LoggedOut,
    /// The password of an account was changed by its user, or set by an operator.
    PasswordChanged,
    /// A login was refused.
    Refused {
        /// The reason, which the client does not hear.
        reason: RefusedBecause,
    },
    /// A login was refreshed.
    Refreshed,
    /// A refresh token was refused that is no sign of a theft.
    RefreshRefused,
    /// A refresh token was used a second time: somebody has stolen it, and all that came of that login
    /// was revoked.
    Reused,
    /// A token was revoked.
    Revoked,
    /// All logins of a user were ended.
    SessionsEnded,
    /// Somebody signed up.
    SignedUp,
    /// A user logged in.
    Succeeded,
    /// A login was refused since too many passwords were tried for the account, or too many names from
    /// the address. Whether its password was right is not known.
    Throttled {
        /// Which of them.
        by: ThrottledBy,
        /// How long the client was told to wait.
        retry_after: Duration,
    },
    /// An operator had the throttle forget what it counted for an account.
    Unlocked,
}

impl LoginEventKind<'_> {
    /// A name for logs and metrics, in snake case. It stays the same between releases.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alarm { .. } => "alarm",
            Self::Challenged => "challenged",
            Self::Deleted => "deleted",
            Self::Denied { .. } => "denied",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::LoggedOut => "logged_out",
            Self::PasswordChanged => "password_changed",
            Self::Refused { .. } => "refused",
            Self::Refreshed => "refreshed",
            Self::RefreshRefused => "refresh_refused",
            Self::Reused => "reused",
            Self::Revoked => "revoked",
            Self::SessionsEnded => "sessions_ended",
            Self::SignedUp => "signed_up",
            Self::Succeeded => "succeeded",
            Self::Throttled { .. } => "throttled",
            Self::Unlocked => "unlocked",
        }
    }
}

/// Why a login was refused, for the operator alone: the client gets one answer for all of these.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusedBecause {
    /// What is stored of the user's password cannot be read.
    CorruptHash,
    /// The user is disabled. The password may have been right.
    Disabled,
    /// The user has no password.
    NoPassword,
    /// There is no such user.
    UnknownUser,
    /// The password is wrong.
    WrongPassword,
}

impl RefusedBecause {
    /// A name for logs and metrics, in snake case. It stays the same between releases.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CorruptHash => "corrupt_hash",
            Self::Disabled => "disabled",
            Self::NoPassword => "no_password",
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
        }
    }
}

/// A keyed hash of a username, printed as 32 hexadecimal digits.
///
/// Events about one account have the same hash, and who reads them cannot find the name without the
/// key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct AccountHash(Hex<16>);

impl fmt::Display for AccountHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Whom to tell of logins, and under which key names are hashed. Clones share it: give the same to
/// the [`TokenEndpoint`](crate::TokenEndpoint) and to [`Accounts`](crate::Accounts).
#[derive(Clone)]
pub struct Audit {
    observers: Vec<Arc<dyn LoginObserver>>,
    key: Option<Arc<Zeroizing<[u8; KEY_LEN]>>>,
}

impl Audit {
    /// Tells a [`LogObserver`]. Names are hashed under a random key of this process: other nodes, and
    /// this one after a restart, have other hashes for the same name.
    ///
    /// Where the system has no randomness to give, events have no hash of the name.
    #[must_use]
    pub fn new() -> Self {
        Self {
            observers: vec![Arc::new(LogObserver::new())],
            key: random_bytes(&OsRandom, "a key for audit events")
                .ok()
                .map(Arc::new),
        }
    }

    /// Tells nobody.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            observers: Vec::new(),
            key: None,
        }
    }

    /// Tells `observer` too.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn LoginObserver>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Hashes names under `key`, which nodes share and which is kept as other keys are. It should have
    /// 32 random bytes; it takes any number, and hashes them first.
    #[must_use]
    pub fn with_key(mut self, key: &[u8]) -> Self {
        use sha2::Digest;
        self.key = Some(Arc::new(Zeroizing::new(Sha256::digest(key).into())));
        self
    }

    /// Takes the random key from `random` in place of the system.
    ///
    /// # Errors
    /// `Unavailable` if `random` has no bytes to give.
    pub fn with_random(mut self, random: &dyn SecureRandom) -> Result<Self, Error> {
        self.key = Some(Arc::new(random_bytes(random, "a key for audit events")?));
        Ok(self)
    }

    /// Tells all observers.
    pub(crate) fn tell(&self, event: &LoginEvent<'_>) {
        for observer in &self.observers {
            // An observer is the application's, and a login must not fail by it.
            if catch_unwind(AssertUnwindSafe(|| observer.observe(event))).is_err() {
                tracing::error!(event = event.kind.name(), "an observer of logins panicked");
            }
        }
    }

    /// The hash of a name, for an event. `None` if nobody is to be told.
    pub(crate) fn account(&self, username: &Username) -> Option<AccountHash> {
        if self.observers.is_empty() {
            return None;
        }
        // A key shorter than a block is filled up with zeros (RFC 2104 §2).
        let mut block = Zeroizing::new([0; HMAC_BLOCK_LEN]);
        block[..KEY_LEN].copy_from_slice(&***self.key.as_ref()?);
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(username.as_str().as_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let (half, _) = hash.split_first_chunk()?;
        Some(AccountHash(Hex(*half)))
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("observers", &self.observers)
            .finish_non_exhaustive()
    }
}

/// Writes one `tracing` line for each event, with the target `portcullis::audit`: at `WARN` for a
/// refresh token that was reused and for an alarm, at `INFO` for everything else.
///
/// Its fields are `event`, `reason`, `retry_after`, `refused`, `user_id`, `account`, `remote_address` and
/// `client_id`. What clients can choose is written with escapes, so that it cannot begin a line of its
/// own.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LogObserver;

impl LogObserver {
    /// Makes one. It has no state.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl LoginObserver for LogObserver {
    fn observe(&self, event: &LoginEvent<'_>) {
        let (reason, retry_after, refused) = match event.kind {
            LoginEventKind::Alarm { refused } => (None, None, Some(refused)),
            LoginEventKind::Refused { reason } => (Some(reason.name()), None, None),
            LoginEventKind::Denied { reason } => (Some(reason), None, None),
            LoginEventKind::Throttled { by, retry_after } => {
                (Some(by.name()), Some(retry_after.as_secs()), None)
            }
            _ => (None, None, None),
        };
        macro_rules! line {
            ($level:ident) => {
                tracing::event!(
                    target: "portcullis::audit",
                    tracing::Level::$level,
                    event = event.kind.name(),
                    reason = escaped(reason),
                    retry_after,
                    refused,
                    user_id = escaped(event.user_id.map(UserId::as_str)),
                    account = shown(event.account),
                    remote_address = shown(event.remote_address),
                    client_id = escaped(event.client_id),
                )
            };
        }
        if matches!(
            event.kind,
            LoginEventKind::Reused | LoginEventKind::Alarm { .. }
        ) {
            line!(WARN);
        } else {
            line!(INFO);
        }
    }
}

// Called where a line is written, and not where nobody listens.
fn escaped(text: Option<&str>) -> Option<String> {
    text.map(|text| text.escape_debug().to_string())
}

fn shown(value: Option<impl fmt::Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

const KEY_LEN: usize = 32;

/// Of SHA-256 (FIPS 180-4 §1).
const HMAC_BLOCK_LEN: usize = 64;
