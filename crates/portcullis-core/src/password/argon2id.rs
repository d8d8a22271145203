//! Argon2id at configured parameters; checks any Argon2 hash within limits.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon2::password_hash::phc::{self, Output, ParamsString, Salt};
use argon2::{Algorithm, Block, Params, RECOMMENDED_SALT_LEN, Version};
use zeroize::Zeroizing;

#[cfg(feature = "argon2-simd")]
use super::kernel::simd;
use super::kernel::{Kernel, Variant};
use super::{Arena, PasswordHash, PasswordHasher, Verdict, Wiping, compare, corrupt};
use crate::error::{Error, ErrorKind};
use crate::random::{OsRandom, SecureRandom};

/// Hashes with Argon2id (RFC 9106) into PHC strings, and checks Argon2 hashes of every type
/// (`argon2id`, `argon2i`, `argon2d`), version and parameter within its [`Argon2Limits`], also as
/// Django writes them (`argon2$argon2id$...`).
///
/// ```
/// use portcullis_core::password::{Arena, Argon2Params, PasswordHasher, Verdict};
/// use portcullis_core::Argon2idHasher;
///
/// # fn main() -> Result<(), portcullis_core::Error> {
/// let hasher = Argon2idHasher::new(Argon2Params::default());
/// let mut arena = Arena::new();
/// let hash = hasher.hash(b"correct horse battery staple", &mut arena)?;
/// assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
/// assert_eq!(hasher.verify(b"wrong", &hash, &mut arena)?, Verdict::Mismatch);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Argon2idHasher {
    params: Argon2Params,
    limits: Argon2Limits,
    kernel: Kernel,
    wiping: Wiping,
    random: Arc<dyn SecureRandom>,
}

impl Argon2idHasher {
    /// Makes a hasher that hashes at `params`, with salts from the operating system.
    #[must_use]
    pub fn new(params: Argon2Params) -> Self {
        Self {
            params,
            limits: Argon2Limits::default(),
            kernel: Kernel::Reference,
            wiping: Wiping::default(),
            random: Arc::new(OsRandom),
        }
    }

    /// Checks stored hashes up to `limits` instead of the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: Argon2Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Computes with the `argon2-rust` crate's hand-written SIMD: the same tags in about half the
    /// time, by a crate younger and less reviewed than `argon2`. It always wipes its memory.
    ///
    /// # Errors
    /// `InvalidConfig` if it does not compute the test vectors of RFC 9106 §5 on this processor;
    /// `Unavailable` if there is no memory to try.
    #[cfg(feature = "argon2-simd")]
    pub fn with_simd(mut self) -> Result<Self, Error> {
        simd::check_known_answers()?;
        self.kernel = Kernel::Simd;
        Ok(self)
    }

    /// Wipes the memory of a hash by `wiping` instead of after every use.
    #[must_use]
    pub fn with_wiping(mut self, wiping: Wiping) -> Self {
        self.wiping = wiping;
        self
    }

    /// Takes salts from `random`.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    fn compute(
        &self,
        tag: &mut [u8],
        variant: &Variant,
        password: &[u8],
        salt: &[u8],
        arena: &mut Arena,
    ) -> Result<(), Error> {
        let result = match self.kernel {
            Kernel::Reference => arena
                .reference
                .compute(variant, password, salt, tag, self.wiping),
            #[cfg(feature = "argon2-simd")]
            Kernel::Simd => arena.simd.compute(variant, password, salt, tag),
        };
        // What hashes at this hasher's own parameters need: the next one most likely has them.
        arena.keep_at_most(self.params.memory_kib as usize * Block::SIZE);
        result
    }
}

impl PasswordHasher for Argon2idHasher {
    fn hash(&self, password: &[u8], arena: &mut Arena) -> Result<PasswordHash, Error> {
        let mut salt = [0; RECOMMENDED_SALT_LEN];
        self.random.fill(&mut salt).map_err(|source| {
            Error::new(ErrorKind::Unavailable, "no randomness for a salt").with_source(source)
        })?;
        let variant = Variant {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params: self.params.to_argon2()?,
        };
        let mut output = Zeroizing::new([0; Params::DEFAULT_OUTPUT_LEN]);
        self.compute(output.as_mut_slice(), &variant, password, &salt, arena)?;
        let hash = phc::PasswordHash {
            algorithm: variant.algorithm.ident(),
            version: Some(variant.version.into()),
            params: ParamsString::try_from(&variant.params).map_err(hashing_failed)?,
            salt: Some(Salt::new(&salt).map_err(hashing_failed)?),
            hash: Some(Output::new(output.as_slice()).map_err(hashing_failed)?),
        };
        Ok(PasswordHash::new(hash.to_string()))
    }

    fn verify(
        &self,
        password: &[u8],
        hash: &PasswordHash,
        arena: &mut Arena,
    ) -> Result<Verdict, Error> {
        let stored = StoredHash::parse(hash, self.limits)?;
        let mut output = Zeroizing::new([0; Output::MAX_LENGTH]);
        let output = output
            .get_mut(..stored.output.len())
            .ok_or_else(|| corrupt("its output is too long"))?;
        self.compute(output, &stored.variant, password, &stored.salt, arena)?;
        Ok(compare(output, stored.output.as_bytes()))
    }

    fn needs_rehash(&self, hash: &PasswordHash) -> bool {
        let Ok(stored) = StoredHash::parse(hash, self.limits) else {
            return true;
        };
        let Variant {
            algorithm,
            version,
            params,
        } = stored.variant;
        // One with more memory or more passes is not replaced, whatever else is old about it.
        let is_dearer =
            params.m_cost() > self.params.memory_kib || params.t_cost() > self.params.iterations;
        let is_current = algorithm == Algorithm::Argon2id
            && version == Version::V0x13
            && params.m_cost() == self.params.memory_kib
            && params.t_cost() == self.params.iterations
            && params.p_cost() == self.params.lanes
            && stored.salt.len() >= RECOMMENDED_SALT_LEN
            && stored.output.len() >= Params::DEFAULT_OUTPUT_LEN
            && !hash.expose().starts_with(DJANGO_PREFIX);
        !is_dearer && !is_current
    }

    fn attack_cost(&self, hash: &PasswordHash) -> Option<f64> {
        let stored = StoredHash::parse(hash, self.limits).ok()?;
        let params = stored.variant.params;
        // The first pass writes a block and reads one; each later pass also reads what it overwrites.
        let accesses = 3.0 * f64::from(params.t_cost()) - 1.0;
        Some(f64::from(params.m_cost()) * accesses / ACCESSES_AT_COST_1)
    }
}

/// What one Argon2id hash costs: memory in KiB, iterations, lanes.
///
/// Default: 19,456 KiB, 2 iterations, 1 lane, the OWASP Password Storage Cheat Sheet's
/// recommendation where memory is shared by many logins. Written `m=19456,t=2,p=1`, as in a hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Argon2Params {
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
}

impl Argon2Params {
    /// The rows of the OWASP Password Storage Cheat Sheet, equally strong, most memory first.
    pub const OWASP: [Self; 5] = [
        Self::row(47_104, 1),
        Self::row(19_456, 2),
        Self::row(12_288, 3),
        Self::row(9_216, 4),
        Self::row(7_168, 5),
    ];

    const fn row(memory_kib: u32, iterations: u32) -> Self {
        Self {
            memory_kib,
            iterations,
            lanes: 1,
        }
    }

    /// Takes `memory_kib` KiB (at least `8 * lanes`), `iterations` and `lanes` (at least 1 each).
    ///
    /// # Errors
    /// `InvalidConfig` if that is weaker than every row of [`Self::OWASP`], or dearer than
    /// [`Argon2Limits::default`] lets anyone check, or not possible (RFC 9106 §3.1).
    pub fn new(memory_kib: u32, iterations: u32, lanes: u32) -> Result<Self, Error> {
        let params = Self::danger_below_owasp(memory_kib, iterations, lanes)?;
        let strong_enough = Self::OWASP
            .iter()
            .any(|row| memory_kib >= row.memory_kib && iterations >= row.iterations);
        if strong_enough {
            Ok(params)
        } else {
            Err(invalid(
                "these Argon2 parameters are weaker than OWASP's: use at least \
                 47104 KiB with 1 iteration, 19456 with 2, 12288 with 3, 9216 with 4 or 7168 with 5",
            ))
        }
    }

    /// As [`Self::new`], but takes parameters that are too weak to protect a password. For tests.
    ///
    /// # Errors
    /// `InvalidConfig` if the parameters are too dear or not possible.
    pub fn danger_below_owasp(memory_kib: u32, iterations: u32, lanes: u32) -> Result<Self, Error> {
        let params = Self {
            memory_kib,
            iterations,
            lanes,
        };
        if !Argon2Limits::default().allow(memory_kib, iterations, lanes) {
            return Err(invalid(
                "these Argon2 parameters are too dear: use at most 1048576 KiB, 16 iterations and \
                 16 lanes",
            ));
        }
        params.to_argon2()?;
        Ok(params)
    }

    /// Memory, in KiB.
    #[must_use]
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Lanes: how many threads could share the work of one hash.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    fn to_argon2(self) -> Result<Params, Error> {
        let output_len = Some(Params::DEFAULT_OUTPUT_LEN);
        Params::new(self.memory_kib, self.iterations, self.lanes, output_len).map_err(|source| {
            invalid(
                "these Argon2 parameters are not possible: use at least 1 iteration, 1 lane and \
                 8 KiB of memory a lane",
            )
            .with_source(source)
        })
    }
}

impl Default for Argon2Params {
    fn default() -> Self {
        Self::row(19_456, 2)
    }
}

impl fmt::Display for Argon2Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory_kib,
            iterations,
            lanes,
        } = self;
        write!(f, "m={memory_kib},t={iterations},p={lanes}")
    }
}

/// Reads what `Display` writes; refuses what [`Argon2Params::new`] does.
impl FromStr for Argon2Params {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers = || {
            let (memory_kib, rest) = text.strip_prefix("m=")?.split_once(",t=")?;
            let (iterations, lanes) = rest.split_once(",p=")?;
            let number = |text: &str| text.parse().ok();
            Some((number(memory_kib)?, number(iterations)?, number(lanes)?))
        };
        let (memory_kib, iterations, lanes) =
            numbers().ok_or_else(|| invalid("write Argon2 parameters as in m=19456,t=2,p=1"))?;
        Self::new(memory_kib, iterations, lanes)
    }
}

/// The dearest stored hash that is still checked. Default: 1 GiB, 16 iterations, 16 lanes.
///
/// Whoever can write a hash into the store decides what checking it costs; above this it is
/// refused before any memory is allocated.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Argon2Limits {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Argon2Limits {
    fn allow(&self, memory_kib: u32, iterations: u32, lanes: u32) -> bool {
        memory_kib <= self.memory_kib && iterations <= self.iterations && lanes <= self.lanes
    }
}

impl Default for Argon2Limits {
    fn default() -> Self {
        Self {
            memory_kib: 1 << 20,
            iterations: 16,
            lanes: 16,
        }
    }
}

/// What Django writes before the PHC string.
const DJANGO_PREFIX: &str = "argon2";

/// Of 1 KiB, by <https://tobtu.com/minimum-password-settings/>: 960 GB/s of memory, for 10,000 guesses a
/// second.
const ACCESSES_AT_COST_1: f64 = 93_750.0;

/// A PHC string taken apart, known to be within the limits.
struct StoredHash {
    variant: Variant,
    salt: Salt,
    output: Output,
}

impl StoredHash {
    fn parse(hash: &PasswordHash, limits: Argon2Limits) -> Result<Self, Error> {
        let text = hash.expose();
        let text = text.strip_prefix(DJANGO_PREFIX).unwrap_or(text);
        let phc = phc::PasswordHash::new(text).map_err(|_| corrupt("it is not a PHC string"))?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str())
            .map_err(|_| corrupt("its algorithm is unknown"))?;
        // Before there was a `v=` there was only version 0x10 (Argon2 reference, `decode_string`).
        let version = phc
            .version
            .map_or(Ok(Version::V0x10), Version::try_from)
            .map_err(|_| corrupt("its Argon2 version is unknown"))?;
        let params = Params::try_from(&phc)
            .map_err(|_| corrupt("its Argon2 parameters are not possible"))?;
        if !limits.allow(params.m_cost(), params.t_cost(), params.p_cost()) {
            return Err(corrupt("its Argon2 parameters are above the limit"));
        }
        let (Some(salt), Some(output)) = (phc.salt, phc.hash) else {
            return Err(corrupt("it has no salt or no output"));
        };
        Ok(Self {
            variant: Variant {
                algorithm,
                version,
                params,
            },
            salt,
            output,
        })
    }
}

fn hashing_failed<E>(_: E) -> Error {
    Error::new(ErrorKind::Internal, "a password hash could not be written")
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}
