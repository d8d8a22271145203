//! A login for a single-page application: the refresh token is in a cookie that no script can read,
//! and users change their password themselves.
//!
//! The page keeps the access token in memory. When a request answers 401 it posts to `/v1/refresh` with
//! `credentials: "same-origin"`, and to `/v1/logout` at the end.

use std::sync::Arc;

use actix_web::{App, HttpServer};
use portcullis::actix::LoginRoutes;
use portcullis::cookie::TokenCookie;
use portcullis::jwt::{JwtIssuer, SigningKey};
use portcullis::{
    AccessTokenPolicy, Accounts, Authenticator, BearerGuard, HashPool, OsRandom, RefreshTokens,
    RefreshTransport, Throttle, TokenEndpoint,
};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stores = portcullis::open(&embeddings::database_url()).await?;
    let policy = AccessTokenPolicy::new("https://api.example.com", "example-api");
    let issuer = JwtIssuer::new(policy, SigningKey::generate_ephemeral(&OsRandom)?);
    let guard = BearerGuard::new(Arc::new(issuer.verifier()))
        .with_credential_check(Arc::clone(&stores.credentials));
    let authenticator = Authenticator::new(stores.credentials, HashPool::argon2id()?)?;
    let throttle = Throttle::new(stores.throttle);
    let refresh_tokens = RefreshTokens::new(stores.refresh);
    let accounts = Accounts::new(authenticator.clone())
        .with_throttle(throttle.clone())
        .with_refresh_tokens(refresh_tokens.clone());

    // Secure, which browsers take from `http://localhost` too.
    let cookie = TokenCookie::refresh_token().of_this_host();
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(issuer))
        .with_throttle(throttle)
        .with_refresh_tokens(refresh_tokens, RefreshTransport::Cookie(cookie))?
        .with_password_change(accounts, guard);
    let login = LoginRoutes::new(endpoint);

    let server = HttpServer::new(move || App::new().configure(|app| login.configure(app)))
        .h1_allow_half_closed(false)
        .bind(embeddings::listen())?;
    embeddings::say_where(server.addrs().first());
    Ok(server.run().await?)
}
