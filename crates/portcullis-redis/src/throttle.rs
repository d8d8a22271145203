//! The keys of attempts as a [`ThrottleStore`].

use std::time::SystemTime;

use portcullis_core::store::{ThrottleKey, ThrottleRecord, ThrottleStore};
use portcullis_core::{Error, async_trait};

use crate::fields::drop_at;
use crate::script::REPLACE_ATTEMPTS;
use crate::store::RedisStore;

/// A record is one key.
#[async_trait]
impl ThrottleStore for RedisStore {
    async fn find(&self, key: &ThrottleKey) -> Result<Option<ThrottleRecord>, Error> {
        let key = self.keys().attempts(key);
        let record: Option<String> = self.call().query(redis::cmd("GET").arg(key)).await?;
        Ok(record.map(ThrottleRecord::new))
    }

    async fn replace(
        &self,
        key: &ThrottleKey,
        old: Option<&ThrottleRecord>,
        new: &ThrottleRecord,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let key = self.keys().attempts(key);
        let drop_at = drop_at("expires_at", expires_at)?;
        let mut arguments = vec![new.as_str(), &drop_at];
        arguments.extend(old.map(ThrottleRecord::as_str));
        self.call()
            .run(&REPLACE_ATTEMPTS, &[&key], &arguments)
            .await
    }

    /// Redis drops them by itself.
    async fn delete_expired(&self, _: SystemTime, _: u32) -> Result<u32, Error> {
        Ok(0)
    }
}
