//! A small login server over portcullis, and the commands to manage its users.

use std::process::ExitCode;

use clap::Parser;
#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use crate::args::{Args, Command};
use crate::failure::Failure;

mod args;
mod calibrate;
mod demo;
mod failure;
mod import;
mod keys;
mod migrate;
mod secret_file;
mod serve;
mod tokens;
mod user;

/// Passwords and keys are in the memory of this process, and would be in its core dumps; nor may other
/// processes of the user read it.
fn no_core_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps of this process hold passwords and keys");
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // An empty part, as behind the last comma of a list, is not a level of its own.
    let parts: Vec<_> = args
        .log
        .split(',')
        .filter(|part| !part.is_empty())
        .collect();
    let Ok(filter) = parts.join(",").parse::<Targets>() else {
        return Failure::config("--log takes a level, or module=level and more after commas")
            .report();
    };
    // It has a line at `ERROR` for each request that a stranger malforms.
    let filter = if args.log.contains("actix_http") {
        filter
    } else {
        filter.with_target("actix_http::h1::dispatcher", LevelFilter::OFF)
    };
    registry()
        .with(fmt::layer().with_writer(std::io::stderr))
        .with(filter)
        .init();
    no_core_dumps();
    let result = actix_web::rt::System::new().block_on(async {
        match args.command {
            Command::Calibrate(calibrate) => calibrate::run(&calibrate),
            Command::Demo(demo) => demo::run(demo).await,
            Command::Migrate(args) => migrate::run(&args.store, &args.token_store).await,
            Command::Serve(serve) => serve::run(*serve).await,
            Command::User(user) => user::run(user).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
