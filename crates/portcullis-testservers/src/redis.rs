//! Redis servers and clusters, on 127.0.0.1 and never on Redis's own port.

use std::ffi::OsStr;
use std::io::{Error, ErrorKind, Result};
use std::process::{Child, Command, Stdio, id};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tempfile::TempDir;

/// The URL of the server that all tests share, each in a key prefix of its own.
///
/// # Errors
/// `NotFound` if there is none.
pub fn shared_url() -> Result<String> {
    shared("PORTCULLIS_TEST_REDIS_URL")
}

/// The URL of the cluster that all tests share, each in a key prefix of its own.
///
/// # Errors
/// `NotFound` if there is none.
pub fn shared_cluster_url() -> Result<String> {
    shared("PORTCULLIS_TEST_REDIS_CLUSTER_URL")
}

/// A server of one test's own: to be stopped, paused and spoiled. Stopped when dropped.
#[derive(Debug)]
pub struct Server {
    port: u16,
    bus_port: u16,
    options: Vec<String>,
    directory: TempDir,
    /// `None` while it is stopped.
    process: Option<Child>,
    is_paused: bool,
}

impl Server {
    /// Starts a server that forgets everything when it is stopped.
    ///
    /// # Errors
    /// If there is no Redis on this machine, or it does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(["--appendonly", "no"])
    }

    /// Starts a server with options as on the command line, such as `["--appendonly", "yes"]`.
    ///
    /// # Errors
    /// If there is no Redis on this machine, or it does not start.
    pub fn start_with<'a>(options: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut server = Self {
            port: 0,
            bus_port: 0,
            options: options.into_iter().map(str::to_owned).collect(),
            directory: tempfile::tempdir()?,
            process: None,
            is_paused: false,
        };
        // Another process may have one of the ports; then the server exits at once.
        for _ in 0..MOST_PORTS_TRIED {
            server.port = next_port();
            server.bus_port = next_port();
            match server.start_again() {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                started => return started.map(|()| server),
            }
        }
        Err(Error::other("no port is free for a Redis server"))
    }

    /// Starts a server that was stopped, on the same port and with what it kept on disk.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        let log = self.directory.path().join("log");
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--port", &self.port.to_string()])
            .args(["--cluster-port", &self.bus_port.to_string()])
            .arg("--dir")
            .arg(self.directory.path())
            .arg("--logfile")
            .arg(&log)
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| installed("redis-server", error))?;
        let pid = format!("process_id:{}\r", process.id());
        let process = self.process.insert(process);
        let port = self.port;
        until("a Redis server is ready", || {
            if process.try_wait()?.is_some() {
                let log = fs::read_to_string(&log)?;
                return Err(if log.contains("Address already in use") {
                    ErrorKind::AddrInUse.into()
                } else {
                    Error::other(format!("the Redis server ended: {log}"))
                });
            }
            // Whoever else has the port has another process id.
            let info = cli(port, ["INFO"])?;
            Ok((info.contains(&pid) && info.contains("loading:0\r")) || info.starts_with("NOAUTH"))
        })
    }

    /// Kills the server, as a crash does.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // An error says that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
        self.is_paused = false;
    }

    /// Stops the process in its tracks: connections stay open, and nobody answers.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&mut self) -> Result<()> {
        let pid = self.signal("-STOP")?;
        self.is_paused = true;
        until("a Redis server is paused", || {
            // Where there is no `/proc`, nobody can see it.
            Ok(fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| stat.contains(") T "))
                || !fs::exists("/proc/self/stat")?)
        })
    }

    /// Lets a paused process go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn resume(&mut self) -> Result<()> {
        self.signal("-CONT")?;
        self.is_paused = false;
        Ok(())
    }

    /// Executes a command, and returns the reply as `redis-cli` prints it, an error too.
    ///
    /// # Errors
    /// If the server cannot be asked.
    pub fn command<'a>(&self, command: impl IntoIterator<Item = &'a str>) -> Result<String> {
        cli(self.port, command)
    }

    /// Makes it a replica of `master`, and waits until it has all that is there.
    ///
    /// # Errors
    /// If it does not replicate.
    pub fn replicate(&self, master: &Self) -> Result<()> {
        ok(&self.command(["REPLICAOF", "127.0.0.1", &master.port.to_string()])?)?;
        self.until_in_sync()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn answers(&self) -> bool {
        self.process.is_some() && !self.is_paused
    }

    fn until_in_sync(&self) -> Result<()> {
        until("a Redis server is in sync with its master", || {
            let info = self.command(["INFO", "replication"])?;
            Ok(info.contains("master_link_status:up"))
        })
    }

    fn signal(&self, signal: &str) -> Result<u32> {
        let process = self.process.as_ref();
        let pid = process.ok_or(ErrorKind::NotFound)?.id();
        let sent = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()?;
        sent.success()
            .then_some(pid)
            .ok_or_else(|| Error::other(format!("`kill {signal}` did not reach the Redis server")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A cluster of three masters with a third of the slots each. Stopped when dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts three servers and joins them.
    ///
    /// # Errors
    /// If there is no Redis on this machine, or the cluster does not form.
    pub fn start() -> Result<Self> {
        let nodes = (0..THIRDS.len())
            .map(|_| Self::start_node())
            .collect::<Result<Vec<_>>>()?;
        for (node, (first, last)) in nodes.iter().zip(THIRDS) {
            ok(&node.command(["CLUSTER", "ADDSLOTSRANGE", first, last])?)?;
        }
        let mut cluster = Self { nodes: vec![] };
        for node in nodes {
            cluster.join(node)?;
        }
        cluster.until_ok()?;
        Ok(cluster)
    }

    /// Adds a replica of the node that has `key`, and waits until it could take over. Returns its
    /// place in [`nodes`](Self::nodes).
    ///
    /// # Errors
    /// If it does not start or join.
    pub fn add_replica(&mut self, key: &str) -> Result<usize> {
        let master = self.node_of(key)?;
        let id = self.nodes[master].command(["CLUSTER", "MYID"])?;
        self.join(Self::start_node()?)?;
        let replica = self.nodes.len() - 1;
        let node = &self.nodes[replica];
        until("a Redis server knows its master", || {
            let reply = node.command(["CLUSTER", "REPLICATE", id.trim()])?;
            Ok(reply.trim() == "OK")
        })?;
        node.until_in_sync()?;
        self.until_ok()?;
        Ok(replica)
    }

    /// The place in [`nodes`](Self::nodes) of the master that has `key`.
    ///
    /// # Errors
    /// If no node answers.
    pub fn node_of(&self, key: &str) -> Result<usize> {
        for (place, node) in self.nodes.iter().enumerate() {
            // Any other node names the one.
            if node.answers() && node.command(["EXISTS", key])?.trim().parse::<u8>().is_ok() {
                return Ok(place);
            }
        }
        Err(Error::other("no node has the key"))
    }

    /// Its servers.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// Its servers, to be stopped and started again.
    #[must_use]
    pub fn nodes_mut(&mut self) -> &mut [Server] {
        &mut self.nodes
    }

    /// The URL that names all servers.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("redis://{}?cluster=true", hosts.join(","))
    }

    /// Waits until all nodes that are not stopped or paused find every slot served.
    ///
    /// # Errors
    /// If that does not come about.
    pub fn until_ok(&self) -> Result<()> {
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        until("a Redis cluster is ready", || {
            for node in self.nodes.iter().filter(|node| node.answers()) {
                let info = node.command(["CLUSTER", "INFO"])?;
                if !info.contains("cluster_state:ok") || !info.contains(&known) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    fn start_node() -> Result<Server> {
        Server::start_with(
            ["--cluster-enabled", "yes", "--appendonly", "yes"]
                .into_iter()
                // How long a node must be silent to be taken for dead, in milliseconds.
                .chain(["--cluster-node-timeout", "1000"]),
        )
    }

    fn join(&mut self, node: Server) -> Result<()> {
        // Nodes of one epoch would have to settle who comes first.
        let epoch = (self.nodes.len() + 1).to_string();
        ok(&node.command(["CLUSTER", "SET-CONFIG-EPOCH", &epoch])?)?;
        if let Some(first) = self.nodes.first() {
            let (port, bus_port) = (first.port.to_string(), first.bus_port.to_string());
            ok(&node.command(["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port])?)?;
        }
        self.nodes.push(node);
        Ok(())
    }
}

fn shared(variable: &str) -> Result<String> {
    env::var(variable).map_err(|_| {
        Error::new(
            ErrorKind::NotFound,
            format!("run scripts/test, or set {variable} to the URL of a server for tests"),
        )
    })
}

/// Each port is tried once in a process. Different processes begin at different ones, below those
/// that the system gives to outgoing connections.
fn next_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (id() % 64) * 256;
    let port = begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
    FIRST_PORT + u16::try_from(port % u32::from(PORTS)).unwrap_or(0)
}

fn cli<S: AsRef<OsStr>>(port: u16, command: impl IntoIterator<Item = S>) -> Result<String> {
    let output = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| installed("redis-cli", error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ok(reply: &str) -> Result<()> {
    if reply.trim() == "OK" {
        return Ok(());
    }
    Err(Error::other(format!("Redis answered {reply}")))
}

fn installed(binary: &str, error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound {
        return Error::new(
            ErrorKind::NotFound,
            format!("{binary} is not installed: run scripts/test, which installs it"),
        );
    }
    error
}

fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(Error::new(
                ErrorKind::TimedOut,
                format!("waited {PATIENCE:?} in vain until {what}"),
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(30);
const MOST_PORTS_TRIED: usize = 100;
const FIRST_PORT: u16 = 16_000;
const PORTS: u16 = 16_384;

/// The first and the last slot of each master.
const THIRDS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
