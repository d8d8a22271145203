//! An extractor for handlers that need an access token.

use std::ops::Deref;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::Response;
use portcullis_core::{BearerGuard, BearerRefusal, Reply};

use crate::login::header;
use crate::reply::respond;

/// The caller of a handler, proven by the access token of its `Authorization` header.
///
/// The state of the router must be a [`BearerGuard`], or hold one and say so by [`FromRef`].
/// A request without a valid token answers 401 and never reaches the handler.
///
/// ```
/// use axum::Router;
/// use axum::extract::FromRef;
/// use axum::routing::get;
/// use portcullis_axum::Bearer;
/// use portcullis_core::BearerGuard;
///
/// #[derive(Clone)]
/// struct State {
///     guard: BearerGuard,
/// }
///
/// impl FromRef<State> for BearerGuard {
///     fn from_ref(state: &State) -> Self {
///         state.guard.clone()
///     }
/// }
///
/// async fn orders(bearer: Bearer) -> String {
///     format!("the orders of {}", bearer.claims.sub)
/// }
///
/// fn app(state: State) -> Router {
///     Router::new().route("/v1/orders", get(orders)).with_state(state)
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
        check(parts, state)
            .await
            .map_err(|refusal| refuse(&refusal))
    }
}

/// `None` if no token was sent, as of FastAPI's `OAuth2PasswordBearer(auto_error=False)`. One that
/// is no good is refused all the same.
impl<S> OptionalFromRequestParts<S> for Bearer
where
    BearerGuard: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Response> {
        match check(parts, state).await {
            Ok(bearer) => Ok(Some(bearer)),
            Err(BearerRefusal::NotAuthenticated) => Ok(None),
            Err(refusal) => Err(refuse(&refusal)),
        }
    }
}

async fn check<S>(parts: &Parts, state: &S) -> Result<Bearer, BearerRefusal>
where
    BearerGuard: FromRef<S>,
{
    let authorization = header(&parts.headers, &AUTHORIZATION);
    let bearer = BearerGuard::from_ref(state).check(authorization).await;
    bearer.map(Bearer)
}

fn refuse(refusal: &BearerRefusal) -> Response {
    respond(Reply::bearer_refusal(refusal))
}
