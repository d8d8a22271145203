//! Hashes, texts and times come back as they went in.

use std::iter;

use portcullis_core::Claims;
use portcullis_core::store::{TokenHash, TokenStore};
use serde_json::{Map, Value, json};

use super::{IN_2100, claims, is_absent, is_stored};
use crate::property::{END_OF_9999, all_texts, at, equal, texts};
use crate::suite::{Outcome, Subject};

/// A hash is any 32 bytes; those that differ in one bit are different.
///
/// # Errors
/// How the property was violated.
pub async fn hashes_are_kept_exactly(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let mut hashes: Vec<_> = [0x00, b'\n', b'\'', b'a', b'A', 0x7f, 0x80, 0xff]
        .map(|byte| [byte; 32])
        .into();
    for index in [0, 15, 16, 31] {
        for bit in [0x01, 0x80] {
            let mut hash = [0; 32];
            hash[index] = bit;
            hashes.push(hash);
        }
    }
    let hashes: Vec<_> = hashes.into_iter().map(TokenHash::from_bytes).collect();
    for (number, hash) in hashes.iter().enumerate() {
        is_absent(subject, hash).await?;
        store.insert(hash, &numbered(number)).await?;
    }
    for (number, hash) in hashes.iter().enumerate() {
        is_stored(subject, hash, &numbered(number)).await?;
        equal("revoke", &store.revoke(hash).await?, &true)?;
        is_absent(subject, hash).await?;
    }
    Ok(())
}

/// Each claim that is a text may be any text; an empty `client_id` is not the same as none.
///
/// # Errors
/// How the property was violated.
pub async fn texts_are_kept_exactly(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    for (number, text) in texts(subject).into_iter().enumerate() {
        let hash = TokenHash::of(&number.to_string());
        let mut claims = claims(&text, &text);
        claims.iss.clone_from(&text);
        claims.client_id = Some(text);
        store.insert(&hash, &claims).await?;
        is_stored(subject, &hash, &claims).await?;
    }
    Ok(())
}

/// `aud` and `scopes` are any lists of any texts, long ones too, in their order.
///
/// # Errors
/// How the property was violated.
pub async fn lists_are_kept_exactly(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let lists = [
        vec![String::new()],
        vec![String::new(), String::new()],
        vec!["b".to_owned(), "a".to_owned(), "b".to_owned()],
        vec!["a b".to_owned(), "a,b".to_owned(), "[\"a\"]".to_owned()],
        (0..1_000).map(|number| format!("scope:{number}")).collect(),
        texts(subject),
    ];
    let aud = lists.clone().into_iter().chain(iter::once(texts(subject)));
    let scopes = lists.into_iter().chain(iter::once(Vec::new()));
    for (number, (aud, scopes)) in aud.zip(scopes).enumerate() {
        let hash = TokenHash::of(&number.to_string());
        let mut claims = numbered(number);
        claims.aud = aud;
        claims.scopes = scopes;
        store.insert(&hash, &claims).await?;
        is_stored(subject, &hash, &claims).await?;
    }
    Ok(())
}

/// `iat` and `exp` are kept to the second, from 1970 to 9999.
///
/// # Errors
/// How the property was violated.
pub async fn times_are_kept_to_the_second(subject: &Subject<dyn TokenStore>) -> Outcome {
    let store = subject.handle();
    let (beyond_u32, last) = (u64::from(u32::MAX) + 1, END_OF_9999);
    for (number, (iat, exp)) in [
        (0, IN_2100),
        (1, IN_2100 + 1),
        (1_700_000_000, beyond_u32),
        (beyond_u32, last - 1),
        (last, last),
    ]
    .into_iter()
    .enumerate()
    {
        let hash = TokenHash::of(&number.to_string());
        let mut claims = numbered(number);
        claims.iat = at(iat, 0);
        claims.exp = at(exp, 0);
        store.insert(&hash, &claims).await?;
        is_stored(subject, &hash, &claims).await?;
    }
    Ok(())
}

/// `sid` is any text, or none; an empty one is not the same as none.
///
/// # Errors
/// How the property was violated.
pub async fn names_of_logins_are_kept_exactly(subject: &Subject<dyn TokenStore>) -> Outcome {
    let sids = texts(subject).into_iter().map(Some).chain([None]);
    are_kept(subject, sids, |claims, sid| claims.sid = sid).await
}

/// `cut_off` is kept to the microsecond, from 1970 to 9999; 1970 is not the same as none.
///
/// # Errors
/// How the property was violated.
pub async fn cut_offs_are_kept_to_the_microsecond(subject: &Subject<dyn TokenStore>) -> Outcome {
    let cut_offs = [
        None,
        Some(at(0, 0)),
        Some(at(0, 1)),
        Some(at(1_700_000_000, 999_999)),
        // More than a floating-point number holds.
        Some(at(9_007_199_254, 740_993)),
        Some(at(END_OF_9999, 999_998)),
        Some(at(END_OF_9999, 999_999)),
    ];
    are_kept(subject, cut_offs, |claims, cut_off| {
        claims.cut_off = cut_off;
    })
    .await
}

/// `extra` is any JSON object: empty, nested, with any texts for names and values.
///
/// # Errors
/// How the property was violated.
pub async fn extra_claims_are_kept_exactly(subject: &Subject<dyn TokenStore>) -> Outcome {
    let texts: Map<_, _> = all_texts()
        .into_iter()
        .map(|text| (text.clone(), Value::from(text)))
        .collect();
    let mut nested = Value::from("at the bottom");
    for level in 0..50 {
        nested = json!({ level.to_string(): [null, nested] });
    }
    let extras = [
        json!({}),
        json!({ "": null }),
        json!({ "empty": [{}, [], "", 0, false, null] }),
        json!({ "integers": [u64::MAX, i64::MIN, 0, -1] }),
        json!({ "fractions": [0.1, 1e-300, 1.797_693_134_862_315_7e308, 5e-324, 3.0] }),
        // Not the claims of these names.
        json!({ "sub": "bob", "exp": 0, "scopes": "all", "sid": "", "cut_off": 0, "extra": {} }),
        json!({ "texts": texts }),
        json!({ "nested": nested }),
    ];
    let extras = extras
        .into_iter()
        .filter_map(|extra| extra.as_object().cloned())
        .chain([texts]);
    are_kept(subject, extras, |claims, extra| claims.extra = extra).await
}

async fn are_kept<T>(
    subject: &Subject<dyn TokenStore>,
    values: impl IntoIterator<Item = T>,
    set: impl Fn(&mut Claims, T),
) -> Outcome {
    let store = subject.handle();
    for (number, value) in values.into_iter().enumerate() {
        let hash = TokenHash::of(&number.to_string());
        let mut claims = numbered(number);
        set(&mut claims, value);
        store.insert(&hash, &claims).await?;
        is_stored(subject, &hash, &claims).await?;
    }
    Ok(())
}

fn numbered(number: usize) -> Claims {
    claims("alice", &number.to_string())
}
