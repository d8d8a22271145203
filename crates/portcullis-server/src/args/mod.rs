//! What can be said on the command line, or by `PORTCULLIS_*` in the environment.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgGroup, Parser, Subcommand, ValueEnum};
use portcullis::adapter::Scheme;
use portcullis::password::Argon2Params;

mod store;
pub(crate) use store::{StoreArgs, TokenStoreArgs};

/// A login server: POST /v1/login takes the OAuth2 password form and answers a bearer token.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// What to log, as `level` or `module=level,...`.
    #[arg(long, env = "PORTCULLIS_LOG", default_value = "info", global = true)]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure Argon2id on this machine, and print parameters to use here.
    Calibrate(CalibrateArgs),
    /// Serve a temporary store with one user, and print requests to try.
    Demo(DemoArgs),
    /// Make the tables of the stores, or bring them up to date; deletes nothing.
    Migrate(MigrateArgs),
    /// Serve logins.
    Serve(Box<ServeArgs>),
    /// Manage the users of a store.
    #[command(subcommand)]
    User(UserCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CalibrateArgs {
    /// How long a hash may take, in milliseconds of one processor.
    #[arg(
        long,
        default_value_t = 50,
        value_name = "MS",
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub(crate) target_ms: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "PORTCULLIS_LISTEN", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) hashing: HashArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) token_store: TokenStoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "PORTCULLIS_LISTEN", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Migrate the stores first, as the command `migrate` does.
    #[arg(long, env = "PORTCULLIS_MIGRATE", value_parser = FalseyValueParser::new())]
    pub(crate) migrate: bool,
    /// The path under which login and me are served.
    #[arg(long, env = "PORTCULLIS_PREFIX", default_value = "/v1")]
    pub(crate) prefix: String,
    /// The scheme of URLs that clients are redirected to; `https` behind a proxy that serves TLS.
    #[arg(long, env = "PORTCULLIS_SCHEME", default_value = "http")]
    pub(crate) scheme: SchemeArg,
    /// What clients are redirected to that add a slash to a path: a whole URL, as FastAPI does, or a path,
    /// which names neither a scheme nor a host that a client or a proxy could have got wrong.
    #[arg(long, env = "PORTCULLIS_REDIRECTS", default_value = "absolute")]
    pub(crate) redirects: RedirectsArg,
    /// How many proxies of yours are in front, each of which adds to `X-Forwarded-For` where it was
    /// connected from. The throttle goes by where clients are.
    #[arg(
        long,
        env = "PORTCULLIS_TRUSTED_PROXIES",
        default_value_t = 0,
        value_name = "N"
    )]
    pub(crate) trusted_proxies: usize,
    /// Whether to limit how often passwords may be tried for one account. It is counted where the
    /// users are.
    #[arg(long, env = "PORTCULLIS_THROTTLE", default_value = "on")]
    pub(crate) throttle: SwitchArg,
    #[command(flatten)]
    pub(crate) throttling: ThrottleArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) refresh: RefreshArgs,
    #[command(flatten)]
    pub(crate) tokens: TokenArgs,
    #[command(flatten)]
    pub(crate) hashing: HashArgs,
}

/// Used with `--throttle on`.
#[derive(Debug, clap::Args)]
pub(crate) struct ThrottleArgs {
    /// How many different names may fail from one address within an hour; 0 for any number. Addresses
    /// that are private or of this machine have no limit unless `--trusted-proxies` is given: they are
    /// those of proxies as a rule.
    #[arg(
        long,
        env = "PORTCULLIS_SPRAYING_LIMIT",
        default_value_t = 100,
        value_name = "NAMES",
        value_parser = clap::value_parser!(u32).range(0..=1_000)
    )]
    pub(crate) spraying_limit: u32,
    /// A file with a secret of 32 bytes or more that signs the cookies of devices that are known, so
    /// that an owner on the move is not kept out by whoever guesses. Without it no device is known.
    #[arg(long, env = "PORTCULLIS_DEVICE_KEY_FILE", value_name = "FILE")]
    pub(crate) device_key_file: Option<PathBuf>,
    /// A file with a secret that signed such cookies before. May be repeated.
    #[arg(
        long,
        env = "PORTCULLIS_DEVICE_ACCEPT_KEY_FILE",
        value_name = "FILE",
        requires = "device_key_file"
    )]
    pub(crate) device_accept_key_file: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LimitArgs {
    /// How long a body may be, in bytes; a longer one is answered 413. A login has a few hundred.
    #[arg(
        long,
        env = "PORTCULLIS_BODY_LIMIT",
        default_value_t = LimitArgs::BODY_LIMIT,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(1_024..)
    )]
    pub(crate) body_limit: u32,
    /// What all bodies that are being read may take, in bytes; more are answered 503. Those of up to 64
    /// KiB are always read.
    #[arg(
        long,
        env = "PORTCULLIS_BODIES_LIMIT",
        default_value_t = LimitArgs::BODIES_LIMIT,
        value_name = "BYTES"
    )]
    pub(crate) bodies_limit: usize,
    /// How long a body may take to arrive, in seconds; then it is answered 408.
    #[arg(
        long,
        env = "PORTCULLIS_BODY_DEADLINE",
        default_value_t = LimitArgs::BODY_DEADLINE,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) body_deadline: u32,
    /// How long the head of a request may take to arrive, in seconds.
    #[arg(
        long,
        env = "PORTCULLIS_HEAD_DEADLINE",
        default_value_t = LimitArgs::HEAD_DEADLINE,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) head_deadline: u32,
    /// How long a connection may wait for its next request, in seconds.
    #[arg(
        long,
        env = "PORTCULLIS_KEEP_ALIVE",
        default_value_t = LimitArgs::KEEP_ALIVE,
        value_name = "SECONDS"
    )]
    pub(crate) keep_alive: u32,
    /// How many connections are taken at once [default: what the open files of the process allow, less
    /// 128].
    #[arg(long, env = "PORTCULLIS_MAX_CONNECTIONS", value_name = "N")]
    pub(crate) max_connections: Option<NonZeroUsize>,
}

impl LimitArgs {
    const BODY_LIMIT: u32 = 64 << 10;
    const BODIES_LIMIT: usize = 64 << 20;
    const BODY_DEADLINE: u32 = 10;
    const HEAD_DEADLINE: u32 = 5;
    const KEEP_ALIVE: u32 = 5;
}

impl Default for LimitArgs {
    fn default() -> Self {
        Self {
            body_limit: Self::BODY_LIMIT,
            bodies_limit: Self::BODIES_LIMIT,
            body_deadline: Self::BODY_DEADLINE,
            head_deadline: Self::HEAD_DEADLINE,
            keep_alive: Self::KEEP_ALIVE,
            max_connections: None,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct RefreshArgs {
    /// Whether to give out refresh tokens, in the cookie `refresh_token`. With `--scheme https`
    /// browsers send it over HTTPS alone.
    #[arg(long, env = "PORTCULLIS_REFRESH_TOKENS", default_value = "off")]
    pub(crate) refresh_tokens: SwitchArg,
    /// What the names of cookies begin with: `host` for `__Host-` and the path `/`, so that no other host
    /// of the domain can set one in their place, or `secure` for `__Secure-`, so that none can over plain
    /// HTTP. Either takes `--scheme https`.
    #[arg(long, env = "PORTCULLIS_COOKIE_PREFIX", default_value = "none")]
    pub(crate) cookie_prefix: CookiePrefixArg,
    /// How long a refresh token is good that is not used, in seconds.
    #[arg(
        long,
        env = "PORTCULLIS_REFRESH_IDLE_LIFETIME",
        default_value_t = 30 * 24 * 60 * 60,
        value_name = "SECONDS"
    )]
    pub(crate) refresh_idle_lifetime: u32,
    /// How long after a login it can be refreshed, in seconds.
    #[arg(
        long,
        env = "PORTCULLIS_REFRESH_ABSOLUTE_LIFETIME",
        default_value_t = 90 * 24 * 60 * 60,
        value_name = "SECONDS"
    )]
    pub(crate) refresh_absolute_lifetime: u32,
    /// How many sessions a user may have; the oldest are ended [default: any number].
    #[arg(long, env = "PORTCULLIS_MAX_SESSIONS", value_name = "N")]
    pub(crate) max_sessions: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SwitchArg {
    Off,
    On,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum RedirectsArg {
    Absolute,
    Relative,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CookiePrefixArg {
    None,
    Host,
    Secure,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemeArg {
    Http,
    Https,
}

impl From<SchemeArg> for Scheme {
    fn from(scheme: SchemeArg) -> Self {
        match scheme {
            SchemeArg::Http => Self::Http,
            SchemeArg::Https => Self::Https,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// What tokens are made of.
    #[arg(long, env = "PORTCULLIS_TOKENS", default_value = "jwt")]
    pub(crate) tokens: TokenKind,
    #[command(flatten)]
    pub(crate) token_store: TokenStoreArgs,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Who issues the tokens (`iss`).
    #[arg(long, env = "PORTCULLIS_ISSUER", default_value = "portcullis")]
    pub(crate) issuer: String,
    /// Whom the tokens are for (`aud`).
    #[arg(long, env = "PORTCULLIS_AUDIENCE", default_value = "portcullis")]
    pub(crate) audience: String,
    /// How long a token lives, in seconds.
    #[arg(
        long,
        env = "PORTCULLIS_TOKEN_LIFETIME",
        default_value_t = 900,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) token_lifetime: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TokenKind {
    /// Signed: checked without a store, good until they expire.
    Jwt,
    /// Random: their meaning is in the token store, and they can be revoked at once.
    Opaque,
}

/// Used with `--tokens jwt`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// A file with the secret that signs tokens (HS256): at least 32 bytes. A line feed at its end
    /// is not part of it. Without this and `--jwt-key-file`, a secret is made beside a SQLite
    /// database, and for this process alone with any other store.
    #[arg(long, env = "PORTCULLIS_JWT_SECRET_FILE", value_name = "FILE")]
    pub(crate) jwt_secret_file: Option<PathBuf>,
    /// A file with an Ed25519 private key in PEM (PKCS#8) that signs tokens (EdDSA).
    #[arg(
        long,
        env = "PORTCULLIS_JWT_KEY_FILE",
        value_name = "FILE",
        conflicts_with = "jwt_secret_file"
    )]
    pub(crate) jwt_key_file: Option<PathBuf>,
    /// A file with a secret whose tokens are good too, though none are signed with it: so that the
    /// secret can be replaced. May be repeated.
    #[arg(long, env = "PORTCULLIS_JWT_ACCEPT_SECRET_FILE", value_name = "FILE")]
    pub(crate) jwt_accept_secret_file: Vec<PathBuf>,
    /// The same of an Ed25519 public key in PEM.
    #[arg(long, env = "PORTCULLIS_JWT_ACCEPT_KEY_FILE", value_name = "FILE")]
    pub(crate) jwt_accept_key_file: Vec<PathBuf>,
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Argon2Args {
    /// What a new hash costs, never below OWASP's parameters; see the command `calibrate`.
    #[arg(
        id = "argon2",
        long,
        env = "PORTCULLIS_ARGON2",
        default_value_t,
        value_name = "PARAMS"
    )]
    pub(crate) params: Argon2Params,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HashArgs {
    #[command(flatten)]
    pub(crate) argon2: Argon2Args,
    /// How many passwords are hashed at once [default: the processors of this machine].
    #[arg(long, env = "PORTCULLIS_HASH_THREADS", value_name = "N")]
    pub(crate) hash_threads: Option<NonZeroUsize>,
    /// How many logins may wait to be hashed; more are answered 503.
    #[arg(
        long,
        env = "PORTCULLIS_HASH_QUEUE",
        default_value_t = 1_000,
        value_name = "N"
    )]
    pub(crate) hash_queue: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user.
    Add(AddArgs),
    /// Delete a user, and revoke their opaque tokens.
    Delete(EndArgs),
    /// Refuse a user's logins until they are enabled, and revoke their opaque tokens.
    Disable(EndArgs),
    /// Allow a disabled user to log in again.
    Enable(NameArgs),
    /// End one session of a user, by the name that `sessions` prints.
    EndSession(EndSessionArgs),
    /// Add the users of standard input, a line each: username, password hash, scopes and status.
    Import(ImportArgs),
    /// List users: id, username and status, separated by tabs.
    List(StoreArgs),
    /// List a user's sessions, the last one used first: name, when begun and when last used (both in
    /// seconds since 1970), client and network, separated by tabs.
    Sessions(EndArgs),
    /// Change a user's password, and unlock them; tokens issued before are dead.
    SetPassword(SetPasswordArgs),
    /// Let a user log in at once after too many wrong passwords.
    Unlock(NameArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) name: NameArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    /// A scope the user may have, or several, separated by spaces; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
}

/// Reads lines of a username, a password hash (a PHC string), scopes (separated by spaces) and a status
/// (`enabled` or `disabled`), separated by tabs. What follows the username may be left out.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EndArgs {
    #[command(flatten)]
    pub(crate) name: NameArgs,
    #[command(flatten)]
    pub(crate) token_store: TokenStoreArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EndSessionArgs {
    #[command(flatten)]
    pub(crate) of: EndArgs,
    /// The name of the session.
    #[arg(long, value_name = "NAME")]
    pub(crate) session: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetPasswordArgs {
    #[command(flatten)]
    pub(crate) name: NameArgs,
    #[command(flatten)]
    pub(crate) token_store: TokenStoreArgs,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// What the user types to log in.
    #[arg(long, value_name = "NAME")]
    pub(crate) username: String,
}

/// Without either flag the password is asked for at the terminal.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("source"))]
pub(crate) struct PasswordArgs {
    /// Read the password from standard input; a line feed at its end is not part of it.
    #[arg(long, group = "source")]
    pub(crate) password_stdin: bool,
    /// Read a ready password hash (a PHC string) from standard input.
    #[arg(long, group = "source")]
    pub(crate) password_hash_stdin: bool,
    #[command(flatten)]
    pub(crate) argon2: Argon2Args,
    /// The fewest characters (code points) a new password may have.
    #[arg(
        long,
        env = "PORTCULLIS_MIN_PASSWORD_LENGTH",
        default_value_t = 15,
        value_name = "N"
    )]
    pub(crate) min_password_length: usize,
    /// Refuse a new password that is guessed within a million tries, as zxcvbn estimates.
    #[arg(long, env = "PORTCULLIS_BLOCKLIST", default_value = "on")]
    pub(crate) blocklist: SwitchArg,
}
