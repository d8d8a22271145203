#![doc = include_str!("../README.md")]

mod access_token;
pub use access_token::{AccessTokenPolicy, ClaimsSource};

mod accounts;
pub use accounts::{Accounts, ChangedPassword, ResetRefusal, SignUpRefusal};

mod audit;
pub use audit::{
    AccountHash, Audit, LogObserver, LoginEvent, LoginEventKind, LoginObserver, RefusedBecause,
};

mod authenticator;
pub use authenticator::{AuthenticatedUser, Authentication, Authenticator, RefusedCredentials};

mod claims_json;

mod clock;
pub use clock::{Clock, SystemClock};

mod cookie;
pub use cookie::{RefreshTransport, SameSite, TokenCookie};

mod credential_store;
pub use credential_store::{Credential, CredentialStore, UserId, UserStatus, Username};

mod endpoint;
pub use endpoint::{LoginRequest, TokenEndpoint};

mod error;
pub use error::{BoxError, Error, ErrorKind};

mod form;
pub use form::{FormData, FormError, FormValue};

mod gate;
pub use gate::{Challenge, Denial, GateDecision, LoginCandidate, LoginGate};

mod grant;
pub use grant::{Grant, GrantTypePolicy, PasswordGrant, RefreshTokenGrant};

mod guard;
pub use guard::{Bearer, BearerGuard, BearerRefusal, BearerRejection, GuardOf, bearer_token};

mod hex;

mod housekeeping;

mod memory;
pub use memory::{
    MemoryCredentialStore, MemoryRefreshStore, MemoryThrottleStore, MemoryTokenStore,
};

mod mount;
pub use mount::{Fallback, Found, Mount};

mod opaque;
pub use opaque::{OpaqueIssuer, OpaqueVerifier};

pub mod openapi;

mod operation;
pub use operation::Operation;

mod outcome;
pub use outcome::{Login, TokenRefusal};

mod password;
#[cfg(feature = "bcrypt")]
pub use password::BcryptScheme;
#[cfg(feature = "pbkdf2")]
pub use password::Pbkdf2Scheme;
pub use password::{
    Arena, Argon2Limits, Argon2Params, Argon2idHasher, HashPool, HashPoolConfig, HashPoolMetrics,
    HashScheme, MAX_PASSWORD_BYTES, MigratingHasher, PasswordHash, PasswordHasher, PasswordPolicy,
    PasswordRefusal, ThreadPriority, Verdict, Wiping,
};
#[cfg(feature = "scrypt")]
pub use password::{ScryptLimits, ScryptScheme};

mod password_check;

mod percent;

mod random;
pub use random::{OsRandom, SecureRandom, random_bytes};

mod refresh;
pub use refresh::{GoodRefreshToken, RefreshPolicy, RefreshToken, RefreshTokens};

mod refresh_store;
pub use refresh_store::{FamilyKey, FamilyRecord, RefreshStore};

mod remote_address;
pub use remote_address::RemoteAddress;

mod reply;
pub use reply::Reply;

mod request;
pub use request::RequestHead;

mod responder;
pub use responder::{Answer, FastApi, RefusalKind, Responder, Rfc6749, Wording};

mod route;
pub use route::{Origin, Route, Routes, Scheme};

mod runtime;
pub use runtime::{BoxFuture, Runtime};

mod secret;
pub use secret::{BodyBuffer, BodyTooLarge, Secret};

mod throttle;
pub use throttle::{Admission, Attempt, Throttle, ThrottlePolicy};

mod throttle_store;
pub use throttle_store::{ThrottleKey, ThrottleRecord, ThrottleStore};

mod token;
pub use token::{Claims, TokenIssuer, TokenRequest, TokenResponse, TokenVerifier};

mod token_store;
pub use token_store::{TokenHash, TokenStore};

mod unix_time;
pub use unix_time::UnixTime;

mod validation;
pub use validation::{ValidationError, ValidationErrorKind, ValidationErrors};

/// The attribute that implementations of the traits here are written with.
pub use async_trait::async_trait;
