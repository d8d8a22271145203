//! Extractors for handlers that need an access token, or know what to do with one.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use portcullis_core::BearerGuard;
use portcullis_core::guard::GuardOf;

use crate::exchange::{head, respond, status};

/// The caller of a handler, proven by the access token of the request.
///
/// The app must hold a [`BearerGuard`], by `app_data(guard)` or by
/// `app_data(web::Data::new(guard))`; without one, every request is answered with 500. A request
/// without a valid token is refused and never reaches the handler.
///
/// **Do not take an `Option<Bearer>`.** actix-web turns every extractor into an optional one by
/// making each of its errors a `None`: a stolen token that was revoked, and a store that is down,
/// would look like a visitor without a token. Take an [`OptionalBearer`], which refuses both.
///
/// ```
/// use actix_web::{App, get};
/// use portcullis_actix::{Bearer, BearerRejection};
/// use portcullis_core::BearerGuard;
///
/// #[get("/v1/orders")]
/// async fn orders(bearer: Bearer) -> Result<String, BearerRejection> {
///     bearer.require("orders:read")?;
///     Ok(format!("the orders of {}", bearer.claims.sub))
/// }
///
/// fn add(app: &mut actix_web::web::ServiceConfig, guard: BearerGuard) {
///     app.app_data(guard).service(orders);
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

/// The caller of a handler that is for one kind of users, whose guard the app holds as
/// [`GuardOf<K>`](GuardOf).
///
/// ```
/// use actix_web::web::{self, ServiceConfig};
/// use portcullis_actix::{Bearer, BearerOf};
/// use portcullis_core::guard::GuardOf;
/// use portcullis_core::BearerGuard;
///
/// enum Staff {}
///
/// async fn refund(staff: BearerOf<Staff>) -> String {
///     format!("refunded by {}", staff.claims.sub)
/// }
///
/// async fn order(customer: Bearer) -> String {
///     format!("ordered by {}", customer.claims.sub)
/// }
///
/// fn configure(app: &mut ServiceConfig, customers: BearerGuard, staff: BearerGuard) {
///     app.app_data(customers)
///         .app_data(GuardOf::<Staff>::new(staff))
///         .route("/order", web::post().to(order))
///         .route("/refund", web::post().to(refund));
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

impl<G: AsRef<BearerGuard> + 'static> FromRequest for Bearer<G> {
    type Error = BearerRejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BearerRejection>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let bearer = guard::<G>(&request)?.admit(&head(&request)).await?;
            Ok(Self::new(bearer))
        })
    }
}

/// The caller of a handler that may be anybody: `None` for a request without a token, as of
/// FastAPI's `OAuth2PasswordBearer(auto_error=False)`. A token that is no good is refused all the
/// same, and so is every token while nobody can find out.
///
/// ```
/// use portcullis_actix::OptionalBearer;
///
/// async fn greet(bearer: OptionalBearer) -> String {
///     match &*bearer {
///         Some(bearer) => format!("Hello {}", bearer.claims.sub),
///         None => "Hello".to_owned(),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct OptionalBearer<G = BearerGuard>(Option<Bearer<G>>);

impl<G> OptionalBearer<G> {
    /// Gives the caller away, if there is a token.
    #[must_use]
    pub fn into_inner(self) -> Option<Bearer<G>> {
        self.0
    }
}

impl<G> Deref for OptionalBearer<G> {
    type Target = Option<Bearer<G>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<G: AsRef<BearerGuard> + 'static> FromRequest for OptionalBearer<G> {
    type Error = BearerRejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BearerRejection>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let head = head(&request);
            let bearer = guard::<G>(&request)?.admit_optional(&head).await?;
            Ok(Self(bearer.map(Bearer::new)))
        })
    }
}

fn guard<G: AsRef<BearerGuard> + 'static>(
    request: &HttpRequest,
) -> Result<&BearerGuard, BearerRejection> {
    let in_data = || request.app_data::<Data<G>>().map(|data| &***data);
    match request.app_data::<G>().or_else(in_data) {
        Some(guard) => Ok(guard.as_ref()),
        None => Err(portcullis_core::guard::BearerRejection::without_guard(
            "the app holds no guard for a handler: add it with `app_data(guard)` or with \
             `app_data(web::Data::new(guard))`",
        )
        .into()),
    }
}

/// Why a handler did not get a [`Bearer`], on its way through actix-web's error channel. It is
/// answered as the guard's responder has it.
///
/// A middleware that wants to know the reason asks the error of a response:
/// `response.response().error()?.as_error::<BearerRejection>()?.refusal()`.
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

impl ResponseError for BearerRejection {
    fn status_code(&self) -> StatusCode {
        status(self.0.reply())
    }

    fn error_response(&self) -> HttpResponse {
        respond(self.0.reply().clone())
    }
}
