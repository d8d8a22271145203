//! The login route, and FastAPI's answers for what no route takes.

use std::future::poll_fn;
use std::iter;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use axum::http::uri::{self, PathAndQuery};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::response::Response;
use axum::routing::any;
use futures_core::Stream;
use portcullis_core::{
    BodyBuffer, BodyTooLarge, LoginRequest, Origin, Reply, Route, Routes, Scheme, TokenEndpoint,
};

use crate::reply::respond;

/// 8 MiB. FastAPI itself has no limit for the whole body.
const DEFAULT_BODY_LIMIT: usize = 8 << 20;

/// The place of the login among the routes of the fallback.
const LOGIN: usize = 0;

/// Makes a router of `POST /v1/login`.
#[derive(Clone, Debug)]
pub struct LoginRoutes {
    endpoint: TokenEndpoint,
    prefix: String,
    login_path: String,
    body_limit: usize,
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

    /// Reads at most `bytes` of a body and answers 413 to a longer one. Default 8 MiB. It holds
    /// instead of axum's `DefaultBodyLimit`.
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// The whole path of the login.
    #[must_use]
    pub fn login_path(&self) -> String {
        format!("{}{}", self.prefix, self.login_path)
    }

    /// Makes a router of the login alone, to be merged into that of an app:
    /// `Router::new().merge(login.router())`.
    ///
    /// Other methods than POST on its path answer 405.
    ///
    /// # Panics
    /// If axum does not take [`Self::login_path`] for the path of a route.
    pub fn router<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let login = Arc::new(self.clone());
        let handler = any(move |request: Request| {
            let login = Arc::clone(&login);
            async move { login.handle(request).await }
        });
        Router::new().route(&self.login_path(), handler)
    }

    /// Answers as FastAPI does whatever no route of `app` takes: 307 for a trailing slash, 405 for
    /// a wrong method on a known path, else 404. `others` are the app's own methods and paths; the
    /// login is known.
    ///
    /// It becomes the fallback of `app`, so merge and add all routes before. axum answers HEAD
    /// where it answers GET, which FastAPI does not.
    pub fn with_fallback<'a, S>(
        &self,
        app: Router<S>,
        others: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let others = others
            .into_iter()
            .map(|(method, path)| (method, path.to_owned()));
        let routes = iter::once(("POST", self.login_path())).chain(others);
        let (login, routes) = (Arc::new(self.clone()), Arc::new(Routes::new(routes)));
        let handler = move |request: Request| {
            let (login, routes) = (Arc::clone(&login), Arc::clone(&routes));
            async move { login.fall_back(&routes, request).await }
        };
        app.fallback(handler.clone())
            .method_not_allowed_fallback(handler)
    }

    async fn handle(&self, request: Request) -> Response {
        if request.method() != Method::POST {
            let dialect = self.endpoint.dialect();
            return respond(Reply::method_not_allowed("POST", dialect));
        }
        let (parts, body) = request.into_parts();
        self.login(&parts, body).await
    }

    async fn login(&self, parts: &Parts, body: Body) -> Response {
        let grant = match self.read(&parts.headers, body).await {
            // The body goes here, before the login waits to be hashed.
            Ok(body) => {
                let content_type = header(&parts.headers, &CONTENT_TYPE);
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

    async fn fall_back(&self, routes: &Routes, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        // Not what a router that this one is nested in has left of it.
        let uri = parts
            .extensions
            .get()
            .map_or(&parts.uri, |OriginalUri(uri)| uri);
        let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
        let dialect = self.endpoint.dialect();
        match routes.find(
            parts.method.as_str(),
            target.as_bytes(),
            &origin(uri, &parts.headers),
        ) {
            // Spelt so that axum does not see it, as `/v1/%6Cogin` is.
            Route::Matched(LOGIN) => self.login(&parts, body).await,
            Route::MethodNotAllowed { allow } => respond(Reply::method_not_allowed(allow, dialect)),
            Route::Redirect { location } => respond(Reply::redirect(location)),
            _ => respond(Reply::not_found()),
        }
    }
}

/// HTTP/1 says the host in a header and no scheme; HTTP/2 says both in the URI.
fn origin<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Origin<'a> {
    let scheme = if uri.scheme() == Some(&uri::Scheme::HTTPS) {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let host = header(headers, &HOST).or_else(|| Some(uri.authority()?.as_str().as_bytes()));
    Origin::new(scheme, host, None)
}

/// The first header of that name, as sent.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}
