//! The core of portcullis: everything that decides about a login, and nothing that talks to a
//! network, a database, a framework or a runtime.

mod authenticator;
pub use authenticator::{AuthenticatedUser, Authentication, Authenticator};

mod clock;
pub use clock::{Clock, SystemClock};

mod cookie;
pub use cookie::{RefreshCookie, SameSite};

mod credential_store;
pub use credential_store::{Credential, CredentialStore, UserId, UserStatus, Username};

mod endpoint;
pub use endpoint::{Login, LoginRefusal, LoginRequest, Operation, TokenEndpoint};

mod error;
pub use error::{BoxError, Error, ErrorKind};

mod form;
pub use form::{FormData, FormError, FormValue};

mod grant;
pub use grant::{Grant, GrantTypePolicy, PasswordGrant, RefreshTokenGrant};

mod guard;
pub use guard::{Bearer, BearerGuard, BearerRefusal, bearer_token};

mod housekeeping;

mod memory;
pub use memory::{
    MemoryCredentialStore, MemoryRefreshStore, MemoryThrottleStore, MemoryTokenStore,
};

mod opaque;
pub use opaque::{OpaqueIssuer, OpaqueVerifier};

pub mod openapi;

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

mod percent;

mod random;
pub use random::{OsRandom, SecureRandom};

mod refresh;
pub use refresh::{Refresh, RefreshPolicy, RefreshToken, RefreshTokens};

mod refresh_store;
pub use refresh_store::{FamilyKey, FamilyRecord, RefreshStore};

mod remote_address;
pub use remote_address::RemoteAddress;

mod reply;
pub use reply::{Dialect, Reply};

mod route;
pub use route::{Origin, Route, Routes, Scheme};

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
