//! The OpenAPI document of the login, and merging documents.

use portcullis_core::{ErrorKind, openapi};
use serde_json::{Value, json};

#[test]
fn the_login_document_is_the_published_one() {
    let published: Value =
        yaml_serde::from_str(include_str!("fixtures/login-email.openapi.yaml")).unwrap();
    let document = openapi::login_document("/v1/login");
    for section in ["openapi", "info", "paths", "components"] {
        assert_eq!(document[section], published[section], "{section}");
    }
}

#[test]
fn another_path_renames_what_fastapi_renames() {
    let document = openapi::login_document("/my-api/v2.0/login");
    let name = "login_email_my_api_v2_0_login_post";
    let operation = &document["paths"]["/my-api/v2.0/login"]["post"];
    assert_eq!(operation["operationId"], name);
    assert_eq!(
        operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["$ref"],
        format!("#/components/schemas/Body_{name}")
    );
    let schema = &document["components"]["schemas"][format!("Body_{name}")];
    assert_eq!(schema["title"], format!("Body_{name}"));
}

#[test]
fn merging_adds_methods_and_components_to_what_is_there() {
    let mut document = json!({
        "info": { "title": "Shop" },
        "paths": { "/a": { "get": 1 } },
        "components": { "schemas": { "A": 1 } },
    });
    let part = json!({
        "info": { "title": "ignored" },
        "paths": { "/a": { "get": 1, "post": 2 }, "/b": { "get": 3 } },
        "components": { "schemas": { "A": 1, "B": 2 }, "securitySchemes": { "S": 3 } },
    });
    openapi::merge(&mut document, &part).unwrap();
    assert_eq!(
        document,
        json!({
            "info": { "title": "Shop" },
            "paths": { "/a": { "get": 1, "post": 2 }, "/b": { "get": 3 } },
            "components": { "schemas": { "A": 1, "B": 2 }, "securitySchemes": { "S": 3 } },
        })
    );
}

#[test]
fn a_conflict_is_named_and_changes_nothing() {
    #[track_caller]
    fn check(document: &Value, place: &str) {
        let part = json!({
            "paths": { "/a": { "post": 1 } },
            "components": { "schemas": { "Token": 1 } },
        });
        let mut merged = document.clone();
        let conflict = openapi::merge(&mut merged, &part)
            .map_err(|error| (error.kind(), error.message().to_owned()));
        let message = format!("the OpenAPI document has something else at {place}");
        assert_eq!(conflict, Err((ErrorKind::InvalidConfig, message)));
        assert_eq!(merged, *document);
    }

    let post = "paths, /a, post";
    let token = "components, schemas, Token";
    check(&json!({ "paths": { "/a": { "post": 2 } } }), post);
    check(
        &json!({ "components": { "schemas": { "Token": null } } }),
        token,
    );
    check(&json!({ "components": { "schemas": [] } }), token);
    check(&json!({ "paths": [] }), post);
    check(&json!("text"), post);
}
