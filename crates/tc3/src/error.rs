//! Why a call is not taken for its caller's.

use crate::CLOCK_SKEW_SECONDS;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The credential cannot be read.
    #[error("the signature cannot be read: {0}")]
    Malformed(&'static str),
    /// A header is not signed that has to be.
    #[error("SignedHeaders lacks {0}: content-type and host have to be signed")]
    NotSigned(&'static str),
    /// The timestamp is no number of seconds.
    #[error("the timestamp is no Unix time in seconds, in decimal digits")]
    NoTime,
    /// The caller's clock and ours are too far apart, or the call is an old one.
    #[error(
        "it was signed at Unix time {signed_at}, and is {now} now: more than {CLOCK_SKEW_SECONDS} s apart"
    )]
    Expired {
        /// When it says that it was signed.
        signed_at: u64,
        /// What time it is.
        now: u64,
    },
    /// The date that the key was derived for is not that of the timestamp.
    #[error("the date in Credential is not that of the timestamp in UTC")]
    WrongDate,
    /// Another key signed it, or something else was signed.
    #[error("the signature does not match: another SecretKey, or something else was signed than was sent")]
    WrongSignature,
    /// A way of signing that is none.
    #[error("SignatureMethod is neither HmacSHA1 nor HmacSHA256")]
    UnknownMethod,
    /// Flat parameters that cannot be read.
    #[error("{0}")]
    Unreadable(&'static str),
}
