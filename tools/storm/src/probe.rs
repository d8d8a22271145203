//! Asks a server, over and over, whether it is well, and notes how long the answer takes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

// Often enough to meet what stalls for long, and asking costs little beside the logins.
const INTERVAL: Duration = Duration::from_millis(10);

/// The durations of all answers within `duration`, and how often there was none.
pub(crate) fn run(address: SocketAddr, duration: Duration) -> (Vec<Duration>, usize) {
    let (mut durations, mut failures) = (Vec::new(), 0);
    let started = Instant::now();
    while started.elapsed() < duration {
        let asked = ask_on_one_connection(address, started + duration, &mut durations);
        if asked.is_err() {
            failures += 1;
        }
    }
    (durations, failures)
}

fn ask_on_one_connection(
    address: SocketAddr,
    until: Instant,
    durations: &mut Vec<Duration>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 4096];
    while Instant::now() < until {
        let sent = Instant::now();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: storm\r\n\r\n")?;
        // The answer is far smaller than a segment, so one read has all of it.
        if stream.read(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        durations.push(sent.elapsed());
        thread::sleep(INTERVAL.saturating_sub(sent.elapsed()));
    }
    Ok(())
}
