//! Arbitrary bodies of arbitrary content types. The first byte says how much is arbitrary: left to
//! itself a fuzzer never writes a content type that is parsed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_core::endpoint::{GrantTypePolicy, PasswordGrant};
use portcullis_core::form::FormData;

fuzz_target!(|data: &[u8]| {
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
});
