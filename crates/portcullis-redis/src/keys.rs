//! The names of the keys.

use std::fmt::Write as _;

use portcullis_core::store::{FamilyKey, ThrottleKey, TokenHash};
use portcullis_core::{Error, ErrorKind, UserId, Username};

/// Names the keys of one store.
///
/// A cluster puts keys into a slot by what stands in their first pair of braces (Redis Cluster
/// specification, "Hash tags"). The prefix stands there in all keys of users, so that one script
/// can change several of them. Tokens, families and attempts need no such script, and are spread over all slots.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Result<Self, Error> {
        // A brace would end the pair, and an empty pair is none.
        if !(1..=64).contains(&prefix.len())
            || !prefix
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the key prefix is 1 to 64 ASCII letters, digits and `-`, `_`, `.`, `:`",
            ));
        }
        Ok(Self {
            prefix: prefix.to_owned(),
        })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A hash of what is known of a user.
    pub(crate) fn user(&self, username: &Username) -> String {
        format!("{{{}}}:user:{username}", self.prefix)
    }

    /// A hash from all user ids to their usernames.
    pub(crate) fn user_ids(&self) -> String {
        format!("{{{}}}:user_ids", self.prefix)
    }

    /// A sorted set of all usernames, in byte order since their scores are equal.
    pub(crate) fn usernames(&self) -> String {
        format!("{{{}}}:usernames", self.prefix)
    }

    /// A hash of the claims of a token.
    pub(crate) fn token(&self, hash: &TokenHash) -> String {
        self.hashed("token", hash.as_bytes())
    }

    /// A sorted set of the tokens of a user, by when Redis may drop them. Each is named by its key.
    pub(crate) fn tokens_of(&self, subject: &UserId) -> String {
        format!("{}:tokens_of:{subject}", self.prefix)
    }

    /// A hash of what is known of a family of refresh tokens.
    pub(crate) fn family(&self, key: &FamilyKey) -> String {
        self.hashed("family", key.as_bytes())
    }

    /// The family that has this key.
    pub(crate) fn family_of(&self, name: &str) -> Option<FamilyKey> {
        let digits = name.strip_prefix(&self.prefix)?.strip_prefix(":family:")?;
        let mut key = [0; 32];
        if digits.len() != 2 * key.len() {
            return None;
        }
        for (place, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(FamilyKey::from_bytes(key))
    }

    /// A sorted set of the families of a user, as [`tokens_of`](Self::tokens_of).
    pub(crate) fn families_of(&self, subject: &UserId) -> String {
        format!("{}:families_of:{subject}", self.prefix)
    }

    /// What was counted for an account.
    pub(crate) fn attempts(&self, key: &ThrottleKey) -> String {
        self.hashed("throttle", key.as_bytes())
    }

    fn hashed(&self, kind: &str, hash: &[u8; 32]) -> String {
        let mut key = format!("{}:{kind}:", self.prefix);
        for byte in hash {
            // Writing to a `String` does not fail.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}
