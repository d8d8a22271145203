//! An axum application with a login and a handler that needs a token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use portcullis::axum::{Bearer, BearerRejection, LoginRoutes};
use portcullis::jwt::{JwtIssuer, SigningKey};
use portcullis::{
    AccessTokenPolicy, Authenticator, BearerGuard, HashPool, OsRandom, Throttle, TokenEndpoint,
};
use tokio::net::TcpListener;

async fn orders(bearer: Bearer) -> Result<String, BearerRejection> {
    bearer.require("orders:read")?;
    Ok(format!("the orders of {}", bearer.claims.sub))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stores = portcullis::open(&embeddings::database_url()).await?;
    let policy = AccessTokenPolicy::new("https://api.example.com", "example-api");
    // For a service with more than one node: `SigningKey::from_hs256_file`.
    let issuer = JwtIssuer::new(policy, SigningKey::generate_ephemeral(&OsRandom)?);
    let guard = BearerGuard::new(Arc::new(issuer.verifier()))
        .with_credential_check(Arc::clone(&stores.credentials));
    let pool = HashPool::argon2id()?;
    let authenticator = Authenticator::new(Arc::clone(&stores.credentials), pool.clone())?;
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(issuer))
        .with_throttle(Throttle::new(Arc::clone(&stores.throttle)));

    let app = Router::new()
        .route("/v1/orders", get(orders))
        .with_state(guard)
        .merge(LoginRoutes::new(endpoint).router())
        // With this the throttle knows where clients are.
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind(embeddings::listen()).await?;
    embeddings::say_where(listener.local_addr().ok().as_ref());
    axum::serve(listener, app)
        .with_graceful_shutdown(embeddings::end_of_service())
        .await?;
    pool.drain().await;
    stores.close().await;
    Ok(())
}
