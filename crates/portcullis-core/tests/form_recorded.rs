//! Forms against the answers recorded from FastAPI 0.165.0, as far as parsing and validation
//! decide them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use portcullis_core::{FormData, GrantTypePolicy, PasswordGrant};
use serde_json::{Value, json};

const CASES: &str = include_str!("fixtures/fastapi-0.165.0.jsonl");

/// The users of the recorded server, and the token it gave each.
const USERS: [(&str, &str, &str); 2] = [
    (
        "ada@example.com",
        "correct horse battery staple",
        "tok_b5fc85e55755f9e0d030a10ab4429b6b2944855f",
    ),
    (
        "zoë@example.com",
        "pässwörd✓ 密码",
        "tok_5418899f7aabe5f45dd3350fe8edcf89e1763a9e",
    ),
];

#[test]
fn core_and_multipart_cases_are_answered_byte_for_byte() {
    let cases = login_cases(&["core", "multipart"]);
    assert_eq!(cases.len(), 318);
    for case in cases {
        assert_eq!(case.answer(), case.expected, "{}", case.id);
    }
}

/// Files are not described as Python objects.
#[test]
fn exotic_files_are_refused_with_a_null_input() {
    let cases = login_cases(&["exotic"])
        .into_iter()
        .filter(|case| case.group == "mp-file");
    let mut count = 0;
    for case in cases {
        let mut expected: Value = serde_json::from_str(&case.expected.1).unwrap();
        for error in expected["detail"].as_array_mut().unwrap() {
            if error["type"] == "string_type" {
                error["input"] = Value::Null;
            }
        }
        let (status, body) = case.answer();
        assert_eq!(status, case.expected.0, "{}", case.id);
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap(),
            expected,
            "{}",
            case.id
        );
        count += 1;
    }
    assert_eq!(count, 21);
}

/// Python knows these charsets, and fails with 400 or 500 in some of them.
#[test]
fn exotic_charsets_are_read_as_latin1() {
    let cases = login_cases(&["exotic"])
        .into_iter()
        .filter(|case| case.group == "mp-charset");
    let mut count = 0;
    for mut case in cases {
        let (status, body) = case.answer();
        match case.expected.0 {
            400 | 500 => assert_eq!(status, 422, "{}", case.id),
            expected => assert_eq!(status, expected, "{}", case.id),
        }
        let parameters = case.content_type.as_mut().unwrap();
        parameters.truncate(parameters.find("; charset=").unwrap());
        parameters.push_str("; charset=latin-1");
        assert_eq!(case.answer(), (status, body), "{}", case.id);
        count += 1;
    }
    assert_eq!(count, 11);
}

struct Case {
    id: String,
    group: String,
    content_type: Option<String>,
    body: Vec<u8>,
    /// Status and body.
    expected: (u64, String),
}

impl Case {
    /// What the recorded server would answer if it read the form as we do.
    fn answer(&self) -> (u64, String) {
        let content_type = self.content_type.as_deref().map(str::as_bytes);
        let form = match FormData::parse(content_type, &self.body) {
            Ok(form) => form,
            Err(error) => return (400, json!({ "detail": error.to_string() }).to_string()),
        };
        match PasswordGrant::from_form(&form, GrantTypePolicy::Optional) {
            Err(errors) => {
                let detail = serde_json::to_string(&errors).unwrap();
                (422, format!(r#"{{"detail":{detail}}}"#))
            }
            Ok(grant) => USERS
                .iter()
                .find(|(username, password, _)| {
                    grant.username().as_str() == *username && grant.password().expose() == *password
                })
                .map_or_else(
                    || {
                        (
                            401,
                            r#"{"detail":"Incorrect username or password"}"#.to_owned(),
                        )
                    },
                    |(_, _, token)| {
                        let body = format!(r#"{{"access_token":"{token}","token_type":"bearer"}}"#);
                        (200, body)
                    },
                ),
        }
    }
}

/// The recorded requests that reached the form: `POST` to the path of the login.
fn login_cases(tiers: &[&str]) -> Vec<Case> {
    CASES
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|case: &Value| tiers.contains(&case["tier"].as_str().unwrap()))
        .filter(|case| {
            [200, 400, 401, 422, 500]
                .map(Value::from)
                .contains(&case["expect"]["status"])
        })
        .map(|case| Case {
            id: case["id"].as_str().unwrap().to_owned(),
            group: case["group"].as_str().unwrap().to_owned(),
            content_type: case["headers"]
                .as_array()
                .unwrap()
                .iter()
                .find(|header| header[0] == "Content-Type")
                .map(|header| header[1].as_str().unwrap().to_owned()),
            body: match case["body_parts"].as_array() {
                Some(parts) => parts.iter().flat_map(repeated).collect(),
                None => decode(&case["body_b64"]),
            },
            expected: (
                case["expect"]["status"].as_u64().unwrap(),
                String::from_utf8(decode(&case["expect"]["body_b64"])).unwrap(),
            ),
        })
        .collect()
}

/// A part of a long body: bytes, and how often they come.
fn repeated(part: &Value) -> Vec<u8> {
    let times = usize::try_from(part[1].as_u64().unwrap()).unwrap();
    decode(&part[0]).repeat(times)
}

fn decode(base64: &Value) -> Vec<u8> {
    BASE64.decode(base64.as_str().unwrap()).unwrap()
}
