//! What is refused, whoever made it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
#[cfg(feature = "aws_lc_rs")]
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
#[cfg(not(feature = "aws_lc_rs"))]
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use portcullis_core::{ErrorKind, TokenVerifier};
use portcullis_jwt::JwtVerifier;
use proptest::prelude::*;

use crate::*;

const HEADER: &str = r#"{"typ":"at+jwt","alg":"HS256"}"#;
const CLAIMS: &str = r#"{"iss":"https://login.example","sub":"alice","aud":"https://api.example","exp":1800000900,"iat":1800000000,"nbf":1800000000,"jti":"a"}"#;

fn b64(part: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part)
}

/// Signs anything at all with HS256.
fn forge(secret: &[u8], header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", b64(header), b64(claims));
    let key = EncodingKey::from_secret(secret);
    let signer = (DEFAULT_PROVIDER.signer_factory)(&jsonwebtoken::Algorithm::HS256, &key).unwrap();
    let signature = signer.try_sign(message.as_bytes()).unwrap();
    format!("{message}.{}", b64(signature))
}

fn signed(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    forge(SECRET, header, claims)
}

/// A verdict of the verifier: `"accepted"`, or why not.
fn verdict(verifier: &JwtVerifier, token: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    match runtime.block_on(verifier.verify(token)) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidToken);
            error.message().to_owned()
        }
    }
}

#[track_caller]
fn check(token: &str, expected: &str) {
    assert_eq!(verdict(&verifier(&hs256(), at(IAT)), token), expected);
}

/// Checks a token that differs from a good one by replacing `old` in its header.
#[track_caller]
fn check_header(old: &str, new: &str, expected: &str) {
    assert!(HEADER.contains(old));
    check(&signed(HEADER.replace(old, new), CLAIMS), expected);
}

/// Checks a token that differs from a good one by replacing `old` in its claims.
#[track_caller]
fn check_claims(old: &str, new: &str, expected: &str) {
    assert!(CLAIMS.contains(old));
    check(&signed(HEADER, CLAIMS.replace(old, new)), expected);
}

#[test]
fn the_good_token_that_the_others_differ_from_is_accepted() {
    check(&signed(HEADER, CLAIMS), "accepted");
}

#[test]
fn a_token_has_three_strict_base64url_parts() {
    let token = signed(HEADER, CLAIMS);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let padded = BASE64_URL_SAFE.encode(BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap());
    assert_ne!(padded, signature);
    let three = "the token does not have three parts";
    let header_malformed = "the header is malformed or incomplete";
    let malformed = "the signature is malformed";
    let mismatch = "the signature does not match";
    for (token, expected) in [
        (String::new(), three),
        (" ".to_owned(), three),
        (".".to_owned(), three),
        ("a.b".to_owned(), three),
        ("..".to_owned(), header_malformed),
        ("\0.\u{1F980}.\u{ff}".to_owned(), header_malformed),
        (header.to_owned(), three),
        (message.to_owned(), three),
        (format!("{message}."), mismatch),
        (format!("{token}."), three),
        (format!(".{token}"), three),
        (format!("{token}.{signature}"), three),
        (format!("{token}...."), three),
        (format!("{message}.{padded}"), malformed),
        (format!("{message}.{signature}="), malformed),
        (format!("{message}.{signature}\n"), malformed),
        (format!(" {token}"), header_malformed),
        (format!("Bearer {token}"), header_malformed),
        (format!("{message} .{signature}"), mismatch),
        (format!("{message}.{}", &signature[1..]), malformed),
        // The last of 43 characters has two bits that say nothing; they must be zero.
        (format!("{message}.{}9", &signature[..42]), malformed),
        (format!("{header}.{claims}.{}", b64([0; 32])), mismatch),
        (format!("{header}.{claims}.{}", b64([0; 64])), mismatch),
    ] {
        check(&token, expected);
    }
}

#[test]
fn a_changed_token_does_not_match_its_signature() {
    for (key, good) in [
        (hs256(), include_str!("../fixtures/hs256.jwt")),
        (eddsa(), include_str!("../fixtures/eddsa.jwt")),
    ] {
        let verifier = verifier(&key, at(IAT));
        assert_eq!(verdict(&verifier, good), "accepted");
        for n in (0..good.len()).step_by(5) {
            let other = if good.as_bytes()[n] == b'A' { "B" } else { "A" };
            let mut changed = good.to_owned();
            changed.replace_range(n..=n, other);
            assert_ne!(verdict(&verifier, &changed), "accepted", "{n}");
            changed.remove(n);
            assert_ne!(verdict(&verifier, &changed), "accepted", "{n}");
        }
    }
}

#[test]
fn a_token_of_another_key_is_refused() {
    check(
        &forge(&[7; 32], HEADER, CLAIMS),
        "the signature does not match",
    );
    check(&forge(b"", HEADER, CLAIMS), "the signature does not match");
}

#[test]
fn the_algorithm_is_that_of_the_key() {
    let another = "the token is signed with another algorithm";
    for alg in [
        "none", "None", "NONE", "hs256", "HS384", "HS512", "RS256", "EdDSA", "",
    ] {
        check_header("HS256", alg, another);
    }
    let none = HEADER.replace("HS256", "none");
    check(&format!("{}.{}.", b64(none), b64(CLAIMS)), another);
    check(
        &format!("{}.{}.", b64(HEADER), b64(CLAIMS)),
        "the signature does not match",
    );

    // Public keys taken for secrets (RFC 8725 §2.1).
    let eddsa = verifier(&eddsa(), at(IAT));
    let token = forge(PUBLIC_PEM, HEADER, CLAIMS);
    assert_eq!(verdict(&eddsa, &token), another);
    let token = forge(PUBLIC_PEM, HEADER.replace("HS256", "EdDSA"), CLAIMS);
    assert_eq!(verdict(&eddsa, &token), "the signature does not match");
}

#[test]
fn the_header_is_that_of_an_access_token() {
    let not_at = "the token is not an access token: its typ is not at+jwt";
    for typ in ["AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        check_header("at+jwt", typ, "accepted");
    }
    for typ in [
        "JWT",
        "jwt",
        "",
        "at+jwt ",
        "at+jwt+x",
        "text/at+jwt",
        "application/jwt",
    ] {
        check_header("at+jwt", typ, not_at);
    }
    let malformed = "the header is malformed or incomplete";
    for header in [
        "",
        "null",
        "{}",
        r#"["at+jwt","HS256"]"#,
        r#"["at+jwt","HS256",null,false]"#,
        r#"{"alg":"HS256"}"#,
        r#"{"typ":"at+jwt"}"#,
        r#"{"typ":null,"alg":"HS256"}"#,
        r#"{"typ":["at+jwt"],"alg":"HS256"}"#,
        r#"{"typ":"at+jwt","alg":"HS256","kid":1}"#,
        r#"{"typ":"at+jwt","typ":"at+jwt","alg":"HS256"}"#,
        r#"{"typ":"at+jwt","alg":"HS256","alg":"HS256"}"#,
        r#"{"typ":"at+jwt","alg":"HS256"} {}"#,
        r#"{"typ":"at+jwt","alg":"HS256""#,
        "\u{feff}{\"typ\":\"at+jwt\",\"alg\":\"HS256\"}",
    ] {
        check(&signed(header, CLAIMS), malformed);
    }
    check(
        &signed(
            b"{\"typ\":\"at+jwt\",\"alg\":\"HS256\",\"x\":\"\xff\"}",
            CLAIMS,
        ),
        malformed,
    );
}

#[test]
fn a_critical_extension_is_refused() {
    for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "null", "true"] {
        check_header(
            "{",
            &format!(r#"{{"crit":{crit},"b64":true,"#),
            "the token has a critical extension",
        );
    }
}

#[test]
fn key_names_must_agree_if_both_are_there() {
    let named = HEADER.replace('{', r#"{"kid":"a","#);
    let (plain, named) = (signed(HEADER, CLAIMS), signed(named, CLAIMS));
    let another = "the token is signed with another key";
    for (key, token, expected) in [
        (hs256(), &named, "accepted"),
        (hs256().with_kid("a"), &plain, "accepted"),
        (hs256().with_kid("a"), &named, "accepted"),
        (hs256().with_kid("b"), &named, another),
        (hs256().with_kid(""), &named, another),
    ] {
        assert_eq!(verdict(&verifier(&key, at(IAT)), token), expected);
    }
}

#[test]
fn each_required_claim_is_required_once_and_well_formed() {
    let malformed = "the claims are malformed or incomplete";
    let claims: serde_json::Value = serde_json::from_str(CLAIMS).unwrap();
    for claim in ["iss", "sub", "aud", "exp", "iat", "jti"] {
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(claim).unwrap();
        check(&signed(HEADER, without.to_string()), malformed);
        check_claims("{", &format!(r#"{{"{claim}":null,"#), malformed);
        check_claims(
            "{",
            &format!(r#"{{"{claim}":{},"#, claims[claim]),
            malformed,
        );
        for value in ["null", "{}", "true", "[1]"] {
            let mut changed = claims.clone();
            changed[claim] = serde_json::from_str(value).unwrap();
            check(&signed(HEADER, changed.to_string()), malformed);
        }
    }
    check_claims(r#","nbf":1800000000"#, "", "accepted");
    for date in [
        r#""1800000900""#,
        "-1",
        "1800000900.5",
        "1.8e9",
        "1e300",
        "253402300800",
        "9223372036854775807",
        "18446744073709551615",
        "18446744073709551616",
        "NaN",
    ] {
        check_claims("1800000900", date, malformed);
        check_claims(
            r#""iat":1800000000"#,
            &format!(r#""iat":{date}"#),
            malformed,
        );
        check_claims(
            r#""nbf":1800000000"#,
            &format!(r#""nbf":{date}"#),
            malformed,
        );
    }
    check_claims("1800000900", "253402300799", "accepted");
    for claims in ["", "null", "[]", "{}", r#"["https://login.example"]"#] {
        check(&signed(HEADER, claims), malformed);
    }
    check_claims("}", r#","scope":["read"]}"#, malformed);
    check_claims("}", r#","client_id":1}"#, malformed);
    check_claims("}", r#","sid":1}"#, malformed);
    for cut_off in ["-1", "1.5", r#""1""#, "18446744073709551616"] {
        check_claims("}", &format!(r#","cut_off":{cut_off}}}"#), malformed);
    }
    for cut_off in ["0", "18446744073709551615"] {
        check_claims("}", &format!(r#","cut_off":{cut_off}}}"#), "accepted");
    }
}

#[test]
fn the_issuer_and_the_audience_are_compared_exactly() {
    let issuer = "the token is from another issuer";
    let audience = "the token is for another audience";
    for iss in [
        "",
        "https://login.example/",
        "HTTPS://login.example",
        "https://evil.example",
    ] {
        check_claims("https://login.example", iss, issuer);
    }
    for aud in [
        r#""""#,
        r#""https://api.example/""#,
        "[]",
        r#"["https://other.example"]"#,
        r#""https://api.example https://other.example""#,
    ] {
        check_claims(r#""https://api.example""#, aud, audience);
    }
    let many = r#"["https://other.example","https://api.example"]"#;
    check_claims(r#""https://api.example""#, many, "accepted");
}

#[test]
fn a_token_is_accepted_from_nbf_until_exp_give_or_take_the_leeway() {
    let tick = Duration::from_nanos(1);
    let forgiving = |now, leeway| {
        let key = hs256().verifying_key().clone();
        JwtVerifier::new(policy(now).with_leeway(leeway), key)
    };
    let token = signed(HEADER, CLAIMS);
    for leeway in [0, 30, 120].map(Duration::from_secs) {
        for (now, expected) in [
            (at(0), "the token is not valid yet"),
            (at(IAT) - leeway - tick, "the token is not valid yet"),
            (at(IAT) - leeway, "accepted"),
            (at(EXP) + leeway - tick, "accepted"),
            (at(EXP) + leeway, "the token has expired"),
            (at(u64::from(u32::MAX)), "the token has expired"),
        ] {
            let verifier = forgiving(now, leeway);
            assert_eq!(verdict(&verifier, &token), expected, "{leeway:?} {now:?}");
        }
    }
    let default = verifier(&hs256(), at(EXP + 29));
    assert_eq!(verdict(&default, &token), "accepted");
    let default = verifier(&hs256(), at(EXP + 30));
    assert_eq!(verdict(&default, &token), "the token has expired");
    let forgiving = forgiving(at(EXP + 30), Duration::MAX);
    assert_eq!(verdict(&forgiving, &token), "accepted");
}

#[test]
fn an_over_long_token_is_refused_unseen() {
    let padding = |len| CLAIMS.replace('}', &format!(r#","x":"{}"}}"#, "a".repeat(len)));
    let base = signed(HEADER, padding(0)).len();
    // Three bytes become four characters.
    let most = signed(HEADER, padding((8 * 1024 - base) / 4 * 3));
    assert!((8 * 1024 - 4..=8 * 1024).contains(&most.len()));
    check(&most, "accepted");
    check(&signed(HEADER, padding(8 * 1024)), "the token is too long");
    check(&"a".repeat(8 * 1024 + 1), "the token is too long");
    check(&".".repeat(16 << 20), "the token is too long");
}

#[test]
fn a_refusal_says_nothing_of_the_token() {
    let token = signed(HEADER, CLAIMS.replace("1800000900", r#""canary""#));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = runtime
        .block_on(verifier(&hs256(), at(IAT)).verify(&token))
        .unwrap_err();
    assert!(std::error::Error::source(&error).is_none());
    assert!(!format!("{error:?} {error}").contains("canary"));
}

proptest! {
    #[test]
    fn arbitrary_text_never_verifies(token in "(?s).{0,200}", parts in prop::collection::vec("[A-Za-z0-9_=-]{0,60}", 0..6)) {
        for key in [hs256(), eddsa()] {
            let verifier = verifier(&key, at(IAT));
            prop_assert_ne!(verdict(&verifier, &token), "accepted");
            prop_assert_ne!(verdict(&verifier, &parts.join(".")), "accepted");
        }
    }

    #[test]
    fn arbitrary_signed_claims_never_panic(header in "(?s).{0,80}", claims in "(?s).{0,200}") {
        prop_assert_ne!(verdict(&verifier(&hs256(), at(IAT)), &signed(HEADER, claims)), "accepted");
        prop_assert_ne!(verdict(&verifier(&hs256(), at(IAT)), &signed(header, CLAIMS)), "accepted");
    }
}
