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
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// FastAPI on two uvicorn workers with argon2-cffi.
    Fastapi,
    /// An actix-web server that hashes in its handlers.
    Inline,
    /// The login-server of portcullis on SQLite.
    Portcullis,
    /// An actix-web server that hashes on the blocking pool, without a bound of its own.
    SpawnBlocking,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fastapi => "fastapi",
            Self::Inline => "inline",
            Self::Portcullis => "portcullis",
            Self::SpawnBlocking => "spawn-blocking",
        }
    }
}

/// Stopped when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Server {
    pub(crate) fn start(kind: Kind, python: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let directory = tempfile::tempdir()?;
        let this = std::env::current_exe()?;
        let login_server = this.with_file_name("login-server");
        let mut command = match kind {
            Kind::Portcullis => {
                add_user(&login_server, directory.path())?;
                let mut command = Command::new(login_server);
                command.args(["serve", "--store", "sqlite://users.db", "--log", "error"]);
                command.args(["--listen", "127.0.0.1:0"]);
                command
            }
            Kind::Fastapi => {
                let python =
                    python.ok_or("fastapi needs --python; scripts/storm --fastapi has one")?;
                return Self::start_fastapi(python, directory);
            }
            Kind::Inline | Kind::SpawnBlocking => {
                let mut command = Command::new(this);
                command.args(["rival", kind.name()]);
                command
            }
        };
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

fn add_user(login_server: &Path, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut child = Command::new(login_server)
        .args(["user", "add", "--store", "sqlite://users.db"])
        .args(["--username", "ada@example.com", "--password-stdin"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{} does not run ({error})", login_server.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"correct horse battery staple")?;
    }
    if child.wait()?.success() {
        Ok(())
    } else {
        Err("the user could not be added".into())
    }
}
