//! The whole way of a login: from the body of a request to the reply.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use crate::accounts::Accounts;
use crate::adapter::{Bodies, Caller, Operation, RequestHead};
use crate::audit::{Audit, LoginEvent, LoginEventKind};
use crate::authenticator::{AuthenticatedUser, Authenticator, DisabledUsers};
use crate::cookie::{RefreshTransport, TokenCookie, cookie_values};
use crate::device::Device;
use crate::endpoint::grant::{self};
use crate::endpoint::{
    Grant, GrantTypePolicy, Login, LoginTerms, PasswordGrant, RefreshTokenGrant, TokenRefusal,
};
use crate::error::Error;
use crate::form::{FormData, FormValue};
use crate::gate::{GateDecision, LoginCandidate, LoginGate};
use crate::guard::{Bearer, BearerGuard};
use crate::password_check::{Begun, Outcome, PasswordCheck, PendingAttempt, Sender};
use crate::random::{OsRandom, SecureRandom, random_bytes};
use crate::refresh::{LookedUp, RefreshTokens, SentToken};
use crate::responder::{Answer, FastApi, Reply, Responder};
use crate::secret::Secret;
use crate::store::{Credential, Username};
use crate::throttle::{LoginSource, Throttle};
use crate::token::{TokenIssuer, TokenRequest, short_client_id};

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
    parts: Arc<Parts>,
}

#[derive(Clone, Debug)]
struct Parts {
    authenticator: Authenticator,
    issuer: Arc<dyn TokenIssuer>,
    throttle: Option<Throttle>,
    gate: Option<Arc<dyn LoginGate>>,
    refresh: Option<(RefreshTokens, RefreshTransport)>,
    access_cookie: Option<TokenCookie>,
    password_change: Option<(Accounts, BearerGuard)>,
    grant_type: GrantTypePolicy,
    responder: Arc<dyn Responder>,
    audit: Audit,
    random: Arc<dyn SecureRandom>,
    bodies: Bodies,
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

    /// Answers a request for a new access token by the refresh token in a cookie. `cookies` are the
    /// `Cookie` headers; the body of the request says nothing.
    ///
    /// Cancellation safe: the token is replaced or not, and can be sent again either way, see
    /// [`RefreshPolicy::retry_window`](crate::refresh::RefreshPolicy::retry_window).
    pub async fn handle_refresh<'a>(
        &self,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        remote_address: Option<IpAddr>,
    ) -> Reply {
        // The cookie of a token that is refused stays: another tab may just have set a better one.
        self.render(self.refresh(cookies, remote_address).await)
    }

    /// Does all of a refresh by a cookie but the reply.
    ///
    /// # Errors
    /// [`TokenRefusal::NoRefreshToken`], [`TokenRefusal::BadRefreshToken`] and
    /// [`TokenRefusal::TooManyTokens`] for what was sent;
    /// [`TokenRefusal::Failed`] if that could not be found out.
    pub async fn refresh<'a>(
        &self,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        remote_address: Option<IpAddr>,
    ) -> Result<Login, TokenRefusal> {
        let mut refreshed = Err(TokenRefusal::NoRefreshToken);
        for token in self.sent_tokens(cookies)? {
            let terms = RefreshTerms {
                requested: String::new(),
                client_id: None,
                remote_address,
            };
            refreshed = self.redeem_refresh(token, terms).await;
            if !matches!(refreshed, Err(TokenRefusal::BadRefreshToken)) {
                break;
            }
        }
        refreshed
    }

    /// Answers a request to log out, and has the browser forget the cookies. To be without one is no
    /// error.
    ///
    /// Cancellation safe: the token is revoked or not.
    pub async fn handle_log_out<'a>(
        &self,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        remote_address: Option<IpAddr>,
    ) -> Reply {
        if let Err(refusal) = self.log_out(cookies, remote_address).await {
            return self.refuse(&refusal);
        }
        let mut reply = self.respond(Answer::LoggedOut);
        if let Some((_, RefreshTransport::Cookie(cookie))) = &self.parts.refresh {
            reply = reply.with_cookie(cookie.forget());
        }
        if let Some(cookie) = &self.parts.access_cookie {
            reply = reply.with_cookie(cookie.forget());
        }
        reply
    }

    /// Revokes the refresh tokens in the cookies, and all that come of the same logins. Access tokens
    /// live on until they expire, unless the guard
    /// [asks for sessions](crate::BearerGuard::with_sessions).
    ///
    /// # Errors
    /// [`TokenRefusal::Failed`] if the store could not be reached, and [`TokenRefusal::TooManyTokens`] for
    /// more than 16 tokens: some may still be good.
    pub async fn log_out<'a>(
        &self,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        remote_address: Option<IpAddr>,
    ) -> Result<(), TokenRefusal> {
        for token in self.sent_tokens(cookies)? {
            self.revoke_sent(&token, LoginEventKind::LoggedOut, remote_address)
                .await?;
        }
        Ok(())
    }

    /// Answers a request to revoke a refresh token (RFC 7009 §2), and all that come of the same login.
    ///
    /// Cancellation safe: the token is revoked or not.
    pub async fn handle_revoke(&self, request: LoginRequest<'_>) -> Reply {
        self.render_revocation(self.revoke(request).await)
    }

    /// Revokes the refresh token in a form, and all that come of the same login. Access tokens are not
    /// revoked here: one that is sent as such, by `token_type_hint`, is an `unsupported_token_type`
    /// (RFC 7009 §2.2.1). What else is no refresh token, or none any more, is as good as revoked (§2.2).
    ///
    /// # Errors
    /// The stage that refused, as a [`TokenRefusal`].
    pub async fn revoke(&self, request: LoginRequest<'_>) -> Result<(), TokenRefusal> {
        let form = FormData::parse(request.content_type, request.body)?;
        let token = self.token_to_revoke(&form)?;
        self.revoke_token(token, request.remote_address).await
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

    /// The current and the new password.
    pub(crate) fn passwords(&self, form: &FormData<'_>) -> Result<(Secret, Secret), TokenRefusal> {
        Ok(grant::passwords_to_change(form)?)
    }

    /// `None` for what is no refresh token of ours, and so as good as revoked.
    pub(crate) fn token_to_revoke(
        &self,
        form: &FormData<'_>,
    ) -> Result<Option<SentToken>, TokenRefusal> {
        let (token, hint) = grant::token_to_revoke(form)?;
        let token = SentToken::parse(token.expose());
        if hint == Some("access_token") && token.is_none() {
            return Err(TokenRefusal::UnsupportedTokenType);
        }
        Ok(token)
    }

    pub(crate) async fn revoke_token(
        &self,
        token: Option<SentToken>,
        remote_address: Option<IpAddr>,
    ) -> Result<(), TokenRefusal> {
        match token {
            Some(token) => {
                self.revoke_sent(&token, LoginEventKind::Revoked, remote_address)
                    .await
            }
            None => Ok(()),
        }
    }

    pub(crate) fn render_revocation(&self, outcome: Result<(), TokenRefusal>) -> Reply {
        match outcome {
            Ok(()) => self.respond(Answer::Revoked),
            Err(refusal) => self.refuse(&refusal),
        }
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
                let Some(token) = SentToken::parse(grant.refresh_token().expose()) else {
                    return Err(TokenRefusal::BadRefreshToken);
                };
                let terms = RefreshTerms {
                    requested: grant.scope().to_owned(),
                    client_id: grant.client_id().map(str::to_owned),
                    remote_address: origin.source.address,
                };
                self.redeem_refresh(token, terms).await
            }
        }
    }

    /// Who asks to change their password; or the reply to somebody without a good token.
    pub(crate) async fn admit(&self, head: &RequestHead<'_>) -> Result<Bearer, Reply> {
        let Some((_, guard)) = &self.parts.password_change else {
            return Err(self.respond(Answer::NotFound));
        };
        let admitted = guard.admit(head).await;
        admitted.map_err(|rejection| rejection.reply().clone().not_stored())
    }

    pub(crate) async fn handle_change_password(
        &self,
        bearer: Bearer,
        current: Secret,
        new: Secret,
        remote_address: Option<IpAddr>,
    ) -> Reply {
        let Some((accounts, _)) = &self.parts.password_change else {
            return self.respond(Answer::NotFound);
        };
        let accounts = accounts.at(self.parts.throttle.as_ref(), &self.parts.audit);
        let claims = bearer.claims;
        let changed = accounts.change_password(&claims.sub, current, new, remote_address);
        let outcome = match changed.await {
            Ok(changed) => {
                // What the user may no longer have does not come back.
                let mut scopes = claims.scopes;
                scopes.retain(|scope| changed.user.scopes.contains(scope));
                let terms = TokenTerms {
                    client_id: claims.client_id.as_deref(),
                    scopes,
                    session_id: claims.sid,
                    remote_address,
                };
                let login = self.issue(changed.user, terms, changed.at).await;
                login.map_err(TokenRefusal::Failed)
            }
            Err(refusal) => Err(refusal),
        };
        self.render(outcome)
    }

    async fn redeem_password(
        &self,
        grant: PasswordGrant,
        LoginOrigin { source, sessions }: LoginOrigin,
        caller: &Caller,
    ) -> Result<Login, TokenRefusal> {
        let parts = &*self.parts;
        let (username, password, terms) = grant.into_parts();
        let sender = Sender {
            username: &username,
            source: &source,
            client_id: terms.client_id.as_deref(),
        };
        let judges = |gate: &Arc<dyn LoginGate>| gate.danger_judges_disabled_users();
        let check = PasswordCheck {
            authenticator: &parts.authenticator,
            throttle: parts.throttle.as_ref(),
            audit: &parts.audit,
            disabled_users: if parts.gate.as_ref().is_some_and(judges) {
                DisabledUsers::Judged
            } else {
                DisabledUsers::Refused
            },
        };
        let mut proven = None;
        let mut begun = check.begin(sender).await?;
        if matches!(begun, Begun::Refused { .. })
            && let Some(device) = self.device_of_session(&username, &sessions).await?
        {
            proven = Some(source.clone().with_proven_device(device));
        }
        let source = proven.as_ref().unwrap_or(&source);
        let sender = Sender { source, ..sender };
        if proven.is_some() {
            begun = check.begin(sender).await?;
        }
        let attempt = match begun {
            Begun::Granted(attempt) => attempt,
            Begun::Refused { by, retry_after } => {
                return Err(check.throttled(sender, by, retry_after));
            }
        };
        let (user, attempt) = check.check(attempt, sender, password, caller).await?;
        let tell = |kind, user_id| {
            parts.audit.tell(&LoginEvent {
                user_id: Some(user_id),
                ..check.event(kind, sender)
            });
        };
        let device = match self.ask_gate(&user, &terms, source.address).await {
            Ok(GateDecision::Admit) if !caller.has_gone() => {
                let device = self.device(&attempt, source)?;
                let outcome = Outcome::Succeeded(device.as_ref());
                check.end(attempt, outcome, sender).await?;
                if caller.has_gone() {
                    return Err(TokenRefusal::BadCredentials);
                }
                device
            }
            Ok(GateDecision::Admit) => {
                check.end(attempt, Outcome::Withdrawn, sender).await?;
                return Err(TokenRefusal::BadCredentials);
            }
            Ok(GateDecision::Challenge(challenge)) => {
                check.end(attempt, Outcome::Withdrawn, sender).await?;
                tell(LoginEventKind::Challenged, user.user_id());
                return Err(TokenRefusal::ChallengeRequired(challenge));
            }
            Ok(GateDecision::Deny(denial)) => {
                check.end(attempt, Outcome::Failed, sender).await?;
                let reason = denial.reason();
                tell(LoginEventKind::Denied { reason }, user.user_id());
                return Err(TokenRefusal::Denied(denial));
            }
            Err(error) => {
                check.end(attempt, Outcome::Withdrawn, sender).await?;
                return Err(error.into());
            }
        };
        self.end_sessions(sessions, source.address).await;
        let device_cookie = match (parts.throttle.as_ref().and_then(Throttle::devices), &device) {
            (Some(devices), Some(device)) => Some(devices.keep(&username, device)?),
            _ => None,
        };
        let granted = TokenTerms {
            client_id: terms.client_id.as_deref(),
            scopes: user.grant_scopes(terms.scopes()),
            session_id: None,
            remote_address: source.address,
        };
        let authenticated_at = user.authenticated_at();
        let login = self.issue(user.into_credential(), granted, authenticated_at);
        let login = login.await?;
        tell(LoginEventKind::Succeeded, &login.user.user_id);
        Ok(Login {
            device_cookie,
            ..login
        })
    }

    /// Ends the sessions that a browser had before it logged in anew: nobody would use them but who has
    /// taken their cookie. Where that fails they end by themselves, later.
    async fn end_sessions(&self, sessions: Vec<SentToken>, remote_address: Option<IpAddr>) {
        for token in sessions {
            let ended = self.revoke_sent(&token, LoginEventKind::LoggedOut, remote_address);
            if let Err(TokenRefusal::Failed(error)) = ended.await {
                error.log("the session before a login could not be ended");
            }
        }
    }

    /// The device of somebody who has a session of the account `username`, by one of these refresh tokens,
    /// where devices are known.
    async fn device_of_session(
        &self,
        username: &Username,
        sessions: &[SentToken],
    ) -> Result<Option<Device>, Error> {
        let parts = &*self.parts;
        let Some((tokens, _)) = &parts.refresh else {
            return Ok(None);
        };
        if parts
            .throttle
            .as_ref()
            .and_then(Throttle::devices)
            .is_none()
        {
            return Ok(None);
        }
        for token in sessions.iter().take(MOST_SESSIONS) {
            if let Some((key, user_id, cut_off)) = tokens.session_of(token).await?
                && let Some(user) = parts.authenticator.recall(&user_id, cut_off).await?
                && user.credential.username == *username
            {
                return Ok(Some(Device::of_session(&key)));
            }
        }
        Ok(None)
    }

    /// The device that a login is from: its own, if that is known, or a new one. So what was void is not
    /// known again, whoever has it.
    fn device(
        &self,
        attempt: &PendingAttempt,
        source: &LoginSource,
    ) -> Result<Option<Device>, Error> {
        let Some(devices) = self.parts.throttle.as_ref().and_then(Throttle::devices) else {
            return Ok(None);
        };
        match &source.device {
            Some(device) if attempt.knows_device() => Ok(Some(device.clone())),
            _ => devices.new_device().map(Some),
        }
    }

    async fn ask_gate(
        &self,
        user: &AuthenticatedUser,
        terms: &LoginTerms,
        remote_address: Option<IpAddr>,
    ) -> Result<GateDecision, Error> {
        let Some(gate) = &self.parts.gate else {
            return Ok(GateDecision::Admit);
        };
        let candidate = LoginCandidate {
            user,
            remote_address,
            client_id: terms.client_id.as_deref(),
            fields: &terms.gate_fields,
        };
        gate.decide(&candidate).await
    }

    /// Makes the tokens of a login that begins, or goes on after a change of password.
    async fn issue(
        &self,
        user: Credential,
        terms: TokenTerms<'_>,
        authenticated_at: SystemTime,
    ) -> Result<Login, Error> {
        let refresh = self.parts.refresh.as_ref();
        let session = refresh.map(|(tokens, _)| Ok::<_, Error>((tokens, tokens.new_session()?)));
        let session = session.transpose()?;
        let session_id = match (&session, terms.session_id) {
            (Some((_, session)), _) => session.id(),
            (None, Some(session_id)) => session_id,
            (None, None) => self.new_session_id()?,
        };
        let request = TokenRequest {
            client_id: terms.client_id,
            scopes: &terms.scopes,
            authenticated_at: Some(authenticated_at),
            session_id: Some(&session_id),
            ..TokenRequest::of(&user)
        };
        let token = self.parts.issuer.issue(request).await?;
        let refresh_token = match session {
            Some((tokens, session)) => {
                let begun = tokens.begin_session(session, request, terms.remote_address);
                Some(begun.await?)
            }
            None => None,
        };
        Ok(Login {
            token,
            scopes: terms.scopes,
            refresh_token,
            refresh_token_in_body: self.has_refresh_tokens_in_body(),
            device_cookie: None,
            user,
        })
    }

    async fn redeem_refresh(
        &self,
        token: SentToken,
        terms: RefreshTerms,
    ) -> Result<Login, TokenRefusal> {
        let parts = &*self.parts;
        let Some((tokens, _)) = &parts.refresh else {
            return Err(TokenRefusal::BadRefreshToken);
        };
        let tell = |kind, user_id| {
            parts.audit.tell(&LoginEvent {
                remote_address: terms.remote_address,
                client_id: short_client_id(terms.client_id.as_deref()),
                ..LoginEvent::of(kind, user_id)
            });
        };
        let refresh = match tokens.find_out(token).await? {
            LookedUp::Good(refresh) => refresh,
            LookedUp::Bad => return Err(TokenRefusal::BadRefreshToken),
            LookedUp::Reused { subject } => {
                tell(LoginEventKind::Reused, &subject);
                return Err(TokenRefusal::BadRefreshToken);
            }
        };
        if !refresh.is_of_client(terms.client_id.as_deref()) {
            tell(LoginEventKind::RefreshRefused, refresh.subject());
            return Err(TokenRefusal::BadRefreshToken);
        }
        let recalled = parts
            .authenticator
            .recall(refresh.subject(), refresh.cut_off());
        let Some(user) = recalled.await? else {
            tell(LoginEventKind::RefreshRefused, refresh.subject());
            return Err(TokenRefusal::BadRefreshToken);
        };
        let refresh = refresh.used_from(terms.remote_address);
        let session_id = refresh.session_id();
        let scopes = user.narrow_scopes(refresh.scopes(), grant::split_scope(&terms.requested));
        let request = TokenRequest {
            client_id: refresh.client_id(),
            scopes: &scopes,
            authenticated_at: Some(user.recalled_at),
            session_id: Some(&session_id),
            ..TokenRequest::of(&user.credential)
        };
        // Before the refresh token is used up: should this fail, the client can come again.
        let token = parts.issuer.issue(request).await?;
        let refresh_token = refresh.rotate().await?;
        let refresh_token = refresh_token.ok_or(TokenRefusal::BadRefreshToken)?;
        tell(LoginEventKind::Refreshed, &user.credential.user_id);
        Ok(Login {
            token,
            scopes,
            refresh_token: Some(refresh_token),
            refresh_token_in_body: self.has_refresh_tokens_in_body(),
            device_cookie: None,
            user: user.credential,
        })
    }

    async fn revoke_sent(
        &self,
        token: &SentToken,
        kind: LoginEventKind<'_>,
        remote_address: Option<IpAddr>,
    ) -> Result<(), TokenRefusal> {
        let Some((tokens, _)) = &self.parts.refresh else {
            return Ok(());
        };
        if let Some(subject) = tokens.end(token).await? {
            self.parts.audit.tell(&LoginEvent {
                remote_address,
                ..LoginEvent::of(kind, &subject)
            });
        }
        Ok(())
    }

    /// What can be refresh tokens among the cookies. None of several hides the others.
    /// More than have a reason to be there are refused: a good one may be behind them.
    fn sent_tokens<'a>(
        &self,
        cookies: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<SentToken>, TokenRefusal> {
        let Some((_, RefreshTransport::Cookie(cookie))) = &self.parts.refresh else {
            return Ok(Vec::new());
        };
        let sent = cookie_values(&cookie.name, cookies).filter_map(SentToken::parse);
        let sent: Vec<_> = sent.take(MAX_TOKENS + 1).collect();
        if sent.len() > MAX_TOKENS {
            return Err(TokenRefusal::TooManyTokens);
        }
        Ok(sent)
    }

    fn has_refresh_tokens_in_body(&self) -> bool {
        matches!(self.parts.refresh, Some((_, RefreshTransport::Body)))
    }

    fn new_session_id(&self) -> Result<String, Error> {
        let bytes = random_bytes::<SESSION_ID_LEN>(&*self.parts.random, "the name of a login")?;
        Ok(BASE64URL.encode(*bytes))
    }

    /// What belongs to the endpoint and not to the shape of an answer is added here.
    fn respond(&self, answer: Answer<'_>) -> Reply {
        self.parts.responder.respond(answer).not_stored()
    }

    fn refuse(&self, refusal: &TokenRefusal) -> Reply {
        if let TokenRefusal::Failed(error) = refusal {
            error.log("a request to the token endpoint could not be answered");
        }
        self.respond(Answer::Refused(refusal))
    }
}

/// What the tokens of a login are made for, beside its user.
struct TokenTerms<'a> {
    client_id: Option<&'a str>,
    scopes: Vec<String>,
    /// Of a login that goes on, if it has no refresh tokens.
    session_id: Option<String>,
    remote_address: Option<IpAddr>,
}

/// What a refresh asks for, beside the token.
struct RefreshTerms {
    requested: String,
    client_id: Option<String>,
    remote_address: Option<IpAddr>,
}

/// Where a login comes from, by [`TokenEndpoint::origin`].
#[derive(Debug)]
pub struct LoginOrigin {
    source: LoginSource,
    /// The refresh tokens of sessions that the browser had.
    sessions: Vec<SentToken>,
}

impl From<LoginSource> for LoginOrigin {
    fn from(source: LoginSource) -> Self {
        Self {
            source,
            sessions: Vec::new(),
        }
    }
}

impl From<Option<IpAddr>> for LoginOrigin {
    fn from(address: Option<IpAddr>) -> Self {
        LoginSource::from(address).into()
    }
}

/// A request to the token endpoint whose whole body is there.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct LoginRequest<'a> {
    /// The value of the first `Content-Type` header, as sent.
    pub content_type: Option<&'a [u8]>,
    /// The whole body.
    pub body: &'a [u8],
    /// Where the client is, for the throttle. Without it, or where it is the address of a proxy that
    /// all come through, strangers are not told from those who have logged in before.
    pub remote_address: Option<IpAddr>,
    /// The `Cookie` headers, for devices that are known and sessions that a login ends.
    pub cookies: &'a [&'a [u8]],
}

impl<'a> LoginRequest<'a> {
    /// Takes the first `Content-Type` header, if there is one, and the body.
    #[must_use]
    pub fn new(content_type: Option<&'a [u8]>, body: &'a [u8]) -> Self {
        Self {
            content_type,
            body,
            remote_address: None,
            cookies: &[],
        }
    }

    /// Gives the `Cookie` headers.
    #[must_use]
    pub fn with_cookies(mut self, cookies: &'a [&'a [u8]]) -> Self {
        self.cookies = cookies;
        self
    }

    /// Says where the client is.
    #[must_use]
    pub fn with_remote_address(mut self, address: IpAddr) -> Self {
        self.remote_address = Some(address);
        self
    }
}

impl fmt::Debug for LoginRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// More cookies than a browser has reason to send; each costs a look-up.
const MAX_TOKENS: usize = 16;

/// Of those that are looked up for a login that is refused without: a browser has one.
const MOST_SESSIONS: usize = 4;

/// 128 bits: no two logins share a name.
const SESSION_ID_LEN: usize = 16;
