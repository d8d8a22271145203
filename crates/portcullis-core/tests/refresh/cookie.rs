//! Which cookies are set, and which no browser would take.

use portcullis_core::cookie::{SameSite, TokenCookie};
use portcullis_core::{ErrorKind, RefreshTransport};

use crate::rig::*;

#[tokio::test]
async fn the_cookie_is_set_as_it_was_said() {
    let mut said = TokenCookie::refresh_token();
    said.secure = false;
    said.same_site = SameSite::Lax;
    said.path = Some("/auth".to_owned());
    let transport = RefreshTransport::Cookie(said);
    let endpoint = Site::new().endpoint_by(transport).await.unwrap();
    let reply = login(&endpoint, LOGIN).await;
    assert!(
        cookie(
            &reply,
            "; Max-Age=2592000; HttpOnly; SameSite=Lax; Path=/auth"
        )
        .is_some()
    );
}

#[tokio::test]
async fn a_cookie_that_no_browser_would_take_is_refused() {
    let site = Site::new();
    let endpoint = site.endpoint().await.unwrap();
    let refusal = |cookie: TokenCookie| {
        let transport = RefreshTransport::Cookie(cookie.clone());
        let set = endpoint
            .clone()
            .with_refresh_tokens(site.tokens.clone(), transport);
        let refused = set.err().map(|error| error.kind());
        // The cookie of access tokens is as any other.
        let set = endpoint.clone().with_access_cookie(cookie);
        assert_eq!(set.err().map(|error| error.kind()), refused);
        refused
    };
    let set = |secure, same_site, path: Option<&str>| {
        let mut cookie = TokenCookie::refresh_token();
        (cookie.secure, cookie.same_site) = (secure, same_site);
        cookie.path = path.map(str::to_owned);
        refusal(cookie)
    };
    assert_eq!(set(true, SameSite::None, Some("/a/b")), None);
    assert_eq!(set(false, SameSite::Strict, None), None);
    let refused = Some(ErrorKind::InvalidConfig);
    assert_eq!(set(false, SameSite::None, None), refused);
    for path in ["", "a", "/a b", "/a;Domain=b", "/\r\nx: y", "/é"] {
        assert_eq!(set(true, SameSite::Strict, Some(path)), refused, "{path:?}");
    }

    for (name, secure, path, is_good) in [
        ("__Host-refresh", true, Some("/"), true),
        ("__host-refresh", true, Some("/"), true),
        ("__Host-refresh", true, None, false),
        ("__HOST-refresh", true, Some("/v1"), false),
        ("__Host-refresh", false, Some("/"), false),
        ("__Secure-refresh", true, None, true),
        ("__Secure-refresh", false, None, false),
        ("", true, None, false),
        ("a b", true, None, false),
        ("a=b", true, None, false),
        ("a;b", true, None, false),
        ("a\r\nb", true, None, false),
        ("é", true, None, false),
    ] {
        let mut cookie = TokenCookie::refresh_token();
        (cookie.name, cookie.secure) = (name.to_owned(), secure);
        cookie.path = path.map(str::to_owned);
        let expected = (!is_good).then_some(ErrorKind::InvalidConfig);
        assert_eq!(refusal(cookie), expected, "{name:?} {path:?}");
    }
}
