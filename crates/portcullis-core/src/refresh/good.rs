//! Refresh tokens that were sent, and what comes of the good ones.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::family::{Family, Nonce, Standing, Token};
use super::session::{id_of, shortened};
use super::{RefreshTokens, lags_behind, millis, time, write};
use crate::clock::UnixTime;
use crate::error::Error;
use crate::secret::Secret;
use crate::store::{FamilyRecord, UserId};
use crate::token::short_client_id;

/// A text that was sent and has the form of a refresh token: only then is it looked up.
#[derive(Debug)]
pub(crate) struct SentToken(pub(super) Token);

impl SentToken {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Token::parse(text).map(Self)
    }
}

/// What a refresh token that was sent is worth.
pub(crate) enum LookedUp {
    /// It is unknown, expired or revoked.
    Bad,
    Good(Box<GoodRefreshToken>),
    /// It was used before, and so what came of its login has been revoked.
    Reused {
        subject: UserId,
    },
}

/// A refresh token that was sent, and is good.
#[derive(Debug)]
#[must_use = "nothing has changed until it is rotated"]
pub struct GoodRefreshToken {
    pub(super) tokens: RefreshTokens,
    pub(super) subject: UserId,
    pub(super) token: Token,
    /// What was there when it was looked up.
    pub(super) record: FamilyRecord,
    pub(super) family: Family,
    /// Of a token that was replaced a moment ago.
    pub(super) nonce: Option<Nonce>,
    /// Where it was sent from.
    pub(super) source: Option<String>,
}

impl GoodRefreshToken {
    /// Who logged in.
    #[must_use]
    pub fn subject(&self) -> &UserId {
        &self.subject
    }

    /// Whether this was given to the client that sends it, as far as both have said which they are:
    /// a client is not authenticated, and need not say (RFC 6749 §3.2.1).
    pub(crate) fn is_of_client(&self, client_id: Option<&str>) -> bool {
        let sent = short_client_id(client_id);
        sent.is_none() || self.client_id().is_none() || sent == self.client_id()
    }

    /// The client that logged in, if it said so.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.family.client_id.as_deref()
    }

    /// The scopes that were granted to the login. A refresh can narrow but not widen them.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.family.scopes
    }

    /// The name of the login, the same for all tokens that come of it.
    #[must_use]
    pub fn session_id(&self) -> String {
        id_of(&self.token.key())
    }

    /// Notes that it is used from `address`.
    pub(crate) fn used_from(mut self, address: Option<IpAddr>) -> Self {
        self.source = address.map(shortened);
        self
    }

    /// The user's cut-off ([`Credential::tokens_valid_from`](crate::Credential::tokens_valid_from)) as
    /// it stood at the login. Once the user's is a later one, the token is no good.
    #[must_use]
    pub fn cut_off(&self) -> SystemTime {
        UnixTime::from_micros(self.family.cut_off)
            .unwrap_or(UnixTime::MAX)
            .to_system()
    }

    /// Puts another token in the place of this one. `None` if somebody has revoked it meanwhile, or
    /// used its successor.
    ///
    /// Do this last: whatever fails before, the client can send the same token again.
    ///
    /// Cancellation safe: dropped half-way, the token is replaced or not; within
    /// [`RefreshPolicy::retry_window`](super::RefreshPolicy::retry_window) the client may send it again either way.
    ///
    /// # Errors
    /// As [`RefreshStore::replace`](crate::store::RefreshStore::replace) and
    /// [`RefreshStore::find`](crate::store::RefreshStore::find); `Unavailable` without randomness, and
    /// if what the store finds is not what is there.
    pub async fn rotate(self) -> Result<Option<RefreshToken>, Error> {
        let Self {
            tokens,
            token,
            record,
            family,
            nonce,
            source,
            ..
        } = self;
        let key = token.key();
        let now = millis(tokens.clock.now())?;
        let (nonce, rotated, is_there) = match nonce {
            Some(nonce) => {
                let is_there = tokens.is_there(&key, &record, &family).await?;
                (nonce, family, is_there)
            }
            None => {
                let nonce = Nonce::new(*tokens.random_bytes()?);
                let rotated = family.rotate(&token.secret, nonce, source, now, &tokens.policy);
                let (new, expires_at) = (write(&rotated)?, time(rotated.expires_at));
                let replaced = tokens.store.replace(&key, &record, &new, expires_at);
                (nonce, rotated, replaced.await?)
            }
        };
        if is_there {
            tokens.clean_up().await;
            return Ok(Some(RefreshToken::new(
                &token.successor(&nonce),
                &rotated,
                now,
            )));
        }
        // Somebody was quicker. That is no sign of a thief: the token was good when it came.
        let Some((found, family)) = tokens.find(&key).await? else {
            return Ok(None);
        };
        if found == record {
            return Err(lags_behind());
        }
        Ok(match tokens.standing(&family, &token)? {
            Standing::Replaced(nonce) => {
                Some(RefreshToken::new(&token.successor(&nonce), &family, now))
            }
            _ => None,
        })
    }
}

/// A freshly issued refresh token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefreshToken {
    /// The token itself.
    pub token: Secret,
    /// How long it is good, if it is not used.
    pub expires_in: Duration,
}

impl RefreshToken {
    pub(super) fn new(token: &Token, family: &Family, now: u64) -> Self {
        Self {
            token: token.text(),
            expires_in: Duration::from_millis(family.expires_at.saturating_sub(now)),
        }
    }
}
