//! What can be wrong with a credential; each documented failure is a variant of its own.

/// Why a UserSig or PrivateMapKey was refused, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The validity has ended.
    #[error("UserSig expired at Unix time {expired_at}; sign a new one")]
    Expired {
        /// First second at which it no longer holds.
        expired_at: u64,
    },
    /// There is no text at all.
    #[error("UserSig is empty")]
    Empty,
    /// The text is not a UserSig: base64, zlib or JSON is broken, or a field is missing or of the wrong type.
    #[error("UserSig cannot be decoded: {0}")]
    Malformed(&'static str),
    /// It was signed with another key, or altered after it was signed.
    #[error("UserSig was not signed with this app's SecretKey")]
    WrongKey,
    /// It is dated further in the future than clocks differ.
    #[error(
        "UserSig is dated {issued_at}, which is in the future; check the clock of the machine that signed it"
    )]
    NotYetValid {
        /// When it says it was issued.
        issued_at: u64,
    },
    /// It was made for another user than the request names.
    #[error("UserSig belongs to another user than the request's identifier")]
    WrongUser,
    /// It was made for another app than the request names.
    #[error("UserSig belongs to SDKAppID {signed}, the request names {requested}")]
    WrongApp {
        /// The app in the signature.
        signed: u32,
        /// The app the request names.
        requested: u32,
    },
    /// A value cannot be put into a credential (only when making one).
    #[error("{0}")]
    Unsignable(&'static str),
}
