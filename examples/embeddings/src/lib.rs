//! What the examples share: where they listen and where their users are. An application has its own
//! configuration for that.

use std::env;
use std::net::SocketAddr;

mod active_users;
pub use active_users::ActiveUsers;

mod paseto;
pub use paseto::Paseto;

mod totp;
pub use totp::TotpGate;

/// The store to open: `DATABASE_URL`, or else a file beside the program.
#[must_use]
pub fn database_url() -> String {
    env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite://users.db".to_owned())
}

/// The address to listen on: `LISTEN`, or else port 8000 of this machine.
#[must_use]
pub fn listen() -> String {
    env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned())
}

/// Says where the server listens, for whoever started it.
#[expect(
    clippy::print_stdout,
    reason = "it is what a person at the terminal reads"
)]
pub fn say_where(address: Option<&SocketAddr>) {
    if let Some(address) = address {
        println!("listening on http://{address}");
    }
}

/// Is ready when the process is asked to end, by Ctrl-C or SIGTERM.
pub async fn end_of_service() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    // Without a signal to wait for, only the end of the process ends it.
    let _ = tokio::signal::ctrl_c().await;
}

/// The example of the repository's front page is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct FrontPage;
