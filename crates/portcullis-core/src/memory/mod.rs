//! Stores in the memory of the process: for tests, demonstrations and small services.

mod refresh;
pub use refresh::MemoryRefreshStore;

mod throttle;
pub use throttle::MemoryThrottleStore;

mod tokens;
pub use tokens::MemoryTokenStore;

mod users;
pub use users::MemoryCredentialStore;
