//! What every conformance suite is made of: a subject, its properties, and a way to check them.

use std::any::Any;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fmt, io};

use portcullis_core::store::{RefreshStore, ThrottleStore, TokenStore};
use portcullis_core::{CredentialStore, Error};
use tokio::runtime::Builder;

/// What checking a property tells: nothing, or how it was violated.
pub type Outcome = Result<(), Violation>;

/// Checks one property of one subject, on a multi-threaded tokio runtime of its own.
///
/// `subject` runs on that runtime too: a store may need it to open.
///
/// ```
/// use portcullis_core::memory::MemoryCredentialStore;
/// use portcullis_testkit::{check, credential_store};
///
/// check(async { MemoryCredentialStore::new() }, credential_store::absent_is_none)?;
/// # Ok::<(), portcullis_testkit::Violation>(())
/// ```
///
/// # Errors
/// How the property was violated.
pub fn check<T: ?Sized, S: Into<Subject<T>>>(
    subject: impl Future<Output = S>,
    property: impl AsyncFnOnce(&Subject<T>) -> Outcome,
) -> Outcome {
    Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .map_err(|error| Violation::new(format!("no runtime to check it on: {error}")))?
        .block_on(async { property(&subject.await.into()).await })
}

/// A new, empty store to be tested, seen through one handle or several.
///
/// With several, each call of a property goes to the next: so what one handle wrote is read
/// through another, and rivals race through different ones, as processes do.
///
/// `T` is the storage trait, as `dyn CredentialStore`: the one type parameter of a public type
/// here, since each trait's suite needs the same.
pub struct Subject<T: ?Sized> {
    handles: Vec<Arc<T>>,
    next: AtomicUsize,
    holds: Box<dyn Fn(&str) -> bool + Send + Sync>,
    // Dropped last: the handles may still need it.
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl<T: ?Sized> Subject<T> {
    /// Makes a subject of the first handle.
    #[must_use]
    pub fn of(handle: Arc<T>) -> Self {
        Self {
            handles: vec![handle],
            next: AtomicUsize::new(0),
            holds: Box::new(|_| true),
            kept: Vec::new(),
        }
    }

    /// Adds another handle of the same store.
    #[must_use]
    pub fn also(mut self, handle: Arc<T>) -> Self {
        self.handles.push(handle);
        self
    }

    /// Says which texts the store can hold, if not all: a column of somebody else's table may be
    /// short, or of a type that takes no NUL. A text it cannot hold must then be nobody's, and
    /// nobody is created with one.
    #[must_use]
    pub fn holding(mut self, holds: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.holds = Box::new(holds);
        self
    }

    /// Keeps a guard, such as a temporary directory, for as long as the store.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(guard));
        self
    }

    /// Gives the next handle, in turn.
    #[must_use]
    pub fn handle(&self) -> Arc<T> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.handles[next % self.handles.len()])
    }

    /// Tells whether the store must be able to hold a text.
    pub(crate) fn holds(&self, text: &str) -> bool {
        (self.holds)(text)
    }
}

impl<S: CredentialStore> From<S> for Subject<dyn CredentialStore> {
    fn from(store: S) -> Self {
        Self::of(Arc::new(store))
    }
}

impl<S: RefreshStore> From<S> for Subject<dyn RefreshStore> {
    fn from(store: S) -> Self {
        Self::of(Arc::new(store))
    }
}

impl<S: ThrottleStore> From<S> for Subject<dyn ThrottleStore> {
    fn from(store: S) -> Self {
        Self::of(Arc::new(store))
    }
}

impl<S: TokenStore> From<S> for Subject<dyn TokenStore> {
    fn from(store: S) -> Self {
        Self::of(Arc::new(store))
    }
}

impl<T: ?Sized> fmt::Debug for Subject<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("handles", &self.handles.len())
            .finish_non_exhaustive()
    }
}

/// How a property was violated, in a sentence. `Debug` prints it as `Display` does, because that
/// is what a failing test shows.
pub struct Violation(String);

impl Violation {
    /// Makes a violation out of a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// A store that answers with an error where an answer was due.
impl From<Error> for Violation {
    fn from(error: Error) -> Self {
        let mut sentence = format!("the store failed: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            sentence.push_str(": ");
            sentence.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(sentence)
    }
}

/// A test that cannot be carried out.
impl From<io::Error> for Violation {
    fn from(error: io::Error) -> Self {
        Self(format!("the test failed: {error}"))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Violation {}
