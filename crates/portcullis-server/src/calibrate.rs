//! Finds out what Argon2id costs on this machine, and which parameters to use here.

use std::fmt;
use std::time::Duration;

use portcullis::clock::{Clock, SystemClock};
use portcullis::password::{Arena, Argon2Limits, Argon2Params, PasswordHasher};

use crate::args::CalibrateArgs;
use crate::failure::Failure;
use crate::serve::{self, say};

pub(crate) fn run(args: &CalibrateArgs) -> Result<(), Failure> {
    let target = Duration::from_millis(args.target_ms.into());
    say(&format!(
        "Argon2id by {KERNEL}: processor time of a hash, memory of each hash thread, and logins a \
         second of each processor."
    ));
    say("\nOWASP's parameters, equally strong:");
    let mut owasp = Vec::new();
    for params in Argon2Params::OWASP {
        let cost = measure(params)?;
        say(&cost.to_string());
        owasp.push(cost);
    }
    say(&format!(
        "\nThe most iterations within {} ms, by memory:",
        args.target_ms
    ));
    let mut fitting = owasp.clone();
    for (memory_kib, least) in SIZES {
        match dearest_within(target, memory_kib, least)? {
            Some(cost) => {
                say(&cost.to_string());
                fitting.push(cost);
            }
            None => say(&format!("  m={memory_kib} takes longer at t={least}")),
        }
    }
    let params = match nearest(&fitting, target) {
        Some(cost) => cost.params,
        None => {
            say(&format!(
                "\nNothing as strong as OWASP's parameters takes {} ms or less here; weaker ones \
                 are not recommended.",
                args.target_ms
            ));
            cheapest(&owasp)
        }
    };
    say(&format!(
        "\nRecommended: {params}\n\n  portcullis-server serve --argon2 {params}\n\nor \
         PORTCULLIS_ARGON2={params} for every command. Hashes made at other parameters are \
         replaced at the next login."
    ));
    Ok(())
}

const KERNEL: &str = if cfg!(feature = "argon2-simd") {
    "argon2-simd"
} else {
    "the argon2 crate"
};

/// Memory in KiB, and the fewest iterations that OWASP has with it or with less.
const SIZES: [(u32, u32); 5] = [
    (19_456, 2),
    (47_104, 1),
    (65_536, 1),
    (131_072, 1),
    (262_144, 1),
];

/// What a hash at these parameters was measured to take.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    params: Argon2Params,
    time: Duration,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        write!(
            f,
            "  {:<17} {:8.2} ms {:5} MiB {:8.1} logins/s",
            self.params.to_string(),
            seconds * 1e3,
            self.params.memory_kib() / 1024,
            seconds.recip(),
        )
    }
}

/// Checks a password as a thread of the pool does, in memory that is reused and wiped: the median.
fn measure(params: Argon2Params) -> Result<Cost, Failure> {
    const PASSWORD: &[u8] = b"correct horse battery staple";
    let (hasher, arena) = (serve::hasher(params)?, &mut Arena::new());
    let hash = hasher.hash(PASSWORD, arena)?;
    let mut times = Vec::new();
    for _ in 0..7 {
        let started = SystemClock.thread_time();
        hasher.verify(PASSWORD, &hash, arena)?;
        times.push(SystemClock.thread_time().saturating_sub(started));
    }
    times.sort_unstable();
    let time = times[times.len() / 2];
    Ok(Cost { params, time })
}

fn dearest_within(target: Duration, memory_kib: u32, least: u32) -> Result<Option<Cost>, Failure> {
    let params = |iterations| Argon2Params::new(memory_kib, iterations, 1);
    let most = most_iterations(measure(params(least)?)?, target);
    for iterations in (least..=most).rev() {
        let cost = measure(params(iterations)?)?;
        if cost.time <= target {
            return Ok(Some(cost));
        }
    }
    Ok(None)
}

/// How many iterations could take no longer than `target`: one more than in proportion, as part of
/// the time is spent once.
fn most_iterations(cost: Cost, target: Duration) -> u32 {
    let proportion = target.as_secs_f64() / cost.time.as_secs_f64();
    (1..=Argon2Limits::default().iterations)
        .rev()
        .find(|iterations| {
            f64::from(iterations - 1) <= f64::from(cost.params.iterations()) * proportion
        })
        .unwrap_or(1)
}

/// The one that takes the longest of those within `target`.
fn nearest(costs: &[Cost], target: Duration) -> Option<Cost> {
    let within = costs.iter().filter(|cost| cost.time <= target);
    within.max_by_key(|cost| cost.time).copied()
}

fn cheapest(costs: &[Cost]) -> Argon2Params {
    let cheapest = costs.iter().min_by_key(|cost| cost.time);
    cheapest.map_or_else(Argon2Params::default, |cost| cost.params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(params: &str, ms: u64) -> Cost {
        Cost {
            params: params.parse().unwrap(),
            time: Duration::from_millis(ms),
        }
    }

    #[test]
    fn the_nearest_is_never_over_the_target() {
        let costs = [cost("m=47104,t=1,p=1", 20), cost("m=19456,t=2,p=1", 18)];
        for (target, expected) in [(17, None), (18, Some(costs[1])), (99, Some(costs[0]))] {
            assert_eq!(nearest(&costs, Duration::from_millis(target)), expected);
        }
        assert_eq!(cheapest(&costs), costs[1].params);
    }

    #[test]
    fn iterations_are_tried_from_one_more_than_in_proportion() {
        let cost = cost("m=19456,t=2,p=1", 20);
        for (target, expected) in [(0, 1), (20, 3), (49, 5), (50, 6), (1_000, 16)] {
            let target = Duration::from_millis(target);
            assert_eq!(most_iterations(cost, target), expected, "{target:?}");
        }
    }
}
