//! Races between real processes: each is the running test binary, started again.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_core::password::PasswordHash;
use portcullis_core::store::{
    RefreshStore, ThrottleKey, ThrottleRecord, ThrottleStore, TokenHash, TokenStore,
};
use portcullis_core::{CredentialStore, Error, ErrorKind, UserId, Username};
use tokio::runtime::Builder;

use crate::credential_store::user;
use crate::refresh_store;
use crate::suite::{Outcome, Violation};
use crate::throttle_store::in_2100;
use crate::token_store::claims;

/// Several processes create, rehash, change the password of and delete the same users at the same
/// time: of those who do the same, one wins.
///
/// `test` is the full name of the calling test, as `cargo test -- --list` prints it: the test
/// binary, which has the standard harness, is started again for it alone, and there this function,
/// called again, is a rival. `url` names a new, empty store, which `open` opens in every process.
///
/// ```no_run
/// use std::sync::Arc;
///
/// # use portcullis_core::memory::MemoryCredentialStore as MyStore;
/// # async fn open_my_store(_: &str) -> MyStore { MyStore::new() }
/// # let directory = "/tmp/mine";
/// // In the test `of_processes_that_race_one_wins` of tests/conformance.rs:
/// portcullis_testkit::race_of_processes_over_users(
///     "of_processes_that_race_one_wins",
///     &format!("mine://{directory}"),
///     async |url| Arc::new(open_my_store(url).await),
/// )?;
/// # Ok::<(), portcullis_testkit::Violation>(())
/// ```
///
/// # Errors
/// How the property was violated.
pub fn race_of_processes_over_users<S: CredentialStore>(
    test: &str,
    url: &str,
    open: impl AsyncFnOnce(&str) -> Arc<S>,
) -> Outcome {
    race(
        test,
        url,
        open,
        &async |store, round| {
            for what in ["rehashed", "changed"] {
                let user = user(&format!("{what} {round}"));
                store.create(&user.with_password_hash(old_hash())).await?;
            }
            store.create(&user(&format!("deleted {round}"))).await
        },
        &async |store, contest, round| {
            let id = |what| user(&format!("{what} {round}")).user_id;
            let (old, new) = (old_hash(), format!("$of${}", std::process::id()));
            let new = PasswordHash::new(new);
            match contest {
                "create" => won(store.create(&user(&format!("created {round}"))).await),
                "replace_hash" => store.replace_hash(&id("rehashed"), &old, &new).await,
                "change_password" => {
                    let now = SystemTime::UNIX_EPOCH;
                    let cut_off = store
                        .change_password(&id("changed"), &old, &new, now)
                        .await?;
                    Ok(cut_off.is_some())
                }
                _ => store.delete(&id("deleted")).await,
            }
        },
        &["create", "replace_hash", "change_password", "delete"],
    )
}

/// Several processes insert and revoke the same tokens at the same time: of those who do the same,
/// one wins. The arguments are those of [`race_of_processes_over_users`].
///
/// # Errors
/// How the property was violated.
pub fn race_of_processes_over_tokens<S: TokenStore>(
    test: &str,
    url: &str,
    open: impl AsyncFnOnce(&str) -> Arc<S>,
) -> Outcome {
    race(
        test,
        url,
        open,
        &async |store, round| {
            let hash = TokenHash::of(&format!("revoked {round}"));
            store.insert(&hash, &claims("alice", "1")).await
        },
        &async |store, contest, round| match contest {
            "insert" => {
                let hash = TokenHash::of(&format!("inserted {round}"));
                won(store.insert(&hash, &claims("alice", "1")).await)
            }
            _ => {
                let hash = TokenHash::of(&format!("revoked {round}"));
                store.revoke(&hash).await
            }
        },
        &["insert", "revoke"],
    )
}

/// Several processes replace the same records of the throttle at the same time: of those who do the
/// same, one wins. The arguments are those of [`race_of_processes_over_users`].
///
/// # Errors
/// How the property was violated.
pub fn race_of_processes_over_attempts<S: ThrottleStore>(
    test: &str,
    url: &str,
    open: impl AsyncFnOnce(&str) -> Arc<S>,
) -> Outcome {
    let key = |what, round| ThrottleKey::of(&Username::new(format!("{what} {round}")));
    let first = ThrottleRecord::new("first");
    race(
        test,
        url,
        open,
        &async |store, round| {
            let key = key("replaced", round);
            store.replace(&key, None, &first, in_2100()).await.map(drop)
        },
        &async |store, contest, round| {
            let own = ThrottleRecord::new(format!("of {}", std::process::id()));
            let old = (contest == "replace").then_some(&first);
            let key = key(if old.is_some() { "replaced" } else { "new" }, round);
            store.replace(&key, old, &own, in_2100()).await
        },
        &["put the first", "replace"],
    )
}

/// Several processes insert, replace and revoke the same families of refresh tokens at the same time:
/// of those who do the same, one wins. The arguments are those of [`race_of_processes_over_users`].
///
/// # Errors
/// How the property was violated.
pub fn race_of_processes_over_families<S: RefreshStore>(
    test: &str,
    url: &str,
    open: impl AsyncFnOnce(&str) -> Arc<S>,
) -> Outcome {
    let alice = UserId::new("alice");
    race(
        test,
        url,
        open,
        &async |store, round| {
            for what in ["replace", "revoke"] {
                refresh_store::insert(store, &format!("{what} {round}"), &alice, "old").await?;
            }
            Ok(())
        },
        &async |store, contest, round| {
            let (name, own) = (format!("{contest} {round}"), std::process::id().to_string());
            match contest {
                "insert" => won(refresh_store::insert(store, &name, &alice, &own).await),
                "replace" => refresh_store::replace(store, &name, "old", &own).await,
                _ => refresh_store::revoke(store, &name).await,
            }
        },
        &["insert", "replace", "revoke"],
    )
}

fn race<S: ?Sized>(
    test: &str,
    url: &str,
    open: impl AsyncFnOnce(&str) -> Arc<S>,
    prepare: &impl AsyncFn(&S, usize) -> Result<(), Error>,
    contend: &impl AsyncFn(&S, &str, usize) -> Result<bool, Error>,
    contests: &[&str],
) -> Outcome {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if let Ok(url) = env::var(RIVAL_VARIABLE) {
        return runtime.block_on(async {
            let store = open(&url).await;
            say("ready")?;
            // All begin when told.
            io::stdin().lock().read_line(&mut String::new())?;
            for round in 0..ROUNDS {
                for contest in contests {
                    if contend(&store, contest, round).await? {
                        say(&format!("{contest} {round}"))?;
                    }
                }
            }
            say("done")
        });
    }
    runtime.block_on(async {
        let store = open(url).await;
        for round in 0..ROUNDS {
            prepare(&store, round).await?;
        }
        Ok::<_, Violation>(())
    })?;
    let mut rivals = Vec::new();
    for _ in 0..PROCESSES {
        rivals.push(Rival::start(test, url)?);
    }
    for rival in &mut rivals {
        rival.hear("ready")?;
    }
    for rival in &mut rivals {
        rival.begin()?;
    }
    let mut wins: BTreeMap<_, usize> = BTreeMap::new();
    for rival in &mut rivals {
        for win in rival.wins()? {
            *wins.entry(win).or_default() += 1;
        }
    }
    for contest in contests {
        for round in 0..ROUNDS {
            let winners = wins.remove(&format!("{contest} {round}")).unwrap_or(0);
            if winners != 1 {
                return Err(Violation::new(format!(
                    "of {PROCESSES} processes that {contest} the same, {winners} win"
                )));
            }
        }
    }
    Ok(())
}

/// Another process. Dropping it ends it.
struct Rival {
    process: Child,
    said: Box<dyn Iterator<Item = io::Result<String>>>,
}

impl Rival {
    fn start(test: &str, url: &str) -> Result<Self, Violation> {
        let mut process = Command::new(env::current_exe()?)
            .args(["--exact", test, "--nocapture"])
            .env(RIVAL_VARIABLE, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = process.stdout.take().map(BufReader::new).into_iter();
        // The test harness says this and that too.
        let said = lines
            .flat_map(BufRead::lines)
            .filter_map(|line| match line {
                Ok(line) => Some(Ok(line.split_once(MARK)?.1.to_owned())),
                Err(error) => Some(Err(error)),
            });
        Ok(Self {
            process,
            said: Box::new(said),
        })
    }

    fn hear(&mut self, expected: &str) -> Outcome {
        match self.said.next().transpose()? {
            Some(line) if line == expected => Ok(()),
            line => Err(Violation::new(format!(
                "a process says {line:?}, not {expected:?}: does the binary have the test, and can \
                 the store be opened twice?"
            ))),
        }
    }

    fn begin(&mut self) -> Outcome {
        let mut stdin = self.process.stdin.take();
        Ok(stdin.iter_mut().try_for_each(|stdin| writeln!(stdin))?)
    }

    fn wins(&mut self) -> Result<Vec<String>, Violation> {
        let mut wins = self.said.by_ref().collect::<Result<Vec<_>, _>>()?;
        match wins.pop() {
            Some(last) if last == "done" => Ok(wins),
            _ => Err(Violation::new("a process failed: its error is above")),
        }
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says something to the process that started this one.
fn say(line: &str) -> Outcome {
    Ok(writeln!(io::stdout(), "{MARK}{line}")?)
}

fn won(created: Result<(), Error>) -> Result<bool, Error> {
    match created {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn old_hash() -> PasswordHash {
    PasswordHash::new("$old$")
}

/// Tells a process that it is a rival, and over which store.
const RIVAL_VARIABLE: &str = "PORTCULLIS_TESTKIT_RIVAL";

/// Before what a rival says: the test harness begins the line.
const MARK: &str = "rival: ";

const PROCESSES: usize = 3;

/// Enough for the processes to be at the same one at the same time.
const ROUNDS: usize = 50;
