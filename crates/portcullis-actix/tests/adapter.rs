//! The adapter inside apps that have ideas of their own. What holds for every framework is in
//! `conformance.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::num::NonZeroUsize;
use std::sync::Arc;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderValue};
use actix_web::middleware::{ErrorHandlerResponse, ErrorHandlers};
use actix_web::web::{self, FormConfig, JsonConfig, PayloadConfig};
use actix_web::{App, HttpResponse, error, test};
use portcullis_actix::{Bearer, BearerOf, BearerRejection, LoginRoutes, TrustedProxies};
use portcullis_core::Throttle;
use portcullis_core::adapter::{Mount, Operation};
use portcullis_core::guard::{BearerRefusal, GuardOf};
use portcullis_core::memory::MemoryThrottleStore;
use portcullis_testkit::{fastapi, signed_in};

#[actix_web::test]
async fn nothing_that_an_app_says_of_bodies_holds_for_the_login() {
    let login = login().await;
    let teapot = || error::InternalError::from_response("", HttpResponse::ImATeapot().finish());
    let app = test::init_service(
        App::new()
            .app_data(FormConfig::default().limit(1))
            .app_data(PayloadConfig::new(1))
            .app_data(JsonConfig::default().error_handler(move |_, _| teapot().into()))
            .wrap(
                ErrorHandlers::new().handler(StatusCode::IM_A_TEAPOT, |response| {
                    let response = response.map_into_left_body();
                    Ok(ErrorHandlerResponse::Response(response))
                }),
            )
            .default_service(web::to(HttpResponse::ImATeapot))
            .configure(|app| login.configure(app)),
    )
    .await;
    let response = test::call_service(&app, form("/v1/login", RIGHT).to_request()).await;
    assert_eq!(response.status(), 200);
}

#[actix_web::test]
async fn no_spelling_of_a_path_avoids_what_the_app_wrapped_around_the_login() {
    let login = login().await;
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
        for path in ["/v1/login", "/v1/%6Cogin", "/v1%2Flogin", "/v1%2flogin%0a"] {
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
async fn a_scope_that_swallows_the_login_is_found() {
    let login = login().await;
    let path = login.mount().path(Operation::Login).unwrap();
    let ask = async |app| {
        let app = test::init_service(app).await;
        let request = test::TestRequest::post().uri(&path).to_request();
        let response = test::call_service(&app, request).await;
        let cache_control = response.headers().get("cache-control");
        let cache_control = cache_control.map(HeaderValue::as_bytes);
        Mount::check_answer(&path, response.status().as_u16(), cache_control)
    };
    let scope = || web::scope("/v1").route("/me", web::get().to(HttpResponse::Ok));
    let first = App::new().configure(|app| login.configure(app));
    assert!(ask(first.service(scope())).await.is_ok());
    let last = App::new().service(scope());
    let error = ask(last.configure(|app| login.configure(app)))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("POST /v1/login"), "{error}");
}

#[actix_web::test]
async fn inside_a_scope_the_prefix_is_what_comes_after_it() {
    let mount = Mount::new(fastapi::endpoint().await.unwrap()).with_prefix("");
    let login = LoginRoutes::new(mount);
    let scope = web::scope("/auth").configure(|scope| login.configure(scope));
    let app = test::init_service(App::new().service(scope)).await;
    let response = test::call_service(&app, form("/auth/login", RIGHT).to_request()).await;
    assert_eq!(response.status(), 200);
}

#[actix_web::test]
async fn a_guard_is_found_by_itself_and_in_data() {
    let (guard, authorization) = signed_in::<&str>("ada", []);
    let me = || web::get().to(async |bearer: Bearer| bearer.claims.sub.to_string());
    let app = App::new().route("/me", me());
    let with_guard = test::init_service(app.app_data(guard.clone())).await;
    let app = App::new().route("/me", me());
    let with_data = test::init_service(app.app_data(web::Data::new(guard))).await;
    for app in [with_guard, with_data] {
        let request = test::TestRequest::with_uri("/me")
            .insert_header(("authorization", authorization.as_str()))
            .to_request();
        assert_eq!(test::call_and_read_body(&app, request).await, "ada");
    }
}

#[actix_web::test]
async fn a_handler_without_a_guard_is_500_and_the_error_says_what_to_do() {
    let me = web::get().to(async |_: Bearer| "somebody");
    let app = test::init_service(App::new().route("/me", me)).await;
    let request = test::TestRequest::with_uri("/me")
        .insert_header(("authorization", "Bearer good"))
        .to_request();
    let response = test::call_service(&app, request).await;
    assert_eq!(response.status(), 500);
    let BearerRefusal::Failed(error) = refusal(&response) else {
        panic!("{:?}", refusal(&response));
    };
    let advice = error.to_string();
    assert!(advice.contains("`app_data(guard)`"), "{advice}");
    assert!(
        advice.contains("`app_data(web::Data::new(guard))`"),
        "{advice}"
    );
    assert!(!format!("{:?}", test::read_body(response).await).contains("app_data"));
}

#[actix_web::test]
async fn a_middleware_can_find_out_why_a_request_was_refused() {
    let (guard, authorization) = signed_in("ada", ["read"]);
    let write = async |bearer: Bearer| -> actix_web::Result<&'static str> {
        bearer.require("write")?;
        Ok("written")
    };
    let app = App::new().app_data(guard).route("/", web::get().to(write));
    let app = test::init_service(app).await;
    let request = test::TestRequest::default().insert_header(("authorization", authorization));
    let response = test::call_service(&app, request.to_request()).await;
    assert_eq!(response.status(), 403);
    assert!(matches!(
        refusal(&response),
        BearerRefusal::InsufficientScope { scope } if scope == "write"
    ));
    let response = test::call_service(&app, test::TestRequest::default().to_request()).await;
    assert!(matches!(
        refusal(&response),
        BearerRefusal::NotAuthenticated
    ));
}

fn refusal(response: &ServiceResponse<impl Sized>) -> &BearerRefusal {
    let error = response.response().error().unwrap();
    error.as_error::<BearerRejection>().unwrap().refusal()
}

#[actix_web::test]
async fn two_kinds_of_users_have_a_guard_each() {
    enum Staff {}
    let (customers, customer) = signed_in::<&str>("ada", []);
    let (staff, member) = signed_in::<&str>("grace", []);
    let app = App::new()
        .app_data(customers)
        .app_data(web::Data::new(GuardOf::<Staff>::new(staff)))
        .route("/order", web::get().to(async |_: Bearer| "ordered"))
        .route(
            "/refund",
            web::get().to(async |_: BearerOf<Staff>| "refunded"),
        );
    let app = test::init_service(app).await;
    for (path, authorization, status) in [
        ("/order", &customer, 200),
        ("/order", &member, 401),
        ("/refund", &customer, 401),
        ("/refund", &member, 200),
    ] {
        let request = test::TestRequest::with_uri(path)
            .insert_header(("authorization", authorization.as_str()))
            .to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), status, "{path}");
    }
}

#[actix_web::test]
async fn behind_proxies_a_client_is_where_the_last_of_them_says() {
    let throttle = Throttle::new(Arc::new(MemoryThrottleStore::new()));
    let endpoint = fastapi::endpoint().await.unwrap().with_throttle(throttle);
    let login = LoginRoutes::new(endpoint);
    let app = App::new()
        .wrap(TrustedProxies::new(NonZeroUsize::MIN))
        .configure(|app| login.configure(app));
    let app = test::init_service(app).await;
    let log_in = async |forwarded: &[&str], body: &'static str| {
        let mut request = form("/v1/login", body).peer_addr(([10, 0, 0, 1], 9).into());
        for value in forwarded {
            request = request.append_header(("x-forwarded-for", *value));
        }
        test::call_service(&app, request.to_request())
            .await
            .status()
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

async fn login() -> LoginRoutes {
    LoginRoutes::new(fastapi::endpoint().await.unwrap())
}

fn form(path: &str, body: &'static str) -> test::TestRequest {
    test::TestRequest::post()
        .uri(path)
        .insert_header(ContentType::form_url_encoded())
        .set_payload(body)
}

const RIGHT: &str = "username=ada%40example.com&password=correct+horse+battery+staple";

const WRONG: &str = "username=ada%40example.com&password=wrong";
