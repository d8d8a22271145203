//! Every parser that reads what a stranger, or an operator's typing error, has written.
//!
//! `PORTCULLIS_FUZZ` names the one to run, and without it the names are printed: `scripts/fuzz` runs
//! each for some seconds. A further parser is a line of `PARSERS`, a function, and some seeds.
#![no_main]

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;
use portcullis_core::adapter::{Fallback, Mount, RemoteAddress, RequestHead};
use portcullis_core::cookie::TokenCookie;
use portcullis_core::device::DeviceCookies;
use portcullis_core::endpoint::{GrantTypePolicy, PasswordGrant, TokenRefusal};
use portcullis_core::form::FormData;
use portcullis_core::guard::bearer_token;
use portcullis_core::memory::{MemoryCredentialStore, MemoryRefreshStore};
use portcullis_core::password::{
    Arena, Argon2Limits, Argon2Params, BcryptScheme, MigratingHasher, PasswordHash, PasswordHasher,
    Pbkdf2Scheme, ScryptLimits, ScryptScheme,
};
use portcullis_core::{
    AccessTokenPolicy, Argon2idHasher, Authenticator, BearerGuard, ErrorKind, HashPool,
    RefreshTokens, RefreshTransport, Secret, TokenEndpoint, TokenVerifier, Username,
};
use portcullis_jwt::{JwtIssuer, JwtVerifier, SigningKey};
use sha2::Sha256;

/// The names are those of the directories of seeds.
const PARSERS: &[(&str, fn(&[u8]))] = &[
    ("authorization", authorization),
    ("cookies", cookies),
    ("form", form),
    ("forwarded", forwarded),
    ("hash", hash),
    ("head", head),
    ("jwt", jwt),
    #[cfg(feature = "stores")]
    ("store_url", store_url),
];

static PARSER: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("PORTCULLIS_FUZZ").unwrap_or_default();
    match PARSERS.iter().find(|(name, _)| *name == wanted) {
        Some((_, parser)) => *parser,
        None => {
            for (name, _) in PARSERS {
                println!("{name}");
            }
            std::process::exit(0)
        }
    }
});

fuzz_target!(init: { LazyLock::force(&PARSER); }, |data: &[u8]| PARSER(data));

const KEY: &[u8] = b"0123456789abcdefghijklmnopqrstuv";

struct Site {
    mount: Mount,
    fallback: Fallback,
    verifier: JwtVerifier,
    guard: BearerGuard,
    devices: DeviceCookies,
}

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let params = Argon2Params::danger_below_owasp(8, 1, 1).unwrap();
    let pool = HashPool::inline(Arc::new(Argon2idHasher::new(params)));
    let authenticator = Authenticator::new(Arc::new(MemoryCredentialStore::new()), pool).unwrap();
    let policy = AccessTokenPolicy::new("https://login.example", "https://api.example");
    let issuer = JwtIssuer::new(policy, SigningKey::from_hs256_secret(KEY).unwrap());
    let verifier = issuer.verifier();
    let cookie = RefreshTransport::Cookie(TokenCookie::refresh_token());
    let refresh = RefreshTokens::new(Arc::new(MemoryRefreshStore::new()));
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(issuer))
        .with_refresh_tokens(refresh, cookie)
        .unwrap();
    let mount = Mount::new(endpoint);
    Site {
        fallback: mount.fallback([("GET", "/v1/me")]),
        mount,
        guard: BearerGuard::new(Arc::new(verifier.clone())).with_cookie("access_token"),
        verifier,
        devices: DeviceCookies::new(&Secret::from("0123456789abcdefghijklmnopqrstuv".to_owned()))
            .unwrap(),
    }
});

fn authorization(data: &[u8]) {
    let _ = bearer_token(Some(data));
    assert!(block_on(SITE.guard.check(Some(data))).is_err());
}

fn cookies(data: &[u8]) {
    let values = || data.split(|byte| *byte == b'\n');
    let endpoint = SITE.mount.endpoint();
    let refused = block_on(endpoint.refresh(values(), None)).map(drop);
    assert!(matches!(
        refused,
        Err(TokenRefusal::BadRefreshToken
            | TokenRefusal::NoRefreshToken
            | TokenRefusal::TooManyTokens)
    ));
    let left = block_on(endpoint.log_out(values(), None));
    assert!(matches!(left, Ok(()) | Err(TokenRefusal::TooManyTokens)));
    assert!(SITE.devices.find(&Username::new("ada"), values()).is_none());
}

/// The first byte says how much is arbitrary: left to itself a fuzzer never writes a content type that
/// is parsed.
fn form(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    let (text, body) = match rest.iter().position(|&byte| byte == 0) {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (&[][..], rest),
    };
    let content_type = match kind % 4 {
        0 => text.to_vec(),
        1 => b"application/x-www-form-urlencoded".to_vec(),
        2 => [b"multipart/form-data; boundary=", text].concat(),
        _ => b"multipart/form-data; boundary=b".to_vec(),
    };
    if let Ok(form) = FormData::parse(Some(&content_type), body) {
        let _ = PasswordGrant::from_form(&form, GrantTypePolicy::Optional);
    }
}

fn forwarded(data: &[u8]) {
    let Some((&proxies, rest)) = data.split_first() else {
        return;
    };
    let proxies = NonZeroUsize::MIN.saturating_add((proxies % 4).into());
    let values: Vec<_> = rest.split(|byte| *byte == b'\n').collect();
    let _ = RemoteAddress::forwarded(values.iter().copied(), proxies);
    // What a proxy of one's own has added is believed, whatever came before.
    let values = values.iter().copied().chain([&b"192.0.2.1"[..]]);
    let address = RemoteAddress::forwarded(values, NonZeroUsize::MIN);
    assert_eq!(address, Some(RemoteAddress([192, 0, 2, 1].into())));
}

static HASHER: LazyLock<MigratingHasher> = LazyLock::new(|| {
    // Low enough that each is checked at once.
    let mut argon2 = Argon2Limits::default();
    (argon2.memory_kib, argon2.iterations, argon2.lanes) = (128, 2, 2);
    let mut scrypt = ScryptLimits::default();
    (scrypt.memory_kib, scrypt.parallelization) = (64, 2);
    let current = Argon2idHasher::new(Argon2Params::default()).with_limits(argon2);
    MigratingHasher::new(Arc::new(current))
        .and_scheme(Arc::new(BcryptScheme::new().with_max_cost(4)))
        .and_scheme(Arc::new(Pbkdf2Scheme::new().with_max_iterations(100)))
        .and_scheme(Arc::new(ScryptScheme::new().with_limits(scrypt)))
});

fn hash(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let hash = PasswordHash::new(text);
    let _ = HASHER.needs_rehash(&hash);
    let _ = HASHER.covers(b"password", &hash);
    let cost = HASHER.attack_cost(&hash);
    assert!(cost.is_none_or(|cost| cost.is_finite() && cost >= 0.0));
    let mut arena = Arena::new();
    if let Err(error) = HASHER.verify(b"password", &hash, &mut arena) {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    // What the limits do not allow takes no memory.
    assert!(arena.capacity() <= 128 << 10);
}

/// A first line of method and target, and a line for each header.
fn head(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let (method, target) = halves(first, b' ').unwrap_or((first, b"/"));
    let headers: Vec<_> = lines
        .filter_map(|line| {
            let (name, value) = halves(line, b':')?;
            Some((str::from_utf8(name).ok()?.to_ascii_lowercase(), value))
        })
        .collect();
    let head = RequestHead::new(str::from_utf8(method).unwrap_or("GET"), target)
        .with_headers(headers.iter().map(|(name, value)| (name.as_str(), *value)));
    let _ = SITE.fallback.find(&head);
    let _ = SITE.fallback.refuse_method(&head);
    assert!(block_on(SITE.guard.admit(&head)).is_err());
}

/// As it is, and as the header and the claims of a token that is signed.
fn jwt(data: &[u8]) {
    if let Ok(token) = str::from_utf8(data) {
        assert!(block_on(SITE.verifier.verify(token)).is_err());
    }
    let (header, claims) =
        halves(data, b'\n').unwrap_or((br#"{"alg":"HS256","typ":"at+jwt"}"#, data));
    let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(message.as_bytes());
    let signature = BASE64URL.encode(mac.finalize().into_bytes());
    if let Ok(claims) = block_on(SITE.verifier.verify(&format!("{message}.{signature}"))) {
        assert_eq!(claims.iss, "https://login.example");
    }
}

#[cfg(feature = "stores")]
fn store_url(data: &[u8]) {
    let Ok(url) = str::from_utf8(data) else {
        return;
    };
    if let Err(error) = portcullis::check_url(url) {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        // It may hold a password.
        let said = format!("{error} {error:?}");
        assert!(url.len() < 16 || !said.contains(url));
    }
}

fn halves(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}
