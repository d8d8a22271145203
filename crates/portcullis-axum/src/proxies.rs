//! Where clients are, behind proxies of one's own.

use std::num::NonZeroUsize;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::HeaderValue;
use portcullis_core::adapter::RemoteAddress;
use tower_layer::Layer;
use tower_service::Service;

/// A layer that finds out where a client is by `X-Forwarded-For`, and puts that among the
/// extensions of the request as a [`RemoteAddress`], where the throttle looks for it.
///
/// Lay it around the app if, and only if, every request comes through so many proxies, each of
/// which adds an address to that header: else clients could write their own. Where the header says
/// too little, the address of the connection counts. `Forwarded` (RFC 7239) is not read.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// use axum::Router;
/// use portcullis_axum::TrustedProxies;
///
/// let app: Router = Router::new().layer(TrustedProxies::new(NonZeroUsize::MIN));
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

impl<S> Layer<S> for TrustedProxies {
    type Service = BehindProxies<S>;

    fn layer(&self, service: S) -> BehindProxies<S> {
        let proxies = self.proxies;
        BehindProxies { service, proxies }
    }
}

/// A service that [`TrustedProxies`] is laid around.
#[derive(Clone, Debug)]
pub struct BehindProxies<S> {
    service: S,
    proxies: NonZeroUsize,
}

impl<S: Service<Request>> Service<Request> for BehindProxies<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        let values = request.headers().get_all("x-forwarded-for").iter();
        let values = values.map(HeaderValue::as_bytes);
        if let Some(address) = RemoteAddress::forwarded(values, self.proxies) {
            request.extensions_mut().insert(address);
        }
        self.service.call(request)
    }
}
