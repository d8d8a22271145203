//! Where clients are, behind proxies of one's own.

use std::future::{Ready, ready};
use std::num::NonZeroUsize;

use actix_web::dev::{Service, ServiceRequest, Transform, forward_ready};
use actix_web::{Error, HttpMessage};
use portcullis_core::adapter::RemoteAddress;

/// A middleware that finds out where a client is by `X-Forwarded-For`, and puts that among the
/// extensions of the request as a [`RemoteAddress`], where the throttle looks for it.
///
/// Wrap the app in it if, and only if, every request comes through so many proxies, each of which
/// adds an address to that header: else clients could write their own. Where the header says too
/// little, the address of the connection counts. `Forwarded` (RFC 7239) is not read.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// use actix_web::App;
/// use portcullis_actix::TrustedProxies;
///
/// let app = App::new().wrap(TrustedProxies::new(NonZeroUsize::MIN));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TrustedProxies {
    proxies: NonZeroUsize,
}

impl TrustedProxies {
    /// Trusts that every request comes through so many `proxies`.
    #[must_use]
    pub fn new(proxies: NonZeroUsize) -> Self {
        Self { proxies }
    }
}

impl<S: Service<ServiceRequest, Error = Error>> Transform<S, ServiceRequest> for TrustedProxies {
    type Response = S::Response;
    type Error = Error;
    type Transform = BehindProxies<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(BehindProxies {
            service,
            proxies: self.proxies,
        }))
    }
}

/// A service that [`TrustedProxies`] is wrapped around.
#[derive(Clone, Debug)]
pub struct BehindProxies<S> {
    service: S,
    proxies: NonZeroUsize,
}

impl<S: Service<ServiceRequest>> Service<ServiceRequest> for BehindProxies<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let values: Vec<_> = request.headers().get_all("x-forwarded-for").collect();
        let values = values.iter().map(|value| value.as_bytes());
        if let Some(address) = RemoteAddress::forwarded(values, self.proxies) {
            request.extensions_mut().insert(address);
        }
        self.service.call(request)
    }
}
