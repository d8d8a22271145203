//! The routes of a token endpoint, and FastAPI's answers for what no route takes.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::header::ALLOW;
use axum::response::Response;
use axum::routing::any;
use portcullis_core::adapter::{Fallback, Found, Mount};
use tower_service::Service;

use crate::exchange::{head, respond};
use crate::runtime::AxumRuntime;

/// Makes a router of the login of a [`Mount`]: by default of `POST /v1/login`, and what else its
/// endpoint offers.
///
/// # Addresses of clients
/// The throttle uses the address that a [`TrustedProxies`](crate::TrustedProxies) or another layer
/// has put into the request's extensions as a [`RemoteAddress`](portcullis_core::adapter::RemoteAddress), or
/// else the peer address of the connection. **axum has that only in an app that is served by
/// `into_make_service_with_connect_info::<SocketAddr>()`.** Without it all clients are strangers to
/// the throttle, and whoever guesses passwords can keep the owner of an account out; the log then
/// has a warning with the first request.
///
/// # Nesting
/// Inside `nest` the paths are below that already, so the prefix is what comes after it:
///
/// ```
/// use axum::Router;
/// use portcullis_axum::LoginRoutes;
/// use portcullis_core::adapter::Mount;
/// use portcullis_core::TokenEndpoint;
///
/// /// Has `POST /auth/login`.
/// fn router(endpoint: TokenEndpoint) -> Router {
///     let login = LoginRoutes::new(Mount::new(endpoint).with_prefix(""));
///     Router::new().nest("/auth", login.router())
/// }
/// ```
///
/// [`with_fallback`](Self::with_fallback) is then that of another `LoginRoutes`, whose mount has
/// the whole prefix.
#[derive(Clone, Debug)]
pub struct LoginRoutes {
    mount: Arc<Mount>,
}

impl LoginRoutes {
    /// Serves a [`Mount`], or a [`TokenEndpoint`](portcullis_core::TokenEndpoint) below `/v1`.
    ///
    /// Paths should hold ASCII letters, digits and `-._~` besides `/`: axum takes braces for
    /// parameters, and compares what is percent-encoded as it was sent.
    #[must_use]
    pub fn new(mount: impl Into<Mount>) -> Self {
        Self {
            mount: Arc::new(mount.into()),
        }
    }

    /// Where everything is.
    #[must_use]
    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    /// Makes a router of the login alone, to be merged into that of an app:
    /// `Router::new().merge(login.router())`.
    ///
    /// Other methods than POST on its paths answer 405. The [body limit](Mount::with_body_limit) of
    /// the mount holds instead of axum's `DefaultBodyLimit`; a layer that cuts bodies shorter makes
    /// them unreadable, which answers 400.
    ///
    /// # Panics
    /// If axum does not take one of [`Mount::paths`] for the path of a route.
    pub fn router<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let mut router = Router::new();
        for (operation, path) in self.mount.paths() {
            let mount = Arc::clone(&self.mount);
            let handler = any(move |request: Request| {
                let mount = Arc::clone(&mount);
                async move {
                    let (parts, body) = request.into_parts();
                    let (head, body) = (head(&parts), body.into_data_stream());
                    respond(mount.serve(operation, head, body, &AxumRuntime).await)
                }
            });
            router = router.route(&path, handler);
        }
        router
    }

    /// Answers as FastAPI does whatever no route of `app` takes: 307 for a trailing slash, 405 for
    /// a wrong method on a known path, else 404. `others` are the app's own methods and paths, as
    /// far as they are literal; the login is known. A path that is one of these once it is decoded,
    /// as `/v1/%6Cogin` is, goes to `app`, and so through all its layers.
    ///
    /// It becomes the fallback of `app`, which must be the outermost router and have all its
    /// routes. Paths are whole, so that a login that is nested needs a mount with the whole prefix
    /// here. axum answers HEAD where it answers GET, which FastAPI does not.
    pub fn with_fallback<'a>(
        &self,
        app: Router,
        others: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Router {
        let fallback = Arc::new(self.mount.fallback(others));
        let of_methods = Arc::clone(&fallback);
        let inner = app.clone();
        app.fallback(move |request: Request| {
            let (fallback, inner) = (Arc::clone(&fallback), inner.clone());
            async move { fall_back(&fallback, inner, request).await }
        })
        .method_not_allowed_fallback(move |request: Request| {
            let fallback = Arc::clone(&of_methods);
            async move { refuse_method(&fallback, request) }
        })
    }
}

/// `app` is without this fallback.
async fn fall_back(fallback: &Fallback, mut app: Router, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let uri = match fallback.find(&head(&parts)) {
        Found::Path(path) => with_path(&parts.uri, path),
        Found::Reply(reply) => return respond(reply),
    };
    match uri {
        Some(uri) => {
            parts.uri = uri;
            let Ok(response) = app.call(Request::from_parts(parts, body)).await;
            response
        }
        None => respond(fallback.not_found()),
    }
}

/// axum knows the path, if we do not.
fn refuse_method(fallback: &Fallback, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let head = head(&parts);
    if let Some(reply) = fallback.refuse_method(&head) {
        return respond(reply);
    }
    let mut response = respond(fallback.method_not_allowed());
    // axum adds what it knows.
    response.headers_mut().remove(ALLOW);
    response
}

/// The same URI with another path, unless that cannot stand in one.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}
