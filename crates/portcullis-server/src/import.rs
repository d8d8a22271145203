//! Reads the lines of `user import`.

use portcullis::password::PasswordHash;
use portcullis::store::UserStatus;

/// One user to add.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: usize,
    pub(crate) username: String,
    pub(crate) password_hash: Option<PasswordHash>,
    pub(crate) scopes: Vec<String>,
    pub(crate) status: UserStatus,
}

/// Reads lines of a username, a password hash, scopes and a status, separated by tabs. What follows the
/// username may be left out: no password, no scopes, enabled. Empty lines are passed over.
///
/// # Errors
/// What is wrong with each line that cannot be read. It repeats nothing of the line, which may hold a
/// password.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() {
            continue;
        }
        match parse_line(index + 1, line) {
            Ok(line) => lines.push(line),
            Err(fault) => faults.push(format!("line {}: {fault}", index + 1)),
        }
    }
    if faults.is_empty() {
        Ok(lines)
    } else {
        faults.push("no user was added".to_owned());
        Err(faults.join("; "))
    }
}

fn parse_line(number: usize, line: &str) -> Result<Line, &'static str> {
    let mut fields = line.split('\t');
    let username = fields.next().unwrap_or_default();
    if username.is_empty() {
        return Err("the username is empty");
    }
    let hash = fields.next().unwrap_or_default();
    let scopes = fields.next().unwrap_or_default();
    let status = match fields.next().unwrap_or("enabled") {
        "enabled" => UserStatus::Enabled,
        "disabled" => UserStatus::Disabled,
        _ => return Err("the status is neither `enabled` nor `disabled`"),
    };
    if fields.next().is_some() {
        return Err("there are more than four fields");
    }
    Ok(Line {
        number,
        username: username.to_owned(),
        password_hash: (!hash.is_empty()).then(|| PasswordHash::new(hash)),
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        status,
    })
}
