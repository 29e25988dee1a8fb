//! What went wrong, as the API says it: a documented code and a message. The one place where the errors of the other
//! crates get their codes (`spec/live-rest-api.md`).

use std::borrow::Cow;

/// A refusal on its way to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: u32,
    pub(crate) message: Cow<'static, str>,
}

impl ApiError {
    pub(crate) const TOO_OFTEN: u32 = 60_007;
    pub(crate) const INTERNAL: u32 = 100_001;
    pub(crate) const INVALID: u32 = 100_002;
    pub(crate) const ROOM_NOT_FOUND: u32 = 100_004;
    /// As for a resume token whose session is over.
    pub(crate) const SESSION_OVER: u32 = 70_003;
    pub(crate) const WRONG_ROOM_TYPE: u32 = 100_006;
    pub(crate) const NOT_ALLOWED: u32 = 100_010;
    pub(crate) const NOT_A_MEMBER: u32 = 100_005;
    /// Our own: there is no media connection to change.
    pub(crate) const NO_CONNECTION: u32 = 100_501;

    pub(crate) fn new(code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(Self::INTERNAL, error.to_string())
    }

    pub(crate) fn invalid(field: &str, trouble: impl std::fmt::Display) -> Self {
        rooms::Error::invalid(field, trouble).into()
    }
}

impl From<rooms::Error> for ApiError {
    fn from(error: rooms::Error) -> Self {
        use rooms::Error as E;
        let code = match &error {
            E::Invalid(_) => Self::INVALID,
            E::RoomExists(_) => 100_003,
            E::RoomNotFound(_) => Self::ROOM_NOT_FOUND,
            E::NotAMember { .. } => Self::NOT_A_MEMBER,
            E::WrongRoomType { .. } => Self::WRONG_ROOM_TYPE,
            E::RoomFull(_) => 100_008,
            E::Banned(_) => 100_016,
            E::MessagesDisabled => 100_017,
            E::Muted(_) => 10_017,
            E::GiftsDisabled => 100_018,
            E::LikesDisabled => 100_019,
            E::NotAllowed(_) => Self::NOT_ALLOWED,
            E::SeatLocked(_) => 100_200,
            E::AlreadyQueueing(_) => 100_202,
            E::AlreadyOnSeat { .. } => 100_203,
            E::NotOnSeat(_) => 100_204,
            E::NoSeatFree => 100_205,
            E::ApplyFirst => 100_206,
            E::RequestNotFound(_) => 100_207,
            E::SeatTaken(_) => 100_210,
            E::NoSeats => 100_211,
            E::InBattle(_) => 100_401,
            E::BattleNotFound(_) => 100_402,
            E::AlreadyConnected(_) => 100_411,
            E::NoConnection(_) => 100_412,
            E::GiftNotFound(_) => 102_001,
        };
        Self::new(code, error.to_string())
    }
}

impl From<usersig::Error> for ApiError {
    fn from(error: usersig::Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Behind => Self::new(60007, error.to_string()),
            _ => Self::new(Self::INTERNAL, error.to_string()),
        }
    }
}
