//! Answers as FastAPI has them, and the differences that its users make.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::{Answer, Responder, WWW_AUTHENTICATE, insufficient_scope};
use crate::endpoint::{Login, TokenRefusal};
use crate::error::{Error, ErrorKind};
use crate::guard::BearerRefusal;
use crate::password::PasswordRefusal;
use crate::responder::{Detail, Reply};

/// Answers as FastAPI 0.165.0 does, byte for byte: `{"detail": ...}`, and exactly `access_token` and
/// `token_type` with a token.
///
/// Real services differ from FastAPI's documentation in the status and the text of a refusal, and have
/// more members in the answer to a login. Both can be said here:
///
/// ```
/// use portcullis_core::responder::{FastApi, RefusalKind, Wording};
///
/// let answers = FastApi::new()
///     .with_wording(
///         RefusalKind::BadCredentials,
///         Wording::new(400, "Incorrect email or password")?,
///     )
///     .with_wording(
///         RefusalKind::InvalidToken,
///         Wording::new(403, "Could not validate credentials")?,
///     )
///     .with_member("user_id", |login| login.user.user_id.as_str().into());
/// # Ok::<(), portcullis_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FastApi {
    wordings: Vec<(RefusalKind, Wording)>,
    members: Vec<Member>,
}

impl FastApi {
    /// Answers as FastAPI does.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers refusals of a kind with `wording`. A `Retry-After` stays where there is one.
    #[must_use]
    pub fn with_wording(mut self, kind: RefusalKind, wording: Wording) -> Self {
        self.wordings.retain(|(other, _)| *other != kind);
        self.wordings.push((kind, wording));
        self
    }

    /// Adds a member to the answer that has a token, after those that are there. A name that is there
    /// already, as `token_type`, gets this value and keeps its place.
    ///
    /// `value` is called for each login and refresh, and must not block.
    #[must_use]
    pub fn with_member(
        mut self,
        name: impl Into<String>,
        value: impl Fn(&Login) -> Value + Send + Sync + 'static,
    ) -> Self {
        self.members.push(Member {
            name: name.into(),
            value: Arc::new(value),
        });
        self
    }

    fn token(&self, login: &Login) -> Reply {
        let mut body = Members(Vec::with_capacity(3 + self.members.len()));
        let access_token = login.token.access_token.expose();
        body.set("access_token", Cow::from(access_token).into());
        if let Some(refresh) = login.refresh_token_for_body() {
            body.set("refresh_token", Cow::from(refresh.token.expose()).into());
        }
        body.set("token_type", Cow::from("bearer").into());
        for member in &self.members {
            body.set(&member.name, MemberValue::Other((member.value)(login)));
        }
        Reply::of(200, &body)
    }

    fn refused(&self, refusal: &TokenRefusal) -> Reply {
        match refusal {
            TokenRefusal::Form(error) => Reply::detail(400, error),
            TokenRefusal::Validation(errors) => Reply::of(422, &Detail { detail: errors }),
            TokenRefusal::NewPassword(refusal) => Reply::of(422, &new_password(refusal)),
            TokenRefusal::ChallengeRequired(challenge) => {
                let wording = self.wording(RefusalKind::ChallengeRequired);
                wording.reply(Some(challenge.reason()), challenge.members())
            }
            TokenRefusal::Denied(denial) => {
                let wording = self.wording(RefusalKind::Denied);
                wording.reply(Some(denial.reason()), &Map::new())
            }
            TokenRefusal::Failed(error) => failure(error),
            TokenRefusal::BadCredentials => self.plain(RefusalKind::BadCredentials),
            TokenRefusal::BadCurrentPassword => self.plain(RefusalKind::BadCurrentPassword),
            TokenRefusal::BadRefreshToken => self.plain(RefusalKind::BadRefreshToken),
            TokenRefusal::BodyTimedOut => self.plain(RefusalKind::BodyTimedOut),
            TokenRefusal::BodyTooLarge => self.plain(RefusalKind::BodyTooLarge),
            TokenRefusal::BodyUnreadable => self.plain(RefusalKind::BodyUnreadable),
            TokenRefusal::NoRefreshToken => self.plain(RefusalKind::NoRefreshToken),
            TokenRefusal::Throttled { retry_after } => self
                .plain(RefusalKind::Throttled)
                .with_retry_after(*retry_after),
            TokenRefusal::TooManyTokens => self.plain(RefusalKind::TooManyTokens),
            TokenRefusal::UnsupportedTokenType => self.plain(RefusalKind::UnsupportedTokenType),
        }
    }

    fn bearer(&self, refusal: &BearerRefusal) -> Reply {
        match refusal {
            BearerRefusal::CrossSite => self.plain(RefusalKind::CrossSite),
            BearerRefusal::Failed(error) => failure(error),
            BearerRefusal::InsufficientScope { scope } => self
                .plain(RefusalKind::InsufficientScope)
                .with_header(WWW_AUTHENTICATE, insufficient_scope(scope)),
            BearerRefusal::InvalidToken => self.plain(RefusalKind::InvalidToken),
            BearerRefusal::NotAuthenticated => self.plain(RefusalKind::NotAuthenticated),
        }
    }

    fn plain(&self, kind: RefusalKind) -> Reply {
        self.wording(kind).reply(None, &Map::new())
    }

    fn wording(&self, kind: RefusalKind) -> Wording {
        let mut said = self.wordings.iter();
        match said.find(|(other, _)| *other == kind) {
            Some((_, wording)) => wording.clone(),
            None => kind.default_wording(),
        }
    }
}

impl Responder for FastApi {
    fn respond(&self, answer: Answer<'_>) -> Reply {
        match answer {
            Answer::Bearer(refusal) => self.bearer(refusal),
            Answer::LoggedOut => Reply::new(204),
            Answer::MethodNotAllowed { allow } => {
                Reply::detail(405, "Method Not Allowed").with_header("allow", allow.to_owned())
            }
            Answer::NotFound => Reply::detail(404, "Not Found"),
            Answer::Refused(refusal) => self.refused(refusal),
            Answer::Revoked => Reply::new(200),
            Answer::Token(login) => self.token(login),
        }
    }
}

/// The kinds of refusals that [`FastApi`] can be told to put into other words.
///
/// What is wrong with a form keeps FastAPI's own shape, and a store that fails is always 503 or 500.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// [`TokenRefusal::BadCredentials`]: 401 `Incorrect username or password`, with a challenge.
    BadCredentials,
    /// [`TokenRefusal::BadCurrentPassword`]: 400 `Incorrect password`.
    BadCurrentPassword,
    /// [`TokenRefusal::BadRefreshToken`]: 401 `Could not validate credentials`, with a challenge.
    BadRefreshToken,
    /// [`TokenRefusal::BodyTimedOut`]: 408 `Request Timeout`.
    BodyTimedOut,
    /// [`TokenRefusal::BodyTooLarge`]: 413 `Content Too Large`.
    BodyTooLarge,
    /// [`TokenRefusal::BodyUnreadable`]: 400 `There was an error parsing the body`.
    BodyUnreadable,
    /// [`TokenRefusal::ChallengeRequired`]: 403 with the reason of the challenge.
    ChallengeRequired,
    /// [`BearerRefusal::CrossSite`]: 403 `Cross-site request refused`.
    CrossSite,
    /// [`TokenRefusal::Denied`]: 400 with the reason of the denial.
    Denied,
    /// [`BearerRefusal::InsufficientScope`]: 403 `Not enough permissions`, with the challenge of RFC
    /// 6750 §3.1 whatever the wording.
    InsufficientScope,
    /// [`BearerRefusal::InvalidToken`]: 401 `Could not validate credentials`, with a challenge.
    InvalidToken,
    /// [`TokenRefusal::NoRefreshToken`]: 401 `Not authenticated`, with a challenge.
    NoRefreshToken,
    /// [`BearerRefusal::NotAuthenticated`]: 401 `Not authenticated`, with a challenge.
    NotAuthenticated,
    /// [`TokenRefusal::Throttled`]: 429 `Too Many Requests`.
    Throttled,
    /// [`TokenRefusal::TooManyTokens`]: 400 `Too many refresh tokens`.
    TooManyTokens,
    /// [`TokenRefusal::UnsupportedTokenType`]: 400 `Only refresh tokens are revoked here`.
    UnsupportedTokenType,
}

impl RefusalKind {
    /// The texts of FastAPI's documentation, where it has one.
    fn default_wording(self) -> Wording {
        let (status, text, challenge) = match self {
            Self::BadCredentials => (401, "Incorrect username or password", true),
            Self::BadCurrentPassword => (400, "Incorrect password", false),
            Self::BadRefreshToken | Self::InvalidToken => {
                (401, "Could not validate credentials", true)
            }
            Self::BodyTimedOut => (408, "Request Timeout", false),
            Self::BodyTooLarge => (413, "Content Too Large", false),
            Self::BodyUnreadable => (400, "There was an error parsing the body", false),
            Self::ChallengeRequired => (403, "A second factor is needed", false),
            Self::CrossSite => (403, "Cross-site request refused", false),
            Self::Denied => (400, "The login was denied", false),
            Self::InsufficientScope => (403, "Not enough permissions", false),
            Self::NoRefreshToken | Self::NotAuthenticated => (401, "Not authenticated", true),
            Self::Throttled => (429, "Too Many Requests", false),
            Self::TooManyTokens => (400, "Too many refresh tokens", false),
            Self::UnsupportedTokenType => (400, "Only refresh tokens are revoked here", false),
        };
        Wording {
            status,
            text: None,
            default_text: text,
            challenge: challenge.then_some(Cow::Borrowed("Bearer")),
        }
    }
}

/// How [`FastApi`] puts a refusal into words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wording {
    status: u16,
    /// What was said, which goes before the reason of a gate.
    text: Option<String>,
    default_text: &'static str,
    challenge: Option<Cow<'static, str>>,
}

impl Wording {
    /// Answers `{"detail": text}` with `status`, and without a `WWW-Authenticate` header.
    ///
    /// # Errors
    /// `InvalidConfig` if `status` is not from 400 to 599: a refusal must not look like a success.
    pub fn new(status: u16, text: impl Into<String>) -> Result<Self, Error> {
        if !(400..600).contains(&status) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("a refusal must have a status from 400 to 599, and not {status}"),
            ));
        }
        Ok(Self {
            status,
            text: Some(text.into()),
            default_text: "",
            challenge: None,
        })
    }

    /// Adds a `WWW-Authenticate` header, such as `Bearer` (RFC 9110 §11.6.1).
    #[must_use]
    pub fn with_challenge(mut self, challenge: impl Into<Cow<'static, str>>) -> Self {
        self.challenge = Some(challenge.into());
        self
    }

    /// `reason` is a gate's, and `members` are those of its challenge.
    fn reply(&self, reason: Option<&str>, members: &Map<String, Value>) -> Reply {
        let text = self.text.as_deref();
        let text = text.or(reason).unwrap_or(self.default_text);
        let mut body = Members(vec![("detail", Cow::from(text).into())]);
        for (name, value) in members {
            body.set(name, MemberValue::Other(value.clone()));
        }
        let reply = Reply::of(self.status, &body);
        match &self.challenge {
            Some(challenge) => reply.with_header(WWW_AUTHENTICATE, challenge.clone()),
            None => reply,
        }
    }
}

/// The body says nothing of the cause.
fn failure(error: &Error) -> Reply {
    match Reply::status_of(error) {
        503 => Reply::detail(503, "Service Unavailable")
            .with_retry_after(error.retry_after().unwrap_or_default()),
        status => Reply::detail(status, "Internal Server Error"),
    }
}

/// A password that is not taken, as Pydantic reports a field.
fn new_password(refusal: &PasswordRefusal) -> impl Serialize {
    Detail {
        detail: [NewPasswordError {
            r#type: "value_error",
            loc: ["body", "new_password"],
            msg: refusal.to_string(),
            input: None,
        }],
    }
}

#[derive(serde::Serialize)]
struct NewPasswordError {
    r#type: &'static str,
    loc: [&'static str; 2],
    msg: String,
    /// What was sent is a password, and is not repeated.
    input: Option<String>,
}

/// A further member of the answer to a login.
#[derive(Clone)]
struct Member {
    name: String,
    value: Arc<dyn Fn(&Login) -> Value + Send + Sync>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// An object whose members stay in their order; `serde_json` would sort them.
struct Members<'a>(Vec<(&'a str, MemberValue<'a>)>);

/// Tokens are borrowed, so that no copy is left behind unwiped.
enum MemberValue<'a> {
    Text(Cow<'a, str>),
    Other(Value),
}

impl<'a> From<Cow<'a, str>> for MemberValue<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl<'a> Members<'a> {
    fn set(&mut self, name: &'a str, value: MemberValue<'a>) {
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, there)) => *there = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            match value {
                MemberValue::Text(text) => map.serialize_entry(name, text)?,
                MemberValue::Other(value) => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}
