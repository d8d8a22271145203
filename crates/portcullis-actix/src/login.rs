//! The login route, and FastAPI's answers for what no route takes.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use actix_web::http::Uri;
use actix_web::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue,
};
use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, guard};
use futures_core::Stream;
use portcullis_core::{
    BodyBuffer, BodyTooLarge, Dialect, LoginRequest, Operation, Origin, RemoteAddress, Reply,
    Route, Routes, Scheme, TokenEndpoint,
};

use crate::reply::respond;

/// 8 MiB. FastAPI itself has no limit for the whole body.
const DEFAULT_BODY_LIMIT: usize = 8 << 20;

/// Adds `POST /v1/login` to an app; with refresh tokens also `/v1/refresh` and `/v1/logout`, or
/// `/v1/revoke` in the dialect of RFC 6749.
///
/// For a throttle, clients are where the connection comes from, or where a [`RemoteAddress`] among
/// the extensions of the request says.
///
/// Build it once, outside the closure given to `HttpServer::new`: that runs once per worker, and
/// each would get a hash pool of its own.
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
    /// with one. Default `/v1`.
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

    /// Reads at most `bytes` of a body and answers 413 to a longer one. Default 8 MiB.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Redirects to URLs of `scheme`. Default: that of the connection. Say [`Scheme::Https`] where a
    /// proxy in front serves TLS.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// The whole path of the login.
    #[must_use]
    pub fn login_path(&self) -> String {
        Operation::Login.path(&self.prefix, &self.login_path)
    }

    /// What there is, and where.
    fn paths(&self) -> impl Iterator<Item = (Operation, String)> {
        let operations = self.endpoint.operations().iter();
        operations.map(|&operation| (operation, operation.path(&self.prefix, &self.login_path)))
    }

    /// Adds the login to an app or scope: `App::new().configure(|app| login.configure(app))`.
    ///
    /// Other methods than POST on its path answer 405. As in FastAPI, the path is known by every
    /// spelling that is this once it is decoded, as `/v1%2Flogin` is, if it is the whole path.
    pub fn configure(&self, app: &mut ServiceConfig) {
        let login = Arc::new(self.clone());
        for (operation, path) in self.paths() {
            login.add(app, operation, path);
        }
    }

    fn add(self: &Arc<Self>, app: &mut ServiceConfig, operation: Operation, path: String) {
        let post = || {
            let login = Arc::clone(self);
            web::post().to(move |request: HttpRequest, body: Payload| {
                let login = Arc::clone(&login);
                async move { login.perform(operation, &request, body).await }
            })
        };
        let dialect = self.endpoint.dialect();
        let other =
            web::to(move || async move { respond(Reply::method_not_allowed("POST", dialect)) });
        app.service(web::resource(&*path).route(post()).default_service(other));
        // actix-web tells these apart. Here and not in the fallback, so that what is wrapped around
        // the login is wrapped around all of it.
        let routes = Routes::new([("POST", path)]);
        let spelt_otherwise = guard::fn_guard(move |context| {
            let head = context.head();
            let origin = Origin::new(Scheme::Http, None, None);
            routes.find(head.method.as_str(), target(&head.uri), &origin) == Route::Matched(0)
        });
        app.service(
            web::resource("/{path}*")
                .guard(spelt_otherwise)
                .route(post()),
        );
    }

    /// Answers as FastAPI does whatever no route of the app took: 307 for a trailing slash, 405
    /// for a wrong method on a known path, else 404. `others` are the app's own methods and paths;
    /// the login is known.
    ///
    /// It becomes the default service of `app`, so call it on the app itself and not on a scope.
    /// Register `others` with a guard for the method (as `#[get]` and `App::route` do), or
    /// actix-web answers their wrong methods with an empty 405 of its own.
    pub fn configure_fallback<'a>(
        &self,
        app: &mut ServiceConfig,
        others: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let (dialect, scheme) = (self.endpoint.dialect(), self.scheme);
        let others = others
            .into_iter()
            .map(|(method, path)| (method, path.to_owned()));
        let own = self.paths().map(|(_, path)| ("POST", path));
        let routes = Arc::new(Routes::new(own.chain(others)));
        app.default_service(web::to(move |request: HttpRequest| {
            let routes = Arc::clone(&routes);
            async move { respond(fall_back(&routes, &request, scheme, dialect)) }
        }));
    }

    async fn perform(
        &self,
        operation: Operation,
        request: &HttpRequest,
        body: Payload,
    ) -> HttpResponse {
        let cookies = || request.headers().get_all(COOKIE).map(HeaderValue::as_bytes);
        match operation {
            Operation::LogOut => respond(self.endpoint.log_out(cookies()).await),
            Operation::Refresh => respond(self.endpoint.refresh(cookies()).await),
            Operation::Revoke => self.revoke(request, body).await,
            _ => self.login(request, body).await,
        }
    }

    async fn revoke(&self, request: &HttpRequest, body: Payload) -> HttpResponse {
        respond(match self.read(request, body).await {
            Ok(body) => {
                let content_type = header(request, &CONTENT_TYPE);
                let request = LoginRequest::new(content_type, body.as_bytes());
                self.endpoint.revoke(request).await
            }
            Err(reply) => reply,
        })
    }

    async fn login(&self, request: &HttpRequest, body: Payload) -> HttpResponse {
        let grant = match self.read(request, body).await {
            // The body goes here, before the login waits to be hashed.
            Ok(body) => {
                let content_type = header(request, &CONTENT_TYPE);
                self.endpoint
                    .read(LoginRequest::new(content_type, body.as_bytes()))
            }
            Err(reply) => Err(reply),
        };
        respond(match grant {
            Ok(grant) => self.endpoint.answer(&grant, remote_address(request)).await,
            Err(reply) => reply,
        })
    }

    async fn read(&self, request: &HttpRequest, body: Payload) -> Result<BodyBuffer, Reply> {
        let dialect = self.endpoint.dialect();
        let too_large = |BodyTooLarge| Reply::content_too_large(dialect);
        let length = header(request, &CONTENT_LENGTH);
        let mut buffer = BodyBuffer::announced(length, self.body_limit).map_err(too_large)?;
        let mut body = pin!(body);
        while let Some(chunk) = poll_fn(|cx| body.as_mut().poll_next(cx)).await {
            let chunk = chunk.map_err(|_| Reply::body_unreadable(dialect))?;
            buffer.push(&chunk).map_err(too_large)?;
        }
        Ok(buffer)
    }
}

fn fall_back(
    routes: &Routes,
    request: &HttpRequest,
    scheme: Option<Scheme>,
    dialect: Dialect,
) -> Reply {
    let config = request.app_config();
    let scheme = scheme.unwrap_or(if config.secure() {
        Scheme::Https
    } else {
        Scheme::Http
    });
    let origin = Origin::new(scheme, header(request, &HOST), Some(config.local_addr()));
    match routes.find(request.method().as_str(), target(request.uri()), &origin) {
        Route::MethodNotAllowed { allow } => Reply::method_not_allowed(allow, dialect),
        Route::Redirect { location } => Reply::redirect(location),
        _ => Reply::not_found(),
    }
}

/// What a middleware says, or else the connection.
fn remote_address(request: &HttpRequest) -> Option<IpAddr> {
    let said = request.extensions().get().copied();
    let connected = || Some(RemoteAddress(request.peer_addr()?.ip()));
    said.or_else(connected)
        .map(|RemoteAddress(address)| address)
}

/// The path and query, as sent.
fn target(uri: &Uri) -> &[u8] {
    uri.path_and_query()
        .map_or(b"", |target| target.as_str().as_bytes())
}

/// The first header of that name, as sent.
pub(crate) fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a [u8]> {
    request.headers().get(name).map(HeaderValue::as_bytes)
}
