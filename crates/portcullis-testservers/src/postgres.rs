//! Postgres servers.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::process::{failed, find_program, free_port, wait_until};

/// The environment variable with the URL of the server that all tests share.
pub const URL_VARIABLE: &str = "PORTCULLIS_TEST_POSTGRES_URL";

/// The URL of the server that all tests share, of a user who may create schemas, roles and
/// databases there.
///
/// # Panics
/// If there is none: a test must not pass without its server.
#[must_use]
#[expect(clippy::panic, reason = "this fails a test, with a sentence")]
pub fn url() -> String {
    std::env::var(URL_VARIABLE).unwrap_or_else(|_| {
        panic!("there is no Postgres to test with: run scripts/test, or set {URL_VARIABLE}")
    })
}

/// A Postgres server on 127.0.0.1, with its data in a temporary directory. Dropping it stops it
/// and deletes them.
///
/// The superuser `postgres` needs no password there, everybody else theirs (SCRAM-SHA-256).
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    binaries: PathBuf,
    port: u16,
    postmaster: Option<Child>,
}

impl Server {
    /// Makes a new server and waits until it answers.
    ///
    /// # Errors
    /// With a sentence, if there is no Postgres on this machine or it does not start.
    pub fn start() -> io::Result<Self> {
        let initdb = find_program("initdb", &debian_directories())?;
        let mut server = Self {
            directory: tempfile::Builder::new()
                .prefix("portcullis-postgres-")
                .tempdir()?,
            binaries: initdb.parent().map(Path::to_owned).unwrap_or_default(),
            port: 0,
            postmaster: None,
        };
        server.create_data(&initdb)?;

        // Somebody else may take the port between its choice and its use.
        let mut attempts = 5;
        loop {
            server.port = free_port()?;
            attempts -= 1;
            match server.launch() {
                Err(_) if attempts > 0 => {}
                launched => return launched.map(|()| server),
            }
        }
    }

    /// The URL of its superuser and the database `postgres`, the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Shuts the server down, closing every connection, and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be reached by signals.
    pub fn stop(&mut self) -> io::Result<()> {
        if let Some(mut postmaster) = self.postmaster.take() {
            // "Fast shutdown": sessions are ended, their transactions rolled back.
            signal(postmaster.id(), Signal::INT)?;
            postmaster.wait()?;
        }
        Ok(())
    }

    /// Ends all processes of the server at once, as a crash does: no session is ended in good order,
    /// and the next start has to recover.
    ///
    /// # Errors
    /// If they cannot be reached by signals.
    pub fn crash(&mut self) -> io::Result<()> {
        self.signal_all(Signal::KILL)?;
        if let Some(mut postmaster) = self.postmaster.take() {
            postmaster.wait()?;
        }
        Ok(())
    }

    /// Starts the server again after [`stop`](Self::stop) or [`crash`](Self::crash), with the same
    /// data on the same port, and waits until it answers.
    ///
    /// # Errors
    /// With a sentence, if it does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Stops all processes of the server where they are, as an overloaded machine does: they keep
    /// their connections and answer nothing.
    ///
    /// # Errors
    /// If they cannot be reached by signals.
    pub fn pause(&self) -> io::Result<()> {
        self.signal_all(Signal::STOP)
    }

    /// Lets the processes of the server go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// If they cannot be reached by signals.
    pub fn resume(&self) -> io::Result<()> {
        self.signal_all(Signal::CONT)
    }

    fn create_data(&self, initdb: &Path) -> io::Result<()> {
        if let Some(owner) = unprivileged()? {
            chown(&self.directory, Some(owner.uid), Some(owner.gid))?;
        }
        let log = self.log();
        let status = self
            .command(initdb)?
            .args(["--username=postgres", "--encoding=UTF8", "--locale=C"])
            .args(["--auth=trust", "--no-sync"])
            .status()?;
        if !status.success() {
            return Err(failed("initdb failed", &log));
        }
        fs::write(
            self.data().join("pg_hba.conf"),
            "host all postgres 127.0.0.1/32 trust\n\
             host all all      127.0.0.1/32 scram-sha-256\n",
        )
    }

    fn launch(&mut self) -> io::Result<()> {
        let mut postmaster = self
            .command(&self.binaries.join("postgres"))?
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", &format!("port={}", self.port)])
            .args(["-c", "unix_socket_directories="])
            // Every test has pools of its own.
            .args(["-c", "max_connections=500"])
            // Nothing here outlives the machine.
            .args(["-c", "fsync=off"])
            .spawn()?;
        let (log, pid_file) = (self.log(), self.data().join("postmaster.pid"));
        let pid = postmaster.id().to_string();
        let ready = wait_until(&log, || {
            if postmaster.try_wait()?.is_some() {
                return Err(failed("Postgres does not start", &log));
            }
            // The file that pg_ctl looks at: the first line is the process, the eighth its state.
            let state = fs::read_to_string(&pid_file).unwrap_or_default();
            let mut lines = state.lines();
            let is_its = lines.next() == Some(&*pid);
            Ok(is_its && lines.nth(6).map(str::trim) == Some("ready"))
        });
        // Kept before anything can fail, so that dropping the server stops it.
        self.postmaster = Some(postmaster);
        if ready.is_err() {
            self.kill();
        }
        ready
    }

    /// A program of Postgres, working on the data of this server. They refuse to run as root.
    fn command(&self, program: &Path) -> io::Result<Command> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(program);
        command
            .arg("-D")
            .arg(self.data())
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if let Some(user) = unprivileged()? {
            command.uid(user.uid).gid(user.gid);
        }
        Ok(command)
    }

    fn signal_all(&self, with: Signal) -> io::Result<()> {
        let Some(postmaster) = &self.postmaster else {
            return Ok(());
        };
        // The postmaster first: then it starts no more.
        signal(postmaster.id(), with)?;
        for child in children(postmaster.id())? {
            // One that ends meanwhile needs no signal.
            let _ = signal(child, with);
        }
        Ok(())
    }

    fn kill(&mut self) {
        // A paused process would not hear the next one.
        let _ = self.resume();
        if let Some(mut postmaster) = self.postmaster.take() {
            // "Immediate shutdown": it takes its children with it.
            let _ = signal(postmaster.id(), Signal::QUIT);
            let _ = postmaster.wait();
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where Debian keeps the programs, the newest version first.
fn debian_directories() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut directories: Vec<_> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    directories.sort();
    directories.reverse();
    directories
}

struct User {
    uid: u32,
    gid: u32,
}

/// Whom to run Postgres as: `None` is whoever this is, unless that is root.
fn unprivileged() -> io::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| user(&users, name))
        .map(Some)
        .ok_or_else(|| io::Error::other("there is no user `postgres` or `nobody` to run it as"))
}

/// A line of passwd(5) is `name:password:uid:gid:...`.
fn user(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let mut numbers = fields.skip(1).map_while(|field| field.parse().ok());
        Some(User {
            uid: numbers.next()?,
            gid: numbers.next()?,
        })
    })
}

fn signal(process: u32, with: Signal) -> io::Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("there is no such process"))?;
    Ok(kill_process(pid, with)?)
}

/// Each is the leader of a session of its own, so that no process group has them all.
fn children(parent: u32) -> io::Result<Vec<u32>> {
    let parent = parent.to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // proc_pid_stat(5): `pid (comm) state ppid ...`.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
        if after_name.and_then(|rest| rest.split(' ').nth(1)) == Some(&*parent) {
            children.push(process);
        }
    }
    Ok(children)
}
