//! A server under test, in a process of its own.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use portcullis_core::Argon2idHasher;
use portcullis_core::password::Argon2Params;
use portcullis_testservers::{postgres, redis};
use tempfile::TempDir;

use crate::load::Users;

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// FastAPI on two uvicorn workers with argon2-cffi.
    Fastapi,
    /// An actix-web server that hashes in its handlers.
    Inline,
    /// The portcullis-server of portcullis on SQLite.
    Portcullis,
    /// The same on a memory store, which has no user: every login is refused, after hashing.
    PortcullisMemory,
    /// The same on Postgres.
    PortcullisPostgres,
    /// The same on Redis.
    PortcullisRedis,
    /// An actix-web server that hashes on the blocking pool, without a bound of its own.
    SpawnBlocking,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fastapi => "fastapi",
            Self::Inline => "inline",
            Self::Portcullis => "portcullis",
            Self::PortcullisMemory => "portcullis-memory",
            Self::PortcullisPostgres => "portcullis-postgres",
            Self::PortcullisRedis => "portcullis-redis",
            Self::SpawnBlocking => "spawn-blocking",
        }
    }

    /// The kernel that the server hashes with, for the bound it is held against.
    pub(crate) fn hasher(self) -> Result<Argon2idHasher, Box<dyn Error>> {
        let reference = Argon2idHasher::new(Argon2Params::default());
        Ok(match self {
            Self::Fastapi | Self::Inline | Self::SpawnBlocking => reference,
            // As portcullis-server is built unless told otherwise.
            _ => reference.with_simd()?,
        })
    }

    pub(crate) fn users(self) -> Users {
        match self {
            Self::PortcullisMemory => Users::Nobody,
            _ => Users::Ada,
        }
    }
}

/// Stopped when dropped, before the database it uses.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    _database: Database,
    _directory: TempDir,
}

#[expect(dead_code, reason = "held until the server has stopped")]
pub(crate) enum Database {
    None,
    Postgres(postgres::Server),
    Redis(redis::Server),
}

impl Server {
    pub(crate) fn start(kind: Kind, python: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let this = std::env::current_exe()?;
        let portcullis_server = this.with_file_name("portcullis-server");
        let (store, database) = match kind {
            Kind::Fastapi => {
                let python = python.ok_or("fastapi needs --python: see scripts/storm --fastapi")?;
                return Self::start_fastapi(python, directory);
            }
            Kind::Inline | Kind::SpawnBlocking => {
                let mut command = Command::new(this);
                command.args(["rival", kind.name()]);
                return Self::spawn(command, Database::None, directory);
            }
            Kind::Portcullis => ("sqlite://users.db".to_owned(), Database::None),
            Kind::PortcullisMemory => ("memory:".to_owned(), Database::None),
            Kind::PortcullisPostgres => {
                let server = postgres::Server::start()?;
                (server.url(), Database::Postgres(server))
            }
            Kind::PortcullisRedis => {
                let server = redis::Server::start()?;
                (server.url(), Database::Redis(server))
            }
        };
        if kind != Kind::PortcullisMemory {
            prepare(&portcullis_server, &store, directory.path())?;
        }
        let command = serve(&portcullis_server, &store, directory.path(), &[])?;
        Self::spawn(command, database, directory)
    }

    pub(crate) fn spawn(
        mut command: Command,
        database: Database,
        directory: TempDir,
    ) -> Result<Self, Box<dyn Error>> {
        let mut child = command
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on http://");
        Ok(Self {
            address: address.ok_or("the server said no address")?.parse()?,
            child,
            _database: database,
            _directory: directory,
        })
    }

    fn start_fastapi(python: &Path, directory: TempDir) -> Result<Self, Box<dyn Error>> {
        // uvicorn's workers must share a port that is known beforehand.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        fs::write(
            directory.path().join("storm_app.py"),
            include_str!("../fastapi_app.py"),
        )?;
        let child = Command::new(python)
            .args(["-m", "uvicorn", "storm_app:app", "--workers", "2"])
            .args(["--log-level", "error", "--no-access-log", "--port"])
            .arg(address.port().to_string())
            .current_dir(directory.path())
            .spawn()?;
        let server = Self {
            address,
            child,
            _database: Database::None,
            _directory: directory,
        };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > Duration::from_secs(30) {
                return Err("uvicorn did not start".into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// The most memory the server and its children held, in KiB.
    pub(crate) fn peak_rss_kib(&self) -> Result<u64, Box<dyn Error>> {
        let id = self.child.id();
        let mut total = vm_hwm_kib(id)?;
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        for child in children.split_whitespace() {
            total += vm_hwm_kib(child.parse()?)?;
        }
        Ok(total)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // uvicorn stops its workers when asked, and not when killed.
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn vm_hwm_kib(id: u32) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmHWM")?.parse()?)
}

/// The command that serves `store` at a free port, with a key made in `directory`.
pub(crate) fn serve(
    portcullis_server: &Path,
    store: &str,
    directory: &Path,
    more: &[&str],
) -> Result<Command, Box<dyn Error>> {
    fs::write(
        directory.join("jwt.secret"),
        "of no server but this: thirty-two bytes",
    )?;
    let mut command = Command::new(portcullis_server);
    command.args(["serve", "--store", store, "--listen", "127.0.0.1:0"]);
    command.args(["--jwt-secret-file", "jwt.secret", "--log", "error"]);
    // Its clients all log in to one account.
    command.args(["--throttle", "off"]);
    command.args(more);
    Ok(command)
}

/// Gives `store` its tables and its user.
pub(crate) fn prepare(
    portcullis_server: &Path,
    store: &str,
    directory: &Path,
) -> Result<(), Box<dyn Error>> {
    let portcullis_server = || {
        let mut command = Command::new(portcullis_server);
        command.current_dir(directory);
        command
    };
    let migrated = portcullis_server()
        .args(["migrate", "--log", "error", "--store", store])
        .status();
    if !migrated?.success() {
        return Err("the store could not be migrated".into());
    }
    let mut child = portcullis_server()
        .args(["user", "add", "--store", store])
        .args(["--username", "ada@example.com", "--password-stdin"])
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"correct horse battery staple")?;
    }
    if child.wait()?.success() {
        Ok(())
    } else {
        Err("the user could not be added".into())
    }
}
