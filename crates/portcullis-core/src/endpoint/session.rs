//! Logins that go on by a refresh token, and their end.

use std::net::IpAddr;

use super::grant::{self, RefreshTokenGrant};
use super::{Login, LoginRequest, TokenEndpoint, TokenRefusal};
use crate::audit::{LoginEvent, LoginEventKind};
use crate::cookie::{RefreshTransport, cookie_values};
use crate::form::FormData;
use crate::refresh::{LookedUp, SentToken};
use crate::responder::{Answer, Reply};
use crate::token::{TokenRequest, short_client_id};

impl TokenEndpoint {
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

    pub(super) async fn redeem_refresh_grant(
        &self,
        grant: &RefreshTokenGrant,
        remote_address: Option<IpAddr>,
    ) -> Result<Login, TokenRefusal> {
        let Some(token) = SentToken::parse(grant.refresh_token().expose()) else {
            return Err(TokenRefusal::BadRefreshToken);
        };
        let terms = RefreshTerms {
            requested: grant.scope().to_owned(),
            client_id: grant.client_id().map(str::to_owned),
            remote_address,
        };
        self.redeem_refresh(token, terms).await
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

    /// Ends the sessions that a browser had before it logged in anew: nobody would use them but who has
    /// taken their cookie. Where that fails they end by themselves, later.
    pub(super) async fn end_sessions(
        &self,
        sessions: Vec<SentToken>,
        remote_address: Option<IpAddr>,
    ) {
        for token in sessions {
            let ended = self.revoke_sent(&token, LoginEventKind::LoggedOut, remote_address);
            if let Err(TokenRefusal::Failed(error)) = ended.await {
                error.log("the session before a login could not be ended");
            }
        }
    }

    /// What can be refresh tokens among the cookies. None of several hides the others.
    /// More than have a reason to be there are refused: a good one may be behind them.
    pub(super) fn sent_tokens<'a>(
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
}

/// What a refresh asks for, beside the token.
struct RefreshTerms {
    requested: String,
    client_id: Option<String>,
    remote_address: Option<IpAddr>,
}

/// More cookies than a browser has reason to send; each costs a look-up.
const MAX_TOKENS: usize = 16;
