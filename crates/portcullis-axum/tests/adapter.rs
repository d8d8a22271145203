//! The adapter inside apps that have ideas of their own. What holds for every framework is in
//! `conformance.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRef};
use axum::http::request::Builder;
use axum::http::{Request, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use futures_util::stream::iter;
use portcullis_axum::{Bearer, BearerOf, BearerRejection, LoginRoutes, TrustedProxies};
use portcullis_core::adapter::{Mount, RemoteAddress, Scheme};
use portcullis_core::guard::GuardOf;
use portcullis_core::memory::MemoryThrottleStore;
use portcullis_core::{BearerGuard, Throttle};
use portcullis_testkit::{fastapi, signed_in};
use tower::ServiceExt;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

#[tokio::test]
async fn nothing_that_an_app_says_of_bodies_holds_for_the_login() {
    let app = login().await.router().layer(DefaultBodyLimit::max(1));
    let response = send(&app, form(Request::post("/v1/login"), RIGHT)).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_form() {
    let app: Router = login().await.router();
    let broken = [
        Ok("username=ada%40example.com&"),
        Err(io::ErrorKind::ConnectionReset.into()),
    ];
    let broken = Body::from_stream(iter(broken.map(|chunk: io::Result<_>| chunk)));
    let request = Request::post("/v1/login").body(broken).unwrap();
    assert_eq!(send(&app, request).await.status(), 400);
}

#[tokio::test]
async fn without_our_fallback_another_path_is_the_apps() {
    let app = Router::new().merge(login().await.router()).fallback(teapot);
    let request = Request::post("/v1/%6Cogin").body(Body::empty()).unwrap();
    assert_eq!(send(&app, request).await.status(), 418);
}

#[tokio::test]
async fn inside_a_nest_the_prefix_is_what_comes_after_it() {
    let mount = Mount::new(fastapi::endpoint().await.unwrap());
    let inner = LoginRoutes::new(mount.clone().with_prefix(""));
    let whole = mount.with_prefix("/auth");
    let app = Router::new().nest("/auth", inner.router());
    for (scheme, uri, host, location) in [
        (None, "/auth/login/", Some("a"), "http://a/auth/login"),
        (
            Some(Scheme::Https),
            "/auth/login/",
            Some("a"),
            "https://a/auth/login",
        ),
        // As HTTP/2 has it.
        (
            None,
            "https://b/auth/login/?x",
            None,
            "https://b/auth/login?x",
        ),
        (None, "/auth/login/", None, "/auth/login"),
    ] {
        let mount = match scheme {
            Some(scheme) => whole.clone().with_scheme(scheme),
            None => whole.clone(),
        };
        let app = LoginRoutes::new(mount).with_fallback(app.clone(), []);
        let response = send(&app, form(Request::post("/auth/%6Cogin"), RIGHT)).await;
        assert_eq!(response.status(), 200);
        let mut request = Request::post(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let response = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 307);
        assert_eq!(response.headers()["location"], location);
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_avoids_what_the_app_laid_around_it() {
    let login = login().await;
    let deny = || from_fn(async |_: Request<Body>, _: Next| StatusCode::TOO_MANY_REQUESTS);
    let around_the_login = Router::new().merge(login.router().layer(deny()));
    let around_all = Router::new().merge(login.router()).layer(deny());
    let later = login
        .with_fallback(Router::new().merge(login.router()), [])
        .layer(deny());
    let app = |router| login.with_fallback(router, []);
    for app in [app(around_the_login), app(around_all), later] {
        for path in ["/v1/login", "/v1/%6Cogin", "/v1/login%0A"] {
            let request = Request::post(path).body(Body::empty()).unwrap();
            assert_eq!(send(&app, request).await.status(), 429, "{path}");
        }
    }
}

#[tokio::test]
async fn a_path_with_parameters_keeps_what_axum_allows_there() {
    let login = login().await;
    let app = Router::new()
        .route("/v1/me", get(teapot))
        .route("/v1/users/{id}", get(teapot))
        .merge(login.router());
    let app = login.with_fallback(app, [("GET", "/v1/me")]);
    for (method, uri, status, allow) in [
        ("GET", "/v1/m%65?x", 418, None),
        ("DELETE", "/v1/m%65", 405, Some("GET")),
        ("DELETE", "/v1/me", 405, Some("GET")),
        ("DELETE", "/v1/users/7", 405, Some("GET,HEAD")),
        ("GET", "/v1/users/7", 418, None),
        ("GET", "/v1/users", 404, None),
    ] {
        let request = Request::builder().method(method).uri(uri);
        let response = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{method} {uri}");
        let allowed = response.headers().get("allow");
        let allowed = allowed.map(|value| value.to_str().unwrap());
        assert_eq!(allowed, allow, "{method} {uri}");
    }
}

#[tokio::test]
async fn a_handler_can_find_out_why_a_request_was_refused() {
    let (guard, _) = signed_in::<&str>("ada", []);
    let handler = async |bearer: Result<Bearer, BearerRejection>| match bearer {
        Ok(bearer) => bearer.claims.sub.to_string(),
        Err(rejection) => rejection.refusal().to_string(),
    };
    let app = Router::new().route("/", get(handler)).with_state(guard);
    let request = Request::get("/").header("authorization", "Bearer bad");
    let response = send(&app, request.body(Body::empty()).unwrap()).await;
    assert_eq!(body_of(response).await, "the access token is not valid");
}

#[tokio::test]
async fn two_kinds_of_users_have_a_guard_each() {
    let (customers, customer) = signed_in::<&str>("ada", []);
    let (staff, member) = signed_in::<&str>("grace", []);
    let staff = GuardOf::new(staff);
    let app = Router::new()
        .route("/order", get(async |_: Bearer| "ordered"))
        .route("/refund", get(async |_: BearerOf<Staff>| "refunded"))
        .with_state(TwoGuards { customers, staff });
    for (path, authorization, status) in [
        ("/order", &customer, 200),
        ("/order", &member, 401),
        ("/refund", &customer, 401),
        ("/refund", &member, 200),
    ] {
        let request = Request::get(path).header("authorization", authorization);
        let response = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{path}");
    }
}

enum Staff {}

#[derive(Clone)]
struct TwoGuards {
    customers: BearerGuard,
    staff: GuardOf<Staff>,
}

impl FromRef<TwoGuards> for BearerGuard {
    fn from_ref(guards: &TwoGuards) -> Self {
        guards.customers.clone()
    }
}

impl FromRef<TwoGuards> for GuardOf<Staff> {
    fn from_ref(guards: &TwoGuards) -> Self {
        guards.staff.clone()
    }
}

#[tokio::test]
async fn behind_proxies_a_client_is_where_the_last_of_them_says() {
    let app = throttled()
        .await
        .layer(TrustedProxies::new(NonZeroUsize::MIN));
    let log_in = async |forwarded: &[&str], body: &'static str| {
        let connected = ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 9)));
        let mut request = Request::post("/v1/login").extension(connected);
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        send(&app, form(request, body)).await.status()
    };
    assert_eq!(log_in(&["192.0.2.1"], RIGHT).await, 200);
    for _ in 0..5 {
        assert_eq!(log_in(&["192.0.2.2"], WRONG).await, 401);
    }
    // What a client writes itself is in front.
    assert_eq!(log_in(&["192.0.2.1, 192.0.2.2"], RIGHT).await, 429);
    assert_eq!(log_in(&["192.0.2.1", "192.0.2.2"], RIGHT).await, 429);
    assert_eq!(log_in(&[], RIGHT).await, 429);
    assert_eq!(log_in(&["192.0.2.2, 192.0.2.1"], RIGHT).await, 200);
}

#[tokio::test]
async fn a_throttle_that_does_not_know_where_clients_are_is_warned_of_once() {
    let warnings = Warnings::default();
    let _here = tracing::subscriber::set_default(warnings.clone());
    let app = throttled().await;
    let unthrottled: Router = login().await.router();
    let known =
        || Request::post("/v1/login").extension(RemoteAddress(IpAddr::from([127, 0, 0, 1])));
    send(&app, form(known(), WRONG)).await;
    send(&unthrottled, form(Request::post("/v1/login"), WRONG)).await;
    assert_eq!(warnings.count.load(Ordering::SeqCst), 0);
    for _ in 0..3 {
        send(&app, form(Request::post("/v1/login"), WRONG)).await;
    }
    assert_eq!(warnings.count.load(Ordering::SeqCst), 1);
}

/// Counts what the core warns of.
#[derive(Clone, Default)]
struct Warnings {
    count: Arc<AtomicUsize>,
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("portcullis") && *metadata.level() <= Level::WARN
    }

    fn event(&self, _: &Event<'_>) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

async fn login() -> LoginRoutes {
    LoginRoutes::new(fastapi::endpoint().await.unwrap())
}

async fn throttled() -> Router {
    let throttle = Throttle::new(Arc::new(MemoryThrottleStore::new()));
    let endpoint = fastapi::endpoint().await.unwrap().with_throttle(throttle);
    LoginRoutes::new(endpoint).router()
}

async fn teapot() -> StatusCode {
    StatusCode::IM_A_TEAPOT
}

fn form(request: Builder, body: &'static str) -> Request<Body> {
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    request.body(Body::from(body)).unwrap()
}

async fn send(app: &Router, request: Request<Body>) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

async fn body_of(response: Response) -> Bytes {
    to_bytes(response.into_body(), usize::MAX).await.unwrap()
}

const RIGHT: &str = "username=ada%40example.com&password=correct+horse+battery+staple";

const WRONG: &str = "username=ada%40example.com&password=wrong";
