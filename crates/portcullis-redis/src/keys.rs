//! The names of the keys.

use portcullis_core::{Error, ErrorKind, Username};

/// Names the keys of one store.
///
/// A cluster puts keys into a slot by what stands in their first pair of braces (Redis Cluster
/// specification, "Hash tags"). The prefix stands there in all keys of users, so that one script
/// can change several of them.
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
}
