//! Refresh tokens: each is good once, for an access token and the next refresh token.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::clock::{Clock, SystemClock, UnixTime, unix_time};
use crate::error::{BoxError, Error, ErrorKind};
use crate::housekeeping::Housekeeping;
use crate::random::{OsRandom, SecureRandom, random_bytes};
use crate::store::{FamilyKey, FamilyRecord, RefreshStore, UserId};
use crate::token::TokenRequest;

mod family;
mod good;
mod policy;
mod session;

use family::{Family, Login, Standing, Token, TokenSecret};
pub use good::{GoodRefreshToken, RefreshToken};
pub(crate) use good::{LookedUp, SentToken};
pub use policy::RefreshPolicy;
pub(crate) use session::NewSession;
pub use session::Session;
use session::{key_of, shortened};

/// Issues refresh tokens and redeems them (RFC 6749 §6), each once (RFC 9700 §4.14.2).
///
/// A refresh token is 64 characters of base64url, of which the store sees hashes only. All that
/// come of one login are a family, of which the last is good. Once an older one is sent, somebody
/// has it who should not, and the family is revoked. Only the token before the last may be sent
/// again for a moment, in case that the answer to it was lost or that two tabs of a browser sent it
/// at once: that gets the same successor.
///
/// For each login the store keeps half a kilobyte or so until the tokens of it expire. Clients that
/// can keep no token, and log in for each request, should not be given any.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portcullis_core::Error> {
/// use std::sync::Arc;
///
/// use portcullis_core::memory::MemoryRefreshStore;
/// use portcullis_core::token::TokenRequest;
/// use portcullis_core::{RefreshTokens, UserId};
///
/// let tokens = RefreshTokens::new(Arc::new(MemoryRefreshStore::new()));
/// let ada = UserId::new("ada");
/// let first = tokens.begin(TokenRequest::new(&ada)).await?.token;
///
/// let refresh = tokens.look_up(first.expose()).await?.expect("it is good");
/// assert_eq!(refresh.subject(), &ada);
/// let second = refresh.rotate().await?.expect("nobody has revoked it").token;
///
/// tokens.revoke(second.expose()).await?;
/// assert!(tokens.look_up(second.expose()).await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RefreshTokens {
    store: Arc<dyn RefreshStore>,
    policy: RefreshPolicy,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    housekeeping: Arc<Housekeeping>,
}

impl RefreshTokens {
    /// Issues tokens that are kept in `store`. All nodes of a service share one store.
    #[must_use]
    pub fn new(store: Arc<dyn RefreshStore>) -> Self {
        Self {
            store,
            policy: RefreshPolicy::default(),
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
            housekeeping: Arc::default(),
        }
    }

    /// Sets how long tokens are good.
    ///
    /// # Errors
    /// `InvalidConfig` if the idle lifetime is less than a second, or longer than the absolute one.
    pub fn with_policy(mut self, policy: RefreshPolicy) -> Result<Self, Error> {
        let idle = policy.idle_lifetime;
        if idle < Duration::from_secs(1) || idle > policy.absolute_lifetime {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the idle lifetime of refresh tokens must be from 1 second to the absolute lifetime",
            ));
        }
        self.policy = policy;
        Ok(self)
    }

    /// Takes the time from `clock`. Default [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the bytes of tokens from `random`. Default [`OsRandom`].
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// Issues the first token of a family, to a user who has just logged in.
    ///
    /// A `client_id` longer than 256 bytes is left out, as from access tokens.
    ///
    /// Cancellation safe: dropped half-way, a family is there whose token nobody has, or none.
    ///
    /// # Errors
    /// As [`RefreshStore::insert`]; `Unavailable` without randomness.
    pub async fn begin(&self, request: TokenRequest<'_>) -> Result<RefreshToken, Error> {
        let session = self.new_session()?;
        self.begin_session(session, request, None).await
    }

    /// Makes the name of a session, before anything is kept of it: its access token, which is made first,
    /// says it.
    pub(crate) fn new_session(&self) -> Result<NewSession, Error> {
        let secret = TokenSecret::new(self.random_bytes()?);
        Ok(NewSession(Token::new(*self.random_bytes()?, secret)))
    }

    /// Begins a session of a user who logged in from `address`, and ends those that are too many.
    pub(crate) async fn begin_session(
        &self,
        NewSession(token): NewSession,
        request: TokenRequest<'_>,
        address: Option<IpAddr>,
    ) -> Result<RefreshToken, Error> {
        let now = self.clock.now();
        let login = Login {
            sub: request.subject.as_str().to_owned(),
            client_id: request.short_client_id().map(str::to_owned),
            scopes: request.scopes.to_vec(),
            source: address.map(shortened),
            cut_off: UnixTime::saturating_from_system(
                request.cut_off().unwrap_or(SystemTime::UNIX_EPOCH),
            )
            .micros(),
        };
        let now = millis(now)?;
        let family = Family::begin(login, &token.secret, now, &self.policy);
        let ends_at = time(family.ends_at);
        self.store
            .insert(
                &token.key(),
                request.subject,
                &write(&family)?,
                time(family.expires_at),
                ends_at,
            )
            .await?;
        if let Some(most) = self.policy.max_sessions {
            self.trim(request.subject, most.get(), now).await;
        }
        self.clean_up().await;
        Ok(RefreshToken::new(&token, &family, now))
    }

    /// Ends the oldest sessions of a user who has more than `most`. Those that begin at the same time may
    /// pass it; the next login ends them. Where that fails, so too.
    async fn trim(&self, subject: &UserId, most: u32, now: u64) {
        let trimmed = async {
            let mut families = self.families(subject).await?;
            families
                .sort_by_key(|(_, family)| (family.expires_at <= now, Reverse(family.begun_at)));
            for (key, _) in families.iter().skip(most as usize) {
                self.store.revoke(key).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = trimmed.await {
            error.log("the sessions of a user that are too many could not be ended");
        }
    }

    /// Those that can be read: another is no reason not to show these.
    async fn families(&self, subject: &UserId) -> Result<Vec<(FamilyKey, Family)>, Error> {
        let listed = self.store.list(subject, MOST_LISTED).await?;
        let readable = listed.into_iter().filter_map(|(key, record)| {
            let family = read(&record);
            if let Err(error) = &family {
                error.log("a session cannot be shown");
            }
            Some((key, family.ok()?))
        });
        Ok(readable.collect())
    }

    /// The sessions of a user that have not expired, the last one used first; at most 10,000.
    ///
    /// # Errors
    /// As [`RefreshStore::list`].
    pub async fn sessions(&self, subject: &UserId) -> Result<Vec<Session>, Error> {
        let now = millis(self.clock.now())?;
        let mut families = self.families(subject).await?;
        families.retain(|(_, family)| family.expires_at > now);
        families.sort_by_key(|(_, family)| Reverse(family.used_at));
        let sessions = families.into_iter();
        Ok(sessions
            .map(|(key, family)| Session::new(&key, family))
            .collect())
    }

    /// Ends one session of a user: its refresh token is no good any more, nor are its access tokens for a
    /// guard [that asks](crate::BearerGuard::with_sessions). `false` if the user has none of that name.
    ///
    /// # Errors
    /// As [`RefreshStore::find`] and [`RefreshStore::revoke`].
    pub async fn end_session(&self, subject: &UserId, session_id: &str) -> Result<bool, Error> {
        let Some(key) = key_of(session_id) else {
            return Ok(false);
        };
        match self.find(&key).await? {
            Some((_, family)) if family.sub == subject.as_str() => self.store.revoke(&key).await,
            _ => Ok(false),
        }
    }

    /// Whether the session of a token goes on. One that is not named here is not known to have ended: of
    /// logins without refresh tokens, and of other services.
    pub(crate) async fn goes_on(&self, session_id: Option<&str>) -> Result<bool, Error> {
        let Some(key) = session_id.and_then(key_of) else {
            return Ok(true);
        };
        let now = millis(self.clock.now())?;
        let found = self.find(&key).await?;
        Ok(found.is_some_and(|(_, family)| family.expires_at > now))
    }

    /// Finds out whether a token is good; nothing has changed then. `None` if it is not: whatever
    /// the client sent, the empty string included. One that was used before has its family revoked.
    ///
    /// Whether the user may still log in is for the caller to ask, as
    /// [`TokenEndpoint::refresh`](crate::TokenEndpoint::refresh) does.
    ///
    /// Cancellation safe: dropped half-way, the family is revoked or will be the next time.
    ///
    /// # Errors
    /// As [`RefreshStore::find`], [`RefreshStore::replace`] and [`RefreshStore::revoke`];
    /// `Unavailable` if what the store finds is not what is there, as while a server takes over.
    pub async fn look_up(&self, refresh_token: &str) -> Result<Option<GoodRefreshToken>, Error> {
        // What cannot be a token costs no look-up.
        let Some(token) = SentToken::parse(refresh_token) else {
            return Ok(None);
        };
        Ok(match self.find_out(token).await? {
            LookedUp::Good(token) => Some(*token),
            LookedUp::Bad | LookedUp::Reused { .. } => None,
        })
    }

    /// Whose session a token is of, and the user's cut-off as it stood at the login, if the token is good.
    /// Nothing changes, whatever it is.
    pub(crate) async fn session_of(
        &self,
        SentToken(token): &SentToken,
    ) -> Result<Option<(FamilyKey, UserId, SystemTime)>, Error> {
        let key = token.key();
        let Some((_, family)) = self.find(&key).await? else {
            return Ok(None);
        };
        Ok(match self.standing(&family, token)? {
            Standing::Current | Standing::Replaced(_) => {
                let cut_off = UnixTime::from_micros(family.cut_off).unwrap_or(UnixTime::MAX);
                Some((key, UserId::new(family.sub), cut_off.to_system()))
            }
            Standing::Expired | Standing::Reused => None,
        })
    }

    pub(crate) async fn find_out(&self, SentToken(token): SentToken) -> Result<LookedUp, Error> {
        let key = token.key();
        for _ in 0..2 {
            let Some((record, family)) = self.find(&key).await? else {
                return Ok(LookedUp::Bad);
            };
            let nonce = match self.standing(&family, &token)? {
                Standing::Current => None,
                Standing::Replaced(nonce) => Some(nonce),
                Standing::Expired => return Ok(LookedUp::Bad),
                // What was found may be old, and the token newer than that.
                Standing::Reused if !self.is_there(&key, &record, &family).await? => continue,
                Standing::Reused => {
                    self.store.revoke(&key).await?;
                    tracing::warn!(
                        user_id = ?family.sub,
                        "a refresh token was used again: all that came of that login are revoked"
                    );
                    return Ok(LookedUp::Reused {
                        subject: UserId::new(family.sub),
                    });
                }
            };
            return Ok(LookedUp::Good(Box::new(GoodRefreshToken {
                tokens: self.clone(),
                subject: UserId::new(&*family.sub),
                token,
                record,
                family,
                nonce,
                source: None,
            })));
        }
        Err(lags_behind())
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<(FamilyRecord, Family)>, Error> {
        let found = self.store.find(key).await?;
        found
            .map(|record| read(&record).map(|family| (record, family)))
            .transpose()
    }

    fn standing(&self, family: &Family, token: &Token) -> Result<Standing, Error> {
        let now = millis(self.clock.now())?;
        Ok(family.standing(&token.secret, now, &self.policy))
    }

    /// Whether a record that was found is what others find too: a look-up may have been answered by a
    /// server that lags behind, a change never is.
    async fn is_there(
        &self,
        key: &FamilyKey,
        record: &FamilyRecord,
        family: &Family,
    ) -> Result<bool, Error> {
        let expires_at = time(family.expires_at);
        self.store.replace(key, record, record, expires_at).await
    }

    /// Revokes the family of a token at once: logs out one device (RFC 7009 §2.1). `false` if there
    /// is none, which RFC 7009 §2.2 calls a success too. Whoever has one of its tokens may revoke it.
    ///
    /// Access tokens live on until they expire, unless the guard
    /// [asks for the session](crate::BearerGuard::with_sessions).
    ///
    /// # Errors
    /// As [`RefreshStore::revoke`]: the token may then still be good.
    pub async fn revoke(&self, refresh_token: &str) -> Result<bool, Error> {
        match SentToken::parse(refresh_token) {
            Some(token) => self.revoke_sent(&token).await,
            None => Ok(false),
        }
    }

    /// Revokes the family of a token, and says whose it was; `None` if there was none.
    pub(crate) async fn end(&self, token: &SentToken) -> Result<Option<UserId>, Error> {
        let subject = match self.find(&token.0.key()).await {
            Ok(found) => found.map(|(_, family)| UserId::new(family.sub)),
            // It is to go all the more.
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            Err(error) => return Err(error),
        };
        let revoked = self.revoke_sent(token).await?;
        Ok(subject.filter(|_| revoked))
    }

    async fn revoke_sent(&self, SentToken(token): &SentToken) -> Result<bool, Error> {
        self.store.revoke(&token.key()).await
    }

    /// Revokes all families of a user, and tells how many: logs out everywhere. A user who is
    /// disabled cannot refresh, and can again once enabled, unless this was called.
    ///
    /// # Errors
    /// As [`RefreshStore::revoke_all`].
    pub async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.store.revoke_all(subject).await
    }

    // Afterwards: a store that is out of order is waited for once, not twice.
    async fn clean_up(&self) {
        self.housekeeping
            .run(
                "expired refresh tokens could not be deleted",
                &*self.clock,
                async |now, limit| self.store.delete_expired(now, limit).await,
            )
            .await;
    }

    fn random_bytes<const LEN: usize>(&self) -> Result<Zeroizing<[u8; LEN]>, Error> {
        random_bytes(&*self.random, "a refresh token")
    }
}

fn read(record: &FamilyRecord) -> Result<Family, Error> {
    serde_json::from_str(record.as_str()).map_err(|source| {
        // What it is that makes no sense may be a hash.
        corrupt(format!("column {} makes no sense", source.column()))
    })
}

fn corrupt(cause: impl Into<BoxError>) -> Error {
    let message = "what is stored of a refresh token cannot be read";
    Error::new(ErrorKind::Corrupt, message).with_source(cause)
}

fn write(family: &Family) -> Result<FamilyRecord, Error> {
    serde_json::to_string(family)
        .map(FamilyRecord::new)
        .map_err(|source| {
            let message = "what to store of a refresh token could not be written down";
            Error::new(ErrorKind::Internal, message).with_source(source)
        })
}

fn lags_behind() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the look-ups of refresh tokens lag behind their changes",
    )
}

fn millis(time: SystemTime) -> Result<u64, Error> {
    Ok(unix_time(time)?.millis())
}

fn time(millis: u64) -> SystemTime {
    UnixTime::from_millis(millis)
        .unwrap_or(UnixTime::MAX)
        .to_system()
}

/// Nobody looks at more, and where sessions are limited there are far fewer.
const MOST_LISTED: u32 = 10_000;
