//! The whole way of a login: from the body of a request to the reply.

use std::net::IpAddr;
use std::sync::Arc;

use crate::accounts::Accounts;
use crate::adapter::{Bodies, Caller, Operation};
use crate::audit::Audit;
use crate::authenticator::Authenticator;
use crate::cookie::{RefreshTransport, TokenCookie};
use crate::endpoint::{
    Grant, GrantTypePolicy, Login, LoginOrigin, LoginRequest, PasswordGrant, RefreshTokenGrant,
    TokenRefusal,
};
use crate::error::Error;
use crate::form::{FormData, FormValue};
use crate::gate::LoginGate;
use crate::guard::BearerGuard;
use crate::random::{OsRandom, SecureRandom};
use crate::refresh::RefreshTokens;
use crate::responder::{Answer, FastApi, Reply, Responder};
use crate::throttle::{LoginSource, Throttle};
use crate::token::TokenIssuer;

/// The token endpoint (RFC 6749 §3.2): takes the password form, answers an access token.
///
/// Build one and give it to an adapter, by way of a [`Mount`](crate::adapter::Mount) where its paths are to be
/// others than `/v1/login` and those beside it. Clones share it.
///
/// ```
/// # use std::sync::Arc;
/// # use portcullis_core::password::Argon2Params;
/// # use portcullis_core::{Argon2idHasher, Authenticator, Error, HashPool};
/// # use portcullis_core::memory::MemoryCredentialStore;
/// # use portcullis_core::password::HashPoolConfig;
/// # use portcullis_core::{TokenEndpoint, TokenIssuer};
/// fn endpoint(issuer: Arc<dyn TokenIssuer>) -> Result<TokenEndpoint, Error> {
///     let hasher = Arc::new(Argon2idHasher::new(Argon2Params::default()));
///     let pool = HashPool::new(hasher, HashPoolConfig::default())?;
///     let authenticator = Authenticator::new(Arc::new(MemoryCredentialStore::new()), pool)?;
///     Ok(TokenEndpoint::new(authenticator, issuer))
/// }
/// ```
///
/// An operation comes in two forms: the one that begins with `handle` answers with a [`Reply`], and the
/// other with data, for callers that make their own answers.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    pub(super) parts: Arc<Parts>,
}

#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) authenticator: Authenticator,
    pub(super) issuer: Arc<dyn TokenIssuer>,
    pub(super) throttle: Option<Throttle>,
    pub(super) gate: Option<Arc<dyn LoginGate>>,
    pub(super) refresh: Option<(RefreshTokens, RefreshTransport)>,
    pub(super) access_cookie: Option<TokenCookie>,
    pub(super) password_change: Option<(Accounts, BearerGuard)>,
    pub(super) grant_type: GrantTypePolicy,
    pub(super) responder: Arc<dyn Responder>,
    pub(super) audit: Audit,
    pub(super) random: Arc<dyn SecureRandom>,
    pub(super) bodies: Bodies,
}

impl TokenEndpoint {
    /// Makes an endpoint that behaves as FastAPI's with `OAuth2PasswordRequestForm`.
    #[must_use]
    pub fn new(authenticator: Authenticator, issuer: Arc<dyn TokenIssuer>) -> Self {
        Self {
            parts: Arc::new(Parts {
                authenticator,
                issuer,
                throttle: None,
                gate: None,
                refresh: None,
                access_cookie: None,
                password_change: None,
                grant_type: GrantTypePolicy::default(),
                responder: Arc::new(FastApi::new()),
                audit: Audit::new(),
                random: Arc::new(OsRandom),
                bodies: Bodies::default(),
            }),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.parts));
        self
    }

    /// Limits how often passwords may be tried for one account. Default: no limit, as in FastAPI.
    #[must_use]
    pub fn with_throttle(self, throttle: Throttle) -> Self {
        self.with(|parts| parts.throttle = Some(throttle))
    }

    /// Asks `gate` at each login with the right password. Default: everybody with the right password who is enabled
    /// may log in.
    #[must_use]
    pub fn with_gate(self, gate: Arc<dyn LoginGate>) -> Self {
        self.with(|parts| parts.gate = Some(gate))
    }

    /// Issues refresh tokens with access tokens, and takes them. They travel as `transport` says, in
    /// whatever shape everything else is answered. Default: none, as FastAPI.
    ///
    /// # Errors
    /// `InvalidConfig` if browsers would not take such a cookie.
    pub fn with_refresh_tokens(
        self,
        tokens: RefreshTokens,
        transport: RefreshTransport,
    ) -> Result<Self, Error> {
        if let RefreshTransport::Cookie(cookie) = &transport {
            cookie.check()?;
        }
        Ok(self.with(|parts| parts.refresh = Some((tokens, transport))))
    }

    /// Also sets the access token as a cookie, for a [`BearerGuard`] that reads it there. It stays in
    /// the body. Default: no cookie.
    ///
    /// # Errors
    /// `InvalidConfig` if browsers would not take such a cookie.
    pub fn with_access_cookie(self, cookie: TokenCookie) -> Result<Self, Error> {
        cookie.check()?;
        Ok(self.with(|parts| parts.access_cookie = Some(cookie)))
    }

    /// Lets users whom `guard` admits change their password by
    /// [`Operation::ChangePassword`]. Default: there is no such operation.
    ///
    /// The current password is checked through the throttle of this endpoint unless `accounts` has its
    /// own, and the observers of this endpoint hear of it. Give `accounts` the same refresh tokens. A
    /// [`LoginGate`] is not asked: whoever changes a password has a token, and so has logged in.
    #[must_use]
    pub fn with_password_change(self, accounts: Accounts, guard: BearerGuard) -> Self {
        self.with(|parts| parts.password_change = Some((accounts, guard)))
    }

    /// Says whether `grant_type` must be sent. Default: it need not be.
    #[must_use]
    pub fn with_grant_type(self, policy: GrantTypePolicy) -> Self {
        self.with(|parts| parts.grant_type = policy)
    }

    /// Answers in the shape of `responder`. Default: [`FastApi`].
    #[must_use]
    pub fn with_responder(self, responder: Arc<dyn Responder>) -> Self {
        self.with(|parts| parts.responder = responder)
    }

    /// Tells the observers of `audit` what happens. Default: [`Audit::new`], which logs.
    #[must_use]
    pub fn with_audit(self, audit: Audit) -> Self {
        self.with(|parts| parts.audit = audit)
    }

    /// Takes the names of logins (`sid`) from `random`. Default [`OsRandom`].
    #[must_use]
    pub fn with_random(self, random: Arc<dyn SecureRandom>) -> Self {
        self.with(|parts| parts.random = random)
    }

    /// The shape of the answers.
    #[must_use]
    pub fn responder(&self) -> &Arc<dyn Responder> {
        &self.parts.responder
    }

    /// What bodies take that are being read, by whichever mount.
    pub(crate) fn bodies(&self) -> &Bodies {
        &self.parts.bodies
    }

    pub(crate) fn has_throttle(&self) -> bool {
        self.parts.throttle.is_some()
    }

    /// What can be asked of this endpoint.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        let mut operations = vec![Operation::Login];
        match &self.parts.refresh {
            Some((_, RefreshTransport::Body)) => operations.push(Operation::Revoke),
            Some((_, RefreshTransport::Cookie(_))) => {
                operations.extend([Operation::Refresh, Operation::LogOut]);
            }
            None => {}
        }
        if self.parts.password_change.is_some() {
            operations.push(Operation::ChangePassword);
        }
        operations
    }

    /// Answers a login whose whole body is there. Everything that can happen has a reply.
    ///
    /// Cancellation: dropped before the hash begins, nothing is hashed. The attempt then counts as a
    /// failure for the throttle; served by [`Mount::serve`](crate::adapter::Mount::serve) it is taken back.
    pub async fn handle(&self, request: LoginRequest<'_>) -> Reply {
        self.render(self.login(request).await)
    }

    /// Does all of a login but the reply.
    ///
    /// # Errors
    /// The stage that refused, as a [`TokenRefusal`].
    pub async fn login(&self, request: LoginRequest<'_>) -> Result<Login, TokenRefusal> {
        let grant = self.read(request.content_type, request.body)?;
        let cookies = request.cookies.iter().copied();
        let origin = self.origin(&grant, request.remote_address, cookies);
        self.redeem(grant, origin).await
    }

    /// Reads the form of a login: the first half of [`login`](Self::login), after which the body can be
    /// freed.
    ///
    /// # Errors
    /// [`TokenRefusal::Form`] and [`TokenRefusal::Validation`] for a body that is no grant.
    pub fn read(&self, content_type: Option<&[u8]>, body: &[u8]) -> Result<Grant, TokenRefusal> {
        self.grant(&FormData::parse(content_type, body)?)
    }

    /// Where a grant comes from: an address, and what the `Cookie` headers of the request tell: a device that
    /// is known for its account, and a session that the login ends.
    pub fn origin<'a>(
        &self,
        grant: &Grant,
        remote_address: Option<IpAddr>,
        cookies: impl IntoIterator<Item = &'a [u8]>,
    ) -> LoginOrigin {
        let Grant::Password(grant) = grant else {
            return LoginOrigin::from(remote_address);
        };
        let cookies: Vec<_> = cookies.into_iter().collect();
        let devices = self.parts.throttle.as_ref().and_then(Throttle::devices);
        let device =
            devices.and_then(|devices| devices.find(grant.username(), cookies.iter().copied()));
        LoginOrigin {
            source: LoginSource::from(remote_address).with_device(device),
            // What is too much is left alone: the login does not depend on it.
            sessions: self.sent_tokens(cookies).unwrap_or_default(),
        }
    }

    /// Redeems a grant that came from `origin`: the second half of [`login`](Self::login). An address alone
    /// is an origin too.
    ///
    /// # Errors
    /// The stage that refused, as a [`TokenRefusal`].
    pub async fn redeem(
        &self,
        grant: Grant,
        origin: impl Into<LoginOrigin>,
    ) -> Result<Login, TokenRefusal> {
        let caller = Caller::default();
        self.clone().redeem_for(grant, origin.into(), caller).await
    }

    /// Makes the reply to a login, a refresh or a change of password: in the shape of the responder,
    /// with the cookies, and not to be stored.
    #[must_use]
    pub fn render(&self, outcome: Result<Login, TokenRefusal>) -> Reply {
        match outcome {
            Ok(login) => {
                let mut reply = self.respond(Answer::Token(&login));
                if let (Some(refresh), Some((_, RefreshTransport::Cookie(cookie)))) =
                    (&login.refresh_token, &self.parts.refresh)
                {
                    reply = reply.with_cookie(cookie.keep(&refresh.token, refresh.expires_in));
                }
                if let Some(cookie) = &self.parts.access_cookie {
                    let token = &login.token;
                    reply = reply.with_cookie(cookie.keep(&token.access_token, token.expires_in));
                }
                match login.device_cookie {
                    Some(cookie) => reply.with_cookie(cookie.expose().to_owned()),
                    None => reply,
                }
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    pub(crate) fn grant(&self, form: &FormData<'_>) -> Result<Grant, TokenRefusal> {
        let in_body = matches!(self.parts.refresh, Some((_, RefreshTransport::Body)));
        let refreshes =
            in_body && form.value("grant_type") == Some(FormValue::Text("refresh_token"));
        Ok(if refreshes {
            Grant::RefreshToken(RefreshTokenGrant::from_form(form)?)
        } else {
            let grant = PasswordGrant::from_form(form, self.parts.grant_type)?;
            let fields = self
                .parts
                .gate
                .as_ref()
                .map_or(&[][..], |gate| gate.fields());
            Grant::Password(grant.with_gate_fields(form, fields))
        })
    }

    /// Goes on without its client if it has to: `caller` says when that has gone.
    pub(crate) async fn redeem_for(
        self,
        grant: Grant,
        origin: LoginOrigin,
        caller: Caller,
    ) -> Result<Login, TokenRefusal> {
        match grant {
            Grant::Password(grant) => self.redeem_password(grant, origin, &caller).await,
            Grant::RefreshToken(grant) => {
                self.redeem_refresh_grant(&grant, origin.source.address)
                    .await
            }
        }
    }

    pub(super) fn has_refresh_tokens_in_body(&self) -> bool {
        matches!(self.parts.refresh, Some((_, RefreshTransport::Body)))
    }

    /// What belongs to the endpoint and not to the shape of an answer is added here.
    pub(super) fn respond(&self, answer: Answer<'_>) -> Reply {
        self.parts.responder.respond(answer).not_stored()
    }

    pub(super) fn refuse(&self, refusal: &TokenRefusal) -> Reply {
        if let TokenRefusal::Failed(error) = refusal {
            error.log("a request to the token endpoint could not be answered");
        }
        self.respond(Answer::Refused(refusal))
    }
}
