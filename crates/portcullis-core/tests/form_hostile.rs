//! Forms made of arbitrary bytes, and of pieces of valid forms put together at random.

use portcullis_core::endpoint::{GrantTypePolicy, PasswordGrant};
use portcullis_core::form::FormData;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(6749),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_bytes_make_the_parser_panic(content_type in content_type(), body in body()) {
        let form = match FormData::parse(Some(&content_type), &body) {
            Ok(form) => form,
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                return Ok(());
            }
        };
        match PasswordGrant::from_form(&form, GrantTypePolicy::Optional) {
            Ok(grant) => prop_assert!(!grant.password().expose().is_empty()),
            Err(errors) => prop_assert!(errors.iter().next().is_some()),
        }
    }
}

fn fragments(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        9 => select(&FRAGMENTS[..]).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(fragment, 0..most).prop_map(|fragments| fragments.concat())
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

fn content_type() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => select(&CONTENT_TYPES[..]).prop_map(<[u8]>::to_vec),
        2 => (select(&CONTENT_TYPES[..]), fragments(6)).prop_map(|(a, b)| [a, &b[..]].concat()),
        1 => bytes(40),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => fragments(24),
        6 => (select(&STARTS[..]), fragments(20)).prop_map(|(a, b)| [a, &b[..]].concat()),
        1 => bytes(60),
    ]
}

/// What bodies and content types are made of, besides arbitrary bytes.
const FRAGMENTS: [&[u8]; 40] = [
    b"--B",
    b"\r\n--B\r\n",
    b"\r\n--B--",
    b"\r\n--B \t",
    b"\r\n--",
    b"\r\n",
    b"\r",
    b"\n",
    b"-",
    b"--",
    b"Content-Disposition: form-data; ",
    b"Content-Disposition:",
    b"; name=username",
    b"; name=\"pass\\\"word\"",
    b"; filename=\"\"",
    b"; filename=\"C:\\\\x\"",
    b"X: y\r\n",
    b":",
    b";",
    b"\"",
    b"\\",
    b"=",
    b"*",
    b" ",
    b"\t",
    b"&",
    b"+",
    b"%",
    b"%C3",
    b"%a9",
    b"%zz",
    b"\xc3",
    b"\xa9",
    b"\xff",
    b"\0",
    b"grant_type",
    b"username",
    b"password",
    b"client_secret",
    b"x",
];

const CONTENT_TYPES: [&[u8]; 6] = [
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=B",
    b"multipart/form-data; boundary",
    b"multipart/form-data; boundary=\"B\"; charset=cp1252",
    b"multipart/form-data; charset=latin-1; boundary=B",
    b"multipart/form-data;",
];

/// Beginnings that lead a body past the first checks.
const STARTS: [&[u8]; 3] = [
    b"username=a&password=b&",
    b"--B\r\nContent-Disposition:;name=username",
    b"--B\r\nContent-Disposition:;name=username\r\n\r\na\r\n\
      --B\r\nContent-Disposition:;name=password\r\n\r\nb\r\n--B\r\n",
];
