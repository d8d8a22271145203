//! Servers that hash in the ways other libraries do, and are otherwise as small as can be.

use std::io;
use std::net::Ipv4Addr;

use actix_web::http::header::HeaderValue;
use actix_web::web::{self, Data, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use clap::ValueEnum;
use portcullis_core::endpoint::{GrantTypePolicy, PasswordGrant};
use portcullis_core::form::FormData;

/// Where a rival hashes.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Hashing {
    /// In the request handler.
    Inline,
    /// On the blocking pool of the runtime, as many at once as there are requests.
    SpawnBlocking,
}

struct User {
    hash: String,
}

pub(crate) fn serve(hashing: Hashing) -> io::Result<()> {
    let hash = argon2()
        .hash_password_with_salt(b"correct horse battery staple", b"storm storm storm!")
        .map_err(|error| io::Error::other(error.to_string()))?;
    let user = Data::new(User {
        hash: hash.to_string(),
    });
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(user.clone())
                .app_data(Data::new(hashing))
                .route("/v1/login", web::post().to(login))
                .route("/healthz", web::get().to(healthz))
        })
        // As many as the runtime of others has by default (tokio 1.54, `max_blocking_threads`).
        .worker_max_blocking_threads(512)
        .bind((Ipv4Addr::LOCALHOST, 0))?;
        for address in server.addrs() {
            println!("listening on http://{address}");
        }
        server.run().await
    })
}

async fn login(
    request: HttpRequest,
    payload: Payload,
    user: Data<User>,
    hashing: Data<Hashing>,
) -> HttpResponse {
    let content_type = request.headers().get("content-type").cloned();
    let Ok(body) = payload.to_bytes().await else {
        return HttpResponse::BadRequest().finish();
    };
    let verify = move || {
        let form = FormData::parse(content_type.as_ref().map(HeaderValue::as_bytes), &body).ok()?;
        let grant = PasswordGrant::from_form(&form, GrantTypePolicy::Optional).ok()?;
        let known = grant.username().as_str() == "ada@example.com";
        let password = grant.password().expose().as_bytes();
        let matches = argon2()
            .verify_password(password, user.hash.as_str())
            .is_ok();
        (known && matches).then_some(())
    };
    let accepted = match **hashing {
        Hashing::Inline => verify(),
        Hashing::SpawnBlocking => web::block(verify).await.unwrap_or_default(),
    };
    match accepted {
        Some(()) => HttpResponse::Ok().body("{}"),
        None => HttpResponse::Unauthorized().body("{}"),
    }
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().body("{}")
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}
