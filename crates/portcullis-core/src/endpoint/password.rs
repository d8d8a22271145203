//! Logins by a password, and changes of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

use super::grant::{self, LoginTerms, PasswordGrant};
use super::{Login, LoginOrigin, TokenEndpoint, TokenRefusal};
use crate::adapter::{Caller, RequestHead};
use crate::audit::{LoginEvent, LoginEventKind};
use crate::authenticator::{AuthenticatedUser, DisabledUsers};
use crate::device::Device;
use crate::error::Error;
use crate::form::FormData;
use crate::gate::{GateDecision, LoginCandidate, LoginGate};
use crate::guard::Bearer;
use crate::password_check::{Begun, Outcome, PasswordCheck, PendingAttempt, Sender};
use crate::random::random_bytes;
use crate::refresh::SentToken;
use crate::responder::{Answer, Reply};
use crate::secret::Secret;
use crate::store::{Credential, Username};
use crate::throttle::{LoginSource, Throttle};
use crate::token::TokenRequest;

impl TokenEndpoint {
    /// Who asks to change their password; or the reply to somebody without a good token.
    pub(crate) async fn admit(&self, head: &RequestHead<'_>) -> Result<Bearer, Reply> {
        let Some((_, guard)) = &self.parts.password_change else {
            return Err(self.respond(Answer::NotFound));
        };
        let admitted = guard.admit(head).await;
        admitted.map_err(|rejection| rejection.reply().clone().not_stored())
    }

    /// The current and the new password.
    pub(crate) fn passwords(&self, form: &FormData<'_>) -> Result<(Secret, Secret), TokenRefusal> {
        Ok(grant::passwords_to_change(form)?)
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

    pub(super) async fn redeem_password(
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

    fn new_session_id(&self) -> Result<String, Error> {
        let bytes = random_bytes::<SESSION_ID_LEN>(&*self.parts.random, "the name of a login")?;
        Ok(BASE64URL.encode(*bytes))
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

/// Of those that are looked up for a login that is refused without: a browser has one.
const MOST_SESSIONS: usize = 4;

/// 128 bits: no two logins share a name.
const SESSION_ID_LEN: usize = 16;
