//! The keys of tokens as a [`TokenStore`].

use std::time::SystemTime;

use portcullis_core::clock::UnixTime;
use portcullis_core::store::{TokenHash, TokenStore};
use portcullis_core::{Claims, Error, ErrorKind, UserId, async_trait};

use crate::fields::{Fields, drop_at, json, object, read_time, unix_time};
use crate::script::REVOKE;
use crate::store::RedisStore;

/// A token is one key, noted under its user.
#[async_trait]
impl TokenStore for RedisStore {
    async fn insert(&self, hash: &TokenHash, claims: &Claims) -> Result<(), Error> {
        let (key, tokens) = (self.keys().token(hash), self.keys().tokens_of(&claims.sub));
        let iat = unix_time(IAT, claims.iat)?.seconds().to_string();
        let exp = unix_time(EXP, claims.exp)?.seconds().to_string();
        let drop_at = drop_at(EXP, claims.exp)?;
        let aud = json(AUD, &claims.aud)?;
        let scopes = json(SCOPES, &claims.scopes)?;
        let mut fields = vec![
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
            fields.extend([CLIENT_ID, client_id]);
        }
        if let Some(sid) = &claims.sid {
            fields.extend([SID, sid]);
        }
        let cut_off = claims.cut_off.map(|time| unix_time(CUT_OFF, time));
        let cut_off = cut_off.transpose()?.map(|time| time.micros().to_string());
        if let Some(cut_off) = &cut_off {
            fields.extend([CUT_OFF, cut_off]);
        }
        let extra = object(EXTRA, &claims.extra)?;
        if let Some(extra) = &extra {
            fields.extend([EXTRA, extra]);
        }
        self.insert_noted(&tokens, &key, &fields, &drop_at, &drop_at)
            .await?
            .then_some(())
            .ok_or_else(|| Error::new(ErrorKind::AlreadyExists, "the hash of the token is taken"))
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Claims>, Error> {
        let fields = self.call().fields(&self.keys().token(hash)).await?;
        fields.map(claims).transpose()
    }

    async fn revoke(&self, hash: &TokenHash) -> Result<bool, Error> {
        self.call()
            .run(&REVOKE, &[&self.keys().token(hash)], &[])
            .await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.revoke_noted(&self.keys().tokens_of(subject), subject)
            .await
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
        fields.time(IAT, UnixTime::from_seconds)?,
        fields.time(EXP, UnixTime::from_seconds)?,
        fields.text(JTI)?,
    );
    claims.client_id = fields.take(CLIENT_ID);
    claims.scopes = fields.list(SCOPES)?;
    claims.sid = fields.take(SID);
    let cut_off = fields.take(CUT_OFF);
    claims.cut_off = cut_off
        .map(|cut_off| read_time(CUT_OFF, &cut_off, UnixTime::from_micros))
        .transpose()?;
    claims.extra = fields.object(EXTRA)?;
    Ok(claims)
}

// The fields of a token. A script names `sub` too.
const AUD: &str = "aud";
const CLIENT_ID: &str = "client_id";
const CUT_OFF: &str = "cut_off"; // microseconds since 1970
const EXP: &str = "exp"; // seconds since 1970
const EXTRA: &str = "extra";
const IAT: &str = "iat"; // seconds since 1970
const ISS: &str = "iss";
const JTI: &str = "jti";
const SCOPES: &str = "scopes";
const SID: &str = "sid";
const SUB: &str = "sub";
