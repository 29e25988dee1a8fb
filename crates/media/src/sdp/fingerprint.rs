//! The certificate that an offer announces (RFC 8122 5), and whether that is the one which came.

use aws_lc_rs::digest;

/// A hash of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

/// A way to hash, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [(&'static str, Self); 5] = [
        ("sha-1", Self::Sha1),
        ("sha-224", Self::Sha224),
        ("sha-256", Self::Sha256),
        ("sha-384", Self::Sha384),
        ("sha-512", Self::Sha512),
    ];

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl Fingerprint {
    /// Those of an offer that can be checked: of several hashes the strongest (RFC 8122 5.1).
    ///
    /// # Errors
    /// There is none.
    pub(super) fn all(offered: &[&str]) -> Result<Vec<Self>, String> {
        if offered.is_empty() {
            return Err("a=fingerprint is missing".into());
        }
        let known: Vec<Self> = offered.iter().filter_map(|text| Self::read(text)).collect();
        let Some(best) = known.iter().map(|known| known.hash).max() else {
            return Err("a=fingerprint is by no hash that is known (sha-256, sha-384, sha-512), or has another length".into());
        };
        Ok(known.into_iter().filter(|known| known.hash == best).collect())
    }

    fn read(text: &str) -> Option<Self> {
        let (name, bytes) = text.trim().split_once(' ')?;
        let (_, hash) = Hash::ALL.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        let digest: Option<Vec<u8>> = bytes
            .trim()
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2))
            .collect();
        let digest = digest.filter(|digest| digest.len() == hash.algorithm().output_len())?;
        Some(Self { hash, digest })
    }

    /// Whether it is that of a certificate.
    pub(crate) fn is_of(&self, certificate: &[u8]) -> bool {
        let digest = digest::digest(self.hash.algorithm(), certificate);
        aws_lc_rs::constant_time::verify_slices_are_equal(digest.as_ref(), &self.digest).is_ok()
    }
}
