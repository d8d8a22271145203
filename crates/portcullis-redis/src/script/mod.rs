//! The steps that must be atomic, as Lua: the server runs a script whole, and nothing in between.

use std::sync::LazyLock;

use redis::Cmd;

/// Sets fields of a user.
pub(crate) static CHANGE_USER: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("change_user.lua")));

/// Adds a user.
pub(crate) static CREATE_USER: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("create_user.lua")));

/// Deletes a user.
pub(crate) static DELETE_USER: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("delete_user.lua")));

/// Adds a token or a family.
pub(crate) static INSERT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("insert.lua")));

/// Lists the notes of a user's tokens or families: answers with a list.
pub(crate) static LIST_NOTES: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("list_notes.lua")));

/// Moves the cut-off of a user, with or without another password: answers with a number or nothing.
pub(crate) static MOVE_CUT_OFF: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("move_cut_off.lua")));

/// Notes a token or a family among those of its user.
pub(crate) static NOTE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("note.lua")));

/// Replaces a record of the throttle.
pub(crate) static REPLACE_ATTEMPTS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("replace_attempts.lua")));

/// Replaces the record of a family.
pub(crate) static REPLACE_FAMILY: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("replace_family.lua")));

/// Replaces the password hash of a user.
pub(crate) static REPLACE_HASH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("replace_hash.lua")));

/// Deletes a token or a family.
pub(crate) static REVOKE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("revoke.lua")));

/// A script and the digest by which a server remembers it. All but those that say
/// otherwise answer 1 if they did something, and 0 if there was nothing to do.
pub(crate) struct Script {
    source: &'static str,
    digest: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self {
            source,
            digest: redis::Script::new(source).get_hash().to_owned(),
        }
    }

    /// The command for a server that remembers the script. All `keys` are in one slot.
    pub(crate) fn remembered(&self, keys: &[&str], arguments: &[&str]) -> Cmd {
        command("EVALSHA", &self.digest, keys, arguments)
    }

    /// The command for a server that does not: it remembers the script from then on.
    ///
    /// `SCRIPT LOAD`, which the driver would send, goes to every node of a cluster and fails if
    /// one is down.
    pub(crate) fn whole(&self, keys: &[&str], arguments: &[&str]) -> Cmd {
        command("EVAL", self.source, keys, arguments)
    }
}

fn command(name: &str, script: &str, keys: &[&str], arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    command
}
