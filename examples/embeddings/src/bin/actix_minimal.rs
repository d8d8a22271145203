//! An actix-web application with a login and a handler that needs a token.

use std::sync::Arc;

use actix_web::{App, HttpServer, get};
use portcullis::actix::{Bearer, BearerRejection, LoginRoutes};
use portcullis::jwt::{JwtIssuer, SigningKey};
use portcullis::{
    AccessTokenPolicy, Authenticator, BearerGuard, HashPool, OsRandom, Throttle, TokenEndpoint,
};

#[get("/v1/orders")]
async fn orders(bearer: Bearer) -> Result<String, BearerRejection> {
    bearer.require("orders:read")?;
    Ok(format!("the orders of {}", bearer.claims.sub))
}

#[actix_web::main]
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
    let login = LoginRoutes::new(endpoint);

    let server = HttpServer::new(move || {
        App::new()
            .app_data(guard.clone())
            .configure(|app| login.configure(app))
            .service(orders)
    })
    // A client that closes has gone: its login must not be hashed.
    .h1_allow_half_closed(false)
    .bind(embeddings::listen())?;
    embeddings::say_where(server.addrs().first());
    // Until SIGTERM, which actix-web listens to: what has begun is answered.
    server.run().await?;
    pool.drain().await;
    stores.close().await;
    Ok(())
}
