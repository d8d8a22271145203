//! Where a service answers, how a body is read, and what becomes of logins whose client goes away.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use portcullis_core::adapter::{Found, Mount, Operation, RequestHead, Scheme};
use portcullis_core::cookie::TokenCookie;
use portcullis_core::endpoint::{Grant, LoginRequest};
use portcullis_core::gate::{GateDecision, LoginCandidate};
use portcullis_core::responder::{Reply, Rfc6749};
use portcullis_core::{Error, ErrorKind, LoginGate, Secret, async_trait};
use portcullis_testkit::{HashWork, ManualRuntime};

use crate::house::{ABROAD, House, LOGIN, cookie, header, headers, text};

/// A body that comes in pieces, and ends or does not.
struct Body {
    pieces: VecDeque<Result<Vec<u8>, ()>>,
    ends: bool,
    /// Dropped with it.
    _held: Option<Arc<()>>,
}

impl Body {
    fn of(text: &str) -> Self {
        Self::in_pieces([text])
    }

    fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            pieces: pieces.into_iter().map(|piece| Ok(piece.into())).collect(),
            ends: true,
            _held: None,
        }
    }
}

impl Stream for Body {
    type Item = Result<Vec<u8>, ()>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.pieces.pop_front() {
            None if !self.ends => Poll::Pending,
            piece => Poll::Ready(piece),
        }
    }
}

fn head<'a>(method: &'a str, target: &'a str) -> RequestHead<'a> {
    RequestHead::new(method, target.as_bytes())
        .with_headers([
            ("Content-Type", crate::house::FORM),
            ("host", b"login.example"),
        ])
        .with_remote_address(None, Some(SocketAddr::from((ABROAD, 1))))
}

async fn log_in(mount: &Mount, body: Body) -> Reply {
    let runtime = ManualRuntime::leak();
    mount
        .serve(Operation::Login, head("POST", "/v1/login"), body, runtime)
        .await
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn every_path_can_be_renamed_or_left_out() {
    use Operation::{ChangePassword, LogOut, Login, Refresh, Revoke};
    let house = House::new().await;
    let by_cookie = house.by_cookie();
    let endpoint = by_cookie.with_password_change(house.accounts(), house.guard());
    let paths = |mount: &Mount| -> Vec<_> { mount.paths().map(|(_, path)| path).collect() };

    let mount = Mount::new(endpoint.clone());
    assert_eq!(
        paths(&mount),
        ["/v1/login", "/v1/refresh", "/v1/logout", "/v1/password"]
    );
    assert_eq!(mount.path(Revoke), None);
    assert_eq!(
        Mount::from(house.in_body()).path(Revoke).as_deref(),
        Some("/v1/revoke")
    );

    let mount = mount
        .with_path(Login, "oauth/token")
        .with_path(Refresh, "/x")
        .without(Refresh)
        .without(LogOut)
        .with_path(LogOut, "/bye");
    assert_eq!(
        paths(&mount),
        ["/v1/oauth/token", "/v1/bye", "/v1/password"]
    );
    assert_eq!(
        (mount.path(Refresh), mount.path(ChangePassword).is_some()),
        (None, true)
    );

    for (prefix, path) in [
        ("/auth", "/auth/login"),
        ("auth", "/auth/login"),
        ("/auth/", "/auth/login"),
        ("/api/v1//", "/api/v1/login"),
        ("/", "/login"),
        ("", "/login"),
    ] {
        let mount = Mount::new(endpoint.clone()).with_prefix(prefix);
        assert_eq!(mount.path(Login).as_deref(), Some(path), "{prefix:?}");
    }
}

#[tokio::test]
async fn what_no_route_takes_is_answered_in_the_shape_of_the_service() {
    let house = House::new().await;
    let fastapi = Mount::new(house.by_cookie()).with_path(Operation::Login, "/oauth/token");
    let rfc = house.by_cookie().with_responder(Arc::new(Rfc6749::new()));
    for (mount, not_allowed, not_found) in [
        (
            fastapi,
            r#"{"detail":"Method Not Allowed"}"#,
            r#"{"detail":"Not Found"}"#,
        ),
        (
            Mount::new(rfc).with_path(Operation::Login, "/oauth/token"),
            r#"{"error":"invalid_request","error_description":"Method Not Allowed"}"#,
            r#"{"error":"invalid_request","error_description":"Not Found"}"#,
        ),
    ] {
        let mount = mount.with_scheme(Scheme::Https);
        let fallback = mount.fallback([("GET", "/v1/me"), ("POST", "/v1/me")]);
        let find = |method, target| match fallback.find(&head(method, target)) {
            Found::Reply(reply) => reply,
            Found::Path(path) => panic!("{path}"),
        };
        let reply = find("GET", "/v1/oauth/token");
        assert_eq!((reply.status(), text(&reply)), (405, not_allowed));
        assert_eq!(header(&reply, "allow"), Some("POST"));
        let reply = find("POST", "/v1/login");
        assert_eq!((reply.status(), text(&reply)), (404, not_found));
        let reply = find("POST", "/v1/refresh/?a=b");
        assert_eq!(reply.status(), 307);
        assert_eq!(
            header(&reply, "location"),
            Some("https://login.example/v1/refresh?a=b")
        );
        let other_spelling = fallback.find(&head("GET", "/v1%2Fme"));
        assert!(matches!(other_spelling, Found::Path("/v1/me")));

        let refused = fallback.refuse_method(&head("DELETE", "/v1/me")).unwrap();
        assert_eq!((refused.status(), text(&refused)), (405, not_allowed));
        assert!(fallback.refuse_method(&head("GET", "/elsewhere")).is_none());
        assert!(mount.is_for(Operation::Login, &head("POST", "/v1%2Foauth/token")));
        assert!(!mount.is_for(Operation::Login, &head("GET", "/v1/oauth/token")));
        assert!(!mount.is_for(Operation::Refresh, &head("POST", "/v1/oauth/token")));
    }
}

#[tokio::test]
async fn each_operation_is_served_by_post_alone() {
    let house = House::new().await;
    let runtime = ManualRuntime::leak();
    let mount = Mount::new(house.by_cookie());
    for (operation, path) in mount.paths() {
        for method in ["GET", "PUT", "post", "OPTIONS"] {
            let body = Body::of(LOGIN);
            let reply = mount
                .serve(operation, head(method, &path), body, runtime)
                .await;
            assert_eq!(
                (reply.status(), header(&reply, "allow")),
                (405, Some("POST"))
            );
        }
    }
    assert_eq!(house.hasher.take_work(), []);
}

#[tokio::test]
async fn a_login_sets_a_cookie_for_each_token_and_what_follows_reads_them() {
    let house = House::new().await;
    let endpoint = house.by_cookie();
    let cookies = TokenCookie::access_token();
    let mount = Mount::new(endpoint.with_access_cookie(cookies).unwrap());
    let reply = log_in(&mount, Body::of(LOGIN)).await;
    let set: Vec<_> = headers(&reply, "set-cookie").collect();
    assert_eq!(set.len(), 2, "{set:?}");
    let refresh = cookie(&reply, "refresh_token").unwrap();
    let access = cookie(&reply, "access_token").unwrap();
    assert_eq!(
        set,
        [
            format!("refresh_token={refresh}; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure"),
            format!("access_token={access}; Max-Age=900; HttpOnly; SameSite=Lax; Path=/; Secure"),
        ]
    );

    let runtime = ManualRuntime::leak();
    let sent = format!("access_token={access}; refresh_token={refresh}");
    let with_cookies = |path| head("POST", path).with_headers([("cookie", sent.as_bytes())]);
    for (operation, path, status) in [
        (Operation::Refresh, "/v1/refresh", 200),
        (Operation::LogOut, "/v1/logout", 204),
        (Operation::Refresh, "/v1/refresh", 401),
    ] {
        let reply = mount
            .serve(operation, with_cookies(path), Body::of(""), runtime)
            .await;
        assert_eq!(reply.status(), status);
        let set = headers(&reply, "set-cookie").count();
        assert_eq!(set, if status == 401 { 0 } else { 2 });
    }
}

#[tokio::test]
async fn a_body_is_read_in_pieces_up_to_the_limit() {
    let house = House::new().await;
    let mount = Mount::new(house.endpoint()).with_body_limit(LOGIN.len());
    let (one, two) = LOGIN.split_at(11);
    let longer = format!("{LOGIN}&");
    for (body, status) in [
        (Body::in_pieces([one, "", two]), 200),
        (Body::in_pieces([one, two, ""]), 200),
        (Body::in_pieces([LOGIN, "&"]), 413),
        (Body::of(&longer), 413),
        (Body::of(""), 422),
    ] {
        assert_eq!(log_in(&mount, body).await.status(), status);
    }
    // What is announced is not read.
    let mut body = Body::of("");
    body.ends = false;
    let announced = head("POST", "/v1/login").with_headers([("content-length", b"31".as_slice())]);
    let runtime = ManualRuntime::leak();
    let reply = mount
        .serve(Operation::Login, announced, body, runtime)
        .await;
    assert_eq!(reply.status(), 413);
    let mut body = Body::of(LOGIN);
    body.pieces.push_back(Err(()));
    let reply = log_in(&mount, body).await;
    assert_eq!(reply.status(), 400);
    assert_eq!(
        text(&reply),
        r#"{"detail":"There was an error parsing the body"}"#
    );
    assert_eq!(header(&reply, "cache-control"), Some("no-store"));
}

#[tokio::test]
async fn all_bodies_share_what_they_may_take_and_no_login_is_refused_for_it() {
    let house = House::new().await;
    let endpoint = house.endpoint();
    let runtime = ManualRuntime::leak();
    let long = "x".repeat(1 << 20);
    // Of two mounts of one endpoint, as an application has that makes one on each of its threads.
    let mounts = [(); 2].map(|()| Mount::new(endpoint.clone()).with_bodies_limit(5 << 20));
    let never_ends = || {
        let mut body = Body::of(&long);
        body.ends = false;
        body
    };
    let mut waiting = Vec::new();
    for n in 0..100 {
        let head = head("POST", "/v1/login");
        let request = mounts[n % 2].serve(Operation::Login, head, never_ends(), runtime);
        let mut request = Box::pin(request);
        match poll_once(request.as_mut()) {
            Poll::Pending => waiting.push(request),
            Poll::Ready(reply) => {
                assert_eq!(reply.status(), 503);
                assert_eq!(header(&reply, "retry-after"), Some("1"));
            }
        }
    }
    assert_eq!(waiting.len(), 4);
    // Another's login goes on, up to 64 KiB.
    let padded = format!("{LOGIN}&padding={}", "x".repeat(60_000));
    for body in [Body::of(LOGIN), Body::of(&padded)] {
        assert_eq!(log_in(&mounts[0], body).await.status(), 200);
    }
    // What is no longer read takes nothing.
    runtime.advance(Duration::from_secs(10));
    for mut request in waiting {
        let Poll::Ready(reply) = poll_once(request.as_mut()) else {
            panic!("it goes on");
        };
        assert_eq!(reply.status(), 408);
    }
    let head = head("POST", "/v1/login");
    let mut again = Box::pin(mounts[0].serve(Operation::Login, head, never_ends(), runtime));
    assert!(poll_once(again.as_mut()).is_pending());
}

/// While a password waits to be hashed, all that is held of a form is what it is good for.
#[tokio::test]
async fn of_a_field_no_more_is_held_than_can_be_used() {
    let house = House::new().await;
    let endpoint = house.endpoint();
    let long = "x".repeat(1_000_000);
    let fields = [
        "username",
        "password",
        "scope",
        "client_id",
        "client_secret",
    ];
    let body: Vec<_> = fields.iter().map(|name| format!("{name}={long}")).collect();
    let grant = endpoint.read(Some(crate::house::FORM), body.join("&").as_bytes());
    let Grant::Password(grant) = grant.unwrap() else {
        panic!("it is no password grant");
    };
    let held = grant.username().as_str().len()
        + grant.password().expose().len()
        + grant.scope().len()
        + grant.client_id().map_or(0, str::len)
        + grant
            .client_secret()
            .map_or(0, |secret| secret.expose().len());
    assert!(held <= 5 * 4_097, "{held}");

    // They are like nobody's, and no other's: neither cut nor left out.
    let _ = house.observer.take();
    let full = "a".repeat(4_096);
    for (username, password, scope, status, reason) in [
        (
            &*format!("ada{long}"),
            "right",
            "",
            401,
            Some("refused: unknown_user"),
        ),
        (
            "ada",
            &*format!("right{long}"),
            "",
            401,
            Some("refused: wrong_password"),
        ),
        (&full, "right", "", 401, Some("refused: unknown_user")),
        ("ada", "right", &*format!("read {full}"), 200, None),
    ] {
        let body = format!("username={username}&password={password}&scope={scope}");
        let request = LoginRequest::new(Some(crate::house::FORM), body.as_bytes());
        let outcome = endpoint.login(request).await;
        match (&outcome, reason) {
            (_, Some(reason)) => assert_eq!(house.observer.take_names(), [reason]),
            (Ok(login), None) => assert!(login.scopes.is_empty()),
            (Err(refusal), None) => panic!("{refusal}"),
        }
        assert_eq!(endpoint.render(outcome).status(), status);
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_408_after_the_deadline() {
    let house = House::new().await;
    for (mount, deadline) in [
        (Mount::new(house.endpoint()), 10),
        (
            Mount::new(house.endpoint()).with_body_deadline(Duration::from_secs(3)),
            3,
        ),
    ] {
        let runtime = ManualRuntime::leak();
        let mut body = Body::of(LOGIN);
        body.ends = false;
        let head = head("POST", "/v1/login");
        let mut login = pin!(mount.serve(Operation::Login, head, body, runtime));
        assert!(poll_once(login.as_mut()).is_pending());
        runtime.advance(Duration::from_millis(deadline * 1000 - 1));
        assert!(poll_once(login.as_mut()).is_pending());
        runtime.advance(Duration::from_millis(1));
        let Poll::Ready(reply) = poll_once(login.as_mut()) else {
            panic!("it still waits");
        };
        assert_eq!(
            (reply.status(), text(&reply)),
            (408, r#"{"detail":"Request Timeout"}"#)
        );
        assert_eq!(runtime.tasks(), 0);
    }
    assert_eq!(house.hasher.take_work(), []);
}

#[tokio::test]
async fn where_many_bodies_never_end_the_others_have_a_second() {
    let house = House::new().await;
    let runtime = ManualRuntime::leak();
    let mount = Mount::new(house.endpoint());
    let mut waiting: Vec<_> = (0..257)
        .map(|_| {
            let mut body = Body::of("username=ada");
            body.ends = false;
            let head = head("POST", "/v1/login");
            Box::pin(mount.serve(Operation::Login, head, body, runtime))
        })
        .collect();
    for request in &mut waiting {
        assert!(poll_once(request.as_mut()).is_pending());
    }
    runtime.advance(Duration::from_secs(1));
    let mut waiting = waiting.into_iter();
    let over = |mut request| poll_once(Pin::as_mut(&mut request)).is_ready();
    assert!(over(waiting.next_back().unwrap()));
    assert!(!over(waiting.next_back().unwrap()));
}

#[tokio::test]
async fn a_body_is_freed_before_its_password_is_hashed() {
    let house = House::new().await;
    let mount = Mount::new(house.endpoint());
    let held = Arc::new(());
    let mut body = Body::of(LOGIN);
    body._held = Some(held.clone());
    house.hasher.hold();
    let runtime = ManualRuntime::leak();
    let mut login = pin!(mount.serve(Operation::Login, head("POST", "/v1/login"), body, runtime));
    assert!(poll_once(login.as_mut()).is_pending());
    house.hasher.wait_for_work();
    assert_eq!(Arc::strong_count(&held), 1);
    house.hasher.release();
    assert_eq!(login.await.status(), 200);
}

/// Begins a login and drops it once `when` has returned; then lets the runtime finish.
async fn abandon(house: &House, mount: &Mount, password: &str, when: impl Fn()) {
    let runtime = ManualRuntime::leak();
    {
        let body = Body::of(&format!("username=ada&password={password}"));
        let head = head("POST", "/v1/login");
        let mut login = pin!(mount.serve(Operation::Login, head, body, runtime));
        assert!(poll_once(login.as_mut()).is_pending());
        when();
    }
    assert_eq!(runtime.tasks(), 1);
    house.hasher.release();
    runtime.run().await;
}

#[tokio::test]
async fn a_login_whose_client_goes_away_before_it_is_hashed_is_not_hashed_and_not_counted() {
    let house = House::new().await;
    let mount = Mount::new(house.endpoint());
    for password in ["right", "wrong"].repeat(5) {
        // The only thread is at something else.
        house.hasher.hold();
        let mut other = pin!(house.pool.hash(Secret::from("other".to_owned())));
        assert!(poll_once(other.as_mut()).is_pending());
        house.hasher.wait_for_work();
        abandon(&house, &mount, password, || {}).await;
        other.await.unwrap();
        assert_eq!(house.hasher.take_work(), [HashWork::Hash { cost: 1 }]);
    }
    assert!(house.observer.take().is_empty());
    assert!(
        !house
            .faults
            .take_calls()
            .contains(&"tokens.insert".to_owned())
    );
    assert_eq!(log_in(&mount, Body::of(LOGIN)).await.status(), 200);
}

#[tokio::test]
async fn a_login_that_panics_is_not_begun_again() {
    /// Has a fault.
    #[derive(Debug)]
    struct Faulty;

    #[async_trait]
    impl LoginGate for Faulty {
        async fn decide(&self, _: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
            panic!("a fault of the application")
        }
    }

    let house = House::new().await;
    let mount = Mount::new(house.endpoint().with_gate(Arc::new(Faulty)));
    let runtime = ManualRuntime::leak();
    let served = tokio::spawn(async move {
        let head = head("POST", "/v1/login").with_headers([("content-type", crate::house::FORM)]);
        mount
            .serve(Operation::Login, head, Body::of(LOGIN), runtime)
            .await
    });
    assert!(served.await.unwrap_err().is_panic());
    assert_eq!(runtime.tasks(), 0);
}

#[tokio::test]
async fn a_login_whose_client_goes_away_while_it_is_hashed_counts_as_it_ended() {
    let house = House::new().await;
    let mount = Mount::new(house.endpoint());
    let being_hashed = || house.hasher.wait_for_work();
    for (password, refused) in [("right", false), ("wrong", true)] {
        for _ in 0..5 {
            house.hasher.hold();
            abandon(&house, &mount, password, being_hashed).await;
            assert_eq!(house.hasher.take_work(), [HashWork::Verify { cost: 1 }]);
            let heard: &[&str] = if refused {
                &["refused: wrong_password"]
            } else {
                &[]
            };
            assert_eq!(house.observer.take_names(), heard);
        }
    }
    assert!(
        !house
            .faults
            .take_calls()
            .contains(&"tokens.insert".to_owned())
    );
    assert_eq!(log_in(&mount, Body::of(LOGIN)).await.status(), 429);
}

#[test]
fn an_app_finds_out_whether_another_route_answers_in_place_of_the_login() {
    assert!(Mount::check_answer("/v1/login", 422, Some(b"no-store")).is_ok());
    for other in [None, Some(b"max-age=60".as_slice())] {
        let error = Mount::check_answer("/v1/login", 404, other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(
            error
                .message()
                .contains("`POST /v1/login` was answered with 404")
        );
    }
}
