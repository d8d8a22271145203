//! What is wrong with the fields of a form, in the shape FastAPI reports it.

use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Everything that is wrong with a form: at least one error, in the order in which FastAPI declares
/// the fields. Serialised, it is the array that FastAPI sends as `detail`.
#[derive(Clone, Debug, Eq, Error, PartialEq, Serialize)]
#[error("{}", joined(.0))]
#[serde(transparent)]
pub struct ValidationErrors(Vec<ValidationError>);

impl ValidationErrors {
    /// Takes the errors of a form that has some.
    pub(crate) fn new(errors: Vec<ValidationError>) -> Self {
        Self(errors)
    }

    /// The errors, at most one a field.
    pub fn iter(&self) -> impl Iterator<Item = &ValidationError> {
        self.0.iter()
    }
}

fn joined(errors: &[ValidationError]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

/// What is wrong with one field.
///
/// Only serialising it shows what the client sent; [`Debug`](fmt::Debug) and
/// [`Display`](fmt::Display) do not, for it may be anything.
#[derive(Clone, Eq, Error, PartialEq)]
#[error("{field}: {kind}")]
pub struct ValidationError {
    field: &'static str,
    kind: ValidationErrorKind,
    input: Option<String>,
}

impl ValidationError {
    /// Blames `field`. `input` is what was sent, where the error shows that.
    pub(crate) fn new(field: &'static str, kind: ValidationErrorKind, input: Option<&str>) -> Self {
        Self {
            field,
            kind,
            input: input.map(str::to_owned),
        }
    }

    /// The name of the field.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong with it.
    #[must_use]
    pub fn kind(&self) -> ValidationErrorKind {
        self.kind
    }
}

impl fmt::Debug for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidationError")
            .field("field", &self.field)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Keys in FastAPI's order: a client may compare bytes.
impl Serialize for ValidationError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Detail<'a> {
            r#type: &'a str,
            loc: [&'a str; 2],
            msg: String,
            input: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            ctx: Option<Context>,
        }

        #[derive(Serialize)]
        struct Context {
            pattern: &'static str,
        }

        Detail {
            r#type: self.kind.as_str(),
            loc: ["body", self.field],
            msg: self.kind.to_string(),
            input: self.input.as_deref(),
            ctx: match self.kind {
                ValidationErrorKind::StringPatternMismatch { pattern } => Some(Context { pattern }),
                _ => None,
            },
        }
        .serialize(serializer)
    }
}

/// The kinds of [`ValidationError`], named as Pydantic names them on the wire.
/// [`Display`](fmt::Display) is Pydantic's message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ValidationErrorKind {
    /// The field is required, and absent or empty.
    Missing,
    /// The value is not what it must be, such as `password` for `grant_type` (RFC 6749 §4.3.2).
    StringPatternMismatch {
        /// What it must match, as a regular expression.
        pattern: &'static str,
    },
    /// The field is a file. FastAPI describes it as `input`, down to attributes of Python objects;
    /// we send `null`.
    StringType,
}

impl ValidationErrorKind {
    /// The name on the wire, such as `string_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::StringPatternMismatch { .. } => "string_pattern_mismatch",
            Self::StringType => "string_type",
        }
    }
}

impl fmt::Display for ValidationErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("Field required"),
            Self::StringPatternMismatch { pattern } => {
                write!(f, "String should match pattern '{pattern}'")
            }
            Self::StringType => f.write_str("Input should be a valid string"),
        }
    }
}
