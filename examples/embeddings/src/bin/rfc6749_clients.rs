//! A token endpoint for OAuth clients: answers as RFC 6749 has them, refresh tokens in the body,
//! revocation by RFC 7009, and opaque access tokens that can be revoked at once.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use portcullis::adapter::{Mount, Operation};
use portcullis::axum::{Bearer, LoginRoutes};
use portcullis::endpoint::GrantTypePolicy;
use portcullis::responder::Rfc6749;
use portcullis::{
    AccessTokenPolicy, Authenticator, BearerGuard, HashPool, OpaqueIssuer, RefreshTokens,
    RefreshTransport, Responder, Throttle, TokenEndpoint,
};
use tokio::net::TcpListener;

async fn whoami(bearer: Bearer) -> String {
    bearer.claims.sub.to_string()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stores = portcullis::open(&embeddings::database_url()).await?;
    let policy = AccessTokenPolicy::new("https://login.example.com", "https://api.example.com");
    let issuer = OpaqueIssuer::new(policy, stores.tokens);
    // The endpoint and the guard speak with one voice.
    let responder: Arc<dyn Responder> = Arc::new(Rfc6749::new());
    let guard =
        BearerGuard::new(Arc::new(issuer.verifier())).with_responder(Arc::clone(&responder));
    let authenticator = Authenticator::new(stores.credentials, HashPool::argon2id()?)?;
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(issuer))
        .with_responder(responder)
        .with_grant_type(GrantTypePolicy::Required)
        .with_throttle(Throttle::new(stores.throttle))
        .with_refresh_tokens(RefreshTokens::new(stores.refresh), RefreshTransport::Body)?;
    let mount = Mount::new(endpoint)
        .with_prefix("/oauth")
        .with_path(Operation::Login, "/token");

    let app = Router::new()
        .route("/whoami", get(whoami))
        .with_state(guard)
        .merge(LoginRoutes::new(mount).router())
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind(embeddings::listen()).await?;
    embeddings::say_where(listener.local_addr().ok().as_ref());
    Ok(axum::serve(listener, app).await?)
}
