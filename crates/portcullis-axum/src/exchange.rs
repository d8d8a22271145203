//! Copies a request into the core, and a [`Reply`] out of it.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::uri::{self, PathAndQuery};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use portcullis_core::adapter::{RemoteAddress, RequestHead, Scheme};
use portcullis_core::responder::Reply;

/// Makes an axum response of a reply, for handlers that answer as portcullis does.
///
/// ```
/// use axum::response::Response;
/// use portcullis_core::responder::Reply;
///
/// async fn closed() -> Response {
///     portcullis_axum::respond(Reply::detail(403, "Sign-up is closed"))
/// }
/// ```
#[must_use]
pub fn respond(reply: Reply) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() =
        StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers() {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    *response.body_mut() = Body::from(reply.into_body());
    response
}

/// The head of a request, as the core takes it.
pub(crate) fn head(parts: &Parts) -> RequestHead<'_> {
    let uri = &parts.uri;
    let target = uri.path_and_query().map_or("", PathAndQuery::as_str);
    // HTTP/1 says no scheme; HTTP/2 says it in the URI, and the host too.
    let scheme = uri.scheme().map(|scheme| {
        if *scheme == uri::Scheme::HTTPS {
            Scheme::Https
        } else {
            Scheme::Http
        }
    });
    let headers = parts.headers.iter();
    let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    RequestHead::new(parts.method.as_str(), target.as_bytes())
        .with_headers(headers.map(|(name, value)| (name.as_str(), value.as_bytes())))
        .with_scheme(scheme)
        .with_authority(uri.authority().map(uri::Authority::as_str))
        .with_remote_address(
            parts.extensions.get::<RemoteAddress>().copied(),
            connected.map(|ConnectInfo(address)| *address),
        )
}
