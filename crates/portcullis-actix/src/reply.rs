//! Copies a [`Reply`] into an actix-web response.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use portcullis_core::Reply;

pub(crate) fn respond(reply: Reply) -> HttpResponse {
    let status = status(&reply);
    let mut response = HttpResponseBuilder::new(status);
    for header in reply.headers() {
        response.insert_header(header);
    }
    response.body(reply.into_body())
}

/// A reply on its way through actix-web's error channel, which extractors must use.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Reply);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with status {}", self.0.status())
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        status(&self.0)
    }

    fn error_response(&self) -> HttpResponse {
        respond(self.0.clone())
    }
}

fn status(reply: &Reply) -> StatusCode {
    StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
