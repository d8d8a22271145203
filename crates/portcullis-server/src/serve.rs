//! The server itself.

use std::future::poll_fn;
use std::io::{self, Write};
use std::mem;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use actix_web::dev::Service;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Condition;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use portcullis::actix::{Bearer, LoginRoutes, TrustedProxies};
use portcullis::adapter::{Mount, Operation, Scheme};
use portcullis::cookie::TokenCookie;
use portcullis::password::{Argon2Params, HashPoolConfig};
use portcullis::throttle::SprayingPolicy;
use portcullis::{
    Argon2idHasher, Authenticator, BearerGuard, CredentialStore, HashPool, RefreshTokens,
    RefreshTransport, Throttle, TokenEndpoint, openapi,
};
use serde::Serialize;

use crate::args::{
    CookiePrefixArg, HashArgs, LimitArgs, RedirectsArg, ServeArgs, SwitchArg, TokenKind,
};
use crate::failure::Failure;
use crate::keys;
use crate::migrate;
use crate::tokens::{self, Tokens};

pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    check_prefix(&args.prefix)?;
    if args.migrate {
        migrate::run(&args.store, &args.tokens.token_store).await?;
    }
    let url = args.store.url()?;
    let stores = portcullis::open(&url).await?;
    let refreshes = matches!(args.refresh.refresh_tokens, SwitchArg::On);
    let token_stores = if refreshes || matches!(args.tokens.tokens, TokenKind::Opaque) {
        tokens::stores(&args.tokens.token_store, &stores).await?
    } else {
        stores.clone()
    };
    let throttle = match args.throttle {
        SwitchArg::Off => None,
        SwitchArg::On => Some(limited(Throttle::new(stores.throttle), &args)?),
    };
    let server = Server {
        listen: args.listen,
        prefix: args.prefix,
        scheme: args.scheme.into(),
        trusted_proxies: NonZeroUsize::new(args.trusted_proxies),
        tokens: Tokens::open(&args.tokens, &url, token_stores.tokens)?,
        refresh_tokens: if refreshes {
            Some(tokens::refresh_tokens(&args.refresh, token_stores.refresh)?)
        } else {
            None
        },
        users: stores.credentials,
        throttle,
        redirects: args.redirects,
        cookie_prefix: args.refresh.cookie_prefix,
        limits: args.limits,
        pool: pool(&args.hashing)?,
    };
    if server.trusted_proxies.is_some()
        && server.scheme == Scheme::Http
        && server.redirects == RedirectsArg::Absolute
    {
        tracing::warn!(
            "redirects lead to http: behind a proxy that serves TLS a client that follows one sends a \
             password in clear; say --scheme https, or --redirects relative"
        );
    }
    server
        .run(|address| say(&format!("listening on http://{address}")))
        .await
}

/// Also by address and by device, as the flags say. Says which in the log.
fn limited(mut throttle: Throttle, args: &ServeArgs) -> Result<Throttle, Failure> {
    let (prefix, scheme) = (args.refresh.cookie_prefix, args.scheme.into());
    let (has_proxies, args) = (args.trusted_proxies > 0, &args.throttling);

    if args.spraying_limit == 0 {
        tracing::info!("any number of names may fail from one address");
    } else {
        let mut policy = SprayingPolicy::default();
        policy.names = args.spraying_limit;
        policy.private_addresses = has_proxies;
        throttle = throttle.with_spraying_limit(policy)?;
        let whose = if has_proxies {
            "any, which the proxies tell"
        } else {
            "any that is public: those that are private are taken for proxies"
        };
        tracing::info!(
            names = args.spraying_limit,
            address = whose,
            "so many names may fail from one address within an hour"
        );
    }
    if let Some(devices) = keys::devices(args)? {
        let cookie = prefixed(TokenCookie::device(), prefix, scheme)?;
        throttle = throttle.with_devices(devices.with_cookie(cookie)?);
    }
    Ok(throttle)
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
    pub(crate) redirects: RedirectsArg,
    pub(crate) cookie_prefix: CookiePrefixArg,
    pub(crate) limits: LimitArgs,
}

impl Server {
    /// Serves until SIGTERM or SIGINT, then finishes the requests it has begun. Tells `ready` the
    /// address once connections are accepted.
    pub(crate) async fn run(self, ready: impl FnOnce(SocketAddr)) -> Result<(), Failure> {
        let mut guard =
            BearerGuard::new(self.tokens.verifier).with_credential_check(Arc::clone(&self.users));
        if let Some(sessions) = &self.refresh_tokens {
            guard = guard.with_sessions(sessions.clone());
        }
        let authenticator = Authenticator::new(self.users, self.pool)?;
        // Else the first logins would tell whose hashes are dearer to check than current ones.
        if let Err(error) = authenticator.learn().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "it is not known which password hashes the store has"
            );
        }
        let mut endpoint = TokenEndpoint::new(authenticator, self.tokens.issuer);
        if let Some(throttle) = self.throttle {
            endpoint = endpoint.with_throttle(throttle);
        }
        if let Some(refresh_tokens) = self.refresh_tokens {
            let cookie = TokenCookie::refresh_token();
            let cookie = prefixed(cookie, self.cookie_prefix, self.scheme)?;
            let transport = RefreshTransport::Cookie(cookie);
            endpoint = endpoint.with_refresh_tokens(refresh_tokens, transport)?;
        }
        let limits = self.limits;
        let mut mount = Mount::new(endpoint)
            .with_prefix(&self.prefix)
            .with_scheme(self.scheme)
            .with_body_limit(limits.body_limit as usize)
            .with_bodies_limit(limits.bodies_limit)
            .with_body_deadline(seconds(limits.body_deadline));
        if self.redirects == RedirectsArg::Relative {
            mount = mount.with_relative_redirects();
        }
        let login_path = mount.path(Operation::Login).unwrap_or_default();
        let login = LoginRoutes::new(mount);
        let me_path = format!("{}/me", self.prefix);
        let document = Data::new(openapi::login_document(&login_path));
        let proxies = TrustedProxies::new(self.trusted_proxies.unwrap_or(NonZeroUsize::MIN));
        let has_proxies = self.trusted_proxies.is_some();
        let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
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
        .client_request_timeout(seconds(limits.head_deadline))
        .keep_alive(seconds(limits.keep_alive))
        .workers(workers)
        // It counts on each worker.
        .max_connections(connections(limits.max_connections).div_ceil(workers))
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

/// A cookie as the flags say.
fn prefixed(
    mut cookie: TokenCookie,
    prefix: CookiePrefixArg,
    scheme: Scheme,
) -> Result<TokenCookie, Failure> {
    cookie.secure = scheme == Scheme::Https;
    match prefix {
        CookiePrefixArg::None => Ok(cookie),
        _ if !cookie.secure => Err(Failure::config(
            "browsers take cookies with such a prefix over HTTPS alone: say --scheme https, or \
             --cookie-prefix none",
        )),
        CookiePrefixArg::Host => Ok(cookie.of_this_host()),
        CookiePrefixArg::Secure => Ok(cookie.over_https()),
    }
}

/// How many connections to take. Each is an open file; some are needed for stores and for the log.
fn connections(asked: Option<NonZeroUsize>) -> usize {
    if let Some(asked) = asked {
        return asked.get();
    }
    open_files().map_or(MOST_CONNECTIONS, |files| {
        files.saturating_sub(OTHER_FILES).clamp(1, MOST_CONNECTIONS)
    })
}

/// How many this process may have; `None` for any number.
fn open_files() -> Option<usize> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};

        let files = getrlimit(Resource::Nofile).current?;
        usize::try_from(files).ok()
    }
    #[cfg(not(unix))]
    None
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
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

/// That of actix-web for one worker.
const MOST_CONNECTIONS: usize = 25_000;

const OTHER_FILES: usize = 128;

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
