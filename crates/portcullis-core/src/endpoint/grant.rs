//! Turns a form into a password grant, or into the list of everything that is wrong with it.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::form::ValidationErrorKind::{Missing, StringPatternMismatch, StringType};
use crate::form::{FormData, FormValue, ValidationError, ValidationErrorKind, ValidationErrors};
use crate::gate::GateFields;
use crate::hex::Hex;
use crate::password::MAX_PASSWORD_BYTES;
use crate::secret::Secret;
use crate::store::Username;

/// A well-formed request for a token by password (RFC 6749 §4.3.2). Nothing in it has been checked
/// against a store yet.
///
/// It is held while its password waits to be hashed, and so holds no more than it can use: 4 KiB of each
/// field. What is longer is not cut, but stands for something that nobody has: a password that is too long
/// to match; a name, or a client, whose name is the SHA-256 of the one sent, with such a password; a scope
/// that nobody can be granted; no client secret.
///
/// ```
/// use portcullis_core::endpoint::{GrantTypePolicy, PasswordGrant};
/// use portcullis_core::form::FormData;
///
/// let form = FormData::parse(
///     Some(b"application/x-www-form-urlencoded"),
///     b"username=ada%40example.com&password=pw&scope=read+write",
/// )?;
/// let grant = PasswordGrant::from_form(&form, GrantTypePolicy::default())?;
/// assert_eq!(grant.username().as_str(), "ada@example.com");
/// assert!(grant.scopes().eq(["read", "write"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PasswordGrant {
    username: Username,
    password: Secret,
    scope: String,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    gate_fields: GateFields,
}

impl PasswordGrant {
    /// Validates the six fields that FastAPI's `OAuth2PasswordRequestForm` declares; others are
    /// ignored.
    ///
    /// # Errors
    /// Every error of every field: `username` or `password` is missing, `grant_type` is not
    /// `password` (or missing, as `policy` says), or one of the six is a file.
    pub fn from_form(
        form: &FormData<'_>,
        policy: GrantTypePolicy,
    ) -> Result<Self, ValidationErrors> {
        let mut fields = Fields {
            form,
            errors: Vec::new(),
        };
        // In the order in which FastAPI declares the fields, which is the order of the errors.
        let grant_type = match policy {
            GrantTypePolicy::Optional => fields.optional("grant_type"),
            GrantTypePolicy::Required => fields.required("grant_type"),
        };
        if let Some(other) = grant_type.filter(|grant_type| *grant_type != "password") {
            let pattern = "^password$";
            fields.blame("grant_type", StringPatternMismatch { pattern }, Some(other));
        }
        let username = fields.required("username");
        let password = fields.required("password");
        let scope = fields.optional("scope");
        let client_id = fields.optional("client_id");
        let client_secret = fields.optional("client_secret");

        match (username, password) {
            (Some(username), Some(password)) if fields.errors.is_empty() => Ok(Self {
                username: Username::new(held_name(username)),
                password: if username.len() > MAX_FIELD_BYTES {
                    too_long_password()
                } else {
                    held_password(password)
                },
                scope: held_scope(scope),
                client_id: client_id.map(|id| held_name(id).into_owned()),
                client_secret: client_secret
                    .filter(|secret| secret.len() <= MAX_FIELD_BYTES)
                    .map(|secret| Secret::from(secret.to_owned())),
                gate_fields: GateFields::default(),
            }),
            _ => Err(ValidationErrors::new(fields.errors)),
        }
    }

    /// Keeps these further fields of the form too, for a [`LoginGate`](crate::LoginGate).
    pub(crate) fn with_gate_fields(mut self, form: &FormData<'_>, names: &[&'static str]) -> Self {
        for &name in names {
            if let Some(FormValue::Text(value)) = form.value(name) {
                self.gate_fields.push(name, value);
            }
        }
        self
    }

    /// Takes the grant apart, so that the password moves on and is not copied.
    pub(crate) fn into_parts(self) -> (Username, Secret, LoginTerms) {
        let terms = LoginTerms {
            scope: self.scope,
            client_id: self.client_id,
            gate_fields: self.gate_fields,
        };
        (self.username, self.password, terms)
    }

    /// Who wants to log in.
    #[must_use]
    pub fn username(&self) -> &Username {
        &self.username
    }

    /// The password as it was typed.
    #[must_use]
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// The scope asked for, as it was sent; empty if none was.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The scopes asked for, in the order sent, repetitions kept.
    ///
    /// Separated by whatever Python's `str.split()` takes for white space, as FastAPI does; RFC
    /// 6749 §3.3 knows only the space.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        split_scope(&self.scope)
    }

    /// The client, if it said so. It is not authenticated.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The secret of the client, if it sent one (RFC 6749 §2.3.1).
    #[must_use]
    pub fn client_secret(&self) -> Option<&Secret> {
        self.client_secret.as_ref()
    }
}

/// What a login asks for, beside who it is.
pub(crate) struct LoginTerms {
    scope: String,
    pub(crate) client_id: Option<String>,
    pub(crate) gate_fields: GateFields,
}

impl LoginTerms {
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        split_scope(&self.scope)
    }
}

/// A well-formed request for a token by another (RFC 6749 §6). Nothing in it has been checked
/// against a store yet.
#[derive(Clone, Debug)]
pub struct RefreshTokenGrant {
    refresh_token: Secret,
    scope: String,
    client_id: Option<String>,
}

impl RefreshTokenGrant {
    /// Validates the fields; others are ignored.
    ///
    /// # Errors
    /// Every error of every field: `grant_type` is not `refresh_token`, that field is missing, or
    /// one of the four is a file.
    pub fn from_form(form: &FormData<'_>) -> Result<Self, ValidationErrors> {
        let mut fields = Fields {
            form,
            errors: Vec::new(),
        };
        let grant_type = fields.required("grant_type");
        if let Some(other) = grant_type.filter(|grant_type| *grant_type != "refresh_token") {
            let pattern = "^refresh_token$";
            fields.blame("grant_type", StringPatternMismatch { pattern }, Some(other));
        }
        let refresh_token = fields.required("refresh_token");
        let scope = fields.optional("scope");
        let client_id = fields.optional("client_id");
        match refresh_token {
            Some(refresh_token) if fields.errors.is_empty() => Ok(Self {
                refresh_token: held_token(refresh_token),
                scope: held_scope(scope),
                client_id: client_id.map(|id| held_name(id).into_owned()),
            }),
            _ => Err(ValidationErrors::new(fields.errors)),
        }
    }

    /// A grant of this token, for all scopes that it is good for.
    #[must_use]
    pub fn new(refresh_token: Secret) -> Self {
        Self {
            refresh_token,
            scope: String::new(),
            client_id: None,
        }
    }

    /// The token as it was sent.
    #[must_use]
    pub fn refresh_token(&self) -> &Secret {
        &self.refresh_token
    }

    /// The scope asked for, as it was sent; empty if none was.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The scopes asked for, as [`PasswordGrant::scopes`].
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        split_scope(&self.scope)
    }

    /// The client, if it said so. It is not authenticated.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }
}

/// The `token` and `token_type_hint` of a request to revoke one (RFC 7009 §2.1).
pub(crate) fn token_to_revoke<'a>(
    form: &'a FormData<'_>,
) -> Result<(Secret, Option<&'a str>), ValidationErrors> {
    let mut fields = Fields {
        form,
        errors: Vec::new(),
    };
    let token = fields.required("token");
    let hint = fields.optional("token_type_hint");
    match token {
        Some(token) if fields.errors.is_empty() => Ok((held_token(token), hint)),
        _ => Err(ValidationErrors::new(fields.errors)),
    }
}

/// The current and the new password of a request to change it.
pub(crate) fn passwords_to_change(
    form: &FormData<'_>,
) -> Result<(Secret, Secret), ValidationErrors> {
    let mut fields = Fields {
        form,
        errors: Vec::new(),
    };
    let current = fields.required("current_password");
    let new = fields.required("new_password");
    match (current, new) {
        (Some(current), Some(new)) if fields.errors.is_empty() => {
            Ok((held_password(current), held_password(new)))
        }
        _ => Err(ValidationErrors::new(fields.errors)),
    }
}

/// A request that a token endpoint takes, by the grant type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Grant {
    /// A login.
    Password(PasswordGrant),
    /// A refresh.
    RefreshToken(RefreshTokenGrant),
}

/// A name, or one that nobody has in its place.
fn held_name(name: &str) -> Cow<'_, str> {
    if name.len() > MAX_FIELD_BYTES {
        Cow::from(Hex::<32>(Sha256::digest(name).into()).to_string())
    } else {
        Cow::from(name)
    }
}

/// A password, or one that is too long to match.
fn held_password(password: &str) -> Secret {
    if password.len() > MAX_PASSWORD_BYTES {
        too_long_password()
    } else {
        Secret::from(password.to_owned())
    }
}

fn too_long_password() -> Secret {
    Secret::from(" ".repeat(MAX_PASSWORD_BYTES + 1))
}

/// A scope, or one that is not a `scope-token` (RFC 6749 §3.3).
fn held_scope(scope: Option<&str>) -> String {
    match scope {
        Some(scope) if scope.len() > MAX_FIELD_BYTES => "\"".to_owned(),
        Some(scope) => scope.to_owned(),
        None => String::new(),
    }
}

/// A token, or none.
fn held_token(token: &str) -> Secret {
    let is_token = token.len() <= MAX_FIELD_BYTES;
    Secret::from(if is_token { token } else { "" }.to_owned())
}

pub(crate) fn split_scope(scope: &str) -> impl Iterator<Item = &str> {
    scope
        .split(|c: char| c.is_whitespace() || matches!(c, '\x1c'..='\x1f'))
        .filter(|scope| !scope.is_empty())
}

/// Whether `grant_type=password` must be sent. Any other value is always refused.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GrantTypePolicy {
    /// It may leave it out, as FastAPI's `OAuth2PasswordRequestForm` has it.
    #[default]
    Optional,
    /// It must be sent, as `OAuth2PasswordRequestFormStrict` and RFC 6749 §4.3.2 have it.
    Required,
}

/// Reads fields, and collects what is wrong with them.
struct Fields<'a> {
    form: &'a FormData<'a>,
    errors: Vec<ValidationError>,
}

impl<'a> Fields<'a> {
    fn required(&mut self, name: &'static str) -> Option<&'a str> {
        if self.form.value(name).is_none() {
            self.blame(name, Missing, None);
        }
        self.optional(name)
    }

    fn optional(&mut self, name: &'static str) -> Option<&'a str> {
        match self.form.value(name)? {
            FormValue::Text(text) => Some(text),
            FormValue::File => {
                self.blame(name, StringType, None);
                None
            }
        }
    }

    fn blame(&mut self, name: &'static str, kind: ValidationErrorKind, input: Option<&str>) {
        self.errors.push(ValidationError::new(name, kind, input));
    }
}

/// More is of no use in any field; a password that is longer is never right.
const MAX_FIELD_BYTES: usize = MAX_PASSWORD_BYTES;
