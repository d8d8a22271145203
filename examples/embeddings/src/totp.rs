//! A second factor: time-based one-time passwords (RFC 6238).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use portcullis::clock::Clock;
use portcullis::gate::{Challenge, Denial, GateDecision, LoginCandidate};
use portcullis::{Error, ErrorKind, LoginGate, UserId, async_trait};
use totp_rs::Totp;

/// Asks users who have a secret for a code, in the form field `totp`.
///
/// Codes and the last step that each was used in are in memory, for an example. A service keeps both in
/// its database, and takes a step by one conditional update, so that no two nodes take the same code.
#[derive(Debug)]
pub struct TotpGate {
    users: Mutex<HashMap<UserId, Enrolled>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Enrolled {
    totp: Totp,
    last_step: Option<u64>,
}

impl TotpGate {
    /// Makes a gate that asks nobody. It takes the time from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let users = Mutex::default();
        Self { users, clock }
    }

    /// Asks this user from now on.
    pub fn enrol(&self, user_id: UserId, totp: Totp) {
        let last_step = None;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.insert(user_id, Enrolled { totp, last_step });
    }
}

#[async_trait]
impl LoginGate for TotpGate {
    async fn decide(&self, candidate: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
        let now = self.clock.now().duration_since(UNIX_EPOCH);
        let now = now.map_err(|_| Error::new(ErrorKind::Internal, "the clock is before 1970"))?;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(enrolled) = users.get_mut(candidate.user.user_id()) else {
            return Ok(GateDecision::Admit);
        };
        let Some(code) = candidate.field("totp") else {
            let challenge = Challenge::new("TOTP_REQUIRED").with_member("factor", "totp");
            return Ok(GateDecision::Challenge(challenge));
        };
        // Each code is good once (RFC 6238 §5.2).
        let step = enrolled.totp.check(code.expose(), now.as_secs());
        Ok(
            match step.filter(|step| enrolled.last_step.is_none_or(|last| *step > last)) {
                Some(step) => {
                    enrolled.last_step = Some(step);
                    GateDecision::Admit
                }
                None => GateDecision::Deny(Denial::new("TOTP_INVALID")),
            },
        )
    }

    fn fields(&self) -> &'static [&'static str] {
        &["totp"]
    }
}
