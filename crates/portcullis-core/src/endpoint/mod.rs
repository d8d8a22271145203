//! The whole way of a login, from the form of a request to the reply.
//!
//! [`TokenEndpoint`] serves every operation. [`Login`] and [`TokenRefusal`] are what its methods give
//! to an application that answers by itself; the grants are forms that have been read.

mod grant;
pub use grant::{Grant, GrantTypePolicy, PasswordGrant, RefreshTokenGrant};

mod outcome;
pub use outcome::{Login, TokenRefusal};

mod password;

mod request;
pub use request::{LoginOrigin, LoginRequest};

mod session;

mod token_endpoint;
pub use token_endpoint::TokenEndpoint;
