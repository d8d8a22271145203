//! The login route, and FastAPI's answers for what no route takes.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use axum::http::uri::{self, PathAndQuery};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::Response;
use axum::routing::post;
use futures_core::Stream;
use portcullis_core::{
    BodyBuffer, BodyTooLarge, Dialect, LoginRequest, Operation, Origin, RemoteAddress, Reply,
    Route, Routes, Scheme, TokenEndpoint,
};
use tower_service::Service;

use crate::reply::respond;

/// 8 MiB. FastAPI itself has no limit for the whole body.
const DEFAULT_BODY_LIMIT: usize = 8 << 20;

/// Makes a router of `POST /v1/login`; with refresh tokens also of `/v1/refresh` and `/v1/logout`,
/// or `/v1/revoke` in the dialect of RFC 6749.
///
/// For a throttle, clients are where a [`RemoteAddress`] among the extensions of the request says,
/// or else where the connection comes from: that axum tells of an app served by
/// `into_make_service_with_connect_info::<SocketAddr>()` only.
#[derive(Clone, Debug)]
pub struct LoginRoutes {
    endpoint: TokenEndpoint,
    prefix: String,
    login_path: String,
    body_limit: usize,
    scheme: Option<Scheme>,
}

impl LoginRoutes {
    /// Serves `endpoint` at `/v1/login`.
    #[must_use]
    pub fn new(endpoint: TokenEndpoint) -> Self {
        Self {
            endpoint,
            prefix: "/v1".to_owned(),
            login_path: "/login".to_owned(),
            body_limit: DEFAULT_BODY_LIMIT,
            scheme: None,
        }
    }

    /// Puts every path under `prefix`: empty, or a path that begins with `/` and does not end
    /// with one. Default `/v1`. It should hold ASCII letters, digits and `-._~` besides: axum takes
    /// braces for parameters, and compares what is percent-encoded as it was sent.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the path of the login below the prefix. Default `/login`. Where that has more than one
    /// part, as `/oauth/token`, set the [path](portcullis_core::RefreshCookie::path) of the cookie too.
    #[must_use]
    pub fn with_login_path(mut self, path: impl Into<String>) -> Self {
        self.login_path = path.into();
        self
    }

    /// Reads at most `bytes` of a body and answers 413 to a longer one. Default 8 MiB. It holds
    /// instead of axum's `DefaultBodyLimit`. A layer that cuts bodies shorter makes them unreadable,
    /// which answers 400.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// The whole path of the login.
    #[must_use]
    pub fn login_path(&self) -> String {
        Operation::Login.path(&self.prefix, &self.login_path)
    }

    /// Redirects to URLs of `scheme`. Default: that of the request's URI, or else HTTP. Say
    /// [`Scheme::Https`] where TLS is served, or a proxy in front serves it: over HTTP/1 a request
    /// does not tell.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// What there is, and where.
    fn paths(&self) -> impl Iterator<Item = (Operation, String)> {
        let operations = self.endpoint.operations().iter();
        operations.map(|&operation| (operation, operation.path(&self.prefix, &self.login_path)))
    }

    /// Makes a router of the login alone, to be merged into that of an app:
    /// `Router::new().merge(login.router())`.
    ///
    /// Other methods than POST on its path answer 405.
    ///
    /// # Panics
    /// If axum does not take [`Self::login_path`], or another under the prefix, for the path of a
    /// route.
    pub fn router<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let login = Arc::new(self.clone());
        let dialect = self.endpoint.dialect();
        self.paths()
            .fold(Router::new(), |router, (operation, path)| {
                let login = Arc::clone(&login);
                let handler = post(move |request: Request| {
                    let login = Arc::clone(&login);
                    async move { login.perform(operation, request).await }
                });
                let other = async move || respond(Reply::method_not_allowed("POST", dialect));
                router.route(&path, handler.fallback(other))
            })
    }

    /// Answers as FastAPI does whatever no route of `app` takes: 307 for a trailing slash, 405 for
    /// a wrong method on a known path, else 404. `others` are the app's own methods and paths, as
    /// far as they are literal; the login is known. A path that is one of these once it is decoded,
    /// as `/v1/%6Cogin` is, goes to `app`, and so through all its layers.
    ///
    /// It becomes the fallback of `app`, which must be the outermost router and have all its routes.
    /// Paths are whole, so that a login that is nested needs the whole prefix here:
    /// `login.clone().with_prefix("/auth/v1")`. axum answers HEAD where it answers GET, which
    /// FastAPI does not.
    pub fn with_fallback<'a>(
        &self,
        app: Router,
        others: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Router {
        let others = others
            .into_iter()
            .map(|(method, path)| (method, path.to_owned()));
        let own = self.paths().map(|(_, path)| ("POST", path));
        let known: Vec<_> = own.chain(others).collect();
        let fallback = Arc::new(Fallback {
            app: app.clone(),
            routes: Routes::new(known.iter().cloned()),
            paths: known.into_iter().map(|(_, path)| path).collect(),
            scheme: self.scheme,
            dialect: self.endpoint.dialect(),
        });
        let of_methods = Arc::clone(&fallback);
        app.fallback(move |request: Request| {
            let fallback = Arc::clone(&fallback);
            async move { fallback.answer(request).await }
        })
        .method_not_allowed_fallback(move |request: Request| {
            let fallback = Arc::clone(&of_methods);
            async move { fallback.refuse_method(&request) }
        })
    }

    async fn perform(&self, operation: Operation, request: Request) -> Response {
        match operation {
            Operation::LogOut => respond(self.endpoint.log_out(cookies(&request)).await),
            Operation::Refresh => respond(self.endpoint.refresh(cookies(&request)).await),
            Operation::Revoke => self.revoke(request).await,
            _ => self.login(request).await,
        }
    }

    async fn revoke(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        respond(match self.read(headers, body).await {
            Ok(body) => {
                let content_type = header(headers, &CONTENT_TYPE);
                let request = LoginRequest::new(content_type, body.as_bytes());
                self.endpoint.revoke(request).await
            }
            Err(reply) => reply,
        })
    }

    async fn login(&self, request: Request) -> Response {
        let remote_address = remote_address(request.extensions());
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        let grant = match self.read(headers, body).await {
            // The body goes here, before the login waits to be hashed.
            Ok(body) => {
                let content_type = header(headers, &CONTENT_TYPE);
                self.endpoint
                    .read(LoginRequest::new(content_type, body.as_bytes()))
            }
            Err(reply) => Err(reply),
        };
        respond(match grant {
            Ok(grant) => self.endpoint.answer(&grant, remote_address).await,
            Err(reply) => reply,
        })
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<BodyBuffer, Reply> {
        let dialect = self.endpoint.dialect();
        let too_large = |BodyTooLarge| Reply::content_too_large(dialect);
        let length = header(headers, &CONTENT_LENGTH);
        let mut buffer = BodyBuffer::announced(length, self.body_limit).map_err(too_large)?;
        let mut body = pin!(body.into_data_stream());
        while let Some(chunk) = poll_fn(|cx| body.as_mut().poll_next(cx)).await {
            let chunk = chunk.map_err(|_| Reply::body_unreadable(dialect))?;
            buffer.push(&chunk).map_err(too_large)?;
        }
        Ok(buffer)
    }
}

/// What answers where no route of an app does.
struct Fallback {
    /// The app, without this.
    app: Router,
    routes: Routes,
    /// Of the routes.
    paths: Vec<String>,
    scheme: Option<Scheme>,
    dialect: Dialect,
}

impl Fallback {
    async fn answer(&self, mut request: Request) -> Response {
        match self.find(&request) {
            Route::Matched(index) => {
                let path = self.paths.get(index).map_or("", String::as_str);
                let Some(uri) = with_path(request.uri(), path) else {
                    return respond(Reply::not_found());
                };
                *request.uri_mut() = uri;
                let Ok(response) = self.app.clone().call(request).await;
                response
            }
            Route::MethodNotAllowed { allow } => {
                respond(Reply::method_not_allowed(allow, self.dialect))
            }
            Route::Redirect { location } => respond(Reply::redirect(location)),
            _ => respond(Reply::not_found()),
        }
    }

    /// axum knows the path, if we do not.
    fn refuse_method(&self, request: &Request) -> Response {
        if let Route::MethodNotAllowed { allow } = self.find(request) {
            return respond(Reply::method_not_allowed(allow, self.dialect));
        }
        let mut response = respond(Reply::method_not_allowed("", self.dialect));
        // axum adds what it knows.
        response.headers_mut().remove(ALLOW);
        response
    }

    fn find(&self, request: &Request) -> Route {
        let (uri, headers) = (request.uri(), request.headers());
        let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
        // HTTP/1 says the host in a header and no scheme; HTTP/2 says both in the URI.
        let scheme = self.scheme.unwrap_or({
            if uri.scheme() == Some(&uri::Scheme::HTTPS) {
                Scheme::Https
            } else {
                Scheme::Http
            }
        });
        let host = header(headers, &HOST).or_else(|| Some(uri.authority()?.as_str().as_bytes()));
        let origin = Origin::new(scheme, host, None);
        self.routes
            .find(request.method().as_str(), target.as_bytes(), &origin)
    }
}

/// What a middleware says, or else the connection.
fn remote_address(extensions: &Extensions) -> Option<IpAddr> {
    let said = extensions.get().map(|RemoteAddress(address)| *address);
    let connected = || {
        let ConnectInfo(address) = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(address.ip())
    };
    said.or_else(connected)
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

fn cookies(request: &Request) -> impl Iterator<Item = &[u8]> {
    let cookies = request.headers().get_all(COOKIE);
    cookies.iter().map(HeaderValue::as_bytes)
}

/// The first header of that name, as sent.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}
