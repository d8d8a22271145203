//! An observer that remembers.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_core::LoginObserver;
use portcullis_core::audit::{AccountHash, LoginEvent, LoginEventKind};

/// Remembers the events that it hears, in order.
///
/// ```
/// use std::sync::Arc;
///
/// use portcullis_core::audit::Audit;
/// use portcullis_testkit::RecordingObserver;
///
/// let observer = Arc::new(RecordingObserver::new());
/// let audit = Audit::silent().with_observer(observer.clone());
/// # let _ = audit;
/// assert!(observer.take().is_empty());
/// ```
#[derive(Debug, Default)]
pub struct RecordingObserver {
    events: Mutex<Vec<RecordedEvent>>,
}

/// A [`LoginEvent`] that was heard.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "tests compare whole events")]
pub struct RecordedEvent {
    /// [`LoginEventKind::name`].
    pub kind: &'static str,
    /// The reason of a refusal or a denial, or what was throttled.
    pub reason: Option<String>,
    /// How long the client was told to wait.
    pub retry_after: Option<Duration>,
    /// The user, where there is one.
    pub user_id: Option<String>,
    /// The keyed hash of the username that was typed in, where one was.
    pub account: Option<AccountHash>,
    /// Where the request came from.
    pub remote_address: Option<IpAddr>,
    /// The client, if it said which it is.
    pub client_id: Option<String>,
}

impl RecordingObserver {
    /// Makes one that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the events heard since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<RecordedEvent> {
        std::mem::take(&mut self.lock())
    }

    /// Takes the events heard since the last call, of each its kind, and its reason if it has one:
    /// `refused: unknown_user`.
    #[must_use]
    pub fn take_names(&self) -> Vec<String> {
        let events = self.take().into_iter();
        events
            .map(|event| match event.reason {
                Some(reason) => format!("{}: {reason}", event.kind),
                None => event.kind.to_owned(),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RecordedEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoginObserver for RecordingObserver {
    fn observe(&self, event: &LoginEvent<'_>) {
        let (reason, retry_after) = match event.kind {
            LoginEventKind::Denied { reason } => (Some(reason.to_owned()), None),
            LoginEventKind::Refused { reason } => (Some(reason.name().to_owned()), None),
            LoginEventKind::Throttled { by, retry_after } => {
                (Some(by.name().to_owned()), Some(retry_after))
            }
            _ => (None, None),
        };
        self.lock().push(RecordedEvent {
            kind: event.kind.name(),
            reason,
            retry_after,
            user_id: event.user_id.map(|id| id.as_str().to_owned()),
            account: event.account,
            remote_address: event.remote_address,
            client_id: event.client_id.map(str::to_owned),
        });
    }
}
