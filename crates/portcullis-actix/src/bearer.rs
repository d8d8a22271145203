//! An extractor for handlers that need an access token.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{Error, FromRequest, HttpRequest};
use portcullis_core::{BearerGuard, BearerRefusal, Reply};

use crate::login::header;
use crate::reply::Refused;

/// The caller of a handler, proven by the access token of its `Authorization` header.
///
/// The app must hold a [`BearerGuard`] as `app_data`; without one, every request answers 500.
/// A request without a valid token answers 401 and never reaches the handler.
///
/// ```
/// use actix_web::{App, get};
/// use portcullis_actix::Bearer;
/// use portcullis_core::BearerGuard;
///
/// #[get("/v1/orders")]
/// async fn orders(bearer: Bearer) -> String {
///     format!("the orders of {}", bearer.claims.sub)
/// }
///
/// fn add(app: &mut actix_web::web::ServiceConfig, guard: BearerGuard) {
///     app.app_data(guard).service(orders);
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

impl FromRequest for Bearer {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let guard = request.app_data::<BearerGuard>().cloned();
        let authorization = header(request, &AUTHORIZATION).map(<[u8]>::to_vec);
        Box::pin(async move {
            let bearer = match guard {
                Some(guard) => guard.check(authorization.as_deref()).await,
                None => Err(BearerRefusal::without_guard(
                    "add a BearerGuard to the app with `app_data`",
                )),
            };
            bearer
                .map(Self)
                .map_err(|refusal| Refused(Reply::bearer_refusal(&refusal)).into())
        })
    }
}
