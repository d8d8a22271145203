//! The adapter inside apps that have ideas of their own.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::middleware::ErrorHandlers;
use actix_web::web::{self, FormConfig, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpMessage, HttpResponse, HttpServer, error, test};
use portcullis_actix::{Bearer, LoginRoutes};
use portcullis_core::{
    Authenticator, BearerGuard, Dialect, HashPool, HashPoolConfig, MemoryCredentialStore,
    MemoryRefreshStore, MemoryThrottleStore, RefreshTokens, RemoteAddress, Scheme, Throttle,
    TokenEndpoint,
};
use portcullis_testkit::fastapi::{self, Answer};
use portcullis_testkit::{FakeHasher, FakeTokens, HashWork, InFlight};
use tokio::task::yield_now;

#[actix_web::test]
async fn recorded_logins_are_answered_as_fastapi_did_whatever_the_app_does_to_bodies() {
    let login = LoginRoutes::new(fastapi::endpoint().await.unwrap());
    let app = test::init_service(
        App::new()
            // Each would refuse every login, if the login used that extractor.
            .app_data(FormConfig::default().limit(1))
            .app_data(PayloadConfig::new(1))
            .app_data(web::JsonConfig::default().error_handler(|error, _| {
                error::InternalError::from_response(error, HttpResponse::ImATeapot().finish())
                    .into()
            }))
            .wrap(
                ErrorHandlers::new().handler(StatusCode::IM_A_TEAPOT, |response| {
                    Ok(actix_web::middleware::ErrorHandlerResponse::Response(
                        response.map_into_left_body(),
                    ))
                }),
            )
            .default_service(web::to(HttpResponse::ImATeapot))
            .configure(|app| login.configure(app)),
    )
    .await;
    let mut compared = 0;
    for case in fastapi::cases() {
        let applies = matches!(case.tier.as_str(), "core" | "multipart")
            && case.path == "/v1/login"
            && case.method == "POST";
        if !applies {
            continue;
        }
        let mut request = test::TestRequest::post().uri(&case.path);
        for (name, value) in &case.headers {
            let latin1: Vec<u8> = value.chars().map(|c| c as u8).collect();
            let value = actix_web::http::header::HeaderValue::from_bytes(&latin1);
            request = request.append_header((name.as_str(), value.unwrap()));
        }
        let request = request.set_payload(case.body()).to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(
            differences(&case, response).await,
            Vec::<String>::new(),
            "{}",
            case.id
        );
        compared += 1;
    }
    assert!(compared > 300, "only {compared} cases were compared");
}

#[actix_web::test]
async fn another_method_is_405_and_another_path_is_the_apps() {
    let login = LoginRoutes::new(fastapi::endpoint().await.unwrap())
        .with_prefix("/auth")
        .with_login_path("/token");
    let configure = |app: &mut ServiceConfig| login.configure(app);
    let app = test::init_service(App::new().configure(configure)).await;
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "post"] {
        let request = test::TestRequest::with_uri("/auth/token")
            .method(method.parse().unwrap())
            .to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers().get("allow").unwrap(), "POST");
    }
    let request = test::TestRequest::post().uri("/v1/login").to_request();
    assert_eq!(test::call_service(&app, request).await.status(), 404);
}

#[actix_web::test]
async fn no_spelling_of_a_path_avoids_what_the_app_wrapped_around_the_login() {
    let login = LoginRoutes::new(fastapi::endpoint().await.unwrap());
    let paths = [
        "/v1/login",
        "/v1/%6Cogin",
        "/v1%2Flogin",
        "/v1/login%0A",
        "/v1%2flogin%0a",
    ];
    for (limited, status) in [(false, 422), (true, 429)] {
        let app = App::new()
            .service(
                web::scope("")
                    .wrap_fn(move |request, service| {
                        let answer = (!limited).then(|| service.call(request));
                        async move {
                            match answer {
                                Some(answer) => answer.await,
                                None => Err(error::ErrorTooManyRequests("")),
                            }
                        }
                    })
                    .configure(|scope| login.configure(scope)),
            )
            .configure(|app| login.configure_fallback(app, []));
        let app = test::init_service(app).await;
        for path in paths {
            let request = test::TestRequest::post().uri(path).to_request();
            let answered = match app.call(request).await {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            assert_eq!(answered, status, "{path}");
        }
    }
}

#[actix_web::test]
async fn a_cookie_refreshes_a_login_and_logging_out_ends_it() {
    let tokens = RefreshTokens::new(Arc::new(MemoryRefreshStore::new()));
    let endpoint = fastapi::endpoint().await.unwrap();
    let login = LoginRoutes::new(endpoint.with_refresh_tokens(tokens));
    let app = App::new()
        .configure(|app| login.configure(app))
        .configure(|app| login.configure_fallback(app, []));
    let app = test::init_service(app).await;
    let post = async |path: &str, body: &'static str, cookie: &str| {
        let request = test::TestRequest::post()
            .uri(path)
            .insert_header(ContentType::form_url_encoded())
            .append_header(("cookie", "other=1"))
            .append_header(("cookie", format!("refresh_token={cookie}")))
            .set_payload(body);
        let response = test::call_service(&app, request.to_request()).await;
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
        let request = test::TestRequest::with_uri(path).method(method.parse().unwrap());
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), status, "{path}");
    }
}

#[actix_web::test]
async fn what_the_endpoint_does_not_offer_is_not_there() {
    let endpoint = fastapi::endpoint().await.unwrap();
    let tokens = RefreshTokens::new(Arc::new(MemoryRefreshStore::new()));
    let rfc = endpoint.clone().with_dialect(Dialect::Rfc6749);
    let rfc = rfc.with_refresh_tokens(tokens);
    for (endpoint, refresh, revoke) in [(endpoint, 404, 404), (rfc, 404, 200)] {
        let login = LoginRoutes::new(endpoint);
        let app = test::init_service(App::new().configure(|app| login.configure(app))).await;
        for (path, status) in [
            ("/v1/refresh", refresh),
            ("/v1/logout", refresh),
            ("/v1/revoke", revoke),
        ] {
            let request = test::TestRequest::post()
                .uri(path)
                .insert_header(ContentType::form_url_encoded())
                .set_payload("token=unknown");
            let response = test::call_service(&app, request.to_request()).await;
            assert_eq!(response.status(), status, "{path}");
        }
    }
}

#[actix_web::test]
async fn redirects_have_the_scheme_that_was_said() {
    let login = LoginRoutes::new(fastapi::endpoint().await.unwrap());
    for (login, location) in [
        (login.clone(), "http://a/v1/login"),
        (login.with_scheme(Scheme::Https), "https://a/v1/login"),
    ] {
        let app = App::new().configure(|app| login.configure_fallback(app, []));
        let app = test::init_service(app).await;
        let request = test::TestRequest::post()
            .uri("/v1/login/")
            .insert_header(("host", "a"));
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), 307);
        assert_eq!(response.headers().get("location").unwrap(), location);
    }
}

#[actix_web::test]
async fn a_client_is_where_its_connection_or_else_a_middleware_says() {
    let throttle = Throttle::new(Arc::new(MemoryThrottleStore::new()));
    let endpoint = fastapi::endpoint().await.unwrap().with_throttle(throttle);
    let login = LoginRoutes::new(endpoint);
    let app = test::init_service(App::new().configure(|app| login.configure(app))).await;
    let [home, abroad, proxy] = [[192, 0, 2, 1], [192, 0, 2, 2], [10, 0, 0, 1]].map(IpAddr::from);
    let login = async |connected: Option<IpAddr>, said: Option<IpAddr>, password: &str| {
        let mut request = test::TestRequest::post()
            .uri("/v1/login")
            .insert_header(ContentType::form_url_encoded())
            .set_payload(format!("username=ada%40example.com&password={password}"));
        if let Some(address) = connected {
            request = request.peer_addr(SocketAddr::new(address, 9));
        }
        let request = request.to_request();
        if let Some(address) = said {
            request.extensions_mut().insert(RemoteAddress(address));
        }
        test::call_service(&app, request).await.status()
    };

    let right = "correct+horse+battery+staple";
    assert_eq!(login(Some(home), None, right).await, 200);
    for _ in 0..5 {
        assert_eq!(login(Some(abroad), None, "wrong").await, 401);
    }
    assert_eq!(login(Some(abroad), None, right).await, 429);
    assert_eq!(login(Some(proxy), Some(abroad), right).await, 429);
    assert_eq!(login(None, None, right).await, 429);
    assert_eq!(login(Some(proxy), Some(home), right).await, 200);
}

#[actix_web::test]
async fn a_body_of_the_limit_is_read_and_a_longer_one_is_413() {
    let form = "username=ada%40example.com&password=wrong";
    for (limit, status) in [(form.len(), 401), (form.len() - 1, 413)] {
        let login = LoginRoutes::new(fastapi::endpoint().await.unwrap()).with_body_limit(limit);
        let app = test::init_service(App::new().configure(|app| login.configure(app))).await;
        let request = test::TestRequest::post()
            .uri("/v1/login")
            .insert_header(ContentType::form_url_encoded())
            .set_payload(form)
            .to_request();
        assert_eq!(test::call_service(&app, request).await.status(), status);
    }
}

#[actix_web::test]
async fn a_login_whose_client_has_gone_is_not_hashed() {
    let hasher = Arc::new(FakeHasher::new(1));
    let mut config = HashPoolConfig::default();
    config.threads = NonZero::<usize>::MIN;
    let pool = HashPool::new(Arc::clone(&hasher) as _, config).unwrap();
    let authenticator =
        Authenticator::new(Arc::new(MemoryCredentialStore::new()), pool.clone()).unwrap();
    let login = LoginRoutes::new(TokenEndpoint::new(
        authenticator,
        Arc::new(FakeTokens::new()),
    ));
    let in_flight = InFlight::default();
    let counter = in_flight.clone();
    let server = HttpServer::new(move || {
        let counter = counter.clone();
        App::new()
            .wrap_fn(move |request, service| {
                let counted = counter.enter();
                let answer = service.call(request);
                async move {
                    let answer = answer.await;
                    drop(counted);
                    answer
                }
            })
            .configure(|app| login.configure(app))
    })
    .workers(1)
    .disable_signals()
    .h1_allow_half_closed(false)
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let server = actix_web::rt::spawn(server);
    let log_in = || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(LOGIN).unwrap();
        client
    };

    hasher.hold();
    let mut staying = log_in();
    until(|| pool.metrics().running == 1).await;
    let going = log_in();
    until(|| pool.metrics().queued == 1).await;
    drop(going);
    until(|| in_flight.count() == 1).await;
    let _ = hasher.take_work();
    hasher.release();

    let mut status = [0; 12];
    staying.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
    until(|| pool.metrics().skipped == 1).await;
    assert_eq!(hasher.take_work(), [HashWork::Verify { cost: 1 }]);
    handle.stop(false).await;
    server.await.unwrap().unwrap();
}

/// Waits for what nobody tells of.
async fn until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "in vain");
        yield_now().await;
    }
}

const LOGIN: &[u8] = b"POST /v1/login HTTP/1.1\r\nhost: a\r\n\
    content-type: application/x-www-form-urlencoded\r\ncontent-length: 21\r\n\r\n\
    username=a&password=b";

#[actix_web::test]
async fn a_handler_sees_only_bearers_of_good_tokens() {
    let guard = BearerGuard::new(Arc::new(FakeTokens::new()));
    let app = test::init_service(
        App::new()
            .app_data(guard)
            .route("/me", web::get().to(me))
            .route("/public", web::get().to(HttpResponse::Ok)),
    )
    .await;
    for (authorization, status, body) in [
        (None, 401, r#"{"detail":"Not authenticated"}"#),
        (Some("Basic x"), 401, r#"{"detail":"Not authenticated"}"#),
        (
            Some("Bearer"),
            401,
            r#"{"detail":"Could not validate credentials"}"#,
        ),
        (
            Some("Bearer bad"),
            401,
            r#"{"detail":"Could not validate credentials"}"#,
        ),
        (
            Some("Bearer out"),
            503,
            r#"{"detail":"Service Unavailable"}"#,
        ),
        (Some("bearer good"), 200, "ada"),
    ] {
        let mut request = test::TestRequest::with_uri("/me");
        if let Some(authorization) = authorization {
            request = request.insert_header(("authorization", authorization));
        }
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), status, "{authorization:?}");
        let challenge = response.headers().get("www-authenticate").cloned();
        assert_eq!(
            challenge.is_some_and(|value| value == "Bearer"),
            status == 401
        );
        assert_eq!(test::read_body(response).await, body);
    }
}

#[actix_web::test]
async fn a_handler_without_a_guard_is_500_and_lets_nobody_in() {
    let app = test::init_service(App::new().route("/me", web::get().to(me))).await;
    let request = test::TestRequest::with_uri("/me")
        .insert_header(("authorization", "Bearer good"))
        .to_request();
    assert_eq!(test::call_service(&app, request).await.status(), 500);
}

async fn me(bearer: Bearer) -> String {
    bearer.claims.sub.to_string()
}

async fn differences(
    case: &fastapi::Case,
    response: ServiceResponse<impl MessageBody>,
) -> Vec<String> {
    let status = response.status().as_u16();
    let headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let body = test::read_body(response).await;
    case.differences(&Answer {
        status,
        headers: &headers,
        body: &body,
    })
}
