//! A million guesses over 10,000 accounts from 1,000 addresses, on a clock of its own: how many are
//! hashed, whether the owners of the accounts still get in, and what the throttle's records take.
//!
//! Guesses come evenly, each from the next address at the next account, in an order of its own. Each
//! account has an owner of one of five kinds, who logs in ten times in between. Nobody tries again.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a simulation that cannot be set up ends; its figures are what it is run for"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use allocation_counter::measure;
use portcullis_core::audit::Audit;
use portcullis_core::clock::Clock;
use portcullis_core::device::DeviceCookies;
use portcullis_core::endpoint::LoginRequest;
use portcullis_core::memory::{MemoryCredentialStore, MemoryThrottleStore};
use portcullis_core::password::{Arena, PasswordHasher};
use portcullis_core::responder::Reply;
use portcullis_core::throttle::SprayingPolicy;
use portcullis_core::{
    Authenticator, Credential, CredentialStore, HashPool, Secret, Throttle, TokenEndpoint, UserId,
    Username,
};
use portcullis_testkit::{FakeHasher, FakeTokens, ManualClock};
use tokio::runtime::{Builder, Runtime};

/// How many of each; the second is for `cargo bench -- --test`.
const GUESSES: [u32; 2] = [1_000_000, 20_000];
const ACCOUNTS: [u32; 2] = [10_000, 200];
const ADDRESSES: [u32; 2] = [1_000, 20];
const LOGINS: u32 = 10;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Where an owner logs in from, with what happened before the guesses began.
const KINDS: [&str; 5] = [
    "an address that is known",
    "a known device, new addresses",
    "new devices and addresses",
    "a guesser's address, known before",
    "a guesser's address, unknown",
];

fn main() {
    let short = usize::from(std::env::args().any(|arg| arg == "--test"));
    for duration in [DAY / 24, DAY, 30 * DAY] {
        for limits_names in [false, true] {
            simulate(short, duration, limits_names);
        }
    }
}

fn simulate(short: usize, duration: Duration, limits_names: bool) {
    let (guesses, accounts, addresses) = (GUESSES[short], ACCOUNTS[short], ADDRESSES[short]);
    let mut site = None;
    let empty = measure(|| site = Some(Site::new(accounts, limits_names)));
    let site = site.expect("it was made");

    let mut owners: Vec<_> = (0..accounts)
        .map(|account| Owner::of(account, addresses))
        .collect();
    for owner in &mut owners {
        if owner.begins_known() {
            assert!(site.owner_gets_in(owner), "before anybody guesses");
        }
    }
    let mut random = Lcg(1);
    let mut hashed = vec![0_u32; accounts as usize];
    let (mut tries, mut got_in) = ([0_u32; KINDS.len()], [0_u32; KINDS.len()]);
    let owners_turn = guesses / (LOGINS * accounts);
    let _ = site.hasher.take_work();
    let grown = measure(|| {
        for guess in 0..guesses {
            site.clock.advance(duration / guesses);
            let account = random.below(accounts);
            let from = guesser(random.below(addresses));
            site.post(account, "wrong", from, None);
            hashed[account as usize] += site.hashed();
            if guess % owners_turn == 0 {
                let owner = &mut owners[(guess / owners_turn % accounts) as usize];
                tries[owner.kind] += 1;
                got_in[owner.kind] += u32::from(site.owner_gets_in(owner));
                let _ = site.hashed();
            }
        }
    });

    let total: u32 = hashed.iter().sum();
    hashed.sort_unstable();
    println!(
        "{guesses} guesses in {} hours, {}:",
        duration.as_secs() / 3600,
        if limits_names {
            "100 names of one address may fail within an hour"
        } else {
            "any number of names may fail"
        }
    );
    println!(
        "  hashed: {total}; of an account {} in the middle, {} at most",
        hashed[hashed.len() / 2],
        hashed[hashed.len() - 1]
    );
    for (kind, name) in KINDS.iter().enumerate() {
        println!(
            "  owners from {name:<34} {:5.1} % of {} logins",
            100.0 * f64::from(got_in[kind]) / f64::from(tries[kind]),
            tries[kind]
        );
    }
    println!(
        "  memory: {:.1} MiB more than the {:.1} MiB of an empty site, at most",
        grown.bytes_max as f64 / f64::from(1 << 20),
        empty.bytes_current as f64 / f64::from(1 << 20),
    );
    // What was promised: a hundred by strangers, and one for each hour of forgetting.
    let most = 100 + duration.as_secs() / 3600;
    assert!(u64::from(hashed[hashed.len() - 1]) <= most);
    assert_eq!(
        got_in[..2],
        tries[..2],
        "places that are known are not locked out"
    );
}

struct Owner {
    account: u32,
    kind: usize,
    address: IpAddr,
    device: Option<String>,
    moves: u32,
}

impl Owner {
    fn of(account: u32, addresses: u32) -> Self {
        let kind = account as usize % KINDS.len();
        let address = match kind {
            3 | 4 => guesser(account % addresses),
            _ => IpAddr::V4(Ipv4Addr::from(0x0B00_0000 + account)),
        };
        Self {
            account,
            kind,
            address,
            device: None,
            moves: 0,
        }
    }

    fn begins_known(&self) -> bool {
        matches!(self.kind, 0 | 1 | 3)
    }
}

/// A site with users, whose hashes cost next to nothing and are counted.
struct Site {
    clock: Arc<ManualClock>,
    hasher: Arc<FakeHasher>,
    endpoint: TokenEndpoint,
    runtime: Runtime,
}

impl Site {
    fn new(accounts: u32, limits_names: bool) -> Self {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + 20_000 * DAY));
        let hasher = Arc::new(FakeHasher::new(1));
        let hash = hasher.hash(b"right", &mut Arena::new()).expect("a hash");
        let users = MemoryCredentialStore::new();
        for account in 0..accounts {
            let user = Credential::new(UserId::new(account.to_string()), name(account));
            let user = user.with_password_hash(hash.clone());
            runtime.block_on(users.create(&user)).expect("a user");
        }
        let devices = Secret::from("0123456789abcdefghijklmnopqrstuv".to_owned());
        let devices = DeviceCookies::new(&devices).expect("a key");
        let mut throttle = Throttle::new(Arc::new(MemoryThrottleStore::new()))
            .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
            .with_devices(devices.with_clock(Arc::clone(&clock) as Arc<dyn Clock>));
        if limits_names {
            throttle = throttle
                .with_spraying_limit(SprayingPolicy::default())
                .expect("a limit");
        }
        let pool = HashPool::inline(Arc::clone(&hasher) as Arc<dyn PasswordHasher>);
        let authenticator = Authenticator::new(Arc::new(users), pool).expect("an authenticator");
        let endpoint = TokenEndpoint::new(authenticator, Arc::new(FakeTokens::default()))
            .with_audit(Audit::silent())
            .with_throttle(throttle);
        Self {
            clock,
            hasher,
            endpoint,
            runtime,
        }
    }

    fn owner_gets_in(&self, owner: &mut Owner) -> bool {
        if matches!(owner.kind, 1 | 2) {
            owner.moves += 1;
            owner.address = IpAddr::V4(Ipv4Addr::from(
                0x2000_0000 + owner.account * 64 + owner.moves,
            ));
        }
        // Whose device is not known begins each time without its cookie.
        let device = owner.device.clone().filter(|_| owner.kind == 1);
        let reply = self.post(owner.account, "right", owner.address, device.as_deref());
        let mut cookies = reply.headers().filter(|(name, _)| *name == "set-cookie");
        if let Some((_, cookie)) = cookies.next() {
            owner.device = cookie.split(';').next().map(str::to_owned);
        }
        reply.status() == 200
    }

    fn post(&self, account: u32, password: &str, from: IpAddr, cookie: Option<&str>) -> Reply {
        let form = format!("username={}&password={password}", name(account).as_str());
        let cookies: Vec<&[u8]> = cookie.iter().map(|cookie| cookie.as_bytes()).collect();
        let request = LoginRequest::new(Some(benches::URLENCODED), form.as_bytes())
            .with_cookies(&cookies)
            .with_remote_address(from);
        self.runtime.block_on(self.endpoint.handle(request))
    }

    /// How many passwords were checked since the last call.
    fn hashed(&self) -> u32 {
        u32::try_from(self.hasher.take_work().len()).unwrap_or(u32::MAX)
    }
}

fn name(account: u32) -> Username {
    Username::new(format!("user{account}"))
}

fn guesser(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0800_0000 + index))
}

/// Knuth's MMIX generator: any order will do.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((u64::from((self.0 >> 32) as u32) * u64::from(bound)) >> 32) as u32
    }
}
