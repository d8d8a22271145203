//! The adapter inside apps that have ideas of their own.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::http::request::Builder;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use futures_util::stream::iter;
use portcullis_axum::{Bearer, LoginRoutes};
use portcullis_core::{
    Authenticator, BearerGuard, Dialect, HashPool, HashPoolConfig, MemoryCredentialStore,
    MemoryRefreshStore, MemoryThrottleStore, RefreshTokens, RemoteAddress, Scheme, Throttle,
    TokenEndpoint,
};
use portcullis_testkit::fastapi::{self, Answer, Case};
use portcullis_testkit::{FakeHasher, FakeTokens, HashWork, InFlight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tower::ServiceExt;

#[tokio::test]
async fn recorded_logins_are_answered_as_fastapi_did_whatever_the_app_does_to_bodies() {
    let app = Router::new()
        .merge(login().await.router())
        .fallback(teapot)
        // Would refuse every login, if the login used an extractor that heeds it.
        .layer(DefaultBodyLimit::max(1));
    let logins = |case: &Case| {
        matches!(case.tier.as_str(), "core" | "multipart")
            && case.path == "/v1/login"
            && case.method == "POST"
    };
    assert!(replay(&app, logins).await > 300);
}

#[tokio::test]
async fn recorded_requests_that_no_route_takes_are_answered_as_fastapi_did() {
    let login = login().await;
    let app = Router::new()
        .route("/v1/me", get(me))
        .with_state(guard())
        .merge(login.router());
    let app = login.with_fallback(app, [("GET", "/v1/me")]);
    let others =
        |case: &Case| case.tier == "core" && (case.path != "/v1/login" || case.method != "POST");
    assert!(replay(&app, others).await > 10);
}

#[tokio::test]
async fn a_redirect_leads_to_where_the_client_believes_the_whole_app_is() {
    let login = login().await;
    let app = Router::new().nest("/auth", login.router());
    let login = login.with_prefix("/auth/v1");
    let https = login.clone().with_scheme(Scheme::Https);
    for (login, uri, host, location) in [
        (
            &login,
            "/auth/v1/login/",
            Some("a"),
            "http://a/auth/v1/login",
        ),
        (
            &https,
            "/auth/v1/login/",
            Some("a"),
            "https://a/auth/v1/login",
        ),
        (
            &login,
            "https://b/auth/v1/login/?x",
            None,
            "https://b/auth/v1/login?x",
        ),
        (&login, "/auth/v1/login/", None, "/auth/v1/login"),
    ] {
        let app = login.with_fallback(app.clone(), []);
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
async fn the_apps_own_routes_are_answered_as_fastapi_does() {
    let login = login().await;
    let app = Router::new()
        .route("/v1/me", get(me))
        .route("/v1/users/{id}", get(teapot))
        .with_state(guard())
        .merge(login.router());
    let app = login.with_fallback(app, [("GET", "/v1/me")]);
    for (method, uri, status, allow, body) in [
        ("GET", "/v1/m%65?x", 200, None, "ada"),
        ("DELETE", "/v1/m%65", 405, Some("GET"), NOT_ALLOWED),
        ("DELETE", "/v1/me", 405, Some("GET"), NOT_ALLOWED),
        // axum's own list.
        ("DELETE", "/v1/users/7", 405, Some("GET,HEAD"), NOT_ALLOWED),
        ("GET", "/v1/users/7", 418, None, ""),
        ("GET", "/v1/users", 404, None, r#"{"detail":"Not Found"}"#),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", "Bearer good");
        let response = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{method} {uri}");
        let allowed = response.headers().get("allow").cloned();
        assert_eq!(
            allowed,
            allow.map(HeaderValue::from_static),
            "{method} {uri}"
        );
        assert_eq!(body_of(response).await, body, "{method} {uri}");
    }
}

const NOT_ALLOWED: &str = r#"{"detail":"Method Not Allowed"}"#;

#[tokio::test]
async fn another_method_is_405_and_another_path_is_the_apps() {
    let login = login().await.with_prefix("/auth").with_login_path("/token");
    let app = Router::new().merge(login.router()).fallback(teapot);
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "post"] {
        let request = Request::builder().method(method).uri("/auth/token");
        let response = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers().get("allow").unwrap(), "POST");
    }
    let request = Request::post("/v1/login").body(Body::empty()).unwrap();
    assert_eq!(send(&app, request).await.status(), 418);
}

#[tokio::test]
async fn a_cookie_refreshes_a_login_and_logging_out_ends_it() {
    let tokens = RefreshTokens::new(Arc::new(MemoryRefreshStore::new()));
    let endpoint = fastapi::endpoint().await.unwrap();
    let login = LoginRoutes::new(endpoint.with_refresh_tokens(tokens));
    let app = login.with_fallback(login.router(), []);
    let post = async |path: &str, body: &'static str, cookie: &str| {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", "other=1")
            .header("cookie", format!("refresh_token={cookie}"));
        let response = send(&app, request.body(Body::from(body)).unwrap()).await;
        let set = response.headers().get("set-cookie");
        let set = set.and_then(|set| set.to_str().unwrap().strip_prefix("refresh_token="));
        let token = set.and_then(|set| set.split(';').next()).unwrap_or("none");
        (response.status().as_u16(), token.to_owned())
    };
    let body = "username=ada%40example.com&password=correct+horse+battery+staple";
    let (status, first) = post("/v1/login", body, "").await;
    assert_eq!((status, first.len()), (200, 64));
    let (status, second) = post("/v1/%72efresh", "", &first).await;
    assert_eq!((status, second.len()), (200, 64));
    assert_ne!(first, second);
    assert_eq!(post("/v1/logout", "", &second).await, (204, String::new()));
    assert_eq!(
        post("/v1/refresh", "", &second).await,
        (401, "none".to_owned())
    );

    for (method, path, status) in [("GET", "/v1/refresh", 405), ("POST", "/v1/logout/", 307)] {
        let request = Request::builder().method(method).uri(path);
        let response = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn what_the_endpoint_does_not_offer_is_not_there() {
    let endpoint = fastapi::endpoint().await.unwrap();
    let tokens = RefreshTokens::new(Arc::new(MemoryRefreshStore::new()));
    let rfc = endpoint.clone().with_dialect(Dialect::Rfc6749);
    let rfc = rfc.with_refresh_tokens(tokens);
    for (endpoint, refresh, revoke) in [(endpoint, 404, 404), (rfc, 404, 200)] {
        let app = LoginRoutes::new(endpoint).router();
        for (path, status) in [
            ("/v1/refresh", refresh),
            ("/v1/logout", refresh),
            ("/v1/revoke", revoke),
        ] {
            let request = Request::post(path)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Body::from("token=unknown"));
            assert_eq!(
                send(&app, request.unwrap()).await.status(),
                status,
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_of_the_limit_is_read_and_a_longer_one_is_413() {
    const FORM: &str = "username=ada%40example.com&password=wrong";
    for (limit, status) in [(FORM.len(), 401), (FORM.len() - 1, 413)] {
        let app: Router = login().await.with_body_limit(limit).router();
        // Announced, and not.
        let whole = Body::from(FORM);
        let in_parts = Body::from_stream(iter([&FORM[..5], &FORM[5..]].map(Ok::<_, Infallible>)));
        for (body, length) in [(whole, Some(FORM.len())), (in_parts, None)] {
            let mut request = Request::post("/v1/login")
                .header("content-type", "application/x-www-form-urlencoded");
            if let Some(length) = length {
                request = request.header("content-length", length);
            }
            let response = send(&app, request.body(body).unwrap()).await;
            assert_eq!(response.status(), status);
        }
    }
}

#[tokio::test]
async fn a_client_is_where_its_connection_or_else_a_middleware_says() {
    let throttle = Throttle::new(Arc::new(MemoryThrottleStore::new()));
    let endpoint = fastapi::endpoint().await.unwrap().with_throttle(throttle);
    let app: Router = LoginRoutes::new(endpoint).router();
    let connected =
        |from| Request::post("/v1/login").extension(ConnectInfo(SocketAddr::new(from, 9)));
    let behind_a_proxy =
        |from| connected(IpAddr::from([10, 0, 0, 1])).extension(RemoteAddress(from));
    let [home, abroad] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
    let login = async |request: Builder, password: &str| {
        let form = format!("username=ada%40example.com&password={password}");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        send(&app, request.body(Body::from(form)).unwrap())
            .await
            .status()
    };

    assert_eq!(login(connected(home), PASSWORD).await, 200);
    for _ in 0..5 {
        assert_eq!(login(connected(abroad), "wrong").await, 401);
    }
    assert_eq!(login(connected(abroad), PASSWORD).await, 429);
    assert_eq!(login(behind_a_proxy(abroad), PASSWORD).await, 429);
    assert_eq!(login(Request::post("/v1/login"), PASSWORD).await, 429);
    assert_eq!(login(behind_a_proxy(home), PASSWORD).await, 200);
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
async fn a_login_whose_client_has_gone_is_not_hashed() {
    let hasher = Arc::new(FakeHasher::new(1));
    let mut config = HashPoolConfig::default();
    config.threads = NonZero::<usize>::MIN;
    let pool = HashPool::new(Arc::clone(&hasher) as _, config).unwrap();
    let authenticator =
        Authenticator::new(Arc::new(MemoryCredentialStore::new()), pool.clone()).unwrap();
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(FakeTokens::new()));
    let in_flight = InFlight::default();
    let counter = in_flight.clone();
    let count = move |request, next: Next| {
        let counted = counter.enter();
        async move {
            let answer = next.run(request).await;
            drop(counted);
            answer
        }
    };
    let app: Router = LoginRoutes::new(endpoint).router().layer(from_fn(count));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let log_in = async || {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(LOGIN).await.unwrap();
        client
    };

    hasher.hold();
    let mut staying = log_in().await;
    until(|| pool.metrics().running == 1).await;
    let going = log_in().await;
    until(|| pool.metrics().queued == 1).await;
    drop(going);
    until(|| in_flight.count() == 1).await;
    let _ = hasher.take_work();
    hasher.release();

    let mut status = [0; 12];
    staying.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
    until(|| pool.metrics().skipped == 1).await;
    assert_eq!(hasher.take_work(), [HashWork::Verify { cost: 1 }]);
}

#[tokio::test]
async fn a_handler_sees_only_bearers_of_good_tokens() {
    let app = Router::new()
        .route("/me", get(me))
        .route("/maybe", get(maybe))
        .with_state(guard());
    const NO_TOKEN: &str = r#"{"detail":"Not authenticated"}"#;
    const BAD_TOKEN: &str = r#"{"detail":"Could not validate credentials"}"#;
    const OUTAGE: &str = r#"{"detail":"Service Unavailable"}"#;
    for (path, authorization, status, body) in [
        ("/me", None, 401, NO_TOKEN),
        ("/me", Some("Basic x"), 401, NO_TOKEN),
        ("/me", Some("Bearer"), 401, BAD_TOKEN),
        ("/me", Some("Bearer bad"), 401, BAD_TOKEN),
        ("/me", Some("Bearer out"), 503, OUTAGE),
        ("/me", Some("bearer good"), 200, "ada"),
        ("/maybe", None, 200, "nobody"),
        ("/maybe", Some("Basic x"), 200, "nobody"),
        ("/maybe", Some("Bearer bad"), 401, BAD_TOKEN),
        ("/maybe", Some("Bearer out"), 503, OUTAGE),
        ("/maybe", Some("Bearer good"), 200, "ada"),
    ] {
        let mut request = Request::get(path);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let response = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{path} {authorization:?}");
        let challenge = response.headers().get("www-authenticate").cloned();
        assert_eq!(
            challenge.is_some_and(|value| value == "Bearer"),
            status == 401
        );
        assert_eq!(body_of(response).await, body);
    }
}

/// Waits for what nobody tells of.
async fn until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "in vain");
        yield_now().await;
    }
}

const PASSWORD: &str = "correct+horse+battery+staple";

const LOGIN: &[u8] = b"POST /v1/login HTTP/1.1\r\nhost: a\r\n\
    content-type: application/x-www-form-urlencoded\r\ncontent-length: 21\r\n\r\n\
    username=a&password=b";

async fn login() -> LoginRoutes {
    LoginRoutes::new(fastapi::endpoint().await.unwrap())
}

fn guard() -> BearerGuard {
    BearerGuard::new(Arc::new(FakeTokens::new()))
}

async fn me(bearer: Bearer) -> String {
    bearer.claims.sub.to_string()
}

async fn maybe(bearer: Option<Bearer>) -> String {
    bearer.map_or("nobody".to_owned(), |bearer| bearer.claims.sub.to_string())
}

async fn teapot() -> StatusCode {
    StatusCode::IM_A_TEAPOT
}

/// Sends the recorded requests that are `wanted`, and tells how many that were.
async fn replay(app: &Router, wanted: impl Fn(&Case) -> bool) -> usize {
    let mut compared = 0;
    for case in fastapi::cases().iter().filter(|case| wanted(case)) {
        let mut request = Request::builder()
            .method(case.method.as_str())
            .uri(&case.path);
        for (name, value) in &case.headers {
            let latin1: Vec<u8> = value.chars().map(|c| c as u8).collect();
            request = request.header(name.as_str(), HeaderValue::from_bytes(&latin1).unwrap());
        }
        let response = send(app, request.body(Body::from(case.body())).unwrap()).await;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        let body = body_of(response).await;
        let differences = case.differences(&Answer {
            status,
            headers: &headers,
            body: &body,
        });
        assert_eq!(differences, Vec::<String>::new(), "{}", case.id);
        compared += 1;
    }
    compared
}

async fn send(app: &Router, request: Request<Body>) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

async fn body_of(response: Response) -> Bytes {
    to_bytes(response.into_body(), usize::MAX).await.unwrap()
}
