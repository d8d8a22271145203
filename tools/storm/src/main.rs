//! Sends many simultaneous logins to a server and to its rivals, and prints what became of them.

#![expect(clippy::print_stdout, reason = "a report is what it is run for")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::load::{Load, Outcome};
use crate::server::{Kind, Server};

mod bound;
mod drill;
mod load;
mod probe;
mod rival;
mod server;

/// Sends many simultaneous logins to a server and to its rivals.
#[derive(Debug, Parser)]
struct Args {
    /// How many connections, one run for each number.
    #[arg(long, value_delimiter = ',', default_value = "8,64,256,1000")]
    connections: Vec<usize>,
    /// How long each run lasts, in rounds of two seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// Which servers.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "portcullis,inline,spawn-blocking"
    )]
    servers: Vec<Kind>,
    /// A Python with fastapi, uvicorn, python-multipart and argon2-cffi, for `fastapi`.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kill Postgres, then Redis, under load, and count what the clients see.
    Drill(drill::DrillArgs),
    /// Be a rival: what the runs start.
    #[command(hide = true)]
    Rival { hashing: rival::Hashing },
}

/// Short, and between two measurements of the bound: the machine is shared, and its speed changes.
const ROUND: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    match args.command {
        Some(Command::Drill(args)) => return drill::run(&args),
        Some(Command::Rival { hashing }) => return Ok(rival::serve(hashing)?),
        None => {}
    }
    let cores = std::thread::available_parallelism()?.get();
    println!(
        "{cores} processors, Argon2id m=19456 t=2 p=1, {} s a run",
        args.seconds
    );
    println!(
        "{:<20} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>12} {:>14} {:>9} {:>8} {:>6}",
        "server",
        "conns",
        "logins/s",
        "of bound",
        "clients",
        "p50",
        "p99",
        "healthz p99",
        "healthz worst",
        "peak RSS",
        "refused",
        "wrong"
    );
    for &connections in &args.connections {
        for &kind in &args.servers {
            let hasher = kind.hasher()?;
            let bound = || bound::hashes_per_second(cores, ROUND / 2, &hasher);
            let server = Server::start(kind, args.python.as_deref())?;
            let load = Load {
                address: server.address,
                connections,
                duration: ROUND,
                users: kind.users(),
            };
            let mut outcome = Outcome::default();
            let mut could_be_hashed = 0.0;
            let mut bound_before = bound();
            while outcome.elapsed < Duration::from_secs(args.seconds) {
                let round = load.run()?;
                let bound_after = bound();
                // The clients would have processors of their own.
                let processors = cores as f64 - round.own_time.div_duration_f64(round.elapsed);
                could_be_hashed += bound_before.midpoint(bound_after) * processors / cores as f64
                    * round.elapsed.as_secs_f64();
                bound_before = bound_after;
                outcome.add(round);
            }
            let peak_rss_kib = server.peak_rss_kib()?;
            drop(server);
            let hashed = outcome.latencies.len() as f64;
            let clients = outcome.own_time.div_duration_f64(outcome.elapsed) / cores as f64;
            println!(
                "{:<20} {:>6} {:>9.1} {:>9.3} {:>9.3} {:>9} {:>9} {:>12} {:>14} {:>9} {:>8} {:>6}",
                kind.name(),
                connections,
                hashed / outcome.elapsed.as_secs_f64(),
                hashed / could_be_hashed,
                clients,
                millis(quantile(&outcome.latencies, 0.5)),
                millis(quantile(&outcome.latencies, 0.99)),
                millis(quantile(&outcome.probes, 0.99)),
                millis(quantile(&outcome.probes, 1.0)),
                format!("{:.1} MiB", peak_rss_kib as f64 / 1024.0),
                outcome.refused,
                outcome.wrong
            );
        }
    }
    Ok(())
}

/// Of sorted durations.
fn quantile(sorted: &[Duration], q: f64) -> Option<Duration> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "q is between 0 and 1"
    )]
    let index = ((sorted.len() as f64 * q) as usize).min(sorted.len().checked_sub(1)?);
    sorted.get(index).copied()
}

fn millis(duration: Option<Duration>) -> String {
    duration.map_or("-".to_owned(), |duration| {
        format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
    })
}
