//! Copies a request into the core, and a [`Reply`] out of it.

use actix_web::dev::RequestHead as ActixHead;
use actix_web::http::{StatusCode, Uri};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder};
use portcullis_core::adapter::{RemoteAddress, RequestHead, Scheme};
use portcullis_core::responder::Reply;

/// Makes an actix-web response of a reply, for handlers that answer as portcullis does.
///
/// ```
/// use actix_web::HttpResponse;
/// use portcullis_core::responder::Reply;
///
/// async fn closed() -> HttpResponse {
///     portcullis_actix::respond(Reply::detail(403, "Sign-up is closed"))
/// }
/// ```
#[must_use]
pub fn respond(reply: Reply) -> HttpResponse {
    let mut response = HttpResponseBuilder::new(status(&reply));
    for header in reply.headers() {
        response.append_header(header);
    }
    response.body(reply.into_body())
}

pub(crate) fn status(reply: &Reply) -> StatusCode {
    StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The head of a request, as the core takes it.
pub(crate) fn head(request: &HttpRequest) -> RequestHead<'_> {
    let config = request.app_config();
    let scheme = if config.secure() {
        Scheme::Https
    } else {
        Scheme::Http
    };
    head_of(request.head())
        .with_scheme(Some(scheme))
        .with_local_addr(Some(config.local_addr()))
        .with_remote_address(
            request.extensions().get::<RemoteAddress>().copied(),
            request.peer_addr(),
        )
}

pub(crate) fn head_of(head: &ActixHead) -> RequestHead<'_> {
    let headers = head.headers.iter();
    RequestHead::new(head.method.as_str(), target(&head.uri))
        .with_headers(headers.map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// The path and query, as sent.
fn target(uri: &Uri) -> &[u8] {
    uri.path_and_query()
        .map_or(b"", |target| target.as_str().as_bytes())
}
