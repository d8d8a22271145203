//! Redis servers and clusters.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process::{failed, find_program, free_port, wait_until};

/// The environment variable with the URL of the server that all tests share.
pub const URL_VARIABLE: &str = "PORTCULLIS_TEST_REDIS_URL";

/// The environment variable with the URL of the cluster that all tests share.
pub const CLUSTER_URL_VARIABLE: &str = "PORTCULLIS_TEST_REDIS_CLUSTER_URL";

/// The URL of the server that all tests share, each with a key prefix of its own.
///
/// # Panics
/// If there is none: a test must not pass without its server.
#[must_use]
pub fn url() -> String {
    shared(URL_VARIABLE)
}

/// The URL of the cluster that all tests share, each with a key prefix of its own.
///
/// # Panics
/// If there is none: a test must not pass without its cluster.
#[must_use]
pub fn cluster_url() -> String {
    shared(CLUSTER_URL_VARIABLE)
}

/// A Redis server on 127.0.0.1, with its data in a temporary directory. Dropping it stops it and
/// deletes them.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    options: Vec<String>,
    port: u16,
    bus_port: u16,
    process: Option<Child>,
    is_paused: bool,
}

impl Server {
    /// Starts a new server that forgets everything when it is stopped, and waits until it answers.
    ///
    /// # Errors
    /// With a sentence, if there is no Redis on this machine or it does not start.
    pub fn start() -> io::Result<Self> {
        Self::start_with([])
    }

    /// Starts a new server with options of `redis.conf`, such as `["--appendonly", "yes"]`.
    ///
    /// # Errors
    /// With a sentence, if there is no Redis on this machine or it does not start.
    pub fn start_with<'a>(options: impl IntoIterator<Item = &'a str>) -> io::Result<Self> {
        let mut server = Self {
            directory: tempfile::Builder::new()
                .prefix("portcullis-redis-")
                .tempdir()?,
            options: options.into_iter().map(str::to_owned).collect(),
            port: 0,
            bus_port: 0,
            process: None,
            is_paused: false,
        };
        // Somebody else may take a port between its choice and its use.
        let mut attempts = 5;
        loop {
            (server.port, server.bus_port) = (free_port()?, free_port()?);
            attempts -= 1;
            match server.launch() {
                Err(_) if attempts > 0 => {}
                launched => return launched.map(|()| server),
            }
        }
    }

    /// The URL of its default user and database, the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1, the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server, as a crash does, and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be reached by signals.
    pub fn stop(&mut self) -> io::Result<()> {
        self.is_paused = false;
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Starts the server again after [`stop`](Self::stop), with what it kept on the same port, and
    /// waits until it answers.
    ///
    /// # Errors
    /// With a sentence, if it does not start.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Stops the server where it is, as an overloaded machine does: it keeps its connections and
    /// answers nothing.
    ///
    /// # Errors
    /// If it cannot be reached by signals.
    pub fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        self.is_paused = true;
        Ok(())
    }

    /// Lets the server go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// If it cannot be reached by signals.
    pub fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)?;
        self.is_paused = false;
        Ok(())
    }

    /// Makes the server a replica of `master`, and waits until it has all that is there.
    ///
    /// # Errors
    /// With a sentence, if it does not become one.
    pub fn replicate(&self, master: &Self) -> io::Result<()> {
        self.execute(["REPLICAOF", "127.0.0.1", &master.port.to_string()])?;
        self.wait_for_sync(master)
    }

    /// Waits until this replica has all that its master has done up to now.
    ///
    /// # Errors
    /// With a sentence, if that does not come about.
    pub fn wait_for_sync(&self, master: &Self) -> io::Result<()> {
        wait_until(&self.log(), || {
            // A master does not send changes to a replica before it is `online`.
            let there = master.command(["INFO", "replication"])?;
            let here = self.command(["INFO", "replication"])?;
            Ok(here.contains("master_link_status:up")
                && there.contains("state=online")
                && offset(&here, "slave_repl_offset:") >= offset(&there, "master_repl_offset:"))
        })
    }

    /// Executes a command, and returns the reply as `redis-cli` prints it, be it an error.
    ///
    /// # Errors
    /// If there is no `redis-cli` on this machine.
    pub fn command<'a>(&self, command: impl IntoIterator<Item = &'a str>) -> io::Result<String> {
        let output = Command::new(find_program("redis-cli", &debian_directories())?)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(command)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()?;
        let reply = String::from_utf8_lossy(&output.stdout);
        Ok(reply.trim_end().to_owned())
    }

    /// Executes a command that has nothing to answer but that all is well.
    fn execute<'a>(&self, command: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        match self.command(command)?.as_str() {
            "OK" => Ok(()),
            reply => Err(failed(reply, &self.log())),
        }
    }

    fn launch(&mut self) -> io::Result<()> {
        let mut process = Command::new(find_program("redis-server", &debian_directories())?)
            .args(["--bind", "127.0.0.1"])
            .args(["--port", &self.port.to_string()])
            .args(["--cluster-port", &self.bus_port.to_string()])
            .args(["--save", "", "--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(self.directory.path())
            .arg("--logfile")
            .arg(self.log())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pid = format!("process_id:{}\r", process.id());
        let ready = wait_until(&self.log(), || {
            if process.try_wait()?.is_some() {
                return Err(failed("Redis does not start", &self.log()));
            }
            // Another server on this port has another process, and one that wants a password
            // does not tell.
            let info = self.command(["INFO"])?;
            Ok((info.contains(&pid) && info.contains("\nloading:0")) || info.starts_with("NOAUTH"))
        });
        // Kept before anything can fail, so that dropping the server stops it.
        self.process = Some(process);
        if ready.is_err() {
            self.stop()?;
        }
        ready
    }

    fn signal(&self, with: Signal) -> io::Result<()> {
        let process = self.process.as_ref().map(Child::id);
        let pid = process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the server is stopped"))?;
        Ok(kill_process(pid, with)?)
    }

    fn answers(&self) -> bool {
        self.process.is_some() && !self.is_paused
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already, then.
        let _ = self.stop();
    }
}

/// A Redis Cluster of three masters with a third of the slots each. Dropping it stops its servers.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Starts three servers, joins them, and waits until every slot is served.
    ///
    /// # Errors
    /// With a sentence, if there is no Redis on this machine or the cluster does not form.
    pub fn start() -> io::Result<Self> {
        let mut cluster = Self { nodes: Vec::new() };
        for (first, last) in THIRDS {
            let node = Self::start_node()?;
            node.execute(["CLUSTER", "ADDSLOTSRANGE", first, last])?;
            cluster.join(node)?;
        }
        cluster.wait_until_ok()?;
        Ok(cluster)
    }

    /// Adds a replica of the master that has `key`: it takes over after a second of silence.
    /// Returns its place in [`nodes`](Self::nodes).
    ///
    /// # Errors
    /// With a sentence, if it does not start or join.
    pub fn add_replica(&mut self, key: &str) -> io::Result<usize> {
        let master = self.node_of(key)?;
        let id = self.nodes[master].command(["CLUSTER", "MYID"])?;
        self.join(Self::start_node()?)?;
        let place = self.nodes.len() - 1;
        let replica = &self.nodes[place];
        wait_until(&replica.log(), || {
            // Refused until it has heard of the master.
            Ok(replica.command(["CLUSTER", "REPLICATE", &id])? == "OK")
        })?;
        self.wait_until_ok()?;
        for node in &self.nodes {
            node.execute(["CONFIG", "SET", "cluster-node-timeout", "1000"])?;
        }
        Ok(place)
    }

    /// The URL, with all its nodes.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("redis://{}?cluster=true", hosts.join(","))
    }

    /// Its servers: first the three masters.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// Its servers, to be stopped and paused.
    #[must_use]
    pub fn nodes_mut(&mut self) -> &mut [Server] {
        &mut self.nodes
    }

    /// The place in [`nodes`](Self::nodes) of the master that has `key`.
    ///
    /// # Errors
    /// With a sentence, if there is none.
    pub fn node_of(&self, key: &str) -> io::Result<usize> {
        for (place, node) in self.nodes.iter().enumerate() {
            // Any other answers with the address of that one.
            if node.answers() && node.command(["EXISTS", key])?.parse::<u8>().is_ok() {
                return Ok(place);
            }
        }
        Err(io::Error::other(format!("no node has the key {key}")))
    }

    /// Waits until all nodes that are not stopped or paused find every slot served.
    ///
    /// # Errors
    /// With a sentence, if that does not come about.
    pub fn wait_until_ok(&self) -> io::Result<()> {
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        for node in self.nodes.iter().filter(|node| node.answers()) {
            wait_until(&node.log(), || {
                let info = node.command(["CLUSTER", "INFO"])?;
                Ok(info.contains("cluster_state:ok") && info.contains(&known))
            })?;
        }
        Ok(())
    }

    fn start_node() -> io::Result<Server> {
        Server::start_with([
            "--cluster-enabled",
            "yes",
            // Milliseconds of silence after which a node is taken for dead.
            "--cluster-node-timeout",
            "5000",
            "--appendonly",
            "yes",
        ])
    }

    fn join(&mut self, node: Server) -> io::Result<()> {
        // Two with the same epoch would first have to settle who is ahead.
        let epoch = (self.nodes.len() + 1).to_string();
        node.execute(["CLUSTER", "SET-CONFIG-EPOCH", &epoch])?;
        for other in &self.nodes {
            let [port, bus_port] = [other.port, other.bus_port].map(|port| port.to_string());
            node.execute(["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port])?;
        }
        self.nodes.push(node);
        Ok(())
    }
}

#[expect(clippy::panic, reason = "this fails a test, with a sentence")]
fn shared(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("there is no Redis to test with: run scripts/test, or set {variable}")
    })
}

fn offset(info: &str, name: &str) -> Option<u64> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Where Debian keeps the programs, should `PATH` be bare.
fn debian_directories() -> [PathBuf; 1] {
    [PathBuf::from("/usr/bin")]
}

/// The first and the last slot of each master.
const THIRDS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
