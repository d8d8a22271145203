//! The commands that manage users.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::time::SystemTime;

use portcullis::{
    Argon2Params, Argon2idHasher, Credential, CredentialStore, Error, ErrorKind, HashPool,
    OsRandom, PasswordHash, PasswordPolicy, RefreshTokens, Secret, Stores, Throttle, TokenStore,
    UserId, UserStatus, Username,
};
use zeroize::{Zeroize, Zeroizing};

use crate::args::{
    AddArgs, EndArgs, NameArgs, PasswordArgs, SetPasswordArgs, StoreArgs, TokenStoreArgs,
    UserCommand,
};
use crate::failure::Failure;
use crate::tokens;

/// How many users `list` reads at a time.
const PAGE: usize = 1_000;

pub(crate) async fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => add(args).await,
        UserCommand::Delete(args) => delete(args).await,
        UserCommand::Disable(args) => disable(args).await,
        UserCommand::Enable(args) => enable(args).await,
        UserCommand::List(args) => list(args).await,
        UserCommand::SetPassword(args) => set_password(args).await,
        UserCommand::Unlock(args) => unlock(args).await,
    }
}

/// Adds a user; also what the demo does.
pub(crate) async fn create(
    store: &dyn CredentialStore,
    username: &str,
    password_hash: PasswordHash,
    scopes: Vec<String>,
) -> Result<(), Failure> {
    let user_id = UserId::random(&OsRandom)?;
    let mut credential =
        Credential::new(user_id, Username::new(username)).with_password_hash(password_hash);
    credential.scopes = scopes;
    store
        .create(&credential)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Failure::refused(format!("there is already a user named {username:?}"))
            }
            _ => error.into(),
        })
}

/// Hashes a password at these parameters.
pub(crate) async fn hash(password: Secret, params: Argon2Params) -> Result<PasswordHash, Error> {
    pool(params).hash(password).await
}

async fn add(args: AddArgs) -> Result<(), Failure> {
    let store = open(&args.name.store).await?.credentials;
    let hash = new_hash(&args.password).await?;
    create(store.as_ref(), &args.name.username, hash, args.scopes).await
}

async fn set_password(args: SetPasswordArgs) -> Result<(), Failure> {
    let known = Known::find(&args.name, &args.token_store).await?;
    let hash = new_hash(&args.password).await?;
    let cut_off = known
        .users
        .set_password(known.id(), &hash, SystemTime::now())
        .await?;
    known.done(cut_off.is_some())?;
    // The time of the change has done for them already, but for those of the same second.
    known.revoke_tokens("the password was changed").await?;
    Ok(known.throttle.unlock(&known.user.username).await?)
}

async fn unlock(args: NameArgs) -> Result<(), Failure> {
    let stores = open(&args.store).await?;
    let user = find(stores.credentials.as_ref(), &args.username).await?;
    let throttle = Throttle::new(stores.throttle);
    Ok(throttle.unlock(&user.username).await?)
}

async fn enable(args: NameArgs) -> Result<(), Failure> {
    let store = open(&args.store).await?.credentials;
    let user = find(store.as_ref(), &args.username).await?;
    let enabled = store.set_status(&user.user_id, UserStatus::Enabled).await?;
    done(enabled, &args.username)
}

async fn disable(args: EndArgs) -> Result<(), Failure> {
    let known = Known::find(&args.name, &args.token_store).await?;
    known.disable().await
}

async fn delete(args: EndArgs) -> Result<(), Failure> {
    let known = Known::find(&args.name, &args.token_store).await?;
    // First, so that it can be done again until all of it is done: who is gone is not found.
    known.disable().await?;
    let deleted = known.users.delete(known.id()).await?;
    known.done(deleted)
}

/// A user, and where everything of theirs is.
struct Known {
    user: Credential,
    users: Arc<dyn CredentialStore>,
    tokens: Arc<dyn TokenStore>,
    refresh_tokens: RefreshTokens,
    throttle: Throttle,
}

impl Known {
    async fn find(name: &NameArgs, token_store: &TokenStoreArgs) -> Result<Self, Failure> {
        let stores = open(&name.store).await?;
        // Before anything is changed, so that a wrong flag changes nothing.
        let token_stores = tokens::stores(token_store, &stores).await?;
        Ok(Self {
            user: find(stores.credentials.as_ref(), &name.username).await?,
            users: stores.credentials,
            tokens: token_stores.tokens,
            refresh_tokens: RefreshTokens::new(token_stores.refresh),
            throttle: Throttle::new(stores.throttle),
        })
    }

    fn id(&self) -> &UserId {
        &self.user.user_id
    }

    fn done(&self, found: bool) -> Result<(), Failure> {
        done(found, self.user.username.as_str())
    }

    async fn disable(&self) -> Result<(), Failure> {
        let disabled = self
            .users
            .set_status(self.id(), UserStatus::Disabled)
            .await?;
        self.done(disabled)?;
        self.revoke_tokens("the user was disabled").await
    }

    /// portcullis-server looks at the user too when it sees a token; others need not.
    async fn revoke_tokens(&self, what_was_done: &str) -> Result<(), Failure> {
        let revoked = async {
            self.refresh_tokens.revoke_all(self.id()).await?;
            self.tokens.revoke_all(self.id()).await
        };
        revoked.await.map(drop).map_err(|error| {
            Failure::refused(format!(
                "{what_was_done}, but opaque and refresh tokens may still be good until they \
                 expire: {error}"
            ))
        })
    }
}

async fn list(args: StoreArgs) -> Result<(), Failure> {
    let store = open(&args).await?.credentials;
    let mut out = io::stdout().lock();
    let mut after = None;
    loop {
        let page = store.list(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.username.clone());
        for user in &page {
            let status = match user.status {
                UserStatus::Enabled => "enabled",
                _ => "disabled",
            };
            // Escaped, so that a line is a user whatever the names hold.
            let (id, name) = (user.user_id.as_str(), user.username.as_str());
            let (id, name) = (id.escape_debug(), name.escape_debug());
            writeln!(out, "{id}\t{name}\t{status}")
                .map_err(|error| Failure::refused(format!("cannot write the list: {error}")))?;
        }
    }
}

async fn open(args: &StoreArgs) -> Result<Stores, Failure> {
    if args.url == "memory:" {
        return Err(Failure::config(
            "a `memory:` store ends with the command; use `--store sqlite://PATH`",
        ));
    }
    Ok(portcullis::open(&args.url).await?)
}

async fn find(store: &dyn CredentialStore, username: &str) -> Result<Credential, Failure> {
    let user = store.find(&Username::new(username)).await?;
    user.ok_or_else(|| absent(username))
}

fn done(found: bool, username: &str) -> Result<(), Failure> {
    found.then_some(()).ok_or_else(|| absent(username))
}

fn absent(username: &str) -> Failure {
    Failure::refused(format!("there is no user named {username:?}"))
}

async fn new_hash(args: &PasswordArgs) -> Result<PasswordHash, Failure> {
    if args.password_hash_stdin {
        return ready_hash(read_stdin()?).await;
    }
    let password = if args.password_stdin {
        read_stdin()?
    } else {
        prompt()?
    };
    let mut policy = PasswordPolicy::default();
    policy.min_code_points = args.min_password_length;
    policy
        .check(&password)
        .map_err(|refusal| Failure::refused(refusal.to_string()))?;
    Ok(hash(password, args.argon2.params).await?)
}

/// Takes a hash only if a login could check it.
async fn ready_hash(text: Secret) -> Result<PasswordHash, Failure> {
    let hash = PasswordHash::new(text.expose());
    let probe = Secret::from(String::new());
    match pool(Argon2Params::default())
        .verify(probe, hash.clone())
        .await
    {
        Ok(_) => Ok(hash),
        Err(error) if error.kind() == ErrorKind::Corrupt => Err(Failure::refused(
            "this is not a password hash that a login could check; give a PHC string such as \
             $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>",
        )),
        Err(error) => Err(error.into()),
    }
}

// A command hashes once, so it needs no threads for it.
fn pool(params: Argon2Params) -> HashPool {
    HashPool::inline(Arc::new(Argon2idHasher::new(params)))
}

fn read_stdin() -> Result<Secret, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::refused(format!("cannot read standard input: {error}")))?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
        error.into_bytes().zeroize();
        Failure::refused("standard input is not UTF-8 text")
    })?;
    Ok(Secret::from(text))
}

fn prompt() -> Result<Secret, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::config(
            "there is no terminal to ask for the password; use --password-stdin",
        ));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Secret::from)
            .map_err(|error| Failure::refused(format!("cannot read the password: {error}")))
    };
    let (first, second) = (ask("Password: ")?, ask("Again: ")?);
    // Both were just typed here: how long comparing takes tells nobody anything.
    if first.expose() != second.expose() {
        return Err(Failure::refused("the two passwords differ"));
    }
    Ok(first)
}
