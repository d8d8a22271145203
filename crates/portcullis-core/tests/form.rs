//! Form parsing and validation, rule by rule and against what FastAPI 0.165.0 was recorded to do.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use portcullis_core::endpoint::{GrantTypePolicy, PasswordGrant};
use portcullis_core::form::{FormData, FormError, FormValue, ValidationErrors};

type Read<'a> = Result<Option<FormValue<'a>>, FormError>;

const URLENCODED: &[u8] = b"application/x-www-form-urlencoded";
const MULTIPART: &[u8] = b"multipart/form-data; boundary=B";
const ABSENT: Read<'_> = Ok(None);
const FILE: Read<'_> = Ok(Some(FormValue::File));
const INVALID: Read<'_> = Err(FormError::InvalidMultipart);
const MIB: usize = 1024 * 1024;

const fn text(text: &str) -> Read<'_> {
    Ok(Some(FormValue::Text(text)))
}

/// Compares what is read for `username`.
#[track_caller]
fn check(content_type: &[u8], body: &[u8], expected: Read<'_>) {
    match (FormData::parse(Some(content_type), body), expected) {
        (Ok(form), Ok(expected)) => assert!(
            form.value("username") == expected,
            "{:?} for {}",
            form.value("username"),
            body.escape_ascii()
        ),
        (form, expected) => assert_eq!(form.err(), expected.err(), "{}", body.escape_ascii()),
    }
}

#[track_caller]
fn check_urlencoded(body: &[u8], expected: Read<'_>) {
    check(URLENCODED, body, expected);
}

#[track_caller]
fn check_multipart(body: &[u8], expected: Read<'_>) {
    check(MULTIPART, body, expected);
}

/// A whole body of one part with the boundary `B`.
fn part(disposition: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--B\r\nContent-Disposition: {disposition}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n--B--"].concat()
}

#[test]
fn the_content_type_decides_how_a_body_is_read() {
    let body = b"username=ada";
    check(URLENCODED, body, text("ada"));
    check(b" \tApplication/X-WWW-Form-Urlencoded ", body, text("ada"));
    check(
        b"application/x-www-form-urlencoded;;;=;\"",
        body,
        text("ada"),
    );
    check(
        b"application/x-www-form-urlencoded; charset=x",
        body,
        text("ada"),
    );
    check(
        b"application/x-www-form-urlencoded, text/plain",
        body,
        ABSENT,
    );
    check(b"application/x-www-form-urlencoded x", body, ABSENT);
    check(b"\"application/x-www-form-urlencoded\"", body, ABSENT);
    check(b"application/x-www-form-urlencoded\";", body, ABSENT);
    check(b"application/json", br#"{"username":"ada"}"#, ABSENT);
    check(b"", body, ABSENT);
    assert!(
        FormData::parse(None, body)
            .unwrap()
            .value("username")
            .is_none()
    );

    let body = part("form-data; name=username", b"ada");
    check(b"multipart/form-data; boundary=B", &body, text("ada"));
    check(
        b"MULTIPART/FORM-DATA;x;Boundary = \"B\" ;y",
        &body,
        text("ada"),
    );
    check(
        b"multipart/form-data; boundary=x; boundary=B",
        &body,
        text("ada"),
    );
    check(
        b"multipart/form-data; boundary*=B",
        &body,
        Err(FormError::MissingBoundary),
    );
    check(
        b"multipart/form-data; BOUNDARY",
        &body,
        Err(FormError::MissingBoundary),
    );
    check(b"multipart/form-data", b"", Err(FormError::MissingBoundary));
    check(
        b"multipart/form-data; x=\"; boundary=B",
        &body,
        Err(FormError::MissingBoundary),
    );
    check(
        b"multipart/form-data; x=\"\\\"; boundary=B\"; boundary=x",
        &body,
        INVALID,
    );
    check(b"multipart/mixed; boundary=B", &body, ABSENT);
}

#[test]
fn urlencoded_segments_are_split_at_ampersands_and_the_first_equals_sign() {
    check_urlencoded(b"username==a", text("=a"));
    check_urlencoded(b"&&username=a;password=b&", text("a;password=b"));
    check_urlencoded(b"username=a&username=b", text("b"));
    check_urlencoded(b"username=a&username", ABSENT);
    check_urlencoded(b"=a", ABSENT);
    check_urlencoded(b"Username=a& username=b&username =c", ABSENT);
    check_urlencoded(b"%75ser%6eame= a\r\n", text(" a\r\n"));
}

#[test]
fn urlencoded_escapes_are_utf8_and_raw_bytes_are_latin1() {
    check_urlencoded(b"username=a+b%20c%2Bd", text("a b c+d"));
    check_urlencoded(b"username=%ZZ%%41%u0041%2", text("%ZZ%A%u0041%2"));
    check_urlencoded(b"username=%", text("%"));
    check_urlencoded(b"username=%C3%A9%c3%a9", text("éé"));
    check_urlencoded(b"username=%FF", text("\u{fffd}"));
    check_urlencoded(b"username=%C3%28", text("\u{fffd}("));
    check_urlencoded(b"username=%ED%A0%80", text("\u{fffd}\u{fffd}\u{fffd}"));
    check_urlencoded(b"username=%F0%9F%98", text("\u{fffd}"));
    check_urlencoded(b"username=\xc3\xa9", text("Ã©"));
    check_urlencoded(b"username=%C3\xa9", text("\u{fffd}©"));
    check_urlencoded(b"username=%00\0", text("\0\0"));
    check_urlencoded(b"username=%EF%BB%BFx", text("\u{feff}x"));
}

#[test]
fn urlencoded_limits_are_reported_in_the_order_of_the_body() {
    let sized = |len: usize| [b"username=", "a".repeat(len - 8).as_bytes()].concat();
    check_urlencoded(&sized(MIB), text(&"a".repeat(MIB - 8)));
    check_urlencoded(&sized(MIB + 1), Err(FormError::FieldTooLarge));

    let many = b"&=&".repeat(1000);
    check_urlencoded(&many, ABSENT);
    check_urlencoded(&[&many[..], b"x"].concat(), Err(FormError::TooManyFields));
    check_urlencoded(
        &[&many[..], &sized(MIB + 1)].concat(),
        Err(FormError::FieldTooLarge),
    );
}

#[test]
fn multipart_framing_is_as_lenient_as_python_multipart() {
    let part = &part("form-data; name=username", b"ada")[..];
    check_multipart(b"", ABSENT);
    check_multipart(part, text("ada"));
    check_multipart(&part[..part.len() - 1], ABSENT);
    check_multipart(&[b"\r\n\nignored", part].concat(), text("ada"));
    check_multipart(b"\r\n", ABSENT);
    check_multipart(&[b"preamble\r\n", part].concat(), INVALID);
    check_multipart(b"--", ABSENT);
    check_multipart(b"--X", INVALID);
    check_multipart(b"--B--\r\nanything", ABSENT);
    check_multipart(b"--B-", ABSENT);
    check_multipart(b"--B-\r", INVALID);
    check_multipart(b"--B \r\n", INVALID);
    check_multipart(b"--B\n\n", INVALID);
    check(
        b"multipart/form-data; boundary",
        b"--\r\n\r\n\r\n----",
        Err(FormError::MissingName),
    );
    check(
        &[b"multipart/form-data; boundary=", &[b'x'; 257][..]].concat(),
        b"",
        INVALID,
    );
    check(
        &[b"multipart/form-data; boundary=", &[b'x'; 256][..]].concat(),
        b"",
        ABSENT,
    );
}

#[test]
fn multipart_content_ends_only_at_a_whole_delimiter() {
    let part = |content: &[u8]| part("form-data; name=username", content);
    check_multipart(&part(b"\r\n--"), text("\r\n--"));
    check_multipart(
        &part(b"--B--\n--B--\r\n--Bx\r\n--B-x"),
        text("--B--\n--B--\r\n--Bx\r\n--B-x"),
    );
    check_multipart(&part(b"\r\n--B\r"), text("\r\n--B\r"));
    check_multipart(&part(b"a\r\n--B \t\r\nX: y"), text("a"));
    check_multipart(&part(b"a\r\n--B \tx"), INVALID);
    check_multipart(&part(b"a\r\n--B --"), INVALID);
    check_multipart(&part(b"%41+\n "), text("%41+\n "));
    check_multipart(&part(b""), ABSENT);
}

#[test]
fn multipart_headers_are_checked_strictly() {
    let headers = |lines: &[u8]| {
        let name = b"Content-Disposition:;name=username\r\n";
        [b"--B\r\n", &name[..], lines, b"\r\n\r\na\r\n--B--"].concat()
    };
    check_multipart(&headers(b"content-type: text/plain"), text("a"));
    check_multipart(&headers(b"X!#$%&'*+-.^_`|~9:\xff\n"), text("a"));
    check_multipart(&headers(b"content-disposition:x;name=y"), ABSENT);
    check_multipart(
        &headers(b"content-disposition:name=y"),
        Err(FormError::MissingName),
    );
    check_multipart(&headers(b" folded"), INVALID);
    check_multipart(&headers(b"X : y"), INVALID);
    check_multipart(&headers(b": y"), INVALID);
    check_multipart(&headers(b"X"), INVALID);
    check_multipart(&headers(b"X: y\rZ"), INVALID);
    check_multipart(b"--B\r\nX", ABSENT);
    check_multipart(b"--B\r\nX: y", ABSENT);
    check_multipart(&headers(b"X:\r\n".repeat(6).as_slice()), text("\r\na"));
    check_multipart(
        &headers(&[b"X:\r\n".repeat(6), b"X:".to_vec()].concat()),
        text("a"),
    );
    check_multipart(&headers(b"X:\r\n".repeat(8).as_slice()), INVALID);
    check_multipart(&headers(&[b"X: ", &[b'y'; 4221][..]].concat()), text("a"));
    check_multipart(&headers(&[b"X: ", &[b'y'; 4222][..]].concat()), INVALID);
}

#[test]
fn header_parameters_are_taken_apart_as_python_does() {
    let check = |disposition, expected| check_multipart(&part(disposition, b"a"), expected);
    check(r#"form-data; name="username""#, text("a"));
    check(r#";NAME = "username" "#, text("a"));
    check(r#"; x="; name=y"; name=username"#, text("a"));
    check(r#"; x="\"; name=y"; name=username"#, text("a"));
    check("; name=x; name=username", text("a"));
    check("; name=username; name*=x", text("a"));
    check(r#"; name='username'"#, ABSENT);
    check(r#"; name=""username"""#, ABSENT);
    check("; NAME", Err(FormError::MissingName));
    check(r#"name="username""#, Err(FormError::MissingName));
    check(r#"; x="; name=username"#, Err(FormError::MissingName));

    let body = part(r#"; name="a\\\"b\\\\c\\"d""#, b"x");
    let form = FormData::parse(Some(MULTIPART), &body).unwrap();
    assert!(form.value(r#"a\"b\\c"d"#) == Some(FormValue::Text("x")));
}

#[test]
fn a_file_is_told_from_text_by_its_filename() {
    let check =
        |disposition, content, expected| check_multipart(&part(disposition, content), expected);
    check(r#"; name=username; filename="f""#, b"a", FILE);
    check(r#"; name=username; filename="f""#, b"", FILE);
    check(r#"; name=username; filename="""#, b"a", FILE);
    check("; name=username; filename", b"a", FILE);
    check(r#"; name=username; filename="""#, b"", ABSENT);
    check(r#"; name=username; filename="C:\dir\""#, b"", ABSENT);
    check(r#"; name=username; filename="\\host\""#, b"", FILE);
    check(r#"; name=username; filename="dir\""#, b"", FILE);
    check("; name=username; filename*=f", b"a", text("a"));
}

#[test]
fn multipart_limits_are_reported_in_the_order_of_the_body() {
    let part = |disposition: &str, content: &[u8]| {
        let whole = part(disposition, content);
        whole[..whole.len() - b"--B--".len()].to_vec()
    };
    let one_text = part("; name=x", b"");
    let one_file = part("; name=x; filename=x", b"");
    let full = [one_text.repeat(1000), one_file.repeat(1000)].concat();
    check_multipart(&full, ABSENT);
    check_multipart(
        &[&full[..], &one_text].concat(),
        Err(FormError::TooManyFields),
    );
    check_multipart(
        &[&full[..], &one_file].concat(),
        Err(FormError::TooManyFiles),
    );
    check_multipart(
        &[&full[..], b"--B\r\n\r\n"].concat(),
        Err(FormError::MissingName),
    );

    let large = vec![b'a'; MIB + 1];
    check_multipart(&part("; name=username; filename=x", &large), ABSENT);
    let unfinished = part("; name=x", &large);
    check_multipart(&unfinished, Err(FormError::PartTooLarge));
    check_multipart(
        &[&unfinished[..], b"--B x"].concat(),
        Err(FormError::PartTooLarge),
    );
    let largest = part("; name=x", &large[1..]);
    check_multipart(&largest, ABSENT);
    check_multipart(&[&largest[..], b"--B\r"].concat(), ABSENT);
    check_multipart(
        &[&largest[..], b"--Bx"].concat(),
        Err(FormError::PartTooLarge),
    );
}

#[test]
fn multipart_text_is_in_the_charset_of_the_request_or_latin1() {
    let check = |charset: &[u8], content, expected| {
        let content_type = [MULTIPART, b"; charset=", charset].concat();
        check(&content_type, &part("; name=username", content), expected);
    };
    check_multipart(&part("; name=username", "é✓".as_bytes()), text("é✓"));
    check_multipart(&part("; name=username", b"\xc3\xa9\xff"), text("Ã©ÿ"));
    for utf8 in ["utf-8", "UTF 8", "-utf_8-", "u8", "\"utf8\"", "cp65001"] {
        check(utf8.as_bytes(), "é".as_bytes(), text("é"));
    }
    for latin1 in [
        "latin-1",
        "us-ascii",
        "",
        "utf-88",
        "utf.8",
        "shift_jis",
        "hex",
    ] {
        check(latin1.as_bytes(), "é".as_bytes(), text("Ã©"));
    }
    for windows_1252 in ["cp1252", "Windows-1252", "1252"] {
        check(
            windows_1252.as_bytes(),
            b"\x80\x9f\xa0\xe9",
            text("€Ÿ\u{a0}é"),
        );
        check(windows_1252.as_bytes(), b"\x80\x81", text("\u{80}\u{81}"));
    }
}

#[track_caller]
fn check_errors(body: &[u8], policy: GrantTypePolicy, expected: &str) {
    let errors = grant(URLENCODED, body, policy).unwrap().unwrap_err();
    assert_eq!(serde_json::to_string(&errors).unwrap(), expected);
}

#[test]
fn all_errors_are_reported_in_the_order_of_declaration() {
    use GrantTypePolicy::{Optional, Required};

    let mismatch = r#"{"type":"string_pattern_mismatch","loc":["body","grant_type"],"msg":"String should match pattern '^password$'","input":"é\u0001/","ctx":{"pattern":"^password$"}}"#;
    let grant_type =
        r#"{"type":"missing","loc":["body","grant_type"],"msg":"Field required","input":null}"#;
    let username = grant_type.replace("grant_type", "username");
    let password = grant_type.replace("grant_type", "password");
    check_errors(b"", Optional, &format!("[{username},{password}]"));
    check_errors(
        b"",
        Required,
        &format!("[{grant_type},{username},{password}]"),
    );
    check_errors(
        b"password=&grant_type=%c3%a9%01/",
        Optional,
        &format!("[{mismatch},{username},{password}]"),
    );
    check_errors(
        b"username=a&password=b&grant_type=",
        Required,
        &format!("[{grant_type}]"),
    );
}

#[test]
fn a_grant_holds_what_was_sent() {
    let body = b"grant_type=password&username=+a&password=%20&client_id=null&client_secret=s";
    let grant = grant(URLENCODED, body, GrantTypePolicy::Required)
        .unwrap()
        .unwrap();
    assert_eq!(grant.username().as_str(), " a");
    assert_eq!(grant.password().expose(), " ");
    assert_eq!(grant.client_id(), Some("null"));
    assert_eq!(grant.client_secret().unwrap().expose(), "s");
    assert_eq!(grant.scope(), "");
    assert_eq!(grant.scopes().count(), 0);
}

#[test]
fn scopes_are_separated_by_what_python_calls_white_space() {
    let body = b"username=a&password=b&scope=+r%1Fw%C2%85%E3%80%80x%E2%80%8By%0A";
    let grant = grant(URLENCODED, body, GrantTypePolicy::Optional)
        .unwrap()
        .unwrap();
    assert_eq!(grant.scope(), " r\u{1f}w\u{85}\u{3000}x\u{200b}y\n");
    assert!(grant.scopes().eq(["r", "w", "x\u{200b}y"]));
}

#[test]
fn debug_shows_nothing_the_client_sent() {
    let body = br#"{"password":"secret"}&username=secret&grant_type=secret"#;
    let form = FormData::parse(Some(URLENCODED), body).unwrap();
    let errors = PasswordGrant::from_form(&form, GrantTypePolicy::Optional).unwrap_err();
    let value = form.value("username");
    assert!(!format!("{form:?} {value:?} {errors:?} {errors}").contains("secret"));
}

type Outcome = Result<Result<PasswordGrant, ValidationErrors>, FormError>;

fn grant(content_type: &[u8], body: &[u8], policy: GrantTypePolicy) -> Outcome {
    let form = FormData::parse(Some(content_type), body)?;
    Ok(PasswordGrant::from_form(&form, policy))
}
