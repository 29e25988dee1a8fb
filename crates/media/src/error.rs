//! What can go wrong, in words for whoever called.

/// Why the forwarding unit refused something. It changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum Error {
    /// The offer is no SDP that can be answered.
    #[error("the offer cannot be answered: {0}")]
    Offer(String),
    /// An m-line was named that the offer does not have.
    #[error("there is no m-line with mid {0:?} in the offer")]
    UnknownMid(String),
    /// Sound for a video's m-line, or the other way round.
    #[error("the m-line with mid {0:?} is of another kind than what it was said to carry")]
    WrongKind(String),
    /// Two streams of one kind.
    #[error(
        "the m-line with mid {0:?} is one too many: one microphone, one camera and one screen can be published"
    )]
    OneTooMany(String),
    /// Too many m-lines.
    #[error("the offer has {given} streams; at most {most} are allowed")]
    TooManyStreams {
        /// In the offer.
        given: usize,
        /// Allowed.
        most: usize,
    },
    /// The connection does not exist, or no more.
    #[error("the connection is gone; make a new one")]
    Gone,
    /// More is asked than can be done.
    #[error("the forwarding unit is overloaded; try again in a moment")]
    Busy,
}
