//! An extractor for handlers that need an access token, or know what to do with one.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use portcullis_core::BearerGuard;
use portcullis_core::guard::GuardOf;

use crate::exchange::{head, respond};

/// The caller of a handler, proven by the access token of the request.
///
/// The state of the router must be a [`BearerGuard`], or hold one and say so by [`FromRef`]. A
/// request without a valid token is refused and never reaches the handler.
///
/// A handler that may be called by anybody takes an `Option<Bearer>`: `None` is a request without a
/// token. A token that is no good is refused all the same, and so is every token while nobody can
/// find out.
///
/// ```
/// use axum::Router;
/// use axum::extract::FromRef;
/// use axum::routing::get;
/// use portcullis_axum::{Bearer, BearerRejection};
/// use portcullis_core::BearerGuard;
///
/// #[derive(Clone)]
/// struct App {
///     guard: BearerGuard,
/// }
///
/// impl FromRef<App> for BearerGuard {
///     fn from_ref(app: &App) -> Self {
///         app.guard.clone()
///     }
/// }
///
/// async fn orders(bearer: Bearer) -> Result<String, BearerRejection> {
///     bearer.require("orders:read")?;
///     Ok(format!("the orders of {}", bearer.claims.sub))
/// }
///
/// fn router(app: App) -> Router {
///     Router::new().route("/v1/orders", get(orders)).with_state(app)
/// }
/// ```
///
/// `G` is the guard that is asked. An application with several kinds of users takes a [`BearerOf`]
/// each.
#[derive(Clone, Debug)]
pub struct Bearer<G = BearerGuard> {
    bearer: portcullis_core::Bearer,
    guard: PhantomData<fn() -> G>,
}

/// The caller of a handler that is for one kind of users, whose guard the state holds as
/// [`GuardOf<K>`](GuardOf).
///
/// ```
/// use axum::Router;
/// use axum::extract::FromRef;
/// use axum::routing::post;
/// use portcullis_axum::{Bearer, BearerOf};
/// use portcullis_core::guard::GuardOf;
/// use portcullis_core::BearerGuard;
///
/// enum Staff {}
///
/// #[derive(Clone)]
/// struct App {
///     customers: BearerGuard,
///     staff: GuardOf<Staff>,
/// }
///
/// impl FromRef<App> for BearerGuard {
///     fn from_ref(app: &App) -> Self {
///         app.customers.clone()
///     }
/// }
///
/// impl FromRef<App> for GuardOf<Staff> {
///     fn from_ref(app: &App) -> Self {
///         app.staff.clone()
///     }
/// }
///
/// async fn refund(staff: BearerOf<Staff>) -> String {
///     format!("refunded by {}", staff.claims.sub)
/// }
///
/// async fn order(customer: Bearer) -> String {
///     format!("ordered by {}", customer.claims.sub)
/// }
///
/// fn router(app: App) -> Router {
///     Router::new()
///         .route("/order", post(order))
///         .route("/refund", post(refund))
///         .with_state(app)
/// }
/// ```
pub type BearerOf<K> = Bearer<GuardOf<K>>;

impl<G> Bearer<G> {
    fn new(bearer: portcullis_core::Bearer) -> Self {
        Self {
            bearer,
            guard: PhantomData,
        }
    }

    /// Refuses a token that does not have `scope`.
    ///
    /// # Errors
    /// The answer to that: 403, and which scope is needed (RFC 6750 §3.1).
    pub fn require(&self, scope: &str) -> Result<(), BearerRejection> {
        Ok(self.bearer.require(scope)?)
    }

    /// Gives away what the guard found out.
    #[must_use]
    pub fn into_inner(self) -> portcullis_core::Bearer {
        self.bearer
    }
}

impl<G> Deref for Bearer<G> {
    type Target = portcullis_core::Bearer;

    fn deref(&self) -> &Self::Target {
        &self.bearer
    }
}

impl<G, S> FromRequestParts<S> for Bearer<G>
where
    G: AsRef<BearerGuard> + FromRef<S> + Send + Sync,
    S: Send + Sync,
{
    type Rejection = BearerRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, BearerRejection> {
        let guard = G::from_ref(state);
        Ok(Self::new(guard.as_ref().admit(&head(parts)).await?))
    }
}

impl<G, S> OptionalFromRequestParts<S> for Bearer<G>
where
    G: AsRef<BearerGuard> + FromRef<S> + Send + Sync,
    S: Send + Sync,
{
    type Rejection = BearerRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Option<Self>, BearerRejection> {
        let guard = G::from_ref(state);
        let bearer = guard.as_ref().admit_optional(&head(parts)).await?;
        Ok(bearer.map(Self::new))
    }
}

/// Why a handler did not get a [`Bearer`]. It is answered as the guard's responder has it.
///
/// A handler that wants to know the reason takes a `Result<Bearer, BearerRejection>`, and asks
/// [`refusal`](portcullis_core::guard::BearerRejection::refusal).
#[derive(Debug)]
pub struct BearerRejection(portcullis_core::guard::BearerRejection);

impl From<portcullis_core::guard::BearerRejection> for BearerRejection {
    fn from(rejection: portcullis_core::guard::BearerRejection) -> Self {
        Self(rejection)
    }
}

impl Deref for BearerRejection {
    type Target = portcullis_core::guard::BearerRejection;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Display for BearerRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for BearerRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl IntoResponse for BearerRejection {
    fn into_response(self) -> Response {
        respond(self.0.reply().clone())
    }
}
