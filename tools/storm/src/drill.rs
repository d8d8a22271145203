//! Kills the databases of a portcullis-server under load, one after the other, and counts what its
//! clients see: users in Postgres, opaque tokens in Redis.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use portcullis_testservers::{postgres, redis};

use crate::load::{Load, Outcome, Users};
use crate::server::{Database, Server, prepare, serve};

#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// How many connections.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long the drill lasts; both outages take a sixth of it.
    #[arg(
        long,
        default_value_t = 60,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(36..)
    )]
    seconds: u64,
}

pub(crate) fn run(args: &DrillArgs) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let portcullis_server = std::env::current_exe()?.with_file_name("portcullis-server");
    let mut users = postgres::Server::start()?;
    let mut tokens = redis::Server::start_with(["--appendonly", "yes"])?;
    prepare(&portcullis_server, &users.url(), directory.path())?;
    let more = ["--tokens", "opaque", "--token-store", &tokens.url()];
    let command = serve(&portcullis_server, &users.url(), directory.path(), &more)?;
    let server = Server::spawn(command, Database::None, directory)?;

    let load = Load {
        address: server.address,
        connections: args.connections,
        duration: Duration::from_secs(args.seconds),
        users: Users::Ada,
    };
    let started = Instant::now();
    let load = thread::spawn(move || load.run());
    // What the waits are for is the passing of time under load.
    let wait_until = |sixth: u32| {
        let at = Duration::from_secs(args.seconds) * sixth / 6;
        thread::sleep(at.saturating_sub(started.elapsed()));
    };
    let mut back = Vec::new();
    wait_until(1);
    // As when the machine fails: no session is ended in good order.
    users.crash()?;
    wait_until(2);
    users.restart()?;
    let postgres_is_back = started.elapsed();
    wait_until(4);
    back.push(("Postgres", postgres_is_back, started.elapsed()));
    tokens.stop()?;
    wait_until(5);
    tokens.restart()?;
    let end = Duration::from_secs(args.seconds);
    back.push(("Redis", started.elapsed(), end));
    let outcome = load.join().map_err(|_| "the load panicked")??;

    println!(
        "answered as deserved (200 or 401): {}",
        outcome.latencies.len()
    );
    println!("answered 503: {}", outcome.refused);
    println!("answered otherwise: {}", outcome.wrong);
    let before = rate(&outcome, Duration::from_secs(2), end / 6);
    for (name, at, until) in back {
        // The machine has other work now and then: what is full is told by the seconds after.
        let full = rate(&outcome, at + Duration::from_secs(4), until);
        let shares = [0, 1, 2, 3].map(|n| {
            let from = at + Duration::from_secs(n);
            rate(&outcome, from, from + Duration::from_secs(1)) / full
        });
        println!(
            "after {name} was back, share of the full rate ({full:.1} logins/s) in its 1st to 4th \
             second: {}",
            shares.map(|share| format!("{share:.2}")).join(", ")
        );
        let enough = shares[3] >= 0.8 && full >= before / 2.0;
        if !enough {
            return Err(format!("3 s after {name} was back, logins were not at full rate").into());
        }
    }
    if outcome.wrong > 0 {
        return Err("a login was not answered as its password deserved".into());
    }
    if outcome.refused == 0 {
        return Err("no login met an outage".into());
    }
    Ok(())
}

fn rate(outcome: &Outcome, from: Duration, to: Duration) -> f64 {
    let answered = outcome.answered.iter();
    let within = answered.filter(|at| (from..to).contains(*at)).count();
    within as f64 / (to - from).as_secs_f64()
}
