//! A login whose answers are those of a service that is taken over: other texts and statuses, two more
//! members with the token, and users who are not active told so once their password is right.

use std::sync::Arc;

use actix_web::{App, HttpServer, web};
use embeddings::ActiveUsers;
use portcullis::actix::{Bearer, LoginRoutes};
use portcullis::jwt::{JwtIssuer, SigningKey};
use portcullis::responder::{FastApi, RefusalKind, Wording};
use portcullis::{
    AccessTokenPolicy, Authenticator, BearerGuard, HashPool, OsRandom, Responder, TokenEndpoint,
};

async fn me(bearer: Bearer) -> String {
    bearer.claims.sub.to_string()
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wrong = Wording::new(400, "Incorrect email or password")?;
    let bad_token = Wording::new(403, "Could not validate credentials")?;
    let answers: Arc<dyn Responder> = Arc::new(
        FastApi::new()
            .with_wording(RefusalKind::BadCredentials, wrong)
            .with_wording(RefusalKind::InvalidToken, bad_token)
            .with_member("expires_in", |login| {
                login.token.expires_in.as_secs().into()
            })
            .with_member("email", |login| login.user.username.as_str().into()),
    );
    let users = portcullis::open(&embeddings::database_url())
        .await?
        .credentials;
    let policy = AccessTokenPolicy::new("https://api.example.com", "example-api");
    let issuer = JwtIssuer::new(policy, SigningKey::generate_ephemeral(&OsRandom)?);
    let guard = BearerGuard::new(Arc::new(issuer.verifier())).with_responder(answers.clone());
    let authenticator = Authenticator::new(users, HashPool::argon2id()?)?;
    let endpoint = TokenEndpoint::new(authenticator, Arc::new(issuer))
        .with_responder(answers)
        .with_gate(Arc::new(ActiveUsers));
    let login = LoginRoutes::new(endpoint);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(guard.clone())
            .configure(|app| login.configure(app))
            .route("/v1/me", web::get().to(me))
    })
    .bind(embeddings::listen())?;
    embeddings::say_where(server.addrs().first());
    Ok(server.run().await?)
}
