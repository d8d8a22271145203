//! FastAPI's routing rules, on recorded and generated request lines.

use std::net::{Ipv6Addr, SocketAddr};

use portcullis_core::adapter::{Origin, Route, Routes, Scheme};
use portcullis_testkit::fastapi;
use proptest::prelude::*;

fn routes() -> Routes {
    Routes::new([("POST", "/v1/login"), ("GET", "/v1/me")])
}

fn find(method: &str, target: &str) -> Route {
    let origin = Origin::new(Scheme::Http, Some(b"testserver"), None);
    routes().find(method, target.as_bytes(), &origin)
}

#[test]
fn recorded_answers_are_met() {
    let mut seen = 0;
    for case in fastapi::cases() {
        if !matches!(case.group.as_str(), "route" | "me") {
            continue;
        }
        let header = |name: &str| case.expect.headers[name].clone();
        let expected = match case.expect.status {
            307 => Route::Redirect {
                location: header("location"),
            },
            404 => Route::NotFound,
            405 => Route::MethodNotAllowed {
                allow: header("allow"),
            },
            _ => Route::Matched(usize::from(case.path == "/v1/me")),
        };
        assert_eq!(find(&case.method, &case.path), expected, "{}", case.id);
        seen += 1;
    }
    assert_eq!(seen, 31);
}

#[track_caller]
fn check_redirect(target: &str, host: &[u8], location: &str) {
    let local_addr = SocketAddr::from((Ipv6Addr::LOCALHOST, 8000));
    let origin = Origin::new(Scheme::Https, Some(host), Some(local_addr));
    assert_eq!(
        routes().find("POST", target.as_bytes(), &origin),
        Route::Redirect {
            location: location.to_owned()
        }
    );
}

#[test]
fn a_redirect_keeps_the_host_and_the_query() {
    check_redirect("/v1/login/", b"H:081", "https://H:081/v1/login");
    check_redirect("/v1/login/?", b"h", "https://h/v1/login");
    check_redirect("/v1/login//?a=/%2f?#", b"h", "https://h/v1/login?a=/%2f?#");
    check_redirect(
        "/v1/me%2F?\"<>\\",
        b"[::1]",
        "https://[::1]/v1/me?%22%3C%3E%5C",
    );
    check_redirect(
        "/v1/me/?`{|}^",
        b"[v1.a:b]:1",
        "https://[v1.a:b]:1/v1/me?%60%7B%7C%7D%5E",
    );
}

#[test]
fn a_malformed_host_is_replaced_by_the_listening_address() {
    for host in [
        "",
        ":1",
        "h:",
        "h:65536",
        "h:+1",
        "h:1:2",
        "a b",
        "a/b",
        "a@b",
        "a\r\nb",
        "ü",
        "[1::2::3]",
        "[::1",
        "[::1]1",
        "[V1.a]",
        "[v1.]",
        "[127.0.0.1]",
        "[fe80::1%1]",
    ] {
        check_redirect("/v1/me/", host.as_bytes(), "https://[::1]:8000/v1/me");
    }
}

#[test]
fn the_default_port_is_not_named_and_no_address_makes_a_relative_redirect() {
    let location = |scheme, local_addr: Option<&str>| {
        let local_addr = local_addr.map(|addr| addr.parse().unwrap());
        match routes().find("GET", b"/v1/me/", &Origin::new(scheme, None, local_addr)) {
            Route::Redirect { location } => location,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        location(Scheme::Http, Some("127.0.0.1:80")),
        "http://127.0.0.1/v1/me"
    );
    assert_eq!(
        location(Scheme::Http, Some("127.0.0.1:443")),
        "http://127.0.0.1:443/v1/me"
    );
    assert_eq!(
        location(Scheme::Https, Some("[::1]:443")),
        "https://[::1]/v1/me"
    );
    assert_eq!(location(Scheme::Https, None), "/v1/me");
}

#[test]
fn paths_are_decoded_once_and_compared_exactly() {
    for target in [
        "/v1/%6C%6fgin",
        "/v1%2Flogin",
        "/v1/login%0A",
        "/v1/login?/x",
    ] {
        assert_eq!(find("POST", target), Route::Matched(0), "{target}");
    }
    for target in [
        "",
        "?",
        "/",
        "//",
        "*",
        "/v1/logi%256E",
        "/v1/login%",
        "/v1/login%0",
        "/v1/login%0D",
        "/v1/login%0A%0A",
        "/v1/login%FF",
        "http://testserver/v1/login",
        "/v1/login/#",
        "/v1/./login",
        "//v1/login/",
    ] {
        assert_eq!(find("POST", target), Route::NotFound, "{target}");
    }
}

#[test]
fn one_path_may_have_several_methods_and_may_end_in_a_slash() {
    let routes = Routes::new([("POST", "/a/"), ("GET", "/a/"), ("GET", "/ü ?")]);
    let find = |method, target: &str| {
        let origin = Origin::new(Scheme::Http, None, None);
        routes.find(method, target.as_bytes(), &origin)
    };
    let redirect = |location: &str| Route::Redirect {
        location: location.to_owned(),
    };
    let allow = "GET, POST".to_owned();
    assert_eq!(find("GET", "/a/"), Route::Matched(1));
    assert_eq!(find("PUT", "/a/"), Route::MethodNotAllowed { allow });
    assert_eq!(find("PUT", "/a"), redirect("/a/"));
    assert_eq!(find("GET", "/%C3%BC%20%3F/?b"), redirect("/%C3%BC%20%3F?b"));
}

proptest! {
    #[test]
    fn any_request_line_has_a_route(
        method in ".*",
        target in proptest::collection::vec(any::<u8>(), 0..40),
        host in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..10)),
    ) {
        let origin = Origin::new(Scheme::Http, host.as_deref(), None);
        let _ = routes().find(&method, &target, &origin);
    }

    #[test]
    fn a_location_is_printable_ascii(
        query in proptest::collection::vec(any::<u8>(), 0..40),
        host in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let target = [b"/v1/login%0A/?", query.as_slice()].concat();
        let origin = Origin::new(Scheme::Http, Some(&host), None);
        let Route::Redirect { location } = routes().find("POST", &target, &origin) else {
            return Err(TestCaseError::fail("no redirect"));
        };
        prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location:?}");
    }
}
