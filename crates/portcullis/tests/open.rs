//! What a URL opens, and what is said of one that opens nothing.

#![allow(clippy::unwrap_used, reason = "a test may")]

use portcullis::{Credential, ErrorKind, UserId, Username};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[tokio::test]
async fn memory_opens_new_stores_each_time() {
    let ada = Credential::new(UserId::new("1"), Username::new("ada"));
    for _ in 0..2 {
        portcullis::migrate("memory:").await.unwrap();
        let stores = portcullis::open("memory:").await.unwrap();
        stores.credentials.create(&ada).await.unwrap();
        let revoked = stores.tokens.revoke_all(&ada.user_id).await;
        assert_eq!(revoked.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_unknown_scheme_is_named_and_the_url_is_not() {
    check(
        "mysql://root:hunter2@db/users",
        "no store has the URL scheme `mysql:`; use `memory:`, `sqlite://PATH`, \
         `postgres://...` or `redis://...`",
    )
    .await;
    for no_scheme in ["hunter2", "", "hunter2@db:5432", ":hunter2"] {
        check(
            no_scheme,
            "the store URL has no scheme; use `memory:`, `sqlite://PATH`, `postgres://...` or \
             `redis://...`",
        )
        .await;
    }
}

#[cfg(not(feature = "postgres"))]
#[tokio::test]
async fn postgres_that_is_not_compiled_in_is_said_to_be_so() {
    for scheme in ["postgres", "postgresql"] {
        let sentence = format!(
            "stores with the URL scheme `{scheme}:` are not compiled in; enable the feature \
             `postgres` of portcullis"
        );
        check(&format!("{scheme}://root:hunter2@db/users"), &sentence).await;
    }
}

#[cfg(not(feature = "redis"))]
#[tokio::test]
async fn redis_that_is_not_compiled_in_is_said_to_be_so() {
    for scheme in ["redis", "rediss"] {
        let sentence = format!(
            "stores with the URL scheme `{scheme}:` are not compiled in; enable the feature \
             `redis` of portcullis"
        );
        check(&format!("{scheme}://root:hunter2@db/0"), &sentence).await;
    }
}

#[test]
fn a_url_is_checked_without_a_server() {
    for url in [
        "memory:",
        #[cfg(feature = "postgres")]
        "postgres://ada:secret@db.invalid/users?schema=login",
        #[cfg(feature = "redis")]
        "redis://:secret@cache.invalid/1?prefix=login:",
        #[cfg(feature = "redis")]
        "redis://a.invalid,b.invalid?cluster=true",
        #[cfg(feature = "sqlite")]
        "sqlite:///nowhere/users.db",
    ] {
        assert!(portcullis::check_url(url).is_ok(), "{url}");
    }
    for url in [
        #[cfg(feature = "postgres")]
        "postgres://ada:secret@db.invalid/users?schmea=login",
        #[cfg(feature = "redis")]
        "redis://a.invalid,b.invalid",
        #[cfg(feature = "sqlite")]
        "sqlite:users.db",
        "memories:",
    ] {
        let error = portcullis::check_url(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::with_cases(2_000) })]

    /// The long form is a fuzz target.
    #[test]
    fn no_url_breaks_its_reading_or_is_repeated(
        scheme in "memory|sqlite|postgres|postgresql|redis|rediss|[a-z]{0,3}",
        colon in ":|://|:///|",
        rest in "(([a-z%@:/,\\[\\]#]|%[0-9a-f]{2}|\\PC){0,24})(\\?(([a-z_]{0,20}|cluster|mode|pool_size|prefix|schema|sslmode|timeout_ms)=?([a-z0-9%]{0,8}|\\PC{0,4})&?){0,4})?",
    ) {
        let url = format!("{scheme}{colon}{rest}");
        if let Err(error) = portcullis::check_url(&url) {
            prop_assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let said = format!("{error} {error:?}");
            prop_assert!(rest.len() < 12 || !said.contains(&rest), "{}", said);
        }
    }
}

async fn check(url: &str, sentence: &str) {
    for error in [
        portcullis::open(url).await.map(drop).unwrap_err(),
        portcullis::migrate(url).await.unwrap_err(),
        portcullis::check_url(url).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.message(), sentence);
    }
}
