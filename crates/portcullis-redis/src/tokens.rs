//! The keys of tokens as a [`TokenStore`].

use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use portcullis_core::{Claims, Error, ErrorKind, TokenHash, TokenStore, UserId, async_trait};

use crate::fields::{Fields, json, since_1970};
use crate::keys::SLACK;
use crate::script::{INSERT_TOKEN, LIST_TOKENS, NOTE_TOKEN, REVOKE_TOKEN};
use crate::store::RedisStore;

/// A token is one key, and alone decides whether there is the token. Its user's set only says
/// where to look for it: a token is noted there before it is inserted, and until Redis drops it.
/// So the set lacks none, whatever breaks in between, and what it has too much does no harm.
#[async_trait]
impl TokenStore for RedisStore {
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error> {
        let (key, tokens) = (self.keys().token(hash), self.keys().tokens_of(&claims.sub));
        let iat = since_1970(IAT, claims.iat)?.as_secs().to_string();
        let exp = since_1970(EXP, claims.exp)?;
        let drop_at = (exp + SLACK).as_secs().to_string();
        let exp = exp.as_secs().to_string();
        let aud = json(AUD, &claims.aud)?;
        let scopes = json(SCOPES, &claims.scopes)?;
        let mut arguments = vec![
            &drop_at,
            ISS,
            &claims.iss,
            SUB,
            claims.sub.as_str(),
            AUD,
            &aud,
            EXP,
            &exp,
            IAT,
            &iat,
            JTI,
            &claims.jti,
            SCOPES,
            &scopes,
        ];
        if let Some(client_id) = &claims.client_id {
            arguments.extend([CLIENT_ID, client_id]);
        }
        let call = self.call();
        call.run(&NOTE_TOKEN, &[&tokens], &[&key, &drop_at]).await?;
        let inserted = call.run(&INSERT_TOKEN, &[&key], &arguments).await?;
        if call.has_moved() {
            // Whoever has taken over in between may lack the note.
            call.run(&NOTE_TOKEN, &[&tokens], &[&key, &drop_at]).await?;
        }
        inserted
            .then_some(())
            .ok_or_else(|| Error::new(ErrorKind::AlreadyExists, "the hash of the token is taken"))
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error> {
        let fields = self.call().fields(&self.keys().token(hash)).await?;
        fields.map(claims).transpose()
    }

    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error> {
        self.call()
            .run(&REVOKE_TOKEN, &[&self.keys().token(hash)], &[])
            .await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        let tokens = self.keys().tokens_of(subject);
        let mut revoked = 0;
        let mut last = String::new();
        // No command is so long that others must wait for it, and each page has its own time.
        //
        // Notes are ordered by when Redis drops them, and those of the same second by their names.
        // They are read from the last to be dropped to the first. A page begins behind the last
        // note of the page before, wherever that stands by now: whatever comes or goes, and
        // whichever server answers, what was not read is still behind it, since no hash is
        // inserted twice and so no note is moved. Should that note itself be gone, dropped or lost
        // in a fail-over, all is read again. It ends, since new notes go to where reading began.
        loop {
            let call = self.call();
            let page = LIST_TOKENS.whole(&[&tokens], &[&last, PAGE]);
            let page: Vec<String> = call.query(&page).await?;
            // Their notes stay: one may be of a token that is about to be inserted.
            let answers = page
                .iter()
                .map(async |token| call.run(&REVOKE_TOKEN, &[token], &[subject.as_str()]).await);
            let answers = try_join_all(answers).await?;
            revoked += answers.into_iter().map(u64::from).sum::<u64>();
            match page.into_iter().next_back() {
                Some(token) => last = token,
                None => return Ok(revoked),
            }
        }
    }

    /// Redis drops them by itself.
    async fn delete_expired(&self, _: SystemTime, _: u32) -> Result<u32, Error> {
        Ok(0)
    }
}

fn claims(mut fields: Fields) -> Result<Claims, Error> {
    let mut claims = Claims::new(
        fields.text(ISS)?,
        UserId::new(fields.text(SUB)?),
        fields.list(AUD)?,
        fields.time(IAT, Duration::from_secs)?,
        fields.time(EXP, Duration::from_secs)?,
        fields.text(JTI)?,
    );
    claims.client_id = fields.take(CLIENT_ID);
    claims.scopes = fields.list(SCOPES)?;
    Ok(claims)
}

/// How many tokens are revoked at a time.
const PAGE: &str = "256";

// The fields of a token. A script names `sub` too.
const AUD: &str = "aud";
const CLIENT_ID: &str = "client_id";
const EXP: &str = "exp"; // seconds since 1970
const IAT: &str = "iat"; // seconds since 1970
const ISS: &str = "iss";
const JTI: &str = "jti";
const SCOPES: &str = "scopes";
const SUB: &str = "sub";
