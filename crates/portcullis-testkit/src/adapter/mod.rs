//! The conformance suite of adapters: what is answered over a socket must be what the core answers.
//!
//! [`adapter_suite!`](crate::adapter_suite) makes a test of each property. An adapter says how it
//! serves an [`AdapterApp`]; everything else is here, and the same for every framework.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use portcullis_core::adapter::{BoxFuture, Mount};
use portcullis_core::{BearerGuard, TokenEndpoint};
use tokio::task::JoinHandle;

use crate::fake_tokens::FakeTokens;
use crate::fastapi;
use crate::in_flight::InFlight;
use crate::property::equal;
use crate::suite::{Outcome, Subject, Violation};

mod client;
use client::{Pending, Request, Response};

mod bearers;
pub use bearers::{
    a_handler_may_do_without_a_token, a_handler_may_require_a_scope,
    a_handler_sees_only_bearers_of_good_tokens, a_token_may_come_by_another_scheme,
    a_token_may_come_in_a_cookie,
};

mod bodies;
pub use bodies::{
    a_body_of_the_limit_is_read_and_a_longer_one_is_413, a_body_that_never_ends_is_408,
};

mod leaving;
pub use leaving::a_login_whose_client_has_gone_is_neither_hashed_nor_counted;

mod operations;
pub use operations::{
    a_cookie_refreshes_a_login_and_logging_out_ends_it, a_password_is_changed_by_its_bearer,
    a_refresh_token_in_a_body_is_refreshed_and_revoked, both_cookies_of_an_answer_are_set,
    clients_are_told_apart_by_their_address, what_is_not_offered_is_not_there,
};

mod routing;
pub use routing::{
    a_redirect_leads_to_where_the_client_believes_the_app_is, another_method_is_405,
    recorded_logins_are_answered_as_fastapi_did,
    recorded_requests_for_other_paths_are_answered_as_fastapi_did,
    the_apps_own_paths_are_answered_as_fastapi_does, the_login_is_where_the_mount_says,
};

/// Makes one `#[test]` per property of an adapter.
///
/// The argument is a function that serves an [`AdapterApp`] on a listening socket until its future
/// is dropped; it runs on a multi-threaded tokio runtime. See [`Adapter`] for what the app must
/// have.
///
/// ```
/// use std::io;
/// use std::net::TcpListener;
///
/// use portcullis_testkit::AdapterApp;
///
/// async fn serve(app: AdapterApp, listener: TcpListener) -> io::Result<()> {
///     // Make an app of your framework out of `app`, and serve it.
///     # drop((app, listener));
///     std::future::pending().await
/// }
///
/// mod suite {
///     portcullis_testkit::adapter_suite!(super::serve);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! adapter_suite {
    ($serve:expr $(,)?) => {
        $crate::for_each_adapter_property!($serve => $crate::adapter_tests);
    };
}

/// Hands `$with` and the names of all properties to the macro `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_adapter_property {
    ($with:expr => $($then:tt)+) => {
        $($then)+! {
            $with,
            a_body_of_the_limit_is_read_and_a_longer_one_is_413,
            a_body_that_never_ends_is_408,
            a_cookie_refreshes_a_login_and_logging_out_ends_it,
            a_handler_may_do_without_a_token,
            a_handler_may_require_a_scope,
            a_handler_sees_only_bearers_of_good_tokens,
            a_login_whose_client_has_gone_is_neither_hashed_nor_counted,
            a_password_is_changed_by_its_bearer,
            a_redirect_leads_to_where_the_client_believes_the_app_is,
            a_refresh_token_in_a_body_is_refreshed_and_revoked,
            a_token_may_come_by_another_scheme,
            a_token_may_come_in_a_cookie,
            another_method_is_405,
            both_cookies_of_an_answer_are_set,
            clients_are_told_apart_by_their_address,
            recorded_logins_are_answered_as_fastapi_did,
            recorded_requests_for_other_paths_are_answered_as_fastapi_did,
            the_apps_own_paths_are_answered_as_fastapi_does,
            the_login_is_where_the_mount_says,
            what_is_not_offered_is_not_there,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! adapter_tests {
    ($serve:expr, $($property:ident,)*) => {
        $(
            #[test]
            fn $property() -> $crate::Outcome {
                $crate::check(async { $serve }, $crate::adapter::$property)
            }
        )*
    };
}

/// How an adapter serves an [`AdapterApp`]. Every function of this shape is one.
pub trait Adapter: Send + Sync + 'static {
    /// Serves `app` on `listener`, which does not block, until the future is dropped. On the way it
    /// counts each request in [`AdapterApp::in_flight`]: from when the app has it until it is
    /// answered or dropped.
    ///
    /// The app has the [`mount`](AdapterApp::mount), its fallback with [`AdapterApp::PATHS`], and
    /// these handlers, behind the [`guard`](AdapterApp::guard):
    ///
    /// - `GET /v1/me` answers the id of the user whom the access token is for;
    /// - `GET /v1/maybe` does the same, or answers `nobody` where there is no token;
    /// - `GET /v1/read` does the same for tokens with the scope `read`, and no others.
    fn serve(&self, app: AdapterApp, listener: TcpListener) -> BoxFuture<io::Result<()>>;
}

impl<S, F> Adapter for S
where
    S: Fn(AdapterApp, TcpListener) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    fn serve(&self, app: AdapterApp, listener: TcpListener) -> BoxFuture<io::Result<()>> {
        Box::pin(self(app, listener))
    }
}

impl<A: Adapter> From<A> for Subject<dyn Adapter> {
    fn from(adapter: A) -> Self {
        Self::of(Arc::new(adapter))
    }
}

/// What an [`Adapter`] is to serve.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdapterApp {
    /// Where the token endpoint is.
    pub mount: Mount,
    /// What stands before the handlers.
    pub guard: BearerGuard,
    /// The requests that the app is at.
    pub in_flight: InFlight,
}

impl AdapterApp {
    /// The methods and paths of the handlers, for the fallback.
    pub const PATHS: [(&str, &str); 3] =
        [("GET", "/v1/me"), ("GET", "/v1/maybe"), ("GET", "/v1/read")];

    fn new(mount: impl Into<Mount>) -> Self {
        Self {
            mount: mount.into(),
            guard: BearerGuard::new(Arc::new(FakeTokens::new())),
            in_flight: InFlight::default(),
        }
    }

    fn guarded_by(mut self, guard: BearerGuard) -> Self {
        self.guard = guard;
        self
    }

    /// Has the subject serve this.
    fn start(self, subject: &Subject<dyn Adapter>) -> Result<Site, Violation> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let in_flight = self.in_flight.clone();
        let server = tokio::spawn(subject.handle().serve(self, listener));
        Ok(Site {
            address,
            in_flight,
            server,
        })
    }
}

/// An app that is being served until this is dropped.
struct Site {
    address: SocketAddr,
    in_flight: InFlight,
    server: JoinHandle<io::Result<()>>,
}

impl Site {
    async fn begin(&self, request: &Request) -> Result<Pending, Violation> {
        Ok(Pending::send(self.address, request).await?)
    }

    async fn send(&self, request: &Request) -> Result<Response, Violation> {
        self.begin(request).await?.answer().await
    }

    /// Checks the status of the answer to a request.
    async fn answers(&self, what: &str, request: &Request, status: u16) -> Outcome {
        equal(what, &self.send(request).await?.status, &status)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn endpoint() -> Result<TokenEndpoint, Violation> {
    Ok(fastapi::endpoint().await?)
}

/// The form of a login that is right.
const RIGHT: &str = "username=ada%40example.com&password=correct+horse+battery+staple";

/// The same with a wrong password.
const WRONG: &str = "username=ada%40example.com&password=wrong";
