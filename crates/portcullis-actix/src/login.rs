//! The login route, and FastAPI's answers for what no route takes.

use std::future::poll_fn;
use std::iter;
use std::pin::pin;
use std::sync::Arc;

use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use actix_web::http::uri::PathAndQuery;
use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use futures_core::Stream;
use portcullis_core::{
    BodyBuffer, BodyTooLarge, LoginRequest, Origin, Reply, Route, Routes, Scheme, TokenEndpoint,
};

use crate::reply::respond;

/// 8 MiB. FastAPI itself has no limit for the whole body.
const DEFAULT_BODY_LIMIT: usize = 8 << 20;

/// The place of the login among the routes of the fallback.
const LOGIN: usize = 0;

/// Adds `POST /v1/login` to an app.
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

    /// Sets the path of the login below the prefix. Default `/login`.
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
        format!("{}{}", self.prefix, self.login_path)
    }

    /// Adds the login to an app or scope: `App::new().configure(|app| login.configure(app))`.
    ///
    /// Other methods than POST on its path answer 405.
    pub fn configure(&self, app: &mut ServiceConfig) {
        let login = Arc::new(self.clone());
        let dialect = self.endpoint.dialect();
        let post = web::post().to(move |request: HttpRequest, body: Payload| {
            let login = Arc::clone(&login);
            async move { login.login(&request, body).await }
        });
        let other =
            web::to(move || async move { respond(Reply::method_not_allowed("POST", dialect)) });
        app.service(
            web::resource(self.login_path())
                .route(post)
                .default_service(other),
        );
    }

    /// Answers as FastAPI does whatever no route of the app took: 307 for a trailing slash, 405
    /// for a wrong method on a known path, else 404. `others` are the app's own methods and paths;
    /// the login is known.
    ///
    /// It becomes the default service of `app`, so call it on the app itself and not on a scope. It
    /// serves the login too, at paths that are its own once they are decoded, as `/v1/login%0A` is
    /// in FastAPI: **wrap what every login must pass, such as a rate limit, around the app** and not
    /// around a scope.
    ///
    /// Register `others` with a guard for the method (as `#[get]` and `App::route` do), or
    /// actix-web answers their wrong methods with an empty 405 of its own.
    pub fn configure_fallback<'a>(
        &self,
        app: &mut ServiceConfig,
        others: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let login = Arc::new(self.clone());
        let others = others
            .into_iter()
            .map(|(method, path)| (method, path.to_owned()));
        let routes = iter::once(("POST", self.login_path())).chain(others);
        let routes = Arc::new(Routes::new(routes));
        app.default_service(web::to(move |request: HttpRequest, body: Payload| {
            let (login, routes) = (Arc::clone(&login), Arc::clone(&routes));
            async move { login.fall_back(&routes, &request, body).await }
        }));
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
            Ok(grant) => self.endpoint.answer(&grant).await,
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

    async fn fall_back(
        &self,
        routes: &Routes,
        request: &HttpRequest,
        body: Payload,
    ) -> HttpResponse {
        let target = request
            .uri()
            .path_and_query()
            .map_or("", PathAndQuery::as_str);
        let config = request.app_config();
        let scheme = self.scheme.unwrap_or(if config.secure() {
            Scheme::Https
        } else {
            Scheme::Http
        });
        let origin = Origin::new(scheme, header(request, &HOST), Some(config.local_addr()));
        let dialect = self.endpoint.dialect();
        match routes.find(request.method().as_str(), target.as_bytes(), &origin) {
            // Spelt so that actix-web does not see it, as `/v1/login%0A` is.
            Route::Matched(LOGIN) => self.login(request, body).await,
            Route::MethodNotAllowed { allow } => respond(Reply::method_not_allowed(allow, dialect)),
            Route::Redirect { location } => respond(Reply::redirect(location)),
            _ => respond(Reply::not_found()),
        }
    }
}

/// The first header of that name, as sent.
pub(crate) fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a [u8]> {
    request.headers().get(name).map(HeaderValue::as_bytes)
}
