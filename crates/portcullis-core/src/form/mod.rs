//! Turns a content type and a body into named form fields.
//!
//! Byte for byte what FastAPI 0.165.0 reads (Starlette 1.10.0, python-multipart 0.0.34): lenient
//! where it is lenient, and with its limits and error texts. Three rules surprise:
//!
//! * A body of any other content type, JSON included, is an empty form and not an error.
//! * Raw bytes from 0x80 up in a URL-encoded body are Latin-1, whatever `charset` says. Clients
//!   send other text percent-encoded.
//! * Running out of input is not an error: what is complete counts.
//!
//! Of Python's charsets for multipart text only UTF-8, Windows-1252, ASCII and Latin-1 are known;
//! text in any other is read as Latin-1.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use thiserror::Error;
use zeroize::Zeroize;

use self::charset::Charset;

mod charset;
mod multipart;
mod params;
mod urlencoded;

mod validation;
pub use validation::{ValidationError, ValidationErrorKind, ValidationErrors};

/// A parsed form. It borrows the body, and wipes the text it had to decode when dropped.
///
/// ```
/// use portcullis_core::form::{FormData, FormValue};
///
/// let form = FormData::parse(
///     Some(b"application/x-www-form-urlencoded"),
///     b"username=ada%40example.com&otp=1&otp=2&scope=",
/// )?;
/// assert_eq!(form.value("username"), Some(FormValue::Text("ada@example.com")));
/// assert_eq!(form.value("otp"), Some(FormValue::Text("2")));
/// assert_eq!(form.value("scope"), None);
/// # Ok::<(), portcullis_core::form::FormError>(())
/// ```
pub struct FormData<'a> {
    fields: Vec<Field<'a>>,
}

impl<'a> FormData<'a> {
    /// Reads `body` as its content type says. Give the first `Content-Type` header as it was
    /// sent, or `None` if there was none.
    ///
    /// # Errors
    /// Any [`FormError`]; the first one in the order of the body.
    pub fn parse(content_type: Option<&[u8]>, body: &'a [u8]) -> Result<Self, FormError> {
        let content_type = content_type.unwrap_or_default();
        let media_type = params::first_piece(content_type);
        let fields = if media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            urlencoded::parse(body)?
        } else if media_type.eq_ignore_ascii_case(b"multipart/form-data") {
            let [boundary, charset] = params::parameters(content_type, ["boundary", "charset"]);
            let boundary = boundary.ok_or(FormError::MissingBoundary)?;
            let charset = charset.map_or(Charset::Utf8, |label| Charset::from_label(&label));
            multipart::parse(body, &boundary, charset)?
        } else {
            Vec::new()
        };
        Ok(Self { fields })
    }

    /// The last value sent for `name`, which is compared exactly. `None` if that is the empty
    /// string or a file input left blank, or if there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<FormValue<'_>> {
        let field = self.fields.iter().rfind(|field| *field.name.0 == *name)?;
        match &field.value {
            FieldValue::BlankFile => None,
            FieldValue::File => Some(FormValue::File),
            FieldValue::Text(text) if text.0.is_empty() => None,
            FieldValue::Text(text) => Some(FormValue::Text(&text.0)),
        }
    }
}

/// Shows the number of fields only: the name of a field can be a secret too, for `curl -d` sends a
/// JSON document as URL-encoded, which makes it one long name.
impl fmt::Debug for FormData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormData")
            .field("fields", &self.fields.len())
            .finish()
    }
}

/// What was sent for a name.
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub enum FormValue<'a> {
    /// A file. Nobody logs in with one, so its content is not kept.
    File,
    /// Text, never empty.
    Text(&'a str),
}

impl fmt::Debug for FormValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("File"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// Why a body cannot be read as a form. [`Display`](fmt::Display) is the text FastAPI answers with
/// status 400.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum FormError {
    /// A URL-encoded name and its value together exceed 1,048,576 bytes as sent.
    #[error("Field exceeded maximum size of 1024KB.")]
    FieldTooLarge,
    /// The multipart framing is broken.
    #[error("Invalid multipart data.")]
    InvalidMultipart,
    /// A multipart content type without a `boundary` parameter (RFC 2046 §5.1.1).
    #[error("Missing boundary in multipart.")]
    MissingBoundary,
    /// A part whose `Content-Disposition` has no `name` parameter (RFC 7578 §4.2).
    #[error(r#"The Content-Disposition header field "name" must be provided."#)]
    MissingName,
    /// A multipart text exceeds 1,048,576 bytes.
    #[error("Part exceeded maximum size of 1024KB.")]
    PartTooLarge,
    /// More than 1,000 fields that are not files, known or not.
    #[error("Too many fields. Maximum number of fields is 1000.")]
    TooManyFields,
    /// More than 1,000 files.
    #[error("Too many files. Maximum number of files is 1000.")]
    TooManyFiles,
}

struct Field<'a> {
    name: Text<'a>,
    value: FieldValue<'a>,
}

enum FieldValue<'a> {
    /// No file name and no content: what a browser sends for a file input left blank.
    BlankFile,
    File,
    Text(Text<'a>),
}

/// Text of the form: part of the body where it can be, else decoded from it and wiped when dropped.
struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    fn into_owned(mut self) -> Text<'static> {
        Text(Cow::Owned(mem::take(&mut self.0).into_owned()))
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

const MAX_FIELDS: usize = 1000;
const MAX_TEXT_LEN: usize = 1024 * 1024;
