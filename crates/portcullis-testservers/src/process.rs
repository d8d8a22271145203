//! What starting any server takes: its program, a port, and patience.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, io};

/// Finds a program in `PATH`, or else in one of the directories where Debian keeps it.
pub(crate) fn find_program(name: &str, elsewhere: &[PathBuf]) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(elsewhere.iter().cloned())
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| {
            io::Error::other(format!(
                "there is no program `{name}`: run scripts/test, which installs it"
            ))
        })
}

/// A port of 127.0.0.1 that nobody listens on now. Somebody may before long: be ready to ask again.
pub(crate) fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Asks again and again, for at most half a minute, until the answer is yes.
///
/// `log` is shown if it never is.
pub(crate) fn wait_until(
    log: &Path,
    mut is_so: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(failed("the server does not become ready", log));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// An error that shows what the server wrote to its log.
pub(crate) fn failed(what: &str, log: &Path) -> io::Error {
    let log = std::fs::read(log).unwrap_or_default();
    io::Error::other(format!("{what}:\n{}", String::from_utf8_lossy(&log)))
}
