//! PBKDF2 (RFC 8018 §5.2) as passlib, Django, Werkzeug and the PHC string format write it.

use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::encoding::Encoding;
use super::number;
use crate::error::Error;
use crate::password::{Arena, HashScheme, PasswordHash, Verdict, compare, corrupt};

/// Checks PBKDF2 hashes over SHA-1, SHA-256 and SHA-512:
///
/// | from | format |
/// |---|---|
/// | Django | `pbkdf2_sha256$600000$salt$base64` |
/// | passlib | `$pbkdf2-sha256$29000$ab64$ab64`, for SHA-1 `$pbkdf2$...` |
/// | PHC | `$pbkdf2-sha256$i=600000,l=32$base64$base64` |
/// | Werkzeug | `pbkdf2:sha256:600000$salt$hex` |
///
/// Werkzeug always stores the iterations; without them a hash is `Corrupt`.
#[derive(Clone, Debug)]
pub struct Pbkdf2Scheme {
    max_iterations: u32,
}

impl Pbkdf2Scheme {
    /// Makes a scheme that checks hashes of up to 10,000,000 iterations, ten times Django's and
    /// Werkzeug's of 2025.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_iterations: 10_000_000,
        }
    }

    /// Checks hashes of up to `max_iterations` instead.
    #[must_use]
    pub fn with_max_iterations(mut self, max_iterations: u32) -> Self {
        self.max_iterations = max_iterations;
        self
    }
}

impl Default for Pbkdf2Scheme {
    fn default() -> Self {
        Self::new()
    }
}

impl HashScheme for Pbkdf2Scheme {
    fn recognises(&self, hash: &PasswordHash) -> bool {
        ["$pbkdf2$", "$pbkdf2-", "pbkdf2_", "pbkdf2:"]
            .iter()
            .any(|prefix| hash.expose().starts_with(prefix))
    }

    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        _arena: &mut Arena,
    ) -> Result<Verdict, Error> {
        let stored = StoredHash::parse(hash.expose())?;
        if !(1..=self.max_iterations).contains(&stored.iterations) {
            return Err(corrupt("its PBKDF2 iterations are none or above the limit"));
        }
        let mut output = Zeroizing::new(vec![0; stored.output.len()]);
        let derive = match stored.digest {
            Digest::Sha1 => pbkdf2_hmac::<Sha1>,
            Digest::Sha256 => pbkdf2_hmac::<Sha256>,
            Digest::Sha512 => pbkdf2_hmac::<Sha512>,
        };
        derive(password, &stored.salt, stored.iterations, &mut output);
        Ok(compare(&output, &stored.output))
    }

    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64> {
        let stored = StoredHash::parse(hash.expose()).ok()?;
        Some(f64::from(stored.iterations) / stored.digest.iterations_at_cost_1())
    }
}

#[derive(Clone, Copy)]
enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

impl Digest {
    fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(corrupt("its PBKDF2 digest is unknown")),
        }
    }

    /// By <https://tobtu.com/minimum-password-settings/>.
    fn iterations_at_cost_1(self) -> f64 {
        match self {
            Self::Sha1 => 1_300_000.0,
            Self::Sha256 => 600_000.0,
            Self::Sha512 => 210_000.0,
        }
    }

    fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

struct StoredHash {
    digest: Digest,
    iterations: u32,
    salt: Vec<u8>,
    output: Zeroizing<Vec<u8>>,
}

impl StoredHash {
    fn parse(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.splitn(6, '$').collect();
        let stored = match *parts {
            ["", name, costs, salt, output] => Self {
                digest: Digest::parse(match name {
                    "pbkdf2" => "sha1",
                    _ => name.strip_prefix("pbkdf2-").unwrap_or_default(),
                })?,
                iterations: iterations(costs)?,
                salt: Encoding::AdaptedBase64.salt(salt)?,
                output: Encoding::AdaptedBase64.output(output)?,
            },
            [name, iterations, salt, output] => Self {
                digest: Digest::parse(name.strip_prefix("pbkdf2_").unwrap_or_default())?,
                iterations: number(iterations)?,
                salt: Encoding::Text.salt(salt)?,
                output: Encoding::Base64.output(output)?,
            },
            [method, salt, output] => {
                let Some(("pbkdf2", args)) = method.split_once(':') else {
                    return Err(corrupt("it is not a PBKDF2 hash"));
                };
                let (digest, iterations) = args.split_once(':').unwrap_or((args, ""));
                Self {
                    digest: Digest::parse(digest)?,
                    iterations: number(iterations)?,
                    salt: Encoding::Text.salt(salt)?,
                    output: Encoding::Hex.output(output)?,
                }
            }
            _ => return Err(corrupt("it is not a PBKDF2 hash")),
        };
        // More would multiply our work, and an attacker compares the first block only.
        if stored.output.len() > stored.digest.output_len() {
            return Err(corrupt("its output is longer than its digest"));
        }
        Ok(stored)
    }
}

/// passlib writes the number alone. In a PHC string the output's length may follow, which the
/// output itself tells.
fn iterations(costs: &str) -> Result<u32, Error> {
    let Some(params) = costs.strip_prefix("i=") else {
        return number(costs);
    };
    match params.split_once(",l=") {
        Some((iterations, len)) => number(len).and_then(|_| number(iterations)),
        None => number(params),
    }
}
