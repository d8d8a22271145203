//! Turns secrets and PEM files into keys, each for one algorithm.
//!
//! The algorithm belongs to the key and is never taken from a token: that closes `alg: none` and
//! the use of a public key as an HMAC secret (RFC 8725 §3.1).

use std::fmt;
use std::path::Path;

use jsonwebtoken::jwk::EllipticCurve;
use jsonwebtoken::{DecodingKey, EncodingKey};
use portcullis_core::random::{SecureRandom, is_guessable};
use portcullis_core::{Error, ErrorKind};
use zeroize::Zeroizing;

// jsonwebtoken's `encode` and `decode` use a process-wide provider, and panic if both features are
// on, which any other crate of the build can bring about. So the provider is named here, and the
// issuer and the verifier join and split the three parts of a token themselves.
#[cfg(feature = "aws_lc_rs")]
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
#[cfg(not(feature = "aws_lc_rs"))]
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;

/// How tokens are signed (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 signatures (RFC 8037 §3.1): the private key signs, the public key verifies.
    EdDSA,
    /// HMAC with SHA-256: whoever can verify can also sign.
    HS256,
}

impl Algorithm {
    /// The name on the wire, in the header `alg`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
        }
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::EdDSA => Self::EdDSA,
            Algorithm::HS256 => Self::HS256,
        }
    }
}

/// Reads a secret from a file. One line break at its end is not part of it, as text editors and `echo`
/// write one: the same rule for every secret that portcullis reads. Blocks.
///
/// A file that others than its owner can read is a warning in the log, since containers mount secrets
/// so.
///
/// # Errors
/// `InvalidConfig` if the file cannot be read.
pub fn read_secret(path: impl AsRef<Path>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let path = path.as_ref();
    let mut secret = std::fs::read(path).map(Zeroizing::new).map_err(|error| {
        let path = path.display();
        let message = format!("the key file {path} cannot be read ({error}): name one that can");
        Error::new(ErrorKind::InvalidConfig, message)
    })?;
    for line_break in [b'\n', b'\r'] {
        if secret.last() == Some(&line_break) {
            secret.pop();
        } else {
            break;
        }
    }
    warn_of_readers(path);
    Ok(secret)
}

#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let is_shared = |file: std::fs::Metadata| file.permissions().mode() & 0o077 != 0;
    if std::fs::metadata(path).is_ok_and(is_shared) {
        tracing::warn!(
            file = ?path,
            "others than its owner can read or change a key file: set its mode to 0600"
        );
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

/// A key that signs tokens, and the key that verifies them with it. Wiped when dropped.
pub struct SigningKey {
    encoding_key: EncodingKey,
    verifying_key: VerifyingKey,
}

impl SigningKey {
    /// Takes an HS256 secret, as exactly these bytes: strip the line break of a text file first.
    ///
    /// # Errors
    /// `InvalidConfig` if the secret is shorter than 32 bytes (RFC 7518 §3.2), can be guessed
    /// ([`is_guessable`]), is a PEM file, or is text that ends with a line feed.
    pub fn from_hs256_secret(secret: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            encoding_key: EncodingKey::from_secret(secret),
            verifying_key: VerifyingKey::from_hs256_secret(secret)?,
        })
    }

    /// Reads an HS256 secret from a file, by [`read_secret`].
    ///
    /// # Errors
    /// `InvalidConfig` if the file cannot be read, and as [`from_hs256_secret`](Self::from_hs256_secret).
    pub fn from_hs256_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::from_hs256_secret(&read_secret(path)?)
    }

    /// Reads an Ed25519 private key from PEM: PKCS#8, not encrypted, as
    /// `openssl genpkey -algorithm ed25519` writes it (RFC 8410 §7).
    ///
    /// # Errors
    /// `InvalidConfig` if it is anything else.
    pub fn from_ed25519_pem(pem: &[u8]) -> Result<Self, Error> {
        let public_key_of = DEFAULT_PROVIDER
            .key_utils
            .ed_pub_components_from_private_key;
        let der = pem_contents(pem, "PRIVATE KEY").ok_or_else(not_a_private_key)?;
        let public_key =
            public_key_of(&der, &EllipticCurve::Ed25519).map_err(|_| not_a_private_key())?;
        Ok(Self {
            encoding_key: EncodingKey::from_ed_der(&der),
            verifying_key: VerifyingKey::from_ed25519_public_key(&public_key)?,
        })
    }

    /// Makes a new HS256 key that exists only in this process: its tokens die with it, and no
    /// other process accepts them. Logs a warning that says so.
    ///
    /// # Errors
    /// `Unavailable` if `random` has no bytes to give.
    pub fn generate_ephemeral(random: &dyn SecureRandom) -> Result<Self, Error> {
        let mut secret = Zeroizing::new([0; MIN_SECRET_LEN]);
        random.fill(secret.as_mut_slice()).map_err(|source| {
            Error::new(ErrorKind::Unavailable, "no randomness for a signing key")
                .with_source(source)
        })?;
        tracing::warn!("access tokens are signed with a generated key: they die with the process");
        Self::from_hs256_secret(secret.as_slice())
    }

    /// Names the key: tokens carry the name in their header (RFC 7515 §4.1.4). Default none.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.verifying_key = self.verifying_key.with_kid(kid);
        self
    }

    /// The algorithm it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.verifying_key.algorithm
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = || Error::new(ErrorKind::Internal, "the signing key does not sign");
        (DEFAULT_PROVIDER.signer_factory)(&self.algorithm().into(), &self.encoding_key)
            .map_err(|source| failed().with_source(source))?
            .try_sign(message)
            .map_err(|source| failed().with_source(source))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.verifying_key.algorithm)
            .field("kid", &self.verifying_key.kid)
            .finish_non_exhaustive()
    }
}

/// A key that verifies tokens. For HS256 it is the secret itself. Wiped when dropped.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    kid: Option<String>,
    decoding_key: DecodingKey,
}

impl VerifyingKey {
    /// Takes an HS256 secret, as exactly these bytes: strip the line break of a text file first.
    ///
    /// # Errors
    /// `InvalidConfig` if the secret is shorter than 32 bytes (RFC 7518 §3.2), can be guessed
    /// ([`is_guessable`]), is a PEM file, or is text that ends with a line feed.
    pub fn from_hs256_secret(secret: &[u8]) -> Result<Self, Error> {
        // As a secret, the PEM of a public key would let everyone who can read it sign tokens.
        if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(invalid_config(
                "the HS256 secret is a PEM file; use that as an Ed25519 key, or 32 or more random \
                 bytes as the secret",
            ));
        }
        if secret.len() < MIN_SECRET_LEN {
            return Err(invalid_config(
                "the HS256 secret is shorter than 32 bytes; use 32 or more random bytes",
            ));
        }
        if is_guessable(secret) {
            return Err(invalid_config(
                "the HS256 secret can be guessed, as what repeats itself or has few different bytes: \
                 make another, as by `openssl rand -base64 48`",
            ));
        }
        // A secret of random bytes ends with one now and then, and is not all text.
        let is_text = secret
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n'));
        if is_text && secret.ends_with(b"\n") {
            return Err(invalid_config(
                "the HS256 secret ends with a line feed, as a text file does, which other programs \
                 that share it may not count: strip it, or write the file without",
            ));
        }
        Self::new(Algorithm::HS256, DecodingKey::from_secret(secret))
    }

    /// Reads an HS256 secret from a file, by [`read_secret`].
    ///
    /// # Errors
    /// `InvalidConfig` if the file cannot be read, and as [`from_hs256_secret`](Self::from_hs256_secret).
    pub fn from_hs256_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::from_hs256_secret(&read_secret(path)?)
    }

    /// Reads an Ed25519 public key from PEM: a `SubjectPublicKeyInfo`, as `openssl pkey -pubout`
    /// writes it (RFC 8410 §4).
    ///
    /// # Errors
    /// `InvalidConfig` if it is anything else.
    pub fn from_ed25519_pem(pem: &[u8]) -> Result<Self, Error> {
        let der = pem_contents(pem, "PUBLIC KEY").ok_or_else(not_a_public_key)?;
        let public_key = der
            .strip_prefix(&ED25519_PUBLIC_KEY_PREFIX)
            .ok_or_else(not_a_public_key)?;
        Self::from_ed25519_public_key(public_key)
    }

    /// Names the key: a token that carries another name is refused. Default none.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// The only algorithm it accepts.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.into(), &self.decoding_key)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }

    fn from_ed25519_public_key(public_key: &[u8]) -> Result<Self, Error> {
        // A provider would take the first 32 bytes of more, and panic on fewer.
        if public_key.len() != ED25519_PUBLIC_KEY_LEN {
            return Err(not_a_public_key());
        }
        Self::new(Algorithm::EdDSA, DecodingKey::from_ed_der(public_key))
    }

    /// Has the provider take the key once, so that one it refuses fails here and not at a login.
    fn new(algorithm: Algorithm, decoding_key: DecodingKey) -> Result<Self, Error> {
        (DEFAULT_PROVIDER.verifier_factory)(&algorithm.into(), &decoding_key).map_err(|_| {
            invalid_config("the verifying key is damaged; copy it again from its source")
        })?;
        Ok(Self {
            algorithm,
            kid: None,
            decoding_key,
        })
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The contents of a PEM file if it is one with this label.
fn pem_contents(pem: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let pem = pem::parse(pem).ok()?;
    let matches = pem.tag() == label;
    let contents = Zeroizing::new(pem.into_contents());
    matches.then_some(contents)
}

fn not_a_private_key() -> Error {
    invalid_config(
        "the signing key is not an unencrypted Ed25519 private key in PEM (PKCS#8); make one with \
         `openssl genpkey -algorithm ed25519`",
    )
}

fn not_a_public_key() -> Error {
    invalid_config(
        "the verifying key is not an Ed25519 public key in PEM; write it from the private key \
         with `openssl pkey -pubout`",
    )
}

// Without the cause: parsers quote what they read, and that is the key.
fn invalid_config(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

/// "A key of the same size as the hash output [...] or larger MUST be used" (RFC 7518 §3.2).
const MIN_SECRET_LEN: usize = 32;

/// RFC 8032 §5.1.5.
const ED25519_PUBLIC_KEY_LEN: usize = 32;

/// What comes before the key in the DER of every Ed25519 `SubjectPublicKeyInfo` (RFC 8410 §4).
const ED25519_PUBLIC_KEY_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    #[track_caller]
    fn check(key: &SigningKey, message: &str, signature: &str) {
        let signed = key.sign(message.as_bytes()).unwrap();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(&signed), signature);
        assert!(key.verifying_key().verify(message.as_bytes(), &signed));
        assert!(!key.verifying_key().verify(b"another message", &signed));
    }

    #[test]
    fn hs256_signs_as_rfc_7515_appendix_a_1() {
        let secret = BASE64_URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        check(
            &SigningKey::from_hs256_secret(&secret).unwrap(),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
             eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        );
    }

    #[test]
    fn eddsa_signs_as_rfc_8037_appendix_a_4() {
        check(
            &SigningKey::from_ed25519_pem(include_bytes!("../tests/fixtures/ed25519.pem")).unwrap(),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
    }
}
