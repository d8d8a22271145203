//! A say between the right password and the token.

use portcullis::gate::{Denial, GateDecision, LoginCandidate};
use portcullis::store::UserStatus;
use portcullis::{Error, LoginGate, async_trait};

/// Tells users who are disabled that they are, once their password is right.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it has a name and nothing else")]
pub struct ActiveUsers;

#[async_trait]
impl LoginGate for ActiveUsers {
    async fn decide(&self, candidate: &LoginCandidate<'_>) -> Result<GateDecision, Error> {
        Ok(match candidate.user.status() {
            UserStatus::Enabled => GateDecision::Admit,
            _ => GateDecision::Deny(Denial::new("Inactive user")),
        })
    }

    fn danger_judges_disabled_users(&self) -> bool {
        true
    }
}
