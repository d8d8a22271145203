//! The commands that manage users.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;

use portcullis::accounts::{ResetRefusal, SignUpRefusal};
use portcullis::clock::UnixTime;
use portcullis::password::{Argon2Params, CommonPasswords, PasswordHash, PasswordPolicy};
use portcullis::store::UserStatus;
use portcullis::{
    Accounts, Argon2idHasher, Authenticator, Credential, CredentialStore, ErrorKind, HashPool,
    RefreshTokens, Secret, Stores, Throttle, UserId, Username,
};
use zeroize::{Zeroize, Zeroizing};

use crate::args::{
    AddArgs, Argon2Args, EndArgs, EndSessionArgs, ImportArgs, NameArgs, PasswordArgs,
    SetPasswordArgs, StoreArgs, SwitchArg, TokenStoreArgs, UserCommand,
};
use crate::failure::Failure;
use crate::import;
use crate::serve::say;
use crate::tokens;

/// How many users `list` reads at a time.
const PAGE: usize = 1_000;

pub(crate) async fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => add(args).await,
        UserCommand::Delete(args) => delete(args).await,
        UserCommand::Disable(args) => disable(args).await,
        UserCommand::Enable(args) => enable(args).await,
        UserCommand::EndSession(args) => end_session(args).await,
        UserCommand::Import(args) => import(args).await,
        UserCommand::List(args) => list(args).await,
        UserCommand::Sessions(args) => sessions(args).await,
        UserCommand::SetPassword(args) => set_password(args).await,
        UserCommand::Unlock(args) => unlock(args).await,
    }
}

async fn add(args: AddArgs) -> Result<(), Failure> {
    let accounts = Accounts::new(authenticator(&args.name.store, &args.password).await?);
    let username = Username::new(&*args.name.username);
    let scopes: Vec<String> = args
        .scopes
        .iter()
        .flat_map(|scopes| scopes.split(' '))
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect();
    let added = match new_password(&args.password).await? {
        NewPassword::Hash(hash) => {
            let status = UserStatus::Enabled;
            accounts.import(username, Some(hash), scopes, status).await
        }
        NewPassword::Text(password) => {
            let accounts = accounts.with_policy(policy(&args.password));
            accounts.sign_up(username, password, scopes).await
        }
    };
    added
        .map(drop)
        .map_err(|refusal| refused(refusal, &args.name.username))
}

/// Adds the users of standard input, a line each. What cannot be read as one is found before any is
/// added.
async fn import(args: ImportArgs) -> Result<(), Failure> {
    let text = read_stdin()?;
    let lines = import::parse(text.expose()).map_err(Failure::refused)?;
    let pool = pool(Argon2Params::default());
    for line in &lines {
        if let Some(hash) = &line.password_hash {
            check_hash(&pool, hash)
                .await
                .map_err(|failure| failure.at_line(line.number))?;
        }
    }
    let store = open(&args.store).await?.credentials;
    let accounts = Accounts::new(Authenticator::new(store, pool)?);
    let (mut added, mut refusals) = (0_u64, Vec::new());
    for line in lines {
        let username = line.username.clone();
        let imported = accounts.import(
            Username::new(line.username),
            line.password_hash,
            line.scopes,
            line.status,
        );
        match imported.await {
            Ok(_) => added += 1,
            Err(SignUpRefusal::Failed(error)) => {
                let failure = Failure::from(error).at_line(line.number);
                return Err(failure.after(&format!("{added} users were added")));
            }
            Err(refusal) => refusals.push(refused(refusal, &username).at_line(line.number)),
        }
    }
    say(&format!("{added} users were added"));
    match Failure::all(&refusals) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

async fn set_password(args: SetPasswordArgs) -> Result<(), Failure> {
    let known = Known::find(&args.name, &args.token_store, &args.password.argon2).await?;
    let set = match new_password(&args.password).await? {
        NewPassword::Hash(hash) => known.accounts.set_password_hash(known.id(), &hash).await,
        NewPassword::Text(password) => {
            let accounts = known.accounts.clone().with_policy(policy(&args.password));
            accounts.set_password(known.id(), password).await
        }
    };
    set.map_err(|refusal| match refusal {
        ResetRefusal::Failed(error) => error.into(),
        ResetRefusal::NoSuchUser => absent(&args.name.username),
        other => Failure::refused(other.to_string()),
    })
}

async fn unlock(args: NameArgs) -> Result<(), Failure> {
    let known = Known::find(&args, &TokenStoreArgs::default(), &Argon2Args::default()).await?;
    Ok(known.accounts.unlock(&known.user.username).await?)
}

async fn enable(args: NameArgs) -> Result<(), Failure> {
    let known = Known::find(&args, &TokenStoreArgs::default(), &Argon2Args::default()).await?;
    let enabled = known.accounts.enable(known.id()).await?;
    done(enabled, &args.username)
}

async fn disable(args: EndArgs) -> Result<(), Failure> {
    let known = Known::find(&args.name, &args.token_store, &Argon2Args::default()).await?;
    let disabled = known.accounts.disable(known.id()).await?;
    done(disabled, &args.name.username)
}

async fn sessions(args: EndArgs) -> Result<(), Failure> {
    let known = Known::find(&args.name, &args.token_store, &Argon2Args::default()).await?;
    let mut out = io::stdout().lock();
    for session in known.accounts.sessions(known.id()).await? {
        let client = session.client_id.unwrap_or_default();
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}",
            session.id,
            UnixTime::saturating_from_system(session.begun_at).seconds(),
            UnixTime::saturating_from_system(session.used_at).seconds(),
            // It is what the client said.
            client.escape_debug(),
            session.source.unwrap_or_default(),
        )
        .map_err(|error| Failure::refused(format!("cannot write the list: {error}")))?;
    }
    Ok(())
}

async fn end_session(args: EndSessionArgs) -> Result<(), Failure> {
    let of = args.of;
    let known = Known::find(&of.name, &of.token_store, &Argon2Args::default()).await?;
    if known
        .accounts
        .end_session(known.id(), &args.session)
        .await?
    {
        return Ok(());
    }
    Err(Failure::refused("the user has no session of that name"))
}

async fn delete(args: EndArgs) -> Result<(), Failure> {
    let known = Known::find(&args.name, &args.token_store, &Argon2Args::default()).await?;
    let deleted = known.accounts.delete(known.id()).await?;
    done(deleted, &args.name.username)
}

/// A user, and the accounts that they are one of.
struct Known {
    user: Credential,
    accounts: Accounts,
}

impl Known {
    async fn find(
        name: &NameArgs,
        token_store: &TokenStoreArgs,
        argon2: &Argon2Args,
    ) -> Result<Self, Failure> {
        let stores = open(&name.store).await?;
        // Before anything is changed, so that a wrong flag changes nothing.
        let token_stores = tokens::stores(token_store, &stores).await?;
        let user = find(stores.credentials.as_ref(), &name.username).await?;
        let authenticator = Authenticator::new(stores.credentials, pool(argon2.params))?;
        let accounts = Accounts::new(authenticator)
            .with_throttle(Throttle::new(stores.throttle))
            .with_refresh_tokens(RefreshTokens::new(token_stores.refresh))
            .with_access_tokens(token_stores.tokens);
        Ok(Self { user, accounts })
    }

    fn id(&self) -> &UserId {
        &self.user.user_id
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
    let url = args.url()?;
    if url.as_str() == "memory:" {
        return Err(Failure::config(
            "a `memory:` store ends with the command; use `--store sqlite://PATH`",
        ));
    }
    Ok(portcullis::open(&url).await?)
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

fn refused(refusal: SignUpRefusal, username: &str) -> Failure {
    match refusal {
        SignUpRefusal::Failed(error) => error.into(),
        SignUpRefusal::NameTaken => {
            Failure::refused(format!("there is already a user named {username:?}"))
        }
        other => Failure::refused(other.to_string()),
    }
}

async fn authenticator(
    store: &StoreArgs,
    password: &PasswordArgs,
) -> Result<Authenticator, Failure> {
    let store = open(store).await?.credentials;
    Ok(Authenticator::new(store, pool(password.argon2.params))?)
}

fn policy(args: &PasswordArgs) -> PasswordPolicy {
    let mut policy = PasswordPolicy::default();
    policy.min_code_points = args.min_password_length;
    policy.blocklist = match args.blocklist {
        SwitchArg::On => Some(Arc::new(CommonPasswords::default())),
        SwitchArg::Off => None,
    };
    policy
}

/// What an operator gives for a password.
enum NewPassword {
    Hash(PasswordHash),
    Text(Secret),
}

async fn new_password(args: &PasswordArgs) -> Result<NewPassword, Failure> {
    Ok(if args.password_hash_stdin {
        let hash = PasswordHash::new(read_stdin()?.expose());
        check_hash(&pool(Argon2Params::default()), &hash).await?;
        NewPassword::Hash(hash)
    } else if args.password_stdin {
        NewPassword::Text(read_stdin()?)
    } else {
        NewPassword::Text(prompt()?)
    })
}

/// Takes a hash only if a login could check it.
async fn check_hash(pool: &HashPool, hash: &PasswordHash) -> Result<(), Failure> {
    let probe = Secret::from(String::new());
    match pool.verify(probe, hash.clone()).await {
        Ok(_) => Ok(()),
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
