//! scrypt (RFC 7914) as passlib, Django, Werkzeug and the PHC string format write it.

use scrypt::Params;
use zeroize::Zeroizing;

use super::encoding::Encoding;
use super::number;
use crate::error::{Error, ErrorKind};
use crate::password::{Arena, HashScheme, PasswordHash, Verdict, compare, corrupt};

/// Checks scrypt hashes:
///
/// | from | format |
/// |---|---|
/// | Django | `scrypt$16384$salt$8$5$base64` |
/// | passlib, PHC | `$scrypt$ln=16,r=8,p=1$base64$base64` |
/// | Werkzeug | `scrypt:32768:8:1$salt$hex` |
///
/// The memory of a check, `128 * N * r` bytes, is not taken from the [`Arena`]: the `scrypt` crate
/// allocates and frees its own, and does not wipe it. A pool of threads thus holds up to the
/// threads times [`ScryptLimits::memory_kib`] besides its arenas; `p` times that if anything in the
/// build turns on the crate's `parallel` feature.
#[derive(Clone, Debug, Default)]
pub struct ScryptScheme {
    limits: ScryptLimits,
}

impl ScryptScheme {
    /// Makes a scheme that checks hashes within the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks hashes up to `limits` instead.
    #[must_use]
    pub fn with_limits(mut self, limits: ScryptLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl HashScheme for ScryptScheme {
    fn recognises(&self, hash: &PasswordHash) -> bool {
        ["$scrypt$", "scrypt$", "scrypt:"]
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
        let params = stored.costs.within(self.limits)?;
        let mut output = Zeroizing::new(vec![0; stored.output.len()]);
        scrypt::scrypt(password, &stored.salt, &params, &mut output)
            .map_err(|_| Error::new(ErrorKind::Internal, "scrypt refused its input"))?;
        Ok(compare(&output, &stored.output))
    }

    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64> {
        let Costs { n, r, p } = StoredHash::parse(hash.expose()).ok()?.costs;
        let n = f64::from(u32::try_from(n).ok()?);
        Some(n * f64::from(r) * f64::from(p) / BLOCKS_AT_COST_1)
    }
}

/// `N * r * p` of a hash that costs 1, by <https://tobtu.com/minimum-password-settings/>: 960 GB/s of
/// memory, for 10,000 guesses a second of 128 bytes and a quarter more each.
const BLOCKS_AT_COST_1: f64 = 600_000.0;

/// The dearest scrypt hash that is still checked. Default: 256 MiB, block size 32,
/// parallelization 16, which is above every row of the OWASP Password Storage Cheat Sheet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ScryptLimits {
    /// Memory, in KiB: `N * r / 8`.
    pub memory_kib: u32,
    /// Block size, `r`.
    pub block_size: u32,
    /// Parallelization, `p`: how often the memory is gone through, one after the other.
    pub parallelization: u32,
}

impl Default for ScryptLimits {
    fn default() -> Self {
        Self {
            memory_kib: 1 << 18,
            block_size: 32,
            parallelization: 16,
        }
    }
}

/// RFC 7914 §2's `N`, `r` and `p`.
#[derive(Clone, Copy)]
struct Costs {
    n: u64,
    r: u32,
    p: u32,
}

impl Costs {
    fn new(n: u64, r: &str, p: &str) -> Result<Self, Error> {
        Ok(Self {
            n,
            r: number(r)?,
            p: number(p)?,
        })
    }

    fn within(self, limits: ScryptLimits) -> Result<Params, Error> {
        let Self { n, r, p } = self;
        let memory_kib = n.saturating_mul(r.into()) / 8;
        if memory_kib > limits.memory_kib.into()
            || r > limits.block_size
            || p > limits.parallelization
        {
            return Err(corrupt("its scrypt parameters are above the limit"));
        }
        self.to_params()
            .ok_or_else(|| corrupt("its scrypt parameters are not possible"))
    }

    fn to_params(self) -> Option<Params> {
        // `Params::new` takes an N of 1, and multiplies r by p unchecked.
        if self.n < 2 || !self.n.is_power_of_two() || self.r.checked_mul(self.p).is_none() {
            return None;
        }
        let log_n = u8::try_from(self.n.ilog2()).ok()?;
        Params::new(log_n, self.r, self.p).ok()
    }
}

struct StoredHash {
    costs: Costs,
    salt: Vec<u8>,
    output: Zeroizing<Vec<u8>>,
}

impl StoredHash {
    fn parse(text: &str) -> Result<Self, Error> {
        let malformed = || corrupt("it is not a scrypt hash");
        let parts: Vec<&str> = text.splitn(7, '$').collect();
        match *parts {
            ["", "scrypt", costs, salt, output] => {
                let costs: Vec<&str> = costs.splitn(4, ',').collect();
                let [ln, r, p] = *costs else {
                    return Err(malformed());
                };
                let ln = number(ln.strip_prefix("ln=").ok_or_else(malformed)?)?;
                let r = r.strip_prefix("r=").ok_or_else(malformed)?;
                let p = p.strip_prefix("p=").ok_or_else(malformed)?;
                Ok(Self {
                    costs: Costs::new(1_u64.checked_shl(ln).unwrap_or(u64::MAX), r, p)?,
                    salt: Encoding::Base64NoPad.salt(salt)?,
                    output: Encoding::Base64NoPad.output(output)?,
                })
            }
            ["scrypt", n, salt, r, p, output] => Ok(Self {
                costs: Costs::new(number(n)?.into(), r, p)?,
                salt: Encoding::Text.salt(salt)?,
                output: Encoding::Base64.output(output)?,
            }),
            [method, salt, output] => {
                let method: Vec<&str> = method.splitn(5, ':').collect();
                let ["scrypt", n, r, p] = *method else {
                    return Err(malformed());
                };
                Ok(Self {
                    costs: Costs::new(number(n)?.into(), r, p)?,
                    salt: Encoding::Text.salt(salt)?,
                    output: Encoding::Hex.output(output)?,
                })
            }
            _ => Err(malformed()),
        }
    }
}
