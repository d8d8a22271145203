//! A say of the application between the right password and the token.

use std::fmt::{self, Debug};
use std::net::IpAddr;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::authenticator::AuthenticatedUser;
use crate::error::Error;
use crate::secret::Secret;

/// Decides whether somebody who has sent the right password may log in.
///
/// A gate is asked after the password was found to be right, and before anything else happens: no
/// token has been made, the throttle has not been told, no observer has heard of a success. So only
/// who has the password ever hears what a gate says.
///
/// What it decides, and what follows:
///
/// | decision | the throttle | the client gets |
/// |---|---|---|
/// | [`Admit`](GateDecision::Admit) | counts a success | a token |
/// | [`Deny`](GateDecision::Deny) | counts a failure of the account | the [`Denial`], as the responder has it |
/// | [`Challenge`](GateDecision::Challenge) | counts nothing | the [`Challenge`], as the responder has it |
///
/// Only logins are put to a gate: a refresh and a change of password come from somebody who has logged in.
///
/// A second factor is the third row and then the first: the client sends the same form once more,
/// with the code in a further field. A wrong code is a denial, and so the throttle limits how many
/// can be tried.
///
/// ```
/// use portcullis_core::gate::{Denial, GateDecision, LoginCandidate};
/// use portcullis_core::{Error, LoginGate, async_trait};
///
/// /// Lets nobody in whose name does not end in the company's domain.
/// #[derive(Debug)]
/// struct StaffOnly;
///
/// #[async_trait]
/// impl LoginGate for StaffOnly {
///     async fn decide(&self, candidate: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
///         let name = candidate.user.username().as_str();
///         Ok(if name.ends_with("@example.com") {
///             GateDecision::Admit
///         } else {
///             GateDecision::Deny(Denial::new("Only staff may log in here"))
///         })
///     }
/// }
/// ```
#[async_trait]
pub trait LoginGate: Debug + Send + Sync + 'static {
    /// Decides about one login.
    ///
    /// Cancellation: when the client goes away while this waits, the decision still runs to its end
    /// where the adapter can run tasks, and no token is made.
    ///
    /// # Errors
    /// Whatever kept the gate from deciding. The client is answered as for a store that fails (503
    /// or 500), and the attempt counts neither as a failure nor as a success. So an error must be nothing
    /// that a client can bring about, such as by a malformed code: that is a denial, or the throttle would
    /// not count it.
    async fn decide(&self, candidate: &LoginCandidate<'_>) -> Result<GateDecision, Error>;

    /// The names of further form fields that the gate reads, such as `totp`. Only these are kept of a
    /// form, each as a [`Secret`] of at most 4 KiB; a longer one, a file and an empty one are as if
    /// they had not been sent. Default: none.
    fn fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the gate is also asked about users who are disabled. Default: it is not, and they are
    /// answered as a wrong password is.
    ///
    /// A gate that says `true` must look at [`AuthenticatedUser::status`] in each decision: one that
    /// admits everybody lets disabled users in.
    fn danger_judges_disabled_users(&self) -> bool {
        false
    }
}

/// A login about which a [`LoginGate`] decides.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoginCandidate<'a> {
    /// The user, whose password is right.
    pub user: &'a AuthenticatedUser,
    /// Where the request came from, if the adapter knows.
    pub remote_address: Option<IpAddr>,
    /// The `client_id` of the form, if one was sent. It was not authenticated.
    pub client_id: Option<&'a str>,
    pub(crate) fields: &'a GateFields,
}

impl LoginCandidate<'_> {
    /// What the form has for one of [`LoginGate::fields`]; `None` if it was not sent.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Secret> {
        self.fields.get(name)
    }
}

/// What a [`LoginGate`] decides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GateDecision {
    /// The user may log in.
    Admit,
    /// The user may log in once they have shown a second factor too.
    Challenge(Challenge),
    /// The user may not log in.
    Deny(Denial),
}

/// Why a [`LoginGate`] denies a login, for the client to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denial {
    reason: String,
}

impl Denial {
    /// Makes a denial for `reason`: the text, or the code, that the client is shown. It is logged and
    /// given to observers too, so it holds no secret.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    /// The text for the client.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// What a [`LoginGate`] asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    reason: String,
    members: Map<String, Value>,
}

impl Challenge {
    /// Makes a challenge. `reason` is the text, or the code, that the client is shown.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            members: Map::new(),
        }
    }

    /// Adds a member to the answer, beside those of its shape: which factors there are, say, or where
    /// a code was sent to. It holds nothing that only its owner may see.
    #[must_use]
    pub fn with_member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// The text for the client.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Further members of the answer.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }
}

/// The further fields of a form, by name. There are few: they are searched one by one.
#[derive(Clone, Default)]
pub(crate) struct GateFields(Vec<(&'static str, Secret)>);

impl GateFields {
    pub(crate) fn push(&mut self, name: &'static str, value: &str) {
        if value.len() <= MAX_FIELD_LEN {
            self.0.push((name, Secret::from(value.to_owned())));
        }
    }

    fn get(&self, name: &str) -> Option<&Secret> {
        let mut fields = self.0.iter();
        fields
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }
}

impl Debug for GateFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Bytes. A code has a dozen, an assertion of a passkey under 2 KiB.
const MAX_FIELD_LEN: usize = 4 * 1024;
