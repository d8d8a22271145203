//! The OpenAPI document of the login endpoint, and a way to add it to an application's own.

use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind};

/// Describes the login endpoint at `path` as FastAPI does: an OpenAPI 3.1.0 document of its own,
/// with FastAPI's default `info`.
///
/// The document says less than the endpoint does: multipart bodies are taken as well, and there
/// are more answers than the success and the validation error. An application may replace
/// `info`; the operation and the schema of its form are named after `path`, by FastAPI's rule.
#[must_use]
pub fn login_document(path: &str) -> Value {
    // FastAPI's `generate_unique_id`.
    let operation_id =
        format!("login_email{path}_post").replace(|c: char| c != '_' && !c.is_alphanumeric(), "_");
    let form = format!("Body_{operation_id}");
    json!({
        "openapi": "3.1.0",
        "info": { "title": "FastAPI", "version": "0.1.0" },
        "paths": {
            path: {
                "post": {
                    "tags": ["auth"],
                    "summary": "Login Email",
                    "operationId": operation_id,
                    "requestBody": {
                        "content": content("application/x-www-form-urlencoded", &form),
                        "required": true,
                    },
                    "responses": {
                        "200": {
                            "description": "Successful Response",
                            "content": content("application/json", "Token"),
                        },
                        "422": {
                            "description": "Validation Error",
                            "content": content("application/json", "HTTPValidationError"),
                        },
                    },
                },
            },
        },
        "components": {
            "schemas": {
                form.as_str(): {
                    "title": form,
                    "type": "object",
                    "properties": {
                        "grant_type": {
                            "title": "Grant Type",
                            "anyOf": [
                                { "type": "string", "pattern": "^password$" },
                                { "type": "null" },
                            ],
                        },
                        "username": { "title": "Username", "type": "string" },
                        "password": { "title": "Password", "type": "string", "format": "password" },
                        "scope": { "title": "Scope", "type": "string", "default": "" },
                        "client_id": {
                            "title": "Client Id",
                            "anyOf": [{ "type": "string" }, { "type": "null" }],
                        },
                        "client_secret": {
                            "title": "Client Secret",
                            "anyOf": [{ "type": "string" }, { "type": "null" }],
                            "format": "password",
                        },
                    },
                    "required": ["username", "password"],
                },
                "Token": {
                    "title": "Token",
                    "type": "object",
                    "properties": {
                        "access_token": { "title": "Access Token", "type": "string" },
                        "token_type": {
                            "title": "Token Type",
                            "type": "string",
                            "default": "bearer",
                        },
                    },
                    "required": ["access_token"],
                },
                "HTTPValidationError": {
                    "title": "HTTPValidationError",
                    "type": "object",
                    "properties": {
                        "detail": {
                            "title": "Detail",
                            "type": "array",
                            "items": schema_ref("ValidationError"),
                        },
                    },
                },
                "ValidationError": {
                    "title": "ValidationError",
                    "type": "object",
                    "properties": {
                        "loc": {
                            "title": "Location",
                            "type": "array",
                            "items": { "anyOf": [{ "type": "string" }, { "type": "integer" }] },
                        },
                        "msg": { "title": "Message", "type": "string" },
                        "type": { "title": "Error Type", "type": "string" },
                    },
                    "required": ["loc", "msg", "type"],
                },
            },
        },
    })
}

/// Adds the operations and components of `part` to `document`; everything else of `document`
/// stays as it is.
///
/// ```
/// use portcullis_core::openapi;
/// use serde_json::json;
///
/// let mut document = json!({
///     "openapi": "3.1.0",
///     "info": { "title": "Shop", "version": "2.0.0" },
///     "paths": { "/orders": { "get": { "responses": {} } } },
/// });
/// openapi::merge(&mut document, &openapi::login_document("/v1/login"))?;
/// assert_eq!(document["info"]["title"], "Shop");
/// assert_eq!(document["paths"]["/v1/login"]["post"]["summary"], "Login Email");
/// # Ok::<(), portcullis_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidConfig`] if both have a different operation or component of the same name,
/// or `document` has something else where an object belongs; the message says where, and
/// `document` is unchanged.
pub fn merge(document: &mut Value, part: &Value) -> Result<(), Error> {
    let mut merged = document.clone();
    // Operations are listed by path and method, components by kind and name: both two levels deep.
    for section in ["paths", "components"] {
        for (group, entries) in members(&part[section]) {
            for (name, entry) in members(entries) {
                let present = merged
                    .as_object_mut()
                    .and_then(|document| object_at(document, section))
                    .and_then(|section| object_at(section, group))
                    .map(|group| &*group.entry(name).or_insert_with(|| entry.clone()));
                if present != Some(entry) {
                    return Err(Error::new(
                        ErrorKind::InvalidConfig,
                        format!(
                            "the OpenAPI document has something else at {section}, {group}, {name}"
                        ),
                    ));
                }
            }
        }
    }
    *document = merged;
    Ok(())
}

fn content(media_type: &str, schema: &str) -> Value {
    json!({ media_type: { "schema": schema_ref(schema) } })
}

fn schema_ref(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn object_at<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
) -> Option<&'a mut Map<String, Value>> {
    parent
        .entry(key)
        .or_insert_with(|| json!({}))
        .as_object_mut()
}
