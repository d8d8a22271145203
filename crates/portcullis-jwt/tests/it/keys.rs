//! Which keys are taken, and that none is ever printed.

use std::error::Error as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use portcullis_core::token::TokenRequest;
use portcullis_core::{Error, ErrorKind, TokenIssuer, TokenVerifier, UserId};
use portcullis_jwt::{Algorithm, SigningKey, VerifyingKey, read_secret};

use crate::*;

#[track_caller]
fn refused<T: std::fmt::Debug>(key: Result<T, Error>, message: &str) {
    let error = key.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.message().starts_with(message), "{error}");
    // A parser's error could quote the key.
    assert!(error.source().is_none());
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let der = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{der}\n-----END {label}-----\n").into_bytes()
}

fn der(pem: &[u8]) -> Vec<u8> {
    let line = std::str::from_utf8(pem).unwrap().lines().nth(1).unwrap();
    BASE64_STANDARD.decode(line).unwrap()
}

#[test]
fn an_hs256_secret_has_at_least_32_bytes_and_is_no_pem_file() {
    let key = SigningKey::from_hs256_secret(&bytes(7)).unwrap();
    assert_eq!(key.algorithm(), Algorithm::HS256);
    let short = "the HS256 secret is shorter than 32 bytes";
    refused(SigningKey::from_hs256_secret(b""), short);
    refused(SigningKey::from_hs256_secret(&bytes(7)[..31]), short);
    refused(VerifyingKey::from_hs256_secret(&bytes(7)[..31]), short);
    let is_pem = "the HS256 secret is a PEM file";
    refused(SigningKey::from_hs256_secret(PUBLIC_PEM), is_pem);
    refused(VerifyingKey::from_hs256_secret(PRIVATE_PEM), is_pem);
}

#[test]
fn a_secret_that_can_be_guessed_is_refused() {
    for secret in [
        &[0; 32][..],
        &[b'0'; 32],
        b"secretsecretsecretsecretsecretsecret",
        b"changemechangemechangemechangeme",
        b"0123456789abcde0123456789abcde0123456789abcde",
        &[1, 2, 3, 4, 5, 6, 7].repeat(10),
        &[
            1, 2, 2, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 7, 7, 1, 2, 3, 4, 5, 6, 7, 1, 1, 2, 2,
            3, 3, 1,
        ],
    ] {
        refused(
            SigningKey::from_hs256_secret(secret),
            "the HS256 secret can be guessed",
        );
        refused(
            VerifyingKey::from_hs256_secret(secret),
            "the HS256 secret can be guessed",
        );
    }
}

/// Of a file, one line break at the end is not part of a secret; nor is it anywhere else.
#[test]
fn a_file_with_a_secret_may_end_with_a_line_break() {
    let directory = std::env::temp_dir().join(format!("portcullis-jwt-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("secret");
    let secret = "0123456789abcdef0123456789abcdef";
    let read = |text: String| {
        std::fs::write(&file, text).unwrap();
        read_secret(&file).unwrap().to_vec()
    };
    for end in ["", "\n", "\r\n"] {
        assert_eq!(read(format!("{secret}{end}")), secret.as_bytes());
        assert!(SigningKey::from_hs256_file(&file).is_ok());
        assert!(VerifyingKey::from_hs256_file(&file).is_ok());
    }
    assert_eq!(
        read(format!("{secret}\n\n")),
        format!("{secret}\n").as_bytes()
    );
    std::fs::remove_dir_all(&directory).unwrap();
    refused(SigningKey::from_hs256_file(&file), "the key file");
}

/// A secret that nobody guesses, made of a number.
fn bytes(number: u8) -> [u8; 32] {
    let mut byte = number;
    [(); 32].map(|()| {
        byte = byte.wrapping_mul(5).wrapping_add(37);
        byte
    })
}

#[test]
fn a_secret_that_is_a_line_of_text_is_told_from_random_bytes() {
    let line = b"0123456789abcdef0123456789abcdef\n";
    let message = "the HS256 secret ends with a line feed";
    refused(SigningKey::from_hs256_secret(line), message);
    refused(VerifyingKey::from_hs256_secret(line), message);
    let random = [&bytes(0x9c)[..], b"\n"].concat();
    for secret in [&line[..32], &random] {
        assert!(SigningKey::from_hs256_secret(secret).is_ok());
    }
}

#[test]
fn only_an_ed25519_private_key_in_pem_signs() {
    let private = der(PRIVATE_PEM);
    let crlf = String::from_utf8(PRIVATE_PEM.to_vec())
        .unwrap()
        .replace('\n', "\r\n");
    let key = SigningKey::from_ed25519_pem(crlf.as_bytes()).unwrap();
    assert_eq!(key.algorithm(), Algorithm::EdDSA);

    let mut other_curve = private.clone();
    other_curve[11] = 0x71; // id-Ed448
    for pem in [
        Vec::new(),
        b"not a key".to_vec(),
        vec![0xff; 100],
        private.clone(),
        PRIVATE_PEM[..PRIVATE_PEM.len() / 2].to_vec(),
        PUBLIC_PEM.to_vec(),
        pem("PRIVATE KEY", b""),
        pem("PRIVATE KEY", &private[..private.len() - 1]),
        pem("PRIVATE KEY", &other_curve),
        pem("PRIVATE KEY", &der(PUBLIC_PEM)),
        pem("EC PRIVATE KEY", &private),
        pem("ENCRYPTED PRIVATE KEY", &private),
    ] {
        refused(
            SigningKey::from_ed25519_pem(&pem),
            "the signing key is not an unencrypted Ed25519 private key in PEM",
        );
    }
}

#[test]
fn only_an_ed25519_public_key_in_pem_verifies() {
    let public = der(PUBLIC_PEM);
    let key = VerifyingKey::from_ed25519_pem(PUBLIC_PEM).unwrap();
    assert_eq!(key.algorithm(), Algorithm::EdDSA);

    let mut too_long = public.clone();
    too_long.push(0);
    let mut other_curve = public.clone();
    other_curve[8] = 0x6e; // id-X25519
    for pem in [
        Vec::new(),
        b"not a key".to_vec(),
        public.clone(),
        PRIVATE_PEM.to_vec(),
        pem("PUBLIC KEY", b""),
        pem("PUBLIC KEY", &public[..12]),
        pem("PUBLIC KEY", &public[..public.len() - 1]),
        pem("PUBLIC KEY", &too_long),
        pem("PUBLIC KEY", &other_curve),
        pem("PUBLIC KEY", &der(PRIVATE_PEM)),
        pem("CERTIFICATE", &public),
    ] {
        refused(
            VerifyingKey::from_ed25519_pem(&pem),
            "the verifying key is not an Ed25519 public key in PEM",
        );
    }
}

#[tokio::test]
async fn a_key_is_replaced_while_tokens_of_the_old_one_are_good() {
    let old = || SigningKey::from_hs256_secret(&bytes(1)).unwrap();
    let new = || SigningKey::from_hs256_secret(&bytes(2)).unwrap();
    let named = |key: SigningKey, kid| key.with_kid(kid);
    // Of the same algorithm without names, with names, and of another algorithm.
    for (old, new) in [
        (old(), new()),
        (named(old(), "old"), named(new(), "new")),
        (old(), named(new(), "new")),
        (named(old(), "old"), new()),
        (old(), eddsa()),
        (named(eddsa(), "old"), named(new(), "new")),
    ] {
        let only_old = verifier(&old, at(IAT));
        let both = only_old.clone().and_key(new.verifying_key().clone());
        let only_new = verifier(&new, at(IAT));
        let user = UserId::new(USER_ID);
        for (key, of_old, of_new) in [(old, true, false), (new, false, true)] {
            let token = issuer(key).issue(TokenRequest::new(&user)).await.unwrap();
            let is_good = async |verifier: &JwtVerifier| {
                verifier.verify(token.access_token.expose()).await.is_ok()
            };
            assert_eq!(is_good(&only_old).await, of_old);
            assert!(is_good(&both).await);
            assert_eq!(is_good(&only_new).await, of_new);
        }
        let other = SigningKey::from_hs256_secret(&bytes(3))
            .unwrap()
            .with_kid("old");
        let forged = issuer(other).issue(TokenRequest::new(&user)).await.unwrap();
        let refused = both.verify(forged.access_token.expose()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidToken);
    }
}

#[test]
fn nothing_prints_a_key() {
    let secret = "0123456789abcdef0123456789abcdef";
    let key = SigningKey::from_hs256_secret(secret.as_bytes()).unwrap();
    let printed = format!(
        "{key:?} {:?}",
        VerifyingKey::from_hs256_secret(secret.as_bytes())
            .unwrap()
            .with_kid("a")
    );
    assert_eq!(
        printed,
        "SigningKey { algorithm: HS256, kid: None, .. } \
         VerifyingKey { algorithm: HS256, kid: Some(\"a\"), .. }"
    );

    let issuer = issuer(key);
    let printed = format!("{issuer:?} {:?}", issuer.verifier());
    assert!(printed.contains("JwtIssuer") && printed.contains("JwtVerifier"));
    assert!(!printed.contains(secret));
    assert!(!printed.contains(&format!("{:?}", secret.as_bytes())[1..20]));
}
