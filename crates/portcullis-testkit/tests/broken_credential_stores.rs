//! The suite is only worth something if broken stores fail it: here are some, and what they fail.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use portcullis_core::clock::UnixTime;
use portcullis_core::memory::MemoryCredentialStore;
use portcullis_core::password::PasswordHash;
use portcullis_core::store::UserStatus;
use portcullis_core::{
    Credential, CredentialStore, Error, ErrorKind, UserId, Username, async_trait,
};
use portcullis_testkit::{Outcome, Subject, credential_store};

/// Each fault, and the properties that a store with it fails: these, and no others.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::None, &[]),
    (
        Fault::ChangePasswordChecksThenWrites,
        &["of_concurrent_password_changes_one_wins"],
    ),
    (
        Fault::ChangePasswordForgetsTokens,
        &[
            "an_abandoned_change_password_is_whole_or_nothing",
            "change_password_moves_the_cut_off_forward",
            "change_password_swaps_only_the_expected_hash",
            "of_concurrent_password_changes_one_wins",
        ],
    ),
    (
        Fault::ChangePasswordIgnoresOld,
        &[
            "an_abandoned_change_password_is_whole_or_nothing",
            "change_password_needs_a_hash",
            "change_password_swaps_only_the_expected_hash",
            "hashes_are_kept_exactly",
            "of_concurrent_password_changes_one_wins",
        ],
    ),
    (
        Fault::ChangePasswordInTwoSteps,
        &["an_abandoned_change_password_is_whole_or_nothing"],
    ),
    (
        Fault::CreateChecksThenWrites,
        &[
            "of_concurrent_creates_of_a_user_id_one_wins",
            "of_concurrent_creates_of_a_username_one_wins",
        ],
    ),
    (
        Fault::CreateInTwoSteps,
        &["an_abandoned_create_is_whole_or_nothing"],
    ),
    (
        Fault::CreateOverwrites,
        &[
            "create_refuses_a_taken_user_id",
            "create_refuses_a_taken_username",
            "of_concurrent_creates_of_a_user_id_one_wins",
            "of_concurrent_creates_of_a_username_one_wins",
        ],
    ),
    (
        Fault::CutOffGoesBack,
        &[
            "change_password_moves_the_cut_off_forward",
            "concurrent_cut_offs_all_differ",
            "end_sessions_moves_the_cut_off_forward_and_nothing_else",
            "of_concurrent_password_changes_one_wins",
            "set_password_moves_the_cut_off_forward",
        ],
    ),
    (
        Fault::CutOffMayStay,
        &[
            "change_password_moves_the_cut_off_forward",
            "concurrent_cut_offs_all_differ",
            "end_sessions_moves_the_cut_off_forward_and_nothing_else",
            "of_concurrent_password_changes_one_wins",
            "set_password_moves_the_cut_off_forward",
        ],
    ),
    (
        Fault::CutOffOverflows,
        &[
            "change_password_moves_the_cut_off_forward",
            "end_sessions_moves_the_cut_off_forward_and_nothing_else",
            "set_password_moves_the_cut_off_forward",
        ],
    ),
    (
        Fault::CutOffsAreFloats,
        &[
            "change_password_moves_the_cut_off_forward",
            "end_sessions_moves_the_cut_off_forward_and_nothing_else",
            "set_password_moves_the_cut_off_forward",
            "tokens_valid_from_is_kept_to_the_microsecond",
        ],
    ),
    (
        Fault::CutsIdsAtNul,
        &["list_pages_in_byte_order", "user_ids_are_kept_exactly"],
    ),
    (
        Fault::CutsNamesAtNul,
        &["list_pages_in_byte_order", "usernames_are_kept_exactly"],
    ),
    (
        Fault::DeleteFailsForNobody,
        &[
            "absent_is_none",
            "an_abandoned_delete_is_whole_or_nothing",
            "delete_is_idempotent",
            "of_concurrent_deletes_one_wins",
        ],
    ),
    (
        Fault::DeleteInTwoSteps,
        &["an_abandoned_delete_is_whole_or_nothing"],
    ),
    (
        Fault::DeleteIsAlwaysTrue,
        &[
            "absent_is_none",
            "delete_is_idempotent",
            "of_concurrent_deletes_one_wins",
        ],
    ),
    (
        Fault::DeleteKeepsTheId,
        &[
            "an_abandoned_delete_is_whole_or_nothing",
            "delete_frees_name_and_id",
        ],
    ),
    (Fault::EmptyHashIsNone, &["hashes_are_kept_exactly"]),
    (
        Fault::EndSessionsForgetsThePassword,
        &[
            "concurrent_cut_offs_all_differ",
            "end_sessions_moves_the_cut_off_forward_and_nothing_else",
        ],
    ),
    (
        Fault::EndSessionsReadsThenWrites,
        &["concurrent_cut_offs_all_differ"],
    ),
    (Fault::FindIgnoresCase, &["usernames_are_kept_exactly"]),
    (Fault::JoinsScopes, &["scopes_are_kept_exactly"]),
    (
        Fault::KeepsMilliseconds,
        &[
            "absent_is_none",
            "an_abandoned_create_is_whole_or_nothing",
            "an_abandoned_replace_hash_is_whole_or_nothing",
            "change_password_moves_the_cut_off_forward",
            "change_password_swaps_only_the_expected_hash",
            "create_refuses_a_taken_user_id",
            "create_refuses_a_taken_username",
            "create_then_find_returns_it_whole",
            "end_sessions_moves_the_cut_off_forward_and_nothing_else",
            "of_concurrent_replace_hashes_one_wins",
            "replace_hash_swaps_only_the_expected_hash",
            "set_password_moves_the_cut_off_forward",
            "set_status_changes_only_the_status",
            "tokens_valid_from_is_kept_to_the_microsecond",
        ],
    ),
    (Fault::ListNeedsItsCursor, &["list_starts_after_any_name"]),
    (Fault::ListRepeats, &["list_pages_in_byte_order"]),
    (
        Fault::ListSkips,
        &["list_pages_in_byte_order", "list_starts_after_any_name"],
    ),
    (
        Fault::LosesStatus,
        &[
            "a_password_change_beats_a_rehash",
            "absent_is_none",
            "change_password_moves_the_cut_off_forward",
            "change_password_swaps_only_the_expected_hash",
            "concurrent_cut_offs_all_differ",
            "create_refuses_a_taken_user_id",
            "create_refuses_a_taken_username",
            "create_then_find_returns_it_whole",
            "end_sessions_moves_the_cut_off_forward_and_nothing_else",
            "of_concurrent_replace_hashes_one_wins",
            "replace_hash_swaps_only_the_expected_hash",
            "set_password_moves_the_cut_off_forward",
            "set_password_sets_hash_and_tokens_valid_from",
        ],
    ),
    (
        Fault::Normalises,
        &["list_pages_in_byte_order", "usernames_are_kept_exactly"],
    ),
    (
        Fault::ReplaceHashChecksThenWrites,
        &[
            "a_password_change_beats_a_rehash",
            "of_concurrent_password_changes_one_wins",
            "of_concurrent_replace_hashes_one_wins",
        ],
    ),
    (
        Fault::ReplaceHashIgnoresOld,
        &[
            "a_password_change_beats_a_rehash",
            "of_concurrent_password_changes_one_wins",
            "of_concurrent_replace_hashes_one_wins",
            "replace_hash_needs_a_hash",
            "replace_hash_swaps_only_the_expected_hash",
        ],
    ),
    (
        Fault::ReplaceHashInTwoSteps,
        &["an_abandoned_replace_hash_is_whole_or_nothing"],
    ),
    (
        Fault::SetPasswordForgetsTokens,
        &[
            "a_password_change_beats_a_rehash",
            "an_abandoned_set_password_is_whole_or_nothing",
            "concurrent_cut_offs_all_differ",
            "hashes_are_kept_exactly",
            "set_password_gives_a_first_password",
            "set_password_moves_the_cut_off_forward",
            "set_password_sets_hash_and_tokens_valid_from",
            "tokens_valid_from_is_kept_to_the_microsecond",
        ],
    ),
    (
        Fault::SetPasswordInTwoSteps,
        &["an_abandoned_set_password_is_whole_or_nothing"],
    ),
    (
        Fault::SetStatusCountsChanges,
        &["set_status_changes_only_the_status"],
    ),
    (
        Fault::SetStatusReadsThenWrites,
        &["a_change_never_revives_a_deleted_user"],
    ),
    (
        Fault::Trims,
        &["list_pages_in_byte_order", "usernames_are_kept_exactly"],
    ),
];

#[test]
fn each_broken_store_fails_the_properties_it_breaks() {
    for (fault, expected) in FAULTS {
        let failed: Vec<_> = outcomes(*fault)
            .into_iter()
            .filter_map(|(property, outcome)| outcome.err().map(|_| property))
            .collect();
        assert_eq!(&failed, expected, "{fault:?}");
    }
}

#[test]
fn each_property_is_failed_by_a_broken_store() {
    let failed: BTreeSet<_> = FAULTS.iter().flat_map(|(_, failed)| *failed).collect();
    for (property, _) in outcomes(Fault::None) {
        assert!(failed.contains(&property), "{property}");
    }
}

#[test]
fn an_outage_that_looks_like_an_absent_user_is_found() {
    let check =
        run(async |subject| credential_store::an_unreachable_store_is_unavailable(&subject).await);
    assert!(check(Fault::Unreachable).is_ok());
    assert!(check(Fault::UnreachableIsAbsent).is_err());
}

#[test]
fn every_property_is_in_the_suite() {
    let mut written = BTreeSet::new();
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/credential_store")).unwrap()
    {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for property in source.split("\npub async fn ").skip(1) {
            written.insert(property.split_once('(').unwrap().0.to_owned());
        }
    }
    for called_by_hand in [
        "an_unreachable_store_is_unavailable",
        "an_unreadable_user_is_corrupt",
    ] {
        assert!(written.remove(called_by_hand));
    }
    let listed = outcomes(Fault::None);
    assert!(listed.into_iter().map(|(property, _)| property).eq(written));
}

/// What each property of the suite says of a store with `fault`.
fn outcomes(fault: Fault) -> Vec<(&'static str, Outcome)> {
    macro_rules! outcomes {
        ($fault:expr, $($property:ident,)*) => {
            vec![$((
                stringify!($property),
                run(async |subject| credential_store::$property(&subject).await)($fault),
            )),*]
        };
    }
    portcullis_testkit::for_each_credential_store_property!(fault => outcomes)
}

/// On one thread, where tasks take turns at each `yield_now`: so that every race is lost.
fn run(
    property: impl AsyncFn(Subject<dyn CredentialStore>) -> Outcome,
) -> impl Fn(Fault) -> Outcome {
    move |fault| {
        let store = Broken {
            fault,
            users: MemoryCredentialStore::new(),
            deleted: Mutex::default(),
        };
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(property(store.into()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ChangePasswordChecksThenWrites,
    ChangePasswordForgetsTokens,
    ChangePasswordIgnoresOld,
    ChangePasswordInTwoSteps,
    CreateChecksThenWrites,
    CreateInTwoSteps,
    CreateOverwrites,
    CutOffGoesBack,
    CutOffMayStay,
    CutOffOverflows,
    CutOffsAreFloats,
    CutsIdsAtNul,
    CutsNamesAtNul,
    DeleteFailsForNobody,
    DeleteInTwoSteps,
    DeleteIsAlwaysTrue,
    DeleteKeepsTheId,
    EmptyHashIsNone,
    EndSessionsForgetsThePassword,
    EndSessionsReadsThenWrites,
    FindIgnoresCase,
    JoinsScopes,
    KeepsMilliseconds,
    ListNeedsItsCursor,
    ListRepeats,
    ListSkips,
    LosesStatus,
    None,
    Normalises,
    ReplaceHashChecksThenWrites,
    ReplaceHashIgnoresOld,
    ReplaceHashInTwoSteps,
    SetPasswordForgetsTokens,
    SetPasswordInTwoSteps,
    SetStatusCountsChanges,
    SetStatusReadsThenWrites,
    Trims,
    Unreachable,
    UnreachableIsAbsent,
}

/// A memory store with one fault.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    users: MemoryCredentialStore,
    deleted: Mutex<Vec<UserId>>,
}

impl Broken {
    fn up(&self) -> Result<(), Error> {
        match self.fault {
            Fault::Unreachable | Fault::UnreachableIsAbsent => {
                Err(Error::new(ErrorKind::Unavailable, "down"))
            }
            _ => Ok(()),
        }
    }

    fn key(&self, username: &Username) -> Username {
        let text = username.as_str();
        Username::new(match self.fault {
            Fault::CutsNamesAtNul => text.split('\0').next().unwrap().to_owned(),
            Fault::Normalises => text.replace("e\u{301}", "\u{e9}"),
            Fault::Trims => text.trim().to_owned(),
            _ => text.to_owned(),
        })
    }

    fn id(&self, user_id: &UserId) -> UserId {
        let text = user_id.as_str();
        UserId::new(match self.fault {
            Fault::CutsIdsAtNul => text.split('\0').next().unwrap(),
            _ => text,
        })
    }

    fn row(&self, credential: &Credential) -> Credential {
        let mut row = credential.clone();
        row.user_id = self.id(&row.user_id);
        row.username = self.key(&row.username);
        match self.fault {
            Fault::JoinsScopes => {
                let joined = row.scopes.join(" ");
                row.scopes = joined.split_whitespace().map(str::to_owned).collect();
            }
            Fault::KeepsMilliseconds => {
                let since = row.tokens_valid_from.duration_since(SystemTime::UNIX_EPOCH);
                let milliseconds = since.unwrap().as_millis().try_into().unwrap();
                row.tokens_valid_from =
                    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
            }
            Fault::LosesStatus => row.status = UserStatus::Enabled,
            _ => {}
        }
        row
    }

    async fn overwrite(&self, row: &Credential) -> Result<(), Error> {
        self.users.delete(&row.user_id).await?;
        if let Some(old) = self.users.find(&row.username).await? {
            self.users.delete(&old.user_id).await?;
        }
        self.users.create(row).await
    }

    /// Changes what no method of the memory store does; `false` if there is no such user.
    async fn put(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut Credential),
    ) -> Result<bool, Error> {
        let Some(mut user) = self.users.find_by_id(user_id).await? else {
            return Ok(false);
        };
        change(&mut user);
        self.overwrite(&user).await?;
        Ok(true)
    }

    /// Moves a cut-off, and sets the hash if there is a new one; `None` if there is no such user.
    async fn cut_off(
        &self,
        user_id: &UserId,
        new: Option<&PasswordHash>,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        let mut cut_off = now;
        let changed = self.put(user_id, |user| {
            cut_off = self.next_cut_off(user, now);
            user.tokens_valid_from = cut_off;
            user.password_hash = new.or(user.password_hash.as_ref()).cloned();
        });
        Ok(changed.await?.then_some(cut_off))
    }

    fn next_cut_off(&self, user: &Credential, now: SystemTime) -> SystemTime {
        let whole = |time| UnixTime::saturating_from_system(time).to_system();
        let micros = |time| UnixTime::saturating_from_system(time).micros();
        let stored = user.tokens_valid_from;
        match self.fault {
            Fault::CutOffGoesBack => whole(now),
            Fault::CutOffMayStay => whole(now.max(stored)),
            Fault::CutOffOverflows => whole(now).max(stored + Duration::from_micros(1)),
            Fault::CutOffsAreFloats => {
                let next = micros(now).max(micros(stored) + 1);
                // A floating-point number has 53 bits.
                let lost = 11_u32.saturating_sub(next.leading_zeros());
                let next = UnixTime::from_micros(next >> lost << lost);
                next.map_or(stored, UnixTime::to_system)
            }
            _ => user.next_cut_off(now),
        }
    }

    async fn all(&self) -> Result<Vec<Credential>, Error> {
        self.users.list(None, usize::MAX).await
    }
}

#[async_trait]
impl CredentialStore for Broken {
    async fn find(&self, username: &Username) -> Result<Option<Credential>, Error> {
        if self.fault == Fault::UnreachableIsAbsent {
            return Ok(None);
        }
        self.up()?;
        if self.fault == Fault::FindIgnoresCase {
            let name = username.as_str();
            let mut users = self.all().await?.into_iter();
            return Ok(users.rfind(|user| user.username.as_str().eq_ignore_ascii_case(name)));
        }
        self.users.find(&self.key(username)).await
    }

    async fn find_by_id(&self, user_id: &UserId) -> Result<Option<Credential>, Error> {
        self.up()?;
        let mut found = self.users.find_by_id(&self.id(user_id)).await?;
        if let (Fault::EmptyHashIsNone, Some(user)) = (self.fault, &mut found) {
            user.password_hash = user.password_hash.take().filter(|h| !h.expose().is_empty());
        }
        Ok(found)
    }

    async fn list(&self, after: Option<&Username>, limit: usize) -> Result<Vec<Credential>, Error> {
        self.up()?;
        let page = self.users.list(after, limit).await?;
        Ok(match (self.fault, after) {
            (Fault::ListNeedsItsCursor, Some(after)) if self.users.find(after).await?.is_none() => {
                Vec::new()
            }
            (Fault::ListRepeats, Some(after)) => {
                let repeated = self.users.find(after).await?;
                repeated.into_iter().chain(page).take(limit).collect()
            }
            (Fault::ListSkips, Some(_)) => page.into_iter().skip(1).collect(),
            _ => page,
        })
    }

    async fn create(&self, credential: &Credential) -> Result<(), Error> {
        self.up()?;
        let row = self.row(credential);
        match self.fault {
            Fault::CreateChecksThenWrites => {
                if self.users.find(&row.username).await?.is_some()
                    || self.users.find_by_id(&row.user_id).await?.is_some()
                {
                    return Err(Error::new(ErrorKind::AlreadyExists, "taken"));
                }
                tokio::task::yield_now().await;
                self.overwrite(&row).await
            }
            Fault::CreateInTwoSteps => {
                let mut half = row.clone();
                half.scopes.clear();
                self.users.create(&half).await?;
                if half != row {
                    tokio::task::yield_now().await;
                    self.overwrite(&row).await?;
                }
                Ok(())
            }
            Fault::CreateOverwrites => self.overwrite(&row).await,
            Fault::DeleteKeepsTheId if self.deleted.lock().unwrap().contains(&row.user_id) => {
                Err(Error::new(ErrorKind::AlreadyExists, "taken"))
            }
            _ => self.users.create(&row).await,
        }
    }

    async fn replace_hash(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, Error> {
        self.up()?;
        let user_id = &self.id(user_id);
        let found = self.users.find_by_id(user_id).await?;
        let stored = found.as_ref().and_then(|user| user.password_hash.as_ref());
        match (self.fault, &found) {
            (Fault::ReplaceHashChecksThenWrites, Some(_)) if stored == Some(old) => {
                tokio::task::yield_now().await;
                self.put(user_id, |user| user.password_hash = Some(new.clone()))
                    .await
            }
            (Fault::ReplaceHashInTwoSteps, Some(_)) if stored == Some(old) => {
                let empty = PasswordHash::new("");
                self.users.replace_hash(user_id, old, &empty).await?;
                tokio::task::yield_now().await;
                self.users.replace_hash(user_id, &empty, new).await
            }
            (Fault::ReplaceHashIgnoresOld, Some(_)) => {
                self.put(user_id, |user| user.password_hash = Some(new.clone()))
                    .await
            }
            _ => self.users.replace_hash(user_id, old, new).await,
        }
    }

    async fn change_password(
        &self,
        user_id: &UserId,
        old: &PasswordHash,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.up()?;
        let user_id = &self.id(user_id);
        let found = self.users.find_by_id(user_id).await?;
        let stored = found.and_then(|user| user.password_hash);
        if stored.as_ref() != Some(old) && self.fault != Fault::ChangePasswordIgnoresOld {
            return Ok(None);
        }
        match self.fault {
            Fault::ChangePasswordChecksThenWrites => tokio::task::yield_now().await,
            Fault::ChangePasswordForgetsTokens => {
                let swapped = self.users.replace_hash(user_id, old, new).await?;
                return Ok(swapped.then_some(now));
            }
            Fault::ChangePasswordInTwoSteps => {
                self.users.replace_hash(user_id, old, new).await?;
                tokio::task::yield_now().await;
            }
            _ => {}
        }
        self.cut_off(user_id, Some(new), now).await
    }

    async fn set_password(
        &self,
        user_id: &UserId,
        new: &PasswordHash,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.up()?;
        let user_id = &self.id(user_id);
        let set_hash = async || {
            let set = self.put(user_id, |user| user.password_hash = Some(new.clone()));
            set.await
        };
        match self.fault {
            Fault::SetPasswordForgetsTokens => Ok(set_hash().await?.then_some(now)),
            Fault::SetPasswordInTwoSteps => {
                set_hash().await?;
                tokio::task::yield_now().await;
                self.cut_off(user_id, Some(new), now).await
            }
            _ => self.cut_off(user_id, Some(new), now).await,
        }
    }

    async fn end_sessions(
        &self,
        user_id: &UserId,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Error> {
        self.up()?;
        let user_id = &self.id(user_id);
        match self.fault {
            Fault::EndSessionsForgetsThePassword => {
                self.put(user_id, |user| user.password_hash = None).await?;
            }
            Fault::EndSessionsReadsThenWrites => {
                let Some(user) = self.users.find_by_id(user_id).await? else {
                    return Ok(None);
                };
                tokio::task::yield_now().await;
                let cut_off = user.next_cut_off(now);
                let ended = self.put(user_id, |user| user.tokens_valid_from = cut_off);
                return Ok(ended.await?.then_some(cut_off));
            }
            _ => {}
        }
        self.cut_off(user_id, None, now).await
    }

    async fn set_status(&self, user_id: &UserId, status: UserStatus) -> Result<bool, Error> {
        self.up()?;
        let user_id = &self.id(user_id);
        let found = self.users.find_by_id(user_id).await?;
        if let (Fault::SetStatusReadsThenWrites, Some(mut user)) = (self.fault, found.clone()) {
            user.status = status;
            tokio::task::yield_now().await;
            self.overwrite(&user).await?;
            return Ok(true);
        }
        let set = self.users.set_status(user_id, status).await?;
        match self.fault {
            Fault::SetStatusCountsChanges => Ok(found.is_some_and(|user| user.status != status)),
            _ => Ok(set),
        }
    }

    async fn delete(&self, user_id: &UserId) -> Result<bool, Error> {
        self.up()?;
        let user_id = &self.id(user_id);
        if self.fault == Fault::DeleteInTwoSteps {
            self.users.set_status(user_id, UserStatus::Disabled).await?;
            tokio::task::yield_now().await;
        }
        let deleted = self.users.delete(user_id).await?;
        self.deleted.lock().unwrap().push(user_id.clone());
        match self.fault {
            Fault::DeleteFailsForNobody if !deleted => {
                Err(Error::new(ErrorKind::Internal, "no such user"))
            }
            Fault::DeleteIsAlwaysTrue => Ok(true),
            _ => Ok(deleted),
        }
    }
}
