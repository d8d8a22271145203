//! What one user has of a kind, tokens or families, each of which is one key.
//!
//! That key alone decides whether there is the token. Its user's set of notes only says where to look
//! for it: it is noted there before it is inserted, and for as long as Redis may keep it. So the set
//! lacks none, whatever breaks in between, unless Redis evicts it; what it has too much does no harm.

use futures_util::future::try_join_all;
use portcullis_core::{Error, UserId};

use crate::script::{INSERT, LIST_NOTES, NOTE, REVOKE};
use crate::store::RedisStore;

impl RedisStore {
    /// Inserts what Redis may drop at `drop_at` at first, and at `last_drop_at` whatever becomes of
    /// it; `false` if the key is taken. `fields` are the fields of a hash, each with its value.
    pub(crate) async fn insert_noted(
        &self,
        notes: &str,
        key: &str,
        fields: &[&str],
        drop_at: &str,
        last_drop_at: &str,
    ) -> Result<bool, Error> {
        let mut arguments = vec![drop_at];
        arguments.extend(fields);
        let call = self.call();
        call.run(&NOTE, &[notes], &[key, last_drop_at]).await?;
        let inserted = call.run(&INSERT, &[key], &arguments).await?;
        if call.has_moved() {
            // Whoever has taken over in between may lack the note.
            call.run(&NOTE, &[notes], &[key, last_drop_at]).await?;
        }
        Ok(inserted)
    }

    /// Deletes what was noted of `subject`, and tells how many.
    pub(crate) async fn revoke_noted(&self, notes: &str, subject: &UserId) -> Result<u64, Error> {
        let mut revoked = 0;
        let mut last = String::new();
        loop {
            let page = self.next_noted(notes, &last).await?;
            let call = self.call();
            // The notes stay: one may be of what is about to be inserted.
            let answers = page
                .iter()
                .map(async |key| call.run(&REVOKE, &[key], &[subject.as_str()]).await);
            let answers = try_join_all(answers).await?;
            revoked += answers.into_iter().map(u64::from).sum::<u64>();
            match page.into_iter().next_back() {
                Some(key) => last = key,
                None => return Ok(revoked),
            }
        }
    }

    /// The page of notes behind the note `last`, or the first page; an empty one at the end.
    ///
    /// No command is so long that others must wait for it, and each page has its own time.
    ///
    /// Notes are ordered by when Redis drops them, and those of the same second by their names. They are
    /// read from the last to be dropped to the first. A page begins behind the last note of the page
    /// before, wherever that stands by now: whatever comes or goes, and whichever server answers, what
    /// was not read is still behind it, since no key is inserted twice and so no note is moved. Should
    /// that note itself be gone, dropped or lost in a fail-over, all is read again. It ends, since new
    /// notes go to where reading began.
    pub(crate) async fn next_noted(&self, notes: &str, last: &str) -> Result<Vec<String>, Error> {
        let page = LIST_NOTES.whole(&[notes], &[last, PAGE]);
        self.call().query(&page).await
    }
}

/// How many are read at a time.
const PAGE: &str = "256";
