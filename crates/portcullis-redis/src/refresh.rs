//! The keys of refresh tokens as a [`RefreshStore`].

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::future::try_join_all;
use portcullis_core::store::{FamilyKey, FamilyRecord, RefreshStore};
use portcullis_core::{Error, ErrorKind, UserId, async_trait};

use crate::fields::drop_at;
use crate::script::{REPLACE_FAMILY, REVOKE};
use crate::store::RedisStore;

/// A family is one key, noted under its user until it ends at the latest: so that its note need not
/// be moved when the family is kept longer.
#[async_trait]
impl RefreshStore for RedisStore {
    async fn insert(
        &self,
        key: &FamilyKey,
        subject: &UserId,
        record: &FamilyRecord,
        expires_at: SystemTime,
        ends_at: SystemTime,
    ) -> Result<(), Error> {
        let (key, notes) = (self.keys().family(key), self.keys().families_of(subject));
        let fields = [SUB, subject.as_str(), RECORD, record.as_str()];
        let (drop_at, last_drop_at) = (drop_at(TIME, expires_at)?, drop_at(TIME, ends_at)?);
        self.insert_noted(&notes, &key, &fields, &drop_at, &last_drop_at)
            .await?
            .then_some(())
            .ok_or_else(|| Error::new(ErrorKind::AlreadyExists, "the key of the family is taken"))
    }

    async fn find(&self, key: &FamilyKey) -> Result<Option<FamilyRecord>, Error> {
        let fields = self.call().fields(&self.keys().family(key)).await?;
        let record = fields.map(|mut fields| fields.text(RECORD)).transpose()?;
        Ok(record.map(FamilyRecord::new))
    }

    async fn list(
        &self,
        subject: &UserId,
        limit: u32,
    ) -> Result<Vec<(FamilyKey, FamilyRecord)>, Error> {
        let notes = self.keys().families_of(subject);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // By key: notes may be read again.
        let mut families = BTreeMap::new();
        let mut last = String::new();
        while families.len() < limit {
            let page = self.next_noted(&notes, &last).await?;
            let call = self.call();
            let found = page.iter().map(async |name| {
                let fields = call.fields(name).await?;
                let Some((key, mut fields)) = self.keys().family_of(name).zip(fields) else {
                    return Ok(None);
                };
                let record = FamilyRecord::new(fields.text(RECORD)?);
                Ok::<_, Error>(Some((key, record)))
            });
            families.extend(try_join_all(found).await?.into_iter().flatten());
            match page.into_iter().next_back() {
                Some(name) => last = name,
                None => break,
            }
        }
        Ok(families.into_iter().take(limit).collect())
    }

    async fn replace(
        &self,
        key: &FamilyKey,
        old: &FamilyRecord,
        new: &FamilyRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let key = self.keys().family(key);
        let arguments = [old.as_str(), new.as_str(), &drop_at(TIME, expires_at)?];
        self.call().run(&REPLACE_FAMILY, &[&key], &arguments).await
    }

    async fn revoke(&self, key: &FamilyKey) -> Result<bool, Error> {
        self.call()
            .run(&REVOKE, &[&self.keys().family(key)], &[])
            .await
    }

    async fn revoke_all(&self, subject: &UserId) -> Result<u64, Error> {
        self.revoke_noted(&self.keys().families_of(subject), subject)
            .await
    }

    /// Redis drops them by itself.
    async fn delete_expired(&self, _: SystemTime, _: u32) -> Result<u32, Error> {
        Ok(0)
    }
}

// The fields of a family. Scripts name them too.
const RECORD: &str = "record";
const SUB: &str = "sub";

const TIME: &str = "the time of a refresh token";
