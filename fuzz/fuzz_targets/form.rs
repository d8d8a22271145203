//! Arbitrary content types and bodies. The first byte says how long the content type is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_core::{FormData, GrantTypePolicy, PasswordGrant};

fuzz_target!(|data: &[u8]| {
    let Some((&length, rest)) = data.split_first() else {
        return;
    };
    let (content_type, body) = rest.split_at(rest.len().min(length.into()));
    if let Ok(form) = FormData::parse(Some(content_type), body) {
        let _ = PasswordGrant::from_form(&form, GrantTypePolicy::Optional);
    }
});
