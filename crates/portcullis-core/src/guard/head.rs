//! What the head of a request tells the guard.

use std::borrow::Cow;

use crate::adapter::RequestHead;

/// Takes the token out of an `Authorization` header, exactly as the `OAuth2PasswordBearer` of
/// FastAPI 0.165.0 does; `None` is its "Not authenticated".
///
/// The scheme is what stands before the first space, and the token all that follows, trimmed:
/// `Bearer` alone has the empty token, which no verifier accepts. Header bytes are Latin-1.
///
/// ```
/// use portcullis_core::guard::bearer_token;
///
/// assert_eq!(bearer_token(Some(b"bearer  a.b.c")).as_deref(), Some("a.b.c"));
/// assert_eq!(bearer_token(Some(b"Bearer")).as_deref(), Some(""));
/// assert_eq!(bearer_token(Some(b"Basic YTpi")), None);
/// assert_eq!(bearer_token(None), None);
/// ```
#[must_use]
pub fn bearer_token(authorization: Option<&[u8]>) -> Option<Cow<'_, str>> {
    token_after("Bearer", authorization)
}

pub(super) fn token_after<'a>(
    scheme: &str,
    authorization: Option<&'a [u8]>,
) -> Option<Cow<'a, str>> {
    let mut parts = authorization?.splitn(2, |&byte| byte == b' ');
    // No other Latin-1 letter becomes an ASCII one in lower case, as Python has it.
    if !parts.next()?.eq_ignore_ascii_case(scheme.as_bytes()) {
        return None;
    }
    let mut token = parts.next().unwrap_or_default();
    while let [byte, rest @ ..] = token
        && is_space(*byte)
    {
        token = rest;
    }
    while let [rest @ .., byte] = token
        && is_space(*byte)
    {
        token = rest;
    }
    Some(match str::from_utf8(token) {
        Ok(ascii) if ascii.is_ascii() => Cow::from(ascii),
        _ => token.iter().copied().map(char::from).collect(),
    })
}

/// What Python's `str.strip` takes away, of Latin-1. Unlike Rust, it counts the separators
/// U+001C to U+001F.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1C..=b' ' | 0x85 | 0xA0)
}

/// Whether a request that changes something shows that another site has triggered it.
pub(super) fn is_from_another_site(head: &RequestHead<'_>) -> bool {
    // RFC 9110 §9.2.1.
    if matches!(head.method(), "GET" | "HEAD" | "OPTIONS" | "TRACE") {
        return false;
    }
    if let Some(site) = head.header("sec-fetch-site") {
        return !matches!(site, b"same-origin" | b"same-site" | b"none");
    }
    // Browsers without Fetch Metadata send the origin with what they post.
    let Some(origin) = head.header("origin") else {
        return false;
    };
    let host = head.host().unwrap_or_default();
    let authority = origin
        .windows(3)
        .position(|window| window == b"://")
        .map(|at| &origin[at + 3..]);
    !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}
