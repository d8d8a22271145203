//! Claims as the JSON object that JWT has of them (RFC 7519 §4), for every format that carries one.
//!
//! `exp`, `iat` and `nbf`, which equals `iat`, are seconds since 1970; `cut_off` is microseconds since
//! 1970. What is absent is left out. Members that have a meaning must not be there twice.

use std::time::SystemTime;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::store::UserId;
use crate::token::Claims;

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        IssuedClaims::of(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReceivedClaims::deserialize(deserializer).map(ReceivedClaims::into_claims)
    }
}

#[derive(Serialize)]
struct IssuedClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: IssuedAudience<'a>,
    exp: u64,
    iat: u64,
    nbf: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut_off: Option<u64>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl<'a> IssuedClaims<'a> {
    fn of(claims: &'a Claims) -> Self {
        let seconds = |time: SystemTime| UnixTime::saturating_from_system(time).seconds();
        let micros = |time: SystemTime| UnixTime::saturating_from_system(time).micros();
        Self {
            iss: &claims.iss,
            sub: claims.sub.as_str(),
            aud: match &*claims.aud {
                [audience] => IssuedAudience::One(audience),
                several => IssuedAudience::Several(several),
            },
            exp: seconds(claims.exp),
            iat: seconds(claims.iat),
            nbf: seconds(claims.iat),
            jti: &claims.jti,
            client_id: claims.client_id.as_deref(),
            scope: claims.scopes.join(" "),
            sid: claims.sid.as_deref(),
            cut_off: claims.cut_off.map(micros),
            extra: &claims.extra,
        }
    }
}

/// "In the special case when the JWT has one audience, the "aud" value MAY be a single
/// case-sensitive string" (RFC 7519 §4.1.3).
#[derive(Serialize)]
#[serde(untagged)]
enum IssuedAudience<'a> {
    One(&'a str),
    Several(&'a [String]),
}

#[derive(Deserialize)]
struct ReceivedClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    iat: NumericDate,
    /// Read so that it is not taken for a further claim.
    #[serde(rename = "nbf")]
    _nbf: Option<IgnoredAny>,
    jti: String,
    client_id: Option<String>,
    #[serde(default)]
    scope: String,
    sid: Option<String>,
    cut_off: Option<u64>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl ReceivedClaims {
    fn into_claims(self) -> Claims {
        let aud = match self.aud {
            Audience::One(aud) => vec![aud],
            Audience::Many(aud) => aud,
        };
        let (NumericDate(iat), NumericDate(exp)) = (self.iat, self.exp);
        let mut claims = Claims::new(self.iss, UserId::new(self.sub), aud, iat, exp, self.jti);
        claims.client_id = self.client_id;
        claims.scopes = self
            .scope
            .split(' ')
            .filter(|scope| !scope.is_empty())
            .map(str::to_owned)
            .collect();
        claims.sid = self.sid;
        // Beyond 9999 it is later than any that a store keeps.
        claims.cut_off = self.cut_off.map(|micros| {
            let time = UnixTime::from_micros(micros).unwrap_or(UnixTime::MAX);
            time.to_system()
        });
        claims.extra = self.extra;
        claims
    }
}

/// "In the special case when the JWT has one audience, the "aud" value MAY be a single
/// case-sensitive string" (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Whole seconds since 1970, until the end of 9999: what can be computed with without overflow.
#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct NumericDate(SystemTime);

impl TryFrom<u64> for NumericDate {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        let time = UnixTime::from_seconds(seconds).ok_or("a date after 9999")?;
        Ok(Self(time.to_system()))
    }
}
