//! The logins: many connections, each sending its next when the last is answered.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::probe;

/// What is sent, and the status it deserves.
const LOGINS: [(&str, u16); 3] = [
    (
        "username=ada%40example.com&password=correct+horse+battery+staple",
        200,
    ),
    (
        "username=ada%40example.com&password=wrong+horse+battery+staple",
        401,
    ),
    (
        "username=eve%40example.com&password=correct+horse+battery+staple",
        401,
    ),
];

/// How long an answer may be outstanding when the run is over.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
    /// Whether the server knows the user of [`LOGINS`].
    pub(crate) users: Users,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Users {
    Ada,
    Nobody,
}

#[derive(Default)]
pub(crate) struct Outcome {
    /// From the start to the last login that was hashed, and no less than was asked for.
    pub(crate) elapsed: Duration,
    /// What the clients and the probe took of the processors.
    pub(crate) own_time: Duration,
    /// Of the logins that were hashed, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// Of the probe, sorted.
    pub(crate) probes: Vec<Duration>,
    pub(crate) refused: usize,
    pub(crate) wrong: usize,
    /// When each login that was hashed was answered, since the start.
    pub(crate) answered: Vec<Duration>,
}

impl Outcome {
    /// What another run adds to this one.
    pub(crate) fn add(&mut self, run: Self) {
        let before = self.elapsed;
        self.elapsed += run.elapsed;
        self.own_time += run.own_time;
        self.latencies.extend(run.latencies);
        self.latencies.sort_unstable();
        self.probes.extend(run.probes);
        self.probes.sort_unstable();
        self.refused += run.refused;
        self.wrong += run.wrong;
        self.answered
            .extend(run.answered.iter().map(|at| before + *at));
    }
}

impl Load {
    pub(crate) fn run(&self) -> io::Result<Outcome> {
        let (address, duration, connections) = (self.address, self.duration, self.connections);
        let probe = thread::spawn(move || probe::run(address, duration));
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let own_time_before = own_time()?;
        let started = Instant::now();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async {
            let connections: Vec<_> = (0..connections)
                .map(|n| {
                    let outcome = Rc::clone(&outcome);
                    let users = self.users;
                    tokio::task::spawn_local(async move {
                        let run = Run {
                            started,
                            until: started + duration,
                            users,
                            connections,
                        };
                        let done = connection(address, n, run, &outcome).await;
                        if done.is_err() {
                            outcome.borrow_mut().wrong += 1;
                        }
                    })
                })
                .collect();
            for connection in connections {
                let _ = connection.await;
            }
        });
        let mut outcome = outcome.take();
        let last = outcome.answered.iter().max().copied().unwrap_or_default();
        outcome.elapsed = last.max(duration);
        outcome.latencies.sort_unstable();
        let (probes, failures) = probe.join().map_err(|_| io::Error::other("the probe"))?;
        outcome.probes = probes;
        outcome.wrong += failures;
        outcome.probes.sort_unstable();
        outcome.own_time = own_time()?.saturating_sub(own_time_before);
        Ok(outcome)
    }
}

/// The processor time of this process so far.
fn own_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

#[derive(Clone, Copy)]
struct Run {
    started: Instant,
    until: Instant,
    users: Users,
    connections: usize,
}

/// When the nth connection has its turn: faster than logins are answered, and within a second.
fn spread(n: usize, connections: usize) -> Duration {
    let all = Duration::from_secs(1).min(Duration::from_millis(1).mul_f64(connections as f64));
    all.mul_f64(n as f64 / connections as f64)
}

async fn connection(
    address: SocketAddr,
    n: usize,
    run: Run,
    outcome: &RefCell<Outcome>,
) -> io::Result<()> {
    // People do not all come in the same instant, and a herd of newcomers is a test of another kind.
    tokio::time::sleep(spread(n, run.connections)).await;
    let mut stream = connect(address).await?;
    let mut buffer = Vec::new();
    for (form, deserved) in LOGINS.iter().cycle().skip(n) {
        if Instant::now() >= run.until {
            break;
        }
        let request = format!(
            "POST /v1/login HTTP/1.1\r\nHost: storm\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let (status, retry_after) = timeout(PATIENCE, answer(&mut stream, &mut buffer)).await??;
        let deserved = match run.users {
            Users::Ada => *deserved,
            Users::Nobody => 401,
        };
        if status == deserved {
            let mut outcome = outcome.borrow_mut();
            outcome.latencies.push(sent.elapsed());
            outcome.answered.push(run.started.elapsed());
        } else if status == 503 {
            outcome.borrow_mut().refused += 1;
            // As a client should, and not all again at once. A server may close an idle connection meanwhile.
            drop(stream);
            tokio::time::sleep(retry_after + spread(n, run.connections)).await;
            stream = connect(address).await?;
        } else {
            outcome.borrow_mut().wrong += 1;
        }
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one answer and returns its status, and when to come again if it says so.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<(u16, Duration)> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let number = |header| {
            let mut lines = head.lines();
            let value = lines.find_map(|line| line.strip_prefix(header));
            value.and_then(|value| value.trim().parse::<u32>().ok())
        };
        let length = number("content-length:").ok_or(io::ErrorKind::InvalidData)?;
        if buffer.len() >= end + 4 + length as usize {
            let status = head.get(9..12).and_then(|status| status.parse().ok());
            let status = status.ok_or(io::ErrorKind::InvalidData)?;
            let seconds = number("retry-after:").unwrap_or(0);
            return Ok((status, Duration::from_secs(seconds.into())));
        }
    }
}
