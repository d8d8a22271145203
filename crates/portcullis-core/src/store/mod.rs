//! What a backend implements: four traits, and what they exchange.
//!
//! | trait | keeps |
//! |---|---|
//! | [`CredentialStore`] | users, their password hashes and scopes |
//! | [`ThrottleStore`] | what the throttle has counted |
//! | [`RefreshStore`] | the families of refresh tokens |
//! | [`TokenStore`] | opaque access tokens |
//!
//! A store decides nothing: it keeps records, and makes each change one atomic step. The stores in
//! memory are in [`memory`](crate::memory).

mod credential;
pub use credential::{Credential, CredentialStore, UserId, UserStatus, Username};

mod refresh;
pub use refresh::{FamilyKey, FamilyRecord, RefreshStore};

mod throttle;
pub use throttle::{ThrottleKey, ThrottleRecord, ThrottleStore};

mod token;
pub use token::{TokenHash, TokenStore};
