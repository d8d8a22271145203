//! An extractor for handlers that need an access token.

use std::ops::Deref;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::Response;
use portcullis_core::{BearerGuard, Reply};

use crate::login::header;
use crate::reply::respond;

/// The caller of a handler, proven by the access token of its `Authorization` header.
///
/// The state of the router must be a [`BearerGuard`], or hold one and say so by [`FromRef`].
/// A request without a valid token answers 401 and never reaches the handler.
///
/// ```
/// use axum::Router;
/// use axum::routing::get;
/// use portcullis_axum::Bearer;
/// use portcullis_core::BearerGuard;
///
/// async fn orders(bearer: Bearer) -> String {
///     format!("the orders of {}", bearer.claims.sub)
/// }
///
/// fn app(guard: BearerGuard) -> Router {
///     Router::new().route("/v1/orders", get(orders)).with_state(guard)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Bearer(portcullis_core::Bearer);

impl Bearer {
    /// Gives away what the guard found out.
    #[must_use]
    pub fn into_inner(self) -> portcullis_core::Bearer {
        self.0
    }
}

impl Deref for Bearer {
    type Target = portcullis_core::Bearer;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S> FromRequestParts<S> for Bearer
where
    BearerGuard: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let bearer = BearerGuard::from_ref(state)
            .check(header(&parts.headers, &AUTHORIZATION))
            .await;
        bearer
            .map(Self)
            .map_err(|refusal| respond(Reply::bearer_refusal(&refusal)))
    }
}
