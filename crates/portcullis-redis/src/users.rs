//! The keys of users as a [`CredentialStore`].

use std::time::SystemTime;

use futures_util::future::try_join_all;
use portcullis_core::clock::UnixTime;
use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{
    Credential, CredentialStore, Error, ErrorKind, UserId, Username, async_trait,
};

use crate::connection::Call;
use crate::error::{cannot_store, corrupt};
use crate::fields::{Fields, json, read_time, unix_time};
use crate::script::{CHANGE_USER, CREATE_USER, DELETE_USER, MOVE_CUT_OFF, REPLACE_HASH};
use crate::store::RedisStore;

/// Every change is one script. What is asked for by id needs the username first, and a script
/// then makes sure that this user still has the id.
#[async_trait]
impl CredentialStore for RedisStore {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        self.read(&self.call(), username).await
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        let call = self.call();
        let Some(username) = self.username(&call, user_id).await? else {
            return Ok(None);
        };
        let found = self.read(&call, &username).await?;
        Ok(found.filter(|credential| credential.user_id == *user_id))
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        let mut listed = Vec::new();
        let mut start = after.map_or("-".to_owned(), |after| format!("({after}"));
        // No command is so long that others must wait for it, and each page has its own time.
        while listed.len() < limit {
            let call = self.call();
            let usernames: Vec<String> = call
                .query(
                    redis::cmd("ZRANGE")
                        .arg(self.keys().usernames())
                        .arg(start)
                        .arg("+")
                        .arg(&["BYLEX", "LIMIT", "0"])
                        .arg(PAGE.min(limit - listed.len())),
                )
                .await?;
            let Some(last) = usernames.last() else {
                break;
            };
            start = format!("({last}");
            let usernames: Vec<_> = usernames.into_iter().map(Username::new).collect();
            let page = usernames.iter().map(|username| self.read(&call, username));
            // Who was deleted meanwhile is not there any more.
            listed.extend(try_join_all(page).await?.into_iter().flatten());
        }
        Ok(listed)
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        let keys = self.keys();
        let scopes = json(SCOPES, &credential.scopes)?;
        let tokens_valid_from = microseconds(credential.tokens_valid_from)?;
        let mut arguments = vec![
            credential.username.as_str(),
            credential.user_id.as_str(),
            STATUS,
            status_text(credential.status)?,
            SCOPES,
            &scopes,
            TOKENS_VALID_FROM,
            &tokens_valid_from,
        ];
        if let Some(hash) = &credential.password_hash {
            arguments.extend([PASSWORD_HASH, hash.expose()]);
        }
        let user = keys.user(&credential.username);
        let created = self
            .call()
            .run(
                &CREATE_USER,
                &[&user, &keys.user_ids(), &keys.usernames()],
                &arguments,
            )
            .await?;
        created.then_some(()).ok_or_else(|| {
            Error::new(
                ErrorKind::AlreadyExists,
                "the username or the user id is taken",
            )
        })
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        let call = self.call();
        let Some(username) = self.username(&call, user_id).await? else {
            return Ok(false);
        };
        call.run(
            &REPLACE_HASH,
            &[&self.keys().user(&username)],
            &[user_id.as_str(), old.expose(), new.expose()],
        )
        .await
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.move_cut_off(user_id, now, &[new.expose(), old.expose()])
            .await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.move_cut_off(user_id, now, &[new.expose()]).await
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.move_cut_off(user_id, now, &[]).await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        let call = self.call();
        let Some(username) = self.username(&call, user_id).await? else {
            return Ok(false);
        };
        call.run(
            &CHANGE_USER,
            &[&self.keys().user(&username)],
            &[user_id.as_str(), STATUS, status_text(status)?],
        )
        .await
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        let call = self.call();
        let Some(username) = self.username(&call, user_id).await? else {
            return Ok(false);
        };
        let keys = self.keys();
        call.run(
            &DELETE_USER,
            &[&keys.user(&username), &keys.user_ids(), &keys.usernames()],
            &[user_id.as_str(), username.as_str()],
        )
        .await
    }
}

impl RedisStore {
    async fn read(
        &self,
        call: &Call<'_>,
        username: &Username,
    ) -> Result<Option<Credential>, Error> {
        let fields = call.fields(&self.keys().user(username)).await?;
        fields
            .map(|fields| credential(username, fields))
            .transpose()
    }

    /// The username of an id. It may be gone, or another's, a moment later.
    async fn username(&self, call: &Call<'_>, user_id: &UserId) -> Result<Option<Username>, Error> {
        let username: Option<String> = call
            .query(
                redis::cmd("HGET")
                    .arg(self.keys().user_ids())
                    .arg(user_id.as_str()),
            )
            .await?;
        Ok(username.map(Username::new))
    }

    /// Moves the cut-off of a user and tells where it now stands. `hashes` are the new one, if it is
    /// to be set, and then the one it must replace, if not any.
    async fn move_cut_off(
        &self,
        user_id: &UserId,
        now: SystemTime,
        hashes: &[&str],
    ) -> Result<Option<SystemTime>, Error> {
        let call = self.call();
        let Some(username) = self.username(&call, user_id).await? else {
            return Ok(None);
        };
        let now = UnixTime::saturating_from_system(now).micros().to_string();
        let arguments = [&[user_id.as_str(), &now], hashes].concat();
        let user = self.keys().user(&username);
        let cut_off: Option<String> = call.ask(&MOVE_CUT_OFF, &[&user], &arguments).await?;
        cut_off
            .map(|cut_off| read_time(TOKENS_VALID_FROM, &cut_off, UnixTime::from_micros))
            .transpose()
    }
}

fn credential(username: &Username, mut fields: Fields) -> Result<Credential, Error> {
    let user_id = UserId::new(fields.text(USER_ID)?);
    let mut credential = Credential::new(user_id, username.clone());
    credential.password_hash = fields.take(PASSWORD_HASH).map(PasswordHash::new);
    credential.status = match fields.text(STATUS)?.as_str() {
        DISABLED => UserStatus::Disabled,
        ENABLED => UserStatus::Enabled,
        _ => return Err(corrupt(STATUS)),
    };
    credential.scopes = fields.list(SCOPES)?;
    credential.tokens_valid_from = fields.time(TOKENS_VALID_FROM, UnixTime::from_micros)?;
    Ok(credential)
}

fn status_text(status: UserStatus) -> Result<&'static str, Error> {
    match status {
        UserStatus::Disabled => Ok(DISABLED),
        UserStatus::Enabled => Ok(ENABLED),
        _ => Err(cannot_store(STATUS)),
    }
}

fn microseconds(time: SystemTime) -> Result<String, Error> {
    Ok(unix_time(TOKENS_VALID_FROM, time)?.micros().to_string())
}

/// How many users are read at a time.
const PAGE: usize = 256;

// The fields of a user. The scripts name them too, but for `scopes` and `status`.
const PASSWORD_HASH: &str = "password_hash";
const SCOPES: &str = "scopes";
const STATUS: &str = "status";
const TOKENS_VALID_FROM: &str = "tokens_valid_from"; // microseconds since 1970
const USER_ID: &str = "user_id";

const DISABLED: &str = "disabled";
const ENABLED: &str = "enabled";
