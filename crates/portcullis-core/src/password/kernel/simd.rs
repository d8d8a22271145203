//! The kernel of the `argon2-rust` crate: the same tags in about half the time.

use argon2_rust::params::{Memory as MemorySize, TagLen};
use argon2_rust::{Algorithm, Argon2, Hasher, Params, Version};

use super::Variant;
use crate::error::{Error, ErrorKind};

/// The memory Argon2 fills, reused from one computation to the next. 2 MiB aligned, on huge pages
/// where the system has them.
pub(in crate::password) struct Memory {
    hasher: Hasher,
}

impl Memory {
    /// Computes a tag as long as `tag`, growing as needed, and wipes what is left.
    pub(in crate::password) fn compute(
        &mut self,
        variant: &Variant,
        password: &[u8],
        salt: &[u8],
        tag: &mut [u8],
    ) -> Result<(), Error> {
        let params = params(
            variant.params.m_cost(),
            variant.params.t_cost(),
            variant.params.p_cost(),
            tag.len(),
        )
        .map_err(failed)?;
        let algorithm = match variant.algorithm {
            argon2::Algorithm::Argon2d => Algorithm::Argon2d,
            argon2::Algorithm::Argon2i => Algorithm::Argon2i,
            argon2::Algorithm::Argon2id => Algorithm::Argon2id,
        };
        let version = match variant.version {
            argon2::Version::V0x10 => Version::V0x10,
            argon2::Version::V0x13 => Version::V0x13,
        };
        self.hasher
            .set_argon2(Argon2::new(algorithm, version, params));
        self.hasher
            .hash_into_with_ad(password, salt, &[], variant.params.data(), tag)
            .map_err(failed)
    }

    /// How much there is, in bytes.
    pub(in crate::password) fn capacity(&self) -> usize {
        self.hasher
            .reserved_blocks()
            .saturating_mul(argon2::Block::SIZE)
    }
}

impl Default for Memory {
    fn default() -> Self {
        let unused = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
        Self {
            hasher: unused.hasher(),
        }
    }
}

// One thread: the lanes of a hash are computed one after the other, as by the `argon2` crate, so
// that the threads of a pool are all there are.
fn params(
    memory_kib: u32,
    iterations: u32,
    lanes: u32,
    tag_len: usize,
) -> Result<Params, argon2_rust::Error> {
    Params::builder()
        .memory(MemorySize::kib(memory_kib.into()))
        .passes(iterations)
        .lanes(lanes)
        .threads(1)
        .tag_len(TagLen::bytes(tag_len as u64))
        .build()
}

fn failed(error: argon2_rust::Error) -> Error {
    match error {
        argon2_rust::Error::MemoryAllocationError => {
            Error::new(ErrorKind::Unavailable, "no memory for a password hash")
        }
        _ => Error::new(ErrorKind::Internal, "Argon2 refused its input"),
    }
}

/// Computes the test vectors of RFC 9106 §5 with the instructions chosen for this processor.
pub(in crate::password) fn check_known_answers() -> Result<(), Error> {
    let params = params(32, 3, 4, 32).map_err(failed)?;
    for (algorithm, answer) in KNOWN_ANSWERS {
        let mut tag = [0; 32];
        Argon2::new(algorithm, Version::V0x13, params)
            .hash_into_with_ad(&[1; 32], &[2; 16], &[3; 8], &[4; 12], &mut tag)
            .map_err(failed)?;
        if tag != answer {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "the SIMD kernel computes wrong Argon2 tags on this processor: do without it",
            ));
        }
    }
    Ok(())
}

const KNOWN_ANSWERS: [(Algorithm, [u8; 32]); 3] = [
    (
        Algorithm::Argon2d,
        [
            0x51, 0x2b, 0x39, 0x1b, 0x6f, 0x11, 0x62, 0x97, 0x53, 0x71, 0xd3, 0x09, 0x19, 0x73,
            0x42, 0x94, 0xf8, 0x68, 0xe3, 0xbe, 0x39, 0x84, 0xf3, 0xc1, 0xa1, 0x3a, 0x4d, 0xb9,
            0xfa, 0xbe, 0x4a, 0xcb,
        ],
    ),
    (
        Algorithm::Argon2i,
        [
            0xc8, 0x14, 0xd9, 0xd1, 0xdc, 0x7f, 0x37, 0xaa, 0x13, 0xf0, 0xd7, 0x7f, 0x24, 0x94,
            0xbd, 0xa1, 0xc8, 0xde, 0x6b, 0x01, 0x6d, 0xd3, 0x88, 0xd2, 0x99, 0x52, 0xa4, 0xc4,
            0x67, 0x2b, 0x6c, 0xe8,
        ],
    ),
    (
        Algorithm::Argon2id,
        [
            0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b,
            0x53, 0xc9, 0xd0, 0x1e, 0xf0, 0x45, 0x2d, 0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9,
            0x6b, 0x01, 0xe6, 0x59,
        ],
    ),
];
