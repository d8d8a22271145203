//! The one door for adapters: where the operations of an endpoint are, and how each is served.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_core::Stream;

use crate::adapter::{
    BodyBuffer, BodyTooLarge, Caller, NoRoom, Operation, Origin, Outliving, RequestHead, Route,
    Routes, Runtime, Scheme,
};
use crate::endpoint::{TokenEndpoint, TokenRefusal};
use crate::error::{Error, ErrorKind};
use crate::form::FormData;
use crate::responder::{Answer, Reply, Responder};

/// Says where a service answers for a [`TokenEndpoint`], and serves it to an adapter.
///
/// By default the login is at `/v1/login`; the other operations, where the endpoint offers them, are
/// beside it. Every path can be renamed or left out:
///
/// ```
/// use portcullis_core::adapter::{Mount, Operation};
/// use portcullis_core::TokenEndpoint;
///
/// fn mount(endpoint: TokenEndpoint) -> Mount {
///     Mount::new(endpoint)
///         .with_prefix("/api/v1/auth")
///         .with_path(Operation::Login, "/token")
///         .without(Operation::LogOut)
/// }
/// ```
///
/// An adapter makes a route of each of [`paths`](Self::paths) for all methods, copies a request into
/// [`serve`](Self::serve), and copies the [`Reply`] out, headers *appended*.
#[derive(Clone, Debug)]
pub struct Mount {
    endpoint: TokenEndpoint,
    prefix: String,
    /// What was renamed (`Some`) or left out (`None`).
    paths: Vec<(Operation, Option<String>)>,
    body_limit: usize,
    bodies_limit: usize,
    body_deadline: Duration,
    scheme: Option<Scheme>,
    redirects_to_paths: bool,
    /// Whether the log has it that clients have no address.
    has_warned: Arc<AtomicBool>,
}

impl Mount {
    /// Serves `endpoint` below `/v1`.
    #[must_use]
    pub fn new(endpoint: TokenEndpoint) -> Self {
        Self {
            endpoint,
            prefix: "/v1".to_owned(),
            paths: Vec::new(),
            body_limit: DEFAULT_BODY_LIMIT,
            bodies_limit: DEFAULT_BODIES_LIMIT,
            body_deadline: DEFAULT_BODY_DEADLINE,
            scheme: None,
            redirects_to_paths: false,
            has_warned: Arc::default(),
        }
    }

    /// Puts every path below `prefix`, such as `/auth`; `""` puts them at the root. Default `/v1`. A
    /// `/` is added in front where there is none, and those at the end are dropped.
    ///
    /// Inside an actix-web scope or an axum `nest` the paths are below that already: there the prefix
    /// is what comes after it, which mostly is `""`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefix = normal(prefix).trim_end_matches('/').to_owned();
        self
    }

    /// Sets the path of an operation below the prefix, such as `/oauth/token`. Where the login is in
    /// another directory than the operations that read a cookie, set the
    /// [path](crate::cookie::TokenCookie::path) of that too.
    #[must_use]
    pub fn with_path(mut self, operation: Operation, path: &str) -> Self {
        self.set(operation, Some(normal(path).into_owned()));
        self
    }

    /// Leaves an operation out, which then is no path of the service.
    #[must_use]
    pub fn without(mut self, operation: Operation) -> Self {
        self.set(operation, None);
        self
    }

    fn set(&mut self, operation: Operation, path: Option<String>) {
        self.paths.retain(|(other, _)| *other != operation);
        self.paths.push((operation, path));
    }

    /// Reads at most `bytes` of a body and answers 413 to a longer one. Default 8 MiB, which FastAPI's
    /// limits for the parts of a form come to; FastAPI itself has no limit for the whole body.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Holds at most `bytes` of all bodies that are being read, and answers 503 to what is more. Default
    /// 64 MiB. A body of up to 64 KiB is always read, so that a login is never refused for those of
    /// others; what such bodies come to is bounded by how many connections the server takes. One of more
    /// than 16 KiB counts for 160 KiB more, which is what a web framework may have read of it beside; what
    /// that has of connections that are refused is not counted.
    ///
    /// All mounts of one [`TokenEndpoint`] and its clones count together.
    #[must_use]
    pub fn with_bodies_limit(mut self, bytes: usize) -> Self {
        self.bodies_limit = bytes;
        self
    }

    /// Waits for at most `duration` until the whole body is there, and answers 408 then. Default 10
    /// seconds: a login is a few hundred bytes, and a body that never comes holds a connection. Where 256
    /// others are awaited already, it is one second at most, so that connections are left for others.
    #[must_use]
    pub fn with_body_deadline(mut self, duration: Duration) -> Self {
        self.body_deadline = duration;
        self
    }

    /// Redirects to URLs of `scheme`. Default: that of the connection. Say [`Scheme::Https`] where a
    /// proxy in front serves TLS.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// Redirects to paths, and not to URLs: so a client is sent to no other host or scheme than it asked,
    /// whatever its `Host` header says and whatever a proxy changed. Default: to URLs, as FastAPI.
    #[must_use]
    pub fn with_relative_redirects(mut self) -> Self {
        self.redirects_to_paths = true;
        self
    }

    /// What is served.
    #[must_use]
    pub fn endpoint(&self) -> &TokenEndpoint {
        &self.endpoint
    }

    /// The whole path of an operation; `None` if it is not served.
    #[must_use]
    pub fn path(&self, operation: Operation) -> Option<String> {
        if !self.endpoint.operations().contains(&operation) {
            return None;
        }
        let mut said = self.paths.iter();
        let path = match said.find(|(other, _)| *other == operation) {
            Some((_, path)) => path.as_deref()?,
            None => operation.default_path(),
        };
        Some(format!("{}{path}", self.prefix))
    }

    /// The operations that are served, each with its whole path.
    pub fn paths(&self) -> impl Iterator<Item = (Operation, String)> {
        let operations = self.endpoint.operations().into_iter();
        operations.filter_map(|operation| Some((operation, self.path(operation)?)))
    }

    /// Serves one request for an operation. Everything that can happen has a reply; a method that the
    /// operation does not take is 405.
    ///
    /// The body is read where the operation needs one, and freed before a password is hashed.
    ///
    /// Dropped before it is ready, as when the client goes away, a login is not hashed if it has not
    /// begun to be. What has begun goes on as a task of `runtime` until the throttle has been told how
    /// it ended. No token is made then, unless the client goes away while the tokens are being stored.
    pub async fn serve<B, C, E>(
        &self,
        operation: Operation,
        head: RequestHead<'_>,
        body: B,
        runtime: &'static dyn Runtime,
    ) -> Reply
    where
        B: Stream<Item = Result<C, E>>,
        C: AsRef<[u8]>,
    {
        if head.method() != operation.method() {
            let allow = operation.method();
            return self.answer(Answer::MethodNotAllowed { allow });
        }
        let endpoint = &self.endpoint;
        let address = head.remote_address();
        if address.is_none() && endpoint.has_throttle() {
            self.warn_of_no_address();
        }
        match operation {
            Operation::ChangePassword => {
                // First: the body of somebody without a token is not read.
                let bearer = match endpoint.admit(&head).await {
                    Ok(bearer) => bearer,
                    Err(reply) => return reply,
                };
                let form = self.read(&head, body, runtime, |form| endpoint.passwords(&form));
                let (current, new) = match form.await {
                    Ok(passwords) => passwords,
                    Err(refusal) => return endpoint.render(Err(refusal)),
                };
                endpoint
                    .handle_change_password(bearer, current, new, address)
                    .await
            }
            Operation::Login => {
                let grant = self.read(&head, body, runtime, |form| endpoint.grant(&form));
                let grant = match grant.await {
                    Ok(grant) => grant,
                    Err(refusal) => return endpoint.render(Err(refusal)),
                };
                let caller = Caller::that_may_go();
                let origin = endpoint.origin(&grant, address, head.header_values("cookie"));
                let login = endpoint.clone().redeem_for(grant, origin, caller.clone());
                let outcome = Outliving::new(caller, runtime, login).await;
                endpoint.render(outcome)
            }
            Operation::LogOut => {
                endpoint
                    .handle_log_out(head.header_values("cookie"), address)
                    .await
            }
            Operation::Refresh => {
                endpoint
                    .handle_refresh(head.header_values("cookie"), address)
                    .await
            }
            Operation::Revoke => {
                let token = self.read(&head, body, runtime, |form| endpoint.token_to_revoke(&form));
                endpoint.render_revocation(match token.await {
                    Ok(token) => endpoint.revoke_token(token, address).await,
                    Err(refusal) => Err(refusal),
                })
            }
        }
    }

    /// The routes of the service for [`Fallback`]: those of this mount, and `others`, the
    /// application's own methods and paths as far as they are literal.
    pub fn fallback<'a>(&self, others: impl IntoIterator<Item = (&'a str, &'a str)>) -> Fallback {
        let own = self
            .paths()
            .map(|(operation, path)| (operation.method().to_owned(), path));
        let others = others
            .into_iter()
            .map(|(method, path)| (method.to_owned(), path.to_owned()));
        let known: Vec<_> = own.chain(others).collect();
        Fallback {
            routes: Routes::new(known.iter().cloned()),
            paths: known.into_iter().map(|(_, path)| path).collect(),
            scheme: self.scheme,
            redirects_to_paths: self.redirects_to_paths,
            responder: Arc::clone(self.endpoint.responder()),
        }
    }

    /// Whether a request is for an operation in a spelling of its path that a framework's router does
    /// not know, as `/v1%2Flogin`: FastAPI compares paths once they are decoded.
    #[must_use]
    pub fn is_for(&self, operation: Operation, head: &RequestHead<'_>) -> bool {
        let Some(path) = self.path(operation) else {
            return false;
        };
        let routes = Routes::new([(operation.method(), path)]);
        let found = routes.find(head.method(), head.target(), &head.origin(self.scheme));
        found == Route::Matched(0)
    }

    /// Fails if a framework's own route answers where an operation should be, which an application
    /// finds out in a test: send a `POST` with an empty body to each of [`paths`](Self::paths), and give
    /// the status and the `cache-control` header of the answer.
    ///
    /// # Errors
    /// `InvalidConfig` with the path, and what to change: the answer is not ours.
    pub fn check_answer(
        path: &str,
        status: u16,
        cache_control: Option<&[u8]>,
    ) -> Result<(), Error> {
        if cache_control == Some(b"no-store") {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "`POST {path}` was answered with {status} by another route: a scope or service that \
                 was registered before the login takes its path, so register the login first"
            ),
        ))
    }

    /// Once: it is how the application is set up.
    fn warn_of_no_address(&self) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the throttle does not know where clients are, so that it takes all of them for \
                 strangers, and whoever guesses passwords can keep the owner of an account out: \
                 serve the app with the addresses of its connections, or behind a proxy with \
                 `TrustedProxies`"
            );
        }
    }

    fn answer(&self, answer: Answer<'_>) -> Reply {
        self.endpoint.responder().respond(answer)
    }

    /// Reads the form of a request. The body is freed before this returns.
    async fn read<B, C, E, T>(
        &self,
        head: &RequestHead<'_>,
        body: B,
        runtime: &'static dyn Runtime,
        read: impl FnOnce(FormData<'_>) -> Result<T, TokenRefusal>,
    ) -> Result<T, TokenRefusal>
    where
        B: Stream<Item = Result<C, E>>,
        C: AsRef<[u8]>,
    {
        let length = head.header("content-length");
        let buffer = BodyBuffer::announced(length, self.body_limit);
        let buffer = buffer.map_err(|BodyTooLarge| TokenRefusal::BodyTooLarge)?;
        let mut buffer = buffer.sharing(self.endpoint.bodies(), self.bodies_limit);
        let mut body = pin!(body);
        // Made once the body keeps us waiting: most are there with the head.
        let mut deadline = None;
        let mut awaited = None;
        loop {
            let chunk = poll_fn(|cx| {
                if let std::task::Poll::Ready(chunk) = body.as_mut().poll_next(cx) {
                    return std::task::Poll::Ready(Ok(chunk));
                }
                let awaited = awaited.get_or_insert_with(|| self.endpoint.bodies().wait());
                let deadline = deadline.get_or_insert_with(|| {
                    let time = if awaited.is_one_of_many {
                        self.body_deadline.min(SHORT_DEADLINE)
                    } else {
                        self.body_deadline
                    };
                    runtime.sleep(time)
                });
                deadline
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(TokenRefusal::BodyTimedOut))
            });
            match chunk.await? {
                Some(Ok(chunk)) => buffer.take(chunk.as_ref()).map_err(no_room)?,
                Some(Err(_)) => return Err(TokenRefusal::BodyUnreadable),
                None => break,
            }
        }
        read(FormData::parse(
            head.header("content-type"),
            buffer.as_bytes(),
        )?)
    }
}

impl From<TokenEndpoint> for Mount {
    fn from(endpoint: TokenEndpoint) -> Self {
        Self::new(endpoint)
    }
}

/// Answers as FastAPI does whatever no route of an application takes: 307 for a trailing slash, 405 for
/// a wrong method on a known path, else 404.
#[derive(Clone, Debug)]
pub struct Fallback {
    routes: Routes,
    /// Of the routes.
    paths: Vec<String>,
    scheme: Option<Scheme>,
    redirects_to_paths: bool,
    responder: Arc<dyn Responder>,
}

impl Fallback {
    /// Answers a request.
    #[must_use]
    pub fn find(&self, head: &RequestHead<'_>) -> Found<'_> {
        let origin = self.origin(head);
        let found = self.routes.find(head.method(), head.target(), &origin);
        Found::Reply(match found {
            Route::Matched(index) => match self.paths.get(index) {
                Some(path) => return Found::Path(path),
                None => self.not_found(),
            },
            Route::MethodNotAllowed { allow } => {
                let answer = Answer::MethodNotAllowed { allow: &allow };
                self.responder.respond(answer)
            }
            Route::Redirect { location } => Reply::redirect(location),
            Route::NotFound => self.not_found(),
        })
    }

    fn origin<'a>(&self, head: &RequestHead<'a>) -> Origin<'a> {
        if self.redirects_to_paths {
            Origin::unnamed()
        } else {
            head.origin(self.scheme)
        }
    }

    /// The reply to a method that the path of a request does not take; `None` if it is not a path that
    /// is known here.
    #[must_use]
    pub fn refuse_method(&self, head: &RequestHead<'_>) -> Option<Reply> {
        let origin = self.origin(head);
        match self.routes.find(head.method(), head.target(), &origin) {
            Route::MethodNotAllowed { allow } => {
                let answer = Answer::MethodNotAllowed { allow: &allow };
                Some(self.responder.respond(answer))
            }
            _ => None,
        }
    }

    /// The reply to a method that a path does not take, where the framework alone knows which it takes.
    #[must_use]
    pub fn method_not_allowed(&self) -> Reply {
        self.responder
            .respond(Answer::MethodNotAllowed { allow: "" })
    }

    /// The reply for a path of which nothing is known.
    #[must_use]
    pub fn not_found(&self) -> Reply {
        self.responder.respond(Answer::NotFound)
    }
}

/// What a [`Fallback`] finds.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "an adapter must handle each")]
pub enum Found<'a> {
    /// The request is for this path of the application, in another spelling.
    Path(&'a str),
    /// This is the reply.
    Reply(Reply),
}

fn no_room(why: NoRoom) -> TokenRefusal {
    match why {
        NoRoom::InThisBody => TokenRefusal::BodyTooLarge,
        NoRoom::InAll => {
            let message = "the bodies of requests take all the room that they may";
            let error = Error::new(ErrorKind::Overloaded, message);
            TokenRefusal::Failed(error.with_retry_after(Duration::from_secs(1)))
        }
    }
}

/// With a `/` in front, unless it is empty.
fn normal(path: &str) -> Cow<'_, str> {
    if path.is_empty() || path.starts_with('/') {
        Cow::from(path)
    } else {
        Cow::from(format!("/{path}"))
    }
}

const DEFAULT_BODY_LIMIT: usize = 8 << 20;

/// Eight bodies of the greatest length: few services take any that is longer than a login.
const DEFAULT_BODIES_LIMIT: usize = 64 << 20;

/// For a body beside many that never come, which is enough for one that does.
const SHORT_DEADLINE: Duration = Duration::from_secs(1);

const DEFAULT_BODY_DEADLINE: Duration = Duration::from_secs(10);
