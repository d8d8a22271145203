//! The suite is only worth something if broken adapters fail it: here are some, and what they fail.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::fs;

use portcullis_testkit::{Outcome, adapter, check};

mod wire;
use wire::{Fault, serve};

mod an_adapter_without_a_framework {
    portcullis_testkit::adapter_suite!(super::serve(super::Fault::None));
}

/// Each fault, and the properties that an adapter with it fails: these, and no others.
const FAULTS: &[(Fault, &[&str])] = &[
    (
        Fault::AnswersEverythingElseWith404,
        &[
            "a_cookie_refreshes_a_login_and_logging_out_ends_it",
            "a_redirect_leads_to_where_the_client_believes_the_app_is",
            "another_method_is_405",
            "recorded_requests_for_other_paths_are_answered_as_fastapi_did",
            "the_apps_own_paths_are_answered_as_fastapi_does",
        ],
    ),
    (
        Fault::ComparesPathsAsSent,
        &[
            "recorded_requests_for_other_paths_are_answered_as_fastapi_did",
            "the_login_is_where_the_mount_says",
        ],
    ),
    (
        Fault::DropsCookies,
        &[
            "a_cookie_refreshes_a_login_and_logging_out_ends_it",
            "a_token_may_come_in_a_cookie",
        ],
    ),
    (
        Fault::DropsTheQuery,
        &["a_redirect_leads_to_where_the_client_believes_the_app_is"],
    ),
    (
        Fault::DropsWhatOutlivesARequest,
        &["a_login_whose_client_has_gone_is_neither_hashed_nor_counted"],
    ),
    (
        Fault::IgnoresTheMethod,
        &[
            "a_cookie_refreshes_a_login_and_logging_out_ends_it",
            "another_method_is_405",
            "recorded_requests_for_other_paths_are_answered_as_fastapi_did",
        ],
    ),
    (Fault::IgnoresScopes, &["a_handler_may_require_a_scope"]),
    (
        Fault::LetsOutagesIn,
        &["a_handler_sees_only_bearers_of_good_tokens"],
    ),
    (
        Fault::LosesTheLastChunk,
        &["a_body_of_the_limit_is_read_and_a_longer_one_is_413"],
    ),
    (Fault::NeverWakes, &["a_body_that_never_ends_is_408"]),
    (
        Fault::ReadsTheTokenItself,
        &[
            "a_token_may_come_by_another_scheme",
            "a_token_may_come_in_a_cookie",
        ],
    ),
    (
        Fault::ReplacesHeaders,
        &["both_cookies_of_an_answer_are_set"],
    ),
    (
        Fault::SaysNoAddress,
        &["clients_are_told_apart_by_their_address"],
    ),
    (
        Fault::SendsNoBody,
        &[
            "a_handler_may_do_without_a_token",
            "a_handler_sees_only_bearers_of_good_tokens",
            "a_refresh_token_in_a_body_is_refreshed_and_revoked",
            "a_token_may_come_by_another_scheme",
            "recorded_logins_are_answered_as_fastapi_did",
            "recorded_requests_for_other_paths_are_answered_as_fastapi_did",
        ],
    ),
    (
        Fault::ServesEverythingAsALogin,
        &[
            "a_cookie_refreshes_a_login_and_logging_out_ends_it",
            "a_password_is_changed_by_its_bearer",
            "a_refresh_token_in_a_body_is_refreshed_and_revoked",
            "what_is_not_offered_is_not_there",
        ],
    ),
    (
        Fault::TakesBadTokensForNone,
        &["a_handler_may_do_without_a_token"],
    ),
];

#[test]
fn each_broken_adapter_fails_the_properties_it_breaks() {
    for (fault, expected) in FAULTS {
        let failed: Vec<_> = outcomes(*fault)
            .into_iter()
            .filter_map(|(property, outcome)| outcome.err().map(|_| property))
            .collect();
        assert_eq!(&failed, expected, "{fault:?}");
    }
}

#[test]
fn each_property_is_failed_by_a_broken_adapter() {
    let failed: BTreeSet<_> = FAULTS.iter().flat_map(|(_, failed)| *failed).collect();
    for property in properties() {
        assert!(failed.contains(&property), "{property}");
    }
}

#[test]
fn every_property_is_in_the_suite() {
    let mut written = BTreeSet::new();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/adapter")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for property in source.split("\npub async fn ").skip(1) {
            written.insert(property.split_once('(').unwrap().0.to_owned());
        }
    }
    assert!(properties().into_iter().eq(written));
}

/// What each property of the suite says of an adapter with `fault`.
fn outcomes(fault: Fault) -> Vec<(&'static str, Outcome)> {
    macro_rules! outcomes {
        ($fault:expr, $($property:ident,)*) => {
            vec![$((
                stringify!($property),
                check(async { serve($fault) }, adapter::$property),
            )),*]
        };
    }
    portcullis_testkit::for_each_adapter_property!(fault => outcomes)
}

fn properties() -> Vec<&'static str> {
    macro_rules! properties {
        ($with:expr, $($property:ident,)*) => {
            vec![$(stringify!($property)),*]
        };
    }
    portcullis_testkit::for_each_adapter_property!(() => properties)
}
