//! `with-servers COMMAND [ARGUMENT]...` runs a command with every database server that the tests
//! want, and stops them after it.
//!
//! A server whose environment variable is set already is not started.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};

use portcullis_testservers::{postgres, redis};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "a program for terminals")]
async fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with-servers COMMAND [ARGUMENT]...");
        return ExitCode::from(2);
    };
    match run(program, arguments).await {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("with-servers: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    program: OsString,
    arguments: impl Iterator<Item = OsString>,
) -> io::Result<ExitStatus> {
    // From here on a signal no longer ends this process before its servers.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    // In a group of its own, so that a signal reaches whatever the command starts.
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .process_group(0);

    let mut _postgres = None;
    if env::var_os(postgres::URL_VARIABLE).is_none() {
        let server = postgres::Server::start()?;
        command.env(postgres::URL_VARIABLE, server.url());
        _postgres = Some(server);
    }
    let mut _redis = None;
    if env::var_os(redis::URL_VARIABLE).is_none() {
        let server = redis::Server::start()?;
        command.env(redis::URL_VARIABLE, server.url());
        _redis = Some(server);
    }
    let mut _redis_cluster = None;
    if env::var_os(redis::CLUSTER_URL_VARIABLE).is_none() {
        let cluster = redis::Cluster::start()?;
        command.env(redis::CLUSTER_URL_VARIABLE, cluster.url());
        _redis_cluster = Some(cluster);
    }

    let mut child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    loop {
        let received = tokio::select! {
            status = child.wait() => return status,
            _ = interrupt.recv() => Signal::INT,
            _ = terminate.recv() => Signal::TERM,
        };
        if let Some(group) = group.and_then(Pid::from_raw) {
            kill_process_group(group, received)?;
        }
    }
}

/// As a shell says it: 128 and the signal, for a command that a signal ended.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
