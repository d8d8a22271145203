//! A login for the users that a FastAPI service keeps in Postgres, in the table of fastapi-users. Both
//! may run at the same time.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use portcullis::axum::LoginRoutes;
use portcullis::jwt::{JwtIssuer, SigningKey};
use portcullis::postgres::{PostgresStore, TableMapping};
use portcullis::{
    AccessTokenPolicy, Authenticator, HashPool, OsRandom, Stores, Throttle, TokenEndpoint,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `PostgresStore::new` takes the application's own pool instead: of sqlx 0.9, with a
    // `statement_timeout`.
    // What portcullis keeps itself stands in a schema of its own, and touches no table of yours.
    let own = PostgresStore::connect(&embeddings::database_url()).await?;
    own.migrate().await?;
    let users = own.table(&TableMapping::fastapi_users()).await?;
    let stores = Stores::of(own);

    let policy = AccessTokenPolicy::new("https://api.example.com", "example-api");
    let issuer = JwtIssuer::new(policy, SigningKey::generate_ephemeral(&OsRandom)?);
    let authenticator = Authenticator::new(Arc::new(users), HashPool::argon2id()?)?;
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(issuer))
        .with_throttle(Throttle::new(stores.throttle));

    let app = Router::new()
        .merge(LoginRoutes::new(endpoint).router())
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind(embeddings::listen()).await?;
    embeddings::say_where(listener.local_addr().ok().as_ref());
    Ok(axum::serve(listener, app).await?)
}
