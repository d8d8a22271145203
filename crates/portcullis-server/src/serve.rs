//! The server itself.

use std::future::poll_fn;
use std::io::{self, Write};
use std::mem;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use actix_web::dev::Service;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Condition;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use portcullis::actix::{Bearer, LoginRoutes, TrustedProxies};
use portcullis::adapter::{Mount, Operation, Scheme};
use portcullis::cookie::TokenCookie;
use portcullis::password::{Argon2Params, HashPoolConfig};
use portcullis::{
    Argon2idHasher, Authenticator, BearerGuard, CredentialStore, HashPool, RefreshTokens,
    RefreshTransport, Throttle, TokenEndpoint, openapi,
};
use serde::Serialize;

use crate::args::{HashArgs, ServeArgs, SwitchArg, TokenKind};
use crate::failure::Failure;
use crate::migrate;
use crate::tokens::{self, Tokens};

pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    check_prefix(&args.prefix)?;
    if args.migrate {
        migrate::run(&args.store, &args.tokens.token_store).await?;
    }
    let stores = portcullis::open(&args.store.url).await?;
    let refreshes = matches!(args.refresh.refresh_tokens, SwitchArg::On);
    let token_stores = if refreshes || matches!(args.tokens.tokens, TokenKind::Opaque) {
        tokens::stores(&args.tokens.token_store, &stores).await?
    } else {
        stores.clone()
    };
    let server = Server {
        listen: args.listen,
        prefix: args.prefix,
        scheme: args.scheme.into(),
        trusted_proxies: NonZeroUsize::new(args.trusted_proxies),
        tokens: Tokens::open(&args.tokens, &args.store.url, token_stores.tokens)?,
        refresh_tokens: if refreshes {
            Some(tokens::refresh_tokens(&args.refresh, token_stores.refresh)?)
        } else {
            None
        },
        users: stores.credentials,
        throttle: match args.throttle {
            SwitchArg::Off => None,
            SwitchArg::On => Some(Throttle::new(stores.throttle)),
        },
        pool: pool(&args.hashing)?,
    };
    server
        .run(|address| say(&format!("listening on http://{address}")))
        .await
}

/// Everything a server is made of.
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) prefix: String,
    pub(crate) scheme: Scheme,
    pub(crate) trusted_proxies: Option<NonZeroUsize>,
    pub(crate) users: Arc<dyn CredentialStore>,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) tokens: Tokens,
    pub(crate) refresh_tokens: Option<RefreshTokens>,
    pub(crate) pool: HashPool,
}

impl Server {
    /// Serves until SIGTERM or SIGINT, then finishes the requests it has begun. Tells `ready` the
    /// address once connections are accepted.
    pub(crate) async fn run(self, ready: impl FnOnce(SocketAddr)) -> Result<(), Failure> {
        let guard =
            BearerGuard::new(self.tokens.verifier).with_credential_check(Arc::clone(&self.users));
        let authenticator = Authenticator::new(self.users, self.pool)?;
        let mut endpoint = TokenEndpoint::new(authenticator, self.tokens.issuer);
        if let Some(throttle) = self.throttle {
            endpoint = endpoint.with_throttle(throttle);
        }
        if let Some(refresh_tokens) = self.refresh_tokens {
            let mut cookie = TokenCookie::refresh_token();
            cookie.secure = self.scheme == Scheme::Https;
            let transport = RefreshTransport::Cookie(cookie);
            endpoint = endpoint.with_refresh_tokens(refresh_tokens, transport)?;
        }
        let mount = Mount::new(endpoint)
            .with_prefix(&self.prefix)
            .with_scheme(self.scheme);
        let login_path = mount.path(Operation::Login).unwrap_or_default();
        let login = LoginRoutes::new(mount);
        let me_path = format!("{}/me", self.prefix);
        let document = Data::new(openapi::login_document(&login_path));
        let proxies = TrustedProxies::new(self.trusted_proxies.unwrap_or(NonZeroUsize::MIN));
        let has_proxies = self.trusted_proxies.is_some();
        let server = HttpServer::new(move || {
            let others = [
                ("GET", me_path.as_str()),
                ("GET", "/healthz"),
                ("GET", "/openapi.json"),
            ];
            App::new()
                .wrap_fn(move |mut request, service| {
                    shrink(request.headers_mut());
                    service.call(request)
                })
                .wrap(Condition::new(has_proxies, proxies))
                .app_data(guard.clone())
                .app_data(document.clone())
                .configure(|app| login.configure(app))
                .configure(|app| login.configure_fallback(app, others))
                .route(&me_path, web::get().to(me))
                .route("/healthz", web::get().to(healthz))
                .route("/openapi.json", web::get().to(openapi_document))
        })
        // A client that closes has gone: its login must not be hashed.
        .h1_allow_half_closed(false)
        .bind(self.listen)
        .map_err(|error| cannot_listen(self.listen, &error))?;
        for address in server.addrs() {
            tracing::info!(%address, "listening");
        }
        let address = server.addrs().first().copied().unwrap_or(self.listen);
        let mut running = pin!(server.run());
        // From its first step on it listens to SIGTERM, which may come once the address is known.
        let begun = poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await;
        let ended = match begun {
            Poll::Pending => {
                ready(address);
                running.await
            }
            Poll::Ready(ended) => ended,
        };
        ended.map_err(|error| Failure::refused(format!("the server stopped: {error}")))
    }
}

/// Frees the room that actix-web made for headers which did not come.
///
/// Of 6.5 KiB a request that is 4.9, for as long as a login waits to be hashed; there may be
/// hundreds. actix-web keeps the map for later requests, so that few of them pay.
fn shrink(headers: &mut HeaderMap) {
    let names = headers.len_keys();
    if headers.capacity() > 2 * names.max(4) {
        let mut small = HeaderMap::with_capacity(names);
        for (name, value) in mem::take(headers) {
            small.append(name, value);
        }
        *headers = small;
    }
}

pub(crate) fn pool(args: &HashArgs) -> Result<HashPool, Failure> {
    let mut config = HashPoolConfig::default();
    config.threads = args.hash_threads.unwrap_or(config.threads);
    config.queue = args.hash_queue;
    let hasher = hasher(args.argon2.params)?;
    Ok(HashPool::new(Arc::new(hasher), config)?)
}

/// The hasher this server is built with.
pub(crate) fn hasher(params: Argon2Params) -> Result<Argon2idHasher, Failure> {
    let hasher = Argon2idHasher::new(params);
    #[cfg(feature = "argon2-simd")]
    let hasher = hasher.with_simd()?;
    Ok(hasher)
}

/// Prints a line for whoever, person or script, waits for it.
pub(crate) fn say(line: &str) {
    // Nobody may be reading; the server goes on.
    let _ = writeln!(io::stdout(), "{line}");
}

#[derive(Serialize)]
struct Me<'a> {
    sub: &'a str,
    username: Option<&'a str>,
    scopes: &'a [String],
}

async fn me(bearer: Bearer) -> HttpResponse {
    HttpResponse::Ok().json(Me {
        sub: bearer.claims.sub.as_str(),
        username: bearer
            .credential
            .as_ref()
            .map(|user| user.username.as_str()),
        scopes: &bearer.claims.scopes,
    })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Tells that the process answers; it asks neither the store nor the hash pool.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok" })
}

async fn openapi_document(document: Data<serde_json::Value>) -> HttpResponse {
    HttpResponse::Ok().json(document.as_ref())
}

fn check_prefix(prefix: &str) -> Result<(), Failure> {
    let plain = prefix
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~'));
    if prefix.is_empty() || (prefix.starts_with('/') && !prefix.ends_with('/') && plain) {
        return Ok(());
    }
    Err(Failure::config(
        "--prefix must be empty or begin with `/`, not end with it, and hold only letters, \
         digits and `/-_.~`",
    ))
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "something else listens there".to_owned(),
        _ => error.to_string(),
    };
    Failure::config(format!(
        "cannot listen on {address} ({reason}); choose another address or port with --listen"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{COOKIE, HOST, HeaderValue};

    #[test]
    fn headers_in_less_room_are_the_same() {
        let mut headers = HeaderMap::with_capacity(16);
        for cookie in ["a", "b", "c"] {
            headers.append(COOKIE, HeaderValue::from_static(cookie));
        }
        headers.insert(HOST, HeaderValue::from_static("here"));
        let room = headers.capacity();
        shrink(&mut headers);
        assert!(headers.capacity() < room);
        assert_eq!(headers.len(), 4);
        assert_eq!(headers.get(HOST).unwrap(), "here");
        assert!(headers.get_all(COOKIE).eq(["a", "b", "c"]));
    }
}
