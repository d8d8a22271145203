//! Users of whom it is known who they are.

use std::collections::HashSet;
use std::time::SystemTime;

use crate::store::{Credential, UserId, UserStatus, Username};
use crate::token::is_scope_token;

/// A user whose password has just been checked. Having one is the proof.
#[derive(Clone, Debug)]
pub struct AuthenticatedUser {
    pub(super) credential: Credential,
    pub(super) authenticated_at: SystemTime,
    pub(super) has_blocked_password: bool,
}

impl AuthenticatedUser {
    /// The stable name of the user.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.credential.user_id
    }

    /// The username as stored.
    #[must_use]
    pub fn username(&self) -> &Username {
        &self.credential.username
    }

    /// Whether the user is enabled. Only a [`LoginGate`](crate::LoginGate) that asks for it meets one
    /// who is not.
    #[must_use]
    pub fn status(&self) -> UserStatus {
        self.credential.status
    }

    /// The user as stored when the login was checked.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// When the user was looked up. What was changed since, such as the password, this proof does
    /// not know of.
    #[must_use]
    pub fn authenticated_at(&self) -> SystemTime {
        self.authenticated_at
    }

    /// Whether the password is in the blocklist that the [`Authenticator`](super::Authenticator) was given; `false` without one.
    #[must_use]
    pub fn has_blocked_password(&self) -> bool {
        self.has_blocked_password
    }

    /// The scopes to grant: those of `requested` that the user may have, or all of them if none
    /// were asked for (RFC 6749 §3.3). FastAPI itself leaves the scopes of the form alone.
    #[must_use]
    pub fn grant_scopes<'a>(&self, requested: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        grant_scopes(&self.credential, requested)
    }

    pub(crate) fn into_credential(self) -> Credential {
        self.credential
    }
}

/// A user who logged in before, and may still be taken for logged in.
#[derive(Debug)]
pub(crate) struct RecalledUser {
    pub(crate) credential: Credential,
    pub(crate) recalled_at: SystemTime,
}

impl RecalledUser {
    /// Of the scopes `granted` before those that the user still may have, and that are among
    /// `requested` if any are (RFC 6749 §6).
    pub(crate) fn narrow_scopes<'a>(
        &self,
        granted: &[String],
        requested: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let mut scopes = grant_scopes(&self.credential, requested);
        scopes.retain(|scope| granted.contains(scope));
        scopes
    }
}

fn grant_scopes<'a>(
    user: &Credential,
    requested: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let requested: HashSet<&str> = requested.into_iter().collect();
    user.scopes
        .iter()
        // Another would be several, or none, in a token that writes scopes in one line.
        .filter(|scope| is_scope_token(scope))
        .filter(|scope| requested.is_empty() || requested.contains(scope.as_str()))
        .cloned()
        .collect()
}
